/* Gradients of Softmax and LogSoftmax, LayerNormalization, BatchNormalization; f32. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/f32x4.h"
#include "kernels/math_f32.h"
#include "kernels/softmax.h"
#include "onnx/lanes.h"
#include "onnx/ops.h"
#include "onnx/params.h"

/* ---- inputs: y, g ---- */

const uint32_t bbw_grad_is_log = 1;

bbw_status bbw_softmax_grad_infer(bbw_call *call) {
  const bbw_lane_params *params = call->params;
  const bbw_array *y = call->inputs[0];
  uint32_t axis;
  if (y->dtype != BBW_DTYPE_F32 || call->inputs[1]->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_axis(call, params->axis, y->rank, &axis));
  bbw_lanes *lanes = bbw_call_plan(call, sizeof *lanes);
  if (lanes == NULL) { return BBW_E_NOMEM; }
  *lanes = bbw_lanes_of(y, axis);
  if (call->opset < 13) { /* all axes from this one on */
    lanes->length *= lanes->inner;
    lanes->inner = 1;
  }
  if (lanes->inner != 1) { call->scratch_bytes = 2 * lanes->length * sizeof(float); }
  return bbw_call_output_like(call, 0, y);
}

bbw_status bbw_softmax_grad_run(bbw_call *call) {
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  const float *y = call->inputs[0]->data, *g = call->inputs[1]->data;
  float *out = call->outputs[0]->data, *y_lane = call->scratch, *g_lane = y_lane + lanes.length;
  bbw_softmax_gradient_f32_fn *gradient = call->op->ctx != NULL ? bbw_log_softmax_gradient_f32_simd128
                                                                : bbw_softmax_gradient_f32_simd128;
  if (call->outputs[0]->count == 0) { return BBW_OK; }
  if (lanes.inner == 1) {
    gradient(y, g, out, lanes.outer, lanes.length);
    return BBW_OK;
  }
  for (size_t i = 0; i < lanes.outer * lanes.inner; i++) {
    size_t start = i / lanes.inner * lanes.length * lanes.inner + i % lanes.inner;
    for (size_t k = 0; k < lanes.length; k++) {
      y_lane[k] = y[start + k * lanes.inner];
      g_lane[k] = g[start + k * lanes.inner];
    }
    gradient(y_lane, g_lane, g_lane, 1, lanes.length);
    for (size_t k = 0; k < lanes.length; k++) { out[start + k * lanes.inner] = g_lane[k]; }
  }
  return BBW_OK;
}

/*
 * ---- LayerNormalization: g, x, scale; results by x, scale and bias ----
 * n = (x - mean) / deviation;  by x: (s - mean(s) - n * mean(s * n)) / deviation with s = g * scale;  by scale: sum over rows of g * n;  by bias: of g
 */

typedef struct layer_plan {
  size_t rows, length;
} layer_plan;

bbw_status bbw_layer_norm_grad_infer(bbw_call *call) {
  const bbw_layer_norm_params *p = call->params;
  const bbw_array *g = call->inputs[0], *x = call->inputs[1], *scale = call->inputs[2];
  layer_plan *s = bbw_call_plan(call, sizeof *s);
  uint32_t axis;
  if (s == NULL) { return BBW_E_NOMEM; }
  if (g->dtype != BBW_DTYPE_F32 || x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  s->rows = bbw_dims_product(x->dims, 0, axis);
  s->length = bbw_dims_product(x->dims, axis, x->rank);
  if (scale->count != s->length || g->count != x->count) {
    return bbw_call_refuse(call, 2, "must have the shape of what is normalized");
  }
  call->scratch_bytes = 3 * s->length * sizeof(float);
  BBW_TRY(bbw_call_output_like(call, 0, x));
  BBW_TRY(bbw_call_output_like(call, 1, scale));
  return bbw_call_output_like(call, 2, scale);
}

/* The sum of x[i] * y[i] in four partial sums, the rest in order. */
static float dot(const float *x, const float *y, size_t n) {
  bbw_f32x4 sums = bbw_f32x4_splat(0.0f);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) { sums = sums + bbw_f32x4_load(x + i) * bbw_f32x4_load(y + i); }
  float sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  for (; i < n; i++) { sum = sum + x[i] * y[i]; }
  return sum;
}

/* y = y + a * b */
static void add_product(const float *a, const float *b, float *y, size_t n) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    bbw_f32x4_store(y + i, bbw_f32x4_load(y + i) + bbw_f32x4_load(a + i) * bbw_f32x4_load(b + i));
  }
  for (; i < n; i++) { y[i] = y[i] + a[i] * b[i]; }
}

