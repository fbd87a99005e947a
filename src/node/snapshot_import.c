#include "node/snapshot_import.h"

#include <string.h>

#include "base/bytes.h"
#include "base/sort.h"
#include "bbw/address.h"
#include "format/bincode.h"
#include "format/envelope.h"

#define SPEC_VERSION 1u

typedef struct importer {
  const bbw_node *node;
  bbw_bincode_reader in;
  bbw_arena *arena;
  bbw_snap *out;
  bbw_error *err;
  bbw_status status;  /* the first failure; nothing is read any more then */
  bbw_graph **graphs; /* of the node, by their index in the snapshot */
  size_t graph_count;
  bbw_proto_list suspended;           /* suspension, in the order of the input */
  uint64_t last_cmd_id, last_exec_id; /* counters of the snapshot */
} importer;

typedef struct suspension {
  uint64_t cmd_id, op_ref, exec_id, deadline_ns;
} suspension;

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static void fail(importer *m, const char *detail) {
  if (m->status != BBW_OK) { return; }
  m->status = bbw_error_set_at(m->err, BBW_E_SNAP_DECODE, m->in.at);
  bbw_error_add_str(m->err, "detail", (bbw_str){detail, strlen(detail)});
}

static void mismatch(importer *m, const char *what, bbw_str got, bbw_str expected) {
  if (m->status != BBW_OK) { return; }
  m->status = bbw_error_set(m->err, BBW_E_RESTORE_MISMATCH);
  bbw_error_add_str(m->err, "what", (bbw_str){what, strlen(what)});
  bbw_error_add_str(m->err, "got", got);
  bbw_error_add_str(m->err, "expected", expected);
}

/* After a failure everything reads as zero and every list is empty, so the walk comes to its end by itself. */
static uint64_t take_u64(importer *m) {
  uint64_t value = 0;
  if (m->status == BBW_OK && !bbw_bincode_u64(&m->in, &value)) { fail(m, m->in.reason); }
  return m->status == BBW_OK ? value : 0;
}
static uint32_t take_u32(importer *m) {
  uint32_t value = 0;
  if (m->status == BBW_OK && !bbw_bincode_u32(&m->in, &value)) { fail(m, m->in.reason); }
  return m->status == BBW_OK ? value : 0;
}
static bbw_bytes take_bytes(importer *m) {
  bbw_bytes value = {NULL, 0};
  if (m->status == BBW_OK && !bbw_bincode_view(&m->in, &value)) { fail(m, m->in.reason); }
  return m->status == BBW_OK ? value : (bbw_bytes){NULL, 0};
}
static bbw_str take_text(importer *m) {
  bbw_str value = {NULL, 0};
  if (m->status == BBW_OK && !bbw_bincode_text(&m->in, &value)) { fail(m, m->in.reason); }
  return m->status == BBW_OK ? value : (bbw_str){NULL, 0};
}
/* The tag of an option, or a bool. */
static bool take_flag(importer *m) {
  uint8_t value = 0;
  if (m->status == BBW_OK && !bbw_bincode_u8(&m->in, &value)) { fail(m, m->in.reason); }
  if (value > 1) { fail(m, "a flag is neither 0 nor 1"); }
  return m->status == BBW_OK && value == 1;
}
static size_t take_count(importer *m, size_t element_bytes) {
  size_t count = 0;
  if (m->status == BBW_OK && !bbw_bincode_count(&m->in, element_bytes, &count)) { fail(m, m->in.reason); }
  return m->status == BBW_OK ? count : 0;
}
static uint64_t take_option(importer *m) { return take_flag(m) ? take_u64(m) : 0; }

/* Room for the elements of a list; none after a failure. */
static void *list_new(importer *m, size_t count, size_t size) {
  void *items = bbw_arena_array(m->arena, count, size);
  if (items == NULL && m->status == BBW_OK) { m->status = bbw_error_set(m->err, BBW_E_NOMEM); }
  return items;
}

static bool is_peer(bbw_bytes bytes) {
  bbw_peer_id peer;
  return bbw_peer_id_decode(&peer, bytes, NULL) == BBW_OK;
}

/* ---- parts of the snapshot, in their order -------------------------------------------------------------------------- */

