// Models and callers that want more than they may have: each of these was once a crash, a wrong number or a wait without end.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { ATTRIBUTE, createRuntime, createSessionIn, DATA_TYPE, encodeModel, isBbwError } from '../../js/index.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));

/** @param {string} name @param {(number | string)[]} [dims] @param {number} [elemType] */
const port = (name, dims, elemType = DATA_TYPE.FLOAT) => ({
  name,
  type: { tensorType: { elemType, ...(dims && { shape: { dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) } }) } },
});
const modelOf = ({ node, input = [], output, initializer = [], opsetImport = [{ version: 17 }] }) =>
  encodeModel({ irVersion: 8, graph: { name: 'test', node, input, output, initializer }, opsetImport });
const graphs = (bodies) => Object.entries(bodies).map(([name, g]) => ({ name, type: ATTRIBUTE.GRAPH, g: { name, ...g } }));
const relu = () => createSessionIn(createRuntime(module), modelOf({ node: [{ opType: 'Relu', input: ['x'], output: ['y'] }], input: [port('x', ['n'])], output: [port('y', ['n'])] }));

test('a branch that captures ten thousand values costs as much as its list', () => {
  const names = Array.from({ length: 10_000 }, (_, i) => `w${i}`);
  const branch = { node: [{ opType: 'Sum', input: names, output: ['t'] }], output: [port('t')] };
  const runtime = createRuntime(module, { maxMemoryBytes: 32 << 20 }); // a list per captured value would take 400 MB
  const session = createSessionIn(runtime, modelOf({
    node: [{ opType: 'If', input: ['c'], output: ['y'], attribute: graphs({ then_branch: branch, else_branch: branch }) }], input: [port('c', [], DATA_TYPE.BOOL)], output: [port('y')],
    initializer: names.map((name) => ({ name, dims: [], dataType: DATA_TYPE.FLOAT, floatData: [1] })),
  }));
  assert.deepEqual([...session.run({ c: { data: Uint8Array.of(1), dims: [] } }).y.data], [10_000]);
  session.dispose();
});

test('a model names its operator sets once', () => {
  const opsetImport = [...Array.from({ length: 1000 }, () => ({ domain: 'some', version: 1 })), { version: 17 }];
  const bytes = modelOf({ node: [{ opType: 'Relu', input: ['x'], output: ['y'] }], input: [port('x', [1])], output: [port('y', [1])], opsetImport });
  assert.throws(() => createSessionIn(createRuntime(module), bytes), (e) => isBbwError(e, 'E_ONNX_INVALID') && /operator sets/.test(e.details.detail));
});

/** Counts to m without a condition; `scan` is given once per iteration. */
const loop = (scan) => modelOf({
  node: [{
    opType: 'Loop', input: ['m', ''], output: ['z'],
    attribute: graphs({
      body: { node: [{ opType: 'Identity', input: ['go'], output: ['on'] }, { opType: 'Neg', input: ['x'], output: ['row'] }], input: [port('i', [], 7), port('go', [], 9)], output: [port('on', [], 9), scan] },
    }),
  }], input: [port('x', [2]), port('m', [], DATA_TYPE.INT64)], output: [port('z')],
});
const loopInputs = (m) => ({ x: { data: Float32Array.of(1, 2), dims: [2] }, m: { data: BigInt64Array.of(m), dims: [] } });

test('a Loop may leave its condition out when it carries nothing', () => {
  const session = createSessionIn(createRuntime(module), loop(port('row', [2])));
  assert.deepEqual(session.run(loopInputs(2n)).z, { dtype: 'float32', dims: [2, 2], data: Float32Array.of(-1, -2, -1, -2) });
  assert.deepEqual(session.run(loopInputs(0n)).z.dims, [0, 2]);
  session.dispose();
});

test('what a Loop without iterations gives must have a declared type', () => {
  const session = createSessionIn(createRuntime(module), loop({ name: 'row' }));
  assert.deepEqual(session.run(loopInputs(1n)).z.dims, [1, 2]);
  assert.throws(() => session.run(loopInputs(0n)), (e) => isBbwError(e, 'E_ONNX_INVALID') && e.details.node === 'z');
  session.dispose();
});

