/* Waiting: deadlines of parked operators, executions that are ended, the time budget of a poll, and how often a host has to poll (engine specification §7, §11, §16). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "session.h"

/* A component that always answers later, and remembers whom nobody waits for any more. */
static uint64_t cancelled[16];
static size_t cancelled_count;

static bbw_status slow_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                 const bbw_mem *mem, bbw_error *err) {
  (void)type, (void)has_config, (void)config, (void)mem, (void)err;
  static int nothing;
  *self = &nothing;
  return BBW_OK;
}
static void slow_destroy(void *self, const bbw_mem *mem) { (void)self, (void)mem; }
static bbw_status slow_dispatch(void *self, bbw_ctx *ctx) {
  (void)self;
  uint64_t cmd_id;
  bbw_status rv = bbw_ctx_later(ctx, &cmd_id);
  return rv == BBW_OK ? BBW_LATER : rv;
}
static void slow_cancel(void *self, uint64_t cmd_id) {
  (void)self;
  assert_true(cancelled_count < 16);
  cancelled[cancelled_count++] = cmd_id;
}
static const bbw_component_type slow = {
    .type_name = "Slow",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_MODEL),
    .construct = slow_construct,
    .destroy = slow_destroy,
    .dispatch = slow_dispatch,
    .cancel = slow_cancel,
};

static void install_slow(session *s, const char *text, const bbw_config *config) {
  static const bbw_component_type *const types[] = {&slow};
  cancelled_count = 0;
  session_install_with(s, text, config, types, 1);
}

static void tick(const session *s, uint64_t now_ns) { assert_int_equal(bbw_node_tick(s->node, now_ns), BBW_OK); }

static const char waiting[] = "slot m Model|Slow\ntarget M x -> y\nrole.model::Forward x -> y";
static const char hurried[] = "slot m Model|Slow\ntarget M x -> y\nrole.model::Forward x -> y | deadline_ns=100";

/* ---- deadlines ------------------------------------------------------------------------------------------------------ */

static void without_a_limit_an_operator_waits_for_ever(void **state) {
  (void)state;
  session s;
  install_slow(&s, waiting, NULL);
  (void)session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  uint64_t at_ns;
  assert_false(bbw_node_next_timer(s.node, &at_ns));
  tick(&s, UINT64_MAX - 1);
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).pending_async, 1);
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y= ");
  session_end(&s);
}

static void a_deadline_that_passes_fails_the_operator_and_tells_the_component(void **state) {
  (void)state;
  session s;
  install_slow(&s, hurried, NULL);
  tick(&s, 1000);
  (void)session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  uint64_t at_ns = 0;
  assert_true(bbw_node_next_timer(s.node, &at_ns));
  assert_int_equal(at_ns, 1100);
  tick(&s, 1099);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_OP_FAILED], 0);
  tick(&s, 1100);
  (void)session_poll_all(&s);
  assert_string_equal(s.failed, "Timeout/deadline_exceeded");
  assert_int_equal(cancelled_count, 1);
  assert_int_equal(cancelled[0], s.last_cmd);
  bbw_error err;
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, &err), BBW_E_UNKNOWN_COMMAND);
  assert_true(bbw_str_equal(bbw_error_field(&err, "reason"), BBW_STR("late")));
  assert_int_equal(session_stats(&s).late_completions, 1);
  assert_string_equal(s.log, "");
  session_end(&s);
}

static void an_outcome_that_is_there_when_the_deadline_passes_wins(void **state) {
  (void)state;
  session s;
  install_slow(&s, hurried, NULL);
  (void)session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_OK);
  tick(&s, 5000);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y= ");
  assert_int_equal(s.counts[BBW_STEP_OP_FAILED], 0);
  assert_int_equal(cancelled_count, 0);
  session_end(&s);
}

