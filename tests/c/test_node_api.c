/* Node API beside deliveries: configuration, clear, tap, waker, peers, reading (Node specification §4, §7, §15, §16). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "bbw/step.h"
#include "test_mem.h"

static const char echo[] = "target M x -> y\nsyscall::PassThrough x -> y\n";
static const char parked[] = "target M x t -> y\nsyscall::After x -> a | delay_ns=100\nsyscall::PassThrough a -> y\n"
                             "syscall::Interval -> i | period_ns=50\nsyscall::IncrMetric t | name='n'\n";
static const char listening[] =
    "target M x -> y\nno.such::Op x -> y\nsyscall::EventSource -> e | kind='OpFailure'\n"
    "syscall::AppNotify e | name='failure'\n"
    "syscall::EventSource -> o | kind='BusOverflow'\nsyscall::AppNotify o | name='overflow'\n";
static const uint8_t peer_2[] = {0x00, 0x08, 0, 0, 0, 0, 0, 0, 0, 2};
static const uint8_t site_7[] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 7};
#define BYTES(array) ((bbw_bytes){array, sizeof(array)})

typedef struct fixture {
  test_mem mem;
  bbw_node *node;
  bbw_error err;
  bool is_pending;
} fixture;

static void start(fixture *f, const char *graph) {
  test_mem_init(&f->mem);
  f->is_pending = false;
  f->node = artifact_install(graph, NULL, &f->mem.mem, &f->err);
  assert_non_null(f->node);
}

static void end(fixture *f) {
  bbw_node_del(f->node);
  assert_int_equal(f->mem.live_bytes, 0);
}

static bbw_bytes poll(fixture *f) {
  bbw_bytes steps;
  assert_int_equal(bbw_node_poll(f->node, &steps, &f->is_pending, &f->err), BBW_OK);
  return steps;
}

static bbw_status deliver(fixture *f, const char *input, size_t len) {
  static const uint8_t bytes[64];
  return bbw_node_deliver_event(f->node, BBW_STR("M"), (bbw_str){input, strlen(input)}, (bbw_bytes){bytes, len},
                                &f->err);
}

static bbw_stats stats(const fixture *f) {
  bbw_stats out;
  bbw_node_stats(f->node, &out);
  return out;
}

static void defaults_and_edge_values_are_those_of_the_specification(void **state) {
  (void)state;
  bbw_config config;
  bbw_config_init(&config);
  assert_int_equal(config.cycle_op_budget, 1000);
  assert_int_equal(config.ingress_byte_budget, 268435456);
  assert_int_equal(config.envelope_caps.max_total_bytes, 16777216);
  bbw_config_init_edge(&config);
  assert_int_equal(config.ingress_byte_budget, 8388608);
  assert_int_equal(config.max_app_event_bytes, 65536);
  assert_int_equal(config.max_invoke_inputs, 16);
  assert_int_equal(config.max_invoke_bytes, 262144);
  assert_int_equal(config.max_completion_result_bytes, 65536);
  assert_int_equal(config.envelope_caps.max_slot_fills, 16);
  assert_int_equal(config.cycle_op_budget, 1000);
}

static void limits_can_be_changed_and_a_bad_one_changes_nothing(void **state) {
  (void)state;
  fixture f;
  start(&f, echo);
  bbw_config config = *bbw_node_get_config(f.node);
  config.max_app_event_bytes = 4;
  config.bus_capacity = 1; /* so four deliveries fit */
  assert_int_equal(bbw_node_set_config(f.node, &config, &f.err), BBW_OK);
  assert_int_equal(deliver(&f, "x", 5), BBW_E_OVERSIZE_PAYLOAD);
  assert_int_equal(bbw_error_number(&f.err, "cap"), 4);
  for (int i = 0; i < 4; i++) { assert_int_equal(deliver(&f, "x", 4), BBW_OK); }
  assert_int_equal(deliver(&f, "x", 4), BBW_E_INGRESS_FULL);
  assert_int_equal(stats(&f).ingress_dropped, 1);
  const char *const fields[] = {"bus_capacity", "max_outbound_queue", "max_executions"};
  for (size_t i = 0; i < 3; i++) {
    bbw_config bad = config;
    uint64_t *const values[] = {&bad.bus_capacity, &bad.max_outbound_queue, &bad.max_executions};
    *values[i] = 0;
    assert_int_equal(bbw_node_set_config(f.node, &bad, &f.err), BBW_E_ARG);
    assert_true(bbw_str_equal(bbw_error_field(&f.err, "field"), (bbw_str){fields[i], strlen(fields[i])}));
    assert_int_equal(bbw_node_get_config(f.node)->bus_capacity, 1);
  }
  end(&f);
}

