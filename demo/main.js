// main: `make demo`.  A server and eight clients train one model on handwritten digits; the page stays up for guests.
//
// MODEL=cnn trains LeNet-5 instead of a dense network. ONCE=1 trains to the goal, prints one JSON object as its last line and exits. PORT chooses the port (default: a free one).

import { Worker } from 'node:worker_threads';
import { PeerId } from '../js/index.js';
import { dealDigits, loadDigits, packSamples, TEST_COUNT } from './digits.js';
import { MODELS } from './models.js';
import { createFederation } from './server.js';

const CLIENTS = 8;
const model = /** @type {import('./participant.js').ModelName} */ (process.env.MODEL || 'mlp');
if (!Object.hasOwn(MODELS, model)) {
  console.error(`MODEL must be one of ${Object.keys(MODELS).join(', ')}`);
  process.exit(2);
}
const { goal, least, roundsMax, secondsMax } = MODELS[model];
const isOnce = process.env.ONCE === '1';
const isTerminal = process.stdout.isTTY === true;

const begin = performance.now();
const seconds = () => (performance.now() - begin) / 1000;
const deal = dealDigits(loadDigits(), CLIENTS);
/** @type {Map<string, number>} */
const failures = new Map();
/** @param {string} text */
const failed = (text) => failures.set(text, (failures.get(text) ?? 0) + 1);

const federation = await createFederation({
  deal, model, port: Number(process.env.PORT ?? 0),
  onStep: (step) => { if (step.type === 'OpFailed') failed(`server: ${step.kind} ${step.reason} ${step.detail}`); },
});
console.log(`open ${federation.url} in a browser: every tab joins as one more peer`);
console.log(`${CLIENTS} clients share ${deal.shares.reduce((n, share) => n + share.count, 0)} handwritten digits, ${TEST_COUNT} are held out for the test`);

const workers = deal.shares.map((share, i) => {
  const worker = new Worker(new URL('./client-worker.js', import.meta.url), {
    workerData: {
      peer: String(PeerId.fromU64(100 + i)), serverPeer: String(federation.serverPeer), url: federation.socketUrl,
      artifact: federation.artifact, onnx: federation.onnx, samples: packSamples(share), model,
    },
  });
  worker.on('message', ({ failed: text }) => failed(`client ${i}: ${text}`));
  worker.on('error', (error) => {
    console.error(`client ${i}: ${error.message}`);
    process.exitCode = 1;
  });
  return worker;
});

/** @param {number} n */
const amount = (n) => (n < 1e6 ? `${(n / 1e3).toFixed(0)} kB` : `${(n / 1e6).toFixed(1)} MB`);
/** @param {import('./server.js').RoundResult} r */
function show(r) {
  const { bytesSent, bytesReceived } = federation.driver.counters;
  const line = `round ${String(r.round).padStart(3)}  loss ${r.loss.toFixed(4)}  test accuracy ${(r.accuracy * 100).toFixed(2)} %  `
    + `sent ${amount(bytesSent)}  received ${amount(bytesReceived)}  peers ${r.peers}  ${seconds().toFixed(1)} s`;
  if (isTerminal) {
    const width = 30, full = Math.round(r.accuracy * width);
    process.stdout.write(`\r\x1b[2K[${'#'.repeat(full)}${'.'.repeat(width - full)}] ${line}`);
  } else console.log(line);
}

if (!(await federation.peersConnected(CLIENTS, 30_000))) console.error(`only ${federation.peers.size} of ${CLIENTS} clients came`);
let best = 0, rounds = 0;
/** @type {import('./server.js').RoundResult | undefined} */
let last;
while (rounds < roundsMax && best < goal && seconds() < secondsMax) {
  last = await federation.runRound();
  rounds++;
  if (last === undefined) {
    console.error(`round ${rounds} brought nothing`);
    for (const [text, count] of failures) console.error(`  ${count} x ${text}`);
    break;
  }
  best = Math.max(best, last.accuracy);
  show(last);
}
if (isTerminal) process.stdout.write('\n');
const { bytesSent, bytesReceived } = federation.driver.counters;
const summary = {
  accuracy: last?.accuracy ?? 0, rounds, seconds: Number(seconds().toFixed(2)), peers: federation.peers.size, bytes: bytesSent + bytesReceived,
};

async function shutDown() {
  workers.forEach((worker) => worker.postMessage('leave'));
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
  await federation.close();
}

if (isOnce) {
  await shutDown();
  if (summary.accuracy < least) process.exitCode = 1;
  console.log(JSON.stringify(summary));
} else {
  console.log(`trained in ${summary.seconds} s; the page stays up, guests train along (Ctrl-C ends)`);
  let isRunning = true;
  process.once('SIGINT', () => { isRunning = false; });
  while (isRunning) {
    // With guests, round after round; without them there is nothing more to learn.
    if (federation.peers.size > CLIENTS) {
      const result = await federation.runRound();
      if (result) show(result);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  await shutDown();
}
