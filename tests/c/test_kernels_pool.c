/*
 * pool: equal bits in both versions, the windows of ONNX, indices; shapes without output get no plan.
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
#include "kernels/pool.h"

/* planes, height x width, kernel, stride, dilation, pads (top, left, bottom, right), ceil, counting pads. */
#define IMAGE(n, h, w, kh, kw, sh, sw, dh, dw, t, l, b, r, ceil, counting)                                 \
  {                                                                                                        \
    .planes = n, .size = {1, h, w}, .kernel = {1, kh, kw}, .stride = {1, sh, sw}, .dilation = {1, dh, dw}, \
    .pad_begin = {0, t, l}, .pad_end = {0, b, r}, .is_ceil = ceil, .is_counting_pads = counting            \
  }

static const struct {
  bbw_pool_shape shape;
  size_t out[3];
} CASES[] = {
    {IMAGE(3, 8, 8, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0, false, false), {1, 4, 4}},
    {IMAGE(2, 13, 17, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, true, false), {1, 6, 8}},
    {IMAGE(2, 12, 18, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, true, false), {1, 6, 9}},
    {IMAGE(2, 12, 18, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, false, true), {1, 6, 9}},
    {IMAGE(1, 9, 21, 3, 5, 1, 1, 1, 1, 1, 2, 1, 2, false, true), {1, 9, 21}},
    {IMAGE(1, 9, 21, 3, 3, 1, 1, 2, 3, 2, 3, 2, 3, false, false), {1, 9, 21}},
    {IMAGE(1, 7, 23, 3, 3, 3, 3, 1, 1, 1, 1, 0, 2, true, true), {1, 3, 8}},
    {IMAGE(1, 4, 4, 2, 2, 3, 3, 1, 1, 0, 0, 0, 0, true, true), {1, 2, 2}},  /* the last window is over the edge */
    {IMAGE(1, 2, 2, 1, 1, 3, 3, 1, 1, 0, 0, 0, 0, true, false), {1, 1, 1}}, /* another would begin past it */
    {IMAGE(1, 1, 40, 1, 4, 1, 2, 1, 1, 0, 0, 0, 0, false, false), {1, 1, 19}},
    {IMAGE(1, 3, 3, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2, false, false), {1, 6, 6}}, /* windows without an element */
    {IMAGE(0, 3, 3, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0, false, false), {1, 2, 2}},
    {{.planes = 2,
      .size = {5, 6, 7},
      .kernel = {3, 2, 3},
      .stride = {2, 1, 1},
      .dilation = {1, 2, 1},
      .pad_begin = {1, 0, 1},
      .pad_end = {1, 1, 1}},
     {3, 5, 7}},
};

/* One window as the operators describe it, walked over the padded input. */
static void define(const bbw_pool_plan *p, const float *x, size_t n, const size_t place[3], double *largest,
                   double *mean, int64_t *index) {
  const bbw_pool_shape *s = &p->shape;
  double sum = 0.0, count = 0.0;
  *largest = -INFINITY, *index = -1;
  for (size_t t = 0; t < s->kernel[0] * s->kernel[1] * s->kernel[2]; t++) {
    size_t tap[3] = {t / (s->kernel[1] * s->kernel[2]), t / s->kernel[2] % s->kernel[1], t % s->kernel[2]}, at[3];
    bool is_inside = true, is_padded = true;
    for (size_t d = 0; d < 3; d++) {
      size_t padded = place[d] * s->stride[d] + tap[d] * s->dilation[d];
      is_padded = is_padded && padded < s->size[d] + s->pad_begin[d] + s->pad_end[d];
      is_inside = is_inside && padded >= s->pad_begin[d] && padded - s->pad_begin[d] < s->size[d];
      at[d] = padded - s->pad_begin[d];
    }
    count += is_inside || (s->is_counting_pads && is_padded) ? 1.0 : 0.0;
    if (!is_inside) { continue; }
    size_t i = ((n * s->size[0] + at[0]) * s->size[1] + at[1]) * s->size[2] + at[2];
    sum += (double)x[i];
    if ((double)x[i] > *largest) { *largest = (double)x[i], *index = (int64_t)i; }
  }
  *mean = sum / count;
}