static void check_own_id(importer *m, bbw_bytes bytes) {
  bbw_peer_id peer;
  const bbw_peer_id *self = &m->node->engine.self_peer;
  if (m->status != BBW_OK) { return; }
  if (bbw_peer_id_decode(&peer, bytes, NULL) != BBW_OK) {
    fail(m, "the peer id is malformed");
  } else if (!bbw_peer_id_equal(&peer, self)) {
    char got[BBW_PEER_ID_TEXT_BYTES_MAX], expected[BBW_PEER_ID_TEXT_BYTES_MAX];
    mismatch(m, "peer_id", (bbw_str){got, bbw_peer_id_to_text(&peer, got)},
             (bbw_str){expected, bbw_peer_id_to_text(self, expected)});
  }
}

/* The reference captures its configuration and restores none of it. */
static bbw_bytes read_config(importer *m) {
  bbw_bytes peer = take_bytes(m);
  for (size_t i = 0; i < 3; i++) { (void)take_option(m); }
  (void)take_u64(m);
  return peer;
}

static bbw_graph *graph_find(const importer *m, bbw_str name) {
  for (size_t i = 0; i < m->node->engine.graphs.count; i++) {
    bbw_graph *graph = bbw_engine_graph(&m->node->engine, i);
    if (graph->boot_component == BBW_NO_INDEX && bbw_str_equal(graph->name, name)) { return graph; }
  }
  return NULL;
}

/* Two functions are the same when we write them the same. */
static bool is_same_function(importer *m, const bbw_onnx_function *a, const bbw_onnx_function *b) {
  bbw_bytes x = {NULL, 0}, y = {NULL, 0};
  bbw_status rv = bbw_proto_encode(&x, a, &bbw_onnx_function_type, m->arena);
  if (rv == BBW_OK) { rv = bbw_proto_encode(&y, b, &bbw_onnx_function_type, m->arena); }
  if (rv != BBW_OK && m->status == BBW_OK) { m->status = bbw_error_set(m->err, rv); }
  return rv == BBW_OK && bbw_bytes_equal(x, y);
}

static void read_graphs(importer *m) {
  m->graph_count = take_count(m, 16);
  m->graphs = list_new(m, m->graph_count, sizeof(*m->graphs));
  for (size_t i = 0; m->status == BBW_OK && i < m->graph_count; i++) {
    bbw_str name = take_text(m);
    bbw_bytes bytes = take_bytes(m);
    bbw_onnx_function function;
    if (m->status != BBW_OK) { return; }
    bbw_status rv = bbw_proto_decode(&function, &bbw_onnx_function_type, bytes, m->arena, NULL);
    if (rv == BBW_E_NOMEM) { m->status = bbw_error_set(m->err, rv); }
    if (rv != BBW_OK) { fail(m, "a graph does not decode"); }
    m->graphs[i] = graph_find(m, name);
    if (m->graphs[i] == NULL) {
      mismatch(m, "graph", name, BBW_STR(""));
    } else if (m->status == BBW_OK && !is_same_function(m, &function, m->graphs[i]->function)) {
      mismatch(m, "graph", name, BBW_STR("another function of this name"));
    }
  }
}

static void read_components(importer *m) {
  const bbw_engine *engine = &m->node->engine;
  size_t count = engine->components.count, captured = take_count(m, 24);
  bbw_snap_component *out = list_new(m, count, sizeof(*out));
  for (size_t i = 0; m->status == BBW_OK && i < captured; i++) {
    bbw_str type_name = take_text(m);
    uint32_t id = take_u32(m), package = take_u32(m);
    bbw_bytes state = take_bytes(m);
    if (package > 1) { fail(m, "a component of no package"); }
    if (m->status != BBW_OK) { return; }
    bbw_str installed = BBW_STR("");
    if (id < count) {
      const char *name = bbw_engine_component(engine, id)->type->type_name;
      installed = (bbw_str){name, strlen(name)};
    }
    if (id >= count || !bbw_str_equal(type_name, installed)) {
      mismatch(m, "component", type_name, installed);
      return;
    }
    if (out[id].has_state) { fail(m, "a component is listed twice"); }
    out[id] = (bbw_snap_component){.has_state = state.len != 0, .state = state};
  }
  m->out->components = (bbw_proto_list){out, count};
}

static void skip_pairs(importer *m) {
  for (size_t n = take_count(m, 16); n > 0; n--) { (void)take_u64(m), (void)take_u64(m); }
}

