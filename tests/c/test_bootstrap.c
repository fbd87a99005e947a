/* Bootstrap: what waits, what runs, what counts as done (Node specification §6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "bbw/step.h"
#include "node/node.h"
#include "test_mem.h"

/* Two bootstraps without components in common, one with an input, and a body that echoes. */
static const char two[] = "target M x -> y\nsyscall::PassThrough x -> y\n"
                          "bootstrap A\nsyscall::Pulse -> a\nsyscall::AppNotify a | name='a'\n"
                          "bootstrap B\nsyscall::Pulse -> b\nsyscall::AppNotify b | name='b'\n"
                          "bootstrap C cfg\nsyscall::AppEmit cfg | name='c'\n";
static const char waiting[] =
    "target M x -> y\nsyscall::PassThrough x -> y\n"
    "bootstrap A\nsyscall::Pulse -> p\nsyscall::After p -> a | delay_ns=10\nsyscall::AppNotify a | name='a'\n"
    "bootstrap B\nsyscall::Pulse -> b\nsyscall::AppNotify b | name='b'\n";
static const char failing[] = "target M x -> y\nsyscall::PassThrough x -> y\n"
                              "bootstrap A\nsyscall::Pulse -> p\nno.such::Op p -> a\n";

typedef struct fixture {
  test_mem mem;
  bbw_node *node;
  bbw_error err;
  char log[512]; /* topics of events, "done" per BootstrapComplete, "wait" per WaitingOnBootstrap, "!" per failure */
} fixture;

static void start(fixture *f, const char *graph) {
  test_mem_init(&f->mem);
  f->log[0] = '\0';
  f->node = artifact_install(graph, NULL, &f->mem.mem, &f->err);
  assert_non_null(f->node);
}

static void end(fixture *f) {
  bbw_node_del(f->node);
  assert_int_equal(f->mem.live_bytes, 0);
}

/* Polls until nothing is left to do and gives what was logged since the last call. */
static const char *run(fixture *f) {
  bool is_pending = false;
  f->log[0] = '\0';
  for (int i = 0; i < 100 && !is_pending; i++) {
    bbw_bytes steps;
    bbw_step step;
    size_t at = 0;
    assert_int_equal(bbw_node_poll(f->node, &steps, &is_pending, &f->err), BBW_OK);
    while (bbw_steps_next(steps, &at, &step)) {
      char word[32] = "";
      if (step.kind == BBW_STEP_BOOTSTRAP_COMPLETE) { strcpy(word, "done "); }
      if (step.kind == BBW_STEP_WAITING_ON_BOOTSTRAP) { strcpy(word, "wait "); }
      if (step.kind == BBW_STEP_OP_FAILED) { strcpy(word, "! "); }
      bool is_output = step.kind == BBW_STEP_APP_EVENT && bbw_step_text(&step, "module_name").len == 0;
      if (is_output) {
        bbw_str topic = bbw_step_text(&step, "topic");
        memcpy(word, topic.ptr, topic.len);
        strcpy(word + topic.len, " ");
      }
      strcat(f->log, word);
    }
  }
  assert_true(is_pending); /* a node that waits comes to rest */
  return f->log;
}

static void deliver(fixture *f) {
  assert_int_equal(
      bbw_node_deliver_event(f->node, BBW_STR("M"), BBW_STR("x"), (bbw_bytes){(const uint8_t *)"z", 1}, &f->err),
      BBW_OK);
}

static void all_targets_without_inputs_run_once_in_order(void **state) {
  (void)state;
  fixture f;
  start(&f, two);
  assert_int_equal(bbw_node_bootstrap_count(f.node), 3);
  assert_int_equal(bbw_node_bootstrap_status(f.node), BBW_BOOT_IDLE);
  assert_int_equal(bbw_node_run_bootstrap(f.node, NULL, 0, &f.err), BBW_OK);
  assert_int_equal(bbw_node_bootstrap_status(f.node), BBW_BOOT_WAITING_FOR_INPUT);
  assert_string_equal(run(&f), "done done a b ");
  assert_int_equal(bbw_node_bootstrap_status(f.node), BBW_BOOT_IDLE);
  bool is_done = false;
  assert_int_equal(bbw_node_bootstrap_name(f.node, 1, &is_done).len, 1);
  assert_true(is_done);
  assert_int_equal(bbw_node_run_bootstrap(f.node, NULL, 0, &f.err), BBW_OK);
  assert_string_equal(run(&f), ""); /* nothing is left to do */
  end(&f);
}

