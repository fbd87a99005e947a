/* Eight bytes of type hash and any payload: decoding answers, and what it accepts is written as bytes that decode to the same bytes. */
#include "base/bytes.h"
#include "bbw/value.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (len < 8) { return 0; }
  bbw_value *first, *second;
  bbw_error err;
  uint64_t hash = bbw_load_u64le(data);
  /* Hashes are hard to guess: a small number picks a type. */
  if (hash < BBW_TYPE_COUNT) { hash = bbw_type_hash((bbw_type)hash); }
  bbw_status rv = bbw_value_decode(&first, hash, (bbw_bytes){data + 8, len - 8}, &bbw_mem_libc, &err);
  if (rv != BBW_OK) {
    REQUIRE(err.status == (int32_t)rv);
    return 0;
  }
  size_t size = bbw_value_payload_size(first);
  /* A tensor's second shape may have been shorter than the one we write. */
  REQUIRE(size <= len + 8 * BBW_TENSOR_RANK_MAX * (1 + len / 41));
  uint8_t *wire = malloc(size + 1), *again = malloc(size + 1);
  REQUIRE(wire != NULL && again != NULL);
  bbw_value_payload_write(first, wire);
  REQUIRE(bbw_value_decode(&second, hash, (bbw_bytes){wire, size}, &bbw_mem_libc, &err) == BBW_OK);
  REQUIRE(bbw_value_payload_size(second) == size);
  bbw_value_payload_write(second, again);
  REQUIRE(memcmp(wire, again, size) == 0);
  bbw_value_release(first, &bbw_mem_libc);
  bbw_value_release(second, &bbw_mem_libc);
  free(again);
  free(wire);
  return 0;
}
