/* One result per element of one input, with numbers from attributes; Clip, whose numbers may be inputs; questions whose answer is true or false. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "kernels/math_f64.h"
#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/params.h"

/* p: the attributes. */
#define CURVE(name, expression)                                                      \
  static void name##_f64(const double *in, double *out, size_t n, const double *p) { \
    double a = p[0], b = p[1];                                                       \
    (void)a, (void)b;                                                                \
    for (size_t i = 0; i < n; i++) {                                                 \
      double x = in[i];                                                              \
      out[i] = (expression);                                                         \
    }                                                                                \
  }

/* From 0 to 1, NaN stays. */
static double unit(double x) { return x < 0.0 ? 0.0 : x > 1.0 ? 1.0 : x; }

CURVE(celu, x > 0.0 ? x : a * bbw_expm1_f64(x / a))
CURVE(elu, x < 0.0 ? a * bbw_expm1_f64(x) : x)
CURVE(hard_sigmoid, unit(a *x + b))
CURVE(leaky_relu, x < 0.0 ? a * x : x)
CURVE(selu, x > 0.0 ? b * x : b * (a * bbw_expm1_f64(x)))
CURVE(shrink, x<-b ? x + a : x> b ? x - a : x - x)
CURVE(thresholded_relu, x > a ? x : 0.0)
CURVE(gelu, 0.5 * x * (1.0 + bbw_erf_f64(x * 0.70710678118654752440)))
CURVE(gelu_tanh, 0.5 * x * (1.0 + bbw_tanh_f64(0.79788456080286535588 * (x + 0.044715 * x * x * x))))

/* Their slopes. */
CURVE(celu_slope, x > 0.0 ? 1.0 : bbw_exp_f64(x / a))
CURVE(elu_slope, x < 0.0 ? a * bbw_exp_f64(x) : 1.0)
CURVE(hard_sigmoid_slope, a *x + b > 0.0 && a * x + b < 1.0 ? a : 0.0)
CURVE(leaky_relu_slope, x < 0.0 ? a : 1.0)
CURVE(selu_slope, x > 0.0 ? b : b * a * bbw_exp_f64(x))
CURVE(shrink_slope, x<-b || x> b ? 1.0 : 0.0)
CURVE(thresholded_relu_slope, x > a ? 1.0 : 0.0)
CURVE(gelu_slope,
      0.5 * (1.0 + bbw_erf_f64(x * 0.70710678118654752440)) + x * 0.39894228040143267794 * bbw_exp_f64(-0.5 * x * x))
static double gelu_tanh_slope_of(double x) {
  double t = bbw_tanh_f64(0.79788456080286535588 * (x + 0.044715 * x * x * x));
  return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * 0.79788456080286535588 * (1.0 + 3.0 * 0.044715 * x * x);
}
CURVE(gelu_tanh_slope, gelu_tanh_slope_of(x))

/* Kernels of f32 with the form of a curve. */
static void leaky_relu_f32(float a, float b, const float *x, float *out, size_t n) {
  (void)b;
  bbw_leaky_relu_f32_simd128(a, x, out, n);
}
static void gelu_f32(float a, float b, const float *x, float *out, size_t n) {
  (void)a, (void)b;
  bbw_gelu_erf_f32_simd128(x, out, n);
}
static void gelu_tanh_f32(float a, float b, const float *x, float *out, size_t n) {
  (void)a, (void)b;
  bbw_gelu_f32_simd128(x, out, n);
}

const bbw_curve bbw_curve_celu = {celu_f64, NULL, {"alpha", NULL}, {1.0f, 0.0f}, false, .slope = celu_slope_f64};
const bbw_curve bbw_curve_elu = {elu_f64, NULL, {"alpha", NULL}, {1.0f, 0.0f}, false, .slope = elu_slope_f64};
const bbw_curve bbw_curve_hard_sigmoid = {hard_sigmoid_f64,
                                          bbw_hard_sigmoid_f32_simd128,
                                          {"alpha", "beta"},
                                          {0.2f, 0.5f},
                                          false,
                                          .slope = hard_sigmoid_slope_f64};
const bbw_curve bbw_curve_leaky_relu = {leaky_relu_f64, leaky_relu_f32, {"alpha", NULL},
                                        {0.01f, 0.0f},  false,          .slope = leaky_relu_slope_f64};
const bbw_curve bbw_curve_selu = {
    selu_f64, NULL, {"alpha", "gamma"}, {1.67326319f, 1.05070102f}, false, .slope = selu_slope_f64};
const bbw_curve bbw_curve_shrink = {
    shrink_f64, NULL, {"bias", "lambd"}, {0.0f, 0.5f}, .takes_integers = true, .slope = shrink_slope_f64};
const bbw_curve bbw_curve_thresholded_relu = {thresholded_relu_f64, NULL,  {"alpha", NULL},
                                              {1.0f, 0.0f},         false, .slope = thresholded_relu_slope_f64};
