/* Golden peer ids and addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "format/bincode.h"
#include "vectors.h"

static bool bytes_are(bbw_bytes got, bbw_bytes want) { return bbw_bytes_equal(got, want); }

/* ---- peer ids ----------------------------------------------------------------------------------------------------- */

static bool check_valid_peer(vectors_case *c) {
  bbw_bytes bytes = vector_hex(c, "bytes");
  bbw_peer_id peer, again;
  uint8_t encoded[BBW_PEER_ID_BYTES_MAX];
  char text[BBW_PEER_ID_TEXT_BYTES_MAX];
  VECTOR(bbw_peer_id_decode(&peer, bytes, &c->err) == BBW_OK);
  VECTOR(bytes_are((bbw_bytes){encoded, bbw_peer_id_encode(&peer, encoded)}, bytes));
  VECTOR(peer.code == json_u64(vector_get(c, "code")));
  VECTOR(peer.size == json_u64(vector_get(c, "size")));
  VECTOR(bytes_are((bbw_bytes){peer.digest, peer.size}, vector_hex(c, "digest")));
  bbw_str got_text = {text, bbw_peer_id_to_text(&peer, text)};
  VECTOR(bbw_str_equal(got_text, json_text(vector_get(c, "text"))));
  VECTOR(bbw_peer_id_from_text(&again, got_text, &c->err) == BBW_OK);
  VECTOR(bbw_peer_id_equal(&peer, &again));
  VECTOR(bbw_peer_id_site(&peer) == json_u64(vector_get(c, "digest_fnv")));
  const json *number = vector_get(c, "identity_u64");
  uint64_t as_u64 = 0;
  VECTOR(bbw_peer_id_as_u64(&peer, &as_u64) == !json_is_null(number));
  if (!json_is_null(number)) {
    again = bbw_peer_id_from_u64(json_u64(number));
    VECTOR(as_u64 == json_u64(number));
    VECTOR(bbw_peer_id_equal(&peer, &again));
  }
  bbw_bytes payload = vector_hex(c, "payload");
  bbw_bincode_reader reader = {.bytes = payload};
  VECTOR(bbw_bincode_peer(&reader, &again) && reader.at == payload.len);
  VECTOR(bbw_peer_id_equal(&peer, &again));
  uint8_t written[BBW_PEER_ID_BYTES_MAX + 8];
  uint8_t *end = bbw_bincode_put_view(written, bytes);
  VECTOR(bytes_are((bbw_bytes){written, (size_t)(end - written)}, payload));
  return true;
}

/* An id in text reaches us as the value of a /p2p/ segment. */
static bool check_peer_text(vectors_case *c, bool is_good) {
  bbw_str value = json_text(vector_get(c, "text"));
  size_t len = 5 + value.len;
  char *text = bbw_arena_array(&c->arena, len, 1);
  uint8_t out[256];
  size_t need;
  memcpy(text, "/p2p/", 5);
  memcpy(text + 5, value.ptr, value.len);
  bbw_bytes exact = vector_exact(c, (bbw_bytes){(uint8_t *)text, len});
  bbw_status rv = bbw_address_from_text(bbw_bytes_str(exact), out, sizeof(out), &need, &c->err);
  if (!is_good) {
    VECTOR(rv != BBW_OK);
    VECTOR(vector_error_matches(c, vector_get(c, "error")));
    return true;
  }
  VECTOR(rv == BBW_OK);
  bbw_segment segment;
  VECTOR(bbw_address_find((bbw_bytes){out, need}, BBW_SEGMENT_P2P, &segment));
  VECTOR(bytes_are(segment.bytes, vector_hex(c, "bytes")));
  return true;
}

static bool check_ordering(vectors_case *c) {
  const json *list = vector_get(c, "ascending");
  bbw_peer_id before, peer;
  VECTOR(json_count(list) > 1);
  for (size_t i = 0; i < json_count(list); i++) {
    VECTOR(bbw_peer_id_decode(&peer, json_hex(json_at(list, i), &c->arena), NULL) == BBW_OK);
    VECTOR(bbw_peer_id_compare(&peer, &peer) == 0);
    if (i > 0) {
      VECTOR(bbw_peer_id_compare(&before, &peer) < 0);
      VECTOR(bbw_peer_id_compare(&peer, &before) > 0);
    }
    before = peer;
  }
  return true;
}

