/*
 * Golden traces: scripts of host calls and the steps that a reference node answered with.
 *
 * Traces that show intended behaviour must match step by step, but for an operator that the reference runs twice.  For the others, `deviations` says which steps are intended.  At the end of every trace the node holds nothing:
 * no execution, no slot, no charged byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bbw/address.h"
#include "bbw/step.h"
#include "node/node.h"
#include "stub_components.h"
#include "vectors.h"

#define NODES_MAX         2
#define INPUTS_MAX        8
#define ADDRESS_BYTES_MAX 128
#define POLLS_MAX         10000
#define SEEN_BYTES_MAX    4096

/*
 * The intended steps of the traces that differ.  Why they differ is said in docs/COMPATIBILITY.md, by the numbers of the weak spots; a trace that differs and is not listed there fails, and so does one that is
 * listed and does not differ.
 *
 * steps: those of all polls, | between polls.  +0.1 op 1 of graph 0 completed, ~0.1 waits, !0.1:reason failed, 'y' an application event, n=2 a counter that the script reads.
 */
static const struct {
  const char *name, *steps;
} deviations[] = {
    {"pass_one",
     "'x' +0.0 +0.1 'y'|+0.0 +0.0 +0.1 +0.1 'y' 'y'|'x' +0.0 +0.1 'y'|'x' 'x' 'x' +0.0 +0.0 +0.0 +0.1 +0.1 +0.1 'y' "
     "'y' 'y'"},
    {"gates", "+0.0 +0.1 +0.2 +0.3 +0.4 +0.5 'y'|'x' +0.1 +0.2 +0.3|'t'|+0.0 +0.1 +0.2 +0.3 +0.4 +0.5 'y'"},
    {"timers",
     "'x' +0.3 ~0.0 ~0.1 +0.2 +0.3 +0.8 +0.7 +0.8 'tick' 'clock' 'tick'|+0.3 +0.8 'tick'|+0.0 +0.4 +0.5 +0.6 +0.3 +0.9 "
     "+0.10 +0.8 'after' 'match' 'on' 'tick'|+0.3 +0.8 'tick'|+0.1 +0.3 +0.8 'tick'|+0.3 +0.8 'tick'"},
    {"queues",
     "+0.0 +0.2 +0.1 +0.3 +0.4 +0.5 +0.6 +0.7 +0.8 'y' 'tag'|+0.0 +0.2 +0.1 +0.3 +0.4 +0.5 +0.6 +0.7 +0.8 'y' "
     "'tag'|c=6"},
    {"bundle_up", "+0.0 +0.1 +0.2 +0.3 +0.4 +0.5 'c' 'u0' 'u1'"},
    {"two_part_sender",
     "+0.0 +0.2 +0.1 PeerResolveFailed|+0.0 +0.2 +0.1 SendEnvelope SendEnvelope SendEnvelope PeerResolveFailed|+0.0 "
     "+0.2 +0.1 SendEnvelope|+0.0 +0.2 +0.1 WireTimeout WireTimeout SendEnvelope|+0.0 +0.2 "
     "!0.1:expected_peers|WireTimeout WireTimeout"},
    {"two_part_receiver",
     "+0.3 +0.4 +0.5 +0.1 +0.2 'y'|+0.3 +0.4 +0.5 +0.1 +0.2 'y'|+0.3 +0.4 +0.5 +0.1 +0.2 'y'|+0.3 +0.4 +0.5 +0.1 +0.2 "
     "'y'|!0.3:|WireReceiveFailed WireReceiveFailed WireDecodeFailed WireDecodeFailed WireDecodeFailed "
     "WireDecodeFailed WireDecodeFailed|PeerBlocked|PeerBlocked +0.3 +0.4 +0.5 +0.1 +0.2 'y'|+0.3 +0.4 +0.5 +0.1 +0.2 "
     "'y'|+0.3 +0.4 "
     "+0.5 +0.1 +0.2 'y'|PeerDown"},
    {"two_nodes",
     "+0.0 SendEnvelope 'h'|+0.1 +0.1 'from' 'from' 'y' 'y'|+0.0 SendEnvelope 'h'|+0.1 +0.1 'from' 'from' 'y' 'y'|+0.0 "
     "SendEnvelope 'h'|+0.1 +0.1 'from' 'from' 'y' 'y'|WireTimeout WireTimeout"},
    {"call_async", "'x' +0.0 +0.1 ~1.0|+1.0 +1.1 +0.2 'y'"},
    {"call_nested", "+0.0 +0.2 +1.0 +2.0 +0.1 +1.0 +1.0 'z' 'y'"},
    {"completions",
     "'x' 'x' 'x' 'x' 'x' ~0.0 ~0.0 ~0.0 ~0.0 ~0.0|+0.0 +0.0 +0.0 !0.0:completion_failed +0.1 +0.1 +0.1 'y' 'y' "
     "'y'|+0.0 +0.1 'y'"},
    {"async_cap", "~0.0 ~0.1 !0.2:pending_async_limit +0.3 'y'|+0.0 +0.1 't0' 't1'"},
    {"outbound_cap", "+0.0 SendEnvelope SendEnvelope OutboundDropped 'h'"},
    {"quickstart", "+0.0 +0.1 +0.2 'prediction'"},
    {"boot_const",
     "+1.0 +1.1 +1.2 BootstrapComplete 'booted'|'x' +0.0 +0.1 'y'|+1.0 +1.1 +1.2 BootstrapComplete 'booted'|boots=2"},
    {"boot_async", "~1.0 WaitingOnBootstrap|+1.0 +1.1 BootstrapComplete 'ready'|'x' +0.0 +0.0 +0.1 +0.1 'y' 'y'"},
    {"boot_roles", "+1.0 +1.1 +1.2 +1.3 !1.5:expected_bytes !1.4:expected_bytes !1.6:expected_bytes "
                   "BootstrapComplete|!0.0:input_type_mismatch"},
    {"boot_roles_aligned",
     "+1.0 +1.4 +1.1 !1.8:expected_bytes +1.2 +1.3 !1.6:expected_bytes !1.5:expected_bytes !1.7:expected_bytes "
     "BootstrapComplete"},
    {"boot_roles_clean",
     "+1.0 +1.4 +1.1 +1.8 +1.2 +1.3 !1.6:expected_bytes +1.5 +1.7 BootstrapComplete 'applied'|losses=1|params=1|'x' "
     "+0.0 'y'"},
    {"boot_chain_clean", "+1.0 +1.1 +1.2 +1.3 +1.4 BootstrapComplete 'booted'|boots=1"},
    {"lifecycle", ""},
    {"restore", "'x' +0.0 +0.1 'y'|'x' +0.0 +0.1 'y'"},
    {"backpressure", "SendEnvelope SendEnvelope|SendEnvelope SendEnvelope"},
};

