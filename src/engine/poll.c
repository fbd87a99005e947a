/* poll: one bounded cycle (engine specification §7). */
#include "base/bytes.h"
#include "base/mem.h"
#include "engine/engine.h"

/* Steps that carry work can not be masked out. */
static inline bool reserve_steps(bbw_engine *engine, size_t bytes) {
  if (bbw_step_reserve(&engine->steps, bytes)) { return true; }
  engine->poll_status = BBW_E_NOMEM;
  return false;
}

static void finish_command(bbw_engine *engine, uint64_t cmd_id) {
  bbw_parked *parked = bbw_async_find(&engine->async, cmd_id);
  if (parked == NULL || parked->frame == NULL) { return; }
  bbw_engine_finish_parked(engine, parked);
}

static size_t parked_room(bbw_engine *engine, uint64_t cmd_id) {
  const bbw_parked *parked = bbw_async_find(&engine->async, cmd_id);
  if (parked == NULL || parked->frame == NULL) { return 0; }
  return parked->frame->graph->ops[parked->op].step_room + bbw_step_bytes_size(parked->detail_len);
}

/* Completions in order of their arrival. */
static void run_completions(bbw_engine *engine) {
  size_t taken = 0;
  size_t due = engine->async.done.count;
  for (; taken < due; taken++) {
    uint64_t cmd_id = *BBW_VEC_AT(&engine->async.done, uint64_t, taken);
    if (!reserve_steps(engine, parked_room(engine, cmd_id))) { break; }
    finish_command(engine, cmd_id);
  }
  size_t left = engine->async.done.count - taken;
  uint64_t *done = engine->async.done.items;
  for (size_t i = 0; i < left; i++) { done[i] = done[taken + i]; }
  engine->async.done.count = left;
}

/* One slice of each op that works in slices, in the order of their commands. */
static void run_slices(bbw_engine *engine) {
  const bbw_parked *parked;
  for (uint64_t from = 0; (parked = bbw_async_next_resumed(&engine->async, from)) != NULL; engine->ops_invoked++) {
    from = parked->cmd_id + 1;
    if (!reserve_steps(engine, parked->frame->graph->ops[parked->op].step_room)) { return; }
    bbw_engine_run_slice(engine, parked);
  }
}

/* Starts an execution in which a source op runs, or its output is filled with a Trigger. */
static bool start_source(bbw_engine *engine, bbw_graph *graph, uint32_t op_index, bool is_run) {
  bbw_frame *frame;
  bbw_status rv = bbw_frame_new(&frame, engine, graph, NULL);
  if (rv != BBW_OK) {
    bbw_engine_note_held(engine, rv);
    return false;
  }
  const bbw_op *op = &graph->ops[op_index];
  frame->is_reaction = !is_run;
  if (is_run) {
    bbw_frame_queue(engine, frame, op_index);
  } else if (op->output_count != 0 && op->outputs[0] != BBW_NO_INDEX) {
    bbw_engine_write(engine, frame, op->outputs[0], bbw_value_retain(engine->trigger), 0);
    bbw_frame_wake(engine, frame, op->outputs[0]);
  }
  if (op->part != BBW_NO_INDEX) { bbw_frame_start_part(engine, frame, op->part); }
  bbw_frame_end_if_idle(engine, frame);
  return true;
}

/* When an interval that found no room for its execution tries again. */
#define HELD_INTERVAL_RETRY_NS UINT64_C(1000000)

/* An interval that cannot start is put off and not left in front: timers behind it may be what the live executions wait for. */
static void fire_interval(bbw_engine *engine, const bbw_timer *timer) {
  bbw_graph *graph = bbw_engine_graph(engine, (size_t)(timer->subject >> 32));
  bbw_op *op = &graph->ops[(uint32_t)timer->subject];
  op->is_timer_armed = false;
  if (start_source(engine, graph, (uint32_t)timer->subject, true)) { return; }
  uint64_t at_ns = engine->now_ns > UINT64_MAX - HELD_INTERVAL_RETRY_NS ? UINT64_MAX
                                                                        : engine->now_ns + HELD_INTERVAL_RETRY_NS;
  op->is_timer_armed = bbw_timers_add(&engine->timers, at_ns, timer->kind, timer->subject) ==
                       BBW_OK; /* into the room it just left */
}

