/* wire: values to other nodes and from them (operator specification §3.9, wire specification §9). */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "bbw/address.h"
#include "engine/engine.h"
#include "ops/ops.h"

/* More would make the envelope undeliverable under the default caps of a receiver. */
#define SRC_ADDRESSES_MAX 8u
/* Peers that one Send may name: one op is one unit of a poll's budget. */
#define SEND_PEERS_MAX    65536u
#define SUFFIX_ATTRIBUTE  "ai.bytesandbrains.dest_suffix."
#define TRIGGER_ATTRIBUTE "ai.bytesandbrains.trigger_only."

static const bbw_str peer_names[] = {{"dest", 4}, {"dest_peer", 9}, {"peer", 4}, {"peers", 5}, {"peer_id", 7}};

static bool is_peer_name(bbw_str name) {
  for (size_t i = 0; i < sizeof(peer_names) / sizeof(peer_names[0]); i++) {
    if (bbw_str_equal(peer_names[i], name)) { return true; }
  }
  return false;
}

/* The peers that a value names, as multihash bytes; *is_list is false when its type names none. */
static bbw_status peers_of(bbw_ctx *ctx, bbw_value *value, const bbw_bytes **items, size_t *count, bool *is_list) {
  *is_list = true;
  switch ((bbw_type)value->type) {
  case BBW_TYPE_PEER_ID_VEC:
  case BBW_TYPE_RAW_PEER_VEC:
    *items = value->as.blobs.items;
    *count = value->as.blobs.count;
    return BBW_OK;
  case BBW_TYPE_PEER_ID:
  case BBW_TYPE_RAW_PEER:
    *items = &value->as.bytes;
    *count = 1;
    return BBW_OK;
  case BBW_TYPE_BYTES: {
    bbw_value *decoded;
    if (!bbw_vec_reserve(&ctx->engine->temps, 1)) { return BBW_E_NOMEM; }
    bbw_status rv = bbw_value_decode(&decoded, bbw_type_hash(BBW_TYPE_PEER_ID_VEC), value->as.bytes, bbw_ctx_mem(ctx),
                                     NULL);
    if (rv == BBW_E_NOMEM) { return rv; }
    *is_list = rv == BBW_OK;
    if (rv != BBW_OK) { return BBW_OK; }
    *(bbw_value **)bbw_vec_push(&ctx->engine->temps) = decoded; /* lives until the op is done */
    ctx->is_touched = true;
    *items = decoded->as.blobs.items;
    *count = decoded->as.blobs.count;
    return BBW_OK;
  }
  default: break;
  }
  *is_list = false;
  return BBW_OK;
}

typedef struct send {
  const bbw_bytes *peers;
  size_t peer_count;
  size_t peer_input; /* position of the input that names the peers; SIZE_MAX if none */
  bbw_slot_fill *fills;
  size_t fill_count;
  uint64_t request_id;
  bool is_forwarder;
  bool is_waiting; /* it answers when the request has its outcome */
  bool is_blocked; /* the lists forbid one of the peers */
  uint64_t deadline_ns;
  bool has_edge; /* the compiler has written where in a chain this Send stands */
  bbw_rtt_edge edge;
  bbw_bytes sender; /* of a reply: the one peer */
  uint8_t sender_bytes[BBW_PEER_ID_BYTES_MAX];
} send;

static bool is_set(const bbw_ctx *ctx, const char *attribute) {
  int64_t value = 0;
  return bbw_ctx_attr_i64(ctx, attribute, &value) && value != 0;
}

