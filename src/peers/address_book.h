/*
 * address_book: which addresses belong to which peer?
 *
 * peer -> ordered list of addresses (binary form) without duplicates, and a reference count.  Peers are listed in the order in which they became known, addresses too.
 * An address is the host's word (given by it, or seen by it: the peer was there), or only a claim: of the peer about itself, or hearsay.
 * Bounded: BBW_ADDRESS_BOOK_PEERS_MAX peers (then refuses), BBW_ADDRESSES_PER_PEER_MAX addresses per peer: the oldest claim goes, so no claim ever drives out the host's word; without claims the
 * oldest goes.
 * Finding a peer costs the same for any number of them, adding a new one too (amortized); dropping one moves at most eight bytes per younger peer.
 * Source: wire specification §13 (AddressBook).
 */
#ifndef BBW_PEERS_ADDRESS_BOOK_H
#define BBW_PEERS_ADDRESS_BOOK_H

#include "base/vec.h"
#include "peers/peer_table.h"

#define BBW_ADDRESS_BOOK_PEERS_MAX 16384u
#define BBW_ADDRESSES_PER_PEER_MAX 16u

typedef struct bbw_address_book {
  const bbw_mem *mem;
  bbw_peer_table entries;
  bbw_vec in_order; /* entry pointers, in order of first sight */
  uint64_t next_number;
  size_t cap; /* peers, BBW_ADDRESS_BOOK_PEERS_MAX unless changed */
} bbw_address_book;

void bbw_address_book_init(bbw_address_book *book, const bbw_mem *mem);
void bbw_address_book_free(bbw_address_book *book);

/* New peer: count 1.  Known peer: count + 1, unknown addresses appended.  Addresses are copied, in their shortest spelling;
 * they have been checked (BBW_E_ARG otherwise).
 * BBW_E_AB_EMPTY (checked first), BBW_E_AB_FULL, BBW_E_AB_ALLOCATION_FAILED; the book is unchanged then. */
bbw_status bbw_address_book_add_peer(bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes *addresses,
                                     size_t count);
/* The same, but they are claims, and a known peer's count stays: a claim counts once, however often it is repeated. */
bbw_status bbw_address_book_claim(bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes *addresses,
                                  size_t count);
/* The host has seen the peer at this address: as register_address, and as add_peer for a new peer. */
bbw_status bbw_address_book_observe(bbw_address_book *book, const bbw_peer_id *peer, bbw_bytes address);
/* Count + 1.  BBW_E_AB_UNKNOWN_PEER. */
bbw_status bbw_address_book_hold(bbw_address_book *book, const bbw_peer_id *peer);
/* A new entry as it was saved: the addresses may be none, ref_count is at least 1, claimed has no bits beyond the addresses.  BBW_E_ARG for a known peer, a count of 0, or addresses that are
 * wrong, listed twice or too many; BBW_E_AB_FULL, BBW_E_AB_ALLOCATION_FAILED. */
bbw_status bbw_address_book_restore(bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes *addresses,
                                    size_t count, uint64_t ref_count, uint64_t claimed);
/* Count - 1; the entry goes at 0.  BBW_E_AB_UNKNOWN_PEER. */
bbw_status bbw_address_book_drop_peer(bbw_address_book *book, const bbw_peer_id *peer);
/* Appends unless present.  BBW_E_AB_UNKNOWN_PEER, BBW_E_AB_ALLOCATION_FAILED. */
bbw_status bbw_address_book_register_address(bbw_address_book *book, const bbw_peer_id *peer, bbw_bytes address);
/* Removes it; the entry stays, possibly empty.  BBW_E_AB_UNKNOWN_PEER. */
bbw_status bbw_address_book_forget_address(bbw_address_book *book, const bbw_peer_id *peer, bbw_bytes address);
/* The list, borrowed until the book changes; false for an unknown peer or an empty list. */
bool bbw_address_book_lookup(const bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes **items,
                             size_t *count);
uint64_t bbw_address_book_ref_count(const bbw_address_book *book, const bbw_peer_id *peer); /* 0 if unknown */
/* Bit i: the address at i is a claim. */
uint32_t bbw_address_book_claimed(const bbw_address_book *book, const bbw_peer_id *peer);
size_t bbw_address_book_count(const bbw_address_book *book);
const bbw_peer_id *bbw_address_book_peer(const bbw_address_book *book, size_t index); /* NULL past the end */
/* The index of a peer; false for an unknown one. */
bool bbw_address_book_index(const bbw_address_book *book, const bbw_peer_id *peer, size_t *index);

#endif
