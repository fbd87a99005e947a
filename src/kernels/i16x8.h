/*
 * i16x8: eight 16-bit lanes, as far as the products of bytes need them.  Integer arithmetic is exact, so every version gives the same.
 */
#ifndef BBW_KERNELS_I16X8_H
#define BBW_KERNELS_I16X8_H

#include "kernels/f32x4.h"

typedef int16_t bbw_i16x8 __attribute__((vector_size(16)));

static inline bbw_i16x8 bbw_i16x8_load(const int16_t *p) {
  bbw_i16x8 v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline void bbw_i16x8_store(int16_t *p, bbw_i16x8 v) { memcpy(p, &v, sizeof v); }

/* Two neighbours, four times. */
static inline bbw_i16x8 bbw_i16x8_load_pair(const int16_t *p) {
#ifdef __wasm_simd128__
  return (bbw_i16x8)wasm_v128_load32_splat(p);
#else
  return (bbw_i16x8){p[0], p[1], p[0], p[1], p[0], p[1], p[0], p[1]};
#endif
}

/* sum + products of neighbours, two by two; wraps. */
static inline bbw_u32x4 bbw_i16x8_dot(bbw_u32x4 sum, bbw_i16x8 x, bbw_i16x8 y) {
#ifdef __wasm_simd128__
  return sum + (bbw_u32x4)wasm_i32x4_dot_i16x8((v128_t)x, (v128_t)y);
#else
  for (int i = 0; i < 4; i++) {
    sum[i] += (uint32_t)((int32_t)x[2 * i] * y[2 * i]) + (uint32_t)((int32_t)x[2 * i + 1] * y[2 * i + 1]);
  }
  return sum;
#endif
}

/* x0 y0 x1 y1 ... of the first four lanes, and of the last four. */
static inline void bbw_i16x8_interleave(bbw_i16x8 x, bbw_i16x8 y, bbw_i16x8 *low, bbw_i16x8 *high) {
#ifdef __wasm_simd128__
  *low = (bbw_i16x8)wasm_i16x8_shuffle((v128_t)x, (v128_t)y, 0, 8, 1, 9, 2, 10, 3, 11);
  *high = (bbw_i16x8)wasm_i16x8_shuffle((v128_t)x, (v128_t)y, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  *low = (bbw_i16x8){x[0], y[0], x[1], y[1], x[2], y[2], x[3], y[3]};
  *high = (bbw_i16x8){x[4], y[4], x[5], y[5], x[6], y[6], x[7], y[7]};
#endif
}

#endif
