#include "components/cpu_session.h"

#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "onnx/convert.h"
#include "onnx/op.h"
#include "onnx/session.h"

typedef struct entry {
  const bbw_onnx_node *node; /* of the installed artifact; lives as long as the component */
  bbw_session *session;
} entry;

/* Inputs of operators that are no f32: bit i for input i. */
static const struct {
  const char *op_type;
  uint32_t int64, truth;
} typed_inputs[] = {
    {"And", 0, 3},
    {"Or", 0, 3},
    {"Xor", 0, 3},
    {"Not", 0, 1},
    {"Compress", 0, 2},
    {"If", 0, 1},
    {"Loop", 1, 2},
    {"CumSum", 2, 0},
    {"Expand", 2, 0},
    {"GatherElements", 2, 0},
    {"GatherND", 2, 0},
    {"OneHot", 3, 0},
    {"Pad", 2, 0},
    {"Reshape", 2, 0},
    {"Resize", 8, 0},
    {"ScatterElements", 2, 0},
    {"ScatterND", 2, 0},
    {"Scatter", 2, 0},
    {"Tile", 2, 0},
    {"TopK", 2, 0},
    {"Trilu", 2, 0},
    {"ConstantOfShape", 1, 0},
    {"ReverseSequence", 2, 0},
};

void bbw_cpu_sessions_init(bbw_cpu_sessions *sessions, const bbw_mem *mem) {
  sessions->mem = mem;
  bbw_vec_init(&sessions->entries, sizeof(entry), mem);
}

void bbw_cpu_sessions_free(bbw_cpu_sessions *sessions) {
  for (size_t i = 0; i < sessions->entries.count; i++) {
    bbw_session_del(BBW_VEC_AT(&sessions->entries, entry, i)->session);
  }
  bbw_vec_free(&sessions->entries);
}

/* The newest row of that name. */
static const bbw_onnx_op *newest(bbw_str op_type) {
  const bbw_onnx_op *found = NULL, *op;
  for (size_t i = 0; (op = bbw_onnx_op_at(i)) != NULL; i++) {
    bool is_it = op->domain[0] == '\0' && bbw_str_equal(bbw_onnx_op_name(op), op_type);
    if (is_it && (found == NULL || op->until > found->until)) { found = op; }
  }
  return found;
}

bool bbw_cpu_session_knows(bbw_str op_type) { return newest(op_type) != NULL; }

static bbw_status build_model(bbw_session **out, const bbw_onnx_graph *graph, int64_t version, const bbw_mem *mem,
                              bbw_error *err) {
  bbw_onnx_opset opset = {.version = version};
  bbw_onnx_model model = {.graph = graph, .opset_import = {&opset, 1}};
  return bbw_session_make(out, &model, NULL, mem, err);
}

/* A graph of this one operator, whose values have the names of the node. */
static bbw_status build_operator(bbw_session **out, const bbw_onnx_node *node, const bbw_mem *mem, bbw_error *err) {
  const bbw_onnx_op *op = newest(node->op_type);
  bbw_arena arena;
  bbw_arena_init(&arena, mem);
  bbw_onnx_value_info *inputs = bbw_arena_array(&arena, node->input.count, sizeof *inputs);
  bbw_onnx_type *types = bbw_arena_array(&arena, node->input.count, sizeof *types);
  bbw_onnx_tensor_type *tensors = bbw_arena_array(&arena, node->input.count, sizeof *tensors);
  bbw_onnx_value_info *outputs = bbw_arena_array(&arena, node->output.count, sizeof *outputs);
  bbw_status rv = inputs == NULL || types == NULL || tensors == NULL || outputs == NULL
                      ? bbw_error_set(err, BBW_E_NOMEM)
                      : BBW_OK;
  uint32_t int64 = 0, truth = 0;
  for (size_t i = 0; i < sizeof typed_inputs / sizeof typed_inputs[0]; i++) {
    if (!bbw_str_equal(node->op_type, (bbw_str){typed_inputs[i].op_type, strlen(typed_inputs[i].op_type)})) {
      continue;
    }
    int64 = typed_inputs[i].int64;
    truth = typed_inputs[i].truth;
  }
  size_t count = 0;
  for (size_t i = 0; rv == BBW_OK && i < node->input.count; i++) {
    bbw_str name = *BBW_PROTO_AT(&node->input, bbw_str, i);
    bool is_there = name.len == 0;
    for (size_t k = 0; k < count && !is_there; k++) { is_there = bbw_str_equal(inputs[k].name, name); }
    if (is_there) { continue; } /* absent, or one value twice */
    bbw_dtype dtype = i < 32 && (int64 >> i & 1u) != 0   ? BBW_DTYPE_I64
                      : i < 32 && (truth >> i & 1u) != 0 ? BBW_DTYPE_BOOL
                                                         : BBW_DTYPE_F32;
    tensors[count].elem_type = bbw_dtype_to_onnx(dtype);
    types[count].tensor_type = &tensors[count];
    inputs[count] = (bbw_onnx_value_info){.name = name, .type = &types[count]};
    count++;
  }
  for (size_t i = 0; rv == BBW_OK && i < node->output.count; i++) {
    outputs[i].name = *BBW_PROTO_AT(&node->output, bbw_str, i);
  }
  bbw_onnx_graph graph = {.node = {node, 1}, .input = {inputs, count}, .output = {outputs, node->output.count}};
  if (rv == BBW_OK) { rv = build_model(out, &graph, op->until < BBW_CPU_OPSET ? op->until : BBW_CPU_OPSET, mem, err); }
  bbw_arena_free(&arena);
  return rv;
}

