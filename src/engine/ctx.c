#include "engine/op.h"

#include <string.h>

#include "base/bytes.h"
#include "bbw/address.h"
#include "engine/engine.h"
#include "format/tensor_proto.h"

bbw_str bbw_op_error_kind_name(bbw_op_error_kind kind) {
  switch (kind) {
  case BBW_OP_TYPE_MISMATCH: return BBW_STR("TypeMismatch");
  case BBW_OP_MISSING_SLOT: return BBW_STR("MissingSlot");
  case BBW_OP_NOT_REGISTERED: return BBW_STR("NotRegistered");
  case BBW_OP_EXECUTION_FAILED: return BBW_STR("ExecutionFailed");
  case BBW_OP_REMOTE_FAILED: return BBW_STR("RemoteFailed");
  case BBW_OP_TIMEOUT: return BBW_STR("Timeout");
  case BBW_OP_BAD_INPUT: return BBW_STR("BadInput");
  case BBW_OP_COOLDOWN: return BBW_STR("Cooldown");
  case BBW_OP_OTHER: break;
  }
  return BBW_STR("Other");
}

bbw_role bbw_ctx_role(const bbw_ctx *ctx) { return ctx->op != NULL ? (bbw_role)ctx->op->role : ctx->role; }
bbw_str bbw_ctx_op_type(const bbw_ctx *ctx) { return ctx->op != NULL ? ctx->op->node->op_type : ctx->op_type; }
size_t bbw_ctx_input_count(const bbw_ctx *ctx) { return ctx->input_count; }
bbw_value *bbw_ctx_input(const bbw_ctx *ctx, size_t index) {
  return index < ctx->input_count ? ctx->inputs[index] : NULL;
}
size_t bbw_ctx_output_count(const bbw_ctx *ctx) { return ctx->output_count; }
const bbw_mem *bbw_ctx_mem(const bbw_ctx *ctx) { return ctx->engine->mem; }
uint64_t bbw_ctx_now_ns(const bbw_ctx *ctx) { return ctx->engine->now_ns; }
const bbw_peer_id *bbw_ctx_self_peer(const bbw_ctx *ctx) { return &ctx->engine->self_peer; }
const bbw_peer_id *bbw_ctx_src_peer(const bbw_ctx *ctx) {
  return ctx->inbound == NULL ? NULL : &ctx->inbound->src_peer;
}
bool bbw_ctx_is_remote(const bbw_ctx *ctx) { return ctx->frame == NULL && ctx->inbound != NULL; }
bool bbw_ctx_is_allowed(const bbw_ctx *ctx, const bbw_peer_id *peer) {
  return bbw_governor_check_inbound(&ctx->engine->governor, peer) == BBW_VERDICT_ALLOW;
}
uint64_t bbw_ctx_random(bbw_ctx *ctx) { return bbw_engine_random(ctx->engine); }

uint64_t bbw_ctx_table_seed(const bbw_ctx *ctx) { return ~ctx->engine->address_book.entries.seed; }

uint64_t bbw_ctx_op_ref(const bbw_ctx *ctx) {
  return ctx->frame == NULL ? 0 : bbw_graph_op_ref(ctx->frame->graph, bbw_ctx_op_index(ctx));
}

const bbw_onnx_attribute *bbw_ctx_attribute(const bbw_ctx *ctx, const char *name) {
  if (ctx->op == NULL) { return NULL; }
  return bbw_onnx_attribute_find(ctx->op->node, (bbw_str){name, strlen(name)});
}

bool bbw_ctx_attr_i64(const bbw_ctx *ctx, const char *name, int64_t *out) {
  const bbw_onnx_attribute *attribute = bbw_ctx_attribute(ctx, name);
  if (attribute != NULL) { *out = attribute->i; }
  return attribute != NULL;
}

bool bbw_ctx_attr_f32(const bbw_ctx *ctx, const char *name, float *out) {
  const bbw_onnx_attribute *attribute = bbw_ctx_attribute(ctx, name);
  if (attribute != NULL) { *out = attribute->f; }
  return attribute != NULL;
}

bool bbw_ctx_attr_bytes(const bbw_ctx *ctx, const char *name, bbw_bytes *out) {
  const bbw_onnx_attribute *attribute = bbw_ctx_attribute(ctx, name);
  if (attribute != NULL) { *out = attribute->s; }
  return attribute != NULL;
}

bool bbw_ctx_attr_ints(const bbw_ctx *ctx, const char *name, const int64_t **items, size_t *count) {
  const bbw_onnx_attribute *attribute = bbw_ctx_attribute(ctx, name);
  if (attribute == NULL) { return false; }
  *items = attribute->ints.items;
  *count = attribute->ints.count;
  return true;
}

