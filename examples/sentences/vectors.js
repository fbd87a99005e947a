// vectors: numbers for the meaning of words, learnt from which words stand together in short texts.
//
// The words that occur in a text are counted against each other, weighed by positive pointwise mutual information (how much more often do two
// words meet than chance would have it), and the matrix is reduced to its strongest directions by a randomized singular value decomposition
// (Halko, Martinsson, Tropp 2011). The same texts and the same seed give the same vectors.

import { createRandom } from '../../demo/random.js';

/** Rows of (column, value) pairs behind each other: row i holds places start[i] .. start[i + 1]. @typedef {{start: Uint32Array, column: Uint32Array, value: Float32Array}} Sparse */

/** Words that occur in more than this share of all texts count less in pairs: else "of" would be everybody's neighbour. */
const COMMON_SHARE = 1e-3;
/** Rare words are not overrated: the counts of words enter with this power (after Levy, Goldberg, Dagan 2015, here on both sides). */
const SMOOTHING = 0.875;

/**
 * @param {readonly (readonly number[])[]} texts  numbers of words, each once per text
 * @param {Float64Array} share  of each word in all texts, 0 for a word that shall be skipped
 * @returns {Sparse} square and symmetric
 */
export function pointwiseMutualInformation(texts, share, least = 0) {
  const size = share.length;
  const weight = Float64Array.from(share, (p) => (p === 0 ? 0 : Math.min(1, Math.sqrt(COMMON_SHARE / p))));
  /** Texts of each word. @type {number[][]} */
  const textsOf = Array.from({ length: size }, () => []);
  texts.forEach((text, i) => text.forEach((word) => textsOf[word].push(i)));
  const sums = new Float64Array(size);
  const row = new Float64Array(size);
  /** @param {number} word @returns {number[]} its neighbours; `row` holds their counts */
  function countRow(word) {
    const touched = [];
    for (const i of textsOf[word]) {
      const text = texts[i], unit = weight[word] / text.length; // a long text says less about each of its pairs
      for (const other of text) {
        if (other === word || weight[other] === 0) continue;
        if (row[other] === 0) touched.push(other);
        row[other] += unit * weight[other];
      }
    }
    return touched;
  }
  for (let word = 1; word < size; word++) {
    for (const other of countRow(word)) {
      sums[word] += row[other];
      row[other] = 0;
    }
  }
  const smooth = sums.map((n) => n ** SMOOTHING);
  const total = smooth.reduce((a, b) => a + b, 0) ** 2 / sums.reduce((a, b) => a + b, 0);
  const start = new Uint32Array(size + 1);
  /** @type {number[]} */
  const column = [], value = [];
  for (let word = 1; word < size; word++) {
    start[word] = column.length;
    for (const other of countRow(word)) {
      const information = Math.log((row[other] * total) / (smooth[word] * smooth[other]));
      if (information > least) {
        column.push(other);
        value.push(information - least);
      }
      row[other] = 0;
    }
  }
  start[size] = column.length;
  return { start, column: Uint32Array.from(column), value: Float32Array.from(value) };
}

/** Columns that are summed together: as many sums as registers hold, and a strip of the dense matrix that the cache holds. */
const STRIP = 8;

/** sparse . dense. @param {Sparse} a @param {Float32Array} b  rows of `width` numbers @param {number} width  a multiple of STRIP */
function times({ start, column, value }, b, width) {
  const rows = start.length - 1;
  const out = new Float32Array(rows * width), strip = new Float32Array(rows * STRIP);
  for (let first = 0; first < width; first += STRIP) {
    for (let i = 0; i < rows; i++) for (let j = 0; j < STRIP; j++) strip[i * STRIP + j] = b[i * width + first + j];
    for (let i = 0; i < rows; i++) {
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
      for (let at = start[i]; at < start[i + 1]; at++) {
        const v = value[at], from = column[at] * STRIP;
        s0 += v * strip[from];
        s1 += v * strip[from + 1];
        s2 += v * strip[from + 2];
        s3 += v * strip[from + 3];
        s4 += v * strip[from + 4];
        s5 += v * strip[from + 5];
        s6 += v * strip[from + 6];
        s7 += v * strip[from + 7];
      }
      out.set([s0, s1, s2, s3, s4, s5, s6, s7], i * width + first);
    }
  }
  return out;
}

