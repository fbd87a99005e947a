/* Values and their payloads: install specification §6.3, §7 and §8 as cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "format/bincode.h"
#include "format/value.h"
#include "hex.h"
#include "test_mem.h"

static void hashes_are_those_of_the_paths(void **state) {
  (void)state;
  static const struct {
    uint64_t hash;
    const char *path, *name;
  } rows[] = {
#define TYPE(name_, js, hash_, decoder, path_, lattice) {hash_, path_, #js},
#include "bbw/types.def"
#undef TYPE
  };
  for (size_t i = 0; i < BBW_TYPE_COUNT; i++) {
    bbw_type type;
    bbw_str path = {rows[i].path, strlen(rows[i].path)};
    assert_true(bbw_fnv1a(BBW_FNV1A_OFFSET, bbw_str_bytes(path)) == rows[i].hash);
    assert_true(bbw_type_from_hash(rows[i].hash, &type) && type == i);
    assert_true(bbw_type_hash((bbw_type)i) == rows[i].hash);
    assert_true(bbw_type_is_decodable((bbw_type)i));
    assert_true(bbw_str_equal(bbw_type_name((bbw_type)i), (bbw_str){rows[i].name, strlen(rows[i].name)}));
  }
}

/* ---- one value of every type, and its payload --------------------------------------------------------------------- */

#define PEER_7         "00080000000000000007"
#define PEER_7_PAYLOAD "0a00000000000000" PEER_7

static const struct {
  bbw_type type;
  const char *payload;
} samples[] = {
    {BBW_TYPE_TRIGGER, ""},
    {BBW_TYPE_UNIT, ""},
    {BBW_TYPE_PEER_ID, PEER_7_PAYLOAD},
    {BBW_TYPE_RAW_PEER, PEER_7_PAYLOAD},
    {BBW_TYPE_PEER_ID_VEC, "0200000000000000" PEER_7_PAYLOAD PEER_7_PAYLOAD},
    {BBW_TYPE_RAW_PEER_VEC, "0000000000000000"},
    {BBW_TYPE_COMMAND_ID, "0700000000000000"},
    {BBW_TYPE_TIMESTAMP, "ffffffffffffffff"},
    {BBW_TYPE_WIRE_REQ_ID, "0700000000000000"},
    {BBW_TYPE_CORRELATION_TOKEN, "0000000000000000"},
    {BBW_TYPE_U64, "0100000000000080"},
    {BBW_TYPE_RAW_U64, "0500000000000000"},
    {BBW_TYPE_FEDAVG_META, "2000000000000000"},
    {BBW_TYPE_RAW_U32, "05000000"},
    {BBW_TYPE_RAW_F32, "0000803f"},
    {BBW_TYPE_BYTES, "0200000000000000aabb"},
    {BBW_TYPE_BYTE_SLICE, "0000000000000000"},
    {BBW_TYPE_ADDRESS, "0200000000000000 00000000" PEER_7_PAYLOAD "01000000 1100000000000000"},
    {BBW_TYPE_ADDRESS_VEC,
     "0200000000000000 0000000000000000 0200000000000000 02000000 05000000 03000000 0400000000000000 46696e64"},
    {BBW_TYPE_COMPOSITE, "0200000000000000 f2ae60f47d30569e 0800000000000000 0700000000000000"
                         "a05c41934aec08f4 0000000000000000"},
    {BBW_TYPE_HITS, "0200000000000000 0300000000000000 0000003f 0400000000000000 0100c07f"},
    {BBW_TYPE_CPU_TENSOR, "01 0200000000000000 0100000000000000 0200000000000000 0200000000000000 0000803f 00000040"
                          "0200000000000000 0100000000000000 0200000000000000"},
    {BBW_TYPE_BOXED_CPU_TENSOR, "01 0000000000000000 0100000000000000 00004040 0000000000000000"},
    {BBW_TYPE_F32_SLICE, "0200000000000000 0000803f 000020c0"},
    {BBW_TYPE_F32_SLICE_VEC, "0200000000000000 0100000000000000 0000803f 0000000000000000"},
};
#define SAMPLE_COUNT (sizeof(samples) / sizeof(samples[0]))

