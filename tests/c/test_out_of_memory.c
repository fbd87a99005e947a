/*
 * One scenario of everything, in which every allocation fails once: install, setting up, deliveries of all kinds, polls with every operator family, snapshot, import and restore.
 *
 * Each time the call that fails says so and can be made again, the node goes on to work as one whose memory never failed, and in the end every byte is given back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "bbw/envelope.h"
#include "bbw/step.h"
#include "format/route.h"
#include "node/node.h"
#include "test_mem.h"

#define LOG_MAX   16384
#define POLLS_MAX 400

static const char everything[] =
    "slot model Model|Patient\nslot sum Aggregator|Patient\n"
    "target M x t peers addr -> o1 o2 o3 o4 o5 o6 o7 o8 o9 p1 p2 p3 p4\n"
    /* structural, composite, coordination */
    "syscall::PassThrough x -> a1\nsyscall::Tee a1 -> a2 a3\ncomposite::Bundle a2 a3 -> b\n"
    "composite::Unbundle b -> o1 b2 | ai.bytesandbrains.composite.child_count=2\n"
    "syscall::Limit.Acquire x -> l | name='l'\nsyscall::Gate x l -> o2\nsyscall::Limit.Release o2c -> lr | name='l'\n"
    "syscall::Gate x l -> o2c\nsyscall::Any x t -> o3\nsyscall::Serialize.Enqueue x -> q | queue='q'\n"
    "syscall::Gate t q -> q2\nsyscall::Serialize.Dequeue q2 -> o4 | queue='q'\nsyscall::Hold.Stash x -> h | slot='h'\n"
    "syscall::Gate t h -> h2\nsyscall::Hold.Flush h2 -> o5 | slot='h'\nsyscall::CorrelateTag x -> "
    "ct\nsyscall::OnTrigger ct -> ot\n"
    "syscall::DeadlineCheck x -> dc | deadline_ns=1000000\nsyscall::GateDispatch dc -> gd\n"
    /* triggers and time */
    "syscall::After x -> af | delay_ns=5\nsyscall::Sleep x -> sl | duration_ns=7\nsyscall::DeadlineMatch af sl -> "
    "dm\nsyscall::Gate x dm -> o6\n"
    "syscall::Interval -> iv | period_ns=1000\nsyscall::IncrMetric iv | name='ticks'\nsyscall::Clock -> "
    "ck\nsyscall::RngU64 x -> rn\n"
    "syscall::OnTrigger ck rn -> ot2\nsyscall::EventSource -> es | kind='WireDecodeFailure'\nsyscall::AppNotify es | "
    "name='undecodable'\n"
    "syscall::LifecyclePhase -> lc | phase='start'\nsyscall::AppNotify lc | name='started'\n"
    /* telemetry and the host */
    "syscall::AppEmit x | name='emitted'\nsyscall::Record x -> rc | name='r'\nsyscall::IncrMetric x | name='runs'\n"
    /* peers */
    "address_book::InsertMany rs lk -> im\nwire::Send x peers -> sd o7 | deadline_ns=50\n"
    "wire::Recv -> rp rs\nsyscall::DedupGateRx rp -> g1\nsyscall::PeerHealthGateRx g1 -> g2\nsyscall::BackoffGateRx g2 "
    "-> g3\n"
    "address_book::Lookup rs -> lk\nsyscall::AppEmit g3 | name='received'\nwire::Send rp rs -> s2 h3\n"
    /* calls and components */
    "module::F x t -> o8 o9\nrole.model::Forward x -> p1\nrole.aggregator::Contribute x -> p2\nno.such::Op x -> p3\n"
    "function F a b -> c d\nsyscall::PassThrough a -> c\nmodule::G b -> d\nfunction G v -> w\nsyscall::After v -> u | "
    "delay_ns=3\nsyscall::Gate v u -> w\n"
    "bootstrap B k\nsyscall::AppEmit k | name='booted'\nsyscall::After k -> bk | delay_ns=2\nrole.model::Params bk -> "
    "bp";

/* A component that answers later and saves how often it was called. */
typedef struct patient {
  uint64_t calls;
} patient;

