// trainer: trains a standard ONNX model outside any node.
//
// `createTrainer(bytes, { loss, optimizer })` reads the same files as `createSession`; docs/OPERATORS.md lists the operators that have a gradient. `step` is
// synchronous: one batch, one step of the optimizer. The same calls from the same seed give the same bits.

import { BbwError } from './errors.js';
import { asBytes, encodeUtf8, listOf, Reader, u64Of, wrongType } from './internal/bytes.js';
import { createFrame, readPort, readText } from './internal/frame.js';
import { pack, packList } from './internal/pack.js';
import { ERR, OUT, runtimeOf, Units } from './runtime.js';
import { fit } from './training/fit.js';

/**
 * What is minimized, as its name or with its numbers.
 * - 'softmax-cross-entropy': labels are one class per row of the prediction's last axis (whole numbers), or a distribution for each row (float32)
 * - 'bce-with-logits', 'mse', 'huber': labels are float32, one per element of the prediction
 * - 'output': the mean of the prediction itself; no labels
 *
 * `output` names the prediction (default: the first output). Behind a last Softmax (Sigmoid) the losses on logits take its input.
 * @typedef {{type: LossName, output?: string, ignoreIndex?: number, labelSmoothing?: number, classWeights?: readonly number[], delta?: number}} Loss
 * @typedef {'softmax-cross-entropy' | 'bce-with-logits' | 'mse' | 'huber' | 'output'} LossName
 */

/**
 * 'sgd' (lr 0.01), 'momentum' and 'nesterov' (lr 0.01, momentum 0.9), 'adam' (lr 0.001), 'adamw' (lr 0.001, weightDecay 0.01, taken from the parameters directly).
 * @typedef {{type: OptimizerName, lr?: number, momentum?: number, beta1?: number, beta2?: number, epsilon?: number, weightDecay?: number, clipNorm?: number,
 *   clipValue?: number, schedule?: Schedule, state?: 'f32' | 'f16'}} Optimizer  `state`: how the moments are kept; f16 takes half the memory (16 bits with the range of f32, gradients from 1e-19 to 3e19, to 0.4 %)
 * @typedef {'sgd' | 'momentum' | 'nesterov' | 'adam' | 'adamw'} OptimizerName
 */

/**
 * How the learning rate goes on: 'constant'; 'step': times `factor` after every `steps` steps; 'cosine': down to `factor` times the rate (default 0) after `steps`
 * steps. Over the first `warmup` steps it grows linearly.
 * @typedef {{type?: 'constant' | 'step' | 'cosine', steps?: number, factor?: number, warmup?: number}} Schedule
 */

/**
 * @typedef {object} TrainerOptions
 * @property {LossName | Loss} loss
 * @property {OptimizerName | Optimizer} [optimizer]  default: 'sgd'
 * @property {readonly string[]} [freeze]  names of initializers that stay as they are; one that ends in '*' stands for all that begin so
 * @property {number | bigint} [seed]  of everything that draws random numbers
 * @property {boolean} [backward]  `backward` may be called: it takes one graph more
 * @property {boolean} [outputs]  `step` gives the outputs of the model too
 * @property {boolean | number} [checkpoints]  less memory for a step, at most one more forward pass of time, the same bits: the model is split into so many segments (`true`: the square root
 *   of the number of its nodes), whose results are dropped on the way forward and made again on the way back. `stats` says what it saves
 * @property {number} [maxMemoryBytes]  what model, results and state may take together
 * @property {import('./runtime.js').Runtime} [runtime]
 * @property {import('./runtime.js').WasmSource | Promise<Response>} [wasm]
 */

/**
 * A parameter and its place in the vector.
 * @typedef {{name: string, dims: number[], offset: number, count: number}} Parameter
 * @typedef {import('./internal/frame.js').ArrayInput} ArrayInput
 * @typedef {import('./internal/frame.js').ArrayOutput} ArrayOutput
 */

/** The order is that of trainer.h. @type {readonly LossName[]} */
const LOSSES = ['softmax-cross-entropy', 'bce-with-logits', 'mse', 'huber', 'output'];
const SCHEDULES = ['constant', 'step', 'cosine'], KINDS = ['sgd', 'adam'], STATES = ['f32', 'f16'];
/** @type {Record<OptimizerName, {kind: number, lr: number, momentum?: number, isNesterov?: boolean, weightDecay?: number, isDecoupled?: boolean}>} */
const OPTIMIZERS = {
  sgd: { kind: 0, lr: 0.01 },
  momentum: { kind: 0, lr: 0.01, momentum: 0.9 },
  nesterov: { kind: 0, lr: 0.01, momentum: 0.9, isNesterov: true },
  adam: { kind: 1, lr: 0.001 },
  adamw: { kind: 1, lr: 0.001, weightDecay: 0.01, isDecoupled: true },
};

