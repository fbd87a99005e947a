/*
 * bus: events inside a node that graphs can react to.
 *
 * Only the fact that an event of a kind happened reaches a graph, so an event is the index of its kind.  Kinds exist while something subscribes to them; publishing another kind costs
 * a look-up.  At the cap the oldest event is dropped and counted.  Source: engine specification §13.
 */
#ifndef BBW_ENGINE_BUS_H
#define BBW_ENGINE_BUS_H

#include "base/vec.h"
#include "bbw/error.h"

typedef struct bbw_graph bbw_graph;

/* An EventSource op: its output fires when an event of the kind is routed. */
typedef struct bbw_subscription {
  bbw_str kind; /* lives in the model */
  bbw_graph *graph;
  uint32_t op;
} bbw_subscription;

typedef struct bbw_bus {
  bbw_vec subscriptions; /* bbw_subscription, in order of install */
  uint32_t *events;      /* ring of kinds: index of the first subscription with that kind */
  size_t cap;
  size_t head;
  size_t count;
  uint64_t dropped;     /* in all */
  uint64_t dropped_new; /* since BusOverflow was published last */
  const bbw_mem *mem;
} bbw_bus;

/* cap >= 1.  Allocates nothing until something subscribes. */
void bbw_bus_init(bbw_bus *bus, size_t cap, const bbw_mem *mem);
void bbw_bus_free(bbw_bus *bus);
/* Another capacity, at least 1; what does not fit any more is dropped, oldest first, and counted.  BBW_OK or BBW_E_NOMEM. */
bbw_status bbw_bus_set_cap(bbw_bus *bus, size_t cap);
bbw_status bbw_bus_subscribe(bbw_bus *bus, bbw_str kind, bbw_graph *graph, uint32_t op);
/* Never fails: the queue was allocated with the first subscription. */
void bbw_bus_publish(bbw_bus *bus, bbw_str kind);
/* Oldest event; false when empty. */
bool bbw_bus_pop(bbw_bus *bus, uint32_t *kind);

#endif
