// onnx: the part of ONNX that recordings, artifacts and trainable models use.
//
// `encodeModel` and `decodeModel` are for whole files; field numbers are those of onnx.proto.  `denseNetwork` writes a
// standard ONNX file of a dense classifier, the kind that the shipped Model component trains.
// Source: install specification, sections 1.2 and 8.3.

import { BbwError } from './errors.js';
import { asBytes } from './internal/bytes.js';
import { decodeMessage, encodeMessage } from './internal/protobuf.js';

/**
 * @typedef {{key: string, value: string}} StringEntry
 * @typedef {{dims?: readonly (number | bigint)[], dataType?: number, floatData?: ArrayLike<number>, int32Data?: number[],
 *   int64Data?: (number | bigint)[], name?: string, rawData?: Uint8Array, doubleData?: number[]}} TensorProto
 * @typedef {{name: string, type?: number, f?: number, i?: number | bigint, s?: Uint8Array, t?: TensorProto, g?: GraphProto,
 *   floats?: number[], ints?: (number | bigint)[], strings?: Uint8Array[]}} AttributeProto
 * @typedef {{input?: string[], output?: string[], name?: string, opType?: string, attribute?: AttributeProto[],
 *   domain?: string, overload?: string, metadataProps?: StringEntry[]}} NodeProto
 * @typedef {{dimValue?: number, dimParam?: string}} Dimension
 * @typedef {{tensorType?: {elemType?: number, shape?: {dim?: Dimension[]}}, opaqueType?: {domain?: string, name?: string}, denotation?: string}} TypeProto
 * @typedef {{name: string, type?: TypeProto, metadataProps?: StringEntry[]}} ValueInfoProto
 * @typedef {{node?: NodeProto[], name?: string, initializer?: TensorProto[], input?: ValueInfoProto[], output?: ValueInfoProto[],
 *   valueInfo?: ValueInfoProto[]}} GraphProto
 * @typedef {{name?: string, input?: string[], output?: string[], attribute?: string[], node?: NodeProto[], domain?: string,
 *   valueInfo?: ValueInfoProto[], overload?: string, metadataProps?: StringEntry[]}} FunctionProto
 * @typedef {{irVersion?: number, producerName?: string, producerVersion?: string, graph?: GraphProto,
 *   opsetImport?: {domain?: string, version?: number}[], metadataProps?: StringEntry[], functions?: FunctionProto[]}} ModelProto
 */