/* ---- docs/COMPATIBILITY.md: rows "| `trace` | E5, E10 | why |" below "## Golden traces", and rows "| E5 | weakness | here |" ---- */

#define LISTED_MAX    64
#define DOCUMENT_FILE "docs/COMPATIBILITY.md"
static char document[1 << 18];
static struct { bbw_str trace, entries; } listed[LISTED_MAX];
static size_t listed_count;

static bool listed_find(bbw_str trace) {
  for (size_t i = 0; i < listed_count; i++) {
    if (bbw_str_equal(listed[i].trace, trace)) { return true; }
  }
  return false;
}

/* Is there a row that says what becomes of the weak spot? */
static bool entry_is_explained(const char *entry, size_t len) {
  char start[32];
  snprintf(start, sizeof(start), "\n| %.*s | ", (int)len, entry);
  return strstr(document, start) != NULL;
}

static void read_document(void) {
  FILE *file = fopen(DOCUMENT_FILE, "rb");
  assert_non_null(file);
  size_t len = fread(document, 1, sizeof(document) - 1, file);
  fclose(file);
  assert_true(len > 0 && len < sizeof(document) - 1);
  document[len] = '\0';
  const char *at = strstr(document, "\n## Golden traces\n");
  assert_non_null(at);
  const char *end = strstr(at + 1, "\n## ");
  while ((at = strstr(at, "\n| `")) != NULL && (end == NULL || at < end)) {
    const char *name = at + 4, *name_end = strchr(name, '`'), *entries = name_end + 4;
    const char *entries_end = strchr(entries, '|');
    assert_true(listed_count < LISTED_MAX && entries_end != NULL);
    listed[listed_count].trace = (bbw_str){name, (size_t)(name_end - name)};
    listed[listed_count++].entries = (bbw_str){entries, (size_t)(entries_end - 1 - entries)};
    at = entries_end;
  }
}

