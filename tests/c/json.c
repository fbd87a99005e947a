#include "json.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

typedef struct parser {
  const char *at;
  const char *end;
  bbw_arena *arena;
  int depth;
} parser;

static void skip_space(parser *p) {
  while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r')) { p->at++; }
}

static bool take(parser *p, const char *word) {
  size_t len = strlen(word);
  if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0) { return false; }
  p->at += len;
  return true;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') { return c - '0'; }
  if (c >= 'a' && c <= 'f') { return c - 'a' + 10; }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool hex4(parser *p, uint32_t *out) {
  *out = 0;
  for (int i = 0; i < 4; i++) {
    int digit = p->at < p->end ? hex_digit(*p->at++) : -1;
    if (digit < 0) { return false; }
    *out = *out << 4 | (uint32_t)digit;
  }
  return true;
}

static size_t put_utf8(char *to, uint32_t c) {
  if (c < 0x80) {
    to[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    to[0] = (char)(0xc0 | c >> 6);
    to[1] = (char)(0x80 | (c & 0x3f));
    return 2;
  }
  if (c < 0x10000) {
    to[0] = (char)(0xe0 | c >> 12);
    to[1] = (char)(0x80 | (c >> 6 & 0x3f));
    to[2] = (char)(0x80 | (c & 0x3f));
    return 3;
  }
  to[0] = (char)(0xf0 | c >> 18);
  to[1] = (char)(0x80 | (c >> 12 & 0x3f));
  to[2] = (char)(0x80 | (c >> 6 & 0x3f));
  to[3] = (char)(0x80 | (c & 0x3f));
  return 4;
}

static bool parse_escape(parser *p, char *to, size_t *len) {
  static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
  char c = p->at < p->end ? *p->at++ : '\0';
  const char *found = c == '\0' ? NULL : strchr(from, c);
  if (found != NULL) {
    to[(*len)++] = into[found - from];
    return true;
  }
  uint32_t code, low;
  if (c != 'u' || !hex4(p, &code)) { return false; }
  if (code >= 0xd800 && code < 0xdc00) {
    if (!take(p, "\\u") || !hex4(p, &low)) { return false; }
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  *len += put_utf8(to + *len, code);
  return true;
}

static bool parse_string(parser *p, bbw_str *out) {
  const char *close = ++p->at;
  while (close < p->end && *close != '"') { close += *close == '\\' ? 2 : 1; }
  if (close >= p->end) { return false; }
  char *text = bbw_arena_array(p->arena, (size_t)(close - p->at) + 1, 1);
  size_t len = 0;
  while (p->at < close) {
    if (*p->at != '\\') {
      text[len++] = *p->at++;
      continue;
    }
    p->at++;
    if (!parse_escape(p, text, &len)) { return false; }
  }
  p->at++;
  *out = (bbw_str){text, len};
  return true;
}

static bool parse_value(parser *p, json *out);

static bool parse_members(parser *p, json *out, char close) {
  json **link = &out->child;
  p->at++;
  skip_space(p);
  if (p->at < p->end && *p->at == close) {
    p->at++;
    return true;
  }
  for (;;) {
    json *child = bbw_arena_array(p->arena, 1, sizeof(json));
    skip_space(p);
    if (close == '}') {
      if (p->at >= p->end || *p->at != '"' || !parse_string(p, &child->key)) { return false; }
      skip_space(p);
      if (!take(p, ":")) { return false; }
    }
    if (!parse_value(p, child)) { return false; }
    *link = child;
    link = &child->next;
    out->count++;
    skip_space(p);
    if (p->at >= p->end) { return false; }
    char c = *p->at++;
    if (c == close) { return true; }
    if (c != ',') { return false; }
  }
}

static bool parse_value(parser *p, json *out) {
  skip_space(p);
  if (p->at >= p->end || ++p->depth > JSON_DEPTH_MAX) { return false; }
  bool ok = true;
  const char *start = p->at;
  if (*p->at == '"') {
    out->kind = JSON_STRING;
    ok = parse_string(p, &out->text);
  } else if (*p->at == '{' || *p->at == '[') {
    out->kind = *p->at == '{' ? JSON_OBJECT : JSON_ARRAY;
    ok = parse_members(p, out, *p->at == '{' ? '}' : ']');
  } else if (take(p, "null")) {
    out->kind = JSON_NULL;
  } else if (take(p, "true")) {
    out->kind = JSON_TRUE;
  } else if (take(p, "false")) {
    out->kind = JSON_FALSE;
  } else {
    out->kind = JSON_NUMBER;
    while (p->at < p->end && strchr("+-.0123456789eE", *p->at) != NULL && *p->at != '\0') { p->at++; }
    out->text = (bbw_str){start, (size_t)(p->at - start)};
    ok = p->at > start;
  }
  p->depth--;
  return ok;
}

const json *json_parse(bbw_str text, bbw_arena *arena) {
  parser p = {.at = text.ptr, .end = text.ptr + text.len, .arena = arena};
  json *root = bbw_arena_array(arena, 1, sizeof(json));
  return parse_value(&p, root) ? root : NULL;
}

const json *json_get(const json *object, const char *key) {
  if (object == NULL || object->kind != JSON_OBJECT) { return NULL; }
  for (const json *at = object->child; at != NULL; at = at->next) {
    if (bbw_str_equal(at->key, (bbw_str){key, strlen(key)})) { return at; }
  }
  return NULL;
}

const json *json_at(const json *array, size_t index) {
  if (array == NULL) { return NULL; }
  const json *at = array->child;
  while (at != NULL && index-- != 0) { at = at->next; }
  return at;
}

size_t json_count(const json *array) { return array == NULL ? 0 : array->count; }
bool json_is_true(const json *value) { return value != NULL && value->kind == JSON_TRUE; }
bool json_is_null(const json *value) { return value == NULL || value->kind == JSON_NULL; }

bool json_is(const json *value, const char *text) {
  return value != NULL && value->kind == JSON_STRING && bbw_str_equal(value->text, (bbw_str){text, strlen(text)});
}

bbw_str json_text(const json *value) { return value == NULL ? (bbw_str){"", 0} : value->text; }

uint64_t json_u64(const json *value) {
  uint64_t number;
  if (!bbw_parse_u64(json_text(value), &number)) { abort(); }
  return number;
}

int64_t json_i64(const json *value) {
  int64_t number;
  if (!bbw_parse_i64(json_text(value), &number)) { abort(); }
  return number;
}

bbw_bytes json_hex(const json *value, bbw_arena *arena) {
  if (value == NULL || value->kind != JSON_STRING || value->text.len % 2 != 0) { abort(); }
  size_t len = value->text.len / 2;
  uint8_t *bytes = bbw_arena_array(arena, len, 1);
  for (size_t i = 0; i < len; i++) {
    int high = hex_digit(value->text.ptr[2 * i]), low = hex_digit(value->text.ptr[2 * i + 1]);
    if (high < 0 || low < 0) { abort(); }
    bytes[i] = (uint8_t)(high << 4 | low);
  }
  return (bbw_bytes){bytes, len};
}
