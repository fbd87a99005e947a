// compiler: from a recorded module to an artifact that installs.
//
// The passes run in wasm.  An error names the module and the port or node; where the recording knows it, `details.source` is the
// line of the recording call.  Source: authoring specification, section 2.

import { BbwError, isBbwError } from './errors.js';
import { asBytes, entriesOf, wrongType } from './internal/bytes.js';
import { pack, packList } from './internal/pack.js';
import { ERR, OUT, runtimeOf } from './runtime.js';

/**
 * @typedef {import('./component.js').RoleName} RoleName
 * @typedef {{role: RoleName, type: string}} Binding
 */

/**
 * @typedef {object} CompileOptions
 * @property {Record<string, Binding>} [bindings]  slot name -> which component plays which role
 * @property {Record<string, string>} [targetNames]  peer class -> name of its target, instead of the derived one
 * @property {'stable' | 'ordinal'} [routing]  how receivers are addressed; 'ordinal' for networks with reference nodes
 * @property {number | bigint} [perHopBudgetNs]  deadline of every Send
 * @property {boolean} [permissiveTypes]  accept values without a known concrete type
 * @property {import('./runtime.js').Runtime} [runtime]
 * @property {import('./runtime.js').WasmSource | Promise<Response>} [wasm]
 */

const ROUTING = { stable: 0, ordinal: 1 };

/**
 * Compiles a module, its recording, or the bytes of a recorded model.
 * @param {import('./module.js').Module | import('./module.js').Recording | import('./internal/bytes.js').BytesLike} source
 * @param {CompileOptions} [options]
 * @returns {Promise<Uint8Array>} the artifact
 * @throws {BbwError} E_COMP_*
 */
export async function compile(source, { runtime, wasm, ...options } = {}) {
  return compileIn(await runtimeOf({ runtime, wasm }), source, options);
}

/** The same, said step by step: `new Compiler().bind('model', 'Model', 'OnnxModel').compile(new Round())`. */
export class Compiler {
  /** @type {CompileOptions} */
  #options;

  /** @param {CompileOptions} [options] */
  constructor(options = {}) {
    this.#options = { ...options, bindings: { ...options.bindings }, targetNames: { ...options.targetNames } };
  }

  /** Says which component plays a role. @param {string} slot @param {RoleName} role @param {string} type @returns {this} */
  bind(slot, role, type) {
    this.#options.bindings = { ...this.#options.bindings, [slot]: { role, type } };
    return this;
  }

  /** Names the target of a peer class. @param {string} peerClass @param {string} name @returns {this} */
  target(peerClass, name) {
    this.#options.targetNames = { ...this.#options.targetNames, [peerClass]: name };
    return this;
  }

  /** @param {Parameters<typeof compile>[0]} source @returns {Promise<Uint8Array>} the artifact */
  compile(source) {
    return compile(source, this.#options);
  }
}

/**
 * The same in a runtime that exists; synchronous.
 * @param {import('./runtime.js').Runtime} runtime
 * @param {import('./module.js').Module | import('./module.js').Recording | import('./internal/bytes.js').BytesLike} source
 * @param {Omit<CompileOptions, 'runtime' | 'wasm'>} [options]
 * @returns {Uint8Array}
 */
export function compileIn(runtime, source, { bindings = {}, targetNames = {}, routing = 'stable', perHopBudgetNs = 0, permissiveTypes = false } = {}) {
  if (source === null || typeof source !== 'object') throw wrongType('source', 'a module, a recording or bytes', source);
  const recording = 'record' in source ? source.record() : 'model' in source ? source : undefined;
  const model = recording?.model ?? asBytes(/** @type {import('./internal/bytes.js').BytesLike} */ (source));
  if (!Object.hasOwn(ROUTING, routing)) throw new BbwError('E_ARG', `there is no routing "${routing}"`, { routing });
  const request = pack((out) => {
    out.bytes32(model);
    packList(out, entriesOf(bindings, 'bindings'), ([slot, binding]) => {
      out.text32(slot);
      out.text32(binding?.role, `bindings.${slot}.role`);
      out.text32(binding?.type, `bindings.${slot}.type`);
    });
    packList(out, entriesOf(targetNames, 'targetNames'), ([peerClass, name]) => {
      out.text32(peerClass);
      out.text32(name, `targetNames.${peerClass}`);
    });
    out.u64(perHopBudgetNs, 'perHopBudgetNs');
    out.u32(permissiveTypes ? 1 : 0);
    out.u32(ROUTING[routing]);
  });
  try {
    runtime.call('bbw_abi_compile', request, OUT, ERR);
  } catch (error) {
    throw recording === undefined ? error : located(error, recording);
  }
  return runtime.outBytes();
}

/**
 * Adds module and source line to an error of the compiler.
 * @param {unknown} error @param {import('./module.js').Recording} recording
 */
function located(error, recording) {
  if (!isBbwError(error)) return error;
  // Whatever field names a value; values of inlined sub-modules carry a suffix.
  const source = Object.values(error.details)
    .map((field) => (typeof field === 'string' ? recording.sourceOf(field) ?? recording.sourceOf(field.replace(/#.*$/, '')) : undefined))
    .find((line) => line !== undefined);
  const details = { module: recording.name, ...error.details, ...(source === undefined ? {} : { source }) };
  return new BbwError(error.code, `${recording.name}: ${error.message}${source === undefined ? '' : ` (${source})`}`, { ...details, cause: error });
}
