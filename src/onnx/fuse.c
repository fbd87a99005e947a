/*
 * Patterns of nodes that become one node.
 *
 * The nodes are seen once, in order; each is tried as the last one of every pattern, and what it is made from is looked up backwards.  A pattern holds only if
 * its inner values have no other reader.  What is replaced loses its readers and goes away with them.
 */
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "onnx/convert.h"
#include "onnx/fused.h"
#include "onnx/ops.h"
#include "onnx/params.h"
#include "onnx/program.h"

typedef struct fuser {
  bbw_program *program;
  bbw_body *body;
  uint32_t *stack; /* nodes that may have lost their last reader */
  bbw_error *err;
} fuser;

static bool is_op(const bbw_op_node *node, const char *name) {
  return node != NULL && node->op != NULL && strcmp(node->op->name, name) == 0 && node->op->domain[0] == '\0';
}

/* The node that makes value v, if it is its first output; NULL for inputs and constants. */
static bbw_op_node *producer(const fuser *f, uint32_t v) {
  if (v == BBW_VALUE_NONE) { return NULL; }
  const bbw_body_value *value = bbw_body_value_at(f->body, v);
  if (value->producer == BBW_VALUE_NONE) { return NULL; }
  bbw_op_node *node = bbw_body_node_at(f->body, value->producer);
  return node->op != NULL && node->outputs[0] == v ? node : NULL;
}

/* The same, when nobody else reads v: then it may disappear. */
static bbw_op_node *only_producer(const fuser *f, uint32_t v) {
  return v != BBW_VALUE_NONE && bbw_body_value_at(f->body, v)->readers == 1 ? producer(f, v) : NULL;
}

/* Type and shape of a constant that is there; its numbers only after bbw_program_settle. */
static const bbw_array *constant(const fuser *f, uint32_t v) {
  if (v == BBW_VALUE_NONE) { return NULL; }
  const bbw_constant *c = bbw_body_value_at(f->body, v)->constant;
  return c != NULL && bbw_constant_is_there(c) ? &c->array : NULL;
}

static bbw_status settle(const fuser *f, uint32_t v) {
  return bbw_program_settle(f->program, bbw_body_value_at(f->body, v)->constant, f->err);
}

/* Type and shape of a constant or a parameter. */
static const bbw_array *shape_of(const fuser *f, uint32_t v) {
  const bbw_array *array = constant(f, v);
  return array != NULL || v == BBW_VALUE_NONE ? array : bbw_body_value_at(f->body, v)->shape;
}

/* A constant of one f32 element. */
static bool number(const fuser *f, uint32_t v, float *out) {
  const bbw_array *c = constant(f, v);
  if (c == NULL || c->dtype != BBW_DTYPE_F32 || c->count != 1 || c->rank > 1) { return false; }
  *out = *(const float *)c->data;
  return true;
}

/* As near as f32 comes to a number that exporters have computed. */
static bool is_near(float x, double want) { return fabs((double)x - want) <= 3e-7 * fabs(want); }

/* Of two inputs, the position of the one that is this number; -1: neither. */
static int number_side(const fuser *f, const bbw_op_node *node, double want) {
  float x;
  for (int i = 0; i < 2; i++) { /* without dimensions: a list of one would give its rank to a result without */
    if (number(f, node->inputs[i], &x) && is_near(x, want) && constant(f, node->inputs[i])->rank == 0) { return i; }
  }
  return -1;
}

/* One reader of v less; nodes that nobody reads any more go, and what they read loses a reader in turn. */
static void release(fuser *f, uint32_t v) {
  uint32_t depth = 0;
  bbw_body_release_value(f->program, f->body, v);
  if (producer(f, v) != NULL && bbw_body_value_at(f->body, v)->readers == 0) {
    f->stack[depth++] = bbw_body_value_at(f->body, v)->producer;
  }
  while (depth > 0) {
    bbw_op_node *node = bbw_body_node_at(f->body, f->stack[--depth]);
    bool is_read = node->op == NULL;
    for (uint32_t o = 0; o < node->output_count && !is_read; o++) {
      is_read = node->outputs[o] != BBW_VALUE_NONE && bbw_body_value_at(f->body, node->outputs[o])->readers > 0;
    }
    if (is_read) { continue; }
    node->op = NULL;
    for (uint32_t i = 0; i < node->input_count; i++) {
      uint32_t input = node->inputs[i];
      if (input == BBW_VALUE_NONE) { continue; }
      bbw_body_release_value(f->program, f->body, input);
      const bbw_body_value *value = bbw_body_value_at(f->body, input);
      /* A node is pushed when its last reader of one output goes, so at most once per output; there is room for all. */
      if (value->readers == 0 && value->producer != BBW_VALUE_NONE) { f->stack[depth++] = value->producer; }
    }
  }
}

