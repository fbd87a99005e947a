/*
 * Products and convolutions of bytes: whole numbers of every sign, with zero points and scales for all or for each, beside their plain definition.
 * Every case also runs with its weights fixed, so packed weights and those that arrive with the run give the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "op_case.h"

enum { TEXT_MAX = 8192, COUNT_MAX = 1024 };

typedef struct bytes {
  bool is_signed;
  size_t count;
  int32_t x[COUNT_MAX];
  char text[TEXT_MAX];
} bytes;

static uint32_t state_of_numbers;
static uint32_t below(uint32_t n) {
  state_of_numbers = state_of_numbers * 1664525u + 1013904223u;
  return (state_of_numbers >> 8) % n;
}

static size_t write_head(char *text, const char *type, const size_t *dims, size_t rank, size_t *count) {
  size_t at = (size_t)snprintf(text, TEXT_MAX, "%s[", type);
  *count = 1;
  for (size_t d = 0; d < rank; d++) {
    at += (size_t)snprintf(text + at, TEXT_MAX - at, d == 0 ? "%zu" : " %zu", dims[d]);
    *count *= dims[d];
  }
  assert_true(*count <= COUNT_MAX);
  return at + (size_t)snprintf(text + at, TEXT_MAX - at, "]");
}

static void write_whole(bytes *b, const char *type, const size_t *dims, size_t rank) {
  size_t at = write_head(b->text, type, dims, rank, &b->count);
  for (size_t i = 0; i < b->count; i++) { at += (size_t)snprintf(b->text + at, TEXT_MAX - at, " %d", (int)b->x[i]); }
}

static void make_bytes(bytes *b, bool is_signed, const size_t *dims, size_t rank) {
  b->is_signed = is_signed;
  for (size_t i = 0; i < COUNT_MAX; i++) { b->x[i] = (int32_t)below(256) - (is_signed ? 128 : 0); }
  write_whole(b, is_signed ? "i8" : "u8", dims, rank);
}

/* One number, or `count` of them. */
static void make_zeros(bytes *b, bool is_signed, size_t count, bool is_each) {
  make_bytes(b, is_signed, &count, is_each ? 1 : 0);
}

typedef struct scales {
  float x[COUNT_MAX];
  char text[TEXT_MAX];
} scales;
static void make_scales(scales *s, size_t count, bool is_each, float size) {
  size_t n, at = write_head(s->text, "f32", &count, is_each ? 1 : 0, &n);
  for (size_t i = 0; i < n; i++) {
    s->x[i] = size * (float)(1 + below(16)) / 16.0f; /* exact as text */
    at += (size_t)snprintf(s->text + at, TEXT_MAX - at, " %.9g", (double)s->x[i]);
  }
}

static bytes a, b, a_zero, b_zero, out_zero, bias, want;
static scales a_scale, b_scale, out_scale;

static int32_t in_scale(int64_t sum, float scale) {
  float x = rintf((float)sum * scale) + (float)out_zero.x[0];
  float low = out_zero.is_signed ? -128.0f : 0.0f, high = out_zero.is_signed ? 127.0f : 255.0f;
  return (int32_t)(x < low ? low : x > high ? high : x);
}

static void check(const char *op, const char *linear, bool is_linear, const char *attributes, const size_t *dims,
                  size_t rank) {
  write_whole(&want, !is_linear ? "i32" : out_zero.is_signed ? "i8" : "u8", dims, rank);
  op_case integer = {"sums are exact", op,  10, attributes, {a.text, b.text, a_zero.text, b_zero.text},
                     {want.text},      NULL};
  op_case scaled = {
      "sums are rounded once",
      linear,
      10,
      attributes,
      {a.text, a_scale.text, a_zero.text, b.text, b_scale.text, b_zero.text, out_scale.text, out_zero.text, bias.text},
      {want.text},
      NULL};
  if (bias.text[0] == '\0') { scaled.inputs[8] = NULL; }
  op_case_check(is_linear ? &scaled : &integer);
}

static void check_product(uint32_t seed) {
  state_of_numbers = seed;
  size_t m = 1 + below(9), n = 1 + below(19), k = 1 + below(21), batch = 1 + below(2);
  bool is_linear = seed % 2 == 1, is_each = below(2) == 0;
  const size_t left[] = {batch, m, k}, right[] = {k, n}, out[] = {batch, m, n};
  make_bytes(&a, below(2) == 0, left, 3);
  make_bytes(&b, below(2) == 0, right, 2);
  make_zeros(&a_zero, a.is_signed, m, is_each);
  make_zeros(&b_zero, b.is_signed, n, is_each);
  make_zeros(&out_zero, below(2) == 0, 1, false);
  make_scales(&a_scale, m, is_each, 0.5f);
  make_scales(&b_scale, n, is_each, 0.03125f);
  make_scales(&out_scale, 1, false, 4.0f);
  bias.text[0] = '\0';
  for (size_t i = 0; i < batch * m; i++) {
    for (size_t j = 0; j < n; j++) {
      int64_t sum = 0;
      size_t row = is_each ? i % m : 0, column = is_each ? j : 0;
      for (size_t p = 0; p < k; p++) { sum += (a.x[i * k + p] - a_zero.x[row]) * (b.x[p * n + j] - b_zero.x[column]); }
      float scale = a_scale.x[row] * b_scale.x[column] / out_scale.x[0];
      want.x[i * n + j] = is_linear ? in_scale(sum, scale) : (int32_t)sum;
    }
  }
  check("MatMulInteger", "QLinearMatMul", is_linear, NULL, out, 3);
}

