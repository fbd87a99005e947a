/* Trainers over whole models: optimizers against what they should reach, losses against differences, schedules, memory, state and files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "autodiff/trainer_private.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "bbw/trainer.h"
#include "kernel_data.h"
#include "kernels/optimizer.h"
#include "onnx_build.h"
#include "test_mem.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static bbw_array array_of(bbw_dtype dtype, uint32_t rank, const size_t *dims, void *data) {
  bbw_array a = {0};
  assert_true(bbw_array_shape(&a, dtype, rank, dims));
  a.data = data;
  return a;
}

/* ---- optimizers ---- */

/* (x - 3)^2 + 10 (y + 1)^2 + 2: convex, its smallest value is 2 at (3, -1). */
static bbw_bytes convex_model(onnx_file *file) {
  onnx_file_init(file);
  onnx_floats(file, "p", "2", (const float[]){-2.0f, 4.0f}, 2);
  onnx_floats(file, "center", "2", (const float[]){3.0f, -1.0f}, 2);
  onnx_floats(file, "weights", "2", (const float[]){2.0f, 20.0f}, 2); /* the loss is a mean of two */
  onnx_floats(file, "two", "", (const float[]){2.0f}, 1);
  onnx_node(file, "Sub", "d", "p center", "d");
  onnx_node(file, "Mul", "s", "d d", "s");
  onnx_node(file, "Mul", "w", "s weights", "w");
  onnx_node(file, "Add", "y", "w two", "y");
  onnx_output(file, "y");
  return onnx_bytes(file);
}

/* Rosenbrock's valley, (1 - x)^2 + 100 (y - x^2)^2: not convex, its smallest value is 0 at (1, 1). */
static bbw_bytes valley_model(onnx_file *file) {
  onnx_file_init(file);
  onnx_floats(file, "x", "1", (const float[]){-1.2f}, 1);
  onnx_floats(file, "y", "1", (const float[]){1.0f}, 1);
  onnx_floats(file, "one", "", (const float[]){1.0f}, 1);
  onnx_floats(file, "hundred", "", (const float[]){100.0f}, 1);
  onnx_node(file, "Sub", "a", "one x", "a");
  onnx_node(file, "Mul", "aa", "a a", "aa");
  onnx_node(file, "Mul", "xx", "x x", "xx");
  onnx_node(file, "Sub", "b", "y xx", "b");
  onnx_node(file, "Mul", "bb", "b b", "bb");
  onnx_node(file, "Mul", "c", "bb hundred", "c");
  onnx_node(file, "Add", "z", "aa c", "z");
  onnx_output(file, "z");
  return onnx_bytes(file);
}

static const struct {
  const char *name;
  bbw_trainer_options options;
  int convex_steps, valley_steps;
  float valley_rate;
} optimizers[] = {
    {"sgd", {.rate = 0.04f}, 300, 40000, 1e-3f},
    {"momentum", {.rate = 0.01f, .momentum = 0.9f}, 400, 40000, 1e-4f},
    {"nesterov", {.rate = 0.01f, .momentum = 0.9f, .is_nesterov = true}, 400, 40000, 1e-4f},
    {"adam", {.optimizer = BBW_TRAINER_ADAM, .rate = 0.1f}, 1500, 20000, 0.01f},
    {"adamw", {.optimizer = BBW_TRAINER_ADAM, .rate = 0.1f, .is_decoupled = true}, 1500, 20000, 0.01f},
};

static void descend(const bbw_trainer_options *options, bbw_bytes model, int steps, double floor, const float *want,
                    float tolerance, const char *name) {
  bbw_trainer *t;
  double loss = 0.0;
  size_t count;
  assert_int_equal(bbw_trainer_new(&t, model, options, &bbw_mem_libc, NULL), BBW_OK);
  for (int i = 0; i < steps; i++) { assert_int_equal(bbw_trainer_step(t, NULL, 0, NULL, &loss, NULL, NULL), BBW_OK); }
  const float *values = bbw_trainer_values(t, &count);
  assert_int_equal(count, 2);
  if (!(fabsf(values[0] - want[0]) < tolerance && fabsf(values[1] - want[1]) < tolerance)) {
    print_error("%s ends at (%g, %g), loss %g\n", name, (double)values[0], (double)values[1], loss);
    fail();
  }
  assert_true(loss - floor < (double)tolerance);
  bbw_trainer_del(t);
}

static void test_optimizers_find_the_minimum(void **state) {
  (void)state;
  onnx_file convex, valley;
  static const float bottom[] = {3.0f, -1.0f}, end[] = {1.0f, 1.0f};
  static const bbw_str freeze[] = {{"center", 6}, {"weights", 7}};
  bbw_bytes convex_bytes = convex_model(&convex), valley_bytes = valley_model(&valley);
  for (size_t i = 0; i < COUNT(optimizers); i++) {
    bbw_trainer_options options = optimizers[i].options;
    options.loss = BBW_TRAINER_OUTPUT;
    options.freeze = freeze;
    options.freeze_count = 2;
    descend(&options, convex_bytes, optimizers[i].convex_steps, 2.0, bottom, 1e-3f, optimizers[i].name);
    options.freeze_count = 0;
    options.rate = optimizers[i].valley_rate;
    descend(&options, valley_bytes, optimizers[i].valley_steps, 0.0, end, 1e-2f, optimizers[i].name);
    options.has_f16_state = true;
    descend(&options, valley_bytes, optimizers[i].valley_steps, 0.0, end, 2e-2f, optimizers[i].name);
    options.freeze_count = 2;
    options.rate = optimizers[i].options.rate;
    descend(&options, convex_bytes, optimizers[i].convex_steps, 2.0, bottom, 2e-3f, optimizers[i].name);
  }
  /* With a decay of 1/2 in the gradient the bottom is where 2 (x - 3) + x / 2 = 0 and 20 (y + 1) + y / 2 = 0. */
  static const float decayed[] = {6.0f / 2.5f, -20.0f / 20.5f};
  for (size_t i = 0; i < COUNT(optimizers); i++) {
    bbw_trainer_options options = optimizers[i].options;
    if (options.is_decoupled) { continue; }
    options.loss = BBW_TRAINER_OUTPUT;
    options.freeze = freeze;
    options.freeze_count = 2;
    options.weight_decay = 0.5f;
    descend(&options, convex_bytes, optimizers[i].convex_steps, 3.0, decayed, 1e-3f, optimizers[i].name);
  }
  onnx_file_free(&convex);
  onnx_file_free(&valley);
}

