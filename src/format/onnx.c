#include "format/onnx.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/mem.h"

/* A row of a field table.  STRUCT names the struct that the rows of the table below it belong to. */
#define ONE(number_, kind_, member) \
  { .number = (number_), .kind = BBW_PROTO_##kind_, .at = offsetof(STRUCT, member) }
#define MANY(number_, kind_, member) \
  { .number = (number_), .kind = BBW_PROTO_##kind_, .is_repeated = true, .at = offsetof(STRUCT, member) }
#define SUB(number_, member, type) \
  { .number = (number_), .kind = BBW_PROTO_MESSAGE, .at = offsetof(STRUCT, member), .message = &(type) }
#define SUBS(number_, member, type)                                                                      \
  {                                                                                                      \
    .number = (number_), .kind = BBW_PROTO_MESSAGE, .is_repeated = true, .at = offsetof(STRUCT, member), \
    .message = &(type)                                                                                   \
  }
#define DROP(number_) \
  { .number = (number_), .kind = BBW_PROTO_IGNORED }

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MESSAGE(text, struct_type, table) \
  { .name = (text), .bytes = sizeof(struct_type), .fields = (table), .field_count = COUNT(table) }

#define STRUCT bbw_onnx_entry
static const bbw_proto_field entry_fields[] = {ONE(1, STRING, key), ONE(2, STRING, value)};
static const bbw_proto_message entry_type = MESSAGE("StringStringEntryProto", STRUCT, entry_fields);
#undef STRUCT

#define STRUCT bbw_onnx_opset
static const bbw_proto_field opset_fields[] = {ONE(1, STRING, domain), ONE(2, I64, version)};
static const bbw_proto_message opset_type = MESSAGE("OperatorSetIdProto", STRUCT, opset_fields);
#undef STRUCT

#define STRUCT bbw_onnx_tensor
static const bbw_proto_field tensor_fields[] = {
    MANY(1, I64, dims),
    ONE(2, I32, data_type),
    DROP(3),
    MANY(4, FLOAT, float_data),
    MANY(5, I32, int32_data),
    MANY(6, BYTES, string_data),
    MANY(7, I64, int64_data),
    ONE(8, STRING, name),
    ONE(9, BYTES, raw_data),
    MANY(10, DOUBLE, double_data),
    MANY(11, I64, uint64_data),
    ONE(12, STRING, doc_string),
    SUBS(13, external_data, entry_type),
    ONE(14, I32, data_location),
    SUBS(16, metadata_props, entry_type),
};
const bbw_proto_message bbw_onnx_tensor_type_table = MESSAGE("TensorProto", STRUCT, tensor_fields);
#undef STRUCT

#define STRUCT bbw_onnx_attribute
static const bbw_proto_field attribute_fields[] = {
    ONE(1, STRING, name),
    ONE(2, FLOAT, f),
    ONE(3, I64, i),
    ONE(4, BYTES, s),
    SUB(5, t, bbw_onnx_tensor_type_table),
    SUB(6, g, bbw_onnx_graph_type),
    MANY(7, FLOAT, floats),
    MANY(8, I64, ints),
    MANY(9, BYTES, strings),
    SUBS(10, tensors, bbw_onnx_tensor_type_table),
    SUBS(11, graphs, bbw_onnx_graph_type),
    ONE(13, STRING, doc_string),
    DROP(14),
    DROP(15),
    ONE(20, I32, type),
    ONE(21, STRING, ref_attr_name),
    DROP(22),
    DROP(23),
};
static const bbw_proto_message attribute_type = MESSAGE("AttributeProto", STRUCT, attribute_fields);
#undef STRUCT

#define STRUCT bbw_onnx_node
static const bbw_proto_field node_fields[] = {
    MANY(1, STRING, input),
    MANY(2, STRING, output),
    ONE(3, STRING, name),
    ONE(4, STRING, op_type),
    SUBS(5, attribute, attribute_type),
    ONE(6, STRING, doc_string),
    ONE(7, STRING, domain),
    ONE(8, STRING, overload),
    SUBS(9, metadata_props, entry_type),
    DROP(10),
};
const bbw_proto_message bbw_onnx_node_type = MESSAGE("NodeProto", STRUCT, node_fields);
#undef STRUCT

/* dim_value and dim_param are one oneof: each is written when present, even when 0 or empty. */
#define STRUCT bbw_onnx_dimension
static_assert(offsetof(STRUCT, has_dim_value) != 0 && offsetof(STRUCT, has_dim_param) != 0,
              "offset 0 means: no presence flag");
static const bbw_proto_field dimension_fields[] = {
    {.number = 1,
     .kind = BBW_PROTO_I64,
     .oneof = 1,
     .at = offsetof(STRUCT, dim_value),
     .has = offsetof(STRUCT, has_dim_value)},
    {.number = 2,
     .kind = BBW_PROTO_STRING,
     .oneof = 1,
     .at = offsetof(STRUCT, dim_param),
     .has = offsetof(STRUCT, has_dim_param)},
    ONE(3, STRING, denotation),
};
static const bbw_proto_message dimension_type = MESSAGE("TensorShapeProto.Dimension", STRUCT, dimension_fields);
#undef STRUCT

#define STRUCT bbw_onnx_shape
static const bbw_proto_field shape_fields[] = {SUBS(1, dim, dimension_type)};
static const bbw_proto_message shape_type = MESSAGE("TensorShapeProto", STRUCT, shape_fields);
#undef STRUCT

#define STRUCT bbw_onnx_tensor_type
static const bbw_proto_field tensor_type_fields[] = {ONE(1, I32, elem_type), SUB(2, shape, shape_type)};
static const bbw_proto_message tensor_type = MESSAGE("TypeProto.Tensor", STRUCT, tensor_type_fields);
#undef STRUCT

#define STRUCT bbw_onnx_opaque_type
static const bbw_proto_field opaque_type_fields[] = {ONE(1, STRING, domain), ONE(2, STRING, name)};
static const bbw_proto_message opaque_type = MESSAGE("TypeProto.Opaque", STRUCT, opaque_type_fields);
#undef STRUCT

/* The oneof `value` stands at its lowest number, 1, whichever member is set; so opaque_type (7) is written before denotation (6).
 * Its other members are dropped, but they still clear the two that are kept. */
#define STRUCT bbw_onnx_type
static const bbw_proto_field type_fields[] = {
    {.number = 1, .kind = BBW_PROTO_MESSAGE, .oneof = 1, .at = offsetof(STRUCT, tensor_type), .message = &tensor_type},
    {.number = 7, .kind = BBW_PROTO_MESSAGE, .oneof = 1, .at = offsetof(STRUCT, opaque_type), .message = &opaque_type},
    {.number = 4, .kind = BBW_PROTO_IGNORED, .oneof = 1},
    {.number = 5, .kind = BBW_PROTO_IGNORED, .oneof = 1},
    {.number = 8, .kind = BBW_PROTO_IGNORED, .oneof = 1},
    {.number = 9, .kind = BBW_PROTO_IGNORED, .oneof = 1},
    ONE(6, STRING, denotation),
};
static const bbw_proto_message type_type = MESSAGE("TypeProto", STRUCT, type_fields);
#undef STRUCT

#define STRUCT bbw_onnx_value_info
static const bbw_proto_field value_info_fields[] = {ONE(1, STRING, name), SUB(2, type, type_type),
                                                    ONE(3, STRING, doc_string), SUBS(4, metadata_props, entry_type)};
const bbw_proto_message bbw_onnx_value_info_type = MESSAGE("ValueInfoProto", STRUCT, value_info_fields);
#undef STRUCT

#define STRUCT bbw_onnx_graph
static const bbw_proto_field graph_fields[] = {
    SUBS(1, node, bbw_onnx_node_type),
    ONE(2, STRING, name),
    SUBS(5, initializer, bbw_onnx_tensor_type_table),
    ONE(10, STRING, doc_string),
    SUBS(11, input, bbw_onnx_value_info_type),
    SUBS(12, output, bbw_onnx_value_info_type),
    SUBS(13, value_info, bbw_onnx_value_info_type),
    DROP(14),
    DROP(15),
    SUBS(16, metadata_props, entry_type),
};
const bbw_proto_message bbw_onnx_graph_type = MESSAGE("GraphProto", STRUCT, graph_fields);
#undef STRUCT

#define STRUCT bbw_onnx_function
static const bbw_proto_field function_fields[] = {
    ONE(1, STRING, name),
    MANY(4, STRING, input),
    MANY(5, STRING, output),
    MANY(6, STRING, attribute),
    SUBS(7, node, bbw_onnx_node_type),
    ONE(8, STRING, doc_string),
    SUBS(9, opset_import, opset_type),
    ONE(10, STRING, domain),
    SUBS(11, attribute_proto, attribute_type),
    SUBS(12, value_info, bbw_onnx_value_info_type),
    ONE(13, STRING, overload),
    SUBS(14, metadata_props, entry_type),
};
const bbw_proto_message bbw_onnx_function_type = MESSAGE("FunctionProto", STRUCT, function_fields);
#undef STRUCT

#define STRUCT bbw_onnx_model
static const bbw_proto_field model_fields[] = {
    ONE(1, I64, ir_version),
    ONE(2, STRING, producer_name),
    ONE(3, STRING, producer_version),
    ONE(4, STRING, domain),
    ONE(5, I64, model_version),
    ONE(6, STRING, doc_string),
    SUB(7, graph, bbw_onnx_graph_type),
    SUBS(8, opset_import, opset_type),
    SUBS(14, metadata_props, entry_type),
    DROP(20),
    SUBS(25, functions, bbw_onnx_function_type),
    DROP(26),
};
const bbw_proto_message bbw_onnx_model_type = MESSAGE("ModelProto", STRUCT, model_fields);
#undef STRUCT

bool bbw_onnx_entry_find(const bbw_proto_list *entries, bbw_str key, bbw_str *value) {
  for (size_t i = 0; i < entries->count; i++) {
    const bbw_onnx_entry *entry = BBW_PROTO_AT(entries, bbw_onnx_entry, i);
    if (bbw_str_equal(entry->key, key)) {
      *value = entry->value;
      return true;
    }
  }
  return false;
}

const bbw_onnx_attribute *bbw_onnx_attribute_find(const bbw_onnx_node *node, bbw_str name) {
  for (size_t i = 0; i < node->attribute.count; i++) {
    const bbw_onnx_attribute *attribute = BBW_PROTO_AT(&node->attribute, bbw_onnx_attribute, i);
    if (bbw_str_equal(attribute->name, name)) { return attribute; }
  }
  return NULL;
}

bbw_status bbw_onnx_model_decode(bbw_onnx_model *out, bbw_bytes bytes, bbw_arena *arena, bbw_error *err) {
  size_t room;
  if (!bbw_size_mul(bytes.len, BBW_ONNX_DECODED_FACTOR, &room) ||
      !bbw_size_add(room, BBW_ONNX_DECODED_BYTES_BASE, &room) || !bbw_size_add(room, arena->used_bytes, &room)) {
    room = SIZE_MAX;
  }
  arena->limit_bytes = room;
  arena->is_over_limit = false;
  bbw_status rv = bbw_proto_decode(out, &bbw_onnx_model_type, bytes, arena, err);
  arena->limit_bytes = SIZE_MAX;
  if (rv != BBW_E_NOMEM || !arena->is_over_limit) { return rv; }
  bbw_error_set(err, BBW_E_LIMIT);
  bbw_error_add_u64(err, "cap", room);
  bbw_error_add_u64(err, "got", arena->used_bytes);
  return BBW_E_LIMIT;
}