static void every_listed_difference_names_weak_spots_that_are_explained(void **state) {
  (void)state;
  assert_true(listed_count > 0);
  for (size_t i = 0; i < listed_count; i++) {
    bbw_str entries = listed[i].entries;
    size_t count = 0;
    for (size_t at = 0; at < entries.len; count++) {
      size_t len = 0;
      while (at + len < entries.len && entries.ptr[at + len] != ',') { len++; }
      if (!entry_is_explained(entries.ptr + at, len)) { fail_msg("no row for %.*s", (int)len, entries.ptr + at); }
      at += len + 2;
    }
    assert_true(count > 0);
  }
}

/* One row for each number of the lists of the specifications: engine, operators, Node, wire. */
static void every_weak_spot_has_its_row(void **state) {
  (void)state;
  static const struct {
    char list;
    unsigned count;
  } lists[] = {{'E', 49}, {'O', 18}, {'N', 27}, {'P', 23}};
  for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
    for (unsigned n = 1; n <= lists[i].count; n++) {
      char entry[8];
      int len = snprintf(entry, sizeof(entry), "%c%u", lists[i].list, n);
      if (!entry_is_explained(entry, (size_t)len)) { fail_msg("no row for %s", entry); }
    }
  }
}

static bool name_is(const vectors_case *c, const char *name) { return json_is(vector_get(c, "name"), name); }

#define DEVIATION_COUNT (sizeof(deviations) / sizeof(deviations[0]))

/* DEVIATION_COUNT if the trace must match. */
static size_t deviation_of(const vectors_case *c) {
  size_t i = 0;
  while (i < DEVIATION_COUNT && !name_is(c, deviations[i].name)) { i++; }
  return i;
}

typedef struct replay {
  vectors_case *c;
  bbw_node *nodes[NODES_MAX];
  bool is_strict;
  bool has_repeats; /* the reference ran an operator more often than once */
  uint8_t *snapshot;
  size_t snapshot_len;
  char seen[SEEN_BYTES_MAX]; /* the steps of a trace that deviates, in the notation of `deviations` */
  size_t seen_len;
} replay;

static bbw_bytes hex(const replay *r, const json *value) { return json_hex(value, &r->c->arena); }

static bbw_bytes address_of(const replay *r, const json *text) {
  uint8_t *buf = bbw_arena_array(&r->c->arena, ADDRESS_BYTES_MAX, 1);
  size_t len = 0;
  if (buf == NULL || bbw_address_from_text(json_text(text), buf, ADDRESS_BYTES_MAX, &len, NULL) != BBW_OK) { abort(); }
  return (bbw_bytes){buf, len};
}

static void set_cap(const json *config, const char *key, uint64_t *cap) {
  const json *value = json_get(config, key);
  if (value != NULL && !json_is_null(value)) { *cap = json_u64(value); }
}

static bool install_node(replay *r, const json *spec, bbw_node **out) {
  vectors_case *c = r->c;
  const json *targets = json_get(spec, "targets");
  const json *addresses = json_get(spec, "addresses");
  bbw_str names[INPUTS_MAX];
  bbw_bytes own[INPUTS_MAX];
  VECTOR(json_count(targets) <= INPUTS_MAX && json_count(addresses) <= INPUTS_MAX);
  for (size_t i = 0; i < json_count(targets); i++) { names[i] = json_text(json_at(targets, i)); }
  for (size_t i = 0; i < json_count(addresses); i++) { own[i] = address_of(r, json_at(addresses, i)); }
  bbw_config config;
  bbw_config_init(&config);
  const json *caps = json_get(spec, "config");
  set_cap(caps, "cycle_op_budget", &config.cycle_op_budget);
  set_cap(caps, "max_pending_async", &config.max_pending_async);
  set_cap(caps, "max_outbound_queue", &config.max_outbound_queue);
  set_cap(caps, "ingress_byte_budget", &config.ingress_byte_budget);
  set_cap(caps, "max_app_event_bytes", &config.max_app_event_bytes);
  set_cap(caps, "max_invoke_inputs", &config.max_invoke_inputs);
  set_cap(caps, "max_invoke_bytes", &config.max_invoke_bytes);
  /* There the ingress queue keeps the size that it had before the configuration came. */
  bool has_own_capacity = json_get(json_at(vector_get(c, "script"), 0), "ingress_capacity") != NULL;
  if (!has_own_capacity) { set_cap(caps, "bus_capacity", &config.bus_capacity); }
  bbw_install_options options = {
      .addresses = own,
      .address_count = json_count(addresses),
      .model = vector_file(c, json_get(spec, "model_file")),
      .targets = names,
      .target_count = json_count(targets),
      .config = &config,
      .is_unresolved_allowed = true,
  };
  options.component_types = stub_component_types(&options.component_type_count);
  VECTOR(bbw_peer_id_decode(&options.peer_id, hex(r, json_get(spec, "peer_id")), NULL) == BBW_OK);
  VECTOR(bbw_node_install(out, &options, &c->mem.mem, &c->err) == BBW_OK);
  return true;
}

