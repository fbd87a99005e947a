#include "components/cpu_graph.h"

#include <string.h>

#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"
#include "format/tensor_proto.h"

/* One run: every name has a number, every number a value (or NULL) and a count of uses that are still to come. */
typedef struct run {
  const bbw_mem *mem;
  bbw_arena arena; /* the arrays */
  bbw_map numbers;
  bbw_value **values;
  uint32_t *uses;
  size_t count;
  bbw_cpu_graph_error *err;
} run;

static bbw_status fail(run *r, bbw_status status, const char *before, bbw_str name, const char *after,
                       bbw_str op_type) {
  const bbw_str parts[] = {
      BBW_STR("execute_graph: "),
      {before, strlen(before)},
      BBW_STR("`"),
      name,
      BBW_STR("` "),
      {after, strlen(after)},
      BBW_STR(" "),
      op_type,
  };
  size_t used = 0;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    size_t n = parts[i].len < BBW_CPU_GRAPH_DETAIL_MAX - used ? parts[i].len : BBW_CPU_GRAPH_DETAIL_MAX - used;
    if (n > 0) { memcpy(r->err->detail + used, parts[i].ptr, n); }
    used += n;
  }
  size_t bad;
  if (!bbw_utf8_is_valid((bbw_bytes){(const uint8_t *)r->err->detail, used}, &bad)) { used = bad; }
  r->err->status = status;
  r->err->detail_len = used;
  return status;
}

/* The number of a name, given on first sight. */
static bool number_of(run *r, bbw_str name, uint64_t *out) {
  if (bbw_map_get_bytes(&r->numbers, bbw_str_bytes(name), out)) { return true; }
  *out = r->count;
  if (!bbw_map_put_bytes(&r->numbers, bbw_str_bytes(name), r->count)) { return false; }
  r->count++;
  return true;
}

static bool number_all(run *r, const bbw_proto_list *names) {
  uint64_t number;
  for (size_t i = 0; i < names->count; i++) {
    bbw_str name = *BBW_PROTO_AT(names, bbw_str, i);
    if (name.len != 0 && !number_of(r, name, &number)) { return false; }
  }
  return true;
}

static uint64_t known(const run *r, bbw_str name) {
  uint64_t number = 0;
  bbw_map_get_bytes(&r->numbers, bbw_str_bytes(name), &number);
  return number;
}

/* Numbers every name and counts its uses; an output of the graph is one that never ends. */
static bbw_status prepare(run *r, const bbw_onnx_graph *graph, const bbw_str *names, size_t count) {
  uint64_t number;
  bool is_ok = true;
  for (size_t i = 0; is_ok && i < count; i++) { is_ok = number_of(r, names[i], &number); }
  for (size_t i = 0; is_ok && i < graph->initializer.count; i++) {
    is_ok = number_of(r, BBW_PROTO_AT(&graph->initializer, bbw_onnx_tensor, i)->name, &number);
  }
  for (size_t i = 0; is_ok && i < graph->node.count; i++) {
    const bbw_onnx_node *node = BBW_PROTO_AT(&graph->node, bbw_onnx_node, i);
    is_ok = number_all(r, &node->input) && number_all(r, &node->output);
  }
  for (size_t i = 0; is_ok && i < graph->output.count; i++) {
    is_ok = number_of(r, BBW_PROTO_AT(&graph->output, bbw_onnx_value_info, i)->name, &number);
  }
  if (!is_ok) { return BBW_E_NOMEM; }
  r->values = bbw_arena_array(&r->arena, r->count, sizeof *r->values);
  r->uses = bbw_arena_array(&r->arena, r->count, sizeof *r->uses);
  if (r->values == NULL || r->uses == NULL) {
    r->count = 0;
    return BBW_E_NOMEM;
  }
  for (size_t i = 0; i < graph->node.count; i++) {
    const bbw_onnx_node *node = BBW_PROTO_AT(&graph->node, bbw_onnx_node, i);
    for (size_t k = 0; k < node->input.count; k++) {
      bbw_str name = *BBW_PROTO_AT(&node->input, bbw_str, k);
      if (name.len != 0) { r->uses[known(r, name)]++; }
    }
  }
  for (size_t i = 0; i < graph->output.count; i++) {
    r->uses[known(r, BBW_PROTO_AT(&graph->output, bbw_onnx_value_info, i)->name)]++;
  }
  return BBW_OK;
}

/* Takes over one reference; an earlier value of the name goes. */
static void set_value(run *r, bbw_str name, bbw_value *value) {
  uint64_t number = known(r, name);
  bbw_value_release(r->values[number], r->mem);
  r->values[number] = value;
  if (r->uses[number] == 0) {
    bbw_value_release(value, r->mem);
    r->values[number] = NULL;
  }
}

