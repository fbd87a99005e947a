/*
 * base: views, memory and the rules that every public header shares.
 *
 * A view (bbw_bytes, bbw_str) is a pointer and a length and owns nothing.  Text is UTF-8 with an explicit length and
 * no terminator.  Whatever lives longer than a call is allocated through the bbw_mem that the caller gave at creation;
 * an allocation may fail and is then answered with BBW_E_NOMEM.
 */
#ifndef BBW_BASE_H
#define BBW_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes.  ptr may be NULL only when len is 0. */
typedef struct bbw_bytes {
  const uint8_t *ptr;
  size_t len;
} bbw_bytes;

/* Borrowed UTF-8 text, not terminated. */
typedef struct bbw_str {
  const char *ptr;
  size_t len;
} bbw_str;

/* A string literal as bbw_str, without its terminator. */
#define BBW_STR(literal) ((bbw_str){"" literal, sizeof(literal) - 1})

/*
 * Where memory comes from.  alloc returns at least `size` bytes aligned to 16, or NULL; `size` is never 0.  free takes
 * a pointer that alloc returned together with the size that was asked for.  Both are called from one thread at a time.
 */
typedef struct bbw_mem {
  void *ctx;
  void *(*alloc)(void *ctx, size_t size);
  void (*free)(void *ctx, void *ptr, size_t size);
} bbw_mem;

/* The memory of the C library: malloc and free. */
extern const bbw_mem bbw_mem_libc;

#endif
