/*
 * conv: both versions give equal bits on every path, and the numbers are those of the definition in f64; absurd shapes get no plan.
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
#include "kernels/conv.h"

typedef struct conv_case {
  const char *name;
  bbw_conv_path path;
  bbw_conv_shape shape;
} conv_case;

/* Image shapes: batch, channels, out channels, groups, height x width, kernel, stride, dilation, pads (top, left, bottom, right). */
#define IMAGE(n, c, o, g, h, w, kh, kw, sh, sw, dh, dw, t, l, b, r)                                      \
  {                                                                                                      \
    .batch = n, .channels = c, .out_channels = o, .groups = g, .size = {1, h, w}, .kernel = {1, kh, kw}, \
    .stride = {1, sh, sw}, .dilation = {1, dh, dw}, .pad_begin = {0, t, l}, .pad_end = {                 \
      0,                                                                                                 \
      b,                                                                                                 \
      r                                                                                                  \
    }                                                                                                    \
  }
#define VOLUME(c, o, g, d, h, w, k, s, p)                                                              \
  {                                                                                                    \
    .batch = 2, .channels = c, .out_channels = o, .groups = g, .size = {d, h, w}, .kernel = {k, k, k}, \
    .stride = {s, s, s}, .dilation = {1, 1, 1}, .pad_begin = {p, p, p}, .pad_end = {                   \
      p,                                                                                               \
      p,                                                                                               \
      p                                                                                                \
    }                                                                                                  \
  }

static const conv_case CASES[] = {
    {"1x1", BBW_CONV_POINTWISE, IMAGE(2, 5, 7, 1, 6, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)},
    {"1x1 of many channels", BBW_CONV_POINTWISE, IMAGE(1, 300, 9, 1, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)},
    {"1x1 in groups", BBW_CONV_POINTWISE, IMAGE(2, 6, 8, 2, 4, 4, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)},
    {"1x1 with stride", BBW_CONV_PANELS, IMAGE(1, 3, 4, 1, 7, 7, 1, 1, 2, 2, 1, 1, 0, 0, 0, 0)},
    {"1x1 on one place", BBW_CONV_POINTWISE, IMAGE(3, 17, 11, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)},
    {"kernel as large as the image", BBW_CONV_PANELS, IMAGE(2, 3, 10, 1, 5, 4, 5, 4, 1, 1, 1, 1, 0, 0, 0, 0)},
    {"3x3 same", BBW_CONV_PANELS, IMAGE(2, 3, 5, 1, 9, 11, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1)},
    {"3x3 wide rows", BBW_CONV_PANELS, IMAGE(1, 2, 4, 1, 3, 40, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1)},
    {"3x3 on rows shorter than a panel", BBW_CONV_PANELS, IMAGE(1, 33, 6, 1, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1)},
    {"3x3 without pads", BBW_CONV_PANELS, IMAGE(1, 4, 8, 1, 10, 10, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0)},
    {"3x3 stride 2", BBW_CONV_PANELS, IMAGE(2, 3, 6, 1, 19, 37, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1)},
    {"3x3 dilated, uneven pads", BBW_CONV_PANELS, IMAGE(1, 3, 4, 1, 9, 8, 3, 3, 1, 1, 2, 3, 0, 2, 3, 1)},
    {"7x7 stride 3", BBW_CONV_PANELS, IMAGE(1, 3, 9, 1, 23, 21, 7, 7, 3, 3, 1, 1, 3, 3, 3, 3)},
    {"3x3 in groups", BBW_CONV_PANELS, IMAGE(2, 4, 6, 2, 8, 7, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1)},
    {"series", BBW_CONV_PANELS, IMAGE(2, 3, 5, 1, 1, 30, 1, 5, 1, 1, 1, 1, 0, 2, 0, 2)},
    {"many places", BBW_CONV_PANELS, IMAGE(1, 2, 3, 1, 30, 31, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1)},
    {"depthwise 3x3", BBW_CONV_DEPTHWISE, IMAGE(2, 5, 5, 5, 9, 13, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1)},
    {"depthwise 3x3 stride 2", BBW_CONV_DEPTHWISE, IMAGE(1, 4, 4, 4, 14, 15, 3, 3, 2, 2, 1, 1, 0, 0, 1, 1)},
    {"depthwise 5x5", BBW_CONV_DEPTHWISE, IMAGE(1, 3, 3, 3, 7, 7, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2)},
    {"depthwise 5x5 stride 2", BBW_CONV_DEPTHWISE, IMAGE(1, 3, 3, 3, 14, 14, 5, 5, 2, 2, 1, 1, 2, 2, 2, 2)},
    {"depthwise with multiplier, dilated", BBW_CONV_DEPTHWISE, IMAGE(2, 3, 6, 3, 10, 9, 3, 3, 1, 1, 2, 2, 2, 2, 2, 2)},
    {"depthwise 2x4 stride 3", BBW_CONV_DEPTHWISE, IMAGE(1, 2, 2, 2, 11, 40, 2, 4, 3, 3, 1, 1, 0, 1, 0, 1)},
    {"depthwise one output", BBW_CONV_DEPTHWISE, IMAGE(1, 2, 2, 2, 3, 3, 3, 3, 9, 9, 1, 1, 0, 0, 0, 0)},
    {"volume", BBW_CONV_PANELS, VOLUME(3, 4, 1, 4, 5, 6, 3, 1, 1)},
    {"volume in groups, stride 2", BBW_CONV_PANELS, VOLUME(4, 4, 4, 5, 5, 6, 2, 2, 0)},
    {"no images", BBW_CONV_PANELS, IMAGE(0, 2, 2, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1)},
    {"no channels", BBW_CONV_PANELS, IMAGE(1, 0, 2, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1)},
};