static void a_named_target_runs_again_with_its_inputs(void **state) {
  (void)state;
  fixture f;
  start(&f, two);
  bbw_named_bytes input = {BBW_STR("cfg"), {(const uint8_t *)"q", 1}};
  bbw_boot_request request = {BBW_STR("C"), &input, 1};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(bbw_node_run_bootstrap(f.node, &request, 1, &f.err), BBW_OK);
    assert_string_equal(run(&f), "done c ");
  }
  bbw_stats stats;
  bbw_node_stats(f.node, &stats);
  assert_int_equal(stats.ingress_bytes_in_flight, 0);
  end(&f);
}

static void deliveries_wait_while_a_bootstrap_is_open(void **state) {
  (void)state;
  fixture f;
  start(&f, waiting);
  deliver(&f);
  assert_int_equal(bbw_node_run_bootstrap(f.node, NULL, 0, &f.err), BBW_OK);
  assert_string_equal(run(&f), "wait "); /* said once */
  assert_string_equal(run(&f), "");
  assert_int_equal(bbw_node_bootstrap_status(f.node), BBW_BOOT_IS_RUNNING);
  deliver(&f);
  uint64_t at_ns = 0;
  assert_true(bbw_node_next_timer(f.node, &at_ns));
  assert_int_equal(at_ns, 10);
  assert_int_equal(bbw_node_tick(f.node, 10), BBW_OK);
  assert_string_equal(run(&f), "done done a b y y ");
  end(&f);
}

static void a_bootstrap_that_failed_is_repeated_by_all(void **state) {
  (void)state;
  fixture f;
  start(&f, failing);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(bbw_node_run_bootstrap(f.node, NULL, 0, &f.err), BBW_OK);
    assert_string_equal(run(&f), "! done ");
    bool is_done = true;
    (void)bbw_node_bootstrap_name(f.node, 0, &is_done);
    assert_false(is_done);
  }
  end(&f);
}

static void a_batch_is_refused_as_a_whole(void **state) {
  (void)state;
  fixture f;
  start(&f, two);
  bbw_named_bytes known = {BBW_STR("cfg"), {(const uint8_t *)"q", 1}};
  bbw_named_bytes unknown = {BBW_STR("zzz"), {(const uint8_t *)"q", 1}};
  const struct {
    bbw_boot_request second;
    bbw_status status;
  } cases[] = {
      {{BBW_STR("Nope"), NULL, 0}, BBW_E_BOOT_UNKNOWN_TARGET},
      {{BBW_STR("A"), NULL, 0}, BBW_E_BOOT_ALREADY_QUEUED},
      {{BBW_STR("C"), &unknown, 1}, BBW_E_BOOT_UNKNOWN_INPUT},
      {{BBW_STR("C"), NULL, 0}, BBW_E_BOOT_MISSING_INPUT},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    bbw_boot_request batch[2] = {{BBW_STR("A"), NULL, 0}, cases[i].second};
    assert_int_equal(bbw_node_run_bootstrap(f.node, batch, 2, &f.err), cases[i].status);
    assert_int_equal(f.err.status, cases[i].status);
    assert_true(bbw_str_equal(bbw_error_field(&f.err, "target_name"), cases[i].second.target));
    bool names_input = cases[i].status == BBW_E_BOOT_UNKNOWN_INPUT || cases[i].status == BBW_E_BOOT_MISSING_INPUT;
    assert_int_equal(bbw_error_field(&f.err, "input_name").len, names_input ? 3 : 0);
    assert_string_equal(run(&f), "");
  }
  bbw_boot_request request = {BBW_STR("C"), &known, 1};
  assert_int_equal(bbw_node_run_bootstrap(f.node, &request, 1, &f.err), BBW_OK);
  assert_int_equal(bbw_node_run_bootstrap(f.node, &request, 1, &f.err), BBW_E_BOOT_ALREADY_QUEUED);
  assert_string_equal(run(&f), "done c ");
  end(&f);
}

