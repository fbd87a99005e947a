/*
 * queue: what happens next?
 *
 * Events in the order of their times, and at equal times in that of their push.  What happens within the present day, some 0.1 ms, is in a heap that the caches of the machine hold; what comes
 * later waits in the list of its day, without an order, and what comes after all days of the calendar in a heap of its own.  So an event costs about the same with a hundred thousand of them as with a
 * hundred: it is written to the end of a list, read from it once, and ordered among those of its day.
 */
#ifndef SIM_QUEUE_H
#define SIM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two to a line of the machine's caches. */
typedef struct sim_event {
  uint64_t at_ns;
  uint64_t rank; /* its number among all that were pushed << 28 | node << 4 | kind */
  uint64_t a;
  void *p;
} sim_event;

#define SIM_EVENT_NODES (1u << 24)
#define SIM_EVENT_KINDS (1u << 4)

static inline uint32_t sim_event_node(const sim_event *event) {
  return (uint32_t)(event->rank >> 4) & (SIM_EVENT_NODES - 1);
}
static inline uint32_t sim_event_kind_of(const sim_event *event) {
  return (uint32_t)event->rank & (SIM_EVENT_KINDS - 1);
}

typedef struct sim_heap {
  sim_event *
      items; /* the root is at 3, children of i at 4 * (i - 2) and the three places behind it, so that they share their lines */
  void *block; /* where items lies, aligned to a line */
  size_t count, cap;
} sim_heap;

typedef struct sim_day {
  sim_event *items;
  size_t count, cap;
} sim_day;

/* Events that are known in their order, so that what they need can be fetched while others happen. */
#define SIM_AHEAD 16u

#define SIM_DAY_SHIFT 17u /* a day: 2^17 ns */
#define SIM_DAYS      256u

/* A zeroed queue is empty and good. */
typedef struct sim_queue {
  sim_event ahead[SIM_AHEAD]; /* the very next: a ring from ahead_first on, in order */
  size_t ahead_first, ahead_count;
  sim_heap near, far; /* up to today; after the calendar */
  sim_day days[SIM_DAYS];
  uint64_t today;
  size_t waiting; /* in days */
  size_t count;   /* in all */
  uint64_t pushed;
} sim_queue;

/* node is below SIM_EVENT_NODES, kind below SIM_EVENT_KINDS. */
void sim_queue_push(sim_queue *queue, uint64_t at_ns, uint32_t kind, uint32_t node, uint64_t a, void *p);
bool sim_queue_pop(sim_queue *queue, sim_event *out);
/* Event i from the next one on, 0 to SIM_AHEAD - 1; NULL when it is not known yet, or there is none.  What is pushed later may come before it. */
const sim_event *sim_queue_ahead(const sim_queue *queue, size_t i);
void sim_queue_free(sim_queue *queue);

#endif
