/* The payload encoding: install specification §7 as cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/bincode.h"
#include "hex.h"

static bbw_bincode_reader reader_over(const char *hex, uint8_t *bytes) {
  return (bbw_bincode_reader){.bytes = hex_bytes(hex, bytes)};
}

static void numbers_are_little_endian(void **state) {
  (void)state;
  uint8_t bytes[32], byte;
  uint32_t word;
  uint64_t wide;
  bbw_bincode_reader reader = reader_over("01 02030405 060708090a0b0c0d", bytes);
  assert_true(bbw_bincode_u8(&reader, &byte) && byte == 1);
  assert_true(bbw_bincode_u32(&reader, &word) && word == 0x05040302);
  assert_true(bbw_bincode_u64(&reader, &wide) && wide == 0x0d0c0b0a09080706);
  assert_int_equal(reader.at, reader.bytes.len);
  assert_false(bbw_bincode_u8(&reader, &byte));
  assert_non_null(reader.reason);
}

static void lengths_are_bounded_by_what_is_left(void **state) {
  (void)state;
  static const struct {
    const char *hex;
    size_t element;
    bool want;
  } rows[] = {
      {"0000000000000000", 1, true},       {"0100000000000000", 1, false},         {"0100000000000000 aa", 1, true},
      {"0200000000000000 aaaa", 2, false}, {"0200000000000000 aaaaaaaa", 2, true}, {"ffffffffffffffff aaaa", 1, false},
      {"0000000001000000 aaaa", 1, false}, /* 2^32: a 32-bit size would be 0 */
      {"0100000001000000 aaaa", 1, false}, {"0000000000000010 aaaa", 16, false},   {"00000000000000", 1, false},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint8_t bytes[32];
    size_t count;
    bbw_bincode_reader reader = reader_over(rows[i].hex, bytes);
    if (bbw_bincode_count(&reader, rows[i].element, &count) != rows[i].want) { fail_msg("%s", rows[i].hex); }
  }
}

static void text_is_utf8(void **state) {
  (void)state;
  uint8_t bytes[64];
  bbw_str text;
  bbw_bincode_reader reader = reader_over("0600000000000000 68c3a96c6c6f ff", bytes);
  assert_true(bbw_bincode_text(&reader, &text));
  assert_int_equal(text.len, 6);
  assert_int_equal(reader.at, 14); /* what follows is the caller's business */
  reader = reader_over("0200000000000000 c328", bytes);
  assert_false(bbw_bincode_text(&reader, &text));
  assert_int_equal(reader.at, 0);
}

static void addresses_have_a_form_of_their_own(void **state) {
  (void)state;
  uint8_t bytes[128], want[64], out[64], payload[128];
  size_t len = 0, again = 0;
  bbw_bincode_reader reader = reader_over(
      "0200000000000000 00000000 0a00000000000000 00080000000000000007 01000000 1100000000000000", bytes);
  bbw_bincode_reader second = reader;
  bbw_bytes binary = hex_bytes("a5030a00080000000000000007 e2010000000000000011", want);
  assert_true(bbw_bincode_address(&reader, NULL, &len));
  assert_int_equal(len, binary.len);
  assert_true(bbw_bincode_address(&second, out, &again));
  assert_true(bbw_bytes_equal((bbw_bytes){out, again}, binary));
  assert_int_equal(bbw_bincode_address_size(binary), reader.bytes.len);
  assert_ptr_equal(bbw_bincode_put_address(payload, binary), payload + reader.bytes.len);
  assert_memory_equal(payload, reader.bytes.ptr, reader.bytes.len);
}

static void addresses_that_are_refused(void **state) {
  (void)state;
  static const char *const rows[] = {
      "",
      "ffffffffffffffff",
      "0100000000000000 04000000",
      "0100000000000000 ffffffff",
      "0100000000000000 01000000 11000000000000",
      "0100000000000000 03000000 0100000000000000 ff",
      "0100000000000000 03000000 ffffffffffffffff",
      "0100000000000000 00000000 0100000000000000 00",
      "0200000000000000 02000000 05000000",
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint8_t bytes[64];
    size_t len;
    bbw_bincode_reader reader = reader_over(rows[i], bytes);
    if (bbw_bincode_address(&reader, NULL, &len)) { fail_msg("accepted: %s", rows[i]); }
    assert_non_null(reader.reason);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_are_little_endian),
      cmocka_unit_test(lengths_are_bounded_by_what_is_left),
      cmocka_unit_test(text_is_utf8),
      cmocka_unit_test(addresses_have_a_form_of_their_own),
      cmocka_unit_test(addresses_that_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
