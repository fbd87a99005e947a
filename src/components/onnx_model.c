#include "components/onnx_model.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "components/onnx_net.h"
#include "kernels/elementwise.h"

typedef struct model {
  const bbw_mem *mem;
  bbw_onnx_net *net;
  uint64_t trainings;
} model;

/* ---- life ---- */

static void append(char *text, size_t size, size_t *used, bbw_str part) {
  size_t n = part.len < size - *used ? part.len : size - *used;
  if (n > 0) { memcpy(text + *used, part.ptr, n); }
  *used += n;
}

/*
 * Tells install what is wrong with the file: fields "cause" (name of the status), "detail", and "nodes" for operators that are
 * not supported.  Install keeps only detail and nodes, so the place goes into the detail: "inner dimensions of A and B differ (fc2)".
 */
static bbw_status refuse_file(bbw_error *err, bbw_status cause) {
  if (cause == BBW_E_NOMEM || err == NULL) { return cause == BBW_E_NOMEM ? cause : BBW_E_INST_CONSTRUCTION; }
  if (cause != BBW_E_ONNX_UNSUPPORTED) {
    char text[256];
    size_t used = 0;
    bbw_str detail = bbw_error_field(err, "detail"), place = bbw_error_field(err, "node");
    if (place.ptr == NULL) { place = bbw_error_field(err, "value"); }
    append(text, sizeof text - 1, &used, detail.ptr != NULL ? detail : bbw_status_text(cause));
    if (place.len != 0) {
      append(text, sizeof text - 1, &used, BBW_STR(" ("));
      append(text, sizeof text - 1, &used, place);
      size_t bad;
      if (!bbw_utf8_is_valid((bbw_bytes){(const uint8_t *)text, used}, &bad)) {
        used = bad;
      } /* cut inside a character */
      text[used++] = ')';
    }
    bbw_error_set(err, BBW_E_INST_CONSTRUCTION);
    bbw_error_add_str(err, "detail", (bbw_str){text, used});
  } else {
    bbw_error_add_str(err, "detail", bbw_status_text(cause));
  }
  err->status = BBW_E_INST_CONSTRUCTION;
  bbw_error_add_str(err, "cause", bbw_status_name(cause));
  return BBW_E_INST_CONSTRUCTION;
}

static bbw_status construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                            const bbw_mem *mem, bbw_error *err) {
  (void)type;
  if (!has_config) { return bbw_error_set(err, BBW_E_INST_MISSING_CONFIG); }
  model *m = bbw_mem_array(mem, 1, sizeof *m);
  if (m == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  m->mem = mem;
  bbw_status rv = bbw_onnx_net_new(&m->net, config, mem, err); /* copies what it needs of the file */
  if (rv != BBW_OK) {
    bbw_mem_array_free(mem, m, 1, sizeof *m);
    return refuse_file(err, rv);
  }
  *self = m;
  return BBW_OK;
}

static void destroy(void *self, const bbw_mem *mem) {
  model *m = self;
  if (m == NULL) { return; }
  bbw_onnx_net_del(m->net);
  bbw_mem_array_free(mem, m, 1, sizeof *m);
}

/*
 * The saved state, little-endian: u64 trainings, u64 count of parameters, u64 count of kept samples, the parameters, the samples.  What a forward leaves for
 * backward is not saved but computed again from the samples that went into it, which gives the same bits.
 */
#define STATE_HEADER_BYTES 24u

static void store_floats(uint8_t *to, const float *from, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, &from[i], sizeof bits);
    bbw_store_u32le(to + 4 * i, bits);
  }
}

static void load_floats(float *to, const uint8_t *from, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = bbw_load_u32le(from + 4 * i);
    memcpy(&to[i], &bits, sizeof bits);
  }
}

