/* Any bytes, as a binary address and as its payload form: what is accepted comes back the same through every other form. */
#include "base/bytes.h"
#include "bbw/address.h"
#include "format/bincode.h"
#include "fuzz.h"

/* binary is canonical */
static void round_trip(bbw_bytes binary) {
  size_t size = bbw_bincode_address_size(binary), len = 0, need = 0;
  uint8_t *payload = malloc(size);
  uint8_t *again = malloc(binary.len + 1);
  REQUIRE(payload != NULL && again != NULL);
  REQUIRE(bbw_bincode_put_address(payload, binary) == payload + size);
  bbw_bincode_reader reader = {.bytes = {payload, size}};
  REQUIRE(bbw_bincode_address(&reader, NULL, &len) && len == binary.len && reader.at == size);
  reader.at = 0;
  REQUIRE(bbw_bincode_address(&reader, again, &len) && bbw_bytes_equal((bbw_bytes){again, len}, binary));
  REQUIRE(bbw_address_canonical(binary, again, binary.len, &need) == BBW_OK);
  REQUIRE(bbw_bytes_equal((bbw_bytes){again, need}, binary));
  bbw_status rv = bbw_address_to_text(binary, NULL, 0, &need);
  REQUIRE(rv == (binary.len == 0 ? BBW_OK : BBW_E_BUFFER));
  char *text = malloc(need + 1);
  REQUIRE(text != NULL);
  REQUIRE(bbw_address_to_text(binary, text, need, &len) == BBW_OK && len == need);
  for (int kind = BBW_SEGMENT_P2P; kind <= BBW_SEGMENT_OP; kind++) {
    bbw_segment segment;
    (void)bbw_address_find(binary, (bbw_segment_kind)kind, &segment);
  }
  free(text);
  free(again);
  free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  bbw_error err;
  bbw_bytes bytes = {data, len};
  uint8_t *canonical = malloc(len + 1);
  size_t need;
  REQUIRE(canonical != NULL);
  bbw_status rv = bbw_address_check(bytes, &err);
  REQUIRE(rv == BBW_OK || err.status == (int32_t)rv);
  REQUIRE((rv == BBW_OK) == (bbw_address_canonical(bytes, canonical, len, &need) == BBW_OK));
  if (rv == BBW_OK) { round_trip((bbw_bytes){canonical, need}); }
  bbw_bincode_reader reader = {.bytes = bytes};
  if (bbw_bincode_address(&reader, NULL, &need)) {
    REQUIRE(need <= len);
    reader.at = 0;
    REQUIRE(bbw_bincode_address(&reader, canonical, &need));
    round_trip((bbw_bytes){canonical, need});
  }
  free(canonical);
  return 0;
}