static const bbw_curve curve_gelu = {.f64 = gelu_f64, .f32 = gelu_f32, .slope = gelu_slope_f64},
                       curve_gelu_tanh = {.f64 = gelu_tanh_f64, .f32 = gelu_tanh_f32, .slope = gelu_tanh_slope_f64};

typedef struct curve_params {
  const bbw_curve *curve;
  double p[2];
} curve_params;

bbw_status bbw_curve_prepare(bbw_prep *prep) {
  const bbw_curve *curve = prep->op->ctx;
  curve_params *params = bbw_prep_params(prep, sizeof *params);
  if (params == NULL) { return BBW_E_NOMEM; }
  params->curve = curve;
  for (size_t i = 0; i < 2; i++) {
    float number = curve->otherwise[i];
    if (curve->names[i] != NULL) { BBW_TRY(bbw_prep_float(prep, curve->names[i], curve->otherwise[i], &number)); }
    params->p[i] = (double)number;
  }
  return BBW_OK;
}

bbw_status bbw_gelu_prepare(bbw_prep *prep) {
  static const char *const names[] = {"none", "tanh", NULL};
  uint32_t which;
  curve_params *params = bbw_prep_params(prep, sizeof *params);
  if (params == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_choice(prep, "approximate", names, 0, &which));
  params->curve = which == 0 ? &curve_gelu : &curve_gelu_tanh;
  return BBW_OK;
}

