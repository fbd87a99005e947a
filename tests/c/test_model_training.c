/* OnnxModel in a node: training in slices, what waits for it, snapshots in the middle of an epoch, what ends it early, and memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "artifact.h"
#include "base/mem.h"
#include "components/onnx_model.h"
#include "format/value.h"
#include "base/bytes.h"
#include "kernel_data.h"
#include "node/node.h"
#include "onnx_build.h"
#include "session.h"

enum { WIDTH = 6, COUNT = 22, BATCHES = 3, EPOCHS = 3, STEPS = BATCHES * EPOCHS }; /* batches of 8, 8 and 6 */

/* One batch per poll; in the other module all at once. */
#define OPERATORS(slice)                                                                                       \
  "slot m Model|OnnxModel\n"                                                                                   \
  "target M x l ask p d y -> loss n all loaded applied out\n"                                                  \
  "role.model::Train x l -> loss n | epochs=3 batch_size=8 seed=7 progress='how' batches_per_poll=" slice "\n" \
  "role.model::Params ask -> all\n"                                                                            \
  "role.model::LoadParameters p -> loaded\n"                                                                   \
  "role.model::ApplyDelta d -> applied\n"                                                                      \
  "role.model::Forward y -> out\n"
static const char sliced[] = OPERATORS("1"), whole[] = OPERATORS("1000");

static void network(onnx_file *f) {
  onnx_small_network(f);
  onnx_metadata(f, "bbw.train.optimizer", "adam");
  onnx_metadata(f, "bbw.train.rate", "0.02");
  onnx_metadata(f, "bbw.train.state", "f16");
}
enum { PARAMETERS = 30 + 5 + 15 };

static void install(session *s, const char *text, const bbw_config *config) {
  memset(s, 0, sizeof(*s));
  test_mem_init(&s->mem);
  bbw_vec_init(&s->steps, 1, &bbw_mem_libc);
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  onnx_file f;
  onnx_file_init(&f);
  network(&f);
  static const bbw_str target = {"M", 1};
  bbw_slot_config file = {.slot = {"m", 1}, .config = onnx_bytes(&f)};
  bbw_install_options options = {.peer_id = bbw_peer_id_from_u64(1),
                                 .model = artifact(&arena, text),
                                 .targets = &target,
                                 .target_count = 1,
                                 .config = config,
                                 .slot_configs = &file,
                                 .slot_config_count = 1};
  assert_int_equal(bbw_node_install(&s->node, &options, &s->mem.mem, NULL), BBW_OK);
  onnx_file_free(&f);
  bbw_arena_free(&arena);
}

/* The wire form of a tensor; freed by the caller. */
static bbw_bytes wire(const float *data, uint64_t rows, uint64_t columns) {
  const uint64_t dims[] = {rows, columns};
  bbw_value *value;
  float *to;
  assert_int_equal(bbw_value_new_tensor(&value, &to, BBW_TYPE_CPU_TENSOR, dims, columns > 0 ? 2 : 1, &bbw_mem_libc),
                   BBW_OK);
  memcpy(to, data, value->as.tensor.count * sizeof *to);
  size_t len = bbw_value_payload_size(value);
  uint8_t *bytes = malloc(len);
  assert_non_null(bytes);
  bbw_value_payload_write(value, bytes);
  bbw_value_release(value, &bbw_mem_libc);
  return (bbw_bytes){bytes, len};
}

static uint64_t send(session *s, const char *a, bbw_bytes x, const char *b, bbw_bytes y) {
  bbw_named_bytes inputs[] = {{{a, strlen(a)}, x}, {{b, strlen(b)}, y}};
  uint64_t exec_id;
  assert_int_equal(bbw_node_invoke(s->node, BBW_STR("M"), inputs, b[0] == '\0' ? 1 : 2, &exec_id, NULL), BBW_OK);
  free((void *)(uintptr_t)x.ptr);
  free((void *)(uintptr_t)y.ptr);
  return exec_id;
}
static uint64_t send_one(session *s, const char *name, bbw_bytes x) {
  return send(s, name, x, "", (bbw_bytes){NULL, 0});
}

static void samples(float *x, float *labels) {
  kernel_fill(x, COUNT * WIDTH, 60, -1.0f, 1.0f);
  for (size_t i = 0; i < COUNT; i++) {
    labels[i] = (float)(i % 3);
    x[i * WIDTH + i % 3] += 1.8f;
  }
}

