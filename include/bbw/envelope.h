/*
 * envelope: the one message that nodes exchange.
 *
 * Decoding gives views into the input and arrays in an arena; nothing is copied.  Checks run in the order of the wire
 * specification §5.2, so that an envelope that breaks several rules gives the error that the reference gives.
 */
#ifndef BBW_ENVELOPE_H
#define BBW_ENVELOPE_H

#include "bbw/error.h"

#define BBW_ENVELOPE_SCHEMA_VERSION 1u

typedef struct bbw_envelope_caps {
  uint64_t max_total_bytes;
  uint64_t max_slot_fills;
  uint64_t max_per_fill_bytes;
  uint64_t max_dest_suffix_bytes;
  uint64_t max_src_peer_addresses;
  uint64_t max_src_peer_address_bytes;
} bbw_envelope_caps;

/* 16 MiB, 256, 4 MiB, 4096, 8, 256. */
extern const bbw_envelope_caps bbw_envelope_caps_default;
/* 256 KiB, 16, 64 KiB, 512, 4, 256. */
extern const bbw_envelope_caps bbw_envelope_caps_edge;

/* Lists that have no cap of their own: an element takes two bytes of an envelope and many times that when it is decoded. */
#define BBW_ENVELOPE_DEST_ADDRESSES_MAX 1024u
#define BBW_ENVELOPE_RTT_REPORTS_MAX    1024u

typedef struct bbw_slot_fill {
  bbw_bytes dest_suffix;
  bbw_bytes payload;
  bool trigger_only;
  uint64_t type_hash;
} bbw_slot_fill;

enum { BBW_CORRELATION_NONE = 0, BBW_CORRELATION_REQUEST = 1, BBW_CORRELATION_RESPONSE = 2 };

typedef struct bbw_edge_rtt_report {
  uint64_t next_hop_site_id;
  uint64_t chain_id;
  uint32_t hop_index;
  uint64_t srtt_ns;
  uint64_t rttvar_ns;
  uint64_t sample_count;
} bbw_edge_rtt_report;

typedef struct bbw_envelope {
  const bbw_bytes *dest_peer_addresses; /* binary addresses */
  size_t dest_peer_address_count;
  const bbw_slot_fill *fills;
  size_t fill_count;
  bool has_correlation;
  int32_t correlation_kind;       /* open enum: unknown numbers are kept */
  uint64_t wire_req_id;           /* 0 = none */
  uint64_t remaining_deadline_ns; /* 0 = none */
  const bbw_edge_rtt_report *edge_rtt_reports;
  size_t edge_rtt_report_count;
  bbw_bytes src_peer_bytes;
  uint32_t schema_version;
  const bbw_bytes *src_peer_addresses; /* binary addresses, not checked by decoding */
  size_t src_peer_address_count;
} bbw_envelope;

/* Bytes that bbw_envelope_encode will write, or SIZE_MAX when that does not fit a size_t. */
size_t bbw_envelope_size(const bbw_envelope *envelope);
/* Writes exactly bbw_envelope_size() bytes; the caller has made room. */
void bbw_envelope_encode(const bbw_envelope *envelope, uint8_t *out);

#endif
