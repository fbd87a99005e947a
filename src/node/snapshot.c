/* snapshot: the container, and taking over a restored state as a whole (proto/snapshot.proto). */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "node/node.h"
#include "node/snapshot_capture.h"
#include "node/snapshot_import.h"
#include "node/snapshot_rebuild.h"

#define HEADER_BYTES 24u
static const uint8_t magic[4] = {'b', 'b', 'w', 's'};

static uint64_t hash_of(bbw_bytes bytes) {
  bbw_siphash hash;
  bbw_siphash_init(&hash);
  bbw_siphash_write(&hash, bytes);
  return bbw_siphash_finish(&hash);
}

static bbw_str type_name_of(const bbw_component *component) {
  return (bbw_str){component->type->type_name, strlen(component->type->type_name)};
}

/* ---- taking ---- */

static bbw_status component_failed(const bbw_component *component, bbw_status rv, bbw_str detail, bbw_error *err) {
  if (rv == BBW_E_NOMEM) { return bbw_error_set(err, rv); }
  bbw_error_set(err, BBW_E_RESTORE_COMPONENT);
  bbw_error_add_str(err, "slot", component->slot);
  bbw_error_add_str(err, "type_name", type_name_of(component));
  bbw_error_add_str(err, "detail", detail.len == 0 ? bbw_status_text(rv) : detail);
  return BBW_E_RESTORE_COMPONENT;
}

static bbw_status save_components(const bbw_node *node, bbw_snap_component *out, bbw_error *err) {
  for (size_t i = 0; i < node->engine.components.count; i++) {
    const bbw_component *component = bbw_engine_component(&node->engine, i);
    out[i] = (bbw_snap_component){.slot = component->slot, .type_name = type_name_of(component)};
    if (component->type->save == NULL) { continue; }
    uint8_t *state = NULL;
    size_t len = 0;
    bbw_status rv = component->type->save(component->self, node->mem, &state, &len);
    if (rv != BBW_OK) { return component_failed(component, rv, BBW_STR("its state could not be saved"), err); }
    out[i].has_state = true;
    out[i].state = (bbw_bytes){state, len};
  }
  return BBW_OK;
}

static void free_states(const bbw_node *node, const bbw_snap_component *components) {
  for (size_t i = 0; i < node->engine.components.count; i++) {
    bbw_mem_array_free(node->mem, (void *)(uintptr_t)components[i].state.ptr, components[i].state.len, 1);
  }
}

static bbw_status seal(const bbw_snap *snap, bbw_arena *arena, const bbw_mem *mem, uint8_t **out, size_t *len) {
  bbw_bytes message;
  bbw_status rv = bbw_proto_encode(&message, snap, &bbw_snap_type, arena);
  if (rv != BBW_OK) { return rv; }
  size_t bytes;
  if (!bbw_size_add(message.len, HEADER_BYTES, &bytes)) { return BBW_E_NOMEM; }
  uint8_t *sealed = mem->alloc(mem->ctx, bytes);
  if (sealed == NULL) { return BBW_E_NOMEM; }
  memcpy(sealed, magic, sizeof(magic));
  bbw_store_u32le(sealed + 4, BBW_SNAPSHOT_VERSION);
  bbw_store_u64le(sealed + 8, message.len);
  bbw_store_u64le(sealed + 16, hash_of(message));
  if (message.len != 0) { memcpy(sealed + HEADER_BYTES, message.ptr, message.len); }
  *out = sealed;
  *len = bytes;
  return BBW_OK;
}