static void clear_forgets_what_waits_and_keeps_the_rest(void **state) {
  (void)state;
  fixture f;
  start(&f, parked);
  assert_int_equal(deliver(&f, "x", 3), BBW_OK);
  assert_int_equal(deliver(&f, "t", 3), BBW_OK);
  (void)poll(&f);
  assert_int_equal(deliver(&f, "x", 3), BBW_OK);
  uint64_t counter = 0;
  assert_true(bbw_node_counter(f.node, BBW_STR("n"), &counter));
  assert_int_equal(stats(&f).pending_async, 1);
  assert_int_equal(bbw_node_clear(f.node, &f.err), BBW_OK);
  bbw_stats after = stats(&f);
  assert_int_equal(after.executions + after.pending_async + after.ingress_depth + after.ingress_bytes_in_flight, 0);
  assert_int_equal(after.slot_table_occupied + after.timers + after.frontier_len, 0);
  assert_false(bbw_node_counter(f.node, BBW_STR("n"), &counter));
  (void)poll(&f); /* the interval starts again */
  assert_int_equal(stats(&f).timers, 1);
  assert_int_equal(deliver(&f, "x", 3), BBW_OK);
  (void)poll(&f);
  assert_int_equal(stats(&f).pending_async, 1);
  end(&f);
}

typedef struct tapped {
  fixture *f;
  size_t steps;
  bbw_status status;
} tapped;

static void on_step(void *ctx, const bbw_step *step) {
  tapped *t = ctx;
  (void)step;
  t->steps++;
  t->status = deliver(t->f, "x", 1);
}

static void the_tap_sees_every_step_and_cannot_call_the_node(void **state) {
  (void)state;
  fixture f;
  start(&f, echo);
  tapped t = {.f = &f};
  bbw_node_set_tap(f.node, on_step, &t);
  assert_int_equal(deliver(&f, "x", 1), BBW_OK);
  bbw_bytes steps = poll(&f);
  bbw_step step;
  size_t count = 0;
  for (size_t at = 0; bbw_steps_next(steps, &at, &step); count++) {}
  assert_int_equal(count, 3);
  assert_int_equal(t.steps, 3);
  assert_int_equal(t.status, BBW_E_BUSY);
  bbw_node_set_tap(f.node, NULL, NULL);
  assert_int_equal(deliver(&f, "x", 1), BBW_OK);
  (void)poll(&f);
  assert_int_equal(t.steps, 3);
  end(&f);
}

static size_t count_topic(bbw_bytes steps, bbw_str topic) {
  size_t at = 0, count = 0;
  bbw_step step;
  while (bbw_steps_next(steps, &at, &step)) {
    bool is_event = step.kind == BBW_STEP_APP_EVENT && bbw_step_text(&step, "module_name").len == 0;
    count += is_event && bbw_str_equal(bbw_step_text(&step, "topic"), topic);
  }
  return count;
}

static void the_bus_drops_the_oldest_and_says_so(void **state) {
  (void)state;
  fixture f;
  start(&f, listening);
  bbw_config config = *bbw_node_get_config(f.node);
  config.bus_capacity = 2;
  assert_int_equal(bbw_node_set_config(f.node, &config, &f.err), BBW_OK);
  for (int i = 0; i < 3; i++) { assert_int_equal(deliver(&f, "x", 1), BBW_OK); }
  bbw_bytes steps = poll(
      &f); /* three failures, the first is dropped, and then its notice takes the place of the second */
  assert_int_equal(count_topic(steps, BBW_STR("failure")), 1);
  assert_int_equal(count_topic(steps, BBW_STR("overflow")), 1);
  assert_int_equal(stats(&f).bus_dropped, 2);
  end(&f);
}

