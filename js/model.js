// model: a trainable ONNX model outside any node, for evaluation and inference in a page.

import { BbwError } from './errors.js';
import { asBytes } from './internal/bytes.js';
import { runtimeOf } from './runtime.js';

/** @param {Uint8Array} bytes @returns {Float32Array} */
const floats = (bytes) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
/** @param {Float32Array} data @returns {Uint8Array} */
const raw = (data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/**
 * @param {import('./internal/bytes.js').BytesLike} onnx  an ONNX file
 * @param {{runtime?: import('./runtime.js').Runtime, wasm?: import('./runtime.js').WasmSource | Promise<Response>}} [options]
 * @returns {Promise<Model>}
 * @throws {BbwError} E_ONNX_UNSUPPORTED with the list of operators and nodes, E_ONNX_INVALID, E_PROTOBUF
 */
export async function createModel(onnx, options = {}) {
  return createModelIn(await runtimeOf(options), onnx);
}

/**
 * The same in a runtime that exists; synchronous.
 * @param {import('./runtime.js').Runtime} runtime @param {import('./internal/bytes.js').BytesLike} onnx
 */
export function createModelIn(runtime, onnx) {
  runtime.call('bbw_abi_model_new', asBytes(onnx), 'out', 'err');
  let handle = runtime.outU32();
  const alive = () => {
    if (handle === 0) throw new BbwError('E_STATE', 'the model is disposed');
    return handle;
  };
  const count = (/** @type {string} */ name) => runtime.plain(`bbw_abi_model_${name}`, alive()) >>> 0;
  const model = {
    get paramCount() { return count('param_count'); },
    get inputWidth() { return count('input_width'); },
    get outputWidth() { return count('output_width'); },
    /** All parameters, in the order of the file's initializers. */
    params() {
      runtime.call('bbw_abi_model_params', alive(), 'out', 'err');
      return floats(runtime.outBytes());
    },
    /** @param {Float32Array} params */
    load(params) {
      if (params.length !== model.paramCount) throw new BbwError('E_SHAPE', `the model has ${model.paramCount} parameters, not ${params.length}`, { expected: model.paramCount, count: params.length });
      runtime.call('bbw_abi_model_load', alive(), { bytes: raw(params), count: params.length }, 'err');
    },
    /** @param {Float32Array} x  rows of inputWidth numbers @returns {Float32Array} rows of outputWidth numbers */
    forward(x) {
      const width = model.inputWidth;
      if (x.length === 0 || x.length % width !== 0) throw new BbwError('E_SHAPE', `${x.length} numbers are no rows of ${width}`, { width, count: x.length });
      runtime.call('bbw_abi_model_forward', alive(), { bytes: raw(x), count: x.length / width }, 'out', 'err');
      return floats(runtime.outBytes());
    },
    /** Frees everything; twice is fine. */
    dispose() {
      if (handle === 0) return;
      const old = handle;
      handle = 0;
      if (!runtime.isPoisoned) runtime.plain('bbw_abi_model_del', old);
    },
    /** For `using`. */
    [/** @type {typeof Symbol.dispose} */ (Symbol.dispose ?? Symbol.for('Symbol.dispose'))]() { model.dispose(); },
  };
  return model;
}

/** @typedef {ReturnType<typeof createModelIn>} Model */
