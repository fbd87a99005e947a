/* inbound: from a decoded envelope to values in executions, and to calls of protocols (wire specification §8). */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "bbw/address.h"
#include "engine/engine.h"
#include "format/value.h"

/* The payload of this type is a backpressure notice, not a value (wire specification §16.4). */
#define NOTICE_TYPE_HASH     0x835411050e7217c5u
#define NOTICE_PAYLOAD_BYTES 20u
#define NOTICE_CAUSE_MAX     2u

/* /site/N: a code of two bytes and eight of the number. */
#define SITE_SUFFIX_BYTES 10u

/* Executions that one envelope has started: at most one per entry graph. */
typedef struct delivery {
  bbw_engine *engine;
  bbw_inbound_event *event;
  bbw_inbound *inbound;
  bbw_frame *before; /* the engine's last frame before this envelope: its own frames come after */
} delivery;

static bool steps_have_room(bbw_engine *engine, size_t extra) {
  if (bbw_step_reserve(&engine->steps, BBW_STEP_HEADER_BYTES + 6 * 16 + BBW_PEER_ID_BYTES_MAX + extra)) { return true; }
  engine->poll_status = BBW_E_NOMEM;
  return false;
}

static void put_peer(bbw_step_buffer *steps, const bbw_peer_id *peer) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_step_put_bytes(steps, (bbw_bytes){bytes, bbw_peer_id_encode(peer, bytes)});
}

static void report_decode_failed(bbw_engine *engine, uint64_t hash, size_t payload_size, bbw_str detail) {
  bbw_bus_publish(&engine->bus, BBW_STR("WireDecodeFailure"));
  if (!steps_have_room(engine, detail.len) || !bbw_step_begin(&engine->steps, BBW_STEP_WIRE_DECODE_FAILED)) { return; }
  bbw_step_put_u64(&engine->steps, hash);
  bbw_step_put_u64(&engine->steps, payload_size);
  bbw_step_put_bytes(&engine->steps, bbw_str_bytes(detail));
  bbw_step_end(&engine->steps);
}

static void report_receive_failed(const delivery *d, size_t index, bbw_str kind, bbw_str detail) {
  bbw_engine *engine = d->engine;
  const bbw_slot_fill *fill = &d->event->envelope.fills[index];
  bbw_bus_publish(&engine->bus, BBW_STR("WireReceiveError"));
  if (!steps_have_room(engine, kind.len + detail.len) ||
      !bbw_step_begin(&engine->steps, BBW_STEP_WIRE_RECEIVE_FAILED)) {
    return;
  }
  put_peer(&engine->steps, &d->event->inbound.src_peer);
  bbw_step_put_u64(&engine->steps, index);
  bbw_step_put_u64(&engine->steps, fill->type_hash);
  bbw_step_put_u64(&engine->steps, fill->payload.len);
  bbw_step_put_bytes(&engine->steps, bbw_str_bytes(kind));
  bbw_step_put_bytes(&engine->steps, bbw_str_bytes(detail));
  bbw_step_end(&engine->steps);
}

static void report_peer(bbw_engine *engine, bbw_step_kind kind, const bbw_peer_id *peer, const bbw_str *reason) {
  if (!steps_have_room(engine, reason == NULL ? 0 : reason->len) || !bbw_step_begin(&engine->steps, kind)) { return; }
  put_peer(&engine->steps, peer);
  if (reason != NULL) { bbw_step_put_bytes(&engine->steps, bbw_str_bytes(*reason)); }
  bbw_step_end(&engine->steps);
}

void bbw_engine_report_blocked(bbw_engine *engine, const bbw_peer_id *peer, bbw_verdict verdict) {
  bbw_str reason = verdict == BBW_VERDICT_BLOCKLISTED ? BBW_STR("Blocklisted") : BBW_STR("NotAllowlisted");
  report_peer(engine, BBW_STEP_PEER_BLOCKED, peer, &reason);
}

void bbw_engine_note_health(bbw_engine *engine, const bbw_peer_id *peer, bool is_success) {
  bbw_health_change change = is_success ? bbw_governor_record_success(&engine->governor, peer, engine->now_ns)
                                        : bbw_governor_record_failure(&engine->governor, peer, engine->now_ns);
  if (change == BBW_HEALTH_WENT_DOWN) { report_peer(engine, BBW_STEP_PEER_DOWN, peer, NULL); }
  if (change == BBW_HEALTH_CAME_UP) { report_peer(engine, BBW_STEP_PEER_UP, peer, NULL); }
}

