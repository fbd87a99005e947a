/* Golden sequences of the engine's own tables: timers, named queues and records, envelopes, limits, numbers of chains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "node/node.h"
#include "session.h"
#include "vectors.h"

static uint64_t number(const json *step, const char *key) { return json_u64(json_get(step, key)); }
static const json *step_at(const vectors_case *c, size_t i) { return json_at(vector_get(c, "steps"), i); }
static size_t step_count(const vectors_case *c) { return json_count(vector_get(c, "steps")); }

static bool check_chain_id(vectors_case *c) {
  VECTOR(bbw_rtt_chain_id(json_text(vector_get(c, "chain_targets"))) == json_u64(vector_get(c, "chain_id")));
  return true;
}

/* ---- timers --------------------------------------------------------------------------------------------------------- */

/* Sleep, After and a completion are all a command here. */
static void timer_of(const json *timer, bbw_timer_kind *kind, uint64_t *subject) {
  static const char *const commands[] = {"completion", "sleep", "after"};
  *kind = BBW_TIMER_INTERVAL;
  const json *interval = json_get(timer, "interval");
  if (interval != NULL) { *subject = json_u64(json_at(interval, 1)); }
  for (size_t i = 0; i < 3; i++) {
    const json *command = json_get(timer, commands[i]);
    if (command == NULL) { continue; }
    *kind = BBW_TIMER_COMMAND;
    *subject = json_u64(command);
  }
}

static bool timer_step(vectors_case *c, bbw_timers *timers, const json *step) {
  bbw_timer_kind kind;
  uint64_t subject = 0, at_ns;
  if (json_get(step, "schedule") != NULL) {
    timer_of(json_get(step, "timer"), &kind, &subject);
    (void)bbw_timers_add(timers, number(step, "schedule"), kind, subject);
    VECTOR(timers->dropped == number(step, "dropped"));
  } else {
    uint64_t now = number(step, "poll");
    const json *matured = json_get(step, "matured");
    bool is_due = bbw_timers_next(timers, &at_ns) && at_ns <= now;
    VECTOR(is_due == json_is_true(json_get(step, "has_matured")));
    bbw_timer timer;
    for (size_t i = 0; i < json_count(matured); i++) {
      timer_of(json_at(matured, i), &kind, &subject);
      VECTOR(bbw_timers_pop_due(timers, now, &timer));
      VECTOR(timer.kind == kind && timer.subject == subject);
    }
    VECTOR(!bbw_timers_pop_due(timers, now, &timer));
  }
  VECTOR(timers->heap.count == number(step, "len"));
  return true;
}

static bool check_scheduler(vectors_case *c) {
  bbw_timers timers;
  bbw_timers_init(&timers, &c->mem.mem);
  timers.cap = (size_t)json_u64(vector_get(c, "cap"));
  bool ok = true;
  for (size_t i = 0; ok && i < step_count(c); i++) { ok = timer_step(c, &timers, step_at(c, i)); }
  bbw_timers_free(&timers);
  return ok;
}

/* The reference's order of equal times is an accident; here they come as they were set. */
static bool check_ties(vectors_case *c) {
  bbw_timers timers;
  bbw_timer timer;
  bbw_timers_init(&timers, &c->mem.mem);
  uint64_t count = json_u64(vector_get(c, "scheduled"));
  bool ok = count != 0 && count == json_count(vector_get(c, "reference_order"));
  for (uint64_t i = 0; i < count; i++) { ok = ok && bbw_timers_add(&timers, 5, BBW_TIMER_COMMAND, i) == BBW_OK; }
  for (uint64_t i = 0; ok && i < count; i++) { ok = bbw_timers_pop_due(&timers, 5, &timer) && timer.subject == i; }
  bbw_timers_free(&timers);
  VECTOR(ok);
  return true;
}

/* ---- named tables --------------------------------------------------------------------------------------------------- */

