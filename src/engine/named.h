/*
 * named: the small tables that operators keep under a name: counters, limits, queues, held values, records, latches.
 *
 * One table serves all of them, told apart by kind.  Every kind is bounded; what happens at its bound is said at the function.  Names are copied.
 * Source: engine specification §17, wire specification §20.4-20.9.
 */
#ifndef BBW_ENGINE_NAMED_H
#define BBW_ENGINE_NAMED_H

#include "base/map.h"
#include "base/vec.h"
#include "bbw/value.h"

/* Names of one kind that a node keeps. */
#define BBW_NAMED_COUNT_MAX 1024u
/* Values in one named queue; the oldest is dropped. */
#define BBW_NAMED_QUEUE_MAX 4096u
/* Values in one named record; the oldest is dropped. */
#define BBW_NAMED_RECORD_MAX 1024u

typedef enum bbw_named_kind {
  BBW_NAMED_COUNTER, /* number */
  BBW_NAMED_LIMIT,   /* number: holders; waiters: command ids */
  BBW_NAMED_QUEUE,   /* values */
  BBW_NAMED_HOLD,    /* values: at most one */
  BBW_NAMED_RECORD,  /* values */
  BBW_NAMED_LATCH,   /* exists: the group has fired */
} bbw_named_kind;

typedef struct bbw_named_entry {
  uint8_t *key; /* one byte of kind, then the name */
  size_t key_len;
  uint64_t number;
  uint64_t dropped;
  bbw_vec values; /* bbw_value *, oldest at values_head */
  size_t values_head;
  bbw_vec waiters; /* uint64_t */
  size_t waiters_head;
} bbw_named_entry;

typedef struct bbw_named {
  const bbw_mem *mem;
  bbw_vec entries; /* bbw_named_entry * */
  bbw_map by_key;
  uint32_t counts[BBW_NAMED_LATCH + 1];
  uint32_t count_max;  /* of each: BBW_NAMED_COUNT_MAX */
  uint64_t held_bytes; /* of all values; what the byte budget is charged for them */
} bbw_named;

void bbw_named_init(bbw_named *named, const bbw_mem *mem);
void bbw_named_free(bbw_named *named);

/* The entry, or NULL if there is none. */
bbw_named_entry *bbw_named_find(const bbw_named *named, bbw_named_kind kind, bbw_str name);
/* The entry, made when it is new.  BBW_E_LIMIT when the kind has BBW_NAMED_COUNT_MAX names, BBW_E_NOMEM. */
bbw_status bbw_named_get(bbw_named *named, bbw_named_kind kind, bbw_str name, bbw_named_entry **out);

/* What a value counts in held_bytes. */
size_t bbw_named_owed(const bbw_value *value);
/* By how much held_bytes would grow with a value: less what would be dropped for it; negative when it would shrink. */
int64_t bbw_named_growth(const bbw_named_entry *entry, const bbw_value *value, size_t max);
/* Appends a value (its reference moves in on BBW_OK); at `max` values the oldest is dropped and counted. */
bbw_status bbw_named_push(bbw_named *named, bbw_named_entry *entry, bbw_value *value, size_t max);
/* The oldest value, its reference moves out; NULL when empty. */
bbw_value *bbw_named_pop(bbw_named *named, bbw_named_entry *entry);

#endif
