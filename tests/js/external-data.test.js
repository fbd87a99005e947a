// Weights that are not in the model: external data of ONNX, and what createSession lifts out of the model itself.
import test from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRuntime, createSession, createSessionIn, isBbwError } from '../../js/index.js';
import { liftWeights } from '../../js/internal/lift-weights.js';
import { squeezenet } from '../models/models.js';
import { writeMessage } from './protobuf-of.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const N = 40_000; // 160 kB: lifted

/** y = x + w. @param {(tensor: import('./protobuf-of.js').Writer) => import('./protobuf-of.js').Writer} weights  the fields of w that hold its numbers */
function sumModel(weights) {
  const io = (/** @type {string} */ name) => writeMessage().text(1, name).message(2, writeMessage().message(1, writeMessage().varint(1, 1).message(2, writeMessage().message(1, writeMessage().varint(1, N)))));
  const graph = writeMessage()
    .message(1, writeMessage().text(1, 'x').text(1, 'w').text(2, 'y').text(4, 'Add'))
    .text(2, 'g')
    .message(5, weights(writeMessage().varint(1, N).varint(2, 1).text(8, 'w')))
    .message(11, io('x')).message(12, io('y'));
  return writeMessage().varint(1, 8).message(7, graph).message(8, writeMessage().varint(2, 17)).bytes();
}
const numbers = Float32Array.from({ length: N }, (_, i) => i / 4);
const raw = new Uint8Array(numbers.buffer);
const entry = (/** @type {string} */ key, /** @type {string} */ value) => writeMessage().text(1, key).text(2, value);
const x = { data: new Float32Array(N).fill(1), dims: [N] };
const want = numbers.map((w) => w + 1);

test('weights of another file are read from externalData', async () => {
  const model = sumModel((w) => w.message(13, entry('location', 'w.bin')).message(13, entry('offset', '64')).varint(14, 1));
  const file = new Uint8Array(64 + raw.length);
  file.set(raw, 64);
  const session = await createSession(model, { wasm: module, externalData: { 'w.bin': file } });
  assert.deepEqual(session.run({ x }).y.data, want);
  for (const externalData of [undefined, {}, { other: file }, { 'w.bin': file.subarray(1) }]) {
    await assert.rejects(createSession(model, { wasm: module, externalData }), (error) => {
      assert.ok(isBbwError(error, 'E_ONNX_UNSUPPORTED'), String(error));
      assert.equal(error.details.location, 'w.bin');
      assert.equal(error.details.value, 'w');
      return true;
    });
  }
  await assert.rejects(createSession(model, { wasm: module, externalData: /** @type {any} */ ({ 'w.bin': 'text' }) }), (error) => isBbwError(error, 'E_ARG'));
});

test('the name of a file is taken as it is written', () => {
  const model = sumModel((w) => w.message(13, entry('location', '\uFEFFw.bin')).varint(14, 1)), runtime = createRuntime(module);
  assert.deepEqual(createSessionIn(runtime, model, { externalData: { '\uFEFFw.bin': raw } }).run({ x }).y.data, want);
  assert.throws(() => createSessionIn(runtime, model, { externalData: { 'w.bin': raw } }), (error) => isBbwError(error, 'E_ONNX_UNSUPPORTED'));
});

test('a model that names itself as the place of its weights reads nothing', () => {
  const model = sumModel((w) => w.message(13, entry('location', '')).message(13, entry('offset', '0')).varint(14, 1));
  assert.throws(() => createSessionIn(createRuntime(module), model), (error) => isBbwError(error, 'E_ONNX_UNSUPPORTED'));
});

test('large weights are lifted out of the model, and nothing else changes', () => {
  const model = sumModel((w) => w.data(9, raw));
  const { skeleton, weightsAt } = liftWeights(model);
  assert.ok(skeleton.length < 400, `${skeleton.length} bytes`);
  const at = model.length - skeleton.length > 0 ? model.findIndex((_, i) => model[i] === raw[4] && weightsAt(i - 4, raw.length) !== undefined) - 4 : -1;
  assert.deepEqual(weightsAt(at, raw.length), raw);
  assert.equal(weightsAt(at + 1, raw.length - 1), undefined);
  assert.deepEqual(createSessionIn(createRuntime(module), model).run({ x }).y.data, want);
});

test('what can not be read is handed over as it is', () => {
  const model = sumModel((w) => w.data(9, raw));
  for (let cut = 0; cut < 400; cut += 7) {
    const part = model.subarray(0, cut < 200 ? cut : model.length - cut + 200);
    if (part.length === model.length) continue;
    assert.throws(() => createSessionIn(createRuntime(module), part), (error) => isBbwError(error), `${part.length} bytes`);
  }
  const twice = sumModel((w) => w.data(9, raw).data(9, raw.subarray(0, raw.length - 4)));
  assert.equal(liftWeights(twice).skeleton, twice); // the last one counts, and it is too short
  assert.throws(() => createSessionIn(createRuntime(module), twice), (error) => isBbwError(error, 'E_ONNX_INVALID'));
});

test('a model of many tiny fields costs no memory for each of them', () => {
  const script = `
    import { liftWeights } from ${JSON.stringify(new URL('../../js/internal/lift-weights.js', import.meta.url).href)};
    const sizeMax = 4_000_000; // bytes are not of the heap of 48 MB, objects are
    for (const path of [[], [0x3a], [0x3a, 0x2a]]) { // fields of the model, of its graph, of an initializer
      let model = new Uint8Array(sizeMax).map((_, i) => (i % 2 === 0 ? 0x50 : 0));
      for (const tag of path.reverse()) {
        const length = [];
        for (let rest = model.length; rest > 0; rest = Math.floor(rest / 128)) length.push((rest % 128) + (rest < 128 ? 0 : 128));
        const outer = new Uint8Array(1 + length.length + model.length);
        outer.set([tag, ...length]);
        outer.set(model, 1 + length.length);
        model = outer;
      }
      if (liftWeights(model).skeleton !== model) throw new Error('lifted something');
    }
    const graphs = new Uint8Array(sizeMax).map((_, i) => (i % 2 === 0 ? 0x3a : 0));
    if (liftWeights(graphs).skeleton !== graphs) throw new Error('took one of many graphs');
    process.stdout.write('done');`;
  assert.equal(execFileSync(process.execPath, ['--max-old-space-size=48', '--input-type=module', '-e', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 60_000 }), 'done');
});

test('a model is not held twice while it is read', () => {
  const { memoryBytes: empty } = createRuntime(module);
  const runtime = createRuntime(module), file = squeezenet();
  createSessionIn(runtime, file);
  assert.ok(runtime.memoryBytes - empty < 1.5 * file.length, `${runtime.memoryBytes - empty} bytes for a file of ${file.length}`);
});