static void on_wake(void *ctx) { ++*(int *)ctx; }

static void the_waker_is_called_once_per_sleep(void **state) {
  (void)state;
  fixture f;
  start(&f, parked);
  int wakes = 0;
  bbw_node_set_waker(f.node, on_wake, &wakes);
  assert_int_equal(deliver(&f, "x", 1), BBW_OK);
  assert_int_equal(wakes, 0); /* the node was never polled, so the host is not asleep */
  while (!f.is_pending) { (void)poll(&f); }
  assert_int_equal(deliver(&f, "t", 1), BBW_OK);
  assert_int_equal(deliver(&f, "t", 1), BBW_OK);
  assert_int_equal(wakes, 1);
  do { (void)poll(&f); } while (!f.is_pending);
  assert_int_equal(bbw_node_complete(f.node, 0, NULL, 0, &f.err), BBW_OK);
  assert_int_equal(wakes, 2);
  do { (void)poll(&f); } while (!f.is_pending);
  assert_int_equal(bbw_node_fire_lifecycle(f.node, BBW_STR("p"), &f.err), BBW_OK);
  assert_int_equal(wakes, 3);
  assert_int_equal(bbw_node_complete(f.node, 0, NULL, 0, &f.err), BBW_E_UNKNOWN_COMMAND); /* no work, no call */
  assert_int_equal(wakes, 3);
  end(&f);
}

static void a_node_at_rest_needs_no_poll(void **state) {
  (void)state;
  fixture f;
  start(&f, parked);
  assert_int_equal(deliver(&f, "x", 1), BBW_OK);
  int polls = 0;
  do {
    (void)poll(&f);
    polls++;
  } while (!f.is_pending);
  assert_in_range(polls, 1, 2);
  uint64_t at_ns = 0;
  assert_true(bbw_node_next_timer(f.node, &at_ns));
  assert_int_equal(at_ns, 50);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(poll(&f).len, 0);
    assert_true(f.is_pending);
  }
  end(&f);
}

