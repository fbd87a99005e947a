#include "kernels/optimizer.h"

#include <math.h>

#include "kernels/f32x4.h"

static float clamp(float x, float limit) { return x > limit ? limit : x < -limit ? -limit : x; }

static float ready(const bbw_descent *d, float g, float x) { return clamp(g, d->clip_value) * d->scale + d->decay * x; }
static bbw_f32x4 ready_four(const bbw_descent *d, bbw_f32x4 g, bbw_f32x4 x) {
  bbw_f32x4 limit = bbw_f32x4_splat(d->clip_value);
  g = bbw_f32x4_at_least(bbw_f32x4_at_most(g, limit), -limit);
  return g * bbw_f32x4_splat(d->scale) + bbw_f32x4_splat(d->decay) * x;
}

void bbw_sgd_f32_scalar(const bbw_descent *d, const float *g, float *x, float *m, float *v, size_t n) {
  (void)m;
  (void)v;
  for (size_t i = 0; i < n; i++) {
    float step = ready(d, g[i], x[i]);
    x[i] = x[i] * d->shrink - d->rate * step;
  }
}

void bbw_sgd_f32_simd128(const bbw_descent *d, const float *g, float *x, float *m, float *v, size_t n) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    bbw_f32x4 from = bbw_f32x4_load(x + i), step = ready_four(d, bbw_f32x4_load(g + i), from);
    bbw_f32x4_store(x + i, from * bbw_f32x4_splat(d->shrink) - bbw_f32x4_splat(d->rate) * step);
  }
  bbw_sgd_f32_scalar(d, g + i, x + i, m, v, n - i);
}

void bbw_momentum_f32_scalar(const bbw_descent *d, const float *g, float *x, float *m, float *v, size_t n) {
  (void)v;
  for (size_t i = 0; i < n; i++) {
    float step = ready(d, g[i], x[i]);
    m[i] = d->beta1 * m[i] + step;
    step = d->is_nesterov ? step + d->beta1 * m[i] : m[i];
    x[i] = x[i] * d->shrink - d->rate * step;
  }
}

void bbw_momentum_f32_simd128(const bbw_descent *d, const float *g, float *x, float *m, float *v, size_t n) {
  size_t i = 0;
  bbw_f32x4 beta = bbw_f32x4_splat(d->beta1);
  for (; i + 4 <= n; i += 4) {
    bbw_f32x4 from = bbw_f32x4_load(x + i), step = ready_four(d, bbw_f32x4_load(g + i), from);
    bbw_f32x4 mean = beta * bbw_f32x4_load(m + i) + step;
    bbw_f32x4_store(m + i, mean);
    step = d->is_nesterov ? step + beta * mean : mean;
    bbw_f32x4_store(x + i, from * bbw_f32x4_splat(d->shrink) - bbw_f32x4_splat(d->rate) * step);
  }
  bbw_momentum_f32_scalar(d, g + i, x + i, m + i, v, n - i);
}

void bbw_adam_f32_scalar(const bbw_descent *d, const float *g, float *x, float *m, float *v, size_t n) {
  float rest1 = 1.0f - d->beta1, rest2 = 1.0f - d->beta2;
  for (size_t i = 0; i < n; i++) {
    float step = ready(d, g[i], x[i]);
    m[i] = d->beta1 * m[i] + rest1 * step;
    v[i] = d->beta2 * v[i] + rest2 * (step * step);
    x[i] = x[i] * d->shrink - d->rate * (m[i] / (sqrtf(v[i]) * d->unbias + d->epsilon));
  }
}

void bbw_adam_f32_simd128(const bbw_descent *d, const float *g, float *x, float *m, float *v, size_t n) {
  size_t i = 0;
  bbw_f32x4 beta1 = bbw_f32x4_splat(d->beta1), beta2 = bbw_f32x4_splat(d->beta2);
  bbw_f32x4 rest1 = bbw_f32x4_splat(1.0f - d->beta1), rest2 = bbw_f32x4_splat(1.0f - d->beta2);
  for (; i + 4 <= n; i += 4) {
    bbw_f32x4 from = bbw_f32x4_load(x + i), step = ready_four(d, bbw_f32x4_load(g + i), from);
    bbw_f32x4 mean = beta1 * bbw_f32x4_load(m + i) + rest1 * step;
    bbw_f32x4 square = beta2 * bbw_f32x4_load(v + i) + rest2 * (step * step);
    bbw_f32x4_store(m + i, mean);
    bbw_f32x4_store(v + i, square);
    bbw_f32x4 root = bbw_f32x4_sqrt(square) * bbw_f32x4_splat(d->unbias) + bbw_f32x4_splat(d->epsilon);
    bbw_f32x4_store(x + i, from * bbw_f32x4_splat(d->shrink) - bbw_f32x4_splat(d->rate) * (mean / root));
  }
  bbw_adam_f32_scalar(d, g + i, x + i, m + i, v + i, n - i);
}

double bbw_square_sum_f32(const float *g, float clip_value, size_t n) {
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) {
    double x = (double)clamp(g[i], clip_value);
    sum = sum + x * x;
  }
  return sum;
}
