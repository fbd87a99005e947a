#include "node_check.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "bbw/step.h"
#include "node/node.h"

#define REQUIRE(condition)         \
  do {                             \
    if (!(condition)) { abort(); } \
  } while (0)

enum { SUSPENDED = 1, ENDED = 2 };

void node_check_init(node_check *check) {
  *check = (node_check){.step_count = 0};
  bbw_map_init(&check->ended, 0xc4ec, &bbw_mem_libc);
}

void node_check_free(node_check *check) { bbw_map_free(&check->ended); }

/* ---- steps ---------------------------------------------------------------------------------------------------------- */

static uint64_t key_of(const bbw_step *step) {
  uint64_t words[2] = {bbw_step_u64(step, "exec_id"), bbw_step_u64(step, "op_ref")};
  return bbw_fnv1a(BBW_FNV1A_OFFSET, (bbw_bytes){(const uint8_t *)words, sizeof(words)});
}

static void note_once(node_check *check, const bbw_step *step, uint64_t state) {
  uint64_t before = 0;
  (void)bbw_map_get(&check->ended, key_of(step), &before);
  REQUIRE(before < state); /* an end after a suspension; nothing after an end; no second suspension */
  REQUIRE(bbw_map_put(&check->ended, key_of(step), state));
}

/* Place of a step in a poll: 0 = while operators run, then the output in its order. */
static unsigned place_of(const bbw_step *step) {
  switch (step->kind) {
  case BBW_STEP_SEND_ENVELOPE: return 1;
  case BBW_STEP_PEER_RESOLVE_FAILED: return 2;
  case BBW_STEP_OUTBOUND_DROPPED: return 3;
  case BBW_STEP_CYCLE_BUDGET_EXCEEDED: return 4;
  case BBW_STEP_BOOTSTRAP_COMPLETE: return 5;
  case BBW_STEP_WAITING_ON_BOOTSTRAP: return 6;
  case BBW_STEP_APP_EVENT: return bbw_step_text(step, "module_name").len == 0 ? 7 : 0;
  default: return 0;
  }
}

void node_check_steps(node_check *check, bbw_bytes steps) {
  unsigned place = 0, count = 0;
  bbw_step step;
  for (size_t at = 0; bbw_steps_next(steps, &at, &step);) {
    unsigned here = place_of(&step);
    REQUIRE(here >= place);
    count = here == place ? count + 1 : 1;
    place = here;
    REQUIRE(count == 1 || (place != 3 && place != 4 && place != 6));
    if (step.kind == BBW_STEP_ASYNC_SUSPENDED) { note_once(check, &step, SUSPENDED); }
    if (step.kind == BBW_STEP_OP_COMPLETED || step.kind == BBW_STEP_OP_FAILED) { note_once(check, &step, ENDED); }
    check->step_count++;
  }
}

/* ---- state ---------------------------------------------------------------------------------------------------------- */

static uint64_t seeds_charge(const bbw_seed *seeds, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++) { sum += seeds[i].charge; }
  return sum;
}

static uint64_t held_charge(const bbw_engine *engine) {
  uint64_t sum = 0;
  for (const bbw_frame *frame = engine->frames_first; frame != NULL; frame = frame->next) { sum += frame->charge; }
  for (size_t i = 0; i < engine->ingress.count; i++) {
    const bbw_ingress_event *event = &engine->ingress.events[(engine->ingress.head + i) % engine->ingress.size];
    sum += seeds_charge(bbw_ingress_seeds(event), event->seed_count);
    if (event->envelope != NULL) { sum += event->envelope->charge; }
  }
  for (size_t i = 0; i < engine->bootstrap.runs.count; i++) {
    const bbw_boot_run *run = *BBW_VEC_AT(&engine->bootstrap.runs, bbw_boot_run *, i);
    sum += seeds_charge(run->seeds, run->seed_count);
  }
  uint64_t named = 0;
  for (size_t i = 0; i < engine->named.entries.count; i++) {
    const bbw_named_entry *entry = *BBW_VEC_AT(&engine->named.entries, bbw_named_entry *, i);
    for (size_t k = entry->values_head; k < entry->values.count; k++) {
      named += bbw_named_owed(*BBW_VEC_AT(&entry->values, bbw_value *, k));
    }
  }
  REQUIRE(named == engine->named.held_bytes);
  return sum + named;
}

static uint32_t queued_in(const bbw_frontier *queue, const bbw_frame *frame) {
  uint32_t sum = 0;
  for (size_t i = 0; i < queue->count; i++) {
    sum += queue->entries[(queue->head + i) & (queue->cap - 1)].frame == frame;
  }
  return sum;
}

/* What keeps an execution alive, counted from outside. */
static uint32_t work_of(const bbw_engine *engine, const bbw_frame *frame) {
  uint32_t sum = queued_in(&engine->frontier, frame) + queued_in(&engine->locked, frame);
  for (size_t i = 0; i < engine->async.entries.count; i++) {
    const bbw_parked *parked = BBW_VEC_AT(&engine->async.entries, bbw_parked, i);
    sum += parked->state != BBW_PARKED_FREE && parked->frame == frame;
  }
  for (const bbw_frame *other = engine->frames_first; other != NULL; other = other->next) {
    sum += other->parent == frame;
  }
  return sum;
}

void node_check_state(const bbw_node *node) {
  const bbw_engine *engine = &node->engine;
  REQUIRE(engine->bytes_in_flight == held_charge(engine));
  uint64_t frames = 0, slots = 0, deadlines = 0, resumed = 0;
  bool is_small = engine->frame_count <= 64; /* the count is quadratic */
  for (const bbw_frame *frame = engine->frames_first; frame != NULL; frame = frame->next, frames++) {
    REQUIRE(frame->work > 0);
    if (is_small) { REQUIRE(frame->work == work_of(engine, frame)); }
    for (uint32_t i = 0; i < frame->graph->site_count; i++) { slots += frame->slots[i] != NULL; }
  }
  REQUIRE(frames == engine->frame_count && slots == engine->slot_count);
  for (size_t i = 0; i < engine->async.entries.count; i++) {
    const bbw_parked *parked = BBW_VEC_AT(&engine->async.entries, bbw_parked, i);
    bool has_deadline = parked->state == BBW_PARKED_WAITING && parked->deadline_ns != BBW_NEVER_NS;
    REQUIRE(has_deadline == (parked->state != BBW_PARKED_FREE && parked->heap_at != UINT32_MAX));
    deadlines += has_deadline;
    if (parked->state == BBW_PARKED_FREE) { continue; }
    bool is_sliced = bbw_engine_is_sliced(engine, &parked->frame->graph->ops[parked->op]);
    REQUIRE(parked->is_resumed == (is_sliced && parked->state == BBW_PARKED_WAITING));
    resumed += parked->is_resumed;
  }
  REQUIRE(deadlines == engine->async.heap.count && resumed == engine->async.resumed.count);
  for (uint64_t i = 1; i < resumed; i++) {
    const uint64_t *ids = engine->async.resumed.items;
    REQUIRE(ids[i - 1] < ids[i]);
  }
}