static void an_open_bootstrap_is_freed_with_its_node(void **state) {
  (void)state;
  fixture f;
  start(&f, waiting);
  assert_int_equal(bbw_node_run_bootstrap(f.node, NULL, 0, &f.err), BBW_OK);
  assert_string_equal(run(&f), "wait ");
  deliver(&f);
  end(&f);
}

static void failing_memory_loses_no_bootstrap(void **state) {
  (void)state;
  bool is_over = false;
  for (size_t nth = 0; !is_over; nth++) {
    fixture f;
    start(&f, waiting);
    test_mem_fail_at(&f.mem, nth);
    bool is_queued = bbw_node_run_bootstrap(f.node, NULL, 0, &f.err) == BBW_OK;
    bbw_bytes steps;
    bool is_pending;
    (void)bbw_node_poll(f.node, &steps, &is_pending, &f.err);
    is_over = f.mem.alloc_count <= nth;
    test_mem_fail_at(&f.mem, TEST_MEM_NEVER);
    if (!is_queued) { assert_int_equal(bbw_node_run_bootstrap(f.node, NULL, 0, &f.err), BBW_OK); }
    for (uint64_t now = 100; now < 1000; now += 100) {
      assert_int_equal(bbw_node_tick(f.node, now), BBW_OK);
      (void)run(&f);
    }
    for (size_t i = 0; i < bbw_node_bootstrap_count(f.node); i++) {
      bool is_done = false;
      (void)bbw_node_bootstrap_name(f.node, i, &is_done);
      /* An op that found no memory has failed, and then All repeats its target. */
      if (!is_done) {
        assert_int_equal(bbw_node_run_bootstrap(f.node, NULL, 0, &f.err), BBW_OK);
        (void)run(&f);
        assert_int_equal(bbw_node_tick(f.node, 10000), BBW_OK);
        (void)run(&f);
        (void)bbw_node_bootstrap_name(f.node, i, &is_done);
      }
      assert_true(is_done);
    }
    end(&f);
  }
}

/* ---- components ----------------------------------------------------------------------------------------------------- */

/* Answers its bootstrap as it is told and echoes everything else; counts what was asked of it. */
typedef enum manner { AT_ONCE, LATER, FAILING } manner;
static manner boot_manner;
static unsigned boots, forwards;
static uint64_t boot_cmd;

static bbw_status part_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                 const bbw_mem *mem, bbw_error *err) {
  (void)type, (void)has_config, (void)config, (void)mem, (void)err;
  static int nothing;
  *self = &nothing;
  return BBW_OK;
}
static void part_destroy(void *self, const bbw_mem *mem) { (void)self, (void)mem; }
static bbw_status part_dispatch(void *self, bbw_ctx *ctx) {
  (void)self, (void)ctx;
  forwards++;
  return BBW_OK;
}
static bbw_status part_bootstrap(void *self, bbw_ctx *ctx) {
  (void)self;
  boots++;
  assert_int_equal(bbw_ctx_input_count(ctx) + bbw_ctx_output_count(ctx), 0);
  assert_int_equal(bbw_ctx_role(ctx), BBW_ROLE_COUNT);
  assert_true(bbw_str_equal(bbw_ctx_op_type(ctx), BBW_STR("Bootstrap")));
  if (boot_manner == FAILING) { return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "no", BBW_STR("not yet")); }
  if (boot_manner == AT_ONCE) { return BBW_OK; }
  bbw_status rv = bbw_ctx_later(ctx, &boot_cmd);
  return rv == BBW_OK ? BBW_LATER : rv;
}
#define PART(name, with)                                                                               \
  {                                                                                                    \
    .type_name = name, .role_bits = BBW_ROLE_BIT(BBW_ROLE_MODEL) | BBW_ROLE_BIT(BBW_ROLE_AGGREGATOR),  \
    .construct = part_construct, .destroy = part_destroy, .dispatch = part_dispatch, .bootstrap = with \
  }