static void fire_timer(bbw_engine *engine, const bbw_timer *timer) {
  if (timer->kind == BBW_TIMER_INTERVAL) {
    fire_interval(engine, timer);
    return;
  }
  /* A command that is gone, or has its outcome already, is not due any more. */
  bbw_parked *parked = bbw_async_find(&engine->async, timer->subject);
  if (parked == NULL || parked->state != BBW_PARKED_WAITING || parked->frame == NULL) { return; }
  bbw_async_settle(&engine->async, parked, BBW_PARKED_COMPLETED);
  bbw_engine_finish_parked(engine, parked);
}

/* Parked ops whose time is over fail, in the order of their deadlines.  An outcome that is here already wins. */
static void run_deadlines(bbw_engine *engine) {
  for (;;) {
    bbw_parked *parked = bbw_async_next_deadline(&engine->async);
    if (parked == NULL || parked->deadline_ns > engine->now_ns || engine->poll_status != BBW_OK) { return; }
    if (!reserve_steps(engine, parked->frame->graph->ops[parked->op].step_room)) { return; }
    bbw_async_settle(&engine->async, parked, BBW_PARKED_EXPIRED);
    bbw_engine_finish_parked(engine, parked);
  }
}

static void run_timers(bbw_engine *engine) {
  bbw_timer timer;
  uint64_t at_ns;
  while (engine->poll_status == BBW_OK && bbw_timers_next(&engine->timers, &at_ns) && at_ns <= engine->now_ns) {
    const bbw_timer *next = BBW_VEC_AT(&engine->timers.heap, const bbw_timer, 0);
    size_t room = next->kind == BBW_TIMER_COMMAND ? parked_room(engine, next->subject) : 0;
    if (!reserve_steps(engine, room) || !bbw_timers_pop_due(&engine->timers, engine->now_ns, &timer)) { return; }
    fire_timer(engine, &timer);
  }
}

/* Room for what is reported when a request ends without an answer. */
static bool reserve_unanswered(bbw_engine *engine, const bbw_request *request) {
  return reserve_steps(engine, BBW_STEP_HEADER_BYTES + 24 + bbw_engine_waiter_room(bbw_engine_waiter(engine, request)));
}

/* A request that is taken out of the table: reports it, and tells the operator that waits for the answer. */
static void end_unanswered(bbw_engine *engine, const bbw_request *request, bbw_op_error_kind kind, const char *reason,
                           const bbw_peer_id *peer) {
  if (bbw_step_begin(&engine->steps, BBW_STEP_WIRE_TIMEOUT)) {
    bbw_step_put_u64(&engine->steps, request->id);
    bbw_step_put_u64(&engine->steps, request->target_site);
    bbw_step_put_u64(&engine->steps, request->started_at_ns);
    bbw_step_end(&engine->steps);
  }
  const bbw_parked *waiter = bbw_engine_waiter(engine, request);
  bbw_outcome outcome = {.kind = kind, .reason = reason, .peer = peer, .request_id = request->id};
  if (waiter != NULL) { bbw_engine_resume(engine, waiter, &outcome); }
}

