#include "components/onnx_model.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "components/onnx_private.h"
#include "kernels/elementwise.h"

/* Batches that one poll trains, unless the operator says another number. */
#define SLICE_BATCHES 64

typedef bbw_onnx_job job;
typedef struct bbw_onnx_component model;

static void close_job(model *m) { bbw_onnx_job_close(&m->job, m->mem); }

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
  if (cause != BBW_E_ONNX_UNSUPPORTED || bbw_error_item(err, "nodes", 0).len == 0) {
    char text[256];
    size_t used = 0;
    bbw_str detail = bbw_error_field(err, "detail"), place = bbw_error_field(err, "node");
    if (place.len == 0) { place = bbw_error_field(err, "value"); }
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
  close_job(m);
  bbw_onnx_net_del(m->net);
  bbw_mem_array_free(mem, m, 1, sizeof *m);
}

/* The steps that were made stay. */
static void cancel(void *self, uint64_t cmd_id) {
  model *m = self;
  if (m->job.is_open && m->job.cmd_id == cmd_id) { close_job(m); }
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

/* Input `index` as samples of the model. */
static bbw_status read_inputs(model *m, bbw_ctx *ctx, const float **x, size_t *samples) {
  const bbw_tensor *given = bbw_ctx_input_tensor(ctx, 0);
  if (given == NULL) { return bbw_ctx_fail_input(ctx, 0, "CpuTensor"); }
  bbw_error err;
  bbw_status rv = bbw_onnx_net_fit(m->net, given->dims, given->rank, &err);
  if (rv != BBW_OK) { return fail(ctx, rv, &err); }
  if (!count_samples(given, bbw_onnx_net_input_width(m->net), samples)) {
    return fail_shape(ctx, "input 0 does not hold whole samples of this model");
  }
  *x = given->data;
  return BBW_OK;
}

/* Input 1 as the labels of that many samples; all models but those whose loss takes none need it. */
static bbw_status read_labels(const model *m, bbw_ctx *ctx, size_t samples, bbw_labels *labels) {
  const bbw_tensor *t = bbw_ctx_input_tensor(ctx, 1);
  size_t index_width = bbw_onnx_net_label_width(m->net, true), width = bbw_onnx_net_label_width(m->net, false);
  if (t == NULL) { return bbw_ctx_fail_input(ctx, 1, "CpuTensor"); }
  bool is_whole = samples != 0 ? t->count % samples == 0 : t->count == 0; /* a product need not fit 32 bits */
  size_t each = samples != 0 ? t->count / samples : width;
  *labels = (bbw_labels){t->data, is_whole && index_width != 0 && (samples == 0 || each == index_width)};
  return labels->is_index || (is_whole && each == width)
             ? BBW_OK
             : fail_shape(ctx, "input 1 holds neither a class nor a number per output for each sample");
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
  const bbw_tensor *y = bbw_ctx_input_tensor(ctx, 0);
  bbw_labels labels;
  size_t samples;
  if (y == NULL) { return bbw_ctx_fail_input(ctx, 0, "CpuTensor"); }
  if (!count_samples(y, bbw_onnx_net_output_width(m->net), &samples)) {
    return fail_shape(ctx, "input 0 does not hold whole outputs of this model");
  }
  bbw_status rv = read_labels(m, ctx, samples, &labels);
  if (rv != BBW_OK) { return rv; }
  double loss;
  bbw_error err;
  rv = bbw_onnx_net_loss(m->net, y->data, labels, samples, &loss, &err);
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

/* ---- in slices ---- */

/* Whether the operator goes on with what it began in an earlier slice; else a job of its own is open now, under *cmd_id where it was parked before. */
static bool goes_on(model *m, bbw_ctx *ctx, bool is_training) {
  job *j = &m->job;
  uint64_t cmd_id = 0;
  bool is_next = bbw_ctx_resumed(ctx, &cmd_id) && j->is_open && j->cmd_id == cmd_id;
  if (is_next) { return true; }
  close_job(m);
  *j = (job){.is_open = true, .is_training = is_training, .cmd_id = cmd_id, .started_ns = bbw_ctx_now_ns(ctx)};
  return false;
}

/* The data of a job that is read slice by slice; the values live as long as it does. */
static bbw_status hold_data(model *m, bbw_ctx *ctx, bool has_labels) {
  job *j = &m->job;
  bbw_error err;
  bbw_status rv = read_inputs(m, ctx, &j->run.x, &j->run.samples);
  if (rv == BBW_OK && has_labels) { rv = read_labels(m, ctx, j->run.samples, &j->run.labels); }
  if (rv != BBW_OK) { return rv; }
  if (has_labels) { rv = bbw_onnx_check_labels(m->net, j->run.labels, j->run.samples, &err); }
  if (rv != BBW_OK) { return fail(ctx, rv, &err); }
  j->x = bbw_value_retain(bbw_ctx_input(ctx, 0)); /* decoded by now, where it came as bytes */
  j->labels = has_labels ? bbw_value_retain(bbw_ctx_input(ctx, 1)) : NULL;
  return BBW_OK;
}

typedef bbw_status take_piece(model *m, bbw_error *err, bool *is_done);

/* What is more than one piece waits for another poll after SLICE_BATCHES, or when the host's time is up. */
static bbw_status run_pieces(model *m, bbw_ctx *ctx, bool is_next, size_t pieces, take_piece *take) {
  job *j = &m->job;
  bool is_long = pieces > 1 && (bbw_ctx_has_time_budget(ctx) || pieces > SLICE_BATCHES), is_done = false;
  bbw_status rv = is_long && !is_next ? bbw_ctx_later(ctx, &j->cmd_id) : BBW_OK;
  if (rv != BBW_OK) { return rv; }
  for (size_t n = 0; !is_done; n++) {
    bbw_error err;
    if (is_long && n > 0 && (n == SLICE_BATCHES || bbw_ctx_is_time_up(ctx))) { return BBW_LATER; }
    rv = take(m, &err, &is_done);
    if (rv != BBW_OK) { return fail(ctx, rv, &err); }
  }
  return BBW_OK;
}

static size_t pieces_of(size_t samples, size_t piece) { return samples / piece + (samples % piece != 0); }

static bbw_status forward_piece(model *m, bbw_error *err, bool *is_done) {
  job *j = &m->job;
  bbw_status rv = bbw_onnx_net_forward_piece(m->net, j->run.x, j->run.samples, j->numbers, &j->evaluation.done, err);
  *is_done = j->evaluation.done == j->run.samples;
  return rv;
}

static bbw_status forward(model *m, bbw_ctx *ctx) {
  job *j = &m->job;
  bool is_next = goes_on(m, ctx, false);
  bbw_status rv = is_next ? BBW_OK : hold_data(m, ctx, false);
  if (rv == BBW_OK && !is_next) {
    const uint64_t dims[] = {j->run.samples, bbw_onnx_net_output_width(m->net)};
    rv = bbw_value_new_tensor(&j->y, &j->numbers, BBW_TYPE_CPU_TENSOR, dims, 2, m->mem);
  }
  if (rv == BBW_OK) {
    rv = run_pieces(m, ctx, is_next, pieces_of(j->run.samples, BBW_ONNX_NET_KEPT_MAX), forward_piece);
  }
  if (rv == BBW_OK) {
    bbw_ctx_set_output(ctx, 0, j->y);
    j->y = NULL;
  }
  if (rv != BBW_LATER) { close_job(m); }
  return rv;
}

static bbw_status evaluate_piece(model *m, bbw_error *err, bool *is_done) {
  job *j = &m->job;
  bbw_status rv = bbw_onnx_net_evaluate_piece(m->net, j->run.x, j->run.labels, j->run.samples, &j->evaluation, err);
  *is_done = j->evaluation.done == j->run.samples;
  return rv;
}

static bbw_status evaluate(model *m, bbw_ctx *ctx) {
  job *j = &m->job;
  bool is_next = goes_on(m, ctx, false);
  double loss, accuracy;
  bbw_error err;
  bbw_status rv = is_next ? BBW_OK : hold_data(m, ctx, true);
  if (rv == BBW_OK) {
    rv = run_pieces(m, ctx, is_next, pieces_of(j->run.samples, BBW_ONNX_NET_EVALUATED_MAX), evaluate_piece);
  }
  if (rv == BBW_OK) {
    rv = bbw_onnx_evaluation_end(&j->evaluation, &loss, &accuracy, &err);
    rv = rv == BBW_OK ? set_numbers(ctx, (float)loss, BBW_TYPE_RAW_F32, 0, (float)accuracy) : fail(ctx, rv, &err);
  }
  if (rv != BBW_LATER) { close_job(m); }
  return rv;
}

static bbw_status fail_attribute(bbw_ctx *ctx, const char *detail) {
  return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "invalid_attribute", (bbw_str){detail, strlen(detail)});
}

static bbw_status read_options(const model *m, bbw_ctx *ctx, bbw_train_options *options, uint64_t *slice) {
  int64_t epochs = 1, batch_size = 32, shuffle = 1, batches = SLICE_BATCHES;
  *options = (bbw_train_options){.rate = bbw_onnx_net_rate(m->net)};
  bbw_ctx_attr_i64(ctx, "epochs", &epochs);
  bbw_ctx_attr_i64(ctx, "batch_size", &batch_size);
  bbw_ctx_attr_i64(ctx, "shuffle", &shuffle);
  bbw_ctx_attr_i64(ctx, "batches_per_poll", &batches);
  bbw_ctx_attr_f32(ctx, "learning_rate", &options->rate);
  if (epochs < 1 || epochs > BBW_ONNX_MODEL_EPOCHS_MAX) { return fail_attribute(ctx, "epochs is out of range"); }
  if (batch_size < 1 || (uint64_t)batch_size > UINT32_MAX) { return fail_attribute(ctx, "batch_size is out of range"); }
  if (batches < 1) { return fail_attribute(ctx, "batches_per_poll is out of range"); }
  options->epochs = (size_t)epochs;
  options->batch_size = (size_t)batch_size;
  options->keeps_order = shuffle == 0;
  *slice = (uint64_t)batches;
  return BBW_OK;
}

/* Begins the run of the job, or goes on with it after a restore. */
static bbw_status begin(model *m, bbw_ctx *ctx, bbw_train_options *options) {
  job *j = &m->job;
  const float *x;
  bbw_labels labels;
  size_t samples;
  bbw_error err;
  bbw_status rv = read_inputs(m, ctx, &x, &samples);
  if (rv == BBW_OK) { rv = read_labels(m, ctx, samples, &labels); }
  if (rv != BBW_OK) { return rv; }
  options->seed = j->seed;
  rv = bbw_onnx_run_begin(&j->run, m->net, x, labels, samples, options, &err);
  if (rv != BBW_OK) { return fail(ctx, rv, &err); }
  j->x = bbw_value_retain(bbw_ctx_input(ctx, 0)); /* decoded by now, where it came as bytes */
  j->labels = bbw_value_retain(bbw_ctx_input(ctx, 1));
  return BBW_OK;
}

static uint64_t batches_of(const bbw_onnx_run *run) {
  return (run->samples + run->options.batch_size - 1) / run->options.batch_size;
}

/* How far it is, as an event for the application: epoch, epochs, batch, batches per epoch, loss of the last batch, samples per second, seconds that are left. */
static bbw_status tell(const model *m, bbw_ctx *ctx) {
  const bbw_onnx_run *run = &m->job.run;
  bbw_bytes topic;
  bbw_value *value;
  float *to;
  const uint64_t dims[] = {7};
  if (!bbw_ctx_attr_bytes(ctx, "progress", &topic)) { return BBW_OK; }
  bbw_status rv = bbw_value_new_tensor(&value, &to, BBW_TYPE_CPU_TENSOR, dims, 1, m->mem);
  if (rv != BBW_OK) { return rv; }
  uint64_t now_ns = bbw_ctx_now_ns(ctx), ns = now_ns > m->job.started_ns ? now_ns - m->job.started_ns : 0;
  bool is_done = bbw_onnx_run_is_done(run);
  uint64_t epoch = is_done ? run->options.epochs - 1 : run->at.epoch;
  double seen = (double)run->samples * (double)run->at.epoch + (double)run->at.done;
  double rate = ns > 0 ? seen * 1e9 / (double)ns : 0.0;
  double left = (double)run->samples * (double)run->options.epochs - seen;
  to[0] = (float)epoch;
  to[1] = (float)run->options.epochs;
  to[2] = (float)(is_done ? batches_of(run) : run->at.done / run->options.batch_size);
  to[3] = (float)batches_of(run);
  to[4] = (float)run->at.batch_loss;
  to[5] = (float)rate;
  to[6] = rate > 0.0 ? (float)(left / rate) : 0.0f;
  rv = bbw_ctx_emit(ctx, "progress", value);
  if (rv != BBW_OK) { bbw_value_release(value, m->mem); }
  return rv;
}

/* Says which batch it was. */
static bbw_status fail_batch(bbw_ctx *ctx, bbw_status rv, const bbw_error *err) {
  if (rv != BBW_E_NOT_FINITE) { return fail(ctx, rv, err); }
  char text[160];
  size_t used = 0;
  const bbw_str parts[] = {BBW_STR("epoch "),   bbw_error_field(err, "epoch"),
                           BBW_STR(", batch "), bbw_error_field(err, "batch"),
                           BBW_STR(": "),       bbw_error_field(err, "detail")};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) { append(text, sizeof text, &used, parts[i]); }
  return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "not_finite", (bbw_str){text, used});
}

