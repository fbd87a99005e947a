// models: standard ONNX files of well-known networks with random weights, as exporters write them.
//
// For benchmarks, tests and examples: the same seed gives the same bytes. `node tests/models/models.js FOLDER` writes them all as files.
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createRandom } from '../../demo/random.js';
import { ATTRIBUTE, DATA_TYPE, encodeModel } from '../../js/index.js';

/** Collects nodes and weights; every method gives the name of its result. */
class Builder {
  constructor(seed) {
    this.random = createRandom(seed);
    this.node = [];
    this.initializer = [];
    this.count = 0;
  }

  /** @param {string} opType @param {string[]} input @param {Record<string, unknown>} [attributes] @param {string} [name] */
  op(opType, input, attributes = {}, name = `${opType.toLowerCase()}_${this.count++}`) {
    const attribute = Object.entries(attributes).map(([key, value]) => {
      if (Array.isArray(value)) return { name: key, type: ATTRIBUTE.INTS, ints: value };
      if (typeof value === 'string') return { name: key, type: ATTRIBUTE.STRING, s: new TextEncoder().encode(value) };
      if (typeof value === 'object') return { name: key, type: ATTRIBUTE.FLOAT, f: value.float };
      return { name: key, type: ATTRIBUTE.INT, i: value };
    });
    this.node.push({ opType, name: `/${name}`, input, output: [name], attribute });
    return name;
  }

  /** @param {string} name @param {number[]} dims @param {Float32Array} data */
  floats(name, dims, data) {
    this.initializer.push({ name, dims, dataType: DATA_TYPE.FLOAT, rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) });
    return name;
  }

  /** @param {string} name @param {number[]} numbers @param {number[]} [dims] */
  ints(name, numbers, dims = [numbers.length]) {
    this.initializer.push({ name, dims, dataType: DATA_TYPE.INT64, rawData: new Uint8Array(BigInt64Array.from(numbers.map(BigInt)).buffer) });
    return name;
  }

  /** Uniform numbers within a bound that keeps activations of one size. */
  weight(name, dims, fanIn) {
    const bound = Math.sqrt(6 / fanIn), count = dims.reduce((a, b) => a * b, 1);
    return this.floats(name, dims, Float32Array.from({ length: count }, () => (this.random() * 2 - 1) * bound));
  }

  filled(name, dims, value) { return this.floats(name, dims, new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(value)); }
  scalar(name, value) { return this.floats(name, [], Float32Array.of(value)); }

  conv(x, inputs, outputs, kernel, { stride = 1, pad = 0, group = 1, bias = true } = {}) {
    const name = `conv_${this.count++}`;
    const input = [x, this.weight(`${name}.weight`, [outputs, inputs / group, kernel, kernel], (inputs / group) * kernel * kernel)];
    if (bias) input.push(this.weight(`${name}.bias`, [outputs], 600));
    return this.op('Conv', input, { dilations: [1, 1], group, kernel_shape: [kernel, kernel], pads: [pad, pad, pad, pad], strides: [stride, stride] }, name);
  }

  batchNorm(x, channels) {
    const name = `bn_${this.count++}`;
    const around = (key, center, spread) => this.floats(`${name}.${key}`, [channels], Float32Array.from({ length: channels }, () => center + (this.random() - 0.5) * spread));
    return this.op('BatchNormalization', [x, around('weight', 1, 0.2), around('bias', 0, 0.2), around('running_mean', 0, 0.2), around('running_var', 1, 0.4)], { epsilon: { float: 1e-5 } }, name);
  }

  dense(x, inputs, outputs) {
    const name = `fc_${this.count++}`;
    return this.op('Gemm', [x, this.weight(`${name}.weight`, [outputs, inputs], inputs), this.weight(`${name}.bias`, [outputs], 600)], { alpha: { float: 1 }, beta: { float: 1 }, transB: 1 }, name);
  }

  /** @param {string} name @param {[string, (number | string)[], number?][]} inputs @param {[string, (number | string)[]][]} outputs @param {number} [opset] */
  model(name, inputs, outputs, opset = 17) {
    const info = ([port, dims, elemType = DATA_TYPE.FLOAT]) => ({
      name: port, type: { tensorType: { elemType, shape: { dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) } } },
    });
    return encodeModel({
      irVersion: 8, producerName: 'bb-wasm models',
      graph: { name, node: this.node, initializer: this.initializer, input: inputs.map(info), output: outputs.map(info) },
      opsetImport: [{ version: opset }],
    });
  }

  /** Gives the last result the name of the output. @param {string} name @param {string} output */
  rename(name, output) {
    for (const node of this.node) node.output = node.output.map((o) => (o === name ? output : o));
    for (const node of this.node) node.input = node.input.map((i) => (i === name ? output : i));
    return output;
  }
}