/** @param {string} field @param {unknown} value @param {string} wanted @returns {never} */
function refuse(field, value, wanted) {
  throw new BbwError('E_ARG', `${field} must be ${wanted}`, { field, value });
}

/** A name or an object with it as type; the object. @template {{type?: string}} T @param {string} field @param {string | T | undefined} given @returns {T} */
function typed(field, given) {
  if (typeof given === 'string') return /** @type {T} */ ({ type: given });
  if (given === null || typeof given !== 'object') refuse(field, given, 'a name or an object with a type');
  return /** @type {T} */ (given);
}

/** @param {Record<string, unknown>} object @param {readonly string[]} known @param {string} field */
function checkKeys(object, known, field) {
  const unknown = Object.keys(object).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new BbwError('E_ARG', `${field} has no ${unknown}`, { field: `${field}.${unknown}`, expected: [...known] });
}

/** @param {string} field @param {unknown} value @param {number} otherwise @returns {number} */
function numberOf(field, value, otherwise) {
  if (value === undefined) return otherwise;
  if (typeof value !== 'number' || !Number.isFinite(value)) refuse(field, value, 'a finite number');
  return /** @type {number} */ (value);
}

/** @param {string} field @param {unknown} value @returns {number} */
function countOf(field, value) {
  if (value === undefined) return 0;
  if (!Number.isSafeInteger(value) || /** @type {number} */ (value) < 0) refuse(field, value, 'a whole number from 0');
  return /** @type {number} */ (value);
}

/** Everything that the options say, by the names of trainer.h, checked and with the defaults filled in. @param {TrainerOptions} options */
export function trainingFields(options) {
  if (options === null || typeof options !== 'object') throw wrongType('options', 'an object', options);
  const loss = typed('loss', options.loss), optimizer = typed('optimizer', options.optimizer ?? 'sgd'), schedule = optimizer.schedule ?? {};
  if (typeof schedule !== 'object') throw wrongType('optimizer.schedule', 'an object', schedule);
  if (loss.output !== undefined && typeof loss.output !== 'string') throw wrongType('loss.output', 'text', loss.output);
  checkKeys(loss, ['type', 'output', 'ignoreIndex', 'labelSmoothing', 'classWeights', 'delta'], 'loss');
  checkKeys(optimizer, ['type', 'lr', 'momentum', 'beta1', 'beta2', 'epsilon', 'weightDecay', 'clipNorm', 'clipValue', 'schedule', 'state'], 'optimizer');
  checkKeys(schedule, ['type', 'steps', 'factor', 'warmup'], 'optimizer.schedule');
  if (!LOSSES.includes(loss.type)) refuse('loss', loss.type, `one of ${LOSSES.join(', ')}`);
  if (!Object.hasOwn(OPTIMIZERS, optimizer.type)) refuse('optimizer', optimizer.type, `one of ${Object.keys(OPTIMIZERS).join(', ')}`);
  if (!SCHEDULES.includes(schedule.type ?? 'constant')) refuse('optimizer.schedule.type', schedule.type, `one of ${SCHEDULES.join(', ')}`);
  if (optimizer.state !== undefined && !STATES.includes(optimizer.state)) refuse('optimizer.state', optimizer.state, `one of ${STATES.join(', ')}`);
  if (loss.ignoreIndex !== undefined && !Number.isSafeInteger(loss.ignoreIndex)) refuse('loss.ignoreIndex', loss.ignoreIndex, 'a whole number');
  const row = OPTIMIZERS[optimizer.type];
  return {
    loss: loss.type,
    output: loss.output ?? '',
    ignored: loss.ignoreIndex,
    label_smoothing: numberOf('loss.labelSmoothing', loss.labelSmoothing, 0),
    huber_delta: numberOf('loss.delta', loss.delta, 0),
    class_weights: Float32Array.from(listOf(loss.classWeights ?? [], 'loss.classWeights'), (weight) => numberOf('loss.classWeights', weight, 0)),
    optimizer: KINDS[row.kind],
    rate: numberOf('optimizer.lr', optimizer.lr, row.lr),
    momentum: numberOf('optimizer.momentum', optimizer.momentum, row.momentum ?? 0),
    nesterov: row.isNesterov ? 1 : 0,
    beta1: numberOf('optimizer.beta1', optimizer.beta1, 0),
    beta2: numberOf('optimizer.beta2', optimizer.beta2, 0),
    epsilon: numberOf('optimizer.epsilon', optimizer.epsilon, 0),
    weight_decay: numberOf('optimizer.weightDecay', optimizer.weightDecay, row.weightDecay ?? 0),
    decoupled: row.isDecoupled ? 1 : 0,
    clip_norm: numberOf('optimizer.clipNorm', optimizer.clipNorm, 0),
    clip_value: numberOf('optimizer.clipValue', optimizer.clipValue, 0),
    schedule: schedule.type ?? 'constant',
    warmup_steps: countOf('optimizer.schedule.warmup', schedule.warmup),
    schedule_steps: countOf('optimizer.schedule.steps', schedule.steps),
    schedule_factor: numberOf('optimizer.schedule.factor', schedule.factor, 0),
    state: optimizer.state ?? 'f32',
    seed: u64Of(options.seed ?? 0, 'seed'),
  };
}

