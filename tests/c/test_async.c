/* Operators that answered "later": which are resumed and whose deadline passes first, against a plain list, over seeded runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/async.h"
#include "test_mem.h"

enum { COMMANDS_MAX = 400 };

typedef struct command {
  uint64_t deadline_ns;
  bool is_open, is_waiting, is_resumed;
} command;

typedef struct subject {
  test_mem mem;
  bbw_async async;
  command commands[COMMANDS_MAX]; /* by id */
  uint64_t count;
  uint64_t seed;
} subject;

static uint64_t draw(subject *s, uint64_t below) {
  s->seed = s->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (s->seed >> 33) % below;
}

static void assert_same_order(subject *s) {
  const bbw_parked *parked = bbw_async_next_resumed(&s->async, 0);
  uint64_t first = UINT64_MAX;
  for (uint64_t id = 0; id < s->count; id++) {
    const command *wanted = &s->commands[id];
    if (wanted->is_resumed) {
      assert_non_null(parked);
      assert_int_equal(parked->cmd_id, id);
      parked = bbw_async_next_resumed(&s->async, id + 1);
    }
    bool has_deadline = wanted->is_waiting && wanted->deadline_ns != BBW_NEVER_NS;
    if (has_deadline && (first == UINT64_MAX || wanted->deadline_ns < s->commands[first].deadline_ns)) { first = id; }
  }
  assert_null(parked);
  parked = bbw_async_next_deadline(&s->async);
  assert_int_equal(parked == NULL ? UINT64_MAX : parked->cmd_id, first);
}

static void open_one(subject *s) {
  uint64_t id;
  assert_int_equal(bbw_async_open(&s->async, &id), BBW_OK);
  assert_int_equal(id, s->count);
  s->commands[id] = (command){.is_open = true, .is_waiting = true, .deadline_ns = BBW_NEVER_NS};
  s->count++;
}

static void change_one(subject *s) {
  uint64_t id = draw(s, s->count);
  command *wanted = &s->commands[id];
  bbw_parked *parked = bbw_async_find(&s->async, id);
  assert_int_equal(parked != NULL, wanted->is_open);
  switch (draw(s, 4)) {
  case 0:
    if (!wanted->is_waiting || wanted->is_resumed) { return; }
    assert_true(bbw_async_reserve_resumed(&s->async));
    bbw_async_resume(&s->async, parked);
    wanted->is_resumed = true;
    return;
  case 1:
    if (!wanted->is_waiting) { return; }
    wanted->deadline_ns = draw(s, 8) == 0 ? BBW_NEVER_NS : draw(s, 20); /* equal ones are common */
    bbw_async_set_deadline(&s->async, parked, wanted->deadline_ns);
    return;
  case 2:
    assert_int_equal(bbw_async_complete(&s->async, id, NULL, 0), wanted->is_waiting ? BBW_OK : BBW_E_UNKNOWN_COMMAND);
    wanted->is_waiting = wanted->is_resumed = false;
    return;
  default: bbw_async_close(&s->async, id); *wanted = (command){.is_open = false};
  }
}

static void order_is_that_of_a_plain_list(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 40; seed++) {
    subject *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->seed = seed;
    test_mem_init(&s->mem);
    bbw_async_init(&s->async, &s->mem.mem);
    while (s->count < COMMANDS_MAX) {
      if (s->count == 0 || draw(s, 3) == 0) {
        open_one(s);
      } else {
        change_one(s);
      }
      assert_same_order(s);
    }
    if (seed % 2 == 0) { bbw_async_clear(&s->async); }
    if (seed % 2 == 0) { assert_null(bbw_async_next_resumed(&s->async, 0)); }
    bbw_async_free(&s->async);
    assert_int_equal(s->mem.live_bytes, 0);
    free(s);
  }
}

static void no_room_for_one_more_changes_nothing(void **state) {
  (void)state;
  test_mem mem;
  test_mem_init(&mem);
  bbw_async async;
  bbw_async_init(&async, &mem.mem);
  uint64_t id;
  assert_int_equal(bbw_async_open(&async, &id), BBW_OK);
  (void)test_mem_fail_at(&mem, 0);
  assert_false(bbw_async_reserve_resumed(&async));
  assert_null(bbw_async_next_resumed(&async, 0));
  (void)test_mem_fail_at(&mem, TEST_MEM_NEVER);
  assert_true(bbw_async_reserve_resumed(&async));
  bbw_async_resume(&async, bbw_async_find(&async, id));
  assert_int_equal(bbw_async_next_resumed(&async, 0)->cmd_id, id);
  bbw_async_free(&async);
  assert_int_equal(mem.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(order_is_that_of_a_plain_list),
      cmocka_unit_test(no_room_for_one_more_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
