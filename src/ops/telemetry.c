/* telemetry: events for the application and counters (operator specification §3.8). */
#include <string.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "ops/ops.h"

static bbw_status emit(bbw_ctx *ctx, bbw_value *value) {
  bbw_status rv = bbw_ctx_emit(ctx, "name", value);
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
