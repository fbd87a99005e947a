/* Golden artifacts: what the compiler makes of a recorded module, byte for byte with the reference but for the routes that it adds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "bbw/compiler.h"
#include "bbw/node.h"
#include "format/onnx.h"
#include "stub_components.h"
#include "vectors.h"

#define BINDINGS_MAX   32
#define BINDING_PREFIX BBW_STR("ai.bytesandbrains.binding.")
#define SUFFIX_PREFIX  BBW_STR("ai.bytesandbrains.dest_suffix.")

/* The bindings of the compile call, read back from what was stamped for the first target. */
static size_t read_bindings(const bbw_onnx_model *model, bbw_binding *out) {
  bbw_str target = BBW_PROTO_AT(&model->functions, bbw_onnx_function, 0)->name;
  size_t count = 0;
  for (size_t i = 0; i < model->metadata_props.count && count < BINDINGS_MAX; i++) {
    const bbw_onnx_entry *entry = BBW_PROTO_AT(&model->metadata_props, bbw_onnx_entry, i);
    bbw_str prefix = BINDING_PREFIX;
    if (!bbw_str_starts_with(entry->key, prefix)) { continue; }
    bbw_str key = {entry->key.ptr + prefix.len, entry->key.len - prefix.len};
    if (!bbw_str_starts_with(key, target)) { continue; }
    const char *first = memchr(entry->value.ptr, '|', entry->value.len);
    const char *second = memchr(first + 1, '|', (size_t)(entry->value.ptr + entry->value.len - first - 1));
    out[count].slot = (bbw_str){key.ptr + target.len + 1, key.len - target.len - 1};
    out[count].type_name = (bbw_str){first + 1, (size_t)(second - first - 1)};
    if (bbw_role_from_name((bbw_str){entry->value.ptr, (size_t)(first - entry->value.ptr)}, &out[count].role)) {
      count++;
    }
  }
  return count;
}

/* Takes the routes out of a decoded artifact and encodes it again. */
static bbw_bytes without_routes(vectors_case *c, bbw_bytes artifact, size_t *routes) {
  bbw_onnx_model model;
  bbw_bytes encoded = {NULL, 0};
  *routes = 0;
  if (bbw_proto_decode(&model, &bbw_onnx_model_type, artifact, &c->arena, NULL) != BBW_OK) { return encoded; }
  for (size_t f = 0; f < model.functions.count; f++) {
    const bbw_onnx_function *function = BBW_PROTO_AT(&model.functions, bbw_onnx_function, f);
    for (size_t i = 0; i < function->node.count; i++) {
      bbw_onnx_node *node = (bbw_onnx_node *)(uintptr_t)BBW_PROTO_AT(&function->node, bbw_onnx_node, i);
      bbw_onnx_attribute *attributes = (bbw_onnx_attribute *)(uintptr_t)node->attribute.items;
      size_t kept = 0;
      for (size_t k = 0; k < node->attribute.count; k++) {
        if (bbw_str_starts_with(attributes[k].name, SUFFIX_PREFIX)) {
          ++*routes;
        } else {
          attributes[kept++] = attributes[k];
        }
      }
      node->attribute.count = kept;
    }
  }
  (void)bbw_proto_encode(&encoded, &model, &bbw_onnx_model_type, &c->arena);
  return encoded;
}

/* Where the result differs on purpose; docs/COMPATIBILITY.md has the reasons. */
static const struct {
  const char *name, *why;
} deviations[] = {
    {"multi_target_network", "the order of inlining is the function table's; the reference's is random"},
    {"single_node_federated_learning", "as above"},
    {"two_targets", "several unnamed Sends or Recvs get names, so that their gates do not collide"},
    {"two_wires", "as above"},
    {"node_out", "a trigger output keeps its type"},
    {"roles", "as above"},
};

static bool is_deviation(const vectors_case *c) {
  for (size_t i = 0; i < sizeof(deviations) / sizeof(deviations[0]); i++) {
    if (json_is(vector_get(c, "name"), deviations[i].name)) { return true; }
  }
  return false;
}

static const struct {
  const char *name;
  bbw_status status;
} refusals[] = {
    {"unknown_op", BBW_E_COMP_UNKNOWN_OP},
    {"dangling_input", BBW_E_COMP_DANGLING_INPUT},
    {"cycle", BBW_E_COMP_CYCLE},
    {"empty_op_type", BBW_E_COMP_INTERNAL},
    {"send_without_peers", BBW_E_COMP_UNRESOLVED_TYPE},
    {"two_part_ir_version_2", BBW_E_COMP_IR_VERSION},
};

static bool refusal_matches(vectors_case *c, bbw_bytes recorded) {
  for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
    if (!json_is(vector_get(c, "name"), refusals[i].name)) { continue; }
    bbw_compile_options options = {.binding_count = 0};
    uint8_t *out = NULL;
    size_t len = 0;
    VECTOR(bbw_compile(&out, &len, recorded, &options, &c->mem.mem, &c->err) == refusals[i].status);
    VECTOR(out == NULL && c->err.status == refusals[i].status);
    return true;
  }
  return vector_skip(c, "surviving calls are inlined here, so this compiles");
}

