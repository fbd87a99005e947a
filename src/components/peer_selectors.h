/*
 * peer_selectors: which peers to talk to.
 *
 * Both play the role PeerSelector: CurrentView() -> PeerIdVec, Sample(n) -> PeerIdVec of at most n different peers, with n as a RawU32 input or as the
 * attribute `n`.  Sample answers "empty" when no peer is known.
 *
 *   KnownPeers    the peers of the node's address book but not the node itself; samples come from the node's generator.  No configuration, no state.
 *   ConstantView  a fixed list and a seed, which are its configuration and its saved state: the payload of a PeerIdVec, then the seed as u64, little-endian; without
 *                 a configuration the list is empty.  The same list and seed always give the same sample.
 * Source: wire specification §22, ops specification §5.6.
 */
#ifndef BBW_COMPONENTS_PEER_SELECTORS_H
#define BBW_COMPONENTS_PEER_SELECTORS_H

#include "bbw/component.h"

extern const bbw_component_type bbw_known_peers_type, bbw_constant_view_type;

/*
 * ConstantView's choice: indices of min(n, count) different entries of a list into out.  s starts as seed + 1; xorshift 13/7/17, index s mod count, kept if
 * new.  When that has not found enough after a bounded number of tries (the generator stands still at 0), the first ones that are left follow.
 * is_chosen holds count entries that are false.
 */
size_t bbw_constant_view_sample(uint64_t seed, size_t count, size_t n, bool *is_chosen, size_t *out);

#endif
