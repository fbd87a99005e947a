#include "kernels/gemm_i8.h"

#include "kernels/i16x8.h"

/*
 * Packed a: tiles of TILE_M rows as [k / 2][TILE_M][2]; packed b: panels as [k / 2][PANEL][2].  An odd k is filled up with a zero, missing rows and
 * columns with zeros.
 */
#define TILE_M 4u
#define PANEL  BBW_GEMM_I8_PANEL
/* Rows of a that are packed at once, and pairs of k that stay in the first-level cache. */
#define BLOCK_M 48u
#define BLOCK_K 512u

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t pairs_of(size_t k) { return k / 2 + k % 2; }

static size_t packed_size(size_t lanes, size_t width, size_t k) {
  size_t padded = (lanes + width - 1) / width * width, pairs = pairs_of(k);
  if (padded < lanes || (pairs > 0 && padded > SIZE_MAX / 8 / pairs)) { return SIZE_MAX; }
  return padded * pairs * 2;
}

size_t bbw_gemm_i8_pack_a_size(size_t m, size_t k) { return packed_size(m, TILE_M, k); }
size_t bbw_gemm_i8_pack_b_size(size_t n, size_t k) { return packed_size(n, PANEL, k); }

static int16_t number(const bbw_gemm_i8_operand *o, uint8_t byte) { return o->is_signed ? (int8_t)byte : byte; }

/* Lanes lane .. lane+count of an operand; lanes are rows of a or columns of b. */
static void pack_lanes(int16_t *dst, const bbw_gemm_i8_operand *o, bool is_lane_major, size_t lane, size_t count,
                       size_t k, size_t width) {
  for (size_t i = 0; i < width; i++) {
    int16_t *to = dst + 2 * i;
    if (i >= count) {
      for (size_t p = 0; p < 2 * pairs_of(k); p++) { to[p / 2 * width * 2 + p % 2] = 0; }
      continue;
    }
    int16_t zero = o->zero == NULL ? 0 : number(o, o->zero[o->has_zeros ? lane + i : 0]);
    const uint8_t *from = o->x + (lane + i) * (is_lane_major ? o->stride : 1);
    size_t step = is_lane_major ? 1 : o->stride;
    for (size_t p = 0; p < k; p++) { to[p / 2 * width * 2 + p % 2] = (int16_t)(number(o, from[p * step]) - zero); }
    if (k % 2 != 0) { to[k / 2 * width * 2 + 1] = 0; }
  }
}

static void pack(int16_t *dst, const bbw_gemm_i8_operand *o, bool is_lane_major, size_t lane, size_t lanes, size_t k,
                 size_t width) {
  for (size_t i = 0; i < lanes; i += width, dst += width * pairs_of(k) * 2) {
    pack_lanes(dst, o, is_lane_major, lane + i, min_size(lanes - i, width), k, width);
  }
}

void bbw_gemm_i8_pack_a(int16_t *dst, const bbw_gemm_i8_operand *a, size_t m, size_t k) {
  pack(dst, a, !a->is_transposed, 0, m, k, TILE_M);
}
void bbw_gemm_i8_pack_b(int16_t *dst, const bbw_gemm_i8_operand *b, size_t n, size_t k) {
  pack(dst, b, b->is_transposed, 0, n, k, PANEL);
}

size_t bbw_gemm_i8_scratch(const bbw_gemm_i8 *g) {
  size_t a = g->a_packed != NULL ? 0 : packed_size(min_size(g->m, BLOCK_M), TILE_M, g->k);
  size_t b = g->b_panel == NULL ? 0 : packed_size(PANEL, PANEL, g->k);
  return a == SIZE_MAX || b == SIZE_MAX ? SIZE_MAX : a + b;
}

/* Sums of a tile over some pairs of k; c[TILE_M][PANEL] is written, or added to. */
typedef void tile_fn(const int16_t *a, const int16_t *b, size_t pairs, int32_t *c, size_t stride, bool is_adding);

static void tile_scalar(const int16_t *a, const int16_t *b, size_t pairs, int32_t *c, size_t stride, bool is_adding) {
  for (size_t i = 0; i < TILE_M; i++) {
    for (size_t j = 0; j < PANEL; j++) {
      uint32_t sum = is_adding ? (uint32_t)c[i * stride + j] : 0;
      for (size_t p = 0; p < 2 * pairs; p++) {
        int32_t x = a[(p / 2 * TILE_M + i) * 2 + p % 2], y = b[(p / 2 * PANEL + j) * 2 + p % 2];
        sum += (uint32_t)(x * y);
      }
      c[i * stride + j] = (int32_t)sum;
    }
  }
}

