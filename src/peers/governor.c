#include "peers/governor.h"

typedef struct health_entry {
  bbw_peer_entry head;
  bbw_peer_health health;
} health_entry;

void bbw_governor_init(bbw_governor *governor, const bbw_mem *mem) {
  *governor = (bbw_governor){.mem = mem, .failure_threshold = BBW_GOVERNOR_FAILURE_THRESHOLD};
  bbw_peer_table_init(&governor->blocked, sizeof(bbw_peer_entry), mem);
  bbw_peer_table_init(&governor->allowed, sizeof(bbw_peer_entry), mem);
  bbw_peer_table_init(&governor->health, sizeof(health_entry), mem);
}

void bbw_governor_free(bbw_governor *governor) {
  bbw_peer_table_free(&governor->blocked);
  bbw_peer_table_free(&governor->allowed);
  bbw_peer_table_free(&governor->health);
}

bbw_str bbw_verdict_label(bbw_verdict verdict) {
  static const bbw_str labels[] = {
      [BBW_VERDICT_ALLOW] = {"", 0},
      [BBW_VERDICT_BLOCKLISTED] = {"blocklisted", 11},
      [BBW_VERDICT_NOT_ALLOWLISTED] = {"not_allowlisted", 15},
      [BBW_VERDICT_COOLDOWN] = {"cooldown", 8},
  };
  return labels[verdict];
}

bbw_verdict bbw_governor_check_inbound(const bbw_governor *governor, const bbw_peer_id *peer) {
  if (bbw_peer_table_find(&governor->blocked, peer) != NULL) { return BBW_VERDICT_BLOCKLISTED; }
  if (governor->has_allowlist && bbw_peer_table_find(&governor->allowed, peer) == NULL) {
    return BBW_VERDICT_NOT_ALLOWLISTED;
  }
  return BBW_VERDICT_ALLOW;
}

bbw_verdict bbw_governor_check_outbound(const bbw_governor *governor, const bbw_backoff *backoff,
                                        const bbw_peer_id *peer, uint64_t now_ns, uint64_t *retry_ns) {
  bbw_verdict verdict = bbw_governor_check_inbound(governor, peer);
  if (verdict != BBW_VERDICT_ALLOW || bbw_backoff_should_retry(backoff, peer, now_ns)) { return verdict; }
  *retry_ns = bbw_backoff_find(backoff, peer)->next_retry_ns;
  return BBW_VERDICT_COOLDOWN;
}

/* ---- lists -------------------------------------------------------------------------------------------------------- */

static bbw_status set_add(bbw_peer_table *set, const bbw_peer_id *peer) {
  if (bbw_peer_table_find(set, peer) != NULL) { return BBW_OK; }
  if (set->count >= BBW_GOVERNOR_PEERS_MAX) { return BBW_E_LIMIT; }
  return bbw_peer_table_add(set, peer) == NULL ? BBW_E_NOMEM : BBW_OK;
}

bbw_status bbw_governor_block(bbw_governor *governor, const bbw_peer_id *peer) {
  return set_add(&governor->blocked, peer);
}

void bbw_governor_unblock(bbw_governor *governor, const bbw_peer_id *peer) {
  void *entry = bbw_peer_table_find(&governor->blocked, peer);
  if (entry != NULL) { bbw_peer_table_remove(&governor->blocked, entry); }
}

bbw_status bbw_governor_set_allowlist(bbw_governor *governor, const bbw_peer_id *peers, size_t count) {
  bbw_peer_table fresh;
  bbw_peer_table_init(&fresh, sizeof(bbw_peer_entry), governor->mem);
  fresh.seed = governor->allowed.seed;
  for (size_t i = 0; peers != NULL && i < count; i++) {
    bbw_status rv = set_add(&fresh, &peers[i]);
    if (rv != BBW_OK) {
      bbw_peer_table_free(&fresh);
      return rv;
    }
  }
  bbw_peer_table_free(&governor->allowed);
  governor->allowed = fresh;
  governor->has_allowlist = peers != NULL;
  return BBW_OK;
}

/* ---- health ------------------------------------------------------------------------------------------------------- */

bbw_health_change bbw_governor_record_failure(bbw_governor *governor, const bbw_peer_id *peer, uint64_t now_ns) {
  health_entry *entry = bbw_peer_table_touch(&governor->health, peer, BBW_GOVERNOR_PEERS_MAX);
  if (entry == NULL) { return BBW_HEALTH_NONE; }
  bbw_peer_health *health = &entry->health;
  if (health->consecutive_failures < UINT32_MAX) { health->consecutive_failures++; }
  health->last_event_ns = now_ns;
  if (health->is_down || health->consecutive_failures < governor->failure_threshold) { return BBW_HEALTH_NONE; }
  health->is_down = true;
  return BBW_HEALTH_WENT_DOWN;
}

bbw_health_change bbw_governor_record_success(bbw_governor *governor, const bbw_peer_id *peer, uint64_t now_ns) {
  health_entry *entry = bbw_peer_table_touch(&governor->health, peer, BBW_GOVERNOR_PEERS_MAX);
  if (entry == NULL) { return BBW_HEALTH_NONE; }
  bool was_down = entry->health.is_down;
  entry->health = (bbw_peer_health){.last_event_ns = now_ns};
  return was_down ? BBW_HEALTH_CAME_UP : BBW_HEALTH_NONE;
}

bbw_status bbw_governor_restore_health(bbw_governor *governor, const bbw_peer_id *peer, bbw_peer_health health) {
  health_entry *entry = bbw_peer_table_touch(&governor->health, peer, BBW_GOVERNOR_PEERS_MAX);
  if (entry == NULL) { return BBW_E_NOMEM; }
  entry->health = health;
  return BBW_OK;
}

bool bbw_governor_peer_health(const bbw_governor *governor, const bbw_peer_id *peer, bbw_peer_health *out) {
  const health_entry *entry = bbw_peer_table_find(&governor->health, peer);
  if (entry == NULL) { return false; }
  *out = entry->health;
  return true;
}
