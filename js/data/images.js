// images: pictures as tensors.
//
// `imageTensor` is arithmetic on pixels and gives the same bits everywhere. Only `decodeImage` needs a browser: it asks it to read a file.

import { BbwError } from '../errors.js';
import { listOf, wrongType } from '../internal/bytes.js';
import { checkPlaces, createBatch } from './batch.js';

/** @typedef {import('./batch.js').DataSet} DataSet @typedef {import('./batch.js').Tensor} Tensor @typedef {import('./batch.js').TypedArray} TypedArray */

/** Pixels as a canvas gives them: red, green, blue, opacity, row by row. @typedef {{width: number, height: number, data: Uint8ClampedArray | Uint8Array}} Pixels */

/**
 * @typedef {object} ImageOptions
 * @property {number} width @property {number} height  of the tensor
 * @property {1 | 3} [channels]  1: brightness (ITU-R BT.601); default 3
 * @property {'nchw' | 'nhwc'} [layout]  default 'nchw'
 * @property {'stretch' | 'cover' | 'contain'} [fit]  when the proportions differ: change them, cut off what is too much, or fill up with the background; default 'stretch'
 * @property {readonly [number, number, number]} [background]  behind what is not opaque; default white
 * @property {number} [scale]  default 1 / 255
 * @property {number | readonly number[]} [mean]  (value · scale - mean) / deviation, one number or one for each channel; default 0
 * @property {number | readonly number[]} [deviation]  default 1
 */

const SIDE_MAX = 2 ** 14;
const PIXELS_MAX = 2 ** 26;

/** @param {unknown} value @param {string} field */
function side(value, field) {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= SIDE_MAX) return value;
  throw new BbwError('E_ARG', `${field} must be a whole number from 1 to ${SIDE_MAX}`, { field, value });
}

/** @param {number | readonly number[]} value @param {string} field @param {number} channels */
function perChannel(value, field, channels) {
  const list = typeof value === 'number' ? Array(channels).fill(value) : [...listOf(value, field)];
  if (list.length !== channels || list.some((x) => !Number.isFinite(x))) throw new BbwError('E_ARG', `${field} must be a number, or one for each of ${channels} channels`, { field, expected: channels, got: list.length });
  return list;
}

/** @param {ImageOptions} options */
function checkOptions({ width, height, channels = 3, layout = 'nchw', fit = 'stretch', background = [255, 255, 255], scale = 1 / 255, mean = 0, deviation = 1 }) {
  side(width, 'width');
  side(height, 'height');
  if (channels !== 1 && channels !== 3) throw new BbwError('E_ARG', 'channels must be 1 or 3', { field: 'channels', value: channels });
  if (layout !== 'nchw' && layout !== 'nhwc') throw new BbwError('E_ARG', 'layout must be nchw or nhwc', { field: 'layout', value: layout });
  if (!['stretch', 'cover', 'contain'].includes(fit)) throw new BbwError('E_ARG', 'fit must be stretch, cover or contain', { field: 'fit', value: fit });
  if (!Number.isFinite(scale)) throw new BbwError('E_ARG', 'scale must be a number', { field: 'scale', value: scale });
  const deviations = perChannel(deviation, 'deviation', channels);
  if (deviations.includes(0)) throw new BbwError('E_ARG', 'deviation must not be 0', { field: 'deviation', value: 0 });
  return { width, height, channels, layout, fit, background: perChannel(background, 'background', 3), scale, means: perChannel(mean, 'mean', channels), deviations };
}

/**
 * For each of `count` places over the span from `begin` to `end` of a line: which source pixels count, and how much. A triangle as wide as a place, and at
 * least as wide as a pixel: averages where the picture shrinks, lies between neighbours where it grows.
 * @param {number} count @param {number} begin @param {number} end @param {number} length  pixels of the line
 */
