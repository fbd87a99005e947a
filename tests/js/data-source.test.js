// Data as a component of a node: batches, the end as a value, reset, snapshots, errors.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createLoader, dataSource, fromArrays, fromIterable, sampleSet } from '../../js/data/index.js';
import { compile, decodeValue, defineModule, install, PeerId, slots, trigger, typeHash } from '../../js/index.js';

/** Samples 0 to n - 1 of two numbers, labels 10 times as much. */
const numbered = (n) => fromArrays({ inputs: { x: { data: Float32Array.from({ length: 2 * n }, (_, i) => Math.floor(i / 2)), dims: [n, 2] } }, labels: Int32Array.from({ length: n }, (_, i) => 10 * i) });

const artifact = await compile(defineModule('Feed', (g) => {
  const data = slots.dataSource();
  const [x, labels] = data.nextBatch(g, g.input('next'));
  g.output('batch', g.bundle([x, labels]));
  g.output('done', data.reset(g, g.input('reset')));
}), { bindings: { data: { role: 'DataSource', type: 'DataSource' } } });

async function feed(component) {
  const node = await install({ peerId: PeerId.fromU64(1), artifact, targets: ['Feed'], components: [component] });
  /** What comes of an event, however late. */
  async function send(topic, wanted) {
    node.deliverEvent('Feed', topic, trigger());
    for (let i = 0; i < 200; i++) {
      const steps = node.poll(), failed = steps.find((step) => step.type === 'OpFailed'), event = steps.find((step) => step.type === 'AppEvent' && step.topic === wanted);
      if (failed) return failed;
      if (event) return event;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return assert.fail('no answer');
  }
  return {
    node,
    async next() {
      const step = await send('next', 'batch');
      if (step.type === 'OpFailed') return step.detail;
      const { values: [x, labels] } = decodeValue(typeHash('Composite'), step.valueBytes);
      return [x.dims, [...x.data].filter((_, i) => i % 2 === 0), [...labels.data]];
    },
    reset: () => send('reset', 'done'),
  };
}
const END = [[0, 2], [], []];

test('batches come in order, then a batch without samples until reset', async () => {
  const { node, next, reset } = await feed(dataSource(numbered(5), { batchSize: 2 }));
  for (let epoch = 0; epoch < 2; epoch++) {
    assert.deepEqual(await next(), [[2, 2], [0, 1], [0, 10]]);
    assert.deepEqual(await next(), [[2, 2], [2, 3], [20, 30]]);
    assert.deepEqual(await next(), [[1, 2], [4], [40]]);
    assert.deepEqual([await next(), await next()], [END, END]);
    await reset();
  }
  await next();
  await reset(); // in the middle
  assert.deepEqual(await next(), [[2, 2], [0, 1], [0, 10]]);
  node.dispose();
});

test('an endless source begins the next epoch, in another order', async () => {
  const { node, next } = await feed(dataSource(createLoader(numbered(40), { batchSize: 40, shuffle: true, seed: 1 }), { isEndless: true }));
  const [[, first], [, second]] = [await next(), await next()];
  assert.notDeepEqual(first, second);
  assert.deepEqual([...first].sort((a, b) => a - b), [...second].sort((a, b) => a - b));
  node.dispose();
});

test('a snapshot holds the place: the restored node gives the batches that were to come', async () => {
  const make = (seed = 2) => dataSource(numbered(30), { batchSize: 4, shuffle: true, seed });
  const one = await feed(make());
  await one.next();
  await one.reset();
  await one.next();
  const bytes = one.node.snapshot();
  const two = await feed(make());
  two.node.restore(bytes);
  for (let i = 0; i < 8; i++) assert.deepEqual(await two.next(), await one.next(), `batch ${i}`);
  const other = await feed(make(3));
  assert.throws(() => other.node.restore(bytes), (error) => error.code === 'E_RESTORE_COMPONENT' || /seed/.test(error.message));
  for (const { node } of [one, two, other]) node.dispose();
});

test('what goes wrong is the failure of that operator; the next call tries again', async () => {
  let fails = 1;
  const all = numbered(3);
  const { node, next } = await feed(dataSource({ length: 3, read(places) { if (fails-- > 0) throw new Error('the disk is gone'); return all.read(places); } }, { batchSize: 2 }));
  assert.match(await next(), /the disk is gone/);
  assert.deepEqual(await next(), [[2, 2], [0, 1], [0, 10]]);
  node.dispose();
  const cases = [
    [fromArrays({ inputs: { a: new Float32Array(1), b: new Float32Array(1) } }), {}, /which of the inputs.*a, b/],
    [fromArrays({ inputs: { a: new Float32Array(1) } }), { input: 'c' }, /which of the inputs/],
    [fromArrays({ inputs: { a: Int32Array.of(16777217) } }), {}, /E_ELEMENT_TYPE.*16777217/],
    [fromIterable([]), { isEndless: true }, /E_EMPTY/],
  ];
  for (const [data, options, text] of cases) {
    const { node: other, next: ask } = await feed(dataSource(data, options));
    assert.match(await ask(), text);
    other.dispose();
  }
});

test('without labels the second output is empty; a stream that has nothing ends at once', async () => {
  const { node, next } = await feed(dataSource(fromArrays({ inputs: { x: { data: Uint8Array.of(1, 1), dims: [1, 2] } } })));
  assert.deepEqual(await next(), [[1, 2], [1], []]);
  node.dispose();
  const empty = await feed(dataSource(fromIterable([])));
  assert.deepEqual(await empty.next(), [[0], [], []]);
  empty.node.dispose();
});

test('the shipped SampleSet does the same in the engine: batches, end, reset, an order from the seed, snapshot', async () => {
  const shipped = await compile(defineModule('Feed', (g) => {
    const data = slots.dataSource();
    const [x, labels] = data.nextBatch(g, g.input('next'));
    g.output('batch', g.bundle([x, labels]));
    g.output('done', data.reset(g, g.input('reset')));
  }), { bindings: { data: { role: 'DataSource', type: 'SampleSet' } } });
  const config = (n, options) => sampleSet({ x: { data: Float32Array.from({ length: 2 * n }, (_, i) => Math.floor(i / 2)), dims: [n, 2] }, labels: { data: Float32Array.from({ length: n }, (_, i) => 10 * i) } }, options);
  const start = (n, options) => install({ peerId: PeerId.fromU64(1), artifact: shipped, targets: ['Feed'], config: { data: config(n, options) } });
  const send = (node, topic, wanted) => { node.deliverEvent('Feed', topic, trigger()); return node.poll().find((step) => step.type === 'AppEvent' && step.topic === wanted); };
  const next = (node) => {
    const { values: [x, labels] } = decodeValue(typeHash('Composite'), send(node, 'next', 'batch').valueBytes);
    assert.deepEqual([...labels.data], [...x.data].filter((_, i) => i % 2 === 0).map((v) => 10 * v));
    return [x.dims[0], [...x.data].filter((_, i) => i % 2 === 0)];
  };
  const node = await start(5, { batchSize: 2 });
  for (let epoch = 0; epoch < 2; epoch++) {
    assert.deepEqual([next(node), next(node), next(node), next(node)], [[2, [0, 1]], [2, [2, 3]], [1, [4]], [0, []]]);
    assert.ok(send(node, 'reset', 'done'));
  }
  node.dispose();
  const one = await start(30, { batchSize: 4, seed: 7 }), two = await start(30, { batchSize: 4, seed: 7 });
  next(one);
  send(one, 'reset', 'done');
  next(one);
  two.restore(one.snapshot());
  const rest = Array.from({ length: 8 }, () => next(one));
  assert.deepEqual(Array.from({ length: 8 }, () => next(two)), rest);
  assert.notDeepEqual(rest.flatMap(([, list]) => list), [...Array(26).keys()].map((i) => i + 4));
  one.dispose();
  two.dispose();
  await assert.rejects(install({ peerId: PeerId.fromU64(1), artifact: shipped, targets: ['Feed'] }), (error) => error.code === 'E_INST_MISSING_CONFIG');
  await assert.rejects(install({ peerId: PeerId.fromU64(1), artifact: shipped, targets: ['Feed'], config: { data: Uint8Array.of(1, 2) } }), (error) => error.code === 'E_INST_CONFIG_TYPE');
  assert.throws(() => sampleSet({ x: { data: new Float32Array(2) }, labels: { data: new Float32Array(1) } }), (error) => error.code === 'E_SHAPE');
});
