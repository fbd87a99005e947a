// A trainer as the Model of a node: it trains while the node goes on, tells what is wrong, and a snapshot holds it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { compile, createRuntime, createTrainerIn, decodeValue, defineComponent, defineModule, denseNetwork, installIn, PeerId, slots, tensor, trigger, typeHash } from '../../js/index.js';
import { trainableModel } from '../../js/training/index.js';
import { labels, x } from './rings.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const onnx = denseNetwork([2, 16, 2], { seed: 3 });
const OPTIONS = { loss: 'softmax-cross-entropy', optimizer: { type: 'adam', lr: 0.02 } };

const artifact = await compile(defineModule('Learn', (g) => {
  const model = slots.model(), data = slots.dataSource();
  const [a, b] = data.nextBatch(g, g.input('train'));
  g.output('trained', g.bundle(model.train(g, a, b, { epochs: 4, batchSize: 16, seed: 2 })));
  const [c, d] = data.nextBatch(g, g.input('test'));
  g.output('tested', g.bundle(model.evaluate(g, c, d)));
  g.output('params', model.params(g, g.input('ask')));
  g.output('loaded', model.loadParameters(g, g.input('load')));
  g.output('applied', model.applyDelta(g, g.input('apply')));
  g.output('y', model.forward(g, g.input('x')));
  g.output('gradient', model.backward(g, g.input('slope')));
  g.output('loss', model.computeLoss(g, g.input('predicted'), g.input('wanted')));
  g.output('echo', g.input('call'));
}), { bindings: { model: { role: 'Model', type: 'TrainableModel' }, data: { role: 'DataSource', type: 'Rings' } } });

