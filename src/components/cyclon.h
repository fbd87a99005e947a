/*
 * cyclon: who else is there, without a server.
 *
 * Each node keeps a small random list of peers, its view, and now and then swaps a part of it with the peer that it has had in there longest.  A peer that does not answer is gone from the
 * view by then, so the dead disappear and no peer is needed for the others to find each other: S. Voulgaris, D. Gavidia, M. van Steen, "CYCLON: Inexpensive Membership Management for
 * Unstructured P2P Overlays", Journal of Network and Systems Management 13(2), 2005, with their enhanced shuffle.
 *
 * One thing is different: a peer that has answered stays as long as the view is not full.  In a network not much larger than a view most of what is told is known already, and each swap would lose
 * an entry until the network falls apart.
 *
 *   Cyclon  roles PeerSelector and Protocol.  CurrentView, Sample(n) as other selectors; Shuffle -> trigger, to be fired by a timer: one swap.  One time in four it turns to a peer of the
 *           address book that is not in the view.  No configuration.  Saved state: the view.
 *
 * Messages (bincode): a list of (PeerId, age u32, list of addresses), the sender of a request first.  A view holds one reference in the address book per peer.  What others say about a peer's
 * addresses is taken only for peers that are not known yet; an answer only from the peer that was asked; peers that the lists of this node forbid, never.  Cyclon trusts what
 * peers say about who exists: see docs/SECURITY.md.  Reached from outside under its well-known number.
 */
#ifndef BBW_COMPONENTS_CYCLON_H
#define BBW_COMPONENTS_CYCLON_H

#include "bbw/component.h"

#define BBW_CYCLON_VIEW_MAX    20u
#define BBW_CYCLON_SHUFFLE_MAX 8u
#define BBW_CYCLON_NUMBER      1000u

extern const bbw_component_type bbw_cyclon_type;

#endif
