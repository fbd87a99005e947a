/* Every error variant of Node specification §13 that a node can raise, with its fields.  Those of install are in test_install_vectors, those of addresses and ids in test_address and test_peer_id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "bbw/address.h"
#include "bbw/envelope.h"
#include "node/node.h"
#include "stub_components.h"
#include "test_mem.h"

static const char graph[] =
    "slot m Model|StubModel\ntarget M x -> y\nrole.model::Forward x -> y\nbootstrap B k\nsyscall::AppEmit k | name='b'";

typedef struct subject {
  test_mem mem;
  bbw_node *node;
  bbw_config config;
  bbw_error err;
} subject;

static uint8_t zeros[64];
static bbw_bytes bytes(size_t len) { return (bbw_bytes){zeros, len}; }
static bbw_bytes peer(uint64_t number) {
  static uint8_t buf[BBW_PEER_ID_BYTES_MAX];
  bbw_peer_id id = bbw_peer_id_from_u64(number);
  return (bbw_bytes){buf, bbw_peer_id_encode(&id, buf)};
}

static bbw_status event(subject *s, const char *module, const char *input, size_t len) {
  return bbw_node_deliver_event(s->node, (bbw_str){module, strlen(module)}, (bbw_str){input, strlen(input)}, bytes(len),
                                &s->err);
}

static bbw_status full(subject *s) {
  for (int i = 0; i < 4; i++) { assert_int_equal(event(s, "M", "x", 1), BBW_OK); }
  return event(s, "M", "x", 1);
}
static bbw_status unknown_module(subject *s) { return event(s, "N", "x", 1); }
static bbw_status unknown_input(subject *s) { return event(s, "M", "q", 1); }
static bbw_status oversize(subject *s) { return event(s, "M", "x", 9); }
static bbw_status too_many(subject *s) {
  bbw_named_bytes inputs[3] = {{BBW_STR("x"), bytes(1)}, {BBW_STR("x"), bytes(1)}, {BBW_STR("x"), bytes(1)}};
  uint64_t exec_id;
  return bbw_node_invoke(s->node, BBW_STR("M"), inputs, 3, &exec_id, &s->err);
}
static bbw_status no_memory(subject *s) {
  s->mem.fail_at = s->mem.alloc_count;
  bbw_status rv = event(s, "M", "x", 3);
  s->mem.fail_at = TEST_MEM_NEVER;
  return rv;
}
static bbw_status over_budget(subject *s) {
  assert_int_equal(event(s, "M", "x", 8), BBW_OK);
  assert_int_equal(event(s, "M", "x", 8), BBW_OK);
  return event(s, "M", "x", 5);
}

static bbw_status envelope(subject *s, const uint8_t *wire, size_t len) {
  return bbw_node_deliver_inbound(s->node, peer(2), (bbw_bytes){wire, len}, &s->err);
}
static bbw_status malformed(subject *s) { return envelope(s, (const uint8_t[]){0xff}, 1); }
static bbw_status oversize_envelope(subject *s) { return envelope(s, zeros, 60); }
static bbw_status oversize_fill(subject *s) {
  return envelope(s, (const uint8_t[]){0x12, 5, 0x12, 3, 1, 2, 3, 0x38, 1}, 9);
}
static bbw_status too_many_fills(subject *s) { return envelope(s, (const uint8_t[]){0x12, 0, 0x12, 0, 0x38, 1}, 6); }
static bbw_status version(subject *s) { return envelope(s, (const uint8_t[]){0x38, 9}, 2); }
static bbw_status too_many_addresses(subject *s) {
  return envelope(s, (const uint8_t[]){0x38, 1, 0x42, 1, 0, 0x42, 1, 0}, 8);
}
static bbw_status oversize_address(subject *s) {
  return envelope(s, (const uint8_t[]){0x38, 1, 0x42, 6, 0, 0, 0, 0, 0, 0}, 10);
}

static bbw_status boot(subject *s, const char *target, const char *const *inputs, size_t count) {
  bbw_named_bytes named[2];
  for (size_t i = 0; i < count; i++) { named[i] = (bbw_named_bytes){{inputs[i], strlen(inputs[i])}, bytes(20)}; }
  bbw_boot_request request = {{target, strlen(target)}, named, count};
  return bbw_node_run_bootstrap(s->node, &request, 1, &s->err);
}
static bbw_status boot_target(subject *s) { return boot(s, "Z", NULL, 0); }
static bbw_status boot_missing(subject *s) { return boot(s, "B", NULL, 0); }
static bbw_status boot_unknown(subject *s) { return boot(s, "B", (const char *const[]){"k", "q"}, 2); }
static bbw_status boot_budget(subject *s) {
  assert_int_equal(event(s, "M", "x", 1), BBW_OK);
  return boot(s, "B", (const char *const[]){"k"}, 1);
}
static bbw_status boot_twice(subject *s) {
  bbw_named_bytes input = {BBW_STR("k"), bytes(1)};
  bbw_boot_request requests[2] = {{BBW_STR("B"), &input, 1}, {BBW_STR("B"), &input, 1}};
  return bbw_node_run_bootstrap(s->node, requests, 2, &s->err);
}
static bbw_status boot_slot(subject *s) {
  bbw_str slot = BBW_STR("m"); /* it is there, and its component has no bootstrap */
  return bbw_node_run_bootstrap_slots(s->node, &slot, 1, &s->err);
}

