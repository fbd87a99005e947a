// share: shows what this tab trains on: some of its digits, and how many there are of each kind.

const SIDE = 28, GAP = 4, COLUMNS = 12, ROWS = 2;

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8Array} packed  u32 count, labels, pixels
 * @returns {string} such as "212 × 0, 190 × 3 and 198 × 7"
 */
export function showShare(canvas, packed) {
  const count = new DataView(packed.buffer, packed.byteOffset).getUint32(0, true);
  const labels = packed.subarray(4, 4 + count), pixels = packed.subarray(4 + count);
  const kinds = [...new Set(labels)].sort();
  const counts = kinds.map((kind) => `${labels.filter((label) => label === kind).length} × ${kind}`);
  const text = counts.length === 1 ? counts[0] : `${counts.slice(0, -1).join(', ')} and ${counts.at(-1)}`;

  canvas.width = COLUMNS * (SIDE + GAP) - GAP;
  canvas.height = ROWS * (SIDE + GAP) - GAP;
  canvas.setAttribute('aria-label', `Some of this tab's digits: ${text}`);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  function draw() {
    const ink = /** @type {RegExpMatchArray} */ (getComputedStyle(canvas).color.match(/\d+/g)).map(Number);
    for (let i = 0; i < Math.min(COLUMNS * ROWS, count); i++) {
      const image = context.createImageData(SIDE, SIDE);
      for (let p = 0; p < SIDE * SIDE; p++) image.data.set([ink[0], ink[1], ink[2], pixels[i * SIDE * SIDE + p]], p * 4);
      context.putImageData(image, (i % COLUMNS) * (SIDE + GAP), Math.floor(i / COLUMNS) * (SIDE + GAP));
    }
  }
  draw();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  return text;
}
