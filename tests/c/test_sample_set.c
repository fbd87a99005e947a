/* The component SampleSet: batches, the end, orders, state, configurations that are refused, and memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "component_call.h"
#include "components/sample_set.h"

static const bbw_component_type *const type = &bbw_sample_set_type;

/* A configuration in memory of its own: up to four values, released after it is written. */
typedef struct config {
  uint8_t *bytes;
  size_t len;
} config;

static config make_config(component_call *call, bbw_value *const *values, size_t count) {
  bbw_value *list;
  assert_int_equal(bbw_value_new_list(&list, BBW_TYPE_COMPOSITE, values, count, &call->mem.mem), BBW_OK);
  config c = {.len = bbw_value_payload_size(list)};
  c.bytes = malloc(c.len);
  assert_non_null(c.bytes);
  bbw_value_payload_write(list, c.bytes);
  bbw_value_release(list, &call->mem.mem);
  for (size_t i = 0; i < count; i++) { bbw_value_release(values[i], &call->mem.mem); }
  return c;
}

static bbw_value *number(component_call *call, uint64_t n) {
  bbw_value *value;
  assert_int_equal(bbw_value_new_plain(&value, BBW_TYPE_U64, n, &call->mem.mem), BBW_OK);
  return value;
}

/* Rows i: (i, -i), label 10 i.  batch < 0: no batch size; seed < 0: no seed. */
static config numbered(component_call *call, size_t rows, int batch, int seed) {
  float x[200], labels[100];
  char x_dims[16], label_dims[16];
  assert_true(rows <= 100);
  for (size_t i = 0; i < rows; i++) {
    x[2 * i] = (float)i;
    x[2 * i + 1] = -(float)i;
    labels[i] = 10.0f * (float)i;
  }
  snprintf(x_dims, sizeof x_dims, "%zu 2", rows);
  snprintf(label_dims, sizeof label_dims, "%zu", rows);
  bbw_value *values[4] = {call_make_tensor(call, BBW_TYPE_CPU_TENSOR, x_dims, x, 2 * rows),
                          call_make_tensor(call, BBW_TYPE_F32_SLICE, label_dims, labels, rows)};
  size_t count = 2;
  if (batch >= 0) { values[count++] = number(call, (uint64_t)batch); }
  if (seed >= 0) { values[count++] = number(call, (uint64_t)seed); }
  return make_config(call, values, count);
}

static void *construct(component_call *call, config c) {
  void *self = NULL;
  bbw_status rv = type->construct(&self, type, true, (bbw_bytes){c.bytes, c.len}, &call->mem.mem, NULL);
  free(c.bytes);
  assert_int_equal(rv, BBW_OK);
  return self;
}

/* Asks for a batch, checks that its parts belong together, appends the first number of every row; gives how many rows came. */
static size_t next(component_call *call, void *self, float *rows, size_t *count) {
  call_begin(call, BBW_ROLE_DATA_SOURCE, "NextBatch", 2);
  assert_int_equal(call_run(call, type, self), BBW_OK);
  const bbw_tensor *x = call_output(call, 0), *labels = call_output(call, 1);
  assert_int_equal(x->rank, 2);
  assert_int_equal(x->dims[1], 2);
  assert_int_equal(labels->rank, 1);
  assert_int_equal(labels->dims[0], x->dims[0]);
  for (size_t i = 0; i < x->dims[0]; i++) {
    assert_true(x->data[2 * i + 1] == -x->data[2 * i]);
    assert_true(labels->data[i] == 10.0f * x->data[2 * i]);
    rows[(*count)++] = x->data[2 * i];
  }
  return (size_t)x->dims[0];
}

static void plain(component_call *call, void *self, const char *op_type) {
  call_begin(call, BBW_ROLE_DATA_SOURCE, op_type, 1);
  assert_int_equal(call_run(call, type, self), BBW_OK);
}

