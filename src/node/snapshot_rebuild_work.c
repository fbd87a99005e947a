/* Executions and what keeps them alive: frames, queued and parked ops, timers, bootstraps. */
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "node/snapshot_rebuild.h"

/* In `missing` while a snapshot is read: the op has fired, and something that is queued, parked or called stands for it. */
#define OP_CLAIMED (BBW_OP_FIRED - 1)

static bbw_boot_target *target_at(const bbw_rebuild *r, size_t i) {
  return BBW_VEC_AT(&r->engine->bootstrap.targets, bbw_boot_target, i);
}
static bbw_boot_run *run_at(const bbw_rebuild *r, size_t i) {
  return *BBW_VEC_AT(&r->engine->bootstrap.runs, bbw_boot_run *, i);
}

/* ---- bootstraps ---- */

static bbw_status rebuild_targets(const bbw_rebuild *r) {
  const bbw_proto_list *targets = &r->snap->boot_targets;
  if (targets->count != r->engine->bootstrap.targets.count) {
    return bbw_rebuild_bad(r, "other bootstrap targets are installed");
  }
  for (size_t i = 0; i < targets->count; i++) {
    const bbw_snap_target *target = BBW_PROTO_AT(targets, bbw_snap_target, i);
    if (!bbw_str_equal(target->name, target_at(r, i)->name)) {
      return bbw_rebuild_bad(r, "other bootstrap targets are installed");
    }
    target_at(r, i)->is_done = target->is_done;
  }
  return BBW_OK;
}

static bbw_status rebuild_run(const bbw_rebuild *r, const bbw_snap_run *from) {
  bbw_engine *engine = r->engine;
  if (from->target >= engine->bootstrap.targets.count || from->state > BBW_BOOT_ENDED ||
      bbw_bootstrap_is_open(&engine->bootstrap, from->target)) {
    return bbw_rebuild_bad(r, "a bootstrap is not valid");
  }
  bbw_boot_run *run = bbw_bootstrap_run_new(engine->mem, from->target);
  if (run == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  bbw_status rv = bbw_rebuild_seeds(r, target_at(r, from->target)->graph, &from->seeds, &run->seeds);
  if (rv != BBW_OK) {
    bbw_bootstrap_run_del(engine, run);
    return rv;
  }
  run->seed_count = from->seeds.count;
  run->state = (bbw_boot_state)from->state;
  run->is_chained = from->is_chained;
  run->has_failed = from->has_failed;
  bbw_bootstrap_add(&engine->bootstrap, run);
  return BBW_OK;
}

static bbw_status rebuild_bootstrap(const bbw_rebuild *r) {
  bbw_bootstrap *bootstrap = &r->engine->bootstrap;
  bbw_status rv = rebuild_targets(r);
  if (rv != BBW_OK) { return rv; }
  if (!bbw_bootstrap_reserve(bootstrap, r->snap->boot_runs.count)) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  for (size_t i = 0; rv == BBW_OK && i < r->snap->boot_runs.count; i++) {
    rv = rebuild_run(r, BBW_PROTO_AT(&r->snap->boot_runs, bbw_snap_run, i));
  }
  bootstrap->ended = r->snap->boot_ended;
  bootstrap->is_waiting_reported = r->snap->is_boot_wait_reported;
  return rv;
}

/* ---- frames ---- */

/* Takes an op that has fired for one thing that will run or end it; each op is taken once. */
static bbw_status claim(const bbw_rebuild *r, bbw_frame *frame, uint32_t op) {
  if (op >= frame->graph->op_count || bbw_frame_missing(frame)[op] != BBW_OP_FIRED ||
      frame->graph->needed[op] == UINT32_MAX) {
    return bbw_rebuild_bad(r, "an op waits that has not fired, or waits twice");
  }
  bbw_frame_missing(frame)[op] = OP_CLAIMED;
  frame->work++;
  return BBW_OK;
}

/* Whose frame is it?  Sets parent or run; the run's frame is noted in `owners`. */
static bbw_status link_frame(const bbw_rebuild *r, size_t index, const bbw_snap_frame *from, bbw_frame **owners) {
  bbw_frame *frame = r->frames[index];
  bbw_graph *graph = frame->graph;
  if (from->parent != 0) {
    if (from->parent > index || from->run != 0) { return bbw_rebuild_bad(r, "a call has no caller"); }
    frame->parent = r->frames[from->parent - 1];
    frame->parent_op = from->parent_op;
    frame->depth = frame->parent->depth + 1;
    bbw_status rv = claim(r, frame->parent, from->parent_op);
    if (rv != BBW_OK) { return rv; }
    const bbw_op *call = &frame->parent->graph->ops[from->parent_op];
    bool is_call = call->kind == BBW_DISPATCH_CALL && call->callee == graph && frame->depth <= BBW_CALL_DEPTH_MAX;
    return is_call ? BBW_OK : bbw_rebuild_bad(r, "a call is not what its caller calls");
  }
  if (from->run == 0) { return graph->is_entry_point ? BBW_OK : bbw_rebuild_bad(r, "an execution of no module"); }
  if (from->run > r->engine->bootstrap.runs.count || owners[from->run - 1] != NULL) {
    return bbw_rebuild_bad(r, "an execution of no bootstrap");
  }
  bbw_boot_run *run = run_at(r, from->run - 1);
  if (run->state != BBW_BOOT_RUNNING || target_at(r, run->target)->graph != graph) {
    return bbw_rebuild_bad(r, "an execution of another bootstrap");
  }
  frame->boot = run;
  owners[from->run - 1] = frame;
  return BBW_OK;
}

static bbw_status fill_slots(const bbw_rebuild *r, bbw_frame *frame, const bbw_proto_list *slots) {
  for (size_t i = 0; i < slots->count; i++) {
    const bbw_snap_seed *slot = BBW_PROTO_AT(slots, bbw_snap_seed, i);
    bbw_value *value;
    size_t charge;
    if (slot->site >= frame->graph->site_count || frame->slots[slot->site] != NULL) {
      return bbw_rebuild_bad(r, "a site is out of range or filled twice");
    }
    bbw_status rv = bbw_rebuild_value(r, slot->value, &value);
    if (rv != BBW_OK) { return rv; }
    rv = bbw_rebuild_charge(r, slot->charge, &charge);
    if (rv != BBW_OK) {
      bbw_value_release(value, r->engine->mem);
      return rv;
    }
    (void)bbw_frame_store(r->engine, frame, slot->site, value, charge);
  }
  return BBW_OK;
}

static bool has_input(const bbw_frame *frame, const bbw_op *op) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    if (op->inputs[i] != BBW_NO_INDEX && frame->slots[op->inputs[i]] != NULL) { return true; }
  }
  return false;
}

