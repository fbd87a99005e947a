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
#include "bbw/trainer.h"
#include "components/onnx_net.h"
#include "kernel_data.h"
#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/conv_i8.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/norm.h"
#include "kernels/pool.h"
#include "kernels/quantize.h"
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
  bbw_hard_sigmoid_f32_simd128(0.3f, 0.4f, x, out, N);
  print("hard_sigmoid", out, N);
  bbw_clip_f32_simd128(-0.3f, 0.4f, x, out, N);
  print("clip", out, N);
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

static float *floats(size_t n, uint32_t seed) {
  float *x = malloc((n + 1) * sizeof(float));
  if (x == NULL) { exit(1); }
  kernel_fill(x, n, seed, -1.0f, 1.0f);
  return x;
}

/* Packed operands with an epilogue, in every path: few rows, few columns, tiles. */
static void packed_products(void) {
  static const size_t sizes[][3] = {{1, 130, 300}, {2, 70, 300}, {1, 600, 9}, {70, 1, 300}, {37, 45, 300}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    size_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
    float *a = floats(m * k, 1), *b = floats(n * k, 2), *c = floats(m * n, 3), *bias = floats(n, 4),
          *residual = floats(m * n, 5);
    float *packed = floats(bbw_gemm_f32_pack_b_size(n, k), 6);
    bbw_gemm g = {.m = m, .n = n, .k = k, .a = a, .lda = k, .b = b, .ldb = n, .c = c, .ldc = n, .alpha = 1.0f};
    g.epilogue = (bbw_epilogue){.column_bias = bias,
                                .residual = residual,
                                .residual_stride = n,
                                .activation = BBW_ACTIVATION_MAP,
                                .map = bbw_gelu_erf_f32_simd128};
    bbw_gemm with_packed = g;
    with_packed.is_b_packed = true;
    float *scratch = floats(bbw_gemm_f32_run_scratch(&g) + bbw_gemm_f32_run_scratch(&with_packed), 7);
    bbw_gemm_f32_run_simd128(&g, scratch);
    print("gemm with epilogue", c, m * n);
    bbw_gemm_f32_pack_b(packed, b, n, false, n, k);
    g.b = packed, g.is_b_packed = true;
    bbw_gemm_f32_run_simd128(&g, scratch);
    print("gemm packed", c, m * n);
    free(a), free(b), free(c), free(bias), free(residual), free(packed), free(scratch);
  }
}

static void convolutions(void) {
  static const struct {
    size_t channels, out, groups, kernel, stride, pad;
  } rows[] = {{5, 9, 1, 1, 1, 0}, {5, 9, 1, 3, 1, 1}, {4, 6, 2, 3, 2, 1},
              {6, 6, 6, 3, 1, 1}, {6, 6, 6, 5, 2, 2}, {33, 12, 1, 3, 1, 1}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    bbw_conv_shape s = {.batch = 2,
                        .channels = rows[i].channels,
                        .out_channels = rows[i].out,
                        .groups = rows[i].groups,
                        .size = {1, 13, 19}};
    for (size_t d = 0; d < BBW_CONV_AXES; d++) {
      s.kernel[d] = d == 0 ? 1 : rows[i].kernel, s.stride[d] = d == 0 ? 1 : rows[i].stride, s.dilation[d] = 1;
      s.pad_begin[d] = s.pad_end[d] = d == 0 ? 0 : rows[i].pad;
    }
    for (int is_transposed = 0; is_transposed < 2; is_transposed++) {
      bbw_conv_plan p;
      if (!(is_transposed ? bbw_conv_transpose_plan_make(&p, &s) : bbw_conv_plan_make(&p, &s))) { exit(1); }
      size_t weight_count = s.out_channels * (s.channels / s.groups) * s.kernel[1] * s.kernel[2],
             count = 2 * s.out_channels * p.places;
      float *x = floats(2 * s.channels * 13 * 19, 1), *w = floats(weight_count, 2), *packed = floats(p.packed_count, 3);
      float *out = floats(count, 4), *bias = floats(s.out_channels, 5), *scratch = floats(p.scratch_count, 6);
      bbw_conv_f32_pack(&p, w, packed);
      bbw_conv_f32_simd128(&p, x, packed, &(bbw_epilogue){.row_bias = bias, .activation = BBW_ACTIVATION_RELU}, out,
                           scratch);
      print(is_transposed ? "conv transpose" : "conv", out, count);
      if (!is_transposed) {
        int16_t *bytes_packed = malloc(bbw_conv_i8_pack_size(&p) * sizeof(int16_t)),
                *bytes_scratch = malloc(bbw_conv_i8_scratch(&p) * sizeof(int16_t));
        if (bytes_packed == NULL || bytes_scratch == NULL) { exit(1); }
        bbw_conv_i8_pack(&p, &(bbw_conv_i8_weights){.x = (const uint8_t *)w, .is_signed = true}, bytes_packed);
        bbw_conv_i8_simd128(&p, (const uint8_t *)x, false, 128, bytes_packed, (int32_t *)out, bytes_scratch);
        for (size_t j = 0; j < count; j++) {
          int32_t sum;
          memcpy(&sum, out + j, sizeof sum);
          out[j] = (float)sum;
        }
        print("conv of bytes", out, count);
        free(bytes_packed), free(bytes_scratch);
      }
      free(x), free(w), free(packed), free(out), free(bias), free(scratch);
    }
  }
}

