/* Addresses: wire specification §3 and §25 as cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bbw/address.h"
#include "hex.h"

#define PEER_1  "a5030a00080000000000000001"
#define SITE_17 "e2010000000000000011"

static bbw_str text_of(const char *text) { return (bbw_str){text, strlen(text)}; }

static void worked_examples(void **state) {
  (void)state;
  static const struct {
    const char *text, *hex;
  } rows[] = {
      {"", ""},
      {"/p2p/16uZAbWC1AJvL", PEER_1},
      {"/site/17", SITE_17},
      {"/p2p/16uZAbWC1AJvL/site/17", PEER_1 SITE_17},
      {"/component/5/op/FindNode", "e30100000005 e40108 46696e644e6f6465"},
      {"/component/0/op/Announce", "e30100000000 e40108 416e6e6f756e6365"},
      {"/component/1/op/Handshake", "e30100000001 e40109 48616e647368616b65"},
      {"/op/", "e40100"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint8_t want_bytes[128], got[128];
    char text[128];
    size_t need;
    bbw_bytes want = hex_bytes(rows[i].hex, want_bytes);
    assert_int_equal(bbw_address_from_text(text_of(rows[i].text), got, sizeof(got), &need, NULL), BBW_OK);
    assert_true(bbw_bytes_equal((bbw_bytes){got, need}, want));
    assert_int_equal(bbw_address_to_text(want, text, sizeof(text), &need), BBW_OK);
    assert_true(bbw_str_equal((bbw_str){text, need}, text_of(rows[i].text)));
    assert_int_equal(bbw_address_check(want, NULL), BBW_OK);
  }
}

static void bad_binary(void **state) {
  (void)state;
  static const struct {
    const char *name, *hex;
    bbw_status want;
    size_t offset;
    const char *field, *value;
  } rows[] = {
      {"ip4 has no place here", "047f000001", BBW_E_UNKNOWN_CODE, 0, "code", "4"},
      {"a code keeps its low 8 bits", "a603", BBW_E_UNKNOWN_CODE, 0, "code", "166"},
      {"site value cut short", "e20100", BBW_E_TRUNCATED, 0, NULL, NULL},
      {"component value cut short", "e301000000", BBW_E_TRUNCATED, 0, NULL, NULL},
      {"a code that is not minimal", "a58300", BBW_E_TRUNCATED, 0, NULL, NULL},
      {"p2p value cut short", "a5030a000800", BBW_E_TRUNCATED, 0, NULL, NULL},
      {"p2p length missing", "a503", BBW_E_TRUNCATED, 0, NULL, NULL},
      {"a length of 2^64 - 1", "e401ffffffffffffffffff01", BBW_E_TRUNCATED, 0, NULL, NULL},
      {"a length of 2^32 + 1", "e401818080801061", BBW_E_TRUNCATED, 0, NULL, NULL},
      {"op that is not UTF-8", "e40101ff", BBW_E_INVALID_VALUE, 0, "value", "non-utf8 1 bytes"},
      {"p2p that is no id", "a5030100", BBW_E_INVALID_VALUE, 0, "value", "malformed multihash (1 bytes)"},
      {"the second segment", SITE_17 "047f", BBW_E_UNKNOWN_CODE, 10, "code", "4"},
      {"a lone byte behind a segment", SITE_17 "ff", BBW_E_TRUNCATED, 10, NULL, NULL},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint8_t bytes[128];
    bbw_error err;
    bbw_status rv = bbw_address_check(hex_bytes(rows[i].hex, bytes), &err);
    if (rv != rows[i].want || err.offset != rows[i].offset) { fail_msg("%s: %d", rows[i].name, (int)rv); }
    if (rows[i].field != NULL) {
      assert_true(bbw_str_equal(bbw_error_field(&err, rows[i].field), text_of(rows[i].value)));
    }
  }
}

static void text_rules(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bbw_status want;
    const char *protocol, *value; /* of an invalid value */
  } rows[] = {
      {"   ", BBW_OK, NULL, NULL},
      {"\t\n", BBW_OK, NULL, NULL},
      {" /site/5 ", BBW_OK, NULL, NULL},
      {"\xc2\xa0/site/5\xe2\x80\x83\xe3\x80\x80", BBW_OK, NULL, NULL},
      {"/site/+5", BBW_OK, NULL, NULL},
      {"/site/007", BBW_OK, NULL, NULL},
      {"/site/18446744073709551615", BBW_OK, NULL, NULL},
      {"/component/4294967295", BBW_OK, NULL, NULL},
      {"/", BBW_E_MALFORMED_STRING, NULL, NULL},
      {"p2p/11", BBW_E_MALFORMED_STRING, NULL, NULL},
      {"/site/5/", BBW_E_MALFORMED_STRING, NULL, NULL},
      {"/op/a/b", BBW_E_MALFORMED_STRING, NULL, NULL},
      {"//", BBW_E_INVALID_VALUE, "", ""},
      {"/ip4/127.0.0.1", BBW_E_INVALID_VALUE, "ip4", "127.0.0.1"},
      {"/ip4/127.0.0.1/tcp", BBW_E_INVALID_VALUE, "ip4", "127.0.0.1"},
      {"/site/", BBW_E_INVALID_VALUE, "site", ""},
      {"/site/+", BBW_E_INVALID_VALUE, "site", "+"},
      {"/site/-1", BBW_E_INVALID_VALUE, "site", "-1"},
      {"/site/1 ", BBW_OK, NULL, NULL},
      {"/site/1_0", BBW_E_INVALID_VALUE, "site", "1_0"},
      {"/site/18446744073709551616", BBW_E_INVALID_VALUE, "site", "18446744073709551616"},
      {"/component/4294967296", BBW_E_INVALID_VALUE, "component", "4294967296"},
      {"/p2p/12", BBW_E_INVALID_VALUE, "p2p", "12"},
      {"/P2P/11", BBW_E_INVALID_VALUE, "P2P", "11"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint8_t out[128];
    size_t need;
    bbw_error err;
    bbw_status rv = bbw_address_from_text(text_of(rows[i].text), out, sizeof(out), &need, &err);
    if (rv != rows[i].want) { fail_msg("%s: %d", rows[i].text, (int)rv); }
    if (rv == BBW_E_MALFORMED_STRING) {
      assert_true(bbw_str_equal(bbw_error_field(&err, "text"), text_of(rows[i].text)));
    }
    if (rv == BBW_E_INVALID_VALUE) {
      assert_true(bbw_str_equal(bbw_error_field(&err, "protocol"), text_of(rows[i].protocol)));
      assert_true(bbw_str_equal(bbw_error_field(&err, "value"), text_of(rows[i].value)));
    }
  }
}