/* Moments in 16 bits neither saturate nor vanish: with gradients 2^56 times as large or 2^32 times as small, Adam goes the same way bit by bit, and so does momentum at a rate that makes up for it. */
static void test_half_state_has_the_range_of_f32(void **state) {
  (void)state;
  for (int is_adam = 0; is_adam < 2; is_adam++) {
    float want[2] = {0};
    static const int exponents[] = {0, -32, 56};
    for (size_t i = 0; i < COUNT(exponents); i++) {
      static const bbw_str freeze[] = {{"center", 6}, {"weights", 7}};
      float factor = ldexpf(1.0f, exponents[i]), weights[] = {2.0f * factor, 20.0f * factor};
      bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT,
                                     .optimizer = is_adam ? BBW_TRAINER_ADAM : BBW_TRAINER_SGD,
                                     .rate = is_adam ? 0.1f : 0.001f / factor,
                                     .momentum = is_adam ? 0.0f : 0.9f,
                                     .epsilon = 1e-36f,
                                     .freeze = freeze,
                                     .freeze_count = 2,
                                     .seed = 4,
                                     .has_f16_state = true};
      onnx_file file;
      bbw_trainer *t;
      double loss;
      size_t count;
      onnx_file_init(&file);
      onnx_floats(&file, "p", "2", (const float[]){-2.0f, 4.0f}, 2);
      onnx_floats(&file, "center", "2", (const float[]){3.0f, -1.0f}, 2);
      onnx_floats(&file, "weights", "2", weights, 2);
      onnx_node(&file, "Sub", "d", "p center", "d");
      onnx_node(&file, "Mul", "s", "d d", "s");
      onnx_node(&file, "Mul", "w", "s weights", "y");
      onnx_output(&file, "y");
      assert_int_equal(bbw_trainer_new(&t, onnx_bytes(&file), &options, &bbw_mem_libc, NULL), BBW_OK);
      for (int k = 0; k < 200; k++) { assert_int_equal(bbw_trainer_step(t, NULL, 0, NULL, &loss, NULL, NULL), BBW_OK); }
      const float *values = bbw_trainer_values(t, &count);
      if (i == 0) { memcpy(want, values, sizeof want); }
      assert_memory_equal(want, values, sizeof want);
      assert_true(fabsf(values[0] - 3.0f) < 0.5f && fabsf(values[1] + 1.0f) < 0.5f);
      bbw_trainer_del(t);
      onnx_file_free(&file);
    }
  }
}

/* 16 bits take half the memory, are saved and loaded bit for bit, and stay near what f32 does. */
static void test_state_as_f16(void **state) {
  (void)state;
  onnx_file file;
  bbw_bytes model = convex_model(&file);
  static const bbw_str freeze[] = {{"center", 6}, {"weights", 7}};
  bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT,
                                 .optimizer = BBW_TRAINER_ADAM,
                                 .rate = 0.1f,
                                 .freeze = freeze,
                                 .freeze_count = 2,
                                 .seed = 4,
                                 .has_f16_state = true};
  bbw_trainer *half, *again, *full;
  double loss;
  size_t count;
  assert_int_equal(bbw_trainer_new(&half, model, &options, &bbw_mem_libc, NULL), BBW_OK);
  assert_int_equal(bbw_trainer_new(&again, model, &options, &bbw_mem_libc, NULL), BBW_OK);
  options.has_f16_state = false;
  assert_int_equal(bbw_trainer_new(&full, model, &options, &bbw_mem_libc, NULL), BBW_OK);
  assert_int_equal(bbw_trainer_stats_of(half).state_bytes * 2, bbw_trainer_stats_of(full).state_bytes);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(bbw_trainer_step(half, NULL, 0, NULL, &loss, NULL, NULL), BBW_OK);
    assert_int_equal(bbw_trainer_step(full, NULL, 0, NULL, &loss, NULL, NULL), BBW_OK);
  }
  const float *a = bbw_trainer_values(half, &count), *b = bbw_trainer_values(full, &count);
  for (size_t i = 0; i < count; i++) { assert_true(a[i] != b[i] && fabsf(a[i] - b[i]) < 0.02f); }
  uint8_t saved[256];
  size_t bytes = bbw_trainer_state_bytes(half);
  assert_true(bytes <= sizeof saved && bytes < bbw_trainer_state_bytes(full));
  bbw_trainer_state_save(half, saved);
  assert_int_equal(bbw_trainer_state_load(full, (bbw_bytes){saved, bytes}, NULL), BBW_E_INVALID_VALUE);
  assert_int_equal(bbw_trainer_state_load(again, (bbw_bytes){saved, bytes}, NULL), BBW_OK);
  assert_int_equal(bbw_trainer_load(again, a, count, NULL), BBW_OK);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(bbw_trainer_step(half, NULL, 0, NULL, &loss, NULL, NULL), BBW_OK);
    assert_int_equal(bbw_trainer_step(again, NULL, 0, NULL, &loss, NULL, NULL), BBW_OK);
  }
  assert_int_equal(kernel_first_difference(a, bbw_trainer_values(again, &count), count), count);
  /* Another rate, and none that is no number. */
  assert_int_equal(bbw_trainer_set_rate(half, NAN, NULL), BBW_E_ARG);
  assert_int_equal(bbw_trainer_set_rate(half, -1.0f, NULL), BBW_E_ARG);
  assert_int_equal(bbw_trainer_set_rate(half, 0.0f, NULL), BBW_OK);
  float before[2] = {a[0], a[1]};
  assert_int_equal(bbw_trainer_step(half, NULL, 0, NULL, &loss, NULL, NULL), BBW_OK);
  assert_int_equal(kernel_first_difference(a, before, count), count);
  bbw_trainer_state_reset(half);
  assert_int_equal(bbw_trainer_stats_of(half).steps, 0);
  assert_int_equal(bbw_trainer_backward(half, NULL, 0, NULL, before, NULL), BBW_E_STATE); /* not asked for */
  bbw_trainer_del(full);
  bbw_trainer_del(again);
  bbw_trainer_del(half);
  onnx_file_free(&file);
}

