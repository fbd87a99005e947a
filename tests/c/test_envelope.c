/* Envelopes: wire specification §4, §5 and §25 as cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "format/envelope.h"
#include "hex.h"
#include "test_mem.h"

#define ADDRESS_1 "a5030a00080000000000000001"
#define ADDRESS_2 "a5030a00080000000000000002"
/* Worked example (a). */
#define EXAMPLE_A                                                                                            \
  "0a0d" ADDRESS_2 "12220a0ae20100000000000000111 20a02000000000000006869 20bdd2a888cce18cc11d 1a0408011001" \
  "2080c2d72f 3801 420d" ADDRESS_1

/* Small numbers, so that every cap can be passed by one. */
static const bbw_envelope_caps small_caps = {
    .max_total_bytes = 64,
    .max_slot_fills = 2,
    .max_per_fill_bytes = 3,
    .max_dest_suffix_bytes = 2,
    .max_src_peer_addresses = 2,
    .max_src_peer_address_bytes = 4,
};

static void the_worked_example(void **state) {
  (void)state;
  uint8_t bytes[128], out[128];
  bbw_envelope envelope;
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_bytes wire = hex_bytes(EXAMPLE_A, bytes);
  assert_int_equal(wire.len, 79);
  assert_int_equal(bbw_envelope_decode(&envelope, wire, &bbw_envelope_caps_default, &arena, NULL), BBW_OK);
  assert_int_equal(envelope.fill_count, 1);
  assert_true(envelope.fills[0].type_hash == 0x1d82330cc10a293d);
  assert_true(envelope.has_correlation);
  assert_int_equal(envelope.correlation_kind, BBW_CORRELATION_REQUEST);
  assert_int_equal(envelope.wire_req_id, 1);
  assert_int_equal(envelope.remaining_deadline_ns, 100000000);
  assert_int_equal(envelope.schema_version, 1);
  assert_int_equal(bbw_envelope_size(&envelope), wire.len);
  bbw_envelope_encode(&envelope, out);
  assert_memory_equal(out, wire.ptr, wire.len);
  /* Views point into the input: nothing was copied. */
  assert_true(envelope.fills[0].payload.ptr > wire.ptr && envelope.fills[0].payload.ptr < wire.ptr + wire.len);
  bbw_arena_free(&arena);
}

static const struct {
  const char *name, *hex;
  bbw_status want;
  const char *field; /* and the value of one of its fields */
  uint64_t value;
} refusals[] = {
    {"longer than allowed, whatever it holds",
     "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
     "f"
     "ffffffffffffffff",
     BBW_E_ENV_OVERSIZE, "got_bytes", 65},
    {"a later broken byte beats every cap", "120512030102030 4 0a", BBW_E_ENV_MALFORMED, NULL, 0},
    {"another version", "3802", BBW_E_ENV_VERSION, "got", 2},
    {"the last version counts", "38013803", BBW_E_ENV_VERSION, "got", 3},
    {"version before fills", "1200 1200 1200 3802", BBW_E_ENV_VERSION, "got", 2},
    {"three fills", "1200 1200 1200", BBW_E_ENV_TOO_MANY_FILLS, "got", 3},
    {"fill count before fill size", "1206 1204 01020304 1200 1200", BBW_E_ENV_TOO_MANY_FILLS, "cap", 2},
    {"a payload of four", "1206 1204 01020304", BBW_E_ENV_OVERSIZE_FILL, "got_bytes", 4},
    {"a suffix of three", "1205 0a03 010203", BBW_E_ENV_OVERSIZE_FILL, "cap_bytes", 2},
    {"payload before suffix of the same fill", "120b 0a03010203 1204 01020304", BBW_E_ENV_OVERSIZE_FILL, "cap_bytes",
     3},
    {"suffix of the first fill before payload of the second", "1205 0a03 010203 1206 1204 01020304",
     BBW_E_ENV_OVERSIZE_FILL, "cap_bytes", 2},
    {"fills before source addresses", "4200 4200 4200 1206 1204 01020304", BBW_E_ENV_OVERSIZE_FILL, "cap_bytes", 3},
    {"three source addresses", "4200 4200 4200", BBW_E_ENV_TOO_MANY_SRC_ADDRESSES, "got", 3},
    {"their count before their size", "4205 0102030405 4200 4200", BBW_E_ENV_TOO_MANY_SRC_ADDRESSES, "cap", 2},
    {"a source address of five", "4205 0102030405", BBW_E_ENV_OVERSIZE_SRC_ADDRESS, "got_bytes", 5},
    {"the first of two that are too long", "4205 0102030405 4206 010203040506", BBW_E_ENV_OVERSIZE_SRC_ADDRESS,
     "got_bytes", 5},
    {"a fill as a number", "1001", BBW_E_ENV_MALFORMED, NULL, 0},
    {"a deadline as bytes", "2200", BBW_E_ENV_MALFORMED, NULL, 0},
    {"a payload as a number", "12021001", BBW_E_ENV_MALFORMED, NULL, 0},
    {"an end of group that nothing opened", "4c", BBW_E_ENV_MALFORMED, NULL, 0},
    {"a fill longer than the rest", "1205 12", BBW_E_ENV_MALFORMED, NULL, 0},
    {"a payload that leaves its fill", "1202 1204 01020304", BBW_E_ENV_MALFORMED, NULL, 0},
};

