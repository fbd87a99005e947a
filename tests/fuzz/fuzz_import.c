/*
 * Any bytes as a snapshot of the reference: refused, and the node stays as it is, or taken over, and the node works and gives everything back.
 *
 * Byte 0 chooses the node; the first bytes of the rest are the snapshot, and the script of the calls that follow is read from its end.
 */
#include "fuzz.h"
#include "node/node.h"
#include "node_script.h"

#define CALLS_MAX 40

static void take(const bbw_node *node, uint8_t **bytes, size_t *len) {
  REQUIRE(bbw_node_snapshot(node, bytes, len, &bbw_mem_libc, NULL) == BBW_OK);
}

/* The artifacts of the golden snapshots among those of the script's nodes; the others take only snapshots without graphs. */
static const uint8_t nodes[] = {0, 5, 7, 11, 12, 13};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  test_mem mem;
  test_mem_init(&mem);
  mem.limit_bytes = 64u << 20;
  if (len == 0) { return 0; }
  bbw_config config;
  bbw_config_init(&config);
  bbw_node *node = node_script_install(nodes[data[0] % sizeof(nodes)], 1, &config, &mem.mem);
  REQUIRE(node != NULL);
  uint8_t *before, *after;
  size_t before_len, after_len;
  take(node, &before, &before_len);
  uint8_t *exact = malloc(len);
  REQUIRE(exact != NULL);
  memcpy(exact, data + 1, len - 1);
  bbw_status rv = bbw_node_import_snapshot(node, (bbw_bytes){exact, len - 1}, NULL);
  free(exact);
  REQUIRE(rv != BBW_E_NOMEM || len > 100000);
  if (rv != BBW_OK) {
    take(node, &after, &after_len);
    REQUIRE(after_len == before_len && memcmp(after, before, before_len) == 0);
    bbw_mem_libc.free(NULL, after, after_len);
  }
  bbw_mem_libc.free(NULL, before, before_len);
  /* What was taken over survives a snapshot of our own. */
  take(node, &before, &before_len);
  REQUIRE(bbw_node_restore(node, (bbw_bytes){before, before_len}, NULL) == BBW_OK || rv == BBW_OK);
  bbw_mem_libc.free(NULL, before, before_len);
  node_script s = {data + (len > 60 ? len - 60 : 1), data + len, false};
  for (unsigned n = 0; n < CALLS_MAX && s.at < s.end; n++) { node_script_call(node, &s, &mem, NULL, NULL); }
  mem.fail_at = TEST_MEM_NEVER;
  node_script_finish(node);
  bbw_node_del(node);
  REQUIRE(mem.live_bytes == 0 && mem.live_count == 0);
  return 0;
}
