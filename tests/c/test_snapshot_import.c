/*
 * Snapshots of the reference in all their parts, made by hand: what is taken over, what is passed over, and what is refused.  The recorded ones are in test_snapshot_vectors.
 * Source: Node specification §14.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "base/vec.h"
#include "bbw/address.h"
#include "format/onnx.h"
#include "moody_components.h"
#include "node/node.h"
#include "session.h"

static const char model[] = "slot m Model|StubModel\ntarget M x t -> y z w\nsyscall::After x -> a | "
                            "delay_ns=50\nsyscall::Gate a t -> z\nsyscall::OnTrigger a -> y\n"
                            "syscall::Limit.Acquire t -> w | name='l'\nmodule::F x -> v\nfunction F p -> "
                            "q\nsyscall::Sleep p -> q | duration_ns=5\n"
                            "bootstrap B\nsyscall::Pulse -> b\nsyscall::AppNotify b | name='booted'";

/* ---- writing the bincode form --------------------------------------------------------------------------------------- */

static void put(bbw_vec *out, const void *bytes, size_t len) { assert_true(bbw_vec_append(out, bytes, len)); }
static void put_u8(bbw_vec *out, uint8_t value) { put(out, &value, 1); }
static void put_u32(bbw_vec *out, uint32_t value) {
  uint8_t bytes[4];
  bbw_store_u32le(bytes, value);
  put(out, bytes, 4);
}
static void put_u64(bbw_vec *out, uint64_t value) {
  uint8_t bytes[8];
  bbw_store_u64le(bytes, value);
  put(out, bytes, 8);
}
static void put_view(bbw_vec *out, bbw_bytes bytes) {
  put_u64(out, bytes.len);
  put(out, bytes.ptr, bytes.len);
}
static void put_text(bbw_vec *out, const char *text) {
  put_view(out, (bbw_bytes){(const uint8_t *)text, strlen(text)});
}
static void put_peer(bbw_vec *out, uint64_t number) {
  uint8_t buf[BBW_PEER_ID_BYTES_MAX];
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  put_view(out, (bbw_bytes){buf, bbw_peer_id_encode(&peer, buf)});
}

/* What a test changes; everything else (0, NULL) is as in a snapshot of an idle node. */
typedef struct parts {
  uint64_t self, framework_self;
  uint64_t next_cmd_id; /* 0: 40 */
  const char *graph;    /* NULL: the graphs of the node */
  bool is_other_function;
  const char *component;
  uint32_t component_id, package;
  const char *state;
  void (*suspended)(bbw_vec *out), (*book)(bbw_vec *out), (*outbound)(bbw_vec *out), (*tail)(bbw_vec *out),
      (*before)(bbw_vec *out);
} parts;

static void none(bbw_vec *out) { put_u64(out, 0); }
static void no_tail(bbw_vec *out) {
  for (int i = 0; i < 4; i++) { put_u64(out, 0); } /* bus, ingress, wire states, pending completions */
}

/* Graphs of the node by name, the entry first, then the library in its order. */
static void put_graphs(bbw_vec *out, const bbw_node *node, const parts *p) {
  size_t count = 0;
  for (size_t g = 0; g < node->engine.graphs.count; g++) {
    count += bbw_engine_graph(&node->engine, g)->boot_component == BBW_NO_INDEX;
  }
  put_u64(out, p->graph == NULL ? count : 1);
  for (size_t g = 0; g < count; g++) {
    const bbw_graph *graph = bbw_engine_graph(&node->engine, g);
    bbw_onnx_function function = *graph->function;
    if (p->is_other_function) { function.output.count = 0; }
    bbw_arena arena;
    bbw_bytes bytes;
    bbw_arena_init(&arena, &bbw_mem_libc);
    assert_int_equal(bbw_proto_encode(&bytes, &function, &bbw_onnx_function_type, &arena), BBW_OK);
    if (p->graph != NULL) {
      put_text(out, p->graph);
    } else {
      put_view(out, bbw_str_bytes(graph->name));
    }
    put_view(out, bytes);
    bbw_arena_free(&arena);
    if (p->graph != NULL) { return; }
  }
}

