/*
 * backpressure: what do we tell a peer that sends while our queue is nearly full?
 *
 * First notices, at most one per window that the last notice named; after K of them the peer is dropped silently.  Unlike the reference, silence ends: when no
 * overload was seen from the peer for the length of the last window, it starts anew.  Bounded; the peer that overloaded us longest ago is
 * forgotten.  Source: wire specification, §16.
 */
#ifndef BBW_PEERS_BACKPRESSURE_H
#define BBW_PEERS_BACKPRESSURE_H

#include "peers/peer_table.h"

#define BBW_BACKPRESSURE_PEERS_MAX 4096u

typedef enum bbw_overload_cause {
  BBW_OVERLOAD_QUEUE_FULL,
  BBW_OVERLOAD_PHI,
  BBW_OVERLOAD_EXPLICIT_DROP
} bbw_overload_cause;

typedef enum bbw_overload_answer {
  BBW_OVERLOAD_NOTICE,
  BBW_OVERLOAD_SUPPRESS,
  BBW_OVERLOAD_SILENT_DROP
} bbw_overload_answer;

typedef struct bbw_backpressure_config {
  uint32_t high_water_pct;         /* 1..100 */
  uint32_t notices_before_silent;  /* at least 1 */
  uint64_t notice_interval_min_ns; /* at least 1 */
} bbw_backpressure_config;

/* 75 %, 3 notices, 1 s. */
extern const bbw_backpressure_config bbw_backpressure_config_default;

typedef struct bbw_backpressure_entry {
  bbw_peer_entry head;
  uint32_t notice_count;
  uint64_t last_notice_ns;
  uint64_t window_ns;        /* that the last notice named */
  uint64_t last_overload_ns; /* however it was answered */
  bool is_silent;
} bbw_backpressure_entry;

typedef struct bbw_backpressure {
  bbw_backpressure_config config;
  bbw_peer_table entries; /* overloaded longest ago first */
} bbw_backpressure;

/* Out-of-range numbers are moved to the nearest allowed one. */
void bbw_backpressure_init(bbw_backpressure *tracker, bbw_backpressure_config config, const bbw_mem *mem);
void bbw_backpressure_free(bbw_backpressure *tracker);

/* Is a queue of `count` in `cap` places over the high-water mark? */
bool bbw_backpressure_is_over(const bbw_backpressure *tracker, uint64_t count, uint64_t cap);
/* The peer sent while we are overloaded.  NOTICE: tell it to wait *window_ns.  When memory runs out: SUPPRESS. */
bbw_overload_answer bbw_backpressure_observe(bbw_backpressure *tracker, const bbw_peer_id *peer, uint64_t min_ns,
                                             uint64_t now_ns, uint64_t *window_ns);
/* Is everything of this peer to be dropped?  Ends the silence when its window passed without overload. */
bool bbw_backpressure_is_silent(bbw_backpressure *tracker, const bbw_peer_id *peer, uint64_t now_ns);
/* Forgets the peer. */
void bbw_backpressure_record_recovery(bbw_backpressure *tracker, const bbw_peer_id *peer);
const bbw_backpressure_entry *bbw_backpressure_find(const bbw_backpressure *tracker, const bbw_peer_id *peer);

#endif