static bbw_status load_initializers(run *r, const bbw_onnx_graph *graph) {
  for (size_t i = 0; i < graph->initializer.count; i++) {
    const bbw_onnx_tensor *t = BBW_PROTO_AT(&graph->initializer, bbw_onnx_tensor, i);
    if (r->values[known(r, t->name)] != NULL || r->uses[known(r, t->name)] == 0) { continue; }
    bbw_value *value;
    bbw_status rv = bbw_tensor_proto_to_value(&value, t, r->mem, NULL);
    if (rv == BBW_E_NOMEM) { return rv; }
    if (rv != BBW_OK) { return fail(r, BBW_E_ARG, "initializer ", t->name, "is no f32 tensor", BBW_STR("")); }
    set_value(r, t->name, value);
  }
  return BBW_OK;
}

static bbw_status run_node(run *r, const bbw_onnx_node *node) {
  size_t in = node->input.count, out = node->output.count > 0 ? node->output.count : 1;
  bbw_value **inputs = bbw_mem_array(r->mem, in, sizeof *inputs);
  bbw_value **outputs = bbw_mem_array(r->mem, out, sizeof *outputs);
  bbw_status rv = (in > 0 && inputs == NULL) || outputs == NULL ? BBW_E_NOMEM : BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < in; i++) {
    bbw_str name = *BBW_PROTO_AT(&node->input, bbw_str, i);
    if (name.len == 0) { continue; }
    inputs[i] = r->values[known(r, name)];
    if (inputs[i] == NULL) { rv = fail(r, BBW_E_ARG, "input ", name, "is missing for", node->op_type); }
  }
  if (rv == BBW_OK) {
    bbw_cpu_call call = {
        .node = node, .inputs = inputs, .input_count = in, .outputs = outputs, .output_max = out, .mem = r->mem};
    rv = bbw_cpu_op_run(&call);
    if (rv == BBW_E_UNSUPPORTED) { fail(r, rv, "", node->op_type, "is not supported", BBW_STR("")); }
    if (rv == BBW_E_ARG) { fail(r, rv, "", node->op_type, "failed:", (bbw_str){call.detail, strlen(call.detail)}); }
  }
  for (size_t i = 0; rv == BBW_OK && i < in; i++) { /* the inputs have been used once more */
    bbw_str name = *BBW_PROTO_AT(&node->input, bbw_str, i);
    if (name.len == 0) { continue; }
    uint64_t number = known(r, name);
    if (--r->uses[number] == 0) {
      bbw_value_release(r->values[number], r->mem);
      r->values[number] = NULL;
    }
  }
  for (size_t i = 0; rv == BBW_OK && i < out; i++) {
    bbw_str name = i < node->output.count ? *BBW_PROTO_AT(&node->output, bbw_str, i) : (bbw_str){NULL, 0};
    if (outputs[i] == NULL) { continue; }
    if (name.len != 0) {
      set_value(r, name, outputs[i]);
    } else {
      bbw_value_release(outputs[i], r->mem);
    }
  }
  bbw_mem_array_free(r->mem, outputs, out, sizeof *outputs);
  bbw_mem_array_free(r->mem, inputs, in, sizeof *inputs);
  return rv;
}

bbw_status bbw_cpu_graph_run(const bbw_onnx_graph *graph, const bbw_str *names, bbw_value *const *values, size_t count,
                             bbw_value **outputs, const bbw_mem *mem, bbw_cpu_graph_error *err) {
  run r = {.mem = mem, .err = err};
  bbw_arena_init(&r.arena, mem);
  bbw_map_init(&r.numbers, 0, mem);
  bbw_status rv = prepare(&r, graph, names, count);
  for (size_t i = 0; rv == BBW_OK && i < count; i++) { set_value(&r, names[i], bbw_value_retain(values[i])); }
  if (rv == BBW_OK) { rv = load_initializers(&r, graph); }
  for (size_t i = 0; rv == BBW_OK && i < graph->node.count; i++) {
    rv = run_node(&r, BBW_PROTO_AT(&graph->node, bbw_onnx_node, i));
  }
  for (size_t i = 0; rv == BBW_OK && i < graph->output.count; i++) {
    bbw_value *value = r.values[known(&r, BBW_PROTO_AT(&graph->output, bbw_onnx_value_info, i)->name)];
    outputs[i] = value != NULL ? bbw_value_retain(value) : NULL;
  }
  for (size_t i = 0; r.values != NULL && i < r.count; i++) { bbw_value_release(r.values[i], mem); }
  bbw_map_free(&r.numbers);
  bbw_arena_free(&r.arena);
  if (rv == BBW_E_NOMEM) { err->status = rv; }
  return rv;
}
