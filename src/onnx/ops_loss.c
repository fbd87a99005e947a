/*
 * NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: scores [N, C, D...], class numbers [N, D...], optional weights [C].
 *
 * Loss of a place = -weight[class] * score[class]; 0 where the class is ignore_index.  mean divides by the sum of the weights of all places that count; where that is 0, as in a batch whose labels are
 * all ignored, the mean and its gradient are 0: such a batch has nothing to teach, and a NaN would end the training.  The weights are numbers of the loss and never trained.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/math_f64.h"
#include "onnx/convert.h"
#include "onnx/lanes.h"
#include "onnx/ops.h"

enum { REDUCTION_NONE, REDUCTION_SUM, REDUCTION_MEAN };

typedef struct loss_params {
  uint32_t reduction;
  bool ignores;
  int64_t ignored;
  bool is_softmax; /* the scores are no logarithms yet */
} loss_params;

bbw_status bbw_loss_prepare(bbw_prep *prep) {
  static const char *const names[] = {"none", "sum", "mean", NULL};
  loss_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  p->is_softmax = prep->op->ctx != NULL;
  p->ignores = bbw_prep_has(prep, "ignore_index");
  BBW_TRY(bbw_prep_int(prep, "ignore_index", 0, &p->ignored));
  return bbw_prep_choice(prep, "reduction", names, REDUCTION_MEAN, &p->reduction);
}

const char bbw_loss_softmax = 1; /* the ctx of SoftmaxCrossEntropyLoss */

