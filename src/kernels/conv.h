/*
 * conv: convolution and its transpose over [batch, channels, depth, height, width], f32, with groups, strides, pads and dilations.
 *
 * Lower ranks have leading sizes of 1: an image has depth 1, a series depth and height 1.  Shapes become a plan once, which chooses the way of
 * computing; weights are packed once, for every size of input (see is_volume); a run needs scratch memory and nothing else.
 *
 * Order of additions, the same in both versions and on every path: for each output the products are added in order of (input channel of the group,
 * kernel depth, height, width), in blocks of BBW_GEMM_KC as gemm.h says; then the epilogue, whose rows are output channels and whose columns are
 * places.  For the transpose the kernel is walked backwards, so the order is that of the input.  A place outside of the input counts as zero;
 * whether its product is added is not defined, which shows only where a weight is infinite or NaN.
 *
 * Paths: POINTWISE is a plain product with the weights on the left; DEPTHWISE (one input channel for each output channel, depth 1) goes
 * over rows; PANELS is the general one: gemm with b made from a padded copy of the input while it is used, so no matrix of patches exists.
 * The transpose runs as a convolution of the input with zeros between its elements.
 */
#ifndef BBW_KERNELS_CONV_H
#define BBW_KERNELS_CONV_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/epilogue.h"

#define BBW_CONV_AXES 3u

typedef struct bbw_conv_shape {
  size_t batch;
  size_t channels;     /* of the input, a multiple of groups */
  size_t out_channels; /* a multiple of groups */
  size_t groups;
  bool
      is_volume; /* three axes.  Set where the depth is not that of an image; the form of packed weights depends on it, and not on other sizes of the input */
  /* Per axis: depth, height, width. */
  size_t size[BBW_CONV_AXES];   /* of the input */
  size_t kernel[BBW_CONV_AXES]; /* this and the next two are at least 1 */
  size_t stride[BBW_CONV_AXES];
  size_t dilation[BBW_CONV_AXES];
  size_t pad_begin[BBW_CONV_AXES];
  size_t pad_end[BBW_CONV_AXES];
  size_t out_pad[BBW_CONV_AXES]; /* transpose only: ONNX output_padding, below the stride or the dilation */
} bbw_conv_shape;

typedef enum bbw_conv_path { BBW_CONV_POINTWISE, BBW_CONV_DEPTHWISE, BBW_CONV_PANELS } bbw_conv_path;

typedef struct bbw_conv_plan {
  bbw_conv_shape shape;
  bbw_conv_path path;
  bool is_transposed;
  size_t out_size[BBW_CONV_AXES];
  size_t places;        /* product of out_size */
  size_t packed_count;  /* floats that the packed weights take */
  size_t scratch_count; /* floats that a run needs */
  /* The convolution that is run: for the transpose not the one that was asked for. */
  size_t insert[BBW_CONV_AXES];  /* distance of input elements in the padded copy: 1, or the stride of the transpose */
  size_t step[BBW_CONV_AXES];    /* stride over the padded copy */
  ptrdiff_t lead[BBW_CONV_AXES]; /* zeros before the input in the padded copy; negative: elements left out */
  size_t padded_size[BBW_CONV_AXES]; /* of the padded copy */
} bbw_conv_plan;

/*
 * Makes a plan; pure, no allocation.  batch, channels and sizes of the input may be 0, then so is the output.
 * False, with *plan as it was: a size does not fit its neighbours, the output would have a negative size, or a product overflows.
 */
bool bbw_conv_plan_make(bbw_conv_plan *plan, const bbw_conv_shape *shape);
/* The same for the transpose, whose weights are [channels, out_channels / groups, kernel]. */
bool bbw_conv_transpose_plan_make(bbw_conv_plan *plan, const bbw_conv_shape *shape);

/* Writes plan->packed_count floats from weights [out_channels, channels / groups, kernel], or those of the transpose. */
void bbw_conv_f32_pack(const bbw_conv_plan *plan, const float *weights, float *packed);

/*
 * out[batch, out_channels, out_size] from x[batch, channels, size].
 *   packed    what bbw_conv_f32_pack wrote for this plan
 *   epilogue  row_bias has a number per output channel, column_bias is NULL, residual is laid out like out (its stride is not read)
 *   scratch   plan->scratch_count floats; the scalar version uses none
 */
typedef void bbw_conv_f32_fn(const bbw_conv_plan *plan, const float *x, const float *packed,
                             const bbw_epilogue *epilogue, float *out, float *scratch);
bbw_conv_f32_fn bbw_conv_f32_scalar, bbw_conv_f32_simd128;

/*
 * The gradient of the weights of a convolution: out[out_channels, channels / groups, kernel] from x[batch, channels, size] and g, the gradient of the
 * result, [batch, out_channels, out_size].  For each image the products are added in order of the places, as gemm.h says, and images in order.
 *   plan     of bbw_conv_plan_make
 *   scratch  bbw_conv_gradient_scratch(plan) floats; SIZE_MAX: too many
 */
void bbw_conv_weights_gradient_f32(const bbw_conv_plan *plan, const float *x, const float *g, float *out,
                                   float *scratch);
size_t bbw_conv_gradient_scratch(const bbw_conv_plan *plan);

#endif
