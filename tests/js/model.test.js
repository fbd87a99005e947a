// A network outside any node: what a page uses to evaluate and to predict.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { createModel, createModelIn, createRuntime, decodeModel, denseNetwork, encodeModel } from '../../js/index.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));

test('a model tells its sizes, gives its parameters as a copy, and takes others', async () => {
  const model = await createModel(denseNetwork([4, 3, 2]), { wasm: module });
  assert.deepEqual([model.paramCount, model.inputWidth, model.outputWidth], [4 * 3 + 3 + 3 * 2 + 2, 4, 2]);
  const first = model.params();
  assert.equal(first.length, 23);
  first.fill(7);
  assert.notEqual(model.params()[0], 7);
  model.load(first);
  assert.deepEqual(model.params(), first);
  model.dispose();
});

test('forward gives one row of outputs per row of inputs, with the numbers of the network', () => {
  const runtime = createRuntime(module);
  const model = createModelIn(runtime, denseNetwork([2, 2]));
  model.load(Float32Array.of(1, 2, 3, 4, 10, 20)); // in the order of the file: weights, then bias
  const [gemm] = decodeModel(denseNetwork([2, 2])).graph.node;
  assert.equal(gemm.attribute.find(({ name }) => name === 'transB').i, 1); // weights are [out, in]
  assert.deepEqual([...model.forward(Float32Array.of(1, 0, 0, 1, 1, 1))], [11, 23, 12, 24, 13, 27]);
  model.dispose();
});

test('wrong sizes are refused and change nothing', () => {
  const model = createModelIn(createRuntime(module), denseNetwork([4, 3, 2]));
  const before = model.params();
  for (const n of [0, 22, 24]) {
    assert.throws(() => model.load(new Float32Array(n)), (e) => e.code === 'E_SHAPE' && e.details.expected === 23 && e.details.count === n);
  }
  for (const n of [0, 3, 5]) {
    assert.throws(() => model.forward(new Float32Array(n)), (e) => e.code === 'E_SHAPE' && e.details.width === 4 && e.details.count === n);
  }
  assert.deepEqual(model.params(), before);
  assert.equal(model.forward(new Float32Array(8)).length, 4);
  model.dispose();
});

test('a file with operators that are not supported is refused with all of them, by node name', async () => {
  const file = decodeModel(denseNetwork([4, 3, 2]));
  file.graph.node.splice(1, 0, { opType: 'Fold', name: '/gelu/Fold', input: ['fc1'], output: ['odd'] });
  file.graph.node.push({ opType: 'Unfold', name: '/tail/Unfold', input: ['logits'], output: ['unused'] });
  await assert.rejects(createModel(encodeModel(file), { wasm: module }), (error) => {
    assert.equal(error.code, 'E_ONNX_UNSUPPORTED');
    assert.deepEqual(error.details.nodes, ['/gelu/Fold: Fold (opset 17)', '/tail/Unfold: Unfold (opset 17)']);
    return true;
  });
});

test('bytes that are no ONNX file, and graphs that make no sense, are refused with a typed error', async () => {
  for (const bad of [new Uint8Array(), Uint8Array.of(1, 2, 3), denseNetwork([4, 3, 2]).subarray(0, 100)]) {
    await assert.rejects(createModel(bad, { wasm: module }), (error) => ['E_PROTOBUF', 'E_ONNX_INVALID'].includes(error.code));
  }
  const loose = decodeModel(denseNetwork([4, 3, 2]));
  loose.graph.node[0].input[0] = 'from nowhere';
  await assert.rejects(createModel(encodeModel(loose), { wasm: module }), { code: 'E_ONNX_INVALID' });
});

test('a disposed model answers nothing, twice is fine, and its memory is free again', () => {
  const runtime = createRuntime(module);
  const cycle = () => {
    const model = createModelIn(runtime, denseNetwork([4, 3, 2]));
    model.forward(new Float32Array(400));
    model.dispose();
    model.dispose();
    for (const use of [() => model.params(), () => model.load(new Float32Array(23)), () => model.forward(new Float32Array(4)), () => model.paramCount]) {
      assert.throws(use, { code: 'E_STATE' });
    }
    return runtime.memoryUsed;
  };
  const first = cycle();
  for (let i = 0; i < 10; i++) assert.equal(cycle(), first);
});
