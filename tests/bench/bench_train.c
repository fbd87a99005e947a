/*
 * bench_train: how long does one step of SGD take?
 *
 * A 784-256-10 network (Gemm, Relu, Gemm; f32) on batches of 64: forward, softmax cross entropy, backward, update, and the picking of the samples.
 * Also the evaluation of one sample and of 256.  The best of several runs.  The share of the roofline: what the products of a step (forward, and two behind
 * it, of which the first layer needs one) would take at the rate of the registers, which is measured before each run, against what the step takes in that run; the median.
 */
#include "bench_peak.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "components/onnx_net.h"
#include "format/onnx.h"

enum { IN = 784, HIDDEN = 256, OUT = 10, BATCH = 64, SAMPLES = 512 };
/* Multiplications and additions of the five products. */
#define STEP_FLOPS (2.0 * (double)(BATCH * (2 * IN * HIDDEN + 3 * HIDDEN * OUT)))

static bbw_onnx_tensor weights(bbw_arena *arena, const char *name, const int64_t *dims, size_t rank) {
  size_t count = 1;
  for (size_t d = 0; d < rank; d++) { count *= (size_t)dims[d]; }
  float *data = bbw_arena_array(arena, count, sizeof *data);
  if (data == NULL) { exit(1); }
  uint32_t state = 12345;
  for (size_t i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    data[i] = ((float)(state >> 8) / 16777216.0f - 0.5f) * 0.08f;
  }
  return (bbw_onnx_tensor){
      .dims = {dims, rank}, .data_type = 1, .float_data = {data, count}, .name = {name, strlen(name)}};
}

static bbw_onnx_net *make_network(void) {
  static const int64_t w1_dims[] = {IN, HIDDEN}, b1_dims[] = {HIDDEN}, w2_dims[] = {HIDDEN, OUT}, b2_dims[] = {OUT};
  static const bbw_onnx_dimension x_dims[] = {{.dim_param = {"n", 1}, .has_dim_param = true},
                                              {.dim_value = IN, .has_dim_value = true}};
  static const bbw_onnx_shape x_shape = {.dim = {x_dims, 2}};
  static const bbw_onnx_tensor_type x_tensor = {.elem_type = 1, .shape = &x_shape};
  static const bbw_onnx_type x_type = {.tensor_type = &x_tensor};
  static const bbw_onnx_value_info x = {.name = {"x", 1}, .type = &x_type}, y = {.name = {"y", 1}};
  static const bbw_str first_in[] = {{"x", 1}, {"w1", 2}, {"b1", 2}}, h[] = {{"h", 1}}, r[] = {{"r", 1}};
  static const bbw_str second_in[] = {{"r", 1}, {"w2", 2}, {"b2", 2}}, out[] = {{"y", 1}};
  static const bbw_onnx_node nodes[] = {
      {.op_type = {"Gemm", 4}, .input = {first_in, 3}, .output = {h, 1}},
      {.op_type = {"Relu", 4}, .input = {h, 1}, .output = {r, 1}},
      {.op_type = {"Gemm", 4}, .input = {second_in, 3}, .output = {out, 1}},
  };
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  const bbw_onnx_tensor initializers[] = {
      weights(&arena, "w1", w1_dims, 2),
      weights(&arena, "b1", b1_dims, 1),
      weights(&arena, "w2", w2_dims, 2),
      weights(&arena, "b2", b2_dims, 1),
  };
  const bbw_onnx_graph graph = {
      .node = {nodes, 3}, .initializer = {initializers, 4}, .input = {&x, 1}, .output = {&y, 1}};
  static const bbw_onnx_opset opset = {.version = 17};
  const bbw_onnx_model model = {.ir_version = 8, .graph = &graph, .opset_import = {&opset, 1}};
  bbw_bytes bytes;
  bbw_onnx_net *net;
  if (bbw_proto_encode(&bytes, &model, &bbw_onnx_model_type, &arena) != BBW_OK) { exit(1); }
  if (bbw_onnx_net_new(&net, bytes, &bbw_mem_libc, NULL) != BBW_OK) { exit(1); }
  bbw_arena_free(&arena);
  return net;
}

int main(void) {
  bbw_onnx_net *net = make_network();
  float *x = malloc((size_t)SAMPLES * IN * sizeof *x), *labels = malloc(SAMPLES * sizeof *labels);
  float *y = malloc((size_t)SAMPLES * OUT * sizeof *y);
  if (x == NULL || labels == NULL || y == NULL) { return 1; }
  for (size_t i = 0; i < (size_t)SAMPLES * IN; i++) { x[i] = (float)(i * 7919 % 256) / 256.0f; }
  for (size_t i = 0; i < SAMPLES; i++) { labels[i] = (float)(i % OUT); }
  double step = 1e9, one = 1e9, many = 1e9, loss, share[RUNS];
  for (int run = 0; run < RUNS; run++) {
    bbw_train_options options = {.epochs = 8, .batch_size = BATCH, .rate = 0.01f, .seed = (uint64_t)run};
    double peak = peak_gflops(200);
    double start = bench_seconds();
    if (bbw_onnx_net_train(net, x, (bbw_labels){labels, true}, SAMPLES, &options, &loss, NULL) != BBW_OK) { return 1; }
    double took = (bench_seconds() - start) / (8.0 * (double)SAMPLES / (double)BATCH);
    share[run] = STEP_FLOPS / took / 1e9 / peak;
    if (took < step) { step = took; }
    start = bench_seconds();
    for (size_t i = 0; i < SAMPLES; i++) {
      if (bbw_onnx_net_forward(net, x + i * IN, 1, y, NULL) != BBW_OK) { return 1; }
    }
    took = (bench_seconds() - start) / (double)SAMPLES;
    if (took < one) { one = took; }
    start = bench_seconds();
    if (bbw_onnx_net_forward(net, x, 256, y, NULL) != BBW_OK) { return 1; }
    took = bench_seconds() - start;
    if (took < many) { many = took; }
    bench_keep(y[0] + (float)loss);
  }
  bench_report("train.784_256_10.b64.ms", step * 1e3, "ms");
  bench_report("train.784_256_10.b64.roofline", median(share), "share");
  bench_report("infer.784_256_10.b1.us", one * 1e6, "us");
  bench_report("infer.784_256_10.b256.ms", many * 1e3, "ms");
  free(y);
  free(labels);
  free(x);
  bbw_onnx_net_del(net);
  return 0;
}
