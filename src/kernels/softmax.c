#include "kernels/softmax.h"

#include "kernels/elementwise.h"
#include "kernels/math_f32.h"
#include "kernels/reduce.h"

/* Largest of n elements `stride` apart, NaN ignored; -infinity when there is none. */
static float largest(const float *x, size_t n, size_t stride) {
  float best = -INFINITY;
  for (size_t i = 0; i < n; i++) { best = x[i * stride] > best ? x[i * stride] : best; }
  return best;
}

/* The same over a row; which of two equal zeros is found cannot be seen in what is computed from it. */
static float largest_of_row(const float *x, size_t n) {
  bbw_f32x4 best0 = bbw_f32x4_splat(-INFINITY), best1 = best0;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    bbw_f32x4 v0 = bbw_f32x4_load(x + i), v1 = bbw_f32x4_load(x + i + 4);
    best0 = bbw_f32x4_at_least(best0, v0);
    best1 = bbw_f32x4_at_least(best1, v1);
  }
  best0 = bbw_f32x4_at_least(best0, best1);
  float best = -INFINITY;
  for (int lane = 0; lane < 4; lane++) { best = best0[lane] > best ? best0[lane] : best; }
  for (; i < n; i++) { best = x[i] > best ? x[i] : best; }
  return best;
}

/* out = exp(x - m) over a row; returns the sum. */
static float exp_row_scalar(const float *x, float m, float *out, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = bbw_exp_f32(x[i] - m); }
  return bbw_sum_f32_scalar(out, n);
}

static float exp_row_simd128(const float *x, float m, float *out, size_t n) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) { bbw_f32x4_store(out + i, bbw_exp_f32x4(bbw_f32x4_load(x + i) - bbw_f32x4_splat(m))); }
  for (; i < n; i++) { out[i] = bbw_exp_f32(x[i] - m); }
  return bbw_sum_f32_simd128(out, n);
}

/* The sum of exp(x - m) without a place for the single ones, in the order of bbw_sum_f32. */
static float exp_sum_scalar(const float *x, float m, size_t n) {
  float p[8] = {0.0f};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t lane = 0; lane < 8; lane++) { p[lane] = p[lane] + bbw_exp_f32(x[i + lane] - m); }
  }
  float sum = 0.0f;
  for (size_t lane = 0; lane < 4; lane++) { sum = sum + (p[lane] + p[lane + 4]); }
  for (; i < n; i++) { sum = sum + bbw_exp_f32(x[i] - m); }
  return sum;
}

static float exp_sum_simd128(const float *x, float m, size_t n) {
  bbw_f32x4 low = bbw_f32x4_splat(0.0f), high = low, top = bbw_f32x4_splat(m);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    low = low + bbw_exp_f32x4(bbw_f32x4_load(x + i) - top);
    high = high + bbw_exp_f32x4(bbw_f32x4_load(x + i + 4) - top);
  }
  bbw_f32x4 pairs = low + high;
  float sum = 0.0f;
  for (int lane = 0; lane < 4; lane++) { sum = sum + pairs[lane]; }
  for (; i < n; i++) { sum = sum + bbw_exp_f32(x[i] - m); }
  return sum;
}

/* A run whose elements are `stride` apart; the sum goes along the axis. */
static void softmax_strided(const float *x, float *out, size_t n, size_t stride) {
  float m = largest(x, n, stride);
  float sum = 0.0f;
  for (size_t i = 0; i < n; i++) {
    float e = bbw_exp_f32(x[i * stride] - m);
    out[i * stride] = e;
    sum = sum + e;
  }
  for (size_t i = 0; i < n; i++) { out[i * stride] = out[i * stride] / sum; }
}

static void log_softmax_strided(const float *x, float *out, size_t n, size_t stride) {
  float m = largest(x, n, stride);
  float sum = 0.0f;
  for (size_t i = 0; i < n; i++) { sum = sum + bbw_exp_f32(x[i * stride] - m); }
  float log_sum = bbw_log_f32(sum);
  for (size_t i = 0; i < n; i++) { out[i * stride] = (x[i * stride] - m) - log_sum; }
}

/* Four such runs side by side. */
static bbw_f32x4 largest_four(const float *x, size_t n, size_t stride) {
  bbw_f32x4 best = bbw_f32x4_splat(-INFINITY);
  for (size_t i = 0; i < n; i++) {
    bbw_f32x4 v = bbw_f32x4_load(x + i * stride);
    best = bbw_f32x4_at_least(best, v);
  }
  return best;
}

static void softmax_four(const float *x, float *out, size_t n, size_t stride) {
  bbw_f32x4 m = largest_four(x, n, stride);
  bbw_f32x4 sum = bbw_f32x4_splat(0.0f);
  for (size_t i = 0; i < n; i++) {
    bbw_f32x4 e = bbw_exp_f32x4(bbw_f32x4_load(x + i * stride) - m);
    bbw_f32x4_store(out + i * stride, e);
    sum = sum + e;
  }
  for (size_t i = 0; i < n; i++) { bbw_f32x4_store(out + i * stride, bbw_f32x4_load(out + i * stride) / sum); }
}

