// model: a trainable ONNX model outside any node, for evaluation and inference in a page.

import { BbwError } from './errors.js';
import { asBytes, asFloats } from './internal/bytes.js';
import { ERR, OUT, runtimeOf, Units } from './runtime.js';

/** @param {Uint8Array} bytes @returns {Float32Array} */
const floats = (bytes) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

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
  runtime.call('bbw_abi_model_new', asBytes(onnx), OUT, ERR);
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
      runtime.call('bbw_abi_model_params', alive(), OUT, ERR);
      return floats(runtime.outBytes());
    },
    /** @param {Float32Array} params */
    load(params) {
      const { length } = asFloats(params, 'params');
      if (length !== model.paramCount) throw new BbwError('E_SHAPE', `the model has ${model.paramCount} parameters, not ${length}`, { expected: model.paramCount, count: length });
      runtime.call('bbw_abi_model_load', alive(), new Units(asBytes(params), 4), ERR);
    },
    /** @param {Float32Array} x  rows of inputWidth numbers @returns {Float32Array} rows of outputWidth numbers */
    forward(x) {
      const width = model.inputWidth, { length } = asFloats(x, 'x');
      if (length === 0 || length % width !== 0) throw new BbwError('E_SHAPE', `${length} numbers are no rows of ${width}`, { width, count: length });
      runtime.call('bbw_abi_model_forward', alive(), new Units(asBytes(x), 4 * width), OUT, ERR);
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
