/*
 * bench_peak: the multiply-and-add rate of the registers, which no kernel can beat, and medians.
 */
#ifndef BBW_BENCH_PEAK_H
#define BBW_BENCH_PEAK_H

#include "bench_clock.h"

#include <stdlib.h>

#include "kernels/f32x4.h"

/* Odd, so that the median is one of them. */
#define RUNS 21

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
static double peak_gflops(size_t calls) {
  size_t steps = 2000;
  volatile float seed = 0.99f; /* unknown to the compiler, so that no call can stand for another */
  bench_keep(peak_loop(1, bbw_f32x4_splat(seed), bbw_f32x4_splat(seed))[0]);
  double start = bench_seconds();
  for (size_t call = 0; call < calls; call++) {
    bbw_f32x4 sum = peak_loop(steps, bbw_f32x4_splat(seed), bbw_f32x4_splat(seed * 0.1f));
    bench_keep(sum[0] + sum[1] + sum[2] + sum[3]); /* before the clock, or the loop may be moved behind it */
  }
  return (double)(steps * calls) * PEAK_FLOPS_PER_STEP / (bench_seconds() - start) / 1e9;
}

static int compare(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return (a > b) - (a < b);
}

static double median(double *x) {
  qsort(x, RUNS, sizeof *x, compare);
  return x[RUNS / 2];
}

#endif
