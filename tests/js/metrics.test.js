// Metrics against values computed by hand, in one batch and in many, and against a second way of computing them.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createRandom, fromArrays } from '../../js/data/index.js';
import { createAccuracy, createAuc, createConfusion, createMae, createRmse, evaluate } from '../../js/training/index.js';

const code = (name, details = {}) => (error) => {
  assert.equal(error.code, name, error.stack);
  for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value, key);
  return true;
};
const floats = (numbers, dims = [numbers.length]) => ({ data: Float32Array.from(numbers), dims });
const ints = (numbers) => ({ data: BigInt64Array.from(numbers, BigInt), dims: [numbers.length] });

test('accuracy counts the samples whose highest score is that of their class', () => {
  const metric = createAccuracy();
  assert.ok(Number.isNaN(metric.value));
  metric.add(floats([0.1, 0.9, 0.8, 0.2, 0.5, 0.5], [3, 2]), ints([1, 1, 0])); // the first of equal scores counts
  assert.deepEqual([metric.value, metric.count], [2 / 3, 3]);
  metric.add(floats([-5, -1], [1, 2]), floats([0.2, 0.8], [1, 2])); // a distribution
  assert.equal(metric.value, 3 / 4);
  metric.reset();
  assert.ok(Number.isNaN(metric.value) && metric.count === 0);
});

test('the confusion matrix, precision and recall by hand', () => {
  // right: 0 0 0 1 1 2; found: 0 0 1 1 0 1
  const found = [0, 0, 1, 1, 0, 1], right = [0, 0, 0, 1, 1, 2], metric = createConfusion(3);
  const scores = (list) => floats(list.flatMap((c) => [0, 1, 2].map((i) => (i === c ? 1 : 0))), [list.length, 3]);
  metric.add(scores(found.slice(0, 4)), ints(right.slice(0, 4)));
  metric.add(scores(found.slice(4)), ints(right.slice(4)));
  const { matrix, accuracy, classes } = metric.value;
  assert.deepEqual(matrix, [[2, 1, 0], [1, 1, 0], [0, 1, 0]]);
  assert.equal(accuracy, 3 / 6);
  assert.deepEqual(classes[0], { precision: 2 / 3, recall: 2 / 3, f1: 4 / 6, support: 3 });
  assert.deepEqual(classes[1], { precision: 1 / 3, recall: 1 / 2, f1: 2 / 5, support: 2 });
  assert.deepEqual(classes[2], { precision: NaN, recall: 0, f1: 0, support: 1 });
  for (const bad of [1, 0, 2.5, 5000]) assert.throws(() => createConfusion(bad), code('E_ARG'));
});

test('the area under the ROC curve: by hand, with ties, and by comparing every pair', () => {
  const auc = (scores, labels) => { const m = createAuc(); m.add(floats(scores), ints(labels)); return m.value; };
  assert.equal(auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 0.75);
  assert.equal(auc([1, 2, 3, 4], [0, 0, 1, 1]), 1);
  assert.equal(auc([4, 3, 2, 1], [0, 0, 1, 1]), 0);
  assert.equal(auc([5, 5, 5, 5], [0, 1, 0, 1]), 0.5);
  assert.ok(Number.isNaN(auc([1, 2], [1, 1])) && Number.isNaN(auc([], [])));
  const random = createRandom(8), metric = createAuc(), scores = [], labels = [];
  for (let batch = 0; batch < 40; batch++) { // more than the room it begins with
    const s = Array.from({ length: 50 }, () => Math.fround(random.below(60) / 60 + (random.next() < 0.5 ? 0 : random.next()))), l = s.map((x) => (random.next() < x / 2 ? 1 : 0));
    scores.push(...s);
    labels.push(...l);
    metric.add(floats(s), ints(l));
  }
  let wins = 0, pairs = 0;
  scores.forEach((a, i) => scores.forEach((b, j) => {
    if (labels[i] !== 1 || labels[j] !== 0) return;
    pairs++;
    wins += a > b ? 1 : a === b ? 0.5 : 0;
  }));
  assert.ok(Math.abs(metric.value - wins / pairs) < 1e-12, `${metric.value} ${wins / pairs}`);
  // Scores of several classes: that of the class less the highest other.
  const many = createAuc({ positive: 2 });
  many.add(floats([0, 1, 5, 0, 3, 2], [2, 3]), ints([2, 0]));
  assert.equal(many.value, 1);
  assert.throws(() => many.add(floats([1, 2], [1, 2]), ints([1])), code('E_SHAPE'));
});

