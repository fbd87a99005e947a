#include "engine/engine.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state) {
  uint64_t x = *state += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/*
 * Keys of these tables come from peers; a seed that they do not know keeps them from choosing keys that collide.  It is as secret as config.rng_seed, which a graph that shows
 * its random numbers gives away.
 */
static void seed_tables(bbw_engine *engine) {
  bbw_map *const maps[] = {
      &engine->routes, &engine->dedup.seen, &engine->requests.by_id, &engine->rtt.by_site, &engine->rtt.by_chain,
  };
  bbw_peer_table *const tables[] = {
      &engine->address_book.entries, &engine->governor.blocked,     &engine->governor.allowed, &engine->governor.health,
      &engine->backoff.entries,      &engine->backpressure.entries, &engine->outbound.flows,
  };
  uint64_t state = ~engine->config.rng_seed;
  for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) { tables[i]->seed = next_random(&state); }
  for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) { maps[i]->seed = next_random(&state); }
}

static uint32_t clamp_u32(uint64_t value) { return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value; }

bbw_backpressure_config bbw_engine_backpressure_config(const bbw_config *config) {
  return (bbw_backpressure_config){
      .high_water_pct = clamp_u32(config->backpressure_high_water_pct),
      .notices_before_silent = clamp_u32(config->backpressure_k_before_silent),
      .notice_interval_min_ns = config->backpressure_min_notice_interval_ns,
  };
}

bbw_status bbw_engine_init(bbw_engine *engine, const bbw_peer_id *self, const bbw_config *config, const bbw_mem *mem) {
  *engine = (bbw_engine){.mem = mem, .config = *config, .self_peer = *self, .rng_state = config->rng_seed};
  bbw_vec_init(&engine->graphs, sizeof(bbw_graph *), mem);
  bbw_vec_init(&engine->components, sizeof(bbw_component), mem);
  bbw_map_init(&engine->routes, 0x2077, mem);
  bbw_frontier_init(&engine->frontier, mem);
  bbw_frontier_init(&engine->locked, mem);
  bbw_bootstrap_init(&engine->bootstrap, mem);
  bbw_timers_init(&engine->timers, mem);
  bbw_async_init(&engine->async, mem);
  bbw_ingress_init(&engine->ingress, (size_t)config->bus_capacity * 4, mem);
  bbw_bus_init(&engine->bus, (size_t)config->bus_capacity, mem);
  bbw_named_init(&engine->named, mem);
  bbw_step_buffer_init(&engine->steps, config->step_mask, mem);
  bbw_outbound_init(&engine->outbound, config->max_outbound_queue, config->max_outbound_bytes, mem);
  bbw_vec_init(&engine->app_events, sizeof(bbw_app_event), mem);
  bbw_vec_init(&engine->resolve_failures, sizeof(bbw_resolve_failure), mem);
  bbw_vec_init(&engine->phases, sizeof(bbw_bytes), mem);
  bbw_vec_init(&engine->temps, sizeof(bbw_value *), mem);
  bbw_address_book_init(&engine->address_book, mem);
  bbw_governor_init(&engine->governor, mem);
  bbw_backoff_init(&engine->backoff, mem);
  bbw_dedup_init(&engine->dedup, mem);
  bbw_requests_init(&engine->requests, mem);
  bbw_rtt_init(&engine->rtt, mem);
  bbw_backpressure_init(&engine->backpressure, bbw_engine_backpressure_config(config), mem);
  seed_tables(engine);
  /* Ids that nobody can guess and that another life of this node has not used; without a seed the node is to be reproducible, and they start at 1. */
  if (config->rng_seed != 0) { engine->requests.next_token = 1 + (bbw_mix64(~config->rng_seed) >> 3); }
  return bbw_value_new_plain(&engine->trigger, BBW_TYPE_TRIGGER, 0, mem);
}

static void event_drop(bbw_engine *engine, bbw_ingress_event *event) {
  bbw_engine_drop_seeds(engine, bbw_ingress_seeds(event), event->seed_count);
  bbw_mem_array_free(engine->mem, event->seeds, event->seed_room, sizeof(bbw_seed));
  bbw_mem_array_free(engine->mem, event->failed, 1, sizeof(*event->failed));
  if (event->envelope != NULL) {
    bbw_engine_release(engine, event->envelope->charge);
    bbw_inbound_event_del(event->envelope, engine->mem);
  }
}

