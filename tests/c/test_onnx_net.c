/*
 * onnx_net: networks from ONNX files give the right numbers and gradients, train from any place on, and refuse what they must.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "bbw/session.h"
#include "components/onnx_net.h"
#include "kernel_data.h"
#include "onnx_build.h"
#include "test_mem.h"

static bool equals(bbw_str text, const char *want) {
  return text.len == strlen(want) && (text.len == 0 || memcmp(text.ptr, want, text.len) == 0);
}

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

static void by_adam(onnx_file *f) {
  classifier(f);
  onnx_metadata(f, "bbw.train.optimizer", "adam");
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
  onnx_node(f, "Identity", "drop", "sg", "d1");
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
    {"everything", everything, 4, 5, 16 + 4 + 4 + 20 + 4},
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

/* ---- tests ---- */

enum { SAMPLES = 7 };

/* The outputs are those of a session, and each sample gives the same alone. */
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
    onnx_file f;
    onnx_file_init(&f);
    NETWORKS[n].build(&f);
    bbw_session *session;
    assert_int_equal(bbw_session_new(&session, onnx_bytes(&f), NULL, &bbw_mem_libc, NULL), BBW_OK);
    for (size_t i = 0; i < SAMPLES; i++) {
      bbw_port_info port = bbw_session_input(session, 0);
      bbw_array given = {.dtype = BBW_DTYPE_F32, .rank = port.rank, .count = in, .data = x + i * in}, want;
      for (uint32_t d = 0; d < port.rank; d++) { given.dims[d] = d == 0 ? 1 : (size_t)port.dims[d]; }
      assert_int_equal(bbw_session_run(session, &given, 1, &want, NULL), BBW_OK);
      assert_int_equal(want.count, out);
      for (size_t j = 0; j < out; j++) { assert_true(fabsf(((float *)want.data)[j] - y[i * out + j]) < 1e-5f); }
      assert_int_equal(bbw_onnx_net_forward(net, x + i * in, 1, one, NULL), BBW_OK); /* alone: the same bits */
      assert_int_equal(kernel_first_difference(y + i * out, one, out), out);
    }
    bbw_session_del(session);
    onnx_file_free(&f);
    bbw_onnx_net_del(net);
  }
}

/* The gradient of the mean loss of all samples, from a step of SGD with them. */
static double step_gradient(bbw_onnx_net *net, const float *x, const float *classes, float *gradient) {
  size_t count = bbw_onnx_net_parameter_count(net);
  bbw_train_options options = {.epochs = 1, .batch_size = SAMPLES, .rate = 0.5f, .keeps_order = true};
  float *before = calloc(count, sizeof *before);
  assert_non_null(before);
  double loss;
  memcpy(before, bbw_onnx_net_parameters(net), count * sizeof *before);
  assert_int_equal(bbw_onnx_net_train(net, x, (bbw_labels){classes, true}, SAMPLES, &options, &loss, NULL), BBW_OK);
  for (size_t p = 0; p < count; p++) { gradient[p] = (before[p] - bbw_onnx_net_parameters(net)[p]) / 0.5f; }
  assert_int_equal(bbw_onnx_net_load_parameters(net, before, count, NULL), BBW_OK);
  free(before);
  return loss;
}

