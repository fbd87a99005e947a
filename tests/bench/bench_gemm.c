/*
 * bench_gemm: how fast is the matrix product, beside what the registers can do?
 *
 * Prints one JSON line per figure: gemm.N.gflops.TARGET for N = 64, 256, 512, gemm.peak.gflops.TARGET, the multiply-and-add rate of
 * eight independent sums without any memory, and gemm.N.share_of_peak.TARGET.  Each figure is the best of several runs, so that
 * a neighbour on the machine does not count.  Runs natively and, as a WASI command, in WebAssembly.
 */
#include "bench_clock.h"

#include <stdlib.h>

#include "kernels/f32x4.h"
#include "kernels/gemm.h"

#define RUNS 20

/*
 * 2 * 12 * 4 floating-point operations per step, all in registers: twelve sums that do not wait for each other, each multiplied and
 * added to, which is enough to hide the latency of both and leaves two registers for the factor and the summand.
 */
#define PEAK_FLOPS_PER_STEP 96.0
static __attribute__((noinline)) bbw_f32x4 peak_loop(size_t steps, bbw_f32x4 x, bbw_f32x4 y) {
  bbw_f32x4 s0 = x, s1 = y, s2 = x + y, s3 = x - y, s4 = s2 + x, s5 = s2 + y;
  bbw_f32x4 s6 = s4 + x, s7 = s5 + y, s8 = s6 + x, s9 = s7 + y, s10 = s8 + x, s11 = s9 + y;
  for (size_t i = 0; i < steps; i++) {
    s0 = s0 * x + y;
    s1 = s1 * x + y;
    s2 = s2 * x + y;
    s3 = s3 * x + y;
    s4 = s4 * x + y;
    s5 = s5 * x + y;
    s6 = s6 * x + y;
    s7 = s7 * x + y;
    s8 = s8 * x + y;
    s9 = s9 * x + y;
    s10 = s10 * x + y;
    s11 = s11 * x + y;
  }
  return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;
}

/*
 * Many calls: engines replace a slow first version of a function only between calls.  And two places that call it: what is called
 * from one place only is inlined by the wasm optimizer, whatever the attribute says, and then stays slow as a part of main.
 */
static double peak_gflops(void) {
  size_t steps = 2000, calls = 1000;
  double best = 0.0;
  volatile float seed = 0.99f; /* unknown to the compiler, so that no call can stand for another */
  bench_keep(peak_loop(steps, bbw_f32x4_splat(seed), bbw_f32x4_splat(seed))[0]);
  for (int run = 0; run < RUNS; run++) {
    double start = bench_seconds();
    for (size_t call = 0; call < calls; call++) {
      bbw_f32x4 sum = peak_loop(steps, bbw_f32x4_splat(seed), bbw_f32x4_splat(seed * 0.1f));
      bench_keep(sum[0] + sum[1] + sum[2] + sum[3]); /* before the clock, or the loop may be moved behind it */
    }
    double took = bench_seconds() - start;
    double rate = (double)(steps * calls) * PEAK_FLOPS_PER_STEP / took / 1e9;
    if (rate > best) { best = rate; }
  }
  return best;
}

static double gemm_gflops(size_t n) {
  float *memory = malloc((3 * n * n + bbw_gemm_f32_scratch(n, n, n)) * sizeof(float));
  if (memory == NULL) { return 0.0; }
  float *a = memory, *b = a + n * n, *c = b + n * n, *scratch = c + n * n;
  for (size_t i = 0; i < n * n; i++) {
    a[i] = (float)(i % 17) * 0.1f - 0.8f;
    b[i] = (float)(i % 13) * 0.1f - 0.6f;
  }
  double flops = 2.0 * (double)n * (double)n * (double)n;
  size_t repeats = (size_t)(2e8 / flops) + 1;
  double best = 0.0;
  for (int run = 0; run < RUNS; run++) {
    double start = bench_seconds();
    for (size_t r = 0; r < repeats; r++) { bbw_gemm_f32_simd128(a, b, c, n, n, n, &BBW_GEMM_PLAIN, scratch); }
    double took = bench_seconds() - start;
    bench_keep(c[n]);
    double rate = flops * (double)repeats / took / 1e9;
    if (rate > best) { best = rate; }
  }
  free(memory);
  return best;
}

int main(void) {
  double peak = peak_gflops();
  bench_report("gemm.peak.gflops", peak, "GFLOP/s");
  static const struct {
    size_t n;
    const char *gflops, *share;
  } rows[] = {
      {64, "gemm.64.gflops", "gemm.64.share_of_peak"},
      {256, "gemm.256.gflops", "gemm.256.share_of_peak"},
      {512, "gemm.512.gflops", "gemm.512.share_of_peak"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    double rate = gemm_gflops(rows[i].n);
    bench_report_against(rows[i].gflops, rate, "GFLOP/s", "gemm.peak.gflops", rate / peak);
    bench_report(rows[i].share, rate / peak, "ratio");
  }
  return 0;
}
