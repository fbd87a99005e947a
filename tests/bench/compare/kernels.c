/*
 * kernels: what the comparison calls from JavaScript, as a module without a main: memory, products, and the peak of the registers.
 *
 * Benchmark code: arguments are believed.  Each call repeats its work, so that the way from JavaScript is counted as often as the caller wants.
 */
#include <stdint.h>
#include <stdlib.h>

#include "kernels/f32x4.h"
#include "kernels/gemm.h"

__attribute__((export_name("compare_alloc"))) void *compare_alloc(size_t floats);
__attribute__((export_name("compare_free"))) void compare_free(void *memory);
__attribute__((export_name("compare_peak"))) float compare_peak(size_t steps, float seed);
__attribute__((export_name("compare_gemm_scratch"))) size_t compare_gemm_scratch(size_t m, size_t n, size_t k);
__attribute__((export_name("compare_pack_size"))) size_t compare_pack_size(size_t n, size_t k);
__attribute__((export_name("compare_pack"))) void compare_pack(float *packed, const float *b, size_t n, size_t k);
__attribute__((export_name("compare_gemm"))) void compare_gemm(const float *a, const float *b, float *c, size_t m,
                                                               size_t n, size_t k, int is_packed, float *scratch,
                                                               size_t repeats);

void compare_free(void *memory) { free(memory); }

void *compare_alloc(size_t floats) {
  float *memory = aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64);
  for (size_t i = 0; memory != NULL && i < floats; i++) { memory[i] = 0.0f; }
  return memory;
}

/* 96 floating-point operations per step: twelve sums that do not wait for each other, each multiplied and added to. */
float compare_peak(size_t steps, float seed) {
  bbw_f32x4 x = bbw_f32x4_splat(seed), y = bbw_f32x4_splat(seed * 0.1f);
  bbw_f32x4 s0 = x, s1 = y, s2 = x + y, s3 = x - y, s4 = s2 + x, s5 = s2 + y;
  bbw_f32x4 s6 = s4 + x, s7 = s5 + y, s8 = s6 + x, s9 = s7 + y, s10 = s8 + x, s11 = s9 + y;
  for (size_t i = 0; i < steps; i++) {
    s0 = bbw_f32x4_madd(y, s0, x);
    s1 = bbw_f32x4_madd(y, s1, x);
    s2 = bbw_f32x4_madd(y, s2, x);
    s3 = bbw_f32x4_madd(y, s3, x);
    s4 = bbw_f32x4_madd(y, s4, x);
    s5 = bbw_f32x4_madd(y, s5, x);
    s6 = bbw_f32x4_madd(y, s6, x);
    s7 = bbw_f32x4_madd(y, s7, x);
    s8 = bbw_f32x4_madd(y, s8, x);
    s9 = bbw_f32x4_madd(y, s9, x);
    s10 = bbw_f32x4_madd(y, s10, x);
    s11 = bbw_f32x4_madd(y, s11, x);
  }
  bbw_f32x4 sum = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;
  return sum[0] + sum[1] + sum[2] + sum[3];
}

size_t compare_gemm_scratch(size_t m, size_t n, size_t k) {
  bbw_gemm packed = {.m = m, .n = n, .k = k, .is_b_packed = true};
  return bbw_gemm_f32_scratch(m, n, k) + bbw_gemm_f32_run_scratch(&packed);
}
size_t compare_pack_size(size_t n, size_t k) { return bbw_gemm_f32_pack_b_size(n, k); }
void compare_pack(float *packed, const float *b, size_t n, size_t k) { bbw_gemm_f32_pack_b(packed, b, n, false, n, k); }
void compare_gemm(const float *a, const float *b, float *c, size_t m, size_t n, size_t k, int is_packed, float *scratch,
                  size_t repeats) {
  bbw_gemm g = {.m = m, .n = n, .k = k, .a = a, .lda = k, .b = b, .ldb = n, .c = c, .ldc = n, .alpha = 1.0f};
  g.is_b_packed = is_packed == 1;
  if (is_packed == 2) { g.is_b_transposed = true, g.ldb = k; }
  for (size_t i = 0; i < repeats; i++) { bbw_gemm_f32_run_simd128(&g, scratch); }
}
