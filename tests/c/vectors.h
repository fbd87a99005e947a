/*
 * vectors: runs a check over every case of a set of golden vectors.
 *
 * A set is a folder with index.json, below tests/vectors or below the folder that the environment variable BBW_VECTORS names.  There a set may
 * be absent and is then skipped by name.  Each run prints how many cases passed, failed and were skipped.
 */
#ifndef BBW_TEST_VECTORS_H
#define BBW_TEST_VECTORS_H

#include "bbw/error.h"
#include "json.h"
#include "test_mem.h"

/* Exactly sized copies that one case may ask for. */
#define VECTORS_EXACT_MAX 256

typedef struct vectors_case {
  const json *json;
  bbw_str kind;
  const char *set;
  bbw_arena arena; /* for the check; freed after it */
  test_mem mem;    /* for the code under test; what it leaves behind fails the case */
  bool is_skipped;
  const char *why;                /* the condition that did not hold */
  void *exact[VECTORS_EXACT_MAX]; /* blocks of vector_exact */
  size_t exact_count;
  bbw_error err; /* for the code under test */
} vectors_case;

/* True when the case holds.  Use VECTOR(condition) inside. */
typedef bool vectors_check(vectors_case *c);

/* Returns the number of failed cases; prints the summary. */
unsigned vectors_run(const char *set, vectors_check *check);

#define VECTOR(condition)  \
  do {                     \
    if (!(condition)) {    \
      c->why = #condition; \
      return false;        \
    }                      \
  } while (0)

/* Field of the case, or NULL. */
const json *vector_get(const vectors_case *c, const char *key);
bbw_bytes vector_hex(vectors_case *c, const char *key);
bool vector_is(const vectors_case *c, const char *kind);
/* Counts the case as skipped. */
bool vector_skip(vectors_case *c, const char *why);
/* The file of the set that a field names.  Exactly sized, so that a sanitizer sees a read past its end. */
bbw_bytes vector_file(vectors_case *c, const json *name);
/* A heap copy of exactly these bytes, freed with the case. */
bbw_bytes vector_exact(vectors_case *c, bbw_bytes bytes);
/* Does the error agree with an "error" object: variant, and every field that we have too? */
bool vector_error_matches(const vectors_case *c, const json *error);

#endif
