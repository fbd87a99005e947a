#include "node/resolve.h"

#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/map.h"
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

/* Components of one role. */
typedef struct role_index {
  uint32_t count; /* bound in the role */
  uint32_t last;
  uint32_t open_count; /* those without a slot id */
  uint32_t open_last;
} role_index;

/* What nodes look for, found in time that does not grow with the model. */
typedef struct resolver {
  bbw_engine *engine;
  bbw_arena keys;  /* of the map callees, which borrows them */
  bbw_vec key;     /* the one that is looked for */
  bbw_map callees; /* name and overload -> index of the graph */
  bbw_map by_slot; /* role << 32 | slot id -> component */
  role_index roles[BBW_ROLE_COUNT];
  bbw_error *err; /* what a component refuses */
} resolver;

static uint64_t slot_key(bbw_role role, uint32_t slot_id) { return (uint64_t)role << 32 | slot_id; }

static bbw_status index_components(resolver *r, const bbw_vec *bindings) {
  for (uint32_t i = 0; i < bindings->count; i++) {
    const bbw_slot_binding *binding = BBW_VEC_AT(bindings, const bbw_slot_binding, i);
    bbw_role role;
    uint64_t taken;
    if (!bbw_role_from_name(binding->role, &role) || !component_plays(r->engine, i, role)) { continue; }
    role_index *of_role = &r->roles[role];
    of_role->count++;
    of_role->last = i;
    if (!binding->has_slot_id) {
      of_role->open_count++;
      of_role->open_last = i;
      continue;
    }
    uint64_t key = slot_key(role, binding->slot_id);
    if (!bbw_map_get(&r->by_slot, key, &taken) && !bbw_map_put(&r->by_slot, key, i)) { return BBW_E_NOMEM; }
  }
  return BBW_OK;
}

/*
 * The component that a node means: the one bound under its slot id in its role, else the only one without an id; without an id, the only one bound in that role.
 * A bootstrap counts its slots from 0 again while bindings are numbered as the body counts, so there an id that says nothing is as good as none.
 */
static uint32_t node_component(const resolver *r, const bbw_graph *graph, const bbw_onnx_node *node, bbw_role role) {
  const role_index *of_role = &r->roles[role];
  uint32_t slot_id;
  uint64_t found;
  if (!node_slot_id(node, &slot_id)) { return of_role->count == 1 ? of_role->last : BBW_NO_INDEX; }
  if (bbw_map_get(&r->by_slot, slot_key(role, slot_id), &found)) { return (uint32_t)found; }
  if (of_role->open_count == 1) { return of_role->open_last; }
  return graph->is_bootstrap && of_role->count == 1 ? of_role->last : BBW_NO_INDEX;
}

/* The length in front keeps ("ab", "c") apart from ("a", "bc"). */
static bool key_build(bbw_vec *key, bbw_str name, bbw_str overload) {
  uint8_t len[8];
  bbw_store_u64le(len, name.len);
  key->count = 0;
  return bbw_vec_append(key, len, sizeof(len)) && bbw_vec_append(key, name.ptr, name.len) &&
         bbw_vec_append(key, overload.ptr, overload.len);
}

/* Library functions of the module domain, and behind them those without one: recorded functions have no domain.  The first of a name counts. */
static bbw_status index_callees(resolver *r) {
  for (size_t pass = 0; pass < 2; pass++) {
    for (size_t g = 0; g < r->engine->graphs.count; g++) {
      const bbw_graph *graph = bbw_engine_graph(r->engine, g);
      bool is_of_pass = bbw_str_equal(graph->function->domain, DOMAIN_MODULE) == (pass == 0);
      if (graph->is_entry_point || graph->boot_component != BBW_NO_INDEX || !is_of_pass) { continue; }
      if (!key_build(&r->key, graph->function->name, graph->function->overload)) { return BBW_E_NOMEM; }
      bool ok;
      uint64_t taken;
      bbw_bytes key = {r->key.items, r->key.count};
      if (bbw_map_get_bytes(&r->callees, key, &taken)) { continue; }
      key = bbw_arena_copy(&r->keys, key, &ok);
      if (!ok || !bbw_map_put_bytes(&r->callees, key, g)) { return BBW_E_NOMEM; }
    }
  }
  return BBW_OK;
}

static bbw_status find_callee(resolver *r, const bbw_onnx_node *node, bbw_graph **out) {
  uint64_t found;
  *out = NULL;
  if (!bbw_str_equal(node->domain, DOMAIN_MODULE)) { return BBW_OK; }
  if (!key_build(&r->key, node->op_type, node->overload)) { return BBW_E_NOMEM; }
  if (bbw_map_get_bytes(&r->callees, (bbw_bytes){r->key.items, r->key.count}, &found)) {
    *out = bbw_engine_graph(r->engine, (size_t)found);
  }
  return BBW_OK;
}

static bbw_status resolver_init(resolver *r, bbw_engine *engine, const bbw_vec *bindings) {
  *r = (resolver){.engine = engine};
  bbw_arena_init(&r->keys, engine->mem);
  bbw_vec_init(&r->key, 1, engine->mem);
  bbw_map_init(&r->callees, 0xca11, engine->mem);
  bbw_map_init(&r->by_slot, 0x5107, engine->mem);
  bbw_status rv = index_components(r, bindings);
  return rv == BBW_OK ? index_callees(r) : rv;
}

