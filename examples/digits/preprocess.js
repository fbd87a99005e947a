// preprocess: makes of a drawing what the network has learnt from.
//
// As in MNIST: the ink is cut out, scaled to fit 20 x 20 with its proportions kept, and laid into 28 x 28 so that its centre of mass is in the middle.
// Pixels are 0 (paper) to 1 (ink). Pure, so that tests run it without a page.

export const SIDE = 28;
const BOX = 20;
/** Paler pixels are paper. */
const INK_MIN = 0.1;

/**
 * @param {ArrayLike<number>} ink  `size` rows of `size` numbers from 0 to 1 @param {number} size
 * @returns {Float32Array | undefined} 28 x 28, or undefined when there is no ink
 */
export function preprocess(ink, size) {
  let left = size, top = size, right = -1, bottom = -1;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (ink[y * size + x] < INK_MIN) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  if (right < 0) return undefined;
  const wide = right - left + 1, high = bottom - top + 1, scale = BOX / Math.max(wide, high);
  // Every source pixel gives its ink to the pixels that it covers: the average over the area, at any scale.
  const columns = Math.max(1, Math.round(wide * scale)), rows = Math.max(1, Math.round(high * scale));
  const small = new Float64Array(columns * rows);
  for (let row = 0; row < rows; row++) {
    const y0 = top + (row * high) / rows, y1 = top + ((row + 1) * high) / rows;
    for (let column = 0; column < columns; column++) {
      const x0 = left + (column * wide) / columns, x1 = left + ((column + 1) * wide) / columns;
      let sum = 0;
      for (let y = Math.floor(y0); y < y1; y++) {
        const part = Math.min(y + 1, y1) - Math.max(y, y0);
        for (let x = Math.floor(x0); x < x1; x++) sum += part * (Math.min(x + 1, x1) - Math.max(x, x0)) * ink[y * size + x];
      }
      small[row * columns + column] = sum / ((y1 - y0) * (x1 - x0));
    }
  }
  let mass = 0, sumX = 0, sumY = 0;
  small.forEach((p, i) => {
    mass += p;
    sumX += p * (i % columns);
    sumY += p * Math.floor(i / columns);
  });
  const moveX = Math.round((SIDE - 1) / 2 - sumX / mass), moveY = Math.round((SIDE - 1) / 2 - sumY / mass);
  const out = new Float32Array(SIDE * SIDE);
  small.forEach((p, i) => {
    const x = (i % columns) + moveX, y = Math.floor(i / columns) + moveY;
    if (x >= 0 && x < SIDE && y >= 0 && y < SIDE) out[y * SIDE + x] = Math.min(1, p);
  });
  return out;
}
