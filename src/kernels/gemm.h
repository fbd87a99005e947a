/*
 * gemm: c = epilogue(alpha * op(a) . op(b)), f32, dense, row-major.
 *
 * op(a) is m by k, op(b) is k by n, c is m by n.  A transposed operand is stored as [k,m] or [n,k].  c overlaps neither input.
 *
 * Order of additions, the same in both versions and for every m and n, so that a row of the result does not depend on
 * which rows are computed with it: k is cut into blocks of BBW_GEMM_KC; inside a block the sum starts at +0 and the products are added in order
 * of k, each product and each sum rounded; the block's sum is multiplied by alpha and rounded; block sums are added in order, to c where
 * is_accumulating, else to the first one.  Then bias[j] is added, then relu is applied.  k = 0 counts as one block with the sum +0.
 * Source: ops specification §6.5 (Gemm), §6.6.
 */
#ifndef BBW_KERNELS_GEMM_H
#define BBW_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/* Products between two roundings into c.  Part of the definition of the result. */
#define BBW_GEMM_KC 256u

typedef struct bbw_gemm_options {
  bool is_a_transposed; /* a is stored [k,m] */
  bool is_b_transposed; /* b is stored [n,k] */
  bool is_accumulating; /* c is an input as well: sums are added to it */
  bool has_relu;        /* results below zero become zero; NaN stays */
  float alpha;          /* 1 for a plain product */
  const float *bias;    /* n numbers added to every row, or NULL */
} bbw_gemm_options;

/* A plain product. */
#define BBW_GEMM_PLAIN ((bbw_gemm_options){.alpha = 1.0f})

/* Floats of scratch memory for these sizes (at most about 160,000); 16-byte alignment helps, none is needed. */
size_t bbw_gemm_f32_scratch(size_t m, size_t n, size_t k);

/* scratch holds bbw_gemm_f32_scratch(m, n, k) floats; the scalar version does not use it.  m, n and k may be 0. */
typedef void bbw_gemm_f32_fn(const float *a, const float *b, float *c, size_t m, size_t n, size_t k,
                             const bbw_gemm_options *options, float *scratch);
bbw_gemm_f32_fn bbw_gemm_f32_scalar, bbw_gemm_f32_simd128;

#endif
