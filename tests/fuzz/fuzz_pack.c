/* Any bytes as a pack and any order of reads: no read leaves the bytes, and after a malformed one all give nothing; what was written is read back. */
#include "base/bytes.h"
#include "fuzz.h"

/* The file belongs to the wasm module and is in no library. */
#include "../../wasm/pack.c"

static bbw_vec copy;

static bool is_inside(const uint8_t *data, size_t len, const void *ptr, size_t size) {
  const uint8_t *at = ptr;
  return size == 0 || (at >= data && at + size <= data + len);
}

static void read_one(bbw_pack *pack, const uint8_t *data, size_t len, unsigned kind) {
  bool was_ok = pack->is_ok;
  uint64_t number = 0;
  bbw_bytes bytes = {NULL, 0};
  switch (kind) {
  case 0: number = bbw_pack_u32(pack); break;
  case 1: number = bbw_pack_u64(pack); break;
  case 2: bytes = bbw_pack_bytes(pack); break;
  case 3: bytes = bbw_str_bytes(bbw_pack_text(pack)); break;
  default:
    number = bbw_pack_count(pack, 8);
    REQUIRE(!pack->is_ok || number <= len / 8);
    break;
  }
  REQUIRE(pack->at <= len && is_inside(data, len, bytes.ptr, bytes.len));
  REQUIRE(was_ok || (!pack->is_ok && number == 0 && bytes.len == 0));
  if (!pack->is_ok) { return; }
  if (kind == 0 || kind == 4) { REQUIRE(bbw_pack_put_u32(&copy, (uint32_t)number)); }
  if (kind == 1) { REQUIRE(bbw_pack_put_u64(&copy, number)); }
  if (kind == 2 || kind == 3) { REQUIRE(bbw_pack_put_bytes(&copy, bytes)); }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (len < 8) { return 0; }
  const uint8_t *body = data + 8; /* the first eight bytes say what is read */
  bbw_pack pack = bbw_pack_open(body, len - 8);
  bbw_vec_init(&copy, 1, &bbw_mem_libc);
  size_t good = 0;
  for (unsigned i = 0; i < 16; i++) {
    read_one(&pack, body, len - 8, (data[i / 2] >> (4 * (i & 1)) & 15u) % 5);
    if (pack.is_ok) { good = pack.at; }
  }
  REQUIRE(copy.count == good && (good == 0 || memcmp(copy.items, body, good) == 0));
  bbw_vec_free(&copy);
  return 0;
}
