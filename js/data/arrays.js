// arrays: sets that are in memory.

import { BbwError } from '../errors.js';
import { checkAlike, checkBatch, checkPlaces, createBatch, gather } from './batch.js';

/** @typedef {import('./batch.js').Batch} Batch @typedef {import('./batch.js').DataSet} DataSet */

/**
 * A set of tensors or typed arrays; they are used, not copied.
 * @param {Parameters<typeof createBatch>[0]} parts  a typed array without a shape is one number for each sample
 * @returns {DataSet}
 * @throws {BbwError} E_ARG, E_SHAPE
 */
export function fromArrays(parts) {
  const whole = createBatch(parts);
  return {
    length: whole.count,
    read(places) {
      checkPlaces(places, whole.count);
      return gather(places.length, whole, (i) => ({ batch: whole, row: places[i] }));
    },
  };
}

/**
 * A set of batches that are there already; they need not have equally many samples.
 * @param {readonly Batch[]} batches @returns {DataSet}
 * @throws {BbwError} E_EMPTY when there is none; E_ARG and E_SHAPE with the number of the batch
 */
export function fromBatches(batches) {
  if (!Array.isArray(batches) || batches.length === 0) throw new BbwError('E_EMPTY', 'there are no batches', { field: 'batches' });
  const list = batches.map((batch, i) => checkBatch(batch, { batch: i }));
  const starts = new Float64Array(list.length + 1);
  list.forEach((batch, i) => {
    checkAlike(batch, list[0], { batch: i });
    starts[i + 1] = starts[i] + batch.count;
  });
  const length = starts[list.length];
  /** The batch that holds a place: the last that starts at or before it. @param {number} place */
  function find(place) {
    let low = 0, high = list.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle] <= place) low = middle;
      else high = middle;
    }
    return { batch: list[low], row: place - starts[low] };
  }
  return {
    length,
    read(places) {
      checkPlaces(places, length);
      return gather(places.length, list[0], (i) => find(places[i]));
    },
  };
}