function learner(options = {}, rings = [tensor(x, [200, 2]), tensor(labels)]) {
  const runtime = createRuntime(module), source = defineComponent({ typeName: 'Rings', role: 'DataSource', nextBatch: () => rings });
  const node = installIn(runtime, { peerId: PeerId.fromU64(1), artifact, targets: ['Learn'], components: [source, trainableModel(createRuntime(module), onnx, { ...OPTIONS, ...options })] });
  const seen = [];
  /** Sends, and polls until what is waited for has come; tells what came with it. */
  async function ask(topic, value, wanted) {
    node.deliverEvent('Learn', topic, value);
    for (let i = 0; i < 5000; i++) {
      for (const step of node.poll()) {
        if (step.type === 'OpFailed') return step;
        if (step.type !== 'AppEvent') continue;
        seen.push(step.topic);
        if (step.topic === wanted) return step;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    return assert.fail(`no ${wanted}`);
  }
  const pair = ({ valueBytes }) => decodeValue(typeHash('Composite'), valueBytes).values;
  const numbers = ({ valueBytes }) => decodeValue(typeHash('CpuTensor'), valueBytes);
  return { node, seen, ask, pair, numbers };
}

test('it trains, and its accuracy grows; parameters go out and in', async () => {
  const { node, ask, pair, numbers } = learner();
  const [, before] = pair(await ask('test', trigger(), 'tested'));
  const start = numbers(await ask('ask', trigger(), 'params'));
  let loss, count;
  for (let i = 0; i < 10; i++) [loss, count] = pair(await ask('train', trigger(), 'trained'));
  assert.deepEqual([count.type, count.value], ['FedAvgMeta', 200n]);
  const [testLoss, after] = pair(await ask('test', trigger(), 'tested'));
  assert.ok(after.value > 0.97 && before.value < 0.9 && Math.abs(testLoss.value - loss.value) < 0.1, `${before.value} ${after.value} ${loss.value} ${testLoss.value}`);
  const trained = numbers(await ask('ask', trigger(), 'params'));
  assert.notDeepEqual(trained.data, start.data);
  await ask('load', start, 'loaded');
  assert.equal(pair(await ask('test', trigger(), 'tested'))[1].value, before.value);
  await ask('apply', tensor(trained.data.map((v, i) => v - start.data[i])), 'applied');
  const there = numbers(await ask('ask', trigger(), 'params'));
  there.data.forEach((v, i) => assert.ok(Math.abs(v - trained.data[i]) < 1e-6));
  const { dims, data } = numbers(await ask('x', tensor(x.subarray(0, 6)), 'y'));
  assert.deepEqual(dims, [3, 2]);
  const trainer = createTrainerIn(createRuntime(module), onnx, OPTIONS), [{ name }] = trainer.inputs;
  trainer.load(there.data);
  assert.deepEqual(data, Object.values(trainer.evaluate({ [name]: { data: x.slice(0, 6), dims: [3, 2] } }).outputs)[0].data);
  node.dispose();
});

test('forward, loss and backward make the step that a trainer makes', async () => {
  const { node, ask, numbers } = learner(), n = 8;
  assert.match((await ask('slope', tensor(new Float32Array(2 * n), [n, 2]), 'gradient')).detail, /E_STATE/); // nothing was put forward
  const { data } = numbers(await ask('x', tensor(x.subarray(0, 2 * n), [n, 2]), 'y'));
  const slope = Float32Array.from(data, (v, i) => {
    const row = data.subarray(i - (i % 2), i - (i % 2) + 2), total = Math.exp(row[0]) + Math.exp(row[1]);
    return (Math.exp(v) / total - (labels[Math.floor(i / 2)] === i % 2 ? 1 : 0)) / n;
  });
  const { data: gradient } = numbers(await ask('slope', tensor(slope, [n, 2]), 'gradient'));
  const trainer = createTrainerIn(createRuntime(module), onnx, OPTIONS), [{ name }] = trainer.inputs;
  const given = { [name]: { data: x.slice(0, 2 * n), dims: [n, 2] } }, wanted = { data: Int32Array.from(labels.subarray(0, n)), dims: [n] };
  const { loss, gradient: want } = trainer.gradient(given, wanted);
  gradient.forEach((v, i) => assert.ok(Math.abs(v - want[i]) < 1e-6));
  node.invoke('Learn', { predicted: tensor(data, [n, 2]), wanted: tensor(labels.slice(0, n)) });
  const { valueBytes } = await ask('call', trigger(), 'loss');
  assert.ok(Math.abs(decodeValue(typeHash('RawF32'), valueBytes).value - loss) < 1e-6);
  await ask('apply', tensor(gradient.map((v) => -0.1 * v)), 'applied');
  assert.match((await ask('slope', tensor(slope, [n, 2]), 'gradient')).detail, /E_STATE/); // the parameters have changed since
  node.dispose();
});

test('the node answers others while it trains', async () => {
  const progress = [], { node, seen, ask } = learner({ budgetBatches: 2, onProgress: ({ epoch, batch }) => progress.push([epoch, batch]) });
  const training = ask('train', trigger(), 'trained');
  await new Promise((resolve) => setImmediate(resolve));
  await ask('call', trigger(), 'echo');
  assert.ok(!seen.includes('trained'));
  await training;
  assert.deepEqual([progress.length, progress[0], progress.at(-1)], [4 * 13, [0, 0], [3, 12]]);
  node.dispose();
});

test('a snapshot holds parameters, optimizer and the count of calls: the restored node trains on with the same bits', async () => {
  const one = learner(), two = learner();
  await one.ask('train', trigger(), 'trained');
  two.node.restore(one.node.snapshot());
  for (const { ask } of [one, two]) await ask('train', trigger(), 'trained');
  const [a, b] = [one.numbers(await one.ask('ask', trigger(), 'params')), two.numbers(await two.ask('ask', trigger(), 'params'))];
  assert.deepEqual(a.data, b.data);
  const other = learner({ optimizer: 'sgd' }); // the state of another optimizer
  assert.throws(() => other.node.restore(one.node.snapshot()));
  for (const { node } of [one, two, other]) node.dispose();
});

test('a snapshot in the middle of an epoch goes on with the same bits, and what waited for its turn is answered', async () => {
  const straight = learner(), topics = ['trained', 'params'];
  const pollUntil = async (/** @type {any} */ { node }, /** @type {() => boolean} */ isOver, /** @type {Map<string, any>} */ got) => {
    for (let i = 0; i < 5000 && !isOver(); i++) {
      for (const step of node.poll()) if (step.type === 'AppEvent') got.set(step.topic, step);
      if (!isOver()) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(isOver(), 'it goes on for ever');
  };
  const want = new Map();
  straight.node.deliverEvent('Learn', 'train', trigger());
  await pollUntil(straight, () => want.has('trained'), want);
  straight.node.deliverEvent('Learn', 'ask', trigger());
  await pollUntil(straight, () => want.has('params'), want);
  const end = await straight.ask('train', trigger(), 'trained'); // and the next training has the same order too
  for (const stop of [0, 1, 12, 13, 14, 40, 51, 52]) { // steps before the snapshot; an epoch has 13
    /** @type {any} */
    let taken;
    let steps = 0;
    const before = new Map(), after = new Map(), one = learner({ budgetBatches: 1, onProgress: () => { steps++; } }), two = learner({ budgetBatches: 1 });
    one.node.deliverEvent('Learn', 'train', trigger());
    one.node.poll();
    one.node.deliverEvent('Learn', 'ask', trigger());
    one.node.deliverEvent('Learn', 'apply', tensor(straight.numbers(want.get('params')).data.map(() => 0.25)));
    one.node.poll(); // both wait for their turn
    await pollUntil(one, () => { if (taken === undefined && steps >= stop) taken = one.node.snapshot(); return taken !== undefined; }, before);
    assert.ok(!before.has('trained'));
    two.node.restore(taken);
    await pollUntil(two, () => topics.every((topic) => after.has(topic)) && after.has('applied'), after);
    for (const topic of topics) assert.deepEqual(after.get(topic).valueBytes, want.get(topic).valueBytes, `${topic} after ${stop} steps`);
    const params = two.numbers(await two.ask('ask', trigger(), 'params')).data;
    straight.numbers(want.get('params')).data.forEach((v, i) => assert.equal(params[i], Math.fround(v + 0.25))); // once, not twice
    await two.ask('apply', tensor(params.map((v, i) => straight.numbers(want.get('params')).data[i] - v)), 'applied');
    if (stop === 14) assert.ok(Math.abs(two.pair(await two.ask('train', trigger(), 'trained'))[0].value - straight.pair(end)[0].value) < 1e-3);
    for (const { node } of [one, two]) node.dispose();
  }
  straight.node.dispose();
});

test('a snapshot in whatever microtask between answers gives the same ones', async () => {
  const count = createTrainerIn(createRuntime(module), onnx, OPTIONS).parameters().length, topics = ['loaded', 'y', 'applied', 'params'];
  for (let hops = 0; hops < 24; hops++) {
    const one = learner(), two = learner(), events = [];
    for (const [topic, value] of [['load', tensor(new Float32Array(count).fill(0.5))], ['x', tensor(x.subarray(0, 2), [1, 2])], ['apply', tensor(new Float32Array(count).map((_, i) => i / 10))], ['ask', trigger()]]) one.node.deliverEvent('Learn', topic, value);
    assert.ok(one.node.poll().every((step) => !topics.includes(step.topic)));
    for (let i = 0; i < hops; i++) await undefined;
    two.node.restore(one.node.snapshot());
    for (const { node } of [one, two]) {
      const got = new Map();
      for (let i = 0; i < 1000 && got.size < topics.length; i++) {
        for (const step of node.poll()) if (step.type === 'AppEvent') got.set(step.topic, step.valueBytes);
        await new Promise((resolve) => setImmediate(resolve));
      }
      events.push(topics.map((topic) => got.get(topic)));
      node.dispose();
    }
    assert.ok(events[0].every((value) => value !== undefined));
    assert.deepEqual(events[1], events[0], `after ${hops} microtasks`);
  }
});

test('a state that is cut or changed is refused, and Backward follows a Forward over a restore', async () => {
  const { create } = trainableModel(createRuntime(module), onnx, OPTIONS);
  const methods = /** @type {any} */ (create()), slope = tensor(new Float32Array([1, 0, 0, 1]), [2, 2]), again = /** @type {any} */ (create()), third = /** @type {any} */ (create());
  /** As the engine does. */
  const ask = async (/** @type {any} */ of, /** @type {string} */ name, /** @type {any} */ value) => {
    const answer = await of[name]([value], { attributes: {}, cmdId: 1n });
    of.settled(1n);
    return answer;
  };
  await ask(methods, 'forward', tensor(x.subarray(0, 4), [2, 2]));
  const state = methods.save();
  again.restore(state);
  assert.deepEqual((await ask(again, 'backward', slope)).data, (await ask(methods, 'backward', slope)).data);
  // An answer that the snapshot came before is given again, without its effect.
  const ones = tensor(new Float32Array((await ask(methods, 'params', undefined)).length).fill(1)), context = { attributes: {}, cmdId: 2n };
  await methods.applyDelta([ones], context);
  third.restore(methods.save());
  methods.settled(2n);
  const once = await ask(methods, 'params', undefined);
  await third.applyDelta([ones], context);
  third.settled(2n);
  assert.deepEqual(await ask(third, 'params', undefined), once);
  await ask(methods, 'applyDelta', ones);
  assert.notDeepEqual(await ask(methods, 'params', undefined), once);
  const counted = state.slice();
  counted.fill(0xff, 4, 12); // the number of trainings: one that could not be saved again
  assert.throws(() => again.restore(counted), (error) => error.code.startsWith('E_'));
  for (let cut = 0; cut < state.length; cut++) assert.throws(() => again.restore(state.subarray(0, cut)), (error) => error.code.startsWith('E_'), `cut at ${cut}`);
});

test('what is wrong fails that operator by its code, and the parameters stay', async () => {
  const cases = [
    [[tensor([1, 2, 3]), tensor([0, 1])], /E_SHAPE/], [[tensor(x, [200, 2]), tensor(labels.map(() => 5))], /E_/], [[tensor(x, [200, 2]), tensor(labels.map(() => 0.5))], /E_INVALID_VALUE/],
    [[tensor([NaN, 1]), tensor([0])], /E_NOT_FINITE/], [[tensor([]), tensor([])], /E_(EMPTY|SHAPE)/], [[trigger(), tensor([0])], /E_TYPE_MISMATCH/], [[tensor(x, [200, 2]), tensor([0, 1, 0])], /E_SHAPE/],
  ];
  for (const [rings, text] of cases) {
    const { node, ask, numbers } = learner({}, rings);
    const before = numbers(await ask('ask', trigger(), 'params'));
    const failed = await ask('train', trigger(), 'trained');
    assert.equal(failed.type, 'OpFailed');
    assert.match(failed.detail, text);
    assert.deepEqual(numbers(await ask('ask', trigger(), 'params')).data, before.data);
    assert.match((await ask('load', tensor([1, 2]), 'loaded')).detail, /E_SHAPE/);
    node.dispose();
  }
  const runtime = createRuntime(module);
  assert.throws(() => trainableModel(runtime, Uint8Array.of(1, 2, 3), OPTIONS), (error) => error.code.startsWith('E_'));
  assert.throws(() => trainableModel(runtime, onnx, { loss: 'hope' }), (error) => error.code === 'E_ARG');
});
