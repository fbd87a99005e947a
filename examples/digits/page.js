// page: a canvas to draw a digit on, read anew at every stroke.

import { loadRuntime } from '/js/runtime.js';
import { createSessionIn } from '/js/session.js';
import { amount, createBars, duration, fetchBytes, fetchText, get, say, sayError } from '/examples/common.js';
import { preprocess, SIDE } from './preprocess.js';

const BUILT = '/build/examples/digits';
const PIXELS = SIDE * SIDE, CLASSES = 10;
const PEN = 20; // of 280 units

const pad = /** @type {HTMLCanvasElement} */ (get('pad')), seen = /** @type {HTMLCanvasElement} */ (get('seen'));
const paper = /** @type {CanvasRenderingContext2D} */ (pad.getContext('2d', { willReadFrequently: true }));
const small = /** @type {CanvasRenderingContext2D} */ (seen.getContext('2d'));
const size = pad.width;

const bars = createBars(Array.from({ length: CLASSES }, (_, digit) => String(digit)));

/** @param {ArrayLike<number>} image  28 x 28, 0 to 1 @param {CanvasRenderingContext2D} context @param {number} side  drawn that large */
function showImage(image, context, side) {
  const picture = new ImageData(SIDE, SIDE);
  for (let i = 0; i < PIXELS; i++) picture.data[i * 4 + 3] = image[i] * 255; // black ink on a transparent ground
  context.clearRect(0, 0, side, side);
  if (side === SIDE) return context.putImageData(picture, 0, 0);
  const copy = document.createElement('canvas');
  copy.width = copy.height = SIDE;
  copy.getContext('2d')?.putImageData(picture, 0, 0);
  context.drawImage(copy, 0, 0, side, side);
}

/** How much ink lies on each pixel. */
function inkOf() {
  const { data } = paper.getImageData(0, 0, size, size);
  return Float32Array.from({ length: size * size }, (_, i) => data[i * 4 + 3] / 255);
}

function showNothing() {
  bars.clear();
  small.clearRect(0, 0, SIDE, SIDE);
}

/**
 * Calls `changed` while somebody draws and `ended` after each stroke.
 * @param {() => void} changed @param {() => void} ended
 */
function letDraw(changed, ended) {
  /** The pointer that draws, and where it was. @type {{id: number, x: number, y: number} | undefined} */
  let pen;
  const placeOf = (/** @type {PointerEvent} */ event) => {
    const box = pad.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * size, y: ((event.clientY - box.top) / box.height) * size };
  };
  const line = (/** @type {{x: number, y: number}} */ from, /** @type {{x: number, y: number}} */ to) => {
    paper.lineWidth = PEN;
    paper.lineCap = 'round';
    paper.beginPath();
    paper.moveTo(from.x, from.y);
    paper.lineTo(to.x, to.y);
    paper.stroke();
  };
  pad.addEventListener('pointerdown', (event) => {
    if (pen !== undefined || event.button !== 0) return; // one pen at a time
    pad.setPointerCapture(event.pointerId);
    pen = { id: event.pointerId, ...placeOf(event) };
    line(pen, pen);
    changed();
    event.preventDefault();
  });
  pad.addEventListener('pointermove', (event) => {
    if (pen === undefined || event.pointerId !== pen.id) return;
    // A fast hand makes several moves between two frames.
    for (const move of event.getCoalescedEvents?.() ?? []) {
      const next = placeOf(move);
      line(pen, next);
      Object.assign(pen, next);
    }
    const last = placeOf(event);
    line(pen, last);
    Object.assign(pen, last);
    changed();
  });
  for (const type of /** @type {const} */ (['pointerup', 'pointercancel'])) {
    pad.addEventListener(type, (event) => {
      if (event.pointerId !== pen?.id) return;
      pen = undefined;
      ended();
    });
  }
}

/** When the last file of this page was here. */
function lastByteAt() {
  const files = /** @type {PerformanceResourceTiming[]} */ (performance.getEntriesByType('resource'));
  return Math.max(...files.map((file) => file.responseEnd));
}

async function start() {
  // Asked for by its address, the module is compiled while it arrives.
  const [runtime, onnx, samples, about] = await Promise.all([
    loadRuntime('/build/wasm/bb.wasm'), fetchBytes(`${BUILT}/model.onnx`), fetchBytes(`${BUILT}/samples.bin`), fetchText(`${BUILT}/about.json`).then(JSON.parse),
  ]);
  const labels = samples.subarray(4, 4 + new DataView(samples.buffer).getUint32(0, true));
  const sampleAt = (/** @type {number} */ i) => Float32Array.from(samples.subarray(4 + labels.length + i * PIXELS, 4 + labels.length + (i + 1) * PIXELS), (p) => p / 255);

  const session = createSessionIn(runtime, onnx);
  const [input] = session.inputs, [output] = session.outputs;
  const dims = (input.dims ?? []).map((d) => (typeof d === 'number' ? d : 1)); // a row of pixels or an image, as the model wants it
  const read = (/** @type {Float32Array} */ image) => session.run({ [input.name]: { data: image, dims } })[output.name].data;
  const first = /** @type {Float32Array} */ (read(sampleAt(0)));
  // From the last byte that arrived to the first result is what the engine needs to start.
  const firstMs = performance.now() - lastByteAt();

  get('first').textContent = duration(firstMs);
  get('first').dataset.ms = String(firstMs);
  get('accuracy').textContent = `${(about.accuracy * 100).toFixed(1)} % of ${about.tested}`;
  get('size').textContent = amount(about.bytes);
  /** @param {Float32Array | undefined} image  as the network sees it @param {boolean} isSpoken */
  function show(image, isSpoken) {
    if (image === undefined) return showNothing();
    try {
      const at = performance.now();
      const probabilities = /** @type {Float32Array} */ (read(image));
      get('time').textContent = `${(performance.now() - at).toFixed(2)} ms`;
      showImage(image, small, SIDE);
      const best = bars.show(probabilities);
      if (isSpoken) say(`It reads ${best}, with ${(probabilities[best] * 100).toFixed(0)} %.`);
    } catch (error) {
      sayError(error);
    }
  }
  let isDue = false;
  letDraw(() => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => { // once per frame is enough for the eye
      isDue = false;
      show(preprocess(inkOf(), size), false);
    });
  }, () => show(preprocess(inkOf(), size), true));

  let shown = 0;
  const showSample = () => {
    const place = shown++ % labels.length;
    showImage(sampleAt(place), paper, size);
    show(sampleAt(place), true);
    say(`${get('status').textContent} An example that it was not trained on: a ${labels[place]}.`);
  };
  get('example').addEventListener('click', showSample);
  get('clear').addEventListener('click', () => {
    paper.clearRect(0, 0, size, size);
    showNothing();
    say('Empty. Draw a digit.');
  });
  for (const id of ['clear', 'example']) /** @type {HTMLButtonElement} */ (get(id)).disabled = false;
  bars.show(first);
  showSample();
  // The first stroke takes the example away.
  pad.addEventListener('pointerdown', () => paper.clearRect(0, 0, size, size), { once: true, capture: true });
  say(`Ready. Draw a digit. ${get('status').textContent}`);
}

try {
  await start();
} catch (error) {
  sayError(error);
}
