/* Large models: installing and compiling take time in proportion to the size, so these tests end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bbw/compiler.h"
#include "bbw/node.h"
#include "bbw/step.h"
#include "format/onnx.h"
#include "stub_components.h"

#define BB "ai.bytesandbrains."

typedef struct model {
  bbw_arena arena;
  bbw_onnx_function *functions;
  size_t count;
  bbw_onnx_entry *metadata;
  size_t metadata_count;
} model;

static void *array(model *m, size_t count, size_t size) {
  void *out = bbw_arena_array(&m->arena, count, size);
  assert_non_null(out);
  return out;
}

static bbw_str text(model *m, const char *prefix, size_t number) {
  char *out = array(m, 64, 1);
  int len = snprintf(out, 64, "%s%zu", prefix, number);
  return (bbw_str){out, (size_t)len};
}

static bbw_proto_list one(model *m, bbw_str name) {
  bbw_str *names = array(m, 1, sizeof(*names));
  *names = name;
  return (bbw_proto_list){names, 1};
}

static void model_init(model *m, size_t functions, size_t metadata) {
  bbw_arena_init(&m->arena, &bbw_mem_libc);
  m->functions = array(m, functions, sizeof(*m->functions));
  m->metadata = array(m, metadata + 1, sizeof(*m->metadata));
  m->count = functions;
  m->metadata[0] = (bbw_onnx_entry){BBW_STR(BB "compiled"), BBW_STR("v1")};
  m->metadata_count = 1;
}

static bbw_onnx_node *function_init(model *m, size_t index, bbw_str name, size_t nodes) {
  bbw_onnx_node *items = array(m, nodes, sizeof(*items));
  m->functions[index] = (bbw_onnx_function){.name = name, .input = one(m, BBW_STR("v0")), .node = {items, nodes}};
  return items;
}

static bbw_onnx_node node(model *m, const char *domain, bbw_str op_type, bbw_str input, bbw_str output) {
  return (bbw_onnx_node){
      .domain = {domain, strlen(domain)}, .op_type = op_type, .input = one(m, input), .output = one(m, output)};
}

static bbw_bytes encode(model *m) {
  bbw_onnx_model proto = {.metadata_props = {m->metadata, m->metadata_count}, .functions = {m->functions, m->count}};
  bbw_bytes out;
  assert_int_equal(bbw_proto_encode(&out, &proto, &bbw_onnx_model_type, &m->arena), BBW_OK);
  return out;
}

static bbw_node *install(model *m) {
  bbw_str target = BBW_STR("M");
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64(1), .model = encode(m), .targets = &target, .target_count = 1};
  options.component_types = stub_component_types(&options.component_type_count);
  options.is_unresolved_allowed = true;
  bbw_node *out = NULL;
  assert_int_equal(bbw_node_install(&out, &options, &bbw_mem_libc, NULL), BBW_OK);
  return out;
}

static void calls_of_many_functions_install(void **state) {
  (void)state;
  enum { FUNCTIONS = 20000, NODES = 60000 };
  model m;
  model_init(&m, FUNCTIONS + 1, 0);
  bbw_onnx_node *calls = function_init(&m, 0, BBW_STR("M"), NODES);
  for (size_t i = 0; i < NODES; i++) {
    calls[i] = node(&m, BB "module", text(&m, "F", i % FUNCTIONS), BBW_STR("v0"), text(&m, "y", i));
  }
  /* Each function calls the one before it: whoever spreads marks in the order of the table starts over for each. */
  for (size_t i = 0; i < FUNCTIONS; i++) {
    bbw_onnx_node *body = function_init(&m, i + 1, text(&m, "F", i), 1);
    body[0] = node(&m, BB "module", text(&m, "F", i == 0 ? FUNCTIONS : i - 1), BBW_STR("v0"), BBW_STR("r"));
  }
  bbw_node_del(install(&m));
  bbw_arena_free(&m.arena);
}