/* backward from the output gives the same as a step, if it is given the derivative of the loss by the output. */
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
    double loss_of_y, loss = step_gradient(net, x, classes, want), size = 0.0;
    bbw_labels labels = {classes, true};
    assert_int_equal(bbw_onnx_net_backward(net, g, SAMPLES, got, NULL), BBW_E_STATE);
    assert_int_equal(bbw_onnx_net_forward(net, x, SAMPLES, y, NULL), BBW_OK);
    assert_int_equal(bbw_onnx_net_loss(net, y, labels, SAMPLES, &loss_of_y, NULL), BBW_OK);
    if (!(fabs(loss - loss_of_y) < 1e-5)) { print_error("%s: %g %g\n", NETWORKS[n].name, loss, loss_of_y); }
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
    for (size_t p = 0; p < count; p++) {
      assert_true(fabsf(want[p] - got[p]) < 1e-5f);
      size = fmax(size, fabs((double)got[p]));
    }
    assert_true(size > 1e-3); /* something is being tested */
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
  assert_int_equal(bbw_onnx_net_evaluate(net, x, (bbw_labels){labels, true}, 32, &mean, &accuracy, NULL), BBW_OK);
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
  size_t stepped = 0;
  for (size_t nth = 0; !is_done; nth++) {
    assert_true(nth < 2000);
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
      bool has_stepped = kernel_first_difference(before, bbw_onnx_net_parameters(net), count) < count;
      stepped += !is_done && has_stepped; /* the last batch of an epoch is smaller and has a plan of its own */
      for (size_t p = 0; p < count; p++) { assert_true(isfinite(bbw_onnx_net_parameters(net)[p])); }
    } else {
      assert_null(net);
    }
    assert_true(is_done || rv == BBW_E_NOMEM);
    bbw_onnx_net_del(net);
    assert_int_equal(mem.live_bytes, 0);
  }
  assert_true(stepped > 0 && stepped < 40);
  onnx_file_free(&f);
}

/* Training ends with the last parameters whose loss was finite, and the batch is named. */
static void test_divergence_keeps_the_parameters(void **state) {
  (void)state;
  static float x[CLOUD * 6], labels[CLOUD];
  clouds(x, labels, CLOUD);
  bbw_onnx_net *net = make(classifier), *other = make(classifier);
  size_t count = bbw_onnx_net_parameter_count(net);
  float before[64];
  memcpy(before, bbw_onnx_net_parameters(net), count * sizeof(float));
  bbw_train_options options = {.epochs = 4, .batch_size = 16, .rate = 1e30f, .keeps_order = true};
  double mean = -1.0;
  bbw_labels all = {labels, true};
  bbw_error err;
  assert_int_equal(bbw_onnx_net_train(net, x, all, CLOUD, &options, &mean, &err), BBW_E_NOT_FINITE);
  assert_int_equal(bbw_error_number(&err, "batch"), 1); /* the first step spoils the second */
  assert_int_equal(kernel_first_difference(before, bbw_onnx_net_parameters(net), count), count);
  options.rate = 0.1f;
  x[16 * 6 * 3 + 7] =
      NAN; /* in batch 3 of each epoch: those before it are good, the last one's result was not seen to be */
  assert_int_equal(bbw_onnx_net_train(net, x, all, CLOUD, &options, &mean, &err), BBW_E_NOT_FINITE);
  assert_int_equal(bbw_error_number(&err, "epoch"), 0);
  assert_int_equal(bbw_error_number(&err, "batch"), 3);
  assert_true(mean == -1.0);
  options.epochs = 1;
  assert_int_equal(bbw_onnx_net_train(other, x, all, 32, &options, &mean, NULL), BBW_OK);
  assert_int_equal(kernel_first_difference(bbw_onnx_net_parameters(other), bbw_onnx_net_parameters(net), count), count);
  x[16 * 6 * 3 + 7] = 0.0f;
  assert_int_equal(bbw_onnx_net_train(net, x, all, CLOUD, &options, &mean, NULL), BBW_OK);
  bbw_onnx_net_del(other);
  bbw_onnx_net_del(net);
}

/* A weight that the loss does not see is infinite all the same. */
static void behind_a_clip(onnx_file *f) {
  onnx_input(f, "x", "n 1");
  onnx_floats(f, "w", "1 1", (const float[]){0.5f}, 1);
  onnx_floats(f, "low", "", (const float[]){-1.0f}, 1);
  onnx_floats(f, "high", "", (const float[]){1.0f}, 1);
  onnx_node(f, "Clip", "clip", "w low high", "c");
  onnx_node(f, "MatMul", "m", "x c", "y");
  onnx_output(f, "y");
  onnx_metadata(f, "bbw.train.loss", "mse");
}

