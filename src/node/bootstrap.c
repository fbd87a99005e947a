/* bootstrap: requests of the host, checked as a whole before any of them is queued (Node specification §6). */
#include "base/bytes.h"
#include "base/mem.h"
#include "node/node.h"

static bbw_boot_target *target_at(const bbw_node *node, size_t i) {
  return BBW_VEC_AT(&node->engine.bootstrap.targets, bbw_boot_target, i);
}

/* A request of the host, for a module or for the component in a slot. */
typedef struct boot_request {
  bbw_boot_request base;
  bool is_slot;
} boot_request;

static bbw_status fail(bbw_error *err, bbw_status status, bbw_str target) {
  bbw_error_set(err, status);
  bbw_error_add_str(err, "target_name", target);
  return status;
}

static bbw_status unknown_target(const bbw_node *node, bbw_str name, bool is_slot, bbw_error *err) {
  bbw_status rv = bbw_error_set(err, is_slot ? BBW_E_BOOT_UNKNOWN_SLOT : BBW_E_BOOT_UNKNOWN_TARGET);
  bbw_error_add_str(err, is_slot ? "slot" : "target_name", name);
  for (size_t i = 0; i < node->engine.bootstrap.targets.count; i++) {
    const bbw_boot_target *target = target_at(node, i);
    if (target->is_component == is_slot) { bbw_error_add_item(err, "available", target->name); }
  }
  return rv;
}

static bool has_input(const bbw_boot_request *request, bbw_str name) {
  for (size_t i = 0; i < request->input_count; i++) {
    if (bbw_str_equal(request->inputs[i].name, name)) { return true; }
  }
  return false;
}

/* Position of a declared input, or BBW_NO_INDEX. */
static uint32_t formal_find(const bbw_graph *graph, bbw_str name) {
  const bbw_proto_list *formals = &graph->function->input;
  for (uint32_t i = 0; i < formals->count; i++) {
    if (bbw_str_equal(*BBW_PROTO_AT(formals, bbw_str, i), name)) { return i; }
  }
  return BBW_NO_INDEX;
}

static bbw_status check_inputs(const bbw_graph *graph, const bbw_boot_request *request, bbw_error *err) {
  const bbw_proto_list *formals = &graph->function->input;
  for (size_t i = 0; i < request->input_count; i++) {
    if (formal_find(graph, request->inputs[i].name) != BBW_NO_INDEX) { continue; }
    fail(err, BBW_E_BOOT_UNKNOWN_INPUT, request->target);
    bbw_error_add_str(err, "input_name", request->inputs[i].name);
    for (size_t k = 0; k < formals->count; k++) {
      bbw_error_add_item(err, "declared", *BBW_PROTO_AT(formals, bbw_str, k));
    }
    return BBW_E_BOOT_UNKNOWN_INPUT;
  }
  for (size_t k = 0; k < formals->count; k++) {
    bbw_str name = *BBW_PROTO_AT(formals, bbw_str, k);
    if (has_input(request, name)) { continue; }
    fail(err, BBW_E_BOOT_MISSING_INPUT, request->target);
    bbw_error_add_str(err, "input_name", name);
    return BBW_E_BOOT_MISSING_INPUT;
  }
  return BBW_OK;
}

static bbw_status allocation_failed(const bbw_node *node, bbw_str target, size_t bytes, bbw_error *err) {
  fail(err, BBW_E_BOOT_ALLOCATION_FAILED, target);
  bbw_error_add_u64(err, "byte_count", bytes);
  bbw_error_add_u64(err, "budget_remaining", bbw_engine_budget_left(&node->engine));
  return BBW_E_BOOT_ALLOCATION_FAILED;
}

/* Copies and charges the inputs of one request. */
static bbw_status stage(bbw_node *node, const bbw_boot_request *request, bbw_boot_run *run, bbw_error *err) {
  const bbw_graph *graph = target_at(node, run->target)->graph;
  run->seeds = bbw_mem_array(node->mem, request->input_count, sizeof(*run->seeds));
  if (run->seeds == NULL && request->input_count != 0) { return allocation_failed(node, request->target, 0, err); }
  run->seed_count = request->input_count;
  for (size_t i = 0; i < request->input_count; i++) {
    bbw_bytes bytes = request->inputs[i].bytes;
    run->seeds[i].site = graph->formal_sites[formal_find(graph, request->inputs[i].name)];
    if (!bbw_engine_charge(&node->engine, bytes.len)) {
      return allocation_failed(node, request->target, bytes.len, err);
    }
    run->seeds[i].charge = bytes.len;
    bbw_status rv = bbw_value_new_bytes(&run->seeds[i].value, BBW_TYPE_BYTES, bytes, node->mem);
    if (rv != BBW_OK) { return allocation_failed(node, request->target, bytes.len, err); }
  }
  return BBW_OK;
}

static bbw_status make_run(bbw_node *node, const boot_request *wanted, bbw_boot_run **out, bbw_error *err) {
  const bbw_bootstrap *bootstrap = &node->engine.bootstrap;
  const bbw_boot_request *request = &wanted->base;
  uint32_t target = bbw_bootstrap_find(bootstrap, request->target, wanted->is_slot);
  if (target == BBW_NO_INDEX) { return unknown_target(node, request->target, wanted->is_slot, err); }
  if (bbw_bootstrap_is_open(bootstrap, target)) { return fail(err, BBW_E_BOOT_ALREADY_QUEUED, request->target); }
  bbw_status rv = check_inputs(target_at(node, target)->graph, request, err);
  if (rv != BBW_OK) { return rv; }
  bbw_boot_run *run = bbw_bootstrap_run_new(node->mem, target);
  if (run == NULL) { return allocation_failed(node, request->target, 0, err); }
  rv = stage(node, request, run, err);
  if (rv != BBW_OK) {
    bbw_bootstrap_run_del(&node->engine, run);
    return rv;
  }
  *out = run;
  return BBW_OK;
}

