/*
 * quantize: between f32 and bytes, over [outer, channels, inner] with a scale and a zero point per channel (channels = 1: one for all).
 *
 * Quantizing divides, rounds halves to even, adds the zero point and saturates to the type.  NaN becomes the zero point.  Dequantizing subtracts
 * the zero point and multiplies.  Equal bits in both versions.  Source: ONNX operators QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear.
 */
#ifndef BBW_KERNELS_QUANTIZE_H
#define BBW_KERNELS_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bbw_quantization {
  const float *scale;  /* one per channel */
  const uint8_t *zero; /* one per channel, in the type of the bytes, or NULL: zero */
  bool is_signed;      /* i8, else u8 */
  size_t outer, channels, inner;
} bbw_quantization;

/* out[i] = saturate(round(x[i] / scale) + zero) */
typedef void bbw_quantize_f32_fn(const bbw_quantization *q, const float *x, uint8_t *out);
bbw_quantize_f32_fn bbw_quantize_f32_scalar, bbw_quantize_f32_simd128;

/* out[i] = saturate(round((float)(x[i] + bias) * scale) + zero); bias has one number per channel or is NULL.  x + bias wraps. */
typedef void bbw_requantize_i32_fn(const bbw_quantization *q, const int32_t *x, const int32_t *bias, uint8_t *out);
bbw_requantize_i32_fn bbw_requantize_i32_scalar, bbw_requantize_i32_simd128;

/* out[i] = (float)(x[i] - zero) * scale */
typedef void bbw_dequantize_f32_fn(const bbw_quantization *q, const uint8_t *x, float *out);
bbw_dequantize_f32_fn bbw_dequantize_f32_scalar, bbw_dequantize_f32_simd128;

/* out[i] = (float)(x[i] - zero) * scale for sums of products; zero is i32, one per channel, or NULL.  x - zero wraps. */
void bbw_dequantize_i32(const bbw_quantization *q, const int32_t *x, const int32_t *zero, float *out);

/* Scale and u8 zero point for which the range of x, with 0 in it, is 0 to 255.  NaN is ignored; where all is 0 the scale is 1. */
void bbw_dynamic_range_f32(const float *x, size_t n, float *scale, uint8_t *zero);

#endif
