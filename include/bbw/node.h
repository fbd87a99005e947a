/*
 * node: one participant.
 *
 * A node is installed from a compiled artifact and then driven: put bytes in, call poll, act on the steps.  It does no I/O, reads no clock and starts no thread.
 * Time, randomness and identity come from the host.  All calls on one node come from one thread; a call from inside a poll is answered with BBW_E_BUSY.
 * Bytes given to a call are copied before it returns.  A refused call changes nothing.
 */
#ifndef BBW_NODE_H
#define BBW_NODE_H

#include "bbw/component.h"
#include "bbw/envelope.h"
#include "bbw/peer_id.h"
#include "bbw/step.h"

/* "No cap" for the optional caps. */
#define BBW_NO_CAP UINT64_MAX

typedef struct bbw_config {
  uint64_t cycle_op_budget;   /* operators per poll; at least 1 is run */
  uint64_t max_pending_async; /* parked operators */
  /* envelopes queued within one poll; the oldest is dropped; as many wait for slow peers; 0 is refused. */
  uint64_t max_outbound_queue;
  uint64_t max_outbound_bytes; /* memory of envelopes that wait for slow peers (bbw_node_set_send_room) */
  uint64_t bus_capacity;       /* events; the ingress queue holds four times as many; 0 is refused */
  uint64_t max_executions;     /* live executions; a delivery beyond it fails with BBW_E_LIMIT */
  uint64_t per_hop_budget_ns;  /* default time budget of a Send without one of its own */
  uint64_t
      async_deadline_ns; /* how long an operator may wait for a component or the host; 0 = for ever, unless its attribute deadline_ns says otherwise */
  uint64_t ingress_byte_budget;          /* admitted bytes that are still held */
  uint64_t backpressure_high_water_pct;  /* 1..100: how full the ingress queue is when senders are asked to slow down */
  uint64_t backpressure_k_before_silent; /* notices to a peer before its envelopes are dropped unheard; at least 1 */
  uint64_t backpressure_min_notice_interval_ns; /* the pause that a notice asks for; at least 1 */
  uint64_t max_app_event_bytes;
  uint64_t max_invoke_inputs;
  uint64_t max_invoke_bytes;
  uint64_t max_completion_result_bytes;
  bbw_envelope_caps envelope_caps;
  uint64_t rng_seed; /* of the node's generator */
  uint64_t
      step_mask; /* bit n = report steps of number n; steps that carry work (SendEnvelope, AppEvent) are always reported */
} bbw_config;

void bbw_config_init(bbw_config *config);      /* the defaults of Node specification §7.1 */
void bbw_config_init_edge(bbw_config *config); /* the edge column */

/* The configuration value of one slot. */
typedef struct bbw_slot_config {
  bbw_str slot;
  bbw_bytes config;
} bbw_slot_config;

typedef struct bbw_install_options {
  bbw_peer_id peer_id;
  const bbw_bytes *addresses; /* binary addresses; empty ones are left out */
  size_t address_count;
  bbw_bytes model; /* encoded ModelProto; copied */
  const bbw_str *targets;
  size_t target_count;
  const bbw_component_type *const *component_types; /* in addition to the shipped ones; same name: these win */
  size_t component_type_count;
  const bbw_slot_config *slot_configs;
  size_t slot_config_count;
  const bbw_config *config;   /* NULL: defaults */
  bool is_unresolved_allowed; /* install although operators are unresolved; they fail when they fire */
  bool is_mem_pooled; /* mem gives freed blocks again quickly by itself, perhaps to other nodes: this one keeps none */
} bbw_install_options;

typedef struct bbw_node bbw_node;

/*
 * Builds a node.  Errors: every E_INST_* with the fields of Node specification §13.6; BBW_E_INST_UNRESOLVED lists "nodes" as
 * "function/index domain::op_type (name): reason"; BBW_E_NOMEM; BBW_E_INVALID_VALUE for a bad address.
 */
bbw_status bbw_node_install(bbw_node **out, const bbw_install_options *options, const bbw_mem *mem, bbw_error *err);
void bbw_node_del(bbw_node *node);              /* NULL does nothing; not from inside a poll */
bool bbw_node_is_running(const bbw_node *node); /* a poll is on the stack */

