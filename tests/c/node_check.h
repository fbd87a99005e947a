/*
 * node_check: what must hold for a node after every call, whatever was called; for fuzzers and property tests.
 *
 *   ledger      the charged bytes are the sum of what slots, queues, bootstraps and names hold
 *   liveness    every execution has something left to do, and its count of work is what is queued, parked and called in it
 *   once        an operator ends once per execution, and is suspended at most once before that
 *   order       the steps of a poll come in the order of the phases; those that come once per poll come once
 */
#ifndef BBW_TEST_NODE_CHECK_H
#define BBW_TEST_NODE_CHECK_H

#include "base/map.h"
#include "bbw/node.h"

typedef struct node_check {
  bbw_map ended;     /* hash of execution and operator -> 1 suspended, 2 ended */
  size_t step_count; /* seen so far */
} node_check;

void node_check_init(node_check *check);
void node_check_free(node_check *check);
/* Looks at the steps of one poll; aborts when a rule is broken. */
void node_check_steps(node_check *check, bbw_bytes steps);
/* Looks at the node between two calls; aborts likewise. */
void node_check_state(const bbw_node *node);

#endif
