#include "node/node.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "bbw/address.h"
#include "format/envelope.h"

/* Texts of failed completions are cut to this many bytes. */
#define FAIL_DETAIL_BYTES_MAX 4096u

void bbw_node_del(bbw_node *node) {
  if (node == NULL) { return; }
  const bbw_mem *mem = node->cache.behind;
  bbw_engine_free(&node->engine);
  bbw_inbound_event_del(node->room, node->mem);
  bbw_arena_free(&node->arena);
  bbw_mem_cache_free(&node->cache);
  bbw_mem_array_free(mem, node, 1, sizeof(*node));
}

bool bbw_node_is_running(const bbw_node *node) { return node->engine.is_running; }

static bbw_status enter(const bbw_node *node, bbw_error *err) {
  return bbw_error_set(err, node->engine.is_running ? BBW_E_BUSY : BBW_OK);
}

static bbw_status take_peer(bbw_peer_id *out, bbw_bytes bytes, bbw_error *err) {
  return bbw_peer_id_decode(out, bytes, err);
}

bbw_graph *bbw_node_module_find(const bbw_node *node, bbw_str name) {
  bbw_graph *found = NULL;
  size_t matches = 0;
  for (size_t i = 0; i < node->module_count; i++) {
    bbw_str module = node->modules[i]->name;
    if (bbw_str_equal(module, name)) { return node->modules[i]; }
    if (module.len > name.len && module.ptr[name.len] == '#' && bbw_str_starts_with(module, name)) {
      found = node->modules[i];
      matches++;
    }
  }
  return matches == 1 ? found : NULL;
}

static bbw_status find_module(const bbw_node *node, bbw_str name, bbw_graph **out, bbw_error *err) {
  *out = bbw_node_module_find(node, name);
  if (*out != NULL) { return BBW_OK; }
  bbw_error_set(err, BBW_E_UNKNOWN_MODULE);
  bbw_error_add_str(err, "module", name);
  for (size_t i = 0; i < node->module_count; i++) { bbw_error_add_item(err, "available", node->modules[i]->name); }
  return BBW_E_UNKNOWN_MODULE;
}

/* The site of a declared input. */
static bbw_status find_input(const bbw_graph *graph, bbw_str input, uint32_t *site, bbw_error *err) {
  const bbw_proto_list *names = &graph->function->input;
  for (size_t i = 0; i < names->count; i++) {
    if (bbw_str_equal(*BBW_PROTO_AT(names, bbw_str, i), input) && graph->formal_sites[i] != BBW_NO_INDEX) {
      *site = graph->formal_sites[i];
      return BBW_OK;
    }
  }
  bbw_error_set(err, BBW_E_UNKNOWN_INPUT);
  bbw_error_add_str(err, "module", graph->name);
  bbw_error_add_str(err, "input", input);
  for (size_t i = 0; i < names->count; i++) { bbw_error_add_item(err, "available", *BBW_PROTO_AT(names, bbw_str, i)); }
  return BBW_E_UNKNOWN_INPUT;
}

/* A refusal that graphs may want to know of. */
static bbw_status refuse(bbw_node *node, bbw_error *err, bbw_status status, const char *a, uint64_t a_value,
                         const char *b, uint64_t b_value) {
  bbw_bus_publish(&node->engine.bus, BBW_STR("AppIngressError"));
  bbw_error_set(err, status);
  bbw_error_add_u64(err, a, a_value);
  if (b != NULL) { bbw_error_add_u64(err, b, b_value); }
  return status;
}

static bbw_status refuse_alloc(bbw_node *node, bbw_error *err, uint64_t bytes) {
  refuse(node, err, BBW_E_ALLOCATION_FAILED, "byte_count", bytes, NULL, 0);
  bbw_error_add_str(err, "reason", BBW_STR("HeapExhausted"));
  return BBW_E_ALLOCATION_FAILED;
}

static bbw_status charge(bbw_node *node, size_t bytes, bbw_error *err) {
  if (bbw_engine_charge(&node->engine, bytes)) { return BBW_OK; }
  return refuse(node, err, BBW_E_BUDGET_EXCEEDED, "byte_count", bytes, "budget_remaining",
                bbw_engine_budget_left(&node->engine));
}