static void resolver_free(resolver *r) {
  bbw_map_free(&r->by_slot);
  bbw_map_free(&r->callees);
  bbw_vec_free(&r->key);
  bbw_arena_free(&r->keys);
}

static bbw_status resolve_op(resolver *r, const bbw_graph *graph, bbw_op *op) {
  op->kind = BBW_DISPATCH_UNRESOLVED;
  op->readiness = BBW_READY_ALL;
  if (graph->boot_component != BBW_NO_INDEX) {
    op->kind = BBW_DISPATCH_COMPONENT;
    op->component = graph->boot_component;
    op->role = BBW_ROLE_COUNT;
    return BBW_OK;
  }
  op->row = bbw_op_find(op->node->domain, op->node->op_type);
  if (op->row != NULL) {
    op->kind = BBW_DISPATCH_STATELESS;
    op->readiness = (uint8_t)op->row->readiness;
    return BBW_OK;
  }
  bbw_status rv = find_callee(r, op->node, &op->callee);
  if (rv != BBW_OK) { return rv; }
  if (op->callee != NULL) {
    op->kind = BBW_DISPATCH_CALL;
    return BBW_OK;
  }
  bbw_role role;
  if (!node_role(op->node, &role)) { return BBW_OK; }
  op->role = (uint8_t)role;
  op->component = node_component(r, graph, op->node, role);
  if (op->component == BBW_NO_INDEX) { return BBW_OK; }
  const bbw_component *component = bbw_engine_component(r->engine, op->component);
  bool is_supported = component->type->supports == NULL ||
                      component->type->supports(component->self, role, op->node->op_type);
  if (!is_supported) { return BBW_OK; }
  op->kind = BBW_DISPATCH_COMPONENT;
  bool is_prepared = component->type->prepare == NULL;
  return is_prepared ? BBW_OK : component->type->prepare(component->self, op->node, r->err);
}

bbw_status bbw_resolve_graphs(bbw_engine *engine, const bbw_vec *bindings, bbw_error *err) {
  resolver r;
  bbw_status rv = resolver_init(&r, engine, bindings);
  r.err = err;
  for (size_t g = 0; rv == BBW_OK && g < engine->graphs.count; g++) {
    bbw_graph *graph = bbw_engine_graph(engine, g);
    /* Bodies of this domain belong to a backend; their nodes are not ours to run. */
    bool is_foreign = bbw_str_equal(graph->function->domain, DOMAIN_FRAMEWORK);
    for (uint32_t i = 0; rv == BBW_OK && i < graph->op_count && !is_foreign; i++) {
      rv = resolve_op(&r, graph, &graph->ops[i]);
    }
    bbw_graph_find_starters(graph);
  }
  resolver_free(&r);
  return rv;
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
static void report_missing(const resolver *r, const bbw_graph *graph, uint32_t index, bbw_error *err) {
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
  } else if (node_component(r, graph, op->node, role) != BBW_NO_INDEX) {
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

/* Marks the entry graphs, the bootstraps and every function that is called from a marked one. */
static void mark_reached(const bbw_engine *engine, bool *is_reached, const bbw_graph **stack) {
  size_t depth = 0;
  for (size_t g = 0; g < engine->graphs.count; g++) {
    const bbw_graph *graph = bbw_engine_graph(engine, g);
    is_reached[g] = graph->is_entry_point || graph->is_bootstrap;
    if (is_reached[g]) { stack[depth++] = graph; }
  }
  while (depth != 0) {
    const bbw_graph *graph = stack[--depth];
    for (uint32_t i = 0; i < graph->op_count; i++) {
      const bbw_graph *callee = graph->ops[i].callee;
      if (callee == NULL || is_reached[callee->index]) { continue; }
      is_reached[callee->index] = true;
      stack[depth++] = callee;
    }
  }
}

bbw_status bbw_resolve_count_missing(bbw_engine *engine, const bbw_vec *bindings, uint64_t *count, bbw_error *err) {
  uint64_t missing = 0;
  size_t graphs = engine->graphs.count;
  bool *is_reached = bbw_mem_array(engine->mem, graphs, sizeof(bool));
  const bbw_graph **stack = bbw_mem_array(engine->mem, graphs, sizeof(*stack));
  resolver r;
  bbw_status rv = resolver_init(&r, engine, bindings);
  if (is_reached == NULL || stack == NULL) { rv = BBW_E_NOMEM; }
  if (rv == BBW_OK) { mark_reached(engine, is_reached, stack); }
  for (size_t g = 0; rv == BBW_OK && g < graphs; g++) {
    const bbw_graph *graph = bbw_engine_graph(engine, g);
    for (uint32_t i = 0; is_reached[g] && i < graph->op_count; i++) {
      if (graph->ops[i].kind != BBW_DISPATCH_UNRESOLVED) { continue; }
      missing++;
      if (err != NULL && err->is_truncated == 0) { report_missing(&r, graph, i, err); }
    }
  }
  resolver_free(&r);
  bbw_mem_array_free(engine->mem, is_reached, graphs, sizeof(bool));
  bbw_mem_array_free(engine->mem, stack, graphs, sizeof(*stack));
  if (rv == BBW_OK) { *count = missing; }
  return rv;
}