/** Makes the columns orthonormal (Gram-Schmidt, twice). @param {Float32Array} q  rows of `width` @param {number} width */
function orthonormalize(q, width) {
  const rows = q.length / width;
  const columns = Array.from({ length: width }, (_, j) => Float64Array.from({ length: rows }, (_unused, i) => q[i * width + j]));
  const dot = (/** @type {Float64Array} */ a, /** @type {Float64Array} */ b) => { let s = 0; for (let i = 0; i < rows; i++) s += a[i] * b[i]; return s; };
  columns.forEach((own, j) => {
    for (let pass = 0; pass < 2; pass++) {
      for (let k = 0; k < j; k++) {
        const part = dot(own, columns[k]);
        for (let i = 0; i < rows; i++) own[i] -= part * columns[k][i];
      }
    }
    const norm = Math.sqrt(dot(own, own));
    for (let i = 0; i < rows; i++) q[i * width + j] = own[i] = norm > 1e-12 ? own[i] / norm : 0;
  });
}

/** Eigenvalues and vectors of a small symmetric matrix (cyclic Jacobi). @param {Float64Array} a  n x n, destroyed @param {number} n */
function eigen(a, n) {
  const vectors = new Float64Array(n * n);
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0, diagonal = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) if (i === j) diagonal += a[i * n + i] ** 2; else off += a[i * n + j] ** 2;
    if (off <= 1e-18 * diagonal) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (a[p * n + q] === 0) continue;
        const theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1), s = t * c;
        for (let k = 0; k < n; k++) {
          const x = a[k * n + p], y = a[k * n + q];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
        }
        for (let k = 0; k < n; k++) {
          const x = a[p * n + k], y = a[q * n + k];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
          const u = vectors[k * n + p], v = vectors[k * n + q];
          vectors[k * n + p] = c * u - s * v;
          vectors[k * n + q] = s * u + c * v;
        }
      }
    }
  }
  return { values: Float64Array.from({ length: n }, (_, i) => a[i * n + i]), vectors };
}

/**
 * The strongest eigenvectors of a symmetric matrix, each times a power of its eigenvalue.
 * @param {Sparse} matrix  square and symmetric
 * @param {number} width  how many directions are kept
 * @param {{seed?: number, extra?: number, rounds?: number, power?: number}} [options]  at least `extra` directions more while computing; `rounds` of power iteration
 * @returns {Float32Array} rows of `width`, strongest direction first
 */
export function reduce(matrix, width, { seed = 1, extra = 8, rounds = 3, power = 0.25 } = {}) {
  const size = matrix.start.length - 1, wide = Math.ceil((width + extra) / STRIP) * STRIP;
  const random = createRandom(seed);
  let q = times(matrix, Float32Array.from({ length: size * wide }, () => random() + random() + random() - 1.5), wide);
  for (let i = 0; i < rounds; i++) {
    orthonormalize(q, wide);
    q = times(matrix, q, wide);
  }
  orthonormalize(q, wide);
  // Within the span of q the matrix is small: qT matrix q.
  const image = times(matrix, q, wide);
  const small = new Float64Array(wide * wide);
  for (let r = 0; r < size; r++) {
    for (let i = 0; i < wide; i++) {
      const x = q[r * wide + i];
      for (let j = i; j < wide; j++) small[i * wide + j] += x * image[r * wide + j];
    }
  }
  for (let i = 0; i < wide; i++) for (let j = 0; j < i; j++) small[i * wide + j] = small[j * wide + i];
  const { values, vectors } = eigen(small, wide);
  const order = [...values.keys()].sort((x, y) => values[y] - values[x]).slice(0, width);
  const out = new Float32Array(size * width);
  order.forEach((from, to) => {
    const scale = Math.max(values[from], 0) ** power;
    for (let r = 0; r < size; r++) {
      let sum = 0;
      for (let k = 0; k < wide; k++) sum += q[r * wide + k] * vectors[k * wide + from];
      out[r * width + to] = sum * scale;
    }
  });
  return out;
}
