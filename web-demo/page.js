// page: joins the federation when it is opened, shows what happens, leaves and comes back on request.

import { PeerId } from '/js/index.js';
import { createWebSocketTransport } from '/js/transports/websocket.js';
import { participate } from '/demo/participant.js';
import { createChart } from './chart.js';
import { showShare } from './share.js';

/** @param {string} id */
const get = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const toggle = /** @type {HTMLButtonElement} */ (get('toggle'));
/** @param {string} text @param {'ok' | 'idle' | 'error'} [state] */
function say(text, state = 'idle') {
  get('status').textContent = text;
  get('status').dataset.state = state;
}
/** @param {string} path */
async function fetchBytes(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** The same id and share after a reload: the server knows us again. @param {number} guest */
function identity(guest) {
  const kept = sessionStorage.getItem('peer');
  if (kept !== null) return JSON.parse(kept);
  const fresh = { peer: String(PeerId.fromU64(crypto.getRandomValues(new BigUint64Array(1))[0])), share: guest };
  sessionStorage.setItem('peer', JSON.stringify(fresh));
  return fresh;
}

const lossChart = createChart(/** @type {any} */ (get('loss-chart')), { label: "Loss on this tab's digits", format: (v) => String(Number(v.toPrecision(3))) });
const accuracyChart = createChart(/** @type {any} */ (get('accuracy-chart')), { label: 'Test accuracy', max: 1, format: (v) => `${Number((v * 100).toFixed(1))} %` });
let trained = 0;
/** @type {Awaited<ReturnType<typeof participate>> | undefined} */
let membership;
/** @param {number} n */
const kilobytes = (n) => `${(n / 1000).toFixed(0)} kB`;

const { serverPeer, guest, model } = await (await fetch('/federation.json')).json();
const { peer, share } = identity(guest);
get('peer').textContent = peer;
const [artifact, onnx, samples] = await Promise.all(['/artifact.pb', '/model.onnx', `/share/${share}.bin`].map(fetchBytes));

get('share-text').textContent = `${showShare(/** @type {HTMLCanvasElement} */ (get('share')), samples)}: all that this tab trains on, moved about by a pixel in every round.`;

async function join() {
  toggle.disabled = true;
  say('Connecting…');
  const peerId = PeerId.fromText(peer);
  const transport = createWebSocketTransport({ url: `ws://${location.host}/peer`, self: peerId, expect: serverPeer });
  try {
    membership = await participate({
      peerId, transport, artifact, onnx, samples, model, schedule: 'animation-frame',
      onRound({ round, loss, accuracy, peers }) {
        trained++;
        lossChart.add(round, loss);
        get('loss').textContent = loss.toFixed(4);
        if (accuracy !== null) {
          accuracyChart.add(round - 1, accuracy); // of the round before, which is tested now
          get('accuracy').textContent = `${(accuracy * 100).toFixed(2)} %`;
        }
        get('round').textContent = String(round);
        get('peers').textContent = String(peers);
        get('trained').textContent = String(trained);
      },
      onStep(step) {
        if (step.type === 'Connected') say('Connected. Training with the others.', 'ok');
        if (step.type === 'Disconnected') say('The connection broke. Coming back…', 'error');
        if (step.type === 'OpFailed') say(`${step.kind}: ${step.reason} ${step.detail}`, 'error');
        const counters = membership?.driver.counters;
        if (counters === undefined) return;
        get('sent').textContent = kilobytes(counters.bytesSent);
        get('received').textContent = kilobytes(counters.bytesReceived);
      },
    });
    await transport.ready;
    toggle.textContent = 'Leave';
  } catch (error) {
    membership?.leave();
    membership = undefined;
    transport.close();
    say(error instanceof Error ? error.message : String(error), 'error');
  }
  toggle.disabled = false;
}

function leave() {
  membership?.leave();
  membership = undefined;
  toggle.textContent = 'Join';
  say('You have left. The others go on.');
}

toggle.addEventListener('click', () => { if (membership === undefined) void join(); else leave(); });
await join();
