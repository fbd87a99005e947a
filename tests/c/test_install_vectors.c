/* Golden artifacts: what a reference node made of them at install, and what it refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "node/node.h"
#include "stub_components.h"
#include "vectors.h"

#define TARGETS_MAX 8

static bool text_is(bbw_str got, const json *want) { return bbw_str_equal(got, json_text(want)); }

/* "graph.node" */
static uint64_t op_ref_of(const json *text) {
  bbw_str s = json_text(text);
  size_t dot = 0;
  while (dot < s.len && s.ptr[dot] != '.') { dot++; }
  uint64_t graph, node;
  if (dot == s.len || !bbw_parse_u64((bbw_str){s.ptr, dot}, &graph) ||
      !bbw_parse_u64((bbw_str){s.ptr + dot + 1, s.len - dot - 1}, &node)) {
    abort();
  }
  return graph << 32 | node;
}

static bool sites_match(vectors_case *c, const bbw_graph *graph, const json *want) {
  VECTOR(graph->numbered_count == json_count(want));
  for (size_t i = 0; i < json_count(want); i++) {
    const json *pair = json_at(want, i);
    uint64_t number = json_u64(json_at(pair, 0));
    VECTOR(number >= graph->site_base && number - graph->site_base < graph->numbered_count);
    VECTOR(text_is(graph->sites[number - graph->site_base].name, json_at(pair, 1)));
  }
  return true;
}

/* Every op that the reference lists reads the site, once here however often there; and no other op does. */
static bool consumers_match(vectors_case *c, const bbw_graph *graph, const json *want) {
  for (uint32_t s = 0; s < graph->numbered_count; s++) {
    const json *row = NULL;
    for (size_t i = 0; i < json_count(want); i++) {
      if (json_u64(json_at(json_at(want, i), 0)) == graph->site_base + s) { row = json_at(json_at(want, i), 1); }
    }
    const bbw_site *site = &graph->sites[s];
    size_t unique = 0;
    for (size_t k = 0; k < json_count(row); k++) {
      uint64_t op = op_ref_of(json_at(row, k));
      bool is_repeat = false;
      for (size_t j = 0; j < k; j++) { is_repeat = is_repeat || op_ref_of(json_at(row, j)) == op; }
      unique += !is_repeat;
      bool is_found = false;
      for (uint32_t j = 0; j < site->consumer_count; j++) {
        is_found = is_found || bbw_graph_op_ref(graph, graph->consumers[site->consumer_first + j]) == op;
      }
      VECTOR(is_found);
    }
    VECTOR(unique == site->consumer_count);
  }
  return true;
}

static bool outputs_match(vectors_case *c, const bbw_graph *graph, const json *want) {
  for (size_t i = 0; i < json_count(want); i++) {
    uint64_t number = json_u64(json_at(json_at(want, i), 0)) - graph->site_base;
    VECTOR(number < graph->numbered_count && graph->sites[number].output_index != BBW_NO_INDEX);
  }
  return true;
}

static bool senders_match(vectors_case *c, const bbw_graph *graph, const json *want) {
  for (size_t i = 0; i < json_count(want); i++) {
    uint64_t payload = json_u64(json_at(json_at(want, i), 0)) - graph->site_base;
    uint64_t sender = json_u64(json_at(json_at(want, i), 1)) - graph->site_base;
    VECTOR(payload < graph->numbered_count && graph->sites[payload].sender_site == sender);
  }
  return true;
}

/* What the reference resolves is resolved alike; what it leaves unresolved may be resolved here. */
static bool dispatch_matches(vectors_case *c, const bbw_graph *graph, const json *want) {
  VECTOR(graph->op_count == json_count(want));
  for (uint32_t i = 0; i < graph->op_count; i++) {
    const json *row = json_at(want, i);
    const bbw_op *op = &graph->ops[i];
    if (json_is(row, "stateless")) {
      VECTOR(op->kind == BBW_DISPATCH_STATELESS);
    } else if (json_get(row, "component") != NULL) {
      VECTOR(op->kind == BBW_DISPATCH_COMPONENT && op->component == json_u64(json_get(row, "component")));
    } else if (json_get(row, "call") != NULL) {
      VECTOR(op->kind == BBW_DISPATCH_CALL);
    } else {
      VECTOR(json_is(row, "unresolved"));
    }
  }
  return true;
}

