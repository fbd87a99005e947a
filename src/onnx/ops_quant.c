/* Quantized operators: whole numbers of 8 bits stand for (q - zero point) * scale. */
#include <math.h>
#include <string.h>

#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/window.h"

/* x / scale and the like, rounded to the nearest even number; NaN gives 0. */
static int64_t rounded(float x) {
  if (!(x == x)) { return 0; }
  if (x > 2147483520.0f) { return INT32_MAX; }
  if (x < -2147483648.0f) { return INT32_MIN; }
  return (int64_t)rintf(x);
}

static bool range_of(bbw_dtype dtype, int64_t *low, int64_t *high) {
  *low = *high = 0;
  switch (dtype) {
  case BBW_DTYPE_U8: *low = 0, *high = UINT8_MAX; return true;
  case BBW_DTYPE_I8: *low = INT8_MIN, *high = INT8_MAX; return true;
  case BBW_DTYPE_U16: *low = 0, *high = UINT16_MAX; return true;
  case BBW_DTYPE_I16: *low = INT16_MIN, *high = INT16_MAX; return true;
  default: return false;
  }
}

static int64_t saturated(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

static float f32_at(const bbw_array *x, size_t i) {
  float value;
  bbw_load_f32(x, i, 1, &value);
  return value;
}
static int64_t i64_at(const bbw_array *x, size_t i) {
  int64_t value;
  bbw_load_i64(x, i, 1, &value);
  return value;
}

/* ---- QuantizeLinear, DequantizeLinear ---- */

typedef struct linear_params {
  int64_t axis;
} linear_params;

typedef struct linear_plan {
  size_t outer, channels, inner; /* one scale for each channel; channels is 1 for one scale in all */
} linear_plan;

bbw_status bbw_quantize_prepare(bbw_prep *prep) {
  linear_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  int64_t block;
  BBW_TRY(bbw_prep_int(prep, "block_size", 0, &block));
  if (block != 0) { return bbw_prep_unsupported(prep, "block_size", "blocks are not supported"); }
  return bbw_prep_int(prep, "axis", 1, &p->axis);
}

/* Scale and zero point (inputs 1 and 2) along the axis of x. */
static bbw_status plan_linear(bbw_call *call) {
  const linear_params *p = call->params;
  const bbw_array *x = call->inputs[0], *scale = call->inputs[1], *zero = bbw_call_input(call, 2);
  linear_plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  *s = (linear_plan){1, 1, x->count};
  if (!bbw_dtype_is_float(scale->dtype)) { return bbw_call_refuse_type(call, 1); }
  if (zero != NULL && zero->count != scale->count) {
    return bbw_call_refuse(call, 2, "must have as many elements as the scale");
  }
  if (scale->count == 1) { return BBW_OK; }
  uint32_t axis;
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  if (scale->rank != 1 || scale->count != x->dims[axis]) {
    return bbw_call_refuse(call, 1, "must be one number, or one for each place along the axis");
  }
  *s = (linear_plan){bbw_dims_product(x->dims, 0, axis), x->dims[axis], bbw_dims_product(x->dims, axis + 1, x->rank)};
  return BBW_OK;
}

bbw_status bbw_quantize_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *zero = bbw_call_input(call, 2);
  int64_t low, high;
  bbw_dtype dtype = zero != NULL ? zero->dtype : BBW_DTYPE_U8;
  if (!bbw_dtype_is_float(x->dtype) && x->dtype != BBW_DTYPE_I32) { return bbw_call_refuse_type(call, 0); }
  if (!range_of(dtype, &low, &high)) { return bbw_call_refuse_type(call, 2); }
  BBW_TRY(plan_linear(call));
  return bbw_call_output(call, 0, dtype, x->rank, x->dims);
}

