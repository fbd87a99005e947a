#include "kernels/gemm.h"

#include <assert.h>

#include "kernels/gemm_private.h"

/* Floats of a that are packed at once, and columns of b: 128 KiB and up to 512 KiB, for the second-level cache. */
#define BLOCK_A 32768u
#define BLOCK_N 512u
/* Floats of b that every four rows of a meet before the next four do: 16 KiB, which stay in the first-level cache while a and c pass. */
#define GROUP_B 4096u
static_assert(BLOCK_N % PANEL == 0, "blocks of b hold whole panels");
static_assert(GROUP_B / BBW_GEMM_KC >= PANEL, "a group of b holds a panel");
static_assert(PANEL == TILE_N, "a panel is one tile wide");

/* Up to this many rows packing b costs more than it saves; the same for columns and a. */
#define SKINNY_M 3u
#define SKINNY_N 2u
/* A row against a matrix that lies in rows of k goes over so many columns at once; from half of that on it does. */
#define STREAM_N 1024u
/* A b of at most this many floats is used where it lies: it fits the first-level cache in every layout. */
#define DIRECT_B_MAX 4096u

/* ---- what both versions need to know ---- */

static bbw_gemm_operand operand_a(const bbw_gemm *g) {
  return (bbw_gemm_operand){.x = g->a, .stride = g->lda, .is_lane_major = !g->is_a_transposed};
}
static bbw_gemm_operand operand_b(const bbw_gemm *g) {
  return (bbw_gemm_operand){.x = g->b, .stride = g->ldb, .is_lane_major = g->is_b_transposed};
}

typedef enum gemm_path { PATH_ROWS, PATH_COLUMNS, PATH_TILES } gemm_path;

static gemm_path choose_path(const bbw_gemm *g) {
  if (g->is_a_packed || g->b_panel != NULL) { return PATH_TILES; }
  if (g->m <= SKINNY_M) { return PATH_ROWS; }
  return g->n <= SKINNY_N && !g->is_b_packed ? PATH_COLUMNS : PATH_TILES;
}

static bool is_b_direct(const bbw_gemm *g) {
  return !g->is_b_packed && g->b_panel == NULL && !g->is_b_transposed && g->k <= DIRECT_B_MAX && g->n <= DIRECT_B_MAX &&
         g->n * g->k <= DIRECT_B_MAX;
}

/* Rows and columns in a block and a group, for a depth that is not 0. */
static size_t block_rows(size_t depth) { return BLOCK_A / depth / TILE_M * TILE_M; }
static size_t group_columns(size_t depth) { return bbw_min_size(GROUP_B / depth / PANEL * PANEL, BLOCK_N); }

/* Columns of b that are packed at a time; where one block of rows meets all of b, a group takes the place of the one before. */
static size_t packed_columns(const bbw_gemm *g, size_t columns, size_t depth) {
  if (g->is_b_packed) { return 0; }
  size_t most = is_b_direct(g) ? PANEL : g->m <= block_rows(depth) ? group_columns(depth) : BLOCK_N;
  return bbw_round_up(bbw_min_size(columns, most), PANEL);
}

size_t bbw_gemm_f32_run_scratch(const bbw_gemm *g) {
  size_t depth = bbw_min_size(g->k, BBW_GEMM_KC);
  if (choose_path(g) != PATH_TILES) { return depth * PANEL + bbw_min_size(g->m > g->n ? g->m : g->n, STREAM_N); }
  if (depth == 0) { return 0; }
  size_t rows = g->is_a_packed ? 0 : bbw_round_up(bbw_min_size(g->m, block_rows(depth)), TILE_M);
  return depth * (rows + packed_columns(g, g->n, depth));
}

/* ---- the definition ---- */

static float operand_at(bbw_gemm_operand o, size_t lane, size_t p) {
  return o.is_lane_major ? o.x[lane * o.stride + p] : o.x[p * o.stride + lane];
}