/* With attribute `reply` the sender of the envelope that started the execution; else first an input with one of the known names, then the second input. */
static bbw_status find_peers(bbw_ctx *ctx, send *s) {
  s->peer_input = SIZE_MAX;
  if (is_set(ctx, "reply")) {
    if (ctx->inbound == NULL) {
      return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "no_sender", BBW_STR("no envelope started what would be replied to"));
    }
    s->sender = (bbw_bytes){s->sender_bytes, bbw_peer_id_encode(&ctx->inbound->src_peer, s->sender_bytes)};
    s->peers = &s->sender;
    s->peer_count = 1;
    return BBW_OK;
  }
  for (size_t pass = 0; pass < 2 && s->peer_input == SIZE_MAX; pass++) {
    for (size_t i = 0; i < ctx->input_count && s->peer_input == SIZE_MAX; i++) {
      bool is_candidate = pass == 0 ? is_peer_name(bbw_ctx_input_name(ctx, i)) : i == 1;
      if (!is_candidate || ctx->inputs[i] == NULL) { continue; }
      bool is_list;
      bbw_status rv = peers_of(ctx, ctx->inputs[i], &s->peers, &s->peer_count, &is_list);
      if (rv != BBW_OK) { return rv; }
      if (is_list) { s->peer_input = i; }
    }
  }
  if (s->peer_input != SIZE_MAX && s->peer_count > SEND_PEERS_MAX) {
    return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "too_many_peers", BBW_STR("Send names too many peers"));
  }
  if (s->peer_input != SIZE_MAX) { return BBW_OK; }
  return bbw_ctx_fail(ctx, BBW_OP_TYPE_MISMATCH, "expected_peers", BBW_STR("no input of Send names peers"));
}

/* Attribute `prefix` + `name`; the last one counts. */
static const bbw_onnx_attribute *attribute_of_input(const bbw_ctx *ctx, bbw_str prefix, bbw_str name) {
  const bbw_proto_list *attributes = &ctx->op->node->attribute;
  for (size_t i = attributes->count; i-- > 0;) {
    const bbw_onnx_attribute *attribute = BBW_PROTO_AT(attributes, bbw_onnx_attribute, i);
    bool is_long_enough = attribute->name.len == prefix.len + name.len;
    if (is_long_enough && bbw_str_starts_with(attribute->name, prefix) && bbw_str_ends_with(attribute->name, name)) {
      return attribute;
    }
  }
  return NULL;
}

/* The suffix from an input named `<name>_suffix`: the binary form of an Address, or raw bytes. */
static bbw_bytes suffix_from_input(const bbw_ctx *ctx, bbw_str name) {
  bbw_str ending = BBW_STR("_suffix");
  for (size_t i = 0; i < ctx->input_count; i++) {
    bbw_str other = bbw_ctx_input_name(ctx, i);
    const bbw_value *value = ctx->inputs[i];
    bool is_companion = other.len == name.len + ending.len && bbw_str_starts_with(other, name) &&
                        bbw_str_ends_with(other, ending);
    if (is_companion && value != NULL && (value->type == BBW_TYPE_ADDRESS || value->type == BBW_TYPE_BYTES)) {
      return value->as.bytes;
    }
  }
  return (bbw_bytes){NULL, 0};
}

static bool is_payload(const bbw_ctx *ctx, const send *s, size_t i) {
  bbw_str name = bbw_ctx_input_name(ctx, i);
  bool is_special = is_peer_name(name) || bbw_str_equal(name, BBW_STR("req_id")) ||
                    bbw_str_ends_with(name, BBW_STR("_suffix"));
  return ctx->inputs[i] != NULL && i != s->peer_input && !is_special &&
         !bbw_str_ends_with(name, BBW_STR("#__trigger_deadline"));
}

static bbw_status make_fills(bbw_ctx *ctx, bbw_arena *arena, send *s) {
  s->fills = bbw_arena_array(arena, ctx->input_count, sizeof(*s->fills));
  if (s->fills == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < ctx->input_count; i++) {
    if (!is_payload(ctx, s, i)) { continue; }
    const bbw_value *value = ctx->inputs[i];
    bbw_str name = bbw_ctx_input_name(ctx, i);
    size_t size = bbw_value_payload_size(value);
    if (size == SIZE_MAX) {
      return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "wire_encode_failed", BBW_STR("the value has no payload form"));
    }
    uint8_t *payload = bbw_arena_array(arena, size, 1);
    if (payload == NULL) { return BBW_E_NOMEM; }
    bbw_value_payload_write(value, payload);
    const bbw_onnx_attribute *suffix = attribute_of_input(ctx, BBW_STR(SUFFIX_ATTRIBUTE), name);
    const bbw_onnx_attribute *trigger = attribute_of_input(ctx, BBW_STR(TRIGGER_ATTRIBUTE), name);
    s->fills[s->fill_count++] = (bbw_slot_fill){
        .dest_suffix = suffix != NULL ? suffix->s : suffix_from_input(ctx, name),
        .payload = {payload, size},
        .trigger_only = trigger != NULL ? trigger->s.len != 0 || trigger->i != 0 : size == 0,
        .type_hash = bbw_type_hash((bbw_type)value->type),
    };
  }
  return BBW_OK;
}

