/* Requests and who waits for them: whose answer counts, what comes of a request that has none, and deadlines over several hops (wire specification §9-§11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "node/node.h"
#include "world.h"

#define MS              WORLD_MS
#define TO(input, site) "ai.bytesandbrains.dest_suffix." input "=@e20100000000000000" site

/* Asks and waits.  Who is asked answers with what it got. */
static const char waits[] =
    "target M x peers -> y from got\n"
    "wire::Send x peers -> d h y from - | await=1 deadline_ns=50000000 " TO(
        "x", "04") "\n"
                   "wire::Recv -> q who\nsyscall::PassThrough q -> got\nwire::Send q -> sent | reply=1";
/* The same with failures as a value. */
static const char catches[] =
    "target M x peers -> y from f got\n"
    "wire::Send x peers -> d h y from f | await=1 deadline_ns=50000000 " TO(
        "x", "05") "\n"
                   "wire::Recv -> q who\nsyscall::PassThrough q -> got\nwire::Send q -> sent | reply=1";
/* Asks and does not wait; the answer comes as an envelope of its own (site 6). */
static const char asks[] =
    "target M x peers -> got a\n"
    "wire::Send x peers -> d h | deadline_ns=50000000 " TO(
        "x", "02") "\n"
                   "wire::Recv -> q who\nsyscall::PassThrough q -> got\n"
                   "wire::Send q who -> d2 h2 | " TO("q", "07") "\n"
                                                                "wire::Recv -> a1 by\nsyscall::PassThrough a1 -> a";

static void block(world *w, size_t number, size_t other) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_peer_id peer = bbw_peer_id_from_u64(other);
  bbw_bytes id = {bytes, bbw_peer_id_encode(&peer, bytes)};
  assert_int_equal(bbw_node_block_peer(world_at(w, number)->node, id, NULL), BBW_OK);
}

static const char *peer_text(size_t number) {
  static char text[BBW_PEER_ID_TEXT_BYTES_MAX + 1];
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  text[bbw_peer_id_to_text(&peer, text)] = '\0';
  return text;
}

static void assert_failed(world *w, size_t number, const char *kind_and_reason, size_t peer) {
  char want[256];
  snprintf(want, sizeof(want), "%s/%s ", kind_and_reason, peer_text(peer));
  assert_string_equal(world_at(w, number)->failed, want);
}

static size_t open_requests(world *w, size_t number) {
  return bbw_requests_in_flight(&world_at(w, number)->node->engine.requests);
}

/* ---- whose answer counts ---------------------------------------------------------------------------------------------- */

static void a_request_to_several_is_answered_by_any_that_it_was_sent_to(void **state) {
  (void)state;
  world w;
  world_begin(&w, 4, asks, 0);
  for (size_t i = 2; i <= 4; i++) { world_know(&w, 1, i); }
  block(&w, 1, 2);
  world_at(&w, 3)->is_away = true;
  world_ask(&w, 1, (const size_t[]){2, 3, 4}, 3); /* the first is forbidden, the second does not answer */
  world_run(&w, 0);
  assert_string_equal(world_at(&w, 1)->log, "a=2a ");
  assert_int_equal(open_requests(&w, 1), 0);
  world_run(&w, 200 * MS);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_TIMEOUT], 0);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_PEER_BLOCKED], 1);
  world_end(&w);
}

static void a_request_that_was_sent_to_nobody_still_ends(void **state) {
  (void)state;
  world w;
  world_begin(&w, 2, asks, 0);
  world_know(&w, 1, 2);
  block(&w, 1, 2);
  world_ask(&w, 1, (const size_t[]){2, 7}, 2);
  world_run(&w, 49 * MS);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_TIMEOUT], 0);
  world_run(&w, 1 * MS);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_TIMEOUT], 1);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_PEER_RESOLVE_FAILED], 1);
  world_end(&w);
}

