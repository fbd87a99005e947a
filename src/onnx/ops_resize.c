/*
 * Resize and Upsample: nearest, linear and cubic, with every rule for coordinates.
 *
 * Each axis gets a table: for every output index the input indices that it is made from (one, two or four) and their weights.  An output element is the sum over
 * the products of its axes' weights, in order of the axes; f32 arithmetic.
 */
#include <math.h>
#include <string.h>

#include "onnx/convert.h"
#include "onnx/ops.h"

enum { NEAREST, LINEAR, CUBIC };
enum {
  HALF_PIXEL,
  PYTORCH_HALF_PIXEL,
  ALIGN_CORNERS,
  ASYMMETRIC,
  CROP_AND_RESIZE,
  HALF_PIXEL_SYMMETRIC,
  HALF_PIXEL_FOR_NN
};
enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };
enum { STRETCH, NOT_LARGER, NOT_SMALLER };

typedef struct params {
  uint32_t mode, coordinates, nearest, policy;
  float cubic, extrapolation;
  bool excludes_outside;
  int64_t axes[BBW_ARRAY_RANK_MAX];
  int32_t axis_count;
  uint32_t roi, scales, sizes; /* positions of the inputs; sizes is UINT32_MAX where there is none */
} params;

const uint32_t bbw_resize_is_upsample = 1;

bbw_status bbw_resize_prepare(bbw_prep *prep) {
  static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
  static const char *const coordinates[] = {
      "half_pixel",         "pytorch_half_pixel",   "align_corners",        "asymmetric",
      "tf_crop_and_resize", "half_pixel_symmetric", "tf_half_pixel_for_nn", NULL};
  static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
  static const char *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};
  params *p = bbw_prep_params(prep, sizeof *p);
  bool antialiases;
  if (p == NULL) { return BBW_E_NOMEM; }
  if (prep->op->ctx != NULL || prep->opset == 10) { /* Upsample and the first Resize: asymmetric, rounded down */
    *p = (params){.coordinates = ASYMMETRIC,
                  .nearest = FLOOR,
                  .axis_count = -1,
                  .scales = 1,
                  .roi = UINT32_MAX,
                  .sizes = UINT32_MAX};
    return bbw_prep_choice(prep, "mode", modes, NEAREST, &p->mode);
  }
  p->roi = 1;
  p->scales = 2;
  p->sizes = 3;
  BBW_TRY(bbw_prep_choice(prep, "mode", modes, NEAREST, &p->mode));
  BBW_TRY(bbw_prep_choice(prep, "coordinate_transformation_mode", coordinates, HALF_PIXEL, &p->coordinates));
  BBW_TRY(bbw_prep_choice(prep, "nearest_mode", nearest, ROUND_PREFER_FLOOR, &p->nearest));
  BBW_TRY(bbw_prep_choice(prep, "keep_aspect_ratio_policy", policies, STRETCH, &p->policy));
  BBW_TRY(bbw_prep_float(prep, "cubic_coeff_a", -0.75f, &p->cubic));
  BBW_TRY(bbw_prep_float(prep, "extrapolation_value", 0.0f, &p->extrapolation));
  BBW_TRY(bbw_prep_bool(prep, "exclude_outside", false, &p->excludes_outside));
  BBW_TRY(bbw_prep_ints(prep, "axes", p->axes, BBW_ARRAY_RANK_MAX, &p->axis_count));
  BBW_TRY(bbw_prep_bool(prep, "antialias", false, &antialiases));
  return antialiases ? bbw_prep_unsupported(prep, "antialias", "is not supported") : BBW_OK;
}

/* One axis of the result. */
typedef struct axis_table {
  uint32_t taps;      /* per output index: 1, 2 or 4 */
  const size_t *from; /* [out, taps] input indices */
  const float *weight;
  const uint8_t *is_outside; /* [out]; the whole element is the extrapolation value */
} axis_table;

typedef struct plan {
  axis_table axes[BBW_ARRAY_RANK_MAX];
} plan;

