/* peer_classes: on which class of node does each op run? (authoring specification §2.10) */
#include "base/bytes.h"
#include "base/map.h"
#include "compiler/ir.h"

#define SELF          BBW_STR("@self")
#define DEFAULT_CLASS BBW_STR("@default")

/* Names to class texts. */
typedef struct class_table {
  bbw_ir *ir;
  bbw_map map;       /* name -> index into texts */
  bbw_ir_list texts; /* bbw_str */
} class_table;

typedef struct classes {
  bbw_ir *ir;
  bbw_ir_function *root;
  bbw_map producers; /* value -> node index + 1 */
  bbw_map is_peer;   /* values that only say where to */
  class_table cls;   /* class of the peers that a value names */
  class_table home;  /* class of the nodes that hold a value */
} classes;

static void table_init(class_table *table, bbw_ir *ir, uint64_t seed) {
  table->ir = ir;
  bbw_map_init(&table->map, seed, ir->mem);
  bbw_ir_list_init(&table->texts, sizeof(bbw_str));
}

static bool table_get(const class_table *table, bbw_str name, bbw_str *out) {
  uint64_t index;
  if (!bbw_map_get_bytes(&table->map, bbw_str_bytes(name), &index)) { return false; }
  *out = *BBW_IR_AT(&table->texts, bbw_str, (size_t)index);
  return true;
}

static bbw_status table_put(class_table *table, bbw_str name, bbw_str text) {
  if (!bbw_ir_append(table->ir, &table->texts, &text, 1)) { return BBW_E_NOMEM; }
  return bbw_map_put_bytes(&table->map, bbw_str_bytes(name), table->texts.count - 1) ? BBW_OK : BBW_E_NOMEM;
}

static bbw_status table_put_new(class_table *table, bbw_str name, bbw_str text) {
  bbw_str old;
  return table_get(table, name, &old) ? BBW_OK : table_put(table, name, text);
}

static bbw_onnx_node *node_at(const classes *c, size_t i) { return BBW_IR_AT(&c->root->nodes, bbw_onnx_node, i); }

static bbw_status index_producers(classes *c) {
  for (size_t i = 0; i < c->root->nodes.count; i++) {
    const bbw_onnx_node *node = node_at(c, i);
    for (size_t k = 0; k < node->output.count; k++) {
      if (!bbw_map_put_bytes(&c->producers, bbw_str_bytes(bbw_ir_output(node, k)), i + 1)) { return BBW_E_NOMEM; }
    }
  }
  return BBW_OK;
}

static bool is_traced_through(const bbw_onnx_node *node) {
  static const bbw_str ops[] = {{"Identity", 8}, {"Slice", 5},   {"Gather", 6},
                                {"Concat", 6},   {"Squeeze", 7}, {"Unsqueeze", 9}};
  if (!bbw_str_equal(node->domain, BBW_STR("ai.onnx"))) { return false; }
  for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
    if (bbw_str_equal(ops[i], node->op_type)) { return true; }
  }
  return false;
}

/* Follows the peers of a Send back to the graph inputs that they come from; such an input names a class: its own name. */
static bbw_status trace_peers(classes *c, bbw_str start) {
  bbw_ir_list stack; /* bbw_str */
  bbw_ir_list_init(&stack, sizeof(bbw_str));
  bbw_map seen;
  bbw_map_init(&seen, 0x5ee1, c->ir->mem);
  bbw_status rv = bbw_ir_append(c->ir, &stack, &start, 1) ? BBW_OK : BBW_E_NOMEM;
  while (rv == BBW_OK && stack.count != 0) {
    bbw_str name = *BBW_IR_AT(&stack, bbw_str, --stack.count);
    uint64_t index;
    if (name.len == 0 || bbw_map_get_bytes(&seen, bbw_str_bytes(name), &index)) { continue; }
    if (!bbw_map_put_bytes(&seen, bbw_str_bytes(name), 1)) { rv = BBW_E_NOMEM; }
    if (rv == BBW_OK && !bbw_map_get_bytes(&c->producers, bbw_str_bytes(name), &index)) {
      rv = table_put_new(&c->cls, name, name);
      if (rv == BBW_OK && !bbw_map_put_bytes(&c->is_peer, bbw_str_bytes(name), 1)) { rv = BBW_E_NOMEM; }
      continue;
    }
    const bbw_onnx_node *node = node_at(c, (size_t)index - 1);
    for (size_t k = 0; rv == BBW_OK && is_traced_through(node) && k < node->input.count; k++) {
      bbw_str input = bbw_ir_input(node, k);
      if (!bbw_ir_append(c->ir, &stack, &input, 1)) { rv = BBW_E_NOMEM; }
    }
  }
  bbw_map_free(&seen);
  return rv;
}

