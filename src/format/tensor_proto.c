#include "format/tensor_proto.h"

#include <string.h>

#include "base/bytes.h"
#include "format/value.h"

#define DATA_TYPE_FLOAT        1
#define DATA_LOCATION_EXTERNAL 1

bool bbw_tensor_proto_count(const bbw_onnx_tensor *tensor, size_t *count) {
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  if (tensor->dims.count > BBW_TENSOR_RANK_MAX) { return false; }
  for (size_t i = 0; i < tensor->dims.count; i++) {
    int64_t dim = *BBW_PROTO_AT(&tensor->dims, int64_t, i);
    dims[i] = dim < 0 ? 0 : (uint64_t)dim;
  }
  return bbw_tensor_count(dims, tensor->dims.count, count);
}

static bbw_status refuse_shape(bbw_error *err, const char *detail, uint64_t product, uint64_t data_count) {
  bbw_status rv = bbw_error_set(err, BBW_E_SHAPE);
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  bbw_error_add_u64(err, "product", product);
  bbw_error_add_u64(err, "data_count", data_count);
  return rv;
}

bbw_status bbw_tensor_proto_to_value(bbw_value **out, const bbw_onnx_tensor *tensor, const bbw_mem *mem,
                                     bbw_error *err) {
  if (tensor->data_type != DATA_TYPE_FLOAT) {
    bbw_status rv = bbw_error_set(err, BBW_E_ELEMENT_TYPE);
    bbw_error_add_u64(err, "expected", DATA_TYPE_FLOAT);
    bbw_error_add_u64(err, "found", (uint64_t)(int64_t)tensor->data_type);
    return rv;
  }
  bool has_floats = tensor->float_data.count != 0;
  if (!has_floats && tensor->raw_data.len == 0 && tensor->data_location == DATA_LOCATION_EXTERNAL) {
    return bbw_error_set(err, BBW_E_UNSUPPORTED);
  }
  if (!has_floats && tensor->raw_data.len % 4 != 0) {
    return refuse_shape(err, "raw_data length is not divisible by 4", 0, tensor->raw_data.len);
  }
  size_t count = has_floats ? tensor->float_data.count : tensor->raw_data.len / 4;
  size_t product;
  if (!bbw_tensor_proto_count(tensor, &product)) { return refuse_shape(err, "dims are too large", 0, count); }
  if (product != count) { return refuse_shape(err, "dims product does not match the data", product, count); }
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  for (size_t i = 0; i < tensor->dims.count; i++) {
    int64_t dim = *BBW_PROTO_AT(&tensor->dims, int64_t, i);
    dims[i] = dim < 0 ? 0 : (uint64_t)dim;
  }
  float *data;
  bbw_status rv = bbw_value_new_tensor(out, &data, BBW_TYPE_CPU_TENSOR, dims, (uint32_t)tensor->dims.count, mem);
  if (rv != BBW_OK) { return bbw_error_set(err, rv); }
  for (size_t i = 0; i < count; i++) {
    if (has_floats) {
      data[i] = *BBW_PROTO_AT(&tensor->float_data, float, i);
    } else {
      uint32_t bits = bbw_load_u32le(tensor->raw_data.ptr + 4 * i);
      memcpy(&data[i], &bits, sizeof(bits));
    }
  }
  return BBW_OK;
}

bbw_status bbw_tensor_proto_from_value(bbw_onnx_tensor *out, const bbw_value *value, bbw_arena *arena) {
  if (!bbw_value_is_tensor(value)) { return BBW_E_ARG; }
  const bbw_tensor *tensor = &value->as.tensor;
  int64_t *dims = bbw_arena_array(arena, tensor->rank, sizeof(int64_t));
  if (dims == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < tensor->rank; i++) { dims[i] = (int64_t)tensor->dims[i]; }
  *out = (bbw_onnx_tensor){
      .dims = {.items = dims, .count = tensor->rank},
      .data_type = DATA_TYPE_FLOAT,
      .float_data = {.items = tensor->data, .count = tensor->count},
  };
  return BBW_OK;
}
