#include "base/map.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"

#define MAP_CAP_MIN 16u

void bbw_map_init(bbw_map *map, uint64_t seed, const bbw_mem *mem) { *map = (bbw_map){.mem = mem, .seed = seed}; }

void bbw_map_free(bbw_map *map) {
  bbw_mem_array_free(map->mem, map->entries, map->cap, sizeof(*map->entries));
  map->entries = NULL;
  map->cap = 0;
  map->count = 0;
}

static uint64_t hash_bytes(const bbw_map *map, bbw_bytes key) { return bbw_fnv1a(BBW_FNV1A_OFFSET ^ map->seed, key); }

static size_t home_of(const bbw_map *map, uint64_t number) {
  return (size_t)bbw_mix64(number ^ map->seed) & (map->cap - 1);
}

static bool entry_matches(const bbw_map_entry *entry, uint64_t number, const bbw_bytes *key) {
  if (entry->number != number) { return false; }
  return key == NULL || bbw_bytes_equal((bbw_bytes){entry->key, entry->used - 1}, *key);
}

/* Index of the entry, or of the free place where it belongs.  The table has at least one free place. */
static size_t map_find(const bbw_map *map, uint64_t number, const bbw_bytes *key) {
  size_t i = home_of(map, number);
  while (map->entries[i].used != 0 && !entry_matches(&map->entries[i], number, key)) { i = (i + 1) & (map->cap - 1); }
  return i;
}

bool bbw_map_reserve(bbw_map *map, size_t extra) {
  size_t need, scaled;
  if (!bbw_size_add(map->count, extra, &need) || !bbw_size_mul(need, 4, &scaled)) { return false; }
  if (map->cap != 0 && scaled <= map->cap * 3) { return true; }
  size_t cap = map->cap < MAP_CAP_MIN ? MAP_CAP_MIN : map->cap;
  while (scaled > cap * 3) {
    if (cap > SIZE_MAX / 8) { return false; }
    cap *= 2;
  }
  bbw_map grown = *map;
  grown.cap = cap;
  grown.entries = bbw_mem_array(map->mem, cap, sizeof(*grown.entries));
  if (grown.entries == NULL) { return false; }
  for (size_t i = 0; i < map->cap; i++) {
    const bbw_map_entry *entry = &map->entries[i];
    if (entry->used == 0) { continue; }
    size_t at = home_of(&grown, entry->number);
    while (grown.entries[at].used != 0) { at = (at + 1) & (cap - 1); }
    grown.entries[at] = *entry;
  }
  bbw_mem_array_free(map->mem, map->entries, map->cap, sizeof(*map->entries));
  *map = grown;
  return true;
}

static bool map_put(bbw_map *map, uint64_t number, const bbw_bytes *key, uint64_t value) {
  /* Replacing needs no room, so it cannot fail. */
  size_t i = map->cap == 0 ? 0 : map_find(map, number, key);
  bool is_there = map->cap != 0 && map->entries[i].used != 0;
  if (!is_there) {
    if (!bbw_map_reserve(map, 1)) { return false; }
    i = map_find(map, number, key);
  }
  if (!is_there) {
    map->count++;
    bbw_bytes none = {NULL, 0}, bytes = key == NULL ? none : *key;
    map->entries[i] = (bbw_map_entry){.key = bytes.ptr, .used = bytes.len + 1, .number = number};
  }
  map->entries[i].value = value;
  return true;
}

static bool map_get(const bbw_map *map, uint64_t number, const bbw_bytes *key, uint64_t *value) {
  if (map->cap == 0) { return false; }
  size_t i = map_find(map, number, key);
  if (map->entries[i].used == 0) { return false; }
  *value = map->entries[i].value;
  return true;
}

static bool map_remove(bbw_map *map, uint64_t number, const bbw_bytes *key) {
  if (map->cap == 0) { return false; }
  size_t hole = map_find(map, number, key);
  if (map->entries[hole].used == 0) { return false; }
  size_t mask = map->cap - 1;
  /* Shift back every follower that may not be left behind the hole. */
  for (size_t i = (hole + 1) & mask; map->entries[i].used != 0; i = (i + 1) & mask) {
    size_t home = home_of(map, map->entries[i].number);
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      map->entries[hole] = map->entries[i];
      hole = i;
    }
  }
  map->entries[hole] = (bbw_map_entry){.used = 0};
  map->count--;
  return true;
}

bool bbw_map_put(bbw_map *map, uint64_t key, uint64_t value) { return map_put(map, key, NULL, value); }
bool bbw_map_get(const bbw_map *map, uint64_t key, uint64_t *value) { return map_get(map, key, NULL, value); }
bool bbw_map_remove(bbw_map *map, uint64_t key) { return map_remove(map, key, NULL); }

bool bbw_map_put_bytes(bbw_map *map, bbw_bytes key, uint64_t value) {
  return map_put(map, hash_bytes(map, key), &key, value);
}
bool bbw_map_get_bytes(const bbw_map *map, bbw_bytes key, uint64_t *value) {
  return map_get(map, hash_bytes(map, key), &key, value);
}
bool bbw_map_remove_bytes(bbw_map *map, bbw_bytes key) { return map_remove(map, hash_bytes(map, key), &key); }
