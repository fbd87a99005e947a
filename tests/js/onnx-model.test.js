// OnnxModel, the Model in C, as JavaScript uses it: options in the file, training in slices beside other work, progress, and a snapshot in the middle of an epoch.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { compile, createRuntime, createSessionIn, createTrainerIn, DATA_TYPE, decodeModel, decodeValue, defineModule, denseNetwork, encodeModel, installIn, PeerId, slots, tensor, trigger, typeHash } from '../../js/index.js';
import { drive } from '../../js/driver.js';
import { decodeProgress, withTraining } from '../../js/training/index.js';
import { lenet5 } from '../models/models.js';
import { labels, x } from './rings.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const OPTIONS = { loss: 'softmax-cross-entropy', optimizer: { type: 'adam', lr: 0.02 }, seed: 5 };
const rings = denseNetwork([2, 16, 2], { seed: 3 });

const artifactOf = (training) => compile(defineModule('Learn', (g) => {
  const model = slots.model(), x = g.input('x'), labels = g.input('labels');
  g.output('trained', g.bundle(model.train(g, x, labels, training)));
  g.output('tested', g.bundle(model.evaluate(g, g.input('testX'), g.input('testLabels'))));
  g.output('params', model.params(g, g.input('ask')));
  g.output('loaded', model.loadParameters(g, g.input('load')));
  g.output('y', model.forward(g, g.input('forward')));
  g.output('gradient', model.backward(g, g.input('backward')));
  g.output('loss', model.computeLoss(g, g.input('predicted'), g.input('wanted')));
  g.output('echo', g.input('call'));
}), { bindings: { model: { role: 'Model', type: 'OnnxModel' } } });

function nodeOf(artifact, onnx) {
  return installIn(createRuntime(module), { peerId: PeerId.fromU64(1), artifact, targets: ['Learn'], config: { model: onnx } });
}

/** Invokes, and polls until the topic has come; tells its bytes and what came with it. */
function ask(node, inputs, wanted, limit = 2000) {
  node.invoke('Learn', inputs);
  return until(node, wanted, limit);
}
function until(node, wanted, limit = 2000) {
  const topics = [];
  for (let polls = 1; polls <= limit; polls++) {
    for (const step of node.poll()) {
      if (step.type === 'OpFailed') return { failed: step, topics, polls };
      if (step.type !== 'AppEvent' || step.module) continue;
      topics.push(step.topic);
      if (step.topic === wanted) return { bytes: step.valueBytes, topics, polls };
    }
  }
  return assert.fail(`no ${wanted}`);
}
const pair = ({ bytes }) => decodeValue(typeHash('Composite'), bytes).values;
const numbers = ({ bytes }) => decodeValue(typeHash('CpuTensor'), bytes);
const data = { x: tensor(x, [200, 2]), labels: tensor(labels) };

test('a file says how it is trained, and other programs see the same model', async () => {
  const file = withTraining(rings, { ...OPTIONS, loss: { type: 'softmax-cross-entropy', labelSmoothing: 0.1, classWeights: [1, 0.25] }, freeze: ['*'] });
  const { metadataProps } = decodeModel(file);
  const entries = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
  assert.equal(entries['bbw.train.optimizer'], 'adam');
  assert.equal(entries['bbw.train.rate'], String(Math.fround(0.02)));
  assert.equal(entries['bbw.train.class_weights'], '1\n0.25');
  const artifact = await artifactOf({ epochs: 1 });
  assert.throws(() => nodeOf(artifact, file), ({ code, details }) => code === 'E_INST_CONSTRUCTION' && /no initializer is left/.test(details.detail));
  assert.throws(() => nodeOf(artifact, withTraining(rings, { ...OPTIONS, freeze: ['nobody'] })), ({ code }) => code === 'E_INST_CONSTRUCTION');
  assert.throws(() => withTraining(rings, { loss: 'hope' }), ({ code }) => code === 'E_ARG');
  assert.throws(() => withTraining(rings, { loss: 'mse', freeze: ['a\nb'] }), ({ code }) => code === 'E_ARG');
  const runtime = createRuntime(module), session = createSessionIn(runtime, file), [{ name }] = session.inputs;
  const given = { [name]: { data: x.slice(0, 2), dims: [1, 2] } };
  assert.deepEqual(session.run(given), createSessionIn(runtime, rings).run(given));
});

