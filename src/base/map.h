/*
 * map: a hash table from bytes or 64-bit numbers to 64-bit numbers.
 *
 * Open addressing, linear probing, at most 3/4 full, deletion by shifting back, so no tombstones.  Iteration order is
 * not exposed: results must not depend on it.  Byte keys are borrowed and must outlive the map.  Hash flooding is
 * answered by a per-map seed mixed into the hash.
 */
#ifndef BBW_BASE_MAP_H
#define BBW_BASE_MAP_H

#include "bbw/base.h"

typedef struct bbw_map_entry {
  const uint8_t *key; /* NULL for number keys */
  size_t used;        /* 0: free; else 1 + length of the key, 1 for a number */
  uint64_t number;    /* the number key, or the hash of a byte key */
  uint64_t value;
} bbw_map_entry;

typedef struct bbw_map {
  const bbw_mem *mem;
  bbw_map_entry *entries;
  size_t cap; /* 0 or a power of two */
  size_t count;
  uint64_t seed;
} bbw_map;

void bbw_map_init(bbw_map *map, uint64_t seed, const bbw_mem *mem);
void bbw_map_free(bbw_map *map); /* safe on a zeroed map */
/* Makes room, so that the next `extra` puts cannot fail. */
bool bbw_map_reserve(bbw_map *map, size_t extra);

/* Number keys. put inserts or replaces; false when memory runs out, which replacing never does. */
bool bbw_map_put(bbw_map *map, uint64_t key, uint64_t value);
bool bbw_map_get(const bbw_map *map, uint64_t key, uint64_t *value);
bool bbw_map_remove(bbw_map *map, uint64_t key);

/* Byte keys. */
bool bbw_map_put_bytes(bbw_map *map, bbw_bytes key, uint64_t value);
bool bbw_map_get_bytes(const bbw_map *map, bbw_bytes key, uint64_t *value);
bool bbw_map_remove_bytes(bbw_map *map, bbw_bytes key);

#endif
