/*
 * tensor: from TensorProto to arrays, all element types and encodings.
 *
 * raw_data, or the list field that ONNX assigns to the type; f16 and bf16 in int32_data as their bits; or bytes like raw_data in another file.
 */
#ifndef BBW_ONNX_TENSOR_H
#define BBW_ONNX_TENSOR_H

#include "bbw/array.h"
#include "bbw/session.h"
#include "format/onnx.h"

/*
 * Type, shape and size of the tensor; data is NULL.  Nothing is allocated for a size that the message only claims: its data must hold as many elements.
 * external may be NULL.  BBW_OK; BBW_E_ONNX_INVALID (shape and data do not fit) or BBW_E_ONNX_UNSUPPORTED (type, external data that was not given), both with a constant
 * text in *detail.
 */
bbw_status bbw_tensor_shape(bbw_array *out, size_t *bytes, const bbw_onnx_tensor *tensor, const bbw_external *external,
                            const char **detail);
/* Copies the elements to out->data, which has room for them, after bbw_tensor_shape with the same `external`.  BBW_OK, or what bbw_tensor_shape says of data that has gone since. */
bbw_status bbw_tensor_read(bbw_array *out, const bbw_onnx_tensor *tensor, const bbw_external *external,
                           const char **detail);
bool bbw_tensor_is_external(const bbw_onnx_tensor *tensor);
/* The name of the file that an external tensor is in. */
bbw_str bbw_tensor_location(const bbw_onnx_tensor *tensor);

#endif
