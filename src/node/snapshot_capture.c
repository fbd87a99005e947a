#include "node/snapshot_capture.h"

#include <string.h>

#include "base/bytes.h"
#include "base/sort.h"

typedef struct capture {
  const bbw_engine *engine;
  bbw_arena *arena;
  bbw_map frame_index; /* address of a frame -> its place in the list */
  bbw_status status;   /* the first failure; from then on nothing is written any more */
} capture;

/* Room for `count` elements as the list's items, or NULL after a failure. */
static void *list_new(capture *c, bbw_proto_list *list, size_t count, size_t size) {
  if (c->status != BBW_OK) { return NULL; }
  void *items = bbw_arena_array(c->arena, count, size);
  if (items == NULL) {
    c->status = BBW_E_NOMEM;
    return NULL;
  }
  *list = (bbw_proto_list){items, count};
  return items;
}

static bbw_bytes peer_bytes(capture *c, const bbw_peer_id *peer) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bool ok;
  bbw_bytes copy = bbw_arena_copy(c->arena, (bbw_bytes){bytes, bbw_peer_id_encode(peer, bytes)}, &ok);
  if (!ok) { c->status = BBW_E_NOMEM; }
  return copy;
}

/* ---- values ---- */

static void put_value(capture *c, bbw_snap_value *out, const bbw_value *value) {
  if (value == NULL || c->status != BBW_OK) { return; }
  size_t size = bbw_value_payload_size(value);
  if (size == SIZE_MAX) {
    c->status = BBW_E_LIMIT;
    return;
  }
  uint8_t *payload = bbw_arena_array(c->arena, size, 1);
  if (payload == NULL) {
    c->status = BBW_E_NOMEM;
    return;
  }
  if (size != 0) { bbw_value_payload_write(value, payload); }
  *out = (bbw_snap_value){.type_hash = bbw_type_hash((bbw_type)value->type), .payload = {payload, size}};
}

static const bbw_snap_value *new_value(capture *c, const bbw_value *value) {
  bbw_proto_list one;
  bbw_snap_value *out = list_new(c, &one, 1, sizeof(*out));
  if (out != NULL) { put_value(c, out, value); }
  return out;
}

static void put_seeds(capture *c, bbw_proto_list *list, const bbw_seed *seeds, size_t count) {
  bbw_snap_seed *out = list_new(c, list, count, sizeof(*out));
  for (size_t i = 0; out != NULL && i < count; i++) {
    out[i] = (bbw_snap_seed){.site = seeds[i].site, .value = new_value(c, seeds[i].value), .charge = seeds[i].charge};
  }
}

/* ---- executions ---- */

static uint32_t index_of(const capture *c, const bbw_frame *frame) {
  uint64_t index = 0;
  (void)bbw_map_get(&c->frame_index, (uint64_t)(uintptr_t)frame, &index); /* every live frame is in it */
  return (uint32_t)index;
}

static uint32_t run_number(const bbw_bootstrap *bootstrap, const bbw_boot_run *run) {
  for (uint32_t i = 0; i < bootstrap->runs.count; i++) {
    if (*BBW_VEC_AT(&bootstrap->runs, bbw_boot_run *, i) == run) { return i + 1; }
  }
  return 0;
}

static void put_slots(capture *c, bbw_snap_frame *out, const bbw_frame *frame) {
  size_t filled = 0, at = 0;
  for (uint32_t i = 0; i < frame->graph->site_count; i++) { filled += frame->slots[i] != NULL; }
  bbw_snap_seed *slots = list_new(c, &out->slots, filled, sizeof(*slots));
  for (uint32_t i = 0; slots != NULL && i < frame->graph->site_count; i++) {
    if (frame->slots[i] == NULL) { continue; }
    slots[at++] = (bbw_snap_seed){.site = i, .value = new_value(c, frame->slots[i])};
  }
  /* What all slots are charged stands beside the last of them: inputs of a function, which bring most of it, have the highest numbers. */
  if (at != 0) { slots[at - 1].charge = frame->charge; }
}

