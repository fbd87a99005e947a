// split: parts of a set, and what is in it.

import { BbwError } from '../errors.js';
import { checkPlaces } from './batch.js';
import { createOrder, keyOf } from './random.js';

/** @typedef {import('./batch.js').DataSet} DataSet @typedef {import('./batch.js').Tensor} Tensor */

/** Samples that are read at a time, where all are. */
const PIECE = 256;
/** So that no class index makes a table of any size. */
const CLASSES_MAX = 2 ** 20;

/**
 * The samples of a set at these places, in this order. Of a set in chunks, ascending places keep near what is stored together.
 * @param {DataSet} set @param {ArrayLike<number>} places @returns {DataSet}
 */
export function subset(set, places) {
  const own = Uint32Array.from(places);
  if (Array.from(places).some((place, i) => place !== own[i])) throw new BbwError('E_ARG', 'places must be whole numbers from 0 to 2^32 - 1', { field: 'places' });
  checkPlaces(own, set.length);
  // A chunk of the part has the samples of about one chunk of the whole, which may lie in two.
  const isChunked = set.chunk !== undefined && own.every((place, i) => i === 0 || place > own[i - 1]);
  return {
    length: own.length,
    ...(isChunked && { chunk: Math.max(1, Math.floor(/** @type {number} */ (set.chunk) * (own.length / set.length))), chunksHeld: Math.max(1, (set.chunksHeld ?? 1) >> 1) }),
    read(wanted, options) {
      checkPlaces(wanted, own.length);
      return set.read(wanted.map((i) => own[i]), options);
    },
  };
}

/**
 * Divides a set by chance, the same way for the same seed.
 * @param {DataSet} set
 * @param {{test: number, seed?: number, isStratified?: boolean, signal?: AbortSignal}} options  `test`: the share of the test part, or with 1 and more the
 *   number of its samples; `isStratified`: each class has that share of its own samples in the test part (all labels are read for it)
 * @returns {Promise<{train: DataSet, test: DataSet}>}
 */
export async function split(set, { test, seed = 0, isStratified = false, signal }) {
  const { length } = set;
  if (!(typeof test === 'number' && test > 0 && (test < 1 || (Number.isInteger(test) && test <= length)))) {
    throw new BbwError('E_ARG', `test must be a share below 1 or a number of samples up to ${length}`, { field: 'test', value: test });
  }
  const share = test < 1 ? test : test / length;
  const order = createOrder(length, keyOf(seed));
  const groups = isStratified ? await labelsOf(set, { signal }) : undefined;
  /** Places by class, or all of them; each in its order. @type {Map<number, number[]>} */
  const lists = new Map();
  for (let i = 0; i < length; i++) {
    const place = order(i), key = groups === undefined ? 0 : groups[place];
    const list = lists.get(key);
    if (list === undefined) lists.set(key, [place]);
    else list.push(place);
  }
  const inTest = /** @type {number[]} */ ([]), inTrain = /** @type {number[]} */ ([]);
  for (const key of [...lists.keys()].sort((a, b) => a - b)) {
    const list = /** @type {number[]} */ (lists.get(key)), count = Math.round(list.length * share);
    list.forEach((place, i) => (i < count ? inTest : inTrain).push(place));
  }
  if (set.chunk !== undefined) for (const part of [inTrain, inTest]) part.sort((a, b) => a - b);
  return { train: subset(set, inTrain), test: subset(set, inTest) };
}

/**
 * The class of a sample: its label, or the place of the largest number of a distribution.
 * @param {Tensor} labels @param {number} row @returns {number}
 */
export function classAt(labels, row) {
  const size = labels.dims.slice(1).reduce((a, b) => a * b, 1);
  if (size === 1) {
    const value = Number(labels.data[row]);
    if ((value | 0) !== value) throw new BbwError('E_INVALID_VALUE', `label ${row} is ${value}, no class`, { row, value });
    return value;
  }
  let best = 0;
  for (let i = 1; i < size; i++) if (labels.data[row * size + i] > labels.data[row * size + best]) best = i;
  return best;
}

/** The class of every sample. @param {DataSet} set @param {{signal?: AbortSignal}} [options] @returns {Promise<Int32Array>} */
export async function labelsOf(set, { signal } = {}) {
  const out = new Int32Array(set.length);
  for (let at = 0; at < set.length; at += PIECE) {
    signal?.throwIfAborted();
    const places = Uint32Array.from({ length: Math.min(PIECE, set.length - at) }, (_, i) => at + i);
    const { labels } = await set.read(places, { signal });
    if (labels === undefined) throw new BbwError('E_ARG', 'the set has no labels', { field: 'labels' });
    for (let row = 0; row < places.length; row++) out[at + row] = classAt(labels, row);
  }
  return out;
}

/**
 * How many samples each class has.
 * @param {DataSet} set @param {{signal?: AbortSignal}} [options] @returns {Promise<Uint32Array>} by class index
 * @throws {BbwError} E_ARG without labels, E_INVALID_VALUE for a label that is no class
 */
export async function countClasses(set, options) {
  const labels = await labelsOf(set, options);
  const most = labels.reduce((a, b) => Math.max(a, b), -1);
  const bad = labels.findIndex((label) => label < 0 || label >= CLASSES_MAX);
  if (bad >= 0) throw new BbwError('E_INVALID_VALUE', `label ${bad} is ${labels[bad]}, no class`, { row: bad, value: labels[bad], cap: CLASSES_MAX });
  const counts = new Uint32Array(most + 1);
  for (const label of labels) counts[label]++;
  return counts;
}
