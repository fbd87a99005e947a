#include "engine/timers.h"

void bbw_timers_init(bbw_timers *timers, const bbw_mem *mem) {
  *timers = (bbw_timers){.cap = BBW_TIMERS_COUNT_MAX};
  bbw_vec_init(&timers->heap, sizeof(bbw_timer), mem);
}

void bbw_timers_free(bbw_timers *timers) { bbw_vec_free(&timers->heap); }

static bool is_before(const bbw_timer *a, const bbw_timer *b) {
  return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

bbw_status bbw_timers_add(bbw_timers *timers, uint64_t at_ns, bbw_timer_kind kind, uint64_t subject) {
  if (timers->heap.count >= timers->cap) {
    timers->dropped++;
    return BBW_E_LIMIT;
  }
  if (bbw_vec_push(&timers->heap) == NULL) { return BBW_E_NOMEM; }
  bbw_timer *heap = timers->heap.items;
  bbw_timer timer = {.at_ns = at_ns, .order = timers->next_order++, .subject = subject, .kind = kind};
  size_t i = timers->heap.count - 1;
  while (i > 0 && is_before(&timer, &heap[(i - 1) / 2])) {
    heap[i] = heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  heap[i] = timer;
  return BBW_OK;
}

bool bbw_timers_pop_due(bbw_timers *timers, uint64_t now_ns, bbw_timer *out) {
  bbw_timer *heap = timers->heap.items;
  if (timers->heap.count == 0 || heap[0].at_ns > now_ns) { return false; }
  *out = heap[0];
  bbw_timer last = heap[--timers->heap.count];
  size_t count = timers->heap.count;
  size_t i = 0;
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= count) { break; }
    if (child + 1 < count && is_before(&heap[child + 1], &heap[child])) { child++; }
    if (!is_before(&heap[child], &last)) { break; }
    heap[i] = heap[child];
    i = child;
  }
  if (count > 0) { heap[i] = last; }
  return true;
}

bool bbw_timers_next(const bbw_timers *timers, uint64_t *at_ns) {
  if (timers->heap.count == 0) { return false; }
  *at_ns = BBW_VEC_AT(&timers->heap, const bbw_timer, 0)->at_ns;
  return true;
}
