/* Calls of components: what they may answer, what they see, who waits for whom (engine specification §9, §12, §16). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "bbw/address.h"
#include "bbw/component.h"
#include "bbw/envelope.h"
#include "bbw/step.h"
#include "test_mem.h"

/*
 * A component that does what its operators are called, and writes down its calls:
 *   Echo gives its input, Later opens a command twice, Lie says later without one, Long fails with a long detail, Look gives how it sees its surroundings, Read gives the size of a tensor
 */
typedef struct probe {
  char calls[128];
  uint64_t last_cmd;
  bbw_peer_id src;
  bool has_src;
} probe;

static probe *last_probe; /* the one constructed last; a test has one or looks at both through slots */

static bbw_status probe_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                  const bbw_mem *mem, bbw_error *err) {
  (void)type;
  (void)has_config;
  (void)config;
  (void)err;
  probe *p = mem->alloc(mem->ctx, sizeof(*p));
  if (p == NULL) { return BBW_E_NOMEM; }
  memset(p, 0, sizeof(*p));
  last_probe = p;
  *self = p;
  return BBW_OK;
}

static void probe_destroy(void *self, const bbw_mem *mem) { mem->free(mem->ctx, self, sizeof(probe)); }

static bbw_status give_number(bbw_ctx *ctx, size_t output, uint64_t number) {
  uint8_t byte = (uint8_t)number;
  bbw_value *value;
  bbw_status rv = bbw_value_new_bytes(&value, BBW_TYPE_BYTES, (bbw_bytes){&byte, 1}, bbw_ctx_mem(ctx));
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, output, value); }
  return rv;
}

static bbw_status fail_at_length(bbw_ctx *ctx) {
  char detail[600];
  for (size_t i = 0; i < sizeof(detail); i += 2) { memcpy(detail + i, "\xc3\xa4", 2); }
  memmove(detail + 1, detail, sizeof(detail) - 1);
  detail[0] = '!'; /* now a character stands across byte 512 */
  return bbw_ctx_fail(ctx, BBW_OP_TIMEOUT, "long", (bbw_str){detail, sizeof(detail) - 1});
}

static bbw_status probe_dispatch(void *self, bbw_ctx *ctx) {
  probe *p = self;
  bbw_str op = bbw_ctx_op_type(ctx);
  const bbw_peer_id *src = bbw_ctx_src_peer(ctx);
  size_t used = strlen(p->calls);
  if (used + op.len + 2 > sizeof(p->calls)) { abort(); }
  memcpy(p->calls + used, op.ptr, op.len);
  strcpy(p->calls + used + op.len, " ");
  p->has_src = src != NULL;
  if (src != NULL) { p->src = *src; }
  if (bbw_str_equal(op, BBW_STR("Lie"))) { return BBW_LATER; }
  if (bbw_str_equal(op, BBW_STR("Long"))) { return fail_at_length(ctx); }
  if (bbw_str_equal(op, BBW_STR("Later"))) {
    uint64_t again;
    bbw_status rv = bbw_ctx_later(ctx, &p->last_cmd);
    if (rv != BBW_OK) { return rv; }
    assert_int_equal(bbw_ctx_later(ctx, &again), BBW_OK);
    assert_int_equal(again, p->last_cmd);
    return BBW_LATER;
  }
  if (bbw_str_equal(op, BBW_STR("Look"))) {
    const int64_t *items;
    size_t count;
    assert_int_equal(bbw_ctx_role(ctx), BBW_ROLE_MODEL);
    bbw_peer_id self_peer = bbw_peer_id_from_u64(1);
    assert_true(bbw_peer_id_equal(bbw_ctx_self_peer(ctx), &self_peer));
    assert_false(bbw_ctx_attr_ints(ctx, "missing", &items, &count));
    assert_null(bbw_ctx_dependency(ctx, BBW_STR("m"), BBW_STR("Probe")));  /* itself */
    assert_null(bbw_ctx_dependency(ctx, BBW_STR("d"), BBW_STR("Other")));  /* another type */
    assert_null(bbw_ctx_dependency(ctx, BBW_STR("zz"), BBW_STR("Probe"))); /* no such slot */
    return give_number(ctx, 0, bbw_ctx_dependency(ctx, BBW_STR("d"), BBW_STR("Probe")) != NULL);
  }
  if (bbw_str_equal(op, BBW_STR("Read"))) {
    const bbw_tensor *tensor = bbw_ctx_input_tensor(ctx, 0);
    if (tensor == NULL) { return bbw_ctx_fail_input(ctx, 0, "tensor"); }
    assert_ptr_equal(bbw_ctx_input_tensor(ctx, 0), tensor);
    return give_number(ctx, 0, tensor->count);
  }
  if (bbw_ctx_input(ctx, 0) != NULL) { bbw_ctx_set_output(ctx, 0, bbw_value_retain(bbw_ctx_input(ctx, 0))); }
  return BBW_OK;
}