test('options that a file has already count no more', async () => {
  const old = withTraining(rings, { loss: { type: 'softmax-cross-entropy', ignoreIndex: 1 }, optimizer: 'adam', freeze: ['*'] });
  const node = nodeOf(await artifactOf({ epochs: 1 }), withTraining(old, { loss: 'softmax-cross-entropy' }));
  const loss = decodeValue(typeHash('RawF32'), ask(node, { predicted: tensor(Float32Array.of(0, 0), [1, 2]), wanted: tensor(Float32Array.of(1)) }, 'loss').bytes).value;
  assert.ok(Math.abs(loss - Math.log(2)) < 1e-6); // not ignored
  for (const options of [null, undefined, 5]) assert.throws(() => withTraining(rings, options), ({ code }) => code === 'E_ARG');
  for (const output of [5, {}, ['y']]) assert.throws(() => withTraining(rings, { loss: { type: 'mse', output } }), ({ code }) => code === 'E_ARG');
  for (const schedule of [5, 'cosine', true]) assert.throws(() => withTraining(rings, { loss: 'mse', optimizer: { type: 'sgd', schedule } }), ({ code }) => code === 'E_ARG');
});

test('a convolutional network learns, and what it gives is what a trainer gives', async () => {
  const onnx = lenet5(), runtime = createRuntime(module), trainer = createTrainerIn(runtime, onnx, { loss: 'softmax-cross-entropy', backward: true });
  const [{ name, dims }] = trainer.inputs, shape = dims.slice(1), size = shape.reduce((a, b) => a * b, 1), count = 24;
  const images = Float32Array.from({ length: count * size }, (_, i) => ((i * 7919) % 251) / 251 + (i % size < size / 2 && Math.floor(i / size) % 2 ? 1 : 0));
  const classes = Float32Array.from({ length: count }, (_, i) => i % 2);
  const node = nodeOf(await artifactOf({ epochs: 6, batchSize: 8, learningRate: 0.05, seed: 1 }), onnx);
  const set = { x: tensor(images, [count, ...shape]), labels: tensor(classes) };
  const test0 = pair(ask(node, { testX: set.x, testLabels: set.labels }, 'tested'));
  const y = numbers(ask(node, { forward: tensor(images.slice(0, 2 * size), [2, ...shape]) }, 'y'));
  const given = { [name]: { data: images.slice(0, 2 * size), dims: [2, ...shape] } };
  assert.deepEqual(y.data, Object.values(trainer.evaluate(given).outputs)[0].data);
  const slope = Float32Array.from(y.data, (_, i) => Math.sin(i));
  const gradient = numbers(ask(node, { backward: tensor(slope, [2, 10]) }, 'gradient'));
  assert.deepEqual(gradient.data, trainer.backward(given, { data: slope, dims: [2, 10] }));
  assert.ok(gradient.data.some((v) => Math.abs(v) > 1e-3));
  const loss = decodeValue(typeHash('RawF32'), ask(node, { predicted: y, wanted: tensor(classes.slice(0, 2)) }, 'loss').bytes).value;
  assert.equal(loss, Math.fround(trainer.lossOf({ data: y.data, dims: [2, 10] }, { data: Int32Array.from(classes.slice(0, 2)), dims: [2] })));
  ask(node, set, 'trained');
  const test1 = pair(ask(node, { testX: set.x, testLabels: set.labels }, 'tested'));
  assert.ok(test1[0].value < test0[0].value / 2 && test1[1].value > 0.9, `${test0[0].value} ${test1[0].value} ${test1[1].value}`);
  node.dispose();
});

test('a driven node does other things while it trains, and says how far it is', async () => {
  const node = nodeOf(await artifactOf({ epochs: 3, batchSize: 10, batchesPerPoll: 4, progress: 'how' }), withTraining(rings, OPTIONS));
  const driver = drive(node), progress = [], order = [];
  node.invoke('Learn', data);
  const timer = setInterval(() => node.deliverEvent('Learn', 'call', trigger()), 0);
  for await (const step of driver) {
    if (step.type !== 'AppEvent' || step.module) continue;
    order.push(step.topic);
    if (step.topic === 'how') progress.push(decodeProgress(step.valueBytes));
    if (step.topic === 'trained') break;
  }
  clearInterval(timer);
  driver.stop();
  assert.equal(progress.length, 15);
  assert.deepEqual(progress.map(({ epoch, batch }) => [epoch, batch]).slice(0, 6), [[0, 4], [0, 8], [0, 12], [0, 16], [1, 0], [1, 4]]);
  assert.ok(progress.every(({ epochs, batches, loss }) => epochs === 3 && batches === 20 && Number.isFinite(loss)));
  assert.deepEqual([progress.at(-1).batch, progress.at(-1).etaMs], [20, 0]);
  assert.ok(order.indexOf('echo') >= 0 && order.indexOf('echo') < order.indexOf('trained'), order.join(' '));
  node.dispose();
});