static double coordinate(const params *p, double x, double scale, size_t in, size_t out, double start, double end) {
  switch (p->coordinates) {
  case HALF_PIXEL: return (x + 0.5) / scale - 0.5;
  case PYTORCH_HALF_PIXEL: return out > 1 ? (x + 0.5) / scale - 0.5 : 0.0;
  case ALIGN_CORNERS: { /* the length that the scale asks for, before it is rounded down to `out` */
    double length = scale * (double)in;
    return out > 1 && length != 1.0 ? x * (double)(in - 1) / (length - 1.0) : 0.0;
  }
  case ASYMMETRIC: return x / scale;
  case HALF_PIXEL_FOR_NN: return (x + 0.5) / scale;
  case HALF_PIXEL_SYMMETRIC: {
    double adjust = (double)out / (scale * (double)in), center = (double)in / 2.0;
    return center * (1.0 - adjust) + (x + 0.5) / scale - 0.5;
  }
  default: /* CROP_AND_RESIZE */
    return out > 1 ? start * (double)(in - 1) + x * (end - start) * (double)(in - 1) / (double)(out - 1)
                   : 0.5 * (start + end) * (double)(in - 1);
  }
}

static double nearest_of(const params *p, double x) {
  switch (p->nearest) {
  case ROUND_PREFER_FLOOR: return ceil(x - 0.5);
  case ROUND_PREFER_CEIL: return floor(x + 0.5);
  case FLOOR: return floor(x);
  default: return ceil(x);
  }
}

/* Keys' cubic at distances 1 + r, r, 1 - r, 2 - r. */
static void cubic_weights(double a, double r, double w[4]) {
  double s = 1.0 - r, far = 1.0 + r, beyond = 1.0 + s;
  w[0] = ((a * far - 5.0 * a) * far + 8.0 * a) * far - 4.0 * a;
  w[1] = ((a + 2.0) * r - (a + 3.0)) * r * r + 1.0;
  w[2] = ((a + 2.0) * s - (a + 3.0)) * s * s + 1.0;
  w[3] = ((a * beyond - 5.0 * a) * beyond + 8.0 * a) * beyond - 4.0 * a;
}

static size_t clamped(double x, size_t in) { return !(x > 0.0) ? 0 : x >= (double)(in - 1) ? in - 1 : (size_t)x; }

static bbw_status make_table(bbw_call *call, const params *p, axis_table *t, size_t in, size_t out, double scale,
                             double start, double end) {
  t->taps = p->mode == NEAREST ? 1 : p->mode == LINEAR ? 2 : 4;
  if (in == out && scale == 1.0 && p->coordinates != CROP_AND_RESIZE) {
    t->taps = 1;
  } /* every rule gives the identity */
  size_t *from = bbw_arena_array(call->arena, out * t->taps, sizeof *from);
  float *weight = bbw_arena_array(call->arena, out * t->taps, sizeof *weight);
  uint8_t *is_outside = bbw_arena_array(call->arena, out, 1);
  if (from == NULL || weight == NULL || is_outside == NULL) { return BBW_E_NOMEM; }
  t->from = from;
  t->weight = weight;
  t->is_outside = is_outside;
  for (size_t i = 0; i < out; i++, from += t->taps, weight += t->taps) {
    if (t->taps == 1 && p->mode != NEAREST) {
      from[0] = i;
      weight[0] = 1.0f;
      continue;
    }
    double x = coordinate(p, (double)i, scale, in, out, start, end);
    is_outside[i] = p->coordinates == CROP_AND_RESIZE && (x < 0.0 || x > (double)(in - 1));
    if (p->mode == NEAREST) {
      from[0] = clamped(nearest_of(p, x), in);
      weight[0] = 1.0f;
    } else if (p->mode == LINEAR) {
      double low = floor(x);
      from[0] = clamped(low, in);
      from[1] = clamped(low + 1.0, in);
      weight[1] = (float)(x - low);
      weight[0] = 1.0f - weight[1];
    } else {
      double low = floor(x), w[4], sum = 0.0;
      cubic_weights((double)p->cubic, x - low, w);
      for (int k = 0; k < 4; k++) {
        double at = low - 1.0 + k;
        if (p->excludes_outside && (at < 0.0 || at > (double)(in - 1))) { w[k] = 0.0; }
        sum += w[k];
      }
      for (int k = 0; k < 4; k++) {
        from[k] = clamped(low - 1.0 + k, in);
        weight[k] = (float)(p->excludes_outside ? w[k] / sum : w[k]);
      }
    }
  }
  return BBW_OK;
}