/* "graph.node" */
static uint64_t op_ref_of(const json *text) {
  bbw_str s = json_text(text);
  size_t dot = 0;
  while (dot < s.len && s.ptr[dot] != '.') { dot++; }
  uint64_t graph, node;
  if (dot == s.len || !bbw_parse_u64((bbw_str){s.ptr, dot}, &graph) ||
      !bbw_parse_u64((bbw_str){s.ptr + dot + 1, s.len - dot - 1}, &node)) {
    abort();
  }
  return graph << 32 | node;
}

static bool text_field_is(const bbw_step *step, const char *field, const json *want) {
  return bbw_str_equal(bbw_step_text(step, field), json_text(want));
}

static bool bytes_field_is(const replay *r, const bbw_step *step, const char *field, const json *want) {
  return bbw_bytes_equal(bbw_step_bytes(step, field), hex(r, want));
}

static bool sites_are(const bbw_step *step, const json *want) {
  if (bbw_step_count(step, "sites_written") != json_count(want)) { return false; }
  for (size_t i = 0; i < json_count(want); i++) {
    if (bbw_step_item(step, "sites_written", i) != json_u64(json_at(want, i))) { return false; }
  }
  return true;
}

static bool op_and_exec_are(const bbw_step *step, const json *want) {
  return bbw_step_u64(step, "op_ref") == op_ref_of(json_get(want, "op")) &&
         bbw_step_u64(step, "exec_id") == json_u64(json_get(want, "exec"));
}

static bool step_is(const replay *r, const bbw_step *step, const json *want) {
  if (!bbw_str_equal(bbw_step_name(step->kind), json_text(json_get(want, "step")))) { return false; }
  switch (step->kind) {
  case BBW_STEP_APP_EVENT:
    return text_field_is(step, "module_name", json_get(want, "module")) &&
           text_field_is(step, "topic", json_get(want, "topic")) &&
           bytes_field_is(r, step, "value_bytes", json_get(want, "value"));
  case BBW_STEP_OP_COMPLETED: return op_and_exec_are(step, want) && sites_are(step, json_get(want, "sites"));
  case BBW_STEP_ASYNC_SUSPENDED:
    return op_and_exec_are(step, want) && bbw_step_u64(step, "cmd_id") == json_u64(json_get(want, "cmd"));
  case BBW_STEP_OP_FAILED:
    return op_and_exec_are(step, want) && text_field_is(step, "kind", json_get(json_get(want, "error"), "kind")) &&
           text_field_is(step, "reason", json_get(json_get(want, "error"), "reason"));
  case BBW_STEP_SEND_ENVELOPE: return bytes_field_is(r, step, "bytes", json_get(want, "bytes"));
  case BBW_STEP_CYCLE_BUDGET_EXCEEDED: return bbw_step_u64(step, "ops_invoked") == json_u64(json_get(want, "ops"));
  case BBW_STEP_OUTBOUND_DROPPED: return bbw_step_u64(step, "count") == json_u64(json_get(want, "count"));
  case BBW_STEP_LIFECYCLE_FIRED: return text_field_is(step, "phase", json_get(want, "phase"));
  default: return true; /* the kind is enough: no trace that must match has another */
  }
}

static bool json_same(const json *a, const json *b) { return bbw_str_equal(json_text(a), json_text(b)); }

/* The reference queues an op once per input that is written and so runs it several times; here it fires once.  True for what such a repeat adds to a poll. */
static bool is_repeat(const json *steps, size_t i) {
  const json *step = json_at(steps, i);
  bool is_op = json_is(json_get(step, "step"), "OpCompleted") || json_is(json_get(step, "step"), "OpFailed");
  bool is_event = json_is(json_get(step, "step"), "AppEvent") && json_text(json_get(step, "module")).len == 0;
  for (size_t k = 0; k < i; k++) {
    const json *before = json_at(steps, k);
    if (!json_same(json_get(step, "step"), json_get(before, "step"))) { continue; }
    if (is_op && json_same(json_get(step, "op"), json_get(before, "op")) &&
        json_u64(json_get(step, "exec")) == json_u64(json_get(before, "exec"))) {
      return true;
    }
    if (is_event && json_same(json_get(step, "topic"), json_get(before, "topic")) &&
        json_same(json_get(step, "value"), json_get(before, "value"))) {
      return true;
    }
  }
  return false;
}

