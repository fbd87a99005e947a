#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static const struct {
  const char *variant;
  bbw_status status;
} variants[] = {
    {"Truncated", BBW_E_TRUNCATED},
    {"UnknownCode", BBW_E_UNKNOWN_CODE},
    {"InvalidValue", BBW_E_INVALID_VALUE},
    {"MalformedString", BBW_E_MALFORMED_STRING},
    {"DecodeFailed", BBW_E_DECODE},
    {"UnknownTypeHash", BBW_E_UNKNOWN_TYPE_HASH},
    {"Malformed", BBW_E_ENV_MALFORMED},
    {"OversizeEnvelope", BBW_E_ENV_OVERSIZE},
    {"OversizeSlotFill", BBW_E_ENV_OVERSIZE_FILL},
    {"TooManySlotFills", BBW_E_ENV_TOO_MANY_FILLS},
    {"VersionMismatch", BBW_E_ENV_VERSION},
    {"TooManySrcPeerAddresses", BBW_E_ENV_TOO_MANY_SRC_ADDRESSES},
    {"OversizeSrcPeerAddress", BBW_E_ENV_OVERSIZE_SRC_ADDRESS},
};

static const char *root_folder(void) {
  const char *other = getenv("BBW_VECTORS");
  return other != NULL ? other : "tests/vectors";
}

static bool read_file(const char *path, bbw_arena *arena, bbw_bytes *out) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) { return false; }
  (void)fseek(file, 0, SEEK_END);
  long size = ftell(file);
  (void)fseek(file, 0, SEEK_SET);
  uint8_t *bytes = bbw_arena_array(arena, (size_t)size, 1);
  size_t got = fread(bytes, 1, (size_t)size, file);
  (void)fclose(file);
  *out = (bbw_bytes){bytes, (size_t)size};
  return got == (size_t)size;
}

const json *vector_get(const vectors_case *c, const char *key) { return json_get(c->json, key); }

bbw_bytes vector_hex(vectors_case *c, const char *key) {
  return vector_exact(c, json_hex(vector_get(c, key), &c->arena));
}

bool vector_is(const vectors_case *c, const char *kind) {
  return bbw_str_equal(c->kind, (bbw_str){kind, strlen(kind)});
}

bool vector_skip(vectors_case *c, const char *why) {
  c->is_skipped = true;
  c->why = why;
  return true;
}

/* An arena rounds up; a block of its own is what the sanitizer can watch. */
bbw_bytes vector_exact(vectors_case *c, bbw_bytes bytes) {
  uint8_t *copy = malloc(bytes.len == 0 ? 1 : bytes.len);
  if (copy == NULL || c->exact_count == VECTORS_EXACT_MAX) { abort(); }
  if (bytes.len != 0) { memcpy(copy, bytes.ptr, bytes.len); }
  c->exact[c->exact_count++] = copy;
  return (bbw_bytes){copy, bytes.len};
}

bbw_bytes vector_file(vectors_case *c, const json *name) {
  char path[1024];
  bbw_str text = json_text(name);
  bbw_bytes bytes = {NULL, 0};
  (void)snprintf(path, sizeof(path), "%s/%s/%.*s", root_folder(), c->set, (int)text.len, text.ptr);
  if (!read_file(path, &c->arena, &bytes)) {
    (void)fprintf(stderr, "cannot read %s\n", path);
    abort();
  }
  return vector_exact(c, bytes);
}

/* A text field keeps no zero bytes: they are shown as '?'. */
static bool text_matches(bbw_str got, bbw_str want) {
  if (got.len != want.len) { return false; }
  for (size_t i = 0; i < got.len; i++) {
    if (got.ptr[i] != (want.ptr[i] == '\0' ? '?' : want.ptr[i])) { return false; }
  }
  return true;
}

bool vector_error_matches(const vectors_case *c, const json *error) {
  bbw_str variant = json_text(error->kind == JSON_STRING ? error : json_get(error, "variant"));
  size_t i = 0;
  while (i < sizeof(variants) / sizeof(variants[0]) &&
         !bbw_str_equal(variant, (bbw_str){variants[i].variant, strlen(variants[i].variant)})) {
    i++;
  }
  if (i == sizeof(variants) / sizeof(variants[0]) || c->err.status != (int32_t)variants[i].status) { return false; }
  /* Malformed carries only a text of a third-party library, which is not compared. */
  if (error->kind != JSON_OBJECT || variants[i].status == BBW_E_ENV_MALFORMED) { return true; }
  for (const json *field = error->child; field != NULL; field = field->next) {
    char name[64];
    if (bbw_str_equal(field->key, BBW_STR("variant")) || bbw_str_equal(field->key, BBW_STR("debug"))) { continue; }
    (void)snprintf(name, sizeof(name), "%.*s", (int)field->key.len, field->key.ptr);
    bbw_str want = field->kind == JSON_ARRAY ? json_text(json_at(field, 0)) : json_text(field);
    bbw_str got = bbw_error_field(&c->err, name);
    if (got.ptr == NULL || !text_matches(got, want)) { return false; }
  }
  return true;
}

unsigned vectors_run(const char *set, vectors_check *check) {
  char path[1024];
  bbw_arena arena;
  bbw_bytes index;
  bbw_arena_init(&arena, &bbw_mem_libc);
  (void)snprintf(path, sizeof(path), "%s/%s/index.json", root_folder(), set);
  if (!read_file(path, &arena, &index)) {
    bool may_be_absent = getenv("BBW_VECTORS") != NULL;
    (void)printf("%s: %s\n", set, may_be_absent ? "skipped, this folder has no such set" : "index.json is missing");
    return may_be_absent ? 0 : 1;
  }
  const json *root = json_parse(bbw_bytes_str(index), &arena);
  const json *cases = json_get(root, "cases");
  if (json_count(cases) == 0) {
    (void)printf("%s: index.json has no cases\n", set);
    return 1;
  }
  unsigned passed = 0, failed = 0, skipped = 0;
  for (const json *at = cases->child; at != NULL; at = at->next) {
    vectors_case c = {.json = at, .set = set, .kind = json_text(json_get(at, "kind"))};
    bbw_arena_init(&c.arena, &bbw_mem_libc);
    test_mem_init(&c.mem);
    bool ok = check(&c);
    if (ok && c.mem.live_bytes != 0) {
      ok = false;
      c.why = "memory is left behind";
    }
    bbw_str id = json_text(json_get(at, "id"));
    if (!ok) { (void)printf("%s %.*s FAILED: %s\n", set, (int)id.len, id.ptr, c.why); }
    if (ok && c.is_skipped) { (void)printf("%s %.*s skipped: %s\n", set, (int)id.len, id.ptr, c.why); }
    passed += ok && !c.is_skipped;
    skipped += ok && c.is_skipped;
    failed += !ok;
    for (size_t i = 0; i < c.exact_count; i++) { free(c.exact[i]); }
    bbw_arena_free(&c.arena);
  }
  (void)printf("%s: %u passed, %u failed, %u skipped\n", set, passed, failed, skipped);
  bbw_arena_free(&arena);
  return failed;
}