/* An op that can never be ready looks like one that has fired; it is left out. */
static bool has_fired(const bbw_frame *frame, uint32_t op) {
  return bbw_frame_missing(frame)[op] == BBW_OP_FIRED && frame->graph->needed[op] != UINT32_MAX;
}

static void put_fired(capture *c, bbw_snap_frame *out, const bbw_frame *frame) {
  size_t count = 0, at = 0;
  for (uint32_t i = 0; i < frame->graph->op_count; i++) { count += has_fired(frame, i); }
  uint64_t *fired = list_new(c, &out->fired, count, sizeof(*fired));
  for (uint32_t i = 0; fired != NULL && i < frame->graph->op_count; i++) {
    if (has_fired(frame, i)) { fired[at++] = i; }
  }
}

static void put_inbound(capture *c, bbw_snap_frame *out, const bbw_inbound *inbound) {
  bbw_proto_list one;
  bbw_snap_inbound *context = inbound == NULL ? NULL : list_new(c, &one, 1, sizeof(*context));
  if (context == NULL) { return; }
  *context = (bbw_snap_inbound){
      .src_peer = peer_bytes(c, &inbound->src_peer),
      .wire_req_id = inbound->wire_req_id,
      .arrival_ns = inbound->arrival_ns,
      .remaining_deadline_ns = inbound->remaining_deadline_ns,
  };
  out->inbound = context;
}

static void put_frames(capture *c, bbw_snap *out) {
  const bbw_engine *engine = c->engine;
  uint64_t at = 0;
  if (!bbw_map_reserve(&c->frame_index, (size_t)engine->frame_count)) { c->status = BBW_E_NOMEM; }
  bbw_snap_frame *frames = list_new(c, &out->frames, (size_t)engine->frame_count, sizeof(*frames));
  for (const bbw_frame *frame = engine->frames_first; frames != NULL && frame != NULL; frame = frame->next, at++) {
    (void)bbw_map_put(&c->frame_index, (uint64_t)(uintptr_t)frame, at); /* room is reserved */
    frames[at] = (bbw_snap_frame){
        .graph = frame->graph->index,
        .exec_id = frame->exec_id,
        .started_ns = frame->started_ns,
        .parent = frame->parent == NULL ? 0 : index_of(c, frame->parent) + 1, /* callers are older */
        .parent_op = frame->parent_op,
        .is_reaction = frame->is_reaction,
        .run = frame->boot == NULL ? 0 : run_number(&engine->bootstrap, frame->boot),
    };
    put_inbound(c, &frames[at], frame->inbound);
    put_slots(c, &frames[at], frame);
    put_fired(c, &frames[at], frame);
  }
}

static void put_ready(capture *c, bbw_proto_list *list, const bbw_frontier *queue) {
  bbw_snap_ready *out = list_new(c, list, queue->count, sizeof(*out));
  for (size_t i = 0; out != NULL && i < queue->count; i++) {
    const bbw_frontier_entry *entry = &queue->entries[(queue->head + i) & (queue->cap - 1)];
    out[i] = (bbw_snap_ready){.frame = index_of(c, entry->frame), .op = entry->op};
  }
}

static void put_parked_one(capture *c, bbw_snap_parked *out, const bbw_parked *parked) {
  *out = (bbw_snap_parked){
      .cmd_id = parked->cmd_id,
      .frame = index_of(c, parked->frame),
      .op = parked->op,
      .state = parked->state,
      .detail = {parked->detail, parked->detail_len},
      .deadline_ns = parked->deadline_ns == BBW_NEVER_NS ? 0 : parked->deadline_ns,
      .request_id = parked->request_id,
  };
  bbw_snap_value *results = list_new(c, &out->results, parked->result_count, sizeof(*results));
  for (size_t i = 0; results != NULL && i < parked->result_count; i++) {
    put_value(c, &results[i], parked->results[i]);
  }
}

