// gradient-seeds: small models for the fuzzer of sessions and trainers, one per operator whose gradient has code of its own.
import { DATA_TYPE, encodeModel } from '../js/index.js';

/** @param {number} n @param {number} seed */
const numbers = (n, seed) => Array.from({ length: n }, (_, i) => Math.sin((i + 1) * 12.9 + seed));
/** @param {string} name @param {number[]} dims @param {number} [seed] */
const w = (name, dims, seed = 1) => ({ name, dims, dataType: DATA_TYPE.FLOAT, floatData: numbers(dims.reduce((a, b) => a * b, 1), seed) });
/** @param {string} name @param {number[]} dims @param {number[]} values */
const ints = (name, dims, values) => ({ name, dims, dataType: DATA_TYPE.INT64, int64Data: values.map(BigInt) });
/** @param {string} name @param {number} value */
const i = (name, value) => ({ name, i: value, type: 2 });
/** @param {string} name @param {string} value */
const s = (name, value) => ({ name, s: new TextEncoder().encode(value), type: 3 });
/** @param {string} name @param {number[]} values */
const l = (name, values) => ({ name, ints: values, type: 7 });

/** @param {string} name @param {number} elemType @param {number[]} dims */
const port = (name, elemType, dims) => ({ name, type: { tensorType: { elemType, shape: { dim: dims.map((dimValue) => ({ dimValue: BigInt(dimValue) })) } } } });
/**
 * An attribute that is a graph.
 * @param {string} name @param {any[]} input  ports @param {[string, string[], string][]} nodes  operator, inputs, output @param {string[]} output
 */
const g = (name, input, nodes, output) => ({
  name, type: 5, g: { name, input, output: output.map((out) => port(out, DATA_TYPE.FLOAT, [])), node: nodes.map(([opType, from, to]) => ({ opType, name: to, input: from, output: [to] })) },
});
const { FLOAT, INT64, BOOL } = DATA_TYPE;

/** Operator, inputs, attributes, outputs. @type {[string, any[], any[], number][]} */
const MODELS = [
  ['LSTM', [w('a', [3, 2, 2]), w('b', [2, 12, 2]), w('c', [2, 12, 3]), w('d', [2, 24]), null, w('f', [2, 2, 3]), w('g', [2, 2, 3]), w('h', [2, 9])], [s('direction', 'bidirectional'), i('hidden_size', 3)], 3],
  ['GRU', [w('a', [3, 2, 2]), w('b', [1, 9, 2]), w('c', [1, 9, 3]), w('d', [1, 18]), null, w('f', [1, 2, 3])], [i('linear_before_reset', 1), i('hidden_size', 3)], 2],
  ['GRU', [w('a', [3, 2, 2]), w('b', [1, 9, 2]), w('c', [1, 9, 3])], [i('hidden_size', 3), i('layout', 1)], 2],
  ['RNN', [w('a', [3, 2, 2]), w('b', [1, 3, 2]), w('c', [1, 3, 3])], [i('hidden_size', 3)], 2],
  ['Einsum', [w('a', [2, 3]), w('b', [3, 2])], [s('equation', '...ij,jk->...ik')], 1],
  ['TopK', [w('a', [2, 5]), ints('k', [1], [2])], [i('axis', -1)], 2],
  ['ScatterElements', [w('a', [2, 3]), ints('k', [2, 2], [0, 1, 1, 0]), w('c', [2, 2])], [i('axis', 1), s('reduction', 'mul')], 1],
  ['ScatterND', [w('a', [4, 2]), ints('k', [2, 1], [3, 1]), w('c', [2, 2])], [], 1],
  ['Resize', [w('a', [1, 1, 2, 3]), null, null, ints('k', [4], [1, 1, 4, 5])], [s('mode', 'linear')], 1],
  ['GridSample', [w('a', [1, 2, 3, 3]), w('b', [1, 2, 2, 2])], [s('padding_mode', 'reflection'), s('mode', 'bicubic')], 1],
  ['MaxUnpool', [w('a', [1, 1, 2, 2]), ints('k', [1, 1, 2, 2], [1, 6, 8, 15])], [l('kernel_shape', [2, 2]), l('strides', [2, 2])], 1],
  ['Det', [w('a', [2, 3, 3])], [], 1],
  ['LRN', [w('a', [1, 5, 2])], [i('size', 3)], 1],
  ['ReduceProd', [w('a', [2, 3])], [i('keepdims', 0)], 1],
  ['LpNormalization', [w('a', [2, 3])], [i('axis', 0)], 1],
  ['MeanVarianceNormalization', [w('a', [2, 3, 2, 2])], [], 1],
  ['SoftmaxCrossEntropyLoss', [w('a', [2, 3]), ints('k', [2], [0, 2])], [], 1],
  ['If', [{ name: 'a', dims: [], dataType: BOOL, int32Data: [1] }, w('b', [2]), w('c', [2])], [g('then_branch', [], [['Mul', ['b', 'c'], 't']], ['t']), g('else_branch', [], [['Sin', ['c'], 'e']], ['e'])], 1],
  ['Scan', [w('a', [2]), w('b', [3, 2])], [g('body', [port('s', FLOAT, [2]), port('x', FLOAT, [2])], [['Mul', ['s', 'd'], 'p'], ['Add', ['p', 'x'], 't']], ['t', 'p']), i('num_scan_inputs', 1)], 2],
  ['Loop', [ints('a', [1], [3]), null, w('c', [2])], [g('body', [port('i', INT64, []), port('k', BOOL, []), port('s', FLOAT, [2])], [['Mul', ['s', 'd'], 'p'], ['Tanh', ['p'], 't'], ['Identity', ['k'], 'on']], ['on', 't', 'p'])], 2],
  ['STFT', [w('a', [1, 8, 1]), ints('k', [], [2]), w('c', [4])], [], 1],
  ['RoiAlign', [w('a', [1, 2, 4, 4]), w('b', [2, 4]), ints('k', [2], [0, 0])], [i('output_height', 2), i('output_width', 2)], 1],
  ['OneHot', [ints('a', [3], [0, 2, 7]), ints('k', [1], [4]), w('c', [2])], [], 1],
  ['CenterCropPad', [w('a', [3, 2]), ints('k', [2], [2, 4])], [], 1],
];

/** Every weight is trained; the result is multiplied by one more, so that a gradient has something behind it. @returns {Uint8Array[]} */
export function gradientSeeds() {
  const captured = new Set(['Scan', 'Loop']); // whose bodies read a weight d that is no input, as those of If read the last two
  return MODELS.map(([opType, inputs, attribute, outputs]) => encodeModel({
    irVersion: 8, opsetImport: [{ version: 20 }],
    graph: {
      name: 'g', input: [], output: [{ name: 'z', type: { tensorType: { elemType: DATA_TYPE.FLOAT } } }], initializer: [...inputs.filter((input) => input !== null), ...(captured.has(opType) ? [w('d', [2], 4)] : []), w('v', [1], 3)],
      node: [
        { opType, name: 'n', input: (opType === 'If' ? inputs.slice(0, 1) : inputs).map((input) => input?.name ?? ''), output: ['y', 'y1', 'y2'].slice(0, outputs), attribute },
        { opType: 'Mul', name: 'm', input: ['y', 'v'], output: ['z'] },
      ],
    },
  }));
}