static void nothing_before(bbw_vec *out) { none(out), none(out); }

static void build(bbw_vec *out, const bbw_node *node, const parts *changes) {
  parts all = *changes, *p = &all;
  if (p->self == 0) { p->self = 1; }
  if (p->framework_self == 0) { p->framework_self = 1; }
  if (p->suspended == NULL) { p->suspended = none; }
  if (p->book == NULL) { p->book = none; }
  if (p->outbound == NULL) { p->outbound = none; }
  if (p->tail == NULL) { p->tail = no_tail; }
  if (p->before == NULL) { p->before = nothing_before; }
  bbw_vec_init(out, 1, &bbw_mem_libc);
  put_u64(out, 5); /* incarnation */
  put_peer(out, p->self);
  put_u8(out, 1), put_u64(out, 1000);
  put_u8(out, 0), put_u8(out, 0);
  put_u64(out, 1024);
  put_graphs(out, node, p);
  put_u64(out, p->component == NULL ? 0 : 1);
  if (p->component != NULL) {
    put_text(out, p->component);
    put_u32(out, p->component_id), put_u32(out, p->package);
    put_text(out, p->state);
  }
  p->before(out); /* frontier and slot table */
  p->suspended(out);
  put_u64(out, 1), put_u64(out, 3), put_u32(out, 2); /* an execution state */
  put_u64(out, 1), put_text(out, "hits"), put_u64(out, 9);
  put_u64(out, 1), put_text(out, "start");
  p->book(out);
  put_u64(out, 2), put_peer(out, 66), put_text(out, "not a peer id"); /* the block list */
  put_u8(out, 1), put_u64(out, 1), put_peer(out, 9);
  put_u64(out, 2);
  put_peer(out, 5), put_u32(out, 7), put_u64(out, 100), put_u8(out, 1);
  put_text(out, "nobody"), put_u32(out, 7), put_u64(out, 100), put_u8(out, 0);
  put_u32(out, 0); /* a threshold of 0 counts as 1 */
  put_u64(out, 2);
  put_peer(out, 5), put_u32(out, 3), put_u64(out, 10), put_u64(out, 20);
  put_text(out, "nobody"), put_u32(out, 3), put_u64(out, 10), put_u64(out, 20);
  p->outbound(out);
  put_peer(out, p->framework_self);
  put_u64(out, p->next_cmd_id != 0 ? p->next_cmd_id : 40);
  put_u64(out, 20); /* next execution id */
  put_u32(out, 1);
  p->tail(out);
}

/* Nothing is changed. */
static const parts idle = {.self = 0};

static void start(session *s) {
  size_t count;
  const bbw_component_type *const *types = moody_component_types(&count);
  session_install_with(s, model, NULL, types, count);
}

static bbw_status import(session *s, const parts *p, bbw_error *err) {
  bbw_vec bytes;
  build(&bytes, s->node, p);
  bbw_status rv = bbw_node_import_snapshot(s->node, (bbw_bytes){bytes.items, bytes.count}, err);
  /* And no byte less than all of it. */
  for (size_t len = 0; rv == BBW_OK && len < bytes.count; len += 7) {
    assert_int_equal(bbw_node_import_snapshot(s->node, (bbw_bytes){bytes.items, len}, NULL), BBW_E_SNAP_DECODE);
  }
  bbw_vec_free(&bytes);
  return rv;
}

/* ---- what is taken over --------------------------------------------------------------------------------------------- */

