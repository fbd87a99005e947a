// A node inside workerd: the instance is made at global scope, from a module that was compiled before.
import wasm from 'bb.wasm';
import artifact from 'artifact.pb';
import { bytes, createRuntime, installIn, PeerId } from './js/index.js';

const runtime = createRuntime(wasm);
const node = installIn(runtime, { peerId: PeerId.fromU64(1), artifact, targets: ['PassOne'] });

export default {
  /** @param {Request} request */
  async fetch(request) {
    node.deliverEvent('PassOne', 'x', bytes(await request.text()));
    const steps = node.poll();
    const out = steps.find((step) => step.type === 'AppEvent' && step.topic === 'y');
    return Response.json({
      modules: node.modules, types: steps.map((step) => step.type),
      y: out?.type === 'AppEvent' ? new TextDecoder().decode(out.valueBytes) : null, inFlight: node.stats().ingressBytesInFlight,
    });
  },
};