static bbw_status restore_changed(subject *s, size_t at, size_t keep) {
  uint8_t *snapshot;
  size_t len;
  assert_int_equal(bbw_node_snapshot(s->node, &snapshot, &len, &s->mem.mem, NULL), BBW_OK);
  snapshot[at] ^= 1;
  bbw_status rv = bbw_node_restore(s->node, (bbw_bytes){snapshot, keep == 0 ? len : keep}, &s->err);
  s->mem.mem.free(s->mem.mem.ctx, snapshot, len);
  return rv;
}
static bbw_status restore_version(subject *s) { return restore_changed(s, 5, 0); }
static bbw_status restore_damaged(subject *s) { return restore_changed(s, 40, 0); }
static bbw_status restore_cut(subject *s) { return restore_changed(s, 40, 20); }
static bbw_status restore_other(subject *s) {
  bbw_node *other = artifact_install("target M x -> z\nsyscall::PassThrough x -> z", NULL, &s->mem.mem, NULL);
  uint8_t *snapshot;
  size_t len;
  assert_int_equal(bbw_node_snapshot(other, &snapshot, &len, &s->mem.mem, NULL), BBW_OK);
  bbw_status rv = bbw_node_restore(s->node, (bbw_bytes){snapshot, len}, &s->err);
  s->mem.mem.free(s->mem.mem.ctx, snapshot, len);
  bbw_node_del(other);
  return rv;
}
static bbw_status import_cut(subject *s) { return bbw_node_import_snapshot(s->node, bytes(7), &s->err); }

static const uint8_t site[10] = {0xe2, 0x01};
static bbw_status add(subject *s, uint64_t number, size_t count) {
  bbw_bytes address = {site, sizeof(site)};
  return bbw_node_add_peer(s->node, peer(number), &address, count, &s->err);
}
static bbw_status book_unknown(subject *s) { return bbw_node_drop_peer(s->node, peer(2), &s->err); }
static bbw_status book_empty(subject *s) { return add(s, 2, 0); }
static bbw_status book_full(subject *s) {
  s->node->engine.address_book.cap = 1; /* the node itself */
  return add(s, 2, 1);
}
static bbw_status book_memory(subject *s) {
  s->mem.fail_at = s->mem.alloc_count;
  bbw_status rv = add(s, 2, 1);
  s->mem.fail_at = TEST_MEM_NEVER;
  return rv;
}
static bbw_status forget_unknown(subject *s) {
  assert_int_equal(bbw_node_drop_peer(s->node, peer(1), &s->err), BBW_OK);
  return bbw_node_forget_local_address(s->node, (bbw_bytes){site, sizeof(site)}, &s->err);
}
static bbw_status no_execution(subject *s) { return bbw_node_cancel(s->node, 7, &s->err); }
static bbw_status no_command(subject *s) { return bbw_node_complete(s->node, 7, NULL, 0, &s->err); }
static bbw_status bad_limit(subject *s) {
  bbw_config config = s->config;
  config.backpressure_high_water_pct = 101;
  return bbw_node_set_config(s->node, &config, &s->err);
}

