// Standard ONNX files: as a session, and as an operator of a module.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import {
  ATTRIBUTE, Compiler, createRuntime, createSession, createSessionIn, DATA_TYPE, decodeValue, encodeModel, install, isBbwError, Module, PeerId, slots, tensor, typeHash,
} from '../../js/index.js';
import { encoder, mnistCnn } from '../models/models.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));

/** @param {string} name @param {(number | string)[]} dims @param {number} [elemType] */
const port = (name, dims, elemType = DATA_TYPE.FLOAT) =>
  ({ name, type: { tensorType: { elemType, shape: { dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) } } } });
/** A model of a few nodes. */
const modelOf = ({ node, input, output, initializer = [], opset = 17 }) =>
  encodeModel({ irVersion: 8, graph: { name: 'test', node, input, output, initializer }, opsetImport: [{ version: opset }] });
const addOne = () => modelOf({
  node: [{ opType: 'Add', input: ['x', 'one'], output: ['y'] }], input: [port('x', ['n', 2])], output: [port('y', ['n', 2])],
  initializer: [{ name: 'one', dims: [], dataType: DATA_TYPE.FLOAT, floatData: [1] }],
});
const image = (n = 1) => ({ data: Float32Array.from({ length: n * 784 }, (_, i) => Math.sin(i * 0.37)), dims: [n, 1, 28, 28] });

test('inputs and outputs are described as the model declares them', async () => {
  const session = await createSession(encoder({ layers: 1, width: 8, heads: 2, vocabulary: 10, positions: 16 }), { wasm: module });
  assert.deepEqual(session.inputs, [
    { name: 'input_ids', dtype: 'int64', dims: ['batch', 'sequence'] }, { name: 'attention_mask', dtype: 'int64', dims: ['batch', 'sequence'] },
  ]);
  assert.deepEqual(session.outputs, [{ name: 'last_hidden_state', dtype: 'float32', dims: ['batch', 'sequence', 8] }]);
  session.dispose();
});

test('a run takes typed arrays and gives copies', () => {
  const session = createSessionIn(createRuntime(module), addOne());
  const { y } = session.run({ x: { data: Float32Array.of(1, 2, 3, 4), dims: [2, 2] } });
  assert.deepEqual(y, { dtype: 'float32', dims: [2, 2], data: Float32Array.of(2, 3, 4, 5) });
  y.data.fill(0);
  assert.deepEqual([...session.run({ x: tensor([5, 6], [1, 2]) }).y.data], [6, 7]); // values of the engine fit too
  session.dispose();
});

test('views show the engine memory until the next call', () => {
  const session = createSessionIn(createRuntime(module), addOne());
  const x = { data: Float32Array.of(1, 2), dims: [1, 2] };
  const { y } = session.run({ x }, { view: true });
  assert.deepEqual([...y.data], [2, 3]);
  session.run({ x: { data: Float32Array.of(9, 9), dims: [1, 2] } });
  assert.deepEqual([...y.data], [10, 10]);
  session.dispose();
});

test('every element type goes in and out', () => {
  const runtime = createRuntime(module);
  const arrays = {
    float32: Float32Array.of(1.5, -2), float64: Float64Array.of(1.5, -2), int8: Int8Array.of(1, -2), uint8: Uint8Array.of(1, 2), int16: Int16Array.of(1, -2),
    uint16: Uint16Array.of(1, 2), int32: Int32Array.of(1, -2), uint32: Uint32Array.of(1, 2), int64: BigInt64Array.of(1n, -2n), uint64: BigUint64Array.of(1n, 2n),
    bool: Uint8Array.of(1, 0), float16: Uint16Array.of(0x3c00, 0xc000), bfloat16: Uint16Array.of(0x3f80, 0xc000),
  };
  const numbers = { float32: 1, uint8: 2, int8: 3, uint16: 4, int16: 5, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11, uint32: 12, uint64: 13, bfloat16: 16 };
  for (const [dtype, data] of Object.entries(arrays)) {
    const model = modelOf({ node: [{ opType: 'Concat', input: ['x', 'x'], output: ['y'], attribute: [{ name: 'axis', type: ATTRIBUTE.INT, i: 0 }] }], input: [port('x', ['n'], numbers[dtype])], output: [port('y', ['m'], numbers[dtype])] });
    const session = createSessionIn(runtime, model);
    const { y } = session.run({ x: { data, dims: [2] } }); // the declaration says which type the array stands for
    assert.equal(y.dtype, dtype);
    assert.deepEqual([...y.data], [...data, ...data]);
    session.dispose();
  }
});

