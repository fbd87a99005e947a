/*
 * hash: FNV-1a 64 (type hashes, RTT sites), a mixer of 64 bits, and SipHash-1-3 with key 0 (partition names; install specification §3.1).
 */
#ifndef BBW_BASE_HASH_H
#define BBW_BASE_HASH_H

#include "bbw/base.h"

#define BBW_FNV1A_OFFSET 0xcbf29ce484222325u

/* Continues from `hash`; start with BBW_FNV1A_OFFSET. */
uint64_t bbw_fnv1a(uint64_t hash, bbw_bytes bytes);

/* The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every input bit reaches every output bit. */
static inline uint64_t bbw_mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Streaming SipHash-1-3, key (0, 0).  Writes are concatenated. */
typedef struct bbw_siphash {
  uint64_t v0, v1, v2, v3;
  uint64_t tail;   /* bytes of the unfinished word */
  uint64_t length; /* bytes seen */
} bbw_siphash;

void bbw_siphash_init(bbw_siphash *h);
void bbw_siphash_write(bbw_siphash *h, bbw_bytes bytes);
uint64_t bbw_siphash_finish(const bbw_siphash *h);

#endif