static uint64_t start_training(session *s) {
  float x[COUNT * WIDTH], labels[COUNT];
  samples(x, labels);
  return send(s, "x", wire(x, COUNT, WIDTH), "l", wire(labels, COUNT, 0));
}

static void reset_log(session *s) {
  s->log_len = 0;
  s->log[0] = '\0';
  s->failed[0] = '\0';
}

/* Polls as a host does: again at once while a timer is due. */
static unsigned run(session *s) {
  uint64_t at_ns;
  for (unsigned polls = 1; polls < 200; polls++) {
    bool is_pending = session_poll(s);
    if (is_pending && !(bbw_node_next_timer(s->node, &at_ns) && at_ns <= 0)) { return polls; }
  }
  fail_msg("it never ends");
  return 0;
}

/* What Params gives, as it stands in the log. */
static char *parameters(session *s) {
  reset_log(s);
  (void)session_invoke(s, "ask", "");
  (void)run(s);
  assert_memory_equal(s->log, "all=", 4);
  char *copy = malloc(s->log_len + 1);
  assert_non_null(copy);
  memcpy(copy, s->log, s->log_len + 1);
  reset_log(s);
  return copy;
}

static unsigned count_events(const session *s, const char *topic) {
  unsigned count = 0;
  for (const char *at = s->log; (at = strstr(at, topic)) != NULL; at += strlen(topic)) { count++; }
  return count;
}

static char *trained_at_once(void) {
  session s;
  install(&s, whole, NULL);
  (void)start_training(&s);
  assert_int_equal(run(&s), 1);
  char *want = parameters(&s);
  session_end(&s);
  return want;
}

/* ---- slices ---- */

static void a_poll_trains_so_many_batches_and_the_bits_are_those_of_training_at_once(void **state) {
  (void)state;
  session s;
  char *want = trained_at_once();
  install(&s, sliced, NULL);
  char *before = parameters(&s);
  uint64_t at_ns;
  assert_false(bbw_node_next_timer(s.node, &at_ns));
  (void)start_training(&s);
  for (unsigned i = 1; i < STEPS; i++) {
    assert_true(session_poll(&s)); /* nothing to do at this time: the host may do other things */
    assert_true(bbw_node_next_timer(s.node, &at_ns) && at_ns == 0);
    assert_int_equal(count_events(&s, "how="), i);
    assert_int_equal(count_events(&s, "loss="), 0);
    assert_int_equal(session_stats(&s).pending_async, 1);
  }
  assert_int_equal(s.counts[BBW_STEP_ASYNC_SUSPENDED], 1);
  (void)session_poll(&s);
  assert_int_equal(count_events(&s, "how="), STEPS);
  assert_int_equal(count_events(&s, "loss="), 1);
  assert_false(bbw_node_next_timer(s.node, &at_ns));
  char *got = parameters(&s);
  assert_string_equal(got, want);
  assert_string_not_equal(got, before);
  session_end(&s);
  free(before);
  free(got);
  free(want);
}

static void what_comes_while_it_trains_waits_for_its_turn(void **state) {
  (void)state;
  session s;
  char *want = trained_at_once();
  install(&s, sliced, NULL);
  (void)start_training(&s);
  (void)session_poll(&s);
  (void)session_invoke(&s, "ask", "");
  (void)start_training(&s);
  for (unsigned i = 2; i < STEPS; i++) {
    (void)session_poll(&s);
    assert_int_equal(count_events(&s, "all="), 0);
  }
  (void)session_poll(&s); /* the first training ends; Params is next, then the second training begins */
  const char *at = strstr(s.log, "all=");
  assert_non_null(at);
  assert_memory_equal(at, want, strlen(want));
  (void)run(&s);
  assert_int_equal(count_events(&s, "loss="), 2);
  session_end(&s);
  free(want);
}

static bool always(void *ctx) {
  (void)ctx;
  return true;
}

static void the_time_budget_of_the_host_ends_a_slice(void **state) {
  (void)state;
  session s;
  char *want = trained_at_once();
  install(&s, whole, NULL);
  bbw_node_set_time_budget(s.node, always, NULL, 1);
  (void)start_training(&s);
  assert_true(run(&s) >= STEPS);
  assert_int_equal(count_events(&s, "how="), STEPS);
  char *got = parameters(&s);
  assert_string_equal(got, want);
  session_end(&s);
  free(got);
  free(want);
}