/* Wire specification §11, except that a budget that ran out stays "as good as none left" instead of turning into "no deadline". */
static uint64_t deadline_of(const bbw_ctx *ctx, const send *s) {
  if (ctx->inbound != NULL && ctx->inbound->remaining_deadline_ns != 0) {
    uint64_t elapsed = bbw_ctx_now_ns(ctx) - ctx->inbound->arrival_ns;
    return elapsed >= ctx->inbound->remaining_deadline_ns ? 1 : ctx->inbound->remaining_deadline_ns - elapsed;
  }
  int64_t deadline_ns;
  if (bbw_ctx_attr_i64(ctx, "deadline_ns", &deadline_ns)) { return deadline_ns < 0 ? 0 : (uint64_t)deadline_ns; }
  bbw_peer_id first;
  uint64_t fallback_ns = ctx->engine->config.per_hop_budget_ns;
  if (s->peer_count == 0) { return 0; }
  if (bbw_peer_id_decode(&first, s->peers[0], NULL) != BBW_OK) { return fallback_ns; }
  return bbw_rtt_estimate_ns(&ctx->engine->rtt, bbw_peer_id_site(&first), s->has_edge ? &s->edge : NULL, fallback_ns);
}

/* Wire specification §12.2: a chain is known by the hash of its targets as they are written. */
static void find_edge(const bbw_ctx *ctx, send *s) {
  bbw_str targets, hop_text;
  uint64_t hop = 0;
  s->has_edge = bbw_ctx_metadata(ctx, "ai.bytesandbrains.wire.chain_targets", &targets);
  if (!s->has_edge) { return; }
  bool has_hop = bbw_ctx_metadata(ctx, "ai.bytesandbrains.wire.chain_hop_index", &hop_text) &&
                 bbw_parse_u64(hop_text, &hop) && hop <= UINT8_MAX;
  s->edge = (bbw_rtt_edge){bbw_rtt_chain_id(targets), has_hop ? (uint32_t)hop : 0};
}

/* An answer to the peer that asked says how long the chain takes behind this node (wire specification §12.2). */
static bool find_report(const bbw_ctx *ctx, const send *s, bbw_edge_rtt_report *out) {
  bbw_peer_id first;
  if (!s->is_forwarder || !s->has_edge || s->peer_count == 0) { return false; }
  bool is_answer = bbw_peer_id_decode(&first, s->peers[0], NULL) == BBW_OK &&
                   bbw_peer_id_equal(&first, &ctx->inbound->src_peer);
  return is_answer && bbw_rtt_report(&ctx->engine->rtt, &s->edge, bbw_peer_id_site(&first), out);
}

static void choose_request_id(bbw_ctx *ctx, send *s) {
  bbw_str chain_id;
  /* A reply asks nothing, also when it answers an envelope without an id: a request of it would stay for as long as the sender says. */
  bool is_reply = s->sender.len != 0;
  s->is_forwarder = !s->is_waiting && ctx->inbound != NULL && (is_reply || ctx->inbound->wire_req_id != 0);
  if (s->is_forwarder) {
    s->request_id = ctx->inbound->wire_req_id;
  } else if (s->is_waiting || !bbw_ctx_metadata(ctx, "ai.bytesandbrains.wire.chain_id", &chain_id) ||
             !bbw_parse_u64(chain_id, &s->request_id)) {
    s->request_id = bbw_requests_mint_token(&ctx->engine->requests);
  }
}

