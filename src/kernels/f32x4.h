/*
 * f32x4: four f32 lanes, the same operations in WebAssembly SIMD128 and natively.
 *
 * Every lane operation is one correctly rounded IEEE-754 operation, so a kernel written with these gives equal bits on
 * both sides (except for the payload of a NaN, which hardware chooses).  Lanes are added, multiplied and compared with
 * the operators of C: the type is a compiler vector.  In WebAssembly the few operations that have no operator are the
 * intrinsics of <wasm_simd128.h>; natively they are the plain C of one lane, four times.
 */
#ifndef BBW_KERNELS_F32X4_H
#define BBW_KERNELS_F32X4_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#endif

typedef float bbw_f32x4 __attribute__((vector_size(16)));
typedef int32_t bbw_i32x4 __attribute__((vector_size(16)));  /* what comparisons give: all ones or zero per lane */
typedef uint32_t bbw_u32x4 __attribute__((vector_size(16))); /* bits; arithmetic wraps */

/* Loads and stores need no alignment. */
static inline bbw_f32x4 bbw_f32x4_load(const float *p) {
  bbw_f32x4 v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline void bbw_f32x4_store(float *p, bbw_f32x4 v) { memcpy(p, &v, sizeof v); }

static inline bbw_f32x4 bbw_f32x4_splat(float x) { return (bbw_f32x4){x, x, x, x}; }
static inline bbw_f32x4 bbw_f32x4_load_splat(const float *p) {
#ifdef __wasm_simd128__
  return (bbw_f32x4)wasm_v128_load32_splat(p);
#else
  return bbw_f32x4_splat(*p);
#endif
}
/*
 * A table of constants for bbw_f32x4_load_splat.  V8 makes a constant vector from three instructions wherever one stands in a loop; from memory it is one or
 * two.  The compiler is not told that these are constants, or it would put them there again.
 */
static inline const float *bbw_f32_table(const float *numbers) {
#ifdef __wasm_simd128__
  __asm__("" : "+r"(numbers));
#endif
  return numbers;
}
static inline bbw_u32x4 bbw_u32x4_splat(uint32_t x) { return (bbw_u32x4){x, x, x, x}; }

/* The same bits, read as the other type. */
static inline bbw_u32x4 bbw_f32x4_bits(bbw_f32x4 v) {
  bbw_u32x4 r;
  memcpy(&r, &v, sizeof r);
  return r;
}
static inline bbw_f32x4 bbw_u32x4_floats(bbw_u32x4 v) {
  bbw_f32x4 r;
  memcpy(&r, &v, sizeof r);
  return r;
}

/* Lanes of a where the mask is all ones, of b where it is zero. */
static inline bbw_f32x4 bbw_f32x4_select(bbw_i32x4 mask, bbw_f32x4 a, bbw_f32x4 b) {
#ifdef __wasm_simd128__
  return (bbw_f32x4)wasm_v128_bitselect((v128_t)a, (v128_t)b, (v128_t)mask);
#else
  bbw_u32x4 bits;
  memcpy(&bits, &mask, sizeof bits);
  return bbw_u32x4_floats((bbw_f32x4_bits(a) & bits) | (bbw_f32x4_bits(b) & ~bits));
#endif
}

/* v < low ? low : v, and v > high ? high : v: NaN stays, and so does -0 beside +0.  One instruction where select takes several. */
static inline bbw_f32x4 bbw_f32x4_at_least(bbw_f32x4 v, bbw_f32x4 low) {
#ifdef __wasm_simd128__
  return (bbw_f32x4)wasm_f32x4_pmax((v128_t)v, (v128_t)low);
#else
  return bbw_f32x4_select(v < low, low, v);
#endif
}
static inline bbw_f32x4 bbw_f32x4_at_most(bbw_f32x4 v, bbw_f32x4 high) {
#ifdef __wasm_simd128__
  return (bbw_f32x4)wasm_f32x4_pmin((v128_t)v, (v128_t)high);
#else
  return bbw_f32x4_select(v > high, high, v);
#endif
}

static inline bbw_f32x4 bbw_f32x4_abs(bbw_f32x4 v) {
  return bbw_u32x4_floats(bbw_f32x4_bits(v) & bbw_u32x4_splat(0x7fffffffu));
}

static inline bbw_f32x4 bbw_f32x4_sqrt(bbw_f32x4 v) {
#ifdef __wasm_simd128__
  return (bbw_f32x4)wasm_f32x4_sqrt((v128_t)v);
#else
  return (bbw_f32x4){sqrtf(v[0]), sqrtf(v[1]), sqrtf(v[2]), sqrtf(v[3])};
#endif
}

/* Elements 0, 2, 4 and 6 of eight. */
static inline bbw_f32x4 bbw_f32x4_load_even(const float *p) {
#ifdef __wasm_simd128__
  return (bbw_f32x4)wasm_i32x4_shuffle(wasm_v128_load(p), wasm_v128_load(p + 4), 0, 2, 4, 6);
#else
  return (bbw_f32x4){p[0], p[2], p[4], p[6]};
#endif
}

/*
 * sum + x * y.  Two roundings; in the relaxed build (-DBBW_RELAXED) one, where the machine has a fused form.  Sums of products that may use
 * it go through here and nothing else does, so the relaxed build differs in exactly these.
 */
static inline bbw_f32x4 bbw_f32x4_madd(bbw_f32x4 sum, bbw_f32x4 x, bbw_f32x4 y) {
#if defined(__wasm_simd128__) && defined(BBW_RELAXED)
  return (bbw_f32x4)wasm_f32x4_relaxed_madd((v128_t)x, (v128_t)y, (v128_t)sum);
#else
  return sum + x * y;
#endif
}

/* The first `count` (0 to 4) of four lanes; the others are zero, or stay as they are in memory. */
static inline bbw_f32x4 bbw_f32x4_load_part(const float *p, size_t count) {
  float lanes[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  for (size_t i = 0; i < count; i++) { lanes[i] = p[i]; }
  return bbw_f32x4_load(lanes);
}
static inline void bbw_f32x4_store_part(float *p, bbw_f32x4 v, size_t count) {
  float lanes[4];
  bbw_f32x4_store(lanes, v);
  for (size_t i = 0; i < count; i++) { p[i] = lanes[i]; }
}

/* Rows r0..r3 of a 4x4 block become its columns. */
static inline void bbw_f32x4_transpose(bbw_f32x4 *r0, bbw_f32x4 *r1, bbw_f32x4 *r2, bbw_f32x4 *r3) {
  bbw_f32x4 a = *r0;
  bbw_f32x4 b = *r1;
  bbw_f32x4 c = *r2;
  bbw_f32x4 d = *r3;
#ifdef __wasm_simd128__
  v128_t ab_low = wasm_i32x4_shuffle((v128_t)a, (v128_t)b, 0, 4, 1, 5);
  v128_t ab_high = wasm_i32x4_shuffle((v128_t)a, (v128_t)b, 2, 6, 3, 7);
  v128_t cd_low = wasm_i32x4_shuffle((v128_t)c, (v128_t)d, 0, 4, 1, 5);
  v128_t cd_high = wasm_i32x4_shuffle((v128_t)c, (v128_t)d, 2, 6, 3, 7);
  *r0 = (bbw_f32x4)wasm_i64x2_shuffle(ab_low, cd_low, 0, 2);
  *r1 = (bbw_f32x4)wasm_i64x2_shuffle(ab_low, cd_low, 1, 3);
  *r2 = (bbw_f32x4)wasm_i64x2_shuffle(ab_high, cd_high, 0, 2);
  *r3 = (bbw_f32x4)wasm_i64x2_shuffle(ab_high, cd_high, 1, 3);
#else
  *r0 = (bbw_f32x4){a[0], b[0], c[0], d[0]};
  *r1 = (bbw_f32x4){a[1], b[1], c[1], d[1]};
  *r2 = (bbw_f32x4){a[2], b[2], c[2], d[2]};
  *r3 = (bbw_f32x4){a[3], b[3], c[3], d[3]};
#endif
}

#endif
