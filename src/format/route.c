#include "format/route.h"

#include "base/bytes.h"
#include "base/hash.h"

uint64_t bbw_route_id(bbw_str partition, bbw_str value) {
  static const uint8_t separator = 0;
  uint64_t hash = bbw_fnv1a(BBW_FNV1A_OFFSET, bbw_str_bytes(partition));
  hash = bbw_fnv1a(hash, (bbw_bytes){&separator, 1});
  return bbw_fnv1a(hash, bbw_str_bytes(value)) | UINT64_C(1) << 63;
}
