/*
 * elementwise: one output element from the input elements of the same place.
 *
 * For each row of elementwise.def there are bbw_NAME_f32_scalar and bbw_NAME_f32_simd128, with equal bits.  The output may be
 * one of the inputs; otherwise they do not overlap.  n may be 0; no alignment is needed.
 */
#ifndef BBW_KERNELS_ELEMENTWISE_H
#define BBW_KERNELS_ELEMENTWISE_H

#include <stdbool.h>
#include <stddef.h>

typedef void bbw_unary_f32_fn(const float *x, float *out, size_t n);
typedef void bbw_binary_f32_fn(const float *x, const float *y, float *out, size_t n);

#define UNARY(name, one, four)  bbw_unary_f32_fn bbw_##name##_f32_scalar, bbw_##name##_f32_simd128;
#define BINARY(name, one, four) bbw_binary_f32_fn bbw_##name##_f32_scalar, bbw_##name##_f32_simd128;
#include "kernels/elementwise.def"
#undef UNARY
#undef BINARY

/* With one number beside the array. */
typedef void bbw_scaled_f32_fn(float alpha, const float *x, float *out, size_t n);
/* out = alpha * x */
bbw_scaled_f32_fn bbw_scale_f32_scalar, bbw_scale_f32_simd128;
/* out = x >= 0 ? x : alpha * x; NaN stays NaN */
bbw_scaled_f32_fn bbw_leaky_relu_f32_scalar, bbw_leaky_relu_f32_simd128;

/* With two numbers beside the array. */
typedef void bbw_scaled2_f32_fn(float alpha, float beta, const float *x, float *out, size_t n);
/* out = max(0, min(1, alpha * x + beta)), product and sum rounded; NaN stays NaN */
bbw_scaled2_f32_fn bbw_hard_sigmoid_f32_scalar, bbw_hard_sigmoid_f32_simd128;
/* out = min(max(x, alpha), beta): Clip; NaN stays NaN, and alpha wins where it is above beta */
bbw_scaled2_f32_fn bbw_clip_f32_scalar, bbw_clip_f32_simd128;

typedef void bbw_scaled_pair_f32_fn(float alpha, const float *x, const float *y, float *out, size_t n);
/* out = y + alpha * x, product and sum rounded: FedAvg's weighted sum, and SGD's step with alpha = -rate */
bbw_scaled_pair_f32_fn bbw_axpy_f32_scalar, bbw_axpy_f32_simd128;
/* out = x >= 0 ? y : alpha * y, where x is the input of the forward kernel and y the gradient of its result */
bbw_scaled_pair_f32_fn bbw_leaky_relu_gradient_f32_scalar, bbw_leaky_relu_gradient_f32_simd128;

/* Whether none of the n numbers is infinite or NaN. */
bool bbw_is_finite_f32(const float *x, size_t n);

#endif
