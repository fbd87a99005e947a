// Training of standard ONNX files outside any node.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { createRuntime, createSessionIn, createTrainer, createTrainerIn, DATA_TYPE, encodeModel, isBbwError } from '../../js/index.js';
import { denseClassifier, encoder, lenet5 } from '../models/models.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const runtime = createRuntime(module);

/** @param {string} name @param {(number | string)[]} dims */
const port = (name, dims) => ({ name, type: { tensorType: { elemType: DATA_TYPE.FLOAT, shape: { dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) } } } });
/** Numbers that look random and are the same everywhere. */
const numbers = (count, seed, range = 1) => Array.from({ length: count }, (_, i) => range * Math.sin((i + 1) * 12.9898 + seed * 78.233));
const weights = (name, dims, seed, range = 0.5) => ({ name, dims, dataType: DATA_TYPE.FLOAT, floatData: numbers(dims.reduce((a, b) => a * b, 1), seed, range) });
/** 4 -> 8 -> 3 with Relu, as PyTorch exports it. */
const mlp = (last = []) => encodeModel({
  irVersion: 8, opsetImport: [{ version: 17 }],
  graph: {
    name: 'mlp', input: [port('x', ['n', 4])], output: [port(last.length > 0 ? 'p' : 'y', ['n', 3])],
    initializer: [weights('fc1.weight', [8, 4], 1), weights('fc1.bias', [8], 2), weights('fc2.weight', [3, 8], 3), weights('fc2.bias', [3], 4)],
    node: [
      { opType: 'Gemm', name: 'fc1', input: ['x', 'fc1.weight', 'fc1.bias'], output: ['h'], attribute: [{ name: 'transB', i: 1, type: 2 }] },
      { opType: 'Relu', name: 'relu', input: ['h'], output: ['r'] },
      { opType: 'Gemm', name: 'fc2', input: ['r', 'fc2.weight', 'fc2.bias'], output: ['y'], attribute: [{ name: 'transB', i: 1, type: 2 }] },
      ...last,
    ],
  },
});
const softmaxed = () => mlp([{ opType: 'Softmax', name: 'softmax', input: ['y'], output: ['p'], attribute: [{ name: 'axis', i: -1, type: 2 }] }]);
const batch = (n = 6) => ({ x: { data: Float32Array.from(numbers(n * 4, 9, 2)), dims: [n, 4] } });
const labels = (n = 6) => ({ data: Int32Array.from({ length: n }, (_, i) => i % 3), dims: [n] });
/** @param {string} code */
const fails = (code, details = {}) => (error) => {
  assert.ok(isBbwError(error), String(error));
  assert.equal(error.code, code, error.message);
  for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value, error.message);
  return true;
};

/** The loss and the gradient of the network, in f64, by hand. */
function byHand(values, x, targets) {
  const w1 = values.slice(0, 32), b1 = values.slice(32, 40), w2 = values.slice(40, 64), b2 = values.slice(64, 67), n = targets.length;
  const gradient = new Float64Array(67);
  let loss = 0;
  for (let s = 0; s < n; s++) {
    const input = Array.from(x.slice(s * 4, s * 4 + 4));
    const hidden = Array.from({ length: 8 }, (_, j) => input.reduce((sum, v, i) => sum + v * w1[j * 4 + i], b1[j]));
    const relu = hidden.map((h) => Math.max(h, 0));
    const logits = Array.from({ length: 3 }, (_, k) => relu.reduce((sum, v, j) => sum + v * w2[k * 8 + j], b2[k]));
    const e = logits.map(Math.exp), total = e.reduce((a, b) => a + b);
    loss += Math.log(total) - logits[targets[s]];
    const d = e.map((v, k) => (v / total - (k === targets[s] ? 1 : 0)) / n);
    for (let k = 0; k < 3; k++) {
      gradient[64 + k] += d[k];
      for (let j = 0; j < 8; j++) gradient[40 + k * 8 + j] += d[k] * relu[j];
    }
    for (let j = 0; j < 8; j++) {
      const back = hidden[j] > 0 ? d.reduce((sum, v, k) => sum + v * w2[k * 8 + j], 0) : 0;
      gradient[32 + j] += back;
      for (let i = 0; i < 4; i++) gradient[j * 4 + i] += back * input[i];
    }
  }
  return { loss: loss / n, gradient };
}
const close = (a, b, tolerance) => assert.ok(Math.abs(a - b) <= tolerance, `${a} is not ${b}`);

