/*
 * Snapshots of the reference: what they hold is there after the import, and the node works; damaged ones are refused and change nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bbw/step.h"
#include "node/node.h"
#include "stub_components.h"
#include "vectors.h"

#define TARGETS_MAX 8
#define POLLS_MAX   100

/* A list of numbers as bytes; the recording writes peers and addresses like that. */
static bbw_bytes bytes_of(vectors_case *c, const json *list) {
  uint8_t *out = bbw_arena_array(&c->arena, json_count(list), 1);
  if (out == NULL) { abort(); }
  for (size_t i = 0; i < json_count(list); i++) { out[i] = (uint8_t)json_u64(json_at(list, i)); }
  return (bbw_bytes){out, json_count(list)};
}

/* The node that the case was recorded on; the bare one of the reference has no model, so it gets any. */
static bbw_node *install(vectors_case *c, const char *model_file, const json *graphs) {
  json name = {.kind = JSON_STRING, .text = {model_file, strlen(model_file)}};
  bbw_bytes model = vector_file(c, &name);
  bbw_str names[TARGETS_MAX] = {{"PassOne", 7}};
  size_t count = 1;
  if (json_count(graphs) != 0) {
    count = json_count(graphs);
    for (size_t i = 0; i < count; i++) { names[i] = json_text(json_get(json_at(graphs, i), "name")); }
  }
  bbw_install_options options = {.peer_id = bbw_peer_id_from_u64(1),
                                 .model = model,
                                 .targets = names,
                                 .target_count = count,
                                 .is_unresolved_allowed = true};
  options.component_types = stub_component_types(&options.component_type_count);
  bbw_node *node = NULL;
  bbw_status rv = bbw_node_install(&node, &options, &c->mem.mem, &c->err);
  return rv == BBW_OK ? node : NULL;
}

static bool peers_are(vectors_case *c, const bbw_node *node, const json *book) {
  VECTOR(bbw_address_book_count(&node->engine.address_book) == json_count(book));
  for (size_t i = 0; i < json_count(book); i++) {
    const json *entry = json_at(book, i), *addresses = json_get(entry, "addresses");
    const bbw_bytes *items;
    size_t count;
    VECTOR(bbw_node_peer_addresses(node, bytes_of(c, json_get(entry, "peer_id")), &items, &count));
    VECTOR(count == json_count(addresses));
    for (size_t k = 0; k < count; k++) { VECTOR(bbw_bytes_equal(items[k], bytes_of(c, json_at(addresses, k)))); }
  }
  return true;
}

static bool policy_is(vectors_case *c, const bbw_node *node, const json *governor, const json *backoff) {
  const bbw_governor *g = &node->engine.governor;
  const json *blocked = json_get(governor, "blocklist"), *allowed = json_get(governor, "allowlist");
  const json *health = json_get(governor, "health");
  bbw_peer_id peer;
  VECTOR(g->blocked.count == json_count(blocked));
  for (size_t i = 0; i < json_count(blocked); i++) {
    VECTOR(bbw_peer_id_decode(&peer, bytes_of(c, json_at(blocked, i)), NULL) == BBW_OK);
    VECTOR(bbw_governor_check_inbound(g, &peer) == BBW_VERDICT_BLOCKLISTED);
  }
  VECTOR(g->has_allowlist == !json_is_null(allowed));
  VECTOR(g->allowed.count == (json_is_null(allowed) ? 0 : json_count(allowed)));
  for (size_t i = 0; i < json_count(health); i++) {
    const json *row = json_at(health, i);
    bbw_peer_standing standing;
    VECTOR(bbw_node_peer_health(node, bytes_of(c, json_at(row, 0)), &standing));
    VECTOR(standing.consecutive_failures == json_u64(json_at(row, 1)));
    VECTOR(standing.last_event_ns == json_u64(json_at(row, 2)));
  }
  VECTOR(g->failure_threshold == json_u64(json_get(governor, "failure_threshold")));
  for (size_t i = 0; i < json_count(backoff); i++) {
    const json *row = json_at(backoff, i);
    VECTOR(bbw_peer_id_decode(&peer, bytes_of(c, json_get(row, "peer")), NULL) == BBW_OK);
    const bbw_backoff_entry *entry = bbw_backoff_find(&node->engine.backoff, &peer);
    VECTOR(entry != NULL && entry->attempts == json_u64(json_get(row, "attempts")));
    VECTOR(entry->next_retry_ns == json_u64(json_get(row, "next_retry_ns")));
  }
  return true;
}

