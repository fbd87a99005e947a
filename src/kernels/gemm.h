/*
 * gemm: c = epilogue(alpha * op(a) . op(b)), f32.
 *
 * op(a) is m by k, op(b) is k by n, c is m by n.  Each is stored row by row with a leading dimension (the distance of rows in floats); a
 * transposed operand is stored as [k,m] or [n,k].  Either may be packed once and used often, and b may be made piece by piece while it is used
 * (convolution).  c overlaps neither input.
 *
 * Order of additions, the same in both versions, for every m and n and every form of the operands, so that a row of the result does not depend on
 * which rows are computed with it: k is cut into blocks of BBW_GEMM_KC; inside a block the sum starts at +0 and the products are added in order
 * of k, each product and each sum rounded (one rounding for both in the relaxed build); the block's sum is multiplied by alpha and rounded; block
 * sums are added in order, to c where is_accumulating, else to the first one.  Then the epilogue (epilogue.h).  k = 0 counts as one block
 * with the sum +0.  Source: ops specification §6.5 (Gemm), §6.6.
 */
#ifndef BBW_KERNELS_GEMM_H
#define BBW_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/epilogue.h"

/* Products between two roundings into c.  Part of the definition of the result. */
#define BBW_GEMM_KC 256u

/* Columns of a packed panel of b. */
#define BBW_GEMM_PANEL 8u

/*
 * Writes columns j .. j+columns of op(b), rows p .. p+depth, as dst[depth][BBW_GEMM_PANEL]; columns is 1 to BBW_GEMM_PANEL, and the lanes
 * past it are written too, with anything.  j and p are multiples of BBW_GEMM_PANEL and BBW_GEMM_KC.
 */
typedef void bbw_gemm_panel_fn(const void *context, float *dst, size_t j, size_t columns, size_t p, size_t depth);

typedef struct bbw_gemm {
  size_t m, n, k;       /* may be 0 */
  const float *a;       /* [m,k], [k,m], or what bbw_gemm_f32_pack_a wrote */
  size_t lda;           /* at least k, or m when transposed; not used when packed */
  bool is_a_transposed; /* a is stored [k,m] */
  bool is_a_packed;
  const float *b; /* [k,n], [n,k], or what bbw_gemm_f32_pack_b wrote */
  size_t ldb;
  bool is_b_transposed; /* b is stored [n,k] */
  bool is_b_packed;
  bbw_gemm_panel_fn *b_panel; /* not NULL: b is not read, this gives it */
  const void *b_context;
  float *c; /* [m,n] */
  size_t ldc;
  bool is_accumulating; /* c is an input as well: sums are added to it */
  float alpha;          /* 1 for a plain product */
  bbw_epilogue epilogue;
} bbw_gemm;

/* Floats of scratch memory that a run with these operands needs (at most about 160,000); only m, n, k and the forms of a and b are read.
 * A packed operand does not always need less: it may take another path. */
size_t bbw_gemm_f32_run_scratch(const bbw_gemm *g);

/* scratch holds that many floats; 16-byte alignment helps, none is needed.  The scalar version uses BBW_GEMM_PANEL * BBW_GEMM_KC, and only with b_panel. */
typedef void bbw_gemm_f32_run_fn(const bbw_gemm *g, float *scratch);
bbw_gemm_f32_run_fn bbw_gemm_f32_run_scalar, bbw_gemm_f32_run_simd128;

/* Floats of a packed operand; SIZE_MAX when that overflows.  The layout belongs to this build: it is made where it is used and never stored. */
size_t bbw_gemm_f32_pack_a_size(size_t m, size_t k);
size_t bbw_gemm_f32_pack_b_size(size_t n, size_t k);
/* Packs op(a) or op(b); dst holds bbw_gemm_f32_pack_x_size floats. */
void bbw_gemm_f32_pack_a(float *dst, const float *a, size_t lda, bool is_transposed, size_t m, size_t k);
void bbw_gemm_f32_pack_b(float *dst, const float *b, size_t ldb, bool is_transposed, size_t n, size_t k);

/* ---- dense operands: the short form ---- */

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

/* Floats of scratch memory for these sizes and any options of the short form. */
size_t bbw_gemm_f32_scratch(size_t m, size_t n, size_t k);

/* scratch holds bbw_gemm_f32_scratch(m, n, k) floats; the scalar version does not use it.  m, n and k may be 0. */
typedef void bbw_gemm_f32_fn(const float *a, const float *b, float *c, size_t m, size_t n, size_t k,
                             const bbw_gemm_options *options, float *scratch);
bbw_gemm_f32_fn bbw_gemm_f32_scalar, bbw_gemm_f32_simd128;

#endif
