/* host: one Node, and what a host does with it.  Every call is made on the twin too, when there is one, and has to be answered alike. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define POLLS_MAX     64u /* in a row, before the host lets others run */
#define ADDRESSES_MAX 16u /* that a Node keeps of a peer (docs/COMPATIBILITY.md) */

/* ---- peers ---- */

size_t sim_peer_bytes(uint32_t index, uint8_t out[BBW_PEER_ID_BYTES_MAX]) {
  bbw_peer_id peer = bbw_peer_id_from_u64((uint64_t)index + 1);
  return bbw_peer_id_encode(&peer, out);
}

bool sim_peer_index(bbw_bytes peer, uint32_t *out) {
  bbw_peer_id id;
  uint64_t number;
  if (bbw_peer_id_decode(&id, peer, NULL) != BBW_OK || !bbw_peer_id_as_u64(&id, &number) || number == 0 ||
      number > UINT32_MAX) {
    return false;
  }
  *out = (uint32_t)number - 1;
  return true;
}

size_t sim_peer_list(const uint32_t *peers, size_t count, uint8_t *out) {
  size_t len = 8;
  sim_store_u64(out, count);
  for (size_t i = 0; i < count; i++) {
    size_t size = sim_peer_bytes(peers[i], out + len + 8);
    sim_store_u64(out + len, size);
    len += 8 + size;
  }
  return len;
}

static bbw_bytes p2p_address(uint32_t index, uint8_t out[96]) {
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  bbw_segment segment = {.kind = BBW_SEGMENT_P2P, .bytes = {peer, sim_peer_bytes(index, peer)}};
  size_t len = 0;
  (void)bbw_address_append(out, 96, &len, &segment);
  return (bbw_bytes){out, len};
}

/* ---- what the application knows ---- */

void sim_host_free(sim_host *host) {
  free(host->requests);
  free(host->early);
  free(host->commands);
  free(host->blocked);
  free(host->allowed);
  sim_buf_free(&host->model);
  memset(host, 0, sizeof(*host));
}

static void *copy_of(const void *items, size_t bytes) {
  if (items == NULL) { return NULL; }
  void *copy = sim_alloc(bytes);
  memcpy(copy, items, bytes);
  return copy;
}

void sim_host_copy(sim *s, sim_host *to, const sim_host *from) {
  sim_host_free(to);
  *to = *from;
  to->requests = copy_of(from->requests, from->request_cap * sizeof(*from->requests));
  to->early = copy_of(from->early, from->early_cap * sizeof(*from->early));
  to->commands = copy_of(from->commands, from->command_cap * sizeof(*from->commands));
  to->blocked = copy_of(from->blocked, s->node_count);
  to->allowed = copy_of(from->allowed, s->node_count);
  to->model = (sim_buf){NULL, 0, 0};
  sim_buf_put(&to->model, from->model.bytes, from->model.len);
}

/* ---- the clock of a host ---- */

uint64_t sim_clock(const sim_node *n) {
  int64_t passed = (int64_t)(n->sim->now_ns - n->clock_at_ns);
  return n->clock_ns + (uint64_t)(passed + passed / 1000000 * n->drift_ppm);
}

void sim_clock_jump(sim_node *n, int64_t by_ns) {
  uint64_t now_ns = sim_clock(n);
  n->clock_at_ns = n->sim->now_ns;
  n->clock_ns = by_ns < 0 && now_ns < (uint64_t)-by_ns ? 0 : now_ns + (uint64_t)by_ns;
}

/* When the host's clock will show a time, or a little later. */
static uint64_t when_clock_shows(const sim_node *n, uint64_t local_ns) {
  uint64_t now_ns = sim_clock(n);
  if (local_ns <= now_ns) { return n->sim->now_ns; }
  uint64_t wait_ns = local_ns - now_ns;
  if (wait_ns > SIM_NEVER / 4) { return SIM_NEVER; }
  return n->sim->now_ns + wait_ns + wait_ns / 1000 + 2 * 1000000 / 1000;
}

/* ---- life ---- */