/* Gives the node another operator, params and inputs; its outputs stay. */
static bbw_status become(fuser *f, bbw_op_node *node, const bbw_onnx_op *op, int64_t opset, void *params,
                         size_t params_bytes, const uint32_t *inputs, uint32_t count) {
  uint32_t *list = bbw_arena_array(&f->program->arena, count, sizeof *list);
  if (list == NULL) { return bbw_error_set(f->err, BBW_E_NOMEM); }
  memcpy(list, inputs, count * sizeof *list);
  for (uint32_t i = 0; i < count; i++) {
    if (list[i] != BBW_VALUE_NONE) { bbw_body_retain_value(f->body, list[i]); }
  }
  const uint32_t *old = node->inputs;
  uint32_t old_count = node->input_count;
  node->op = op;
  node->opset = opset;
  node->params = params;
  node->params_bytes = params_bytes;
  node->inputs = list;
  node->input_count = count;
  for (uint32_t i = 0; i < old_count; i++) {
    if (old[i] != BBW_VALUE_NONE) { release(f, old[i]); }
  }
  return BBW_OK;
}

static bbw_status copy_params(fuser *f, const bbw_op_node *node, void **out) {
  *out = bbw_arena_array(&f->program->arena, 1, node->params_bytes);
  if (*out == NULL) { return bbw_error_set(f->err, BBW_E_NOMEM); }
  memcpy(*out, node->params, node->params_bytes);
  return BBW_OK;
}

/* A new constant value of f32 numbers, with its memory to fill. */
static bbw_status new_constant(fuser *f, uint32_t rank, const size_t *dims, uint32_t *value, float **data) {
  bbw_array shape = {0};
  bbw_constant *made;
  bbw_array_shape(&shape, BBW_DTYPE_F32, rank, dims); /* of an array that exists */
  BBW_TRY(bbw_program_constant(f->program, &shape, &made, f->err));
  bbw_body_value *slot = bbw_vec_push(&f->body->values);
  if (slot == NULL) { return bbw_error_set(f->err, BBW_E_NOMEM); }
  *slot = (bbw_body_value){.constant = made, .producer = BBW_VALUE_NONE};
  *value = (uint32_t)(f->body->values.count - 1);
  *data = made->array.data;
  return BBW_OK;
}

/* ---- Conv, then BatchNormalization: weights and bias of another convolution ---- */

