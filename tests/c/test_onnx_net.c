/*
 * onnx_net: networks from ONNX files give the right numbers and gradients, train, and refuse what they must.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff/onnx_plan.h"
#include "base/mem.h"
#include "components/onnx_net.h"
#include "kernel_data.h"
#include "onnx_build.h"
#include "test_mem.h"

/* ---- networks ---- */

static void classifier(onnx_file *f) { /* as PyTorch writes it */
  onnx_input(f, "x", "batch 6");
  onnx_weights(f, "w1", "5 6", 1, 0.7f, true);
  onnx_weights(f, "b1", "5", 2, 0.3f, false);
  onnx_weights(f, "w2", "3 5", 3, 0.7f, true);
  onnx_weights(f, "b2", "1 3", 4, 0.3f, true);
  onnx_attribute_int(f, onnx_node(f, "Gemm", "fc1", "x w1 b1", "h"), "transB", 1);
  onnx_node(f, "Relu", "relu", "h", "r");
  onnx_attribute_int(f, onnx_node(f, "Gemm", "fc2", "r w2 b2", "y"), "transB", 1);
  onnx_output(f, "y");
}

static void matmul_and_softmax(onnx_file *f) {
  onnx_input(f, "x", "n 4");
  onnx_weights(f, "w1", "4 9", 5, 0.8f, false);
  onnx_weights(f, "b1", "9", 6, 0.3f, false);
  onnx_weights(f, "w2", "9 2", 7, 0.8f, false);
  onnx_weights(f, "b2", "1 2", 8, 0.3f, false);
  onnx_node(f, "MatMul", "m1", "x w1", "h1");
  onnx_node(f, "Add", "a1", "b1 h1", "h2");
  onnx_node(f, "Tanh", "t", "h2", "h3");
  onnx_node(f, "MatMul", "m2", "h3 w2", "h4");
  onnx_node(f, "Add", "a2", "h4 b2", "h5");
  onnx_node(f, "Softmax", "s", "h5", "p");
  onnx_output(f, "p");
}

static void everything(onnx_file *f) { /* the nodes are listed backwards: order is ours to find */
  static const float three[] = {3.0f};
  onnx_input(f, "x", "n 4");
  onnx_weights(f, "w1", "4 4", 9, 0.8f, false);
  onnx_weights(f, "b1", "4", 10, 0.3f, false);
  onnx_weights(f, "scale", "1 4", 11, 0.9f, false);
  onnx_weights(f, "shift", "", 12, 0.3f, false);
  onnx_weights(f, "w2", "5 4", 13, 0.8f, false);
  onnx_weights(f, "c2", "", 14, 0.3f, false);
  onnx_floats(f, "divisor", "4", (const float[]){1.5f, -0.7f, 2.0f, 0.9f}, 4);
  onnx_node(f, "LogSoftmax", "out", "g2", "y");
  bbw_onnx_node *g2 = onnx_node(f, "Gemm", "g2", "n1 w2 c2", "g2");
  onnx_attribute_int(f, g2, "transB", 1);
  onnx_attribute_float(f, g2, "alpha", 0.5f);
  onnx_attribute_float(f, g2, "beta", 2.0f);
  onnx_node(f, "Sub", "sub2", "three n0", "n1");
  onnx_node(f, "Div", "div", "m1 divisor", "n0");
  onnx_node(f, "Mul", "mul", "s1 scale", "m1");
  onnx_node(f, "Sub", "sub", "r1 shift", "s1");
  onnx_node(f, "Add", "residual", "t1 d1", "r1");
  onnx_node(f, "MatMul", "again", "d1 w1", "t1"); /* the same weights twice */
  onnx_node(f, "Dropout", "drop", "sg", "d1 -");
  onnx_node(f, "Sigmoid", "sg", "id", "sg");
  onnx_node(f, "Identity", "id", "g1", "id");
  onnx_node(f, "Gemm", "g1", "x w1 b1", "g1");
  bbw_onnx_node *constant = onnx_node(f, "Constant", "three", "", "three");
  onnx_attribute_tensor(f, constant, "value", onnx_floats(f, "unused", "1", three, 1));
  onnx_output(f, "y");
}

static void reshaped(onnx_file *f) {
  static const int64_t to_three[] = {0, 3, -1};
  onnx_input(f, "x", "1 1 3 4"); /* exported with a batch of one */
  onnx_ints(f, "shape", to_three, 3);
  onnx_weights(f, "w1", "4 5", 15, 0.8f, false);
  onnx_weights(f, "w2", "15 3", 16, 0.8f, false);
  onnx_node(f, "Reshape", "view", "x shape", "v");
  onnx_node(f, "MatMul", "m1", "v w1", "h");
  onnx_attribute_float(f, onnx_node(f, "LeakyRelu", "l", "h", "l"), "alpha", 0.2f);
  onnx_node(f, "Softmax", "soft", "l", "s"); /* in the middle, over rows of five */
  onnx_node(f, "Mul", "square", "s s", "q");
  onnx_node(f, "Flatten", "flat", "q", "f");
  onnx_node(f, "Gemm", "g", "f w2", "y");
  onnx_output(f, "y");
}