bbw_status bbw_quantize_run(bbw_call *call) {
  const linear_plan *s = call->plan;
  const bbw_array *x = call->inputs[0], *scale = call->inputs[1], *zero = bbw_call_input(call, 2);
  bbw_array *out = call->outputs[0];
  int64_t low, high;
  range_of(out->dtype, &low, &high);
  for (size_t run = 0; run < s->outer * s->channels; run++) {
    size_t channel = run % s->channels;
    float by = f32_at(scale, channel);
    int64_t add = zero != NULL ? i64_at(zero, channel) : 0;
    for (size_t at = 0; at < s->inner; at += BBW_CONVERT_BLOCK) {
      size_t n = s->inner - at < BBW_CONVERT_BLOCK ? s->inner - at : BBW_CONVERT_BLOCK;
      float block[BBW_CONVERT_BLOCK];
      int64_t whole[BBW_CONVERT_BLOCK];
      bbw_load_f32(x, run * s->inner + at, n, block);
      for (size_t i = 0; i < n; i++) { whole[i] = saturated(rounded(block[i] / by) + add, low, high); }
      bbw_store_i64(out, run * s->inner + at, n, whole);
    }
  }
  return BBW_OK;
}

bbw_status bbw_dequantize_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *zero = bbw_call_input(call, 2);
  int64_t low, high;
  if (!range_of(x->dtype, &low, &high) && x->dtype != BBW_DTYPE_I32) { return bbw_call_refuse_type(call, 0); }
  if (zero != NULL && zero->dtype != x->dtype) {
    return bbw_call_refuse(call, 2, "must have the element type of the input");
  }
  BBW_TRY(plan_linear(call));
  return bbw_call_output(call, 0, call->inputs[1]->dtype, x->rank, x->dims);
}

bbw_status bbw_dequantize_run(bbw_call *call) {
  const linear_plan *s = call->plan;
  const bbw_array *x = call->inputs[0], *scale = call->inputs[1], *zero = bbw_call_input(call, 2);
  for (size_t run = 0; run < s->outer * s->channels; run++) {
    size_t channel = run % s->channels;
    float by = f32_at(scale, channel);
    int64_t less = zero != NULL ? i64_at(zero, channel) : 0;
    for (size_t at = 0; at < s->inner; at += BBW_CONVERT_BLOCK) {
      size_t n = s->inner - at < BBW_CONVERT_BLOCK ? s->inner - at : BBW_CONVERT_BLOCK;
      float block[BBW_CONVERT_BLOCK];
      int64_t whole[BBW_CONVERT_BLOCK];
      bbw_load_i64(x, run * s->inner + at, n, whole);
      for (size_t i = 0; i < n; i++) { block[i] = (float)(whole[i] - less) * by; }
      bbw_store_f32(call->outputs[0], run * s->inner + at, n, block);
    }
  }
  return BBW_OK;
}

/* ---- DynamicQuantizeLinear: scale and zero point from the range of the data, which 0 belongs to ---- */

bbw_status bbw_dynamic_quantize_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_output(call, 0, BBW_DTYPE_U8, x->rank, x->dims));
  BBW_TRY(bbw_call_output(call, 1, BBW_DTYPE_F32, 0, NULL));
  return bbw_call_output(call, 2, BBW_DTYPE_U8, 0, NULL);
}

bbw_status bbw_dynamic_quantize_run(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  const float *data = x->data;
  float low = 0.0f, high = 0.0f;
  for (size_t i = 0; i < x->count; i++) {
    low = data[i] < low ? data[i] : low;
    high = data[i] > high ? data[i] : high;
  }
  float scale = (high - low) / 255.0f;
  if (scale == 0.0f) { scale = 1.0f; } /* all zeros: any scale is right */
  int64_t zero = saturated(rounded(0.0f - low / scale), 0, 255);
  bbw_array *out = bbw_call_result(call, 0);
  for (size_t i = 0; out != NULL && i < x->count; i++) {
    ((uint8_t *)out->data)[i] = (uint8_t)saturated(rounded(data[i] / scale) + zero, 0, 255);
  }
  if (bbw_call_result(call, 1) != NULL) { *(float *)bbw_call_result(call, 1)->data = scale; }
  if (bbw_call_result(call, 2) != NULL) { *(uint8_t *)bbw_call_result(call, 2)->data = (uint8_t)zero; }
  return BBW_OK;
}

/* ---- products of 8-bit numbers ---- */

/* A scale or zero point: one for all, or one per place. */
static int64_t zero_at(const bbw_array *zero, size_t i) {
  return zero == NULL ? 0 : i64_at(zero, zero->count == 1 ? 0 : i);
}
static float scale_at(const bbw_array *scale, size_t i) { return f32_at(scale, scale->count == 1 ? 0 : i); }

