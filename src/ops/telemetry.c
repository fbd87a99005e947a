/* telemetry: events for the application and counters (operator specification §3.8). */
#include "base/bytes.h"
#include "engine/engine.h"
#include "ops/ops.h"

static bool is_reserved(bbw_str topic) {
  return bbw_str_starts_with(topic, BBW_STR("bb.")) || bbw_str_starts_with(topic, BBW_STR("ai.bytesandbrains."));
}

static bbw_status emit(bbw_ctx *ctx, bbw_value *value) {
  bbw_str topic = bbw_op_attr_text(ctx, "name");
  if (is_reserved(topic)) {
    return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "reserved_topic_prefix", BBW_STR("the topic has a reserved prefix"));
  }
  bbw_status rv = bbw_engine_emit(ctx->engine, topic, value);
  if (rv != BBW_OK) { return rv; }
  if (value != NULL) { (void)bbw_value_retain(value); }
  bbw_ctx_set_trigger(ctx, 0); /* surplus unless the node declares an output */
  return BBW_OK;
}

bbw_status bbw_op_app_emit(bbw_ctx *ctx) {
  bbw_bytes bytes;
  bbw_value *value;
  bbw_status rv = bbw_op_optional_bytes(ctx, &bytes, &value);
  return rv == BBW_OK ? emit(ctx, value) : rv;
}

bbw_status bbw_op_app_notify(bbw_ctx *ctx) { return emit(ctx, NULL); }

bbw_status bbw_op_incr_metric(bbw_ctx *ctx) {
  int64_t delta = 1;
  (void)bbw_ctx_attr_i64(ctx, "delta", &delta);
  bbw_named_entry *entry;
  bbw_status rv = bbw_named_get(&ctx->engine->named, BBW_NAMED_COUNTER, bbw_op_attr_text(ctx, "name"), &entry);
  if (rv == BBW_E_LIMIT) {
    return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "name_limit", BBW_STR("too many counters"));
  }
  if (rv != BBW_OK) { return rv; }
  entry->number += (uint64_t)delta; /* wraps, also downwards */
  bbw_ctx_set_trigger(ctx, 0);
  return BBW_OK;
}
