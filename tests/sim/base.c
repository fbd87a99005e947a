#include "base.h"

#include <stdlib.h>
#include <string.h>

uint64_t sim_mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

sim_rng sim_rng_new(uint64_t seed, uint64_t stream) { return (sim_rng){sim_mix(seed) ^ sim_mix(~stream)}; }

uint64_t sim_rng_next(sim_rng *rng) { return sim_mix(rng->state += 0x9e3779b97f4a7c15u); }

uint64_t sim_rng_below(sim_rng *rng, uint64_t limit) { return sim_rng_next(rng) % limit; }

uint64_t sim_rng_between(sim_rng *rng, uint64_t low, uint64_t high) { return low + sim_rng_below(rng, high - low + 1); }

bool sim_rng_chance(sim_rng *rng, uint64_t ppm) { return sim_rng_below(rng, 1000000) < ppm; }

void *sim_alloc(size_t size) { return sim_need(calloc(1, size == 0 ? 1 : size)); }

void *sim_grow(void *items, size_t *cap, size_t need, size_t item_bytes) {
  if (need <= *cap) { return items; }
  size_t next = *cap + *cap / 2;
  if (*cap == 0 && need < 16) { next = 16; }
  if (next < need) { next = need; }
  void *p = sim_need(next > SIZE_MAX / item_bytes ? NULL : realloc(items, next * item_bytes));
  *cap = next;
  return p;
}

void sim_buf_put(sim_buf *buf, const void *bytes, size_t len) {
  if (len == 0) { return; }
  buf->bytes = sim_grow(buf->bytes, &buf->cap, buf->len + len, 1);
  memcpy(buf->bytes + buf->len, bytes, len);
  buf->len += len;
}

void sim_buf_u8(sim_buf *buf, uint8_t byte) { sim_buf_put(buf, &byte, 1); }

void sim_buf_u32(sim_buf *buf, uint32_t value) {
  uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};
  sim_buf_put(buf, bytes, 4);
}

void sim_buf_u64(sim_buf *buf, uint64_t value) {
  uint8_t bytes[8];
  sim_store_u64(bytes, value);
  sim_buf_put(buf, bytes, 8);
}

void sim_buf_free(sim_buf *buf) {
  free(buf->bytes);
  *buf = (sim_buf){NULL, 0, 0};
}

uint64_t sim_load_u64(const uint8_t *b) { /* one load, as compilers see it */
  return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 | (uint64_t)b[4] << 32 |
         (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;
}

void sim_store_u64(uint8_t *bytes, uint64_t value) {
  for (size_t i = 0; i < 8; i++) { bytes[i] = (uint8_t)(value >> 8 * i); }
}

static void *mem_alloc(void *ctx, size_t size) {
  sim_mem *mem = ctx;
  void *p = sim_pool_alloc(mem->pool, size);
  if (p == NULL) { return NULL; }
  mem->live_bytes += size;
  mem->live_count++;
  *mem->total += size;
  return p;
}

static void mem_free(void *ctx, void *p, size_t size) {
  sim_mem *mem = ctx;
  if (p == NULL) { return; }
  mem->live_bytes -= size;
  mem->live_count--;
  *mem->total -= size;
  sim_pool_free(mem->pool, p, size);
}

void sim_mem_init(sim_mem *mem, sim_pool *pool, uint64_t *total) {
  *mem = (sim_mem){.mem = {mem, mem_alloc, mem_free}, .total = total, .pool = pool};
}