static float *floats(size_t n, uint32_t seed) {
  float *x = malloc((n + 1) * sizeof(float));
  assert_non_null(x);
  kernel_fill(x, n, seed, -1.0f, 1.0f);
  return x;
}

static size_t volume(const size_t x[3]) { return x[0] * x[1] * x[2]; }

/* The definition, from the weights as ONNX stores them: for the transpose every input is spread over the outputs that it reaches. */
static void define(const bbw_conv_plan *p, const float *x, const float *weights, double *out, double *size_of) {
  const bbw_conv_shape *s = &p->shape;
  size_t plane = volume(s->size), taps = volume(s->kernel), in = s->channels / s->groups,
         m = s->out_channels / s->groups;
  const size_t *a = p->is_transposed ? s->size : p->out_size, *b = p->is_transposed ? p->out_size : s->size;
  memset(out, 0, s->batch * s->out_channels * p->places * sizeof(double));
  memset(size_of, 0, s->batch * s->out_channels * p->places * sizeof(double));
  for (size_t image = 0; image < s->batch; image++) {
    for (size_t o = 0; o < s->out_channels; o++) {
      for (size_t c = 0; c < in; c++) {
        size_t channel = o / m * in + c;
        for (size_t i = 0; i < volume(a); i++) {
          for (size_t t = 0; t < taps; t++) {
            size_t at[3] = {i / (a[1] * a[2]), i / a[2] % a[1], i % a[2]};
            size_t tap[3] = {t / (s->kernel[1] * s->kernel[2]), t / s->kernel[2] % s->kernel[1], t % s->kernel[2]};
            bool is_inside = true;
            for (size_t d = 0; d < 3; d++) {
              at[d] = at[d] * s->stride[d] + tap[d] * s->dilation[d];
              is_inside = is_inside && at[d] >= s->pad_begin[d] && at[d] - s->pad_begin[d] < b[d];
              at[d] -= s->pad_begin[d];
            }
            if (!is_inside) { continue; }
            size_t j = (at[0] * b[1] + at[1]) * b[2] + at[2];
            size_t from = p->is_transposed ? i : j, to = p->is_transposed ? j : i;
            float w = p->is_transposed ? weights[(channel * m + o % m) * taps + t] : weights[(o * in + c) * taps + t];
            double product = (double)w * (double)x[(image * s->channels + channel) * plane + from];
            out[(image * s->out_channels + o) * p->places + to] += product;
            size_of[(image * s->out_channels + o) * p->places + to] += fabs(product);
          }
        }
      }
    }
  }
}

static void check(const char *name, const bbw_conv_plan *p) {
  const bbw_conv_shape *s = &p->shape;
  size_t x_count = s->batch * s->channels * volume(s->size), out_count = s->batch * s->out_channels * p->places;
  size_t weight_count = s->out_channels * (s->channels / s->groups) * volume(s->kernel);
  float *x = floats(x_count, 1), *weights = floats(weight_count, 2), *packed = floats(p->packed_count, 3);
  float *scratch = floats(p->scratch_count, 4), *want = floats(out_count, 5), *got = floats(out_count, 6);
  float *bias = floats(s->out_channels, 7), *residual = floats(out_count, 8);
  double *exact = malloc((out_count + 1) * sizeof(double)), *size_of = malloc((out_count + 1) * sizeof(double));
  assert_non_null(exact);
  assert_non_null(size_of);
  packed[p->packed_count] = scratch[p->scratch_count] = got[out_count] = 12345.0f;
  bbw_conv_f32_pack(p, weights, packed);
  bbw_conv_f32_scalar(p, x, packed, &(bbw_epilogue){0}, want, NULL);
  define(p, x, weights, exact, size_of);
  for (size_t i = 0; i < out_count; i++) {
    if (fabs((double)want[i] - exact[i]) > 1e-5 * size_of[i]) {
      print_error("%s: element %zu is %g, wants %g\n", name, i, (double)want[i], exact[i]);
      fail();
    }
  }
  bbw_epilogue finish = {.row_bias = bias, .residual = residual, .activation = BBW_ACTIVATION_RELU};
  for (int run = 0; run < 2; run++) {
    bbw_epilogue e = run == 0 ? (bbw_epilogue){0} : finish;
    bbw_conv_f32_scalar(p, x, packed, &e, want, NULL);
    bbw_conv_f32_simd128(p, x, packed, &e, got, scratch);
    size_t at = kernel_first_difference(want, got, out_count);
    if (at < out_count) {
      print_error("%s, run %d: element %zu is %a, wants %a\n", name, run, at, (double)got[at], (double)want[at]);
      fail();
    }
  }
  assert_true(packed[p->packed_count] == 12345.0f);
  assert_true(scratch[p->scratch_count] == 12345.0f);
  assert_true(got[out_count] == 12345.0f);
  free(x), free(weights), free(packed), free(scratch), free(want), free(got), free(bias), free(residual);
  free(exact), free(size_of);
}