static bbw_status note_unresolved(bbw_ctx *ctx, const bbw_peer_id *peer) {
  /* Reports of one poll are bounded like its envelopes. */
  if (ctx->engine->resolve_failures.count >= ctx->engine->config.max_outbound_queue) {
    ctx->engine->outbound.dropped_new++;
    return BBW_OK;
  }
  bbw_resolve_failure *failure = bbw_vec_push(&ctx->engine->resolve_failures);
  if (failure == NULL) { return BBW_E_NOMEM; }
  *failure = (bbw_resolve_failure){.peer = *peer, .op_ref = bbw_ctx_op_ref(ctx)};
  if (!ctx->frame->is_reaction) { bbw_bus_publish(&ctx->engine->bus, BBW_STR("PeerResolveFailure")); }
  return BBW_OK;
}

/* sites: of those that it was sent to, in order; room for all. */
static bbw_status push_to_peers(bbw_ctx *ctx, send *s, bbw_tail *tail, uint64_t *sites, size_t *site_count) {
  bbw_engine *engine = ctx->engine;
  for (size_t i = 0; i < s->peer_count; i++) {
    bbw_peer_id peer;
    bbw_status rv = bbw_peer_id_decode(&peer, s->peers[i], NULL);
    if (rv != BBW_OK) { return rv; } /* list values hold checked ids only */
    bbw_verdict verdict = bbw_governor_check_inbound(&engine->governor, &peer);
    if (verdict != BBW_VERDICT_ALLOW) { /* the lists hold for both directions; the others are sent to all the same */
      /* Beside the record, the room that the operator's own one was promised. */
      if (!bbw_step_reserve(&engine->steps, 256 + (ctx->op)->step_room)) { return BBW_E_NOMEM; }
      bbw_engine_report_blocked(engine, &peer, verdict);
      s->is_blocked = true;
      continue;
    }
    const bbw_bytes *addresses;
    size_t count;
    bool is_known = bbw_address_book_lookup(&engine->address_book, &peer, &addresses, &count);
    rv = is_known ? bbw_outbound_push(&engine->outbound, &peer, addresses, count, tail) : note_unresolved(ctx, &peer);
    if (is_known) { sites[(*site_count)++] = bbw_peer_id_site(&peer); }
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

/* ---- waiting for the answer ------------------------------------------------------------------------------------------ */

/* Outputs of a Send that waits.  The others are those of every Send; they come with the outcome. */
enum { ANSWER = 2, ANSWERED_BY = 3, FAILURE = 4 };

static bbw_status set_handle(bbw_ctx *ctx, uint64_t request_id) {
  bbw_value *value;
  bbw_status rv = bbw_value_new_plain(&value, BBW_TYPE_WIRE_REQ_ID, request_id, bbw_ctx_mem(ctx));
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, 1, value); }
  return rv;
}

/* The failure as a value: a composite of kind, reason and the list of peers. */
static bbw_status failure_value(bbw_ctx *ctx, const bbw_outcome *outcome, const bbw_bytes *peers, size_t count,
                                bbw_value **out) {
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  bbw_value *parts[3] = {NULL};
  bbw_str reason = {outcome->reason, strlen(outcome->reason)};
  bbw_status rv = bbw_value_new_bytes(&parts[0], BBW_TYPE_BYTES, bbw_str_bytes(bbw_op_error_kind_name(outcome->kind)),
                                      mem);
  if (rv == BBW_OK) { rv = bbw_value_new_bytes(&parts[1], BBW_TYPE_BYTES, bbw_str_bytes(reason), mem); }
  if (rv == BBW_OK) { rv = bbw_value_new_blobs(&parts[2], BBW_TYPE_PEER_ID_VEC, peers, count, mem); }
  if (rv == BBW_OK) { rv = bbw_value_new_list(out, BBW_TYPE_COMPOSITE, parts, 3, mem); }
  for (size_t i = 0; i < 3; i++) { bbw_value_release(parts[i], mem); }
  return rv;
}

