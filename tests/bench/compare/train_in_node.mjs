// train_in_node: one step of training, ours beside jax-js and TensorFlow.js, in this Node. Prints one JSON line per figure.
//
// Same weights, same batch, plain SGD; losses of the first steps are compared before anything is measured. Medians of ROUNDS rounds in which the sides take
// turns; a side whose step takes longer than SLOW_MS takes part in the first SLOW_ROUNDS only. A step ends when its loss is a number in JavaScript; inputs are typed
// arrays that live where each side likes them.
import { readFileSync } from 'node:fs';
import { createRuntime, createTrainerIn, decodeModel } from '../../../js/index.js';
import { hasRelaxedSimd } from '../../../js/internal/simd.js';
import { denseClassifier, encoder, lenet5 } from '../../models/models.js';
import { loadTfjs, tfjsTraining } from './tfjs.mjs';

const ROUNDS = 15, SLOT_MS = 60, WARM_MS = 500, SLOW_MS = 2000, SLOW_ROUNDS = 3, BATCH = 64, RATE = 0.01, CLASSES = 10;
Object.defineProperty(globalThis, 'Worker', { get: () => undefined, set() {} }); // one thread
const [only] = process.argv.slice(2);
const median = (/** @type {number[]} */ x) => [...x].sort((a, b) => a - b)[x.length >> 1];
const runtimeOf = (/** @type {string} */ file) => createRuntime(new WebAssembly.Module(readFileSync(new URL(`../../../build/wasm/${file}`, import.meta.url))));
const engine = `node${process.versions.node.split('.')[0]}`;

const floats = (/** @type {number[]} */ dims) => ({ dims, data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 0.37)) });
const labels = { dims: [BATCH], data: Int32Array.from({ length: BATCH }, (_, i) => i % CLASSES) };
const oneHot = Float32Array.from({ length: BATCH * CLASSES }, (_, i) => (i % CLASSES === Math.floor(i / CLASSES) % CLASSES ? 1 : 0));
/** Weights of a file, in its order. @param {Uint8Array} file */
const weightsOf = (file) => decodeModel(file).graph.initializer.filter((/** @type {any} */ t) => t.dataType === 1 && t.dims.length > 0).map((/** @type {any} */ t) => ({ name: t.name, dims: t.dims.map(Number), data: new Float32Array(t.rawData.slice().buffer) }));

/** @param {any} runtime @param {string} name */
const ours = (runtime, name) => ({
  name,
  runtime,
  prepare(/** @type {Uint8Array} */ file, /** @type {string} */ input, /** @type {any} */ x) {
    const trainer = createTrainerIn(runtime, file, { loss: 'softmax-cross-entropy', optimizer: { type: 'sgd', lr: RATE } });
    return { step: () => trainer.step({ [input]: x }, labels).loss, free: () => trainer.free(), stats: () => trainer.stats };
  },
});

/** @param {any} jax @param {string} model */
const jaxjs = (jax, model) => ({
  name: 'jax-js',
  prepare(/** @type {Uint8Array} */ file, /** @type {string} */ _, /** @type {any} */ { data, dims }) {
    const { numpy: np, lax, nn } = jax;
    const dense = (/** @type {any} */ x, /** @type {any} */ w, /** @type {any} */ b) => np.add(np.matmul(x, np.transpose(w)), b);
    const pool = (/** @type {any} */ x) => lax.reduceWindow(x, np.max, [2, 2], [2, 2]);
    const conv = (/** @type {any} */ x, /** @type {any} */ w, /** @type {any} */ b, /** @type {number} */ pad) =>
      np.add(lax.convGeneralDilated(x, w, [1, 1], [[pad, pad], [pad, pad]]), b.reshape([1, -1, 1, 1]));
    const forward = model === 'mlp'
      ? (/** @type {any[]} */ p, /** @type {any} */ x) => dense(nn.relu(dense(x, p[0], p[1])), p[2], p[3])
      : (/** @type {any[]} */ p, /** @type {any} */ x) => {
        let y = pool(nn.relu(conv(x, p[0], p[1], 2)));
        y = pool(nn.relu(conv(y, p[2], p[3], 0)));
        y = nn.relu(dense(y.reshape([BATCH, 400]), p[4], p[5]));
        return dense(nn.relu(dense(y, p[6], p[7])), p[8], p[9]);
      };
    const loss = (/** @type {any[]} */ p, /** @type {any} */ x, /** @type {any} */ t) => np.negative(np.sum(np.multiply(nn.logSoftmax(forward(p, x)), t))).div(BATCH);
    const step = jax.jit((/** @type {any[]} */ p, /** @type {any} */ x, /** @type {any} */ t) => {
      const [value, gradients] = jax.valueAndGrad(loss)(p.map((a) => a.ref), x, t);
      return [value, p.map((a, i) => a.sub(gradients[i].mul(RATE)))];
    });
    let params = weightsOf(file).map(({ data: w, dims: d }) => np.array(w).reshape(d));
    const x = np.array(data).reshape(dims), t = np.array(oneHot).reshape([BATCH, CLASSES]);
    return {
      step() {
        const [value, next] = step(params, x.ref, t.ref);
        params = next;
        return value.dataSync()[0];
      },
      free() { for (const a of [...params, x, t]) a.dispose(); },
    };
  },
});

