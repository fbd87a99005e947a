// component: parts of a node that are written in JavaScript.
//
// A component plays one or more roles.  When a role operator fires, the engine calls the method of that name; the method gets
// the input values and a context, and returns values or a promise of them.  While a promise is pending the operator is parked.
// Source: operator specification, sections 4 and 5.

import { BbwError, isBbwError } from './errors.js';
import { ROLES_ROWS } from './generated/constants.js';
import { Reader, wellFormed } from './internal/bytes.js';
import { pack, packList, unpackList } from './internal/pack.js';
import { PeerId } from './peer-id.js';
import { decodeValue, encodeValue, tensor } from './values.js';

/**
 * @typedef {import('./values.js').Value} Value
 * @typedef {'Index' | 'Aggregator' | 'Model' | 'Codec' | 'DataSource' | 'PeerSelector' | 'Backend' | 'Protocol'} RoleName
 */

/**
 * What surrounds a call.
 * @typedef {object} CallContext
 * @property {string} opType
 * @property {RoleName} role
 * @property {bigint} nowNs  the node's clock
 * @property {bigint} cmdId  which call it is; the same after a restore
 * @property {PeerId | undefined} srcPeer  who sent the envelope behind this execution
 * @property {number} outputCount  how many outputs are used
 * @property {Record<string, Attribute>} attributes
 * @property {AbortSignal} signal  aborts when nobody waits for the answer any more: the operator's deadline has passed, or its execution was ended
 */
/** @typedef {{i: bigint, f: number, s: Uint8Array, ints: bigint[]}} Attribute */

/**
 * What a method may return, up to `maxCompletionResultBytes` (nodeConfig) each: a value, a Float32Array (a tensor of one dimension), bytes, a number (a float), an array of these
 * (one per output), or nothing.
 * @typedef {Value | Float32Array | Uint8Array | number | undefined | void} Result
 * @typedef {(inputs: (Value | undefined)[], context: CallContext) => Result | readonly Result[] | Promise<Result | readonly Result[]>} Method
 */

/** Method of each operator: its name in camelCase. A role that is missing here answers every operator by `dispatch`. */
const METHODS = Object.freeze({
  Index: ['add', 'search', 'remove', 'train'],
  Aggregator: ['contribute', 'aggregate'],
  Model: ['forward', 'backward', 'computeLoss', 'applyDelta', 'loadParameters', 'params', 'train', 'evaluate'],
  Codec: ['train', 'encode', 'decode'],
  DataSource: ['nextBatch', 'reset', 'onDataLoaded'],
  PeerSelector: ['sample', 'currentView'],
  Backend: [],
  Protocol: [],
});

/** Stands for a role in calls that are about state. */
const NO_ROLE = 0xffffffff;

const ROLE_NAMES = /** @type {RoleName[]} */ (Object.values(ROLES_ROWS).map((row) => row[0]));

/**
 * @typedef {object} ComponentDefinition
 * @property {string} typeName  the name that bindings use
 * @property {RoleName | readonly RoleName[]} role
 * @property {() => Record<string, any>} [create]  makes the methods for one node; without it they
 *   stand in the definition itself and are shared by all nodes. `bootstrap` among them sets the component up (`runBootstrap`, `runBootstrapSlots`). What it makes may have two more: `save()` gives the state as
 *   bytes, `restore(bytes)` takes it; a snapshot holds the state of components that have both. With `resumes: true` beside them a snapshot holds the calls that have promised an answer too: after a
 *   restore they are made again, in their order, with the same inputs and the same `cmdId`, so that `restore` can have said how far each had come; `settled(cmdId)` says that its answer was given
 */

/**
 * A component type, ready for `install`.
 * @typedef {object} ComponentType
 * @property {string} typeName
 * @property {number} roleBits
 * @property {() => Record<string, Method>} create
 */

/**
 * Defines a component type. Methods have the names of the role's operators in camelCase, or there is one `dispatch` for all.
 * @param {ComponentDefinition & Record<string, unknown>} definition
 * @returns {ComponentType}
 */
export function defineComponent(definition) {
  const { typeName, role, create, ...rest } = definition;
  const roles = /** @type {RoleName[]} */ (typeof role === 'string' ? [role] : [...(role ?? [])]);
  if (typeof typeName !== 'string' || typeName === '' || typeName.includes('|')) {
    throw new BbwError('E_ARG', 'a component needs a type name without "|"', { typeName });
  }
  if (roles.length === 0) throw new BbwError('E_ARG', `component ${typeName} plays no role`, { typeName });
  let roleBits = 0;
  for (const name of roles) {
    const place = ROLE_NAMES.indexOf(name);
    if (place < 0) throw new BbwError('E_ARG', `component ${typeName}: there is no role ${name}`, { typeName, role: name });
    roleBits |= 1 << place;
  }
  const known = new Set(['dispatch', 'bootstrap', ...roles.flatMap((name) => METHODS[name])]);
  for (const [key, value] of Object.entries(rest)) {
    if (typeof value !== 'function') throw new BbwError('E_ARG', `component ${typeName}: ${key} is not a function`, { typeName, method: key });
    if (!known.has(key)) throw new BbwError('E_ARG', `component ${typeName}: role ${roles.join(', ')} has no method ${key}`, { typeName, method: key });
  }
  const methods = /** @type {Record<string, Method>} */ (rest);
  if (create === undefined && Object.keys(methods).length === 0) throw new BbwError('E_ARG', `component ${typeName} has no methods`, { typeName });
  return Object.freeze({ typeName, roleBits, create: create ?? (() => methods) });
}

