/*
 * gemm_i8, conv_i8, quantize: exact sums in every form and both versions, rounding and saturation as ONNX says.
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
#include "kernels/conv_i8.h"
#include "kernels/gemm_i8.h"
#include "kernels/quantize.h"

static uint8_t *bytes(size_t n, uint32_t seed) {
  uint8_t *x = malloc(n + 1);
  assert_non_null(x);
  uint32_t state = seed * 2654435761u + 1u;
  for (size_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    x[i] = (uint8_t)(state >> 24);
  }
  return x;
}

static void *numbers(size_t n, size_t size) {
  void *x = calloc(n + 1, size);
  assert_non_null(x);
  return x;
}

static int32_t value(uint8_t byte, bool is_signed) { return is_signed ? (int8_t)byte : byte; }

static void check_product(size_t m, size_t n, size_t k, unsigned form) {
  bool at = (form & 1u) != 0, bt = (form & 2u) != 0, is_a_packed = (form & 4u) != 0;
  bool as = (form & 8u) != 0, bs = (form & 16u) != 0, has_zeros = (form & 32u) != 0;
  size_t lda = (at ? m : k) + 3, ldb = (bt ? k : n) + 3, ldc = n + 2;
  uint8_t *a = bytes((at ? k : m) * lda, 1), *b = bytes((bt ? n : k) * ldb, 2), *a_zero = bytes(m, 3),
          *b_zero = bytes(n, 4);
  int32_t *want = numbers(m * ldc, sizeof(int32_t)), *got = numbers(m * ldc, sizeof(int32_t));
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) {
      for (size_t p = 0; p < k; p++) {
        int32_t x = value(at ? a[p * lda + i] : a[i * lda + p], as) - value(a_zero[has_zeros ? i : 0], as);
        int32_t y = value(bt ? b[j * ldb + p] : b[p * ldb + j], bs) - value(b_zero[has_zeros ? j : 0], bs);
        want[i * ldc + j] += x * y;
      }
    }
  }
  bbw_gemm_i8_operand left = {
      .x = a, .stride = lda, .is_transposed = at, .is_signed = as, .zero = a_zero, .has_zeros = has_zeros};
  bbw_gemm_i8_operand right = {
      .x = b, .stride = ldb, .is_transposed = bt, .is_signed = bs, .zero = b_zero, .has_zeros = has_zeros};
  int16_t *a_packed = numbers(bbw_gemm_i8_pack_a_size(m, k), sizeof(int16_t)),
          *b_packed = numbers(bbw_gemm_i8_pack_b_size(n, k), sizeof(int16_t));
  bbw_gemm_i8_pack_a(a_packed, &left, m, k);
  bbw_gemm_i8_pack_b(b_packed, &right, n, k);
  bbw_gemm_i8 g = {.m = m,
                   .n = n,
                   .k = k,
                   .a = &left,
                   .a_packed = is_a_packed ? a_packed : NULL,
                   .b_packed = b_packed,
                   .c = got,
                   .ldc = ldc};
  size_t count = bbw_gemm_i8_scratch(&g);
  int16_t *scratch = numbers(count, sizeof(int16_t));
  scratch[count] = 1234;
  bbw_gemm_i8_simd128(&g, scratch);
  assert_memory_equal(got, want, m * ldc * sizeof(int32_t));
  memset(got, 0, m * ldc * sizeof(int32_t));
  bbw_gemm_i8_scalar(&g, scratch);
  assert_memory_equal(got, want, m * ldc * sizeof(int32_t));
  assert_int_equal(scratch[count], 1234);
  free(a), free(b), free(a_zero), free(b_zero), free(want), free(got), free(a_packed), free(b_packed), free(scratch);
}

static void test_products_are_exact(void **state) {
  (void)state;
  static const size_t sizes[][3] = {{1, 1, 1},   {1, 9, 2},    {4, 8, 3},  {5, 17, 64},
                                    {49, 7, 33}, {3, 3, 1025}, {8, 16, 0}, {100, 8, 2100}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    for (unsigned form = 0; form < 64; form++) { check_product(sizes[i][0], sizes[i][1], sizes[i][2], form); }
  }
}

#define IMAGE(n, c, o, g, h, w, kh, kw, sh, sw, dh, dw, t, l, b, r)                                      \
  {                                                                                                      \
    .batch = n, .channels = c, .out_channels = o, .groups = g, .size = {1, h, w}, .kernel = {1, kh, kw}, \
    .stride = {1, sh, sw}, .dilation = {1, dh, dw}, .pad_begin = {0, t, l}, .pad_end = {                 \
      0,                                                                                                 \
      b,                                                                                                 \
      r                                                                                                  \
    }                                                                                                    \
  }

static const bbw_conv_shape SHAPES[] = {
    IMAGE(2, 3, 5, 1, 9, 19, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),  IMAGE(1, 5, 7, 1, 4, 4, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),
    IMAGE(1, 4, 6, 2, 11, 10, 3, 3, 2, 2, 1, 1, 0, 1, 2, 1), IMAGE(2, 3, 6, 3, 8, 9, 3, 3, 2, 1, 1, 2, 1, 2, 1, 2),
    IMAGE(1, 2, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),   IMAGE(1, 2, 2, 1, 30, 30, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2),
};

static void test_convolutions_are_exact(void **state) {
  (void)state;
  for (size_t c = 0; c < 2 * sizeof SHAPES / sizeof SHAPES[0]; c++) {
    bool is_signed = c % 2 == 1;
    bbw_conv_plan p;
    assert_true(bbw_conv_plan_make(&p, &SHAPES[c / 2]));
    const bbw_conv_shape *s = &p.shape;
    size_t in = s->channels / s->groups, m = s->out_channels / s->groups, plane = s->size[1] * s->size[2],
           taps = s->kernel[1] * s->kernel[2];
    size_t out_count = s->batch * s->out_channels * p.places;
    uint8_t *x = bytes(s->batch * s->channels * plane, 1), *w = bytes(s->out_channels * in * taps, 2),
            *zeros = bytes(s->out_channels, 3);
    int16_t *packed = numbers(bbw_conv_i8_pack_size(&p), sizeof(int16_t)),
            *scratch = numbers(bbw_conv_i8_scratch(&p), sizeof(int16_t));
    int32_t *want = numbers(out_count, sizeof(int32_t)), *got = numbers(out_count, sizeof(int32_t));
    const uint8_t x_zero = 130;
    for (size_t i = 0; i < out_count; i++) {
      size_t place = i % p.places, o = i / p.places % s->out_channels, image = i / p.places / s->out_channels;
      for (size_t t = 0; t < in * taps; t++) {
        size_t channel = o / m * in + t / taps;
        size_t y = place / p.out_size[2] * s->stride[1] + t % taps / s->kernel[2] * s->dilation[1] - s->pad_begin[1];
        size_t column = place % p.out_size[2] * s->stride[2] + t % s->kernel[2] * s->dilation[2] - s->pad_begin[2];
        if (y >= s->size[1] || column >= s->size[2]) { continue; }
        int32_t a = value(x[((image * s->channels + channel) * s->size[1] + y) * s->size[2] + column], is_signed) -
                    value(x_zero, is_signed);
        want[i] += a * (value(w[o * in * taps + t], !is_signed) - value(zeros[is_signed ? o : 0], !is_signed));
      }
    }
    bbw_conv_i8_weights weights = {.x = w, .is_signed = !is_signed, .zero = zeros, .has_zeros = is_signed};
    bbw_conv_i8_pack(&p, &weights, packed);
    bbw_conv_i8_simd128(&p, x, is_signed, x_zero, packed, got, scratch);
    assert_memory_equal(got, want, out_count * sizeof(int32_t));
    bbw_conv_i8_scalar(&p, x, is_signed, x_zero, packed, got, scratch);
    assert_memory_equal(got, want, out_count * sizeof(int32_t));
    free(x), free(w), free(zeros), free(packed), free(scratch), free(want), free(got);
  }
}

static void test_quantizing(void **state) {
  (void)state;
  static const float x[] = {0.0f,     1.0f,     1.25f,     1.75f, -1.25f, 1000.0f,
                            -1000.0f, INFINITY, -INFINITY, NAN,   3e9f,   127.5f};
  enum { N = sizeof x / sizeof x[0] };
  static const int want_unsigned[N] = {10, 12, 12, 14, 8, 255, 0, 255, 0, 10, 255, 255};
  static const int want_signed[N] = {-10, -8, -8, -6, -12, 127, -128, 127, -128, -10, 127, 127};
  const float scale = 0.5f;
  const uint8_t zero = 10, minus = (uint8_t)-10;
  uint8_t out[N], again[N];
  bbw_quantization q = {.scale = &scale, .zero = &zero, .outer = 1, .channels = 1, .inner = N};
  bbw_quantize_f32_simd128(&q, x, out);
  for (size_t i = 0; i < N; i++) { assert_int_equal(out[i], want_unsigned[i]); }
  q.zero = &minus, q.is_signed = true;
  bbw_quantize_f32_simd128(&q, x, out);
  bbw_quantize_f32_scalar(&q, x, again);
  for (size_t i = 0; i < N; i++) { assert_int_equal((int8_t)out[i], want_signed[i]); }
  assert_memory_equal(out, again, N);
  float back[N], back_again[N];
  bbw_dequantize_f32_simd128(&q, out, back);
  bbw_dequantize_f32_scalar(&q, out, back_again);
  assert_memory_equal(back, back_again, sizeof back);
  assert_true(back[0] == 0.0f && back[1] == 1.0f && back[5] == 68.5f && back[6] == -59.0f);
}

static void test_both_versions_agree_per_channel(void **state) {
  (void)state;
  enum { OUTER = 3, CHANNELS = 5, INNER = 7, N = OUTER * CHANNELS * INNER };
  float x[N], scales[CHANNELS];
  int32_t sums[N], bias[CHANNELS], zeros[CHANNELS];
  uint8_t want[N], got[N], *zero = bytes(CHANNELS, 5);
  kernel_fill_odd(x, N, 6);
  kernel_fill(scales, CHANNELS, 7, 0.01f, 0.5f);
  for (int i = 0; i < N; i++) { sums[i] = i * 7919 - 400000; }
  for (int i = 0; i < CHANNELS; i++) { bias[i] = 1000 * i, zeros[i] = 3 * i; }
  bbw_quantization q = {.scale = scales, .zero = zero, .outer = OUTER, .channels = CHANNELS, .inner = INNER};
  for (int s = 0; s < 2; s++) {
    q.is_signed = s == 1;
    bbw_quantize_f32_scalar(&q, x, want);
    bbw_quantize_f32_simd128(&q, x, got);
    assert_memory_equal(want, got, N);
    bbw_requantize_i32_scalar(&q, sums, bias, want);
    bbw_requantize_i32_simd128(&q, sums, bias, got);
    assert_memory_equal(want, got, N);
    for (int i = 0; i < N; i++) {
      int c = i / INNER % CHANNELS;
      double y = (double)((float)(sums[i] + bias[c]) * scales[c]);
      y = nearbyint(y) + (double)value(zero[c], q.is_signed);
      y = fmin(fmax(y, q.is_signed ? -128.0 : 0.0), q.is_signed ? 127.0 : 255.0);
      assert_int_equal(value(got[i], q.is_signed), (int)y);
    }
  }
  bbw_dequantize_i32(&q, sums, zeros, x);
  assert_true(x[INNER] == (float)(sums[INNER] - 3) * scales[1]);
  free(zero);
}

static void test_dynamic_range(void **state) {
  (void)state;
  const float x[] = {0.0f, 2.0f, -3.0f, -2.5f, 1.34f, 0.5f}; /* the example of the ONNX operator */
  float scale;
  uint8_t zero;
  bbw_dynamic_range_f32(x, 6, &scale, &zero);
  assert_true(fabsf(scale - 0.0196078438f) < 1e-8f);
  assert_int_equal(zero, 153);
  bbw_dynamic_range_f32(x + 1, 1, &scale, &zero);
  assert_int_equal(zero, 0);
  bbw_dynamic_range_f32(x, 1, &scale, &zero);
  assert_true(scale == 1.0f && zero == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_products_are_exact), cmocka_unit_test(test_convolutions_are_exact),
      cmocka_unit_test(test_quantizing),         cmocka_unit_test(test_both_versions_agree_per_channel),
      cmocka_unit_test(test_dynamic_range),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
