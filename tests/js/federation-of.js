// A federation of the demo in one process, over real sockets: what several tests start from.
import assert from 'node:assert/strict';
import { dealDigits, loadDigits, packSamples } from '../../demo/digits.js';
import { participate } from '../../demo/participant.js';
import { createFederation } from '../../demo/server.js';
import { PeerId } from '../../js/index.js';
import { createWebSocketTransport } from '../../js/transports/websocket-node.js';

export const all = loadDigits();

/**
 * A server and some clients in this process. `onClientStep(i, step, client)` is called before a client sends what its poll gave.
 * @param {number} count
 */
export async function federationOf(count, { onClientStep = () => {}, model = 'mlp', ...options } = {}) {
  const deal = dealDigits(all, count);
  const failed = [];
  const note = (who) => (step) => { if (['OpFailed', 'WireReceiveFailed', 'InboundRefused'].includes(step.type)) failed.push(`${who}: ${step.type} ${step.reason ?? ''} ${step.detail ?? step.error?.message ?? ''}`); };
  const federation = await createFederation({ deal, model, training: { epochs: 1 }, onStep: note('server'), ...options });
  const clients = await Promise.all(deal.shares.map(async (share, i) => {
    const peerId = PeerId.fromU64(100 + i);
    const transport = createWebSocketTransport({ url: federation.socketUrl, self: peerId, expect: federation.serverPeer, backoffBaseMs: 20, backoffCapMs: 50 });
    const losses = [];
    const seen = note(`client ${i}`);
    const client = await participate({
      peerId, transport, artifact: federation.artifact, onnx: federation.onnx, samples: packSamples(share), model, schedule: 'timer',
      onRound: ({ loss }) => losses.push(loss), onStep(step) { seen(step); onClientStep(i, step, transport); },
    });
    return { ...client, transport, losses, peerId };
  }));
  assert.equal(await federation.peersConnected(count, 10_000), true);
  return { federation, clients, failed, async close() { clients.forEach((c) => c.leave()); await federation.close(); } };
}
