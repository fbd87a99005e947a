/*
 * pool: the largest element, or the mean, of windows over [planes, depth, height, width], f32.
 *
 * planes is batch times channels; lower ranks have leading sizes of 1.  Order of additions of the mean: from +0 in order of depth, height, width
 * of the window, only elements inside of the input, then divided by the count as f32.  Equal bits in both versions.  Global pooling is
 * bbw_reduce_mean_f32 and bbw_reduce_max_f32 over a plane.  Source: ONNX operators MaxPool and AveragePool.
 */
#ifndef BBW_KERNELS_POOL_H
#define BBW_KERNELS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BBW_POOL_AXES 3u

typedef struct bbw_pool_shape {
  size_t planes;
  /* Per axis: depth, height, width. */
  size_t size[BBW_POOL_AXES];
  size_t kernel[BBW_POOL_AXES]; /* this and the next two are at least 1 */
  size_t stride[BBW_POOL_AXES];
  size_t dilation[BBW_POOL_AXES];
  size_t pad_begin[BBW_POOL_AXES];
  size_t pad_end[BBW_POOL_AXES];
  bool is_ceil;               /* ceil_mode; a window that would begin past the input and its first pads is left out */
  bool is_counting_pads;      /* count_include_pad: the mean divides by the window's elements inside of the pads too */
  bool is_index_column_major; /* storage_order 1, for the indices */
} bbw_pool_shape;

typedef struct bbw_pool_plan {
  bbw_pool_shape shape;
  size_t out_size[BBW_POOL_AXES];
  size_t places; /* product of out_size */
} bbw_pool_plan;

/* Makes a plan; pure.  False, with *plan as it was, when the output would have a negative size or a product overflows. */
bool bbw_pool_plan_make(bbw_pool_plan *plan, const bbw_pool_shape *shape);

/*
 * out[planes, out_size] from x[planes, size].  The largest of a window: NaN where any is, -infinity where there is none.
 *   indices  optional, [planes, out_size]: place of the first such element in x, counted over all of x (with is_index_column_major, places in
 *            a plane count depth fastest); -1 where there is none
 */
typedef void bbw_max_pool_f32_fn(const bbw_pool_plan *plan, const float *x, float *out, int64_t *indices);
bbw_max_pool_f32_fn bbw_max_pool_f32_scalar, bbw_max_pool_f32_simd128;

/* The gradient of the largest: each element of g, [planes, out_size], to the place in x that the indices above name; out, [planes, size], is written as a whole. */
void bbw_max_pool_gradient_f32(const bbw_pool_plan *plan, const float *x, const float *g, float *out);
/* The gradient of the mean: each element of g, [planes, out_size], in equal parts to its window's elements; out, [planes, size], is written as a whole. */
void bbw_average_pool_gradient_f32(const bbw_pool_plan *plan, const float *g, float *out);

/* The mean of a window; NaN where it has no elements. */
typedef void bbw_average_pool_f32_fn(const bbw_pool_plan *plan, const float *x, float *out);
bbw_average_pool_f32_fn bbw_average_pool_f32_scalar, bbw_average_pool_f32_simd128;

#endif
