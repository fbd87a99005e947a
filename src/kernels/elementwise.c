#include "kernels/elementwise.h"

#include "kernels/math_f32.h"

#define ZERO           bbw_f32x4_splat(0.0f)
#define ONE            bbw_f32x4_splat(1.0f)
#define IF(mask, a, b) bbw_f32x4_select(mask, a, b)
#define POW(v, w)      pow_lanes(v, w)

static bbw_f32x4 pow_lanes(bbw_f32x4 v, bbw_f32x4 w) {
  return (bbw_f32x4){bbw_pow_f32(v[0], w[0]), bbw_pow_f32(v[1], w[1]), bbw_pow_f32(v[2], w[2]),
                     bbw_pow_f32(v[3], w[3])};
}

#define UNARY(name, one, four)                                           \
  void bbw_##name##_f32_scalar(const float *in, float *out, size_t n) {  \
    for (size_t i = 0; i < n; i++) {                                     \
      float x = in[i];                                                   \
      out[i] = one;                                                      \
    }                                                                    \
  }                                                                      \
  void bbw_##name##_f32_simd128(const float *in, float *out, size_t n) { \
    size_t i = 0;                                                        \
    for (; i + 4 <= n; i += 4) {                                         \
      bbw_f32x4 v = bbw_f32x4_load(in + i);                              \
      bbw_f32x4_store(out + i, four);                                    \
    }                                                                    \
    for (; i < n; i++) {                                                 \
      float x = in[i];                                                   \
      out[i] = one;                                                      \
    }                                                                    \
  }
#define BINARY(name, one, four)                                                                \
  void bbw_##name##_f32_scalar(const float *left, const float *right, float *out, size_t n) {  \
    for (size_t i = 0; i < n; i++) {                                                           \
      float x = left[i];                                                                       \
      float y = right[i];                                                                      \
      out[i] = one;                                                                            \
    }                                                                                          \
  }                                                                                            \
  void bbw_##name##_f32_simd128(const float *left, const float *right, float *out, size_t n) { \
    size_t i = 0;                                                                              \
    for (; i + 4 <= n; i += 4) {                                                               \
      bbw_f32x4 v = bbw_f32x4_load(left + i);                                                  \
      bbw_f32x4 w = bbw_f32x4_load(right + i);                                                 \
      bbw_f32x4_store(out + i, four);                                                          \
    }                                                                                          \
    for (; i < n; i++) {                                                                       \
      float x = left[i];                                                                       \
      float y = right[i];                                                                      \
      out[i] = one;                                                                            \
    }                                                                                          \
  }
#include "kernels/elementwise.def"

void bbw_scale_f32_scalar(float alpha, const float *x, float *out, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = alpha * x[i]; }
}

void bbw_scale_f32_simd128(float alpha, const float *x, float *out, size_t n) {
  if (n == 0) { return; } /* no offset may be added to a NULL */
  size_t i = 0;
  for (; i + 4 <= n; i += 4) { bbw_f32x4_store(out + i, bbw_f32x4_splat(alpha) * bbw_f32x4_load(x + i)); }
  bbw_scale_f32_scalar(alpha, x + i, out + i, n - i);
}

void bbw_leaky_relu_f32_scalar(float alpha, const float *x, float *out, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = x[i] >= 0.0f ? x[i] : alpha * x[i]; }
}

void bbw_leaky_relu_f32_simd128(float alpha, const float *x, float *out, size_t n) {
  if (n == 0) { return; } /* no offset may be added to a NULL */
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    bbw_f32x4 v = bbw_f32x4_load(x + i);
    bbw_f32x4_store(out + i, IF(v >= ZERO, v, bbw_f32x4_splat(alpha) * v));
  }
  bbw_leaky_relu_f32_scalar(alpha, x + i, out + i, n - i);
}

static float clip_one(float x, float low, float high) {
  x = x > high ? high : x;
  return x < low ? low : x;
}
static bbw_f32x4 clip_four(bbw_f32x4 v, float low, float high) {
  return bbw_f32x4_at_least(bbw_f32x4_at_most(v, bbw_f32x4_splat(high)), bbw_f32x4_splat(low));
}

void bbw_hard_sigmoid_f32_scalar(float alpha, float beta, const float *x, float *out, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = clip_one(alpha * x[i] + beta, 0.0f, 1.0f); }
}

void bbw_hard_sigmoid_f32_simd128(float alpha, float beta, const float *x, float *out, size_t n) {
  if (n == 0) { return; } /* no offset may be added to a NULL */
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    bbw_f32x4 v = bbw_f32x4_splat(alpha) * bbw_f32x4_load(x + i) + bbw_f32x4_splat(beta);
    bbw_f32x4_store(out + i, clip_four(v, 0.0f, 1.0f));
  }
  bbw_hard_sigmoid_f32_scalar(alpha, beta, x + i, out + i, n - i);
}

void bbw_clip_f32_scalar(float alpha, float beta, const float *x, float *out, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = clip_one(x[i], alpha, beta); }
}

void bbw_clip_f32_simd128(float alpha, float beta, const float *x, float *out, size_t n) {
  if (n == 0) { return; } /* no offset may be added to a NULL */
  size_t i = 0;
  for (; i + 4 <= n; i += 4) { bbw_f32x4_store(out + i, clip_four(bbw_f32x4_load(x + i), alpha, beta)); }
  bbw_clip_f32_scalar(alpha, beta, x + i, out + i, n - i);
}

void bbw_axpy_f32_scalar(float alpha, const float *x, const float *y, float *out, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = y[i] + alpha * x[i]; }
}

void bbw_axpy_f32_simd128(float alpha, const float *x, const float *y, float *out, size_t n) {
  if (n == 0) { return; } /* no offset may be added to a NULL */
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    bbw_f32x4_store(out + i, bbw_f32x4_load(y + i) + bbw_f32x4_splat(alpha) * bbw_f32x4_load(x + i));
  }
  bbw_axpy_f32_scalar(alpha, x + i, y + i, out + i, n - i);
}

void bbw_leaky_relu_gradient_f32_scalar(float alpha, const float *x, const float *y, float *out, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = x[i] >= 0.0f ? y[i] : alpha * y[i]; }
}

void bbw_leaky_relu_gradient_f32_simd128(float alpha, const float *x, const float *y, float *out, size_t n) {
  if (n == 0) { return; } /* no offset may be added to a NULL */
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    bbw_f32x4 w = bbw_f32x4_load(y + i);
    bbw_f32x4_store(out + i, IF(bbw_f32x4_load(x + i) >= ZERO, w, bbw_f32x4_splat(alpha) * w));
  }
  bbw_leaky_relu_gradient_f32_scalar(alpha, x + i, y + i, out + i, n - i);
}

bool bbw_is_finite_f32(const float *x, size_t n) {
  bbw_u32x4 exponent = bbw_u32x4_splat(0x7f800000u), bad = bbw_u32x4_splat(0);
  size_t i = 0;
#define LOOK(at) bad |= (bbw_u32x4)((bbw_f32x4_bits(bbw_f32x4_load(x + (at))) & exponent) == exponent);
  for (; i + 16 <= n; i += 16) { LOOK(i) LOOK(i + 4) LOOK(i + 8) LOOK(i + 12) }
  for (; i + 4 <= n; i += 4) { LOOK(i) }
#undef LOOK
  bool is_bad = (bad[0] | bad[1] | bad[2] | bad[3]) != 0;
  for (; i < n; i++) { is_bad |= (bbw_f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u; }
  return !is_bad;
}