test('inputs that do not fit are refused by name, and the session goes on', () => {
  const session = createSessionIn(createRuntime(module), addOne());
  const good = { data: Float32Array.of(1, 2), dims: [1, 2] };
  const cases = [
    [{}, 'E_ARG', { input: 'x' }],
    [{ x: good, z: good }, 'E_UNKNOWN_INPUT', { input: 'z' }],
    [{ x: { data: Float32Array.of(1, 2, 3), dims: [1, 3] } }, 'E_SHAPE', { input: 'x', expected: '[n, 2]', got: '[1, 3]' }],
    [{ x: { data: Float32Array.of(1, 2, 3), dims: [2, 2] } }, 'E_SHAPE', { input: 'x', got: 3 }],
    [{ x: { data: Float32Array.of(1, 2), dims: [-1, -2] } }, 'E_SHAPE', { input: 'x' }],
    [{ x: { data: Float32Array.of(1, 2), dims: [1.5] } }, 'E_SHAPE', { input: 'x' }],
    [{ x: { data: Int32Array.of(1, 2), dims: [1, 2] } }, 'E_ELEMENT_TYPE', { input: 'x', expected: 'float32', got: 'int32' }],
    [{ x: { data: [1, 2], dims: [1, 2] } }, 'E_ARG', {}],
    [{ x: { data: Float32Array.of(1, 2), dims: [1, 2], dtype: 'float8' } }, 'E_ARG', { dtype: 'float8' }],
    [null, 'E_ARG', {}],
  ];
  for (const [inputs, code, details] of cases) {
    assert.throws(() => session.run(inputs), (error) => {
      assert.ok(isBbwError(error, code), `${code}: ${error}`);
      for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value);
      return true;
    });
    assert.deepEqual([...session.run({ x: good }).y.data], [2, 3]);
  }
  assert.throws(() => session.run({ x: good }, { outputs: ['nothing'] }), (e) => isBbwError(e, 'E_ARG'));
  session.dispose();
  assert.throws(() => session.run({ x: good }), (e) => isBbwError(e, 'E_STATE'));
  session.dispose(); // twice is fine
});

test('what is missing is listed at once, with operator, opset and node', () => {
  const model = modelOf({
    node: [{ opType: 'Nonsense', name: 'first', input: ['x'], output: ['a'] }, { opType: 'Relu', input: ['a'], output: ['b'] }, { opType: 'Other', domain: 'my.ops', input: ['b'], output: ['y'] }],
    input: [port('x', [2])], output: [port('y', [2])],
  });
  assert.throws(() => createSessionIn(createRuntime(module), model), (error) => {
    assert.ok(isBbwError(error, 'E_ONNX_UNSUPPORTED'));
    assert.deepEqual(error.details.nodes, ['first: Nonsense (opset 17)', 'y: my.ops.Other (opset 1)']);
    return true;
  });
});

test('bad models are refused with the place that is wrong, and leave no memory behind', () => {
  const runtime = createRuntime(module);
  const io = { input: [port('x', [2])], output: [port('y', [2])] };
  const relu = (input, output) => ({ opType: 'Relu', name: `${input}-${output}`, input: [input], output: [output] });
  const cases = {
    'a cycle': [modelOf({ ...io, node: [relu('b', 'a'), relu('a', 'b'), relu('a', 'y')] }), 'E_ONNX_INVALID', 'graph has a cycle'],
    'a missing value': [modelOf({ ...io, node: [relu('nothing', 'y')] }), 'E_ONNX_INVALID', 'is used but nothing makes it'],
    'a value made twice': [modelOf({ ...io, node: [relu('x', 'y'), relu('x', 'y')] }), 'E_ONNX_INVALID', 'two values have this name'],
    'truncated data': [modelOf({ ...io, node: [{ opType: 'Add', input: ['x', 'w'], output: ['y'] }], initializer: [{ name: 'w', dims: [2], dataType: 1, rawData: new Uint8Array(7) }] }), 'E_ONNX_INVALID', 'shape and data of a tensor do not fit'],
    'absurd dimensions': [modelOf({ ...io, node: [{ opType: 'Add', input: ['x', 'w'], output: ['y'] }], initializer: [{ name: 'w', dims: [2 ** 40, 2 ** 40], dataType: 1, rawData: new Uint8Array(8) }] }), 'E_ONNX_INVALID', undefined],
    'too many inputs': [modelOf({ ...io, node: [{ opType: 'Relu', input: ['x', 'x'], output: ['y'] }] }), 'E_ONNX_INVALID', 'operator has too few or too many inputs'],
    'no graph': [encodeModel({ irVersion: 8 }), 'E_ONNX_INVALID', 'model has no graph'],
  };
  const used = runtime.memoryUsed;
  for (const [name, [bytes, code, detail]] of Object.entries(cases)) {
    assert.throws(() => createSessionIn(runtime, bytes), (error) => isBbwError(error, code) && (detail === undefined || error.details.detail === detail), name);
  }
  assert.throws(() => createSessionIn(runtime, Uint8Array.of(1, 2, 3)), (e) => isBbwError(e, 'E_PROTOBUF'));
  assert.ok(runtime.memoryUsed - used <= 4096, `${runtime.memoryUsed - used} bytes`); // the glue keeps one small block for arguments
});

