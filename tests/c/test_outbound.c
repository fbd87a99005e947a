/* Envelopes on their way out: the one queue, peers whose transport takes no more for now, their share of memory, their turns, and what a node does with all that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "format/envelope.h"
#include "node/node.h"
#include "session.h"

#define NO_LIMIT BBW_OUTBOUND_NO_LIMIT

typedef struct fixture {
  test_mem mem;
  bbw_outbound outbound;
} fixture;

static void begin(fixture *f, uint64_t cap, uint64_t bytes_max) {
  test_mem_init(&f->mem);
  bbw_outbound_init(&f->outbound, cap, bytes_max, &f->mem.mem);
}

static void end(fixture *f) {
  bbw_outbound_free(&f->outbound);
  assert_int_equal(f->outbound.waiting_count, 0);
  assert_int_equal(f->outbound.waiting_bytes, 0);
  assert_int_equal(f->mem.live_bytes, 0);
}

/* An envelope with a mark (its request id) and a payload of so many bytes. */
static bbw_tail *tail_of(fixture *f, uint64_t mark, size_t len, uint64_t deadline_ns) {
  static uint8_t payload[1 << 20];
  assert_true(len <= sizeof(payload));
  bbw_slot_fill fill = {.payload = {payload, len}};
  bbw_envelope envelope = {.fills = &fill,
                           .fill_count = 1,
                           .has_correlation = true,
                           .wire_req_id = mark,
                           .remaining_deadline_ns = deadline_ns,
                           .schema_version = 1};
  bbw_tail *tail;
  assert_int_equal(bbw_tail_new(&tail, &envelope, &f->mem.mem), BBW_OK);
  return tail;
}

static void push(fixture *f, uint64_t peer, uint64_t mark, size_t len) {
  bbw_peer_id id = bbw_peer_id_from_u64(peer);
  bbw_tail *tail = tail_of(f, mark, len, 0);
  assert_int_equal(bbw_outbound_push(&f->outbound, &id, NULL, 0, tail), BBW_OK);
  bbw_tail_release(tail, &f->mem.mem);
}

static void room(fixture *f, uint64_t peer, uint64_t bytes) {
  bbw_peer_id id = bbw_peer_id_from_u64(peer);
  assert_int_equal(bbw_outbound_set_room(&f->outbound, &id, bytes), BBW_OK);
}

static bbw_envelope decoded(const uint8_t *bytes, size_t len, bbw_arena *arena) {
  bbw_envelope envelope;
  assert_int_equal(bbw_envelope_decode(&envelope, (bbw_bytes){bytes, len}, &bbw_envelope_caps_default, arena, NULL),
                   BBW_OK);
  return envelope;
}

/* Takes out what may leave: "peer:mark " each. */
static const char *leaving(fixture *f) {
  static char text[4096];
  static uint8_t bytes[1 << 21];
  size_t len = 0;
  const bbw_outbound_entry *entry;
  text[0] = '\0';
  while ((entry = bbw_outbound_front(&f->outbound)) != NULL) {
    bbw_arena arena;
    bbw_arena_init(&arena, &bbw_mem_libc);
    uint64_t peer;
    assert_true(bbw_peer_id_as_u64(&entry->peer, &peer));
    bbw_outbound_write(&f->outbound, entry, bytes);
    bbw_envelope envelope = decoded(bytes, entry->dest_len + entry->tail->len, &arena);
    len += (size_t)snprintf(text + len, sizeof(text) - len, "%u:%u ", (unsigned)peer, (unsigned)envelope.wire_req_id);
    bbw_arena_free(&arena);
    bbw_outbound_pop(&f->outbound);
  }
  return text;
}

