#include "base/sort.h"

static bool is_less(const bbw_sort_key *a, const bbw_sort_key *b) {
  return a->first != b->first ? a->first < b->first : a->second < b->second;
}

/* Lets the key at `i` sink in a heap with the largest key on top. */
static void sink(bbw_sort_key *keys, size_t i, size_t count) {
  bbw_sort_key moving = keys[i];
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= count) { break; }
    if (child + 1 < count && is_less(&keys[child], &keys[child + 1])) { child++; }
    if (!is_less(&moving, &keys[child])) { break; }
    keys[i] = keys[child];
    i = child;
  }
  keys[i] = moving;
}

void bbw_sort(bbw_sort_key *keys, size_t count) {
  for (size_t i = count / 2; i > 0; i--) { sink(keys, i - 1, count); }
  for (size_t left = count; left > 1; left--) {
    bbw_sort_key largest = keys[0];
    keys[0] = keys[left - 1];
    keys[left - 1] = largest;
    sink(keys, 0, left - 1);
  }
}