/* False when memory ran out before anything was done. */
static bool run_send_failed(bbw_engine *engine, const bbw_ingress_event *event) {
  const bbw_failed_send *failed = event->failed;
  const bbw_request *open = bbw_requests_find(&engine->requests, failed->wire_req_id);
  if (open != NULL && !reserve_unanswered(engine, open)) { return false; }
  bbw_request request;
  bool is_lost = bbw_requests_fail_peer(&engine->requests, failed->wire_req_id, bbw_peer_id_site(&failed->peer),
                                        &request);
  if (is_lost) { end_unanswered(engine, &request, BBW_OP_REMOTE_FAILED, "send_failed", &failed->peer); }
  bbw_engine_note_health(engine, &failed->peer, false);
  /* Out of memory only means that the failure is not remembered. */
  (void)bbw_backoff_record_failure(&engine->backoff, &failed->peer, engine->now_ns, bbw_engine_random(engine));
  bbw_mem_array_free(engine->mem, event->failed, 1, sizeof(*event->failed));
  return true;
}

/* The reference reports an application event back before it runs. */
static void echo_app_event(bbw_engine *engine, const bbw_ingress_event *event) {
  bbw_str name = event->graph->sites[bbw_ingress_seeds(event)->site].name;
  if (!bbw_step_begin(&engine->steps, BBW_STEP_APP_EVENT)) { return; }
  bbw_step_put_bytes(&engine->steps, bbw_str_bytes(event->graph->name));
  bbw_step_put_bytes(&engine->steps, bbw_str_bytes(name));
  bbw_step_put_bytes(&engine->steps, bbw_ingress_seeds(event)->value->as.bytes);
  bbw_step_end(&engine->steps);
}

static size_t echo_room(const bbw_ingress_event *event) {
  if (event->kind != BBW_INGRESS_APP_EVENT) { return 0; }
  return BBW_STEP_HEADER_BYTES + bbw_step_bytes_size(event->graph->name.len) +
         bbw_step_bytes_size(event->graph->sites[bbw_ingress_seeds(event)->site].name.len) +
         bbw_step_bytes_size(bbw_ingress_seeds(event)->value->as.bytes.len);
}

/* False when memory ran out before anything of the event was done. */
static bool run_event(bbw_engine *engine, bbw_ingress_event *event) {
  if (event->kind == BBW_INGRESS_ENVELOPE) {
    bbw_engine_deliver(engine, event->envelope);
    return true;
  }
  if (event->kind == BBW_INGRESS_SEND_FAILED) { return run_send_failed(engine, event); }
  if (!reserve_steps(engine, echo_room(event))) { return false; }
  bbw_value *echoed = NULL;
  if (event->kind == BBW_INGRESS_APP_EVENT) { echoed = bbw_value_retain(bbw_ingress_seeds(event)->value); }
  const uint64_t *exec_id = event->kind == BBW_INGRESS_INVOKE ? &event->exec_id : NULL;
  /* The echo comes first in the record order, so it is written first; starting may still fail for memory and is then tried again. */
  size_t steps_before = engine->steps.bytes.count;
  if (echoed != NULL) { echo_app_event(engine, event); }
  bbw_status rv = bbw_engine_start(engine, event->graph, bbw_ingress_seeds(event), event->seed_count, exec_id);
  bbw_value_release(echoed, engine->mem);
  if (rv == BBW_E_NOMEM || rv == BBW_E_LIMIT) {
    /* Too many live executions, or no memory: the event stays in the queue until there is room. */
    engine->steps.bytes.count = steps_before;
    bbw_engine_note_held(engine, rv);
    return false;
  }
  bbw_mem_array_free(engine->mem, event->seeds, event->seed_room, sizeof(bbw_seed));
  return true;
}

static void run_ingress(bbw_engine *engine) {
  size_t due = engine->ingress.count; /* what arrives from now on waits for the next poll */
  for (size_t i = 0; i < due && engine->poll_status == BBW_OK; i++) {
    bbw_ingress_event *event = &engine->ingress.events[engine->ingress.head];
    if (!run_event(engine, event)) { return; }
    bbw_ingress_drop(&engine->ingress);
  }
}

static bool is_time_up(const bbw_engine *engine) {
  if (engine->time_is_up == NULL || engine->ops_invoked % engine->time_check_ops != 0) { return false; }
  return engine->time_is_up(engine->time_ctx);
}

