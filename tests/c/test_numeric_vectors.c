/* Golden sequences of the per-peer state: backoff, governor, dedup, backpressure, RTT, phi, requests, address book. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "bbw/address.h"
#include "peers/address_book.h"
#include "peers/backpressure.h"
#include "peers/dedup.h"
#include "peers/governor.h"
#include "peers/request_tracker.h"
#include "peers/rtt.h"
#include "vectors.h"

static const json *steps_of(const vectors_case *c) { return json_get(c->json, "steps"); }
static uint64_t number(const json *step, const char *key) { return json_u64(json_get(step, key)); }
static bbw_peer_id peer_of(const json *step) { return bbw_peer_id_from_u64(number(step, "peer")); }

/* Runs `each` over the steps of a case and stops at the first that does not hold. */
typedef bool step_check(vectors_case *c, void *state, const json *step);
static bool each_step(vectors_case *c, void *state, step_check *each) {
  VECTOR(json_count(steps_of(c)) != 0);
  for (const json *step = steps_of(c)->child; step != NULL; step = step->next) {
    if (!each(c, state, step)) { return false; }
  }
  return true;
}

/* ---- backoff ------------------------------------------------------------------------------------------------------ */

static bool backoff_state_is(const bbw_backoff_entry *got, const json *want) {
  if (got == NULL || json_is_null(want)) { return got == NULL && json_is_null(want); }
  return got->attempts == number(want, "attempts") && got->last_attempt_ns == number(want, "last_attempt_ns") &&
         got->next_retry_ns == number(want, "next_retry_ns");
}

static bool ladder_step(vectors_case *c, void *state, const json *step) {
  bbw_peer_id peer = bbw_peer_id_from_u64(1);
  bbw_backoff *backoff = state;
  uint64_t now = number(step, "now");
  if (json_is(json_get(step, "op"), "failure")) {
    VECTOR(bbw_backoff_record_failure(backoff, &peer, now, 0) == BBW_OK);
  } else {
    VECTOR(json_is(json_get(step, "op"), "advisory"));
    VECTOR(bbw_backoff_record_remote_advisory(backoff, &peer, now, number(step, "min_backoff_ns"), 0) == BBW_OK);
  }
  VECTOR(backoff_state_is(bbw_backoff_find(backoff, &peer), step));
  return true;
}

static bool backoff_step(vectors_case *c, void *state, const json *step) {
  bbw_backoff *backoff = state;
  bbw_peer_id peer = peer_of(step);
  const json *op = json_get(step, "op");
  uint64_t now = number(step, "now");
  if (json_is(op, "failure")) { VECTOR(bbw_backoff_record_failure(backoff, &peer, now, 0) == BBW_OK); }
  if (json_is(op, "success")) { bbw_backoff_record_success(backoff, &peer); }
  if (json_is(op, "advisory")) {
    VECTOR(bbw_backoff_record_remote_advisory(backoff, &peer, now, number(step, "min_backoff_ns"), 0) == BBW_OK);
  }
  VECTOR(bbw_backoff_should_retry(backoff, &peer, now) == json_is_true(json_get(step, "should_retry")));
  VECTOR(backoff_state_is(bbw_backoff_find(backoff, &peer), json_get(step, "state")));
  return true;
}

static bool check_backoff(vectors_case *c) {
  bbw_backoff backoff;
  bbw_backoff_init(&backoff, &c->mem.mem);
  uint64_t base = number(c->json, "base_ns"), cap = number(c->json, "cap_ns");
  bool ok = true;
  if (json_is_true(vector_get(c, "default"))) {
    ok = backoff.base_ns == base && backoff.cap_ns == cap;
    c->why = "defaults";
  }
  backoff.base_ns = base == 0 ? 1 : base;
  backoff.cap_ns = cap == 0 ? 1 : cap;
  ok = ok && each_step(c, &backoff, vector_is(c, "backoff_ladder") ? ladder_step : backoff_step);
  bbw_backoff_free(&backoff);
  return ok;
}

/* ---- governor ----------------------------------------------------------------------------------------------------- */

typedef struct governor_state {
  bbw_governor governor;
  bbw_backoff backoff;
} governor_state;

static bool verdict_is(bbw_verdict got, uint64_t retry_ns, const json *want) {
  if (want->kind == JSON_OBJECT) {
    return got == BBW_VERDICT_COOLDOWN && retry_ns == number(want, "cooldown_retry_ns");
  }
  return got == BBW_VERDICT_ALLOW ? json_is(want, "allow") : bbw_str_equal(bbw_verdict_label(got), json_text(want));
}