static bool has_repeated_op(const json *steps) {
  for (size_t i = 0; i < json_count(steps); i++) {
    if (!json_is(json_get(json_at(steps, i), "step"), "AppEvent") && is_repeat(steps, i)) { return true; }
  }
  return false;
}

static void note_seen(replay *r, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int len = vsnprintf(r->seen + r->seen_len, SEEN_BYTES_MAX - r->seen_len, format, args);
  va_end(args);
  if (len < 0 || (size_t)len >= SEEN_BYTES_MAX - r->seen_len) { abort(); }
  r->seen_len += (size_t)len;
}

static void note_step(replay *r, const bbw_step *step) {
  const char *sep = r->seen_len == 0 || r->seen[r->seen_len - 1] == '|' ? "" : " ";
  uint64_t op = bbw_step_u64(step, "op_ref");
  bbw_str topic = bbw_step_text(step, "topic"), reason = bbw_step_text(step, "reason");
  switch (step->kind) {
  case BBW_STEP_OP_COMPLETED: note_seen(r, "%s+%u.%u", sep, (unsigned)(op >> 32), (unsigned)op); break;
  case BBW_STEP_ASYNC_SUSPENDED: note_seen(r, "%s~%u.%u", sep, (unsigned)(op >> 32), (unsigned)op); break;
  case BBW_STEP_OP_FAILED:
    note_seen(r, "%s!%u.%u:%.*s", sep, (unsigned)(op >> 32), (unsigned)op, (int)reason.len, reason.ptr);
    break;
  case BBW_STEP_APP_EVENT: note_seen(r, "%s'%.*s'", sep, (int)topic.len, topic.ptr); break;
  default: {
    bbw_str name = bbw_step_name(step->kind);
    note_seen(r, "%s%.*s", sep, (int)name.len, name.ptr);
  }
  }
}

/* A poll of a trace that deviates: its steps are those of `deviations`. */
static void note_poll(replay *r, bbw_bytes steps) {
  size_t at = 0;
  bbw_step step;
  if (steps.len != 0 && r->seen_len != 0) { note_seen(r, "|"); }
  while (bbw_steps_next(steps, &at, &step)) { note_step(r, &step); }
}

static bool poll_matches(replay *r, bbw_node *node, const json *call) {
  vectors_case *c = r->c;
  bbw_bytes steps;
  bool is_pending;
  VECTOR(bbw_node_poll(node, &steps, &is_pending, &c->err) == BBW_OK);
  if (!r->is_strict) {
    note_poll(r, steps);
    return true;
  }
  const json *want = json_get(call, "steps");
  size_t at = 0;
  bbw_step step;
  bool is_repeating = has_repeated_op(want);
  r->has_repeats = r->has_repeats || is_repeating;
  for (size_t i = 0; i < json_count(want); i++) {
    if (is_repeating && is_repeat(want, i)) { continue; }
    VECTOR(bbw_steps_next(steps, &at, &step));
    VECTOR(step_is(r, &step, json_at(want, i)));
  }
  VECTOR(!bbw_steps_next(steps, &at, &step));
  return true;
}

static const struct {
  const char *variant;
  bbw_status status;
} delivery_errors[] = {
    {"UnknownModule", BBW_E_UNKNOWN_MODULE},     {"OversizePayload", BBW_E_OVERSIZE_PAYLOAD},
    {"BudgetExceeded", BBW_E_BUDGET_EXCEEDED},   {"TooManyInputs", BBW_E_TOO_MANY_INPUTS},
    {"InvalidEnvelope", BBW_E_INVALID_ENVELOPE}, {"IngressClosed", BBW_E_INGRESS_FULL},
};

static bool result_is(replay *r, bbw_status got, const json *result) {
  vectors_case *c = r->c;
  if (!r->is_strict) { return true; }
  const json *variant = json_get(json_get(result, "error"), "variant");
  if (variant == NULL) {
    VECTOR(got == BBW_OK);
    return true;
  }
  for (size_t i = 0; i < sizeof(delivery_errors) / sizeof(delivery_errors[0]); i++) {
    if (json_is(variant, delivery_errors[i].variant)) {
      VECTOR(got == delivery_errors[i].status);
      return true;
    }
  }
  c->why = "an error variant that this test does not know";
  return false;
}

