/*
 * node_script: bytes as a script of host calls, for tests that compare nodes and for fuzzers.
 *
 * Each byte starts a call and is followed by its arguments; a script that ends goes on with zeros.  What a call does depends on the script and the state of the node only, so two nodes in the same state
 * that are given the same script stay in the same state.
 */
#ifndef BBW_TEST_NODE_SCRIPT_H
#define BBW_TEST_NODE_SCRIPT_H

#include "bbw/node.h"
#include "test_mem.h"

typedef struct node_script {
  const uint8_t *at, *end;
  bool
      has_rooms; /* it may say how much the transports of peers take; a snapshot keeps no rooms, so nodes that are compared after a restore have none */
} node_script;

uint8_t node_script_take(node_script *s);

/* Configuration from six bits: small limits. */
void node_script_config(bbw_config *config, uint8_t flags);

/* Installs artifact number `which` (mod all there are) with all its targets, at most four, as that peer; components answer in every way (moody_components.h).  NULL when it is refused. */
bbw_node *node_script_install(uint8_t which, uint64_t peer, const bbw_config *config, const bbw_mem *mem);
/* The same with a random small graph as target M. */
bbw_node *node_script_install_random(uint64_t seed, uint64_t peer, const bbw_config *config, const bbw_mem *mem);

/* What a poll answered, for whoever keeps a log; called at the end of each poll. */
typedef void node_script_log(void *ctx, bbw_status status, bbw_bytes steps, bool is_pending);

/* Makes the next call.  mem not NULL: the script may also let memory fail. */
void node_script_call(bbw_node *node, node_script *s, test_mem *mem, node_script_log *log, void *ctx);

/* One poll; the records must tile the buffer.  True when nothing is left to do. */
bool node_script_poll(bbw_node *node, node_script_log *log, void *ctx);
/* Fails everything parked and polls until nothing is left; aborts when something stays. */
void node_script_finish(bbw_node *node);

#endif
