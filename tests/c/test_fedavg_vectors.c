/* FedAvg: golden rounds bit by bit, and the rules that differ from the reference on purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "component_call.h"
#include "components/fedavg.h"
#include "kernel_data.h"
#include "vectors.h"

static float float_of(const json *bits) {
  bbw_str text = json_text(bits);
  char digits[9] = {0};
  memcpy(digits, text.ptr, text.len < 8 ? text.len : 8);
  uint32_t number = (uint32_t)strtoul(digits, NULL, 16);
  float x;
  memcpy(&x, &number, sizeof x);
  return x;
}

/* The tensor of a case, as a value. */
static bbw_value *tensor_of(const json *tensor, bbw_type type, const bbw_mem *mem) {
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  const json *dim_list = json_get(tensor, "dims"), *bits = json_get(tensor, "f32_bits");
  uint32_t rank = (uint32_t)json_count(dim_list);
  for (uint32_t d = 0; d < rank; d++) { dims[d] = json_u64(json_at(dim_list, d)); }
  bbw_value *value;
  float *data;
  if (bbw_value_new_tensor(&value, &data, type, dims, rank, mem) != BBW_OK) { return NULL; }
  for (size_t i = 0; i < json_count(bits); i++) { data[i] = float_of(json_at(bits, i)); }
  return value;
}

static bool same_tensor(const bbw_value *got, const json *want, const bbw_mem *mem) {
  bbw_value *value = tensor_of(want, BBW_TYPE_CPU_TENSOR, mem);
  bool is_same = got->as.tensor.rank == value->as.tensor.rank && got->as.tensor.count == value->as.tensor.count;
  for (uint32_t d = 0; is_same && d < got->as.tensor.rank; d++) {
    is_same = got->as.tensor.dims[d] == value->as.tensor.dims[d];
  }
  is_same = is_same && kernel_first_difference(got->as.tensor.data, value->as.tensor.data, value->as.tensor.count) ==
                           value->as.tensor.count;
  bbw_value_release(value, mem);
  return is_same;
}

/* Whether a contribution has another shape than the one before it in a case whose round the reference loses for that. */
static bool is_odd_shape(const json *contributions, size_t index) {
  const json *first = json_get(json_get(json_at(contributions, 0), "tensor"), "dims");
  const json *own = json_get(json_get(json_at(contributions, index), "tensor"), "dims");
  if (json_count(first) != json_count(own)) { return true; }
  for (size_t d = 0; d < json_count(own); d++) {
    if (json_u64(json_at(first, d)) != json_u64(json_at(own, d))) { return true; }
  }
  return false;
}

static bool run_round(vectors_case *c, bbw_fedavg *f) {
  const json *contributions = json_get(c->json, "contributions"), *want = json_get(c->json, "aggregate");
  bool is_kept = false; /* the reference loses this round or gets it wrong, ours keeps what was good */
  for (size_t i = 0; i < json_count(contributions); i++) {
    const json *one = json_at(contributions, i);
    bbw_peer_id peer;
    VECTOR(bbw_peer_id_decode(&peer, json_hex(json_get(one, "peer"), &c->arena), NULL) == BBW_OK);
    bbw_value *tensor = tensor_of(json_get(one, "tensor"), i % 2 == 0 ? BBW_TYPE_BOXED_CPU_TENSOR : BBW_TYPE_CPU_TENSOR,
                                  &c->mem.mem);
    const char *detail = NULL;
    uint64_t samples = json_u64(json_get(one, "num_samples"));
    bbw_status rv = bbw_fedavg_contribute(f, &peer, tensor, samples, &detail);
    bbw_value_release(tensor, &c->mem.mem);
    bool is_odd = rv == BBW_E_SHAPE && is_odd_shape(contributions, i);       /* the reference notices at Aggregate */
    bool is_overflow = rv == BBW_E_LIMIT && samples > UINT64_MAX - f->total; /* the reference's sum wraps */
    if (is_odd || is_overflow) {
      is_kept = true;
      continue;
    }
    VECTOR((rv == BBW_OK) == json_is(json_get(one, "result"), "ok"));
  }
  bbw_value *average = NULL;
  uint64_t samples = 0;
  bbw_status rv = bbw_fedavg_aggregate(f, &average, &samples);
  bool is_ok = json_is_true(json_get(want, "ok"));
  bool is_right = is_kept ? rv == BBW_OK : (rv == BBW_OK) == is_ok;
  if (is_ok && rv == BBW_OK && !is_kept) {
    is_right = same_tensor(average, json_get(want, "tensor"), &c->mem.mem) &&
               samples == json_u64(json_get(want, "num_samples"));
  }
  if (rv == BBW_OK) { bbw_value_release(average, &c->mem.mem); }
  VECTOR(is_right);
  VECTOR(bbw_fedavg_aggregate(f, &average, &samples) == BBW_E_EMPTY); /* as in every case */
  VECTOR(!json_is_true(json_get(json_get(c->json, "aggregate_again"), "ok")));
  return true;
}

