#ifdef __linux__
#define _DEFAULT_SOURCE /* mmap of plain memory, madvise */
#endif

#include "pool.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fetch.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN true
#endif
#endif
#ifndef HAS_ASAN
#define HAS_ASAN false
#endif

/* A run of few Nodes is over in a moment: it must not wait until megabytes are cleared. */
#define REGION_BYTES_FIRST ((size_t)1 << 18)
#define REGION_BYTES_MAX   ((size_t)1 << 25)
#define HUGE_BYTES         ((size_t)1 << 21)

/* At the begin of a region. */
typedef struct region {
  struct region *next;
  void *mapped; /* NULL: from malloc */
  size_t bytes;
} region;

#define HEAD_BYTES 64u

void *sim_need(void *p) {
  if (p == NULL) {
    fputs("sim: out of memory\n", stderr);
    exit(3);
  }
  return p;
}

#ifdef __linux__
/* Memory that begins at a huge page; NULL when there is none. */
static region *map_region(size_t bytes) {
  size_t all = bytes + HUGE_BYTES;
  void *mapped = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) { return NULL; }
  region *r = (region *)(((uintptr_t)mapped + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
  (void)madvise(r, bytes, MADV_HUGEPAGE); /* a wish: without huge pages it is only slower */
  *r = (region){.mapped = mapped, .bytes = all};
  return r;
}

static void unmap_region(const region *r) { (void)munmap(r->mapped, r->bytes); }
#else
static region *map_region(size_t bytes) {
  (void)bytes;
  return NULL;
}

static void unmap_region(const region *r) { (void)r; }
#endif

/* Zeroed behind its head. */
static region *region_new(sim_pool *pool, size_t bytes) {
  region *r = bytes < HUGE_BYTES ? NULL : map_region(bytes);
  if (r == NULL) {
    r = sim_need(calloc(1, bytes));
    *r = (region){.bytes = bytes};
  }
  r->next = pool->regions;
  pool->regions = r;
  return r;
}

void *sim_pool_zeroed(sim_pool *pool, size_t size) {
  bool is_too_large = size > SIZE_MAX - 2 * HUGE_BYTES;
  return is_too_large ? sim_need(NULL) : (uint8_t *)region_new(pool, size + HEAD_BYTES) + HEAD_BYTES;
}

static void add_region(sim_pool *pool) {
  size_t bytes = pool->region_bytes == 0 ? REGION_BYTES_FIRST : pool->region_bytes;
  region *r = region_new(pool, bytes);
  pool->at = (uint8_t *)r + HEAD_BYTES;
  pool->end = (uint8_t *)r + bytes;
  pool->region_bytes = bytes < REGION_BYTES_MAX ? bytes * 2 : bytes;
}

void sim_pool_end(sim_pool *pool) {
  while (pool->regions != NULL) {
    region *r = pool->regions;
    pool->regions = r->next;
    if (r->mapped != NULL) {
      unmap_region(r);
    } else {
      free(r);
    }
  }
  *pool = (sim_pool){.regions = NULL};
}

size_t sim_pool_class(size_t size) {
  if (size <= 1024) { return size == 0 ? 0 : (size - 1) / 16; }
  size_t shift = 0;
  while ((size - 1) >> (shift + 11) != 0) { shift++; } /* 1024 << shift < size <= 2048 << shift */
  return 64 + 4 * shift + (((size - 1) >> (shift + 8)) & 3);
}

size_t sim_pool_class_bytes(size_t class) {
  return class < 64 ? (class + 1) * 16 : ((size_t)1280 + (class & 3) * 256) << (class - 64) / 4;
}

static bool is_plain(const sim_pool *pool, size_t size) {
  return size > SIM_POOL_BLOCK_MAX || (HAS_ASAN && !pool->is_kept);
}

void *sim_pool_alloc(sim_pool *pool, size_t size) {
  if (is_plain(pool, size)) { return malloc(size); }
  size_t class = sim_pool_class(size), bytes = sim_pool_class_bytes(class);
  void *block = pool->idle[class];
  if (block != NULL) {
    void *next = *(void **)block;
    pool->idle[class] = next;
    bbw_fetch(next, 1); /* it says which one comes after it */
    return block;
  }
  if ((size_t)(pool->end - pool->at) < bytes) { add_region(pool); } /* what is left of the other is left */
  block = pool->at;
  pool->at += bytes;
  return block;
}

void sim_pool_free(sim_pool *pool, void *block, size_t size) {
  if (block == NULL) { return; }
  if (is_plain(pool, size)) {
    free(block);
    return;
  }
  size_t class = sim_pool_class(size);
  *(void **)block = pool->idle[class];
  pool->idle[class] = block;
}