static bool governor_act(vectors_case *c, governor_state *s, const json *step) {
  bbw_peer_id peer = peer_of(step), two[] = {bbw_peer_id_from_u64(1), bbw_peer_id_from_u64(2)};
  const json *op = json_get(step, "op");
  uint64_t now = number(step, "now");
  bbw_health_change change = BBW_HEALTH_NONE;
  if (json_is(op, "failure")) { change = bbw_governor_record_failure(&s->governor, &peer, now); }
  if (json_is(op, "success")) { change = bbw_governor_record_success(&s->governor, &peer, now); }
  if (json_is(op, "block")) { VECTOR(bbw_governor_block(&s->governor, &peer) == BBW_OK); }
  if (json_is(op, "unblock")) { bbw_governor_unblock(&s->governor, &peer); }
  if (json_is(op, "allowlist_1_2")) { VECTOR(bbw_governor_set_allowlist(&s->governor, two, 2) == BBW_OK); }
  if (json_is(op, "allowlist_empty")) { VECTOR(bbw_governor_set_allowlist(&s->governor, two, 0) == BBW_OK); }
  if (json_is(op, "allowlist_none")) { VECTOR(bbw_governor_set_allowlist(&s->governor, NULL, 0) == BBW_OK); }
  if (json_is(op, "backoff_failure")) { VECTOR(bbw_backoff_record_failure(&s->backoff, &peer, now, 0) == BBW_OK); }
  if (json_is(op, "backoff_success")) { bbw_backoff_record_success(&s->backoff, &peer); }
  const json *transition = json_get(step, "transition");
  if (transition != NULL) {
    static const char *const names[] = {"None", "WentDown", "CameUp"};
    VECTOR(json_is(transition, names[change]));
  }
  return true;
}

static bool governor_step(vectors_case *c, void *state, const json *step) {
  governor_state *s = state;
  bbw_peer_id peer = peer_of(step);
  if (!governor_act(c, s, step)) { return false; }
  uint64_t retry_ns = 0;
  VECTOR(verdict_is(bbw_governor_check_inbound(&s->governor, &peer), 0, json_get(step, "inbound")));
  bbw_verdict out = bbw_governor_check_outbound(&s->governor, &s->backoff, &peer, number(step, "now"), &retry_ns);
  VECTOR(verdict_is(out, retry_ns, json_get(step, "outbound")));
  const json *want = json_get(step, "health");
  bbw_peer_health health = {.is_down = false};
  VECTOR(bbw_governor_peer_health(&s->governor, &peer, &health) == !json_is_null(want));
  VECTOR(health.is_down == json_is_true(json_get(step, "is_down")));
  if (!json_is_null(want)) {
    VECTOR(health.consecutive_failures == number(want, "consecutive_failures"));
    VECTOR(health.last_event_ns == number(want, "last_event_ns"));
  }
  return true;
}

static bool check_governor(vectors_case *c) {
  governor_state s;
  bbw_governor_init(&s.governor, &c->mem.mem);
  bbw_backoff_init(&s.backoff, &c->mem.mem);
  uint64_t threshold = number(c->json, "failure_threshold");
  s.governor.failure_threshold = threshold == 0 ? 1 : (uint32_t)threshold;
  s.backoff.base_ns = number(vector_get(c, "backoff"), "base_ns");
  s.backoff.cap_ns = number(vector_get(c, "backoff"), "cap_ns");
  bool ok = each_step(c, &s, governor_step);
  bbw_governor_free(&s.governor);
  bbw_backoff_free(&s.backoff);
  return ok;
}

/* ---- dedup -------------------------------------------------------------------------------------------------------- */

static bool dedup_step(vectors_case *c, void *state, const json *step) {
  bbw_dedup *dedup = state;
  bool is_repeat;
  VECTOR(bbw_dedup_record(dedup, number(step, "hash"), &is_repeat) == BBW_OK);
  VECTOR(is_repeat == json_is_true(json_get(step, "duplicate")));
  VECTOR(dedup->count == number(step, "len"));
  VECTOR(bbw_dedup_contains(dedup, number(step, "hash")));
  return true;
}