static void test_parameters_stay_finite(void **state) {
  (void)state;
  float x[4] = {10.0f, 10.0f, 10.0f, 10.0f}, wanted[4] = {-1e3f, -1e3f, -1e3f, -1e3f};
  bbw_onnx_net *net = make(behind_a_clip);
  bbw_train_options options = {.epochs = 2, .batch_size = 1, .rate = 3e38f, .keeps_order = true};
  double mean;
  bbw_error err;
  assert_int_equal(bbw_onnx_net_train(net, x, (bbw_labels){wanted, false}, 4, &options, &mean, &err), BBW_E_NOT_FINITE);
  assert_true(bbw_onnx_net_parameters(net)[0] == 0.5f);
  assert_int_equal(bbw_error_number(&err, "epoch"), 0);
  assert_int_equal(bbw_error_number(&err, "batch"), 0);
  bbw_onnx_net_del(net);
}

/* Softmax gives exact zeros for what lies far behind: their logarithm must not spoil the loss. */
static void test_loss_of_an_exact_zero(void **state) {
  (void)state;
  static const float y[2] = {1.0f, 0.0f}, first[2] = {1.0f, 0.0f}, second[1] = {1.0f};
  bbw_onnx_net *net = make(matmul_and_softmax);
  double loss;
  assert_int_equal(bbw_onnx_net_loss(net, y, (bbw_labels){first, false}, 1, &loss, NULL), BBW_OK);
  assert_true(loss >= 0.0 && loss < 1e-6);
  assert_int_equal(bbw_onnx_net_loss(net, y, (bbw_labels){second, true}, 1, &loss, NULL), BBW_OK);
  assert_true(loss > 80.0 && loss < 120.0);
  bbw_onnx_net_del(net);
}

/* Stopped after any batch, and begun again from parameters, optimizer and place, a run ends with the same bits. */
static void test_a_run_goes_on_from_any_place(void **state) {
  (void)state;
  static float x[CLOUD * 6], labels[CLOUD];
  clouds(x, labels, CLOUD);
  enum { COUNT = 50 };
  bbw_labels all = {labels, true};
  bbw_train_options options = {.epochs = 3, .batch_size = 16, .rate = 0.02f, .seed = 5};
  bbw_onnx_net *net = make(by_adam);
  double want;
  assert_int_equal(bbw_onnx_net_train(net, x, all, COUNT, &options, &want, NULL), BBW_OK);
  size_t count = bbw_onnx_net_parameter_count(net);
  for (size_t stop = 0; stop < 12; stop++) { /* 4 batches an epoch */
    bbw_onnx_net *first = make(by_adam), *second = make(by_adam);
    bbw_onnx_run run = {0}, next = {0};
    assert_int_equal(bbw_onnx_run_begin(&run, first, x, all, COUNT, &options, NULL), BBW_OK);
    for (size_t i = 0; i < stop; i++) { assert_int_equal(bbw_onnx_run_step(&run, NULL), BBW_OK); }
    assert_int_equal(run.at.steps, stop);
    assert_int_equal(bbw_onnx_net_load_parameters(second, bbw_onnx_net_parameters(first), count, NULL), BBW_OK);
    size_t bytes = bbw_trainer_state_bytes(bbw_onnx_net_trainer(first));
    uint8_t *saved = malloc(bytes);
    assert_non_null(saved);
    bbw_trainer_state_save(bbw_onnx_net_trainer(first), saved);
    assert_int_equal(bbw_trainer_state_load(bbw_onnx_net_trainer(second), (bbw_bytes){saved, bytes}, NULL), BBW_OK);
    free(saved);
    next.at = run.at;
    if (stop > 0) { assert_int_equal(bbw_onnx_net_set_good(second, bbw_onnx_net_good(first)), BBW_OK); }
    assert_int_equal(bbw_onnx_run_begin(&next, second, x, all, COUNT, &options, NULL), BBW_OK);
    while (!bbw_onnx_run_is_done(&next)) { assert_int_equal(bbw_onnx_run_step(&next, NULL), BBW_OK); }
    assert_true(next.at.loss / COUNT == want);
    assert_int_equal(kernel_first_difference(bbw_onnx_net_parameters(net), bbw_onnx_net_parameters(second), count),
                     count);
    bbw_onnx_net_del(second);
    bbw_onnx_net_del(first);
  }
  bbw_onnx_run wrong = {.at = {.epoch = 3}};
  assert_int_equal(bbw_onnx_run_begin(&wrong, net, x, all, COUNT, &options, NULL), BBW_E_RESTORE_COMPONENT);
  wrong.at = (bbw_train_position){.done = 7};
  assert_int_equal(bbw_onnx_run_begin(&wrong, net, x, all, COUNT, &options, NULL), BBW_E_RESTORE_COMPONENT);
  wrong.at = (bbw_train_position){.epoch = 1, .done = 16, .steps = 4}; /* one too few */
  assert_int_equal(bbw_onnx_run_begin(&wrong, net, x, all, COUNT, &options, NULL), BBW_E_RESTORE_COMPONENT);
  wrong.at = (bbw_train_position){.done = 64};
  assert_int_equal(bbw_onnx_run_begin(&wrong, net, x, all, COUNT, &options, NULL), BBW_E_RESTORE_COMPONENT);
  bbw_onnx_net_del(net);
}