static bool check_round(vectors_case *c) {
  bbw_fedavg f;
  bbw_fedavg_init(&f, &c->mem.mem);
  bool holds = run_round(c, &f);
  bbw_fedavg_free(&f);
  return holds;
}

static void test_golden_rounds(void **state) {
  (void)state;
  assert_int_equal(vectors_run("fedavg", check_round), 0);
}

/* ---- the component ---- */

static bbw_value *metadata(component_call *call, bbw_type type, uint64_t samples) {
  bbw_value *value;
  assert_int_equal(bbw_value_new_plain(&value, type, samples, &call->mem.mem), BBW_OK);
  return value;
}

static const float ONES[] = {1.0f, 1.0f}, FIVES[] = {5.0f, 5.0f};

static void begin_contribution(component_call *call, uint64_t peer) {
  call_begin(call, BBW_ROLE_AGGREGATOR, "Contribute", 1);
  call_from(call, peer);
}

static void test_carriers(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  void *self;
  assert_int_equal(bbw_fedavg_type.construct(&self, &bbw_fedavg_type, false, (bbw_bytes){NULL, 0}, &call.mem.mem, NULL),
                   BBW_OK);
  static const bbw_type carriers[] = {BBW_TYPE_CPU_TENSOR, BBW_TYPE_BOXED_CPU_TENSOR, BBW_TYPE_F32_SLICE};
  for (size_t i = 0; i < 3; i++) {
    begin_contribution(&call, i + 1);
    call_tensor(&call, 0, carriers[i], "2", i == 0 ? FIVES : ONES, 2);
    call_input(&call, 1, metadata(&call, i == 1 ? BBW_TYPE_RAW_U64 : BBW_TYPE_FEDAVG_META, 1));
    assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_OK);
  }
  /* A composite of both, with the samples as eight bytes. */
  begin_contribution(&call, 4);
  bbw_value *items[2], *pair;
  items[0] = call_make_tensor(&call, BBW_TYPE_CPU_TENSOR, "2", ONES, 2);
  static const uint8_t one[8] = {1};
  assert_int_equal(bbw_value_new_bytes(&items[1], BBW_TYPE_BYTES, (bbw_bytes){one, 8}, &call.mem.mem), BBW_OK);
  assert_int_equal(bbw_value_new_list(&pair, BBW_TYPE_COMPOSITE, items, 2, &call.mem.mem), BBW_OK);
  bbw_value_release(items[0], &call.mem.mem);
  bbw_value_release(items[1], &call.mem.mem);
  call_input(&call, 0, pair);
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_OK);

  call_begin(&call, BBW_ROLE_AGGREGATOR, "Aggregate", 2);
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_OK);
  assert_true(call_output(&call, 0)->data[0] == 2.0f);
  assert_int_equal(call.outputs[1]->type, BBW_TYPE_FEDAVG_META);
  assert_int_equal(call.outputs[1]->as.u64, 4);
  call_begin(&call, BBW_ROLE_AGGREGATOR, "Aggregate", 2);
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_E_COMPONENT);
  assert_true(call_reason_is(&call, "empty"));
  bbw_fedavg_type.destroy(self, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void test_refused_contributions_change_nothing(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  void *self;
  assert_int_equal(bbw_fedavg_type.construct(&self, &bbw_fedavg_type, false, (bbw_bytes){NULL, 0}, &call.mem.mem, NULL),
                   BBW_OK);
  begin_contribution(&call, 1);
  call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "2", ONES, 2);
  call_input(&call, 1, metadata(&call, BBW_TYPE_FEDAVG_META, UINT64_MAX - 1));
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_OK);

  begin_contribution(&call, 2); /* another shape */
  call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "1 2", FIVES, 2);
  call_input(&call, 1, metadata(&call, BBW_TYPE_FEDAVG_META, 1));
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_E_COMPONENT);
  assert_true(call_reason_is(&call, "shape_mismatch"));
  begin_contribution(&call, 2); /* more samples than fit */
  call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "2", FIVES, 2);
  call_input(&call, 1, metadata(&call, BBW_TYPE_FEDAVG_META, 2));
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_E_COMPONENT);
  begin_contribution(&call, 2); /* no samples */
  call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "2", FIVES, 2);
  call_input(&call, 1, metadata(&call, BBW_TYPE_FEDAVG_META, 0));
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_E_COMPONENT);
  begin_contribution(&call, 2); /* no metadata */
  call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "2", FIVES, 2);
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_E_COMPONENT);
  assert_true(call_reason_is(&call, "input_type_mismatch"));
  call_begin(&call, BBW_ROLE_AGGREGATOR, "Contribute", 1); /* nobody sent it */
  call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "2", FIVES, 2);
  call_input(&call, 1, metadata(&call, BBW_TYPE_FEDAVG_META, 1));
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_E_COMPONENT);

  call_begin(&call, BBW_ROLE_AGGREGATOR, "Aggregate", 2);
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_OK);
  assert_true(call_output(&call, 0)->data[0] == 1.0f);
  assert_true(call.outputs[1]->as.u64 == UINT64_MAX - 1);
  bbw_fedavg_type.destroy(self, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  void *self;
  assert_int_equal(bbw_fedavg_type.construct(&self, &bbw_fedavg_type, false, (bbw_bytes){NULL, 0}, &call.mem.mem, NULL),
                   BBW_OK);
  for (uint64_t peer = 1; peer <= 9; peer++) {
    begin_contribution(&call, peer);
    call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "2", peer == 9 ? FIVES : ONES, 2);
    call_input(&call, 1, metadata(&call, BBW_TYPE_FEDAVG_META, 8));
    test_mem_fail_at(&call.mem, 0);
    bbw_status rv = call_run(&call, &bbw_fedavg_type, self);
    assert_true(rv == BBW_OK || rv == BBW_E_NOMEM);
    test_mem_fail_at(&call.mem, TEST_MEM_NEVER);
    if (rv != BBW_OK) { assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_OK); }
  }
  call_begin(&call, BBW_ROLE_AGGREGATOR, "Aggregate", 2);
  for (size_t nth = 0; nth < 2; nth++) { /* the round survives */
    test_mem_fail_at(&call.mem, nth);
    assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_E_NOMEM);
  }
  test_mem_fail_at(&call.mem, TEST_MEM_NEVER);
  assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_OK);
  assert_true(call.outputs[1]->as.u64 == 72);
  bbw_fedavg_type.destroy(self, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void test_a_round_survives_being_saved(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  bbw_bytes none = {NULL, 0};
  void *self, *other;
  assert_int_equal(bbw_fedavg_type.construct(&self, &bbw_fedavg_type, false, none, &call.mem.mem, NULL), BBW_OK);
  assert_int_equal(bbw_fedavg_type.construct(&other, &bbw_fedavg_type, false, none, &call.mem.mem, NULL), BBW_OK);
  for (uint64_t peer = 1; peer <= 3; peer++) {
    begin_contribution(&call, peer);
    call_tensor(&call, 0, peer == 2 ? BBW_TYPE_F32_SLICE : BBW_TYPE_CPU_TENSOR, "2", peer == 1 ? FIVES : ONES, 2);
    call_input(&call, 1, metadata(&call, BBW_TYPE_U64, peer));
    assert_int_equal(call_run(&call, &bbw_fedavg_type, self), BBW_OK);
  }
  begin_contribution(&call, 9); /* a round that the restore replaces */
  call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "2", FIVES, 2);
  call_input(&call, 1, metadata(&call, BBW_TYPE_U64, 100));
  assert_int_equal(call_run(&call, &bbw_fedavg_type, other), BBW_OK);
  uint8_t *saved, *again;
  size_t len, again_len;
  assert_int_equal(bbw_fedavg_type.save(self, &call.mem.mem, &saved, &len), BBW_OK);
  for (size_t cut = 0; cut < len; cut++) {
    assert_int_equal(bbw_fedavg_type.restore(other, (bbw_bytes){saved, cut}, &call.mem.mem, NULL),
                     BBW_E_RESTORE_COMPONENT);
  }
  bbw_status rv = BBW_E_NOMEM;
  for (size_t n = 0; rv != BBW_OK; n++) {
    const bbw_mem *mem = test_mem_fail_at(&call.mem, n);
    rv = bbw_fedavg_type.restore(other, (bbw_bytes){saved, len}, mem, NULL);
    call.mem.fail_at = TEST_MEM_NEVER;
    assert_int_equal(rv, rv == BBW_OK ? BBW_OK : BBW_E_NOMEM);
  }
  assert_int_equal(bbw_fedavg_type.save(other, &call.mem.mem, &again, &again_len), BBW_OK);
  assert_int_equal(again_len, len);
  assert_memory_equal(again, saved, len);
  float averages[2];
  for (size_t i = 0; i < 2; i++) {
    call_begin(&call, BBW_ROLE_AGGREGATOR, "Aggregate", 2);
    assert_int_equal(call_run(&call, &bbw_fedavg_type, i == 0 ? self : other), BBW_OK);
    averages[i] = call_output(&call, 0)->data[0];
    assert_int_equal(call.outputs[1]->as.u64, 6);
  }
  assert_memory_equal(&averages[0], &averages[1], sizeof(float));
  call.mem.mem.free(call.mem.mem.ctx, saved, len);
  call.mem.mem.free(call.mem.mem.ctx, again, again_len);
  bbw_fedavg_type.destroy(self, &call.mem.mem);
  bbw_fedavg_type.destroy(other, &call.mem.mem);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden_rounds),
      cmocka_unit_test(test_carriers),
      cmocka_unit_test(test_refused_contributions_change_nothing),
      cmocka_unit_test(test_every_allocation_may_fail),
      cmocka_unit_test(test_a_round_survives_being_saved),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
