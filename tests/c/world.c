#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "bbw/address.h"
#include "bbw/envelope.h"
#include "base/bytes.h"
#include "node/node.h"

static bbw_bytes peer_bytes(size_t number, uint8_t out[BBW_PEER_ID_BYTES_MAX]) {
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  return (bbw_bytes){out, bbw_peer_id_encode(&peer, out)};
}

static bbw_bytes p2p(size_t number, uint8_t out[64]) {
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  bbw_segment segment = {.kind = BBW_SEGMENT_P2P, .bytes = peer_bytes(number, peer)};
  size_t len = 0;
  assert_int_equal(bbw_address_append(out, 64, &len, &segment), BBW_OK);
  return (bbw_bytes){out, len};
}

world_node *world_at(world *w, size_t number) {
  assert_true(number >= 1 && number <= w->count);
  return &w->nodes[number - 1];
}

void world_begin(world *w, size_t count, const char *text, uint64_t seed) {
  const char *texts[WORLD_NODES_MAX];
  for (size_t i = 0; i < WORLD_NODES_MAX; i++) { texts[i] = text; }
  world_begin_each(w, count, texts, seed);
}

void world_begin_each(world *w, size_t count, const char *const *texts, uint64_t seed) {
  memset(w, 0, sizeof(*w));
  assert_true(count <= WORLD_NODES_MAX);
  w->count = count;
  w->step_ns = WORLD_MS;
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  for (size_t number = 1; number <= count; number++) {
    world_node *n = world_at(w, number);
    test_mem_init(&n->mem);
    uint8_t bytes[64];
    bbw_bytes address = p2p(number, bytes);
    bbw_str target = BBW_STR("M");
    bbw_config config;
    bbw_config_init(&config);
    config.rng_seed = seed == 0 ? 0 : seed + number;
    bbw_install_options options = {.peer_id = bbw_peer_id_from_u64(number),
                                   .addresses = &address,
                                   .address_count = 1,
                                   .model = artifact(&arena, texts[number - 1]),
                                   .targets = &target,
                                   .target_count = 1,
                                   .config = &config};
    assert_int_equal(bbw_node_install(&n->node, &options, &n->mem.mem, NULL), BBW_OK);
  }
  bbw_arena_free(&arena);
}

void world_end(world *w) {
  for (size_t i = 0; i < w->message_count; i++) { free(w->messages[i].bytes); }
  for (size_t number = 1; number <= w->count; number++) {
    world_node *n = world_at(w, number);
    bbw_stats stats;
    bbw_node_stats(n->node, &stats);
    assert_int_equal(stats.executions, 0);
    assert_int_equal(stats.pending_async, 0);
    assert_int_equal(stats.ingress_bytes_in_flight, stats.held_bytes);
    bbw_node_del(n->node);
    assert_int_equal(n->mem.live_bytes, 0);
  }
}

bbw_bytes world_list(const size_t *numbers, size_t count) {
  static uint8_t out[8 + 32 * WORLD_NODES_MAX];
  bbw_store_u64le(out, count);
  size_t len = 8;
  for (size_t i = 0; i < count; i++) {
    uint8_t peer[BBW_PEER_ID_BYTES_MAX];
    bbw_bytes bytes = peer_bytes(numbers[i], peer);
    bbw_store_u64le(out + len, bytes.len);
    memcpy(out + len + 8, bytes.ptr, bytes.len);
    len += 8 + bytes.len;
  }
  return (bbw_bytes){out, len};
}

void world_know(world *w, size_t number, size_t other) {
  uint8_t peer[BBW_PEER_ID_BYTES_MAX], bytes[64];
  bbw_bytes address = p2p(other, bytes);
  assert_int_equal(bbw_node_add_peer(world_at(w, number)->node, peer_bytes(other, peer), &address, 1, NULL), BBW_OK);
}

uint64_t world_ask(world *w, size_t number, const size_t *peers, size_t count) {
  static const uint8_t x = 0x2a;
  bbw_named_bytes inputs[2] = {{BBW_STR("x"), {&x, 1}}, {BBW_STR("peers"), world_list(peers, count)}};
  uint64_t exec_id;
  assert_int_equal(bbw_node_invoke(world_at(w, number)->node, BBW_STR("M"), inputs, 2, &exec_id, NULL), BBW_OK);
  return exec_id;
}

static void append(char *log, size_t size, const char *format, ...) {
  size_t len = strlen(log);
  va_list list;
  va_start(list, format);
  int n = vsnprintf(log + len, size - len, format, list);
  va_end(list);
  assert_true(n >= 0 && len + (size_t)n < size);
}