static bool check_peer_payload(vectors_case *c, bool is_good) {
  bbw_bincode_reader reader = {.bytes = vector_hex(c, "payload")};
  bbw_peer_id peer;
  VECTOR(bbw_bincode_peer(&reader, &peer) == is_good);
  if (is_good) {
    uint8_t bytes[BBW_PEER_ID_BYTES_MAX], payload[BBW_PEER_ID_BYTES_MAX + 8];
    bbw_bytes encoded = {bytes, bbw_peer_id_encode(&peer, bytes)};
    VECTOR(bytes_are(encoded, vector_hex(c, "bytes")));
    uint8_t *end = bbw_bincode_put_view(payload, encoded);
    VECTOR(bytes_are((bbw_bytes){payload, (size_t)(end - payload)}, vector_hex(c, "canonical_payload")));
  }
  return true;
}

static bool check_peer(vectors_case *c) {
  if (vector_is(c, "ordering")) { return check_ordering(c); }
  if (vector_is(c, "bad_text")) { return check_peer_text(c, false); }
  if (vector_is(c, "unusual_text")) { return check_peer_text(c, true); }
  if (vector_is(c, "payload")) { return check_peer_payload(c, true); }
  if (vector_is(c, "bad_payload")) { return check_peer_payload(c, false); }
  if (vector_is(c, "bad_bytes")) {
    bbw_peer_id peer;
    VECTOR(bbw_peer_id_decode(&peer, vector_hex(c, "bytes"), &c->err) == BBW_E_PEER_ID);
    VECTOR(bbw_str_equal(bbw_error_field(&c->err, "reason"), json_text(vector_get(c, "error"))));
    return true;
  }
  if (vector_is(c, "unusual_bytes")) {
    bbw_peer_id peer;
    uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
    char text[BBW_PEER_ID_TEXT_BYTES_MAX];
    VECTOR(bbw_peer_id_decode(&peer, vector_hex(c, "bytes"), &c->err) == BBW_OK);
    VECTOR(bytes_are((bbw_bytes){bytes, bbw_peer_id_encode(&peer, bytes)}, vector_hex(c, "canonical")));
    VECTOR(bbw_str_equal((bbw_str){text, bbw_peer_id_to_text(&peer, text)}, json_text(vector_get(c, "text"))));
    return true;
  }
  return check_valid_peer(c);
}

/* ---- addresses ---------------------------------------------------------------------------------------------------- */

#define ROOM 4096u

static bool segment_matches(vectors_case *c, const bbw_segment *got, const json *want) {
  switch (got->kind) {
  case BBW_SEGMENT_P2P: return bytes_are(got->bytes, json_hex(json_get(want, "p2p"), &c->arena));
  case BBW_SEGMENT_SITE: return got->number == json_u64(json_get(want, "site"));
  case BBW_SEGMENT_COMPONENT: return got->number == json_u64(json_get(want, "component"));
  case BBW_SEGMENT_OP: return bytes_are(got->bytes, json_hex(json_get(want, "op_utf8"), &c->arena));
  }
  return false;
}

static bool kind_matches(const bbw_segment *got, const json *want) {
  static const char *const keys[] = {"p2p", "site", "component", "op_utf8"};
  return json_get(want, keys[got->kind]) != NULL;
}

static bool check_first(vectors_case *c, bbw_bytes binary, bbw_segment_kind kind, const char *key) {
  const json *want = vector_get(c, key);
  bbw_segment segment;
  VECTOR(bbw_address_find(binary, kind, &segment) == !json_is_null(want));
  if (json_is_null(want)) { return true; }
  if (kind == BBW_SEGMENT_P2P) {
    VECTOR(bytes_are(segment.bytes, json_hex(want, &c->arena)));
  } else if (kind == BBW_SEGMENT_OP) {
    VECTOR(bbw_str_equal(bbw_bytes_str(segment.bytes), json_text(want)));
  } else {
    VECTOR(segment.number == json_u64(want));
  }
  return true;
}

static bool check_reparse(vectors_case *c, bbw_bytes binary, bbw_str text) {
  const json *want = vector_get(c, "text_reparse");
  uint8_t again[ROOM];
  size_t need;
  bbw_bytes exact = vector_exact(c, bbw_str_bytes(text));
  bbw_status rv = bbw_address_from_text(bbw_bytes_str(exact), again, sizeof(again), &need, &c->err);
  if (json_is(want, "same")) {
    VECTOR(rv == BBW_OK && bytes_are((bbw_bytes){again, need}, binary));
  } else if (json_get(want, "error") != NULL) {
    VECTOR(rv != BBW_OK);
    VECTOR(vector_error_matches(c, json_get(want, "error")));
  } else if (json_get(want, "variant") != NULL) {
    VECTOR(rv != BBW_OK);
    VECTOR(vector_error_matches(c, want));
  } else {
    VECTOR(rv == BBW_OK && !bytes_are((bbw_bytes){again, need}, binary));
  }
  return true;
}

