// Fused patterns give what their parts give, in every shape that the parts accept: fused beside plain, over tables of shapes and constants.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { ATTRIBUTE, createRuntime, createSessionIn, DATA_TYPE, encodeModel, isBbwError } from '../../js/index.js';

const runtime = createRuntime(new WebAssembly.Module(readFileSync('build/wasm/bb.wasm')));
const attribute = (name, value) => (Array.isArray(value) ? { name, type: ATTRIBUTE.INTS, ints: value } : { name, type: ATTRIBUTE.INT, i: value });
const node = (opType, input, output, attributes = {}) => ({ opType, input, output: [output], attribute: Object.entries(attributes).map(([k, v]) => attribute(k, v)) });
const constant = (name, dims, data) => ({ name, dims, dataType: DATA_TYPE.FLOAT, rawData: new Uint8Array(Float32Array.from(data).buffer) });
const free = (name) => ({ name, type: { tensorType: { elemType: DATA_TYPE.FLOAT } } });
const array = (dims, seed = 1) => ({ dims, data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 1.7 + seed)) });

/** Runs a model fused and plain; both give the same, or both refuse. Returns the nodes that the fused one has. */
function compare(what, { nodes, inputs, initializer = [], output = 'y', opset = 17 }) {
  const model = encodeModel({ irVersion: 8, graph: { name: 'g', node: nodes, initializer, input: Object.keys(inputs).map(free), output: [free(output)] }, opsetImport: [{ version: opset }] });
  const results = [false, true].map((plain) => {
    const session = createSessionIn(runtime, model, { plain });
    try {
      return { ...session.run(inputs)[output], nodes: session.memory.nodes };
    } catch (error) {
      assert.ok(isBbwError(error), String(error));
      return { refused: error.code, nodes: session.memory.nodes };
    } finally {
      session.dispose();
    }
  });
  const [fused, plain] = results;
  assert.equal(fused.refused, plain.refused, what);
  if (plain.refused !== undefined) return fused.nodes;
  assert.deepEqual(fused.dims, plain.dims, what);
  plain.data.forEach((x, i) => assert.ok(Object.is(fused.data[i], x) || Math.abs(fused.data[i] - x) <= 2e-5 * (1 + Math.abs(x)), `${what}: element ${i} is ${fused.data[i]}, not ${x}`));
  return fused.nodes;
}

test('attention: batches, heads and rows are spread over each other', () => {
  const parts = (hasMask) => [
    node('Transpose', ['q'], 'qt', { perm: [0, 2, 1, 3] }), node('Transpose', ['k'], 'kt', { perm: [0, 2, 3, 1] }), node('Transpose', ['v'], 'vt', { perm: [0, 2, 1, 3] }),
    node('MatMul', ['qt', 'kt'], 's'), node('Div', ['s', 'two'], 'scaled'), ...(hasMask ? [node('Add', ['scaled', 'mask'], 'masked')] : []),
    node('Softmax', [hasMask ? 'masked' : 'scaled'], 'p', { axis: -1 }), node('MatMul', ['p', 'vt'], 'o'), node('Transpose', ['o'], 'y', { perm: [0, 2, 1, 3] }),
  ];
  const q = [2, 3, 2, 4], k = [2, 5, 2, 4], v = [2, 5, 2, 3]; // [batch, rows, heads, size]
  const cases = [
    [q, k, v], [q, k, v, [5]], [q, k, v, [1]], [q, k, v, []], [q, k, v, [3, 1]], [q, k, v, [3, 5]], [q, k, v, [2, 1, 1]], [q, k, v, [2, 3, 5]], [q, k, v, [2, 1, 1, 5]], [q, k, v, [2, 2, 3, 5]],
    [q, k, v, [1, 1, 3, 5]], [[1, 3, 2, 4], k, v], [q, [1, 5, 2, 4], [1, 5, 2, 3]], [q, k, [2, 5, 1, 3]], [q, [2, 5, 1, 4], [2, 5, 1, 3]], [[1, 1, 1, 4], [1, 5, 1, 4], [1, 5, 1, 3], [4, 3, 2, 5]],
    [[1, 1, 1, 4], [1, 5, 1, 4], [1, 5, 1, 3], [7, 1]], [[2, 1, 2, 4], [2, 1, 2, 4], [2, 1, 2, 3], [2, 2, 1, 1]], [q, k, v, [4]], [q, k, [2, 4, 2, 3]], [q, [3, 5, 2, 4], v], [[2, 0, 2, 4], k, v],
  ];
  for (const [a, b, c, mask] of cases) {
    const what = JSON.stringify([a, b, c, mask]);
    const inputs = { q: array(a), k: array(b, 2), v: array(c, 3), ...(mask && { mask: array(mask, 4) }) };
    assert.equal(compare(what, { nodes: parts(mask !== undefined), inputs, initializer: [constant('two', [], [2])] }), 1, `${what} is fused`);
  }
});