static void attention_pool_and_norm(void) {
  enum { M = 61, KEYS = 75, D = 20 };
  float *q = floats(M * D, 1), *k = floats(KEYS * D, 2), *v = floats(KEYS * D, 3), *mask = floats(M * KEYS, 4),
        *out = floats(M * D, 5);
  float *scratch = floats(bbw_attention_f32_scratch(M, KEYS, D, D), 6);
  bbw_attention a = {.m = M,
                     .n = KEYS,
                     .d = D,
                     .dv = D,
                     .q = q,
                     .k = k,
                     .v = v,
                     .ldq = D,
                     .ldk = D,
                     .ldv = D,
                     .scale = 0.22f,
                     .mask = mask,
                     .mask_stride = KEYS,
                     .out = out,
                     .ldo = D};
  bbw_attention_f32_simd128(&a, scratch);
  print("attention", out, M * D);
  bbw_layer_norm_f32_simd128(q, k, v, 1e-5f, out, NULL, NULL, M, D);
  print("layer_norm", out, M * D);
  bbw_group_norm_f32_simd128(q, k, v, 1e-5f, out, 1, M, D, 1);
  print("group_norm", out, M * D);
  bbw_rms_norm_f32_simd128(q, k, 1e-5f, out, M, D);
  print("rms_norm", out, M * D);
  bbw_scale_shift_f32_simd128(q, k, v, out, 1, M, D);
  print("scale_shift", out, M * D);
  bbw_lrn_f32_simd128(q, out, 1, M, D, 5, 0.1f, 0.75f, 1.0f);
  print("lrn", out, M * D);
  bbw_pool_shape s = {.planes = 1,
                      .size = {1, M, D},
                      .kernel = {1, 3, 3},
                      .stride = {1, 2, 1},
                      .dilation = {1, 1, 1},
                      .pad_begin = {0, 1, 1},
                      .pad_end = {0, 1, 1}};
  bbw_pool_plan p;
  if (!bbw_pool_plan_make(&p, &s)) { exit(1); }
  bbw_max_pool_f32_simd128(&p, q, out, NULL);
  print("max_pool", out, p.places);
  bbw_average_pool_f32_simd128(&p, q, out);
  print("average_pool", out, p.places);
  uint8_t bytes[M * D];
  const float scale = 0.0071f;
  const uint8_t zero = 99;
  bbw_quantization z = {.scale = &scale, .zero = &zero, .outer = 1, .channels = 1, .inner = M * D};
  bbw_quantize_f32_simd128(&z, q, bytes);
  bbw_dequantize_f32_simd128(&z, bytes, out);
  print("quantize", out, M * D);
  free(q), free(k), free(v), free(mask), free(out), free(scratch);
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

/* Steps of a trainer over a network with a convolution, normalizations, pools, dropout, a softmax inside and a matrix product. */
static void trainer(void) {
  static float image[4 * 64];
  static const int32_t classes[4] = {0, 2, 1, 2};
  static const bbw_trainer_options options[] = {
      {.rate = 0.05f, .momentum = 0.9f, .clip_norm = 1.0f, .seed = 5, .weight_decay = 0.01f},
      {.optimizer = BBW_TRAINER_ADAM, .rate = 0.01f, .seed = 6, .schedule = BBW_TRAINER_COSINE, .schedule_steps = 8, .label_smoothing = 0.1f},
      {.optimizer = BBW_TRAINER_ADAM, .rate = 0.01f, .seed = 7, .has_f16_state = true}};
  onnx_file file;
  onnx_file_init(&file);
  onnx_input(&file, "x", "n 1 8 8");
  onnx_weights(&file, "w", "3 1 3 3", 1, 0.5f, true);
  onnx_weights(&file, "wb", "3", 2, 0.5f, true);
  onnx_weights(&file, "gamma", "3", 3, 1.0f, true);
  onnx_weights(&file, "beta", "3", 4, 1.0f, true);
  onnx_weights(&file, "mean", "3", 5, 0.1f, true);
  onnx_floats(&file, "variance", "3", (const float[]){1, 2, 3}, 3);
  onnx_floats(&file, "ratio", "", (const float[]){0.25f}, 1);
  onnx_weights(&file, "fc", "27 8", 6, 0.5f, true);
  onnx_weights(&file, "ln", "8", 7, 1.0f, true);
  onnx_weights(&file, "lnb", "8", 8, 1.0f, true);
  onnx_weights(&file, "out", "3 8", 9, 0.5f, true);
  onnx_weights(&file, "ob", "3", 10, 0.5f, true);
  onnx_node(&file, "Conv", "conv", "x w wb", "c");
  onnx_node(&file, "BatchNormalization", "bn", "c gamma beta mean variance", "b");
  onnx_node(&file, "Tanh", "tanh", "b", "t");
  bbw_onnx_node *pool = onnx_node(&file, "MaxPool", "pool", "t", "m");
  onnx_attribute_ints(&file, pool, "kernel_shape", (const int64_t[]){2, 2}, 2);
  onnx_attribute_ints(&file, pool, "strides", (const int64_t[]){2, 2}, 2);
  onnx_node(&file, "Flatten", "flat", "m", "f");
  onnx_node(&file, "Dropout", "drop", "f ratio", "d");
  onnx_node(&file, "MatMul", "product", "d fc", "p");
  onnx_node(&file, "LayerNormalization", "norm", "p ln lnb", "l");
  onnx_node(&file, "Softmax", "inner", "l", "s");
  onnx_node(&file, "Erf", "erf", "s", "e");
  onnx_attribute_int(&file, onnx_node(&file, "Gemm", "gemm", "e out ob", "y"), "transB", 1);
  onnx_output(&file, "y");
  bbw_bytes model = onnx_bytes(&file);
  kernel_fill(image, 4 * 64, 11, -1.0f, 1.0f);
  for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
    bbw_trainer *t;
    bbw_array x = {0}, labels = {0};
    const size_t dims[] = {4, 1, 8, 8};
    size_t count;
    double loss = 0.0;
    bbw_array_shape(&x, BBW_DTYPE_F32, 4, dims);
    bbw_array_shape(&labels, BBW_DTYPE_I32, 1, dims);
    x.data = image;
    labels.data = (void *)(uintptr_t)classes;
    if (bbw_trainer_new(&t, model, &options[i], &bbw_mem_libc, NULL) != BBW_OK) { abort(); }
    for (int step = 0; step < 6; step++) {
      if (bbw_trainer_step(t, &x, 1, &labels, &loss, NULL, NULL) != BBW_OK) { abort(); }
    }
    const float *values = bbw_trainer_values(t, &count);
    float last = (float)loss;
    print("trainer", values, count);
    print("trainer_loss", &last, 1);
    bbw_trainer_del(t);
  }
  onnx_file_free(&file);
}

