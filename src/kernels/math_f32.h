/*
 * math_f32: exp, log, tanh and relatives with the same bits everywhere.
 *
 * The C library's versions differ between platforms, so results that peers compare are made with these: a scalar and a
 * four-lane form side by side, which do the same rounded operations in the same order.  Largest error, measured over all
 * finite arguments by test_kernels_math: exp 1.5 ULP, log 0.9 ULP, tanh 1.3 ULP, erf 1.2 ULP, softplus 2.2 ULP (from -87 up), sigmoid 2.6 ULP (from -87 up; below it goes to 0).  Infinities, zeros, denormals and NaN are
 * answered as C99 says.  The coefficients are Chebyshev fits made for these intervals.
 */
#ifndef BBW_KERNELS_MATH_F32_H
#define BBW_KERNELS_MATH_F32_H

#include "kernels/f32x4.h"

#define BBW_LOG2_E 1.44269502f
/* ln 2 in two parts; the first has 15 bits, so its product with a small whole number is exact. */
#define BBW_LN2_HIGH 0.693145752f
#define BBW_LN2_LOW  1.42860677e-6f
/* 1.5 * 2^23: adding it rounds to a whole number and leaves that number in the low bits. */
#define BBW_ROUNDER      12582912.0f
#define BBW_ROUNDER_BITS 0x4b400000u

static inline uint32_t bbw_f32_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
static inline float bbw_f32_from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* ---- exp: x = n ln 2 + r; e^r = 1 + r + r^2 P(r); scaled by 2^n in two steps, so that denormal results round once ---- */

/* Outside of these the result is 0 or infinity. */
#define BBW_EXP_MIN (-104.0f)
#define BBW_EXP_MAX 89.0f

static inline float bbw_exp_f32(float x) {
  x = x < BBW_EXP_MIN ? BBW_EXP_MIN : x;
  x = x > BBW_EXP_MAX ? BBW_EXP_MAX : x;
  float rounded = x * BBW_LOG2_E + BBW_ROUNDER;
  float n = rounded - BBW_ROUNDER;
  float r = x - n * BBW_LN2_HIGH;
  r = r - n * BBW_LN2_LOW;
  float p = 0.000198909882f;
  p = p * r + 0.00139336474f;
  p = p * r + 0.00833331048f;
  p = p * r + 0.0416664667f;
  p = p * r + 0.166666672f;
  p = p * r + 0.5f;
  p = p * (r * r) + r;
  p = p + 1.0f;
  uint32_t u = bbw_f32_bits(rounded) - (BBW_ROUNDER_BITS - 256u); /* n + 256, positive */
  uint32_t half = u >> 1;
  return p * bbw_f32_from_bits((half - 1u) << 23) * bbw_f32_from_bits((u - half - 1u) << 23);
}

static const float bbw_exp_numbers[] = {
    BBW_EXP_MIN,    BBW_EXP_MAX,    BBW_LOG2_E,    BBW_ROUNDER,  BBW_LN2_HIGH, BBW_LN2_LOW, 0.000198909882f,
    0.00139336474f, 0.00833331048f, 0.0416664667f, 0.166666672f, 0.5f,         1.0f};
static inline bbw_f32x4 bbw_exp_f32x4(bbw_f32x4 x) {
  const float *k = bbw_f32_table(bbw_exp_numbers);
  x = bbw_f32x4_at_most(bbw_f32x4_at_least(x, bbw_f32x4_load_splat(k)), bbw_f32x4_load_splat(k + 1));
  bbw_f32x4 rounder = bbw_f32x4_load_splat(k + 3);
  bbw_f32x4 rounded = x * bbw_f32x4_load_splat(k + 2) + rounder;
  bbw_f32x4 n = rounded - rounder;
  bbw_f32x4 r = x - n * bbw_f32x4_load_splat(k + 4);
  r = r - n * bbw_f32x4_load_splat(k + 5);
  bbw_f32x4 p = bbw_f32x4_load_splat(k + 6);
  for (size_t i = 7; i < 12; i++) { p = p * r + bbw_f32x4_load_splat(k + i); }
  p = p * (r * r) + r;
  p = p + bbw_f32x4_load_splat(k + 12);
  bbw_u32x4 u = bbw_f32x4_bits(rounded) - bbw_u32x4_splat(BBW_ROUNDER_BITS - 256u);
  bbw_u32x4 half = u >> 1;
  bbw_u32x4 one = bbw_u32x4_splat(1);
  return p * bbw_u32x4_floats((half - one) << 23) * bbw_u32x4_floats((u - half - one) << 23);
}