/** The pack of abi.h. @param {TrainerOptions} options */
function packOptions(options) {
  const fields = trainingFields(options), memory = options.maxMemoryBytes ?? 0;
  if (memory >>> 0 !== memory) refuse('maxMemoryBytes', memory, 'an integer from 0 (no limit) to 2^32 - 1');
  return pack((out) => {
    out.u32(LOSSES.indexOf(fields.loss));
    out.text32(fields.output, 'loss.output');
    out.u32(fields.ignored === undefined ? 0 : 1);
    out.u64(BigInt.asUintN(64, BigInt(fields.ignored ?? 0)));
    out.f32(fields.label_smoothing);
    out.f32(fields.huber_delta);
    out.bytes32(new Uint8Array(fields.class_weights.buffer));
    out.u32(KINDS.indexOf(fields.optimizer));
    out.f32(fields.rate);
    out.f32(fields.momentum);
    out.u32(fields.nesterov);
    for (const field of /** @type {const} */ (['beta1', 'beta2', 'epsilon', 'weight_decay'])) out.f32(fields[field]);
    out.u32(fields.decoupled);
    out.f32(fields.clip_norm);
    out.f32(fields.clip_value);
    out.u32(SCHEDULES.indexOf(fields.schedule));
    out.u64(BigInt(fields.warmup_steps));
    out.u64(BigInt(fields.schedule_steps));
    out.f32(fields.schedule_factor);
    packList(out, options.freeze ?? [], (name) => out.bytes32(encodeUtf8(name, 'freeze')), 'freeze');
    out.u64(fields.seed, 'seed');
    out.u32(memory);
    out.u32(options.outputs ? 1 : 0);
    out.u32(options.checkpoints === true ? 0xffffffff : options.checkpoints === false ? 0 : Math.min(countOf('checkpoints', options.checkpoints), 0xfffffffe));
    out.u32(fields.state === 'f16' ? 1 : 0);
    out.u32(options.backward ? 1 : 0);
  });
}

/**
 * @param {import('./internal/bytes.js').BytesLike} model  an ONNX file
 * @param {TrainerOptions} options
 * @returns {Promise<Trainer>}
 * @throws {BbwError} E_ARG for options, E_EMPTY when nothing is left to train, E_ONNX_UNSUPPORTED for an operator without a gradient (details: node, opType), and as createSession
 */
export async function createTrainer(model, options) {
  if (options === null || typeof options !== 'object') throw wrongType('options', 'an object', options);
  const { runtime, wasm } = options;
  return createTrainerIn(await runtimeOf({ runtime, wasm }), model, options);
}

/**
 * The same in a runtime that exists; synchronous.
 * @param {import('./runtime.js').Runtime} runtime @param {import('./internal/bytes.js').BytesLike} model @param {TrainerOptions} options
 */
export function createTrainerIn(runtime, model, options) {
  if (options === null || typeof options !== 'object') throw wrongType('options', 'an object', options);
  const file = asBytes(model).slice(); // export writes the parameters into it
  runtime.call('bbw_abi_trainer_new', file, packOptions(options), OUT, ERR);
  const handle = runtime.outU32();
  try {
    return trainerOf(runtime, handle, file, typed('loss', options.loss).type === 'output', options.outputs === true);
  } catch (error) {
    if (!runtime.isPoisoned) runtime.plain('bbw_abi_trainer_del', handle); // nobody else knows it
    throw error;
  }
}

