#include "engine/ingress.h"

#include <assert.h>
#include <string.h>

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
  size_t at = ingress->head + ingress->count++;
  ingress->events[at < ingress->size ? at : at - ingress->size] = *event;
}

bool bbw_ingress_pop(bbw_ingress *ingress, bbw_ingress_event *out) {
  if (ingress->count == 0) { return false; }
  *out = ingress->events[ingress->head];
  bbw_ingress_drop(ingress);
  return true;
}

void bbw_ingress_drop(bbw_ingress *ingress) {
  ingress->head = ingress->head + 1 < ingress->size ? ingress->head + 1 : 0;
  ingress->count--;
}

/* Lists of an envelope that is written in place: four fills and a dozen addresses. */
#define RESERVED_LISTS_BYTES 512u

static_assert(sizeof(bbw_inbound_event) % 8 == 0, "the lists behind it are aligned");

static bbw_inbound_event *event_new(size_t lists_bytes, size_t len, const bbw_mem *mem) {
  size_t bytes;
  if (!bbw_size_add(sizeof(bbw_inbound_event), lists_bytes, &bytes) || !bbw_size_add(bytes, len, &bytes)) {
    return NULL;
  }
  bbw_inbound_event *event = mem->alloc(mem->ctx, bytes);
  if (event == NULL) { return NULL; }
  event->inbound.shared = (bbw_shared){.refs = 1, .own_bytes = bytes};
  event->bytes = (bbw_bytes){(uint8_t *)(event + 1) + lists_bytes, len};
  event->charge = 0;
  return event;
}

bbw_inbound_event *bbw_inbound_event_new(const bbw_envelope_scan *scan, const bbw_mem *mem) {
  size_t lists_bytes;
  if (!bbw_envelope_lists_bytes(scan, &lists_bytes)) { return NULL; }
  bbw_inbound_event *event = event_new(lists_bytes, scan->bytes.len, mem);
  if (event == NULL) { return NULL; }
  if (scan->bytes.len != 0) { memcpy((uint8_t *)(event + 1) + lists_bytes, scan->bytes.ptr, scan->bytes.len); }
  bbw_envelope_place(scan, event->bytes.ptr, event + 1, &event->envelope);
  return event;
}

bbw_inbound_event *bbw_inbound_event_reserve(size_t len, uint8_t **bytes, const bbw_mem *mem) {
  bbw_inbound_event *event = event_new(RESERVED_LISTS_BYTES, len, mem);
  if (event != NULL) { *bytes = (uint8_t *)(event + 1) + RESERVED_LISTS_BYTES; }
  return event;
}

bool bbw_inbound_event_fill(bbw_inbound_event *event, const bbw_envelope_scan *scan) {
  size_t lists_bytes;
  if (!bbw_envelope_lists_bytes(scan, &lists_bytes) || lists_bytes > RESERVED_LISTS_BYTES) { return false; }
  bbw_envelope_place(scan, event->bytes.ptr, event + 1, &event->envelope);
  return true;
}

void bbw_inbound_event_del(bbw_inbound_event *event, const bbw_mem *mem) {
  if (event != NULL) { bbw_inbound_release(&event->inbound, mem); }
}
