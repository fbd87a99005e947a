/*
 * governor: may a peer talk to us, may we talk to it, and how is it?
 *
 * A block list, an optional allow list, and a health entry per peer with failures.  Bounded tables; the health entry that was touched longest ago is evicted.
 * Source: wire specification §14 (PeerGovernor).
 */
#ifndef BBW_PEERS_GOVERNOR_H
#define BBW_PEERS_GOVERNOR_H

#include "peers/backoff.h"

#define BBW_GOVERNOR_FAILURE_THRESHOLD 5u
#define BBW_GOVERNOR_PEERS_MAX         16384u

typedef enum bbw_verdict {
  BBW_VERDICT_ALLOW,
  BBW_VERDICT_BLOCKLISTED,
  BBW_VERDICT_NOT_ALLOWLISTED,
  BBW_VERDICT_COOLDOWN
} bbw_verdict;
typedef enum bbw_health_change { BBW_HEALTH_NONE, BBW_HEALTH_WENT_DOWN, BBW_HEALTH_CAME_UP } bbw_health_change;

typedef struct bbw_peer_health {
  uint32_t consecutive_failures;
  uint64_t last_event_ns;
  bool is_down;
} bbw_peer_health;

typedef struct bbw_governor {
  const bbw_mem *mem;
  bbw_peer_table blocked;
  bool has_allowlist;
  bbw_peer_table allowed;
  bbw_peer_table health;      /* touched longest ago first */
  uint32_t failure_threshold; /* at least 1 */
} bbw_governor;

void bbw_governor_init(bbw_governor *governor, const bbw_mem *mem);
void bbw_governor_free(bbw_governor *governor);

bbw_verdict bbw_governor_check_inbound(const bbw_governor *governor, const bbw_peer_id *peer);
/* The same two tests, then the backoff table.  *retry_ns is written for COOLDOWN. */
bbw_verdict bbw_governor_check_outbound(const bbw_governor *governor, const bbw_backoff *backoff,
                                        const bbw_peer_id *peer, uint64_t now_ns, uint64_t *retry_ns);
bbw_str bbw_verdict_label(bbw_verdict verdict); /* "", "blocklisted", "not_allowlisted", "cooldown" */

bbw_status
bbw_governor_block(bbw_governor *governor,
                   const bbw_peer_id *peer); /* BBW_OK (also when blocked already), BBW_E_LIMIT, BBW_E_NOMEM */
void bbw_governor_unblock(bbw_governor *governor, const bbw_peer_id *peer);
/* peers == NULL: open; otherwise exactly these (none: nobody). */
bbw_status bbw_governor_set_allowlist(bbw_governor *governor, const bbw_peer_id *peers, size_t count);

/* Out of memory leaves the table as it is and answers NONE. */
bbw_health_change bbw_governor_record_failure(bbw_governor *governor, const bbw_peer_id *peer, uint64_t now_ns);
bbw_health_change bbw_governor_record_success(bbw_governor *governor, const bbw_peer_id *peer, uint64_t now_ns);
/* The peer's entry as it was saved, behind all others.  BBW_OK or BBW_E_NOMEM. */
bbw_status bbw_governor_restore_health(bbw_governor *governor, const bbw_peer_id *peer, bbw_peer_health health);
bool bbw_governor_peer_health(const bbw_governor *governor, const bbw_peer_id *peer, bbw_peer_health *out);

#endif
