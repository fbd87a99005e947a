/*
 * engine: the state machine inside a node.
 *
 * Single-threaded and sans-IO.  Work enters through the ingress queue (ingress.h, inbound.h), runs in frames (frame.h) through the frontier, and leaves as step records
 * (steps.h).  The parts below are plain structs that the files of this room share; other rooms use the functions.
 * Source: engine specification.
 */
#ifndef BBW_ENGINE_ENGINE_H
#define BBW_ENGINE_ENGINE_H

#include "base/map.h"
#include "base/vec.h"
#include "bbw/node.h"
#include "engine/async.h"
#include "engine/bootstrap.h"
#include "engine/bus.h"
#include "engine/frame.h"
#include "engine/frontier.h"
#include "engine/graph.h"
#include "engine/ingress.h"
#include "engine/named.h"
#include "engine/op.h"
#include "engine/outbound.h"
#include "engine/steps.h"
#include "engine/timers.h"
#include "peers/address_book.h"
#include "peers/backoff.h"
#include "peers/backpressure.h"
#include "peers/dedup.h"
#include "peers/governor.h"
#include "peers/request_tracker.h"
#include "peers/rtt.h"

/* A component bound to a slot. */
struct bbw_component {
  const bbw_component_type *type;
  void *self;
  bbw_str slot;
  bool is_running; /* its dispatch is on the stack; it is absent for dependencies then */
};

/* No counter of ids comes so far by counting: one that a snapshot sets higher would wrap, and give ids that are taken. */
#define BBW_ID_MAX ((uint64_t)1 << 62)

struct bbw_engine {
  const bbw_mem *mem;
  bbw_config config;
  bbw_peer_id self_peer;
  bool is_running;
  bool is_first_poll_done;
  uint64_t bytes_in_flight; /* charged against config.ingress_byte_budget */
  bbw_ingress ingress;

  bbw_vec graphs;     /* bbw_graph * */
  bbw_vec components; /* bbw_component */
  bbw_map routes;     /* number of a site in an address -> graph index << 32 | site; Recv payloads only */
  bbw_value *trigger; /* the one Trigger value; shared by all slots */

  bbw_frontier frontier;
  bbw_frontier locked; /* ready ops that wait for a bootstrap, in their order */
  bbw_bootstrap bootstrap;
  size_t frontier_reserved; /* ops of all live frames that were not dispatched yet */
  bbw_frame *frames_first;
  bbw_frame *frames_last;
  uint64_t frame_count;
  uint64_t slot_count; /* filled slots */
  uint64_t next_exec_id;

  uint64_t now_ns;
  uint64_t tick_ns; /* the host's latest time; becomes now_ns at the next poll */
  bbw_timers timers;
  bbw_async async;
  bbw_bus bus;
  bbw_named named;
  uint64_t rng_state;

  bbw_step_buffer steps;
  bbw_outbound outbound;
  bbw_vec app_events;       /* bbw_app_event; has room for every output that live executions can still produce */
  size_t outputs_reserved;  /* outputs of all live frames of entry graphs */
  bbw_vec resolve_failures; /* bbw_resolve_failure */
  bbw_vec phases;           /* bbw_bytes: lifecycle phases to fire, owned copies */
  uint64_t phase_at;        /* op_ref from which the first of them goes on; 0 = from the start */

  bbw_address_book address_book;
  bbw_governor governor;
  bbw_backoff backoff;
  bbw_dedup dedup;
  bbw_requests requests;
  bbw_rtt rtt;
  bbw_backpressure backpressure;
  uint64_t silent_drops; /* envelopes of peers that did not heed the notices */

  bbw_ctx ctx;                /* of the op that runs: one at a time; ctx.engine is set by each poll */
  size_t scratch_input_count; /* ctx.inputs and ctx.outputs are as long as the widest op needs */
  size_t scratch_output_count;
  bbw_vec temps; /* bbw_value *: decoded inputs of the op that runs */

  bbw_time_is_up *time_is_up; /* NULL: a poll has no time budget */
  void *time_ctx;
  uint64_t time_check_ops; /* it is asked after so many ops; at least 1 */
  size_t depth_at_poll;    /* events in the ingress queue when the poll began */
  uint64_t ops_invoked;    /* in this poll */
  bbw_status poll_status;  /* why the poll stops early, or BBW_OK */
  bool is_budget_hit;
  bool is_held; /* work waits because the cap on live executions is reached */
};

/* What a function output or an emitted event will be reported as, at the end of the poll. */
typedef struct bbw_app_event {
  bbw_str topic;    /* lives in the model */
  bbw_value *value; /* NULL: no bytes */
} bbw_app_event;

typedef struct bbw_resolve_failure {
  bbw_peer_id peer;
  uint64_t op_ref;
} bbw_resolve_failure;

bbw_backpressure_config bbw_engine_backpressure_config(const bbw_config *config);
bbw_status bbw_engine_init(bbw_engine *engine, const bbw_peer_id *self, const bbw_config *config, const bbw_mem *mem);
void bbw_engine_free(bbw_engine *engine); /* safe after a failed init */