static void put_async(capture *c, bbw_snap *out) {
  const bbw_async *async = &c->engine->async;
  size_t count = (size_t)async->count, at = 0;
  bbw_proto_list keys_list;
  bbw_sort_key *keys = list_new(c, &keys_list, count, sizeof(*keys));
  bbw_snap_parked *parked = list_new(c, &out->parked, count, sizeof(*parked));
  uint64_t *done = list_new(c, &out->done, async->done.count, sizeof(*done));
  if (keys == NULL || parked == NULL || done == NULL) { return; }
  for (size_t i = 0; i < async->entries.count; i++) {
    const bbw_parked *entry = BBW_VEC_AT(&async->entries, const bbw_parked, i);
    if (entry->state != BBW_PARKED_FREE) { keys[at++] = (bbw_sort_key){.first = entry->cmd_id, .index = i}; }
  }
  bbw_sort(keys, count);
  for (size_t i = 0; i < count; i++) {
    put_parked_one(c, &parked[i], BBW_VEC_AT(&async->entries, const bbw_parked, keys[i].index));
  }
  if (async->done.count != 0) { memcpy(done, async->done.items, async->done.count * sizeof(*done)); }
  out->next_cmd_id = async->next_cmd_id;
  out->unknown_completions = async->unknown_completions;
  out->late_completions = async->late_completions;
  out->duplicate_completions = async->duplicate_completions;
}

static void put_timers(capture *c, bbw_snap *out) {
  const bbw_timers *timers = &c->engine->timers;
  size_t count = timers->heap.count;
  bbw_proto_list keys_list;
  bbw_sort_key *keys = list_new(c, &keys_list, count, sizeof(*keys));
  bbw_snap_timer *list = list_new(c, &out->timers, count, sizeof(*list));
  if (keys == NULL || list == NULL) { return; }
  const bbw_timer *heap = timers->heap.items;
  for (size_t i = 0; i < count; i++) {
    keys[i] = (bbw_sort_key){.first = heap[i].at_ns, .second = heap[i].order, .index = i};
  }
  bbw_sort(keys, count);
  for (size_t i = 0; i < count; i++) {
    const bbw_timer *timer = &heap[keys[i].index];
    list[i] = (bbw_snap_timer){
        .at_ns = timer->at_ns, .order = timer->order, .subject = timer->subject, .kind = (uint32_t)timer->kind};
  }
  out->next_timer_order = timers->next_order;
  out->timers_dropped = timers->dropped;
}

static bool is_started(const bbw_op *op) { return op->row != NULL && op->row->is_self_starting && op->is_started; }

static void put_started(capture *c, bbw_snap *out) {
  size_t count = 0, at = 0;
  for (size_t pass = 0; pass < 2 && c->status == BBW_OK; pass++) {
    uint64_t *list = pass == 0 ? NULL : list_new(c, &out->started, count, sizeof(*list));
    for (size_t g = 0; g < c->engine->graphs.count; g++) {
      const bbw_graph *graph = bbw_engine_graph(c->engine, g);
      for (uint32_t i = 0; i < graph->op_count; i++) {
        if (!is_started(&graph->ops[i])) { continue; }
        count += pass == 0;
        if (list != NULL) { list[at++] = bbw_graph_op_ref(graph, i); }
      }
    }
  }
}

static void put_bootstrap(capture *c, bbw_snap *out) {
  const bbw_bootstrap *bootstrap = &c->engine->bootstrap;
  bbw_snap_target *targets = list_new(c, &out->boot_targets, bootstrap->targets.count, sizeof(*targets));
  bbw_snap_run *runs = list_new(c, &out->boot_runs, bootstrap->runs.count, sizeof(*runs));
  if (targets == NULL || runs == NULL) { return; }
  for (size_t i = 0; i < bootstrap->targets.count; i++) {
    const bbw_boot_target *target = BBW_VEC_AT(&bootstrap->targets, const bbw_boot_target, i);
    targets[i] = (bbw_snap_target){.name = target->name, .is_done = target->is_done};
  }
  for (size_t i = 0; i < bootstrap->runs.count; i++) {
    const bbw_boot_run *run = *BBW_VEC_AT(&bootstrap->runs, bbw_boot_run *, i);
    runs[i] = (bbw_snap_run){.target = run->target,
                             .state = (uint32_t)run->state,
                             .is_chained = run->is_chained,
                             .has_failed = run->has_failed};
    put_seeds(c, &runs[i].seeds, run->seeds, run->seed_count);
  }
  out->boot_ended = bootstrap->ended;
  out->is_boot_wait_reported = bootstrap->is_waiting_reported;
}