/* bytes: what the event brings, for the error. */
static bbw_status reserve_ingress(bbw_node *node, size_t bytes, bbw_error *err) {
  bbw_status rv = bbw_ingress_reserve(&node->engine.ingress);
  if (rv == BBW_E_INGRESS_FULL) {
    bbw_error_set(err, rv);
    bbw_error_add_u64(err, "capacity", node->engine.ingress.cap);
  }
  return rv == BBW_E_NOMEM ? refuse_alloc(node, err, bytes) : rv;
}

bbw_status bbw_node_tick(bbw_node *node, uint64_t now_ns) {
  if (node->engine.is_running) { return BBW_E_BUSY; }
  if (now_ns > node->engine.tick_ns) { node->engine.tick_ns = now_ns; }
  return BBW_OK;
}

/*
 * Queues an event for one execution and charges the bytes of its inputs.  All or nothing; on an error the array of seeds stays the caller's.  seeds: those of the event, each with its site and, in `charge`, the place
 * of its bytes among the inputs.
 */
static bbw_status queue_seeds(bbw_node *node, bbw_ingress_event *event, bbw_seed *seeds, size_t count,
                              const bbw_named_bytes *inputs, bbw_error *err) {
  bbw_engine *engine = &node->engine;
  size_t total = 0;
  for (size_t i = 0; i < count; i++) {
    total += inputs[seeds[i].charge].bytes.len;
  } /* the caller has checked the sum against a cap */
  bbw_status rv = charge(node, total, err);
  if (rv != BBW_OK) { return rv; }
  rv = reserve_ingress(node, total, err);
  size_t made = 0;
  for (; rv == BBW_OK && made < count; made++) {
    bbw_bytes bytes = inputs[seeds[made].charge].bytes;
    rv = bbw_value_new_bytes(&seeds[made].value, BBW_TYPE_BYTES, bytes, node->mem);
    if (rv != BBW_OK) {
      rv = refuse_alloc(node, err, total);
      break;
    }
    seeds[made].charge = bytes.len;
  }
  if (rv != BBW_OK) {
    for (size_t i = 0; i < made; i++) { bbw_value_release(seeds[i].value, node->mem); }
    bbw_engine_release(engine, total);
    return rv;
  }
  event->seed_count = count;
  if (event->kind == BBW_INGRESS_INVOKE) { event->exec_id = engine->next_exec_id++; }
  bbw_ingress_push(&engine->ingress, event);
  bbw_node_notify(node);
  return BBW_OK;
}

bbw_status bbw_node_deliver_event(bbw_node *node, bbw_str module, bbw_str input, bbw_bytes bytes, bbw_error *err) {
  bbw_ingress_event event = {.kind = BBW_INGRESS_APP_EVENT};
  bbw_named_bytes one = {.name = input, .bytes = bytes};
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = find_module(node, module, &event.graph, err); }
  if (rv != BBW_OK) { return rv; }
  if (bytes.len > node->engine.config.max_app_event_bytes) {
    return refuse(node, err, BBW_E_OVERSIZE_PAYLOAD, "byte_count", bytes.len, "cap",
                  node->engine.config.max_app_event_bytes);
  }
  rv = find_input(event.graph, input, &event.one.site, err);
  return rv == BBW_OK ? queue_seeds(node, &event, &event.one, 1, &one, err) : rv;
}

bbw_status bbw_node_invoke(bbw_node *node, bbw_str module, const bbw_named_bytes *inputs, size_t count,
                           uint64_t *exec_id, bbw_error *err) {
  bbw_ingress_event event = {.kind = BBW_INGRESS_INVOKE};
  const bbw_config *config = &node->engine.config;
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = find_module(node, module, &event.graph, err); }
  if (rv != BBW_OK) { return rv; }
  if (count > config->max_invoke_inputs) {
    return refuse(node, err, BBW_E_TOO_MANY_INPUTS, "count", count, "cap", config->max_invoke_inputs);
  }
  size_t total = 0;
  for (size_t i = 0; i < count; i++) {
    if (!bbw_size_add(total, inputs[i].bytes.len, &total)) { total = SIZE_MAX; }
  }
  if (total > config->max_invoke_bytes) {
    return refuse(node, err, BBW_E_OVERSIZE_PAYLOAD, "byte_count", total, "cap", config->max_invoke_bytes);
  }
  if (count > 1) {
    event.seeds = bbw_mem_array(node->mem, count, sizeof(bbw_seed));
    event.seed_room = count;
    if (event.seeds == NULL) { return refuse_alloc(node, err, total); }
  }
  bbw_seed *seeds = count > 1 ? event.seeds : &event.one;
  size_t used = 0;
  for (size_t i = 0; rv == BBW_OK && i < count; i++) {
    uint32_t site = 0;
    rv = find_input(event.graph, inputs[i].name, &site, err);
    size_t at = 0;
    while (at < used && seeds[at].site != site) { at++; }
    seeds[at] = (bbw_seed){.site = site, .charge = i}; /* of a repeated name the last one counts */
    used += at == used;
  }
  if (rv == BBW_OK) { rv = queue_seeds(node, &event, seeds, used, inputs, err); }
  if (rv == BBW_OK) {
    *exec_id = event.exec_id;
  } else {
    bbw_mem_array_free(node->mem, event.seeds, count, sizeof(bbw_seed));
  }
  return rv;
}

