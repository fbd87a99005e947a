/*
 * envelope: decoding of untrusted envelope bytes (the public header has the struct and the encoder).
 */
#ifndef BBW_FORMAT_ENVELOPE_H
#define BBW_FORMAT_ENVELOPE_H

#include "base/arena.h"
#include "bbw/envelope.h"

/* Entries of each list that one walk over the bytes keeps. */
#define BBW_ENVELOPE_SCAN_ENTRIES 4u

/* What one walk has found.  Its first four entries of each list are in place; none of it outlives `bytes`. */
typedef struct bbw_envelope_scan {
  bbw_bytes bytes;
  bbw_envelope envelope; /* single fields, and the counts of the lists */
  bbw_slot_fill fills[BBW_ENVELOPE_SCAN_ENTRIES];
  bbw_bytes dest_peer_addresses[BBW_ENVELOPE_SCAN_ENTRIES];
  bbw_bytes src_peer_addresses[BBW_ENVELOPE_SCAN_ENTRIES];
} bbw_envelope_scan;

/*
 * Decoding without an arena, for the owner of one block of memory: scan checks everything and allocates nothing (the errors are those of bbw_envelope_decode but for BBW_E_NOMEM);
 * lists_bytes says how much the lists take (false: more than there can be); place writes them to `lists`, aligned to 8, as views into `bytes`, which
 * holds the scanned bytes or a copy of them.
 */
bbw_status bbw_envelope_scan_bytes(bbw_envelope_scan *scan, bbw_bytes bytes, const bbw_envelope_caps *caps,
                                   bbw_error *err);
/* The same without the short cut for ordinary envelopes; tests compare the two. */
bbw_status bbw_envelope_scan_slowly(bbw_envelope_scan *scan, bbw_bytes bytes, const bbw_envelope_caps *caps,
                                    bbw_error *err);
bool bbw_envelope_lists_bytes(const bbw_envelope_scan *scan, size_t *out);
void bbw_envelope_place(const bbw_envelope_scan *scan, const uint8_t *bytes, void *lists, bbw_envelope *out);

/*
 * Decodes under caps.  All text and bytes are views into `bytes`; arrays come from the arena and are allocated only after their
 * counts were checked against the caps or the input length.
 * Errors in the order of wire specification §5.2: BBW_E_ENV_OVERSIZE (cap_bytes, got_bytes), BBW_E_ENV_MALFORMED (reason, offset),
 * BBW_E_ENV_VERSION (got, supported), BBW_E_ENV_TOO_MANY_FILLS (cap, got), BBW_E_ENV_OVERSIZE_FILL (which, cap_bytes, got_bytes),
 * BBW_E_ENV_TOO_MANY_SRC_ADDRESSES (cap, got), BBW_E_ENV_OVERSIZE_SRC_ADDRESS (cap_bytes, got_bytes); BBW_E_NOMEM.
 */
bbw_status bbw_envelope_decode(bbw_envelope *out, bbw_bytes bytes, const bbw_envelope_caps *caps, bbw_arena *arena,
                               bbw_error *err);

#endif
