/* Send and delivery in their corners: who is meant, what is shipped, deadlines, chains, limits (operator specification §3.9, wire specification §8-§12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "format/envelope.h"
#include "format/route.h"
#include "node/node.h"
#include "session.h"

#define PEER_2         \
  "000800000000000000" \
  "02"
#define LIST_2       \
  "0100000000000000" \
  "0a00000000000000" PEER_2
#define SITE_7 "e2010000000000000007"

static bbw_bytes hex(const char *text) {
  static uint8_t pool[1 << 16];
  static size_t used;
  size_t len = strlen(text) / 2;
  if (used + len > sizeof(pool)) { used = 0; }
  uint8_t *out = pool + used;
  used += len;
  for (size_t i = 0; i < len; i++) {
    char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
    out[i] = (uint8_t)strtoul(digits, NULL, 16);
  }
  return (bbw_bytes){out, len};
}

/* "x=01 peers=..." */
static void invoke(session *s, const char *inputs) {
  bbw_named_bytes list[6];
  size_t count = 0;
  char copy[4096];
  snprintf(copy, sizeof(copy), "%s", inputs);
  for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
    char *value = strchr(word, '=');
    *value++ = '\0';
    assert_true(count < 6);
    bbw_str name = {word, strlen(word)};
    for (size_t i = 0; i < s->node->modules[0]->function->input.count; i++) { /* the name has to live until the call */
      bbw_str formal = *BBW_PROTO_AT(&s->node->modules[0]->function->input, bbw_str, i);
      if (bbw_str_equal(formal, name)) { name = formal; }
    }
    list[count++] = (bbw_named_bytes){name, hex(value)};
  }
  uint64_t exec_id;
  assert_int_equal(bbw_node_invoke(s->node, BBW_STR("M"), list, count, &exec_id, NULL), BBW_OK);
}

/* The envelopes of the polls that follow, decoded one after the other. */
typedef struct sent {
  size_t count;
  bbw_arena arena;
  bbw_envelope last;
} sent;

static sent run(session *s) {
  sent out = {.count = 0};
  bbw_arena_init(&out.arena, &bbw_mem_libc);
  size_t before = s->steps.count;
  (void)session_poll_all(s);
  bbw_bytes steps = {(const uint8_t *)s->steps.items + before, s->steps.count - before};
  bbw_step step;
  for (size_t at = 0; bbw_steps_next(steps, &at, &step);) {
    if (step.kind != BBW_STEP_SEND_ENVELOPE) { continue; }
    bool ok;
    bbw_bytes wire = bbw_arena_copy(&out.arena, bbw_step_bytes(&step, "bytes"), &ok);
    assert_true(ok);
    assert_int_equal(bbw_envelope_decode(&out.last, wire, &bbw_envelope_caps_default, &out.arena, NULL), BBW_OK);
    out.count++;
  }
  return out;
}

static void know(session *s, uint64_t number) {
  uint8_t buf[BBW_PEER_ID_BYTES_MAX];
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  bbw_bytes address = hex(SITE_7);
  assert_int_equal(bbw_node_add_peer(s->node, (bbw_bytes){buf, bbw_peer_id_encode(&peer, buf)}, &address, 1, NULL),
                   BBW_OK);
}

/* ---- who is meant, what is shipped ---------------------------------------------------------------------------------- */

static void peers_are_found_by_name_then_by_position(void **state) {
  (void)state;
  static const struct {
    const char *graph, *inputs;
    size_t envelopes, fills;
  } rows[] = {
      {"target M x dest -> d h\nwire::Send x dest -> d h", "x=01 dest=" LIST_2, 1, 1},
      {"target M x dest_peer -> d h\nwire::Send dest_peer x -> d h", "x=01 dest_peer=" LIST_2, 1, 1},
      {"target M x q -> d h\nwire::Send x q -> d h", "x=01 q=" LIST_2, 1, 1}, /* the second input */
      {"target M x q peer_id -> d h\nwire::Send x q peer_id -> d h", "x=01 q=02 peer_id=" LIST_2, 1, 2},
      {"target M x peers req_id -> d h\nwire::Send x peers req_id -> d h", "x=01 peers=" LIST_2 " req_id=09", 1,
       1}, /* not shipped */
      {"target M peers -> d h\nsyscall::Pulse -> t\nwire::Send t peers -> d h", "peers=" LIST_2, 1, 1},
      {"target M x peers -> d h\nsyscall::OnTrigger x -> t\nwire::Send t peers -> d h", "x=01 peers=" LIST_2, 1, 1},
      {"target M x peers -> d h\nwire::Send x peers -> d h", "x=01 peers=0000000000000000", 0, 0}, /* to nobody */
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    session s;
    session_install(&s, rows[i].graph, NULL);
    know(&s, 2);
    invoke(&s, rows[i].inputs);
    sent got = run(&s);
    if (got.count != rows[i].envelopes || (got.count != 0 && got.last.fill_count != rows[i].fills)) {
      fail_msg("row %zu: %zu envelopes, %zu fills", i, got.count, got.last.fill_count);
    }
    bbw_arena_free(&got.arena);
    assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
    session_end(&s);
  }
}

static void what_names_no_peers_fails(void **state) {
  (void)state;
  static const char *const inputs[] = {"x=01 peers=02", "x=01 peers="
                                                        "0100000000000000"
                                                        "0200000000000000"
                                                        "0102"};
  for (size_t i = 0; i < 2; i++) {
    session s;
    session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", NULL);
    invoke(&s, inputs[i]);
    (void)session_poll_all(&s);
    assert_string_equal(s.failed, "TypeMismatch/expected_peers");
    session_end(&s);
  }
}