/* One status for every envelope that does not decode; the cause keeps its name and fields. */
static bbw_status invalid_envelope(bbw_error *err, bbw_status cause) {
  bbw_error_add_str(err, "cause", bbw_status_name(cause));
  if (err != NULL) { err->status = BBW_E_INVALID_ENVELOPE; }
  return BBW_E_INVALID_ENVELOPE;
}

/* Queues an event whose bytes are in place; on an error it is the caller's. */
static bbw_status queue_envelope(bbw_node *node, bbw_inbound_event *event, const bbw_peer_id *peer, bbw_error *err) {
  bbw_status rv = charge(node, event->bytes.len, err);
  if (rv != BBW_OK) { return rv; }
  rv = reserve_ingress(node, event->bytes.len, err);
  if (rv != BBW_OK) {
    bbw_engine_release(&node->engine, event->bytes.len);
    return rv;
  }
  event->charge = event->bytes.len;
  event->inbound.src_peer = *peer;
  bbw_ingress_push(&node->engine.ingress, &(bbw_ingress_event){.kind = BBW_INGRESS_ENVELOPE, .envelope = event});
  bbw_node_notify(node);
  return BBW_OK;
}

static bbw_status scan_envelope(const bbw_node *node, bbw_envelope_scan *scan, bbw_bytes bytes, bbw_error *err) {
  bbw_status rv = bbw_envelope_scan_bytes(scan, bytes, &node->engine.config.envelope_caps, err);
  return rv == BBW_OK ? BBW_OK : invalid_envelope(err, rv);
}

bbw_status bbw_node_deliver_inbound(bbw_node *node, bbw_bytes peer, bbw_bytes envelope, bbw_error *err) {
  bbw_status rv = enter(node, err);
  bbw_peer_id from;
  bbw_envelope_scan scan;
  if (rv == BBW_OK) { rv = take_peer(&from, peer, err); }
  if (rv == BBW_OK) { rv = scan_envelope(node, &scan, envelope, err); }
  if (rv != BBW_OK) { return rv; }
  bbw_inbound_event *event = bbw_inbound_event_new(&scan, node->mem);
  if (event == NULL) { return refuse_alloc(node, err, envelope.len); }
  rv = queue_envelope(node, event, &from, err);
  if (rv != BBW_OK) { bbw_inbound_event_del(event, node->mem); }
  return rv;
}

bbw_status bbw_node_inbound_room(bbw_node *node, size_t len, uint8_t **out, bbw_error *err) {
  bbw_status rv = enter(node, err);
  if (rv != BBW_OK) { return rv; }
  uint64_t cap = node->engine.config.envelope_caps.max_total_bytes;
  if (len > cap) {
    bbw_error_set(err, BBW_E_ENV_OVERSIZE);
    bbw_error_add_u64(err, "cap_bytes", cap);
    bbw_error_add_u64(err, "got_bytes", len);
    return invalid_envelope(err, BBW_E_ENV_OVERSIZE);
  }
  bbw_inbound_event_del(node->room, node->mem); /* first: there need not be memory for two */
  node->room = bbw_inbound_event_reserve(len, out, node->mem);
  if (node->room == NULL) { return refuse_alloc(node, err, len); }
  return BBW_OK;
}