static bbw_status find_session(bbw_cpu_sessions *sessions, const bbw_onnx_node *node, bbw_session **out,
                               bbw_error *err) {
  for (size_t i = 0; i < sessions->entries.count; i++) {
    const entry *e = BBW_VEC_AT(&sessions->entries, entry, i);
    if (e->node == node) {
      *out = e->session;
      return BBW_OK;
    }
  }
  if (!bbw_vec_reserve(&sessions->entries, 1)) { return bbw_error_set(err, BBW_E_NOMEM); }
  const bbw_onnx_attribute *body = bbw_onnx_attribute_find(node, BBW_STR("body")),
                           *opset = bbw_onnx_attribute_find(node, BBW_STR("opset"));
  bool is_graph = bbw_str_equal(node->op_type, BBW_STR("BackendSubgraph"));
  bbw_status rv = is_graph ? build_model(out, body->g, opset != NULL ? opset->i : BBW_CPU_OPSET, sessions->mem, err)
                           : build_operator(out, node, sessions->mem, err);
  if (rv != BBW_OK) { return rv; }
  entry *made = bbw_vec_push(&sessions->entries);
  *made = (entry){node, *out};
  return BBW_OK;
}

bbw_status bbw_cpu_session_prepare(bbw_cpu_sessions *sessions, const bbw_onnx_node *node, bbw_error *err) {
  bbw_session *session;
  return find_session(sessions, node, &session, err);
}

/* A tensor as an array of the wanted type; memory from the arena where it is converted. */
static bbw_status to_array(const bbw_tensor *tensor, bbw_dtype wanted, bbw_array *out, bbw_arena *arena,
                           bbw_error *err) {
  size_t dims[BBW_ARRAY_RANK_MAX];
  bbw_dtype dtype = wanted == BBW_DTYPE_NONE ? BBW_DTYPE_F32 : wanted;
  for (uint32_t d = 0; d < tensor->rank && d < BBW_ARRAY_RANK_MAX; d++) { dims[d] = (size_t)tensor->dims[d]; }
  if (!bbw_array_shape(out, dtype, tensor->rank, dims)) { return bbw_error_set(err, BBW_E_SHAPE); }
  if (dtype == BBW_DTYPE_F32) {
    out->data = (void *)(uintptr_t)tensor->data; /* inputs are only read */
    return BBW_OK;
  }
  out->data = bbw_arena_array(arena, bbw_array_bytes(out) + 1, 1);
  if (out->data == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_store_f32(out, 0, out->count, tensor->data);
  return BBW_OK;
}

static bbw_status to_value(const bbw_array *array, bbw_value **out, const bbw_mem *mem, bbw_error *err) {
  uint64_t dims[BBW_ARRAY_RANK_MAX];
  float *data;
  for (uint32_t d = 0; d < array->rank; d++) { dims[d] = array->dims[d]; }
  bbw_status rv = bbw_value_new_tensor(out, &data, BBW_TYPE_CPU_TENSOR, dims, array->rank, mem);
  if (rv != BBW_OK) { return bbw_error_set(err, rv); }
  bbw_load_f32(array, 0, array->count, data);
  return BBW_OK;
}

/* The caller's value for an input of the graph: by its name, else by its place. */
static const bbw_value *value_for(bbw_str name, size_t place, bbw_value *const *inputs, const bbw_str *names,
                                  size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (inputs[i] != NULL && bbw_str_equal(names[i], name)) { return inputs[i]; }
  }
  return place < count ? inputs[place] : NULL;
}

bbw_status bbw_cpu_session_run(bbw_cpu_sessions *sessions, const bbw_onnx_node *node, bbw_value *const *inputs,
                               const bbw_str *names, size_t input_count, bbw_value **outputs, size_t output_count,
                               bbw_error *err) {
  bbw_session *session;
  bbw_status rv = find_session(sessions, node, &session, err);
  if (rv != BBW_OK) { return rv; }
  bbw_arena arena;
  bbw_arena_init(&arena, sessions->mem);
  size_t in = bbw_session_input_count(session), made = bbw_session_output_count(session);
  bbw_array *arrays = bbw_arena_array(&arena, in, sizeof *arrays),
            *results = bbw_arena_array(&arena, made, sizeof *results);
  if (arrays == NULL || results == NULL) { rv = bbw_error_set(err, BBW_E_NOMEM); }
  for (size_t i = 0; rv == BBW_OK && i < in; i++) {
    bbw_port_info port = bbw_session_input(session, i);
    const bbw_value *value = value_for(port.name, i, inputs, names, input_count);
    if (value == NULL) {
      rv = bbw_error_set(err, BBW_E_ARG);
      bbw_error_add_str(err, "input", port.name);
      bbw_error_add_str(err, "detail", BBW_STR("no tensor is given for this input"));
    } else {
      rv = to_array(&value->as.tensor, port.dtype, &arrays[i], &arena, err);
    }
  }
  if (rv == BBW_OK) { rv = bbw_session_run(session, arrays, in, results, err); }
  for (size_t i = 0; rv == BBW_OK && i < made && i < output_count; i++) {
    rv = to_value(&results[i], &outputs[i], sessions->mem, err);
  }
  for (size_t i = 0; rv != BBW_OK && i < output_count; i++) {
    bbw_value_release(outputs[i], sessions->mem);
    outputs[i] = NULL;
  }
  bbw_arena_free(&arena);
  return rv;
}