/*
 * For a host of thousands of nodes, which no cache of the machine holds: begins to fetch what deliver_inbound (or, with is_poll, tick and poll) will read, while the host does something else.
 * In steps: each reads what the one before it has asked for, so some time should pass between them.  Changes nothing; does nothing in WebAssembly.
 */
#define BBW_FETCH_STEPS 4u
void bbw_node_fetch(const bbw_node *node, bool is_poll, uint32_t step);

/* Work in.  Fields of the errors as in Node specification §13.1. */
bbw_status bbw_node_tick(bbw_node *node, uint64_t now_ns); /* sets the clock; going backwards is ignored */
bbw_status bbw_node_deliver_inbound(bbw_node *node, bbw_bytes peer, bbw_bytes envelope, bbw_error *err);
/*
 * The same for large envelopes, without a copy: room gives `len` bytes to write the envelope to, deliver_room delivers them.  A node has one room: another call of room, or a delivery that
 * succeeds, takes it away; after an error it can be delivered again.  room: BBW_E_INVALID_ENVELOPE for more than the cap, BBW_E_ALLOCATION_FAILED.  deliver_room: the errors of
 * deliver_inbound, and BBW_E_ARG when there is no room.
 */
bbw_status bbw_node_inbound_room(bbw_node *node, size_t len, uint8_t **out, bbw_error *err);
bbw_status bbw_node_deliver_room(bbw_node *node, bbw_bytes peer, bbw_error *err);
bbw_status bbw_node_deliver_event(bbw_node *node, bbw_str module, bbw_str input, bbw_bytes bytes, bbw_error *err);

typedef struct bbw_named_bytes {
  bbw_str name;
  bbw_bytes bytes;
} bbw_named_bytes;

/* Starts one execution with several inputs; *exec_id receives its id. */
bbw_status bbw_node_invoke(bbw_node *node, bbw_str module, const bbw_named_bytes *inputs, size_t count,
                           uint64_t *exec_id, bbw_error *err);

/* Completes a parked operator: payload i, typed by its hash, becomes output i.  BBW_E_UNKNOWN_COMMAND (cmd_id, reason: "unknown" for an id that was never given, "late" when
 * its operator waits no more or not yet, "duplicate" when its outcome is here already) for an id nobody waits for, which is counted,
 * BBW_E_OVERSIZE_PAYLOAD, BBW_E_DECODE, BBW_E_UNKNOWN_TYPE_HASH, BBW_E_INGRESS_FULL, BBW_E_NOMEM: the operator stays parked. */
typedef struct bbw_typed_bytes {
  uint64_t type_hash;
  bbw_bytes payload;
} bbw_typed_bytes;
bbw_status bbw_node_complete(bbw_node *node, uint64_t cmd_id, const bbw_typed_bytes *results, size_t count,
                             bbw_error *err);
bbw_status bbw_node_fail(bbw_node *node, uint64_t cmd_id, bbw_str detail,
                         bbw_error *err); /* detail is cut to 4096 bytes */
/*
 * Ends an execution with everything that runs or waits in it: nothing more comes of it, no step says so, and components are told that nobody waits for their answers.  What it has
 * sent, emitted or stored under a name stays.  The id may be that of an invoke that still waits in the queue, or of a function call in the execution.  BBW_E_UNKNOWN_EXECUTION (exec_id), BBW_E_BUSY.
 */
bbw_status bbw_node_cancel(bbw_node *node, uint64_t exec_id, bbw_error *err);
/* The transport could not deliver: ends the outstanding request and counts against the peer. */
bbw_status bbw_node_send_failed(bbw_node *node, bbw_bytes peer, uint64_t wire_req_id, bbw_str reason, bbw_error *err);

