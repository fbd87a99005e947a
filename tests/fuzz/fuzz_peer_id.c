/* Any bytes and any text: decoding answers, and what it accepts comes back the same through bytes, text and payload. */
#include "base/bytes.h"
#include "bbw/peer_id.h"
#include "format/bincode.h"
#include "fuzz.h"

static void round_trip(const bbw_peer_id *peer) {
  bbw_peer_id again;
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX], payload[BBW_PEER_ID_BYTES_MAX + 8];
  char text[BBW_PEER_ID_TEXT_BYTES_MAX];
  size_t len = bbw_peer_id_encode(peer, bytes);
  REQUIRE(bbw_peer_id_decode(&again, (bbw_bytes){bytes, len}, NULL) == BBW_OK);
  REQUIRE(bbw_peer_id_equal(peer, &again) && bbw_peer_id_compare(peer, &again) == 0);
  REQUIRE(bbw_peer_id_from_text(&again, (bbw_str){text, bbw_peer_id_to_text(peer, text)}, NULL) == BBW_OK);
  REQUIRE(bbw_peer_id_equal(peer, &again));
  uint8_t *end = bbw_bincode_put_view(payload, (bbw_bytes){bytes, len});
  bbw_bincode_reader reader = {.bytes = {payload, (size_t)(end - payload)}};
  REQUIRE(bbw_bincode_peer(&reader, &again) && reader.at == reader.bytes.len);
  REQUIRE(bbw_peer_id_equal(peer, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  bbw_peer_id peer;
  bbw_error err;
  bbw_bytes bytes = {data, len};
  if (bbw_peer_id_decode(&peer, bytes, &err) == BBW_OK) { round_trip(&peer); }
  if (bbw_peer_id_from_text(&peer, bbw_bytes_str(bytes), &err) == BBW_OK) { round_trip(&peer); }
  bbw_bincode_reader reader = {.bytes = bytes};
  if (bbw_bincode_peer(&reader, &peer)) { round_trip(&peer); }
  return 0;
}
