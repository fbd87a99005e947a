/*
 * step: reading what a poll reported.
 *
 * The buffer that bbw_node_poll gives is a row of records (layout in step.def).  These functions walk it without copying.
 */
#ifndef BBW_STEP_H
#define BBW_STEP_H

#include "bbw/error.h"

typedef enum bbw_step_kind {
#define STEP(name, number, js, fields) BBW_STEP_##name = (number),
#include "bbw/step.def"
#undef STEP
} bbw_step_kind;

typedef struct bbw_step {
  bbw_step_kind kind;
  bbw_bytes record; /* the whole record */
} bbw_step;

/* Next record at *at (start with 0); false at the end. */
bool bbw_steps_next(bbw_bytes steps, size_t *at, bbw_step *out);
bbw_str bbw_step_name(bbw_step_kind kind); /* "OpCompleted", ... */

/* Field by its name in step.def.  A name that the step does not have gives 0 or an empty view. */
uint64_t bbw_step_u64(const bbw_step *step, const char *field);
bbw_bytes bbw_step_bytes(const bbw_step *step, const char *field);
bbw_str bbw_step_text(const bbw_step *step, const char *field);
/* Lists: how many, and one element. */
size_t bbw_step_count(const bbw_step *step, const char *field);
uint64_t bbw_step_item(const bbw_step *step, const char *field, size_t index);

#endif
