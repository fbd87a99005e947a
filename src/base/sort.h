/*
 * sort: putting things in the order of two numbers.
 */
#ifndef BBW_BASE_SORT_H
#define BBW_BASE_SORT_H

#include "bbw/base.h"

typedef struct bbw_sort_key {
  uint64_t first, second;
  size_t index; /* the caller's */
} bbw_sort_key;

/* Ascending by first, then second.  In place, O(n log n) whatever the input; keys that are equal in both may change places. */
void bbw_sort(bbw_sort_key *keys, size_t count);

#endif