/* ---- networks that are not dense ---- */

static void convolution(onnx_file *f) {
  onnx_input(f, "x", "n 1 4 4");
  onnx_weights(f, "k", "3 1 3 3", 1, 0.6f, false);
  onnx_weights(f, "kb", "3", 2, 0.1f, false);
  onnx_weights(f, "scale", "3", 3, 0.2f, false);
  onnx_weights(f, "shift", "3", 4, 0.2f, false);
  onnx_floats(f, "mean", "3", (const float[]){0.1f, 0.0f, -0.1f}, 3);
  onnx_floats(f, "var", "3", (const float[]){1.0f, 2.0f, 0.5f}, 3);
  onnx_weights(f, "w", "12 2", 5, 0.5f, false);
  onnx_weights(f, "b", "2", 6, 0.1f, false);
  onnx_node(f, "Conv", "conv", "x k kb", "c");
  onnx_node(f, "BatchNormalization", "bn", "c scale shift mean var", "n1");
  onnx_node(f, "Relu", "relu", "n1", "r");
  onnx_node(f, "Dropout", "drop", "r", "d");
  onnx_node(f, "Flatten", "flat", "d", "f");
  onnx_node(f, "Gemm", "fc", "f w b", "y");
  onnx_output(f, "y");
}

/* Rows of numbers of any length; each position has its own class. */
static void sequence(onnx_file *f) {
  onnx_input(f, "x", "n len 3");
  onnx_weights(f, "w1", "3 8", 1, 0.8f, false);
  onnx_weights(f, "w2", "8 2", 2, 0.8f, false);
  onnx_node(f, "MatMul", "m1", "x w1", "h");
  onnx_node(f, "Tanh", "t", "h", "a");
  onnx_node(f, "MatMul", "m2", "a w2", "y");
  onnx_output(f, "y");
}

