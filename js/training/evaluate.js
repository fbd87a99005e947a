// evaluate: runs a model over data and feeds metrics.

import { BbwError } from '../errors.js';
import { createLoader, isLoader } from '../data/loader.js';
import { createTurns } from './turns.js';

/** @typedef {import('../data/batch.js').Tensor} Tensor */

/**
 * What answers: a trainer (`evaluate`) or a session (`run`).
 * @typedef {{evaluate: (inputs: Record<string, Tensor>) => {outputs: Record<string, Tensor>}} | {run: (inputs: Record<string, Tensor>) => Record<string, Tensor>}} Runner
 */

/**
 * @template {Record<string, import('./metrics.js').Metric<any>>} Metrics
 * @param {Runner} model
 * @param {Parameters<typeof createLoader>[0] | import('../data/loader.js').Loader} data
 * @param {Metrics} metrics  accumulators by name; they are reset first
 * @param {{output?: string, batchSize?: number, signal?: AbortSignal, budgetMs?: number, budgetBatches?: number, now?: () => number}} [options]  `output`: which of
 *   several the metrics look at
 * @returns {Promise<{[Name in keyof Metrics]: Metrics[Name]['value']}>}
 * @throws {BbwError} E_ARG, E_EMPTY, what data, model and metrics throw
 */
export async function evaluate(model, data, metrics, { output, batchSize = 256, signal, budgetMs = 12, budgetBatches = 256, now = () => performance.now() } = {}) {
  const run = (/** @type {Record<string, Tensor>} */ inputs) => ('evaluate' in model ? model.evaluate(inputs).outputs : model.run(inputs));
  const loader = isLoader(data) ? data : createLoader(data, { batchSize });
  const all = Object.values(metrics);
  all.forEach((metric) => metric.reset());
  const turns = createTurns({ budgetMs, budgetCount: budgetBatches, now });
  let count = 0;
  try {
    for await (const batch of loader.batches({ signal })) {
      if (batch.labels === undefined) throw new BbwError('E_ARG', 'there are no labels', { field: 'labels' });
      const outputs = run(batch.inputs), names = Object.keys(outputs);
      const name = output ?? (names.length === 1 ? names[0] : undefined);
      if (name === undefined || !Object.hasOwn(outputs, name)) throw new BbwError('E_ARG', `say which output is meant: ${names.join(', ')}`, { field: 'output', value: output, expected: names });
      for (const metric of all) metric.add(outputs[name], batch.labels);
      count += batch.count;
      await turns.next();
    }
  } finally {
    turns.close();
  }
  if (count === 0) throw new BbwError('E_EMPTY', 'there is nothing to evaluate on', {});
  return /** @type {any} */ (Object.fromEntries(Object.entries(metrics).map(([name, metric]) => [name, metric.value])));
}