static void test_kernels_of_the_optimizers(void **state) {
  (void)state;
  static const struct {
    bbw_descent_f32_fn *scalar, *simd;
    int kind;
  } kernels[] = {{bbw_sgd_f32_scalar, bbw_sgd_f32_simd128, 0},
                 {bbw_momentum_f32_scalar, bbw_momentum_f32_simd128, 1},
                 {bbw_adam_f32_scalar, bbw_adam_f32_simd128, 2}};
  enum { N = 23 };
  for (size_t k = 0; k < COUNT(kernels); k++) {
    for (size_t n = 0; n <= N; n++) {
      float g[N], x[2][N], m[2][N], v[2][N];
      bbw_descent d = {.rate = 0.1f,
                       .scale = 0.5f,
                       .clip_value = 0.75f,
                       .decay = 0.01f,
                       .shrink = 0.99f,
                       .beta1 = 0.9f,
                       .beta2 = 0.99f,
                       .epsilon = 1e-3f,
                       .unbias = 1.5f,
                       .is_nesterov = n % 2 == 1};
      kernel_fill(g, N, 1, -2.0f, 2.0f);
      kernel_fill(x[0], N, 2, -2.0f, 2.0f);
      kernel_fill(m[0], N, 3, -1.0f, 1.0f);
      kernel_fill(v[0], N, 4, 0.0f, 1.0f);
      memcpy(x[1], x[0], sizeof x[0]), memcpy(m[1], m[0], sizeof m[0]), memcpy(v[1], v[0], sizeof v[0]);
      float old_x = x[0][0], old_m = m[0][0], old_v = v[0][0];
      kernels[k].scalar(&d, g, x[0], m[0], v[0], n);
      kernels[k].simd(&d, g, x[1], m[1], v[1], n);
      assert_memory_equal(x[0], x[1], sizeof x[0]);
      assert_memory_equal(m[0], m[1], sizeof m[0]);
      assert_memory_equal(v[0], v[1], sizeof v[0]);
      if (n == 0) { continue; }
      double clipped = g[0] > 0.75f    ? 0.75
                       : g[0] < -0.75f ? -0.75
                                       : (double)g[0],
             step = clipped * 0.5 + 0.01 * (double)old_x;
      double mean = 0.9 * (double)old_m + (kernels[k].kind == 2 ? 0.1 : 1.0) * step;
      double square = 0.99 * (double)old_v + 0.01 * step * step;
      double move = kernels[k].kind == 0   ? step
                    : kernels[k].kind == 1 ? (d.is_nesterov ? step + 0.9 * mean : mean)
                                           : mean / (sqrt(square) * 1.5 + 1e-3);
      assert_true(fabs((double)x[0][0] - ((double)old_x * (double)0.99f - (double)0.1f * move)) < 1e-5);
    }
  }
}

/* ---- losses: value by hand in f64, gradient by differences of it ---- */

enum { ROWS = 3, CLASSES = 4 };
static const float class_weights[CLASSES] = {1.0f, 0.5f, 2.0f, 0.0f};

static double loss_by_hand(const bbw_trainer_options *o, const double *x, const int32_t *index, const float *label) {
  double sum = 0.0, total = 0.0;
  if (o->loss != BBW_TRAINER_SOFTMAX_CROSS_ENTROPY) {
    for (int i = 0; i < ROWS * CLASSES; i++) {
      double d = x[i] - (double)label[i], delta = o->huber_delta != 0.0f ? (double)o->huber_delta : 1.0;
      if (o->loss == BBW_TRAINER_MSE) { sum += d * d; }
      if (o->loss == BBW_TRAINER_HUBER) { sum += fabs(d) <= delta ? 0.5 * d * d : delta * (fabs(d) - 0.5 * delta); }
      if (o->loss == BBW_TRAINER_BCE_WITH_LOGITS) {
        double p = 1.0 / (1.0 + exp(-x[i]));
        sum -= (double)label[i] * log(p) + (1.0 - (double)label[i]) * log(1.0 - p);
      }
      if (o->loss == BBW_TRAINER_OUTPUT) { sum += x[i]; }
    }
    return sum / (ROWS * CLASSES);
  }
  for (int r = 0; r < ROWS; r++) {
    double e = 0.0;
    if (index != NULL && o->has_ignored && index[r] == o->ignored) { continue; }
    for (int j = 0; j < CLASSES; j++) { e += exp(x[r * CLASSES + j]); }
    for (int j = 0; j < CLASSES; j++) {
      double target = index != NULL ? (index[r] == j ? 1.0 : 0.0) : (double)label[r * CLASSES + j];
      target = target * (1.0 - (double)o->label_smoothing) + (double)o->label_smoothing / CLASSES;
      if (o->class_count > 0) { target *= (double)class_weights[j]; }
      sum += target * (log(e) - x[r * CLASSES + j]);
    }
    total += index != NULL && o->class_count > 0 ? (double)class_weights[index[r]] : 1.0;
  }
  return total > 0.0 ? sum / total : 0.0;
}

