// metrics: how good are the outputs of a model?
//
// Each metric is an accumulator: `add` takes the outputs and labels of one batch, `value` says what holds for all so far. Outputs are scores
// [n, classes] or numbers [n] or [n, 1]; labels are class indices [n], distributions [n, classes], or numbers. What does not fit changes nothing.

import { BbwError } from '../errors.js';
import { checkTensor, rowSize } from '../data/batch.js';
import { classAt } from '../data/split.js';

/** @typedef {import('../data/batch.js').Tensor} Tensor */

/** @template Value @typedef {{add: (outputs: Tensor, labels: Tensor) => void, readonly value: Value, readonly count: number, reset: () => void}} Metric */

/** Larger tables than any use. */
const CLASSES_MAX = 2 ** 12;

/** @param {Tensor} outputs @param {Tensor} labels @returns {number} samples */
function checkPair(outputs, labels) {
  checkTensor('outputs', outputs);
  checkTensor('labels', labels);
  const [count] = outputs.dims;
  if (labels.dims[0] !== count) throw new BbwError('E_SHAPE', `${count} outputs and ${labels.dims[0]} labels`, { expected: count, got: labels.dims[0] });
  return count;
}

/** The class with the highest score; the first of equal ones. @param {Tensor} outputs @param {number} row @param {number} size */
function bestAt({ data }, row, size) {
  let best = 0;
  for (let i = 0; i < size; i++) {
    const score = data[row * size + i];
    if (typeof score === 'number' && Number.isNaN(score)) throw new BbwError('E_NOT_FINITE', `output ${row} is not a number`, { row });
    if (score > data[row * size + best]) best = i;
  }
  return best;
}

/**
 * Pairs of the class that is right and the class that was found.
 * @param {Tensor} outputs @param {Tensor} labels @param {number} [classes] @returns {[right: number, found: number][]}
 */
function classPairs(outputs, labels, classes) {
  const count = checkPair(outputs, labels), size = rowSize(outputs);
  if (size < 2 || (classes !== undefined && size !== classes)) throw new BbwError('E_SHAPE', `outputs have ${size} scores, not ${classes ?? 'two or more'}`, { expected: classes, got: size });
  return Array.from({ length: count }, (_, row) => {
    const right = classAt(labels, row);
    if (right < 0 || right >= size) throw new BbwError('E_INVALID_VALUE', `label ${row} is ${right}; there are ${size} classes`, { row, value: right, cap: size });
    return [right, bestAt(outputs, row, size)];
  });
}

/** Pairs of numbers. @param {Tensor} outputs @param {Tensor} labels @returns {[output: number, label: number][]} */
function numberPairs(outputs, labels) {
  checkPair(outputs, labels);
  if (outputs.data.length !== labels.data.length) throw new BbwError('E_SHAPE', `${outputs.data.length} numbers and ${labels.data.length} labels`, { expected: outputs.data.length, got: labels.data.length });
  return Array.from(/** @type {ArrayLike<number>} */ (outputs.data), (x, i) => {
    const pair = /** @type {[number, number]} */ ([Number(x), Number(labels.data[i])]);
    if (!pair.every(Number.isFinite)) throw new BbwError('E_NOT_FINITE', `output or label ${i} is not finite`, { place: i });
    return pair;
  });
}

/** Share of samples whose highest score is that of their class; NaN while there is none. @returns {Metric<number>} */
export function createAccuracy() {
  let right = 0, count = 0;
  return {
    add(outputs, labels) {
      const pairs = classPairs(outputs, labels);
      right += pairs.filter(([a, b]) => a === b).length;
      count += pairs.length;
    },
    get value() { return right / count; },
    get count() { return count; },
    reset() { right = count = 0; },
  };
}

/**
 * How often each class was taken for each other. `support` is how many samples the class has; precision and recall are NaN where nothing was found or there is
 * nothing to find.
 * @typedef {{precision: number, recall: number, f1: number, support: number}} ClassReport
 * @typedef {{matrix: number[][], accuracy: number, classes: ClassReport[]}} Confusion  `matrix[right][found]`
 */