static void the_limit_of_the_node_holds_for_components_and_the_host_only(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.async_deadline_ns = 50;
  session s;
  install_slow(&s,
               "slot m Model|Slow\ntarget M x t h -> y z w\nrole.model::Forward x -> y\nsyscall::Sleep t -> z | "
               "duration_ns=500\nsyscall::BootstrapDispatch h -> c\nsyscall::BootstrapOutput c -> w",
               &config);
  tick(&s, 10);
  (void)session_invoke(&s, "x", "1");
  (void)session_invoke(&s, "t", "1");
  (void)session_invoke(&s, "h", "1");
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).pending_async, 3);
  tick(&s, 60);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_OP_FAILED], 2);
  assert_int_equal(session_stats(&s).pending_async, 1);
  tick(&s, 510);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "z= ");
  session_end(&s);
}

static void deadlines_pass_in_their_order_whatever_the_order_of_parking(void **state) {
  (void)state;
  char text[4096] = "slot m Model|Slow\ntarget M x -> y\nsyscall::PassThrough x -> y\n";
  static const unsigned deadlines[] = {70, 10, 50, 30, 90, 20, 80, 40, 60, 10};
  for (size_t i = 0; i < 10; i++) {
    char line[96];
    snprintf(line, sizeof(line), "role.model::Forward x -> v%zu | deadline_ns=%u\n", i, deadlines[i]);
    strcat(text, line);
  }
  text[strlen(text) - 1] = '\0';
  session s;
  install_slow(&s, text, NULL);
  (void)session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  uint64_t first = s.last_cmd - 9; /* parked in node order */
  /* Some leave the heap early, from its middle too. */
  assert_int_equal(bbw_node_complete(s.node, first + 2, NULL, 0, NULL), BBW_OK);
  assert_int_equal(bbw_node_fail(s.node, first + 5, BBW_STR("no"), NULL), BBW_OK);
  (void)session_poll_all(&s);
  tick(&s, 1000);
  (void)session_poll_all(&s);
  static const unsigned order[] = {1, 9, 3, 7, 8, 0, 6, 4};
  assert_int_equal(cancelled_count, 8);
  for (size_t i = 0; i < 8; i++) { assert_int_equal(cancelled[i], first + order[i]); }
  uint64_t at_ns;
  assert_false(bbw_node_next_timer(s.node, &at_ns));
  session_end(&s);
}

static void deadlines_survive_a_restore(void **state) {
  (void)state;
  session s;
  install_slow(&s, hurried, NULL);
  (void)session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  uint8_t *bytes;
  size_t len;
  assert_int_equal(bbw_node_snapshot(s.node, &bytes, &len, &s.mem.mem, NULL), BBW_OK);
  tick(&s, 100);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_OP_FAILED], 1);
  assert_int_equal(bbw_node_restore(s.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
  s.mem.mem.free(s.mem.mem.ctx, bytes, len);
  uint64_t at_ns;
  assert_true(bbw_node_next_timer(s.node, &at_ns));
  assert_int_equal(at_ns, 100);
  tick(&s, 100);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_OP_FAILED], 2);
  session_end(&s);
}

static void answers_in_time_leave_no_deadline_behind(void **state) {
  (void)state;
  session s;
  install_slow(&s, "slot m Model|Slow\ntarget M x -> y\nrole.model::Forward x -> y | deadline_ns=1000000000000", NULL);
  size_t bytes = 0;
  for (unsigned i = 0; i < 2000; i++) {
    (void)session_invoke(&s, "x", "1");
    (void)session_poll(&s);
    assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_OK);
    (void)session_poll(&s);
    if (i == 100) { bytes = s.mem.live_bytes; }
  }
  assert_int_equal(s.mem.live_bytes, bytes);
  uint64_t at_ns;
  assert_false(bbw_node_next_timer(s.node, &at_ns));
  session_end(&s);
}

/* ---- ending executions ---------------------------------------------------------------------------------------------- */

