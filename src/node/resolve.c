#include "node/resolve.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "ops/ops.h"

#define KEY_SLOT_ID      BBW_STR("ai.bytesandbrains.slot_id")
#define KEY_TRAIT        BBW_STR("ai.bytesandbrains.required_trait")
#define DOMAIN_MODULE    BBW_STR("ai.bytesandbrains.module")
#define DOMAIN_FRAMEWORK BBW_STR("ai.bytesandbrains.framework")

static bool node_slot_id(const bbw_onnx_node *node, uint32_t *slot_id) {
  bbw_str text;
  uint64_t number;
  if (!bbw_onnx_entry_find(&node->metadata_props, KEY_SLOT_ID, &text) || !bbw_parse_u64(text, &number) ||
      number > UINT32_MAX) {
    return false;
  }
  *slot_id = (uint32_t)number;
  return true;
}

/* The role that a node calls: by its trait, else by its domain. */
static bool node_role(const bbw_onnx_node *node, bbw_role *role) {
  static const bbw_str domains[] = {
#define ROLE(name, js, domain) {domain, sizeof(domain) - 1},
#include "bbw/roles.def"
#undef ROLE
  };
  bbw_str trait;
  if (bbw_onnx_entry_find(&node->metadata_props, KEY_TRAIT, &trait) && bbw_role_from_name(trait, role)) { return true; }
  for (uint32_t i = 0; i < BBW_ROLE_COUNT; i++) {
    if (domains[i].len != 0 && bbw_str_equal(domains[i], node->domain)) {
      *role = (bbw_role)i;
      return true;
    }
  }
  *role = BBW_ROLE_PROTOCOL;
  return bbw_str_starts_with(node->domain, BBW_STR("ai.bytesandbrains.protocol."));
}

static bool component_plays(const bbw_engine *engine, size_t index, bbw_role role) {
  return (bbw_engine_component(engine, index)->type->role_bits & BBW_ROLE_BIT(role)) != 0;
}

/* The component that a node means: the one bound under its slot id in its role; without an id, the only one bound in that role. */
static uint32_t node_component(const bbw_engine *engine, const bbw_vec *bindings, const bbw_onnx_node *node,
                               bbw_role role) {
  uint32_t slot_id = 0;
  bool has_slot_id = node_slot_id(node, &slot_id);
  uint32_t only = BBW_NO_INDEX;
  uint32_t matches = 0;
  for (uint32_t i = 0; i < bindings->count; i++) {
    const bbw_slot_binding *binding = BBW_VEC_AT(bindings, const bbw_slot_binding, i);
    if (!component_plays(engine, i, role)) { continue; }
    bbw_role bound_role;
    bool is_role = bbw_role_from_name(binding->role, &bound_role) && bound_role == role;
    if (has_slot_id && binding->has_slot_id && binding->slot_id == slot_id && is_role) { return i; }
    bool is_open = is_role && !(has_slot_id && binding->has_slot_id);
    matches += is_open;
    if (is_open) { only = i; }
  }
  return matches == 1 ? only : BBW_NO_INDEX;
}

static bool key_matches(const bbw_onnx_function *function, const bbw_onnx_node *node, bool is_domain_checked) {
  bool is_named = bbw_str_equal(function->name, node->op_type) && bbw_str_equal(function->overload, node->overload);
  return is_named && (!is_domain_checked || bbw_str_equal(function->domain, node->domain));
}

/* Library functions by (domain, name, overload); recorded functions have no domain, so a second look ignores it. */
static bbw_graph *node_callee(const bbw_engine *engine, const bbw_onnx_node *node) {
  if (!bbw_str_equal(node->domain, DOMAIN_MODULE)) { return NULL; }
  for (size_t pass = 0; pass < 2; pass++) {
    for (size_t g = 0; g < engine->graphs.count; g++) {
      bbw_graph *graph = bbw_engine_graph(engine, g);
      if (!graph->is_entry_point && key_matches(graph->function, node, pass == 0)) { return graph; }
    }
  }
  return NULL;
}

static void resolve_op(const bbw_engine *engine, const bbw_vec *bindings, bbw_op *op) {
  op->kind = BBW_DISPATCH_UNRESOLVED;
  op->readiness = BBW_READY_ALL;
  op->row = bbw_op_find(op->node->domain, op->node->op_type);
  if (op->row != NULL) {
    op->kind = BBW_DISPATCH_STATELESS;
    op->readiness = (uint8_t)op->row->readiness;
    return;
  }
  op->callee = node_callee(engine, op->node);
  if (op->callee != NULL) {
    op->kind = BBW_DISPATCH_CALL;
    return;
  }
  bbw_role role;
  if (!node_role(op->node, &role)) { return; }
  op->role = (uint8_t)role;
  op->component = node_component(engine, bindings, op->node, role);
  if (op->component == BBW_NO_INDEX) { return; }
  const bbw_component *component = bbw_engine_component(engine, op->component);
  bool is_supported = component->type->supports == NULL ||
                      component->type->supports(component->self, role, op->node->op_type);
  if (is_supported) { op->kind = BBW_DISPATCH_COMPONENT; }
}

