#include "kernels/gemm.h"

#include <assert.h>

#include "kernels/f32x4.h"

/* One tile of c: 4 rows by 8 columns in eight registers.  Older engines spill with every other shape. */
#define TILE_M 4u
#define TILE_N 8u
/* Rows of a and columns of b that are packed at once: 96 KiB and 512 KiB, for the second-level cache. */
#define BLOCK_M 96u
#define BLOCK_N 512u
static_assert(BLOCK_M % TILE_M == 0, "blocks of a hold whole tiles");
static_assert(BLOCK_N % TILE_N == 0, "blocks of b hold whole tiles");

/* Up to this many rows packing b costs more than it saves. */
#define SKINNY_M 3u

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t round_up(size_t x, size_t to) { return (x + to - 1) / to * to; }

size_t bbw_gemm_f32_scratch(size_t m, size_t n, size_t k) {
  size_t depth = min_size(k, BBW_GEMM_KC);
  size_t rows = round_up(min_size(m, BLOCK_M), TILE_M);
  size_t columns = round_up(min_size(n, BLOCK_N), TILE_N);
  return depth * (rows + columns);
}

static float finish_one(float x, size_t j, const bbw_gemm_options *o) {
  if (o->bias != NULL) { x = x + o->bias[j]; }
  if (o->has_relu) { x = x < 0.0f ? 0.0f : x; }
  return x;
}

void bbw_gemm_f32_scalar(const float *a, const float *b, float *c, size_t m, size_t n, size_t k,
                         const bbw_gemm_options *options, float *scratch) {
  (void)scratch;
  size_t a_row = options->is_a_transposed ? 1 : k;
  size_t a_step = options->is_a_transposed ? m : 1;
  size_t b_column = options->is_b_transposed ? k : 1;
  size_t b_step = options->is_b_transposed ? 1 : n;
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) {
      float total = options->is_accumulating ? c[i * n + j] : 0.0f;
      size_t start = 0;
      do {
        size_t end = start + min_size(k - start, BBW_GEMM_KC);
        float sum = 0.0f;
        for (size_t p = start; p < end; p++) { sum = sum + a[i * a_row + p * a_step] * b[p * b_step + j * b_column]; }
        sum = sum * options->alpha;
        total = start == 0 && !options->is_accumulating ? sum : total + sum;
        start = end;
      } while (start < k);
      c[i * n + j] = finish_one(total, j, options);
    }
  }
}

/* Lanes of src in steps of `stride` floats become rows of `width` in dst: dst[p * width + lane]. */
static void pack_lanes(float *dst, const float *src, size_t stride, size_t lanes, size_t depth, size_t width) {
  size_t p = 0;
  if (lanes == width) {
    for (; p + 4 <= depth; p += 4) {
      for (size_t lane = 0; lane < width; lane += 4) {
        const float *at = src + lane * stride + p;
        bbw_f32x4 r0 = bbw_f32x4_load(at);
        bbw_f32x4 r1 = bbw_f32x4_load(at + stride);
        bbw_f32x4 r2 = bbw_f32x4_load(at + 2 * stride);
        bbw_f32x4 r3 = bbw_f32x4_load(at + 3 * stride);
        bbw_f32x4_transpose(&r0, &r1, &r2, &r3);
        bbw_f32x4_store(dst + p * width + lane, r0);
        bbw_f32x4_store(dst + (p + 1) * width + lane, r1);
        bbw_f32x4_store(dst + (p + 2) * width + lane, r2);
        bbw_f32x4_store(dst + (p + 3) * width + lane, r3);
      }
    }
  }
  for (; p < depth; p++) {
    for (size_t lane = 0; lane < width; lane++) {
      dst[p * width + lane] = lane < lanes ? src[lane * stride + p] : 0.0f;
    }
  }
}