bbw_status bbw_node_deliver_room(bbw_node *node, bbw_bytes peer, bbw_error *err) {
  bbw_status rv = enter(node, err);
  bbw_inbound_event *event = node->room;
  bbw_peer_id from;
  bbw_envelope_scan scan;
  if (rv == BBW_OK && event == NULL) { rv = bbw_error_set(err, BBW_E_ARG); }
  if (rv == BBW_OK) { rv = take_peer(&from, peer, err); }
  if (rv == BBW_OK) { rv = scan_envelope(node, &scan, event->bytes, err); }
  if (rv != BBW_OK) { return rv; }
  /* An envelope of many parts is copied after all. */
  bool is_copied = !bbw_inbound_event_fill(event, &scan);
  rv = is_copied ? bbw_node_deliver_inbound(node, peer, event->bytes, err) : queue_envelope(node, event, &from, err);
  if (rv != BBW_OK) { return rv; }
  node->room = NULL;
  if (is_copied) { bbw_inbound_event_del(event, node->mem); }
  return BBW_OK;
}

/* The error of an outcome; of one that nobody waits for it says why. */
static void note_refused(bbw_node *node, bbw_status rv, uint64_t cmd_id, bbw_error *err) {
  bbw_error_set(err, rv);
  if (rv != BBW_OK) { bbw_error_add_u64(err, "cmd_id", cmd_id); }
  if (rv == BBW_E_UNKNOWN_COMMAND) { bbw_error_add_str(err, "reason", bbw_async_why(&node->engine.async, cmd_id)); }
}

bbw_status bbw_node_complete(bbw_node *node, uint64_t cmd_id, const bbw_typed_bytes *results, size_t count,
                             bbw_error *err) {
  bbw_engine *engine = &node->engine;
  bbw_status rv = enter(node, err);
  if (rv != BBW_OK) { return rv; }
  for (size_t i = 0; i < count; i++) {
    uint64_t cap = engine->config.max_completion_result_bytes;
    if (results[i].payload.len > cap) {
      return refuse(node, err, BBW_E_OVERSIZE_PAYLOAD, "byte_count", results[i].payload.len, "cap", cap);
    }
  }
  bbw_value **values = bbw_mem_array(node->mem, count + 1, sizeof(*values));
  if (values == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  for (size_t i = 0; rv == BBW_OK && i < count; i++) {
    rv = bbw_value_decode(&values[i], results[i].type_hash, results[i].payload, node->mem, err);
  }
  if (rv == BBW_OK) {
    rv = bbw_async_complete(&engine->async, cmd_id, values, count);
    note_refused(node, rv, cmd_id, err);
  }
  for (size_t i = 0; rv != BBW_OK && i < count; i++) { bbw_value_release(values[i], node->mem); }
  bbw_mem_array_free(node->mem, values, count + 1, sizeof(*values));
  if (rv == BBW_OK) { bbw_node_notify(node); }
  return rv;
}

bbw_status bbw_node_fail(bbw_node *node, uint64_t cmd_id, bbw_str detail, bbw_error *err) {
  bbw_status rv = enter(node, err);
  if (rv != BBW_OK) { return rv; }
  if (detail.len > FAIL_DETAIL_BYTES_MAX) {
    detail.len = FAIL_DETAIL_BYTES_MAX;
    while (detail.len > 0 && ((uint8_t)detail.ptr[detail.len] & 0xc0) == 0x80) { detail.len--; }
  }
  rv = bbw_async_fail(&node->engine.async, cmd_id, detail);
  note_refused(node, rv, cmd_id, err);
  if (rv == BBW_OK) { bbw_node_notify(node); }
  return rv;
}

bbw_status bbw_node_cancel(bbw_node *node, uint64_t exec_id, bbw_error *err) {
  bbw_status rv = enter(node, err);
  if (rv != BBW_OK) { return rv; }
  if (bbw_engine_cancel(&node->engine, exec_id)) {
    bbw_node_notify(node); /* work that was held by the cap on executions may go on */
    return BBW_OK;
  }
  bbw_error_set(err, BBW_E_UNKNOWN_EXECUTION);
  bbw_error_add_u64(err, "exec_id", exec_id);
  return BBW_E_UNKNOWN_EXECUTION;
}

bbw_status bbw_node_send_failed(bbw_node *node, bbw_bytes peer, uint64_t wire_req_id, bbw_str reason, bbw_error *err) {
  (void)reason; /* a label for people; the engine counts the failure itself */
  bbw_failed_send failed = {.wire_req_id = wire_req_id};
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = take_peer(&failed.peer, peer, err); }
  if (rv == BBW_OK) { rv = reserve_ingress(node, sizeof(failed), err); }
  if (rv != BBW_OK) { return rv; }
  bbw_ingress_event event = {.kind = BBW_INGRESS_SEND_FAILED, .failed = bbw_mem_array(node->mem, 1, sizeof(failed))};
  if (event.failed == NULL) { return refuse_alloc(node, err, sizeof(failed)); }
  *event.failed = failed;
  bbw_ingress_push(&node->engine.ingress, &event);
  bbw_node_notify(node);
  return BBW_OK;
}