void bbw_gemm_f32_run_scalar(const bbw_gemm *g, float *scratch) {
  for (size_t j = 0; j < g->n; j++) {
    size_t start = 0;
    do {
      size_t depth = bbw_min_size(g->k - start, BBW_GEMM_KC);
      size_t panel = j / PANEL * PANEL;
      if (g->b_panel != NULL && depth > 0) {
        g->b_panel(g->b_context, scratch, panel, bbw_min_size(g->n - panel, PANEL), start, depth);
      }
      for (size_t i = 0; i < g->m; i++) {
        float sum = 0.0f;
        for (size_t p = start; p < start + depth; p++) {
          float a = g->is_a_packed ? g->a[bbw_gemm_packed_index(g->m, TILE_M, g->k, i, p)]
                                   : operand_at(operand_a(g), i, p);
          float b = g->b_panel != NULL ? scratch[(p - start) * PANEL + j % PANEL]
                    : g->is_b_packed   ? g->b[bbw_gemm_packed_index(g->n, PANEL, g->k, j, p)]
                                       : operand_at(operand_b(g), j, p);
          sum = sum + a * b;
        }
        sum = sum * g->alpha;
        float *c = g->c + i * g->ldc + j;
        *c = start == 0 && !g->is_accumulating ? sum : *c + sum;
      }
      start += depth;
    } while (start < g->k);
  }
  bbw_epilogue_scalar(&g->epilogue, g->c, g->ldc, 0, g->m, 0, g->n);
}

/* ---- few rows, or few columns ---- */

/* From sums to elements of c that are `step` floats apart. */
static void put_sums(const float *sums, size_t count, float *c, size_t step, float alpha, bool is_adding) {
  size_t i = 0;
  bbw_f32x4 scale = bbw_f32x4_splat(alpha);
  for (; step == 1 && i + 4 <= count; i += 4) {
    bbw_f32x4 sum = bbw_f32x4_load(sums + i) * scale;
    bbw_f32x4_store(c + i, is_adding ? bbw_f32x4_load(c + i) + sum : sum);
  }
  for (; i < count; i++) {
    float sum = sums[i] * alpha;
    c[i * step] = is_adding ? c[i * step] + sum : sum;
  }
}

/* A few rows against a wide matrix, and where the results go.  With rows and columns of c exchanged this is also many rows against few columns. */
typedef struct skinny {
  bbw_gemm_operand rows; /* lanes are the few rows */
  size_t row_count;
  bbw_gemm_operand wide; /* lanes are the many columns; not used when packed */
  const float *wide_packed;
  size_t wide_count;
  size_t k;
  float *c;
  size_t c_row, c_column; /* distances in c */
  float alpha;
  bool is_accumulating;
} skinny;

/* Columns of memory rows: eight at a time by turning them in registers. */
static void skinny_dots(const skinny *s, const float *a, size_t a_step, size_t p, size_t depth, float *c, bool adding) {
  for (size_t j = 0; j < s->wide_count; j += 8) {
    size_t count = bbw_min_size(s->wide_count - j, 8);
    const float *columns[8];
    for (size_t i = 0; i < 8; i++) { columns[i] = s->wide.x + (j + (i < count ? i : 0)) * s->wide.stride + p; }
    float sums[8];
    bbw_gemm_row_dots_8(a, a_step, columns, depth, sums);
    put_sums(sums, count, c + j * s->c_column, s->c_column, s->alpha, adding);
  }
}

/*
 * One or two rows (a1 is NULL for one) against panels, which are packed, or pieces of a matrix that is stored in rows of k.  One row takes three
 * panels at a time and two rows two, which keeps six and eight sums going; the rest goes through the same functions with a panel repeated.
 */
