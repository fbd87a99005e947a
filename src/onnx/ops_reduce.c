/* One number out of many, along any set of axes; MeanVarianceNormalization, which is two of them. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/math_f64.h"
#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/params.h"
#include "onnx/walk.h"

/* kind, kernel of f32 over one run of axes, whether whole numbers are computed as such (else in f64) */
const bbw_reduce bbw_reduce_sum = {BBW_REDUCE_SUM, bbw_reduce_sum_f32_simd128, true};
const bbw_reduce bbw_reduce_mean = {BBW_REDUCE_MEAN, bbw_reduce_mean_f32_simd128, false};
const bbw_reduce bbw_reduce_max = {BBW_REDUCE_MAX, bbw_reduce_max_f32_simd128, true};
const bbw_reduce bbw_reduce_min = {BBW_REDUCE_MIN, bbw_reduce_min_f32_simd128, true};
const bbw_reduce bbw_reduce_prod = {BBW_REDUCE_PROD, NULL, true};
const bbw_reduce bbw_reduce_l1 = {BBW_REDUCE_L1, NULL, true};
const bbw_reduce bbw_reduce_l2 = {BBW_REDUCE_L2, NULL, false};
const bbw_reduce bbw_reduce_log_sum = {BBW_REDUCE_LOG_SUM, NULL, false};
const bbw_reduce bbw_reduce_log_sum_exp = {BBW_REDUCE_LOG_SUM_EXP, NULL, false};
const bbw_reduce bbw_reduce_sum_square = {BBW_REDUCE_SUM_SQUARE, NULL, true};

bbw_status bbw_reduce_prepare(bbw_prep *prep) {
  bbw_reduce_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_ints(prep, "axes", p->axes, BBW_ARRAY_RANK_MAX, &p->axis_count));
  BBW_TRY(bbw_prep_bool(prep, "keepdims", true, &p->keeps_dims));
  return bbw_prep_bool(prep, "noop_with_empty_axes", false, &p->does_nothing_without_axes);
}

/* What run needs: the walk over input and result, in which the result stands still along reduced axes. */
typedef struct reduce_plan {
  bbw_walk walk;
  size_t outer, length, inner; /* when the reduced axes are one run; else outer is 0 */
  size_t per_result;           /* elements */
  size_t results;
  bool is_copy;
} reduce_plan;

/* Fills the plan for the axes that are marked; the dims of the result are those of x with 1 in their place. */
static void plan_axes(reduce_plan *plan, const bbw_array *x, const bool *is_reduced) {
  size_t kept[BBW_ARRAY_RANK_MAX];
  plan->per_result = plan->results = 1;
  plan->walk = (bbw_walk){.operands = 2, .axes = x->rank};
  for (uint32_t d = 0; d < x->rank; d++) {
    plan->walk.size[d] = x->dims[d];
    kept[d] = is_reduced[d] ? 1 : x->dims[d];
    plan->results *= kept[d];
    if (is_reduced[d]) { plan->per_result *= x->dims[d]; }
  }
  bbw_walk_dense(&plan->walk, 0, x->rank, x->dims);
  bbw_walk_dense(&plan->walk, 1, x->rank, kept);
  for (uint32_t d = 0; d < x->rank; d++) {
    if (is_reduced[d]) { plan->walk.step[1][d] = 0; }
  }
  bbw_walk_join(&plan->walk);
  const bbw_walk *w = &plan->walk;
  uint32_t first = w->step[1][0] == 0 ? 0 : 1; /* the reduced axis, if there is one run of them */
  if (first >= w->axes || w->step[1][first] != 0 || w->axes > first + 2) { return; }
  plan->outer = first == 1 ? w->size[0] : 1;
  plan->length = w->size[first];
  plan->inner = w->axes == first + 2 ? w->size[first + 1] : 1;
}

static bbw_status mark_axes(bbw_call *call, const int64_t *axes, uint32_t count, uint32_t rank, bool *is_reduced) {
  for (uint32_t i = 0; i < count; i++) {
    uint32_t axis;
    BBW_TRY(bbw_call_axis(call, axes[i], rank, &axis));
    is_reduced[axis] = true;
  }
  return BBW_OK;
}

static bool is_computed(const bbw_reduce *row, bbw_dtype dtype) {
  bool is_extreme = row->kind == BBW_REDUCE_MAX || row->kind == BBW_REDUCE_MIN;
  return dtype != BBW_DTYPE_BOOL || is_extreme;
}

