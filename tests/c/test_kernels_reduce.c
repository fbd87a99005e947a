/*
 * reduce, softmax, transpose: equal bits in both versions, values of the definition, gradients against differences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernel_data.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "kernels/transpose.h"

enum { N_MAX = 5 * 17 * 9 };

static const struct {
  const char *name;
  bbw_reduce_f32_fn *scalar, *simd128;
} REDUCTIONS[] = {
    {"sum", bbw_reduce_sum_f32_scalar, bbw_reduce_sum_f32_simd128},
    {"mean", bbw_reduce_mean_f32_scalar, bbw_reduce_mean_f32_simd128},
    {"max", bbw_reduce_max_f32_scalar, bbw_reduce_max_f32_simd128},
    {"min", bbw_reduce_min_f32_scalar, bbw_reduce_min_f32_simd128},
    {"softmax", bbw_softmax_f32_scalar, bbw_softmax_f32_simd128},
    {"log_softmax", bbw_log_softmax_f32_scalar, bbw_log_softmax_f32_simd128},
};

static void expect_equal(const char *name, const float *want, const float *got, size_t n) {
  size_t at = kernel_first_difference(want, got, n);
  if (at < n) {
    print_error("%s: element %zu of %zu is %a, wants %a\n", name, at, n, (double)got[at], (double)want[at]);
    fail();
  }
}

static void test_both_versions_have_equal_bits(void **state) {
  (void)state;
  static const size_t lengths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17};
  static const size_t inners[] = {1, 2, 3, 4, 5, 7, 8, 9};
  static float x[N_MAX + 4], want[N_MAX], got[N_MAX + 1];
  for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
    for (size_t j = 0; j < sizeof inners / sizeof inners[0]; j++) {
      for (size_t outer = 0; outer < 5; outer++) {
        for (size_t k = 0; k < sizeof REDUCTIONS / sizeof REDUCTIONS[0]; k++) {
          size_t n = outer * lengths[l] * inners[j];
          size_t results = k < 4 ? outer * inners[j] : n;
          for (int odd = 0; odd < 2; odd++) {
            if (odd) {
              kernel_fill_odd(x, N_MAX + 4, (uint32_t)(l + j));
            } else {
              kernel_fill(x, N_MAX + 4, (uint32_t)(l + j), -9.0f, 9.0f);
            }
            got[results] = 55.0f; /* one past the end */
            REDUCTIONS[k].scalar(x + outer % 4, want, outer, lengths[l], inners[j]);
            REDUCTIONS[k].simd128(x + outer % 4, got, outer, lengths[l], inners[j]);
            expect_equal(REDUCTIONS[k].name, want, got, results);
            assert_true(got[results] == 55.0f);
          }
        }
      }
    }
  }
}

static void test_known_reductions(void **state) {
  (void)state;
  const float x[] = {1, 5, 3, 4, 2, 6}; /* [2,3] */
  float out[3];
  bbw_reduce_sum_f32_simd128(x, out, 1, 2, 3); /* columns */
  assert_true(out[0] == 5.0f && out[1] == 7.0f && out[2] == 9.0f);
  bbw_reduce_mean_f32_simd128(x, out, 2, 3, 1);
  assert_true(out[0] == 3.0f && out[1] == 4.0f);
  bbw_reduce_max_f32_simd128(x, out, 2, 3, 1);
  assert_true(out[0] == 5.0f && out[1] == 6.0f);
  bbw_reduce_min_f32_simd128(x, out, 1, 2, 3);
  assert_true(out[0] == 1.0f && out[1] == 2.0f && out[2] == 3.0f);
  bbw_argmax_f32(x, out, 2, 3, 1);
  assert_true(out[0] == 1.0f && out[1] == 2.0f);
  const float ties[] = {2, 7, 7, NAN, 9, NAN};
  bbw_argmax_f32(ties, out, 2, 3, 1);
  assert_true(out[0] == 1.0f && out[1] == 0.0f);
  bbw_reduce_max_f32_simd128(ties, out, 2, 3, 1);
  assert_true(out[0] == 7.0f && isnan(out[1]));
}

