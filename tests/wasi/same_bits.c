/*
 * same_bits: prints a digest of what every kernel and a training run compute.
 *
 * Built natively and as a WASI command; `make test-bits` compares the two outputs, which have to be equal.  Inputs come from integer arithmetic, so
 * the programs differ in nothing but the machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "components/onnx_net.h"
#include "kernel_data.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "onnx_build.h"

enum { N = 1003 };
#define START 0xcbf29ce484222325u

static void print(const char *name, const float *x, size_t n) {
  printf("%s %016llx\n", name, (unsigned long long)kernel_digest(START, x, n));
}

static void elementwise(void) {
  static float x[N], y[N], out[N];
  kernel_fill_odd(x, N, 1);
  kernel_fill_odd(y, N, 2);
#define UNARY(name, one, four)         \
  bbw_##name##_f32_simd128(x, out, N); \
  print(#name, out, N);
#define BINARY(name, one, four)           \
  bbw_##name##_f32_simd128(x, y, out, N); \
  print(#name, out, N);
#include "kernels/elementwise.def"
#undef UNARY
#undef BINARY
  bbw_axpy_f32_simd128(0.3f, x, y, out, N);
  print("axpy", out, N);
  bbw_scale_f32_simd128(0.3f, x, out, N);
  print("scale", out, N);
}

static void reductions(void) {
  static float x[7 * 11 * 13], out[7 * 11 * 13];
  kernel_fill(x, 7 * 11 * 13, 3, -5.0f, 5.0f);
  static const struct {
    const char *name;
    bbw_reduce_f32_fn *run;
    size_t inner_results;
  } rows[] = {
      {"sum", bbw_reduce_sum_f32_simd128, 1},   {"mean", bbw_reduce_mean_f32_simd128, 1},
      {"max", bbw_reduce_max_f32_simd128, 1},   {"min", bbw_reduce_min_f32_simd128, 1},
      {"softmax", bbw_softmax_f32_simd128, 11}, {"log_softmax", bbw_log_softmax_f32_simd128, 11},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    rows[i].run(x, out, 7, 11, 13);
    print(rows[i].name, out, 7 * 13 * rows[i].inner_results);
    rows[i].run(x, out, 7 * 13, 11, 1);
    print(rows[i].name, out, 7 * 13 * rows[i].inner_results);
  }
}

static void products(void) {
  enum { M = 101, K = 519, C = 77 };
  static float a[M * K], b[K * C], c[M * C], bias[C];
  float *scratch = malloc(bbw_gemm_f32_scratch(M, C, K) * sizeof(float));
  if (scratch == NULL) { exit(1); }
  kernel_fill(a, M * K, 4, -1.0f, 1.0f);
  kernel_fill(b, K * C, 5, -1.0f, 1.0f);
  kernel_fill(bias, C, 6, -1.0f, 1.0f);
  for (unsigned form = 0; form < 4; form++) {
    bbw_gemm_options options = {.is_a_transposed = (form & 1u) != 0,
                                .is_b_transposed = (form & 2u) != 0,
                                .alpha = 0.75f,
                                .bias = bias,
                                .has_relu = form == 3};
    bbw_gemm_f32_simd128(a, b, c, M, C, K, &options, scratch);
    print("gemm", c, M * C);
    bbw_gemm_f32_simd128(a, b, c, 2, C, K, &options, scratch);
    print("gemm skinny", c, 2 * C);
  }
  free(scratch);
}

static void training(void) {
  enum { SAMPLES = 90 };
  onnx_file f;
  onnx_file_init(&f);
  onnx_input(&f, "x", "n 20");
  onnx_weights(&f, "w1", "30 20", 7, 0.4f, false);
  onnx_weights(&f, "b1", "30", 8, 0.1f, false);
  onnx_weights(&f, "w2", "30 7", 9, 0.4f, false);
  onnx_weights(&f, "b2", "7", 10, 0.1f, false);
  onnx_attribute_int(&f, onnx_node(&f, "Gemm", "fc1", "x w1 b1", "h"), "transB", 1);
  onnx_node(&f, "Tanh", "", "h", "t");
  onnx_node(&f, "Sigmoid", "", "t", "s");
  onnx_node(&f, "Add", "", "s t", "a");
  onnx_node(&f, "MatMul", "", "a w2", "m");
  onnx_node(&f, "Add", "", "m b2", "l");
  onnx_node(&f, "Softmax", "", "l", "y");
  onnx_output(&f, "y");
  static float x[SAMPLES * 20], labels[SAMPLES], y[SAMPLES * 7];
  kernel_fill(x, SAMPLES * 20, 11, -1.0f, 1.0f);
  for (size_t i = 0; i < SAMPLES; i++) { labels[i] = (float)(i % 7); }
  bbw_onnx_net *net;
  double loss;
  bbw_train_options options = {.epochs = 20, .batch_size = 16, .rate = 0.2f, .seed = 99};
  if (bbw_onnx_net_new(&net, onnx_bytes(&f), &bbw_mem_libc, NULL) != BBW_OK) { exit(1); }
  if (bbw_onnx_net_train(net, x, (bbw_labels){labels, true}, SAMPLES, &options, &loss, NULL) != BBW_OK) { exit(1); }
  if (bbw_onnx_net_forward(net, x, SAMPLES, y, NULL) != BBW_OK) { exit(1); }
  print("parameters after training", bbw_onnx_net_parameters(net), bbw_onnx_net_parameter_count(net));
  print("outputs after training", y, SAMPLES * 7);
  uint64_t bits;
  memcpy(&bits, &loss, sizeof bits);
  printf("loss %016llx\n", (unsigned long long)bits);
  bbw_onnx_net_del(net);
  onnx_file_free(&f);
}

int main(void) {
  elementwise();
  reductions();
  products();
  training();
  return 0;
}
