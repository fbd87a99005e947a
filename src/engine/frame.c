#include "engine/frame.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine.h"

/* A frame that begins is assigned as a whole, so no slot may lie in the padding of the struct. */
static_assert(sizeof(bbw_frame) == offsetof(bbw_frame, slots), "the slots begin behind the struct");

static bool frame_bytes(const bbw_graph *graph, size_t *bytes) {
  size_t slots, missing, tables;
  return bbw_size_mul(graph->site_count, sizeof(bbw_value *), &slots) &&
         bbw_size_mul(graph->op_count, sizeof(uint32_t), &missing) && bbw_size_add(slots, missing, &tables) &&
         bbw_size_add(sizeof(bbw_frame), tables, bytes);
}

static void frame_free_memory(bbw_frame *frame, const bbw_mem *mem) {
  size_t bytes;
  bool ok = frame_bytes(frame->graph, &bytes);
  assert(ok); /* it was allocated with this size */
  if (ok) { mem->free(mem->ctx, frame, bytes); }
}

void bbw_frame_pool_free(bbw_graph *graph, const bbw_mem *mem) {
  while (graph->idle_frames != NULL) {
    bbw_frame *frame = graph->idle_frames;
    graph->idle_frames = frame->next;
    frame_free_memory(frame, mem);
  }
  graph->idle_frame_count = 0;
}

void bbw_inbound_release(bbw_inbound *inbound, const bbw_mem *mem) {
  if (inbound != NULL) { bbw_shared_release(&inbound->shared, mem); }
}

bbw_status bbw_frame_new(bbw_frame **out, bbw_engine *engine, bbw_graph *graph, const uint64_t *exec_id) {
  if (engine->frame_count >= engine->config.max_executions) { return BBW_E_LIMIT; }
  size_t reserved;
  if (!bbw_size_add(engine->frontier_reserved, graph->op_count, &reserved)) { return BBW_E_NOMEM; }
  if (!bbw_frontier_reserve(&engine->frontier, reserved)) { return BBW_E_NOMEM; }
  if (engine->bootstrap.targets.count != 0 && !bbw_frontier_reserve(&engine->locked, reserved)) { return BBW_E_NOMEM; }
  size_t outputs = graph->is_entry_point ? graph->function->output.count : 0;
  if (!bbw_vec_reserve(&engine->app_events, engine->outputs_reserved + outputs)) { return BBW_E_NOMEM; }
  bbw_frame *frame = graph->idle_frames;
  if (frame != NULL) {
    graph->idle_frames = frame->next;
    graph->idle_frame_count--;
  } else {
    size_t bytes;
    if (!frame_bytes(graph, &bytes)) { return BBW_E_NOMEM; }
    frame = engine->mem->alloc(engine->mem->ctx, bytes);
    if (frame == NULL) { return BBW_E_NOMEM; }
    memset(frame, 0, bytes);
    graph->idle_frame_max = (uint32_t)(BBW_FRAMES_IDLE_BYTES_MAX / bytes) + 1;
  }
  engine->frontier_reserved = reserved;
  engine->outputs_reserved += outputs;
  *frame = (bbw_frame){.graph = graph,
                       .undispatched = graph->op_count}; /* its slots are empty: ending a frame clears them */
  memcpy(bbw_frame_missing(frame), graph->needed, graph->op_count * sizeof(uint32_t));
  frame->exec_id = exec_id != NULL ? *exec_id : engine->next_exec_id++;
  frame->started_ns = engine->now_ns;
  frame->prev = engine->frames_last;
  if (engine->frames_last != NULL) {
    engine->frames_last->next = frame;
  } else {
    engine->frames_first = frame;
  }
  engine->frames_last = frame;
  engine->frame_count++;
  *out = frame;
  return BBW_OK;
}

void bbw_frame_queue(bbw_engine *engine, bbw_frame *frame, uint32_t op) {
  uint32_t *missing = bbw_frame_missing(frame);
  if (missing[op] == BBW_OP_FIRED) { return; }
  missing[op] = BBW_OP_FIRED;
  frame->work++;
  bbw_frontier_push(&engine->frontier, frame, op);
}

