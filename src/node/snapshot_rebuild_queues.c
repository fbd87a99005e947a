/* What waits to come in, what waits to go out, and the named tables. */
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "format/envelope.h"
#include "node/snapshot_rebuild.h"

/* ---- ingress ---- */

static bbw_status take_seeds_event(const bbw_rebuild *r, const bbw_snap_event *from, bbw_ingress_event *event) {
  if (from->graph >= r->engine->graphs.count || from->exec_id > r->snap->next_exec_id) {
    return bbw_rebuild_bad(r, "an event for no module");
  }
  event->graph = bbw_engine_graph(r->engine, from->graph);
  bool is_single = from->kind == BBW_INGRESS_APP_EVENT;
  if (!event->graph->is_entry_point || (is_single && from->seeds.count != 1)) {
    return bbw_rebuild_bad(r, "an event for no module");
  }
  bbw_status rv = bbw_rebuild_seeds(r, event->graph, &from->seeds, &event->seeds);
  if (rv != BBW_OK) { return rv; }
  event->seed_count = event->seed_room = from->seeds.count;
  event->exec_id = from->exec_id;
  /* Its bytes are reported back as they are. */
  if (!is_single || event->seeds[0].value->type == BBW_TYPE_BYTES) { return BBW_OK; }
  bbw_engine_drop_seeds(r->engine, event->seeds, event->seed_count);
  bbw_mem_array_free(r->engine->mem, event->seeds, event->seed_count, sizeof(bbw_seed));
  return bbw_rebuild_bad(r, "an application event is not bytes");
}

