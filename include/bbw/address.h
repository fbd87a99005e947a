/*
 * address: where in the network, on a node, a value belongs.
 *
 * An Address is a list of segments: p2p(peer), site(u64), component(u32), op(text).  We keep it in its binary form and
 * walk that form; the empty address is empty bytes.  Source: wire specification, section 3.
 */
#ifndef BBW_ADDRESS_H
#define BBW_ADDRESS_H

#include "bbw/error.h"
#include "bbw/peer_id.h"

typedef enum bbw_segment_kind {
  BBW_SEGMENT_P2P = 0, /* the numbers are the bincode variant indices */
  BBW_SEGMENT_SITE = 1,
  BBW_SEGMENT_COMPONENT = 2,
  BBW_SEGMENT_OP = 3,
} bbw_segment_kind;

typedef struct bbw_segment {
  bbw_segment_kind kind;
  uint64_t number; /* site or component */
  bbw_bytes bytes; /* p2p: multihash bytes; op: UTF-8 name; borrowed from the address */
} bbw_segment;

/* Walks the binary form: `at` starts at 0 and is moved behind the segment.  Returns BBW_OK with *out; the end of the
 * address is at == bytes.len (do not call then).  Errors: BBW_E_TRUNCATED, BBW_E_UNKNOWN_CODE (field "code", low 8
 * bits), BBW_E_INVALID_VALUE (fields "protocol", "value"), each with the offset of the segment. */
bbw_status bbw_address_next(bbw_bytes bytes, size_t *at, bbw_segment *out, bbw_error *err);

/* Checks the whole binary form.  Same errors.  One pass, no allocation. */
bbw_status bbw_address_check(bbw_bytes bytes, bbw_error *err);

/* First segment of a kind in a checked address; false if there is none. */
bool bbw_address_find(bbw_bytes bytes, bbw_segment_kind kind, bbw_segment *out);

/* Appends one segment to buf at *len.  BBW_E_BUFFER if cap is too small, and then *len is unchanged. */
bbw_status bbw_address_append(uint8_t *buf, size_t cap, size_t *len, const bbw_segment *segment);

/* Rewrites an address in its shortest spelling (the one that every encoder gives); *need is its length, never more than
 * bytes.len.  BBW_OK, BBW_E_BUFFER or the errors of bbw_address_check. */
bbw_status bbw_address_canonical(bbw_bytes bytes, uint8_t *buf, size_t cap, size_t *need);

/* Text form of a checked address: writes at most cap characters and sets *need to the full length (no terminator).
 * BBW_OK or BBW_E_BUFFER. */
bbw_status bbw_address_to_text(bbw_bytes bytes, char *buf, size_t cap, size_t *need);

/* Parses text into binary form, *need = its length.  BBW_OK, BBW_E_BUFFER, BBW_E_MALFORMED_STRING (field "text") or
 * BBW_E_INVALID_VALUE (fields "protocol", "value").  Source: section 3.3. */
bbw_status bbw_address_from_text(bbw_str text, uint8_t *buf, size_t cap, size_t *need, bbw_error *err);

#endif
