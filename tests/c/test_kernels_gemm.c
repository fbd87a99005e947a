/*
 * gemm: both versions give equal bits for every size around the tile and the blocks, every form and unaligned starts, and the numbers are
 * those of the definition in f64.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_data.h"
#include "kernels/gemm.h"

/* Runs one product in both versions on inputs that start `shift` floats after an aligned place. */
static void check(size_t m, size_t n, size_t k, bbw_gemm_options options, size_t shift) {
  size_t scratch_count = bbw_gemm_f32_scratch(m, n, k);
  size_t total = m * k + k * n + 2 * m * n + n + scratch_count + 6 * (shift + 1);
  float *memory = malloc(total * sizeof(float));
  assert_non_null(memory);
  float *a = memory + shift;
  float *b = a + m * k + shift;
  float *bias = b + k * n + shift;
  float *want = bias + n + shift;
  float *got = want + m * n + shift;
  float *scratch = got + m * n + shift;
  kernel_fill(a, m * k, 1, -1.0f, 1.0f);
  kernel_fill(b, k * n, 2, -1.0f, 1.0f);
  kernel_fill(bias, n, 3, -1.0f, 1.0f);
  kernel_fill(want, m * n, 4, -1.0f, 1.0f);
  memcpy(got, want, m * n * sizeof(float));
  if (options.bias != NULL) { options.bias = bias; }
  scratch[scratch_count] = 12345.0f; /* one past the end */
  bbw_gemm_f32_scalar(a, b, want, m, n, k, &options, NULL);
  bbw_gemm_f32_simd128(a, b, got, m, n, k, &options, scratch);
  assert_true(scratch[scratch_count] == 12345.0f);
  size_t at = kernel_first_difference(want, got, m * n);
  if (at < m * n) {
    print_error("m %zu n %zu k %zu at[%d] bt[%d] acc[%d] relu[%d]: element %zu is %a, wants %a\n", m, n, k,
                options.is_a_transposed, options.is_b_transposed, options.is_accumulating, options.has_relu, at,
                (double)got[at], (double)want[at]);
    fail();
  }
  free(memory);
}

static const float SOME_BIAS[1] = {0.0f};

static void every_form(size_t m, size_t n, size_t k, size_t shift) {
  for (unsigned bits = 0; bits < 16; bits++) {
    bbw_gemm_options options = {
        .is_a_transposed = (bits & 1u) != 0,
        .is_b_transposed = (bits & 2u) != 0,
        .is_accumulating = (bits & 4u) != 0,
        .has_relu = (bits & 8u) != 0,
        .alpha = (bits & 4u) != 0 ? 0.5f : 1.0f,
        .bias = (bits & 8u) != 0 ? SOME_BIAS : NULL,
    };
    check(m, n, k, options, shift);
  }
}

static void test_small_sizes_have_equal_bits(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17};
  size_t count = sizeof sizes / sizeof sizes[0];
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < count; j++) {
      for (size_t p = 0; p < count; p++) { every_form(sizes[i], sizes[j], sizes[p], (i + j + p) % 4); }
    }
  }
}

static void test_block_edges_have_equal_bits(void **state) {
  (void)state;
  static const size_t cases[][3] = {{95, 9, 255},  {96, 8, 256}, {97, 10, 257}, {192, 16, 512},
                                    {5, 511, 3},   {5, 512, 3},  {5, 513, 3},   {4, 1030, 300},
                                    {1, 600, 520}, {3, 33, 513}, {64, 10, 784}, {2, 5, 1000}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    every_form(cases[i][0], cases[i][1], cases[i][2], i % 4);
  }
}

static void test_result_is_the_product(void **state) {
  (void)state;
  enum { M = 37, N = 29, K = 301 };
  static float a[M * K], b[K * N], c[M * N];
  float *scratch = malloc(bbw_gemm_f32_scratch(M, N, K) * sizeof(float));
  assert_non_null(scratch);
  kernel_fill(a, M * K, 5, -1.0f, 1.0f);
  kernel_fill(b, K * N, 6, -1.0f, 1.0f);
  bbw_gemm_f32_simd128(a, b, c, M, N, K, &BBW_GEMM_PLAIN, scratch);
  for (size_t i = 0; i < M; i++) {
    for (size_t j = 0; j < N; j++) {
      double want = 0.0, size = 0.0;
      for (size_t p = 0; p < K; p++) {
        want += (double)a[i * K + p] * (double)b[p * N + j];
        size += fabs((double)a[i * K + p] * (double)b[p * N + j]);
      }
      assert_true(fabs((double)c[i * N + j] - want) <= 1e-5 * size);
    }
  }
  free(scratch);
}

static void test_known_values(void **state) {
  (void)state;
  const float a[] = {1, 2, 3, 4, 5, 6};    /* [2,3] */
  const float b[] = {7, 8, 9, 10, 11, 12}; /* [3,2] */
  const float want[] = {58, 64, 139, 154};
  const float bias[] = {-60, 1};
  const float want_relu[] = {0, 65, 79, 155};
  float c[4];
  float scratch[64];
  assert_true(bbw_gemm_f32_scratch(2, 2, 3) <= 64);
  bbw_gemm_f32_simd128(a, b, c, 2, 2, 3, &BBW_GEMM_PLAIN, scratch);
  assert_memory_equal(c, want, sizeof want);
  bbw_gemm_options options = {.alpha = 1.0f, .bias = bias, .has_relu = true};
  bbw_gemm_f32_simd128(a, b, c, 2, 2, 3, &options, scratch);
  assert_memory_equal(c, want_relu, sizeof want_relu);
}

static void test_a_row_does_not_depend_on_its_neighbours(void **state) {
  (void)state;
  enum { M = 23, N = 31, K = 280 };
  static float a[M * K], b[K * N], c[M * N], one[N];
  float *scratch = malloc(bbw_gemm_f32_scratch(M, N, K) * sizeof(float));
  assert_non_null(scratch);
  kernel_fill(a, M * K, 7, -1.0f, 1.0f);
  kernel_fill(b, K * N, 8, -1.0f, 1.0f);
  bbw_gemm_f32_simd128(a, b, c, M, N, K, &BBW_GEMM_PLAIN, scratch);
  for (size_t i = 0; i < M; i++) {
    bbw_gemm_f32_simd128(a + i * K, b, one, 1, N, K, &BBW_GEMM_PLAIN, scratch);
    assert_int_equal(kernel_first_difference(c + i * N, one, N), N);
  }
  free(scratch);
}

static void test_empty_sums_are_zero(void **state) {
  (void)state;
  float c[6] = {1, 2, 3, 4, 5, 6};
  bbw_gemm_options adding = {.is_accumulating = true, .alpha = 1.0f};
  bbw_gemm_f32_simd128(NULL, NULL, c, 2, 3, 0, &adding, NULL);
  assert_true(c[0] == 1.0f && c[5] == 6.0f);
  bbw_gemm_f32_simd128(NULL, NULL, c, 2, 3, 0, &BBW_GEMM_PLAIN, NULL);
  for (size_t i = 0; i < 6; i++) { assert_true(c[i] == 0.0f); }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_values),
      cmocka_unit_test(test_small_sizes_have_equal_bits),
      cmocka_unit_test(test_block_edges_have_equal_bits),
      cmocka_unit_test(test_result_is_the_product),
      cmocka_unit_test(test_a_row_does_not_depend_on_its_neighbours),
      cmocka_unit_test(test_empty_sums_are_zero),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
