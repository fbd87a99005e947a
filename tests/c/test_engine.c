/* Engine: executions, budgets, time, completions and what two nodes share, which is nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "base/vec.h"
#include "bbw/step.h"
#include "moody_components.h"
#include "node/node.h"
#include "session.h"

static const char chain[] =
    "target M x t -> y\nsyscall::PassThrough x -> a\nsyscall::PassThrough a -> b\nsyscall::PassThrough b -> c\n"
    "syscall::PassThrough c -> y";

/* ---- budgets and caps ----------------------------------------------------------------------------------------------- */

static void an_op_budget_spreads_work_over_polls_and_loses_nothing(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.cycle_op_budget = 1;
  session s;
  session_install(&s, chain, &config);
  session_invoke(&s, "x", "1");
  session_invoke(&s, "x", "2");
  assert_int_equal(session_poll_all(&s), 8);
  assert_string_equal(s.log, "y=31 y=32 ");
  assert_int_equal(s.counts[BBW_STEP_OP_COMPLETED], 8);
  assert_int_equal(s.counts[BBW_STEP_CYCLE_BUDGET_EXCEEDED], 8);
  session_end(&s);
}

static void executions_take_turns_under_a_budget(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.cycle_op_budget = 2;
  session s;
  session_install(&s, chain, &config);
  session_invoke(&s, "x", "1");
  session_invoke(&s, "x", "2");
  for (int i = 0; i < 3; i++) { (void)session_poll(&s); } /* three of four ops of both have run */
  assert_string_equal(s.log, "");
  (void)session_poll(&s);
  assert_string_equal(s.log, "y=31 y=32 ");
  assert_true(session_poll(&s));
  session_end(&s);
}

static void what_is_held_by_the_cap_on_executions_goes_on_without_new_work(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.max_executions = 1;
  session s;
  session_install(&s, chain, &config);
  for (const char *text = "12345"; *text != '\0'; text++) { session_invoke(&s, "x", (char[]){*text, '\0'}); }
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y=31 y=32 y=33 y=34 y=35 ");
  session_end(&s);
}

static void held_work_waits_quietly_while_nothing_can_end(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.max_executions = 1;
  session s;
  session_install(&s, "target M x -> y\nsyscall::Limit.Acquire x -> a | name='l' n=0\nsyscall::Gate x a -> y", &config);
  session_invoke(&s, "x", "1");
  session_invoke(&s, "x", "2");
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).ingress_depth, 1);
  uint64_t at_ns;
  assert_false(bbw_node_next_timer(s.node, &at_ns));
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y=31 ");
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y=31 y=32 ");
  session_end(&s);
}

static void an_interval_without_room_lets_the_timers_behind_it_through(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.max_executions = 1;
  session s;
  session_install(&s,
                  "target M x -> y\nsyscall::Interval -> i | period_ns=5\nsyscall::Sleep x -> a | "
                  "duration_ns=10\nsyscall::Gate x a -> y",
                  &config);
  (void)session_poll_all(&s);
  session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  assert_int_equal(bbw_node_tick(s.node, 5), BBW_OK);
  (void)session_poll_all(&s); /* the interval finds no room */
  assert_int_equal(bbw_node_tick(s.node, 10), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y=31 ");
  uint64_t at_ns;
  assert_true(bbw_node_next_timer(s.node, &at_ns));
  unsigned before = s.counts[BBW_STEP_OP_COMPLETED];
  assert_int_equal(bbw_node_tick(s.node, at_ns), BBW_OK);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_OP_COMPLETED], before + 1); /* and fires later */
  session_end(&s);
}

static void every_interval_starts_even_if_not_all_fit_at_once(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.max_executions = 1;
  session s;
  session_install(&s,
                  "target M -> a b c\nsyscall::Interval -> a | period_ns=100\nsyscall::Interval -> b | "
                  "period_ns=100\nsyscall::Interval -> c | period_ns=100",
                  &config);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "a=0000000000000000 b=0000000000000000 c=0000000000000000 ");
  assert_int_equal(session_stats(&s).timers, 3);
  session_end(&s);
}