bbw_status bbw_node_set_send_room(bbw_node *node, bbw_bytes peer, uint64_t bytes, bbw_error *err) {
  bbw_peer_id id;
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = take_peer(&id, peer, err); }
  if (rv == BBW_OK) { rv = bbw_error_set(err, bbw_outbound_set_room(&node->engine.outbound, &id, bytes)); }
  if (rv == BBW_OK && bytes != 0) { bbw_node_notify(node); }
  return rv;
}

bbw_status bbw_node_poll(bbw_node *node, bbw_bytes *steps, bool *is_pending, bbw_error *err) {
  bbw_engine *engine = &node->engine;
  bbw_status rv = enter(node, err);
  if (rv != BBW_OK) { return rv; }
  engine->is_running = true;
  rv = bbw_engine_poll(engine);
  if (node->tap != NULL && rv == BBW_OK) {
    bbw_bytes records = {engine->steps.bytes.items, engine->steps.bytes.count};
    bbw_step step;
    for (size_t at = 0; bbw_steps_next(records, &at, &step);) { node->tap(node->tap_ctx, &step); }
  }
  engine->is_running = false;
  if (rv != BBW_OK) { return bbw_error_set(err, rv); }
  *steps = (bbw_bytes){engine->steps.bytes.items, engine->steps.bytes.count};
  *is_pending = bbw_engine_is_idle(engine);
  node->is_asleep = *is_pending;
  return BBW_OK;
}

bool bbw_node_next_timer(const bbw_node *node, uint64_t *at_ns) { return bbw_engine_next_timer(&node->engine, at_ns); }

bbw_status bbw_node_book_failed(const bbw_node *node, bbw_status rv, const bbw_peer_id *peer, size_t requested,
                                bbw_error *err) {
  char text[BBW_PEER_ID_TEXT_BYTES_MAX];
  bbw_error_set(err, rv);
  switch (rv) {
  case BBW_E_AB_UNKNOWN_PEER: bbw_error_add_str(err, "peer", (bbw_str){text, bbw_peer_id_to_text(peer, text)}); break;
  case BBW_E_AB_FULL: bbw_error_add_u64(err, "cap", node->engine.address_book.cap); break;
  case BBW_E_AB_ALLOCATION_FAILED: bbw_error_add_u64(err, "requested", requested); break;
  default: break;
  }
  return rv;
}

bbw_status bbw_node_add_peer(bbw_node *node, bbw_bytes peer, const bbw_bytes *addresses, size_t count, bbw_error *err) {
  bbw_peer_id id;
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = take_peer(&id, peer, err); }
  for (size_t i = 0; rv == BBW_OK && i < count; i++) { rv = bbw_address_check(addresses[i], err); }
  if (rv != BBW_OK) { return rv; }
  rv = bbw_address_book_add_peer(&node->engine.address_book, &id, addresses, count);
  return bbw_node_book_failed(node, rv, &id, count, err);
}

bbw_status bbw_node_observe_peer(bbw_node *node, bbw_bytes peer, bbw_bytes address, bbw_error *err) {
  bbw_peer_id id;
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = take_peer(&id, peer, err); }
  if (rv == BBW_OK) { rv = bbw_address_check(address, err); }
  if (rv == BBW_OK && bbw_peer_id_equal(&id, &node->engine.self_peer)) { rv = bbw_error_set(err, BBW_E_ARG); }
  if (rv != BBW_OK) { return rv; }
  rv = bbw_address_book_observe(&node->engine.address_book, &id, address);
  return bbw_node_book_failed(node, rv, &id, 1, err);
}