static void more_peers_than_a_send_may_name_are_refused(void **state) {
  (void)state;
  enum { COUNT = 65537, BYTES = 8 + COUNT * 12 };
  session s;
  session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", NULL);
  uint8_t *list = calloc(BYTES, 1);
  assert_non_null(list);
  bbw_store_u64le(list, COUNT);
  for (size_t i = 0; i < COUNT; i++) {
    list[8 + 12 * i] = 4, list[8 + 12 * i + 8] = 0x00, list[8 + 12 * i + 9] = 0x02, list[8 + 12 * i + 10] = 1,
                  list[8 + 12 * i + 11] = 2;
  }
  bbw_named_bytes inputs[2] = {{BBW_STR("x"), hex("01")}, {BBW_STR("peers"), {list, BYTES}}};
  uint64_t exec_id;
  assert_int_equal(bbw_node_invoke(s.node, BBW_STR("M"), inputs, 2, &exec_id, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_true(strcmp(s.failed, "BadInput/too_many_peers") == 0 || strcmp(s.failed, "TypeMismatch/expected_peers") == 0);
  free(list);
  session_end(&s);
}

static void suffixes_come_from_attributes_then_from_inputs(void **state) {
  (void)state;
  static const struct {
    const char *graph, *inputs, *suffix;
    bool is_trigger_only;
  } rows[] = {
      {"target M x peers -> d h\nwire::Send x peers -> d h | ai.bytesandbrains.dest_suffix.x=@" SITE_7,
       "x=01 peers=" LIST_2, SITE_7, false},
      {"target M x x_suffix peers -> d h\nwire::Send x peers x_suffix -> d h", "x=01 x_suffix=" SITE_7 " peers=" LIST_2,
       SITE_7, false},
      {"target M x y_suffix peers -> d h\nwire::Send x peers y_suffix -> d h", "x=01 y_suffix=" SITE_7 " peers=" LIST_2,
       "", false},
      {"target M x peers -> d h\nwire::Send x peers -> d h | ai.bytesandbrains.trigger_only.x=1", "x=01 peers=" LIST_2,
       "", true},
      {"target M x peers -> d h\nwire::Send x peers -> d h | ai.bytesandbrains.trigger_only.x='y'",
       "x=01 peers=" LIST_2, "", true},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    session s;
    session_install(&s, rows[i].graph, NULL);
    know(&s, 2);
    invoke(&s, rows[i].inputs);
    sent got = run(&s);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.last.fill_count, 1);
    assert_true(bbw_bytes_equal(got.last.fills[0].dest_suffix, hex(rows[i].suffix)));
    assert_int_equal(got.last.fills[0].trigger_only, rows[i].is_trigger_only);
    bbw_arena_free(&got.arena);
    session_end(&s);
  }
}

static void an_envelope_carries_at_most_eight_own_addresses(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", NULL);
  know(&s, 2);
  for (uint8_t i = 0; i < 12; i++) {
    uint8_t site[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, i};
    assert_int_equal(bbw_node_add_local_address(s.node, (bbw_bytes){site, 10}, NULL), BBW_OK);
  }
  invoke(&s, "x=01 peers=" LIST_2);
  sent got = run(&s);
  assert_int_equal(got.last.src_peer_address_count, 8);
  bbw_arena_free(&got.arena);
  session_end(&s);
}

/* ---- deadlines, ids, chains ----------------------------------------------------------------------------------------- */

static void deadlines_and_ids_come_from_the_node_or_the_attributes(void **state) {
  (void)state;
  static const struct {
    const char *attributes;
    uint64_t deadline_ns, request_id;
  } rows[] = {
      {"", 100000000, 1},
      {" | deadline_ns=70", 70, 1},
      {" | deadline_ns=-1", 0, 1},
      {" | %ai.bytesandbrains.wire.chain_id='77'", 100000000, 77},
      {" | %ai.bytesandbrains.wire.chain_id='0'", 100000000, 0},
      {" | %ai.bytesandbrains.wire.chain_id='x'", 100000000, 1},
      {" | %ai.bytesandbrains.wire.chain_targets='server,worker' %ai.bytesandbrains.wire.chain_hop_index='3'",
       100000000, 1},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    char graph[256];
    snprintf(graph, sizeof(graph), "target M x peers -> d h\nwire::Send x peers -> d h%s", rows[i].attributes);
    session s;
    session_install(&s, graph, NULL);
    know(&s, 2);
    invoke(&s, "x=01 peers=" LIST_2);
    sent got = run(&s);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.last.remaining_deadline_ns, rows[i].deadline_ns);
    assert_int_equal(got.last.wire_req_id, rows[i].request_id);
    assert_int_equal(got.last.correlation_kind,
                     rows[i].request_id == 0 ? BBW_CORRELATION_NONE : BBW_CORRELATION_REQUEST);
    bbw_arena_free(&got.arena);
    session_end(&s);
  }
}

static void answer(session *s, uint64_t request_id) {
  bbw_envelope envelope = {
      .has_correlation = true, .correlation_kind = 2, .wire_req_id = request_id, .schema_version = 1};
  uint8_t wire[64], buf[BBW_PEER_ID_BYTES_MAX];
  bbw_peer_id peer = bbw_peer_id_from_u64(2);
  bbw_envelope_encode(&envelope, wire);
  assert_int_equal(bbw_node_deliver_inbound(s->node, (bbw_bytes){buf, bbw_peer_id_encode(&peer, buf)},
                                            (bbw_bytes){wire, bbw_envelope_size(&envelope)}, NULL),
                   BBW_OK);
}

