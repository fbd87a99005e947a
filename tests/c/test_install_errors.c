/* What an install refuses, with the fields of the refusal, where the golden artifacts have no case for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "node/node.h"
#include "stub_components.h"
#include "test_mem.h"

#define TYPES_MAX 16

typedef struct fixture {
  test_mem mem;
  bbw_arena arena;
  bbw_error err;
  bbw_component_type model;
  const bbw_component_type *types[TYPES_MAX];
  bbw_str target;
  bbw_slot_config config;
  bbw_install_options options;
} fixture;

static void start(fixture *f, const char *text) {
  *f = (fixture){.target = BBW_STR("M"), .config = {.slot = BBW_STR("m"), .config = {(const uint8_t *)"c", 1}}};
  test_mem_init(&f->mem);
  bbw_arena_init(&f->arena, &f->mem.mem);
  size_t count;
  const bbw_component_type *const *types = stub_component_types(&count);
  assert_true(count <= TYPES_MAX);
  for (size_t i = 0; i < count; i++) {
    f->types[i] = types[i];
    if (strcmp(types[i]->type_name, "StubModel") == 0) {
      f->model = *types[i];
      f->types[i] = &f->model;
    }
  }
  f->options = (bbw_install_options){.peer_id = bbw_peer_id_from_u64(1),
                                     .model = artifact(&f->arena, text),
                                     .targets = &f->target,
                                     .target_count = 1,
                                     .component_types = f->types,
                                     .component_type_count = count,
                                     .slot_configs = &f->config};
}

/* The refusal; nothing is left of the node. */
static bbw_status refused(fixture *f) {
  bbw_node *node = NULL;
  size_t before = f->mem.live_bytes;
  bbw_status rv = bbw_node_install(&node, &f->options, &f->mem.mem, &f->err);
  assert_null(node);
  assert_int_equal(f->mem.live_bytes, before);
  return rv;
}

static void assert_text(bbw_str got, const char *want) {
  assert_int_equal(got.len, strlen(want));
  assert_memory_equal(got.ptr, want, got.len);
}
static void assert_field(const fixture *f, const char *name, const char *want) {
  assert_text(bbw_error_field(&f->err, name), want);
}

static void end(fixture *f) {
  bbw_arena_free(&f->arena);
  assert_int_equal(f->mem.live_bytes, 0);
}

static bool cannot_fly(const void *self, bbw_role role, bbw_str op_type) {
  (void)self, (void)role;
  return !bbw_str_equal(op_type, BBW_STR("Fly"));
}

static void operators_that_nothing_implements_are_listed(void **state) {
  (void)state;
  fixture f;
  start(&f, "slot m Model|StubModel\ntarget M x -> y z\nsyscall::NoSuch x -> a\nrole.index::Search a -> y\n"
            "role.model::Fly x -> z");
  f.model.supports = cannot_fly;
  assert_int_equal(refused(&f), BBW_E_INST_UNRESOLVED);
  assert_field(&f, "count", "3");
  const char *const want[] = {"M/0 ai.bytesandbrains.syscall::NoSuch: no such operator",
                              "M/1 ai.bytesandbrains.role.index::Search: no component for role Index",
                              "M/2 ai.bytesandbrains.role.model::Fly: not implemented by the bound component"};
  for (size_t i = 0; i < 3; i++) { assert_text(bbw_error_item(&f.err, "nodes", i), want[i]); }
  assert_null(bbw_error_item(&f.err, "nodes", 3).ptr);
  end(&f);
}

static bbw_status fails_with_words(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                   const bbw_mem *mem, bbw_error *err) {
  (void)self, (void)type, (void)mem;
  assert_true(has_config);
  assert_int_equal(config.len, 1);
  bbw_error_set(err, BBW_E_ARG);
  bbw_error_add_str(err, "detail", BBW_STR("no such file"));
  bbw_error_add_item(err, "nodes", BBW_STR("Conv 7"));
  return BBW_E_ARG;
}
static bbw_status fails_silently(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                 const bbw_mem *mem, bbw_error *err) {
  (void)self, (void)type, (void)has_config, (void)config, (void)mem, (void)err;
  return BBW_E_LIMIT;
}
static bbw_status wants_another_config(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                       const bbw_mem *mem, bbw_error *err) {
  (void)self, (void)type, (void)has_config, (void)config, (void)mem, (void)err;
  return BBW_E_INST_CONFIG_TYPE;
}
static bbw_status lacks_memory(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                               const bbw_mem *mem, bbw_error *err) {
  (void)self, (void)type, (void)has_config, (void)config, (void)mem, (void)err;
  return BBW_E_NOMEM;
}

static void a_component_that_cannot_be_built_says_why(void **state) {
  (void)state;
  fixture f;
  start(&f, "slot m Model|StubModel\ntarget M x -> y\nrole.model::Forward x -> y");
  f.options.slot_config_count = 1;
  f.model.construct = fails_with_words;
  assert_int_equal(refused(&f), BBW_E_INST_CONSTRUCTION);
  assert_field(&f, "slot", "m");
  assert_field(&f, "type_name", "StubModel");
  assert_field(&f, "detail", "no such file");
  assert_text(bbw_error_item(&f.err, "nodes", 0), "Conv 7");

  f.model.construct = fails_silently;
  assert_int_equal(refused(&f), BBW_E_INST_CONSTRUCTION);
  assert_true(bbw_str_equal(bbw_error_field(&f.err, "detail"), bbw_status_text(BBW_E_LIMIT)));

  f.model.construct = wants_another_config;
  assert_int_equal(refused(&f), BBW_E_INST_CONFIG_TYPE);
  assert_field(&f, "slot", "m");

  f.model.construct = lacks_memory;
  assert_int_equal(refused(&f), BBW_E_NOMEM);
  end(&f);
}

static void an_artifact_beyond_the_limit_is_not_read(void **state) {
  (void)state;
  fixture f;
  start(&f, "target M x -> y\nsyscall::PassThrough x -> y");
  f.options.model.len = 256u * 1024 * 1024 + 1; /* only the length is looked at */
  assert_int_equal(refused(&f), BBW_E_INST_MODEL_DECODE);
  assert_field(&f, "cap", "268435456");
  assert_field(&f, "got", "268435457");
  end(&f);
}

static void a_slot_is_found_by_its_name(void **state) {
  (void)state;
  fixture f;
  start(&f, "slot d DataSource|StubLoader\nslot m Model|StubModel\ntarget M x -> y\nrole.model::Forward x -> y");
  bbw_node *node;
  size_t index;
  assert_int_equal(bbw_node_install(&node, &f.options, &f.mem.mem, &f.err), BBW_OK);
  assert_true(bbw_node_slot(node, BBW_STR("m"), &index));
  assert_int_equal(index, 1);
  assert_true(bbw_node_slot(node, BBW_STR("d"), &index));
  assert_int_equal(index, 0);
  assert_false(bbw_node_slot(node, BBW_STR("n"), &index));
  bbw_node_del(node);
  end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(operators_that_nothing_implements_are_listed),
      cmocka_unit_test(a_component_that_cannot_be_built_says_why),
      cmocka_unit_test(an_artifact_beyond_the_limit_is_not_read),
      cmocka_unit_test(a_slot_is_found_by_its_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
