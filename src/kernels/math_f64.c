#include "kernels/math_f64.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* ln 2 in two parts: the first has 32 bits, so its product with an exponent is exact. */
#define LN2_HIGH   0.6931471803691238
#define LN2_LOW    1.9082149292705878e-10
#define LN2        0.69314718055994530942
#define SQRT_HALF  0.70710678118654752440
#define HALF_PI    1.57079632679489661923
#define QUARTER_PI 0.78539816339744830962
/* What HALF_PI is too small by. */
#define HALF_PI_LOW  6.12323399573676603587e-17
#define TWO_SQRT1_PI 1.1283791670955125739 /* 2 / sqrt(pi) */

/* table[0] + table[1] z + ..., from the highest term down. */
static double polynomial(const double *table, size_t count, double z) {
  double sum = table[count - 1];
  for (size_t i = count - 1; i-- > 0;) { sum = sum * z + table[i]; }
  return sum;
}

/* ---- exp ---- */

/* (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2: the series, 1 / (i + 2)!. */
static const double exp_terms[] = {
    0.5,           1.0 / 6.0,      1.0 / 24.0,      1.0 / 120.0,      1.0 / 720.0,       1.0 / 5040.0,
    1.0 / 40320.0, 1.0 / 362880.0, 1.0 / 3628800.0, 1.0 / 39916800.0, 1.0 / 479001600.0, 1.0 / 6227020800.0};

double bbw_exp_f64(double x) {
  if (!(x == x)) { return x; }
  if (x > 709.8) { return INFINITY; }
  if (x < -745.2) { return 0.0; }
  double n = floor(x / LN2 + 0.5);
  double r = (x - n * LN2_HIGH) - n * LN2_LOW;
  return ldexp(1.0 + (r + r * r * polynomial(exp_terms, COUNT(exp_terms), r)), (int)n);
}

double bbw_expm1_f64(double x) {
  if (x == 0.0) { return x; }
  if (fabs(x) <= 0.35) { return x + x * x * polynomial(exp_terms, COUNT(exp_terms), x); }
  return bbw_exp_f64(x) - 1.0;
}

/* ---- log ---- */

/* log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1]: with s = f / (2 + f), f - s (f - R), where 2 s + s R is 2 atanh(s). */
static double log_of_near_one(double f) {
  double s = f / (2.0 + f), z = s * s, sum = 0.0;
  for (int i = 23; i >= 3; i -= 2) { sum = (sum + 2.0 / (double)i) * z; }
  return f - s * (f - sum);
}

double bbw_log_f64(double x) {
  if (!(x > 0.0)) { return x == 0.0 ? -INFINITY : NAN; }
  if (x == INFINITY) { return x; }
  int e;
  double m = frexp(x, &e);
  if (m < SQRT_HALF) {
    m = m * 2.0;
    e = e - 1;
  }
  return (double)e * LN2_HIGH + (log_of_near_one(m - 1.0) + (double)e * LN2_LOW);
}

double bbw_log1p_f64(double x) {
  if (x > -0.29 && x < 0.41) { return x == 0.0 ? x : log_of_near_one(x); }
  if (x > 1e16) { return bbw_log_f64(x); }
  double sum = 1.0 + x;
  return sum > 0.0 ? bbw_log_f64(sum) + (x - (sum - 1.0)) / sum : bbw_log_f64(sum); /* what the rounded sum lost */
}

/* ---- sin, cos, tan ---- */

/* The bits of 2 / pi after the point, 32 at a time. */
static const uint32_t two_over_pi[] = {
    0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu, 0xdebbc561u,
    0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu, 0xfe1deb1cu, 0xb129a73eu, 0xe88235f5u, 0x2ebb4484u,
    0xe99c7026u, 0xb45f7e41u, 0x3991d639u, 0x835339f4u, 0x9c845f8bu, 0xbdf9283bu, 0x1ff897ffu, 0xde05980fu,
    0xef2f118bu, 0x5a0a6d1fu, 0x6d367ecfu, 0x27cb09b7u, 0x4f463f66u, 0x9e5fea2du, 0x7527bac7u, 0xebe5f17bu,
    0x3d0739f7u, 0x8a5292eau, 0x6bfb5fb1u, 0x1f8d5d08u, 0x56033046u, 0xfc7b6babu};

/* 32 of these bits from place `at` on; bits before the point are zero. */
static uint32_t bits_from(int at) {
  uint64_t window = 0;
  int word = (at + 64) / 32 - 2, shift = (at + 64) % 32; /* at is -64 or more */
  for (int i = 0; i < 2; i++) {
    uint32_t bits = word + i >= 0 && word + i < (int)COUNT(two_over_pi) ? two_over_pi[word + i] : 0;
    window = window << 32 | bits;
  }
  return (uint32_t)(window << shift >> 32);
}

#define LIMBS 6

