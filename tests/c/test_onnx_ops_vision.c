/*
 * Boxes, sampling of images, signals: what the cases of ONNX leave open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "op_case.h"

#define COUNT(cases) (sizeof(cases) / sizeof(cases)[0])

static void test_boxes(void **state) {
  (void)state;
  static const op_case cases[] = {
      {"two that overlap, one that does not",
       "NonMaxSuppression",
       11,
       NULL,
       {"f32[1 3 4] 0 0 1 1 0 0.1 1 1.1 0 10 1 11", "f32[1 1 3] 0.9 0.75 0.6", "i64[] 3", "f32[] 0.5"},
       {"i64[2 3] 0 0 0 0 0 2"},
       NULL},
      {"of equal scores the first",
       "NonMaxSuppression",
       11,
       NULL,
       {"f32[1 2 4] 0 0 1 1 0 0 1 1", "f32[1 1 2] 0.5", "i64[] 3", "f32[] 0.5"},
       {"i64[1 3] 0 0 0"},
       NULL},
      {"no number: none", "NonMaxSuppression", 11, NULL, {"f32[1 1 4] 0 0 1 1", "f32[1 1 1] 0.5"}, {"i64[0 3]"}, NULL},
      {"all that there are",
       "NonMaxSuppression",
       11,
       "center_point_box=1",
       {"f32[1 1 4] 0 0 1 1", "f32[1 2 1] 0.5", "i64[1] 9223372036854775807", "f32[] 1", "f32[] 0.4"},
       {"i64[2 3] 0 0 0 0 1 0"},
       NULL},
      {"NaN is no score",
       "NonMaxSuppression",
       11,
       NULL,
       {"f32[1 1 4] 0 0 1 1", "f32[1 1 1] nan", "i64[] 1"},
       {"i64[0 3]"},
       NULL},
      {"no boxes", "NonMaxSuppression", 11, NULL, {"f32[1 0 4]", "f32[1 2 0]", "i64[] 1"}, {"i64[0 3]"}, NULL},
      {"a box of three numbers",
       "NonMaxSuppression",
       11,
       NULL,
       {"f32[1 1 3] 0", "f32[1 1 1] 0", "i64[] 1"},
       {NULL},
       "boxes must be"},
      {"scores of other boxes",
       "NonMaxSuppression",
       11,
       NULL,
       {"f32[1 1 4] 0", "f32[1 1 2] 0", "i64[] 1"},
       {NULL},
       "scores must be"},
  };
  op_cases_check(cases, COUNT(cases));
}

static void test_samples(void **state) {
  (void)state;
  static const op_case cases[] = {
      {"the middle of four",
       "GridSample",
       16,
       NULL,
       {"f32[1 1 2 2] 1 2 3 4", "f32[1 1 1 2] 0 0"},
       {"f32[1 1 1 1] 2.5"},
       NULL},
      {"far outside is zero",
       "GridSample",
       16,
       NULL,
       {"f32[1 1 2 2] 1 2 3 4", "f32[1 1 3 2] 1e38 0 nan 0 -inf 0"},
       {"f32[1 1 1 3] 0"},
       NULL},
      {"far outside is the edge",
       "GridSample",
       16,
       "padding_mode=s:border mode=s:nearest",
       {"f32[1 1 2 2] 1 2 3 4", "f32[1 1 2 2] 1e38 1e38 -1e38 -1e38"},
       {"f32[1 1 1 2] 4 1"},
       NULL},
      {"far outside is reflected",
       "GridSample",
       20,
       "padding_mode=s:reflection mode=s:cubic align_corners=1",
       {"f32[1 1 1 1] 7", "f32[1 1 2 2] 1e38 nan -3 5"},
       {"f32[1 1 1 2] 7"},
       NULL},
      {"by opset 20's name",
       "GridSample",
       20,
       "mode=s:linear align_corners=1",
       {"f64[1 1 1 3] 1 2 3", "f32[1 1 1 2] 0.5 0"},
       {"f64[1 1 1 1] 2.5"},
       NULL},
      {"volumes", "GridSample", 20, NULL, {"f32[1 1 1 1 1] 7", "f32[1 1 1 1 3] 0"}, {NULL}, "four dimensions"},
      {"a grid of three numbers", "GridSample", 16, NULL, {"f32[1 1 1 1] 7", "f32[1 1 1 3] 0"}, {NULL}, "grid must be"},
      {"an image of nothing", "GridSample", 16, NULL, {"f32[1 1 0 1]", "f32[1 1 1 2] 0"}, {NULL}, "no element"},
      {"no channel of nothing", "GridSample", 16, NULL, {"f32[1 0 0 1]", "f32[1 1 1 2] 0"}, {"f32[1 0 1 1]"}, NULL},
      {"the mean of a region",
       "RoiAlign",
       10,
       "sampling_ratio=1",
       {"f32[1 1 2 2] 1 2 3 4", "f32[1 4] 0 0 1 1", "i64[1] 0"},
       {"f32[1 1 1 1] 2.5"},
       NULL},
      {"no region", "RoiAlign", 16, NULL, {"f32[1 1 2 2] 1 2 3 4", "f32[0 4]", "i64[0]"}, {"f32[0 1 1 1]"}, NULL},
      {"a region turned around is empty",
       "RoiAlign",
       16,
       NULL,
       {"f32[1 1 2 2] 1 2 3 4", "f32[1 4] 1 1 0 0", "i64[1] 0"},
       {"f32[1 1 1 1] 0"},
       NULL},
      {"a batch that is not there",
       "RoiAlign",
       16,
       NULL,
       {"f32[1 1 2 2] 1", "f32[1 4] 0 0 1 1", "i64[1] 1"},
       {NULL},
       "no such batch"},
      {"a region larger than any image",
       "RoiAlign",
       16,
       NULL,
       {"f32[1 1 2 2] 1", "f32[1 4] 0 0 1e30 1", "i64[1] 0"},
       {NULL},
       "too large"},
      {"a region that is no number",
       "RoiAlign",
       16,
       NULL,
       {"f32[1 1 2 2] 1", "f32[1 4] nan 0 1 1", "i64[1] 0"},
       {NULL},
       "too large"},
      {"two batches for one region",
       "RoiAlign",
       16,
       NULL,
       {"f32[1 1 2 2] 1", "f32[1 4] 0 0 1 1", "i64[2] 0"},
       {NULL},
       "one batch per region"},
      {"a size that is none",
       "RoiAlign",
       16,
       "output_height=0",
       {"f32[1 1 2 2] 1", "f32[1 4] 0 0 1 1", "i64[1] 0"},
       {NULL},
       "out of range"},
  };
  op_cases_check(cases, COUNT(cases));
}

static void test_signals(void **state) {
  (void)state;
  static const op_case cases[] = {
      {"four real numbers", "DFT", 17, NULL, {"f64[1 4 1] 1 2 3 4"}, {"f64[1 4 2] 10 0 -2 2 -2 0 -2 -2"}, NULL},
      {"one side of three, padded to four",
       "DFT",
       17,
       "onesided=1",
       {"f32[1 3 1] 1 2 3", "i64[] 4"},
       {"f32[1 3 2] 6 0 -2 -2 2 0"},
       NULL},
      {"cut to one", "DFT", 17, NULL, {"f32[1 3 1] 7 2 3", "i64[] 1"}, {"f32[1 1 2] 7 0"}, NULL},
      {"and back", "DFT", 17, "inverse=1", {"f64[1 2 2] 3 1 -1 1"}, {"f64[1 2 2] 1 1 2 0"}, NULL},
      {"the axis is an input in opset 20",
       "DFT",
       20,
       NULL,
       {"f64[2 1 1] 1 2", "", "i64[] 0"},
       {"f64[2 1 2] 3 0 -1 0"},
       NULL},
      {"the parts of numbers are no axis", "DFT", 17, "axis=2", {"f64[1 2 1] 1 2"}, {NULL}, "axis is out of range"},
      {"three parts", "DFT", 17, NULL, {"f64[1 2 3] 1 2"}, {NULL}, "real and imaginary"},
      {"no length", "DFT", 17, NULL, {"f64[1 2 1] 1 2", "i64[] 0"}, {NULL}, "length is out of range"},
      {"more than memory",
       "DFT",
       17,
       NULL,
       {"f64[1 2 1] 1 2", "i64[] 9223372036854775807"},
       {NULL},
       "length is out of range"},
      {"one sided and back", "DFT", 17, "inverse=1 onesided=1", {"f64[1 2 1] 1 2"}, {NULL}, "not together"},
      {"windows",
       "STFT",
       17,
       NULL,
       {"f64[1 4 1] 1 2 3 4", "i64[] 2", "f64[2] 1 0.5"},
       {"f64[1 2 2 2] 2 0 0 0 5 0 1 0"},
       NULL},
      {"frames without a window",
       "STFT",
       17,
       "onesided=0",
       {"f64[1 3 1] 1 2 3", "i64[] 5", "", "i64[] 2"},
       {"f64[1 1 2 2] 3 0 -1 0"},
       NULL},
      {"no step", "STFT", 17, NULL, {"f64[1 4 1] 1", "i64[] 0", "f64[2] 1"}, {NULL}, "step is out of range"},
      {"a frame that is longer than the signal",
       "STFT",
       17,
       NULL,
       {"f64[1 4 1] 1", "i64[] 1", "", "i64[] 5"},
       {NULL},
       "length is out of range"},
      {"neither window nor length", "STFT", 17, NULL, {"f64[1 4 1] 1", "i64[] 1"}, {NULL}, "is needed"},
      {"a window of another length",
       "STFT",
       17,
       NULL,
       {"f64[1 4 1] 1", "i64[] 1", "f64[2] 1", "i64[] 3"},
       {NULL},
       "differ"},
      {"no bands",
       "MelWeightMatrix",
       17,
       NULL,
       {"i64[] 0", "i64[] 8", "i64[] 8000", "f32[] 0", "f32[] 4000"},
       {NULL},
       "out of range"},
      {"edges that are none",
       "MelWeightMatrix",
       17,
       NULL,
       {"i64[] 2", "i64[] 8", "i64[] 8000", "f32[] 4000", "f32[] 0"},
       {NULL},
       "no range"},
      {"edges that are no numbers",
       "MelWeightMatrix",
       17,
       NULL,
       {"i64[] 2", "i64[] 8", "i64[] 8000", "f32[] nan", "f32[] 4"},
       {NULL},
       "no range"},
  };
  op_cases_check(cases, COUNT(cases));
}

/* The transform against its definition, for lengths with and without a power of two. */
static void test_transforms_are_sums_of_waves(void **state) {
  (void)state;
  static const size_t lengths[] = {1, 2, 3, 5, 8, 12, 31, 64, 97};
  for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
    size_t n = lengths[l], used = 0;
    char input[4000], dims[64];
    double x[100][2];
    used += (size_t)snprintf(input, sizeof input, "f64[1 %zu 2]", n);
    for (size_t i = 0; i < n; i++) {
      x[i][0] = (double)(i * 7 % 11) - 5.0;
      x[i][1] = (double)(i * 5 % 13) - 6.0;
      used += (size_t)snprintf(input + used, sizeof input - used, " %.17g %.17g", x[i][0], x[i][1]);
    }
    char output[12000];
    used = (size_t)snprintf(output, sizeof output, "f64[1 %zu 2]", n);
    for (size_t k = 0; k < n; k++) {
      double real = 0.0, imaginary = 0.0;
      for (size_t i = 0; i < n; i++) {
        double angle = -2.0 * 3.14159265358979323846 * (double)(i * k % n) / (double)n;
        real += x[i][0] * cos(angle) - x[i][1] * sin(angle);
        imaginary += x[i][0] * sin(angle) + x[i][1] * cos(angle);
      }
      used += (size_t)snprintf(output + used, sizeof output - used, " %.9f %.9f", real, imaginary);
    }
    snprintf(dims, sizeof dims, "%zu numbers", n);
    op_case one = {dims, "DFT", 17, NULL, {input}, {output}, NULL};
    op_case_check(&one);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_boxes),
      cmocka_unit_test(test_samples),
      cmocka_unit_test(test_signals),
      cmocka_unit_test(test_transforms_are_sums_of_waves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