/* How many ops this poll will have run when a budget is to be looked at next. */
static uint64_t next_check(const bbw_engine *engine) {
  uint64_t budget = engine->config.cycle_op_budget, done = engine->ops_invoked;
  if (engine->time_is_up == NULL || done >= budget) { return budget; }
  uint64_t left = engine->time_check_ops - done % engine->time_check_ops;
  return left < budget - done ? done + left : budget;
}

/* Nothing that an op does changes poll_status: it is looked at where memory is asked for. */
static void drain_frontier(bbw_engine *engine) {
  if (engine->is_budget_hit || engine->poll_status != BBW_OK) { return; }
  bbw_frontier *frontier = &engine->frontier;
  bbw_frontier_entry now = {.frame = NULL, .op = BBW_NO_INDEX};
  uint64_t check_at = next_check(engine);
  while (now.op != BBW_NO_INDEX || frontier->count != 0) {
    if (now.op == BBW_NO_INDEX) {
      now = frontier->entries[frontier->head];
      bbw_frontier_pop(frontier);
    }
    const bbw_op *op = &now.frame->graph->ops[now.op];
    if (!reserve_steps(engine, op->step_room)) { break; }
    if (bbw_bootstrap_is_pending(&engine->bootstrap) && bbw_bootstrap_locks(engine, now.frame, op)) {
      bbw_frontier_push(&engine->locked, now.frame, now.op); /* room is reserved with the frame */
      now.op = BBW_NO_INDEX;
      continue;
    }
    now.frame->undispatched--;
    engine->frontier_reserved--;
    now.op = bbw_engine_dispatch(engine, now.frame, op);
    if (++engine->ops_invoked < check_at) { continue; }
    engine->is_budget_hit = engine->ops_invoked >= engine->config.cycle_op_budget || is_time_up(engine);
    if (engine->is_budget_hit) { break; }
    check_at = next_check(engine);
  }
  if (now.op != BBW_NO_INDEX) { bbw_frontier_push_front(frontier, now); }
}

/* Runs what is ready, and what ended bootstraps let start. */
static void drain(bbw_engine *engine) {
  do { drain_frontier(engine); } while (bbw_bootstrap_advance(engine) && !engine->is_budget_hit);
}

static void report_bootstraps(bbw_engine *engine) {
  bbw_bootstrap *bootstrap = &engine->bootstrap;
  while (bootstrap->ended != 0 && reserve_steps(engine, BBW_STEP_HEADER_BYTES)) {
    if (bbw_step_begin(&engine->steps, BBW_STEP_BOOTSTRAP_COMPLETE)) { bbw_step_end(&engine->steps); }
    bootstrap->ended--;
  }
  /* Said once per wait, so that a host that polls until nothing happens comes to rest. */
  bool is_waiting = bbw_bootstrap_is_pending(bootstrap) && engine->frontier.count == 0 &&
                    !bootstrap->is_waiting_reported;
  if (!is_waiting || !reserve_steps(engine, BBW_STEP_HEADER_BYTES)) { return; }
  if (bbw_step_begin(&engine->steps, BBW_STEP_WAITING_ON_BOOTSTRAP)) { bbw_step_end(&engine->steps); }
  bootstrap->is_waiting_reported = true;
}

static void run_bus(bbw_engine *engine) {
  if (engine->bus.dropped_new != 0) {
    engine->bus.dropped_new = 0;
    bbw_bus_publish(&engine->bus, BBW_STR("BusOverflow"));
  }
  size_t due = engine->bus.count;
  uint32_t first;
  for (size_t n = 0; n < due && engine->poll_status == BBW_OK && bbw_bus_pop(&engine->bus, &first); n++) {
    bbw_str kind = BBW_VEC_AT(&engine->bus.subscriptions, bbw_subscription, first)->kind;
    for (size_t i = first; i < engine->bus.subscriptions.count; i++) {
      const bbw_subscription *subscription = BBW_VEC_AT(&engine->bus.subscriptions, bbw_subscription, i);
      bool is_match = bbw_str_equal(subscription->kind, kind);
      if (is_match && !start_source(engine, subscription->graph, subscription->op, false)) { engine->bus.dropped++; }
    }
  }
}

