// sample-set: the configuration of the shipped component SampleSet, a data source in the memory of the engine.

import { BbwError } from '../errors.js';
import { composite, encodeValue, tensor, u64 } from '../values.js';

/** @typedef {{data: Float32Array, dims?: readonly number[]}} Floats */

/**
 * The bytes for `config` of `install`. NextBatch gives rows of `x` and `labels`, after the last ones a batch without rows, until Reset.
 * @param {{x: Floats, labels?: Floats}} parts  the first dimension of both counts the samples
 * @param {{batchSize?: number, seed?: number | bigint}} [options]  without a batch size a batch is the whole set; without a seed the order stays
 * @returns {Uint8Array}
 * @throws {BbwError} E_ARG, E_SHAPE
 */
export function sampleSet({ x, labels }, { batchSize = 0, seed } = {}) {
  const samples = tensor(x.data, x.dims), own = labels === undefined ? tensor([]) : tensor(labels.data, labels.dims);
  if (samples.dims.length === 0) throw new BbwError('E_SHAPE', 'x needs a dimension of samples', { input: 'x' });
  if (labels !== undefined && own.dims[0] !== samples.dims[0]) {
    throw new BbwError('E_SHAPE', `labels has ${own.dims[0]} samples, x has ${samples.dims[0]}`, { input: 'labels', expected: samples.dims[0], got: own.dims[0] });
  }
  return encodeValue(composite([samples, own, u64(batchSize), ...(seed === undefined ? [] : [u64(seed)])])).payload;
}
