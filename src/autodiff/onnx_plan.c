#include "autodiff/onnx_plan.h"

#include <assert.h>

#include "autodiff/onnx_names.h"
#include "base/bytes.h"
#include "base/mem.h"

/* ONNX element types. */
#define FLOAT32 1
#define INT64   7

typedef enum value_kind {
  VALUE_UNSET,  /* its node has not been visited */
  VALUE_FLOATS, /* a buffer of the plan, seen with a shape */
  VALUE_INTS,   /* constant whole numbers, for shapes */
  VALUE_OPAQUE, /* of a type that no step can read */
} value_kind;

typedef struct value {
  value_kind kind;
  bool is_batched; /* dimension 0 is the batch; dims[0] is then what the model says or 0 */
  uint32_t buffer;
  uint32_t rank;
  size_t dims[BBW_ONNX_RANK_MAX];
  const int64_t *ints;
  size_t int_count;
} value;

typedef struct builder {
  bbw_plan *plan;
  const bbw_onnx_graph *graph;
  bbw_onnx_names names;
  value *values; /* one per name */
  bbw_arena *arena;
  bbw_error *err;
  int64_t opset;
  const bbw_onnx_node *node; /* the one that is being read */
} builder;

/* ---- errors ---- */

static bbw_status invalid_value(bbw_error *err, bbw_str name, const char *detail) {
  bbw_error_set(err, BBW_E_ONNX_INVALID);
  bbw_error_add_str(err, "value", name);
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  return BBW_E_ONNX_INVALID;
}

static bbw_status invalid(const builder *b, const char *detail) {
  bbw_error_set(b->err, BBW_E_ONNX_INVALID);
  bbw_error_add_str(b->err, "node", bbw_onnx_node_label(b->node));
  bbw_error_add_str(b->err, "op_type", b->node->op_type);
  bbw_error_add_str(b->err, "detail", (bbw_str){detail, strlen(detail)});
  return BBW_E_ONNX_INVALID;
}

/* The plan's own limits, told as a property of the model. */
static bbw_status refuse(const builder *b, bbw_status rv) {
  return rv == BBW_E_LIMIT ? invalid(b, "result is too large") : bbw_error_set(b->err, rv);
}

/* ---- reading a node ---- */

static bbw_str input_name(const builder *b, size_t index) {
  return index < b->node->input.count ? *BBW_PROTO_AT(&b->node->input, bbw_str, index) : (bbw_str){NULL, 0};
}

/* Input by position; NULL when absent.  All named inputs are known by the time a node is visited. */
static const value *input(const builder *b, size_t index) {
  bbw_str name = input_name(b, index);
  uint32_t at;
  if (name.len == 0 || !bbw_onnx_names_find(&b->names, name, &at)) { return NULL; }
  return &b->values[at];
}

static bool has_output(const builder *b, size_t index) {
  return index < b->node->output.count && BBW_PROTO_AT(&b->node->output, bbw_str, index)->len != 0;
}

static void set_output(builder *b, const value *v) {
  uint32_t at;
  if (!has_output(b, 0)) { return; }
  bool is_known = bbw_onnx_names_find(&b->names, *BBW_PROTO_AT(&b->node->output, bbw_str, 0), &at);
  assert(is_known); /* every output was given a number before the first node was visited */
  (void)is_known;
  b->values[at] = *v;
}

static int64_t attribute_int(const builder *b, bbw_str name, int64_t otherwise) {
  const bbw_onnx_attribute *a = bbw_onnx_attribute_find(b->node, name);
  return a != NULL && a->type == BBW_ONNX_ATTR_INT ? a->i : otherwise;
}

static float attribute_float(const builder *b, bbw_str name, float otherwise) {
  const bbw_onnx_attribute *a = bbw_onnx_attribute_find(b->node, name);
  return a != NULL && a->type == BBW_ONNX_ATTR_FLOAT ? a->f : otherwise;
}

