// bb-wasm/data: where samples come from, and in which order.

export { chain, flip, noise, normalize, shift } from './augment.js';
export { fromArrays, fromBatches } from './arrays.js';
export { createBatch } from './batch.js';
export { dataSource } from './component.js';
export { fromCsv, readAll } from './csv.js';
export { csvRows } from './csv-rows.js';
export { decodeImage, fromImages, imageTensor } from './images.js';
export { deleteStoredSet, openStoredSet } from './indexeddb.js';
export { createLoader } from './loader.js';
export { createOrder, createRandom } from './random.js';
export { sampleSet } from './sample-set.js';
export { countClasses, labelsOf, split, subset } from './split.js';
export { fromIterable } from './stream.js';

/**
 * @typedef {import('./batch.js').Batch} Batch
 * @typedef {import('./batch.js').DataSet} DataSet
 * @typedef {import('./batch.js').DataStream} DataStream
 * @typedef {import('./batch.js').Tensor} Tensor
 * @typedef {import('./csv.js').CsvSchema} CsvSchema
 * @typedef {import('./csv.js').Column} Column
 * @typedef {import('./images.js').ImageOptions} ImageOptions
 * @typedef {import('./images.js').Pixels} Pixels
 * @typedef {import('./indexeddb.js').StoredSet} StoredSet
 * @typedef {import('./loader.js').Loader} Loader
 * @typedef {import('./loader.js').LoaderOptions} LoaderOptions
 * @typedef {import('./loader.js').Transform} Transform
 * @typedef {import('./random.js').Random} Random
 */
