/* Sessions over whole models: memory that runs out, sharing, plans for several shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bbw/session.h"
#include "onnx_build.h"
#include "test_mem.h"

/* A classifier with everything that a program does to its constants: folding, batch normalization into a convolution, an activation, packed weights, a
 * shape that is computed, a result whose shape depends on numbers. */
static bbw_bytes whole_model(onnx_file *file) {
  static const int64_t minus_one[] = {-1}, zero[] = {0}, one[] = {1};
  static const float two[] = {2.0f};
  onnx_file_init(file);
  onnx_input(file, "x", "n 2 4 4");
  onnx_weights(file, "w", "3 2 3 3", 1, 0.5f, true);
  onnx_weights(file, "gamma", "3", 2, 1.0f, true);
  onnx_weights(file, "beta", "3", 3, 1.0f, true);
  onnx_weights(file, "mean", "3", 4, 1.0f, true);
  onnx_floats(file, "variance", "3", (const float[]){1, 2, 3}, 3);
  onnx_weights(file, "fc", "12 5", 5, 0.5f, true);
  onnx_weights(file, "bias", "5", 6, 0.5f, true);
  onnx_floats(file, "two", "", two, 1);
  onnx_ints(file, "minus_one", minus_one, 1);
  onnx_ints(file, "zero", zero, 1);
  onnx_ints(file, "one", one, 1);
  onnx_node(file, "Conv", "conv", "x w", "c");
  onnx_node(file, "BatchNormalization", "bn", "c gamma beta mean variance", "b");
  onnx_node(file, "Relu", "relu", "b", "r");
  onnx_node(file, "Shape", "shape", "r", "s");
  onnx_node(file, "Slice", "batch", "s zero one", "first");
  onnx_attribute_int(file, onnx_node(file, "Concat", "target", "first minus_one", "t"), "axis", 0);
  onnx_node(file, "Reshape", "flat", "r t", "f");
  onnx_node(file, "MatMul", "product", "f fc", "p");
  onnx_node(file, "Add", "biased", "p bias", "q");
  onnx_node(file, "Mul", "twice", "q two", "y");
  onnx_node(file, "Greater", "positive", "y two", "is_large");
  onnx_node(file, "NonZero", "places", "is_large", "z");
  onnx_output(file, "y");
  onnx_output(file, "z");
  return onnx_bytes(file);
}

static bbw_array image(float *data, size_t n) {
  bbw_array x = {0};
  const size_t dims[] = {n, 2, 4, 4};
  assert_true(bbw_array_shape(&x, BBW_DTYPE_F32, 4, dims));
  for (size_t i = 0; i < x.count; i++) { data[i] = (float)((i * 7) % 11) - 5.0f; }
  x.data = data;
  return x;
}

static bbw_status load_and_run(bbw_bytes model, const test_mem *mem, size_t n, float *first) {
  static float data[3 * 32];
  bbw_session *session = NULL;
  bbw_error err;
  bbw_array x = image(data, n), out[2];
  bbw_status rv = bbw_session_new(&session, model, NULL, &mem->mem, &err);
  assert_true(rv == BBW_OK || err.status == rv);
  if (rv == BBW_OK) { rv = bbw_session_run(session, &x, 1, out, &err); }
  assert_true(rv == BBW_OK || err.status == rv);
  if (rv == BBW_OK) {
    assert_int_equal(out[0].dims[0], n);
    assert_int_equal(out[0].dims[1], 5);
    assert_int_equal(out[1].dtype, BBW_DTYPE_I64);
    assert_int_equal(out[1].dims[0], 2);
    *first = *(const float *)out[0].data;
  }
  bbw_session_del(session);
  return rv;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  onnx_file file;
  test_mem mem;
  test_mem_init(&mem);
  bbw_bytes model = whole_model(&file);
  float want, got;
  assert_int_equal(load_and_run(model, &mem, 2, &want), BBW_OK);
  assert_int_equal(mem.live_bytes, 0);
  bbw_status rv = BBW_E_NOMEM;
  size_t nth = 0;
  for (; rv == BBW_E_NOMEM; nth++) {
    test_mem_fail_at(&mem, nth);
    rv = load_and_run(model, &mem, 2, &got);
    assert_int_equal(mem.live_bytes, 0);
  }
  assert_int_equal(rv, BBW_OK);
  assert_true(nth > 40);
  assert_true(got == want);
  onnx_file_free(&file);
}