/* Back through time, in segments, and what else has a gradient of its own. */
static void sequences(void) {
  static float data[5 * 3 * 4];
  static const bbw_trainer_options options = {
      .loss = BBW_TRAINER_OUTPUT, .optimizer = BBW_TRAINER_ADAM, .rate = 0.01f, .checkpoints = UINT32_MAX};
  onnx_file file;
  onnx_file_init(&file);
  onnx_input(&file, "x", "5 3 4");
  onnx_weights(&file, "lw", "1 24 4", 1, 0.5f, true);
  onnx_weights(&file, "lr", "1 24 6", 2, 0.5f, true);
  onnx_weights(&file, "lb", "1 48", 3, 0.5f, true);
  onnx_weights(&file, "gw", "1 15 6", 4, 0.5f, true);
  onnx_weights(&file, "gr", "1 15 5", 5, 0.5f, true);
  onnx_weights(&file, "hw", "1 15 5", 6, 0.5f, true);
  onnx_weights(&file, "hr", "1 15 5", 7, 0.5f, true);
  onnx_weights(&file, "rw", "1 4 5", 8, 0.5f, true);
  onnx_weights(&file, "rr", "1 4 4", 9, 0.5f, true);
  onnx_weights(&file, "grid", "5 2 2 2", 10, 1.2f, true);
  onnx_ints(&file, "one", (const int64_t[]){1}, 1);
  onnx_ints(&file, "k", (const int64_t[]){3}, 1);
  onnx_node(&file, "LSTM", "lstm", "x lw lr lb", "l");
  onnx_node(&file, "Squeeze", "s1", "l one", "l1");
  onnx_node(&file, "GRU", "gru", "l1 gw gr", "g");
  onnx_node(&file, "Squeeze", "s2", "g one", "g1");
  onnx_attribute_int(&file, onnx_node(&file, "GRU", "late", "g1 hw hr", "h"), "linear_before_reset", 1);
  onnx_node(&file, "Squeeze", "s3", "h one", "h1");
  onnx_node(&file, "RNN", "rnn", "h1 rw rr", "r");
  onnx_attribute_int(&file, onnx_node(&file, "LRN", "lrn", "r", "n"), "size", 3);
  onnx_node(&file, "LpNormalization", "lp", "n", "p");
  onnx_node(&file, "GridSample", "sample", "p grid", "q");
  onnx_node(&file, "TopK", "top", "p k", "t i");
  onnx_node(&file, "ReduceProd", "product", "t", "z");
  onnx_node(&file, "ReduceMean", "mean", "q", "m");
  onnx_node(&file, "Add", "sum", "m z", "y");
  onnx_output(&file, "y");
  kernel_fill(data, 5 * 3 * 4, 11, -1.0f, 1.0f);
  bbw_trainer *t;
  bbw_array x = {0};
  size_t count;
  double loss;
  bbw_array_shape(&x, BBW_DTYPE_F32, 3, (const size_t[]){5, 3, 4});
  x.data = data;
  if (bbw_trainer_new(&t, onnx_bytes(&file), &options, &bbw_mem_libc, NULL) != BBW_OK) { abort(); }
  for (int step = 0; step < 4; step++) {
    if (bbw_trainer_step(t, &x, 1, NULL, &loss, NULL, NULL) != BBW_OK) { abort(); }
  }
  const float *values = bbw_trainer_values(t, &count);
  print("sequences", values, count);
  bbw_trainer_del(t);
  onnx_file_free(&file);
}

int main(void) {
  elementwise();
  reductions();
  products();
  packed_products();
  convolutions();
  attention_pool_and_norm();
  training();
  trainer();
  sequences();
  return 0;
}
