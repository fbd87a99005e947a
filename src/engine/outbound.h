/*
 * outbound: envelopes on their way to the host.
 *
 * An envelope's bytes are its destination addresses followed by a tail that is the same for every peer of a fan-out; the tail is encoded once and shared.
 *
 * Most envelopes pass one queue and leave with the poll that made them; beyond `cap` the oldest of it is dropped and counted.  A peer whose transport takes no more for now has a *flow*:
 * a queue of its own and a room in bytes, which the host gives.  Its envelopes wait there, in order, and never take a place or a turn from others.  A flow may hold as much as the waiting
 * envelopes of all flows leave free of `bytes_max` and of `cap`; beyond that it loses its own oldest.  So one slow peer has at most half of the memory, n of them 1 / (n + 1) each, and there is
 * always some left for the next (Choudhury and Hahne, Dynamic queue length thresholds, 1998).  Flows with room take turns of BBW_OUTBOUND_TURN_BYTES.
 * Pushing, giving room and taking out cost the same for any number of peers.  Source: wire specification §20.1 for the one queue; flows are ours.
 */
#ifndef BBW_ENGINE_OUTBOUND_H
#define BBW_ENGINE_OUTBOUND_H

#include "bbw/envelope.h"
#include "peers/peer_table.h"

/* Flows of a node; as many peers as the address book knows. */
#define BBW_OUTBOUND_FLOWS_MAX  16384u
#define BBW_OUTBOUND_TURN_BYTES 65536u
/* Room without a limit: the peer needs no flow. */
#define BBW_OUTBOUND_NO_LIMIT UINT64_MAX

typedef struct bbw_tail {
  uint32_t refs;
  uint32_t waiting; /* of them, entries in flows: its bytes count once */
  size_t len;
  uint8_t bytes[];
} bbw_tail;

typedef struct bbw_outbound_entry bbw_outbound_entry;
struct bbw_outbound_entry {
  bbw_outbound_entry *next;
  bbw_peer_id peer;
  bbw_tail *tail;
  uint64_t queued_ns;  /* the deadline in the tail counts from then */
  bool is_redelivered; /* from a snapshot: it may have been sent in an earlier life */
  size_t dest_len;
  uint8_t dest[]; /* field 1 of the envelope, once per address: tag, length, bytes */
};

typedef struct bbw_outbound_queue {
  bbw_outbound_entry *first; /* oldest */
  bbw_outbound_entry *last;
  size_t count;
} bbw_outbound_queue;

typedef struct bbw_flow bbw_flow;
struct bbw_flow {
  bbw_peer_entry head;
  bbw_outbound_queue queue;
  uint64_t bytes; /* of the queue, shared or not */
  uint64_t room;
  bbw_flow *next;  /* in the ring of those that take turns */
  bool is_in_ring; /* it may have lost its room or its envelopes since it came in */
};

typedef struct bbw_outbound {
  const bbw_mem *mem;
  bbw_outbound_queue now;
  uint64_t cap;         /* envelopes in `now`, and as many again in flows */
  uint64_t bytes_max;   /* of memory for what waits in flows */
  uint64_t dropped_new; /* since the last OutboundDropped step */
  uint64_t now_ns;
  bbw_peer_table flows;
  size_t waiting_count;
  uint64_t waiting_bytes; /* a shared tail counts once */
  bbw_flow *ring_first;
  bbw_flow *ring_last;
  uint64_t turn_bytes; /* that the first of the ring has had */
} bbw_outbound;

void bbw_outbound_init(bbw_outbound *outbound, uint64_t cap, uint64_t bytes_max, const bbw_mem *mem);
void bbw_outbound_free(bbw_outbound *outbound);
/* Forgets all envelopes.  Rooms stay. */
void bbw_outbound_clear(bbw_outbound *outbound);

/* Encodes everything of the envelope but its destination addresses.  One reference.  BBW_E_LIMIT when no step record could hold it. */
bbw_status bbw_tail_new(bbw_tail **out, const bbw_envelope *envelope, const bbw_mem *mem);
void bbw_tail_release(bbw_tail *tail, const bbw_mem *mem);

/* Queues an envelope for one peer; takes a reference of its own on the tail.  BBW_OK, also when it had to be dropped; BBW_E_NOMEM. */
bbw_status bbw_outbound_push(bbw_outbound *outbound, const bbw_peer_id *peer, const bbw_bytes *addresses, size_t count,
                             bbw_tail *tail);
/*
 * From now on so many bytes may go to the peer; the envelope that uses up the last of them goes whole, so that one of any size gets through.  0: none.  BBW_OUTBOUND_NO_LIMIT: what waits goes out,
 * then the flow goes.  BBW_OK, BBW_E_LIMIT (too many flows), BBW_E_NOMEM.
 */
bbw_status bbw_outbound_set_room(bbw_outbound *outbound, const bbw_peer_id *peer, uint64_t room);
/* Marks the youngest entry of `now`, which was queued in an earlier life at that time. */
void bbw_outbound_mark_redelivered(bbw_outbound *outbound, uint64_t queued_ns);
/* All envelopes, those that wait included. */
size_t bbw_outbound_count(const bbw_outbound *outbound);
/* The next entry that may leave, or NULL; pop frees it. */
const bbw_outbound_entry *bbw_outbound_front(const bbw_outbound *outbound);
void bbw_outbound_pop(bbw_outbound *outbound);
/* To be called when nothing may leave: flows that have lost their room meanwhile leave the ring, so that nobody walks over them again. */
void bbw_outbound_rest(bbw_outbound *outbound);
/* Address `at` (start with 0) of an entry; moves `at` on.  False at the end. */
bool bbw_outbound_address(const bbw_outbound_entry *entry, size_t *at, bbw_bytes *out);
/* Writes the bytes of the envelope: dest_len + tail->len of them.  What is left of its deadline is less by the time that it waited, and 1 when that is over. */
void bbw_outbound_write(const bbw_outbound *outbound, const bbw_outbound_entry *entry, uint8_t *out);

#endif
