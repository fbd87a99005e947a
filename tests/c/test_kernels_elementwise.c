/*
 * elementwise, math_f32, broadcast: equal bits in both versions, the stated error bounds, the shapes of NumPy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernel_data.h"
#include "kernels/broadcast.h"
#include "kernels/math_f32.h"

enum { N_MAX = 133 };
static const size_t SIZES[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 128, 129};
enum { SIZE_COUNT = sizeof SIZES / sizeof SIZES[0] };

static const struct {
  const char *name;
  bbw_unary_f32_fn *scalar, *simd128;
} UNARY_KERNELS[] = {
#define UNARY(name, one, four) {#name, bbw_##name##_f32_scalar, bbw_##name##_f32_simd128},
#define BINARY(name, one, four)
#include "kernels/elementwise.def"
#undef UNARY
#undef BINARY
};

static const struct {
  const char *name;
  bbw_binary_f32_fn *scalar, *simd128;
} BINARY_KERNELS[] = {
#define UNARY(name, one, four)
#define BINARY(name, one, four) {#name, bbw_##name##_f32_scalar, bbw_##name##_f32_simd128},
#include "kernels/elementwise.def"
#undef UNARY
#undef BINARY
};

static const struct {
  const char *name;
  bbw_scaled_f32_fn *scalar, *simd128;
} SCALED_KERNELS[] = {
    {"scale", bbw_scale_f32_scalar, bbw_scale_f32_simd128},
    {"leaky_relu", bbw_leaky_relu_f32_scalar, bbw_leaky_relu_f32_simd128},
};

static const struct {
  const char *name;
  bbw_scaled2_f32_fn *scalar, *simd128;
} SCALED2_KERNELS[] = {
    {"hard_sigmoid", bbw_hard_sigmoid_f32_scalar, bbw_hard_sigmoid_f32_simd128},
    {"clip", bbw_clip_f32_scalar, bbw_clip_f32_simd128},
};

static const struct {
  const char *name;
  bbw_scaled_pair_f32_fn *scalar, *simd128;
} SCALED_PAIR_KERNELS[] = {
    {"axpy", bbw_axpy_f32_scalar, bbw_axpy_f32_simd128},
    {"leaky_relu_gradient", bbw_leaky_relu_gradient_f32_scalar, bbw_leaky_relu_gradient_f32_simd128},
};

static void expect_equal(const char *name, const float *want, const float *got, size_t n) {
  size_t at = kernel_first_difference(want, got, n);
  if (at < n) {
    print_error("%s, n %zu: element %zu is %a, wants %a\n", name, n, at, (double)got[at], (double)want[at]);
    fail();
  }
}

static void test_both_versions_have_equal_bits(void **state) {
  (void)state;
  for (size_t s = 0; s < SIZE_COUNT; s++) {
    for (size_t shift = 0; shift < 4; shift++) {
      size_t n = SIZES[s];
      float x[N_MAX + 4], y[N_MAX + 4], want[N_MAX + 4], got[N_MAX + 4];
      kernel_fill_odd(x, N_MAX, (uint32_t)(s * 4 + shift));
      kernel_fill_odd(y, N_MAX, (uint32_t)(s * 4 + shift + 1000));
      for (size_t i = 0; i < sizeof UNARY_KERNELS / sizeof UNARY_KERNELS[0]; i++) {
        got[n + shift] = 77.0f; /* one past the end */
        UNARY_KERNELS[i].scalar(x + shift, want, n);
        UNARY_KERNELS[i].simd128(x + shift, got + shift, n);
        expect_equal(UNARY_KERNELS[i].name, want, got + shift, n);
        assert_true(got[n + shift] == 77.0f);
      }
      for (size_t i = 0; i < sizeof BINARY_KERNELS / sizeof BINARY_KERNELS[0]; i++) {
        got[n + shift] = 77.0f;
        BINARY_KERNELS[i].scalar(x + shift, y, want, n);
        BINARY_KERNELS[i].simd128(x + shift, y, got + shift, n);
        expect_equal(BINARY_KERNELS[i].name, want, got + shift, n);
        assert_true(got[n + shift] == 77.0f);
      }
      for (size_t i = 0; i < sizeof SCALED_KERNELS / sizeof SCALED_KERNELS[0]; i++) {
        SCALED_KERNELS[i].scalar(0.3f, x + shift, want, n);
        SCALED_KERNELS[i].simd128(0.3f, x + shift, got + shift, n);
        expect_equal(SCALED_KERNELS[i].name, want, got + shift, n);
      }
      for (size_t i = 0; i < sizeof SCALED2_KERNELS / sizeof SCALED2_KERNELS[0]; i++) {
        SCALED2_KERNELS[i].scalar(-0.3f, 0.6f, x + shift, want, n);
        SCALED2_KERNELS[i].simd128(-0.3f, 0.6f, x + shift, got + shift, n);
        expect_equal(SCALED2_KERNELS[i].name, want, got + shift, n);
      }
      for (size_t i = 0; i < sizeof SCALED_PAIR_KERNELS / sizeof SCALED_PAIR_KERNELS[0]; i++) {
        SCALED_PAIR_KERNELS[i].scalar(-0.7f, x + shift, y, want, n);
        SCALED_PAIR_KERNELS[i].simd128(-0.7f, x + shift, y, got + shift, n);
        expect_equal(SCALED_PAIR_KERNELS[i].name, want, got + shift, n);
      }
    }
  }
}