/* A run that fails for lack of memory leaves a session that works. */
static void test_a_session_lives_on(void **state) {
  (void)state;
  onnx_file file;
  test_mem mem;
  test_mem_init(&mem);
  bbw_bytes model = whole_model(&file);
  static float data[3 * 32];
  bbw_session *session;
  bbw_array x = image(data, 1), out[2];
  assert_int_equal(bbw_session_new(&session, model, NULL, &mem.mem, NULL), BBW_OK);
  assert_int_equal(bbw_session_run(session, &x, 1, out, NULL), BBW_OK);
  float want[5];
  memcpy(want, out[0].data, sizeof want);
  for (size_t nth = 0; nth < 60; nth++) {
    bbw_array other = image(data, 2 + nth % 2);
    test_mem_fail_at(&mem, nth);
    bbw_status rv = bbw_session_run(session, &other, 1, out, NULL);
    assert_true(rv == BBW_OK || rv == BBW_E_NOMEM);
    test_mem_fail_at(&mem, TEST_MEM_NEVER);
    x = image(data, 1);
    assert_int_equal(bbw_session_run(session, &x, 1, out, NULL), BBW_OK);
    assert_memory_equal(out[0].data, want, sizeof want);
  }
  bbw_session_del(session);
  assert_int_equal(mem.live_bytes, 0);
  onnx_file_free(&file);
}

/* Every cap below what the model takes is refused by E_LIMIT, with the cap, and held all the time. */
static void test_a_cap_is_kept(void **state) {
  (void)state;
  onnx_file file;
  bbw_bytes model = whole_model(&file);
  static float data[3 * 32];
  bool has_refused = false, has_run = false;
  for (size_t cap = 256; cap < ((size_t)1 << 20) && !has_run; cap += cap / 4) {
    test_mem mem;
    test_mem_init(&mem);
    bbw_session *session = NULL;
    bbw_error err;
    bbw_session_options options = {.memory_bytes_max = cap};
    bbw_array x = image(data, 1), out[2];
    bbw_status rv = bbw_session_new(&session, model, &options, &mem.mem, &err);
    if (rv == BBW_OK) { rv = bbw_session_run(session, &x, 1, out, &err); }
    has_run = rv == BBW_OK;
    if (!has_run) {
      if (rv != BBW_E_LIMIT) { print_error("cap %zu: %d\n", cap, rv); }
      assert_int_equal(rv, BBW_E_LIMIT);
      assert_true(bbw_error_number(&err, "cap") > 0);
      has_refused = true;
    } else {
      bbw_session_stats stats = bbw_session_stats_of(session);
      assert_true(stats.constant_bytes + stats.run_bytes_peak <= cap);
    }
    bbw_session_del(session);
    assert_int_equal(mem.live_bytes, 0);
  }
  assert_true(has_refused);
  assert_true(has_run);
  onnx_file_free(&file);
}

/* More shapes than plans are kept: the bits stay the same, and nothing piles up. */
static void test_plans_come_and_go(void **state) {
  (void)state;
  onnx_file file;
  test_mem mem;
  test_mem_init(&mem);
  bbw_bytes model = whole_model(&file);
  static float data[12 * 32];
  bbw_session *session, *other;
  bbw_array out[2];
  assert_int_equal(bbw_session_new(&session, model, NULL, &mem.mem, NULL), BBW_OK);
  assert_int_equal(bbw_session_share(&other, session, NULL), BBW_OK);
  float want[12];
  size_t peak = 0;
  for (size_t round = 0; round < 4; round++) {
    for (size_t n = 1; n <= 12; n++) {
      bbw_array x = image(data, n);
      assert_int_equal(bbw_session_run(round % 2 == 0 ? session : other, &x, 1, out, NULL), BBW_OK);
      float first = *(const float *)out[0].data;
      if (round == 0) { want[n - 1] = first; }
      assert_true(first == want[n - 1]);
    }
    if (round == 1) { peak = mem.live_bytes; }
    if (round > 1) { assert_int_equal(mem.live_bytes, peak); }
  }
  bbw_session_del(session);
  bbw_session_del(other);
  bbw_session_del(NULL);
  assert_int_equal(mem.live_bytes, 0);
  onnx_file_free(&file);
}

