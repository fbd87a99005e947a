// random: numbers and orders that follow from a key alone. Not for secrets.
//
// A key is a list of integers such as seed, epoch, batch. Nothing depends on what was drawn before under another key: that is what lets training go on
// in the middle of an epoch with the same numbers. Only integer arithmetic and additions, so that every engine gives the same bits.

import { BbwError } from '../errors.js';

/** Orders of up to so many places are drawn evenly among all orders, and kept in memory (4 bytes each). Longer ones are computed place by place. */
const TABLE_MAX = 2 ** 20;
/** Places are counted in 32 bits. */
export const ORDER_MAX = 2 ** 32;
const ROUNDS = 8;

/** A bijection of 32-bit words in which every bit of the input moves every bit of the output. @param {number} x */
function mix(x) {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** @param {unknown} value @param {string} [field] @returns {number} */
export function keyOf(value, field = 'seed') {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new BbwError('E_ARG', `${field} must be a whole number from 0 to 2^53 - 1`, { field, value });
}

/**
 * A generator for a key (sfc32).
 * @param {...number} key  whole numbers from 0 to 2^53 - 1
 */
export function createRandom(...key) {
  let a = 0x9e3779b9, b = key.length, c = 0x243f6a88, d = 1;
  const step = () => {
    const sum = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (const word of key) {
    keyOf(word, 'key');
    a ^= mix(word >>> 0);
    b ^= mix(Math.floor(word / 2 ** 32) + 0x7f4a7c15);
    for (let i = 0; i < 4; i++) step();
  }
  for (let i = 0; i < 12; i++) step();
  const random = {
    /** A whole number from 0 to 2^32 - 1. */
    u32: step,
    /** A number in [0, 1), of 32 bits. */
    next: () => step() / 2 ** 32,
    /** A whole number in [0, limit), each equally likely. @param {number} limit  from 1 to 2^32 */
    below(limit) {
      if (!Number.isSafeInteger(limit) || limit < 1 || limit > 2 ** 32) throw new BbwError('E_ARG', 'limit must be a whole number from 1 to 2^32', { value: limit });
      const fair = 2 ** 32 - (2 ** 32 % limit);
      let word = step();
      while (word >= fair) word = step();
      return word % limit;
    },
    /** Mean 0 and deviation 1, never beyond 6: the sum of twelve even numbers, because logarithms differ between engines. */
    normal() {
      let sum = -6;
      for (let i = 0; i < 12; i++) sum += random.next();
      return sum;
    },
  };
  return random;
}

/** @typedef {ReturnType<typeof createRandom>} Random */

/**
 * An order of the places 0 to length - 1.
 * @param {number} length  up to 2^32
 * @param {...number} key
 * @returns {(i: number) => number} which place comes i-th; each exactly once
 */
export function createOrder(length, ...key) {
  if (!Number.isSafeInteger(length) || length < 0 || length > ORDER_MAX) throw new BbwError('E_ARG', 'length must be a whole number from 0 to 2^32', { field: 'length', value: length });
  const random = createRandom(...key);
  return length <= TABLE_MAX ? tableOrder(length, random) : feistelOrder(length, random);
}

/** Fisher and Yates. @param {number} length @param {Random} random */
function tableOrder(length, random) {
  const places = new Uint32Array(length);
  for (let i = 0; i < length; i++) {
    const j = random.below(i + 1);
    places[i] = places[j];
    places[j] = i;
  }
  return (/** @type {number} */ i) => places[i];
}

/**
 * A Feistel network over the smallest square of a power of two that holds all places; what falls outside goes through again (at most four times on average).
 * @param {number} length @param {Random} random
 */
export function feistelOrder(length, random) {
  let half = 1;
  while (4 ** half < length) half++;
  const keys = Uint32Array.from({ length: ROUNDS }, () => random.u32()), low = 2 ** half;
  return (/** @type {number} */ i) => {
    let place = i;
    do {
      let left = Math.floor(place / low), right = place % low;
      for (const key of keys) [left, right] = [right, (left ^ (mix(right ^ key) >>> (32 - half))) >>> 0];
      place = left * low + right;
    } while (place >= length);
    return place;
  };
}
