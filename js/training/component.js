// component: a trainer as a part of a node.
//
// `trainableModel` makes a component of the role Model of any ONNX file whose operators have gradients, with any loss and optimizer of `createTrainer`. Training
// takes its turns: the node goes on polling while it runs, and it stops when nobody waits for the answer any more.
//
//   Forward(x) -> y                        x holds whole samples; it takes the shape that the model declares
//   Backward(gradient of y) -> gradient    of the parameters, for the last Forward, while they have not changed since
//   ComputeLoss(y, labels) -> loss
//   Params() -> parameters                 one tensor of rank 1
//   LoadParameters(p), ApplyDelta(d)       loading also begins the optimizer anew: its state belongs to the parameters that are gone
//   Train(x, labels) -> loss, samples      attributes epochs, batch_size, seed (and the number of calls so far, so that each has an order of its own); the learning
//                                          rate is the optimizer's, the attribute learning_rate is not asked
//   Evaluate(x, labels) -> loss, accuracy

import { defineComponent } from '../component.js';
import { BbwError } from '../errors.js';
import { Reader, Writer } from '../internal/bytes.js';
import { createTrainerIn } from '../trainer.js';
import { decodeValue, samples as sampleCount, tensor, trigger, typeHash } from '../values.js';
import { fromArrays } from '../data/arrays.js';
import { createLoader } from '../data/loader.js';
import { fit } from './fit.js';
import { createAccuracy } from './metrics.js';
import { createTurns } from './turns.js';

/** @typedef {import('../values.js').Value} Value @typedef {import('../data/batch.js').Tensor} Tensor @typedef {import('../component.js').CallContext} CallContext */

const STATE_VERSION = 1;
/** Samples that run at once where nothing is trained. */
const PIECE = 256;
/** Samples that Forward keeps for Backward at most. */
const KEPT_MAX = 1024;

/** What is left when the methods of a node that is gone are collected. @type {FinalizationRegistry<{free: () => void}> | undefined} */
let leftovers;
/** @param {object} owner @param {{free: () => void}} trainer */
function freeWith(owner, trainer) {
  if (typeof FinalizationRegistry !== 'function') return;
  leftovers ??= new FinalizationRegistry((left) => left.free());
  leftovers.register(owner, trainer);
}

/** @param {Value | undefined} value @param {string} name @returns {{data: Float32Array, dims: readonly number[]}} */
function floatsOf(value, name) {
  if (value?.type === 'CpuTensor' || value?.type === 'BoxedCpuTensor') return value;
  if (value?.type === 'F32Slice') return { data: value.data, dims: [value.data.length] };
  if (value?.type === 'Bytes' || value?.type === 'ByteSlice') return floatsOf(decodeValue(typeHash('CpuTensor'), value.bytes), name); // what the host has delivered
  throw new BbwError('E_TYPE_MISMATCH', `${name} must be a tensor`, { input: name, got: value?.type });
}

/**
 * @param {import('../runtime.js').Runtime} runtime  where the model lives: not that of the node, which is in the middle of a call when it asks for the state
 * @param {import('../internal/bytes.js').BytesLike} onnx
 * @param {Omit<import('../trainer.js').TrainerOptions, 'runtime' | 'wasm' | 'outputs'> &
 *   {typeName?: string, budgetMs?: number, budgetBatches?: number, onProgress?: (progress: import('./fit.js').Progress) => void}} options
 *   `typeName`: the name that bindings use, default 'TrainableModel'; the budgets are those of `fit`, `onProgress` sees every step of every training
 * @returns {import('../component.js').ComponentType}
 * @throws {BbwError} what createTrainer throws; E_UNSUPPORTED for a model of several inputs
 */
