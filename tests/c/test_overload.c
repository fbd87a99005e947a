/* Overload and silence: backpressure notices, the time of answers, and events about peers that go quiet (wire specification §12, §16); what is held under names stays in the byte budget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bbw/address.h"
#include "format/envelope.h"
#include "node/node.h"
#include "session.h"

static const char quiet[] = "target M x -> y\nsyscall::PassThrough x -> y";

static void tick(const session *s, uint64_t now_ns) { assert_int_equal(bbw_node_tick(s->node, now_ns), BBW_OK); }

static bbw_bytes peer_bytes(uint64_t number, uint8_t *buf) {
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  return (bbw_bytes){buf, bbw_peer_id_encode(&peer, buf)};
}

/* An envelope without fills; wire_req_id 0: no correlation. */
static bbw_status deliver(const session *s, uint64_t from, uint64_t wire_req_id) {
  bbw_envelope envelope = {.schema_version = 1,
                           .has_correlation = wire_req_id != 0,
                           .correlation_kind = BBW_CORRELATION_REQUEST,
                           .wire_req_id = wire_req_id};
  uint8_t wire[64], peer[BBW_PEER_ID_BYTES_MAX];
  size_t len = bbw_envelope_size(&envelope);
  assert_true(len <= sizeof(wire));
  bbw_envelope_encode(&envelope, wire);
  return bbw_node_deliver_inbound(s->node, peer_bytes(from, peer), (bbw_bytes){wire, len}, NULL);
}

/* Takes a snapshot and restores it; a second one is the same but for the incarnation, which stands in front. */
static void restore_itself(session *s) {
  uint8_t *bytes, *again;
  size_t len, again_len;
  assert_int_equal(bbw_node_snapshot(s->node, &bytes, &len, &s->mem.mem, NULL), BBW_OK);
  assert_int_equal(bbw_node_restore(s->node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
  assert_int_equal(bbw_node_snapshot(s->node, &again, &again_len, &s->mem.mem, NULL), BBW_OK);
  assert_true(again_len >= len && again_len <= len + 2);
  assert_memory_equal(bytes + len - 64, again + again_len - 64, 64);
  s->mem.mem.free(s->mem.mem.ctx, bytes, len);
  s->mem.mem.free(s->mem.mem.ctx, again, again_len);
}

/* A node with room for 16 events, and 11 of them taken by invokes that do nothing: with one envelope more the queue is at three quarters. */
static void install_small(session *s, const char *text) {
  bbw_config config;
  bbw_config_init(&config);
  config.bus_capacity = 4;
  session_install(s, text, &config);
}
static void fill(session *s, unsigned count) {
  for (unsigned i = 0; i < count; i++) { (void)session_invoke(s, "", ""); }
}

/* Polls and gives the envelopes as hex, one after the other. */
static size_t envelopes(session *s, char *hex, size_t cap) {
  size_t before = s->steps.count, count = 0, len = 0;
  (void)session_poll_all(s);
  bbw_bytes steps = {(const uint8_t *)s->steps.items + before, s->steps.count - before};
  bbw_step step;
  for (size_t at = 0; bbw_steps_next(steps, &at, &step);) {
    if (step.kind != BBW_STEP_SEND_ENVELOPE) { continue; }
    bbw_bytes bytes = bbw_step_bytes(&step, "bytes");
    count++;
    for (size_t i = 0; i < bytes.len && len + 3 < cap; i++) { len += (size_t)sprintf(hex + len, "%02x", bytes.ptr[i]); }
  }
  return count;
}

static void a_sender_into_a_full_queue_is_asked_to_wait_in_the_bytes_of_the_reference(void **state) {
  (void)state;
  session s;
  install_small(&s, quiet);
  fill(&s, 10);
  assert_int_equal(deliver(&s, 2, 0), BBW_OK);
  char hex[512] = "";
  assert_int_equal(envelopes(&s, hex, sizeof(hex)), 0); /* 11 of 16 */
  fill(&s, 11);
  assert_int_equal(deliver(&s, 2, 0), BBW_OK);
  assert_int_equal(envelopes(&s, hex, sizeof(hex)), 1); /* 12 of 16 */
  /* The notice of the recorded trace `backpressure`. */
  assert_string_equal(
      hex, "0a0da5030a0008000000000000000212300a0da5030a00080000000000000001121400ca9a3b0000000000000000000000000000"
           "000020c5afc8f3d0a084aa83011a003801");
  session_end(&s);
}

static void notices_come_once_per_window_then_silence_and_silence_ends(void **state) {
  (void)state;
  static const uint64_t second = 1000000000;
  session s;
  install_small(&s, "target M x -> y\nsyscall::PassThrough x -> y\nsyscall::EventSource -> a | "
                    "kind='BackoffNoticeSent'\nsyscall::AppNotify a | name='notice'\nsyscall::EventSource -> b | "
                    "kind='SilentDropActive'\nsyscall::AppNotify b | name='silent'");
  char hex[512];
  static const struct {
    uint64_t at_ms;
    size_t notices;
    uint64_t drops;
  } rows[] = {{0, 1, 0}, {999, 0, 0}, {1000, 1, 0}, {1500, 0, 0}, {2000, 1, 0}, {2500, 0, 1}, {3400, 0, 2}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    tick(&s, rows[i].at_ms * 1000000);
    fill(&s, 12);
    assert_int_equal(deliver(&s, 2, 0), BBW_OK);
    assert_int_equal(envelopes(&s, hex, sizeof(hex)), rows[i].notices);
    assert_int_equal(session_stats(&s).silent_drops, rows[i].drops);
  }
  assert_string_equal(s.log, "notice= notice= notice= silent= ");
  /* Another peer is asked for itself. */
  fill(&s, 12);
  assert_int_equal(deliver(&s, 3, 0), BBW_OK);
  assert_int_equal(envelopes(&s, hex, sizeof(hex)), 1);
  /* Still silent although there is room again, until a window has passed since the last overload. */
  tick(&s, 4 * second);
  assert_int_equal(deliver(&s, 2, 0), BBW_OK);
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).silent_drops, 3);
  tick(&s, 4 * second + 400000000);
  assert_int_equal(deliver(&s, 2, 0), BBW_OK);
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).silent_drops, 3);
  session_end(&s);
}

