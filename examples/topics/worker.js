// worker: trains where the page does not notice it.
//
// Message in: {task: 'train', encoder, train, test, wasm, epochs} or {task: 'stop'}. Out: {event: 'progress' | 'done' | 'stopped' | 'failed', ...}.

import { isBbwError } from '../../js/errors.js';
import { loadRuntime } from '../../js/runtime.js';
import { trainTopics } from './classifier.js';
import { unpackTexts } from './dataset.js';

const scope = /** @type {{onmessage: ((event: MessageEvent) => void) | null, postMessage: (message: unknown) => void}} */ (/** @type {unknown} */ (globalThis));
/** @type {AbortController | undefined} */
let running;
const STOPPED = new Error('stopped');

/** @param {{encoder: Uint8Array, train: Uint8Array, test: Uint8Array, wasm: Uint8Array, epochs: number}} message */
async function train({ encoder, train, test, wasm, epochs }) {
  const { signal } = running = new AbortController();
  try {
    const { model, accuracy, before } = await trainTopics({
      runtime: await loadRuntime(wasm), encoder, train: unpackTexts(train), test: unpackTexts(test), epochs, signal,
      onProgress: ({ epoch, batch, batches = 1, meanLoss, samplesPerSecond }) => {
        if (batch % 8 === 7 || batch === batches - 1) scope.postMessage({ event: 'progress', epoch, epochs, part: (epoch * batches + batch + 1) / (epochs * batches), loss: meanLoss, samplesPerSecond });
      },
    });
    scope.postMessage({ event: 'done', model, accuracy, before });
  } catch (error) {
    if (error === STOPPED) scope.postMessage({ event: 'stopped' });
    else scope.postMessage({ event: 'failed', text: isBbwError(error) ? `${error.code}: ${error.message}` : String(error) });
  } finally {
    running = undefined;
  }
}

scope.onmessage = (/** @type {MessageEvent} */ { data }) => {
  if (data.task === 'stop') running?.abort(STOPPED);
  else if (running === undefined) void train(data);
};