/* ---- log: x = 2^e m with m around 1; log(1+f) = f - f^2/2 + f^3 P(f) ---- */

#define BBW_SQRT_HALF_BITS  0x3f3504f3u
#define BBW_ONE_BITS        0x3f800000u
#define BBW_DENORMAL_SCALE  8388608.0f /* 2^23 */
#define BBW_SMALLEST_NORMAL 1.17549435e-38f

static inline float bbw_log_f32(float x) {
  float shift = -127.0f;
  float y = x;
  if (x < BBW_SMALLEST_NORMAL) {
    y = x * BBW_DENORMAL_SCALE;
    shift = -150.0f;
  }
  uint32_t t = bbw_f32_bits(y) + (BBW_ONE_BITS - BBW_SQRT_HALF_BITS);
  float e = (bbw_f32_from_bits((t >> 23) + BBW_ROUNDER_BITS) - BBW_ROUNDER) + shift;
  float f = bbw_f32_from_bits((t & 0x7fffffu) + BBW_SQRT_HALF_BITS) - 1.0f;
  float p = 0.0696975365f;
  p = p * f - 0.114791878f;
  p = p * f + 0.116857961f;
  p = p * f - 0.124257766f;
  p = p * f + 0.142490327f;
  p = p * f - 0.166677982f;
  p = p * f + 0.20000717f;
  p = p * f - 0.24999997f;
  p = p * f + 0.333333313f;
  float s = f * f;
  float r = s * (f * p);
  r = r - 0.5f * s;
  r = r + e * BBW_LN2_LOW;
  r = f + r;
  r = r + e * BBW_LN2_HIGH;
  if (x == 0.0f) { r = -INFINITY; }
  if (x < 0.0f) { r = NAN; }
  if (!(x < INFINITY)) { r = x; } /* infinity and NaN */
  return r;
}

static inline bbw_f32x4 bbw_log_f32x4(bbw_f32x4 x) {
  bbw_f32x4 zero = bbw_f32x4_splat(0.0f);
  bbw_i32x4 is_small = x < bbw_f32x4_splat(BBW_SMALLEST_NORMAL);
  bbw_f32x4 y = bbw_f32x4_select(is_small, x * bbw_f32x4_splat(BBW_DENORMAL_SCALE), x);
  bbw_f32x4 shift = bbw_f32x4_select(is_small, bbw_f32x4_splat(-150.0f), bbw_f32x4_splat(-127.0f));
  bbw_u32x4 t = bbw_f32x4_bits(y) + bbw_u32x4_splat(BBW_ONE_BITS - BBW_SQRT_HALF_BITS);
  bbw_f32x4 e = (bbw_u32x4_floats((t >> 23) + bbw_u32x4_splat(BBW_ROUNDER_BITS)) - bbw_f32x4_splat(BBW_ROUNDER)) +
                shift;
  bbw_f32x4 f = bbw_u32x4_floats((t & bbw_u32x4_splat(0x7fffffu)) + bbw_u32x4_splat(BBW_SQRT_HALF_BITS)) -
                bbw_f32x4_splat(1.0f);
  bbw_f32x4 p = bbw_f32x4_splat(0.0696975365f);
  p = p * f - bbw_f32x4_splat(0.114791878f);
  p = p * f + bbw_f32x4_splat(0.116857961f);
  p = p * f - bbw_f32x4_splat(0.124257766f);
  p = p * f + bbw_f32x4_splat(0.142490327f);
  p = p * f - bbw_f32x4_splat(0.166677982f);
  p = p * f + bbw_f32x4_splat(0.20000717f);
  p = p * f - bbw_f32x4_splat(0.24999997f);
  p = p * f + bbw_f32x4_splat(0.333333313f);
  bbw_f32x4 s = f * f;
  bbw_f32x4 r = s * (f * p);
  r = r - bbw_f32x4_splat(0.5f) * s;
  r = r + e * bbw_f32x4_splat(BBW_LN2_LOW);
  r = f + r;
  r = r + e * bbw_f32x4_splat(BBW_LN2_HIGH);
  r = bbw_f32x4_select(x == zero, bbw_f32x4_splat(-INFINITY), r);
  r = bbw_f32x4_select(x < zero, bbw_f32x4_splat(NAN), r);
  return bbw_f32x4_select(x < bbw_f32x4_splat(INFINITY), r, x);
}