static void test_output_may_be_an_input(void **state) {
  (void)state;
  float x[37], y[37], want[37];
  kernel_fill(x, 37, 3, -4.0f, 4.0f);
  kernel_fill(y, 37, 4, 0.5f, 4.0f);
  bbw_sub_f32_scalar(x, y, want, 37);
  bbw_sub_f32_simd128(x, y, y, 37);
  expect_equal("sub in place", want, y, 37);
  bbw_tanh_f32_scalar(x, want, 37);
  bbw_tanh_f32_simd128(x, x, 37);
  expect_equal("tanh in place", want, x, 37);
}

/* Distance from the exact result in units of the last place of its rounding. */
static double ulps(float got, double want) {
  if (isnan(want)) { return isnan(got) ? 0.0 : 1e9; }
  if (isinf((float)want) || isinf(got)) { return (float)want == got ? 0.0 : 1e9; }
  double size = fabs(want) < 1.1754943508222875e-38 ? 1.1754943508222875e-38 : fabs(want);
  return fabs((double)got - want) / ldexp(1.0, ilogb(size) - 23);
}

static void test_math_keeps_its_error_bounds(void **state) {
  (void)state;
  double worst_exp = 0.0, worst_log = 0.0, worst_tanh = 0.0, worst_sigmoid = 0.0;
  double worst_erf = 0.0, worst_softplus = 0.0, worst_gelu = 0.0;
  for (uint64_t bits = 0; bits < (uint64_t)1 << 32; bits += 7919) {
    float x = bbw_f32_from_bits((uint32_t)bits);
    if (isnan(x)) { continue; }
    worst_exp = fmax(worst_exp, ulps(bbw_exp_f32(x), exp((double)x)));
    worst_log = fmax(worst_log, ulps(bbw_log_f32(x), log((double)x)));
    worst_tanh = fmax(worst_tanh, ulps(bbw_tanh_f32(x), tanh((double)x)));
    worst_erf = fmax(worst_erf, ulps(bbw_erf_f32(x), erf((double)x)));
    if (x > -87.0f) {
      worst_softplus = fmax(worst_softplus,
                            ulps(bbw_softplus_f32(x), log1p(exp((double)x > 700.0 ? 700.0 : (double)x)) +
                                                          ((double)x > 700.0 ? (double)x - 700.0 : 0.0)));
    }
    if (fabsf(x) < 1e30f) {
      double want = 0.5 * (double)x * erfc(-(double)x * 0.70710678118654752440);
      double off = fabs((double)bbw_gelu_erf_f32(x) - want);
      worst_gelu = fmax(worst_gelu, off <= 2e-7 ? off : ulps(bbw_gelu_erf_f32(x), want));
    }
    if (x > -87.0f) { worst_sigmoid = fmax(worst_sigmoid, ulps(bbw_sigmoid_f32(x), 1.0 / (1.0 + exp(-(double)x)))); }
  }
  assert_true(worst_exp <= 1.5);
  assert_true(worst_log <= 0.9);
  assert_true(worst_tanh <= 1.3);
  assert_true(worst_sigmoid <= 2.6);
  assert_true(worst_erf <= 1.2);
  assert_true(worst_softplus <= 2.2);
  assert_true(worst_gelu <= 1.0); /* 2e-7, or 1 ULP where that is more */
}

static void test_pow_follows_c99(void **state) {
  (void)state;
  static const float odd[] = {0.0f, -0.0f, 1.0f,     -1.0f,     2.0f, -2.0f, 3.0f,   -3.0f,
                              0.5f, -0.5f, INFINITY, -INFINITY, NAN,  1e10f, -1e10f, 1e-40f};
  for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
    for (size_t j = 0; j < sizeof odd / sizeof odd[0]; j++) {
      float got = bbw_pow_f32(odd[i], odd[j]), want = powf(odd[i], odd[j]);
      assert_true(isnan(want) ? isnan(got) : got == want && signbit(got) == signbit(want));
    }
  }
  float x[2000], y[2000];
  kernel_fill(x, 2000, 9, 0.001f, 50.0f);
  kernel_fill(y, 2000, 10, -20.0f, 20.0f);
  for (size_t i = 0; i < 2000; i++) {
    assert_true(ulps(bbw_pow_f32(x[i], y[i]), pow((double)x[i], (double)y[i])) <= 0.51);
  }
}