/* out = (s - a - n * b) * by */
static void finish_row(const float *s, const float *n, float a, float b, float by, float *out, size_t count) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    bbw_f32x4 rest = bbw_f32x4_load(s + i) - bbw_f32x4_splat(a) - bbw_f32x4_load(n + i) * bbw_f32x4_splat(b);
    bbw_f32x4_store(out + i, rest * bbw_f32x4_splat(by));
  }
  for (; i < count; i++) { out[i] = (s[i] - a - n[i] * b) * by; }
}

bbw_status bbw_layer_norm_grad_run(bbw_call *call) {
  const bbw_layer_norm_params *p = call->params;
  const layer_plan *s = call->plan;
  const float *g = call->inputs[0]->data, *x = call->inputs[1]->data, *scale = call->inputs[2]->data;
  bbw_array *by_x = bbw_call_result(call, 0), *by_scale = bbw_call_result(call, 1), *by_bias = bbw_call_result(call, 2);
  size_t n = s->length;
  float *row = call->scratch, *scaled = row + n, *ones = scaled + n, count = (float)n;
  if (by_scale != NULL && n > 0) { memset(by_scale->data, 0, n * sizeof(float)); }
  if (by_bias != NULL && n > 0) { memset(by_bias->data, 0, n * sizeof(float)); }
  for (size_t i = 0; i < n; i++) { ones[i] = 1.0f; }
  for (size_t r = 0; r < s->rows && n > 0; r++, g += n, x += n) {
    float mean = bbw_sum_f32_simd128(x, n) / count;
    for (size_t i = 0; i < n; i++) { row[i] = x[i] - mean; }
    float inverse = 1.0f / sqrtf(dot(row, row, n) / count + p->epsilon);
    bbw_scale_f32_simd128(inverse, row, row, n);
    if (by_scale != NULL) { add_product(g, row, by_scale->data, n); }
    if (by_bias != NULL) { add_product(g, ones, by_bias->data, n); }
    if (by_x == NULL) { continue; }
    bbw_mul_f32_simd128(g, scale, scaled, n);
    finish_row(scaled, row, bbw_sum_f32_simd128(scaled, n) / count, dot(scaled, row, n) / count, inverse,
               (float *)by_x->data + r * n, n);
  }
  return BBW_OK;
}

/* ---- BatchNormalization, as it infers or over the statistics of the batch: g, x, scale, mean, variance; results by x, scale and bias ---- */

bbw_status bbw_batch_norm_grad_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *x = call->inputs[1];
  if (g->dtype != BBW_DTYPE_F32 || x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (x->rank < 2 || g->count != x->count) { return bbw_call_refuse(call, 1, "must have batch and channels"); }
  for (uint32_t i = 2; i < 5; i++) {
    if (call->inputs[i]->count != x->dims[1]) {
      return bbw_call_refuse(call, (int32_t)i, "must have one number per channel");
    }
  }
  BBW_TRY(bbw_call_output_like(call, 0, x));
  BBW_TRY(bbw_call_output_like(call, 1, call->inputs[2]));
  return bbw_call_output_like(call, 2, call->inputs[2]);
}

static void batch_statistics(const bbw_array *x, size_t channel, size_t inner, double count, double *mean,
                             double *variance) {
  const float *from = x->data;
  double sum = 0.0, squares = 0.0;
  for (size_t o = 0; o < x->dims[0]; o++) {
    const float *run = from + (o * x->dims[1] + channel) * inner;
    for (size_t i = 0; i < inner; i++) { sum = sum + (double)run[i]; }
  }
  *mean = sum / count;
  for (size_t o = 0; o < x->dims[0]; o++) {
    const float *run = from + (o * x->dims[1] + channel) * inner;
    for (size_t i = 0; i < inner; i++) { squares = squares + ((double)run[i] - *mean) * ((double)run[i] - *mean); }
  }
  *variance = squares / count;
}

bbw_status bbw_batch_norm_grad_run(bbw_call *call) {
  const bbw_batch_norm_params *p = call->params;
  const bbw_array *shape = call->inputs[1];
  const float *g = call->inputs[0]->data, *x = shape->data, *scale = call->inputs[2]->data,
              *means = call->inputs[3]->data, *variances = call->inputs[4]->data;
  bbw_array *by_x = bbw_call_result(call, 0), *by_scale = bbw_call_result(call, 1), *by_bias = bbw_call_result(call, 2);
  size_t channels = shape->dims[1], inner = bbw_dims_product(shape->dims, 2, shape->rank);
  double count = (double)(shape->dims[0] * inner);
  for (size_t c = 0; c < channels; c++) {
    double mean = (double)means[c], variance = (double)variances[c], sum = 0.0, product = 0.0;
    if (p->is_training) { batch_statistics(shape, c, inner, count, &mean, &variance); }
    double inverse = 1.0 / sqrt(variance + (double)p->epsilon);
    for (size_t o = 0; o < shape->dims[0]; o++) {
      size_t at = (o * channels + c) * inner;
      for (size_t i = at; i < at + inner; i++) {
        sum = sum + (double)g[i];
        product = product + (double)g[i] * ((double)x[i] - mean);
      }
    }
    product = product * inverse; /* the sum of g * n */
    if (by_scale != NULL) { ((float *)by_scale->data)[c] = (float)product; }
    if (by_bias != NULL) { ((float *)by_bias->data)[c] = (float)sum; }
    if (by_x == NULL) { continue; }
    /* With statistics of the batch, what moves all elements alike, or along n, moves mean and variance and not the result. */
    double factor = (double)scale[c] * inverse, less = p->is_training ? sum / count : 0.0;
    double along = p->is_training ? product * inverse / count : 0.0;
    for (size_t o = 0; o < shape->dims[0]; o++) {
      size_t at = (o * channels + c) * inner;
      for (size_t i = at; i < at + inner; i++) {
        ((float *)by_x->data)[i] = (float)(factor * ((double)g[i] - less - ((double)x[i] - mean) * along));
      }
    }
  }
  return BBW_OK;
}

