#include "components/onnx_net.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "components/onnx_options.h"
#include "components/onnx_private.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "onnx/convert.h"
#include "onnx/op.h"

static const char not_fit[] = "nothing says how long a sample is";

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

bbw_status bbw_onnx_refuse(bbw_error *err, bbw_status status, const char *detail) {
  bbw_error_set(err, status);
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  return status;
}

bbw_status bbw_onnx_grow(bbw_onnx_net *net, bbw_onnx_buffer *buffer, size_t count, size_t size, bbw_error *err) {
  size_t bytes;
  if (!bbw_size_mul(count, size, &bytes)) { return bbw_error_set(err, BBW_E_LIMIT); }
  if (bytes <= buffer->bytes) { return BBW_OK; }
  void *items = bbw_mem_array(net->mem, bytes, 1);
  if (items == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_mem_array_free(net->mem, buffer->items, buffer->bytes, 1);
  *buffer = (bbw_onnx_buffer){items, bytes};
  return BBW_OK;
}

/* ---- making and freeing ---- */

static bbw_status make_trainer(bbw_onnx_net *net, bbw_bytes model, bbw_error *err) {
  bbw_trainer_options options = {.has_backward = true, .frees_batch = true};
  bbw_arena arena;
  bbw_arena_init(&arena, net->mem);
  bbw_status rv = bbw_onnx_options_read(&options, model, &arena, err);
  if (rv == BBW_OK) { rv = bbw_trainer_new(&net->trainer, model, &options, net->mem, err); }
  bbw_arena_free(&arena);
  net->loss = options.loss;
  net->has_ignored = options.has_ignored;
  net->ignored = options.ignored;
  net->rate = options.rate;
  return rv;
}

/* The dimensions behind the first, when the file says them all. */
static bool is_fixed(const bbw_port_info *port) {
  bool is = port->has_shape && port->rank > 0;
  for (uint32_t d = 1; is && d < port->rank; d++) { is = port->dims[d] >= 0; }
  return is;
}

static bbw_status open(bbw_onnx_net *net, bbw_bytes model, bbw_error *err) {
  BBW_TRY(make_trainer(net, model, err));
  const bbw_trainer *t = net->trainer;
  if (bbw_trainer_input_count(t) != 1) {
    bbw_onnx_refuse(err, BBW_E_ONNX_INVALID, "a Model takes files with one input");
    if (bbw_trainer_input_count(t) > 1) { bbw_error_add_str(err, "value", bbw_trainer_input(t, 1).name); }
    return BBW_E_ONNX_INVALID;
  }
  net->input = bbw_trainer_input(t, 0);
  net->prediction = bbw_trainer_prediction(t, &net->is_inner);
  net->output_count = bbw_trainer_output_count(t);
  net->outputs = bbw_mem_array(net->mem, net->output_count, sizeof *net->outputs);
  if (net->outputs == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  if (!bbw_is_finite_f32(bbw_onnx_net_parameters(net), bbw_onnx_net_parameter_count(net))) {
    return bbw_onnx_refuse(err, BBW_E_NOT_FINITE, "an initializer is not finite");
  }
  uint64_t dims[BBW_ARRAY_RANK_MAX] = {1};
  for (uint32_t d = 1; d < net->input.rank; d++) { dims[d] = (uint64_t)net->input.dims[d]; }
  return is_fixed(&net->input) ? bbw_onnx_net_fit(net, dims, net->input.rank, err) : BBW_OK;
}

bbw_status bbw_onnx_net_new(bbw_onnx_net **out, bbw_bytes model, const bbw_mem *mem, bbw_error *err) {
  bbw_onnx_net *net = bbw_mem_array(mem, 1, sizeof *net);
  if (net == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  net->mem = mem;
  bbw_status rv = open(net, model, err);
  if (rv != BBW_OK) {
    bbw_onnx_net_del(net);
    return rv;
  }
  *out = net;
  return BBW_OK;
}

void bbw_onnx_net_del(bbw_onnx_net *net) {
  if (net == NULL) { return; }
  const bbw_mem *mem = net->mem;
  const bbw_onnx_buffer buffers[] = {net->data, net->kept, net->picked, net->wanted, net->order, net->good, net->spare};
  for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
    bbw_mem_array_free(mem, buffers[i].items, buffers[i].bytes, 1);
  }
  bbw_mem_array_free(mem, net->outputs, net->output_count, sizeof *net->outputs);
  bbw_trainer_del(net->trainer);
  bbw_mem_array_free(mem, net, 1, sizeof *net);
}

/* ---- shapes ---- */

/* An array of `samples` times the shape of one. */
static bool batch_of(bbw_array *out, const bbw_array *one, bbw_dtype dtype, uint32_t rank, size_t samples) {
  size_t dims[BBW_ARRAY_RANK_MAX];
  memcpy(dims, one->dims, sizeof dims);
  dims[0] = samples;
  return bbw_array_shape(out, dtype, rank, dims);
}

bbw_status bbw_onnx_inputs(bbw_onnx_net *net, const float *x, size_t samples, bbw_array *out, bbw_error *err) {
  if (!batch_of(out, &net->x, net->x.dtype, net->x.rank, samples)) { return bbw_error_set(err, BBW_E_LIMIT); }
  out->data = (void *)(uintptr_t)x; /* only read */
  if (out->dtype == BBW_DTYPE_F32) { return BBW_OK; }
  BBW_TRY(bbw_onnx_grow(net, &net->data, bbw_array_bytes(out), 1, err));
  out->data = net->data.items;
  bbw_store_f32(out, 0, out->count, x);
  return BBW_OK;
}

/* Runs the samples as the model infers; *y is a view until the next run. */
static bbw_status infer(bbw_onnx_net *net, const float *x, size_t samples, const bbw_array *labels, double *loss,
                        bbw_array *y, bbw_error *err) {
  bbw_array in;
  BBW_TRY(bbw_onnx_inputs(net, x, samples, &in, err));
  BBW_TRY(bbw_trainer_evaluate(net->trainer, &in, 1, labels, loss, net->outputs, err));
  *y = net->outputs[net->prediction];
  if (y->dtype != BBW_DTYPE_F32 || y->rank == 0 || y->dims[0] != samples) {
    return bbw_onnx_refuse(err, BBW_E_ONNX_INVALID, "the output is not one row of f32 for each sample");
  }
  return BBW_OK;
}

/* Runs one sample of zeros, to see what comes out. */
static bbw_status probe(bbw_onnx_net *net, bbw_error *err) {
  bbw_array y;
  BBW_TRY(bbw_onnx_grow(net, &net->picked, net->x.count, sizeof(float), err));
  if (net->x.count > 0) { memset(net->picked.items, 0, net->x.count * sizeof(float)); }
  BBW_TRY(infer(net, net->picked.items, 1, NULL, NULL, &y, err));
  bool has_classes = net->loss != BBW_TRAINER_SOFTMAX_CROSS_ENTROPY || y.rank > 1;
  if (!has_classes || y.count == 0) {
    return bbw_onnx_refuse(err, BBW_E_ONNX_INVALID, "the output has no classes, or is empty");
  }
  net->y = y;
  net->y.data = NULL;
  return BBW_OK;
}

bbw_status bbw_onnx_net_fit(bbw_onnx_net *net, const uint64_t *dims, uint32_t rank, bbw_error *err) {
  const bbw_port_info *port = &net->input;
  if (net->is_fit && is_fixed(port)) { return BBW_OK; }
  size_t sizes[BBW_ARRAY_RANK_MAX] = {1};
  bool fits = rank > 0 && rank <= BBW_ARRAY_RANK_MAX && (!port->has_shape || rank == port->rank);
  for (uint32_t d = 1; fits && d < rank; d++) {
    sizes[d] = (size_t)dims[d];
    fits = sizes[d] == dims[d] && (!port->has_shape || port->dims[d] < 0 || (uint64_t)port->dims[d] == dims[d]);
  }
  bbw_array x;
  bbw_dtype dtype = port->dtype == BBW_DTYPE_NONE ? BBW_DTYPE_F32 : port->dtype;
  if (!fits || !bbw_array_shape(&x, dtype, rank, sizes) || x.count == 0) {
    return bbw_onnx_refuse(err, BBW_E_SHAPE, "the samples have not the shape of the input");
  }
  if (net->is_fit && bbw_array_same_shape(&x, &net->x)) { return BBW_OK; }
  bbw_array before = net->x;
  net->x = x;
  bbw_status rv = probe(net, err);
  if (rv != BBW_OK) {
    net->x = before;
    return rv;
  }
  net->is_fit = true;
  net->kept_samples = 0; /* they had another shape */
  return BBW_OK;
}

size_t bbw_onnx_net_input_width(const bbw_onnx_net *net) { return net->is_fit ? net->x.count : 0; }
size_t bbw_onnx_net_output_width(const bbw_onnx_net *net) { return net->is_fit ? net->y.count : 0; }

static size_t classes_of(const bbw_onnx_net *net) { return net->y.dims[net->y.rank - 1]; }

size_t bbw_onnx_net_label_width(const bbw_onnx_net *net, bool is_index) {
  if (!is_index || !net->is_fit) { return bbw_onnx_net_output_width(net); }
  return net->loss == BBW_TRAINER_SOFTMAX_CROSS_ENTROPY ? net->y.count / classes_of(net) : 0;
}

/* ---- parameters ---- */

size_t bbw_onnx_net_parameter_count(const bbw_onnx_net *net) {
  size_t count;
  bbw_trainer_values(net->trainer, &count);
  return count;
}

const float *bbw_onnx_net_parameters(const bbw_onnx_net *net) {
  size_t count;
  return bbw_trainer_values(net->trainer, &count);
}

bbw_trainer *bbw_onnx_net_trainer(const bbw_onnx_net *net) { return net->trainer; }
float bbw_onnx_net_rate(const bbw_onnx_net *net) { return net->rate; }

bbw_status bbw_onnx_net_load_parameters(bbw_onnx_net *net, const float *parameters, size_t count, bbw_error *err) {
  BBW_TRY(bbw_trainer_load(net->trainer, parameters, count, err));
  bbw_trainer_state_reset(net->trainer);
  net->kept_samples = 0;
  return BBW_OK;
}

bbw_status bbw_onnx_net_apply_delta(bbw_onnx_net *net, const float *delta, size_t count, bbw_error *err) {
  const float *values = bbw_onnx_net_parameters(net);
  for (size_t i = 0; i < count && count == bbw_onnx_net_parameter_count(net); i++) {
    if (!isfinite(values[i] + delta[i])) {
      return bbw_onnx_refuse(err, BBW_E_NOT_FINITE, "a parameter would not be finite");
    }
  }
  BBW_TRY(bbw_trainer_add(net->trainer, delta, count, err));
  net->kept_samples = 0;
  return BBW_OK;
}

/* ---- running ---- */

bbw_status bbw_onnx_net_keep(bbw_onnx_net *net, const float *x, size_t samples) {
  size_t bytes = samples * net->x.count * sizeof(float); /* the samples are there, so it fits */
  BBW_TRY(bbw_onnx_grow(net, &net->kept, bytes, 1, NULL));
  if (bytes > 0) { memcpy(net->kept.items, x, bytes); }
  net->kept_samples = samples;
  return BBW_OK;
}

const float *bbw_onnx_net_kept(const bbw_onnx_net *net, size_t *samples) {
  *samples = net->kept_samples;
  return net->kept_samples == 0 ? NULL : net->kept.items;
}

bbw_status bbw_onnx_net_forward_piece(bbw_onnx_net *net, const float *x, size_t samples, float *y, size_t *done,
                                      bbw_error *err) {
  size_t in = net->x.count, out = net->y.count, at = *done, part = min_size(samples - at, BBW_ONNX_NET_KEPT_MAX);
  if (!net->is_fit) { return bbw_onnx_refuse(err, BBW_E_SHAPE, not_fit); }
  if (part > 0) {
    bbw_array made;
    BBW_TRY(infer(net, x + at * in, part, NULL, NULL, &made, err));
    if (made.count != part * out) {
      return bbw_onnx_refuse(err, BBW_E_ONNX_INVALID, "the output is not one row of f32 for each sample");
    }
    memcpy(y + at * out, made.data, made.count * sizeof(float));
  }
  net->kept_samples = 0;
  if (samples <= BBW_ONNX_NET_KEPT_MAX) { BBW_TRY(bbw_error_set(err, bbw_onnx_net_keep(net, x, samples))); }
  *done = at + part;
  return BBW_OK;
}

bbw_status bbw_onnx_net_forward(bbw_onnx_net *net, const float *x, size_t samples, float *y, bbw_error *err) {
  size_t done = 0;
  do { BBW_TRY(bbw_onnx_net_forward_piece(net, x, samples, y, &done, err)); } while (done < samples);
  return BBW_OK;
}

bbw_status bbw_onnx_net_backward(bbw_onnx_net *net, const float *y_gradient, size_t samples, float *gradient,
                                 bbw_error *err) {
  if (samples == 0 || net->kept_samples != samples) {
    return bbw_onnx_refuse(err, BBW_E_STATE, "no forward of as many samples came before");
  }
  bbw_array in, slope;
  BBW_TRY(bbw_onnx_inputs(net, net->kept.items, samples, &in, err));
  if (!batch_of(&slope, &net->y, BBW_DTYPE_F32, net->y.rank, samples)) { return bbw_error_set(err, BBW_E_LIMIT); }
  slope.data = (void *)(uintptr_t)y_gradient; /* only read */
  return bbw_trainer_backward(net->trainer, &in, 1, &slope, gradient, err);
}

/* ---- labels ---- */

static bool is_class(const bbw_onnx_net *net, float label) {
  if (net->has_ignored && label == (float)net->ignored) { return true; }
  return label >= 0.0f && label < (float)classes_of(net) && floorf(label) == label;
}

bbw_status bbw_onnx_check_labels(const bbw_onnx_net *net, bbw_labels labels, size_t samples, bbw_error *err) {
  if (!net->is_fit) { return bbw_onnx_refuse(err, BBW_E_SHAPE, not_fit); }
  if (samples == 0) { return bbw_onnx_refuse(err, BBW_E_EMPTY, "there are no samples"); }
  if (net->loss == BBW_TRAINER_OUTPUT) { return BBW_OK; }
  size_t count = samples * bbw_onnx_net_label_width(net, labels.is_index); /* they are there, so it fits */
  for (size_t i = 0; i < count; i++) {
    if (labels.is_index ? is_class(net, labels.data[i]) : isfinite(labels.data[i])) { continue; }
    bbw_error_set_at(err, BBW_E_INVALID_VALUE, i);
    const char *detail = labels.is_index ? "a label is not the number of a class" : "a label is not finite";
    bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
    bbw_error_add_u64(err, "label", i);
    return BBW_E_INVALID_VALUE;
  }
  return BBW_OK;
}

bbw_status bbw_onnx_wanted(bbw_onnx_net *net, bbw_labels labels, size_t samples, bbw_array *out, bbw_error *err) {
  *out = (bbw_array){.dtype = BBW_DTYPE_NONE};
  if (net->loss == BBW_TRAINER_OUTPUT) { return BBW_OK; }
  uint32_t rank = labels.is_index ? net->y.rank - 1 : net->y.rank;
  bbw_dtype dtype = labels.is_index ? BBW_DTYPE_I64 : BBW_DTYPE_F32;
  if (!batch_of(out, &net->y, dtype, rank, samples)) { return bbw_error_set(err, BBW_E_LIMIT); }
  if (!labels.is_index) {
    out->data = (void *)(uintptr_t)labels.data; /* only read */
    return BBW_OK;
  }
  BBW_TRY(bbw_onnx_grow(net, &net->wanted, out->count, sizeof(int64_t), err));
  out->data = net->wanted.items;
  bbw_store_f32(out, 0, out->count, labels.data);
  return BBW_OK;
}

/* The labels of the samples from `first` on. */
static bbw_labels labels_from(const bbw_onnx_net *net, bbw_labels labels, size_t first) {
  size_t width = net->loss == BBW_TRAINER_OUTPUT ? 0 : bbw_onnx_net_label_width(net, labels.is_index);
  return (bbw_labels){width != 0 ? labels.data + first * width : labels.data, labels.is_index};
}

bbw_status bbw_onnx_net_loss(bbw_onnx_net *net, const float *y, bbw_labels labels, size_t samples, double *loss,
                             bbw_error *err) {
  BBW_TRY(bbw_onnx_check_labels(net, labels, samples, err));
  bbw_array made, wanted;
  if (!batch_of(&made, &net->y, BBW_DTYPE_F32, net->y.rank, samples)) { return bbw_error_set(err, BBW_E_LIMIT); }
  made.data = (void *)(uintptr_t)y; /* only read */
  BBW_TRY(bbw_onnx_wanted(net, labels, samples, &wanted, err));
  return bbw_trainer_loss_of(net->trainer, &made, wanted.dtype != BBW_DTYPE_NONE ? &wanted : NULL, loss, err);
}

/* Adds to *right and *counted what of a run's outputs counts, and is right. */
static void count_right(const bbw_onnx_net *net, const bbw_array *y, bbw_labels labels, size_t *right,
                        size_t *counted) {
  const float *from = y->data;
  if (net->loss == BBW_TRAINER_BCE_WITH_LOGITS) {
    float middle = net->is_inner ? 0.5f : 0.0f;
    for (size_t i = 0; i < y->count; i++) { *right += (from[i] > middle) == (labels.data[i] > 0.5f); }
    *counted += y->count;
  }
  size_t classes = classes_of(net), rows = y->count / classes;
  for (size_t i = 0; i < rows && net->loss == BBW_TRAINER_SOFTMAX_CROSS_ENTROPY; i++) {
    float best, wanted = labels.data[labels.is_index ? i : 0];
    if (!labels.is_index) { bbw_argmax_f32(labels.data + i * classes, &wanted, 1, classes, 1); }
    if (labels.is_index && net->has_ignored && wanted == (float)net->ignored) { continue; }
    bbw_argmax_f32(from + i * classes, &best, 1, classes, 1);
    *right += best == wanted;
    *counted += 1;
  }
}

bbw_status bbw_onnx_net_evaluate_piece(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                                       bbw_onnx_evaluation *e, bbw_error *err) {
  bbw_array wanted, y;
  double loss;
  size_t part = min_size(samples - e->done, BBW_ONNX_NET_EVALUATED_MAX);
  bbw_labels own = labels_from(net, labels, e->done);
  BBW_TRY(bbw_onnx_wanted(net, own, part, &wanted, err));
  const bbw_array *given = wanted.dtype != BBW_DTYPE_NONE ? &wanted : NULL;
  BBW_TRY(infer(net, x + e->done * net->x.count, part, given, &loss, &y, err));
  e->loss += loss * (double)part;
  count_right(net, &y, own, &e->right, &e->counted);
  e->done += part;
  return BBW_OK;
}

bbw_status bbw_onnx_evaluation_end(const bbw_onnx_evaluation *e, double *mean_loss, double *accuracy, bbw_error *err) {
  if (!isfinite(e->loss)) { return bbw_onnx_refuse(err, BBW_E_NOT_FINITE, "the loss is not finite"); }
  *mean_loss = e->loss / (double)e->done;
  *accuracy = e->counted > 0 ? (double)e->right / (double)e->counted : (double)NAN;
  return BBW_OK;
}

bbw_status bbw_onnx_net_evaluate(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                                 double *mean_loss, double *accuracy, bbw_error *err) {
  bbw_onnx_evaluation e = {0};
  BBW_TRY(bbw_onnx_check_labels(net, labels, samples, err));
  while (e.done < samples) { BBW_TRY(bbw_onnx_net_evaluate_piece(net, x, labels, samples, &e, err)); }
  return bbw_onnx_evaluation_end(&e, mean_loss, accuracy, err);
}
