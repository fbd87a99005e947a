/* Operators along one axis: Softmax and relatives, positions of extremes, the largest, running sums. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/sort.h"
#include "kernels/math_f64.h"
#include "kernels/softmax.h"
#include "onnx/convert.h"
#include "onnx/lanes.h"
#include "onnx/ops.h"

typedef struct axis_params {
  int64_t axis; /* first: bbw_lane_params */
  int64_t p;
  bool keeps_dims, takes_last, is_exclusive, is_reversed, takes_smallest;
  int64_t k; /* TopK before opset 10 */
} axis_params;

/* ---- Softmax, LogSoftmax, Hardmax, LpNormalization: each lane in f64, except where f32 has a kernel ---- */

static void softmax_lane(double *x, size_t n, int64_t p) {
  double largest = -INFINITY, sum = 0.0;
  (void)p;
  for (size_t i = 0; i < n; i++) { largest = x[i] > largest ? x[i] : largest; }
  for (size_t i = 0; i < n; i++) { sum += x[i] = bbw_exp_f64(x[i] - largest); }
  for (size_t i = 0; i < n; i++) { x[i] = x[i] / sum; }
}

static void log_softmax_lane(double *x, size_t n, int64_t p) {
  double largest = -INFINITY, sum = 0.0;
  (void)p;
  for (size_t i = 0; i < n; i++) { largest = x[i] > largest ? x[i] : largest; }
  for (size_t i = 0; i < n; i++) { sum += bbw_exp_f64(x[i] - largest); }
  sum = bbw_log_f64(sum);
  for (size_t i = 0; i < n; i++) { x[i] = (x[i] - largest) - sum; }
}

/* 1 for the first largest, 0 for the others. */
static void hardmax_lane(double *x, size_t n, int64_t p) {
  size_t best = 0;
  (void)p;
  for (size_t i = 1; i < n; i++) { best = x[i] > x[best] ? i : best; }
  for (size_t i = 0; i < n; i++) { x[i] = i == best ? 1.0 : 0.0; }
}

static void lp_normalization_lane(double *x, size_t n, int64_t p) {
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) { sum += p == 1 ? fabs(x[i]) : x[i] * x[i]; }
  if (p == 2) { sum = sqrt(sum); }
  for (size_t i = 0; i < n && sum != 0.0; i++) { x[i] = x[i] / sum; }
}

const bbw_lane_op bbw_lane_softmax = {softmax_lane, bbw_softmax_f32_simd128, true};
const bbw_lane_op bbw_lane_log_softmax = {log_softmax_lane, bbw_log_softmax_f32_simd128, true};
const bbw_lane_op bbw_lane_hardmax = {hardmax_lane, NULL, true};
const bbw_lane_op bbw_lane_lp_normalization = {lp_normalization_lane, NULL, false};

bbw_status bbw_lane_prepare(bbw_prep *prep) {
  const bbw_lane_op *row = prep->op->ctx;
  axis_params *params = bbw_prep_params(prep, sizeof *params);
  if (params == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "axis", row->flattens && prep->opset < 13 ? 1 : -1, &params->axis));
  BBW_TRY(bbw_prep_int(prep, "p", 2, &params->p));
  return params->p == 1 || params->p == 2 ? BBW_OK : bbw_prep_refuse(prep, "p", "must be 1 or 2");
}