static void test_losses(void **state) {
  (void)state;
  static int32_t index[ROWS] = {2, 0, 1};
  static int64_t wide[ROWS] = {2, 0, 1};
  static float spread[ROWS * CLASSES] = {0.1f, 0.2f, 0.3f, 0.4f, 1, 0, 0, 0, 0.25f, 0.25f, 0.5f, 0};
  const size_t dims[] = {ROWS, CLASSES};
  static const struct {
    bbw_trainer_options options;
    bool is_index;
  } cases[] = {
      {{.loss = BBW_TRAINER_SOFTMAX_CROSS_ENTROPY}, true},
      {{.loss = BBW_TRAINER_SOFTMAX_CROSS_ENTROPY}, false},
      {{.loss = BBW_TRAINER_SOFTMAX_CROSS_ENTROPY, .label_smoothing = 0.25f}, true},
      {{.loss = BBW_TRAINER_SOFTMAX_CROSS_ENTROPY, .label_smoothing = 0.25f}, false},
      {{.loss = BBW_TRAINER_SOFTMAX_CROSS_ENTROPY, .has_ignored = true, .ignored = 0}, true},
      {{.loss = BBW_TRAINER_SOFTMAX_CROSS_ENTROPY, .class_weights = class_weights, .class_count = CLASSES}, true},
      {{.loss = BBW_TRAINER_BCE_WITH_LOGITS}, false},
      {{.loss = BBW_TRAINER_MSE}, false},
      {{.loss = BBW_TRAINER_HUBER}, false},
      {{.loss = BBW_TRAINER_HUBER, .huber_delta = 0.3f}, false},
      {{.loss = BBW_TRAINER_OUTPUT}, false},
  };
  onnx_file file;
  float x[ROWS * CLASSES], gradient[ROWS * CLASSES];
  kernel_fill(x, ROWS * CLASSES, 5, -2.0f, 2.0f);
  onnx_file_init(&file);
  onnx_floats(&file, "x", "3 4", x, ROWS * CLASSES);
  onnx_node(&file, "Identity", "same", "x", "y");
  onnx_output(&file, "y");
  bbw_bytes model = onnx_bytes(&file);
  for (size_t i = 0; i < COUNT(cases); i++) {
    bbw_trainer_options o = cases[i].options;
    o.rate = 1.0f;
    bbw_trainer *t;
    double loss, value, at[ROWS * CLASSES];
    bbw_array labels = cases[i].is_index ? array_of(i % 2 == 0 ? BBW_DTYPE_I32 : BBW_DTYPE_I64, 1, dims,
                                                    i % 2 == 0 ? (void *)index : (void *)wide)
                                         : array_of(BBW_DTYPE_F32, 2, dims, spread);
    const bbw_array *given = o.loss == BBW_TRAINER_OUTPUT ? NULL : &labels;
    assert_int_equal(bbw_trainer_new(&t, model, &o, &bbw_mem_libc, NULL), BBW_OK);
    assert_int_equal(bbw_trainer_gradient(t, NULL, 0, given, &loss, gradient, NULL), BBW_OK);
    assert_int_equal(bbw_trainer_evaluate(t, NULL, 0, given, &value, NULL, NULL), BBW_OK);
    assert_true(loss == value);
    for (int k = 0; k < ROWS * CLASSES; k++) { at[k] = (double)x[k]; }
    assert_true(fabs(loss - loss_by_hand(&o, at, cases[i].is_index ? index : NULL, spread)) < 1e-6);
    for (int k = 0; k < ROWS * CLASSES; k++) {
      double sides[2];
      for (int s = 0; s < 2; s++) {
        at[k] = (double)x[k] + (s == 0 ? -1e-5 : 1e-5);
        sides[s] = loss_by_hand(&o, at, cases[i].is_index ? index : NULL, spread);
      }
      at[k] = (double)x[k];
      double want = (sides[1] - sides[0]) / 2e-5;
      if (!(fabs((double)gradient[k] - want) < 2e-6)) {
        print_error("case %zu: gradient %d is %g, not %g\n", i, k, (double)gradient[k], want);
        fail();
      }
    }
    bbw_trainer_del(t);
  }
  onnx_file_free(&file);
}

/* ---- rates, decay, clipping ---- */

/* One parameter whose gradient is 1: what a step takes away is the rate. */
static bbw_trainer *straight(onnx_file *file, bbw_trainer_options o) {
  bbw_trainer *t;
  onnx_file_init(file);
  onnx_floats(file, "p", "1", (const float[]){0.0f}, 1);
  onnx_node(file, "Identity", "same", "p", "y");
  onnx_output(file, "y");
  o.loss = BBW_TRAINER_OUTPUT;
  assert_int_equal(bbw_trainer_new(&t, onnx_bytes(file), &o, &bbw_mem_libc, NULL), BBW_OK);
  return t;
}

static float stepped(bbw_trainer *t) {
  double loss;
  size_t count;
  float before = *bbw_trainer_values(t, &count);
  assert_int_equal(bbw_trainer_step(t, NULL, 0, NULL, &loss, NULL, NULL), BBW_OK);
  return before - *bbw_trainer_values(t, &count);
}

static void test_rates(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bbw_trainer_options options;
    double want[8];
  } cases[] = {
      {"constant", {.rate = 1.0f}, {1, 1, 1, 1, 1, 1, 1, 1}},
      {"warm-up", {.rate = 1.0f, .warmup_steps = 4}, {0.25, 0.5, 0.75, 1, 1, 1, 1, 1}},
      {"step",
       {.rate = 1.0f, .schedule = BBW_TRAINER_STEP, .schedule_steps = 2, .schedule_factor = 0.5f},
       {1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125}},
      {"cosine",
       {.rate = 1.0f, .schedule = BBW_TRAINER_COSINE, .schedule_steps = 4},
       {1, 0.85355339059, 0.5, 0.14644660941, 0, 0, 0, 0}},
      {"cosine behind a warm-up, to a tenth",
       {.rate = 1.0f, .schedule = BBW_TRAINER_COSINE, .schedule_steps = 2, .schedule_factor = 0.1f, .warmup_steps = 2},
       {0.5, 1, 1, 0.55, 0.1, 0.1, 0.1, 0.1}},
      {"clipped by value", {.rate = 1.0f, .clip_value = 0.25f}, {0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25}},
      {"clipped by norm", {.rate = 1.0f, .clip_norm = 0.5f}, {0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5}},
      {"not clipped", {.rate = 1.0f, .clip_norm = 2.0f, .clip_value = 3.0f}, {1, 1, 1, 1, 1, 1, 1, 1}},
      {"adam moves by its rate",
       {.optimizer = BBW_TRAINER_ADAM, .rate = 0.5f},
       {0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5}},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    onnx_file file;
    bbw_trainer *t = straight(&file, cases[i].options);
    for (int k = 0; k < 8; k++) {
      float got = stepped(t);
      if (!(fabs((double)got - cases[i].want[k]) < 2e-6)) {
        print_error("%s: step %d is %g\n", cases[i].name, k, (double)got);
        fail();
      }
    }
    bbw_trainer_del(t);
    onnx_file_free(&file);
  }
  /* Weight decay: with the gradient, or taken from the parameter. */
  for (int decoupled = 0; decoupled < 2; decoupled++) {
    onnx_file file;
    const float ten = 10.0f;
    bbw_trainer *t = straight(
        &file, (bbw_trainer_options){.rate = 0.5f, .weight_decay = 0.1f, .is_decoupled = decoupled == 1});
    assert_int_equal(bbw_trainer_load(t, &ten, 1, NULL), BBW_OK);
    assert_true(fabsf(stepped(t) - (0.5f * 1.0f + 0.5f * 0.1f * 10.0f)) < 1e-6f); /* equal for SGD */
    bbw_trainer_del(t);
    onnx_file_free(&file);
  }
}

