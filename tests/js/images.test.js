// Pixels become tensors: size, colour, background, proportions. Decoding is tested in browsers (tests/browser/data.test.js).
import assert from 'node:assert/strict';
import test from 'node:test';
import { decodeImage, fromImages, imageTensor } from '../../js/data/index.js';

const code = (name, details = {}) => (error) => {
  assert.equal(error.code, name, error.stack);
  for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value, key);
  return true;
};
/** Pixels from rows of [r, g, b, a]; a number is an opaque grey. */
function pixels(rows) {
  const flat = rows.flat().flatMap((p) => (typeof p === 'number' ? [p, p, p, 255] : [...p, ...(p.length < 4 ? [255] : [])]));
  return { width: rows[0].length, height: rows.length, data: Uint8ClampedArray.from(flat) };
}
const near = (got, want, tolerance = 1e-6) => {
  assert.equal(got.length, want.length);
  want.forEach((x, i) => assert.ok(Math.abs(got[i] - x) <= tolerance, `place ${i}: ${got[i]}, not ${x}`));
};
const grey = (rows, options) => imageTensor(pixels(rows), { width: rows[0].length, height: rows.length, channels: 1, scale: 1, ...options });

test('pixels of the same size are taken as they are, channels first or last, scaled and normalized', () => {
  const image = pixels([[[255, 0, 51], [0, 102, 0]]]);
  near(imageTensor(image, { width: 2, height: 1 }).data, [1, 0, 0, 0.4, 0.2, 0]);
  assert.deepEqual(imageTensor(image, { width: 2, height: 1 }).dims, [1, 3, 1, 2]);
  const last = imageTensor([image, image], { width: 2, height: 1, layout: 'nhwc', scale: 1 });
  assert.deepEqual([last.dims, [...last.data.subarray(6)]], [[2, 1, 2, 3], [255, 0, 51, 0, 102, 0]]);
  near(imageTensor(image, { width: 2, height: 1, mean: [0.5, 0.4, 0.2], deviation: [0.5, 1, 2] }).data, [1, -1, -0.4, 0, 0, -0.1]);
  near(imageTensor(pixels([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]]), { width: 4, height: 1, channels: 1 }).data, [0.299, 0.587, 0.114, 1]);
});

test('what is not opaque shows the background', () => {
  const image = pixels([[[0, 0, 0, 0], [0, 0, 0, 51], [100, 100, 100, 255]]]);
  near(imageTensor(image, { width: 3, height: 1, channels: 1, scale: 1 }).data, [255, 204, 100], 1e-4);
  near(imageTensor(image, { width: 3, height: 1, channels: 1, scale: 1, background: [10, 10, 10] }).data, [10, 8, 100], 1e-4);
});

test('smaller is the average, weighted by distance; larger lies between; a flat picture stays flat', () => {
  near(grey([[0, 100, 200, 100]], { width: 2 }).data, [(3 * 0 + 3 * 100 + 200) / 7, (100 + 3 * 200 + 3 * 100) / 7], 1e-4);
  near(grey([[0, 100]], { width: 4 }).data, [0, 25, 75, 100], 1e-4);
  near(grey([[0], [100]], { height: 4 }).data, [0, 25, 75, 100], 1e-4);
  for (const [width, height] of [[1, 1], [3, 7], [50, 2], [64, 64]]) near(grey(Array(20).fill(Array(30).fill(77)), { width, height }).data, Array(width * height).fill(77), 1e-4);
  // The mean of a picture hardly moves, whatever the size.
  const rows = Array.from({ length: 40 }, (_, y) => Array.from({ length: 40 }, (_, x) => (x * 7 + y * 13) % 256));
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
  assert.ok(Math.abs(mean(grey(rows, { width: 9, height: 11 }).data) - mean(rows.flat())) < 3);
});

test('cover cuts off evenly what is too much, contain fills up with the background', () => {
  near(grey([[1, 2, 3, 4], [5, 6, 7, 8]], { width: 2, height: 2, fit: 'cover' }).data, [2, 3, 6, 7]);
  near(grey([[1], [2], [3], [4]], { width: 2, height: 4, fit: 'contain', background: [9, 9, 9] }).data, [1, 9, 2, 9, 3, 9, 4, 9]);
  near(grey([[8, 8, 8, 8]], { width: 4, height: 4, fit: 'contain' }).data, [255, 255, 255, 255, 8, 8, 8, 8, 255, 255, 255, 255, 255, 255, 255, 255]);
});

test('bad pictures and options are refused, with the number of the picture', () => {
  const image = pixels([[1, 2]]), size = { width: 2, height: 1 };
  for (const bad of [{ width: 0 }, { width: 1.5 }, { height: 2 ** 15 }, { channels: 4 }, { layout: 'chw' }, { fit: 'fill' }, { scale: NaN }, { mean: [1] }, { deviation: 0 }, { background: [1] }]) {
    assert.throws(() => imageTensor(image, { ...size, ...bad }), code('E_ARG'), JSON.stringify(bad));
  }
  const odd = [null, {}, { width: 2, height: 1, data: [1, 2] }, { width: 2, height: 1, data: new Uint8Array(7) }, { width: -2, height: -1, data: new Uint8Array(8) }, { width: 0, height: 0, data: new Uint8Array() }];
  for (const other of odd) assert.throws(() => imageTensor([image, other], size), (error) => error.details.picture === 1 && ['E_ARG', 'E_SHAPE'].includes(error.code));
});

test('a set of pictures is resized when it is read; without a browser nothing is decoded', async () => {
  const images = [pixels([[10]]), pixels([[20, 20], [20, 20]]), pixels([[30]])];
  const set = fromImages({ images, labels: Int32Array.of(7, 8, 9), input: 'image' }, { width: 2, height: 1, channels: 1, scale: 1 });
  const batch = await set.read(Uint32Array.of(2, 1));
  near(batch.inputs.image.data, [30, 30, 20, 20], 1e-4);
  assert.deepEqual([batch.inputs.image.dims, batch.labels], [[2, 1, 1, 2], { data: Int32Array.of(9, 8), dims: [2] }]);
  await assert.rejects(set.read(Uint32Array.of(3)), code('E_ARG'));
  assert.throws(() => fromImages({ images, labels: Int32Array.of(7) }, { width: 1, height: 1 }), code('E_SHAPE'));
  await assert.rejects(decodeImage(new Blob(['x'])), code('E_UNSUPPORTED'));
  await assert.rejects(fromImages({ images: [new Blob(['x'])] }, { width: 1, height: 1 }).read(Uint32Array.of(0)), code('E_UNSUPPORTED', { picture: 0 }));
});