static const struct {
  const char *name;
  void (*build)(onnx_file *f);
  size_t input_width, output_width, parameters;
} NETWORKS[] = {
    {"classifier", classifier, 6, 3, 30 + 5 + 15 + 3},
    {"matmul and softmax", matmul_and_softmax, 4, 2, 36 + 9 + 18 + 2},
    {"everything", everything, 4, 5, 16 + 4 + 4 + 1 + 20 + 1 + 4 + 1},
    {"reshaped", reshaped, 12, 3, 20 + 45},
};
enum { NETWORK_COUNT = sizeof NETWORKS / sizeof NETWORKS[0] };

static bbw_onnx_net *make(void (*build)(onnx_file *f)) {
  onnx_file f;
  onnx_file_init(&f);
  build(&f);
  bbw_onnx_net *net = NULL;
  bbw_error err;
  bbw_status rv = bbw_onnx_net_new(&net, onnx_bytes(&f), &bbw_mem_libc, &err);
  if (rv != BBW_OK) {
    print_error("status %d: %.*s, node %.*s\n", rv, (int)bbw_error_field(&err, "detail").len,
                bbw_error_field(&err, "detail").ptr, (int)bbw_error_field(&err, "node").len,
                bbw_error_field(&err, "node").ptr);
  }
  assert_int_equal(rv, BBW_OK);
  onnx_file_free(&f);
  return net;
}

/* ---- the same networks in f64, step by step from the plan ---- */

typedef struct wide {
  bbw_arena arena;
  bbw_plan plan;
  double *values; /* per buffer, one sample at its offset; parameters and constants behind */
} wide;

static double wide_static(const bbw_plan *plan, const double *parameters, uint32_t buffer, size_t i) {
  const bbw_plan_buffer *b = bbw_plan_buffer_at(plan, buffer);
  if (b->source == BBW_PLAN_PARAMETER) { return parameters[b->offset + i]; }
  return (double)*BBW_VEC_AT(&plan->constants, float, b->offset + i);
}

static bool wide_is_static(const bbw_plan *plan, uint32_t buffer) {
  bbw_plan_source s = bbw_plan_buffer_at(plan, buffer)->source;
  return s == BBW_PLAN_PARAMETER || s == BBW_PLAN_CONSTANT;
}

static double wide_operand(const bbw_plan *plan, const double *parameters, const double *values, uint32_t buffer,
                           size_t i) {
  const bbw_plan_buffer *b = bbw_plan_buffer_at(plan, buffer);
  return wide_is_static(plan, buffer) ? wide_static(plan, parameters, buffer, i % b->width) : values[b->offset + i];
}

static void wide_step(const bbw_plan *plan, const bbw_plan_step *s, const double *parameters, double *values) {
  double *out = values + bbw_plan_buffer_at(plan, s->out)->offset;
  size_t width = bbw_plan_buffer_at(plan, s->out)->width;
  if (s->kind == BBW_PLAN_GEMM) {
    for (size_t r = 0; r < s->rows; r++) {
      for (size_t j = 0; j < s->n; j++) {
        double sum = 0.0;
        for (size_t p = 0; p < s->k; p++) {
          sum += wide_operand(plan, parameters, values, s->a, r * s->k + p) *
                 wide_static(plan, parameters, s->b, s->is_b_transposed ? j * s->k + p : p * s->n + j);
        }
        out[r * s->n + j] = (double)s->alpha * sum;
        if (s->c != BBW_PLAN_NONE) {
          out[r * s->n + j] += (double)s->beta * wide_operand(plan, parameters, values, s->c, j);
        }
      }
    }
    return;
  }
  if (s->kind == BBW_PLAN_SOFTMAX || s->kind == BBW_PLAN_LOG_SOFTMAX) {
    for (size_t r = 0; r < s->rows; r++) {
      double sum = 0.0;
      for (size_t j = 0; j < s->n; j++) { sum += exp(wide_operand(plan, parameters, values, s->a, r * s->n + j)); }
      for (size_t j = 0; j < s->n; j++) {
        double x = wide_operand(plan, parameters, values, s->a, r * s->n + j);
        out[r * s->n + j] = s->kind == BBW_PLAN_SOFTMAX ? exp(x) / sum : x - log(sum);
      }
    }
    return;
  }
  for (size_t i = 0; i < width; i++) {
    double x = wide_operand(plan, parameters, values, s->a, i);
    double y = s->b != BBW_PLAN_NONE ? wide_operand(plan, parameters, values, s->b, i) : 0.0;
    switch (s->kind) {
    case BBW_PLAN_ADD: out[i] = x + y; break;
    case BBW_PLAN_SUB: out[i] = x - y; break;
    case BBW_PLAN_MUL: out[i] = x * y; break;
    case BBW_PLAN_DIV: out[i] = x / y; break;
    case BBW_PLAN_RELU: out[i] = x > 0.0 ? x : 0.0; break;
    case BBW_PLAN_LEAKY_RELU: out[i] = x >= 0.0 ? x : (double)s->alpha * x; break;
    case BBW_PLAN_SIGMOID: out[i] = 1.0 / (1.0 + exp(-x)); break;
    case BBW_PLAN_TANH: out[i] = tanh(x); break;
    default: fail();
    }
  }
}

