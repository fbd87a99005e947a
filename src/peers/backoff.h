/*
 * backoff: when may a failing peer be tried again?
 *
 * One entry per peer with failures of what we send; success removes it.  (For what comes in, backpressure.h is the counterpart.)  The wait doubles from BBW_BACKOFF_BASE_NS up to BBW_BACKOFF_CAP_NS.
 * Jitter keeps many nodes from coming back at once: up to half of our own wait is taken off, and up to a quarter is added to a pause that the peer asks for, which is the least that it wants.
 * Time (monotonic ns) and chance (64 random bits; 0: no jitter) are arguments, so this module reads no clock.  Bounded; the entry whose last failure is the oldest is evicted.
 * Source: wire specification §15 (BackoffTable); jitter is ours.
 */
#ifndef BBW_PEERS_BACKOFF_H
#define BBW_PEERS_BACKOFF_H

#include "peers/peer_table.h"

#define BBW_BACKOFF_BASE_NS   UINT64_C(10000000)
#define BBW_BACKOFF_CAP_NS    UINT64_C(60000000000)
#define BBW_BACKOFF_PEERS_MAX 16384u

typedef struct bbw_backoff_entry {
  bbw_peer_entry head;
  uint32_t attempts;
  uint64_t last_attempt_ns;
  uint64_t next_retry_ns;
  bool is_advisory; /* the peer asked for the pause */
} bbw_backoff_entry;

typedef struct bbw_backoff {
  bbw_peer_table entries; /* oldest failure first */
  uint64_t base_ns;       /* at least 1 */
  uint64_t cap_ns;        /* at least 1 */
} bbw_backoff;

void bbw_backoff_init(bbw_backoff *backoff, const bbw_mem *mem);
void bbw_backoff_free(bbw_backoff *backoff);
/* BBW_OK or BBW_E_NOMEM (nothing changed). */
bbw_status bbw_backoff_record_failure(bbw_backoff *backoff, const bbw_peer_id *peer, uint64_t now_ns, uint64_t chance);
/* The peer asked for a pause of min_ns (capped at cap_ns before jitter); it replaces whatever wait there was. */
bbw_status bbw_backoff_record_remote_advisory(bbw_backoff *backoff, const bbw_peer_id *peer, uint64_t now_ns,
                                              uint64_t min_ns, uint64_t chance);
void bbw_backoff_record_success(bbw_backoff *backoff, const bbw_peer_id *peer);
bool bbw_backoff_should_retry(const bbw_backoff *backoff, const bbw_peer_id *peer, uint64_t now_ns);
const bbw_backoff_entry *bbw_backoff_find(const bbw_backoff *backoff, const bbw_peer_id *peer); /* NULL if none */

#endif