static bbw_status take(const bbw_node *node, bbw_arena *arena, const bbw_mem *mem, uint8_t **out, size_t *len,
                       bbw_error *err) {
  bbw_snap snap;
  size_t count = node->engine.components.count;
  bbw_snap_component *components = bbw_arena_array(arena, count, sizeof(*components));
  bbw_str *modules = bbw_arena_array(arena, node->module_count, sizeof(*modules));
  if (components == NULL || modules == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_status rv = bbw_error_set(err, bbw_snapshot_capture(&snap, node, arena));
  if (rv != BBW_OK) { return rv; }
  for (size_t i = 0; i < node->module_count; i++) { modules[i] = node->modules[i]->name; }
  snap.artifact_hash = hash_of(node->model_bytes);
  snap.modules = (bbw_proto_list){modules, node->module_count};
  snap.components = (bbw_proto_list){components, count};
  rv = save_components(node, components, err);
  if (rv == BBW_OK) { rv = bbw_error_set(err, seal(&snap, arena, mem, out, len)); }
  free_states(node, components);
  return rv;
}

bbw_status bbw_node_snapshot(const bbw_node *node, uint8_t **out, size_t *len, const bbw_mem *mem, bbw_error *err) {
  if (node->engine.is_running) { return bbw_error_set(err, BBW_E_BUSY); }
  bbw_arena arena;
  bbw_arena_init(&arena, node->mem);
  bbw_status rv = take(node, &arena, mem, out, len, err);
  bbw_arena_free(&arena);
  return rv;
}

/* ---- opening ---- */

static bbw_status damaged(bbw_error *err, uint64_t offset, const char *detail) {
  bbw_error_set_at(err, BBW_E_SNAP_DECODE, offset);
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  return BBW_E_SNAP_DECODE;
}

/* The message behind the header, once the header is right. */
static bbw_status unseal(bbw_bytes bytes, bbw_bytes *message, bbw_error *err) {
  size_t shared = bytes.len < sizeof(magic) ? bytes.len : sizeof(magic);
  if (shared != 0 && memcmp(bytes.ptr, magic, shared) != 0) { return damaged(err, 0, "this is not a snapshot"); }
  if (bytes.len < HEADER_BYTES) { return damaged(err, bytes.len, "the snapshot is truncated"); }
  uint32_t version = bbw_load_u32le(bytes.ptr + 4);
  if (version != BBW_SNAPSHOT_VERSION) {
    bbw_error_set_at(err, BBW_E_RESTORE_SPEC_VERSION, 4);
    bbw_error_add_u64(err, "got", version);
    bbw_error_add_u64(err, "expected", BBW_SNAPSHOT_VERSION);
    return BBW_E_RESTORE_SPEC_VERSION;
  }
  uint64_t length = bbw_load_u64le(bytes.ptr + 8);
  size_t left = bytes.len - HEADER_BYTES;
  if (length > left) { return damaged(err, bytes.len, "the snapshot is truncated"); }
  if (length < left) { return damaged(err, HEADER_BYTES + length, "bytes follow the snapshot"); }
  *message = (bbw_bytes){bytes.ptr + HEADER_BYTES, left};
  if (hash_of(*message) != bbw_load_u64le(bytes.ptr + 16)) { return damaged(err, 16, "the checksum is wrong"); }
  return BBW_OK;
}

static bbw_status decode(void *out, const bbw_proto_message *type, bbw_bytes message, bbw_arena *arena,
                         bbw_error *err) {
  bbw_error cause;
  bbw_error_set(&cause, BBW_OK);
  bbw_status rv = bbw_proto_decode(out, type, message, arena, &cause);
  if (rv == BBW_OK || rv == BBW_E_NOMEM) { return bbw_error_set(err, rv); }
  return damaged(err, HEADER_BYTES + cause.offset, "the snapshot is not the expected message");
}

static void *refuse_alloc(void *ctx, size_t size) {
  (void)ctx;
  (void)size;
  return NULL;
}
static void ignore_free(void *ctx, void *ptr, size_t size) {
  (void)ctx;
  (void)ptr;
  (void)size;
}

bbw_status bbw_snapshot_read_info(bbw_snapshot_info *out, bbw_bytes snapshot, bbw_error *err) {
  /* The fields that are asked for, all of them plain; what is skipped needs no memory. */
  typedef struct facts {
    uint64_t incarnation;
    bbw_bytes peer_id;
    uint64_t artifact_hash, now_ns;
  } facts;
  static const bbw_proto_field fields[] = {
      {.number = 1, .kind = BBW_PROTO_I64, .at = offsetof(facts, incarnation)},
      {.number = 2, .kind = BBW_PROTO_BYTES, .at = offsetof(facts, peer_id)},
      {.number = 3, .kind = BBW_PROTO_I64, .at = offsetof(facts, artifact_hash)},
      {.number = 10, .kind = BBW_PROTO_I64, .at = offsetof(facts, now_ns)},
  };
  static const bbw_proto_message type = {
      .name = "Snapshot", .bytes = sizeof(facts), .fields = fields, .field_count = sizeof(fields) / sizeof(fields[0])};
  static const bbw_mem no_memory = {NULL, refuse_alloc, ignore_free};
  bbw_bytes message;
  facts found;
  bbw_peer_id peer;
  bbw_arena arena;
  bbw_arena_init(&arena, &no_memory);
  bbw_status rv = unseal(snapshot, &message, err);
  if (rv == BBW_OK) { rv = decode(&found, &type, message, &arena, err); }
  if (rv != BBW_OK) { return rv; }
  if (bbw_peer_id_decode(&peer, found.peer_id, NULL) != BBW_OK) { return damaged(err, 0, "the peer id is malformed"); }
  *out = (bbw_snapshot_info){.version = BBW_SNAPSHOT_VERSION,
                             .incarnation = found.incarnation,
                             .peer_id = peer,
                             .artifact_hash = found.artifact_hash,
                             .now_ns = found.now_ns,
                             .message_bytes = message.len};
  return BBW_OK;
}

/* ---- is it ours? ---- */

static bbw_status mismatch(bbw_error *err, const char *what, bbw_str got, bbw_str expected) {
  bbw_error_set(err, BBW_E_RESTORE_MISMATCH);
  bbw_error_add_str(err, "what", (bbw_str){what, strlen(what)});
  bbw_error_add_str(err, "got", got);
  bbw_error_add_str(err, "expected", expected);
  return BBW_E_RESTORE_MISMATCH;
}

static bbw_status check_peer(const bbw_node *node, const bbw_snap *snap, bbw_error *err) {
  bbw_peer_id peer;
  if (bbw_peer_id_decode(&peer, snap->peer_id, NULL) != BBW_OK) { return damaged(err, 0, "the peer id is malformed"); }
  if (bbw_peer_id_equal(&peer, &node->engine.self_peer)) { return BBW_OK; }
  char got[BBW_PEER_ID_TEXT_BYTES_MAX], expected[BBW_PEER_ID_TEXT_BYTES_MAX];
  return mismatch(err, "peer_id", (bbw_str){got, bbw_peer_id_to_text(&peer, got)},
                  (bbw_str){expected, bbw_peer_id_to_text(&node->engine.self_peer, expected)});
}

static bbw_status check_artifact(const bbw_node *node, const bbw_snap *snap, bbw_error *err) {
  uint64_t hash = hash_of(node->model_bytes);
  if (snap->artifact_hash != hash) {
    bbw_error_set(err, BBW_E_RESTORE_MISMATCH);
    bbw_error_add_str(err, "what", BBW_STR("artifact"));
    bbw_error_add_u64(err, "got", snap->artifact_hash);
    bbw_error_add_u64(err, "expected", hash);
    return BBW_E_RESTORE_MISMATCH;
  }
  for (size_t i = 0; i < snap->modules.count || i < node->module_count; i++) {
    bbw_str got = i < snap->modules.count ? *BBW_PROTO_AT(&snap->modules, bbw_str, i) : BBW_STR("");
    bbw_str expected = i < node->module_count ? node->modules[i]->name : BBW_STR("");
    bool is_same = i < snap->modules.count && i < node->module_count && bbw_str_equal(got, expected);
    if (!is_same) { return mismatch(err, "module", got, expected); }
  }
  return BBW_OK;
}

static bbw_status check_components(const bbw_node *node, const bbw_snap *snap, bbw_error *err) {
  size_t count = node->engine.components.count;
  for (size_t i = 0; i < snap->components.count || i < count; i++) {
    static const bbw_snap_component none = {.slot = {NULL, 0}};
    const bbw_snap_component *got = &none;
    if (i < snap->components.count) { got = BBW_PROTO_AT(&snap->components, bbw_snap_component, i); }
    if (i >= count) { return mismatch(err, "component", got->slot, BBW_STR("")); }
    const bbw_component *component = bbw_engine_component(&node->engine, i);
    if (!bbw_str_equal(got->slot, component->slot)) { return mismatch(err, "component", got->slot, component->slot); }
    if (!bbw_str_equal(got->type_name, type_name_of(component))) {
      return mismatch(err, "component_type", got->type_name, type_name_of(component));
    }
  }
  return BBW_OK;
}

/* ---- restoring ---- */

/* A second engine beside the node's: it borrows the graphs, and of the components those without saved state. */
typedef struct restorer {
  bbw_node *node;
  const bbw_snap *snap;
  bool has_lost_values;
  bbw_engine next;
  bool *is_fresh; /* per component: next has an instance of its own */
  bbw_error *err;
} restorer;

/* Destroys the instances that the engine does not share. */
static void drop_components(const restorer *r, bbw_engine *engine) {
  for (size_t i = 0; i < engine->components.count; i++) {
    bbw_component *component = bbw_engine_component(engine, i);
    if (r->is_fresh[i]) { component->type->destroy(component->self, engine->mem); }
  }
  engine->components.count = 0;
}

static bbw_status restore_component(restorer *r, size_t index, const bbw_snap_component *from) {
  bbw_component component = *bbw_engine_component(&r->node->engine, index);
  const bbw_component_type *type = component.type;
  const bbw_mem *mem = r->node->mem;
  if (from->has_state && type->restore == NULL) {
    return component_failed(&component, BBW_E_RESTORE_COMPONENT, BBW_STR("it takes no state"), r->err);
  }
  if (from->has_state) {
    const bbw_component_config *config = &r->node->component_configs[index];
    bbw_error cause;
    bbw_error_set(&cause, BBW_OK);
    bbw_status rv = type->construct(&component.self, type, config->is_given, config->bytes, mem, &cause);
    if (rv != BBW_OK) { return component_failed(&component, rv, bbw_error_field(&cause, "detail"), r->err); }
    rv = type->restore(component.self, from->state, mem, &cause);
    if (rv != BBW_OK) {
      type->destroy(component.self, mem);
      return component_failed(&component, rv, bbw_error_field(&cause, "detail"), r->err);
    }
    r->is_fresh[index] = true;
  }
  bool ok = bbw_vec_append(&r->next.components, &component, 1);
  (void)ok; /* room is reserved */
  return BBW_OK;
}

/* What an engine has from install, beside the graphs. */
static bbw_status prepare(restorer *r) {
  const bbw_engine *old = &r->node->engine;
  bbw_engine *next = &r->next;
  if (!bbw_vec_reserve(&next->components, old->components.count)) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  for (size_t i = 0; i < old->components.count; i++) {
    bbw_status rv = restore_component(r, i, BBW_PROTO_AT(&r->snap->components, bbw_snap_component, i));
    if (rv != BBW_OK) { return rv; }
  }
  bbw_status rv = bbw_bootstrap_register(next);
  for (size_t i = 0; rv == BBW_OK && i < old->bus.subscriptions.count; i++) {
    const bbw_subscription *s = BBW_VEC_AT(&old->bus.subscriptions, const bbw_subscription, i);
    rv = bbw_bus_subscribe(&next->bus, s->kind, s->graph, s->op);
  }
  return bbw_error_set(r->err, rv);
}

static bbw_status rebuild(restorer *r, bbw_arena *arena) {
  bbw_rebuild work = {
      .snap = r->snap, .engine = &r->next, .arena = arena, .err = r->err, .has_lost_values = r->has_lost_values};
  bbw_status rv = bbw_rebuild_executions(&work);
  if (rv == BBW_OK) { rv = bbw_rebuild_queues(&work); }
  if (rv == BBW_OK) { rv = bbw_rebuild_peers(&work); }
  if (rv != BBW_OK || r->next.bytes_in_flight == r->snap->bytes_in_flight) { return rv; }
  return bbw_rebuild_bad(&work, "the charged bytes do not add up");
}

static bbw_op *op_at(bbw_engine *engine, uint64_t op_ref) {
  return &bbw_engine_graph(engine, (size_t)(op_ref >> 32))->ops[(uint32_t)op_ref];
}

/* The flags of the ops that the graphs hold: an op's timer is armed when it is in the heap. */
static void mark_intervals(bbw_engine *engine, const bbw_proto_list *started) {
  for (size_t g = 0; g < engine->graphs.count; g++) {
    bbw_graph *graph = bbw_engine_graph(engine, g);
    for (uint32_t i = 0; i < graph->op_count; i++) { graph->ops[i].is_timer_armed = graph->ops[i].is_started = false; }
  }
  for (size_t i = 0; i < engine->timers.heap.count; i++) {
    const bbw_timer *timer = BBW_VEC_AT(&engine->timers.heap, const bbw_timer, i);
    if (timer->kind != BBW_TIMER_INTERVAL) { continue; }
    op_at(engine, timer->subject)->is_timer_armed = true;
  }
  for (size_t i = 0; i < started->count; i++) { op_at(engine, *BBW_PROTO_AT(started, uint64_t, i))->is_started = true; }
}

/* Frees an engine that has neither graphs nor the other one's components. */
static void discard(const restorer *r, bbw_engine *engine) {
  drop_components(r, engine);
  while (engine->frames_first != NULL) { bbw_frame_drop(engine, engine->frames_first); }
  bbw_vec_init(&engine->graphs, sizeof(bbw_graph *), engine->mem);
  bbw_engine_free(engine);
}

/* The new engine takes the old one's place.  Nothing here can fail. */
static void commit(restorer *r) {
  bbw_engine old = r->node->engine;
  r->next.routes = old.routes;
  bbw_map_init(&old.routes, 0, old.mem);
  r->next.ctx.inputs = old.ctx.inputs;
  r->next.ctx.outputs = old.ctx.outputs;
  r->next.scratch_input_count = old.scratch_input_count;
  r->next.scratch_output_count = old.scratch_output_count;
  r->next.time_is_up = old.time_is_up; /* of the host, not of the state */
  r->next.time_ctx = old.time_ctx;
  r->next.time_check_ops = old.time_check_ops;
  old.ctx.inputs = old.ctx.outputs = NULL;
  r->node->engine = r->next;
  r->node->incarnation = r->snap->incarnation == UINT64_MAX ? UINT64_MAX : r->snap->incarnation + 1;
  discard(r, &old);
  mark_intervals(&r->node->engine, &r->snap->started);
  bbw_node_notify(r->node);
}

/*
 * A host that starts again installs with a new seed.  The earlier life has run on after the snapshot and has sent requests under the ids that would come next, whose answers may still
 * be on their way; so the new life goes on with ids of its own.  With the seed of the snapshot it is the same life, which goes on exactly.
 */
static void begin_life(bbw_engine *next, const bbw_engine *installed) {
  if (next->config.rng_seed == installed->config.rng_seed) { return; }
  next->config.rng_seed = installed->config.rng_seed;
  next->requests.next_token = installed->requests.next_token;
}

static bbw_status restore(bbw_node *node, const bbw_snap *snap, bool has_lost_values, bbw_arena *arena,
                          bbw_error *err) {
  restorer r = {.node = node, .snap = snap, .has_lost_values = has_lost_values, .err = err};
  r.is_fresh = bbw_arena_array(arena, node->engine.components.count, sizeof(bool));
  if (r.is_fresh == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  if (snap->config == NULL || bbw_config_check(snap->config, NULL) != BBW_OK ||
      (snap->config->step_mask & BBW_STEP_MASK_ALWAYS) != BBW_STEP_MASK_ALWAYS) {
    return damaged(err, 0, "the configuration is not valid");
  }
  bbw_status rv = bbw_engine_init(&r.next, &node->engine.self_peer, snap->config, node->mem);
  r.next.graphs = node->engine.graphs; /* borrowed */
  bbw_error_set(err, rv);
  if (rv == BBW_OK) { rv = prepare(&r); }
  if (rv == BBW_OK) { rv = rebuild(&r, arena); }
  if (rv == BBW_OK && !has_lost_values) { begin_life(&r.next, &node->engine); }
  if (rv == BBW_OK) {
    commit(&r);
  } else {
    discard(&r, &r.next);
  }
  return rv;
}

bbw_status bbw_node_restore(bbw_node *node, bbw_bytes snapshot, bbw_error *err) {
  if (node->engine.is_running) { return bbw_error_set(err, BBW_E_BUSY); }
  bbw_bytes message;
  bbw_snap snap;
  bbw_arena arena;
  bbw_arena_init(&arena, node->mem);
  bbw_status rv = unseal(snapshot, &message, err);
  if (rv == BBW_OK) { rv = decode(&snap, &bbw_snap_type, message, &arena, err); }
  if (rv == BBW_OK) { rv = check_peer(node, &snap, err); }
  if (rv == BBW_OK) { rv = check_artifact(node, &snap, err); }
  if (rv == BBW_OK) { rv = check_components(node, &snap, err); }
  if (rv == BBW_OK) { rv = restore(node, &snap, false, &arena, err); }
  bbw_arena_free(&arena);
  return rv;
}

bbw_status bbw_node_import_snapshot(bbw_node *node, bbw_bytes snapshot, bbw_error *err) {
  if (node->engine.is_running) { return bbw_error_set(err, BBW_E_BUSY); }
  bbw_error_set(err, BBW_OK);
  bbw_snap snap;
  bbw_arena arena;
  bbw_arena_init(&arena, node->mem);
  bbw_status rv = bbw_snapshot_import(&snap, node, snapshot, &arena, err);
  if (rv == BBW_OK) { rv = restore(node, &snap, true, &arena, err); }
  bbw_arena_free(&arena);
  return rv;
}

uint64_t bbw_node_incarnation(const bbw_node *node) { return node->incarnation; }