static void a_request_is_lost_when_it_reached_none_of_its_peers(void **state) {
  (void)state;
  world w;
  world_begin(&w, 5, asks, 0);
  for (size_t i = 2; i <= 5; i++) { world_know(&w, 1, i); }
  for (size_t i = 2; i <= 5; i++) { world_at(&w, i)->is_unreachable = i != 4; }
  world_ask(&w, 1, (const size_t[]){2, 3, 4, 5}, 4);
  world_run(&w, 0);
  assert_string_equal(world_at(&w, 1)->log, "a=2a "); /* one is enough */
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_TIMEOUT], 0);
  world_at(&w, 4)->is_unreachable = true;
  world_ask(&w, 1, (const size_t[]){2, 3, 4, 5}, 4);
  world_run(&w, 0);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_TIMEOUT], 1);
  assert_int_equal(open_requests(&w, 1), 0);
  world_run(&w, 100 * MS);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_TIMEOUT], 1);
  world_end(&w);
}

/* ---- who waits -------------------------------------------------------------------------------------------------------- */

static void the_answer_comes_to_who_asked(void **state) {
  (void)state;
  world w;
  world_begin(&w, 3, waits, 9);
  world_know(&w, 1, 2);
  world_know(&w, 1, 3);
  w.latency_ns = 5 * MS;
  world_ask(&w, 1, (const size_t[]){2}, 1);
  world_run(&w, 9 * MS);
  assert_string_equal(world_at(&w, 1)->log, "");
  world_run(&w, 1 * MS);
  assert_string_equal(world_at(&w, 2)->log, "got=2a ");
  assert_string_equal(world_at(&w, 1)->log, "y=2a from=0a0000000000000000080000000000000002 ");
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_ASYNC_SUSPENDED], 1);
  /* Of two that answer the first counts; the other is late, and counted. */
  world_at(&w, 1)->log[0] = '\0';
  world_ask(&w, 1, (const size_t[]){3, 2}, 2);
  world_run(&w, 200 * MS);
  assert_string_equal(world_at(&w, 1)->log, "y=2a from=0a0000000000000000080000000000000002 ");
  bbw_stats stats;
  bbw_node_stats(world_at(&w, 1)->node, &stats);
  assert_int_equal(stats.late_completions, 1);
  assert_string_equal(world_at(&w, 1)->failed, "");
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_TIMEOUT], 0);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_DECODE_FAILED], 0);
  world_end(&w);
}

static void whoever_waits_is_told_why_no_answer_comes(void **state) {
  (void)state;
  enum { UNKNOWN, NOBODY, BLOCKED, UNREACHABLE, AWAY };
  static const char *const want[] = {"RemoteFailed/peer_resolve_failed", "RemoteFailed/no_peers",
                                     "RemoteFailed/peer_blocked", "RemoteFailed/send_failed", "Timeout/chain_timeout"};
  for (int why = UNKNOWN; why <= AWAY; why++) {
    world w;
    world_begin(&w, 2, waits, 9);
    if (why != UNKNOWN) { world_know(&w, 1, 2); }
    if (why == BLOCKED) { block(&w, 1, 2); }
    world_at(&w, 2)->is_unreachable = why == UNREACHABLE;
    world_at(&w, 2)->is_away = why == AWAY;
    world_ask(&w, 1, (const size_t[]){2}, why == NOBODY ? 0 : 1);
    world_run(&w, why == AWAY ? 49 * MS : 0);
    if (why == AWAY) {
      assert_string_equal(world_at(&w, 1)->failed, "");
      world_run(&w, 1 * MS);
    }
    if (why == NOBODY) {
      assert_string_equal(world_at(&w, 1)->failed, "RemoteFailed/no_peers/ ");
    } else {
      assert_failed(&w, 1, want[why], 2);
    }
    bbw_stats stats;
    bbw_node_stats(world_at(&w, 1)->node, &stats);
    assert_int_equal(stats.executions, 0); /* the execution ends with the error */
    world_run(&w, 500 * MS);
    assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_OP_FAILED], 1); /* once */
    assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_TIMEOUT], why >= UNREACHABLE);
    assert_string_equal(world_at(&w, 1)->log, "");
    assert_int_equal(open_requests(&w, 1), 0);
    world_end(&w);
  }
}