/* Does the list hold all that the sender claims, byte for byte? */
static bool are_listed(const bbw_envelope *envelope, const bbw_bytes *known, size_t known_count) {
  for (size_t i = 0; i < envelope->src_peer_address_count; i++) {
    size_t k = 0;
    while (k < known_count && !bbw_bytes_equal(known[k], envelope->src_peer_addresses[i])) { k++; }
    if (k == known_count) { return false; }
  }
  return true;
}

/* Addresses that the sender claims for itself; one bad address drops the whole list. */
static void merge_claimed(bbw_engine *engine, bbw_inbound_event *event) {
  const bbw_envelope *envelope = &event->envelope;
  if (envelope->src_peer_address_count == 0 || bbw_peer_id_equal(&event->inbound.src_peer, &engine->self_peer)) {
    return;
  }
  const bbw_bytes *known;
  size_t known_count;
  bool is_known = bbw_address_book_lookup(&engine->address_book, &event->inbound.src_peer, &known, &known_count);
  if (is_known && are_listed(envelope, known, known_count)) { return; } /* as nearly always */
  for (size_t i = 0; i < envelope->src_peer_address_count; i++) {
    if (bbw_address_check(envelope->src_peer_addresses[i], NULL) != BBW_OK) { return; }
  }
  bbw_status rv = bbw_address_book_claim(&engine->address_book, &event->inbound.src_peer, envelope->src_peer_addresses,
                                         envelope->src_peer_address_count);
  if (rv == BBW_E_AB_ALLOCATION_FAILED) {
    delivery d = {.engine = engine, .event = event};
    if (envelope->fill_count != 0) {
      report_receive_failed(&d, 0, BBW_STR("AllocationFailed"), BBW_STR("HeapExhausted"));
    }
  }
}

static bool deliver_notice(bbw_engine *engine, const bbw_inbound_event *event) {
  if (event->envelope.fill_count == 0 || event->envelope.fills[0].type_hash != NOTICE_TYPE_HASH) { return false; }
  bbw_bytes payload = event->envelope.fills[0].payload;
  if (payload.len < NOTICE_PAYLOAD_BYTES || bbw_load_u32le(payload.ptr + 8) > NOTICE_CAUSE_MAX) {
    report_decode_failed(engine, NOTICE_TYPE_HASH, payload.len, BBW_STR("BackoffNoticePayload bincode decode failed"));
    return true;
  }
  /* Out of memory only means that the advice is not remembered. */
  (void)bbw_backoff_record_remote_advisory(&engine->backoff, &event->inbound.src_peer, engine->now_ns,
                                           bbw_load_u64le(payload.ptr), bbw_engine_random(engine));
  bbw_engine_note_health(engine, &event->inbound.src_peer, false);
  return true;
}

/* The execution of `graph` that this envelope has started, made with its first fill. */
static bbw_status delivery_frame(delivery *d, bbw_graph *graph, bbw_frame **out) {
  for (bbw_frame *frame = d->engine->frames_last; frame != d->before; frame = frame->prev) {
    if (frame->graph == graph) {
      *out = frame;
      return BBW_OK;
    }
  }
  bbw_frame *frame;
  bbw_status rv = bbw_frame_new(&frame, d->engine, graph, NULL);
  if (rv != BBW_OK) { return rv; }
  frame->inbound = d->inbound;
  d->inbound->shared.refs++;
  /* Holds the frame while further fills of the envelope may join it. */
  frame->work = 1;
  *out = frame;
  return BBW_OK;
}