static void skip_slots(importer *m) {
  for (size_t n = take_count(m, 17); n > 0; n--) {
    (void)take_u64(m), (void)take_u64(m);
    if (take_flag(m)) { (void)take_bytes(m); }
  }
}

static void read_suspended(importer *m) {
  size_t count = take_count(m, 33);
  suspension *list = list_new(m, count, sizeof(*list));
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) {
    list[i].cmd_id = take_u64(m);
    list[i].op_ref = take_u64(m);
    list[i].exec_id = take_u64(m);
    for (size_t n = take_count(m, 8); n > 0; n--) {
      (void)take_u64(m);
    } /* the sites of its outputs, which the graph knows */
    list[i].deadline_ns = take_option(m);
  }
  m->suspended = (bbw_proto_list){list, count};
}

static void skip_execution_states(importer *m) {
  for (size_t n = take_count(m, 12); n > 0; n--) { (void)take_u64(m), (void)take_u32(m); }
}

static void read_counters(importer *m) {
  size_t count = take_count(m, 16);
  bbw_snap_named *out = list_new(m, count, sizeof(*out));
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) {
    bbw_str name = take_text(m);
    out[i] = (bbw_snap_named){.kind = BBW_NAMED_COUNTER, .name = bbw_str_bytes(name), .number = take_u64(m)};
  }
  m->out->named = (bbw_proto_list){out, count};
}

static void read_phases(importer *m) {
  size_t count = take_count(m, 8);
  bbw_bytes *out = list_new(m, count, sizeof(*out));
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) { out[i] = bbw_str_bytes(take_text(m)); }
  m->out->phases = (bbw_proto_list){out, count};
}

/* A list of byte strings as it stands there. */
static bbw_proto_list read_byte_list(importer *m) {
  size_t count = take_count(m, 8);
  bbw_bytes *out = list_new(m, count, sizeof(*out));
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) { out[i] = take_bytes(m); }
  return (bbw_proto_list){out, count};
}

/* Like the reference, an entry that says nothing useful is passed over; of too many addresses the last ones count. */
static bool is_useful(const bbw_snap_peer *peer) {
  bool is_good = is_peer(peer->peer) && peer->addresses.count != 0 && peer->ref_count != 0;
  for (size_t i = 0; is_good && i < peer->addresses.count; i++) {
    is_good = bbw_address_check(*BBW_PROTO_AT(&peer->addresses, bbw_bytes, i), NULL) == BBW_OK;
  }
  return is_good;
}

static void read_book(importer *m) {
  size_t count = take_count(m, 24), kept = 0;
  bbw_snap_peer *out = list_new(m, count, sizeof(*out));
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) {
    bbw_snap_peer peer = {.peer = take_bytes(m), .addresses = read_byte_list(m)};
    peer.ref_count = take_u64(m);
    if (peer.addresses.count > BBW_ADDRESSES_PER_PEER_MAX) {
      size_t surplus = peer.addresses.count - BBW_ADDRESSES_PER_PEER_MAX;
      peer.addresses = (bbw_proto_list){(const bbw_bytes *)peer.addresses.items + surplus, BBW_ADDRESSES_PER_PEER_MAX};
    }
    if (m->status == BBW_OK && is_useful(&peer)) { out[kept++] = peer; }
  }
  m->out->peers = (bbw_proto_list){out, kept};
}

static bbw_proto_list read_peer_list(importer *m) {
  bbw_proto_list list = read_byte_list(m);
  bbw_bytes *items = (bbw_bytes *)(uintptr_t)list.items; /* made just now */
  size_t kept = 0;
  for (size_t i = 0; m->status == BBW_OK && i < list.count; i++) {
    if (is_peer(items[i])) { items[kept++] = items[i]; }
  }
  return (bbw_proto_list){items, kept};
}

static void read_governor(importer *m) {
  m->out->blocked = read_peer_list(m);
  m->out->has_allowlist = take_flag(m);
  if (m->out->has_allowlist) { m->out->allowed = read_peer_list(m); }
  size_t count = take_count(m, 21), kept = 0;
  bbw_snap_health *out = list_new(m, count, sizeof(*out));
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) {
    bbw_snap_health health = {.peer = take_bytes(m)};
    health.failures = take_u32(m);
    health.last_event_ns = take_u64(m);
    health.is_down = take_flag(m);
    if (m->status == BBW_OK && is_peer(health.peer)) { out[kept++] = health; }
  }
  m->out->health = (bbw_proto_list){out, kept};
  uint32_t threshold = take_u32(m);
  m->out->failure_threshold = threshold == 0 ? 1 : threshold;
}

