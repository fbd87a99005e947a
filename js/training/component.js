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
//
// A snapshot holds all of it: parameters, optimizer, what waits for its answer, and the position of a training that is under way, which goes on with the same bits.

import { defineComponent } from '../component.js';
import { BbwError } from '../errors.js';
import { Reader, Writer } from '../internal/bytes.js';
import { packList, unpackList } from '../internal/pack.js';
import { createTrainerIn } from '../trainer.js';
import { decodeValue, samples as sampleCount, tensor, trigger, typeHash } from '../values.js';
import { fromArrays } from '../data/arrays.js';
import { createLoader } from '../data/loader.js';
import { fit } from './fit.js';
import { createAccuracy } from './metrics.js';
import { createTurns } from './turns.js';

/** @typedef {import('../values.js').Value} Value @typedef {import('../data/batch.js').Tensor} Tensor @typedef {import('../component.js').CallContext} CallContext */

const STATE_VERSION = 2;
/** Samples that run at once where nothing is trained. */
const PIECE = 256;
/** Samples that Forward keeps for Backward at most. */
const KEPT_MAX = 1024;

/** @typedef {{calls: number, position?: import('./fit.js').Position, loss?: number}} Run */

/** @param {Float32Array} floats */
const bytesOf = (floats) => new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
/** @param {Uint8Array} bytes */
const floatsIn = (bytes) => new Float32Array(bytes.slice().buffer, 0, Math.floor(bytes.length / 4));

