/*
 * test_mem: memory that counts, and fails when it is told to.
 *
 * Give &mem.mem to the code under test.  Afterwards live_bytes must be 0.  test_mem_fail_at(&mem, n) makes allocation number n (from
 * 0) and every later one fail, so a loop over n makes every allocation fail once in turn.
 */
#ifndef BBW_TEST_MEM_H
#define BBW_TEST_MEM_H

#include "bbw/base.h"

#define TEST_MEM_NEVER SIZE_MAX

typedef struct test_mem {
  bbw_mem mem;
  size_t live_bytes;  /* allocated and not yet freed */
  size_t live_count;  /* blocks */
  size_t peak_bytes;  /* the most that live_bytes was */
  size_t alloc_count; /* asked for since init or fail_at */
  size_t fail_at;     /* this request and all later ones get NULL */
  bool fails_once;    /* only that request gets NULL */
  size_t limit_bytes; /* live_bytes may not pass this */
} test_mem;

void test_mem_init(test_mem *mem);
/* Starts counting requests again; returns the bbw_mem to pass on. */
const bbw_mem *test_mem_fail_at(test_mem *mem, size_t nth);

#endif
