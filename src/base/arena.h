/*
 * arena: many small allocations that die together.
 *
 * Blocks grow from the first size up to 64 KiB, larger requests get a block of their own.  Nothing is freed one by one.
 */
#ifndef BBW_BASE_ARENA_H
#define BBW_BASE_ARENA_H

#include "bbw/base.h"

typedef struct bbw_arena_block bbw_arena_block;

typedef struct bbw_arena {
  const bbw_mem *mem;
  bbw_arena_block *blocks; /* newest first */
  size_t next_bytes;       /* size of the next ordinary block */
  size_t used_bytes;       /* handed out in all, for reports */
  size_t limit_bytes;      /* of used_bytes; SIZE_MAX unless set; more is refused like memory that ran out */
  bool is_over_limit;      /* something was refused for that reason */
} bbw_arena;

/* Allocates nothing yet. */
void bbw_arena_init(bbw_arena *arena, const bbw_mem *mem);
/* Frees all blocks; the arena can be used again. Safe on a zeroed arena. */
void bbw_arena_free(bbw_arena *arena);

/* Zeroed memory for count elements, aligned to 16, or NULL when memory runs out or the product overflows.  A count of 0
 * gives a valid pointer that must not be read, so that NULL always means failure. */
void *bbw_arena_array(bbw_arena *arena, size_t count, size_t size);
/* A copy of the bytes; {NULL, 0} with *ok = false on failure. */
bbw_bytes bbw_arena_copy(bbw_arena *arena, bbw_bytes bytes, bool *ok);

#endif
