/*
 * pool: where do the Nodes of a run live?
 *
 * Close together: blocks of a few classes of sizes, one behind the other in large regions, which the system gives in huge pages where it has them.  A freed block is the next of its class that is
 * given, to whichever Node asks, so what lives for one poll only (frames, values, envelopes that leave) stays in the caches of the machine, with ten thousand Nodes as with ten.  Nodes are
 * told so (is_mem_pooled) and keep no idle blocks of their own.
 *
 * Blocks above SIM_POOL_BLOCK_MAX, and all of them in builds with AddressSanitizer, come from malloc, so that it sees every overflow and every leak.  Only places differ from malloc's:
 * regions are never refused, as all memory of the simulator (base.h), and large blocks as malloc refuses them.
 */
#ifndef SIM_POOL_H
#define SIM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_POOL_BLOCK_MAX 16384u
/* Steps of 16 bytes up to 1,024, then four to each doubling. */
#define SIM_POOL_CLASSES 80u

/* A zeroed pool is empty and good. */
typedef struct sim_pool {
  void *idle[SIM_POOL_CLASSES]; /* freed blocks of each class; a block begins with the next one */
  uint8_t *at, *end;            /* what is left of the youngest region */
  void *regions;                /* the youngest first */
  size_t region_bytes;          /* of the next one */
  bool is_kept;                 /* regions with AddressSanitizer too; a test of the pool sets it */
} sim_pool;

/* Aligned to 16, not cleared.  NULL for a large block that malloc refuses. */
void *sim_pool_alloc(sim_pool *pool, size_t size);
/* size is what was asked for; NULL does nothing. */
void sim_pool_free(sim_pool *pool, void *block, size_t size);
/* A region of its own for so many zeroed bytes, until the end of the pool; never NULL. */
void *sim_pool_zeroed(sim_pool *pool, size_t size);
/* Gives all regions back, with what is left in them; large blocks must have been freed. */
void sim_pool_end(sim_pool *pool);
/* The class of a size of at most SIM_POOL_BLOCK_MAX, and the bytes of its blocks. */
size_t sim_pool_class(size_t size);
size_t sim_pool_class_bytes(size_t class);

void *sim_need(void *p); /* what it was given; ends the program for NULL */

#endif
