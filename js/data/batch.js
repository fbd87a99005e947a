// batch: samples that belong together, as tensors whose first dimension counts the samples.

import { BbwError } from '../errors.js';
import { wrongType } from '../internal/bytes.js';

/**
 * Elements in row-major order, as `session.run` takes them.
 * @typedef {import('../session.js').ArrayInput} Tensor
 * @typedef {import('../session.js').TypedArray} TypedArray
 */

/**
 * @typedef {object} Batch
 * @property {number} count  samples in it
 * @property {Record<string, Tensor>} inputs  by the name of the model's input; the first dimension of each is `count`
 * @property {Tensor} [labels]
 */

/**
 * What can be read at any place.
 * @typedef {object} DataSet
 * @property {number} length  samples in all
 * @property {(places: Uint32Array, options?: {signal?: AbortSignal}) => Batch | Promise<Batch>} read  the samples at these places, in this order; a new batch each time
 * @property {number} [chunk]  samples that are stored together: reading neighbours is cheap then, and shuffling respects it
 * @property {number} [chunksHeld]  chunks that the set keeps in memory
 */

/**
 * What can only be read from its start.
 * @typedef {object} DataStream
 * @property {(options: {signal?: AbortSignal}) => AsyncIterable<Batch>} open  batches of any size; each call starts anew
 */

const LABELS = 'labels';

/** Elements of one sample. @param {Tensor} tensor */
export const rowSize = ({ dims }) => dims.slice(1).reduce((a, b) => a * b, 1);

/** Its tensors by name, the labels last. @param {Batch} batch @returns {[string, Tensor][]} */
function tensorsOf({ inputs, labels }) {
  const entries = Object.entries(inputs);
  return labels === undefined ? entries : [...entries, [LABELS, labels]];
}

/** @param {string} name @param {unknown} value @returns {Tensor} */
export function checkTensor(name, value) {
  const tensor = /** @type {Tensor} */ (value);
  if (tensor === null || typeof tensor !== 'object' || !ArrayBuffer.isView(tensor.data) || tensor.data instanceof DataView) throw wrongType(name, 'an object {data, dims}', value);
  const { data, dims } = tensor;
  const isShape = Array.isArray(dims) && dims.length > 0 && dims.every((d) => Number.isSafeInteger(d) && d >= 0);
  if (!isShape || dims.reduce((a, b) => a * b, 1) !== data.length) {
    throw new BbwError('E_SHAPE', `${name}: ${data.length} elements do not fill the shape [${Array.isArray(dims) ? dims.map(String).join(', ') : String(dims)}]`,
      { input: name, expected: Array.isArray(dims) ? [...dims] : dims, got: data.length });
  }
  return tensor;
}

/**
 * Labels or inputs as a tensor: a typed array is one number for each sample.
 * @param {string} name @param {Tensor | TypedArray} value @returns {Tensor}
 */
export const toTensor = (name, value) => checkTensor(name, ArrayBuffer.isView(value) ? { data: /** @type {TypedArray} */ (value), dims: [/** @type {TypedArray} */ (value).length] } : value);

/**
 * @param {{inputs: Record<string, Tensor | TypedArray>, labels?: Tensor | TypedArray}} parts
 * @returns {Batch}
 * @throws {BbwError} E_ARG, E_SHAPE when the tensors do not have equally many samples
 */
export function createBatch({ inputs, labels }) {
  if (inputs === null || typeof inputs !== 'object') throw wrongType('inputs', 'an object', inputs);
  const tensors = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, toTensor(name, value)]));
  const batch = { count: 0, inputs: tensors, ...(labels !== undefined && { labels: toTensor(LABELS, labels) }) };
  const all = tensorsOf(batch);
  if (all.length === 0) throw new BbwError('E_ARG', 'a batch needs an input', { field: 'inputs' });
  const [first, { dims: [count] }] = all[0];
  for (const [name, { dims }] of all) {
    if (dims[0] !== count) throw new BbwError('E_SHAPE', `${name} has ${dims[0]} samples, ${first} has ${count}`, { input: name, expected: count, got: dims[0] });
  }
  return { ...batch, count };
}

/** What somebody else made. @param {unknown} value @param {Record<string, unknown>} [where] @returns {Batch} */
export function checkBatch(value, where = {}) {
  try {
    return createBatch(/** @type {Batch} */ (value ?? {}));
  } catch (error) {
    if (!(error instanceof BbwError)) throw error;
    throw new BbwError(error.code, error.message, { ...error.details, ...where });
  }
}

