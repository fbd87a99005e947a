/*
 * onnx: the messages of ONNX that artifacts and models use, as structs for the table codec.
 *
 * Field numbers are ONNX's (install specification §1.2).  Absent scalars are 0, absent text is empty, absent messages are NULL.  Fields that
 * nothing reads (training_info, configuration, segment, quantization, sparse tensors, sequence, map and optional types, ...) are checked
 * to be length-delimited and then dropped.
 */
#ifndef BBW_FORMAT_ONNX_H
#define BBW_FORMAT_ONNX_H

#include "format/proto.h"

typedef struct bbw_onnx_entry { /* StringStringEntryProto */
  bbw_str key;
  bbw_str value;
} bbw_onnx_entry;

typedef struct bbw_onnx_opset { /* OperatorSetIdProto */
  bbw_str domain;
  int64_t version;
} bbw_onnx_opset;

typedef struct bbw_onnx_tensor { /* TensorProto */
  bbw_proto_list dims;           /* int64_t */
  int32_t data_type;
  bbw_proto_list float_data;  /* float */
  bbw_proto_list int32_data;  /* int32_t */
  bbw_proto_list string_data; /* bbw_bytes */
  bbw_proto_list int64_data;  /* int64_t */
  bbw_str name;
  bbw_bytes raw_data;
  bbw_proto_list double_data; /* double */
  bbw_proto_list uint64_data; /* int64_t, two's complement */
  bbw_str doc_string;
  bbw_proto_list external_data; /* bbw_onnx_entry */
  int32_t data_location;
  bbw_proto_list metadata_props; /* bbw_onnx_entry */
} bbw_onnx_tensor;

typedef struct bbw_onnx_graph bbw_onnx_graph;

typedef struct bbw_onnx_attribute { /* AttributeProto */
  bbw_str name;
  float f;
  int64_t i;
  bbw_bytes s;
  const bbw_onnx_tensor *t;
  const bbw_onnx_graph *g;
  bbw_proto_list floats;  /* float */
  bbw_proto_list ints;    /* int64_t */
  bbw_proto_list strings; /* bbw_bytes */
  bbw_proto_list tensors; /* bbw_onnx_tensor */
  bbw_proto_list graphs;  /* bbw_onnx_graph */
  bbw_str doc_string;
  int32_t type;
  bbw_str ref_attr_name;
} bbw_onnx_attribute;

enum {
  BBW_ONNX_ATTR_FLOAT = 1,
  BBW_ONNX_ATTR_INT = 2,
  BBW_ONNX_ATTR_STRING = 3,
  BBW_ONNX_ATTR_TENSOR = 4,
  BBW_ONNX_ATTR_GRAPH = 5,
  BBW_ONNX_ATTR_FLOATS = 6,
  BBW_ONNX_ATTR_INTS = 7,
};

typedef struct bbw_onnx_node { /* NodeProto */
  bbw_proto_list input;        /* bbw_str; empty = absent optional input */
  bbw_proto_list output;       /* bbw_str */
  bbw_str name;
  bbw_str op_type;
  bbw_proto_list attribute; /* bbw_onnx_attribute */
  bbw_str doc_string;
  bbw_str domain;
  bbw_str overload;
  bbw_proto_list metadata_props; /* bbw_onnx_entry */
} bbw_onnx_node;

typedef struct bbw_onnx_dimension { /* TensorShapeProto.Dimension; at most one of the two is there */
  int64_t dim_value;
  bbw_str dim_param;
  bool has_dim_value;
  bool has_dim_param;
  bbw_str denotation;
} bbw_onnx_dimension;

typedef struct bbw_onnx_shape { /* TensorShapeProto */
  bbw_proto_list dim;           /* bbw_onnx_dimension */
} bbw_onnx_shape;

typedef struct bbw_onnx_tensor_type { /* TypeProto.Tensor */
  int32_t elem_type;
  const bbw_onnx_shape *shape;
} bbw_onnx_tensor_type;