static bbw_status fold_batch_norm(fuser *f, bbw_op_node *node) {
  if (!is_op(node, "BatchNormalization") || node->output_count != 1) { return BBW_OK; }
  const bbw_batch_norm_params *p = node->params;
  const bbw_op_node *conv = only_producer(f, node->inputs[0]);
  if (p->is_training || !is_op(conv, "Conv")) { return BBW_OK; }
  const bbw_array *w = constant(f, conv->inputs[1]);
  const bbw_array *bias = conv->input_count > 2 ? constant(f, conv->inputs[2]) : NULL;
  if (((const bbw_fused *)conv->params)->activation != BBW_ACTIVATION_NONE || w == NULL || w->dtype != BBW_DTYPE_F32 ||
      w->rank < 3 || w->count == 0) {
    return BBW_OK;
  }
  size_t channels = w->dims[0], each = w->count / channels;
  if (conv->input_count > 2 && conv->inputs[2] != BBW_VALUE_NONE &&
      (bias == NULL || bias->dtype != BBW_DTYPE_F32 || bias->count != channels)) {
    return BBW_OK;
  }
  const float *vectors[4]; /* gamma, beta, mean, variance */
  for (uint32_t i = 0; i < 4; i++) {
    const bbw_array *x = constant(f, node->inputs[1 + i]);
    if (x == NULL || x->dtype != BBW_DTYPE_F32 || x->count != channels) { return BBW_OK; }
    BBW_TRY(settle(f, node->inputs[1 + i]));
    vectors[i] = x->data;
  }
  BBW_TRY(settle(f, conv->inputs[1]));
  if (bias != NULL) { BBW_TRY(settle(f, conv->inputs[2])); }
  uint32_t inputs[3] = {conv->inputs[0]};
  float *weights, *shifts;
  BBW_TRY(new_constant(f, w->rank, w->dims, &inputs[1], &weights));
  BBW_TRY(new_constant(f, 1, &channels, &inputs[2], &shifts));
  for (size_t c = 0; c < channels; c++) {
    float scale = vectors[0][c] / sqrtf(vectors[3][c] + p->epsilon);
    float from = bias != NULL ? ((const float *)bias->data)[c] : 0.0f;
    shifts[c] = (from - vectors[2][c]) * scale + vectors[1][c];
    for (size_t i = 0; i < each; i++) { weights[c * each + i] = ((const float *)w->data)[c * each + i] * scale; }
  }
  void *params;
  BBW_TRY(copy_params(f, conv, &params));
  return become(f, node, conv->op, conv->opset, params, conv->params_bytes, inputs, 3);
}

/* ---- a product or convolution with fixed f32 weights, which gives f32 ---- */

static bbw_op_node *fusable(const fuser *f, uint32_t v) {
  bbw_op_node *node = only_producer(f, v);
  if (!is_op(node, "Conv") && !is_op(node, "ConvTranspose") && !is_op(node, "Gemm") && !is_op(node, "MatMul")) {
    return NULL;
  }
  const bbw_array *w = shape_of(f, node->inputs[1]);
  const bbw_fused *fused = node->params;
  return w != NULL && w->dtype == BBW_DTYPE_F32 && fused->activation == BBW_ACTIVATION_NONE ? node : NULL;
}

/* MatMul, then Add of a vector. */
static bbw_status add_bias(fuser *f, bbw_op_node *node) {
  if (!is_op(node, "Add")) { return BBW_OK; }
  for (uint32_t side = 0; side < 2; side++) {
    const bbw_op_node *product = fusable(f, node->inputs[side]);
    const bbw_array *bias = shape_of(f, node->inputs[1 - side]);
    if (!is_op(product, "MatMul") || product->input_count != 2) { continue; }
    const bbw_array *w = shape_of(f, product->inputs[1]);
    if (bias == NULL || bias->dtype != BBW_DTYPE_F32 || bias->rank != 1 || w->rank != 2 ||
        bias->dims[0] != w->dims[1]) {
      continue;
    }
    void *params;
    BBW_TRY(copy_params(f, product, &params));
    ((bbw_fused *)params)->has_bias = true;
    const uint32_t inputs[] = {product->inputs[0], product->inputs[1], node->inputs[1 - side]};
    return become(f, node, product->op, product->opset, params, product->params_bytes, inputs, 3);
  }
  return BBW_OK;
}

/* The activation that a node is, for the epilogue of a kernel. */
static bool activation_of(const fuser *f, const bbw_op_node *node, bbw_fused *out) {
  if (is_op(node, "Relu")) {
    out->activation = BBW_ACTIVATION_RELU;
    return true;
  }
  if (is_op(node, "Clip")) {
    const bbw_clip_params *p = node->params;
    out->activation = BBW_ACTIVATION_CLIP;
    out->low = p->min;
    out->high = p->max;
    bool has_low = node->input_count < 2 || node->inputs[1] == BBW_VALUE_NONE || number(f, node->inputs[1], &out->low);
    bool has_high = node->input_count < 3 || node->inputs[2] == BBW_VALUE_NONE ||
                    number(f, node->inputs[2], &out->high);
    return has_low && has_high &&
           out->low <= out->high; /* else the higher one wins, which is not what the epilogue does */
  }
  if (node->op->run != bbw_unary_run) { return false; }
  const bbw_unary *unary = node->op->ctx;
  out->activation = BBW_ACTIVATION_MAP;
  out->map = unary->f32;
  return unary->f32 != NULL;
}

