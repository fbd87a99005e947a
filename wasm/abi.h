/*
 * abi: what the wasm module exports and imports.
 *
 * Everything goes through linear memory.  Pointers and sizes are u32, ids and times are i64 (BigInt in JavaScript), statuses are i32 (status.def).
 * Every call may grow memory; a view made before it is stale.  The glue keeps all pointers to itself.
 *
 * Packed requests ("pack"): little-endian, no padding.  `bytes` = u32 length, then the bytes; `text` = bytes that are UTF-8; `list of X` = u32 count, then the elements.
 * A malformed pack is answered with BBW_E_ARG.
 *
 * Output pairs ("out"): the glue passes a pointer to two u32 words; the call writes address and length of a result that stays valid until the next call of
 * any export except bbw_abi_alloc and bbw_abi_free.  Errors: every fallible call takes the address of an error block (struct bbw_error, error.h) or 0.
 *
 * Imports, module "bbw":
 *   host_dispatch(host_id u32, call_ptr u32, call_len u32, reply_ptr u32) -> i32
 *     A component implemented by the host runs an operator.  call = pack: u32 role, text op_type, u64 now_ns, u64 cmd_id, bytes src_peer (empty = none),
 *     u32 output_count, list of input {u32 is_present, u64 type_hash, bytes payload}, list of attribute {text name, u32 type (ONNX AttributeType), i64 i, f32 f, bytes s,
 *     list of i64 ints}.  The host answers
 *       0 (OK)      and writes to reply_ptr the address and length of a pack it allocated with bbw_abi_alloc: list of output {u64 type_hash, bytes payload}; the engine frees it
 *       1 (LATER)   and completes cmd_id afterwards with bbw_abi_node_complete or _fail
 *       negative    reply = a pack {text kind, text reason, text detail} or {0, 0}
 *     For components with the bit BBW_HOST_SAVES in role_bits the engine asks for their state in the same way, with role 0xffffffff: op_type "save" is answered with OK and one
 *     output, whose payload is the state; "restore" has one input, whose payload is the state, and is answered with OK or an error.
 *     For components with the bit BBW_HOST_BOOTS op_type "Bootstrap" with role 8 sets the instance up and is answered like an operator without outputs.  With role 0xffffffff and op_type "cancel"
 *     the engine says that nobody waits for cmd_id any more; the answer is ignored.
 *   host_read(host_id u32, location_ptr u32, location_len u32, offset f64, len u32, out_ptr u32) -> i32
 *     While a session is made: copies `len` bytes of a file from `offset` on to out_ptr, or with out_ptr 0 only says whether they are there.  1, or 0: they are not.
 *   host_time_is_up() -> i32
 *     Asked during a poll when bbw_abi_node_set_time_budget says so: not 0 ends the poll.
 *   host_log(level u32, ptr u32, len u32)
 *     A diagnostic line for developers; never needed for correctness.
 */
#ifndef BBW_WASM_ABI_H
#define BBW_WASM_ABI_H

#include <stdint.h>

#define BBW_HOST_SAVES 0x80000000u
#define BBW_HOST_BOOTS 0x40000000u

uint32_t bbw_abi_version(void);        /* 1 */
uint32_t bbw_abi_alloc(uint32_t size); /* address, or 0 */
void bbw_abi_free(uint32_t ptr, uint32_t size);
void bbw_abi_set_memory_max(uint32_t bytes); /* cap of what the engine may allocate; 0 = none */
uint32_t bbw_abi_memory_used(void);          /* bytes that the engine has allocated now */
uint32_t bbw_abi_stack(void); /* where the stack of the module is now, for tests that look whether it comes back */
uint32_t bbw_abi_error_size(
    void); /* sizeof(bbw_error): {i32 status, u32 fields_bytes, u64 offset, u32 is_truncated, u32 reserved, char fields[]} */

/*
 * Install.  request = pack:
 *   bytes peer_id; list of bytes addresses (binary form); bytes model; list of text targets;
 *   list of component type {text type_name, u32 role_bits (BBW_HOST_SAVES: it has state, BBW_HOST_BOOTS: it can be set up), u32 host_id};
 *   list of slot config {text slot, bytes config};
 *   list of config field {text name, u64 value}  (names of bbw_config, envelope caps as "envelope_caps.max_total_bytes", and "edge" = 1 to start from the edge preset);
 *   u32 is_unresolved_allowed
 * *handle_out (u32) receives the node.
 */
