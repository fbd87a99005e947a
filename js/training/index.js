// bb-wasm/training: the loop over epochs, and how good the result is.

export { trainableModel } from './component.js';
export { evaluate } from './evaluate.js';
export { fit } from './fit.js';
export { decodeProgress, withTraining } from './model-file.js';
export { createAccuracy, createAuc, createConfusion, createMae, createRmse } from './metrics.js';

/**
 * @typedef {import('./fit.js').FitOptions} FitOptions
 * @typedef {import('./fit.js').Position} Position
 * @typedef {import('./fit.js').Progress} Progress
 * @typedef {import('./metrics.js').ClassReport} ClassReport
 * @typedef {import('./metrics.js').Confusion} Confusion
 */
/** @template Value @typedef {import('./metrics.js').Metric<Value>} Metric */