static const bbw_component_type probe_type = {
    .type_name = "Probe",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_MODEL) | BBW_ROLE_BIT(BBW_ROLE_DATA_SOURCE) | BBW_ROLE_BIT(BBW_ROLE_PROTOCOL),
    .construct = probe_construct,
    .destroy = probe_destroy,
    .dispatch = probe_dispatch,
};

typedef struct fixture {
  test_mem mem;
  bbw_node *node;
  bbw_error err;
  char log
      [512]; /* events as topic, "!reason " per failed op, "?detail " per WireDecodeFailed, "done " per BootstrapComplete */
} fixture;

static void start(fixture *f, const char *graph, const bbw_config *config) {
  static const bbw_component_type *const types[] = {&probe_type};
  test_mem_init(&f->mem);
  f->node = artifact_install_with(graph, config, types, 1, &f->mem.mem, &f->err);
  assert_non_null(f->node);
}

static void end(fixture *f) {
  bbw_stats stats;
  bbw_node_stats(f->node, &stats);
  assert_int_equal(stats.executions + stats.ingress_bytes_in_flight + stats.slot_table_occupied, 0);
  bbw_node_del(f->node);
  assert_int_equal(f->mem.live_bytes, 0);
}

static void note(fixture *f, const char *mark, bbw_str text) {
  size_t used = strlen(f->log), head = strlen(mark);
  size_t len = text.len < 80 ? text.len : 80;
  if (used + head + len + 2 > sizeof(f->log)) { abort(); }
  memcpy(f->log + used, mark, head);
  memcpy(f->log + used + head, text.ptr, len);
  strcpy(f->log + used + head + len, " ");
}

static const char *run(fixture *f) {
  bool is_pending = false;
  f->log[0] = '\0';
  for (int i = 0; i < 100 && !is_pending; i++) {
    bbw_bytes steps;
    bbw_step step;
    size_t at = 0;
    assert_int_equal(bbw_node_poll(f->node, &steps, &is_pending, &f->err), BBW_OK);
    while (bbw_steps_next(steps, &at, &step)) {
      if (step.kind == BBW_STEP_BOOTSTRAP_COMPLETE) { note(f, "done", BBW_STR("")); }
      if (step.kind == BBW_STEP_OP_FAILED) { note(f, "!", bbw_step_text(&step, "reason")); }
      if (step.kind == BBW_STEP_WIRE_DECODE_FAILED) { note(f, "?", bbw_step_text(&step, "detail")); }
      bool is_output = step.kind == BBW_STEP_APP_EVENT && bbw_step_text(&step, "module_name").len == 0;
      if (is_output) { note(f, "", bbw_step_text(&step, "topic")); }
    }
  }
  assert_true(is_pending);
  return f->log;
}

static void give(fixture *f, const char *input) {
  assert_int_equal(bbw_node_deliver_event(f->node, BBW_STR("M"), (bbw_str){input, strlen(input)},
                                          (bbw_bytes){(const uint8_t *)"z", 1}, &f->err),
                   BBW_OK);
}

static void a_component_answers_later(void **state) {
  (void)state;
  fixture f;
  start(&f, "slot m Model|Probe\ntarget M x -> y\nrole.model::Later x -> y\n", NULL);
  give(&f, "x");
  assert_string_equal(run(&f), "");
  uint8_t payload[9] = {1, 0, 0, 0, 0, 0, 0, 0, 7};
  bbw_typed_bytes result = {bbw_type_hash(BBW_TYPE_BYTES), {payload, sizeof(payload)}};
  assert_int_equal(bbw_node_complete(f.node, last_probe->last_cmd, &result, 1, &f.err), BBW_OK);
  assert_string_equal(run(&f), "y ");
  end(&f);
}

