/*
 * rng: random numbers from a seed, the same everywhere.
 *
 * xoshiro256** started by SplitMix64.  Not for secrets.
 */
#ifndef BBW_BASE_RNG_H
#define BBW_BASE_RNG_H

#include "bbw/base.h"

typedef struct bbw_rng {
  uint64_t s[4];
} bbw_rng;

/* Any seed is good, also 0. */
void bbw_rng_init(bbw_rng *rng, uint64_t seed);
uint64_t bbw_rng_next(bbw_rng *rng);
/* A number in [0, limit), each equally likely; limit is at least 1. */
uint64_t bbw_rng_below(bbw_rng *rng, uint64_t limit);

#endif
