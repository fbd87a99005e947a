#include "memory.h"

#include "base/mem.h"

typedef struct instance_memory {
  size_t used;
  size_t max;
} instance_memory;

static instance_memory instance = {.used = 0, .max = SIZE_MAX};

static void *capped_alloc(void *ctx, size_t size) {
  (void)ctx;
  if (instance.used > instance.max || size > instance.max - instance.used) { return NULL; }
  void *ptr = bbw_mem_libc.alloc(NULL, size);
  if (ptr != NULL) { instance.used += size; }
  return ptr;
}

static void capped_free(void *ctx, void *ptr, size_t size) {
  (void)ctx;
  if (ptr == NULL) { return; }
  instance.used -= size;
  bbw_mem_libc.free(NULL, ptr, size);
}

const bbw_mem bbw_wasm_mem = {NULL, capped_alloc, capped_free};

void bbw_wasm_memory_set_max(size_t bytes) { instance.max = bytes == 0 ? SIZE_MAX : bytes; }

size_t bbw_wasm_memory_used(void) { return instance.used; }

/* The glue makes its views anew after every call that may grow memory, so nobody needs to be told. */
void emscripten_notify_memory_growth(size_t memory);
void emscripten_notify_memory_growth(size_t memory) { (void)memory; }
