#include "bbw/error.h"

#include <string.h>

#include "base/bytes.h"

bbw_status bbw_error_set_at(bbw_error *err, bbw_status status, uint64_t offset) {
  if (err != NULL) {
    err->status = status;
    err->fields_bytes = 0;
    err->offset = offset;
    err->is_truncated = 0;
    err->reserved = 0;
  }
  return status;
}

bbw_status bbw_error_set(bbw_error *err, bbw_status status) { return bbw_error_set_at(err, status, 0); }

static void error_add(bbw_error *err, char kind, const char *name, bbw_str value) {
  if (err == NULL) { return; }
  size_t name_len = strlen(name);
  size_t need = 1 + name_len + 1 + value.len + 1;
  size_t room = BBW_ERROR_FIELDS_BYTES_MAX - err->fields_bytes;
  if (value.len > BBW_ERROR_FIELDS_BYTES_MAX || need > room) {
    err->is_truncated = 1;
    return;
  }
  char *at = err->fields + err->fields_bytes;
  *at++ = kind;
  memcpy(at, name, name_len + 1);
  at += name_len + 1;
  /* A zero byte inside a value would end it early for the reader; hostile names may carry one. */
  for (size_t i = 0; i < value.len; i++) { at[i] = value.ptr[i] == '\0' ? '?' : value.ptr[i]; }
  at[value.len] = '\0';
  err->fields_bytes += (uint32_t)need;
}

void bbw_error_add_str(bbw_error *err, const char *name, bbw_str value) { error_add(err, 's', name, value); }

void bbw_error_add_item(bbw_error *err, const char *name, bbw_str value) { error_add(err, 'l', name, value); }

void bbw_error_add_u64(bbw_error *err, const char *name, uint64_t value) {
  char digits[20];
  size_t len = bbw_format_u64(value, digits);
  error_add(err, 'u', name, (bbw_str){digits, len});
}

bbw_str bbw_error_item(const bbw_error *err, const char *name, size_t index) {
  size_t at = 0;
  while (at < err->fields_bytes) {
    const char *field = err->fields + at + 1;
    const char *value = field + strlen(field) + 1;
    size_t len = strlen(value);
    if (strcmp(field, name) == 0) {
      if (index == 0) { return (bbw_str){value, len}; }
      index--;
    }
    at = (size_t)(value - err->fields) + len + 1;
  }
  return (bbw_str){NULL, 0};
}

bbw_str bbw_error_field(const bbw_error *err, const char *name) { return bbw_error_item(err, name, 0); }

uint64_t bbw_error_number(const bbw_error *err, const char *name) {
  uint64_t value = 0;
  return bbw_parse_u64(bbw_error_field(err, name), &value) ? value : 0;
}

bbw_str bbw_status_text(bbw_status status) {
  switch (status) {
#define X(name, value, text) \
  case BBW_##name:           \
    return BBW_STR(text);
#include "bbw/status.def"
#undef X
  }
  return BBW_STR("unknown status");
}

bbw_str bbw_status_name(bbw_status status) {
  switch (status) {
#define X(name, value, text) \
  case BBW_##name:           \
    return BBW_STR(#name);
#include "bbw/status.def"
#undef X
  }
  return BBW_STR("?");
}
