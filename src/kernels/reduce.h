/*
 * reduce: sums, means, extremes and positions along one axis.
 *
 * The array is seen as [outer, length, inner], dense; the result as [outer, inner].  Orders of additions (ops specification §6.6): where inner is
 * 1, eight partial sums over groups of eight, then 0 + (p0+p4) + (p1+p5) + (p2+p6) + (p3+p7), then the rest in order; else from 0, one row after the
 * other.  mean is the sum divided by the length.  max and min give NaN where any element is NaN.  length is at least 1 except for sum, where 0 gives
 * zeros.  The column sum, which is the gradient of a bias, is outer = 1.
 */
#ifndef BBW_KERNELS_REDUCE_H
#define BBW_KERNELS_REDUCE_H

#include <stddef.h>

typedef void bbw_reduce_f32_fn(const float *x, float *out, size_t outer, size_t length, size_t inner);
bbw_reduce_f32_fn bbw_reduce_sum_f32_scalar, bbw_reduce_sum_f32_simd128;
bbw_reduce_f32_fn bbw_reduce_mean_f32_scalar, bbw_reduce_mean_f32_simd128;
bbw_reduce_f32_fn bbw_reduce_max_f32_scalar, bbw_reduce_max_f32_simd128;
bbw_reduce_f32_fn bbw_reduce_min_f32_scalar, bbw_reduce_min_f32_simd128;

/* Position of the first largest element of each run, as f32 (exact below 2^24); an element that is NaN counts as largest. */
void bbw_argmax_f32(const float *x, float *out, size_t outer, size_t length, size_t inner);

/* The sum of n adjacent numbers, in the order above. */
float bbw_sum_f32_scalar(const float *x, size_t n);
float bbw_sum_f32_simd128(const float *x, size_t n);

#endif