/* ---- queues ---- */

static void put_ingress(capture *c, bbw_snap *out) {
  const bbw_ingress *ingress = &c->engine->ingress;
  bbw_snap_event *events = list_new(c, &out->ingress, ingress->count, sizeof(*events));
  for (size_t i = 0; events != NULL && i < ingress->count; i++) {
    const bbw_ingress_event *event = &ingress->events[(ingress->head + i) % ingress->size];
    events[i] = (bbw_snap_event){.kind = (uint32_t)event->kind};
    switch (event->kind) {
    case BBW_INGRESS_INVOKE: events[i].exec_id = event->exec_id; /* fall through */
    case BBW_INGRESS_APP_EVENT:
      events[i].graph = event->graph->index;
      put_seeds(c, &events[i].seeds, bbw_ingress_seeds(event), event->seed_count);
      break;
    case BBW_INGRESS_ENVELOPE:
      events[i].envelope = event->envelope->bytes;
      events[i].peer = peer_bytes(c, &event->envelope->inbound.src_peer);
      events[i].charge = event->envelope->charge;
      break;
    case BBW_INGRESS_SEND_FAILED:
      events[i].peer = peer_bytes(c, &event->failed->peer);
      events[i].wire_req_id = event->failed->wire_req_id;
      break;
    }
  }
  out->ingress_dropped = ingress->dropped;
}

static void put_bus(capture *c, bbw_snap *out) {
  const bbw_bus *bus = &c->engine->bus;
  uint64_t *events = list_new(c, &out->bus, bus->count, sizeof(*events));
  for (size_t i = 0; events != NULL && i < bus->count; i++) { events[i] = bus->events[(bus->head + i) % bus->cap]; }
  out->bus_dropped = bus->dropped;
  out->bus_dropped_new = bus->dropped_new;
}

static void put_named_one(capture *c, bbw_snap_named *out, const bbw_named_entry *entry) {
  *out = (bbw_snap_named){
      .kind = entry->key[0],
      .name = {entry->key + 1, entry->key_len - 1},
      .number = entry->number,
      .dropped = entry->dropped,
  };
  size_t values = entry->values.count - entry->values_head;
  size_t waiters = entry->waiters.count - entry->waiters_head;
  bbw_snap_value *list = list_new(c, &out->values, values, sizeof(*list));
  for (size_t i = 0; list != NULL && i < values; i++) {
    put_value(c, &list[i], *BBW_VEC_AT(&entry->values, bbw_value *, entry->values_head + i));
  }
  uint64_t *ids = list_new(c, &out->waiters, waiters, sizeof(*ids));
  if (ids != NULL && waiters != 0) {
    memcpy(ids, BBW_VEC_AT(&entry->waiters, uint64_t, entry->waiters_head), waiters * sizeof(*ids));
  }
}

static void put_named(capture *c, bbw_snap *out) {
  const bbw_named *named = &c->engine->named;
  bbw_snap_named *list = list_new(c, &out->named, named->entries.count, sizeof(*list));
  for (size_t i = 0; list != NULL && i < named->entries.count; i++) {
    put_named_one(c, &list[i], *BBW_VEC_AT(&named->entries, bbw_named_entry *, i));
  }
}

static void put_envelope(capture *c, bbw_snap_outbound *out, const bbw_outbound_entry *entry) {
  *out = (bbw_snap_outbound){.peer = peer_bytes(c, &entry->peer),
                             .tail = {entry->tail->bytes, entry->tail->len},
                             .queued_ns = entry->queued_ns};
  bbw_bytes address;
  size_t addresses = 0, k = 0;
  for (size_t at = 0; bbw_outbound_address(entry, &at, &address);) { addresses++; }
  bbw_bytes *views = list_new(c, &out->addresses, addresses, sizeof(*views));
  for (size_t at = 0; views != NULL && bbw_outbound_address(entry, &at, &address);) { views[k++] = address; }
}