static bool graphs_match(vectors_case *c, const bbw_engine *engine, const json *want) {
  VECTOR(engine->graphs.count == json_count(want));
  for (size_t g = 0; g < engine->graphs.count; g++) {
    const bbw_graph *graph = bbw_engine_graph(engine, g);
    const json *row = json_at(want, g);
    VECTOR(text_is(graph->name, json_get(row, "name")));
    VECTOR(graph->is_entry_point == json_is_true(json_get(row, "entry_point")));
    if (!sites_match(c, graph, json_get(row, "sites"))) { return false; }
    if (!consumers_match(c, graph, json_get(row, "consumers"))) { return false; }
    if (!outputs_match(c, graph, json_get(row, "top_level_outputs"))) { return false; }
    if (!senders_match(c, graph, json_get(row, "recv_sender_sites"))) { return false; }
    if (!dispatch_matches(c, graph, json_get(row, "dispatch"))) { return false; }
  }
  return true;
}

static bool node_matches(vectors_case *c, const bbw_node *node, const json *want) {
  const json *modules = json_get(want, "modules");
  VECTOR(bbw_node_module_count(node) == json_count(modules));
  for (size_t i = 0; i < json_count(modules); i++) {
    bool is_found = false; /* the reference lists them in no order */
    for (size_t k = 0; k < json_count(modules); k++) {
      is_found = is_found || text_is(bbw_node_module_name(node, k), json_at(modules, i));
    }
    VECTOR(is_found);
  }
  const json *components = json_get(want, "components");
  const json *slots = json_get(want, "slots");
  VECTOR(bbw_node_component_count(node) == json_count(components));
  for (size_t i = 0; i < json_count(components); i++) {
    bbw_str slot, type_name;
    uint32_t role_bits;
    VECTOR(bbw_node_component(node, i, &slot, &type_name, &role_bits, NULL));
    VECTOR(text_is(type_name, json_get(json_at(components, i), "type_name")));
    bool is_found = false;
    for (size_t k = 0; k < json_count(slots); k++) {
      const json *pair = json_at(slots, k);
      is_found = is_found || (text_is(slot, json_at(pair, 0)) && json_u64(json_at(pair, 1)) == i);
    }
    VECTOR(is_found);
  }
  return graphs_match(c, &node->engine, json_get(want, "graphs"));
}

static const struct {
  const char *variant;
  bbw_status status;
} install_errors[] = {
    {"NotCompiled", BBW_E_INST_NOT_COMPILED},          {"IncompatibleCompiledVersion", BBW_E_INST_VERSION},
    {"UnknownTarget", BBW_E_INST_UNKNOWN_TARGET},      {"InvalidBindingTable", BBW_E_INST_BINDING_TABLE},
    {"UnregisteredConcrete", BBW_E_INST_UNREGISTERED}, {"ConfigTypeMismatch", BBW_E_INST_CONFIG_TYPE},
    {"ConstructionFailed", BBW_E_INST_CONSTRUCTION},   {"SlotBindingConflict", BBW_E_INST_SLOT_CONFLICT},
    {"EmptyTargets", BBW_E_INST_EMPTY_TARGETS},        {"(model decode error)", BBW_E_INST_MODEL_DECODE},
};

static bool error_matches(vectors_case *c, bbw_status status, const json *want) {
  for (size_t i = 0; i < sizeof(install_errors) / sizeof(install_errors[0]); i++) {
    if (!json_is(json_get(want, "variant"), install_errors[i].variant)) { continue; }
    VECTOR(status == install_errors[i].status);
    VECTOR(c->err.status == status);
    static const char *const fields[] = {"got", "expected", "target", "key", "type_name", "slot"};
    for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++) {
      const json *field = json_get(want, fields[k]);
      if (field != NULL) { VECTOR(text_is(bbw_error_field(&c->err, fields[k]), field)); }
    }
    const json *available = json_get(want, "available");
    for (size_t k = 0; k < json_count(available); k++) {
      VECTOR(text_is(bbw_error_item(&c->err, "available", k), json_at(available, k)));
    }
    const json *conflicts = json_get(want, "conflicts");
    for (size_t k = 0; k < json_count(conflicts); k++) { VECTOR(bbw_error_item(&c->err, "conflicts", k).ptr != NULL); }
    return true;
  }
  c->why = "an error variant that this test does not know";
  return false;
}

