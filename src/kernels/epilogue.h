/*
 * epilogue: what happens to a block of results before it leaves the cache: bias, residual, activation.
 *
 * Order for every element, each step rounded: + row_bias[i], + column_bias[j], + residual[i][j], activation.  Equal bits in both versions.
 * A zeroed struct does nothing.  Used by gemm (rows and columns of c) and conv (rows are channels, columns are places).
 */
#ifndef BBW_KERNELS_EPILOGUE_H
#define BBW_KERNELS_EPILOGUE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/elementwise.h"

typedef enum bbw_activation {
  BBW_ACTIVATION_NONE,
  BBW_ACTIVATION_RELU, /* x < 0 ? 0 : x, so NaN and -0 stay */
  BBW_ACTIVATION_CLIP, /* low and high; NaN stays; low wins where low > high */
  BBW_ACTIVATION_MAP,  /* map, one of the unary kernels of elementwise.def, in place */
} bbw_activation;

typedef struct bbw_epilogue {
  const float *row_bias;    /* one number per row, or NULL */
  const float *column_bias; /* one number per column, or NULL */
  const float *residual;    /* laid out like c with its own stride, overlapping nothing that is written, or NULL */
  size_t residual_stride;
  bbw_activation activation;
  float low, high;       /* for CLIP */
  bbw_unary_f32_fn *map; /* for MAP */
} bbw_epilogue;

/* Whether there is anything to do. */
static inline bool bbw_epilogue_is_empty(const bbw_epilogue *e) {
  return e->row_bias == NULL && e->column_bias == NULL && e->residual == NULL && e->activation == BBW_ACTIVATION_NONE;
}

/* Finishes the block c[rows, columns], rows `stride` apart, whose first element is element (row, column) of the whole result. */
typedef void bbw_epilogue_fn(const bbw_epilogue *e, float *c, size_t stride, size_t row, size_t rows, size_t column,
                             size_t columns);
bbw_epilogue_fn bbw_epilogue_scalar, bbw_epilogue_simd128;

#endif
