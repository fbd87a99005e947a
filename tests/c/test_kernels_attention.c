/*
 * attention: the bits of its steps done one after the other, in both versions, for every shape around a block.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "kernel_data.h"
#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/softmax.h"

static float *floats(size_t n, uint32_t seed) {
  float *x = malloc((n + 1) * sizeof(float));
  assert_non_null(x);
  kernel_fill(x, n, seed, -1.0f, 1.0f);
  return x;
}

/* mask: 0 none, 1 one row, 2 a row for each query. */
static void check(size_t m, size_t n, size_t d, size_t dv, int mask) {
  size_t gap = 5;
  float *q = floats(m * (d + gap), 1), *k = floats(n * (d + gap), 2), *v = floats(n * (dv + gap), 3);
  float *added = floats((m + 1) * (n + gap), 4), *want = floats(m * (dv + gap), 5), *got = floats(m * (dv + gap), 5);
  float *scores = floats(m * n, 6);
  for (size_t i = 0; i < (m + 1) * (n + gap); i += 3) { added[i] = -10000.0f; }
  bbw_attention a = {
      .m = m, .n = n, .d = d, .dv = dv, .q = q, .k = k, .v = v, .ldq = d + gap, .ldk = d + gap, .ldv = dv + gap};
  a.scale = 0.3f, a.out = got, a.ldo = dv + gap;
  a.mask = mask == 0 ? NULL : added, a.mask_stride = mask == 2 ? n + gap : 0;
  size_t count = bbw_attention_f32_scratch(m, n, d, dv);
  float *scratch = floats(count, 7);
  scratch[count] = 12345.0f;
  bbw_gemm first = {.m = m,
                    .n = n,
                    .k = d,
                    .a = q,
                    .lda = d + gap,
                    .b = k,
                    .ldb = d + gap,
                    .is_b_transposed = true,
                    .c = scores,
                    .ldc = n,
                    .alpha = 1.0f};
  bbw_gemm second = {.m = m,
                     .n = dv,
                     .k = n,
                     .a = scores,
                     .lda = n,
                     .b = v,
                     .ldb = dv + gap,
                     .c = want,
                     .ldc = dv + gap,
                     .alpha = 1.0f};
  bbw_gemm_f32_run_scalar(&first, NULL);
  bbw_scale_f32_scalar(0.3f, scores, scores, m * n);
  for (size_t i = 0; mask != 0 && i < m; i++) {
    bbw_add_f32_scalar(scores + i * n, added + i * a.mask_stride, scores + i * n, n);
  }
  bbw_softmax_f32_scalar(scores, scores, m, n, 1);
  bbw_gemm_f32_run_scalar(&second, NULL);
  bbw_attention_f32_simd128(&a, scratch);
  assert_int_equal(kernel_first_difference(want, got, m * (dv + gap)), m * (dv + gap));
  kernel_fill(got, m * (dv + gap), 5, -1.0f, 1.0f);
  bbw_attention_f32_scalar(&a, scratch);
  assert_int_equal(kernel_first_difference(want, got, m * (dv + gap)), m * (dv + gap));
  assert_true(scratch[count] == 12345.0f);
  free(q), free(k), free(v), free(added), free(want), free(got), free(scores), free(scratch);
}

static void test_fused_has_the_bits_of_its_steps(void **state) {
  (void)state;
  static const size_t sizes[][4] = {{1, 1, 1, 1},      {1, 9, 16, 8},   {3, 5, 4, 4},
                                    {47, 33, 32, 32},  {48, 48, 8, 24}, {49, 65, 20, 7},
                                    {100, 300, 12, 3}, {2, 17, 300, 1}, {0, 4, 4, 4}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    for (int mask = 0; mask < 3; mask++) { check(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], mask); }
  }
}

static void test_scratch_is_linear_and_does_not_overflow(void **state) {
  (void)state;
  assert_true(bbw_attention_f32_scratch(100000, 100000, 64, 64) < 100000u * (64 + 64 + 56) + 100000u);
  assert_true(bbw_attention_f32_scratch(SIZE_MAX, SIZE_MAX, 64, 64) == SIZE_MAX);
  assert_true(bbw_attention_f32_scratch(48, SIZE_MAX / 16, 1, 1) == SIZE_MAX);
}

static void test_each_row_is_a_mean_of_values(void **state) {
  (void)state;
  const float q[] = {0, 0}, k[] = {1, 2, 3, 4}, v[] = {10, 30}, mask[] = {0, -INFINITY};
  float out[1];
  static float scratch[4096];
  bbw_attention a = {.m = 1,
                     .n = 2,
                     .d = 2,
                     .dv = 1,
                     .q = q,
                     .k = k,
                     .v = v,
                     .ldq = 2,
                     .ldk = 2,
                     .ldv = 1,
                     .scale = 1.0f,
                     .out = out,
                     .ldo = 1};
  assert_true(bbw_attention_f32_scratch(1, 2, 2, 1) <= 4096);
  bbw_attention_f32_simd128(&a, scratch);
  assert_true(out[0] == 20.0f);
  a.mask = mask;
  bbw_attention_f32_simd128(&a, scratch);
  assert_true(out[0] == 10.0f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_row_is_a_mean_of_values),
      cmocka_unit_test(test_fused_has_the_bits_of_its_steps),
      cmocka_unit_test(test_scratch_is_linear_and_does_not_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