static void test_known_activation_values(void **state) {
  (void)state;
  const float x[] = {-2.0f, -0.0f, 0.0f, 3.0f, NAN};
  float out[5];
  bbw_relu_f32_simd128(x, out, 5);
  assert_true(out[0] == 0.0f && !signbit(out[0]) && out[3] == 3.0f && isnan(out[4]));
  bbw_leaky_relu_f32_simd128(0.5f, x, out, 5);
  assert_true(out[0] == -1.0f && out[3] == 3.0f && isnan(out[4]));
  bbw_sigmoid_f32_simd128(x, out, 5);
  assert_true(out[1] == 0.5f && fabsf(out[3] - 0.95257413f) < 1e-6f);
  bbw_gelu_f32_simd128(x, out, 5);
  assert_true(fabsf(out[0] + 0.04540231f) < 1e-6f && fabsf(out[3] - 2.9963627f) < 1e-6f);
}

/* Shapes as NumPy answers for them. */
static const struct {
  uint32_t x_rank;
  uint64_t x[4];
  uint32_t y_rank;
  uint64_t y[4];
  bool fits;
  uint32_t rank;
  uint64_t dims[4];
} SHAPES[] = {
    {2, {2, 3}, 2, {2, 3}, true, 2, {2, 3}},
    {2, {2, 3}, 1, {3}, true, 2, {2, 3}},
    {1, {3}, 2, {2, 1}, true, 2, {2, 3}},
    {0, {0}, 3, {2, 1, 2}, true, 3, {2, 1, 2}},
    {4, {8, 1, 6, 1}, 3, {7, 1, 5}, true, 4, {8, 7, 6, 5}},
    {3, {15, 3, 5}, 2, {3, 1}, true, 3, {15, 3, 5}},
    {2, {3, 70}, 2, {3, 1}, true, 2, {3, 70}},
    {2, {3, 130}, 2, {1, 130}, true, 2, {3, 130}},
    {2, {0, 3}, 1, {3}, true, 2, {0, 3}},
    {2, {1, 3}, 2, {0, 1}, true, 2, {0, 3}},
    {1, {3}, 1, {4}, false, 0, {0}},
    {2, {2, 1}, 3, {8, 4, 3}, false, 0, {0}},
    {2, {0, 3}, 2, {2, 3}, false, 0, {0}},
};

static size_t product(const uint64_t *dims, uint32_t rank) {
  size_t n = 1;
  for (uint32_t d = 0; d < rank; d++) { n *= (size_t)dims[d]; }
  return n;
}

/* The element of an input that belongs to a place of the result, found from the full index. */
static size_t source(const uint64_t *dims, uint32_t rank, const uint64_t *out_dims, uint32_t out_rank, size_t place) {
  size_t at = 0, step = 1;
  for (uint32_t back = 0; back < out_rank; back++) {
    uint64_t out_dim = out_dims[out_rank - 1 - back];
    size_t index = place % (size_t)out_dim;
    place /= (size_t)out_dim;
    if (back < rank) {
      uint64_t dim = dims[rank - 1 - back];
      at += dim == 1 ? 0 : index * step;
      step *= (size_t)dim;
    }
  }
  return at;
}

static void test_broadcasting(void **state) {
  (void)state;
  static float x[4096], y[4096], out[4096];
  kernel_fill(x, 4096, 11, -9.0f, 9.0f);
  kernel_fill(y, 4096, 12, -9.0f, 9.0f);
  for (size_t i = 0; i < sizeof SHAPES / sizeof SHAPES[0]; i++) {
    bbw_broadcast plan;
    bool fits = bbw_broadcast_plan(&plan, SHAPES[i].x, SHAPES[i].x_rank, SHAPES[i].y, SHAPES[i].y_rank);
    assert_int_equal(fits, SHAPES[i].fits);
    if (!fits) { continue; }
    assert_int_equal(plan.rank, SHAPES[i].rank);
    for (uint32_t d = 0; d < plan.rank; d++) { assert_int_equal(plan.dims[d], SHAPES[i].dims[d]); }
    assert_int_equal(plan.count, product(SHAPES[i].dims, plan.rank));
    bbw_broadcast_run(&plan, bbw_sub_f32_simd128, x, y, out);
    for (size_t p = 0; p < plan.count; p++) {
      float left = x[source(SHAPES[i].x, SHAPES[i].x_rank, plan.dims, plan.rank, p)];
      float right = y[source(SHAPES[i].y, SHAPES[i].y_rank, plan.dims, plan.rank, p)];
      assert_true(out[p] == left - right);
    }
  }
}

static void test_huge_shapes_are_refused(void **state) {
  (void)state;
  bbw_broadcast plan;
  const uint64_t x[] = {(uint64_t)1 << 40, 1}, y[] = {1, (uint64_t)1 << 40};
  assert_false(bbw_broadcast_plan(&plan, x, 2, y, 2));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_both_versions_have_equal_bits), cmocka_unit_test(test_output_may_be_an_input),
      cmocka_unit_test(test_math_keeps_its_error_bounds),   cmocka_unit_test(test_pow_follows_c99),
      cmocka_unit_test(test_known_activation_values),       cmocka_unit_test(test_broadcasting),
      cmocka_unit_test(test_huge_shapes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
