// augment: what is done to a batch before it is trained on. Each is a `transform` of a loader.
//
// Pictures are the last two dimensions of a tensor (rows, columns): [n, h, w] or [n, channels, h, w]. Nothing writes into the batch it is given.

import { BbwError } from '../errors.js';
import { rowSize } from './batch.js';

/** @typedef {import('./batch.js').Batch} Batch @typedef {import('./loader.js').Transform} Transform @typedef {import('./random.js').Random} Random */

/** @param {string} name @param {unknown} value @param {number} least @param {number} most @returns {number} */
function between(name, value, least, most) {
  if (typeof value === 'number' && value >= least && value <= most) return value;
  throw new BbwError('E_ARG', `${name} must be a number from ${least} to ${most}`, { field: name, value });
}

/** The only input, or the one that is named. @param {Batch} batch @param {string | undefined} input */
function inputOf(batch, input) {
  const names = Object.keys(batch.inputs);
  const name = input ?? (names.length === 1 ? names[0] : undefined);
  if (name === undefined) throw new BbwError('E_ARG', `say which input is meant: ${names.join(', ')}`, { field: 'input', expected: names });
  if (!Object.hasOwn(batch.inputs, name)) throw new BbwError('E_UNKNOWN_INPUT', `the batch has no input ${name}`, { input: name, expected: names });
  return { name, tensor: batch.inputs[name] };
}

/**
 * A transform of one input that makes new elements out of old, picture by picture.
 * @param {string | undefined} input
 * @param {(random: Random, height: number, width: number) => (from: any, to: any, at: number) => void} choose  is asked once for each sample, then
 *   called for each of its planes of height x width elements at `at`
 * @returns {Transform}
 */
const perPicture = (input, choose) => (batch, random) => {
  const { name, tensor } = inputOf(batch, input);
  if (tensor.dims.length < 3) throw new BbwError('E_SHAPE', `input ${name} holds no pictures: [${tensor.dims.join(', ')}]`, { input: name, got: [...tensor.dims] });
  const [height, width] = tensor.dims.slice(-2), size = rowSize(tensor), plane = height * width;
  const data = new (/** @type {any} */ (tensor.data.constructor))(tensor.data.length);
  for (let row = 0; row < batch.count; row++) {
    const draw = choose(random, height, width);
    for (let at = row * size; at < (row + 1) * size; at += plane) draw(tensor.data, data, at);
  }
  return { ...batch, inputs: { ...batch.inputs, [name]: { ...tensor, data } } };
};

/**
 * Moves each picture by up to `by` pixels in both directions; what comes in is zero.
 * @param {{by: number, input?: string}} options @returns {Transform}
 */
export function shift({ by, input }) {
  const most = Math.floor(between('by', by, 0, 2 ** 15));
  return perPicture(input, (random, height, width) => {
    const dx = random.below(2 * most + 1) - most, dy = random.below(2 * most + 1) - most;
    const left = Math.max(0, dx), right = Math.min(width, width + dx);
    return (from, to, at) => {
      if (left >= right) return;
      for (let row = Math.max(0, dy); row < Math.min(height, height + dy); row++) {
        const source = at + (row - dy) * width - dx;
        to.set(from.subarray(source + left, source + right), at + row * width + left);
      }
    };
  });
}

/**
 * Mirrors pictures, left and right or top and bottom, with a chance.
 * @param {{chance?: number, vertical?: boolean, input?: string}} [options]  default: half of them @returns {Transform}
 */
export function flip({ chance = 0.5, vertical = false, input } = {}) {
  between('chance', chance, 0, 1);
  return perPicture(input, (random, height, width) => {
    const isFlipped = random.next() < chance;
    return (from, to, at) => {
      for (let row = 0; row < height; row++) {
        const line = at + (isFlipped && vertical ? height - 1 - row : row) * width, out = at + row * width;
        if (!isFlipped || vertical) to.set(from.subarray(line, line + width), out);
        else for (let column = 0; column < width; column++) to[out + column] = from[line + width - 1 - column];
      }
    };
  });
}

/**
 * Adds noise to every element of a float input.
 * @param {{deviation: number, input?: string}} options @returns {Transform}
 */
export function noise({ deviation, input }) {
  between('deviation', deviation, 0, 3e38);
  return (batch, random) => {
    const { name, tensor } = inputOf(batch, input);
    if (!(tensor.data instanceof Float32Array)) throw new BbwError('E_ELEMENT_TYPE', `input ${name} must be a Float32Array`, { input: name, expected: 'float32', got: tensor.data.constructor.name });
    const data = tensor.data.map((x) => x + deviation * random.normal());
    return { ...batch, inputs: { ...batch.inputs, [name]: { ...tensor, data } } };
  };
}

/**
 * (x · scale - mean) / deviation as float32: bytes become what networks like. `mean` and `deviation` are one number, or one for each channel (dimension 1).
 * @param {{scale?: number, mean?: number | readonly number[], deviation?: number | readonly number[], input?: string}} [options] @returns {Transform}
 */
export function normalize({ scale = 1, mean = 0, deviation = 1, input } = {}) {
  const means = typeof mean === 'number' ? [mean] : [...mean], deviations = typeof deviation === 'number' ? [deviation] : [...deviation];
  means.forEach((m) => between('mean', m, -3e38, 3e38));
  deviations.forEach((d) => { if (between('deviation', d, 0, 3e38) === 0) throw new BbwError('E_ARG', 'deviation must not be 0', { field: 'deviation', value: 0 }); });
  between('scale', scale, -3e38, 3e38);
  return (batch) => {
    const { name, tensor } = inputOf(batch, input);
    const source = /** @type {any} */ (tensor.data);
    if (source instanceof BigInt64Array || source instanceof BigUint64Array) throw new BbwError('E_ELEMENT_TYPE', `input ${name} holds 64-bit integers`, { input: name });
    const count = Math.max(means.length, deviations.length), channels = count === 1 ? 1 : tensor.dims[1];
    for (const list of [means, deviations]) {
      if (list.length !== 1 && list.length !== channels) throw new BbwError('E_SHAPE', `input ${name} has ${channels} channels, mean or deviation ${list.length}`, { input: name, expected: channels, got: list.length });
    }
    const plane = rowSize(tensor) / channels, data = new Float32Array(source.length);
    for (let at = 0, c = 0; at < data.length; at += plane, c = (c + 1) % channels) {
      const m = means[c % means.length], d = deviations[c % deviations.length];
      for (let i = at; i < at + plane; i++) data[i] = (source[i] * scale - m) / d;
    }
    return { ...batch, inputs: { ...batch.inputs, [name]: { data, dims: [...tensor.dims] } } };
  };
}

/** One after the other. @param {...Transform} steps @returns {Transform} */
export const chain = (...steps) => async (batch, random) => {
  let result = batch;
  for (const step of steps) result = await step(result, random);
  return result;
};
