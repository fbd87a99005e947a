/* coordination: limits, joins, queues, held values, deadlines (operator specification §3.3-3.4). */
#include "base/bytes.h"
#include "engine/engine.h"
#include "ops/ops.h"

/* A table that is full fails the op with its own reason; nothing is dropped silently. */
static bbw_status named_failed(bbw_ctx *ctx, bbw_status rv) {
  if (rv != BBW_E_LIMIT) { return rv; }
  return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "name_limit", BBW_STR("too many names of this kind"));
}

bbw_status bbw_op_limit_acquire(bbw_ctx *ctx) {
  int64_t wanted = 1;
  (void)bbw_ctx_attr_i64(ctx, "n", &wanted);
  uint32_t limit = (uint32_t)(uint64_t)wanted;
  bbw_named_entry *entry;
  bbw_status rv = bbw_named_get(&ctx->engine->named, BBW_NAMED_LIMIT, bbw_op_attr_text(ctx, "name"), &entry);
  if (rv != BBW_OK) { return named_failed(ctx, rv); }
  if (entry->number < limit) {
    entry->number++;
    bbw_ctx_set_trigger(ctx, 0);
    return BBW_OK;
  }
  /* Waits its turn: Release hands the place on.  Places that were handed on make room, so the list never outgrows the parked operators for long. */
  if (entry->waiters_head * 2 > entry->waiters.count) {
    uint64_t *waiters = entry->waiters.items;
    size_t left = entry->waiters.count - entry->waiters_head;
    for (size_t i = 0; i < left; i++) { waiters[i] = waiters[entry->waiters_head + i]; }
    entry->waiters.count = left;
    entry->waiters_head = 0;
  }
  if (!bbw_vec_reserve(&entry->waiters, 1)) { return BBW_E_NOMEM; }
  uint64_t cmd_id;
  rv = bbw_ctx_later(ctx, &cmd_id);
  if (rv != BBW_OK) { return rv; }
  return bbw_vec_append(&entry->waiters, &cmd_id, 1) ? BBW_LATER : BBW_E_NOMEM;
}

bbw_status bbw_op_limit_release(bbw_ctx *ctx) {
  bbw_named_entry *entry = bbw_named_find(&ctx->engine->named, BBW_NAMED_LIMIT, bbw_op_attr_text(ctx, "name"));
  bbw_ctx_set_trigger(ctx, 0); /* surplus unless the node declares an output */
  if (entry == NULL) { return BBW_OK; }
  while (entry->waiters_head < entry->waiters.count) {
    uint64_t cmd_id = *BBW_VEC_AT(&entry->waiters, uint64_t, entry->waiters_head++);
    if (entry->waiters_head == entry->waiters.count) {
      entry->waiters_head = 0;
      entry->waiters.count = 0;
    }
    /* Who waits no more (its deadline passed, its execution was ended) is passed over. */
    if (bbw_async_find(&ctx->engine->async, cmd_id) == NULL) { continue; }
    if (bbw_async_complete(&ctx->engine->async, cmd_id, NULL, 0) == BBW_OK) {
      return BBW_OK;
    } /* the place has a new holder */
  }
  if (entry->number > 0) { entry->number--; }
  return BBW_OK;
}

/* True when another Any of the same group has fired in this execution. */
static bool group_has_fired(const bbw_ctx *ctx, bbw_str group) {
  const bbw_graph *graph = ctx->frame->graph;
  for (uint32_t i = 0; i < graph->op_count; i++) {
    const bbw_op *op = &graph->ops[i];
    if (op == ctx->op || op->row != ctx->op->row || op->output_count == 0 || op->outputs[0] == BBW_NO_INDEX) {
      continue;
    }
    const bbw_onnx_attribute *other = bbw_onnx_attribute_find(op->node, BBW_STR("group"));
    bool is_same = other != NULL && bbw_str_equal(bbw_bytes_str(other->s), group);
    if (is_same && ctx->frame->slots[op->outputs[0]] != NULL) { return true; }
  }
  return false;
}

bbw_status bbw_op_any(bbw_ctx *ctx) {
  bbw_value *value = bbw_ctx_first_input(ctx);
  bbw_str group = bbw_op_attr_text(ctx, "group");
  if (value == NULL || (group.len != 0 && group_has_fired(ctx, group))) { return BBW_OK; }
  return bbw_ctx_forward(ctx, value);
}

bbw_status bbw_op_gate(bbw_ctx *ctx) {
  bbw_value *value = bbw_ctx_first_input(ctx);
  if (value == NULL) { return bbw_op_fail_other(ctx, BBW_STR("Gate needs one input")); }
  return bbw_ctx_forward(ctx, value);
}

