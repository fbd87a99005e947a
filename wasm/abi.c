/* abi: argument checks and packing for the exports of abi.h; no logic of its own.  Peers are in abi_peers.c, networks in abi_model.c. */
#include "abi.h"

#include <string.h>

#include "abi_private.h"
#include "base/bytes.h"
#include "components/shipped.h"

#define ABI_VERSION 2u

/* The result of the last call that gave one; the only state beside the handles. */
static bbw_vec result;

bbw_vec *abi_result_begin(void) {
  bbw_vec_free(&result);
  bbw_vec_init(&result, 1, &bbw_wasm_mem);
  return &result;
}

int32_t abi_result_end(bool ok, uint32_t out, uint32_t err) {
  if (!ok) { return bbw_error_set(error_at(err), BBW_E_NOMEM); }
  out_set(out, result.items, result.count);
  return BBW_OK;
}

uint32_t bbw_abi_version(void) { return ABI_VERSION; }
uint32_t bbw_abi_alloc(uint32_t size) { return size == 0 ? 0 : offset(bbw_wasm_mem.alloc(NULL, size)); }
void bbw_abi_free(uint32_t ptr, uint32_t size) { bbw_wasm_mem.free(NULL, address(ptr), size); }
void bbw_abi_set_memory_max(uint32_t bytes) { bbw_wasm_memory_set_max(bytes); }
uint32_t bbw_abi_memory_used(void) { return (uint32_t)bbw_wasm_memory_used(); }
uint32_t bbw_abi_stack(void) { return offset(__builtin_frame_address(0)); }
uint32_t bbw_abi_error_size(void) { return sizeof(bbw_error); }

/* Arrays that a request fills; all live until the call is over. */
typedef struct request {
  bbw_install_options options;
  bbw_config config;
  bbw_bytes *addresses;
  bbw_str *targets;
  bbw_slot_config *slot_configs;
  const bbw_component_type **types;
} request;

typedef struct config_row {
  bbw_str name;
  size_t at;
} config_row;