static void a_lifecycle_phase_reaches_all_its_operators_even_if_not_all_fit_at_once(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.max_executions = 1;
  session s;
  session_install(
      &s,
      "target M x -> a b c y\nsyscall::LifecyclePhase -> a | phase='start'\nsyscall::LifecyclePhase -> b | "
      "phase='start'\nsyscall::LifecyclePhase -> c | phase='stop'\nsyscall::Limit.Acquire x -> y | name='l' "
      "n=0",
      &config);
  session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  assert_int_equal(bbw_node_fire_lifecycle(s.node, BBW_STR("start"), NULL), BBW_OK);
  assert_int_equal(bbw_node_fire_lifecycle(s.node, BBW_STR("stop"), NULL), BBW_OK);
  (void)session_poll_all(&s); /* no room, and no endless polling */
  assert_string_equal(s.log, "");
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y= a= b= c= ");
  assert_int_equal(s.counts[BBW_STEP_LIFECYCLE_FIRED], 2);
  session_end(&s);
}

static void calls_that_double_at_each_level_keep_every_poll_bounded(void **state) {
  (void)state;
  char text[2048] = "target M x -> y\nmodule::F0 x -> y\n";
  for (int level = 0; level < 14; level++) {
    char lines[128];
    snprintf(lines, sizeof(lines), "function F%d p -> r\nmodule::F%d p -> q\nmodule::F%d p -> r\n", level, level + 1,
             level + 1);
    strcat(text, lines);
  }
  strcat(text, "function F14 p -> r\nsyscall::PassThrough p -> r");
  bbw_config config;
  bbw_config_init(&config);
  config.cycle_op_budget = 50;
  config.max_executions = 100;
  session s;
  session_install(&s, text, &config);
  session_invoke(&s, "x", "1");
  size_t peak = 0;
  bool is_done = false;
  for (unsigned round = 0; round < 2000 && !is_done; round++) {
    unsigned before = s.counts[BBW_STEP_OP_COMPLETED] + s.counts[BBW_STEP_OP_FAILED];
    is_done = session_poll(&s);
    assert_true(s.counts[BBW_STEP_OP_COMPLETED] + s.counts[BBW_STEP_OP_FAILED] <= before + 50);
    assert_true(session_stats(&s).executions <= 100);
    if (s.mem.live_bytes > peak) { peak = s.mem.live_bytes; }
  }
  assert_true(is_done);
  assert_true(peak < 1000000);
  session_end(&s);
}

static void an_artifact_that_swells_when_it_is_decoded_is_refused(void **state) {
  (void)state;
  enum { BYTES = 4 << 20 };
  /* One function of empty nodes, two bytes each. */
  uint8_t *model = malloc(BYTES);
  assert_non_null(model);
  model[0] = 0xca; /* field 25, functions */
  model[1] = 0x01;
  size_t len = BYTES - 6;
  for (unsigned i = 0; i < 4; i++) { model[2 + i] = (uint8_t)((len >> (7 * i) & 0x7f) | (i < 3 ? 0x80 : 0)); }
  for (size_t i = 6; i < BYTES; i += 2) {
    model[i] = 0x3a; /* field 7, an empty node */
    model[i + 1] = 0;
  }
  bbw_str target = BBW_STR("M");
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64(1), .model = {model, BYTES}, .targets = &target, .target_count = 1};
  test_mem mem;
  test_mem_init(&mem);
  bbw_node *node = NULL;
  bbw_error err;
  assert_int_equal(bbw_node_install(&node, &options, &mem.mem, &err), BBW_E_INST_MODEL_DECODE);
  bbw_str cause = bbw_error_field(&err, "cause");
  assert_true(bbw_str_equal(cause, BBW_STR("E_LIMIT")));
  assert_true(mem.peak_bytes < 40u * BYTES);
  assert_int_equal(mem.live_bytes, 0);
  free(model);
}

/* ---- completions ---------------------------------------------------------------------------------------------------- */

static const char parking[] = "target M x -> y\nsyscall::Limit.Acquire x -> y | name='l' n=0";

