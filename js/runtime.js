// runtime: one instance of the wasm module.
//
// Loads the module from whatever the host has, and is the only place where addresses of wasm memory are known.  Views are made
// anew after every call, because a call may grow the memory; bytes go in by copy and come out by copy.  When the instance
// traps it is poisoned: every later call throws E_TRAP.
//
// A `Runtime` is opaque to users: it is made by `loadRuntime` (async) or `createRuntime` (from a compiled module, sync) and
// passed to install, compile and createModel.

import { BbwError } from './errors.js';
import { asBytes, checkRequestSize, Reader } from './internal/bytes.js';
import { errorOf } from './internal/pack.js';
import { hasRelaxedSimd, hasSimd } from './internal/simd.js';

const ABI_VERSION = 2;
const LATER = 1;

/**
 * Answers a call of the engine into JavaScript; see component.js.
 * @typedef {(call: Reader) => {status: number, reply?: Uint8Array}} HostDispatch
 */

/**
 * Gives a range of a file, or undefined when there is no such file or range.
 * @typedef {(location: string, offset: number, length: number) => Uint8Array | undefined} ReadFile
 */

/** Arguments that stand for the fixed places of results and of errors. */
export const OUT = Symbol('out'), ERR = Symbol('err');

/** Bytes that the engine counts in larger units. */
export class Units {
  /** @param {Uint8Array} bytes @param {number} unit  bytes of one */
  constructor(bytes, unit) {
    this.bytes = bytes;
    this.count = bytes.length / unit;
  }
}

/** @typedef {number | bigint | Uint8Array | Units | typeof OUT | typeof ERR} Argument */

/**
 * @typedef {object} RuntimeOptions
 * @property {number} [maxMemoryBytes]  what the engine may allocate; more is answered with E_NOMEM. Default: no limit, but 96 MiB in an edge worker, whose isolate has 128 MiB
 * @property {(level: number, line: string) => void} [log]  diagnostic lines
 * @property {'strict' | 'relaxed'} [simd]  which module of the package is taken when none is given. 'strict' (default) computes the same bits everywhere, as peers
 *   that compare results want it; 'relaxed' multiplies and adds in one rounding where the JavaScript engine can, which is faster
 */

/**
 * @typedef {WebAssembly.Module | Response | URL | string | import('./internal/bytes.js').BytesLike} WasmSource
 */

/** What an engine may allocate where an isolate has 128 MiB for everything. */
const EDGE_MEMORY_BYTES = 96 * 2 ** 20;
const isEdgeWorker = () => /** @type {any} */ (globalThis).navigator?.userAgent === 'Cloudflare-Workers';

/** Where the package keeps its modules; written so that bundlers see them. @param {boolean} isRelaxed */
const defaultUrl = (isRelaxed) => (isRelaxed ? new URL('../build/wasm/bb-relaxed.wasm', import.meta.url) : new URL('../build/wasm/bb.wasm', import.meta.url));

/** @param {URL} url @returns {Promise<WebAssembly.Module>} */
async function compileUrl(url) {
  if (url.protocol === 'file:') {
    // Node's fetch reads no files. Asked for this way no bundler looks for node:fs.
    const fs = /** @type {any} */ (globalThis).process?.getBuiltinModule?.('node:fs');
    if (fs === undefined) throw new BbwError('E_UNSUPPORTED', `${url} cannot be read here; pass the module or its bytes as option wasm`);
    return WebAssembly.compile(fs.readFileSync(url));
  }
  return compileResponse(await fetch(url));
}

/** @param {Response} response @returns {Promise<WebAssembly.Module>} */
async function compileResponse(response) {
  if (!response.ok) throw new BbwError('E_ABI', `bb.wasm could not be fetched: ${response.status} ${response.url}`, { status: response.status, url: response.url });
  const type = response.headers.get('content-type') ?? '';
  if (type.startsWith('application/wasm')) return WebAssembly.compileStreaming(response);
  if (type.startsWith('text/html')) {
    throw new BbwError('E_ABI', `${response.url} is a page, not bb.wasm: serve the file "bb-wasm/bb.wasm" of the package, or pass its URL as option wasm`, { url: response.url });
  }
  return WebAssembly.compile(await response.arrayBuffer());
}