bbw_status bbw_reduce_infer(bbw_call *call) {
  const bbw_reduce_params *p = call->params;
  const bbw_reduce *row = call->op->ctx;
  const bbw_array *x = call->inputs[0];
  if (!is_computed(row, x->dtype)) { return bbw_call_refuse_type(call, 0); }
  int64_t axes[BBW_ARRAY_RANK_MAX];
  uint32_t count = p->axis_count > 0 ? (uint32_t)p->axis_count : 0;
  memcpy(axes, p->axes, sizeof axes);
  if (bbw_call_input(call, 1) != NULL) { BBW_TRY(bbw_call_ints(call, 1, axes, BBW_ARRAY_RANK_MAX, &count)); }
  bool is_reduced[BBW_ARRAY_RANK_MAX] = {false};
  BBW_TRY(mark_axes(call, axes, count, x->rank, is_reduced));
  for (uint32_t d = 0; d < x->rank && count == 0; d++) { is_reduced[d] = !p->does_nothing_without_axes; }
  size_t dims[BBW_ARRAY_RANK_MAX];
  uint32_t rank = 0;
  for (uint32_t d = 0; d < x->rank; d++) {
    if (is_reduced[d] && !p->keeps_dims) { continue; }
    dims[rank++] = is_reduced[d] ? 1 : x->dims[d];
  }
  reduce_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  plan_axes(plan, x, is_reduced);
  plan->is_copy = count == 0 && p->does_nothing_without_axes;
  size_t width = row->kind == BBW_REDUCE_LOG_SUM_EXP ? 2 * sizeof(double) : sizeof(double);
  if (!bbw_size_mul(plan->results, width, &call->scratch_bytes)) { return BBW_E_LIMIT; }
  if (x->dtype == BBW_DTYPE_F32 && row->f32 != NULL && plan->outer != 0) { call->scratch_bytes = 0; }
  return bbw_call_output(call, 0, x->dtype, rank, dims);
}

/* ---- floats: sums in f64, one per result, in the order of the input ---- */

#define EACH(expression)                       \
  for (size_t i = 0; i < n; i++, to += step) { \
    double a = *to, x = block[i];              \
    *to = (expression);                        \
  }                                            \
  break;

static void take_in_f64(bbw_reduce_kind kind, double *to, ptrdiff_t step, const double *block, size_t n) {
  switch (kind) {
  case BBW_REDUCE_MAX: EACH(x > a || x != x ? x : a)
  case BBW_REDUCE_MIN: EACH(x < a || x != x ? x : a)
  case BBW_REDUCE_PROD: EACH(a * x)
  case BBW_REDUCE_L1: EACH(a + fabs(x))
  case BBW_REDUCE_L2:
  case BBW_REDUCE_SUM_SQUARE: EACH(a + x * x)
  default: EACH(a + x)
  }
}

static double start_f64(bbw_reduce_kind kind) {
  return kind == BBW_REDUCE_MAX ? -INFINITY : kind == BBW_REDUCE_MIN ? INFINITY : kind == BBW_REDUCE_PROD ? 1.0 : 0.0;
}

static void reduce_f64(const reduce_plan *plan, bbw_reduce_kind kind, const bbw_array *x, double *out) {
  const bbw_walk *walk = &plan->walk;
  bbw_walk_cursor cursor;
  double block[BBW_CONVERT_BLOCK];
  for (size_t i = 0; i < plan->results; i++) { out[i] = start_f64(kind); }
  if (!bbw_walk_start(walk, &cursor)) { return; }
  uint32_t run = walk->axes - 1;
  ptrdiff_t step = walk->step[1][run];
  do {
    for (size_t at = 0; at < walk->size[run]; at += BBW_CONVERT_BLOCK) {
      size_t n = walk->size[run] - at < BBW_CONVERT_BLOCK ? walk->size[run] - at : BBW_CONVERT_BLOCK;
      bbw_load_f64(x, (size_t)cursor.at[0] + at, n, block);
      take_in_f64(kind, out + cursor.at[1] + (ptrdiff_t)at * step, step, block, n);
    }
  } while (bbw_walk_next(walk, &cursor));
}