/* One reference to the input's bytes, or to an empty value when there is no input. */
static bbw_status take_bytes(bbw_ctx *ctx, bbw_value **out) {
  bbw_bytes bytes;
  bbw_value *value;
  bbw_status rv = bbw_op_optional_bytes(ctx, &bytes, &value);
  if (rv != BBW_OK) { return rv; }
  if (value == NULL) { return bbw_value_new_bytes(out, BBW_TYPE_BYTES, bytes, bbw_ctx_mem(ctx)); }
  *out = bbw_value_retain(value);
  return BBW_OK;
}

/* The bytes of what is held under names stay in the byte budget, for a graph may hold more than it lets through. */
static bbw_status hold(bbw_ctx *ctx, bbw_named_entry *entry, bbw_value *value, size_t max) {
  bbw_engine *engine = ctx->engine;
  if (!bbw_vec_reserve(&entry->values, 1)) { return BBW_E_NOMEM; }
  int64_t growth = bbw_named_growth(entry, value, max);
  if (growth > 0 && !bbw_engine_charge(engine, (size_t)growth)) {
    return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "budget_exceeded",
                        BBW_STR("the byte budget does not allow to hold the value"));
  }
  if (growth < 0) { bbw_engine_release(engine, (size_t)-growth); }
  return bbw_named_push(&engine->named, entry, value, max); /* room is reserved */
}

/* Appends the input's bytes to a named list of at most `max` values. */
static bbw_status append_bytes(bbw_ctx *ctx, bbw_named_kind kind, const char *attribute, size_t max) {
  bbw_value *value;
  bbw_status rv = take_bytes(ctx, &value);
  if (rv != BBW_OK) { return rv; }
  bbw_named_entry *entry;
  rv = bbw_named_get(&ctx->engine->named, kind, bbw_op_attr_text(ctx, attribute), &entry);
  if (rv == BBW_OK) { rv = hold(ctx, entry, value, max); }
  if (rv != BBW_OK) { bbw_value_release(value, bbw_ctx_mem(ctx)); }
  return named_failed(ctx, rv);
}

static void pop_bytes(bbw_ctx *ctx, bbw_named_kind kind, const char *attribute) {
  bbw_named_entry *entry = bbw_named_find(&ctx->engine->named, kind, bbw_op_attr_text(ctx, attribute));
  bbw_value *value = entry == NULL ? NULL : bbw_named_pop(&ctx->engine->named, entry);
  if (value == NULL) { return; }
  bbw_engine_release(ctx->engine, bbw_named_owed(value));
  bbw_ctx_set_output(ctx, 0, value);
}

bbw_status bbw_op_serialize_enqueue(bbw_ctx *ctx) {
  bbw_status rv = append_bytes(ctx, BBW_NAMED_QUEUE, "queue", BBW_NAMED_QUEUE_MAX);
  if (rv == BBW_OK) { bbw_ctx_set_trigger(ctx, 0); }
  return rv;
}

bbw_status bbw_op_serialize_dequeue(bbw_ctx *ctx) {
  pop_bytes(ctx, BBW_NAMED_QUEUE, "queue");
  return BBW_OK;
}

bbw_status bbw_op_correlate_tag(bbw_ctx *ctx) {
  return bbw_op_set_number(ctx, BBW_TYPE_CORRELATION_TOKEN, bbw_requests_mint_token(&ctx->engine->requests));
}

bbw_status bbw_op_hold_stash(bbw_ctx *ctx) {
  bbw_status rv = append_bytes(ctx, BBW_NAMED_HOLD, "slot", 1);
  if (rv == BBW_OK) { bbw_ctx_set_trigger(ctx, 0); }
  return rv;
}

bbw_status bbw_op_hold_flush(bbw_ctx *ctx) {
  pop_bytes(ctx, BBW_NAMED_HOLD, "slot");
  return BBW_OK;
}

bbw_status bbw_op_record(bbw_ctx *ctx) {
  bbw_status rv = append_bytes(ctx, BBW_NAMED_RECORD, "name", BBW_NAMED_RECORD_MAX);
  if (rv == BBW_OK) { bbw_ctx_set_trigger(ctx, 0); }
  return rv;
}

bbw_status bbw_op_deadline_check(bbw_ctx *ctx) {
  int64_t deadline_ns;
  if (!bbw_ctx_attr_i64(ctx, "deadline_ns", &deadline_ns)) {
    return bbw_op_fail_other(ctx, BBW_STR("DeadlineCheck has no attribute `deadline_ns`"));
  }
  /* The compiler stamps a budget, so it counts from the start of the execution and not from the zero of the clock. */
  uint64_t budget_ns = deadline_ns < 0 ? 0 : (uint64_t)deadline_ns;
  if (bbw_ctx_now_ns(ctx) - ctx->frame->started_ns >= budget_ns) {
    return bbw_op_fail_other(ctx, BBW_STR("deadline exceeded"));
  }
  return bbw_ctx_forward(ctx, ctx->engine->trigger);
}

bbw_status bbw_op_gate_dispatch(bbw_ctx *ctx) { return bbw_ctx_forward(ctx, ctx->engine->trigger); }