static void a_graph_may_take_the_failure_as_a_value(void **state) {
  (void)state;
  world w;
  world_begin(&w, 2, catches, 9);
  world_at(&w, 2)->is_away = true;
  world_know(&w, 1, 2);
  world_ask(&w, 1, (const size_t[]){2}, 1);
  world_run(&w, 100 * MS);
  assert_string_equal(world_at(&w, 1)->failed, "");
  /* Composite of Bytes, Bytes, PeerIdVec: "Timeout", "chain_timeout", [2]. */
  assert_string_equal(world_at(&w, 1)->log, "f=0300000000000000"
                                            "3d290ac10c33821d"
                                            "0f00000000000000"
                                            "0700000000000000"
                                            "54696d656f7574"
                                            "3d290ac10c33821d"
                                            "1500000000000000"
                                            "0d00000000000000"
                                            "636861696e5f74696d656f7574"
                                            "3736362def2ad364"
                                            "1a00000000000000"
                                            "0100000000000000"
                                            "0a00000000000000"
                                            "00080000000000000002 ");
  world_end(&w);
}

static void an_answer_after_the_end_is_late_and_counted(void **state) {
  (void)state;
  world w;
  world_begin(&w, 2, waits, 9);
  world_know(&w, 1, 2);
  w.latency_ns = 40 * MS; /* the answer takes 80 of the 50 */
  world_ask(&w, 1, (const size_t[]){2}, 1);
  world_run(&w, 200 * MS);
  assert_failed(&w, 1, "Timeout/chain_timeout", 2);
  assert_string_equal(world_at(&w, 1)->log, "");
  assert_int_equal(world_at(&w, 1)->received, 1);
  bbw_stats stats;
  bbw_node_stats(world_at(&w, 1)->node, &stats);
  assert_int_equal(stats.late_completions, 1);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_DECODE_FAILED], 0);
  world_end(&w);
}

/* Node 1 waits, and the answer of node 2 is the one message on its way. */
static void begin_with_answer_on_its_way(world *w, size_t count) {
  world_begin(w, count, waits, 9);
  world_know(w, 1, 2);
  w->latency_ns = 5 * MS;
  world_ask(w, 1, (const size_t[]){2}, 1);
  world_run(w, 7 * MS);
  assert_int_equal(w->message_count, 1);
}

static void an_answer_that_nobody_can_read_is_a_failure(void **state) {
  (void)state;
  world w;
  begin_with_answer_on_its_way(&w, 2);
  /* The type of its fill becomes one that does not exist. */
  struct world_message *message = &w.messages[0];
  static const uint8_t tag[] = {0x20, 0xbd, 0xd2, 0xa8, 0x88, 0xcc, 0xe1, 0x8c, 0xc1, 0x1d};
  bool is_found = false;
  for (size_t i = 0; i + sizeof(tag) <= message->len; i++) {
    if (memcmp(message->bytes + i, tag, sizeof(tag)) == 0) { message->bytes[i + 1] ^= 1, is_found = true; }
  }
  assert_true(is_found);
  world_run(&w, 200 * MS);
  assert_failed(&w, 1, "RemoteFailed/bad_answer", 2);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_RECEIVE_FAILED], 1);
  assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_TIMEOUT], 0);
  world_end(&w);
}

