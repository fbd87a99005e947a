#include "bbw/array.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

static const struct {
  size_t bytes;
  int32_t onnx;
  const char *name;
} dtypes[] = {
    {0, 0, "none"},
#define DTYPE(name, js, onnx, bytes) {bytes, onnx, #js},
#include "bbw/dtypes.def"
#undef DTYPE
};

size_t bbw_dtype_bytes(bbw_dtype dtype) { return dtypes[dtype].bytes; }

bbw_str bbw_dtype_name(bbw_dtype dtype) { return (bbw_str){dtypes[dtype].name, strlen(dtypes[dtype].name)}; }

bbw_dtype bbw_dtype_from_onnx(int32_t number) {
  for (size_t i = 1; i < sizeof dtypes / sizeof dtypes[0]; i++) {
    if (dtypes[i].onnx == number) { return (bbw_dtype)i; }
  }
  return BBW_DTYPE_NONE;
}

int32_t bbw_dtype_to_onnx(bbw_dtype dtype) { return dtypes[dtype].onnx; }

bool bbw_array_shape(bbw_array *array, bbw_dtype dtype, uint32_t rank, const size_t *dims) {
  size_t count = 1, bytes;
  if (rank > BBW_ARRAY_RANK_MAX) { return false; }
  /* Sizes are checked without the zero dimensions, so that a product of any part of the dims fits too. */
  for (uint32_t d = 0; d < rank; d++) {
    if (!bbw_size_mul(count, dims[d] == 0 ? 1 : dims[d], &count)) { return false; }
  }
  if (!bbw_size_mul(count, bbw_dtype_bytes(dtype), &bytes) || bytes > SIZE_MAX / 2) { return false; }
  array->dtype = dtype;
  array->rank = rank;
  array->data = NULL;
  for (uint32_t d = 0; d < rank; d++) {
    array->dims[d] = dims[d];
    if (dims[d] == 0) { count = 0; }
  }
  array->count = count;
  return true;
}

size_t bbw_array_bytes(const bbw_array *array) { return array->count * bbw_dtype_bytes(array->dtype); }

bool bbw_array_same_shape(const bbw_array *a, const bbw_array *b) {
  return a->rank == b->rank && (a->rank == 0 || memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]) == 0);
}