/* ---- a model with everything: memory, errors ---- */

static bbw_bytes whole_model(onnx_file *file) {
  onnx_file_init(file);
  onnx_input(file, "x", "n 1 6 6");
  onnx_weights(file, "w", "2 1 3 3", 1, 0.5f, true);
  onnx_weights(file, "gamma", "2", 2, 1.0f, true);
  onnx_weights(file, "beta", "2", 3, 1.0f, true);
  onnx_floats(file, "mean", "2", (const float[]){0.1f, -0.1f}, 2);
  onnx_floats(file, "variance", "2", (const float[]){1, 2}, 2);
  onnx_weights(file, "fc", "8 3", 5, 0.5f, false);
  onnx_weights(file, "bias", "3", 6, 0.5f, true);
  onnx_floats(file, "ratio", "", (const float[]){0.25f}, 1);
  onnx_node(file, "Conv", "conv", "x w", "c");
  onnx_node(file, "BatchNormalization", "bn", "c gamma beta mean variance", "b");
  onnx_node(file, "Relu", "relu", "b", "r");
  bbw_onnx_node *pool = onnx_node(file, "MaxPool", "pool", "r", "m");
  onnx_attribute_ints(file, pool, "kernel_shape", (const int64_t[]){2, 2}, 2);
  onnx_attribute_ints(file, pool, "strides", (const int64_t[]){2, 2}, 2);
  onnx_node(file, "Flatten", "flat", "m", "f");
  onnx_node(file, "Dropout", "drop", "f ratio", "d");
  onnx_node(file, "MatMul", "product", "d fc", "p");
  onnx_node(file, "Add", "biased", "p bias", "y");
  onnx_output(file, "y");
  return onnx_bytes(file);
}

static bbw_status train(bbw_bytes model, const bbw_mem *mem, size_t cap, double *last, size_t *peak) {
  static float data[2 * 36];
  static int32_t classes[2] = {2, 0};
  const size_t dims[] = {2, 1, 6, 6};
  bbw_trainer *t = NULL;
  bbw_error err;
  bbw_trainer_options o = {.optimizer = BBW_TRAINER_ADAM, .rate = 0.05f, .seed = 3, .memory_bytes_max = cap};
  kernel_fill(data, 2 * 36, 9, -1.0f, 1.0f);
  bbw_array x = array_of(BBW_DTYPE_F32, 4, dims, data), labels = array_of(BBW_DTYPE_I32, 1, dims, classes), out[1];
  bbw_status rv = bbw_trainer_new(&t, model, &o, mem, &err);
  for (int i = 0; rv == BBW_OK && i < 3; i++) { rv = bbw_trainer_step(t, &x, 1, &labels, last, NULL, &err); }
  if (rv == BBW_OK) { rv = bbw_trainer_evaluate(t, &x, 1, &labels, last, out, &err); }
  assert_true(rv == BBW_OK || err.status == rv);
  if (rv == BBW_OK && peak != NULL) {
    bbw_trainer_stats s = bbw_trainer_stats_of(t);
    *peak = s.constant_bytes + s.parameter_bytes + s.state_bytes + s.run_bytes_peak;
  }
  bbw_trainer_del(t);
  return rv;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  onnx_file file;
  test_mem mem;
  double want, got = 0.0;
  test_mem_init(&mem);
  bbw_bytes model = whole_model(&file);
  assert_int_equal(train(model, &mem.mem, 0, &want, NULL), BBW_OK);
  assert_int_equal(mem.live_bytes, 0);
  bbw_status rv = BBW_E_NOMEM;
  size_t nth = 0;
  for (; rv == BBW_E_NOMEM; nth++) {
    rv = train(model, test_mem_fail_at(&mem, nth), 0, &got, NULL);
    assert_int_equal(mem.live_bytes, 0);
  }
  assert_int_equal(rv, BBW_OK);
  assert_true(nth > 60);
  assert_true(got == want);
  onnx_file_free(&file);
}

/* ---- checkpoints ---- */

/* Blocks with a way around them, curves, Dropout and Softmax: what backward nodes want comes from inside of segments and from their ends. */
static bbw_bytes deep_model(onnx_file *file) {
  static const char *const names[8][6] = {{"a0", "b0", "c0", "d0", "e0", "w0"}, {"a1", "b1", "c1", "d1", "e1", "w1"},
                                          {"a2", "b2", "c2", "d2", "e2", "w2"}, {"a3", "b3", "c3", "d3", "e3", "w3"},
                                          {"a4", "b4", "c4", "d4", "e4", "w4"}, {"a5", "b5", "c5", "d5", "e5", "w5"},
                                          {"a6", "b6", "c6", "d6", "e6", "w6"}, {"a7", "b7", "c7", "d7", "y", "w7"}};
  static char texts[8][3][16];
  onnx_file_init(file);
  onnx_input(file, "x", "n 12");
  onnx_floats(file, "ratio", "", (const float[]){0.25f}, 1);
  const char *from = "x";
  for (uint32_t k = 0; k < 6; k++) {
    const char *const *n = names[k < 5 ? k : 7];
    onnx_weights(file, n[5], "12 12", 10 + k, 0.5f, true);
    snprintf(texts[k][0], sizeof texts[k][0], "%s %s", from, n[5]);
    snprintf(texts[k][1], sizeof texts[k][1], "%s ratio", n[1]);
    snprintf(texts[k][2], sizeof texts[k][2], "%s %s", n[3], from);
    onnx_node(file, "MatMul", n[0], texts[k][0], n[0]);
    onnx_node(file, k % 2 == 0 ? "Gelu" : "Tanh", n[1], n[0], n[1]);
    onnx_node(file, "Dropout", n[2], texts[k][1], n[2]);
    onnx_node(file, "Softmax", n[3], n[2], n[3]);
    onnx_node(file, "Add", n[4], texts[k][2], n[4]);
    from = n[4];
  }
  onnx_output(file, "y");
  file->opset = 20;
  return onnx_bytes(file);
}