static bbw_status take_envelope_event(const bbw_rebuild *r, const bbw_snap_event *from, bbw_ingress_event *out) {
  bbw_envelope_scan scan;
  bbw_status rv = bbw_envelope_scan_bytes(&scan, from->envelope, &r->engine->config.envelope_caps, NULL);
  if (rv != BBW_OK) { return bbw_rebuild_failed(r, rv, "an envelope does not decode"); }
  bbw_inbound_event *event = bbw_inbound_event_new(&scan, r->engine->mem);
  if (event == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  rv = bbw_rebuild_peer(r, from->peer, &event->inbound.src_peer);
  if (rv == BBW_OK) { rv = bbw_rebuild_charge(r, from->charge, &event->charge); }
  if (rv == BBW_OK) {
    out->envelope = event;
  } else {
    bbw_inbound_event_del(event, r->engine->mem);
  }
  return rv;
}

static bbw_status rebuild_event(const bbw_rebuild *r, const bbw_snap_event *from) {
  bbw_ingress_event event = {.kind = (bbw_ingress_kind)from->kind};
  bbw_status rv = bbw_ingress_reserve(&r->engine->ingress);
  if (rv != BBW_OK) { return bbw_error_set(r->err, rv); }
  switch (from->kind) {
  case BBW_INGRESS_APP_EVENT:
  case BBW_INGRESS_INVOKE: rv = take_seeds_event(r, from, &event); break;
  case BBW_INGRESS_ENVELOPE: rv = take_envelope_event(r, from, &event); break;
  case BBW_INGRESS_SEND_FAILED:
    event.failed = bbw_mem_array(r->engine->mem, 1, sizeof(*event.failed));
    if (event.failed == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
    event.failed->wire_req_id = from->wire_req_id;
    rv = bbw_rebuild_peer(r, from->peer, &event.failed->peer);
    if (rv != BBW_OK) { bbw_mem_array_free(r->engine->mem, event.failed, 1, sizeof(*event.failed)); }
    break;
  default: rv = bbw_rebuild_bad(r, "an event of no kind");
  }
  if (rv == BBW_OK) { bbw_ingress_push(&r->engine->ingress, &event); }
  return rv;
}

static bbw_status rebuild_ingress(const bbw_rebuild *r) {
  bbw_ingress *ingress = &r->engine->ingress;
  size_t count = r->snap->ingress.count;
  size_t cap = ingress->cap;
  if (count > cap) { ingress->cap = count; }
  for (size_t i = 0; i < count; i++) {
    bbw_status rv = rebuild_event(r, BBW_PROTO_AT(&r->snap->ingress, bbw_snap_event, i));
    if (rv != BBW_OK) { return rv; }
  }
  ingress->cap = cap;
  ingress->dropped = r->snap->ingress_dropped;
  return BBW_OK;
}

/* ---- bus ---- */

/* An event is the first subscription of its kind. */
static bool is_first_of_kind(const bbw_bus *bus, uint64_t index) {
  if (index >= bus->subscriptions.count) { return false; }
  bbw_str kind = BBW_VEC_AT(&bus->subscriptions, bbw_subscription, (size_t)index)->kind;
  size_t i = 0;
  while (!bbw_str_equal(BBW_VEC_AT(&bus->subscriptions, bbw_subscription, i)->kind, kind)) { i++; }
  return i == index;
}

static bbw_status rebuild_bus(const bbw_rebuild *r) {
  bbw_bus *bus = &r->engine->bus;
  size_t count = r->snap->bus.count;
  if (count > bus->cap) { return bbw_rebuild_bad(r, "too many events on the bus"); }
  for (size_t i = 0; i < count; i++) {
    uint64_t index = *BBW_PROTO_AT(&r->snap->bus, uint64_t, i);
    if (!is_first_of_kind(bus, index)) { return bbw_rebuild_bad(r, "an event of the bus that nobody waits for"); }
    bus->events[i] = (uint32_t)index;
  }
  bus->count = count;
  bus->dropped = r->snap->bus_dropped;
  bus->dropped_new = r->snap->bus_dropped_new;
  return BBW_OK;
}

/* ---- named tables ---- */

static size_t values_max(uint32_t kind) {
  switch (kind) {
  case BBW_NAMED_QUEUE: return BBW_NAMED_QUEUE_MAX;
  case BBW_NAMED_RECORD: return BBW_NAMED_RECORD_MAX;
  case BBW_NAMED_HOLD: return 1;
  default: return 0;
  }
}

static bbw_status rebuild_named_one(const bbw_rebuild *r, const bbw_snap_named *from) {
  bbw_named *named = &r->engine->named;
  size_t before = named->entries.count;
  if (from->kind > BBW_NAMED_LATCH || from->values.count > values_max(from->kind)) {
    return bbw_rebuild_bad(r, "a named table is not valid");
  }
  bbw_named_entry *entry;
  bbw_status rv = bbw_named_get(named, (bbw_named_kind)from->kind, bbw_bytes_str(from->name), &entry);
  if (rv != BBW_OK) { return bbw_rebuild_failed(r, rv, "too many names"); }
  if (named->entries.count == before) { return bbw_rebuild_bad(r, "a name is there twice"); }
  entry->number = from->number;
  entry->dropped = from->dropped;
  for (size_t i = 0; i < from->values.count; i++) {
    bbw_value *value;
    rv = bbw_rebuild_value(r, BBW_PROTO_AT(&from->values, bbw_snap_value, i), &value);
    if (rv != BBW_OK) { return rv; }
    size_t charge;
    rv = bbw_rebuild_charge(r, bbw_named_owed(value), &charge);
    if (rv == BBW_OK) { rv = bbw_error_set(r->err, bbw_named_push(named, entry, value, from->values.count)); }
    if (rv != BBW_OK) {
      bbw_value_release(value, r->engine->mem);
      return rv;
    }
  }
  bool ok = bbw_vec_append(&entry->waiters, from->waiters.items, from->waiters.count);
  return ok ? BBW_OK : bbw_error_set(r->err, BBW_E_NOMEM);
}

static bbw_status rebuild_named(const bbw_rebuild *r) {
  for (size_t i = 0; i < r->snap->named.count; i++) {
    bbw_status rv = rebuild_named_one(r, BBW_PROTO_AT(&r->snap->named, bbw_snap_named, i));
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

/* ---- output ---- */

/* Topics live in the model: the name of an output, or an attribute of the op that emitted the event. */
static bool find_topic(const bbw_engine *engine, bbw_str topic, bbw_str *out) {
  *out = (bbw_str){NULL, 0};
  if (topic.len == 0) { return true; }
  for (size_t g = 0; g < engine->graphs.count; g++) {
    const bbw_graph *graph = bbw_engine_graph(engine, g);
    uint32_t site = bbw_graph_site_find(graph, topic);
    if (site != BBW_NO_INDEX) { *out = graph->sites[site].name; }
    for (uint32_t i = 0; out->ptr == NULL && i < graph->op_count; i++) {
      for (size_t k = 0; k < 2; k++) {
        bbw_str field = k == 0 ? BBW_STR("name") : BBW_STR("progress");
        const bbw_onnx_attribute *name = bbw_onnx_attribute_find(graph->ops[i].node, field);
        if (name != NULL && bbw_str_equal(bbw_bytes_str(name->s), topic)) { *out = bbw_bytes_str(name->s); }
      }
    }
    if (out->ptr != NULL) { return true; }
  }
  return false;
}

static bbw_status rebuild_app_events(const bbw_rebuild *r) {
  for (size_t i = 0; i < r->snap->app_events.count; i++) {
    const bbw_snap_app_event *from = BBW_PROTO_AT(&r->snap->app_events, bbw_snap_app_event, i);
    bbw_str topic;
    bbw_value *value = NULL;
    if (!find_topic(r->engine, bbw_bytes_str(from->topic), &topic)) {
      return bbw_rebuild_bad(r, "an event whose topic nothing emits");
    }
    bbw_status rv = from->value == NULL ? BBW_OK : bbw_rebuild_value(r, from->value, &value);
    if (rv != BBW_OK) { return rv; }
    rv = bbw_engine_emit(r->engine, topic, value);
    if (rv != BBW_OK) {
      bbw_value_release(value, r->engine->mem);
      return bbw_error_set(r->err, rv);
    }
  }
  return BBW_OK;
}

static bbw_status rebuild_outbound_one(const bbw_rebuild *r, const bbw_snap_outbound *from) {
  const bbw_mem *mem = r->engine->mem;
  bbw_peer_id peer;
  size_t bytes;
  bbw_status rv = bbw_rebuild_peer(r, from->peer, &peer);
  if (rv != BBW_OK) { return rv; }
  bool fits = bbw_size_add(sizeof(bbw_tail), from->tail.len, &bytes);
  bbw_tail *tail = fits ? mem->alloc(mem->ctx, bytes) : NULL;
  if (tail == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  *tail = (bbw_tail){.refs = 1, .len = from->tail.len};
  if (from->tail.len != 0) { memcpy(tail->bytes, from->tail.ptr, from->tail.len); }
  rv = bbw_outbound_push(&r->engine->outbound, &peer, from->addresses.items, from->addresses.count, tail);
  bbw_tail_release(tail, mem);
  /* Without a time it counts from now: so it is with those of the reference. */
  uint64_t queued_ns = from->queued_ns == 0 ? r->snap->now_ns : from->queued_ns;
  if (rv == BBW_OK) { bbw_outbound_mark_redelivered(&r->engine->outbound, queued_ns); }
  return bbw_error_set(r->err, rv);
}

static bbw_status rebuild_outbound(const bbw_rebuild *r) {
  bbw_outbound *outbound = &r->engine->outbound;
  size_t count = r->snap->outbound.count;
  uint64_t cap = outbound->cap;
  if (count > cap) { outbound->cap = count; }
  for (size_t i = 0; i < count; i++) {
    bbw_status rv = rebuild_outbound_one(r, BBW_PROTO_AT(&r->snap->outbound, bbw_snap_outbound, i));
    if (rv != BBW_OK) { return rv; }
  }
  outbound->cap = cap;
  outbound->dropped_new = r->snap->outbound_dropped_new;
  return BBW_OK;
}

static bbw_status rebuild_failures(const bbw_rebuild *r) {
  for (size_t i = 0; i < r->snap->resolve_failures.count; i++) {
    const bbw_snap_resolve_failure *from = BBW_PROTO_AT(&r->snap->resolve_failures, bbw_snap_resolve_failure, i);
    bbw_resolve_failure failure = {.op_ref = from->op_ref};
    bbw_status rv = bbw_rebuild_peer(r, from->peer, &failure.peer);
    if (rv != BBW_OK) { return rv; }
    if (!bbw_vec_append(&r->engine->resolve_failures, &failure, 1)) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  }
  return BBW_OK;
}

static bbw_status rebuild_phases(const bbw_rebuild *r) {
  const bbw_mem *mem = r->engine->mem;
  bbw_vec *phases = &r->engine->phases;
  if (!bbw_vec_reserve(phases, r->snap->phases.count)) { return bbw_error_set(r->err, BBW_E_NOMEM); }
  for (size_t i = 0; i < r->snap->phases.count; i++) {
    bbw_bytes from = *BBW_PROTO_AT(&r->snap->phases, bbw_bytes, i);
    uint8_t *copy = mem->alloc(mem->ctx, from.len + 1); /* as the engine frees it */
    if (copy == NULL) { return bbw_error_set(r->err, BBW_E_NOMEM); }
    if (from.len != 0) { memcpy(copy, from.ptr, from.len); }
    *(bbw_bytes *)bbw_vec_push(phases) = (bbw_bytes){copy, from.len}; /* room is reserved */
  }
  if (r->snap->phase_at != 0 && r->snap->phases.count == 0) {
    return bbw_rebuild_bad(r, "a lifecycle phase that does not fire goes on");
  }
  r->engine->phase_at = r->snap->phase_at;
  return BBW_OK;
}

bbw_status bbw_rebuild_queues(bbw_rebuild *r) {
  bbw_status rv = rebuild_ingress(r);
  if (rv == BBW_OK) { rv = rebuild_bus(r); }
  if (rv == BBW_OK) { rv = rebuild_named(r); }
  if (rv == BBW_OK) { rv = rebuild_app_events(r); }
  if (rv == BBW_OK) { rv = rebuild_outbound(r); }
  if (rv == BBW_OK) { rv = rebuild_failures(r); }
  return rv == BBW_OK ? rebuild_phases(r) : rv;
}