bbw_status bbw_lane_infer(bbw_call *call) {
  const axis_params *params = call->params;
  const bbw_lane_op *row = call->op->ctx;
  const bbw_array *x = call->inputs[0];
  uint32_t axis;
  if (!bbw_dtype_is_float(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_axis(call, params->axis, x->rank, &axis));
  bbw_lanes *lanes = bbw_call_plan(call, sizeof *lanes);
  if (lanes == NULL) { return BBW_E_NOMEM; }
  *lanes = bbw_lanes_of(x, axis);
  if (row->flattens && call->opset < 13) { /* all axes from this one on */
    lanes->length *= lanes->inner;
    lanes->inner = 1;
  }
  bool has_kernel = x->dtype == BBW_DTYPE_F32 && row->f32 != NULL;
  if (!has_kernel && !bbw_size_mul(lanes->length, sizeof(double), &call->scratch_bytes)) { return BBW_E_LIMIT; }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_lane_run(bbw_call *call) {
  const axis_params *params = call->params;
  const bbw_lane_op *row = call->op->ctx;
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0];
  double *lane = call->scratch;
  if (x->count == 0) { return BBW_OK; }
  if (x->dtype == BBW_DTYPE_F32 && row->f32 != NULL) {
    row->f32(x->data, out->data, lanes.outer, lanes.length, lanes.inner);
    return BBW_OK;
  }
  for (size_t i = 0; i < lanes.outer * lanes.inner; i++) {
    size_t start = i / lanes.inner * lanes.length * lanes.inner + i % lanes.inner;
    if (lanes.inner == 1) {
      bbw_load_f64(x, start, lanes.length, lane);
      row->run(lane, lanes.length, params->p);
      bbw_store_f64(out, start, lanes.length, lane);
      continue;
    }
    for (size_t k = 0; k < lanes.length; k++) { bbw_load_f64(x, start + k * lanes.inner, 1, lane + k); }
    row->run(lane, lanes.length, params->p);
    for (size_t k = 0; k < lanes.length; k++) { bbw_store_f64(out, start + k * lanes.inner, 1, lane + k); }
  }
  return BBW_OK;
}

/* ---- ArgMax, ArgMin ---- */

bbw_status bbw_arg_prepare(bbw_prep *prep) {
  axis_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "axis", 0, &p->axis));
  BBW_TRY(bbw_prep_bool(prep, "keepdims", true, &p->keeps_dims));
  p->takes_smallest = prep->op->ctx != NULL;
  return bbw_prep_bool(prep, "select_last_index", false, &p->takes_last);
}

const char bbw_arg_smallest = 1; /* the ctx of ArgMin */

bbw_status bbw_arg_infer(bbw_call *call) {
  const axis_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  uint32_t axis, rank = 0;
  size_t dims[BBW_ARRAY_RANK_MAX];
  if (x->dtype == BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  if (x->dims[axis] == 0) { return bbw_call_refuse(call, 0, "there is no element along the axis"); }
  for (uint32_t d = 0; d < x->rank; d++) {
    if (d != axis || p->keeps_dims) { dims[rank++] = d == axis ? 1 : x->dims[d]; }
  }
  bbw_lanes *lanes = bbw_call_plan(call, sizeof *lanes);
  if (lanes == NULL) { return BBW_E_NOMEM; }
  *lanes = bbw_lanes_of(x, axis);
  return bbw_call_output(call, 0, BBW_DTYPE_I64, rank, dims);
}

/* Lanes beside each other are searched together, a block at a time. */
bbw_status bbw_arg_run(bbw_call *call) {
  const axis_params *p = call->params;
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  uint64_t best[BBW_CONVERT_BLOCK], keys[BBW_CONVERT_BLOCK];
  for (size_t o = 0; o < lanes.outer; o++) {
    for (size_t at = 0; at < lanes.inner; at += BBW_CONVERT_BLOCK) {
      size_t n = lanes.inner - at < BBW_CONVERT_BLOCK ? lanes.inner - at : BBW_CONVERT_BLOCK;
      int64_t *out = (int64_t *)call->outputs[0]->data + o * lanes.inner + at;
      for (size_t k = 0; k < lanes.length; k++) {
        bbw_order_keys(call->inputs[0], (o * lanes.length + k) * lanes.inner + at, 1, n, keys);
        for (size_t i = 0; i < n; i++) {
          bool is_nan = keys[i] == UINT64_MAX && p->takes_smallest && bbw_dtype_is_float(call->inputs[0]->dtype);
          uint64_t key = p->takes_smallest && !is_nan ? ~keys[i] : keys[i]; /* NaN comes first in both */
          if (k == 0 || key > best[i] || (key == best[i] && p->takes_last)) {
            best[i] = key;
            out[i] = (int64_t)k;
          }
        }
      }
    }
  }
  return BBW_OK;
}

/* ---- TopK ---- */

bbw_status bbw_top_k_prepare(bbw_prep *prep) {
  axis_params *p = bbw_prep_params(prep, sizeof *p);
  bool is_largest, is_sorted;
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "axis", -1, &p->axis));
  BBW_TRY(bbw_prep_int(prep, "k", -1, &p->k));
  BBW_TRY(bbw_prep_bool(prep, "largest", true, &is_largest));
  BBW_TRY(bbw_prep_bool(prep, "sorted", true, &is_sorted)); /* any order is allowed then; they come sorted */
  p->takes_smallest = !is_largest;
  if (prep->opset >= 10 && prep->input_count < 2) { return bbw_prep_refuse(prep, NULL, "input k is missing"); }
  return BBW_OK;
}

