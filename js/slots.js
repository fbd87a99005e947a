// slots: placeholders of the roles that components play.
//
// A slot stands for a component that the compiler binds by role.  Its methods record one operator each and return handles.
// One slot object is one slot id; use the same object wherever the same component is meant.
// `after`, where a method takes it, is a value that must have arrived before the operator fires; the reference ignores such
// surplus inputs.  Source: authoring specification, sections 1.6.1 to 1.6.3.

import { BbwError } from './errors.js';
import { attribute, P, types } from './graph.js';
import { asBytes } from './internal/bytes.js';
import { decodeModel } from './onnx.js';

/**
 * @typedef {import('./graph.js').Graph} Graph
 * @typedef {import('./graph.js').Handle} Handle
 * @typedef {import('./graph.js').Slot} Slot
 */

const { int, float, ints, string, tensor, graph } = attribute;

/** @param {Handle | undefined} after */
const waits = (after) => (after === undefined ? [] : [after]);

/** @param {string} role @param {string} domain @returns {Slot} */
const slotOf = (role, domain) => ({ role, trait: `${role}Runtime`, domain });

/**
 * @param {Slot} slot
 * @returns {(g: Graph, opType: string, inputs: readonly (Handle | undefined)[], outputs: readonly string[],
 *   attributes?: readonly import('./graph.js').Attribute[], metadata?: readonly (readonly [string, string])[]) => Handle[]}
 */
const recorder = (slot) => (g, opType, inputs, outputs, attributes = [], metadata = []) =>
  g.node({ slot, domain: slot.domain, opType, inputs, outputs, attributes, metadata });

/** A trainable or fixed model. */
function model() {
  const slot = slotOf('Model', `${P}role.model`);
  const op = recorder(slot);
  const one = [types.tensor];
  return Object.freeze({
    ...slot,
    /** @param {Graph} g @param {Handle} x @returns {Handle} */
    forward: (g, x) => op(g, 'Forward', [x], one)[0],
    /** @param {Graph} g @param {Handle} grad @returns {Handle} fires when done */
    backward: (g, grad) => op(g, 'Backward', [grad], one)[0],
    /** @param {Graph} g @param {Handle} x @param {Handle} target @returns {Handle} */
    computeLoss: (g, x, target) => op(g, 'ComputeLoss', [x, target], one)[0],
    /** @param {Graph} g @param {Handle} delta @returns {Handle} fires when done */
    applyDelta: (g, delta) => op(g, 'ApplyDelta', [delta], one)[0],
    /** @param {Graph} g @param {Handle} params @returns {Handle} fires when done */
    loadParameters: (g, params) => op(g, 'LoadParameters', [params], one)[0],
    /** @param {Graph} g @param {Handle} [after] @returns {Handle} */
    params: (g, after) => op(g, 'Params', waits(after), one)[0],
    /**
     * Trains on a set of samples: `epochs` passes in batches, in an order drawn from `seed`. Without a `learningRate` it is that of the model, which is 0.1 where nothing else is said.
     * `batchesPerPoll` (64): after so many the node does other things first; with `progress` every such part is an event with that topic (`decodeProgress` of bb-wasm/training reads it).
     * @param {Graph} g @param {Handle} x @param {Handle} labels
     * @param {{epochs?: number, batchSize?: number, learningRate?: number, seed?: number, shuffle?: boolean, batchesPerPoll?: number, progress?: string}} [options]
     * @returns {[loss: Handle, meta: Handle]} mean loss of the last pass, and how many samples stand behind the new parameters
     */
    train(g, x, labels, { epochs = 1, batchSize = 32, learningRate, seed = 0, shuffle = true, batchesPerPoll, progress } = {}) {
      const [loss, meta] = op(g, 'Train', [x, labels], [types.tensor, types.tensor], [
        int('epochs', epochs), int('batch_size', batchSize), ...(learningRate === undefined ? [] : [float('learning_rate', learningRate)]), int('seed', seed),
        ...(shuffle ? [] : [int('shuffle', 0)]), ...(batchesPerPoll === undefined ? [] : [int('batches_per_poll', batchesPerPoll)]),
        ...(progress === undefined ? [] : [string('progress', progress)]),
      ]);
      return [loss, meta];
    },
    /** @param {Graph} g @param {Handle} x @param {Handle} labels @returns {[loss: Handle, accuracy: Handle]} */
    evaluate(g, x, labels) {
      const [loss, accuracy] = op(g, 'Evaluate', [x, labels], [types.tensor, types.tensor]);
      return [loss, accuracy];
    },
  });
}

