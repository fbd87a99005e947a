/*
 * steps: the buffer of step records that a poll fills (layout in bbw/step.def).
 *
 * Room is reserved before a record is begun, so that writing cannot fail half-way.
 */
#ifndef BBW_ENGINE_STEPS_H
#define BBW_ENGINE_STEPS_H

#include "base/vec.h"
#include "bbw/step.h"

typedef struct bbw_step_buffer {
  bbw_vec bytes;
  size_t record_at; /* start of the record that is being written */
  uint64_t mask;    /* bit n: records of step number n are kept */
} bbw_step_buffer;

void bbw_step_buffer_init(bbw_step_buffer *steps, uint64_t mask, const bbw_mem *mem);
void bbw_step_buffer_free(bbw_step_buffer *steps);
void bbw_step_buffer_clear(bbw_step_buffer *steps);

/* Room for `bytes` more; false when memory runs out. */
bool bbw_step_reserve(bbw_step_buffer *steps, size_t bytes);
/* Size of a field of that many bytes with its length and padding. */
size_t bbw_step_bytes_size(size_t len);
#define BBW_STEP_HEADER_BYTES 8u
/* The longest bytes field: sizes of records are 32 bits wide. */
#define BBW_STEP_FIELD_BYTES_MAX 0xf0000000u

/* One record: begin, fields in the order of step.def, end.  begin answers false when the mask leaves the record out; then write nothing. */
static inline bool bbw_step_is_kept(const bbw_step_buffer *steps, bbw_step_kind kind) {
  return (steps->mask >> kind & 1) != 0;
}
bool bbw_step_begin(bbw_step_buffer *steps, bbw_step_kind kind);
void bbw_step_put_u64(bbw_step_buffer *steps, uint64_t value);
void bbw_step_put_bytes(bbw_step_buffer *steps, bbw_bytes bytes);
/* A bytes field of `len` bytes; the caller fills them. */
uint8_t *bbw_step_put_space(bbw_step_buffer *steps, size_t len);
void bbw_step_end(bbw_step_buffer *steps);

#endif