test('one step of SGD is what a hand computes', async () => {
  const trainer = await createTrainer(mlp(), { wasm: module, loss: 'softmax-cross-entropy', optimizer: { type: 'sgd', lr: 0.5 } });
  const before = trainer.parameters();
  assert.equal(before.length, 67);
  assert.deepEqual(trainer.layout.map(({ name, offset }) => [name, offset]), [['fc1.weight', 0], ['fc1.bias', 32], ['fc2.weight', 40], ['fc2.bias', 64]]);
  const want = byHand(before, batch().x.data, labels().data);
  const got = trainer.gradient(batch(), labels());
  close(got.loss, want.loss, 1e-6);
  want.gradient.forEach((g, i) => close(got.gradient[i], g, 1e-6));
  assert.deepEqual(trainer.parameters(), before);
  const { loss } = trainer.step(batch(), labels());
  assert.equal(loss, got.loss);
  trainer.parameters().forEach((value, i) => close(value, before[i] - 0.5 * want.gradient[i], 1e-6));
  assert.equal(trainer.stats.steps, 1);
  trainer.free();
  trainer.free();
  assert.throws(() => trainer.step(batch(), labels()), fails('E_STATE'));
});

test('the loss goes down with every optimizer, and the same steps give the same bits', () => {
  for (const optimizer of ['sgd', 'momentum', 'nesterov', 'adam', 'adamw']) {
    const runs = [0, 1].map(() => {
      const trainer = createTrainerIn(runtime, mlp(), { loss: 'softmax-cross-entropy', optimizer: { type: optimizer, lr: 0.05 } });
      const losses = Array.from({ length: 60 }, () => trainer.step(batch(), labels()).loss);
      const values = trainer.parameters();
      trainer.free();
      return { losses, values };
    });
    assert.ok(runs[0].losses[59] < runs[0].losses[0] * 0.9, `${optimizer}: ${runs[0].losses[0]} to ${runs[0].losses[59]}`);
    assert.deepEqual(runs[0], runs[1]);
  }
});

test('a last Softmax belongs to the loss', () => {
  const options = { loss: 'softmax-cross-entropy', optimizer: { type: 'sgd', lr: 0.1 } };
  const plain = createTrainerIn(runtime, mlp(), options), soft = createTrainerIn(runtime, softmaxed(), options);
  for (let i = 0; i < 3; i++) assert.equal(soft.step(batch(), labels()).loss, plain.step(batch(), labels()).loss);
  assert.deepEqual(soft.parameters(), plain.parameters());
  const { loss, outputs } = soft.evaluate(batch(), labels());
  assert.equal(loss, plain.evaluate(batch(), labels()).loss);
  close(outputs.p.data[0] + outputs.p.data[1] + outputs.p.data[2], 1, 1e-6);
  plain.free();
  soft.free();
});

test('the gradient from that of the output, and the loss of an output', () => {
  for (const model of [mlp(), softmaxed()]) {
    const trainer = createTrainerIn(runtime, model, { loss: 'softmax-cross-entropy', backward: true }), n = 6, isSoft = model.length !== mlp().length;
    const { loss, outputs } = trainer.evaluate(batch(n), labels(n)), [{ data, dims }] = Object.values(outputs), { gradient } = trainer.gradient(batch(n), labels(n));
    assert.ok(Math.abs(trainer.lossOf({ data, dims }, labels(n)) - loss) < 1e-6);
    const slope = new Float32Array(n * 3); // of the loss by the output, by hand
    for (let r = 0; r < n; r++) {
      const row = Array.from(data.subarray(3 * r, 3 * r + 3)), total = row.reduce((sum, v) => sum + Math.exp(v), 0);
      row.forEach((v, k) => { const hit = k === r % 3 ? 1 : 0; slope[3 * r + k] = (isSoft ? -hit / v : Math.exp(v) / total - hit) / n; });
    }
    const got = trainer.backward(batch(n), { data: slope, dims });
    got.forEach((v, i) => assert.ok(Math.abs(v - gradient[i]) < 1e-5, `${i}: ${v} ${gradient[i]}`));
    assert.ok(got.some((v) => Math.abs(v) > 1e-3));
    assert.throws(() => trainer.backward(batch(n), { data: slope.slice(3), dims: [n - 1, 3] }), fails('E_ONNX_INVALID'));
    assert.throws(() => trainer.backward(batch(n)), fails('E_ARG'));
    assert.throws(() => trainer.lossOf({ data, dims }, { data: Int32Array.of(0, 1, 2, 0, 1, 3), dims: [n] }), fails('E_ONNX_INVALID'));
    assert.throws(() => trainer.lossOf({ data, dims }), fails('E_ARG'));
    trainer.dispose();
  }
  const plain = createTrainerIn(runtime, mlp(), { loss: 'softmax-cross-entropy' });
  assert.throws(() => plain.backward(batch(1), { data: new Float32Array(3), dims: [1, 3] }), fails('E_STATE'));
  plain.dispose();
});