/* What an answer brings counts towards the byte budget for as long as its execution holds it. */
static void an_answer_is_held_within_the_byte_budget(void **state) {
  (void)state;
  static const char asks_twice[] =
      "target M x peers -> z got\n"
      "wire::Send x peers -> d h y from - | await=1 deadline_ns=50000000 " TO(
          "x", "08") "\n"
                     "wire::Send y peers -> d2 h2 z from2 - | await=1 deadline_ns=50000000 " TO(
                         "y",
                         "08") "\n"
                               "wire::Recv -> q who\nsyscall::PassThrough q -> got\nwire::Send q -> sent | reply=1";
  enum { INPUTS = 1 + 26, PAYLOAD = 8 + 1 };
  for (int is_cancelled = 0; is_cancelled < 2; is_cancelled++) {
    world w;
    world_begin(&w, 2, asks_twice, 9);
    world_know(&w, 1, 2);
    w.latency_ns = 5 * MS;
    uint64_t exec_id = world_ask(&w, 1, (const size_t[]){2}, 1);
    world_run(&w, 7 * MS);
    world_at(&w, 2)->is_away = true; /* the second question is lost */
    world_run(&w, 5 * MS);
    bbw_stats stats;
    bbw_node_stats(world_at(&w, 1)->node, &stats);
    assert_int_equal(stats.pending_async, 1);
    assert_int_equal(stats.ingress_bytes_in_flight, INPUTS + PAYLOAD);
    if (is_cancelled) { assert_int_equal(bbw_node_cancel(world_at(&w, 1)->node, exec_id, NULL), BBW_OK); }
    world_run(&w, 200 * MS);
    if (!is_cancelled) { assert_failed(&w, 1, "Timeout/chain_timeout", 2); }
    world_end(&w); /* nothing is in flight */
  }
}

/* Puts an envelope of the test's own in the place of the answer that is on its way; it answers the request that node 1 waits for. */
static void replace_answer(world *w, const bbw_slot_fill *fills, size_t fill_count) {
  struct world_message *message = &w->messages[0];
  const bbw_parked *waiter = bbw_async_find(&world_at(w, 1)->node->engine.async, world_at(w, 1)->last_cmd);
  assert_non_null(waiter);
  bbw_envelope envelope = {.fills = fills,
                           .fill_count = fill_count,
                           .has_correlation = true,
                           .wire_req_id = waiter->request_id,
                           .schema_version = BBW_ENVELOPE_SCHEMA_VERSION};
  message->len = bbw_envelope_size(&envelope);
  free(message->bytes);
  message->bytes = malloc(message->len);
  assert_non_null(message->bytes);
  bbw_envelope_encode(&envelope, message->bytes);
}

/* "Yes", with nothing in it. */
static void an_answer_without_a_value_is_a_trigger(void **state) {
  (void)state;
  world w;
  begin_with_answer_on_its_way(&w, 2);
  replace_answer(&w, NULL, 0);
  world_run(&w, 200 * MS);
  assert_string_equal(world_at(&w, 1)->log, "y= from=0a0000000000000000080000000000000002 ");
  assert_string_equal(world_at(&w, 1)->failed, "");
  world_end(&w);
}

static void only_who_was_asked_may_answer(void **state) {
  (void)state;
  world w;
  begin_with_answer_on_its_way(&w, 3);
  w.messages[0].from = 3; /* it has overheard the id */
  world_run(&w, 200 * MS);
  assert_failed(&w, 1, "Timeout/chain_timeout", 2);
  assert_string_equal(world_at(&w, 1)->log, "");
  world_end(&w);
}