bool bbw_ctx_metadata(const bbw_ctx *ctx, const char *key, bbw_str *value) {
  if (ctx->op == NULL) { return false; }
  return bbw_onnx_entry_find(&ctx->op->node->metadata_props, (bbw_str){key, strlen(key)}, value);
}

bbw_str bbw_ctx_input_name(const bbw_ctx *ctx, size_t index) {
  if (ctx->op == NULL || index >= ctx->op->node->input.count) { return (bbw_str){NULL, 0}; }
  return *BBW_PROTO_AT(&ctx->op->node->input, bbw_str, index);
}

bbw_value *bbw_ctx_input_named(const bbw_ctx *ctx, const char *name, size_t fallback) {
  bbw_str wanted = {name, strlen(name)};
  for (size_t i = 0; i < ctx->input_count; i++) {
    if (ctx->inputs[i] != NULL && bbw_str_equal(bbw_ctx_input_name(ctx, i), wanted)) { return ctx->inputs[i]; }
  }
  return bbw_ctx_input(ctx, fallback);
}

void bbw_ctx_set_output(bbw_ctx *ctx, size_t index, bbw_value *value) {
  if (index >= ctx->output_count) {
    bbw_value_release(value, ctx->engine->mem);
    return;
  }
  bbw_value_release(ctx->outputs[index], ctx->engine->mem);
  ctx->outputs[index] = value;
}

void bbw_ctx_set_trigger(bbw_ctx *ctx, size_t index) {
  bbw_ctx_set_output(ctx, index, bbw_value_retain(ctx->engine->trigger));
}

size_t bbw_ctx_peer_count(const bbw_ctx *ctx) {
  const bbw_address_book *book = &ctx->engine->address_book;
  size_t own;
  bool knows_self = bbw_address_book_index(book, &ctx->engine->self_peer, &own);
  size_t all = bbw_address_book_count(book);
  return knows_self ? all - 1 : all;
}

const bbw_peer_id *bbw_ctx_peer(const bbw_ctx *ctx, size_t index) {
  const bbw_address_book *book = &ctx->engine->address_book;
  size_t own;
  bool skips_self = bbw_address_book_index(book, &ctx->engine->self_peer, &own) && index >= own;
  return bbw_address_book_peer(book, skips_self ? index + 1 : index);
}

/* ---- peers, for protocols ---- */

bool bbw_ctx_peer_addresses(const bbw_ctx *ctx, const bbw_peer_id *peer, const bbw_bytes **items, size_t *count) {
  return bbw_address_book_lookup(&ctx->engine->address_book, peer, items, count);
}

bool bbw_ctx_local_addresses(const bbw_ctx *ctx, const bbw_bytes **items, size_t *count) {
  return bbw_ctx_peer_addresses(ctx, &ctx->engine->self_peer, items, count);
}

bbw_status bbw_ctx_hold_peer(bbw_ctx *ctx, const bbw_peer_id *peer, const bbw_bytes *addresses, size_t count,
                             bool is_own_word) {
  bbw_address_book *book = &ctx->engine->address_book;
  /* Who is new is held by its claim. */
  bool is_known = bbw_address_book_hold(book, peer) == BBW_OK;
  bbw_status rv = is_known && !is_own_word ? BBW_OK : bbw_address_book_claim(book, peer, addresses, count);
  if (rv != BBW_OK && is_known) { (void)bbw_address_book_drop_peer(book, peer); }
  return rv;
}

void bbw_ctx_release_peer(bbw_ctx *ctx, const bbw_peer_id *peer) {
  (void)bbw_address_book_drop_peer(&ctx->engine->address_book, peer); /* the host may have dropped it already */
}

