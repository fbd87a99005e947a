// Sets, streams, orders, augmentation, splits: what training sees, and when.
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  chain, countClasses, createBatch, createLoader, createOrder, createRandom, flip, fromArrays, fromBatches, fromIterable, labelsOf, noise, normalize, readAll, shift, split, subset,
} from '../../js/data/index.js';
import { feistelOrder } from '../../js/data/random.js';

const code = (name, details = {}) => (error) => {
  assert.equal(error.code, name, error.stack);
  for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value, key);
  return true;
};
const f32 = (...numbers) => Float32Array.from(numbers);
/** n samples of two numbers i, -i with label i % 3. */
const numbered = (n) => ({ inputs: { x: { data: Float32Array.from({ length: 2 * n }, (_, i) => (i % 2 ? -1 : 1) * Math.floor(i / 2)), dims: [n, 2] } }, labels: Int32Array.from({ length: n }, (_, i) => i % 3) });
const collect = async (batches) => { const all = []; for await (const batch of batches) all.push(batch); return all; };
const firsts = (batches) => batches.map(({ inputs: { x } }) => Array.from({ length: x.dims[0] }, (_, i) => x.data[2 * i]));

// ---- random numbers ----

test('numbers follow from the key alone; keys that differ in one word, or in their length, give other numbers', () => {
  const draw = (...key) => { const r = createRandom(...key); return [r.u32(), r.u32(), r.u32()].join(); };
  assert.equal(draw(1, 2, 3), draw(1, 2, 3));
  const keys = [[], [0], [0, 0], [0, 0, 0], [1], [2], [1, 0], [0, 1], [2 ** 32], [2 ** 52], [2 ** 53 - 1]];
  assert.equal(new Set(keys.map((key) => draw(...key))).size, keys.length);
  for (const bad of [-1, 0.5, NaN, 2 ** 53, '1', 1n]) assert.throws(() => createRandom(bad), code('E_ARG'));
  // Pinned: a run that was begun with an older version goes on with the same numbers.
  assert.equal(draw(7, 3), '2419998028,53379799,2445582593');
});

test('below is even, next lies in [0, 1), normal has mean 0 and deviation 1', () => {
  const r = createRandom(5);
  const counts = new Array(6).fill(0);
  for (let i = 0; i < 60_000; i++) counts[r.below(6)]++;
  const chi = counts.reduce((sum, n) => sum + (n - 10_000) ** 2 / 10_000, 0);
  assert.ok(chi < 20.5, `chi-square of 5 degrees ${chi}`); // 0.1 %
  let sum = 0, squares = 0, most = 0;
  for (let i = 0; i < 50_000; i++) {
    const u = r.next(), z = r.normal();
    assert.ok(u >= 0 && u < 1);
    sum += z;
    squares += z * z;
    most = Math.max(most, Math.abs(z));
  }
  assert.ok(Math.abs(sum / 50_000) < 0.02 && Math.abs(squares / 50_000 - 1) < 0.03 && most > 3 && most <= 6, `${sum / 50_000} ${squares / 50_000} ${most}`);
  for (const bad of [0, -1, 1.5, 2 ** 32 + 1]) assert.throws(() => r.below(bad), code('E_ARG'));
});

test('an order has every place once, by table and by Feistel network, also for lengths around powers of two', () => {
  for (const length of [0, 1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 257, 1000, 4096, 4097]) {
    const orders = [createOrder(length, 1), createOrder(length, 2), feistelOrder(length, createRandom(1)), feistelOrder(length, createRandom(2))];
    for (const order of orders) {
      const places = Array.from({ length }, (_, i) => order(i));
      assert.deepEqual([...places].sort((a, b) => a - b), [...Array(length).keys()], `length ${length}`);
      if (length > 200) {
        const same = places.filter((place, i) => place === i).length, neighbours = places.filter((place, i) => i > 0 && Math.abs(place - places[i - 1]) === 1).length;
        assert.ok(same < 8 && neighbours < 12, `length ${length}: ${same} in place, ${neighbours} neighbours kept`);
      }
    }
  }
  const large = 3_000_000, order = createOrder(large, 9), seen = new Uint8Array(large);
  for (let i = 0; i < large; i++) seen[order(i)]++;
  assert.ok(seen.every((n) => n === 1));
  const huge = createOrder(2 ** 32, 1), some = Array.from({ length: 1000 }, (_, i) => huge(i));
  assert.ok(new Set(some).size === 1000 && some.every((place) => Number.isInteger(place) && place >= 0 && place < 2 ** 32));
  assert.throws(() => createOrder(2 ** 32 + 1), code('E_ARG'));
});