test('places in the block do not wrap around the address space', () => {
  const wide = 2 ** 28 - 8; // f64: 64 bytes below 2 GB
  const node = [
    { opType: 'Expand', input: ['x', 'wide'], output: ['a'] }, { opType: 'Expand', input: ['x', 'wide'], output: ['b'] },
    { opType: 'Softmax', input: ['x'], output: ['unread'] }, // leaves a gap at the end, which then grows
    { opType: 'Expand', input: ['x', 'some'], output: ['c'] },
  ];
  const runtime = createRuntime(module);
  const session = createSessionIn(runtime, modelOf({
    node, input: [port('x', [1], DATA_TYPE.DOUBLE)], output: ['a', 'b', 'c'].map((name) => port(name)),
    initializer: [['wide', wide], ['some', 100]].map(([name, n]) => ({ name, dims: [1], dataType: DATA_TYPE.INT64, int64Data: [BigInt(n)] })),
  }), { plain: true });
  assert.throws(() => session.run({ x: { data: Float64Array.of(1), dims: [1] } }), (e) => isBbwError(e, 'E_LIMIT') || isBbwError(e, 'E_NOMEM'));
  assert.equal(runtime.isPoisoned, false);
  session.dispose();
});

test('inputs are read once: what a getter gives the second time does not count', () => {
  const session = relu();
  let reads = 0;
  const changing = { get data() { return Float32Array.of(1, 2); }, get dims() { return reads++ === 0 ? [2] : [5000]; } };
  assert.deepEqual(session.run({ x: changing }).y, { dtype: 'float32', dims: [2], data: Float32Array.of(1, 2) });
  class Liar extends Float32Array { get length() { return 5000; } }
  assert.throws(() => session.run({ x: { data: Liar.of(1), dims: [5000] } }), (e) => isBbwError(e, 'E_SHAPE'));
  session.dispose();
});

test('a getter of an input may run the session or dispose of it', () => {
  const session = relu();
  const outer = { dims: [1], get data() { session.run({ x: { data: new Float32Array(100_000), dims: [100_000] } }); return Float32Array.of(3); } };
  assert.deepEqual([...session.run({ x: outer }).y.data], [3]);
  const last = { dims: [1], get data() { session.dispose(); return Float32Array.of(3); } };
  assert.throws(() => session.run({ x: last }), (e) => isBbwError(e, 'E_STATE'));
});

test('a view of the last results is an input like any other, also when the block moves', () => {
  const session = createSessionIn(createRuntime(module), modelOf({
    node: [{ opType: 'Identity', input: ['x'], output: ['y'] }, { opType: 'Neg', input: ['w'], output: ['z'] }],
    input: [port('x', ['n']), port('w', ['m'])], output: [port('y'), port('z')],
  }));
  const ramp = Float32Array.from({ length: 64 }, (_, i) => i + 1);
  const { y } = session.run({ x: { data: ramp, dims: [64] }, w: { data: Float32Array.of(1), dims: [1] } }, { view: true });
  const next = session.run({ x: { data: y.data, dims: y.dims }, w: { data: new Float32Array(512), dims: [512] } });
  assert.deepEqual(next.y.data, ramp);
  const again = session.run({ x: { data: ramp, dims: [64] }, w: { data: Float32Array.of(1), dims: [1] } }, { view: true });
  // A larger block needs more memory than the instance has: its memory grows, and the view is gone.
  assert.throws(() => session.run({ x: { data: again.y.data, dims: [64] }, w: { data: new Float32Array(8 << 20), dims: [8 << 20] } }), (e) => isBbwError(e, 'E_ARG') && e.details.input === 'x');
  assert.deepEqual([...session.run({ x: { data: Float32Array.of(4), dims: [1] }, w: { data: Float32Array.of(1), dims: [1] } }).y.data], [4]);
  session.dispose();
});
