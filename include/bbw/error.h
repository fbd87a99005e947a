/*
 * error: what went wrong, where, and with which values.
 *
 * Functions that can fail return bbw_status and fill an optional bbw_error that the caller provides.  The variant is
 * the status; its fields are named records (names as in the Node specification §13), so that C, JavaScript and tests
 * read the same words.  A failed call changes nothing else that the caller can see.
 */
#ifndef BBW_ERROR_H
#define BBW_ERROR_H

#include "bbw/base.h"

typedef enum bbw_status {
#define X(name, value, text) BBW_##name = (value),
#include "bbw/status.def"
#undef X
} bbw_status;

/* Room for the fields of one error; fields that do not fit are left out and `is_truncated` is set. */
#define BBW_ERROR_FIELDS_BYTES_MAX 4000u

/*
 * fields holds records, one after another: one type byte ('s' text, 'u' unsigned number in decimal, 'l' one element of a
 * list), the field's name, a zero byte, its value, a zero byte.  A list is several 'l' records of one name, in order.
 */
typedef struct bbw_error {
  int32_t status;        /* bbw_status */
  uint32_t fields_bytes; /* used part of fields */
  uint64_t offset;       /* position in the input, where that has a meaning, else 0 */
  uint32_t is_truncated;
  uint32_t reserved;
  char fields[BBW_ERROR_FIELDS_BYTES_MAX];
} bbw_error;

/* All of these accept err == NULL and do nothing then.  set clears earlier fields and returns `status`. */
bbw_status bbw_error_set(bbw_error *err, bbw_status status);
bbw_status bbw_error_set_at(bbw_error *err, bbw_status status, uint64_t offset);
void bbw_error_add_str(bbw_error *err, const char *name, bbw_str value);
void bbw_error_add_u64(bbw_error *err, const char *name, uint64_t value);
void bbw_error_add_item(bbw_error *err, const char *name, bbw_str value);

/* First field of that name, or {NULL, 0}.  The view lives as long as *err. */
bbw_str bbw_error_field(const bbw_error *err, const char *name);
/* Element `index` of a list field, or {NULL, 0} past its end. */
bbw_str bbw_error_item(const bbw_error *err, const char *name, size_t index);
/* Value of a 'u' field, or 0. */
uint64_t bbw_error_number(const bbw_error *err, const char *name);

/* The fixed sentence of a status, e.g. "out of memory". */
bbw_str bbw_status_text(bbw_status status);
/* The name of a status, e.g. "E_NOMEM". */
bbw_str bbw_status_name(bbw_status status);

#endif