static void test_other_networks(void **state) {
  (void)state;
  enum { COUNT = 64 };
  static float x[COUNT * 16], labels[COUNT];
  kernel_fill(x, COUNT * 16, 91, -1.0f, 1.0f);
  for (size_t i = 0; i < COUNT; i++) { labels[i] = x[i * 16 + 5] + x[i * 16 + 6] > 0.0f ? 1.0f : 0.0f; }
  bbw_onnx_net *net = make(convolution);
  bbw_train_options options = {.epochs = 40, .batch_size = 16, .rate = 0.1f, .seed = 3};
  double before, after, accuracy, mean;
  assert_int_equal(bbw_onnx_net_evaluate(net, x, (bbw_labels){labels, true}, COUNT, &before, &accuracy, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_train(net, x, (bbw_labels){labels, true}, COUNT, &options, &mean, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_evaluate(net, x, (bbw_labels){labels, true}, COUNT, &after, &accuracy, NULL), BBW_OK);
  assert_true(after < 0.5 * before && accuracy > 0.9);
  bbw_onnx_net_del(net);
  net = make(sequence);
  assert_int_equal(bbw_onnx_net_input_width(net), 0); /* the samples say how long they are */
  bbw_labels all = {labels, true};
  assert_int_equal(bbw_onnx_net_forward(net, x, 2, x, NULL), BBW_E_SHAPE);
  assert_int_equal(bbw_onnx_net_loss(net, x, all, 2, &mean, NULL), BBW_E_SHAPE);
  assert_int_equal(bbw_onnx_net_evaluate(net, x, all, 2, &mean, &accuracy, NULL), BBW_E_SHAPE);
  assert_int_equal(bbw_onnx_net_train(net, x, all, 2, &options, &mean, NULL), BBW_E_SHAPE);
  const uint64_t fits[] = {8, 4, 3}, flat[] = {8, 12}, other[] = {8, 4, 2}, shorter[] = {4, 2, 3};
  assert_int_equal(bbw_onnx_net_fit(net, flat, 2, NULL), BBW_E_SHAPE);
  assert_int_equal(bbw_onnx_net_fit(net, other, 3, NULL), BBW_E_SHAPE);
  assert_int_equal(bbw_onnx_net_fit(net, fits, 3, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_input_width(net), 12);
  assert_int_equal(bbw_onnx_net_output_width(net), 8);
  assert_int_equal(bbw_onnx_net_label_width(net, true), 4);
  for (size_t i = 0; i < 32; i++) { labels[i] = x[i * 3] > x[i * 3 + 1] ? 1.0f : 0.0f; }
  options.rate = 0.5f;
  options.epochs = 60;
  assert_int_equal(bbw_onnx_net_train(net, x, (bbw_labels){labels, true}, 8, &options, &mean, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_evaluate(net, x, (bbw_labels){labels, true}, 8, &after, &accuracy, NULL), BBW_OK);
  assert_true(accuracy > 0.9);
  assert_int_equal(bbw_onnx_net_fit(net, shorter, 3, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_evaluate(net, x, (bbw_labels){labels, true}, 4, &after, &accuracy, NULL), BBW_OK);
  bbw_onnx_net_del(net);
}

/* ---- options in the file ---- */

static void to_numbers(onnx_file *f) { /* what a regression is */
  classifier(f);
  onnx_metadata(f, "other.key", "1e999");
  onnx_metadata(f, "bbw.train.loss", "huber");
  onnx_metadata(f, "bbw.train.huber_delta", "2.5");
  onnx_metadata(f, "bbw.train.optimizer", "adam");
  onnx_metadata(f, "bbw.train.rate", "2e-2");
  onnx_metadata(f, "bbw.train.state", "f16");
  onnx_metadata(f, "bbw.train.freeze", "w1\nb*");
  onnx_metadata(f, "bbw.train.seed", "18446744073709551615");
}

static void two_sides(onnx_file *f) { /* with a Sigmoid at the end, and labels from 0 to 1 */
  classifier(f);
  onnx_node(f, "Sigmoid", "side", "y", "p");
  f->output_count = 0;
  onnx_output(f, "p");
  onnx_metadata(f, "bbw.train.loss", "bce-with-logits");
}

static void test_options_of_the_file(void **state) {
  (void)state;
  static float x[CLOUD * 6], labels[CLOUD], wanted[CLOUD * 3], y[CLOUD * 3];
  clouds(x, labels, CLOUD);
  bbw_onnx_net *net = make(to_numbers);
  assert_int_equal(bbw_onnx_net_parameter_count(net), 15); /* w2 */
  assert_true(bbw_onnx_net_rate(net) == 0.02f);
  assert_int_equal(bbw_onnx_net_label_width(net, true), 0); /* no classes here */
  assert_int_equal(bbw_trainer_stats_of(bbw_onnx_net_trainer(net)).state_bytes, 2 * 2 * 15);
  for (size_t i = 0; i < CLOUD * 3; i++) { wanted[i] = 0.3f * x[i / 3 * 6 + i % 3]; }
  bbw_train_options options = {.epochs = 20, .batch_size = 20, .rate = 0.02f, .seed = 1};
  double before, after, accuracy, mean;
  bbw_labels all = {wanted, false};
  assert_int_equal(bbw_onnx_net_evaluate(net, x, all, CLOUD, &before, &accuracy, NULL), BBW_OK);
  assert_true(isnan(accuracy));
  assert_int_equal(bbw_onnx_net_train(net, x, all, CLOUD, &options, &mean, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_evaluate(net, x, all, CLOUD, &after, &accuracy, NULL), BBW_OK);
  assert_true(after < 0.5 * before);
  bbw_onnx_net_del(net);
  net = make(two_sides);
  for (size_t i = 0; i < CLOUD * 3; i++) { wanted[i] = x[i / 3 * 6 + i % 3] > 1.0f ? 1.0f : 0.0f; }
  options.rate = 0.5f;
  assert_int_equal(bbw_onnx_net_train(net, x, all, CLOUD, &options, &mean, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_evaluate(net, x, all, CLOUD, &after, &accuracy, NULL), BBW_OK);
  assert_true(accuracy > 0.85);
  assert_int_equal(bbw_onnx_net_forward(net, x, CLOUD, y, NULL), BBW_OK);
  assert_int_equal(bbw_onnx_net_loss(net, y, all, CLOUD, &mean, NULL), BBW_OK);
  assert_true(fabs(mean - after) < 1e-5);
  bbw_onnx_net_del(net);
}

/* Of an option that is there several times the last counts, whatever the others say; an empty number that is ignored is none. */
static void said_again(onnx_file *f) {
  classifier(f);
  onnx_metadata(f, "bbw.train.rate", "fast");
  onnx_metadata(f, "bbw.train.ignored", "2");
  onnx_metadata(f, "bbw.train.rate", "0.25");
  onnx_metadata(f, "bbw.train.ignored", "");
}

static void test_the_last_option_counts(void **state) {
  (void)state;
  static const float y[3] = {0.0f, 0.0f, 0.0f}, labels[1] = {2.0f};
  bbw_onnx_net *net = make(said_again);
  double loss;
  assert_true(bbw_onnx_net_rate(net) == 0.25f);
  assert_int_equal(bbw_onnx_net_loss(net, y, (bbw_labels){labels, true}, 1, &loss, NULL), BBW_OK);
  assert_true(loss > 1.0);
  bbw_onnx_net_del(net);
}

static void test_options_that_are_none(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"loss", "hope"},
      {"rate", "fast"},
      {"rate", ""},
      {"rate", "1e"},
      {"rate", "1.2.3"},
      {"rate", "1e61"},
      {"rate", "-1"},
      {"nesterov", "2"},
      {"lr", "0.1"},
      {"seed", "-1"},
      {"freeze", "nobody"},
      {"state", "f8"},
      {"class_weights", "1\n-"},
      {"momentum", "1"},
      {"ignored", "x"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    onnx_file f;
    onnx_file_init(&f);
    classifier(&f);
    char key[64] = "bbw.train.";
    strcat(key, cases[i][0]);
    onnx_metadata(&f, key, cases[i][1]);
    bbw_onnx_net *net = NULL;
    bbw_error err;
    bbw_status rv = bbw_onnx_net_new(&net, onnx_bytes(&f), &bbw_mem_libc, &err);
    if (rv != BBW_E_ARG) { print_error("%s=%s\n", cases[i][0], cases[i][1]); }
    assert_int_equal(rv, BBW_E_ARG);
    assert_true(equals(bbw_error_field(&err, "option"), cases[i][0]));
    assert_null(net);
    onnx_file_free(&f);
  }
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
  bbw_status status;
  const char *field, *value, *detail;
} REFUSED[] = {
    {"cycle", bad_cycle, BBW_E_ONNX_INVALID, NULL, "", "graph has a cycle"},
    {"missing initializer", bad_missing, BBW_E_ONNX_INVALID, "value", "nothing", "is used but nothing makes it"},
    {"inner dimension", bad_inner, BBW_E_ONNX_INVALID, "node", "g", "the inner dimensions are not equal"},
    {"bias", bad_bias, BBW_E_ONNX_INVALID, "node", "g", "cannot be spread over the result"},
    {"rank", bad_rank, BBW_E_ONNX_INVALID, "node", "g", "must be a matrix"},
    {"huge input", bad_huge_input, BBW_E_SHAPE, NULL, "", "the samples have not the shape of the input"},
    {"huge weights", bad_huge_weights, BBW_E_ONNX_INVALID, "value", "w", "shape and data of a tensor do not fit"},
    {"data too short", bad_data_length, BBW_E_ONNX_INVALID, "value", "w", "shape and data of a tensor do not fit"},
    {"negative dimension", bad_negative, BBW_E_ONNX_INVALID, "value", "w", "a dimension is negative or too large"},
    {"two inputs", bad_two_inputs, BBW_E_ONNX_INVALID, "value", "x2", "a Model takes files with one input"},
    {"one name twice", bad_two_makers, BBW_E_ONNX_INVALID, "value", "y", "two values have this name"},
    {"constant output", bad_output, BBW_E_ONNX_INVALID, NULL, "", "the output is not one row of f32 for each sample"},
    {"element type", bad_integers, BBW_E_ONNX_INVALID, "value", "w", "shape and data of a tensor do not fit"},
    {"too wide for the memory", bad_widening, BBW_E_NOMEM, NULL, "", ""},
};

static void test_invalid_files_are_refused(void **state) {
  (void)state;
  size_t wrong = 0;
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
    const char *field = REFUSED[i].field;
    bool is_right = rv == REFUSED[i].status && equals(detail, REFUSED[i].detail) &&
                    (field == NULL || equals(bbw_error_field(&err, field), REFUSED[i].value));
    if (!is_right) {
      bbw_str node = bbw_error_field(&err, "node"), value = bbw_error_field(&err, "value");
      print_error("%s: %d, %.*s node %.*s value %.*s\n", REFUSED[i].name, rv, (int)detail.len, detail.ptr,
                  (int)node.len, node.ptr, (int)value.len, value.ptr);
    }
    wrong += !is_right;
    assert_true(net == NULL || !is_right);
    bbw_onnx_net_del(net);
    assert_int_equal(mem.live_bytes, 0);
    onnx_file_free(&f);
  }
  assert_int_equal(wrong, 0);
}

static void test_all_unsupported_operators_are_listed(void **state) {
  (void)state;
  onnx_file f;
  onnx_file_init(&f);
  one_gemm(&f, "x w b", "n 4");
  onnx_node(&f, "Frobnicate", "conv1", "x w", "a");
  onnx_node(&f, "Unfold", "", "a", "pooled");
  onnx_node(&f, "Gemm", "foreign", "x w", "z")->domain = (bbw_str){"com.example", 11};
  char lengthy[300]; /* a name that is cut, in the middle of a character */
  memset(lengthy, 'n', sizeof lengthy);
  memcpy(lengthy + 255, "\xc3\xa9", 2);
  bbw_onnx_node *cut = onnx_node(&f, "Odd", "", "x", "odd");
  cut->name = (bbw_str){lengthy, sizeof lengthy};
  bbw_onnx_net *net = NULL;
  bbw_error err;
  assert_int_equal(bbw_onnx_net_new(&net, onnx_bytes(&f), &bbw_mem_libc, &err), BBW_E_ONNX_UNSUPPORTED);
  assert_true(equals(bbw_error_item(&err, "nodes", 0), "conv1: Frobnicate (opset 17)"));
  assert_true(equals(bbw_error_item(&err, "nodes", 1), "pooled: Unfold (opset 17)"));
  assert_true(equals(bbw_error_item(&err, "nodes", 2), "foreign: com.example.Gemm (opset 1)"));
  bbw_str long_one = bbw_error_item(&err, "nodes", 3);
  size_t bad;
  assert_true(long_one.len >= 255 && bbw_utf8_is_valid((bbw_bytes){(const uint8_t *)long_one.ptr, long_one.len}, &bad));
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
      cmocka_unit_test(test_backward_from_the_output),
      cmocka_unit_test(test_training_converges),
      cmocka_unit_test(test_a_run_goes_on_from_any_place),
      cmocka_unit_test(test_other_networks),
      cmocka_unit_test(test_options_of_the_file),
      cmocka_unit_test(test_the_last_option_counts),
      cmocka_unit_test(test_options_that_are_none),
      cmocka_unit_test(test_steps_allocate_nothing),
      cmocka_unit_test(test_every_allocation_may_fail),
      cmocka_unit_test(test_divergence_keeps_the_parameters),
      cmocka_unit_test(test_parameters_stay_finite),
      cmocka_unit_test(test_loss_of_an_exact_zero),
      cmocka_unit_test(test_parameters_from_outside),
      cmocka_unit_test(test_bad_training_arguments),
      cmocka_unit_test(test_invalid_files_are_refused),
      cmocka_unit_test(test_all_unsupported_operators_are_listed),
      cmocka_unit_test(test_damaged_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