static bbw_status patient_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                    const bbw_mem *mem, bbw_error *err) {
  (void)type, (void)has_config, (void)config, (void)err;
  patient *p = mem->alloc(mem->ctx, sizeof(*p));
  if (p == NULL) { return BBW_E_NOMEM; }
  *p = (patient){0};
  *self = p;
  return BBW_OK;
}
static void patient_destroy(void *self, const bbw_mem *mem) { mem->free(mem->ctx, self, sizeof(patient)); }
static bbw_status patient_dispatch(void *self, bbw_ctx *ctx) {
  uint64_t cmd_id;
  bbw_status rv = bbw_ctx_later(ctx, &cmd_id);
  if (rv != BBW_OK) { return rv; }
  ((patient *)self)->calls++;
  return BBW_LATER;
}
static bbw_status patient_save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  *out = mem->alloc(mem->ctx, sizeof(patient));
  if (*out == NULL) { return BBW_E_NOMEM; }
  memcpy(*out, self, sizeof(patient));
  *len = sizeof(patient);
  return BBW_OK;
}
static bbw_status patient_restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  (void)mem, (void)err;
  memcpy(self, state.ptr, sizeof(patient));
  return BBW_OK;
}
static const bbw_component_type patient_type = {
    .type_name = "Patient",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_MODEL) | BBW_ROLE_BIT(BBW_ROLE_AGGREGATOR),
    .construct = patient_construct,
    .destroy = patient_destroy,
    .dispatch = patient_dispatch,
    .bootstrap = patient_dispatch,
    .save = patient_save,
    .restore = patient_restore,
};

typedef struct scene {
  test_mem mem;
  bbw_node *node;
  unsigned memory_errors; /* calls that answered that memory ran out, and steps that say so */
  char log[LOG_MAX];
  size_t log_len;
  uint64_t commands[64];
  size_t command_count;
  uint64_t now_ns;
} scene;

static bool is_memory_error(bbw_status rv) {
  return rv == BBW_E_NOMEM || rv == BBW_E_ALLOCATION_FAILED || rv == BBW_E_BOOT_ALLOCATION_FAILED ||
         rv == BBW_E_AB_ALLOCATION_FAILED;
}

/* The call is made again when it fails for memory, of which there is enough then. */
#define AGAIN(s, call)             \
  do {                             \
    bbw_status rv_ = (call);       \
    if (is_memory_error(rv_)) {    \
      (s)->memory_errors++;        \
      rv_ = (call);                \
    }                              \
    assert_int_equal(rv_, BBW_OK); \
  } while (0)

static void note(scene *s, const bbw_step *step) {
  bbw_str reason = bbw_step_text(step, "reason");
  if (bbw_str_equal(reason, BBW_STR("out_of_memory")) ||
      (step->kind == BBW_STEP_WIRE_RECEIVE_FAILED &&
       bbw_str_equal(bbw_step_text(step, "kind"), BBW_STR("AllocationFailed")))) {
    s->memory_errors++;
  }
  if (step->kind == BBW_STEP_ASYNC_SUSPENDED && s->command_count < 64) {
    s->commands[s->command_count++] = bbw_step_u64(step, "cmd_id");
  }
  bool is_output = step->kind == BBW_STEP_APP_EVENT && bbw_step_text(step, "module_name").len == 0;
  bool is_envelope = step->kind == BBW_STEP_SEND_ENVELOPE;
  bool is_boot = step->kind == BBW_STEP_BOOTSTRAP_COMPLETE;
  if (!is_output && !is_envelope && !is_boot) { return; }
  bbw_str word = is_output ? bbw_step_text(step, "topic") : is_boot ? BBW_STR("complete") : BBW_STR("envelope");
  bbw_bytes value = bbw_step_bytes(step, "value_bytes");
  s->log_len += (size_t)snprintf(s->log + s->log_len, LOG_MAX - s->log_len, "%.*s", (int)word.len, word.ptr);
  bool is_number = bbw_str_equal(word, BBW_STR("o7")); /* a request id, which goes on counting */
  for (size_t i = 0; i < value.len && !is_number; i++) {
    s->log_len += (size_t)snprintf(s->log + s->log_len, LOG_MAX - s->log_len, "%02x", value.ptr[i]);
  }
  s->log_len += (size_t)snprintf(s->log + s->log_len, LOG_MAX - s->log_len, " ");
}

static void poll_all(scene *s) {
  for (unsigned i = 0; i < POLLS_MAX; i++) {
    bbw_bytes steps = {NULL, 0};
    bbw_step step;
    bool is_pending = false;
    bbw_status rv = bbw_node_poll(s->node, &steps, &is_pending, NULL);
    if (rv == BBW_E_NOMEM) {
      s->memory_errors++;
      continue;
    }
    assert_int_equal(rv, BBW_OK);
    for (size_t at = 0; bbw_steps_next(steps, &at, &step);) { note(s, &step); }
    if (is_pending) { return; }
  }
  fail_msg("the node never comes to rest");
}

static bbw_bytes peer_bytes(uint64_t number, uint8_t *buf) {
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  return (bbw_bytes){buf, bbw_peer_id_encode(&peer, buf)};
}

