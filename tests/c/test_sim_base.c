/* What the simulator stands on: its queue of events and the pool that its Nodes live in.  Everything else of it is tested by its runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../sim/base.h"

typedef struct row {
  uint64_t at_ns, number;
} row;

static int by_time_then_number(const void *a, const void *b) {
  const row *x = a, *y = b;
  if (x->at_ns != y->at_ns) { return x->at_ns < y->at_ns ? -1 : 1; }
  return x->number < y->number ? -1 : x->number > y->number;
}

static void events_come_in_order_of_time_then_of_their_push(void **state) {
  (void)state;
  enum { COUNT = 3000 };
  static row rows[COUNT];
  for (size_t count = 0; count <= COUNT; count = count < 70 ? count + 1 : count * 2 + 7) {
    sim_queue queue = {.count = 0};
    sim_rng rng = sim_rng_new(count, 1);
    for (size_t i = 0; i < count; i++) {
      rows[i] = (row){sim_rng_below(&rng, count / 2 + 1) << (10 * (count % 4)), i}; /* many at the same time */
      if (i % 7 == 0) { rows[i].at_ns = UINT64_MAX; }
      sim_queue_push(&queue, rows[i].at_ns, (uint32_t)i % SIM_EVENT_KINDS, SIM_EVENT_NODES - 1 - (uint32_t)i, i, NULL);
    }
    qsort(rows, count, sizeof(rows[0]), by_time_then_number);
    sim_event event;
    for (size_t i = 0; i < count; i++) {
      for (size_t k = 0; k < SIM_AHEAD && i + k < count; k++) {
        const sim_event *ahead = sim_queue_ahead(&queue, k);
        assert_true(ahead == NULL || ahead->a == rows[i + k].number);
      }
      assert_true(sim_queue_pop(&queue, &event));
      assert_int_equal(event.at_ns, rows[i].at_ns);
      assert_int_equal(event.a, rows[i].number);
      assert_int_equal(sim_event_kind_of(&event), rows[i].number % SIM_EVENT_KINDS);
      assert_int_equal(sim_event_node(&event), SIM_EVENT_NODES - 1 - rows[i].number);
    }
    assert_false(sim_queue_pop(&queue, &event));
    assert_null(sim_queue_ahead(&queue, 0));
    sim_queue_free(&queue);
  }
}

static void events_that_are_pushed_in_between_come_in_order_too(void **state) {
  (void)state;
  sim_queue queue = {.count = 0};
  sim_rng rng = sim_rng_new(1, 1);
  sim_event event;
  /* at once, the same day, the next ones, the whole calendar, after it */
  static const uint64_t spans_ns[] = {3, 50, 1 << 18, 1 << 26, UINT64_C(1) << 40};
  uint64_t now_ns = 0, number = 0;
  size_t pushed = 0, popped = 0, seen = 0, ties = 0;
  while (popped < 20000) {
    for (uint64_t n = sim_rng_below(&rng, 4); n > 0 && pushed < 20000; n--, pushed++) {
      sim_queue_push(&queue, now_ns + sim_rng_below(&rng, spans_ns[sim_rng_below(&rng, 5)]), 0, 0, pushed, NULL);
    }
    const sim_event *ahead = sim_queue_ahead(&queue, 0);
    uint64_t next_ns = ahead != NULL ? ahead->at_ns : UINT64_MAX;
    if (!sim_queue_pop(&queue, &event)) { continue; }
    assert_true(popped == 0 || event.at_ns > now_ns || (event.at_ns == now_ns && event.a > number));
    ties += popped != 0 && event.at_ns == now_ns;
    number = event.a;
    assert_true(ahead == NULL || event.at_ns == next_ns);
    seen += ahead != NULL;
    now_ns = event.at_ns;
    popped++;
  }
  assert_true(seen > 1000 && ties > 100);
  sim_queue_free(&queue);
}

static void classes_hold_their_sizes_and_waste_a_quarter_at_most(void **state) {
  (void)state;
  for (size_t size = 0; size <= SIM_POOL_BLOCK_MAX; size++) {
    size_t class = sim_pool_class(size), bytes = sim_pool_class_bytes(class);
    assert_true(class < SIM_POOL_CLASSES);
    assert_true(bytes >= size && bytes % 16 == 0 && bytes <= SIM_POOL_BLOCK_MAX);
    assert_true(class == 0 || sim_pool_class_bytes(class - 1) < size);
    assert_true(bytes - size <= 16 || bytes - size <= size / 4);
  }
}

static void blocks_of_a_pool_do_not_overlap(void **state) {
  (void)state;
  enum { BLOCKS = 4000 };
  static struct {
    uint8_t *at;
    size_t size;
  } blocks[BLOCKS];
  sim_pool pool = {.is_kept = true};
  sim_rng rng = sim_rng_new(2, 1);
  for (size_t turn = 0; turn < 12 * BLOCKS; turn++) {
    size_t i = (size_t)sim_rng_below(&rng, BLOCKS);
    if (blocks[i].at != NULL) { /* it holds what was written to it */
      for (size_t k = 0; k < blocks[i].size; k++) { assert_int_equal(blocks[i].at[k], (uint8_t)i); }
      sim_pool_free(&pool, blocks[i].at, blocks[i].size);
    }
    blocks[i].size = (size_t)sim_rng_below(&rng, turn % 9 == 0 ? 2 * SIM_POOL_BLOCK_MAX : 600);
    blocks[i].at = sim_pool_alloc(&pool, blocks[i].size);
    assert_non_null(blocks[i].at);
    assert_int_equal((uintptr_t)blocks[i].at % 16, 0);
    memset(blocks[i].at, (uint8_t)i, blocks[i].size);
  }
  for (size_t i = 0; i < BLOCKS; i++) { sim_pool_free(&pool, blocks[i].at, blocks[i].size); }
  sim_pool_end(&pool);
  assert_null(pool.regions);
}

static void a_freed_block_is_the_next_of_its_class(void **state) {
  (void)state;
  sim_pool pool = {.is_kept = true};
  void *a = sim_pool_alloc(&pool, 100), *b = sim_pool_alloc(&pool, 100);
  assert_ptr_not_equal(a, b);
  sim_pool_free(&pool, a, 100);
  sim_pool_free(&pool, NULL, 100);
  assert_ptr_not_equal(sim_pool_alloc(&pool, 130), a);
  assert_ptr_equal(sim_pool_alloc(&pool, 110), a);
  static const size_t sizes[] = {1, 1000, 5000000}; /* from malloc, and in huge pages */
  for (size_t i = 0; i < 3; i++) {
    uint8_t *bytes = sim_pool_zeroed(&pool, sizes[i]);
    for (size_t k = 0; k < sizes[i]; k += 997) { assert_int_equal(bytes[k], 0); }
    memset(bytes, 1, sizes[i]);
  }
  assert_ptr_not_equal(sim_pool_alloc(&pool, 100), a);
  sim_pool_end(&pool); /* with what is left in it */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(events_come_in_order_of_time_then_of_their_push),
      cmocka_unit_test(events_that_are_pushed_in_between_come_in_order_too),
      cmocka_unit_test(classes_hold_their_sizes_and_waste_a_quarter_at_most),
      cmocka_unit_test(blocks_of_a_pool_do_not_overlap),
      cmocka_unit_test(a_freed_block_is_the_next_of_its_class),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