/* Numbers of an input as f64, one per resized axis. */
static bbw_status read_numbers(bbw_call *call, uint32_t input, size_t count, double *out) {
  const bbw_array *x = call->inputs[input];
  if (x->count != count) { return bbw_call_refuse(call, (int32_t)input, "must have one number for each axis"); }
  BBW_TRY(bbw_call_values(call, input));
  bbw_load_f64(x, 0, count, out);
  return BBW_OK;
}

static bool is_given(const bbw_call *call, uint32_t input) {
  const bbw_array *x = bbw_call_input(call, input);
  return x != NULL && x->count > 0;
}

bbw_status bbw_resize_infer(bbw_call *call) {
  const params *p = call->params;
  const bbw_array *x = call->inputs[0];
  plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  if (p->mode != NEAREST && x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  uint32_t axes[BBW_ARRAY_RANK_MAX], count = p->axis_count < 0 ? x->rank : (uint32_t)p->axis_count;
  bool is_used[BBW_ARRAY_RANK_MAX] = {false};
  for (uint32_t i = 0; i < count; i++) {
    axes[i] = i;
    if (p->axis_count >= 0) { BBW_TRY(bbw_call_axis(call, p->axes[i], x->rank, &axes[i])); }
    if (is_used[axes[i]]) { return bbw_call_refuse(call, -1, "an axis is named twice"); }
    is_used[axes[i]] = true;
  }
  double given[BBW_ARRAY_RANK_MAX], roi[2 * BBW_ARRAY_RANK_MAX] = {0};
  double scales[BBW_ARRAY_RANK_MAX], start[BBW_ARRAY_RANK_MAX], end[BBW_ARRAY_RANK_MAX];
  size_t dims[BBW_ARRAY_RANK_MAX];
  bool has_sizes = is_given(call, p->sizes), has_scales = is_given(call, p->scales);
  if (has_sizes == has_scales) { return bbw_call_refuse(call, -1, "needs either scales or sizes"); }
  BBW_TRY(read_numbers(call, has_sizes ? p->sizes : p->scales, count, given));
  if (p->coordinates == CROP_AND_RESIZE) {
    if (!is_given(call, p->roi)) { return bbw_call_refuse(call, (int32_t)p->roi, "tf_crop_and_resize needs a region"); }
    BBW_TRY(read_numbers(call, p->roi, 2 * (size_t)count, roi));
  }
  for (uint32_t d = 0; d < x->rank; d++) {
    dims[d] = x->dims[d];
    scales[d] = 1.0;
    start[d] = 0.0;
    end[d] = 1.0;
  }
  double common = 0.0; /* scale of all axes where the aspect ratio is kept */
  for (uint32_t i = 0; i < count && has_sizes && p->policy != STRETCH; i++) {
    double scale = given[i] / (double)(x->dims[axes[i]] > 0 ? x->dims[axes[i]] : 1);
    bool is_better = i == 0 || (p->policy == NOT_LARGER ? scale < common : scale > common);
    if (is_better) { common = scale; }
  }
  for (uint32_t i = 0; i < count; i++) {
    uint32_t d = axes[i];
    double in = (double)x->dims[d], length = has_sizes ? given[i] : 0.0;
    if (!has_sizes) {
      scales[d] = given[i];
      double part = p->coordinates == CROP_AND_RESIZE ? roi[count + i] - roi[i] : 1.0;
      length = floor(in * part * scales[d]);
    } else if (p->policy != STRETCH) {
      scales[d] = common;
      length = floor(common * in + 0.5);
    } else {
      scales[d] = in > 0.0 ? length / in : 1.0;
    }
    if (!(scales[d] > 0.0) || !(length >= 0.0) || length > (double)(SIZE_MAX / 4) || (length > 0.0 && in == 0.0)) {
      return bbw_call_refuse(call, (int32_t)(has_sizes ? p->sizes : p->scales),
                             "a scale or size has no meaning for its axis");
    }
    dims[d] = (size_t)length;
    start[d] = p->coordinates == CROP_AND_RESIZE ? roi[i] : 0.0;
    end[d] = p->coordinates == CROP_AND_RESIZE ? roi[count + i] : 1.0;
  }
  BBW_TRY(bbw_call_output(call, 0, x->dtype, x->rank, dims));
  for (uint32_t d = 0; d < x->rank; d++) {
    BBW_TRY(make_table(call, p, &s->axes[d], x->dims[d], dims[d], scales[d], start[d], end[d]));
  }
  return BBW_OK;
}

/* Steps through all taps of all axes but the last, whose run is done in one go. */
typedef struct walk {
  const plan *s;
  const bbw_array *x;
  size_t step[BBW_ARRAY_RANK_MAX]; /* elements from one input index to the next */
} walk;

/* Sum over the taps of axes d.. for the output index `at`; at most BBW_ARRAY_RANK_MAX deep. */
static float sum_taps(const walk *w, const size_t *at, uint32_t d, size_t offset) {
  if (d == w->x->rank) { return ((const float *)w->x->data)[offset]; }
  const axis_table *t = &w->s->axes[d];
  const size_t *from = t->from + at[d] * t->taps;
  const float *weight = t->weight + at[d] * t->taps;
  if (t->taps == 1) { return sum_taps(w, at, d + 1, offset + from[0] * w->step[d]); }
  float sum = 0.0f;
  for (uint32_t k = 0; k < t->taps; k++) {
    sum = sum + weight[k] * sum_taps(w, at, d + 1, offset + from[k] * w->step[d]);
  }
  return sum;
}

bbw_status bbw_resize_run(bbw_call *call) {
  const params *p = call->params;
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0];
  walk w = {.s = call->plan, .x = x};
  size_t at[BBW_ARRAY_RANK_MAX] = {0}, bytes = bbw_dtype_bytes(x->dtype);
  for (uint32_t d = 0; d < x->rank; d++) { w.step[d] = bbw_dims_product(x->dims, d + 1, x->rank); }
  for (size_t i = 0; i < out->count; i++) {
    bool is_outside = false;
    size_t offset = 0;
    for (uint32_t d = 0; d < out->rank; d++) {
      is_outside = is_outside || w.s->axes[d].is_outside[at[d]] != 0;
      if (p->mode == NEAREST) { offset += w.s->axes[d].from[at[d]] * w.step[d]; }
    }
    if (is_outside) {
      bbw_store_f32(out, i, 1, &p->extrapolation);
    } else if (p->mode == NEAREST) {
      memcpy((uint8_t *)out->data + i * bytes, (const uint8_t *)x->data + offset * bytes, bytes);
    } else {
      ((float *)out->data)[i] = sum_taps(&w, at, 0, 0);
    }
    for (uint32_t d = out->rank; d-- > 0;) {
      if (++at[d] < out->dims[d]) { break; }
      at[d] = 0;
    }
  }
  return BBW_OK;
}