/* Fills for the Recv (a payload that differs from run to run), for a site that is none, and of a type that is none. */
static void deliver(scene *s, uint64_t run) {
  uint8_t suffix[10] = {0xe2, 0x01}, other[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0x7f, 1}, wire[256],
          peer[BBW_PEER_ID_BYTES_MAX];
  uint8_t payload[16] = {8, 0, 0, 0, 0, 0, 0, 0};
  bbw_store_u64le(payload + 8, run);
  bbw_store_u64be(suffix + 2, bbw_route_id(BBW_STR("M"), BBW_STR("rp")));
  bbw_slot_fill fills[3] = {{{suffix, 10}, {payload, 16}, false, bbw_type_hash(BBW_TYPE_BYTES)},
                            {{other, 10}, {payload, 16}, false, bbw_type_hash(BBW_TYPE_BYTES)},
                            {{suffix, 10}, {payload, 16}, false, 77}};
  bbw_envelope envelope = {.fills = fills,
                           .fill_count = 3,
                           .has_correlation = true,
                           .correlation_kind = 1,
                           .wire_req_id = 900 + run,
                           .schema_version = 1};
  assert_true(bbw_envelope_size(&envelope) <= sizeof(wire));
  bbw_bytes bytes = {wire, bbw_envelope_size(&envelope)};
  bbw_envelope_encode(&envelope, wire);
  AGAIN(s, bbw_node_deliver_inbound(s->node, peer_bytes(2, peer), bytes, NULL));
}

static void invoke_all(scene *s) {
  static const uint8_t peers[] = {1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2};
  bbw_named_bytes inputs[4] = {{BBW_STR("x"), {(const uint8_t *)"xx", 2}},
                               {BBW_STR("t"), {(const uint8_t *)"t", 1}},
                               {BBW_STR("peers"), {peers, sizeof(peers)}},
                               {BBW_STR("addr"), {(const uint8_t *)"", 0}}};
  uint64_t exec_id;
  AGAIN(s, bbw_node_invoke(s->node, BBW_STR("M"), inputs, 4, &exec_id, NULL));
  poll_all(s);
}

static void answer_all(scene *s) {
  static const uint8_t payload[9] = {1, 0, 0, 0, 0, 0, 0, 0, 'a'};
  bbw_typed_bytes result = {bbw_type_hash(BBW_TYPE_BYTES), {payload, 9}};
  for (size_t i = 0; i < s->command_count; i++) {
    bbw_status rv = i % 2 == 0 ? bbw_node_complete(s->node, s->commands[i], &result, 1, NULL)
                               : bbw_node_fail(s->node, s->commands[i], BBW_STR("no"), NULL);
    if (is_memory_error(rv)) {
      s->memory_errors++;
      i--; /* again */
    }
  }
  s->command_count = 0;
  poll_all(s);
}

static void pass_time(scene *s) {
  for (int i = 0; i < 4; i++) {
    s->now_ns += 300;
    assert_int_equal(bbw_node_tick(s->node, s->now_ns), BBW_OK);
    poll_all(s);
  }
}