static void a_completion_that_does_not_decode_leaves_the_operator_parked(void **state) {
  (void)state;
  session s;
  session_install(&s, parking, NULL);
  session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  static const uint8_t nine[8] = {9};
  bbw_typed_bytes good = {bbw_type_hash(BBW_TYPE_U64), {nine, 8}};
  bbw_typed_bytes cut = {bbw_type_hash(BBW_TYPE_U64), {nine, 7}};
  bbw_typed_bytes unknown = {1, {nine, 8}};
  bbw_typed_bytes mixed[2] = {good, cut};
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, &cut, 1, NULL), BBW_E_DECODE);
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, mixed, 2, NULL), BBW_E_DECODE);
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, &unknown, 1, NULL), BBW_E_UNKNOWN_TYPE_HASH);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "");
  assert_int_equal(session_stats(&s).pending_async, 1);
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, &good, 1, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y=0900000000000000 ");
  session_end(&s);
}

static void unknown_repeated_and_late_completions_are_counted_and_change_nothing(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M x -> y\nsyscall::Sleep x -> y | duration_ns=10", NULL);
  session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  bbw_error err;
  assert_int_equal(bbw_node_complete(s.node, 77, NULL, 0, &err), BBW_E_UNKNOWN_COMMAND);
  assert_true(bbw_str_equal(bbw_error_field(&err, "reason"), BBW_STR("unknown")));
  assert_int_equal(bbw_node_fail(s.node, 77, BBW_STR(""), NULL), BBW_E_UNKNOWN_COMMAND);
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_OK);
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_E_UNKNOWN_COMMAND); /* in the same poll */
  assert_int_equal(bbw_node_fail(s.node, s.last_cmd, BBW_STR("no"), NULL), BBW_E_UNKNOWN_COMMAND);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y= ");
  assert_int_equal(bbw_node_tick(s.node, 10), BBW_OK); /* its timer is still there and finds nobody */
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y= ");
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, &err), BBW_E_UNKNOWN_COMMAND); /* long over */
  assert_true(bbw_str_equal(bbw_error_field(&err, "reason"), BBW_STR("late")));
  assert_int_equal(bbw_error_number(&err, "cmd_id"), s.last_cmd);
  assert_int_equal(session_stats(&s).unknown_completions, 2);
  assert_int_equal(session_stats(&s).duplicate_completions, 2);
  assert_int_equal(session_stats(&s).late_completions, 1);
  session_end(&s);
}

static void a_failed_completion_says_why(void **state) {
  (void)state;
  session s;
  session_install(&s, parking, NULL);
  session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  char detail[5000];
  memset(detail, 'd', sizeof(detail));
  assert_int_equal(bbw_node_fail(s.node, s.last_cmd, (bbw_str){detail, sizeof(detail)}, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_OP_FAILED], 1);
  session_end(&s);
}

static void surplus_results_are_dropped(void **state) {
  (void)state;
  session s;
  session_install(&s, parking, NULL);
  session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  static const uint8_t number[8] = {5};
  bbw_typed_bytes result = {bbw_type_hash(BBW_TYPE_U64), {number, 8}};
  bbw_typed_bytes results[3] = {result, result, result};
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, results, 3, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y=0500000000000000 ");
  session_end(&s);
}

/* ---- components ------------------------------------------------------------------------------------------------------ */

static void a_component_may_answer_in_every_way_and_the_node_goes_on(void **state) {
  (void)state;
  static const struct {
    const char *what, *log;
    unsigned failed, suspended;
  } moods[] = {
      {"nothing: a Trigger stands in", "y= ", 0, 0},
      {"one output", "y=0100000000000000 ", 0, 0},
      {"an output set twice: the last one", "y=0200000000000000 ", 0, 0},
      {"more outputs than declared", "y=0000000000000000 ", 0, 0},
      {"an output, then a failure: no output", "", 1, 0},
      {"a bare status", "", 1, 0},
      {"later", "", 0, 1},
      {"later, taken back", "y=0700000000000000 ", 0, 0},
      {"later without a command", "", 1, 0},
      {"an unknown status", "", 1, 0},
  };
  session s;
  session_install_moody(&s, "target M x -> y\nrole.model::Forward x -> y\ntarget N x -> y\nrole.model::Forward x -> y",
                        1);
  for (size_t i = 0; i < sizeof(moods) / sizeof(moods[0]); i++) {
    unsigned failed = s.counts[BBW_STEP_OP_FAILED], suspended = s.counts[BBW_STEP_ASYNC_SUSPENDED];
    s.log_len = 0;
    s.log[0] = '\0';
    session_invoke(&s, "x", "1");
    (void)session_poll_all(&s);
    if (strcmp(s.log, moods[i].log) != 0) { fail_msg("%s: got %s", moods[i].what, s.log); }
    assert_int_equal(s.counts[BBW_STEP_OP_FAILED] - failed, moods[i].failed);
    assert_int_equal(s.counts[BBW_STEP_ASYNC_SUSPENDED] - suspended, moods[i].suspended);
  }
  assert_int_equal(session_stats(&s).pending_async, 1);
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y= ");
  session_end(&s);
}