function weightsOf(count, begin, end, length) {
  const step = (end - begin) / count, reach = Math.max(1, step);
  return Array.from({ length: count }, (_, i) => {
    const middle = begin + (i + 0.5) * step;
    const first = Math.max(0, Math.floor(middle - reach)), last = Math.min(length - 1, Math.ceil(middle + reach) - 1);
    const weights = [];
    let sum = 0;
    for (let k = first; k <= last; k++) {
      const weight = Math.max(0, 1 - Math.abs(k + 0.5 - middle) / reach);
      weights.push(weight);
      sum += weight;
    }
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Planes of numbers in another size. @param {Float64Array[]} planes @param {number} wide @param {number} high @param {{x0: number, x1: number, y0: number, y1: number}} part @param {number} width @param {number} height */
function resize(planes, wide, high, { x0, x1, y0, y1 }, width, height) {
  const across = weightsOf(width, x0, x1, wide), down = weightsOf(height, y0, y1, high);
  return planes.map((plane) => {
    const lines = new Float64Array(high * width);
    for (let row = 0; row < high; row++) {
      for (let column = 0; column < width; column++) {
        const { first, weights } = across[column];
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * plane[row * wide + first + k];
        lines[row * width + column] = sum;
      }
    }
    const out = new Float64Array(height * width);
    for (let row = 0; row < height; row++) {
      const { first, weights } = down[row];
      for (let column = 0; column < width; column++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * lines[(first + k) * width + column];
        out[row * width + column] = sum;
      }
    }
    return out;
  });
}

/** @param {Pixels} image @param {ReturnType<typeof checkOptions>} options @param {Float32Array} out @param {number} at */
function write(image, { width, height, channels, layout, fit, background, scale, means, deviations }, out, at) {
  if (image === null || typeof image !== 'object' || !(image.data instanceof Uint8ClampedArray || image.data instanceof Uint8Array)) throw wrongType('image', 'an object {width, height, data} with bytes', image);
  const wide = image.width, high = image.height, { data } = image;
  if (!Number.isInteger(wide) || !Number.isInteger(high) || wide < 1 || high < 1 || wide * high > PIXELS_MAX || data.length !== wide * high * 4) {
    throw new BbwError('E_SHAPE', `${data.length} bytes are no picture of ${wide} x ${high} pixels`, { width: wide, height: high, got: data.length, cap: PIXELS_MAX });
  }
  const planes = Array.from({ length: channels }, () => new Float64Array(wide * high));
  for (let i = 0; i < wide * high; i++) {
    const opacity = data[i * 4 + 3] / 255;
    const [r, g, b] = background.map((behind, c) => data[i * 4 + c] * opacity + behind * (1 - opacity));
    if (channels === 1) planes[0][i] = 0.299 * r + 0.587 * g + 0.114 * b;
    else [r, g, b].forEach((value, c) => { planes[c][i] = value; });
  }
  // Where the picture lies in the tensor, and which part of it.
  let part = { x0: 0, x1: wide, y0: 0, y1: high }, insideWidth = width, insideHeight = height;
  if (fit === 'cover') {
    const seen = Math.min(wide / width, high / height), w = seen * width, h = seen * height;
    part = { x0: (wide - w) / 2, x1: (wide + w) / 2, y0: (high - h) / 2, y1: (high + h) / 2 };
  } else if (fit === 'contain') {
    const grow = Math.min(width / wide, height / high);
    insideWidth = Math.max(1, Math.round(wide * grow));
    insideHeight = Math.max(1, Math.round(high * grow));
  }
  const small = resize(planes, wide, high, part, insideWidth, insideHeight);
  const left = (width - insideWidth) >> 1, top = (height - insideHeight) >> 1;
  const [r, g, b] = background, ground = channels === 1 ? [0.299 * r + 0.587 * g + 0.114 * b] : background;
  for (let c = 0; c < channels; c++) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const y = row - top, x = column - left;
        const value = y >= 0 && y < insideHeight && x >= 0 && x < insideWidth ? small[c][y * insideWidth + x] : ground[c];
        const place = layout === 'nchw' ? (c * height + row) * width + column : (row * width + column) * channels + c;
        out[at + place] = (value * scale - means[c]) / deviations[c];
      }
    }
  }
}

/** @param {ReturnType<typeof checkOptions>} options @param {number} count */
const dimsOf = ({ width, height, channels, layout }, count) => (layout === 'nchw' ? [count, channels, height, width] : [count, height, width, channels]);