static bool check_dedup(vectors_case *c) {
  bbw_dedup dedup;
  bbw_dedup_init(&dedup, &c->mem.mem);
  if (vector_is(c, "dedup_default")) {
    VECTOR(dedup.cap == number(c->json, "capacity"));
    return true;
  }
  dedup.cap = (size_t)number(c->json, "capacity");
  bool ok = each_step(c, &dedup, dedup_step);
  bbw_dedup_free(&dedup);
  return ok;
}

/* ---- backpressure ------------------------------------------------------------------------------------------------- */

#define PEERS_IN_SEQUENCE 16u

typedef struct backpressure_state {
  bbw_backpressure tracker;
  /* What the reference knows, to see where it meets one of its two weak spots: silence that never ends, and no window at time 0. */
  bool is_apart[PEERS_IN_SEQUENCE];
  unsigned compared, apart;
} backpressure_state;

static bool decision_is(bbw_overload_answer got, uint64_t window_ns, const json *want) {
  if (want->kind == JSON_OBJECT) { return got == BBW_OVERLOAD_NOTICE && window_ns == number(want, "emit"); }
  return json_is(want, got == BBW_OVERLOAD_SUPPRESS ? "suppress" : "silent_drop");
}

/* True when we answer otherwise on purpose. */
static bool meets_weak_spot(const bbw_backpressure_entry *entry, uint64_t now_ns) {
  if (entry == NULL) { return false; }
  bool has_zero_clock = entry->notice_count != 0 && entry->last_notice_ns == 0;
  bool is_quiet = entry->is_silent && now_ns - entry->last_overload_ns >= entry->window_ns;
  return has_zero_clock || is_quiet;
}

static bool backpressure_step(vectors_case *c, void *state, const json *step) {
  backpressure_state *s = state;
  bbw_peer_id peer = peer_of(step);
  bool *is_apart = &s->is_apart[number(step, "peer") % PEERS_IN_SEQUENCE];
  uint64_t now = number(step, "now"), window_ns = 0;
  if (json_is(json_get(step, "op"), "recovery")) {
    bbw_backpressure_record_recovery(&s->tracker, &peer);
    *is_apart = false;
    VECTOR(bbw_backpressure_find(&s->tracker, &peer) == NULL);
    return true;
  }
  VECTOR(json_is(json_get(step, "op"), "overload"));
  *is_apart = *is_apart || meets_weak_spot(bbw_backpressure_find(&s->tracker, &peer), now);
  bbw_overload_answer got = bbw_backpressure_observe(&s->tracker, &peer, number(step, "min_backoff_ns"), now,
                                                     &window_ns);
  s->apart += *is_apart;
  s->compared += !*is_apart;
  if (*is_apart) { return true; }
  VECTOR(decision_is(got, window_ns, json_get(step, "decision")));
  const bbw_backpressure_entry *entry = bbw_backpressure_find(&s->tracker, &peer);
  const json *want = json_get(step, "entry");
  VECTOR(entry != NULL && entry->notice_count == number(want, "notices_sent"));
  VECTOR(entry->last_notice_ns == number(want, "last_notice_at_ns"));
  VECTOR(entry->window_ns == number(want, "last_min_backoff_ns"));
  VECTOR(entry->is_silent == json_is_true(json_get(want, "silent")));
  return true;
}

static bool check_backpressure(vectors_case *c) {
  backpressure_state s = {.compared = 0};
  const json *config = vector_get(c, "config"), *effective = vector_get(c, "effective");
  bbw_backpressure_init(&s.tracker,
                        (bbw_backpressure_config){.high_water_pct = (uint32_t)number(config, "pct"),
                                                  .notices_before_silent = (uint32_t)number(config, "k"),
                                                  .notice_interval_min_ns = number(config, "interval_ns")},
                        &c->mem.mem);
  VECTOR(s.tracker.config.high_water_pct == number(effective, "pct"));
  VECTOR(s.tracker.config.notices_before_silent == number(effective, "k"));
  VECTOR(s.tracker.config.notice_interval_min_ns == number(effective, "interval_ns"));
  bool ok = each_step(c, &s, backpressure_step);
  bbw_backpressure_free(&s.tracker);
  VECTOR(!ok || s.compared != 0);
  return ok;
}