/** @param {string} text @returns {Run} of which `fit` checks the position */
function runOf(text) {
  try {
    const { calls, position, loss } = JSON.parse(text);
    if (Number.isSafeInteger(calls) && calls >= 0 && (position === undefined || (position !== null && typeof position === 'object'))) return { calls, position, loss: typeof loss === 'number' ? loss : undefined };
  } catch { /* said below */ }
  throw new BbwError('E_RESTORE_COMPONENT', 'the state holds a training that is none', { got: text.slice(0, 64) });
}

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
      /** How far calls without an answer have come: a training with the number that it has among all, or a change that was made. @type {Map<bigint, Run>} */
      const runs = new Map();
      /** One after the other. @type {Promise<unknown>} */
      let last = Promise.resolve();
      /** What ends the turn of a call. @type {Map<bigint, () => void>} */
      const turns = new Map();
      /**
       * A turn ends when the answer was given: a snapshot that is taken before makes the call again, and must not find what came after it.
       * @template T @param {CallContext} context @param {() => T | Promise<T>} work @returns {Promise<T>}
       */
      function inTurn({ cmdId }, work) {
        const done = last.then(work), isSettled = new Promise((resolve) => { turns.set(cmdId, () => resolve(undefined)); });
        last = done.catch(() => {}).then(() => isSettled);
        return done;
      }
      const number = (/** @type {CallContext} */ { attributes }, /** @type {string} */ field, /** @type {number} */ otherwise) => (Object.hasOwn(attributes, field) ? Number(attributes[field].i) : otherwise);

      const methods = {
        /** @param {(Value | undefined)[]} given @param {CallContext} context */
        forward: ([x], context) => inTurn(context, () => {
          const samples = toSamples(x), { data, dims } = trainer.evaluate({ [input.name]: samples }).outputs[name];
          kept = samples.dims[0] <= KEPT_MAX ? { data: samples.data.slice(), dims: samples.dims } : undefined;
          return tensor(/** @type {Float32Array} */ (data), dims);
        }),
        /** @param {(Value | undefined)[]} given @param {CallContext} context */
        backward: ([slope], context) => inTurn(context, () => {
          if (kept === undefined) throw new BbwError('E_STATE', 'no Forward with these parameters came before');
          return tensor(trainer.backward({ [input.name]: kept }, floatsOf(slope, 'gradient')));
        }),
        /** @param {(Value | undefined)[]} given @param {CallContext} context */
        computeLoss: ([y, labels], context) => inTurn(context, () => {
          const prediction = floatsOf(y, 'y');
          return trainer.lossOf(prediction, toLabels(labels, prediction.dims[0]));
        }),
        /** @param {(Value | undefined)[]} _ @param {CallContext} context */
        params: (_, context) => inTurn(context, () => trainer.parameters()),
        /** @param {(Value | undefined)[]} given @param {CallContext} context */
        loadParameters: ([p], context) => inTurn(context, () => {
          trainer.load(floatsOf(p, 'parameters').data);
          trainer.loadState(fresh);
          kept = undefined;
          return trigger();
        }),
        /** @param {(Value | undefined)[]} given @param {CallContext} context */
        applyDelta: ([d], context) => inTurn(context, () => {
          if (!runs.has(context.cmdId)) trainer.add(floatsOf(d, 'delta').data);
          runs.set(context.cmdId, { calls });
          kept = undefined;
          return trigger();
        }),
        /** @param {(Value | undefined)[]} given @param {CallContext} context */
        train(given, context) {
          const { signal, cmdId } = context;
          return inTurn(context, async () => {
            kept = undefined;
            const data = toSet(given), run = runs.get(cmdId) ?? { calls };
            runs.set(cmdId, run);
            const steps = fit(trainer, data, {
              epochs: number(context, 'epochs', 1), batchSize: number(context, 'batch_size', 32), seed: number(context, 'seed', 0) + run.calls, from: run.position, signal, budgetMs, budgetBatches,
              onProgress(progress) { // in one task with the step, so that a snapshot never sees the one without the other
                run.position = progress.position;
                run.loss = progress.meanLoss;
                onProgress?.(progress);
              },
            });
            while (!(await steps.next()).done);
            calls = run.calls + 1;
            return /** @type {[number, Value]} */ ([run.loss ?? NaN, sampleCount(data.length)]);
          });
        },
        /** @param {(Value | undefined)[]} given @param {CallContext} context */
        evaluate(given, context) {
          const { signal } = context;
          return inTurn(context, async () => {
            const accuracy = createAccuracy(), rests = createTurns({ budgetMs, budgetCount: budgetBatches, now: () => performance.now() });
            let sum = 0, count = 0;
            try {
              for await (const batch of createLoader(toSet(given), { batchSize: PIECE }).batches({ signal })) {
                const { loss = NaN, outputs } = trainer.evaluate(batch.inputs, batch.labels);
                sum += loss * batch.count;
                count += batch.count;
                if (isClassifier) accuracy.add(outputs[name], /** @type {Tensor} */ (batch.labels));
                await rests.next();
              }
            } finally {
              rests.close();
            }
            return [sum / count, accuracy.value];
          });
        },
        resumes: true,
        /** @param {bigint} cmdId */
        settled(cmdId) {
          runs.delete(cmdId);
          turns.get(cmdId)?.();
          turns.delete(cmdId);
        },
        save() {
          const out = new Writer();
          out.u32(STATE_VERSION);
          out.u64(calls);
          out.blob(bytesOf(trainer.parameters()));
          out.blob(trainer.saveState());
          packList(out, [...runs], ([cmdId, run]) => {
            out.u64(cmdId);
            out.text32(JSON.stringify(run));
          });
          packList(out, kept === undefined ? [] : [...kept.dims], (d) => out.u64(d));
          out.blob(bytesOf(/** @type {Float32Array} */ (kept?.data ?? new Float32Array())));
          return out.finish();
        },
        /** @param {Uint8Array} bytes */
        restore(bytes) {
          const state = new Reader(bytes), version = state.u32();
          if (version !== STATE_VERSION) throw new BbwError('E_RESTORE_COMPONENT', `${typeName}: the state is of version ${version}`, { version, expected: STATE_VERSION });
          const count = Number(state.u64()), parameters = floatsIn(state.blob()), optimizer = state.blob();
          const entries = unpackList(state, (one) => /** @type {[bigint, Run]} */ ([one.u64(), runOf(one.text32())]));
          const dims = unpackList(state, (one) => Number(one.u64())), data = floatsIn(state.blob());
          if (state.left > 0 || !Number.isSafeInteger(count) || (dims.length > 0 && dims.reduce((a, b) => a * b, 1) !== data.length)) state.fail('a state of another size');
          trainer.load(parameters);
          trainer.loadState(optimizer);
          calls = count;
          kept = dims.length > 0 ? { data, dims } : undefined;
          for (const [cmdId, run] of entries) runs.set(cmdId, run);
        },
      };
      freeWith(methods, trainer);
      return methods;
    },
  });
}