static void run_stale_requests(bbw_engine *engine) {
  const bbw_request *next;
  bbw_request request;
  while ((next = bbw_requests_next(&engine->requests)) != NULL && next->expires_at_ns <= engine->now_ns &&
         reserve_unanswered(engine, next) && bbw_requests_pop_stale(&engine->requests, engine->now_ns, &request)) {
    end_unanswered(engine, &request, BBW_OP_TIMEOUT, "chain_timeout", NULL);
  }
}

static const bbw_str liveness_kinds[] = {{"PeerLive", 8}, {"PeerSuspect", 11}, {"PeerDown", 8}};

/* Peers that have gone quiet, or have come back: events for the graph, routed in the next poll. */
static void run_liveness(bbw_engine *engine) {
  uint64_t site;
  bbw_phi_state state;
  double phi;
  while (bbw_rtt_next_change(&engine->rtt, engine->now_ns, &site, &state, &phi)) {
    bbw_bus_publish(&engine->bus, liveness_kinds[state]);
  }
}

static bool is_liveness_wanted(const bbw_engine *engine) {
  for (size_t i = 0; i < engine->bus.subscriptions.count; i++) {
    bbw_str kind = BBW_VEC_AT(&engine->bus.subscriptions, const bbw_subscription, i)->kind;
    for (size_t k = 0; k < 3; k++) {
      if (bbw_str_equal(kind, liveness_kinds[k])) { return true; }
    }
  }
  return false;
}

static bool reacts_to(const bbw_op *op, bbw_str phase) {
  if (op->readiness != BBW_READY_SOURCE || !bbw_str_equal(op->node->op_type, BBW_STR("LifecyclePhase"))) {
    return false;
  }
  const bbw_onnx_attribute *wanted = bbw_onnx_attribute_find(op->node, BBW_STR("phase"));
  return wanted != NULL && bbw_str_equal(bbw_bytes_str(wanted->s), phase);
}

/* False when there was no room for one of the executions; phase_at says where to go on. */
static bool fire_phase(bbw_engine *engine, bbw_str phase) {
  if (!reserve_steps(engine, BBW_STEP_HEADER_BYTES + bbw_step_bytes_size(phase.len))) { return false; }
  for (size_t g = (size_t)(engine->phase_at >> 32); g < engine->graphs.count; g++) {
    bbw_graph *graph = bbw_engine_graph(engine, g);
    uint32_t first = g == (size_t)(engine->phase_at >> 32) ? (uint32_t)engine->phase_at : 0;
    for (uint32_t i = first; graph->is_entry_point && i < graph->op_count; i++) {
      if (!reacts_to(&graph->ops[i], phase) || start_source(engine, graph, i, true)) { continue; }
      engine->phase_at = bbw_graph_op_ref(graph, i);
      return false;
    }
  }
  engine->phase_at = 0;
  if (bbw_step_begin(&engine->steps, BBW_STEP_LIFECYCLE_FIRED)) {
    bbw_step_put_bytes(&engine->steps, bbw_str_bytes(phase));
    bbw_step_end(&engine->steps);
  }
  return true;
}

static void run_phases(bbw_engine *engine) {
  while (engine->phases.count != 0 && engine->poll_status == BBW_OK) {
    bbw_bytes phase = *BBW_VEC_AT(&engine->phases, bbw_bytes, 0);
    if (!fire_phase(engine, bbw_bytes_str(phase))) { return; }
    engine->mem->free(engine->mem->ctx, (void *)(uintptr_t)phase.ptr, phase.len + 1);
    engine->phases.count--;
    bbw_bytes *phases = engine->phases.items;
    for (size_t i = 0; i < engine->phases.count; i++) { phases[i] = phases[i + 1]; }
  }
}

