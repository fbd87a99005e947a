// sides: the same product of two matrices, by us and by what others use, behind one form.
//
// A side gives `prepare(task)`, which answers a function that computes once: typed arrays in, a typed array out, as a user calls it.  Where b is
// constant (the weights of a layer) it is handed over before, and every side may do with it what it does with weights.  Ours are the
// kernels through a copy in and a copy out, since there is no more around them.  Runs in Node and in a page.

/** @typedef {{m: number, n: number, k: number, a: Float32Array, b: Float32Array, isConstant: boolean}} Task */
/** @typedef {{name: string, prepare: (task: Task) => Promise<{run: () => Promise<Float32Array> | Float32Array, free: () => void}>}} Side */

/** @param {WebAssembly.Module} module @returns {Promise<any>} the exports of kernels.c */
export async function instantiate(module) {
  const wasi = new Proxy({}, { get: () => () => 0 });
  const { exports } = await WebAssembly.instantiate(module, { env: { emscripten_notify_memory_growth() {} }, wasi_snapshot_preview1: wasi });
  exports._initialize?.();
  return exports;
}

/** Memory for a task inside of our module. @param {any} wasm @param {Task} task */
export function place(wasm, { m, n, k, a, b, isConstant }) {
  const at = { a: wasm.compare_alloc(m * k), b: wasm.compare_alloc(n * k), c: wasm.compare_alloc(m * n), packed: 0, scratch: wasm.compare_alloc(wasm.compare_gemm_scratch(m, n, k)) };
  if (isConstant) at.packed = wasm.compare_alloc(wasm.compare_pack_size(n, k));
  new Float32Array(wasm.memory.buffer, at.a, m * k).set(a);
  new Float32Array(wasm.memory.buffer, at.b, n * k).set(b);
  if (isConstant) wasm.compare_pack(at.packed, at.b, n, k);
  return {
    ...at,
    /** @param {number} repeats */
    multiply: (repeats) => wasm.compare_gemm(at.a, isConstant ? at.packed : at.b, at.c, m, n, k, isConstant ? 1 : 0, at.scratch, repeats),
    free() { for (const p of Object.values(at)) if (p !== 0) wasm.compare_free(p); },
  };
}

/** @param {string} name @param {any} wasm @returns {Side} */
export function ours(name, wasm) {
  return {
    name,
    async prepare(task) {
      const at = place(wasm, task);
      const run = () => {
        new Float32Array(wasm.memory.buffer, at.a, task.m * task.k).set(task.a);
        if (!task.isConstant) new Float32Array(wasm.memory.buffer, at.b, task.n * task.k).set(task.b);
        at.multiply(1);
        return new Float32Array(wasm.memory.buffer, at.c, task.m * task.n).slice();
      };
      return { run, free: at.free };
    },
  };
}

// ---- ONNX: a model of one MatMul ----

/** @param {number} x */
const varint = (x) => { const out = []; do { out.push((x & 127) | (x > 127 ? 128 : 0)); x = Math.floor(x / 128); } while (x > 0); return out; };
/** @param {number} field @param {number} value */
const int = (field, value) => [...varint(field * 8), ...varint(value)];
/** @param {number} field @param {Iterable<number>} bytes */
const sub = (field, bytes) => { const body = [...bytes]; return [...varint(field * 8 + 2), ...varint(body.length), ...body]; };
/** @param {number} field @param {string} s */
const text = (field, s) => sub(field, new TextEncoder().encode(s));
/** @param {string} name @param {number[]} dims */
const info = (name, dims) => [...text(1, name), ...sub(2, sub(1, [...int(1, 1), ...sub(2, dims.flatMap((d) => sub(1, int(1, d))))]))];

/** @param {Task} task @returns {Uint8Array} */
function matmulModel({ m, n, k, b, isConstant }) {
  const head = [...sub(1, [...text(1, 'a'), ...text(1, 'b'), ...text(2, 'c'), ...text(4, 'MatMul')]), ...text(2, 'g')];
  const tail = [...sub(11, info('a', [m, k])), ...(isConstant ? [] : sub(11, info('b', [k, n]))), ...sub(12, info('c', [m, n]))];
  const weights = new Uint8Array(b.buffer, b.byteOffset, isConstant ? b.byteLength : 0);
  const tensor = [...int(1, k), ...int(1, n), ...int(2, 1), ...text(8, 'b'), ...varint(9 * 8 + 2), ...varint(weights.length)];
  const initializer = isConstant ? [...varint(5 * 8 + 2), ...varint(tensor.length + weights.length), ...tensor] : [];
  const graphLength = head.length + initializer.length + weights.length + tail.length;
  const before = [...int(1, 8), ...sub(8, [...text(1, ''), ...int(2, 13)]), ...varint(7 * 8 + 2), ...varint(graphLength), ...head, ...initializer];
  const out = new Uint8Array(before.length + weights.length + tail.length);
  out.set(before);
  out.set(weights, before.length);
  out.set(tail, before.length + weights.length);
  return out;
}

/** @param {any} ort @returns {Side} */
export function onnxruntime(ort) {
  return {
    name: 'onnxruntime-web',
    async prepare(task) {
      const session = await ort.InferenceSession.create(matmulModel(task), { executionProviders: ['wasm'], intraOpNumThreads: 1 });
      const run = async () => {
        /** @type {Record<string, any>} */
        const feeds = { a: new ort.Tensor('float32', task.a, [task.m, task.k]) };
        if (!task.isConstant) feeds.b = new ort.Tensor('float32', task.b, [task.k, task.n]);
        return (await session.run(feeds)).c.data;
      };
      return { run, free: () => session.release() };
    },
  };
}

/** Tensors stay inside of the backend between calls, as its users keep them; the result comes out. @param {any} tf @returns {Side} */
export function tfjs(tf) {
  return {
    name: 'tfjs-wasm',
    async prepare(task) {
      const a = tf.tensor2d(task.a, [task.m, task.k]), b = tf.tensor2d(task.b, [task.k, task.n]);
      const run = () => {
        const c = tf.matMul(a, b);
        const data = c.dataSync();
        c.dispose();
        return data;
      };
      return { run, free: () => tf.dispose([a, b]) };
    },
  };
}

/** @param {any} jax @returns {Side} */
export function jaxjs(jax) {
  return {
    name: 'jax-js',
    async prepare(task) {
      const a = jax.numpy.array(task.a).reshape([task.m, task.k]), b = jax.numpy.array(task.b).reshape([task.k, task.n]);
      const product = jax.jit((/** @type {any} */ x, /** @type {any} */ y) => jax.numpy.matmul(x, y));
      return { run: () => product(a.ref, b.ref).data(), free: () => { a.dispose(); b.dispose(); product.dispose?.(); } };
    },
  };
}
