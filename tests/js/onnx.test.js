// ONNX files: what we write can be read back, is what other programs expect, and bad bytes are refused.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import test from 'node:test';
import { decodeModel, decodeTensorProto, denseNetwork, encodeModel, encodeTensorProto } from '../../js/onnx.js';
import { cases, fileOf, hex, unhex } from './vectors.js';

test('recorded and compiled models of the reference round-trip to the same bytes', { skip: process.env.BBW_VECTORS !== undefined }, () => {
  const files = readdirSync('tests/vectors/artifacts').filter((name) => name.endsWith('.pb') && !name.startsWith('broken'));
  assert.ok(files.length > 50);
  for (const name of files) {
    const bytes = fileOf('artifacts', name);
    assert.equal(hex(encodeModel(decodeModel(bytes))), hex(bytes), name);
  }
});

test('tensor messages of the reference round-trip', () => {
  for (const c of cases('values').filter((x) => x.kind === 'tensor_proto' && x.tensor && x.proto)) {
    const proto = decodeTensorProto(unhex(c.proto));
    assert.deepEqual(proto.dims.map((d) => Math.max(Number(d), 0)), c.tensor.dims, c.id); // negative dims count as zero
    if (!proto.rawData) assert.equal(hex(encodeTensorProto(proto)), c.proto, c.id);
  }
});

test('every cut of a model is read or refused with a typed error', () => {
  const bytes = denseNetwork([3, 2], { seed: 4 });
  for (let length = 0; length < bytes.length; length++) {
    try {
      decodeModel(bytes.subarray(0, length));
    } catch (error) {
      assert.equal(error.code, 'E_PROTOBUF', `cut at ${length}`);
    }
  }
  assert.throws(() => decodeModel(Uint8Array.of(0x3a, 0x7f)), { code: 'E_PROTOBUF' });
  assert.throws(() => decodeModel(Uint8Array.of(0x3a)), { code: 'E_PROTOBUF' });
  assert.throws(() => decodeModel(Uint8Array.of(0x38, 0x01)), { code: 'E_PROTOBUF' }); // graph as a number
  assert.throws(() => decodeModel(new Uint8Array(12).fill(0xff)), { code: 'E_PROTOBUF' });
});

test('nesting deeper than 100 messages is refused', () => {
  let inner = new Uint8Array();
  const wrap = (tag, body) => Uint8Array.from([tag, ...varint(body.length), ...body]);
  for (let i = 0; i < 60; i++) inner = wrap(0x0a, wrap(0x2a, wrap(0x32, inner))); // graph.node.attribute.g
  assert.throws(() => decodeModel(wrap(0x3a, inner)), { code: 'E_DEPTH' });
});

/** @param {number} n */
function varint(n) {
  const out = [];
  for (; n >= 128; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  return [...out, n];
}

test('a dense network is a standard ONNX graph', () => {
  const model = decodeModel(denseNetwork([784, 64, 10]));
  assert.equal(model.irVersion, 8);
  assert.deepEqual(model.opsetImport, [{ version: 17 }]);
  assert.deepEqual(model.graph.node.map((n) => [n.opType, n.input, n.output]), [
    ['Gemm', ['x', 'fc1.weight', 'fc1.bias'], ['fc1']], ['Relu', ['fc1'], ['relu1']], ['Gemm', ['relu1', 'fc2.weight', 'fc2.bias'], ['logits']],
  ]);
  assert.deepEqual(model.graph.initializer.map((t) => [t.name, t.dims, t.rawData.length]), [
    ['fc1.weight', [64, 784], 64 * 784 * 4], ['fc1.bias', [64], 256], ['fc2.weight', [10, 64], 2560], ['fc2.bias', [10], 40],
  ]);
  assert.deepEqual(model.graph.input[0].type.tensorType.shape.dim, [{ dimParam: 'batch' }, { dimValue: 784 }]);
});

test('weights are drawn from the seed, within the bounds of He and Glorot', () => {
  const floats = (bytes) => new Float32Array(bytes.slice().buffer);
  const [one, again, two] = [1, 1n, 2].map((seed) => denseNetwork([784, 64, 10], { seed }));
  assert.equal(hex(one), hex(again));
  assert.notEqual(hex(one), hex(two));
  const [w1, b1, w2] = decodeModel(one).graph.initializer.map((t) => floats(t.rawData));
  const spread = (w) => Math.sqrt(w.reduce((sum, x) => sum + x * x, 0) / w.length);
  assert.ok(Math.abs(spread(w1) - Math.sqrt(2 / 784)) < 0.001, `He: ${spread(w1)}`);
  assert.ok(Math.abs(spread(w2) - Math.sqrt(2 / 74)) < 0.02, `Glorot: ${spread(w2)}`);
  assert.ok(b1.every((x) => x === 0));
});

test('variants: MatMul with Add, Softmax at the end, wrong sizes refused', () => {
  const ops = (bytes) => decodeModel(bytes).graph.node.map((n) => n.opType);
  assert.deepEqual(ops(denseNetwork([4, 3, 2], { layer: 'matmul', softmax: true })), ['MatMul', 'Add', 'Relu', 'MatMul', 'Add', 'Softmax']);
  for (const sizes of [[], [3], [3, 0], [3, 1.5]]) assert.throws(() => denseNetwork(sizes), { code: 'E_ARG' });
});
