/* One result per element of one input. */
#include <math.h>

#include "kernels/math_f64.h"
#include "onnx/convert.h"
#include "onnx/ops.h"

#define F32(name, expression)                                     \
  static void name##_f32(const float *in, float *out, size_t n) { \
    for (size_t i = 0; i < n; i++) {                              \
      float x = in[i];                                            \
      out[i] = (expression);                                      \
    }                                                             \
  }
#define F64(name, expression)                                       \
  static void name##_f64(const double *in, double *out, size_t n) { \
    for (size_t i = 0; i < n; i++) {                                \
      double x = in[i];                                             \
      out[i] = (expression);                                        \
    }                                                               \
  }
/* Whole numbers wrap, so they are computed as unsigned ones. */
#define I64(name, expression)                                                           \
  static void name##_i64(const int64_t *in, int64_t *out, size_t n, bool is_unsigned) { \
    (void)is_unsigned;                                                                  \
    for (size_t i = 0; i < n; i++) {                                                    \
      int64_t x = in[i];                                                                \
      out[i] = (int64_t)(expression);                                                   \
    }                                                                                   \
  }

/* To the nearest whole number, from the middle to the even one; keeps the sign of a zero. */
static double round_even(double x) {
  double size = fabs(x);
  if (!(size < 4503599627370496.0)) { return x; } /* 2^52: whole already */
  double whole = (size + 4503599627370496.0) - 4503599627370496.0;
  return x < 0.0 || signbit(x) ? -whole : whole;
}

/* log(1 + e^x) without overflow. */
static double softplus(double x) { return (x > 0.0 ? x : 0.0) + bbw_log1p_f64(bbw_exp_f64(-fabs(x))); }

F64(abs, fabs(x))
I64(abs, x < 0 && !is_unsigned ? 0u - (uint64_t)x : (uint64_t)x)
F64(neg, -x)
I64(neg, 0u - (uint64_t)x)
F64(sqrt, sqrt(x))
F64(reciprocal, 1.0 / x)
F64(exp, bbw_exp_f64(x))
F64(log, bbw_log_f64(x))
F64(relu, x < 0.0 ? 0.0 : x)
I64(relu, x < 0 && !is_unsigned ? 0 : x)
F64(sigmoid, 1.0 / (1.0 + bbw_exp_f64(-x)))
F64(tanh, bbw_tanh_f64(x))
F64(sin, bbw_sin_f64(x))
F64(cos, bbw_cos_f64(x))
F64(tan, bbw_tan_f64(x))
F64(asin, bbw_asin_f64(x))
F64(acos, bbw_acos_f64(x))
F64(atan, bbw_atan_f64(x))
F64(sinh, bbw_sinh_f64(x))
F64(cosh, bbw_cosh_f64(x))
F64(asinh, bbw_asinh_f64(x))
F64(acosh, bbw_acosh_f64(x))
F64(atanh, bbw_atanh_f64(x))
F64(erf, bbw_erf_f64(x))
F64(gelu_erf, 0.5 * x * (1.0 + bbw_erf_f64(x * 0.70710678118654752440)))
F32(ceil, ceilf(x))
F64(ceil, ceil(x))
F32(floor, floorf(x))
F64(floor, floor(x))
F64(round, round_even(x))
F64(sign, x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x)
I64(sign, x == 0 ? 0 : x < 0 && !is_unsigned ? -1 : 1)
F64(softplus, softplus(x))
F64(softsign, x / (1.0 + fabs(x)))
F64(hard_swish, x *(x <= -3.0 ? 0.0 : x >= 3.0 ? 1.0 : (x + 3.0) / 6.0))
F64(mish, x *bbw_tanh_f64(softplus(x)))
I64(bitwise_not, ~(uint64_t)x)

