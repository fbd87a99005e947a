/*
 * bench_gemm: how fast is the matrix product, beside what the registers can do?
 *
 * One JSON line per figure: gemm.CASE.gflops.TARGET, and gemm.CASE.share_of_peak.TARGET, where the peak is the multiply-and-add rate of twelve
 * independent sums without any memory.  Both sides are measured in turn and the share is the median of the pairs, so that a neighbour on the
 * machine slows both or neither.  Runs natively and, as a WASI command, in WebAssembly.
 */
#include "bench_peak.h"

#include "kernels/gemm.h"

typedef struct gemm_case {
  const char *name;
  size_t m, n, k;
  bool is_packed; /* b, before the clock starts */
  bool is_b_transposed;
} gemm_case;

static const gemm_case CASES[] = {
    {"32", 32, 32, 32, false, false},
    {"64", 64, 64, 64, false, false},
    {"128", 128, 128, 128, false, false},
    {"256", 256, 256, 256, false, false},
    {"512", 512, 512, 512, false, false},
    {"1024", 1024, 1024, 1024, false, false},
    {"packed.32", 32, 32, 32, true, false},
    {"packed.64", 64, 64, 64, true, false},
    {"packed.512", 512, 512, 512, true, false},
    {"gemv.256", 1, 256, 256, false, false},
    {"gemv.1024", 1, 1024, 1024, false, false},
    {"gemv.packed.256", 1, 256, 256, true, false},
    {"gemv.packed.1024", 1, 1024, 1024, true, false},
    {"gemv.transposed.256", 1, 256, 256, false, true},
    {"gemv.column.256", 256, 1, 256, false, false},
    {"rows2.packed.512", 2, 512, 512, true, false},
    {"rows4.packed.512", 4, 512, 512, true, false},
    {"rows8.packed.512", 8, 512, 512, true, false},
    {"encoder.128x1536x384", 128, 1536, 384, true, false},
};

static void run_case(const gemm_case *row, double *gflops, double *share) {
  size_t m = row->m, n = row->n, k = row->k;
  bbw_gemm g = {.m = m, .n = n, .k = k, .lda = k, .ldb = n, .ldc = n, .alpha = 1.0f};
  g.is_b_packed = row->is_packed, g.is_b_transposed = row->is_b_transposed;
  size_t scratch_count = bbw_gemm_f32_run_scratch(&g), packed_count = bbw_gemm_f32_pack_b_size(n, k);
  float *memory = calloc(m * k + k * n + m * n + packed_count + scratch_count, sizeof(float));
  if (memory == NULL) { exit(1); }
  float *a = memory, *b = a + m * k, *packed = b + k * n, *scratch = packed + packed_count;
  for (size_t i = 0; i < m * k; i++) { a[i] = (float)(i % 17) * 0.1f - 0.8f; }
  for (size_t i = 0; i < k * n; i++) { b[i] = (float)(i % 13) * 0.1f - 0.6f; }
  g.a = a, g.b = b, g.c = scratch + scratch_count;
  if (row->is_packed) {
    bbw_gemm_f32_pack_b(packed, b, n, false, n, k);
    g.b = packed;
  }
  if (row->is_b_transposed) { g.ldb = k; }
  double flops = 2.0 * (double)m * (double)n * (double)k;
  size_t repeats = (size_t)(5e7 / flops) + 1;
  double rates[RUNS], shares[RUNS];
  bbw_gemm_f32_run_simd128(&g, scratch);
  for (int run = 0; run < RUNS; run++) {
    double peak = peak_gflops(200);
    double start = bench_seconds();
    for (size_t r = 0; r < repeats; r++) { bbw_gemm_f32_run_simd128(&g, scratch); }
    rates[run] = flops * (double)repeats / (bench_seconds() - start) / 1e9;
    bench_keep(g.c[n - 1]);
    shares[run] = rates[run] / ((peak + peak_gflops(200)) / 2.0);
  }
  *gflops = median(rates);
  *share = median(shares);
  free(memory);
}

int main(void) {
  double peaks[RUNS];
  for (int run = 0; run < RUNS; run++) { peaks[run] = peak_gflops(500); }
  double peak = median(peaks);
  bench_report("gemm.peak.gflops", peak, "GFLOP/s");
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    double gflops, share;
    char name[64];
    run_case(&CASES[i], &gflops, &share);
    snprintf(name, sizeof name, "gemm.%s.gflops", CASES[i].name);
    bench_report_against(name, gflops, "GFLOP/s", "gemm.peak.gflops", gflops / peak);
    snprintf(name, sizeof name, "gemm.%s.share_of_peak", CASES[i].name);
    bench_report(name, share, "ratio");
  }
  return 0;
}