/* Product of dims[from..to). */
static bool product(const size_t *dims, uint32_t from, uint32_t to, size_t *out) {
  *out = 1;
  for (uint32_t d = from; d < to; d++) {
    if (!bbw_size_mul(*out, dims[d], out)) { return false; }
  }
  return *out <= BBW_PLAN_WIDTH_MAX;
}

static bool is_activation(const value *v) { return v != NULL && v->kind == VALUE_FLOATS && v->is_batched; }
static bool is_static(const value *v) { return v != NULL && v->kind == VALUE_FLOATS && !v->is_batched; }
static size_t width(const builder *b, const value *v) { return bbw_plan_buffer_at(b->plan, v->buffer)->width; }

static bbw_status add_step(builder *b, bbw_plan_step step, const value *shape) {
  value out = *shape;
  size_t n;
  if (!product(out.dims, 1, out.rank, &n)) { return invalid(b, "result is too large"); }
  bbw_status rv = bbw_plan_add_step(b->plan, &step, n);
  if (rv != BBW_OK) { return refuse(b, rv); }
  out.buffer = step.out;
  set_output(b, &out);
  return BBW_OK;
}

/* ---- operators ---- */

/* c of a Gemm: n numbers that are added to each row, or one for all. */
static bool fits_as_bias(const builder *b, const value *c, size_t n) {
  if (!is_static(c)) { return false; }
  size_t count = width(b, c);
  if (count == 1) { return c->rank <= 2; }
  return count == n && c->rank >= 1 && c->rank <= 2 && c->dims[c->rank - 1] == n;
}

static bbw_status on_gemm(builder *b) {
  const value *x = input(b, 0), *w = input(b, 1), *c = input(b, 2);
  if (!is_activation(x)) { return invalid(b, "input A has to depend on the graph's input"); }
  if (!is_static(w)) { return invalid(b, "input B has to be an initializer or a constant"); }
  if (x->rank != 2 || w->rank != 2) { return invalid(b, "inputs A and B have to be matrices"); }
  if (attribute_int(b, BBW_STR("transA"), 0) != 0) { return invalid(b, "transA would move the batch dimension"); }
  bool is_transposed = attribute_int(b, BBW_STR("transB"), 0) != 0;
  size_t k = w->dims[is_transposed ? 1 : 0], n = w->dims[is_transposed ? 0 : 1];
  if (x->dims[1] != k) { return invalid(b, "inner dimensions of A and B differ"); }
  if (c != NULL && !fits_as_bias(b, c, n)) {
    return invalid(b, "input C does not broadcast along the rows of the result");
  }
  if (n == 0) { return invalid(b, "a dimension of B is 0"); }
  bbw_plan_step step = {
      .kind = BBW_PLAN_GEMM,
      .a = x->buffer,
      .b = w->buffer,
      .c = c != NULL ? c->buffer : BBW_PLAN_NONE,
      .is_b_transposed = is_transposed,
      .alpha = attribute_float(b, BBW_STR("alpha"), 1.0f),
      .beta = attribute_float(b, BBW_STR("beta"), 1.0f),
      .rows = 1,
      .k = k,
      .n = n,
  };
  value shape = *x;
  shape.dims[1] = n;
  return add_step(b, step, &shape);
}

static bbw_status on_matmul(builder *b) {
  const value *x = input(b, 0), *w = input(b, 1);
  if (!is_activation(x)) { return invalid(b, "input A has to depend on the graph's input"); }
  if (!is_static(w)) { return invalid(b, "input B has to be an initializer or a constant"); }
  if (x->rank < 2 || w->rank != 2) { return invalid(b, "input A needs rank 2 or more, input B rank 2"); }
  uint32_t last = x->rank - 1;
  if (x->dims[last] != w->dims[0]) { return invalid(b, "inner dimensions of A and B differ"); }
  if (w->dims[1] == 0) { return invalid(b, "a dimension of B is 0"); }
  bbw_plan_step step = {
      .kind = BBW_PLAN_GEMM, .a = x->buffer, .b = w->buffer, .c = BBW_PLAN_NONE, .alpha = 1.0f, .beta = 1.0f};
  step.k = w->dims[0];
  step.n = w->dims[1];
  if (!product(x->dims, 1, last, &step.rows)) { return invalid(b, "input A is too large"); }
  value shape = *x;
  shape.dims[last] = step.n;
  return add_step(b, step, &shape);
}