int32_t bbw_abi_node_install(uint32_t request, uint32_t request_len, uint32_t handle_out, uint32_t err);
void bbw_abi_node_del(uint32_t node); /* from inside its poll: does nothing */

int32_t bbw_abi_node_tick(uint32_t node, uint64_t now_ns);
int32_t bbw_abi_node_deliver_inbound(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t bytes, uint32_t len,
                                     uint32_t err);
/* For a large envelope without a copy of it: *out (u32) receives the address of room for len bytes; deliver_room delivers what was written there. */
int32_t bbw_abi_node_inbound_room(uint32_t node, uint32_t len, uint32_t out, uint32_t err);
int32_t bbw_abi_node_deliver_room(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t err);
int32_t bbw_abi_node_deliver_event(uint32_t node, uint32_t module, uint32_t module_len, uint32_t input,
                                   uint32_t input_len, uint32_t bytes, uint32_t len, uint32_t err);
/* inputs = pack: list of {text name, bytes value}; *exec_out (u64, 8-aligned). */
int32_t bbw_abi_node_invoke(uint32_t node, uint32_t module, uint32_t module_len, uint32_t inputs, uint32_t inputs_len,
                            uint32_t exec_out, uint32_t err);
/* results = pack: list of {u64 type_hash, bytes payload}. */
int32_t bbw_abi_node_complete(uint32_t node, uint64_t cmd_id, uint32_t results, uint32_t results_len, uint32_t err);
int32_t bbw_abi_node_fail(uint32_t node, uint64_t cmd_id, uint32_t detail, uint32_t detail_len, uint32_t err);
int32_t bbw_abi_node_cancel(uint32_t node, uint64_t exec_id, uint32_t err);
int32_t bbw_abi_node_send_failed(uint32_t node, uint32_t peer, uint32_t peer_len, uint64_t wire_req_id, uint32_t reason,
                                 uint32_t reason_len, uint32_t err);
int32_t bbw_abi_node_set_send_room(uint32_t node, uint32_t peer, uint32_t peer_len, uint64_t bytes, uint32_t err);
/* out = the step records (step.def).  Returns 0 = more may be done at once, 1 = pending until new work or the next timer, negative = status. */
int32_t bbw_abi_node_poll(uint32_t node, uint32_t out, uint32_t err);
/* The host is asked after every so many operators of a poll whether its time is up; 0: it is not asked. */
void bbw_abi_node_set_time_budget(uint32_t node, uint32_t every_ops);
/* *at_out (u64) receives the time; returns 1, or 0 if there is no timer. */
int32_t bbw_abi_node_next_timer(uint32_t node, uint32_t at_out);

/* requests = pack: list of {text target, list of {text name, bytes value}}; an empty list: every target without inputs that is not done. */
int32_t bbw_abi_node_run_bootstrap(uint32_t node, uint32_t requests, uint32_t requests_len, uint32_t err);
/* slots = pack: list of text. */
int32_t bbw_abi_node_run_bootstrap_slots(uint32_t node, uint32_t slots, uint32_t slots_len, uint32_t err);
/* 0 = idle, 1 = running, 2 = waiting for input. */
int32_t bbw_abi_node_bootstrap_status(uint32_t node);
/* out = pack: list of {text target or slot, u32 flags: 1 = done, 2 = the component in a slot}. */
int32_t bbw_abi_node_bootstraps(uint32_t node, uint32_t out);

/* addresses = pack: list of bytes. */
int32_t bbw_abi_node_add_peer(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t addresses,
                              uint32_t addresses_len, uint32_t err);
int32_t bbw_abi_node_observe_peer(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t bytes, uint32_t len,
                                  uint32_t err);
int32_t bbw_abi_node_drop_peer(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t err);
int32_t bbw_abi_node_block_peer(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t err);
int32_t bbw_abi_node_unblock_peer(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t err);
/* is_open 1: no allowlist; else peers = pack: list of bytes. */
int32_t bbw_abi_node_set_allowlist(uint32_t node, uint32_t is_open, uint32_t peers, uint32_t peers_len, uint32_t err);