static void write_envelopes(bbw_engine *engine) {
  const bbw_outbound_entry *entry;
  while ((entry = bbw_outbound_front(&engine->outbound)) != NULL) {
    /* What waited, or was restored, for a peer that was forbidden since does not go to it. */
    bool is_forbidden = (engine->outbound.flows.count != 0 || entry->is_redelivered) &&
                        bbw_governor_check_inbound(&engine->governor, &entry->peer) != BBW_VERDICT_ALLOW;
    if (is_forbidden) {
      engine->outbound.dropped_new++;
      bbw_outbound_pop(&engine->outbound);
      continue;
    }
    size_t count = 0;
    size_t room = BBW_STEP_HEADER_BYTES + 24 + bbw_step_bytes_size(BBW_PEER_ID_BYTES_MAX) +
                  bbw_step_bytes_size(entry->dest_len + entry->tail->len);
    bbw_bytes address;
    for (size_t at = 0; bbw_outbound_address(entry, &at, &address); count++) {
      room += bbw_step_bytes_size(address.len);
    }
    if (!reserve_steps(engine, room)) { return; }
    if (bbw_step_begin(&engine->steps, BBW_STEP_SEND_ENVELOPE)) {
      uint8_t peer[BBW_PEER_ID_BYTES_MAX];
      bbw_step_put_bytes(&engine->steps, (bbw_bytes){peer, bbw_peer_id_encode(&entry->peer, peer)});
      bbw_step_put_u64(&engine->steps, count);
      for (size_t at = 0; bbw_outbound_address(entry, &at, &address);) { bbw_step_put_bytes(&engine->steps, address); }
      bbw_outbound_write(&engine->outbound, entry,
                         bbw_step_put_space(&engine->steps, entry->dest_len + entry->tail->len));
      bbw_step_put_u64(&engine->steps, entry->is_redelivered);
      bbw_step_end(&engine->steps);
    }
    bbw_outbound_pop(&engine->outbound);
  }
  bbw_outbound_rest(&engine->outbound);
}

static void write_resolve_failures(bbw_engine *engine) {
  size_t count = engine->resolve_failures.count;
  if (count == 0 ||
      !reserve_steps(engine, count * (BBW_STEP_HEADER_BYTES + 16 + bbw_step_bytes_size(BBW_PEER_ID_BYTES_MAX)))) {
    return;
  }
  for (size_t i = 0; i < count; i++) {
    const bbw_resolve_failure *failure = BBW_VEC_AT(&engine->resolve_failures, bbw_resolve_failure, i);
    if (!bbw_step_begin(&engine->steps, BBW_STEP_PEER_RESOLVE_FAILED)) { continue; }
    uint8_t peer[BBW_PEER_ID_BYTES_MAX];
    bbw_step_put_bytes(&engine->steps, (bbw_bytes){peer, bbw_peer_id_encode(&failure->peer, peer)});
    bbw_step_put_u64(&engine->steps, failure->op_ref);
    bbw_step_put_u64(&engine->steps, 0);
    bbw_step_end(&engine->steps);
  }
  engine->resolve_failures.count = 0;
}

static void write_count(bbw_engine *engine, bbw_step_kind kind, uint64_t count) {
  if (!bbw_step_begin(&engine->steps, kind)) { return; }
  bbw_step_put_u64(&engine->steps, count);
  bbw_step_end(&engine->steps);
}

