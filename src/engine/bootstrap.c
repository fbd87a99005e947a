#include "engine/bootstrap.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "engine/engine.h"

void bbw_bootstrap_init(bbw_bootstrap *bootstrap, const bbw_mem *mem) {
  *bootstrap = (bbw_bootstrap){.component_count = 0};
  bbw_vec_init(&bootstrap->targets, sizeof(bbw_boot_target), mem);
  bbw_vec_init(&bootstrap->runs, sizeof(bbw_boot_run *), mem);
}

static bbw_boot_target *target_at(const bbw_bootstrap *bootstrap, size_t i) {
  return BBW_VEC_AT(&bootstrap->targets, bbw_boot_target, i);
}
static bbw_boot_run *run_at(const bbw_bootstrap *bootstrap, size_t i) {
  return *BBW_VEC_AT(&bootstrap->runs, bbw_boot_run *, i);
}

void bbw_bootstrap_clear(bbw_engine *engine) {
  bbw_bootstrap *bootstrap = &engine->bootstrap;
  for (size_t i = 0; i < bootstrap->runs.count; i++) { bbw_bootstrap_run_del(engine, run_at(bootstrap, i)); }
  bootstrap->runs.count = 0;
  bootstrap->ended = 0;
  bootstrap->is_waiting_reported = false;
}

void bbw_bootstrap_free(bbw_engine *engine) {
  bbw_bootstrap *bootstrap = &engine->bootstrap;
  bbw_bootstrap_clear(engine);
  for (size_t i = 0; i < bootstrap->targets.count; i++) {
    bbw_mem_array_free(engine->mem, target_at(bootstrap, i)->touches, bootstrap->component_count + 1, sizeof(bool));
  }
  bbw_vec_free(&bootstrap->runs);
  bbw_vec_free(&bootstrap->targets);
}

/* Marks the components of a graph and of the functions that it calls. */
static bbw_status find_touches(const bbw_engine *engine, bbw_graph *start, bool *touches) {
  size_t count = engine->graphs.count;
  bool *is_seen = bbw_mem_array(engine->mem, count, sizeof(bool));
  bbw_graph **stack = bbw_mem_array(engine->mem, count, sizeof(*stack));
  bool ok = is_seen != NULL && stack != NULL;
  size_t depth = 0;
  if (ok) {
    stack[depth++] = start;
    is_seen[start->index] = true;
  }
  while (depth != 0) {
    const bbw_graph *graph = stack[--depth];
    for (uint32_t i = 0; i < graph->op_count; i++) {
      const bbw_op *op = &graph->ops[i];
      if (op->kind == BBW_DISPATCH_COMPONENT) { touches[op->component] = true; }
      if (op->kind != BBW_DISPATCH_CALL || is_seen[op->callee->index]) { continue; }
      is_seen[op->callee->index] = true;
      stack[depth++] = op->callee;
    }
  }
  bbw_mem_array_free(engine->mem, is_seen, count, sizeof(bool));
  bbw_mem_array_free(engine->mem, stack, count, sizeof(*stack));
  return ok ? BBW_OK : BBW_E_NOMEM;
}