static void skinny_panels(const skinny *s, const float *a0, const float *a1, size_t a_step, size_t p, size_t depth,
                          float *c, bool adding, float *scratch) {
  size_t padded = bbw_round_up(s->wide_count, PANEL);
  bool is_packed = s->wide_packed != NULL;
  for (size_t j = 0, count; j < s->wide_count; j += count) {
    size_t left = s->wide_count - j, step = is_packed ? PANEL : s->wide.stride,
           apart = is_packed ? PANEL * depth : PANEL;
    const float *panel = is_packed ? s->wide_packed + p * padded + j * depth : s->wide.x + p * s->wide.stride + j;
    if (!is_packed && left < PANEL) { /* the last columns: a panel has to be whole */
      bbw_gemm_pack_lanes(scratch, s->wide, j, left, p, depth, PANEL);
      panel = scratch;
      step = PANEL;
    }
    size_t panels = is_packed ? (left + PANEL - 1) / PANEL : left < PANEL ? 1 : left / PANEL;
    float sums[32], *out = c + j * s->c_column;
    if (a1 != NULL) {
      bbw_gemm_rows_2x16(a0, a1, a_step, panel, panels >= 2 ? apart : 0, step, depth, sums);
      count = bbw_min_size(left, panels >= 2 ? 2 * PANEL : PANEL);
      put_sums(sums, count, out, s->c_column, s->alpha, adding);
      put_sums(sums + 2 * PANEL, count, out + s->c_row, s->c_column, s->alpha, adding);
    } else if (panels >= 3) {
      bbw_gemm_row_24(a0, a_step, panel, apart, step, depth, sums);
      count = bbw_min_size(left, 3 * PANEL);
      put_sums(sums, count, out, s->c_column, s->alpha, adding);
    } else {
      bbw_gemm_row_8(a0, a_step, panel, step, depth, sums);
      count = bbw_min_size(left, PANEL);
      put_sums(sums, count, out, s->c_column, s->alpha, adding);
    }
  }
}

/* One row against a wide matrix in memory order: strips of it would jump a row ahead at every step. */
static void skinny_stream(const skinny *s, const float *a, size_t a_step, size_t p, size_t depth, float *c, bool adding,
                          float *scratch) {
  for (size_t j = 0; j < s->wide_count; j += STREAM_N) {
    size_t count = bbw_min_size(s->wide_count - j, STREAM_N);
    bbw_gemm_row_stream(a, a_step, s->wide.x + p * s->wide.stride + j, s->wide.stride, depth, scratch, count);
    put_sums(scratch, count, c + j * s->c_column, s->c_column, s->alpha, adding);
  }
}

static void run_skinny(const skinny *s, float *scratch) {
  size_t lane_step = s->rows.is_lane_major ? s->rows.stride : 1;
  size_t a_step = s->rows.is_lane_major ? 1 : s->rows.stride;
  for (size_t p = 0; p < s->k; p += BBW_GEMM_KC) {
    size_t depth = bbw_min_size(s->k - p, BBW_GEMM_KC);
    bool adding = p > 0 || s->is_accumulating;
    for (size_t i = 0; i < s->row_count;) {
      const float *a0 = s->rows.x + i * lane_step + p * a_step;
      float *c = s->c + i * s->c_row;
      if (s->wide_packed == NULL && s->wide.is_lane_major) {
        skinny_dots(s, a0, a_step, p, depth, c, adding);
        i++;
      } else if (s->wide_packed == NULL && s->wide_count >= STREAM_N / 2 && i + 1 == s->row_count) {
        skinny_stream(s, a0, a_step, p, depth, c, adding, scratch);
        i++;
      } else {
        bool is_pair = i + 2 <= s->row_count;
        skinny_panels(s, a0, is_pair ? a0 + lane_step : NULL, a_step, p, depth, c, adding, scratch);
        i += is_pair ? 2 : 1;
      }
    }
  }
}

static void gemm_rows(const bbw_gemm *g, float *scratch) {
  skinny s = {.rows = operand_a(g),
              .row_count = g->m,
              .wide = operand_b(g),
              .wide_packed = g->is_b_packed ? g->b : NULL,
              .wide_count = g->n,
              .k = g->k,
              .c = g->c,
              .c_row = g->ldc,
              .c_column = 1,
              .alpha = g->alpha,
              .is_accumulating = g->is_accumulating};
  run_skinny(&s, scratch);
}

/* c transposed is op(b) transposed times op(a) transposed; products are the same either way round. */
static void gemm_columns(const bbw_gemm *g, float *scratch) {
  skinny s = {.rows = operand_b(g),
              .row_count = g->n,
              .wide = operand_a(g),
              .wide_packed = NULL,
              .wide_count = g->m,
              .k = g->k,
              .c = g->c,
              .c_row = 1,
              .c_column = g->ldc,
              .alpha = g->alpha,
              .is_accumulating = g->is_accumulating};
  run_skinny(&s, scratch);
}