static void write_app_events(bbw_engine *engine) {
  size_t written = 0;
  for (; written < engine->app_events.count; written++) {
    const bbw_app_event *event = BBW_VEC_AT(&engine->app_events, bbw_app_event, written);
    const bbw_value *value = event->value;
    bool is_raw = value != NULL && value->type == BBW_TYPE_BYTES;
    size_t len = value == NULL ? 0 : (is_raw ? value->as.bytes.len : bbw_value_payload_size(value));
    if (len > BBW_STEP_FIELD_BYTES_MAX) {
      len = 0;
      is_raw = false;
    }
    if (!reserve_steps(engine,
                       BBW_STEP_HEADER_BYTES + 8 + bbw_step_bytes_size(event->topic.len) + bbw_step_bytes_size(len))) {
      break;
    }
    if (bbw_step_begin(&engine->steps, BBW_STEP_APP_EVENT)) {
      bbw_step_put_bytes(&engine->steps, (bbw_bytes){NULL, 0});
      bbw_step_put_bytes(&engine->steps, bbw_str_bytes(event->topic));
      if (is_raw) {
        bbw_step_put_bytes(&engine->steps, value->as.bytes);
      } else {
        uint8_t *out = bbw_step_put_space(&engine->steps, len);
        if (len != 0) { bbw_value_payload_write(value, out); }
      }
      bbw_step_end(&engine->steps);
    }
    bbw_value_release(event->value, engine->mem);
  }
  bbw_app_event *events = engine->app_events.items;
  for (size_t i = written; i < engine->app_events.count; i++) { events[i - written] = events[i]; }
  engine->app_events.count -= written;
}

static void write_output(bbw_engine *engine) {
  write_envelopes(engine);
  write_resolve_failures(engine);
  if (engine->outbound.dropped_new != 0 && reserve_steps(engine, BBW_STEP_HEADER_BYTES + 8)) {
    write_count(engine, BBW_STEP_OUTBOUND_DROPPED, engine->outbound.dropped_new);
    engine->outbound.dropped_new = 0;
  }
  if (engine->is_budget_hit && reserve_steps(engine, BBW_STEP_HEADER_BYTES + 8)) {
    write_count(engine, BBW_STEP_CYCLE_BUDGET_EXCEEDED, engine->ops_invoked);
  }
  report_bootstraps(engine);
  write_app_events(engine);
}

/* Ops that run by themselves from the first poll on; those that find no room are tried again in the next poll. */
static void start_self_starting(bbw_engine *engine) {
  bool is_done = true;
  for (size_t g = 0; g < engine->graphs.count; g++) {
    bbw_graph *graph = bbw_engine_graph(engine, g);
    if (!graph->is_entry_point) { continue; }
    for (uint32_t i = 0; i < graph->op_count; i++) {
      bbw_op *op = &graph->ops[i];
      if (op->row == NULL || !op->row->is_self_starting || op->is_started) { continue; }
      op->is_started = start_source(engine, graph, i, true);
      is_done = is_done && op->is_started;
    }
  }
  engine->is_first_poll_done = is_done;
}

/* Work that waits, or a time that has come: without, the phases of a poll that look for it have nothing to do. */
static bool has_work(const bbw_engine *engine) {
  uint64_t waiting = engine->frontier.count | engine->ingress.count | engine->bus.count | engine->bus.dropped_new |
                     engine->async.done.count | engine->async.resumed.count | engine->phases.count |
                     engine->bootstrap.runs.count;
  if (waiting != 0 || !engine->is_first_poll_done) { return true; }
  uint64_t at_ns, now_ns = engine->now_ns;
  const bbw_parked *parked = bbw_async_next_deadline(&engine->async);
  return (parked != NULL && parked->deadline_ns <= now_ns) ||
         (bbw_timers_next(&engine->timers, &at_ns) && at_ns <= now_ns) ||
         (bbw_requests_next_expiry(&engine->requests, &at_ns) && at_ns <= now_ns) ||
         (bbw_rtt_next_due(&engine->rtt, &at_ns) && at_ns <= now_ns);
}

static bool has_output(const bbw_engine *engine) {
  const bbw_outbound *outbound = &engine->outbound;
  uint64_t waiting = engine->app_events.count | engine->resolve_failures.count | engine->bootstrap.ended |
                     outbound->dropped_new;
  return waiting != 0 || outbound->now.first != NULL || outbound->ring_first != NULL;
}

