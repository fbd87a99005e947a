/*
 * mem_cache: an allocator that keeps freed blocks for the next request of the same size.
 *
 * What a node allocates per envelope and per value has few sizes, and as many blocks are freed as were taken.  A block goes back into use only for exactly its size, so blocks may come from
 * the allocator behind and go back to it as they are.  Bounded by BBW_MEM_CACHE_BYTES_MAX; used from one thread.  Builds with AddressSanitizer keep nothing, so that it sees every free.
 */
#ifndef BBW_BASE_MEM_CACHE_H
#define BBW_BASE_MEM_CACHE_H

#include "bbw/base.h"

#define BBW_MEM_CACHE_BYTES_MAX 524288u
/* Larger blocks are not kept. */
#define BBW_MEM_CACHE_BLOCK_MAX 512u
/* Sizes that are kept at the same time; two that share a place take turns. */
#define BBW_MEM_CACHE_SIZES 64u

typedef struct bbw_mem_cache {
  bbw_mem mem; /* what users of the cache allocate with; points to this struct, so it must not move */
  const bbw_mem *behind;
  bool is_keeping; /* false with AddressSanitizer; a test of the cache sets it */
  size_t kept_bytes;
  struct {
    void *first; /* the first word of a kept block points to the next */
    size_t size;
  } places[BBW_MEM_CACHE_SIZES];
} bbw_mem_cache;

void bbw_mem_cache_init(bbw_mem_cache *cache, const bbw_mem *behind);
/* Gives back what is kept; blocks in use stay good. */
void bbw_mem_cache_free(bbw_mem_cache *cache);

#endif
