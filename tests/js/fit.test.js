// The loop over epochs and batches: what it reports, how it lets others work, how it stops, and that it goes on with the same bits.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createLoader, createRandom, fromArrays, fromIterable, noise } from '../../js/data/index.js';
import { createAccuracy, evaluate, fit } from '../../js/training/index.js';
import { createLinearTrainer } from './linear-trainer.js';

const code = (name, details = {}) => (error) => {
  assert.equal(error.code, name, error.stack);
  for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value, key);
  return true;
};
/** Points around three centres. */
function blobs(count, seed = 1) {
  const random = createRandom(seed), data = new Float32Array(count * 2), labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    labels[i] = i % 3;
    data[2 * i] = [0, 3, -3][i % 3] + random.normal();
    data[2 * i + 1] = [3, -2, -2][i % 3] + random.normal();
  }
  return { inputs: { x: { data, dims: [count, 2] } }, labels };
}
const set = fromArrays(blobs(100));
const linear = () => createLinearTrainer({ width: 2, classes: 3 });
const run = async (loop) => { const all = []; for await (const progress of loop) all.push(progress); return all; };

test('it trains: three clouds are told apart', async () => {
  const trainer = linear();
  const events = await run(fit(trainer, set, { epochs: 8, batchSize: 10 }));
  assert.equal(events.length, 80);
  assert.ok(events[79].meanLoss < events[9].meanLoss / 2, `${events[9].meanLoss} ${events[79].meanLoss}`);
  const { accuracy } = await evaluate(trainer, fromArrays(blobs(300, 2)), { accuracy: createAccuracy() });
  assert.ok(accuracy > 0.95, `accuracy ${accuracy}`);
});

test('progress says where it is, how well and how fast, by a clock that is given', async () => {
  let ms = 0;
  const seen = [], trainer = linear(), step = trainer.step;
  trainer.step = (...args) => { ms += 100; return step(...args); };
  const events = await run(fit(trainer, set, { epochs: 2, batchSize: 30, seed: 4, now: () => ms, onProgress: (p) => seen.push(p) }));
  assert.deepEqual(seen, events);
  assert.deepEqual(events.map(({ epoch, batch }) => [epoch, batch]), [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0], [1, 1], [1, 2], [1, 3]]);
  assert.deepEqual(events.map(({ samples }) => samples), [30, 60, 90, 100, 30, 60, 90, 100]);
  assert.deepEqual(events.map(({ isEpochEnd }) => isEpochEnd), [false, false, false, true, false, false, false, true]);
  assert.deepEqual(events.map(({ etaMs }) => etaMs), [700, 600, 500, 400, 300, 200, 100, 0]);
  assert.deepEqual(events.map(({ samplesPerSecond }) => Math.round(samplesPerSecond)), [300, 300, 300, 250, 260, 267, 271, 250]);
  const mean = (30 * events[0].loss + 30 * events[1].loss + 30 * events[2].loss + 10 * events[3].loss) / 100;
  assert.ok(Math.abs(events[3].meanLoss - mean) < 1e-12);
  assert.deepEqual([events[0].epochs, events[0].batches], [2, 4]);
  assert.deepEqual(events[7].position, { version: 1, epoch: 2, batch: 0, seed: 4, batchSize: 30, shuffle: true, dropLast: false, length: 100, lossSum: 0, samples: 0 });
});

test('a clock that stands still gives no speed, and other tasks still get their turn', async () => {
  let turns = 0, isOver = false;
  const others = (async () => { while (!isOver) { await new Promise((resolve) => setImmediate(resolve)); turns++; } })();
  const events = await run(fit(linear(), set, { epochs: 4, batchSize: 1, now: () => 0, budgetBatches: 10 }));
  isOver = true;
  await others;
  assert.deepEqual([events[50].samplesPerSecond, events[50].etaMs], [undefined, undefined]);
  assert.ok(turns >= 35, `${turns} turns in 400 steps`);
});