static bool push_byte(vectors_case *c, bbw_named *named, bbw_named_kind kind, bbw_str name, uint8_t byte, size_t max,
                      bool *is_full) {
  bbw_named_entry *entry;
  bbw_value *value;
  bbw_status rv = bbw_named_get(named, kind, name, &entry);
  *is_full = rv == BBW_E_LIMIT;
  if (*is_full) { return true; }
  VECTOR(rv == BBW_OK);
  VECTOR(bbw_value_new_bytes(&value, BBW_TYPE_BYTES, (bbw_bytes){&byte, 1}, &c->mem.mem) == BBW_OK);
  VECTOR(bbw_named_push(named, entry, value, max) == BBW_OK);
  return true;
}

static size_t held(const bbw_named_entry *entry) { return entry->values.count - entry->values_head; }

static bool queue_step(vectors_case *c, bbw_named *named, const json *step, size_t max) {
  bool is_full;
  bbw_str name = BBW_STR("q");
  if (json_get(step, "dequeue_unknown") != NULL) {
    VECTOR(bbw_named_find(named, BBW_NAMED_QUEUE, BBW_STR("other")) == NULL);
    return true;
  }
  if (json_get(step, "enqueue") != NULL) {
    if (!push_byte(c, named, BBW_NAMED_QUEUE, name, (uint8_t)number(step, "enqueue"), max, &is_full)) { return false; }
    VECTOR(!is_full && bbw_named_find(named, BBW_NAMED_QUEUE, name)->dropped == number(step, "drops"));
  } else {
    bbw_value *value = bbw_named_pop(named, bbw_named_find(named, BBW_NAMED_QUEUE, name));
    const json *want = json_get(step, "dequeue");
    bool is_same = value == NULL ? json_is_null(want) : bbw_bytes_equal(value->as.bytes, json_hex(want, &c->arena));
    bbw_value_release(value, &c->mem.mem);
    VECTOR(is_same);
  }
  VECTOR(held(bbw_named_find(named, BBW_NAMED_QUEUE, name)) == number(step, "len"));
  VECTOR(named->held_bytes == number(step, "len"));
  return true;
}

static bool record_step(vectors_case *c, bbw_named *named, const json *step, size_t max, uint64_t *refused) {
  bool is_full;
  bbw_str name = json_text(json_get(step, "record"));
  const json *want = json_get(step, "snapshot");
  if (!push_byte(c, named, BBW_NAMED_RECORD, name, (uint8_t)number(step, "byte"), max, &is_full)) { return false; }
  *refused += is_full; /* there the value is dropped, here the operator fails */
  VECTOR(*refused == number(step, "name_drops"));
  const bbw_named_entry *entry = bbw_named_find(named, BBW_NAMED_RECORD, name);
  VECTOR((entry == NULL ? 0 : held(entry)) == json_count(want));
  for (size_t i = 0; i < json_count(want); i++) {
    const bbw_value *value = *BBW_VEC_AT(&entry->values, bbw_value *, entry->values_head + i);
    VECTOR(bbw_bytes_equal(value->as.bytes, json_hex(json_at(want, i), &c->arena)));
  }
  return true;
}

static bool check_named(vectors_case *c) {
  bbw_named named;
  bbw_named_init(&named, &c->mem.mem);
  bool is_queue = vector_is(c, "serialize_queue"), ok = true;
  size_t max = (size_t)json_u64(vector_get(c, is_queue ? "cap" : "per_ring"));
  if (!is_queue) { named.count_max = (uint32_t)json_u64(vector_get(c, "max_rings")); }
  uint64_t refused = 0;
  for (size_t i = 0; ok && i < step_count(c); i++) {
    ok = is_queue ? queue_step(c, &named, step_at(c, i), max) : record_step(c, &named, step_at(c, i), max, &refused);
  }
  bbw_named_free(&named);
  return ok;
}

/* ---- envelopes ------------------------------------------------------------------------------------------------------ */