/* ---- tiles ---- */

/* A tile over the edge of c, or one that is scaled, goes through a full one beside it. */
static void tile_edge(const float *a, const float *b, size_t b_step, size_t depth, float *c, size_t stride, size_t rows,
                      size_t columns, float alpha, bool is_adding) {
  float tile[TILE_M * TILE_N];
  bbw_gemm_tile(a, b, b_step, depth, tile, TILE_N, false);
  for (size_t i = 0; i < rows; i++) { put_sums(tile + i * TILE_N, columns, c + i * stride, 1, alpha, is_adding); }
}

/* A panel of b, packed or made. */
static void make_panel(const bbw_gemm *g, float *dst, size_t j, size_t columns, size_t p, size_t depth) {
  if (g->b_panel != NULL) {
    g->b_panel(g->b_context, dst, j, columns, p, depth);
  } else {
    bbw_gemm_pack_lanes(dst, operand_b(g), j, columns, p, depth, PANEL);
  }
}

/* Columns of b side by side: panels that are `apart`, each with rows `step` apart; the last one may stand elsewhere, packed. */
typedef struct group {
  const float *panels, *last; /* last: NULL, or where the columns behind the whole panels are */
  size_t step, apart;
} group;

/* Up to four rows, one tile of packed a, against a group. */
static void multiply_tiles(const float *a, const group *b, size_t depth, float *c, size_t stride, size_t rows,
                           size_t columns, float alpha, bool is_adding) {
  bool is_whole = rows == TILE_M && alpha == 1.0f;
  const float *panel = b->panels;
  size_t j = 0;
  for (; j + TILE_N <= columns; j += TILE_N, panel += b->apart) {
    if (is_whole) {
      bbw_gemm_tile(a, panel, b->step, depth, c + j, stride, is_adding);
    } else {
      tile_edge(a, panel, b->step, depth, c + j, stride, rows, TILE_N, alpha, is_adding);
    }
  }
  if (j < columns) {
    bool is_elsewhere = b->last != NULL;
    tile_edge(a, is_elsewhere ? b->last : panel, is_elsewhere ? PANEL : b->step, depth, c + j, stride, rows,
              columns - j, alpha, is_adding);
  }
}

/* Columns j .. j+columns; room is where they are packed if they have to be, which is_new says. */
static group group_at(const bbw_gemm *g, size_t j, size_t columns, size_t p, size_t depth, float *room, bool is_new) {
  if (g->is_b_packed) {
    return (group){.panels = g->b + p * bbw_round_up(g->n, PANEL) + j * depth, .step = PANEL, .apart = PANEL * depth};
  }
  bool is_direct = is_b_direct(g);
  for (size_t at = is_direct ? columns / PANEL * PANEL : 0; is_new && at < columns; at += PANEL) {
    make_panel(g, is_direct ? room : room + at * depth, j + at, bbw_min_size(columns - at, PANEL), p, depth);
  }
  if (!is_direct) { return (group){.panels = room, .step = PANEL, .apart = PANEL * depth}; }
  return (group){.panels = g->b + p * g->ldb + j, .last = room, .step = g->ldb, .apart = PANEL};
}

/*
 * A block of rows of a against group after group of b.  Four rows meet all columns of a group before the next four do: c is written in pieces that are as
 * long as k allows, and the tile of a comes from the second-level cache once per group.
 */
