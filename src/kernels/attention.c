#include "kernels/attention.h"

#include <stdbool.h>

#include "base/mem.h"
#include "kernels/f32x4.h"
#include "kernels/gemm.h"
#include "kernels/softmax.h"

/* Queries whose scores exist at once: whole tiles, enough to pay for packing keys and values. */
#define BLOCK 48u

/* The two products: scores of a block from packed keys, results from packed values. */
static bbw_gemm scores_of(size_t rows, size_t n, size_t d) {
  return (bbw_gemm){.m = rows, .n = n, .k = d, .is_b_packed = true, .ldc = n, .alpha = 1.0f};
}
static bbw_gemm results_of(size_t rows, size_t n, size_t dv) {
  return (bbw_gemm){.m = rows, .n = dv, .k = n, .lda = n, .is_b_packed = true, .alpha = 1.0f};
}

size_t bbw_attention_f32_scratch(size_t m, size_t n, size_t d, size_t dv) {
  size_t rows = m < BLOCK ? m : BLOCK, scores;
  size_t keys = bbw_gemm_f32_pack_b_size(n, d), values = bbw_gemm_f32_pack_b_size(dv, n);
  bbw_gemm first = scores_of(rows, n, d), second = results_of(rows, n, dv);
  size_t one = bbw_gemm_f32_run_scratch(&first), two = bbw_gemm_f32_run_scratch(&second);
  if (!bbw_size_mul(rows, n, &scores)) { return SIZE_MAX; }
  size_t limit = SIZE_MAX / 4 / sizeof(float);
  if (keys > limit || values > limit || scores > limit) { return SIZE_MAX; }
  return keys + values + scores + (one > two ? one : two);
}

static void scale_and_mask(float *x, float scale, const float *mask, size_t n, bool is_simd) {
  size_t i = 0;
  for (; is_simd && i + 4 <= n; i += 4) {
    bbw_f32x4 y = bbw_f32x4_splat(scale) * bbw_f32x4_load(x + i);
    bbw_f32x4_store(x + i, mask == NULL ? y : y + bbw_f32x4_load(mask + i));
  }
  for (; i < n; i++) {
    float y = scale * x[i];
    x[i] = mask == NULL ? y : y + mask[i];
  }
}

static void attention(const bbw_attention *a, float *scratch, bool is_simd) {
  size_t block = a->m < BLOCK ? a->m : BLOCK;
  float *keys = scratch, *values = keys + bbw_gemm_f32_pack_b_size(a->n, a->d);
  float *scores = values + bbw_gemm_f32_pack_b_size(a->dv, a->n), *rest = scores + block * a->n;
  bbw_gemm_f32_run_fn *gemm = is_simd ? bbw_gemm_f32_run_simd128 : bbw_gemm_f32_run_scalar;
  bbw_softmax_f32_fn *softmax = is_simd ? bbw_softmax_f32_simd128 : bbw_softmax_f32_scalar;
  bbw_gemm_f32_pack_b(keys, a->k, a->ldk, true, a->n, a->d);
  bbw_gemm_f32_pack_b(values, a->v, a->ldv, false, a->dv, a->n);
  for (size_t i = 0; i < a->m; i += block) {
    size_t rows = a->m - i < block ? a->m - i : block;
    bbw_gemm first = scores_of(rows, a->n, a->d), second = results_of(rows, a->n, a->dv);
    first.a = a->q + i * a->ldq, first.lda = a->ldq, first.b = keys, first.c = scores;
    gemm(&first, rest);
    for (size_t r = 0; r < rows; r++) {
      const float *mask = a->mask == NULL ? NULL : a->mask + (i + r) * a->mask_stride;
      scale_and_mask(scores + r * a->n, a->scale, mask, a->n, is_simd);
    }
    softmax(scores, scores, rows, a->n, 1);
    second.a = scores, second.b = values, second.c = a->out + i * a->ldo, second.ldc = a->ldo;
    gemm(&second, rest);
  }
}

void bbw_attention_f32_scalar(const bbw_attention *a, float *scratch) { attention(a, scratch, false); }
void bbw_attention_f32_simd128(const bbw_attention *a, float *scratch) { attention(a, scratch, true); }