static void an_idle_node_is_taken_over(void **state) {
  (void)state;
  session s;
  start(&s);
  assert_int_equal(bbw_node_tick(s.node, 500), BBW_OK);
  (void)session_invoke(&s, "t", "1");
  (void)session_poll_all(&s);
  s.log_len = 0;
  assert_int_equal(import(&s, &idle, NULL), BBW_OK);
  uint64_t hits = 0;
  assert_true(bbw_node_counter(s.node, BBW_STR("hits"), &hits));
  assert_int_equal(hits, 9);
  assert_int_equal(bbw_node_incarnation(s.node), 6);
  assert_int_equal(s.node->engine.governor.blocked.count, 1);
  assert_int_equal(s.node->engine.governor.allowed.count, 1);
  assert_int_equal(s.node->engine.governor.failure_threshold, 1);
  assert_int_equal(s.node->engine.governor.health.count, 1);
  assert_int_equal(s.node->engine.backoff.entries.count, 1);
  assert_int_equal(s.node->engine.next_exec_id, 20);
  assert_int_equal(s.node->engine.async.next_cmd_id, 40);
  assert_int_equal(s.node->engine.now_ns, 500); /* the clock goes on */
  bool is_done = false;
  (void)bbw_node_bootstrap_name(s.node, 0, &is_done);
  assert_true(is_done); /* a node that is restored is set up */
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_LIFECYCLE_FIRED], 1);
  session_end(&s);
}

static void put_suspension(bbw_vec *out, uint64_t cmd, uint64_t graph, uint64_t op, uint64_t exec, uint64_t deadline) {
  put_u64(out, cmd), put_u64(out, graph << 32 | op), put_u64(out, exec);
  put_u64(out, 1), put_u64(out, 77); /* its output sites */
  put_u8(out, deadline != 0);
  if (deadline != 0) { put_u64(out, deadline); }
}
/* After and Limit.Acquire of one execution, the latter with a deadline; Sleep inside the function; in no order. */
static void suspended(bbw_vec *out) {
  put_u64(out, 3);
  put_suspension(out, 12, 0, 3, 7, 900);
  put_suspension(out, 3, 1, 0, 8, 0);
  put_suspension(out, 5, 0, 0, 7, 0);
}

