#include "peers/backoff.h"

void bbw_backoff_init(bbw_backoff *backoff, const bbw_mem *mem) {
  bbw_peer_table_init(&backoff->entries, sizeof(bbw_backoff_entry), mem);
  backoff->base_ns = BBW_BACKOFF_BASE_NS;
  backoff->cap_ns = BBW_BACKOFF_CAP_NS;
}

void bbw_backoff_free(bbw_backoff *backoff) { bbw_peer_table_free(&backoff->entries); }

static uint64_t plus(uint64_t a, uint64_t b) { return b > UINT64_MAX - a ? UINT64_MAX : a + b; }

/* 0 to most, as chance is 0 to all ones; 32 bits of either are enough of it. */
static uint64_t part(uint64_t most, uint64_t chance) {
  return (most >> 32) * (chance >> 32) + ((most & UINT32_MAX) * (chance >> 32) >> 32);
}

/* min(base * 2^(attempts - 1), cap); attempts is at least 1. */
static uint64_t delay_ns(const bbw_backoff *backoff, uint32_t attempts) {
  uint64_t base = backoff->base_ns;
  uint32_t shift = attempts - 1;
  bool fits = shift < 64 && base <= UINT64_MAX >> shift;
  uint64_t delay = fits ? base << shift : UINT64_MAX;
  return delay < backoff->cap_ns ? delay : backoff->cap_ns;
}

static bbw_backoff_entry *count_attempt(bbw_backoff *backoff, const bbw_peer_id *peer, uint64_t now_ns) {
  bbw_backoff_entry *entry = bbw_peer_table_touch(&backoff->entries, peer, BBW_BACKOFF_PEERS_MAX);
  if (entry == NULL) { return NULL; }
  if (entry->attempts < UINT32_MAX) { entry->attempts++; }
  entry->last_attempt_ns = now_ns;
  return entry;
}

bbw_status bbw_backoff_record_failure(bbw_backoff *backoff, const bbw_peer_id *peer, uint64_t now_ns, uint64_t chance) {
  bbw_backoff_entry *entry = count_attempt(backoff, peer, now_ns);
  if (entry == NULL) { return BBW_E_NOMEM; }
  uint64_t wait_ns = delay_ns(backoff, entry->attempts);
  entry->next_retry_ns = plus(now_ns, wait_ns - part(wait_ns / 2, chance));
  entry->is_advisory = false;
  return BBW_OK;
}

bbw_status bbw_backoff_record_remote_advisory(bbw_backoff *backoff, const bbw_peer_id *peer, uint64_t now_ns,
                                              uint64_t min_ns, uint64_t chance) {
  bbw_backoff_entry *entry = count_attempt(backoff, peer, now_ns);
  if (entry == NULL) { return BBW_E_NOMEM; }
  uint64_t wait_ns = min_ns < backoff->cap_ns ? min_ns : backoff->cap_ns;
  entry->next_retry_ns = plus(now_ns, plus(wait_ns, part(wait_ns / 4, chance)));
  entry->is_advisory = true;
  return BBW_OK;
}

void bbw_backoff_record_success(bbw_backoff *backoff, const bbw_peer_id *peer) {
  void *entry = bbw_peer_table_find(&backoff->entries, peer);
  if (entry != NULL) { bbw_peer_table_remove(&backoff->entries, entry); }
}

bool bbw_backoff_should_retry(const bbw_backoff *backoff, const bbw_peer_id *peer, uint64_t now_ns) {
  const bbw_backoff_entry *entry = bbw_backoff_find(backoff, peer);
  return entry == NULL || now_ns >= entry->next_retry_ns;
}

const bbw_backoff_entry *bbw_backoff_find(const bbw_backoff *backoff, const bbw_peer_id *peer) {
  return bbw_peer_table_find(&backoff->entries, peer);
}
