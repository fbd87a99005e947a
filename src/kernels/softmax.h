/*
 * softmax: probabilities along an axis, their logarithms, their gradients, and the cross entropy of rows.
 *
 * The array is seen as [outer, length, inner]; length is at least 1.  out may be x.  Per run: m = largest element (NaN ignored), e = exp(x - m),
 * s = sum of e in the order of reduce.h, then e / s, or (x - m) - log s.  Equal bits in both versions.  Source: ops specification §6.5.
 */
#ifndef BBW_KERNELS_SOFTMAX_H
#define BBW_KERNELS_SOFTMAX_H

#include <stdbool.h>
#include <stddef.h>

typedef void bbw_softmax_f32_fn(const float *x, float *out, size_t outer, size_t length, size_t inner);
bbw_softmax_f32_fn bbw_softmax_f32_scalar, bbw_softmax_f32_simd128;
bbw_softmax_f32_fn bbw_log_softmax_f32_scalar, bbw_log_softmax_f32_simd128;

/* Gradients of rows [rows, length]: y is the result of the forward kernel, g the gradient of y; out may be g.
 * softmax: y * (g - sum(g * y)); log_softmax: g - exp(y) * sum(g). */
typedef void bbw_softmax_gradient_f32_fn(const float *y, const float *g, float *out, size_t rows, size_t length);
bbw_softmax_gradient_f32_fn bbw_softmax_gradient_f32_scalar, bbw_softmax_gradient_f32_simd128;
bbw_softmax_gradient_f32_fn bbw_log_softmax_gradient_f32_scalar, bbw_log_softmax_gradient_f32_simd128;

/*
 * Cross entropy of softmax(logits) [rows, classes] and the labels; returns the sum of the rows' losses, added in f64 in order.
 *   labels    is_index: one whole number below `classes` per row; else a distribution [rows, classes]
 *   gradient  optional, [rows, classes]; receives (softmax * sum(labels of the row) - labels) * scale; may be logits
 * With scale = 1 / rows the gradient is that of the mean loss.
 */
typedef double bbw_cross_entropy_f32_fn(const float *logits, const float *labels, bool is_index, float *gradient,
                                        float scale, size_t rows, size_t classes);
bbw_cross_entropy_f32_fn bbw_cross_entropy_f32_scalar, bbw_cross_entropy_f32_simd128;

#endif