static bool is_byte(const bbw_array *x) { return x->dtype == BBW_DTYPE_U8 || x->dtype == BBW_DTYPE_I8; }

/* Element types of the operands, and zero points of theirs. */
static bbw_status check_operands(bbw_call *call, uint32_t a, uint32_t a_zero, uint32_t b, uint32_t b_zero,
                                 size_t a_count, size_t b_count) {
  const bbw_array *az = bbw_call_input(call, a_zero), *bz = bbw_call_input(call, b_zero);
  if (!is_byte(call->inputs[a])) { return bbw_call_refuse_type(call, a); }
  if (!is_byte(call->inputs[b])) { return bbw_call_refuse_type(call, b); }
  if (az != NULL && (az->dtype != call->inputs[a]->dtype || (az->count != 1 && az->count != a_count))) {
    return bbw_call_refuse(call, (int32_t)a_zero, "the zero point does not fit its operand");
  }
  if (bz != NULL && (bz->dtype != call->inputs[b]->dtype || (bz->count != 1 && bz->count != b_count))) {
    return bbw_call_refuse(call, (int32_t)b_zero, "the zero point does not fit its operand");
  }
  return BBW_OK;
}

/* Scale and zero point of a result: one number each, the zero point gives the type. */
static bbw_status check_result(bbw_call *call, uint32_t scale, uint32_t zero) {
  if (call->inputs[scale]->count != 1 || !bbw_dtype_is_float(call->inputs[scale]->dtype)) {
    return bbw_call_refuse(call, (int32_t)scale, "must be one number");
  }
  if (call->inputs[zero]->count != 1 || !is_byte(call->inputs[zero])) {
    return bbw_call_refuse(call, (int32_t)zero, "must be one 8-bit number");
  }
  return BBW_OK;
}

static bbw_status check_scale(bbw_call *call, uint32_t scale, size_t count) {
  const bbw_array *s = call->inputs[scale];
  if (!bbw_dtype_is_float(s->dtype) || (s->count != 1 && s->count != count)) {
    return bbw_call_refuse(call, (int32_t)scale, "the scale does not fit its operand");
  }
  return BBW_OK;
}

/* Where the operands of the two forms of an operator stand: with scales (QLinear...) or without (...Integer). */
typedef struct places {
  uint32_t a, a_zero, b, b_zero;
  bool is_linear;
} places;
static const places integer_places = {0, 2, 1, 3, false}, linear_places = {0, 2, 3, 5, true};
static places places_of(const bbw_call *call) { return call->op->ctx != NULL ? linear_places : integer_places; }
const uint32_t bbw_quant_is_linear = 1;

typedef struct matmul_plan {
  size_t m, n, k, batch;
  uint32_t rank;
  size_t dims[BBW_ARRAY_RANK_MAX], a_steps[BBW_ARRAY_RANK_MAX], b_steps[BBW_ARRAY_RANK_MAX];
} matmul_plan;

bbw_status bbw_matmul_integer_infer(bbw_call *call) {
  places at = places_of(call);
  const bbw_array *a = call->inputs[at.a], *b = call->inputs[at.b];
  matmul_plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  if (a->rank < 2 || b->rank < 2) {
    return bbw_call_refuse(call, (int32_t)(a->rank < 2 ? at.a : at.b), "must be a matrix");
  }
  s->m = a->dims[a->rank - 2];
  s->k = a->dims[a->rank - 1];
  s->n = b->dims[b->rank - 1];
  if (b->dims[b->rank - 2] != s->k) { return bbw_call_refuse(call, -1, "the inner dimensions are not equal"); }
  BBW_TRY(check_operands(call, at.a, at.a_zero, at.b, at.b_zero, s->m, s->n));
  s->rank = a->rank > b->rank ? a->rank - 2 : b->rank - 2;
  size_t a_step = 1, b_step = 1, dims[BBW_ARRAY_RANK_MAX];
  s->batch = 1;
  for (uint32_t back = 0; back < s->rank; back++) {
    uint32_t d = s->rank - 1 - back;
    size_t x = back + 2 < a->rank ? a->dims[a->rank - 3 - back] : 1,
           y = back + 2 < b->rank ? b->dims[b->rank - 3 - back] : 1;
    if (x != y && x != 1 && y != 1) {
      return bbw_call_refuse(call, -1, "the dimensions in front of the matrices do not fit together");
    }
    dims[d] = s->dims[d] = x == 1 ? y : x;
    s->a_steps[d] = x == 1 ? 0 : a_step;
    s->b_steps[d] = y == 1 ? 0 : b_step;
    a_step *= x;
    b_step *= y;
  }
  dims[s->rank] = s->m;
  dims[s->rank + 1] = s->n;
  bbw_dtype dtype = BBW_DTYPE_I32;
  if (at.is_linear) {
    BBW_TRY(check_scale(call, 1, s->m));
    BBW_TRY(check_scale(call, 4, s->n));
    BBW_TRY(check_result(call, 6, 7));
    dtype = call->inputs[7]->dtype;
  }
  BBW_TRY(bbw_call_output(call, 0, dtype, s->rank + 2, dims));
  for (uint32_t d = 0; d < s->rank; d++) { s->batch *= s->dims[d]; }
  return BBW_OK;
}