/**
 * Pictures as one float32 tensor.
 * @param {Pixels | readonly Pixels[]} images @param {ImageOptions} options
 * @returns {Tensor & {data: Float32Array, dims: number[]}}
 * @throws {BbwError} E_ARG, E_SHAPE with the number of the picture
 */
export function imageTensor(images, options) {
  const checked = checkOptions(options), list = Array.isArray(images) ? images : [images];
  const size = checked.width * checked.height * checked.channels, data = new Float32Array(list.length * size);
  list.forEach((image, i) => {
    try {
      write(image, checked, data, i * size);
    } catch (error) {
      throw error instanceof BbwError ? new BbwError(error.code, `picture ${i}: ${error.message}`, { ...error.details, picture: i }) : error;
    }
  });
  return { data, dims: dimsOf(checked, list.length) };
}

/**
 * Pixels of a picture file (PNG, JPEG, whatever the browser reads), in a page or in a worker.
 * @param {Blob} blob @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<Pixels>}
 * @throws {BbwError} E_UNSUPPORTED where there is no browser, E_DECODE for what is no picture, E_LIMIT for more than 2^26 pixels
 */
export async function decodeImage(blob, { signal } = {}) {
  signal?.throwIfAborted();
  if (typeof createImageBitmap !== 'function' || typeof OffscreenCanvas !== 'function') throw new BbwError('E_UNSUPPORTED', 'only browsers decode pictures; give their pixels', { feature: 'createImageBitmap' });
  if (!(blob instanceof Blob)) throw wrongType('blob', 'a Blob', blob);
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  } catch (cause) {
    throw new BbwError('E_DECODE', 'the bytes are no picture that this browser reads', { type: blob.type, bytes: blob.size, cause });
  }
  try {
    signal?.throwIfAborted();
    const { width, height } = bitmap;
    if (width * height > PIXELS_MAX) throw new BbwError('E_LIMIT', `a picture of ${width} x ${height} pixels is too large`, { width, height, cap: PIXELS_MAX });
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    if (context === null) throw new BbwError('E_UNSUPPORTED', 'there is no canvas to read pixels from', { feature: 'OffscreenCanvas' });
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height);
  } finally {
    bitmap.close();
  }
}

/**
 * A set of pictures that are decoded and resized when they are read.
 * @param {{images: readonly (Blob | Pixels)[], labels?: TypedArray | Tensor, input?: string}} parts  `input`: the model's name for it, default 'x'
 * @param {ImageOptions} options
 * @returns {DataSet}
 * @throws {BbwError} E_ARG, E_SHAPE; while reading what `decodeImage` and `imageTensor` throw, with the number of the picture
 */
export function fromImages({ images, labels, input = 'x' }, options) {
  const list = [...listOf(images, 'images')];
  checkOptions(options);
  const rows = createBatch({ inputs: { row: Uint32Array.from(list, (_, i) => i) }, ...(labels !== undefined && { labels }) });
  return {
    length: list.length,
    async read(places, { signal } = {}) {
      checkPlaces(places, list.length);
      const pixels = await Promise.all(Array.from(places, async (place) => {
        const image = list[place];
        try {
          return typeof Blob === 'function' && image instanceof Blob ? await decodeImage(image, { signal }) : /** @type {Pixels} */ (image);
        } catch (error) {
          throw error instanceof BbwError ? new BbwError(error.code, `picture ${place}: ${error.message}`, { ...error.details, picture: place }) : error;
        }
      }));
      const tensor = imageTensor(pixels, options);
      const { labels: all } = rows;
      if (all === undefined) return createBatch({ inputs: { [input]: tensor } });
      const size = all.dims.slice(1).reduce((a, b) => a * b, 1);
      const own = new (/** @type {any} */ (all.data.constructor))(places.length * size);
      places.forEach((place, i) => own.set(all.data.subarray(place * size, (place + 1) * size), i * size));
      return createBatch({ inputs: { [input]: tensor }, labels: { ...all, data: own, dims: [places.length, ...all.dims.slice(1)] } });
    },
  };
}
