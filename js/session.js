// session: runs a standard ONNX model outside any node.
//
// `createSession(bytes)` reads a file as PyTorch, TensorFlow or scikit-learn export it; docs/OPERATORS.md lists the operators. `run` is
// synchronous: it takes typed arrays with their shapes and gives typed arrays. The same inputs give the same bits.

import { BbwError } from './errors.js';
import { DTYPES, DTYPES_ROWS } from './generated/constants.js';
import { asBytes, checkRequestSize, entriesOf, Reader, wrongType } from './internal/bytes.js';
import { ERR, OUT, runtimeOf } from './runtime.js';

/**
 * Names of element types. float16 and bfloat16 are handed over as their bits in a Uint16Array, bool as a Uint8Array of 0 and 1.
 * @typedef {'float32' | 'uint8' | 'int8' | 'uint16' | 'int16' | 'int32' | 'int64' | 'bool' | 'float16' | 'float64' | 'uint32' | 'uint64' | 'bfloat16'} Dtype
 * @typedef {Float32Array | Uint8Array | Int8Array | Uint16Array | Int16Array | Int32Array | BigInt64Array | Float64Array | Uint32Array | BigUint64Array} TypedArray
 */

/**
 * What `run` takes: elements in row-major order and a shape. `dtype` is needed only where the array does not say it: for 'bool', 'float16' and
 * 'bfloat16', unless the model declares the input so.
 * @typedef {{data: TypedArray, dims: readonly number[], dtype?: Dtype}} ArrayInput
 * @typedef {{data: TypedArray, dims: number[], dtype: Dtype}} ArrayOutput
 */

/**
 * An input or output as the model declares it. `dtype` and `dims` are undefined where the model does not say; a dimension of any size is its
 * name in the model, or null when it has none.
 * @typedef {{name: string, dtype?: Dtype, dims?: (number | string | null)[]}} Port
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

const ARRAY_BYTES = 48, RANK_MAX = 8, ALIGNMENT = 16;

/** Name, bytes per element and array class of each type, by its number in the engine. @type {{name: Dtype, bytes: number, View: any}[]} */
const TYPES = [];
/** @type {Record<string, any>} */
const VIEWS = {
  float32: Float32Array, uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array,
  float16: Uint16Array, float64: Float64Array, uint32: Uint32Array, uint64: BigUint64Array, bfloat16: Uint16Array,
};
Object.keys(DTYPES).forEach((key, place) => {
  const [name] = /** @type {readonly unknown[]} */ (DTYPES_ROWS[/** @type {keyof typeof DTYPES} */ (key)]);
  const View = VIEWS[/** @type {string} */ (name)];
  TYPES[place + 1] = { name: /** @type {Dtype} */ (name), bytes: View.BYTES_PER_ELEMENT, View };
});
/** @type {Map<string, number>} */
const NUMBER_OF = new Map(TYPES.flatMap((type, number) => (type === undefined ? [] : [[type.name, number]])));

/** @param {number} n */
const aligned = (n) => Math.ceil(n / ALIGNMENT) * ALIGNMENT;

/**
 * The element type that an input has: what it says, what the model declares if the array fits it, or what the array is.
 * @param {string} name @param {ArrayInput} input @param {Dtype | undefined} declared @returns {number}
 */
function typeOf(name, input, declared) {
  const wanted = input.dtype ?? declared;
  const number = wanted === undefined ? undefined : NUMBER_OF.get(wanted);
  if (input.dtype !== undefined && number === undefined) throw new BbwError('E_ARG', `${input.dtype} is no element type`, { input: name, dtype: input.dtype });
  if (number !== undefined && input.data instanceof TYPES[number].View) return number;
  const own = TYPES.findIndex((type) => type !== undefined && input.data instanceof type.View);
  if (own < 0 || input.dtype !== undefined) {
    throw new BbwError('E_ELEMENT_TYPE', `input ${name} must be a ${number === undefined ? 'typed array' : TYPES[number].View.name}`,
      { input: name, expected: wanted ?? 'a typed array', got: /** @type {any} */ (input.data)?.constructor?.name ?? typeof input.data });
  }
  return own; // the engine compares it with the declaration
}

/** What the caller gives now; anything that is no object is left to checkInput. @param {ArrayInput} input @returns {ArrayInput} */
function snapshot(input) {
  if (input === null || typeof input !== 'object') return input;
  const { data, dims, dtype } = input;
  return { data, dims: Array.isArray(dims) ? [...dims] : dims, ...(dtype !== undefined && { dtype }) };
}

/** @param {string} name @param {ArrayInput} input */
function checkInput(name, input) {
  if (input === null || typeof input !== 'object' || !ArrayBuffer.isView(input.data)) throw wrongType(name, 'an object {data, dims}', input);
  const { dims, data } = input;
  const isShape = Array.isArray(dims) && dims.length <= RANK_MAX && dims.every((d) => Number.isSafeInteger(d) && d >= 0 && d < 2 ** 31);
  if (!isShape || dims.reduce((a, b) => a * b, 1) !== data.length) {
    throw new BbwError('E_SHAPE', `input ${name}: ${data.length} elements do not fill the shape [${Array.isArray(dims) ? dims.map(String).join(', ') : String(dims)}]`,
      { input: name, expected: Array.isArray(dims) ? [...dims] : dims, got: data.length });
  }
}

/** @param {Reader} reader */
const readText = (reader) => reader.utf8(reader.view(reader.u32()));