static void two_completions_of_one_poll_are_applied_in_order(void **state) {
  (void)state;
  session s;
  session_install(&s, parking, NULL);
  uint64_t first = 0;
  for (int i = 0; i < 2; i++) {
    session_invoke(&s, "x", "1");
    (void)session_poll_all(&s);
    if (i == 0) { first = s.last_cmd; }
  }
  static const uint8_t numbers[2][8] = {{1}, {2}};
  bbw_typed_bytes results[2] = {{bbw_type_hash(BBW_TYPE_U64), {numbers[0], 8}},
                                {bbw_type_hash(BBW_TYPE_U64), {numbers[1], 8}}};
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, &results[0], 1, NULL), BBW_OK);
  assert_int_equal(bbw_node_complete(s.node, first, &results[1], 1, NULL), BBW_OK);
  assert_int_equal(session_poll_all(&s), 1);
  assert_string_equal(s.log, "y=0100000000000000 y=0200000000000000 ");
  session_end(&s);
}

static void two_targets_of_one_node_share_components_and_nothing_else(void **state) {
  (void)state;
  session s;
  session_install_moody(&s, "target M x -> y\nrole.model::Forward x -> y\ntarget N x -> z\nrole.model::Forward x -> z",
                        2);
  assert_int_equal(bbw_node_module_count(s.node), 2);
  assert_int_equal(bbw_node_component_count(s.node), 1);
  bbw_bytes one = {(const uint8_t *)"1", 1};
  assert_int_equal(bbw_node_deliver_event(s.node, BBW_STR("M"), BBW_STR("x"), one, NULL), BBW_OK);
  assert_int_equal(bbw_node_deliver_event(s.node, BBW_STR("N"), BBW_STR("x"), one, NULL), BBW_OK);
  assert_int_equal(bbw_node_deliver_event(s.node, BBW_STR("N"), BBW_STR("y"), one, NULL), BBW_E_UNKNOWN_INPUT);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y= z=0100000000000000 "); /* the one instance counts its calls */
  session_end(&s);
}

typedef struct tapped {
  bbw_node *node;
  unsigned steps, busy;
} tapped;

static void tap(void *ctx, const bbw_step *step) {
  (void)step;
  tapped *t = ctx;
  bbw_bytes none = {NULL, 0};
  bbw_bytes steps;
  bool is_pending;
  uint64_t exec_id;
  t->steps++;
  t->busy += bbw_node_deliver_event(t->node, BBW_STR("M"), BBW_STR("x"), none, NULL) == BBW_E_BUSY;
  t->busy += bbw_node_invoke(t->node, BBW_STR("M"), NULL, 0, &exec_id, NULL) == BBW_E_BUSY;
  t->busy += bbw_node_complete(t->node, 0, NULL, 0, NULL) == BBW_E_BUSY;
  t->busy += bbw_node_poll(t->node, &steps, &is_pending, NULL) == BBW_E_BUSY;
  t->busy += bbw_node_clear(t->node, NULL) == BBW_E_BUSY;
}

static void calls_from_inside_the_tap_are_refused(void **state) {
  (void)state;
  session s;
  session_install(&s, chain, NULL);
  tapped t = {.node = s.node};
  bbw_node_set_tap(s.node, tap, &t);
  session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  assert_int_equal(t.steps, 5); /* four operators and the output */
  assert_int_equal(t.busy, 25);
  session_end(&s);
}

/* ---- time ----------------------------------------------------------------------------------------------------------- */