bbw_status bbw_top_k_infer(bbw_call *call) {
  const axis_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  uint32_t axis;
  int64_t k;
  size_t dims[BBW_ARRAY_RANK_MAX];
  if (x->dtype == BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  BBW_TRY(bbw_call_int(call, 1, p->k, &k));
  if (k < 0 || (uint64_t)k > x->dims[axis]) { return bbw_call_refuse(call, 1, "k is not within the axis"); }
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = (size_t)k;
  bbw_lanes *lanes = bbw_call_plan(call, sizeof *lanes);
  if (lanes == NULL) { return BBW_E_NOMEM; }
  *lanes = bbw_lanes_of(x, axis);
  if (!bbw_size_mul(lanes->length, sizeof(bbw_sort_key), &call->scratch_bytes)) { return BBW_E_LIMIT; }
  BBW_TRY(bbw_call_output(call, 0, x->dtype, x->rank, dims));
  return bbw_call_output(call, 1, BBW_DTYPE_I64, x->rank, dims);
}

/* Of equal elements the first come first. */
bbw_status bbw_top_k_run(bbw_call *call) {
  const axis_params *p = call->params;
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  const bbw_array *x = call->inputs[0];
  bbw_array *values = bbw_call_result(call, 0), *indices = bbw_call_result(call, 1);
  bbw_sort_key *keys = call->scratch;
  const bbw_array *shape = values != NULL ? values : indices;
  size_t k = lanes.outer * lanes.inner > 0 ? shape->count / (lanes.outer * lanes.inner) : 0;
  size_t bytes = bbw_dtype_bytes(x->dtype);
  for (size_t i = 0; i < lanes.outer * lanes.inner && k > 0; i++) {
    size_t o = i / lanes.inner, j = i % lanes.inner;
    for (size_t at = 0; at < lanes.length; at += BBW_CONVERT_BLOCK) {
      size_t n = lanes.length - at < BBW_CONVERT_BLOCK ? lanes.length - at : BBW_CONVERT_BLOCK;
      uint64_t block[BBW_CONVERT_BLOCK];
      bbw_order_keys(x, (o * lanes.length + at) * lanes.inner + j, lanes.inner, n, block);
      for (size_t m = 0; m < n; m++) {
        keys[at + m] = (bbw_sort_key){p->takes_smallest ? block[m] : ~block[m], at + m, at + m};
      }
    }
    bbw_sort(keys, lanes.length);
    for (size_t m = 0; m < k; m++) {
      size_t to = (o * k + m) * lanes.inner + j, from = (o * lanes.length + keys[m].index) * lanes.inner + j;
      if (values != NULL) { memcpy((char *)values->data + to * bytes, (const char *)x->data + from * bytes, bytes); }
      if (indices != NULL) { ((int64_t *)indices->data)[to] = (int64_t)keys[m].index; }
    }
  }
  return BBW_OK;
}

/* The gradient of LpNormalization: (g - w * sum(g * y)) / norm, where w is y, or the sign of x for p = 1.  Inputs: g, x.  Lanes of zeros stayed as they were. */
bbw_status bbw_lp_grad_infer(bbw_call *call) {
  const axis_params *params = call->params;
  const bbw_array *g = call->inputs[0], *x = call->inputs[1];
  uint32_t axis;
  if (g->dtype != BBW_DTYPE_F32 || x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_axis(call, params->axis, x->rank, &axis));
  bbw_lanes *lanes = bbw_call_plan(call, sizeof *lanes);
  if (lanes == NULL) { return BBW_E_NOMEM; }
  *lanes = bbw_lanes_of(x, axis);
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_lp_grad_run(bbw_call *call) {
  const axis_params *params = call->params;
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  for (size_t i = 0; i < lanes.outer * lanes.inner; i++) {
    size_t start = i / lanes.inner * lanes.length * lanes.inner + i % lanes.inner;
    const float *g = (const float *)call->inputs[0]->data + start, *x = (const float *)call->inputs[1]->data + start;
    float *out = (float *)call->outputs[0]->data + start;
    double norm = 0.0, dot = 0.0;
    for (size_t k = 0; k < lanes.length; k++) {
      double number = (double)x[k * lanes.inner];
      norm += params->p == 1 ? fabs(number) : number * number;
      dot += number * (double)g[k * lanes.inner];
    }
    if (params->p == 2) { norm = sqrt(norm); }
    for (size_t k = 0; k < lanes.length * lanes.inner; k += lanes.inner) {
      double number = (double)x[k], w = params->p == 2 ? number / norm : number > 0.0 ? 1.0 : number < 0.0 ? -1.0 : 0.0;
      out[k] = norm == 0.0 ? g[k] : (float)(((double)g[k] - w * dot / norm) / norm);
    }
  }
  return BBW_OK;
}

/* ---- CumSum ---- */

bbw_status bbw_cum_sum_prepare(bbw_prep *prep) {
  axis_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_bool(prep, "exclusive", false, &p->is_exclusive));
  return bbw_prep_bool(prep, "reverse", false, &p->is_reversed);
}

bbw_status bbw_cum_sum_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *axis = call->inputs[1];
  if (x->dtype == BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 0); }
  if (!bbw_dtype_is_integer(axis->dtype)) { return bbw_call_refuse_type(call, 1); }
  if (axis->count != 1) { return bbw_call_refuse(call, 1, "the axis must be one number"); }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_cum_sum_run(bbw_call *call) {
  const axis_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0];
  int64_t given;
  uint32_t axis;
  bbw_load_i64(call->inputs[1], 0, 1, &given);
  BBW_TRY(bbw_call_axis(call, given, x->rank, &axis));
  bbw_lanes lanes = bbw_lanes_of(x, axis);
  bool is_float = bbw_dtype_is_float(x->dtype);
  bool is_reversed = p->is_reversed != (call->op->ctx != NULL); /* the gradient goes the other way */
  for (size_t o = 0; o < lanes.outer; o++) {
    for (size_t at = 0; at < lanes.inner; at += BBW_CONVERT_BLOCK) {
      size_t n = lanes.inner - at < BBW_CONVERT_BLOCK ? lanes.inner - at : BBW_CONVERT_BLOCK;
      double sums[BBW_CONVERT_BLOCK] = {0.0}, block[BBW_CONVERT_BLOCK];
      int64_t whole_sums[BBW_CONVERT_BLOCK] = {0}, whole_block[BBW_CONVERT_BLOCK];
      for (size_t k = 0; k < lanes.length; k++) {
        size_t row = is_reversed ? lanes.length - 1 - k : k;
        size_t place = (o * lanes.length + row) * lanes.inner + at;
        if (is_float) {
          bbw_load_f64(x, place, n, block);
          if (p->is_exclusive) { bbw_store_f64(out, place, n, sums); }
          for (size_t i = 0; i < n; i++) { sums[i] += block[i]; }
          if (!p->is_exclusive) { bbw_store_f64(out, place, n, sums); }
        } else {
          bbw_load_i64(x, place, n, whole_block);
          if (p->is_exclusive) { bbw_store_i64(out, place, n, whole_sums); }
          for (size_t i = 0; i < n; i++) {
            whole_sums[i] = (int64_t)((uint64_t)whole_sums[i] + (uint64_t)whole_block[i]);
          }
          if (!p->is_exclusive) { bbw_store_i64(out, place, n, whole_sums); }
        }
      }
    }
  }
  return BBW_OK;
}