static bool state_is(vectors_case *c, const bbw_node *node, const json *decoded) {
  const json *framework = json_get(decoded, "framework"), *counters = json_get(framework, "counters");
  for (size_t i = 0; i < json_count(counters); i++) {
    uint64_t value = 0;
    VECTOR(bbw_node_counter(node, json_text(json_at(json_at(counters, i), 0)), &value));
    VECTOR(value == json_u64(json_at(json_at(counters, i), 1)));
  }
  VECTOR(node->engine.phases.count == json_count(json_get(framework, "fired_phases")));
  VECTOR(node->engine.async.count == json_count(json_get(decoded, "pending_async")));
  VECTOR(node->engine.async.next_cmd_id >= json_u64(json_get(framework, "next_command_id")));
  VECTOR(node->engine.next_exec_id >= json_u64(json_get(framework, "next_exec_id")));
  VECTOR(bbw_node_incarnation(node) == json_u64(json_get(decoded, "incarnation")) + 1);
  return peers_are(c, node, json_get(framework, "address_book")) &&
         policy_is(c, node, json_get(framework, "peer_governor"), json_get(framework, "backoff_table"));
}

/* Takes a snapshot of our own, to compare before and after. */
static bool same_as_before(vectors_case *c, const bbw_node *node, const uint8_t *before, size_t before_len) {
  uint8_t *after;
  size_t len;
  VECTOR(bbw_node_snapshot(node, &after, &len, &bbw_mem_libc, NULL) == BBW_OK);
  bool is_same = len == before_len && memcmp(before, after, len) == 0;
  bbw_mem_libc.free(NULL, after, len);
  VECTOR(is_same);
  return true;
}

/* Every prefix is refused, and so is an import that runs out of memory, wherever that is; nothing changes. */
static bool is_atomic(vectors_case *c, bbw_node *node, bbw_bytes bytes) {
  uint8_t *before;
  size_t before_len;
  VECTOR(bbw_node_snapshot(node, &before, &before_len, &bbw_mem_libc, NULL) == BBW_OK);
  bool ok = true;
  for (size_t len = 0; ok && len < bytes.len; len++) {
    bbw_bytes prefix = vector_exact(c, (bbw_bytes){bytes.ptr, len});
    ok = bbw_node_import_snapshot(node, prefix, &c->err) == BBW_E_SNAP_DECODE;
    free(c->exact[--c->exact_count]);
  }
  ok = ok && same_as_before(c, node, before, before_len);
  for (size_t nth = 0; ok; nth++) {
    c->mem.fail_at = c->mem.alloc_count + nth;
    bbw_status rv = bbw_node_import_snapshot(node, bytes, &c->err);
    c->mem.fail_at = TEST_MEM_NEVER;
    if (rv == BBW_OK) { break; }
    ok = rv == BBW_E_NOMEM && same_as_before(c, node, before, before_len);
  }
  bbw_mem_libc.free(NULL, before, before_len);
  return ok;
}