static bbw_value *fill_decode(const delivery *d, size_t index) {
  bbw_engine *engine = d->engine;
  const bbw_slot_fill *fill = &d->event->envelope.fills[index];
  if (fill->trigger_only) { return bbw_value_retain(engine->trigger); }
  bbw_value *value = NULL;
  bbw_error err;
  bool is_most = fill->payload.len >= BBW_INBOUND_SHARE_BYTES && fill->payload.len >= d->event->bytes.len / 2;
  bool is_shared = is_most || d->event->inbound.shared.own_bytes <= BBW_INBOUND_KEEP_BYTES;
  bbw_status rv = is_shared ? bbw_value_decode_shared(&value, fill->type_hash, fill->payload, &d->event->inbound.shared,
                                                      engine->mem, &err)
                            : bbw_value_decode(&value, fill->type_hash, fill->payload, engine->mem, &err);
  if (rv == BBW_OK) { return value; }
  if (rv == BBW_E_UNKNOWN_TYPE_HASH) {
    report_receive_failed(d, index, BBW_STR("UnknownTypeHash"), BBW_STR(""));
  } else if (rv == BBW_E_NOMEM) {
    report_receive_failed(d, index, BBW_STR("AllocationFailed"), BBW_STR("HeapExhausted"));
  } else {
    report_receive_failed(d, index, BBW_STR("DecodeFailed"), bbw_status_text(rv));
  }
  return NULL;
}

/* Would anything notice a value here? */
static bool is_read(const bbw_site *site) {
  return site->consumer_count != 0 || site->output_index != BBW_NO_INDEX || site->result_first != BBW_NO_INDEX;
}

static void deliver_data(delivery *d, size_t index, uint64_t site_number) {
  bbw_engine *engine = d->engine;
  const bbw_slot_fill *fill = &d->event->envelope.fills[index];
  uint64_t route;
  if (!bbw_map_get(&engine->routes, site_number, &route)) {
    report_decode_failed(engine, 0, fill->payload.len, BBW_STR("dest_suffix names a site that receives nothing"));
    return;
  }
  size_t charge = fill->trigger_only ? 0 : fill->payload.len;
  if (!bbw_engine_charge(engine, charge)) {
    report_receive_failed(d, index, BBW_STR("BudgetExceeded"), BBW_STR(""));
    return;
  }
  bbw_value *value = fill_decode(d, index);
  if (value == NULL) {
    bbw_engine_release(engine, charge);
    return;
  }
  bbw_graph *graph = bbw_engine_graph(engine, (size_t)(route >> 32));
  uint32_t site = (uint32_t)route;
  bbw_frame *frame;
  bbw_status rv = delivery_frame(d, graph, &frame);
  bbw_value *sender = NULL;
  uint32_t sender_site = graph->sites[site].sender_site;
  if (rv == BBW_OK && sender_site != BBW_NO_INDEX && is_read(&graph->sites[sender_site])) {
    uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
    bbw_bytes peer = {bytes, bbw_peer_id_encode(&d->event->inbound.src_peer, bytes)};
    rv = bbw_value_new_bytes(&sender, BBW_TYPE_PEER_ID, peer, engine->mem);
  }
  if (rv != BBW_OK) {
    bbw_value_release(value, engine->mem);
    bbw_engine_release(engine, charge);
    report_receive_failed(d, index, rv == BBW_E_LIMIT ? BBW_STR("ExecutionLimit") : BBW_STR("AllocationFailed"),
                          bbw_status_text(rv));
    return;
  }
  if (sender != NULL) { bbw_engine_write(engine, frame, sender_site, sender, 0); }
  bbw_engine_write(engine, frame, site, value, charge);
  bbw_frame_start_part(engine, frame, graph->sites[site].part);
  bbw_frame_wake(engine, frame, site);
  if (sender != NULL) { bbw_frame_wake(engine, frame, sender_site); }
}

static bool serves(const bbw_component *component, bbw_str op_type) {
  const bbw_component_type *type = component->type;
  return (type->role_bits & BBW_ROLE_BIT(BBW_ROLE_PROTOCOL)) != 0 &&
         (type->supports == NULL || type->supports(component->self, BBW_ROLE_PROTOCOL, op_type));
}

/* The protocol that a number means: the component at that place, else one that is known by it; a node has few components.  False: none. */
static bool find_protocol(const bbw_engine *engine, uint64_t *number, bbw_str op_type) {
  size_t count = engine->components.count;
  if (*number < count && serves(bbw_engine_component(engine, (size_t)*number), op_type)) { return true; }
  for (size_t i = 0; i < count; i++) {
    const bbw_component *component = bbw_engine_component(engine, i);
    if (component->type->well_known == 0 || component->type->well_known - 1 != *number) { continue; }
    if (!serves(component, op_type)) { continue; }
    *number = i;
    return true;
  }
  return false;
}

