/*
 * A snapshot with edits and a right checksum: it is refused and the node stays as it is, or it is restored and the node works and gives everything back.
 *
 * Bytes 0 and 1 choose graph and configuration, byte 2 how many calls make the state; each edit is three bytes: place (two) and what is added there.  What is left is the script of the
 * calls, before and after.
 */
#include "base/bytes.h"
#include "base/hash.h"
#include "fuzz.h"
#include "node/node.h"
#include "node_script.h"

#define EDITS_MAX 8
#define CALLS_MAX 24

static void seal(uint8_t *bytes, size_t len) {
  bbw_siphash hash;
  bbw_siphash_init(&hash);
  bbw_siphash_write(&hash, (bbw_bytes){bytes + 24, len - 24});
  bbw_store_u64le(bytes + 16, bbw_siphash_finish(&hash));
}

static void take(const bbw_node *node, uint8_t **bytes, size_t *len) {
  REQUIRE(bbw_node_snapshot(node, bytes, len, &bbw_mem_libc, NULL) == BBW_OK);
}

static void require_same(const bbw_node *node, const uint8_t *bytes, size_t len) {
  uint8_t *after;
  size_t after_len;
  take(node, &after, &after_len);
  REQUIRE(after_len == len && memcmp(after, bytes, len) == 0);
  bbw_mem_libc.free(NULL, after, after_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  test_mem mem;
  test_mem_init(&mem);
  mem.limit_bytes = 64u << 20;
  node_script s = {data, data + len, false};
  uint8_t which = node_script_take(&s);
  bbw_config config;
  node_script_config(&config, node_script_take(&s));
  size_t calls = node_script_take(&s) % CALLS_MAX, edit_count = node_script_take(&s) % (EDITS_MAX + 1);
  struct {
    size_t place;
    uint8_t add;
  } edits[EDITS_MAX];
  for (size_t i = 0; i < edit_count; i++) {
    edits[i].place = (size_t)node_script_take(&s) << 8;
    edits[i].place |= node_script_take(&s);
    edits[i].add = node_script_take(&s);
  }
  bbw_node *node = (which & 1) != 0 ? node_script_install_random(which, 1, &config, &mem.mem)
                                    : node_script_install(which >> 1, 1, &config, &mem.mem);
  if (node == NULL) { return 0; }
  for (size_t i = 0; i < calls && s.at != s.end; i++) { node_script_call(node, &s, NULL, NULL, NULL); }
  uint8_t *bytes;
  size_t bytes_len;
  take(node, &bytes, &bytes_len);
  uint8_t *edited = malloc(bytes_len);
  REQUIRE(edited != NULL);
  memcpy(edited, bytes, bytes_len);
  for (size_t i = 0; i < edit_count; i++) { edited[24 + edits[i].place % (bytes_len - 24)] += edits[i].add; }
  seal(edited, bytes_len);
  bbw_error err;
  bbw_status rv = bbw_node_restore(node, (bbw_bytes){edited, bytes_len}, &err);
  REQUIRE(err.status == (int32_t)rv);
  REQUIRE(edit_count != 0 || rv == BBW_OK);
  if (rv != BBW_OK) { require_same(node, bytes, bytes_len); }
  for (size_t i = 0; i < CALLS_MAX && s.at != s.end; i++) { node_script_call(node, &s, NULL, NULL, NULL); }
  /* Random graphs may react to their own failures for ever. */
  bool is_random = (which & 1) != 0;
  if (!is_random && (rv != BBW_OK || edit_count == 0)) { node_script_finish(node); }
  bbw_node_del(node);
  REQUIRE(mem.live_bytes == 0 && mem.live_count == 0);
  free(edited);
  bbw_mem_libc.free(NULL, bytes, bytes_len);
  return 0;
}