static void a_peer_without_room_waits_and_nobody_else(void **state) {
  (void)state;
  fixture f;
  begin(&f, 100, 100000);
  room(&f, 2, 0);
  push(&f, 2, 1, 10);
  push(&f, 3, 2, 10);
  push(&f, 2, 3, 10);
  push(&f, 4, 4, 10);
  assert_int_equal(bbw_outbound_count(&f.outbound), 4);
  assert_string_equal(leaving(&f), "3:2 4:4 ");
  assert_int_equal(bbw_outbound_count(&f.outbound), 2);
  push(&f, 2, 5, 10);
  room(&f, 2, NO_LIMIT);
  assert_string_equal(leaving(&f), "2:1 2:3 2:5 "); /* in their order */
  assert_int_equal(f.outbound.flows.count, 0);      /* it needs no flow any more */
  push(&f, 2, 6, 10);
  assert_string_equal(leaving(&f), "2:6 ");
  assert_int_equal(f.outbound.dropped_new, 0);
  end(&f);
}

static void room_is_used_up_and_the_last_envelope_goes_whole(void **state) {
  (void)state;
  fixture f;
  begin(&f, 100, 100000);
  room(&f, 2, 250);
  for (uint64_t i = 1; i <= 6; i++) { push(&f, 2, i, 100); }
  assert_string_equal(leaving(&f), "2:1 2:2 2:3 ");
  room(&f, 2, 1);
  assert_string_equal(leaving(&f), "2:4 ");
  room(&f, 2, 1);
  room(&f, 2, 0); /* changed its mind */
  assert_string_equal(leaving(&f), "");
  room(&f, 2, 1000);
  assert_string_equal(leaving(&f), "2:5 2:6 ");
  push(&f, 2, 7, 5000); /* larger than what is left */
  push(&f, 2, 8, 1);
  assert_string_equal(leaving(&f), "2:7 ");
  end(&f);
}

static void slow_peers_share_the_memory_and_leave_some(void **state) {
  (void)state;
  enum { BYTES = 1000000, PIECE = 1000 };
  fixture f;
  begin(&f, 1000000, BYTES);
  uint64_t before = 0;
  for (uint64_t peer = 2; peer < 6; peer++) {
    room(&f, peer, 0);
    for (uint64_t i = 0; i < 3 * BYTES / PIECE; i++) { push(&f, peer, i + 1, PIECE); }
    assert_true(f.outbound.waiting_bytes < BYTES); /* always room for the next */
    assert_true(f.outbound.waiting_bytes > before);
    before = f.outbound.waiting_bytes;
    bbw_peer_id first = bbw_peer_id_from_u64(2);
    const bbw_flow *flow = bbw_peer_table_find(&f.outbound.flows, &first);
    assert_true(flow->bytes > BYTES / 2 - 2 * PIECE && flow->bytes <= BYTES / 2); /* the first keeps its half */
  }
  assert_true(f.outbound.dropped_new > 0);
  /* It is the oldest that went: the youngest is there. */
  bbw_peer_id last = bbw_peer_id_from_u64(5);
  const bbw_flow *flow = bbw_peer_table_find(&f.outbound.flows, &last);
  assert_true(flow->queue.count > 0);
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_envelope youngest = decoded(flow->queue.last->tail->bytes, flow->queue.last->tail->len, &arena);
  assert_int_equal(youngest.wire_req_id, 3 * BYTES / PIECE);
  bbw_arena_free(&arena);
  /* Who is not slow does not notice. */
  uint64_t dropped = f.outbound.dropped_new;
  push(&f, 9, 77, PIECE);
  assert_string_equal(leaving(&f), "9:77 ");
  assert_int_equal(f.outbound.dropped_new, dropped);
  end(&f);
}

static void counts_are_shared_too_and_what_never_fits_is_dropped(void **state) {
  (void)state;
  fixture f;
  begin(&f, 8, 10000);
  room(&f, 2, 0);
  for (uint64_t i = 1; i <= 20; i++) { push(&f, 2, i, 1); }
  assert_int_equal(f.outbound.waiting_count, 4);
  room(&f, 3, 0);
  for (uint64_t i = 1; i <= 20; i++) { push(&f, 3, i, 1); }
  assert_int_equal(f.outbound.waiting_count, 6);
  assert_int_equal(f.outbound.dropped_new, 34);
  room(&f, 4, 0);
  push(&f, 4, 1, 20000);
  assert_int_equal(f.outbound.dropped_new, 35);
  push(&f, 4, 2, 1);
  room(&f, 2, NO_LIMIT);
  room(&f, 3, NO_LIMIT);
  room(&f, 4, NO_LIMIT);
  assert_string_equal(leaving(&f), "2:17 2:18 2:19 2:20 3:19 3:20 4:2 ");
  end(&f);
}

