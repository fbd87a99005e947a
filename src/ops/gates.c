/* gates: what may come in from a peer and go out to it (operator specification §3.10, wire specification §18). */
#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "ops/ops.h"

static bbw_status denied(bbw_ctx *ctx, bbw_verdict verdict) {
  char text[64] = "reason=";
  bbw_str label = bbw_verdict_label(verdict);
  memcpy(text + 7, label.ptr, label.len);
  return bbw_op_fail_other(ctx, (bbw_str){text, 7 + label.len});
}

static bbw_status forward_first(bbw_ctx *ctx) { return bbw_ctx_forward(ctx, bbw_ctx_first_input(ctx)); }

/* RX gates need a value and a sender. */
static bbw_status rx_check(bbw_ctx *ctx) {
  if (bbw_ctx_first_input(ctx) == NULL) { return bbw_op_fail_other(ctx, BBW_STR("the gate has no input")); }
  if (ctx->inbound == NULL) { return bbw_op_fail_other(ctx, BBW_STR("no source peer in this execution")); }
  return BBW_OK;
}

/*
 * A value is a repeat when the same peer sends the same payload to the same gate under the same request id.  (The payload alone would make every second Trigger a repeat.)
 */
static bbw_status dedup_key(bbw_ctx *ctx, uint64_t *key) {
  const bbw_value *value = bbw_ctx_first_input(ctx);
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  uint8_t head[BBW_PEER_ID_BYTES_MAX + 24];
  size_t len = ctx->inbound == NULL ? 0 : bbw_peer_id_encode(&ctx->inbound->src_peer, head);
  bbw_store_u64le(head + len, bbw_ctx_op_ref(ctx));
  bbw_store_u64le(head + len + 8, ctx->inbound == NULL ? 0 : ctx->inbound->wire_req_id);
  bbw_store_u64le(head + len + 16, bbw_type_hash((bbw_type)value->type));
  uint64_t hash = bbw_fnv1a(BBW_FNV1A_OFFSET, (bbw_bytes){head, len + 24});
  size_t size = bbw_value_payload_size(value);
  if (size == SIZE_MAX) {
    return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "wire_encode_failed", BBW_STR("the value has no payload form"));
  }
  if (size != 0) {
    uint8_t *payload = mem->alloc(mem->ctx, size);
    if (payload == NULL) { return BBW_E_NOMEM; }
    bbw_value_payload_write(value, payload);
    hash = bbw_fnv1a(hash, (bbw_bytes){payload, size});
    mem->free(mem->ctx, payload, size);
  }
  *key = hash;
  return BBW_OK;
}

bbw_status bbw_op_dedup_gate_rx(bbw_ctx *ctx) {
  if (bbw_ctx_first_input(ctx) == NULL) { return bbw_op_fail_other(ctx, BBW_STR("the gate has no input")); }
  /* What a later gate refuses is not remembered, so that it may be sent again. */
  bool is_refused_later = ctx->inbound != NULL &&
                          bbw_governor_check_inbound(&ctx->engine->governor, &ctx->inbound->src_peer) !=
                              BBW_VERDICT_ALLOW;
  if (is_refused_later) { return forward_first(ctx); }
  uint64_t key = 0;
  bbw_status rv = dedup_key(ctx, &key);
  bool is_repeat = false;
  if (rv == BBW_OK) { rv = bbw_dedup_record(&ctx->engine->dedup, key, &is_repeat); }
  if (rv != BBW_OK) { return rv; }
  return is_repeat ? bbw_op_fail_other(ctx, BBW_STR("reason=duplicate")) : forward_first(ctx);
}

bbw_status bbw_op_peer_health_gate_rx(bbw_ctx *ctx) {
  bbw_status rv = rx_check(ctx);
  if (rv != BBW_OK) { return rv; }
  bbw_verdict verdict = bbw_governor_check_inbound(&ctx->engine->governor, &ctx->inbound->src_peer);
  return verdict == BBW_VERDICT_ALLOW ? forward_first(ctx) : denied(ctx, verdict);
}

/* Our pauses are about what we send; whoever sends us too much is asked for a pause, then not heard, when the envelope comes in (wire specification §15, WEAK). */
bbw_status bbw_op_backoff_gate_rx(bbw_ctx *ctx) {
  bbw_status rv = rx_check(ctx);
  return rv == BBW_OK ? forward_first(ctx) : rv;
}

static bbw_status tx_peer(bbw_ctx *ctx, bbw_peer_id *out) {
  bbw_bytes bytes = {NULL, 0};
  (void)bbw_ctx_attr_bytes(ctx, "peer", &bytes);
  if (bbw_peer_id_decode(out, bytes, NULL) != BBW_OK) {
    return bbw_op_fail_other(ctx, BBW_STR("attribute `peer` is missing or not a peer id"));
  }
  return BBW_OK;
}

/* The value goes on to the Send; a Trigger stands in only where the gate has no input. */
static bbw_status tx_pass(bbw_ctx *ctx) {
  if (bbw_ctx_first_input(ctx) != NULL) { return forward_first(ctx); }
  return bbw_ctx_forward(ctx, ctx->engine->trigger);
}

bbw_status bbw_op_peer_health_gate_tx(bbw_ctx *ctx) {
  bbw_peer_id peer;
  bbw_status rv = tx_peer(ctx, &peer);
  if (rv != BBW_OK) { return rv; }
  uint64_t retry_ns;
  bbw_verdict verdict = bbw_governor_check_outbound(&ctx->engine->governor, &ctx->engine->backoff, &peer,
                                                    bbw_ctx_now_ns(ctx), &retry_ns);
  return verdict == BBW_VERDICT_ALLOW ? tx_pass(ctx) : denied(ctx, verdict);
}

bbw_status bbw_op_backoff_gate_tx(bbw_ctx *ctx) {
  bbw_peer_id peer;
  bbw_status rv = tx_peer(ctx, &peer);
  if (rv != BBW_OK) { return rv; }
  return bbw_backoff_should_retry(&ctx->engine->backoff, &peer, bbw_ctx_now_ns(ctx))
             ? tx_pass(ctx)
             : denied(ctx, BBW_VERDICT_COOLDOWN);
}