/*
 * The encoder: two layers, 128 wide, batch 16, 64 tokens, mean squares of its result.  The embeddings are frozen, and the others get their sum as a constant, so that nobody needs the
 * gradient of a lookup.
 */
const WIDTH = 128, HEADS = 4, TOKENS = 64, SENTENCES = 16;
const tokens = {
  input_ids: { dims: [SENTENCES, TOKENS], data: BigInt64Array.from({ length: SENTENCES * TOKENS }, (_, i) => BigInt((i * 7) % 1000)) },
  attention_mask: { dims: [SENTENCES, TOKENS], data: new BigInt64Array(SENTENCES * TOKENS).fill(1n) },
};
const wanted = floats([SENTENCES, TOKENS, WIDTH]);

/** @param {any} runtime @param {string} name */
const ourEncoder = (runtime, name) => ({
  name,
  prepare(/** @type {Uint8Array} */ file) {
    const trainer = createTrainerIn(runtime, file, { loss: 'mse', optimizer: { type: 'sgd', lr: RATE }, freeze: ['embeddings.*'] });
    return { step: () => trainer.step(tokens, wanted).loss, free: () => trainer.free(), stats: () => trainer.stats };
  },
});

/** @param {any} jax */
const jaxEncoder = (jax) => ({
  name: 'jax-js',
  prepare(/** @type {Uint8Array} */ file) {
    const { numpy: np, lax, nn } = jax;
    const [word, place, ...rest] = weightsOf(file);
    const sum = Float32Array.from({ length: SENTENCES * TOKENS * WIDTH }, (_, i) => {
      const token = Math.floor(i / WIDTH), column = i % WIDTH;
      return word.data[((token * 7) % 1000) * WIDTH + column] + place.data[(token % TOKENS) * WIDTH + column];
    });
    const norm = (/** @type {any} */ x, /** @type {any} */ w, /** @type {any} */ b) => np.add(np.multiply(nn.standardize(x, -1, { epsilon: 1e-12 }), w), b);
    const heads = (/** @type {any} */ x) => np.transpose(x.reshape([SENTENCES, TOKENS, HEADS, WIDTH / HEADS]), [0, 2, 1, 3]);
    const forward = (/** @type {any[]} */ p, /** @type {any} */ input) => {
      let at = 0;
      const next = () => p[at++];
      const linear = (/** @type {any} */ x) => { const w = next(), b = next(); return np.add(np.matmul(x, w), b); };
      const normed = (/** @type {any} */ x) => { const w = next(), b = next(); return norm(x, w, b); };
      let x = normed(input);
      for (let layer = 0; layer < 2; layer++) {
        const q = heads(linear(x.ref)), k = heads(linear(x.ref)), v = heads(linear(x.ref));
        const scores = np.matmul(q, np.transpose(k, [0, 1, 3, 2])).mul(1 / Math.sqrt(WIDTH / HEADS));
        const mixed = np.transpose(np.matmul(nn.softmax(scores, -1), v), [0, 2, 1, 3]).reshape([SENTENCES, TOKENS, WIDTH]);
        const attended = linear(mixed);
        x = normed(np.add(attended, x));
        const wide = linear(x.ref);
        const gelu = np.multiply(wide.ref.mul(0.5), np.add(lax.erf(wide.mul(Math.SQRT1_2)), 1));
        const narrow = linear(gelu);
        x = normed(np.add(narrow, x));
      }
      return x;
    };
    const loss = (/** @type {any[]} */ p, /** @type {any} */ x, /** @type {any} */ t) => { const d = np.subtract(forward(p, x), t); return np.mean(np.multiply(d.ref, d)); };
    const step = jax.jit((/** @type {any[]} */ p, /** @type {any} */ x, /** @type {any} */ t) => {
      const [value, gradients] = jax.valueAndGrad(loss)(p.map((a) => a.ref), x, t);
      return [value, p.map((a, i) => a.sub(gradients[i].mul(RATE)))];
    });
    let params = rest.map(({ data, dims }) => np.array(data).reshape(dims));
    const x = np.array(sum).reshape([SENTENCES, TOKENS, WIDTH]), t = np.array(wanted.data).reshape(wanted.dims);
    return {
      step() {
        const [value, next] = step(params, x.ref, t.ref);
        params = next;
        return value.dataSync()[0];
      },
      free() { for (const a of [...params, x, t]) a.dispose(); },
    };
  },
});

