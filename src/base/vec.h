/*
 * vec: a growable array of fixed-size elements.
 *
 * Growth doubles; pointers into it live until the next push.  The element size is given at init and kept.
 */
#ifndef BBW_BASE_VEC_H
#define BBW_BASE_VEC_H

#include "bbw/base.h"

typedef struct bbw_vec {
  const bbw_mem *mem;
  void *items;
  size_t count;
  size_t cap;
  size_t item_bytes;
} bbw_vec;

void bbw_vec_init(bbw_vec *vec, size_t item_bytes, const bbw_mem *mem);
void bbw_vec_free(bbw_vec *vec); /* safe on a zeroed vec */

bool bbw_vec_grow(bbw_vec *vec, size_t extra);
/* Makes room for `extra` more elements; false when memory runs out, and then nothing changed. */
static inline bool bbw_vec_reserve(bbw_vec *vec, size_t extra) {
  return extra <= vec->cap - vec->count || bbw_vec_grow(vec, extra);
}
/* Appends one zeroed element and returns it, or NULL. */
void *bbw_vec_push(bbw_vec *vec);
/* Appends a copy of `count` elements. */
bool bbw_vec_append(bbw_vec *vec, const void *items, size_t count);

/* Element i; the caller keeps i < count. */
#define BBW_VEC_AT(vec, type, i) (&((type *)(vec)->items)[i])

#endif
