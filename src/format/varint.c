#include "format/varint.h"

bbw_varint_result bbw_varint_read(bbw_bytes bytes, size_t *at, uint64_t *out) {
  uint64_t value = 0;
  for (size_t i = 0; i < BBW_VARINT_BYTES_MAX; i++) {
    if (i >= bytes.len - *at) { return BBW_VARINT_INSUFFICIENT; }
    uint8_t byte = bytes.ptr[*at + i];
    /* The shift by 63 drops all bits of the tenth byte but the lowest. */
    value |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (byte >= 0x80) { continue; }
    if (byte == 0 && i > 0) { return BBW_VARINT_NOT_MINIMAL; }
    *at += i + 1;
    *out = value;
    return BBW_VARINT_OK;
  }
  return BBW_VARINT_OVERFLOW;
}