enum { DEEP_ROWS = 64, DEEP_STEPS = 4 };
static bbw_status train_deep(bbw_bytes model, uint32_t checkpoints, size_t frozen, const bbw_mem *mem, double *losses,
                             float *values, bbw_trainer_stats *stats) {
  static const bbw_str freeze[] = {{"w0", 2}, {"w2", 2}, {"w3", 2}};
  static float data[DEEP_ROWS * 12], wanted[DEEP_ROWS * 12];
  const size_t dims[] = {DEEP_ROWS, 12};
  bbw_trainer *t = NULL;
  bbw_error err;
  bbw_trainer_options o = {.loss = BBW_TRAINER_MSE,
                           .optimizer = BBW_TRAINER_ADAM,
                           .rate = 0.01f,
                           .seed = 3,
                           .checkpoints = checkpoints,
                           .freeze = freeze,
                           .freeze_count = frozen};
  kernel_fill(data, DEEP_ROWS * 12, 9, -1.0f, 1.0f);
  kernel_fill(wanted, DEEP_ROWS * 12, 8, -1.0f, 1.0f);
  bbw_array x = array_of(BBW_DTYPE_F32, 2, dims, data), labels = array_of(BBW_DTYPE_F32, 2, dims, wanted);
  bbw_status rv = bbw_trainer_new(&t, model, &o, mem, &err);
  for (int i = 0; rv == BBW_OK && i < DEEP_STEPS; i++) {
    rv = bbw_trainer_step(t, &x, 1, &labels, &losses[i], NULL, &err);
  }
  if (rv == BBW_OK) {
    size_t count;
    const float *now = bbw_trainer_values(t, &count);
    memcpy(values, now, count * sizeof *now);
    *stats = bbw_trainer_stats_of(t);
  }
  bbw_trainer_del(t);
  return rv;
}

/* The same bits in less memory, and the statistics say how much less; for every number of segments. */
static void test_checkpoints(void **state) {
  (void)state;
  onnx_file file;
  bbw_bytes model = deep_model(&file);
  double want_losses[DEEP_STEPS], losses[DEEP_STEPS];
  float want[6 * 144], got[6 * 144];
  bbw_trainer_stats whole, stats;
  assert_int_equal(train_deep(model, 0, 0, &bbw_mem_libc, want_losses, want, &whole), BBW_OK);
  assert_int_equal(whole.whole_bytes, 0);
  assert_true(whole.live_bytes > 0 && whole.live_bytes <= whole.step_bytes);
  static const uint32_t segments[] = {1, 2, 3, 5, 7, 12, 1000, UINT32_MAX};
  for (size_t i = 0; i < COUNT(segments); i++) {
    assert_int_equal(train_deep(model, segments[i], 0, &bbw_mem_libc, losses, got, &stats), BBW_OK);
    assert_memory_equal(losses, want_losses, sizeof losses);
    assert_memory_equal(got, want, 6 * 144 * sizeof *got);
    if (segments[i] == 1) {
      assert_int_equal(stats.step_bytes, whole.step_bytes);
      continue;
    }
    assert_int_equal(stats.whole_bytes, whole.step_bytes);
    assert_true(stats.live_bytes <= stats.step_bytes);
    if (segments[i] == UINT32_MAX || segments[i] == 5) {
      if (!(stats.step_bytes < whole.step_bytes * 2 / 3 && stats.node_count > whole.node_count)) {
        print_error("%u segments: %zu of %zu bytes\n", segments[i], stats.step_bytes, whole.step_bytes);
        fail();
      }
    }
  }
  /* What is frozen was packed for its kernels, which copies of nodes share. */
  assert_int_equal(train_deep(model, 0, 3, &bbw_mem_libc, want_losses, want, &whole), BBW_OK);
  assert_int_equal(train_deep(model, 4, 3, &bbw_mem_libc, losses, got, &stats), BBW_OK);
  assert_memory_equal(losses, want_losses, sizeof losses);
  assert_memory_equal(got, want, 3 * 144 * sizeof *got);
  assert_int_equal(stats.constant_bytes, whole.constant_bytes);
  test_mem mem;
  test_mem_init(&mem);
  bbw_status rv = BBW_E_NOMEM;
  for (size_t nth = 0; rv == BBW_E_NOMEM; nth++) {
    rv = train_deep(model, UINT32_MAX, 3, test_mem_fail_at(&mem, nth), losses, got, &stats);
    assert_int_equal(mem.live_bytes, 0);
  }
  assert_int_equal(rv, BBW_OK);
  onnx_file_free(&file);
}

/* Every cap below what training takes is refused by E_LIMIT, and held. */
static void test_a_cap_is_kept(void **state) {
  (void)state;
  onnx_file file;
  bbw_bytes model = whole_model(&file);
  bool has_refused = false, has_run = false;
  double loss;
  for (size_t cap = 512; cap < ((size_t)1 << 22) && !has_run; cap += cap / 4) {
    test_mem mem;
    size_t peak = 0;
    test_mem_init(&mem);
    bbw_status rv = train(model, &mem.mem, cap, &loss, &peak);
    assert_true(rv == BBW_OK || rv == BBW_E_LIMIT);
    assert_int_equal(mem.live_bytes, 0);
    assert_true(peak <= cap);
    has_refused = has_refused || rv == BBW_E_LIMIT;
    has_run = rv == BBW_OK;
  }
  assert_true(has_refused);
  assert_true(has_run);
  onnx_file_free(&file);
}

