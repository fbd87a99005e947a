/*
 * snapshot_schema: the messages of a snapshot, as the table codec reads and writes them.
 *
 * proto/snapshot.proto is the same in protobuf's own language and says what each field means; this file follows it field by field.  Numbers are as decoded: nothing here is checked
 * yet (snapshot_rebuild.h).
 */
#ifndef BBW_NODE_SNAPSHOT_SCHEMA_H
#define BBW_NODE_SNAPSHOT_SCHEMA_H

#include "bbw/node.h"
#include "format/proto.h"

typedef struct bbw_snap_value {
  uint64_t type_hash;
  bbw_bytes payload;
} bbw_snap_value;

typedef struct bbw_snap_seed {
  uint32_t site;
  const bbw_snap_value *value;
  uint64_t charge;
} bbw_snap_seed;

typedef struct bbw_snap_inbound {
  bbw_bytes src_peer;
  uint64_t wire_req_id, arrival_ns, remaining_deadline_ns;
} bbw_snap_inbound;

typedef struct bbw_snap_frame {
  uint32_t graph;
  uint64_t exec_id, started_ns;
  uint32_t parent, parent_op, run;
  bool is_reaction;
  const bbw_snap_inbound *inbound;
  bbw_proto_list slots; /* bbw_snap_seed */
  bbw_proto_list fired; /* uint64_t */
} bbw_snap_frame;

typedef struct bbw_snap_ready {
  uint32_t frame, op;
} bbw_snap_ready;

typedef struct bbw_snap_parked {
  uint64_t cmd_id;
  uint32_t frame, op, state;
  bbw_proto_list results; /* bbw_snap_value */
  bbw_bytes detail;
  uint64_t deadline_ns, request_id;
} bbw_snap_parked;

typedef struct bbw_snap_timer {
  uint64_t at_ns, order, subject;
  uint32_t kind;
} bbw_snap_timer;

typedef struct bbw_snap_event {
  uint32_t kind, graph;
  bbw_proto_list seeds; /* bbw_snap_seed */
  uint64_t exec_id;
  bbw_bytes envelope, peer;
  uint64_t charge, wire_req_id;
} bbw_snap_event;

typedef struct bbw_snap_named {
  uint32_t kind;
  bbw_bytes name;
  uint64_t number, dropped;
  bbw_proto_list values;  /* bbw_snap_value */
  bbw_proto_list waiters; /* uint64_t */
} bbw_snap_named;

typedef struct bbw_snap_target {
  bbw_str name;
  bool is_done;
} bbw_snap_target;

typedef struct bbw_snap_run {
  uint32_t target, state;
  bool is_chained, has_failed;
  bbw_proto_list seeds; /* bbw_snap_seed */
} bbw_snap_run;

typedef struct bbw_snap_app_event {
  bbw_bytes topic;
  const bbw_snap_value *value;
} bbw_snap_app_event;

typedef struct bbw_snap_outbound {
  bbw_bytes peer;
  bbw_proto_list addresses; /* bbw_bytes */
  bbw_bytes tail;
  uint64_t queued_ns;
} bbw_snap_outbound;

typedef struct bbw_snap_resolve_failure {
  bbw_bytes peer;
  uint64_t op_ref;
} bbw_snap_resolve_failure;

typedef struct bbw_snap_peer {
  bbw_bytes peer;
  bbw_proto_list addresses; /* bbw_bytes */
  uint64_t ref_count, claimed;
} bbw_snap_peer;

typedef struct bbw_snap_health {
  bbw_bytes peer;
  uint32_t failures;
  uint64_t last_event_ns;
  bool is_down;
} bbw_snap_health;

typedef struct bbw_snap_backoff {
  bbw_bytes peer;
  uint32_t attempts;
  uint64_t last_attempt_ns, next_retry_ns;
  bool is_advisory;
} bbw_snap_backoff;

