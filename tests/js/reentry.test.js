// What a component written in JavaScript may do to the node that is calling it: nothing that leaves the engine in pieces.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createRuntime, defineComponent, installIn, PeerId, tensor } from '../../js/index.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const artifact = readFileSync('tests/vectors/artifacts/quickstart.compiled.pb');

const quickstart = (runtime, nextBatch) => installIn(runtime, {
  peerId: PeerId.fromU64(1), artifact, targets: ['Quickstart'],
  components: [
    defineComponent({ typeName: 'NoopDataLoader', role: 'DataSource', nextBatch }),
    defineComponent({ typeName: 'NoopModel', role: 'Model', forward: ([x]) => x }),
  ],
});
const batch = () => [tensor([1, 2], [1, 2]), tensor([0])];

test('every call of a component into its own node is refused while it runs', () => {
  const runtime = createRuntime(module);
  const codes = [];
  const node = quickstart(runtime, () => {
    const calls = [
      () => node.poll(), () => node.tick(5n), () => node.invoke('Quickstart', {}), () => node.complete(0n, []), () => node.fail(0n, 'x'),
      () => node.addPeer(PeerId.fromU64(2)), () => node.blockPeer(PeerId.fromU64(2)), () => node.setAllowlist(undefined), () => node.deliverInbound(PeerId.fromU64(2), new Uint8Array(0)),
    ];
    for (const call of calls) {
      try { call(); codes.push('done'); } catch (error) { codes.push(error.code); }
    }
    return batch();
  });
  node.invoke('Quickstart', {});
  const steps = node.poll();
  assert.deepEqual(codes, Array(9).fill('E_BUSY'));
  assert.equal(steps.filter((s) => s.type === 'AppEvent').length, 1);
  node.dispose();
  assert.equal(runtime.isPoisoned, false);
});

test('a component that disposes its own node is refused, and the node stays whole', () => {
  const runtime = createRuntime(module);
  quickstart(runtime, batch).dispose(); // so that the glue's own buffers exist
  const used = runtime.memoryUsed;
  const codes = [];
  const node = quickstart(runtime, () => {
    try { node.dispose(); } catch (error) { codes.push(error.code); }
    return batch();
  });
  for (let i = 0; i < 2; i++) {
    node.invoke('Quickstart', {});
    assert.equal(node.poll().filter((s) => s.type === 'AppEvent').length, 1);
  }
  assert.deepEqual(codes, ['E_BUSY', 'E_BUSY']);
  node.dispose();
  node.dispose();
  assert.throws(() => node.poll(), { code: 'E_STATE' });
  assert.equal(runtime.memoryUsed, used);
});
