/* Peer ids: wire specification §2.1 and §25 as cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bbw/peer_id.h"
#include "hex.h"

static void worked_examples(void **state) {
  (void)state;
  static const struct {
    uint64_t number;
    const char *text;
  } numbers[] = {
      {0, "16uZAbWC1AJvK"},   {1, "16uZAbWC1AJvL"},          {2, "16uZAbWC1AJvM"},          {12, "16uZAbWC1AJvX"},
      {255, "16uZAbWC1AJzi"}, {0xdeadbeef, "16uZAbWHhHvKg"}, {UINT64_MAX, "17eNgo4qdRyQi"},
  };
  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
    bbw_peer_id peer = bbw_peer_id_from_u64(numbers[i].number), again;
    char text[BBW_PEER_ID_TEXT_BYTES_MAX];
    uint64_t number;
    bbw_str got = {text, bbw_peer_id_to_text(&peer, text)};
    assert_true(bbw_str_equal(got, (bbw_str){numbers[i].text, strlen(numbers[i].text)}));
    assert_int_equal(bbw_peer_id_from_text(&again, got, NULL), BBW_OK);
    assert_true(bbw_peer_id_equal(&peer, &again));
    assert_true(bbw_peer_id_as_u64(&again, &number));
    assert_int_equal(number, numbers[i].number);
  }
}

static void long_examples(void **state) {
  (void)state;
  static const struct {
    const char *hex, *text;
    uint64_t site;
  } rows[] = {
      {"1220 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
       "QmRN6wdp1S2A5EtjW9A3M1vKSBuQQGcgvuhoMUoEz4iiT5", 0x29a885ec55c91aee},
      {"0024 08011220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
       "12D3KooW9pP4Seg3kZYhySpuVjn1RPdQBsUFZKiFxGMGQN5MeL6A", 0},
      {"0008 0000000000000001", "16uZAbWC1AJvL", 0xa8c7f732281a3812},
      {"0008 0000000000000002", "16uZAbWC1AJvM", 0xa8c7f632281a365f},
      {"0008 000000000000000c", "16uZAbWC1AJvX", 0xa8c7fc32281a4091},
      {"0000", "11", 0xcbf29ce484222325},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint8_t bytes[128], again[BBW_PEER_ID_BYTES_MAX];
    char text[BBW_PEER_ID_TEXT_BYTES_MAX];
    bbw_peer_id peer;
    bbw_bytes input = hex_bytes(rows[i].hex, bytes);
    assert_int_equal(bbw_peer_id_decode(&peer, input, NULL), BBW_OK);
    assert_true(bbw_bytes_equal((bbw_bytes){again, bbw_peer_id_encode(&peer, again)}, input));
    bbw_str got = {text, bbw_peer_id_to_text(&peer, text)};
    assert_true(bbw_str_equal(got, (bbw_str){rows[i].text, strlen(rows[i].text)}));
    if (rows[i].site != 0) { assert_true(bbw_peer_id_site(&peer) == rows[i].site); }
  }
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *name, *hex, *reason;
    size_t offset;
  } rows[] = {
      {"nothing", "", "VarintInsufficient", 0},
      {"no size", "12", "VarintInsufficient", 1},
      {"code cut short", "80", "VarintInsufficient", 0},
      {"code not minimal", "800000", "VarintNotMinimal", 0},
      {"size not minimal", "008000", "VarintNotMinimal", 1},
      {"code of eleven bytes", "8080808080808080808080", "VarintOverflow", 0},
      {"digest too short", "000800", "UnexpectedEof", 3},
      {"one byte too many", "000000", "InvalidSize", 2},
      {"a size of 65", "0041", "InvalidSize", 1},
      {"a size of 2^64 - 1", "00ffffffffffffffffff01", "InvalidSize", 1},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint8_t bytes[128];
    bbw_peer_id peer = bbw_peer_id_from_u64(7), before = peer;
    bbw_error err;
    assert_int_equal(bbw_peer_id_decode(&peer, hex_bytes(rows[i].hex, bytes), &err), BBW_E_PEER_ID);
    assert_true(bbw_str_equal(bbw_error_field(&err, "reason"), (bbw_str){rows[i].reason, strlen(rows[i].reason)}));
    if (err.offset != rows[i].offset) { fail_msg("%s: offset %d", rows[i].name, (int)err.offset); }
    assert_memory_equal(&peer, &before, sizeof(peer)); /* a refusal writes nothing */
  }
}

