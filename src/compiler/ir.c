#include "compiler/ir.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

void bbw_ir_list_init(bbw_ir_list *list, size_t item_bytes) { *list = (bbw_ir_list){.item_bytes = item_bytes}; }

static bool list_reserve(bbw_ir *ir, bbw_ir_list *list, size_t extra) {
  size_t need;
  if (!bbw_size_add(list->count, extra, &need)) { return false; }
  if (need <= list->cap) { return true; }
  size_t cap = list->cap < 8 ? 8 : list->cap * 2;
  while (cap < need) { cap *= 2; }
  void *items = bbw_arena_array(ir->arena, cap, list->item_bytes);
  if (items == NULL) { return false; }
  if (list->count != 0) { memcpy(items, list->items, list->count * list->item_bytes); }
  list->items = items;
  list->cap = cap;
  return true;
}

void *bbw_ir_push(bbw_ir *ir, bbw_ir_list *list) {
  if (!list_reserve(ir, list, 1)) { return NULL; }
  void *item = (uint8_t *)list->items + list->count++ * list->item_bytes;
  memset(item, 0, list->item_bytes);
  return item;
}

bool bbw_ir_append(bbw_ir *ir, bbw_ir_list *list, const void *items, size_t count) {
  if (!list_reserve(ir, list, count)) { return false; }
  if (count != 0) { memcpy((uint8_t *)list->items + list->count * list->item_bytes, items, count * list->item_bytes); }
  list->count += count;
  return true;
}

static bool list_from(bbw_ir *ir, bbw_ir_list *list, const bbw_proto_list *from, size_t item_bytes) {
  bbw_ir_list_init(list, item_bytes);
  return bbw_ir_append(ir, list, from->items, from->count);
}

bbw_status bbw_ir_load(bbw_ir *ir, const bbw_onnx_model *model) {
  bbw_ir_list_init(&ir->functions, sizeof(bbw_ir_function));
  bbw_ir_list_init(&ir->metadata, sizeof(bbw_onnx_entry));
  for (size_t i = 0; i < model->functions.count; i++) {
    const bbw_onnx_function *from = BBW_PROTO_AT(&model->functions, bbw_onnx_function, i);
    bbw_ir_function *function = bbw_ir_push(ir, &ir->functions);
    bool ok = function != NULL && list_from(ir, &function->inputs, &from->input, sizeof(bbw_str)) &&
              list_from(ir, &function->outputs, &from->output, sizeof(bbw_str)) &&
              list_from(ir, &function->attribute, &from->attribute, sizeof(bbw_str)) &&
              list_from(ir, &function->nodes, &from->node, sizeof(bbw_onnx_node)) &&
              list_from(ir, &function->value_info, &from->value_info, sizeof(bbw_onnx_value_info)) &&
              list_from(ir, &function->metadata, &from->metadata_props, sizeof(bbw_onnx_entry));
    if (!ok) { return BBW_E_NOMEM; }
    function->name = from->name;
    function->domain = from->domain;
    function->overload = from->overload;
  }
  return BBW_OK;
}

bbw_str bbw_ir_text(bbw_ir *ir, bbw_str a, bbw_str b, bbw_str c) {
  size_t len;
  if (!bbw_size_add(a.len, b.len, &len) || !bbw_size_add(len, c.len, &len)) { return (bbw_str){NULL, 0}; }
  char *text = bbw_arena_array(ir->arena, len, 1);
  if (text == NULL) { return (bbw_str){NULL, 0}; }
  if (a.len != 0) { memcpy(text, a.ptr, a.len); }
  if (b.len != 0) { memcpy(text + a.len, b.ptr, b.len); }
  if (c.len != 0) { memcpy(text + a.len + b.len, c.ptr, c.len); }
  return (bbw_str){text, len};
}

bbw_str bbw_ir_number(bbw_ir *ir, uint64_t number) {
  char digits[20];
  return bbw_ir_text(ir, (bbw_str){digits, bbw_format_u64(number, digits)}, BBW_STR(""), BBW_STR(""));
}

bool bbw_ir_is(const bbw_onnx_node *node, bbw_str domain, bbw_str op_type) {
  return bbw_str_equal(node->op_type, op_type) && bbw_str_equal(node->domain, domain);
}
bool bbw_ir_is_send(const bbw_onnx_node *node) { return bbw_ir_is(node, BBW_STR(BBW_BB "wire"), BBW_STR("Send")); }
bool bbw_ir_is_recv(const bbw_onnx_node *node) { return bbw_ir_is(node, BBW_STR(BBW_BB "wire"), BBW_STR("Recv")); }

static bbw_str name_at(const bbw_proto_list *names, size_t i) {
  return i < names->count ? *BBW_PROTO_AT(names, bbw_str, i) : (bbw_str){NULL, 0};
}
bbw_str bbw_ir_input(const bbw_onnx_node *node, size_t i) { return name_at(&node->input, i); }
bbw_str bbw_ir_output(const bbw_onnx_node *node, size_t i) { return name_at(&node->output, i); }

bbw_str bbw_ir_meta(const bbw_onnx_node *node, const char *key) {
  bbw_str value = {NULL, 0};
  (void)bbw_onnx_entry_find(&node->metadata_props, (bbw_str){key, strlen(key)}, &value);
  return value;
}

bool bbw_ir_has_meta(const bbw_onnx_node *node, const char *key) {
  bbw_str value;
  return bbw_onnx_entry_find(&node->metadata_props, (bbw_str){key, strlen(key)}, &value);
}

/* A copy of a list with room for one more element; the caller fills the last one or leaves it. */
static void *list_copy(bbw_ir *ir, const bbw_proto_list *list, size_t item_bytes) {
  void *items = bbw_arena_array(ir->arena, list->count + 1, item_bytes);
  if (items != NULL && list->count != 0) { memcpy(items, list->items, list->count * item_bytes); }
  return items;
}