static bool run_invoke(replay *r, bbw_node *node, const json *call) {
  vectors_case *c = r->c;
  const json *inputs = json_get(call, "inputs");
  bbw_named_bytes named[INPUTS_MAX];
  VECTOR(json_count(inputs) <= INPUTS_MAX);
  for (size_t i = 0; i < json_count(inputs); i++) {
    named[i] = (bbw_named_bytes){json_text(json_at(json_at(inputs, i), 0)), hex(r, json_at(json_at(inputs, i), 1))};
  }
  uint64_t exec_id = 0;
  bbw_status rv = bbw_node_invoke(node, json_text(json_get(call, "module")), named, json_count(inputs), &exec_id,
                                  &c->err);
  const json *exec = json_get(json_get(call, "result"), "exec");
  if (r->is_strict && exec != NULL) { VECTOR(rv == BBW_OK && exec_id == json_u64(exec)); }
  return result_is(r, rv, json_get(call, "result"));
}

static bool run_completion(replay *r, bbw_node *node, const json *call) {
  const json *results = json_get(call, "results");
  bbw_typed_bytes typed[INPUTS_MAX];
  for (size_t i = 0; i < json_count(results) && i < INPUTS_MAX; i++) {
    /* Completions carry typed values here; the reference's raw bytes are a Bytes value. */
    bbw_bytes content = hex(r, json_at(results, i));
    uint8_t *payload = bbw_arena_array(&r->c->arena, content.len + 8, 1);
    if (payload == NULL) { abort(); }
    bbw_store_u64le(payload, content.len);
    if (content.len != 0) { memcpy(payload + 8, content.ptr, content.len); }
    typed[i] = (bbw_typed_bytes){bbw_type_hash(BBW_TYPE_BYTES), {payload, content.len + 8}};
  }
  (void)bbw_node_complete(node, json_u64(json_get(call, "cmd")), typed, json_count(results), &r->c->err);
  return true;
}

static bool run_allowlist(replay *r, bbw_node *node, const json *call) {
  const json *peers = json_get(call, "peers");
  bbw_bytes list[INPUTS_MAX];
  for (size_t i = 0; i < json_count(peers) && i < INPUTS_MAX; i++) { list[i] = hex(r, json_at(peers, i)); }
  return bbw_node_set_allowlist(node, json_is_null(peers) ? NULL : list, json_count(peers), &r->c->err) == BBW_OK;
}

static bool run_add_peer(replay *r, bbw_node *node, const json *call) {
  const json *addresses = json_get(call, "addresses");
  bbw_bytes list[INPUTS_MAX];
  for (size_t i = 0; i < json_count(addresses) && i < INPUTS_MAX; i++) {
    list[i] = address_of(r, json_at(addresses, i));
  }
  return bbw_node_add_peer(node, hex(r, json_get(call, "peer")), list, json_count(addresses), &r->c->err) == BBW_OK;
}

static const struct {
  const char *variant;
  bbw_status status;
} bootstrap_errors[] = {
    {"UnknownTarget", BBW_E_BOOT_UNKNOWN_TARGET},
    {"AlreadyTransitivelyQueued", BBW_E_BOOT_ALREADY_QUEUED},
    {"UnknownInput", BBW_E_BOOT_UNKNOWN_INPUT},
    {"MissingInput", BBW_E_BOOT_MISSING_INPUT},
};

static bool bootstrap_result_is(replay *r, bbw_status got, const json *result) {
  vectors_case *c = r->c;
  const json *variant = json_get(json_get(result, "error"), "variant");
  if (variant == NULL) {
    VECTOR(got == BBW_OK);
    return true;
  }
  for (size_t i = 0; i < sizeof(bootstrap_errors) / sizeof(bootstrap_errors[0]); i++) {
    if (json_is(variant, bootstrap_errors[i].variant)) {
      VECTOR(got == bootstrap_errors[i].status);
      return true;
    }
  }
  c->why = "a bootstrap error that this test does not know";
  return false;
}