static void answers_against_the_contract_fail_the_op_only(void **state) {
  (void)state;
  fixture f;
  start(&f,
        "slot m Model|Probe\ntarget M x l r -> y\nrole.model::Lie x -> a\nrole.model::Long l -> b\n"
        "role.model::Read r -> c\nrole.model::Echo r -> y\n",
        NULL);
  give(&f, "x");
  assert_string_equal(run(&f), "!later_without_command ");
  give(&f, "r"); /* one byte is no tensor */
  assert_string_equal(run(&f), "!input_type_mismatch y ");
  give(&f, "l");
  bbw_bytes steps;
  bbw_step step;
  bool is_pending;
  size_t at = 0;
  assert_int_equal(bbw_node_poll(f.node, &steps, &is_pending, &f.err), BBW_OK);
  do { assert_true(bbw_steps_next(steps, &at, &step)); } while (step.kind != BBW_STEP_OP_FAILED);
  assert_true(bbw_str_equal(bbw_step_text(&step, "kind"), BBW_STR("Timeout")));
  assert_int_equal(bbw_step_text(&step, "detail").len, 511); /* 512 would cut a character in two */
  end(&f);
}

static void a_component_sees_its_surroundings(void **state) {
  (void)state;
  fixture f;
  start(&f,
        "slot m Model|Probe\nslot d DataSource|Probe\ntarget M x t -> y z\nrole.model::Look x -> y\nrole.model::Read t "
        "-> z\n",
        NULL);
  give(&f, "x");
  assert_string_equal(run(&f), "y ");
  /* dims [2], FLOAT, two values: a TensorProto in bytes from the host */
  static const uint8_t tensor[] = {0x0a, 0x01, 0x02, 0x10, 0x01, 0x22, 0x08, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40};
  assert_int_equal(
      bbw_node_deliver_event(f.node, BBW_STR("M"), BBW_STR("t"), (bbw_bytes){tensor, sizeof(tensor)}, &f.err), BBW_OK);
  assert_string_equal(run(&f), "z ");
  end(&f);
}

/* An envelope for one address on the node. */
static void receive(fixture *f, const char *address) {
  uint8_t suffix[64];
  size_t suffix_len = 0;
  assert_int_equal(
      bbw_address_from_text((bbw_str){address, strlen(address)}, suffix, sizeof(suffix), &suffix_len, NULL), BBW_OK);
  static const uint8_t own[] = {0xa5, 0x03, 0x0a, 0x00, 0x08, 0, 0, 0, 0, 0, 0, 0, 1};
  static const uint8_t peer[] = {0x00, 0x08, 0, 0, 0, 0, 0, 0, 0, 2};
  bbw_bytes dest = {own, sizeof(own)};
  bbw_slot_fill fill = {.dest_suffix = {suffix, suffix_len}, .payload = {(const uint8_t *)"hi", 2}};
  bbw_envelope envelope = {.dest_peer_addresses = &dest,
                           .dest_peer_address_count = 1,
                           .fills = &fill,
                           .fill_count = 1,
                           .schema_version = BBW_ENVELOPE_SCHEMA_VERSION};
  uint8_t bytes[256];
  size_t len = bbw_envelope_size(&envelope);
  assert_true(len <= sizeof(bytes));
  bbw_envelope_encode(&envelope, bytes);
  assert_int_equal(bbw_node_deliver_inbound(f->node, (bbw_bytes){peer, sizeof(peer)}, (bbw_bytes){bytes, len}, &f->err),
                   BBW_OK);
}

static void the_network_calls_only_what_serves_it(void **state) {
  (void)state;
  fixture f;
  start(&f,
        "slot p Protocol|Probe\ntarget M x -> y\nsyscall::PassThrough x -> y\n"
        "syscall::EventSource -> e | kind='OpFailure'\nsyscall::AppNotify e | name='failure'\n",
        NULL);
  receive(&f, "/component/0/op/Notify");
  assert_string_equal(run(&f), "");
  assert_string_equal(last_probe->calls, "Notify ");
  assert_true(last_probe->has_src);
  bbw_peer_id sender = bbw_peer_id_from_u64(2);
  assert_true(bbw_peer_id_equal(&last_probe->src, &sender));
  receive(&f, "/component/0/op/Later"); /* there is nothing that a late answer could go on with */
  receive(&f, "/component/0/op/Long");
  assert_string_equal(run(&f), "failure failure ");
  assert_string_equal(last_probe->calls, "Notify Later Long ");
  receive(&f, "/component/1/op/Notify");
  assert_string_equal(run(&f), "?dest_suffix names a component that does not serve the network ");
  receive(&f, "/component/0");
  assert_string_equal(run(&f), "?address shape neither data-plane nor control-plane ");
  end(&f);
}

