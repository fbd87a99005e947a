#include "test_mem.h"

#include <stdlib.h>
#include <string.h>

static void *counted_alloc(void *ctx, size_t size) {
  test_mem *mem = ctx;
  size_t nth = mem->alloc_count++;
  if (size == 0) { abort(); } /* bbw_mem promises that size is never 0 */
  bool is_failing = mem->fails_once ? nth == mem->fail_at : nth >= mem->fail_at;
  if (is_failing || size > mem->limit_bytes || mem->live_bytes > mem->limit_bytes - size) { return NULL; }
  void *ptr = aligned_alloc(16, (size + 15) & ~(size_t)15);
  if (ptr == NULL) { return NULL; }
  /* Whoever reads before writing shall notice. */
  memset(ptr, 0xa5, size);
  mem->live_bytes += size;
  mem->live_count++;
  if (mem->live_bytes > mem->peak_bytes) { mem->peak_bytes = mem->live_bytes; }
  return ptr;
}

static void counted_free(void *ctx, void *ptr, size_t size) {
  test_mem *mem = ctx;
  /* A wrong size would be a wrong budget; both underflow here and show as live_bytes != 0. */
  mem->live_bytes -= size;
  mem->live_count--;
  free(ptr);
}

void test_mem_init(test_mem *mem) {
  *mem = (test_mem){
      .mem = {.alloc = counted_alloc, .free = counted_free}, .fail_at = TEST_MEM_NEVER, .limit_bytes = SIZE_MAX};
  mem->mem.ctx = mem;
}

const bbw_mem *test_mem_fail_at(test_mem *mem, size_t nth) {
  mem->alloc_count = 0;
  mem->fail_at = nth;
  return &mem->mem;
}
