/*
 * node: what a node owns beside its engine.
 */
#ifndef BBW_NODE_NODE_H
#define BBW_NODE_NODE_H

#include "base/arena.h"
#include "bbw/node.h"
#include "engine/engine.h"
#include "format/onnx.h"

struct bbw_node {
  const bbw_mem *mem;
  bbw_arena arena; /* the model's bytes and its decoded form, slot names, target names */
  bbw_onnx_model model;
  bbw_engine engine;
  bbw_graph **modules; /* the targets, in the order of the call; in the arena */
  size_t module_count;
  uint64_t unresolved_ops;
};

/* The module of that name, or of that name in front of a '#', if only one has it; NULL otherwise. */
bbw_graph *bbw_node_module_find(const bbw_node *node, bbw_str name);

#endif
