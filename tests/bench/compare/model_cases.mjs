// model_cases: measures whole models, ours and those of onnxruntime-web in turn, and gives the lines of results.jsonl.
//
// Each figure is a median of ROUNDS rounds; in a round every side runs for at least SLOT_MS, one after the other. Both get the same file and the same inputs as
// typed arrays and give a typed array, and their outputs are compared first. Runs in Node and in a page.

const ROUNDS = 15;
const SLOT_MS = 20;
const WARM_MS = 300;

/** @param {number[]} x */
const median = (x) => [...x].sort((a, b) => a - b)[x.length >> 1];
const round = (/** @type {number} */ x) => Number(x.toPrecision(4));

/** @param {number[]} dims */
const floats = (dims) => ({ dims, data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 0.37)) });
/** @param {number} batch @param {number} length */
const tokens = (batch, length) => ({
  input_ids: { dims: [batch, length], data: BigInt64Array.from({ length: batch * length }, (_, i) => BigInt((i * 7) % 1000)) },
  attention_mask: { dims: [batch, length], data: BigInt64Array.from({ length: batch * length }, (_, i) => BigInt(i % length < length * 0.8 ? 1 : 0)) },
});
const image = (/** @type {number} */ batch) => ({ image: floats([batch, 3, 224, 224]) });
const digit = (/** @type {number} */ batch) => ({ image: floats([batch, 1, 28, 28]) });

/** [name of the figure, name of the model, inputs] @type {[string, string, Record<string, any>][]} */
export const COMPARED = [
  ['mnist_cnn', 'mnist_cnn', digit(1)], ['squeezenet', 'squeezenet', image(1)], ['mobilenet_v2', 'mobilenet_v2', image(1)], ['encoder.128', 'encoder', tokens(1, 128)],
];
/** What grows: the name of the figure, the model, inputs. @type {[string, string, Record<string, any>][]} */
export const GROWTH = [
  .../** @type {[string, string, Record<string, any>][]} */ ([1, 2, 4, 8, 16, 32, 64].map((n) => [`mnist_cnn.batch${n}`, 'mnist_cnn', digit(n)])),
  .../** @type {[string, string, Record<string, any>][]} */ ([16, 32, 64, 128, 256, 512].map((n) => [`encoder.length${n}`, 'encoder', tokens(1, n)])),
];

/** @param {any} runtime @param {(runtime: any, model: Uint8Array) => any} createSessionIn */
export const ours = (runtime, createSessionIn) => ({
  name: 'bb-wasm',
  /** @param {Uint8Array} model @param {Record<string, any>} inputs */
  async prepare(model, inputs) {
    const session = createSessionIn(runtime, model);
    const [output] = session.outputs;
    return { run: () => session.run(inputs)[output.name].data, free: () => session.dispose(), memory: () => session.memory };
  },
});

/** @param {any} ort */
export const onnxruntime = (ort) => ({
  name: 'onnxruntime-web',
  /** @param {Uint8Array} model @param {Record<string, any>} inputs */
  async prepare(model, inputs) {
    const session = await ort.InferenceSession.create(model, { executionProviders: ['wasm'], intraOpNumThreads: 1, graphOptimizationLevel: 'all', logSeverityLevel: 3 });
    const run = async () => {
      const feeds = Object.fromEntries(Object.entries(inputs).map(([name, { data, dims }]) => [name, new ort.Tensor(data instanceof BigInt64Array ? 'int64' : 'float32', data, dims)]));
      return (await session.run(feeds))[session.outputNames[0]].data;
    };
    return { run, free: () => session.release() };
  },
});

/** @param {any} side @param {Uint8Array} model @param {Record<string, any>} inputs */
async function warm(side, model, inputs) {
  const prepared = await side.prepare(model, inputs);
  const first = Float32Array.from(await prepared.run());
  let calls = 0;
  const start = performance.now();
  while (calls < 3 || performance.now() - start < WARM_MS) { await prepared.run(); calls++; }
  return { ...prepared, name: side.name, first, repeats: Math.max(1, Math.ceil(SLOT_MS / ((performance.now() - start) / calls))), ms: /** @type {number[]} */ ([]) };
}

/** @param {any} prepared */
async function slot(prepared) {
  const start = performance.now();
  for (let i = 0; i < prepared.repeats; i++) await prepared.run();
  prepared.ms.push((performance.now() - start) / prepared.repeats);
}

/**
 * @param {object} given
 * @param {string} given.engine  last part of the names
 * @param {any[]} given.sides  ours first
 * @param {(name: string) => Promise<Uint8Array>} given.load  a model's file
 * @param {(line: object) => void} given.report
 */
export async function compareModels({ engine, sides, load, report }) {
  for (const [figure, name, inputs] of COMPARED) {
    const model = await load(name), prepared = [];
    for (const side of sides) prepared.push(await warm(side, model, inputs));
    const [mine, ...others] = prepared;
    for (const other of others) {
      const scale = Math.max(...mine.first.map(Math.abs));
      if (other.first.some((x, i) => Math.abs(x - mine.first[i]) > 1e-3 * scale)) throw new Error(`${other.name} computes another result of ${name}`);
    }
    for (let i = 0; i < ROUNDS; i++) for (const side of prepared) await slot(side);
    report({ name: `infer.${figure}.ms.${engine}`, value: round(median(mine.ms)), unit: 'ms' });
    const { weights, resultsPeak } = mine.memory();
    report({ name: `infer.${figure}.memory_bytes`, value: weights + resultsPeak, unit: 'bytes' });
    for (const other of others) {
      report({ name: `infer.${figure}.vs.${other.name}.${engine}`, value: round(median(other.ms) / median(mine.ms)), unit: 'times as fast', ours_ms: round(median(mine.ms)), theirs_ms: round(median(other.ms)) });
    }
    for (const side of prepared) await side.free();
  }
}

/** How our cost grows. @param {Parameters<typeof compareModels>[0]} given */
export async function measureGrowth({ engine, sides: [side], load, report }) {
  for (const [figure, name, inputs] of GROWTH) {
    const prepared = await warm(side, await load(name), inputs);
    for (let i = 0; i < ROUNDS; i++) await slot(prepared);
    report({ name: `infer.${figure}.ms.${engine}`, value: round(median(prepared.ms)), unit: 'ms' });
    prepared.free();
  }
}
