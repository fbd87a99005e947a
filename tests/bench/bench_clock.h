/*
 * bench_clock: seconds that only go forward, seconds of work, a sink that keeps a result alive, and the form of a figure.
 */
#ifndef BBW_BENCH_CLOCK_H
#define BBW_BENCH_CLOCK_H

#include <stdio.h>
#include <time.h>

#ifdef __wasm__
#define BENCH_TARGET "wasm"
#else
#define BENCH_TARGET "native"
#endif

static inline double bench_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Seconds that this process has worked: what others do on the machine counts less. */
static inline double bench_cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* One line for results.jsonl; the target becomes the last part of the name. */
static inline void bench_report(const char *name, double value, const char *unit) {
  printf("{\"name\":\"%s.%s\",\"value\":%.4g,\"unit\":\"%s\"}\n", name, BENCH_TARGET, value, unit);
}

/* The same beside another figure of this target: how many times that one. */
static inline void bench_report_against(const char *name, double value, const char *unit, const char *against,
                                        double ratio) {
  printf("{\"name\":\"%s.%s\",\"value\":%.4g,\"unit\":\"%s\",\"against\":\"%s.%s\",\"ratio\":%.4g}\n", name,
         BENCH_TARGET, value, unit, against, BENCH_TARGET, ratio);
}

/* The compiler must assume that the number is used. */
static inline void bench_keep(float x) {
  volatile float sink = x;
  (void)sink;
}

#endif