/* Rows of src, `stride` floats apart, are already in the wanted order: copies `lanes` of each and fills up with zeros. */
static void pack_rows(float *dst, const float *src, size_t stride, size_t lanes, size_t depth, size_t width) {
  if (lanes == width) {
    for (size_t p = 0; p < depth; p++) {
      for (size_t lane = 0; lane < width; lane += 4) {
        bbw_f32x4_store(dst + p * width + lane, bbw_f32x4_load(src + p * stride + lane));
      }
    }
    return;
  }
  for (size_t p = 0; p < depth; p++) {
    for (size_t lane = 0; lane < width; lane++) {
      dst[p * width + lane] = lane < lanes ? src[p * stride + lane] : 0.0f;
    }
  }
}

/*
 * c[4,8] = alpha * a . b, or added to c.  a is packed [depth,4], b is packed [depth,8].
 * Not inlined: the eight sums have to keep their registers.
 */
static __attribute__((noinline)) void tile_4x8(const float *a, const float *b, size_t depth, float *c, size_t stride,
                                               float alpha, bool is_adding) {
  bbw_f32x4 c00 = bbw_f32x4_splat(0.0f), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  for (size_t p = 0; p < depth; p++) {
    bbw_f32x4 b0 = bbw_f32x4_load(b);
    bbw_f32x4 b1 = bbw_f32x4_load(b + 4);
    bbw_f32x4 a0 = bbw_f32x4_load_splat(a);
    c00 = c00 + a0 * b0;
    c01 = c01 + a0 * b1;
    bbw_f32x4 a1 = bbw_f32x4_load_splat(a + 1);
    c10 = c10 + a1 * b0;
    c11 = c11 + a1 * b1;
    bbw_f32x4 a2 = bbw_f32x4_load_splat(a + 2);
    c20 = c20 + a2 * b0;
    c21 = c21 + a2 * b1;
    bbw_f32x4 a3 = bbw_f32x4_load_splat(a + 3);
    c30 = c30 + a3 * b0;
    c31 = c31 + a3 * b1;
    a += TILE_M;
    b += TILE_N;
  }
  bbw_f32x4 rows[TILE_M][2] = {{c00, c01}, {c10, c11}, {c20, c21}, {c30, c31}};
  bbw_f32x4 scale = bbw_f32x4_splat(alpha);
  for (size_t i = 0; i < TILE_M; i++) {
    for (size_t h = 0; h < 2; h++) {
      bbw_f32x4 sum = rows[i][h] * scale;
      float *at = c + i * stride + 4 * h;
      bbw_f32x4_store(at, is_adding ? bbw_f32x4_load(at) + sum : sum);
    }
  }
}

/* A tile over the edge of c goes through a full one beside it. */
static void tile_edge(const float *a, const float *b, size_t depth, float *c, size_t stride, size_t rows,
                      size_t columns, float alpha, bool is_adding) {
  float tile[TILE_M * TILE_N];
  tile_4x8(a, b, depth, tile, TILE_N, alpha, false);
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) {
      float sum = tile[i * TILE_N + j];
      c[i * stride + j] = is_adding ? c[i * stride + j] + sum : sum;
    }
  }
}

/* Bias and relu over a block of c whose first column is column j0 of the result. */
static void finish_block(float *c, size_t stride, size_t rows, size_t columns, size_t j0, const bbw_gemm_options *o) {
  if (o->bias == NULL && !o->has_relu) { return; }
  bbw_f32x4 zero = bbw_f32x4_splat(0.0f);
  for (size_t i = 0; i < rows; i++) {
    float *row = c + i * stride;
    size_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      bbw_f32x4 x = bbw_f32x4_load(row + j);
      if (o->bias != NULL) { x = x + bbw_f32x4_load(o->bias + j0 + j); }
      if (o->has_relu) { x = bbw_f32x4_select(x < zero, zero, x); }
      bbw_f32x4_store(row + j, x);
    }
    for (; j < columns; j++) { row[j] = finish_one(row[j], j0 + j, o); }
  }
}