static void put_outbound(capture *c, bbw_snap *out) {
  const bbw_outbound *outbound = &c->engine->outbound;
  bbw_snap_outbound *list = list_new(c, &out->outbound, bbw_outbound_count(outbound), sizeof(*list));
  if (list == NULL) { return; }
  const bbw_outbound_queue *queue = &outbound->now;
  for (const bbw_peer_entry *flow = outbound->flows.first;; flow = flow->after) {
    for (const bbw_outbound_entry *entry = queue->first; entry != NULL; entry = entry->next) {
      put_envelope(c, list++, entry);
    }
    if (flow == NULL) { break; }
    queue = &((const bbw_flow *)flow)->queue;
  }
  out->outbound_dropped_new = outbound->dropped_new;
}

static void put_output(capture *c, bbw_snap *out) {
  const bbw_engine *engine = c->engine;
  size_t count = engine->app_events.count;
  bbw_snap_app_event *events = list_new(c, &out->app_events, count, sizeof(*events));
  for (size_t i = 0; events != NULL && i < count; i++) {
    const bbw_app_event *event = BBW_VEC_AT(&engine->app_events, const bbw_app_event, i);
    events[i].topic = bbw_str_bytes(event->topic);
    events[i].value = event->value == NULL ? NULL : new_value(c, event->value);
  }
  count = engine->resolve_failures.count;
  bbw_snap_resolve_failure *failures = list_new(c, &out->resolve_failures, count, sizeof(*failures));
  for (size_t i = 0; failures != NULL && i < count; i++) {
    const bbw_resolve_failure *failure = BBW_VEC_AT(&engine->resolve_failures, const bbw_resolve_failure, i);
    failures[i] = (bbw_snap_resolve_failure){.peer = peer_bytes(c, &failure->peer), .op_ref = failure->op_ref};
  }
  out->phases = (bbw_proto_list){engine->phases.items, engine->phases.count};
  put_outbound(c, out);
}

/* ---- peers ---- */

static void put_peer_list(capture *c, bbw_proto_list *list, const bbw_peer_table *table) {
  bbw_bytes *out = list_new(c, list, table->count, sizeof(*out));
  const bbw_peer_entry *entry = table->first;
  for (size_t i = 0; out != NULL && entry != NULL; i++, entry = entry->after) { out[i] = peer_bytes(c, &entry->peer); }
}

static void put_book(capture *c, bbw_snap *out) {
  const bbw_address_book *book = &c->engine->address_book;
  size_t count = bbw_address_book_count(book);
  bbw_snap_peer *peers = list_new(c, &out->peers, count, sizeof(*peers));
  for (size_t i = 0; peers != NULL && i < count; i++) {
    const bbw_peer_id *peer = bbw_address_book_peer(book, i);
    const bbw_bytes *items = NULL;
    size_t addresses = 0;
    (void)bbw_address_book_lookup(book, peer, &items, &addresses); /* none: the entry has lost its addresses */
    peers[i] = (bbw_snap_peer){.peer = peer_bytes(c, peer),
                               .addresses = {items, addresses},
                               .ref_count = bbw_address_book_ref_count(book, peer),
                               .claimed = bbw_address_book_claimed(book, peer)};
  }
}

static void put_health(capture *c, bbw_snap *out) {
  const bbw_governor *governor = &c->engine->governor;
  bbw_snap_health *list = list_new(c, &out->health, governor->health.count, sizeof(*list));
  const bbw_peer_entry *entry = governor->health.first;
  for (size_t i = 0; list != NULL && entry != NULL; i++, entry = entry->after) {
    bbw_peer_health health;
    if (!bbw_governor_peer_health(governor, &entry->peer, &health)) { continue; }
    list[i] = (bbw_snap_health){
        .peer = peer_bytes(c, &entry->peer),
        .failures = health.consecutive_failures,
        .last_event_ns = health.last_event_ns,
        .is_down = health.is_down,
    };
  }
}