/* A uses the model, B too, C uses the data source; each waits 10 ns between its two ops. */
static const char locks[] =
    "slot m Model|Probe\nslot d DataSource|Probe\n"
    "target M x -> y\nsyscall::After x -> w | delay_ns=5\nrole.model::Echo w -> e\nsyscall::PassThrough e -> y\n"
    "bootstrap A\nsyscall::Pulse -> p\nrole.model::First p -> q\nsyscall::After q -> r | delay_ns=10\n"
    "role.model::Second r -> s\nsyscall::AppNotify s | name='a'\n"
    "bootstrap B\nsyscall::Pulse -> p\nrole.model::Third p -> q\nsyscall::AppNotify q | name='b'\n"
    "bootstrap C\nsyscall::Pulse -> p\nrole.data_source::Batch p -> q\nsyscall::AppNotify q | name='c'\n";

static void bootstraps_of_one_component_run_one_after_another(void **state) {
  (void)state;
  fixture f;
  start(&f, locks, NULL);
  const bbw_boot_request requests[] = {{BBW_STR("A"), NULL, 0}, {BBW_STR("B"), NULL, 0}, {BBW_STR("C"), NULL, 0}};
  assert_int_equal(bbw_node_run_bootstrap(f.node, requests, 3, &f.err), BBW_OK);
  assert_string_equal(run(&f), "done c "); /* B waits for A, C does not */
  assert_int_equal(bbw_node_tick(f.node, 10), BBW_OK);
  assert_string_equal(run(&f), "done done a b ");
  end(&f);
}

static void a_body_waits_while_a_bootstrap_has_its_component(void **state) {
  (void)state;
  fixture f;
  start(&f, locks, NULL);
  give(&f, "x");
  give(&f, "x");
  assert_string_equal(run(&f), ""); /* both wait until 5 */
  const bbw_boot_request request = {BBW_STR("A"), NULL, 0};
  assert_int_equal(bbw_node_run_bootstrap(f.node, &request, 1, &f.err), BBW_OK);
  assert_string_equal(run(&f), "");
  assert_int_equal(bbw_node_tick(f.node, 5), BBW_OK);
  assert_string_equal(run(&f), ""); /* due, but the model is being set up */
  assert_int_equal(bbw_node_tick(f.node, 10), BBW_OK);
  assert_string_equal(run(&f), "done a y y ");
  end(&f);
}

static void an_ended_execution_leaves_no_locked_op_behind(void **state) {
  (void)state;
  fixture f;
  start(&f, locks, NULL);
  give(&f, "x");
  (void)run(&f);
  const bbw_boot_request request = {BBW_STR("A"), NULL, 0};
  assert_int_equal(bbw_node_run_bootstrap(f.node, &request, 1, &f.err), BBW_OK);
  (void)run(&f);
  assert_int_equal(bbw_node_tick(f.node, 5), BBW_OK);
  (void)run(&f);
  assert_int_equal(bbw_node_clear(f.node, &f.err), BBW_OK);
  assert_int_equal(bbw_node_tick(f.node, 100), BBW_OK);
  assert_string_equal(run(&f), "");
  give(&f, "x");
  (void)run(&f);
  assert_int_equal(bbw_node_tick(f.node, 200), BBW_OK);
  assert_string_equal(run(&f), "y ");
  end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_component_answers_later),
      cmocka_unit_test(answers_against_the_contract_fail_the_op_only),
      cmocka_unit_test(a_component_sees_its_surroundings),
      cmocka_unit_test(the_network_calls_only_what_serves_it),
      cmocka_unit_test(bootstraps_of_one_component_run_one_after_another),
      cmocka_unit_test(a_body_waits_while_a_bootstrap_has_its_component),
      cmocka_unit_test(an_ended_execution_leaves_no_locked_op_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
