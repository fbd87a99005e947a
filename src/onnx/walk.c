#include "onnx/walk.h"

#include <string.h>

#include "kernels/f32x4.h"

void bbw_walk_dense(bbw_walk *walk, uint32_t which, uint32_t rank, const size_t *dims) {
  ptrdiff_t step = 1;
  for (uint32_t d = rank; d-- > 0;) {
    walk->step[which][d] = step;
    step *= (ptrdiff_t)(dims[d] == 0 ? 1 : dims[d]); /* fits: bbw_array_shape checked it without the zeros */
  }
}

bool bbw_walk_repeated(bbw_walk *walk, uint32_t which, const bbw_array *array) {
  if (array->rank > walk->axes) { return false; }
  uint32_t before = walk->axes - array->rank;
  ptrdiff_t dense[BBW_ARRAY_RANK_MAX];
  bbw_walk_dense(walk, which, array->rank, array->dims);
  memcpy(dense, walk->step[which], sizeof dense);
  for (uint32_t d = 0; d < walk->axes; d++) {
    if (d < before) {
      walk->step[which][d] = 0;
      continue;
    }
    size_t dim = array->dims[d - before];
    if (dim != walk->size[d] && dim != 1) { return false; }
    walk->step[which][d] = dim == 1 ? 0 : dense[d - before];
  }
  return true;
}

static bool passes_as_one(const bbw_walk *walk, uint32_t outer, uint32_t inner) {
  for (uint32_t k = 0; k < walk->operands; k++) {
    if (walk->step[k][outer] != walk->step[k][inner] * (ptrdiff_t)walk->size[inner]) { return false; }
  }
  return true;
}

void bbw_walk_join(bbw_walk *walk) {
  uint32_t axes = 0;
  for (uint32_t d = 0; d < walk->axes; d++) {
    if (walk->size[d] == 1) { continue; }
    bool joins = axes > 0 && walk->size[d] != 0 && passes_as_one(walk, axes - 1, d);
    uint32_t to = joins ? axes - 1 : axes++;
    walk->size[to] = joins ? walk->size[to] * walk->size[d] : walk->size[d];
    for (uint32_t k = 0; k < walk->operands; k++) { walk->step[k][to] = walk->step[k][d]; }
  }
  if (axes == 0) { /* one element */
    walk->size[0] = 1;
    for (uint32_t k = 0; k < walk->operands; k++) { walk->step[k][0] = 1; }
    axes = 1;
  }
  walk->axes = axes;
}

bool bbw_walk_start(const bbw_walk *walk, bbw_walk_cursor *cursor) {
  memset(cursor, 0, sizeof *cursor);
  for (uint32_t k = 0; k < walk->operands; k++) { cursor->at[k] = walk->start[k]; }
  for (uint32_t d = 0; d < walk->axes; d++) {
    if (walk->size[d] == 0) { return false; }
  }
  return true;
}

bool bbw_walk_next(const bbw_walk *walk, bbw_walk_cursor *cursor) {
  for (uint32_t d = walk->axes - 1; d-- > 0;) {
    bool is_inside = ++cursor->index[d] < walk->size[d];
    ptrdiff_t steps = is_inside ? 1 : 1 - (ptrdiff_t)walk->size[d];
    for (uint32_t k = 0; k < walk->operands; k++) { cursor->at[k] += steps * walk->step[k][d]; }
    if (is_inside) { return true; }
    cursor->index[d] = 0;
  }
  return false;
}

/* One loop per element size; positions are signed because a walk may go backwards. */
#define MOVE(type)                                                                           \
  {                                                                                          \
    const type *source = (const type *)from + at;                                            \
    type *target = (type *)to + to_at;                                                       \
    for (size_t i = 0; i < n; i++, source += step, target += to_step) { *target = *source; } \
    break;                                                                                   \
  }

static void move(const void *from, ptrdiff_t at, ptrdiff_t step, void *to, ptrdiff_t to_at, ptrdiff_t to_step, size_t n,
                 size_t bytes) {
  if (step == 1 && to_step == 1) {
    ptrdiff_t width = (ptrdiff_t)bytes;
    memcpy((char *)to + to_at * width, (const char *)from + at * width, n * bytes);
    return;
  }
  switch (bytes) {
  case 1: MOVE(uint8_t)
  case 2: MOVE(uint16_t)
  case 4: MOVE(uint32_t)
  case 8: MOVE(uint64_t)
  default: break;
  }
}

/*
 * A matrix whose rows lie `step` apart becomes one whose rows were its columns, to_step apart.  In square tiles, so that both sides stay in the cache.
 */