/* Whether a static operand repeats without gaps inside each sample of x: one element, or the last dimensions of x. */
static bool repeats_in(const builder *b, const value *s, const value *x) {
  if (width(b, s) == 1) { return s->rank <= x->rank; }
  uint32_t skip = 0;
  while (skip < s->rank && s->dims[skip] == 1) { skip++; }
  uint32_t rest = s->rank - skip;
  if (s->rank > x->rank || rest > x->rank - 1) { return false; }
  for (uint32_t d = 0; d < rest; d++) {
    if (s->dims[skip + d] != x->dims[x->rank - rest + d]) { return false; }
  }
  return true;
}

static bool same_sample_shape(const value *x, const value *y) {
  if (x->rank != y->rank) { return false; }
  for (uint32_t d = 1; d < x->rank; d++) {
    if (x->dims[d] != y->dims[d]) { return false; }
  }
  return true;
}

static bbw_status on_binary(builder *b, bbw_plan_kind kind) {
  const value *x = input(b, 0), *y = input(b, 1);
  if (!is_activation(x) && !is_activation(y)) { return invalid(b, "one input has to depend on the graph's input"); }
  bool fits = false;
  if (is_activation(x) && is_activation(y)) { fits = same_sample_shape(x, y); }
  if (is_activation(x) && is_static(y)) { fits = repeats_in(b, y, x); }
  if (is_static(x) && is_activation(y)) { fits = repeats_in(b, x, y); }
  if (!fits) { return invalid(b, "shapes of the inputs do not fit"); }
  bbw_plan_step step = {.kind = kind, .a = x->buffer, .b = y->buffer, .c = BBW_PLAN_NONE};
  return add_step(b, step, is_activation(x) ? x : y);
}

static bbw_status on_add(builder *b) { return on_binary(b, BBW_PLAN_ADD); }
static bbw_status on_sub(builder *b) { return on_binary(b, BBW_PLAN_SUB); }
static bbw_status on_mul(builder *b) { return on_binary(b, BBW_PLAN_MUL); }
static bbw_status on_div(builder *b) { return on_binary(b, BBW_PLAN_DIV); }

static bbw_status on_map(builder *b, bbw_plan_kind kind, float alpha) {
  const value *x = input(b, 0);
  if (!is_activation(x)) { return invalid(b, "the input has to depend on the graph's input"); }
  bbw_plan_step step = {.kind = kind, .a = x->buffer, .b = BBW_PLAN_NONE, .c = BBW_PLAN_NONE, .alpha = alpha};
  return add_step(b, step, x);
}

static bbw_status on_relu(builder *b) { return on_map(b, BBW_PLAN_RELU, 0.0f); }
static bbw_status on_sigmoid(builder *b) { return on_map(b, BBW_PLAN_SIGMOID, 0.0f); }
static bbw_status on_tanh(builder *b) { return on_map(b, BBW_PLAN_TANH, 0.0f); }
static bbw_status on_leaky_relu(builder *b) {
  return on_map(b, BBW_PLAN_LEAKY_RELU, attribute_float(b, BBW_STR("alpha"), 0.01f));
}

