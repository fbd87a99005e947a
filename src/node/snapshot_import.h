/*
 * snapshot_import: what does a snapshot of the reference say, in the words of ours?
 *
 * Reads the bincode form of reference 0.3.6 (Node specification §14.2) and writes it as a bbw_snap, which then goes through the same checks as a snapshot of our own.  The reference captures
 * less: what it leaves out (executions and their values, timers, the clock, requests, what is held under names) is as after install, except that the clock, the configuration
 * and the id counters of the node stay when they are further on.  Bounded by the input: every count is checked against the bytes that are left.
 */
#ifndef BBW_NODE_SNAPSHOT_IMPORT_H
#define BBW_NODE_SNAPSHOT_IMPORT_H

#include "node/node.h"
#include "node/snapshot_schema.h"

/*
 * BBW_E_SNAP_DECODE (offset, detail), BBW_E_RESTORE_SPEC_VERSION (got, expected), BBW_E_RESTORE_MISMATCH (what: "peer_id", "graph" or "component"; got, expected), BBW_E_NOMEM.
 *   out    points into `bytes`, the arena and the node
 */
bbw_status bbw_snapshot_import(bbw_snap *out, const bbw_node *node, bbw_bytes bytes, bbw_arena *arena, bbw_error *err);

#endif