static void every_type_has_a_sample(void **state) {
  (void)state;
  assert_int_equal(SAMPLE_COUNT, BBW_TYPE_COUNT);
  for (size_t i = 0; i < SAMPLE_COUNT; i++) {
    for (size_t k = 0; k < i; k++) { assert_int_not_equal(samples[i].type, samples[k].type); }
  }
}

static bbw_status decode_and_compare(bbw_type type, bbw_bytes payload, const bbw_mem *mem, bool *is_equal) {
  bbw_value *value;
  bbw_error err;
  bbw_status rv = bbw_value_decode(&value, bbw_type_hash(type), payload, mem, &err);
  if (rv != BBW_OK) {
    assert_int_equal(err.status, rv);
    return rv;
  }
  size_t size = bbw_value_payload_size(value);
  uint8_t *out = malloc(size + 1);
  bbw_value_payload_write(value, out);
  *is_equal = value->type == type && bbw_bytes_equal((bbw_bytes){out, size}, payload);
  free(out);
  bbw_value_release(value, mem);
  return BBW_OK;
}

static void payloads_come_back(void **state) {
  (void)state;
  for (size_t i = 0; i < SAMPLE_COUNT; i++) {
    uint8_t bytes[256];
    bool is_equal = false;
    bbw_bytes payload = hex_bytes(samples[i].payload, bytes);
    test_mem mem;
    test_mem_init(&mem);
    assert_int_equal(decode_and_compare(samples[i].type, payload, &mem.mem, &is_equal), BBW_OK);
    if (!is_equal) { fail_msg("type %d", (int)samples[i].type); }
    assert_int_equal(mem.live_bytes, 0);
  }
}

static void cut_payloads_are_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < SAMPLE_COUNT; i++) {
    uint8_t bytes[256];
    bbw_bytes payload = hex_bytes(samples[i].payload, bytes);
    for (size_t len = 0; len < payload.len; len++) {
      uint8_t *exact = malloc(len == 0 ? 1 : len);
      test_mem mem;
      bool is_equal;
      memcpy(exact, bytes, len);
      test_mem_init(&mem);
      assert_int_equal(decode_and_compare(samples[i].type, (bbw_bytes){exact, len}, &mem.mem, &is_equal), BBW_E_DECODE);
      assert_int_equal(mem.live_bytes, 0);
      free(exact);
    }
  }
}