const task = { batch: BATCH, classes: CLASSES, rate: RATE, oneHot, weightsOf };
console.info = console.warn = () => {}; // what libraries say while they start is no figure
const tf = await loadTfjs();
const jax = await import('@jax-js/jax');
await jax.init('wasm');
jax.defaultDevice('wasm');
const builds = [ours(runtimeOf('bb.wasm'), 'simd128')];
if (hasRelaxedSimd()) builds.push(ours(runtimeOf('bb-relaxed.wasm'), 'relaxed'));
for (const [name, file, input, x, flops] of /** @type {[string, Uint8Array, string, any, number][]} */ ([
  ['mlp', denseClassifier(), 'x', floats([BATCH, 784]), 2 * BATCH * (2 * 784 * 256 + 3 * 256 * 10)],
  ['encoder', encoder({ layers: 2, width: WIDTH, heads: HEADS }), '', undefined, 2 * 3 * 2 * SENTENCES * TOKENS * WIDTH * (12 * WIDTH + 2 * TOKENS)],
  ['lenet5', lenet5(), 'image', floats([BATCH, 1, 28, 28]), 2 * BATCH * (2 * 117600 + 3 * 240000 + 3 * (48000 + 10080 + 840))],
])) {
  if (only !== undefined && only !== name) continue;
  const sides = [];
  const all = name === 'encoder'
    ? [...builds.map(({ name: build, runtime }) => ourEncoder(runtime, build)), jaxEncoder(jax)]
    : [...builds, jaxjs(jax, name), tfjsTraining(tf, 'wasm', name, task), ...(name === 'lenet5' ? [tfjsTraining(tf, 'cpu', name, task)] : [])];
  for (const side of all) {
    try {
      const prepared = await side.prepare(file, input, x);
      const start = performance.now(), losses = [prepared.step(), prepared.step(), prepared.step()];
      sides.push({ name: side.name, prepared, losses, times: /** @type {number[]} */ ([]), isSlow: performance.now() - start > 3 * SLOW_MS });
    } catch (error) { // a side that lacks an operator; any other failure is one of this program
      const { message } = /** @type {Error} */ (error);
      if (!/Kernel '\w+' not registered for backend/.test(message)) throw error;
      console.log(JSON.stringify({ name: `train.${name}.${side.name}.${engine}`, value: null, unit: 'ms', cannot: message }));
    }
  }
  for (const { name: side, losses } of sides) {
    losses.forEach((loss, i) => {
      if (!(Math.abs(loss - sides[0].losses[i]) < 1e-4)) throw new Error(`${name}: step ${i} of ${side} has loss ${loss}, not ${sides[0].losses[i]}`);
    });
  }
  for (const { prepared, isSlow } of sides) for (const end = performance.now() + (isSlow ? 0 : WARM_MS); performance.now() < end;) prepared.step();
  for (let round = 0; round < ROUNDS; round++) {
    for (const side of sides) {
      if (side.isSlow && round >= SLOW_ROUNDS) continue;
      const start = performance.now();
      let steps = 0;
      do { side.prepared.step(); steps++; } while (performance.now() - start < SLOT_MS);
      side.times.push((performance.now() - start) / steps);
    }
  }
  const best = sides.findLast(({ name: side }) => builds.some((build) => build.name === side));
  for (const side of sides) {
    const ms = median(side.times), stats = side.prepared.stats?.();
    console.log(JSON.stringify({ name: `train.${name}.${side.name}.${engine}`, value: Number(ms.toPrecision(4)), unit: 'ms', gflops: Number((flops / ms / 1e6).toPrecision(4)), ...(stats ?? {}) }));
    if (stats !== undefined) { // what is held for a step, over activations and gradients that are live at one time and the state of the optimizer
      console.log(JSON.stringify({ name: `train.${name}.memory.${side.name}.${engine}`, value: Number(((stats.results + stats.state) / (stats.live + stats.state)).toPrecision(4)), unit: 'times what is live' }));
    }
    if (!builds.some((build) => build.name === side.name)) {
      for (const ourSide of sides.filter(({ name: own }) => builds.some((build) => build.name === own))) {
        const label = ourSide === best ? '' : `.${ourSide.name}`;
        console.log(JSON.stringify({ name: `train.${name}.vs.${side.name}${label}.${engine}`, value: Number((ms / median(ourSide.times)).toPrecision(4)), unit: 'times as fast' }));
      }
    }
    side.prepared.free();
  }
}
process.exit(0);