static void all_sizes_and_codes_survive(void **state) {
  (void)state;
  static const uint64_t codes[] = {0, 1, 0x12, 0x7f, 0x80, 0x3fff, 0x4000, UINT32_MAX, UINT64_MAX};
  for (size_t c = 0; c < sizeof(codes) / sizeof(codes[0]); c++) {
    for (uint8_t size = 0; size <= BBW_PEER_ID_DIGEST_BYTES_MAX; size++) {
      for (int fill = 0; fill < 3; fill++) { /* zeros, ones and something between; zeros are base58's special case */
        bbw_peer_id peer = {.code = codes[c], .size = size}, again;
        uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
        char text[BBW_PEER_ID_TEXT_BYTES_MAX];
        for (uint8_t i = 0; i < size; i++) { peer.digest[i] = (uint8_t)(fill == 2 ? 31 * i + size : fill * 255); }
        size_t len = bbw_peer_id_encode(&peer, bytes);
        assert_int_equal(bbw_peer_id_decode(&again, (bbw_bytes){bytes, len}, NULL), BBW_OK);
        assert_true(bbw_peer_id_equal(&peer, &again));
        bbw_str as_text = {text, bbw_peer_id_to_text(&peer, text)};
        assert_true(as_text.len <= BBW_PEER_ID_TEXT_BYTES_MAX);
        assert_int_equal(bbw_peer_id_from_text(&again, as_text, NULL), BBW_OK);
        assert_int_equal(bbw_peer_id_compare(&peer, &again), 0);
      }
    }
  }
}

static void text_is_base58_of_an_id(void **state) {
  (void)state;
  static const char *const bad[] = {
      "", "0", "O", "I", "l", "2", "12", "Qm", "16uZAbWC1AJv0", " 11", "11 ", "16uZAbWC1AJvKK", "116uZAbWC1AJvK"};
  bbw_peer_id peer;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    assert_int_equal(bbw_peer_id_from_text(&peer, (bbw_str){bad[i], strlen(bad[i])}, NULL), BBW_E_PEER_ID);
  }
  /* Longer than any id: refused at the first character too many, whatever its length. */
  static char longest[100000];
  memset(longest, 'z', sizeof(longest));
  assert_int_equal(bbw_peer_id_from_text(&peer, (bbw_str){longest, sizeof(longest)}, NULL), BBW_E_PEER_ID);
  memset(longest, '1', sizeof(longest));
  assert_int_equal(bbw_peer_id_from_text(&peer, (bbw_str){longest, sizeof(longest)}, NULL), BBW_E_PEER_ID);
}

static void order_is_by_code_size_digest(void **state) {
  (void)state;
  static const char *const ascending[] = {"0000", "000100", "0001ff", "00020000", "0002ff00", "0100", "1200", "1201aa"};
  bbw_peer_id before, peer;
  for (size_t i = 0; i < sizeof(ascending) / sizeof(ascending[0]); i++) {
    uint8_t bytes[16];
    assert_int_equal(bbw_peer_id_decode(&peer, hex_bytes(ascending[i], bytes), NULL), BBW_OK);
    if (i > 0) { assert_true(bbw_peer_id_compare(&before, &peer) < 0 && bbw_peer_id_compare(&peer, &before) > 0); }
    before = peer;
  }
  uint64_t number;
  peer = (bbw_peer_id){.code = 0x12, .size = 8};
  assert_false(bbw_peer_id_as_u64(&peer, &number));
  peer = (bbw_peer_id){.code = 0, .size = 7};
  assert_false(bbw_peer_id_as_u64(&peer, &number));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(worked_examples),
      cmocka_unit_test(long_examples),
      cmocka_unit_test(refusals),
      cmocka_unit_test(all_sizes_and_codes_survive),
      cmocka_unit_test(text_is_base58_of_an_id),
      cmocka_unit_test(order_is_by_code_size_digest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
