/*
 * walk: visits the elements of several arrays together, in runs along one axis.
 *
 * Operands have one step per axis, in elements: the way to its neighbour along that axis, 0 where an element is repeated, negative where it is read backwards.
 * Slices, transpositions, repetitions and concatenations are walks over two operands: where the elements come from, and where they go.
 */
#ifndef BBW_ONNX_WALK_H
#define BBW_ONNX_WALK_H

#include "bbw/array.h"

#define BBW_WALK_OPERANDS_MAX 4u

typedef struct bbw_walk {
  uint32_t operands;
  uint32_t axes; /* outermost first; at least 1 after bbw_walk_join */
  size_t size[BBW_ARRAY_RANK_MAX];
  ptrdiff_t step[BBW_WALK_OPERANDS_MAX][BBW_ARRAY_RANK_MAX];
  ptrdiff_t start[BBW_WALK_OPERANDS_MAX]; /* position of the first element */
} bbw_walk;

/* Steps of a dense array of these dims, for operand `which` of walk, whose axes they are. */
void bbw_walk_dense(bbw_walk *walk, uint32_t which, uint32_t rank, const size_t *dims);
/* Steps of `array` repeated to the shape of the walk, whose sizes are set; false when it does not fit. */
bool bbw_walk_repeated(bbw_walk *walk, uint32_t which, const bbw_array *array);
/* Drops axes of size 1 and joins neighbours that all operands pass as one.  Call it after all steps are set. */
void bbw_walk_join(bbw_walk *walk);

/* at[k] is the position of operand k at the start of a run; a run is the last axis. */
typedef struct bbw_walk_cursor {
  ptrdiff_t at[BBW_WALK_OPERANDS_MAX];
  size_t index[BBW_ARRAY_RANK_MAX];
} bbw_walk_cursor;

/* False when the walk has no elements. */
bool bbw_walk_start(const bbw_walk *walk, bbw_walk_cursor *cursor);
/* To the next run; false at the end. */
bool bbw_walk_next(const bbw_walk *walk, bbw_walk_cursor *cursor);

/* Operand 0 is read, operand 1 is written; they do not overlap.  bytes: of an element, 1, 2, 4 or 8. */
void bbw_walk_copy(const bbw_walk *walk, const void *from, void *to, size_t bytes);

/* count elements at `to` become the one at `element`. */
void bbw_fill(void *to, size_t count, const void *element, size_t bytes);

#endif