const bbw_unary bbw_unary_abs = {bbw_abs_f32_simd128, abs_f64, abs_i64};
const bbw_unary bbw_unary_neg = {bbw_neg_f32_simd128, neg_f64, neg_i64};
const bbw_unary bbw_unary_sqrt = {bbw_sqrt_f32_simd128, sqrt_f64, NULL};
const bbw_unary bbw_unary_reciprocal = {bbw_reciprocal_f32_simd128, reciprocal_f64, NULL};
const bbw_unary bbw_unary_exp = {bbw_exp_f32_simd128, exp_f64, NULL};
const bbw_unary bbw_unary_log = {bbw_log_f32_simd128, log_f64, NULL};
const bbw_unary bbw_unary_relu = {bbw_relu_f32_simd128, relu_f64, relu_i64};
const bbw_unary bbw_unary_sigmoid = {bbw_sigmoid_f32_simd128, sigmoid_f64, NULL};
const bbw_unary bbw_unary_tanh = {bbw_tanh_f32_simd128, tanh_f64, NULL};
const bbw_unary bbw_unary_sin = {NULL, sin_f64, NULL};
const bbw_unary bbw_unary_cos = {NULL, cos_f64, NULL};
const bbw_unary bbw_unary_tan = {NULL, tan_f64, NULL};
const bbw_unary bbw_unary_asin = {NULL, asin_f64, NULL};
const bbw_unary bbw_unary_acos = {NULL, acos_f64, NULL};
const bbw_unary bbw_unary_atan = {NULL, atan_f64, NULL};
const bbw_unary bbw_unary_sinh = {NULL, sinh_f64, NULL};
const bbw_unary bbw_unary_cosh = {NULL, cosh_f64, NULL};
const bbw_unary bbw_unary_asinh = {NULL, asinh_f64, NULL};
const bbw_unary bbw_unary_acosh = {NULL, acosh_f64, NULL};
const bbw_unary bbw_unary_atanh = {NULL, atanh_f64, NULL};
const bbw_unary bbw_unary_erf = {bbw_erf_f32_simd128, erf_f64, NULL};
const bbw_unary bbw_unary_gelu_erf = {bbw_gelu_erf_f32_simd128, gelu_erf_f64, NULL}; /* made by fuse.c */
const bbw_unary bbw_unary_ceil = {ceil_f32, ceil_f64, NULL};
const bbw_unary bbw_unary_floor = {floor_f32, floor_f64, NULL};
const bbw_unary bbw_unary_round = {NULL, round_f64, NULL};
const bbw_unary bbw_unary_sign = {NULL, sign_f64, sign_i64};
const bbw_unary bbw_unary_softplus = {bbw_softplus_f32_simd128, softplus_f64, NULL};
const bbw_unary bbw_unary_softsign = {bbw_softsign_f32_simd128, softsign_f64, NULL};
const bbw_unary bbw_unary_hard_swish = {bbw_hard_swish_f32_simd128, hard_swish_f64, NULL};
const bbw_unary bbw_unary_mish = {NULL, mish_f64, NULL};
const bbw_unary bbw_unary_bitwise_not = {NULL, NULL, bitwise_not_i64};

bbw_status bbw_unary_infer(bbw_call *call) {
  const bbw_unary *row = call->op->ctx;
  const bbw_array *x = call->inputs[0];
  bool is_computed = bbw_dtype_is_float(x->dtype)     ? row->f64 != NULL
                     : bbw_dtype_is_integer(x->dtype) ? row->i64 != NULL
                                                      : false;
  if (!is_computed) { return bbw_call_refuse_type(call, 0); }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_unary_run(bbw_call *call) {
  const bbw_unary *row = call->op->ctx;
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0];
  if (x->dtype == BBW_DTYPE_F32 && row->f32 != NULL) {
    row->f32(x->data, out->data, x->count);
    return BBW_OK;
  }
  if (x->dtype == BBW_DTYPE_F64) {
    row->f64(x->data, out->data, x->count);
    return BBW_OK;
  }
  for (size_t at = 0; at < x->count; at += BBW_CONVERT_BLOCK) {
    size_t n = x->count - at < BBW_CONVERT_BLOCK ? x->count - at : BBW_CONVERT_BLOCK;
    if (bbw_dtype_is_integer(x->dtype)) {
      int64_t block[BBW_CONVERT_BLOCK];
      bbw_load_i64(x, at, n, block);
      row->i64(block, block, n, bbw_dtype_is_unsigned(x->dtype));
      bbw_store_i64(out, at, n, block);
    } else if (row->f32 != NULL) {
      float block[BBW_CONVERT_BLOCK];
      bbw_load_f32(x, at, n, block);
      row->f32(block, block, n);
      bbw_store_f32(out, at, n, block);
    } else {
      double block[BBW_CONVERT_BLOCK];
      bbw_load_f64(x, at, n, block);
      row->f64(block, block, n);
      bbw_store_f64(out, at, n, block);
    }
  }
  return BBW_OK;
}