static __attribute__((noinline)) void tile_simd128(const int16_t *a, const int16_t *b, size_t pairs, int32_t *c,
                                                   size_t stride, bool is_adding) {
  bbw_u32x4 zero = bbw_u32x4_splat(0);
  bbw_u32x4 low0 = zero, high0 = zero, low1 = zero, high1 = zero, low2 = zero, high2 = zero, low3 = zero, high3 = zero;
  for (const int16_t *end = a + pairs * TILE_M * 2; a != end; a += TILE_M * 2, b += PANEL * 2) {
    bbw_i16x8 b0 = bbw_i16x8_load(b), b1 = bbw_i16x8_load(b + 8);
    bbw_i16x8 a0 = bbw_i16x8_load_pair(a);
    low0 = bbw_i16x8_dot(low0, a0, b0);
    high0 = bbw_i16x8_dot(high0, a0, b1);
    bbw_i16x8 a1 = bbw_i16x8_load_pair(a + 2);
    low1 = bbw_i16x8_dot(low1, a1, b0);
    high1 = bbw_i16x8_dot(high1, a1, b1);
    bbw_i16x8 a2 = bbw_i16x8_load_pair(a + 4);
    low2 = bbw_i16x8_dot(low2, a2, b0);
    high2 = bbw_i16x8_dot(high2, a2, b1);
    bbw_i16x8 a3 = bbw_i16x8_load_pair(a + 6);
    low3 = bbw_i16x8_dot(low3, a3, b0);
    high3 = bbw_i16x8_dot(high3, a3, b1);
  }
  bbw_u32x4 rows[TILE_M][2] = {{low0, high0}, {low1, high1}, {low2, high2}, {low3, high3}};
  for (size_t i = 0; i < TILE_M; i++) {
    for (size_t h = 0; h < 2; h++) {
      int32_t *at = c + i * stride + 4 * h;
      bbw_u32x4 sum = rows[i][h];
      if (is_adding) {
        bbw_u32x4 before;
        memcpy(&before, at, sizeof before);
        sum = sum + before;
      }
      memcpy(at, &sum, sizeof sum);
    }
  }
}

/* A tile over the edge of c goes through a full one beside it. */
static void tile_any(tile_fn *tile, const int16_t *a, const int16_t *b, size_t pairs, int32_t *c, size_t stride,
                     size_t rows, size_t columns, bool is_adding) {
  if (rows == TILE_M && columns == PANEL) {
    tile(a, b, pairs, c, stride, is_adding);
    return;
  }
  int32_t whole[TILE_M * PANEL] = {0};
  tile(a, b, pairs, whole, PANEL, false);
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) {
      uint32_t sum = (uint32_t)whole[i * PANEL + j] + (is_adding ? (uint32_t)c[i * stride + j] : 0u);
      c[i * stride + j] = (int32_t)sum;
    }
  }
}

/* Packed rows of a against one packed panel of b. */
static void multiply_panel(tile_fn *tile, const int16_t *a, const int16_t *b, size_t pairs, int32_t *c, size_t stride,
                           size_t rows, size_t columns) {
  size_t start = 0;
  do {
    size_t depth = min_size(pairs - start, BLOCK_K);
    for (size_t i = 0; i < rows; i += TILE_M) {
      tile_any(tile, a + (i * pairs + start * TILE_M) * 2, b + start * PANEL * 2, depth, c + i * stride, stride,
               min_size(rows - i, TILE_M), columns, start > 0);
    }
    start += depth;
  } while (start < pairs);
}

static void run(const bbw_gemm_i8 *g, int16_t *scratch, tile_fn *tile) {
  size_t pairs = pairs_of(g->k);
  if (g->b_panel != NULL) {
    for (size_t j = 0; j < g->n; j += PANEL) {
      size_t columns = min_size(g->n - j, PANEL);
      g->b_panel(g->b_context, scratch, j, columns);
      multiply_panel(tile, g->a_packed, scratch, pairs, g->c + j, g->ldc, g->m, columns);
    }
    return;
  }
  for (size_t i = 0; i < g->m; i += BLOCK_M) {
    size_t rows = min_size(g->m - i, BLOCK_M);
    const int16_t *a = g->a_packed == NULL ? scratch : g->a_packed + i * pairs * 2;
    if (g->a_packed == NULL) { pack(scratch, g->a, !g->a->is_transposed, i, rows, g->k, TILE_M); }
    for (size_t j = 0; j < g->n; j += PANEL) {
      multiply_panel(tile, a, g->b_packed + j * pairs * 2, pairs, g->c + i * g->ldc + j, g->ldc, rows,
                     min_size(g->n - j, PANEL));
    }
  }
}

void bbw_gemm_i8_scalar(const bbw_gemm_i8 *g, int16_t *scratch) { run(g, scratch, tile_scalar); }
void bbw_gemm_i8_simd128(const bbw_gemm_i8 *g, int16_t *scratch) { run(g, scratch, tile_simd128); }