static void flipped_payloads_are_answered(void **state) {
  (void)state;
  for (size_t i = 0; i < SAMPLE_COUNT; i++) {
    uint8_t bytes[256];
    bbw_bytes payload = hex_bytes(samples[i].payload, bytes);
    for (size_t bit = 0; bit < 8 * payload.len; bit++) {
      test_mem mem;
      bool is_equal;
      test_mem_init(&mem);
      mem.limit_bytes = 65536; /* memory stays in proportion to the input */
      bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
      bbw_status rv = decode_and_compare(samples[i].type, payload, &mem.mem, &is_equal);
      assert_true(rv == BBW_OK || rv == BBW_E_DECODE);
      assert_int_equal(mem.live_bytes, 0);
      bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
  }
}

static void every_allocation_fails_once(void **state) {
  (void)state;
  for (size_t i = 0; i < SAMPLE_COUNT; i++) {
    uint8_t bytes[256];
    bbw_bytes payload = hex_bytes(samples[i].payload, bytes);
    test_mem mem;
    bool is_equal = false;
    test_mem_init(&mem);
    bbw_status rv = BBW_E_NOMEM;
    size_t nth = 0;
    for (; rv != BBW_OK; nth++) {
      rv = decode_and_compare(samples[i].type, payload, test_mem_fail_at(&mem, nth), &is_equal);
      assert_true(rv == BBW_OK || rv == BBW_E_NOMEM);
      assert_int_equal(mem.live_bytes, 0);
    }
    assert_true(nth > 1 && is_equal);
  }
}

/* ---- refusals ----------------------------------------------------------------------------------------------------- */

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bbw_type type;
    const char *payload;
  } rows[] = {
      {"a composite of 2^60 children", BBW_TYPE_COMPOSITE, "0000000000000010"},
      {"a composite of 2^64 - 1 children", BBW_TYPE_COMPOSITE, "ffffffffffffffff"},
      {"a child of an unknown type", BBW_TYPE_COMPOSITE, "0100000000000000 0000000000000000 0000000000000000"},
      {"a child longer than the rest", BBW_TYPE_COMPOSITE, "0100000000000000 a05c41934aec08f4 0100000000000000"},
      {"a child that does not decode", BBW_TYPE_COMPOSITE,
       "0100000000000000 8d20594c71ed4cb9 0400000000000000 00000000"},
      {"an unknown array version", BBW_TYPE_CPU_TENSOR,
       "02 0000000000000000 0100000000000000 00004040 0000000000000000"},
      {"a shape that does not fit", BBW_TYPE_CPU_TENSOR, "01 0000000000000000 0000000000000000 0000000000000000"},
      {"33 dimensions", BBW_TYPE_CPU_TENSOR,
       "01 2100000000000000"
       "0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000"
       "0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000"
       "0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000"
       "0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000"
       "0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000"
       "0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000"},
      {"dims whose product overflows, one of them 0", BBW_TYPE_CPU_TENSOR,
       "01 0300000000000000 ffffffffffffff7f 0200000000000000 0000000000000000 0000000000000000 0000000000000000"},
      {"2^62 slices", BBW_TYPE_F32_SLICE_VEC, "0000000000000040"},
      {"2^62 hits", BBW_TYPE_HITS, "0000000000000040"},
      {"a peer that is none", BBW_TYPE_PEER_ID, "0100000000000000 00"},
      {"a list of peers, the second bad", BBW_TYPE_PEER_ID_VEC,
       "0200000000000000" PEER_7_PAYLOAD "0a00000000000000 ff"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint8_t bytes[512];
    test_mem mem;
    bbw_value *value = NULL;
    bbw_error err;
    test_mem_init(&mem);
    bbw_bytes payload = hex_bytes(rows[i].payload, bytes);
    bbw_status rv = bbw_value_decode(&value, bbw_type_hash(rows[i].type), payload, &mem.mem, &err);
    if (rv != BBW_E_DECODE || value != NULL) { fail_msg("%s: %d", rows[i].name, (int)rv); }
    assert_true(bbw_error_field(&err, "summary").len != 0);
    assert_int_equal(mem.live_bytes, 0);
  }
  bbw_value *value;
  bbw_error err;
  assert_int_equal(bbw_value_decode(&value, 42, (bbw_bytes){NULL, 0}, &bbw_mem_libc, &err), BBW_E_UNKNOWN_TYPE_HASH);
  assert_int_equal(bbw_error_number(&err, "type_hash"), 42);
}

static void trailing_bytes_are_ignored(void **state) {
  (void)state;
  uint8_t bytes[64];
  bbw_value *value;
  bbw_bytes payload = hex_bytes("0700000000000000 ff", bytes);
  assert_int_equal(bbw_value_decode(&value, bbw_type_hash(BBW_TYPE_WIRE_REQ_ID), payload, &bbw_mem_libc, NULL), BBW_OK);
  assert_int_equal(value->as.u64, 7);
  assert_int_equal(bbw_value_payload_size(value), 8);
  bbw_value_release(value, &bbw_mem_libc);
}

/* ---- nesting ------------------------------------------------------------------------------------------------------ */

/* A composite in a composite ..., `depth` of them, the innermost empty. */
static bbw_bytes nested_payload(size_t depth, uint8_t *out) {
  size_t size = 8 + 24 * (depth - 1);
  uint8_t *at = out;
  for (size_t i = depth; i > 1; i--) {
    at = bbw_bincode_put_u64(at, 1);
    at = bbw_bincode_put_u64(at, bbw_type_hash(BBW_TYPE_COMPOSITE));
    at = bbw_bincode_put_u64(at, 8 + 24 * (i - 2));
  }
  at = bbw_bincode_put_u64(at, 0);
  assert_int_equal(at - out, size);
  return (bbw_bytes){out, size};
}