static void suspended_operators_go_on(void **state) {
  (void)state;
  session s;
  start(&s);
  parts p = idle;
  p.suspended = suspended;
  assert_int_equal(import(&s, &p, NULL), BBW_OK);
  assert_int_equal(session_stats(&s).executions, 1);
  assert_int_equal(session_stats(&s).pending_async, 2); /* what was inside the function is forgotten */
  uint64_t at_ns = 0;
  assert_true(bbw_node_next_timer(s.node, &at_ns));
  assert_int_equal(at_ns, 50); /* After starts its wait again */
  assert_int_equal(bbw_node_tick(s.node, 50), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y= "); /* Gate would need a value that is lost */
  assert_true(bbw_node_next_timer(s.node, &at_ns));
  assert_int_equal(at_ns, 900);
  assert_int_equal(bbw_node_complete(s.node, 12, NULL, 0, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y= w= ");
  assert_int_equal(bbw_node_complete(s.node, 3, NULL, 0, NULL), BBW_E_UNKNOWN_COMMAND);
  session_end(&s);
}

static void expiring(bbw_vec *out) {
  put_u64(out, 1);
  put_suspension(out, 12, 0, 3, 7, 900);
}

static void a_deadline_of_the_snapshot_passes(void **state) {
  (void)state;
  session s;
  start(&s);
  parts p = idle;
  p.suspended = expiring;
  assert_int_equal(import(&s, &p, NULL), BBW_OK);
  assert_int_equal(bbw_node_tick(s.node, 901), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.failed, "Timeout/deadline_exceeded");
  session_end(&s);
}

/* A good entry, one with 18 addresses, and three that say nothing useful. */
static void book(bbw_vec *out) {
  uint8_t site[10] = {0xe2, 0x01};
  put_u64(out, 5);
  put_peer(out, 2), put_u64(out, 1), put_view(out, (bbw_bytes){site, 10}), put_u64(out, 3);
  put_peer(out, 3), put_u64(out, 18);
  for (uint8_t i = 0; i < 18; i++) {
    site[9] = i;
    put_view(out, (bbw_bytes){site, 10});
  }
  put_u64(out, 1);
  put_peer(out, 4), put_u64(out, 0), put_u64(out, 1);
  put_peer(out, 6), put_u64(out, 1), put_text(out, "nowhere"), put_u64(out, 1);
  put_text(out, "nobody"), put_u64(out, 1), put_view(out, (bbw_bytes){site, 10}), put_u64(out, 1);
}

static void the_address_book_is_taken_over_and_stays_bounded(void **state) {
  (void)state;
  session s;
  start(&s);
  parts p = idle;
  p.book = book;
  assert_int_equal(import(&s, &p, NULL), BBW_OK);
  const bbw_address_book *known = &s.node->engine.address_book;
  assert_int_equal(bbw_address_book_count(known), 2);
  bbw_peer_id peer = bbw_peer_id_from_u64(3);
  const bbw_bytes *items;
  size_t count;
  assert_true(bbw_address_book_lookup(known, &peer, &items, &count));
  assert_int_equal(count, 16);
  assert_int_equal(items[0].ptr[9], 2);
  peer = bbw_peer_id_from_u64(2);
  assert_int_equal(bbw_address_book_ref_count(known, &peer), 3);
  session_end(&s);
}

static void put_envelope(bbw_vec *out, const uint8_t *destination, size_t len) {
  bbw_bytes to = {destination, len};
  bbw_envelope envelope = {.dest_peer_addresses = &to,
                           .dest_peer_address_count = len == 0 ? 0 : 1,
                           .remaining_deadline_ns = 5,
                           .schema_version = 1};
  uint8_t wire[64];
  assert_true(bbw_envelope_size(&envelope) <= sizeof(wire));
  bbw_envelope_encode(&envelope, wire);
  put_view(out, (bbw_bytes){wire, bbw_envelope_size(&envelope)});
  put_u8(out, 1);
}
/* One that can be sent, one to a peer that the allow list does not name, and five that cannot: no envelope, to nobody, to no address, to an address without a peer, to a peer that is none. */
static void outbound(bbw_vec *out) {
  static const uint8_t peer_2[] = {0xa5, 0x03, 0x0a, 0x00, 0x08, 0, 0, 0, 0, 0, 0, 0, 2},
                       peer_9[] = {0xa5, 0x03, 0x0a, 0x00, 0x08, 0, 0, 0, 0, 0, 0, 0, 9}, site[10] = {0xe2, 0x01},
                       garbage[] = {0xff, 1};
  put_u64(out, 6);
  put_text(out, "no envelope"), put_u8(out, 1);
  put_envelope(out, NULL, 0);
  put_envelope(out, peer_2, sizeof(peer_2));
  put_envelope(out, peer_9, sizeof(peer_9));
  put_envelope(out, site, sizeof(site));
  put_envelope(out, garbage, sizeof(garbage));
}

static void unsent_envelopes_are_sent_and_marked(void **state) {
  (void)state;
  session s;
  start(&s);
  parts p = idle;
  p.outbound = outbound;
  assert_int_equal(import(&s, &p, NULL), BBW_OK);
  assert_int_equal(bbw_outbound_count(&s.node->engine.outbound), 2);
  size_t before = s.steps.count;
  (void)session_poll_all(&s);
  bbw_bytes steps = {(const uint8_t *)s.steps.items + before, s.steps.count - before};
  bbw_step step;
  unsigned sent = 0;
  for (size_t at = 0; bbw_steps_next(steps, &at, &step);) {
    if (step.kind != BBW_STEP_SEND_ENVELOPE) { continue; }
    sent++;
    assert_int_equal(bbw_step_u64(&step, "is_redelivered"), 1);
    assert_int_equal(bbw_step_count(&step, "dest_peer_addresses"), 1);
  }
  assert_int_equal(sent, 1);
  session_end(&s);
}

/* Things that the reference declares and never writes. */
static void full_before(bbw_vec *out) {
  put_u64(out, 1), put_u64(out, 4), put_u64(out, 5);
  put_u64(out, 2);
  put_u64(out, 1), put_u64(out, 2), put_u8(out, 1), put_text(out, "value");
  put_u64(out, 1), put_u64(out, 3), put_u8(out, 0);
}
static void full_tail(bbw_vec *out) {
  put_u64(out, 1), put_text(out, "OpFailure"), put_u64(out, 2), put_u64(out, 3), put_u64(out, 4);
  put_u64(out, 5);
  put_u32(out, 0), put_text(out, "envelope");
  put_u32(out, 1), put_text(out, "M"), put_text(out, "x"), put_text(out, "bytes");
  put_u32(out, 2), put_text(out, "M"), put_u64(out, 1), put_text(out, "x"), put_text(out, "bytes");
  put_u32(out, 3), put_u64(out, 7);
  put_u32(out, 4), put_u64(out, 7), put_u64(out, 1), put_text(out, "result");
  put_u64(out, 1), put_u32(out, 2), put_text(out, "state");
  put_u64(out, 1), put_u64(out, 8), put_u64(out, 1), put_text(out, "name"), put_text(out, "bytes");
}

static void parts_that_are_always_empty_are_walked_over(void **state) {
  (void)state;
  session s;
  start(&s);
  parts p = idle;
  p.before = full_before;
  p.tail = full_tail;
  assert_int_equal(import(&s, &p, NULL), BBW_OK);
  assert_int_equal(session_stats(&s).ingress_depth + session_stats(&s).slot_table_occupied, 0);
  session_end(&s);
}

static void components_take_their_state(void **state) {
  (void)state;
  session s;
  start(&s);
  parts p = idle;
  p.component = "StubModel";
  p.package = 1;
  p.state = "mood";
  assert_int_equal(import(&s, &p, NULL), BBW_OK);
  void *self;
  bbw_str slot, type_name;
  uint32_t roles;
  assert_true(bbw_node_component(s.node, 0, &slot, &type_name, &roles, &self));
  assert_memory_equal(self, "mood", 4);
  session_end(&s);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------ */

static void out_of_range(bbw_vec *out) { put_u64(out, 1), put_suspension(out, 5, 9, 0, 7, 0); }
static void from_the_future(bbw_vec *out) { put_u64(out, 1), put_suspension(out, 5, 0, 0, 20, 0); }
static void a_command_twice(bbw_vec *out) {
  put_u64(out, 2), put_suspension(out, 5, 0, 0, 7, 0), put_suspension(out, 5, 0, 3, 7, 0);
}
static void an_op_twice(bbw_vec *out) {
  put_u64(out, 2), put_suspension(out, 5, 0, 0, 7, 0), put_suspension(out, 6, 0, 0, 7, 0);
}
static void a_peer_twice(bbw_vec *out) {
  static const uint8_t site[10] = {0xe2, 0x01};
  put_u64(out, 2);
  for (int i = 0; i < 2; i++) {
    put_peer(out, 2), put_u64(out, 1), put_view(out, (bbw_bytes){site, 10}), put_u64(out, 1);
  }
}
static void an_event_of_no_kind(bbw_vec *out) {
  put_u64(out, 0), put_u64(out, 1), put_u32(out, 5), put_u64(out, 0), put_u64(out, 0), put_u64(out, 0);
}
static void a_flag_of_two(bbw_vec *out) {
  put_u64(out, 0), put_u64(out, 1), put_u64(out, 1), put_u64(out, 2), put_u8(out, 2), put_u64(out, 0);
}
static void more_than_there_is(bbw_vec *out) { put_u64(out, UINT64_MAX); }

static void contradictions_are_refused_and_change_nothing(void **state) {
  (void)state;
  static const struct {
    const char *what;
    parts p;
    bbw_status status;
    const char *field, *value;
  } rows[] = {
      {"another node", {.self = 2}, BBW_E_RESTORE_MISMATCH, "what", "peer_id"},
      {"another node in the framework part", {.framework_self = 2}, BBW_E_RESTORE_MISMATCH, "what", "peer_id"},
      {"a graph that is not here", {.graph = "Other"}, BBW_E_RESTORE_MISMATCH, "got", "Other"},
      {"another function of a name",
       {.is_other_function = true},
       BBW_E_RESTORE_MISMATCH,
       "expected",
       "another function of this name"},
      {"another component", {.component = "OtherModel", .state = ""}, BBW_E_RESTORE_MISMATCH, "what", "component"},
      {"a component too many",
       {.component = "StubModel", .component_id = 1, .state = ""},
       BBW_E_RESTORE_MISMATCH,
       "what",
       "component"},
      {"a package that is none",
       {.component = "StubModel", .package = 2, .state = ""},
       BBW_E_SNAP_DECODE,
       "detail",
       "a component of no package"},
      {"a state that the component refuses",
       {.component = "StubModel", .state = "too long"},
       BBW_E_RESTORE_COMPONENT,
       "slot",
       "m"},
      {"an operator out of range",
       {.suspended = out_of_range},
       BBW_E_SNAP_DECODE,
       "detail",
       "a suspended operator is out of range"},
      {"an execution from the future",
       {.suspended = from_the_future},
       BBW_E_SNAP_DECODE,
       "detail",
       "a suspended operator is out of range"},
      {"a counter that would wrap",
       {.next_cmd_id = UINT64_MAX},
       BBW_E_SNAP_DECODE,
       "detail",
       "an id counter cannot have come so far"},
      {"a command twice", {.suspended = a_command_twice}, BBW_E_SNAP_DECODE, "detail", "command ids do not ascend"},
      {"an operator twice", {.suspended = an_op_twice}, BBW_E_SNAP_DECODE, NULL, NULL},
      {"a peer twice",
       {.book = a_peer_twice},
       BBW_E_SNAP_DECODE,
       "detail",
       "an entry of the address book is not valid"},
      {"an event of no kind", {.tail = an_event_of_no_kind}, BBW_E_SNAP_DECODE, "detail", "an event of no kind"},
      {"a flag of two", {.before = a_flag_of_two}, BBW_E_SNAP_DECODE, "detail", "a flag is neither 0 nor 1"},
      {"a count beyond the end",
       {.book = more_than_there_is},
       BBW_E_SNAP_DECODE,
       "detail",
       "input ends inside a value"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    session s;
    bbw_error err;
    start(&s);
    (void)session_invoke(&s, "x", "1");
    (void)session_poll_all(&s);
    uint8_t *before, *after;
    size_t before_len, after_len;
    assert_int_equal(bbw_node_snapshot(s.node, &before, &before_len, &bbw_mem_libc, NULL), BBW_OK);
    bbw_status rv = import(&s, &rows[i].p, &err);
    if (rv != rows[i].status) { fail_msg("%s: %d %s", rows[i].what, (int)rv, bbw_error_field(&err, "detail").ptr); }
    if (rows[i].field != NULL) {
      assert_true(bbw_str_equal(bbw_error_field(&err, rows[i].field), (bbw_str){rows[i].value, strlen(rows[i].value)}));
    }
    assert_int_equal(bbw_node_snapshot(s.node, &after, &after_len, &bbw_mem_libc, NULL), BBW_OK);
    assert_int_equal(after_len, before_len);
    assert_memory_equal(after, before, before_len);
    bbw_mem_libc.free(NULL, before, before_len);
    bbw_mem_libc.free(NULL, after, after_len);
    assert_int_equal(bbw_node_clear(s.node, NULL), BBW_OK);
    session_end(&s);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_idle_node_is_taken_over),
      cmocka_unit_test(suspended_operators_go_on),
      cmocka_unit_test(a_deadline_of_the_snapshot_passes),
      cmocka_unit_test(the_address_book_is_taken_over_and_stays_bounded),
      cmocka_unit_test(unsent_envelopes_are_sent_and_marked),
      cmocka_unit_test(parts_that_are_always_empty_are_walked_over),
      cmocka_unit_test(components_take_their_state),
      cmocka_unit_test(contradictions_are_refused_and_change_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