/* A block of c from one packed block of each input. */
static void multiply_block(const float *a, const float *b, size_t depth, float *c, size_t stride, size_t rows,
                           size_t columns, float alpha, bool is_adding) {
  for (size_t j = 0; j < columns; j += TILE_N) {
    size_t tile_columns = min_size(columns - j, TILE_N);
    for (size_t i = 0; i < rows; i += TILE_M) {
      size_t tile_rows = min_size(rows - i, TILE_M);
      const float *a_tile = a + i * depth;
      const float *b_tile = b + j * depth;
      float *c_tile = c + i * stride + j;
      if (tile_rows == TILE_M && tile_columns == TILE_N) {
        tile_4x8(a_tile, b_tile, depth, c_tile, stride, alpha, is_adding);
      } else {
        tile_edge(a_tile, b_tile, depth, c_tile, stride, tile_rows, tile_columns, alpha, is_adding);
      }
    }
  }
}

/* One row of a against `columns` columns of b as stored [k,n]; 16 columns at a time in four registers. */
static void skinny_row(const float *a, size_t a_step, const float *b, float *c, size_t n, size_t depth, float alpha,
                       bool is_adding) {
  bbw_f32x4 scale = bbw_f32x4_splat(alpha);
  size_t j = 0;
  for (; j + 16 <= n; j += 16) {
    bbw_f32x4 s0 = bbw_f32x4_splat(0.0f), s1 = s0, s2 = s0, s3 = s0;
    const float *at = b + j;
    for (size_t p = 0; p < depth; p++, at += n) {
      bbw_f32x4 x = bbw_f32x4_load_splat(a + p * a_step);
      s0 = s0 + x * bbw_f32x4_load(at);
      s1 = s1 + x * bbw_f32x4_load(at + 4);
      s2 = s2 + x * bbw_f32x4_load(at + 8);
      s3 = s3 + x * bbw_f32x4_load(at + 12);
    }
    bbw_f32x4 sums[4] = {s0, s1, s2, s3};
    for (size_t h = 0; h < 4; h++) {
      bbw_f32x4 sum = sums[h] * scale;
      float *out = c + j + 4 * h;
      bbw_f32x4_store(out, is_adding ? bbw_f32x4_load(out) + sum : sum);
    }
  }
  for (; j < n; j++) {
    float sum = 0.0f;
    for (size_t p = 0; p < depth; p++) { sum = sum + a[p * a_step] * b[p * n + j]; }
    sum = sum * alpha;
    c[j] = is_adding ? c[j] + sum : sum;
  }
}

/* One row of a against b as stored [n,k]: four columns at a time, turned in registers, so that lanes add in order of k. */
static void skinny_row_transposed(const float *a, size_t a_step, const float *b, size_t b_stride, float *c, size_t n,
                                  size_t depth, float alpha, bool is_adding) {
  bbw_f32x4 scale = bbw_f32x4_splat(alpha);
  size_t j = 0;
  for (; j + 4 <= n; j += 4) {
    const float *at = b + j * b_stride;
    bbw_f32x4 sum = bbw_f32x4_splat(0.0f);
    size_t p = 0;
    for (; p + 4 <= depth; p += 4) {
      bbw_f32x4 r0 = bbw_f32x4_load(at + p);
      bbw_f32x4 r1 = bbw_f32x4_load(at + b_stride + p);
      bbw_f32x4 r2 = bbw_f32x4_load(at + 2 * b_stride + p);
      bbw_f32x4 r3 = bbw_f32x4_load(at + 3 * b_stride + p);
      bbw_f32x4_transpose(&r0, &r1, &r2, &r3);
      sum = sum + bbw_f32x4_load_splat(a + p * a_step) * r0;
      sum = sum + bbw_f32x4_load_splat(a + (p + 1) * a_step) * r1;
      sum = sum + bbw_f32x4_load_splat(a + (p + 2) * a_step) * r2;
      sum = sum + bbw_f32x4_load_splat(a + (p + 3) * a_step) * r3;
    }
    for (; p < depth; p++) {
      bbw_f32x4 column = {at[p], at[b_stride + p], at[2 * b_stride + p], at[3 * b_stride + p]};
      sum = sum + bbw_f32x4_load_splat(a + p * a_step) * column;
    }
    sum = sum * scale;
    bbw_f32x4_store(c + j, is_adding ? bbw_f32x4_load(c + j) + sum : sum);
  }
  for (; j < n; j++) {
    float sum = 0.0f;
    for (size_t p = 0; p < depth; p++) { sum = sum + a[p * a_step] * b[j * b_stride + p]; }
    sum = sum * alpha;
    c[j] = is_adding ? c[j] + sum : sum;
  }
}

