#include "onnx_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel_data.h"

static bbw_str str(const char *text) { return (bbw_str){text, strlen(text)}; }

/* Tests have memory; running out of it is their end. */
static void *get(onnx_file *file, size_t count, size_t size) {
  void *p = bbw_arena_array(&file->arena, count, size);
  if (p == NULL) { abort(); }
  return p;
}

static void *slot(void *items, size_t *count, size_t size, size_t max) {
  if (*count >= max) { abort(); }
  return (char *)items + size * (*count)++;
}

void onnx_file_init(onnx_file *file) {
  memset(file, 0, sizeof *file);
  bbw_arena_init(&file->arena, &bbw_mem_libc);
  file->opset = 17;
}

void onnx_file_free(onnx_file *file) { bbw_arena_free(&file->arena); }

/* Words of a list, as views. */
static bbw_proto_list words(onnx_file *file, const char *text) {
  bbw_str *items = get(file, strlen(text) + 1, sizeof *items);
  size_t count = 0;
  while (*text != '\0') {
    size_t n = strcspn(text, " ");
    items[count++] = n == 1 && *text == '-' ? (bbw_str){NULL, 0} : (bbw_str){text, n};
    text += n + (text[n] == ' ' ? 1 : 0);
  }
  return (bbw_proto_list){items, count};
}

static void add_value(onnx_file *file, bbw_onnx_value_info *info, const char *name, const char *dims,
                      int32_t elem_type) {
  bbw_proto_list texts = words(file, dims);
  bbw_onnx_dimension *items = get(file, texts.count, sizeof *items);
  for (size_t i = 0; i < texts.count; i++) {
    bbw_str text = *BBW_PROTO_AT(&texts, bbw_str, i);
    if (text.ptr[0] >= '0' && text.ptr[0] <= '9') {
      items[i].dim_value = strtoll(text.ptr, NULL, 10);
      items[i].has_dim_value = true;
    } else {
      items[i].dim_param = text;
      items[i].has_dim_param = true;
    }
  }
  bbw_onnx_shape *shape = get(file, 1, sizeof *shape);
  bbw_onnx_tensor_type *tensor = get(file, 1, sizeof *tensor);
  bbw_onnx_type *type = get(file, 1, sizeof *type);
  shape->dim = (bbw_proto_list){items, texts.count};
  *tensor = (bbw_onnx_tensor_type){.elem_type = elem_type, .shape = shape};
  type->tensor_type = tensor;
  info->name = str(name);
  info->type = type;
}

void onnx_input(onnx_file *file, const char *name, const char *dims) { onnx_input_of_type(file, name, dims, 1); }

void onnx_input_of_type(onnx_file *file, const char *name, const char *dims, int32_t elem_type) {
  add_value(file, slot(file->inputs, &file->input_count, sizeof file->inputs[0], 4), name, dims, elem_type);
}

void onnx_output(onnx_file *file, const char *name) {
  add_value(file, slot(file->outputs, &file->output_count, sizeof file->outputs[0], 4), name, "", 1);
}

static bbw_onnx_tensor *add_tensor(onnx_file *file, const char *name, const char *dims, int32_t data_type,
                                   size_t *count) {
  bbw_onnx_tensor *t = slot(file->initializers, &file->initializer_count, sizeof file->initializers[0], ONNX_FILE_MAX);
  bbw_proto_list texts = words(file, dims);
  int64_t *items = get(file, texts.count, sizeof *items);
  *count = 1;
  for (size_t i = 0; i < texts.count; i++) {
    items[i] = strtoll(BBW_PROTO_AT(&texts, bbw_str, i)->ptr, NULL, 10);
    *count *= (size_t)items[i];
  }
  t->name = str(name);
  t->dims = (bbw_proto_list){items, texts.count};
  t->data_type = data_type;
  return t;
}

bbw_onnx_tensor *onnx_floats(onnx_file *file, const char *name, const char *dims, const float *data, size_t count) {
  size_t product;
  bbw_onnx_tensor *t = add_tensor(file, name, dims, 1, &product);
  float *copy = get(file, count, sizeof *copy);
  if (count > 0) { memcpy(copy, data, count * sizeof *copy); }
  t->float_data = (bbw_proto_list){copy, count};
  return t;
}

bbw_onnx_tensor *onnx_weights(onnx_file *file, const char *name, const char *dims, uint32_t seed, float range,
                              bool is_raw) {
  size_t count;
  bbw_onnx_tensor *t = add_tensor(file, name, dims, 1, &count);
  float *data = get(file, count, sizeof *data);
  kernel_fill(data, count, seed, -range, range);
  if (is_raw) {
    t->raw_data = (bbw_bytes){(const uint8_t *)data, count * sizeof *data}; /* little-endian test machines */
  } else {
    t->float_data = (bbw_proto_list){data, count};
  }
  return t;
}

