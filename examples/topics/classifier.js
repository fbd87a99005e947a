// classifier: puts a layer of classes behind the sentence encoder, and trains it and the encoder's last layer.
//
// The encoder (examples/sentences/encoder.js) is a standard ONNX file. Its word vectors stay as they are; its last matrix and the new layer learn. Runs wherever the
// package runs: Node, a page, a worker, an edge worker.

import { ATTRIBUTE, createTrainerIn, DATA_TYPE, decodeModel, encodeModel } from '../../js/index.js';
import { createRandom, fromArrays } from '../../js/data/index.js';
import { createAccuracy, createConfusion, evaluate } from '../../js/training/index.js';
import { CLASSES, LENGTH } from './dataset.js';

/** Initializers of the encoder that do not learn, and the one that does unless only the new layer shall. */
const FROZEN = ['words.*', 'one', 'tiny'], LAST = 'projection';

/** The encoder with a score for each class as its only output. @param {Uint8Array} encoder  an ONNX file @param {{seed?: number}} [options] @returns {Uint8Array} */
export function withClasses(encoder, { seed = 1 } = {}) {
  const model = decodeModel(encoder), graph = model.graph;
  const [output] = graph?.output ?? [];
  const width = Number(output?.type?.tensorType?.shape?.dim?.[1]?.dimValue);
  if (graph === undefined || output === undefined || !(width > 0)) throw new Error('this is no sentence encoder');
  const random = createRandom(seed), range = Math.sqrt(6 / (width + CLASSES.length)); // Glorot
  /** @param {string} name @param {number[]} dims @param {Float32Array} data */
  const floats = (name, dims, data) => ({ name, dims, dataType: DATA_TYPE.FLOAT, rawData: new Uint8Array(data.buffer) });
  graph.initializer?.push(
    floats('classes.weight', [width, CLASSES.length], Float32Array.from({ length: width * CLASSES.length }, () => (2 * random.next() - 1) * range)),
    floats('classes.bias', [CLASSES.length], new Float32Array(CLASSES.length)),
  );
  graph.node?.push({ opType: 'Gemm', name: '/classes/Gemm', input: [output.name, 'classes.weight', 'classes.bias'], output: ['scores'], attribute: [{ name: 'alpha', type: ATTRIBUTE.FLOAT, f: 8 }] });
  graph.output = [{ name: 'scores', type: { tensorType: { elemType: DATA_TYPE.FLOAT, shape: { dim: [{ dimParam: 'batch' }, { dimValue: CLASSES.length }] } } } }];
  return encodeModel(model);
}

/** Texts as samples of the model. @param {import('./dataset.js').Texts} texts */
export function samplesOf({ count, words, labels }) {
  const dims = [count, LENGTH];
  return fromArrays({
    inputs: { input_ids: { data: BigInt64Array.from(words, BigInt), dims }, attention_mask: { data: BigInt64Array.from(words, (word) => (word === 0 ? 0n : 1n)), dims } },
    labels: BigInt64Array.from(labels, BigInt),
  });
}

/**
 * @param {object} options
 * @param {import('../../js/runtime.js').Runtime} options.runtime
 * @param {Uint8Array} options.encoder @param {import('./dataset.js').Texts} options.train @param {import('./dataset.js').Texts} options.test
 * @param {number} [options.epochs] @param {boolean} [options.onlyClasses]  the encoder stays as it is altogether
 * @param {AbortSignal} [options.signal] @param {(progress: import('../../js/training/fit.js').Progress) => void} [options.onProgress]
 */
export async function trainTopics({ runtime, encoder, train, test, epochs = 8, onlyClasses = false, signal, onProgress }) {
  const trainer = createTrainerIn(runtime, withClasses(encoder), {
    loss: 'softmax-cross-entropy', optimizer: { type: 'adamw', lr: 0.003, weightDecay: 0.01 }, freeze: [...FROZEN, ...(onlyClasses ? [LAST] : [])],
  });
  try {
    const held = samplesOf(test), metrics = () => ({ accuracy: createAccuracy(), confusion: createConfusion(CLASSES.length) });
    const before = await evaluate(trainer, held, metrics(), { signal });
    for await (const progress of trainer.fit(samplesOf(train), { epochs, batchSize: 32, seed: 1, signal })) onProgress?.(progress);
    const after = await evaluate(trainer, held, metrics(), { signal });
    return { model: trainer.export(), before: before.accuracy, accuracy: after.accuracy, confusion: after.confusion, steps: trainer.stats.steps };
  } finally {
    trainer.free();
  }
}
