/*
 * json: reads the index files of the vectors.  For tests only: input is trusted, depth is bounded by JSON_DEPTH_MAX.
 */
#ifndef BBW_TEST_JSON_H
#define BBW_TEST_JSON_H

#include "base/arena.h"

#define JSON_DEPTH_MAX 64

typedef enum json_kind {
  JSON_NULL,
  JSON_FALSE,
  JSON_TRUE,
  JSON_NUMBER,
  JSON_STRING,
  JSON_ARRAY,
  JSON_OBJECT
} json_kind;

typedef struct json json;
struct json {
  json_kind kind;
  bbw_str key;  /* in an object */
  bbw_str text; /* strings: decoded; numbers: as written */
  json *child;  /* first element of an array or object */
  json *next;   /* next sibling */
  size_t count; /* elements */
};

/* NULL when the text is not JSON. */
const json *json_parse(bbw_str text, bbw_arena *arena);

/* All of these accept NULL and then answer "nothing". */
const json *json_get(const json *object, const char *key);
const json *json_at(const json *array, size_t index);
size_t json_count(const json *array);
bool json_is_true(const json *value);
bool json_is_null(const json *value); /* also when it is absent */
bool json_is(const json *value, const char *text);
bbw_str json_text(const json *value);
/* Decimal, in a number or in a string; aborts the test when it is something else. */
uint64_t json_u64(const json *value);
int64_t json_i64(const json *value);
/* Hex digits to bytes in the arena; aborts the test when it is something else. */
bbw_bytes json_hex(const json *value, bbw_arena *arena);

#endif