#define CONFIG(field) \
  { {#field, sizeof(#field) - 1}, offsetof(bbw_config, field) }
static const config_row config_rows[] = {
    CONFIG(cycle_op_budget),
    CONFIG(max_pending_async),
    CONFIG(max_outbound_queue),
    CONFIG(max_outbound_bytes),
    CONFIG(bus_capacity),
    CONFIG(max_executions),
    CONFIG(per_hop_budget_ns),
    CONFIG(async_deadline_ns),
    CONFIG(backpressure_high_water_pct),
    CONFIG(backpressure_k_before_silent),
    CONFIG(backpressure_min_notice_interval_ns),
    CONFIG(ingress_byte_budget),
    CONFIG(max_app_event_bytes),
    CONFIG(max_invoke_inputs),
    CONFIG(max_invoke_bytes),
    CONFIG(max_completion_result_bytes),
    CONFIG(rng_seed),
    CONFIG(step_mask),
    CONFIG(envelope_caps.max_total_bytes),
    CONFIG(envelope_caps.max_slot_fills),
    CONFIG(envelope_caps.max_per_fill_bytes),
    CONFIG(envelope_caps.max_dest_suffix_bytes),
    CONFIG(envelope_caps.max_src_peer_addresses),
    CONFIG(envelope_caps.max_src_peer_address_bytes),
};
#undef CONFIG

static bool str_is(bbw_str a, bbw_str b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }

static bbw_status set_config(bbw_config *config, bbw_str name, uint64_t value, bbw_error *err) {
  if (str_is(name, BBW_STR("edge"))) {
    if (value != 0) { bbw_config_init_edge(config); }
    return BBW_OK;
  }
  for (size_t i = 0; i < sizeof(config_rows) / sizeof(config_rows[0]); i++) {
    if (!str_is(config_rows[i].name, name)) { continue; }
    memcpy((uint8_t *)config + config_rows[i].at, &value, sizeof(value));
    return BBW_OK;
  }
  bbw_error_set(err, BBW_E_ARG);
  bbw_error_add_str(err, "field", name);
  return BBW_E_ARG;
}

static bbw_status read_config(bbw_pack *pack, bbw_config *config, bbw_error *err) {
  size_t count = bbw_pack_count(pack, 12);
  for (size_t i = 0; i < count; i++) {
    bbw_str name = bbw_pack_text(pack);
    bbw_status rv = set_config(config, name, bbw_pack_u64(pack), err);
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

bbw_status abi_read_byte_list(bbw_pack *pack, bbw_bytes **out, size_t *count) {
  *count = bbw_pack_count(pack, 4);
  *out = array_new(*count, sizeof(**out));
  if (*out == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < *count; i++) { (*out)[i] = bbw_pack_bytes(pack); }
  return BBW_OK;
}

static bbw_status read_host_types(bbw_pack *pack, abi_node *handle, request *req) {
  size_t count = bbw_pack_count(pack, 12);
  handle->types = array_new(count, sizeof(*handle->types));
  req->types = array_new(count, sizeof(*req->types));
  if (handle->types == NULL || req->types == NULL) { return BBW_E_NOMEM; }
  handle->type_count = count;
  for (size_t i = 0; i < count; i++) {
    bbw_str name = bbw_pack_text(pack);
    uint32_t role_bits = bbw_pack_u32(pack);
    uint32_t host_id = bbw_pack_u32(pack);
    bbw_status rv = bbw_host_type_init(&handle->types[i], name, role_bits, host_id, &bbw_wasm_mem);
    if (rv != BBW_OK) { return rv; }
    req->types[i] = &handle->types[i].base;
  }
  req->options.component_types = req->types;
  req->options.component_type_count = count;
  return BBW_OK;
}

static bbw_status read_request(bbw_pack *pack, abi_node *handle, request *req, bbw_error *err) {
  bbw_status rv = bbw_peer_id_decode(&req->options.peer_id, bbw_pack_bytes(pack), err);
  if (rv != BBW_OK) { return rv; }
  rv = abi_read_byte_list(pack, &req->addresses, &req->options.address_count);
  if (rv != BBW_OK) { return rv; }
  req->options.addresses = req->addresses;
  req->options.model = bbw_pack_bytes(pack);
  req->options.target_count = bbw_pack_count(pack, 4);
  req->targets = array_new(req->options.target_count, sizeof(*req->targets));
  if (req->targets == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < req->options.target_count; i++) { req->targets[i] = bbw_pack_text(pack); }
  req->options.targets = req->targets;
  rv = read_host_types(pack, handle, req);
  if (rv != BBW_OK) { return rv; }
  req->options.slot_config_count = bbw_pack_count(pack, 8);
  req->slot_configs = array_new(req->options.slot_config_count, sizeof(*req->slot_configs));
  if (req->slot_configs == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < req->options.slot_config_count; i++) {
    req->slot_configs[i].slot = bbw_pack_text(pack);
    req->slot_configs[i].config = bbw_pack_bytes(pack);
  }
  req->options.slot_configs = req->slot_configs;
  bbw_config_init(&req->config);
  rv = read_config(pack, &req->config, err);
  if (rv != BBW_OK) { return rv; }
  req->options.config = &req->config;
  req->options.is_unresolved_allowed = bbw_pack_u32(pack) != 0;
  if (bbw_pack_is_done(pack)) { return BBW_OK; }
  return bbw_error_set_at(err, BBW_E_ARG, pack->at);
}

static void handle_del(abi_node *handle) {
  bbw_node_del(handle->node);
  for (size_t i = 0; i < handle->type_count; i++) { bbw_host_type_free(&handle->types[i], &bbw_wasm_mem); }
  array_free(handle->types, handle->type_count, sizeof(*handle->types));
  bbw_mem_array_free(&bbw_wasm_mem, handle, 1, sizeof(*handle));
}

int32_t bbw_abi_node_install(uint32_t request_ptr, uint32_t request_len, uint32_t handle_out, uint32_t err) {
  bbw_error_set(error_at(err), BBW_OK);
  abi_node *handle = bbw_mem_array(&bbw_wasm_mem, 1, sizeof(*handle));
  if (handle == NULL) { return bbw_error_set(error_at(err), BBW_E_NOMEM); }
  bbw_pack pack = bbw_pack_open(address(request_ptr), request_len);
  request req = {.options = {.address_count = 0}};
  bbw_status rv = read_request(&pack, handle, &req, error_at(err));
  if (rv == BBW_OK) { rv = bbw_node_install(&handle->node, &req.options, &bbw_wasm_mem, error_at(err)); }
  array_free(req.addresses, req.options.address_count, sizeof(*req.addresses));
  array_free(req.targets, req.options.target_count, sizeof(*req.targets));
  array_free(req.types, handle->type_count, sizeof(*req.types));
  array_free(req.slot_configs, req.options.slot_config_count, sizeof(*req.slot_configs));
  if (rv != BBW_OK) {
    handle_del(handle);
    return rv == BBW_E_NOMEM ? bbw_error_set(error_at(err), rv) : rv;
  }
  *(uint32_t *)address(handle_out) = offset(handle);
  return BBW_OK;
}

void bbw_abi_node_del(uint32_t node) {
  if (node != 0 && !bbw_node_is_running(node_at(node))) { handle_del(address(node)); }
}

int32_t bbw_abi_node_tick(uint32_t node, uint64_t now_ns) { return bbw_node_tick(node_at(node), now_ns); }

int32_t bbw_abi_node_deliver_inbound(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t bytes, uint32_t len,
                                     uint32_t err) {
  return bbw_node_deliver_inbound(node_at(node), bytes_at(peer, peer_len), bytes_at(bytes, len), error_at(err));
}

int32_t bbw_abi_node_inbound_room(uint32_t node, uint32_t len, uint32_t out, uint32_t err) {
  uint8_t *room;
  bbw_status rv = bbw_node_inbound_room(node_at(node), len, &room, error_at(err));
  if (rv == BBW_OK) { bbw_store_u32le(address(out), (uint32_t)(uintptr_t)room); }
  return rv;
}

int32_t bbw_abi_node_deliver_room(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t err) {
  return bbw_node_deliver_room(node_at(node), bytes_at(peer, peer_len), error_at(err));
}

int32_t bbw_abi_node_deliver_event(uint32_t node, uint32_t module, uint32_t module_len, uint32_t input,
                                   uint32_t input_len, uint32_t bytes, uint32_t len, uint32_t err) {
  return bbw_node_deliver_event(node_at(node), text_at(module, module_len), text_at(input, input_len),
                                bytes_at(bytes, len), error_at(err));
}

/* Named inputs; *out is always to be freed with array_free. */
static bbw_status read_named(bbw_pack *pack, bbw_named_bytes **out, size_t *count) {
  *count = bbw_pack_count(pack, 8);
  *out = array_new(*count, sizeof(**out));
  if (*out == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < *count; i++) {
    (*out)[i].name = bbw_pack_text(pack);
    (*out)[i].bytes = bbw_pack_bytes(pack);
  }
  return BBW_OK;
}

int32_t bbw_abi_node_invoke(uint32_t node, uint32_t module, uint32_t module_len, uint32_t inputs, uint32_t inputs_len,
                            uint32_t exec_out, uint32_t err) {
  bbw_pack pack = bbw_pack_open(address(inputs), inputs_len);
  bbw_named_bytes *named;
  size_t count;
  bbw_status rv = read_named(&pack, &named, &count);
  if (rv != BBW_OK) { return bbw_error_set(error_at(err), rv); }
  uint64_t exec_id = 0;
  if (!bbw_pack_is_done(&pack)) { rv = bbw_error_set_at(error_at(err), BBW_E_ARG, pack.at); }
  if (rv == BBW_OK) {
    rv = bbw_node_invoke(node_at(node), text_at(module, module_len), named, count, &exec_id, error_at(err));
  }
  array_free(named, count, sizeof(*named));
  if (rv == BBW_OK) { memcpy(address(exec_out), &exec_id, sizeof(exec_id)); }
  return rv;
}

/* Reads the requests into the array, of which *made are to be freed whatever comes back. */
static bbw_status read_boot_requests(bbw_pack *pack, bbw_boot_request *requests, size_t count, size_t *made) {
  for (*made = 0; *made < count;) {
    bbw_boot_request *one = &requests[*made];
    bbw_named_bytes *inputs;
    one->target = bbw_pack_text(pack);
    bbw_status rv = read_named(pack, &inputs, &one->input_count);
    if (rv != BBW_OK) { return rv; }
    one->inputs = inputs;
    (*made)++;
  }
  return BBW_OK;
}

int32_t bbw_abi_node_run_bootstrap(uint32_t node, uint32_t requests_ptr, uint32_t requests_len, uint32_t err) {
  bbw_pack pack = bbw_pack_open(address(requests_ptr), requests_len);
  size_t count = bbw_pack_count(&pack, 8), made;
  bbw_boot_request *requests = array_new(count, sizeof(*requests));
  if (requests == NULL) { return bbw_error_set(error_at(err), BBW_E_NOMEM); }
  bbw_status rv = read_boot_requests(&pack, requests, count, &made);
  if (rv != BBW_OK) { bbw_error_set(error_at(err), rv); }
  if (rv == BBW_OK && !bbw_pack_is_done(&pack)) { rv = bbw_error_set_at(error_at(err), BBW_E_ARG, pack.at); }
  if (rv == BBW_OK) { rv = bbw_node_run_bootstrap(node_at(node), requests, count, error_at(err)); }
  for (size_t i = 0; i < made; i++) {
    array_free((void *)(uintptr_t)requests[i].inputs, requests[i].input_count, sizeof(*requests[i].inputs));
  }
  array_free(requests, count, sizeof(*requests));
  return rv;
}

int32_t bbw_abi_node_run_bootstrap_slots(uint32_t node, uint32_t slots_ptr, uint32_t slots_len, uint32_t err) {
  bbw_pack pack = bbw_pack_open(address(slots_ptr), slots_len);
  size_t count = bbw_pack_count(&pack, 4);
  bbw_str *slots = array_new(count, sizeof(*slots));
  if (slots == NULL) { return bbw_error_set(error_at(err), BBW_E_NOMEM); }
  for (size_t i = 0; i < count; i++) { slots[i] = bbw_pack_text(&pack); }
  bbw_status rv = bbw_pack_is_done(&pack) ? bbw_node_run_bootstrap_slots(node_at(node), slots, count, error_at(err))
                                          : bbw_error_set_at(error_at(err), BBW_E_ARG, pack.at);
  array_free(slots, count, sizeof(*slots));
  return rv;
}

int32_t bbw_abi_node_bootstrap_status(uint32_t node) { return (int32_t)bbw_node_bootstrap_status(node_at(node)); }

int32_t bbw_abi_node_bootstraps(uint32_t node, uint32_t out) {
  size_t count = bbw_node_bootstrap_count(node_at(node));
  bbw_vec *list = abi_result_begin();
  bool ok = bbw_pack_put_u32(list, (uint32_t)count);
  for (size_t i = 0; ok && i < count; i++) {
    bool is_done = false;
    bbw_str name = bbw_node_bootstrap_name(node_at(node), i, &is_done);
    uint32_t flags = (is_done ? 1u : 0u) | (bbw_node_bootstrap_is_slot(node_at(node), i) ? 2u : 0u);
    ok = bbw_pack_put_text(list, name) && bbw_pack_put_u32(list, flags);
  }
  return abi_result_end(ok, out, 0);
}

int32_t bbw_abi_node_complete(uint32_t node, uint64_t cmd_id, uint32_t results, uint32_t results_len, uint32_t err) {
  bbw_pack pack = bbw_pack_open(address(results), results_len);
  size_t count = bbw_pack_count(&pack, 12);
  bbw_typed_bytes *typed = array_new(count, sizeof(*typed));
  if (typed == NULL) { return bbw_error_set(error_at(err), BBW_E_NOMEM); }
  for (size_t i = 0; i < count; i++) {
    typed[i].type_hash = bbw_pack_u64(&pack);
    typed[i].payload = bbw_pack_bytes(&pack);
  }
  int32_t rv = BBW_OK;
  if (!bbw_pack_is_done(&pack)) { rv = bbw_error_set_at(error_at(err), BBW_E_ARG, pack.at); }
  if (rv == BBW_OK) { rv = bbw_node_complete(node_at(node), cmd_id, typed, count, error_at(err)); }
  array_free(typed, count, sizeof(*typed));
  return rv;
}

int32_t bbw_abi_node_fail(uint32_t node, uint64_t cmd_id, uint32_t detail, uint32_t detail_len, uint32_t err) {
  return bbw_node_fail(node_at(node), cmd_id, text_at(detail, detail_len), error_at(err));
}

int32_t bbw_abi_node_cancel(uint32_t node, uint64_t exec_id, uint32_t err) {
  return bbw_node_cancel(node_at(node), exec_id, error_at(err));
}

int32_t bbw_abi_node_send_failed(uint32_t node, uint32_t peer, uint32_t peer_len, uint64_t wire_req_id, uint32_t reason,
                                 uint32_t reason_len, uint32_t err) {
  return bbw_node_send_failed(node_at(node), bytes_at(peer, peer_len), wire_req_id, text_at(reason, reason_len),
                              error_at(err));
}

int32_t bbw_abi_node_set_send_room(uint32_t node, uint32_t peer, uint32_t peer_len, uint64_t bytes, uint32_t err) {
  return bbw_node_set_send_room(node_at(node), bytes_at(peer, peer_len), bytes, error_at(err));
}

#if defined(__wasm__)
__attribute__((import_module("bbw"), import_name("host_time_is_up"))) int32_t bbw_host_time_is_up(void);
#else
int32_t bbw_host_time_is_up(void); /* native tests bring their own */
#endif

static bool ask_host(void *ctx) {
  (void)ctx;
  return bbw_host_time_is_up() != 0;
}

void bbw_abi_node_set_time_budget(uint32_t node, uint32_t every_ops) {
  bbw_node_set_time_budget(node_at(node), every_ops == 0 ? NULL : ask_host, NULL, every_ops);
}

int32_t bbw_abi_node_poll(uint32_t node, uint32_t out, uint32_t err) {
  bbw_bytes steps;
  bool is_pending;
  int32_t rv = bbw_node_poll(node_at(node), &steps, &is_pending, error_at(err));
  if (rv != BBW_OK) { return rv; }
  out_set(out, steps.ptr, steps.len);
  return is_pending ? 1 : 0;
}

int32_t bbw_abi_node_next_timer(uint32_t node, uint32_t at_out) {
  uint64_t at_ns;
  if (!bbw_node_next_timer(node_at(node), &at_ns)) { return 0; }
  memcpy(address(at_out), &at_ns, sizeof(at_ns));
  return 1;
}

int32_t bbw_abi_node_fire_lifecycle(uint32_t node, uint32_t phase, uint32_t phase_len, uint32_t err) {
  return bbw_node_fire_lifecycle(node_at(node), text_at(phase, phase_len), error_at(err));
}

int32_t bbw_abi_node_set_config(uint32_t node, uint32_t fields, uint32_t fields_len, uint32_t err) {
  bbw_pack pack = bbw_pack_open(address(fields), fields_len);
  bbw_config config = *bbw_node_get_config(node_at(node));
  bbw_status rv = read_config(&pack, &config, error_at(err));
  if (rv != BBW_OK) { return rv; }
  if (!bbw_pack_is_done(&pack)) { return bbw_error_set_at(error_at(err), BBW_E_ARG, pack.at); }
  return bbw_node_set_config(node_at(node), &config, error_at(err));
}

int32_t bbw_abi_node_config(uint32_t node, uint32_t out) {
  const bbw_config *config = bbw_node_get_config(node_at(node));
  const size_t count = sizeof(config_rows) / sizeof(config_rows[0]);
  bbw_vec *list = abi_result_begin();
  bool ok = bbw_pack_put_u32(list, (uint32_t)count);
  for (size_t i = 0; ok && i < count; i++) {
    uint64_t value;
    memcpy(&value, (const uint8_t *)config + config_rows[i].at, sizeof(value));
    ok = bbw_pack_put_text(list, config_rows[i].name) && bbw_pack_put_u64(list, value);
  }
  return abi_result_end(ok, out, 0);
}

int32_t bbw_abi_node_clear(uint32_t node, uint32_t err) { return bbw_node_clear(node_at(node), error_at(err)); }

int32_t bbw_abi_node_snapshot(uint32_t node, uint32_t out, uint32_t err) {
  uint8_t *bytes;
  size_t len;
  bbw_status rv = bbw_node_snapshot(node_at(node), &bytes, &len, &bbw_wasm_mem, error_at(err));
  if (rv != BBW_OK) { return rv; }
  bbw_vec *taken = abi_result_begin();
  taken->items = bytes; /* adopted */
  taken->count = len;
  taken->cap = len;
  return abi_result_end(true, out, err);
}

int32_t bbw_abi_node_restore(uint32_t node, uint32_t bytes, uint32_t len, uint32_t err) {
  return bbw_node_restore(node_at(node), bytes_at(bytes, len), error_at(err));
}

int32_t bbw_abi_node_import_snapshot(uint32_t node, uint32_t bytes, uint32_t len, uint32_t err) {
  return bbw_node_import_snapshot(node_at(node), bytes_at(bytes, len), error_at(err));
}

int32_t bbw_abi_snapshot_info(uint32_t bytes, uint32_t len, uint32_t out, uint32_t err) {
  bbw_snapshot_info info;
  bbw_status rv = bbw_snapshot_read_info(&info, bytes_at(bytes, len), error_at(err));
  if (rv != BBW_OK) { return rv; }
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  size_t peer_len = bbw_peer_id_encode(&info.peer_id, peer);
  bbw_vec *record = abi_result_begin();
  bool ok = bbw_pack_put_u32(record, info.version) && bbw_pack_put_u64(record, info.incarnation) &&
            bbw_pack_put_bytes(record, (bbw_bytes){peer, peer_len}) && bbw_pack_put_u64(record, info.artifact_hash) &&
            bbw_pack_put_u64(record, info.now_ns) && bbw_pack_put_u64(record, info.message_bytes);
  return abi_result_end(ok, out, err);
}

uint64_t bbw_abi_node_incarnation(uint32_t node) { return bbw_node_incarnation(node_at(node)); }

int32_t bbw_abi_node_stats(uint32_t node, uint32_t out) {
  bbw_stats stats;
  bbw_node_stats(node_at(node), &stats);
  return abi_result_end(bbw_vec_append(abi_result_begin(), &stats, sizeof(stats)), out, 0);
}

int32_t bbw_abi_node_modules(uint32_t node, uint32_t out) {
  size_t count = bbw_node_module_count(node_at(node));
  bbw_vec *list = abi_result_begin();
  bool ok = bbw_pack_put_u32(list, (uint32_t)count);
  for (size_t i = 0; ok && i < count; i++) { ok = bbw_pack_put_text(list, bbw_node_module_name(node_at(node), i)); }
  return abi_result_end(ok, out, 0);
}

int32_t bbw_abi_node_components(uint32_t node, uint32_t out) {
  size_t count = bbw_node_component_count(node_at(node));
  bbw_vec *list = abi_result_begin();
  bool ok = bbw_pack_put_u32(list, (uint32_t)count);
  for (size_t i = 0; ok && i < count; i++) {
    bbw_str slot, type_name;
    uint32_t role_bits;
    ok = bbw_node_component(node_at(node), i, &slot, &type_name, &role_bits, NULL) && bbw_pack_put_text(list, slot) &&
         bbw_pack_put_text(list, type_name) && bbw_pack_put_u32(list, role_bits);
  }
  return abi_result_end(ok, out, 0);
}

int32_t bbw_abi_node_execution(uint32_t node, uint64_t exec_id, uint32_t filled_out) {
  uint32_t filled;
  if (!bbw_node_execution(node_at(node), exec_id, &filled)) { return 0; }
  memcpy(address(filled_out), &filled, sizeof(filled));
  return 1;
}

int32_t bbw_abi_node_model(uint32_t node, uint32_t out) {
  bbw_bytes model = bbw_node_model(node_at(node));
  out_set(out, model.ptr, model.len);
  return BBW_OK;
}

int32_t bbw_abi_node_counter(uint32_t node, uint32_t name, uint32_t name_len, uint32_t value_out) {
  uint64_t value;
  if (!bbw_node_counter(node_at(node), text_at(name, name_len), &value)) { return 0; }
  memcpy(address(value_out), &value, sizeof(value));
  return 1;
}

int32_t bbw_abi_shipped_components(uint32_t out) {
  size_t count;
  const bbw_component_type *const *types = bbw_shipped_component_types(&count);
  bbw_vec *list = abi_result_begin();
  bool ok = bbw_pack_put_u32(list, (uint32_t)count);
  for (size_t i = 0; ok && i < count; i++) {
    ok = bbw_pack_put_text(list, (bbw_str){types[i]->type_name, strlen(types[i]->type_name)}) &&
         bbw_pack_put_u32(list, types[i]->role_bits);
  }
  return abi_result_end(ok, out, 0);
}

static bbw_status read_bindings(bbw_pack *pack, bbw_binding **out, size_t *count, bbw_error *err) {
  *count = bbw_pack_count(pack, 12);
  *out = array_new(*count, sizeof(**out));
  if (*out == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < *count; i++) {
    (*out)[i].slot = bbw_pack_text(pack);
    bbw_str role = bbw_pack_text(pack);
    (*out)[i].type_name = bbw_pack_text(pack);
    if (!bbw_role_from_name(role, &(*out)[i].role)) {
      bbw_error_set(err, BBW_E_ARG);
      bbw_error_add_str(err, "role", role);
      return BBW_E_ARG;
    }
  }
  return BBW_OK;
}

int32_t bbw_abi_compile(uint32_t request_ptr, uint32_t request_len, uint32_t out, uint32_t err) {
  bbw_error_set(error_at(err), BBW_OK);
  bbw_pack pack = bbw_pack_open(address(request_ptr), request_len);
  bbw_bytes model = bbw_pack_bytes(&pack);
  bbw_binding *bindings = NULL;
  bbw_target_name *names = NULL;
  bbw_compile_options options = {.binding_count = 0};
  bbw_status rv = read_bindings(&pack, &bindings, &options.binding_count, error_at(err));
  if (rv == BBW_OK) {
    options.target_name_count = bbw_pack_count(&pack, 8);
    names = array_new(options.target_name_count, sizeof(*names));
    if (names == NULL) { rv = BBW_E_NOMEM; }
  }
  for (size_t i = 0; rv == BBW_OK && i < options.target_name_count; i++) {
    names[i].peer_class = bbw_pack_text(&pack);
    names[i].name = bbw_pack_text(&pack);
  }
  options.bindings = bindings;
  options.target_names = names;
  options.per_hop_budget_ns = bbw_pack_u64(&pack);
  options.is_permissive_types = bbw_pack_u32(&pack) != 0;
  options.routing = bbw_pack_u32(&pack);
  if (rv == BBW_OK && !bbw_pack_is_done(&pack)) { rv = bbw_error_set_at(error_at(err), BBW_E_ARG, pack.at); }
  uint8_t *artifact = NULL;
  size_t len = 0;
  if (rv == BBW_OK) { rv = bbw_compile(&artifact, &len, model, &options, &bbw_wasm_mem, error_at(err)); }
  array_free(bindings, options.binding_count, sizeof(*bindings));
  array_free(names, options.target_name_count, sizeof(*names));
  if (rv == BBW_E_NOMEM) { return bbw_error_set(error_at(err), rv); }
  if (rv != BBW_OK) { return rv; }
  bool ok = bbw_vec_append(abi_result_begin(), artifact, len);
  bbw_mem_array_free(&bbw_wasm_mem, artifact, len, 1);
  return abi_result_end(ok, out, err);
}
