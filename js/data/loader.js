// loader: in which order, and in batches of which size, does training see the samples?
//
// The order of an epoch follows from seed and epoch, what augmentation does from seed, epoch and batch. So batch 7 of epoch 3 is the same whether the
// batches before it were read or not.

import { BbwError } from '../errors.js';
import { wrongType } from '../internal/bytes.js';
import { checkBatch } from './batch.js';
import { createOrder, createRandom, keyOf } from './random.js';
import { mix, rebatch } from './stream.js';

/** @typedef {import('./batch.js').Batch} Batch @typedef {import('./batch.js').DataSet} DataSet @typedef {import('./batch.js').DataStream} DataStream */

/**
 * Changes a batch, by chance or not. It must not write into what it is given.
 * @typedef {(batch: Batch, random: import('./random.js').Random) => Batch | Promise<Batch>} Transform
 */

/**
 * @typedef {object} LoaderOptions
 * @property {number} [batchSize]  default 32
 * @property {boolean} [shuffle]  default false. A set in chunks is mixed chunk by chunk and within the chunks that are held together; a stream within a buffer
 * @property {number} [seed]  default 0
 * @property {boolean} [dropLast]  leave out a last batch that is smaller; default false
 * @property {number} [bufferSize]  samples in the buffer of a shuffled stream; default 1,024
 * @property {Transform} [transform]
 */

/** What is drawn for. Numbers of one purpose tell nothing of another. */
const ORDER = 1, WITHIN = 2, MIX = 3, TRANSFORM = 4;
const BATCH_MAX = 2 ** 24;

/** @param {unknown} value @param {string} field @param {number} least @param {number} most */
function whole(value, field, least, most) {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw new BbwError('E_ARG', `${field} must be a whole number from ${least} to ${most}`, { field, value });
}

/**
 * The order of a set in chunks: the chunks in any order, taken `held` at a time, and the samples of those in any order.
 * @param {number} length @param {number} chunk @param {number} held @param {readonly number[]} key
 */
function chunkedOrder(length, chunk, held, key) {
  const count = Math.ceil(length / chunk), order = createOrder(count, ...key, ORDER);
  const sizeOf = (/** @type {number} */ c) => Math.min(chunk, length - c * chunk);
  const groups = Math.ceil(count / held);
  const starts = new Float64Array(groups + 1);
  for (let i = 0; i < count; i++) starts[Math.floor(i / held) + 1] += sizeOf(order(i));
  for (let g = 0; g < groups; g++) starts[g + 1] += starts[g];
  let group = -1;
  /** @type {(i: number) => number} */
  let within = () => 0;
  return (/** @type {number} */ i) => {
    if (group < 0 || i < starts[group] || i >= starts[group + 1]) {
      let low = 0, high = groups;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (starts[middle] <= i) low = middle;
        else high = middle;
      }
      group = low;
      within = createOrder(starts[group + 1] - starts[group], ...key, WITHIN, group);
    }
    let place = within(i - starts[group]);
    for (let k = group * held; ; k++) {
      const c = order(k), size = sizeOf(c);
      if (place < size) return c * chunk + place;
      place -= size;
    }
  };
}

/**
 * @param {DataSet | DataStream} source @param {LoaderOptions} [options]
 * @returns {Loader}
 * @throws {BbwError} E_ARG
 */
export function createLoader(source, { batchSize = 32, shuffle = false, seed = 0, dropLast = false, bufferSize = 1024, transform } = {}) {
  whole(batchSize, 'batchSize', 1, BATCH_MAX);
  whole(bufferSize, 'bufferSize', 1, BATCH_MAX);
  keyOf(seed);
  if (transform !== undefined && typeof transform !== 'function') throw wrongType('transform', 'a function', transform);
  const set = /** @type {DataSet} */ (source), stream = /** @type {DataStream} */ (source);
  const isSet = typeof set?.read === 'function';
  if (!isSet && typeof stream?.open !== 'function') throw wrongType('data', 'a set or a stream', source);
  const length = isSet ? whole(set.length, 'length', 0, 2 ** 32) : undefined;

  /** @param {number} epoch */
  function orderOf(epoch) {
    const size = /** @type {number} */ (length);
    if (!shuffle) return (/** @type {number} */ i) => i;
    if (set.chunk !== undefined && set.chunk < size) return chunkedOrder(size, whole(set.chunk, 'chunk', 1, 2 ** 32), whole(set.chunksHeld ?? 1, 'chunksHeld', 1, 2 ** 32), [seed, epoch]);
    return createOrder(size, seed, epoch, ORDER);
  }

  /** @param {number} epoch @param {number} from @param {AbortSignal | undefined} signal */
  async function* readSet(epoch, from, signal) {
    const size = /** @type {number} */ (length), order = orderOf(epoch);
    const end = dropLast ? size - (size % batchSize) : size;
    for (let at = from * batchSize; at < end; at += batchSize) {
      const places = Uint32Array.from({ length: Math.min(batchSize, end - at) }, (_, i) => order(at + i));
      yield await set.read(places, { signal });
    }
  }

  /** @param {number} epoch @param {number} from @param {AbortSignal | undefined} signal */
  async function* readStream(epoch, from, signal) {
    const opened = stream.open({ signal });
    let number = 0;
    for await (const batch of rebatch(shuffle ? mix(opened, bufferSize, [seed, epoch, MIX]) : opened, batchSize)) {
      if (number++ < from) continue; // what was seen is read again and passed over
      if (dropLast && batch.count < batchSize) return;
      yield batch;
    }
  }

  /** @param {{epoch?: number, from?: number, signal?: AbortSignal}} [options] @returns {AsyncGenerator<Batch, void, undefined>} */
  async function* batches({ epoch = 0, from = 0, signal } = {}) {
    whole(epoch, 'epoch', 0, Number.MAX_SAFE_INTEGER);
    let number = whole(from, 'from', 0, Number.MAX_SAFE_INTEGER);
    signal?.throwIfAborted();
    for await (const batch of isSet ? readSet(epoch, from, signal) : readStream(epoch, from, signal)) {
      yield transform === undefined ? batch : checkBatch(await transform(batch, createRandom(seed, epoch, TRANSFORM, number)), { batch: number });
      number++;
      signal?.throwIfAborted();
    }
  }

  return {
    batchSize, shuffle, seed, dropLast, length,
    batchCount: length === undefined ? undefined : dropLast ? Math.floor(length / batchSize) : Math.ceil(length / batchSize),
    batches,
  };
}

/**
 * @typedef {object} Loader
 * @property {number} batchSize @property {boolean} shuffle @property {number} seed @property {boolean} dropLast
 * @property {number | undefined} length  samples of an epoch; undefined for a stream
 * @property {number | undefined} batchCount  batches of an epoch; undefined for a stream
 * @property {(options?: {epoch?: number, from?: number, signal?: AbortSignal}) => AsyncGenerator<Batch, void, undefined>} batches  those of an epoch, from batch `from` on
 */

/** Something with `batches` is a loader. @param {any} value @returns {value is Loader} */
export const isLoader = (value) => typeof value?.batches === 'function';