static const bbw_component_type booting = PART("Booting", part_bootstrap), plain = PART("Plain", NULL);

static const char parts[] =
    "slot m Model|Booting\nslot a Aggregator|Plain\ntarget M x u -> y z\nrole.model::Forward x -> y\n"
    "role.aggregator::Aggregate u -> z\nbootstrap A\nsyscall::Pulse -> p\nrole.model::Forward p -> "
    "q\nsyscall::AppNotify q | name='a'";

static void start_parts(fixture *f, manner how) {
  static const bbw_component_type *const types[] = {&booting, &plain};
  test_mem_init(&f->mem);
  f->log[0] = '\0';
  boot_manner = how;
  boots = forwards = 0;
  f->node = artifact_install_with(parts, NULL, types, 2, &f->mem.mem, &f->err);
  assert_non_null(f->node);
}

static bbw_status run_slot(fixture *f, const char *slot) {
  bbw_str name = {slot, strlen(slot)};
  return bbw_node_run_bootstrap_slots(f->node, &name, 1, &f->err);
}

static void a_component_is_set_up_by_its_slot(void **state) {
  (void)state;
  fixture f;
  start_parts(&f, AT_ONCE);
  bool is_done = true;
  assert_int_equal(bbw_node_bootstrap_count(f.node), 2);
  assert_false(bbw_node_bootstrap_is_slot(f.node, 0));
  assert_true(bbw_node_bootstrap_is_slot(f.node, 1));
  assert_true(bbw_str_equal(bbw_node_bootstrap_name(f.node, 1, &is_done), BBW_STR("m")));
  assert_false(is_done);
  assert_int_equal(run_slot(&f, "m"), BBW_OK);
  assert_int_equal(run_slot(&f, "m"), BBW_E_BOOT_ALREADY_QUEUED);
  assert_string_equal(run(&f), "done ");
  (void)bbw_node_bootstrap_name(f.node, 1, &is_done);
  assert_true(is_done);
  assert_int_equal(boots, 1);
  assert_int_equal(run_slot(&f, "m"), BBW_OK); /* by name it runs again */
  assert_string_equal(run(&f), "done ");
  assert_int_equal(boots, 2);
  assert_int_equal(bbw_node_run_bootstrap_slots(f.node, NULL, 0, &f.err), BBW_OK);
  assert_string_equal(run(&f), "");
  end(&f);
}

static void a_slot_without_a_bootstrap_is_refused_with_those_that_have_one(void **state) {
  (void)state;
  fixture f;
  start_parts(&f, AT_ONCE);
  static const char *const unknown[] = {"a", "nowhere", "A"};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(run_slot(&f, unknown[i]), BBW_E_BOOT_UNKNOWN_SLOT);
    assert_true(bbw_str_equal(bbw_error_field(&f.err, "slot"), (bbw_str){unknown[i], strlen(unknown[i])}));
    assert_true(bbw_str_equal(bbw_error_item(&f.err, "available", 0), BBW_STR("m")));
    assert_null(bbw_error_item(&f.err, "available", 1).ptr);
  }
  static const bbw_str mixed[2] = {{"m", 1}, {"a", 1}}; /* all or none */
  assert_int_equal(bbw_node_run_bootstrap_slots(f.node, mixed, 2, &f.err), BBW_E_BOOT_UNKNOWN_SLOT);
  bbw_boot_request slot_as_module = {.target = BBW_STR("m")};
  assert_int_equal(bbw_node_run_bootstrap(f.node, &slot_as_module, 1, &f.err), BBW_E_BOOT_UNKNOWN_TARGET);
  assert_string_equal(run(&f), "");
  assert_int_equal(boots, 0);
  end(&f);
}