/* The targets that are left to do, as requests without inputs: components first, for modules use them. */
static size_t list_open_targets(const bbw_node *node, boot_request *out) {
  size_t count = 0, targets = node->engine.bootstrap.targets.count;
  for (size_t k = 0; k < 2 * targets; k++) {
    size_t i = k % targets;
    const bbw_boot_target *target = target_at(node, i);
    bool is_open = bbw_bootstrap_is_open(&node->engine.bootstrap, (uint32_t)i);
    if (target->is_component != (k < targets) || target->is_done || is_open) { continue; }
    if (target->graph->function->input.count != 0) { continue; }
    out[count++] = (boot_request){{.target = target->name}, target->is_component};
  }
  return count;
}

static bbw_status queue_requests(bbw_node *node, const boot_request *requests, size_t count, bool is_chained,
                                 bbw_error *err) {
  bbw_engine *engine = &node->engine;
  bbw_boot_run **runs = bbw_mem_array(node->mem, count + 1, sizeof(*runs));
  bool ok = runs != NULL && bbw_bootstrap_reserve(&engine->bootstrap, count) &&
            bbw_frontier_reserve(&engine->locked, engine->frontier_reserved);
  bbw_status rv = ok ? BBW_OK : bbw_error_set(err, BBW_E_NOMEM);
  size_t made = 0;
  for (; rv == BBW_OK && made < count; made++) {
    for (size_t k = 0; rv == BBW_OK && k < made; k++) {
      bool is_same_kind = requests[k].is_slot == requests[made].is_slot;
      if (is_same_kind && bbw_str_equal(requests[k].base.target, requests[made].base.target)) {
        rv = fail(err, BBW_E_BOOT_ALREADY_QUEUED, requests[made].base.target);
      }
    }
    if (rv == BBW_OK) { rv = make_run(node, &requests[made], &runs[made], err); }
    if (rv != BBW_OK) { break; }
    runs[made]->is_chained = is_chained;
  }
  for (size_t i = 0; i < made; i++) {
    if (rv == BBW_OK) {
      bbw_bootstrap_add(&engine->bootstrap, runs[i]);
    } else {
      bbw_bootstrap_run_del(engine, runs[i]);
    }
  }
  bbw_mem_array_free(node->mem, runs, count + 1, sizeof(*runs));
  if (rv == BBW_OK && count != 0) { bbw_node_notify(node); }
  return rv;
}

bbw_status bbw_node_run_bootstrap(bbw_node *node, const bbw_boot_request *requests, size_t count, bbw_error *err) {
  if (node->engine.is_running) { return bbw_error_set(err, BBW_E_BUSY); }
  bbw_error_set(err, BBW_OK);
  bool is_all = count == 0;
  size_t room = (is_all ? node->engine.bootstrap.targets.count : count) + 1;
  boot_request *list = bbw_mem_array(node->mem, room, sizeof(*list));
  if (list == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  for (size_t i = 0; i < count; i++) { list[i] = (boot_request){requests[i], false}; }
  if (is_all) { count = list_open_targets(node, list); }
  bbw_status rv = queue_requests(node, list, count, is_all, err);
  bbw_mem_array_free(node->mem, list, room, sizeof(*list));
  return rv;
}

bbw_status bbw_node_run_bootstrap_slots(bbw_node *node, const bbw_str *slots, size_t count, bbw_error *err) {
  if (node->engine.is_running) { return bbw_error_set(err, BBW_E_BUSY); }
  bbw_error_set(err, BBW_OK);
  boot_request *list = bbw_mem_array(node->mem, count + 1, sizeof(*list));
  if (list == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  for (size_t i = 0; i < count; i++) { list[i] = (boot_request){{.target = slots[i]}, true}; }
  bbw_status rv = queue_requests(node, list, count, false, err);
  bbw_mem_array_free(node->mem, list, count + 1, sizeof(*list));
  return rv;
}

bbw_boot_status bbw_node_bootstrap_status(const bbw_node *node) {
  if (bbw_bootstrap_is_running(&node->engine.bootstrap)) { return BBW_BOOT_IS_RUNNING; }
  return bbw_bootstrap_is_pending(&node->engine.bootstrap) ? BBW_BOOT_WAITING_FOR_INPUT : BBW_BOOT_IDLE;
}

size_t bbw_node_bootstrap_count(const bbw_node *node) { return node->engine.bootstrap.targets.count; }

bbw_str bbw_node_bootstrap_name(const bbw_node *node, size_t index, bool *is_done) {
  if (index >= bbw_node_bootstrap_count(node)) { return (bbw_str){NULL, 0}; }
  *is_done = target_at(node, index)->is_done;
  return target_at(node, index)->name;
}

bool bbw_node_bootstrap_is_slot(const bbw_node *node, size_t index) {
  return index < bbw_node_bootstrap_count(node) && target_at(node, index)->is_component;
}