/* A repeated step allocates nothing; a failed one changes nothing; statistics move. */
static void test_steps(void **state) {
  (void)state;
  onnx_file file;
  test_mem mem;
  bbw_error err;
  static float data[2 * 36];
  static int32_t classes[2] = {2, 0};
  const size_t dims[] = {2, 1, 6, 6};
  double loss;
  size_t count;
  bbw_trainer *t;
  test_mem_init(&mem);
  kernel_fill(data, 2 * 36, 9, -1.0f, 1.0f);
  bbw_array x = array_of(BBW_DTYPE_F32, 4, dims, data), labels = array_of(BBW_DTYPE_I32, 1, dims, classes);
  bbw_trainer_options o = {.optimizer = BBW_TRAINER_ADAM, .rate = 0.05f, .seed = 3};
  assert_int_equal(bbw_trainer_new(&t, whole_model(&file), &o, &mem.mem, NULL), BBW_OK);
  assert_int_equal(bbw_trainer_step(t, &x, 1, &labels, &loss, NULL, NULL), BBW_OK);
  (void)test_mem_fail_at(&mem, 0);
  for (int i = 0; i < 5; i++) { assert_int_equal(bbw_trainer_step(t, &x, 1, &labels, &loss, NULL, NULL), BBW_OK); }
  assert_int_equal(mem.alloc_count, 0);
  (void)test_mem_fail_at(&mem, TEST_MEM_NEVER);
  /* Names in the order of the file; statistics among them. */
  static const char *const names[] = {"w", "gamma", "beta", "mean", "variance", "fc", "bias"};
  assert_int_equal(bbw_trainer_parameter_count(t), COUNT(names));
  const float *values = bbw_trainer_values(t, &count);
  for (size_t i = 0; i < COUNT(names); i++) {
    bbw_trainer_parameter p = bbw_trainer_parameter_at(t, i);
    assert_int_equal(p.name.len, strlen(names[i]));
    assert_memory_equal(p.name.ptr, names[i], p.name.len);
    assert_int_equal(p.is_statistic, i == 3 || i == 4);
    if (i == 3) { assert_true(values[p.offset] != 0.1f); }
  }
  float before[100], after[100];
  uint8_t state_before[2000], state_after[2000];
  assert_true(count <= 100 && bbw_trainer_state_bytes(t) <= 2000);
  memcpy(before, values, count * sizeof *before);
  bbw_trainer_state_save(t, state_before);
  data[7] = NAN;
  assert_int_equal(bbw_trainer_step(t, &x, 1, &labels, &loss, NULL, &err), BBW_E_NOT_FINITE);
  assert_int_equal(bbw_error_number(&err, "step"), 6);
  data[7] = 0.5f;
  classes[1] = 3;
  assert_int_equal(bbw_trainer_step(t, &x, 1, &labels, &loss, NULL, &err), BBW_E_ONNX_INVALID);
  classes[1] = -1;
  assert_int_equal(bbw_trainer_step(t, &x, 1, &labels, &loss, NULL, &err), BBW_E_ONNX_INVALID);
  classes[1] = 0;
  labels.count = 1, labels.dims[0] = 1;
  assert_int_equal(bbw_trainer_step(t, &x, 1, &labels, &loss, NULL, &err), BBW_E_ONNX_INVALID);
  assert_int_equal(bbw_trainer_step(t, &x, 1, NULL, &loss, NULL, &err), BBW_E_ARG);
  assert_int_equal(bbw_trainer_step(t, &x, 0, &labels, &loss, NULL, &err), BBW_E_ARG);
  memcpy(after, bbw_trainer_values(t, &count), count * sizeof *after);
  bbw_trainer_state_save(t, state_after);
  assert_memory_equal(before, after, count * sizeof *before);
  assert_memory_equal(state_before, state_after, bbw_trainer_state_bytes(t));
  bbw_trainer_del(t);
  bbw_trainer_del(NULL);
  assert_int_equal(mem.live_bytes, 0);
  onnx_file_free(&file);
}

/* ---- state and files ---- */

static void test_state_of_others_is_refused(void **state) {
  (void)state;
  onnx_file file;
  bbw_trainer *t;
  bbw_error err;
  uint8_t saved[2000], bytes[2000], again[2000];
  bbw_trainer_options o = {.optimizer = BBW_TRAINER_ADAM, .rate = 0.05f};
  assert_int_equal(bbw_trainer_new(&t, whole_model(&file), &o, &bbw_mem_libc, NULL), BBW_OK);
  size_t n = bbw_trainer_state_bytes(t);
  bbw_trainer_state_save(t, saved);
  for (size_t i = 0; i < n; i++) { /* no byte may differ */
    memcpy(bytes, saved, n);
    bytes[i] ^= 0x10;
    bbw_status rv = bbw_trainer_state_load(t, (bbw_bytes){bytes, n}, &err);
    assert_true(rv == BBW_E_DECODE || rv == BBW_E_INVALID_VALUE);
  }
  for (size_t i = 0; i < n; i++) {
    assert_int_not_equal(bbw_trainer_state_load(t, (bbw_bytes){saved, i}, &err), BBW_OK);
  }
  bbw_trainer_state_save(t, again);
  assert_memory_equal(saved, again, n);
  assert_int_equal(bbw_trainer_state_load(t, (bbw_bytes){saved, n}, &err), BBW_OK);
  bbw_trainer_del(t);
  onnx_file_free(&file);
}

