#include "base/arena.h"

#include <string.h>

#include "base/mem.h"

#define ARENA_FIRST_BYTES     1024u
#define ARENA_BLOCK_BYTES_MAX 65536u
#define ARENA_ALIGN           16u

struct bbw_arena_block {
  bbw_arena_block *next;
  size_t bytes; /* whole allocation, header included */
  size_t used;  /* from the start of the allocation */
};

#define HEADER_BYTES ((sizeof(bbw_arena_block) + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1))

void bbw_arena_init(bbw_arena *arena, const bbw_mem *mem) {
  *arena = (bbw_arena){.mem = mem, .blocks = NULL, .next_bytes = ARENA_FIRST_BYTES, .limit_bytes = SIZE_MAX};
}

void bbw_arena_free(bbw_arena *arena) {
  bbw_arena_block *block = arena->blocks;
  while (block != NULL) {
    bbw_arena_block *next = block->next;
    arena->mem->free(arena->mem->ctx, block, block->bytes);
    block = next;
  }
  arena->blocks = NULL;
  arena->next_bytes = ARENA_FIRST_BYTES;
  arena->used_bytes = 0;
}

static bbw_arena_block *arena_grow(bbw_arena *arena, size_t bytes) {
  size_t need;
  if (!bbw_size_add(bytes, HEADER_BYTES, &need)) { return NULL; }
  bool is_large = need > arena->next_bytes;
  size_t size = is_large ? need : arena->next_bytes;
  bbw_arena_block *block = arena->mem->alloc(arena->mem->ctx, size);
  if (block == NULL) { return NULL; }
  *block = (bbw_arena_block){.next = NULL, .bytes = size, .used = HEADER_BYTES};
  if (is_large && arena->blocks != NULL) {
    /* A large block is full at once; the current block stays in front for the small requests that follow. */
    block->next = arena->blocks->next;
    arena->blocks->next = block;
  } else {
    block->next = arena->blocks;
    arena->blocks = block;
    if (arena->next_bytes < ARENA_BLOCK_BYTES_MAX) { arena->next_bytes *= 2; }
  }
  return block;
}

void *bbw_arena_array(bbw_arena *arena, size_t count, size_t size) {
  size_t bytes;
  if (!bbw_size_mul(count, size, &bytes) || bytes > SIZE_MAX - ARENA_ALIGN) { return NULL; }
  size_t padded = (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
  if (padded == 0) { padded = ARENA_ALIGN; }
  if (arena->used_bytes > arena->limit_bytes || padded > arena->limit_bytes - arena->used_bytes) {
    arena->is_over_limit = true;
    return NULL;
  }
  bbw_arena_block *block = arena->blocks;
  if (block == NULL || block->bytes - block->used < padded) {
    block = arena_grow(arena, padded);
    if (block == NULL) { return NULL; }
  }
  void *out = (uint8_t *)block + block->used;
  block->used += padded;
  arena->used_bytes += padded;
  memset(out, 0, padded);
  return out;
}

bbw_bytes bbw_arena_copy(bbw_arena *arena, bbw_bytes bytes, bool *ok) {
  uint8_t *copy = bbw_arena_array(arena, bytes.len, 1);
  *ok = copy != NULL;
  if (copy == NULL) { return (bbw_bytes){NULL, 0}; }
  if (bytes.len != 0) { memcpy(copy, bytes.ptr, bytes.len); }
  return (bbw_bytes){copy, bytes.len};
}
