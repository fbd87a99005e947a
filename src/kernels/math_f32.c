#include "kernels/math_f32.h"

#include <stdbool.h>

#define LN2       0.69314718055994530942
#define SQRT_HALF 0.70710678118654752440

/* log x for finite x > 0: 2 atanh((m - 1) / (m + 1)) + e ln 2.  The first term left out is below 1e-17 of the sum. */
static double log_f64(double x) {
  int e;
  double m = frexp(x, &e);
  if (m < SQRT_HALF) {
    m = m * 2.0;
    e = e - 1;
  }
  double s = (m - 1.0) / (m + 1.0);
  double z = s * s;
  double sum = 0.0;
  for (int i = 21; i >= 1; i -= 2) { sum = sum * z + 1.0 / (double)i; }
  return 2.0 * s * sum + (double)e * LN2;
}

/* e^x for x within +-200: 2^n times the series of e^r. */
static double exp_f64(double x) {
  double n = floor(x / LN2 + 0.5);
  double r = x - n * LN2;
  double sum = 1.0;
  for (int i = 14; i >= 1; i--) { sum = sum * r / (double)i + 1.0; }
  return ldexp(sum, (int)n);
}

static bool is_whole(float y) { return floorf(y) == y; }
static bool is_odd(float y) { return is_whole(y) && fabsf(y) < 16777216.0f && floorf(y * 0.5f) * 2.0f != y; }

/* |x| or y is zero or infinite, no NaN, and y is not zero. */
static float pow_of_limit(float x, float y) {
  float size = fabsf(x);
  if (isinf(y)) {
    if (size == 1.0f) { return 1.0f; }
    return (size > 1.0f) == (y > 0.0f) ? INFINITY : 0.0f;
  }
  float result = (size > 1.0f) == (y > 0.0f) ? INFINITY : 0.0f;
  return x < 0.0f || (x == 0.0f && signbit(x)) ? (is_odd(y) ? -result : result) : result;
}

float bbw_pow_f32(float x, float y) {
  if (x == 1.0f || y == 0.0f) { return 1.0f; }
  if (isnan(x) || isnan(y)) { return NAN; }
  if (y == 1.0f) { return x; }
  if (y == 2.0f) { return x * x; } /* by far the most frequent power, and correctly rounded */
  if (x == 0.0f || isinf(x) || isinf(y)) { return pow_of_limit(x, y); }
  if (x < 0.0f && !is_whole(y)) { return NAN; }
  double exponent = (double)y * log_f64((double)fabsf(x));
  if (exponent > 200.0) { exponent = 200.0; } /* both are past the range of f32 */
  if (exponent < -200.0) { exponent = -200.0; }
  float size = (float)exp_f64(exponent);
  return x < 0.0f && is_odd(y) ? -size : size;
}