test('every order of three places is as frequent as any other', () => {
  const counts = new Map();
  for (let seed = 0; seed < 6000; seed++) {
    const order = createOrder(3, seed), key = [0, 1, 2].map(order).join('');
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assert.equal(counts.size, 6);
  for (const n of counts.values()) assert.ok(Math.abs(n - 1000) < 150, [...counts].join(' '));
});

// ---- sets ----

test('a set of arrays gives samples at any places, as copies; labels may be a plain typed array', async () => {
  const parts = numbered(5), set = fromArrays(parts);
  assert.equal(set.length, 5);
  const batch = set.read(Uint32Array.of(4, 0, 4));
  assert.deepEqual(batch, { count: 3, inputs: { x: { data: f32(4, -4, 0, -0, 4, -4), dims: [3, 2] } }, labels: { data: Int32Array.of(1, 0, 1), dims: [3] } });
  batch.inputs.x.data.fill(9);
  assert.equal(parts.inputs.x.data[8], 4);
  assert.equal(set.read(new Uint32Array()).count, 0);
  assert.throws(() => set.read(Uint32Array.of(5)), code('E_ARG', { value: 5, cap: 5 }));
});

test('bad arrays are refused by name', () => {
  const cases = [
    [{ inputs: {} }, 'E_ARG', {}],
    [{}, 'E_ARG', {}],
    [{ inputs: { x: [1, 2] } }, 'E_ARG', { field: 'x' }],
    [{ inputs: { x: { data: f32(1, 2, 3), dims: [2, 2] } } }, 'E_SHAPE', { input: 'x', got: 3 }],
    [{ inputs: { x: { data: f32(1), dims: [] } } }, 'E_SHAPE', { input: 'x' }],
    [{ inputs: { x: { data: f32(1, 2), dims: [-1, -2] } } }, 'E_SHAPE', { input: 'x' }],
    [{ inputs: { x: f32(1, 2) }, labels: f32(1, 2, 3) }, 'E_SHAPE', { input: 'labels', expected: 2, got: 3 }],
    [{ inputs: { x: new DataView(new ArrayBuffer(8)) } }, 'E_ARG', {}],
  ];
  for (const [parts, name, details] of cases) assert.throws(() => fromArrays(parts), code(name, details), JSON.stringify(parts));
});

test('an input may be called labels without being taken for the labels', () => {
  const set = fromArrays({ inputs: { labels: f32(1, 2) }, labels: f32(8, 9) });
  assert.deepEqual(set.read(Uint32Array.of(1)), { count: 1, inputs: { labels: { data: f32(2), dims: [1] } }, labels: { data: f32(9), dims: [1] } });
  assert.equal(fromBatches([createBatch({ inputs: { labels: f32(1) }, labels: f32(2) })]).length, 1);
});

test('a set of batches of different sizes is one set; batches of another kind are refused by number', () => {
  const whole = numbered(7), set = fromArrays(whole);
  const batches = [[0, 1, 2], [], [3], [4, 5, 6]].map((places) => set.read(Uint32Array.from(places)));
  const places = Uint32Array.of(6, 3, 0, 2, 4);
  assert.deepEqual(fromBatches(batches).read(places), set.read(places));
  assert.throws(() => fromBatches([]), code('E_EMPTY'));
  const others = [
    createBatch({ inputs: { x: { data: f32(1, 2, 3), dims: [1, 3] } }, labels: Int32Array.of(1) }), createBatch({ inputs: { y: { data: f32(1, 2), dims: [1, 2] } }, labels: Int32Array.of(1) }),
    createBatch({ inputs: { x: { data: f32(1, 2), dims: [1, 2] } } }), createBatch({ inputs: { x: { data: f32(1, 2), dims: [1, 2] } }, labels: f32(1) }),
  ];
  for (const other of others) assert.throws(() => fromBatches([batches[0], other]), code('E_SHAPE', { batch: 1 }));
  assert.throws(() => fromBatches([batches[0], { inputs: { x: f32(1) }, labels: f32(1, 2) }]), code('E_SHAPE', { batch: 1, input: 'labels' }));
});

// ---- loader ----

test('batches come in order, the last smaller or left out', async () => {
  const set = fromArrays(numbered(7));
  assert.deepEqual(firsts(await collect(createLoader(set, { batchSize: 3 }).batches())), [[0, 1, 2], [3, 4, 5], [6]]);
  assert.deepEqual(firsts(await collect(createLoader(set, { batchSize: 3, dropLast: true }).batches())), [[0, 1, 2], [3, 4, 5]]);
  assert.deepEqual([createLoader(set, { batchSize: 3 }).batchCount, createLoader(set, { batchSize: 3, dropLast: true }).batchCount, createLoader(set, { batchSize: 8, dropLast: true }).batchCount], [3, 2, 0]);
  assert.deepEqual(await collect(createLoader(fromArrays({ inputs: { x: f32() } })).batches()), []);
});

test('shuffled epochs have every sample once, in an order of their own, the same for the same seed', async () => {
  const set = fromArrays(numbered(50)), epoch = async (options, at = {}) => firsts(await collect(createLoader(set, { batchSize: 8, shuffle: true, ...options }).batches(at))).flat();
  const first = await epoch({ seed: 1 });
  assert.deepEqual(await epoch({ seed: 1 }), first);
  assert.deepEqual([...first].sort((a, b) => a - b), [...Array(50).keys()]);
  const others = [first, await epoch({ seed: 2 }), await epoch({ seed: 1 }, { epoch: 1 }), [...Array(50).keys()]].map(String);
  assert.equal(new Set(others).size, 4);
});

test('an epoch can be entered at any batch, with the augmentation of that batch', async () => {
  const options = { batchSize: 4, shuffle: true, seed: 3, transform: noise({ deviation: 1 }) };
  const sources = [fromArrays(numbered(22)), fromIterable(() => collect(createLoader(fromArrays(numbered(22)), { batchSize: 5 }).batches()))];
  for (const source of sources) {
    const whole = await collect(createLoader(source, options).batches({ epoch: 2 }));
    assert.equal(whole.length, 6);
    for (let from = 0; from <= 6; from++) assert.deepEqual(await collect(createLoader(source, options).batches({ epoch: 2, from })), whole.slice(from));
  }
});

test('a set in chunks is mixed within the chunks that are held together; no chunk is read twice', async () => {
  const all = fromArrays(numbered(47)), reads = [];
  let held = [];
  const set = {
    length: 47, chunk: 5, chunksHeld: 3,
    read(places) {
      for (const place of places) {
        const chunk = Math.floor(place / 5);
        if (held.includes(chunk)) continue;
        reads.push(chunk);
        held = [...held, chunk].slice(-3);
      }
      return all.read(places);
    },
  };
  const order = async (epoch) => firsts(await collect(createLoader(set, { batchSize: 4, shuffle: true, seed: 5 }).batches({ epoch }))).flat();
  const first = await order(0);
  assert.deepEqual([...first].sort((a, b) => a - b), [...Array(47).keys()]);
  assert.deepEqual([...reads].sort((a, b) => a - b), [...Array(10).keys()], 'ten chunks, each read once');
  assert.notDeepEqual(await order(1), first);
  const byTime = first.filter((place, i) => i > 0 && place === first[i - 1] + 1).length;
  assert.ok(byTime < 12, `${byTime} neighbours kept`);
  // Entered in the middle of a group of chunks.
  const rest = firsts(await collect(createLoader(set, { batchSize: 4, shuffle: true, seed: 5 }).batches({ from: 5 }))).flat();
  assert.deepEqual(rest, first.slice(20));
});

test('options and sources that make no sense are refused', () => {
  const set = fromArrays(numbered(3));
  for (const options of [{ batchSize: 0 }, { batchSize: 1.5 }, { seed: -1 }, { seed: '1' }, { bufferSize: 0 }, { transform: 3 }]) assert.throws(() => createLoader(set, options), code('E_ARG'), JSON.stringify(options));
  for (const source of [undefined, null, {}, [], { read() {} }]) assert.throws(() => createLoader(source), code('E_ARG'));
});

test('an aborted signal ends the reading with its reason, before and within', async () => {
  const controller = new AbortController(), reason = new Error('enough'), loader = createLoader(fromArrays(numbered(9)), { batchSize: 2 });
  const batches = loader.batches({ signal: controller.signal });
  await batches.next();
  controller.abort(reason);
  await assert.rejects(batches.next(), reason);
  await assert.rejects(loader.batches({ signal: controller.signal }).next(), reason);
});

// ---- streams ----

test('a stream of batches of any size becomes batches of one size', async () => {
  const set = fromArrays(numbered(11)), pieces = [[0], [1, 2, 3, 4, 5, 6, 7], [], [8, 9], [10]].map((places) => set.read(Uint32Array.from(places)));
  for (const batchSize of [1, 2, 3, 4, 11, 20]) {
    const want = firsts(await collect(createLoader(set, { batchSize }).batches()));
    assert.deepEqual(firsts(await collect(createLoader(fromIterable(pieces), { batchSize }).batches())), want);
    assert.deepEqual(firsts(await collect(createLoader(fromIterable(async function* () { yield* pieces; }), { batchSize }).batches())), want);
  }
  assert.deepEqual((await readAll(fromIterable(pieces))).read(Uint32Array.of(9, 1)), set.read(Uint32Array.of(9, 1)));
});

test('a shuffled stream gives each sample once, mixed as far as the buffer reaches', async () => {
  const set = fromArrays(numbered(200)), stream = fromIterable(() => createLoader(set, { batchSize: 7 }).batches());
  const order = async (options) => firsts(await collect(createLoader(stream, { batchSize: 16, shuffle: true, ...options }).batches())).flat();
  const mixed = await order({ seed: 1, bufferSize: 50 });
  assert.deepEqual([...mixed].sort((a, b) => a - b), [...Array(200).keys()]);
  assert.deepEqual(await order({ seed: 1, bufferSize: 50 }), mixed);
  assert.notDeepEqual(await order({ seed: 2, bufferSize: 50 }), mixed);
  mixed.forEach((place, i) => assert.ok(place < i + 51, 'nothing comes before it can be in the buffer'));
  assert.deepEqual(await order({ bufferSize: 1 }), [...Array(200).keys()]);
});

test('what can be read once is read once; a source that is left early is closed; its errors come through', async () => {
  const set = fromArrays(numbered(4));
  let closed = 0;
  const generator = (function* () { try { for (let i = 0; i < 4; i++) yield set.read(Uint32Array.of(i)); } finally { closed++; } })();
  const once = fromIterable(generator), loader = createLoader(once, { batchSize: 1 });
  for await (const _ of loader.batches()) break;
  assert.equal(closed, 1);
  await assert.rejects(collect(loader.batches()), code('E_STATE'));
  const failing = fromIterable(async function* () { yield set.read(Uint32Array.of(1)); throw new Error('the disk is gone'); });
  await assert.rejects(collect(createLoader(failing, { batchSize: 1 }).batches()), /the disk is gone/);
  const odd = fromIterable([set.read(Uint32Array.of(1)), createBatch({ inputs: { x: f32(1) }, labels: f32(1) })]);
  await assert.rejects(collect(createLoader(odd).batches()), code('E_SHAPE', { batch: 1 }));
  for (const item of [undefined, null, 5, {}, { inputs: { x: f32(1) }, labels: f32() }]) await assert.rejects(collect(createLoader(fromIterable([item])).batches()), (e) => e.details.batch === 0);
  assert.throws(() => fromIterable(5), code('E_ARG'));
  await assert.rejects(collect(createLoader(fromIterable(() => 5)).batches()), code('E_ARG'));
  await assert.rejects(readAll(fromIterable([])), code('E_EMPTY'));
  await assert.rejects(readAll(fromIterable([set.read(Uint32Array.of(1, 2))]), { samplesMax: 1 }), code('E_LIMIT'));
});

// ---- transforms ----

const picture = (rows) => createBatch({ inputs: { x: { data: f32(...rows.flat()), dims: [1, 1, rows.length, rows[0].length] } } });
/** The results that chance gives, as text. */
async function outcomes(transform, batch, tries = 300) {
  const all = new Map();
  for (let seed = 0; seed < tries; seed++) {
    const key = (await transform(batch, createRandom(seed))).inputs.x.data.join();
    all.set(key, (all.get(key) ?? 0) + 1);
  }
  return all;
}

test('shift moves by up to that many pixels, each as often; what comes in is zero', async () => {
  const batch = picture([[1, 2], [3, 4]]);
  const want = ['1,2,3,4', '0,1,0,3', '2,0,4,0', '0,0,1,2', '3,4,0,0', '0,0,0,1', '0,0,2,0', '0,3,0,0', '4,0,0,0'];
  const got = await outcomes(shift({ by: 1 }), batch, 900);
  assert.deepEqual([...got.keys()].sort(), want.sort());
  for (const n of got.values()) assert.ok(n > 60 && n < 145, [...got].join(' '));
  assert.deepEqual([...await outcomes(shift({ by: 0 }), batch)], [['1,2,3,4', 300]]);
  assert.ok((await outcomes(shift({ by: 5 }), batch)).has('0,0,0,0'), 'beyond the edge');
});

test('flip mirrors left and right or top and bottom, all planes of a sample alike', async () => {
  assert.deepEqual([...(await outcomes(flip(), picture([[1, 2, 3], [4, 5, 6]]))).keys()].sort(), ['1,2,3,4,5,6', '3,2,1,6,5,4']);
  assert.deepEqual([...(await outcomes(flip({ vertical: true, chance: 1 }), picture([[1, 2, 3], [4, 5, 6]]))).keys()], ['4,5,6,1,2,3']);
  assert.deepEqual([...(await outcomes(flip({ chance: 0 }), picture([[1, 2]]))).keys()], ['1,2']);
  const planes = createBatch({ inputs: { x: { data: f32(1, 2, 3, 4), dims: [1, 2, 1, 2] } } });
  assert.deepEqual([...(await outcomes(flip(), planes)).keys()].sort(), ['1,2,3,4', '2,1,4,3']);
});

test('transforms leave what they are given alone, work on bytes, and chain', async () => {
  const bytes = createBatch({ inputs: { x: { data: Uint8Array.of(0, 255, 51, 102), dims: [2, 1, 1, 2] } }, labels: f32(1, 2) });
  const out = await chain(shift({ by: 1 }), flip(), normalize({ scale: 1 / 255, mean: 0.2, deviation: 0.5 }))(bytes, createRandom(4));
  assert.deepEqual([...bytes.inputs.x.data], [0, 255, 51, 102]);
  assert.ok(out.inputs.x.data instanceof Float32Array);
  assert.equal(out.labels, bytes.labels);
  const exact = normalize({ scale: 1 / 255, mean: 0.2, deviation: 0.5 })(bytes);
  exact.inputs.x.data.forEach((x, i) => assert.ok(Math.abs(x - [-0.4, 1.6, 0, 0.4][i]) < 1e-7));
  const two = createBatch({ inputs: { x: { data: f32(1, 2, 3, 4), dims: [1, 2, 2] } } });
  assert.deepEqual([...normalize({ mean: [1, 3], deviation: [1, 2] })(two).inputs.x.data], [0, 1, 0, 0.5]);
});

test('transforms refuse what they cannot do', async () => {
  const batch = createBatch({ inputs: { a: f32(1), b: f32(2) } }), flat = createBatch({ inputs: { x: f32(1, 2) } }), random = createRandom(1);
  assert.throws(() => shift({ by: -1 }), code('E_ARG'));
  assert.throws(() => flip({ chance: 2 }), code('E_ARG'));
  assert.throws(() => noise({ deviation: NaN }), code('E_ARG'));
  assert.throws(() => normalize({ deviation: 0 }), code('E_ARG'));
  assert.throws(() => shift({ by: 1 })(flat, random), code('E_SHAPE', { input: 'x' }));
  assert.throws(() => noise({ deviation: 1 })(batch, random), code('E_ARG', { expected: ['a', 'b'] }));
  assert.throws(() => noise({ deviation: 1, input: 'c' })(batch, random), code('E_UNKNOWN_INPUT', { input: 'c' }));
  assert.throws(() => noise({ deviation: 1 })(createBatch({ inputs: { x: Uint8Array.of(1) } }), random), code('E_ELEMENT_TYPE'));
  assert.throws(() => normalize({ mean: [1, 2, 3] })(picture([[1, 2]])), code('E_SHAPE', { expected: 1, got: 3 }));
  await assert.rejects(collect(createLoader(fromArrays({ inputs: { x: f32(1, 2) } }), { transform: () => ({ inputs: {} }) }).batches()), code('E_ARG', { batch: 0 }));
});

// ---- split ----

test('a split is exact, the same for the same seed, without a sample in both parts', async () => {
  const set = fromArrays(numbered(100));
  const { train, test: held } = await split(set, { test: 0.2, seed: 1 });
  assert.deepEqual([train.length, held.length], [80, 20]);
  const places = async (part) => firsts(await collect(createLoader(part).batches())).flat();
  const [a, b] = [await places(train), await places(held)];
  assert.deepEqual([...a, ...b].sort((x, y) => x - y), [...Array(100).keys()]);
  assert.deepEqual(await places((await split(set, { test: 20, seed: 1 })).test), b);
  assert.notDeepEqual(await places((await split(set, { test: 20, seed: 2 })).test), b);
  for (const bad of [0, -1, 101, NaN, 1.5, undefined]) await assert.rejects(split(set, { test: bad }), code('E_ARG'));
});

test('the parts of a set in chunks are sets in chunks: an epoch of a part reads each chunk about once', async () => {
  const all = fromArrays(numbered(2000));
  let reads = 0, held = [];
  const set = {
    length: 2000, chunk: 50, chunksHeld: 4,
    read(places) {
      for (const place of places) {
        const chunk = Math.floor(place / 50);
        if (!held.includes(chunk)) reads++;
        held = [...held.filter((c) => c !== chunk), chunk].slice(-4); // the least used goes
      }
      return all.read(places);
    },
  };
  const { train, test: kept } = await split(set, { test: 0.2, seed: 3 });
  for (const [part, most] of [[train, 100], [kept, 100]]) {
    reads = 0;
    const order = firsts(await collect(createLoader(part, { batchSize: 16, shuffle: true, seed: 1 }).batches())).flat();
    assert.equal(new Set(order).size, part.length);
    assert.ok(order.filter((place, i) => i > 0 && place > order[i - 1]).length < 0.65 * part.length, 'mixed');
    assert.ok(reads >= 40 && reads <= most, `${reads} reads of 40 chunks for ${part.length} samples`);
  }
  assert.equal(subset(set, [5, 3]).chunk, undefined, 'places in any order have no chunks');
});

test('a stratified split keeps the shares of the classes; classes are counted', async () => {
  const labels = Int32Array.from({ length: 110 }, (_, i) => (i < 10 ? 2 : i < 40 ? 1 : 0));
  const set = fromArrays({ inputs: { x: new Float32Array(110) }, labels });
  assert.deepEqual([...await countClasses(set)], [70, 30, 10]);
  const { train, test: held } = await split(set, { test: 0.3, isStratified: true });
  assert.deepEqual([[...await countClasses(train)], [...await countClasses(held)]], [[49, 21, 7], [21, 9, 3]]);
  const spread = fromArrays({ inputs: { x: f32(1, 2) }, labels: { data: f32(0.1, 0.9, 0, 0.5, 0.2, 0.3), dims: [2, 3] } });
  assert.deepEqual([...await labelsOf(spread)], [1, 0]);
  await assert.rejects(countClasses(fromArrays({ inputs: { x: f32(1) } })), code('E_ARG'));
  await assert.rejects(countClasses(fromArrays({ inputs: { x: f32(1) }, labels: f32(0.5) })), code('E_INVALID_VALUE', { row: 0 }));
  await assert.rejects(countClasses(fromArrays({ inputs: { x: f32(1, 2) }, labels: f32(0, -1) })), code('E_INVALID_VALUE', { row: 1 }));
  await assert.rejects(countClasses(fromArrays({ inputs: { x: f32(1) }, labels: f32(4294967296) })), code('E_INVALID_VALUE'));
  assert.throws(() => subset(set, [0, 110]), code('E_ARG', { value: 110 }));
  assert.throws(() => subset(set, [-1]), code('E_ARG'));
});