test('a recurrent model that is a Scan learns from sequences of any length', () => {
  const model = (a, b) => encodeModel({
    irVersion: 8, opsetImport: [{ version: 17 }],
    graph: {
      name: 'scan', input: [port('x', ['len', 2])], output: [port('last', [2])],
      initializer: [{ name: 'a', dims: [2], dataType: DATA_TYPE.FLOAT, floatData: a }, { name: 'b', dims: [2], dataType: DATA_TYPE.FLOAT, floatData: b }, { name: 'start', dims: [2], dataType: DATA_TYPE.FLOAT, floatData: [0, 0] }],
      node: [{
        opType: 'Scan', name: 'scan', input: ['start', 'x'], output: ['last'],
        attribute: [{ name: 'num_scan_inputs', i: 1, type: 2 }, {
          name: 'body', type: 5,
          g: {
            name: 'body', input: [port('h', [2]), port('row', [2])], output: [port('next', [2])],
            node: [['Mul', ['row', 'a'], 'p'], ['Mul', ['h', 'b'], 'q'], ['Add', ['p', 'q'], 's'], ['Tanh', ['s'], 'next']].map(([opType, input, output]) => ({ opType, name: output, input, output: [output] })),
          },
        }],
      }],
    },
  });
  const teacher = createSessionIn(runtime, model([0.7, -0.4], [0.5, 0.8]));
  const student = createTrainerIn(runtime, model([0.1, 0.1], [0.1, 0.1]), { loss: 'mse', optimizer: { type: 'adam', lr: 0.02 }, freeze: ['start'] });
  const losses = [];
  for (let i = 0; i < 400; i++) {
    const length = 2 + (i % 4), x = { x: { dims: [length, 2], data: Float32Array.from(numbers(2 * length, i, 1.5)) } };
    losses.push(student.step(x, teacher.run(x).last).loss);
  }
  const mean = (list) => list.reduce((a, b) => a + b) / list.length;
  assert.ok(mean(losses.slice(-20)) < 1e-4 && mean(losses.slice(0, 20)) > 0.05, `${mean(losses.slice(0, 20))} ${mean(losses.slice(-20))}`);
  [0.7, -0.4, 0.5, 0.8].forEach((want, i) => assert.ok(Math.abs(student.parameters()[i] - want) < 0.02, `${student.parameters()}`));
  assert.throws(() => createTrainerIn(runtime, model([1, 1], [1, 1]), { loss: 'mse', freeze: ['*'] }), fails('E_EMPTY'));
  for (const t of [teacher, student]) t.dispose();
});

test('moments as f16 take half the memory, are saved, and learn as well', () => {
  const make = (state) => createTrainerIn(runtime, mlp(), { loss: 'softmax-cross-entropy', optimizer: { type: 'adam', lr: 0.02, state }, seed: 3 });
  const half = make('f16'), again = make('f16'), full = make('f32');
  assert.equal(2 * half.stats.state, full.stats.state);
  for (let i = 0; i < 100; i++) for (const trainer of [half, full]) trainer.step(batch(), labels());
  const [a, b] = [half, full].map((trainer) => trainer.evaluate(batch(), labels()).loss);
  assert.ok(a < 0.3 && Math.abs(a - b) < 0.1 * b + 0.01, `${a} ${b}`);
  again.load(half.parameters());
  again.loadState(half.saveState());
  for (const trainer of [half, again]) for (let i = 0; i < 5; i++) trainer.step(batch(), labels());
  assert.deepEqual(half.parameters(), again.parameters());
  assert.throws(() => full.loadState(half.saveState()), fails('E_INVALID_VALUE'));
  assert.throws(() => make('f8'), fails('E_ARG'));
  for (const trainer of [half, again, full]) trainer.dispose();
});

