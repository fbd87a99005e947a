/*
 * conv_private: what the paths of conv.c share.
 */
#ifndef BBW_KERNELS_CONV_PRIVATE_H
#define BBW_KERNELS_CONV_PRIVATE_H

#include "kernels/conv.h"
#include "kernels/gemm.h"

/* Floats after a padded copy, so that a vector may be read at its last element; and after packed panels, so that one may be written there. */
#define BBW_CONV_SLACK 16u

static inline size_t bbw_conv_product(const size_t x[BBW_CONV_AXES]) { return x[0] * x[1] * x[2]; }

/* Copies `channels` channels of x to their places in dst, a padded copy whose other places (and the slack behind) are zeros already. */
void bbw_conv_pad(const bbw_conv_plan *plan, const float *x, size_t channels, float *dst);

/* A panel of patches, made from such a copy: the b of gemm.  Writes up to PANEL floats past its end. */
bbw_gemm_panel_fn bbw_conv_patch_panel;

/* One plane of output from one padded plane: out[height, width] of taps [kernel height, kernel width]. */
void bbw_conv_depthwise_plane(const bbw_conv_plan *plan, const float *plane, const float *taps, float *out);

#endif
