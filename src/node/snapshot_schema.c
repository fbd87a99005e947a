#include "node/snapshot_schema.h"

/* A row of a field table.  STRUCT names the struct that the rows of the table below it belong to. */
#define ONE(number_, kind_, member) \
  { .number = (number_), .kind = BBW_PROTO_##kind_, .at = offsetof(STRUCT, member) }
#define MANY(number_, kind_, member) \
  { .number = (number_), .kind = BBW_PROTO_##kind_, .is_repeated = true, .at = offsetof(STRUCT, member) }
#define SUB(number_, member, type) \
  { .number = (number_), .kind = BBW_PROTO_MESSAGE, .at = offsetof(STRUCT, member), .message = &(type) }
#define SUBS(number_, member, type)                                                                      \
  {                                                                                                      \
    .number = (number_), .kind = BBW_PROTO_MESSAGE, .is_repeated = true, .at = offsetof(STRUCT, member), \
    .message = &(type)                                                                                   \
  }
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MESSAGE(text, struct_type, table) \
  { .name = (text), .bytes = sizeof(struct_type), .fields = (table), .field_count = COUNT(table) }

#define STRUCT bbw_snap_value
static const bbw_proto_field value_fields[] = {ONE(1, I64, type_hash), ONE(2, BYTES, payload)};
static const bbw_proto_message value_type = MESSAGE("Value", STRUCT, value_fields);
#undef STRUCT

#define STRUCT bbw_snap_seed
static const bbw_proto_field seed_fields[] = {ONE(1, U32, site), SUB(2, value, value_type), ONE(3, I64, charge)};
static const bbw_proto_message seed_type = MESSAGE("Seed", STRUCT, seed_fields);
#undef STRUCT

#define STRUCT bbw_snap_inbound
static const bbw_proto_field inbound_fields[] = {
    ONE(1, BYTES, src_peer),
    ONE(2, I64, wire_req_id),
    ONE(3, I64, arrival_ns),
    ONE(4, I64, remaining_deadline_ns),
};
static const bbw_proto_message inbound_type = MESSAGE("Inbound", STRUCT, inbound_fields);
#undef STRUCT

#define STRUCT bbw_snap_frame
static const bbw_proto_field frame_fields[] = {
    ONE(1, U32, graph),     ONE(2, I64, exec_id),       ONE(3, I64, started_ns),       ONE(4, U32, parent),
    ONE(5, U32, parent_op), ONE(6, U32, run),           SUB(7, inbound, inbound_type), SUBS(8, slots, seed_type),
    MANY(9, I64, fired),    ONE(10, BOOL, is_reaction),
};
static const bbw_proto_message frame_type = MESSAGE("Frame", STRUCT, frame_fields);
#undef STRUCT

#define STRUCT bbw_snap_ready
static const bbw_proto_field ready_fields[] = {ONE(1, U32, frame), ONE(2, U32, op)};
static const bbw_proto_message ready_type = MESSAGE("Ready", STRUCT, ready_fields);
#undef STRUCT

#define STRUCT bbw_snap_parked
static const bbw_proto_field parked_fields[] = {
    ONE(1, I64, cmd_id),          ONE(2, U32, frame),    ONE(3, U32, op),          ONE(4, U32, state),
    SUBS(5, results, value_type), ONE(6, BYTES, detail), ONE(7, I64, deadline_ns), ONE(8, I64, request_id),
};
static const bbw_proto_message parked_type = MESSAGE("Parked", STRUCT, parked_fields);
#undef STRUCT

#define STRUCT bbw_snap_timer
static const bbw_proto_field timer_fields[] = {ONE(1, I64, at_ns), ONE(2, I64, order), ONE(3, I64, subject),
                                               ONE(4, U32, kind)};
static const bbw_proto_message timer_type = MESSAGE("Timer", STRUCT, timer_fields);
#undef STRUCT

#define STRUCT bbw_snap_event
static const bbw_proto_field event_fields[] = {
    ONE(1, U32, kind),       ONE(2, U32, graph),  SUBS(3, seeds, seed_type), ONE(4, I64, exec_id),
    ONE(5, BYTES, envelope), ONE(6, BYTES, peer), ONE(7, I64, charge),       ONE(8, I64, wire_req_id),
};
static const bbw_proto_message event_type = MESSAGE("IngressEvent", STRUCT, event_fields);
#undef STRUCT

#define STRUCT bbw_snap_named
static const bbw_proto_field named_fields[] = {
    ONE(1, U32, kind),    ONE(2, BYTES, name),         ONE(3, I64, number),
    ONE(4, I64, dropped), SUBS(5, values, value_type), MANY(6, I64, waiters),
};
static const bbw_proto_message named_type = MESSAGE("Named", STRUCT, named_fields);
#undef STRUCT

#define STRUCT bbw_snap_target
static const bbw_proto_field target_fields[] = {ONE(1, STRING, name), ONE(2, BOOL, is_done)};
static const bbw_proto_message target_type = MESSAGE("BootTarget", STRUCT, target_fields);
#undef STRUCT

#define STRUCT bbw_snap_run
static const bbw_proto_field run_fields[] = {
    ONE(1, U32, target),      ONE(2, U32, state),        ONE(3, BOOL, is_chained),
    ONE(4, BOOL, has_failed), SUBS(5, seeds, seed_type),
};
static const bbw_proto_message run_type = MESSAGE("BootRun", STRUCT, run_fields);
#undef STRUCT

#define STRUCT bbw_snap_app_event
static const bbw_proto_field app_event_fields[] = {ONE(1, BYTES, topic), SUB(2, value, value_type)};
static const bbw_proto_message app_event_type = MESSAGE("AppEvent", STRUCT, app_event_fields);
#undef STRUCT

#define STRUCT bbw_snap_outbound
static const bbw_proto_field outbound_fields[] = {ONE(1, BYTES, peer), MANY(2, BYTES, addresses), ONE(3, BYTES, tail),
                                                  ONE(4, I64, queued_ns)};
static const bbw_proto_message outbound_type = MESSAGE("Outbound", STRUCT, outbound_fields);
#undef STRUCT

#define STRUCT bbw_snap_resolve_failure
static const bbw_proto_field resolve_failure_fields[] = {ONE(1, BYTES, peer), ONE(2, I64, op_ref)};
static const bbw_proto_message resolve_failure_type = MESSAGE("ResolveFailure", STRUCT, resolve_failure_fields);
#undef STRUCT

#define STRUCT bbw_snap_peer
static const bbw_proto_field peer_fields[] = {ONE(1, BYTES, peer), MANY(2, BYTES, addresses), ONE(3, I64, ref_count),
                                              ONE(4, I64, claimed)};
static const bbw_proto_message peer_type = MESSAGE("Peer", STRUCT, peer_fields);
#undef STRUCT

#define STRUCT bbw_snap_health
static const bbw_proto_field health_fields[] = {ONE(1, BYTES, peer), ONE(2, U32, failures), ONE(3, I64, last_event_ns),
                                                ONE(4, BOOL, is_down)};
static const bbw_proto_message health_type = MESSAGE("Health", STRUCT, health_fields);
#undef STRUCT

#define STRUCT bbw_snap_backoff
static const bbw_proto_field backoff_fields[] = {ONE(1, BYTES, peer), ONE(2, U32, attempts),
                                                 ONE(3, I64, last_attempt_ns), ONE(4, I64, next_retry_ns),
                                                 ONE(5, BOOL, is_advisory)};
static const bbw_proto_message backoff_type = MESSAGE("Backoff", STRUCT, backoff_fields);
#undef STRUCT

#define STRUCT bbw_snap_request
static const bbw_proto_field request_fields[] = {
    ONE(1, I64, id),          ONE(2, I64, started_at_ns), ONE(3, I64, expires_at_ns),
    ONE(4, I64, target_site), ONE(5, BOOL, has_edge),     ONE(6, I64, chain_id),
    ONE(7, U32, hop),         MANY(8, I64, others),       ONE(9, BOOL, is_unsent),
};
static const bbw_proto_message request_type = MESSAGE("Request", STRUCT, request_fields);
#undef STRUCT

#define STRUCT bbw_snap_rtt_edge
static const bbw_proto_field rtt_edge_fields[] = {
    ONE(1, I64, chain_id),     ONE(2, U32, hop),       ONE(3, I64, srtt_ns),   ONE(4, I64, rttvar_ns),
    ONE(5, I64, sample_count), ONE(6, I64, onward_ns), ONE(7, I64, next_site),
};
static const bbw_proto_message rtt_edge_type = MESSAGE("RttEdge", STRUCT, rtt_edge_fields);
#undef STRUCT

#define STRUCT bbw_snap_rtt_site
static const bbw_proto_field rtt_site_fields[] = {
    ONE(1, I64, site),
    ONE(2, I64, srtt_ns),
    ONE(3, I64, rttvar_ns),
    ONE(4, I64, sample_count),
    SUBS(5, edges, rtt_edge_type),
    ONE(6, I64, last_seen_ns),
    MANY(7, I64, intervals),
    ONE(8, U32, told),
    ONE(9, I64, due_ns),
};
static const bbw_proto_message rtt_site_type = MESSAGE("RttSite", STRUCT, rtt_site_fields);
#undef STRUCT

#define STRUCT bbw_snap_overload
static const bbw_proto_field overload_fields[] = {
    ONE(1, BYTES, peer),    ONE(2, U32, notice_count),     ONE(3, I64, last_notice_ns),
    ONE(4, I64, window_ns), ONE(5, I64, last_overload_ns), ONE(6, BOOL, is_silent),
};
static const bbw_proto_message overload_type = MESSAGE("Overload", STRUCT, overload_fields);
#undef STRUCT

#define STRUCT bbw_snap_component
static const bbw_proto_field component_fields[] = {ONE(1, STRING, slot), ONE(2, STRING, type_name),
                                                   ONE(3, BOOL, has_state), ONE(4, BYTES, state)};
static const bbw_proto_message component_type = MESSAGE("Component", STRUCT, component_fields);
#undef STRUCT

#define STRUCT bbw_config
static const bbw_proto_field config_fields[] = {
    ONE(1, I64, cycle_op_budget),
    ONE(2, I64, max_pending_async),
    ONE(3, I64, max_outbound_queue),
    ONE(4, I64, bus_capacity),
    ONE(5, I64, max_executions),
    ONE(6, I64, per_hop_budget_ns),
    ONE(7, I64, ingress_byte_budget),
    ONE(8, I64, max_app_event_bytes),
    ONE(9, I64, max_invoke_inputs),
    ONE(10, I64, max_invoke_bytes),
    ONE(11, I64, max_completion_result_bytes),
    ONE(12, I64, rng_seed),
    ONE(13, I64, step_mask),
    ONE(14, I64, async_deadline_ns),
    ONE(15, I64, backpressure_high_water_pct),
    ONE(16, I64, backpressure_k_before_silent),
    ONE(17, I64, backpressure_min_notice_interval_ns),
    ONE(18, I64, max_outbound_bytes),
    ONE(20, I64, envelope_caps.max_total_bytes),
    ONE(21, I64, envelope_caps.max_slot_fills),
    ONE(22, I64, envelope_caps.max_per_fill_bytes),
    ONE(23, I64, envelope_caps.max_dest_suffix_bytes),
    ONE(24, I64, envelope_caps.max_src_peer_addresses),
    ONE(25, I64, envelope_caps.max_src_peer_address_bytes),
};
static const bbw_proto_message config_type = MESSAGE("Config", STRUCT, config_fields);
#undef STRUCT

#define STRUCT bbw_snap
static const bbw_proto_field snapshot_fields[] = {
    ONE(1, I64, incarnation),
    ONE(2, BYTES, peer_id),
    ONE(3, I64, artifact_hash),
    MANY(4, STRING, modules),
    SUB(5, config, config_type),
    SUBS(6, components, component_type),
    ONE(10, I64, now_ns),
    ONE(11, I64, tick_ns),
    ONE(12, I64, next_exec_id),
    ONE(13, I64, rng_state),
    ONE(14, I64, bytes_in_flight),
    ONE(15, BOOL, is_first_poll_done),
    MANY(16, I64, started),
    SUBS(20, frames, frame_type),
    SUBS(21, frontier, ready_type),
    SUBS(22, locked, ready_type),
    ONE(23, I64, next_cmd_id),
    ONE(24, I64, unknown_completions),
    SUBS(25, parked, parked_type),
    MANY(26, I64, done),
    SUBS(27, timers, timer_type),
    ONE(28, I64, next_timer_order),
    ONE(29, I64, timers_dropped),
    ONE(30, I64, late_completions),
    ONE(31, I64, duplicate_completions),
    SUBS(40, ingress, event_type),
    ONE(41, I64, ingress_dropped),
    MANY(42, I64, bus),
    ONE(43, I64, bus_dropped),
    ONE(44, I64, bus_dropped_new),
    SUBS(45, named, named_type),
    SUBS(46, app_events, app_event_type),
    SUBS(47, outbound, outbound_type),
    ONE(48, I64, outbound_dropped_new),
    SUBS(49, resolve_failures, resolve_failure_type),
    MANY(50, BYTES, phases),
    ONE(51, I64, phase_at),
    SUBS(60, boot_targets, target_type),
    SUBS(61, boot_runs, run_type),
    ONE(62, I64, boot_ended),
    ONE(63, BOOL, is_boot_wait_reported),
    SUBS(80, peers, peer_type),
    MANY(81, BYTES, blocked),
    ONE(82, BOOL, has_allowlist),
    MANY(83, BYTES, allowed),
    ONE(84, U32, failure_threshold),
    SUBS(85, health, health_type),
    SUBS(86, backoff, backoff_type),
    MANY(87, I64, dedup),
    SUBS(88, requests, request_type),
    ONE(89, I64, next_token),
    SUBS(90, rtt_sites, rtt_site_type),
    SUBS(91, rtt_chains, rtt_edge_type),
    SUB(92, rtt_global, rtt_edge_type),
    SUBS(93, overloads, overload_type),
    ONE(94, I64, silent_drops),
};
const bbw_proto_message bbw_snap_type = MESSAGE("Snapshot", STRUCT, snapshot_fields);
#undef STRUCT
