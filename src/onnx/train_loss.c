/*
 * bbw.Loss: the loss of a batch and its gradient by the prediction, in one pass.
 *
 * Inputs: prediction, labels.  Outputs: the mean loss as one f64, the gradient like the prediction.  The root of every backward graph.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/math_f32.h"
#include "kernels/math_f64.h"
#include "kernels/softmax.h"
#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/params.h"

static bool is_index(const bbw_array *labels) { return !bbw_dtype_is_float(labels->dtype); }

/* One index per row of the last axis, or a distribution for each. */
static bbw_status check_rows(bbw_call *call, const bbw_loss_params *p) {
  const bbw_array *x = call->inputs[0], *labels = call->inputs[1];
  if (x->rank == 0) { return bbw_call_refuse(call, 0, "the prediction must have an axis of classes"); }
  size_t classes = x->dims[x->rank - 1];
  if (classes == 0) { return bbw_call_refuse(call, 0, "the prediction has no classes"); }
  if (p->class_count != 0 && p->class_count != classes) {
    return bbw_call_refuse(call, 0, "there must be one class weight per class");
  }
  if (is_index(labels) ? labels->count != x->count / classes : labels->count != x->count) {
    return bbw_call_refuse(call, 1,
                           "the labels must be one index per row of the prediction, or a distribution for each");
  }
  /* One row of targets. */
  return bbw_size_mul(classes, sizeof(float), &call->scratch_bytes) ? BBW_OK : BBW_E_LIMIT;
}

bbw_status bbw_train_loss_infer(bbw_call *call) {
  const bbw_loss_params *p = call->params;
  const bbw_array *x = call->inputs[0], *labels = bbw_call_input(call, 1);
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (x->count == 0) { return bbw_call_refuse(call, 0, "the batch is empty"); }
  if (p->kind != BBW_LOSS_OUTPUT) {
    if (labels == NULL) { return bbw_call_refuse(call, 1, "the loss needs labels"); }
    if (labels->dtype != BBW_DTYPE_F32 &&
        (p->kind != BBW_LOSS_SOFTMAX_CROSS_ENTROPY || !bbw_dtype_is_integer(labels->dtype))) {
      return bbw_call_refuse_type(call, 1);
    }
    if (p->kind == BBW_LOSS_SOFTMAX_CROSS_ENTROPY) {
      BBW_TRY(check_rows(call, p));
    } else if (labels->count != x->count) {
      return bbw_call_refuse(call, 1, "there must be one label per element of the prediction");
    }
  }
  BBW_TRY(bbw_call_output(call, 0, BBW_DTYPE_F64, 0, NULL));
  return bbw_call_output_like(call, 1, x);
}

/* The label of a row; BBW_E_ONNX_INVALID when there is no such class.  *counts: the row is not ignored. */
static bbw_status label_of(bbw_call *call, const bbw_loss_params *p, size_t row, size_t classes, int64_t *label,
                           bool *counts) {
  bbw_load_i64(call->inputs[1], row, 1, label);
  *counts = !(p->has_ignored && *label == p->ignored);
  if (!*counts || ((uint64_t)*label < classes && *label >= 0)) { return BBW_OK; }
  return bbw_call_refuse(call, 1, "a label is no class of the prediction");
}

static float weight_of(const bbw_loss_params *p, size_t class) {
  return p->class_count != 0 ? p->class_weights[class] : 1.0f;
}

/* What the loss is divided by: the weights of the labels, or the rows. */
static bbw_status total_weight(bbw_call *call, const bbw_loss_params *p, size_t rows, size_t classes, double *total) {
  *total = (double)rows;
  if (!is_index(call->inputs[1])) { return BBW_OK; }
  *total = 0.0;
  for (size_t r = 0; r < rows; r++) {
    int64_t label;
    bool counts;
    BBW_TRY(label_of(call, p, r, classes, &label, &counts));
    if (counts) { *total += (double)weight_of(p, (size_t)label); }
  }
  return BBW_OK;
}

