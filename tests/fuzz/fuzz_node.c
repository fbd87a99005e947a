/*
 * Any script of host calls: the node answers each, keeps its caps, and once everything parked is answered it holds nothing; deleted, it has given back every byte.
 *
 * Bytes 0 and 1 choose artifact and configuration; each further byte starts a call and is followed by its arguments.
 */
#include "artifact.h"
#include "bbw/address.h"
#include "bbw/envelope.h"
#include "bbw/step.h"
#include "fuzz.h"
#include "moody_components.h"
#include "node/node.h"
#include "test_mem.h"

#define CALLS_MAX  300
#define ROUNDS_MAX 2000

static const char *const models[] = {
    "target M x t -> y w z\nsyscall::After x -> a | delay_ns=5\nsyscall::Gate a t -> y\nsyscall::Limit.Acquire x -> g "
    "| name='l'\n"
    "syscall::Limit.Release g -> w | name='l'\nsyscall::Any x t -> z",
    "target M x -> y\nmodule::F x -> y\nfunction F p -> r\nmodule::G p -> q\nmodule::G q -> r\nfunction G p -> "
    "r\nmodule::H p -> q\nmodule::H q -> r\n"
    "function H p -> r\nsyscall::Sleep p -> q | duration_ns=3\nsyscall::PassThrough q -> r",
    "target M x peers -> d h y\nwire::Send x peers -> d h\nwire::Recv -> p s\nsyscall::DedupGateRx p -> "
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

typedef struct script {
  const uint8_t *at, *end;
} script;

static uint8_t take(script *s) { return s->at == s->end ? 0 : *s->at++; }
static bbw_bytes take_some(script *s) {
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

/* The artifact with all its targets, at most four. */
static bbw_node *install(uint8_t which, const bbw_config *config, const bbw_mem *mem) {
  static const uint8_t own_address[] = {0xa5, 0x03, 0x0a, 0x00, 0x08, 0, 0, 0, 0, 0, 0, 0, 1};
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_bytes bytes = {NULL, 0};
  bbw_str names[4];
  size_t count = 0;
  unsigned index = which % (unsigned)(MODEL_COUNT + FILE_COUNT);
  if (index < MODEL_COUNT) {
    bytes = artifact(&arena, models[index]);
    names[count++] = BBW_STR("M");
  } else {
    bytes = vector_model(&arena, files[index - MODEL_COUNT]);
    count = model_targets(&arena, bytes, names, 4);
  }
  bbw_bytes address = {own_address, sizeof(own_address)};
  bbw_install_options options = {.peer_id = bbw_peer_id_from_u64(1),
                                 .addresses = &address,
                                 .address_count = 1,
                                 .model = bytes,
                                 .targets = names,
                                 .target_count = count,
                                 .config = config,
                                 .is_unresolved_allowed = true};
  options.component_types = moody_component_types(&options.component_type_count);
  bbw_node *node = NULL;
  (void)bbw_node_install(&node, &options, mem, NULL);
  bbw_arena_free(&arena);
  return node;
}

/* No count passes its cap; what was above a cap that a call has lowered does not grow. */
static void check(const bbw_node *node, bbw_stats *before) {
  bbw_stats stats;
  bbw_node_stats(node, &stats);
  const bbw_config *config = &node->engine.config;
  REQUIRE(stats.ingress_bytes_in_flight <= config->ingress_byte_budget ||
          stats.ingress_bytes_in_flight <= before->ingress_bytes_in_flight);
  REQUIRE(stats.executions <= config->max_executions || stats.executions <= before->executions);
  REQUIRE(stats.pending_async <= config->max_pending_async || stats.pending_async <= before->pending_async);
  *before = stats;
}

/* Polls; the records must tile the buffer. */
static bool poll(bbw_node *node) {
  bbw_bytes steps = {NULL, 0};
  bool is_pending = false;
  bbw_status rv = bbw_node_poll(node, &steps, &is_pending, NULL);
  REQUIRE(rv == BBW_OK || rv == BBW_E_NOMEM);
  if (rv != BBW_OK) { return false; }
  size_t at = 0;
  bbw_step step;
  while (bbw_steps_next(steps, &at, &step)) { REQUIRE(step.record.len >= 8 && at <= steps.len); }
  REQUIRE(at == steps.len);
  return is_pending;
}

/* An envelope with fills that mostly name a site, then a few bytes changed. */
static void inbound(bbw_node *node, script *s) {
  uint8_t suffixes[4][10];
  bbw_slot_fill fills[4];
  uint8_t flags = take(s);
  size_t count = flags & 3u;
  for (size_t i = 0; i < count; i++) {
    static const uint8_t head[10] = {0xe2, 0x01};
    memcpy(suffixes[i], head, sizeof(head));
    suffixes[i][9] = take(s) & 15u;
    bbw_type type = (bbw_type)(take(s) % BBW_TYPE_COUNT);
    fills[i] = (bbw_slot_fill){{suffixes[i], 10}, take_some(s), type == BBW_TYPE_TRIGGER, bbw_type_hash(type)};
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
  for (unsigned i = take(s) & 3u; i > 0 && size != 0; i--) { wire[take(s) % size] ^= take(s); }
  peer_bytes peer;
  peer_encode(&peer, take(s));
  (void)bbw_node_deliver_inbound(node, peer.bytes, (bbw_bytes){wire, size}, NULL);
  free(wire);
}

static void invoke(bbw_node *node, script *s, bool is_event) {
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

static void complete(bbw_node *node, script *s) {
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

static void peer_call(bbw_node *node, script *s) {
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

static void bootstrap(bbw_node *node, script *s) {
  bool is_done;
  size_t targets = bbw_node_bootstrap_count(node);
  uint8_t what = take(s);
  if ((what & 1) != 0 || targets == 0) {
    (void)bbw_node_run_bootstrap(node, NULL, 0, NULL);
    return;
  }
  bbw_named_bytes inputs[2] = {{BBW_STR("k"), take_some(s)}, {BBW_STR("no"), take_some(s)}};
  bbw_boot_request requests[2] = {
      {bbw_node_bootstrap_name(node, (what >> 1) % targets, &is_done), inputs, what >> 7},
      {bbw_node_bootstrap_name(node, (what >> 3) % targets, &is_done), inputs, what >> 6},
  };
  (void)bbw_node_run_bootstrap(node, requests, 1 + (what >> 5 & 1), NULL);
}

static void configure(bbw_node *node, script *s) {
  bbw_config config = *bbw_node_get_config(node);
  uint8_t value = take(s);
  switch (take(s) % 6) {
  case 0: config.bus_capacity = value; break;
  case 1: config.max_executions = value; break;
  case 2: config.cycle_op_budget = value; break;
  case 3: config.max_outbound_queue = value; break;
  case 4: config.max_pending_async = value; break;
  default: config.ingress_byte_budget = value * 16u; break;
  }
  (void)bbw_node_set_config(node, &config, NULL);
}

static void call(bbw_node *node, script *s, test_mem *mem) {
  switch (take(s) % 16) {
  case 0: invoke(node, s, true); break;
  case 1:
  case 2: invoke(node, s, false); break;
  case 3: inbound(node, s); break;
  case 4: {
    peer_bytes peer;
    peer_encode(&peer, take(s));
    (void)bbw_node_deliver_inbound(node, peer.bytes, take_some(s), NULL);
    break;
  }
  case 5: tick(node, take(s)); break;
  case 6: complete(node, s); break;
  case 7: (void)bbw_node_fail(node, take(s), BBW_STR("no"), NULL); break;
  case 8: peer_call(node, s); break;
  case 9: mem->fail_at = (take(s) & 1) != 0 ? TEST_MEM_NEVER : mem->alloc_count + take(s) % 24; break;
  case 10: bootstrap(node, s); break;
  case 11: configure(node, s); break;
  case 12: (void)bbw_node_fire_lifecycle(node, BBW_STR("start"), NULL); break;
  case 13:
    if ((take(s) & 7) == 0) { (void)bbw_node_clear(node, NULL); }
    break;
  default: (void)poll(node); break;
  }
}

/* Everything parked is answered; then nothing may be left. */
static void finish(bbw_node *node) {
  bbw_stats stats;
  node->engine.config.cycle_op_budget = 100000;
  node->engine.config.max_executions = 100000;
  for (unsigned round = 0;; round++) {
    REQUIRE(round < ROUNDS_MAX);
    for (uint64_t id = 0; id < node->engine.async.next_cmd_id; id++) {
      if (bbw_async_find(&node->engine.async, id) != NULL) { (void)bbw_node_fail(node, id, BBW_STR("end"), NULL); }
    }
    bool is_pending = poll(node);
    bbw_node_stats(node, &stats);
    if (is_pending && stats.pending_async == 0 && stats.executions == 0) { break; }
  }
  REQUIRE(stats.ingress_depth == 0 && stats.frontier_len == 0 && stats.bus_len == 0);
  REQUIRE(stats.slot_table_occupied == 0 && stats.ingress_bytes_in_flight == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  test_mem mem;
  test_mem_init(&mem);
  mem.limit_bytes = 64u << 20;
  script s = {data, data + len};
  uint8_t which = take(&s);
  uint8_t flags = take(&s);
  bbw_config config;
  bbw_config_init(&config);
  if ((flags & 1) != 0) { config.cycle_op_budget = 1 + (flags >> 6); }
  if ((flags & 2) != 0) { config.max_executions = 1 + (flags >> 6); }
  if ((flags & 4) != 0) { config.ingress_byte_budget = 200; }
  if ((flags & 8) != 0) { config.max_pending_async = 2; }
  if ((flags & 16) != 0) { config.bus_capacity = 1; }
  if ((flags & 32) != 0) { config.max_outbound_queue = 1; }
  config.step_mask = (flags & 64) != 0 ? 0 : UINT64_MAX;
  bbw_node *node = install(which, &config, &mem.mem);
  bbw_stats before = {.executions = 0};
  for (unsigned n = 0; node != NULL && n < CALLS_MAX && s.at != s.end; n++) {
    call(node, &s, &mem);
    check(node, &before);
  }
  mem.fail_at = TEST_MEM_NEVER;
  if (node != NULL) { finish(node); }
  bbw_node_del(node);
  REQUIRE(mem.live_bytes == 0 && mem.live_count == 0);
  return 0;
}