static void an_execution_that_was_ended_waits_no_more(void **state) {
  (void)state;
  world w;
  world_begin(&w, 2, waits, 9);
  world_know(&w, 1, 2);
  w.latency_ns = 5 * MS;
  uint64_t exec_id = world_ask(&w, 1, (const size_t[]){2}, 1);
  world_run(&w, 2 * MS);
  assert_int_equal(bbw_node_cancel(world_at(&w, 1)->node, exec_id, NULL), BBW_OK);
  world_run(&w, 100 * MS);
  assert_string_equal(world_at(&w, 1)->log, "");
  assert_string_equal(world_at(&w, 1)->failed, "");
  /* The host may end the waiting too, with an answer of its own. */
  world_ask(&w, 1, (const size_t[]){2}, 1);
  world_run(&w, 2 * MS);
  assert_int_equal(bbw_node_fail(world_at(&w, 1)->node, world_at(&w, 1)->last_cmd, BBW_STR("enough"), NULL), BBW_OK);
  world_run(&w, 100 * MS);
  assert_string_equal(world_at(&w, 1)->failed, "RemoteFailed/completion_failed/enough ");
  assert_string_equal(world_at(&w, 1)->log, "");
  world_end(&w);
}

static void an_operator_inside_of_a_function_waits_too(void **state) {
  (void)state;
  world w;
  world_begin(
      &w, 2,
      "target M x peers -> y\nmodule::F x peers -> y\nwire::Recv -> q who\nwire::Send q -> sent | reply=1\n"
      "function F x peers -> y\nwire::Send x peers -> d h y from - | await=1 deadline_ns=50000000 " TO("x", "01"),
      9);
  world_know(&w, 1, 2);
  world_ask(&w, 1, (const size_t[]){2}, 1);
  world_run(&w, 0);
  assert_string_equal(world_at(&w, 1)->log, "y=2a ");
  world_end(&w);
}

/* ---- several hops: 1 asks 2, which works, asks 3, which works, asks 4, which answers ---------------------------------- */

/* Who is asked works for some time on its own clock, and then asks whom its application has named. */
static const char hop[] =
    "target M x peers next work -> y\n"
    "wire::Send x peers -> d h y from - | await=1 deadline_ns=50000000 " TO(
        "x", "04") "\n"
                   "wire::Recv -> q who\n"
                   "syscall::After q -> t | delay_ns=%llu\nsyscall::Gate q t -> q2\n"
                   "syscall::Hold.Stash next -> stashed | slot='next'\nsyscall::Hold.Flush q2 -> others | slot='next'\n"
                   "wire::Send q2 others -> d2 h2 a by - | await=1 " TO("q2", "04") "\n"
                                                                                    "wire::Send a -> sent | reply=1";
/* The same as the reference does it: the request goes on under its id, and nobody on the way waits. */
static const char forward[] =
    "target M x peers next work -> y\n"
    "wire::Send x peers -> d h | deadline_ns=50000000 " TO(
        "x", "02") "\n"
                   "wire::Recv -> q who\n"
                   "syscall::After q -> t | delay_ns=%llu\nsyscall::Gate q t -> q2\n"
                   "syscall::Hold.Stash next -> stashed | slot='next'\nsyscall::Hold.Flush q2 -> others | slot='next'\n"
                   "wire::Send q2 others -> d2 h2 | " TO("q2", "02");

/* Node 4 has nobody behind it: it answers.  The place of its Recv is that of the others. */
static const char hop_end[] = "target M x peers -> got\nsyscall::Pulse -> a0 b0\nsyscall::Pulse -> c0 d0\n"
                              "wire::Recv -> q who\nsyscall::PassThrough q -> got\nwire::Send q -> sent | reply=1";
static const char forward_end[] = "target M x peers -> got\nsyscall::Pulse -> a0 b0\n"
                                  "wire::Recv -> q who\nsyscall::PassThrough q -> got\nwire::Send q -> sent | reply=1";

static void chain_begin(world *w, const char *program, uint64_t work_ns) {
  char text[1024];
  snprintf(text, sizeof(text), program, (unsigned long long)work_ns);
  const char *const texts[] = {text, text, text, program == hop ? hop_end : forward_end};
  world_begin_each(w, 4, texts, 9);
  w->latency_ns = 1 * MS;
  static const int64_t drift_ppm[] = {0, 200000, -200000, 100000};
  for (size_t number = 1; number <= 4; number++) {
    world_node *n = world_at(w, number);
    n->ahead_ns = number * 1000 * MS;
    n->drift_ppm = drift_ppm[number - 1];
    if (number == 4) { break; }
    const size_t next[] = {number + 1};
    bbw_bytes list = world_list(next, 1);
    world_know(w, number, number + 1);
    if (number == 1) { continue; }
    assert_int_equal(bbw_node_deliver_event(n->node, BBW_STR("M"), BBW_STR("next"), list, NULL), BBW_OK);
  }
  world_run(w, 0);
}