/* ---- weights in other files ------------------------------------------------------------------------------------------ */

enum { WIDE = 1200 }; /* more bytes than a constant that is read at once */

typedef struct weight_file {
  float numbers[WIDE];
  size_t reads;
  bool is_gone; /* there when the model is read, not any more when the numbers are needed */
} weight_file;

static bool read_weights(void *ctx, bbw_str location, uint64_t offset, size_t len, void *out) {
  weight_file *file = ctx;
  if (!bbw_str_equal(location, BBW_STR("w.bin")) || offset > sizeof file->numbers ||
      len > sizeof file->numbers - offset || (out != NULL && file->is_gone)) {
    return false;
  }
  if (out != NULL) {
    file->reads++;
    memcpy(out, (const uint8_t *)file->numbers + offset, len);
  }
  return true;
}

/* y = x + w, w in another file: at `offset`, `length` bytes long (NULL: not said). */
static bbw_bytes external_model(onnx_file *file, const char *location, const char *offset, const char *length) {
  static bbw_onnx_entry entries[3];
  size_t count = 0;
  entries[count++] = (bbw_onnx_entry){BBW_STR("location"), {location, strlen(location)}};
  if (offset != NULL) { entries[count++] = (bbw_onnx_entry){BBW_STR("offset"), {offset, strlen(offset)}}; }
  if (length != NULL) { entries[count++] = (bbw_onnx_entry){BBW_STR("length"), {length, strlen(length)}}; }
  onnx_file_init(file);
  onnx_input(file, "x", "1200");
  bbw_onnx_tensor *w = onnx_floats(file, "w", "1200", NULL, 0);
  w->data_location = 1;
  w->external_data = (bbw_proto_list){entries, count};
  onnx_node(file, "Add", "sum", "x w", "y");
  onnx_output(file, "y");
  return onnx_bytes(file);
}

static bbw_status load_external(bbw_bytes model, weight_file *weights, const test_mem *mem, float *last,
                                bbw_error *err) {
  static float ones[WIDE];
  const bbw_external external = {weights, read_weights};
  const bbw_session_options options = {.external = weights != NULL ? &external : NULL};
  bbw_session *session = NULL;
  bbw_array x = {0}, y;
  const size_t dims[] = {WIDE};
  assert_true(bbw_array_shape(&x, BBW_DTYPE_F32, 1, dims));
  x.data = ones;
  bbw_status rv = bbw_session_new(&session, model, &options, &mem->mem, err);
  if (rv == BBW_OK) { rv = bbw_session_run(session, &x, 1, &y, err); }
  if (rv == BBW_OK) { *last = ((const float *)y.data)[WIDE - 1]; }
  bbw_session_del(session);
  return rv;
}

static void test_weights_of_another_file(void **state) {
  (void)state;
  static weight_file weights;
  for (size_t i = 0; i < WIDE; i++) { weights.numbers[i] = (float)i; }
  onnx_file file;
  test_mem mem;
  bbw_error err;
  float last = 0;
  test_mem_init(&mem);
  bbw_bytes model = external_model(&file, "w.bin", "0", "4800");
  assert_int_equal(load_external(model, &weights, &mem, &last, &err), BBW_OK);
  assert_true(last == (float)(WIDE - 1));
  assert_int_equal(weights.reads, 1);
  bbw_status rv = BBW_E_NOMEM;
  for (size_t nth = 0; rv == BBW_E_NOMEM; nth++) {
    test_mem_fail_at(&mem, nth);
    rv = load_external(model, &weights, &mem, &last, &err);
    assert_int_equal(mem.live_bytes, 0);
  }
  assert_int_equal(rv, BBW_OK);
  test_mem_fail_at(&mem, TEST_MEM_NEVER);
  assert_int_equal(load_external(model, NULL, &mem, &last, &err), BBW_E_ONNX_UNSUPPORTED);
  assert_true(bbw_str_equal(bbw_error_field(&err, "location"), BBW_STR("w.bin")));
  weights.is_gone = true;
  assert_int_equal(load_external(model, &weights, &mem, &last, &err), BBW_E_ONNX_UNSUPPORTED);
  weights.is_gone = false;
  onnx_file_free(&file);
  static const struct {
    const char *location, *offset, *length;
    bbw_status want;
  } cases[] = {{"w.bin", NULL, NULL, BBW_OK},
               {"w.bin", "1", NULL, BBW_E_ONNX_UNSUPPORTED},
               {"other", "0", NULL, BBW_E_ONNX_UNSUPPORTED},
               {"w.bin", "18446744073709551615", NULL, BBW_E_ONNX_UNSUPPORTED},
               {"w.bin", "18446744073709551616", NULL, BBW_E_ONNX_INVALID},
               {"w.bin", "-1", NULL, BBW_E_ONNX_INVALID},
               {"w.bin", "0", "4799", BBW_E_ONNX_INVALID},
               {"w.bin", "0", "x", BBW_E_ONNX_INVALID}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    model = external_model(&file, cases[i].location, cases[i].offset, cases[i].length);
    assert_int_equal(load_external(model, &weights, &mem, &last, &err), cases[i].want);
    assert_int_equal(mem.live_bytes, 0);
    onnx_file_free(&file);
  }
}