static void test_windows(void **state) {
  (void)state;
  for (size_t c = 0; c < sizeof CASES / sizeof CASES[0]; c++) {
    bbw_pool_plan p;
    assert_true(bbw_pool_plan_make(&p, &CASES[c].shape));
    for (size_t d = 0; d < 3; d++) {
      if (p.out_size[d] != CASES[c].out[d]) { fail_msg("case %zu axis %zu is %zu", c, d, p.out_size[d]); }
    }
    size_t n = p.shape.planes, in = n * p.shape.size[0] * p.shape.size[1] * p.shape.size[2], count = n * p.places;
    float *x = malloc((in + 1) * sizeof(float)), *want = malloc((count + 1) * sizeof(float)),
          *got = malloc((count + 1) * sizeof(float));
    int64_t *indices = malloc((count + 1) * sizeof(int64_t));
    assert_true(x != NULL && want != NULL && got != NULL && indices != NULL);
    kernel_fill(x, in, (uint32_t)c, -1.0f, 1.0f);
    bbw_max_pool_f32_simd128(&p, x, got, NULL);
    bbw_max_pool_f32_scalar(&p, x, want, indices);
    assert_int_equal(kernel_first_difference(want, got, count), count);
    bbw_average_pool_f32_scalar(&p, x, want);
    for (size_t i = 0; i < count; i++) {
      size_t place[3] = {i / (p.out_size[1] * p.out_size[2]) % p.out_size[0], i / p.out_size[2] % p.out_size[1],
                         i % p.out_size[2]};
      double largest, mean;
      int64_t index;
      define(&p, x, i / p.places, place, &largest, &mean, &index);
      assert_true((double)got[i] == largest && indices[i] == index);
      assert_true(isnan(mean) ? isnan(want[i]) : fabs((double)want[i] - mean) <= 1e-6);
    }
    bbw_average_pool_f32_simd128(&p, x, got);
    assert_int_equal(kernel_first_difference(want, got, count), count);
    kernel_fill_odd(x, in, (uint32_t)c);
    bbw_max_pool_f32_scalar(&p, x, want, NULL);
    bbw_max_pool_f32_simd128(&p, x, got, NULL);
    assert_int_equal(kernel_first_difference(want, got, count), count);
    free(x), free(want), free(got), free(indices);
  }
}

static void test_column_major_indices_and_nan(void **state) {
  (void)state;
  const float x[] = {1, 2, 3, 9, NAN, 4};
  bbw_pool_shape shape = IMAGE(1, 2, 3, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0, false, false);
  shape.is_index_column_major = true;
  bbw_pool_plan p;
  float out[2];
  int64_t indices[2];
  assert_true(bbw_pool_plan_make(&p, &shape));
  bbw_max_pool_f32_simd128(&p, x, out, indices);
  assert_true(isnan(out[0]) && isnan(out[1]));
  assert_int_equal(indices[0], 3); /* row 1, column 1 */
  assert_int_equal(indices[1], 3);
}

static void test_impossible_shapes_have_no_plan(void **state) {
  (void)state;
  const bbw_pool_shape good = IMAGE(1, 4, 4, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0, false, false);
  bbw_pool_plan p;
  for (int i = 0; i < 7; i++) {
    bbw_pool_shape s = good;
    switch (i) {
    case 0: s.kernel[1] = 0; break;
    case 1: s.stride[1] = 0; break;
    case 2: s.dilation[1] = 0; break;
    case 3: s.kernel[2] = 5; break;
    case 4: s.dilation[2] = SIZE_MAX; break;
    case 5: s.planes = SIZE_MAX / 8; break;
    default: s.size[1] = SIZE_MAX; break;
    }
    if (bbw_pool_plan_make(&p, &s)) { fail_msg("shape %d has a plan", i); }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_windows),
      cmocka_unit_test(test_column_major_indices_and_nan),
      cmocka_unit_test(test_impossible_shapes_have_no_plan),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