static void clear_output(bbw_engine *engine) {
  const bbw_mem *mem = engine->mem;
  for (size_t i = 0; i < engine->app_events.count; i++) {
    bbw_value_release(BBW_VEC_AT(&engine->app_events, bbw_app_event, i)->value, mem);
  }
  engine->app_events.count = 0;
  engine->resolve_failures.count = 0;
  for (size_t i = 0; i < engine->phases.count; i++) {
    bbw_bytes *phase = BBW_VEC_AT(&engine->phases, bbw_bytes, i);
    mem->free(mem->ctx, (void *)(uintptr_t)phase->ptr, phase->len + 1);
  }
  engine->phases.count = 0;
  engine->phase_at = 0;
  bbw_outbound_clear(&engine->outbound);
}

void bbw_engine_abandon(bbw_engine *engine, const bbw_parked *parked) {
  uint64_t cmd_id = parked->cmd_id;
  const bbw_op *op = parked->frame == NULL ? NULL : &parked->frame->graph->ops[parked->op];
  bool is_answered = parked->state == BBW_PARKED_COMPLETED || parked->state == BBW_PARKED_FAILED;
  if (is_answered) { bbw_async_forget_outcome(&engine->async, cmd_id); }
  bbw_async_close(&engine->async, cmd_id);
  if (op == NULL || op->kind != BBW_DISPATCH_COMPONENT || is_answered) { return; }
  bbw_component *component = bbw_engine_component(engine, op->component);
  if (component->type->cancel != NULL) { component->type->cancel(component->self, cmd_id); }
}

static const bbw_frame *root_of(const bbw_frame *frame) {
  while (frame->parent != NULL) { frame = frame->parent; }
  return frame;
}

static void forget_queued(bbw_frontier *queue, const bbw_frame *root) {
  size_t kept = 0;
  for (size_t i = 0; i < queue->count; i++) {
    bbw_frontier_entry entry = queue->entries[(queue->head + i) & (queue->cap - 1)];
    if (root_of(entry.frame) != root) { queue->entries[(queue->head + kept++) & (queue->cap - 1)] = entry; }
  }
  queue->count = kept;
}

static bool cancel_queued_invoke(bbw_engine *engine, uint64_t exec_id) {
  bbw_ingress *ingress = &engine->ingress;
  for (size_t i = 0; i < ingress->count; i++) {
    bbw_ingress_event *event = &ingress->events[(ingress->head + i) % ingress->size];
    if (event->kind != BBW_INGRESS_INVOKE || event->exec_id != exec_id) { continue; }
    event_drop(engine, event);
    for (; i + 1 < ingress->count; i++) {
      ingress->events[(ingress->head + i) % ingress->size] = ingress->events[(ingress->head + i + 1) % ingress->size];
    }
    ingress->count--;
    return true;
  }
  return false;
}

bool bbw_engine_cancel(bbw_engine *engine, uint64_t exec_id) {
  bbw_frame *frame = engine->frames_first;
  while (frame != NULL && frame->exec_id != exec_id) { frame = frame->next; }
  if (frame == NULL) { return cancel_queued_invoke(engine, exec_id); }
  const bbw_frame *root = root_of(frame);
  forget_queued(&engine->frontier, root);
  forget_queued(&engine->locked, root);
  for (size_t i = 0; i < engine->async.entries.count; i++) {
    const bbw_parked *parked = BBW_VEC_AT(&engine->async.entries, bbw_parked, i);
    if (parked->state != BBW_PARKED_FREE && root_of(parked->frame) == root) { bbw_engine_abandon(engine, parked); }
  }
  bbw_bootstrap_note_failure(root);
  /* Bodies are younger than their callers: from the end, a frame goes before what it hangs on. */
  for (frame = engine->frames_last; frame != NULL;) {
    bbw_frame *before = frame->prev;
    bool is_root = frame == root;
    if (root_of(frame) == root) { bbw_frame_drop(engine, frame); }
    frame = is_root ? NULL : before;
  }
  return true;
}

