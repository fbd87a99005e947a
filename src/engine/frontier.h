/*
 * frontier: the queue of ops that are ready, first in, first out.
 */
#ifndef BBW_ENGINE_FRONTIER_H
#define BBW_ENGINE_FRONTIER_H

#include <assert.h>

#include "bbw/base.h"

typedef struct bbw_frame bbw_frame;

typedef struct bbw_frontier_entry {
  bbw_frame *frame;
  uint32_t op;
} bbw_frontier_entry;

typedef struct bbw_frontier {
  const bbw_mem *mem;
  bbw_frontier_entry *entries; /* ring of cap entries */
  size_t cap;                  /* 0 or a power of two */
  size_t head;
  size_t count;
} bbw_frontier;

void bbw_frontier_init(bbw_frontier *frontier, const bbw_mem *mem);
void bbw_frontier_free(bbw_frontier *frontier);
/* Room for `count` entries in all. */
bool bbw_frontier_reserve(bbw_frontier *frontier, size_t count);
/* The caller has reserved room. */
static inline void bbw_frontier_push(bbw_frontier *frontier, bbw_frame *frame, uint32_t op) {
  assert(frontier->count < frontier->cap);
  bbw_frontier_entry *entry = &frontier->entries[(frontier->head + frontier->count++) & (frontier->cap - 1)];
  entry->frame = frame;
  entry->op = op;
}
/* In front of all others; the caller has reserved room. */
void bbw_frontier_push_front(bbw_frontier *frontier, bbw_frontier_entry entry);
/* Takes the first one, and it must not be empty. */
static inline void bbw_frontier_pop(bbw_frontier *frontier) {
  frontier->head = (frontier->head + 1) & (frontier->cap - 1);
  frontier->count--;
}

#endif