static void the_next_timer_is_when_something_happens_and_not_before(void **state) {
  (void)state;
  session s;
  session_install(
      &s, "target M x peers -> y d\nsyscall::Sleep x -> y | duration_ns=40\nwire::Send x peers -> d h | deadline_ns=25",
      NULL);
  static const uint8_t peers[] = {1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2};
  bbw_named_bytes inputs[2] = {{BBW_STR("x"), {peers, 1}}, {BBW_STR("peers"), {peers, sizeof(peers)}}};
  uint64_t exec_id, at_ns;
  assert_false(bbw_node_next_timer(s.node, &at_ns));
  assert_int_equal(bbw_node_tick(s.node, 1000), BBW_OK);
  assert_int_equal(bbw_node_invoke(s.node, BBW_STR("M"), inputs, 2, &exec_id, NULL), BBW_OK);
  (void)session_poll_all(&s);
  static const struct {
    uint64_t at_ns;
    bbw_step_kind kind;
  } due[] = {{1025, BBW_STEP_WIRE_TIMEOUT}, {1040, BBW_STEP_OP_COMPLETED}};
  for (size_t i = 0; i < 2; i++) {
    assert_true(bbw_node_next_timer(s.node, &at_ns));
    assert_int_equal(at_ns, due[i].at_ns);
    unsigned before = s.counts[due[i].kind];
    assert_int_equal(bbw_node_tick(s.node, at_ns - 1), BBW_OK);
    (void)session_poll_all(&s);
    assert_int_equal(s.counts[due[i].kind], before);
    assert_int_equal(bbw_node_tick(s.node, at_ns), BBW_OK);
    (void)session_poll_all(&s);
    assert_int_equal(s.counts[due[i].kind], before + 1);
  }
  assert_false(bbw_node_next_timer(s.node, &at_ns));
  session_end(&s);
}

static void handlers_that_fail_do_not_keep_the_node_busy(void **state) {
  (void)state;
  session s;
  session_install(
      &s,
      "target M x -> y\nno.such::Op x -> y\nsyscall::EventSource -> e | kind='OpFailure'\nno.such::Op e -> f\n"
      "module::F e -> g\nsyscall::AppNotify e | name='heard'\nfunction F p -> q\nno.such::Op p -> q",
      NULL);
  (void)session_invoke(&s, "x", "1");
  assert_true(session_poll_all(&s) <= 4);
  assert_string_equal(s.log, "heard= ");
  assert_int_equal(s.counts[BBW_STEP_OP_FAILED], 3);
  session_end(&s);
}

static void a_failed_send_ends_its_request_once(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M x peers -> d h\nwire::Send x peers -> d h", NULL);
  static const uint8_t peers[] = {1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2};
  bbw_bytes peer = {peers + 16, 10};
  bbw_named_bytes inputs[2] = {{BBW_STR("x"), {peers, 1}}, {BBW_STR("peers"), {peers, sizeof(peers)}}};
  static const uint8_t site_7[] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 7};
  bbw_bytes address = {site_7, sizeof(site_7)};
  assert_int_equal(bbw_node_add_peer(s.node, peer, &address, 1, NULL), BBW_OK);
  uint64_t exec_id;
  assert_int_equal(bbw_node_invoke(s.node, BBW_STR("M"), inputs, 2, &exec_id, NULL), BBW_OK);
  (void)session_poll_all(&s);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(bbw_node_send_failed(s.node, peer, 1, BBW_STR("gone"), NULL), BBW_OK);
    (void)session_poll_all(&s);
    assert_int_equal(s.counts[BBW_STEP_WIRE_TIMEOUT], 1);
  }
  uint64_t at_ns;
  assert_false(bbw_node_next_timer(s.node, &at_ns));
  session_end(&s);
}

static void the_clock_never_goes_back_and_a_jump_forward_fires_an_interval_once(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M -> y\nsyscall::Interval -> y | period_ns=10", NULL);
  static const uint64_t times[] = {0, 3600000000000, 5, 0, 3600000000009, 3600000000010, UINT64_MAX - 20};
  static const unsigned fired[] = {1, 2, 2, 2, 2, 3, 4};
  for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
    assert_int_equal(bbw_node_tick(s.node, times[i]), BBW_OK);
    (void)session_poll_all(&s);
    assert_int_equal(s.counts[BBW_STEP_OP_COMPLETED], fired[i]);
  }
  session_end(&s);
}