/* Adds f(x, number of the result) of every element to its result. */
typedef double number_fn(double x, double of_result);
static void add_f64(const reduce_plan *plan, const bbw_array *x, const double *of_result, number_fn *f, double *out) {
  const bbw_walk *walk = &plan->walk;
  bbw_walk_cursor cursor;
  for (size_t i = 0; i < plan->results; i++) { out[i] = 0.0; }
  if (!bbw_walk_start(walk, &cursor)) { return; }
  uint32_t run = walk->axes - 1;
  ptrdiff_t step = walk->step[1][run];
  do {
    for (size_t i = 0; i < walk->size[run]; i++) {
      ptrdiff_t to = cursor.at[1] + (ptrdiff_t)i * step;
      double number;
      bbw_load_f64(x, (size_t)cursor.at[0] + i, 1, &number);
      out[to] += f(number, of_result[to]);
    }
  } while (bbw_walk_next(walk, &cursor));
}

static double exp_less(double x, double largest) { return bbw_exp_f64(x - largest); }
static double square_less(double x, double mean) { return (x - mean) * (x - mean); }

static void finish_f64(const reduce_plan *plan, bbw_reduce_kind kind, double *sums) {
  for (size_t i = 0; i < plan->results; i++) {
    if (kind == BBW_REDUCE_MEAN) { sums[i] = sums[i] / (double)plan->per_result; }
    if (kind == BBW_REDUCE_L2) { sums[i] = sqrt(sums[i]); }
    if (kind == BBW_REDUCE_LOG_SUM) { sums[i] = bbw_log_f64(sums[i]); }
  }
}

/* ---- whole numbers: they wrap ---- */

static void reduce_i64(const reduce_plan *plan, bbw_reduce_kind kind, const bbw_array *x, uint64_t *out) {
  const bbw_walk *walk = &plan->walk;
  bbw_walk_cursor cursor;
  bool is_unsigned = bbw_dtype_is_unsigned(x->dtype);
  uint64_t flip = (uint64_t)1 << 63; /* moves signed order to unsigned order */
  if (x->dtype == BBW_DTYPE_U64) { flip = 0; }
  for (size_t i = 0; i < plan->results; i++) {
    out[i] = kind == BBW_REDUCE_PROD ? 1 : kind == BBW_REDUCE_MIN ? UINT64_MAX : 0;
  }
  if (!bbw_walk_start(walk, &cursor)) { return; }
  uint32_t run = walk->axes - 1;
  ptrdiff_t step = walk->step[1][run];
  do {
    for (size_t at = 0; at < walk->size[run]; at += BBW_CONVERT_BLOCK) {
      size_t n = walk->size[run] - at < BBW_CONVERT_BLOCK ? walk->size[run] - at : BBW_CONVERT_BLOCK;
      int64_t block[BBW_CONVERT_BLOCK];
      uint64_t *to = out + cursor.at[1] + (ptrdiff_t)at * step;
      bbw_load_i64(x, (size_t)cursor.at[0] + at, n, block);
      for (size_t i = 0; i < n; i++, to += step) {
        uint64_t number = (uint64_t)block[i], a = *to;
        uint64_t size = !is_unsigned && block[i] < 0 ? 0u - number : number;
        switch (kind) {
        case BBW_REDUCE_MAX: *to = (number ^ flip) > a ? number ^ flip : a; break;
        case BBW_REDUCE_MIN: *to = (number ^ flip) < a ? number ^ flip : a; break;
        case BBW_REDUCE_PROD: *to = a * number; break;
        case BBW_REDUCE_L1: *to = a + size; break;
        case BBW_REDUCE_SUM_SQUARE: *to = a + number * number; break;
        default: *to = a + number; break;
        }
      }
    }
  } while (bbw_walk_next(walk, &cursor));
  if (kind == BBW_REDUCE_MAX || kind == BBW_REDUCE_MIN) {
    for (size_t i = 0; i < plan->results; i++) { out[i] ^= flip; }
  }
}

/* Extremes of nothing: the limits of the type, as 64 bits give them to a narrower one. */
static void store_empty_extreme(bool is_max, bbw_array *out) {
  double limit = is_max ? -INFINITY : INFINITY; /* saturates */
  for (size_t i = 0; i < out->count; i++) { bbw_store_f64(out, i, 1, &limit); }
  for (size_t i = 0; out->dtype == BBW_DTYPE_BOOL && i < out->count; i++) { ((uint8_t *)out->data)[i] = !is_max; }
}

