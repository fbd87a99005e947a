#include "base/mem_cache.h"

/* Where memory is watched, each block comes from behind and goes back there. */
#if defined(__SANITIZE_ADDRESS__) || defined(BBW_NO_MEM_CACHE)
#define IS_KEEPING false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_KEEPING false
#endif
#endif
#ifndef IS_KEEPING
#define IS_KEEPING true
#endif

static size_t place_of(size_t size) { return size / 8 % BBW_MEM_CACHE_SIZES; }

static void *cached_alloc(void *ctx, size_t size) {
  bbw_mem_cache *cache = ctx;
  size_t place = place_of(size);
  void *block = cache->places[place].first;
  if (block == NULL || cache->places[place].size != size) {
    block = cache->behind->alloc(cache->behind->ctx, size);
    if (block != NULL || cache->kept_bytes == 0) { return block; }
    /* Memory ran out while some lies idle here. */
    bbw_mem_cache_free(cache);
    return cache->behind->alloc(cache->behind->ctx, size);
  }
  cache->places[place].first = *(void **)block;
  cache->kept_bytes -= size;
  return block;
}

static void cached_free(void *ctx, void *ptr, size_t size) {
  bbw_mem_cache *cache = ctx;
  if (ptr == NULL) { return; }
  size_t place = place_of(size);
  bool is_kept = cache->is_keeping && size >= sizeof(void *) && size <= BBW_MEM_CACHE_BLOCK_MAX &&
                 cache->kept_bytes + size <= BBW_MEM_CACHE_BYTES_MAX &&
                 (cache->places[place].first == NULL || cache->places[place].size == size);
  if (!is_kept) {
    cache->behind->free(cache->behind->ctx, ptr, size);
    return;
  }
  *(void **)ptr = cache->places[place].first;
  cache->places[place].first = ptr;
  cache->places[place].size = size;
  cache->kept_bytes += size;
}

void bbw_mem_cache_init(bbw_mem_cache *cache, const bbw_mem *behind) {
  *cache = (bbw_mem_cache){.mem = {cache, cached_alloc, cached_free}, .behind = behind, .is_keeping = IS_KEEPING};
}

void bbw_mem_cache_free(bbw_mem_cache *cache) {
  for (size_t i = 0; i < BBW_MEM_CACHE_SIZES; i++) {
    while (cache->places[i].first != NULL) {
      void *block = cache->places[i].first;
      cache->places[i].first = *(void **)block;
      cache->behind->free(cache->behind->ctx, block, cache->places[i].size);
    }
  }
  cache->kept_bytes = 0;
}