static bool check_high_water(vectors_case *c) {
  bbw_backpressure tracker;
  bbw_backpressure_config config = bbw_backpressure_config_default;
  config.high_water_pct = (uint32_t)number(c->json, "pct");
  bbw_backpressure_init(&tracker, config, &c->mem.mem);
  const json *queries = vector_get(c, "queries");
  VECTOR(json_count(queries) != 0);
  for (const json *q = queries->child; q != NULL; q = q->next) {
    VECTOR(bbw_backpressure_is_over(&tracker, number(q, "len"), number(q, "cap")) == json_is_true(json_get(q, "over")));
  }
  bbw_backpressure_free(&tracker);
  return true;
}

/* ---- round trips -------------------------------------------------------------------------------------------------- */

static bool check_rtt_ema(vectors_case *c) {
  bbw_rtt_estimator estimator = {.sample_count = 0};
  bbw_rtt_shifts shifts = {(uint8_t)number(c->json, "alpha_shift"), (uint8_t)number(c->json, "beta_shift")};
  for (const json *step = steps_of(c)->child; step != NULL; step = step->next) {
    bbw_rtt_estimator_observe(&estimator, shifts, number(step, "sample"));
    VECTOR(estimator.srtt_ns == number(step, "srtt_ns"));
    VECTOR(estimator.rttvar_ns == number(step, "rttvar_ns"));
    VECTOR(estimator.sample_count == number(step, "count"));
    VECTOR(bbw_rtt_estimator_budget_ns(&estimator) == number(step, "budget_ns"));
    VECTOR(bbw_rtt_estimator_is_warm(&estimator) == json_is_true(json_get(step, "warm")));
  }
  return true;
}

static bool rtt_step(vectors_case *c, void *state, const json *step) {
  bbw_rtt *rtt = state;
  uint64_t chain_id = number(c->json, "chain_id"), fallback = number(c->json, "static_default_ns");
  const json *hop = json_get(step, "chain_hop");
  bbw_rtt_edge edge = {.chain_id = chain_id, .hop = json_is_null(hop) ? 0 : (uint32_t)json_u64(hop)};
  /* The queries name the chain and hop of the step, or none when it had none. */
  const bbw_rtt_edge *where = json_is_null(hop) ? NULL : &edge;
  VECTOR(bbw_rtt_observe(rtt, number(step, "site"), where, number(step, "elapsed"), number(step, "now")) == BBW_OK);
  const json *want = json_get(step, "estimate_for_sites_1_to_4_same_chain");
  for (uint64_t site = 1; site <= 4; site++) {
    VECTOR(bbw_rtt_estimate_ns(rtt, site, where, fallback) == json_u64(json_at(want, (size_t)site - 1)));
  }
  VECTOR(rtt->global.srtt_ns == number(json_get(step, "global"), "srtt_ns"));
  VECTOR(rtt->global.rttvar_ns == number(json_get(step, "global"), "rttvar_ns"));
  return true;
}

static bool check_rtt_tracker(vectors_case *c) {
  bbw_rtt rtt;
  bbw_rtt_init(&rtt, &c->mem.mem);
  bbw_str targets = json_text(vector_get(c, "chain_targets"));
  VECTOR(bbw_fnv1a(BBW_FNV1A_OFFSET, bbw_str_bytes(targets)) == number(c->json, "chain_id"));
  bool ok = each_step(c, &rtt, rtt_step);
  bbw_rtt_free(&rtt);
  return ok;
}

static bool double_is(vectors_case *c, double got, const json *want) {
  bbw_bytes bits = json_hex(json_get(want, "bits"), &c->arena);
  uint64_t number_bits;
  memcpy(&number_bits, &got, sizeof(got));
  return number_bits == bbw_load_u64be(bits.ptr);
}

static bool phi_queries(vectors_case *c, const bbw_phi *phi) {
  VECTOR(phi->count == json_count(vector_get(c, "history")));
  for (size_t i = 0; i < phi->count; i++) {
    VECTOR(phi->intervals[(phi->head + i) % phi->size] == json_u64(json_at(vector_get(c, "history"), i)));
  }
  const json *queries = vector_get(c, "queries");
  VECTOR(json_count(queries) != 0);
  for (const json *q = queries->child; q != NULL; q = q->next) {
    double value = bbw_phi_value(phi, number(q, "now"));
    VECTOR(double_is(c, value, json_get(q, "phi")));
    bbw_phi_state state = bbw_phi_state_of(value);
    VECTOR((state == BBW_PHI_STATE_DOWN) == json_is_true(json_get(q, "down")));
    VECTOR((state != BBW_PHI_LIVE) == json_is_true(json_get(q, "suspect")));
    if (state != BBW_PHI_LIVE) { VECTOR(bbw_phi_due_ns(phi, BBW_PHI_SUSPECT) <= number(q, "now")); }
    if (state == BBW_PHI_STATE_DOWN) { VECTOR(bbw_phi_due_ns(phi, BBW_PHI_DOWN) <= number(q, "now")); }
  }
  return true;
}

