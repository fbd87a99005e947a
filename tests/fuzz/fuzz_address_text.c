/* Any text: parsing answers, and what it accepts is a valid address whose text parses to the same bytes, unless an op name holds a slash. */
#include "base/bytes.h"
#include "bbw/address.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  bbw_error err;
  bbw_str input = {(const char *)data, len};
  size_t need = 0, text_len = 0, again_len = 0;
  bbw_status rv = bbw_address_from_text(input, NULL, 0, &need, &err);
  if (rv != BBW_OK && rv != BBW_E_BUFFER) {
    REQUIRE(err.status == (int32_t)rv);
    return 0;
  }
  uint8_t *binary = malloc(need + 1), *again = malloc(need + 1);
  REQUIRE(binary != NULL && again != NULL);
  REQUIRE(bbw_address_from_text(input, binary, need, &need, &err) == BBW_OK);
  REQUIRE(bbw_address_check((bbw_bytes){binary, need}, &err) == BBW_OK);
  (void)bbw_address_to_text((bbw_bytes){binary, need}, NULL, 0, &text_len);
  char *text = malloc(text_len + 1);
  REQUIRE(text != NULL);
  REQUIRE(bbw_address_to_text((bbw_bytes){binary, need}, text, text_len, &text_len) == BBW_OK);
  /* White space at the end of a last op name is trimmed when the text is read again; then, and only then, the bytes may differ. */
  rv = bbw_address_from_text((bbw_str){text, text_len}, again, need, &again_len, &err);
  REQUIRE(rv == BBW_OK && again_len <= need);
  bool is_same = bbw_bytes_equal((bbw_bytes){again, again_len}, (bbw_bytes){binary, need});
  bbw_segment op;
  REQUIRE(is_same || bbw_address_find((bbw_bytes){binary, need}, BBW_SEGMENT_OP, &op));
  free(text);
  free(again);
  free(binary);
  return 0;
}
