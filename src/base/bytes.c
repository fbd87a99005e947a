#include "base/bytes.h"

int bbw_bytes_compare(bbw_bytes a, bbw_bytes b) {
  size_t n = a.len < b.len ? a.len : b.len;
  int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
  if (order != 0) { return order; }
  return a.len < b.len ? -1 : (a.len > b.len ? 1 : 0);
}

static bool parse_digits(bbw_str text, uint64_t max, uint64_t *out) {
  if (text.len == 0) { return false; }
  uint64_t value = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9') { return false; }
    uint64_t digit = (uint64_t)(text.ptr[i] - '0');
    if (value > (max - digit) / 10) { return false; }
    value = value * 10 + digit;
  }
  *out = value;
  return true;
}

bool bbw_parse_u64(bbw_str text, uint64_t *out) {
  if (text.len > 0 && text.ptr[0] == '+') { text = (bbw_str){text.ptr + 1, text.len - 1}; }
  return parse_digits(text, UINT64_MAX, out);
}

bool bbw_parse_i64(bbw_str text, int64_t *out) {
  bool is_negative = text.len > 0 && text.ptr[0] == '-';
  if (text.len > 0 && (is_negative || text.ptr[0] == '+')) { text = (bbw_str){text.ptr + 1, text.len - 1}; }
  uint64_t limit = is_negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
  uint64_t value;
  if (!parse_digits(text, limit, &value)) { return false; }
  *out = is_negative ? (int64_t)(0 - value) : (int64_t)value;
  return true;
}

size_t bbw_format_u64(uint64_t value, char out[20]) {
  char reversed[20];
  size_t len = 0;
  do {
    reversed[len++] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  for (size_t i = 0; i < len; i++) { out[i] = reversed[len - 1 - i]; }
  return len;
}

/* Smallest second byte and largest second byte that may follow a lead byte (Unicode standard, table 3-7). */
static bool utf8_sequence(uint8_t lead, size_t *len, uint8_t *low, uint8_t *high) {
  *low = 0x80;
  *high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    *len = 2;
    return true;
  }
  if (lead >= 0xe0 && lead <= 0xef) {
    *len = 3;
    if (lead == 0xe0) { *low = 0xa0; }
    if (lead == 0xed) { *high = 0x9f; }
    return true;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    *len = 4;
    if (lead == 0xf0) { *low = 0x90; }
    if (lead == 0xf4) { *high = 0x8f; }
    return true;
  }
  return false;
}

bool bbw_utf8_is_valid(bbw_bytes bytes, size_t *bad) {
  size_t i = 0;
  while (i < bytes.len) {
    if (bytes.ptr[i] < 0x80) {
      i++;
      continue;
    }
    size_t len;
    uint8_t low, high;
    bool ok = utf8_sequence(bytes.ptr[i], &len, &low, &high) && len <= bytes.len - i;
    ok = ok && bytes.ptr[i + 1] >= low && bytes.ptr[i + 1] <= high;
    for (size_t k = 2; ok && k < len; k++) { ok = (bytes.ptr[i + k] & 0xc0) == 0x80; }
    if (!ok) {
      *bad = i;
      return false;
    }
    i += len;
  }
  return true;
}
