/* host: what a host can ask of a node and set on it, beside deliveries and polls. */
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "bbw/address.h"
#include "node/node.h"

static bbw_status enter(const bbw_node *node, bbw_error *err) {
  return bbw_error_set(err, node->engine.is_running ? BBW_E_BUSY : BBW_OK);
}

void bbw_node_set_tap(bbw_node *node, bbw_tap *tap, void *ctx) {
  node->tap = tap;
  node->tap_ctx = ctx;
}

void bbw_node_set_time_budget(bbw_node *node, bbw_time_is_up *is_up, void *ctx, uint64_t every_ops) {
  node->engine.time_is_up = is_up;
  node->engine.time_ctx = ctx;
  node->engine.time_check_ops = every_ops == 0 ? 1 : every_ops;
}

void bbw_node_set_waker(bbw_node *node, bbw_wake *wake, void *ctx) {
  node->wake = wake;
  node->wake_ctx = ctx;
}

void bbw_node_notify(bbw_node *node) {
  if (!node->is_asleep) { return; }
  node->is_asleep = false;
  if (node->wake != NULL) { node->wake(node->wake_ctx); }
}

bbw_status bbw_node_clear(bbw_node *node, bbw_error *err) {
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { bbw_engine_clear(&node->engine); }
  return rv;
}

bbw_status bbw_node_fire_lifecycle(bbw_node *node, bbw_str phase, bbw_error *err) {
  bbw_engine *engine = &node->engine;
  bbw_status rv = enter(node, err);
  if (rv != BBW_OK) { return rv; }
  if (phase.len == SIZE_MAX) { return bbw_error_set(err, BBW_E_ARG); }
  char *copy = node->mem->alloc(node->mem->ctx, phase.len + 1);
  if (copy == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  if (phase.len != 0) { memcpy(copy, phase.ptr, phase.len); }
  bbw_bytes owned = {(const uint8_t *)copy, phase.len};
  if (!bbw_vec_append(&engine->phases, &owned, 1)) {
    node->mem->free(node->mem->ctx, copy, phase.len + 1);
    return bbw_error_set(err, BBW_E_NOMEM);
  }
  bbw_node_notify(node);
  return BBW_OK;
}

bool bbw_node_peer_health(const bbw_node *node, bbw_bytes peer, bbw_peer_standing *out) {
  bbw_peer_id id;
  bbw_peer_health health;
  if (bbw_peer_id_decode(&id, peer, NULL) != BBW_OK ||
      !bbw_governor_peer_health(&node->engine.governor, &id, &health)) {
    return false;
  }
  *out = (bbw_peer_standing){
      .consecutive_failures = health.consecutive_failures,
      .last_event_ns = health.last_event_ns,
      .is_down = health.is_down,
  };
  return true;
}

bool bbw_node_peer_addresses(const bbw_node *node, bbw_bytes peer, const bbw_bytes **items, size_t *count) {
  bbw_peer_id id;
  if (bbw_peer_id_decode(&id, peer, NULL) != BBW_OK) { return false; }
  return bbw_address_book_lookup(&node->engine.address_book, &id, items, count);
}

const bbw_peer_id *bbw_node_known_peer(const bbw_node *node, size_t index) {
  return bbw_address_book_peer(&node->engine.address_book, index);
}

bbw_status bbw_node_add_local_address(bbw_node *node, bbw_bytes address, bbw_error *err) {
  bbw_address_book *book = &node->engine.address_book;
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = bbw_address_check(address, err); }
  if (rv != BBW_OK) { return rv; }
  /* An entry that was emptied is filled again, without another reference. */
  rv = bbw_address_book_register_address(book, &node->engine.self_peer, address);
  if (rv == BBW_E_AB_UNKNOWN_PEER) { rv = bbw_address_book_add_peer(book, &node->engine.self_peer, &address, 1); }
  return bbw_node_book_failed(node, rv, &node->engine.self_peer, 1, err);
}

bbw_status bbw_node_forget_local_address(bbw_node *node, bbw_bytes address, bbw_error *err) {
  bbw_status rv = enter(node, err);
  if (rv == BBW_OK) { rv = bbw_address_check(address, err); }
  if (rv != BBW_OK) { return rv; }
  const bbw_peer_id *self = &node->engine.self_peer;
  rv = bbw_address_book_forget_address(&node->engine.address_book, self, address);
  return bbw_node_book_failed(node, rv, self, 0, err);
}

bool bbw_node_slot(const bbw_node *node, bbw_str slot, size_t *index) {
  for (size_t i = 0; i < node->engine.components.count; i++) {
    if (!bbw_str_equal(bbw_engine_component(&node->engine, i)->slot, slot)) { continue; }
    *index = i;
    return true;
  }
  return false;
}

bool bbw_node_execution(const bbw_node *node, uint64_t exec_id, uint32_t *filled_sites) {
  for (const bbw_frame *frame = node->engine.frames_first; frame != NULL; frame = frame->next) {
    if (frame->exec_id != exec_id) { continue; }
    *filled_sites = 0;
    for (uint32_t i = 0; i < frame->graph->site_count; i++) { *filled_sites += frame->slots[i] != NULL; }
    return true;
  }
  return false;
}

bbw_bytes bbw_node_model(const bbw_node *node) { return node->model_bytes; }