static bbw_status finish(model *m, bbw_ctx *ctx) {
  const bbw_onnx_run *run = &m->job.run;
  m->trainings++;
  return set_numbers(ctx, (float)(run->at.loss / (double)run->samples), BBW_TYPE_FEDAVG_META, run->samples, 0.0f);
}

/* One slice. */
static bbw_status run_slice(model *m, bbw_ctx *ctx, uint64_t batches) {
  bbw_onnx_run *run = &m->job.run;
  bbw_error err;
  bbw_error_set(&err, BBW_OK);
  bbw_status rv = BBW_OK;
  for (uint64_t n = 0; rv == BBW_OK && n < batches && !bbw_onnx_run_is_done(run); n++) {
    if (n > 0 && bbw_ctx_is_time_up(ctx)) { break; }
    rv = bbw_onnx_run_step(run, &err);
  }
  if (rv != BBW_OK) { return fail_batch(ctx, rv, &err); }
  rv = tell(m, ctx);
  if (rv != BBW_OK) { return rv; }
  return bbw_onnx_run_is_done(run) ? finish(m, ctx) : BBW_LATER;
}

static bbw_status train(model *m, bbw_ctx *ctx) {
  job *j = &m->job;
  bbw_train_options options;
  uint64_t batches = 0;
  bool is_next = goes_on(m, ctx, true);
  bbw_status rv = read_options(m, ctx, &options, &batches);
  if (rv == BBW_OK && !is_next) {
    int64_t seed;
    j->seed = (bbw_ctx_attr_i64(ctx, "seed", &seed) ? (uint64_t)seed : bbw_ctx_random(ctx)) + m->trainings;
  }
  if (rv == BBW_OK && j->run.order == NULL) { rv = begin(m, ctx, &options); }
  /* What may not be done in one slice needs a command first: without one nothing is begun. */
  bool is_long = rv == BBW_OK && (bbw_ctx_has_time_budget(ctx) || batches / options.epochs < batches_of(&j->run));
  if (is_long && !is_next) { rv = bbw_ctx_later(ctx, &j->cmd_id); }
  if (rv == BBW_OK) { rv = run_slice(m, ctx, is_long ? batches : UINT64_MAX); }
  if (rv != BBW_LATER) { close_job(m); }
  return rv;
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

/*
 * While an operator trains, those that come after it wait for their turn, so that none sees or changes what is half done.  They are resumed in the order of their commands.  A training that nobody waits for any more
 * (the host answered its command, or a snapshot made it up) ends here.
 */
static bbw_status dispatch(void *self, bbw_ctx *ctx) {
  model *m = self;
  uint64_t cmd_id;
  size_t i = find_operator(bbw_ctx_op_type(ctx));
  if (i == OPERATOR_COUNT) { return bbw_ctx_fail(ctx, BBW_OP_OTHER, "unknown op_type", bbw_ctx_op_type(ctx)); }
  if (m->job.is_open && !bbw_ctx_waits(ctx, m->job.cmd_id)) { close_job(m); }
  bool is_resumed = bbw_ctx_resumed(ctx, &cmd_id);
  if (!m->job.is_open || (is_resumed && m->job.cmd_id == cmd_id)) { return operators[i].run(m, ctx); }
  bbw_status rv = bbw_ctx_later(ctx, &cmd_id);
  return rv == BBW_OK ? BBW_LATER : rv;
}

const bbw_component_type bbw_onnx_model_component = {
    .type_name = "OnnxModel",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_MODEL),
    .construct = construct,
    .destroy = destroy,
    .dispatch = dispatch,
    .supports = supports,
    .save = bbw_onnx_model_save,
    .restore = bbw_onnx_model_restore,
    .cancel = cancel,
    .resumes = true,
};