/* What the queues keep room for is what live executions may still queue. */
static void check_reserved(const fixture *f) {
  const bbw_engine *engine = &f->node->engine;
  size_t undispatched = 0;
  for (const bbw_frame *frame = engine->frames_first; frame != NULL; frame = frame->next) {
    assert_true(frame->undispatched <= frame->graph->op_count);
    undispatched += frame->undispatched;
  }
  assert_int_equal(engine->frontier_reserved, undispatched);
  assert_true(engine->frontier.count + engine->locked.count <= undispatched);
  assert_true(engine->frontier.cap >= undispatched || undispatched == 0);
}

static void room_of_the_queues_is_given_back(void **state) {
  (void)state;
  /* What ends the executions: the bootstrap succeeds, they are cancelled, all is cleared; before or after a restore. */
  for (unsigned way = 0; way < 6; way++) {
    fixture f;
    start_parts(&f, LATER);
    uint64_t ids[40];
    for (size_t i = 0; i < 40; i++) { /* more ops than a queue begins with */
      bbw_named_bytes inputs[2] = {{BBW_STR("x"), {(const uint8_t *)"1", 1}},
                                   {BBW_STR("u"), {(const uint8_t *)"2", 1}}};
      assert_int_equal(bbw_node_invoke(f.node, BBW_STR("M"), inputs, 2, &ids[i], &f.err), BBW_OK);
    }
    bbw_bytes steps;
    bool is_pending;
    f.node->engine.config.cycle_op_budget = 1;
    assert_int_equal(bbw_node_poll(f.node, &steps, &is_pending, &f.err), BBW_OK);
    f.node->engine.config.cycle_op_budget = 1000;
    check_reserved(&f);
    assert_int_equal(f.node->engine.frontier_reserved, 79);
    assert_int_equal(run_slot(&f, "m"), BBW_OK);
    (void)run(&f);
    check_reserved(&f);
    assert_int_equal(f.node->engine.locked.count, 39); /* the ops of m wait */
    if (way % 2 == 1) {
      uint8_t *bytes;
      size_t len;
      assert_int_equal(bbw_node_snapshot(f.node, &bytes, &len, &f.mem.mem, &f.err), BBW_OK);
      assert_int_equal(bbw_node_restore(f.node, (bbw_bytes){bytes, len}, &f.err), BBW_OK);
      f.mem.mem.free(f.mem.mem.ctx, bytes, len);
      check_reserved(&f);
      assert_int_equal(f.node->engine.locked.count, 39);
    }
    for (size_t i = 0; i < 40 && way / 2 == 1; i++) {
      (void)bbw_node_cancel(f.node, ids[i], &f.err); /* the first is over */
      check_reserved(&f);
    }
    if (way / 2 == 2) { assert_int_equal(bbw_node_clear(f.node, &f.err), BBW_OK); }
    if (way / 2 != 2) { assert_int_equal(bbw_node_complete(f.node, boot_cmd, NULL, 0, &f.err), BBW_OK); }
    (void)run(&f);
    assert_int_equal(forwards, way / 2 == 0 ? 80 : 41);
    check_reserved(&f);
    assert_int_equal(f.node->engine.frontier_reserved, 0);
    assert_int_equal(f.node->engine.outputs_reserved, 0);
    end(&f);
  }
}

static void all_sets_components_up_before_modules(void **state) {
  (void)state;
  fixture f;
  start_parts(&f, LATER);
  assert_int_equal(bbw_node_run_bootstrap(f.node, NULL, 0, &f.err), BBW_OK);
  assert_string_equal(run(&f), "wait ");
  assert_int_equal(bbw_node_bootstrap_status(f.node), BBW_BOOT_IS_RUNNING);
  assert_int_equal(forwards, 0);
  assert_int_equal(bbw_node_complete(f.node, boot_cmd, NULL, 0, &f.err), BBW_OK);
  assert_string_equal(run(&f), "done done a ");
  assert_int_equal(forwards, 1);
  end(&f);
}