static bbw_status save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  const model *m = self;
  size_t count = bbw_onnx_net_parameter_count(m->net), samples, inputs, bytes;
  const float *kept = bbw_onnx_net_kept(m->net, &samples);
  bool fits = bbw_size_mul(samples, bbw_onnx_net_input_width(m->net), &inputs) && bbw_size_add(count, inputs, &bytes) &&
              bbw_size_mul(bytes, 4, &bytes) && bbw_size_add(bytes, STATE_HEADER_BYTES, &bytes);
  uint8_t *state = fits ? mem->alloc(mem->ctx, bytes) : NULL;
  if (state == NULL) { return BBW_E_NOMEM; }
  bbw_store_u64le(state, m->trainings);
  bbw_store_u64le(state + 8, count);
  bbw_store_u64le(state + 16, samples);
  store_floats(state + STATE_HEADER_BYTES, bbw_onnx_net_parameters(m->net), count);
  store_floats(state + STATE_HEADER_BYTES + 4 * count, kept, inputs);
  *out = state;
  *len = bytes;
  return BBW_OK;
}

/* Takes the parameters and runs the kept samples again, so that backward may follow. */
static bbw_status take_state(model *m, const float *parameters, size_t count, const float *x, size_t samples) {
  size_t width = bbw_onnx_net_output_width(m->net), outputs;
  if (!bbw_is_finite_f32(parameters, count)) { return BBW_E_NOT_FINITE; }
  if (!bbw_size_mul(samples, width, &outputs) || !bbw_size_add(outputs, 1, &outputs)) { return BBW_E_NOMEM; }
  float *y = bbw_mem_array(m->mem, outputs, sizeof(float));
  if (y == NULL) { return BBW_E_NOMEM; }
  /* The first time is for the memory that it takes: what follows cannot fail any more. */
  bbw_status rv = bbw_onnx_net_forward(m->net, x, samples, y, NULL);
  if (rv == BBW_OK) { rv = bbw_onnx_net_load_parameters(m->net, parameters, count, NULL); }
  if (rv == BBW_OK) { rv = bbw_onnx_net_forward(m->net, x, samples, y, NULL); }
  bbw_mem_array_free(m->mem, y, outputs, sizeof(float));
  return rv;
}

static bbw_status restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  model *m = self;
  size_t count = bbw_onnx_net_parameter_count(m->net), width = bbw_onnx_net_input_width(m->net), floats;
  if (state.len < STATE_HEADER_BYTES) { return bbw_error_set(err, BBW_E_RESTORE_COMPONENT); }
  uint64_t samples = bbw_load_u64le(state.ptr + 16);
  bool fits = bbw_load_u64le(state.ptr + 8) == count && samples <= BBW_ONNX_NET_KEPT_MAX &&
              bbw_size_mul((size_t)samples, width, &floats) && bbw_size_add(floats, count, &floats) &&
              (state.len - STATE_HEADER_BYTES) % 4 == 0 && (state.len - STATE_HEADER_BYTES) / 4 == floats;
  if (!fits) { return bbw_error_set(err, BBW_E_RESTORE_COMPONENT); }
  float *values = bbw_mem_array(mem, floats + 1, sizeof(float));
  if (values == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  load_floats(values, state.ptr + STATE_HEADER_BYTES, floats);
  bbw_status rv = take_state(m, values, count, values + count, (size_t)samples);
  bbw_mem_array_free(mem, values, floats + 1, sizeof(float));
  if (rv != BBW_OK) { return bbw_error_set(err, rv == BBW_E_NOMEM ? rv : BBW_E_RESTORE_COMPONENT); }
  m->trainings = bbw_load_u64le(state.ptr);
  return BBW_OK;
}

/* ---- operators ---- */