/* ---- tanh: x + x^3 P(x^2) near zero, 1 - 2 / (e^2|x| + 1) with the sign of x elsewhere ---- */

#define BBW_TANH_SMALL 0.625f

static inline float bbw_tanh_f32(float x) {
  float size = bbw_f32_from_bits(bbw_f32_bits(x) & 0x7fffffffu);
  if (size < BBW_TANH_SMALL) {
    float z = x * x;
    float p = 0.00229274458f;
    p = p * z - 0.00834394526f;
    p = p * z + 0.0217689183f;
    p = p * z - 0.0539592579f;
    p = p * z + 0.133333042f;
    p = p * z - 0.333333343f;
    return x + x * z * p;
  }
  float y = 1.0f - 2.0f / (bbw_exp_f32(size + size) + 1.0f);
  return bbw_f32_from_bits(bbw_f32_bits(y) | (bbw_f32_bits(x) & 0x80000000u));
}

static inline bbw_f32x4 bbw_tanh_f32x4(bbw_f32x4 x) {
  bbw_f32x4 size = bbw_f32x4_abs(x);
  bbw_f32x4 z = x * x;
  bbw_f32x4 p = bbw_f32x4_splat(0.00229274458f);
  p = p * z - bbw_f32x4_splat(0.00834394526f);
  p = p * z + bbw_f32x4_splat(0.0217689183f);
  p = p * z - bbw_f32x4_splat(0.0539592579f);
  p = p * z + bbw_f32x4_splat(0.133333042f);
  p = p * z - bbw_f32x4_splat(0.333333343f);
  bbw_f32x4 small = x + x * z * p;
  bbw_f32x4 one = bbw_f32x4_splat(1.0f);
  bbw_f32x4 y = one - bbw_f32x4_splat(2.0f) / (bbw_exp_f32x4(size + size) + one);
  bbw_f32x4 large = bbw_u32x4_floats(bbw_f32x4_bits(y) | (bbw_f32x4_bits(x) & bbw_u32x4_splat(0x80000000u)));
  return bbw_f32x4_select(size < bbw_f32x4_splat(BBW_TANH_SMALL), small, large);
}

/* ---- erf: x + x P(x^2) near zero, 1 - e^-Q(|x|) with the sign of x elsewhere; past 4 it is 1 ---- */

#define BBW_ERF_SMALL 0.95f
#define BBW_ERF_MAX   4.0f

static inline float bbw_erf_f32(float x) {
  float size = bbw_f32_from_bits(bbw_f32_bits(x) & 0x7fffffffu);
  if (size < BBW_ERF_SMALL) {
    float z = x * x;
    float p = 8.25760216685e-05f;
    p = p * z - 0.000811796926f;
    p = p * z + 0.00519909756f;
    p = p * z - 0.0268587694f;
    p = p * z + 0.112836882f;
    p = p * z - 0.376126349f;
    p = p * z + 0.128379166f;
    return x + x * p;
  }
  float t = size > BBW_ERF_MAX ? BBW_ERF_MAX : size;
  float q = 2.10552753e-05f;
  q = q * t - 0.000433797715f;
  q = q * t + 0.00416694116f;
  q = q * t - 0.0251064599f;
  q = q * t + 0.108257174f;
  q = q * t + 0.633369982f;
  q = q * t + 1.12950253f;
  q = q * t - 0.00017195958f;
  float y = 1.0f - bbw_exp_f32(-q);
  return bbw_f32_from_bits(bbw_f32_bits(y) | (bbw_f32_bits(x) & 0x80000000u));
}