static void an_interval_without_a_period_lets_the_node_rest(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M -> y z\nsyscall::Interval -> y | period_ns=0\nsyscall::Interval -> z | period_ns=-5",
                  NULL);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_OP_COMPLETED], 2);
  uint64_t at_ns;
  assert_true(bbw_node_next_timer(s.node, &at_ns));
  assert_int_equal(bbw_node_tick(s.node, at_ns), BBW_OK);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_OP_COMPLETED], 3); /* a negative period is practically never */
  session_end(&s);
}

/* ---- nodes do not notice each other ---------------------------------------------------------------------------------- */

static const char busy[] =
    "target M x t -> y z r\nmodule::F x -> a\nsyscall::Gate a t -> y\nsyscall::Sleep t -> z | "
    "duration_ns=3\nsyscall::RngU64 x -> r\n"
    "syscall::Interval -> i | period_ns=2\nsyscall::CorrelateTag i -> c\nsyscall::AppNotify c | name='tick'\n"
    "function F p -> r\nsyscall::PassThrough p -> q\nsyscall::After q -> w | delay_ns=1\nsyscall::Gate q w -> r";

static void act(session *s, unsigned turn) {
  switch (turn % 5) {
  case 0: session_invoke(s, "x", "ab"); break;
  case 1: session_invoke(s, "t", "c"); break;
  case 2:
    assert_int_equal(
        bbw_node_deliver_event(s->node, BBW_STR("M"), BBW_STR("x"), (bbw_bytes){(const uint8_t *)"d", 1}, NULL),
        BBW_OK);
    break;
  case 3: assert_int_equal(bbw_node_tick(s->node, turn), BBW_OK); break;
  default: (void)session_poll(s); break;
  }
}

static void the_same_calls_give_the_same_bytes_alone_or_beside_another_node(void **state) {
  (void)state;
  session alone, a, b;
  session_install(&alone, busy, NULL);
  session_install(&a, busy, NULL);
  session_install(&b, busy, NULL);
  for (unsigned turn = 0; turn < 60; turn++) { act(&alone, turn); }
  for (unsigned turn = 0; turn < 60; turn++) {
    act(&a, turn);
    act(&b, 3 * turn + 1);
    act(&b, turn);
  }
  session *all[3] = {&alone, &a, &b};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(bbw_node_tick(all[i]->node, 1000), BBW_OK);
    (void)session_poll_all(all[i]);
  }
  assert_int_equal(alone.steps.count, a.steps.count);
  assert_memory_equal(alone.steps.items, a.steps.items, a.steps.count);
  for (size_t i = 0; i < 3; i++) { session_end(all[i]); }
}

/* ---- random graphs under different budgets ---------------------------------------------------------------------------- */

static uint32_t draw(uint64_t *seed, uint32_t below) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*seed >> 33) % below;
}

/* Ops over earlier values; every value is an output that nothing reads, by way of a PassThrough. */
static void random_graph(char *text, size_t room, uint64_t *seed) {
  unsigned count = 3 + draw(seed, 8);
  size_t len = (size_t)snprintf(text, room, "target M v0 v1 ->");
  for (unsigned i = 2; i < count + 2; i++) { len += (size_t)snprintf(text + len, room - len, " o%u", i); }
  for (unsigned i = 2; i < count + 2; i++) {
    unsigned kind = draw(seed, 6);
    unsigned a = draw(seed, i), b = draw(seed, i);
    if (kind == 1) {
      len += (size_t)snprintf(text + len, room - len, "\nsyscall::PassThrough v%u -> v%u", a, i);
    } else {
      const char *const formats[] = {"Gate", "", "F", "Bundle", "GateDispatch", "After"};
      const char *const domains[] = {"syscall", "", "module", "composite", "syscall", "syscall"};
      len += (size_t)snprintf(text + len, room - len, "\n%s::%s v%u v%u -> v%u", domains[kind], formats[kind], a, b, i);
    }
    len += (size_t)snprintf(text + len, room - len, "\nsyscall::PassThrough v%u -> o%u", i, i);
  }
  snprintf(text + len, room - len, "\nfunction F p q -> r\nsyscall::Gate p q -> s\nsyscall::PassThrough s -> r");
}