/* What comes of the work, and what is due by now; again, because the work may have moved it. */
static void run_rest(bbw_engine *engine) {
  run_bus(engine);
  run_timers(engine);
  run_deadlines(engine);
  run_stale_requests(engine);
  run_completions(engine);
  run_liveness(engine);
  drain(engine);
  run_phases(engine);
  drain(engine);
}

bbw_status bbw_engine_poll(bbw_engine *engine) {
  bbw_step_buffer_clear(&engine->steps);
  engine->poll_status = BBW_OK;
  engine->ops_invoked = 0;
  engine->is_budget_hit = false;
  engine->is_held = false;
  engine->depth_at_poll = engine->ingress.count;
  engine->ctx.engine = engine; /* a restore moves it */
  if (engine->tick_ns > engine->now_ns) { engine->now_ns = engine->tick_ns; }
  engine->outbound.now_ns = engine->now_ns;
  if (!has_work(engine) && !has_output(engine)) { return BBW_OK; }
  if (!engine->is_first_poll_done) { start_self_starting(engine); }
  (void)bbw_bootstrap_advance(engine);
  run_timers(engine);
  run_completions(engine);
  (void)bbw_bootstrap_advance(engine);
  if (engine->async.resumed.count != 0) { run_slices(engine); }
  if (!bbw_bootstrap_is_pending(&engine->bootstrap)) { run_ingress(engine); }
  drain(engine);
  if (has_work(engine)) { run_rest(engine); }
  write_output(engine);
  /* Steps that were made before memory ran out are not withheld; the rest goes on in the next poll. */
  return engine->steps.bytes.count != 0 ? BBW_OK : engine->poll_status;
}

bool bbw_engine_is_idle(const bbw_engine *engine) {
  if (engine->poll_status != BBW_OK) { return false; } /* memory ran out in the last poll: it has not come to its end */
  if (!engine->is_held && !has_work(engine) && !has_output(engine)) { return true; }
  bool is_output_done = bbw_outbound_front(&engine->outbound) == NULL && engine->app_events.count == 0 &&
                        engine->resolve_failures.count == 0;
  bool is_work_done = engine->frontier.count == 0 && engine->bus.count == 0 && engine->async.done.count == 0;
  uint64_t at_ns;
  bool is_timer_due = bbw_timers_next(&engine->timers, &at_ns) && at_ns <= engine->now_ns;
  if (!is_output_done || !is_work_done || is_timer_due) { return false; }
  /* Held work goes on when an execution ends.  If one has ended since, it can go on now; else that takes new work from outside. */
  if (engine->is_held) { return engine->frame_count >= engine->config.max_executions; }
  bool is_ingress_waiting = bbw_bootstrap_is_pending(&engine->bootstrap) || engine->ingress.count == 0;
  return engine->is_first_poll_done && engine->phases.count == 0 && is_ingress_waiting;
}

bool bbw_engine_next_timer(const bbw_engine *engine, uint64_t *at_ns) {
  uint64_t at, next = BBW_NEVER_NS;
  if (bbw_timers_next(&engine->timers, &at) && at < next) { next = at; }
  if (bbw_requests_next_expiry(&engine->requests, &at) && at < next) { next = at; }
  const bbw_parked *parked = bbw_async_next_deadline(&engine->async);
  if (parked != NULL && parked->deadline_ns < next) { next = parked->deadline_ns; }
  if (engine->async.resumed.count != 0 && engine->now_ns < next) { next = engine->now_ns; } /* one slice per poll */
  /* Silence is only worth waking up for when a graph listens. */
  if (bbw_rtt_next_due(&engine->rtt, &at) && at < next && is_liveness_wanted(engine)) { next = at; }
  if (next != BBW_NEVER_NS) { *at_ns = next; }
  return next != BBW_NEVER_NS;
}