static void a_chain_of_callers_against_the_order_of_the_table_installs(void **state) {
  (void)state;
  enum { FUNCTIONS = 20000 };
  model m;
  model_init(&m, FUNCTIONS + 1, 0);
  bbw_onnx_node *calls = function_init(&m, 0, BBW_STR("M"), 1);
  calls[0] = node(&m, BB "module", text(&m, "F", FUNCTIONS - 1), BBW_STR("v0"), BBW_STR("y"));
  for (size_t i = 0; i < FUNCTIONS; i++) {
    bbw_onnx_node *body = function_init(&m, i + 1, text(&m, "F", i), 1);
    body[0] = node(&m, BB "module", text(&m, "F", i == 0 ? FUNCTIONS : i - 1), BBW_STR("v0"), BBW_STR("r"));
  }
  bbw_node *installed = install(&m);
  bbw_stats stats;
  bbw_node_stats(installed, &stats);
  assert_int_equal(stats.unresolved_ops, 1); /* at the end of the chain */
  bbw_node_del(installed);
  bbw_arena_free(&m.arena);
}

static void a_function_with_many_results_is_called(void **state) {
  (void)state;
  enum { RESULTS = 60000 };
  model m;
  model_init(&m, 2, 0);
  bbw_str *names = array(&m, RESULTS, sizeof(*names));
  for (size_t i = 0; i < RESULTS; i++) { names[i] = text(&m, "r", i); }
  bbw_onnx_node *call = function_init(&m, 0, BBW_STR("M"), 1);
  call[0] = node(&m, BB "module", BBW_STR("F"), BBW_STR("v0"), BBW_STR("y"));
  call[0].output = (bbw_proto_list){names, RESULTS};
  bbw_onnx_node *body = function_init(&m, 1, BBW_STR("F"), 1);
  body[0] = node(&m, BB "syscall", BBW_STR("Tee"), BBW_STR("v0"), BBW_STR("r"));
  body[0].output = (bbw_proto_list){names, RESULTS};
  bbw_onnx_attribute fanout = {.name = BBW_STR("fanout"), .type = BBW_ONNX_ATTR_INT, .i = RESULTS};
  body[0].attribute = (bbw_proto_list){&fanout, 1};
  m.functions[0].output = (bbw_proto_list){&names[RESULTS - 1], 1};
  m.functions[1].output = (bbw_proto_list){names, RESULTS};
  bbw_node *installed = install(&m);
  bbw_bytes steps;
  bool is_pending;
  assert_int_equal(bbw_node_deliver_event(installed, BBW_STR("M"), BBW_STR("v0"), (bbw_bytes){NULL, 0}, NULL), BBW_OK);
  assert_int_equal(bbw_node_poll(installed, &steps, &is_pending, NULL), BBW_OK);
  assert_true(is_pending);
  size_t events = 0;
  size_t at = 0;
  for (bbw_step step; bbw_steps_next(steps, &at, &step);) { events += step.kind == BBW_STEP_APP_EVENT; }
  assert_int_equal(events, 2); /* the echo and the last result */
  bbw_node_del(installed);
  bbw_arena_free(&m.arena);
}

static void many_components_and_operators_install(void **state) {
  (void)state;
  enum { SLOTS = 4000, NODES = 60000 };
  model m;
  model_init(&m, 1, SLOTS);
  bbw_onnx_node *nodes = function_init(&m, 0, BBW_STR("M"), NODES);
  for (size_t i = 0; i < NODES; i++) {
    nodes[i] = node(&m, BB "role.model", BBW_STR("Params"), BBW_STR("v0"), text(&m, "y", i));
    bbw_onnx_entry *slot = array(&m, 1, sizeof(*slot));
    *slot = (bbw_onnx_entry){BBW_STR(BB "slot_id"), text(&m, "", i % SLOTS)};
    nodes[i].metadata_props = (bbw_proto_list){slot, 1};
  }
  for (size_t i = 0; i < SLOTS; i++) {
    m.metadata[m.metadata_count++] = (bbw_onnx_entry){text(&m, BB "binding.M.s", i), text(&m, "Model|StubModel|", i)};
  }
  bbw_node *installed = install(&m);
  bbw_stats stats;
  bbw_node_stats(installed, &stats);
  assert_int_equal(stats.registered_components, SLOTS);
  assert_int_equal(stats.unresolved_ops, 0);
  bbw_node_del(installed);
  bbw_arena_free(&m.arena);
}