/*
 * How much a peer's transport takes for now, in bytes of envelopes; the one that uses up the rest goes whole.  With 0, or when it is used up, the peer's envelopes wait, in their order, until
 * the host gives room again; nobody else waits for that.  What waits is bounded: a peer may hold as much of max_outbound_bytes and max_outbound_queue as is free, and beyond that loses its oldest envelope
 * (OutboundDropped).  BBW_NO_CAP: no limit, as at the start.  What waits is part of a snapshot, rooms are not: they belong to a connection.  BBW_E_LIMIT: above 16,384 peers with a limit.
 */
bbw_status bbw_node_set_send_room(bbw_node *node, bbw_bytes peer, uint64_t bytes, bbw_error *err);

/* One bounded cycle.  *steps receives the records of step.def, valid until the next call on this node; empty means nothing happened.
 * *is_pending is true when nothing is left to do until new work comes or the next timer is due. */
bbw_status bbw_node_poll(bbw_node *node, bbw_bytes *steps, bool *is_pending, bbw_error *err);
/*
 * A time budget beside the operator budget: every `every_ops` operators (0 counts as 1) of a poll the host is asked whether its time is up; then the poll ends as it does at the operator budget.  It runs
 * at least `every_ops` operators, so work always goes on; where the host's clock stands still during a poll the operator budget is what ends it.  The callback must not call the node.  is_up NULL: no time budget.
 */
typedef bool bbw_time_is_up(void *ctx);
void bbw_node_set_time_budget(bbw_node *node, bbw_time_is_up *is_up, void *ctx, uint64_t every_ops);
/* When poll should be called next for time's sake: the earliest timer or deadline.  False if there is none. */
bool bbw_node_next_timer(const bbw_node *node, uint64_t *at_ns);

/* Setting up.  A bootstrap target is a function with the phase `bootstrap`, named <module>__bootstrap, or a slot whose component has a bootstrap. */
typedef struct bbw_boot_request {
  bbw_str target;
  const bbw_named_bytes *inputs; /* exactly the declared inputs of the function */
  size_t input_count;
} bbw_boot_request;

typedef enum bbw_boot_status { BBW_BOOT_IDLE, BBW_BOOT_IS_RUNNING, BBW_BOOT_WAITING_FOR_INPUT } bbw_boot_status;

/*
 * Queues bootstraps; the polls that follow run them and report BootstrapComplete for each, and WaitingOnBootstrap once when one waits for the outside.  Until they are over, deliveries wait in the ingress queue.
 * count 0: every target without inputs that is not done yet, components before modules, one after another.  Otherwise these, all or none: BBW_E_BOOT_UNKNOWN_TARGET (target_name, available),
 * BBW_E_BOOT_ALREADY_QUEUED (target_name), BBW_E_BOOT_UNKNOWN_INPUT (target_name, input_name, declared), BBW_E_BOOT_MISSING_INPUT (target_name, input_name),
 * BBW_E_BOOT_ALLOCATION_FAILED (target_name, byte_count, budget_remaining).
 */
bbw_status bbw_node_run_bootstrap(bbw_node *node, const bbw_boot_request *requests, size_t count, bbw_error *err);
/* The same for the components in these slots that have a bootstrap of their own; count 0 queues nothing.  BBW_E_BOOT_UNKNOWN_SLOT (slot, available), BBW_E_BOOT_ALREADY_QUEUED. */
bbw_status bbw_node_run_bootstrap_slots(bbw_node *node, const bbw_str *slots, size_t count, bbw_error *err);
bbw_boot_status bbw_node_bootstrap_status(const bbw_node *node);
size_t bbw_node_bootstrap_count(const bbw_node *node);
/* Is it that of a component?  Its name is then that of the slot. */
bool bbw_node_bootstrap_is_slot(const bbw_node *node, size_t index);
/* Name of a target, in order of install, modules before components, and whether it ran without a failure; {NULL, 0} past the end. */
bbw_str bbw_node_bootstrap_name(const bbw_node *node, size_t index, bool *is_done);