static inline bbw_f32x4 bbw_erf_f32x4(bbw_f32x4 x) {
  bbw_f32x4 size = bbw_f32x4_abs(x);
  bbw_f32x4 z = x * x;
  bbw_f32x4 p = bbw_f32x4_splat(8.25760216685e-05f);
  p = p * z - bbw_f32x4_splat(0.000811796926f);
  p = p * z + bbw_f32x4_splat(0.00519909756f);
  p = p * z - bbw_f32x4_splat(0.0268587694f);
  p = p * z + bbw_f32x4_splat(0.112836882f);
  p = p * z - bbw_f32x4_splat(0.376126349f);
  p = p * z + bbw_f32x4_splat(0.128379166f);
  bbw_f32x4 small = x + x * p;
  bbw_f32x4 t = bbw_f32x4_at_most(size, bbw_f32x4_splat(BBW_ERF_MAX));
  bbw_f32x4 q = bbw_f32x4_splat(2.10552753e-05f);
  q = q * t - bbw_f32x4_splat(0.000433797715f);
  q = q * t + bbw_f32x4_splat(0.00416694116f);
  q = q * t - bbw_f32x4_splat(0.0251064599f);
  q = q * t + bbw_f32x4_splat(0.108257174f);
  q = q * t + bbw_f32x4_splat(0.633369982f);
  q = q * t + bbw_f32x4_splat(1.12950253f);
  q = q * t - bbw_f32x4_splat(0.00017195958f);
  bbw_f32x4 y = bbw_f32x4_splat(1.0f) - bbw_exp_f32x4(-q);
  bbw_f32x4 large = bbw_u32x4_floats(bbw_f32x4_bits(y) | (bbw_f32x4_bits(x) & bbw_u32x4_splat(0x80000000u)));
  return bbw_f32x4_select(size < bbw_f32x4_splat(BBW_ERF_SMALL), small, large);
}

/* ---- made from these ---- */

static inline float bbw_sigmoid_f32(float x) { return 1.0f / (1.0f + bbw_exp_f32(-x)); }
static inline bbw_f32x4 bbw_sigmoid_f32x4(bbw_f32x4 x) {
  bbw_f32x4 one = bbw_f32x4_splat(1.0f);
  return one / (one + bbw_exp_f32x4(-x));
}

/* The tanh form, products from left to right (ops specification §6.5). */
#define BBW_GELU_SCALE 0.797884583f /* sqrt(2 / pi) */
static inline float bbw_gelu_f32(float x) {
  return 0.5f * x * (1.0f + bbw_tanh_f32(BBW_GELU_SCALE * (x + 0.044715f * x * x * x)));
}
static inline bbw_f32x4 bbw_gelu_f32x4(bbw_f32x4 x) {
  bbw_f32x4 cubic = x + bbw_f32x4_splat(0.044715f) * x * x * x;
  return bbw_f32x4_splat(0.5f) * x * (bbw_f32x4_splat(1.0f) + bbw_tanh_f32x4(bbw_f32x4_splat(BBW_GELU_SCALE) * cubic));
}

/*
 * The form with erf: 0.5 x (1 + erf(x / sqrt 2)) = max(x, 0) - |x| T(|x|) with the tail T of the normal distribution, which is P(|x|)^-8.  No
 * exponential and one division, and nothing large is taken from anything large: at most 2e-7 off, or 1 ULP where that is more.
 */
#define BBW_GELU_FAR 64.0f /* here P^8 has overflowed, and the tail is 0 */
/* 1 / T(t), 0 <= t <= BBW_GELU_FAR */
static inline float bbw_tail_inverse_f32(float t) {
  float p = 3.3536853e-06f;
  p = p * t - 2.0371398e-05f;
  p = p * t + 0.000118041642f;
  p = p * t + 8.76217572e-05f;
  p = p * t + 0.00112542439f;
  p = p * t + 0.00931596932f;
  p = p * t + 0.0488703261f;
  p = p * t + 0.108752019f;
  p = p * t + 1.09050836f;
  p = p * p;
  p = p * p;
  p = p * p;
  return p;
}
static const float bbw_tail_numbers[] = {3.3536853e-06f,  -2.0371398e-05f, 0.000118041642f,
                                         8.76217572e-05f, 0.00112542439f,  0.00931596932f,
                                         0.0488703261f,   0.108752019f,    1.09050836f};