bbw_status bbw_ctx_send_control(bbw_ctx *ctx, const bbw_peer_id *peer, uint32_t number, bbw_str op_type,
                                bbw_bytes payload, uint64_t deadline_ns) {
  enum { SUFFIX_BYTES_MAX = 128 };
  bbw_engine *engine = ctx->engine;
  bbw_verdict verdict = bbw_governor_check_inbound(&engine->governor, peer);
  if (verdict != BBW_VERDICT_ALLOW) {
    return bbw_ctx_fail(ctx, BBW_OP_OTHER, "peer_blocked", bbw_verdict_label(verdict));
  }
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX], address[BBW_PEER_ID_BYTES_MAX + 8], suffix[SUFFIX_BYTES_MAX];
  size_t address_len = 0, suffix_len = 0;
  bbw_segment to = {.kind = BBW_SEGMENT_P2P, .bytes = {bytes, bbw_peer_id_encode(peer, bytes)}};
  bbw_segment component = {.kind = BBW_SEGMENT_COMPONENT, .number = number};
  bbw_segment op = {.kind = BBW_SEGMENT_OP, .bytes = bbw_str_bytes(op_type)};
  bbw_status rv = bbw_address_append(address, sizeof(address), &address_len, &to);
  if (rv == BBW_OK) { rv = bbw_address_append(suffix, sizeof(suffix), &suffix_len, &component); }
  if (rv == BBW_OK) { rv = bbw_address_append(suffix, sizeof(suffix), &suffix_len, &op); }
  if (rv != BBW_OK) { return rv; }
  bbw_slot_fill fill = {.dest_suffix = {suffix, suffix_len}, .payload = payload};
  bbw_envelope envelope = {.fills = &fill,
                           .fill_count = 1,
                           .remaining_deadline_ns = deadline_ns,
                           .schema_version = BBW_ENVELOPE_SCHEMA_VERSION};
  bbw_tail *tail;
  rv = bbw_tail_new(&tail, &envelope, engine->mem);
  if (rv != BBW_OK) { return rv; }
  bbw_bytes destination = {address, address_len};
  rv = bbw_outbound_push(&engine->outbound, peer, &destination, 1, tail);
  bbw_tail_release(tail, engine->mem);
  return rv;
}

void *bbw_ctx_dependency(const bbw_ctx *ctx, bbw_str slot, bbw_str type_name) {
  for (size_t i = 0; i < ctx->engine->components.count; i++) {
    const bbw_component *component = bbw_engine_component(ctx->engine, i);
    if (!bbw_str_equal(component->slot, slot)) { continue; }
    bbw_str type = {component->type->type_name, strlen(component->type->type_name)};
    return component->is_running || !bbw_str_equal(type, type_name) ? NULL : component->self;
  }
  return NULL;
}

/* wanted: an id that was minted before, or NULL. */
static bbw_status open_command(bbw_ctx *ctx, const uint64_t *wanted) {
  bbw_engine *engine = ctx->engine;
  if (ctx->frame == NULL) {
    return bbw_ctx_fail(ctx, BBW_OP_OTHER, "later_without_execution",
                        BBW_STR("a call from the network cannot be answered later"));
  }
  if (engine->async.count >= engine->config.max_pending_async) {
    return bbw_ctx_fail(ctx, BBW_OP_COOLDOWN, "pending_async_limit", BBW_STR("pending-async limit exceeded"));
  }
  if (bbw_engine_is_sliced(engine, ctx->op) && !bbw_async_reserve_resumed(&engine->async)) { return BBW_E_NOMEM; }
  bbw_status rv = wanted == NULL ? bbw_async_open(&engine->async, &ctx->cmd_id)
                                 : bbw_async_open_as(&engine->async, *wanted);
  if (rv != BBW_OK) { return rv; }
  if (wanted != NULL) { ctx->cmd_id = *wanted; }
  ctx->is_later_as = wanted != NULL;
  ctx->is_later = ctx->is_touched = true;
  return BBW_OK;
}

bbw_status bbw_ctx_later(bbw_ctx *ctx, uint64_t *cmd_id) {
  bbw_status rv = ctx->is_later ? BBW_OK : open_command(ctx, NULL);
  if (rv == BBW_OK) { *cmd_id = ctx->cmd_id; }
  return rv;
}

bool bbw_ctx_resumed(const bbw_ctx *ctx, uint64_t *cmd_id) {
  *cmd_id = ctx->cmd_id;
  return ctx->is_resumed;
}

bool bbw_ctx_waits(const bbw_ctx *ctx, uint64_t cmd_id) {
  const bbw_parked *parked = bbw_async_find(&ctx->engine->async, cmd_id);
  return parked != NULL && parked->is_resumed;
}

bool bbw_ctx_has_time_budget(const bbw_ctx *ctx) { return ctx->engine->time_is_up != NULL; }
bool bbw_ctx_is_time_up(const bbw_ctx *ctx) {
  return bbw_ctx_has_time_budget(ctx) && ctx->engine->time_is_up(ctx->engine->time_ctx);
}

/* The detail names the prefix; the topic itself is the node's attribute. */
static const struct {
  bbw_str prefix;
  const char *detail;
} reserved[] = {
    {{"bb.", 3}, "the topic begins with `bb.`, which is reserved"},
    {{"ai.bytesandbrains.", 18}, "the topic begins with `ai.bytesandbrains.`, which is reserved"},
};