static void compile_model(model *m, uint32_t routing) {
  bbw_compile_options options = {.is_permissive_types = true, .routing = routing};
  uint8_t *out = NULL;
  size_t len = 0;
  bbw_error err;
  bbw_status rv = bbw_compile(&out, &len, encode(m), &options, &bbw_mem_libc, &err);
  if (rv != BBW_OK) { fail_msg("%.*s", (int)bbw_status_text(rv).len, bbw_status_text(rv).ptr); }
  bbw_mem_libc.free(NULL, out, len);
  bbw_arena_free(&m->arena);
}

/* A recorded root of `count` nodes in a chain, every n-th of them a Send whose value the next one uses, the others PassThroughs. */
static void compile(size_t count, size_t nth, uint32_t routing) {
  model m;
  model_init(&m, 1, 0);
  m.metadata_count = 0;
  bbw_onnx_node *nodes = function_init(&m, 0, BBW_STR("M"), count);
  bbw_onnx_value_info *infos = array(&m, count + 1, sizeof(*infos));
  bbw_onnx_type *type = array(&m, 1, sizeof(*type));
  type->denotation = BBW_STR(BB "tensor.f32");
  for (size_t i = 0; i < count; i++) {
    bool is_send = i % nth == 0;
    nodes[i] = node(&m, is_send ? BB "wire" : BB "syscall", is_send ? BBW_STR("Send") : BBW_STR("PassThrough"),
                    text(&m, "v", i), text(&m, "v", i + 1));
    nodes[i].name = text(&m, "n", i);
    if (is_send) {
      bbw_str *names = array(&m, 2, sizeof(*names));
      names[0] = text(&m, "v", i + 1);
      names[1] = text(&m, "h", i + 1);
      nodes[i].output = (bbw_proto_list){names, 2};
    }
    infos[i] = (bbw_onnx_value_info){.name = text(&m, "v", i), .type = type};
  }
  infos[count] = (bbw_onnx_value_info){.name = text(&m, "v", count), .type = type};
  m.functions[0].value_info = (bbw_proto_list){infos, count + 1};
  m.functions[0].output = one(&m, text(&m, "v", count));
  compile_model(&m, routing);
}

static void a_module_of_many_nodes_compiles(void **state) {
  (void)state;
  compile(20000, 10, BBW_ROUTING_STABLE);
}

static void a_module_of_many_sends_compiles(void **state) {
  (void)state;
  compile(20000, 2, BBW_ROUTING_STABLE);
  compile(20000, 2, BBW_ROUTING_ORDINAL);
}

static void a_module_of_many_functions_compiles(void **state) {
  (void)state;
  enum { FUNCTIONS = 20000 };
  model m;
  model_init(&m, FUNCTIONS + 1, 0);
  m.metadata_count = 0;
  bbw_onnx_node *calls = function_init(&m, 0, BBW_STR("M"), FUNCTIONS);
  bbw_onnx_type type = {.denotation = BBW_STR(BB "tensor.f32")};
  bbw_onnx_value_info info = {.name = BBW_STR("v0"), .type = &type};
  m.functions[0].value_info = (bbw_proto_list){&info, 1};
  for (size_t i = 0; i < FUNCTIONS; i++) {
    calls[i] = node(&m, BB "module", text(&m, "F", i), BBW_STR("v0"), text(&m, "y", i));
    bbw_onnx_node *body = function_init(&m, i + 1, text(&m, "F", i), 1);
    body[0] = node(&m, BB "syscall", BBW_STR("PassThrough"), BBW_STR("v0"), BBW_STR("r"));
    m.functions[i + 1].output = one(&m, BBW_STR("r"));
  }
  compile_model(&m, BBW_ROUTING_STABLE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(calls_of_many_functions_install),
      cmocka_unit_test(a_chain_of_callers_against_the_order_of_the_table_installs),
      cmocka_unit_test(a_function_with_many_results_is_called),
      cmocka_unit_test(many_components_and_operators_install),
      cmocka_unit_test(a_module_of_many_nodes_compiles),
      cmocka_unit_test(a_module_of_many_sends_compiles),
      cmocka_unit_test(a_module_of_many_functions_compiles),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