/* Two Sends of one node stand at different places of a chain; what is learnt of one edge is not the other's. */
static void each_edge_of_a_chain_has_its_own_estimate(void **state) {
  (void)state;
  static const char graph[] = "target M x y peers -> d h\n"
                              "wire::Send x peers -> d h | %ai.bytesandbrains.wire.chain_targets='a,b' "
                              "%ai.bytesandbrains.wire.chain_hop_index='0'\n"
                              "wire::Send y peers -> d2 h2 | %ai.bytesandbrains.wire.chain_targets='a,b' "
                              "%ai.bytesandbrains.wire.chain_hop_index='999'";
  session s;
  session_install(&s, graph, NULL);
  know(&s, 2);
  uint64_t now = 1000;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(bbw_node_tick(s.node, now), BBW_OK);
    invoke(&s, "x=01 peers=" LIST_2);
    sent got = run(&s);
    now += 8000;
    assert_int_equal(bbw_node_tick(s.node, now), BBW_OK);
    answer(&s, got.last.wire_req_id);
    bbw_arena_free(&got.arena);
    (void)session_poll_all(&s);
  }
  const bbw_rtt *rtt = &s.node->engine.rtt;
  assert_int_equal(rtt->chains.count, 1);
  assert_int_equal(rtt->first->edges.count, 1);
  bbw_rtt_edge edge = {bbw_rtt_chain_id(BBW_STR("a,b")), 0}, other = {edge.chain_id, 7};
  assert_int_equal(bbw_rtt_estimate_ns(rtt, rtt->first->site, &edge, 5), 8000 + 4 * 2250);
  assert_int_equal(bbw_rtt_estimate_ns(rtt, rtt->first->site, &other, 5), 8000 + 4 * 2250); /* of the site */
  invoke(&s, "y=01 peers=" LIST_2); /* a hop that is none counts as 0 */
  sent got = run(&s);
  assert_int_equal(got.last.remaining_deadline_ns, 8000 + 4 * 2250);
  bbw_arena_free(&got.arena);
  /* What was learnt, and the request that is out, survive a restore. */
  uint8_t *bytes, *again;
  size_t len, again_len;
  assert_int_equal(bbw_node_snapshot(s.node, &bytes, &len, &s.mem.mem, NULL), BBW_OK);
  assert_int_equal(bbw_node_restore(s.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
  assert_int_equal(bbw_node_snapshot(s.node, &again, &again_len, &s.mem.mem, NULL), BBW_OK);
  assert_memory_equal(bytes + len - 100, again + again_len - 100, 100);
  s.mem.mem.free(s.mem.mem.ctx, bytes, len);
  s.mem.mem.free(s.mem.mem.ctx, again, again_len);
  assert_int_equal(s.node->engine.rtt.first->edges.count, 1);
  session_end(&s);
}

/* An envelope of peer 2 with that id; reports may be none. */
static void deliver_with(session *s, uint64_t id, const bbw_slot_fill *fill, const bbw_edge_rtt_report *report) {
  bbw_envelope envelope = {.fills = fill,
                           .fill_count = fill != NULL,
                           .has_correlation = true,
                           .correlation_kind = 1,
                           .wire_req_id = id,
                           .edge_rtt_reports = report,
                           .edge_rtt_report_count = report != NULL,
                           .schema_version = 1};
  uint8_t wire[256];
  assert_true(bbw_envelope_size(&envelope) <= sizeof(wire));
  bbw_envelope_encode(&envelope, wire);
  assert_int_equal(
      bbw_node_deliver_inbound(s->node, hex(PEER_2), (bbw_bytes){wire, bbw_envelope_size(&envelope)}, NULL), BBW_OK);
}

static uint64_t site_of(uint64_t number) {
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  return bbw_peer_id_site(&peer);
}

#define CHAIN "%ai.bytesandbrains.wire.chain_targets='a,b' %ai.bytesandbrains.wire.chain_hop_index="

/* Who stands in the middle of a chain tells who asked how long the way behind it takes. */
static void an_answer_in_a_chain_reports_the_way_behind_it(void **state) {
  (void)state;
  session s;
  session_install(&s,
                  "target M -> d h d2 h2\nwire::Recv -> p from\nwire::Send p from -> d h | " CHAIN
                  "'1'\nwire::Send p from -> d2 h2",
                  NULL);
  know(&s, 2);
  uint8_t suffix[10] = {0xe2, 0x01};
  bbw_store_u64be(suffix + 2, bbw_route_id(BBW_STR("M"), BBW_STR("p")));
  bbw_slot_fill fill = {{suffix, 10}, hex("0100000000000000aa"), false, bbw_type_hash(BBW_TYPE_BYTES)};
  bbw_rtt_edge edge = {bbw_rtt_chain_id(BBW_STR("a,b")), 1};
  for (uint64_t samples = 0; samples < 5; samples++) {
    deliver_with(&s, 70 + samples, &fill, NULL);
    size_t before = s.steps.count, reports = 0;
    (void)session_poll_all(&s);
    bbw_bytes steps = {(const uint8_t *)s.steps.items + before, s.steps.count - before};
    bbw_step step;
    for (size_t at = 0; bbw_steps_next(steps, &at, &step);) {
      if (step.kind != BBW_STEP_SEND_ENVELOPE) { continue; }
      bbw_arena arena;
      bbw_envelope envelope;
      bbw_arena_init(&arena, &bbw_mem_libc);
      assert_int_equal(
          bbw_envelope_decode(&envelope, bbw_step_bytes(&step, "bytes"), &bbw_envelope_caps_default, &arena, NULL),
          BBW_OK);
      assert_int_equal(envelope.wire_req_id, 70 + samples);
      if (envelope.edge_rtt_report_count != 0) {
        assert_int_equal(envelope.edge_rtt_report_count, 1);
        assert_int_equal(envelope.edge_rtt_reports[0].next_hop_site_id, site_of(3));
        assert_int_equal(envelope.edge_rtt_reports[0].chain_id, edge.chain_id);
        assert_int_equal(envelope.edge_rtt_reports[0].hop_index, 1);
        assert_int_equal(envelope.edge_rtt_reports[0].srtt_ns, 5000);
        assert_int_equal(envelope.edge_rtt_reports[0].sample_count, samples);
        reports++;
      }
      bbw_arena_free(&arena);
    }
    assert_int_equal(reports,
                     samples >= BBW_RTT_SAMPLES_WARM); /* only the Send that stands in the chain, once it knows */
    assert_int_equal(bbw_rtt_observe(&s.node->engine.rtt, site_of(3), &edge, 5000, samples), BBW_OK);
  }
  session_end(&s);
}

static void a_report_lengthens_the_deadline_of_its_chain(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h | " CHAIN "'0'", NULL);
  know(&s, 2);
  bbw_edge_rtt_report report = {site_of(3), bbw_rtt_chain_id(BBW_STR("a,b")), 1, 7000, 500, 9}, wild = report;
  wild.srtt_ns = BBW_RTT_ONWARD_NS_MAX + 1;
  uint64_t own_ns = 100000000; /* the configuration's, as long as there are fewer than three answers */
  const struct {
    const bbw_edge_rtt_report *report;
    uint64_t onward_ns; /* before that answer */
  } rows[] = {{NULL, 0}, {&report, 0}, {&wild, 9000}, {NULL, 9000}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    invoke(&s, "x=01 peers=" LIST_2);
    sent got = run(&s);
    if (i == 3) { own_ns = bbw_rtt_estimator_budget_ns(&s.node->engine.rtt.first->estimator); }
    assert_int_equal(got.last.remaining_deadline_ns, own_ns + rows[i].onward_ns);
    assert_int_equal(got.last.edge_rtt_report_count, 0); /* a question reports nothing */
    deliver_with(&s, 12345, NULL, &report);              /* nobody asked */
    deliver_with(&s, got.last.wire_req_id, NULL, rows[i].report);
    bbw_arena_free(&got.arena);
    (void)session_poll_all(&s);
  }
  /* What was reported survives a restore. */
  uint8_t *bytes;
  size_t len;
  assert_int_equal(bbw_node_snapshot(s.node, &bytes, &len, &s.mem.mem, NULL), BBW_OK);
  assert_int_equal(bbw_node_restore(s.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
  s.mem.mem.free(s.mem.mem.ctx, bytes, len);
  const bbw_rtt *rtt = &s.node->engine.rtt;
  assert_int_equal(BBW_VEC_AT(&rtt->first->edges, const bbw_rtt_edge_entry, 0)->onward_ns, 9000);
  assert_int_equal(BBW_VEC_AT(&rtt->chains, const bbw_rtt_chain, 0)->onward_ns, 9000);
  assert_true(BBW_VEC_AT(&rtt->chains, const bbw_rtt_chain, 0)->next_site == site_of(2));
  session_end(&s);
}

/* ---- what the host sees, and what peers claim --------------------------------------------------------------------------- */

static void what_the_host_has_seen_stays_beside_claims(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", NULL);
  uint8_t seen[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 99}, own[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes address = {seen, sizeof(seen)};
  bbw_error err;
  assert_int_equal(bbw_node_observe_peer(s.node, hex(PEER_2), hex("ff"), &err), BBW_E_TRUNCATED);
  bbw_bytes self = {own, bbw_peer_id_encode(bbw_node_peer_id(s.node), own)};
  assert_int_equal(bbw_node_observe_peer(s.node, self, address, &err), BBW_E_ARG);
  assert_int_equal(bbw_node_observe_peer(s.node, hex(PEER_2), address, NULL), BBW_OK);
  for (uint8_t round = 0; round < 5; round++) { /* 40 claims */
    uint8_t sites[8][10];
    bbw_bytes claims[8];
    for (uint8_t i = 0; i < 8; i++) {
      const uint8_t site[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 1, (uint8_t)(8 * round + i)};
      memcpy(sites[i], site, sizeof(site));
      claims[i] = (bbw_bytes){sites[i], sizeof(site)};
    }
    bbw_envelope envelope = {.schema_version = 1, .src_peer_addresses = claims, .src_peer_address_count = 8};
    uint8_t wire[256];
    assert_true(bbw_envelope_size(&envelope) <= sizeof(wire));
    bbw_envelope_encode(&envelope, wire);
    assert_int_equal(
        bbw_node_deliver_inbound(s.node, hex(PEER_2), (bbw_bytes){wire, bbw_envelope_size(&envelope)}, NULL), BBW_OK);
    (void)session_poll_all(&s);
  }
  const bbw_address_book *book = &s.node->engine.address_book;
  bbw_peer_id peer = bbw_peer_id_from_u64(2);
  assert_int_equal(bbw_address_book_claimed(book, &peer), 0xfffe);
  assert_int_equal(bbw_address_book_ref_count(book, &peer), 1);
  uint8_t *bytes;
  size_t len;
  assert_int_equal(bbw_node_snapshot(s.node, &bytes, &len, &s.mem.mem, NULL), BBW_OK);
  assert_int_equal(bbw_node_restore(s.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
  s.mem.mem.free(s.mem.mem.ctx, bytes, len);
  assert_int_equal(bbw_address_book_claimed(&s.node->engine.address_book, &peer), 0xfffe);
  /* A Send gives the host all of them, in their order: the one that was seen is the oldest here. */
  invoke(&s, "x=01 peers=" LIST_2);
  sent got = run(&s);
  assert_int_equal(got.last.dest_peer_address_count, 16);
  assert_true(bbw_bytes_equal(got.last.dest_peer_addresses[0], address));
  bbw_arena_free(&got.arena);
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  session_end(&s);
}

/* ---- failures, and when to try again ---------------------------------------------------------------------------------- */

static void a_send_that_failed_backs_off_and_an_answer_ends_it(void **state) {
  (void)state;
  uint64_t waits[2];
  for (uint64_t seed = 1; seed <= 2; seed++) {
    session s;
    bbw_config config;
    bbw_config_init(&config);
    config.rng_seed = seed;
    session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", &config);
    know(&s, 2);
    bbw_peer_id peer = bbw_peer_id_from_u64(2);
    for (uint64_t i = 0; i < 3; i++) {
      assert_int_equal(bbw_node_send_failed(s.node, hex(PEER_2), 0, BBW_STR("no route"), NULL), BBW_OK);
    }
    (void)session_poll_all(&s);
    const bbw_backoff_entry *entry = bbw_backoff_find(&s.node->engine.backoff, &peer);
    assert_non_null(entry);
    assert_int_equal(entry->attempts, 3);
    assert_true(entry->next_retry_ns >= 20000000 && entry->next_retry_ns <= 40000000);
    waits[seed - 1] = entry->next_retry_ns;
    invoke(&s, "x=01 peers=" LIST_2);
    sent got = run(&s);
    answer(&s, got.last.wire_req_id);
    bbw_arena_free(&got.arena);
    (void)session_poll_all(&s);
    assert_null(bbw_backoff_find(&s.node->engine.backoff, &peer));
    /* A pause that the peer asked for stays: an answer may have been on its way before. */
    assert_int_equal(bbw_backoff_record_remote_advisory(&s.node->engine.backoff, &peer, 0, 1000, 0), BBW_OK);
    invoke(&s, "x=01 peers=" LIST_2);
    got = run(&s);
    answer(&s, got.last.wire_req_id);
    bbw_arena_free(&got.arena);
    (void)session_poll_all(&s);
    assert_non_null(bbw_backoff_find(&s.node->engine.backoff, &peer));
    session_end(&s);
  }
  assert_true(waits[0] != waits[1]); /* nodes do not come back together */
}

/* ---- delivery ------------------------------------------------------------------------------------------------------- */

static const char receiving[] =
    "target M x -> p y\nwire::Recv -> p\nsyscall::PassThrough x -> y\nsyscall::EventSource -> e | "
    "kind='WireReceiveError'\nsyscall::AppNotify e | name='refused'\n"
    "syscall::EventSource -> f | kind='WireDecodeFailure'\nsyscall::AppNotify f | name='undecodable'";

static void deliver(session *s, const bbw_slot_fill *fills, size_t count) {
  bbw_envelope envelope = {.fills = (bbw_slot_fill *)(uintptr_t)fills, .fill_count = count, .schema_version = 1};
  uint8_t wire[512], buf[BBW_PEER_ID_BYTES_MAX];
  bbw_peer_id peer = bbw_peer_id_from_u64(2);
  assert_true(bbw_envelope_size(&envelope) <= sizeof(wire));
  bbw_envelope_encode(&envelope, wire);
  assert_int_equal(bbw_node_deliver_inbound(s->node, (bbw_bytes){buf, bbw_peer_id_encode(&peer, buf)},
                                            (bbw_bytes){wire, bbw_envelope_size(&envelope)}, NULL),
                   BBW_OK);
}

/* The kinds of the failures, and what the graph heard. */
static void deliveries_that_are_refused_say_why(void **state) {
  (void)state;
  uint8_t suffix[10] = {0xe2, 0x01};
  bbw_store_u64be(suffix + 2, bbw_route_id(BBW_STR("M"), BBW_STR("p")));
  bbw_bytes here = {suffix, 10}, payload = hex("0100000000000000aa"),
            notice = hex("0500000000000000"
                         "03000000"
                         "0000000000000000");
  uint64_t bytes = bbw_type_hash(BBW_TYPE_BYTES);
  const struct {
    bbw_slot_fill fill;
    const char *heard;
  } rows[] = {
      {{here, payload, false, 77}, "refused= "},
      {{here, hex("05"), false, bytes}, "refused= "},
      {{hex("ff"), payload, false, bytes}, "undecodable= "},
      {{hex(SITE_7), payload, false, bytes}, "undecodable= "},
      {{{NULL, 0}, payload, false, bytes}, "undecodable= "},
      {{{NULL, 0}, notice, false, 0x835411050e7217c5u}, "undecodable= "}, /* a notice with a cause that is none */
      {{{NULL, 0}, hex("05"), false, 0x835411050e7217c5u}, "undecodable= "},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    session s;
    session_install(&s, receiving, NULL);
    deliver(&s, &rows[i].fill, 1);
    (void)session_poll_all(&s);
    if (strcmp(s.log, rows[i].heard) != 0) { fail_msg("row %zu: %s", i, s.log); }
    session_end(&s);
  }
}

static void nobody_claims_addresses_in_the_name_of_the_node(void **state) {
  (void)state;
  session s;
  session_install(&s, receiving, NULL);
  uint8_t own[BBW_PEER_ID_BYTES_MAX], claimed[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 66};
  bbw_bytes self = {own, bbw_peer_id_encode(bbw_node_peer_id(s.node), own)}, claim = {claimed, sizeof(claimed)};
  const bbw_bytes *addresses;
  size_t before = 0, after = 0, known = bbw_address_book_count(&s.node->engine.address_book);
  (void)bbw_node_peer_addresses(s.node, self, &addresses, &before);
  bbw_envelope envelope = {.schema_version = 1, .src_peer_addresses = &claim, .src_peer_address_count = 1};
  uint8_t wire[64];
  bbw_envelope_encode(&envelope, wire);
  bbw_bytes bytes = {wire, bbw_envelope_size(&envelope)};
  assert_int_equal(bbw_node_deliver_inbound(s.node, self, bytes, NULL), BBW_OK);
  (void)session_poll_all(&s);
  (void)bbw_node_peer_addresses(s.node, self, &addresses, &after);
  assert_int_equal(after, before);
  assert_int_equal(bbw_address_book_count(&s.node->engine.address_book), known);
  /* The same words of another peer do count. */
  assert_int_equal(bbw_node_deliver_inbound(s.node, hex(PEER_2), bytes, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_true(bbw_node_peer_addresses(s.node, hex(PEER_2), &addresses, &after));
  assert_int_equal(bbw_address_book_count(&s.node->engine.address_book), known + 1);
  session_end(&s);
}

/* What the places in tables follow from: nobody who does not know rngSeed can choose ids that fall together, nor conclude from one table to the next. */
static void tables_are_hashed_with_secrets_of_the_node(void **state) {
  (void)state;
  enum { TABLES = 12 };
  uint64_t seeds[2][TABLES];
  for (uint64_t n = 0; n < 2; n++) {
    bbw_config config;
    bbw_config_init(&config);
    config.rng_seed = 5 + n;
    session s;
    session_install(&s, receiving, &config);
    const bbw_engine *e = &s.node->engine;
    const uint64_t found[TABLES] = {
        e->address_book.entries.seed, e->governor.blocked.seed,     e->governor.allowed.seed, e->governor.health.seed,
        e->backoff.entries.seed,      e->backpressure.entries.seed, e->outbound.flows.seed,   e->routes.seed,
        e->dedup.seen.seed,           e->requests.by_id.seed,       e->rtt.by_site.seed,      e->rtt.by_chain.seed};
    memcpy(seeds[n], found, sizeof(found));
    session_end(&s);
  }
  for (size_t i = 0; i < TABLES; i++) {
    assert_int_not_equal(seeds[0][i], 0);
    assert_int_not_equal(seeds[0][i], seeds[1][i]);
    for (size_t k = 0; k < i; k++) { assert_int_not_equal(seeds[0][i], seeds[0][k]); }
  }
}

/* What the cap leaves no room for is refused with its reason, holds nothing, and is possible again when an execution has ended. */
static void envelopes_above_the_cap_on_executions_are_refused(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.max_executions = 2;
  session s;
  session_install(&s,
                  "target M x -> p y\nwire::Recv -> p\nsyscall::PassThrough x -> y\nsyscall::Limit.Acquire p -> q | "
                  "name='l' n=0\nsyscall::AppNotify q | name='q'",
                  &config);
  uint8_t suffix[10] = {0xe2, 0x01};
  bbw_store_u64be(suffix + 2, bbw_route_id(BBW_STR("M"), BBW_STR("p")));
  bbw_slot_fill fill = {{suffix, 10}, hex("0100000000000000aa"), false, bbw_type_hash(BBW_TYPE_BYTES)};
  uint64_t held = 0;
  for (int i = 0; i < 4; i++) {
    bool is_refused = false;
    deliver(&s, &fill, 1);
    for (bool is_pending = false; !is_pending;) {
      bbw_bytes steps;
      bbw_step step;
      assert_int_equal(bbw_node_poll(s.node, &steps, &is_pending, NULL), BBW_OK);
      for (size_t at = 0; bbw_steps_next(steps, &at, &step);) {
        if (step.kind == BBW_STEP_ASYNC_SUSPENDED) { s.last_cmd = bbw_step_u64(&step, "cmd_id"); }
        if (step.kind != BBW_STEP_WIRE_RECEIVE_FAILED) { continue; }
        assert_true(bbw_str_equal(bbw_step_text(&step, "kind"), BBW_STR("ExecutionLimit")));
        is_refused = true;
      }
    }
    assert_int_equal(is_refused, i == 2);
    if (i == 1) { held = session_stats(&s).ingress_bytes_in_flight; }
    if (i != 2) { continue; }
    assert_int_equal(session_stats(&s).ingress_bytes_in_flight, held);
    assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_OK);
    (void)session_poll_all(&s);
  }
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  session_end(&s);
}

static void a_delivery_over_the_budget_is_refused_when_it_is_routed(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.ingress_byte_budget = 100;
  session s;
  session_install(&s, receiving, &config);
  uint8_t suffix[10] = {0xe2, 0x01};
  bbw_store_u64be(suffix + 2, bbw_route_id(BBW_STR("M"), BBW_STR("p")));
  bbw_slot_fill fill = {{suffix, 10}, hex("0100000000000000aa"), false, bbw_type_hash(BBW_TYPE_BYTES)};
  deliver(&s, &fill, 1);
  config = *bbw_node_get_config(s.node);
  config.ingress_byte_budget = 5;
  assert_int_equal(bbw_node_set_config(s.node, &config, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "refused= ");
  session_end(&s);
}

static void peers_that_are_not_known_are_reported_up_to_the_cap(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.max_outbound_queue = 2;
  session s;
  session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", &config);
  invoke(&s, "x=01 peers="
             "0300000000000000"
             "0a00000000000000" PEER_2 "0a00000000000000" PEER_2 "0a00000000000000" PEER_2);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_PEER_RESOLVE_FAILED], 2);
  assert_int_equal(s.counts[BBW_STEP_OUTBOUND_DROPPED], 1);
  session_end(&s);
}

/* ---- full tables fail the operator ---------------------------------------------------------------------------------- */

/* The id of the first request of a node with that seed. */
static uint64_t first_request(uint64_t seed) {
  bbw_config config;
  bbw_config_init(&config);
  config.rng_seed = seed;
  session s;
  session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", &config);
  know(&s, 2);
  invoke(&s, "x=01 peers=" LIST_2);
  sent got = run(&s);
  assert_int_equal(got.count, 1);
  uint64_t id = got.last.wire_req_id;
  bbw_arena_free(&got.arena);
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  session_end(&s);
  return id;
}

/* Else a question that crosses ours on its way is taken for its answer, and the real answer for nothing. */
static void requests_of_nodes_with_seeds_do_not_share_ids(void **state) {
  (void)state;
  assert_int_equal(first_request(0), 1); /* as in the reference */
  assert_int_equal(first_request(7), first_request(7));
  uint64_t seen[64];
  for (uint64_t seed = 1; seed <= 64; seed++) {
    seen[seed - 1] = first_request(seed);
    for (uint64_t k = 0; k + 1 < seed; k++) {
      uint64_t apart = seen[k] > seen[seed - 1] ? seen[k] - seen[seed - 1] : seen[seed - 1] - seen[k];
      assert_true(apart > UINT32_MAX);
    }
  }
}

static void full_tables_fail_the_operator_and_say_so(void **state) {
  (void)state;
  static const struct {
    const char *graph, *failed;
  } rows[] = {
      {"target M x -> y\nsyscall::Limit.Acquire x -> y | name='l'", "ExecutionFailed/name_limit"},
      {"target M x -> y\nsyscall::Serialize.Enqueue x -> y | queue='l'", "ExecutionFailed/name_limit"},
      {"target M x -> y\nsyscall::IncrMetric x -> y | name='l'", "ExecutionFailed/name_limit"},
      {"target M x -> y\nsyscall::After x -> y | delay_ns=5", "ExecutionFailed/timer_limit"},
      {"target M x -> y\nsyscall::Sleep x -> y | duration_ns=5", "ExecutionFailed/timer_limit"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    session s;
    session_install(&s, rows[i].graph, NULL);
    s.node->engine.named.count_max = 0;
    s.node->engine.timers.cap = 0;
    (void)session_invoke(&s, "x", "1");
    (void)session_poll_all(&s);
    assert_string_equal(s.failed, rows[i].failed);
    session_end(&s);
  }
}

/* ---- lists ---------------------------------------------------------------------------------------------------------- */

static void nothing_is_sent_to_whom_the_lists_forbid(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", NULL);
  know(&s, 2);
  know(&s, 3);
  const char *both = "x=01 peers="
                     "0200000000000000"
                     "0a00000000000000" PEER_2 "0a00000000000000"
                     "00080000000000000003";
  assert_int_equal(bbw_node_block_peer(s.node, hex(PEER_2), NULL), BBW_OK);
  invoke(&s, both);
  sent got = run(&s);
  assert_int_equal(got.count, 1); /* the other one is served */
  assert_int_equal(s.counts[BBW_STEP_PEER_BLOCKED], 1);
  assert_string_equal(s.failed, "");
  bbw_arena_free(&got.arena);
  bbw_node_unblock_peer(s.node, hex(PEER_2), NULL);
  bbw_bytes allowed = hex(PEER_2);
  assert_int_equal(bbw_node_set_allowlist(s.node, &allowed, 1, NULL), BBW_OK);
  invoke(&s, both);
  got = run(&s);
  assert_int_equal(got.count, 1);
  assert_int_equal(s.counts[BBW_STEP_PEER_BLOCKED], 2);
  bbw_arena_free(&got.arena);
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  session_end(&s);
}

/* Ids of requests: from 1 without a seed, which makes a node reproducible; else from a place that nobody can guess. */
static void ids_of_requests_start_anywhere(void **state) {
  (void)state;
  uint64_t first[3];
  static const uint64_t seeds[3] = {0, 7, 8};
  for (size_t i = 0; i < 3; i++) {
    session s;
    bbw_config config;
    bbw_config_init(&config);
    config.rng_seed = seeds[i];
    session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", &config);
    know(&s, 2);
    invoke(&s, "x=01 peers=" LIST_2);
    sent got = run(&s);
    assert_int_equal(got.count, 1);
    first[i] = got.last.wire_req_id;
    bbw_arena_free(&got.arena);
    assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
    session_end(&s);
  }
  assert_int_equal(first[0], 1);
  assert_true(first[1] > UINT32_MAX && first[1] < BBW_ID_MAX);
  assert_true(first[2] > UINT32_MAX && first[2] < BBW_ID_MAX && first[2] != first[1]);
}

/* ---- large envelopes ------------------------------------------------------------------------------------------------ */

/* One fill of Bytes for site 0, encoded with malloc; the caller frees. */
static bbw_bytes bytes_envelope(size_t content, size_t fills) {
  static const uint8_t site_0[] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 0};
  uint8_t *payload = calloc(1, content + 8);
  assert_non_null(payload);
  bbw_store_u64le(payload, content);
  if (content != 0) { payload[8 + content / 2] = 0x5a; }
  bbw_slot_fill list[40];
  assert_true(fills <= 40);
  for (size_t i = 0; i < fills; i++) {
    list[i] = (bbw_slot_fill){.dest_suffix = {site_0, sizeof(site_0)},
                              .payload = {payload, content + 8},
                              .type_hash = bbw_type_hash(BBW_TYPE_BYTES)};
  }
  bbw_envelope envelope = {.fills = list, .fill_count = fills, .schema_version = 1};
  size_t len = bbw_envelope_size(&envelope);
  uint8_t *wire = malloc(len);
  assert_non_null(wire);
  bbw_envelope_encode(&envelope, wire);
  free(payload);
  return (bbw_bytes){wire, len};
}

static void a_large_payload_is_in_memory_once(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M -> y\nwire::Recv -> got from\nsyscall::Hold.Stash got -> y | slot='s'", NULL);
  bbw_bytes wire = bytes_envelope(1 << 20, 1), peer = hex(PEER_2);
  size_t before = s.mem.live_bytes;
  s.mem.peak_bytes = before;
  uint8_t *room = NULL;
  assert_int_equal(bbw_node_inbound_room(s.node, wire.len, &room, NULL), BBW_OK);
  memcpy(room, wire.ptr, wire.len);
  assert_int_equal(bbw_node_deliver_room(s.node, peer, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.failed, "");
  assert_int_equal(session_stats(&s).held_bytes, (1 << 20)); /* held as it came in */
  assert_true(s.mem.peak_bytes - before < wire.len + 16384);
  assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
  assert_true(s.mem.live_bytes <= before + 16384); /* and gone with the one who kept it */
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 0);
  free((void *)(uintptr_t)wire.ptr);
  session_end(&s);
}

static void a_room_answers_for_itself(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M -> y\nwire::Recv -> got from\nsyscall::PassThrough got -> y", NULL);
  bbw_bytes peer = hex(PEER_2), many = bytes_envelope(16, 40);
  uint8_t *room = NULL;
  bbw_error err;
  assert_int_equal(bbw_node_deliver_room(s.node, peer, &err), BBW_E_ARG); /* there is none */
  assert_int_equal(bbw_node_inbound_room(s.node, SIZE_MAX, &room, &err), BBW_E_INVALID_ENVELOPE);
  assert_null(room);
  assert_int_equal(bbw_node_inbound_room(s.node, 2, &room, NULL), BBW_OK);
  memset(room, 0xff, 2);
  assert_int_equal(bbw_node_deliver_room(s.node, peer, &err), BBW_E_INVALID_ENVELOPE);
  assert_int_equal(bbw_node_deliver_room(s.node, hex("01"), &err), BBW_E_PEER_ID);
  assert_int_equal(session_stats(&s).ingress_depth, 0);
  /* Lists that need more room than there is are copied. */
  assert_int_equal(bbw_node_inbound_room(s.node, many.len, &room, NULL), BBW_OK);
  memcpy(room, many.ptr, many.len);
  assert_int_equal(bbw_node_deliver_room(s.node, peer, NULL), BBW_OK);
  assert_int_equal(bbw_node_deliver_room(s.node, peer, &err), BBW_E_ARG); /* delivered: it is gone */
  assert_int_equal(session_stats(&s).ingress_depth, 1);
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 0);
  /* Where there is no room for two, the old one makes way. */
  assert_int_equal(bbw_node_inbound_room(s.node, 1 << 20, &room, NULL), BBW_OK);
  s.mem.limit_bytes = s.mem.live_bytes + 1000;
  assert_int_equal(bbw_node_inbound_room(s.node, 1 << 20, &room, NULL), BBW_OK);
  assert_int_equal(bbw_node_inbound_room(s.node, 2 << 20, &room, &err), BBW_E_ALLOCATION_FAILED);
  s.mem.limit_bytes = SIZE_MAX;
  assert_int_equal(bbw_node_inbound_room(s.node, 100, &room, NULL), BBW_OK); /* left unused: the node frees it */
  free((void *)(uintptr_t)many.ptr);
  session_end(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_large_payload_is_in_memory_once),
      cmocka_unit_test(a_room_answers_for_itself),
      cmocka_unit_test(nothing_is_sent_to_whom_the_lists_forbid),
      cmocka_unit_test(ids_of_requests_start_anywhere),
      cmocka_unit_test(peers_are_found_by_name_then_by_position),
      cmocka_unit_test(what_names_no_peers_fails),
      cmocka_unit_test(more_peers_than_a_send_may_name_are_refused),
      cmocka_unit_test(suffixes_come_from_attributes_then_from_inputs),
      cmocka_unit_test(an_envelope_carries_at_most_eight_own_addresses),
      cmocka_unit_test(deadlines_and_ids_come_from_the_node_or_the_attributes),
      cmocka_unit_test(each_edge_of_a_chain_has_its_own_estimate),
      cmocka_unit_test(an_answer_in_a_chain_reports_the_way_behind_it),
      cmocka_unit_test(a_report_lengthens_the_deadline_of_its_chain),
      cmocka_unit_test(what_the_host_has_seen_stays_beside_claims),
      cmocka_unit_test(a_send_that_failed_backs_off_and_an_answer_ends_it),
      cmocka_unit_test(deliveries_that_are_refused_say_why),
      cmocka_unit_test(nobody_claims_addresses_in_the_name_of_the_node),
      cmocka_unit_test(tables_are_hashed_with_secrets_of_the_node),
      cmocka_unit_test(envelopes_above_the_cap_on_executions_are_refused),
      cmocka_unit_test(a_delivery_over_the_budget_is_refused_when_it_is_routed),
      cmocka_unit_test(peers_that_are_not_known_are_reported_up_to_the_cap),
      cmocka_unit_test(requests_of_nodes_with_seeds_do_not_share_ids),
      cmocka_unit_test(full_tables_fail_the_operator_and_say_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
