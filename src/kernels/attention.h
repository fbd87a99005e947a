/*
 * attention: softmax(q . k^T * scale + mask) . v of one head, f32, in blocks of queries.
 *
 * The scores of a block of queries exist, those of all never do: scratch grows with n, not with m * n.  Every step has the order of additions of the
 * kernel that it stands for, so the result has the bits of gemm, bbw_scale, bbw_add, bbw_softmax and gemm one after the other.
 */
#ifndef BBW_KERNELS_ATTENTION_H
#define BBW_KERNELS_ATTENTION_H

#include <stddef.h>

typedef struct bbw_attention {
  size_t m, n;  /* queries; keys and values.  n is at least 1 */
  size_t d, dv; /* length of a query and a key; of a value and a result */
  const float *q, *k, *v;
  size_t ldq, ldk, ldv; /* distances of rows in floats */
  float scale;
  const float *mask;  /* added to the scores, or NULL */
  size_t mask_stride; /* distance of its rows; 0: one row for all queries */
  float *out;         /* [m, dv], overlaps nothing */
  size_t ldo;
} bbw_attention;

/* Floats of scratch for these sizes; SIZE_MAX when that overflows.  About n * (d + dv + 48) + 40,000. */
size_t bbw_attention_f32_scratch(size_t m, size_t n, size_t d, size_t dv);

/* scratch holds that many floats in both versions. */
typedef void bbw_attention_f32_fn(const bbw_attention *a, float *scratch);
bbw_attention_f32_fn bbw_attention_f32_scalar, bbw_attention_f32_simd128;

#endif