/* Output of one sample, and its cross entropy with a class if `loss` is given. */
static const double *wide_run(const wide *w, const double *parameters, const float *x, size_t class_index,
                              double *loss) {
  const bbw_plan *plan = &w->plan;
  const bbw_plan_buffer *in = bbw_plan_buffer_at(plan, plan->input);
  for (size_t i = 0; i < in->width; i++) { w->values[in->offset + i] = (double)x[i]; }
  for (size_t i = 0; i < plan->steps.count; i++) {
    wide_step(plan, BBW_VEC_AT(&plan->steps, bbw_plan_step, i), parameters, w->values);
  }
  if (loss != NULL) {
    const bbw_plan_buffer *logits = bbw_plan_buffer_at(plan, plan->logits);
    double sum = 0.0;
    for (size_t j = 0; j < logits->width; j++) { sum += exp(w->values[logits->offset + j]); }
    *loss = log(sum) - w->values[logits->offset + class_index];
  }
  return w->values + bbw_plan_buffer_at(plan, plan->output)->offset;
}

static void wide_init(wide *w, void (*build)(onnx_file *f)) {
  onnx_file f;
  onnx_file_init(&f);
  build(&f);
  bbw_onnx_model model = onnx_model(&f);
  bbw_arena_init(&w->arena, &bbw_mem_libc);
  bbw_plan_init(&w->plan, &bbw_mem_libc);
  assert_int_equal(bbw_onnx_plan_build(&w->plan, &model, &w->arena, NULL), BBW_OK);
  w->values = calloc(w->plan.sample_floats, sizeof(double));
  assert_non_null(w->values);
  onnx_file_free(&f);
}

static void wide_free(wide *w) {
  free(w->values);
  bbw_plan_free(&w->plan);
  bbw_arena_free(&w->arena);
}

static double *widen(const bbw_onnx_net *net) {
  size_t count = bbw_onnx_net_parameter_count(net);
  double *p = calloc(count, sizeof *p);
  assert_non_null(p);
  for (size_t i = 0; i < count; i++) { p[i] = (double)bbw_onnx_net_parameters(net)[i]; }
  return p;
}

/* ---- tests ---- */

enum { SAMPLES = 7 };

static void test_sizes_and_outputs(void **state) {
  (void)state;
  for (size_t n = 0; n < NETWORK_COUNT; n++) {
    bbw_onnx_net *net = make(NETWORKS[n].build);
    size_t in = NETWORKS[n].input_width, out = NETWORKS[n].output_width;
    assert_int_equal(bbw_onnx_net_input_width(net), in);
    assert_int_equal(bbw_onnx_net_output_width(net), out);
    assert_int_equal(bbw_onnx_net_parameter_count(net), NETWORKS[n].parameters);
    float x[SAMPLES * 12], y[SAMPLES * 5], one[5];
    kernel_fill(x, SAMPLES * in, 50, -2.0f, 2.0f);
    assert_int_equal(bbw_onnx_net_forward(net, x, SAMPLES, y, NULL), BBW_OK);
    wide w;
    wide_init(&w, NETWORKS[n].build);
    double *parameters = widen(net);
    for (size_t i = 0; i < SAMPLES; i++) {
      const double *want = wide_run(&w, parameters, x + i * in, 0, NULL);
      for (size_t j = 0; j < out; j++) { assert_true(fabs(want[j] - (double)y[i * out + j]) < 1e-5); }
      assert_int_equal(bbw_onnx_net_forward(net, x + i * in, 1, one, NULL), BBW_OK); /* alone: the same bits */
      assert_int_equal(kernel_first_difference(y + i * out, one, out), out);
    }
    free(parameters);
    wide_free(&w);
    bbw_onnx_net_del(net);
  }
}