static inline bbw_f32x4 bbw_tail_inverse_f32x4(bbw_f32x4 t) {
  const float *k = bbw_f32_table(bbw_tail_numbers);
  bbw_f32x4 p = bbw_f32x4_load_splat(k);
  for (size_t i = 1; i < 9; i++) { p = p * t + bbw_f32x4_load_splat(k + i); }
  p = p * p;
  p = p * p;
  p = p * p;
  return p;
}
static inline float bbw_gelu_erf_f32(float x) {
  float t = fabsf(x);
  t = t > BBW_GELU_FAR ? BBW_GELU_FAR : t;
  return (x < 0.0f ? 0.0f : x) - t / bbw_tail_inverse_f32(t);
}
static inline bbw_f32x4 bbw_gelu_erf_f32x4(bbw_f32x4 x) {
  bbw_f32x4 t = bbw_f32x4_at_most(bbw_f32x4_abs(x), bbw_f32x4_splat(BBW_GELU_FAR));
  return bbw_f32x4_at_least(x, bbw_f32x4_splat(0.0f)) - t / bbw_tail_inverse_f32x4(t);
}
/* Its derivative: the normal distribution, from the same tail, and x times its density. */
static inline float bbw_gelu_erf_slope_f32(float x) {
  float t = fabsf(x);
  t = t > BBW_GELU_FAR ? BBW_GELU_FAR : t;
  float tail = 1.0f / bbw_tail_inverse_f32(t), below = x < 0.0f ? tail : 1.0f - tail;
  return below + x * 0.39894228f * bbw_exp_f32(-0.5f * x * x);
}
static inline bbw_f32x4 bbw_gelu_erf_slope_f32x4(bbw_f32x4 x) {
  bbw_f32x4 t = bbw_f32x4_at_most(bbw_f32x4_abs(x), bbw_f32x4_splat(BBW_GELU_FAR)), one = bbw_f32x4_splat(1.0f);
  bbw_f32x4 tail = one / bbw_tail_inverse_f32x4(t);
  bbw_f32x4 below = bbw_f32x4_select(x < bbw_f32x4_splat(0.0f), tail, one - tail);
  return below + x * bbw_f32x4_splat(0.39894228f) * bbw_exp_f32x4(bbw_f32x4_splat(-0.5f) * x * x);
}

/* log(1 + e^x) = max(x, 0) + log(1 + t) with t = e^-|x|; what rounding takes from 1 + t is given back by t / ((1 + t) - 1). */
static inline float bbw_softplus_f32(float x) {
  float t = bbw_exp_f32(-fabsf(x));
  float u = 1.0f + t;
  float d = u - 1.0f;
  float y = d == 0.0f ? t : bbw_log_f32(u) * (t / d);
  return (x < 0.0f ? 0.0f : x) + y;
}
static inline bbw_f32x4 bbw_softplus_f32x4(bbw_f32x4 x) {
  bbw_f32x4 zero = bbw_f32x4_splat(0.0f), one = bbw_f32x4_splat(1.0f);
  bbw_f32x4 t = bbw_exp_f32x4(-bbw_f32x4_abs(x));
  bbw_f32x4 u = one + t;
  bbw_f32x4 d = u - one;
  bbw_f32x4 y = bbw_f32x4_select(d == zero, t, bbw_log_f32x4(u) * (t / d));
  return bbw_f32x4_at_least(x, zero) + y;
}

/* x max(0, min(1, x / 6 + 0.5)) */
static inline float bbw_hard_swish_f32(float x) {
  float y = x * 0.166666672f + 0.5f;
  y = y > 1.0f ? 1.0f : y;
  y = y < 0.0f ? 0.0f : y;
  return x * y;
}
static inline bbw_f32x4 bbw_hard_swish_f32x4(bbw_f32x4 x) {
  bbw_f32x4 zero = bbw_f32x4_splat(0.0f), one = bbw_f32x4_splat(1.0f);
  bbw_f32x4 y = x * bbw_f32x4_splat(0.166666672f) + bbw_f32x4_splat(0.5f);
  y = bbw_f32x4_at_least(bbw_f32x4_at_most(y, one), zero);
  return x * y;
}

/* x to the power y as C99's powf, computed in f64 with polynomials of our own; at most 0.51 ULP. One form only: every lane is computed alone. */
float bbw_pow_f32(float x, float y);

#endif
