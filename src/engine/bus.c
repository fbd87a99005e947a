#include "engine/bus.h"

#include "base/bytes.h"
#include "base/mem.h"

void bbw_bus_init(bbw_bus *bus, size_t cap, const bbw_mem *mem) {
  *bus = (bbw_bus){.cap = cap, .mem = mem};
  bbw_vec_init(&bus->subscriptions, sizeof(bbw_subscription), mem);
}

void bbw_bus_free(bbw_bus *bus) {
  bbw_vec_free(&bus->subscriptions);
  bbw_mem_array_free(bus->mem, bus->events, bus->cap, sizeof(uint32_t));
  bus->events = NULL;
  bus->count = 0;
}

bbw_status bbw_bus_set_cap(bbw_bus *bus, size_t cap) {
  if (bus->events != NULL && cap != bus->cap) {
    uint32_t *events = bbw_mem_array(bus->mem, cap, sizeof(uint32_t));
    if (events == NULL) { return BBW_E_NOMEM; }
    size_t kept = bus->count < cap ? bus->count : cap;
    size_t lost = bus->count - kept;
    for (size_t i = 0; i < kept; i++) { events[i] = bus->events[(bus->head + lost + i) % bus->cap]; }
    bbw_mem_array_free(bus->mem, bus->events, bus->cap, sizeof(uint32_t));
    bus->events = events;
    bus->head = 0;
    bus->count = kept;
    bus->dropped += lost;
    bus->dropped_new += lost;
  }
  bus->cap = cap;
  return BBW_OK;
}

bbw_status bbw_bus_subscribe(bbw_bus *bus, bbw_str kind, bbw_graph *graph, uint32_t op) {
  if (bus->events == NULL) { bus->events = bbw_mem_array(bus->mem, bus->cap, sizeof(uint32_t)); }
  if (bus->events == NULL) { return BBW_E_NOMEM; }
  bbw_subscription *subscription = bbw_vec_push(&bus->subscriptions);
  if (subscription == NULL) { return BBW_E_NOMEM; }
  *subscription = (bbw_subscription){.kind = kind, .graph = graph, .op = op};
  return BBW_OK;
}

void bbw_bus_publish(bbw_bus *bus, bbw_str kind) {
  for (size_t i = 0; i < bus->subscriptions.count; i++) {
    if (!bbw_str_equal(BBW_VEC_AT(&bus->subscriptions, bbw_subscription, i)->kind, kind)) { continue; }
    if (bus->count == bus->cap) {
      bus->head = (bus->head + 1) % bus->cap;
      bus->count--;
      bus->dropped++;
      bus->dropped_new++;
    }
    bus->events[(bus->head + bus->count++) % bus->cap] = (uint32_t)i;
    return;
  }
}

bool bbw_bus_pop(bbw_bus *bus, uint32_t *kind) {
  if (bus->count == 0) { return false; }
  *kind = bus->events[bus->head];
  bus->head = (bus->head + 1) % bus->cap;
  bus->count--;
  return true;
}