static void read_backoff(importer *m) {
  size_t count = take_count(m, 28), kept = 0;
  bbw_snap_backoff *out = list_new(m, count, sizeof(*out));
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) {
    bbw_snap_backoff backoff = {.peer = take_bytes(m),
                                .is_advisory = true}; /* nothing else fills the reference's table */
    backoff.attempts = take_u32(m);
    backoff.last_attempt_ns = take_u64(m);
    backoff.next_retry_ns = take_u64(m);
    if (m->status == BBW_OK && is_peer(backoff.peer)) { out[kept++] = backoff; }
  }
  m->out->backoff = (bbw_proto_list){out, kept};
}

/* False for an envelope that does not decode or goes to nobody; the reference passes over those too. */
static bool envelope_take(importer *m, bbw_bytes bytes, bbw_snap_outbound *out) {
  bbw_envelope envelope;
  bbw_segment peer;
  bbw_status rv = bbw_envelope_decode(&envelope, bytes, &m->node->engine.config.envelope_caps, m->arena, NULL);
  if (rv == BBW_E_NOMEM && m->status == BBW_OK) { m->status = bbw_error_set(m->err, rv); }
  if (rv != BBW_OK || envelope.dest_peer_address_count == 0) { return false; }
  for (size_t i = 0; i < envelope.dest_peer_address_count; i++) {
    if (bbw_address_check(envelope.dest_peer_addresses[i], NULL) != BBW_OK) { return false; }
  }
  if (!bbw_address_find(envelope.dest_peer_addresses[0], BBW_SEGMENT_P2P, &peer) || !is_peer(peer.bytes)) {
    return false;
  }
  bbw_envelope rest = envelope;
  rest.dest_peer_address_count = 0;
  size_t size = bbw_envelope_size(&rest);
  uint8_t *tail = list_new(m, size, 1);
  if (tail == NULL) { return false; }
  bbw_envelope_encode(&rest, tail);
  *out = (bbw_snap_outbound){
      .peer = peer.bytes,
      .addresses = {envelope.dest_peer_addresses, envelope.dest_peer_address_count},
      .tail = {tail, size},
  };
  return true;
}

static void read_outbound(importer *m) {
  size_t count = take_count(m, 9), kept = 0;
  bbw_snap_outbound *out = list_new(m, count, sizeof(*out));
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) {
    bbw_bytes bytes = take_bytes(m);
    (void)take_flag(m); /* redelivered: what is restored is marked in any case */
    if (m->status == BBW_OK && envelope_take(m, bytes, &out[kept])) { kept++; }
  }
  m->out->outbound = (bbw_proto_list){out, kept};
}

static void read_framework(importer *m) {
  read_counters(m);
  read_phases(m);
  read_book(m);
  read_governor(m);
  read_backoff(m);
  read_outbound(m);
  bbw_bytes peer = take_bytes(m);
  m->last_cmd_id = take_u64(m);
  m->last_exec_id = take_u64(m);
  uint32_t version = take_u32(m);
  if (m->status == BBW_OK && version != SPEC_VERSION) {
    m->status = bbw_error_set_at(m->err, BBW_E_RESTORE_SPEC_VERSION, m->in.at - 4);
    bbw_error_add_u64(m->err, "got", version);
    bbw_error_add_u64(m->err, "expected", SPEC_VERSION);
  }
  check_own_id(m, peer);
}

/* Subscriptions follow from the graphs; the rest is empty in every snapshot that the reference writes. */
static void skip_tail(importer *m) {
  for (size_t n = take_count(m, 16); n > 0; n--) {
    (void)take_text(m);
    for (size_t k = take_count(m, 8); k > 0; k--) { (void)take_u64(m); }
  }
  for (size_t n = take_count(m, 4); n > 0; n--) {
    switch (take_u32(m)) {
    case 0: (void)take_bytes(m); break;
    case 1: (void)take_text(m), (void)take_text(m), (void)take_bytes(m); break;
    case 2:
      (void)take_text(m);
      for (size_t k = take_count(m, 16); k > 0; k--) { (void)take_text(m), (void)take_bytes(m); }
      break;
    case 3: (void)take_u64(m); break;
    case 4:
      (void)take_u64(m);
      for (size_t k = take_count(m, 8); k > 0; k--) { (void)take_bytes(m); }
      break;
    default: fail(m, "an event of no kind");
    }
  }
  for (size_t n = take_count(m, 12); n > 0; n--) { (void)take_u32(m), (void)take_bytes(m); }
  for (size_t n = take_count(m, 16); n > 0; n--) {
    (void)take_u64(m);
    for (size_t k = take_count(m, 16); k > 0; k--) { (void)take_text(m), (void)take_bytes(m); }
  }
}

