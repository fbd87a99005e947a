// What tests/browser/data.test.js runs in a worker: trains from a set in IndexedDB, stops when the page says so, goes on.
import { createBatch, createRandom, deleteStoredSet, openStoredSet } from '/js/data/index.js';
import { createAccuracy, evaluate, fit } from '/js/training/index.js';
import { createLinearTrainer } from '/tests/js/linear-trainer.js';

const random = createRandom(1), count = 600, data = new Float32Array(count * 2), labels = new Int32Array(count);
for (let i = 0; i < count; i++) {
  labels[i] = i % 2;
  data[2 * i] = (i % 2 ? 2 : -2) + random.normal();
  data[2 * i + 1] = random.normal();
}
await deleteStoredSet('clouds');
const set = await openStoredSet('clouds', { chunk: 50, chunksHeld: 2 });
await set.append(createBatch({ inputs: { x: { data, dims: [count, 2] } }, labels }));

const linear = () => createLinearTrainer({ width: 2, classes: 2 }), options = { epochs: 40, batchSize: 20, seed: 3, budgetMs: 2 };
const whole = linear();
for await (const _ of fit(whole, set, options)) { /* to the end */ }
const { accuracy } = await evaluate(whole, set, { accuracy: createAccuracy() });

const controller = new AbortController(), trainer = linear();
self.onmessage = () => controller.abort(new Error('told to'));
let last, stopped = 'never';
try {
  for await (const progress of fit(trainer, set, { ...options, signal: controller.signal })) {
    if (last === undefined) self.postMessage({ event: 'progress' });
    last = progress;
  }
} catch (error) {
  stopped = error.message;
}
for await (const _ of fit(trainer, set, { ...options, from: last.position })) { /* to the end */ }
self.postMessage({ event: 'done', accuracy, stopped, isSame: trainer.weights.every((w, i) => w === whole.weights[i]) });
