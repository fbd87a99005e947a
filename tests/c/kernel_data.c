#include "kernel_data.h"

#include <float.h>
#include <math.h>
#include <string.h>

static uint32_t next(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

void kernel_fill(float *x, size_t n, uint32_t seed, float low, float high) {
  uint32_t state = seed * 2654435761u + 1u;
  for (size_t i = 0; i < n; i++) { x[i] = low + (high - low) * ((float)next(&state) / 16777216.0f); }
}

void kernel_fill_odd(float *x, size_t n, uint32_t seed) {
  static const float odd[] = {0.0f,   -0.0f,   INFINITY, -INFINITY, NAN,    FLT_MAX, -FLT_MAX, FLT_MIN, -FLT_MIN,
                              1e-42f, -1e-45f, 1.0f,     -1.0f,     88.73f, -103.9f, 0.625f,   9.1f};
  kernel_fill(x, n, seed, -20.0f, 20.0f);
  uint32_t state = seed + 17u;
  for (size_t i = 0; i < n; i++) {
    uint32_t pick = next(&state) % 40u;
    if (pick < sizeof odd / sizeof odd[0]) { x[i] = odd[pick]; }
  }
}

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return isnan(x) ? 0x7fc00000u : bits;
}

size_t kernel_first_difference(const float *x, const float *y, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (bits_of(x[i]) != bits_of(y[i])) { return i; }
  }
  return n;
}

uint64_t kernel_digest(uint64_t hash, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint32_t bits = bits_of(x[i]);
    for (int byte = 0; byte < 4; byte++) { hash = (hash ^ (bits >> (8 * byte) & 0xffu)) * 0x100000001b3u; }
  }
  return hash;
}
