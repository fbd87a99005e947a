// server: the aggregating node, its HTTP pages and its WebSocket, and the loop over rounds.

import { createServer } from 'node:http';
import { bytes, install, PeerId } from '../js/index.js';
import { drive } from '../js/driver.js';
import { createWebSocketServer } from '../js/transports/websocket-node.js';
import { compileFederation } from './federation.js';
import { packSamples } from './digits.js';
import { MODELS } from './models.js';
import { digitSource, learnerOf, numberOf, readBundle } from './participant.js';
import { createStaticHandler } from './static-server.js';

const SERVER_PEER = PeerId.fromU64(1);
/** Folders that the page may read; everything else is 404. */
const PUBLIC = ['/js/', '/web-demo/', '/demo/participant.js', '/build/wasm/bb.wasm'];

/**
 * @typedef {{round: number, loss: number, accuracy: number, testLoss: number, peers: number, updates: number}} RoundResult
 */

/**
 * Starts everything; rounds run when `run` is called.
 * @param {object} options
 * @param {ReturnType<typeof import('./digits.js').dealDigits>} options.deal
 * @param {import('./participant.js').ModelName} [options.model]
 * @param {number} [options.port] @param {number} [options.roundTimeoutMs]
 * @param {Parameters<typeof import('./federation.js').federatedRound>[0]} [options.training]
 * @param {(step: import('../js/driver.js').DriverStep) => void} [options.onStep]
 */
export async function createFederation({ deal, model = 'mlp', port = 0, roundTimeoutMs = MODELS[model].roundTimeoutMs, training = MODELS[model].training, onStep = () => {} }) {
  const onnx = MODELS[model].onnx();
  const artifact = await compileFederation({ training, model });
  let guests = 0;

  const http = createServer(createStaticHandler({
    publicPaths: PUBLIC, pages: { '/': '/web-demo/index.html' }, connect: 'ws://HOST',
    dynamic(pathname) {
      if (pathname === '/federation.json') return { body: JSON.stringify({ serverPeer: String(SERVER_PEER), guest: guests++, model }), type: 'application/json' };
      if (pathname === '/artifact.pb') return { body: artifact, type: 'application/octet-stream' };
      if (pathname === '/model.onnx') return { body: onnx, type: 'application/octet-stream' };
      const share = /^\/share\/(\d{1,4})\.bin$/.exec(pathname);
      return share ? { body: packSamples(deal.shareOf(Number(share[1]))), type: 'application/octet-stream' } : undefined;
    },
  }));

  const transport = await createWebSocketServer({ self: SERVER_PEER, server: http, path: '/peer' });
  const learner = await learnerOf(model, onnx);
  const node = await install({
    nodeConfig: { maxCompletionResultBytes: 1 << 28 }, // a batch is the whole test set
    peerId: SERVER_PEER, artifact, targets: ['Server'], components: [digitSource(packSamples(deal.test)), ...learner.components], config: learner.config,
  });
  /** @type {Set<string>} */
  const peers = new Set();
  /** Who waits for something to happen. @type {(() => void) | undefined} */
  let notify;
  let round = 0;
  /** Losses reported in this round. @type {number[]} */
  let losses = [];
  /** @type {{loss: number, accuracy: number} | undefined} */
  let tested;
  let lastLoss = /** @type {number | null} */ (null), lastAccuracy = /** @type {number | null} */ (null);

  const driver = drive(node, {
    transports: [transport],
    onStep(step) {
      onStep(step);
      if (step.type === 'Connected') peers.add(String(step.peer));
      else if (step.type === 'Disconnected') peers.delete(String(step.peer));
      else if (step.type === 'AppEvent' && step.topic === 'report') {
        const [loss, status] = readBundle(step.valueBytes);
        const about = JSON.parse(new TextDecoder().decode(status.type === 'Bytes' ? status.bytes : new Uint8Array()));
        if (about.round === round) losses.push(numberOf(loss)); // a late one counts in the average, not in the loss of this round
      } else if (step.type === 'AppEvent' && step.topic === 'tested') {
        const [loss, accuracy] = readBundle(step.valueBytes);
        tested = { loss: numberOf(loss), accuracy: numberOf(accuracy) };
      } else return;
      notify?.();
    },
  });

  /** Waits until `isTrue`, a time limit, or the end. @param {() => boolean} isTrue @param {number} ms @returns {Promise<boolean>} */
  function until(isTrue, ms) {
    if (isTrue() || driver.isStopped) return Promise.resolve(isTrue());
    return new Promise((resolve) => {
      const finish = (/** @type {boolean} */ value) => {
        clearTimeout(timer);
        notify = undefined;
        resolve(value);
      };
      const timer = setTimeout(() => finish(isTrue()), ms);
      notify = () => { if (isTrue() || driver.isStopped) finish(isTrue()); };
    });
  }

  await new Promise((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, '127.0.0.1', () => resolve(undefined));
  });
  const address = /** @type {import('node:net').AddressInfo} */ (http.address());

  return {
    node, driver, transport, onnx, artifact, peers,
    serverPeer: SERVER_PEER,
    url: `http://127.0.0.1:${address.port}/`,
    socketUrl: `ws://127.0.0.1:${address.port}/peer`,
    /** @param {number} count @param {number} ms */
    peersConnected: (count, ms) => until(() => peers.size >= count, ms),
    /**
     * One round: with those who are there, and without those who leave in the middle of it.
     * @returns {Promise<RoundResult | undefined>} undefined when nobody answered
     */
    async runRound() {
      round++;
      losses = [];
      tested = undefined;
      const asked = new Set(peers);
      node.deliverEvent('Server', 'start', bytes(JSON.stringify({ round, loss: lastLoss, accuracy: lastAccuracy, peers: asked.size })));
      await until(() => losses.length >= [...asked].filter((p) => peers.has(p)).length, roundTimeoutMs);
      if (losses.length === 0) return undefined;
      const loss = losses.reduce((a, b) => a + b, 0) / losses.length, updates = losses.length;
      node.deliverEvent('Server', 'finish', bytes('go'));
      if (!(await until(() => tested !== undefined, roundTimeoutMs))) return undefined;
      const result = /** @type {{loss: number, accuracy: number}} */ (/** @type {unknown} */ (tested));
      lastLoss = loss;
      lastAccuracy = result.accuracy;
      return { round, loss, accuracy: result.accuracy, testLoss: result.loss, peers: peers.size, updates };
    },
    async close() {
      driver.stop();
      node.dispose();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(() => resolve(undefined)));
    },
  };
}