/* The gradient of the mean loss by every parameter, against central differences in f64. */
static void test_gradients(void **state) {
  (void)state;
  for (size_t n = 0; n < NETWORK_COUNT; n++) {
    bbw_onnx_net *net = make(NETWORKS[n].build);
    size_t in = NETWORKS[n].input_width, count = NETWORKS[n].parameters;
    float x[SAMPLES * 12], classes[SAMPLES];
    kernel_fill(x, SAMPLES * in, 51, -2.0f, 2.0f);
    for (size_t i = 0; i < SAMPLES; i++) { classes[i] = (float)(i * 3 % NETWORKS[n].output_width); }
    float *gradient = calloc(count, sizeof *gradient);
    assert_non_null(gradient);
    double loss;
    bbw_labels labels = {classes, true};
    assert_int_equal(bbw_onnx_net_loss_gradient(net, x, labels, SAMPLES, &loss, gradient, NULL), BBW_OK);
    wide w;
    wide_init(&w, NETWORKS[n].build);
    double *parameters = widen(net);
    double size = 0.0, mean = 0.0;
    for (size_t p = 0; p < count; p++) { size = fmax(size, fabs((double)gradient[p])); }
    assert_true(size > 1e-3); /* something is being tested */
    for (size_t p = 0; p < count; p++) {
      double keep = parameters[p], step = 1e-6, above = 0.0, below = 0.0, part;
      parameters[p] = keep + step;
      for (size_t i = 0; i < SAMPLES; i++) {
        wide_run(&w, parameters, x + i * in, (size_t)classes[i], &part), above += part;
      }
      parameters[p] = keep - step;
      for (size_t i = 0; i < SAMPLES; i++) {
        wide_run(&w, parameters, x + i * in, (size_t)classes[i], &part), below += part;
      }
      parameters[p] = keep;
      double want = (above - below) / (2.0 * step) / (double)SAMPLES;
      if (fabs(want - (double)gradient[p]) > 2e-6 + 1e-4 * size) {
        print_error("%s: parameter %zu has gradient %g, wants %g\n", NETWORKS[n].name, p, (double)gradient[p], want);
        fail();
      }
    }
    for (size_t i = 0; i < SAMPLES; i++) {
      double part;
      wide_run(&w, parameters, x + i * in, (size_t)classes[i], &part);
      mean += part / (double)SAMPLES;
    }
    assert_true(fabs(mean - loss) < 1e-5);
    free(parameters);
    free(gradient);
    wide_free(&w);
    bbw_onnx_net_del(net);
  }
}

/* backward from the output gives the same as the loss's own gradient, if it is given the derivative of the loss by the output. */
static void test_backward_from_the_output(void **state) {
  (void)state;
  for (size_t n = 0; n < NETWORK_COUNT; n++) {
    bbw_onnx_net *net = make(NETWORKS[n].build);
    size_t in = NETWORKS[n].input_width, out = NETWORKS[n].output_width, count = NETWORKS[n].parameters;
    float x[SAMPLES * 12], y[SAMPLES * 5], g[SAMPLES * 5], classes[SAMPLES];
    kernel_fill(x, SAMPLES * in, 52, -2.0f, 2.0f);
    for (size_t i = 0; i < SAMPLES; i++) { classes[i] = (float)(i % out); }
    float *want = calloc(2 * count, sizeof *want), *got = want + count;
    assert_non_null(want);
    double loss, loss_of_y;
    bbw_labels labels = {classes, true};
    assert_int_equal(bbw_onnx_net_loss_gradient(net, x, labels, SAMPLES, &loss, want, NULL), BBW_OK);
    assert_int_equal(bbw_onnx_net_backward(net, g, SAMPLES, got, NULL), BBW_E_STATE);
    assert_int_equal(bbw_onnx_net_forward(net, x, SAMPLES, y, NULL), BBW_OK);
    assert_int_equal(bbw_onnx_net_loss(net, y, labels, SAMPLES, &loss_of_y, NULL), BBW_OK);
    assert_true(fabs(loss - loss_of_y) < 1e-5);
    bool has_softmax = n == 1, has_log_softmax = n == 2;
    for (size_t i = 0; i < SAMPLES; i++) {
      double sum = 0.0;
      for (size_t j = 0; j < out; j++) { sum += exp((double)y[i * out + j]); }
      for (size_t j = 0; j < out; j++) {
        double target = j == (size_t)classes[i] ? 1.0 : 0.0, v = (double)y[i * out + j], d = exp(v) / sum - target;
        if (has_softmax) { d = -target / v; }
        if (has_log_softmax) { d = -target; }
        g[i * out + j] = (float)(d / (double)SAMPLES);
      }
    }
    assert_int_equal(bbw_onnx_net_backward(net, g, SAMPLES - 1, got, NULL), BBW_E_STATE);
    assert_int_equal(bbw_onnx_net_backward(net, g, SAMPLES, got, NULL), BBW_OK);
    for (size_t p = 0; p < count; p++) { assert_true(fabsf(want[p] - got[p]) < 1e-5f); }
    free(want);
    bbw_onnx_net_del(net);
  }
}

/* Three clouds of points in six dimensions. */
static void clouds(float *x, float *labels, size_t count) {
  kernel_fill(x, count * 6, 60, -1.0f, 1.0f);
  for (size_t i = 0; i < count; i++) {
    labels[i] = (float)(i % 3);
    x[i * 6 + i % 3] += 1.8f;
    x[i * 6 + 3 + i % 3] -= 1.2f;
  }
}

enum { CLOUD = 300 };