static void the_time_that_is_left_shrinks_with_every_hop(void **state) {
  (void)state;
  static const char *const programs[] = {hop, forward};
  for (size_t p = 0; p < 2; p++) {
    world w;
    chain_begin(&w, programs[p], 10 * MS);
    world_ask(&w, 1, (const size_t[]){2}, 1);
    world_run(&w, 45 * MS);
    assert_int_equal(world_at(&w, 2)->remaining_ns, 50 * MS);
    /* Each takes off what has passed on its own clock, which the test reads once in a millisecond: 10 of node 2's make 9 of the world's, and 13 of node 3's. */
    assert_int_equal(world_at(&w, 3)->remaining_ns, 50 * MS - 9 * MS - 9 * MS / 5);
    assert_int_equal(world_at(&w, 4)->remaining_ns, 50 * MS - 9 * MS - 9 * MS / 5 - (13 * MS - 13 * MS / 5));
    assert_string_equal(world_at(&w, 4)->log, "got=2a ");
    if (p == 0) { assert_string_equal(world_at(&w, 1)->log, "y=2a "); }
    world_run(&w, 200 * MS);
    for (size_t number = 1; p == 0 && number <= 4; number++) {
      assert_int_equal(world_at(&w, number)->counts[BBW_STEP_WIRE_TIMEOUT], 0);
      assert_string_equal(world_at(&w, number)->failed, "");
    }
    world_end(&w);
  }
}

static void a_hop_after_the_deadline_does_not_do_the_work(void **state) {
  (void)state;
  static const char *const programs[] = {hop, forward};
  for (size_t p = 0; p < 2; p++) {
    world w;
    chain_begin(&w, programs[p], 30 * MS); /* the second of the two works into the deadline */
    world_ask(&w, 1, (const size_t[]){2}, 1);
    world_run(&w, 500 * MS);
    assert_int_equal(world_at(&w, 4)->received, 0);
    assert_string_equal(world_at(&w, 4)->log, "");
    assert_failed(&w, 3, "Timeout/deadline_exceeded", 4);
    assert_int_equal(world_at(&w, 1)->counts[BBW_STEP_WIRE_TIMEOUT], 1);
    if (p == 0) {
      assert_failed(&w, 1, "Timeout/chain_timeout", 2);
      assert_failed(&w, 2, "Timeout/chain_timeout", 3);
      assert_int_equal(world_at(&w, 2)->counts[BBW_STEP_WIRE_TIMEOUT], 1);
      assert_string_equal(world_at(&w, 1)->log, "");
    }
    world_end(&w);
  }
}

static void an_answer_goes_out_after_the_deadline_too(void **state) {
  (void)state;
  world w; /* who has asked decides whether it still counts: here nobody does */
  world_begin(&w, 2,
              "target M x peers -> y\nwire::Send x peers -> d h y from - | await=1 deadline_ns=50000000 " TO(
                  "x", "04") "\n"
                             "wire::Recv -> q who\nsyscall::After q -> t | delay_ns=70000000\nsyscall::Gate q t -> q2\n"
                             "wire::Send q2 who -> sent h2",
              9);
  world_know(&w, 1, 2);
  world_ask(&w, 1, (const size_t[]){2}, 1);
  world_run(&w, 100 * MS);
  assert_int_equal(world_at(&w, 1)->received, 1);
  assert_int_equal(world_at(&w, 1)->remaining_ns, 1);
  assert_failed(&w, 1, "Timeout/chain_timeout", 2);
  bbw_stats stats;
  bbw_node_stats(world_at(&w, 1)->node, &stats);
  assert_int_equal(stats.late_completions, 1);
  world_end(&w);
}