static bbw_status add_activation(fuser *f, bbw_op_node *node) {
  bbw_fused wanted = {0};
  if (node->input_count == 0 || !activation_of(f, node, &wanted)) { return BBW_OK; }
  const bbw_op_node *from = fusable(f, node->inputs[0]);
  if (from == NULL) { return BBW_OK; }
  void *params;
  BBW_TRY(copy_params(f, from, &params));
  bbw_fused *fused = params;
  wanted.has_bias = fused->has_bias;
  *fused = wanted;
  return become(f, node, from->op, from->opset, params, from->params_bytes, from->inputs, from->input_count);
}

/* ---- x * (erf(x / sqrt 2) + 1) * 0.5, in any order of the products ---- */

static bool is_erf_of(const fuser *f, uint32_t v, uint32_t *x) {
  const bbw_op_node *sum = only_producer(f, v);
  int one = is_op(sum, "Add") ? number_side(f, sum, 1.0) : -1;
  if (one < 0) { return false; }
  const bbw_op_node *erf = only_producer(f, sum->inputs[1 - one]);
  const bbw_op_node *scaled = is_op(erf, "Erf") ? only_producer(f, erf->inputs[0]) : NULL;
  float by;
  if (is_op(scaled, "Div") && number(f, scaled->inputs[1], &by) && is_near(by, 1.4142135623730951) &&
      constant(f, scaled->inputs[1])->rank == 0) {
    *x = scaled->inputs[0];
    return true;
  }
  int side = is_op(scaled, "Mul") ? number_side(f, scaled, 0.70710678118654752) : -1;
  if (side < 0) { return false; }
  *x = scaled->inputs[1 - side];
  return true;
}

static bbw_status fuse_gelu(fuser *f, bbw_op_node *node) {
  if (!is_op(node, "Mul")) { return BBW_OK; }
  uint32_t x = BBW_VALUE_NONE, y = BBW_VALUE_NONE;
  bool is_gelu = false;
  int half = number_side(f, node, 0.5);
  if (half >= 0) { /* (x * (erf + 1)) * 0.5 */
    const bbw_op_node *product = only_producer(f, node->inputs[1 - half]);
    for (int i = 0; i < 2 && is_op(product, "Mul") && !is_gelu; i++) {
      y = product->inputs[1 - i];
      is_gelu = is_erf_of(f, product->inputs[i], &x) && x == y;
    }
  }
  for (int i = 0; i < 2 && !is_gelu; i++) { /* (x * 0.5) * (erf + 1), or x * ((erf + 1) * 0.5) */
    const bbw_op_node *other = only_producer(f, node->inputs[1 - i]);
    int side = is_op(other, "Mul") ? number_side(f, other, 0.5) : -1;
    if (side < 0) { continue; }
    is_gelu = is_erf_of(f, node->inputs[i], &x) && other->inputs[1 - side] == x;
    if (!is_gelu) { is_gelu = is_erf_of(f, other->inputs[1 - side], &x) && node->inputs[i] == x; }
  }
  const bbw_onnx_op *op = bbw_onnx_op_find(BBW_STR("bbw"), BBW_STR("GeluErf"), 1, NULL);
  return is_gelu ? become(f, node, op, 1, NULL, 0, &x, 1) : BBW_OK;
}

/* ---- LayerNormalization from its parts ---- */

static bool reduces_last_axis(const fuser *f, const bbw_op_node *node) {
  if (!is_op(node, "ReduceMean")) { return false; }
  const bbw_reduce_params *p = node->params;
  const bbw_array *axes = node->input_count > 1 ? constant(f, node->inputs[1]) : NULL;
  int64_t axis = p->axis_count == 1 ? p->axes[0] : 0;
  if (axes != NULL && axes->count == 1) { bbw_load_i64(axes, 0, 1, &axis); }
  return p->keeps_dims && axis == -1;
}