static void deliver_control(const delivery *d, size_t index, uint64_t number, bbw_bytes op_type) {
  bbw_engine *engine = d->engine;
  const bbw_slot_fill *fill = &d->event->envelope.fills[index];
  if (!find_protocol(engine, &number, bbw_bytes_str(op_type))) {
    report_decode_failed(engine, 0, fill->payload.len,
                         BBW_STR("dest_suffix names a component that does not serve the network"));
    return;
  }
  bbw_value *payload = NULL;
  bbw_value *correlation = NULL;
  bbw_status rv = bbw_value_new_bytes(&payload, BBW_TYPE_BYTES, fill->payload, engine->mem);
  if (rv == BBW_OK) {
    rv = bbw_value_new_plain(&correlation, BBW_TYPE_WIRE_REQ_ID, d->inbound->wire_req_id, engine->mem);
  }
  if (rv == BBW_OK) {
    (void)bbw_engine_call_protocol(engine, (uint32_t)number, bbw_bytes_str(op_type), payload, correlation, d->inbound);
  } else {
    report_receive_failed(d, index, BBW_STR("AllocationFailed"), BBW_STR("HeapExhausted"));
  }
  bbw_value_release(payload, engine->mem);
  bbw_value_release(correlation, engine->mem);
}

static void deliver_fill(delivery *d, size_t index) {
  const bbw_slot_fill *fill = &d->event->envelope.fills[index];
  bbw_segment site, component, op;
  bbw_bytes suffix = fill->dest_suffix;
  if (suffix.len == SITE_SUFFIX_BYTES && suffix.ptr[0] == 0xe2 && suffix.ptr[1] == 0x01) {
    deliver_data(d, index, bbw_load_u64be(suffix.ptr + 2)); /* /site/N, as a compiler writes it */
  } else if (bbw_address_check(fill->dest_suffix, NULL) != BBW_OK) {
    report_decode_failed(d->engine, 0, fill->payload.len, BBW_STR("dest_suffix parse: not an address"));
  } else if (bbw_address_find(fill->dest_suffix, BBW_SEGMENT_SITE, &site)) {
    deliver_data(d, index, site.number);
  } else if (bbw_address_find(fill->dest_suffix, BBW_SEGMENT_COMPONENT, &component) &&
             bbw_address_find(fill->dest_suffix, BBW_SEGMENT_OP, &op)) {
    deliver_control(d, index, component.number, op.bytes);
  } else {
    report_decode_failed(d->engine, 0, fill->payload.len,
                         BBW_STR("address shape neither data-plane nor control-plane"));
  }
}

/* The first fill is what the operator was waiting for. */
static void take_answer(const delivery *d, const bbw_parked *waiter) {
  bbw_engine *engine = d->engine;
  const bbw_envelope *envelope = &d->event->envelope;
  bbw_outcome outcome = {.kind = BBW_OP_REMOTE_FAILED,
                         .reason = "bad_answer",
                         .peer = &d->event->inbound.src_peer,
                         .request_id = waiter->request_id};
  if (envelope->fill_count == 0) {
    outcome.answer = bbw_value_retain(engine->trigger);
  } else {
    size_t charge = envelope->fills[0].trigger_only ? 0 : envelope->fills[0].payload.len;
    if (bbw_engine_charge(engine, charge)) {
      outcome.charge = charge;
      outcome.answer = fill_decode(d, 0);
    } else {
      report_receive_failed(d, 0, BBW_STR("BudgetExceeded"), BBW_STR(""));
    }
  }
  bbw_engine_resume(engine, waiter, &outcome);
  bbw_value_release(outcome.answer, engine->mem);
  bbw_engine_release(engine, outcome.charge);
}

/* Has this node given the id?  Only one that starts its ids at a random place can tell. */
static bool is_own_id(const bbw_engine *engine, uint64_t id) {
  return engine->config.rng_seed != 0 && engine->requests.next_token - 1 - id < UINT32_MAX;
}

