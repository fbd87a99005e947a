/*
 * peer_table: entries keyed by peer id, in an order.
 *
 * The frame of the per-peer tables: each entry is a struct that begins with a bbw_peer_entry.  Finding costs one hash of at most ten words and, as a rule, one comparison; the hash has
 * a secret seed, so that nobody can choose ids that fall together.  The order is a list, so that the entry at its front can be evicted and a touched one moved to its end
 * without a scan.
 */
#ifndef BBW_PEERS_PEER_TABLE_H
#define BBW_PEERS_PEER_TABLE_H

#include "bbw/base.h"
#include "bbw/peer_id.h"

typedef struct bbw_peer_entry bbw_peer_entry;
struct bbw_peer_entry {
  bbw_peer_id peer;
  bbw_peer_entry *before;
  bbw_peer_entry *after;
  uint64_t hash;
};

typedef struct bbw_peer_table {
  const bbw_mem *mem;
  size_t entry_bytes;
  bbw_peer_entry **places; /* open addressing, linear probing, at most 3/4 full; NULL: free */
  size_t cap;              /* 0 or a power of two */
  uint64_t seed;           /* set before the first entry */
  bbw_peer_entry *first;
  bbw_peer_entry *last;
  size_t count;
} bbw_peer_table;

/* entry_bytes is the size of the struct that begins with bbw_peer_entry. */
void bbw_peer_table_init(bbw_peer_table *table, size_t entry_bytes, const bbw_mem *mem);
/* Frees the entries; what they own was freed before. */
void bbw_peer_table_free(bbw_peer_table *table);

/* Sets the seed of a table that may hold entries already. */
void bbw_peer_table_reseed(bbw_peer_table *table, uint64_t seed);
void *bbw_peer_table_find(const bbw_peer_table *table, const bbw_peer_id *peer); /* NULL if there is none */
/* A zeroed entry at the end; the peer has none yet.  NULL when memory runs out. */
void *bbw_peer_table_add(bbw_peer_table *table, const bbw_peer_id *peer);
/* The entry of the peer, moved to the end; added when it is new, and then the first one goes if there are `max` already.  NULL when memory
 * runs out, and then nothing changed.  For entries that own nothing. */
void *bbw_peer_table_touch(bbw_peer_table *table, const bbw_peer_id *peer, size_t max);
void bbw_peer_table_remove(bbw_peer_table *table, void *entry);

#endif