/** @param {Uint8Array} bytes */
const floats = (bytes) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);

/**
 * @param {import('./runtime.js').Runtime} runtime @param {number} handle @param {Uint8Array} file
 * @param {boolean} isUnlabelled @param {boolean} keepsOutputs
 */
function trainerOf(runtime, handle, file, isUnlabelled, keepsOutputs) {
  const alive = () => {
    if (handle === 0) throw new BbwError('E_STATE', 'the trainer is disposed');
    return handle;
  };
  runtime.call('bbw_abi_trainer_ports', handle, OUT);
  const reader = new Reader(runtime.outBytes());
  const inputs = Array.from({ length: reader.u32() }, () => readPort(reader));
  const outputs = Array.from({ length: reader.u32() }, () => readPort(reader));
  /** @type {Parameter[]} */
  const parameters = Array.from({ length: reader.u32() }, () => {
    const name = readText(reader), offset = reader.u32(), count = reader.u32();
    return { name, offset, count, dims: Array.from({ length: reader.u32() }, () => reader.u32()) };
  });
  const size = parameters.reduce((sum, { count }) => sum + count, 0);
  const frame = createFrame({ runtime, inputs, extras: [{ name: 'labels' }], outputCount: outputs.length, alive });
  /** Of a prediction and its labels; made when it is needed. @type {ReturnType<typeof createFrame> | undefined} */
  let pair;

  const readOutputs = () => Object.fromEntries(outputs.map(({ name }, i) => [name, frame.read(i, false)]));

  /** @param {Record<string, ArrayInput>} given @param {ArrayInput | undefined} labels @param {number} mode @param {number} [gradient] */
  function run(given, labels, mode, gradient = 0) {
    alive();
    frame.write(given, [labels ?? undefined]);
    runtime.call('bbw_abi_trainer_run', alive(), frame.ptr, mode, gradient, OUT, ERR);
    return runtime.outF64();
  }

  /** @param {Float32Array} values @param {string} field */
  function vector(values, field) {
    if (!(values instanceof Float32Array)) throw wrongType(field, 'a Float32Array', values);
    if (values.length !== size) throw new BbwError('E_SHAPE', `${field}: the trainer has ${size} parameters, not ${values.length}`, { field, expected: size, got: values.length });
    return new Units(asBytes(values), 4);
  }

  const trainer = {
    /** @type {readonly import('./internal/frame.js').Port[]} */
    inputs,
    /** @type {readonly import('./internal/frame.js').Port[]} */
    outputs,
    /** Names, shapes and places in the vector, in the order of the file. @type {readonly Parameter[]} */
    layout: parameters,
    /**
     * One step of the optimizer on one batch.
     * @param {Record<string, ArrayInput>} given  one array for every input, by name
     * @param {ArrayInput} [labels]
     * @returns {{loss: number, outputs?: Record<string, ArrayOutput>}}  the mean loss before the step; outputs if the trainer was made with `outputs: true`
     * @throws {BbwError} E_NOT_FINITE when loss or gradient are infinite or NaN (details: step), else as Session.run; parameters and state are then as before
     */
    step(given, labels) {
      const loss = run(given, labels, 0);
      return { loss, ...(keepsOutputs && { outputs: readOutputs() }) };
    },
    /**
     * Runs the model as it infers, and its loss where there are labels.
     * @param {Record<string, ArrayInput>} given @param {ArrayInput} [labels]
     * @returns {{loss?: number, outputs: Record<string, ArrayOutput>}}
     */
    evaluate(given, labels) {
      const loss = run(given, labels, isUnlabelled && labels === undefined ? 2 : 1);
      return { ...((isUnlabelled || labels !== undefined) && { loss }), outputs: readOutputs() };
    },
    /**
     * Trains over epochs of data (bb-wasm/data), one event after each step; see js/training/fit.js. Parameters, state of the optimizer and the position of an
     * event are all that is needed to go on from there with the same bits.
     * @param {Parameters<typeof fit>[1]} data @param {import('./training/fit.js').FitOptions} [options]
     */
    fit: (data, options) => fit(trainer, data, options),
    /**
     * Loss and gradient of a batch, without a step.
     * @param {Record<string, ArrayInput>} given @param {ArrayInput} [labels]
     */
    gradient(given, labels) {
      const place = runtime.region(4 * size);
      try {
        const loss = run(given, labels, 3, place.ptr);
        return { loss, gradient: floats(place.bytes().slice()) };
      } finally {
        place.free();
      }
    },
    /**
     * The gradient of all parameters from that of the prediction, of the model as it infers. The prediction is the output itself here, behind a last Softmax too.
     * @param {Record<string, ArrayInput>} given @param {ArrayInput} slope  like the output
     * @returns {Float32Array}
     * @throws {BbwError} E_STATE unless the trainer was made with `backward: true`
     */
    backward(given, slope) {
      if (slope === undefined) refuse('slope', slope, 'an array');
      const place = runtime.region(4 * size);
      try {
        run(given, slope, 4, place.ptr);
        return floats(place.bytes().slice());
      } finally {
        place.free();
      }
    },
    /** The loss of a prediction as the model gave it. @param {ArrayInput} prediction @param {ArrayInput} [labels] @returns {number} */
    lossOf(prediction, labels) {
      alive();
      pair ??= createFrame({ runtime, inputs: [{ name: 'prediction' }], extras: [{ name: 'labels' }], outputCount: 0, alive });
      pair.write({ prediction }, [labels ?? undefined]);
      runtime.call('bbw_abi_trainer_run', alive(), pair.ptr, 5, 0, OUT, ERR);
      return runtime.outF64();
    },
    /** All parameters as one vector: a copy. */
    parameters() {
      runtime.call('bbw_abi_trainer_values', alive(), OUT);
      return floats(runtime.outBytes());
    },
    /** Replaces all parameters. @param {Float32Array} values */
    load(values) { runtime.call('bbw_abi_trainer_load', alive(), vector(values, 'values'), 0, ERR); },
    /** Adds to all parameters. @param {Float32Array} delta */
    add(delta) { runtime.call('bbw_abi_trainer_load', alive(), vector(delta, 'delta'), 1, ERR); },
    /**
     * Draws all weights anew, uniformly, and forgets the state of the optimizer; biases, scales and statistics stay.
     * @param {'glorot' | 'he'} kind @param {number | bigint} [seed]
     */
    initialize(kind, seed = 0) {
      if (kind !== 'glorot' && kind !== 'he') refuse('kind', kind, "'glorot' or 'he'");
      runtime.plain('bbw_abi_trainer_initialize', alive(), kind === 'glorot' ? 0 : 1, u64Of(seed, 'seed'));
    },
    /** The file with the parameters as they are now; everything else in it stays. @returns {Uint8Array} */
    export() {
      runtime.call('bbw_abi_trainer_export', alive(), file, OUT, ERR);
      return runtime.outBytes();
    },
    /** The state of the optimizer, without the parameters. @returns {Uint8Array} */
    saveState() {
      runtime.call('bbw_abi_trainer_state_save', alive(), OUT);
      return runtime.outBytes();
    },
    /**
     * @param {import('./internal/bytes.js').BytesLike} state
     * @throws {BbwError} E_DECODE, or E_INVALID_VALUE for the state of another version, optimizer or model; nothing is changed then
     */
    loadState(state) { runtime.call('bbw_abi_trainer_state_load', alive(), asBytes(state), ERR); },
    /**
     * Steps done, rate of the next one, and bytes: frozen weights, parameters, state of the optimizer, what runs hold now and at most; `step`: the memory that the last step ran in,
     * `live`: the most that activations and gradients took of it, `withoutCheckpoints`: what it would have been (0 where there are none).
     */
    get stats() {
      runtime.call('bbw_abi_trainer_stats', alive(), OUT);
      const answer = new Reader(runtime.outBytes());
      const [constants, vectorBytes, state, results, resultsPeak, step, live, withoutCheckpoints, nodes] = Array.from({ length: 9 }, () => answer.u32());
      return { constants, parameters: vectorBytes, state, results, resultsPeak, step, live, withoutCheckpoints, nodes, steps: Number(answer.u64()), rate: answer.f64() };
    },
    /** Frees everything; twice is fine. */
    free() {
      if (handle === 0) return;
      const old = handle;
      handle = 0;
      if (runtime.isPoisoned) return;
      runtime.plain('bbw_abi_trainer_del', old);
      frame.free();
      pair?.free();
    },
    /** The same under the name that sessions use. */
    dispose() { trainer.free(); },
    /** For `using`. */
    [/** @type {typeof Symbol.dispose} */ (Symbol.dispose ?? Symbol.for('Symbol.dispose'))]() { trainer.free(); },
  };
  return trainer;
}

/** @typedef {ReturnType<typeof trainerOf>} Trainer */