/**
 * Loads the module and makes an instance.
 * @param {WasmSource | Promise<Response>} [source]  default: the file of the package
 * @param {RuntimeOptions} [options]
 * @returns {Promise<Runtime>}
 */
export async function loadRuntime(source, options = {}) {
  const { simd = 'strict' } = options;
  if (simd !== 'strict' && simd !== 'relaxed') throw new BbwError('E_ARG', "simd must be 'strict' or 'relaxed'", { field: 'simd', value: simd });
  if (!hasSimd()) throw new BbwError('E_UNSUPPORTED', 'this JavaScript engine has no WebAssembly SIMD');
  const given = await (source ?? defaultUrl(simd === 'relaxed' && hasRelaxedSimd()));
  let module;
  if (given instanceof WebAssembly.Module) module = given;
  else if (typeof Response !== 'undefined' && given instanceof Response) module = await compileResponse(given);
  else if (typeof given === 'string' || given instanceof URL) module = await compileUrl(new URL(given, /** @type {any} */ (globalThis).location?.href));
  else module = await WebAssembly.compile(/** @type {BufferSource} */ (asBytes(/** @type {import('./internal/bytes.js').BytesLike} */ (given))));
  return createRuntime(module, options);
}

/**
 * Makes an instance of a compiled module; works where compiling is forbidden, and at global scope in workers.
 * @param {WebAssembly.Module} module
 * @param {RuntimeOptions} [options]
 */