test('a snapshot in the middle of an epoch, restored in another node, ends with the same bits', async () => {
  const artifact = await artifactOf({ epochs: 2, batchSize: 30, batchesPerPoll: 1 }), file = withTraining(rings, { ...OPTIONS, optimizer: { type: 'adam', lr: 0.02, state: 'f16' } });
  const one = nodeOf(artifact, file);
  one.invoke('Learn', data);
  for (let i = 0; i < 9; i++) one.poll(); // 7 batches an epoch: two into the second
  const two = nodeOf(artifact, file);
  two.restore(one.snapshot());
  const [a, b] = [one, two].map((node) => until(node, 'trained'));
  assert.deepEqual(a, b);
  assert.equal(a.polls, 5);
  assert.deepEqual(numbers(ask(one, { ask: trigger() }, 'params')), numbers(ask(two, { ask: trigger() }, 'params')));
  for (const other of [nodeOf(artifact, withTraining(rings, OPTIONS)), nodeOf(artifact, denseNetwork([2, 8, 2], { seed: 1 }))]) {
    const before = numbers(ask(other, { ask: trigger() }, 'params'));
    assert.throws(() => other.restore(one.snapshot()), ({ code }) => code === 'E_RESTORE_COMPONENT');
    assert.deepEqual(numbers(ask(other, { ask: trigger() }, 'params')), before);
    other.dispose();
  }
  for (const node of [one, two]) node.dispose();
});

test('a batch that is not finite is named, and the parameters are the last good ones', async () => {
  const node = nodeOf(await artifactOf({ epochs: 1, batchSize: 50 }), rings), spoiled = x.slice().fill(NaN);
  const before = numbers(ask(node, { ask: trigger() }, 'params'));
  const { failed } = ask(node, { x: tensor(spoiled, [200, 2]), labels: data.labels }, 'trained');
  assert.match(failed.detail, /epoch 0, batch 0: the loss of the batch is not finite/);
  assert.deepEqual(numbers(ask(node, { ask: trigger() }, 'params')), before);
  node.dispose();
});

test('labels whose number does not fit 32 bits are missed, not read', async () => {
  const floats = (name, dims) => ({ name, dims, dataType: DATA_TYPE.FLOAT, rawData: new Uint8Array(4 * dims.reduce((a, b) => a * b, 1)) });
  const file = encodeModel({
    irVersion: 8, opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'wide', node: [
        { opType: 'MatMul', name: 'm', input: ['x', 'w'], output: ['h'] },
        { opType: 'Reshape', name: 'r', input: ['h', 'shape'], output: ['y'] },
      ],
      initializer: [floats('w', [1, 8192]), { name: 'shape', dims: [3], dataType: DATA_TYPE.INT64, rawData: new Uint8Array(BigInt64Array.of(-1n, 4096n, 2n).buffer) }],
      input: [{ name: 'x', type: { tensorType: { elemType: DATA_TYPE.FLOAT, shape: { dim: [{ dimParam: 'n' }, { dimValue: 1 }] } } } }],
      output: [{ name: 'y', type: { tensorType: { elemType: DATA_TYPE.FLOAT } } }],
    },
  });
  const node = nodeOf(await artifactOf({ epochs: 1, batchSize: 1 }), file), samples = 2 ** 20; // times 4096 labels each: 2^32
  const { failed } = ask(node, { x: tensor(new Float32Array(samples), [samples, 1]), labels: tensor(new Float32Array(0)) }, 'trained');
  assert.match(failed.detail, /input 1 holds neither a class nor a number per output/);
  node.dispose();
});

test('a batch may be larger than the set, up to 2^32 - 1', async () => {
  const node = nodeOf(await artifactOf({ epochs: 2, batchSize: 2 ** 32 - 1, batchesPerPoll: 1, progress: 'training' }), withTraining(rings, OPTIONS));
  const { topics } = ask(node, data, 'trained');
  assert.deepEqual(topics, ['training', 'training', 'trained']); // one batch per slice
  node.dispose();
});
