// encoder: writes the sentence encoder as a standard ONNX file.
//
// input_ids, attention_mask int64[batch, sequence] -> embedding f32[batch, width], of length 1 (or 0 for a sentence without a known word).
// Vectors of words stand in the file as int8 rows with one scale each; the scale also holds how much the word counts. A sentence is the mean of its
// words' vectors, without the direction that all sentences share, made one long.

import { ATTRIBUTE, DATA_TYPE, encodeModel } from '../../js/index.js';

const INT8 = 3;

/**
 * @typedef {object} Encoder
 * @property {number} width
 * @property {Float32Array} vectors  a row of `width` per word, row 0 for the padding
 * @property {Float32Array} [common]  unit vector; its part of every mean is taken away
 */

/** @param {Float32Array | BigInt64Array | Int8Array} data */
const raw = (data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Rows as int8 and the scale of each. @param {Float32Array} vectors @param {number} width */
function quantize(vectors, width) {
  const count = vectors.length / width;
  const table = new Int8Array(vectors.length), scales = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const row = vectors.subarray(i * width, (i + 1) * width);
    const most = row.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
    scales[i] = most / 127;
    if (most > 0) row.forEach((x, j) => { table[i * width + j] = Math.round((x * 127) / most); });
  }
  return { table, scales };
}

/** @param {Encoder} encoder @returns {Uint8Array} */
export function encodeSentenceEncoder({ width, vectors, common = new Float32Array(width) }) {
  const count = vectors.length / width;
  const { table, scales } = quantize(vectors, width);
  // mean . (I - c cT): what is left when the common direction is gone.
  const projection = Float32Array.from({ length: width * width }, (_, k) => {
    const i = Math.floor(k / width), j = k % width;
    return (i === j ? 1 : 0) - common[i] * common[j];
  });
  const ints = (/** @type {string} */ name, /** @type {number[]} */ values) => ({ name, dims: [values.length], dataType: DATA_TYPE.INT64, rawData: raw(BigInt64Array.from(values, BigInt)) });
  const floats = (/** @type {string} */ name, /** @type {number[]} */ dims, /** @type {Float32Array} */ data) => ({ name, dims, dataType: DATA_TYPE.FLOAT, rawData: raw(data) });
  /** @param {string} opType @param {string[]} input @param {string} output @param {Record<string, number>} [attributes] */
  const op = (opType, input, output, attributes = {}) => ({
    opType, name: `/${output}/${opType}`, input, output: [output],
    attribute: Object.entries(attributes).map(([name, i]) => ({ name, type: ATTRIBUTE.INT, i })),
  });
  /** @param {string} name @param {(number | string)[]} dims @param {number} elemType */
  const port = (name, dims, elemType) => ({ name, type: { tensorType: { elemType, shape: { dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) } } } });
  return encodeModel({
    irVersion: 8, producerName: 'bb-wasm examples', opsetImport: [{ version: 17 }],
    graph: {
      name: 'sentence_encoder',
      initializer: [
        { name: 'words.int8', dims: [count, width], dataType: INT8, rawData: raw(table) }, floats('words.scale', [count, 1], scales),
        floats('projection', [width, width], projection), floats('one', [], Float32Array.of(1)), floats('tiny', [], Float32Array.of(1e-12)),
        ints('axis_1', [1]), ints('axis_last', [-1]),
      ],
      node: [
        op('Gather', ['words.int8', 'input_ids'], 'rows', { axis: 0 }),
        op('Cast', ['rows'], 'rows.f32', { to: DATA_TYPE.FLOAT }),
        op('Gather', ['words.scale', 'input_ids'], 'scales', { axis: 0 }),
        op('Cast', ['attention_mask'], 'mask', { to: DATA_TYPE.FLOAT }),
        op('Unsqueeze', ['mask', 'axis_last'], 'mask.column'),
        op('Mul', ['scales', 'mask.column'], 'weights'),
        op('Mul', ['rows.f32', 'weights'], 'weighted'),
        op('ReduceSum', ['weighted', 'axis_1'], 'sum', { keepdims: 0 }),
        op('ReduceSum', ['mask', 'axis_1'], 'count', { keepdims: 1 }),
        op('Max', ['count', 'one'], 'count.positive'), // a sentence without words has the mean 0
        op('Div', ['sum', 'count.positive'], 'mean'),
        op('MatMul', ['mean', 'projection'], 'own'),
        op('Mul', ['own', 'own'], 'squares'),
        op('ReduceSum', ['squares', 'axis_last'], 'square', { keepdims: 1 }),
        op('Sqrt', ['square'], 'length'),
        op('Max', ['length', 'tiny'], 'length.positive'),
        op('Div', ['own', 'length.positive'], 'embedding'),
      ],
      input: [port('input_ids', ['batch', 'sequence'], DATA_TYPE.INT64), port('attention_mask', ['batch', 'sequence'], DATA_TYPE.INT64)],
      output: [port('embedding', ['batch', width], DATA_TYPE.FLOAT)],
    },
  });
}
