#include "component_call.h"

#include <stdlib.h>
#include <string.h>

#define NEED(condition)            \
  do {                             \
    if (!(condition)) { abort(); } \
  } while (0)

void component_call_init(component_call *call) {
  memset(call, 0, sizeof *call);
  test_mem_init(&call->mem);
  bbw_config config;
  bbw_config_init(&config);
  bbw_peer_id self = bbw_peer_id_from_u64(1000);
  NEED(bbw_engine_init(&call->engine, &self, &config, &call->mem.mem) == BBW_OK);
  onnx_file_init(&call->names);
}

static void clear(component_call *call) {
  for (size_t i = 0; i < CALL_MAX; i++) {
    bbw_value_release(call->inputs[i], &call->mem.mem);
    bbw_value_release(call->outputs[i], &call->mem.mem);
    call->inputs[i] = NULL;
    call->outputs[i] = NULL;
  }
  call->engine.temps.count = 0;
}

void component_call_free(component_call *call) {
  clear(call);
  onnx_file_free(&call->names);
  bbw_engine_free(&call->engine);
}

void call_begin(component_call *call, bbw_role role, const char *op_type, size_t outputs) {
  clear(call);
  onnx_file_free(&call->names);
  onnx_file_init(&call->names);
  call->node = onnx_node(&call->names, op_type, "", "a b c d e f", "o p q r s t");
  call->node->output.count = outputs;
  call->op = (bbw_op){.node = call->node, .role = (uint8_t)role};
  call->ctx = (bbw_ctx){
      .engine = &call->engine,
      .op = &call->op,
      .role = role,
      .op_type = call->node->op_type,
      .inputs = call->inputs,
      .outputs = call->outputs,
      .output_count = (uint32_t)outputs,
  };
}

void call_from(component_call *call, uint64_t peer) {
  call->inbound = (bbw_inbound){.src_peer = bbw_peer_id_from_u64(peer)};
  call->ctx.inbound = &call->inbound;
}

void call_input(component_call *call, size_t index, bbw_value *value) {
  NEED(index < CALL_MAX);
  call->inputs[index] = value;
  if (call->ctx.input_count <= index) { call->ctx.input_count = (uint32_t)index + 1; }
}

bbw_value *call_make_tensor(component_call *call, bbw_type type, const char *dims, const float *data, size_t count) {
  uint64_t sizes[BBW_TENSOR_RANK_MAX];
  uint32_t rank = 0;
  for (char *end = NULL; *dims != '\0'; dims = *end == ' ' ? end + 1 : end) {
    sizes[rank++] = strtoull(dims, &end, 10);
  }
  bbw_value *value;
  float *to;
  NEED(bbw_value_new_tensor(&value, &to, type, sizes, rank, &call->mem.mem) == BBW_OK);
  NEED(value->as.tensor.count == count);
  if (count > 0) { memcpy(to, data, count * sizeof *to); }
  return value;
}

void call_tensor(component_call *call, size_t index, bbw_type type, const char *dims, const float *data, size_t count) {
  call_input(call, index, call_make_tensor(call, type, dims, data, count));
}

bbw_status call_run(component_call *call, const bbw_component_type *type, void *self) {
  bbw_value *before[CALL_MAX];
  memcpy(before, call->inputs, sizeof before);
  bbw_status rv = type->dispatch(self, &call->ctx);
  /* The engine owns decoded inputs in `temps` and the bytes by their slot; here both are ours to free. */
  for (size_t i = 0; i < CALL_MAX; i++) {
    if (before[i] != call->inputs[i]) { bbw_value_release(before[i], &call->mem.mem); }
  }
  return rv;
}

const bbw_tensor *call_output(const component_call *call, size_t index) {
  NEED(index < CALL_MAX && call->outputs[index] != NULL && bbw_value_is_tensor(call->outputs[index]));
  return &call->outputs[index]->as.tensor;
}

bool call_reason_is(const component_call *call, const char *reason) {
  return call->ctx.error_reason != NULL && strcmp(call->ctx.error_reason, reason) == 0;
}