/* What the network says, as the failure of the operator. */
static bbw_status fail(bbw_ctx *ctx, bbw_status rv, const bbw_error *err) {
  if (rv == BBW_OK || rv == BBW_E_NOMEM) { return rv; }
  static const struct {
    bbw_status status;
    bbw_op_error_kind kind;
    const char *reason;
  } rows[] = {
      {BBW_E_SHAPE, BBW_OP_BAD_INPUT, "shape_mismatch"},
      {BBW_E_INVALID_VALUE, BBW_OP_BAD_INPUT, "invalid_label"},
      {BBW_E_EMPTY, BBW_OP_BAD_INPUT, "empty"},
      {BBW_E_NOT_FINITE, BBW_OP_EXECUTION_FAILED, "not_finite"},
      {BBW_E_STATE, BBW_OP_EXECUTION_FAILED, "no_forward"},
      {BBW_E_ARG, BBW_OP_BAD_INPUT, "invalid_attribute"},
      {BBW_E_LIMIT, BBW_OP_EXECUTION_FAILED, "limit"},
  };
  bbw_str detail = bbw_error_field(err, "detail");
  if (detail.ptr == NULL) { detail = bbw_status_text(rv); }
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    if (rows[i].status == rv) { return bbw_ctx_fail(ctx, rows[i].kind, rows[i].reason, detail); }
  }
  return bbw_ctx_fail(ctx, BBW_OP_OTHER, "", detail);
}

static bbw_status fail_shape(bbw_ctx *ctx, const char *detail) {
  return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "shape_mismatch", (bbw_str){detail, strlen(detail)});
}

/* Samples in a tensor of rows `width` wide; false when its shape does not say so. */
static bool count_samples(const bbw_tensor *t, size_t width, size_t *samples) {
  if (width == 0 || t->count % width != 0) { return false; }
  *samples = t->count / width;
  return t->rank < 2 || t->dims[0] == *samples || *samples == 1;
}

static bool as_labels(const bbw_tensor *t, size_t samples, size_t classes, bbw_labels *labels) {
  *labels = (bbw_labels){t->data, t->count == samples};
  return labels->is_index || (samples != 0 && t->count % samples == 0 && t->count / samples == classes);
}

/* Inputs 0 and 1 as samples `width` wide and their labels. */
static bbw_status read_samples(const model *m, bbw_ctx *ctx, size_t width, const float **x, bbw_labels *labels,
                               size_t *samples) {
  const bbw_tensor *given = bbw_ctx_input_tensor(ctx, 0);
  if (given == NULL) { return bbw_ctx_fail_input(ctx, 0, "CpuTensor"); }
  const bbw_tensor *wanted = bbw_ctx_input_tensor(ctx, 1);
  if (wanted == NULL) { return bbw_ctx_fail_input(ctx, 1, "CpuTensor"); }
  if (!count_samples(given, width, samples)) {
    return fail_shape(ctx, "input 0 does not hold whole samples of this model");
  }
  if (!as_labels(wanted, *samples, bbw_onnx_net_output_width(m->net), labels)) {
    return fail_shape(ctx, "input 1 holds neither a class nor a distribution for each sample");
  }
  *x = given->data;
  return BBW_OK;
}

static bbw_status set_numbers(bbw_ctx *ctx, float first, bbw_type second_type, uint64_t count, float second) {
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  bbw_value *a, *b;
  bbw_status rv = bbw_value_new_f32(&a, first, mem);
  if (rv != BBW_OK) { return rv; }
  rv = second_type == BBW_TYPE_RAW_F32 ? bbw_value_new_f32(&b, second, mem)
                                       : bbw_value_new_plain(&b, second_type, count, mem);
  if (rv != BBW_OK) {
    bbw_value_release(a, mem);
    return rv;
  }
  bbw_ctx_set_output(ctx, 0, a);
  bbw_ctx_set_output(ctx, 1, b);
  return BBW_OK;
}

