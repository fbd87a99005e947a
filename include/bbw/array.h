/*
 * array: a dense, row-major n-dimensional array of one element type.
 *
 * The struct is a view: it owns nothing, whoever made it says how long `data` lives.  This is what ONNX graphs compute with (session.h); what
 * travels between nodes is a bbw_value (value.h).
 */
#ifndef BBW_ARRAY_H
#define BBW_ARRAY_H

#include "bbw/error.h"

typedef enum bbw_dtype {
  BBW_DTYPE_NONE, /* no type: an absent array */
#define DTYPE(name, js, onnx, bytes) BBW_DTYPE_##name,
#include "bbw/dtypes.def"
#undef DTYPE
  BBW_DTYPE_COUNT
} bbw_dtype;

#define BBW_ARRAY_RANK_MAX 8u

typedef struct bbw_array {
  bbw_dtype dtype;
  uint32_t rank; /* 0: one element */
  size_t dims[BBW_ARRAY_RANK_MAX];
  size_t count; /* product of the dims */
  void *
      data; /* elements; alignment is that of the element at least.  NULL where only type and shape are known, or count is 0 */
} bbw_array;

size_t bbw_dtype_bytes(bbw_dtype dtype); /* of one element; 0 for NONE */
bbw_str bbw_dtype_name(bbw_dtype dtype); /* "float32", ... */
/* TensorProto.DataType; BBW_DTYPE_NONE for a number without an array type here. */
bbw_dtype bbw_dtype_from_onnx(int32_t number);
int32_t bbw_dtype_to_onnx(bbw_dtype dtype);

/* Sets type, shape and count; data becomes NULL.  False when the rank is above BBW_ARRAY_RANK_MAX or the bytes overflow SIZE_MAX / 2. */
bool bbw_array_shape(bbw_array *array, bbw_dtype dtype, uint32_t rank, const size_t *dims);
size_t bbw_array_bytes(const bbw_array *array);
bool bbw_array_same_shape(const bbw_array *a, const bbw_array *b);

#endif
