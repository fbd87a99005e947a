// client-worker: one client in a thread of its own, with its own instance of wasm and its own socket.

import { parentPort, workerData } from 'node:worker_threads';
import { PeerId } from '../js/index.js';
import { createWebSocketTransport } from '../js/transports/websocket-node.js';
import { participate } from './participant.js';

const { peer, serverPeer, url, artifact, onnx, samples, model } = workerData;
const transport = createWebSocketTransport({ url, self: PeerId.fromText(peer), expect: PeerId.fromText(serverPeer) });
const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
const { leave } = await participate({
  peerId: PeerId.fromText(peer), transport, artifact, onnx, samples, model,
  onStep: (step) => { if (step.type === 'OpFailed') port.postMessage({ failed: `${step.kind} ${step.reason} ${step.detail}` }); },
});
port.on('message', (message) => {
  if (message === 'drop') transport.dropConnection();
  if (message === 'leave') {
    leave();
    port.close();
  }
});
