#include "components/cpu_backend.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "components/cpu_graph.h"
#include "engine/op.h"

/* Tensors among the inputs; others are NULL.  The first `needed` have to be tensors. */
static bbw_status read_inputs(bbw_ctx *ctx, bbw_value **inputs, size_t count, size_t needed) {
  for (size_t i = 0; i < count; i++) {
    bool is_tensor = bbw_ctx_input_tensor(ctx, i) != NULL;
    if (!is_tensor && i < needed) { return bbw_ctx_fail_input(ctx, i, "CpuTensor"); }
    inputs[i] = is_tensor ? bbw_ctx_input(ctx, i) : NULL;
  }
  return count < needed ? bbw_ctx_fail_input(ctx, count, "CpuTensor") : BBW_OK;
}

static bbw_status run_op(bbw_ctx *ctx, bbw_value **inputs, bbw_value **outputs, size_t output_max) {
  size_t count = bbw_ctx_input_count(ctx);
  bbw_status rv = read_inputs(ctx, inputs, count, bbw_cpu_op_inputs_min(bbw_ctx_op_type(ctx)));
  if (rv != BBW_OK) { return rv; }
  bbw_cpu_call call = {
      .node = ctx->op->node,
      .inputs = inputs,
      .input_count = count,
      .outputs = outputs,
      .output_max = output_max,
      .mem = bbw_ctx_mem(ctx),
  };
  rv = bbw_cpu_op_run(&call);
  if (rv == BBW_E_UNSUPPORTED) { return bbw_ctx_fail(ctx, BBW_OP_OTHER, "unknown op_type", bbw_ctx_op_type(ctx)); }
  if (rv == BBW_E_ARG) { return bbw_ctx_fail(ctx, BBW_OP_OTHER, "", (bbw_str){call.detail, strlen(call.detail)}); }
  if (rv != BBW_OK) { return rv; }
  for (size_t i = 0; i < call.output_count && i < output_max; i++) { bbw_ctx_set_output(ctx, i, outputs[i]); }
  return BBW_OK;
}

static bbw_status run_subgraph(bbw_ctx *ctx, bbw_value **inputs) {
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  const bbw_onnx_attribute *body = bbw_ctx_attribute(ctx, "body");
  if (body == NULL || body->g == NULL) {
    return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "missing_subgraph_body", BBW_STR("attribute `body` is no graph"));
  }
  size_t count = bbw_ctx_input_count(ctx), named = 0, made = body->g->output.count;
  bbw_status rv = read_inputs(ctx, inputs, count, 0);
  bbw_str *names = bbw_mem_array(mem, count, sizeof *names);
  bbw_value **outputs = bbw_mem_array(mem, made, sizeof *outputs);
  bbw_cpu_graph_error err = {.status = BBW_OK};
  if ((count > 0 && names == NULL) || (made > 0 && outputs == NULL)) { rv = BBW_E_NOMEM; }
  for (size_t i = 0; rv == BBW_OK && i < count; i++) {
    bbw_str name = bbw_ctx_input_name(ctx, i);
    if (inputs[i] == NULL || name.len == 0) { continue; }
    names[named] = name;
    inputs[named++] = inputs[i];
  }
  if (rv == BBW_OK) { rv = bbw_cpu_graph_run(body->g, names, inputs, named, outputs, mem, &err); }
  for (size_t i = 0; rv == BBW_OK && i < made; i++) {
    if (outputs[i] != NULL) { bbw_ctx_set_output(ctx, i, outputs[i]); }
  }
  bbw_mem_array_free(mem, outputs, made, sizeof *outputs);
  bbw_mem_array_free(mem, names, count, sizeof *names);
  if (rv == BBW_E_ARG || rv == BBW_E_UNSUPPORTED) {
    return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "", (bbw_str){err.detail, err.detail_len});
  }
  return rv;
}

static bbw_status dispatch(void *self, bbw_ctx *ctx) {
  (void)self;
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  size_t in = bbw_ctx_input_count(ctx), out = bbw_ctx_output_count(ctx) > 0 ? bbw_ctx_output_count(ctx) : 1;
  bbw_value **inputs = bbw_mem_array(mem, in, sizeof *inputs);
  bbw_value **outputs = bbw_mem_array(mem, out, sizeof *outputs);
  bbw_status rv = BBW_E_NOMEM;
  if ((in == 0 || inputs != NULL) && outputs != NULL) {
    bool is_subgraph = bbw_str_equal(bbw_ctx_op_type(ctx), BBW_STR("BackendSubgraph"));
    rv = is_subgraph ? run_subgraph(ctx, inputs) : run_op(ctx, inputs, outputs, out);
  }
  bbw_mem_array_free(mem, outputs, out, sizeof *outputs);
  bbw_mem_array_free(mem, inputs, in, sizeof *inputs);
  return rv;
}

static bool supports(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return role == BBW_ROLE_BACKEND &&
         (bbw_cpu_op_is_known(op_type) || bbw_str_equal(op_type, BBW_STR("BackendSubgraph")));
}

static bbw_status construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                            const bbw_mem *mem, bbw_error *err) {
  (void)type;
  (void)has_config;
  (void)config;
  (void)mem;
  (void)err;
  *self = NULL; /* it remembers nothing */
  return BBW_OK;
}

static void destroy(void *self, const bbw_mem *mem) {
  (void)self;
  (void)mem;
}

const bbw_component_type bbw_cpu_backend_type = {
    .type_name = "bytesandbrains::backends::cpu::CpuBackend",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_BACKEND),
    .is_framework = true,
    .construct = construct,
    .destroy = destroy,
    .dispatch = dispatch,
    .supports = supports,
};
