// models: what the federation can learn with. MODEL=cnn chooses the second.

import { ATTRIBUTE, DATA_TYPE, denseNetwork, encodeModel } from '../js/index.js';
import { createRandom } from './random.js';

/**
 * LeNet-5 (LeCun et al. 1998) with ReLU and max pooling: image[batch, 1, 28, 28] -> logits[batch, 10], 61,706 parameters.
 * @param {{seed?: number}} [options] @returns {Uint8Array} a standard ONNX file
 */
export function leNet5({ seed = 1 } = {}) {
  const random = createRandom(seed);
  /** @type {import('../js/onnx.js').TensorProto[]} */
  const initializer = [];
  /** @type {import('../js/onnx.js').NodeProto[]} */
  const node = [];
  /** He's initialization. @param {string} name @param {number[]} dims  outputs first */
  function weights(name, dims) {
    const inputs = dims.slice(1).reduce((a, b) => a * b, 1), bound = Math.sqrt(6 / inputs);
    const data = Float32Array.from({ length: inputs * dims[0] }, () => (2 * random() - 1) * bound);
    initializer.push({ name: `${name}.weight`, dims, dataType: DATA_TYPE.FLOAT, rawData: new Uint8Array(data.buffer) });
    initializer.push({ name: `${name}.bias`, dims: [dims[0]], dataType: DATA_TYPE.FLOAT, rawData: new Uint8Array(4 * dims[0]) });
    return [`${name}.weight`, `${name}.bias`];
  }
  const ints = (/** @type {string} */ name, /** @type {number[]} */ values) => ({ name, type: ATTRIBUTE.INTS, ints: values });
  /** @param {string} opType @param {string} name @param {string[]} input @param {import('../js/onnx.js').AttributeProto[]} [attribute] */
  function op(opType, name, input, attribute = []) {
    const output = name === 'fc3' ? 'logits' : `${name}.${opType.toLowerCase()}`;
    node.push({ opType, name: `/${name}/${opType}`, input, output: [output], attribute });
    return output;
  }
  let x = 'image';
  for (const { name, dims, pad } of [{ name: 'conv1', dims: [6, 1, 5, 5], pad: 2 }, { name: 'conv2', dims: [16, 6, 5, 5], pad: 0 }]) {
    x = op('Conv', name, [x, ...weights(name, dims)], [ints('kernel_shape', [5, 5]), ints('pads', [pad, pad, pad, pad])]);
    x = op('Relu', name, [x]);
    x = op('MaxPool', name, [x], [ints('kernel_shape', [2, 2]), ints('strides', [2, 2])]);
  }
  x = op('Flatten', 'flatten', [x], [{ name: 'axis', type: ATTRIBUTE.INT, i: 1 }]);
  for (const { name, dims } of [{ name: 'fc1', dims: [120, 400] }, { name: 'fc2', dims: [84, 120] }, { name: 'fc3', dims: [10, 84] }]) {
    x = op('Gemm', name, [x, ...weights(name, dims)], [{ name: 'transB', type: ATTRIBUTE.INT, i: 1 }]);
    if (name !== 'fc3') x = op('Relu', name, [x]);
  }
  const port = (/** @type {string} */ name, /** @type {number[]} */ sizes) => ({
    name, type: { tensorType: { elemType: DATA_TYPE.FLOAT, shape: { dim: [{ dimParam: 'batch' }, ...sizes.map((dimValue) => ({ dimValue }))] } } },
  });
  return encodeModel({
    irVersion: 8, producerName: 'bb-wasm demo', opsetImport: [{ version: 17 }],
    graph: { name: 'lenet5', initializer, node, input: [port('image', [1, 28, 28])], output: [port('logits', [10])] },
  });
}

/**
 * Training ends at the test accuracy `goal`, or when time or patience is over; with ONCE=1 less than `least` is a failure.
 * @typedef {object} DemoModel
 * @property {() => Uint8Array} onnx @property {Parameters<typeof import('./federation.js').federatedRound>[0]} training
 * @property {number} goal @property {number} least @property {number} roundsMax @property {number} secondsMax @property {number} roundTimeoutMs
 */
/** @type {Record<import('./participant.js').ModelName, DemoModel>} */
export const MODELS = {
  mlp: { onnx: () => denseNetwork([784, 64, 10], { seed: 1 }), training: {}, goal: 0.95, least: 0.93, roundsMax: 200, secondsMax: 50, roundTimeoutMs: 15_000 },
  cnn: { onnx: () => leNet5({ seed: 1 }), training: { epochs: 2, batchSize: 32 }, goal: 0.975, least: 0.975, roundsMax: 200, secondsMax: 400, roundTimeoutMs: 90_000 },
};
