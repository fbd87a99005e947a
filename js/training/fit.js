// fit: the loop over epochs and batches.
//
// One event after each step. The loop can stop after any step and go on later, also in another process: with the position of the last event and the state of
// the trainer at that moment, the rest gives the same bits as if nothing had happened.

import { BbwError, isBbwError } from '../errors.js';
import { createLoader, isLoader } from '../data/loader.js';
import { createTurns } from './turns.js';

/** @typedef {import('../data/batch.js').Tensor} Tensor @typedef {import('../data/batch.js').Batch} Batch */

/**
 * What trains. `step` is synchronous: when it throws, the parameters are as before.
 * @typedef {object} Trainer
 * @property {(inputs: Record<string, Tensor>, labels: Tensor) => {loss: number}} step
 */

/**
 * Where a run is: JSON keeps it.
 * @typedef {object} Position
 * @property {1} version
 * @property {number} epoch @property {number} batch  the step that comes next
 * @property {number} seed @property {number} batchSize @property {boolean} shuffle @property {boolean} dropLast
 * @property {number | null} length  samples of the set; null for a stream
 * @property {number} lossSum @property {number} samples  of the epoch so far
 */

/**
 * @typedef {object} Progress
 * @property {number} epoch @property {number} batch  that was trained on, both from 0
 * @property {number} epochs @property {number | undefined} batches  of an epoch; undefined for the first epoch of a stream
 * @property {number} loss  of the batch
 * @property {number} meanLoss  over the samples of the epoch so far
 * @property {number} samples  trained on in this epoch
 * @property {boolean} isEpochEnd  true with the last batch of an epoch; for a stream it comes as an event of its own
 * @property {number | undefined} samplesPerSecond @property {number | undefined} etaMs  undefined while they cannot be known, and where the clock stands still
 * @property {Position} position  of the step that comes next
 */

/**
 * @typedef {import('../data/loader.js').LoaderOptions & {
 *   epochs?: number, from?: Position | undefined, signal?: AbortSignal | undefined, budgetMs?: number, budgetBatches?: number, onProgress?: (progress: Progress) => void, now?: () => number,
 * }} FitOptions  `shuffle` is true here unless you say otherwise; `epochs` in all, those before `from` included, default 1; `budgetMs` and `budgetBatches`: after
 *   how much time (default 12 ms) or how many steps (default 256) other tasks get their turn; `now`: a clock in ms, default performance.now
 */

/** Trainers that are in a loop. @type {WeakSet<object>} */
const busy = new WeakSet();

/** @param {unknown} value @param {string} field @param {number} least */
function atLeast(value, field, least) {
  if (typeof value !== 'number' || !(value >= least)) throw new BbwError('E_ARG', `${field} must be a number of at least ${least}`, { field, value });
}

/** @param {Position | undefined} from @param {Omit<Position, 'epoch' | 'batch' | 'lossSum' | 'samples'>} own @returns {Position} */
function startOf(from, own) {
  if (from === undefined) return { ...own, epoch: 0, batch: 0, lossSum: 0, samples: 0 };
  for (const field of /** @type {const} */ (['version', 'seed', 'batchSize', 'shuffle', 'dropLast', 'length'])) {
    if (from[field] !== own[field]) throw new BbwError('E_RESTORE_MISMATCH', `the position belongs to a run with another ${field}: ${from[field]}, here ${own[field]}`, { field, got: from[field], expected: own[field] });
  }
  for (const field of /** @type {const} */ (['epoch', 'batch', 'samples'])) {
    if (!Number.isSafeInteger(from[field]) || from[field] < 0) throw new BbwError('E_ARG', `from.${field} must be a whole number`, { field: `from.${field}`, value: from[field] });
  }
  atLeast(from.lossSum, 'from.lossSum', -Infinity);
  return { ...own, epoch: from.epoch, batch: from.batch, lossSum: from.lossSum, samples: from.samples };
}

/** The error of a step, with the place where it happened. @param {unknown} error @param {number} epoch @param {number} batch */
function placed(error, epoch, batch) {
  if (!isBbwError(error)) return error;
  return new BbwError(error.code, `epoch ${epoch}, batch ${batch}: ${error.message}`, { ...error.details, epoch, batch, cause: error });
}