test('errors of numbers by hand, over batches', () => {
  const mae = createMae(), rmse = createRmse();
  for (const metric of [mae, rmse]) {
    metric.add(floats([1, 2], [2, 1]), floats([2, 4]));
    metric.add(floats([0]), floats([-2]));
  }
  assert.deepEqual([mae.value, rmse.value], [5 / 3, Math.sqrt(3)]);
});

test('what does not fit is refused and changes nothing', () => {
  const good = [floats([0, 1], [1, 2]), ints([1])];
  const cases = [
    [createAccuracy, [floats([0, 1], [1, 2]), ints([0, 1])], 'E_SHAPE'],
    [createAccuracy, [floats([0, 1, 1, 0], [2, 2]), ints([0, 2])], 'E_INVALID_VALUE', { row: 1, value: 2, cap: 2 }],
    [createAccuracy, [floats([0, 1, 1, 0], [2, 2]), ints([0, -1])], 'E_INVALID_VALUE', { row: 1 }],
    [createAccuracy, [floats([0, 1, 1, 0], [2, 2]), floats([0, 0.5])], 'E_INVALID_VALUE', { row: 1 }],
    [createAccuracy, [floats([0, 1, NaN, 0], [2, 2]), ints([0, 1])], 'E_NOT_FINITE', { row: 1 }],
    [createAccuracy, [floats([0, 1]), ints([0, 1])], 'E_SHAPE'],
    [createAccuracy, [{ data: [0, 1], dims: [1, 2] }, ints([0])], 'E_ARG'],
    [() => createConfusion(2), [floats([0, 1, 2], [1, 3]), ints([0])], 'E_SHAPE', { expected: 2, got: 3 }],
  ];
  for (const [make, [outputs, labels], name, details] of cases) {
    const metric = make();
    metric.add(...good);
    assert.throws(() => metric.add(outputs, labels), code(name, details));
    assert.equal(metric.count, 1);
  }
  const auc = createAuc(), mae = createMae();
  assert.throws(() => auc.add(floats([1, NaN]), ints([0, 1])), code('E_NOT_FINITE'));
  assert.throws(() => mae.add(floats([1, Infinity]), floats([0, 1])), code('E_NOT_FINITE', { place: 1 }));
  assert.throws(() => mae.add(floats([1, 2], [1, 2]), floats([0])), code('E_SHAPE'));
  assert.deepEqual([auc.count, mae.count], [0, 0]);
});

test('evaluate runs a trainer or a session over data, with every metric, batch size aside', async () => {
  const x = { data: Float32Array.from({ length: 20 }, (_, i) => (i * 7) % 11), dims: [10, 2] }, set = fromArrays({ inputs: { x }, labels: Int32Array.from({ length: 10 }, (_, i) => i % 2) });
  const model = { run: ({ x: { data, dims } }) => ({ y: { data, dims } }) };
  let want;
  for (const batchSize of [1, 3, 10, 100]) {
    const got = await evaluate(model, set, { accuracy: createAccuracy(), auc: createAuc() }, { batchSize });
    want ??= got;
    assert.deepEqual(got, want);
  }
  assert.deepEqual(await evaluate({ evaluate: (inputs) => ({ outputs: model.run(inputs) }) }, set, { accuracy: createAccuracy() }), { accuracy: want.accuracy });
  await assert.rejects(evaluate({ run: () => ({ a: x, b: x }) }, set, {}), code('E_ARG', { expected: ['a', 'b'] }));
  await assert.rejects(evaluate(model, fromArrays({ inputs: { x } }), {}), code('E_ARG', { field: 'labels' }));
  await assert.rejects(evaluate(model, fromArrays({ inputs: { x: new Float32Array() }, labels: new Float32Array() }), {}), code('E_EMPTY'));
  const controller = new AbortController();
  controller.abort(new Error('enough'));
  await assert.rejects(evaluate(model, set, {}, { signal: controller.signal }), /enough/);
});