/*
 * Snapshots: the whole state between two calls, so that a node that is restored goes on as if it had never stopped.  The same state gives the same bytes.  Not included: the artifact and the components' code, which are those of the node that restores.  A component without `save` keeps the state that it has.
 *
 * snapshot gives bytes allocated with mem (free them with *len).  BBW_E_BUSY, BBW_E_NOMEM, BBW_E_LIMIT (a value is too large to be written), BBW_E_RESTORE_COMPONENT (slot, type_name, detail) when a component
 * does not save.
 *
 * restore replaces everything, or answers an error and changes nothing:
 *   BBW_E_SNAP_DECODE           damaged bytes (detail, offset)
 *   BBW_E_RESTORE_SPEC_VERSION  of another version (got, expected)
 *   BBW_E_RESTORE_MISMATCH      of another node (what, got, expected; what: "peer_id", "artifact", "module", "component" or "component_type")
 *   BBW_E_RESTORE_COMPONENT     a component refuses its state (slot, type_name, detail)
 *   BBW_E_BUSY, BBW_E_NOMEM
 * Steps of the last poll are gone afterwards.  The clock is that of the snapshot; the host goes on from there.  A node that was installed with another rng_seed than the snapshot's keeps its
 * own, and its next requests get ids that the earlier life cannot have given after the snapshot was taken; a host that starts again after a crash installs with a new seed.
 */
#define BBW_SNAPSHOT_VERSION 1u
bbw_status bbw_node_snapshot(const bbw_node *node, uint8_t **out, size_t *len, const bbw_mem *mem, bbw_error *err);
bbw_status bbw_node_restore(bbw_node *node, bbw_bytes snapshot, bbw_error *err);
/*
 * Takes over a snapshot of the reference implementation, 0.3.6: address book, block and allow lists, health, backoff, counters, queued lifecycle phases, components' states, suspended
 * operators and unsent envelopes.  Everything else is as after install (the reference does not capture more), but the clock, the configuration and the id counters go on; bootstraps
 * count as done; an operator that waited for time starts its wait again; one inside a function call or bootstrap is forgotten.  Errors as restore, with "graph" as one more `what`; nothing changes then.
 */
bbw_status bbw_node_import_snapshot(bbw_node *node, bbw_bytes snapshot, bbw_error *err);
/* 0 after install; after a restore one more than the snapshot's. */
uint64_t bbw_node_incarnation(const bbw_node *node);

typedef struct bbw_snapshot_info {
  uint32_t version;
  uint64_t incarnation;
  bbw_peer_id peer_id;
  uint64_t artifact_hash; /* SipHash-1-3 of the artifact */
  uint64_t now_ns;        /* the clock when it was taken */
  uint64_t message_bytes; /* behind the header */
} bbw_snapshot_info;
/* What a snapshot says about itself, without a node and without memory.  BBW_E_SNAP_DECODE, BBW_E_RESTORE_SPEC_VERSION as above. */
bbw_status bbw_snapshot_read_info(bbw_snapshot_info *out, bbw_bytes snapshot, bbw_error *err);

/* Peers. */
bbw_status bbw_node_add_peer(bbw_node *node, bbw_bytes peer, const bbw_bytes *addresses, size_t count, bbw_error *err);
/*
 * The host has seen the peer at this address, as its transport knows it.  It is kept beside what the peer says of itself, which never drives it out, and makes an unknown peer known.  BBW_E_ARG for
 * the node's own id, errors of addresses and of the book.
 */
bbw_status bbw_node_observe_peer(bbw_node *node, bbw_bytes peer, bbw_bytes address, bbw_error *err);
bbw_status bbw_node_drop_peer(bbw_node *node, bbw_bytes peer, bbw_error *err);
bbw_status bbw_node_block_peer(bbw_node *node, bbw_bytes peer, bbw_error *err);
bbw_status bbw_node_unblock_peer(bbw_node *node, bbw_bytes peer, bbw_error *err);
/* peers == NULL: open; count 0 with peers != NULL: nobody is allowed. */
bbw_status bbw_node_set_allowlist(bbw_node *node, const bbw_bytes *peers, size_t count, bbw_error *err);

