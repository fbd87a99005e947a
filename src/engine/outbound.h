/*
 * outbound: envelopes that wait for the end of the poll.
 *
 * An envelope's bytes are its destination addresses followed by a tail that is the same for every peer of a fan-out; the tail is encoded once and shared.
 * At the cap the oldest envelope is dropped and counted.
 */
#ifndef BBW_ENGINE_OUTBOUND_H
#define BBW_ENGINE_OUTBOUND_H

#include "base/vec.h"
#include "bbw/envelope.h"
#include "bbw/peer_id.h"

typedef struct bbw_tail {
  uint32_t refs;
  size_t len;
  uint8_t bytes[];
} bbw_tail;

typedef struct bbw_outbound_entry {
  bbw_peer_id peer;
  uint8_t *dest; /* field 1 of the envelope, once per address: tag, length, bytes */
  size_t dest_len;
  bbw_tail *tail;
  bool is_redelivered; /* from a snapshot: it may have been sent in an earlier life */
} bbw_outbound_entry;

typedef struct bbw_outbound {
  const bbw_mem *mem;
  bbw_vec entries; /* oldest at head */
  size_t head;
  uint64_t cap;
  uint64_t dropped_new; /* since the last OutboundDropped step */
} bbw_outbound;

void bbw_outbound_init(bbw_outbound *outbound, uint64_t cap, const bbw_mem *mem);
void bbw_outbound_free(bbw_outbound *outbound);

/* Encodes everything of the envelope but its destination addresses.  One reference.  BBW_E_LIMIT when no step record could hold it. */
bbw_status bbw_tail_new(bbw_tail **out, const bbw_envelope *envelope, const bbw_mem *mem);
void bbw_tail_release(bbw_tail *tail, const bbw_mem *mem);

/* Queues an envelope for one peer; takes a reference of its own on the tail. */
bbw_status bbw_outbound_push(bbw_outbound *outbound, const bbw_peer_id *peer, const bbw_bytes *addresses, size_t count,
                             bbw_tail *tail);
/* Marks the youngest entry. */
void bbw_outbound_mark_redelivered(bbw_outbound *outbound);
size_t bbw_outbound_count(const bbw_outbound *outbound);
/* The oldest entry, or NULL; pop frees it. */
const bbw_outbound_entry *bbw_outbound_front(const bbw_outbound *outbound);
void bbw_outbound_pop(bbw_outbound *outbound);
/* Address `at` (start with 0) of an entry; moves `at` on.  False at the end. */
bool bbw_outbound_address(const bbw_outbound_entry *entry, size_t *at, bbw_bytes *out);

#endif