/* A state that is whole and yet none: it would make parameters that are no numbers. */
static void test_a_state_must_hold_numbers(void **state) {
  (void)state;
  static const uint8_t nan32[] = {0, 0, 0xc0, 0x7f}, infinite32[] = {0, 0, 0x80, 0x7f}, minus32[] = {0, 0, 0x80, 0xbf};
  static const uint8_t most[] = {255, 255, 255, 255, 255, 255, 255, 255};
  static const struct {
    bool is_f16;
    uint32_t moment; /* or 2: the number of steps */
    const uint8_t *bytes;
    size_t len;
  } cases[] = {{false, 0, nan32, 4},   {false, 0, infinite32, 4}, {false, 1, nan32, 4},
               {false, 1, minus32, 4}, {false, 2, most, 8},       {true, 2, most, 8}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    onnx_file file;
    bbw_trainer *t;
    bbw_error err;
    uint8_t saved[2000], again[2000];
    bbw_trainer_options o = {.optimizer = BBW_TRAINER_ADAM, .rate = 0.05f, .has_f16_state = cases[i].is_f16};
    assert_int_equal(bbw_trainer_new(&t, whole_model(&file), &o, &bbw_mem_libc, NULL), BBW_OK);
    size_t n = bbw_trainer_state_bytes(t), each = (n - 52) / 2;
    bbw_trainer_state_save(t, saved);
    size_t at = cases[i].moment == 2 ? 28 : 44 + cases[i].moment * each + each - cases[i].len;
    memcpy(saved + at, cases[i].bytes, cases[i].len);
    bbw_store_u64le(saved + n - 8, bbw_trainer_hash((bbw_bytes){saved, n - 8}));
    assert_int_equal(bbw_trainer_state_load(t, (bbw_bytes){saved, n}, &err), BBW_E_INVALID_VALUE);
    bbw_trainer_state_save(t, again);
    assert_memory_not_equal(saved, again, n);
    bbw_trainer_del(t);
    onnx_file_free(&file);
  }
}

/* Parameters as raw bytes and as lists of floats are written where they were; any other file is refused. */
static void test_export(void **state) {
  (void)state;
  onnx_file file;
  bbw_trainer *t, *again;
  bbw_error err;
  size_t count, other;
  static uint8_t copy[8000];
  float moved[100];
  bbw_bytes model = whole_model(&file);
  bbw_trainer_options o = {.rate = 0.05f};
  assert_true(model.len <= sizeof copy);
  assert_int_equal(bbw_trainer_new(&t, model, &o, &bbw_mem_libc, NULL), BBW_OK);
  memcpy(copy, model.ptr, model.len);
  assert_int_equal(bbw_trainer_export(t, copy, model.len, &err), BBW_OK);
  assert_memory_equal(copy, model.ptr, model.len); /* nothing was trained yet */
  const float *values = bbw_trainer_values(t, &count);
  for (size_t i = 0; i < count; i++) { moved[i] = values[i] + 1.0f; }
  assert_int_equal(bbw_trainer_load(t, moved, count, &err), BBW_OK);
  assert_int_equal(bbw_trainer_export(t, copy, model.len, &err), BBW_OK);
  assert_int_equal(bbw_trainer_new(&again, (bbw_bytes){copy, model.len}, &o, &bbw_mem_libc, NULL), BBW_OK);
  assert_memory_equal(bbw_trainer_values(again, &other), moved, count * sizeof *moved);
  assert_int_equal(other, count);
  assert_int_equal(bbw_trainer_export(t, copy, model.len, &err), BBW_E_ARG); /* it is another file now */
  assert_int_equal(bbw_trainer_export(t, copy, model.len - 1, &err), BBW_E_ARG);
  assert_int_equal(bbw_trainer_load(t, moved, count - 1, &err), BBW_E_SHAPE);
  moved[0] = INFINITY;
  assert_int_equal(bbw_trainer_load(t, moved, count, &err), BBW_E_NOT_FINITE);
  assert_int_equal(bbw_trainer_add(t, moved, count, &err), BBW_E_NOT_FINITE);
  bbw_trainer_del(t);
  bbw_trainer_del(again);
  onnx_file_free(&file);
}

/* An operator without a gradient between a parameter and the loss is named when the trainer is made; what is frozen needs none. */
static void test_missing_gradients(void **state) {
  (void)state;
  onnx_file file;
  bbw_trainer *t = NULL;
  bbw_error err;
  onnx_file_init(&file);
  onnx_weights(&file, "a", "3", 1, 1.0f, true);
  onnx_weights(&file, "b", "1", 2, 1.0f, true);
  onnx_node(&file, "Unique", "set", "a", "d");
  onnx_node(&file, "Mul", "mul", "d b", "y");
  onnx_output(&file, "y");
  bbw_bytes model = onnx_bytes(&file);
  bbw_trainer_options o = {.loss = BBW_TRAINER_OUTPUT, .rate = 0.1f};
  assert_int_equal(bbw_trainer_new(&t, model, &o, &bbw_mem_libc, &err), BBW_E_ONNX_UNSUPPORTED);
  bbw_str node = bbw_error_field(&err, "node"), op = bbw_error_field(&err, "op_type");
  assert_memory_equal(node.ptr, "set", 3);
  assert_memory_equal(op.ptr, "Unique", 6);
  static const bbw_str freeze[] = {{"a*", 2}};
  o.freeze = freeze;
  o.freeze_count = 1;
  assert_int_equal(bbw_trainer_new(&t, model, &o, &bbw_mem_libc, &err), BBW_OK);
  assert_int_equal(bbw_trainer_parameter_count(t), 1);
  bbw_trainer_del(t);
  onnx_file_free(&file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_optimizers_find_the_minimum),
      cmocka_unit_test(test_state_as_f16),
      cmocka_unit_test(test_half_state_has_the_range_of_f32),
      cmocka_unit_test(test_kernels_of_the_optimizers),
      cmocka_unit_test(test_losses),
      cmocka_unit_test(test_rates),
      cmocka_unit_test(test_every_allocation_may_fail),
      cmocka_unit_test(test_checkpoints),
      cmocka_unit_test(test_a_cap_is_kept),
      cmocka_unit_test(test_steps),
      cmocka_unit_test(test_state_of_others_is_refused),
      cmocka_unit_test(test_a_state_must_hold_numbers),
      cmocka_unit_test(test_export),
      cmocka_unit_test(test_missing_gradients),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
