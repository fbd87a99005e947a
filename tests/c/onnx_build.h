/*
 * onnx_build: small ONNX files for tests, written through the codec.
 *
 * Names are C strings that live as long as the file.  Lists of names are separated by one space; "-" is an absent one.
 */
#ifndef BBW_TEST_ONNX_BUILD_H
#define BBW_TEST_ONNX_BUILD_H

#include "base/arena.h"
#include "format/onnx.h"

enum { ONNX_FILE_MAX = 40 };

typedef struct onnx_file {
  bbw_arena arena;
  bbw_onnx_node nodes[ONNX_FILE_MAX];
  size_t node_count;
  bbw_onnx_tensor initializers[ONNX_FILE_MAX];
  size_t initializer_count;
  bbw_onnx_value_info inputs[4];
  size_t input_count;
  bbw_onnx_value_info outputs[4];
  size_t output_count;
  bbw_onnx_entry entries[ONNX_FILE_MAX];
  size_t entry_count;
  int64_t opset;
} onnx_file;

void onnx_file_init(onnx_file *file);
void onnx_file_free(onnx_file *file);

/* rank and dims are `dims` as text, "2 3"; "n" is a symbolic dimension. */
void onnx_input(onnx_file *file, const char *name, const char *dims);
void onnx_input_of_type(onnx_file *file, const char *name, const char *dims, int32_t elem_type);
void onnx_output(onnx_file *file, const char *name);
/* Elements by kernel_fill(seed), scaled to +-range; written as raw_data when is_raw. */
bbw_onnx_tensor *onnx_weights(onnx_file *file, const char *name, const char *dims, uint32_t seed, float range,
                              bool is_raw);
bbw_onnx_tensor *onnx_floats(onnx_file *file, const char *name, const char *dims, const float *data, size_t count);
bbw_onnx_tensor *onnx_ints(onnx_file *file, const char *name, const int64_t *data, size_t count);
bbw_onnx_node *onnx_node(onnx_file *file, const char *op_type, const char *name, const char *inputs,
                         const char *outputs);
void onnx_attribute_int(onnx_file *file, bbw_onnx_node *node, const char *name, int64_t value);
void onnx_attribute_float(onnx_file *file, bbw_onnx_node *node, const char *name, float value);
void onnx_attribute_tensor(onnx_file *file, bbw_onnx_node *node, const char *name, const bbw_onnx_tensor *value);
void onnx_attribute_ints(onnx_file *file, bbw_onnx_node *node, const char *name, const int64_t *values, size_t count);

/* `body` must live as long as the file. */
void onnx_attribute_graph(onnx_file *file, bbw_onnx_node *node, const char *name, onnx_file *body);

void onnx_metadata(onnx_file *file, const char *key, const char *value); /* the key is copied */

/* The whole as a ModelProto; lives as long as the file. */
bbw_onnx_model onnx_model(onnx_file *file);
/* The encoded file. */
bbw_bytes onnx_bytes(onnx_file *file);

/* x [n, 6] -> Gemm with w1 [6, 5] (raw bytes) and b1 [5] -> Relu -> MatMul with w2 [5, 3] -> y. */
void onnx_small_network(onnx_file *file);

#endif