bbw_status bbw_ctx_emit(bbw_ctx *ctx, const char *attribute, bbw_value *value) {
  bbw_bytes text = {NULL, 0};
  bbw_ctx_attr_bytes(ctx, attribute, &text);
  for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
    if (!bbw_str_starts_with(bbw_bytes_str(text), reserved[i].prefix)) { continue; }
    bbw_str detail = {reserved[i].detail, strlen(reserved[i].detail)};
    return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "reserved_topic_prefix", detail);
  }
  return bbw_engine_emit(ctx->engine, bbw_bytes_str(text), value);
}

bbw_status bbw_ctx_later_as(bbw_ctx *ctx, uint64_t cmd_id) {
  const bbw_async *async = &ctx->engine->async;
  if (cmd_id >= async->next_cmd_id || bbw_async_find(&ctx->engine->async, cmd_id) != NULL) {
    return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "unknown_command",
                        BBW_STR("no operator gave this command id, or another operator waits for it"));
  }
  return open_command(ctx, &cmd_id);
}

bbw_status bbw_ctx_fail(bbw_ctx *ctx, bbw_op_error_kind kind, const char *reason, bbw_str detail) {
  size_t len = detail.len;
  if (len > BBW_OP_DETAIL_BYTES_MAX) {
    len = BBW_OP_DETAIL_BYTES_MAX;
    while (len > 0 && ((uint8_t)detail.ptr[len] & 0xc0) == 0x80) { len--; } /* not inside a character */
  }
  ctx->is_touched = true;
  ctx->error_kind = kind;
  ctx->error_reason = reason;
  ctx->error_detail_len = len;
  if (len != 0) { memcpy(ctx->error_detail, detail.ptr, len); }
  return BBW_E_COMPONENT;
}

bbw_status bbw_ctx_fail_input(bbw_ctx *ctx, size_t index, const char *expected) {
  if (ctx->is_out_of_memory) { return BBW_E_NOMEM; }
  char text[128] = "input ";
  size_t len = 6;
  char digits[20];
  size_t digit_count = bbw_format_u64(index, digits);
  memcpy(text + len, digits, digit_count);
  len += digit_count;
  memcpy(text + len, " expected `", 11);
  len += 11;
  size_t expected_len = strlen(expected);
  if (expected_len > sizeof(text) - len - 1) { expected_len = sizeof(text) - len - 1; }
  memcpy(text + len, expected, expected_len);
  len += expected_len;
  text[len++] = '`';
  return bbw_ctx_fail(ctx, BBW_OP_TYPE_MISMATCH, "input_type_mismatch", (bbw_str){text, len});
}

/* Bytes that the host gave: a TensorProto, or else the wire form of a CpuTensor. */
static bbw_value *tensor_from_bytes(bbw_ctx *ctx, bbw_bytes bytes) {
  const bbw_mem *mem = ctx->engine->mem;
  bbw_value *value = NULL;
  bbw_arena arena;
  bbw_arena_init(&arena, mem);
  bbw_onnx_tensor proto;
  bbw_status rv = bbw_proto_decode(&proto, &bbw_onnx_tensor_type_table, bytes, &arena, NULL);
  if (rv == BBW_OK) { rv = bbw_tensor_proto_to_value(&value, &proto, mem, NULL); }
  bbw_arena_free(&arena);
  if (rv != BBW_OK && rv != BBW_E_NOMEM) {
    rv = bbw_value_decode(&value, bbw_type_hash(BBW_TYPE_CPU_TENSOR), bytes, mem, NULL);
  }
  if (rv == BBW_E_NOMEM) { ctx->is_out_of_memory = ctx->is_touched = true; }
  return rv == BBW_OK ? value : NULL;
}

const bbw_tensor *bbw_ctx_input_tensor(bbw_ctx *ctx, size_t index) {
  bbw_value *value = bbw_ctx_input(ctx, index);
  if (value == NULL) { return NULL; }
  if (bbw_value_is_tensor(value)) { return &value->as.tensor; }
  if (value->type != BBW_TYPE_BYTES) { return NULL; }
  if (!bbw_vec_reserve(&ctx->engine->temps, 1)) {
    ctx->is_out_of_memory = ctx->is_touched = true;
    return NULL;
  }
  bbw_value *decoded = tensor_from_bytes(ctx, value->as.bytes);
  if (decoded == NULL) { return NULL; }
  bool ok = bbw_vec_append(&ctx->engine->temps, &decoded, 1);
  (void)ok; /* reserved above */
  ctx->is_touched = true;
  ctx->inputs[index] = decoded; /* asked again, the input is a tensor already */
  return &decoded->as.tensor;
}