static void a_small_buffer_is_answered(void **state) {
  (void)state;
  uint8_t bytes[64], out[64];
  char text[64];
  bbw_bytes address = hex_bytes(PEER_1 SITE_17, bytes);
  size_t need = 0, text_len = 0;
  assert_int_equal(bbw_address_to_text(address, NULL, 0, &text_len), BBW_E_BUFFER);
  for (size_t cap = 0; cap <= text_len; cap++) {
    memset(text, '#', sizeof(text));
    bbw_status rv = bbw_address_to_text(address, text, cap, &need);
    assert_int_equal(rv, cap < text_len ? BBW_E_BUFFER : BBW_OK);
    assert_int_equal(need, text_len);
    assert_int_equal(text[cap], '#'); /* nothing behind the cap */
  }
  for (size_t cap = 0; cap <= address.len; cap++) {
    memset(out, '#', sizeof(out));
    bbw_status rv = bbw_address_from_text((bbw_str){text, text_len}, out, cap, &need, NULL);
    assert_int_equal(rv, cap < address.len ? BBW_E_BUFFER : BBW_OK);
    assert_int_equal(need, address.len);
    assert_int_equal(out[cap], '#');
  }
  bbw_segment site = {.kind = BBW_SEGMENT_SITE, .number = 17};
  size_t len = 3;
  assert_int_equal(bbw_address_append(out, 12, &len, &site), BBW_E_BUFFER);
  assert_int_equal(len, 3);
  assert_int_equal(bbw_address_append(out, 13, &len, &site), BBW_OK);
  assert_int_equal(len, 13);
}