static void test_training_converges(void **state) {
  (void)state;
  static float x[CLOUD * 6], labels[CLOUD], weights[CLOUD * 3];
  clouds(x, labels, CLOUD);
  for (size_t i = 0; i < CLOUD; i++) { weights[i * 3 + i % 3] = 1.0f; }
  bbw_onnx_net *net = make(classifier), *other = make(classifier);
  double before, accuracy_before, after, accuracy, mean, mean_other;
  bbw_labels by_index = {labels, true}, by_weight = {weights, false};
  bbw_train_options options = {.epochs = 30, .batch_size = 16, .rate = 0.1f, .seed = 42};
  assert_int_equal(bbw_onnx_net_evaluate(net, x, by_index, CLOUD, &before, &accuracy_before, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_train(net, x, by_index, CLOUD, &options, &mean, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_evaluate(net, x, by_index, CLOUD, &after, &accuracy, NULL), BBW_OK);
  assert_true(accuracy_before < 0.7 && before > 0.8);
  assert_true(accuracy > 0.97 && after < 0.15 && mean < 0.2);
  /* Labels as weights and as numbers mean the same, and the same seed gives the same bits. */
  assert_int_equal(bbw_onnx_net_train(other, x, by_weight, CLOUD, &options, &mean_other, NULL), BBW_OK);
  assert_true(fabs(mean - mean_other) < 1e-6);
  bbw_onnx_net *again = make(classifier);
  assert_int_equal(bbw_onnx_net_train(again, x, by_index, CLOUD, &options, &mean_other, NULL), BBW_OK);
  size_t count = bbw_onnx_net_parameter_count(net);
  assert_true(mean == mean_other);
  assert_int_equal(kernel_first_difference(bbw_onnx_net_parameters(net), bbw_onnx_net_parameters(again), count), count);
  options.seed = 43;
  bbw_onnx_net_del(again);
  again = make(classifier);
  assert_int_equal(bbw_onnx_net_train(again, x, by_index, CLOUD, &options, &mean_other, NULL), BBW_OK);
  assert_true(mean != mean_other);
  bbw_onnx_net_del(again);
  bbw_onnx_net_del(other);
  bbw_onnx_net_del(net);
}

/* One step by hand: parameters minus rate times the gradient of the mean loss. */
static void test_one_step_is_sgd(void **state) {
  (void)state;
  static float x[CLOUD * 6], labels[CLOUD];
  clouds(x, labels, CLOUD);
  bbw_onnx_net *net = make(classifier);
  size_t count = bbw_onnx_net_parameter_count(net);
  float gradient[64], want[64];
  double loss, mean;
  assert_true(count <= 64);
  assert_int_equal(bbw_onnx_net_loss_gradient(net, x, (bbw_labels){labels, true}, 1, &loss, gradient, NULL), BBW_OK);
  for (size_t i = 0; i < count; i++) { want[i] = bbw_onnx_net_parameters(net)[i] + -0.25f * gradient[i]; }
  bbw_train_options options = {.epochs = 1, .batch_size = 8, .rate = 0.25f, .seed = 1};
  assert_int_equal(bbw_onnx_net_train(net, x, (bbw_labels){labels, true}, 1, &options, &mean, NULL), BBW_OK);
  assert_true(mean == loss);
  assert_int_equal(kernel_first_difference(want, bbw_onnx_net_parameters(net), count), count);
  bbw_onnx_net_del(net);
}

static void test_steps_allocate_nothing(void **state) {
  (void)state;
  static float x[CLOUD * 6], labels[CLOUD];
  clouds(x, labels, CLOUD);
  onnx_file f;
  onnx_file_init(&f);
  classifier(&f);
  test_mem mem;
  test_mem_init(&mem);
  bbw_onnx_net *net;
  assert_int_equal(bbw_onnx_net_new(&net, onnx_bytes(&f), &mem.mem, NULL), BBW_OK);
  bbw_train_options options = {.epochs = 1, .batch_size = 32, .rate = 0.1f, .seed = 1};
  double mean, accuracy;
  assert_int_equal(bbw_onnx_net_train(net, x, (bbw_labels){labels, true}, CLOUD, &options, &mean, NULL), BBW_OK);
  test_mem_fail_at(&mem, 0); /* from here on every allocation fails */
  assert_int_equal(bbw_onnx_net_train(net, x, (bbw_labels){labels, true}, CLOUD, &options, &mean, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_evaluate(net, x, (bbw_labels){labels, true}, 32, &mean, &accuracy, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_train(net, x, (bbw_labels){labels, true}, 32, &options, &mean, NULL), BBW_OK);
  bbw_onnx_net_del(net);
  assert_int_equal(mem.live_bytes, 0);
  onnx_file_free(&f);
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  static float x[CLOUD * 6], labels[CLOUD];
  clouds(x, labels, CLOUD);
  onnx_file f;
  onnx_file_init(&f);
  everything(&f);
  bbw_bytes bytes = onnx_bytes(&f);
  float wide_x[8 * 4], wide_labels[8];
  kernel_fill(wide_x, 32, 70, -1.0f, 1.0f);
  for (size_t i = 0; i < 8; i++) { wide_labels[i] = (float)(i % 5); }
  test_mem mem;
  test_mem_init(&mem);
  bool is_done = false;
  for (size_t nth = 0; !is_done; nth++) {
    assert_true(nth < 1000);
    bbw_onnx_net *net = NULL;
    bbw_status rv = bbw_onnx_net_new(&net, bytes, test_mem_fail_at(&mem, nth), NULL);
    if (rv == BBW_OK) {
      float before[64];
      size_t count = bbw_onnx_net_parameter_count(net);
      memcpy(before, bbw_onnx_net_parameters(net), count * sizeof(float));
      bbw_train_options options = {.epochs = 1, .batch_size = 3, .rate = 0.1f, .seed = 1};
      double mean;
      rv = bbw_onnx_net_train(net, wide_x, (bbw_labels){wide_labels, true}, 8, &options, &mean, NULL);
      is_done = rv == BBW_OK;
      if (!is_done) { assert_int_equal(kernel_first_difference(before, bbw_onnx_net_parameters(net), count), count); }
    } else {
      assert_null(net);
    }
    assert_true(is_done || rv == BBW_E_NOMEM);
    bbw_onnx_net_del(net);
    assert_int_equal(mem.live_bytes, 0);
  }
  onnx_file_free(&f);
}

static void test_divergence_keeps_the_parameters(void **state) {
  (void)state;
  static float x[CLOUD * 6], labels[CLOUD];
  clouds(x, labels, CLOUD);
  bbw_onnx_net *net = make(classifier);
  size_t count = bbw_onnx_net_parameter_count(net);
  float before[64];
  memcpy(before, bbw_onnx_net_parameters(net), count * sizeof(float));
  bbw_train_options options = {.epochs = 4, .batch_size = 16, .rate = 1e30f, .seed = 1};
  double mean = -1.0;
  bbw_labels all = {labels, true};
  assert_int_equal(bbw_onnx_net_train(net, x, all, CLOUD, &options, &mean, NULL), BBW_E_NOT_FINITE);
  assert_int_equal(kernel_first_difference(before, bbw_onnx_net_parameters(net), count), count);
  options.rate = 0.1f;
  x[7] = NAN;
  assert_int_equal(bbw_onnx_net_train(net, x, all, CLOUD, &options, &mean, NULL), BBW_E_NOT_FINITE);
  assert_int_equal(kernel_first_difference(before, bbw_onnx_net_parameters(net), count), count);
  assert_true(mean == -1.0);
  x[7] = 0.0f;
  assert_int_equal(bbw_onnx_net_train(net, x, all, CLOUD, &options, &mean, NULL), BBW_OK);
  bbw_onnx_net_del(net);
}

static void test_parameters_from_outside(void **state) {
  (void)state;
  bbw_onnx_net *net = make(classifier);
  size_t count = bbw_onnx_net_parameter_count(net);
  float p[64], delta[64];
  kernel_fill(p, 64, 80, -1.0f, 1.0f);
  kernel_fill(delta, 64, 81, -1.0f, 1.0f);
  bbw_error err;
  assert_int_equal(bbw_onnx_net_load_parameters(net, p, count - 1, &err), BBW_E_SHAPE);
  assert_int_equal(bbw_error_number(&err, "expected"), count);
  assert_int_equal(bbw_error_number(&err, "got"), count - 1);
  assert_int_equal(bbw_onnx_net_load_parameters(net, p, count, NULL), BBW_OK);
  assert_int_equal(kernel_first_difference(p, bbw_onnx_net_parameters(net), count), count);
  delta[3] = INFINITY;
  assert_int_equal(bbw_onnx_net_apply_delta(net, delta, count, NULL), BBW_E_NOT_FINITE);
  assert_int_equal(bbw_onnx_net_load_parameters(net, delta, count, NULL), BBW_E_NOT_FINITE);
  assert_int_equal(kernel_first_difference(p, bbw_onnx_net_parameters(net), count), count);
  delta[3] = 0.5f;
  assert_int_equal(bbw_onnx_net_apply_delta(net, delta, count, NULL), BBW_OK);
  for (size_t i = 0; i < count; i++) { assert_true(bbw_onnx_net_parameters(net)[i] == p[i] + delta[i]); }
  bbw_onnx_net_del(net);
}

static void test_bad_training_arguments(void **state) {
  (void)state;
  float x[12] = {0}, labels[] = {0.0f, 3.0f};
  bbw_onnx_net *net = make(classifier);
  bbw_train_options options = {.epochs = 1, .batch_size = 1, .rate = 0.1f};
  double mean;
  bbw_error err;
  bbw_labels given = {labels, true};
  assert_int_equal(bbw_onnx_net_train(net, x, given, 0, &options, &mean, NULL), BBW_E_EMPTY);
  assert_int_equal(bbw_onnx_net_train(net, x, given, 2, &options, &mean, &err), BBW_E_INVALID_VALUE);
  assert_int_equal(err.offset, 1);
  labels[1] = 0.5f;
  assert_int_equal(bbw_onnx_net_train(net, x, given, 2, &options, &mean, NULL), BBW_E_INVALID_VALUE);
  labels[1] = NAN;
  assert_int_equal(bbw_onnx_net_train(net, x, given, 2, &options, &mean, NULL), BBW_E_INVALID_VALUE);
  labels[1] = -1.0f;
  assert_int_equal(bbw_onnx_net_train(net, x, given, 2, &options, &mean, NULL), BBW_E_INVALID_VALUE);
  labels[1] = 2.0f;
  options.epochs = 0;
  assert_int_equal(bbw_onnx_net_train(net, x, given, 2, &options, &mean, NULL), BBW_E_ARG);
  options = (bbw_train_options){.epochs = 1, .batch_size = 0, .rate = 0.1f};
  assert_int_equal(bbw_onnx_net_train(net, x, given, 2, &options, &mean, NULL), BBW_E_ARG);
  options = (bbw_train_options){.epochs = 1, .batch_size = 5, .rate = NAN};
  assert_int_equal(bbw_onnx_net_train(net, x, given, 2, &options, &mean, NULL), BBW_E_ARG);
  bbw_onnx_net_del(net);
}

/* ---- refused files ---- */

static void one_gemm(onnx_file *f, const char *inputs, const char *input_dims) {
  onnx_input(f, "x", input_dims);
  onnx_weights(f, "w", "4 3", 1, 1.0f, false);
  onnx_weights(f, "b", "3", 2, 1.0f, false);
  onnx_node(f, "Gemm", "g", inputs, "y");
  onnx_output(f, "y");
}

static void bad_cycle(onnx_file *f) {
  one_gemm(f, "x w b", "n 4");
  onnx_node(f, "Add", "first", "y loop", "z");
  onnx_node(f, "Relu", "second", "z", "loop");
}
static void bad_missing(onnx_file *f) { one_gemm(f, "x nothing b", "n 4"); }
static void bad_inner(onnx_file *f) { one_gemm(f, "x w b", "n 5"); }
static void bad_bias(onnx_file *f) {
  one_gemm(f, "x w c", "n 4");
  onnx_weights(f, "c", "2", 3, 1.0f, false);
}
static void bad_rank(onnx_file *f) { one_gemm(f, "x w b", "n 2 4"); }
static void bad_symbolic(onnx_file *f) { one_gemm(f, "x w b", "n m"); }
static void bad_huge_input(onnx_file *f) { one_gemm(f, "x w b", "n 9000000000 9000000000"); }
static void bad_huge_weights(onnx_file *f) {
  static const int64_t huge[] = {4, (int64_t)1 << 40};
  one_gemm(f, "x w b", "n 4");
  f->initializers[0].dims = (bbw_proto_list){huge, 2};
}
static void bad_data_length(onnx_file *f) {
  static const int64_t more[] = {4, 4};
  one_gemm(f, "x w b", "n 4");
  f->initializers[0].dims = (bbw_proto_list){more, 2};
}
static void bad_negative(onnx_file *f) {
  static const int64_t negative[] = {-4, 3};
  one_gemm(f, "x w b", "n 4");
  f->initializers[0].dims = (bbw_proto_list){negative, 2};
}
static void bad_two_inputs(onnx_file *f) {
  one_gemm(f, "x w b", "n 4");
  onnx_input(f, "x2", "n 4");
}
static void bad_two_makers(onnx_file *f) {
  one_gemm(f, "x w b", "n 4");
  onnx_node(f, "Relu", "r", "x", "y");
}
static void bad_output(onnx_file *f) {
  one_gemm(f, "x w b", "n 4");
  f->output_count = 0;
  onnx_output(f, "w");
}
static void bad_integers(onnx_file *f) {
  one_gemm(f, "x w b", "n 4");
  f->initializers[0].data_type = 10; /* f16 */
}
static void bad_reshape(onnx_file *f) {
  static const int64_t dims[] = {-1, 5};
  one_gemm(f, "x w b", "n 4");
  onnx_ints(f, "shape", dims, 2);
  onnx_node(f, "Reshape", "r", "x shape", "z");
}
static void bad_widening(onnx_file *f) { /* each product is allowed, their sum is not */
  onnx_input(f, "x", "n 1");
  static float zeros[1 << 13];
  onnx_floats(f, "w", "1 8192", zeros, 1 << 13);
  static const int64_t dims[] = {0, 8192, 1};
  onnx_ints(f, "column", dims, 3);
  onnx_node(f, "MatMul", "wide", "x w", "a");
  onnx_node(f, "Reshape", "turn", "a column", "b");
  onnx_node(f, "MatMul", "wider", "b w", "c");
  onnx_node(f, "Relu", "r1", "c", "d");
  onnx_node(f, "Relu", "r2", "d", "e");
  onnx_output(f, "e");
}

static const struct {
  const char *name;
  void (*build)(onnx_file *f);
  const char *field, *value, *detail;
} REFUSED[] = {
    {"cycle", bad_cycle, "node", "first", "nodes form a cycle"},
    {"missing initializer", bad_missing, "value", "nothing", "an input is neither an initializer nor made by a node"},
    {"inner dimension", bad_inner, "node", "g", "inner dimensions of A and B differ"},
    {"bias", bad_bias, "node", "g", "input C does not broadcast along the rows of the result"},
    {"rank", bad_rank, "node", "g", "inputs A and B have to be matrices"},
    {"symbolic width", bad_symbolic, "value", "x", "only the first dimension may be symbolic"},
    {"huge input", bad_huge_input, "value", "x", "a dimension is too large"},
    {"huge weights", bad_huge_weights, "value", "w", "dimensions are negative or too large"},
    {"data too short", bad_data_length, "value", "w", "dimensions and data do not fit"},
    {"negative dimension", bad_negative, "value", "w", "dimensions are negative or too large"},
    {"two inputs", bad_two_inputs, "value", "x2", "graph has more than one input"},
    {"one name twice", bad_two_makers, "value", "y", "two values have this name"},
    {"constant output", bad_output, "value", "w", "output does not depend on the graph's input"},
    {"element type", bad_integers, "node", "g", "input B has to be an initializer or a constant"},
    {"reshape", bad_reshape, "node", "r", "shape does not hold the elements"},
    {"too wide in all", bad_widening, "node", "r1", "result is too large"},
};

static bool equals(bbw_str text, const char *want) {
  return text.len == strlen(want) && memcmp(text.ptr, want, text.len) == 0;
}

static void test_invalid_files_are_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
    onnx_file f;
    onnx_file_init(&f);
    REFUSED[i].build(&f);
    test_mem mem;
    test_mem_init(&mem);
    mem.limit_bytes = 1 << 20; /* whatever the file claims */
    bbw_onnx_net *net = NULL;
    bbw_error err;
    bbw_status rv = bbw_onnx_net_new(&net, onnx_bytes(&f), &mem.mem, &err);
    bbw_str detail = bbw_error_field(&err, "detail");
    bool is_right = rv == BBW_E_ONNX_INVALID && equals(bbw_error_field(&err, REFUSED[i].field), REFUSED[i].value) &&
                    equals(detail, REFUSED[i].detail);
    if (!is_right) { print_error("%s: %d, %.*s\n", REFUSED[i].name, rv, (int)detail.len, detail.ptr); }
    assert_true(is_right);
    assert_null(net);
    assert_int_equal(mem.live_bytes, 0);
    onnx_file_free(&f);
  }
}

static void test_all_unsupported_operators_are_listed(void **state) {
  (void)state;
  onnx_file f;
  onnx_file_init(&f);
  one_gemm(&f, "x w b", "n 4");
  onnx_node(&f, "Conv", "conv1", "x w", "a");
  onnx_node(&f, "MaxPool", "", "a", "pooled");
  onnx_node(&f, "Gemm", "foreign", "x w", "z")->domain = (bbw_str){"com.example", 11};
  char lengthy[300]; /* a name that is cut, in the middle of a character */
  memset(lengthy, 'n', sizeof lengthy);
  memcpy(lengthy + 255, "\xc3\xa9", 2);
  bbw_onnx_node *cut = onnx_node(&f, "Odd", "", "x", "odd");
  cut->name = (bbw_str){lengthy, sizeof lengthy};
  bbw_onnx_net *net = NULL;
  bbw_error err;
  assert_int_equal(bbw_onnx_net_new(&net, onnx_bytes(&f), &bbw_mem_libc, &err), BBW_E_ONNX_UNSUPPORTED);
  assert_true(equals(bbw_error_item(&err, "nodes", 0), "conv1: Conv"));
  assert_true(equals(bbw_error_item(&err, "nodes", 1), "pooled: MaxPool"));
  assert_true(equals(bbw_error_item(&err, "nodes", 2), "foreign: com.example.Gemm"));
  assert_int_equal(bbw_error_item(&err, "nodes", 3).len, 255);
  assert_null(bbw_error_item(&err, "nodes", 4).ptr);
  onnx_file_free(&f);
}

/* A file cut anywhere, or with any byte changed, is refused or read, and never does anything else. */
static void test_damaged_files(void **state) {
  (void)state;
  onnx_file f;
  onnx_file_init(&f);
  matmul_and_softmax(&f);
  bbw_bytes bytes = onnx_bytes(&f);
  uint8_t *copy = malloc(bytes.len);
  assert_non_null(copy);
  test_mem mem;
  test_mem_init(&mem);
  size_t accepted = 0;
  for (size_t i = 0; i < bytes.len; i++) {
    for (int flip = 0; flip < 3; flip++) {
      memcpy(copy, bytes.ptr, bytes.len);
      size_t length = bytes.len;
      if (flip == 0) {
        length = i;
      } else {
        copy[i] = (uint8_t)(copy[i] ^ (flip == 1 ? 1u : 0xffu));
      }
      bbw_onnx_net *net = NULL;
      if (bbw_onnx_net_new(&net, (bbw_bytes){copy, length}, &mem.mem, NULL) == BBW_OK) { accepted++; }
      bbw_onnx_net_del(net);
      assert_int_equal(mem.live_bytes, 0);
    }
  }
  assert_true(accepted > 0 && accepted < 3 * bytes.len);
  free(copy);
  onnx_file_free(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes_and_outputs),
      cmocka_unit_test(test_gradients),
      cmocka_unit_test(test_backward_from_the_output),
      cmocka_unit_test(test_training_converges),
      cmocka_unit_test(test_one_step_is_sgd),
      cmocka_unit_test(test_steps_allocate_nothing),
      cmocka_unit_test(test_every_allocation_may_fail),
      cmocka_unit_test(test_divergence_keeps_the_parameters),
      cmocka_unit_test(test_parameters_from_outside),
      cmocka_unit_test(test_bad_training_arguments),
      cmocka_unit_test(test_invalid_files_are_refused),
      cmocka_unit_test(test_all_unsupported_operators_are_listed),
      cmocka_unit_test(test_damaged_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
