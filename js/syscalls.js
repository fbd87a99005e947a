// syscalls: recording of the operators that need no component.
//
// One function per operator, grouped as in the operator specification, section 2.1.  Names are those of the operators in
// camelCase; units stand in the option names.

import { BbwError } from './errors.js';
import { attribute, P, types } from './graph.js';

/**
 * @typedef {import('./graph.js').Graph} Graph
 * @typedef {import('./graph.js').Handle} Handle
 */

const { int, string } = attribute;

/**
 * @param {Graph} g @param {string} opType @param {readonly Handle[]} inputs @param {readonly string[]} outputs
 * @param {readonly import('./graph.js').Attribute[]} [attributes]
 */
const syscall = (g, opType, inputs, outputs, attributes = []) => g.node({ domain: `${P}syscall`, opType, inputs, outputs, attributes });

/** More outputs than any node can have are a mistake, and would take all memory first. @param {number} fanout */
const checkedFanout = (fanout) => {
  if (!Number.isInteger(fanout) || fanout < 1 || fanout > 4096) throw new BbwError('E_ARG', `a fanout is 1 to 4096, not ${fanout}`, { field: 'fanout', got: fanout });
  return fanout;
};

/** @param {Handle | undefined} value */
const optional = (value) => (value === undefined ? [] : [value]);

/** @param {number | bigint} value */
const ns = (value) => (typeof value === 'bigint' ? value : Math.round(value));

