#include "format/pbwire.h"

#include "base/bytes.h"

static bool fail(bbw_pbwire_reader *reader, size_t at, const char *reason) {
  reader->at = at;
  reader->reason = reason;
  return false;
}

bool bbw_pbwire_varint(bbw_pbwire_reader *reader, uint64_t *out) {
  uint64_t value = 0;
  size_t start = reader->at;
  for (unsigned i = 0; i < 10; i++) {
    if (reader->at == reader->end) { return fail(reader, start, BBW_PBWIRE_TRUNCATED); }
    uint8_t byte = reader->bytes[reader->at++];
    /* The tenth byte holds bit 63 alone. */
    if (i == 9 && byte > 1) { break; }
    value |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *out = value;
      return true;
    }
  }
  return fail(reader, start, BBW_PBWIRE_VARINT);
}

bool bbw_pbwire_key(bbw_pbwire_reader *reader, uint32_t *number, uint32_t *wire) {
  size_t start = reader->at;
  uint64_t key;
  if (!bbw_pbwire_varint(reader, &key)) { return false; }
  if (key > UINT32_MAX || key >> 3 == 0) { return fail(reader, start, BBW_PBWIRE_KEY); }
  *number = (uint32_t)(key >> 3);
  *wire = (uint32_t)(key & 7);
  if (*wire > BBW_WIRE_FIXED32) { return fail(reader, start, BBW_PBWIRE_WIRE_TYPE); }
  return true;
}

bool bbw_pbwire_fixed32(bbw_pbwire_reader *reader, uint32_t *out) {
  if (reader->end - reader->at < 4) { return fail(reader, reader->at, BBW_PBWIRE_TRUNCATED); }
  *out = bbw_load_u32le(reader->bytes + reader->at);
  reader->at += 4;
  return true;
}

bool bbw_pbwire_fixed64(bbw_pbwire_reader *reader, uint64_t *out) {
  if (reader->end - reader->at < 8) { return fail(reader, reader->at, BBW_PBWIRE_TRUNCATED); }
  *out = bbw_load_u64le(reader->bytes + reader->at);
  reader->at += 8;
  return true;
}

bool bbw_pbwire_view(bbw_pbwire_reader *reader, bbw_bytes *out) {
  size_t start = reader->at;
  uint64_t len;
  if (!bbw_pbwire_varint(reader, &len)) { return false; }
  /* Compared as 64 bits first: on a 32-bit build a narrowed length could look small. */
  if (len > reader->end - reader->at) { return fail(reader, start, BBW_PBWIRE_TRUNCATED); }
  *out = (bbw_bytes){len == 0 ? NULL : reader->bytes + reader->at, (size_t)len};
  reader->at += (size_t)len;
  return true;
}

static bool skip_scalar(bbw_pbwire_reader *reader, uint32_t wire) {
  uint64_t number;
  uint32_t word;
  bbw_bytes view;
  switch (wire) {
  case BBW_WIRE_VARINT: return bbw_pbwire_varint(reader, &number);
  case BBW_WIRE_FIXED64: return bbw_pbwire_fixed64(reader, &number);
  case BBW_WIRE_FIXED32: return bbw_pbwire_fixed32(reader, &word);
  default: return bbw_pbwire_view(reader, &view);
  }
}

bool bbw_pbwire_skip(bbw_pbwire_reader *reader, uint32_t number, uint32_t wire, size_t depth) {
  uint32_t open[BBW_PBWIRE_DEPTH_MAX]; /* field numbers of the groups that are open */
  size_t open_count = 0;
  for (;;) {
    size_t start = reader->at;
    if (wire == BBW_WIRE_GROUP_END) {
      if (open_count == 0 || open[open_count - 1] != number) { return fail(reader, start, BBW_PBWIRE_GROUP); }
      open_count--;
    } else {
      /* A field that is skipped counts as one level itself, so nothing fits inside level 100. */
      if (depth + open_count >= BBW_PBWIRE_DEPTH_MAX) { return fail(reader, start, BBW_PBWIRE_DEPTH); }
      if (wire == BBW_WIRE_GROUP) {
        open[open_count++] = number;
      } else if (!skip_scalar(reader, wire)) {
        return false;
      }
    }
    if (open_count == 0) { return true; }
    if (!bbw_pbwire_key(reader, &number, &wire)) { return false; }
  }
}

size_t bbw_pbwire_varint_size(uint64_t value) {
  size_t size = 1;
  while (value >= 0x80) {
    value >>= 7;
    size++;
  }
  return size;
}

size_t bbw_pbwire_varint_write(uint64_t value, uint8_t *out) {
  size_t size = 0;
  while (value >= 0x80) {
    out[size++] = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  out[size++] = (uint8_t)value;
  return size;
}