/** @param {Result} result @returns {Value} */
function toValue(result) {
  if (result instanceof Float32Array) return tensor(result);
  if (result instanceof Uint8Array) return { type: 'Bytes', bytes: result };
  if (typeof result === 'number') return { type: 'RawF32', value: result };
  if (result !== null && typeof result === 'object' && 'type' in result) return result;
  throw new BbwError('E_TYPE_MISMATCH', 'a component returned something that is not a value');
}

/** Results that nobody uses are fine, in reason. */
const RESULTS_MAX = 64;

/**
 * @param {Result | readonly Result[]} results
 * @param {number} outputCount @param {number} cap  bytes of one result, the same for answers at once and later
 * @returns {import('./values.js').EncodedValue[]}
 */
export function encodeResults(results, outputCount, cap) {
  const list = Array.isArray(results) ? results : results === undefined ? [] : [/** @type {Result} */ (results)];
  const countMax = Math.max(outputCount, RESULTS_MAX);
  if (list.length > countMax) throw new BbwError('E_LIMIT', `a component returned ${list.length} results for ${outputCount} outputs`, { count: list.length, cap: countMax });
  return list.map((result) => {
    const value = encodeValue(toValue(result));
    const byteCount = value.payload.length;
    if (byteCount > cap) throw new BbwError('E_OVERSIZE_PAYLOAD', `a component returned ${byteCount} bytes; maxCompletionResultBytes is ${cap}`, { byteCount, cap });
    return value;
  });
}

/** The pack of results: list of {u64 type_hash, bytes payload}. @param {readonly import('./values.js').EncodedValue[]} list */
export const packResults = (list) => pack((out) => packList(out, list, ({ typeHash, payload }) => {
  out.u64(typeHash);
  out.bytes32(payload);
}));

/** What an error says; for anything that was thrown. @param {unknown} error */
export function textOf(error) {
  try {
    const text = error instanceof Error ? `${isBbwError(error) ? `${error.code}: ` : ''}${error.message}` : String(error);
    return wellFormed(text.slice(0, 512));
  } catch {
    return 'something was thrown that has no text';
  }
}

/** What the engine sends for one call. @typedef {ReturnType<typeof readCall>} Call */

/** @param {Uint8Array} bytes  kept, for a snapshot */
function readCall(bytes) {
  const call = new Reader(bytes);
  const roleNumber = call.u32(), opType = call.text32();
  const nowNs = call.u64(), cmdId = call.u64();
  const src = call.bytes32();
  const outputCount = call.u32();
  const inputs = unpackList(call, (input) => {
    const isPresent = input.u32() !== 0;
    const typeHash = input.u64(), payload = input.bytes32();
    return isPresent ? { typeHash, payload } : undefined;
  });
  const attributes = Object.fromEntries(unpackList(call, (input) => {
    const name = input.text32();
    input.u32(); // the type tag; all fields are given
    return [name, { i: input.i64(), f: input.f32(), s: input.bytes32().slice(), ints: unpackList(input, (one) => one.i64()) }];
  }));
  return { bytes, roleNumber, role: ROLE_NAMES[roleNumber], opType, nowNs, cmdId, src, outputCount, inputs, attributes };
}

/**
 * Answers the engine's calls into one component of one node.
 * @param {ComponentType} type
 * @param {Record<string, Method>} methods
 * @param {(cmdId: bigint, outcome: Promise<import('./values.js').EncodedValue[]>, settled: () => void) => void} later  takes over a promised answer, and says when it was given
 * @param {() => number} [cap]  bytes of one result
 * @returns {import('./runtime.js').HostDispatch & {commit: () => void, discard: () => void}}  commit: what was restored takes
 *   the place of what there was; discard: it does not
 */