static void save_and_restore(scene *s) {
  uint8_t *bytes = NULL;
  size_t len = 0;
  AGAIN(s, bbw_node_snapshot(s->node, &bytes, &len, &s->mem.mem, NULL));
  AGAIN(s, bbw_node_restore(s->node, (bbw_bytes){bytes, len}, NULL));
  s->mem.mem.free(s->mem.mem.ctx, bytes, len);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The words of the log in the order of the alphabet: a poll that was cut short gives the same, at times later. */
static void log_words(scene *s, char *out) {
  static char copy[LOG_MAX];
  char *words[1024];
  size_t count = 0;
  strcpy(copy, s->log);
  for (char *word = strtok(copy, " "); word != NULL && count < 1024; word = strtok(NULL, " ")) {
    words[count++] = word;
  }
  qsort(words, count, sizeof(char *), by_text);
  out[0] = '\0';
  for (size_t i = 0; i < count; i++) {
    strcat(out, words[i]);
    strcat(out, " ");
  }
}

static void play(scene *s, uint64_t run) {
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  static const uint8_t site[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 7};
  static const uint8_t seen[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 8};
  bbw_bytes address = {site, sizeof(site)};
  bbw_named_bytes input = {BBW_STR("k"), {(const uint8_t *)"kk", 2}};
  bbw_boot_request request = {BBW_STR("B"), &input, 1};
  bbw_str slot = BBW_STR("sum");
  s->log_len = 0;
  s->log[0] = '\0';
  s->command_count = 0;
  AGAIN(s, bbw_node_add_peer(s->node, peer_bytes(2, peer), &address, 1, NULL));
  AGAIN(s, bbw_node_block_peer(s->node, peer_bytes(9, peer), NULL));
  AGAIN(s, bbw_node_run_bootstrap(s->node, &request, 1, NULL));
  AGAIN(s, bbw_node_run_bootstrap_slots(s->node, &slot, 1, NULL));
  poll_all(s);
  pass_time(s);
  save_and_restore(s); /* while a bootstrap waits */
  answer_all(s);
  AGAIN(s, bbw_node_fire_lifecycle(s->node, BBW_STR("start"), NULL));
  AGAIN(s, bbw_node_deliver_event(s->node, BBW_STR("M"), BBW_STR("t"), (bbw_bytes){(const uint8_t *)"e", 1}, NULL));
  AGAIN(s, bbw_node_observe_peer(s->node, peer_bytes(2, peer), (bbw_bytes){seen, sizeof(seen)}, NULL));
  AGAIN(s, bbw_node_set_send_room(s->node, peer_bytes(2, peer), 0, NULL));
  invoke_all(s);
  deliver(s, run);
  poll_all(s);
  save_and_restore(s); /* with executions, timers, requests, envelopes that wait: they go out then */
  AGAIN(s, bbw_node_set_send_room(s->node, peer_bytes(2, peer), 1, NULL));
  AGAIN(s, bbw_node_send_failed(s->node, peer_bytes(2, peer), 1, BBW_STR("gone"), NULL));
  pass_time(s);
  answer_all(s);
  pass_time(s);
  answer_all(s);
  AGAIN(s, bbw_node_unblock_peer(s->node, peer_bytes(9, peer), NULL));
  AGAIN(s, bbw_node_clear(s->node, NULL));
}

static void install(scene *s) {
  static const bbw_component_type *const types[] = {&patient_type};
  bbw_error err;
  s->node = artifact_install_with(everything, NULL, types, 1, &s->mem.mem, &err);
  if (s->node != NULL) { return; }
  assert_int_equal(err.status, BBW_E_NOMEM);
  assert_int_equal(s->mem.live_bytes, 0);
  s->memory_errors++;
  s->node = artifact_install_with(everything, NULL, types, 1, &s->mem.mem, &err);
  assert_non_null(s->node);
}

/* Plays twice: once with the failure in it, once without. */
static size_t run_scene(scene *s, size_t fail_at, char *first, char *second) {
  memset(s, 0, sizeof(*s));
  test_mem_init(&s->mem);
  s->mem.fail_at = fail_at;
  s->mem.fails_once = true;
  install(s);
  play(s, 1);
  log_words(s, first);
  size_t allocations = s->mem.alloc_count;
  s->mem.fail_at = TEST_MEM_NEVER;
  play(s, 2);
  log_words(s, second);
  bbw_stats stats;
  bbw_node_stats(s->node, &stats);
  assert_int_equal(stats.executions + stats.pending_async + stats.slot_table_occupied + stats.ingress_depth, 0);
  assert_int_equal(stats.ingress_bytes_in_flight, 0);
  bbw_node_del(s->node);
  assert_int_equal(s->mem.live_bytes, 0);
  return allocations;
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  static scene s;
  static char first[LOG_MAX], second[LOG_MAX], wanted_first[LOG_MAX], wanted_second[LOG_MAX];
  size_t allocations = run_scene(&s, TEST_MEM_NEVER, wanted_first, wanted_second);
  assert_int_equal(s.memory_errors, 0);
  /* The scenario does what it says: each of these is in both runs. */
  static const char *const words[] = {"booted",   "complete", "started", "emitted", "received", "undecodable",
                                      "envelope", "o1",       "o2",      "o3",      "o4",       "o5",
                                      "o6",       "o7",       "o8",      "o9",      "p1"};
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    if (strstr(wanted_first, words[i]) == NULL || strstr(wanted_second, words[i]) == NULL) {
      fail_msg("%s is not in %s", words[i], wanted_first);
    }
  }
  unsigned silent = 0;
  for (size_t n = 0; n < allocations; n++) {
    (void)run_scene(&s, n, first, second);
    if (strcmp(second, wanted_second) != 0) {
      fail_msg("allocation %zu: afterwards %s\ninstead of %s", n, second, wanted_second);
    }
    bool is_silent = s.memory_errors == 0;
    silent += is_silent;
    if (is_silent && strcmp(first, wanted_first) != 0) {
      fail_msg("allocation %zu: nothing was said, but %s\ninstead of %s", n, first, wanted_first);
    }
  }
  print_message("%zu allocations, %u of them for things that may be forgotten\n", allocations, silent);
  assert_true(allocations > 300);
  assert_true(silent * 10 < allocations);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
