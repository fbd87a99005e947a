/*
 * node: what a node owns beside its engine.
 */
#ifndef BBW_NODE_NODE_H
#define BBW_NODE_NODE_H

#include "base/arena.h"
#include "base/mem_cache.h"
#include "bbw/node.h"
#include "engine/engine.h"
#include "format/onnx.h"

/* What a component was constructed from; kept for those that a restore makes anew. */
typedef struct bbw_component_config {
  bool is_given;
  bbw_bytes bytes;
} bbw_component_config;

/* What every delivery and every poll reads comes first. */
struct bbw_node {
  const bbw_mem *mem; /* the cache's, or that behind it */
  bbw_tap *tap;
  void *tap_ctx;
  bbw_wake *wake;
  void *wake_ctx;
  bbw_inbound_event *room; /* where the host writes an envelope; NULL: nowhere */
  bool is_asleep;          /* the last poll left nothing to do and nobody was woken since */
  bbw_engine engine;
  bbw_graph **modules; /* the targets, in the order of the call; in the arena */
  size_t module_count;
  uint64_t unresolved_ops;
  bbw_bytes model_bytes;                   /* in the arena */
  bbw_arena arena;                         /* the model's bytes and its decoded form, slot names, target names */
  bbw_component_config *component_configs; /* one per component; in the arena */
  uint64_t incarnation;                    /* restores that this node has lived through */
  bbw_onnx_model model;
  bbw_mem_cache cache;
};

/* What a host must act on is always reported. */
#define BBW_STEP_MASK_ALWAYS (UINT64_C(1) << BBW_STEP_SEND_ENVELOPE | UINT64_C(1) << BBW_STEP_APP_EVENT)

/* BBW_E_ARG (field) for a limit that has no meaning. */
bbw_status bbw_config_check(const bbw_config *config, bbw_error *err);

/* The error of the address book with the fields of Node specification §13.7: peer, cap, requested. */
bbw_status bbw_node_book_failed(const bbw_node *node, bbw_status rv, const bbw_peer_id *peer, size_t requested,
                                bbw_error *err);

/* New work is there: wakes the host if it sleeps. */
void bbw_node_notify(bbw_node *node);

/* The module of that name, or of that name in front of a '#', if only one has it; NULL otherwise. */
bbw_graph *bbw_node_module_find(const bbw_node *node, bbw_str name);

#endif