/*
 * x = q pi/2 + the result, |result| <= pi/4 and a little, for finite x above pi/4; *quarter is q mod 4.  x is m 2^e with a whole m, so
 * of the bits of 2 / pi those before place e - 2 add whole turns; m times the next 192 bits, without what is whole, is the rest of the turns.
 */
static double take_off_quarters(double x, uint32_t *quarter) {
  int e;
  uint64_t m = (uint64_t)ldexp(frexp(x, &e), 53);
  int start = e - 53 - 2;
  uint32_t product[LIMBS], low = (uint32_t)m, high = (uint32_t)(m >> 32);
  uint64_t carry = 0;
  uint32_t before = 0; /* the limb right of this one, for the high half of m */
  for (int i = LIMBS - 1; i >= 0; i--) {
    uint32_t limb = bits_from(start + 32 * i);
    uint64_t a = (uint64_t)limb * low, b = (uint64_t)before * high;
    uint64_t sum = (a & 0xffffffffu) + (b & 0xffffffffu) + (carry & 0xffffffffu);
    product[i] = (uint32_t)sum;
    carry = (carry >> 32) + (a >> 32) + (b >> 32) + (sum >> 32);
    before = limb;
  }
  *quarter = product[0] >> 30;
  product[0] &= 0x3fffffffu;
  bool is_past_half = product[0] >> 29 != 0; /* nearer to the next quarter: the rest is negative */
  if (is_past_half) {
    uint32_t add = 1;
    for (int i = LIMBS - 1; i >= 0; i--) {
      product[i] = ~product[i] + add;
      add = add != 0 && product[i] == 0 ? 1 : 0;
    }
    product[0] &= 0x3fffffffu;
    *quarter = (*quarter + 1) & 3u;
  }
  double rest = 0.0;
  for (int i = LIMBS - 1; i >= 0; i--) { rest += ldexp((double)product[i], -32 * (i + 1) + 2); }
  rest = rest * HALF_PI;
  return is_past_half ? -rest : rest;
}

/* (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 as series in r^2. */
static const double sin_terms[] = {
    -1.0 / 6.0,        1.0 / 120.0,        -1.0 / 5040.0,          1.0 / 362880.0,
    -1.0 / 39916800.0, 1.0 / 6227020800.0, -1.0 / 1307674368000.0, 1.0 / 355687428096000.0};
static const double cos_terms[] = {
    1.0 / 24.0,        -1.0 / 720.0,         1.0 / 40320.0,          -1.0 / 3628800.0,
    1.0 / 479001600.0, -1.0 / 87178291200.0, 1.0 / 20922789888000.0, -1.0 / 6402373705728000.0};

/* The sine of x + quarter * pi/2. */
static double sin_from(double x, uint32_t quarter) {
  if (!(fabs(x) < INFINITY)) { return NAN; }
  double r = x;
  if (fabs(x) > QUARTER_PI) {
    uint32_t turned;
    r = take_off_quarters(fabs(x), &turned);
    if (x < 0.0) {
      r = -r;
      turned = 4u - turned;
    }
    quarter += turned;
  }
  double z = r * r, result;
  if ((quarter & 1u) == 0) {
    result = r + r * z * polynomial(sin_terms, COUNT(sin_terms), z);
    if (r == 0.0) { result = r; } /* keeps the sign of a zero */
  } else {
    double half = 0.5 * z, near = 1.0 - half;
    result = near + (((1.0 - near) - half) + z * z * polynomial(cos_terms, COUNT(cos_terms), z));
  }
  return (quarter & 2u) != 0 ? -result : result;
}

double bbw_sin_f64(double x) { return sin_from(x, 0); }
double bbw_cos_f64(double x) { return sin_from(x, 1); }
double bbw_tan_f64(double x) { return sin_from(x, 0) / sin_from(x, 1); }

/* ---- asin, acos, atan ---- */

/* atan(t) / t in t^2, for |t| <= tan(pi/8): a Chebyshev fit of degree 12, below 5e-20. */
static const double atan_terms[] = {1.0,
                                    -0.33333333333333324206,
                                    0.1999999999999701389,
                                    -0.14285714285329708036,
                                    0.11111111085322101077,
                                    -0.090909080590309212538,
                                    0.076922810999317572674,
                                    -0.066662052598893402543,
                                    0.05876834003769215002,
                                    -0.052173125686654991347,
                                    0.044995007071759418591,
                                    -0.033387823995870003547,
                                    0.015113764585185471692};

double bbw_atan_f64(double x) {
  double size = fabs(x), t = size, high = 0.0, low = 0.0;
  if (!(size == size)) { return x; }
  if (size > 2.414213562373095) { /* tan(3 pi/8) */
    t = -1.0 / size;
    high = HALF_PI;
    low = HALF_PI_LOW;
  } else if (size > 0.41421356237309505) {
    t = (size - 1.0) / (size + 1.0);
    high = QUARTER_PI;
    low = 0.5 * HALF_PI_LOW;
  }
  double z = t * t;
  double result = high + (t + (low + t * z * polynomial(atan_terms + 1, COUNT(atan_terms) - 1, z)));
  return x < 0.0 ? -result : x == 0.0 ? x : result;
}

