// page: starts the training in a worker, shows how it goes, and asks the model that comes out of it.

import { createSession } from '/js/session.js';
import { createBars, fetchBytes, fetchText, get, say, sayError } from '/examples/common.js';
import { createTokenizer } from '/examples/sentences/tokenizer.js';
import { CLASSES, LENGTH, rowOf } from './dataset.js';

const BUILT = '/build/examples', EPOCHS = 8;
const TRY = 'a large grey animal that lives in africa';
const text = /** @type {HTMLInputElement} */ (get('text'));
/** @param {string} id @param {boolean} isEnabled */
const enable = (id, isEnabled) => { /** @type {HTMLButtonElement} */ (get(id)).disabled = !isEnabled; };

const bars = createBars(CLASSES);

/** @param {ArrayLike<number>} scores */
function show(scores) {
  const most = Math.max(...Array.from(scores)), powers = Array.from(scores, (s) => Math.exp(s - most)), sum = powers.reduce((a, b) => a + b, 0);
  const best = bars.show(powers.map((power) => power / sum));
  return `${CLASSES[best]}, with ${((100 * powers[best]) / sum).toFixed(0)} %`;
}

async function start() {
  const [wasm, encoder, train, test, vocabulary] = await Promise.all([
    fetchBytes('/build/wasm/bb.wasm'), fetchBytes(`${BUILT}/sentences/model.onnx`), fetchBytes(`${BUILT}/topics/train.bin`), fetchBytes(`${BUILT}/topics/test.bin`), fetchText(`${BUILT}/sentences/vocabulary.txt`),
  ]);
  const tokenizer = createTokenizer(vocabulary.split('\n'));
  /** @type {import('../../js/session.js').Session | undefined} */
  let session;
  const worker = new Worker('/examples/topics/worker.js', { type: 'module' });
  const rest = () => {
    enable('train', true);
    enable('stop', false);
  };
  worker.onerror = () => {
    rest();
    say('The worker could not be started.', 'error');
  };

  function ask() {
    if (session === undefined) return;
    const words = rowOf(tokenizer, text.value), dims = [1, LENGTH];
    if (words[0] === 0) {
      bars.clear();
      return say('None of these words is in the vocabulary. Try others.');
    }
    const ids = BigInt64Array.from(words, BigInt), mask = BigInt64Array.from(words, (word) => (word === 0 ? 0n : 1n));
    const { scores } = session.run({ input_ids: { data: ids, dims }, attention_mask: { data: mask, dims } });
    say(`It is about: ${show(/** @type {Float32Array} */ (scores.data))}.`);
  }

  worker.onmessage = async ({ data }) => {
    try {
      if (data.event === 'progress') {
        /** @type {HTMLProgressElement} */ (get('progress')).value = data.part;
        get('epoch').textContent = `${data.epoch + 1} of ${data.epochs}`;
        get('loss').textContent = data.loss.toFixed(3);
        if (data.samplesPerSecond !== undefined) get('speed').textContent = String(Math.round(data.samplesPerSecond));
        return;
      }
      rest();
      if (data.event === 'stopped') say('Stopped. Nothing was kept; train again.');
      else if (data.event === 'failed') say(data.text, 'error');
      else {
        session?.dispose();
        session = await createSession(data.model, { wasm });
        get('accuracy').textContent = `${(data.accuracy * 100).toFixed(1)} % (before: ${(data.before * 100).toFixed(1)} %)`;
        text.disabled = false;
        enable('go', true);
        if (text.value === '') text.value = TRY;
        ask();
        say(`Trained. ${get('status').textContent}`);
      }
    } catch (error) {
      sayError(error);
    }
  };
  get('train').addEventListener('click', () => {
    enable('train', false);
    enable('stop', true);
    say('Training…');
    worker.postMessage({ task: 'train', encoder, train, test, wasm, epochs: EPOCHS });
  });
  get('stop').addEventListener('click', () => worker.postMessage({ task: 'stop' }));
  get('form').addEventListener('submit', (event) => {
    event.preventDefault();
    try {
      ask();
    } catch (error) {
      sayError(error);
    }
  });
  rest();
  say('Ready. Press “Train”.');
}

try {
  await start();
} catch (error) {
  sayError(error);
}
