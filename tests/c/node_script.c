#include "node_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "artifact.h"
#include "base/rng.h"
#include "bbw/address.h"
#include "bbw/envelope.h"
#include "bbw/step.h"
#include "moody_components.h"
#include "node/node.h"

#define REQUIRE(condition)         \
  do {                             \
    if (!(condition)) { abort(); } \
  } while (0)

#define ROUNDS_MAX 2000

static const char *const models[] = {
    "target M x t -> y w z\nsyscall::After x -> a | delay_ns=5\nsyscall::Gate a t -> y\nsyscall::Limit.Acquire x -> g "
    "| name='l'\n"
    "syscall::Limit.Release g -> w | name='l'\nsyscall::Any x t -> z",
    "target M x -> y\nmodule::F x -> y\nfunction F p -> r\nmodule::G p -> q\nmodule::G q -> r\nfunction G p -> "
    "r\nmodule::H p -> q\nmodule::H q -> r\n"
    "function H p -> r\nsyscall::Sleep p -> q | duration_ns=3\nsyscall::PassThrough q -> r",
    "target M x peers -> d h y\nwire::Send x peers -> d h\nwire::Send x peers -> d4 h4 a4 by4 f4 | await=1 "
    "deadline_ns=40\nwire::Recv -> p s\nsyscall::DedupGateRx p -> "
    "g1\nsyscall::PeerHealthGateRx g1 -> g2\n"
    "syscall::BackoffGateRx g2 -> y\nwire::Send p s -> d2 h2 | ai.bytesandbrains.dest_suffix.p=@e2010000000000000002",
    "target M x t -> y e\nsyscall::Interval -> i | period_ns=7\nsyscall::Serialize.Enqueue x -> q | "
    "queue='n'\nsyscall::Serialize.Dequeue t -> y | queue='n'\n"
    "syscall::EventSource -> e | kind='AppIngressError'\nsyscall::Record x | name='r'\nsyscall::IncrMetric i | "
    "name='c'\nsyscall::Hold.Stash x | slot='s'\n"
    "syscall::Hold.Flush t -> f | slot='s'\nsyscall::AppEmit f | name='held'",
    "target M x -> a b\nwire::Recv -> p s\naddress_book::Lookup s -> l\ncomposite::Bundle p l -> "
    "v\ncomposite::Unbundle v -> a b | "
    "ai.bytesandbrains.composite.child_count=2\nwire::Send x s -> d h\nwire::Recv -> p2\nwire::Send p2 p -> d3 "
    "h3\nsyscall::Unknown x -> u",
    "target M x -> y ready\nsyscall::PassThrough x -> y\nsyscall::LifecyclePhase -> l | phase='start'\nsyscall::Gate l "
    "-> ready\n"
    "bootstrap B\nsyscall::Pulse -> p\nsyscall::After p -> q | delay_ns=3\nbootstrap C k\nsyscall::Limit.Acquire k -> "
    "g | name='l'\n"
    "syscall::Unknown g -> u",
    "target M x -> y\nsyscall::Interval -> i | period_ns=0\nsyscall::Interval -> j | period_ns=-1\nsyscall::Pulse -> "
    "k\nmodule::F k -> m\nmodule::L x -> y\n"
    "function F p -> p\nsyscall::RngU64 p -> r\nfunction L p -> r\nmodule::L p -> r",
};
static const char *const files[] = {"roles",
                                    "quickstart",
                                    "federated_server",
                                    "single_node_federated_learning",
                                    "timers",
                                    "two_part",
                                    "gates",
                                    "boot_async",
                                    "misc",
                                    "book"};
enum { MODEL_COUNT = sizeof(models) / sizeof(models[0]), FILE_COUNT = sizeof(files) / sizeof(files[0]) };

uint8_t node_script_take(node_script *s) { return s->at == s->end ? 0 : *s->at++; }
#define take node_script_take
static bbw_bytes take_some(node_script *s) {
  size_t len = take(s);
  if (len > (size_t)(s->end - s->at)) { len = (size_t)(s->end - s->at); }
  bbw_bytes out = {s->at, len};
  s->at += len;
  return out;
}

