/*
 * timers: what is due when.
 *
 * A binary heap by (time, order of scheduling), so equal times come out first in, first out.  Entries are not cancelled: whoever pops one whose subject is gone
 * ignores it.  Source: engine specification §11.5.
 */
#ifndef BBW_ENGINE_TIMERS_H
#define BBW_ENGINE_TIMERS_H

#include "base/vec.h"
#include "bbw/error.h"

/* Timers that a node holds; one more is refused. */
#define BBW_TIMERS_COUNT_MAX 65536u

typedef enum bbw_timer_kind {
  BBW_TIMER_COMMAND,  /* subject: the command that completes with a Trigger */
  BBW_TIMER_INTERVAL, /* subject: the op_ref that fires again */
} bbw_timer_kind;

typedef struct bbw_timer {
  uint64_t at_ns;
  uint64_t order;
  uint64_t subject;
  bbw_timer_kind kind;
} bbw_timer;

typedef struct bbw_timers {
  bbw_vec heap; /* bbw_timer */
  uint64_t next_order;
  size_t cap;       /* BBW_TIMERS_COUNT_MAX */
  uint64_t dropped; /* refused because the heap was full */
} bbw_timers;

void bbw_timers_init(bbw_timers *timers, const bbw_mem *mem);
void bbw_timers_free(bbw_timers *timers);
/* BBW_OK, BBW_E_LIMIT (counted in dropped) or BBW_E_NOMEM. */
bbw_status bbw_timers_add(bbw_timers *timers, uint64_t at_ns, bbw_timer_kind kind, uint64_t subject);
/* Removes and gives the earliest timer with at_ns <= now_ns; false if there is none. */
bool bbw_timers_pop_due(bbw_timers *timers, uint64_t now_ns, bbw_timer *out);
/* The earliest time; false when empty. */
bool bbw_timers_next(const bbw_timers *timers, uint64_t *at_ns);

#endif