bool bbw_frame_store(bbw_engine *engine, bbw_frame *frame, uint32_t site, bbw_value *value, size_t charge) {
  if (frame->slots[site] != NULL) {
    bbw_value_release(value, engine->mem);
    bbw_engine_release(engine, charge);
    return false;
  }
  frame->slots[site] = value;
  frame->charge += charge;
  engine->slot_count++;
  const bbw_graph *graph = frame->graph;
  const uint32_t *consumers = graph->consumers + graph->sites[site].consumer_first;
  uint32_t *missing = bbw_frame_missing(frame);
  for (uint32_t i = 0; i < graph->sites[site].consumer_count; i++) {
    /* UINT32_MAX is both "fired" and "can never be ready": neither counts down. */
    if (missing[consumers[i]] != BBW_OP_FIRED) { missing[consumers[i]]--; }
  }
  return true;
}

void bbw_frame_wake(bbw_engine *engine, bbw_frame *frame, uint32_t site) {
  const bbw_graph *graph = frame->graph;
  const uint32_t *consumers = graph->consumers + graph->sites[site].consumer_first;
  if (frame->slots[site] == NULL) { return; }
  const uint32_t *missing = bbw_frame_missing(frame);
  for (uint32_t i = 0; i < graph->sites[site].consumer_count; i++) {
    uint32_t op = consumers[i];
    if (missing[op] == 0 || graph->ops[op].readiness == BBW_READY_ANY) { bbw_frame_queue(engine, frame, op); }
  }
}

void bbw_frame_start_part(bbw_engine *engine, bbw_frame *frame, uint32_t part) {
  const bbw_graph *graph = frame->graph;
  for (uint32_t i = 0; i < graph->starter_count; i++) {
    uint32_t op = graph->starters[i];
    if (part == BBW_NO_INDEX || graph->ops[op].part == part) { bbw_frame_queue(engine, frame, op); }
  }
}

static void frame_clear(bbw_engine *engine, bbw_frame *frame) {
  uint64_t filled = 0;
  for (uint32_t i = 0, count = frame->graph->site_count; i < count; i++) {
    bbw_value *value = frame->slots[i];
    if (value == NULL) { continue; }
    frame->slots[i] = NULL;
    filled++;
    if (--value->refs != 0) { continue; } /* most values are in several slots */
    value->refs = 1;
    bbw_value_release(value, engine->mem);
  }
  engine->slot_count -= filled;
  bbw_engine_release(engine, frame->charge);
  bbw_inbound_release(frame->inbound, engine->mem);
  frame->inbound = NULL;
}

void bbw_frame_drop(bbw_engine *engine, bbw_frame *frame) {
  bbw_graph *graph = frame->graph;
  if (frame->boot != NULL) { frame->boot->state = BBW_BOOT_ENDED; }
  frame_clear(engine, frame);
  *(frame->prev != NULL ? &frame->prev->next : &engine->frames_first) = frame->next;
  *(frame->next != NULL ? &frame->next->prev : &engine->frames_last) = frame->prev;
  engine->frame_count--;
  engine->frontier_reserved -= frame->undispatched;
  engine->outputs_reserved -= graph->is_entry_point ? graph->function->output.count : 0;
  if (graph->idle_frame_count < graph->idle_frame_max) {
    frame->next = graph->idle_frames;
    graph->idle_frames = frame;
    graph->idle_frame_count++;
  } else {
    frame_free_memory(frame, engine->mem);
  }
}

void bbw_frame_end_if_idle(bbw_engine *engine, bbw_frame *frame) {
  while (frame != NULL && frame->work == 0) {
    bbw_frame *parent = frame->parent;
    bbw_frame_drop(engine, frame);
    if (parent != NULL) { parent->work--; }
    frame = parent;
  }
}

void bbw_frame_work_done(bbw_engine *engine, bbw_frame *frame) {
  assert(frame->work > 0);
  frame->work--;
  bbw_frame_end_if_idle(engine, frame);
}
