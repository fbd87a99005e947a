/* triggers: what starts or paces a graph: pulses, timers, the clock, random numbers (operator specification §3.5-3.7). */
#include "engine/engine.h"
#include "ops/ops.h"

#define INTERVAL_DEFAULT_NS 1000000000

bbw_status bbw_op_pulse(bbw_ctx *ctx) { return bbw_ctx_forward(ctx, ctx->engine->trigger); }

bbw_status bbw_op_on_trigger(bbw_ctx *ctx) {
  if (bbw_ctx_first_input(ctx) == NULL) {
    return bbw_op_fail_other(ctx, BBW_STR("OnTrigger needs at least one input"));
  }
  return bbw_ctx_forward(ctx, ctx->engine->trigger);
}

static uint64_t add_saturating(uint64_t a, uint64_t b) { return b > UINT64_MAX - a ? UINT64_MAX : a + b; }

/* The op's timer is refused only when the heap is full or memory runs out. */
static bbw_status timer_failed(bbw_ctx *ctx, bbw_status rv) {
  if (rv != BBW_E_LIMIT) { return rv; }
  return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "timer_limit", BBW_STR("too many timers"));
}

bbw_status bbw_op_interval(bbw_ctx *ctx) {
  int64_t period_ns = INTERVAL_DEFAULT_NS;
  (void)bbw_ctx_attr_i64(ctx, "period_ns", &period_ns);
  /* A period of zero waits for the clock to move: due again at once, it would keep the host polling for ever. */
  if (period_ns == 0) { period_ns = 1; }
  uint64_t now_ns = bbw_ctx_now_ns(ctx);
  bbw_op *op = &ctx->frame->graph->ops[bbw_ctx_op_index(ctx)];
  if (!op->is_timer_armed) {
    bbw_status rv = bbw_timers_add(&ctx->engine->timers, add_saturating(now_ns, (uint64_t)period_ns),
                                   BBW_TIMER_INTERVAL, bbw_ctx_op_ref(ctx));
    if (rv != BBW_OK) { return timer_failed(ctx, rv); }
    op->is_timer_armed = true; /* one chain of timers per op, however often it runs */
  }
  return bbw_op_set_number(ctx, BBW_TYPE_TIMESTAMP, now_ns);
}

/* Parks the op until `delay_ns` from now; its output is a Trigger then. */
static bbw_status wait_for(bbw_ctx *ctx, int64_t delay_ns) {
  uint64_t cmd_id;
  bbw_status rv = bbw_ctx_later(ctx, &cmd_id);
  if (rv != BBW_OK) { return rv; }
  rv = bbw_timers_add(&ctx->engine->timers, add_saturating(bbw_ctx_now_ns(ctx), (uint64_t)delay_ns), BBW_TIMER_COMMAND,
                      cmd_id);
  return rv == BBW_OK ? BBW_LATER : timer_failed(ctx, rv);
}

bbw_status bbw_op_after(bbw_ctx *ctx) {
  int64_t delay_ns = 0;
  (void)bbw_ctx_attr_i64(ctx, "delay_ns", &delay_ns);
  return wait_for(ctx, delay_ns);
}

bbw_status bbw_op_sleep(bbw_ctx *ctx) {
  int64_t duration_ns = 0;
  (void)bbw_ctx_attr_i64(ctx, "duration_ns", &duration_ns);
  return wait_for(ctx, duration_ns);
}

bbw_status bbw_op_clock(bbw_ctx *ctx) { return bbw_op_set_number(ctx, BBW_TYPE_TIMESTAMP, bbw_ctx_now_ns(ctx)); }

bbw_status bbw_op_rng_u64(bbw_ctx *ctx) { return bbw_op_set_number(ctx, BBW_TYPE_U64, bbw_ctx_random(ctx)); }

bbw_status bbw_op_deadline_match(bbw_ctx *ctx) {
  /* An op fires once per execution, so the first input to arrive is the winner. */
  if (bbw_ctx_first_input(ctx) == NULL) {
    return bbw_op_fail_other(ctx, BBW_STR("DeadlineMatch needs at least one input"));
  }
  return bbw_ctx_forward(ctx, ctx->engine->trigger);
}

/* A command id that the host can be told before anything waits for it. */
bbw_status bbw_op_bootstrap_dispatch(bbw_ctx *ctx) {
  return bbw_op_set_number(ctx, BBW_TYPE_COMMAND_ID, bbw_async_mint(&ctx->engine->async));
}

bbw_status bbw_op_bootstrap_output(bbw_ctx *ctx) {
  const bbw_value *cmd = bbw_ctx_input_named(ctx, "cmd", 0);
  if (cmd == NULL) { return bbw_op_fail_other(ctx, BBW_STR("BootstrapOutput: input cmd is missing")); }
  if (cmd->type != BBW_TYPE_COMMAND_ID) {
    return bbw_op_fail_other(ctx, BBW_STR("BootstrapOutput: cmd is not a CommandIdValue"));
  }
  bbw_status rv = bbw_ctx_later_as(ctx, cmd->as.u64);
  return rv == BBW_OK ? BBW_LATER : rv;
}