static int compare_words(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static size_t sorted_words(char *log, char **words, size_t max) {
  size_t count = 0;
  for (char *at = strtok(log, " "); at != NULL && count < max; at = strtok(NULL, " ")) { words[count++] = at; }
  qsort(words, count, sizeof(*words), compare_words);
  return count;
}

static void run_random(session *s, const char *text, uint64_t budget, uint64_t seed) {
  bbw_config config;
  bbw_config_init(&config);
  config.cycle_op_budget = budget;
  session_install(s, text, &config);
  for (unsigned i = 0; i < 6; i++) {
    static const char *const names[] = {"v0", "v1"};
    char value[2] = {(char)('a' + i), '\0'};
    uint32_t choice = draw(&seed, 4);
    if (choice < 2) {
      session_invoke(s, names[choice], value);
    } else {
      bbw_named_bytes inputs[2] = {{BBW_STR("v0"), {(const uint8_t *)value, 1}},
                                   {BBW_STR("v1"), {(const uint8_t *)value, 1}}};
      uint64_t exec_id;
      assert_int_equal(bbw_node_invoke(s->node, BBW_STR("M"), inputs, 2, &exec_id, NULL), BBW_OK);
    }
  }
  (void)session_poll_all(s);
}

static void the_budget_never_changes_what_an_application_sees(void **state) {
  (void)state;
  for (uint64_t n = 1; n <= 500; n++) {
    uint64_t seed = n;
    char text[2048];
    random_graph(text, sizeof(text), &seed);
    session wide, narrow;
    run_random(&wide, text, 1000, seed);
    run_random(&narrow, text, 1, seed);
    char *a[512], *b[512];
    char wide_log[SESSION_LOG_MAX], narrow_log[SESSION_LOG_MAX];
    memcpy(wide_log, wide.log, sizeof(wide_log));
    memcpy(narrow_log, narrow.log, sizeof(narrow_log));
    size_t count = sorted_words(wide_log, a, 512);
    if (count != sorted_words(narrow_log, b, 512)) {
      fail_msg("seed %u: %s\n%s\n%s", (unsigned)n, text, wide.log, narrow.log);
    }
    for (size_t i = 0; i < count; i++) {
      if (strcmp(a[i], b[i]) != 0) { fail_msg("seed %u: %s\n%s\n%s", (unsigned)n, text, wide.log, narrow.log); }
    }
    session_end(&wide);
    session_end(&narrow);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_op_budget_spreads_work_over_polls_and_loses_nothing),
      cmocka_unit_test(executions_take_turns_under_a_budget),
      cmocka_unit_test(what_is_held_by_the_cap_on_executions_goes_on_without_new_work),
      cmocka_unit_test(held_work_waits_quietly_while_nothing_can_end),
      cmocka_unit_test(an_interval_without_room_lets_the_timers_behind_it_through),
      cmocka_unit_test(every_interval_starts_even_if_not_all_fit_at_once),
      cmocka_unit_test(a_lifecycle_phase_reaches_all_its_operators_even_if_not_all_fit_at_once),
      cmocka_unit_test(calls_that_double_at_each_level_keep_every_poll_bounded),
      cmocka_unit_test(an_artifact_that_swells_when_it_is_decoded_is_refused),
      cmocka_unit_test(a_completion_that_does_not_decode_leaves_the_operator_parked),
      cmocka_unit_test(unknown_repeated_and_late_completions_are_counted_and_change_nothing),
      cmocka_unit_test(a_failed_completion_says_why),
      cmocka_unit_test(surplus_results_are_dropped),
      cmocka_unit_test(a_component_may_answer_in_every_way_and_the_node_goes_on),
      cmocka_unit_test(two_completions_of_one_poll_are_applied_in_order),
      cmocka_unit_test(two_targets_of_one_node_share_components_and_nothing_else),
      cmocka_unit_test(calls_from_inside_the_tap_are_refused),
      cmocka_unit_test(the_next_timer_is_when_something_happens_and_not_before),
      cmocka_unit_test(handlers_that_fail_do_not_keep_the_node_busy),
      cmocka_unit_test(a_failed_send_ends_its_request_once),
      cmocka_unit_test(the_clock_never_goes_back_and_a_jump_forward_fires_an_interval_once),
      cmocka_unit_test(an_interval_without_a_period_lets_the_node_rest),
      cmocka_unit_test(the_same_calls_give_the_same_bytes_alone_or_beside_another_node),
      cmocka_unit_test(the_budget_never_changes_what_an_application_sees),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