static void a_notice_is_not_answered_with_a_notice(void **state) {
  (void)state;
  session s;
  install_small(&s, quiet);
  static const uint8_t payload[20] = {5};
  bbw_slot_fill one = {.payload = {payload, 20}, .type_hash = 0x835411050e7217c5u};
  bbw_envelope envelope = {.fills = &one, .fill_count = 1, .schema_version = 1};
  uint8_t wire[128], peer[BBW_PEER_ID_BYTES_MAX];
  size_t len = bbw_envelope_size(&envelope);
  bbw_envelope_encode(&envelope, wire);
  fill(&s, 12);
  assert_int_equal(bbw_node_deliver_inbound(s.node, peer_bytes(2, peer), (bbw_bytes){wire, len}, NULL), BBW_OK);
  char hex[512];
  assert_int_equal(envelopes(&s, hex, sizeof(hex)), 0);
  session_end(&s);
}

static void what_peers_were_told_survives_a_restore_and_new_limits(void **state) {
  (void)state;
  session s;
  install_small(&s, quiet);
  char hex[512];
  fill(&s, 12);
  assert_int_equal(deliver(&s, 2, 0), BBW_OK);
  assert_int_equal(envelopes(&s, hex, sizeof(hex)), 1);
  uint8_t *bytes;
  size_t len;
  assert_int_equal(bbw_node_snapshot(s.node, &bytes, &len, &s.mem.mem, NULL), BBW_OK);
  assert_int_equal(bbw_node_restore(s.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
  s.mem.mem.free(s.mem.mem.ctx, bytes, len);
  bbw_config config = *bbw_node_get_config(s.node);
  config.backpressure_k_before_silent = 2;
  assert_int_equal(bbw_node_set_config(s.node, &config, NULL), BBW_OK);
  fill(&s, 12);
  assert_int_equal(deliver(&s, 2, 0), BBW_OK);
  assert_int_equal(envelopes(&s, hex, sizeof(hex)), 0); /* told already */
  tick(&s, 1000000000);
  fill(&s, 12);
  assert_int_equal(deliver(&s, 2, 0), BBW_OK);
  assert_int_equal(envelopes(&s, hex, sizeof(hex)), 1); /* the second and last */
  fill(&s, 12);
  assert_int_equal(deliver(&s, 2, 0), BBW_OK);
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).silent_drops, 1);
  session_end(&s);
}

