// frame: the arrays of a call to the engine: inputs by name, and where it leaves its outputs.
//
// One block of the engine's memory per object: 48 bytes per array, then the elements of the inputs. Shared by sessions and trainers; not part of
// the public API. Source: wasm/abi.h.

import { BbwError } from '../errors.js';
import { DTYPES, DTYPES_ROWS } from '../generated/constants.js';
import { checkRequestSize, entriesOf, Reader, wrongType } from './bytes.js';

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
export const readText = (reader) => reader.utf8(reader.view(reader.u32()));

/** @param {Reader} reader @returns {Port} */
export function readPort(reader) {
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
 * @param {object} options
 * @param {import('../runtime.js').Runtime} options.runtime
 * @param {readonly Port[]} options.inputs
 * @param {readonly Port[]} [options.extras]  arrays behind the inputs, which may be left out
 * @param {number} options.outputCount
 * @param {() => unknown} options.alive  throws when the owner is disposed
 */
export function createFrame({ runtime, inputs, extras = [], outputCount, alive }) {
  const ports = [...inputs, ...extras];
  /** @type {Map<string, number>} */
  const inputAt = new Map(inputs.map((port, i) => [port.name, i]));
  // One block of the engine's memory: the frame of the call, then the elements of the inputs.
  const frameBytes = aligned((ports.length + outputCount) * ARRAY_BYTES);
  let block = runtime.region(frameBytes);

  /**
   * Copies the inputs into the block and describes them in the frame.
   * @param {Record<string, ArrayInput>} given @param {(ArrayInput | undefined)[]} [others]  one per extra; undefined: left out
   */
  function write(given, others = []) {
    // Getters and proxies of the caller run here, and only here: they may give something else the next time, run this session or dispose of it.
    const entries = entriesOf(given, 'inputs').map(([name, input]) => /** @type {[string, ArrayInput]} */ ([name, snapshot(input)]));
    const added = others.map((input) => (input === undefined ? undefined : snapshot(input)));
    alive();
    /** @type {(ArrayInput | undefined)[]} */
    const ordered = [];
    for (const [name, input] of entries) {
      const at = inputAt.get(name);
      if (at === undefined) throw new BbwError('E_UNKNOWN_INPUT', `the model has no input ${name}`, { input: name, expected: [...inputAt.keys()] });
      checkInput(name, input);
      ordered[at] = input;
    }
    const missing = inputs.findIndex((_, i) => ordered[i] === undefined);
    if (missing >= 0) throw new BbwError('E_ARG', `input ${inputs[missing].name} is missing`, { input: inputs[missing].name });
    extras.forEach(({ name }, i) => {
      const input = added[i];
      if (input !== undefined) checkInput(name, input);
      ordered[inputs.length + i] = input;
    });
    let need = frameBytes;
    const entriesIn = ordered.map((input, i) => {
      if (input === undefined) return undefined;
      const { name, dtype } = ports[i], { data, dims } = input;
      const number = typeOf(name, input, dtype), count = dims.reduce((a, b) => a * b, 1);
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      if (bytes.length !== count * TYPES[number].bytes) throw new BbwError('E_SHAPE', `input ${name}: its length is not what it says`, { input: name, got: bytes.length });
      need += aligned(bytes.length);
      return { name, number, dims, count, bytes };
    });
    checkRequestSize(need);
    const old = block;
    if (need > block.size) block = runtime.region(need); // may fail, and then the old one is still there
    try {
      fill(entriesIn);
    } finally {
      if (old !== block) old.free(); // not earlier: an input may be a view of it
    }
  }

  /** @param {({name: string, number: number, dims: readonly number[], count: number, bytes: Uint8Array} | undefined)[]} entries */
  function fill(entries) {
    const heap = block.bytes();
    const words = new Uint32Array(heap.buffer, heap.byteOffset, frameBytes / 4);
    let at = frameBytes;
    entries.forEach((entry, i) => {
      const record = i * (ARRAY_BYTES / 4);
      if (entry === undefined) {
        words.fill(0, record, record + ARRAY_BYTES / 4);
        return;
      }
      const { name, number, dims, count, bytes } = entry;
      // More memory detaches the views of the old one.
      if (bytes.length !== count * TYPES[number].bytes) throw new BbwError('E_ARG', `input ${name} is a view that is gone`, { input: name });
      words[record] = number;
      words[record + 1] = dims.length;
      for (let d = 0; d < RANK_MAX; d++) words[record + 2 + d] = d < dims.length ? dims[d] : 0;
      words[record + 10] = count;
      words[record + 11] = bytes.length === 0 ? 0 : block.ptr + at;
      heap.set(bytes, at);
      at += aligned(bytes.length);
    });
  }

  /** @param {number} index @param {boolean} isView @returns {ArrayOutput} */
  function read(index, isView) {
    const words = new Uint32Array(block.bytes().buffer, block.ptr + (ports.length + index) * ARRAY_BYTES, ARRAY_BYTES / 4);
    const { name, bytes, View } = TYPES[words[0]];
    const dims = Array.from(words.subarray(2, 2 + words[1]));
    const count = words[10], ptr = count === 0 ? 0 : words[11];
    const view = new View(words.buffer, ptr, count);
    return { dtype: name, dims, data: isView ? view : bytes > 0 ? view.slice() : view };
  }

  return { write, read, get ptr() { return block.ptr; }, free: () => block.free() };
}
