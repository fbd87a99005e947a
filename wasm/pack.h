/*
 * pack: the flat encoding of requests and replies that cross the wasm boundary (grammar in abi.h).
 *
 * Reading is bounds-checked: past the end, or once something was malformed, every read gives zeros and `is_ok` stays false, so a caller checks once at the end.
 */
#ifndef BBW_WASM_PACK_H
#define BBW_WASM_PACK_H

#include "base/vec.h"
#include "bbw/base.h"

typedef struct bbw_pack {
  const uint8_t *ptr;
  size_t len;
  size_t at;
  bool is_ok;
} bbw_pack;

bbw_pack bbw_pack_open(const uint8_t *ptr, size_t len);
uint32_t bbw_pack_u32(bbw_pack *pack);
uint64_t bbw_pack_u64(bbw_pack *pack);
bbw_bytes bbw_pack_bytes(bbw_pack *pack);
bbw_str bbw_pack_text(bbw_pack *pack); /* checked UTF-8 */
/* A list's count; malformed when fewer than `element_min` bytes per element are left, so it can size an allocation. */
size_t bbw_pack_count(bbw_pack *pack, size_t element_min);
/* Everything was well-formed and nothing is left over. */
bool bbw_pack_is_done(const bbw_pack *pack);

/* Writing into a byte vec; false when memory runs out or a length does not fit 32 bits. */
bool bbw_pack_put_u32(bbw_vec *out, uint32_t value);
bool bbw_pack_put_u64(bbw_vec *out, uint64_t value);
bool bbw_pack_put_bytes(bbw_vec *out, bbw_bytes bytes);
bool bbw_pack_put_text(bbw_vec *out, bbw_str text);

#endif