/* ---- the time of answers -------------------------------------------------------------------------------------------- */

/* Sends to peer 2 and gives the deadline and the request id of the envelope. */
static uint64_t send_deadline(session *s, uint64_t *request_id) {
  char hex[1024];
  static const uint8_t peers[] = {1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2};
  bbw_named_bytes inputs[2] = {{BBW_STR("x"), {peers, 1}}, {BBW_STR("peers"), {peers, sizeof(peers)}}};
  uint64_t exec_id;
  assert_int_equal(bbw_node_invoke(s->node, BBW_STR("M"), inputs, 2, &exec_id, NULL), BBW_OK);
  size_t before = s->steps.count;
  assert_int_equal(envelopes(s, hex, sizeof(hex)), 1);
  bbw_bytes steps = {(const uint8_t *)s->steps.items + before, s->steps.count - before};
  bbw_step step;
  uint64_t deadline = 0;
  for (size_t at = 0; bbw_steps_next(steps, &at, &step);) {
    if (step.kind != BBW_STEP_SEND_ENVELOPE) { continue; }
    bbw_arena arena;
    bbw_arena_init(&arena, &bbw_mem_libc);
    bbw_envelope envelope;
    assert_int_equal(
        bbw_envelope_decode(&envelope, bbw_step_bytes(&step, "bytes"), &bbw_envelope_caps_default, &arena, NULL),
        BBW_OK);
    deadline = envelope.remaining_deadline_ns;
    *request_id = envelope.wire_req_id;
    bbw_arena_free(&arena);
  }
  return deadline;
}

static void the_deadline_of_a_send_follows_the_answers_of_the_peer(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", NULL);
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  static const uint8_t site_7[] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 7};
  bbw_bytes address = {site_7, sizeof(site_7)};
  assert_int_equal(bbw_node_add_peer(s.node, peer_bytes(2, peer), &address, 1, NULL), BBW_OK);
  uint64_t id = 0, now = 1000;
  for (unsigned i = 0; i < 3; i++) {
    tick(&s, now);
    assert_int_equal(send_deadline(&s, &id), 100000000); /* nothing is known yet: the limit of the configuration */
    now += 8000000;
    tick(&s, now);
    assert_int_equal(deliver(&s, 3, id), BBW_OK); /* of another peer: no answer */
    assert_int_equal(deliver(&s, 2, id), BBW_OK);
    (void)session_poll_all(&s);
  }
  /* Three samples of 8 ms: mean 8 ms, deviation 4, 3, 2.25 ms (specification §12.1). */
  assert_int_equal(send_deadline(&s, &id), 8000000 + 4 * 2250000);
  restore_itself(&s);
  assert_int_equal(send_deadline(&s, &id), 8000000 + 4 * 2250000);
  session_end(&s);
}

/* ---- peers that go quiet -------------------------------------------------------------------------------------------- */