/** A source of samples. */
function dataSource() {
  const slot = slotOf('DataSource', `${P}role.data_source`);
  const op = recorder(slot);
  return Object.freeze({
    ...slot,
    /** @param {Graph} g @param {Handle} [after] @returns {[batch: Handle, labels: Handle]} */
    nextBatch(g, after) {
      const [batch, labels] = op(g, 'NextBatch', waits(after), [types.tensor, types.tensor]);
      return [batch, labels];
    },
    /** @param {Graph} g @param {Handle} trigger @returns {Handle} fires when done */
    reset: (g, trigger) => op(g, 'Reset', [trigger], [types.tensor])[0],
    /** @param {Graph} g @returns {Handle} */
    onDataLoaded: (g) => op(g, 'OnDataLoaded', [], [types.tensor])[0],
  });
}

/** Combines contributions of peers. */
function aggregator() {
  const slot = slotOf('Aggregator', `${P}role.aggregator`);
  const op = recorder(slot);
  return Object.freeze({
    ...slot,
    /** @param {Graph} g @param {Handle} contribution @param {Handle} meta @returns {Handle} fires when taken */
    contribute: (g, contribution, meta) => op(g, 'Contribute', [contribution, meta], [types.tensor])[0],
    /** @param {Graph} g @param {Handle} trigger @returns {[params: Handle, meta: Handle]} */
    aggregate(g, trigger) {
      const [params, meta] = op(g, 'Aggregate', [trigger], [types.tensor, types.tensor]);
      return [params, meta];
    },
  });
}

/** Vectors that can be searched. */
function index() {
  const slot = slotOf('Index', `${P}role.index`);
  const op = recorder(slot);
  return Object.freeze({
    ...slot,
    /** @param {Graph} g @param {Handle} vector @returns {Handle} */
    add: (g, vector) => op(g, 'Add', [vector], [types.tensor])[0],
    /** @param {Graph} g @param {Handle} query @param {number} k @returns {Handle} */
    search: (g, query, k) => op(g, 'Search', [query], [types.tensor], [int('k', k)])[0],
    /** @param {Graph} g @param {Handle} id @returns {Handle} fires when done */
    remove: (g, id) => op(g, 'Remove', [id], [types.tensor])[0],
    /** @param {Graph} g @param {Handle} samples @returns {Handle} */
    train: (g, samples) => op(g, 'Train', [samples], [types.trigger], [], [[`${P}index.port`, 'samples']])[0],
  });
}

/** Compresses values for the way. */
function codec() {
  const slot = slotOf('Codec', `${P}role.codec`);
  const op = recorder(slot);
  const port = `${P}codec.port`;
  return Object.freeze({
    ...slot,
    /** @param {Graph} g @param {Handle} samples @returns {Handle} */
    train: (g, samples) => op(g, 'Train', [samples], [types.trigger], [], [[port, 'in']])[0],
    /** @param {Graph} g @param {Handle} x @returns {Handle} */
    encode: (g, x) => op(g, 'Encode', [x], [types.tensor], [], [[port, 'out']])[0],
    /** @param {Graph} g @param {Handle} y @returns {Handle} */
    decode: (g, y) => op(g, 'Decode', [y], [types.tensor], [], [[port, 'in']])[0],
  });
}

/** Chooses peers. @param {string} [peerClass]  the class of nodes that the peers belong to; default @self */
function peerSelector(peerClass = '@self') {
  return selectorOf(slotOf('PeerSelector', `${P}role.peer_selector`), peerClass);
}