static bbw_status forward(model *m, bbw_ctx *ctx) {
  const bbw_tensor *x = bbw_ctx_input_tensor(ctx, 0);
  if (x == NULL) { return bbw_ctx_fail_input(ctx, 0, "CpuTensor"); }
  size_t samples;
  if (!count_samples(x, bbw_onnx_net_input_width(m->net), &samples)) {
    return fail_shape(ctx, "input 0 does not hold whole samples of this model");
  }
  const uint64_t dims[] = {samples, bbw_onnx_net_output_width(m->net)};
  bbw_value *y;
  float *data;
  bbw_error err;
  bbw_status rv = bbw_value_new_tensor(&y, &data, BBW_TYPE_CPU_TENSOR, dims, 2, m->mem);
  if (rv != BBW_OK) { return rv; }
  rv = bbw_onnx_net_forward(m->net, x->data, samples, data, &err);
  if (rv != BBW_OK) {
    bbw_value_release(y, m->mem);
    return fail(ctx, rv, &err);
  }
  bbw_ctx_set_output(ctx, 0, y);
  return BBW_OK;
}

static bbw_status backward(model *m, bbw_ctx *ctx) {
  const bbw_tensor *g = bbw_ctx_input_tensor(ctx, 0);
  if (g == NULL) { return bbw_ctx_fail_input(ctx, 0, "CpuTensor"); }
  size_t samples;
  if (!count_samples(g, bbw_onnx_net_output_width(m->net), &samples)) {
    return fail_shape(ctx, "input 0 does not hold a gradient for each output");
  }
  const uint64_t dims[] = {bbw_onnx_net_parameter_count(m->net)};
  bbw_value *out;
  float *data;
  bbw_error err;
  bbw_status rv = bbw_value_new_tensor(&out, &data, BBW_TYPE_CPU_TENSOR, dims, 1, m->mem);
  if (rv != BBW_OK) { return rv; }
  rv = bbw_onnx_net_backward(m->net, g->data, samples, data, &err);
  if (rv != BBW_OK) {
    bbw_value_release(out, m->mem);
    return fail(ctx, rv, &err);
  }
  bbw_ctx_set_output(ctx, 0, out);
  return BBW_OK;
}

static bbw_status compute_loss(model *m, bbw_ctx *ctx) {
  const float *y;
  bbw_labels labels;
  size_t samples;
  bbw_status rv = read_samples(m, ctx, bbw_onnx_net_output_width(m->net), &y, &labels, &samples);
  if (rv != BBW_OK) { return rv; }
  double loss;
  bbw_error err;
  rv = bbw_onnx_net_loss(m->net, y, labels, samples, &loss, &err);
  if (rv != BBW_OK) { return fail(ctx, rv, &err); }
  bbw_value *value;
  rv = bbw_value_new_f32(&value, (float)loss, m->mem);
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, 0, value); }
  return rv;
}

static bbw_status params(model *m, bbw_ctx *ctx) {
  size_t count = bbw_onnx_net_parameter_count(m->net);
  const uint64_t dims[] = {count};
  bbw_value *value;
  float *data;
  bbw_status rv = bbw_value_new_tensor(&value, &data, BBW_TYPE_CPU_TENSOR, dims, 1, m->mem);
  if (rv != BBW_OK) { return rv; }
  if (count > 0) { memcpy(data, bbw_onnx_net_parameters(m->net), count * sizeof(float)); }
  bbw_ctx_set_output(ctx, 0, value);
  return BBW_OK;
}

typedef bbw_status change_parameters(bbw_onnx_net *net, const float *p, size_t count, bbw_error *err);

static bbw_status change(model *m, bbw_ctx *ctx, change_parameters *how) {
  const bbw_tensor *p = bbw_ctx_input_tensor(ctx, 0);
  if (p == NULL) { return bbw_ctx_fail_input(ctx, 0, "CpuTensor"); }
  bbw_error err;
  bbw_status rv = how(m->net, p->data, p->count, &err);
  if (rv == BBW_E_SHAPE) {
    return fail_shape(ctx, "input 0 does not have as many elements as the model has parameters");
  }
  return fail(ctx, rv, &err);
}

static bbw_status load_parameters(model *m, bbw_ctx *ctx) { return change(m, ctx, bbw_onnx_net_load_parameters); }
static bbw_status apply_delta(model *m, bbw_ctx *ctx) { return change(m, ctx, bbw_onnx_net_apply_delta); }