/** @type {import('./internal/protobuf.js').Schema} Order is the order of writing: a oneof stands at its lowest number. */
const SCHEMA = {
  ModelProto: [
    [1, 'irVersion', 'int64'], [2, 'producerName', 'string'], [3, 'producerVersion', 'string'], [4, 'domain', 'string'],
    [5, 'modelVersion', 'int64'], [6, 'docString', 'string'], [7, 'graph', 'GraphProto'],
    [8, 'opsetImport', 'OperatorSetIdProto[]'], [14, 'metadataProps', 'StringStringEntryProto[]'], [25, 'functions', 'FunctionProto[]'],
  ],
  StringStringEntryProto: [[1, 'key', 'string'], [2, 'value', 'string']],
  OperatorSetIdProto: [[1, 'domain', 'string'], [2, 'version', 'int64']],
  FunctionProto: [
    [1, 'name', 'string'], [4, 'input', 'string[]'], [5, 'output', 'string[]'], [6, 'attribute', 'string[]'],
    [7, 'node', 'NodeProto[]'], [8, 'docString', 'string'], [9, 'opsetImport', 'OperatorSetIdProto[]'], [10, 'domain', 'string'],
    [11, 'attributeProto', 'AttributeProto[]'], [12, 'valueInfo', 'ValueInfoProto[]'], [13, 'overload', 'string'],
    [14, 'metadataProps', 'StringStringEntryProto[]'],
  ],
  NodeProto: [
    [1, 'input', 'string[]'], [2, 'output', 'string[]'], [3, 'name', 'string'], [4, 'opType', 'string'],
    [5, 'attribute', 'AttributeProto[]'], [6, 'docString', 'string'], [7, 'domain', 'string'], [8, 'overload', 'string'],
    [9, 'metadataProps', 'StringStringEntryProto[]'],
  ],
  AttributeProto: [
    [1, 'name', 'string'], [2, 'f', 'float'], [3, 'i', 'int64'], [4, 's', 'bytes'], [5, 't', 'TensorProto'], [6, 'g', 'GraphProto'],
    [7, 'floats', 'float[]'], [8, 'ints', 'int64[]'], [9, 'strings', 'bytes[]'], [10, 'tensors', 'TensorProto[]'],
    [11, 'graphs', 'GraphProto[]'], [13, 'docString', 'string'], [20, 'type', 'int32'], [21, 'refAttrName', 'string'],
  ],
  GraphProto: [
    [1, 'node', 'NodeProto[]'], [2, 'name', 'string'], [5, 'initializer', 'TensorProto[]'], [10, 'docString', 'string'],
    [11, 'input', 'ValueInfoProto[]'], [12, 'output', 'ValueInfoProto[]'], [13, 'valueInfo', 'ValueInfoProto[]'],
    [16, 'metadataProps', 'StringStringEntryProto[]'],
  ],
  TensorProto: [
    [1, 'dims', 'int64[]'], [2, 'dataType', 'int32'], [4, 'floatData', 'float[]'], [5, 'int32Data', 'int32[]'],
    [6, 'stringData', 'bytes[]'], [7, 'int64Data', 'int64[]'], [8, 'name', 'string'], [9, 'rawData', 'bytes'],
    [10, 'doubleData', 'double[]'], [11, 'uint64Data', 'uint64[]'], [12, 'docString', 'string'],
  ],
  ValueInfoProto: [[1, 'name', 'string'], [2, 'type', 'TypeProto'], [3, 'docString', 'string'], [4, 'metadataProps', 'StringStringEntryProto[]']],
  TypeProto: [[1, 'tensorType', 'TypeProtoTensor'], [7, 'opaqueType', 'TypeProtoOpaque'], [6, 'denotation', 'string']],
  TypeProtoTensor: [[1, 'elemType', 'int32'], [2, 'shape', 'TensorShapeProto']],
  TypeProtoOpaque: [[1, 'domain', 'string'], [2, 'name', 'string']],
  TensorShapeProto: [[1, 'dim', 'Dimension[]']],
  Dimension: [[1, 'dimValue', 'int64'], [2, 'dimParam', 'string'], [3, 'denotation', 'string']],
};

/** Numbers of AttributeProto.type. */
export const ATTRIBUTE = Object.freeze({ FLOAT: 1, INT: 2, STRING: 3, TENSOR: 4, GRAPH: 5, FLOATS: 6, INTS: 7, STRINGS: 8 });
/** Numbers of TensorProto.data_type that we name. */
export const DATA_TYPE = Object.freeze({ FLOAT: 1, INT32: 6, INT64: 7, BOOL: 9, DOUBLE: 11 });

/** @param {ModelProto} model @returns {Uint8Array} */
export const encodeModel = (model) => encodeMessage(SCHEMA, 'ModelProto', model);
/** @param {import('./internal/bytes.js').BytesLike} source @returns {ModelProto} @throws {BbwError} E_PROTOBUF, E_DEPTH */
export const decodeModel = (source) => /** @type {ModelProto} */ (decodeMessage(SCHEMA, 'ModelProto', asBytes(source)));
/** @param {TensorProto} proto @returns {Uint8Array} */
export const encodeTensorProto = (proto) => encodeMessage(SCHEMA, 'TensorProto', proto);
/** @param {import('./internal/bytes.js').BytesLike} source @returns {TensorProto} */
export const decodeTensorProto = (source) => /** @type {TensorProto} */ (decodeMessage(SCHEMA, 'TensorProto', asBytes(source)));

// ---- a dense classifier ---------------------------------------------------------------------------------------------

/**
 * A small seeded generator (xorshift128+), so that the same seed writes the same file everywhere.
 * @param {number | bigint} seed
 */
function createRandom(seed) {
  // splitmix64 spreads a small seed over both words.
  let mix = BigInt.asUintN(64, BigInt(seed));
  const next64 = () => {
    mix = BigInt.asUintN(64, mix + 0x9e3779b97f4a7c15n);
    let z = mix;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  };
  let a = next64() | 1n, b = next64();
  /** Uniform in [0, 1), 53 bits. */
  return () => {
    let x = a;
    const y = b;
    a = y;
    x = BigInt.asUintN(64, x ^ (x << 23n));
    b = x ^ y ^ (x >> 17n) ^ (y >> 26n);
    return Number(BigInt.asUintN(64, b + y) >> 11n) / 2 ** 53;
  };
}