/* A payload for many slow peers is in memory once, and counts once. */
static void a_shared_payload_counts_once(void **state) {
  (void)state;
  enum { PEERS = 50, LEN = 1 << 20 };
  fixture f;
  begin(&f, 1000, 4 * LEN);
  bbw_tail *tail = tail_of(&f, 1, LEN, 0);
  for (uint64_t peer = 2; peer < 2 + PEERS; peer++) {
    bbw_peer_id id = bbw_peer_id_from_u64(peer);
    room(&f, peer, 0);
    assert_int_equal(bbw_outbound_push(&f.outbound, &id, NULL, 0, tail), BBW_OK);
  }
  bbw_tail_release(tail, &f.mem.mem);
  assert_int_equal(f.outbound.dropped_new, 0);
  assert_int_equal(f.outbound.waiting_count, PEERS);
  assert_true(f.outbound.waiting_bytes > LEN && f.outbound.waiting_bytes < LEN + PEERS * 400);
  for (uint64_t peer = 2; peer < 2 + PEERS; peer++) {
    room(&f, peer, 1);
    assert_non_null(bbw_outbound_front(&f.outbound));
    bbw_outbound_pop(&f.outbound);
  }
  assert_int_equal(f.outbound.waiting_bytes, 0);
  end(&f);
}

static void peers_that_may_send_again_take_turns_by_bytes(void **state) {
  (void)state;
  enum { LARGE = BBW_OUTBOUND_TURN_BYTES, HALF = BBW_OUTBOUND_TURN_BYTES / 2 };
  fixture f;
  begin(&f, 1000, UINT64_MAX);
  for (uint64_t peer = 2; peer <= 4; peer++) { room(&f, peer, 0); }
  for (uint64_t i = 1; i <= 4; i++) { push(&f, 2, i, LARGE); }
  for (uint64_t i = 1; i <= 4; i++) { push(&f, 3, i, HALF); }
  for (uint64_t i = 1; i <= 2; i++) { push(&f, 4, i, 10); }
  for (uint64_t peer = 2; peer <= 4; peer++) { room(&f, peer, NO_LIMIT); }
  assert_string_equal(leaving(&f), "2:1 3:1 3:2 4:1 4:2 2:2 3:3 3:4 2:3 2:4 ");
  end(&f);
}

static void flows_are_bounded(void **state) {
  (void)state;
  fixture f;
  begin(&f, 10, 1000);
  for (uint64_t i = 0; i < BBW_OUTBOUND_FLOWS_MAX; i++) { room(&f, i, 0); }
  bbw_peer_id one_more = bbw_peer_id_from_u64(BBW_OUTBOUND_FLOWS_MAX);
  assert_int_equal(bbw_outbound_set_room(&f.outbound, &one_more, 0), BBW_E_LIMIT);
  assert_int_equal(bbw_outbound_set_room(&f.outbound, &one_more, NO_LIMIT), BBW_OK);
  room(&f, 7, NO_LIMIT);
  assert_int_equal(bbw_outbound_set_room(&f.outbound, &one_more, 0), BBW_OK);
  end(&f);
}

static void a_lack_of_memory_changes_nothing(void **state) {
  (void)state;
  fixture f;
  bbw_peer_id peer = bbw_peer_id_from_u64(2);
  begin(&f, 10, 100000);
  bbw_tail *tail = tail_of(&f, 1, 10, 0);
  f.mem.fail_at = f.mem.alloc_count;
  assert_int_equal(bbw_outbound_set_room(&f.outbound, &peer, 0), BBW_E_NOMEM);
  assert_int_equal(bbw_outbound_push(&f.outbound, &peer, NULL, 0, tail), BBW_E_NOMEM);
  f.mem.fail_at = TEST_MEM_NEVER;
  assert_int_equal(f.outbound.flows.count, 0);
  assert_int_equal(bbw_outbound_count(&f.outbound), 0);
  bbw_tail_release(tail, &f.mem.mem);
  end(&f);
}

