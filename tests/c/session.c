#include "session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "moody_components.h"
#include "node/node.h"

#define ROUNDS_MAX 4000

void session_install(session *s, const char *text, const bbw_config *config) {
  session_install_with(s, text, config, NULL, 0);
}

void session_install_with(session *s, const char *text, const bbw_config *config,
                          const bbw_component_type *const *types, size_t type_count) {
  memset(s, 0, sizeof(*s));
  test_mem_init(&s->mem);
  bbw_vec_init(&s->steps, 1, &bbw_mem_libc);
  s->node = artifact_install_with(text, config, types, type_count, &s->mem.mem, NULL);
  assert_non_null(s->node);
}

void session_end(session *s) {
  bbw_stats stats;
  bbw_node_stats(s->node, &stats);
  assert_int_equal(stats.ingress_bytes_in_flight, stats.held_bytes);
  assert_int_equal(stats.slot_table_occupied, 0);
  assert_int_equal(stats.executions, 0);
  assert_int_equal(s->node->engine.frontier_reserved, 0);
  assert_int_equal(s->node->engine.outputs_reserved, 0);
  bbw_node_del(s->node);
  assert_int_equal(s->mem.live_bytes, 0);
  bbw_vec_free(&s->steps);
}

void session_install_moody(session *s, const char *text, size_t target_count) {
  memset(s, 0, sizeof(*s));
  test_mem_init(&s->mem);
  bbw_vec_init(&s->steps, 1, &bbw_mem_libc);
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  static const bbw_onnx_entry slots[2] = {
      {{"ai.bytesandbrains.binding.M.m", 29}, {"Model|StubModel|0", 17}},
      {{"ai.bytesandbrains.binding.N.m", 29}, {"Model|StubModel|0", 17}},
  };
  bbw_onnx_model extra = {.metadata_props = {slots, 2}};
  bbw_bytes head = artifact(&arena, text);
  bbw_bytes tail;
  assert_int_equal(bbw_proto_encode(&tail, &extra, &bbw_onnx_model_type, &arena), BBW_OK);
  /* Two encoded messages one behind the other are one message with the fields of both. */
  uint8_t *model = bbw_arena_array(&arena, head.len + tail.len, 1);
  assert_non_null(model);
  memcpy(model, head.ptr, head.len);
  memcpy(model + head.len, tail.ptr, tail.len);
  static const bbw_str targets[2] = {{"M", 1}, {"N", 1}};
  bbw_install_options options = {.peer_id = bbw_peer_id_from_u64(1),
                                 .model = {model, head.len + tail.len},
                                 .targets = targets,
                                 .target_count = target_count};
  options.component_types = moody_component_types(&options.component_type_count);
  assert_int_equal(bbw_node_install(&s->node, &options, &s->mem.mem, NULL), BBW_OK);
  bbw_arena_free(&arena);
}

static void log_event(session *s, const bbw_step *step) {
  bbw_str topic = bbw_step_text(step, "topic");
  bbw_bytes value = bbw_step_bytes(step, "value_bytes");
  if (bbw_step_text(step, "module_name").len != 0) { return; } /* the echo of what the host gave */
  if (s->log_len + topic.len + 2 * value.len + 3 > SESSION_LOG_MAX) { abort(); }
  memcpy(s->log + s->log_len, topic.ptr, topic.len);
  s->log_len += topic.len;
  s->log[s->log_len++] = '=';
  for (size_t i = 0; i < value.len; i++) { s->log_len += (size_t)sprintf(s->log + s->log_len, "%02x", value.ptr[i]); }
  s->log[s->log_len++] = ' ';
  s->log[s->log_len] = '\0';
}

static void note_failed(session *s, const bbw_step *step) {
  bbw_str kind = bbw_step_text(step, "kind"), reason = bbw_step_text(step, "reason");
  snprintf(s->failed, sizeof(s->failed), "%.*s/%.*s", (int)kind.len, kind.ptr, (int)reason.len, reason.ptr);
}

bool session_poll(session *s) {
  bbw_bytes steps;
  bool is_pending;
  assert_int_equal(bbw_node_poll(s->node, &steps, &is_pending, NULL), BBW_OK);
  assert_true(bbw_vec_append(&s->steps, steps.ptr, steps.len));
  size_t at = 0;
  bbw_step step;
  while (bbw_steps_next(steps, &at, &step)) {
    s->counts[step.kind]++;
    if (step.kind == BBW_STEP_OP_FAILED) { note_failed(s, &step); }
    if (step.kind == BBW_STEP_APP_EVENT) { log_event(s, &step); }
    if (step.kind == BBW_STEP_ASYNC_SUSPENDED) { s->last_cmd = bbw_step_u64(&step, "cmd_id"); }
  }
  return is_pending;
}

unsigned session_poll_all(session *s) {
  for (unsigned round = 1; round < ROUNDS_MAX; round++) {
    if (session_poll(s)) { return round; }
  }
  fail_msg("the node never comes to rest");
  return 0;
}

uint64_t session_invoke(session *s, const char *name, const char *text) {
  bbw_named_bytes input = {{name, strlen(name)}, {(const uint8_t *)text, strlen(text)}};
  uint64_t exec_id;
  assert_int_equal(bbw_node_invoke(s->node, BBW_STR("M"), &input, name[0] == '\0' ? 0 : 1, &exec_id, NULL), BBW_OK);
  return exec_id;
}

bbw_stats session_stats(const session *s) {
  bbw_stats stats;
  bbw_node_stats(s->node, &stats);
  return stats;
}
