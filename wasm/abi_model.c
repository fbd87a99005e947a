/* abi_model: a network outside any node, for pages that only want to look at results. */
#include "abi.h"
#include "abi_private.h"
#include "components/onnx_net.h"

/* What forward gave last; valid until the next call for the same model. */
typedef struct abi_model {
  bbw_onnx_net *net;
  bbw_vec y;
} abi_model;

static abi_model *model_at(uint32_t model) { return address(model); }

int32_t bbw_abi_model_new(uint32_t model, uint32_t model_len, uint32_t handle_out, uint32_t err) {
  bbw_error_set(error_at(err), BBW_OK);
  abi_model *handle = bbw_mem_array(&bbw_wasm_mem, 1, sizeof(*handle));
  if (handle == NULL) { return bbw_error_set(error_at(err), BBW_E_NOMEM); }
  bbw_status rv = bbw_onnx_net_new(&handle->net, (bbw_bytes){address(model), model_len}, &bbw_wasm_mem, error_at(err));
  if (rv != BBW_OK) {
    bbw_mem_array_free(&bbw_wasm_mem, handle, 1, sizeof(*handle));
    return rv;
  }
  bbw_vec_init(&handle->y, sizeof(float), &bbw_wasm_mem);
  *(uint32_t *)address(handle_out) = offset(handle);
  return BBW_OK;
}

void bbw_abi_model_del(uint32_t model) {
  if (model == 0) { return; }
  abi_model *handle = model_at(model);
  bbw_onnx_net_del(handle->net);
  bbw_vec_free(&handle->y);
  bbw_mem_array_free(&bbw_wasm_mem, handle, 1, sizeof(*handle));
}

uint32_t bbw_abi_model_param_count(uint32_t model) {
  return (uint32_t)bbw_onnx_net_parameter_count(model_at(model)->net);
}
uint32_t bbw_abi_model_input_width(uint32_t model) { return (uint32_t)bbw_onnx_net_input_width(model_at(model)->net); }
uint32_t bbw_abi_model_output_width(uint32_t model) {
  return (uint32_t)bbw_onnx_net_output_width(model_at(model)->net);
}

int32_t bbw_abi_model_params(uint32_t model, uint32_t out, uint32_t err) {
  (void)err; /* reading cannot fail */
  const bbw_onnx_net *net = model_at(model)->net;
  out_set(out, bbw_onnx_net_parameters(net), bbw_onnx_net_parameter_count(net) * sizeof(float));
  return BBW_OK;
}

int32_t bbw_abi_model_load(uint32_t model, uint32_t params, uint32_t count, uint32_t err) {
  return bbw_onnx_net_load_parameters(model_at(model)->net, address(params), count, error_at(err));
}

int32_t bbw_abi_model_forward(uint32_t model, uint32_t x, uint32_t n, uint32_t out, uint32_t err) {
  abi_model *handle = model_at(model);
  size_t count;
  if (!bbw_size_mul(n, bbw_onnx_net_output_width(handle->net), &count)) {
    return bbw_error_set(error_at(err), BBW_E_LIMIT);
  }
  handle->y.count = 0;
  if (!bbw_vec_reserve(&handle->y, count)) { return bbw_error_set(error_at(err), BBW_E_NOMEM); }
  bbw_status rv = bbw_onnx_net_forward(handle->net, address(x), n, handle->y.items, error_at(err));
  if (rv != BBW_OK) { return rv; }
  out_set(out, handle->y.items, count * sizeof(float));
  return BBW_OK;
}
