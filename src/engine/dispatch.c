/* dispatch: running one ready op and reporting what came of it. */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "engine/engine.h"

static uint64_t site_number(const bbw_graph *graph, uint32_t site) {
  /* Formals of library functions have no number in the reference; nothing outside can name them. */
  return graph->site_base + site;
}

/* How steps name an op. */
static uint64_t ref_of(const bbw_frame *frame, const bbw_op *op) {
  return bbw_graph_op_ref(frame->graph, (uint32_t)(op - frame->graph->ops));
}

static void report_failed(bbw_engine *engine, const bbw_frame *frame, const bbw_op *op, bbw_op_error_kind kind,
                          bbw_str reason, bbw_str detail) {
  bbw_bootstrap_note_failure(frame);
  if (!frame->is_reaction) { bbw_bus_publish(&engine->bus, BBW_STR("OpFailure")); }
  if (!bbw_step_begin(&engine->steps, BBW_STEP_OP_FAILED)) { return; }
  bbw_step_put_u64(&engine->steps, ref_of(frame, op));
  bbw_step_put_u64(&engine->steps, frame->exec_id);
  bbw_step_put_bytes(&engine->steps, bbw_str_bytes(bbw_op_error_kind_name(kind)));
  bbw_step_put_bytes(&engine->steps, bbw_str_bytes(reason));
  bbw_step_put_bytes(&engine->steps, bbw_str_bytes(detail));
  bbw_step_end(&engine->steps);
}

static bool is_written(const bbw_op *op, bbw_value *const *outputs, size_t i) {
  return outputs[i] != NULL && op->outputs[i] != BBW_NO_INDEX;
}

static void report_completed(bbw_engine *engine, const bbw_frame *frame, const bbw_op *op, bbw_value *const *outputs,
                             size_t count) {
  size_t written = 0;
  (void)bbw_step_begin(&engine->steps, BBW_STEP_OP_COMPLETED); /* its kind is kept */
  for (size_t i = 0; i < count; i++) { written += is_written(op, outputs, i); }
  bbw_step_put_u64(&engine->steps, ref_of(frame, op));
  bbw_step_put_u64(&engine->steps, frame->exec_id);
  bbw_step_put_u64(&engine->steps, written);
  for (size_t i = 0; i < count; i++) {
    if (is_written(op, outputs, i)) { bbw_step_put_u64(&engine->steps, site_number(frame->graph, op->outputs[i])); }
  }
  bbw_step_end(&engine->steps);
}

/* The only value of a step: stored, and its readers are woken in the same walk. */
static inline void put_only(bbw_engine *engine, bbw_frame *frame, const bbw_op *op, bbw_value *value) {
  const bbw_graph *graph = frame->graph;
  uint32_t *missing = bbw_frame_missing(frame);
  frame->slots[op->only_output] = value;
  engine->slot_count++;
  if (op->reader_count == 0) { bbw_engine_surface(engine, frame, op->only_output); }
  for (uint32_t i = 0, count = op->reader_count; i < count; i++) {
    uint32_t reader = op->readers[i], left = missing[reader];
    if (left == BBW_OP_FIRED) { continue; }
    missing[reader] = --left;
    if (left != 0 && graph->ops[reader].readiness != BBW_READY_ANY) { continue; }
    missing[reader] = BBW_OP_FIRED;
    frame->work++;
    bbw_frontier_push(&engine->frontier, frame, reader);
  }
}

