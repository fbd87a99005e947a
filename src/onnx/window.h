/*
 * window: the attributes that convolution and pooling share, and the sizes that follow from them.
 *
 * Axes behind batch and channels, at most three; fewer are put behind leading axes of size 1, so a kernel always sees depth, height and width.
 */
#ifndef BBW_ONNX_WINDOW_H
#define BBW_ONNX_WINDOW_H

#include "kernels/conv.h"
#include "kernels/pool.h"
#include "onnx/fused.h"

#define BBW_WINDOW_AXES 3u

typedef enum bbw_auto_pad { BBW_PAD_NOTSET, BBW_PAD_SAME_UPPER, BBW_PAD_SAME_LOWER, BBW_PAD_VALID } bbw_auto_pad;

/* As the node says it; counts are -1 where an attribute is absent. */
typedef struct bbw_window_params {
  int64_t kernel[BBW_WINDOW_AXES], stride[BBW_WINDOW_AXES], dilation[BBW_WINDOW_AXES], pads[2 * BBW_WINDOW_AXES];
  int32_t kernel_count, stride_count, dilation_count, pad_count;
  uint32_t auto_pad;
  bool is_ceil; /* ceil_mode: sizes are rounded up */
} bbw_window_params;

/* Of Conv and ConvTranspose. */
typedef struct bbw_conv_params {
  bbw_fused fused; /* first: what the optimizer adds */
  bbw_window_params window;
  int64_t groups;
  int64_t out_pad[BBW_WINDOW_AXES], out_shape[BBW_WINDOW_AXES]; /* of the transpose */
  int32_t out_pad_count, out_shape_count;
} bbw_conv_params;

/* Of MaxPool, AveragePool and MaxUnpool. */
typedef struct bbw_pool_params {
  bbw_window_params window;
  int64_t storage_order;
  bool counts_pads;
} bbw_pool_params;

typedef struct bbw_window {
  uint32_t axes; /* that the input has behind batch and channels */
  size_t size[BBW_WINDOW_AXES], kernel[BBW_WINDOW_AXES], stride[BBW_WINDOW_AXES], dilation[BBW_WINDOW_AXES];
  size_t pad_begin[BBW_WINDOW_AXES], pad_end[BBW_WINDOW_AXES];
  size_t out_size[BBW_WINDOW_AXES];
} bbw_window;

bbw_status bbw_window_prepare(bbw_prep *prep, bbw_window_params *params);
/* The sizes for an input [batch, channels, ...] and the kernel (axes numbers; NULL: kernel_shape of the node). */
bbw_status bbw_window_make(bbw_call *call, const bbw_window_params *params, const bbw_array *x, const size_t *kernel,
                           bbw_window *out);
/* The same without sizes of the output: strides, dilations, pads as given (auto_pad is left to the caller). */
bbw_status bbw_window_base(bbw_call *call, const bbw_window_params *params, const bbw_array *x, const size_t *kernel,
                           bbw_window *out);
/* [batch, channels, out sizes], as many axes as the input has. */
bbw_status bbw_window_output(bbw_call *call, uint32_t i, bbw_dtype dtype, size_t batch, size_t channels,
                             const bbw_window *window);

/* Sizes of pooling over x, and its plan: [batch, channels, ...] as planes. */
bbw_status bbw_pool_window(bbw_call *call, const bbw_pool_params *params, const bbw_array *x, bbw_window *window,
                           bbw_pool_plan *plan);

/* The sizes as those of a convolution; its channels and groups stay. */
void bbw_window_shape(const bbw_window *window, bbw_conv_shape *shape);
/* The same for ConvTranspose, with pads and output padding from whatever the node gives of them. */
bbw_status bbw_conv_transpose_pads(bbw_call *call, const bbw_conv_params *params, bbw_window *window,
                                   bbw_conv_shape *shape);
/* A plan with the form of packed weights of rank 3 to 5, for any input; false when they fit none. */
bool bbw_conv_form(bbw_conv_plan *form, const bbw_array *w, size_t groups, bool is_transposed);

#endif
