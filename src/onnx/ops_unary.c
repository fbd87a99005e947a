/* One result per element of one input. */
#include <math.h>

#include "onnx/convert.h"
#include "onnx/ops.h"

#define F64(name, expression)                                       \
  static void name##_f64(const double *in, double *out, size_t n) { \
    for (size_t i = 0; i < n; i++) {                                \
      double x = in[i];                                             \
      out[i] = (expression);                                        \
    }                                                               \
  }
/* Whole numbers wrap, so they are computed as unsigned ones. */
#define I64(name, expression)                                         \
  static void name##_i64(const int64_t *in, int64_t *out, size_t n) { \
    for (size_t i = 0; i < n; i++) {                                  \
      int64_t x = in[i];                                              \
      out[i] = (int64_t)(expression);                                 \
    }                                                                 \
  }

F64(abs, fabs(x))
I64(abs, x < 0 ? 0u - (uint64_t)x : (uint64_t)x)
F64(neg, -x)
I64(neg, 0u - (uint64_t)x)
F64(sqrt, sqrt(x))
F64(reciprocal, 1.0 / x)
F64(relu, x < 0.0 ? 0.0 : x)
I64(relu, x < 0 ? 0 : x)

const bbw_unary bbw_unary_abs = {bbw_abs_f32_simd128, abs_f64, abs_i64};
const bbw_unary bbw_unary_neg = {bbw_neg_f32_simd128, neg_f64, neg_i64};
const bbw_unary bbw_unary_sqrt = {bbw_sqrt_f32_simd128, sqrt_f64, NULL};
const bbw_unary bbw_unary_reciprocal = {bbw_reciprocal_f32_simd128, reciprocal_f64, NULL};
const bbw_unary bbw_unary_exp = {bbw_exp_f32_simd128, NULL, NULL};
const bbw_unary bbw_unary_log = {bbw_log_f32_simd128, NULL, NULL};
const bbw_unary bbw_unary_relu = {bbw_relu_f32_simd128, relu_f64, relu_i64};
const bbw_unary bbw_unary_sigmoid = {bbw_sigmoid_f32_simd128, NULL, NULL};
const bbw_unary bbw_unary_tanh = {bbw_tanh_f32_simd128, NULL, NULL};

bbw_status bbw_unary_infer(bbw_call *call) {
  const bbw_unary *row = call->op->ctx;
  const bbw_array *x = call->inputs[0];
  bool is_computed = x->dtype == BBW_DTYPE_F64        ? row->f64 != NULL
                     : bbw_dtype_is_float(x->dtype)   ? row->f32 != NULL
                     : bbw_dtype_is_integer(x->dtype) ? row->i64 != NULL
                                                      : false;
  if (!is_computed) { return bbw_call_refuse_type(call, 0); }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_unary_run(bbw_call *call) {
  const bbw_unary *row = call->op->ctx;
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0];
  if (x->dtype == BBW_DTYPE_F32) {
    row->f32(x->data, out->data, x->count);
    return BBW_OK;
  }
  if (x->dtype == BBW_DTYPE_F64) {
    row->f64(x->data, out->data, x->count);
    return BBW_OK;
  }
  for (size_t at = 0; at < x->count; at += BBW_CONVERT_BLOCK) {
    size_t n = x->count - at < BBW_CONVERT_BLOCK ? x->count - at : BBW_CONVERT_BLOCK;
    if (bbw_dtype_is_float(x->dtype)) {
      float block[BBW_CONVERT_BLOCK];
      bbw_load_f32(x, at, n, block);
      row->f32(block, block, n);
      bbw_store_f32(out, at, n, block);
    } else {
      int64_t block[BBW_CONVERT_BLOCK];
      bbw_load_i64(x, at, n, block);
      row->i64(block, block, n);
      bbw_store_i64(out, at, n, block);
    }
  }
  return BBW_OK;
}