test('by time: a task that is due runs before the end, soon', async () => {
  const trainer = linear(), step = trainer.step;
  trainer.step = (...args) => { const end = performance.now() + 2; while (performance.now() < end); return step(...args); };
  const late = [];
  let due = performance.now() + 20;
  const timer = setInterval(() => { late.push(performance.now() - due); due = performance.now() + 20; }, 20);
  await run(fit(trainer, set, { epochs: 2, batchSize: 1, budgetMs: 8 }));
  clearInterval(timer);
  assert.ok(late.length >= 8, `${late.length} timers in 400 ms`);
});

test('the same seed gives the same bits, another seed others, without shuffling the seed does not matter', async () => {
  const weights = async (options) => { const trainer = linear(); await run(fit(trainer, set, { epochs: 2, batchSize: 7, ...options })); return trainer.weights; };
  const first = await weights({ seed: 1 });
  assert.deepEqual(await weights({ seed: 1, budgetBatches: 1 }), first);
  assert.notDeepEqual(await weights({ seed: 2 }), first);
  assert.deepEqual(await weights({ seed: 1, shuffle: false }), await weights({ seed: 2, shuffle: false }));
});

test('stopped after any step and begun anew from position and state, it ends with the same bits and the same reports', async () => {
  const options = { epochs: 3, batchSize: 9, seed: 5, transform: noise({ deviation: 0.3 }) };
  const stream = fromIterable(() => createLoader(set, { batchSize: 13 }).batches());
  for (const source of [set, stream]) {
    const whole = linear(), all = await run(fit(whole, source, options));
    for (let stop = 1; stop < all.length; stop += 3) {
      const trainer = linear();
      let state, position, count = 0;
      for await (const progress of fit(trainer, source, options)) {
        if (++count < stop) continue;
        position = JSON.stringify(progress.position);
        state = trainer.saveState();
        break;
      }
      const other = linear();
      other.loadState(state);
      const rest = await run(fit(other, source, { ...options, from: JSON.parse(position) }));
      assert.deepEqual(other.weights, whole.weights, `stopped after ${stop}`);
      const what = ({ epoch, batch, loss, meanLoss, samples, isEpochEnd, position: at }) => ({ epoch, batch, ...(source === set && { loss }), meanLoss, samples, isEpochEnd, at });
      assert.deepEqual(rest.map(what), all.slice(stop).map(what));
    }
  }
});

test('a position of another run is refused, by name', async () => {
  const [{ position }] = await run(fit(linear(), set, { epochs: 1, batchSize: 50, seed: 1 }));
  const begin = (options, at = position, data = set) => run(fit(linear(), data, { epochs: 1, batchSize: 50, seed: 1, from: at, ...options }));
  for (const [options, field] of [[{ seed: 2 }, 'seed'], [{ batchSize: 49 }, 'batchSize'], [{ shuffle: false }, 'shuffle'], [{ dropLast: true }, 'dropLast']]) {
    await assert.rejects(begin(options), code('E_RESTORE_MISMATCH', { field }));
  }
  await assert.rejects(begin({}, position, fromArrays(blobs(99))), code('E_RESTORE_MISMATCH', { field: 'length' }));
  await assert.rejects(begin({}, { ...position, version: 2 }), code('E_RESTORE_MISMATCH', { field: 'version' }));
  await assert.rejects(begin({}, {}), code('E_RESTORE_MISMATCH'));
  for (const bad of [{ epoch: -1 }, { batch: 0.5 }, { batch: 3 }, { samples: 'x' }, { lossSum: 'x' }]) await assert.rejects(begin({}, { ...position, ...bad }), code('E_ARG'), JSON.stringify(bad));
});

test('an aborted signal stops after the step that runs, with its reason; the trainer can go on', async () => {
  const trainer = linear(), controller = new AbortController(), reason = new Error('enough');
  let last;
  await assert.rejects(async () => {
    for await (const progress of fit(trainer, set, { epochs: 5, batchSize: 10, signal: controller.signal })) {
      last = progress;
      if (progress.epoch === 1 && progress.batch === 3) controller.abort(reason);
    }
  }, reason);
  assert.equal(trainer.steps, 14);
  await assert.rejects(fit(trainer, set, { signal: controller.signal }).next(), reason);
  await run(fit(trainer, set, { epochs: 5, batchSize: 10, from: last.position }));
  const whole = linear();
  await run(fit(whole, set, { epochs: 5, batchSize: 10 }));
  assert.deepEqual(trainer.weights, whole.weights);
  // Aborted while other tasks have their turn.
  const later = new AbortController();
  setImmediate(() => later.abort(reason));
  await assert.rejects(run(fit(linear(), set, { epochs: 1e6, batchSize: 10, budgetBatches: 2, signal: later.signal })), reason);
});

