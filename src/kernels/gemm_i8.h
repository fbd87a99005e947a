/*
 * gemm_i8: products of bytes in whole numbers: c[i][j] = sum of (a[i][p] - a_zero[i]) * (b[p][j] - b_zero[j]), i32.
 *
 * a and b are u8 or i8, each with one zero point, or one per row of a and per column of b.  Operands are packed as 16-bit numbers with the zero
 * point taken off, so the product itself is the same for all types.  Sums are exact and wrap at 32 bits, which takes a k above 33,000.
 */
#ifndef BBW_KERNELS_GEMM_I8_H
#define BBW_KERNELS_GEMM_I8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Columns of a packed panel of b. */
#define BBW_GEMM_I8_PANEL 8u

/* One operand as the model holds it. */
typedef struct bbw_gemm_i8_operand {
  const uint8_t *x;    /* bytes; i8 in their two's complement */
  size_t stride;       /* distance of rows in memory */
  bool is_transposed;  /* a is stored [k,m], or b is stored [n,k] */
  bool is_signed;      /* i8, and so are the zero points */
  const uint8_t *zero; /* NULL: zero */
  bool has_zeros;      /* zero points per row of a or per column of b, else one */
} bbw_gemm_i8_operand;

/* Numbers of 16 bits that a packed operand takes; SIZE_MAX when that overflows. */
size_t bbw_gemm_i8_pack_a_size(size_t m, size_t k);
size_t bbw_gemm_i8_pack_b_size(size_t n, size_t k);
void bbw_gemm_i8_pack_a(int16_t *dst, const bbw_gemm_i8_operand *a, size_t m, size_t k);
void bbw_gemm_i8_pack_b(int16_t *dst, const bbw_gemm_i8_operand *b, size_t n, size_t k);

/* Writes the packed panel of columns j .. j+columns (at most BBW_GEMM_I8_PANEL) as bbw_gemm_i8_pack_b would; lanes past them hold anything. */
typedef void bbw_gemm_i8_panel_fn(const void *context, int16_t *dst, size_t j, size_t columns);

typedef struct bbw_gemm_i8 {
  size_t m, n, k;
  const int16_t *a_packed; /* or NULL: a is packed in pieces while it is used */
  const bbw_gemm_i8_operand *a;
  const int16_t *b_packed; /* or NULL: b_panel gives it; then a is packed */
  bbw_gemm_i8_panel_fn *b_panel;
  const void *b_context;
  int32_t *c;
  size_t ldc;
} bbw_gemm_i8;

/* Numbers of 16 bits of scratch; only sizes and forms are read.  SIZE_MAX when that overflows. */
size_t bbw_gemm_i8_scratch(const bbw_gemm_i8 *g);

/* scratch holds that many numbers. */
typedef void bbw_gemm_i8_fn(const bbw_gemm_i8 *g, int16_t *scratch);
bbw_gemm_i8_fn bbw_gemm_i8_scalar, bbw_gemm_i8_simd128;

#endif
