// session: runs a standard ONNX model outside any node.
//
// `createSession(bytes)` reads a file as PyTorch, TensorFlow or scikit-learn export it; docs/OPERATORS.md lists the operators. `run` is
// synchronous: it takes typed arrays with their shapes and gives typed arrays. The same inputs give the same bits.

import { BbwError } from './errors.js';
import { asBytes, Reader } from './internal/bytes.js';
import { createFrame, readPort } from './internal/frame.js';
import { ERR, OUT, runtimeOf } from './runtime.js';

/**
 * @typedef {import('./internal/frame.js').Dtype} Dtype
 * @typedef {import('./internal/frame.js').TypedArray} TypedArray
 * @typedef {import('./internal/frame.js').ArrayInput} ArrayInput
 * @typedef {import('./internal/frame.js').ArrayOutput} ArrayOutput
 * @typedef {import('./internal/frame.js').Port} Port
 */

/**
 * @typedef {object} SessionOptions
 * @property {import('./runtime.js').Runtime} [runtime]
 * @property {import('./runtime.js').WasmSource | Promise<Response>} [wasm]
 * @property {number} [maxMemoryBytes]  what model and results may take together; more is refused with E_LIMIT before it is allocated
 * @property {boolean} [plain]  run the graph as it stands, nothing folded, fused or packed: for comparisons
 */

/**
 * @typedef {object} RunOptions
 * @property {readonly string[]} [outputs]  which outputs to give; default: all
 * @property {boolean} [view]  give views of the engine's memory instead of copies: read them before the next call of anything in this runtime
 */

/**
 * @param {import('./internal/bytes.js').BytesLike} model  an ONNX file
 * @param {SessionOptions} [options]
 * @returns {Promise<Session>}
 * @throws {BbwError} E_ONNX_UNSUPPORTED with the list `nodes` of all that is missing, E_ONNX_INVALID, E_PROTOBUF, E_LIMIT, E_NOMEM
 */
export async function createSession(model, options = {}) {
  const { maxMemoryBytes, plain, ...rest } = options;
  return createSessionIn(await runtimeOf(rest), model, options);
}

/**
 * The same in a runtime that exists; synchronous.
 * @param {import('./runtime.js').Runtime} runtime @param {import('./internal/bytes.js').BytesLike} model
 * @param {Pick<SessionOptions, 'maxMemoryBytes' | 'plain'>} [options]
 */
export function createSessionIn(runtime, model, { maxMemoryBytes = 0, plain = false } = {}) {
  if (maxMemoryBytes >>> 0 !== maxMemoryBytes) {
    throw new BbwError('E_ARG', 'maxMemoryBytes must be an integer from 0 (no limit) to 2^32 - 1', { field: 'maxMemoryBytes', value: maxMemoryBytes });
  }
  runtime.call('bbw_abi_session_new', asBytes(model), maxMemoryBytes, plain ? 1 : 0, OUT, ERR);
  return opened(runtime);
}

/** The session whose handle the engine has just given. @param {import('./runtime.js').Runtime} runtime */
function opened(runtime) {
  const handle = runtime.outU32();
  try {
    return sessionOf(runtime, handle);
  } catch (error) {
    if (!runtime.isPoisoned) runtime.plain('bbw_abi_session_del', handle); // nobody else knows it
    throw error;
  }
}

/** @param {import('./runtime.js').Runtime} runtime @param {number} handle */
function sessionOf(runtime, handle) {
  const alive = () => {
    if (handle === 0) throw new BbwError('E_STATE', 'the session is disposed');
    return handle;
  };
  runtime.call('bbw_abi_session_ports', handle, OUT);
  const reader = new Reader(runtime.outBytes());
  const inputs = Array.from({ length: reader.u32() }, () => readPort(reader));
  const outputs = Array.from({ length: reader.u32() }, () => readPort(reader));
  const outputAt = new Map(outputs.map((port, i) => [port.name, i]));
  const frame = createFrame({ runtime, inputs, outputCount: outputs.length, alive });

  const session = {
    /** @type {readonly Port[]} */
    inputs,
    /** @type {readonly Port[]} */
    outputs,
    /**
     * Runs the model once.
     * @param {Record<string, ArrayInput>} given  one array for every input, by name
     * @param {RunOptions} [options]
     * @returns {Record<string, ArrayOutput>}
     * @throws {BbwError} E_UNKNOWN_INPUT, E_ARG, E_ELEMENT_TYPE and E_SHAPE (details: input, expected, got); E_ONNX_INVALID, E_LIMIT with the node
     *   that refuses; E_NOMEM. The session can be used as before.
     */
    run(given, { outputs: wanted, view = false } = {}) {
      const names = wanted ?? outputs.map(({ name }) => name);
      for (const name of names) {
        if (!outputAt.has(name)) throw new BbwError('E_ARG', `the model has no output ${name}`, { output: name, expected: [...outputAt.keys()] });
      }
      alive();
      frame.write(given);
      runtime.call('bbw_abi_session_run', alive(), frame.ptr, ERR);
      return Object.fromEntries(names.map((name) => [name, frame.read(/** @type {number} */ (outputAt.get(name)), view)]));
    },
    /** Another session with the same weights, which are not copied. @returns {Session} */
    share() {
      runtime.call('bbw_abi_session_share', alive(), OUT, ERR);
      return opened(runtime);
    },
    /** Bytes: of the weights as they are used, of results and plans now and at most; and the nodes that are left after simplification. */
    get memory() {
      const words = runtime.region(16);
      try {
        runtime.plain('bbw_abi_session_stats', alive(), words.ptr);
        const [weights, results, resultsPeak, nodes] = new Uint32Array(words.bytes().buffer, words.ptr, 4);
        return { weights, results, resultsPeak, nodes };
      } finally {
        words.free();
      }
    },
    /** Frees everything; twice is fine. */
    dispose() {
      if (handle === 0) return;
      const old = handle;
      handle = 0;
      if (runtime.isPoisoned) return;
      runtime.plain('bbw_abi_session_del', old);
      frame.free();
    },
    /** For `using`. */
    [/** @type {typeof Symbol.dispose} */ (Symbol.dispose ?? Symbol.for('Symbol.dispose'))]() { session.dispose(); },
  };
  return session;
}

/** @typedef {ReturnType<typeof sessionOf>} Session */