static void an_execution_that_is_ended_is_gone_with_all_that_runs_in_it(void **state) {
  (void)state;
  session s;
  install_slow(
      &s,
      "slot m Model|Slow\ntarget M x -> y z\nmodule::F x -> y\nrole.model::Forward x -> z\nsyscall::Sleep x -> w "
      "| duration_ns=9\nfunction F p -> r\nrole.model::Params p -> q\nsyscall::Gate p q -> r",
      NULL);
  uint64_t doomed = session_invoke(&s, "x", "1");
  uint64_t other = session_invoke(&s, "x", "2");
  (void)session_poll_all(&s);
  assert_int_equal(session_stats(&s).executions, 4);
  assert_int_equal(session_stats(&s).pending_async, 6);
  assert_int_equal(bbw_node_cancel(s.node, doomed, NULL), BBW_OK);
  assert_int_equal(session_stats(&s).executions, 2);
  assert_int_equal(session_stats(&s).pending_async, 3);
  assert_int_equal(session_stats(&s).ingress_bytes_in_flight, 1);
  assert_int_equal(cancelled_count, 2); /* Sleep has no component */
  bbw_error err;
  assert_int_equal(bbw_node_cancel(s.node, doomed, &err), BBW_E_UNKNOWN_EXECUTION);
  assert_int_equal(bbw_error_number(&err, "exec_id"), doomed);
  tick(&s, 9); /* the timer of the one that is gone finds nobody */
  (void)session_poll_all(&s);
  assert_int_equal(bbw_node_cancel(s.node, other, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "");
  session_end(&s);
}

static void ending_a_function_call_ends_its_caller_too(void **state) {
  (void)state;
  session s;
  install_slow(&s, "slot m Model|Slow\ntarget M x -> y\nmodule::F x -> y\nfunction F p -> r\nrole.model::Params p -> r",
               NULL);
  uint64_t exec_id = session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  assert_int_equal(bbw_node_cancel(s.node, exec_id + 1, NULL), BBW_OK); /* the body's id follows the caller's */
  assert_int_equal(session_stats(&s).executions, 0);
  session_end(&s);
}

static void queued_work_can_be_ended_before_it_runs(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.cycle_op_budget = 1;
  session s;
  install_slow(&s, "target M x -> y\nsyscall::PassThrough x -> a\nsyscall::PassThrough a -> y", &config);
  uint64_t ids[4];
  for (size_t i = 0; i < 4; i++) { ids[i] = session_invoke(&s, "x", (const char *[]){"1", "2", "3", "4"}[i]); }
  assert_int_equal(bbw_node_cancel(s.node, ids[1], NULL), BBW_OK); /* still in the ingress queue */
  assert_int_equal(session_stats(&s).ingress_depth, 3);
  (void)session_poll(&s);
  assert_int_equal(bbw_node_cancel(s.node, ids[2], NULL), BBW_OK); /* in the frontier */
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y=31 y=34 ");
  session_end(&s);
}

static void a_place_that_was_waited_for_goes_to_the_next(void **state) {
  (void)state;
  session s;
  install_slow(&s,
               "target M x r -> y z\nsyscall::Limit.Acquire x -> a | name='l'\nsyscall::Gate x a -> y\n"
               "syscall::Limit.Release r -> z | name='l'",
               NULL);
  (void)session_invoke(&s, "x", "1");
  uint64_t second = session_invoke(&s, "x", "2");
  (void)session_invoke(&s, "x", "3");
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y=31 ");
  assert_int_equal(bbw_node_cancel(s.node, second, NULL), BBW_OK);
  (void)session_invoke(&s, "r", "");
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y=31 z= y=33 ");
  assert_int_equal(session_stats(&s).late_completions, 0);
  session_end(&s);
}

static void ending_a_bootstrap_leaves_its_target_to_do(void **state) {
  (void)state;
  session s;
  install_slow(&s,
               "slot m Model|Slow\ntarget M x -> y\nsyscall::PassThrough x -> y\nbootstrap B\nsyscall::Pulse -> p\n"
               "role.model::Params p -> q",
               NULL);
  assert_int_equal(bbw_node_run_bootstrap(s.node, NULL, 0, NULL), BBW_OK);
  (void)session_poll_all(&s);
  (void)session_invoke(&s, "x", "1");
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "");
  assert_int_equal(bbw_node_cancel(s.node, 0, NULL), BBW_OK);
  (void)session_poll_all(&s);
  assert_string_equal(s.log, "y=31 ");
  bool is_done = true;
  (void)bbw_node_bootstrap_name(s.node, 0, &is_done);
  assert_false(is_done);
  session_end(&s);
}