/* There, running a bootstrap also polls; here the poll is a call of its own. */
static bool run_bootstrap(replay *r, bbw_node *node, const json *call) {
  vectors_case *c = r->c;
  const json *target = json_get(call, "target");
  const json *result = json_get(call, "result");
  bbw_boot_request requests[INPUTS_MAX] = {0};
  bbw_named_bytes inputs[INPUTS_MAX];
  size_t count = json_count(target), input_count = 0;
  bool is_all = json_is(target, "All");
  const json *slots = json_get(target, "slots");
  if (slots != NULL) {
    /* There no slot can be asked for; here those without a bootstrap cannot. */
    VECTOR(json_count(slots) <= INPUTS_MAX);
    bbw_str names[INPUTS_MAX];
    for (size_t i = 0; i < json_count(slots); i++) { names[i] = json_text(json_at(slots, i)); }
    bbw_status wanted = json_count(slots) == 0 ? BBW_OK : BBW_E_BOOT_UNKNOWN_SLOT;
    VECTOR(bbw_node_run_bootstrap_slots(node, names, json_count(slots), &c->err) == wanted);
    return true;
  }
  if (!is_all && count == 0) { return true; } /* nothing to run */
  if (is_all) { count = 0; }
  VECTOR(count <= INPUTS_MAX);
  for (size_t i = 0; i < count; i++) {
    const json *item = json_at(target, i);
    const json *named = json_get(item, "inputs");
    requests[i] = (bbw_boot_request){.target = json_text(named == NULL ? item : json_get(item, "target")),
                                     .inputs = inputs + input_count,
                                     .input_count = named == NULL ? 0 : json_count(named)};
    for (size_t k = 0; k < requests[i].input_count; k++) {
      VECTOR(input_count < INPUTS_MAX);
      const json *pair = json_at(named, k);
      inputs[input_count++] = (bbw_named_bytes){json_text(json_at(pair, 0)), hex(r, json_at(pair, 1))};
    }
  }
  bbw_status rv = bbw_node_run_bootstrap(node, count == 0 ? NULL : requests, count, &c->err);
  if (!bootstrap_result_is(r, rv, result)) { return false; }
  return rv != BBW_OK || poll_matches(r, node, result);
}

/* There a tick is an event in the queue.  Here it is none, so where the script fills the queue with ticks, invokes without inputs stand in for them. */
static bool run_tick(replay *r, bbw_node *node, const json *call) {
  vectors_case *c = r->c;
  VECTOR(bbw_node_tick(node, json_u64(json_get(call, "at_ns"))) == BBW_OK);
  uint64_t repeat = json_get(call, "repeat") == NULL ? 1 : json_u64(json_get(call, "repeat"));
  for (uint64_t i = 0; repeat > 1 && i < repeat; i++) {
    uint64_t exec_id;
    VECTOR(bbw_node_invoke(node, bbw_node_module_name(node, 0), NULL, 0, &exec_id, &c->err) == BBW_OK);
  }
  return true;
}

static bool run_call(replay *r, const json *call) {
  vectors_case *c = r->c;
  const json *name = json_get(call, "call");
  uint64_t index = json_get(call, "node") == NULL ? 0 : json_u64(json_get(call, "node"));
  VECTOR(index < NODES_MAX && r->nodes[index] != NULL);
  bbw_node *node = r->nodes[index];
  if (name == NULL) {
    const json *counters = json_get(call, "counters");
    for (size_t i = 0; i < json_count(counters); i++) {
      uint64_t value = 0;
      bbw_str counter = json_text(json_at(json_at(counters, i), 0));
      VECTOR(bbw_node_counter(node, counter, &value));
      if (r->is_strict) { VECTOR(value == json_u64(json_at(json_at(counters, i), 1))); }
      if (!r->is_strict) { note_seen(r, "|%.*s=%u", (int)counter.len, counter.ptr, (unsigned)value); }
    }
    return true;
  }
  if (json_is(name, "poll")) { return poll_matches(r, node, call); }
  if (json_is(name, "run_bootstrap")) { return run_bootstrap(r, node, call); }
  if (json_is(name, "invoke")) { return run_invoke(r, node, call); }
  if (json_is(name, "deliver_event")) {
    bbw_str module = json_text(json_get(call, "module"));
    bbw_str input = json_text(json_get(call, "input"));
    return result_is(r, bbw_node_deliver_event(node, module, input, hex(r, json_get(call, "bytes")), &c->err),
                     json_get(call, "result"));
  }
  if (json_is(name, "deliver_inbound")) {
    bbw_status rv = bbw_node_deliver_inbound(node, hex(r, json_get(call, "src_peer")), hex(r, json_get(call, "bytes")),
                                             &c->err);
    return result_is(r, rv, json_get(call, "result"));
  }
  if (json_is(name, "push_timer")) { return run_tick(r, node, call); }
  if (json_is(name, "snapshot")) {
    VECTOR(bbw_node_snapshot(node, &r->snapshot, &r->snapshot_len, &c->mem.mem, &c->err) == BBW_OK);
    return true;
  }
  if (json_is(name, "restore")) {
    bbw_node_del(node);
    r->nodes[index] = NULL;
    if (!install_node(r, json_at(vector_get(c, "nodes"), index), &r->nodes[index])) { return false; }
    VECTOR(bbw_node_restore(r->nodes[index], (bbw_bytes){r->snapshot, r->snapshot_len}, &c->err) == BBW_OK);
    VECTOR(bbw_node_incarnation(r->nodes[index]) == json_u64(json_get(call, "incarnation")));
    return true;
  }
  if (json_is(name, "push_completion")) { return run_completion(r, node, call); }
  if (json_is(name, "push_completion_failed")) {
    (void)bbw_node_fail(node, json_u64(json_get(call, "cmd")), json_text(json_get(call, "detail")), &c->err);
    return true;
  }
  if (json_is(name, "add_peer")) { return run_add_peer(r, node, call); }
  if (json_is(name, "block_peer")) {
    return bbw_node_block_peer(node, hex(r, json_get(call, "peer")), &c->err) == BBW_OK;
  }
  if (json_is(name, "unblock_peer")) {
    return bbw_node_unblock_peer(node, hex(r, json_get(call, "peer")), &c->err) == BBW_OK;
  }
  if (json_is(name, "set_allowlist")) { return run_allowlist(r, node, call); }
  return true; /* calls of the reference's engine that have no counterpart */
}

