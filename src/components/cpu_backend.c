#include "components/cpu_backend.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "components/cpu_graph.h"
#include "components/cpu_session.h"
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

/* "node: detail", as far as the error says. */
static bbw_status fail_with(bbw_ctx *ctx, bbw_op_error_kind kind, const bbw_error *err) {
  char text[BBW_CPU_GRAPH_DETAIL_MAX];
  size_t used = 0;
  bbw_str status = bbw_status_name((bbw_status)err->status), item = bbw_error_item(err, "nodes", 0);
  bbw_str node = bbw_error_field(err, "node"), detail = bbw_error_field(err, "detail");
  const bbw_str parts[] = {status, BBW_STR(" "), item.len > 0 ? item : node,
                           detail.len > 0 ? BBW_STR(": ") : BBW_STR(""), detail};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    size_t n = parts[i].len < sizeof text - used ? parts[i].len : sizeof text - used;
    if (n > 0) { memcpy(text + used, parts[i].ptr, n); }
    used += n;
  }
  size_t bad;
  if (!bbw_utf8_is_valid((bbw_bytes){(const uint8_t *)text, used}, &bad)) { used = bad; }
  return bbw_ctx_fail(ctx, kind, "", (bbw_str){text, used});
}

/* By the table of ONNX operators. */
static bbw_status run_session(bbw_cpu_sessions *self, bbw_ctx *ctx, bbw_value **inputs, bbw_value **outputs,
                              size_t output_max, bbw_op_error_kind kind) {
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  size_t count = bbw_ctx_input_count(ctx);
  bbw_error err;
  bbw_str *names = bbw_mem_array(mem, count + 1, sizeof *names);
  if (names == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < count; i++) { names[i] = bbw_ctx_input_name(ctx, i); }
  bbw_status rv = read_inputs(ctx, inputs, count, 0);
  if (rv == BBW_OK) {
    rv = bbw_cpu_session_run(self, ctx->op->node, inputs, names, count, outputs, output_max, &err);
    if (rv != BBW_OK && rv != BBW_E_NOMEM) { rv = fail_with(ctx, kind, &err); }
    for (size_t i = 0; rv == BBW_OK && i < output_max; i++) {
      if (outputs[i] != NULL) { bbw_ctx_set_output(ctx, i, outputs[i]); }
    }
  }
  bbw_mem_array_free(mem, names, count + 1, sizeof *names);
  return rv;
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

/* Nodes of the reference's dialect: its own spellings of attributes, f32 indices.  Such graphs have no declared inputs (ops specification §6.3). */
static bool is_dialect(const bbw_onnx_graph *graph) { return graph->input.count == 0; }

static bbw_status dispatch(void *self, bbw_ctx *ctx) {
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  size_t in = bbw_ctx_input_count(ctx), out = bbw_ctx_output_count(ctx) > 0 ? bbw_ctx_output_count(ctx) : 1;
  bbw_value **inputs = bbw_mem_array(mem, in, sizeof *inputs);
  bbw_value **outputs = bbw_mem_array(mem, out, sizeof *outputs);
  bbw_status rv = BBW_E_NOMEM;
  if ((in == 0 || inputs != NULL) && outputs != NULL) {
    const bbw_onnx_attribute *body = bbw_ctx_attribute(ctx, "body");
    if (bbw_str_equal(bbw_ctx_op_type(ctx), BBW_STR("BackendSubgraph"))) {
      bool is_standard = body != NULL && body->g != NULL && !is_dialect(body->g);
      rv = is_standard ? run_session(self, ctx, inputs, outputs, out, BBW_OP_EXECUTION_FAILED)
                       : run_subgraph(ctx, inputs);
    } else if (bbw_cpu_op_is_known(bbw_ctx_op_type(ctx)) || !bbw_cpu_session_knows(bbw_ctx_op_type(ctx))) {
      rv = run_op(ctx, inputs, outputs, out);
    } else {
      rv = run_session(self, ctx, inputs, outputs, out, BBW_OP_OTHER);
    }
  }
  bbw_mem_array_free(mem, outputs, out, sizeof *outputs);
  bbw_mem_array_free(mem, inputs, in, sizeof *inputs);
  return rv;
}

/* Standard graphs are loaded at install, so that all that is missing is said there. */
static bbw_status prepare(void *self, const bbw_onnx_node *node, bbw_error *err) {
  const bbw_onnx_attribute *body = bbw_onnx_attribute_find(node, BBW_STR("body"));
  bool is_graph = bbw_str_equal(node->op_type, BBW_STR("BackendSubgraph")) && body != NULL && body->g != NULL;
  return is_graph && !is_dialect(body->g) ? bbw_cpu_session_prepare(self, node, err) : BBW_OK;
}

static bool supports(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return role == BBW_ROLE_BACKEND && (bbw_cpu_op_is_known(op_type) || bbw_cpu_session_knows(op_type) ||
                                      bbw_str_equal(op_type, BBW_STR("BackendSubgraph")));
}

static bbw_status construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                            const bbw_mem *mem, bbw_error *err) {
  (void)type;
  (void)has_config;
  (void)config;
  bbw_cpu_sessions *sessions = bbw_mem_array(mem, 1, sizeof *sessions);
  if (sessions == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_cpu_sessions_init(sessions, mem);
  *self = sessions;
  return BBW_OK;
}

static void destroy(void *self, const bbw_mem *mem) {
  bbw_cpu_sessions *sessions = self;
  if (sessions != NULL) { bbw_cpu_sessions_free(sessions); }
  bbw_mem_array_free(mem, sessions, 1, sizeof *sessions);
}

const bbw_component_type bbw_cpu_backend_type = {
    .type_name = "bytesandbrains::backends::cpu::CpuBackend",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_BACKEND),
    .is_framework = true,
    .construct = construct,
    .destroy = destroy,
    .dispatch = dispatch,
    .supports = supports,
    .prepare = prepare,
};
