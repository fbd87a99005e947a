/* The parts that all of the rebuilding shares, and the tables about peers. */
#include "node/snapshot_rebuild.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

bbw_status bbw_rebuild_bad(const bbw_rebuild *r, const char *detail) {
  bbw_error_set(r->err, BBW_E_SNAP_DECODE);
  bbw_error_add_str(r->err, "detail", (bbw_str){detail, strlen(detail)});
  return BBW_E_SNAP_DECODE;
}

bbw_status bbw_rebuild_failed(const bbw_rebuild *r, bbw_status rv, const char *detail) {
  if (rv == BBW_OK) { return rv; }
  bool is_memory = rv == BBW_E_NOMEM || rv == BBW_E_AB_ALLOCATION_FAILED;
  return is_memory ? bbw_error_set(r->err, BBW_E_NOMEM) : bbw_rebuild_bad(r, detail);
}

bbw_status bbw_rebuild_peer(const bbw_rebuild *r, bbw_bytes bytes, bbw_peer_id *out) {
  return bbw_rebuild_failed(r, bbw_peer_id_decode(out, bytes, NULL), "a peer id is malformed");
}

bbw_status bbw_rebuild_value(const bbw_rebuild *r, const bbw_snap_value *value, bbw_value **out) {
  if (value == NULL) { return bbw_rebuild_bad(r, "a value is missing"); }
  if (value->type_hash == bbw_type_hash(BBW_TYPE_TRIGGER) && value->payload.len == 0) {
    *out = bbw_value_retain(r->engine->trigger);
    return BBW_OK;
  }
  bbw_value *decoded;
  bbw_status rv = bbw_value_decode(&decoded, value->type_hash, value->payload, r->engine->mem, NULL);
  if (rv != BBW_OK) { return bbw_rebuild_failed(r, rv, "a value does not decode as its type"); }
  if (bbw_value_payload_size(decoded) != value->payload.len) {
    bbw_value_release(decoded, r->engine->mem);
    return bbw_rebuild_bad(r, "a value is followed by other bytes");
  }
  *out = decoded;
  return BBW_OK;
}

bbw_status bbw_rebuild_charge(const bbw_rebuild *r, uint64_t bytes, size_t *out) {
  uint64_t left = r->snap->bytes_in_flight - r->engine->bytes_in_flight; /* never negative: each charge is checked */
  if (bytes > SIZE_MAX || bytes > left) { return bbw_rebuild_bad(r, "the charged bytes do not add up"); }
  r->engine->bytes_in_flight += bytes;
  *out = (size_t)bytes;
  return BBW_OK;
}

static bbw_status seed_take(const bbw_rebuild *r, const bbw_graph *graph, const bbw_snap_seed *from, bbw_seed *out) {
  if (from->site >= graph->site_count) { return bbw_rebuild_bad(r, "a site is out of range"); }
  out->site = from->site;
  bbw_status rv = bbw_rebuild_charge(r, from->charge, &out->charge);
  return rv == BBW_OK ? bbw_rebuild_value(r, from->value, &out->value) : rv;
}

bbw_status bbw_rebuild_seeds(const bbw_rebuild *r, const bbw_graph *graph, const bbw_proto_list *list, bbw_seed **out) {
  const bbw_mem *mem = r->engine->mem;
  bbw_seed *seeds = bbw_mem_array(mem, list->count, sizeof(*seeds));
  bbw_status rv = seeds == NULL && list->count != 0 ? bbw_error_set(r->err, BBW_E_NOMEM) : BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < list->count; i++) {
    rv = seed_take(r, graph, BBW_PROTO_AT(list, bbw_snap_seed, i), &seeds[i]);
  }
  if (rv == BBW_OK) {
    *out = seeds;
    return BBW_OK;
  }
  if (seeds != NULL) { bbw_engine_drop_seeds(r->engine, seeds, list->count); }
  bbw_mem_array_free(mem, seeds, list->count, sizeof(*seeds));
  return rv;
}

/* ---- peers ---- */