/** Do two tensors have samples of one kind? @param {Tensor} a @param {Tensor} b */
const isAlike = (a, b) => a.data.constructor === b.data.constructor && a.dtype === b.dtype && a.dims.length === b.dims.length && a.dims.every((d, i) => i === 0 || d === b.dims[i]);

/** What samples of a batch look like, for errors. @param {Batch} batch */
const describe = (batch) => tensorsOf(batch).map(([name, { data, dims }]) => `${name}: ${data.constructor.name} [${dims.slice(1).join(', ')}]`).join('; ');

/**
 * Refuses a batch whose samples are of another kind.
 * @param {Batch} batch @param {Batch} like @param {Record<string, unknown>} where  what the error says of the place
 */
export function checkAlike(batch, like, where) {
  const names = Object.keys(batch.inputs);
  const isSame = names.length === Object.keys(like.inputs).length && names.every((name) => Object.hasOwn(like.inputs, name) && isAlike(batch.inputs[name], like.inputs[name]));
  const hasLabels = batch.labels === undefined || like.labels === undefined ? batch.labels === like.labels : isAlike(batch.labels, like.labels);
  if (isSame && hasLabels) return;
  throw new BbwError('E_SHAPE', `samples are { ${describe(batch)} } where { ${describe(like)} } came before`, { ...where, got: describe(batch), expected: describe(like) });
}

/**
 * A new batch that is filled sample by sample.
 * @param {number} count @param {Batch} like  any batch of the kind that is copied from
 */
export function createSink(count, like) {
  /** @param {Tensor} tensor @returns {Tensor} */
  const empty = ({ data, dims, dtype }) => ({
    data: new (/** @type {any} */ (data.constructor))(count * dims.slice(1).reduce((a, b) => a * b, 1)), dims: [count, ...dims.slice(1)], ...(dtype !== undefined && { dtype }),
  });
  const batch = createBatch({
    inputs: Object.fromEntries(Object.entries(like.inputs).map(([name, tensor]) => [name, empty(tensor)])), ...(like.labels && { labels: empty(like.labels) }),
  });
  /** @type {{to: any, size: number, of: (batch: Batch) => any}[]} */
  const parts = Object.entries(batch.inputs).map(([name, tensor]) => ({ to: tensor.data, size: rowSize(tensor), of: (from) => from.inputs[name].data }));
  if (batch.labels !== undefined) parts.push({ to: batch.labels.data, size: rowSize(batch.labels), of: (from) => from.labels?.data });
  return {
    batch,
    /** @param {number} i  place in the new batch @param {Batch} from @param {number} row */
    put(i, from, row) {
      for (const { to, size, of } of parts) {
        const source = of(from);
        if (size === 1) to[i] = source[row];
        else to.set(source.subarray(row * size, (row + 1) * size), i * size);
      }
    },
  };
}

/**
 * Samples out of batches of one kind, copied into a new batch.
 * @param {number} count @param {Batch} like  any batch of that kind
 * @param {(i: number) => {batch: Batch, row: number}} at
 * @returns {Batch}
 */
export function gather(count, like, at) {
  const sink = createSink(count, like);
  for (let i = 0; i < count; i++) {
    const { batch, row } = at(i);
    sink.put(i, batch, row);
  }
  return sink.batch;
}

/** Samples `from` to `to` of a batch, as views of the same memory. @param {Batch} batch @param {number} from @param {number} to @returns {Batch} */
export function slice(batch, from, to) {
  /** @param {Tensor} tensor @returns {Tensor} */
  const part = (tensor) => {
    const size = rowSize(tensor);
    return { ...tensor, data: tensor.data.subarray(from * size, to * size), dims: [to - from, ...tensor.dims.slice(1)] };
  };
  return {
    count: to - from, inputs: Object.fromEntries(Object.entries(batch.inputs).map(([name, tensor]) => [name, part(tensor)])), ...(batch.labels && { labels: part(batch.labels) }),
  };
}

/** Refuses places that a set does not have. @param {Uint32Array} places @param {number} length */
export function checkPlaces(places, length) {
  for (const place of places) {
    if (place >= length) throw new BbwError('E_ARG', `there is no sample ${place}: the set has ${length}`, { field: 'places', value: place, cap: length });
  }
}