static bbw_status fuse_layer_norm(fuser *f, bbw_op_node *node) {
  if (!is_op(node, "Add")) { return BBW_OK; }
  for (int side = 0; side < 2; side++) { /* n * gamma + beta */
    const bbw_array *beta = shape_of(f, node->inputs[1 - side]);
    const bbw_op_node *scaled = only_producer(f, node->inputs[side]);
    if (beta == NULL || beta->rank != 1 || beta->dtype != BBW_DTYPE_F32 || !is_op(scaled, "Mul")) { continue; }
    for (int i = 0; i < 2; i++) {
      const bbw_array *gamma = shape_of(f, scaled->inputs[1 - i]);
      const bbw_op_node *quotient = only_producer(f, scaled->inputs[i]);
      if (gamma == NULL || gamma->rank != 1 || gamma->dtype != BBW_DTYPE_F32 || gamma->count != beta->count ||
          gamma->count < 2 || !is_op(quotient, "Div")) {
        continue;
      }
      /* d / sqrt(mean(d^2) + epsilon), d = x - mean(x): d is read by its square and by the quotient */
      const bbw_op_node *difference = producer(f, quotient->inputs[0]), *root = only_producer(f, quotient->inputs[1]);
      const bbw_op_node *sum = is_op(root, "Sqrt") ? only_producer(f, root->inputs[0]) : NULL;
      if (!is_op(difference, "Sub") || !is_op(sum, "Add")) { continue; }
      float epsilon = 0.0f;
      int at = number(f, sum->inputs[1], &epsilon) ? 0 : number(f, sum->inputs[0], &epsilon) ? 1 : -1;
      const bbw_op_node *variance = at >= 0 ? only_producer(f, sum->inputs[at]) : NULL;
      if (!reduces_last_axis(f, variance)) { continue; }
      const bbw_op_node *square = only_producer(f, variance->inputs[0]);
      float two;
      bool is_power = is_op(square, "Pow") && number(f, square->inputs[1], &two) && two == 2.0f;
      bool is_product = is_op(square, "Mul") && square->inputs[0] == square->inputs[1];
      if ((!is_power && !is_product) || square->inputs[0] != quotient->inputs[0]) { continue; }
      const bbw_op_node *mean = only_producer(f, difference->inputs[1]);
      if (!reduces_last_axis(f, mean) || mean->inputs[0] != difference->inputs[0]) { continue; }
      if (bbw_body_value_at(f->body, quotient->inputs[0])->readers != (is_product ? 3u : 2u)) { continue; }
      bbw_layer_norm_params *params = bbw_arena_array(&f->program->arena, 1, sizeof *params);
      if (params == NULL) { return bbw_error_set(f->err, BBW_E_NOMEM); }
      *params = (bbw_layer_norm_params){.epsilon = epsilon, .axis = -1, .is_fused = true};
      const uint32_t inputs[] = {difference->inputs[0], scaled->inputs[1 - i], node->inputs[1 - side]};
      const bbw_onnx_op *op = bbw_onnx_op_find(BBW_STR(""), BBW_STR("LayerNormalization"), 17, NULL);
      return become(f, node, op, 17, params, sizeof *params, inputs, 3);
    }
  }
  return BBW_OK;
}

/* ---- attention: softmax(q . k^T * scale + mask) . v over [batch, heads, rows, size] ---- */

static bool has_perm(const bbw_op_node *node, int64_t a, int64_t b, int64_t c, int64_t d) {
  if (!is_op(node, "Transpose")) { return false; }
  const bbw_transpose_params *p = node->params;
  return p->count == 4 && p->perm[0] == a && p->perm[1] == b && p->perm[2] == c && p->perm[3] == d;
}

/* Behind x * number or x / number: x, with the factor in *scale. */
static uint32_t unscaled(const fuser *f, uint32_t v, float *scale) {
  const bbw_op_node *node = only_producer(f, v);
  float by;
  if (is_op(node, "Div") && number(f, node->inputs[1], &by) && by != 0.0f) {
    *scale = *scale / by;
    return node->inputs[0];
  }
  for (int i = 0; i < 2 && is_op(node, "Mul"); i++) {
    if (!number(f, node->inputs[i], &by)) { continue; }
    *scale = *scale * by;
    return node->inputs[1 - i];
  }
  return v;
}