static void put_backoff(capture *c, bbw_snap *out) {
  const bbw_peer_table *table = &c->engine->backoff.entries;
  bbw_snap_backoff *list = list_new(c, &out->backoff, table->count, sizeof(*list));
  const bbw_peer_entry *entry = table->first;
  for (size_t i = 0; list != NULL && entry != NULL; i++, entry = entry->after) {
    const bbw_backoff_entry *backoff = (const bbw_backoff_entry *)entry;
    list[i] = (bbw_snap_backoff){
        .peer = peer_bytes(c, &entry->peer),
        .attempts = backoff->attempts,
        .last_attempt_ns = backoff->last_attempt_ns,
        .next_retry_ns = backoff->next_retry_ns,
        .is_advisory = backoff->is_advisory,
    };
  }
}

static void put_requests(capture *c, bbw_snap *out) {
  const bbw_requests *requests = &c->engine->requests;
  size_t count = requests->heap.count;
  bbw_proto_list keys_list;
  bbw_sort_key *keys = list_new(c, &keys_list, count, sizeof(*keys));
  bbw_snap_request *list = list_new(c, &out->requests, count, sizeof(*list));
  if (keys == NULL || list == NULL) { return; }
  const bbw_request *heap = requests->heap.items;
  for (size_t i = 0; i < count; i++) { keys[i] = (bbw_sort_key){.first = heap[i].id, .index = i}; }
  bbw_sort(keys, count);
  for (size_t i = 0; i < count; i++) {
    const bbw_request *request = &heap[keys[i].index];
    list[i] = (bbw_snap_request){
        request->id,       request->started_at_ns, request->expires_at_ns, request->target_site,
        request->has_edge, request->chain_id,      request->hop,           {NULL, 0},
        request->is_unsent};
    uint64_t *others = list_new(c, &list[i].others, request->other_count, sizeof(*others));
    for (size_t k = 0; others != NULL && k < request->other_count; k++) { others[k] = request->others[k]; }
  }
  out->next_token = requests->next_token;
}

static bbw_snap_rtt_edge rtt_edge(uint64_t chain_id, uint32_t hop, const bbw_rtt_estimator *e, uint64_t onward_ns) {
  return (bbw_snap_rtt_edge){chain_id, hop, e->srtt_ns, e->rttvar_ns, e->sample_count, onward_ns, 0};
}

static void put_rtt_site(capture *c, bbw_snap_rtt_site *out, const bbw_rtt_site *site) {
  const bbw_phi *phi = &site->phi;
  *out = (bbw_snap_rtt_site){
      .site = site->site,
      .srtt_ns = site->estimator.srtt_ns,
      .rttvar_ns = site->estimator.rttvar_ns,
      .sample_count = site->estimator.sample_count,
      .last_seen_ns = phi->last_seen_ns,
      .told = (uint32_t)site->told,
      .due_ns = site->due_ns,
  };
  bbw_snap_rtt_edge *edges = list_new(c, &out->edges, site->edges.count, sizeof(*edges));
  uint64_t *intervals = list_new(c, &out->intervals, phi->count, sizeof(*intervals));
  if (edges == NULL || intervals == NULL) { return; }
  for (size_t i = 0; i < site->edges.count; i++) {
    const bbw_rtt_edge_entry *entry = BBW_VEC_AT(&site->edges, const bbw_rtt_edge_entry, i);
    edges[i] = rtt_edge(entry->edge.chain_id, entry->edge.hop, &entry->estimator, entry->onward_ns);
  }
  for (size_t i = 0; i < phi->count; i++) { intervals[i] = phi->intervals[(phi->head + i) % phi->size]; }
}