static void composites_nest_up_to_the_limit(void **state) {
  (void)state;
  static uint8_t bytes[8 + 24 * 2 * BBW_COMPOSITE_DEPTH_MAX];
  test_mem mem;
  bool is_equal = false;
  test_mem_init(&mem);
  bbw_bytes payload = nested_payload(BBW_COMPOSITE_DEPTH_MAX, bytes);
  assert_int_equal(decode_and_compare(BBW_TYPE_COMPOSITE, payload, &mem.mem, &is_equal), BBW_OK);
  assert_true(is_equal);
  payload = nested_payload(BBW_COMPOSITE_DEPTH_MAX + 1, bytes);
  assert_int_equal(decode_and_compare(BBW_TYPE_COMPOSITE, payload, &mem.mem, &is_equal), BBW_E_DEPTH);
  assert_int_equal(mem.live_bytes, 0);
  /* And when they are made here. */
  bbw_value *value, *outer;
  assert_int_equal(bbw_value_new_plain(&value, BBW_TYPE_TRIGGER, 0, &mem.mem), BBW_OK);
  for (size_t i = 0; i < BBW_COMPOSITE_DEPTH_MAX; i++) {
    assert_int_equal(bbw_value_new_list(&outer, BBW_TYPE_COMPOSITE, &value, 1, &mem.mem), BBW_OK);
    bbw_value_release(value, &mem.mem);
    value = outer;
  }
  assert_int_equal(value->depth, BBW_COMPOSITE_DEPTH_MAX);
  assert_int_equal(bbw_value_new_list(&outer, BBW_TYPE_COMPOSITE, &value, 1, &mem.mem), BBW_E_DEPTH);
  bbw_value_release(value, &mem.mem);
  assert_int_equal(mem.live_bytes, 0);
}

/* Each level holds the one below twice, so the payload doubles 100 times and the memory does not. */
static void shared_children_cost_nothing(void **state) {
  (void)state;
  test_mem mem;
  bbw_value *value, *outer;
  test_mem_init(&mem);
  assert_int_equal(bbw_value_new_plain(&value, BBW_TYPE_TRIGGER, 0, &mem.mem), BBW_OK);
  for (size_t i = 0; i < 100; i++) {
    bbw_value *both[] = {value, value};
    assert_int_equal(bbw_value_new_list(&outer, BBW_TYPE_COMPOSITE, both, 2, &mem.mem), BBW_OK);
    bbw_value_release(value, &mem.mem);
    value = outer;
  }
  assert_true(bbw_value_payload_size(value) == SIZE_MAX);
  bbw_value_release(value, &mem.mem);
  assert_int_equal(mem.live_bytes, 0);
}

/* ---- makers ------------------------------------------------------------------------------------------------------- */

static void makers_check_their_input(void **state) {
  (void)state;
  bbw_value *value = NULL;
  float *data;
  const bbw_mem *mem = &bbw_mem_libc;
  uint8_t bad_bytes[] = {0x00};
  bbw_bytes bad = {bad_bytes, 1};
  uint64_t huge[] = {UINT64_MAX, 2}, one[] = {1}, many[BBW_TENSOR_RANK_MAX + 1] = {0};
  assert_int_equal(bbw_value_new_plain(&value, BBW_TYPE_BYTES, 0, mem), BBW_E_ARG);
  assert_int_equal(bbw_value_new_plain(&value, BBW_TYPE_RAW_U32, UINT64_C(1) << 32, mem), BBW_E_ARG);
  assert_int_equal(bbw_value_new_bytes(&value, BBW_TYPE_TRIGGER, bad, mem), BBW_E_ARG);
  assert_int_equal(bbw_value_new_bytes(&value, BBW_TYPE_PEER_ID, bad, mem), BBW_E_PEER_ID);
  assert_int_equal(bbw_value_new_bytes(&value, BBW_TYPE_ADDRESS, bad, mem), BBW_E_UNKNOWN_CODE);
  assert_int_equal(bbw_value_new_blobs(&value, BBW_TYPE_PEER_ID_VEC, &bad, 1, mem), BBW_E_PEER_ID);
  assert_int_equal(bbw_value_new_blobs(&value, BBW_TYPE_BYTES, &bad, 1, mem), BBW_E_ARG);
  assert_int_equal(bbw_value_new_tensor(&value, &data, BBW_TYPE_CPU_TENSOR, huge, 2, mem), BBW_E_SHAPE);
  assert_int_equal(bbw_value_new_tensor(&value, &data, BBW_TYPE_CPU_TENSOR, many, BBW_TENSOR_RANK_MAX + 1, mem),
                   BBW_E_SHAPE);
  assert_int_equal(bbw_value_new_tensor(&value, &data, BBW_TYPE_F32_SLICE, one, 0, mem), BBW_E_SHAPE);
  assert_int_equal(bbw_value_new_tensor(&value, &data, BBW_TYPE_BYTES, one, 1, mem), BBW_E_ARG);
  assert_null(value);
  bbw_value *plain;
  assert_int_equal(bbw_value_new_plain(&plain, BBW_TYPE_TRIGGER, 0, mem), BBW_OK);
  assert_int_equal(bbw_value_new_list(&value, BBW_TYPE_F32_SLICE_VEC, &plain, 1, mem), BBW_E_ARG);
  assert_int_equal(plain->refs, 1);
  bbw_value_release(plain, mem);
  bbw_value_release(NULL, mem);
}

