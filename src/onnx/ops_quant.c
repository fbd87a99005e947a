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
  if (zero != NULL && zero->count != scale->count) { return bbw_call_refuse(call, 2, "must have as many elements as the scale"); }
  if (scale->count == 1) { return BBW_OK; }
  uint32_t axis;
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  if (scale->rank != 1 || scale->count != x->dims[axis]) { return bbw_call_refuse(call, 1, "must be one number, or one for each place along the axis"); }
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
  if (zero != NULL && zero->dtype != x->dtype) { return bbw_call_refuse(call, 2, "must have the element type of the input"); }
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
