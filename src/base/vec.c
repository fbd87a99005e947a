#include "base/vec.h"

#include <string.h>

#include "base/mem.h"

#define VEC_CAP_MIN 8u

void bbw_vec_init(bbw_vec *vec, size_t item_bytes, const bbw_mem *mem) {
  *vec = (bbw_vec){.mem = mem, .item_bytes = item_bytes};
}

void bbw_vec_free(bbw_vec *vec) {
  if (vec->items != NULL) { vec->mem->free(vec->mem->ctx, vec->items, vec->cap * vec->item_bytes); }
  vec->items = NULL;
  vec->count = 0;
  vec->cap = 0;
}

bool bbw_vec_grow(bbw_vec *vec, size_t extra) {
  size_t need;
  if (!bbw_size_add(vec->count, extra, &need)) { return false; }
  size_t cap = vec->cap < VEC_CAP_MIN ? VEC_CAP_MIN : vec->cap;
  while (cap < need) {
    if (cap > SIZE_MAX / 2) { return false; }
    cap *= 2;
  }
  size_t bytes;
  if (!bbw_size_mul(cap, vec->item_bytes, &bytes)) { return false; }
  void *items = vec->mem->alloc(vec->mem->ctx, bytes);
  if (items == NULL) { return false; }
  if (vec->count != 0) { memcpy(items, vec->items, vec->count * vec->item_bytes); }
  if (vec->items != NULL) { vec->mem->free(vec->mem->ctx, vec->items, vec->cap * vec->item_bytes); }
  vec->items = items;
  vec->cap = cap;
  return true;
}

void *bbw_vec_push(bbw_vec *vec) {
  if (!bbw_vec_reserve(vec, 1)) { return NULL; }
  void *item = (uint8_t *)vec->items + vec->count * vec->item_bytes;
  memset(item, 0, vec->item_bytes);
  vec->count++;
  return item;
}

bool bbw_vec_append(bbw_vec *vec, const void *items, size_t count) {
  if (!bbw_vec_reserve(vec, count)) { return false; }
  if (count != 0) { memcpy((uint8_t *)vec->items + vec->count * vec->item_bytes, items, count * vec->item_bytes); }
  vec->count += count;
  return true;
}