bbw_status bbw_node_drop_peer(bbw_node *node, bbw_bytes peer, bbw_error *err) {
  bbw_peer_id id;
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = take_peer(&id, peer, err); }
  if (rv != BBW_OK) { return rv; }
  return bbw_node_book_failed(node, bbw_address_book_drop_peer(&node->engine.address_book, &id), &id, 0, err);
}

bbw_status bbw_node_block_peer(bbw_node *node, bbw_bytes peer, bbw_error *err) {
  bbw_peer_id id;
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = take_peer(&id, peer, err); }
  return rv == BBW_OK ? bbw_error_set(err, bbw_governor_block(&node->engine.governor, &id)) : rv;
}

bbw_status bbw_node_unblock_peer(bbw_node *node, bbw_bytes peer, bbw_error *err) {
  bbw_peer_id id;
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = take_peer(&id, peer, err); }
  if (rv == BBW_OK) { bbw_governor_unblock(&node->engine.governor, &id); }
  return rv;
}

bbw_status bbw_node_set_allowlist(bbw_node *node, const bbw_bytes *peers, size_t count, bbw_error *err) {
  bbw_status rv = enter(node, err);
  if (rv != BBW_OK) { return rv; }
  if (peers == NULL) { return bbw_error_set(err, bbw_governor_set_allowlist(&node->engine.governor, NULL, 0)); }
  bbw_peer_id *ids = bbw_mem_array(node->mem, count + 1, sizeof(*ids));
  if (ids == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  for (size_t i = 0; rv == BBW_OK && i < count; i++) { rv = take_peer(&ids[i], peers[i], err); }
  if (rv == BBW_OK) { rv = bbw_error_set(err, bbw_governor_set_allowlist(&node->engine.governor, ids, count)); }
  bbw_mem_array_free(node->mem, ids, count + 1, sizeof(*ids));
  return rv;
}

void bbw_node_stats(const bbw_node *node, bbw_stats *out) {
  const bbw_engine *engine = &node->engine;
  *out = (bbw_stats){
      .frontier_len = engine->frontier.count,
      .bus_len = engine->bus.count,
      .pending_async = engine->async.count,
      .slot_table_occupied = engine->slot_count,
      .ingress_depth = engine->ingress.count,
      .outbound_queue_depth = bbw_outbound_count(&engine->outbound),
      .event_subscriptions = engine->bus.subscriptions.count,
      .registered_components = engine->components.count,
      .graph_slots = engine->graphs.count,
      .executions = engine->frame_count,
      .ingress_bytes_in_flight = engine->bytes_in_flight,
      .ingress_dropped = engine->ingress.dropped,
      .bus_dropped = engine->bus.dropped,
      .timers = engine->timers.heap.count,
      .timers_dropped = engine->timers.dropped,
      .unknown_completions = engine->async.unknown_completions,
      .late_completions = engine->async.late_completions,
      .duplicate_completions = engine->async.duplicate_completions,
      .silent_drops = engine->silent_drops,
      .held_bytes = engine->named.held_bytes,
      .unresolved_ops = node->unresolved_ops,
  };
}

size_t bbw_node_module_count(const bbw_node *node) { return node->module_count; }

bbw_str bbw_node_module_name(const bbw_node *node, size_t index) {
  return index < node->module_count ? node->modules[index]->name : (bbw_str){NULL, 0};
}

size_t bbw_node_component_count(const bbw_node *node) { return node->engine.components.count; }

bool bbw_node_component(const bbw_node *node, size_t index, bbw_str *slot, bbw_str *type_name, uint32_t *role_bits,
                        void **instance) {
  if (index >= node->engine.components.count) { return false; }
  const bbw_component *component = bbw_engine_component(&node->engine, index);
  *slot = component->slot;
  *type_name = (bbw_str){component->type->type_name, strlen(component->type->type_name)};
  *role_bits = component->type->role_bits;
  if (instance != NULL) { *instance = component->self; }
  return true;
}

const bbw_peer_id *bbw_node_peer_id(const bbw_node *node) { return &node->engine.self_peer; }

bool bbw_node_counter(const bbw_node *node, bbw_str name, uint64_t *out) {
  const bbw_named_entry *entry = bbw_named_find(&node->engine.named, BBW_NAMED_COUNTER, name);
  if (entry != NULL) { *out = entry->number; }
  return entry != NULL;
}
