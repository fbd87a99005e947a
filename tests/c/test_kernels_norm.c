/*
 * norm: equal bits in both versions, and the numbers of the definitions in f64.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "kernel_data.h"
#include "kernels/norm.h"

enum { N_MAX = 4096 };
static float x[N_MAX], gamma_of[N_MAX], beta_of[N_MAX], want[N_MAX], got[N_MAX];

static void fill(size_t n, uint32_t seed) {
  kernel_fill(x, n, seed, -3.0f, 5.0f);
  kernel_fill(gamma_of, n, seed + 1, -2.0f, 2.0f);
  kernel_fill(beta_of, n, seed + 2, -1.0f, 1.0f);
}

static void expect_equal(size_t n) { assert_int_equal(kernel_first_difference(want, got, n), n); }
static void expect_near(float value, double exact) {
  assert_true(fabs((double)value - exact) <= 1e-5 * (1.0 + fabs(exact)));
}

static const size_t LENGTHS[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 129};
enum { LENGTH_COUNT = sizeof LENGTHS / sizeof LENGTHS[0], ROWS = 5 };

static void test_layer_norm(void **state) {
  (void)state;
  for (size_t i = 0; i < LENGTH_COUNT; i++) {
    size_t n = LENGTHS[i];
    float means[2][ROWS], inverses[2][ROWS];
    fill(ROWS * n, (uint32_t)i);
    for (int form = 0; form < 4; form++) {
      const float *g = (form & 1) != 0 ? gamma_of : NULL, *b = (form & 2) != 0 ? beta_of : NULL;
      bbw_layer_norm_f32_scalar(x, g, b, 1e-3f, want, means[0], inverses[0], ROWS, n);
      bbw_layer_norm_f32_simd128(x, g, b, 1e-3f, got, form == 3 ? NULL : means[1], form == 3 ? NULL : inverses[1], ROWS,
                                 n);
      expect_equal(ROWS * n);
      for (size_t r = 0; r < ROWS; r++) {
        double mean = 0.0, variance = 0.0;
        for (size_t j = 0; j < n; j++) { mean += (double)x[r * n + j] / (double)n; }
        for (size_t j = 0; j < n; j++) {
          variance += ((double)x[r * n + j] - mean) * ((double)x[r * n + j] - mean) / (double)n;
        }
        expect_near(means[0][r], mean);
        expect_near(inverses[0][r], 1.0 / sqrt(variance + 1e-3));
        assert_true(means[0][r] == means[1][r] && inverses[0][r] == inverses[1][r]);
        for (size_t j = 0; j < n; j++) {
          double y = ((double)x[r * n + j] - mean) / sqrt(variance + 1e-3);
          expect_near(got[r * n + j], y * (g == NULL ? 1.0 : (double)g[j]) + (b == NULL ? 0.0 : (double)b[j]));
        }
      }
    }
    bbw_layer_norm_f32_simd128(x, gamma_of, beta_of, 1e-3f, x, NULL, NULL, ROWS, n); /* in place */
    assert_int_equal(kernel_first_difference(x, got, ROWS * n), ROWS * n);
  }
}

static void test_group_and_instance_norm(void **state) {
  (void)state;
  enum { OUTER = 2, CHANNELS = 6 };
  for (size_t i = 0; i < LENGTH_COUNT; i++) {
    size_t inner = LENGTHS[i], n = OUTER * CHANNELS * inner;
    for (size_t groups = 1; groups <= CHANNELS; groups += groups == 3 ? 3 : 1) {
      fill(n, (uint32_t)i);
      bbw_group_norm_f32_scalar(x, gamma_of, beta_of, 1e-3f, want, OUTER, CHANNELS, inner, groups);
      bbw_group_norm_f32_simd128(x, gamma_of, beta_of, 1e-3f, got, OUTER, CHANNELS, inner, groups);
      expect_equal(n);
      size_t run = CHANNELS / groups * inner;
      for (size_t at = 0; at < n; at++) {
        double mean = 0.0, variance = 0.0;
        const float *from = x + at / run * run;
        for (size_t j = 0; j < run; j++) { mean += (double)from[j] / (double)run; }
        for (size_t j = 0; j < run; j++) {
          variance += ((double)from[j] - mean) * ((double)from[j] - mean) / (double)run;
        }
        size_t channel = at / inner % CHANNELS;
        expect_near(got[at], ((double)x[at] - mean) / sqrt(variance + 1e-3) * (double)gamma_of[channel] +
                                 (double)beta_of[channel]);
      }
    }
  }
}

static void test_rms_norm(void **state) {
  (void)state;
  for (size_t i = 0; i < LENGTH_COUNT; i++) {
    size_t n = LENGTHS[i];
    fill(ROWS * n, (uint32_t)i);
    bbw_rms_norm_f32_scalar(x, gamma_of, 1e-3f, want, ROWS, n);
    bbw_rms_norm_f32_simd128(x, gamma_of, 1e-3f, got, ROWS, n);
    expect_equal(ROWS * n);
    for (size_t at = 0; at < ROWS * n; at++) {
      double squares = 0.0;
      for (size_t j = 0; j < n; j++) { squares += (double)x[at / n * n + j] * (double)x[at / n * n + j]; }
      expect_near(got[at], (double)x[at] / sqrt(squares / (double)n + 1e-3) * (double)gamma_of[at % n]);
    }
  }
}

static void test_scale_shift(void **state) {
  (void)state;
  for (size_t i = 0; i < LENGTH_COUNT; i++) {
    for (size_t channels = 1; channels <= 7; channels += 3) {
      size_t inner = LENGTHS[i], n = 3 * channels * inner;
      fill(n, (uint32_t)i);
      bbw_scale_shift_f32_scalar(x, gamma_of, beta_of, want, 3, channels, inner);
      bbw_scale_shift_f32_simd128(x, gamma_of, beta_of, got, 3, channels, inner);
      expect_equal(n);
      for (size_t at = 0; at < n; at++) {
        size_t c = at / inner % channels;
        expect_near(got[at], (double)x[at] * (double)gamma_of[c] + (double)beta_of[c]);
      }
    }
  }
}

static void test_lrn(void **state) {
  (void)state;
  enum { OUTER = 2, CHANNELS = 7, INNER = 5 };
  for (size_t size = 1; size <= 6; size++) {
    fill(OUTER * CHANNELS * INNER, (uint32_t)size);
    bbw_lrn_f32_scalar(x, want, OUTER, CHANNELS, INNER, size, 0.1f, 0.75f, 1.5f);
    bbw_lrn_f32_simd128(x, got, OUTER, CHANNELS, INNER, size, 0.1f, 0.75f, 1.5f);
    expect_equal(OUTER * CHANNELS * INNER);
    for (size_t at = 0; at < OUTER * CHANNELS * INNER; at++) {
      size_t c = at / INNER % CHANNELS;
      double sum = 0.0;
      for (size_t q = 0; q < CHANNELS; q++) {
        double v = (double)x[at / (CHANNELS * INNER) * CHANNELS * INNER + q * INNER + at % INNER];
        if (q + (size - 1) / 2 >= c && q <= c + size / 2) { sum += v * v; }
      }
      expect_near(got[at], (double)x[at] / pow(1.5 + 0.1 / (double)size * sum, 0.75));
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_layer_norm), cmocka_unit_test(test_group_and_instance_norm),
      cmocka_unit_test(test_rms_norm),   cmocka_unit_test(test_scale_shift),
      cmocka_unit_test(test_lrn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
