#include "pack.h"

#include "base/bytes.h"

bbw_pack bbw_pack_open(const uint8_t *ptr, size_t len) {
  return (bbw_pack){.ptr = ptr, .len = len, .at = 0, .is_ok = true};
}

static const uint8_t *take(bbw_pack *pack, size_t len) {
  if (!pack->is_ok || len > pack->len - pack->at) {
    pack->is_ok = false;
    return NULL;
  }
  const uint8_t *at = pack->ptr + pack->at;
  pack->at += len;
  return at;
}

uint32_t bbw_pack_u32(bbw_pack *pack) {
  const uint8_t *at = take(pack, 4);
  return at == NULL ? 0 : bbw_load_u32le(at);
}

uint64_t bbw_pack_u64(bbw_pack *pack) {
  const uint8_t *at = take(pack, 8);
  return at == NULL ? 0 : bbw_load_u64le(at);
}

bbw_bytes bbw_pack_bytes(bbw_pack *pack) {
  size_t len = bbw_pack_u32(pack);
  const uint8_t *at = take(pack, len);
  return at == NULL ? (bbw_bytes){NULL, 0} : (bbw_bytes){at, len};
}

bbw_str bbw_pack_text(bbw_pack *pack) {
  bbw_bytes bytes = bbw_pack_bytes(pack);
  size_t bad;
  if (!bbw_utf8_is_valid(bytes, &bad)) {
    pack->is_ok = false;
    return (bbw_str){NULL, 0};
  }
  return bbw_bytes_str(bytes);
}

size_t bbw_pack_count(bbw_pack *pack, size_t element_min) {
  size_t count = bbw_pack_u32(pack);
  if (!pack->is_ok || count > (pack->len - pack->at) / element_min) {
    pack->is_ok = false;
    return 0;
  }
  return count;
}

bool bbw_pack_is_done(const bbw_pack *pack) { return pack->is_ok && pack->at == pack->len; }

bool bbw_pack_put_u32(bbw_vec *out, uint32_t value) {
  uint8_t bytes[4];
  bbw_store_u32le(bytes, value);
  return bbw_vec_append(out, bytes, sizeof(bytes));
}

bool bbw_pack_put_u64(bbw_vec *out, uint64_t value) {
  uint8_t bytes[8];
  bbw_store_u64le(bytes, value);
  return bbw_vec_append(out, bytes, sizeof(bytes));
}

bool bbw_pack_put_bytes(bbw_vec *out, bbw_bytes bytes) {
  return bytes.len <= UINT32_MAX && bbw_pack_put_u32(out, (uint32_t)bytes.len) &&
         bbw_vec_append(out, bytes.ptr, bytes.len);
}

bool bbw_pack_put_text(bbw_vec *out, bbw_str text) { return bbw_pack_put_bytes(out, bbw_str_bytes(text)); }