test('what is frozen stays and the rest learns', () => {
  const trainer = createTrainerIn(runtime, mlp(), { loss: 'softmax-cross-entropy', freeze: ['fc1.*'], optimizer: 'adam' });
  assert.deepEqual(trainer.layout.map(({ name }) => name), ['fc2.weight', 'fc2.bias']);
  const all = createTrainerIn(runtime, mlp(), { loss: 'softmax-cross-entropy' });
  assert.ok(trainer.stats.nodes < all.stats.nodes, 'no backward work for what is frozen');
  trainer.step(batch(), labels());
  const session = createSessionIn(runtime, trainer.export()), { y } = session.run(batch());
  assert.deepEqual(y.data, trainer.evaluate(batch()).outputs.y.data);
  for (const t of [trainer, all, session]) t.dispose();
  assert.throws(() => createTrainerIn(runtime, mlp(), { loss: 'mse', freeze: ['fc3.*'] }), fails('E_ARG', { option: 'freeze', value: 'fc3.*' }));
  assert.throws(() => createTrainerIn(runtime, mlp(), { loss: 'mse', freeze: ['fc*'] }), fails('E_EMPTY'));
});

test('an exported model gives in a session what the trainer gives', () => {
  const trainer = createTrainerIn(runtime, mlp(), { loss: 'softmax-cross-entropy', optimizer: 'adam' });
  assert.deepEqual(trainer.export(), mlp());
  for (let i = 0; i < 5; i++) trainer.step(batch(), labels());
  const bytes = trainer.export();
  assert.equal(bytes.length, mlp().length);
  const session = createSessionIn(runtime, bytes);
  const ours = trainer.evaluate(batch()).outputs.y.data, theirs = session.run(batch()).y.data;
  ours.forEach((value, i) => close(value, theirs[i], 1e-6));
  const again = createTrainerIn(runtime, bytes, { loss: 'softmax-cross-entropy', optimizer: 'adam' });
  assert.deepEqual(again.parameters(), trainer.parameters());
  for (const t of [trainer, session, again]) t.dispose();
});

test('a run that goes on from its saved state ends with the same bits', () => {
  const options = { loss: 'softmax-cross-entropy', optimizer: { type: 'adam', lr: 0.05, schedule: { type: 'cosine', steps: 10, warmup: 2 } } };
  const whole = createTrainerIn(runtime, mlp(), options), first = createTrainerIn(runtime, mlp(), options), second = createTrainerIn(runtime, mlp(), options);
  for (let i = 0; i < 8; i++) whole.step(batch(), labels());
  for (let i = 0; i < 4; i++) first.step(batch(), labels());
  const state = first.saveState();
  second.load(first.parameters());
  second.loadState(state);
  for (let i = 0; i < 4; i++) second.step(batch(), labels());
  assert.deepEqual(second.parameters(), whole.parameters());
  assert.equal(second.stats.rate, whole.stats.rate);
  const changed = state.slice();
  changed[60] ^= 1;
  assert.throws(() => second.loadState(changed), fails('E_DECODE'));
  assert.throws(() => second.loadState(state.slice(0, -1)), fails('E_DECODE'));
  assert.throws(() => second.loadState(new Uint8Array(0)), fails('E_DECODE'));
  const other = createTrainerIn(runtime, mlp(), { loss: 'softmax-cross-entropy', optimizer: 'sgd' });
  assert.throws(() => other.loadState(state), fails('E_INVALID_VALUE'));
  const frozen = createTrainerIn(runtime, mlp(), { ...options, freeze: ['fc1.bias'] });
  assert.throws(() => frozen.loadState(state), fails('E_INVALID_VALUE'));
  for (const t of [whole, first, second, other, frozen]) t.dispose();
});

