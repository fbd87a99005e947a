#include "engine/ingress.h"

#include <assert.h>

#include "base/mem.h"

#define INGRESS_SIZE_MIN 16u

void bbw_ingress_init(bbw_ingress *ingress, size_t cap, const bbw_mem *mem) {
  *ingress = (bbw_ingress){.mem = mem, .cap = cap};
}

void bbw_ingress_free(bbw_ingress *ingress) {
  bbw_mem_array_free(ingress->mem, ingress->events, ingress->size, sizeof(*ingress->events));
  ingress->events = NULL;
  ingress->size = 0;
}

bbw_status bbw_ingress_reserve(bbw_ingress *ingress) {
  if (ingress->count >= ingress->cap) {
    ingress->dropped++;
    return BBW_E_INGRESS_FULL;
  }
  if (ingress->count < ingress->size) { return BBW_OK; }
  size_t size = ingress->size < INGRESS_SIZE_MIN ? INGRESS_SIZE_MIN : ingress->size * 2;
  if (size > ingress->cap) { size = ingress->cap; }
  bbw_ingress_event *events = bbw_mem_array(ingress->mem, size, sizeof(*events));
  if (events == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < ingress->count; i++) { events[i] = ingress->events[(ingress->head + i) % ingress->size]; }
  bbw_mem_array_free(ingress->mem, ingress->events, ingress->size, sizeof(*events));
  ingress->events = events;
  ingress->size = size;
  ingress->head = 0;
  return BBW_OK;
}

void bbw_ingress_push(bbw_ingress *ingress, const bbw_ingress_event *event) {
  assert(ingress->count < ingress->size);
  ingress->events[(ingress->head + ingress->count++) % ingress->size] = *event;
}

bool bbw_ingress_pop(bbw_ingress *ingress, bbw_ingress_event *out) {
  if (ingress->count == 0) { return false; }
  *out = ingress->events[ingress->head];
  ingress->head = (ingress->head + 1) % ingress->size;
  ingress->count--;
  return true;
}

void bbw_inbound_event_del(bbw_inbound_event *event, const bbw_mem *mem) {
  if (event == NULL) { return; }
  bbw_arena_free(&event->arena);
  bbw_mem_array_free(mem, event, 1, sizeof(*event));
}