bbw_status bbw_reduce_run(bbw_call *call) {
  const bbw_reduce *row = call->op->ctx;
  const reduce_plan *plan = call->plan;
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0];
  bool is_extreme = row->kind == BBW_REDUCE_MAX || row->kind == BBW_REDUCE_MIN;
  if (out->count == 0) { return BBW_OK; }
  if (plan->is_copy) {
    memcpy(out->data, x->data, bbw_array_bytes(x));
  } else if (is_extreme && plan->per_result == 0) {
    store_empty_extreme(row->kind == BBW_REDUCE_MAX, out);
  } else if (x->dtype == BBW_DTYPE_F32 && row->f32 != NULL && plan->outer != 0) {
    row->f32(x->data, out->data, plan->outer, plan->length, plan->inner);
  } else if (!bbw_dtype_is_float(x->dtype) && row->has_integers) {
    reduce_i64(plan, row->kind, x, call->scratch);
    bbw_store_i64(out, 0, out->count, call->scratch);
  } else if (row->kind == BBW_REDUCE_LOG_SUM_EXP) {
    double *largest = call->scratch, *sums = largest + plan->results;
    reduce_f64(plan, BBW_REDUCE_MAX, x, largest);
    for (size_t i = 0; i < plan->results; i++) {
      if (!(fabs(largest[i]) < INFINITY)) { largest[i] = 0.0; } /* infinity less itself would be NaN */
    }
    add_f64(plan, x, largest, exp_less, sums);
    for (size_t i = 0; i < plan->results; i++) { sums[i] = bbw_log_f64(sums[i]) + largest[i]; }
    bbw_store_f64(out, 0, out->count, sums);
  } else {
    reduce_f64(plan, row->kind, x, call->scratch);
    finish_f64(plan, row->kind, call->scratch);
    bbw_store_f64(out, 0, out->count, call->scratch);
  }
  return BBW_OK;
}

/* ---- MeanVarianceNormalization ---- */

bbw_status bbw_mvn_prepare(bbw_prep *prep) {
  bbw_reduce_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_ints(prep, "axes", p->axes, BBW_ARRAY_RANK_MAX, &p->axis_count));
  if (p->axis_count >= 0) { return BBW_OK; }
  static const int64_t otherwise[] = {0, 2, 3};
  memcpy(p->axes, otherwise, sizeof otherwise);
  p->axis_count = 3;
  return BBW_OK;
}

bbw_status bbw_mvn_infer(bbw_call *call) {
  const bbw_reduce_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  bool is_reduced[BBW_ARRAY_RANK_MAX] = {false};
  if (!bbw_dtype_is_float(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(mark_axes(call, p->axes, (uint32_t)p->axis_count, x->rank, is_reduced));
  reduce_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  plan_axes(plan, x, is_reduced);
  if (!bbw_size_mul(plan->results, 2 * sizeof(double), &call->scratch_bytes)) { return BBW_E_LIMIT; }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_mvn_run(bbw_call *call) {
  const reduce_plan *plan = call->plan;
  const bbw_array *x = call->inputs[0];
  const bbw_walk *walk = &plan->walk;
  double *means = call->scratch, *deviations = means + plan->results;
  bbw_walk_cursor cursor;
  reduce_f64(plan, BBW_REDUCE_MEAN, x, means);
  finish_f64(plan, BBW_REDUCE_MEAN, means);
  add_f64(plan, x, means, square_less, deviations);
  for (size_t i = 0; i < plan->results; i++) { deviations[i] = sqrt(deviations[i] / (double)plan->per_result) + 1e-9; }
  if (!bbw_walk_start(walk, &cursor)) { return BBW_OK; }
  uint32_t run = walk->axes - 1;
  do {
    for (size_t i = 0; i < walk->size[run]; i++) {
      ptrdiff_t of = cursor.at[1] + (ptrdiff_t)i * walk->step[1][run];
      double number;
      bbw_load_f64(x, (size_t)cursor.at[0] + i, 1, &number);
      number = (number - means[of]) / deviations[of];
      bbw_store_f64(call->outputs[0], (size_t)cursor.at[0] + i, 1, &number);
    }
  } while (bbw_walk_next(walk, &cursor));
  return BBW_OK;
}