/* Node 1 tells node 2 something under no id, with all the time in the world. */
static void tell_without_id(world *w, uint8_t site_number) {
  const uint8_t site[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, site_number};
  static const uint8_t nothing[8] = {0};
  uint8_t from[BBW_PEER_ID_BYTES_MAX], bytes[128];
  bbw_peer_id peer = bbw_peer_id_from_u64(1);
  bbw_slot_fill fill = {.dest_suffix = {site, sizeof(site)},
                        .payload = {nothing, sizeof(nothing)},
                        .type_hash = bbw_type_hash(BBW_TYPE_BYTES)};
  bbw_envelope envelope = {.fills = &fill,
                           .fill_count = 1,
                           .remaining_deadline_ns = UINT64_MAX,
                           .schema_version = BBW_ENVELOPE_SCHEMA_VERSION};
  assert_true(bbw_envelope_size(&envelope) <= sizeof(bytes));
  bbw_envelope_encode(&envelope, bytes);
  bbw_bytes id = {from, bbw_peer_id_encode(&peer, from)};
  bbw_bytes sent = {bytes, bbw_envelope_size(&envelope)};
  assert_int_equal(bbw_node_deliver_inbound(world_at(w, 2)->node, id, sent, NULL), BBW_OK);
  world_run(w, 1 * MS);
  assert_int_equal(world_at(w, 1)->received, 1);
}

/* A reply answers; it asks nothing, whatever it answers. */
static void a_reply_is_no_request(void **state) {
  (void)state;
  world w;
  world_begin(&w, 2, waits, 9);
  world_know(&w, 2, 1);
  tell_without_id(&w, 4);
  assert_int_equal(open_requests(&w, 2), 0);
  world_end(&w);
}

/* How long a request stays open follows the time that a peer gives, but not for ever: the table would be full of them. */
static void a_peer_keeps_no_request_open_for_ever(void **state) {
  (void)state;
  world w;
  world_begin(&w, 2, asks, 9);
  world_know(&w, 2, 1);
  tell_without_id(&w, 2);
  w.step_ns = 60000 * MS;
  world_run(&w, BBW_REQUEST_INHERITED_NS_MAX - 60000 * MS);
  assert_int_equal(open_requests(&w, 2), 1);
  world_run(&w, 60000 * MS);
  assert_int_equal(open_requests(&w, 2), 0);
  assert_int_equal(world_at(&w, 2)->counts[BBW_STEP_WIRE_TIMEOUT], 1);
  world_end(&w);
}

/* ---- snapshots, lack of memory ---------------------------------------------------------------------------------------- */

