/*
 * optimizer: one step of gradient descent over a run of numbers, f32.
 *
 * Equal bits in both versions: each number by itself, products and sums rounded.  x, g and the moments do not overlap.
 */
#ifndef BBW_KERNELS_OPTIMIZER_H
#define BBW_KERNELS_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct bbw_descent {
  float rate;
  float scale;        /* of the gradient, after clip_value: clipping by the norm; 1 for none */
  float clip_value;   /* largest size of a number of the gradient; INFINITY for none */
  float decay;        /* added to the gradient, times x */
  float shrink;       /* x is first multiplied by it: 1 - rate * decoupled decay */
  float beta1, beta2; /* beta1 is the momentum of SGD */
  float epsilon;
  float unbias; /* Adam: 1 / sqrt(1 - beta2^t); rate has 1 / (1 - beta1^t) in it already */
  bool is_nesterov;
} bbw_descent;

/* g = clamp(g) * scale + decay * x; x = x * shrink; then
 * sgd:       x - rate * g
 * momentum:  m = beta1 * m + g;  x - rate * (is_nesterov ? g + beta1 * m : m)
 * adam:      m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g * g;  x - rate * (m / (sqrt(v) * unbias + epsilon)) */
typedef void bbw_descent_f32_fn(const bbw_descent *d, const float *g, float *x, float *m, float *v, size_t n);
bbw_descent_f32_fn bbw_sgd_f32_scalar, bbw_sgd_f32_simd128;
bbw_descent_f32_fn bbw_momentum_f32_scalar, bbw_momentum_f32_simd128;
bbw_descent_f32_fn bbw_adam_f32_scalar, bbw_adam_f32_simd128;

/* The sum of the squares of the numbers, clamped to +-clip_value, in f64 and in order. */
double bbw_square_sum_f32(const float *g, float clip_value, size_t n);

#endif