static void gemm_tiles(const bbw_gemm *g, float *scratch) {
  for (size_t j0 = 0; j0 < g->n; j0 += BLOCK_N) {
    size_t columns = bbw_min_size(g->n - j0, BLOCK_N);
    for (size_t p = 0; p < g->k; p += BBW_GEMM_KC) {
      size_t depth = bbw_min_size(g->k - p, BBW_GEMM_KC), block = block_rows(depth), wide = group_columns(depth);
      bool is_kept = g->m > block; /* groups, for the next block of rows */
      bool is_adding = p > 0 || g->is_accumulating, is_last = p + depth == g->k;
      float *a_scratch = scratch + depth * packed_columns(g, columns, depth);
      for (size_t i0 = 0; i0 < g->m; i0 += block) {
        size_t rows = bbw_min_size(g->m - i0, block);
        const float *a_packed = g->is_a_packed ? g->a + p * bbw_round_up(g->m, TILE_M) + i0 * depth : a_scratch;
        if (!g->is_a_packed) { bbw_gemm_pack_tiles(a_scratch, operand_a(g), i0, rows, p, depth); }
        for (size_t j = 0; j < columns; j += wide) {
          size_t width = bbw_min_size(columns - j, wide);
          float *room = is_kept && !is_b_direct(g) ? scratch + j * depth : scratch;
          group b = group_at(g, j0 + j, width, p, depth, room, i0 == 0 || !is_kept);
          for (size_t i = 0; i < rows; i += TILE_M) {
            size_t count = bbw_min_size(rows - i, TILE_M);
            float *c = g->c + (i0 + i) * g->ldc + j0 + j;
            multiply_tiles(a_packed + i * depth, &b, depth, c, g->ldc, count, width, g->alpha, is_adding);
            if (is_last) { bbw_epilogue_simd128(&g->epilogue, c, g->ldc, i0 + i, count, j0 + j, width); }
          }
        }
      }
    }
  }
}

/* A product without products: +0 times alpha, or that added to c. */
static void gemm_empty(const bbw_gemm *g) {
  float zero = 0.0f * g->alpha;
  for (size_t i = 0; i < g->m; i++) {
    for (size_t j = 0; j < g->n; j++) {
      float *c = g->c + i * g->ldc + j;
      *c = g->is_accumulating ? *c + zero : zero;
    }
  }
}

void bbw_gemm_f32_run_simd128(const bbw_gemm *g, float *scratch) {
  if (g->m == 0 || g->n == 0) { return; }
  gemm_path path = choose_path(g);
  if (g->k == 0) {
    gemm_empty(g);
  } else if (path == PATH_ROWS) {
    gemm_rows(g, scratch);
  } else if (path == PATH_COLUMNS) {
    gemm_columns(g, scratch);
  } else {
    gemm_tiles(g, scratch);
    return; /* every piece of c is finished in its turn */
  }
  bbw_epilogue_simd128(&g->epilogue, g->c, g->ldc, 0, g->m, 0, g->n);
}

/* ---- dense operands ---- */

static bbw_gemm from_options(const float *a, const float *b, float *c, size_t m, size_t n, size_t k,
                             const bbw_gemm_options *o) {
  return (bbw_gemm){
      .m = m,
      .n = n,
      .k = k,
      .a = a,
      .lda = o->is_a_transposed ? m : k,
      .is_a_transposed = o->is_a_transposed,
      .b = b,
      .ldb = o->is_b_transposed ? k : n,
      .is_b_transposed = o->is_b_transposed,
      .c = c,
      .ldc = n,
      .is_accumulating = o->is_accumulating,
      .alpha = o->alpha,
      .epilogue = {.column_bias = o->bias, .activation = o->has_relu ? BBW_ACTIVATION_RELU : BBW_ACTIVATION_NONE}};
}

size_t bbw_gemm_f32_scratch(size_t m, size_t n, size_t k) {
  bbw_gemm g = {.m = m, .n = n, .k = k, .is_b_transposed = true}; /* the form that needs most */
  return bbw_gemm_f32_run_scratch(&g);
}

void bbw_gemm_f32_scalar(const float *a, const float *b, float *c, size_t m, size_t n, size_t k,
                         const bbw_gemm_options *options, float *scratch) {
  (void)scratch;
  bbw_gemm g = from_options(a, b, c, m, n, k, options);
  bbw_gemm_f32_run_scalar(&g, NULL);
}

void bbw_gemm_f32_simd128(const float *a, const float *b, float *c, size_t m, size_t n, size_t k,
                          const bbw_gemm_options *options, float *scratch) {
  bbw_gemm g = from_options(a, b, c, m, n, k, options);
  bbw_gemm_f32_run_simd128(&g, scratch);
}
