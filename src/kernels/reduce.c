#include "kernels/reduce.h"

#include "kernels/f32x4.h"

float bbw_sum_f32_scalar(const float *x, size_t n) {
  float p[8] = {0.0f};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t lane = 0; lane < 8; lane++) { p[lane] = p[lane] + x[i + lane]; }
  }
  float sum = 0.0f;
  for (size_t lane = 0; lane < 4; lane++) { sum = sum + (p[lane] + p[lane + 4]); }
  for (; i < n; i++) { sum = sum + x[i]; }
  return sum;
}

float bbw_sum_f32_simd128(const float *x, size_t n) {
  bbw_f32x4 low = bbw_f32x4_splat(0.0f), high = low;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    low = low + bbw_f32x4_load(x + i);
    high = high + bbw_f32x4_load(x + i + 4);
  }
  bbw_f32x4 pairs = low + high;
  float sum = 0.0f;
  for (int lane = 0; lane < 4; lane++) { sum = sum + pairs[lane]; }
  for (; i < n; i++) { sum = sum + x[i]; }
  return sum;
}

/* The larger and the smaller of two, NaN if either is. */
static float max_one(float a, float b) { return a != a || a > b ? a : b; }
static float min_one(float a, float b) { return a != a || a < b ? a : b; }
static bbw_f32x4 max_four(bbw_f32x4 a, bbw_f32x4 b) {
  return bbw_f32x4_select(a != a, a, bbw_f32x4_select(a > b, a, b));
}
static bbw_f32x4 min_four(bbw_f32x4 a, bbw_f32x4 b) {
  return bbw_f32x4_select(a != a, a, bbw_f32x4_select(a < b, a, b));
}

/* Sums of rows: out[j] = 0 + x[0][j] + x[1][j] + ... */
static void sum_rows_scalar(const float *x, float *out, size_t rows, size_t columns) {
  for (size_t j = 0; j < columns; j++) {
    float sum = 0.0f;
    for (size_t i = 0; i < rows; i++) { sum = sum + x[i * columns + j]; }
    out[j] = sum;
  }
}

static void sum_rows_simd128(const float *x, float *out, size_t rows, size_t columns) {
  size_t j = 0;
  for (; j + 8 <= columns; j += 8) {
    bbw_f32x4 s0 = bbw_f32x4_splat(0.0f), s1 = s0;
    for (size_t i = 0; i < rows; i++) {
      s0 = s0 + bbw_f32x4_load(x + i * columns + j);
      s1 = s1 + bbw_f32x4_load(x + i * columns + j + 4);
    }
    bbw_f32x4_store(out + j, s0);
    bbw_f32x4_store(out + j + 4, s1);
  }
  for (; j < columns; j++) {
    float sum = 0.0f;
    for (size_t i = 0; i < rows; i++) { sum = sum + x[i * columns + j]; }
    out[j] = sum;
  }
}

void bbw_reduce_sum_f32_scalar(const float *x, float *out, size_t outer, size_t length, size_t inner) {
  for (size_t i = 0; i < outer; i++) {
    if (inner == 1) {
      out[i] = bbw_sum_f32_scalar(x + i * length, length);
    } else {
      sum_rows_scalar(x + i * length * inner, out + i * inner, length, inner);
    }
  }
}

void bbw_reduce_sum_f32_simd128(const float *x, float *out, size_t outer, size_t length, size_t inner) {
  for (size_t i = 0; i < outer; i++) {
    if (inner == 1) {
      out[i] = bbw_sum_f32_simd128(x + i * length, length);
    } else {
      sum_rows_simd128(x + i * length * inner, out + i * inner, length, inner);
    }
  }
}

/* From sums to means: the same division in both versions. */
static void divide(float *out, size_t count, size_t length) {
  for (size_t i = 0; i < count; i++) { out[i] = out[i] / (float)length; }
}

void bbw_reduce_mean_f32_scalar(const float *x, float *out, size_t outer, size_t length, size_t inner) {
  bbw_reduce_sum_f32_scalar(x, out, outer, length, inner);
  divide(out, outer * inner, length);
}

void bbw_reduce_mean_f32_simd128(const float *x, float *out, size_t outer, size_t length, size_t inner) {
  bbw_reduce_sum_f32_simd128(x, out, outer, length, inner);
  divide(out, outer * inner, length);
}

/*
 * The order of comparisons cannot be seen in the result, except for the sign of a zero: the first largest (or smallest) element
 * stays, along the axis in both versions.
 */
#define EXTREME(name, one, four)                                                                                \
  void bbw_reduce_##name##_f32_scalar(const float *x, float *out, size_t outer, size_t length, size_t inner) {  \
    for (size_t i = 0; i < outer; i++) {                                                                        \
      for (size_t j = 0; j < inner; j++) {                                                                      \
        const float *at = x + i * length * inner + j;                                                           \
        float best = at[0];                                                                                     \
        for (size_t p = 1; p < length; p++) { best = one(at[p * inner], best); }                                \
        out[i * inner + j] = best;                                                                              \
      }                                                                                                         \
    }                                                                                                           \
  }                                                                                                             \
  void bbw_reduce_##name##_f32_simd128(const float *x, float *out, size_t outer, size_t length, size_t inner) { \
    for (size_t i = 0; i < outer; i++) {                                                                        \
      const float *block = x + i * length * inner;                                                              \
      size_t j = 0;                                                                                             \
      for (; j + 4 <= inner; j += 4) {                                                                          \
        bbw_f32x4 best = bbw_f32x4_load(block + j);                                                             \
        for (size_t p = 1; p < length; p++) { best = four(bbw_f32x4_load(block + p * inner + j), best); }       \
        bbw_f32x4_store(out + i * inner + j, best);                                                             \
      }                                                                                                         \
      for (; j < inner; j++) {                                                                                  \
        float best = block[j];                                                                                  \
        for (size_t p = 1; p < length; p++) { best = one(block[p * inner + j], best); }                         \
        out[i * inner + j] = best;                                                                              \
      }                                                                                                         \
    }                                                                                                           \
  }
EXTREME(max, max_one, max_four)
EXTREME(min, min_one, min_four)

void bbw_argmax_f32(const float *x, float *out, size_t outer, size_t length, size_t inner) {
  for (size_t i = 0; i < outer; i++) {
    for (size_t j = 0; j < inner; j++) {
      const float *at = x + i * length * inner + j;
      size_t best = 0;
      for (size_t p = 1; p < length; p++) {
        if (at[best * inner] != at[best * inner]) { break; }
        if (at[p * inner] > at[best * inner] || at[p * inner] != at[p * inner]) { best = p; }
      }
      out[i * inner + j] = (float)best;
    }
  }
}