test('a batch that is not finite changes nothing, and bad input is named', () => {
  const trainer = createTrainerIn(runtime, mlp(), { loss: 'softmax-cross-entropy', optimizer: 'adam' });
  trainer.step(batch(), labels());
  const before = trainer.parameters(), state = trainer.saveState();
  const bad = batch();
  bad.x.data[5] = NaN;
  assert.throws(() => trainer.step(bad, labels()), fails('E_NOT_FINITE', { step: 1 }));
  bad.x.data[5] = -Infinity;
  assert.throws(() => trainer.step(bad, labels()), fails('E_NOT_FINITE'));
  assert.throws(() => trainer.step(batch(), { data: Int32Array.of(0, 1, 2, 3, 0, 1), dims: [6] }), fails('E_ONNX_INVALID', { opType: 'Loss', input: 1 }));
  assert.throws(() => trainer.step(batch(), { data: Int32Array.of(0, 1, -1, 0, 0, 1), dims: [6] }), fails('E_ONNX_INVALID'));
  assert.throws(() => trainer.step(batch(), labels(5)), fails('E_ONNX_INVALID'));
  assert.throws(() => trainer.step(batch(), { data: BigInt64Array.of(0n), dims: [2] }), fails('E_SHAPE'));
  assert.throws(() => trainer.step(batch()), fails('E_ARG'));
  assert.throws(() => trainer.step({ x: { data: new Float32Array(12), dims: [4, 3] } }, labels(4)), fails('E_SHAPE'));
  assert.throws(() => trainer.step({ x: { data: new Float32Array(0), dims: [0, 4] } }, labels(0)), fails('E_ONNX_INVALID'));
  assert.throws(() => trainer.load(new Float32Array(3)), fails('E_SHAPE'));
  assert.throws(() => trainer.load(new Float32Array(67).fill(NaN)), fails('E_NOT_FINITE'));
  assert.deepEqual(trainer.parameters(), before);
  assert.deepEqual(trainer.saveState(), state);
  trainer.add(new Float32Array(67).fill(1));
  assert.equal(trainer.parameters()[66], Math.fround(before[66] + 1));
  trainer.free();
});

test('a convolutional network learns, and starts again with the same bits', () => {
  const n = 16, image = { image: { data: Float32Array.from({ length: n * 784 }, (_, i) => (Math.floor(i / 784) % 4 === Math.floor((i % 784) / 196) ? 1 : 0) + 0.1 * Math.sin(i * 0.7)), dims: [n, 1, 28, 28] } };
  const classes = { data: Uint8Array.from({ length: n }, (_, i) => i % 4), dims: [n] }; // which quarter is bright
  const runs = [0, 1].map(() => {
    const trainer = createTrainerIn(runtime, lenet5(), { loss: 'softmax-cross-entropy', optimizer: { type: 'adam', lr: 0.002 }, seed: 5 });
    const losses = Array.from({ length: 30 }, () => trainer.step(image, classes).loss);
    const { logits } = trainer.evaluate(image).outputs;
    trainer.free();
    return { losses, right: classes.data.filter((c, i) => logits.data.subarray(i * 10, i * 10 + 10).indexOf(Math.max(...logits.data.subarray(i * 10, i * 10 + 10))) === c).length };
  });
  assert.ok(runs[0].losses[29] < 0.1, String(runs[0].losses[29]));
  assert.equal(runs[0].right, n);
  assert.deepEqual(runs[0], runs[1]);
});