test('layer normalization: rows of one element are spread over gamma and beta', () => {
  const nodes = [
    node('ReduceMean', ['x'], 'mean', { axes: [-1], keepdims: 1 }), node('Sub', ['x', 'mean'], 'd'), node('Pow', ['d', 'two'], 'sq'), node('ReduceMean', ['sq'], 'var', { axes: [-1], keepdims: 1 }),
    node('Add', ['var', 'eps'], 've'), node('Sqrt', ['ve'], 'sd'), node('Div', ['d', 'sd'], 'n'), node('Mul', ['n', 'gamma'], 'g'), node('Add', ['g', 'beta'], 'y'),
  ];
  const initializer = [constant('two', [], [2]), constant('eps', [], [1e-5]), constant('gamma', [4], [1, 2, 3, 4]), constant('beta', [4], [0, 1, -1, 0.5])];
  for (const dims of [[3, 4], [2, 3, 4], [4], [2, 1], [1], [3, 5], [0, 4]]) {
    assert.equal(compare(String(dims), { nodes, inputs: { x: array(dims) }, initializer, opset: 13 }), 1, `${dims} is fused`);
  }
});

test('GELU: only for its own numbers, and with the rank of its parts', () => {
  const nodes = [node('Div', ['x', 'root'], 'a'), node('Erf', ['a'], 'b'), node('Add', ['b', 'one'], 'c'), node('Mul', ['x', 'c'], 'd'), node('Mul', ['d', 'half'], 'y')];
  const given = (root, one, half, dims = []) => [constant('root', dims, [root]), constant('one', dims, [one]), constant('half', dims, [half])];
  const x = { dims: [4], data: Float32Array.of(-1000, -0.5, 0.5, 1000) };
  assert.equal(compare('gelu', { nodes, inputs: { x }, initializer: given(Math.SQRT2, 1, 0.5) }), 1);
  for (const numbers of [[1.4143, 1, 0.5], [Math.SQRT2, 1.0009, 0.5], [Math.SQRT2, 1, 0.5004]]) assert.equal(compare(String(numbers), { nodes, inputs: { x }, initializer: given(...numbers) }), 5);
  compare('a number', { nodes, inputs: { x: { dims: [], data: Float32Array.of(0.3) } }, initializer: given(Math.SQRT2, 1, 0.5, [1]) });
});