static void whoever_waits_goes_on_after_a_restore(void **state) {
  (void)state;
  for (int lost = 0; lost < 2; lost++) {
    world w;
    world_begin(&w, 3, waits, 9);
    world_know(&w, 1, 2);
    world_know(&w, 1, 3);
    world_at(&w, 2)->is_away = true;
    w.latency_ns = 5 * MS;
    world_node *n = world_at(&w, 1);
    world_ask(&w, 1, (const size_t[]){2, 3}, 2);
    world_run(&w, 2 * MS);
    uint8_t *bytes;
    size_t len;
    assert_int_equal(bbw_node_snapshot(n->node, &bytes, &len, &n->mem.mem, NULL), BBW_OK);
    assert_int_equal(bbw_node_clear(n->node, NULL), BBW_OK);
    assert_int_equal(bbw_node_restore(n->node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
    const bbw_engine *engine = &n->node->engine;
    assert_int_equal(bbw_requests_in_flight(&engine->requests), 1);
    assert_int_equal(bbw_requests_next(&engine->requests)->other_count, 1);
    n->mem.mem.free(n->mem.mem.ctx, bytes, len);
    world_at(&w, 3)->is_away = lost != 0;
    if (lost != 0) { free(w.messages[--w.message_count].bytes); }
    world_run(&w, 200 * MS);
    if (lost != 0) {
      assert_failed(&w, 1, "Timeout/chain_timeout", 2);
    } else {
      assert_string_equal(n->log, "y=2a from=0a0000000000000000080000000000000003 ");
    }
    world_end(&w);
  }
}

static void lack_of_memory_never_loses_the_outcome(void **state) {
  (void)state;
  /* A long answer, a failed sending, a time-out, nobody known, a short answer: each allocation of node 1 fails once. */
  static const char *const programs[] = {waits, catches};
  static const uint8_t x[1000] = {0};
  for (size_t p = 0; p < 2; p++) {
    for (int why = 0; why < 5; why++) {
      for (size_t nth = 0, is_over = 0; !is_over; nth++) {
        world w;
        world_begin(&w, 2, programs[p], 9);
        if (why != 3) { world_know(&w, 1, 2); }
        world_at(&w, 2)->is_unreachable = why == 1;
        world_at(&w, 2)->is_away = why == 2;
        world_node *n = world_at(&w, 1);
        bbw_named_bytes inputs[2] = {{BBW_STR("x"), {x, why == 0 ? sizeof(x) : 1}},
                                     {BBW_STR("peers"), world_list((const size_t[]){2}, 1)}};
        uint64_t exec_id;
        assert_int_equal(bbw_node_invoke(n->node, BBW_STR("M"), inputs, 2, &exec_id, NULL), BBW_OK);
        (void)test_mem_fail_at(&n->mem, nth);
        n->mem.fails_once = true;
        world_run(&w, 60 * MS);
        is_over = n->mem.alloc_count <= nth;
        n->mem.fail_at = TEST_MEM_NEVER;
        size_t answers = strstr(n->log, "y=") != NULL, failures = strstr(n->log, "f=") != NULL;
        size_t outcomes = answers + failures + n->counts[BBW_STEP_OP_FAILED];
        if (outcomes != 1) {
          fail_msg("%zu outcomes, program %zu, case %d, allocation %zu: %s %s", outcomes, p, why, nth, n->log,
                   n->failed);
        }
        world_end(&w);
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_request_to_several_is_answered_by_any_that_it_was_sent_to),
      cmocka_unit_test(a_request_that_was_sent_to_nobody_still_ends),
      cmocka_unit_test(a_request_is_lost_when_it_reached_none_of_its_peers),
      cmocka_unit_test(the_answer_comes_to_who_asked),
      cmocka_unit_test(whoever_waits_is_told_why_no_answer_comes),
      cmocka_unit_test(a_graph_may_take_the_failure_as_a_value),
      cmocka_unit_test(an_answer_after_the_end_is_late_and_counted),
      cmocka_unit_test(an_answer_that_nobody_can_read_is_a_failure),
      cmocka_unit_test(an_answer_is_held_within_the_byte_budget),
      cmocka_unit_test(an_answer_without_a_value_is_a_trigger),
      cmocka_unit_test(only_who_was_asked_may_answer),
      cmocka_unit_test(an_execution_that_was_ended_waits_no_more),
      cmocka_unit_test(an_operator_inside_of_a_function_waits_too),
      cmocka_unit_test(the_time_that_is_left_shrinks_with_every_hop),
      cmocka_unit_test(a_hop_after_the_deadline_does_not_do_the_work),
      cmocka_unit_test(an_answer_goes_out_after_the_deadline_too),
      cmocka_unit_test(a_reply_is_no_request),
      cmocka_unit_test(a_peer_keeps_no_request_open_for_ever),
      cmocka_unit_test(whoever_waits_goes_on_after_a_restore),
      cmocka_unit_test(lack_of_memory_never_loses_the_outcome),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
