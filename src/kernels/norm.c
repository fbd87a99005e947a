#include "kernels/norm.h"

#include <stdbool.h>

#include "kernels/math_f32.h"
#include "kernels/reduce.h"

/* Sum of (x - mean)^2 in the order of bbw_sum_f32. */
static float squares_scalar(const float *x, float mean, size_t n) {
  float p[8] = {0.0f};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t lane = 0; lane < 8; lane++) {
      float d = x[i + lane] - mean;
      p[lane] = p[lane] + d * d;
    }
  }
  float sum = 0.0f;
  for (size_t lane = 0; lane < 4; lane++) { sum = sum + (p[lane] + p[lane + 4]); }
  for (; i < n; i++) {
    float d = x[i] - mean;
    sum = sum + d * d;
  }
  return sum;
}

static float squares_simd128(const float *x, float mean, size_t n) {
  bbw_f32x4 low = bbw_f32x4_splat(0.0f), high = low, m = bbw_f32x4_splat(mean);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    bbw_f32x4 d0 = bbw_f32x4_load(x + i) - m, d1 = bbw_f32x4_load(x + i + 4) - m;
    low = low + d0 * d0;
    high = high + d1 * d1;
  }
  bbw_f32x4 pairs = low + high;
  float sum = 0.0f;
  for (int lane = 0; lane < 4; lane++) { sum = sum + pairs[lane]; }
  for (; i < n; i++) {
    float d = x[i] - mean;
    sum = sum + d * d;
  }
  return sum;
}

typedef struct moments {
  float mean, inverse;
} moments;

static moments moments_of(const float *x, size_t n, float epsilon, bool is_simd) {
  float mean = (is_simd ? bbw_sum_f32_simd128(x, n) : bbw_sum_f32_scalar(x, n)) / (float)n;
  float squares = is_simd ? squares_simd128(x, mean, n) : squares_scalar(x, mean, n);
  return (moments){mean, 1.0f / sqrtf(squares / (float)n + epsilon)};
}

static float normalize_one(float x, moments m, float gamma, float beta) {
  return ((x - m.mean) * m.inverse) * gamma + beta;
}

/* Without gamma or beta nothing is multiplied or added: -0 stays. */
static void normalize_row(const float *x, moments m, const float *gamma, const float *beta, float *out, size_t n,
                          bool is_simd) {
  bbw_f32x4 mean = bbw_f32x4_splat(m.mean), inverse = bbw_f32x4_splat(m.inverse);
  size_t i = 0;
  for (; is_simd && i + 4 <= n; i += 4) {
    bbw_f32x4 y = (bbw_f32x4_load(x + i) - mean) * inverse;
    if (gamma != NULL) { y = y * bbw_f32x4_load(gamma + i); }
    if (beta != NULL) { y = y + bbw_f32x4_load(beta + i); }
    bbw_f32x4_store(out + i, y);
  }
  for (; i < n; i++) {
    float y = (x[i] - m.mean) * m.inverse;
    if (gamma != NULL) { y = y * gamma[i]; }
    if (beta != NULL) { y = y + beta[i]; }
    out[i] = y;
  }
}

static void layer_norm(const float *x, const float *gamma, const float *beta, float epsilon, float *out, float *means,
                       float *inverses, size_t rows, size_t length, bool is_simd) {
  for (size_t r = 0; r < rows; r++) {
    moments m = moments_of(x + r * length, length, epsilon, is_simd);
    if (means != NULL) { means[r] = m.mean; }
    if (inverses != NULL) { inverses[r] = m.inverse; }
    normalize_row(x + r * length, m, gamma, beta, out + r * length, length, is_simd);
  }
}

void bbw_layer_norm_f32_scalar(const float *x, const float *gamma, const float *beta, float epsilon, float *out,
                               float *means, float *inverses, size_t rows, size_t length) {
  layer_norm(x, gamma, beta, epsilon, out, means, inverses, rows, length, false);
}
void bbw_layer_norm_f32_simd128(const float *x, const float *gamma, const float *beta, float epsilon, float *out,
                                float *means, float *inverses, size_t rows, size_t length) {
  layer_norm(x, gamma, beta, epsilon, out, means, inverses, rows, length, true);
}

/* A run of one channel: gamma and beta are one number. */
static void normalize_channel(const float *x, moments m, float gamma, float beta, float *out, size_t n, bool is_simd) {
  bbw_f32x4 mean = bbw_f32x4_splat(m.mean), inverse = bbw_f32x4_splat(m.inverse);
  size_t i = 0;
  for (; is_simd && i + 4 <= n; i += 4) {
    bbw_f32x4 y = (bbw_f32x4_load(x + i) - mean) * inverse;
    bbw_f32x4_store(out + i, y * bbw_f32x4_splat(gamma) + bbw_f32x4_splat(beta));
  }
  for (; i < n; i++) { out[i] = normalize_one(x[i], m, gamma, beta); }
}