static void what_waits_has_less_time_left(void **state) {
  (void)state;
  static const struct {
    uint64_t deadline_ns, waited_ns, left_ns;
  } rows[] = {{0, 5, 0},
              {100, 0, 100},
              {100, 30, 70},
              {300, 299, 1},
              {300, 300, 1},
              {100000000, 99999990, 10},
              {UINT64_MAX, 1, UINT64_MAX - 1},
              {UINT64_C(1) << 63, (UINT64_C(1) << 63) - 127, 127}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    fixture f;
    begin(&f, 10, 100000);
    bbw_peer_id peer = bbw_peer_id_from_u64(2);
    bbw_tail *tail = tail_of(&f, 9, 300, rows[i].deadline_ns);
    room(&f, 2, 0);
    f.outbound.now_ns = 1;
    uint8_t address[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 7};
    bbw_bytes to = {address, sizeof(address)};
    assert_int_equal(bbw_outbound_push(&f.outbound, &peer, &to, 1, tail), BBW_OK);
    bbw_tail_release(tail, &f.mem.mem);
    f.outbound.now_ns = 1 + rows[i].waited_ns;
    room(&f, 2, NO_LIMIT);
    const bbw_outbound_entry *entry = bbw_outbound_front(&f.outbound);
    uint8_t bytes[512];
    assert_true(entry->dest_len + entry->tail->len <= sizeof(bytes));
    bbw_outbound_write(&f.outbound, entry, bytes);
    bbw_arena arena;
    bbw_arena_init(&arena, &bbw_mem_libc);
    bbw_envelope envelope = decoded(bytes, entry->dest_len + entry->tail->len, &arena);
    assert_true(envelope.remaining_deadline_ns == rows[i].left_ns);
    assert_int_equal(envelope.wire_req_id, 9);
    assert_int_equal(envelope.schema_version, 1);
    assert_int_equal(envelope.fills[0].payload.len, 300);
    assert_int_equal(envelope.dest_peer_address_count, 1);
    bbw_arena_free(&arena);
    end(&f);
  }
}

/* ---- in a node ------------------------------------------------------------------------------------------------------ */

static const char sending[] = "target M x peers -> d h\nwire::Send x peers -> d h | deadline_ns=1000";

static bbw_bytes peer_bytes(uint64_t number, uint8_t *buf) {
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  return (bbw_bytes){buf, bbw_peer_id_encode(&peer, buf)};
}