static bbw_status train(model *m, bbw_ctx *ctx) {
  int64_t epochs = 1, batch_size = 32, seed;
  float rate = 0.1f;
  bbw_ctx_attr_i64(ctx, "epochs", &epochs);
  bbw_ctx_attr_i64(ctx, "batch_size", &batch_size);
  bbw_ctx_attr_f32(ctx, "learning_rate", &rate);
  uint64_t start = bbw_ctx_attr_i64(ctx, "seed", &seed) ? (uint64_t)seed : bbw_ctx_random(ctx);
  if (epochs < 1 || epochs > BBW_ONNX_MODEL_EPOCHS_MAX) {
    return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "invalid_attribute", BBW_STR("epochs is out of range"));
  }
  if (batch_size < 1 || (uint64_t)batch_size > UINT32_MAX) {
    return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "invalid_attribute", BBW_STR("batch_size is out of range"));
  }
  const float *x;
  bbw_labels labels;
  size_t samples;
  bbw_status rv = read_samples(m, ctx, bbw_onnx_net_input_width(m->net), &x, &labels, &samples);
  if (rv != BBW_OK) { return rv; }
  bbw_train_options options = {
      .epochs = (size_t)epochs, .batch_size = (size_t)batch_size, .rate = rate, .seed = start + m->trainings};
  double loss;
  bbw_error err;
  rv = bbw_onnx_net_train(m->net, x, labels, samples, &options, &loss, &err);
  if (rv != BBW_OK) { return fail(ctx, rv, &err); }
  m->trainings++;
  return set_numbers(ctx, (float)loss, BBW_TYPE_FEDAVG_META, samples, 0.0f);
}

static bbw_status evaluate(model *m, bbw_ctx *ctx) {
  const float *x;
  bbw_labels labels;
  size_t samples;
  bbw_status rv = read_samples(m, ctx, bbw_onnx_net_input_width(m->net), &x, &labels, &samples);
  if (rv != BBW_OK) { return rv; }
  double loss, accuracy;
  bbw_error err;
  rv = bbw_onnx_net_evaluate(m->net, x, labels, samples, &loss, &accuracy, &err);
  if (rv != BBW_OK) { return fail(ctx, rv, &err); }
  return set_numbers(ctx, (float)loss, BBW_TYPE_RAW_F32, 0, (float)accuracy);
}

static const struct {
  const char *op_type;
  bbw_status (*run)(model *m, bbw_ctx *ctx);
} operators[] = {
    {"Forward", forward},
    {"Backward", backward},
    {"ComputeLoss", compute_loss},
    {"Params", params},
    {"LoadParameters", load_parameters},
    {"ApplyDelta", apply_delta},
    {"Train", train},
    {"Evaluate", evaluate},
};
enum { OPERATOR_COUNT = sizeof operators / sizeof operators[0] };

static size_t find_operator(bbw_str op_type) {
  size_t i = 0;
  while (i < OPERATOR_COUNT && !bbw_str_equal(op_type, (bbw_str){operators[i].op_type, strlen(operators[i].op_type)})) {
    i++;
  }
  return i;
}

static bool supports(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return role == BBW_ROLE_MODEL && find_operator(op_type) < OPERATOR_COUNT;
}

static bbw_status dispatch(void *self, bbw_ctx *ctx) {
  size_t i = find_operator(bbw_ctx_op_type(ctx));
  if (i == OPERATOR_COUNT) { return bbw_ctx_fail(ctx, BBW_OP_OTHER, "unknown op_type", bbw_ctx_op_type(ctx)); }
  return operators[i].run(self, ctx);
}

const bbw_component_type bbw_onnx_model_component = {
    .type_name = "OnnxModel",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_MODEL),
    .construct = construct,
    .destroy = destroy,
    .dispatch = dispatch,
    .supports = supports,
    .save = save,
    .restore = restore,
};
