// A trained model goes back to others: what `trainer.export()` writes is loaded by onnxruntime-web and gives the outputs that the trainer gives.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-web/wasm';
import { createRuntime, createTrainerIn } from '../../js/index.js';
import { denseClassifier, encoder, lenet5 } from '../models/models.js';

ort.env.wasm.numThreads = 1;
const runtime = createRuntime(new WebAssembly.Module(readFileSync(new URL('../../build/wasm/bb.wasm', import.meta.url))));
const wave = (/** @type {number[]} */ dims) => ({ dims, data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 0.37)) });
const BATCH = 8, TOKENS = 12;
const labels = { dims: [BATCH], data: Int32Array.from({ length: BATCH }, (_, i) => i % 10) };
const tokens = {
  input_ids: { dims: [BATCH, TOKENS], data: BigInt64Array.from({ length: BATCH * TOKENS }, (_, i) => BigInt((i * 7) % 1000)) },
  attention_mask: { dims: [BATCH, TOKENS], data: new BigInt64Array(BATCH * TOKENS).fill(1n) },
};

/** @type {[string, Uint8Array, any, any, any][]} name, file, inputs, targets, options */
const cases = [
  ['a dense network', denseClassifier(), { x: wave([BATCH, 784]) }, labels, { loss: 'softmax-cross-entropy', optimizer: { type: 'adam', lr: 0.01 } }],
  ['LeNet-5', lenet5(), { image: wave([BATCH, 1, 28, 28]) }, labels, { loss: 'softmax-cross-entropy', optimizer: { type: 'sgd', lr: 0.05 } }],
  ['a transformer encoder', encoder({ layers: 2, width: 128, heads: 4 }), tokens, wave([BATCH, TOKENS, 128]), { loss: 'mse', optimizer: { type: 'adamw', lr: 0.001 }, freeze: ['embeddings.*'] }],
];

for (const [name, file, inputs, targets, options] of cases) {
  test(`${name}, trained and exported, gives the same in onnxruntime-web`, async () => {
    const trainer = createTrainerIn(runtime, file, options);
    const before = trainer.parameters().slice();
    const first = trainer.step(inputs, targets).loss;
    for (let i = 0; i < 9; i++) trainer.step(inputs, targets);
    const ours = trainer.evaluate(inputs).outputs;
    assert.ok(trainer.evaluate(inputs, targets).loss < first, 'it has learnt');
    assert.ok(trainer.parameters().some((/** @type {number} */ v, /** @type {number} */ i) => Math.abs(v - before[i]) > 1e-4), 'its parameters have moved');

    const session = await ort.InferenceSession.create(trainer.export(), { executionProviders: ['wasm'], intraOpNumThreads: 1 });
    const feeds = Object.fromEntries(session.inputNames.map((input) => [input, new ort.Tensor(inputs[input].data instanceof BigInt64Array ? 'int64' : 'float32', inputs[input].data, inputs[input].dims)]));
    const theirs = await session.run(feeds);
    assert.ok(session.outputNames.length > 0);
    for (const output of session.outputNames) {
      const got = theirs[output].data, want = ours[output].data;
      assert.deepEqual([...theirs[output].dims], [...ours[output].dims]);
      const size = want.reduce((/** @type {number} */ most, /** @type {number} */ v) => Math.max(most, Math.abs(v)), 0);
      assert.ok(size > 1e-3);
      want.forEach((/** @type {number} */ v, /** @type {number} */ i) => assert.ok(Math.abs(v - Number(got[i])) <= 1e-4 * size, `${output}[${i}]: ${v} here, ${got[i]} there`));
    }
    await session.release();
    trainer.dispose();
  });
}