/* A sum of products as an element of the result: as it is, or in the scale of the result. */
static void put_result(bbw_call *call, const places *at, size_t place, int64_t sum, size_t row, size_t column) {
  bbw_array *out = call->outputs[0];
  if (at->is_linear) {
    int64_t low, high;
    float scale = scale_at(call->inputs[1], row) * scale_at(call->inputs[4], column) / f32_at(call->inputs[6], 0);
    range_of(out->dtype, &low, &high);
    sum = saturated(rounded((float)sum * scale) + i64_at(call->inputs[7], 0), low, high);
  }
  bbw_store_i64(out, place, 1, &sum);
}

static int32_t byte_at(const bbw_array *x, size_t i) {
  return x->dtype == BBW_DTYPE_U8 ? (int32_t)((const uint8_t *)x->data)[i] : (int32_t)((const int8_t *)x->data)[i];
}

bbw_status bbw_matmul_integer_run(bbw_call *call) {
  places at = places_of(call);
  const matmul_plan *s = call->plan;
  const bbw_array *a = call->inputs[at.a], *b = call->inputs[at.b];
  const bbw_array *a_zero = bbw_call_input(call, at.a_zero), *b_zero = bbw_call_input(call, at.b_zero);
  size_t index[BBW_ARRAY_RANK_MAX] = {0}, a_at = 0, b_at = 0;
  for (size_t i = 0; i < s->batch; i++) {
    for (size_t row = 0; row < s->m; row++) {
      for (size_t column = 0; column < s->n; column++) {
        int32_t az = (int32_t)zero_at(a_zero, row), bz = (int32_t)zero_at(b_zero, column);
        int64_t sum = 0;
        for (size_t p = 0; p < s->k; p++) {
          sum += (int64_t)(byte_at(a, (a_at * s->m + row) * s->k + p) - az) *
                 (byte_at(b, (b_at * s->k + p) * s->n + column) - bz);
        }
        put_result(call, &at, (i * s->m + row) * s->n + column, sum, row, column);
      }
    }
    for (uint32_t d = s->rank; d-- > 0;) {
      a_at += s->a_steps[d];
      b_at += s->b_steps[d];
      if (++index[d] < s->dims[d]) { break; }
      a_at -= s->a_steps[d] * s->dims[d];
      b_at -= s->b_steps[d] * s->dims[d];
      index[d] = 0;
    }
  }
  return BBW_OK;
}

typedef struct conv_params {
  bbw_window_params window;
  int64_t groups;
} conv_params;

bbw_status bbw_conv_integer_prepare(bbw_prep *prep) {
  conv_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_window_prepare(prep, &p->window));
  BBW_TRY(bbw_prep_int(prep, "group", 1, &p->groups));
  return p->groups < 1 ? bbw_prep_refuse(prep, "group", "must be positive") : BBW_OK;
}