/* Before opset 13 the axis cuts the shape in two and everything behind it is one run; since then it is one axis. */
static bbw_status on_softmax_kind(builder *b, bbw_plan_kind kind) {
  const value *x = input(b, 0);
  if (!is_activation(x)) { return invalid(b, "the input has to depend on the graph's input"); }
  bool is_old = b->opset < 13;
  int64_t axis = attribute_int(b, BBW_STR("axis"), is_old ? 1 : -1);
  if (axis < 0) { axis += (int64_t)x->rank; }
  if (axis < 1 || axis >= (int64_t)x->rank) { return invalid(b, "axis is out of range"); }
  if (!is_old && axis != (int64_t)x->rank - 1) { return invalid(b, "axis has to be the last one"); }
  bbw_plan_step step = {.kind = kind, .a = x->buffer, .b = BBW_PLAN_NONE, .c = BBW_PLAN_NONE};
  if (!product(x->dims, 1, (uint32_t)axis, &step.rows) || !product(x->dims, (uint32_t)axis, x->rank, &step.n)) {
    return invalid(b, "input is too large");
  }
  return add_step(b, step, x);
}

static bbw_status on_softmax(builder *b) { return on_softmax_kind(b, BBW_PLAN_SOFTMAX); }
static bbw_status on_log_softmax(builder *b) { return on_softmax_kind(b, BBW_PLAN_LOG_SOFTMAX); }

/* Identity, and Dropout outside of training; its mask has no value. */
static bbw_status on_identity(builder *b) {
  const value *x = input(b, 0);
  if (x == NULL) { return invalid(b, "an input is missing"); }
  set_output(b, x);
  return BBW_OK;
}

static bbw_status on_flatten(builder *b) {
  const value *x = input(b, 0);
  if (!is_activation(x)) { return invalid(b, "the input has to depend on the graph's input"); }
  int64_t axis = attribute_int(b, BBW_STR("axis"), 1);
  if (axis < 0) { axis += (int64_t)x->rank; }
  if (axis != 1) { return invalid(b, "axis has to be 1, behind the batch dimension"); }
  value shape = *x;
  shape.rank = 2;
  shape.dims[1] = width(b, x);
  set_output(b, &shape);
  return BBW_OK;
}

/* The wanted shape: an input of whole numbers, or the attribute of old files. */
static bool wanted_shape(const builder *b, const int64_t **dims, size_t *count) {
  const value *s = input(b, 1);
  if (s != NULL) {
    *dims = s->ints;
    *count = s->int_count;
    return s->kind == VALUE_INTS;
  }
  const bbw_onnx_attribute *a = bbw_onnx_attribute_find(b->node, BBW_STR("shape"));
  if (a == NULL) { a = bbw_onnx_attribute_find(b->node, BBW_STR("dims")); }
  if (a == NULL || a->type != BBW_ONNX_ATTR_INTS) { return false; }
  *dims = a->ints.items;
  *count = a->ints.count;
  return true;
}

static bbw_status on_reshape(builder *b) {
  const value *x = input(b, 0);
  if (x == NULL || x->kind != VALUE_FLOATS) { return invalid(b, "the data input has no f32 elements"); }
  const int64_t *dims;
  size_t count;
  if (!wanted_shape(b, &dims, &count)) { return invalid(b, "the shape has to be a constant list of int64"); }
  if (count > BBW_ONNX_RANK_MAX) { return invalid(b, "rank is too large"); }
  value shape = *x;
  shape.rank = (uint32_t)count;
  uint32_t first = x->is_batched ? 1 : 0;
  bool batch_is_inferred = false;
  if (x->is_batched) { /* the first dimension stays the batch: copied, inferred, or the size the model was exported with */
    bool is_copied = count > 0 && dims[0] == 0;
    batch_is_inferred = count > 0 && dims[0] == -1;
    bool is_same = count > 0 && dims[0] > 0 && (uint64_t)dims[0] == x->dims[0];
    if (!is_copied && !batch_is_inferred && !is_same) {
      return invalid(b, "the first dimension of the shape has to be the batch");
    }
  }
  size_t elements = 1, total = width(b, x);
  uint32_t inferred = BBW_PLAN_NONE;
  for (uint32_t d = first; d < count; d++) {
    if (dims[d] == -1 && inferred == BBW_PLAN_NONE && !batch_is_inferred) {
      inferred = d;
      continue;
    }
    if (dims[d] < 0 || (uint64_t)dims[d] > BBW_PLAN_WIDTH_MAX) {
      return invalid(b, "a dimension of the shape has no meaning");
    }
    if (dims[d] == 0 && d >= x->rank) { return invalid(b, "a copied dimension does not exist"); }
    shape.dims[d] = dims[d] == 0 ? x->dims[d] : (size_t)dims[d];
    if (!bbw_size_mul(elements, shape.dims[d], &elements)) { return invalid(b, "shape is too large"); }
  }
  if (inferred != BBW_PLAN_NONE) {
    if (elements == 0 || total % elements != 0) { return invalid(b, "shape does not hold the elements"); }
    shape.dims[inferred] = total / elements;
    elements = total;
  }
  if (elements != total) { return invalid(b, "shape does not hold the elements"); }
  set_output(b, &shape);
  return BBW_OK;
}

