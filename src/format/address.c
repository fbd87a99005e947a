#include "bbw/address.h"

#include <string.h>

#include "base/bytes.h"
#include "format/pbwire.h"
#include "format/varint.h"

#define CODE_P2P       421u
#define CODE_SITE      0xe2u
#define CODE_COMPONENT 0xe3u
#define CODE_OP        0xe4u

/* One row per bbw_segment_kind. */
static const struct {
  uint16_t code;
  uint8_t value_bytes; /* of a fixed-width value; 0: a length stands before it */
  const char *name;
} kinds[] = {
    [BBW_SEGMENT_P2P] = {CODE_P2P, 0, "p2p"},
    [BBW_SEGMENT_SITE] = {CODE_SITE, 8, "site"},
    [BBW_SEGMENT_COMPONENT] = {CODE_COMPONENT, 4, "component"},
    [BBW_SEGMENT_OP] = {CODE_OP, 0, "op"},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* ---- binary form -------------------------------------------------------------------------------------------------- */

static bbw_status refuse_value(bbw_error *err, size_t offset, bbw_str protocol, bbw_str value) {
  bbw_status rv = bbw_error_set_at(err, BBW_E_INVALID_VALUE, offset);
  bbw_error_add_str(err, "protocol", protocol);
  bbw_error_add_str(err, "value", value);
  return rv;
}

/* The value of a binary segment that is wrong is described by its size, as it may not be text. */
static bbw_status refuse_bytes(bbw_error *err, size_t offset, bbw_segment_kind kind, size_t len) {
  bbw_str before = kind == BBW_SEGMENT_P2P ? BBW_STR("malformed multihash (") : BBW_STR("non-utf8 ");
  bbw_str after = kind == BBW_SEGMENT_P2P ? BBW_STR(" bytes)") : BBW_STR(" bytes");
  char text[64];
  memcpy(text, before.ptr, before.len);
  size_t at = before.len;
  at += bbw_format_u64(len, text + at);
  memcpy(text + at, after.ptr, after.len);
  return refuse_value(err, offset, (bbw_str){kinds[kind].name, strlen(kinds[kind].name)},
                      (bbw_str){text, at + after.len});
}

static bool value_is_valid(bbw_segment_kind kind, bbw_bytes value) {
  bbw_peer_id peer;
  size_t bad;
  if (kind == BBW_SEGMENT_P2P) { return bbw_peer_id_decode(&peer, value, NULL) == BBW_OK; }
  return bbw_utf8_is_valid(value, &bad);
}

bbw_status bbw_address_next(bbw_bytes bytes, size_t *at, bbw_segment *out, bbw_error *err) {
  size_t start = *at;
  size_t pos = start;
  uint64_t code;
  if (bbw_varint_read(bytes, &pos, &code) != BBW_VARINT_OK) { return bbw_error_set_at(err, BBW_E_TRUNCATED, start); }
  size_t kind = 0;
  while (kind < KIND_COUNT && kinds[kind].code != code) { kind++; }
  if (kind == KIND_COUNT) {
    bbw_status rv = bbw_error_set_at(err, BBW_E_UNKNOWN_CODE, start);
    bbw_error_add_u64(err, "code", code & 0xff);
    return rv;
  }
  uint64_t len = kinds[kind].value_bytes;
  if (len == 0 && bbw_varint_read(bytes, &pos, &len) != BBW_VARINT_OK) {
    return bbw_error_set_at(err, BBW_E_TRUNCATED, start);
  }
  if (len > bytes.len - pos) { return bbw_error_set_at(err, BBW_E_TRUNCATED, start); }
  const uint8_t *value = bytes.ptr + pos;
  bbw_segment segment = {.kind = (bbw_segment_kind)kind};
  switch (segment.kind) {
  case BBW_SEGMENT_SITE: segment.number = bbw_load_u64be(value); break;
  case BBW_SEGMENT_COMPONENT:
    for (size_t i = 0; i < 4; i++) { segment.number = segment.number << 8 | value[i]; }
    break;
  case BBW_SEGMENT_P2P:
  case BBW_SEGMENT_OP:
    segment.bytes = (bbw_bytes){value, (size_t)len};
    if (!value_is_valid(segment.kind, segment.bytes)) { return refuse_bytes(err, start, segment.kind, (size_t)len); }
    break;
  }
  *out = segment;
  *at = pos + (size_t)len;
  return BBW_OK;
}

bbw_status bbw_address_check(bbw_bytes bytes, bbw_error *err) {
  size_t at = 0;
  while (at < bytes.len) {
    bbw_segment segment;
    bbw_status rv = bbw_address_next(bytes, &at, &segment, err);
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

bool bbw_address_find(bbw_bytes bytes, bbw_segment_kind kind, bbw_segment *out) {
  size_t at = 0;
  while (at < bytes.len) {
    bbw_segment segment;
    if (bbw_address_next(bytes, &at, &segment, NULL) != BBW_OK) { return false; }
    if (segment.kind == kind) {
      *out = segment;
      return true;
    }
  }
  return false;
}

/* Writes what fits into cap and counts all of it. */
typedef struct sink {
  uint8_t *buf;
  size_t cap;
  size_t len;
} sink;

static void sink_put(sink *to, const void *bytes, size_t len) {
  if (to->len <= to->cap && len <= to->cap - to->len && len != 0) { memcpy(to->buf + to->len, bytes, len); }
  to->len += len;
}

static void sink_varint(sink *to, uint64_t value) {
  uint8_t bytes[BBW_VARINT_BYTES_MAX];
  sink_put(to, bytes, bbw_pbwire_varint_write(value, bytes));
}

static void sink_segment(sink *to, const bbw_segment *segment) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  sink_varint(to, kinds[segment->kind].code);
  switch (segment->kind) {
  case BBW_SEGMENT_SITE:
    bbw_store_u64be(bytes, segment->number);
    sink_put(to, bytes, 8);
    break;
  case BBW_SEGMENT_COMPONENT:
    for (unsigned i = 0; i < 4; i++) { bytes[i] = (uint8_t)(segment->number >> (24 - 8 * i)); }
    sink_put(to, bytes, 4);
    break;
  case BBW_SEGMENT_P2P: {
    /* Written from the decoded id, so that an unusual spelling of its numbers becomes the usual one. */
    bbw_peer_id peer;
    bbw_bytes view = segment->bytes;
    if (bbw_peer_id_decode(&peer, view, NULL) == BBW_OK) {
      view = (bbw_bytes){bytes, bbw_peer_id_encode(&peer, bytes)};
    }
    sink_varint(to, view.len);
    sink_put(to, view.ptr, view.len);
    break;
  }
  case BBW_SEGMENT_OP:
    sink_varint(to, segment->bytes.len);
    sink_put(to, segment->bytes.ptr, segment->bytes.len);
    break;
  }
}

bbw_status bbw_address_append(uint8_t *buf, size_t cap, size_t *len, const bbw_segment *segment) {
  sink to = {.buf = buf, .cap = cap, .len = *len};
  sink need = {.buf = NULL, .cap = 0, .len = *len};
  sink_segment(&need, segment);
  if (need.len > cap) { return BBW_E_BUFFER; }
  sink_segment(&to, segment);
  *len = to.len;
  return BBW_OK;
}

bbw_status bbw_address_canonical(bbw_bytes bytes, uint8_t *buf, size_t cap, size_t *need) {
  sink to = {.buf = buf, .cap = cap};
  size_t at = 0;
  while (at < bytes.len) {
    bbw_segment segment;
    bbw_status rv = bbw_address_next(bytes, &at, &segment, NULL);
    if (rv != BBW_OK) { return rv; }
    sink_segment(&to, &segment);
  }
  *need = to.len;
  return to.len <= cap ? BBW_OK : BBW_E_BUFFER;
}

/* ---- text form ---------------------------------------------------------------------------------------------------- */

bbw_status bbw_address_to_text(bbw_bytes bytes, char *buf, size_t cap, size_t *need) {
  sink to = {.buf = (uint8_t *)buf, .cap = cap};
  size_t at = 0;
  while (at < bytes.len) {
    bbw_segment segment;
    bbw_status rv = bbw_address_next(bytes, &at, &segment, NULL);
    if (rv != BBW_OK) { return rv; }
    const char *name = kinds[segment.kind].name;
    sink_put(&to, "/", 1);
    sink_put(&to, name, strlen(name));
    sink_put(&to, "/", 1);
    char text[BBW_PEER_ID_TEXT_BYTES_MAX];
    bbw_peer_id peer;
    switch (segment.kind) {
    case BBW_SEGMENT_SITE:
    case BBW_SEGMENT_COMPONENT: sink_put(&to, text, bbw_format_u64(segment.number, text)); break;
    case BBW_SEGMENT_OP: sink_put(&to, segment.bytes.ptr, segment.bytes.len); break;
    case BBW_SEGMENT_P2P:
      rv = bbw_peer_id_decode(&peer, segment.bytes, NULL);
      if (rv != BBW_OK) { return rv; }
      sink_put(&to, text, bbw_peer_id_to_text(&peer, text));
      break;
    }
  }
  *need = to.len;
  return to.len <= cap ? BBW_OK : BBW_E_BUFFER;
}

/* Bytes of the white space (Unicode property White_Space) that starts at p, or 0. */
static size_t space_bytes(const uint8_t *p, size_t len) {
  if (len >= 1 && ((p[0] >= 0x09 && p[0] <= 0x0d) || p[0] == 0x20)) { return 1; }
  if (len >= 2 && p[0] == 0xc2 && (p[1] == 0x85 || p[1] == 0xa0)) { return 2; }
  if (len < 3) { return 0; }
  uint32_t three = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
  bool is_general = three >= 0xe28080 && three <= 0xe2808a; /* U+2000 .. U+200A */
  bool is_single = three == 0xe19a80                        /* U+1680 */
                   || three == 0xe280a8                     /* U+2028 */
                   || three == 0xe280a9                     /* U+2029 */
                   || three == 0xe280af                     /* U+202F */
                   || three == 0xe2819f                     /* U+205F */
                   || three == 0xe38080 /* U+3000 */;
  return is_general || is_single ? 3 : 0;
}

static bbw_str trim(bbw_str text) {
  const uint8_t *p = (const uint8_t *)text.ptr;
  size_t start = 0, end = text.len;
  size_t n;
  while ((n = space_bytes(p + start, end - start)) != 0) { start += n; }
  for (bool again = true; again;) {
    again = false;
    for (n = 1; n <= 3 && n <= end - start && !again; n++) {
      if (space_bytes(p + end - n, n) == n) {
        end -= n;
        again = true;
      }
    }
  }
  return (bbw_str){text.ptr + start, end - start};
}

/* Cuts text at the next '/', or at its end, and moves *rest behind it. */
static bbw_str take_part(bbw_str *rest, bool *has_more) {
  const char *slash = rest->len == 0 ? NULL : memchr(rest->ptr, '/', rest->len);
  size_t len = slash == NULL ? rest->len : (size_t)(slash - rest->ptr);
  bbw_str part = {rest->ptr, len};
  *has_more = slash != NULL;
  if (slash != NULL) { len++; }
  *rest = (bbw_str){rest->ptr + len, rest->len - len};
  return part;
}

/* One (protocol, value) pair to a segment; a p2p id is written to peer_bytes. */
static bool parse_segment(bbw_str protocol, bbw_str value, bbw_segment *out,
                          uint8_t peer_bytes[BBW_PEER_ID_BYTES_MAX]) {
  size_t kind = 0;
  while (kind < KIND_COUNT && !bbw_str_equal(protocol, (bbw_str){kinds[kind].name, strlen(kinds[kind].name)})) {
    kind++;
  }
  if (kind == KIND_COUNT) { return false; }
  *out = (bbw_segment){.kind = (bbw_segment_kind)kind};
  bbw_peer_id peer;
  size_t bad;
  switch (out->kind) {
  case BBW_SEGMENT_SITE: return bbw_parse_u64(value, &out->number);
  case BBW_SEGMENT_COMPONENT: return bbw_parse_u64(value, &out->number) && out->number <= UINT32_MAX;
  case BBW_SEGMENT_OP: out->bytes = bbw_str_bytes(value); return bbw_utf8_is_valid(out->bytes, &bad);
  case BBW_SEGMENT_P2P:
    if (bbw_peer_id_from_text(&peer, value, NULL) != BBW_OK) { return false; }
    out->bytes = (bbw_bytes){peer_bytes, bbw_peer_id_encode(&peer, peer_bytes)};
    return true;
  }
  return false;
}

static bbw_status refuse_text(bbw_error *err, bbw_str text) {
  bbw_status rv = bbw_error_set(err, BBW_E_MALFORMED_STRING);
  bbw_error_add_str(err, "text", text);
  return rv;
}

bbw_status bbw_address_from_text(bbw_str text, uint8_t *buf, size_t cap, size_t *need, bbw_error *err) {
  sink to = {.buf = buf, .cap = cap};
  bbw_str rest = text.len == 0 ? text : trim(text);
  if (rest.len != 0) {
    if (rest.ptr[0] != '/') { return refuse_text(err, text); }
    rest = (bbw_str){rest.ptr + 1, rest.len - 1};
    for (bool has_more = true; has_more;) {
      bbw_str protocol = take_part(&rest, &has_more);
      if (!has_more) { return refuse_text(err, text); }
      bbw_str value = take_part(&rest, &has_more);
      bbw_segment segment;
      uint8_t peer_bytes[BBW_PEER_ID_BYTES_MAX];
      if (!parse_segment(protocol, value, &segment, peer_bytes)) {
        return refuse_value(err, (size_t)(value.ptr - text.ptr), protocol, value);
      }
      sink_segment(&to, &segment);
    }
  }
  *need = to.len;
  return to.len <= cap ? BBW_OK : bbw_error_set(err, BBW_E_BUFFER);
}
