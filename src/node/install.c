/* install: from an artifact's bytes to a node (install specification §4). */
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "bbw/address.h"
#include "components/shipped.h"
#include "format/route.h"
#include "node/bindings.h"
#include "node/node.h"
#include "node/resolve.h"

/* The size of an artifact that is accepted; larger ones are refused before they are read. */
#define MODEL_BYTES_MAX (256u * 1024 * 1024)

#define KEY_COMPILED     BBW_STR("ai.bytesandbrains.compiled")
#define KEY_PHASE        BBW_STR("ai.bytesandbrains.module_phase")
#define COMPILED_VERSION BBW_STR("v1")

typedef struct installer {
  bbw_node *node;
  const bbw_install_options *options;
  bbw_vec bindings;                  /* bbw_slot_binding; entry i belongs to component i once components exist */
  const bbw_onnx_function **targets; /* in the arena */
  bbw_error *err;
} installer;

static bbw_status check_options(const bbw_install_options *options, const bbw_config *config, bbw_error *err) {
  if (options->target_count == 0) { return bbw_error_set(err, BBW_E_INST_EMPTY_TARGETS); }
  bbw_status checked = bbw_config_check(config, err);
  if (checked != BBW_OK) { return checked; }
  for (size_t i = 0; i < options->address_count; i++) {
    bbw_status rv = bbw_address_check(options->addresses[i], err);
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

static bbw_status decode_model(installer *in) {
  bbw_node *node = in->node;
  if (in->options->model.len > MODEL_BYTES_MAX) {
    bbw_error_set(in->err, BBW_E_INST_MODEL_DECODE);
    bbw_error_add_u64(in->err, "cap", MODEL_BYTES_MAX);
    bbw_error_add_u64(in->err, "got", in->options->model.len);
    return BBW_E_INST_MODEL_DECODE;
  }
  bool ok;
  bbw_bytes bytes = bbw_arena_copy(&node->arena, in->options->model, &ok);
  if (!ok) { return BBW_E_NOMEM; }
  node->model_bytes = bytes;
  bbw_error cause;
  bbw_error_set(&cause, BBW_OK);
  bbw_status rv = bbw_onnx_model_decode(&node->model, bytes, &node->arena, &cause);
  if (rv == BBW_OK || rv == BBW_E_NOMEM) { return rv; }
  bbw_error_set_at(in->err, BBW_E_INST_MODEL_DECODE, cause.offset);
  bbw_error_add_str(in->err, "cause", bbw_status_name(rv));
  bbw_error_add_str(in->err, "detail", bbw_status_text(rv));
  return BBW_E_INST_MODEL_DECODE;
}

static bbw_status check_passport(const installer *in) {
  bbw_str version;
  if (!bbw_onnx_entry_find(&in->node->model.metadata_props, KEY_COMPILED, &version)) {
    return bbw_error_set(in->err, BBW_E_INST_NOT_COMPILED);
  }
  if (bbw_str_equal(version, COMPILED_VERSION)) { return BBW_OK; }
  bbw_error_set(in->err, BBW_E_INST_VERSION);
  bbw_error_add_str(in->err, "got", version);
  bbw_error_add_str(in->err, "expected", COMPILED_VERSION);
  return BBW_E_INST_VERSION;
}

static bool is_target_prefix(bbw_str function, bbw_str target) {
  return function.len > target.len && function.ptr[target.len] == '#' && bbw_str_starts_with(function, target);
}

/* By exact name, else the first function whose name continues the target with a '#'. */
static const bbw_onnx_function *find_target(const bbw_onnx_model *model, bbw_str target) {
  for (size_t pass = 0; pass < 2; pass++) {
    for (size_t i = 0; i < model->functions.count; i++) {
      const bbw_onnx_function *function = BBW_PROTO_AT(&model->functions, bbw_onnx_function, i);
      bool is_match = pass == 0 ? bbw_str_equal(function->name, target) : is_target_prefix(function->name, target);
      if (is_match) { return function; }
    }
  }
  return NULL;
}

static bbw_status unknown_target(const installer *in, bbw_str target) {
  bbw_error_set(in->err, BBW_E_INST_UNKNOWN_TARGET);
  bbw_error_add_str(in->err, "target", target);
  for (size_t i = 0; i < in->node->model.functions.count; i++) {
    bbw_error_add_item(in->err, "available", BBW_PROTO_AT(&in->node->model.functions, bbw_onnx_function, i)->name);
  }
  return BBW_E_INST_UNKNOWN_TARGET;
}

static bbw_status find_targets(installer *in) {
  bbw_node *node = in->node;
  in->targets = bbw_arena_array(&node->arena, in->options->target_count, sizeof(*in->targets));
  node->modules = bbw_arena_array(&node->arena, in->options->target_count, sizeof(*node->modules));
  if (in->targets == NULL || node->modules == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < in->options->target_count; i++) {
    const bbw_onnx_function *function = find_target(&node->model, in->options->targets[i]);
    if (function == NULL) { return unknown_target(in, in->options->targets[i]); }
    bool is_listed = false;
    for (size_t k = 0; k < node->module_count; k++) {
      is_listed = is_listed || bbw_str_equal(in->targets[k]->name, function->name);
    }
    if (is_listed) { continue; } /* the short and the full name of one target */
    bbw_status rv = bbw_bindings_read(&in->bindings, &node->model, function->name, in->err);
    if (rv != BBW_OK) { return rv; }
    in->targets[node->module_count++] = function;
  }
  return bbw_bindings_merge(&in->bindings, in->err);
}

static const bbw_component_type *find_type(const bbw_install_options *options, bbw_str name) {
  for (size_t i = 0; i < options->component_type_count; i++) {
    const bbw_component_type *type = options->component_types[i];
    if (bbw_str_equal((bbw_str){type->type_name, strlen(type->type_name)}, name)) { return type; }
  }
  size_t count;
  const bbw_component_type *const *shipped = bbw_shipped_component_types(&count);
  for (size_t i = 0; i < count; i++) {
    if (bbw_str_equal((bbw_str){shipped[i]->type_name, strlen(shipped[i]->type_name)}, name)) { return shipped[i]; }
  }
  return NULL;
}

/* Keeps a copy of the configuration for components that a restore constructs again. */
static bool keep_config(const installer *in, size_t index, const bbw_component_type *type, bool is_given,
                        bbw_bytes bytes) {
  bbw_component_config *kept = &in->node->component_configs[index];
  bool ok = true;
  if (type->restore == NULL) { return ok; }
  kept->is_given = is_given;
  if (bytes.len != 0) { kept->bytes = bbw_arena_copy(&in->node->arena, bytes, &ok); }
  return ok;
}

static bbw_status construct(installer *in, const bbw_slot_binding *binding) {
  const bbw_component_type *type = find_type(in->options, binding->type_name);
  if (type == NULL) {
    bbw_error_set(in->err, BBW_E_INST_UNREGISTERED);
    bbw_error_add_str(in->err, "type_name", binding->type_name);
    return BBW_E_INST_UNREGISTERED;
  }
  const bbw_slot_config *config = NULL;
  for (size_t i = 0; i < in->options->slot_config_count; i++) {
    if (bbw_str_equal(in->options->slot_configs[i].slot, binding->slot)) { config = &in->options->slot_configs[i]; }
  }
  bbw_bytes bytes = config == NULL ? (bbw_bytes){NULL, 0} : config->config;
  if (!keep_config(in, in->node->engine.components.count, type, config != NULL, bytes)) { return BBW_E_NOMEM; }
  bbw_component *component = bbw_vec_push(&in->node->engine.components);
  if (component == NULL) { return BBW_E_NOMEM; }
  *component = (bbw_component){.type = type, .slot = binding->slot};
  bbw_error cause;
  bbw_error_set(&cause, BBW_OK);
  bbw_status rv = type->construct(&component->self, type, config != NULL, bytes, in->node->mem, &cause);
  if (rv == BBW_OK) { return BBW_OK; }
  in->node->engine.components.count--; /* nothing to destroy */
  if (rv == BBW_E_NOMEM) { return rv; }
  bool is_install_error = rv == BBW_E_INST_MISSING_CONFIG || rv == BBW_E_INST_CONFIG_TYPE;
  bbw_status answer = is_install_error ? rv : BBW_E_INST_CONSTRUCTION;
  bbw_str detail = bbw_error_field(&cause, "detail");
  bbw_error_set(in->err, answer);
  bbw_error_add_str(in->err, "slot", binding->slot);
  bbw_error_add_str(in->err, "type_name", binding->type_name);
  bbw_error_add_str(in->err, "detail", detail.len == 0 ? bbw_status_text(rv) : detail);
  for (size_t i = 0; bbw_error_item(&cause, "nodes", i).ptr != NULL; i++) {
    bbw_error_add_item(in->err, "nodes", bbw_error_item(&cause, "nodes", i));
  }
  return answer;
}

static bbw_status add_graph(installer *in, bbw_str name, const bbw_onnx_function *function, bbw_graph_kind kind,
                            uint64_t *site_base) {
  bbw_engine *engine = &in->node->engine;
  bbw_graph *graph;
  bbw_status rv = bbw_graph_new(&graph, name, function, kind, (uint32_t)engine->graphs.count, *site_base, engine->mem);
  if (rv != BBW_OK) { return rv; }
  if (!bbw_vec_append(&engine->graphs, &graph, 1)) {
    bbw_graph_del(graph, engine->mem);
    return BBW_E_NOMEM;
  }
  *site_base += graph->numbered_count;
  return bbw_engine_fit_scratch(engine, graph);
}

/* domain::name, and #overload if there is one. */
static bool library_name(bbw_arena *arena, const bbw_onnx_function *function, bbw_str *out) {
  size_t len = function->domain.len + 2 + function->name.len +
               (function->overload.len == 0 ? 0 : 1 + function->overload.len);
  char *name = bbw_arena_array(arena, len, 1);
  if (name == NULL) { return false; }
  *out = (bbw_str){name, len};
  bbw_str parts[5] = {function->domain, BBW_STR("::"), function->name, BBW_STR("#"), function->overload};
  for (size_t i = 0; i < (function->overload.len == 0 ? 3u : 5u); i++) {
    if (parts[i].len != 0) { memcpy(name, parts[i].ptr, parts[i].len); }
    name += parts[i].len;
  }
  return true;
}

static bool is_target(const installer *in, const bbw_onnx_function *function) {
  for (size_t i = 0; i < in->node->module_count; i++) {
    if (bbw_str_equal(in->targets[i]->name, function->name)) { return true; }
  }
  return false;
}

static bbw_status add_library(installer *in, uint64_t *site_base) {
  bbw_node *node = in->node;
  bbw_map names; /* graph names that exist; a function whose name exists already is skipped */
  bbw_map_init(&names, 0x11b5, node->mem);
  bbw_status rv = BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < node->model.functions.count; i++) {
    const bbw_onnx_function *function = BBW_PROTO_AT(&node->model.functions, bbw_onnx_function, i);
    if (is_target(in, function)) { continue; }
    bbw_str name;
    uint64_t seen;
    if (!library_name(&node->arena, function, &name)) { rv = BBW_E_NOMEM; }
    if (rv != BBW_OK || bbw_map_get_bytes(&names, bbw_str_bytes(name), &seen)) { continue; }
    if (!bbw_map_put_bytes(&names, bbw_str_bytes(name), 1)) { rv = BBW_E_NOMEM; }
    bbw_str phase;
    bool is_bootstrap = bbw_onnx_entry_find(&function->metadata_props, KEY_PHASE, &phase) &&
                        bbw_str_equal(phase, BBW_STR("bootstrap"));
    if (rv == BBW_OK) {
      rv = add_graph(in, name, function, is_bootstrap ? BBW_GRAPH_BOOTSTRAP : BBW_GRAPH_LIBRARY, site_base);
    }
  }
  bbw_map_free(&names);
  return rv;
}

/* A component that has to be set up gets a graph of one op, so that its bootstrap waits, fails, locks and survives a restore like that of a module. */
static bbw_status add_component_bootstraps(installer *in, uint64_t *site_base) {
  bbw_engine *engine = &in->node->engine;
  for (size_t i = 0; i < engine->components.count; i++) {
    const bbw_component *component = bbw_engine_component(engine, i);
    if (component->type->bootstrap == NULL) { continue; }
    bbw_onnx_function *function = bbw_arena_array(&in->node->arena, 1, sizeof(*function));
    bbw_onnx_node *node = bbw_arena_array(&in->node->arena, 1, sizeof(*node));
    if (function == NULL || node == NULL) { return BBW_E_NOMEM; }
    node->op_type = BBW_STR("Bootstrap");
    function->name = component->slot;
    function->node = (bbw_proto_list){node, 1};
    bbw_status rv = add_graph(in, component->slot, function, BBW_GRAPH_BOOTSTRAP, site_base);
    if (rv != BBW_OK) { return rv; }
    bbw_engine_graph(engine, engine->graphs.count - 1)->boot_component = (uint32_t)i;
  }
  return BBW_OK;
}

/* Every Recv of a target can be addressed by its number and by its stable id; nothing else is reachable. */
static bbw_status add_routes(bbw_engine *engine, const bbw_graph *graph) {
  for (uint32_t s = 0; s < graph->numbered_count; s++) {
    if (!graph->sites[s].is_recv_payload) { continue; }
    uint64_t route = (uint64_t)graph->index << 32 | s;
    uint64_t ids[2] = {graph->site_base + s, bbw_route_id(graph->function->name, graph->sites[s].name)};
    for (size_t i = 0; i < 2; i++) {
      uint64_t taken;
      if (bbw_map_get(&engine->routes, ids[i], &taken)) { continue; }
      if (!bbw_map_put(&engine->routes, ids[i], route)) { return BBW_E_NOMEM; }
    }
  }
  return BBW_OK;
}

static bbw_status add_subscriptions(bbw_engine *engine, bbw_graph *graph) {
  for (uint32_t i = 0; i < graph->op_count; i++) {
    const bbw_op *op = &graph->ops[i];
    if (op->row == NULL || !bbw_str_equal(op->node->op_type, BBW_STR("EventSource"))) { continue; }
    const bbw_onnx_attribute *kind = bbw_onnx_attribute_find(op->node, BBW_STR("kind"));
    if (kind == NULL || kind->s.len == 0) { continue; }
    bbw_status rv = bbw_bus_subscribe(&engine->bus, bbw_bytes_str(kind->s), graph, i);
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

static bbw_status add_graphs(installer *in) {
  bbw_node *node = in->node;
  uint64_t site_base = 0;
  bbw_status rv = BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < node->module_count; i++) {
    rv = add_graph(in, in->targets[i]->name, in->targets[i], BBW_GRAPH_ENTRY, &site_base);
    if (rv == BBW_OK) { node->modules[i] = bbw_engine_graph(&node->engine, i); }
  }
  if (rv == BBW_OK) { rv = add_library(in, &site_base); }
  if (rv == BBW_OK) { rv = add_component_bootstraps(in, &site_base); }
  if (rv != BBW_OK) { return rv; }
  rv = bbw_resolve_graphs(&node->engine, &in->bindings, in->err);
  if (rv == BBW_OK) { rv = bbw_bootstrap_register(&node->engine); }
  for (size_t i = 0; rv == BBW_OK && i < node->module_count; i++) {
    rv = add_routes(&node->engine, node->modules[i]);
    if (rv == BBW_OK) { rv = add_subscriptions(&node->engine, node->modules[i]); }
  }
  if (rv != BBW_OK) { return rv; }
  rv = bbw_resolve_count_missing(&node->engine, &in->bindings, &node->unresolved_ops, NULL);
  if (rv != BBW_OK || node->unresolved_ops == 0 || in->options->is_unresolved_allowed) { return rv; }
  bbw_error_set(in->err, BBW_E_INST_UNRESOLVED);
  bbw_error_add_u64(in->err, "count", node->unresolved_ops);
  rv = bbw_resolve_count_missing(&node->engine, &in->bindings, &node->unresolved_ops, in->err);
  return rv == BBW_OK ? BBW_E_INST_UNRESOLVED : rv;
}

static bbw_status add_addresses(installer *in) {
  bbw_bytes *kept = bbw_arena_array(&in->node->arena, in->options->address_count, sizeof(*kept));
  if (kept == NULL) { return BBW_E_NOMEM; }
  size_t count = 0;
  for (size_t i = 0; i < in->options->address_count; i++) {
    if (in->options->addresses[i].len != 0) { kept[count++] = in->options->addresses[i]; }
  }
  if (count == 0) { return BBW_OK; }
  bbw_status rv = bbw_address_book_add_peer(&in->node->engine.address_book, &in->options->peer_id, kept, count);
  return rv == BBW_E_AB_ALLOCATION_FAILED ? BBW_E_NOMEM : rv;
}

static bbw_status install(installer *in, const bbw_config *config) {
  bbw_status rv = decode_model(in);
  if (rv == BBW_OK) { rv = check_passport(in); }
  if (rv == BBW_OK) { rv = find_targets(in); }
  if (rv == BBW_OK) { rv = bbw_engine_init(&in->node->engine, &in->options->peer_id, config, in->node->mem); }
  if (rv == BBW_OK) { rv = add_addresses(in); }
  if (rv == BBW_OK) {
    in->node->component_configs = bbw_arena_array(&in->node->arena, in->bindings.count, sizeof(bbw_component_config));
    if (in->node->component_configs == NULL) { rv = BBW_E_NOMEM; }
  }
  for (size_t i = 0; rv == BBW_OK && i < in->bindings.count; i++) {
    rv = construct(in, BBW_VEC_AT(&in->bindings, bbw_slot_binding, i));
  }
  if (rv == BBW_OK) { rv = add_graphs(in); }
  return rv;
}

bbw_status bbw_node_install(bbw_node **out, const bbw_install_options *options, const bbw_mem *mem, bbw_error *err) {
  bbw_config config;
  bbw_config_init(&config);
  if (options->config != NULL) { config = *options->config; }
  config.step_mask |= BBW_STEP_MASK_ALWAYS;
  bbw_error_set(err, BBW_OK);
  bbw_status rv = check_options(options, &config, err);
  if (rv != BBW_OK) { return rv; }
  bbw_node *node = bbw_mem_array(mem, 1, sizeof(*node));
  if (node == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_mem_cache_init(&node->cache, mem);
  node->mem = options->is_mem_pooled ? mem : &node->cache.mem;
  bbw_arena_init(&node->arena, node->mem);
  installer in = {.node = node, .options = options, .err = err};
  bbw_vec_init(&in.bindings, sizeof(bbw_slot_binding), node->mem);
  rv = install(&in, &config);
  bbw_vec_free(&in.bindings);
  if (rv != BBW_OK) {
    bbw_node_del(node);
    return rv == BBW_E_NOMEM ? bbw_error_set(err, BBW_E_NOMEM) : rv;
  }
  *out = node;
  return BBW_OK;
}
