#include "peers/peer_table.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"

#define TABLE_CAP_MIN 16u

void bbw_peer_table_init(bbw_peer_table *table, size_t entry_bytes, const bbw_mem *mem) {
  *table = (bbw_peer_table){.mem = mem, .entry_bytes = entry_bytes};
}

void bbw_peer_table_free(bbw_peer_table *table) {
  bbw_peer_entry *entry = table->first;
  while (entry != NULL) {
    bbw_peer_entry *after = entry->after;
    bbw_mem_array_free(table->mem, entry, 1, table->entry_bytes);
    entry = after;
  }
  bbw_mem_array_free(table->mem, table->places, table->cap, sizeof(table->places[0]));
  table->places = NULL;
  table->cap = 0;
  table->first = NULL;
  table->last = NULL;
  table->count = 0;
}

/* Word by word (the digest is zero behind its size), then the finalizer of SplitMix64, so that every bit of the id reaches every bit of the hash. */
static inline uint64_t hash_of(const bbw_peer_table *table, const bbw_peer_id *peer) {
  uint64_t hash = table->seed ^ peer->code;
  hash = (hash ^ peer->size) * 0x9e3779b97f4a7c15u;
  for (size_t at = 0; at < peer->size; at += 8) {
    hash = (hash ^ hash >> 32 ^ bbw_load_u64le(peer->digest + at)) * 0x9e3779b97f4a7c15u;
  }
  return bbw_mix64(hash);
}

/* The place of the peer, or the free one where it belongs.  The table has a free place. */
static size_t place_of(const bbw_peer_table *table, uint64_t hash, const bbw_peer_id *peer) {
  size_t i = (size_t)hash & (table->cap - 1);
  for (const bbw_peer_entry *entry; (entry = table->places[i]) != NULL; i = (i + 1) & (table->cap - 1)) {
    if (entry->hash == hash && bbw_peer_id_equal(&entry->peer, peer)) { break; }
  }
  return i;
}

void *bbw_peer_table_find(const bbw_peer_table *table, const bbw_peer_id *peer) {
  return table->count == 0 ? NULL : table->places[place_of(table, hash_of(table, peer), peer)];
}

static void place_all(const bbw_peer_table *table, bbw_peer_entry **places, size_t cap) {
  for (bbw_peer_entry *entry = table->first; entry != NULL; entry = entry->after) {
    size_t i = (size_t)entry->hash & (cap - 1);
    while (places[i] != NULL) { i = (i + 1) & (cap - 1); }
    places[i] = entry;
  }
}

void bbw_peer_table_reseed(bbw_peer_table *table, uint64_t seed) {
  if (table->seed == seed) { return; }
  table->seed = seed;
  for (bbw_peer_entry *entry = table->first; entry != NULL; entry = entry->after) {
    entry->hash = hash_of(table, &entry->peer);
  }
  for (size_t i = 0; i < table->cap; i++) { table->places[i] = NULL; }
  place_all(table, table->places, table->cap);
}

static bool make_place(bbw_peer_table *table) {
  if (table->cap != 0 && (table->count + 1) * 4 <= table->cap * 3) { return true; }
  size_t cap = table->cap == 0 ? TABLE_CAP_MIN : table->cap * 2;
  bbw_peer_entry **places = cap > SIZE_MAX / 8 ? NULL : bbw_mem_array(table->mem, cap, sizeof(*places));
  if (places == NULL) { return false; }
  place_all(table, places, cap);
  bbw_mem_array_free(table->mem, table->places, table->cap, sizeof(*places));
  table->places = places;
  table->cap = cap;
  return true;
}

static void link_last(bbw_peer_table *table, bbw_peer_entry *entry) {
  entry->before = table->last;
  entry->after = NULL;
  if (table->last == NULL) {
    table->first = entry;
  } else {
    table->last->after = entry;
  }
  table->last = entry;
}

static void unlink_entry(bbw_peer_table *table, bbw_peer_entry *entry) {
  if (entry->before == NULL) {
    table->first = entry->after;
  } else {
    entry->before->after = entry->after;
  }
  if (entry->after == NULL) {
    table->last = entry->before;
  } else {
    entry->after->before = entry->before;
  }
}

void *bbw_peer_table_add(bbw_peer_table *table, const bbw_peer_id *peer) {
  if (!make_place(table)) { return NULL; }
  bbw_peer_entry *entry = bbw_mem_array(table->mem, 1, table->entry_bytes);
  if (entry == NULL) { return NULL; }
  entry->peer = *peer;
  entry->hash = hash_of(table, peer);
  table->places[place_of(table, entry->hash, peer)] = entry;
  link_last(table, entry);
  table->count++;
  return entry;
}

void *bbw_peer_table_touch(bbw_peer_table *table, const bbw_peer_id *peer, size_t max) {
  bbw_peer_entry *entry = bbw_peer_table_find(table, peer);
  if (entry != NULL) {
    unlink_entry(table, entry);
    link_last(table, entry);
    return entry;
  }
  entry = bbw_peer_table_add(table, peer);
  if (entry != NULL && table->count > max) { bbw_peer_table_remove(table, table->first); }
  return entry;
}

/* Shifts back every follower that may not be left behind the hole. */
static void free_place(bbw_peer_table *table, size_t hole) {
  size_t mask = table->cap - 1;
  for (size_t i = (hole + 1) & mask; table->places[i] != NULL; i = (i + 1) & mask) {
    size_t home = (size_t)table->places[i]->hash & mask;
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      table->places[hole] = table->places[i];
      hole = i;
    }
  }
  table->places[hole] = NULL;
}

void bbw_peer_table_remove(bbw_peer_table *table, void *entry) {
  bbw_peer_entry *gone = entry;
  free_place(table, place_of(table, gone->hash, &gone->peer));
  unlink_entry(table, gone);
  bbw_mem_array_free(table->mem, gone, 1, table->entry_bytes);
  table->count--;
}
