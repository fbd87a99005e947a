// model-file: how the shipped OnnxModel trains, written into its file, and what it tells while it does.

import { BbwError } from '../errors.js';
import { asBytes, listOf } from '../internal/bytes.js';
import { encodeModel } from '../onnx.js';
import { trainingFields } from '../trainer.js';
import { decodeValue, typeHash } from '../values.js';

/**
 * The file with the options as pairs of texts (`bbw.train.*` in its metadata), which the shipped OnnxModel reads; for other programs it is the same model. Options that the
 * file has already count no more.
 * @param {import('../internal/bytes.js').BytesLike} onnx
 * @param {Pick<import('../trainer.js').TrainerOptions, 'loss' | 'optimizer' | 'freeze' | 'seed'>} options
 * @returns {Uint8Array}
 * @throws {BbwError} E_ARG
 */
export function withTraining(onnx, options) {
  const file = asBytes(onnx), fields = trainingFields(options), freeze = listOf(options.freeze ?? [], 'freeze');
  const odd = freeze.find((name) => typeof name !== 'string' || name === '' || name.includes('\n'));
  if (odd !== undefined) throw new BbwError('E_ARG', 'freeze must be names without line breaks', { field: 'freeze', value: odd });
  const entries = Object.entries({ ...fields, ignored: fields.ignored ?? '', class_weights: [...fields.class_weights].map(String).join('\n'), freeze: freeze.join('\n') });
  const metadataProps = entries.map(([name, value]) => ({ // all of them: what the file has of one before counts no more
    key: `bbw.train.${name}`, value: String(typeof value === 'number' && !Number.isInteger(value) ? Math.fround(value) : value),
  }));
  const rest = encodeModel({ metadataProps }); // two messages, one behind the other, are one with the fields of both
  const out = new Uint8Array(file.length + rest.length);
  out.set(file);
  out.set(rest, file.length);
  return out;
}

/**
 * An event of a training in slices (`progress` of `slots.model().train`): the next batch, and how fast it goes by the node's clock; 0 where that stands still.
 * @param {import('../internal/bytes.js').BytesLike} valueBytes  of the step AppEvent
 * @returns {{epoch: number, epochs: number, batch: number, batches: number, loss: number, samplesPerSecond: number, etaMs: number}}
 * @throws {BbwError} E_DECODE
 */
export function decodeProgress(valueBytes) {
  const value = decodeValue(typeHash('CpuTensor'), valueBytes);
  if (value.type !== 'CpuTensor' || value.data.length !== 7) throw new BbwError('E_DECODE', 'this is no progress of a training', {});
  const [epoch, epochs, batch, batches, loss, samplesPerSecond, left] = value.data;
  return { epoch, epochs, batch, batches, loss, samplesPerSecond, etaMs: left * 1000 };
}
