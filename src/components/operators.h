/*
 * operators: which operator of a component is meant?
 *
 * A component lists its operators once; what it supports and what it runs follow from the list.  Of the role Protocol an operator that is for the network is never run by a graph, and
 * the reverse; those of other roles cannot be reached from the network.
 */
#ifndef BBW_COMPONENTS_OPERATORS_H
#define BBW_COMPONENTS_OPERATORS_H

#include "bbw/component.h"

typedef struct bbw_operator {
  const char *op_type;
  bbw_role role;
  bool is_remote; /* Protocol: an envelope calls it */
  bbw_status (*run)(void *self, bbw_ctx *ctx);
} bbw_operator;

/* Is there an operator of that name in that role? */
bool bbw_operators_have(const bbw_operator *operators, size_t count, bbw_role role, bbw_str op_type);
/* Runs the one that ctx names.  Fails with reason "unknown op_type" when there is none. */
bbw_status bbw_operators_run(const bbw_operator *operators, size_t count, void *self, bbw_ctx *ctx);

#endif