/* 1 and out = pack {u32 consecutive_failures, u64 last_event_ns, u32 is_down}, or 0 when nothing was recorded of the peer; negative = status. */
int32_t bbw_abi_node_peer_health(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t out);
/* 1 and out = pack: list of bytes, or 0 for an unknown peer; negative = status. */
int32_t bbw_abi_node_peer_addresses(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t out);
/* out = pack: list of bytes. */
int32_t bbw_abi_node_known_peers(uint32_t node, uint32_t out);
int32_t bbw_abi_node_add_local_address(uint32_t node, uint32_t bytes, uint32_t len, uint32_t err);
int32_t bbw_abi_node_forget_local_address(uint32_t node, uint32_t bytes, uint32_t len, uint32_t err);

int32_t bbw_abi_node_fire_lifecycle(uint32_t node, uint32_t phase, uint32_t phase_len, uint32_t err);
/* fields = pack: list of config field, as at install; what is not named keeps its value. */
int32_t bbw_abi_node_set_config(uint32_t node, uint32_t fields, uint32_t fields_len, uint32_t err);
/* out = pack: list of config field, all of them. */
int32_t bbw_abi_node_config(uint32_t node, uint32_t out);
int32_t bbw_abi_node_clear(uint32_t node, uint32_t err);

/* out = the snapshot. */
int32_t bbw_abi_node_snapshot(uint32_t node, uint32_t out, uint32_t err);
/* Components of the host that save are asked to restore before anything changes; when the answer is an error they go on as they were. */
int32_t bbw_abi_node_restore(uint32_t node, uint32_t bytes, uint32_t len, uint32_t err);
/* A snapshot of the reference implementation; otherwise as restore. */
int32_t bbw_abi_node_import_snapshot(uint32_t node, uint32_t bytes, uint32_t len, uint32_t err);
/* out = pack {u32 version, u64 incarnation, bytes peer_id, u64 artifact_hash, u64 now_ns, u64 message_bytes}. */
int32_t bbw_abi_snapshot_info(uint32_t bytes, uint32_t len, uint32_t out, uint32_t err);
uint64_t bbw_abi_node_incarnation(uint32_t node);

/* out = struct bbw_stats as u64 words in the order of node.h. */
int32_t bbw_abi_node_stats(uint32_t node, uint32_t out);
/* out = pack: list of text module names. */
int32_t bbw_abi_node_modules(uint32_t node, uint32_t out);
/* out = pack: list of {text slot, text type_name, u32 role_bits}. */
int32_t bbw_abi_node_components(uint32_t node, uint32_t out);
/* *filled_out (u32) receives how many sites hold a value; returns 1, or 0 when there is no such execution. */
int32_t bbw_abi_node_execution(uint32_t node, uint64_t exec_id, uint32_t filled_out);
/* out = the artifact, borrowed from the node. */
int32_t bbw_abi_node_model(uint32_t node, uint32_t out);
/* *value_out (u64); returns 1, or 0 if there is no such counter. */
int32_t bbw_abi_node_counter(uint32_t node, uint32_t name, uint32_t name_len, uint32_t value_out);

/* Compile.  request = pack: bytes model; list of binding {text slot, text role, text type_name}; list of target name {text peer_class, text name}; u64 per_hop_budget_ns;
 * u32 is_permissive_types; u32 routing.  out = the artifact. */
int32_t bbw_abi_compile(uint32_t request, uint32_t request_len, uint32_t out, uint32_t err);

/* The pages of the component types that the module ships: out = pack: list of {text type_name, u32 role_bits}. */
int32_t bbw_abi_shipped_components(uint32_t out);

/* Standard ONNX models outside any node (session.h). */
/* *handle_out (u32); memory_bytes_max 0 = none; is_plain: nothing folded, fused or packed; files: the host id that host_read is asked with, 0 = none. */
int32_t bbw_abi_session_new(uint32_t model, uint32_t model_len, uint32_t memory_bytes_max, uint32_t is_plain,
                            uint32_t files, uint32_t handle_out, uint32_t err);
int32_t bbw_abi_session_share(uint32_t session, uint32_t handle_out, uint32_t err);
void bbw_abi_session_del(uint32_t session);
/* out = pack: list of inputs, list of outputs, each {text name, u32 dtype (dtypes.def, from 1), u32 has_shape, u32 rank, rank times {i64 size or -1, text symbol}}. */
int32_t bbw_abi_session_ports(uint32_t session, uint32_t out);
/* frame: one array per input, then room for one per output, each 48 bytes: {u32 dtype, u32 rank, u32 dims[8], u32 count, u32 data}.  Inputs are borrowed until the
 * next run; outputs are views that live until the next run. */