#define TILE 16u
#define CROSS(type)                                                                       \
  for (size_t i = top; i < bottom; i++) {                                                 \
    const type *source = (const type *)from + (ptrdiff_t)i * step;                        \
    type *target = (type *)to + i;                                                        \
    for (size_t j = left; j < right; j++) { target[(ptrdiff_t)j * to_step] = source[j]; } \
  }                                                                                       \
  break;

static void cross_tile(const void *from, ptrdiff_t step, void *to, ptrdiff_t to_step, size_t top, size_t bottom,
                       size_t left, size_t right, size_t bytes) {
  switch (bytes) {
  case 1: CROSS(uint8_t)
  case 2: CROSS(uint16_t)
  case 4: CROSS(uint32_t)
  case 8: CROSS(uint64_t)
  default: break;
  }
}

static void cross(const void *from, ptrdiff_t step, void *to, ptrdiff_t to_step, size_t rows, size_t columns,
                  size_t bytes) {
  size_t whole_rows = bytes == 4 ? rows / 4 * 4 : 0, whole_columns = columns / 4 * 4;
  for (size_t i = 0; i < whole_rows; i += 4) { /* four by four, in registers */
    const float *source = (const float *)from + (ptrdiff_t)i * step;
    for (size_t j = 0; j < whole_columns; j += 4) {
      bbw_f32x4 r0 = bbw_f32x4_load(source + j), r1 = bbw_f32x4_load(source + step + (ptrdiff_t)j);
      bbw_f32x4 r2 = bbw_f32x4_load(source + 2 * step + (ptrdiff_t)j);
      bbw_f32x4 r3 = bbw_f32x4_load(source + 3 * step + (ptrdiff_t)j);
      bbw_f32x4_transpose(&r0, &r1, &r2, &r3);
      float *target = (float *)to + (ptrdiff_t)j * to_step + (ptrdiff_t)i;
      bbw_f32x4_store(target, r0);
      bbw_f32x4_store(target + to_step, r1);
      bbw_f32x4_store(target + 2 * to_step, r2);
      bbw_f32x4_store(target + 3 * to_step, r3);
    }
  }
  if (whole_rows > 0) { cross_tile(from, step, to, to_step, 0, whole_rows, whole_columns, columns, bytes); }
  for (size_t i = whole_rows; i < rows; i += TILE) {
    size_t bottom = rows - i < TILE ? rows : i + TILE;
    for (size_t j = 0; j < columns; j += TILE) {
      cross_tile(from, step, to, to_step, i, bottom, j, columns - j < TILE ? columns : j + TILE, bytes);
    }
  }
}

/* The axis along which the elements that are read are neighbours, when the last one is that of what is written; else the number of axes. */
static uint32_t crossed_axis(const bbw_walk *walk) {
  uint32_t run = walk->axes - 1;
  if (walk->step[1][run] != 1 || walk->step[0][run] == 1 || walk->step[0][run] == 0) { return walk->axes; }
  for (uint32_t d = 0; d < run; d++) {
    if (walk->step[0][d] == 1) { return d; }
  }
  return walk->axes;
}

static void copy_crossed(const bbw_walk *walk, uint32_t axis, const char *from, char *to, size_t bytes) {
  bbw_walk outer = *walk;
  bbw_walk_cursor cursor;
  uint32_t run = walk->axes - 1;
  outer.size[axis] = outer.size[run] = 1;
  if (!bbw_walk_start(walk, &cursor) || !bbw_walk_start(&outer, &cursor)) { return; }
  do {
    cross(from + cursor.at[0] * (ptrdiff_t)bytes, walk->step[0][run], to + cursor.at[1] * (ptrdiff_t)bytes,
          walk->step[1][axis], walk->size[run], walk->size[axis], bytes);
  } while (bbw_walk_next(&outer, &cursor));
}

void bbw_walk_copy(const bbw_walk *walk, const void *from, void *to, size_t bytes) {
  bbw_walk_cursor cursor;
  uint32_t crossed = crossed_axis(walk);
  if (crossed < walk->axes) {
    copy_crossed(walk, crossed, from, to, bytes);
    return;
  }
  if (!bbw_walk_start(walk, &cursor)) { return; }
  uint32_t run = walk->axes - 1;
  do {
    move(from, cursor.at[0], walk->step[0][run], to, cursor.at[1], walk->step[1][run], walk->size[run], bytes);
  } while (bbw_walk_next(walk, &cursor));
}

void bbw_fill(void *to, size_t count, const void *element, size_t bytes) {
  if (count > 0) { move(element, 0, 0, to, 0, 1, count, bytes); }
}