export function createDispatch(type, methods, later, cap = () => Infinity) {
  /** Restored, while the rest of the node still may fail, with the calls that it has to answer. @type {{methods: Record<string, any>, calls: Call[]} | undefined} */
  let staged;
  /** Calls of a component that resumes which have no answer yet. @type {Map<bigint, Uint8Array>} */
  const waiting = new Map();
  /** Answers that are awaited by somebody who asked for the signal. Another map after a restore, when other calls have the same numbers. @type {Map<bigint, AbortController>} */
  let aborts = new Map();

  /** @param {unknown} error @param {string} [kind] */
  const failure = (error, kind = 'ExecutionFailed') => ({
    status: -175, // E_COMPONENT
    reply: pack((out) => {
      out.text32(kind);
      out.text32(isBbwError(error) ? error.code : 'component_error');
      out.text32(textOf(error));
    }),
  });
  /** @param {string} action @param {Uint8Array} state */
  function keepState(action, state) {
    if (action === 'save') {
      const own = /** @type {Record<string, any>} */ (methods), bytes = own.save();
      if (!(bytes instanceof Uint8Array)) throw new BbwError('E_TYPE_MISMATCH', `${type.typeName}: save() must give a Uint8Array`);
      const payload = own.resumes !== true ? bytes : pack((out) => {
        packList(out, [...waiting.values()], (call) => out.bytes32(call));
        out.bytes32(bytes);
      });
      return { status: 0, reply: packResults([{ typeHash: 0n, payload }]) };
    }
    const fresh = /** @type {Record<string, any>} */ (type.create()), input = new Reader(state);
    const calls = fresh.resumes === true ? unpackList(input, (one) => readCall(one.bytes32())) : [];
    if (calls.some(({ role }) => role === undefined)) input.fail('a call to no role');
    if (new Set(calls.map(({ cmdId }) => cmdId)).size < calls.length) input.fail('two calls of one number');
    const own = fresh.resumes === true ? input.bytes32() : state;
    if (fresh.resumes === true && input.left > 0) input.fail('bytes behind the state');
    fresh.restore(own);
    staged = { methods: fresh, calls };
    return { status: 0 };
  }
  /** Takes over the answer to a call. @param {Call} call @param {Promise<Result | readonly Result[]>} result */
  function promised({ cmdId, bytes, outputCount }, result) {
    const { resumes, settled } = /** @type {Record<string, any>} */ (methods);
    const own = aborts;
    if (resumes === true) waiting.set(cmdId, bytes);
    later(cmdId, result.then((results) => encodeResults(results, outputCount, cap())).finally(() => own.delete(cmdId)), () => {
      waiting.delete(cmdId);
      settled?.(cmdId);
    });
  }
  /** @param {Call} call @param {boolean} [isAgain]  a call out of a snapshot @returns {ReturnType<import('./runtime.js').HostDispatch>} */
  function answer(call, isAgain = false) {
    const { roleNumber, role, opType, nowNs, cmdId, src, outputCount, inputs, attributes } = call, own = aborts;
    try {
      if (roleNumber === NO_ROLE && opType === 'cancel') {
        const controller = aborts.get(cmdId);
        aborts.delete(cmdId);
        queueMicrotask(() => controller?.abort(new BbwError('E_STATE', 'nobody waits for this answer any more'))); // listeners do not run inside the engine
        return { status: 0 };
      }
      if (roleNumber === NO_ROLE) return keepState(opType, /** @type {{payload: Uint8Array}} */ (inputs[0]).payload.slice());
      const name = opType[0].toLowerCase() + opType.slice(1);
      const method = Object.hasOwn(methods, name) ? methods[name] : methods.dispatch;
      if (method === undefined) return failure(`component ${type.typeName} has no method ${name}`, 'NotRegistered');
      const context = {
        opType, role, nowNs, cmdId, srcPeer: src.length === 0 ? undefined : PeerId.fromBytes(src), outputCount, attributes,
        get signal() {
          let controller = own.get(cmdId);
          if (controller === undefined) own.set(cmdId, controller = new AbortController());
          return controller.signal;
        },
      };
      const result = method.call(methods, inputs.map((i) => (i === undefined ? undefined : decodeValue(i.typeHash, i.payload))), context);
      if (result instanceof Promise || isAgain) { // nobody is there for an answer at once to a call that is made again
        promised(call, Promise.resolve(result));
        return { status: 1 }; // LATER
      }
      aborts.delete(cmdId);
      return { status: 0, reply: packResults(encodeResults(result, outputCount, cap())) };
    } catch (error) {
      if (isAgain) promised(call, Promise.reject(error));
      else aborts.delete(cmdId);
      return failure(error);
    }
  }
  return Object.assign((/** @type {Reader} */ given) => answer(readCall(given.view(given.left))), {
    commit() {
      if (staged === undefined) return;
      for (const controller of aborts.values()) queueMicrotask(() => controller.abort(new BbwError('E_STATE', 'the node was restored')));
      aborts = new Map();
      waiting.clear();
      const { methods: restored, calls } = staged;
      methods = restored;
      staged = undefined;
      for (const call of calls) answer(call, true);
    },
    discard() { staged = undefined; },
  });
}

/** Does an object of a component have state that a snapshot keeps? @param {Record<string, any>} methods */
export const hasState = (methods) => typeof methods.save === 'function' && typeof methods.restore === 'function';

/** Can a component be set up? @param {Record<string, any>} methods */
export const hasBootstrap = (methods) => typeof methods.bootstrap === 'function';

/** Names of the roles in a bit mask. @param {number} bits @returns {RoleName[]} */
export const rolesOf = (bits) => ROLE_NAMES.filter((_, place) => (bits & (1 << place)) !== 0);