static void test_batches_in_order_then_the_end_until_reset(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  void *self = construct(&call, numbered(&call, 5, 2, -1));
  plain(&call, self, "OnDataLoaded");
  for (size_t epoch = 0; epoch < 2; epoch++) {
    float rows[100];
    size_t count = 0;
    static const size_t want[] = {2, 2, 1, 0, 0};
    for (size_t i = 0; i < 5; i++) { assert_int_equal(next(&call, self, rows, &count), want[i]); }
    for (size_t i = 0; i < 5; i++) { assert_true(rows[i] == (float)i); }
    plain(&call, self, "Reset");
  }
  type->destroy(self, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void test_sizes_of_batches(void **state) {
  (void)state;
  static const struct {
    size_t rows;
    int batch;
    size_t first;
  } cases[] = {{5, -1, 5}, {5, 0, 5}, {5, 5, 5}, {5, 1000, 5}, {1, 1, 1}, {0, -1, 0}, {0, 3, 0}};
  component_call call;
  component_call_init(&call);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    void *self = construct(&call, numbered(&call, cases[i].rows, cases[i].batch, -1));
    float rows[100];
    size_t count = 0;
    assert_int_equal(next(&call, self, rows, &count), cases[i].first);
    type->destroy(self, &call.mem.mem);
  }
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void read_epoch(component_call *call, void *self, float *rows, size_t want) {
  size_t count = 0;
  while (next(call, self, rows, &count) > 0) { assert_true(count <= want); }
  assert_int_equal(count, want);
}

static void test_orders_follow_from_the_seed(void **state) {
  (void)state;
  enum { ROWS = 50 };
  component_call call;
  component_call_init(&call);
  void *one = construct(&call, numbered(&call, ROWS, 8, 3)), *same = construct(&call, numbered(&call, ROWS, 7, 3)),
       *other = construct(&call, numbered(&call, ROWS, 8, 4));
  float first[ROWS], again[ROWS], second[ROWS], others[ROWS], sorted[ROWS] = {0};
  read_epoch(&call, one, first, ROWS);
  read_epoch(&call, same, again, ROWS);
  read_epoch(&call, other, others, ROWS);
  plain(&call, one, "Reset");
  read_epoch(&call, one, second, ROWS);
  assert_memory_equal(first, again, sizeof first);
  assert_memory_not_equal(first, others, sizeof first);
  assert_memory_not_equal(first, second, sizeof first);
  for (size_t i = 0; i < ROWS; i++) { sorted[(size_t)first[i]]++; }
  for (size_t i = 0; i < ROWS; i++) { assert_true(sorted[i] == 1.0f); }
  type->destroy(one, &call.mem.mem);
  type->destroy(same, &call.mem.mem);
  type->destroy(other, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void test_state_in_the_middle_of_an_epoch(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  void *self = construct(&call, numbered(&call, 20, 3, 9)), *other = construct(&call, numbered(&call, 20, 3, 9));
  float rows[100], left[100], right[100];
  size_t count = 0, left_count = 0, right_count = 0;
  plain(&call, self, "Reset");
  next(&call, self, rows, &count);
  next(&call, self, rows, &count);
  uint8_t *saved;
  size_t len;
  assert_int_equal(type->save(self, &call.mem.mem, &saved, &len), BBW_OK);
  for (size_t cut = 0; cut < len; cut++) {
    assert_int_equal(type->restore(other, (bbw_bytes){saved, cut}, &call.mem.mem, NULL), BBW_E_RESTORE_COMPONENT);
  }
  for (size_t i = 0; i < len; i++) { /* what is no state of this set is refused; only the epoch may be any */
    if (i >= 20 && i < 28) { continue; }
    uint8_t byte = saved[i];
    saved[i] ^= 0x80;
    assert_int_equal(type->restore(other, (bbw_bytes){saved, len}, &call.mem.mem, NULL), BBW_E_RESTORE_COMPONENT);
    saved[i] = byte;
  }
  assert_int_equal(type->restore(other, (bbw_bytes){saved, len}, &call.mem.mem, NULL), BBW_OK);
  while (next(&call, self, left, &left_count) > 0) {}
  while (next(&call, other, right, &right_count) > 0) {}
  assert_int_equal(left_count, 14);
  assert_int_equal(right_count, 14);
  assert_memory_equal(left, right, 14 * sizeof *left);
  call.mem.mem.free(call.mem.mem.ctx, saved, len);
  type->destroy(self, &call.mem.mem);
  type->destroy(other, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void test_without_labels(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  float x[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  bbw_value *values[] = {call_make_tensor(&call, BBW_TYPE_BOXED_CPU_TENSOR, "3 2 2", x, 12),
                         call_make_tensor(&call, BBW_TYPE_CPU_TENSOR, "0", NULL, 0), number(&call, 2)};
  void *self = construct(&call, make_config(&call, values, 3));
  call_begin(&call, BBW_ROLE_DATA_SOURCE, "NextBatch", 2);
  assert_int_equal(call_run(&call, type, self), BBW_OK);
  assert_int_equal(call_output(&call, 0)->rank, 3);
  assert_int_equal(call_output(&call, 0)->dims[0], 2);
  assert_memory_equal(call_output(&call, 0)->data, x, 8 * sizeof *x);
  assert_int_equal(call_output(&call, 1)->count, 0);
  call_begin(&call, BBW_ROLE_DATA_SOURCE, "Look", 1);
  assert_int_equal(call_run(&call, type, self), BBW_E_COMPONENT);
  assert_true(call_reason_is(&call, "unknown op_type"));
  assert_true(type->supports(self, BBW_ROLE_DATA_SOURCE, BBW_STR("Reset")));
  assert_false(type->supports(self, BBW_ROLE_DATA_SOURCE, BBW_STR("Look")));
  assert_false(type->supports(self, BBW_ROLE_MODEL, BBW_STR("NextBatch")));
  type->destroy(self, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void refuse(component_call *call, config c, bbw_status want) {
  void *self = NULL;
  bbw_error err;
  assert_int_equal(type->construct(&self, type, true, (bbw_bytes){c.bytes, c.len}, &call->mem.mem, &err), want);
  assert_null(self);
  free(c.bytes);
}

static void test_configurations_that_are_refused(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  void *self = NULL;
  float data[4] = {1, 2, 3, 4};
  assert_int_equal(type->construct(&self, type, false, (bbw_bytes){NULL, 0}, &call.mem.mem, NULL),
                   BBW_E_INST_MISSING_CONFIG);
  static const struct {
    const char *name, *x, *labels;
    size_t x_count, label_count, values;
  } cases[] = {
      {"a scalar has no samples", "", "1", 1, 1, 2},
      {"fewer labels than samples", "4", "3", 4, 3, 2},
      {"a label without a dimension", "4", "", 4, 1, 2},
      {"only samples", "4", "4", 4, 4, 1},
      {"five values", "4", "4", 4, 4, 5},
      {"a batch size that is no number", "4", "4", 4, 4, 3},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    bbw_value *values[5] = {call_make_tensor(&call, BBW_TYPE_CPU_TENSOR, cases[i].x, data, cases[i].x_count),
                            call_make_tensor(&call, BBW_TYPE_CPU_TENSOR, cases[i].labels, data, cases[i].label_count)};
    for (size_t k = 2; k < 5; k++) {
      values[k] = cases[i].values == 3 ? call_make_tensor(&call, BBW_TYPE_CPU_TENSOR, "1", data, 1) : number(&call, 1);
    }
    config c = make_config(&call, values, cases[i].values);
    for (size_t k = cases[i].values; k < 5; k++) { bbw_value_release(values[k], &call.mem.mem); }
    refuse(&call, c, BBW_E_INST_CONFIG_TYPE);
  }
  config whole = numbered(&call, 4, 2, 1);
  for (size_t cut = 0; cut < whole.len; cut++) { /* in memory of their own, so that a read past the end is seen */
    config c = {malloc(cut + 1), cut};
    assert_non_null(c.bytes);
    uint8_t *exact = realloc(c.bytes, cut > 0 ? cut : 1);
    assert_non_null(exact);
    c.bytes = exact;
    memcpy(c.bytes, whole.bytes, cut);
    refuse(&call, c, BBW_E_INST_CONFIG_TYPE);
  }
  free(whole.bytes);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void test_memory_that_runs_out(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  config c = numbered(&call, 6, 4, 1);
  void *self = NULL;
  bbw_status rv = BBW_E_NOMEM;
  for (size_t nth = 0; rv != BBW_OK; nth++) {
    size_t before = call.mem.live_bytes;
    rv = type->construct(&self, type, true, (bbw_bytes){c.bytes, c.len}, test_mem_fail_at(&call.mem, nth), NULL);
    test_mem_fail_at(&call.mem, TEST_MEM_NEVER);
    if (rv != BBW_OK) {
      assert_int_equal(rv, BBW_E_NOMEM);
      assert_int_equal(call.mem.live_bytes, before);
      assert_null(self);
    }
  }
  free(c.bytes);
  /* A batch that could not be made is given by the next call. */
  rv = BBW_E_NOMEM;
  for (size_t nth = 0; rv != BBW_OK; nth++) {
    call_begin(&call, BBW_ROLE_DATA_SOURCE, "NextBatch", 2);
    test_mem_fail_at(&call.mem, nth);
    rv = call_run(&call, type, self);
    test_mem_fail_at(&call.mem, TEST_MEM_NEVER);
    if (rv != BBW_OK) { assert_int_equal(rv, BBW_E_NOMEM); }
  }
  assert_int_equal(call_output(&call, 0)->dims[0], 4);
  float rows[100];
  size_t count = 0;
  assert_int_equal(next(&call, self, rows, &count), 2);
  uint8_t *saved;
  size_t len;
  test_mem_fail_at(&call.mem, 0);
  assert_int_equal(type->save(self, &call.mem.mem, &saved, &len), BBW_E_NOMEM);
  test_mem_fail_at(&call.mem, TEST_MEM_NEVER);
  type->destroy(self, &call.mem.mem);
  type->destroy(NULL, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_batches_in_order_then_the_end_until_reset),
      cmocka_unit_test(test_sizes_of_batches),
      cmocka_unit_test(test_orders_follow_from_the_seed),
      cmocka_unit_test(test_state_in_the_middle_of_an_epoch),
      cmocka_unit_test(test_without_labels),
      cmocka_unit_test(test_configurations_that_are_refused),
      cmocka_unit_test(test_memory_that_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