/* ---- the time budget ------------------------------------------------------------------------------------------------ */

typedef struct clock {
  unsigned asked, up_at; /* the time is up from that question on; 0: the clock stands still */
} clock;

static bool is_up(void *ctx) {
  clock *c = ctx;
  c->asked++;
  return c->up_at != 0 && c->asked >= c->up_at;
}

static void a_poll_ends_when_its_time_is_up_and_loses_nothing(void **state) {
  (void)state;
  session s;
  session_install(&s, "target M x -> y\nsyscall::PassThrough x -> y", NULL);
  clock c = {.up_at = 1};
  bbw_node_set_time_budget(s.node, is_up, &c, 4);
  for (int i = 0; i < 10; i++) { (void)session_invoke(&s, "x", "1"); }
  assert_false(session_poll(&s));
  assert_int_equal(s.counts[BBW_STEP_OP_COMPLETED], 4);
  assert_int_equal(s.counts[BBW_STEP_CYCLE_BUDGET_EXCEEDED], 1);
  assert_false(session_poll(&s));
  assert_int_equal(s.counts[BBW_STEP_OP_COMPLETED], 8);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_OP_COMPLETED], 10);
  assert_int_equal(c.asked, 2); /* the last poll had only two ops */
  session_end(&s);
}

static void a_clock_that_stands_still_leaves_it_to_the_operator_budget(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  config.cycle_op_budget = 50;
  session s;
  session_install(&s, "target M x -> y\nsyscall::PassThrough x -> y", &config);
  clock c = {.up_at = 0};
  bbw_node_set_time_budget(s.node, is_up, &c, 0); /* 0 counts as 1 */
  for (int i = 0; i < 90; i++) { (void)session_invoke(&s, "x", "1"); }
  assert_false(session_poll(&s));
  assert_int_equal(s.counts[BBW_STEP_OP_COMPLETED], 50);
  assert_int_equal(c.asked, 49); /* at the operator budget nobody asks any more */
  bbw_node_set_time_budget(s.node, NULL, NULL, 1);
  (void)session_poll_all(&s);
  assert_int_equal(s.counts[BBW_STEP_OP_COMPLETED], 90);
  assert_int_equal(c.asked, 49);
  session_end(&s);
}

/* ---- how often a host polls ----------------------------------------------------------------------------------------- */

typedef struct host {
  session *s;
  bool is_awake;
  unsigned woken, polls;
} host;

static void wake(void *ctx) {
  host *h = ctx;
  h->is_awake = true;
  h->woken++;
}

/* Polls as a driver does: as long as the node is not at rest, then only when it is woken. */
static void host_run(host *h) {
  while (h->is_awake) {
    h->is_awake = !session_poll(h->s);
    h->polls++;
    assert_true(h->polls < 1000);
  }
}

static void host_start(host *h, session *s) {
  *h = (host){.s = s, .is_awake = true};
  bbw_node_set_waker(s->node, wake, h);
  host_run(h);
}

static void an_idle_node_is_polled_once_and_once_per_delivery(void **state) {
  (void)state;
  session s;
  host h;
  session_install(&s, "target M x -> y\nsyscall::PassThrough x -> y", NULL);
  host_start(&h, &s);
  assert_int_equal(h.polls, 1);
  for (unsigned i = 1; i <= 5; i++) {
    (void)session_invoke(&s, "x", "1");
    (void)session_invoke(&s, "x", "2"); /* does not wake again */
    assert_int_equal(h.woken, i);
    host_run(&h);
    assert_int_equal(h.polls, 1 + i);
  }
  session_end(&s);
}

