/*
 * base: what every part of the simulator stands on: random numbers, growing buffers, memory that counts.
 *
 * The generator is SplitMix64 (a Weyl sequence with step 0x9e3779b97f4a7c15 and Stafford's mixer 13).  A run has several streams (faults, network, scenario, ...), each started
 * from the seed and a number of its own, so that a change in one part does not shift what the others draw.  All arithmetic is on integers, so that every machine draws alike.
 * The simulator's own memory is never refused: running out of it ends the program.
 */
#ifndef SIM_BASE_H
#define SIM_BASE_H

#include "bbw/bbw.h"
#include "pool.h"
#include "queue.h"

typedef struct sim_rng {
  uint64_t state;
} sim_rng;

uint64_t sim_mix(uint64_t x); /* Stafford's mixer 13 */
sim_rng sim_rng_new(uint64_t seed, uint64_t stream);
uint64_t sim_rng_next(sim_rng *rng);
uint64_t sim_rng_below(sim_rng *rng,
                       uint64_t limit); /* [0, limit); limit at least 1; the bias is below 2^-32 for the limits used */
uint64_t sim_rng_between(sim_rng *rng, uint64_t low, uint64_t high); /* both ends included */
bool sim_rng_chance(sim_rng *rng, uint64_t ppm);                     /* true so many times in a million */

void *sim_alloc(size_t size); /* zeroed; ends the program when there is none */
void *sim_grow(void *items, size_t *cap, size_t need, size_t item_bytes);

typedef struct sim_buf {
  uint8_t *bytes;
  size_t len, cap;
} sim_buf;

void sim_buf_put(sim_buf *buf, const void *bytes, size_t len);
void sim_buf_u8(sim_buf *buf, uint8_t byte);
void sim_buf_u32(sim_buf *buf, uint32_t value); /* little-endian */
void sim_buf_u64(sim_buf *buf, uint64_t value);
void sim_buf_free(sim_buf *buf);

uint64_t sim_load_u64(const uint8_t *b);
void sim_store_u64(uint8_t *bytes, uint64_t value);

/* Memory of one Node.  live_bytes is 0 when everything was given back with the size that was asked for. */
typedef struct sim_mem {
  bbw_mem mem;
  uint64_t live_bytes, live_count;
  uint64_t *total; /* of all Nodes of a run */
  sim_pool *pool;
} sim_mem;

void sim_mem_init(sim_mem *mem, sim_pool *pool, uint64_t *total);

#endif