/* ---- the gradient ---- */

/* Gives g back to what the element `at` was made from. */
static void add_taps(const walk *w, const size_t *at, uint32_t d, size_t offset, float g, float *out) {
  if (d == w->x->rank) {
    out[offset] = out[offset] + g;
    return;
  }
  const axis_table *t = &w->s->axes[d];
  for (size_t k = at[d] * t->taps; k < (at[d] + 1) * t->taps; k++) {
    add_taps(w, at, d + 1, offset + t->from[k] * w->step[d], g * t->weight[k], out);
  }
}

void bbw_resize_add_back(const bbw_call *forward, const bbw_array *g, float *out) {
  walk w = {.s = forward->plan, .x = forward->inputs[0]};
  size_t at[BBW_ARRAY_RANK_MAX] = {0};
  for (uint32_t d = 0; d < g->rank; d++) { w.step[d] = bbw_dims_product(w.x->dims, d + 1, g->rank); }
  for (size_t i = 0; i < g->count; i++) {
    bool is_outside = false;
    for (uint32_t d = 0; d < g->rank; d++) { is_outside = is_outside || w.s->axes[d].is_outside[at[d]] != 0; }
    if (!is_outside) { add_taps(&w, at, 0, 0, ((const float *)g->data)[i], out); }
    for (uint32_t d = g->rank; d-- > 0;) {
      if (++at[d] < g->dims[d]) { break; }
      at[d] = 0;
    }
  }
}