bbw_status bbw_bootstrap_register(bbw_engine *engine) {
  bbw_bootstrap *bootstrap = &engine->bootstrap;
  bootstrap->component_count = engine->components.count;
  for (size_t g = 0; g < engine->graphs.count; g++) {
    bbw_graph *graph = bbw_engine_graph(engine, g);
    if (!graph->is_bootstrap) { continue; }
    bbw_boot_target *target = bbw_vec_push(&bootstrap->targets);
    if (target == NULL) { return BBW_E_NOMEM; }
    target->name = graph->function->name;
    target->is_component = graph->boot_component != BBW_NO_INDEX;
    target->graph = graph;
    target->touches = bbw_mem_array(engine->mem, bootstrap->component_count + 1, sizeof(bool));
    if (target->touches == NULL) { return BBW_E_NOMEM; }
    bbw_status rv = find_touches(engine, graph, target->touches);
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

uint32_t bbw_bootstrap_find(const bbw_bootstrap *bootstrap, bbw_str name, bool is_component) {
  for (size_t i = 0; i < bootstrap->targets.count; i++) {
    const bbw_boot_target *target = target_at(bootstrap, i);
    if (target->is_component == is_component && bbw_str_equal(target->name, name)) { return (uint32_t)i; }
  }
  return BBW_NO_INDEX;
}

bool bbw_bootstrap_is_open(const bbw_bootstrap *bootstrap, uint32_t target) {
  for (size_t i = 0; i < bootstrap->runs.count; i++) {
    if (run_at(bootstrap, i)->target == target) { return true; }
  }
  return false;
}

bool bbw_bootstrap_reserve(bbw_bootstrap *bootstrap, size_t count) { return bbw_vec_reserve(&bootstrap->runs, count); }

bbw_boot_run *bbw_bootstrap_run_new(const bbw_mem *mem, uint32_t target) {
  bbw_boot_run *run = bbw_mem_array(mem, 1, sizeof(*run));
  if (run != NULL) { run->target = target; }
  return run;
}

void bbw_bootstrap_run_del(bbw_engine *engine, bbw_boot_run *run) {
  if (run == NULL) { return; }
  bbw_engine_drop_seeds(engine, run->seeds, run->seed_count);
  bbw_mem_array_free(engine->mem, run->seeds, run->seed_count, sizeof(bbw_seed));
  bbw_mem_array_free(engine->mem, run, 1, sizeof(*run));
}

void bbw_bootstrap_add(bbw_bootstrap *bootstrap, bbw_boot_run *run) {
  bool ok = bbw_vec_append(&bootstrap->runs, &run, 1);
  (void)ok; /* reserved by the caller */
  bootstrap->is_waiting_reported = false;
}

static bool touch_each_other(const bbw_bootstrap *bootstrap, const bbw_boot_run *a, const bbw_boot_run *b) {
  if (a->target == b->target) { return true; }
  for (size_t i = 0; i < bootstrap->component_count; i++) {
    if (target_at(bootstrap, a->target)->touches[i] && target_at(bootstrap, b->target)->touches[i]) { return true; }
  }
  return false;
}

static void retire_ended(bbw_engine *engine) {
  bbw_bootstrap *bootstrap = &engine->bootstrap;
  bbw_boot_run **runs = bootstrap->runs.items;
  size_t kept = 0;
  for (size_t i = 0; i < bootstrap->runs.count; i++) {
    bbw_boot_run *run = runs[i];
    if (run->state != BBW_BOOT_ENDED) {
      runs[kept++] = run;
      continue;
    }
    if (!run->has_failed) { target_at(bootstrap, run->target)->is_done = true; }
    bootstrap->ended++;
    bootstrap->is_waiting_reported = false;
    bbw_bootstrap_run_del(engine, run);
    bbw_engine_unlock(engine); /* what is still locked by another run is put aside again */
  }
  bootstrap->runs.count = kept;
}

static bool can_start(const bbw_bootstrap *bootstrap, size_t index) {
  const bbw_boot_run *run = run_at(bootstrap, index);
  if (run->state != BBW_BOOT_QUEUED || (run->is_chained && index != 0)) { return false; }
  for (size_t i = 0; i < index; i++) {
    if (touch_each_other(bootstrap, run_at(bootstrap, i), run)) { return false; }
  }
  return true;
}

/* False when there was no room; the run stays queued. */
static bool start_run(bbw_engine *engine, bbw_boot_run *run) {
  bbw_graph *graph = target_at(&engine->bootstrap, run->target)->graph;
  bbw_frame *frame;
  bbw_status rv = bbw_frame_new(&frame, engine, graph, NULL);
  if (rv != BBW_OK) {
    bbw_engine_note_held(engine, rv);
    return false;
  }
  run->state = BBW_BOOT_RUNNING;
  frame->boot = run;
  for (size_t i = 0; i < run->seed_count; i++) {
    bbw_engine_write(engine, frame, run->seeds[i].site, run->seeds[i].value, run->seeds[i].charge);
  }
  bbw_frame_start_part(engine, frame, BBW_NO_INDEX);
  for (size_t i = 0; i < run->seed_count; i++) { bbw_frame_wake(engine, frame, run->seeds[i].site); }
  bbw_mem_array_free(engine->mem, run->seeds, run->seed_count, sizeof(bbw_seed));
  run->seeds = NULL;
  run->seed_count = 0;
  bbw_frame_end_if_idle(engine, frame);
  return true;
}

bool bbw_bootstrap_advance(bbw_engine *engine) {
  bbw_bootstrap *bootstrap = &engine->bootstrap;
  bool has_started = false;
  bool is_changed = bootstrap->runs.count != 0;
  while (is_changed && engine->poll_status == BBW_OK) {
    is_changed = false;
    retire_ended(engine);
    for (size_t i = 0; i < bootstrap->runs.count; i++) {
      if (!can_start(bootstrap, i)) { continue; }
      if (!start_run(engine, run_at(bootstrap, i))) { return has_started; }
      has_started = true;
      is_changed = true; /* one without work is over at once and lets the next one start */
    }
  }
  return has_started;
}

/* The run that an execution belongs to, through its callers; NULL if none. */
static bbw_boot_run *run_of(const bbw_frame *frame) {
  while (frame->parent != NULL) { frame = frame->parent; }
  return frame->boot;
}

bool bbw_bootstrap_locks(const bbw_engine *engine, const bbw_frame *frame, const bbw_op *op) {
  const bbw_bootstrap *bootstrap = &engine->bootstrap;
  if (bootstrap->runs.count == 0 || op->kind != BBW_DISPATCH_COMPONENT) { return false; }
  if (run_of(frame) != NULL) { return false; }
  for (size_t i = 0; i < bootstrap->runs.count; i++) {
    const bbw_boot_run *run = run_at(bootstrap, i);
    if (run->state == BBW_BOOT_RUNNING && target_at(bootstrap, run->target)->touches[op->component]) { return true; }
  }
  return false;
}

void bbw_bootstrap_note_failure(const bbw_frame *frame) {
  bbw_boot_run *run = run_of(frame);
  if (run != NULL) { run->has_failed = true; }
}

bool bbw_bootstrap_is_pending(const bbw_bootstrap *bootstrap) { return bootstrap->runs.count != 0; }

bool bbw_bootstrap_is_running(const bbw_bootstrap *bootstrap) {
  for (size_t i = 0; i < bootstrap->runs.count; i++) {
    if (run_at(bootstrap, i)->state == BBW_BOOT_RUNNING) { return true; }
  }
  return false;
}