static void deliver_fills(bbw_engine *engine, bbw_inbound_event *event, const bbw_request *answered) {
  bbw_inbound *inbound = &event->inbound;
  inbound->wire_req_id = event->envelope.wire_req_id;
  inbound->arrival_ns = engine->now_ns;
  inbound->remaining_deadline_ns = event->envelope.remaining_deadline_ns;
  delivery d = {.engine = engine, .event = event, .inbound = inbound};
  /* First of all: the request is closed, so nothing that fails may keep its outcome from who waits. */
  const bbw_parked *waiter = answered == NULL ? NULL : bbw_engine_waiter(engine, answered);
  if (waiter != NULL) { take_answer(&d, waiter); }
  if (inbound->shared.own_bytes > BBW_INBOUND_KEEP_BYTES) {
    d.inbound = engine->mem->alloc(engine->mem->ctx, sizeof(*inbound));
    if (d.inbound == NULL) {
      for (size_t i = 0; i < event->envelope.fill_count; i++) {
        report_receive_failed(&d, i, BBW_STR("AllocationFailed"), BBW_STR("HeapExhausted"));
      }
      return;
    }
    *d.inbound = *inbound;
    d.inbound->shared = (bbw_shared){.refs = 1, .own_bytes = sizeof(*inbound)};
  } else {
    inbound->shared.refs++;
  }
  d.before = engine->frames_last;
  for (size_t i = 0; i < event->envelope.fill_count; i++) {
    /* A fill without an address is an answer for who waits, and for nobody else. */
    bool is_bare = event->envelope.fills[i].dest_suffix.len == 0;
    if (is_bare && waiter != NULL && i == 0) { continue; }
    if (is_bare && is_own_id(engine, inbound->wire_req_id)) {
      engine->async.late_completions++;
    } else {
      deliver_fill(&d, i);
    }
  }
  for (bbw_frame *frame = engine->frames_last; frame != d.before;) {
    bbw_frame *prev = frame->prev;
    bbw_frame_work_done(engine, frame);
    frame = prev;
  }
  bbw_inbound_release(d.inbound, engine->mem);
}

static void note_answer(bbw_engine *engine, const bbw_peer_id *peer, const bbw_request *request,
                        const bbw_envelope *answer) {
  bbw_rtt_edge edge = {request->chain_id, request->hop};
  uint64_t elapsed_ns = engine->now_ns > request->started_at_ns ? engine->now_ns - request->started_at_ns : 0;
  /* Out of memory only means that the sample is lost. */
  (void)bbw_rtt_observe(&engine->rtt, bbw_peer_id_site(peer), request->has_edge ? &edge : NULL, elapsed_ns,
                        engine->now_ns);
  if (request->has_edge) {
    bbw_rtt_take_reports(&engine->rtt, bbw_peer_id_site(peer), &edge, answer->edge_rtt_reports,
                         answer->edge_rtt_report_count);
  }
  bbw_engine_note_health(engine, peer, true);
  const bbw_backoff_entry *backoff = bbw_backoff_find(&engine->backoff, peer);
  bool is_pause = backoff != NULL && backoff->is_advisory && engine->now_ns < backoff->next_retry_ns;
  if (!is_pause) { bbw_backoff_record_success(&engine->backoff, peer); }
  bbw_bus_publish(&engine->bus, BBW_STR("WireResponseLanded"));
}

