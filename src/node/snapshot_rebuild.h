/*
 * snapshot_rebuild: a decoded snapshot as the state of an engine.
 *
 * The engine is fresh: it has its components, bootstrap targets and subscriptions, and borrows the graphs of the node.  Nothing in a snapshot is trusted: every index is in range,
 * every count agrees with what it counts, every queued op is one that may run, all charges add up.  Limits of the configuration are not applied: a node keeps what it holds when a limit is lowered.
 * What fails is answered with BBW_E_NOMEM, or BBW_E_SNAP_DECODE (field "detail") when the content contradicts itself or the artifact,
 * and the engine is then only good for freeing.
 */
#ifndef BBW_NODE_SNAPSHOT_REBUILD_H
#define BBW_NODE_SNAPSHOT_REBUILD_H

#include "node/node.h"
#include "node/snapshot_schema.h"

typedef struct bbw_rebuild {
  const bbw_snap *snap;
  bbw_engine *engine;
  bbw_arena *arena;   /* for the time of the rebuild */
  bbw_frame **frames; /* by index in the snapshot */
  bbw_error *err;
  bool has_lost_values; /* executions come without the values that their ops have used */
} bbw_rebuild;

/* In this order. */
bbw_status bbw_rebuild_executions(bbw_rebuild *r); /* frames, frontier, parked ops, timers, bootstraps */
bbw_status bbw_rebuild_queues(bbw_rebuild *r);     /* ingress, bus, named tables, output */
bbw_status bbw_rebuild_peers(bbw_rebuild *r);      /* address book, governor, backoff, dedup, requests */

/* Shared by the parts. */
bbw_status bbw_rebuild_bad(const bbw_rebuild *r, const char *detail);
/* NOMEM stays what it is, any other failure becomes bad(detail). */
bbw_status bbw_rebuild_failed(const bbw_rebuild *r, bbw_status rv, const char *detail);
bbw_status bbw_rebuild_peer(const bbw_rebuild *r, bbw_bytes bytes, bbw_peer_id *out);
/* One reference.  Exactly the bytes of the payload. */
bbw_status bbw_rebuild_value(const bbw_rebuild *r, const bbw_snap_value *value, bbw_value **out);
/* Notes `bytes` as charged; no more than the snapshot says in all. */
bbw_status bbw_rebuild_charge(const bbw_rebuild *r, uint64_t bytes, size_t *out);
/* Values for sites of a graph; *out is an array of list->count, charged, NULL when empty. */
bbw_status bbw_rebuild_seeds(const bbw_rebuild *r, const bbw_graph *graph, const bbw_proto_list *list, bbw_seed **out);

#endif