static void group_norm(const float *x, const float *gamma, const float *beta, float epsilon, float *out, size_t outer,
                       size_t channels, size_t inner, size_t groups, bool is_simd) {
  size_t per_group = channels / groups;
  for (size_t g = 0; g < outer * groups; g++) {
    const float *from = x + g * per_group * inner;
    moments m = moments_of(from, per_group * inner, epsilon, is_simd);
    for (size_t i = 0; i < per_group; i++) {
      size_t channel = g % groups * per_group + i;
      normalize_channel(from + i * inner, m, gamma == NULL ? 1.0f : gamma[channel], beta == NULL ? 0.0f : beta[channel],
                        out + (g * per_group + i) * inner, inner, is_simd);
    }
  }
}

void bbw_group_norm_f32_scalar(const float *x, const float *gamma, const float *beta, float epsilon, float *out,
                               size_t outer, size_t channels, size_t inner, size_t groups) {
  group_norm(x, gamma, beta, epsilon, out, outer, channels, inner, groups, false);
}
void bbw_group_norm_f32_simd128(const float *x, const float *gamma, const float *beta, float epsilon, float *out,
                                size_t outer, size_t channels, size_t inner, size_t groups) {
  group_norm(x, gamma, beta, epsilon, out, outer, channels, inner, groups, true);
}

static void rms_norm(const float *x, const float *gamma, float epsilon, float *out, size_t rows, size_t length,
                     bool is_simd) {
  for (size_t r = 0; r < rows; r++, x += length, out += length) {
    float squares = is_simd ? squares_simd128(x, 0.0f, length) : squares_scalar(x, 0.0f, length);
    moments m = {0.0f, 1.0f / sqrtf(squares / (float)length + epsilon)};
    normalize_row(x, m, gamma, NULL, out, length, is_simd);
  }
}

void bbw_rms_norm_f32_scalar(const float *x, const float *gamma, float epsilon, float *out, size_t rows,
                             size_t length) {
  rms_norm(x, gamma, epsilon, out, rows, length, false);
}
void bbw_rms_norm_f32_simd128(const float *x, const float *gamma, float epsilon, float *out, size_t rows,
                              size_t length) {
  rms_norm(x, gamma, epsilon, out, rows, length, true);
}

/* ---- channels ---- */

void bbw_scale_shift_f32_scalar(const float *x, const float *scale, const float *shift, float *out, size_t outer,
                                size_t channels, size_t inner) {
  for (size_t run = 0; run < outer * channels; run++) {
    size_t c = run % channels;
    for (size_t i = run * inner; i < (run + 1) * inner; i++) { out[i] = x[i] * scale[c] + shift[c]; }
  }
}

void bbw_scale_shift_f32_simd128(const float *x, const float *scale, const float *shift, float *out, size_t outer,
                                 size_t channels, size_t inner) {
  /* Channels that lie side by side are the lanes. */
  if (inner == 1) {
    for (size_t row = 0; row < outer; row++, x += channels, out += channels) {
      size_t c = 0;
      for (; c + 4 <= channels; c += 4) {
        bbw_f32x4_store(out + c, bbw_f32x4_load(x + c) * bbw_f32x4_load(scale + c) + bbw_f32x4_load(shift + c));
      }
      for (; c < channels; c++) { out[c] = x[c] * scale[c] + shift[c]; }
    }
    return;
  }
  for (size_t run = 0; run < outer * channels; run++) {
    size_t c = run % channels, i = run * inner, end = i + inner;
    for (; i + 4 <= end; i += 4) {
      bbw_f32x4 y = bbw_f32x4_load(x + i) * bbw_f32x4_splat(scale[c]) + bbw_f32x4_splat(shift[c]);
      bbw_f32x4_store(out + i, y);
    }
    for (; i < end; i++) { out[i] = x[i] * scale[c] + shift[c]; }
  }
}

/* One element from the sum of the squares around it. */
static float lrn_one(float x, float sum, float scale, float beta, float bias) {
  return x / bbw_pow_f32(bias + scale * sum, beta);
}

void bbw_lrn_f32_scalar(const float *x, float *out, size_t outer, size_t channels, size_t inner, size_t size,
                        float alpha, float beta, float bias) {
  float scale = alpha / (float)size;
  for (size_t run = 0; run < outer * channels; run++) {
    size_t c = run % channels, before = (size - 1) / 2, after = size / 2;
    size_t first = c < before ? 0 : c - before, last = channels - 1 - c < after ? channels - 1 : c + after;
    for (size_t i = 0; i < inner; i++) {
      float sum = 0.0f;
      for (size_t q = first; q <= last; q++) {
        float v = x[(run - c + q) * inner + i];
        sum = sum + v * v;
      }
      out[run * inner + i] = lrn_one(x[run * inner + i], sum, scale, beta, bias);
    }
  }
}

/* The power is taken lane by lane, and costs more than all the rest: one version serves. */
void bbw_lrn_f32_simd128(const float *x, float *out, size_t outer, size_t channels, size_t inner, size_t size,
                         float alpha, float beta, float bias) {
  bbw_lrn_f32_scalar(x, out, outer, channels, inner, size, alpha, beta, bias);
}
