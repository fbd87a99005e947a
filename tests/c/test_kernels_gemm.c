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

/* ---- the general form ---- */

typedef struct panel_source {
  const float *b;
  size_t ldb;
} panel_source;

/* Gives panels of a b that is stored in rows of k. */
static void give_panel(const void *context, float *dst, size_t j, size_t columns, size_t p, size_t depth) {
  const panel_source *from = context;
  assert_true(j % BBW_GEMM_PANEL == 0 && p % BBW_GEMM_KC == 0 && columns >= 1 && columns <= BBW_GEMM_PANEL);
  for (size_t i = 0; i < depth; i++) {
    for (size_t lane = 0; lane < BBW_GEMM_PANEL; lane++) {
      dst[i * BBW_GEMM_PANEL + lane] = lane < columns ? from->b[(p + i) * from->ldb + j + lane] : 0.0f;
    }
  }
}

enum {
  FORM_A_TRANSPOSED = 1,
  FORM_A_PACKED = 2,
  FORM_B_TRANSPOSED = 4,
  FORM_B_PACKED = 8,
  FORM_B_MADE = 16,
  FORM_ADDS = 32
};

static float *floats(size_t n, uint32_t seed) {
  float *x = malloc((n + 1) * sizeof(float));
  assert_non_null(x);
  kernel_fill(x, n, seed, -1.0f, 1.0f);
  return x;
}

/* Every form gives the bits of the plain scalar product, and writes nothing beside c. */
static void check_form(size_t m, size_t n, size_t k, unsigned form, const bbw_epilogue *epilogue, float alpha) {
  size_t gap = 3; /* between rows, in every matrix */
  bool at = (form & FORM_A_TRANSPOSED) != 0, bt = (form & FORM_B_TRANSPOSED) != 0;
  size_t lda = (at ? m : k) + gap, ldb = (bt ? k : n) + gap, ldc = n + gap;
  float *a = floats((at ? k : m) * lda, 1), *b = floats((bt ? n : k) * ldb, 2);
  float *want = floats(m * ldc, 3), *got = floats(m * ldc, 3), *residual = floats(m * (n + 5), 4);
  float *row_bias = floats(m, 5), *column_bias = floats(n, 6);
  bbw_gemm g = {
      .m = m, .n = n, .k = k, .a = a, .lda = lda, .is_a_transposed = at, .b = b, .ldb = ldb, .is_b_transposed = bt};
  g.ldc = ldc, g.alpha = alpha, g.is_accumulating = (form & FORM_ADDS) != 0, g.epilogue = *epilogue;
  if (g.epilogue.row_bias != NULL) { g.epilogue.row_bias = row_bias; }
  if (g.epilogue.column_bias != NULL) { g.epilogue.column_bias = column_bias; }
  if (g.epilogue.residual != NULL) { g.epilogue.residual = residual, g.epilogue.residual_stride = n + 5; }
  g.c = want;
  bbw_gemm_f32_run_scalar(&g, NULL);

  float *a_packed = floats(bbw_gemm_f32_pack_a_size(m, k), 7), *b_packed = floats(bbw_gemm_f32_pack_b_size(n, k), 8);
  panel_source source = {b, ldb};
  if ((form & FORM_A_PACKED) != 0) {
    bbw_gemm_f32_pack_a(a_packed, a, lda, at, m, k);
    g.a = a_packed, g.is_a_packed = true;
  }
  if ((form & FORM_B_PACKED) != 0) {
    bbw_gemm_f32_pack_b(b_packed, b, ldb, bt, n, k);
    g.b = b_packed, g.is_b_packed = true;
  } else if ((form & FORM_B_MADE) != 0 && !bt) {
    g.b = NULL, g.b_panel = give_panel, g.b_context = &source;
  }
  size_t scratch_count = bbw_gemm_f32_run_scratch(&g);
  float *scratch = floats(scratch_count, 9);
  scratch[scratch_count] = 12345.0f;
  for (int run = 0; run < 2; run++) {
    kernel_fill(got, m * ldc, 3, -1.0f, 1.0f);
    g.c = got;
    if (run == 0) {
      bbw_gemm_f32_run_simd128(&g, scratch);
    } else {
      float panel[BBW_GEMM_PANEL * BBW_GEMM_KC];
      bbw_gemm_f32_run_scalar(&g, panel);
    }
    size_t first = kernel_first_difference(want, got, m * ldc);
    if (first < m * ldc) {
      print_error("m %zu n %zu k %zu form %u run %d: element %zu is %a, wants %a\n", m, n, k, form, run, first,
                  (double)got[first], (double)want[first]);
      fail();
    }
  }
  assert_true(scratch[scratch_count] == 12345.0f);
  free(a), free(b), free(want), free(got), free(residual), free(row_bias), free(column_bias);
  free(a_packed), free(b_packed), free(scratch);
}

static const bbw_epilogue EPILOGUES[] = {
    {0},
    {.row_bias = SOME_BIAS, .activation = BBW_ACTIVATION_RELU},
    {.column_bias = SOME_BIAS, .activation = BBW_ACTIVATION_CLIP, .low = -0.25f, .high = 0.5f},
    {.row_bias = SOME_BIAS, .column_bias = SOME_BIAS, .residual = SOME_BIAS},
    {.residual = SOME_BIAS, .activation = BBW_ACTIVATION_MAP, .map = bbw_sigmoid_f32_simd128},
};
enum { EPILOGUE_COUNT = sizeof EPILOGUES / sizeof EPILOGUES[0] };