/* ---- InstanceNormalization, GroupNormalization: g, x, scale; results by x, scale and bias ---- */

bbw_status bbw_group_norm_grad_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *x = call->inputs[1], *scale = call->inputs[2];
  if (g->dtype != BBW_DTYPE_F32 || x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (x->rank < 2 || g->count != x->count || scale->count != x->dims[1]) {
    return bbw_call_refuse(call, 1, "must have batch and channels, and one scale for each of these");
  }
  BBW_TRY(bbw_call_output_like(call, 0, x));
  BBW_TRY(bbw_call_output_like(call, 1, scale));
  return bbw_call_output_like(call, 2, scale);
}

/* One group of one image: `channels` of them, each of `inner` numbers. */
typedef struct group {
  const float *g, *x, *scale;
  float *by_x, *by_scale, *by_bias; /* NULL where nobody reads them */
  size_t channels, inner;
} group;

static void group_gradient(const group *s, double epsilon) {
  size_t n = s->channels * s->inner;
  double count = (double)n, mean = 0.0, variance = 0.0, sum = 0.0, along = 0.0;
  for (size_t i = 0; i < n; i++) { mean = mean + (double)s->x[i]; }
  mean = mean / count;
  for (size_t i = 0; i < n; i++) { variance = variance + ((double)s->x[i] - mean) * ((double)s->x[i] - mean); }
  double inverse = 1.0 / sqrt(variance / count + epsilon);
  for (size_t c = 0; c < s->channels; c++) {
    double of_g = 0.0, of_product = 0.0;
    for (size_t i = c * s->inner; i < (c + 1) * s->inner; i++) {
      of_g = of_g + (double)s->g[i];
      of_product = of_product + (double)s->g[i] * ((double)s->x[i] - mean) * inverse;
    }
    sum = sum + of_g * (double)s->scale[c];
    along = along + of_product * (double)s->scale[c];
    if (s->by_scale != NULL) { s->by_scale[c] = (float)((double)s->by_scale[c] + of_product); }
    if (s->by_bias != NULL) { s->by_bias[c] = (float)((double)s->by_bias[c] + of_g); }
  }
  for (size_t c = 0; c < s->channels && s->by_x != NULL; c++) {
    for (size_t i = c * s->inner; i < (c + 1) * s->inner; i++) {
      double n_i = ((double)s->x[i] - mean) * inverse;
      s->by_x[i] = (float)(inverse * ((double)s->g[i] * (double)s->scale[c] - sum / count - n_i * along / count));
    }
  }
}

bbw_status bbw_group_norm_grad_run(bbw_call *call) {
  const bbw_group_norm_params *p = call->params;
  const bbw_array *x = call->inputs[1];
  float *by[3];
  for (uint32_t i = 0; i < 3; i++) {
    bbw_array *out = bbw_call_result(call, i);
    by[i] = out != NULL ? out->data : NULL;
    if (i > 0 && by[i] != NULL && out->count > 0) { memset(by[i], 0, bbw_array_bytes(out)); }
  }
  if (x->count == 0) { return BBW_OK; }
  size_t channels = x->dims[1], groups = p->groups > 0 ? (size_t)p->groups : channels;
  group s = {.channels = channels / groups, .inner = bbw_dims_product(x->dims, 2, x->rank)};
  for (size_t i = 0; i < x->dims[0] * groups; i++) {
    size_t at = i * s.channels * s.inner, channel = i % groups * s.channels;
    s.g = (const float *)call->inputs[0]->data + at;
    s.x = (const float *)x->data + at;
    s.scale = (const float *)call->inputs[2]->data + channel;
    s.by_x = by[0] != NULL ? by[0] + at : NULL;
    s.by_scale = by[1] != NULL ? by[1] + channel : NULL;
    s.by_bias = by[2] != NULL ? by[2] + channel : NULL;
    group_gradient(&s, (double)p->epsilon);
  }
  return BBW_OK;
}