int32_t bbw_abi_session_run(uint32_t session, uint32_t frame, uint32_t err);
/* out = four u32: constant_bytes, run_bytes, run_bytes_peak, node_count. */
void bbw_abi_session_stats(uint32_t session, uint32_t out);

/* Training of standard ONNX models outside any node (trainer.h). */
/* options = pack: u32 loss, text output, u32 has_ignored, u64 ignored, f32 label_smoothing, f32 huber_delta, bytes class_weights (f32), u32 optimizer, f32 rate, f32 momentum,
 * u32 is_nesterov, f32 beta1, f32 beta2, f32 epsilon, f32 weight_decay, u32 is_decoupled, f32 clip_norm, f32 clip_value, u32 schedule, u64 warmup_steps, u64 schedule_steps,
 * f32 schedule_factor, list of text freeze, u64 seed, u32 memory_bytes_max, u32 keeps_outputs, u32 checkpoints, u32 has_f16_state, u32 has_backward. *handle_out (u32). */
int32_t bbw_abi_trainer_new(uint32_t model, uint32_t model_len, uint32_t options, uint32_t options_len,
                            uint32_t handle_out, uint32_t err);
void bbw_abi_trainer_del(uint32_t trainer);
/* out = pack: inputs and outputs as in bbw_abi_session_ports, then list of parameters {text name, u32 offset, u32 count, u32 rank, rank times u32}. */
int32_t bbw_abi_trainer_ports(uint32_t trainer, uint32_t out);
/* frame as in bbw_abi_session_run, with one array for the labels between inputs and outputs (dtype 0: none).  mode 0: a step; 1: evaluation, with the loss if there are labels;
 * 2: evaluation with the loss of the output itself; 3: loss and gradient, which goes to `gradient` (one f32 per parameter); 4: the gradient from that of the prediction, which stands where labels do.
 * 5: the loss of a prediction; the frame holds it and the labels.  loss = f64. */
int32_t bbw_abi_trainer_run(uint32_t trainer, uint32_t frame, uint32_t mode, uint32_t gradient, uint32_t loss,
                            uint32_t err);
/* out = the vector of parameters, f32; a view until the next call. */
int32_t bbw_abi_trainer_values(uint32_t trainer, uint32_t out);
/* is_delta: added to the vector. */
int32_t bbw_abi_trainer_load(uint32_t trainer, uint32_t values, uint32_t count, uint32_t is_delta, uint32_t err);
/* kind 0: Glorot, 1: He. */
void bbw_abi_trainer_initialize(uint32_t trainer, uint32_t kind, uint64_t seed);
int32_t bbw_abi_trainer_state_save(uint32_t trainer, uint32_t out);
int32_t bbw_abi_trainer_state_load(uint32_t trainer, uint32_t state, uint32_t len, uint32_t err);
/* out = the file with the trained parameters. */
int32_t bbw_abi_trainer_export(uint32_t trainer, uint32_t model, uint32_t len, uint32_t out, uint32_t err);
/* out = u32 constant_bytes, parameter_bytes, state_bytes, run_bytes, run_bytes_peak, step_bytes, live_bytes, whole_bytes, node_count, then u64 steps, f64 rate. */
int32_t bbw_abi_trainer_stats(uint32_t trainer, uint32_t out);

/* A trainable ONNX model outside any node (evaluation, inference in the page). */
/* *handle_out (u32); model = ONNX bytes. */
int32_t bbw_abi_model_new(uint32_t model, uint32_t model_len, uint32_t handle_out, uint32_t err);
void bbw_abi_model_del(uint32_t model);
uint32_t bbw_abi_model_param_count(uint32_t model);
uint32_t bbw_abi_model_input_width(uint32_t model);
uint32_t bbw_abi_model_output_width(uint32_t model);
/* out = f32 parameters. */
int32_t bbw_abi_model_params(uint32_t model, uint32_t out, uint32_t err);
int32_t bbw_abi_model_load(uint32_t model, uint32_t params, uint32_t count, uint32_t err);
/* x = f32 [n, input_width]; out = f32 [n, output_width]. */
int32_t bbw_abi_model_forward(uint32_t model, uint32_t x, uint32_t n, uint32_t out, uint32_t err);

#endif