void bbw_resolve_graphs(bbw_engine *engine, const bbw_vec *bindings) {
  for (size_t g = 0; g < engine->graphs.count; g++) {
    bbw_graph *graph = bbw_engine_graph(engine, g);
    /* Bodies of this domain belong to a backend; their nodes are not ours to run. */
    bool is_foreign = bbw_str_equal(graph->function->domain, DOMAIN_FRAMEWORK);
    for (uint32_t i = 0; i < graph->op_count && !is_foreign; i++) { resolve_op(engine, bindings, &graph->ops[i]); }
    bbw_graph_find_starters(graph);
  }
}

typedef struct text {
  char buf[400];
  size_t len;
} text;

static void text_add(text *t, bbw_str part) {
  size_t n = part.len < sizeof(t->buf) - t->len ? part.len : sizeof(t->buf) - t->len;
  if (n != 0) { memcpy(t->buf + t->len, part.ptr, n); }
  t->len += n;
}

static void text_add_number(text *t, uint64_t number) {
  char digits[20];
  text_add(t, (bbw_str){digits, bbw_format_u64(number, digits)});
}

/* "function/index domain::op_type (name): reason" */
static void report_missing(const bbw_engine *engine, const bbw_vec *bindings, const bbw_graph *graph, uint32_t index,
                           bbw_error *err) {
  const bbw_op *op = &graph->ops[index];
  text t = {.len = 0};
  text_add(&t, graph->function->name);
  text_add(&t, BBW_STR("/"));
  text_add_number(&t, index);
  text_add(&t, BBW_STR(" "));
  text_add(&t, op->node->domain);
  text_add(&t, BBW_STR("::"));
  text_add(&t, op->node->op_type);
  if (op->node->name.len != 0) {
    text_add(&t, BBW_STR(" ("));
    text_add(&t, op->node->name);
    text_add(&t, BBW_STR(")"));
  }
  bbw_role role;
  uint32_t slot_id;
  if (!node_role(op->node, &role)) {
    text_add(&t, BBW_STR(": no such operator"));
  } else if (node_component(engine, bindings, op->node, role) != BBW_NO_INDEX) {
    text_add(&t, BBW_STR(": not implemented by the bound component"));
  } else {
    text_add(&t, BBW_STR(": no component for role "));
    text_add(&t, bbw_role_name(role));
    if (node_slot_id(op->node, &slot_id)) {
      text_add(&t, BBW_STR(", slot id "));
      text_add_number(&t, slot_id);
    }
  }
  bbw_error_add_item(err, "nodes", (bbw_str){t.buf, t.len});
}

bbw_status bbw_resolve_count_missing(bbw_engine *engine, const bbw_vec *bindings, uint64_t *count, bbw_error *err) {
  /* Entry graphs come first; a function counts once something that counts calls it.  Marks spread until nothing changes. */
  uint64_t missing = 0;
  bool *is_reached = bbw_mem_array(engine->mem, engine->graphs.count, sizeof(bool));
  if (is_reached == NULL) { return BBW_E_NOMEM; }
  for (size_t g = 0; g < engine->graphs.count; g++) { is_reached[g] = bbw_engine_graph(engine, g)->is_entry_point; }
  for (bool is_changed = true; is_changed;) {
    is_changed = false;
    for (size_t g = 0; g < engine->graphs.count; g++) {
      const bbw_graph *graph = bbw_engine_graph(engine, g);
      for (uint32_t i = 0; is_reached[g] && i < graph->op_count; i++) {
        const bbw_graph *callee = graph->ops[i].callee;
        if (callee == NULL || is_reached[callee->index]) { continue; }
        is_reached[callee->index] = true;
        is_changed = true;
      }
    }
  }
  for (size_t g = 0; g < engine->graphs.count; g++) {
    const bbw_graph *graph = bbw_engine_graph(engine, g);
    for (uint32_t i = 0; is_reached[g] && i < graph->op_count; i++) {
      if (graph->ops[i].kind != BBW_DISPATCH_UNRESOLVED) { continue; }
      missing++;
      if (err != NULL) { report_missing(engine, bindings, graph, i, err); }
    }
  }
  bbw_mem_array_free(engine->mem, is_reached, engine->graphs.count, sizeof(bool));
  *count = missing;
  return BBW_OK;
}