static bbw_node *install_one(sim_node *n, const bbw_mem *mem) {
  sim *s = n->sim;
  uint8_t address_bytes[96];
  bbw_bytes address = p2p_address(n->index, address_bytes);
  bbw_str target = {n->target, strlen(n->target)};
  sim_buf onnx = sim_model(s->scenario == &sim_gossip ? s->options.seed + n->index : s->options.seed);
  bbw_slot_config slot = {BBW_STR("model"), {onnx.bytes, onnx.len}};
  bbw_config config = s->config;
  config.rng_seed = sim_mix(s->options.seed ^ (uint64_t)n->index << 32 ^ n->life);
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64((uint64_t)n->index + 1),
      .addresses = &address,
      .address_count = 1,
      .model = {n->model->bytes, n->model->len},
      .targets = &target,
      .target_count = 1,
      .component_types = s->types,
      .component_type_count = 2,
      .slot_configs = &slot,
      .slot_config_count = 1,
      .config = &config,
      .is_mem_pooled = true,
  };
  bbw_node *node = NULL;
  static bbw_error err; /* too large for a small stack; a run has one thread */
  bbw_status rv = bbw_node_install(&node, &options, mem, &err);
  sim_buf_free(&onnx);
  if (rv != BBW_OK) {
    bbw_str name = bbw_status_name(rv), detail = bbw_error_field(&err, "detail");
    bbw_str item = bbw_error_item(&err, "nodes", 0);
    sim_fail(s, n, "install: %.*s %.*s %.*s", (int)name.len, name.ptr, (int)detail.len, detail.ptr, (int)item.len,
             item.ptr);
  }
  return node;
}

void sim_install(sim_node *n) {
  sim *s = n->sim;
  n->life++;
  n->state = SIM_UP;
  n->wake_ns = SIM_NEVER;
  n->is_dirty = false;
  sim_mem_init(&n->mem, &s->pool, &s->live_bytes);
  n->node = install_one(n, &n->mem.mem);
  if (n->node == NULL) { return; }
  bool is_restored = n->snapshot.len != 0;
  if (is_restored) {
    bbw_status rv = bbw_node_restore(n->node, (bbw_bytes){n->snapshot.bytes, n->snapshot.len}, NULL);
    if (rv != BBW_OK) {
      bbw_str name = bbw_status_name(rv);
      sim_fail(s, n, "restore: %.*s", (int)name.len, name.ptr);
      return;
    }
    sim_host_copy(s, &n->host, &n->saved);
    for (size_t i = 0; i < n->host.command_count; i++) {
      uint64_t delay_ns = sim_rng_between(&s->app, s->work_min_ns, s->work_max_ns);
      sim_at(s, s->now_ns + delay_ns, SIM_COMPLETE, n, n->host.commands[i], NULL);
    }
  } else {
    sim_host_free(&n->host);
  }
  sim_trace(s, n, "%s%s", n->life == 1 ? "installed" : "installed again", is_restored ? ", restored" : "");
  s->scenario->installed(s, n, is_restored);
  if (s->live_bytes > s->peak_bytes) { s->peak_bytes = s->live_bytes; }
  sim_touch(n);
}

static void check_empty(sim_node *n, const sim_mem *mem, const char *what) {
  if (mem->live_bytes == 0 && mem->live_count == 0) { return; }
  sim_fail(n->sim, n, "%s has not given back %llu blocks, %llu bytes", what, (unsigned long long)mem->live_count,
           (unsigned long long)mem->live_bytes);
}

void sim_untwin(sim_node *n) {
  if (n->twin == NULL) { return; }
  bbw_node_del(n->twin);
  n->twin = NULL;
  check_empty(n, &n->twin_mem, "the twin");
}

void sim_uninstall(sim_node *n) {
  sim_untwin(n);
  bbw_node_del(n->node);
  n->node = NULL;
  check_empty(n, &n->mem, "the Node");
}

static bool snapshot_of(sim_node *n, const bbw_node *node, sim_buf *out) {
  uint8_t *bytes;
  size_t len;
  out->len = 0;
  bbw_status rv = bbw_node_snapshot(node, &bytes, &len, &bbw_mem_libc, NULL);
  if (rv != BBW_OK) {
    sim_fail(n->sim, n, "snapshot: status %d", (int)rv);
    return false;
  }
  sim_buf_put(out, bytes, len);
  bbw_mem_libc.free(NULL, bytes, len);
  return true;
}

void sim_save(sim_node *n) {
  if (!snapshot_of(n, n->node, &n->snapshot)) { return; }
  sim_note_bytes(n->sim, n->snapshot.bytes, n->snapshot.len);
  sim_host_copy(n->sim, &n->saved, &n->host);
  n->asked_count = 0;
}

