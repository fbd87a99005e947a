/*
 * tensor_proto: between the protobuf tensor message and the f32 tensors of the engine (install specification §8.3).
 */
#ifndef BBW_FORMAT_TENSOR_PROTO_H
#define BBW_FORMAT_TENSOR_PROTO_H

#include "bbw/value.h"
#include "format/onnx.h"

/* Element count of `tensor` from its dims (no dims: 1; a negative dim counts as 0).  False when the product overflows or the rank is
 * above BBW_TENSOR_RANK_MAX. */
bool bbw_tensor_proto_count(const bbw_onnx_tensor *tensor, size_t *count);

/* data_type 1 only: float_data if non-empty, else raw_data.  BBW_OK, BBW_E_NOMEM, BBW_E_ELEMENT_TYPE (fields expected, found),
 * BBW_E_SHAPE (field "detail"), BBW_E_UNSUPPORTED for external data. */
bbw_status bbw_tensor_proto_to_value(bbw_value **out, const bbw_onnx_tensor *tensor, const bbw_mem *mem,
                                     bbw_error *err);

/* dims, data_type 1, float_data; memory from the arena, the elements are borrowed from the value. */
bbw_status bbw_tensor_proto_from_value(bbw_onnx_tensor *out, const bbw_value *value, bbw_arena *arena);

#endif