/* Everything that is said about the address whose binary form we have. */
static bool check_address_forms(vectors_case *c, bbw_bytes binary) {
  const json *segments = vector_get(c, "segments");
  uint8_t rebuilt[ROOM];
  size_t rebuilt_len = 0, at = 0, index = 0;
  VECTOR(bytes_are(binary, vector_hex(c, "binary")));
  VECTOR(bbw_address_check(binary, &c->err) == BBW_OK);
  while (at < binary.len) {
    bbw_segment segment;
    const json *want = json_at(segments, index++);
    VECTOR(bbw_address_next(binary, &at, &segment, NULL) == BBW_OK);
    VECTOR(kind_matches(&segment, want));
    VECTOR(segment_matches(c, &segment, want));
    VECTOR(bbw_address_append(rebuilt, sizeof(rebuilt), &rebuilt_len, &segment) == BBW_OK);
  }
  VECTOR(index == json_count(segments));
  VECTOR(bytes_are((bbw_bytes){rebuilt, rebuilt_len}, binary));
  char text[ROOM];
  size_t text_len;
  VECTOR(bbw_address_to_text(binary, text, sizeof(text), &text_len) == BBW_OK);
  VECTOR(bbw_str_equal((bbw_str){text, text_len}, json_text(vector_get(c, "text"))));
  bbw_bytes payload = vector_hex(c, "payload");
  uint8_t written[ROOM];
  VECTOR(bbw_bincode_address_size(binary) == payload.len);
  VECTOR(bbw_bincode_put_address(written, binary) == written + payload.len);
  VECTOR(bytes_are((bbw_bytes){written, payload.len}, payload));
  VECTOR(check_first(c, binary, BBW_SEGMENT_P2P, "first_p2p"));
  VECTOR(check_first(c, binary, BBW_SEGMENT_SITE, "first_site"));
  VECTOR(check_first(c, binary, BBW_SEGMENT_COMPONENT, "first_component"));
  VECTOR(check_first(c, binary, BBW_SEGMENT_OP, "first_op"));
  return check_reparse(c, binary, (bbw_str){text, text_len});
}

static bool check_address_payload(vectors_case *c, const char *key, bool is_good) {
  bbw_bincode_reader reader = {.bytes = vector_hex(c, key)};
  bbw_bincode_reader again = reader;
  uint8_t binary[ROOM];
  size_t len = 0, again_len = 0;
  VECTOR(bbw_bincode_address(&reader, NULL, &len) == is_good);
  if (!is_good) { return true; }
  VECTOR(len <= sizeof(binary));
  VECTOR(bbw_bincode_address(&again, binary, &again_len) && again_len == len);
  return check_address_forms(c, (bbw_bytes){binary, len});
}

static bool check_address(vectors_case *c) {
  uint8_t binary[ROOM];
  size_t len;
  if (vector_is(c, "payload")) { return check_address_payload(c, "input_payload", true); }
  if (vector_is(c, "bad_payload")) { return check_address_payload(c, "payload", false); }
  if (vector_is(c, "bad_binary")) {
    VECTOR(bbw_address_check(vector_hex(c, "input"), &c->err) != BBW_OK);
    VECTOR(vector_error_matches(c, vector_get(c, "error")));
    return true;
  }
  if (vector_is(c, "binary")) {
    VECTOR(bbw_address_canonical(vector_hex(c, "input"), binary, sizeof(binary), &len) == BBW_OK);
    return check_address_forms(c, (bbw_bytes){binary, len});
  }
  if (vector_is(c, "text") || vector_is(c, "bad_text")) {
    bbw_bytes exact = vector_exact(c, bbw_str_bytes(json_text(vector_get(c, "input_text"))));
    bbw_status rv = bbw_address_from_text(bbw_bytes_str(exact), binary, sizeof(binary), &len, &c->err);
    if (vector_is(c, "text")) {
      VECTOR(rv == BBW_OK);
      return check_address_forms(c, (bbw_bytes){binary, len});
    }
    VECTOR(rv != BBW_OK);
    VECTOR(vector_error_matches(c, vector_get(c, "error")));
    return true;
  }
  return check_address_forms(c, vector_hex(c, "binary"));
}

static void peer_ids(void **state) {
  (void)state;
  assert_int_equal(vectors_run("peer_ids", check_peer), 0);
}

static void addresses(void **state) {
  (void)state;
  assert_int_equal(vectors_run("addresses", check_address), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(peer_ids), cmocka_unit_test(addresses)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
