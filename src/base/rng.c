#include "base/rng.h"

#include <assert.h>

static uint64_t rotate(uint64_t x, unsigned by) { return x << by | x >> (64 - by); }

static uint64_t splitmix64(uint64_t *state) {
  *state += 0x9e3779b97f4a7c15u;
  uint64_t z = *state;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

void bbw_rng_init(bbw_rng *rng, uint64_t seed) {
  for (size_t i = 0; i < 4; i++) { rng->s[i] = splitmix64(&seed); }
}

uint64_t bbw_rng_next(bbw_rng *rng) {
  uint64_t *s = rng->s;
  uint64_t result = rotate(s[1] * 5, 7) * 9;
  uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

uint64_t bbw_rng_below(bbw_rng *rng, uint64_t limit) {
  assert(limit > 0);
  uint64_t uneven = (0 - limit) % limit; /* 2^64 mod limit: the lowest numbers that would make some results likelier */
  uint64_t x = bbw_rng_next(rng);
  while (x < uneven) { x = bbw_rng_next(rng); }
  return x % limit;
}