/* Weights that are packed where they come from: memory may run out, or the file go, at each point in between. */
static void test_packed_weights_of_another_file(void **state) {
  (void)state;
  static weight_file weights;
  for (size_t i = 0; i < WIDE; i++) { weights.numbers[i] = (float)i; }
  bbw_onnx_entry place = {BBW_STR("location"), BBW_STR("w.bin")};
  onnx_file file;
  onnx_file_init(&file);
  onnx_input(&file, "x", "1 30");
  bbw_onnx_tensor *w = onnx_floats(&file, "w", "30 40", NULL, 0);
  w->data_location = 1;
  w->external_data = (bbw_proto_list){&place, 1};
  onnx_node(&file, "MatMul", "first", "x w", "a");
  onnx_node(&file, "MatMul", "second", "x w", "b"); /* packs them once more */
  onnx_node(&file, "Add", "sum", "a b", "y");
  onnx_output(&file, "y");
  bbw_bytes model = onnx_bytes(&file);
  const bbw_external external = {&weights, read_weights};
  test_mem mem;
  test_mem_init(&mem);
  for (size_t nth = 0, done = 0; done < 2; nth++) {
    for (int is_capped = 0; is_capped < 2; is_capped++) {
      const bbw_session_options options = {
          .external = &external, .memory_bytes_max = is_capped ? 1 + 512 * nth : 0, .is_plain = nth % 3 == 2};
      float ones[30];
      bbw_session *session = NULL;
      bbw_array x = {0}, y;
      const size_t dims[] = {1, 30};
      assert_true(bbw_array_shape(&x, BBW_DTYPE_F32, 2, dims));
      for (size_t i = 0; i < 30; i++) { ones[i] = 1.0f; }
      x.data = ones;
      test_mem_fail_at(&mem, is_capped ? TEST_MEM_NEVER : nth);
      bbw_status rv = bbw_session_new(&session, model, &options, &mem.mem, NULL);
      if (rv == BBW_OK) { rv = bbw_session_run(session, &x, 1, &y, NULL); }
      if (rv == BBW_OK) { assert_true(((const float *)y.data)[39] == 2.0f * (30 * 39 + 40 * 435)); }
      if (rv != BBW_OK) { assert_int_equal(rv, is_capped ? BBW_E_LIMIT : BBW_E_NOMEM); }
      if (is_capped && rv == BBW_OK) { done++; }
      bbw_session_del(session);
      assert_int_equal(mem.live_bytes, 0);
    }
    assert_true(nth < 1000);
  }
  test_mem_fail_at(&mem, TEST_MEM_NEVER);
  weights.is_gone = true;
  bbw_session *none = NULL;
  const bbw_session_options gone = {.external = &external};
  assert_int_equal(bbw_session_new(&none, model, &gone, &mem.mem, NULL), BBW_E_ONNX_UNSUPPORTED);
  assert_int_equal(mem.live_bytes, 0);
  onnx_file_free(&file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_allocation_may_fail),
      cmocka_unit_test(test_a_session_lives_on),
      cmocka_unit_test(test_a_cap_is_kept),
      cmocka_unit_test(test_plans_come_and_go),
      cmocka_unit_test(test_weights_of_another_file),
      cmocka_unit_test(test_packed_weights_of_another_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
