/*
 * conv_i8: convolution of bytes in whole numbers, for ConvInteger and QLinearConv.
 *
 * The plan is that of conv.h (its counts of floats are not used here); out[batch, out_channels, places] is i32, the exact sum of (x - x_zero) *
 * (w - w_zero), where places outside of the input count as x_zero.  Sums wrap at 32 bits.  One way of computing for every shape: products of
 * packed weights with patches that are made while they are used, from a padded 16-bit copy of the input; and rows for depthwise shapes.
 */
#ifndef BBW_KERNELS_CONV_I8_H
#define BBW_KERNELS_CONV_I8_H

#include <stdint.h>

#include "kernels/conv.h"

typedef struct bbw_conv_i8_weights {
  const uint8_t *x;    /* [out_channels, channels / groups, kernel] */
  bool is_signed;      /* i8, else u8 */
  const uint8_t *zero; /* NULL: zero */
  bool has_zeros;      /* one per output channel, else one */
} bbw_conv_i8_weights;

/* Numbers of 16 bits that packed weights and scratch take; SIZE_MAX when that overflows.  Not for plans of a transpose. */
size_t bbw_conv_i8_pack_size(const bbw_conv_plan *plan);
size_t bbw_conv_i8_scratch(const bbw_conv_plan *plan);

void bbw_conv_i8_pack(const bbw_conv_plan *plan, const bbw_conv_i8_weights *weights, int16_t *packed);

/* zero is the zero point of x, in its type. */
typedef void bbw_conv_i8_fn(const bbw_conv_plan *plan, const uint8_t *x, bool is_signed, uint8_t zero,
                            const int16_t *packed, int32_t *out, int16_t *scratch);
bbw_conv_i8_fn bbw_conv_i8_scalar, bbw_conv_i8_simd128;

#endif
