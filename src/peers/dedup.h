/*
 * dedup: has this been received before?
 *
 * The last `cap` hashes, oldest evicted first; a repeat does not refresh its place.  Source: wire specification §17 (InboundDedup).
 */
#ifndef BBW_PEERS_DEDUP_H
#define BBW_PEERS_DEDUP_H

#include "base/map.h"
#include "bbw/error.h"

#define BBW_DEDUP_WINDOW 8192u

typedef struct bbw_dedup {
  const bbw_mem *mem;
  bbw_map seen;
  uint64_t *order; /* ring of the hashes; grows up to cap */
  size_t size;
  size_t head;
  size_t count;
  size_t cap;
} bbw_dedup;

void bbw_dedup_init(
    bbw_dedup *dedup,
    const bbw_mem *mem); /* cap BBW_DEDUP_WINDOW; set cap (at least 1) before the first record to change it */
void bbw_dedup_free(bbw_dedup *dedup);
/* *is_repeat: the hash was in the window.  BBW_OK or BBW_E_NOMEM (nothing recorded). */
bbw_status bbw_dedup_record(bbw_dedup *dedup, uint64_t hash, bool *is_repeat);
bool bbw_dedup_contains(const bbw_dedup *dedup, uint64_t hash);

#endif