/* Few rows: b is read once per row and packed never. */
static void gemm_skinny(const float *a, const float *b, float *c, size_t m, size_t n, size_t k,
                        const bbw_gemm_options *o) {
  size_t a_step = o->is_a_transposed ? m : 1;
  for (size_t i = 0; i < m; i++) {
    const float *row = o->is_a_transposed ? a + i : a + i * k;
    size_t start = 0;
    do {
      size_t depth = min_size(k - start, BBW_GEMM_KC);
      bool is_adding = start > 0 || o->is_accumulating;
      const float *part = depth == 0 ? row : row + start * a_step;
      if (o->is_b_transposed) {
        skinny_row_transposed(part, a_step, b + start, k, c + i * n, n, depth, o->alpha, is_adding);
      } else {
        skinny_row(part, a_step, b + start * n, c + i * n, n, depth, o->alpha, is_adding);
      }
      start += depth;
    } while (start < k);
  }
  finish_block(c, n, m, n, 0, o);
}

static void pack_a(float *dst, const float *a, size_t i0, size_t rows, size_t p0, size_t depth, size_t m, size_t k,
                   bool is_transposed) {
  for (size_t i = 0; i < rows; i += TILE_M, dst += TILE_M * depth) {
    size_t lanes = min_size(rows - i, TILE_M);
    if (is_transposed) {
      pack_rows(dst, a + p0 * m + i0 + i, m, lanes, depth, TILE_M);
    } else {
      pack_lanes(dst, a + (i0 + i) * k + p0, k, lanes, depth, TILE_M);
    }
  }
}

static void pack_b(float *dst, const float *b, size_t j0, size_t columns, size_t p0, size_t depth, size_t n, size_t k,
                   bool is_transposed) {
  for (size_t j = 0; j < columns; j += TILE_N, dst += TILE_N * depth) {
    size_t lanes = min_size(columns - j, TILE_N);
    if (is_transposed) {
      pack_lanes(dst, b + (j0 + j) * k + p0, k, lanes, depth, TILE_N);
    } else {
      pack_rows(dst, b + p0 * n + j0 + j, n, lanes, depth, TILE_N);
    }
  }
}

void bbw_gemm_f32_simd128(const float *a, const float *b, float *c, size_t m, size_t n, size_t k,
                          const bbw_gemm_options *options, float *scratch) {
  if (m == 0 || n == 0) { return; }
  if (k == 0) { a = b = c; } /* nothing is read; empty inputs may be NULL, which no offset may be added to */
  if (m <= SKINNY_M || k == 0) {
    gemm_skinny(a, b, c, m, n, k, options);
    return;
  }
  for (size_t j0 = 0; j0 < n; j0 += BLOCK_N) {
    size_t columns = min_size(n - j0, BLOCK_N);
    for (size_t p0 = 0; p0 < k; p0 += BBW_GEMM_KC) {
      size_t depth = min_size(k - p0, BBW_GEMM_KC);
      float *b_packed = scratch;
      float *a_packed = scratch + depth * round_up(columns, TILE_N);
      bool is_adding = p0 > 0 || options->is_accumulating;
      pack_b(b_packed, b, j0, columns, p0, depth, n, k, options->is_b_transposed);
      for (size_t i0 = 0; i0 < m; i0 += BLOCK_M) {
        size_t rows = min_size(m - i0, BLOCK_M);
        float *c_block = c + i0 * n + j0;
        pack_a(a_packed, a, i0, rows, p0, depth, m, k, options->is_a_transposed);
        multiply_block(a_packed, b_packed, depth, c_block, n, rows, columns, options->alpha, is_adding);
        if (p0 + depth == k) { finish_block(c_block, n, rows, columns, j0, options); }
      }
    }
  }
}
