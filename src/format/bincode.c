#include "format/bincode.h"

#include "format/pbwire.h"

#define REASON_END "input ends inside a value"

static bool fail(bbw_bincode_reader *reader, size_t at, const char *reason) {
  reader->at = at;
  reader->reason = reason;
  return false;
}

bool bbw_bincode_take(bbw_bincode_reader *reader, size_t len, bbw_bytes *out) {
  if (len > reader->bytes.len - reader->at) { return fail(reader, reader->at, REASON_END); }
  *out = (bbw_bytes){len == 0 ? NULL : reader->bytes.ptr + reader->at, len};
  reader->at += len;
  return true;
}

bool bbw_bincode_u8(bbw_bincode_reader *reader, uint8_t *out) {
  bbw_bytes raw;
  if (!bbw_bincode_take(reader, 1, &raw)) { return false; }
  *out = raw.ptr[0];
  return true;
}

bool bbw_bincode_u32(bbw_bincode_reader *reader, uint32_t *out) {
  bbw_bytes raw;
  if (!bbw_bincode_take(reader, 4, &raw)) { return false; }
  *out = bbw_load_u32le(raw.ptr);
  return true;
}

bool bbw_bincode_u64(bbw_bincode_reader *reader, uint64_t *out) {
  bbw_bytes raw;
  if (!bbw_bincode_take(reader, 8, &raw)) { return false; }
  *out = bbw_load_u64le(raw.ptr);
  return true;
}

bool bbw_bincode_count(bbw_bincode_reader *reader, size_t element_bytes, size_t *out) {
  size_t start = reader->at;
  uint64_t count;
  if (!bbw_bincode_u64(reader, &count)) { return false; }
  if (count > (reader->bytes.len - reader->at) / element_bytes) { return fail(reader, start, REASON_END); }
  *out = (size_t)count;
  return true;
}

bool bbw_bincode_view(bbw_bincode_reader *reader, bbw_bytes *out) {
  size_t len;
  return bbw_bincode_count(reader, 1, &len) && bbw_bincode_take(reader, len, out);
}

bool bbw_bincode_text(bbw_bincode_reader *reader, bbw_str *out) {
  size_t start = reader->at;
  bbw_bytes view;
  size_t bad;
  if (!bbw_bincode_view(reader, &view)) { return false; }
  if (!bbw_utf8_is_valid(view, &bad)) { return fail(reader, start, "text is not UTF-8"); }
  *out = bbw_bytes_str(view);
  return true;
}

bool bbw_bincode_peer(bbw_bincode_reader *reader, bbw_peer_id *out) {
  size_t start = reader->at;
  bbw_bytes view;
  if (!bbw_bincode_view(reader, &view)) { return false; }
  return bbw_peer_id_decode(out, view, NULL) == BBW_OK || fail(reader, start, "bytes are not a peer id");
}

/* One segment; p2p bytes are canonical and lie in peer_bytes. */
static bool read_segment(bbw_bincode_reader *reader, bbw_segment *out, uint8_t peer_bytes[BBW_PEER_ID_BYTES_MAX]) {
  size_t start = reader->at;
  uint32_t variant, component;
  bbw_peer_id peer;
  bbw_str op;
  if (!bbw_bincode_u32(reader, &variant)) { return false; }
  *out = (bbw_segment){.kind = (bbw_segment_kind)variant};
  switch (variant) {
  case BBW_SEGMENT_P2P:
    if (!bbw_bincode_peer(reader, &peer)) { return false; }
    out->bytes = (bbw_bytes){peer_bytes, bbw_peer_id_encode(&peer, peer_bytes)};
    return true;
  case BBW_SEGMENT_SITE: return bbw_bincode_u64(reader, &out->number);
  case BBW_SEGMENT_COMPONENT:
    if (!bbw_bincode_u32(reader, &component)) { return false; }
    out->number = component;
    return true;
  case BBW_SEGMENT_OP:
    if (!bbw_bincode_text(reader, &op)) { return false; }
    out->bytes = bbw_str_bytes(op);
    return true;
  default: return fail(reader, start, "unknown address segment");
  }
}

/* Bytes of a segment in binary form: a two-byte code, then the value. */
static size_t binary_bytes(const bbw_segment *segment) {
  switch (segment->kind) {
  case BBW_SEGMENT_SITE: return 2 + 8;
  case BBW_SEGMENT_COMPONENT: return 2 + 4;
  case BBW_SEGMENT_P2P:
  case BBW_SEGMENT_OP: break;
  }
  return 2 + bbw_pbwire_varint_size(segment->bytes.len) + segment->bytes.len;
}

bool bbw_bincode_address(bbw_bincode_reader *reader, uint8_t *out, size_t *len) {
  uint64_t count;
  size_t total = 0;
  if (!bbw_bincode_u64(reader, &count)) { return false; }
  for (uint64_t i = 0; i < count; i++) {
    bbw_segment segment;
    uint8_t peer_bytes[BBW_PEER_ID_BYTES_MAX];
    if (!read_segment(reader, &segment, peer_bytes)) { return false; }
    if (out != NULL) {
      /* The counting walk made exactly this much room. */
      (void)bbw_address_append(out, total + binary_bytes(&segment), &total, &segment);
    } else {
      total += binary_bytes(&segment);
    }
  }
  *len = total;
  return true;
}

uint8_t *bbw_bincode_put_u32(uint8_t *at, uint32_t value) {
  bbw_store_u32le(at, value);
  return at + 4;
}

uint8_t *bbw_bincode_put_u64(uint8_t *at, uint64_t value) {
  bbw_store_u64le(at, value);
  return at + 8;
}

uint8_t *bbw_bincode_put_view(uint8_t *at, bbw_bytes bytes) {
  at = bbw_bincode_put_u64(at, bytes.len);
  if (bytes.len != 0) { memcpy(at, bytes.ptr, bytes.len); }
  return at + bytes.len;
}

size_t bbw_bincode_address_size(bbw_bytes binary) {
  size_t size = 8, at = 0;
  bbw_segment segment;
  while (at < binary.len && bbw_address_next(binary, &at, &segment, NULL) == BBW_OK) {
    switch (segment.kind) {
    case BBW_SEGMENT_SITE: size += 4 + 8; break;
    case BBW_SEGMENT_COMPONENT: size += 4 + 4; break;
    case BBW_SEGMENT_P2P:
    case BBW_SEGMENT_OP: size += 4 + 8 + segment.bytes.len; break;
    }
  }
  return size;
}

uint8_t *bbw_bincode_put_address(uint8_t *at, bbw_bytes binary) {
  uint8_t *count_at = at;
  uint64_t count = 0;
  size_t from = 0;
  bbw_segment segment;
  at += 8;
  while (from < binary.len && bbw_address_next(binary, &from, &segment, NULL) == BBW_OK) {
    count++;
    at = bbw_bincode_put_u32(at, (uint32_t)segment.kind);
    switch (segment.kind) {
    case BBW_SEGMENT_SITE: at = bbw_bincode_put_u64(at, segment.number); break;
    case BBW_SEGMENT_COMPONENT: at = bbw_bincode_put_u32(at, (uint32_t)segment.number); break;
    case BBW_SEGMENT_P2P:
    case BBW_SEGMENT_OP: at = bbw_bincode_put_view(at, segment.bytes); break;
    }
  }
  bbw_store_u64le(count_at, count);
  return at;
}
