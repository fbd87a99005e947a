/*
 * norm: layer, instance, group and RMS normalization, scale and shift of channels, local response normalization; f32.
 *
 * Sums are added in the order of reduce.h for adjacent elements: mean = sum(x) / n, variance = sum((x - mean)^2) / n, inverse = 1 / sqrt(variance +
 * epsilon), then ((x - mean) * inverse) * gamma + beta, every step rounded.  Equal bits in both versions.  out may be x.
 * Source: ONNX operators LayerNormalization, InstanceNormalization, GroupNormalization, RMSNormalization, BatchNormalization, LRN.
 */
#ifndef BBW_KERNELS_NORM_H
#define BBW_KERNELS_NORM_H

#include <stddef.h>

/* Rows [rows, length]; gamma and beta have `length` numbers or are NULL; means and inverses receive one per row, or are NULL. */
typedef void bbw_layer_norm_f32_fn(const float *x, const float *gamma, const float *beta, float epsilon, float *out,
                                   float *means, float *inverses, size_t rows, size_t length);
bbw_layer_norm_f32_fn bbw_layer_norm_f32_scalar, bbw_layer_norm_f32_simd128;

/* [outer, channels, inner], a mean for every group of channels / groups neighbouring channels; gamma and beta have a number per channel, or
 * are NULL.  groups = channels is instance normalization. */
typedef void bbw_group_norm_f32_fn(const float *x, const float *gamma, const float *beta, float epsilon, float *out,
                                   size_t outer, size_t channels, size_t inner, size_t groups);
bbw_group_norm_f32_fn bbw_group_norm_f32_scalar, bbw_group_norm_f32_simd128;

/* Rows: x * (1 / sqrt(sum(x^2) / length + epsilon)) * gamma; gamma may be NULL. */
typedef void bbw_rms_norm_f32_fn(const float *x, const float *gamma, float epsilon, float *out, size_t rows,
                                 size_t length);
bbw_rms_norm_f32_fn bbw_rms_norm_f32_scalar, bbw_rms_norm_f32_simd128;

/* [outer, channels, inner]: x * scale[channel] + shift[channel].  Batch normalization with scale and shift computed before. */
typedef void bbw_scale_shift_f32_fn(const float *x, const float *scale, const float *shift, float *out, size_t outer,
                                    size_t channels, size_t inner);
bbw_scale_shift_f32_fn bbw_scale_shift_f32_scalar, bbw_scale_shift_f32_simd128;

/* [outer, channels, inner]: x / (bias + alpha / size * sum)^beta, where sum adds the squares of the channels from (size - 1) / 2 before to
 * size / 2 after, in order.  size is at least 1; out is not x. */
typedef void bbw_lrn_f32_fn(const float *x, float *out, size_t outer, size_t channels, size_t inner, size_t size,
                            float alpha, float beta, float bias);
bbw_lrn_f32_fn bbw_lrn_f32_scalar, bbw_lrn_f32_simd128;

#endif