test('long chains load in time that grows with them, longer ones and deep nesting are refused', () => {
  const runtime = createRuntime(module);
  const chain = (count) => modelOf({
    node: Array.from({ length: count }, (_, i) => ({ opType: 'Neg', input: [i === 0 ? 'x' : `v${i}`], output: [i === count - 1 ? 'y' : `v${i + 1}`] })),
    input: [port('x', ['n'])], output: [port('y', ['n'])],
  });
  const time = (count) => {
    const bytes = chain(count), start = performance.now();
    const session = createSessionIn(runtime, bytes);
    assert.deepEqual([...session.run({ x: { data: Float32Array.of(1, -2), dims: [2] } }).y.data], [1, -2]);
    session.dispose();
    return performance.now() - start;
  };
  time(1000);
  const short = Math.min(time(10_000), time(10_000)), long = Math.min(time(40_000), time(40_000));
  assert.ok(long < 10 * short + 50, `${short} ms for 10,000 nodes, ${long} ms for 40,000`);
  assert.throws(() => createSessionIn(runtime, chain(65_600)), (e) => isBbwError(e, 'E_ONNX_INVALID') && e.details.detail === 'model has too many nodes');
  const nested = (depth) => ({
    name: `g${depth}`, output: [port(`o${depth}`, [1])],
    node: depth === 0 ? [{ opType: 'Identity', input: ['x'], output: ['o0'] }]
      : [{ opType: 'If', input: ['c'], output: [`o${depth}`], attribute: ['then_branch', 'else_branch'].map((name) => ({ name, type: ATTRIBUTE.GRAPH, g: nested(depth - 1) })) }],
  });
  const deep = (depth) => encodeModel({ irVersion: 8, graph: { ...nested(depth), input: [port('x', [1]), port('c', [], DATA_TYPE.BOOL)] }, opsetImport: [{ version: 17 }] });
  const session = createSessionIn(runtime, deep(5));
  assert.deepEqual([...session.run({ x: { data: Float32Array.of(4), dims: [1] }, c: { data: Uint8Array.of(1), dims: [] } }).o5.data], [4]);
  session.dispose();
  assert.throws(() => createSessionIn(runtime, deep(10)), (e) => isBbwError(e, 'E_ONNX_INVALID') && /nested/.test(String(e.details.detail)));
});

test('an operator refuses what it cannot compute by node, and shapes are bounded before anything is allocated', () => {
  const runtime = createRuntime(module);
  const model = modelOf({
    node: [{ opType: 'Expand', name: 'wide', input: ['x', 'shape'], output: ['y'] }], input: [port('x', [1]), port('shape', ['k'], DATA_TYPE.INT64)], output: [port('y', ['n'])],
  });
  const session = createSessionIn(runtime, model, { maxMemoryBytes: 1 << 20 });
  const run = (...shape) => session.run({ x: { data: Float32Array.of(1), dims: [1] }, shape: { data: BigInt64Array.from(shape, BigInt), dims: [shape.length] } });
  assert.equal(run(3, 4).y.data.length, 12);
  const before = runtime.memoryBytes;
  assert.throws(() => run(1 << 30, 1 << 30), (e) => isBbwError(e, 'E_LIMIT') && e.details.node === 'wide');
  assert.throws(() => run(1 << 20), (e) => isBbwError(e, 'E_LIMIT') && e.details.cap > 0 && e.details.got > e.details.cap);
  assert.throws(() => run(-5), (e) => isBbwError(e, 'E_ONNX_INVALID') && e.details.node === 'wide');
  assert.equal(runtime.memoryBytes, before);
  assert.equal(run(2).y.data.length, 2);
  session.dispose();
});