static bool push_envelope(vectors_case *c, bbw_outbound *outbound, uint64_t mark) {
  bbw_envelope envelope = {.remaining_deadline_ns = mark + 1, .schema_version = 1};
  bbw_peer_id peer = bbw_peer_id_from_u64(mark);
  bbw_tail *tail;
  VECTOR(bbw_tail_new(&tail, &envelope, &c->mem.mem) == BBW_OK);
  bbw_status rv = bbw_outbound_push(outbound, &peer, NULL, 0, tail);
  bbw_tail_release(tail, &c->mem.mem);
  VECTOR(rv == BBW_OK);
  return true;
}

static bool check_outbound(vectors_case *c) {
  bbw_outbound outbound;
  bbw_outbound_init(&outbound, json_u64(vector_get(c, "cap")), UINT64_MAX, &c->mem.mem);
  bool ok = true;
  for (size_t i = 0; ok && i < step_count(c); i++) {
    ok = push_envelope(c, &outbound, number(step_at(c, i), "push")) &&
         bbw_outbound_count(&outbound) == number(step_at(c, i), "len");
  }
  ok = ok && outbound.dropped_new == json_u64(vector_get(c, "dropped"));
  const json *drained = vector_get(c, "drained");
  ok = ok && bbw_outbound_count(&outbound) == json_count(drained);
  for (size_t i = 0; ok && i < json_count(drained); i++) {
    bbw_peer_id peer = bbw_peer_id_from_u64(number(json_at(drained, i), "mark"));
    ok = bbw_peer_id_equal(&bbw_outbound_front(&outbound)->peer, &peer);
    bbw_outbound_pop(&outbound);
  }
  bbw_outbound_free(&outbound);
  VECTOR(ok);
  return true;
}

/* ---- limits: there a refused Acquire is forgotten; here it waits, and is ended for this test ---------------------------- */

static bool limit_step(vectors_case *c, session *s, const json *step) {
  static const char *const inputs[] = {"zero", "one", "two"};
  if (json_get(step, "acquire") != NULL) {
    VECTOR(number(step, "acquire") < 3);
    unsigned suspended = s->counts[BBW_STEP_ASYNC_SUSPENDED];
    uint64_t exec_id = session_invoke(s, inputs[number(step, "acquire")], "x");
    (void)session_poll_all(s);
    bool is_granted = s->counts[BBW_STEP_ASYNC_SUSPENDED] == suspended;
    VECTOR(is_granted == json_is_true(json_get(step, "ok")));
    if (!is_granted) { VECTOR(bbw_node_cancel(s->node, exec_id, NULL) == BBW_OK); }
  } else {
    (void)session_invoke(s, "back", "x");
    (void)session_poll_all(s);
  }
  const bbw_named_entry *entry = bbw_named_find(&s->node->engine.named, BBW_NAMED_LIMIT, BBW_STR("l"));
  VECTOR(entry != NULL && entry->number == number(step, "inflight"));
  return true;
}

static bool check_limits(vectors_case *c) {
  static session s;
  session_install(&s,
                  "target M zero one two back -> a b d e\nsyscall::Limit.Acquire zero -> a | name='l' n=0\n"
                  "syscall::Limit.Acquire one -> b | name='l' n=1\nsyscall::Limit.Acquire two -> d | name='l' n=2\n"
                  "syscall::Limit.Release back -> e | name='l'",
                  NULL);
  bool ok = true;
  for (size_t i = 0; ok && i < step_count(c); i++) { ok = limit_step(c, &s, step_at(c, i)); }
  session_end(&s);
  return ok;
}

static const struct {
  const char *kind;
  vectors_check *check;
} checks[] = {
    {"chain_id", check_chain_id},     {"scheduler", check_scheduler}, {"scheduler_ties", check_ties},
    {"serialize_queue", check_named}, {"record_buffer", check_named}, {"outbound_queue", check_outbound},
    {"peer_gate", check_limits},
};

static bool check(vectors_case *c) {
  for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
    if (vector_is(c, checks[i].kind)) { return checks[i].check(c); }
  }
  return vector_skip(c, vector_is(c, "counter_rng") ? "here the node's generator is SplitMix64 of its seed"
                                                    : "another test");
}

static void numeric(void **state) {
  (void)state;
  assert_int_equal(vectors_run("numeric", check), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(numeric)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