void bbw_engine_clear(bbw_engine *engine) {
  bbw_ingress_event event;
  while (bbw_ingress_pop(&engine->ingress, &event)) { event_drop(engine, &event); }
  for (size_t i = 0; i < engine->async.entries.count; i++) {
    const bbw_parked *parked = BBW_VEC_AT(&engine->async.entries, bbw_parked, i);
    if (parked->state != BBW_PARKED_FREE) { bbw_engine_abandon(engine, parked); }
  }
  engine->frontier.count = 0;
  engine->locked.count = 0;
  while (engine->frames_first != NULL) { bbw_frame_drop(engine, engine->frames_first); }
  bbw_async_clear(&engine->async);
  bbw_bootstrap_clear(engine);
  engine->timers.heap.count = 0;
  for (size_t g = 0; g < engine->graphs.count; g++) {
    bbw_graph *graph = bbw_engine_graph(engine, g);
    for (uint32_t i = 0; i < graph->op_count; i++) { graph->ops[i].is_timer_armed = graph->ops[i].is_started = false; }
  }
  engine->is_first_poll_done = false; /* intervals start again */
  engine->bus.count = 0;
  bbw_engine_release(engine, engine->named.held_bytes);
  bbw_named_free(&engine->named);
  bbw_named_init(&engine->named, engine->mem);
  uint64_t next_token = engine->requests.next_token;
  uint64_t seed = engine->requests.by_id.seed;
  bbw_requests_free(&engine->requests);
  bbw_requests_init(&engine->requests, engine->mem);
  engine->requests.next_token = next_token;
  engine->requests.by_id.seed = seed;
  clear_output(engine);
}

void bbw_engine_free(bbw_engine *engine) {
  const bbw_mem *mem = engine->mem;
  if (mem == NULL) { return; }
  bbw_ingress_event event;
  while (bbw_ingress_pop(&engine->ingress, &event)) { event_drop(engine, &event); }
  bbw_ingress_free(&engine->ingress);
  while (engine->frames_first != NULL) { bbw_frame_drop(engine, engine->frames_first); }
  bbw_async_free(&engine->async);
  bbw_frontier_free(&engine->frontier);
  bbw_frontier_free(&engine->locked);
  bbw_bootstrap_free(engine);
  for (size_t i = 0; i < engine->components.count; i++) {
    bbw_component *component = bbw_engine_component(engine, i);
    component->type->destroy(component->self, mem);
  }
  bbw_vec_free(&engine->components);
  for (size_t i = 0; i < engine->graphs.count; i++) { bbw_graph_del(bbw_engine_graph(engine, i), mem); }
  bbw_vec_free(&engine->graphs);
  bbw_map_free(&engine->routes);
  bbw_timers_free(&engine->timers);
  bbw_bus_free(&engine->bus);
  bbw_named_free(&engine->named);
  bbw_step_buffer_free(&engine->steps);
  clear_output(engine);
  bbw_outbound_free(&engine->outbound);
  bbw_vec_free(&engine->app_events);
  bbw_vec_free(&engine->resolve_failures);
  bbw_vec_free(&engine->phases);
  bbw_vec_free(&engine->temps);
  bbw_mem_array_free(mem, engine->ctx.inputs, engine->scratch_input_count, sizeof(bbw_value *));
  bbw_mem_array_free(mem, engine->ctx.outputs, engine->scratch_output_count, sizeof(bbw_value *));
  bbw_address_book_free(&engine->address_book);
  bbw_governor_free(&engine->governor);
  bbw_backoff_free(&engine->backoff);
  bbw_dedup_free(&engine->dedup);
  bbw_requests_free(&engine->requests);
  bbw_rtt_free(&engine->rtt);
  bbw_backpressure_free(&engine->backpressure);
  bbw_value_release(engine->trigger, mem);
  *engine = (bbw_engine){.mem = NULL};
}

bool bbw_engine_charge(bbw_engine *engine, size_t bytes) {
  if (bytes > bbw_engine_budget_left(engine)) { return false; }
  engine->bytes_in_flight += bytes;
  return true;
}

void bbw_engine_release(bbw_engine *engine, uint64_t bytes) { engine->bytes_in_flight -= bytes; }

uint64_t bbw_engine_budget_left(const bbw_engine *engine) {
  uint64_t budget = engine->config.ingress_byte_budget;
  return engine->bytes_in_flight >= budget ? 0 : budget - engine->bytes_in_flight;
}

uint64_t bbw_engine_random(bbw_engine *engine) { return next_random(&engine->rng_state); }

static bool scratch_fit(bbw_engine *engine, bbw_value ***scratch, size_t *have, size_t need) {
  if (need <= *have) { return true; }
  bbw_value **grown = bbw_mem_array(engine->mem, need, sizeof(*grown));
  if (grown == NULL) { return false; }
  bbw_mem_array_free(engine->mem, *scratch, *have, sizeof(*grown));
  *scratch = grown;
  *have = need;
  return true;
}