bbw_onnx_tensor *onnx_ints(onnx_file *file, const char *name, const int64_t *data, size_t count) {
  bbw_onnx_tensor *t = slot(file->initializers, &file->initializer_count, sizeof file->initializers[0], ONNX_FILE_MAX);
  int64_t *dims = get(file, 1, sizeof *dims);
  dims[0] = (int64_t)count;
  *t = (bbw_onnx_tensor){.name = str(name), .dims = {dims, 1}, .data_type = 7, .int64_data = {data, count}};
  return t;
}

bbw_onnx_node *onnx_node(onnx_file *file, const char *op_type, const char *name, const char *inputs,
                         const char *outputs) {
  bbw_onnx_node *node = slot(file->nodes, &file->node_count, sizeof file->nodes[0], ONNX_FILE_MAX);
  node->op_type = str(op_type);
  node->name = str(name);
  node->input = words(file, inputs);
  node->output = words(file, outputs);
  return node;
}

static bbw_onnx_attribute *add_attribute(onnx_file *file, bbw_onnx_node *node, const char *name, int32_t type) {
  bbw_onnx_attribute *items = get(file, node->attribute.count + 1, sizeof *items);
  if (node->attribute.count > 0) { memcpy(items, node->attribute.items, node->attribute.count * sizeof *items); }
  bbw_onnx_attribute *a = &items[node->attribute.count];
  a->name = str(name);
  a->type = type;
  node->attribute = (bbw_proto_list){items, node->attribute.count + 1};
  return a;
}

void onnx_attribute_int(onnx_file *file, bbw_onnx_node *node, const char *name, int64_t value) {
  add_attribute(file, node, name, BBW_ONNX_ATTR_INT)->i = value;
}
void onnx_attribute_float(onnx_file *file, bbw_onnx_node *node, const char *name, float value) {
  add_attribute(file, node, name, BBW_ONNX_ATTR_FLOAT)->f = value;
}
void onnx_attribute_tensor(onnx_file *file, bbw_onnx_node *node, const char *name, const bbw_onnx_tensor *value) {
  add_attribute(file, node, name, BBW_ONNX_ATTR_TENSOR)->t = value;
}
void onnx_attribute_ints(onnx_file *file, bbw_onnx_node *node, const char *name, const int64_t *values, size_t count) {
  add_attribute(file, node, name, BBW_ONNX_ATTR_INTS)->ints = (bbw_proto_list){values, count};
}

void onnx_attribute_graph(onnx_file *file, bbw_onnx_node *node, const char *name, onnx_file *body) {
  add_attribute(file, node, name, BBW_ONNX_ATTR_GRAPH)->g = onnx_model(body).graph;
}

void onnx_metadata(onnx_file *file, const char *key, const char *value) {
  if (file->entry_count == ONNX_FILE_MAX) { abort(); }
  char *copy = get(file, strlen(key) + 1, 1);
  memcpy(copy, key, strlen(key) + 1);
  file->entries[file->entry_count++] = (bbw_onnx_entry){.key = str(copy), .value = str(value)};
}

bbw_onnx_model onnx_model(onnx_file *file) {
  bbw_onnx_graph *graph = get(file, 1, sizeof *graph);
  bbw_onnx_opset *opset = get(file, 1, sizeof *opset);
  opset->version = file->opset;
  *graph = (bbw_onnx_graph){
      .node = {file->nodes, file->node_count},
      .name = str("test"),
      .initializer = {file->initializers, file->initializer_count},
      .input = {file->inputs, file->input_count},
      .output = {file->outputs, file->output_count},
  };
  return (bbw_onnx_model){.ir_version = 8,
                          .graph = graph,
                          .opset_import = {opset, 1},
                          .metadata_props = {file->entries, file->entry_count}};
}

bbw_bytes onnx_bytes(onnx_file *file) {
  bbw_onnx_model model = onnx_model(file);
  bbw_bytes bytes;
  if (bbw_proto_encode(&bytes, &model, &bbw_onnx_model_type, &file->arena) != BBW_OK) { abort(); }
  return bytes;
}

void onnx_small_network(onnx_file *f) {
  onnx_input(f, "x", "n 6");
  onnx_weights(f, "w1", "6 5", 1, 0.7f, true);
  onnx_weights(f, "b1", "5", 2, 0.3f, false);
  onnx_weights(f, "w2", "5 3", 3, 0.7f, false);
  onnx_node(f, "Gemm", "fc1", "x w1 b1", "h");
  onnx_node(f, "Relu", "relu", "h", "r");
  onnx_node(f, "MatMul", "fc2", "r w2", "y");
  onnx_output(f, "y");
}
