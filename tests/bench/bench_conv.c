/*
 * bench_conv: convolutions of common networks, attention, pooling and products of bytes, beside the peak of the registers.
 *
 * conv.CASE.gflops.TARGET and conv.CASE.share_of_peak.TARGET, both medians, measured in turn with the peak; attention.* likewise.
 */
#include "bench_peak.h"

#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/gemm_i8.h"

typedef struct conv_case {
  const char *name;
  size_t channels, out, groups, size, kernel, stride, pad;
} conv_case;

static const conv_case CASES[] = {
    {"first.3x3s2", 3, 32, 1, 224, 3, 2, 1},          {"3x3.64x56", 64, 64, 1, 56, 3, 1, 1},
    {"3x3.256x14", 256, 256, 1, 14, 3, 1, 1},         {"squeeze.3x3.16x55", 16, 64, 1, 55, 3, 1, 1},
    {"1x1.16x112", 16, 96, 1, 112, 1, 1, 0},          {"1x1.96x56", 96, 24, 1, 56, 1, 1, 0},
    {"1x1.576x14", 576, 96, 1, 14, 1, 1, 0},          {"1x1.320x7", 320, 1280, 1, 7, 1, 1, 0},
    {"depthwise.96x112s2", 96, 96, 96, 112, 3, 2, 1}, {"depthwise.144x56", 144, 144, 144, 56, 3, 1, 1},
    {"depthwise.576x14", 576, 576, 576, 14, 3, 1, 1}, {"depthwise5.240x14", 240, 240, 240, 14, 5, 1, 2},
};

static float *floats(size_t n) {
  float *x = malloc((n + 1) * sizeof(float));
  if (x == NULL) { exit(1); }
  for (size_t i = 0; i < n; i++) { x[i] = (float)(i % 17) * 0.1f - 0.8f; }
  return x;
}

typedef void work_fn(void *context);

/* Rate of the work and its share of the peak, in turn. */
static void measure(const char *name, work_fn *work, void *context, double flops) {
  size_t repeats = (size_t)(5e7 / flops) + 1;
  double rates[RUNS], shares[RUNS];
  char line[80];
  work(context);
  for (int run = 0; run < RUNS; run++) {
    double peak = peak_gflops(200), start = bench_seconds();
    for (size_t r = 0; r < repeats; r++) { work(context); }
    rates[run] = flops * (double)repeats / (bench_seconds() - start) / 1e9;
    shares[run] = rates[run] / ((peak + peak_gflops(200)) / 2.0);
  }
  snprintf(line, sizeof line, "%s.gflops", name);
  bench_report(line, median(rates), "GFLOP/s");
  snprintf(line, sizeof line, "%s.share_of_peak", name);
  bench_report(line, median(shares), "ratio");
}

typedef struct conv_work {
  bbw_conv_plan plan;
  float *x, *packed, *out, *scratch, *bias;
} conv_work;

static void run_conv(void *context) {
  conv_work *w = context;
  bbw_epilogue e = {.row_bias = w->bias, .activation = BBW_ACTIVATION_RELU};
  bbw_conv_f32_simd128(&w->plan, w->x, w->packed, &e, w->out, w->scratch);
  bench_keep(w->out[0]);
}

static void conv(const conv_case *c) {
  bbw_conv_shape s = {.batch = 1, .channels = c->channels, .out_channels = c->out, .groups = c->groups};
  for (size_t d = 0; d < BBW_CONV_AXES; d++) {
    s.size[d] = d == 0 ? 1 : c->size, s.kernel[d] = d == 0 ? 1 : c->kernel, s.stride[d] = d == 0 ? 1 : c->stride;
    s.dilation[d] = 1, s.pad_begin[d] = s.pad_end[d] = d == 0 ? 0 : c->pad;
  }
  conv_work w;
  char name[64];
  if (!bbw_conv_plan_make(&w.plan, &s)) { exit(1); }
  size_t k = c->channels / c->groups * c->kernel * c->kernel;
  float *weights = floats(c->out * k);
  w.x = floats(c->channels * c->size * c->size), w.packed = floats(w.plan.packed_count), w.bias = floats(c->out);
  w.out = floats(c->out * w.plan.places), w.scratch = floats(w.plan.scratch_count);
  bbw_conv_f32_pack(&w.plan, weights, w.packed);
  snprintf(name, sizeof name, "conv.%s", c->name);
  measure(name, run_conv, &w, 2.0 * (double)(c->out * k) * (double)w.plan.places);
  free(weights), free(w.x), free(w.packed), free(w.bias), free(w.out), free(w.scratch);
}

typedef struct attention_work {
  bbw_attention a;
  float *scratch;
} attention_work;

static void run_attention(void *context) {
  attention_work *w = context;
  bbw_attention_f32_simd128(&w->a, w->scratch);
  bench_keep(w->a.out[0]);
}

static void attention(const char *name, size_t n, size_t d) {
  float *q = floats(n * d), *k = floats(n * d), *v = floats(n * d), *out = floats(n * d);
  attention_work w = {.a = {.m = n, .n = n, .d = d, .dv = d, .q = q, .k = k, .v = v, .ldq = d, .ldk = d, .ldv = d}};
  w.a.scale = 0.125f, w.a.out = out, w.a.ldo = d, w.scratch = floats(bbw_attention_f32_scratch(n, n, d, d));
  measure(name, run_attention, &w, 4.0 * (double)(n * n) * (double)d);
  free(q), free(k), free(v), free(out), free(w.scratch);
}

typedef struct bytes_work {
  bbw_gemm_i8 g;
  int16_t *scratch;
} bytes_work;

static void run_bytes(void *context) {
  bytes_work *w = context;
  bbw_gemm_i8_simd128(&w->g, w->scratch);
  bench_keep((float)w->g.c[0]);
}

/* Bytes by bytes, the weights packed before; the share is of the peak of floats, so it may pass 1. */
static void bytes(const char *name, size_t m, size_t n, size_t k) {
  uint8_t *a = malloc(m * k), *b = malloc(n * k);
  int16_t *packed = malloc(bbw_gemm_i8_pack_b_size(n, k) * sizeof(int16_t));
  int32_t *c = malloc(m * n * sizeof(int32_t));
  if (a == NULL || b == NULL || packed == NULL || c == NULL) { exit(1); }
  for (size_t i = 0; i < m * k; i++) { a[i] = (uint8_t)(i * 7); }
  for (size_t i = 0; i < n * k; i++) { b[i] = (uint8_t)(i * 13); }
  const uint8_t zero = 128;
  bbw_gemm_i8_operand left = {.x = a, .stride = k, .zero = &zero}, right = {.x = b, .stride = n, .is_signed = true};
  bbw_gemm_i8_pack_b(packed, &right, n, k);
  bytes_work w = {.g = {.m = m, .n = n, .k = k, .a = &left, .b_packed = packed, .c = c, .ldc = n}};
  w.scratch = malloc(bbw_gemm_i8_scratch(&w.g) * sizeof(int16_t));
  if (w.scratch == NULL) { exit(1); }
  measure(name, run_bytes, &w, 2.0 * (double)(m * n) * (double)k);
  free(a), free(b), free(packed), free(c), free(w.scratch);
}

int main(void) {
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) { conv(&CASES[i]); }
  attention("attention.128x32", 128, 32);
  attention("attention.512x64", 512, 64);
  bytes("gemm_i8.128", 128, 128, 128);
  bytes("gemm_i8.512", 512, 512, 512);
  return 0;
}