static void every_variant_has_its_fields(void **state) {
  (void)state;
  static const struct {
    const char *variant;
    bbw_status (*raise)(subject *s);
    bbw_status status;
    const char *fields; /* name=value, ... */
  } rows[] = {
      {"IngressClosed", full, BBW_E_INGRESS_FULL, "capacity=4"},
      {"UnknownModule", unknown_module, BBW_E_UNKNOWN_MODULE, "module=N available=M"},
      {"UnknownInput", unknown_input, BBW_E_UNKNOWN_INPUT, "module=M input=q available=x"},
      {"OversizePayload", oversize, BBW_E_OVERSIZE_PAYLOAD, "byte_count=9 cap=8"},
      {"TooManyInputs", too_many, BBW_E_TOO_MANY_INPUTS, "count=3 cap=2"},
      {"AllocationFailed", no_memory, BBW_E_ALLOCATION_FAILED, "byte_count=3 reason=HeapExhausted"},
      {"BudgetExceeded", over_budget, BBW_E_BUDGET_EXCEEDED, "byte_count=5 budget_remaining=4"},
      {"Malformed", malformed, BBW_E_INVALID_ENVELOPE, "cause=E_ENV_MALFORMED"},
      {"OversizeEnvelope", oversize_envelope, BBW_E_INVALID_ENVELOPE, "cause=E_ENV_OVERSIZE cap_bytes=50 got_bytes=60"},
      {"OversizeSlotFill", oversize_fill, BBW_E_INVALID_ENVELOPE,
       "cause=E_ENV_OVERSIZE_FILL which=payload cap_bytes=2 got_bytes=3"},
      {"TooManySlotFills", too_many_fills, BBW_E_INVALID_ENVELOPE, "cause=E_ENV_TOO_MANY_FILLS cap=1 got=2"},
      {"VersionMismatch", version, BBW_E_INVALID_ENVELOPE, "cause=E_ENV_VERSION got=9 supported=1"},
      {"TooManySrcPeerAddresses", too_many_addresses, BBW_E_INVALID_ENVELOPE,
       "cause=E_ENV_TOO_MANY_SRC_ADDRESSES cap=1 got=2"},
      {"OversizeSrcPeerAddress", oversize_address, BBW_E_INVALID_ENVELOPE,
       "cause=E_ENV_OVERSIZE_SRC_ADDRESS cap_bytes=5 got_bytes=6"},
      {"UnknownTarget", boot_target, BBW_E_BOOT_UNKNOWN_TARGET, "target_name=Z available=B"},
      {"UnknownSlot", boot_slot, BBW_E_BOOT_UNKNOWN_SLOT, "slot=m"},
      {"AlreadyTransitivelyQueued", boot_twice, BBW_E_BOOT_ALREADY_QUEUED, "target_name=B"},
      {"UnknownInput", boot_unknown, BBW_E_BOOT_UNKNOWN_INPUT, "target_name=B input_name=q declared=k"},
      {"MissingInput", boot_missing, BBW_E_BOOT_MISSING_INPUT, "target_name=B input_name=k"},
      {"AllocationFailed", boot_budget, BBW_E_BOOT_ALLOCATION_FAILED,
       "target_name=B byte_count=20 budget_remaining=19"},
      {"SpecVersionMismatch", restore_version, BBW_E_RESTORE_SPEC_VERSION, "got=257 expected=1"},
      {"SnapshotMismatch", restore_other, BBW_E_RESTORE_MISMATCH, "what=artifact"},
      {"damaged", restore_damaged, BBW_E_SNAP_DECODE, "detail=the checksum is wrong"},
      {"cut short", restore_cut, BBW_E_SNAP_DECODE, "detail=the snapshot is truncated"},
      {"cut short, of the reference", import_cut, BBW_E_SNAP_DECODE, "detail=input ends inside a value"},
      {"UnknownPeer", book_unknown, BBW_E_AB_UNKNOWN_PEER, "peer=16uZAbWC1AJvM"},
      {"EmptyAddressList", book_empty, BBW_E_AB_EMPTY, ""},
      {"Full", book_full, BBW_E_AB_FULL, "cap=1"},
      {"AllocationFailed", book_memory, BBW_E_AB_ALLOCATION_FAILED, "requested=1"},
      {"UnknownPeer(self)", forget_unknown, BBW_E_AB_UNKNOWN_PEER, "peer=16uZAbWC1AJvL"},
      {"no such execution", no_execution, BBW_E_UNKNOWN_EXECUTION, "exec_id=7"},
      {"no such command", no_command, BBW_E_UNKNOWN_COMMAND, "cmd_id=7 reason=unknown"},
      {"a limit without meaning", bad_limit, BBW_E_ARG, "field=backpressure_high_water_pct"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    subject s;
    test_mem_init(&s.mem);
    bbw_config_init(&s.config);
    s.config.bus_capacity = 1;
    s.config.max_app_event_bytes = 8;
    s.config.max_invoke_inputs = 2;
    s.config.ingress_byte_budget = 20;
    s.config.envelope_caps = (bbw_envelope_caps){.max_total_bytes = 50,
                                                 .max_slot_fills = 1,
                                                 .max_per_fill_bytes = 2,
                                                 .max_dest_suffix_bytes = 2,
                                                 .max_src_peer_addresses = 1,
                                                 .max_src_peer_address_bytes = 5};
    size_t type_count;
    const bbw_component_type *const *types = stub_component_types(&type_count);
    s.node = artifact_install_with(graph, &s.config, types, type_count, &s.mem.mem, &s.err);
    assert_non_null(s.node);
    bbw_status rv = rows[i].raise(&s);
    if (rv != rows[i].status || s.err.status != rv) { fail_msg("%s: status %d", rows[i].variant, (int)rv); }
    char fields[256], *name = fields;
    snprintf(fields, sizeof(fields), "%s", rows[i].fields);
    while (*name != '\0') {
      char *value = strchr(name, '='), *next = strchr(value, ' ');
      /* A value that is a sentence goes to the end. */
      if (strncmp(name, "detail", 6) == 0 || next == NULL) { next = name + strlen(name); }
      char after = *next;
      *next = '\0';
      *value++ = '\0';
      bbw_str got = bbw_error_field(&s.err, name);
      if (!bbw_str_equal(got, (bbw_str){value, strlen(value)})) {
        fail_msg("%s: %s is %.*s", rows[i].variant, name, (int)got.len, got.ptr == NULL ? "" : got.ptr);
      }
      name = after == '\0' ? next : next + 1;
    }
    bbw_node_del(s.node);
    assert_int_equal(s.mem.live_bytes, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_variant_has_its_fields)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