/* The row of targets: its class, or its distribution, smoothed and weighted. */
static void targets_of(const bbw_call *call, const bbw_loss_params *p, size_t row, int64_t label, float *to,
                       size_t classes) {
  const bbw_array *labels = call->inputs[1];
  float rest = p->smoothing / (float)classes;
  for (size_t j = 0; j < classes; j++) {
    float target = is_index(labels) ? ((size_t)label == j ? 1.0f : 0.0f)
                                    : ((const float *)labels->data)[row * classes + j];
    to[j] = (target * (1.0f - p->smoothing) + rest) * weight_of(p, j);
  }
}

static bbw_status cross_entropy(bbw_call *call, const bbw_loss_params *p, double *loss, float *gradient) {
  const bbw_array *x = call->inputs[0], *labels = call->inputs[1];
  size_t classes = x->dims[x->rank - 1], rows = x->count / classes;
  const float *from = x->data;
  double total, sum = 0.0;
  BBW_TRY(total_weight(call, p, rows, classes, &total));
  float scale = total > 0.0 ? (float)(1.0 / total) : 0.0f;
  bool is_plain = p->smoothing == 0.0f && p->class_count == 0; /* of a distribution */
  if (!is_index(labels) && is_plain) {
    sum = bbw_cross_entropy_f32_simd128(from, labels->data, false, gradient, scale, rows, classes);
  } else {
    for (size_t r = 0; r < rows; r++) {
      int64_t label = 0;
      bool counts = true;
      float *to = gradient != NULL ? gradient + r * classes : NULL, *targets = call->scratch, index;
      if (is_index(labels)) { BBW_TRY(label_of(call, p, r, classes, &label, &counts)); }
      if (!counts) {
        if (to != NULL) { memset(to, 0, classes * sizeof *to); }
        continue;
      }
      index = (float)label;
      bool is_short = is_plain && classes < ((size_t)1 << 24); /* an index that f32 holds */
      if (!is_short) { targets_of(call, p, r, label, targets, classes); }
      sum += bbw_cross_entropy_f32_simd128(from + r * classes, is_short ? &index : targets, is_short, to, scale, 1,
                                           classes);
    }
  }
  *loss = total > 0.0 ? sum / total : 0.0;
  return BBW_OK;
}

/* Losses with one label per element: value and derivative. */
static double element(const bbw_loss_params *p, double x, double label, double *slope) {
  double d = x - label, size = fabs(d);
  switch (p->kind) {
  case BBW_LOSS_BCE_WITH_LOGITS: {
    double e = bbw_exp_f64(-fabs(x)), positive = x >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
    *slope = positive - label;
    return (x > 0.0 ? x : 0.0) - x * label + bbw_log1p_f64(e);
  }
  case BBW_LOSS_HUBER:
    if (!(size <= (double)p->delta)) {
      *slope = d > 0.0 ? (double)p->delta : d < 0.0 ? -(double)p->delta : d;
      return (double)p->delta * (size - 0.5 * (double)p->delta);
    }
    *slope = d;
    return 0.5 * d * d;
  case BBW_LOSS_MSE: *slope = 2.0 * d; return d * d;
  case BBW_LOSS_GIVEN: *slope = label; return x * label;
  default: *slope = 1.0; return x;
  }
}

bbw_status bbw_train_loss_run(bbw_call *call) {
  const bbw_loss_params *p = call->params;
  const bbw_array *x = call->inputs[0], *labels = bbw_call_input(call, 1);
  bbw_array *slopes = bbw_call_result(call, 1);
  float *gradient = slopes != NULL ? slopes->data : NULL;
  double *loss = call->outputs[0]->data;
  if (p->kind == BBW_LOSS_SOFTMAX_CROSS_ENTROPY) { return cross_entropy(call, p, loss, gradient); }
  double sum = 0.0, count = p->kind == BBW_LOSS_GIVEN ? 1.0 : (double)x->count;
  for (size_t i = 0; i < x->count; i++) {
    double slope, label = p->kind != BBW_LOSS_OUTPUT ? (double)((const float *)labels->data)[i] : 0.0;
    sum += element(p, (double)((const float *)x->data)[i], label, &slope);
    if (gradient != NULL) { gradient[i] = (float)(slope / count); }
  }
  *loss = sum / count;
  return BBW_OK;
}