bbw_status bbw_loss_infer(bbw_call *call) {
  const loss_params *p = call->params;
  const bbw_array *x = call->inputs[0], *classes = call->inputs[1], *weights = bbw_call_input(call, 2);
  if (!bbw_dtype_is_float(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  if (!bbw_dtype_is_integer(classes->dtype)) { return bbw_call_refuse_type(call, 1); }
  if (x->rank < 2) { return bbw_call_refuse(call, 0, "scores need two dimensions at least"); }
  bool fits = classes->rank == x->rank - 1 && classes->dims[0] == x->dims[0];
  for (uint32_t d = 1; fits && d < classes->rank; d++) { fits = classes->dims[d] == x->dims[d + 1]; }
  if (!fits) { return bbw_call_refuse(call, 1, "the classes do not fit the scores"); }
  if (weights != NULL && weights->dtype != x->dtype) {
    return bbw_call_refuse(call, 2, "inputs have different element types");
  }
  if (weights != NULL && (weights->rank != 1 || weights->dims[0] != x->dims[1])) {
    return bbw_call_refuse(call, 2, "there must be one weight per class");
  }
  bbw_lanes *lanes = bbw_call_plan(call, sizeof *lanes);
  if (lanes == NULL) { return BBW_E_NOMEM; }
  *lanes = bbw_lanes_of(x, 1);
  if (!bbw_size_mul(lanes->length, sizeof(double), &call->scratch_bytes)) { return BBW_E_LIMIT; }
  if (p->is_softmax) { BBW_TRY(bbw_call_output_like(call, 1, x)); }
  if (p->reduction != REDUCTION_NONE) { return bbw_call_output(call, 0, x->dtype, 0, NULL); }
  return bbw_call_output(call, 0, x->dtype, classes->rank, classes->dims);
}

static bool is_ignored(const loss_params *p, int64_t class) { return p->ignores && class == p->ignored; }

static bbw_status check_classes(bbw_call *call, size_t count) {
  const bbw_array *classes = call->inputs[1];
  for (size_t at = 0; at < classes->count; at += BBW_CONVERT_BLOCK) {
    size_t n = classes->count - at < BBW_CONVERT_BLOCK ? classes->count - at : BBW_CONVERT_BLOCK;
    int64_t block[BBW_CONVERT_BLOCK];
    bbw_load_i64(classes, at, n, block);
    for (size_t i = 0; i < n; i++) {
      if (!is_ignored(call->params, block[i]) && (uint64_t)block[i] >= count) {
        return bbw_call_refuse(call, 1, "there is no such class");
      }
    }
  }
  return BBW_OK;
}

/* Loads a lane of scores, as logarithms of probabilities. */
static void load_scores(const loss_params *p, const bbw_array *x, size_t start, bbw_lanes lanes, double *scores) {
  double largest = -INFINITY, sum = 0.0;
  for (size_t c = 0; c < lanes.length; c++) {
    bbw_load_f64(x, start + c * lanes.inner, 1, scores + c);
    largest = scores[c] > largest ? scores[c] : largest;
  }
  if (!p->is_softmax) { return; }
  for (size_t c = 0; c < lanes.length; c++) { sum += bbw_exp_f64(scores[c] - largest); }
  sum = bbw_log_f64(sum);
  for (size_t c = 0; c < lanes.length; c++) { scores[c] = (scores[c] - largest) - sum; }
}

bbw_status bbw_loss_run(bbw_call *call) {
  const loss_params *p = call->params;
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  const bbw_array *x = call->inputs[0], *weights = bbw_call_input(call, 2);
  bbw_array *loss = bbw_call_result(call, 0), *logs = p->is_softmax ? bbw_call_result(call, 1) : NULL;
  double *scores = call->scratch, total = 0.0, total_weight = 0.0;
  BBW_TRY(check_classes(call, lanes.length));
  for (size_t i = 0; i < call->inputs[1]->count; i++) { /* in the order of the classes: n, then d */
    size_t start = i / lanes.inner * lanes.length * lanes.inner + i % lanes.inner;
    int64_t class;
    double number = 0.0, weight = 1.0;
    bbw_load_i64(call->inputs[1], i, 1, &class);
    load_scores(p, x, start, lanes, scores);
    for (size_t c = 0; logs != NULL && c < lanes.length; c++) {
      bbw_store_f64(logs, start + c * lanes.inner, 1, scores + c);
    }
    if (!is_ignored(p, class)) {
      if (weights != NULL) { bbw_load_f64(weights, (size_t) class, 1, &weight); }
      number = -scores[class] * weight;
      total += number;
      total_weight += weight;
    }
    if (p->reduction == REDUCTION_NONE && loss != NULL) { bbw_store_f64(loss, i, 1, &number); }
  }
  if (p->reduction == REDUCTION_MEAN) { total = total_weight != 0.0 ? total / total_weight : 0.0; }
  if (p->reduction != REDUCTION_NONE && loss != NULL) { bbw_store_f64(loss, 0, 1, &total); }
  return BBW_OK;
}

/* ---- the gradient by the scores.  Inputs: g, scores, classes, weights ---- */

bbw_status bbw_loss_grad_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *x = call->inputs[1];
  if (g->dtype != BBW_DTYPE_F32 || x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  bbw_call inner = *call; /* the forward operator has no g in front */
  inner.inputs++;
  inner.input_count--;
  inner.output_count = 0;
  BBW_TRY(bbw_loss_infer(&inner));
  call->plan = inner.plan;
  call->scratch_bytes = inner.scratch_bytes;
  if (g->count != (((const loss_params *)call->params)->reduction == REDUCTION_NONE ? inner.inputs[1]->count : 1)) {
    return bbw_call_refuse(call, 0, "the gradient does not fit its shape");
  }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_loss_grad_run(bbw_call *call) {
  const loss_params *p = call->params;
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  const float *g = call->inputs[0]->data;
  const bbw_array *x = call->inputs[1], *classes = call->inputs[2], *weights = bbw_call_input(call, 3);
  float *out = call->outputs[0]->data;
  double *scores = call->scratch, total = 0.0;
  bbw_call inner = *call;
  inner.inputs++;
  bbw_status rv = check_classes(&inner, lanes.length);
  call->detail = inner.detail;
  if (rv != BBW_OK) { return rv; }
  for (uint32_t round = 0; round < 2; round++) { /* the total weight first */
    for (size_t i = 0; i < classes->count; i++) {
      size_t start = i / lanes.inner * lanes.length * lanes.inner + i % lanes.inner;
      int64_t class;
      double weight = 0.0;
      bbw_load_i64(classes, i, 1, &class);
      if (!is_ignored(p, class)) { weight = weights != NULL ? (double)((const float *)weights->data)[class] : 1.0; }
      if (round == 0) {
        total += weight;
        continue;
      }
      weight = weight * (double)g[p->reduction == REDUCTION_NONE ? i : 0];
      if (p->reduction == REDUCTION_MEAN) { weight = total != 0.0 ? weight / total : 0.0; }
      load_scores(p, x, start, lanes, scores);
      for (size_t c = 0; c < lanes.length; c++) {
        double slope = (p->is_softmax ? bbw_exp_f64(scores[c]) : 0.0) - ((int64_t)c == class ? 1.0 : 0.0);
        out[start + c * lanes.inner] = weight == 0.0 ? 0.0f : (float)(slope * weight);
      }
    }
  }
  return BBW_OK;
}