static inline bbw_graph *bbw_engine_graph(const bbw_engine *engine, size_t index) {
  return *BBW_VEC_AT(&engine->graphs, bbw_graph *, index);
}
static inline bbw_component *bbw_engine_component(const bbw_engine *engine, size_t index) {
  return BBW_VEC_AT(&engine->components, bbw_component, index);
}

/* Ends all executions and forgets what waits; graphs, components, peers, clock and ids stay. */
void bbw_engine_clear(bbw_engine *engine);

/* The byte budget.  charge answers false and changes nothing when the budget does not allow it. */
bool bbw_engine_charge(bbw_engine *engine, size_t bytes);
void bbw_engine_release(bbw_engine *engine, uint64_t bytes);
uint64_t bbw_engine_budget_left(const bbw_engine *engine);

uint64_t bbw_engine_random(bbw_engine *engine);

/* Makes the scratch arrays wide enough for every op of a graph. */
bbw_status bbw_engine_fit_scratch(bbw_engine *engine, const bbw_graph *graph);

/* Starts an execution of an entry graph with values for some sites, which move in only on BBW_OK.  exec_id NULL: the next id. */
bbw_status bbw_engine_start(bbw_engine *engine, bbw_graph *graph, const bbw_seed *seeds, size_t count,
                            const uint64_t *exec_id);
/* Frees what seeds hold, charges included. */
void bbw_engine_drop_seeds(bbw_engine *engine, const bbw_seed *seeds, size_t count);
/*
 * Writes a value (ownership moves in) to a site, reports it if it is an output of the node, and hands it to the caller if the frame is a function body.  The readers in the frame itself are
 * woken by bbw_frame_wake, after everything that belongs together is written.
 */
void bbw_engine_write(bbw_engine *engine, bbw_frame *frame, uint32_t site, bbw_value *value, size_t charge);
/* Reports the value of a site of an entry graph that is an output and has no reader. */
void bbw_engine_surface(bbw_engine *engine, const bbw_frame *frame, uint32_t site);
/* Queues an event for the application (the value's reference moves in on BBW_OK). */
bbw_status bbw_engine_emit(bbw_engine *engine, bbw_str topic, bbw_value *value);

/* Runs one ready op (dispatch.c).  The caller has reserved room for its step.  An op of the same frame that is now the only one that is ready is not queued but answered, for the caller to run next; else
 * BBW_NO_INDEX. */
uint32_t bbw_engine_dispatch(bbw_engine *engine, bbw_frame *frame, const bbw_op *op);
/* One more slice of an op that is resumed; the caller has reserved room for its step. */
void bbw_engine_run_slice(bbw_engine *engine, const bbw_parked *parked);
/* Does the component behind an op work in slices? */
bool bbw_engine_is_sliced(const bbw_engine *engine, const bbw_op *op);
/* Nobody waits for the command any more; tells the component behind it and forgets it. */
void bbw_engine_abandon(bbw_engine *engine, const bbw_parked *parked);
/*
 * Ends the execution that `exec_id` belongs to, with the calls in it: queued and parked ops are forgotten, values and charges freed.  An invoke that still waits in the queue is taken out.
 * False when there is no such execution.
 */
bool bbw_engine_cancel(bbw_engine *engine, uint64_t exec_id);
/* Writes the results of an op that was parked and reports it. */
void bbw_engine_finish_parked(bbw_engine *engine, bbw_parked *parked);

/* The operator that waits for the answer to a request, or NULL; and how much room its report needs (0 for NULL). */
bbw_parked *bbw_engine_waiter(bbw_engine *engine, const bbw_request *request);
size_t bbw_engine_waiter_room(const bbw_parked *waiter);
/* Lets it go on.  The caller has reserved the room. */
void bbw_engine_resume(bbw_engine *engine, const bbw_parked *waiter, bbw_outcome *outcome);

/* Runs a protocol's operator for an envelope that addresses the component (dispatch.c).  Outputs are dropped, errors are published. */
bbw_status bbw_engine_call_protocol(bbw_engine *engine, uint32_t index, bbw_str op_type, bbw_value *payload,
                                    bbw_value *correlation, const bbw_inbound *inbound);

/* Counts a success or failure of a peer and reports when it goes down or comes back. */
void bbw_engine_note_health(bbw_engine *engine, const bbw_peer_id *peer, bool is_success);

/* Says that a peer was refused, by the step PeerBlocked. */
void bbw_engine_report_blocked(bbw_engine *engine, const bbw_peer_id *peer, bbw_verdict verdict);

/* Routes one decoded envelope and frees it (inbound.c). */
void bbw_engine_deliver(bbw_engine *engine, bbw_inbound_event *event);

/* Lets ops that waited for a bootstrap go on, in front of all others. */
void bbw_engine_unlock(bbw_engine *engine);
/* Work that found no room for its execution waits; only a lack of memory is worth reporting. */
void bbw_engine_note_held(bbw_engine *engine, bbw_status rv);

/* One cycle (poll.c); the records are in engine->steps. */
bbw_status bbw_engine_poll(bbw_engine *engine);
bool bbw_engine_is_idle(const bbw_engine *engine);
bool bbw_engine_next_timer(const bbw_engine *engine, uint64_t *at_ns);

#endif