typedef struct bbw_snap_request {
  uint64_t id, started_at_ns, expires_at_ns, target_site;
  bool has_edge;
  uint64_t chain_id;
  uint32_t hop;
  bbw_proto_list others; /* uint64_t */
  bool is_unsent;
} bbw_snap_request;

typedef struct bbw_snap_rtt_edge {
  uint64_t chain_id;
  uint32_t hop;
  uint64_t srtt_ns, rttvar_ns, sample_count, onward_ns, next_site;
} bbw_snap_rtt_edge;

typedef struct bbw_snap_rtt_site {
  uint64_t site, srtt_ns, rttvar_ns, sample_count;
  bbw_proto_list edges; /* bbw_snap_rtt_edge */
  uint64_t last_seen_ns;
  bbw_proto_list intervals; /* uint64_t */
  uint32_t told;
  uint64_t due_ns;
} bbw_snap_rtt_site;

typedef struct bbw_snap_overload {
  bbw_bytes peer;
  uint32_t notice_count;
  uint64_t last_notice_ns, window_ns, last_overload_ns;
  bool is_silent;
} bbw_snap_overload;

typedef struct bbw_snap_component {
  bbw_str slot, type_name;
  bool has_state;
  bbw_bytes state;
} bbw_snap_component;

typedef struct bbw_snap {
  uint64_t incarnation;
  bbw_bytes peer_id;
  uint64_t artifact_hash;
  bbw_proto_list modules; /* bbw_str */
  const bbw_config *config;
  bbw_proto_list components; /* bbw_snap_component */

  uint64_t now_ns, tick_ns, next_exec_id, rng_state, bytes_in_flight;
  bool is_first_poll_done;
  uint64_t phase_at;
  bbw_proto_list started;  /* uint64_t */
  bbw_proto_list frames;   /* bbw_snap_frame */
  bbw_proto_list frontier; /* bbw_snap_ready */
  bbw_proto_list locked;   /* bbw_snap_ready */
  uint64_t next_cmd_id, unknown_completions, late_completions, duplicate_completions;
  bbw_proto_list parked; /* bbw_snap_parked */
  bbw_proto_list done;   /* uint64_t */
  bbw_proto_list timers; /* bbw_snap_timer */
  uint64_t next_timer_order, timers_dropped;

  bbw_proto_list ingress; /* bbw_snap_event */
  uint64_t ingress_dropped;
  bbw_proto_list bus; /* uint64_t */
  uint64_t bus_dropped, bus_dropped_new;
  bbw_proto_list named;      /* bbw_snap_named */
  bbw_proto_list app_events; /* bbw_snap_app_event */
  bbw_proto_list outbound;   /* bbw_snap_outbound */
  uint64_t outbound_dropped_new;
  bbw_proto_list resolve_failures; /* bbw_snap_resolve_failure */
  bbw_proto_list phases;           /* bbw_bytes */

  bbw_proto_list boot_targets; /* bbw_snap_target */
  bbw_proto_list boot_runs;    /* bbw_snap_run */
  uint64_t boot_ended;
  bool is_boot_wait_reported;

  bbw_proto_list peers;   /* bbw_snap_peer */
  bbw_proto_list blocked; /* bbw_bytes */
  bool has_allowlist;
  bbw_proto_list allowed; /* bbw_bytes */
  uint32_t failure_threshold;
  bbw_proto_list health;   /* bbw_snap_health */
  bbw_proto_list backoff;  /* bbw_snap_backoff */
  bbw_proto_list dedup;    /* uint64_t */
  bbw_proto_list requests; /* bbw_snap_request */
  uint64_t next_token;
  bbw_proto_list rtt_sites;  /* bbw_snap_rtt_site */
  bbw_proto_list rtt_chains; /* bbw_snap_rtt_edge */
  const bbw_snap_rtt_edge *rtt_global;
  bbw_proto_list overloads; /* bbw_snap_overload */
  uint64_t silent_drops;
} bbw_snap;

extern const bbw_proto_message bbw_snap_type;

#endif