typedef struct bbw_peer_standing {
  uint32_t consecutive_failures;
  uint64_t last_event_ns;
  bool is_down;
} bbw_peer_standing;
/* False until a success or failure of the peer was recorded, and for bytes that are no peer id. */
bool bbw_node_peer_health(const bbw_node *node, bbw_bytes peer, bbw_peer_standing *out);
/* The addresses of a peer, borrowed until the node is next called; false for an unknown peer or an empty list.  The node's own id gives the local addresses. */
bool bbw_node_peer_addresses(const bbw_node *node, bbw_bytes peer, const bbw_bytes **items, size_t *count);
/* Known peers, this node among them if it has addresses, in the order in which they became known; {NULL} past the end. */
const bbw_peer_id *bbw_node_known_peer(const bbw_node *node, size_t index);
/* Adds an address of this node unless it has it already; BBW_E_AB_ALLOCATION_FAILED, address errors. */
bbw_status bbw_node_add_local_address(bbw_node *node, bbw_bytes address, bbw_error *err);
/* Removes one; an address that is not there is fine.  BBW_E_AB_UNKNOWN_PEER when the node never had one. */
bbw_status bbw_node_forget_local_address(bbw_node *node, bbw_bytes address, bbw_error *err);

/* Queues a lifecycle phase: the next poll runs the LifecyclePhase operators of that name and reports LifecycleFired. */
bbw_status bbw_node_fire_lifecycle(bbw_node *node, bbw_str phase, bbw_error *err);

/* Applies other limits.  What is held already stays, also where it is more than a new limit.  rng_seed is not read.  BBW_E_ARG (field) as at install; nothing changes then. */
bbw_status bbw_node_set_config(bbw_node *node, const bbw_config *config, bbw_error *err);
const bbw_config *bbw_node_get_config(const bbw_node *node);

/* Ends all executions and forgets what waits: deliveries, parked operators, timers, events, envelopes, counters.  Graphs, components, peers, clock and id counters stay. */
bbw_status bbw_node_clear(bbw_node *node, bbw_error *err);

/* Called with every step, in order, before poll returns.  The callback must not call the node (BBW_E_BUSY).  tap NULL removes it. */
typedef void bbw_tap(void *ctx, const struct bbw_step *step);
void bbw_node_set_tap(bbw_node *node, bbw_tap *tap, void *ctx);
/* Called once when the first new work arrives after a poll that left nothing to do.  wake NULL removes it. */
typedef void bbw_wake(void *ctx);
void bbw_node_set_waker(bbw_node *node, bbw_wake *wake, void *ctx);

/* Reading. */
typedef struct bbw_stats {
  uint64_t frontier_len, bus_len, pending_async, slot_table_occupied, ingress_depth, outbound_queue_depth;
  uint64_t event_subscriptions, registered_components, graph_slots;
  uint64_t executions, ingress_bytes_in_flight, ingress_dropped, bus_dropped, timers, timers_dropped;
  uint64_t unknown_completions, unresolved_ops;
  uint64_t late_completions, duplicate_completions, silent_drops,
      held_bytes; /* held_bytes: in Serialize, Hold and Record; part of ingress_bytes_in_flight */
} bbw_stats;
void bbw_node_stats(const bbw_node *node, bbw_stats *out);

size_t bbw_node_module_count(const bbw_node *node);
bbw_str bbw_node_module_name(const bbw_node *node, size_t index); /* in the order of the targets */
size_t bbw_node_component_count(const bbw_node *node);
/* Slot, type and roles of a component, and (instance may be NULL) the instance for C hosts.  False past the end. */
bool bbw_node_component(const bbw_node *node, size_t index, bbw_str *slot, bbw_str *type_name, uint32_t *role_bits,
                        void **instance);
/* Component bound at a slot name; false if there is none. */
bool bbw_node_slot(const bbw_node *node, bbw_str slot, size_t *index);
/* A live execution: how many of its value sites are filled; false when it is over or never was. */
bool bbw_node_execution(const bbw_node *node, uint64_t exec_id, uint32_t *filled_sites);
/* The artifact that was installed, borrowed as long as the node lives. */
bbw_bytes bbw_node_model(const bbw_node *node);
const bbw_peer_id *bbw_node_peer_id(const bbw_node *node);
bool bbw_node_counter(const bbw_node *node, bbw_str name, uint64_t *out); /* IncrMetric counters */

#endif