void sim_twin(sim_node *n) {
  sim_buf bytes = {NULL, 0, 0};
  /* What waits is marked in the twin as perhaps sent before, and what its transport takes is not in a snapshot. */
  if (n->twin != NULL || sim_is_slow(n) || !snapshot_of(n, n->node, &bytes)) { return; }
  sim_mem_init(&n->twin_mem, &n->sim->pool, &n->sim->live_bytes);
  n->twin = install_one(n, &n->twin_mem.mem);
  if (n->twin != NULL) {
    bbw_status rv = bbw_node_restore(n->twin, (bbw_bytes){bytes.bytes, bytes.len}, NULL);
    if (rv != BBW_OK) { sim_fail(n->sim, n, "restore of a twin: status %d", (int)rv); }
  }
  sim_buf_free(&bytes);
}

/* ---- work in ---- */

void sim_touch(sim_node *n) {
  sim *s = n->sim;
  uint64_t at_ns = s->now_ns + s->poll_every_ns;
  n->is_dirty = true;
  if (n->wake_ns <= at_ns || n->state != SIM_UP) { return; }
  n->wake_ns = at_ns;
  sim_at(s, at_ns, SIM_WAKE, n, n->life, NULL);
}

static bbw_status both(sim_node *n, bbw_status rv, bbw_status other, const char *what) {
  if (n->twin != NULL && rv != other) {
    sim_fail(n->sim, n, "twin: %s answers %d, the Node %d", what, (int)other, (int)rv);
  }
  sim_note(n->sim, (uint64_t)(int64_t)rv);
  sim_touch(n);
  return rv;
}

bbw_status sim_receive(sim_node *n, uint32_t from, bbw_bytes envelope) {
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes sender = {peer, sim_peer_bytes(from, peer)};
  bbw_status rv = bbw_node_deliver_inbound(n->node, sender, envelope, NULL), other = rv;
  if (n->twin != NULL) { other = bbw_node_deliver_inbound(n->twin, sender, envelope, NULL); }
  if (rv == BBW_OK) { n->sim->delivered++; }
  if (n->sim->options.is_traced) {
    bbw_str name = bbw_status_name(rv);
    sim_trace(n->sim, n, "gets %zu bytes from n%u, request %llu%s%.*s", envelope.len, (unsigned)from,
              (unsigned long long)sim_request_id(envelope), rv == BBW_OK ? "" : ": ", rv == BBW_OK ? 0 : (int)name.len,
              name.ptr);
  }
  return both(n, rv, other, "deliver_inbound");
}

void sim_send_failed(sim_node *n, uint32_t peer, uint64_t request_id) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes id = {bytes, sim_peer_bytes(peer, bytes)};
  bbw_status rv = bbw_node_send_failed(n->node, id, request_id, BBW_STR("no route"), NULL), other = rv;
  if (n->twin != NULL) { other = bbw_node_send_failed(n->twin, id, request_id, BBW_STR("no route"), NULL); }
  sim_trace(n->sim, n, "is told that request %llu did not reach n%u", (unsigned long long)request_id, (unsigned)peer);
  (void)both(n, rv, other, "send_failed");
}

bbw_status sim_tell(sim_node *n, const char *input, bbw_bytes bytes) {
  bbw_str module = {n->target, strlen(n->target)}, name = {input, strlen(input)};
  bbw_status rv = bbw_node_deliver_event(n->node, module, name, bytes, NULL), other = rv;
  if (n->twin != NULL) { other = bbw_node_deliver_event(n->twin, module, name, bytes, NULL); }
  sim_trace(n->sim, n, "application: %s (%d)", input, (int)rv);
  return both(n, rv, other, "deliver_event");
}

bbw_status sim_invoke(sim_node *n, const bbw_named_bytes *inputs, size_t count, uint64_t *exec_id) {
  bbw_str module = {n->target, strlen(n->target)};
  uint64_t other_id = 0;
  *exec_id = 0;
  bbw_status rv = bbw_node_invoke(n->node, module, inputs, count, exec_id, NULL), other = rv;
  if (n->twin != NULL) { other = bbw_node_invoke(n->twin, module, inputs, count, &other_id, NULL); }
  if (n->twin != NULL && rv == BBW_OK && *exec_id != other_id) {
    sim_fail(n->sim, n, "twin: invoke gives another execution");
  }
  return both(n, rv, other, "invoke");
}

