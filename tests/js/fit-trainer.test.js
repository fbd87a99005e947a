// The loop with the engine's trainer: it learns, stops and goes on with the same bits, keeps the last good parameters, and exports what a session runs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { createRandom, fromArrays, noise } from '../../js/data/index.js';
import { createRuntime, createSessionIn, createTrainerIn, denseNetwork } from '../../js/index.js';
import { createAccuracy, evaluate } from '../../js/training/index.js';

const runtime = createRuntime(new WebAssembly.Module(readFileSync('build/wasm/bb.wasm')));
const code = (name, details = {}) => (error) => {
  assert.equal(error.code, name, error.stack);
  for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value, key);
  return true;
};
/** Two rings, one within the other: no line parts them. */
function rings(count, seed, input) {
  const random = createRandom(seed), data = new Float32Array(count * 2), labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const turn = random.next() * 2 * Math.PI, radius = (i % 2 ? 2 : 1) + 0.15 * random.normal();
    data.set([radius * Math.cos(turn), radius * Math.sin(turn)], 2 * i);
    labels[i] = i % 2;
  }
  return { inputs: { [input]: { data, dims: [count, 2] } }, labels };
}
const onnx = denseNetwork([2, 16, 2], { seed: 3 });
const make = () => createTrainerIn(runtime, onnx, { loss: 'softmax-cross-entropy', optimizer: { type: 'adam', lr: 0.02 }, seed: 5 });
const [{ name: input }] = make().inputs;
const data = fromArrays(rings(200, 1, input)), held = fromArrays(rings(300, 2, input));
const options = { epochs: 15, batchSize: 16, seed: 9, transform: noise({ deviation: 0.02 }) };
const run = async (loop) => { const all = []; for await (const progress of loop) all.push(progress); return all; };

test('it learns what no line parts, and the exported file gives the same outputs in a session', async () => {
  const trainer = make(), events = await run(trainer.fit(data, options));
  assert.equal(events.length, 15 * 13);
  const { accuracy } = await evaluate(trainer, held, { accuracy: createAccuracy() });
  assert.ok(accuracy > 0.95, `accuracy ${accuracy}`);
  const session = createSessionIn(runtime, trainer.export());
  assert.deepEqual(await evaluate(session, held, { accuracy: createAccuracy() }), { accuracy });
  const batch = await held.read(Uint32Array.from({ length: 20 }, (_, i) => i)), [{ name: output }] = session.outputs;
  assert.deepEqual(session.run(batch.inputs)[output].data, trainer.evaluate(batch.inputs).outputs[output].data);
  session.dispose();
  trainer.free();
});

test('stopped in the middle of an epoch and begun anew in another trainer, it ends with the same bits', async () => {
  const whole = make();
  await run(whole.fit(data, options));
  for (const stop of [1, 13, 20, 100]) {
    const trainer = make();
    let kept, count = 0;
    for await (const { position } of trainer.fit(data, options)) {
      if (++count < stop) continue;
      kept = { parameters: trainer.parameters(), state: trainer.saveState(), position: JSON.stringify(position) };
      break;
    }
    trainer.free();
    const other = make();
    other.load(kept.parameters);
    other.loadState(kept.state);
    await run(other.fit(data, { ...options, from: JSON.parse(kept.position) }));
    assert.deepEqual(other.parameters(), whole.parameters(), `stopped after ${stop}`);
    assert.deepEqual(other.saveState(), whole.saveState());
    other.free();
  }
  whole.free();
});

test('a batch that is no number, a label out of range and a wrong width stop with epoch and batch; the last good parameters are kept', async () => {
  const cases = [
    [(parts) => { parts.inputs[input].data[2 * 40] = NaN; }, 'E_NOT_FINITE', { epoch: 0, batch: 2 }],
    [(parts) => { parts.inputs[input].data[2 * 40] = 1e38; parts.inputs[input].data[2 * 40 + 1] = -3e38; }, 'E_NOT_FINITE', { epoch: 0, batch: 2 }],
    [(parts) => { parts.labels[50] = 2; }, undefined, { epoch: 0, batch: 3 }],
  ];
  for (const [spoil, name, details] of cases) {
    const parts = rings(100, 4, input);
    spoil(parts);
    const trainer = make();
    let good = trainer.parameters();
    await assert.rejects(async () => {
      for await (const _ of trainer.fit(fromArrays(parts), { batchSize: 16, shuffle: false })) good = trainer.parameters();
    }, (error) => code(name ?? error.code, details)(error));
    assert.deepEqual(trainer.parameters(), good);
    await run(trainer.fit(data, { batchSize: 16 }));
    trainer.free();
  }
  const trainer = make(), start = trainer.parameters();
  await assert.rejects(run(trainer.fit(fromArrays({ inputs: { [input]: { data: new Float32Array(9), dims: [3, 3] } }, labels: new Int32Array(3) }))), (error) => error.details.batch === 0 && error.code.startsWith('E_'));
  await assert.rejects(run(trainer.fit(fromArrays({ inputs: { other: new Float32Array(3) }, labels: new Int32Array(3) }))), code('E_UNKNOWN_INPUT', { epoch: 0, batch: 0 }));
  assert.deepEqual(trainer.parameters(), start);
  trainer.free();
  await assert.rejects(run(trainer.fit(data)), code('E_STATE', { epoch: 0 }));
});

test('freed in the middle of a loop, the loop ends with E_STATE', async () => {
  const trainer = make();
  await assert.rejects(async () => { for await (const _ of trainer.fit(data, options)) trainer.free(); }, code('E_STATE'));
});