/* The order of ops specification §6.6, written out: 1e8 and -1e8 meet in (p0+p4), so the ones around them survive. */
static void test_order_of_a_contiguous_sum(void **state) {
  (void)state;
  const float x[] = {1e8f, 1, 1, 1, -1e8f, 1, 1, 1, 0.5f};
  float sequential = 0.0f;
  for (size_t i = 0; i < 9; i++) { sequential += x[i]; }
  assert_true(bbw_sum_f32_simd128(x, 9) == 6.5f);
  assert_true(sequential != 6.5f);
  assert_true(bbw_sum_f32_simd128(x, 0) == 0.0f);
}

static void test_softmax_values(void **state) {
  (void)state;
  const float x[] = {1, 2, 3, 1000, 1000, -1000};
  float out[6];
  bbw_softmax_f32_simd128(x, out, 2, 3, 1);
  assert_true(fabsf(out[0] - 0.09003057f) < 1e-7f && fabsf(out[2] - 0.66524096f) < 1e-7f);
  assert_true(out[3] == 0.5f && out[4] == 0.5f && out[5] == 0.0f);
  bbw_log_softmax_f32_simd128(x, out, 2, 3, 1);
  assert_true(fabsf(out[0] + 2.40760596f) < 1e-6f && fabsf(out[5] + 2000.69315f) < 1e-3f);
}

/* Loss of one batch in f64, from the definition. */
static double loss_f64(const double *x, const float *labels, bool is_index, size_t rows, size_t classes) {
  double total = 0.0;
  for (size_t r = 0; r < rows; r++) {
    double m = x[r * classes], sum = 0.0;
    for (size_t j = 1; j < classes; j++) { m = fmax(m, x[r * classes + j]); }
    for (size_t j = 0; j < classes; j++) { sum += exp(x[r * classes + j] - m); }
    for (size_t j = 0; j < classes; j++) {
      double t = is_index ? (j == (size_t)labels[r] ? 1.0 : 0.0) : (double)labels[r * classes + j];
      total += t * (log(sum) + m - x[r * classes + j]);
    }
  }
  return total;
}

static void test_cross_entropy_and_its_gradient(void **state) {
  (void)state;
  enum { ROWS = 3 };
  static const size_t classes_list[] = {1, 2, 4, 5, 9, 10, 17};
  for (size_t c = 0; c < sizeof classes_list / sizeof classes_list[0]; c++) {
    size_t classes = classes_list[c], n = ROWS * classes;
    float logits[ROWS * 17], labels[ROWS * 17], want[ROWS * 17], got[ROWS * 17];
    double x[ROWS * 17];
    for (int is_index = 0; is_index < 2; is_index++) {
      kernel_fill(logits, n, 20, -3.0f, 3.0f);
      kernel_fill(labels, n, 21, 0.0f, 1.0f);
      for (size_t r = 0; is_index && r < ROWS; r++) { labels[r] = (float)((r * 7 + 3) % classes); }
      double loss = bbw_cross_entropy_f32_scalar(logits, labels, is_index, want, 1.0f / (float)ROWS, ROWS, classes);
      assert_true(bbw_cross_entropy_f32_simd128(logits, labels, is_index, got, 1.0f / (float)ROWS, ROWS, classes) ==
                  loss);
      expect_equal("cross entropy gradient", want, got, n);
      for (size_t i = 0; i < n; i++) { x[i] = (double)logits[i]; }
      assert_true(fabs(loss - loss_f64(x, labels, is_index, ROWS, classes)) < 1e-5 * (1.0 + fabs(loss)));
      for (size_t i = 0; i < n; i++) {
        double keep = x[i], step = 1e-5;
        x[i] = keep + step;
        double above = loss_f64(x, labels, is_index, ROWS, classes);
        x[i] = keep - step;
        double below = loss_f64(x, labels, is_index, ROWS, classes);
        x[i] = keep;
        assert_true(fabs((above - below) / (2.0 * step) / (double)ROWS - (double)got[i]) < 1e-6);
      }
    }
  }
}