static bbw_status rebuild_book(const bbw_rebuild *r) {
  bbw_address_book *book = &r->engine->address_book;
  for (size_t i = 0; i < r->snap->peers.count; i++) {
    const bbw_snap_peer *peer = BBW_PROTO_AT(&r->snap->peers, bbw_snap_peer, i);
    bbw_peer_id id;
    bbw_status rv = bbw_rebuild_peer(r, peer->peer, &id);
    if (rv == BBW_OK) {
      rv = bbw_address_book_restore(book, &id, peer->addresses.items, peer->addresses.count, peer->ref_count,
                                    peer->claimed);
      rv = bbw_rebuild_failed(r, rv, "an entry of the address book is not valid");
    }
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

static bbw_status rebuild_lists(const bbw_rebuild *r) {
  bbw_governor *governor = &r->engine->governor;
  const bbw_snap *snap = r->snap;
  bbw_status rv = BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < snap->blocked.count; i++) {
    bbw_peer_id id;
    rv = bbw_rebuild_peer(r, *BBW_PROTO_AT(&snap->blocked, bbw_bytes, i), &id);
    if (rv == BBW_OK) { rv = bbw_rebuild_failed(r, bbw_governor_block(governor, &id), "too many blocked peers"); }
  }
  size_t count = snap->allowed.count;
  bbw_peer_id *allowed = bbw_arena_array(r->arena, count, sizeof(*allowed));
  if (allowed == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  for (size_t i = 0; rv == BBW_OK && i < count; i++) {
    rv = bbw_rebuild_peer(r, *BBW_PROTO_AT(&snap->allowed, bbw_bytes, i), &allowed[i]);
  }
  if (rv == BBW_OK && snap->has_allowlist) {
    rv = bbw_rebuild_failed(r, bbw_governor_set_allowlist(governor, allowed, count), "too many allowed peers");
  }
  if (rv != BBW_OK) { return rv; }
  if (governor->blocked.count != snap->blocked.count || governor->allowed.count != count) {
    return bbw_rebuild_bad(r, "a list of peers names one twice");
  }
  if (snap->failure_threshold == 0) { return bbw_rebuild_bad(r, "the failure threshold is 0"); }
  governor->failure_threshold = snap->failure_threshold;
  return BBW_OK;
}

static bbw_status rebuild_health(const bbw_rebuild *r) {
  bbw_governor *governor = &r->engine->governor;
  for (size_t i = 0; i < r->snap->health.count; i++) {
    const bbw_snap_health *health = BBW_PROTO_AT(&r->snap->health, bbw_snap_health, i);
    bbw_peer_id id;
    bbw_status rv = bbw_rebuild_peer(r, health->peer, &id);
    if (rv != BBW_OK) { return rv; }
    rv = bbw_governor_restore_health(governor, &id,
                                     (bbw_peer_health){.consecutive_failures = health->failures,
                                                       .last_event_ns = health->last_event_ns,
                                                       .is_down = health->is_down});
    if (rv != BBW_OK) { return bbw_error_set(r->err, rv); }
  }
  bool is_complete = governor->health.count == r->snap->health.count;
  return is_complete ? BBW_OK : bbw_rebuild_bad(r, "the health table is not valid");
}

static bbw_status rebuild_backoff(const bbw_rebuild *r) {
  bbw_peer_table *table = &r->engine->backoff.entries;
  for (size_t i = 0; i < r->snap->backoff.count; i++) {
    const bbw_snap_backoff *from = BBW_PROTO_AT(&r->snap->backoff, bbw_snap_backoff, i);
    bbw_peer_id id;
    bbw_status rv = bbw_rebuild_peer(r, from->peer, &id);
    if (rv != BBW_OK) { return rv; }
    bbw_backoff_entry *entry = bbw_peer_table_touch(table, &id, BBW_BACKOFF_PEERS_MAX);
    if (entry == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
    entry->attempts = from->attempts;
    entry->last_attempt_ns = from->last_attempt_ns;
    entry->next_retry_ns = from->next_retry_ns;
    entry->is_advisory = from->is_advisory;
  }
  bool is_complete = table->count == r->snap->backoff.count;
  return is_complete ? BBW_OK : bbw_rebuild_bad(r, "the backoff table is not valid");
}

static bbw_status rebuild_dedup(const bbw_rebuild *r) {
  bbw_dedup *dedup = &r->engine->dedup;
  for (size_t i = 0; i < r->snap->dedup.count; i++) {
    bool is_repeat;
    bbw_status rv = bbw_dedup_record(dedup, *BBW_PROTO_AT(&r->snap->dedup, uint64_t, i), &is_repeat);
    if (rv != BBW_OK) { return bbw_error_set(r->err, rv); }
  }
  bool is_complete = dedup->count == r->snap->dedup.count;
  return is_complete ? BBW_OK : bbw_rebuild_bad(r, "the window of received messages is not valid");
}

static bbw_status rebuild_request_peers(const bbw_rebuild *r, const bbw_snap_request *from) {
  size_t count = from->is_unsent ? 0 : from->others.count + 1;
  if ((count == 0 && from->others.count != 0) || count > UINT32_MAX) {
    return bbw_rebuild_bad(r, "a request that was sent to nobody has peers");
  }
  uint64_t *sites = bbw_arena_array(r->arena, count, sizeof(*sites));
  if (sites == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  if (count != 0) { sites[0] = from->target_site; }
  for (size_t i = 1; i < count; i++) { sites[i] = *BBW_PROTO_AT(&from->others, uint64_t, i - 1); }
  return bbw_error_set(r->err, bbw_requests_set_peers(&r->engine->requests, from->id, sites, count));
}

static bbw_status rebuild_requests(const bbw_rebuild *r) {
  bbw_requests *requests = &r->engine->requests;
  for (size_t i = 0; i < r->snap->requests.count; i++) {
    const bbw_snap_request *from = BBW_PROTO_AT(&r->snap->requests, bbw_snap_request, i);
    bool is_capped = from->expires_at_ns == UINT64_MAX;
    if (!is_capped && from->expires_at_ns <= from->started_at_ns) {
      return bbw_rebuild_bad(r, "a request ends before it begins");
    }
    uint64_t ttl_ns = is_capped ? UINT64_MAX : from->expires_at_ns - from->started_at_ns;
    bbw_status rv = bbw_requests_register(requests, from->id, from->started_at_ns, from->target_site, ttl_ns);
    if (rv != BBW_OK) { return bbw_rebuild_failed(r, rv, "too many requests"); }
    rv = rebuild_request_peers(r, from);
    if (rv != BBW_OK) { return rv; }
    if (from->has_edge) { bbw_requests_set_edge(requests, from->id, from->chain_id, from->hop); }
  }
  requests->next_token = r->snap->next_token;
  bool is_complete = bbw_requests_in_flight(requests) == r->snap->requests.count;
  return is_complete ? BBW_OK : bbw_rebuild_bad(r, "a request is listed twice");
}

/* An operator that waits for an answer is found by the request. */
static bbw_status rebuild_waiters(const bbw_rebuild *r) {
  for (size_t i = 0; i < r->snap->parked.count; i++) {
    const bbw_snap_parked *parked = BBW_PROTO_AT(&r->snap->parked, bbw_snap_parked, i);
    if (parked->request_id == 0 || parked->state != BBW_PARKED_WAITING) { continue; }
    bbw_request *request = bbw_requests_find(&r->engine->requests, parked->request_id);
    if (request == NULL || request->waiter != 0) {
      return bbw_rebuild_bad(r, "an op waits for the answer to no request, or to that of another op");
    }
    request->waiter = parked->cmd_id + 1;
  }
  return BBW_OK;
}

static bbw_rtt_estimator estimator_of(const bbw_snap_rtt_edge *from) {
  return (bbw_rtt_estimator){from->srtt_ns, from->rttvar_ns, from->sample_count};
}

static bbw_status rebuild_rtt_site(const bbw_rebuild *r, const bbw_snap_rtt_site *from) {
  size_t count = from->edges.count;
  bbw_rtt_edge_entry *edges = bbw_arena_array(r->arena, count, sizeof(*edges));
  if (edges == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  for (size_t i = 0; i < count; i++) {
    const bbw_snap_rtt_edge *edge = BBW_PROTO_AT(&from->edges, bbw_snap_rtt_edge, i);
    edges[i] = (bbw_rtt_edge_entry){{edge->chain_id, edge->hop}, estimator_of(edge), edge->onward_ns};
  }
  if (from->told > BBW_PHI_STATE_DOWN) { return bbw_rebuild_bad(r, "a peer is in no state"); }
  bbw_rtt_site site = {
      .site = from->site,
      .estimator = {from->srtt_ns, from->rttvar_ns, from->sample_count},
      .edges = {.items = edges, .count = count},
      .phi = {.last_seen_ns = from->last_seen_ns},
      .told = (bbw_phi_state)from->told,
      .due_ns = from->due_ns,
  };
  bbw_status rv = bbw_rtt_restore_site(&r->engine->rtt, &site, from->intervals.items, from->intervals.count);
  return bbw_rebuild_failed(r, rv, "the times of a peer are not valid");
}

static bbw_status rebuild_rtt(const bbw_rebuild *r) {
  const bbw_snap *snap = r->snap;
  bbw_status rv = BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < snap->rtt_sites.count; i++) {
    rv = rebuild_rtt_site(r, BBW_PROTO_AT(&snap->rtt_sites, bbw_snap_rtt_site, i));
  }
  for (size_t i = 0; rv == BBW_OK && i < snap->rtt_chains.count; i++) {
    const bbw_snap_rtt_edge *from = BBW_PROTO_AT(&snap->rtt_chains, bbw_snap_rtt_edge, i);
    bbw_rtt_chain chain = {from->chain_id, estimator_of(from), from->next_site, from->onward_ns};
    rv = bbw_rebuild_failed(r, bbw_rtt_restore_chain(&r->engine->rtt, &chain), "too many chains");
  }
  bool is_complete = rv != BBW_OK || r->engine->rtt.chains.count == snap->rtt_chains.count;
  if (!is_complete) { return bbw_rebuild_bad(r, "a chain is listed twice"); }
  if (snap->rtt_global != NULL) { r->engine->rtt.global = estimator_of(snap->rtt_global); }
  return rv;
}

static bbw_status rebuild_overloads(const bbw_rebuild *r) {
  bbw_peer_table *table = &r->engine->backpressure.entries;
  for (size_t i = 0; i < r->snap->overloads.count; i++) {
    const bbw_snap_overload *from = BBW_PROTO_AT(&r->snap->overloads, bbw_snap_overload, i);
    bbw_peer_id id;
    bbw_status rv = bbw_rebuild_peer(r, from->peer, &id);
    if (rv != BBW_OK) { return rv; }
    bbw_backpressure_entry *entry = bbw_peer_table_touch(table, &id, BBW_BACKPRESSURE_PEERS_MAX);
    if (entry == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
    entry->notice_count = from->notice_count;
    entry->last_notice_ns = from->last_notice_ns;
    entry->window_ns = from->window_ns;
    entry->last_overload_ns = from->last_overload_ns;
    entry->is_silent = from->is_silent;
  }
  r->engine->silent_drops = r->snap->silent_drops;
  bool is_complete = table->count == r->snap->overloads.count;
  return is_complete ? BBW_OK : bbw_rebuild_bad(r, "a peer is listed twice");
}

bbw_status bbw_rebuild_peers(bbw_rebuild *r) {
  bbw_status rv = rebuild_book(r);
  if (rv == BBW_OK) { rv = rebuild_lists(r); }
  if (rv == BBW_OK) { rv = rebuild_health(r); }
  if (rv == BBW_OK) { rv = rebuild_backoff(r); }
  if (rv == BBW_OK) { rv = rebuild_dedup(r); }
  if (rv == BBW_OK) { rv = rebuild_requests(r); }
  if (rv == BBW_OK) { rv = rebuild_waiters(r); }
  if (rv == BBW_OK) { rv = rebuild_rtt(r); }
  return rv == BBW_OK ? rebuild_overloads(r) : rv;
}