static void test_convolutions(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    bbw_conv_plan plan;
    assert_true(bbw_conv_plan_make(&plan, &CASES[i].shape));
    if (plan.path != CASES[i].path) { fail_msg("%s takes path %d", CASES[i].name, (int)plan.path); }
    check(CASES[i].name, &plan);
  }
}

static void test_transposes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    for (size_t out_pad = 0; out_pad < 2; out_pad++) {
      bbw_conv_plan plan;
      bbw_conv_shape shape = CASES[i].shape;
      shape.out_pad[2] = out_pad;
      if (!bbw_conv_transpose_plan_make(&plan, &shape)) { fail_msg("%s has no transpose", CASES[i].name); }
      check(CASES[i].name, &plan);
    }
  }
  /* Pads larger than the kernel leave inputs out. */
  bbw_conv_plan plan;
  const bbw_conv_shape crop = IMAGE(1, 2, 3, 1, 9, 9, 2, 2, 1, 1, 1, 1, 3, 2, 2, 4);
  assert_true(bbw_conv_transpose_plan_make(&plan, &crop));
  check("crop", &plan);
}

static void test_impossible_shapes_have_no_plan(void **state) {
  (void)state;
  const size_t big = SIZE_MAX / 2;
  const bbw_conv_shape good = IMAGE(1, 4, 4, 2, 8, 8, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0);
  bbw_conv_plan plan, before;
  assert_true(bbw_conv_plan_make(&plan, &good));
  before = plan;
  for (int i = 0; i < 16; i++) {
    bbw_conv_shape s = good;
    switch (i) {
    case 0: s.groups = 0; break;
    case 1: s.groups = 3; break;
    case 2: s.out_channels = 5; break;
    case 3: s.kernel[1] = 0; break;
    case 4: s.stride[2] = 0; break;
    case 5: s.dilation[2] = 0; break;
    case 6: s.kernel[1] = 9; break;
    case 7: s.pad_begin[1] = big, s.pad_end[1] = big; break;
    case 8: s.size[1] = big, s.size[2] = big; break;
    case 9: s.batch = big; break;
    case 10: s.out_channels = big - big % 2; break;
    case 11: s.dilation[1] = big; break;
    case 12: s.kernel[1] = big, s.dilation[1] = 4; break;
    case 13:
      s.pad_begin[1] = (size_t)1 << 20, s.pad_begin[2] = (size_t)1 << 20;
      break; /* the padded copy would be absurd */
    case 14: s.channels = big - big % 2; break;
    case 15: s.size[2] = SIZE_MAX; break;
    default: fail();
    }
    if (bbw_conv_plan_make(&plan, &s)) { fail_msg("shape %d has a plan", i); }
    if (i != 6 && i != 9 && bbw_conv_transpose_plan_make(&plan, &s)) { fail_msg("shape %d has a transpose", i); }
    assert_memory_equal(&plan, &before, sizeof plan);
  }
}

static void test_known_values(void **state) {
  (void)state;
  /* The example of the ONNX operator ConvTranspose with its weights of ones, and Conv of the same image. */
  const float x[9] = {0, 1, 2, 3, 4, 5, 6, 7, 8}, ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  const float want[25] = {0, 1, 3, 3, 2, 3, 8, 15, 12, 7, 9, 21, 36, 27, 15, 9, 20, 33, 24, 13, 6, 13, 21, 15, 8};
  const bbw_conv_shape shape = IMAGE(1, 1, 1, 1, 3, 3, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0);
  bbw_conv_plan plan;
  float packed[128], out[25];
  static float scratch[8192];
  assert_true(bbw_conv_transpose_plan_make(&plan, &shape));
  assert_true(plan.packed_count <= 128 && plan.scratch_count <= 8192 && plan.places == 25);
  bbw_conv_f32_pack(&plan, ones, packed);
  bbw_conv_f32_simd128(&plan, x, packed, &(bbw_epilogue){0}, out, scratch);
  assert_memory_equal(out, want, sizeof want);
  assert_true(bbw_conv_plan_make(&plan, &shape));
  bbw_conv_f32_pack(&plan, ones, packed);
  bbw_conv_f32_simd128(&plan, x, packed, &(bbw_epilogue){0}, out, scratch);
  assert_true(plan.packed_count <= 128 && plan.places == 1 && out[0] == 36.0f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_values),
      cmocka_unit_test(test_convolutions),
      cmocka_unit_test(test_transposes),
      cmocka_unit_test(test_impossible_shapes_have_no_plan),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
