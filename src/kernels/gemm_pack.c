#include <assert.h>

#include "kernels/gemm_private.h"

/* Four steps of four lanes, each contiguous in memory, become rows of `width` floats. */
static void turn_block(float *dst, const float *src, size_t stride, size_t width) {
  bbw_f32x4 r0 = bbw_f32x4_load(src);
  bbw_f32x4 r1 = bbw_f32x4_load(src + stride);
  bbw_f32x4 r2 = bbw_f32x4_load(src + 2 * stride);
  bbw_f32x4 r3 = bbw_f32x4_load(src + 3 * stride);
  bbw_f32x4_transpose(&r0, &r1, &r2, &r3);
  bbw_f32x4_store(dst, r0);
  bbw_f32x4_store(dst + width, r1);
  bbw_f32x4_store(dst + 2 * width, r2);
  bbw_f32x4_store(dst + 3 * width, r3);
}

/* Lanes in fours.  All of them in one walk over k: what is read from afar is read from many places at once. */
static void turn_fours(float *dst, const float *src, size_t stride, size_t lanes, size_t depth, size_t width) {
  size_t p = 0;
  for (; p + 4 <= depth; p += 4, src += 4, dst += 4 * width) {
    for (size_t at = 0; at < lanes; at += 4) { turn_block(dst + at, src + at * stride, stride, width); }
  }
  for (; p < depth; p++, src++, dst += width) {
    for (size_t at = 0; at < lanes; at++) { dst[at] = src[at * stride]; }
  }
}

/* One lane, or zeros for one that is missing. */
static void turn_one(float *dst, const float *src, size_t depth, size_t width) {
  for (size_t p = 0; p < depth; p++) { dst[p * width] = src == NULL ? 0.0f : src[p]; }
}

void bbw_gemm_pack_lanes(float *dst, bbw_gemm_operand from, size_t lane, size_t count, size_t p, size_t depth,
                         size_t width) {
  if (from.is_lane_major) {
    const float *src = from.x + lane * from.stride + p;
    size_t at = count / 4 * 4;
    turn_fours(dst, src, from.stride, at, depth, width);
    for (; at < width; at++) { turn_one(dst + at, at < count ? src + at * from.stride : NULL, depth, width); }
    return;
  }
  const float *src = from.x + p * from.stride + lane;
  if (count == PANEL && width == PANEL) {
    for (size_t i = 0; i < depth; i++, src += from.stride, dst += PANEL) {
      bbw_f32x4 x0 = bbw_f32x4_load(src), x1 = bbw_f32x4_load(src + 4);
      bbw_f32x4_store(dst, x0);
      bbw_f32x4_store(dst + 4, x1);
    }
    return;
  }
  for (size_t i = 0; i < depth; i++, src += from.stride, dst += width) {
    size_t at = 0;
    for (; at + 4 <= count; at += 4) { bbw_f32x4_store(dst + at, bbw_f32x4_load(src + at)); }
    for (; at < width; at++) { dst[at] = at < count ? src[at] : 0.0f; }
  }
}

/* Lanes that lie side by side are taken from whole cache lines, four tiles at once: rows of k are often a multiple of 512 bytes apart and drive each other out. */
void bbw_gemm_pack_tiles(float *dst, bbw_gemm_operand from, size_t lane, size_t count, size_t p, size_t depth) {
  size_t i = 0, tile = TILE_M * depth;
  for (; !from.is_lane_major && i + 4 * TILE_M <= count; i += 4 * TILE_M, dst += 3 * tile) {
    const float *src = from.x + p * from.stride + lane + i;
    for (size_t q = 0; q < depth; q++, src += from.stride, dst += TILE_M) {
      for (size_t t = 0; t < 4; t++) { bbw_f32x4_store(dst + t * tile, bbw_f32x4_load(src + t * TILE_M)); }
    }
  }
  for (; i < count; i += TILE_M, dst += tile) {
    bbw_gemm_pack_lanes(dst, from, lane + i, bbw_min_size(count - i, TILE_M), p, depth, TILE_M);
  }
}

static size_t packed_size(size_t lanes, size_t width, size_t k) {
  size_t padded = bbw_round_up(lanes, width);
  if (padded < lanes || (k > 0 && padded > SIZE_MAX / sizeof(float) / k)) { return SIZE_MAX; }
  return padded * k;
}

size_t bbw_gemm_f32_pack_a_size(size_t m, size_t k) { return packed_size(m, TILE_M, k); }
size_t bbw_gemm_f32_pack_b_size(size_t n, size_t k) { return packed_size(n, PANEL, k); }

static void pack(float *dst, bbw_gemm_operand from, size_t lanes, size_t k, size_t width) {
  for (size_t p = 0; p < k; p += BBW_GEMM_KC) {
    size_t depth = bbw_min_size(k - p, BBW_GEMM_KC);
    for (size_t lane = 0; lane < lanes; lane += width, dst += width * depth) {
      bbw_gemm_pack_lanes(dst, from, lane, bbw_min_size(lanes - lane, width), p, depth, width);
    }
  }
}

void bbw_gemm_f32_pack_a(float *dst, const float *a, size_t lda, bool is_transposed, size_t m, size_t k) {
  pack(dst, (bbw_gemm_operand){.x = a, .stride = lda, .is_lane_major = !is_transposed}, m, k, TILE_M);
}

void bbw_gemm_f32_pack_b(float *dst, const float *b, size_t ldb, bool is_transposed, size_t n, size_t k) {
  pack(dst, (bbw_gemm_operand){.x = b, .stride = ldb, .is_lane_major = is_transposed}, n, k, PANEL);
}