static void refusals_in_their_order(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
    uint8_t bytes[128];
    test_mem mem;
    bbw_arena arena;
    bbw_envelope envelope, before;
    bbw_error err;
    test_mem_init(&mem);
    bbw_arena_init(&arena, &mem.mem);
    memset(&envelope, 0x5a, sizeof(envelope));
    before = envelope;
    bbw_status rv = bbw_envelope_decode(&envelope, hex_bytes(refusals[i].hex, bytes), &small_caps, &arena, &err);
    if (rv != refusals[i].want) { fail_msg("%s: %d", refusals[i].name, (int)rv); }
    if (refusals[i].field != NULL && bbw_error_number(&err, refusals[i].field) != refusals[i].value) {
      fail_msg("%s: field", refusals[i].name);
    }
    assert_memory_equal(&envelope, &before, sizeof(envelope));
    assert_int_equal(mem.alloc_count, 0); /* a refusal costs no memory */
    bbw_arena_free(&arena);
  }
  bbw_envelope_scan scan; /* no bytes may also be at no address */
  assert_int_equal(bbw_envelope_scan_bytes(&scan, (bbw_bytes){NULL, 0}, &bbw_envelope_caps_default, NULL), BBW_OK);
  assert_int_equal(scan.envelope.fill_count, 0);
}

static void at_every_cap(void **state) {
  (void)state;
  uint8_t bytes[128];
  bbw_arena arena;
  bbw_envelope envelope;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_bytes wire = hex_bytes("1209 0a020102 1203010203 1200 4204 01020304 4200 32 27"
                             "000000000000000000000000000000000000000000000000000000000000000000000000000000",
                             bytes);
  assert_int_equal(wire.len, small_caps.max_total_bytes - 2);
  assert_int_equal(bbw_envelope_decode(&envelope, wire, &small_caps, &arena, NULL), BBW_OK);
  assert_int_equal(envelope.fill_count, 2);
  assert_int_equal(envelope.src_peer_address_count, 2);
  assert_int_equal(envelope.src_peer_bytes.len, 39);
  bbw_arena_free(&arena);
}

static void lists_without_a_cap_of_their_own_are_bounded(void **state) {
  (void)state;
  static const struct {
    uint8_t tag;
    size_t max;
    const char *which;
  } lists[] = {
      {0x0a, BBW_ENVELOPE_DEST_ADDRESSES_MAX, "dest_peer_addresses"},
      {0x2a, BBW_ENVELOPE_RTT_REPORTS_MAX, "edge_rtt_reports"},
  };
  for (size_t i = 0; i < 2; i++) {
    uint8_t bytes[4096] = {0};
    for (size_t k = 0; k <= lists[i].max; k++) { bytes[2 * k] = lists[i].tag; }
    bbw_arena arena;
    bbw_envelope envelope;
    bbw_error err;
    bbw_arena_init(&arena, &bbw_mem_libc);
    bbw_bytes most = {bytes, 2 * lists[i].max};
    bbw_bytes more = {bytes, 2 * lists[i].max + 2};
    assert_int_equal(bbw_envelope_decode(&envelope, most, &bbw_envelope_caps_default, &arena, NULL), BBW_OK);
    assert_int_equal(bbw_envelope_decode(&envelope, more, &bbw_envelope_caps_default, &arena, &err), BBW_E_LIMIT);
    assert_int_equal(bbw_error_number(&err, "got"), lists[i].max + 1);
    assert_true(bbw_str_equal(bbw_error_field(&err, "which"), (bbw_str){lists[i].which, strlen(lists[i].which)}));
    bbw_arena_free(&arena);
  }
}