/* Lets everything that can still happen happen, and looks at what is left. */
static bool is_empty_at_the_end(replay *r, bbw_node *node) {
  vectors_case *c = r->c;
  bool is_pending = false;
  for (size_t i = 0; i < POLLS_MAX && !is_pending; i++) {
    bbw_bytes steps;
    VECTOR(bbw_node_poll(node, &steps, &is_pending, &c->err) == BBW_OK);
  }
  VECTOR(is_pending);
  bbw_stats stats;
  bbw_node_stats(node, &stats);
  VECTOR(stats.executions == 0 && stats.slot_table_occupied == 0 && stats.pending_async == 0);
  VECTOR(stats.ingress_bytes_in_flight == stats.held_bytes && stats.ingress_depth == 0);
  return true;
}

static bool run_script(replay *r) {
  vectors_case *c = r->c;
  const json *nodes = vector_get(c, "nodes");
  VECTOR(json_count(nodes) <= NODES_MAX);
  for (size_t i = 0; i < json_count(nodes); i++) {
    if (!install_node(r, json_at(nodes, i), &r->nodes[i])) { return false; }
  }
  const json *script = vector_get(c, "script");
  for (size_t i = 0; i < json_count(script); i++) {
    if (!run_call(r, json_at(script, i))) {
      if (c->why == NULL) { c->why = "a call of the script failed"; }
      printf("  at call %zu of the script\n", i);
      return false;
    }
  }
  for (size_t i = 0; i < NODES_MAX; i++) {
    if (r->nodes[i] != NULL && !is_empty_at_the_end(r, r->nodes[i])) { return false; }
  }
  return true;
}

static bool check(vectors_case *c) {
  size_t deviation = deviation_of(c);
  replay r = {.c = c, .is_strict = deviation == DEVIATION_COUNT};
  bool ok = run_script(&r);
  if (ok && !r.is_strict && strcmp(r.seen, deviations[deviation].steps) != 0) {
    printf("  steps are %s\n", r.seen);
    c->why = "other steps than those that are intended";
    ok = false;
  }
  for (size_t i = 0; i < NODES_MAX; i++) { bbw_node_del(r.nodes[i]); }
  if (r.snapshot != NULL) { c->mem.mem.free(c->mem.mem.ctx, r.snapshot, r.snapshot_len); }
  bool is_different = !r.is_strict || r.has_repeats, is_listed = listed_find(json_text(vector_get(c, "name")));
  if (ok && is_different != is_listed) {
    c->why = is_different ? "it differs, and docs/COMPATIBILITY.md does not say so"
                          : "docs/COMPATIBILITY.md says that it differs";
    ok = false;
  }
  return ok;
}

static void recorded_scripts_give_the_recorded_steps(void **state) {
  (void)state;
  assert_int_equal(vectors_run("traces", check), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_listed_difference_names_weak_spots_that_are_explained),
      cmocka_unit_test(every_weak_spot_has_its_row),
      cmocka_unit_test(recorded_scripts_give_the_recorded_steps),
  };
  read_document();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
