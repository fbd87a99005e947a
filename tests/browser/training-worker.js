// What tests/browser/training.test.js runs in workers: a client of the federation that learns LeNet-5, and the sentence encoder on definitions.
import { loadRuntime, PeerId } from '/js/index.js';
import { createWebSocketTransport } from '/js/transports/websocket.js';
import { participate } from '/demo/participant.js';
import { trainTopics } from '/examples/topics/classifier.js';
import { unpackTexts } from '/examples/topics/dataset.js';

const bytesOf = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());

/** Joins, and tells of every round. */
async function join({ peer, serverPeer, socketUrl, artifact, onnx, samples }) {
  const peerId = PeerId.fromText(peer), transport = createWebSocketTransport({ url: socketUrl, self: peerId, expect: PeerId.fromText(serverPeer) });
  await participate({
    peerId, transport, artifact, onnx, samples, model: 'cnn', schedule: 'timer',
    onRound: ({ round, loss }) => self.postMessage({ event: 'round', round, loss }),
    onStep: (step) => { if (step.type === 'OpFailed') self.postMessage({ event: 'failed', text: `${step.kind} ${step.reason} ${step.detail}` }); },
  });
}

async function topics({ epochs }) {
  const [wasm, encoder, train, test] = await Promise.all(['/build/wasm/bb.wasm', '/build/examples/sentences/model.onnx', '/build/examples/topics/train.bin', '/build/examples/topics/test.bin'].map(bytesOf));
  let events = 0;
  const { model, accuracy, before, steps } = await trainTopics({ runtime: await loadRuntime(wasm), encoder, train: unpackTexts(train), test: unpackTexts(test), epochs, onProgress: () => { events++; } });
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', model));
  self.postMessage({ event: 'done', accuracy, before, steps, events, hash: [...hash].map((b) => b.toString(16).padStart(2, '0')).join('') });
}

self.onmessage = ({ data }) => {
  (data.task === 'join' ? join(data) : topics(data)).catch((error) => self.postMessage({ event: 'failed', text: String(error.stack) }));
};