typedef struct bbw_onnx_opaque_type { /* TypeProto.Opaque */
  bbw_str domain;
  bbw_str name;
} bbw_onnx_opaque_type;

typedef struct bbw_onnx_type { /* TypeProto; tensor_type and opaque_type are one oneof, written before denotation */
  const bbw_onnx_tensor_type *tensor_type;
  const bbw_onnx_opaque_type *opaque_type;
  bbw_str denotation;
} bbw_onnx_type;

typedef struct bbw_onnx_value_info { /* ValueInfoProto */
  bbw_str name;
  const bbw_onnx_type *type;
  bbw_str doc_string;
  bbw_proto_list metadata_props; /* bbw_onnx_entry */
} bbw_onnx_value_info;

struct bbw_onnx_graph { /* GraphProto */
  bbw_proto_list node;  /* bbw_onnx_node */
  bbw_str name;
  bbw_proto_list initializer; /* bbw_onnx_tensor */
  bbw_str doc_string;
  bbw_proto_list input;          /* bbw_onnx_value_info */
  bbw_proto_list output;         /* bbw_onnx_value_info */
  bbw_proto_list value_info;     /* bbw_onnx_value_info */
  bbw_proto_list metadata_props; /* bbw_onnx_entry */
};

typedef struct bbw_onnx_function { /* FunctionProto */
  bbw_str name;
  bbw_proto_list input;     /* bbw_str */
  bbw_proto_list output;    /* bbw_str */
  bbw_proto_list attribute; /* bbw_str */
  bbw_proto_list node;      /* bbw_onnx_node */
  bbw_str doc_string;
  bbw_proto_list opset_import; /* bbw_onnx_opset */
  bbw_str domain;
  bbw_proto_list attribute_proto; /* bbw_onnx_attribute */
  bbw_proto_list value_info;      /* bbw_onnx_value_info */
  bbw_str overload;
  bbw_proto_list metadata_props; /* bbw_onnx_entry */
} bbw_onnx_function;

typedef struct bbw_onnx_model { /* ModelProto */
  int64_t ir_version;
  bbw_str producer_name;
  bbw_str producer_version;
  bbw_str domain;
  int64_t model_version;
  bbw_str doc_string;
  const bbw_onnx_graph *graph;
  bbw_proto_list opset_import;   /* bbw_onnx_opset */
  bbw_proto_list metadata_props; /* bbw_onnx_entry */
  bbw_proto_list functions;      /* bbw_onnx_function */
} bbw_onnx_model;

extern const bbw_proto_message bbw_onnx_model_type;
extern const bbw_proto_message bbw_onnx_function_type;
extern const bbw_proto_message bbw_onnx_graph_type;
extern const bbw_proto_message bbw_onnx_node_type;
extern const bbw_proto_message bbw_onnx_tensor_type_table; /* TensorProto */
extern const bbw_proto_message bbw_onnx_value_info_type;

/*
 * Decodes a ModelProto from outside.  A field of two bytes can decode to hundreds, so the decoded form may take BBW_ONNX_DECODED_FACTOR times the bytes (ordinary models: up to 8) plus a base.
 * Statuses of bbw_proto_decode, and BBW_E_LIMIT (fields cap, got) for a model that would take more.
 */
#define BBW_ONNX_DECODED_FACTOR     32u
#define BBW_ONNX_DECODED_BYTES_BASE (1024u * 1024u)
bbw_status bbw_onnx_model_decode(bbw_onnx_model *out, bbw_bytes bytes, bbw_arena *arena, bbw_error *err);

/* First entry with that key; false if there is none. */
bool bbw_onnx_entry_find(const bbw_proto_list *entries, bbw_str key, bbw_str *value);
/* First attribute with that name, or NULL. */
const bbw_onnx_attribute *bbw_onnx_attribute_find(const bbw_onnx_node *node, bbw_str name);

#endif
