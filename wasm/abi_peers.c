/* abi_peers: the exports about peers and addresses. */
#include "abi.h"
#include "abi_private.h"

int32_t bbw_abi_node_add_peer(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t addresses,
                              uint32_t addresses_len, uint32_t err) {
  bbw_pack pack = bbw_pack_open(address(addresses), addresses_len);
  bbw_bytes *list;
  size_t count;
  bbw_status rv = abi_read_byte_list(&pack, &list, &count);
  if (rv != BBW_OK) { return bbw_error_set(error_at(err), rv); }
  if (!bbw_pack_is_done(&pack)) { rv = bbw_error_set_at(error_at(err), BBW_E_ARG, pack.at); }
  if (rv == BBW_OK) { rv = bbw_node_add_peer(node_at(node), bytes_at(peer, peer_len), list, count, error_at(err)); }
  array_free(list, count, sizeof(*list));
  return rv;
}

int32_t bbw_abi_node_observe_peer(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t bytes, uint32_t len,
                                  uint32_t err) {
  return bbw_node_observe_peer(node_at(node), bytes_at(peer, peer_len), bytes_at(bytes, len), error_at(err));
}

int32_t bbw_abi_node_drop_peer(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t err) {
  return bbw_node_drop_peer(node_at(node), bytes_at(peer, peer_len), error_at(err));
}

int32_t bbw_abi_node_block_peer(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t err) {
  return bbw_node_block_peer(node_at(node), bytes_at(peer, peer_len), error_at(err));
}

int32_t bbw_abi_node_unblock_peer(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t err) {
  return bbw_node_unblock_peer(node_at(node), bytes_at(peer, peer_len), error_at(err));
}

int32_t bbw_abi_node_set_allowlist(uint32_t node, uint32_t is_open, uint32_t peers, uint32_t peers_len, uint32_t err) {
  if (is_open != 0) { return bbw_node_set_allowlist(node_at(node), NULL, 0, error_at(err)); }
  bbw_pack pack = bbw_pack_open(address(peers), peers_len);
  bbw_bytes *list;
  size_t count;
  bbw_status rv = abi_read_byte_list(&pack, &list, &count);
  if (rv != BBW_OK) { return bbw_error_set(error_at(err), rv); }
  if (!bbw_pack_is_done(&pack)) { rv = bbw_error_set_at(error_at(err), BBW_E_ARG, pack.at); }
  if (rv == BBW_OK) { rv = bbw_node_set_allowlist(node_at(node), list, count, error_at(err)); }
  array_free(list, count, sizeof(*list));
  return rv;
}

int32_t bbw_abi_node_peer_health(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t out) {
  bbw_peer_standing standing;
  if (!bbw_node_peer_health(node_at(node), bytes_at(peer, peer_len), &standing)) { return 0; }
  bbw_vec *record = abi_result_begin();
  bool ok = bbw_pack_put_u32(record, standing.consecutive_failures) &&
            bbw_pack_put_u64(record, standing.last_event_ns) && bbw_pack_put_u32(record, standing.is_down);
  int32_t rv = abi_result_end(ok, out, 0);
  return rv == BBW_OK ? 1 : rv;
}

int32_t bbw_abi_node_peer_addresses(uint32_t node, uint32_t peer, uint32_t peer_len, uint32_t out) {
  const bbw_bytes *items;
  size_t count;
  if (!bbw_node_peer_addresses(node_at(node), bytes_at(peer, peer_len), &items, &count)) { return 0; }
  bbw_vec *list = abi_result_begin();
  bool ok = bbw_pack_put_u32(list, (uint32_t)count);
  for (size_t i = 0; ok && i < count; i++) { ok = bbw_pack_put_bytes(list, items[i]); }
  int32_t rv = abi_result_end(ok, out, 0);
  return rv == BBW_OK ? 1 : rv;
}

int32_t bbw_abi_node_known_peers(uint32_t node, uint32_t out) {
  bbw_vec *list = abi_result_begin();
  uint32_t count = 0;
  while (bbw_node_known_peer(node_at(node), count) != NULL) { count++; }
  bool ok = bbw_pack_put_u32(list, count);
  for (uint32_t i = 0; ok && i < count; i++) {
    uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
    size_t len = bbw_peer_id_encode(bbw_node_known_peer(node_at(node), i), bytes);
    ok = bbw_pack_put_bytes(list, (bbw_bytes){bytes, len});
  }
  return abi_result_end(ok, out, 0);
}

int32_t bbw_abi_node_add_local_address(uint32_t node, uint32_t bytes, uint32_t len, uint32_t err) {
  return bbw_node_add_local_address(node_at(node), bytes_at(bytes, len), error_at(err));
}

int32_t bbw_abi_node_forget_local_address(uint32_t node, uint32_t bytes, uint32_t len, uint32_t err) {
  return bbw_node_forget_local_address(node_at(node), bytes_at(bytes, len), error_at(err));
}