static bool check_phi(vectors_case *c) {
  bbw_phi phi;
  bbw_phi_init(&phi, &c->mem.mem);
  const json *beats = vector_get(c, "heartbeats");
  for (size_t i = 0; i < json_count(beats); i++) { bbw_phi_heartbeat(&phi, json_u64(json_at(beats, i))); }
  bool ok = phi_queries(c, &phi);
  bbw_phi_free(&phi);
  return ok;
}

#define SCANNED_SITE 9u

static bool phi_scan_step(vectors_case *c, void *state, const json *step) {
  bbw_rtt *rtt = state;
  uint64_t site, again = 0;
  bbw_phi_state now_state;
  double phi;
  if (json_get(step, "observe_and_scan_at") != NULL) {
    again = number(step, "observe_and_scan_at");
    VECTOR(bbw_rtt_observe(rtt, SCANNED_SITE, NULL, 1000, again) == BBW_OK);
    VECTOR(bbw_rtt_next_change(rtt, again, &site, &now_state, &phi) == json_is_true(json_get(step, "live_again")));
    VECTOR(site == SCANNED_SITE && now_state == BBW_PHI_LIVE);
    return true;
  }
  const json *want = json_get(step, "transitions");
  for (size_t i = 0; i < json_count(want); i++) {
    const json *one = json_at(want, i);
    bool is_suspect = json_get(one, "suspect") != NULL;
    VECTOR(bbw_rtt_next_change(rtt, number(step, "scan_at"), &site, &now_state, &phi));
    VECTOR(site == number(one, is_suspect ? "suspect" : "down"));
    VECTOR(now_state == (is_suspect ? BBW_PHI_STATE_SUSPECT : BBW_PHI_STATE_DOWN));
    VECTOR(double_is(c, phi, json_get(one, "phi")));
  }
  VECTOR(!bbw_rtt_next_change(rtt, number(step, "scan_at"), &site, &now_state, &phi));
  return true;
}