/* May the op have been queued with the values that are there? */
static bool may_fire(const bbw_frame *frame, uint32_t index) {
  const bbw_op *op = &frame->graph->ops[index];
  uint32_t needed = frame->graph->needed[index];
  if (needed == UINT32_MAX) { return false; }
  if (op->readiness == BBW_READY_SOURCE || needed == 0) { return true; }
  return op->readiness == BBW_READY_ANY ? has_input(frame, op) : bbw_frame_missing(frame)[index] == 0;
}

static bbw_status mark_fired(const bbw_rebuild *r, bbw_frame *frame, const bbw_proto_list *fired) {
  uint64_t next = 0; /* the lowest op that may follow */
  for (size_t i = 0; i < fired->count; i++) {
    uint64_t op = *BBW_PROTO_AT(fired, uint64_t, i);
    bool is_valid = op >= next && op < frame->graph->op_count && (r->has_lost_values || may_fire(frame, (uint32_t)op));
    if (!is_valid) { return bbw_rebuild_bad(r, "an op has fired without its inputs"); }
    bbw_frame_missing(frame)[op] = BBW_OP_FIRED;
    next = op + 1;
  }
  for (uint32_t i = 0; i < frame->graph->op_count; i++) {
    bool is_stranded = frame->graph->ops[i].readiness == BBW_READY_ALL && frame->graph->needed[i] != 0 &&
                       bbw_frame_missing(frame)[i] == 0;
    if (is_stranded) { return bbw_rebuild_bad(r, "an op has all its inputs and has not fired"); }
  }
  return BBW_OK;
}