static void log_softmax_four(const float *x, float *out, size_t n, size_t stride) {
  bbw_f32x4 m = largest_four(x, n, stride);
  bbw_f32x4 sum = bbw_f32x4_splat(0.0f);
  for (size_t i = 0; i < n; i++) { sum = sum + bbw_exp_f32x4(bbw_f32x4_load(x + i * stride) - m); }
  bbw_f32x4 log_sum = bbw_log_f32x4(sum);
  for (size_t i = 0; i < n; i++) { bbw_f32x4_store(out + i * stride, (bbw_f32x4_load(x + i * stride) - m) - log_sum); }
}

void bbw_softmax_f32_scalar(const float *x, float *out, size_t outer, size_t length, size_t inner) {
  for (size_t i = 0; i < outer; i++) {
    const float *from = x + i * length * inner;
    float *to = out + i * length * inner;
    if (inner == 1) {
      float sum = exp_row_scalar(from, largest(from, length, 1), to, length);
      for (size_t p = 0; p < length; p++) { to[p] = to[p] / sum; }
    } else {
      for (size_t j = 0; j < inner; j++) { softmax_strided(from + j, to + j, length, inner); }
    }
  }
}

void bbw_softmax_f32_simd128(const float *x, float *out, size_t outer, size_t length, size_t inner) {
  for (size_t i = 0; i < outer; i++) {
    const float *from = x + i * length * inner;
    float *to = out + i * length * inner;
    if (inner == 1) {
      float sum = exp_row_simd128(from, largest_of_row(from, length), to, length);
      size_t p = 0;
      for (; p + 4 <= length; p += 4) { bbw_f32x4_store(to + p, bbw_f32x4_load(to + p) / bbw_f32x4_splat(sum)); }
      for (; p < length; p++) { to[p] = to[p] / sum; }
    } else {
      size_t j = 0;
      for (; j + 4 <= inner; j += 4) { softmax_four(from + j, to + j, length, inner); }
      for (; j < inner; j++) { softmax_strided(from + j, to + j, length, inner); }
    }
  }
}

void bbw_log_softmax_f32_scalar(const float *x, float *out, size_t outer, size_t length, size_t inner) {
  for (size_t i = 0; i < outer; i++) {
    const float *from = x + i * length * inner;
    float *to = out + i * length * inner;
    if (inner == 1) {
      float m = largest(from, length, 1);
      float log_sum = bbw_log_f32(exp_sum_scalar(from, m, length));
      for (size_t p = 0; p < length; p++) { to[p] = (from[p] - m) - log_sum; }
    } else {
      for (size_t j = 0; j < inner; j++) { log_softmax_strided(from + j, to + j, length, inner); }
    }
  }
}

void bbw_log_softmax_f32_simd128(const float *x, float *out, size_t outer, size_t length, size_t inner) {
  for (size_t i = 0; i < outer; i++) {
    const float *from = x + i * length * inner;
    float *to = out + i * length * inner;
    if (inner == 1) {
      float m = largest_of_row(from, length);
      float log_sum = bbw_log_f32(exp_sum_simd128(from, m, length));
      for (size_t p = 0; p < length; p++) { to[p] = (from[p] - m) - log_sum; }
    } else {
      size_t j = 0;
      for (; j + 4 <= inner; j += 4) { log_softmax_four(from + j, to + j, length, inner); }
      for (; j < inner; j++) { log_softmax_strided(from + j, to + j, length, inner); }
    }
  }
}

static float dot_scalar(const float *x, const float *y, size_t n) {
  float p[8] = {0.0f};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t lane = 0; lane < 8; lane++) { p[lane] = p[lane] + x[i + lane] * y[i + lane]; }
  }
  float sum = 0.0f;
  for (size_t lane = 0; lane < 4; lane++) { sum = sum + (p[lane] + p[lane + 4]); }
  for (; i < n; i++) { sum = sum + x[i] * y[i]; }
  return sum;
}

static float dot_simd128(const float *x, const float *y, size_t n) {
  bbw_f32x4 low = bbw_f32x4_splat(0.0f), high = low;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    low = low + bbw_f32x4_load(x + i) * bbw_f32x4_load(y + i);
    high = high + bbw_f32x4_load(x + i + 4) * bbw_f32x4_load(y + i + 4);
  }
  bbw_f32x4 pairs = low + high;
  float sum = 0.0f;
  for (int lane = 0; lane < 4; lane++) { sum = sum + pairs[lane]; }
  for (; i < n; i++) { sum = sum + x[i] * y[i]; }
  return sum;
}

void bbw_softmax_gradient_f32_scalar(const float *y, const float *g, float *out, size_t rows, size_t length) {
  for (size_t r = 0; r < rows; r++, y += length, g += length, out += length) {
    float dot = dot_scalar(g, y, length);
    for (size_t i = 0; i < length; i++) { out[i] = y[i] * (g[i] - dot); }
  }
}