/** @param {Float32Array} data @returns {Uint8Array} little-endian */
function rawFloats(data) {
  const out = new Uint8Array(data.length * 4);
  const view = new DataView(out.buffer);
  data.forEach((x, i) => view.setFloat32(i * 4, x, true));
  return out;
}

/** @param {string} name @param {readonly number[]} dims @param {Float32Array} data @returns {TensorProto} */
const initializer = (name, dims, data) => ({ dims, dataType: DATA_TYPE.FLOAT, name, rawData: rawFloats(data) });

/** @param {string} name @param {readonly (number | string)[]} dims @returns {ValueInfoProto} */
const tensorInfo = (name, dims) => ({
  name,
  type: { tensorType: { elemType: DATA_TYPE.FLOAT, shape: { dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) } } },
});

/**
 * Writes an ONNX file of a dense network: x[batch, sizes[0]] -> ... -> logits[batch, last size], with Relu between the
 * layers. Weights before a Relu are drawn by He, the last layer's by Glorot, both uniform; biases are zero.
 * @param {readonly number[]} sizes  width of the input, of each hidden layer, of the output; at least two
 * @param {object} [options]
 * @param {number | bigint} [options.seed]  default 1; the same seed gives the same bytes
 * @param {'gemm' | 'matmul'} [options.layer]  Gemm with transB = 1 (default), or MatMul and Add
 * @param {boolean} [options.softmax]  end with Softmax over the last axis; output `probabilities` instead of `logits`
 * @returns {Uint8Array}
 */
export function denseNetwork(sizes, { seed = 1, layer = 'gemm', softmax = false } = {}) {
  if (sizes.length < 2 || sizes.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new BbwError('E_ARG', 'a dense network needs at least two positive sizes', { sizes: [...sizes] });
  }
  const random = createRandom(seed);
  /** @type {NodeProto[]} */
  const node = [];
  /** @type {TensorProto[]} */
  const weights = [];
  let value = 'x';
  for (let i = 0; i + 1 < sizes.length; i++) {
    const from = sizes[i], to = sizes[i + 1], isLast = i + 2 === sizes.length;
    const bound = Math.sqrt(6 / (isLast ? from + to : from));
    const w = Float32Array.from({ length: from * to }, () => (random() * 2 - 1) * bound);
    const [weight, bias] = [`fc${i + 1}.weight`, `fc${i + 1}.bias`];
    const out = isLast ? (softmax ? 'scores' : 'logits') : `fc${i + 1}`;
    // Gemm with transB keeps weights as [out, in], MatMul as [in, out].
    weights.push(initializer(weight, layer === 'gemm' ? [to, from] : [from, to], w), initializer(bias, [to], new Float32Array(to)));
    if (layer === 'gemm') {
      node.push({
        opType: 'Gemm', name: `/fc${i + 1}/Gemm`, input: [value, weight, bias], output: [out],
        attribute: [
          { name: 'alpha', type: ATTRIBUTE.FLOAT, f: 1 }, { name: 'beta', type: ATTRIBUTE.FLOAT, f: 1 },
          { name: 'transB', type: ATTRIBUTE.INT, i: 1 },
        ],
      });
    } else {
      node.push({ opType: 'MatMul', name: `/fc${i + 1}/MatMul`, input: [value, weight], output: [`${out}.product`] });
      node.push({ opType: 'Add', name: `/fc${i + 1}/Add`, input: [`${out}.product`, bias], output: [out] });
    }
    value = out;
    if (!isLast) {
      node.push({ opType: 'Relu', name: `/relu${i + 1}/Relu`, input: [value], output: [`relu${i + 1}`] });
      value = `relu${i + 1}`;
    }
  }
  if (softmax) {
    node.push({ opType: 'Softmax', name: '/softmax/Softmax', input: [value], output: ['probabilities'], attribute: [{ name: 'axis', type: ATTRIBUTE.INT, i: -1 }] });
    value = 'probabilities';
  }
  return encodeModel({
    irVersion: 8,
    producerName: 'bb-wasm',
    graph: { name: 'dense', node, initializer: weights, input: [tensorInfo('x', ['batch', sizes[0]])], output: [tensorInfo(value, ['batch', sizes[sizes.length - 1]])] },
    opsetImport: [{ version: 17 }],
  });
}