static bool check_phi_scan(vectors_case *c) {
  bbw_rtt rtt;
  const json *observations = vector_get(c, "observations");
  bbw_rtt_init(&rtt, &c->mem.mem);
  for (uint64_t i = 0; i < number(observations, "count"); i++) {
    uint64_t now = number(observations, "first_now") + i * number(observations, "step");
    VECTOR(bbw_rtt_observe(&rtt, SCANNED_SITE, NULL, 1000, now) == BBW_OK);
  }
  bool ok = each_step(c, &rtt, phi_scan_step);
  bbw_rtt_free(&rtt);
  return ok;
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static bool request_step(vectors_case *c, void *state, const json *step) {
  bbw_requests *requests = state;
  bbw_request request;
  if (json_get(step, "mint_and_register") != NULL) {
    uint64_t id = bbw_requests_mint_token(requests);
    VECTOR(id == number(step, "mint_and_register"));
    VECTOR(bbw_requests_register(requests, id, number(step, "now"), 5, number(step, "ttl")) == BBW_OK);
  } else if (json_get(step, "response") != NULL) {
    const json *elapsed = json_get(step, "elapsed");
    bool is_known = bbw_requests_observe_response(requests, number(step, "response"), 5, &request);
    VECTOR(is_known == !json_is_null(elapsed));
    if (is_known) { VECTOR(number(step, "now") - request.started_at_ns == json_u64(elapsed)); }
  } else {
    const json *expired = json_get(step, "expired_sorted");
    uint64_t seen = 0;
    VECTOR(expired != NULL);
    for (size_t i = 0; i < json_count(expired); i++) {
      VECTOR(bbw_requests_pop_stale(requests, number(step, "drain_stale"), &request));
      for (size_t k = 0; k < json_count(expired); k++) { seen += request.id == json_u64(json_at(expired, k)); }
    }
    VECTOR(seen == json_count(expired));
    VECTOR(!bbw_requests_pop_stale(requests, number(step, "drain_stale"), &request));
  }
  VECTOR(bbw_requests_in_flight(requests) == number(step, "in_flight"));
  return true;
}

static bool check_requests(vectors_case *c) {
  bbw_requests requests;
  bbw_requests_init(&requests, &c->mem.mem);
  VECTOR(requests.next_token == 1);
  requests.next_token = 0; /* the reference starts there */
  bool ok = each_step(c, &requests, request_step);
  bbw_requests_free(&requests);
  return ok;
}

/* ---- address book ------------------------------------------------------------------------------------------------- */

#define SITE_BYTES 10u

static bbw_bytes site_address(vectors_case *c, uint64_t site) {
  bbw_segment segment = {.kind = BBW_SEGMENT_SITE, .number = site};
  uint8_t *bytes = bbw_arena_array(&c->arena, SITE_BYTES, 1);
  size_t len = 0;
  (void)bbw_address_append(bytes, SITE_BYTES, &len, &segment);
  return (bbw_bytes){bytes, len};
}

static bbw_status book_act(vectors_case *c, bbw_address_book *book, const json *step) {
  bbw_peer_id peer = peer_of(step);
  const json *op = json_get(step, "op"), *sites = json_get(step, "sites");
  if (json_is(op, "add_peer")) {
    bbw_bytes addresses[16];
    for (size_t i = 0; i < json_count(sites); i++) { addresses[i] = site_address(c, json_u64(json_at(sites, i))); }
    return bbw_address_book_add_peer(book, &peer, addresses, json_count(sites));
  }
  if (json_is(op, "drop_peer")) { return bbw_address_book_drop_peer(book, &peer); }
  bbw_bytes address = site_address(c, number(step, "site"));
  return json_is(op, "register") ? bbw_address_book_register_address(book, &peer, address)
                                 : bbw_address_book_forget_address(book, &peer, address);
}

static bool book_step(vectors_case *c, void *state, const json *step) {
  bbw_address_book *book = state;
  bbw_peer_id peer = peer_of(step);
  bbw_status rv = book_act(c, book, step);
  const json *result = json_get(step, "result"), *want = json_get(step, "lookup");
  if (json_is(result, "ok")) { VECTOR(rv == BBW_OK); }
  if (json_is(result, "UnknownPeer")) { VECTOR(rv == BBW_E_AB_UNKNOWN_PEER); }
  if (json_is(result, "EmptyAddressList")) { VECTOR(rv == BBW_E_AB_EMPTY); }
  if (!json_is(result, "ok") && !json_is(result, "UnknownPeer") && !json_is(result, "EmptyAddressList")) {
    VECTOR(rv == BBW_E_AB_FULL);
  }
  const bbw_bytes *items;
  size_t count;
  VECTOR(bbw_address_book_lookup(book, &peer, &items, &count) == !json_is_null(want));
  if (!json_is_null(want)) {
    VECTOR(count == json_count(want));
    for (size_t i = 0; i < count; i++) {
      VECTOR(bbw_bytes_equal(items[i], site_address(c, json_u64(json_at(want, i)))));
    }
  }
  VECTOR(bbw_address_book_ref_count(book, &peer) == number(step, "ref_count"));
  VECTOR(bbw_address_book_count(book) == number(step, "len"));
  return true;
}

static bool check_address_book(vectors_case *c) {
  bbw_address_book book;
  bbw_address_book_init(&book, &c->mem.mem);
  book.cap = (size_t)number(c->json, "cap");
  bool ok = each_step(c, &book, book_step);
  bbw_address_book_free(&book);
  return ok;
}

static const struct {
  const char *kind;
  vectors_check *check;
} checks[] = {
    {"backoff_ladder", check_backoff},    {"backoff_sequence", check_backoff},
    {"governor", check_governor},         {"dedup", check_dedup},
    {"dedup_default", check_dedup},       {"backpressure", check_backpressure},
    {"high_water", check_high_water},     {"rtt_ema", check_rtt_ema},
    {"rtt_tracker", check_rtt_tracker},   {"phi", check_phi},
    {"phi_scan", check_phi_scan},         {"request_tracker", check_requests},
    {"address_book", check_address_book},
};

static bool check_numeric(vectors_case *c) {
  for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
    if (vector_is(c, checks[i].kind)) { return checks[i].check(c); }
  }
  return vector_skip(c, "belongs to another room");
}

static void numeric(void **state) {
  (void)state;
  assert_int_equal(vectors_run("numeric", check_numeric), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(numeric)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