static void a_graph_hears_when_a_peer_goes_quiet_and_comes_back(void **state) {
  (void)state;
  session s;
  session_install(&s,
                  "target M x peers -> d h\nwire::Send x peers -> d h | "
                  "deadline_ns=99999999999\n"
                  "syscall::EventSource -> a | kind='PeerSuspect'\nsyscall::AppNotify a | name='suspect'\n"
                  "syscall::EventSource -> b | kind='PeerDown'\nsyscall::AppNotify b | name='down'\n"
                  "syscall::EventSource -> c | kind='PeerLive'\nsyscall::AppNotify c | name='live'",
                  NULL);
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  static const uint8_t site_7[] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 7};
  bbw_bytes address = {site_7, sizeof(site_7)};
  assert_int_equal(bbw_node_add_peer(s.node, peer_bytes(2, peer), &address, 1, NULL), BBW_OK);
  uint64_t id = 0, now = 1000, at_ns = 0;
  for (unsigned i = 0; i < 4; i++) { /* an answer each second */
    tick(&s, now);
    (void)send_deadline(&s, &id);
    assert_int_equal(deliver(&s, 2, id), BBW_OK);
    (void)session_poll_all(&s);
    now += 1000000000;
  }
  restore_itself(&s);
  s.log_len = 0;
  s.log[0] = '\0';
  uint64_t last = now - 1000000000;
  assert_true(bbw_node_next_timer(s.node, &at_ns)); /* 8 * ln 10 = 18.42 seconds */
  assert_true(at_ns > last + 18420000000 && at_ns < last + 18421000000);
  tick(&s, at_ns - 1000000);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "");
  tick(&s, at_ns + 1000000);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "suspect= ");
  tick(&s, last + 37000000000);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "suspect= down= ");
  (void)send_deadline(&s, &id);
  assert_int_equal(deliver(&s, 2, id), BBW_OK);
  (void)session_poll_all(&s);
  const char *live = strstr(s.log, "live=");
  assert_non_null(live);
  session_end(&s);
}

/* ---- what is held under names --------------------------------------------------------------------------------------- */

static void what_is_held_under_names_stays_in_the_byte_budget(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.ingress_byte_budget = 40;
  session s;
  session_install(
      &s,
      "target M q h r d f -> a b c e g\nsyscall::Serialize.Enqueue q -> a | queue='n'\nsyscall::Hold.Stash h "
      "-> b | slot='s'\nsyscall::Record r -> c | name='r'\nsyscall::Serialize.Dequeue d -> e | "
      "queue='n'\nsyscall::Hold.Flush f -> g | slot='s'",
      &config);
  (void)session_invoke(&s, "q", "1234567890");
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 10);
  assert_int_equal(session_stats(&s).held_bytes, 10);
  (void)session_invoke(&s, "h", "12345");
  (void)session_poll_all(&s);
  (void)session_invoke(&s, "h", "1234567"); /* replaces the other */
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 17);
  (void)session_invoke(&s, "h", "123");
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 13);
  (void)session_invoke(&s, "r", "12345678901234"); /* 14 as an input, 14 more to hold: 41 of 40 */
  (void)session_poll_all(&s);
  assert_string_equal(s.failed, "ExecutionFailed/budget_exceeded");
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 13);
  (void)session_invoke(&s, "r", "1234567890123");
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 26);
  (void)session_invoke(&s, "d", "");
  (void)session_invoke(&s, "f", "");
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 13);
  uint8_t *bytes;
  size_t len;
  assert_int_equal(bbw_node_snapshot(s.node, &bytes, &len, &s.mem.mem, NULL), BBW_OK);
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 0);
  assert_int_equal(bbw_node_restore(s.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
  s.mem.mem.free(s.mem.mem.ctx, bytes, len);
  assert_int_equal(session_stats(&s).held_bytes, 13);
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 13);
  session_end(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_sender_into_a_full_queue_is_asked_to_wait_in_the_bytes_of_the_reference),
      cmocka_unit_test(notices_come_once_per_window_then_silence_and_silence_ends),
      cmocka_unit_test(a_notice_is_not_answered_with_a_notice),
      cmocka_unit_test(what_peers_were_told_survives_a_restore_and_new_limits),
      cmocka_unit_test(the_deadline_of_a_send_follows_the_answers_of_the_peer),
      cmocka_unit_test(a_graph_hears_when_a_peer_goes_quiet_and_comes_back),
      cmocka_unit_test(what_is_held_under_names_stays_in_the_byte_budget),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
