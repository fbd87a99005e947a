#include "peers/dedup.h"

#include "base/mem.h"

#define RING_FIRST 64u

void bbw_dedup_init(bbw_dedup *dedup, const bbw_mem *mem) {
  *dedup = (bbw_dedup){.mem = mem, .cap = BBW_DEDUP_WINDOW};
  bbw_map_init(&dedup->seen, 0, mem);
}

void bbw_dedup_free(bbw_dedup *dedup) {
  bbw_mem_array_free(dedup->mem, dedup->order, dedup->size, sizeof(uint64_t));
  dedup->order = NULL;
  dedup->size = 0;
  dedup->head = 0;
  dedup->count = 0;
  bbw_map_free(&dedup->seen);
}

/* Doubles the ring, up to cap. */
static bool ring_grow(bbw_dedup *dedup) {
  size_t size = dedup->size == 0 ? RING_FIRST : dedup->size * 2;
  if (size > dedup->cap) { size = dedup->cap; }
  uint64_t *order = bbw_mem_array(dedup->mem, size, sizeof(uint64_t));
  if (order == NULL) { return false; }
  for (size_t i = 0; i < dedup->count; i++) { order[i] = dedup->order[(dedup->head + i) % dedup->size]; }
  bbw_mem_array_free(dedup->mem, dedup->order, dedup->size, sizeof(uint64_t));
  dedup->order = order;
  dedup->size = size;
  dedup->head = 0;
  return true;
}

bbw_status bbw_dedup_record(bbw_dedup *dedup, uint64_t hash, bool *is_repeat) {
  if (bbw_dedup_contains(dedup, hash)) {
    *is_repeat = true;
    return BBW_OK;
  }
  /* All memory first, so that a failure leaves the window as it was. */
  if (!bbw_map_reserve(&dedup->seen, 1)) { return BBW_E_NOMEM; }
  if (dedup->count == dedup->size && dedup->size < dedup->cap && !ring_grow(dedup)) { return BBW_E_NOMEM; }
  if (dedup->count == dedup->cap) {
    (void)bbw_map_remove(&dedup->seen, dedup->order[dedup->head]);
    dedup->head = (dedup->head + 1) % dedup->size;
    dedup->count--;
  }
  dedup->order[(dedup->head + dedup->count) % dedup->size] = hash;
  dedup->count++;
  (void)bbw_map_put(&dedup->seen, hash, 1);
  *is_repeat = false;
  return BBW_OK;
}

bool bbw_dedup_contains(const bbw_dedup *dedup, uint64_t hash) {
  uint64_t value;
  return bbw_map_get(&dedup->seen, hash, &value);
}