void bbw_softmax_gradient_f32_simd128(const float *y, const float *g, float *out, size_t rows, size_t length) {
  for (size_t r = 0; r < rows; r++, y += length, g += length, out += length) {
    float dot = dot_simd128(g, y, length);
    size_t i = 0;
    for (; i + 4 <= length; i += 4) {
      bbw_f32x4_store(out + i, bbw_f32x4_load(y + i) * (bbw_f32x4_load(g + i) - bbw_f32x4_splat(dot)));
    }
    for (; i < length; i++) { out[i] = y[i] * (g[i] - dot); }
  }
}

void bbw_log_softmax_gradient_f32_scalar(const float *y, const float *g, float *out, size_t rows, size_t length) {
  for (size_t r = 0; r < rows; r++, y += length, g += length, out += length) {
    float sum = bbw_sum_f32_scalar(g, length);
    for (size_t i = 0; i < length; i++) { out[i] = g[i] - bbw_exp_f32(y[i]) * sum; }
  }
}

void bbw_log_softmax_gradient_f32_simd128(const float *y, const float *g, float *out, size_t rows, size_t length) {
  for (size_t r = 0; r < rows; r++, y += length, g += length, out += length) {
    float sum = bbw_sum_f32_simd128(g, length);
    size_t i = 0;
    for (; i + 4 <= length; i += 4) {
      bbw_f32x4_store(out + i, bbw_f32x4_load(g + i) - bbw_exp_f32x4(bbw_f32x4_load(y + i)) * bbw_f32x4_splat(sum));
    }
    for (; i < length; i++) { out[i] = g[i] - bbw_exp_f32(y[i]) * sum; }
  }
}

/* Loss of one row from m and log of the sum of exp(x - m). */
static double row_loss(const float *x, const float *labels, bool is_index, float m, float log_sum, size_t classes,
                       float *label_sum) {
  if (is_index) {
    *label_sum = 1.0f;
    return (double)(log_sum - (x[(size_t)labels[0]] - m));
  }
  *label_sum = bbw_sum_f32_scalar(labels, classes);
  float loss = *label_sum * log_sum;
  for (size_t j = 0; j < classes; j++) {
    if (labels[j] != 0.0f) { loss = loss - labels[j] * (x[j] - m); } /* a class without weight may have any logit */
  }
  return (double)loss;
}

double bbw_cross_entropy_f32_scalar(const float *logits, const float *labels, bool is_index, float *gradient,
                                    float scale, size_t rows, size_t classes) {
  double total = 0.0;
  for (size_t r = 0; r < rows; r++) {
    const float *x = logits + r * classes;
    const float *t = is_index ? labels + r : labels + r * classes;
    float m = largest(x, classes, 1);
    float sum = exp_sum_scalar(x, m, classes);
    float weight;
    total += row_loss(x, t, is_index, m, bbw_log_f32(sum), classes, &weight);
    if (gradient == NULL) { continue; }
    float *g = gradient + r * classes;
    for (size_t j = 0; j < classes; j++) {
      float target = is_index ? (j == (size_t)t[0] ? 1.0f : 0.0f) : t[j];
      g[j] = (bbw_exp_f32(x[j] - m) / sum * weight - target) * scale;
    }
  }
  return total;
}

double bbw_cross_entropy_f32_simd128(const float *logits, const float *labels, bool is_index, float *gradient,
                                     float scale, size_t rows, size_t classes) {
  double total = 0.0;
  for (size_t r = 0; r < rows; r++) {
    const float *x = logits + r * classes;
    const float *t = is_index ? labels + r : labels + r * classes;
    float m = largest_of_row(x, classes);
    float sum = exp_sum_simd128(x, m, classes);
    float weight;
    total += row_loss(x, t, is_index, m, bbw_log_f32(sum), classes, &weight);
    if (gradient == NULL) { continue; }
    float *g = gradient + r * classes;
    size_t j = 0;
    for (; j + 4 <= classes; j += 4) {
      bbw_f32x4 p = bbw_exp_f32x4(bbw_f32x4_load(x + j) - bbw_f32x4_splat(m)) / bbw_f32x4_splat(sum) *
                    bbw_f32x4_splat(weight);
      bbw_f32x4 target = is_index ? bbw_f32x4_splat(0.0f) : bbw_f32x4_load(t + j);
      if (is_index && (size_t)t[0] - j < 4) { target[(size_t)t[0] - j] = 1.0f; }
      bbw_f32x4_store(g + j, (p - target) * bbw_f32x4_splat(scale));
    }
    for (; j < classes; j++) {
      float target = is_index ? (j == (size_t)t[0] ? 1.0f : 0.0f) : t[j];
      g[j] = (bbw_exp_f32(x[j] - m) / sum * weight - target) * scale;
    }
  }
  return total;
}