static void protobuf_rules(void **state) {
  (void)state;
  static const struct {
    const char *name, *hex, *again;
  } rows[] = {
      {"no bytes", "", ""},
      {"an empty correlation stays", "1a00", "1a00"},
      {"correlations merge", "1a020801 1a021005", "1a0408011005"},
      {"an unknown kind stays", "1a0b08ffffffffffffffffff01", "1a0b08ffffffffffffffffff01"},
      {"unknown fields go", "0d 0a0d", NULL}, /* 0d: field 1 as fixed32 */
      {"unknown field 15 as bytes goes", "7a0161 3801", "3801"},
      {"unknown group goes", "7b08017c 3801", "3801"},
      {"a version of 2^32 + 1 is 1", "388180808010", "3801"},
      {"any number but 0 is true", "12021802", "12021801"},
      {"empty addresses stay", "0a00 0a00", "0a000a00"},
      {"a zero deadline goes", "2000", ""},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint8_t bytes[64], want_bytes[64], out[64];
    bbw_arena arena;
    bbw_envelope envelope;
    bbw_arena_init(&arena, &bbw_mem_libc);
    bbw_status rv = bbw_envelope_decode(&envelope, hex_bytes(rows[i].hex, bytes), &bbw_envelope_caps_default, &arena,
                                        NULL);
    if ((rv == BBW_OK) != (rows[i].again != NULL)) { fail_msg("%s: %d", rows[i].name, (int)rv); }
    if (rv == BBW_OK) {
      bbw_bytes want = hex_bytes(rows[i].again, want_bytes);
      size_t size = bbw_envelope_size(&envelope);
      bbw_envelope_encode(&envelope, out);
      if (!bbw_bytes_equal((bbw_bytes){out, size}, want)) { fail_msg("%s: other bytes", rows[i].name); }
    }
    bbw_arena_free(&arena);
  }
}

static void cut_and_flipped(void **state) {
  (void)state;
  uint8_t bytes[128];
  bbw_bytes wire = hex_bytes(EXAMPLE_A, bytes);
  size_t accepted = 0;
  for (size_t len = 0; len <= wire.len; len++) {
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    test_mem mem;
    bbw_arena arena;
    bbw_envelope envelope;
    memcpy(exact, bytes, len);
    test_mem_init(&mem);
    bbw_arena_init(&arena, &mem.mem);
    bbw_status rv = bbw_envelope_decode(&envelope, (bbw_bytes){exact, len}, &bbw_envelope_caps_default, &arena, NULL);
    assert_true(rv == BBW_OK || rv == BBW_E_ENV_MALFORMED);
    accepted += rv == BBW_OK;
    bbw_arena_free(&arena);
    assert_int_equal(mem.live_bytes, 0);
    free(exact);
  }
  assert_int_equal(accepted, 7); /* behind each of the six fields, and nothing */
  for (size_t bit = 0; bit < 8 * wire.len; bit++) {
    test_mem mem;
    bbw_arena arena;
    bbw_envelope envelope;
    bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    test_mem_init(&mem);
    mem.limit_bytes = 65536;
    bbw_arena_init(&arena, &mem.mem);
    assert_int_not_equal(bbw_envelope_decode(&envelope, wire, &bbw_envelope_caps_default, &arena, NULL), BBW_E_NOMEM);
    bbw_arena_free(&arena);
    bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
  }
}

static void every_allocation_fails_once(void **state) {
  (void)state;
  uint8_t bytes[128];
  bbw_bytes wire = hex_bytes(EXAMPLE_A, bytes);
  test_mem mem;
  test_mem_init(&mem);
  bbw_status rv = BBW_E_NOMEM;
  size_t nth = 0;
  for (; rv != BBW_OK; nth++) {
    bbw_arena arena;
    bbw_envelope envelope;
    bbw_error err;
    bbw_arena_init(&arena, test_mem_fail_at(&mem, nth));
    rv = bbw_envelope_decode(&envelope, wire, &bbw_envelope_caps_default, &arena, &err);
    assert_true(rv == BBW_OK || (rv == BBW_E_NOMEM && err.status == BBW_E_NOMEM));
    bbw_arena_free(&arena);
    assert_int_equal(mem.live_bytes, 0);
  }
  assert_true(nth > 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_worked_example),
      cmocka_unit_test(refusals_in_their_order),
      cmocka_unit_test(at_every_cap),
      cmocka_unit_test(lists_without_a_cap_of_their_own_are_bounded),
      cmocka_unit_test(protobuf_rules),
      cmocka_unit_test(cut_and_flipped),
      cmocka_unit_test(every_allocation_fails_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
