#include "engine/steps.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

/* Numbers fit the mask. */
#define STEP(name, number, js, fields) static_assert((number) > 0 && (number) < 64, "step numbers are bits of a mask");
#include "bbw/step.def"
#undef STEP

typedef struct step_row {
  bbw_step_kind kind;
  bbw_str name;
  const char *fields;
} step_row;

static const step_row step_rows[] = {
#define STEP(name, number, js, fields) {BBW_STEP_##name, {#js, sizeof(#js) - 1}, fields},
#include "bbw/step.def"
#undef STEP
};

static size_t padded(size_t len) { return (len + 7) & ~(size_t)7; }

void bbw_step_buffer_init(bbw_step_buffer *steps, uint64_t mask, const bbw_mem *mem) {
  *steps = (bbw_step_buffer){.mask = mask};
  bbw_vec_init(&steps->bytes, 1, mem);
}

void bbw_step_buffer_free(bbw_step_buffer *steps) { bbw_vec_free(&steps->bytes); }

void bbw_step_buffer_clear(bbw_step_buffer *steps) { steps->bytes.count = 0; }

bool bbw_step_reserve(bbw_step_buffer *steps, size_t bytes) { return bbw_vec_reserve(&steps->bytes, bytes); }

size_t bbw_step_bytes_size(size_t len) { return 8 + padded(len); }

static uint8_t *step_grow(bbw_step_buffer *steps, size_t bytes) {
  assert(steps->bytes.cap - steps->bytes.count >= bytes); /* reserved by the caller */
  uint8_t *at = (uint8_t *)steps->bytes.items + steps->bytes.count;
  steps->bytes.count += bytes;
  return at;
}

bool bbw_step_begin(bbw_step_buffer *steps, bbw_step_kind kind) {
  if (!bbw_step_is_kept(steps, kind)) { return false; }
  steps->record_at = steps->bytes.count;
  uint8_t *at = step_grow(steps, BBW_STEP_HEADER_BYTES);
  bbw_store_u32le(at, (uint32_t)kind);
  bbw_store_u32le(at + 4, 0);
  return true;
}

void bbw_step_put_u64(bbw_step_buffer *steps, uint64_t value) { bbw_store_u64le(step_grow(steps, 8), value); }

uint8_t *bbw_step_put_space(bbw_step_buffer *steps, size_t len) {
  bbw_step_put_u64(steps, len);
  uint8_t *at = step_grow(steps, padded(len));
  if (padded(len) != len) { memset(at + padded(len) - 8, 0, 8); }
  return at;
}

void bbw_step_put_bytes(bbw_step_buffer *steps, bbw_bytes bytes) {
  uint8_t *at = bbw_step_put_space(steps, bytes.len);
  if (bytes.len != 0) { memcpy(at, bytes.ptr, bytes.len); }
}

void bbw_step_end(bbw_step_buffer *steps) {
  uint8_t *record = (uint8_t *)steps->bytes.items + steps->record_at;
  bbw_store_u32le(record + 4, (uint32_t)(steps->bytes.count - steps->record_at));
}

bool bbw_steps_next(bbw_bytes steps, size_t *at, bbw_step *out) {
  if (*at >= steps.len || steps.len - *at < BBW_STEP_HEADER_BYTES) { return false; }
  const uint8_t *record = steps.ptr + *at;
  size_t size = bbw_load_u32le(record + 4);
  *out = (bbw_step){.kind = (bbw_step_kind)bbw_load_u32le(record), .record = {record, size}};
  *at += size;
  return true;
}

static const step_row *step_row_of(bbw_step_kind kind) {
  for (size_t i = 0; i < sizeof(step_rows) / sizeof(step_rows[0]); i++) {
    if (step_rows[i].kind == kind) { return &step_rows[i]; }
  }
  return NULL;
}

bbw_str bbw_step_name(bbw_step_kind kind) {
  const step_row *row = step_row_of(kind);
  return row == NULL ? BBW_STR("?") : row->name;
}

/* Length of the field of kind `type` that starts at `at`. */
static size_t field_size(const uint8_t *at, char type) {
  if (type == 'u' || type == 'f') { return 8; }
  uint64_t count = bbw_load_u64le(at);
  if (type == 'U') { return 8 + (size_t)count * 8; }
  if (type != 'B') { return bbw_step_bytes_size((size_t)count); }
  size_t size = 8;
  for (uint64_t i = 0; i < count; i++) { size += bbw_step_bytes_size((size_t)bbw_load_u64le(at + size)); }
  return size;
}

/* Finds a field by walking the schema text, e.g. "op_ref:u exec_id:u sites_written:U". */
static const uint8_t *step_field(const bbw_step *step, const char *field) {
  const step_row *row = step_row_of(step->kind);
  if (row == NULL) { return NULL; }
  const uint8_t *at = step->record.ptr + BBW_STEP_HEADER_BYTES;
  size_t name_len = strlen(field);
  for (const char *spec = row->fields; *spec != '\0';) {
    const char *colon = strchr(spec, ':');
    if (colon == NULL) { return NULL; }
    if ((size_t)(colon - spec) == name_len && memcmp(spec, field, name_len) == 0) { return at; }
    at += field_size(at, colon[1]);
    spec = colon[2] == ' ' ? colon + 3 : colon + 2;
  }
  return NULL;
}

uint64_t bbw_step_u64(const bbw_step *step, const char *field) {
  const uint8_t *at = step_field(step, field);
  return at == NULL ? 0 : bbw_load_u64le(at);
}

bbw_bytes bbw_step_bytes(const bbw_step *step, const char *field) {
  const uint8_t *at = step_field(step, field);
  if (at == NULL) { return (bbw_bytes){NULL, 0}; }
  return (bbw_bytes){at + 8, (size_t)bbw_load_u64le(at)};
}

bbw_str bbw_step_text(const bbw_step *step, const char *field) { return bbw_bytes_str(bbw_step_bytes(step, field)); }

size_t bbw_step_count(const bbw_step *step, const char *field) { return (size_t)bbw_step_u64(step, field); }

uint64_t bbw_step_item(const bbw_step *step, const char *field, size_t index) {
  const uint8_t *at = step_field(step, field);
  return at == NULL || index >= bbw_load_u64le(at) ? 0 : bbw_load_u64le(at + 8 + index * 8);
}