/** LeNet-like classifier of 28 x 28 digits: image[batch, 1, 28, 28] -> logits[batch, 10]. */
export function mnistCnn({ seed = 1, batch = 'batch' } = {}) {
  const b = new Builder(seed);
  let x = b.op('Relu', [b.conv('image', 1, 32, 3, { pad: 1 })]);
  x = b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  x = b.op('Relu', [b.conv(x, 32, 64, 3, { pad: 1 })]);
  x = b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  x = b.op('Flatten', [x], { axis: 1 });
  x = b.op('Relu', [b.dense(x, 64 * 49, 128)]);
  b.rename(b.dense(x, 128, 10), 'logits');
  return b.model('mnist_cnn', [['image', [batch, 1, 28, 28]]], [['logits', [batch, 10]]]);
}

/** LeNet-5 (LeCun et al. 1998) with Relu and the largest of a pool: image[batch, 1, 28, 28] -> logits[batch, 10]. */
export function lenet5({ seed = 1, batch = 'batch' } = {}) {
  const b = new Builder(seed);
  const pool = (x) => b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  let x = pool(b.op('Relu', [b.conv('image', 1, 6, 5, { pad: 2 })]));
  x = pool(b.op('Relu', [b.conv(x, 6, 16, 5)]));
  x = b.op('Flatten', [x], { axis: 1 });
  x = b.op('Relu', [b.dense(x, 400, 120)]);
  x = b.op('Relu', [b.dense(x, 120, 84)]);
  b.rename(b.dense(x, 84, 10), 'logits');
  return b.model('lenet5', [['image', [batch, 1, 28, 28]]], [['logits', [batch, 10]]]);
}

/** SqueezeNet 1.1 (Iandola et al. 2016): image[batch, 3, 224, 224] -> logits[batch, 1000]. */
export function squeezenet({ seed = 1, batch = 'batch', classes = 1000 } = {}) {
  const b = new Builder(seed);
  const pool = (x) => b.op('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 });
  const fire = (x, inputs, squeeze, expand) => {
    const s = b.op('Relu', [b.conv(x, inputs, squeeze, 1)]);
    return b.op('Concat', [b.op('Relu', [b.conv(s, squeeze, expand, 1)]), b.op('Relu', [b.conv(s, squeeze, expand, 3, { pad: 1 })])], { axis: 1 });
  };
  let x = pool(b.op('Relu', [b.conv('image', 3, 64, 3, { stride: 2 })]));
  x = pool(fire(fire(x, 64, 16, 64), 128, 16, 64));
  x = pool(fire(fire(x, 128, 32, 128), 256, 32, 128));
  x = fire(fire(fire(fire(x, 256, 48, 192), 384, 48, 192), 384, 64, 256), 512, 64, 256);
  x = b.op('Relu', [b.conv(x, 512, classes, 1)]);
  b.rename(b.op('Flatten', [b.op('GlobalAveragePool', [x])], { axis: 1 }), 'logits');
  return b.model('squeezenet1_1', [['image', [batch, 3, 224, 224]]], [['logits', [batch, classes]]]);
}

/** MobileNetV2 (Sandler et al. 2018), batch normalization as nodes: image[batch, 3, 224, 224] -> logits[batch, 1000]. */
export function mobilenetV2({ seed = 1, batch = 'batch', classes = 1000 } = {}) {
  const b = new Builder(seed);
  b.scalar('zero', 0);
  b.scalar('six', 6);
  const convBn = (x, inputs, outputs, kernel, options) => b.batchNorm(b.conv(x, inputs, outputs, kernel, { ...options, bias: false }), outputs);
  const relu6 = (x) => b.op('Clip', [x, 'zero', 'six']);
  let x = relu6(convBn('image', 3, 32, 3, { stride: 2, pad: 1 })), channels = 32;
  const stages = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];
  for (const [expand, outputs, repeats, firstStride] of stages) {
    for (let i = 0; i < repeats; i++) {
      const stride = i === 0 ? firstStride : 1, hidden = channels * expand;
      let y = expand === 1 ? x : relu6(convBn(x, channels, hidden, 1));
      y = relu6(convBn(y, hidden, hidden, 3, { stride, pad: 1, group: hidden }));
      y = convBn(y, hidden, outputs, 1);
      x = stride === 1 && channels === outputs ? b.op('Add', [x, y]) : y;
      channels = outputs;
    }
  }
  x = relu6(convBn(x, channels, 1280, 1));
  x = b.op('Flatten', [b.op('GlobalAveragePool', [x])], { axis: 1 });
  b.rename(b.dense(x, 1280, classes), 'logits');
  return b.model('mobilenet_v2', [['image', [batch, 3, 224, 224]]], [['logits', [batch, classes]]]);
}