test('sessions share weights, and memory comes back', () => {
  const runtime = createRuntime(module);
  const session = createSessionIn(runtime, mnistCnn());
  const first = session.run({ image: image() }).logits.data;
  const used = runtime.memoryUsed;
  const other = session.share();
  assert.deepEqual(other.run({ image: image() }).logits.data, first);
  assert.ok(runtime.memoryUsed - used < 800_000, 'the weights of 1.7 MB are not copied');
  session.dispose();
  assert.deepEqual(other.run({ image: image() }).logits.data, first); // the weights live as long as one session does
  const { weights, results, nodes } = other.memory;
  assert.ok(weights > 1_600_000 && results > 0 && nodes === 7);
  other.dispose();
  assert.ok(runtime.memoryUsed < 16_384, `${runtime.memoryUsed} bytes are left`);
});

test('a repeated run allocates nothing, and results do not depend on the batch', () => {
  const runtime = createRuntime(module);
  const session = createSessionIn(runtime, mnistCnn());
  const single = session.run({ image: image() }).logits.data;
  const batch = session.run({ image: image(3) }).logits.data;
  assert.deepEqual(batch.slice(0, 10), single);
  session.run({ image: image(3) });
  const used = runtime.memoryUsed;
  for (let i = 0; i < 200; i++) session.run({ image: image(i % 2 === 0 ? 1 : 3) });
  assert.equal(runtime.memoryUsed, used);
  session.dispose();
});

test('nothing changes when nothing is folded, fused or packed, but for the last bits', () => {
  const runtime = createRuntime(module);
  const bytes = encoder({ layers: 2, width: 32, heads: 4, vocabulary: 50, positions: 16 });
  const feeds = { input_ids: { data: BigInt64Array.from({ length: 14 }, (_, i) => BigInt(i * 3)), dims: [2, 7] }, attention_mask: { data: BigInt64Array.from({ length: 14 }, (_, i) => BigInt(i % 7 < 5 ? 1 : 0)), dims: [2, 7] } };
  const [fused, plain] = [false, true].map((isPlain) => createSessionIn(runtime, bytes, { plain: isPlain }));
  const a = fused.run(feeds).last_hidden_state.data, b = plain.run(feeds).last_hidden_state.data;
  assert.ok(a.every((x, i) => Math.abs(x - b[i]) < 1e-5));
  assert.ok(fused.memory.nodes < plain.memory.nodes * 0.6, `${fused.memory.nodes} of ${plain.memory.nodes} nodes`);
  fused.dispose();
  plain.dispose();
});

test('an ONNX file is one operator of a module', async () => {
  class Classify extends Module {
    backend = slots.backend();
    body(g) {
      const [logits] = this.backend.onnx(g, mnistCnn(), [g.input('image')]);
      g.output('logits', logits);
    }
  }
  const artifact = await new Compiler({ wasm: module }).bind('backend', 'Backend', 'bytesandbrains::backends::cpu::CpuBackend').compile(new Classify());
  const node = await install({ artifact, targets: ['Classify'], peerId: PeerId.fromU64(1), wasm: module });
  node.deliverEvent('Classify', 'image', tensor(image().data, image().dims));
  const events = node.poll().filter((step) => step.type === 'AppEvent' && step.topic === 'logits');
  assert.equal(events.length, 1);
  const got = decodeValue(typeHash('CpuTensor'), events[0].valueBytes);
  const session = await createSession(mnistCnn(), { wasm: module });
  assert.deepEqual(got.data, session.run({ image: image() }).logits.data);
  session.dispose();
  node.dispose();
});

test('what a file of a module is missing is said at install', async () => {
  class Broken extends Module {
    backend = slots.backend();
    body(g) {
      const file = modelOf({
        node: [{ opType: 'Nonsense', name: 'first', input: ['x'], output: ['a'] }, { opType: 'Other', name: 'second', input: ['a'], output: ['y'] }], input: [port('x', [2])], output: [port('y', [2])],
      });
      g.output('y', this.backend.onnx(g, file, [g.input('x')])[0]);
    }
  }
  const artifact = await new Compiler({ wasm: module }).bind('backend', 'Backend', 'bytesandbrains::backends::cpu::CpuBackend').compile(new Broken());
  const runtime = createRuntime(module), before = runtime.memoryUsed;
  await assert.rejects(install({ artifact, targets: ['Broken'], peerId: PeerId.fromU64(1), runtime }), (error) => {
    assert.ok(isBbwError(error, 'E_ONNX_UNSUPPORTED'), String(error));
    assert.deepEqual(error.details.nodes, ['first: Nonsense (opset 17)', 'second: Other (opset 17)']);
    return true;
  });
  assert.ok(runtime.memoryUsed - before < 200_000, `${runtime.memoryUsed - before} bytes are left`);
});