static void know(const session *s, uint64_t number) {
  static const uint8_t site[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 7};
  uint8_t buf[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes address = {site, sizeof(site)};
  assert_int_equal(bbw_node_add_peer(s->node, peer_bytes(number, buf), &address, 1, NULL), BBW_OK);
}

static void send_to(const session *s, uint8_t peer) {
  uint8_t list[26] = {1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, peer};
  bbw_named_bytes inputs[2] = {{BBW_STR("x"), {(const uint8_t *)"x", 1}}, {BBW_STR("peers"), {list, sizeof(list)}}};
  uint64_t exec_id;
  assert_int_equal(bbw_node_invoke(s->node, BBW_STR("M"), inputs, 2, &exec_id, NULL), BBW_OK);
}

static void set_room(const session *s, uint64_t peer, uint64_t bytes) {
  uint8_t buf[BBW_PEER_ID_BYTES_MAX];
  assert_int_equal(bbw_node_set_send_room(s->node, peer_bytes(peer, buf), bytes, NULL), BBW_OK);
}

/* Polls; "peer" of each envelope, with ! when it is marked as redelivered. */
static const char *sent(session *s) {
  static char text[256];
  size_t len = 0, before = s->steps.count;
  (void)session_poll_all(s);
  bbw_bytes steps = {(const uint8_t *)s->steps.items + before, s->steps.count - before};
  bbw_step step;
  text[0] = '\0';
  for (size_t at = 0; bbw_steps_next(steps, &at, &step);) {
    if (step.kind != BBW_STEP_SEND_ENVELOPE) { continue; }
    bbw_peer_id peer;
    uint64_t number;
    assert_int_equal(bbw_peer_id_decode(&peer, bbw_step_bytes(&step, "peer"), NULL), BBW_OK);
    assert_true(bbw_peer_id_as_u64(&peer, &number));
    len += (size_t)snprintf(text + len, sizeof(text) - len, "%u%s ", (unsigned)number,
                            bbw_step_u64(&step, "is_redelivered") != 0 ? "!" : "");
  }
  return text;
}

static void a_node_rests_while_a_peer_is_slow_and_is_woken_by_room(void **state) {
  (void)state;
  session s;
  session_install(&s, sending, NULL);
  know(&s, 2);
  know(&s, 3);
  set_room(&s, 2, 0);
  send_to(&s, 2);
  send_to(&s, 3);
  assert_string_equal(sent(&s), "3 ");
  assert_int_equal(session_stats(&s).outbound_queue_depth, 1);
  assert_true(session_poll(&s)); /* nothing to do */
  set_room(&s, 2, 1);
  assert_false(bbw_engine_is_idle(&s.node->engine));
  assert_string_equal(sent(&s), "2 ");
  send_to(&s, 2);
  assert_string_equal(sent(&s), ""); /* the room is used up */
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  assert_int_equal(session_stats(&s).outbound_queue_depth, 0);
  send_to(&s, 2);
  assert_string_equal(sent(&s), ""); /* the room is the connection's and stays as it is */
  set_room(&s, 2, BBW_NO_CAP);
  assert_string_equal(sent(&s), "2 ");
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  session_end(&s);
}

static void what_waits_survives_a_snapshot(void **state) {
  (void)state;
  session s;
  session_install(&s, sending, NULL);
  know(&s, 2);
  know(&s, 3);
  set_room(&s, 3, 0);
  set_room(&s, 2, 0);
  send_to(&s, 2);
  send_to(&s, 3);
  send_to(&s, 2);
  assert_string_equal(sent(&s), "");
  uint8_t *bytes;
  size_t len;
  assert_int_equal(bbw_node_snapshot(s.node, &bytes, &len, &s.mem.mem, NULL), BBW_OK);
  assert_string_equal(sent(&s), ""); /* taking one changes nothing */
  set_room(&s, 2, BBW_NO_CAP);
  assert_string_equal(sent(&s), "2 2 ");
  assert_int_equal(bbw_node_restore(s.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
  assert_int_equal(session_stats(&s).outbound_queue_depth, 3);
  assert_string_equal(
      sent(&s), "3! 2! 2! "); /* the connections of an earlier life are gone, and with them what was said of them */
  s.mem.mem.free(s.mem.mem.ctx, bytes, len);
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  session_end(&s);
}

static void what_waits_for_a_peer_that_is_forbidden_since_is_dropped(void **state) {
  (void)state;
  session s;
  uint8_t buf[BBW_PEER_ID_BYTES_MAX];
  session_install(&s, sending, NULL);
  know(&s, 2);
  set_room(&s, 2, 0);
  send_to(&s, 2);
  assert_string_equal(sent(&s), "");
  assert_int_equal(bbw_node_block_peer(s.node, peer_bytes(2, buf), NULL), BBW_OK);
  set_room(&s, 2, BBW_NO_CAP);
  assert_string_equal(sent(&s), "");
  assert_int_equal(s.counts[BBW_STEP_OUTBOUND_DROPPED], 1);
  assert_int_equal(session_stats(&s).outbound_queue_depth, 0);
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  session_end(&s);
}

/* Envelopes of an earlier life have no flow; the lists hold for them all the same. */
static void what_was_restored_for_a_forbidden_peer_is_dropped(void **state) {
  (void)state;
  session s;
  uint8_t buf[BBW_PEER_ID_BYTES_MAX];
  session_install(&s, sending, NULL);
  know(&s, 2);
  set_room(&s, 2, 0);
  send_to(&s, 2);
  assert_string_equal(sent(&s), "");
  assert_int_equal(bbw_node_block_peer(s.node, peer_bytes(2, buf), NULL), BBW_OK);
  uint8_t *bytes;
  size_t len;
  assert_int_equal(bbw_node_snapshot(s.node, &bytes, &len, &s.mem.mem, NULL), BBW_OK);
  set_room(&s, 2, BBW_NO_CAP);
  assert_string_equal(sent(&s), "");
  assert_int_equal(bbw_node_restore(s.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
  assert_int_equal(session_stats(&s).outbound_queue_depth, 1);
  assert_string_equal(sent(&s), "");
  assert_int_equal(s.counts[BBW_STEP_OUTBOUND_DROPPED], 2);
  s.mem.mem.free(s.mem.mem.ctx, bytes, len);
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  session_end(&s);
}

/* A host that gives room and takes it back before the next poll leaves nothing to walk over. */
static void rooms_that_come_and_go_leave_nothing_behind(void **state) {
  (void)state;
  enum { PEERS = 50 };
  session s;
  session_install(&s, sending, NULL);
  for (uint8_t peer = 2; peer < 2 + PEERS; peer++) {
    know(&s, peer);
    set_room(&s, peer, 0);
    send_to(&s, peer);
  }
  assert_string_equal(sent(&s), "");
  for (uint8_t peer = 2; peer < 2 + PEERS; peer++) {
    set_room(&s, peer, 1);
    set_room(&s, peer, 0);
  }
  const bbw_outbound *outbound = &s.node->engine.outbound;
  assert_non_null(outbound->ring_first);
  assert_string_equal(sent(&s), "");
  assert_null(outbound->ring_first);
  assert_int_equal(outbound->waiting_count, PEERS);
  set_room(&s, 7, 1);
  assert_string_equal(sent(&s), "7 ");
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  for (uint8_t peer = 2; peer < 2 + PEERS; peer++) { set_room(&s, peer, BBW_NO_CAP); }
  assert_int_equal(outbound->flows.count, 0);
  session_end(&s);
}

static void the_limit_is_a_setting(void **state) {
  (void)state;
  session s;
  bbw_config config;
  bbw_config_init(&config);
  assert_int_equal(config.max_outbound_bytes, 64 << 20);
  config.max_outbound_bytes = 0; /* nothing waits */
  session_install(&s, sending, &config);
  know(&s, 2);
  set_room(&s, 2, 0);
  send_to(&s, 2);
  assert_string_equal(sent(&s), "");
  assert_int_equal(session_stats(&s).outbound_queue_depth, 0);
  assert_int_equal(s.counts[BBW_STEP_OUTBOUND_DROPPED], 1);
  config.max_outbound_bytes = 10000;
  assert_int_equal(bbw_node_set_config(s.node, &config, NULL), BBW_OK);
  send_to(&s, 2);
  assert_string_equal(sent(&s), "");
  assert_int_equal(session_stats(&s).outbound_queue_depth, 1);
  uint8_t bad[2] = {0x00, 0x08};
  assert_int_not_equal(bbw_node_set_send_room(s.node, (bbw_bytes){bad, 2}, 0, NULL), BBW_OK);
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  session_end(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_peer_without_room_waits_and_nobody_else),
      cmocka_unit_test(room_is_used_up_and_the_last_envelope_goes_whole),
      cmocka_unit_test(slow_peers_share_the_memory_and_leave_some),
      cmocka_unit_test(counts_are_shared_too_and_what_never_fits_is_dropped),
      cmocka_unit_test(a_shared_payload_counts_once),
      cmocka_unit_test(peers_that_may_send_again_take_turns_by_bytes),
      cmocka_unit_test(flows_are_bounded),
      cmocka_unit_test(a_lack_of_memory_changes_nothing),
      cmocka_unit_test(what_waits_has_less_time_left),
      cmocka_unit_test(a_node_rests_while_a_peer_is_slow_and_is_woken_by_room),
      cmocka_unit_test(what_waits_survives_a_snapshot),
      cmocka_unit_test(what_waits_for_a_peer_that_is_forbidden_since_is_dropped),
      cmocka_unit_test(what_was_restored_for_a_forbidden_peer_is_dropped),
      cmocka_unit_test(rooms_that_come_and_go_leave_nothing_behind),
      cmocka_unit_test(the_limit_is_a_setting),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
