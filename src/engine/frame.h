/*
 * frame: the state of one execution of one graph.
 *
 * A slot per site and a count of missing inputs per op.  What the slots hold of the ingress budget is one sum: they are emptied together.  Writing a slot lowers the counts of its consumers; an op whose count reaches zero is queued, once.  `work` counts what
 * can still happen in the frame: queued ops, parked ops, running calls.  At zero the execution is over and everything it held is freed at once.
 * Source: design of the engine; engine specification §4-§6.
 */
#ifndef BBW_ENGINE_FRAME_H
#define BBW_ENGINE_FRAME_H

#include "bbw/peer_id.h"
#include "bbw/value.h"
#include "engine/graph.h"

/* Bytes of idle frames that a graph keeps for reuse: a burst of executions finds its frames again. */
#define BBW_FRAMES_IDLE_BYTES_MAX 262144u
/* How deep function calls may nest. */
#define BBW_CALL_DEPTH_MAX 64u
/* In `missing`: the op was queued in this execution. */
#define BBW_OP_FIRED UINT32_MAX

typedef struct bbw_engine bbw_engine;

/* What an envelope says about the executions that it starts; shared by reference count. */
typedef struct bbw_inbound {
  bbw_shared shared;
  bbw_peer_id src_peer;
  uint64_t wire_req_id; /* 0 = none */
  uint64_t arrival_ns;
  uint64_t remaining_deadline_ns; /* 0 = none */
} bbw_inbound;

/* One allocation: the struct, a slot per site, and a count per op of the inputs that are still missing. */
struct bbw_frame {
  uint64_t exec_id;
  uint64_t started_ns;
  uint64_t charge; /* bytes of the ingress budget that the values in the slots hold */
  bbw_frame *prev; /* live frames of the engine, in order of creation */
  bbw_frame *next;
  bbw_graph *graph;
  bbw_frame *parent;         /* of a function body: the frame of the caller */
  struct bbw_boot_run *boot; /* of a bootstrap: its run */
  bbw_inbound *inbound;      /* NULL outside executions that an envelope started */
  uint32_t parent_op;
  uint32_t work;
  uint32_t undispatched; /* ops for which the frontier keeps room */
  uint16_t depth;
  bool
      is_reaction; /* an event of the bus started it: what fails in it makes no further events, so that handlers never keep each other going */
  bbw_value *slots[]; /* NULL: empty */
};

/* Per op: distinct inputs that are missing, or BBW_OP_FIRED. */
static inline uint32_t *bbw_frame_missing(const bbw_frame *frame) {
  return (uint32_t *)(uintptr_t)&frame->slots[frame->graph->site_count];
}

/* exec_id NULL: the next id.  A new live frame at the end of the engine's list.  The frontier has room for all of its ops afterwards, so that queuing cannot fail.  BBW_OK, BBW_E_NOMEM, BBW_E_LIMIT. */
bbw_status bbw_frame_new(bbw_frame **out, bbw_engine *engine, bbw_graph *graph, const uint64_t *exec_id);
/* Puts a value (ownership and charge move in) into a slot; false when the slot was filled: it keeps its first value. */
bool bbw_frame_store(bbw_engine *engine, bbw_frame *frame, uint32_t site, bbw_value *value, size_t charge);
/* Queues the readers of a site that are ready now.  Called after all values of one step are stored, so that the order of sites is the order of their readers. */
void bbw_frame_wake(bbw_engine *engine, bbw_frame *frame, uint32_t site);
/* Queues one op, unless it was queued before in this execution. */
void bbw_frame_queue(bbw_engine *engine, bbw_frame *frame, uint32_t op);
/* Queues the ops without inputs in one part of the graph (BBW_NO_INDEX: in all parts). */
void bbw_frame_start_part(bbw_engine *engine, bbw_frame *frame, uint32_t part);
/* One unit of work is done; ends the frame, and callers that waited for it, when none is left. */
void bbw_frame_work_done(bbw_engine *engine, bbw_frame *frame);
/* Ends the frame now if nothing can happen in it. */
void bbw_frame_end_if_idle(bbw_engine *engine, bbw_frame *frame);
/* Drops a frame with all it holds, whatever is left to do; queued and parked ops must have been removed. */
void bbw_frame_drop(bbw_engine *engine, bbw_frame *frame);

void bbw_inbound_release(bbw_inbound *inbound, const bbw_mem *mem);
void bbw_frame_pool_free(bbw_graph *graph, const bbw_mem *mem);

#endif
