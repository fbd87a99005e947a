/*
 * mem: small helpers over bbw_mem.
 *
 * Every size product goes through these, so an overflow is an allocation failure and nothing worse.
 */
#ifndef BBW_BASE_MEM_H
#define BBW_BASE_MEM_H

#include "bbw/base.h"

/* Zeroed array of count elements, or NULL.  count or size of 0 gives NULL as well: callers treat an empty array as absent. */
void *bbw_mem_array(const bbw_mem *mem, size_t count, size_t size);
/* Frees what bbw_mem_array gave; NULL does nothing. */
void bbw_mem_array_free(const bbw_mem *mem, void *array, size_t count, size_t size);

/* a + b and a * b into *out; false when they do not fit. */
bool bbw_size_add(size_t a, size_t b, size_t *out);
bool bbw_size_mul(size_t a, size_t b, size_t *out);

#endif