test('activations in products: every kind of bound, and numbers that are none', () => {
  const x = { dims: [2, 3], data: Float32Array.of(1, -2, 3, NaN, Infinity, -1) };
  const w = constant('w', [3, 2], [1, -1, 0.5, 2, -3, 1]), bias = constant('bias', [2], [0.1, -0.2]);
  for (const [low, high] of [[0, 6], [-1, 1], [1, -1], [NaN, 1], [0, NaN], [-Infinity, Infinity]]) {
    compare(`clip ${low} ${high}`, {
      nodes: [node('MatMul', ['x', 'w'], 'a'), node('Add', ['a', 'bias'], 'b'), node('Clip', ['b', 'low', 'high'], 'y')], inputs: { x }, initializer: [w, bias, constant('low', [], [low]), constant('high', [], [high])],
    });
  }
  for (const op of ['Relu', 'Sigmoid', 'Tanh', 'Softplus', 'HardSwish', 'Neg', 'Sqrt', 'Exp', 'Sign', 'Not', 'Floor']) {
    if (op === 'Not') continue; // of truth values only
    compare(op, { nodes: [node('Gemm', ['x', 'w', 'bias'], 'a'), node(op, ['a'], 'y')], inputs: { x }, initializer: [w, bias] });
  }
  // A bias that is wider than the product, or made of another type of list, stays a sum.
  for (const dims of [[2], [1, 2], [2, 1], [3, 1, 2]]) {
    compare(`bias ${dims}`, { nodes: [node('MatMul', ['x', 'w'], 'a'), node('Add', ['a', 'c'], 'y')], inputs: { x }, initializer: [w, constant('c', dims, array(dims).data)] });
  }
});

test('a branch that is never taken may be wrong, and a loop takes no captured value for a missing one', () => {
  const branch = (nodes, name, initializer = []) => ({ name, node: nodes, initializer, output: [free(nodes.at(-1).output[0])] });
  const graphs = (list) => Object.entries(list).map(([name, g]) => ({ name, type: ATTRIBUTE.GRAPH, g }));
  const wrong = branch([node('Gather', ['table', 'index'], 'w')], 'wrong', [constant('table', [2], [1, 2]), { name: 'index', dims: [1], dataType: DATA_TYPE.INT64, rawData: new Uint8Array(BigInt64Array.of(9n).buffer) }]);
  const choice = encodeModel({
    irVersion: 8, opsetImport: [{ version: 17 }], graph: {
      name: 'g', node: [{ opType: 'If', name: 'choose', input: ['c'], output: ['y'], attribute: graphs({ then_branch: branch([node('Neg', ['x'], 'n')], 'right'), else_branch: wrong }) }],
      input: [free('x'), { name: 'c', type: { tensorType: { elemType: DATA_TYPE.BOOL } } }], output: [free('y')],
    },
  });
  const session = createSessionIn(runtime, choice), x = array([2]);
  assert.deepEqual([...session.run({ x, c: { data: Uint8Array.of(1), dims: [] } }).y.data], [...x.data].map((v) => -v));
  assert.throws(() => session.run({ x, c: { data: Uint8Array.of(0), dims: [] } }), (e) => isBbwError(e, 'E_ONNX_INVALID') && e.details.node === 'w');
  session.dispose();
  const port = (name, elemType) => ({ name, type: { tensorType: { elemType } } });
  const body = {
    name: 'body', input: [port('i', DATA_TYPE.INT64), port('go', DATA_TYPE.BOOL), port('carried', DATA_TYPE.FLOAT)], output: [port('go_on', DATA_TYPE.BOOL), port('next', DATA_TYPE.FLOAT)],
    node: [node('Identity', ['go'], 'go_on'), node('Add', ['carried', 'outside'], 'next')],
  };
  const loop = encodeModel({
    irVersion: 8, opsetImport: [{ version: 17 }], graph: {
      name: 'g', node: [{ opType: 'Loop', name: 'again', input: ['m', 'c'], output: ['y'], attribute: graphs({ body }) }],
      input: [port('m', DATA_TYPE.INT64), port('c', DATA_TYPE.BOOL), free('outside')], output: [free('y')],
    },
  });
  const looping = createSessionIn(runtime, loop);
  assert.throws(() => looping.run({ m: { data: BigInt64Array.of(2n), dims: [] }, c: { data: Uint8Array.of(1), dims: [] }, outside: array([1]) }), (e) => isBbwError(e, 'E_ONNX_INVALID') && e.details.node === 'again');
  looping.dispose();
});