static bool install_matches(vectors_case *c, bbw_bytes model, const json *install) {
  const json *targets = json_get(install, "targets");
  bbw_str names[TARGETS_MAX];
  VECTOR(json_count(targets) <= TARGETS_MAX);
  for (size_t i = 0; i < json_count(targets); i++) { names[i] = json_text(json_at(targets, i)); }
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64(1),
      .model = model,
      .targets = names,
      .target_count = json_count(targets),
      .is_unresolved_allowed = true, /* the reference reports unresolved ops only when they fire */
  };
  options.component_types = stub_component_types(&options.component_type_count);
  bbw_node *node = NULL;
  bbw_status status = bbw_node_install(&node, &options, &c->mem.mem, &c->err);
  if (!json_is_true(json_get(install, "ok"))) {
    bbw_node_del(node);
    return error_matches(c, status, json_get(install, "error"));
  }
  VECTOR(status == BBW_OK);
  /* One artifact lists a target twice; the reference then numbers the sites of the second copy, which is the defect it is here to show. */
  bool is_known_defect = json_is(vector_get(c, "name"), "target_twice");
  bool is_match = is_known_defect ? bbw_node_module_count(node) == 1
                                  : node_matches(c, node, json_get(install, "installed"));
  bbw_node_del(node);
  return is_match;
}

static bool check(vectors_case *c) {
  if (vector_is(c, "broken")) { return install_matches(c, vector_file(c, vector_get(c, "file")), c->json); }
  const json *installs = vector_get(c, "installs");
  if (!vector_is(c, "artifact") || installs == NULL) { return vector_skip(c, "nothing was installed"); }
  bbw_bytes model = vector_file(c, vector_get(c, "compiled_file"));
  for (size_t i = 0; i < json_count(installs); i++) {
    if (!install_matches(c, model, json_at(installs, i))) { return false; }
  }
  return true;
}

static void artifacts_install_or_are_refused_as_recorded(void **state) {
  (void)state;
  assert_int_equal(vectors_run("artifacts", check), 0);
}

/* Every prefix of an artifact, and every allocation that fails, is answered; nothing is left behind (the test memory counts). */
static bool check_damage(vectors_case *c) {
  if (!json_is(vector_get(c, "name"), "two_part")) { return true; } /* one artifact is enough here */
  bbw_bytes model = vector_file(c, vector_get(c, "compiled_file"));
  bbw_str target = BBW_STR("TwoPart");
  bbw_install_options options = {.peer_id = bbw_peer_id_from_u64(1), .targets = &target, .target_count = 1};
  for (size_t len = 0; len <= model.len; len++) {
    bbw_node *node = NULL;
    options.model = (bbw_bytes){model.ptr, len};
    bbw_status status = bbw_node_install(&node, &options, &c->mem.mem, &c->err);
    VECTOR((status == BBW_OK) == (node != NULL));
    bbw_node_del(node);
    VECTOR(c->mem.live_bytes == 0);
  }
  bbw_status status = BBW_E_NOMEM;
  for (size_t nth = 0; status != BBW_OK; nth++) {
    bbw_node *node = NULL;
    status = bbw_node_install(&node, &options, test_mem_fail_at(&c->mem, nth), &c->err);
    VECTOR(status == BBW_OK || (status == BBW_E_NOMEM && node == NULL && c->mem.live_bytes == 0));
    bbw_node_del(node);
  }
  return true;
}

static void damaged_artifacts_and_failing_memory_leave_nothing_behind(void **state) {
  (void)state;
  assert_int_equal(vectors_run("artifacts", check_damage), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(artifacts_install_or_are_refused_as_recorded),
      cmocka_unit_test(damaged_artifacts_and_failing_memory_leave_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