bbw_status bbw_ir_set_meta(bbw_ir *ir, bbw_onnx_node *node, const char *key, bbw_str value) {
  bbw_onnx_entry *entries = list_copy(ir, &node->metadata_props, sizeof(*entries));
  if (entries == NULL) { return BBW_E_NOMEM; }
  bbw_str name = {key, strlen(key)};
  size_t count = node->metadata_props.count;
  size_t i = 0;
  while (i < count && !bbw_str_equal(entries[i].key, name)) { i++; }
  entries[i] = (bbw_onnx_entry){.key = name, .value = value};
  node->metadata_props = (bbw_proto_list){entries, i == count ? count + 1 : count};
  return BBW_OK;
}

/* The attribute of that name in a fresh copy of the node's list, appended when it is new. */
static bbw_onnx_attribute *attribute_slot(bbw_ir *ir, bbw_onnx_node *node, bbw_str name) {
  bbw_onnx_attribute *attributes = list_copy(ir, &node->attribute, sizeof(*attributes));
  if (attributes == NULL) { return NULL; }
  size_t count = node->attribute.count;
  size_t i = 0;
  while (i < count && !bbw_str_equal(attributes[i].name, name)) { i++; }
  node->attribute = (bbw_proto_list){attributes, i == count ? count + 1 : count};
  attributes[i].name = name;
  return &attributes[i];
}

bbw_status bbw_ir_set_int(bbw_ir *ir, bbw_onnx_node *node, bbw_str name, int64_t value) {
  bbw_onnx_attribute *attribute = attribute_slot(ir, node, name);
  if (attribute == NULL) { return BBW_E_NOMEM; }
  attribute->i = value;
  if (attribute->type == 0) { attribute->type = BBW_ONNX_ATTR_INT; }
  return BBW_OK;
}

bbw_status bbw_ir_set_bytes(bbw_ir *ir, bbw_onnx_node *node, bbw_str name, bbw_bytes value) {
  bbw_onnx_attribute *attribute = attribute_slot(ir, node, name);
  if (attribute == NULL) { return BBW_E_NOMEM; }
  attribute->s = value;
  attribute->type = BBW_ONNX_ATTR_STRING;
  return BBW_OK;
}

bbw_status bbw_ir_rename(bbw_ir *ir, bbw_proto_list *names, size_t i, bbw_str name) {
  bbw_str *copy = list_copy(ir, names, sizeof(*copy));
  if (copy == NULL) { return BBW_E_NOMEM; }
  copy[i] = name;
  names->items = copy;
  return BBW_OK;
}

bbw_status bbw_ir_add_name(bbw_ir *ir, bbw_proto_list *names, bbw_str name) {
  bbw_str *copy = list_copy(ir, names, sizeof(*copy));
  if (copy == NULL) { return BBW_E_NOMEM; }
  copy[names->count] = name;
  *names = (bbw_proto_list){copy, names->count + 1};
  return BBW_OK;
}

bbw_status bbw_ir_replace_input(bbw_ir *ir, bbw_onnx_node *node, bbw_str from, bbw_str to) {
  bbw_str *copy = NULL; /* one copy, however often the name occurs */
  for (size_t i = 0; i < node->input.count; i++) {
    if (!bbw_str_equal(bbw_ir_input(node, i), from)) { continue; }
    if (copy == NULL) { copy = list_copy(ir, &node->input, sizeof(*copy)); }
    if (copy == NULL) { return BBW_E_NOMEM; }
    copy[i] = to;
  }
  if (copy != NULL) { node->input.items = copy; }
  return BBW_OK;
}

bbw_onnx_node *bbw_ir_add_node(bbw_ir *ir, bbw_ir_list *nodes, bbw_str domain, bbw_str op_type, bbw_str name) {
  bbw_onnx_node *node = bbw_ir_push(ir, nodes);
  if (node == NULL) { return NULL; }
  node->domain = domain;
  node->op_type = op_type;
  node->name = name;
  return node;
}

bbw_status bbw_ir_index_value_infos(const bbw_ir_function *function, bbw_map *index) {
  for (size_t i = 0; i < function->value_info.count; i++) {
    bbw_bytes name = bbw_str_bytes(BBW_IR_AT(&function->value_info, bbw_onnx_value_info, i)->name);
    uint64_t first;
    if (!bbw_map_get_bytes(index, name, &first) && !bbw_map_put_bytes(index, name, i)) { return BBW_E_NOMEM; }
  }
  return BBW_OK;
}

const bbw_onnx_value_info *bbw_ir_value_info(const bbw_ir_function *function, const bbw_map *index, bbw_str name) {
  uint64_t i;
  if (!bbw_map_get_bytes(index, bbw_str_bytes(name), &i)) { return NULL; }
  return BBW_IR_AT(&function->value_info, bbw_onnx_value_info, (size_t)i);
}

bbw_status bbw_ir_fail(bbw_ir *ir, bbw_status status, const bbw_onnx_node *node, const char *field, bbw_str value) {
  bbw_error_set(ir->err, status);
  if (node != NULL) {
    bbw_error_add_str(ir->err, "module", bbw_ir_meta(node, BBW_BB "module_instance"));
    bbw_error_add_str(ir->err, "node_name", node->name);
    bbw_error_add_str(ir->err, "op_type", node->op_type);
    bbw_error_add_str(ir->err, "domain", node->domain);
    bbw_error_add_str(ir->err, "output", bbw_ir_output(node, 0));
  }
  if (field != NULL) { bbw_error_add_str(ir->err, field, value); }
  return status;
}
