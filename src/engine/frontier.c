#include "engine/frontier.h"

#include "base/mem.h"

#define FRONTIER_CAP_MIN 64u

void bbw_frontier_init(bbw_frontier *frontier, const bbw_mem *mem) { *frontier = (bbw_frontier){.mem = mem}; }

void bbw_frontier_free(bbw_frontier *frontier) {
  bbw_mem_array_free(frontier->mem, frontier->entries, frontier->cap, sizeof(bbw_frontier_entry));
  frontier->entries = NULL;
  frontier->cap = 0;
  frontier->count = 0;
}

bool bbw_frontier_reserve(bbw_frontier *frontier, size_t count) {
  if (count <= frontier->cap) { return true; }
  size_t cap = frontier->cap < FRONTIER_CAP_MIN ? FRONTIER_CAP_MIN : frontier->cap;
  while (cap < count) {
    if (cap > SIZE_MAX / 4) { return false; }
    cap *= 2;
  }
  bbw_frontier_entry *entries = bbw_mem_array(frontier->mem, cap, sizeof(*entries));
  if (entries == NULL) { return false; }
  for (size_t i = 0; i < frontier->count; i++) {
    entries[i] = frontier->entries[(frontier->head + i) & (frontier->cap - 1)];
  }
  bbw_mem_array_free(frontier->mem, frontier->entries, frontier->cap, sizeof(*entries));
  frontier->entries = entries;
  frontier->cap = cap;
  frontier->head = 0;
  return true;
}

void bbw_frontier_push_front(bbw_frontier *frontier, bbw_frontier_entry entry) {
  assert(frontier->count < frontier->cap);
  frontier->head = (frontier->head + frontier->cap - 1) & (frontier->cap - 1);
  frontier->entries[frontier->head] = entry;
  frontier->count++;
}
