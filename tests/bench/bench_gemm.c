/*
 * bench_gemm: how fast is the matrix product, beside what the registers can do?
 *
 * Prints one JSON line per figure: gemm.N.gflops.TARGET for N = 64, 256, 512, gemm.peak.gflops.TARGET, the multiply-and-add rate of
 * eight independent sums without any memory, and gemm.N.share_of_peak.TARGET.  Each figure is the best of several runs, so that
 * a neighbour on the machine does not count.  Runs natively and, as a WASI command, in WebAssembly.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench_clock.h"
#include "kernels/f32x4.h"
#include "kernels/gemm.h"

#define RUNS 20

static void report(const char *name, double value, const char *unit) {
  printf("{\"name\":\"%s.%s\",\"value\":%.4g,\"unit\":\"%s\"}\n", name, BENCH_TARGET, value, unit);
}

/*
 * 2 * 8 * 4 floating-point operations per step, all in registers, as the tile of the product has them: eight sums, each with a
 * product of its own.  The two additions that move x and y keep the products from leaving the loop and are not counted.
 */
static __attribute__((noinline)) bbw_f32x4 peak_loop(size_t steps, bbw_f32x4 x, bbw_f32x4 y) {
  bbw_f32x4 s0 = x, s1 = x, s2 = x, s3 = x, s4 = x, s5 = x, s6 = x, s7 = x;
  bbw_f32x4 b0 = y, b1 = y + y, b2 = b1 + y, b3 = b2 + y;
  for (size_t i = 0; i < steps; i++) {
    s0 = s0 + x * b0;
    s1 = s1 + x * b1;
    s2 = s2 + x * b2;
    s3 = s3 + x * b3;
    s4 = s4 + y * b0;
    s5 = s5 + y * b1;
    s6 = s6 + y * b2;
    s7 = s7 + y * b3;
    x = x + b0;
    y = y + b1;
  }
  return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
}

static double peak_gflops(void) {
  size_t steps = 400000;
  double best = 0.0;
  volatile float seed = 1e-3f; /* unknown to the compiler, so that no run can stand for another */
  for (int run = 0; run < RUNS; run++) {
    double start = bench_seconds();
    bbw_f32x4 sum = peak_loop(steps, bbw_f32x4_splat(seed), bbw_f32x4_splat(seed * 0.1f));
    bench_keep(sum[0] + sum[1] + sum[2] + sum[3]); /* before the clock, or the loop may be moved behind it */
    double took = bench_seconds() - start;
    double rate = (double)steps * 64.0 / took / 1e9;
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
  report("gemm.peak.gflops", peak, "GFLOP/s");
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
    report(rows[i].gflops, rate, "GFLOP/s");
    report(rows[i].share, rate / peak, "ratio");
  }
  return 0;
}
