#include "base/hash.h"

#include "base/bytes.h"

uint64_t bbw_fnv1a(uint64_t hash, bbw_bytes bytes) {
  for (size_t i = 0; i < bytes.len; i++) { hash = (hash ^ bytes.ptr[i]) * 0x00000100000001b3u; }
  return hash;
}

static uint64_t rotl(uint64_t x, unsigned n) { return x << n | x >> (64 - n); }

static void sip_round(bbw_siphash *h) {
  h->v0 += h->v1;
  h->v1 = rotl(h->v1, 13) ^ h->v0;
  h->v0 = rotl(h->v0, 32);
  h->v2 += h->v3;
  h->v3 = rotl(h->v3, 16) ^ h->v2;
  h->v0 += h->v3;
  h->v3 = rotl(h->v3, 21) ^ h->v0;
  h->v2 += h->v1;
  h->v1 = rotl(h->v1, 17) ^ h->v2;
  h->v2 = rotl(h->v2, 32);
}

static void sip_word(bbw_siphash *h, uint64_t word) {
  h->v3 ^= word;
  sip_round(h);
  h->v0 ^= word;
}

void bbw_siphash_init(bbw_siphash *h) {
  *h = (bbw_siphash){
      .v0 = 0x736f6d6570736575u, .v1 = 0x646f72616e646f6du, .v2 = 0x6c7967656e657261u, .v3 = 0x7465646279746573u};
}

void bbw_siphash_write(bbw_siphash *h, bbw_bytes bytes) {
  size_t i = 0;
  if (h->length % 8 == 0) { /* whole words at once */
    for (; bytes.len - i >= 8; i += 8) { sip_word(h, bbw_load_u64le(bytes.ptr + i)); }
    h->length += i;
  }
  for (; i < bytes.len; i++) {
    h->tail |= (uint64_t)bytes.ptr[i] << (8 * (h->length % 8));
    h->length++;
    if (h->length % 8 == 0) {
      sip_word(h, h->tail);
      h->tail = 0;
    }
  }
}

uint64_t bbw_siphash_finish(const bbw_siphash *h) {
  bbw_siphash end = *h;
  sip_word(&end, h->tail | (h->length & 0xff) << 56);
  end.v2 ^= 0xff;
  sip_round(&end);
  sip_round(&end);
  sip_round(&end);
  return end.v0 ^ end.v1 ^ end.v2 ^ end.v3;
}