export const syscalls = Object.freeze({
  /** @param {Graph} g @param {Handle} x @returns {Handle} */
  passThrough: (g, x) => syscall(g, 'PassThrough', [x], [x.type])[0],
  /** Copies a value. @param {Graph} g @param {Handle} x @param {number} [fanout] @returns {Handle[]} */
  tee: (g, x, fanout = 2) => syscall(g, 'Tee', [x], Array(checkedFanout(fanout)).fill(x.type), [int('fanout', fanout)]),
  /** A constant, delivered as the bytes of the TensorProto. @param {Graph} g @param {import('./onnx.js').TensorProto} value @returns {Handle} */
  constant: (g, value) => syscall(g, 'Constant', [], [types.bytes], [attribute.tensor('value', value)])[0],

  /** Fires when all values have arrived. @param {Graph} g @param {readonly Handle[]} xs @returns {Handle} */
  gateDispatch: (g, xs) => syscall(g, 'GateDispatch', xs, [types.bytes])[0],
  /** Forwards the value once the trigger has fired. @param {Graph} g @param {Handle} value @param {Handle} trigger @returns {Handle} */
  gate: (g, value, trigger) => syscall(g, 'Gate', [value, trigger], [value.type])[0],
  /** Forwards the first value that arrives. @param {Graph} g @param {readonly Handle[]} xs @param {string} [group] @returns {Handle} */
  any: (g, xs, group = '') => syscall(g, 'Any', xs, [xs[0]?.type ?? types.bytes], [string('group', group)])[0],
  /** @param {Graph} g @param {Handle} trigger @param {{name?: string, n?: number}} [o] @returns {Handle} */
  limitAcquire: (g, trigger, { name = '', n = 1 } = {}) => syscall(g, 'Limit.Acquire', [trigger], [types.trigger], [string('name', name), int('n', n)])[0],
  /** @param {Graph} g @param {Handle} trigger @param {{name?: string}} [o] */
  limitRelease: (g, trigger, { name = '' } = {}) => void syscall(g, 'Limit.Release', [trigger], [], [string('name', name)]),
  /** @param {Graph} g @param {Handle | undefined} value @param {{queue?: string}} [o] @returns {Handle} */
  serializeEnqueue: (g, value, { queue = '' } = {}) => syscall(g, 'Serialize.Enqueue', optional(value), [types.trigger], [string('queue', queue)])[0],
  /** @param {Graph} g @param {Handle} trigger @param {{queue?: string}} [o] @returns {Handle} */
  serializeDequeue: (g, trigger, { queue = '' } = {}) => syscall(g, 'Serialize.Dequeue', [trigger], [types.bytes], [string('queue', queue)])[0],
  /** @param {Graph} g @param {Handle | undefined} value @param {{slot?: string}} [o] */
  holdStash: (g, value, { slot = '' } = {}) => void syscall(g, 'Hold.Stash', optional(value), [], [string('slot', slot)]),
  /** @param {Graph} g @param {Handle} trigger @param {{slot?: string}} [o] @returns {Handle} */
  holdFlush: (g, trigger, { slot = '' } = {}) => syscall(g, 'Hold.Flush', [trigger], [types.bytes], [string('slot', slot)])[0],

  /** Fires at the start of each execution. @param {Graph} g @returns {Handle} */
  pulse: (g) => syscall(g, 'Pulse', [], [types.trigger])[0],
  /** Turns any value into a trigger. @param {Graph} g @param {Handle} x @returns {Handle} */
  onTrigger: (g, x) => syscall(g, 'OnTrigger', [x], [types.trigger])[0],
  /** Gives the time again and again. @param {Graph} g @param {{periodNs: number | bigint}} o @returns {Handle} */
  interval: (g, { periodNs }) => syscall(g, 'Interval', [], [types.bytes], [int('period_ns', ns(periodNs))])[0],
  /** Fires once, some time after `trigger`. @param {Graph} g @param {Handle | undefined} trigger @param {{delayNs: number | bigint}} o @returns {Handle} */
  after: (g, trigger, { delayNs }) => syscall(g, 'After', optional(trigger), [types.trigger], [int('delay_ns', ns(delayNs))])[0],
  /** @param {Graph} g @param {Handle | undefined} trigger @param {{durationNs: number | bigint}} o @returns {Handle} */
  sleep: (g, trigger, { durationNs }) => syscall(g, 'Sleep', optional(trigger), [types.trigger], [int('duration_ns', ns(durationNs))])[0],
  /** Fires when the node reports an event of that kind. @param {Graph} g @param {string} kind @returns {Handle} */
  eventSource: (g, kind) => syscall(g, 'EventSource', [], [types.trigger], [string('kind', kind)])[0],
  /** Fires in a phase of the node's life. @param {Graph} g @param {string} phase @returns {Handle} */
  lifecyclePhase: (g, phase) => syscall(g, 'LifecyclePhase', [], [types.trigger], [string('phase', phase)])[0],
  /** The node's time. @param {Graph} g @param {Handle} [after] @returns {Handle} */
  clock: (g, after) => syscall(g, 'Clock', optional(after), [types.bytes])[0],
  /** @param {Graph} g @param {Handle} [after] @returns {Handle} */
  rngU64: (g, after) => syscall(g, 'RngU64', optional(after), [types.bytes])[0],

  /** Reports bytes to the application. @param {Graph} g @param {string} topic @param {Handle} [value] */
  appEmit: (g, topic, value) => void syscall(g, 'AppEmit', optional(value), [], [string('name', topic)]),
  /** Tells the application that `trigger` fired. @param {Graph} g @param {string} topic @param {Handle} trigger */
  appNotify: (g, topic, trigger) => void syscall(g, 'AppNotify', [trigger], [], [string('name', topic)]),
  /** @param {Graph} g @param {string} name @param {Handle} [value] */
  record: (g, name, value) => void syscall(g, 'Record', optional(value), [], [string('name', name)]),
  /** @param {Graph} g @param {string} name @param {Handle} trigger @param {number} [delta] */
  incrMetric: (g, name, trigger, delta = 1) => void syscall(g, 'IncrMetric', [trigger], [], [string('name', name), int('delta', delta)]),

  /** @param {Graph} g @param {Handle} peer @param {Handle} addresses @returns {Handle} */
  addressBookInsertMany: (g, peer, addresses) => g.node({ domain: `${P}address_book`, opType: 'InsertMany', inputs: [peer, addresses], outputs: [types.trigger] })[0],
  /** @param {Graph} g @param {Handle} peer @returns {Handle} */
  addressBookLookup: (g, peer) => g.node({ domain: `${P}address_book`, opType: 'Lookup', inputs: [peer], outputs: [types.addressVec] })[0],
});