static void send(world *w, size_t from, const bbw_step *step) {
  bbw_bytes peer = bbw_step_bytes(step, "peer"), bytes = bbw_step_bytes(step, "bytes");
  bbw_peer_id id;
  uint64_t number;
  assert_int_equal(bbw_peer_id_decode(&id, peer, NULL), BBW_OK);
  assert_true(bbw_peer_id_as_u64(&id, &number));
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_envelope envelope;
  assert_int_equal(bbw_envelope_decode(&envelope, bytes, &bbw_envelope_caps_default, &arena, NULL), BBW_OK);
  world_node *to = number <= w->count ? world_at(w, (size_t)number) : NULL;
  uint64_t request_id = envelope.wire_req_id;
  if (to != NULL && to->remaining_ns == 0) { to->remaining_ns = envelope.remaining_deadline_ns; }
  bbw_arena_free(&arena);
  if (to == NULL || to->is_unreachable) {
    bbw_node *sender = world_at(w, from)->node;
    while (bbw_node_send_failed(sender, peer, request_id, BBW_STR("no route"), NULL) != BBW_OK) {}
    w->has_news = true;
    return;
  }
  if (to->is_away) { return; }
  assert_true(w->message_count < WORLD_MESSAGES_MAX);
  struct world_message *message = &w->messages[w->message_count++];
  *message = (struct world_message){from, (size_t)number, bytes.len, w->now_ns + w->latency_ns, malloc(bytes.len)};
  assert_non_null(message->bytes);
  memcpy(message->bytes, bytes.ptr, bytes.len);
}

static void take_step(world *w, size_t number, const bbw_step *step) {
  world_node *n = world_at(w, number);
  n->counts[step->kind]++;
  if (step->kind == BBW_STEP_SEND_ENVELOPE) { send(w, number, step); }
  if (step->kind == BBW_STEP_ASYNC_SUSPENDED) { n->last_cmd = bbw_step_u64(step, "cmd_id"); }
  if (step->kind == BBW_STEP_OP_FAILED) {
    bbw_str kind = bbw_step_text(step, "kind"), reason = bbw_step_text(step, "reason");
    bbw_str detail = bbw_step_text(step, "detail");
    append(n->failed, sizeof(n->failed), "%.*s/%.*s/%.*s ", (int)kind.len, kind.ptr, (int)reason.len, reason.ptr,
           (int)detail.len, detail.ptr);
  }
  if (step->kind == BBW_STEP_APP_EVENT && bbw_step_text(step, "module_name").len == 0) {
    bbw_str topic = bbw_step_text(step, "topic");
    bbw_bytes value = bbw_step_bytes(step, "value_bytes");
    assert_true(value.len <= sizeof(n->last));
    if (value.len != 0) { memcpy(n->last, value.ptr, value.len); }
    n->last_len = value.len;
    if (strlen(n->log) + topic.len + 2 * value.len + 3 > sizeof(n->log)) { n->log[0] = '\0'; }
    append(n->log, sizeof(n->log), "%.*s=", (int)topic.len, topic.ptr);
    for (size_t i = 0; i < value.len; i++) { append(n->log, sizeof(n->log), "%02x", value.ptr[i]); }
    append(n->log, sizeof(n->log), " ");
  }
}

static void poll_all(world *w, size_t number) {
  world_node *n = world_at(w, number);
  int64_t passed = (int64_t)w->now_ns;
  assert_int_equal(bbw_node_tick(n->node, n->ahead_ns + (uint64_t)(passed + passed / 1000000 * n->drift_ppm)), BBW_OK);
  for (unsigned round = 0;; round++) {
    bbw_bytes steps;
    bool is_pending;
    assert_true(round < 1000);
    bbw_status rv = bbw_node_poll(n->node, &steps, &is_pending, NULL);
    if (rv == BBW_E_NOMEM) { continue; } /* a test of lack of memory: it is made again */
    assert_int_equal(rv, BBW_OK);
    bbw_step step;
    for (size_t at = 0; bbw_steps_next(steps, &at, &step);) { take_step(w, number, &step); }
    if (is_pending) { return; }
  }
}

static bool deliver_due(world *w) {
  bool is_any = false;
  for (size_t i = 0; i < w->message_count;) {
    struct world_message message = w->messages[i];
    if (message.at_ns > w->now_ns) {
      i++;
      continue;
    }
    w->message_count--;
    memmove(&w->messages[i], &w->messages[i + 1], (w->message_count - i) * sizeof(message));
    uint8_t peer[BBW_PEER_ID_BYTES_MAX];
    world_node *to = world_at(w, message.to);
    to->received++;
    bbw_bytes bytes = {message.bytes, message.len};
    bbw_status rv = BBW_E_NOMEM;
    for (int tries = 0; rv != BBW_OK && tries < 2; tries++) { /* a test of lack of memory: it is made again */
      rv = bbw_node_deliver_inbound(to->node, peer_bytes(message.from, peer), bytes, NULL);
    }
    assert_int_equal(rv, BBW_OK);
    free(message.bytes);
    is_any = true;
  }
  return is_any;
}

static void settle(world *w) {
  do {
    w->has_news = false;
    for (size_t number = 1; number <= w->count; number++) { poll_all(w, number); }
  } while (deliver_due(w) || w->has_news);
}

void world_run(world *w, uint64_t ns) {
  uint64_t until_ns = w->now_ns + ns;
  settle(w);
  while (w->now_ns < until_ns) {
    w->now_ns = until_ns - w->now_ns < w->step_ns ? until_ns : w->now_ns + w->step_ns;
    settle(w);
  }
}