static bool compiles_alike(vectors_case *c) {
  if (vector_get(c, "recorded_file") == NULL) { return vector_skip(c, "no recorded file"); }
  bbw_bytes recorded = vector_file(c, vector_get(c, "recorded_file"));
  if (vector_get(c, "compiled_file") == NULL) { return refusal_matches(c, recorded); }
  bbw_bytes compiled = vector_file(c, vector_get(c, "compiled_file"));
  bbw_onnx_model model;
  VECTOR(bbw_proto_decode(&model, &bbw_onnx_model_type, compiled, &c->arena, NULL) == BBW_OK);
  bbw_binding bindings[BINDINGS_MAX];
  bbw_compile_options options = {.bindings = bindings, .binding_count = read_bindings(&model, bindings)};
  options.is_permissive_types = json_get(c->json, "permissive") != NULL;
  uint8_t *out = NULL;
  size_t len = 0;
  VECTOR(bbw_compile(&out, &len, recorded, &options, &c->mem.mem, &c->err) == BBW_OK);
  size_t routes;
  bbw_bytes bare = without_routes(c, (bbw_bytes){out, len}, &routes);
  bool is_same = bbw_bytes_equal(bare, compiled);
  bbw_mem_array_free(&c->mem.mem, out, len, 1);
  VECTOR(is_same != is_deviation(c));
  return true;
}

static void recorded_modules_compile_to_the_same_bytes(void **state) {
  (void)state;
  assert_int_equal(vectors_run("artifacts", compiles_alike), 0);
}

/* What is compiled here installs here, with nothing left unresolved. */
static bool installs(vectors_case *c) {
  if (vector_get(c, "recorded_file") == NULL || vector_get(c, "compiled_file") == NULL) {
    return vector_skip(c, "not compiled");
  }
  bbw_onnx_model model;
  bbw_bytes compiled = vector_file(c, vector_get(c, "compiled_file"));
  VECTOR(bbw_proto_decode(&model, &bbw_onnx_model_type, compiled, &c->arena, NULL) == BBW_OK);
  bbw_binding bindings[BINDINGS_MAX];
  bbw_compile_options compile = {.bindings = bindings, .binding_count = read_bindings(&model, bindings)};
  uint8_t *artifact = NULL;
  size_t len = 0;
  VECTOR(bbw_compile(&artifact, &len, vector_file(c, vector_get(c, "recorded_file")), &compile, &c->mem.mem, &c->err) ==
         BBW_OK);
  bbw_onnx_model ours;
  bbw_status status = bbw_proto_decode(&ours, &bbw_onnx_model_type, (bbw_bytes){artifact, len}, &c->arena, NULL);
  bbw_str target = BBW_PROTO_AT(&ours.functions, bbw_onnx_function, 0)->name;
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64(1), .model = {artifact, len}, .targets = &target, .target_count = 1};
  options.component_types = stub_component_types(&options.component_type_count);
  bbw_node *node = NULL;
  if (status == BBW_OK) { status = bbw_node_install(&node, &options, &c->mem.mem, &c->err); }
  bbw_node_del(node);
  bbw_mem_array_free(&c->mem.mem, artifact, len, 1);
  VECTOR(status == BBW_OK);
  return true;
}

static void compiled_modules_install(void **state) {
  (void)state;
  assert_int_equal(vectors_run("artifacts", installs), 0);
}

static bool survives_failing_memory(vectors_case *c) {
  if (!json_is(vector_get(c, "name"), "multi_target_network")) { return true; } /* one module is enough here */
  bbw_bytes recorded = vector_file(c, vector_get(c, "recorded_file"));
  static const bbw_binding bindings[] = {{{"loader", 6}, BBW_ROLE_DATA_SOURCE, {"StubLoader", 10}},
                                         {{"model", 5}, BBW_ROLE_MODEL, {"StubModel", 9}},
                                         {{"aggregator", 10}, BBW_ROLE_AGGREGATOR, {"StubAggregator", 14}}};
  bbw_compile_options options = {.bindings = bindings, .binding_count = 3};
  bbw_status status = BBW_E_NOMEM;
  for (size_t nth = 0; status != BBW_OK; nth++) {
    uint8_t *out = NULL;
    size_t len = 0;
    status = bbw_compile(&out, &len, recorded, &options, test_mem_fail_at(&c->mem, nth), &c->err);
    VECTOR(status == BBW_OK || (status == BBW_E_NOMEM && out == NULL && c->mem.live_bytes == 0));
    bbw_mem_array_free(&c->mem.mem, out, len, 1);
  }
  for (size_t len = 0; len < recorded.len; len++) {
    uint8_t *out = NULL;
    size_t out_len = 0;
    test_mem_fail_at(&c->mem, TEST_MEM_NEVER);
    if (bbw_compile(&out, &out_len, (bbw_bytes){recorded.ptr, len}, &options, &c->mem.mem, &c->err) == BBW_OK) {
      bbw_mem_array_free(&c->mem.mem, out, out_len, 1);
    }
    VECTOR(c->mem.live_bytes == 0);
  }
  return true;
}

static void damaged_modules_and_failing_memory_leave_nothing_behind(void **state) {
  (void)state;
  assert_int_equal(vectors_run("artifacts", survives_failing_memory), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(recorded_modules_compile_to_the_same_bytes),
      cmocka_unit_test(compiled_modules_install),
      cmocka_unit_test(damaged_modules_and_failing_memory_leave_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
