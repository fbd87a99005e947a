#include "kernels/gemm_private.h"

/* One statement per row of the tile: arrays of vectors would end in memory on older engines. */
#define FOR_ROWS(X) X(0) X(1) X(2) X(3)

/* One step of k. */
#define STEP_ROW(i)                               \
  bbw_f32x4 a##i = bbw_f32x4_load_splat(a + (i)); \
  low##i = bbw_f32x4_madd(low##i, a##i, b0);      \
  high##i = bbw_f32x4_madd(high##i, a##i, b1);
#define STEP()                            \
  {                                       \
    bbw_f32x4 b0 = bbw_f32x4_load(b);     \
    bbw_f32x4 b1 = bbw_f32x4_load(b + 4); \
    FOR_ROWS(STEP_ROW)                    \
    a += TILE_M;                          \
    b += b_step;                          \
  }

/*
 * Four steps per turn of the loop: older engines spend five instructions on a turn beside the 22 of a step.  The end is asked for after each step, which leaves
 * the arithmetic of a step where it stands: in one block they would load for all four first, and run out of registers.
 *
 * Not inlined: the sums have to keep their registers.  gemm.c calls it from two places, since the wasm optimizer inlines what has one caller,
 * whatever the attribute says.
 */
__attribute__((noinline)) void bbw_gemm_tile(const float *a, const float *b, size_t b_step, size_t depth, float *c,
                                             size_t stride, bool is_adding) {
  bbw_f32x4 zero = bbw_f32x4_splat(0.0f);
#define ROW(i) bbw_f32x4 low##i = zero, high##i = zero;
  FOR_ROWS(ROW)
#undef ROW
  const float *end = a + depth * TILE_M;
  while (a != end) {
    STEP();
    if (a == end) { break; }
    STEP();
    if (a == end) { break; }
    STEP();
    if (a == end) { break; }
    STEP();
  }
  if (is_adding) {
#define ROW(i)                                             \
  bbw_f32x4_store(c, bbw_f32x4_load(c) + low##i);          \
  bbw_f32x4_store(c + 4, bbw_f32x4_load(c + 4) + high##i); \
  c += stride;
    FOR_ROWS(ROW)
#undef ROW
  } else {
#define ROW(i)                     \
  bbw_f32x4_store(c, low##i);      \
  bbw_f32x4_store(c + 4, high##i); \
  c += stride;
    FOR_ROWS(ROW)
#undef ROW
  }
}

/* Six sums, not eight: an engine that moves the loads of a step together then has a register for each, and six cover the latency of an addition. */
__attribute__((noinline)) void bbw_gemm_row_24(const float *a, size_t a_step, const float *b, size_t apart,
                                               size_t b_step, size_t depth, float *out) {
  bbw_f32x4 s0 = bbw_f32x4_splat(0.0f), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0;
  const float *b1 = b + apart, *b2 = b1 + apart;
  for (const float *end = b + depth * b_step; b != end; b += b_step) {
    bbw_f32x4 x = bbw_f32x4_load_splat(a);
    s0 = bbw_f32x4_madd(s0, x, bbw_f32x4_load(b));
    s1 = bbw_f32x4_madd(s1, x, bbw_f32x4_load(b + 4));
    s2 = bbw_f32x4_madd(s2, x, bbw_f32x4_load(b1));
    s3 = bbw_f32x4_madd(s3, x, bbw_f32x4_load(b1 + 4));
    s4 = bbw_f32x4_madd(s4, x, bbw_f32x4_load(b2));
    s5 = bbw_f32x4_madd(s5, x, bbw_f32x4_load(b2 + 4));
    a += a_step;
    b1 += b_step;
    b2 += b_step;
  }
  bbw_f32x4_store(out, s0);
  bbw_f32x4_store(out + 4, s1);
  bbw_f32x4_store(out + 8, s2);
  bbw_f32x4_store(out + 12, s3);
  bbw_f32x4_store(out + 16, s4);
  bbw_f32x4_store(out + 20, s5);
}

__attribute__((noinline)) void bbw_gemm_row_8(const float *a, size_t a_step, const float *b, size_t b_step,
                                              size_t depth, float *out) {
  bbw_f32x4 s0 = bbw_f32x4_splat(0.0f), s1 = s0;
  for (const float *end = b + depth * b_step; b != end; b += b_step) {
    bbw_f32x4 x = bbw_f32x4_load_splat(a);
    s0 = bbw_f32x4_madd(s0, x, bbw_f32x4_load(b));
    s1 = bbw_f32x4_madd(s1, x, bbw_f32x4_load(b + 4));
    a += a_step;
  }
  bbw_f32x4_store(out, s0);
  bbw_f32x4_store(out + 4, s1);
}

__attribute__((noinline)) void bbw_gemm_rows_2x16(const float *a0, const float *a1, size_t a_step, const float *b,
                                                  size_t apart, size_t b_step, size_t depth, float *out) {
  bbw_f32x4 s0 = bbw_f32x4_splat(0.0f), s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
  const float *b1 = b + apart;
  for (const float *end = b + depth * b_step; b != end; b += b_step) {
    bbw_f32x4 x = bbw_f32x4_load_splat(a0), y = bbw_f32x4_load_splat(a1);
    bbw_f32x4 c0 = bbw_f32x4_load(b);
    s0 = bbw_f32x4_madd(s0, x, c0);
    t0 = bbw_f32x4_madd(t0, y, c0);
    bbw_f32x4 c1 = bbw_f32x4_load(b + 4);
    s1 = bbw_f32x4_madd(s1, x, c1);
    t1 = bbw_f32x4_madd(t1, y, c1);
    bbw_f32x4 c2 = bbw_f32x4_load(b1);
    s2 = bbw_f32x4_madd(s2, x, c2);
    t2 = bbw_f32x4_madd(t2, y, c2);
    bbw_f32x4 c3 = bbw_f32x4_load(b1 + 4);
    s3 = bbw_f32x4_madd(s3, x, c3);
    t3 = bbw_f32x4_madd(t3, y, c3);
    a0 += a_step;
    a1 += a_step;
    b1 += b_step;
  }
  bbw_f32x4_store(out, s0);
  bbw_f32x4_store(out + 4, s1);
  bbw_f32x4_store(out + 8, s2);
  bbw_f32x4_store(out + 12, s3);
  bbw_f32x4_store(out + 16, t0);
  bbw_f32x4_store(out + 20, t1);
  bbw_f32x4_store(out + 24, t2);
  bbw_f32x4_store(out + 28, t3);
}

/* Four steps of k of four columns are turned in registers, so that every lane adds in order of k. */
void bbw_gemm_row_dots_8(const float *a, size_t a_step, const float *const columns[8], size_t depth, float *out) {
  bbw_f32x4 s0 = bbw_f32x4_splat(0.0f), s1 = s0;
  size_t p = 0;
  for (; p + 4 <= depth; p += 4, a += 4 * a_step) {
    bbw_f32x4 a0 = bbw_f32x4_load_splat(a), a1 = bbw_f32x4_load_splat(a + a_step);
    bbw_f32x4 a2 = bbw_f32x4_load_splat(a + 2 * a_step), a3 = bbw_f32x4_load_splat(a + 3 * a_step);
    bbw_f32x4 r0 = bbw_f32x4_load(columns[0] + p), r1 = bbw_f32x4_load(columns[1] + p);
    bbw_f32x4 r2 = bbw_f32x4_load(columns[2] + p), r3 = bbw_f32x4_load(columns[3] + p);
    bbw_f32x4_transpose(&r0, &r1, &r2, &r3);
    s0 = bbw_f32x4_madd(s0, a0, r0);
    s0 = bbw_f32x4_madd(s0, a1, r1);
    s0 = bbw_f32x4_madd(s0, a2, r2);
    s0 = bbw_f32x4_madd(s0, a3, r3);
    r0 = bbw_f32x4_load(columns[4] + p), r1 = bbw_f32x4_load(columns[5] + p);
    r2 = bbw_f32x4_load(columns[6] + p), r3 = bbw_f32x4_load(columns[7] + p);
    bbw_f32x4_transpose(&r0, &r1, &r2, &r3);
    s1 = bbw_f32x4_madd(s1, a0, r0);
    s1 = bbw_f32x4_madd(s1, a1, r1);
    s1 = bbw_f32x4_madd(s1, a2, r2);
    s1 = bbw_f32x4_madd(s1, a3, r3);
  }
  for (; p < depth; p++, a += a_step) {
    bbw_f32x4 x = bbw_f32x4_load_splat(a);
    s0 = bbw_f32x4_madd(s0, x, (bbw_f32x4){columns[0][p], columns[1][p], columns[2][p], columns[3][p]});
    s1 = bbw_f32x4_madd(s1, x, (bbw_f32x4){columns[4][p], columns[5][p], columns[6][p], columns[7][p]});
  }
  bbw_f32x4_store(out, s0);
  bbw_f32x4_store(out + 4, s1);
}

void bbw_gemm_row_stream(const float *a, size_t a_step, const float *b, size_t b_step, size_t depth, float *sums,
                         size_t count) {
  for (size_t j = 0; j < count; j++) { sums[j] = 0.0f; }
  size_t p = 0;
  for (; p + 4 <= depth; p += 4, a += 4 * a_step, b += 4 * b_step) {
    bbw_f32x4 a0 = bbw_f32x4_load_splat(a), a1 = bbw_f32x4_load_splat(a + a_step);
    bbw_f32x4 a2 = bbw_f32x4_load_splat(a + 2 * a_step), a3 = bbw_f32x4_load_splat(a + 3 * a_step);
    const float *b0 = b, *b1 = b + b_step, *b2 = b1 + b_step, *b3 = b2 + b_step;
    size_t j = 0;
    for (; j + 4 <= count; j += 4) {
      bbw_f32x4 sum = bbw_f32x4_load(sums + j);
      sum = bbw_f32x4_madd(sum, a0, bbw_f32x4_load(b0 + j));
      sum = bbw_f32x4_madd(sum, a1, bbw_f32x4_load(b1 + j));
      sum = bbw_f32x4_madd(sum, a2, bbw_f32x4_load(b2 + j));
      sum = bbw_f32x4_madd(sum, a3, bbw_f32x4_load(b3 + j));
      bbw_f32x4_store(sums + j, sum);
    }
    if (j < count) {
      bbw_f32x4 sum = bbw_f32x4_load_part(sums + j, count - j);
      sum = bbw_f32x4_madd(sum, a0, bbw_f32x4_load_part(b0 + j, count - j));
      sum = bbw_f32x4_madd(sum, a1, bbw_f32x4_load_part(b1 + j, count - j));
      sum = bbw_f32x4_madd(sum, a2, bbw_f32x4_load_part(b2 + j, count - j));
      sum = bbw_f32x4_madd(sum, a3, bbw_f32x4_load_part(b3 + j, count - j));
      bbw_f32x4_store_part(sums + j, sum, count - j);
    }
  }
  for (; p < depth; p++, a += a_step, b += b_step) {
    bbw_f32x4 x = bbw_f32x4_load_splat(a);
    for (size_t j = 0; j < count; j += 4) {
      size_t lanes = bbw_min_size(count - j, 4);
      bbw_f32x4 sum = bbw_f32x4_madd(bbw_f32x4_load_part(sums + j, lanes), x, bbw_f32x4_load_part(b + j, lanes));
      bbw_f32x4_store_part(sums + j, sum, lanes);
    }
  }
}