static void tensors_are_aligned_and_zeroed(void **state) {
  (void)state;
  static const uint64_t dims[] = {3, 5, 7};
  for (uint32_t rank = 0; rank <= 3; rank++) {
    test_mem mem;
    bbw_value *value;
    float *data;
    test_mem_init(&mem);
    assert_int_equal(bbw_value_new_tensor(&value, &data, BBW_TYPE_CPU_TENSOR, dims, rank, &mem.mem), BBW_OK);
    static const size_t counts[] = {1, 3, 15, 105};
    assert_int_equal(value->as.tensor.count, counts[rank]);
    assert_int_equal((uintptr_t)data % 16, 0);
    for (size_t i = 0; i < value->as.tensor.count; i++) { assert_true(data[i] == 0.0f); }
    assert_true(bbw_value_is_tensor(value));
    bbw_value_release(value, &mem.mem);
    assert_int_equal(mem.live_bytes, 0);
  }
}

static void references_are_counted(void **state) {
  (void)state;
  test_mem mem;
  bbw_value *leaf, *list;
  test_mem_init(&mem);
  assert_int_equal(bbw_value_new_f32(&leaf, 1.5f, &mem.mem), BBW_OK);
  assert_ptr_equal(bbw_value_retain(leaf), leaf);
  bbw_value *items[] = {leaf, leaf, leaf};
  assert_int_equal(bbw_value_new_list(&list, BBW_TYPE_COMPOSITE, items, 3, &mem.mem), BBW_OK);
  assert_int_equal(leaf->refs, 5);
  bbw_value_release(list, &mem.mem);
  assert_int_equal(leaf->refs, 2);
  bbw_value_release(leaf, &mem.mem);
  assert_true(mem.live_bytes != 0);
  bbw_value_release(leaf, &mem.mem);
  assert_int_equal(mem.live_bytes, 0);
}

/* What has several spellings is kept in the shortest, so that it leaves as the reference writes it. */
static void unusual_spellings_become_usual(void **state) {
  (void)state;
  uint8_t odd_bytes[32], want[32];
  bbw_value *value;
  bbw_bytes odd = hex_bytes("8080808080808080800200", odd_bytes);
  assert_int_equal(bbw_value_new_bytes(&value, BBW_TYPE_PEER_ID, odd, &bbw_mem_libc), BBW_OK);
  assert_true(bbw_bytes_equal(value->as.bytes, hex_bytes("0000", want)));
  bbw_value_release(value, &bbw_mem_libc);
  assert_int_equal(bbw_value_new_blobs(&value, BBW_TYPE_RAW_PEER_VEC, &odd, 1, &bbw_mem_libc), BBW_OK);
  assert_true(bbw_bytes_equal(value->as.blobs.items[0], hex_bytes("0000", want)));
  bbw_value_release(value, &bbw_mem_libc);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hashes_are_those_of_the_paths),
      cmocka_unit_test(every_type_has_a_sample),
      cmocka_unit_test(payloads_come_back),
      cmocka_unit_test(cut_payloads_are_refused),
      cmocka_unit_test(flipped_payloads_are_answered),
      cmocka_unit_test(every_allocation_fails_once),
      cmocka_unit_test(refusals),
      cmocka_unit_test(trailing_bytes_are_ignored),
      cmocka_unit_test(composites_nest_up_to_the_limit),
      cmocka_unit_test(shared_children_cost_nothing),
      cmocka_unit_test(makers_check_their_input),
      cmocka_unit_test(tensors_are_aligned_and_zeroed),
      cmocka_unit_test(references_are_counted),
      cmocka_unit_test(unusual_spellings_become_usual),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