/** @param {Reader} reader @returns {Port} */
function readPort(reader) {
  const name = readText(reader);
  const dtype = TYPES[reader.u32()]?.name;
  const hasShape = reader.u32() !== 0;
  const dims = Array.from({ length: reader.u32() }, () => {
    const size = BigInt.asIntN(64, reader.u64()), symbol = readText(reader);
    return size >= 0n ? Number(size) : symbol === '' ? null : symbol;
  });
  return { name, ...(dtype !== undefined && { dtype }), ...(hasShape && { dims }) };
}

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
  /** @type {Map<string, number>} */
  const inputAt = new Map(inputs.map((port, i) => [port.name, i]));
  const outputAt = new Map(outputs.map((port, i) => [port.name, i]));
  // One block of the engine's memory: the frame of the call, then the elements of the inputs.
  const frameBytes = aligned((inputs.length + outputs.length) * ARRAY_BYTES);
  let block = runtime.region(frameBytes);

  /** Copies the inputs into the block and describes them in the frame. @param {Record<string, ArrayInput>} given */
  function writeInputs(given) {
    // Getters and proxies of the caller run here, and only here: they may give something else the next time, run this session or dispose of it.
    const entries = entriesOf(given, 'inputs').map(([name, input]) => /** @type {[string, ArrayInput]} */ ([name, snapshot(input)]));
    alive();
    /** @type {ArrayInput[]} */
    const ordered = [];
    for (const [name, input] of entries) {
      const at = inputAt.get(name);
      if (at === undefined) throw new BbwError('E_UNKNOWN_INPUT', `the model has no input ${name}`, { input: name, expected: [...inputAt.keys()] });
      checkInput(name, input);
      ordered[at] = input;
    }
    const missing = inputs.findIndex((_, i) => ordered[i] === undefined);
    if (missing >= 0) throw new BbwError('E_ARG', `input ${inputs[missing].name} is missing`, { input: inputs[missing].name });
    const numbers = ordered.map((input, i) => typeOf(inputs[i].name, input, inputs[i].dtype));
    const sources = ordered.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    const counts = ordered.map(({ dims }) => dims.reduce((a, b) => a * b, 1));
    let need = frameBytes;
    sources.forEach(({ length }, i) => {
      if (length !== counts[i] * TYPES[numbers[i]].bytes) throw new BbwError('E_SHAPE', `input ${inputs[i].name}: its length is not what it says`, { input: inputs[i].name, got: length });
      need += aligned(length);
    });
    checkRequestSize(need);
    const old = block;
    if (need > block.size) block = runtime.region(need); // may fail, and then the old one is still there
    try {
      fill(ordered, numbers, counts, sources);
    } finally {
      if (old !== block) old.free(); // not earlier: an input may be a view of it
    }
  }

  /** @param {ArrayInput[]} ordered @param {number[]} numbers @param {number[]} counts @param {Uint8Array[]} sources */
  function fill(ordered, numbers, counts, sources) {
    const heap = block.bytes();
    const words = new Uint32Array(heap.buffer, heap.byteOffset, frameBytes / 4);
    let at = frameBytes;
    ordered.forEach(({ dims }, i) => {
      const bytes = sources[i];
      // More memory detaches the views of the old one.
      if (bytes.length !== counts[i] * TYPES[numbers[i]].bytes) throw new BbwError('E_ARG', `input ${inputs[i].name} is a view that is gone`, { input: inputs[i].name });
      const record = i * (ARRAY_BYTES / 4);
      words[record] = numbers[i];
      words[record + 1] = dims.length;
      for (let d = 0; d < RANK_MAX; d++) words[record + 2 + d] = d < dims.length ? dims[d] : 0;
      words[record + 10] = counts[i];
      words[record + 11] = bytes.length === 0 ? 0 : block.ptr + at;
      heap.set(bytes, at);
      at += aligned(bytes.length);
    });
  }

  /** @param {number} index @param {boolean} isView @returns {ArrayOutput} */
  function readOutput(index, isView) {
    const words = new Uint32Array(block.bytes().buffer, block.ptr + (inputs.length + index) * ARRAY_BYTES, ARRAY_BYTES / 4);
    const { name, bytes, View } = TYPES[words[0]];
    const dims = Array.from(words.subarray(2, 2 + words[1]));
    const count = words[10], ptr = count === 0 ? 0 : words[11];
    const view = new View(words.buffer, ptr, count);
    return { dtype: name, dims, data: isView ? view : bytes > 0 ? view.slice() : view };
  }

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
      writeInputs(given);
      runtime.call('bbw_abi_session_run', alive(), block.ptr, ERR);
      return Object.fromEntries(names.map((name) => [name, readOutput(/** @type {number} */ (outputAt.get(name)), view)]));
    },
    /** Another session with the same weights, which are not copied. @returns {Session} */
    share() {
      runtime.call('bbw_abi_session_share', alive(), OUT, ERR);
      return opened(runtime);
    },
    /** Bytes: of the weights as they are used, of results and plans now and at most; and the nodes that are left after simplification. */
    get memory() {
      const words = runtime.region(ALIGNMENT);
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
      block.free();
    },
    /** For `using`. */
    [/** @type {typeof Symbol.dispose} */ (Symbol.dispose ?? Symbol.for('Symbol.dispose'))]() { session.dispose(); },
  };
  return session;
}

/** @typedef {ReturnType<typeof sessionOf>} Session */