static void put_rtt(capture *c, bbw_snap *out) {
  const bbw_rtt *rtt = &c->engine->rtt;
  bbw_snap_rtt_site *sites = list_new(c, &out->rtt_sites, rtt->heap.count, sizeof(*sites));
  bbw_snap_rtt_edge *chains = list_new(c, &out->rtt_chains, rtt->chains.count, sizeof(*chains));
  bbw_proto_list one;
  bbw_snap_rtt_edge *global = list_new(c, &one, 1, sizeof(*global));
  if (sites == NULL || chains == NULL || global == NULL) { return; }
  for (const bbw_rtt_site *site = rtt->first; site != NULL; site = site->after) { put_rtt_site(c, sites++, site); }
  for (size_t i = 0; i < rtt->chains.count; i++) {
    const bbw_rtt_chain *chain = BBW_VEC_AT(&rtt->chains, const bbw_rtt_chain, i);
    chains[i] = rtt_edge(chain->chain_id, 0, &chain->estimator, chain->onward_ns);
    chains[i].next_site = chain->next_site;
  }
  *global = rtt_edge(0, 0, &rtt->global, 0);
  if (rtt->global.sample_count != 0) { out->rtt_global = global; }
}

static void put_overloads(capture *c, bbw_snap *out) {
  const bbw_peer_table *table = &c->engine->backpressure.entries;
  bbw_snap_overload *list = list_new(c, &out->overloads, table->count, sizeof(*list));
  const bbw_peer_entry *entry = table->first;
  for (size_t i = 0; list != NULL && entry != NULL; i++, entry = entry->after) {
    const bbw_backpressure_entry *overload = (const bbw_backpressure_entry *)entry;
    list[i] = (bbw_snap_overload){
        .peer = peer_bytes(c, &entry->peer),
        .notice_count = overload->notice_count,
        .last_notice_ns = overload->last_notice_ns,
        .window_ns = overload->window_ns,
        .last_overload_ns = overload->last_overload_ns,
        .is_silent = overload->is_silent,
    };
  }
  out->silent_drops = c->engine->silent_drops;
}

static void put_peers(capture *c, bbw_snap *out) {
  const bbw_governor *governor = &c->engine->governor;
  const bbw_dedup *dedup = &c->engine->dedup;
  put_book(c, out);
  put_peer_list(c, &out->blocked, &governor->blocked);
  out->has_allowlist = governor->has_allowlist;
  put_peer_list(c, &out->allowed, &governor->allowed);
  out->failure_threshold = governor->failure_threshold;
  put_health(c, out);
  put_backoff(c, out);
  uint64_t *hashes = list_new(c, &out->dedup, dedup->count, sizeof(*hashes));
  for (size_t i = 0; hashes != NULL && i < dedup->count; i++) {
    hashes[i] = dedup->order[(dedup->head + i) % dedup->size];
  }
  put_requests(c, out);
  put_rtt(c, out);
  put_overloads(c, out);
}

bbw_status bbw_snapshot_capture(bbw_snap *out, const bbw_node *node, bbw_arena *arena) {
  const bbw_engine *engine = &node->engine;
  capture c = {.engine = engine, .arena = arena, .status = BBW_OK};
  bbw_map_init(&c.frame_index, 0xf2a3, node->mem);
  *out = (bbw_snap){
      .incarnation = node->incarnation,
      .config = &engine->config,
      .now_ns = engine->now_ns,
      .tick_ns = engine->tick_ns,
      .next_exec_id = engine->next_exec_id,
      .rng_state = engine->rng_state,
      .bytes_in_flight = engine->bytes_in_flight,
      .phase_at = engine->phase_at,
      .is_first_poll_done = engine->is_first_poll_done,
  };
  out->peer_id = peer_bytes(&c, &engine->self_peer);
  put_frames(&c, out);
  put_ready(&c, &out->frontier, &engine->frontier);
  put_ready(&c, &out->locked, &engine->locked);
  put_async(&c, out);
  put_timers(&c, out);
  put_started(&c, out);
  put_ingress(&c, out);
  put_bus(&c, out);
  put_named(&c, out);
  put_output(&c, out);
  put_bootstrap(&c, out);
  put_peers(&c, out);
  bbw_map_free(&c.frame_index);
  return c.status;
}