bbw_status sim_complete(sim_node *n, uint64_t cmd_id, const bbw_typed_bytes *results, size_t count) {
  bbw_status rv = bbw_node_complete(n->node, cmd_id, results, count, NULL), other = rv;
  if (n->twin != NULL) { other = bbw_node_complete(n->twin, cmd_id, results, count, NULL); }
  sim_trace(n->sim, n, "command %llu completed (%d)", (unsigned long long)cmd_id, (int)rv);
  return both(n, rv, other, "complete");
}

void sim_know(sim_node *n, uint32_t peer) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX], address_bytes[96];
  bbw_bytes id = {bytes, sim_peer_bytes(peer, bytes)}, address = p2p_address(peer, address_bytes);
  bbw_status rv = bbw_node_add_peer(n->node, id, &address, 1, NULL);
  if (n->twin != NULL) { (void)both(n, rv, bbw_node_add_peer(n->twin, id, &address, 1, NULL), "add_peer"); }
  if (rv != BBW_OK) { sim_fail(n->sim, n, "add_peer: status %d", (int)rv); }
}

void sim_room(sim_node *n, uint32_t peer, uint64_t bytes) {
  uint8_t buf[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes id = {buf, sim_peer_bytes(peer, buf)};
  bbw_status rv = bbw_node_set_send_room(n->node, id, bytes, NULL), other = rv;
  if (n->twin != NULL) { other = bbw_node_set_send_room(n->twin, id, bytes, NULL); }
  sim_trace(n->sim, n, "its transport takes %lld bytes for n%u", (long long)bytes, (unsigned)peer);
  if (both(n, rv, other, "set_send_room") != BBW_OK) { sim_fail(n->sim, n, "set_send_room: status %d", (int)rv); }
}

void sim_block(sim_node *n, uint32_t peer, bool is_blocked) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes id = {bytes, sim_peer_bytes(peer, bytes)};
  bbw_status rv = is_blocked ? bbw_node_block_peer(n->node, id, NULL) : bbw_node_unblock_peer(n->node, id, NULL);
  if (n->twin != NULL) {
    bbw_status other = is_blocked ? bbw_node_block_peer(n->twin, id, NULL) : bbw_node_unblock_peer(n->twin, id, NULL);
    (void)both(n, rv, other, "block_peer");
  }
  if (rv != BBW_OK) { sim_fail(n->sim, n, "block_peer: status %d", (int)rv); }
  if (n->host.blocked == NULL) { n->host.blocked = sim_alloc(n->sim->node_count); }
  n->host.blocked[peer] = is_blocked;
  sim_trace(n->sim, n, "%s n%u", is_blocked ? "blocks" : "unblocks", (unsigned)peer);
}

void sim_allow(sim_node *n, const bool *allowed) {
  sim *s = n->sim;
  uint8_t(*ids)[BBW_PEER_ID_BYTES_MAX] = sim_alloc(s->node_count * sizeof(*ids));
  bbw_bytes *list = sim_alloc(s->node_count * sizeof(*list));
  size_t count = 0;
  for (uint32_t i = 0; allowed != NULL && i < s->node_count; i++) {
    if (!allowed[i]) { continue; }
    list[count] = (bbw_bytes){ids[count], sim_peer_bytes(i, ids[count])};
    count++;
  }
  bbw_status rv = bbw_node_set_allowlist(n->node, allowed == NULL ? NULL : list, count, NULL);
  if (n->twin != NULL) {
    (void)both(n, rv, bbw_node_set_allowlist(n->twin, allowed == NULL ? NULL : list, count, NULL), "set_allowlist");
  }
  if (rv != BBW_OK) { sim_fail(s, n, "set_allowlist: status %d", (int)rv); }
  free(ids);
  free(list);
  free(n->host.allowed);
  n->host.allowed = copy_of(allowed, s->node_count);
  sim_trace(s, n, allowed == NULL ? "allows everybody" : "allows only %zu peers", count);
}

bool sim_accepts(const sim_node *n, uint32_t peer) {
  if (n->host.blocked != NULL && n->host.blocked[peer]) { return false; }
  return n->host.allowed == NULL || n->host.allowed[peer];
}

bool sim_is_idle(const sim_node *n) {
  bbw_stats stats;
  bbw_node_stats(n->node, &stats);
  return !n->is_dirty && stats.executions == 0 && stats.ingress_depth == 0;
}