/* ---- from the reference's words to ours ----------------------------------------------------------------------------- */

/* The op of a suspension, or NULL when it can not go on: the caller of a function body, and what a bootstrap waits for, are lost. */
static const bbw_op *op_of(importer *m, const suspension *s, bbw_graph **graph) {
  uint64_t g = s->op_ref >> 32, op = s->op_ref & UINT32_MAX;
  if (g >= m->graph_count || op >= m->graphs[g]->op_count || s->exec_id >= m->last_exec_id ||
      s->cmd_id >= m->last_cmd_id) {
    fail(m, "a suspended operator is out of range");
    return NULL;
  }
  *graph = m->graphs[g];
  const bbw_op *found = &(*graph)->ops[op];
  bool can_wait = found->kind == BBW_DISPATCH_STATELESS || found->kind == BBW_DISPATCH_COMPONENT;
  return (*graph)->is_entry_point && can_wait && (*graph)->needed[op] != UINT32_MAX ? found : NULL;
}

/* How long an operator that waits for time waits; the timers themselves are not in the snapshot, so it starts again. */
static bool delay_of(const bbw_op *op, uint64_t *delay_ns) {
  bool is_after = op->row != NULL && bbw_str_equal(op->node->op_type, BBW_STR("After"));
  bool is_sleep = op->row != NULL && bbw_str_equal(op->node->op_type, BBW_STR("Sleep"));
  if (!is_after && !is_sleep) { return false; }
  const bbw_onnx_attribute *delay = bbw_onnx_attribute_find(op->node,
                                                            is_after ? BBW_STR("delay_ns") : BBW_STR("duration_ns"));
  *delay_ns = delay == NULL ? 0 : (uint64_t)delay->i;
  return true;
}

typedef struct waiting {
  bbw_snap_frame *frames;
  bbw_snap_parked *parked;
  bbw_snap_timer *timers;
  size_t frame_count, parked_count, timer_count;
  bbw_map by_exec; /* execution -> its frame */
} waiting;

/* One frame per execution, with no values: what its operators already used is lost, and only what follows from an outcome alone goes on. */
static void place_suspension(importer *m, waiting *w, const suspension *s) {
  bbw_graph *graph;
  const bbw_op *op = op_of(m, s, &graph);
  if (op == NULL) { return; }
  uint64_t f = w->frame_count;
  if (!bbw_map_get(&w->by_exec, s->exec_id, &f)) {
    (void)bbw_map_put(&w->by_exec, s->exec_id, f); /* room is reserved */
    w->frames[w->frame_count++] = (bbw_snap_frame){
        .graph = graph->index, .exec_id = s->exec_id, .started_ns = m->node->engine.now_ns};
  }
  if (w->frames[f].graph != graph->index) {
    fail(m, "an execution runs in two graphs");
    return;
  }
  uint32_t index = (uint32_t)(op - graph->ops);
  w->parked[w->parked_count++] = (bbw_snap_parked){.cmd_id = s->cmd_id,
                                                   .frame = (uint32_t)f,
                                                   .op = index,
                                                   .state = BBW_PARKED_WAITING,
                                                   .deadline_ns = s->deadline_ns};
  uint64_t delay_ns;
  if (!delay_of(op, &delay_ns)) { return; }
  uint64_t now_ns = m->node->engine.now_ns;
  w->timers[w->timer_count] = (bbw_snap_timer){.at_ns = delay_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + delay_ns,
                                               .order = w->timer_count,
                                               .subject = s->cmd_id,
                                               .kind = BBW_TIMER_COMMAND};
  w->timer_count++;
}

