/*
 * phi: is a silent peer late, or gone?
 *
 * The phi-accrual value of the silence since the last sign of life, measured in the mean of the last BBW_PHI_INTERVALS_MAX intervals:
 * phi = silence / (mean * ln 10).  A running sum keeps both an observation and a query O(1).  Source: wire specification, §12.3.
 */
#ifndef BBW_PEERS_PHI_H
#define BBW_PEERS_PHI_H

#include "bbw/error.h"

#define BBW_PHI_INTERVALS_MAX 1000u
#define BBW_PHI_SUSPECT       8.0
#define BBW_PHI_DOWN          16.0

typedef enum bbw_phi_state { BBW_PHI_LIVE, BBW_PHI_STATE_SUSPECT, BBW_PHI_STATE_DOWN } bbw_phi_state;

typedef struct bbw_phi {
  const bbw_mem *mem;
  uint64_t *intervals; /* ring; grows up to BBW_PHI_INTERVALS_MAX */
  size_t size;
  size_t head;
  size_t count;
  uint64_t sum_ns;
  uint64_t last_seen_ns; /* 0 = never */
} bbw_phi;

void bbw_phi_init(bbw_phi *phi, const bbw_mem *mem);
void bbw_phi_free(bbw_phi *phi);

/* A sign of life.  The first one only sets the clock; a clock that goes back counts as an interval of 0.  When memory runs out the
 * interval is not remembered. */
void bbw_phi_heartbeat(bbw_phi *phi, uint64_t now_ns);
/* Into a fresh one: intervals, oldest first, at most BBW_PHI_INTERVALS_MAX.  BBW_OK or BBW_E_NOMEM. */
bbw_status bbw_phi_restore(bbw_phi *phi, const uint64_t *intervals, size_t count, uint64_t last_seen_ns);
/* 0 as long as nothing is known. */
double bbw_phi_value(const bbw_phi *phi, uint64_t now_ns);
bbw_phi_state bbw_phi_state_of(double value);
/* The earliest time at which the value may pass `threshold`; UINT64_MAX when nothing is known.  May be early by rounding, never late. */
uint64_t bbw_phi_due_ns(const bbw_phi *phi, double threshold);

#endif