export function trainableModel(runtime, onnx, { typeName = 'TrainableModel', budgetMs = 12, budgetBatches = 64, onProgress, ...options }) {
  const make = () => createTrainerIn(runtime, onnx, { ...options, backward: true });
  const probe = make(); // what is wrong with the model is said now, not when a node is installed
  const { inputs } = probe;
  probe.free();
  const [input] = inputs;
  if (inputs.length !== 1) throw new BbwError('E_UNSUPPORTED', `the model has ${inputs.length} inputs; a Model takes one`, { inputs: inputs.map(({ name }) => name) });
  const shape = input.dims?.slice(1).every((d) => typeof d === 'number') ? /** @type {number[]} */ (input.dims.slice(1)) : undefined;
  const isClassifier = (typeof options.loss === 'string' ? options.loss : options.loss?.type) === 'softmax-cross-entropy';

  /** Samples in the shape that the model declares. @param {Value | undefined} value @returns {Tensor} */
  function toSamples(value) {
    const { data, dims } = floatsOf(value, 'x');
    if (shape === undefined) return { data, dims };
    const size = shape.reduce((a, b) => a * b, 1);
    if (size === 0 || data.length === 0 || data.length % size !== 0) throw new BbwError('E_SHAPE', `${data.length} numbers are no samples of [${shape.join(', ')}]`, { input: 'x', expected: shape, got: [...dims] });
    return { data, dims: [data.length / size, ...shape] };
  }

  /** @param {Value | undefined} value @param {number} count @returns {Tensor} */
  function toLabels(value, count) {
    const { data, dims } = floatsOf(value, 'labels');
    if (!isClassifier || data.length !== count) return { data, dims: dims[0] === count ? dims : [count, data.length / count] };
    const odd = data.findIndex((label) => (label | 0) !== label);
    if (odd >= 0) throw new BbwError('E_INVALID_VALUE', `label ${odd} is ${data[odd]}, no class`, { row: odd, value: data[odd] });
    return { data: Int32Array.from(data), dims: [count] };
  }

  /** @param {readonly (Value | undefined)[]} given */
  function toSet([x, labels]) {
    const samples = toSamples(x);
    return fromArrays({ inputs: { [input.name]: samples }, labels: toLabels(labels, samples.dims[0]) });
  }

  return defineComponent({
    typeName, role: 'Model',
    create() {
      const trainer = make(), fresh = trainer.saveState(), output = options.loss && typeof options.loss === 'object' ? options.loss.output : undefined;
      const name = output ?? trainer.outputs[0].name;
      let calls = 0;
      /** What went into the last Forward, for Backward. @type {Tensor | undefined} */
      let kept;
      /** One after the other. @type {Promise<unknown>} */
      let last = Promise.resolve();
      /** @template T @param {() => T | Promise<T>} work @returns {Promise<T>} */
      function inTurn(work) {
        const done = last.then(work);
        last = done.catch(() => {});
        return done;
      }
      const number = (/** @type {CallContext} */ { attributes }, /** @type {string} */ field, /** @type {number} */ otherwise) => (Object.hasOwn(attributes, field) ? Number(attributes[field].i) : otherwise);

      const methods = {
        /** @param {(Value | undefined)[]} given */
        forward: ([x]) => inTurn(() => {
          const samples = toSamples(x), { data, dims } = trainer.evaluate({ [input.name]: samples }).outputs[name];
          kept = samples.dims[0] <= KEPT_MAX ? { data: samples.data.slice(), dims: samples.dims } : undefined;
          return tensor(/** @type {Float32Array} */ (data), dims);
        }),
        /** @param {(Value | undefined)[]} given */
        backward: ([slope]) => inTurn(() => {
          if (kept === undefined) throw new BbwError('E_STATE', 'no Forward with these parameters came before');
          return tensor(trainer.backward({ [input.name]: kept }, floatsOf(slope, 'gradient')));
        }),
        /** @param {(Value | undefined)[]} given */
        computeLoss: ([y, labels]) => inTurn(() => {
          const prediction = floatsOf(y, 'y');
          return trainer.lossOf(prediction, toLabels(labels, prediction.dims[0]));
        }),
        params: () => inTurn(() => trainer.parameters()),
        /** @param {(Value | undefined)[]} given */
        loadParameters: ([p]) => inTurn(() => {
          trainer.load(floatsOf(p, 'parameters').data);
          trainer.loadState(fresh);
          kept = undefined;
          return trigger();
        }),
        /** @param {(Value | undefined)[]} given */
        applyDelta: ([d]) => inTurn(() => {
          trainer.add(floatsOf(d, 'delta').data);
          kept = undefined;
          return trigger();
        }),
        /** @param {(Value | undefined)[]} given @param {CallContext} context */
        train(given, context) {
          const { signal } = context;
          return inTurn(async () => {
            kept = undefined;
            const data = toSet(given), seed = number(context, 'seed', 0) + calls;
            let loss = NaN;
            for await (const { meanLoss } of fit(trainer, data, {
              epochs: number(context, 'epochs', 1), batchSize: number(context, 'batch_size', 32), seed, signal, budgetMs, budgetBatches, ...(onProgress && { onProgress }),
            })) loss = meanLoss;
            calls++;
            return /** @type {[number, Value]} */ ([loss, sampleCount(data.length)]);
          });
        },
        /** @param {(Value | undefined)[]} given @param {CallContext} context */
        evaluate(given, { signal }) {
          return inTurn(async () => {
            const accuracy = createAccuracy(), turns = createTurns({ budgetMs, budgetCount: budgetBatches, now: () => performance.now() });
            let sum = 0, count = 0;
            try {
              for await (const batch of createLoader(toSet(given), { batchSize: PIECE }).batches({ signal })) {
                const { loss = NaN, outputs } = trainer.evaluate(batch.inputs, batch.labels);
                sum += loss * batch.count;
                count += batch.count;
                if (isClassifier) accuracy.add(outputs[name], /** @type {Tensor} */ (batch.labels));
                await turns.next();
              }
            } finally {
              turns.close();
            }
            return [sum / count, accuracy.value];
          });
        },
        save() {
          const out = new Writer(), state = trainer.saveState();
          out.u32(STATE_VERSION);
          out.u64(calls);
          out.blob(new Uint8Array(trainer.parameters().buffer));
          out.blob(state);
          return out.finish();
        },
        /** @param {Uint8Array} bytes */
        restore(bytes) {
          const state = new Reader(bytes), version = state.u32();
          if (version !== STATE_VERSION) throw new BbwError('E_RESTORE_COMPONENT', `${typeName}: the state is of version ${version}`, { version, expected: STATE_VERSION });
          kept = undefined;
          const count = Number(state.u64()), parameters = state.blob().slice();
          trainer.load(new Float32Array(parameters.buffer, 0, Math.floor(parameters.length / 4)));
          trainer.loadState(state.blob());
          calls = count;
        },
      };
      freeWith(methods, trainer);
      return methods;
    },
  });
}