static bbw_status take_inbound(const bbw_rebuild *r, bbw_frame *frame, const bbw_snap_inbound *from) {
  if (from == NULL) { return BBW_OK; }
  bbw_inbound context = {.shared = {.refs = 1, .own_bytes = sizeof(bbw_inbound)},
                         .wire_req_id = from->wire_req_id,
                         .arrival_ns = from->arrival_ns,
                         .remaining_deadline_ns = from->remaining_deadline_ns};
  bbw_status rv = bbw_rebuild_peer(r, from->src_peer, &context.src_peer);
  if (rv != BBW_OK) { return rv; }
  frame->inbound = bbw_mem_array(r->engine->mem, 1, sizeof(context));
  if (frame->inbound == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  *frame->inbound = context;
  return BBW_OK;
}

static bbw_status rebuild_frame(bbw_rebuild *r, size_t index, bbw_frame **owners) {
  const bbw_snap_frame *from = BBW_PROTO_AT(&r->snap->frames, bbw_snap_frame, index);
  bbw_engine *engine = r->engine;
  if (from->graph >= engine->graphs.count) { return bbw_rebuild_bad(r, "a graph is out of range"); }
  if (from->exec_id >= r->snap->next_exec_id) { return bbw_rebuild_bad(r, "an execution id is from the future"); }
  bbw_frame *frame;
  bbw_status rv = bbw_frame_new(&frame, engine, bbw_engine_graph(engine, from->graph), &from->exec_id);
  if (rv != BBW_OK) { return bbw_error_set(r->err, rv); }
  r->frames[index] = frame;
  frame->started_ns = from->started_ns;
  frame->is_reaction = from->is_reaction;
  rv = fill_slots(r, frame, &from->slots);
  if (rv == BBW_OK) { rv = mark_fired(r, frame, &from->fired); }
  if (rv == BBW_OK) { rv = take_inbound(r, frame, from->inbound); }
  return rv == BBW_OK ? link_frame(r, index, from, owners) : rv;
}

static bbw_status rebuild_frames(bbw_rebuild *r) {
  r->engine->config.max_executions = UINT64_MAX; /* what is there stays, whatever the limit is now */
  size_t count = r->snap->frames.count, runs = r->engine->bootstrap.runs.count;
  r->frames = bbw_arena_array(r->arena, count, sizeof(bbw_frame *));
  bbw_frame **owners = bbw_arena_array(r->arena, runs, sizeof(*owners));
  if (r->frames == NULL || owners == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  for (size_t i = 0; i < count; i++) {
    bbw_status rv = rebuild_frame(r, i, owners);
    if (rv != BBW_OK) { return rv; }
  }
  for (size_t i = 0; i < runs; i++) {
    bool is_running = run_at(r, i)->state == BBW_BOOT_RUNNING;
    if (is_running && owners[i] == NULL) { return bbw_rebuild_bad(r, "a bootstrap runs without an execution"); }
  }
  return BBW_OK;
}

static bbw_status claim_at(const bbw_rebuild *r, uint32_t frame, uint32_t op) {
  if (frame >= r->snap->frames.count) { return bbw_rebuild_bad(r, "a frame is out of range"); }
  return claim(r, r->frames[frame], op);
}

/* The room of the queue was reserved with the frames, because no op is claimed twice. */
static bbw_status rebuild_ready(const bbw_rebuild *r, const bbw_proto_list *list, bbw_frontier *queue) {
  for (size_t i = 0; i < list->count; i++) {
    const bbw_snap_ready *ready = BBW_PROTO_AT(list, bbw_snap_ready, i);
    bbw_status rv = claim_at(r, ready->frame, ready->op);
    if (rv != BBW_OK) { return rv; }
    if (queue->count == queue->cap) { return bbw_rebuild_bad(r, "ops are locked without a bootstrap"); }
    bbw_frontier_push(queue, r->frames[ready->frame], ready->op);
  }
  return BBW_OK;
}

/* Every execution goes on because of something; what has no work left would stay for ever. */
static bbw_status settle_frames(const bbw_rebuild *r) {
  for (bbw_frame *frame = r->engine->frames_first; frame != NULL; frame = frame->next) {
    if (frame->work == 0) { return bbw_rebuild_bad(r, "an execution has nothing left to do"); }
    for (uint32_t i = 0; i < frame->graph->op_count; i++) {
      if (bbw_frame_missing(frame)[i] == OP_CLAIMED) { bbw_frame_missing(frame)[i] = BBW_OP_FIRED; }
    }
  }
  return BBW_OK;
}

/* ---- parked ops ---- */

/* next: the lowest id that may follow. */
static bbw_status rebuild_parked_one(const bbw_rebuild *r, const bbw_snap_parked *from, uint64_t next) {
  bbw_async *async = &r->engine->async;
  if (from->cmd_id < next || from->cmd_id >= r->snap->next_cmd_id) {
    return bbw_rebuild_bad(r, "command ids do not ascend");
  }
  bbw_status rv = claim_at(r, from->frame, from->op);
  if (rv != BBW_OK) { return rv; }
  bbw_frame *frame = r->frames[from->frame];
  uint8_t kind = frame->graph->ops[from->op].kind;
  if (kind != BBW_DISPATCH_COMPONENT && kind != BBW_DISPATCH_STATELESS) {
    return bbw_rebuild_bad(r, "an op is parked that never answers later");
  }
  rv = bbw_async_open_as(async, from->cmd_id);
  if (rv != BBW_OK) { return bbw_error_set(r->err, rv); }
  bbw_parked *parked = bbw_async_find(async, from->cmd_id);
  parked->frame = frame;
  parked->op = from->op;
  parked->request_id = from->request_id;
  bbw_async_set_deadline(async, parked, from->deadline_ns == 0 ? BBW_NEVER_NS : from->deadline_ns);
  if (!bbw_engine_is_sliced(r->engine, &frame->graph->ops[from->op])) { return BBW_OK; }
  if (!bbw_async_reserve_resumed(async)) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  bbw_async_resume(async, parked);
  return BBW_OK;
}

static bbw_status complete_parked(const bbw_rebuild *r, const bbw_snap_parked *from) {
  bbw_async *async = &r->engine->async;
  size_t count = from->results.count;
  bbw_value **values = bbw_arena_array(r->arena, count, sizeof(*values));
  if (values == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  bbw_status rv = BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < count; i++) {
    const bbw_snap_value *value = BBW_PROTO_AT(&from->results, bbw_snap_value, i);
    if (value->type_hash != 0) { rv = bbw_rebuild_value(r, value, &values[i]); }
  }
  if (rv == BBW_OK) { rv = bbw_error_set(r->err, bbw_async_complete(async, from->cmd_id, values, count)); }
  for (size_t i = 0; rv != BBW_OK && i < count; i++) { bbw_value_release(values[i], r->engine->mem); }
  return rv;
}

/* Outcomes that wait for the next poll. */
static bbw_status rebuild_done(const bbw_rebuild *r) {
  bbw_async *async = &r->engine->async;
  for (size_t i = 0; i < r->snap->done.count; i++) {
    uint64_t cmd_id = *BBW_PROTO_AT(&r->snap->done, uint64_t, i);
    const bbw_parked *parked = bbw_async_find(async, cmd_id);
    if (parked == NULL || parked->state != BBW_PARKED_WAITING) {
      return bbw_rebuild_bad(r, "an outcome of no command, or a second one");
    }
    /* A fresh table fills its entries in order, which is the order of the list. */
    size_t index = (size_t)(parked - BBW_VEC_AT(&async->entries, const bbw_parked, 0));
    const bbw_snap_parked *from = BBW_PROTO_AT(&r->snap->parked, bbw_snap_parked, index);
    bbw_status rv = BBW_OK;
    switch (from->state) {
    case BBW_PARKED_COMPLETED: rv = complete_parked(r, from); break;
    case BBW_PARKED_FAILED:
      rv = bbw_error_set(r->err, bbw_async_fail(async, cmd_id, bbw_bytes_str(from->detail)));
      break;
    default: return bbw_rebuild_bad(r, "an outcome of a command that waits");
    }
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

static bbw_status rebuild_async(const bbw_rebuild *r) {
  bbw_async *async = &r->engine->async;
  size_t outcomes = 0;
  uint64_t next = 0;
  for (size_t i = 0; i < r->snap->parked.count; i++) {
    const bbw_snap_parked *parked = BBW_PROTO_AT(&r->snap->parked, bbw_snap_parked, i);
    bbw_status rv = rebuild_parked_one(r, parked, next);
    if (rv != BBW_OK) { return rv; }
    next = parked->cmd_id + 1;
    outcomes += parked->state != BBW_PARKED_WAITING;
  }
  if (outcomes != r->snap->done.count) { return bbw_rebuild_bad(r, "a command has an outcome that is not listed"); }
  async->next_cmd_id = r->snap->next_cmd_id;
  async->unknown_completions = r->snap->unknown_completions;
  async->late_completions = r->snap->late_completions;
  async->duplicate_completions = r->snap->duplicate_completions;
  return rebuild_done(r);
}

/* ---- timers ---- */

static bool is_interval(const bbw_engine *engine, uint64_t subject) {
  uint64_t graph_index = subject >> 32, op = subject & UINT32_MAX;
  if (graph_index >= engine->graphs.count) { return false; }
  const bbw_graph *graph = bbw_engine_graph(engine, (size_t)graph_index);
  if (op >= graph->op_count || !graph->is_entry_point) { return false; }
  return graph->ops[op].row != NULL && graph->ops[op].row->is_self_starting;
}

/* Ascending order is heap order. */
static bbw_status rebuild_timers(const bbw_rebuild *r) {
  bbw_timers *timers = &r->engine->timers;
  const bbw_proto_list *list = &r->snap->timers;
  if (list->count > BBW_TIMERS_COUNT_MAX) { return bbw_rebuild_bad(r, "too many timers"); }
  if (!bbw_vec_reserve(&timers->heap, list->count)) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  bbw_map armed;
  bbw_map_init(&armed, 0x7133, r->engine->mem);
  bbw_status rv = bbw_map_reserve(&armed, list->count) ? BBW_OK : bbw_error_set(r->err, BBW_E_NOMEM);
  const bbw_snap_timer *before = NULL;
  for (size_t i = 0; rv == BBW_OK && i < list->count; i++) {
    const bbw_snap_timer *from = BBW_PROTO_AT(list, bbw_snap_timer, i);
    uint64_t seen;
    bool is_later = before == NULL || before->at_ns < from->at_ns ||
                    (before->at_ns == from->at_ns && before->order < from->order);
    bool is_valid = is_later && from->order < r->snap->next_timer_order && from->kind <= BBW_TIMER_INTERVAL;
    if (is_valid && from->kind == BBW_TIMER_INTERVAL) {
      is_valid = is_interval(r->engine, from->subject) && !bbw_map_get(&armed, from->subject, &seen);
      (void)bbw_map_put(&armed, from->subject, 1); /* room is reserved */
    }
    if (!is_valid) {
      rv = bbw_rebuild_bad(r, "a timer is not valid");
      break;
    }
    bbw_timer *timer = bbw_vec_push(&timers->heap); /* likewise */
    *timer = (bbw_timer){
        .at_ns = from->at_ns, .order = from->order, .subject = from->subject, .kind = (bbw_timer_kind)from->kind};
    before = from;
  }
  bbw_map_free(&armed);
  timers->next_order = r->snap->next_timer_order;
  timers->dropped = r->snap->timers_dropped;
  return rv;
}

/* Intervals that have run; the flags are set when the restore is certain. */
static bbw_status check_started(const bbw_rebuild *r) {
  uint64_t next = 0;
  for (size_t i = 0; i < r->snap->started.count; i++) {
    uint64_t op_ref = *BBW_PROTO_AT(&r->snap->started, uint64_t, i);
    bool is_valid = op_ref >= next && is_interval(r->engine, op_ref);
    if (!is_valid) { return bbw_rebuild_bad(r, "an interval that is none"); }
    next = op_ref + 1;
  }
  return BBW_OK;
}

bbw_status bbw_rebuild_executions(bbw_rebuild *r) {
  bbw_engine *engine = r->engine;
  engine->now_ns = r->snap->now_ns;
  engine->tick_ns = r->snap->tick_ns;
  engine->rng_state = r->snap->rng_state;
  engine->is_first_poll_done = r->snap->is_first_poll_done;
  if (r->snap->next_exec_id > BBW_ID_MAX || r->snap->next_cmd_id > BBW_ID_MAX) {
    return bbw_rebuild_bad(r, "an id counter cannot have come so far");
  }
  bbw_status rv = rebuild_bootstrap(r);
  if (rv == BBW_OK) { rv = rebuild_frames(r); }
  if (rv == BBW_OK) { rv = rebuild_ready(r, &r->snap->frontier, &engine->frontier); }
  if (rv == BBW_OK) { rv = rebuild_ready(r, &r->snap->locked, &engine->locked); }
  if (rv == BBW_OK) { rv = rebuild_async(r); }
  if (rv == BBW_OK) { rv = settle_frames(r); }
  engine->next_exec_id = r->snap->next_exec_id;
  engine->config.max_executions = r->snap->config->max_executions;
  if (rv == BBW_OK) { rv = rebuild_timers(r); }
  return rv == BBW_OK ? check_started(r) : rv;
}