/* What an application sees after the import: an event goes through; operators that waited for time go on, and so do those that the host completes. */
static bool works(vectors_case *c, bbw_node *node) {
  bbw_stats stats;
  bool is_pending = false;
  uint64_t at_ns;
  size_t outputs = 0;
  bbw_str module = bbw_node_module_name(node, 0);
  if (bbw_str_starts_with(module, BBW_STR("FedNetwork"))) { return true; } /* its input is a list of peers */
  VECTOR(bbw_node_deliver_event(node, module, BBW_STR("x"), (bbw_bytes){(const uint8_t *)"z", 1}, &c->err) == BBW_OK);
  for (size_t i = 0; i < POLLS_MAX; i++) {
    bbw_bytes steps;
    bbw_step step;
    VECTOR(bbw_node_poll(node, &steps, &is_pending, &c->err) == BBW_OK);
    for (size_t at = 0; bbw_steps_next(steps, &at, &step);) {
      VECTOR(step.kind != BBW_STEP_OP_FAILED);
      outputs += step.kind == BBW_STEP_APP_EVENT && bbw_step_text(&step, "module_name").len == 0;
    }
    bbw_node_stats(node, &stats);
    if (is_pending && stats.executions == 0) { break; }
    if (is_pending && bbw_node_next_timer(node, &at_ns)) { VECTOR(bbw_node_tick(node, at_ns) == BBW_OK); }
  }
  VECTOR(stats.executions == 0 && stats.pending_async == 0 && stats.ingress_bytes_in_flight == 0);
  VECTOR(outputs != 0);
  return true;
}

static bool check_snapshot(vectors_case *c) {
  const json *model = vector_get(c, "model_file"), *decoded = vector_get(c, "decoded");
  char file[64] = "pass_one.model.pb";
  if (model != NULL) { snprintf(file, sizeof(file), "%.*s", (int)json_text(model).len, json_text(model).ptr); }
  bbw_node *node = install(c, file, json_get(decoded, "graphs"));
  VECTOR(node != NULL);
  bbw_bytes bytes = vector_file(c, vector_get(c, "file"));
  bool ok = vector_get(c, "bytes") == NULL || bbw_bytes_equal(bytes, vector_hex(c, "bytes"));
  ok = ok && is_atomic(c, node, bytes);
  if (ok) { ok = state_is(c, node, decoded) && works(c, node); }
  bbw_node_del(node);
  VECTOR(ok);
  return true;
}

/* Changes to the snapshot of the bare node. */
static bool check_damaged(vectors_case *c) {
  json name = {.kind = JSON_STRING, .text = {"empty.snapshot.bin", 18}};
  bbw_bytes empty = vector_file(c, &name);
  uint8_t bytes[512] = {0};
  size_t len = empty.len;
  VECTOR(len == 240);
  memcpy(bytes, empty.ptr, len);
  if (vector_get(c, "cut") != NULL) { len = (size_t)json_u64(vector_get(c, "cut")); }
  if (vector_get(c, "append") != NULL) {
    memcpy(bytes + len, vector_hex(c, "append").ptr, vector_hex(c, "append").len);
    len += vector_hex(c, "append").len;
  }
  if (vector_get(c, "offset") != NULL) {
    bytes[json_u64(vector_get(c, "offset"))] = (uint8_t)json_u64(vector_get(c, "value"));
  }
  bbw_node *node = install(c, "pass_one.model.pb", NULL);
  VECTOR(node != NULL);
  bbw_status rv = bbw_node_import_snapshot(node, vector_exact(c, (bbw_bytes){bytes, len}), &c->err);
  const json *restore = vector_get(c, "restore");
  bbw_status want = json_is_true(vector_get(c, "ok")) ? BBW_OK : BBW_E_SNAP_DECODE;
  if (json_get(restore, "error") != NULL) { want = BBW_E_RESTORE_SPEC_VERSION; }
  bool ok = rv == want;
  if (want == BBW_E_RESTORE_SPEC_VERSION) {
    ok = ok && bbw_error_number(&c->err, "got") == json_u64(vector_get(c, "value")) &&
         bbw_error_number(&c->err, "expected") == 1;
  }
  bbw_node_del(node);
  VECTOR(ok);
  return true;
}

static bool check(vectors_case *c) { return vector_is(c, "snapshot") ? check_snapshot(c) : check_damaged(c); }

static void recorded_snapshots_are_taken_over(void **state) {
  (void)state;
  assert_int_equal(vectors_run("snapshots", check), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(recorded_snapshots_are_taken_over)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