/* ---- numbers in the file ---- */

/* Shape and element count of a tensor; false when they are out of bounds. */
static bool tensor_shape(const bbw_onnx_tensor *t, value *out, size_t *count) {
  if (t->dims.count > BBW_ONNX_RANK_MAX) { return false; }
  *out = (value){.rank = (uint32_t)t->dims.count};
  for (uint32_t d = 0; d < out->rank; d++) {
    int64_t dim = *BBW_PROTO_AT(&t->dims, int64_t, d);
    if (dim < 0 || (uint64_t)dim > BBW_PLAN_WIDTH_MAX) { return false; }
    out->dims[d] = (size_t)dim;
  }
  return product(out->dims, 0, out->rank, count);
}

static void copy_floats(const bbw_onnx_tensor *t, float *out, size_t count) {
  if (count == 0) { return; }
  if (t->float_data.count != 0) {
    memcpy(out, t->float_data.items, count * sizeof(float));
    return;
  }
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = bbw_load_u32le(t->raw_data.ptr + 4 * i);
    memcpy(&out[i], &bits, sizeof bits);
  }
}

static bbw_status read_floats(const builder *b, const bbw_onnx_tensor *t, bbw_str name, bbw_plan_source source,
                              value *out) {
  size_t count;
  if (!tensor_shape(t, out, &count)) { return invalid_value(b->err, name, "dimensions are negative or too large"); }
  size_t have = t->float_data.count != 0 ? t->float_data.count : t->raw_data.len / 4;
  if (t->float_data.count == 0 && t->raw_data.len % 4 != 0) { have = SIZE_MAX; }
  if (have != count) { return invalid_value(b->err, name, "dimensions and data do not fit"); }
  bbw_status rv = bbw_plan_add_buffer(b->plan, source, count, &out->buffer);
  if (rv == BBW_E_LIMIT) { return invalid_value(b->err, name, "model is too large"); }
  if (rv == BBW_OK && source == BBW_PLAN_CONSTANT && count > 0) {
    bbw_vec *constants = &b->plan->constants;
    if (!bbw_vec_reserve(constants, count)) { return bbw_error_set(b->err, BBW_E_NOMEM); }
    copy_floats(t, BBW_VEC_AT(constants, float, constants->count), count);
    constants->count += count;
  }
  out->kind = VALUE_FLOATS;
  return rv == BBW_OK ? BBW_OK : bbw_error_set(b->err, rv);
}

static bbw_status read_ints(const builder *b, const bbw_onnx_tensor *t, bbw_str name, value *out) {
  size_t count;
  if (!tensor_shape(t, out, &count)) { return invalid_value(b->err, name, "dimensions are negative or too large"); }
  size_t have = t->int64_data.count != 0 ? t->int64_data.count : t->raw_data.len / 8;
  if (t->int64_data.count == 0 && t->raw_data.len % 8 != 0) { have = SIZE_MAX; }
  if (have != count) { return invalid_value(b->err, name, "dimensions and data do not fit"); }
  int64_t *ints = bbw_arena_array(b->arena, count, sizeof(int64_t));
  if (ints == NULL) { return bbw_error_set(b->err, BBW_E_NOMEM); }
  for (size_t i = 0; i < count; i++) {
    ints[i] = t->int64_data.count != 0 ? *BBW_PROTO_AT(&t->int64_data, int64_t, i)
                                       : (int64_t)bbw_load_u64le(t->raw_data.ptr + 8 * i);
  }
  out->kind = VALUE_INTS;
  out->ints = ints;
  out->int_count = count;
  return BBW_OK;
}