/* d/dx of sum(w * f(x)) for random w, against central differences of f in f64. */
static double weighted(const double *x, const float *w, size_t n, bool is_log) {
  double m = x[0], sum = 0.0, total = 0.0;
  for (size_t j = 1; j < n; j++) { m = fmax(m, x[j]); }
  for (size_t j = 0; j < n; j++) { sum += exp(x[j] - m); }
  for (size_t j = 0; j < n; j++) { total += (double)w[j] * (is_log ? x[j] - m - log(sum) : exp(x[j] - m) / sum); }
  return total;
}

static void test_softmax_gradients(void **state) {
  (void)state;
  for (size_t n = 1; n <= 19; n++) {
    float x[19], w[19], y[19], want[19], got[19];
    double wide[19];
    kernel_fill(x, n, 30, -2.0f, 2.0f);
    kernel_fill(w, n, 31, -2.0f, 2.0f);
    for (size_t i = 0; i < n; i++) { wide[i] = (double)x[i]; }
    for (int is_log = 0; is_log < 2; is_log++) {
      if (is_log) {
        bbw_log_softmax_f32_simd128(x, y, 1, n, 1);
        bbw_log_softmax_gradient_f32_scalar(y, w, want, 1, n);
        bbw_log_softmax_gradient_f32_simd128(y, w, got, 1, n);
      } else {
        bbw_softmax_f32_simd128(x, y, 1, n, 1);
        bbw_softmax_gradient_f32_scalar(y, w, want, 1, n);
        bbw_softmax_gradient_f32_simd128(y, w, got, 1, n);
      }
      expect_equal("softmax gradient", want, got, n);
      for (size_t i = 0; i < n; i++) {
        double keep = wide[i], step = 1e-5;
        wide[i] = keep + step;
        double above = weighted(wide, w, n, is_log);
        wide[i] = keep - step;
        double below = weighted(wide, w, n, is_log);
        wide[i] = keep;
        assert_true(fabs((above - below) / (2.0 * step) - (double)got[i]) < 2e-5);
      }
    }
  }
}

static void test_transpose(void **state) {
  (void)state;
  static const struct {
    uint32_t rank;
    uint64_t dims[4];
    uint32_t perm[4];
  } cases[] = {
      {0, {0}, {0}},
      {1, {7}, {0}},
      {2, {1, 1}, {1, 0}},
      {2, {5, 9}, {1, 0}},
      {2, {8, 12}, {1, 0}},
      {2, {5, 9}, {0, 1}},
      {3, {2, 3, 4}, {2, 0, 1}},
      {3, {2, 3, 4}, {1, 0, 2}},
      {4, {2, 3, 1, 5}, {3, 1, 0, 2}},
      {3, {2, 0, 4}, {2, 1, 0}},
  };
  float x[128], out[129];
  kernel_fill(x, 128, 40, -1.0f, 1.0f);
  for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
    uint32_t rank = cases[c].rank;
    size_t count = 1;
    for (uint32_t d = 0; d < rank; d++) { count *= (size_t)cases[c].dims[d]; }
    out[count] = 66.0f;
    bbw_transpose_f32(x, cases[c].dims, cases[c].perm, rank, out);
    assert_true(out[count] == 66.0f);
    for (size_t i = 0; i < count; i++) { /* the full index of each element of x, and where it has to be */
      size_t index[4] = {0}, rest = i, to = 0;
      for (uint32_t d = rank; d-- > 0;) {
        index[d] = rest % (size_t)cases[c].dims[d];
        rest /= (size_t)cases[c].dims[d];
      }
      for (uint32_t d = 0; d < rank; d++) {
        to = to * (size_t)cases[c].dims[cases[c].perm[d]] + index[cases[c].perm[d]];
      }
      assert_true(out[to] == x[i]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_both_versions_have_equal_bits),
      cmocka_unit_test(test_known_reductions),
      cmocka_unit_test(test_order_of_a_contiguous_sum),
      cmocka_unit_test(test_softmax_values),
      cmocka_unit_test(test_cross_entropy_and_its_gradient),
      cmocka_unit_test(test_softmax_gradients),
      cmocka_unit_test(test_transpose),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