bbw_status bbw_curve_infer(bbw_call *call) {
  const curve_params *params = call->params;
  const bbw_array *x = call->inputs[0];
  bool is_computed = bbw_dtype_is_float(x->dtype) || (params->curve->takes_integers && bbw_dtype_is_integer(x->dtype));
  if (!is_computed) { return bbw_call_refuse_type(call, 0); }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_curve_run(bbw_call *call) {
  const curve_params *params = call->params;
  const bbw_curve *curve = params->curve;
  const bbw_array *x = call->inputs[0];
  if (x->dtype == BBW_DTYPE_F32 && curve->f32 != NULL) {
    curve->f32((float)params->p[0], (float)params->p[1], x->data, call->outputs[0]->data, x->count);
    return BBW_OK;
  }
  for (size_t at = 0; at < x->count; at += BBW_CONVERT_BLOCK) {
    size_t n = x->count - at < BBW_CONVERT_BLOCK ? x->count - at : BBW_CONVERT_BLOCK;
    double block[BBW_CONVERT_BLOCK];
    bbw_load_f64(x, at, n, block);
    curve->f64(block, block, n, params->p);
    bbw_store_f64(call->outputs[0], at, n, block);
  }
  return BBW_OK;
}

/* The gradient by the input, which is input 0; input 1 is that of the result. */
bbw_status bbw_curve_grad_infer(bbw_call *call) {
  if (call->inputs[0]->dtype != BBW_DTYPE_F32 || call->inputs[1]->dtype != BBW_DTYPE_F32) {
    return bbw_call_refuse_type(call, 0);
  }
  return bbw_call_output_like(call, 0, call->inputs[0]);
}

bbw_status bbw_curve_grad_run(bbw_call *call) {
  const curve_params *params = call->params;
  const float *x = call->inputs[0]->data, *g = call->inputs[1]->data;
  float *out = call->outputs[0]->data;
  for (size_t at = 0; at < call->outputs[0]->count; at += BBW_CONVERT_BLOCK) {
    size_t n = call->outputs[0]->count - at < BBW_CONVERT_BLOCK ? call->outputs[0]->count - at : BBW_CONVERT_BLOCK;
    double block[BBW_CONVERT_BLOCK];
    for (size_t i = 0; i < n; i++) { block[i] = (double)x[at + i]; }
    params->curve->slope(block, block, n, params->p);
    for (size_t i = 0; i < n; i++) { out[at + i] = (float)((double)g[at + i] * block[i]); }
  }
  return BBW_OK;
}

/* ---- Clip ---- */

bbw_status bbw_clip_prepare(bbw_prep *prep) {
  bbw_clip_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  *p = (bbw_clip_params){-INFINITY, INFINITY};
  if (prep->opset >= 11) { return BBW_OK; }
  if (prep->input_count > 1) { return bbw_prep_refuse(prep, NULL, "the limits are attributes before opset 11"); }
  BBW_TRY(bbw_prep_float(prep, "min", -FLT_MAX, &p->min));
  return bbw_prep_float(prep, "max", FLT_MAX, &p->max);
}

bbw_status bbw_clip_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  if (!bbw_dtype_is_float(x->dtype) && !bbw_dtype_is_integer(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  for (uint32_t i = 1; i <= 2; i++) {
    const bbw_array *limit = bbw_call_input(call, i);
    if (limit == NULL) { continue; }
    if (limit->dtype != x->dtype) { return bbw_call_refuse(call, (int32_t)i, "inputs have different element types"); }
    if (limit->count != 1) { return bbw_call_refuse(call, (int32_t)i, "a limit must be one number"); }
  }
  return bbw_call_output_like(call, 0, x);
}

/* The limits are read before anything is written: the result may lie over one of them. */
static void clip_integers(const bbw_array *x, const bbw_array *min, const bbw_array *max, bbw_array *out) {
  int64_t flip = x->dtype == BBW_DTYPE_U64 ? INT64_MIN : 0; /* makes unsigned order signed */
  int64_t low = INT64_MIN, high = INT64_MAX;
  if (min != NULL) { bbw_load_i64(min, 0, 1, &low), low ^= flip; }
  if (max != NULL) { bbw_load_i64(max, 0, 1, &high), high ^= flip; }
  for (size_t at = 0; at < x->count; at += BBW_CONVERT_BLOCK) {
    size_t n = x->count - at < BBW_CONVERT_BLOCK ? x->count - at : BBW_CONVERT_BLOCK;
    int64_t block[BBW_CONVERT_BLOCK];
    bbw_load_i64(x, at, n, block);
    for (size_t i = 0; i < n; i++) {
      int64_t number = block[i] ^ flip;
      number = number < low ? low : number;
      block[i] = (number > high ? high : number) ^ flip;
    }
    bbw_store_i64(out, at, n, block);
  }
}

bbw_status bbw_clip_run(bbw_call *call) {
  const bbw_clip_params *p = call->params;
  const bbw_array *x = call->inputs[0], *min = bbw_call_input(call, 1), *max = bbw_call_input(call, 2);
  bbw_array *out = call->outputs[0];
  if (bbw_dtype_is_integer(x->dtype)) {
    clip_integers(x, min, max, out);
    return BBW_OK;
  }
  double low = (double)p->min, high = (double)p->max;
  if (min != NULL) { bbw_load_f64(min, 0, 1, &low); }
  if (max != NULL) { bbw_load_f64(max, 0, 1, &high); }
  if (x->dtype == BBW_DTYPE_F32) {
    float from = (float)low, to = (float)high;
    bbw_clip_f32_simd128(from > to ? to : from, to, x->data, out->data, x->count); /* max wins over min */
    return BBW_OK;
  }
  for (size_t at = 0; at < x->count; at += BBW_CONVERT_BLOCK) {
    size_t n = x->count - at < BBW_CONVERT_BLOCK ? x->count - at : BBW_CONVERT_BLOCK;
    double block[BBW_CONVERT_BLOCK];
    bbw_load_f64(x, at, n, block);
    for (size_t i = 0; i < n; i++) {
      double number = block[i] < low ? low : block[i];
      block[i] = number > high ? high : number;
    }
    bbw_store_f64(out, at, n, block);
  }
  return BBW_OK;
}

/* ---- IsInf, IsNaN, Not ---- */

typedef struct test_params {
  bool positive, negative, nan;
} test_params;

bbw_status bbw_is_inf_prepare(bbw_prep *prep) {
  test_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_bool(prep, "detect_positive", true, &p->positive));
  return bbw_prep_bool(prep, "detect_negative", true, &p->negative);
}

bbw_status bbw_is_nan_prepare(bbw_prep *prep) {
  test_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  p->nan = true;
  return BBW_OK;
}

bbw_status bbw_float_test_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  if (!bbw_dtype_is_float(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  return bbw_call_output(call, 0, BBW_DTYPE_BOOL, x->rank, x->dims);
}

bbw_status bbw_float_test_run(bbw_call *call) {
  const test_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  uint8_t *out = call->outputs[0]->data;
  for (size_t at = 0; at < x->count; at += BBW_CONVERT_BLOCK) {
    size_t n = x->count - at < BBW_CONVERT_BLOCK ? x->count - at : BBW_CONVERT_BLOCK;
    double block[BBW_CONVERT_BLOCK];
    bbw_load_f64(x, at, n, block);
    for (size_t i = 0; i < n; i++) {
      double number = block[i];
      out[at + i] = (p->positive && number == INFINITY) || (p->negative && number == -INFINITY) ||
                    (p->nan && !(number == number));
    }
  }
  return BBW_OK;
}

bbw_status bbw_not_infer(bbw_call *call) {
  if (call->inputs[0]->dtype != BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 0); }
  return bbw_call_output_like(call, 0, call->inputs[0]);
}

bbw_status bbw_not_run(bbw_call *call) {
  const uint8_t *x = call->inputs[0]->data;
  uint8_t *out = call->outputs[0]->data;
  for (size_t i = 0; i < call->inputs[0]->count; i++) { out[i] = x[i] == 0; }
  return BBW_OK;
}