static bbw_status read_tensor(const builder *b, const bbw_onnx_tensor *t, bbw_str name, bbw_plan_source source,
                              value *out) {
  if (t->external_data.count != 0 || t->data_location != 0) {
    return invalid_value(b->err, name, "data is outside of the file");
  }
  if (t->data_type == FLOAT32) { return read_floats(b, t, name, source, out); }
  if (t->data_type == INT64) { return read_ints(b, t, name, out); }
  *out = (value){.kind = VALUE_OPAQUE};
  return BBW_OK;
}

static bbw_status on_constant(builder *b) {
  value out = {0};
  const bbw_onnx_attribute *a = bbw_onnx_attribute_find(b->node, BBW_STR("value"));
  if (a != NULL && a->t != NULL) {
    bbw_status rv = read_tensor(b, a->t, bbw_onnx_node_label(b->node), BBW_PLAN_CONSTANT, &out);
    if (rv == BBW_OK) { set_output(b, &out); }
    return rv;
  }
  /* The short forms, as the tensors that they stand for. */
  bbw_onnx_tensor t = {0};
  int64_t count;
  if ((a = bbw_onnx_attribute_find(b->node, BBW_STR("value_float"))) != NULL) {
    t = (bbw_onnx_tensor){.data_type = FLOAT32, .float_data = {&a->f, 1}};
  } else if ((a = bbw_onnx_attribute_find(b->node, BBW_STR("value_floats"))) != NULL) {
    t = (bbw_onnx_tensor){.data_type = FLOAT32, .float_data = a->floats};
  } else if ((a = bbw_onnx_attribute_find(b->node, BBW_STR("value_int"))) != NULL) {
    t = (bbw_onnx_tensor){.data_type = INT64, .int64_data = {&a->i, 1}};
  } else if ((a = bbw_onnx_attribute_find(b->node, BBW_STR("value_ints"))) != NULL) {
    t = (bbw_onnx_tensor){.data_type = INT64, .int64_data = a->ints};
  } else {
    return invalid(b, "a constant without a value");
  }
  if (a->type == BBW_ONNX_ATTR_FLOATS || a->type == BBW_ONNX_ATTR_INTS) {
    count = (int64_t)(t.data_type == FLOAT32 ? t.float_data.count : t.int64_data.count);
    t.dims = (bbw_proto_list){&count, 1};
  }
  bbw_status rv = read_tensor(b, &t, bbw_onnx_node_label(b->node), BBW_PLAN_CONSTANT, &out);
  if (rv == BBW_OK) { set_output(b, &out); }
  return rv;
}

/* ---- the graph ---- */

static const struct {
  const char *op_type;
  size_t inputs_min, inputs_max;
  bbw_status (*run)(builder *b);
} operators[] = {
    {"Gemm", 2, 3, on_gemm},         {"MatMul", 2, 2, on_matmul},
    {"Add", 2, 2, on_add},           {"Sub", 2, 2, on_sub},
    {"Mul", 2, 2, on_mul},           {"Div", 2, 2, on_div},
    {"Relu", 1, 1, on_relu},         {"LeakyRelu", 1, 1, on_leaky_relu},
    {"Sigmoid", 1, 1, on_sigmoid},   {"Tanh", 1, 1, on_tanh},
    {"Softmax", 1, 1, on_softmax},   {"LogSoftmax", 1, 1, on_log_softmax},
    {"Flatten", 1, 1, on_flatten},   {"Reshape", 1, 2, on_reshape},
    {"Identity", 1, 1, on_identity}, {"Dropout", 1, 3, on_identity},
    {"Constant", 0, 0, on_constant},
};
enum { OPERATOR_COUNT = sizeof operators / sizeof operators[0] };