static void check_convolution(uint32_t seed) {
  state_of_numbers = seed;
  size_t groups = 1 + below(3), in = below(3) == 0 ? 1 : 1 + below(3), each = 1 + below(3), kernel = 1 + below(3);
  size_t stride = 1 + below(2), pad = below(2), size = 3 + below(5), outs = groups * each;
  size_t out_size = (size + 2 * pad - kernel) / stride + 1;
  bool is_linear = seed % 2 == 1, is_each = below(2) == 0;
  const size_t x[] = {1, groups * in, size, size}, w[] = {outs, in, kernel, kernel},
               out[] = {1, outs, out_size, out_size};
  make_bytes(&a, below(2) == 0, x, 4);
  make_bytes(&b, below(2) == 0, w, 4);
  make_zeros(&a_zero, a.is_signed, 1, false);
  make_zeros(&b_zero, b.is_signed, outs, is_each);
  make_zeros(&out_zero, below(2) == 0, 1, false);
  make_scales(&a_scale, 1, false, 0.5f);
  make_scales(&b_scale, outs, is_each, 0.03125f);
  make_scales(&out_scale, 1, false, 4.0f);
  for (size_t i = 0; i < outs; i++) { bias.x[i] = (int32_t)below(100000) - 50000; }
  write_whole(&bias, "i32", &outs, 1);
  if (!is_linear || below(2) == 0) { bias.text[0] = '\0'; }
  for (size_t i = 0; i < outs * out_size * out_size; i++) {
    size_t o = i / (out_size * out_size), y = i / out_size % out_size, at = i % out_size, each_o = is_each ? o : 0;
    int64_t sum = bias.text[0] != '\0' ? bias.x[o] : 0;
    for (size_t t = 0; t < in * kernel * kernel; t++) {
      size_t c = o / each * in + t / (kernel * kernel);
      size_t row = y * stride + t / kernel % kernel - pad, column = at * stride + t % kernel - pad;
      if (row >= size || column >= size) { continue; }
      sum += (a.x[(c * size + row) * size + column] - a_zero.x[0]) *
             (b.x[o * in * kernel * kernel + t] - b_zero.x[each_o]);
    }
    want.x[i] = is_linear ? in_scale(sum, a_scale.x[0] * b_scale.x[each_o] / out_scale.x[0]) : (int32_t)sum;
  }
  char attributes[128];
  snprintf(attributes, sizeof attributes, "group=%zu strides=[%zu,%zu] pads=[%zu,%zu,%zu,%zu]", groups, stride, stride,
           pad, pad, pad, pad);
  check("ConvInteger", "QLinearConv", is_linear, attributes, out, 4);
}

static void test_products_are_their_definition(void **state) {
  (void)state;
  for (uint32_t seed = 1; seed <= 40; seed++) { check_product(seed); }
}

static void test_convolutions_are_their_definition(void **state) {
  (void)state;
  for (uint32_t seed = 1; seed <= 40; seed++) { check_convolution(seed); }
}

static void test_what_is_left_out(void **state) {
  (void)state;
  static const op_case cases[] = {
      {"no zero points", "MatMulInteger", 10, NULL, {"u8[1 2] 200 3", "i8[2 1] -100 7"}, {"i32[1 1] -19979"}, NULL},
      {"no products", "MatMulInteger", 10, NULL, {"u8[2 0]", "u8[0 3]"}, {"i32[2 3] 0"}, NULL},
      {"a matrix for every matrix",
       "MatMulInteger",
       10,
       NULL,
       {"u8[2 1 2] 1 2 3 4", "u8[2 2 1] 1 1 2 2"},
       {"i32[2 1 1] 3 14"},
       NULL},
      {"16 bits go the other way",
       "QuantizeLinear",
       21,
       NULL,
       {"f32[2] 1000 -3", "f32[] 2", "u16[] 5"},
       {"u16[2] 505 3"}, /* -1.5 is rounded to -2 */
       NULL},
  };
  op_cases_check(cases, sizeof cases / sizeof cases[0]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_products_are_their_definition),
      cmocka_unit_test(test_convolutions_are_their_definition),
      cmocka_unit_test(test_what_is_left_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