/** @param {number} classes @returns {Metric<Confusion>} */
export function createConfusion(classes) {
  if (!Number.isInteger(classes) || classes < 2 || classes > CLASSES_MAX) throw new BbwError('E_ARG', `classes must be a whole number from 2 to ${CLASSES_MAX}`, { field: 'classes', value: classes });
  const cells = new Float64Array(classes * classes);
  let count = 0;
  const sum = (/** @type {(i: number) => number} */ at) => { let total = 0; for (let i = 0; i < classes; i++) total += cells[at(i)]; return total; };
  return {
    add(outputs, labels) {
      const pairs = classPairs(outputs, labels, classes);
      for (const [right, found] of pairs) cells[right * classes + found]++;
      count += pairs.length;
    },
    get value() {
      return {
        matrix: Array.from({ length: classes }, (_, i) => Array.from(cells.subarray(i * classes, (i + 1) * classes))),
        accuracy: sum((i) => i * classes + i) / count,
        classes: Array.from({ length: classes }, (_, c) => {
          const hits = cells[c * classes + c], support = sum((i) => c * classes + i), found = sum((i) => i * classes + c);
          return { precision: hits / found, recall: hits / support, f1: (2 * hits) / (found + support), support };
        }),
      };
    },
    get count() { return count; },
    reset() {
      cells.fill(0);
      count = 0;
    },
  };
}

/**
 * Area under the ROC curve: the chance that a sample of the class scores higher than one of the others; equal scores count half. Exact, so that all scores are
 * kept (9 bytes each). NaN while one side is empty.
 * @param {{positive?: number}} [options]  the class that is looked for, default 1. With two or more scores per sample its score is taken less the highest of the others
 * @returns {Metric<number>}
 */
export function createAuc({ positive = 1 } = {}) {
  let scores = new Float64Array(1024), isPositive = new Uint8Array(1024), count = 0;
  return {
    add(outputs, labels) {
      const more = checkPair(outputs, labels), size = rowSize(outputs);
      if (size !== 1 && positive >= size) throw new BbwError('E_SHAPE', `outputs have ${size} scores, none for class ${positive}`, { expected: positive + 1, got: size });
      const own = new Float64Array(more), hits = new Uint8Array(more);
      for (let row = 0; row < more; row++) {
        own[row] = Number(outputs.data[size === 1 ? row : row * size + positive]);
        let other = -Infinity;
        for (let i = 0; i < size; i++) if (size > 1 && i !== positive) other = Math.max(other, Number(outputs.data[row * size + i]));
        if (size > 1) own[row] -= other;
        if (Number.isNaN(own[row])) throw new BbwError('E_NOT_FINITE', `output ${row} is not a number`, { row });
        hits[row] = classAt(labels, row) === positive ? 1 : 0;
      }
      if (count + more > scores.length) {
        const size = Math.max(2 * scores.length, count + more), grown = new Float64Array(size), flags = new Uint8Array(size);
        grown.set(scores.subarray(0, count));
        flags.set(isPositive.subarray(0, count));
        [scores, isPositive] = [grown, flags];
      }
      scores.set(own, count);
      isPositive.set(hits, count);
      count += more;
    },
    get value() {
      // Mann and Whitney: the sum of ranks of one side, equal scores at the middle of their ranks.
      const order = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => scores[a] - scores[b]);
      let ranks = 0, hits = 0;
      for (let i = 0; i < count;) {
        let end = i, own = 0;
        for (; end < count && scores[order[end]] === scores[order[i]]; end++) own += isPositive[order[end]];
        ranks += own * ((i + 1 + end) / 2);
        hits += own;
        i = end;
      }
      return (ranks - (hits * (hits + 1)) / 2) / (hits * (count - hits));
    },
    get count() { return count; },
    reset() { count = 0; },
  };
}

/** @param {(difference: number) => number} of @param {(mean: number) => number} finish @returns {Metric<number>} */
function createMean(of, finish) {
  let sum = 0, count = 0;
  return {
    add(outputs, labels) {
      const pairs = numberPairs(outputs, labels);
      for (const [output, label] of pairs) sum += of(output - label);
      count += pairs.length;
    },
    get value() { return finish(sum / count); },
    get count() { return count; },
    reset() { sum = count = 0; },
  };
}

/** Mean absolute error. */
export const createMae = () => createMean(Math.abs, (mean) => mean);
/** Root of the mean squared error. */
export const createRmse = () => createMean((d) => d * d, Math.sqrt);