static void test_every_form_has_the_bits_of_the_plain_one(void **state) {
  (void)state;
  static const size_t sizes[][3] = {{1, 1, 1},    {1, 70, 9},   {2, 33, 300}, {3, 17, 5},   {4, 8, 4},
                                    {5, 9, 257},  {70, 1, 30},  {33, 2, 270}, {13, 24, 40}, {97, 25, 7},
                                    {7, 520, 19}, {1, 1030, 6}, {600, 1, 5},  {6, 6, 0},    {133, 18, 261}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    for (unsigned form = 0; form < 64; form++) {
      size_t e = (i + form + form / 8) % EPILOGUE_COUNT;
      check_form(sizes[i][0], sizes[i][1], sizes[i][2], form, &EPILOGUES[e], form % 3 == 0 ? 0.5f : 1.0f);
    }
  }
}

static void test_epilogues_do_what_they_say(void **state) {
  (void)state;
  const float a[] = {1, 2}, b[] = {3, 4, 5}, rows[] = {-10, 1}, columns[] = {1, 2, 3},
              residual[] = {0, 100, 0, 0, 0, 100};
  float c[6], scratch[64];
  bbw_gemm g = {.m = 2, .n = 3, .k = 1, .a = a, .lda = 1, .b = b, .ldb = 3, .c = c, .ldc = 3, .alpha = 1.0f};
  g.epilogue = (bbw_epilogue){.row_bias = rows, .column_bias = columns, .residual = residual, .residual_stride = 3};
  assert_true(bbw_gemm_f32_run_scratch(&g) <= 64);
  bbw_gemm_f32_run_simd128(&g, scratch);
  const float sums[] = {3 - 10 + 1, 4 - 10 + 2 + 100, 5 - 10 + 3, 6 + 1 + 1, 8 + 1 + 2, 10 + 1 + 3 + 100};
  assert_memory_equal(c, sums, sizeof sums);
  g.epilogue.activation = BBW_ACTIVATION_CLIP, g.epilogue.low = -5.0f, g.epilogue.high = 50.0f;
  bbw_gemm_f32_run_simd128(&g, scratch);
  const float clipped[] = {-5, 50, -2, 8, 11, 50};
  assert_memory_equal(c, clipped, sizeof clipped);
}

/* NaN, zeros of both signs and infinities come through every epilogue alike. */
static void test_epilogues_have_equal_bits_for_odd_numbers(void **state) {
  (void)state;
  enum { ROWS = 7, COLUMNS = 23 };
  float want[ROWS * COLUMNS], got[ROWS * COLUMNS], rows[ROWS], columns[COLUMNS], residual[ROWS * COLUMNS];
  kernel_fill_odd(rows, ROWS, 1);
  kernel_fill_odd(columns, COLUMNS, 2);
  kernel_fill_odd(residual, ROWS * COLUMNS, 3);
  for (unsigned form = 0; form < 32; form++) {
    bbw_epilogue e = {.row_bias = (form & 1u) != 0 ? rows : NULL,
                      .column_bias = (form & 2u) != 0 ? columns : NULL,
                      .residual = (form & 4u) != 0 ? residual : NULL};
    e.residual_stride = COLUMNS, e.activation = (bbw_activation)(form / 8), e.low = -0.0f, e.high = 6.0f,
    e.map = bbw_sigmoid_f32_simd128;
    for (uint32_t seed = 4; seed < 12; seed++) {
      kernel_fill_odd(want, ROWS * COLUMNS, seed);
      memcpy(got, want, sizeof got);
      bbw_epilogue_scalar(&e, want, COLUMNS, 0, ROWS, 0, COLUMNS);
      bbw_epilogue_simd128(&e, got, COLUMNS, 0, ROWS, 0, COLUMNS);
      assert_int_equal(kernel_first_difference(want, got, ROWS * COLUMNS), ROWS * COLUMNS);
    }
  }
}

static void test_packed_sizes_do_not_overflow(void **state) {
  (void)state;
  assert_true(bbw_gemm_f32_pack_a_size(SIZE_MAX, 1) == SIZE_MAX);
  assert_true(bbw_gemm_f32_pack_b_size(SIZE_MAX / 2, 4) == SIZE_MAX);
  assert_true(bbw_gemm_f32_pack_b_size(9, 10) == 2 * BBW_GEMM_PANEL * 10);
  assert_true(bbw_gemm_f32_pack_b_size(9, 0) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_values),
      cmocka_unit_test(test_small_sizes_have_equal_bits),
      cmocka_unit_test(test_block_edges_have_equal_bits),
      cmocka_unit_test(test_result_is_the_product),
      cmocka_unit_test(test_a_row_does_not_depend_on_its_neighbours),
      cmocka_unit_test(test_empty_sums_are_zero),
      cmocka_unit_test(test_every_form_has_the_bits_of_the_plain_one),
      cmocka_unit_test(test_epilogues_do_what_they_say),
      cmocka_unit_test(test_epilogues_have_equal_bits_for_odd_numbers),
      cmocka_unit_test(test_packed_sizes_do_not_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