/* Tells a peer to wait.  When memory runs out the notice is lost, and the next one follows after the same window. */
static bbw_status send_notice(bbw_engine *engine, const bbw_peer_id *peer, uint64_t window_ns) {
  enum { P2P_BYTES_MAX = 8 + BBW_PEER_ID_BYTES_MAX };
  uint8_t own_bytes[BBW_PEER_ID_BYTES_MAX], peer_bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_segment own = {.kind = BBW_SEGMENT_P2P, .bytes = {own_bytes, bbw_peer_id_encode(&engine->self_peer, own_bytes)}};
  bbw_segment other = {.kind = BBW_SEGMENT_P2P, .bytes = {peer_bytes, bbw_peer_id_encode(peer, peer_bytes)}};
  uint8_t suffix[P2P_BYTES_MAX], address[P2P_BYTES_MAX], payload[NOTICE_PAYLOAD_BYTES] = {0};
  size_t suffix_len = 0, address_len = 0;
  bbw_status rv = bbw_address_append(suffix, sizeof(suffix), &suffix_len, &own);
  if (rv == BBW_OK) { rv = bbw_address_append(address, sizeof(address), &address_len, &other); }
  if (rv != BBW_OK) { return rv; }
  bbw_store_u64le(payload, window_ns);
  bbw_store_u32le(payload + 8, BBW_OVERLOAD_QUEUE_FULL);
  bbw_slot_fill fill = {
      .dest_suffix = {suffix, suffix_len}, .payload = {payload, sizeof(payload)}, .type_hash = NOTICE_TYPE_HASH};
  bbw_envelope envelope = {.fills = &fill,
                           .fill_count = 1,
                           .has_correlation = true,
                           .correlation_kind = BBW_CORRELATION_NONE,
                           .schema_version = BBW_ENVELOPE_SCHEMA_VERSION};
  bbw_tail *tail;
  rv = bbw_tail_new(&tail, &envelope, engine->mem);
  if (rv != BBW_OK) { return rv; }
  bbw_bytes destination = {address, address_len};
  rv = bbw_outbound_push(&engine->outbound, peer, &destination, 1, tail);
  bbw_tail_release(tail, engine->mem);
  return rv;
}

/* Wire specification §16.3: the queue was nearly full when this poll began, and the peer adds to it. */
static void ask_for_pause(bbw_engine *engine, const bbw_peer_id *peer) {
  bbw_backpressure *tracker = &engine->backpressure;
  uint64_t window_ns;
  if (!bbw_backpressure_is_over(tracker, engine->depth_at_poll, engine->ingress.cap)) { return; }
  if (bbw_backpressure_observe(tracker, peer, 0, engine->now_ns, &window_ns) != BBW_OVERLOAD_NOTICE) { return; }
  if (send_notice(engine, peer, window_ns) != BBW_OK) { return; }
  bbw_bus_publish(&engine->bus, BBW_STR("BackoffNoticeSent"));
  const bbw_backpressure_entry *entry = bbw_backpressure_find(tracker, peer);
  if (entry != NULL && entry->is_silent) { bbw_bus_publish(&engine->bus, BBW_STR("SilentDropActive")); }
}

void bbw_engine_deliver(bbw_engine *engine, bbw_inbound_event *event) {
  const bbw_peer_id *peer = &event->inbound.src_peer;
  /* From here on the bytes are accounted for fill by fill. */
  bbw_engine_release(engine, event->charge);
  event->charge = 0;
  if (bbw_backpressure_is_silent(&engine->backpressure, peer, engine->now_ns)) {
    /* It goes on sending while we are overloaded, so its silence goes on too. */
    if (bbw_backpressure_is_over(&engine->backpressure, engine->depth_at_poll, engine->ingress.cap)) {
      uint64_t window_ns;
      (void)bbw_backpressure_observe(&engine->backpressure, peer, 0, engine->now_ns, &window_ns);
    }
    engine->silent_drops++;
    bbw_inbound_event_del(event, engine->mem);
    return;
  }
  bbw_verdict verdict = bbw_governor_check_inbound(&engine->governor, peer);
  if (verdict != BBW_VERDICT_ALLOW) {
    bbw_engine_report_blocked(engine, peer, verdict);
  } else {
    merge_claimed(engine, event);
    if (!deliver_notice(engine, event)) {
      uint64_t id = event->envelope.wire_req_id;
      bbw_request request;
      const bbw_request *open = id != 0 && bbw_requests_in_flight(&engine->requests) != 0
                                    ? bbw_requests_find(&engine->requests, id)
                                    : NULL;
      /* Without room for the report of who waits, the answer is as good as lost on the way. */
      bool is_answer = open != NULL &&
                       steps_have_room(engine, bbw_engine_waiter_room(bbw_engine_waiter(engine, open))) &&
                       bbw_requests_observe_response(&engine->requests, id, bbw_peer_id_site(peer), &request);
      if (is_answer) { note_answer(engine, peer, &request, &event->envelope); }
      deliver_fills(engine, event, is_answer ? &request : NULL);
      ask_for_pause(engine, peer); /* not in answer to a notice: two busy nodes would go on like that */
    }
  }
  bbw_inbound_event_del(event, engine->mem);
}