/* Writes the outputs that were set.  All values of one step are there before any reader is woken.  outcome: as below; the slot of the answer takes over its charge. */
static void write_outputs(bbw_engine *engine, bbw_frame *frame, const bbw_op *op, bbw_value **outputs, size_t count,
                          bbw_outcome *outcome) {
  for (size_t i = 0; i < count; i++) {
    if (is_written(op, outputs, i)) {
      size_t charge = 0;
      if (outcome != NULL && outputs[i] == outcome->answer) {
        charge = outcome->charge;
        outcome->charge = 0;
      }
      bbw_engine_write(engine, frame, op->outputs[i], outputs[i], charge);
    } else {
      bbw_value_release(outputs[i], engine->mem);
      outputs[i] = NULL;
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (outputs[i] != NULL) { bbw_frame_wake(engine, frame, op->outputs[i]); }
  }
}

/* Reports the op as completed with the sites that it writes, and writes them. */
static void complete(bbw_engine *engine, bbw_frame *frame, const bbw_op *op, bbw_value **outputs, size_t count,
                     bbw_outcome *outcome) {
  if (bbw_step_is_kept(&engine->steps, BBW_STEP_OP_COMPLETED)) { report_completed(engine, frame, op, outputs, count); }
  write_outputs(engine, frame, op, outputs, count, outcome);
}

/* Why an op failed that returned a bare status instead of calling bbw_ctx_fail. */
static void explain_status(bbw_ctx *ctx, bbw_status status) {
  if (status == BBW_E_COMPONENT && ctx->error_reason != NULL) { return; }
  bbw_op_error_kind kind = status == BBW_E_TYPE_MISMATCH ? BBW_OP_TYPE_MISMATCH : BBW_OP_EXECUTION_FAILED;
  bbw_ctx_fail(ctx, kind, status == BBW_E_NOMEM ? "out_of_memory" : "", bbw_status_text(status));
}

/* What the op had decoded, and what it had set when it failed. */
static void drop_temps(bbw_engine *engine, const bbw_ctx *ctx, bbw_status status) {
  for (size_t i = 0; i < engine->temps.count; i++) {
    bbw_value_release(*BBW_VEC_AT(&engine->temps, bbw_value *, i), engine->mem);
  }
  engine->temps.count = 0;
  if (status == BBW_OK) { return; }
  for (uint32_t i = 0; i < ctx->output_count; i++) {
    bbw_value_release(ctx->outputs[i], engine->mem);
    ctx->outputs[i] = NULL;
  }
}

static bbw_status run_component(bbw_engine *engine, bbw_ctx *ctx, uint32_t index) {
  bbw_component *component = bbw_engine_component(engine, index);
  ctx->component = component;
  component->is_running = true;
  bool is_boot = ctx->frame != NULL && ctx->frame->graph->boot_component != BBW_NO_INDEX;
  bbw_status status = is_boot ? component->type->bootstrap(component->self, ctx)
                              : component->type->dispatch(component->self, ctx);
  component->is_running = false;
  if (status == BBW_OK && ctx->output_count != 0) {
    bool is_any_set = false;
    for (size_t i = 0; i < ctx->output_count; i++) { is_any_set = is_any_set || ctx->outputs[i] != NULL; }
    if (!is_any_set) { bbw_ctx_set_trigger(ctx, 0); } /* so that what waits for the op goes on */
  }
  return status;
}

static uint64_t add_saturating(uint64_t a, uint64_t b) { return b > UINT64_MAX - a ? UINT64_MAX : a + b; }

/*
 * Until when may the op wait?  Its own attribute counts from the start of the execution, as that of the DeadlineCheck before it does.  Without one, what waits for a component or
 * for the host has the node's limit; what waits for the node itself (timers, a place in a Limit) has none.
 */
static uint64_t deadline_of(const bbw_ctx *ctx) {
  int64_t budget_ns;
  if (bbw_ctx_attr_i64(ctx, "deadline_ns", &budget_ns)) {
    return add_saturating(ctx->frame->started_ns,
                          budget_ns < 1 ? 1 : (uint64_t)budget_ns); /* never 0, which snapshots read as none */
  }
  uint64_t limit_ns = ctx->engine->config.async_deadline_ns;
  bool is_component = ctx->op->kind == BBW_DISPATCH_COMPONENT && !bbw_engine_is_sliced(ctx->engine, ctx->op);
  bool is_outside = is_component || ctx->is_later_as;
  return is_outside && limit_ns != 0 ? add_saturating(ctx->engine->now_ns, limit_ns) : BBW_NEVER_NS;
}

bool bbw_engine_is_sliced(const bbw_engine *engine, const bbw_op *op) {
  return op->kind == BBW_DISPATCH_COMPONENT && bbw_engine_component(engine, op->component)->type->resumes;
}

static inline bbw_ctx *ctx_open(bbw_engine *engine, bbw_frame *frame, const bbw_op *op) {
  bbw_ctx *ctx = &engine->ctx;
  ctx->frame = frame;
  ctx->op = op;
  ctx->input_count = op->input_count;
  ctx->output_count = op->output_count;
  ctx->inbound = frame->inbound;
  for (uint32_t i = 0; i < op->input_count; i++) {
    ctx->inputs[i] = op->inputs[i] == BBW_NO_INDEX ? NULL : frame->slots[op->inputs[i]];
  }
  /* Most ops have one output, and compilers make a call of memset of the loop. */
  if (op->output_count != 0) { ctx->outputs[0] = NULL; }
  for (uint32_t i = 1; i < op->output_count; i++) { ctx->outputs[i] = NULL; }
  return ctx;
}

/* Puts back what only some ops touch. */
static void ctx_close(bbw_ctx *ctx) {
  ctx->is_touched = ctx->is_later = ctx->is_resumed = ctx->is_later_as = ctx->is_out_of_memory = false;
  ctx->component = NULL;
  ctx->outcome = NULL;
  ctx->request_id = 0;
  ctx->cmd_id = 0;
  ctx->error_reason = NULL; /* the text buffer stays as it is: only its used part is ever read */
  ctx->error_detail_len = 0;
}

/* Parks the op.  Its unit of work lasts until its completion. */
static void suspend(bbw_engine *engine, const bbw_ctx *ctx) {
  bbw_parked *parked = bbw_async_find(&engine->async, ctx->cmd_id);
  parked->frame = ctx->frame;
  parked->op = bbw_ctx_op_index(ctx);
  parked->request_id = ctx->request_id;
  /* The request has a deadline of its own. */
  bbw_async_set_deadline(&engine->async, parked, ctx->request_id != 0 ? BBW_NEVER_NS : deadline_of(ctx));
  if (bbw_engine_is_sliced(engine, ctx->op)) { bbw_async_resume(&engine->async, parked); }
  if (bbw_step_begin(&engine->steps, BBW_STEP_ASYNC_SUSPENDED)) {
    bbw_step_put_u64(&engine->steps, bbw_ctx_op_ref(ctx));
    bbw_step_put_u64(&engine->steps, ctx->frame->exec_id);
    bbw_step_put_u64(&engine->steps, ctx->cmd_id);
    bbw_step_end(&engine->steps);
  }
}

/* What follows a run that may have done more than to set outputs. */
static void settle(bbw_engine *engine, bbw_ctx *ctx, bbw_status status, bbw_outcome *outcome) {
  if (status == BBW_LATER && !ctx->is_later) {
    status = bbw_ctx_fail(ctx, BBW_OP_OTHER, "later_without_command",
                          BBW_STR("answered later without opening a command"));
  }
  drop_temps(engine, ctx, status);
  if (status == BBW_LATER) {
    if (!ctx->is_resumed) { suspend(engine, ctx); }
    return;
  }
  if (ctx->is_later) { bbw_async_close(&engine->async, ctx->cmd_id); }
  if (status == BBW_OK) {
    complete(engine, ctx->frame, ctx->op, ctx->outputs, ctx->output_count, outcome);
  } else {
    explain_status(ctx, status);
    bbw_str reason = {ctx->error_reason, strlen(ctx->error_reason)};
    if (reason.len > 120) { reason.len = 120; }
    report_failed(engine, ctx->frame, ctx->op, ctx->error_kind, reason,
                  (bbw_str){ctx->error_detail, ctx->error_detail_len});
  }
  bbw_frame_work_done(engine, ctx->frame);
}

/* resumed: the command of an op that works in slices and was dispatched before; NULL.  outcome: of the request that it waited for; NULL. */
static void dispatch_run(bbw_engine *engine, bbw_frame *frame, const bbw_op *op, const uint64_t *resumed,
                         bbw_outcome *outcome) {
  bbw_ctx *ctx = ctx_open(engine, frame, op);
  ctx->outcome = outcome;
  ctx->is_later = ctx->is_resumed = resumed != NULL;
  if (resumed != NULL) { ctx->cmd_id = *resumed; }
  bbw_status status = op->kind == BBW_DISPATCH_STATELESS ? op->row->run(ctx)
                                                         : run_component(engine, ctx, op->component);
  settle(engine, ctx, status, outcome);
  ctx_close(ctx);
}

/* Most ops: a function of their inputs, with one value more in the frame afterwards.  The answer is that of bbw_engine_dispatch. */
static inline uint32_t dispatch_stateless(bbw_engine *engine, bbw_frame *frame, const bbw_op *op) {
  bbw_ctx *ctx = ctx_open(engine, frame, op);
  bbw_status status = op->row->run(ctx);
  if (status != BBW_OK || ctx->is_touched) {
    settle(engine, ctx, status, NULL);
    ctx_close(ctx);
    return BBW_NO_INDEX;
  }
  assert(engine->temps.count == 0 && !ctx->is_later && !ctx->is_out_of_memory && ctx->error_reason == NULL);
  if (bbw_step_is_kept(&engine->steps, BBW_STEP_OP_COMPLETED)) {
    report_completed(engine, frame, op, ctx->outputs, op->output_count);
  }
  uint32_t site = op->only_output;
  bool is_only = site != BBW_NO_INDEX && ctx->outputs[0] != NULL && frame->slots[site] == NULL && frame->parent == NULL;
  if (!is_only) {
    write_outputs(engine, frame, op, ctx->outputs, op->output_count, NULL);
  } else if (op->reader_count == 1 && engine->frontier.count == 0 && bbw_frame_missing(frame)[*op->readers] == 1) {
    /* The only reader would be alone in the queue.  It takes over this op's unit of work. */
    frame->slots[site] = ctx->outputs[0];
    engine->slot_count++;
    bbw_frame_missing(frame)[*op->readers] = BBW_OP_FIRED;
    return *op->readers;
  } else {
    put_only(engine, frame, op, ctx->outputs[0]);
  }
  bbw_frame_work_done(engine, frame);
  return BBW_NO_INDEX;
}

static void fail(bbw_engine *engine, bbw_frame *frame, const bbw_op *op, bbw_op_error_kind kind, bbw_str reason,
                 bbw_str detail) {
  report_failed(engine, frame, op, kind, reason, detail);
  bbw_frame_work_done(engine, frame);
}

static void dispatch_call(bbw_engine *engine, bbw_frame *frame, const bbw_op *op) {
  if (frame->depth + 1u > BBW_CALL_DEPTH_MAX) {
    fail(engine, frame, op, BBW_OP_EXECUTION_FAILED, BBW_STR("call_depth"), BBW_STR("function calls nest too deep"));
    return;
  }
  bbw_frame *body;
  bbw_status rv = bbw_frame_new(&body, engine, op->callee, NULL);
  if (rv != BBW_OK) {
    bbw_str reason = rv == BBW_E_NOMEM ? BBW_STR("out_of_memory") : BBW_STR("execution_limit");
    fail(engine, frame, op, BBW_OP_EXECUTION_FAILED, reason, bbw_status_text(rv));
    return;
  }
  body->parent = frame; /* the call's unit of work lasts until the body ends */
  body->parent_op = (uint32_t)(op - frame->graph->ops);
  body->depth = (uint16_t)(frame->depth + 1);
  body->is_reaction = frame->is_reaction;
  body->inbound = frame->inbound; /* gates and replies inside the body see who sent the envelope */
  if (body->inbound != NULL) { body->inbound->shared.refs++; }
  complete(engine, frame, op, NULL, 0, NULL);
  size_t formals = op->callee->function->input.count;
  for (uint32_t i = 0; i < op->input_count && i < formals; i++) {
    bbw_value *value = op->inputs[i] == BBW_NO_INDEX ? NULL : frame->slots[op->inputs[i]];
    if (value == NULL || op->callee->formal_sites[i] == BBW_NO_INDEX) { continue; }
    bbw_engine_write(engine, body, op->callee->formal_sites[i], bbw_value_retain(value), 0);
  }
  bbw_frame_start_part(engine, body, BBW_NO_INDEX);
  for (uint32_t i = 0; i < formals; i++) {
    if (op->callee->formal_sites[i] != BBW_NO_INDEX) { bbw_frame_wake(engine, body, op->callee->formal_sites[i]); }
  }
  bbw_frame_end_if_idle(engine, body);
}

static void dispatch_unresolved(bbw_engine *engine, bbw_frame *frame, const bbw_op *op) {
  const bbw_onnx_node *node = op->node;
  char text[256] = "unresolved dispatch for ";
  size_t len = strlen(text);
  bbw_str parts[3] = {node->domain, BBW_STR("::"), node->op_type};
  for (size_t i = 0; i < 3; i++) {
    size_t room = sizeof(text) - len;
    size_t n = parts[i].len < room ? parts[i].len : room;
    if (n != 0) { memcpy(text + len, parts[i].ptr, n); }
    len += n;
  }
  fail(engine, frame, op, BBW_OP_NOT_REGISTERED, BBW_STR("unresolved_dispatch"), (bbw_str){text, len});
}

uint32_t bbw_engine_dispatch(bbw_engine *engine, bbw_frame *frame, const bbw_op *op) {
  if (op->kind == BBW_DISPATCH_STATELESS) { return dispatch_stateless(engine, frame, op); }
  switch ((bbw_dispatch_kind)op->kind) {
  case BBW_DISPATCH_STATELESS: break;
  case BBW_DISPATCH_COMPONENT: dispatch_run(engine, frame, op, NULL, NULL); break;
  case BBW_DISPATCH_CALL: dispatch_call(engine, frame, op); break;
  case BBW_DISPATCH_UNRESOLVED: dispatch_unresolved(engine, frame, op); break;
  }
  return BBW_NO_INDEX;
}

bbw_parked *bbw_engine_waiter(bbw_engine *engine, const bbw_request *request) {
  bbw_parked *parked = request->waiter == 0 ? NULL : bbw_async_find(&engine->async, request->waiter - 1);
  bool is_waiting = parked != NULL && parked->state == BBW_PARKED_WAITING && parked->frame != NULL &&
                    parked->request_id == request->id; /* its execution may have been ended since */
  return is_waiting ? parked : NULL;
}

size_t bbw_engine_waiter_room(const bbw_parked *waiter) {
  return waiter == NULL ? 0 : waiter->frame->graph->ops[waiter->op].step_room;
}

void bbw_engine_resume(bbw_engine *engine, const bbw_parked *waiter, bbw_outcome *outcome) {
  bbw_frame *frame = waiter->frame;
  const bbw_op *op = &frame->graph->ops[waiter->op];
  bbw_async_close(&engine->async, waiter->cmd_id);
  dispatch_run(engine, frame, op, NULL, outcome);
}

void bbw_engine_run_slice(bbw_engine *engine, const bbw_parked *parked) {
  uint64_t cmd_id = parked->cmd_id;
  dispatch_run(engine, parked->frame, &parked->frame->graph->ops[parked->op], &cmd_id, NULL);
}

void bbw_engine_finish_parked(bbw_engine *engine, bbw_parked *parked) {
  bbw_frame *frame = parked->frame;
  const bbw_op *op = &frame->graph->ops[parked->op];
  if (parked->state == BBW_PARKED_COMPLETED) {
    bbw_value **outputs = engine->ctx.outputs;
    for (size_t i = 0; i < op->output_count; i++) {
      outputs[i] = i < parked->result_count ? parked->results[i] : NULL;
      if (i < parked->result_count) { parked->results[i] = NULL; }
    }
    if (op->output_count != 0 && parked->result_count == 0) { outputs[0] = bbw_value_retain(engine->trigger); }
    bbw_async_close(&engine->async, parked->cmd_id);
    complete(engine, frame, op, outputs, op->output_count, NULL);
  } else if (parked->state == BBW_PARKED_EXPIRED) {
    bbw_engine_abandon(engine, parked);
    report_failed(engine, frame, op, BBW_OP_TIMEOUT, BBW_STR("deadline_exceeded"), BBW_STR("deadline exceeded"));
  } else {
    /* The detail is longer than a dispatch may give; its room was reserved by the caller. */
    report_failed(engine, frame, op, BBW_OP_REMOTE_FAILED, BBW_STR("completion_failed"),
                  (bbw_str){(const char *)parked->detail, parked->detail_len});
    bbw_async_close(&engine->async, parked->cmd_id);
  }
  bbw_frame_work_done(engine, frame);
}

bbw_status bbw_engine_call_protocol(bbw_engine *engine, uint32_t index, bbw_str op_type, bbw_value *payload,
                                    bbw_value *correlation, const bbw_inbound *inbound) {
  bbw_ctx ctx = {
      .engine = engine,
      .role = BBW_ROLE_PROTOCOL,
      .op_type = op_type,
      .inputs = engine->ctx.inputs,
      .input_count = 2,
      .outputs = engine->ctx.outputs,
      .output_count = 0, /* what it answers goes nowhere */
      .inbound = inbound,
  };
  ctx.inputs[0] = payload;
  ctx.inputs[1] = correlation;
  bbw_status status = run_component(engine, &ctx, index);
  drop_temps(engine, &ctx, status);
  if (status < 0) { bbw_bus_publish(&engine->bus, BBW_STR("OpFailure")); }
  return status;
}