void sim_check_rest(sim_node *n) {
  bbw_stats st;
  uint64_t at_ns;
  bbw_node_stats(n->node, &st);
  uint64_t left = st.frontier_len + st.bus_len + st.pending_async + st.slot_table_occupied + st.ingress_depth +
                  st.outbound_queue_depth + st.executions + st.ingress_bytes_in_flight;
  if (left != 0) {
    sim_fail(n->sim, n,
             "is not at rest: %llu ready, %llu parked, %llu slots, %llu queued, %llu executions, %llu bytes in flight",
             (unsigned long long)st.frontier_len, (unsigned long long)st.pending_async,
             (unsigned long long)st.slot_table_occupied, (unsigned long long)st.ingress_depth,
             (unsigned long long)st.executions, (unsigned long long)st.ingress_bytes_in_flight);
  }
  if (bbw_node_next_timer(n->node, &at_ns)) { sim_fail(n->sim, n, "still waits for a time, although nothing goes on"); }
}

void sim_check_book(sim_node *n) {
  for (size_t i = 0;; i++) {
    const bbw_peer_id *peer = bbw_node_known_peer(n->node, i);
    if (peer == NULL) { return; }
    uint8_t id[BBW_PEER_ID_BYTES_MAX], own[96];
    bbw_bytes bytes = {id, bbw_peer_id_encode(peer, id)};
    const bbw_bytes *addresses;
    size_t count;
    uint32_t index;
    if (!bbw_node_peer_addresses(n->node, bytes, &addresses, &count)) { continue; }
    if (count > ADDRESSES_MAX) { sim_fail(n->sim, n, "knows %zu addresses of one peer", count); }
    if (!sim_peer_index(bytes, &index) || index >= n->sim->node_count) {
      sim_fail(n->sim, n, "knows a peer that does not exist");
      return;
    }
    bbw_bytes only = p2p_address(index, own);
    bool is_own = count == 1 && addresses[0].len == only.len && memcmp(addresses[0].ptr, only.ptr, only.len) == 0;
    if (!n->sim->nodes[index].is_liar && !is_own) {
      sim_fail(n->sim, n, "believes an address of n%u that it never had", (unsigned)index);
    }
  }
}

/* ---- work out ---- */

static void trace_step(sim_node *n, const bbw_step *step) {
  bbw_str name = bbw_step_name(step->kind), topic = bbw_step_text(step, "topic");
  bbw_str reason = bbw_step_text(step, "reason"), detail = bbw_step_text(step, "detail");
  bbw_str kind = bbw_step_text(step, "kind");
  uint32_t peer = 0;
  bool has_peer = sim_peer_index(bbw_step_bytes(step, step->kind == BBW_STEP_WIRE_RECEIVE_FAILED ? "src_peer" : "peer"),
                                 &peer);
  char to[16] = "";
  if (has_peer) { (void)snprintf(to, sizeof(to), " n%u", (unsigned)peer); }
  sim_trace(n->sim, n, "%.*s%s %.*s%.*s %.*s %.*s", (int)name.len, name.ptr, to, (int)topic.len, topic.ptr,
            (int)kind.len, kind.ptr, (int)reason.len, reason.ptr, (int)detail.len, detail.ptr);
}

bool sim_is_gullible(const sim *s) { return s->scenario == &sim_churn && s->node_count > s->honest_count; }

static void send(sim_node *n, const bbw_step *step) {
  sim *s = n->sim;
  uint32_t to;
  if (!sim_peer_index(bbw_step_bytes(step, "peer"), &to)) {
    if (sim_is_gullible(s)) { return; }
    sim_fail(s, n, "sends to a peer that there never was");
    return;
  }
  if (to >= s->node_count) { return; } /* a number that a liar has made up */
  sim_send(s, n, to, sim_message_new(s, n->index, bbw_step_bytes(step, "bytes")));
}

static void act(sim_node *n, const bbw_step *step) {
  sim *s = n->sim;
  n->steps++;
  if (s->options.is_traced && step->kind != BBW_STEP_OP_COMPLETED) { trace_step(n, step); }
  if (step->kind == BBW_STEP_SEND_ENVELOPE) {
    send(n, step);
  } else if (step->kind == BBW_STEP_APP_EVENT) {
    /* One with the name of a module is the echo of what the host gave. */
    if (bbw_step_bytes(step, "module_name").len == 0) {
      s->scenario->output(s, n, bbw_step_text(step, "topic"), bbw_step_bytes(step, "value_bytes"));
    }
  } else {
    bool is_lost = step->kind == BBW_STEP_WIRE_RECEIVE_FAILED || step->kind == BBW_STEP_OUTBOUND_DROPPED;
    if (step->kind == BBW_STEP_WIRE_RECEIVE_FAILED) { n->host.receive_failures++; }
    s->lost += is_lost;
    s->scenario->step(s, n, step);
  }
}