/*
 * Forward runs 1,024 samples at once and Evaluate 256: under a time budget every poll does one piece, and the answer is that of one call.  Other operators wait meanwhile; a snapshot in between
 * begins the operator anew, to the same answer.
 */
static const char questions[] =
    "slot m Model|OnnxModel\n"
    "target M x l ask f -> loss right all best\n"
    "role.model::Evaluate x l -> loss right\n"
    "role.model::Params ask -> all\n"
    "role.model::Forward f -> out\n"
    "role.model::ComputeLoss out l -> best\n"; /* ten thousand numbers do not fit into the log, their loss does */
enum { MANY = 2 * 1024 + 300 };

static uint64_t ask_about_many(session *s, const char *x) {
  static float many[MANY * WIDTH], labels[MANY];
  kernel_fill(many, MANY * WIDTH, 61, -1.0f, 1.0f);
  for (size_t i = 0; i < MANY; i++) { labels[i] = (float)(i % 3); }
  return send(s, x, wire(many, MANY, WIDTH), "l", wire(labels, MANY, 0));
}

static void questions_about_many_samples_take_several_polls(void **state) {
  (void)state;
  static const struct {
    const char *input, *answer;
    unsigned pieces;
  } rows[] = {{"x", "right=", (MANY + 255) / 256}, {"f", "best=", (MANY + 1023) / 1024}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    session at_once, first, second;
    install(&at_once, questions, NULL);
    (void)ask_about_many(&at_once, rows[i].input);
    assert_int_equal(run(&at_once), 1);
    assert_int_equal(count_events(&at_once, rows[i].answer), 1);
    install(&first, questions, NULL);
    bbw_node_set_time_budget(first.node, always, NULL, 1);
    (void)ask_about_many(&first, rows[i].input);
    uint8_t *bytes = NULL;
    size_t len = 0;
    for (unsigned piece = 1; piece < rows[i].pieces; piece++) {
      (void)session_poll(&first);
      assert_int_equal(session_stats(&first).pending_async, piece > 1 ? 2 : 1);
      assert_int_equal(count_events(&first, "all=") + count_events(&first, rows[i].answer), 0);
      if (piece == 1) { (void)session_invoke(&first, "ask", ""); }
      if (piece == 2) { assert_int_equal(bbw_node_snapshot(first.node, &bytes, &len, &bbw_mem_libc, NULL), BBW_OK); }
    }
    (void)run(&first);
    install(&second, questions, NULL);
    bbw_node_set_time_budget(second.node, always, NULL, 1);
    assert_int_equal(bbw_node_restore(second.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
    assert_true(run(&second) >= rows[i].pieces);
    bbw_mem_libc.free(bbw_mem_libc.ctx, bytes, len);
    (void)session_invoke(&at_once, "ask", "");
    (void)run(&at_once);
    const char *want = strstr(at_once.log, rows[i].answer), *got = strstr(first.log, rows[i].answer),
               *again = strstr(second.log, rows[i].answer);
    assert_non_null(want);
    assert_non_null(got);
    assert_non_null(again);
    size_t n = strcspn(want, " ");
    assert_true(n > 8 && memcmp(want, got, n) == 0 && memcmp(want, again, n) == 0);
    assert_int_equal(count_events(&first, "all="), 1);
    assert_int_equal(count_events(&second, "all="), 1);
    reset_log(&first);
    uint64_t exec_id = ask_about_many(&first, rows[i].input); /* and one that nobody waits for any more */
    (void)session_poll(&first);
    assert_int_equal(bbw_node_cancel(first.node, exec_id, NULL), BBW_OK);
    free(parameters(&first));
    session_end(&second);
    session_end(&first);
    session_end(&at_once);
  }
}

/* ---- snapshots ---- */

/* Taken after every slice, with an operator that waits: the restored node goes on as the first one does, step by step and bit by bit. */
static void a_snapshot_in_the_middle_of_an_epoch_ends_with_the_same_bits(void **state) {
  (void)state;
  char *want = trained_at_once();
  for (unsigned stop = 0; stop < STEPS; stop++) {
    session first, second;
    uint8_t *bytes;
    size_t len;
    install(&first, sliced, NULL);
    (void)start_training(&first);
    for (unsigned i = 0; i < stop; i++) { (void)session_poll(&first); }
    if (stop > 0) {
      (void)session_invoke(&first, "ask", "");
      (void)session_poll(&first);
    }
    assert_int_equal(bbw_node_snapshot(first.node, &bytes, &len, &bbw_mem_libc, NULL), BBW_OK);
    install(&second, sliced, NULL);
    assert_int_equal(bbw_node_restore(second.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
    reset_log(&first);
    bool is_done = false;
    for (unsigned i = 0; !is_done; i++) {
      assert_true(i < 2 * STEPS);
      is_done = session_poll(&first) && session_stats(&first).pending_async == 0;
      (void)session_poll(&second);
      assert_string_equal(first.log, second.log);
    }
    char *got = parameters(&second);
    assert_string_equal(got, want);
    free(got);
    /* Cut or changed states of the component are refused: bytes of the snapshot that its checksum does not cover do not exist, so the whole is. */
    bytes[len / 2] ^= 1;
    assert_int_not_equal(bbw_node_restore(second.node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
    bbw_mem_libc.free(bbw_mem_libc.ctx, bytes, len);
    session_end(&second);
    session_end(&first);
  }
  free(want);
}

/* A state in the middle of a training, cut anywhere or with any byte changed, is taken or refused; what is refused changes nothing, and what is taken can be used. */
static void damaged_states_are_refused_or_used(void **state) {
  (void)state;
  session s;
  install(&s, sliced, NULL);
  (void)start_training(&s);
  for (unsigned i = 0; i < 4; i++) { (void)session_poll(&s); }
  const bbw_component *model = bbw_engine_component(&s.node->engine, 0);
  const bbw_component_type *type = model->type;
  assert_string_equal(type->type_name, "OnnxModel");
  uint8_t *saved, *copy, *before, *after;
  size_t len, before_len, after_len, taken = 0;
  assert_int_equal(type->save(model->self, &bbw_mem_libc, &saved, &len), BBW_OK);
  copy = malloc(len);
  assert_non_null(copy);
  onnx_file f;
  onnx_file_init(&f);
  network(&f);
  void *other;
  assert_int_equal(type->construct(&other, type, true, onnx_bytes(&f), &bbw_mem_libc, NULL), BBW_OK);
  for (size_t i = 0; i < len; i++) {
    assert_int_equal(type->restore(other, (bbw_bytes){saved, i}, &bbw_mem_libc, NULL), BBW_E_RESTORE_COMPONENT);
    memcpy(copy, saved, len);
    copy[i] ^= (uint8_t)(1u << i % 8);
    assert_int_equal(type->save(other, &bbw_mem_libc, &before, &before_len), BBW_OK);
    bbw_status rv = type->restore(other, (bbw_bytes){copy, len}, &bbw_mem_libc, NULL);
    assert_int_equal(type->save(other, &bbw_mem_libc, &after, &after_len), BBW_OK);
    const uint8_t *want = rv == BBW_OK ? copy : before;
    assert_int_equal(after_len, rv == BBW_OK ? len : before_len);
    assert_memory_equal(after, want, after_len);
    assert_true(rv == BBW_OK || rv == BBW_E_RESTORE_COMPONENT);
    taken += rv == BBW_OK;
    bbw_mem_libc.free(bbw_mem_libc.ctx, before, before_len);
    bbw_mem_libc.free(bbw_mem_libc.ctx, after, after_len);
  }
  assert_true(taken > 4 * PARAMETERS && taken < len);
  copy[8] = 1; /* an older version, named */
  bbw_error err;
  assert_int_equal(type->restore(other, (bbw_bytes){copy, len}, &bbw_mem_libc, &err), BBW_E_RESTORE_COMPONENT);
  assert_true(bbw_str_equal(bbw_error_field(&err, "detail"), BBW_STR("the state has another version")));
  type->destroy(other, &bbw_mem_libc);
  onnx_file_free(&f);
  free(copy);
  bbw_mem_libc.free(bbw_mem_libc.ctx, saved, len);
  (void)run(&s);
  session_end(&s);
}

/* A whole state may claim any shape of a sample, which says how much memory the first run takes: what the state does not hold itself is capped, before anything is allocated. */
static void a_forged_shape_asks_for_no_memory(void **state) {
  (void)state;
  const bbw_component_type *type = &bbw_onnx_model_component;
  static const struct {
    uint64_t kept, length, width; /* of a sample [1, length, width] */
    bbw_status want;
  } cases[] = {
      {0, (uint64_t)1 << 40, 3, BBW_E_RESTORE_COMPONENT},    {0, (uint64_t)1 << 27, 3, BBW_E_RESTORE_COMPONENT},
      {0, (uint64_t)1 << 21, 3, BBW_E_RESTORE_COMPONENT},    {0, ((uint64_t)1 << 63) + 5, 2, BBW_E_RESTORE_COMPONENT},
      {1, (uint64_t)1 << 20, 3, BBW_E_RESTORE_COMPONENT}, /* it would be in the state */
      {1024, (uint64_t)1 << 53, 3, BBW_E_RESTORE_COMPONENT}, {0, 5, 3, BBW_OK}};
  onnx_file f;
  onnx_file_init(&f);
  onnx_input(&f, "x", "n len 3");
  onnx_weights(&f, "w", "3 2", 1, 0.8f, false);
  onnx_node(&f, "MatMul", "m", "x w", "y");
  onnx_output(&f, "y");
  test_mem mem;
  test_mem_init(&mem);
  void *self;
  uint8_t *saved, *forged;
  size_t len;
  assert_int_equal(type->construct(&self, type, true, onnx_bytes(&f), &mem.mem, NULL), BBW_OK);
  assert_int_equal(type->save(self, &bbw_mem_libc, &saved, &len), BBW_OK);
  forged = malloc(len + 24);
  assert_non_null(forged);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const uint64_t dims[] = {1, cases[i].length, cases[i].width};
    memcpy(forged, saved, 52); /* the head; the number of kept samples and the rank are its last */
    bbw_store_u64le(forged + 40, cases[i].kept);
    bbw_store_u32le(forged + 48, 3);
    for (size_t d = 0; d < 3; d++) { bbw_store_u64le(forged + 52 + 8 * d, dims[d]); }
    memcpy(forged + 76, saved + 52, len - 52);
    mem.peak_bytes = mem.live_bytes;
    size_t before = mem.live_bytes;
    bbw_error err;
    bbw_status rv = type->restore(self, (bbw_bytes){forged, len + 24}, &mem.mem, &err);
    if (rv != cases[i].want) { print_error("case %zu\n", i); }
    assert_int_equal(rv, cases[i].want);
    if (rv == BBW_OK) { continue; }
    assert_true(bbw_error_field(&err, "detail").len > 0);
    assert_int_equal(mem.peak_bytes, before);
  }
  type->destroy(self, &mem.mem);
  assert_int_equal(mem.live_bytes, 0);
  bbw_mem_libc.free(bbw_mem_libc.ctx, saved, len);
  free(forged);
  onnx_file_free(&f);
}

/* ---- what ends it early ---- */

static void it_ends_with_its_execution_and_the_steps_stay(void **state) {
  (void)state;
  session s;
  install(&s, sliced, NULL);
  char *before = parameters(&s);
  uint64_t exec_id = start_training(&s), at_ns;
  for (unsigned i = 0; i < 4; i++) { (void)session_poll(&s); }
  assert_int_equal(bbw_node_cancel(s.node, exec_id, NULL), BBW_OK);
  assert_false(bbw_node_next_timer(s.node, &at_ns));
  char *after = parameters(&s);
  assert_string_not_equal(after, before);
  char *again = parameters(&s);
  assert_string_equal(again, after);
  (void)start_training(&s);
  (void)run(&s);
  assert_int_equal(count_events(&s, "loss="), 1);
  /* An answer that the host makes up ends it too. */
  (void)start_training(&s);
  (void)session_poll(&s);
  assert_int_equal(bbw_node_fail(s.node, s.last_cmd, BBW_STR("enough"), NULL), BBW_OK);
  (void)run(&s);
  assert_string_equal(s.failed, "RemoteFailed/completion_failed");
  free(parameters(&s)); /* and the model is free again */
  free(before);
  session_end(&s);
  free(again);
  free(after);
}

static void a_deadline_ends_it_and_the_limit_of_the_node_does_not(void **state) {
  (void)state;
  session s;
  bbw_config config;
  bbw_config_init(&config);
  config.async_deadline_ns = 5;
  install(&s, sliced, &config);
  (void)start_training(&s);
  for (unsigned i = 0; i < STEPS; i++) {
    assert_int_equal(bbw_node_tick(s.node, 10 * i), BBW_OK);
    (void)session_poll(&s);
  }
  assert_int_equal(count_events(&s, "loss="), 1);
  session_end(&s);
  install(&s,
          "slot m Model|OnnxModel\ntarget M x l ask -> loss n all\nrole.model::Params ask -> all\n"
          "role.model::Train x l -> loss n | epochs=3 batch_size=8 batches_per_poll=1 deadline_ns=25",
          NULL);
  (void)start_training(&s);
  for (unsigned i = 0; i < STEPS; i++) {
    assert_int_equal(bbw_node_tick(s.node, 10 * i), BBW_OK);
    (void)session_poll(&s);
  }
  assert_string_equal(s.failed, "Timeout/deadline_exceeded");
  free(parameters(&s)); /* nobody waits for the model any more */
  session_end(&s);
}

/* ---- bad input ---- */

static void expect_failure(session *s, const char *failed, const char *before) {
  if (strcmp(s->failed, failed) != 0) { print_error("%s, wants %s\n", s->failed, failed); }
  assert_string_equal(s->failed, failed);
  char *after = parameters(s);
  assert_string_equal(after, before);
  free(after);
}

static void bad_input_is_named_and_changes_nothing(void **state) {
  (void)state;
  session s;
  float x[COUNT * WIDTH], labels[COUNT];
  install(&s, sliced, NULL);
  char *before = parameters(&s);
  samples(x, labels);
  labels[20] = 3.0f; /* in the last batch: it is found before the first */
  (void)send(&s, "x", wire(x, COUNT, WIDTH), "l", wire(labels, COUNT, 0));
  (void)run(&s);
  expect_failure(&s, "BadInput/invalid_label", before);
  labels[20] = 0.5f;
  (void)send(&s, "x", wire(x, COUNT, WIDTH), "l", wire(labels, COUNT, 0));
  (void)run(&s);
  expect_failure(&s, "BadInput/invalid_label", before);
  (void)send(&s, "x", wire(x, COUNT, WIDTH - 1), "l", wire(labels, COUNT, 0));
  (void)run(&s);
  expect_failure(&s, "BadInput/shape_mismatch", before);
  (void)send(&s, "x", wire(x, COUNT, WIDTH), "l", wire(labels, COUNT - 1, 0));
  (void)run(&s);
  expect_failure(&s, "BadInput/shape_mismatch", before);
  (void)send(&s, "x", wire(x, 0, WIDTH), "l", wire(labels, 0, 0));
  (void)run(&s);
  expect_failure(&s, "BadInput/empty", before);
  (void)send_one(&s, "p", wire(x, PARAMETERS - 1, 0)); /* of another model */
  (void)run(&s);
  expect_failure(&s, "BadInput/shape_mismatch", before);
  (void)send_one(&s, "d", wire(x, PARAMETERS + 1, 0));
  (void)run(&s);
  expect_failure(&s, "BadInput/shape_mismatch", before);
  x[3] = INFINITY;
  (void)send_one(&s, "p", wire(x, PARAMETERS, 0));
  (void)run(&s);
  expect_failure(&s, "ExecutionFailed/not_finite", before);
  samples(x, labels);
  for (size_t i = 0; i < COUNT; i++) { x[i * WIDTH] = NAN; } /* in every batch, so in the first */
  (void)send(&s, "x", wire(x, COUNT, WIDTH), "l", wire(labels, COUNT, 0));
  (void)run(&s);
  expect_failure(&s, "ExecutionFailed/not_finite", before);
  session_end(&s);
  free(before);
}

static void a_batch_that_is_not_finite_is_named_and_the_steps_before_stay(void **state) {
  (void)state;
  session s;
  float x[COUNT * WIDTH], labels[COUNT];
  install(&s, sliced, NULL);
  char *before = parameters(&s);
  samples(x, labels);
  x[3] = NAN; /* one sample, somewhere in the first epoch */
  (void)send(&s, "x", wire(x, COUNT, WIDTH), "l", wire(labels, COUNT, 0));
  (void)run(&s);
  assert_string_equal(s.failed, "ExecutionFailed/not_finite");
  unsigned batch = count_events(&s, "how=");
  char text[64];
  snprintf(text, sizeof text, "epoch 0, batch %u: ", batch);
  size_t at = 0;
  bool is_named = false;
  bbw_step step;
  while (bbw_steps_next((bbw_bytes){s.steps.items, s.steps.count}, &at, &step)) {
    if (step.kind != BBW_STEP_OP_FAILED) { continue; }
    bbw_str detail = bbw_step_text(&step, "detail");
    is_named = detail.len > strlen(text) && memcmp(detail.ptr, text, strlen(text)) == 0;
  }
  assert_true(is_named);
  char *after = parameters(&s);
  assert_int_equal(strcmp(after, before) != 0, batch > 1); /* the last step's result was not seen to be good */
  session_end(&s);
  free(after);
  free(before);
}

/* ---- memory ---- */

/* The same of Forward and Evaluate in slices, one of which another operator waits for. */
static void every_allocation_of_a_question_may_fail(void **state) {
  (void)state;
  static const char *const rows[][2] = {{"x", "right="}, {"f", "best="}};
  for (size_t i = 0; i < 2; i++) {
    session once;
    install(&once, questions, NULL);
    (void)ask_about_many(&once, rows[i][0]);
    (void)run(&once);
    const char *want = strstr(once.log, rows[i][1]);
    assert_non_null(want);
    size_t finished = 0, failed = 0;
    for (size_t nth = 0; nth < 60; nth++) {
      session s;
      install(&s, questions, NULL);
      bbw_node_set_time_budget(s.node, always, NULL, 1);
      (void)ask_about_many(&s, rows[i][0]);
      (void)session_invoke(&s, "ask", "");
      test_mem_fail_at(&s.mem, nth);
      bbw_bytes steps;
      bool is_pending;
      bbw_status rv = BBW_OK;
      for (unsigned k = 0; k < 2 && rv == BBW_OK; k++) { rv = bbw_node_poll(s.node, &steps, &is_pending, NULL); }
      assert_true(rv == BBW_OK || rv == BBW_E_NOMEM);
      s.mem.fail_at = TEST_MEM_NEVER;
      (void)run(&s);
      const char *got = strstr(s.log, rows[i][1]);
      if (got != NULL) { assert_memory_equal(got, want, strcspn(want, " ")); }
      finished += got != NULL;
      failed += got == NULL;
      free(parameters(&s)); /* the model is free again */
      session_end(&s);
    }
    assert_true(finished > 0 && failed > 0);
    session_end(&once);
  }
}

/* Whatever allocation fails, the training ends with the right bits or with an error, and the node goes on. */
static void every_allocation_may_fail(void **state) {
  (void)state;
  char *want = trained_at_once();
  size_t finished = 0, failed = 0;
  for (size_t nth = 0; nth < 90; nth++) {
    session s;
    install(&s, sliced, NULL);
    (void)start_training(&s);
    test_mem_fail_at(&s.mem, nth);
    bbw_bytes steps;
    bool is_pending;
    bbw_status rv = BBW_OK;
    for (unsigned i = 0; i < 3 && rv == BBW_OK; i++) { rv = bbw_node_poll(s.node, &steps, &is_pending, NULL); }
    assert_true(rv == BBW_OK || rv == BBW_E_NOMEM);
    s.mem.fail_at = TEST_MEM_NEVER;
    (void)run(&s);
    bool is_done = count_events(&s, "loss=") == 1;
    char *got = parameters(&s);
    if (is_done) { assert_string_equal(got, want); }
    finished += is_done;
    failed += !is_done;
    free(got);
    session_end(&s);
  }
  assert_true(finished > 0 && failed > 0);
  free(want);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_poll_trains_so_many_batches_and_the_bits_are_those_of_training_at_once),
      cmocka_unit_test(what_comes_while_it_trains_waits_for_its_turn),
      cmocka_unit_test(the_time_budget_of_the_host_ends_a_slice),
      cmocka_unit_test(questions_about_many_samples_take_several_polls),
      cmocka_unit_test(a_snapshot_in_the_middle_of_an_epoch_ends_with_the_same_bits),
      cmocka_unit_test(damaged_states_are_refused_or_used),
      cmocka_unit_test(a_forged_shape_asks_for_no_memory),
      cmocka_unit_test(it_ends_with_its_execution_and_the_steps_stay),
      cmocka_unit_test(a_deadline_ends_it_and_the_limit_of_the_node_does_not),
      cmocka_unit_test(bad_input_is_named_and_changes_nothing),
      cmocka_unit_test(a_batch_that_is_not_finite_is_named_and_the_steps_before_stay),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(every_allocation_of_a_question_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
