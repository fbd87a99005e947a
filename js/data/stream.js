// stream: data that comes in one order and is not kept.

import { BbwError } from '../errors.js';
import { checkAlike, checkBatch, gather, slice } from './batch.js';
import { createRandom } from './random.js';

/** @typedef {import('./batch.js').Batch} Batch @typedef {import('./batch.js').DataStream} DataStream */
/** @typedef {Iterable<Batch> | AsyncIterable<Batch>} Batches */

/** @param {any} value */
const iteratorOf = (value) => value?.[Symbol.asyncIterator]?.bind(value) ?? value?.[Symbol.iterator]?.bind(value);

/**
 * A stream of batches of any size.
 * @param {Batches | ((options: {signal?: AbortSignal}) => Batches | Promise<Batches>)} source  a function is called for each epoch; what can be read only once
 *   (a generator) is good for one epoch. A batch that was given must not change afterwards: its samples may be used later
 * @returns {DataStream}
 * @throws {BbwError} E_ARG; while reading: E_STATE when it was read before, E_ARG and E_SHAPE with the number of the batch
 */
export function fromIterable(source) {
  if (typeof source !== 'function' && iteratorOf(source) === undefined) throw new BbwError('E_ARG', 'source must be an iterable or a function that gives one', { field: 'source' });
  let wasRead = false;
  return {
    async* open({ signal } = {}) {
      const opened = typeof source === 'function' ? await source({ signal }) : source;
      const open = iteratorOf(opened);
      if (open === undefined) throw new BbwError('E_ARG', 'source must give an iterable', { field: 'source' });
      const iterator = open();
      // What is its own iterator cannot start anew.
      if (typeof source !== 'function' && iterator === source) {
        if (wasRead) throw new BbwError('E_STATE', 'the source was read before; give a function that opens it anew', { field: 'source' });
        wasRead = true;
      }
      /** @type {Batch | undefined} */
      let first;
      let count = 0, isOver = false;
      try {
        for (;;) {
          signal?.throwIfAborted();
          const { done, value } = await iterator.next();
          isOver = done === true;
          if (isOver) return;
          const batch = checkBatch(value, { batch: count });
          first ??= batch;
          checkAlike(batch, first, { batch: count++ });
          if (batch.count > 0) yield batch;
        }
      } finally {
        if (!isOver) await iterator.return?.(); // left early
      }
    },
  };
}

/**
 * The samples of a stream in batches of one size.
 * @param {AsyncIterable<Batch>} batches @param {number} size
 * @returns {AsyncGenerator<Batch, void, undefined>} the last may be smaller
 */
export async function* rebatch(batches, size) {
  /** @type {{batch: Batch, row: number}[]} */
  let held = [];
  for await (const batch of batches) {
    let row = 0;
    if (held.length === 0) for (; row + size <= batch.count; row += size) yield slice(batch, row, row + size);
    for (; row < batch.count; row++) {
      held.push({ batch, row });
      if (held.length < size) continue;
      yield gather(size, held[0].batch, (i) => held[i]);
      held = [];
    }
  }
  if (held.length > 0) yield gather(held.length, held[0].batch, (i) => held[i]);
}

/**
 * The samples one by one, mixed within a buffer: each stands in it until chance takes it out.
 * @param {AsyncIterable<Batch>} batches @param {number} bufferSize  samples that are held @param {readonly number[]} key
 * @returns {AsyncGenerator<Batch, void, undefined>}
 */
export async function* mix(batches, bufferSize, key) {
  const random = createRandom(...key);
  /** @type {Batch[]} */
  const held = [];
  for await (const batch of batches) {
    for (let row = 0; row < batch.count; row++) {
      const sample = gather(1, batch, () => ({ batch, row })); // a copy, so that one sample does not keep its whole batch
      if (held.length < bufferSize) {
        held.push(sample);
        continue;
      }
      const place = random.below(bufferSize);
      yield held[place];
      held[place] = sample;
    }
  }
  for (let left = held.length; left > 0; left--) {
    const place = random.below(left);
    yield held[place];
    held[place] = held[left - 1];
  }
}