/**
 * Trains. Leave the loop, or abort `signal`, to stop after the current step; what was learnt until then is in the trainer.
 * @param {Trainer} trainer
 * @param {Parameters<typeof createLoader>[0] | import('../data/loader.js').Loader} data  with a loader its own options hold
 * @param {FitOptions} [options]
 * @returns {AsyncGenerator<Progress, void, undefined>}
 * @throws {BbwError} E_ARG; E_EMPTY when there is nothing to train on; E_STATE when the trainer is in a loop already; E_RESTORE_MISMATCH when `from` belongs to
 *   another run; what the data and the step throw, the latter with `epoch` and `batch`; the reason of the signal
 */
export async function* fit(trainer, data, options = {}) {
  const { epochs = 1, from, signal, budgetMs = 12, budgetBatches = 256, onProgress, now = () => performance.now(), ...loading } = options;
  signal?.throwIfAborted();
  if (typeof trainer?.step !== 'function') throw new BbwError('E_ARG', 'trainer must have a method step', { field: 'trainer' });
  if (!Number.isSafeInteger(epochs) || epochs < 0) throw new BbwError('E_ARG', 'epochs must be a whole number', { field: 'epochs', value: epochs });
  atLeast(budgetMs, 'budgetMs', 0);
  atLeast(budgetBatches, 'budgetBatches', 1);
  const loader = isLoader(data) ? data : createLoader(data, { shuffle: true, ...loading });
  const { seed, batchSize, shuffle, dropLast, length, batchCount } = loader;
  const position = startOf(from, { version: 1, seed, batchSize, shuffle, dropLast, length: length ?? null });
  if (batchCount === 0) throw new BbwError('E_EMPTY', length === 0 ? 'the set has no samples' : `${length} samples do not fill a batch of ${batchSize}`, { length, batchSize });
  if (batchCount !== undefined && position.batch > batchCount) throw new BbwError('E_ARG', `from.batch is ${position.batch}, an epoch has ${batchCount}`, { field: 'from.batch', value: position.batch, cap: batchCount });
  if (busy.has(trainer)) throw new BbwError('E_STATE', 'the trainer is in another loop; end that one first');
  busy.add(trainer);
  const turns = createTurns({ budgetMs, budgetCount: budgetBatches, now });
  const begin = now();
  let trained = 0, steps = 0, batches = batchCount;

  /** @param {number} epoch @param {number} batch @param {number} loss @param {boolean} isEpochEnd @returns {Progress} */
  function report(epoch, batch, loss, isEpochEnd) {
    const ms = now() - begin, total = batches === undefined ? undefined : epochs * batches;
    const left = total === undefined || batches === undefined ? undefined : total - (epoch * batches + batch + 1);
    const progress = {
      epoch, batch, epochs, batches, loss, isEpochEnd, meanLoss: position.lossSum / position.samples, samples: position.samples,
      samplesPerSecond: ms > 0 ? trained / (ms / 1000) : undefined, etaMs: ms > 0 && left !== undefined ? (ms / steps) * left : undefined,
      position: isEpochEnd ? { ...position, epoch: epoch + 1, batch: 0, lossSum: 0, samples: 0 } : { ...position },
    };
    onProgress?.(progress);
    return progress;
  }

  try {
    for (; position.epoch < epochs; Object.assign(position, { epoch: position.epoch + 1, batch: 0, lossSum: 0, samples: 0 })) {
      const { epoch } = position;
      let loss = NaN;
      for await (const { inputs, labels, count } of loader.batches({ epoch, from: position.batch, signal })) {
        const { batch } = position;
        if (labels === undefined) throw new BbwError('E_ARG', `epoch ${epoch}, batch ${batch}: there are no labels`, { field: 'labels', epoch, batch });
        try {
          ({ loss } = trainer.step(inputs, labels));
        } catch (error) {
          throw placed(error, epoch, batch);
        }
        if (!Number.isFinite(loss)) throw new BbwError('E_NOT_FINITE', `epoch ${epoch}, batch ${batch}: the loss is ${loss}`, { epoch, batch, loss: String(loss) });
        position.batch++;
        position.lossSum += loss * count;
        position.samples += count;
        trained += count;
        steps++;
        yield report(epoch, batch, loss, position.batch === batchCount);
        await turns.next();
        signal?.throwIfAborted();
      }
      if (position.batch === 0) throw new BbwError('E_EMPTY', `epoch ${epoch}: there was no batch`, { epoch });
      if (batchCount === undefined) { // only now is it known that this was the last batch of the stream
        batches = position.batch;
        yield report(epoch, position.batch - 1, loss, true);
      }
    }
  } finally {
    busy.delete(trainer);
    turns.close();
  }
}