/* Where the graph takes failures as a value it gets one; else the operator fails. */
static bbw_status tell_failure(bbw_ctx *ctx, const send *s, const bbw_outcome *outcome) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes one = {bytes, 0};
  if (outcome->peer != NULL) { one.len = bbw_peer_id_encode(outcome->peer, bytes); }
  const bbw_bytes *peers = outcome->peer != NULL ? &one : s->peers;
  size_t count = outcome->peer != NULL ? 1 : s->peer_count;
  if (ctx->output_count > FAILURE && ctx->op->outputs[FAILURE] != BBW_NO_INDEX) {
    bbw_value *value;
    bbw_status rv = failure_value(ctx, outcome, peers, count, &value);
    if (rv != BBW_OK) { return rv; }
    bbw_ctx_set_output(ctx, FAILURE, value);
    return set_handle(ctx, outcome->request_id);
  }
  char text[BBW_PEER_ID_TEXT_BYTES_MAX];
  bbw_peer_id first;
  bool is_named = count != 0 && bbw_peer_id_decode(&first, peers[0], NULL) == BBW_OK;
  return bbw_ctx_fail(ctx, outcome->kind, outcome->reason,
                      (bbw_str){text, is_named ? bbw_peer_id_to_text(&first, text) : 0});
}

static bbw_status end_wait(bbw_ctx *ctx, const send *s) {
  const bbw_outcome *outcome = ctx->outcome;
  if (outcome->answer == NULL) { return tell_failure(ctx, s, outcome); }
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes peer = {bytes, bbw_peer_id_encode(outcome->peer, bytes)};
  bbw_value *from;
  bbw_status rv = bbw_value_new_bytes(&from, BBW_TYPE_PEER_ID, peer, bbw_ctx_mem(ctx));
  if (rv != BBW_OK) { return rv; }
  bbw_ctx_set_output(ctx, ANSWERED_BY, from);
  rv = set_handle(ctx, outcome->request_id);
  if (rv != BBW_OK) { return rv; }
  bbw_ctx_set_trigger(ctx, 0);
  bbw_ctx_set_output(ctx, ANSWER, bbw_value_retain(outcome->answer));
  return BBW_OK;
}

/* Everything is sent: waits, if there is somebody who can answer. */
static bbw_status begin_wait(bbw_ctx *ctx, const send *s, size_t sent_count) {
  bbw_requests *requests = &ctx->engine->requests;
  if (sent_count != 0) {
    bbw_requests_find(requests, s->request_id)->waiter = ctx->cmd_id + 1;
    ctx->request_id = s->request_id;
    return BBW_LATER;
  }
  bbw_request unsent;
  (void)bbw_requests_remove(requests, s->request_id, &unsent);
  const char *reason = s->is_blocked ? "peer_blocked" : s->peer_count == 0 ? "no_peers" : "peer_resolve_failed";
  bbw_outcome outcome = {.kind = BBW_OP_REMOTE_FAILED, .reason = reason, .request_id = s->request_id};
  return tell_failure(ctx, s, &outcome);
}

/* Is the time used up that an envelope has left for this node and those behind it?  An answer goes out all the same: who asked decides whether it still counts. */
static bool is_too_late(const bbw_ctx *ctx, const send *s) {
  if (ctx->inbound == NULL || ctx->inbound->remaining_deadline_ns == 0 || s->deadline_ns > 1) { return false; }
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes asker = {bytes, bbw_peer_id_encode(&ctx->inbound->src_peer, bytes)};
  for (size_t i = 0; i < s->peer_count; i++) {
    if (!bbw_bytes_equal(s->peers[i], asker)) { return true; }
  }
  return false;
}

