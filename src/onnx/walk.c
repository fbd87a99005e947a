#include "onnx/walk.h"

#include <string.h>

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

void bbw_walk_copy(const bbw_walk *walk, const void *from, void *to, size_t bytes) {
  bbw_walk_cursor cursor;
  if (!bbw_walk_start(walk, &cursor)) { return; }
  uint32_t run = walk->axes - 1;
  do {
    move(from, cursor.at[0], walk->step[0][run], to, cursor.at[1], walk->step[1][run], walk->size[run], bytes);
  } while (bbw_walk_next(walk, &cursor));
}

void bbw_fill(void *to, size_t count, const void *element, size_t bytes) {
  if (count > 0) { move(element, 0, 0, to, 0, 1, count, bytes); }
}
