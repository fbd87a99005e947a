#include "components/protocol.h"

#include <string.h>

#include "base/mem.h"

bool bbw_protocol_read_addresses(bbw_bincode_reader *reader, bbw_protocol_addresses *out) {
  size_t count;
  out->count = 0;
  if (!bbw_bincode_count(reader, 8, &count) || count > BBW_PROTOCOL_ADDRESSES_MAX) { return false; }
  for (size_t i = 0; i < count; i++) {
    bbw_bincode_reader again = *reader;
    size_t len;
    if (!bbw_bincode_address(reader, NULL, &len) || len > BBW_PROTOCOL_ADDRESS_BYTES) { return false; }
    (void)bbw_bincode_address(&again, out->bytes[i], &len);
    out->items[i] = (bbw_bytes){out->bytes[i], len};
  }
  out->count = count;
  return true;
}

static size_t capped(size_t count) { return count > BBW_PROTOCOL_ADDRESSES_MAX ? BBW_PROTOCOL_ADDRESSES_MAX : count; }

size_t bbw_protocol_addresses_size(const bbw_bytes *items, size_t count) {
  size_t size = 8;
  for (size_t i = 0; i < capped(count); i++) { size += bbw_bincode_address_size(items[i]); }
  return size;
}

uint8_t *bbw_protocol_put_addresses(uint8_t *at, const bbw_bytes *items, size_t count) {
  at = bbw_bincode_put_u64(at, capped(count));
  for (size_t i = 0; i < capped(count); i++) { at = bbw_bincode_put_address(at, items[i]); }
  return at;
}

bool bbw_protocol_peer_input(const bbw_value *value, bbw_peer_id *out) {
  if (value == NULL) { return false; }
  bbw_bytes bytes = {NULL, 0};
  switch ((bbw_type)value->type) {
  case BBW_TYPE_PEER_ID_VEC:
  case BBW_TYPE_RAW_PEER_VEC:
    if (value->as.blobs.count != 0) { bytes = value->as.blobs.items[0]; }
    break;
  case BBW_TYPE_PEER_ID:
  case BBW_TYPE_RAW_PEER:
  case BBW_TYPE_BYTES: bytes = value->as.bytes; break;
  default: return false;
  }
  if (bbw_peer_id_decode(out, bytes, NULL) == BBW_OK) { return true; }
  bbw_bincode_reader reader = {.bytes = bytes};
  bool is_one = value->type == BBW_TYPE_BYTES && bbw_bincode_peer(&reader, out) && reader.at == bytes.len;
  if (is_one || value->type != BBW_TYPE_BYTES) { return is_one; }
  size_t count;
  reader = (bbw_bincode_reader){.bytes = bytes};
  return bbw_bincode_count(&reader, 10, &count) && count != 0 && bbw_bincode_peer(&reader, out);
}

bool bbw_protocol_wanted(const bbw_ctx *ctx, size_t *n) {
  const bbw_value *input = bbw_ctx_input(ctx, 0);
  int64_t attribute;
  uint64_t wanted;
  if (input != NULL &&
      (input->type == BBW_TYPE_RAW_U32 || input->type == BBW_TYPE_RAW_U64 || input->type == BBW_TYPE_U64)) {
    wanted = input->as.u64;
  } else if (bbw_ctx_attr_i64(ctx, "n", &attribute) && attribute >= 0) {
    wanted = (uint64_t)attribute;
  } else {
    return false;
  }
  *n = wanted > SIZE_MAX ? SIZE_MAX : (size_t)wanted;
  return true;
}

bbw_status bbw_protocol_set_peers(bbw_ctx *ctx, const bbw_peer_id *const *peers, size_t count) {
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  bbw_bytes *items = bbw_mem_array(mem, count, sizeof *items);
  uint8_t(*encoded)[BBW_PEER_ID_BYTES_MAX] = bbw_mem_array(mem, count, sizeof *encoded);
  bbw_status rv = BBW_E_NOMEM;
  bbw_value *value;
  if (count == 0 || (items != NULL && encoded != NULL)) {
    for (size_t i = 0; i < count; i++) { items[i] = (bbw_bytes){encoded[i], bbw_peer_id_encode(peers[i], encoded[i])}; }
    rv = bbw_value_new_blobs(&value, BBW_TYPE_PEER_ID_VEC, items, count, mem);
  }
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, 0, value); }
  bbw_mem_array_free(mem, encoded, count, sizeof *encoded);
  bbw_mem_array_free(mem, items, count, sizeof *items);
  return rv;
}

bool bbw_protocol_is_op(const bbw_ctx *ctx, const char *name) {
  return bbw_str_equal(bbw_ctx_op_type(ctx), (bbw_str){name, strlen(name)});
}