static bbw_status send_run(bbw_ctx *ctx, bbw_arena *arena) {
  bbw_engine *engine = ctx->engine;
  send s = {.is_waiting = is_set(ctx, "await")};
  bbw_status rv = find_peers(ctx, &s);
  if (rv != BBW_OK) { return rv; }
  if (ctx->outcome != NULL) { return end_wait(ctx, &s); }
  rv = make_fills(ctx, arena, &s);
  uint64_t cmd_id;
  if (rv == BBW_OK && s.is_waiting) { rv = bbw_ctx_later(ctx, &cmd_id); }
  if (rv != BBW_OK) { return rv; }
  choose_request_id(ctx, &s);
  find_edge(ctx, &s);
  s.deadline_ns = deadline_of(ctx, &s);
  if (is_too_late(ctx, &s)) {
    bbw_outcome outcome = {.kind = BBW_OP_TIMEOUT, .reason = "deadline_exceeded", .request_id = s.request_id};
    return tell_failure(ctx, &s, &outcome);
  }
  rv = set_handle(ctx, s.request_id);
  if (rv != BBW_OK) { return rv; }
  const bbw_bytes *local;
  size_t local_count = 0;
  if (!bbw_address_book_lookup(&engine->address_book, &engine->self_peer, &local, &local_count)) { local = NULL; }
  bbw_edge_rtt_report report;
  bbw_envelope envelope = {
      .fills = s.fills,
      .fill_count = s.fill_count,
      .has_correlation = true,
      .correlation_kind = s.request_id != 0 ? BBW_CORRELATION_REQUEST : BBW_CORRELATION_NONE,
      .wire_req_id = s.request_id,
      .remaining_deadline_ns = s.deadline_ns,
      .edge_rtt_reports = &report,
      .edge_rtt_report_count = find_report(ctx, &s, &report),
      .schema_version = BBW_ENVELOPE_SCHEMA_VERSION,
      .src_peer_addresses = local,
      .src_peer_address_count = local_count > SRC_ADDRESSES_MAX ? SRC_ADDRESSES_MAX : local_count,
  };
  bbw_tail *tail;
  rv = bbw_tail_new(&tail, &envelope, engine->mem);
  if (rv != BBW_OK) { return rv; }
  if (s.peer_count != 0 && !s.is_forwarder) {
    bbw_peer_id first;
    rv = bbw_peer_id_decode(&first, s.peers[0], NULL);
    uint64_t ttl_ns = s.deadline_ns == 0 ? 1 : s.deadline_ns;
    bool is_inherited = ctx->inbound != NULL && ctx->inbound->remaining_deadline_ns != 0;
    if (is_inherited && ttl_ns > BBW_REQUEST_INHERITED_NS_MAX) { ttl_ns = BBW_REQUEST_INHERITED_NS_MAX; }
    if (rv == BBW_OK) {
      rv = bbw_requests_register(&engine->requests, s.request_id, engine->now_ns, bbw_peer_id_site(&first), ttl_ns);
    }
    if (rv == BBW_OK && s.has_edge) {
      bbw_requests_set_edge(&engine->requests, s.request_id, s.edge.chain_id, s.edge.hop);
    }
  }
  uint64_t *sites = bbw_arena_array(arena, s.peer_count, sizeof(*sites));
  size_t site_count = 0;
  if (rv == BBW_OK && sites == NULL) { rv = BBW_E_NOMEM; }
  if (rv == BBW_OK) { rv = push_to_peers(ctx, &s, tail, sites, &site_count); }
  if (rv == BBW_OK && !s.is_forwarder) {
    rv = bbw_requests_set_peers(&engine->requests, s.request_id, sites, site_count);
  }
  bbw_tail_release(tail, engine->mem);
  if (rv == BBW_OK && s.is_waiting) { return begin_wait(ctx, &s, site_count); }
  if (rv == BBW_OK) { bbw_ctx_set_trigger(ctx, 0); }
  return rv;
}

bbw_status bbw_op_wire_send(bbw_ctx *ctx) {
  bbw_arena arena;
  bbw_arena_init(&arena, bbw_ctx_mem(ctx));
  bbw_status rv = send_run(ctx, &arena);
  bbw_arena_free(&arena);
  return rv;
}

bbw_status bbw_op_wire_recv(bbw_ctx *ctx) {
  (void)ctx; /* its outputs are filled by delivery */
  return BBW_OK;
}