/** @param {Slot} slot @param {string} peerClass */
function selectorOf(slot, peerClass) {
  const op = recorder(slot);
  /** @type {[string, string][]} */
  const metadata = [[`${P}peer_class`, peerClass]];
  return Object.freeze({
    ...slot,
    peerClass,
    /** The same component, asked for peers of another class. @param {string} other */
    ofClass: (other) => selectorOf(slot, other),
    /** @param {Graph} g @param {number} n @param {Handle} [after] @returns {Handle} */
    sample: (g, n, after) => op(g, 'Sample', waits(after), [types.peerId], [int('n', n)], metadata)[0],
    /** @param {Graph} g @param {Handle} [after] @returns {Handle} */
    currentView: (g, after) => op(g, 'CurrentView', waits(after), [types.peerId], [], metadata)[0],
  });
}

/**
 * Peers found by gossip, without a server; bind it to the shipped type 'Cyclon'. A selector with one operator more.
 * @param {string} [peerClass]  the class of nodes that the peers belong to; default @self
 */
function gossip(peerClass = '@self') {
  const slot = slotOf('PeerSelector', `${P}role.peer_selector`);
  const op = recorder(slot);
  return Object.freeze({
    ...selectorOf(slot, peerClass),
    /** Swaps a part of the view with a peer; to be fired again and again. @param {Graph} g @param {Handle} after @returns {Handle} fires when the request is out */
    shuffle: (g, after) => op(g, 'Shuffle', [after], [types.trigger], [], [[`${P}peer_class`, peerClass]])[0],
  });
}

/** Tells a registry server of this node; bind it to the shipped type 'GlobalRegistryClient'. The server is a peer selector of type 'GlobalRegistryServer'. */
function registryClient() {
  const slot = slotOf('Protocol', `${P}protocol.global_registry`);
  const op = recorder(slot);
  return Object.freeze({
    ...slot,
    /** Announces this node, unless it did so a short while ago. @param {Graph} g @param {Handle} server  its peer id @param {Handle} [after] @returns {Handle} fires when done */
    announce: (g, server, after) => op(g, 'Announce', [server, ...waits(after)], [types.trigger])[0],
  });
}

/** A protocol: its operators are its own. */
function protocol() {
  return Object.freeze(slotOf('Protocol', `${P}role.protocol`));
}