static bbw_status fuse_attention(fuser *f, bbw_op_node *node) {
  bbw_attention_params p = {.scale = 1.0f, .rows_first_out = true};
  if (!has_perm(node, 0, 2, 1, 3)) { return BBW_OK; }
  const bbw_op_node *mix = only_producer(f, node->inputs[0]);
  const bbw_op_node *softmax = is_op(mix, "MatMul") ? only_producer(f, mix->inputs[0]) : NULL;
  if (!is_op(softmax, "Softmax") || softmax->opset < 13) { return BBW_OK; }
  int64_t axis = ((const bbw_lane_params *)softmax->params)->axis;
  const bbw_op_node *values = only_producer(f, mix->inputs[1]);
  if ((axis != -1 && axis != 3) || !has_perm(values, 0, 2, 1, 3)) { return BBW_OK; }
  uint32_t inputs[4] = {BBW_VALUE_NONE, BBW_VALUE_NONE, values->inputs[0], BBW_VALUE_NONE};
  p.rows_first_v = true;
  uint32_t scores = softmax->inputs[0];
  const bbw_op_node *masked = only_producer(f, scores);
  for (int side = 0; side < 2; side++) {
    float scale = 1.0f;
    uint32_t candidate = scores;
    if (is_op(masked, "Add")) {
      candidate = masked->inputs[side];
    } else if (side == 1) {
      break;
    }
    candidate = unscaled(f, candidate, &scale);
    const bbw_op_node *product = only_producer(f, candidate);
    if (!is_op(product, "MatMul") || product->input_count != 2) { continue; }
    uint32_t q = unscaled(f, product->inputs[0], &scale), k = unscaled(f, product->inputs[1], &scale);
    const bbw_op_node *queries = only_producer(f, q), *keys = only_producer(f, k);
    if (!has_perm(queries, 0, 2, 1, 3) || !has_perm(keys, 0, 2, 3, 1)) { continue; }
    inputs[0] = queries->inputs[0];
    inputs[1] = keys->inputs[0];
    p.rows_first_q = p.rows_first_k = true;
    p.scale = scale;
    if (is_op(masked, "Add")) { inputs[3] = masked->inputs[1 - side]; }
    bbw_attention_params *params = bbw_arena_array(&f->program->arena, 1, sizeof *params);
    if (params == NULL) { return bbw_error_set(f->err, BBW_E_NOMEM); }
    *params = p;
    const bbw_onnx_op *op = bbw_onnx_op_find(BBW_STR("bbw"), BBW_STR("Attention"), 1, NULL);
    return become(f, node, op, 1, params, sizeof *params, inputs, inputs[3] != BBW_VALUE_NONE ? 4 : 3);
  }
  return BBW_OK;
}

/* The first GRADIENT_COUNT give operators that have a gradient. */
#define GRADIENT_COUNT 3u
static bbw_status (*const patterns[])(fuser *, bbw_op_node *) = {fuse_gelu,       fuse_layer_norm, add_bias,
                                                                 fold_batch_norm, fuse_attention,  add_activation};

static bbw_status fuse(bbw_program *program, bbw_body *body, size_t pattern_count, bbw_error *err) {
  bbw_arena scratch;
  bbw_arena_init(&scratch, program->mem);
  fuser f = {.program = program, .body = body, .err = err};
  size_t outputs = 1;
  for (uint32_t i = 0; i < body->nodes.count; i++) { outputs += bbw_body_node_at(body, i)->output_count; }
  f.stack = bbw_arena_array(&scratch, outputs, sizeof *f.stack);
  bbw_status rv = f.stack != NULL ? BBW_OK : bbw_error_set(err, BBW_E_NOMEM);
  for (uint32_t i = 0; i < body->nodes.count && rv == BBW_OK; i++) {
    for (size_t k = 0; k < pattern_count && rv == BBW_OK; k++) {
      bbw_op_node *node = bbw_body_node_at(body, i);
      if (node->op != NULL) { rv = patterns[k](&f, node); }
    }
  }
  bbw_arena_free(&scratch);
  if (rv == BBW_OK) { bbw_program_sweep(program, body); }
  return rv;
}

bbw_status bbw_program_fuse(bbw_program *program, bbw_body *body, bbw_error *err) {
  return fuse(program, body, sizeof patterns / sizeof patterns[0], err);
}

bbw_status bbw_program_fuse_forward(bbw_program *program, bbw_body *body, bbw_error *err) {
  return fuse(program, body, GRADIENT_COUNT, err);
}
