/*
 * math_f64: every function against the C library of the machine that runs the tests, which is within 1 ULP for these.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/math_f64.h"

static uint64_t next_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return *state >> 11;
}

/* Distance in units of the last place of `want`. */
static double ulp(double got, double want) {
  if (got == want || (isnan(got) && isnan(want))) { return 0.0; }
  if (!isfinite(got) || !isfinite(want)) { return INFINITY; }
  int e;
  frexp(want, &e);
  return fabs(got - want) / ldexp(1.0, (e < -1021 ? -1021 : e) - 53);
}

typedef double one_fn(double x);

static const struct {
  const char *name;
  one_fn *ours, *libm;
  double low, high; /* of the arguments */
  double ulp_max;
} rows[] = {
    {"exp", bbw_exp_f64, exp, -745.0, 709.0, 2.0},
    {"expm1", bbw_expm1_f64, expm1, -40.0, 700.0, 4.0},
    {"expm1 near zero", bbw_expm1_f64, expm1, -0.5, 0.5, 4.0},
    {"log", bbw_log_f64, log, 0.0, 1e6, 2.0},
    {"log near one", bbw_log_f64, log, 0.5, 2.0, 2.0},
    {"log1p", bbw_log1p_f64, log1p, -0.9999, 10.0, 3.0},
    {"sin", bbw_sin_f64, sin, -100.0, 100.0, 3.0},
    {"sin of large", bbw_sin_f64, sin, -1e18, 1e18, 3.0},
    {"sin of huge", bbw_sin_f64, sin, -1e300, 1e300, 3.0},
    {"cos", bbw_cos_f64, cos, -100.0, 100.0, 3.0},
    {"cos of huge", bbw_cos_f64, cos, -1e300, 1e300, 3.0},
    {"tan", bbw_tan_f64, tan, -100.0, 100.0, 5.0},
    {"asin", bbw_asin_f64, asin, -1.0, 1.0, 5.0},
    {"acos", bbw_acos_f64, acos, -1.0, 1.0, 5.0},
    {"atan", bbw_atan_f64, atan, -20.0, 20.0, 2.0},
    {"sinh", bbw_sinh_f64, sinh, -710.0, 710.0, 5.0},
    {"sinh near zero", bbw_sinh_f64, sinh, -1.0, 1.0, 5.0},
    {"cosh", bbw_cosh_f64, cosh, -710.0, 710.0, 5.0},
    {"tanh", bbw_tanh_f64, tanh, -25.0, 25.0, 5.0},
    {"tanh near zero", bbw_tanh_f64, tanh, -0.5, 0.5, 5.0},
    {"asinh", bbw_asinh_f64, asinh, -1e9, 1e9, 5.0},
    {"asinh near zero", bbw_asinh_f64, asinh, -2.0, 2.0, 5.0},
    {"acosh", bbw_acosh_f64, acosh, 1.0, 5.0, 5.0},
    {"atanh", bbw_atanh_f64, atanh, -1.0, 1.0, 5.0},
    {"erf", bbw_erf_f64, erf, -6.5, 6.5, 12.0},
};

/* The f32 result that goes through f64 may be off by half a unit of f32 and what f64 lost. */
static double ulp_f32(double got, double want) {
  int e;
  if (!isfinite(want) || fabs(want) < 1e-37 || fabs(want) > 3.4e38) { return 0.0; }
  frexp(want, &e);
  return fabs((double)(float)got - want) / ldexp(1.0, e - 24);
}

static void test_results_are_within_the_stated_error(void **state) {
  (void)state;
  size_t failures = 0;
  for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
    uint64_t seed = r;
    double worst = 0.0, worst_f32 = 0.0, at = 0.0;
    for (int i = 0; i < 200000; i++) {
      double x = rows[r].low + (rows[r].high - rows[r].low) * ((double)next_random(&seed) / 9007199254740992.0);
      if (i % 4 == 0) { x = x * ldexp(1.0, -(int)(next_random(&seed) % 60)); } /* small ones too */
      if (i % 2 == 1) { x = (double)(float)x; }
      if (x < rows[r].low || x > rows[r].high) { continue; }
      double want = rows[r].libm(x), got = rows[r].ours(x), distance = ulp(got, want);
      if (distance > worst) {
        worst = distance;
        at = x;
      }
      if (ulp_f32(got, want) > worst_f32) { worst_f32 = ulp_f32(got, want); }
    }
    if (worst > rows[r].ulp_max || worst_f32 > 0.51) {
      print_error("%s: %.2f ULP at %a (f32: %.4f)\n", rows[r].name, worst, at, worst_f32);
      failures++;
    }
  }
  assert_int_equal(failures, 0);
}

static void test_limits_are_those_of_c99(void **state) {
  (void)state;
  static const double odd[] = {0.0,  -0.0,   INFINITY, -INFINITY, NAN,    1.0,   -1.0,  2.0,
                               -2.0, 5e-324, -5e-324,  1e308,     -1e308, 710.5, 1e-310};
  size_t failures = 0;
  for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
      double want = rows[r].libm(odd[i]), got = rows[r].ours(odd[i]);
      bool is_zero_equal = want != 0.0 || got != 0.0 || signbit(want) == signbit(got);
      if (ulp(got, want) > 5.0 || !is_zero_equal) {
        print_error("%s(%a): %a, wants %a\n", rows[r].name, odd[i], got, want);
        failures++;
      }
    }
  }
  assert_int_equal(failures, 0);
}

static void test_powers(void **state) {
  (void)state;
  static const double odd[] = {0.0,  -0.0, INFINITY, -INFINITY, NAN,  1.0,   -1.0,  2.0,
                               -2.0, 0.5,  -0.5,     3.0,       -3.0, 1e308, 1e-308};
  enum { N = sizeof odd / sizeof odd[0] };
  uint64_t seed = 7;
  for (size_t i = 0; i < N * N; i++) {
    double x = odd[i / N], y = odd[i % N], want = pow(x, y), got = bbw_pow_f64(x, y);
    bool is_zero_equal = want != 0.0 || got != 0.0 || signbit(want) == signbit(got);
    if (ulp(got, want) > 2000.0 || !is_zero_equal) {
      print_error("pow(%a, %a): %a, wants %a\n", x, y, got, want);
      fail();
    }
  }
  for (int i = 0; i < 100000; i++) {
    double x = (double)next_random(&seed) / 9007199254740992.0 * 10.0;
    double y = (double)next_random(&seed) / 9007199254740992.0 * 40.0 - 20.0;
    if (i % 3 == 0) { y = floor(y); }
    if (ulp(bbw_pow_f64(x, y), pow(x, y)) > 4.0 + 2.0 * fabs(y * log(x)) + 0.5 * fabs(y)) {
      print_error("pow(%a, %a): %a, wants %a\n", x, y, bbw_pow_f64(x, y), pow(x, y));
      fail();
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_results_are_within_the_stated_error),
      cmocka_unit_test(test_limits_are_those_of_c99),
      cmocka_unit_test(test_powers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