/** Tensor arithmetic: one method per operator of the reference's backend placeholder. */
function backend() {
  const slot = slotOf('Backend', 'ai.onnx');
  const op = recorder(slot);
  const f32 = [types.f32];
  /** @param {string} opType @returns {(g: Graph, x: Handle) => Handle} */
  const unary = (opType) => (g, x) => op(g, opType, [x], f32)[0];
  /** @param {string} opType @returns {(g: Graph, a: Handle, b: Handle) => Handle} */
  const binary = (opType) => (g, a, b) => op(g, opType, [a, b], f32)[0];
  /** @param {string} opType @returns {(g: Graph, dims: readonly number[]) => Handle} */
  const filled = (opType) => (g, dims) => op(g, opType, [], f32, [ints('dims', dims)])[0];
  /** @param {string} opType @returns {(g: Graph, x: Handle, axes?: readonly number[], keepdims?: boolean) => Handle} */
  const reduction = (opType) => (g, x, axes, keepdims = true) =>
    op(g, opType, [x], f32, [int('keepdims', keepdims), ...(axes === undefined ? [] : [ints('axes', axes)])])[0];
  /** @param {string} opType @param {boolean} countsPadding */
  const pool = (opType, countsPadding) =>
    /** @param {Graph} g @param {Handle} x @param {{kernelShape: readonly number[], strides: readonly number[], pads: readonly number[], countIncludePad?: boolean}} o @returns {Handle} */
    (g, x, o) => op(g, opType, [x], f32, [
      ints('kernel_shape', o.kernelShape), ints('strides', o.strides), ints('pads', o.pads),
      ...(countsPadding ? [int('count_include_pad', o.countIncludePad ?? false)] : []),
    ])[0];
  return Object.freeze({
    ...slot,
    zeros: filled('Zeros'), ones: filled('Ones'),
    /** @param {Graph} g @param {import('./onnx.js').TensorProto} value @returns {Handle} */
    constant: (g, value) => op(g, 'Constant', [], f32, [tensor('value', value)])[0],
    add: binary('Add'), sub: binary('Sub'), mul: binary('Mul'), div: binary('Div'), pow: binary('Pow'),
    neg: unary('Neg'), abs: unary('Abs'), sqrt: unary('Sqrt'), exp: unary('Exp'), log: unary('Log'),
    matmul: binary('MatMul'), dot: binary('Dot'),
    /** @param {Graph} g @param {Handle} a @param {Handle} b @param {Handle} [c] @param {{alpha?: number, beta?: number, transA?: boolean, transB?: boolean}} [o] @returns {Handle} */
    gemm: (g, a, b, c, { alpha = 1, beta = 1, transA = false, transB = false } = {}) =>
      op(g, 'Gemm', c === undefined ? [a, b] : [a, b, c], f32, [float('alpha', alpha), float('beta', beta), int('transA', transA), int('transB', transB)])[0],
    relu: unary('Relu'), sigmoid: unary('Sigmoid'), tanh: unary('Tanh'), gelu: unary('Gelu'),
    /** @param {Graph} g @param {Handle} x @param {number} [axis] @returns {Handle} */
    softmax: (g, x, axis = -1) => op(g, 'Softmax', [x], f32, [int('axis', axis)])[0],
    /** @param {Graph} g @param {Handle} x @param {number} [alpha] @returns {Handle} */
    leakyRelu: (g, x, alpha = 0.01) => op(g, 'LeakyRelu', [x], f32, [float('alpha', alpha)])[0],
    /** @param {Graph} g @param {Handle} x @param {readonly number[]} dims @returns {Handle} */
    reshape: (g, x, dims) => op(g, 'Reshape', [x], f32, [ints('dims', dims)])[0],
    /** @param {Graph} g @param {Handle} x @param {readonly number[]} [perm] @returns {Handle} */
    transpose: (g, x, perm) => op(g, 'Transpose', [x], f32, perm === undefined ? [] : [ints('perm', perm)])[0],
    /** @param {Graph} g @param {readonly Handle[]} xs @param {number} axis @returns {Handle} */
    concat: (g, xs, axis) => op(g, 'Concat', xs, f32, [int('axis', axis)])[0],
    /** @param {Graph} g @param {Handle} x @param {number} axis @param {readonly number[]} sizes @returns {Handle[]} one per size */
    split: (g, x, axis, sizes) => op(g, 'Split', [x], sizes.map(() => types.f32), [int('axis', axis), ints('split', sizes)]),
    /** @param {Graph} g @param {Handle} x @param {readonly number[]} starts @param {readonly number[]} ends @param {readonly number[]} [axes] @param {readonly number[]} [steps] @returns {Handle} */
    slice: (g, x, starts, ends, axes, steps) => op(g, 'Slice', [x], f32, [
      ints('starts', starts), ints('ends', ends), ...(axes === undefined ? [] : [ints('axes', axes)]), ...(steps === undefined ? [] : [ints('steps', steps)]),
    ])[0],
    /** @param {Graph} g @param {Handle} x @param {readonly number[]} [axes] @returns {Handle} */
    squeeze: (g, x, axes) => op(g, 'Squeeze', [x], f32, axes === undefined ? [] : [ints('axes', axes)])[0],
    /** @param {Graph} g @param {Handle} x @param {readonly number[]} axes @returns {Handle} */
    unsqueeze: (g, x, axes) => op(g, 'Unsqueeze', [x], f32, [ints('axes', axes)])[0],
    identity: unary('Identity'),
    /** @param {Graph} g @param {Handle} x @param {number} to  an ONNX data type @returns {Handle} */
    cast: (g, x, to) => op(g, 'Cast', [x], f32, [int('to', to)])[0],
    reduceSum: reduction('ReduceSum'), reduceMean: reduction('ReduceMean'), reduceMax: reduction('ReduceMax'), reduceMin: reduction('ReduceMin'),
    equal: binary('Equal'), greater: binary('Greater'), less: binary('Less'),
    /** @param {Graph} g @param {Handle} x @param {Handle} scale @param {Handle} bias @param {Handle} mean @param {Handle} variance @param {{epsilon?: number, momentum?: number}} [o] @returns {Handle} */
    batchNormalization: (g, x, scale, bias, mean, variance, { epsilon = 1e-5, momentum = 0.9 } = {}) =>
      op(g, 'BatchNormalization', [x, scale, bias, mean, variance], f32, [float('epsilon', epsilon), float('momentum', momentum)])[0],
    /** @param {Graph} g @param {Handle} x @param {Handle} scale @param {Handle} [bias] @param {{axis?: number, epsilon?: number}} [o] @returns {Handle} */
    layerNormalization: (g, x, scale, bias, { axis = -1, epsilon = 1e-5 } = {}) =>
      op(g, 'LayerNormalization', bias === undefined ? [x, scale] : [x, scale, bias], f32, [int('axis', axis), float('epsilon', epsilon)])[0],
    /** @param {Graph} g @param {Handle} x @param {Handle} w @param {Handle | undefined} b @param {{kernelShape: readonly number[], strides: readonly number[], pads: readonly number[], dilations: readonly number[], group?: number}} o @returns {Handle} */
    conv: (g, x, w, b, o) => op(g, 'Conv', b === undefined ? [x, w] : [x, w, b], f32, [
      ints('kernel_shape', o.kernelShape), ints('strides', o.strides), ints('pads', o.pads), ints('dilations', o.dilations), int('group', o.group ?? 1),
    ])[0],
    maxPool: pool('MaxPool', false), averagePool: pool('AveragePool', true), globalAveragePool: unary('GlobalAveragePool'),
    /** @param {Graph} g @param {Handle} data @param {Handle} indices @param {number} [axis] @returns {Handle} */
    gather: (g, data, indices, axis = 0) => op(g, 'Gather', [data, indices], f32, [int('axis', axis)])[0],
    /** @param {Graph} g @param {Handle} data @param {Handle} indices @param {Handle} updates @param {number} [axis] @returns {Handle} */
    scatter: (g, data, indices, updates, axis = 0) => op(g, 'Scatter', [data, indices, updates], f32, [int('axis', axis)])[0],
    /** @param {Graph} g @param {Handle} condition @param {import('./onnx.js').GraphProto} then @param {import('./onnx.js').GraphProto} otherwise @param {number} outputs @returns {Handle[]} */
    if: (g, condition, then, otherwise, outputs) => op(g, 'If', [condition], Array(outputs).fill(types.f32), [graph('then_branch', then), graph('else_branch', otherwise)]),
    /**
     * A whole ONNX file as one operator: planned once for the shapes that arrive, weights packed once. What arrives is converted to the types
     * that the file declares, what leaves is f32.
     * @param {Graph} g @param {import('./internal/bytes.js').BytesLike} file @param {readonly Handle[]} inputs  in the order of the file's inputs
     * @returns {Handle[]} one per output of the file
     */
    onnx(g, file, inputs) {
      const { graph: body, opsetImport = [] } = decodeModel(asBytes(file));
      if (body === undefined) throw new BbwError('E_ONNX_INVALID', 'the file has no graph', { detail: 'model has no graph' });
      const version = opsetImport.find(({ domain = '' }) => domain === '' || domain === 'ai.onnx')?.version ?? 1;
      return op(g, 'BackendSubgraph', inputs, (body.output ?? []).map(() => types.f32), [graph('body', body), int('opset', Number(version))]);
    },
    /** @param {Graph} g @param {Handle | undefined} max @param {Handle | undefined} condition @param {import('./onnx.js').GraphProto} body @param {readonly Handle[]} initial @param {number} outputs @returns {Handle[]} */
    loop: (g, max, condition, body, initial, outputs) => op(g, 'Loop', [max, condition, ...initial], Array(outputs).fill(types.f32), [graph('body', body)]),
  });
}

/** Makers of slots. */
export const slots = Object.freeze({ model, dataSource, aggregator, index, codec, peerSelector, gossip, registryClient, protocol, backend });