static void addresses_of_peers_and_of_the_node(void **state) {
  (void)state;
  fixture f;
  start(&f, echo);
  const bbw_bytes *items;
  size_t count;
  assert_false(bbw_node_peer_addresses(f.node, BYTES(peer_2), &items, &count));
  bbw_bytes list = BYTES(site_7);
  assert_int_equal(bbw_node_add_peer(f.node, BYTES(peer_2), &list, 0, &f.err), BBW_E_AB_EMPTY);
  assert_int_equal(bbw_node_add_peer(f.node, BYTES(peer_2), &list, 1, &f.err), BBW_OK);
  assert_true(bbw_node_peer_addresses(f.node, BYTES(peer_2), &items, &count));
  assert_int_equal(count, 1);
  assert_true(bbw_bytes_equal(items[0], list));
  assert_non_null(bbw_node_known_peer(f.node, 1));
  assert_null(bbw_node_known_peer(f.node, 2));
  assert_int_equal(bbw_node_drop_peer(f.node, BYTES(peer_2), &f.err), BBW_OK);
  assert_int_equal(bbw_node_drop_peer(f.node, BYTES(peer_2), &f.err), BBW_E_AB_UNKNOWN_PEER);
  uint8_t self[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes own = {self, bbw_peer_id_encode(bbw_node_peer_id(f.node), self)};
  for (int i = 0; i < 2; i++) { assert_int_equal(bbw_node_add_local_address(f.node, list, &f.err), BBW_OK); }
  assert_true(bbw_node_peer_addresses(f.node, own, &items, &count));
  assert_int_equal(count, 2); /* the one from install and this one, once */
  assert_int_equal(bbw_node_forget_local_address(f.node, list, &f.err), BBW_OK);
  assert_true(bbw_node_peer_addresses(f.node, own, &items, &count));
  assert_int_equal(count, 1);
  assert_int_equal(bbw_node_add_local_address(f.node, (bbw_bytes){site_7, 3}, &f.err), BBW_E_TRUNCATED);
  end(&f);
}

static void health_counts_failures_and_reports_a_peer_that_goes_down(void **state) {
  (void)state;
  fixture f;
  start(&f, echo);
  bbw_peer_standing standing;
  assert_false(bbw_node_peer_health(f.node, BYTES(peer_2), &standing));
  bool is_reported = false;
  for (unsigned i = 1; i <= 5; i++) {
    assert_int_equal(bbw_node_send_failed(f.node, BYTES(peer_2), 99, BBW_STR("nak"), &f.err), BBW_OK);
    bbw_bytes steps = poll(&f);
    bbw_step step;
    for (size_t at = 0; bbw_steps_next(steps, &at, &step);) { is_reported = step.kind == BBW_STEP_PEER_DOWN; }
    assert_true(bbw_node_peer_health(f.node, BYTES(peer_2), &standing));
    assert_int_equal(standing.consecutive_failures, i);
    assert_int_equal(standing.is_down, i == 5);
    assert_int_equal(is_reported, i == 5);
  }
  end(&f);
}

static void what_can_be_read(void **state) {
  (void)state;
  fixture f;
  start(&f, parked);
  size_t index;
  uint32_t filled;
  assert_false(bbw_node_slot(f.node, BBW_STR("nothing"), &index));
  assert_true(bbw_node_model(f.node).len > 0);
  assert_int_equal(bbw_node_module_count(f.node), 1);
  uint64_t exec_id;
  bbw_named_bytes input = {BBW_STR("x"), {(const uint8_t *)"z", 1}};
  assert_int_equal(bbw_node_invoke(f.node, BBW_STR("M"), &input, 1, &exec_id, &f.err), BBW_OK);
  (void)poll(&f);
  assert_true(bbw_node_execution(f.node, exec_id, &filled));
  assert_int_equal(filled, 1);
  assert_int_equal(bbw_node_tick(f.node, 100), BBW_OK);
  (void)poll(&f);
  (void)poll(&f);
  assert_false(bbw_node_execution(f.node, exec_id, &filled));
  end(&f);
}

static void take_snapshot(fixture *f, uint8_t **bytes, size_t *len) {
  assert_int_equal(bbw_node_snapshot(f->node, bytes, len, &bbw_mem_libc, &f->err), BBW_OK);
}

static void fetching_changes_nothing(void **state) {
  (void)state;
  static const char *const graphs[] = {echo, parked};
  for (size_t g = 0; g < 2; g++) {
    fixture f;
    start(&f, graphs[g]);
    for (int turn = 0; turn < 3; turn++) { /* untouched, with something in the queue, after a poll */
      if (turn == 1) { assert_int_equal(deliver(&f, "x", 8), BBW_OK); }
      if (turn == 2) { (void)poll(&f); }
      uint8_t *before, *after;
      size_t before_len, after_len;
      take_snapshot(&f, &before, &before_len);
      for (uint32_t step = 0; step <= BBW_FETCH_STEPS; step++) {
        bbw_node_fetch(f.node, false, step);
        bbw_node_fetch(f.node, true, step);
      }
      take_snapshot(&f, &after, &after_len);
      assert_int_equal(before_len, after_len);
      assert_memory_equal(before, after, after_len);
      bbw_mem_libc.free(NULL, before, before_len);
      bbw_mem_libc.free(NULL, after, after_len);
    }
    end(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(defaults_and_edge_values_are_those_of_the_specification),
      cmocka_unit_test(limits_can_be_changed_and_a_bad_one_changes_nothing),
      cmocka_unit_test(clear_forgets_what_waits_and_keeps_the_rest),
      cmocka_unit_test(the_tap_sees_every_step_and_cannot_call_the_node),
      cmocka_unit_test(the_bus_drops_the_oldest_and_says_so),
      cmocka_unit_test(the_waker_is_called_once_per_sleep),
      cmocka_unit_test(a_node_at_rest_needs_no_poll),
      cmocka_unit_test(addresses_of_peers_and_of_the_node),
      cmocka_unit_test(health_counts_failures_and_reports_a_peer_that_goes_down),
      cmocka_unit_test(what_can_be_read),
      cmocka_unit_test(fetching_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