bbw_status bbw_conv_integer_infer(bbw_call *call) {
  places at = places_of(call);
  const conv_params *p = call->params;
  const bbw_array *x = call->inputs[at.a], *w = call->inputs[at.b],
                  *bias = at.is_linear ? bbw_call_input(call, 8) : NULL;
  bbw_window *window = bbw_call_plan(call, sizeof *window);
  if (window == NULL) { return BBW_E_NOMEM; }
  if (w->rank != x->rank || w->rank < 3) {
    return bbw_call_refuse(call, (int32_t)at.b, "must have as many dimensions as the input");
  }
  size_t groups = (size_t)p->groups;
  if (x->dims[1] % groups != 0 || x->dims[1] / groups != w->dims[1] || w->dims[0] % groups != 0) {
    return bbw_call_refuse(call, (int32_t)at.b, "the channels of input, weights and group do not fit together");
  }
  BBW_TRY(check_operands(call, at.a, at.a_zero, at.b, at.b_zero, 1, w->dims[0]));
  BBW_TRY(bbw_window_make(call, &p->window, x, w->dims + 2, window));
  bbw_dtype dtype = BBW_DTYPE_I32;
  if (at.is_linear) {
    BBW_TRY(check_scale(call, 1, 1));
    BBW_TRY(check_scale(call, 4, w->dims[0]));
    BBW_TRY(check_result(call, 6, 7));
    dtype = call->inputs[7]->dtype;
    if (bias != NULL && (bias->dtype != BBW_DTYPE_I32 || bias->count != w->dims[0])) {
      return bbw_call_refuse(call, 8, "must have one int32 per output channel");
    }
  }
  return bbw_window_output(call, 0, dtype, x->dims[0], w->dims[0], window);
}

/* Sum over one window; places outside of the input count as its zero point, that is as nothing. */
static int64_t window_sum(const bbw_window *s, const bbw_array *x, size_t x_start, int32_t x_zero, const bbw_array *w,
                          size_t w_start, int32_t w_zero, const size_t *place) {
  int64_t sum = 0;
  for (size_t kz = 0; kz < s->kernel[0]; kz++) {
    size_t z = place[0] * s->stride[0] + kz * s->dilation[0] -
               s->pad_begin[0]; /* wraps below zero, and is then too large */
    for (size_t ky = 0; ky < s->kernel[1] && z < s->size[0]; ky++) {
      size_t y = place[1] * s->stride[1] + ky * s->dilation[1] - s->pad_begin[1];
      for (size_t kx = 0; kx < s->kernel[2] && y < s->size[1]; kx++) {
        size_t i = place[2] * s->stride[2] + kx * s->dilation[2] - s->pad_begin[2];
        if (i >= s->size[2]) { continue; }
        size_t from = (z * s->size[1] + y) * s->size[2] + i, weight = (kz * s->kernel[1] + ky) * s->kernel[2] + kx;
        sum += (int64_t)(byte_at(x, x_start + from) - x_zero) * (byte_at(w, w_start + weight) - w_zero);
      }
    }
  }
  return sum;
}

bbw_status bbw_conv_integer_run(bbw_call *call) {
  places at = places_of(call);
  const conv_params *p = call->params;
  const bbw_window *s = call->plan;
  const bbw_array *x = call->inputs[at.a], *w = call->inputs[at.b],
                  *bias = at.is_linear ? bbw_call_input(call, 8) : NULL;
  const bbw_array *x_zero = bbw_call_input(call, at.a_zero), *w_zero = bbw_call_input(call, at.b_zero);
  size_t channels = w->dims[1], per_group = w->dims[0] / (size_t)p->groups;
  size_t plane = s->size[0] * s->size[1] * s->size[2], taps = s->kernel[0] * s->kernel[1] * s->kernel[2], out = 0;
  if (call->outputs[0]->count == 0) { return BBW_OK; }
  int32_t xz = (int32_t)zero_at(x_zero, 0);
  for (size_t image = 0; image < x->dims[0]; image++) {
    for (size_t o = 0; o < w->dims[0]; o++) {
      int32_t wz = (int32_t)zero_at(w_zero, o);
      for (size_t i = 0; i < s->out_size[0] * s->out_size[1] * s->out_size[2]; i++, out++) {
        const size_t place[] = {i / (s->out_size[1] * s->out_size[2]), i / s->out_size[2] % s->out_size[1],
                                i % s->out_size[2]};
        int64_t sum = bias != NULL ? i64_at(bias, o) : 0;
        for (size_t c = 0; c < channels; c++) {
          size_t channel = image * x->dims[1] + o / per_group * channels + c;
          sum += window_sum(s, x, channel * plane, xz, w, (o * channels + c) * taps, wz, place);
        }
        put_result(call, &at, out, sum, 0, o);
      }
    }
  }
  return BBW_OK;
}
