#include "onnx/tensor.h"

#include <string.h>

#include "onnx/convert.h"
#include "onnx/op.h"

/* Where the elements are when they are not in raw_data. */
static const bbw_proto_list *list_of(const bbw_onnx_tensor *t, bbw_dtype dtype) {
  switch (dtype) {
  case BBW_DTYPE_F32: return &t->float_data;
  case BBW_DTYPE_F64: return &t->double_data;
  case BBW_DTYPE_I64: return &t->int64_data;
  case BBW_DTYPE_U32:
  case BBW_DTYPE_U64: return &t->uint64_data;
  default: return &t->int32_data;
  }
}

/* ---- data of other files --------------------------------------------------------------------------------------------- */

bool bbw_tensor_is_external(const bbw_onnx_tensor *t) { return t->data_location == 1 || t->external_data.count != 0; }

static bbw_str entry_of(const bbw_onnx_tensor *t, const char *key) {
  bbw_str value = {NULL, 0};
  (void)bbw_onnx_entry_find(&t->external_data, (bbw_str){key, strlen(key)}, &value);
  return value;
}

bbw_str bbw_tensor_location(const bbw_onnx_tensor *t) { return entry_of(t, "location"); }

/* A decimal number; absent: otherwise.  False when it is none. */
static bool read_decimal(bbw_str text, uint64_t otherwise, uint64_t *out) {
  *out = text.len == 0 ? otherwise : 0;
  for (size_t i = 0; i < text.len; i++) {
    uint64_t digit = (uint64_t)(text.ptr[i] - '0');
    if (digit > 9 || *out > (UINT64_MAX - digit) / 10) { return false; }
    *out = *out * 10 + digit;
  }
  return true;
}

/* Copies `bytes` bytes to out, or with NULL only looks whether they are there. */
static bbw_status read_external(const bbw_onnx_tensor *t, const bbw_external *external, size_t bytes, void *out,
                                const char **detail) {
  uint64_t offset, length;
  if (!read_decimal(entry_of(t, "offset"), 0, &offset) || !read_decimal(entry_of(t, "length"), bytes, &length) ||
      length != bytes) {
    *detail = "place and shape of external data do not fit";
    return BBW_E_ONNX_INVALID;
  }
  bool is_there = external != NULL && external->read(external->ctx, bbw_tensor_location(t), offset, bytes, out);
  *detail = "data is in another file, which was not given or is too short (external data)";
  return is_there ? BBW_OK : BBW_E_ONNX_UNSUPPORTED;
}

/* ---- arrays ---------------------------------------------------------------------------------------------------------- */

bbw_status bbw_tensor_shape(bbw_array *out, size_t *bytes, const bbw_onnx_tensor *t, const bbw_external *external,
                            const char **detail) {
  size_t dims[BBW_ARRAY_RANK_MAX];
  bbw_dtype dtype = bbw_dtype_from_onnx(t->data_type);
  if (dtype == BBW_DTYPE_NONE) {
    *detail = "element type is not supported";
    return BBW_E_ONNX_UNSUPPORTED;
  }
  if (t->dims.count > BBW_ARRAY_RANK_MAX) {
    *detail = "tensor has too many dimensions";
    return BBW_E_ONNX_UNSUPPORTED;
  }
  for (size_t d = 0; d < t->dims.count; d++) {
    int64_t dim = *BBW_PROTO_AT(&t->dims, int64_t, d);
    if (dim < 0 || (uint64_t)dim > SIZE_MAX / 2) {
      *detail = "a dimension is negative or too large";
      return BBW_E_ONNX_INVALID;
    }
    dims[d] = (size_t)dim;
  }
  if (!bbw_array_shape(out, dtype, (uint32_t)t->dims.count, dims)) {
    *detail = "tensor is too large";
    return BBW_E_ONNX_INVALID;
  }
  *bytes = bbw_array_bytes(out);
  if (bbw_tensor_is_external(t)) { return read_external(t, external, *bytes, NULL, detail); }
  bool is_raw = t->raw_data.len != 0;
  if (is_raw ? t->raw_data.len != *bytes : list_of(t, dtype)->count != out->count) {
    *detail = "shape and data of a tensor do not fit";
    return BBW_E_ONNX_INVALID;
  }
  return BBW_OK;
}

bbw_status bbw_tensor_read(bbw_array *out, const bbw_onnx_tensor *t, const bbw_external *external,
                           const char **detail) {
  size_t bytes = bbw_array_bytes(out);
  if (bytes == 0) { return BBW_OK; }
  const bbw_proto_list *list = list_of(t, out->dtype);
  bool is_external = bbw_tensor_is_external(t);
  if (is_external || t->raw_data.len != 0) { /* little-endian, as are the machines that this is built for */
    if (is_external) { BBW_TRY(read_external(t, external, bytes, out->data, detail)); }
    if (!is_external) { memcpy(out->data, t->raw_data.ptr, bytes); }
    if (out->dtype == BBW_DTYPE_BOOL) {
      for (size_t i = 0; i < out->count; i++) { ((uint8_t *)out->data)[i] = ((uint8_t *)out->data)[i] != 0; }
    }
    return BBW_OK;
  }
  switch (out->dtype) {
  case BBW_DTYPE_F32:
  case BBW_DTYPE_F64:
  case BBW_DTYPE_I64:
  case BBW_DTYPE_U64: memcpy(out->data, list->items, bytes); return BBW_OK;
  case BBW_DTYPE_F16:
  case BBW_DTYPE_BF16:
    for (size_t i = 0; i < out->count; i++) { ((uint16_t *)out->data)[i] = (uint16_t)*BBW_PROTO_AT(list, int32_t, i); }
    return BBW_OK;
  case BBW_DTYPE_U32: bbw_store_i64(out, 0, out->count, list->items); return BBW_OK;
  default:
    for (size_t i = 0; i < out->count; i++) {
      int64_t number = *BBW_PROTO_AT(list, int32_t, i);
      bbw_store_i64(out, i, 1, &number);
    }
    return BBW_OK;
  }
}