/* Limits and ledgers between two calls. */
static void check_bounds(sim_node *n, bool is_pending) {
  bbw_stats st;
  bbw_node_stats(n->node, &st);
  const bbw_config *c = &n->sim->config;
  struct {
    const char *what;
    uint64_t is, max;
  } rows[] = {
      {"executions", st.executions, c->max_executions},
      {"parked operators", st.pending_async, c->max_pending_async},
      {"queued events", st.ingress_depth, c->bus_capacity * 4},
      {"events on the bus", st.bus_len, c->bus_capacity},
      {"bytes in flight", st.ingress_bytes_in_flight, c->ingress_byte_budget},
      {"queued envelopes after a poll", st.outbound_queue_depth, sim_is_slow(n) ? c->max_outbound_queue : 0},
      {"ready operators of an idle Node", is_pending ? st.frontier_len : 0, 0},
      {"filled slots without an execution", st.executions == 0 ? st.slot_table_occupied : 0, 0},
      {"bytes held without an execution",
       st.executions == 0 && st.ingress_depth == 0 ? st.ingress_bytes_in_flight - st.held_bytes : 0, 0},
      {"parked operators without an execution", st.executions == 0 ? st.pending_async : 0, 0},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    if (rows[i].is <= rows[i].max) { continue; }
    sim_fail(n->sim, n, "%s: %llu, at most %llu are allowed", rows[i].what, (unsigned long long)rows[i].is,
             (unsigned long long)rows[i].max);
  }
}

static void check_twin(sim_node *n, bbw_status rv, bbw_bytes steps, bool is_pending) {
  bbw_bytes other;
  bool other_pending;
  n->sim->is_twin_polled = true;
  bbw_status other_rv = bbw_node_poll(n->twin, &other, &other_pending, NULL);
  n->sim->is_twin_polled = false;
  bool is_alike = other_rv == rv && other_pending == is_pending && other.len == steps.len &&
                  (steps.len == 0 || memcmp(other.ptr, steps.ptr, steps.len) == 0);
  if (!is_alike) {
    sim_fail(n->sim, n, "twin: a poll gives %zu bytes of steps, the Node's %zu bytes, or others", other.len, steps.len);
  }
}

/* What one slice of a training takes. */
#define SLICE_NS (50 * SIM_MS)

void sim_wake(sim_node *n) {
  sim *s = n->sim;
  uint64_t now_ns = sim_clock(n), timer_ns;
  n->is_dirty = false;
  (void)bbw_node_tick(n->node, now_ns);
  if (n->twin != NULL) { (void)bbw_node_tick(n->twin, now_ns); }
  bool is_pending = false;
  for (uint32_t i = 0; i < POLLS_MAX && !is_pending && !s->is_failed; i++) {
    bbw_bytes steps;
    bbw_status rv = bbw_node_poll(n->node, &steps, &is_pending, NULL);
    s->polls++;
    if (rv != BBW_OK) {
      sim_fail(s, n, "poll: status %d", (int)rv);
      return;
    }
    if (n->twin != NULL) { check_twin(n, rv, steps, is_pending); }
    sim_note_bytes(s, steps.ptr, steps.len);
    size_t at = 0, seen = 0;
    for (bbw_step step; bbw_steps_next(steps, &at, &step); seen += step.record.len) { act(n, &step); }
    if (seen != steps.len) { sim_fail(s, n, "the records do not fill the buffer of the steps"); }
    check_bounds(n, is_pending);
  }
  if (s->live_bytes > s->peak_bytes) { s->peak_bytes = s->live_bytes; }
  if (s->is_failed) { return; }
  uint64_t at_ns = SIM_NEVER;
  if (!is_pending) {
    at_ns = s->now_ns + SIM_MS;
  } else if (bbw_node_next_timer(n->node, &timer_ns)) {
    at_ns = when_clock_shows(n, timer_ns);
    if (at_ns <= s->now_ns) {
      at_ns = s->now_ns + SLICE_NS;
    } /* a training goes on: a slice of it takes time, in which other things happen */
  }
  if (at_ns < n->wake_ns) {
    n->wake_ns = at_ns;
    sim_at(s, at_ns, SIM_WAKE, n, n->life, NULL);
  }
}