static void accessors_find_the_first(void **state) {
  (void)state;
  uint8_t bytes[128];
  bbw_bytes address = hex_bytes("e30100000001 e4010161" SITE_17 "e2010000000000000003 e4010162", bytes);
  bbw_segment segment;
  assert_true(bbw_address_find(address, BBW_SEGMENT_SITE, &segment) && segment.number == 17);
  assert_true(bbw_address_find(address, BBW_SEGMENT_COMPONENT, &segment) && segment.number == 1);
  assert_true(bbw_address_find(address, BBW_SEGMENT_OP, &segment) && segment.bytes.ptr[0] == 'a');
  assert_false(bbw_address_find(address, BBW_SEGMENT_P2P, &segment));
  assert_false(bbw_address_find((bbw_bytes){NULL, 0}, BBW_SEGMENT_SITE, &segment));
}

static void unusual_spellings_become_usual(void **state) {
  (void)state;
  uint8_t bytes[128], want[128], out[128];
  size_t need;
  /* The code 0xe2 in ten bytes, whose last one has a bit that is dropped; then with nothing dropped, but minimal no more. */
  bbw_bytes odd = hex_bytes("e2 81 80 80 80 80 80 80 80 02 00 00 00 00 00 00 00 11", bytes);
  assert_int_equal(bbw_address_canonical(odd, out, sizeof(out), &need), BBW_OK);
  assert_true(bbw_bytes_equal((bbw_bytes){out, need}, hex_bytes(SITE_17, want)));
  odd = hex_bytes("e2 81 80 80 80 80 80 80 80 00 00 00 00 00 00 00 00 11", bytes);
  assert_int_equal(bbw_address_canonical(odd, out, sizeof(out), &need), BBW_E_TRUNCATED);
  /* Inside a p2p segment: the id and its length become shorter. */
  odd = hex_bytes("a5030b ffffffffffffffffff7f00", bytes);
  assert_int_equal(bbw_address_canonical(odd, out, sizeof(out), &need), BBW_OK);
  assert_true(bbw_bytes_equal((bbw_bytes){out, need}, hex_bytes("a5030b ffffffffffffffffff0100", want)));
}

static void cut_and_flipped(void **state) {
  (void)state;
  uint8_t bytes[128], out[256];
  bbw_bytes whole = hex_bytes(PEER_1 SITE_17 "e30100000005 e40103616263", bytes);
  size_t accepted = 0;
  for (size_t len = 0; len <= whole.len; len++) {
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    memcpy(exact, whole.ptr, len);
    accepted += bbw_address_check((bbw_bytes){exact, len}, NULL) == BBW_OK;
    free(exact);
  }
  assert_int_equal(accepted, 5); /* after each whole segment, and nothing */
  for (size_t i = 0; i < 8 * whole.len; i++) {
    bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
    size_t need;
    if (bbw_address_canonical(whole, out, sizeof(out), &need) == BBW_OK) {
      assert_true(need <= whole.len);
      assert_int_equal(bbw_address_check((bbw_bytes){out, need}, NULL), BBW_OK);
    }
    bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(worked_examples),
      cmocka_unit_test(bad_binary),
      cmocka_unit_test(text_rules),
      cmocka_unit_test(a_small_buffer_is_answered),
      cmocka_unit_test(accessors_find_the_first),
      cmocka_unit_test(unusual_spellings_become_usual),
      cmocka_unit_test(cut_and_flipped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
