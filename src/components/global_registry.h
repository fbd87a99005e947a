/*
 * global_registry: a server that knows who is there, and the clients that tell it.
 *
 * A client announces its addresses now and then; the server answers with a handshake that says how long the entry lives and how often to come back.  Both ends must be reachable for the host: the
 * messages are addressed to /p2p/<peer> alone.
 *
 *   GlobalRegistryClient  role Protocol.  Announce(server_peer) -> trigger: a PeerId, a list of which the first counts, or the bytes of one; answers without sending when the last one
 *                         is younger than the server's interval.  Saved state: ttl and interval, u64 each; behind them, if it has announced
 *                         itself, when (u64) and to whom.
 *   GlobalRegistryServer  roles PeerSelector and Protocol.  CurrentView, Sample(n).  Configuration: seed as u64, little-endian, or nothing.  An announcement counts only for the peer that
 *                         it came from; it renews the entry and adds addresses.  At most BBW_REGISTRY_PEERS_MAX entries, the one renewed longest ago goes first; entries end with
 *                         their time.  Every entry holds one reference in the address book.
 *
 * Both are reached from outside under their well-known numbers, wherever their slots are: the server under 0, the client under 1.
 * Source: wire specification §21.
 */
#ifndef BBW_COMPONENTS_GLOBAL_REGISTRY_H
#define BBW_COMPONENTS_GLOBAL_REGISTRY_H

#include "bbw/component.h"

#define BBW_REGISTRY_TTL_NS    UINT64_C(90000000000)
#define BBW_REGISTRY_PEERS_MAX 8192u

extern const bbw_component_type bbw_registry_server_type, bbw_registry_client_type;

#endif