test('the gradient of a whole encoder is its slope', () => {
  const tokens = { input_ids: { data: BigInt64Array.from({ length: 12 }, (_, i) => BigInt((i * 7) % 10)), dims: [2, 6] }, attention_mask: { data: BigInt64Array.of(1n, 1n, 1n, 1n, 1n, 1n, 1n, 1n, 1n, 1n, 0n, 0n), dims: [2, 6] } };
  const target = { data: Float32Array.from(numbers(96, 3, 2)), dims: [2, 6, 8] };
  const trainer = createTrainerIn(runtime, encoder({ layers: 2, width: 8, heads: 2, vocabulary: 10, positions: 16 }), { loss: 'mse', optimizer: { type: 'sgd', lr: 0.05 } });
  const { gradient } = trainer.gradient(tokens, target), values = trainer.parameters();
  // Along its own direction a gradient says how fast the loss grows; f32 leaves about four digits of a difference of losses.
  const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0)), h = 1e-2;
  for (const { name, offset, count } of [{ name: 'all', offset: 0, count: values.length }, ...trainer.layout]) {
    const part = gradient.subarray(offset, offset + count), size = Math.sqrt(part.reduce((sum, g) => sum + g * g, 0));
    if (size < 1e-2 * norm) continue;
    const [low, high] = [-1, 1].map((sign) => {
      trainer.load(values.map((v, i) => (i >= offset && i < offset + count ? v + (sign * h * gradient[i]) / size : v)));
      return /** @type {number} */ (trainer.evaluate(tokens, target).loss);
    });
    close((high - low) / (2 * h), size, 0.02 * size + 1e-3);
    assert.ok(name !== '');
  }
  trainer.load(values);
  const first = trainer.step(tokens, target).loss;
  for (let i = 0; i < 30; i++) trainer.step(tokens, target);
  assert.ok(trainer.evaluate(tokens, target).loss < first);
  trainer.free();
});

test('what has no gradient is said by name', () => {
  const model = encodeModel({
    irVersion: 8, opsetImport: [{ version: 17 }],
    graph: { name: 'set', input: [], output: [port('y', ['n'])], initializer: [weights('a', [3], 1)], node: [{ opType: 'Unique', name: 'set', input: ['a'], output: ['y'] }] },
  });
  assert.throws(() => createTrainerIn(runtime, model, { loss: 'output' }), fails('E_ONNX_UNSUPPORTED', { node: 'set', opType: 'Unique', input: 0 }));
});

test('weights are drawn anew within their bounds, from the seed', () => {
  const trainer = createTrainerIn(runtime, mlp(), { loss: 'softmax-cross-entropy', optimizer: 'adam' }), before = trainer.parameters();
  trainer.step(batch(), labels());
  trainer.load(before);
  trainer.initialize('he', 3);
  assert.equal(trainer.stats.steps, 0);
  assert.ok(trainer.saveState().subarray(44, -8).every((byte) => byte === 0));
  const he = trainer.parameters(), [w1, b1, w2] = trainer.layout;
  const part = ({ offset, count }) => he.subarray(offset, offset + count);
  assert.deepEqual(part(b1), before.subarray(b1.offset, b1.offset + b1.count));
  for (const [weight, fan] of [[w1, 4], [w2, 8]]) { // [out, in]
    const bound = Math.sqrt(6 / fan), largest = Math.max(...part(weight).map(Math.abs));
    assert.ok(largest <= bound && largest > 0.7 * bound, `${largest} of ${bound}`);
  }
  trainer.initialize('glorot', 3);
  const glorot = trainer.parameters();
  close(glorot[0] / he[0], Math.sqrt(4 / 12), 1e-6);
  trainer.initialize('he', 3);
  assert.deepEqual(trainer.parameters(), he);
  trainer.initialize('he', 4n);
  assert.notDeepEqual(trainer.parameters(), he);
  assert.throws(() => trainer.initialize(/** @type {any} */ ('zeros')), fails('E_ARG'));
  trainer.free();
});

test('options are checked', () => {
  for (const [options, field] of [
    [{ loss: 'hinge' }, 'loss'], [{}, 'loss'], [{ loss: { type: 'mse', delt: 1 } }, 'loss.delt'], [{ loss: 'mse', optimizer: 'lion' }, 'optimizer'],
    [{ loss: 'mse', optimizer: { type: 'sgd', lr: NaN } }, 'optimizer.lr'], [{ loss: 'mse', optimizer: { type: 'sgd', schedule: { steps: -1 } } }, 'optimizer.schedule.steps'],
    [{ loss: 'mse', maxMemoryBytes: -1 }, 'maxMemoryBytes'], [{ loss: { type: 'mse', ignoreIndex: 0.5 } }, 'loss.ignoreIndex'],
  ]) assert.throws(() => createTrainerIn(runtime, mlp(), /** @type {any} */ (options)), fails('E_ARG', { field }));
  for (const [optimizer, option] of [
    [{ type: 'sgd', lr: 0 }, 'rate'], [{ type: 'sgd', lr: -1 }, 'rate'], [{ type: 'momentum', momentum: 1 }, 'momentum'], [{ type: 'adam', beta2: 1 }, 'beta2'],
    [{ type: 'sgd', schedule: { type: 'cosine' } }, 'schedule_steps'], [{ type: 'sgd', clipNorm: -1 }, 'clip_norm'],
  ]) assert.throws(() => createTrainerIn(runtime, mlp(), { loss: 'mse', optimizer: /** @type {any} */ (optimizer) }), fails('E_ARG', { option }));
  assert.throws(() => createTrainerIn(runtime, mlp(), { loss: { type: 'mse', output: 'z' } }), fails('E_ARG', { option: 'output' }));
  assert.throws(() => createTrainerIn(runtime, new Uint8Array([1, 2, 3]), { loss: 'mse' }), fails('E_PROTOBUF'));
});

