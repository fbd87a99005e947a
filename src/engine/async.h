/*
 * async: operators that answered "later".
 *
 * One entry per parked op, found by its command id.  A completion is kept in its entry until the next poll applies it, so it needs no room in the ingress queue and cannot
 * be lost.  The first outcome is final; later ones find no waiting entry and are counted by what was wrong with them.  A heap finds the deadline that passes next; an entry
 * leaves it with its outcome.  Source: engine specification §11.
 */
#ifndef BBW_ENGINE_ASYNC_H
#define BBW_ENGINE_ASYNC_H

#include "base/map.h"
#include "base/vec.h"
#include "bbw/value.h"

/* No deadline. */
#define BBW_NEVER_NS UINT64_MAX

typedef struct bbw_frame bbw_frame;

typedef enum bbw_parked_state {
  BBW_PARKED_FREE,
  BBW_PARKED_WAITING,
  BBW_PARKED_COMPLETED, /* results are there */
  BBW_PARKED_FAILED,    /* detail says why */
  BBW_PARKED_EXPIRED,   /* its deadline has passed; only while it is finished */
} bbw_parked_state;

typedef struct bbw_parked {
  uint64_t cmd_id;
  bbw_frame *frame;     /* NULL until dispatch has answered LATER */
  uint64_t request_id;  /* of the request whose answer it waits for; 0: it waits for something else */
  uint64_t deadline_ns; /* BBW_NEVER_NS: it may wait for ever */
  bbw_value **results;  /* one per declared output at most; entries may be NULL */
  uint8_t *detail;
  size_t detail_len;
  uint32_t result_count;
  uint32_t op;
  uint32_t state;   /* bbw_parked_state */
  uint32_t heap_at; /* its place in the heap; UINT32_MAX: it is not there */
  bool is_resumed;  /* it waits, and every poll dispatches it again */
} bbw_parked;

typedef struct bbw_async {
  const bbw_mem *mem;
  bbw_vec entries; /* bbw_parked */
  bbw_vec idle;    /* uint32_t: free entries */
  bbw_vec done;    /* uint64_t: command ids with an outcome, in order of arrival */
  bbw_vec heap;    /* uint32_t: waiting entries with a deadline, the one that passes first in front */
  bbw_vec resumed; /* uint64_t: ids of the commands that are resumed, ascending */
  bbw_map by_cmd;  /* cmd_id -> entry */
  uint64_t next_cmd_id;
  uint64_t count;                 /* parked ops, with and without outcome */
  uint64_t unknown_completions;   /* for ids that were never given */
  uint64_t late_completions;      /* for ids that nobody waits for any more, or not yet */
  uint64_t duplicate_completions; /* for ids whose outcome is already here */
} bbw_async;

void bbw_async_init(bbw_async *async, const bbw_mem *mem);
void bbw_async_free(bbw_async *async);

/* Opens a command.  Afterwards its completion cannot fail for lack of table space. */
bbw_status bbw_async_open(bbw_async *async, uint64_t *cmd_id);
/* An id that will not be given again, for a command that is opened later; and opening it.  It must not be open. */
uint64_t bbw_async_mint(bbw_async *async);
bbw_status bbw_async_open_as(bbw_async *async, uint64_t cmd_id);
/* The entry of a command, or NULL.  Valid until the next open. */
bbw_parked *bbw_async_find(bbw_async *async, uint64_t cmd_id);
/* Forgets a command and frees what its entry holds. */
void bbw_async_close(bbw_async *async, uint64_t cmd_id);

/* Lets a waiting command fail at deadline_ns.  Cannot fail itself: its room is reserved when the command is opened. */
void bbw_async_set_deadline(bbw_async *async, bbw_parked *parked, uint64_t deadline_ns);
/* Room for one more resumed command.  False when memory runs out, and then nothing changed. */
bool bbw_async_reserve_resumed(bbw_async *async);
/* Has a waiting command resumed by every poll.  Its room has been reserved. */
void bbw_async_resume(bbw_async *async, bbw_parked *parked);
/* The resumed command with the lowest id that is at least `from`, or NULL. */
bbw_parked *bbw_async_next_resumed(bbw_async *async, uint64_t from);
/* The engine has the outcome itself (a timer, a deadline); the command is closed next. */
void bbw_async_settle(bbw_async *async, bbw_parked *parked, bbw_parked_state state);
/* The waiting command whose deadline passes first, or NULL; equal deadlines in order of their ids. */
bbw_parked *bbw_async_next_deadline(const bbw_async *async);

/* Takes a command that is closed next out of the list of outcomes. */
void bbw_async_forget_outcome(bbw_async *async, uint64_t cmd_id);
/* Forgets every command; ids go on. */
void bbw_async_clear(bbw_async *async);

/* Sets the outcome.  BBW_E_UNKNOWN_COMMAND (counted) when nobody waits for it; bbw_async_why says why.  complete takes over one reference of each value on BBW_OK. */
bbw_status bbw_async_complete(bbw_async *async, uint64_t cmd_id, bbw_value *const *results, size_t count);
bbw_status bbw_async_fail(bbw_async *async, uint64_t cmd_id, bbw_str detail);
/* "unknown", "late" or "duplicate": what an outcome for this command would be; "" when it waits for one. */
bbw_str bbw_async_why(bbw_async *async, uint64_t cmd_id);

#endif
