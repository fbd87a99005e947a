#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void *libc_alloc(void *ctx, size_t size) {
  (void)ctx;
  return malloc(size);
}

static void libc_free(void *ctx, void *ptr, size_t size) {
  (void)ctx;
  (void)size;
  free(ptr);
}

const bbw_mem bbw_mem_libc = {NULL, libc_alloc, libc_free};

bool bbw_size_add(size_t a, size_t b, size_t *out) {
  if (b > SIZE_MAX - a) { return false; }
  *out = a + b;
  return true;
}

bool bbw_size_mul(size_t a, size_t b, size_t *out) {
  if (b != 0 && a > SIZE_MAX / b) { return false; }
  *out = a * b;
  return true;
}

void *bbw_mem_array(const bbw_mem *mem, size_t count, size_t size) {
  size_t bytes;
  if (count == 0 || size == 0 || !bbw_size_mul(count, size, &bytes)) { return NULL; }
  void *array = mem->alloc(mem->ctx, bytes);
  if (array != NULL) { memset(array, 0, bytes); }
  return array;
}

void bbw_mem_array_free(const bbw_mem *mem, void *array, size_t count, size_t size) {
  if (array != NULL) { mem->free(mem->ctx, array, count * size); }
}