static void a_component_that_is_being_set_up_is_locked_and_no_other(void **state) {
  (void)state;
  fixture f;
  start_parts(&f, LATER);
  bbw_named_bytes inputs[2] = {{BBW_STR("x"), {(const uint8_t *)"1", 1}}, {BBW_STR("u"), {(const uint8_t *)"2", 1}}};
  uint64_t exec_id;
  bbw_config config = *bbw_node_get_config(f.node);
  config.cycle_op_budget = 1; /* so that the operators of the invoke are still queued when the bootstrap starts */
  assert_int_equal(bbw_node_set_config(f.node, &config, &f.err), BBW_OK);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(bbw_node_invoke(f.node, BBW_STR("M"), inputs, 2, &exec_id, &f.err), BBW_OK);
  }
  bbw_bytes steps;
  bool is_pending;
  assert_int_equal(bbw_node_poll(f.node, &steps, &is_pending, &f.err), BBW_OK); /* one of four has run */
  assert_int_equal(run_slot(&f, "m"), BBW_OK);
  assert_string_equal(run(&f), "z z wait ");
  assert_int_equal(forwards, 3);
  assert_int_equal(bbw_node_complete(f.node, boot_cmd, NULL, 0, &f.err), BBW_OK);
  assert_string_equal(run(&f), "done y ");
  end(&f);
}

static void a_component_that_fails_to_set_up_is_repeated_by_all(void **state) {
  (void)state;
  fixture f;
  start_parts(&f, FAILING);
  assert_int_equal(run_slot(&f, "m"), BBW_OK);
  assert_string_equal(run(&f), "! done ");
  bool is_done = true;
  (void)bbw_node_bootstrap_name(f.node, 1, &is_done);
  assert_false(is_done);
  boot_manner = AT_ONCE;
  assert_int_equal(bbw_node_run_bootstrap(f.node, NULL, 0, &f.err), BBW_OK);
  assert_string_equal(run(&f), "done done a ");
  assert_int_equal(boots, 2);
  end(&f);
}

static void a_component_that_is_being_set_up_goes_on_after_a_restore(void **state) {
  (void)state;
  fixture f;
  start_parts(&f, LATER);
  assert_int_equal(run_slot(&f, "m"), BBW_OK);
  assert_string_equal(run(&f), "wait ");
  uint8_t *bytes;
  size_t len;
  assert_int_equal(bbw_node_snapshot(f.node, &bytes, &len, &f.mem.mem, &f.err), BBW_OK);
  assert_int_equal(bbw_node_clear(f.node, &f.err), BBW_OK);
  assert_int_equal(bbw_node_restore(f.node, (bbw_bytes){bytes, len}, &f.err), BBW_OK);
  f.mem.mem.free(f.mem.mem.ctx, bytes, len);
  assert_int_equal(bbw_node_complete(f.node, boot_cmd, NULL, 0, &f.err), BBW_OK);
  assert_string_equal(run(&f), "done ");
  bool is_done = false;
  (void)bbw_node_bootstrap_name(f.node, 1, &is_done);
  assert_true(is_done);
  end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(room_of_the_queues_is_given_back),
      cmocka_unit_test(all_targets_without_inputs_run_once_in_order),
      cmocka_unit_test(a_named_target_runs_again_with_its_inputs),
      cmocka_unit_test(deliveries_wait_while_a_bootstrap_is_open),
      cmocka_unit_test(a_bootstrap_that_failed_is_repeated_by_all),
      cmocka_unit_test(a_batch_is_refused_as_a_whole),
      cmocka_unit_test(an_open_bootstrap_is_freed_with_its_node),
      cmocka_unit_test(failing_memory_loses_no_bootstrap),
      cmocka_unit_test(a_component_is_set_up_by_its_slot),
      cmocka_unit_test(a_slot_without_a_bootstrap_is_refused_with_those_that_have_one),
      cmocka_unit_test(all_sets_components_up_before_modules),
      cmocka_unit_test(a_component_that_is_being_set_up_is_locked_and_no_other),
      cmocka_unit_test(a_component_that_fails_to_set_up_is_repeated_by_all),
      cmocka_unit_test(a_component_that_is_being_set_up_goes_on_after_a_restore),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