/* Row of the table, OPERATOR_COUNT if there is none. */
static size_t find_operator(const bbw_onnx_node *node) {
  if (node->domain.len != 0 && !bbw_str_equal(node->domain, BBW_STR("ai.onnx"))) { return OPERATOR_COUNT; }
  size_t i = 0;
  while (i < OPERATOR_COUNT &&
         !bbw_str_equal(node->op_type, (bbw_str){operators[i].op_type, strlen(operators[i].op_type)})) {
    i++;
  }
  return i;
}

/* Lists every operator that has no row, so that one look tells what an export needs. */
static bbw_status check_operators(const bbw_onnx_graph *graph, bbw_error *err) {
  bool is_ok = true;
  for (size_t i = 0; i < graph->node.count; i++) {
    const bbw_onnx_node *node = BBW_PROTO_AT(&graph->node, bbw_onnx_node, i);
    if (find_operator(node) != OPERATOR_COUNT) { continue; }
    if (is_ok) { bbw_error_set(err, BBW_E_ONNX_UNSUPPORTED); }
    is_ok = false;
    char text[256];
    bbw_error_add_item(err, "nodes", bbw_onnx_node_describe(node, text, sizeof text));
  }
  return is_ok ? BBW_OK : BBW_E_ONNX_UNSUPPORTED;
}

