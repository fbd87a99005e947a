/*
 * tensor: from TensorProto to arrays, all element types and encodings.
 *
 * raw_data, or the list field that ONNX assigns to the type; f16 and bf16 in int32_data as their bits.  External data is refused.
 */
#ifndef BBW_ONNX_TENSOR_H
#define BBW_ONNX_TENSOR_H

#include "bbw/array.h"
#include "format/onnx.h"

/*
 * Type, shape and size of the tensor; data is NULL.  Nothing is allocated for a size that the message only claims: its data must hold as many elements.
 * BBW_OK; BBW_E_ONNX_INVALID (shape and data do not fit) or BBW_E_ONNX_UNSUPPORTED (type, external data), both with a constant text in *detail.
 */
bbw_status bbw_tensor_shape(bbw_array *out, size_t *bytes, const bbw_onnx_tensor *tensor, const char **detail);
/* Copies the elements to out->data, which has room for them, after bbw_tensor_shape.  Always BBW_OK then. */
bbw_status bbw_tensor_read(bbw_array *out, const bbw_onnx_tensor *tensor, const char **detail);

#endif
