/*
 * Any script of host calls: the node answers each, keeps its caps and what node_check.h says (the ledger of bytes, no stranded execution, every operator once, the order of steps), and once
 * everything parked is answered it holds nothing; deleted, it has given back every byte.
 *
 * Bytes 0 and 1 choose artifact and configuration; each further byte starts a call and is followed by its arguments.
 */
#include "fuzz.h"
#include "node/node.h"
#include "node_check.h"
#include "node_script.h"

#define CALLS_MAX 300

/* No count passes its cap; what was above a cap that a call has lowered does not grow. */
static void check(const bbw_node *node, bbw_stats *before) {
  bbw_stats stats;
  bbw_node_stats(node, &stats);
  const bbw_config *config = &node->engine.config;
  REQUIRE(stats.ingress_bytes_in_flight <= config->ingress_byte_budget ||
          stats.ingress_bytes_in_flight <= before->ingress_bytes_in_flight);
  REQUIRE(stats.executions <= config->max_executions || stats.executions <= before->executions);
  REQUIRE(stats.pending_async <= config->max_pending_async || stats.pending_async <= before->pending_async);
  *before = stats;
}

static void look_at_poll(void *ctx, bbw_status status, bbw_bytes steps, bool is_pending) {
  (void)status;
  (void)is_pending;
  node_check_steps(ctx, steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  test_mem mem;
  test_mem_init(&mem);
  mem.limit_bytes = 64u << 20;
  node_script s = {data, data + len, true};
  uint8_t which = node_script_take(&s);
  bbw_config config;
  node_script_config(&config, node_script_take(&s));
  /* Half of the inputs play on random small graphs. */
  bbw_node *node = (which & 1) != 0 ? node_script_install_random(which >> 1 | (uint64_t)node_script_take(&s) << 8, 1,
                                                                 &config, &mem.mem)
                                    : node_script_install(which >> 1, 1, &config, &mem.mem);
  node_check steps_seen;
  node_check_init(&steps_seen);
  bbw_stats before = {.executions = 0};
  for (unsigned n = 0; node != NULL && n < CALLS_MAX && s.at != s.end; n++) {
    node_script_call(node, &s, &mem, look_at_poll, &steps_seen);
    check(node, &before);
    node_check_state(node);
  }
  mem.fail_at = TEST_MEM_NEVER;
  if (node != NULL) { node_script_finish(node); }
  node_check_free(&steps_seen);
  bbw_node_del(node);
  REQUIRE(mem.live_bytes == 0 && mem.live_count == 0);
  return 0;
}
