/*
 * snapshot_capture: the state of a node as messages.
 *
 * Everything that a later poll may depend on is in there; what it can be computed from is not stored twice.  Nothing of the node changes.
 */
#ifndef BBW_NODE_SNAPSHOT_CAPTURE_H
#define BBW_NODE_SNAPSHOT_CAPTURE_H

#include "node/node.h"
#include "node/snapshot_schema.h"

/*
 * Fills *out; arrays and payloads live in the arena, names in the node.  Component states are not included (snapshot.c).
 * BBW_OK, BBW_E_NOMEM, or BBW_E_LIMIT when a value has no payload form because it would be larger than memory.
 */
bbw_status bbw_snapshot_capture(bbw_snap *out, const bbw_node *node, bbw_arena *arena);

#endif