/**
 * A BERT-like encoder as PyTorch exports it (MiniLM with the defaults): input_ids, attention_mask [batch, sequence] int64 ->
 * last_hidden_state[batch, sequence, width].
 */
export function encoder({ seed = 1, layers = 6, width = 384, heads = 12, hidden = 4 * width, vocabulary = 1000, positions = 512 } = {}) {
  const b = new Builder(seed);
  const size = width / heads;
  b.scalar('one', 1);
  b.scalar('lowest', -10000);
  b.scalar('sqrt_size', Math.sqrt(size));
  b.scalar('sqrt_2', Math.SQRT2);
  b.scalar('half', 0.5);
  b.ints('split_heads', [0, 0, heads, size]);
  b.ints('join_heads', [0, 0, width]);
  b.ints('zero', [0]);
  b.ints('one_i', [1], []);
  b.ints('zero_i', [0], []);
  b.ints('axes_12', [1, 2]);
  const norm = (x) => {
    const name = `ln_${b.count++}`;
    return b.op('LayerNormalization', [x, b.filled(`${name}.weight`, [width], 1), b.filled(`${name}.bias`, [width], 0)], { axis: -1, epsilon: { float: 1e-12 } }, name);
  };
  const linear = (x, inputs, outputs) => {
    const name = `linear_${b.count++}`;
    return b.op('Add', [b.op('MatMul', [x, b.weight(`${name}.weight`, [inputs, outputs], 3 * inputs)]), b.weight(`${name}.bias`, [outputs], 600)]);
  };
  const inHeads = (x, perm) => b.op('Transpose', [b.op('Reshape', [x, 'split_heads'])], { perm });
  // Positions 0 .. sequence - 1, from the shape of the ids.
  const length = b.op('Gather', [b.op('Shape', ['input_ids']), 'one_i'], { axis: 0 });
  const places = b.op('Range', ['zero_i', length, 'one_i']);
  const word = b.op('Gather', [b.weight('embeddings.word', [vocabulary, width], 600), 'input_ids'], { axis: 0 });
  const place = b.op('Gather', [b.weight('embeddings.position', [positions, width], 600), places], { axis: 0 });
  let x = norm(b.op('Add', [word, place]));
  // 0 where a token counts, -10000 where it does not: [batch, 1, 1, sequence].
  const mask = b.op('Mul', [b.op('Sub', ['one', b.op('Cast', [b.op('Unsqueeze', ['attention_mask', 'axes_12'])], { to: DATA_TYPE.FLOAT })]), 'lowest']);
  for (let i = 0; i < layers; i++) {
    const q = inHeads(linear(x, width, width), [0, 2, 1, 3]), k = inHeads(linear(x, width, width), [0, 2, 3, 1]), v = inHeads(linear(x, width, width), [0, 2, 1, 3]);
    const scores = b.op('Add', [b.op('Div', [b.op('MatMul', [q, k]), 'sqrt_size']), mask]);
    const mixed = b.op('Transpose', [b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), v])], { perm: [0, 2, 1, 3] });
    x = norm(b.op('Add', [linear(b.op('Reshape', [mixed, 'join_heads']), width, width), x]));
    const wide = linear(x, width, hidden);
    const gelu = b.op('Mul', [b.op('Mul', [wide, b.op('Add', [b.op('Erf', [b.op('Div', [wide, 'sqrt_2'])]), 'one'])]), 'half']);
    x = norm(b.op('Add', [linear(gelu, hidden, width), x]));
  }
  b.rename(x, 'last_hidden_state');
  const ids = /** @type {[string, string[], number]} */ (['input_ids', ['batch', 'sequence'], DATA_TYPE.INT64]);
  return b.model('encoder', [ids, ['attention_mask', ['batch', 'sequence'], DATA_TYPE.INT64]], [['last_hidden_state', ['batch', 'sequence', width]]]);
}

/** 784-256-10, the dense network of the benchmarks: x[batch, 784] -> logits[batch, 10]. */
export function denseClassifier({ seed = 1 } = {}) {
  const b = new Builder(seed);
  b.rename(b.dense(b.op('Relu', [b.dense('x', 784, 256)]), 256, 10), 'logits');
  return b.model('dense', [['x', ['batch', 784]]], [['logits', ['batch', 10]]]);
}

export const MODELS = Object.freeze({ dense: denseClassifier, mnist_cnn: mnistCnn, lenet5, squeezenet, mobilenet_v2: mobilenetV2, encoder });

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = process.argv[2];
  if (folder === undefined) {
    console.error('usage: node tests/models/models.js FOLDER');
    process.exit(2);
  }
  mkdirSync(folder, { recursive: true });
  for (const [name, make] of Object.entries(MODELS)) writeFileSync(`${folder}/${name}.onnx`, make());
}
