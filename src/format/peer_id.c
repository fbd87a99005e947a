#include "bbw/peer_id.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "format/pbwire.h"
#include "format/varint.h"

#define IDENTITY_U64_BYTES 8u

static bbw_status refuse(bbw_error *err, const char *reason, size_t offset) {
  bbw_status rv = bbw_error_set_at(err, BBW_E_PEER_ID, offset);
  bbw_error_add_str(err, "reason", (bbw_str){reason, strlen(reason)});
  return rv;
}

static const char *varint_reason(bbw_varint_result result) {
  if (result == BBW_VARINT_OVERFLOW) { return "VarintOverflow"; }
  return result == BBW_VARINT_NOT_MINIMAL ? "VarintNotMinimal" : "VarintInsufficient";
}

static bbw_status refuse_size(bbw_error *err, uint64_t size, size_t offset) {
  bbw_status rv = refuse(err, "InvalidSize", offset);
  bbw_error_add_u64(err, "size", size);
  return rv;
}

bbw_status bbw_peer_id_decode(bbw_peer_id *out, bbw_bytes bytes, bbw_error *err) {
  size_t at = 0;
  uint64_t code, size;
  bbw_varint_result result = bbw_varint_read(bytes, &at, &code);
  if (result != BBW_VARINT_OK) { return refuse(err, varint_reason(result), at); }
  size_t size_at = at;
  result = bbw_varint_read(bytes, &at, &size);
  if (result != BBW_VARINT_OK) { return refuse(err, varint_reason(result), at); }
  if (size > BBW_PEER_ID_DIGEST_BYTES_MAX) { return refuse_size(err, size, size_at); }
  if (size > bytes.len - at) { return refuse(err, "UnexpectedEof", bytes.len); }
  size_t left_over = bytes.len - at - (size_t)size;
  if (left_over != 0) { return refuse_size(err, left_over, at + (size_t)size); }
  *out = (bbw_peer_id){.code = code, .size = (uint8_t)size};
  if (size != 0) { memcpy(out->digest, bytes.ptr + at, (size_t)size); }
  return BBW_OK;
}

size_t bbw_peer_id_encode(const bbw_peer_id *peer, uint8_t out[BBW_PEER_ID_BYTES_MAX]) {
  /* The shortest form of a number is the same in both kinds of varint. */
  size_t at = bbw_pbwire_varint_write(peer->code, out);
  out[at++] = peer->size;
  memcpy(out + at, peer->digest, peer->size);
  return at + peer->size;
}

/* ---- base58btc ---------------------------------------------------------------------------------------------------- */

static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

static int digit_of(char c) {
  const char *found = c == '\0' ? NULL : memchr(alphabet, c, sizeof(alphabet) - 1);
  return found == NULL ? -1 : (int)(found - alphabet);
}

size_t bbw_peer_id_to_text(const bbw_peer_id *peer, char out[BBW_PEER_ID_TEXT_BYTES_MAX]) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  size_t len = bbw_peer_id_encode(peer, bytes);
  size_t zeros = 0;
  while (zeros < len && bytes[zeros] == 0) { zeros++; }
  /* Base-58 digits of the number behind the zeros, least significant first. */
  uint8_t digits[BBW_PEER_ID_TEXT_BYTES_MAX];
  size_t count = 0;
  for (size_t i = zeros; i < len; i++) {
    unsigned carry = bytes[i];
    for (size_t k = 0; k < count; k++) {
      carry += (unsigned)digits[k] << 8;
      digits[k] = (uint8_t)(carry % 58);
      carry /= 58;
    }
    for (; carry != 0; carry /= 58) { digits[count++] = (uint8_t)(carry % 58); }
  }
  memset(out, '1', zeros);
  for (size_t k = 0; k < count; k++) { out[zeros + k] = alphabet[digits[count - 1 - k]]; }
  return zeros + count;
}

bbw_status bbw_peer_id_from_text(bbw_peer_id *out, bbw_str text, bbw_error *err) {
  /* The number, least significant byte first. */
  uint8_t number[BBW_PEER_ID_BYTES_MAX];
  size_t count = 0;
  size_t zeros = 0;
  while (zeros < text.len && text.ptr[zeros] == '1') { zeros++; }
  for (size_t i = zeros; i < text.len; i++) {
    int digit = digit_of(text.ptr[i]);
    if (digit < 0) { return refuse(err, "InvalidText", i); }
    unsigned carry = (unsigned)digit;
    for (size_t k = 0; k < count; k++) {
      carry += (unsigned)number[k] * 58;
      number[k] = (uint8_t)carry;
      carry >>= 8;
    }
    if (carry != 0) {
      if (count == sizeof(number)) { return refuse(err, "InvalidText", i); }
      number[count++] = (uint8_t)carry;
    }
  }
  if (zeros > sizeof(number) - count) { return refuse(err, "InvalidText", 0); }
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  memset(bytes, 0, zeros);
  for (size_t k = 0; k < count; k++) { bytes[zeros + k] = number[count - 1 - k]; }
  return bbw_peer_id_decode(out, (bbw_bytes){bytes, zeros + count}, err);
}

/* ---- numbers and order -------------------------------------------------------------------------------------------- */

bbw_peer_id bbw_peer_id_from_u64(uint64_t value) {
  bbw_peer_id peer = {.code = 0, .size = IDENTITY_U64_BYTES};
  bbw_store_u64be(peer.digest, value);
  return peer;
}

bool bbw_peer_id_as_u64(const bbw_peer_id *peer, uint64_t *out) {
  if (peer->code != 0 || peer->size != IDENTITY_U64_BYTES) { return false; }
  *out = bbw_load_u64be(peer->digest);
  return true;
}

bool bbw_peer_id_equal(const bbw_peer_id *a, const bbw_peer_id *b) {
  return a->code == b->code && a->size == b->size && memcmp(a->digest, b->digest, a->size) == 0;
}

int bbw_peer_id_compare(const bbw_peer_id *a, const bbw_peer_id *b) {
  if (a->code != b->code) { return a->code < b->code ? -1 : 1; }
  if (a->size != b->size) { return a->size < b->size ? -1 : 1; }
  return memcmp(a->digest, b->digest, a->size);
}

uint64_t bbw_peer_id_site(const bbw_peer_id *peer) {
  return bbw_fnv1a(BBW_FNV1A_OFFSET, (bbw_bytes){peer->digest, peer->size});
}