static bbw_status read_initializers(builder *b) {
  for (size_t i = 0; i < b->graph->initializer.count; i++) {
    const bbw_onnx_tensor *t = BBW_PROTO_AT(&b->graph->initializer, bbw_onnx_tensor, i);
    uint32_t at;
    bool is_known = bbw_onnx_names_find(&b->names, t->name, &at);
    assert(is_known);
    (void)is_known;
    bbw_status rv = read_tensor(b, t, t->name, BBW_PLAN_PARAMETER, &b->values[at]);
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

static bbw_status read_input(builder *b) {
  const bbw_onnx_value_info *info = b->names.input;
  const bbw_onnx_tensor_type *type = info->type != NULL ? info->type->tensor_type : NULL;
  if (type == NULL || type->elem_type != FLOAT32) {
    return invalid_value(b->err, info->name, "input is not an f32 tensor");
  }
  if (type->shape == NULL || type->shape->dim.count == 0) {
    return invalid_value(b->err, info->name, "input has no shape");
  }
  if (type->shape->dim.count > BBW_ONNX_RANK_MAX) { return invalid_value(b->err, info->name, "rank is too large"); }
  value in = {.kind = VALUE_FLOATS, .is_batched = true, .rank = (uint32_t)type->shape->dim.count};
  for (uint32_t d = 0; d < in.rank; d++) {
    const bbw_onnx_dimension *dim = BBW_PROTO_AT(&type->shape->dim, bbw_onnx_dimension, d);
    bool is_batch_free = d == 0 && dim->dim_value <= 0;
    if (is_batch_free) { continue; }
    if (dim->dim_value <= 0) { return invalid_value(b->err, info->name, "only the first dimension may be symbolic"); }
    if ((uint64_t)dim->dim_value > BBW_PLAN_WIDTH_MAX) {
      return invalid_value(b->err, info->name, "a dimension is too large");
    }
    in.dims[d] = (size_t)dim->dim_value;
  }
  size_t n;
  if (!product(in.dims, 1, in.rank, &n)) { return invalid_value(b->err, info->name, "input is too large"); }
  bbw_status rv = bbw_plan_add_buffer(b->plan, BBW_PLAN_INPUT, n, &in.buffer);
  if (rv == BBW_E_LIMIT) { return invalid_value(b->err, info->name, "input is too large"); }
  if (rv != BBW_OK) { return bbw_error_set(b->err, rv); }
  b->plan->input = in.buffer;
  b->values[b->names.input_value] = in;
  return BBW_OK;
}

static bbw_status read_node(builder *b, const bbw_onnx_node *node) {
  b->node = node;
  size_t row = find_operator(node);
  assert(row != OPERATOR_COUNT); /* check_operators has seen to it */
  if (node->input.count < operators[row].inputs_min || node->input.count > operators[row].inputs_max) {
    return invalid(b, "wrong number of inputs");
  }
  for (size_t i = 0; i < node->input.count; i++) {
    if (input_name(b, i).len != 0 && input(b, i)->kind == VALUE_UNSET) {
      return invalid(b, "an input is an optional output that is not computed");
    }
  }
  return operators[row].run(b);
}

static bbw_status read_output(builder *b) {
  uint32_t at;
  if (b->graph->output.count == 0) { return invalid_value(b->err, BBW_STR(""), "graph has no output"); }
  bbw_str name = BBW_PROTO_AT(&b->graph->output, bbw_onnx_value_info, 0)->name;
  if (!bbw_onnx_names_find(&b->names, name, &at) || !is_activation(&b->values[at])) {
    return invalid_value(b->err, name, "output does not depend on the graph's input");
  }
  b->plan->output = b->values[at].buffer;
  b->plan->logits = b->plan->output;
  for (size_t i = 0; i < b->plan->steps.count; i++) {
    const bbw_plan_step *s = BBW_VEC_AT(&b->plan->steps, bbw_plan_step, i);
    bool is_last = s->out == b->plan->output && s->rows == 1;
    if (is_last && (s->kind == BBW_PLAN_SOFTMAX || s->kind == BBW_PLAN_LOG_SOFTMAX)) { b->plan->logits = s->a; }
  }
  return BBW_OK;
}

bbw_status bbw_onnx_plan_build(bbw_plan *plan, const bbw_onnx_model *model, bbw_arena *arena, bbw_error *err) {
  const bbw_onnx_graph *graph = model->graph;
  if (graph == NULL) { return invalid_value(err, BBW_STR(""), "model has no graph"); }
  bbw_status rv = check_operators(graph, err);
  if (rv != BBW_OK) { return rv; }
  builder b = {.plan = plan, .graph = graph, .arena = arena, .err = err, .opset = 13};
  for (size_t i = 0; i < model->opset_import.count; i++) {
    const bbw_onnx_opset *opset = BBW_PROTO_AT(&model->opset_import, bbw_onnx_opset, i);
    if (opset->domain.len == 0 || bbw_str_equal(opset->domain, BBW_STR("ai.onnx"))) { b.opset = opset->version; }
  }
  const uint32_t *order;
  rv = bbw_onnx_names_init(&b.names, graph, &order, arena, err);
  if (rv != BBW_OK) { return rv; }
  b.values = bbw_arena_array(arena, b.names.count, sizeof(value));
  rv = b.values != NULL ? read_initializers(&b) : bbw_error_set(err, BBW_E_NOMEM);
  if (rv == BBW_OK) { rv = read_input(&b); }
  for (size_t i = 0; rv == BBW_OK && i < graph->node.count; i++) {
    rv = read_node(&b, BBW_PROTO_AT(&graph->node, bbw_onnx_node, order[i]));
  }
  if (rv == BBW_OK) { rv = read_output(&b); }
  bbw_onnx_names_free(&b.names);
  return rv;
}

void bbw_onnx_plan_parameters(const bbw_onnx_model *model, float *parameters) {
  for (size_t i = 0; i < model->graph->initializer.count; i++) {
    const bbw_onnx_tensor *t = BBW_PROTO_AT(&model->graph->initializer, bbw_onnx_tensor, i);
    value shape;
    size_t count;
    if (t->data_type != FLOAT32 || !tensor_shape(t, &shape, &count)) { continue; }
    copy_floats(t, parameters, count);
    parameters += count;
  }
}