double bbw_asin_f64(double x) { return bbw_atan_f64(x / sqrt((1.0 - x) * (1.0 + x))); }
double bbw_acos_f64(double x) { return 2.0 * bbw_atan_f64(sqrt((1.0 - x) / (1.0 + x))); }

/* ---- hyperbolic functions and their inverses ---- */

/* e^size / 2, also where e^size is past the range. */
static double half_exp(double size) {
  double root = bbw_exp_f64(0.5 * size);
  return size > 709.0 ? (0.5 * root) * root : 0.5 * bbw_exp_f64(size);
}

double bbw_sinh_f64(double x) {
  double size = fabs(x), result;
  if (size > 22.0) {
    result = half_exp(size);
  } else {
    double t = bbw_expm1_f64(size);
    result = 0.5 * (t + t / (t + 1.0));
  }
  return x < 0.0 ? -result : x == 0.0 ? x : result;
}

double bbw_cosh_f64(double x) {
  double size = fabs(x);
  if (size > 22.0) { return half_exp(size); }
  double e = bbw_exp_f64(size);
  return 0.5 * (e + 1.0 / e);
}

double bbw_tanh_f64(double x) {
  double size = fabs(x), t = bbw_expm1_f64(size > 20.0 ? 40.0 : 2.0 * size);
  double result = t / (t + 2.0);
  return x < 0.0 ? -result : x == 0.0 || !(x == x) ? x : result;
}

double bbw_asinh_f64(double x) {
  double size = fabs(x), z = size * size;
  double result = size > 1e8 ? bbw_log_f64(size) + LN2 : bbw_log1p_f64(size + z / (1.0 + sqrt(1.0 + z)));
  return x < 0.0 ? -result : x == 0.0 ? x : result;
}

double bbw_acosh_f64(double x) {
  if (!(x >= 1.0)) { return NAN; }
  double t = x - 1.0;
  return x > 1e8 ? bbw_log_f64(x) + LN2 : bbw_log1p_f64(t + sqrt(t * (2.0 + t)));
}

double bbw_atanh_f64(double x) {
  double size = fabs(x);
  if (size > 1.0 || !(x == x)) { return NAN; }
  double result = 0.5 * bbw_log1p_f64(2.0 * size / (1.0 - size));
  return x < 0.0 ? -result : x == 0.0 ? x : result;
}

/* ---- erf ---- */

/* Below 2 the series 2 / sqrt(pi) e^(-x^2) (x + x 2x^2/3 + x (2x^2)^2/15 + ...), whose terms are all positive; then 1 less a continued fraction. */
double bbw_erf_f64(double x) {
  double size = fabs(x), result = 1.0;
  if (!(x == x) || x == 0.0) { return x; }
  if (size < 2.0) {
    double z = 2.0 * size * size, term = size, sum = size;
    for (int i = 1; i < 60; i++) {
      term = term * (z / (double)(2 * i + 1));
      sum = sum + term;
    }
    result = TWO_SQRT1_PI * sum * bbw_exp_f64(-size * size);
  } else if (size < 6.0) {
    double fraction = size;
    for (int i = 60; i >= 1; i--) { fraction = size + 0.5 * (double)i / fraction; }
    result = 1.0 - 0.5 * TWO_SQRT1_PI * bbw_exp_f64(-size * size) / fraction;
  }
  return x < 0.0 ? -result : result;
}

/* ---- pow ---- */

static bool is_whole(double y) { return floor(y) == y; }
static bool is_odd(double y) { return is_whole(y) && fabs(y) < 9007199254740992.0 && !is_whole(0.5 * y); }

double bbw_pow_f64(double x, double y) {
  if (x == 1.0 || y == 0.0) { return 1.0; }
  if (!(x == x) || !(y == y)) { return NAN; }
  double size = fabs(x), result;
  if (x < 0.0 && size < INFINITY && fabs(y) < INFINITY && !is_whole(y)) { return NAN; }
  bool is_negative = signbit(x) != 0 && is_odd(y);
  if (size == 1.0) {
    result = 1.0;
  } else if (size == 0.0 || size == INFINITY || fabs(y) == INFINITY) {
    result = (size > 1.0) == (y > 0.0) ? INFINITY : 0.0;
  } else if (is_whole(y) && fabs(y) <= 64.0) { /* by squaring */
    double power = size;
    result = 1.0;
    for (int n = (int)fabs(y); n > 0; n >>= 1) {
      if (n & 1) { result = result * power; }
      power = power * power;
    }
    if (y < 0.0) { result = 1.0 / result; }
  } else if (y == 0.5) {
    result = sqrt(size);
  } else {
    result = bbw_exp_f64(y * bbw_log_f64(size));
  }
  return is_negative ? -result : result;
}