static bbw_peer_id peer_of(uint8_t byte) { return bbw_peer_id_from_u64(byte % 5u + 1); }

typedef struct peer_bytes {
  uint8_t buf[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes bytes;
} peer_bytes;

static void peer_encode(peer_bytes *out, uint8_t byte) {
  bbw_peer_id id = peer_of(byte);
  out->bytes = (bbw_bytes){out->buf, bbw_peer_id_encode(&id, out->buf)};
}

void node_script_config(bbw_config *config, uint8_t flags) {
  bbw_config_init(config);
  if ((flags & 1) != 0) { config->cycle_op_budget = 1 + (flags >> 6); }
  if ((flags & 2) != 0) { config->max_executions = 1 + (flags >> 6); }
  if ((flags & 4) != 0) { config->ingress_byte_budget = 200; }
  if ((flags & 8) != 0) { config->max_pending_async = 2; }
  if ((flags & 16) != 0) { config->bus_capacity = 1; }
  if ((flags & 32) != 0) { config->max_outbound_queue = 1; }
  config->step_mask = (flags & 64) != 0 ? 0 : UINT64_MAX;
}

static bbw_node *install(bbw_bytes model, const bbw_str *names, size_t count, uint64_t peer, const bbw_config *config,
                         const bbw_mem *mem) {
  static const uint8_t own_address[] = {0xa5, 0x03, 0x0a, 0x00, 0x08, 0, 0, 0, 0, 0, 0, 0, 1};
  bbw_bytes address = {own_address, sizeof(own_address)};
  bbw_install_options options = {.peer_id = bbw_peer_id_from_u64(peer),
                                 .addresses = &address,
                                 .address_count = 1,
                                 .model = model,
                                 .targets = names,
                                 .target_count = count,
                                 .config = config,
                                 .is_unresolved_allowed = true};
  options.component_types = moody_component_types(&options.component_type_count);
  bbw_node *node = NULL;
  (void)bbw_node_install(&node, &options, mem, NULL);
  return node;
}

bbw_node *node_script_install(uint8_t which, uint64_t peer, const bbw_config *config, const bbw_mem *mem) {
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_bytes model = {NULL, 0};
  bbw_str names[4];
  size_t count = 0;
  unsigned index = which % (unsigned)(MODEL_COUNT + FILE_COUNT);
  if (index < MODEL_COUNT) {
    model = artifact(&arena, models[index]);
    names[count++] = BBW_STR("M");
  } else {
    model = vector_model(&arena, files[index - MODEL_COUNT]);
    count = model_targets(&arena, model, names, 4);
  }
  bbw_node *node = install(model, names, count, peer, config, mem);
  bbw_arena_free(&arena);
  return node;
}

/* Nodes of random graphs: A and B stand for values that exist, N for a new one. */
static const char *const pieces[] = {
    "syscall::PassThrough A -> N",
    "syscall::Tee A -> N",
    "syscall::After A -> N | delay_ns=5",
    "syscall::Sleep A -> N | duration_ns=900",
    "syscall::Limit.Acquire A -> N | name='l'",
    "syscall::Limit.Release A -> N | name='l'",
    "syscall::Serialize.Enqueue A -> N | queue='q'",
    "syscall::Serialize.Dequeue A -> N | queue='q'",
    "syscall::Hold.Stash A -> N | slot='h'",
    "syscall::Hold.Flush A -> N | slot='h'",
    "syscall::Record A -> N | name='r'",
    "syscall::Any A B -> N | group='g'",
    "syscall::Gate A B -> N",
    "syscall::DeadlineMatch A B -> N",
    "syscall::DeadlineCheck A -> N | deadline_ns=6",
    "composite::Bundle A B -> N",
    "composite::Unbundle A -> N | ai.bytesandbrains.composite.child_count=2",
    "syscall::Clock -> N",
    "syscall::RngU64 A -> N",
    "syscall::CorrelateTag A -> N",
    "syscall::IncrMetric A -> N | name='c'",
    "syscall::AppEmit A -> N | name='e'",
    "syscall::AppNotify A -> N | name='n'",
    "syscall::Interval -> N | period_ns=7",
    "syscall::EventSource -> N | kind='OpFailure'",
    "syscall::EventSource -> N | kind='AppIngressError'",
    "syscall::EventSource -> N | kind='BusOverflow'",
    "syscall::LifecyclePhase -> N | phase='start'",
    "wire::Recv -> N",
    "wire::Recv -> N s",
    "wire::Send A s -> N | deadline_ns=50",
    "wire::Send A s -> N",
    "syscall::DedupGateRx A -> N",
    "syscall::BackoffGateRx A -> N",
    "address_book::Lookup s -> N",
    "module::F A -> N",
    "module::G A B -> N",
    "no.such::Op A -> N",
    "role.model::Forward A -> N",
    "role.model::Forward A -> N | deadline_ns=20",
    "syscall::Limit.Acquire A -> N | name='l' deadline_ns=30",
    "syscall::EventSource -> N | kind='PeerSuspect'",
    "syscall::EventSource -> N | kind='BackoffNoticeSent'",
    "role.model::Params A -> N",
    "role.aggregator::Contribute A B -> N",
    "role.data_source::NextBatch -> N m",
    "wire::Send A s -> N N N N | await=1 deadline_ns=50",
    "wire::Send A s -> N N N N N | await=1",
    "wire::Send A -> N | reply=1",
};
enum { PIECE_COUNT = sizeof(pieces) / sizeof(pieces[0]) };

/* Writes one node; `values` is how many numbered values exist, and grows. */
static size_t write_piece(char *to, const char *piece, bbw_rng *rng, unsigned *values) {
  size_t len = 0;
  for (; *piece != '\0'; piece++) {
    bool is_alone = (piece[1] == ' ' || piece[1] == '\0') && piece[-1] == ' ';
    if (is_alone && (*piece == 'A' || *piece == 'B')) {
      len += (size_t)sprintf(to + len, "v%u", (unsigned)bbw_rng_below(rng, *values));
    } else if (is_alone && *piece == 'N') {
      len += (size_t)sprintf(to + len, "v%u", (*values)++);
    } else {
      to[len++] = *piece;
    }
  }
  to[len++] = '\n';
  return len;
}

static size_t write_body(char *to, bbw_rng *rng, unsigned values, size_t count, bool is_library) {
  size_t len = 0;
  for (size_t i = 0; i < count; i++) {
    size_t piece = (size_t)bbw_rng_below(rng, PIECE_COUNT);
    /* F and G call nobody, so that calls end. */
    if (is_library && strstr(pieces[piece], "module::") != NULL) { piece = 0; }
    len += write_piece(to + len, pieces[piece], rng, &values);
  }
  return len;
}

bbw_node *node_script_install_random(uint64_t seed, uint64_t peer, const bbw_config *config, const bbw_mem *mem) {
  char text[8192];
  bbw_rng rng;
  bbw_rng_init(&rng, seed);
  size_t len = (size_t)sprintf(
      text, "slot model Model|StubModel\nslot sum Aggregator|FedAvg\nslot data DataSource|StubLoader\n"
            "target M v0 v1 -> v2 v3 v5\n");
  len += write_body(text + len, &rng, 2, 2 + (size_t)bbw_rng_below(&rng, 10), false);
  len += (size_t)sprintf(text + len, "function F v0 -> v1\n");
  len += write_body(text + len, &rng, 1, 1 + (size_t)bbw_rng_below(&rng, 3), true);
  len += (size_t)sprintf(text + len, "function G v0 v1 -> v3\n");
  len += write_body(text + len, &rng, 2, 1 + (size_t)bbw_rng_below(&rng, 4), true);
  len += (size_t)sprintf(text + len, "bootstrap B\nsyscall::Pulse -> v0\n");
  len += write_body(text + len, &rng, 1, 1 + (size_t)bbw_rng_below(&rng, 3), false);
  len += (size_t)sprintf(text + len, "bootstrap C k\nsyscall::PassThrough k -> v0\n");
  len += write_body(text + len, &rng, 1, 1 + (size_t)bbw_rng_below(&rng, 3), false);
  text[len - 1] = '\0';
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_str name = BBW_STR("M");
  bbw_node *node = install(artifact(&arena, text), &name, 1, peer, config, mem);
  bbw_arena_free(&arena);
  return node;
}

bool node_script_poll(bbw_node *node, node_script_log *log, void *ctx) {
  bbw_bytes steps = {NULL, 0};
  bool is_pending = false;
  bbw_status rv = bbw_node_poll(node, &steps, &is_pending, NULL);
  REQUIRE(rv == BBW_OK || rv == BBW_E_NOMEM);
  size_t at = 0;
  bbw_step step;
  while (bbw_steps_next(steps, &at, &step)) { REQUIRE(step.record.len >= 8 && at <= steps.len); }
  REQUIRE(at == steps.len);
  if (log != NULL) { log(ctx, rv, steps, is_pending); }
  return is_pending;
}

/* Number of a Recv of the first module, or any small number. */
static uint8_t recv_site(const bbw_node *node, uint8_t byte) {
  const bbw_graph *graph = node->module_count == 0 ? NULL : node->modules[0];
  for (uint32_t i = 0; graph != NULL && (byte & 16) == 0 && i < graph->site_count; i++) {
    uint32_t site = (i + byte) % graph->site_count;
    if (graph->sites[site].is_recv_payload && site < 16) { return (uint8_t)site; }
  }
  return byte & 15u;
}

/* An envelope with fills that mostly name a receiver, and at times a few bytes changed. */
static void inbound(bbw_node *node, node_script *s) {
  uint8_t suffixes[4][10], payloads[4][8 + 256];
  bbw_slot_fill fills[4];
  uint8_t flags = take(s);
  size_t count = flags & 3u;
  for (size_t i = 0; i < count; i++) {
    static const uint8_t head[10] = {0xe2, 0x01};
    memcpy(suffixes[i], head, sizeof(head));
    suffixes[i][9] = recv_site(node, take(s));
    bbw_type type = (bbw_type)(take(s) % BBW_TYPE_COUNT);
    bbw_bytes payload = take_some(s);
    if ((flags & 16) == 0 && type != BBW_TYPE_TRIGGER) { /* bytes that decode */
      type = BBW_TYPE_BYTES;
      memset(payloads[i], 0, 8);
      payloads[i][0] = (uint8_t)payload.len;
      if (payload.len != 0) { memcpy(payloads[i] + 8, payload.ptr, payload.len); }
      payload = (bbw_bytes){payloads[i], payload.len + 8};
    }
    fills[i] = (bbw_slot_fill){{suffixes[i], 10}, payload, type == BBW_TYPE_TRIGGER, bbw_type_hash(type)};
  }
  bbw_envelope envelope = {.fills = fills,
                           .fill_count = count,
                           .has_correlation = (flags & 4) != 0,
                           .correlation_kind = 1,
                           .wire_req_id = flags >> 5,
                           .remaining_deadline_ns = (flags & 8) != 0 ? 50 : 0,
                           .schema_version = 1};
  size_t size = bbw_envelope_size(&envelope);
  uint8_t *wire = malloc(size + 1);
  REQUIRE(wire != NULL);
  bbw_envelope_encode(&envelope, wire);
  uint8_t changes = take(s);
  for (unsigned i = changes < 64 ? changes & 3u : 0; i > 0 && size != 0; i--) { wire[take(s) % size] ^= take(s); }
  peer_bytes peer;
  peer_encode(&peer, take(s));
  (void)bbw_node_deliver_inbound(node, peer.bytes, (bbw_bytes){wire, size}, NULL);
  free(wire);
}

static void invoke(bbw_node *node, node_script *s, bool is_event) {
  if (bbw_node_module_count(node) == 0) { return; }
  const bbw_graph *graph = node->modules[take(s) % node->module_count];
  size_t declared = graph->function->input.count;
  bbw_named_bytes inputs[4];
  size_t count = is_event ? 1 : take(s) & 3u;
  for (size_t i = 0; i < count; i++) {
    bbw_str name = declared == 0 ? BBW_STR("x") : *BBW_PROTO_AT(&graph->function->input, bbw_str, take(s) % declared);
    inputs[i] = (bbw_named_bytes){name, take_some(s)};
  }
  uint64_t exec_id;
  if (is_event) {
    (void)bbw_node_deliver_event(node, graph->name, inputs[0].name, inputs[0].bytes, NULL);
  } else {
    (void)bbw_node_invoke(node, graph->name, inputs, count, &exec_id, NULL);
  }
}

static void complete(bbw_node *node, node_script *s) {
  bbw_typed_bytes results[3];
  uint64_t cmd_id = take(s) % (node->engine.async.next_cmd_id + 1);
  size_t count = take(s) & 3u;
  if (count > 3) { count = 3; }
  for (size_t i = 0; i < count; i++) {
    results[i].type_hash = bbw_type_hash((bbw_type)(take(s) % BBW_TYPE_COUNT));
    results[i].payload = take_some(s);
  }
  (void)bbw_node_complete(node, cmd_id, results, count, NULL);
}

static void peer_call(bbw_node *node, node_script *s) {
  static const uint8_t address[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 9};
  uint8_t what = take(s);
  peer_bytes peer;
  peer_encode(&peer, what >> 3);
  bbw_bytes list = {address, sizeof(address)};
  switch (what & 7) {
  case 0: (void)bbw_node_drop_peer(node, peer.bytes, NULL); break;
  case 1: (void)bbw_node_block_peer(node, peer.bytes, NULL); break;
  case 2: (void)bbw_node_unblock_peer(node, peer.bytes, NULL); break;
  case 3: (void)bbw_node_set_allowlist(node, &peer.bytes, what >> 7, NULL); break;
  case 4: (void)bbw_node_set_allowlist(node, NULL, 0, NULL); break;
  case 5: (void)bbw_node_send_failed(node, peer.bytes, take(s), BBW_STR("gone"), NULL); break;
  case 6:
    if ((what & 0x80) != 0 || !s->has_rooms) {
      (void)bbw_node_observe_peer(node, peer.bytes, list, NULL);
    } else {
      uint8_t room = take(s);
      (void)bbw_node_set_send_room(node, peer.bytes, room == 255 ? UINT64_MAX : 8u * room, NULL);
    }
    break;
  default: (void)bbw_node_add_peer(node, peer.bytes, &list, 1, NULL); break;
  }
}

static void tick(bbw_node *node, uint8_t byte) {
  static const uint64_t deltas[] = {0, 1, 5, 1000, 100000000, 3600000000000, UINT64_MAX / 4};
  uint64_t next;
  uint64_t now = node->engine.tick_ns;
  if (byte == 7 && bbw_node_next_timer(node, &next)) {
    (void)bbw_node_tick(node, next);
  } else if (byte == 8) {
    (void)bbw_node_tick(node, now / 2); /* backwards */
  } else {
    (void)bbw_node_tick(node, now + deltas[byte % 7]);
  }
}

static void bootstrap(bbw_node *node, node_script *s) {
  bool is_done;
  size_t targets = bbw_node_bootstrap_count(node);
  uint8_t what = take(s);
  if ((what & 1) != 0 || targets == 0) {
    (void)bbw_node_run_bootstrap(node, NULL, 0, NULL);
    return;
  }
  bbw_named_bytes inputs[2] = {{BBW_STR("k"), take_some(s)}, {BBW_STR("no"), take_some(s)}};
  while (targets > 1 && bbw_node_bootstrap_is_slot(node, targets - 1)) { targets--; }
  bbw_boot_request requests[2] = {
      {bbw_node_bootstrap_name(node, (what >> 1) % targets, &is_done), inputs, what >> 7},
      {bbw_node_bootstrap_name(node, (what >> 3) % targets, &is_done), inputs, what >> 6},
  };
  (void)bbw_node_run_bootstrap(node, requests, 1 + (what >> 5 & 1), NULL);
}

static void bootstrap_slot(bbw_node *node, uint8_t which) {
  size_t count = bbw_node_component_count(node);
  bbw_str slot = BBW_STR("no"), type_name;
  uint32_t roles;
  if (count != 0) { (void)bbw_node_component(node, which % count, &slot, &type_name, &roles, NULL); }
  (void)bbw_node_run_bootstrap_slots(node, &slot, 1, NULL);
}

static void configure(bbw_node *node, node_script *s) {
  bbw_config config = *bbw_node_get_config(node);
  uint8_t value = take(s);
  switch (take(s) % 9) {
  case 6: config.async_deadline_ns = value; break;
  case 7: config.backpressure_k_before_silent = value; break;
  case 8:
    config.backpressure_high_water_pct = value;
    config.backpressure_min_notice_interval_ns = value * 10u;
    break;
  case 0: config.bus_capacity = value; break;
  case 1: config.max_executions = value; break;
  case 2: config.cycle_op_budget = value; break;
  case 3: config.max_outbound_queue = value; break;
  case 4: config.max_pending_async = value; break;
  default: config.ingress_byte_budget = value * 16u; break;
  }
  (void)bbw_node_set_config(node, &config, NULL);
}

void node_script_call(bbw_node *node, node_script *s, test_mem *mem, node_script_log *log, void *ctx) {
  peer_bytes peer;
  switch (take(s) % 20) {
  case 18: (void)bbw_node_cancel(node, node->engine.next_exec_id - take(s) % 8u, NULL); break;
  case 19: bootstrap_slot(node, take(s)); break;
  case 0: invoke(node, s, true); break;
  case 1:
  case 2: invoke(node, s, false); break;
  case 3: inbound(node, s); break;
  case 4:
    peer_encode(&peer, take(s));
    (void)bbw_node_deliver_inbound(node, peer.bytes, take_some(s), NULL);
    break;
  case 5: tick(node, take(s)); break;
  case 6: complete(node, s); break;
  case 7: (void)bbw_node_fail(node, take(s), BBW_STR("no"), NULL); break;
  case 8: peer_call(node, s); break;
  case 9:
    if (mem != NULL) { mem->fail_at = (take(s) & 1) != 0 ? TEST_MEM_NEVER : mem->alloc_count + take(s) % 24; }
    break;
  case 10: bootstrap(node, s); break;
  case 11: configure(node, s); break;
  case 12: (void)bbw_node_fire_lifecycle(node, BBW_STR("start"), NULL); break;
  case 13:
    if ((take(s) & 7) == 0) { (void)bbw_node_clear(node, NULL); }
    break;
  default: (void)node_script_poll(node, log, ctx); break;
  }
}

void node_script_finish(bbw_node *node) {
  bbw_stats stats;
  node->engine.config.cycle_op_budget = 100000;
  node->engine.config.max_executions = 100000;
  for (unsigned round = 0;; round++) {
    REQUIRE(round < ROUNDS_MAX);
    for (size_t i = 0; i < node->engine.async.entries.count; i++) { /* ids may lie far apart after an import */
      const bbw_parked *parked = BBW_VEC_AT(&node->engine.async.entries, bbw_parked, i);
      if (parked->state != BBW_PARKED_FREE) { (void)bbw_node_fail(node, parked->cmd_id, BBW_STR("end"), NULL); }
    }
    bool is_pending = node_script_poll(node, NULL, NULL);
    bbw_node_stats(node, &stats);
    if (is_pending && stats.pending_async == 0 && stats.executions == 0) { break; }
  }
  REQUIRE(stats.ingress_depth == 0 && stats.frontier_len == 0 && stats.bus_len == 0);
  REQUIRE(stats.slot_table_occupied == 0 && stats.ingress_bytes_in_flight == stats.held_bytes);
}
