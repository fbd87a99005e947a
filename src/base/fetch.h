/*
 * fetch: begins to bring memory nearer that is read soon.
 *
 * A hint: nothing depends on it, any address will do, and the machine may ignore it.  Nothing in WebAssembly, which has no word for it.
 */
#ifndef BBW_BASE_FETCH_H
#define BBW_BASE_FETCH_H

#include <stddef.h>
#include <stdint.h>

static inline void bbw_fetch(const void *from, size_t bytes) {
#ifdef __wasm__
  (void)from;
  (void)bytes;
#else
  for (size_t at = 0; from != NULL && at < bytes; at += 64) { __builtin_prefetch((const uint8_t *)from + at); }
  __asm__ volatile(""); /* compilers take a function of hints for one without effect, and leave out its calls */
#endif
}

#endif