/* Sorts the timers by time, then order. */
static void sort_timers(importer *m, const waiting *w) {
  bbw_sort_key *keys = list_new(m, w->timer_count, sizeof(*keys));
  bbw_snap_timer *sorted = list_new(m, w->timer_count, sizeof(*sorted));
  if (keys == NULL || sorted == NULL) { return; }
  for (size_t i = 0; i < w->timer_count; i++) { keys[i] = (bbw_sort_key){w->timers[i].at_ns, w->timers[i].order, i}; }
  bbw_sort(keys, w->timer_count);
  for (size_t i = 0; i < w->timer_count; i++) { sorted[i] = w->timers[keys[i].index]; }
  m->out->timers = (bbw_proto_list){sorted, w->timer_count};
  m->out->next_timer_order = w->timer_count;
}

/* The ops that have fired, per frame, ascending. */
static void list_fired(importer *m, const waiting *w) {
  size_t count = w->parked_count;
  bbw_sort_key *keys = list_new(m, count, sizeof(*keys));
  uint64_t *fired = list_new(m, count, sizeof(*fired));
  if (keys == NULL || fired == NULL) { return; }
  for (size_t i = 0; i < count; i++) { keys[i] = (bbw_sort_key){w->parked[i].frame, w->parked[i].op, i}; }
  bbw_sort(keys, count);
  for (size_t i = 0; i < count; i++) {
    bbw_snap_frame *frame = &w->frames[keys[i].first];
    if (frame->fired.items == NULL) { frame->fired.items = &fired[i]; }
    fired[i] = keys[i].second;
    frame->fired.count++;
  }
}

static void place_suspended(importer *m) {
  size_t count = m->suspended.count;
  const suspension *list = m->suspended.items;
  bbw_sort_key *keys = list_new(m, count, sizeof(*keys));
  waiting w = {
      .frames = list_new(m, count, sizeof(*w.frames)),
      .parked = list_new(m, count, sizeof(*w.parked)),
      .timers = list_new(m, count, sizeof(*w.timers)),
  };
  bbw_map_init(&w.by_exec, 0xe4ec, m->node->mem);
  if (m->status == BBW_OK && !bbw_map_reserve(&w.by_exec, count)) { m->status = bbw_error_set(m->err, BBW_E_NOMEM); }
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) { keys[i] = (bbw_sort_key){list[i].cmd_id, i, i}; }
  if (m->status == BBW_OK) { bbw_sort(keys, count); }
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) { place_suspension(m, &w, &list[keys[i].index]); }
  bbw_map_free(&w.by_exec);
  if (m->status != BBW_OK) { return; }
  list_fired(m, &w);
  sort_timers(m, &w);
  m->out->frames = (bbw_proto_list){w.frames, w.frame_count};
  m->out->parked = (bbw_proto_list){w.parked, w.parked_count};
}

/* A node that was restored is set up: its bootstraps count as done. */
static void mark_targets(importer *m) {
  const bbw_bootstrap *bootstrap = &m->node->engine.bootstrap;
  size_t count = bootstrap->targets.count;
  bbw_snap_target *out = list_new(m, count, sizeof(*out));
  for (size_t i = 0; m->status == BBW_OK && i < count; i++) {
    out[i] = (bbw_snap_target){BBW_VEC_AT(&bootstrap->targets, const bbw_boot_target, i)->name, true};
  }
  m->out->boot_targets = (bbw_proto_list){out, count};
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

bbw_status bbw_snapshot_import(bbw_snap *out, const bbw_node *node, bbw_bytes bytes, bbw_arena *arena, bbw_error *err) {
  const bbw_engine *engine = &node->engine;
  importer m = {.node = node, .in = {.bytes = bytes}, .arena = arena, .out = out, .err = err, .status = BBW_OK};
  *out = (bbw_snap){
      .config = &engine->config,
      .now_ns = engine->now_ns,
      .tick_ns = engine->tick_ns,
      .rng_state = engine->rng_state,
      .next_token = engine->requests.next_token,
  };
  out->incarnation = take_u64(&m);
  bbw_bytes peer = read_config(&m);
  read_graphs(&m);
  read_components(&m);
  skip_pairs(&m); /* the frontier */
  skip_slots(&m);
  read_suspended(&m);
  skip_execution_states(&m);
  read_framework(&m);
  skip_tail(&m);
  check_own_id(&m, peer);
  if (m.status == BBW_OK) { place_suspended(&m); }
  if (m.status == BBW_OK) { mark_targets(&m); }
  out->next_cmd_id = larger(engine->async.next_cmd_id, m.last_cmd_id);
  out->next_exec_id = larger(engine->next_exec_id, m.last_exec_id);
  return m.status;
}