test('the engine gives back what trainers take', () => {
  const fresh = createRuntime(module);
  const round = () => {
    const trainer = createTrainerIn(fresh, mlp(), { loss: 'softmax-cross-entropy', optimizer: 'adam', outputs: true });
    for (const n of [6, 3, 6]) assert.deepEqual(trainer.step(batch(n), labels(n)).outputs.y.dims, [n, 3]);
    trainer.free();
    return fresh.memoryUsed;
  };
  round();
  const used = round();
  for (let i = 0; i < 5; i++) assert.equal(round(), used);
});

/** Three steps of a model. @param {Uint8Array} file @param {object} options @param {Record<string, any>} given @param {any} wanted */
function threeSteps(file, options, given, wanted) {
  const trainer = createTrainerIn(runtime, file, options);
  const losses = Array.from({ length: 3 }, () => trainer.step(given, wanted).loss);
  const answer = { losses, values: trainer.parameters(), stats: trainer.stats };
  trainer.free();
  return answer;
}

const MODELS = {
  'a dense network': [() => denseClassifier(), { loss: 'softmax-cross-entropy', optimizer: 'sgd' }, { x: { data: Float32Array.from(numbers(64 * 784, 2)), dims: [64, 784] } }, labels(64)],
  'LeNet-5': [() => lenet5(), { loss: 'softmax-cross-entropy', optimizer: 'adam', seed: 5 }, { image: { data: Float32Array.from(numbers(32 * 784, 3)), dims: [32, 1, 28, 28] } }, labels(32)],
  'an encoder': [
    () => encoder({ layers: 4, width: 32, heads: 4, vocabulary: 50, positions: 32 }), { loss: 'mse', optimizer: 'adam', freeze: ['embeddings.*'] },
    { input_ids: { data: BigInt64Array.from({ length: 8 * 32 }, (_, i) => BigInt(i % 50)), dims: [8, 32] }, attention_mask: { data: new BigInt64Array(8 * 32).fill(1n), dims: [8, 32] } },
    { data: Float32Array.from(numbers(8 * 32 * 32, 4)), dims: [8, 32, 32] },
  ],
};

for (const [name, [file, options, given, wanted]] of Object.entries(MODELS)) {
  test(`checkpoints give ${name} the same bits, and the statistics say what they save`, () => {
    const whole = threeSteps(file(), options, given, wanted);
    assert.equal(whole.stats.withoutCheckpoints, 0);
    for (const checkpoints of [2, true]) {
      const split = threeSteps(file(), { ...options, checkpoints }, given, wanted);
      assert.deepEqual(split.losses, whole.losses);
      assert.deepEqual(split.values, whole.values);
      assert.equal(split.stats.withoutCheckpoints, whole.stats.step);
      if (name === 'an encoder') assert.ok(split.stats.step < 0.75 * whole.stats.step, `${split.stats.step} of ${whole.stats.step} bytes`);
    }
  });

  test(`a step of ${name} takes little more memory than what is live in it`, () => {
    const { stats } = threeSteps(file(), options, given, wanted);
    const live = stats.live + stats.state;
    assert.ok(stats.results + stats.state <= 1.5 * live, `${stats.results + stats.state} bytes are held, ${live} are live`);
  });
}

test('checkpoints are a number of segments, or yes or no', () => {
  for (const checkpoints of [-1, 1.5, 'yes', NaN]) {
    assert.throws(() => createTrainerIn(runtime, mlp(), { loss: 'mse', checkpoints: /** @type {any} */ (checkpoints) }), fails('E_ARG', { field: 'checkpoints' }));
  }
});
