#include "peers/backpressure.h"

const bbw_backpressure_config bbw_backpressure_config_default = {
    .high_water_pct = 75,
    .notices_before_silent = 3,
    .notice_interval_min_ns = 1000000000u,
};

void bbw_backpressure_init(bbw_backpressure *tracker, bbw_backpressure_config config, const bbw_mem *mem) {
  if (config.high_water_pct < 1) { config.high_water_pct = 1; }
  if (config.high_water_pct > 100) { config.high_water_pct = 100; }
  if (config.notices_before_silent < 1) { config.notices_before_silent = 1; }
  if (config.notice_interval_min_ns < 1) { config.notice_interval_min_ns = 1; }
  tracker->config = config;
  bbw_peer_table_init(&tracker->entries, sizeof(bbw_backpressure_entry), mem);
}

void bbw_backpressure_free(bbw_backpressure *tracker) { bbw_peer_table_free(&tracker->entries); }

bool bbw_backpressure_is_over(const bbw_backpressure *tracker, uint64_t count, uint64_t cap) {
  /* count * 100 >= cap * pct, without a product that may not fit: cap = 100 * whole + part. */
  uint64_t pct = tracker->config.high_water_pct;
  uint64_t mark = cap / 100 * pct + (cap % 100 * pct + 99) / 100;
  return cap != 0 && count >= mark;
}

static bool has_passed(uint64_t since_ns, uint64_t window_ns, uint64_t now_ns) {
  return now_ns >= since_ns && now_ns - since_ns >= window_ns;
}

bbw_overload_answer bbw_backpressure_observe(bbw_backpressure *tracker, const bbw_peer_id *peer, uint64_t min_ns,
                                             uint64_t now_ns, uint64_t *window_ns) {
  (void)bbw_backpressure_is_silent(tracker, peer, now_ns);
  bbw_backpressure_entry *entry = bbw_peer_table_touch(&tracker->entries, peer, BBW_BACKPRESSURE_PEERS_MAX);
  if (entry == NULL) { return BBW_OVERLOAD_SUPPRESS; }
  entry->last_overload_ns = now_ns;
  if (entry->is_silent) { return BBW_OVERLOAD_SILENT_DROP; }
  bool was_told = entry->notice_count != 0;
  if (was_told && !has_passed(entry->last_notice_ns, entry->window_ns, now_ns)) { return BBW_OVERLOAD_SUPPRESS; }
  uint64_t interval = tracker->config.notice_interval_min_ns;
  entry->notice_count++;
  entry->last_notice_ns = now_ns;
  entry->window_ns = min_ns > interval ? min_ns : interval;
  entry->is_silent = entry->notice_count >= tracker->config.notices_before_silent;
  *window_ns = entry->window_ns;
  return BBW_OVERLOAD_NOTICE;
}

bool bbw_backpressure_is_silent(bbw_backpressure *tracker, const bbw_peer_id *peer, uint64_t now_ns) {
  bbw_backpressure_entry *entry = bbw_peer_table_find(&tracker->entries, peer);
  if (entry == NULL || !entry->is_silent) { return false; }
  if (!has_passed(entry->last_overload_ns, entry->window_ns, now_ns)) { return true; }
  bbw_peer_table_remove(&tracker->entries, entry);
  return false;
}

void bbw_backpressure_record_recovery(bbw_backpressure *tracker, const bbw_peer_id *peer) {
  void *entry = bbw_peer_table_find(&tracker->entries, peer);
  if (entry != NULL) { bbw_peer_table_remove(&tracker->entries, entry); }
}

const bbw_backpressure_entry *bbw_backpressure_find(const bbw_backpressure *tracker, const bbw_peer_id *peer) {
  return bbw_peer_table_find(&tracker->entries, peer);
}