static bbw_status read_value_infos(classes *c) {
  for (size_t i = 0; i < c->root->value_info.count; i++) {
    const bbw_onnx_value_info *info = BBW_IR_AT(&c->root->value_info, bbw_onnx_value_info, i);
    bbw_str peer_class;
    bool has_class = bbw_onnx_entry_find(&info->metadata_props, BBW_STR(BBW_BB "peer_class"), &peer_class);
    bool is_tensor = info->type != NULL && info->type->tensor_type != NULL;
    bool is_peer_type = is_tensor && (bbw_str_equal(info->type->denotation, BBW_STR("bb.peer_id")) ||
                                      bbw_str_equal(info->type->denotation, BBW_STR("bb.peer_id_vec")));
    if (has_class && table_put_new(&c->cls, info->name, peer_class) != BBW_OK) { return BBW_E_NOMEM; }
    if ((has_class || is_peer_type) && !bbw_map_put_bytes(&c->is_peer, bbw_str_bytes(info->name), 1)) {
      return BBW_E_NOMEM;
    }
  }
  for (size_t i = 0; i < c->root->inputs.count; i++) {
    if (table_put(&c->home, *BBW_IR_AT(&c->root->inputs, bbw_str, i), SELF) != BBW_OK) { return BBW_E_NOMEM; }
  }
  return BBW_OK;
}

static bbw_status place_send(classes *c, const bbw_onnx_node *send, bbw_str *home) {
  bbw_str destination = DEFAULT_CLASS;
  *home = SELF;
  (void)table_get(&c->home, bbw_ir_input(send, 0), home);
  if (send->input.count != 0) { (void)table_get(&c->cls, bbw_ir_input(send, send->input.count - 1), &destination); }
  bbw_status rv = table_put(&c->home, bbw_ir_output(send, 0), send->output.count >= 2 ? destination : *home);
  /* The handle, and the answer with all that belongs to it, are where the Send is. */
  for (size_t i = 1; rv == BBW_OK && i < send->output.count; i++) {
    rv = table_put(&c->home, bbw_ir_output(send, i), *home);
  }
  return rv;
}

/* The one class that holds all inputs of an op; peers do not count. */
static bbw_status place_op(classes *c, const bbw_onnx_node *node, bbw_str *home) {
  bool is_placed = false;
  *home = SELF;
  for (size_t k = 0; k < node->input.count; k++) {
    bbw_str name = bbw_ir_input(node, k);
    bbw_str other;
    uint64_t is_peer;
    if (name.len == 0 || bbw_map_get_bytes(&c->is_peer, bbw_str_bytes(name), &is_peer) ||
        !table_get(&c->home, name, &other)) {
      continue;
    }
    if (is_placed && !bbw_str_equal(*home, other)) {
      bbw_ir_fail(c->ir, BBW_E_COMP_CROSS_CLASS, node, "home_a", *home);
      bbw_error_add_str(c->ir->err, "home_b", other);
      bbw_error_add_str(c->ir->err, "input_name", name);
      return BBW_E_COMP_CROSS_CLASS;
    }
    *home = other;
    is_placed = true;
  }
  for (size_t k = 0; k < node->output.count; k++) {
    if (table_put(&c->home, bbw_ir_output(node, k), *home) != BBW_OK) { return BBW_E_NOMEM; }
  }
  return BBW_OK;
}

static bbw_status place_node(classes *c, bbw_onnx_node *node) {
  if (bbw_ir_has_meta(node, BBW_BB "home_class")) { return BBW_OK; }
  for (size_t k = 0; bbw_ir_has_meta(node, BBW_BB "peer_class") && k < node->output.count; k++) {
    if (table_put_new(&c->cls, bbw_ir_output(node, k), bbw_ir_meta(node, BBW_BB "peer_class")) != BBW_OK) {
      return BBW_E_NOMEM;
    }
  }
  bbw_str home;
  bbw_status rv = bbw_ir_is_send(node) ? place_send(c, node, &home) : place_op(c, node, &home);
  return rv == BBW_OK ? bbw_ir_set_meta(c->ir, node, BBW_BB "home_class", home) : rv;
}

bbw_status bbw_pass_peer_classes(bbw_ir *ir) {
  classes c = {.ir = ir, .root = BBW_IR_AT(&ir->functions, bbw_ir_function, 0)};
  bbw_map_init(&c.producers, 0x960e, ir->mem);
  bbw_map_init(&c.is_peer, 0x9ee4, ir->mem);
  table_init(&c.cls, ir, 0xc1a5);
  table_init(&c.home, ir, 0x40e3);
  bbw_status rv = index_producers(&c);
  for (size_t i = 0; rv == BBW_OK && i < c.root->nodes.count; i++) {
    const bbw_onnx_node *node = node_at(&c, i);
    if (bbw_ir_is_send(node) && node->input.count != 0) {
      rv = trace_peers(&c, bbw_ir_input(node, node->input.count - 1));
    }
  }
  if (rv == BBW_OK) { rv = read_value_infos(&c); }
  for (size_t i = 0; rv == BBW_OK && i < c.root->nodes.count; i++) { rv = place_node(&c, node_at(&c, i)); }
  bbw_map_free(&c.producers);
  bbw_map_free(&c.is_peer);
  bbw_map_free(&c.cls.map);
  bbw_map_free(&c.home.map);
  return rv;
}
