#include "onnx/lanes.h"

#include <string.h>

#include "onnx/convert.h"
#include "onnx/op.h"

bbw_lanes bbw_lanes_of(const bbw_array *array, uint32_t axis) {
  return (bbw_lanes){.outer = bbw_dims_product(array->dims, 0, axis),
                     .length = array->dims[axis],
                     .inner = bbw_dims_product(array->dims, axis + 1, array->rank)};
}

#define SIGN ((uint64_t)1 << 63)

/* IEEE numbers of one sign sort like their bits. */
static uint64_t float_key(double x) {
  uint64_t bits;
  if (!(x == x)) { return UINT64_MAX; }
  x = x + 0.0; /* one zero */
  memcpy(&bits, &x, sizeof bits);
  return (bits & SIGN) != 0 ? ~bits : bits | SIGN;
}

static void keys_of_block(const bbw_array *array, size_t start, size_t n, uint64_t *keys) {
  if (bbw_dtype_is_float(array->dtype)) {
    double block[BBW_CONVERT_BLOCK];
    bbw_load_f64(array, start, n, block);
    for (size_t i = 0; i < n; i++) { keys[i] = float_key(block[i]); }
  } else {
    int64_t block[BBW_CONVERT_BLOCK];
    bbw_load_i64(array, start, n, block);
    uint64_t flip = array->dtype == BBW_DTYPE_U64 ? 0 : SIGN;
    for (size_t i = 0; i < n; i++) { keys[i] = (uint64_t)block[i] ^ flip; }
  }
}

void bbw_order_keys(const bbw_array *array, size_t start, size_t step, size_t n, uint64_t *keys) {
  if (step != 1) {
    for (size_t i = 0; i < n; i++) { keys_of_block(array, start + i * step, 1, keys + i); }
    return;
  }
  for (size_t at = 0; at < n; at += BBW_CONVERT_BLOCK) {
    size_t part = n - at < BBW_CONVERT_BLOCK ? n - at : BBW_CONVERT_BLOCK;
    keys_of_block(array, start + at, part, keys + at);
  }
}
