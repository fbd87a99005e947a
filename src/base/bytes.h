/*
 * bytes: comparing and reading views, little- and big-endian numbers, decimal text, UTF-8.
 */
#ifndef BBW_BASE_BYTES_H
#define BBW_BASE_BYTES_H

#include <string.h>

#include "bbw/base.h"

static inline bool bbw_str_equal(bbw_str a, bbw_str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool bbw_bytes_equal(bbw_bytes a, bbw_bytes b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool bbw_str_starts_with(bbw_str text, bbw_str prefix) {
  return text.len >= prefix.len && (prefix.len == 0 || memcmp(text.ptr, prefix.ptr, prefix.len) == 0);
}
static inline bool bbw_str_ends_with(bbw_str text, bbw_str suffix) {
  return text.len >= suffix.len &&
         (suffix.len == 0 || memcmp(text.ptr + text.len - suffix.len, suffix.ptr, suffix.len) == 0);
}
static inline bbw_bytes bbw_str_bytes(bbw_str text) { return (bbw_bytes){(const uint8_t *)text.ptr, text.len}; }
static inline bbw_str bbw_bytes_str(bbw_bytes bytes) { return (bbw_str){(const char *)bytes.ptr, bytes.len}; }

/* Byte order of the first differing byte, then length: negative, 0, positive. */
int bbw_bytes_compare(bbw_bytes a, bbw_bytes b);

/* Fixed-width little-endian numbers; the caller has checked the bounds. */
static inline uint32_t bbw_load_u32le(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t bbw_load_u64le(const uint8_t *p) {
  return (uint64_t)bbw_load_u32le(p) | (uint64_t)bbw_load_u32le(p + 4) << 32;
}
static inline void bbw_store_u32le(uint8_t *p, uint32_t v) {
  for (unsigned i = 0; i < 4; i++) { p[i] = (uint8_t)(v >> (8 * i)); }
}
static inline void bbw_store_u64le(uint8_t *p, uint64_t v) {
  for (unsigned i = 0; i < 8; i++) { p[i] = (uint8_t)(v >> (8 * i)); }
}
static inline uint64_t bbw_load_u64be(const uint8_t *p) {
  uint64_t v = 0;
  for (unsigned i = 0; i < 8; i++) { v = v << 8 | p[i]; }
  return v;
}
static inline void bbw_store_u64be(uint8_t *p, uint64_t v) {
  for (unsigned i = 0; i < 8; i++) { p[i] = (uint8_t)(v >> (56 - 8 * i)); }
}

/* Decimal numbers as Rust's integer parsers read them: optional '+' (and '-' for the signed form), digits only, no blanks.
 * False when the text is empty, malformed or out of range. */
bool bbw_parse_u64(bbw_str text, uint64_t *out);
bool bbw_parse_i64(bbw_str text, int64_t *out);
/* Writes decimal digits (at most 20) and returns how many. */
size_t bbw_format_u64(uint64_t value, char out[20]);

/* Strict UTF-8: no surrogates, no overlong forms, at most U+10FFFF; NUL is legal.  *bad receives the offset of the
 * first byte that is wrong. */
bool bbw_utf8_is_valid(bbw_bytes bytes, size_t *bad);

#endif