bbw_status bbw_engine_fit_scratch(bbw_engine *engine, const bbw_graph *graph) {
  size_t inputs = 2; /* a protocol called from the network has two */
  size_t outputs = 2;
  for (uint32_t i = 0; i < graph->op_count; i++) {
    if (graph->ops[i].input_count > inputs) { inputs = graph->ops[i].input_count; }
    if (graph->ops[i].output_count > outputs) { outputs = graph->ops[i].output_count; }
  }
  bool ok = scratch_fit(engine, &engine->ctx.inputs, &engine->scratch_input_count, inputs) &&
            scratch_fit(engine, &engine->ctx.outputs, &engine->scratch_output_count, outputs);
  return ok ? BBW_OK : BBW_E_NOMEM;
}

void bbw_engine_drop_seeds(bbw_engine *engine, const bbw_seed *seeds, size_t count) {
  for (size_t i = 0; i < count; i++) {
    bbw_value_release(seeds[i].value, engine->mem);
    bbw_engine_release(engine, seeds[i].charge);
  }
}

bbw_status bbw_engine_start(bbw_engine *engine, bbw_graph *graph, const bbw_seed *seeds, size_t count,
                            const uint64_t *exec_id) {
  bbw_frame *frame;
  bbw_status rv = bbw_frame_new(&frame, engine, graph, exec_id);
  if (rv != BBW_OK) { return rv; }
  for (size_t i = 0; i < count; i++) {
    bbw_engine_write(engine, frame, seeds[i].site, seeds[i].value, seeds[i].charge);
  }
  if (count == 0) { bbw_frame_start_part(engine, frame, BBW_NO_INDEX); }
  for (size_t i = 0; i < count; i++) { bbw_frame_start_part(engine, frame, graph->sites[seeds[i].site].part); }
  for (size_t i = 0; i < count; i++) { bbw_frame_wake(engine, frame, seeds[i].site); }
  bbw_frame_end_if_idle(engine, frame);
  return BBW_OK;
}

bbw_status bbw_engine_emit(bbw_engine *engine, bbw_str topic, bbw_value *value) {
  /* The room that live executions were promised stays theirs. */
  if (!bbw_vec_reserve(&engine->app_events, engine->outputs_reserved + 1)) { return BBW_E_NOMEM; }
  bbw_app_event *event = bbw_vec_push(&engine->app_events);
  *event = (bbw_app_event){.topic = topic, .value = value};
  return BBW_OK;
}

void bbw_engine_surface(bbw_engine *engine, const bbw_frame *frame, uint32_t site) {
  const bbw_site *info = &frame->graph->sites[site];
  bool is_output = frame->graph->is_entry_point && info->output_index != BBW_NO_INDEX && info->consumer_count == 0;
  if (!is_output) { return; }
  assert(engine->app_events.count < engine->app_events.cap); /* room was reserved with the frame */
  bbw_app_event *event = BBW_VEC_AT(&engine->app_events, bbw_app_event, engine->app_events.count++);
  *event = (bbw_app_event){.topic = info->name, .value = bbw_value_retain(frame->slots[site])};
}

/* Recursion goes up the chain of callers, which BBW_CALL_DEPTH_MAX bounds. */
void bbw_engine_write(bbw_engine *engine, bbw_frame *frame, uint32_t site, bbw_value *value, size_t charge) {
  if (!bbw_frame_store(engine, frame, site, value, charge)) { return; }
  bbw_engine_surface(engine, frame, site);
  if (frame->parent == NULL) { return; }
  const bbw_op *call = &frame->parent->graph->ops[frame->parent_op];
  const bbw_graph *graph = frame->graph;
  for (uint32_t i = graph->sites[site].result_first; i != BBW_NO_INDEX && i < call->output_count;
       i = graph->result_next[i]) {
    if (call->outputs[i] == BBW_NO_INDEX) { continue; }
    bbw_engine_write(engine, frame->parent, call->outputs[i], bbw_value_retain(frame->slots[site]), 0);
    bbw_frame_wake(engine, frame->parent, call->outputs[i]);
  }
}

void bbw_engine_unlock(bbw_engine *engine) {
  while (engine->locked.count != 0) {
    size_t last = (engine->locked.head + engine->locked.count - 1) & (engine->locked.cap - 1);
    bbw_frontier_push_front(&engine->frontier, engine->locked.entries[last]);
    engine->locked.count--;
  }
}

void bbw_engine_note_held(bbw_engine *engine, bbw_status rv) {
  if (rv == BBW_E_NOMEM) {
    engine->poll_status = rv;
  } else {
    engine->is_held = true;
  }
}