export function createRuntime(module, { maxMemoryBytes = isEdgeWorker() ? EDGE_MEMORY_BYTES : 0, log = () => {} } = {}) {
  if (maxMemoryBytes >>> 0 !== maxMemoryBytes) {
    throw new BbwError('E_ARG', 'maxMemoryBytes must be an integer from 0 (no limit) to 2^32 - 1', { field: 'maxMemoryBytes', value: maxMemoryBytes });
  }
  const foreign = WebAssembly.Module.imports(module).filter((i) => i.module !== 'bbw');
  if (foreign.length > 0) throw new BbwError('E_ABI', 'this is not our wasm module: it imports more than it should', { imports: foreign.map((i) => `${i.module}.${i.name}`) });

  /** Components that live in JavaScript, by host id. @type {Map<number, HostDispatch>} */
  const hosts = new Map();
  /** Files that sessions are made of, by host id. @type {Map<number, import('./runtime.js').ReadFile>} */
  const files = new Map();
  let nextHostId = 1;
  let isPoisoned = false, isBusy = false;
  let isTimeUp = () => false;

  const instance = new WebAssembly.Instance(module, {
    bbw: {
      host_dispatch(/** @type {number} */ hostId, /** @type {number} */ ptr, /** @type {number} */ len, /** @type {number} */ replyPtr) {
        // No JavaScript exception may cross a C frame.
        try {
          const dispatch = hosts.get(hostId >>> 0);
          if (dispatch === undefined) return -4;
          const { status, reply } = dispatch(new Reader(copyOut(ptr >>> 0, len >>> 0)));
          let at = 0;
          if (reply !== undefined && reply.length > 0 && status !== LATER) {
            at = enter(exports.bbw_abi_alloc, reply.length) >>> 0;
            if (at === 0) return -1;
            memory().set(reply, at);
          }
          const view = new DataView(exports.memory.buffer);
          view.setUint32(replyPtr >>> 0, at, true);
          view.setUint32((replyPtr >>> 0) + 4, at === 0 ? 0 : /** @type {Uint8Array} */ (reply).length, true);
          return status;
        } catch {
          return -2;
        }
      },
      host_read(/** @type {number} */ hostId, /** @type {number} */ locationPtr, /** @type {number} */ locationLen, /** @type {number} */ offset, /** @type {number} */ len,
        /** @type {number} */ out) {
        try {
          const location = new TextDecoder('utf-8', { ignoreBOM: true }).decode(copyOut(locationPtr >>> 0, locationLen >>> 0));
          const range = files.get(hostId >>> 0)?.(location, offset, len >>> 0);
          if (range?.length !== len >>> 0) return 0;
          if (out !== 0) memory().set(range, out >>> 0);
          return 1;
        } catch {
          return 0;
        }
      },
      host_time_is_up() {
        try {
          return isTimeUp() ? 1 : 0;
        } catch {
          return 1;
        }
      },
      host_log(/** @type {number} */ level, /** @type {number} */ ptr, /** @type {number} */ len) {
        try {
          log(level, new TextDecoder().decode(copyOut(ptr >>> 0, len >>> 0)));
        } catch { /* a diagnostic line is never worth a failure */ }
      },
    },
  });
  const exports = /** @type {Record<string, (...args: (number | bigint)[]) => number> & {memory: WebAssembly.Memory}} */ (/** @type {unknown} */ (instance.exports));
  if (typeof exports.bbw_abi_version !== 'function' || exports.bbw_abi_version() !== ABI_VERSION) {
    throw new BbwError('E_ABI', 'bb.wasm and the JavaScript of this package are of different versions', { expected: ABI_VERSION });
  }
  exports._initialize?.();
  if (maxMemoryBytes > 0) exports.bbw_abi_set_memory_max(maxMemoryBytes);

  const memory = () => new Uint8Array(exports.memory.buffer);
  /** @param {number} ptr @param {number} len */
  const copyOut = (ptr, len) => memory().slice(ptr, ptr + len);

  /**
   * Runs an export. What it throws, a trap or an overflow of the stack, has left the module in pieces; what is thrown before, for sizes and types, has not.
   * @param {(...args: (number | bigint)[]) => number} run @param {...(number | bigint)} args
   */
  function enter(run, ...args) {
    try {
      return run(...args);
    } catch (cause) {
      if (cause instanceof TypeError) throw cause; // an argument was no number: the export did not begin
      isPoisoned = true;
      throw new BbwError('E_TRAP', `the wasm instance has trapped: ${/** @type {Error} */ (cause).message}`, { cause });
    }
  }

  /** @param {number} size @returns {number} */
  function alloc(size) {
    const at = enter(exports.bbw_abi_alloc, Math.max(size, 1)) >>> 0;
    if (at === 0) throw new BbwError('E_NOMEM', 'out of memory', { bytes: size });
    return at;
  }
  // Fixed places: the error block, and room for results (two u32 words, or one u64).
  const errorSize = exports.bbw_abi_error_size() >>> 0;
  const errorPtr = alloc(errorSize);
  const outPtr = alloc(16);
  let scratchPtr = 0, scratchSize = 0;

  /** @param {number} size */
  const rounded = (size) => Math.ceil(size / 8) * 8;

  /**
   * Copies inputs one behind the other into scratch memory.
   * @param {readonly Uint8Array[]} inputs @returns {number[]} address and length of each
   */
  function copyIn(inputs) {
    let need = 0;
    for (const bytes of inputs) need += rounded(bytes.length);
    checkRequestSize(need);
    if (need > scratchSize) {
      const size = Math.max(need, 4096);
      const at = alloc(size); // may fail, and then the old one is still there
      if (scratchPtr !== 0) enter(exports.bbw_abi_free, scratchPtr, scratchSize);
      scratchPtr = at;
      scratchSize = size;
    }
    const heap = memory();
    const args = [];
    let at = scratchPtr;
    for (const bytes of inputs) {
      heap.set(bytes, at);
      args.push(at, bytes.length);
      at += rounded(bytes.length);
    }
    return args;
  }

  /** @param {string} name */
  function exported(name) {
    if (typeof exports[name] !== 'function') throw new BbwError('E_UNSUPPORTED', `this build of bb.wasm has no ${name}`, { name });
    return exports[name];
  }

  /** A large one-time input must not stay reserved for ever. */
  function trimScratch() {
    if (scratchSize <= 1 << 20) return;
    enter(exports.bbw_abi_free, scratchPtr, scratchSize);
    scratchPtr = 0;
    scratchSize = 0;
  }

  /** @template T @param {() => T} run @returns {T} */
  function guarded(run) {
    if (isPoisoned) throw new BbwError('E_TRAP', 'this wasm instance has trapped; make a new one');
    // From inside a component's method: the engine is in the middle of a poll.
    if (isBusy) throw new BbwError('E_BUSY', 'the node is running; calls from inside a component are refused');
    isBusy = true;
    try {
      return run();
    } finally {
      isBusy = false;
    }
  }

  const self = {
    get isPoisoned() { return isPoisoned; },
    /** Bytes that the engine has allocated now. */
    get memoryUsed() { return guarded(() => enter(exports.bbw_abi_memory_used) >>> 0); },
    /** Bytes of the instance's whole memory. */
    get memoryBytes() { return exports.memory.buffer.byteLength; },

    /**
     * Calls an export that answers with a status. Bytes become address and length (or a count of larger units), OUT and ERR
     * the fixed places; anything else that is no number is refused, so that no argument moves to the place of another.
     * @param {string} name @param {...import('./runtime.js').Argument} args
     * @returns {number} the status, not negative
     * @throws {BbwError} for a negative status
     */
    call(name, ...args) {
      return guarded(() => {
        const places = copyIn(args.flatMap((a) => (a instanceof Uint8Array ? [a] : a instanceof Units ? [a.bytes] : [])));
        memory().fill(0, errorPtr, errorPtr + 24);
        let used = 0;
        /** @type {(number | bigint)[]} */
        const flat = args.flatMap((a, i) => {
          if (typeof a === 'number' || typeof a === 'bigint') return [a];
          if (a === OUT) return [outPtr];
          if (a === ERR) return [errorPtr];
          used += 2;
          if (a instanceof Uint8Array) return [places[used - 2], places[used - 1]];
          if (a instanceof Units) return [places[used - 2], a.count];
          throw new BbwError('E_ARG', `argument ${i} of ${name} is neither a number nor bytes`, { name, argument: i });
        });
        const status = enter(exported(name), ...flat);
        if (status < 0) {
          const error = errorOf(status, args.includes(ERR) ? copyOut(errorPtr, errorSize) : undefined);
          trimScratch();
          throw error;
        }
        return status;
      });
    },
    /** A call without a status. @param {string} name @param {...(number | bigint)} args */
    plain: (name, ...args) => guarded(() => enter(exported(name), ...args)),
    /**
     * Memory of the engine that the glue of one object keeps. `bytes` gives a view that lives until the next call.
     * @param {number} size
     */
    region(size) {
      const ptr = guarded(() => alloc(size));
      let isFreed = false;
      return {
        ptr,
        size,
        bytes: () => new Uint8Array(exports.memory.buffer, ptr, size),
        free() {
          if (isFreed || isPoisoned) return;
          isFreed = true;
          guarded(() => enter(exports.bbw_abi_free, ptr, Math.max(size, 1)));
        },
      };
    },
    /** After a call with `out`: a copy of the bytes that it points to. */
    outBytes() {
      const view = new DataView(exports.memory.buffer);
      const out = copyOut(view.getUint32(outPtr, true), view.getUint32(outPtr + 4, true));
      trimScratch();
      return out;
    },
    /** Writes to memory that the engine has given room in. @param {number} ptr @param {Uint8Array} bytes */
    write: (ptr, bytes) => memory().set(bytes, ptr),
    outU32: () => new DataView(exports.memory.buffer).getUint32(outPtr, true),
    outF64: () => new DataView(exports.memory.buffer).getFloat64(outPtr, true),
    outU64: () => new DataView(exports.memory.buffer).getBigUint64(outPtr, true),

    /** @param {import('./runtime.js').HostDispatch} dispatch @returns {number} host id */
    addHost(dispatch) {
      hosts.set(nextHostId, dispatch);
      return nextHostId++;
    },
    /** Lets the engine read files while `run` runs. @template T @param {import('./runtime.js').ReadFile} read @param {(id: number) => T} run @returns {T} */
    withFiles(read, run) {
      const id = nextHostId++;
      files.set(id, read);
      try {
        return run(id);
      } finally {
        files.delete(id);
      }
    },
    /** What a poll with a time budget asks. @param {() => boolean} question */
    set isTimeUp(question) { isTimeUp = question; },
    /** @param {number} id */
    removeHost: (id) => void hosts.delete(id),
  };
  return self;
}

/** @typedef {ReturnType<typeof createRuntime>} Runtime */

/**
 * What functions accept that need a runtime: one, or what it can be loaded from.
 * @param {{runtime?: Runtime, wasm?: WasmSource | Promise<Response>} & RuntimeOptions} options @returns {Promise<Runtime>}
 */
export async function runtimeOf({ runtime, wasm, ...options }) {
  return runtime ?? loadRuntime(wasm, options);
}
