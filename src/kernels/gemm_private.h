/*
 * gemm_private: the tile, the packed layouts and the micro-kernels that gemm.c puts together.
 *
 * Packed a: blocks of BBW_GEMM_KC rows of k; in a block, tiles of TILE_M rows as [depth][TILE_M].  Packed b: the same blocks of k; in a block,
 * panels of BBW_GEMM_PANEL columns as [depth][BBW_GEMM_PANEL].  Missing rows and columns are zeros.
 */
#ifndef BBW_KERNELS_GEMM_PRIVATE_H
#define BBW_KERNELS_GEMM_PRIVATE_H

#include "kernels/f32x4.h"
#include "kernels/gemm.h"

/*
 * One tile of c: 4 rows by 8 columns in eight registers.  Older engines spill with every other shape.  Eight sums are also what hides the latency
 * of the fused form of the relaxed build: 6 by 8 was measured there too, is no faster at n >= 256 and slower below.
 */
#define TILE_M 4u
#define TILE_N 8u
#define PANEL  BBW_GEMM_PANEL

static inline size_t bbw_min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t bbw_round_up(size_t x, size_t to) { return (x + to - 1) / to * to; }

/* A matrix with `lanes` along one side and k along the other: rows of a, or columns of b. */
typedef struct bbw_gemm_operand {
  const float *x;
  size_t stride;
  bool is_lane_major; /* each lane is one row of memory; else each step of k is one */
} bbw_gemm_operand;

/* Where element (lane, p) of a packed operand lies, as the layout is described. */
static inline size_t bbw_gemm_packed_index(size_t lanes, size_t width, size_t k, size_t lane, size_t p) {
  size_t start = p / BBW_GEMM_KC * BBW_GEMM_KC;
  size_t depth = bbw_min_size(k - start, BBW_GEMM_KC);
  return start * bbw_round_up(lanes, width) + lane / width * width * depth + (p - start) * width + lane % width;
}

/* Lanes lane .. lane+count and depth steps from p on become dst[depth][width]; width is a multiple of 4 and at least count. */
void bbw_gemm_pack_lanes(float *dst, bbw_gemm_operand from, size_t lane, size_t count, size_t p, size_t depth,
                         size_t width);
/* The same for all rows of a block of a, as tiles of TILE_M lanes behind each other. */
void bbw_gemm_pack_tiles(float *dst, bbw_gemm_operand from, size_t lane, size_t count, size_t p, size_t depth);

/* c[TILE_M,8] = a . b, or added to c.  a is packed [depth,TILE_M]; rows of b are b_step floats apart.  No alpha: a number that waits in a vector
 * register for the end of the loop makes engines move the sums about, which costs 6 %. */
void bbw_gemm_tile(const float *a, const float *b, size_t b_step, size_t depth, float *c, size_t stride,
                   bool is_adding);

/* out[24] = sums of one row of a with three panels of 8 columns, `apart` floats from each other; rows of b are b_step floats apart. */
void bbw_gemm_row_24(const float *a, size_t a_step, const float *b, size_t apart, size_t b_step, size_t depth,
                     float *out);
/* out[8] = the same with one panel. */
void bbw_gemm_row_8(const float *a, size_t a_step, const float *b, size_t b_step, size_t depth, float *out);
/* out[2][16] = sums of two rows of a with two panels. */
void bbw_gemm_rows_2x16(const float *a0, const float *a1, size_t a_step, const float *b, size_t apart, size_t b_step,
                        size_t depth, float *out);
/* sums[count] = sums of one row of a with `count` columns of b, whose rows are read one after the other, as memory likes it. */
void bbw_gemm_row_stream(const float *a, size_t a_step, const float *b, size_t b_step, size_t depth, float *sums,
                         size_t count);
/* out[8] = sums of one row of a with 8 columns, each of them contiguous: columns[i] points to its first element. */
void bbw_gemm_row_dots_8(const float *a, size_t a_step, const float *const columns[8], size_t depth, float *out);

#endif