static void a_waiting_node_is_polled_once_until_the_answer_or_the_timer_comes(void **state) {
  (void)state;
  session s;
  host h;
  install_slow(&s,
               "slot m Model|Slow\ntarget M x t -> y z\nrole.model::Forward x -> y | deadline_ns=500\nsyscall::After t "
               "-> z | delay_ns=70",
               NULL);
  host_start(&h, &s);
  (void)session_invoke(&s, "x", "1");
  (void)session_invoke(&s, "t", "1");
  host_run(&h);
  assert_int_equal(h.polls, 2);
  host_run(&h); /* nobody woke it */
  assert_int_equal(h.polls, 2);
  uint64_t at_ns;
  assert_true(bbw_node_next_timer(s.node, &at_ns));
  assert_int_equal(at_ns, 70);
  tick(&s, at_ns);
  h.is_awake = true; /* the host's own timer */
  host_run(&h);
  assert_int_equal(h.polls, 3);
  assert_string_equal(s.log, "z= ");
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL),
                   BBW_E_UNKNOWN_COMMAND); /* After's, long over */
  assert_int_equal(h.woken, 1);
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd - 1, NULL, 0, NULL), BBW_OK);
  assert_int_equal(h.woken, 2);
  host_run(&h);
  assert_int_equal(h.polls, 4);
  assert_string_equal(s.log, "z= y= ");
  session_end(&s);
}

static void a_node_whose_bootstrap_waits_is_polled_once_whatever_is_delivered(void **state) {
  (void)state;
  session s;
  host h;
  install_slow(&s,
               "slot m Model|Slow\ntarget M x -> y\nsyscall::PassThrough x -> y\nbootstrap B\nsyscall::Pulse -> p\n"
               "role.model::Params p -> q\nsyscall::PassThrough q -> w",
               NULL);
  host_start(&h, &s);
  assert_int_equal(bbw_node_run_bootstrap(s.node, NULL, 0, NULL), BBW_OK);
  host_run(&h);
  assert_int_equal(h.polls, 2);
  for (unsigned i = 0; i < 5; i++) {
    (void)session_invoke(&s, "x", "1"); /* waits until the bootstrap is over */
    host_run(&h);
    assert_int_equal(h.polls, 3 + i);
  }
  assert_int_equal(s.counts[BBW_STEP_WAITING_ON_BOOTSTRAP], 1);
  assert_int_equal(bbw_node_complete(s.node, s.last_cmd, NULL, 0, NULL), BBW_OK);
  host_run(&h);
  assert_true(h.polls <= 9);
  assert_int_equal(s.counts[BBW_STEP_BOOTSTRAP_COMPLETE], 1);
  assert_string_equal(s.log, "y=31 y=31 y=31 y=31 y=31 ");
  session_end(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_a_limit_an_operator_waits_for_ever),
      cmocka_unit_test(a_deadline_that_passes_fails_the_operator_and_tells_the_component),
      cmocka_unit_test(an_outcome_that_is_there_when_the_deadline_passes_wins),
      cmocka_unit_test(the_limit_of_the_node_holds_for_components_and_the_host_only),
      cmocka_unit_test(deadlines_pass_in_their_order_whatever_the_order_of_parking),
      cmocka_unit_test(deadlines_survive_a_restore),
      cmocka_unit_test(answers_in_time_leave_no_deadline_behind),
      cmocka_unit_test(an_execution_that_is_ended_is_gone_with_all_that_runs_in_it),
      cmocka_unit_test(ending_a_function_call_ends_its_caller_too),
      cmocka_unit_test(queued_work_can_be_ended_before_it_runs),
      cmocka_unit_test(a_place_that_was_waited_for_goes_to_the_next),
      cmocka_unit_test(ending_a_bootstrap_leaves_its_target_to_do),
      cmocka_unit_test(a_poll_ends_when_its_time_is_up_and_loses_nothing),
      cmocka_unit_test(a_clock_that_stands_still_leaves_it_to_the_operator_budget),
      cmocka_unit_test(an_idle_node_is_polled_once_and_once_per_delivery),
      cmocka_unit_test(a_waiting_node_is_polled_once_until_the_answer_or_the_timer_comes),
      cmocka_unit_test(a_node_whose_bootstrap_waits_is_polled_once_whatever_is_delivered),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