test('a step that fails stops the loop with epoch and batch, and nothing of it is kept', async () => {
  const parts = blobs(40);
  parts.labels[33] = 9;
  const trainer = linear(), options = { batchSize: 10, shuffle: false };
  await assert.rejects(run(fit(trainer, fromArrays(parts), options)), code('E_INVALID_VALUE', { epoch: 0, batch: 3, row: 3, value: 9 }));
  const before = trainer.weights.slice();
  assert.equal(trainer.steps, 3);
  parts.labels[33] = 0;
  parts.inputs.x.data[2 * 5] = NaN;
  await assert.rejects(run(fit(trainer, fromArrays(parts), options)), code('E_NOT_FINITE', { epoch: 0, batch: 0 }));
  assert.deepEqual(trainer.weights, before);
  parts.inputs.x.data[2 * 5] = 0;
  await run(fit(trainer, fromArrays(parts), options)); // it is free again
  const odd = { step() { throw new TypeError('mine'); } };
  await assert.rejects(run(fit(odd, set)), (error) => error instanceof TypeError && error.message === 'mine');
});

test('one loop at a time; leaving it sets the trainer free; data that fail do too', async () => {
  const trainer = linear(), loop = fit(trainer, set, { batchSize: 10 });
  await loop.next();
  await assert.rejects(fit(trainer, set).next(), code('E_STATE'));
  await loop.return();
  for await (const _ of fit(trainer, set, { batchSize: 10 })) break;
  await assert.rejects(run(fit(trainer, fromIterable(async function* () { yield* []; throw new Error('the disk is gone'); }))), /the disk is gone/);
  await assert.rejects(run(fit(trainer, set, { onProgress() { throw new Error('not mine'); } })), /not mine/);
  await run(fit(trainer, set));
});

test('nothing to train on, no labels, and options without sense are refused before the first step', async () => {
  const x = { data: new Float32Array(6), dims: [3, 2] }, trainer = linear();
  const cases = [
    [fromArrays({ inputs: { x: { data: new Float32Array(), dims: [0, 2] } }, labels: new Float32Array() }), {}, 'E_EMPTY'],
    [set, { batchSize: 200, dropLast: true }, 'E_EMPTY'], [fromIterable([]), {}, 'E_EMPTY'], [fromArrays({ inputs: { x } }), {}, 'E_ARG'],
    [set, { epochs: -1 }, 'E_ARG'], [set, { epochs: 1.5 }, 'E_ARG'], [set, { budgetMs: NaN }, 'E_ARG'], [set, { budgetBatches: 0 }, 'E_ARG'], [set, { batchSize: 0 }, 'E_ARG'], [undefined, {}, 'E_ARG'],
  ];
  for (const [data, options, name] of cases) await assert.rejects(run(fit(trainer, data, options)), code(name), JSON.stringify(options));
  await assert.rejects(run(fit({}, set)), code('E_ARG'));
  assert.equal(trainer.steps, 0);
  assert.deepEqual(await run(fit(trainer, set, { epochs: 0 })), []);
});

test('a stream tells its end when it is there, and its length from the second epoch on', async () => {
  const stream = fromIterable(() => createLoader(set, { batchSize: 50 }).batches()), events = await run(fit(linear(), stream, { epochs: 2, batchSize: 40 }));
  assert.deepEqual(events.map(({ epoch, batch, isEpochEnd, batches }) => [epoch, batch, isEpochEnd, batches]),
    [[0, 0, false, undefined], [0, 1, false, undefined], [0, 2, false, undefined], [0, 2, true, 3], [1, 0, false, 3], [1, 1, false, 3], [1, 2, false, 3], [1, 2, true, 3]]);
});
