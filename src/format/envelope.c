#include "format/envelope.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "format/pbwire.h"

const bbw_envelope_caps bbw_envelope_caps_default = {
    .max_total_bytes = 16u * 1024 * 1024,
    .max_slot_fills = 256,
    .max_per_fill_bytes = 4u * 1024 * 1024,
    .max_dest_suffix_bytes = 4096,
    .max_src_peer_addresses = 8,
    .max_src_peer_address_bytes = 256,
};

const bbw_envelope_caps bbw_envelope_caps_edge = {
    .max_total_bytes = 256u * 1024,
    .max_slot_fills = 16,
    .max_per_fill_bytes = 64u * 1024,
    .max_dest_suffix_bytes = 512,
    .max_src_peer_addresses = 4,
    .max_src_peer_address_bytes = 256,
};

/* Field numbers.  An enum per message; the comment is the message of wire specification §4. */
enum { /* WireEnvelope */
       ENV_DEST_PEER_ADDRESSES = 1,
       ENV_FILLS = 2,
       ENV_CORRELATION = 3,
       ENV_REMAINING_DEADLINE_NS = 4,
       ENV_EDGE_RTT_REPORTS = 5,
       ENV_SRC_PEER_BYTES = 6,
       ENV_SCHEMA_VERSION = 7,
       ENV_SRC_PEER_ADDRESSES = 8,
};
enum { FILL_DEST_SUFFIX = 1, FILL_PAYLOAD = 2, FILL_TRIGGER_ONLY = 3, FILL_TYPE_HASH = 4 };
enum { CORRELATION_KIND = 1, CORRELATION_WIRE_REQ_ID = 2 };
enum { RTT_NEXT_HOP = 1, RTT_CHAIN = 2, RTT_HOP_INDEX = 3, RTT_SRTT = 4, RTT_RTTVAR = 5, RTT_SAMPLES = 6 };

/* Messages inside the envelope lie one deep. */
#define INNER_DEPTH 1u

/* ---- decoding ----------------------------------------------------------------------------------------------------- */

static bool fail_wire_type(bbw_pbwire_reader *reader) {
  reader->reason = BBW_PBWIRE_WIRE_TYPE;
  return false;
}

/* Most numbers of an envelope are one byte; those do not leave this file. */
static inline bool is_one_byte(const bbw_pbwire_reader *reader) {
  return reader->at < reader->end && reader->bytes[reader->at] < 0x80;
}

static inline bool read_varint(bbw_pbwire_reader *reader, uint64_t *out) {
  if (!is_one_byte(reader)) { return bbw_pbwire_varint(reader, out); }
  *out = reader->bytes[reader->at++];
  return true;
}

static inline bool read_key(bbw_pbwire_reader *reader, uint32_t *number, uint32_t *wire) {
  uint32_t key = is_one_byte(reader) ? reader->bytes[reader->at] : 0;
  *number = key >> 3;
  *wire = key & 7;
  if (*number == 0 || *wire > BBW_WIRE_BYTES) { return bbw_pbwire_key(reader, number, wire); }
  reader->at++;
  return true;
}

static inline bool read_u64(bbw_pbwire_reader *reader, uint32_t wire, uint64_t *out) {
  return wire == BBW_WIRE_VARINT ? read_varint(reader, out) : fail_wire_type(reader);
}

static inline bool read_u32(bbw_pbwire_reader *reader, uint32_t wire, uint32_t *out) {
  uint64_t number;
  if (!read_u64(reader, wire, &number)) { return false; }
  *out = (uint32_t)number;
  return true;
}

static inline bool read_view(bbw_pbwire_reader *reader, uint32_t wire, bbw_bytes *out) {
  if (wire != BBW_WIRE_BYTES) { return fail_wire_type(reader); }
  if (!is_one_byte(reader)) { return bbw_pbwire_view(reader, out); }
  size_t len = reader->bytes[reader->at];
  if (len > reader->end - reader->at - 1) { return bbw_pbwire_view(reader, out); } /* says what is wrong */
  *out = (bbw_bytes){len == 0 ? NULL : reader->bytes + reader->at + 1, len};
  reader->at += 1 + len;
  return true;
}

static bool fill_field(bbw_pbwire_reader *reader, uint32_t number, uint32_t wire, void *into) {
  bbw_slot_fill *fill = into;
  uint64_t flag = 0;
  switch (number) {
  case FILL_DEST_SUFFIX: return read_view(reader, wire, &fill->dest_suffix);
  case FILL_PAYLOAD: return read_view(reader, wire, &fill->payload);
  case FILL_TRIGGER_ONLY:
    if (!read_u64(reader, wire, &flag)) { return false; }
    fill->trigger_only = flag != 0;
    return true;
  case FILL_TYPE_HASH: return read_u64(reader, wire, &fill->type_hash);
  default: return bbw_pbwire_skip(reader, number, wire, INNER_DEPTH);
  }
}

static bool correlation_field(bbw_pbwire_reader *reader, uint32_t number, uint32_t wire, void *into) {
  bbw_envelope *envelope = into;
  uint32_t kind;
  switch (number) {
  case CORRELATION_KIND:
    if (!read_u32(reader, wire, &kind)) { return false; }
    memcpy(&envelope->correlation_kind, &kind, sizeof(kind));
    return true;
  case CORRELATION_WIRE_REQ_ID: return read_u64(reader, wire, &envelope->wire_req_id);
  default: return bbw_pbwire_skip(reader, number, wire, INNER_DEPTH);
  }
}

static bool report_field(bbw_pbwire_reader *reader, uint32_t number, uint32_t wire, void *into) {
  bbw_edge_rtt_report *report = into;
  switch (number) {
  case RTT_NEXT_HOP: return read_u64(reader, wire, &report->next_hop_site_id);
  case RTT_CHAIN: return read_u64(reader, wire, &report->chain_id);
  case RTT_HOP_INDEX: return read_u32(reader, wire, &report->hop_index);
  case RTT_SRTT: return read_u64(reader, wire, &report->srtt_ns);
  case RTT_RTTVAR: return read_u64(reader, wire, &report->rttvar_ns);
  case RTT_SAMPLES: return read_u64(reader, wire, &report->sample_count);
  default: return bbw_pbwire_skip(reader, number, wire, INNER_DEPTH);
  }
}

typedef bool field_reader(bbw_pbwire_reader *reader, uint32_t number, uint32_t wire, void *into);

/* A length-delimited message; its fields go through `field`. */
static inline bool read_message(bbw_pbwire_reader *reader, uint32_t wire, field_reader *field, void *into) {
  bbw_bytes content;
  if (!read_view(reader, wire, &content)) { return false; }
  bbw_pbwire_reader inner = *reader;
  inner.end = reader->at;
  inner.at = reader->at - content.len;
  while (inner.at < inner.end) {
    uint32_t number, inner_wire;
    if (read_key(&inner, &number, &inner_wire) && field(&inner, number, inner_wire, into)) { continue; }
    reader->at = inner.at;
    reader->reason = inner.reason;
    return false;
  }
  return true;
}

/*
 * A walk checks the whole message, counts, notes which caps are broken, and keeps the entries that there is room for.  The first walk has the few places of the scan; an envelope
 * that has more is walked again once its lists are known to be allowed.
 */
typedef struct decode_walk {
  const bbw_envelope_caps *caps;
  bbw_envelope *envelope; /* counts and single fields */
  /* The first fill and the first source address over a cap. */
  const char *oversize_which;
  uint64_t oversize_cap, oversize_got;
  uint64_t oversize_src_got;
  bool is_src_oversize;
  /* Where entries go, and how many may. */
  bbw_bytes *dest_peer_addresses;
  bbw_slot_fill *fills;
  bbw_edge_rtt_report *reports;
  bbw_bytes *src_peer_addresses;
  size_t dest_max, fill_max, report_max, src_max;
} decode_walk;

static inline void note_fill(decode_walk *walk, const bbw_slot_fill *fill) {
  if (fill->payload.len <= walk->caps->max_per_fill_bytes &&
      fill->dest_suffix.len <= walk->caps->max_dest_suffix_bytes) {
    return;
  }
  if (walk->oversize_which != NULL) { return; }
  bool is_payload = fill->payload.len > walk->caps->max_per_fill_bytes;
  walk->oversize_which = is_payload ? "payload" : "dest_suffix";
  walk->oversize_cap = is_payload ? walk->caps->max_per_fill_bytes : walk->caps->max_dest_suffix_bytes;
  walk->oversize_got = is_payload ? fill->payload.len : fill->dest_suffix.len;
}

static inline bool walk_fill(decode_walk *walk, bbw_pbwire_reader *reader, uint32_t wire) {
  bbw_slot_fill fill = {.type_hash = 0};
  if (!read_message(reader, wire, fill_field, &fill)) { return false; }
  note_fill(walk, &fill);
  size_t i = walk->envelope->fill_count++;
  if (i < walk->fill_max) { walk->fills[i] = fill; }
  return true;
}

static bool walk_report(decode_walk *walk, bbw_pbwire_reader *reader, uint32_t wire) {
  bbw_edge_rtt_report report = {.chain_id = 0};
  if (!read_message(reader, wire, report_field, &report)) { return false; }
  size_t i = walk->envelope->edge_rtt_report_count++;
  if (i < walk->report_max) { walk->reports[i] = report; }
  return true;
}

static inline bool walk_dest(decode_walk *walk, bbw_pbwire_reader *reader, uint32_t wire) {
  bbw_bytes address;
  if (!read_view(reader, wire, &address)) { return false; }
  size_t i = walk->envelope->dest_peer_address_count++;
  if (i < walk->dest_max) { walk->dest_peer_addresses[i] = address; }
  return true;
}

static inline bool walk_src(decode_walk *walk, bbw_pbwire_reader *reader, uint32_t wire) {
  bbw_bytes address;
  if (!read_view(reader, wire, &address)) { return false; }
  if (!walk->is_src_oversize && address.len > walk->caps->max_src_peer_address_bytes) {
    walk->is_src_oversize = true;
    walk->oversize_src_got = address.len;
  }
  size_t i = walk->envelope->src_peer_address_count++;
  if (i < walk->src_max) { walk->src_peer_addresses[i] = address; }
  return true;
}

static inline bool walk_field(decode_walk *walk, bbw_pbwire_reader *reader, uint32_t number, uint32_t wire) {
  bbw_envelope *envelope = walk->envelope;
  switch (number) {
  case ENV_DEST_PEER_ADDRESSES: return walk_dest(walk, reader, wire);
  case ENV_FILLS: return walk_fill(walk, reader, wire);
  case ENV_CORRELATION:
    envelope->has_correlation = true;
    return read_message(reader, wire, correlation_field, envelope);
  case ENV_REMAINING_DEADLINE_NS: return read_u64(reader, wire, &envelope->remaining_deadline_ns);
  case ENV_EDGE_RTT_REPORTS: return walk_report(walk, reader, wire);
  case ENV_SRC_PEER_BYTES: return read_view(reader, wire, &envelope->src_peer_bytes);
  case ENV_SCHEMA_VERSION: return read_u32(reader, wire, &envelope->schema_version);
  case ENV_SRC_PEER_ADDRESSES: return walk_src(walk, reader, wire);
  default: return bbw_pbwire_skip(reader, number, wire, 0);
  }
}

static bool walk_all(decode_walk *walk, bbw_pbwire_reader *reader) {
  while (reader->at < reader->end) {
    uint32_t number, wire;
    if (!read_key(reader, &number, &wire) || !walk_field(walk, reader, number, wire)) { return false; }
  }
  return true;
}

static bbw_status refuse(bbw_error *err, bbw_status status, const char *cap_name, uint64_t cap, const char *got_name,
                         uint64_t got) {
  (void)bbw_error_set(err, status);
  bbw_error_add_u64(err, cap_name, cap);
  bbw_error_add_u64(err, got_name, got);
  return status;
}

/* Wire specification §5.2, steps 3 to 7. */
static bbw_status check_caps(const decode_walk *walk, bbw_error *err) {
  const bbw_envelope *envelope = walk->envelope;
  const bbw_envelope_caps *caps = walk->caps;
  if (envelope->schema_version > BBW_ENVELOPE_SCHEMA_VERSION) {
    return refuse(err, BBW_E_ENV_VERSION, "supported", BBW_ENVELOPE_SCHEMA_VERSION, "got", envelope->schema_version);
  }
  if (envelope->fill_count > caps->max_slot_fills) {
    return refuse(err, BBW_E_ENV_TOO_MANY_FILLS, "cap", caps->max_slot_fills, "got", envelope->fill_count);
  }
  if (walk->oversize_which != NULL) {
    (void)refuse(err, BBW_E_ENV_OVERSIZE_FILL, "cap_bytes", walk->oversize_cap, "got_bytes", walk->oversize_got);
    bbw_error_add_str(err, "which", (bbw_str){walk->oversize_which, strlen(walk->oversize_which)});
    return BBW_E_ENV_OVERSIZE_FILL;
  }
  if (envelope->src_peer_address_count > caps->max_src_peer_addresses) {
    return refuse(err, BBW_E_ENV_TOO_MANY_SRC_ADDRESSES, "cap", caps->max_src_peer_addresses, "got",
                  envelope->src_peer_address_count);
  }
  if (walk->is_src_oversize) {
    return refuse(err, BBW_E_ENV_OVERSIZE_SRC_ADDRESS, "cap_bytes", caps->max_src_peer_address_bytes, "got_bytes",
                  walk->oversize_src_got);
  }
  return BBW_OK;
}

/* After the caps of the reference, so that those keep their errors. */
static bbw_status check_lists(const bbw_envelope *envelope, bbw_error *err) {
  const struct {
    const char *which;
    size_t got, cap;
  } lists[] = {
      {"dest_peer_addresses", envelope->dest_peer_address_count, BBW_ENVELOPE_DEST_ADDRESSES_MAX},
      {"edge_rtt_reports", envelope->edge_rtt_report_count, BBW_ENVELOPE_RTT_REPORTS_MAX},
  };
  for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
    if (lists[i].got <= lists[i].cap) { continue; }
    (void)refuse(err, BBW_E_LIMIT, "cap", lists[i].cap, "got", lists[i].got);
    bbw_error_add_str(err, "which", (bbw_str){lists[i].which, strlen(lists[i].which)});
    return BBW_E_LIMIT;
  }
  return BBW_OK;
}

/*
 * The same for envelopes as encoders write them: known fields with keys of one byte, few entries, all within their caps.  False for everything else, right or wrong; the ordinary walk then
 * says what it is.  It exists because a position in memory, shared with functions that are called, costs more than the bytes themselves.
 */

/* A number of at most ten bytes at p; NULL when it is longer, or near the end. */
static inline __attribute__((always_inline)) const uint8_t *quick_varint(const uint8_t *p, const uint8_t *end,
                                                                         uint64_t *out) {
  if (p < end && *p < 0x80) {
    *out = *p;
    return p + 1;
  }
  if (end - p < 10) { return NULL; }
  uint64_t word = bbw_load_u64le(p);
  uint64_t stops = ~word & UINT64_C(0x8080808080808080);
  uint64_t low = stops == 0 ? UINT64_MAX : stops ^ (stops - 1); /* up to the first byte that ends it */
  uint64_t x = word & low & UINT64_C(0x7f7f7f7f7f7f7f7f);
  x = (x & UINT64_C(0x007f007f007f007f)) | (x & UINT64_C(0x7f007f007f007f00)) >> 1;
  x = (x & UINT64_C(0x00003fff00003fff)) | (x & UINT64_C(0x3fff00003fff0000)) >> 2;
  x = (x & UINT64_C(0x000000000fffffff)) | (x & UINT64_C(0x0fffffff00000000)) >> 4;
  if (stops != 0) {
    *out = x;
    return p + ((unsigned)__builtin_ctzll(stops) >> 3) + 1;
  }
  *out = x | (uint64_t)(p[8] & 0x7f) << 56;
  if (p[8] < 0x80) { return p + 9; }
  *out |= (uint64_t)p[9] << 63;
  return p[9] > 1 ? NULL : p + 10;
}

static inline const uint8_t *quick_view(const uint8_t *p, const uint8_t *end, bbw_bytes *out) {
  uint64_t len;
  p = quick_varint(p, end, &len);
  if (p == NULL || len > (uint64_t)(end - p)) { return NULL; }
  *out = (bbw_bytes){len == 0 ? NULL : p, (size_t)len};
  return p + len;
}

#define KEY(number, wire) ((number) << 3 | (wire))

/* Numbers may be read up to the end of the envelope, `all`; one that is longer than its message shows by p behind `end`. */
static inline const uint8_t *quick_fill(const uint8_t *p, const uint8_t *all, bbw_slot_fill *fill) {
  uint64_t len, flag = 0;
  p = quick_varint(p, all, &len);
  if (p == NULL || len > (uint64_t)(all - p)) { return NULL; }
  const uint8_t *end = p + len;
  *fill = (bbw_slot_fill){.type_hash = 0};
  while (p != NULL && p < end) {
    switch (*p++) {
    case KEY(FILL_DEST_SUFFIX, BBW_WIRE_BYTES): p = quick_view(p, end, &fill->dest_suffix); break;
    case KEY(FILL_PAYLOAD, BBW_WIRE_BYTES): p = quick_view(p, end, &fill->payload); break;
    case KEY(FILL_TRIGGER_ONLY, BBW_WIRE_VARINT): p = quick_varint(p, all, &flag); break;
    case KEY(FILL_TYPE_HASH, BBW_WIRE_VARINT): p = quick_varint(p, all, &fill->type_hash); break;
    default: return NULL;
    }
  }
  fill->trigger_only = flag != 0;
  return p == end ? p : NULL;
}

static inline const uint8_t *quick_correlation(const uint8_t *p, const uint8_t *all, bbw_envelope *envelope) {
  uint64_t len;
  p = quick_varint(p, all, &len);
  if (p == NULL || len > (uint64_t)(all - p)) { return NULL; }
  const uint8_t *end = p + len;
  envelope->has_correlation = true;
  while (p != NULL && p < end) {
    uint64_t kind;
    switch (*p++) {
    case KEY(CORRELATION_KIND, BBW_WIRE_VARINT):
      p = quick_varint(p, all, &kind);
      if (p == NULL || kind > INT32_MAX) { return NULL; }
      envelope->correlation_kind = (int32_t)kind;
      break;
    case KEY(CORRELATION_WIRE_REQ_ID, BBW_WIRE_VARINT): p = quick_varint(p, all, &envelope->wire_req_id); break;
    default: return NULL;
    }
  }
  return p == end ? p : NULL;
}

static bool quick_scan(bbw_envelope_scan *scan, const bbw_envelope_caps *caps) {
  size_t fills = 0, dests = 0, sources = 0;
  bbw_envelope *envelope = &scan->envelope;
  *envelope = (bbw_envelope){.fill_count = 0};
  if (scan->bytes.len == 0) { return false; }
  const uint8_t *p = scan->bytes.ptr, *end = p + scan->bytes.len;
  while (p != NULL && p < end) {
    uint64_t number;
    switch (*p++) {
    case KEY(ENV_DEST_PEER_ADDRESSES, BBW_WIRE_BYTES):
      if (dests == BBW_ENVELOPE_SCAN_ENTRIES) { return false; }
      p = quick_view(p, end, &scan->dest_peer_addresses[dests++]);
      break;
    case KEY(ENV_FILLS, BBW_WIRE_BYTES): {
      if (fills == BBW_ENVELOPE_SCAN_ENTRIES) { return false; }
      bbw_slot_fill *fill = &scan->fills[fills++];
      p = quick_fill(p, end, fill);
      if (p == NULL || fill->payload.len > caps->max_per_fill_bytes ||
          fill->dest_suffix.len > caps->max_dest_suffix_bytes) {
        return false;
      }
      break;
    }
    case KEY(ENV_CORRELATION, BBW_WIRE_BYTES): p = quick_correlation(p, end, envelope); break;
    case KEY(ENV_REMAINING_DEADLINE_NS, BBW_WIRE_VARINT):
      p = quick_varint(p, end, &envelope->remaining_deadline_ns);
      break;
    case KEY(ENV_SCHEMA_VERSION, BBW_WIRE_VARINT):
      p = quick_varint(p, end, &number);
      if (p == NULL || number > BBW_ENVELOPE_SCHEMA_VERSION) { return false; }
      envelope->schema_version = (uint32_t)number;
      break;
    case KEY(ENV_SRC_PEER_ADDRESSES, BBW_WIRE_BYTES): {
      if (sources == BBW_ENVELOPE_SCAN_ENTRIES) { return false; }
      bbw_bytes *address = &scan->src_peer_addresses[sources++];
      p = quick_view(p, end, address);
      if (p == NULL || address->len > caps->max_src_peer_address_bytes) { return false; }
      break;
    }
    default: return false;
    }
  }
  envelope->dest_peer_address_count = dests;
  envelope->fill_count = fills;
  envelope->src_peer_address_count = sources;
  return p != NULL && fills <= caps->max_slot_fills && sources <= caps->max_src_peer_addresses;
}

bbw_status bbw_envelope_scan_bytes(bbw_envelope_scan *scan, bbw_bytes bytes, const bbw_envelope_caps *caps,
                                   bbw_error *err) {
  if (bytes.len > caps->max_total_bytes) {
    return refuse(err, BBW_E_ENV_OVERSIZE, "cap_bytes", caps->max_total_bytes, "got_bytes", bytes.len);
  }
  scan->bytes = bytes;
  if (quick_scan(scan, caps)) { return BBW_OK; }
  return bbw_envelope_scan_slowly(scan, bytes, caps, err);
}

bbw_status bbw_envelope_scan_slowly(bbw_envelope_scan *scan, bbw_bytes bytes, const bbw_envelope_caps *caps,
                                    bbw_error *err) {
  scan->bytes = bytes;
  scan->envelope = (bbw_envelope){.fill_count = 0};
  decode_walk walk = {.caps = caps,
                      .envelope = &scan->envelope,
                      .dest_peer_addresses = scan->dest_peer_addresses,
                      .fills = scan->fills,
                      .src_peer_addresses = scan->src_peer_addresses,
                      .dest_max = BBW_ENVELOPE_SCAN_ENTRIES,
                      .fill_max = BBW_ENVELOPE_SCAN_ENTRIES,
                      .src_max = BBW_ENVELOPE_SCAN_ENTRIES};
  bbw_pbwire_reader reader = {.bytes = bytes.ptr, .end = bytes.len};
  if (!walk_all(&walk, &reader)) {
    bbw_status rv = bbw_error_set_at(err, BBW_E_ENV_MALFORMED, reader.at);
    bbw_error_add_str(err, "reason", (bbw_str){reader.reason, strlen(reader.reason)});
    return rv;
  }
  bbw_status rv = check_caps(&walk, err);
  return rv == BBW_OK ? check_lists(&scan->envelope, err) : rv;
}

bool bbw_envelope_lists_bytes(const bbw_envelope_scan *scan, size_t *out) {
  const bbw_envelope *counts = &scan->envelope;
  size_t fills,
      total; /* the other lists are short: bounded by constants, and by the caps that the host sets for source addresses */
  size_t addresses;
  *out = 0;
  return bbw_size_mul(counts->fill_count, sizeof(bbw_slot_fill), &fills) &&
         bbw_size_add(counts->dest_peer_address_count, counts->src_peer_address_count, &addresses) &&
         bbw_size_mul(addresses, sizeof(bbw_bytes), &addresses) && bbw_size_add(fills, addresses, &total) &&
         bbw_size_add(total, counts->edge_rtt_report_count * sizeof(bbw_edge_rtt_report), out);
}

/* A view into the scanned bytes, in the copy of them. */
static inline bbw_bytes moved_view(const bbw_envelope_scan *scan, bbw_bytes view, const uint8_t *bytes) {
  return (bbw_bytes){view.len == 0 ? NULL : bytes + (view.ptr - scan->bytes.ptr), view.len};
}

void bbw_envelope_place(const bbw_envelope_scan *scan, const uint8_t *bytes, void *lists, bbw_envelope *out) {
  const bbw_envelope *counts = &scan->envelope;
  bbw_slot_fill *fills = lists;
  bbw_edge_rtt_report *reports = (bbw_edge_rtt_report *)(void *)(fills + counts->fill_count);
  bbw_bytes *dest = (bbw_bytes *)(void *)(reports + counts->edge_rtt_report_count);
  bbw_bytes *src = dest + counts->dest_peer_address_count;
  *out = *counts;
  out->src_peer_bytes = moved_view(scan, counts->src_peer_bytes, bytes);
  out->fills = fills;
  out->edge_rtt_reports = reports;
  out->dest_peer_addresses = dest;
  out->src_peer_addresses = src;
  bool is_kept = counts->fill_count <= BBW_ENVELOPE_SCAN_ENTRIES && counts->edge_rtt_report_count == 0 &&
                 counts->dest_peer_address_count <= BBW_ENVELOPE_SCAN_ENTRIES &&
                 counts->src_peer_address_count <= BBW_ENVELOPE_SCAN_ENTRIES;
  if (!is_kept) {
    bbw_envelope again = {.fill_count = 0};
    decode_walk walk = {.caps = &bbw_envelope_caps_default, /* they were checked; what is noted here is not read */
                        .envelope = &again,
                        .dest_peer_addresses = dest,
                        .fills = fills,
                        .reports = reports,
                        .src_peer_addresses = src,
                        .dest_max = counts->dest_peer_address_count,
                        .fill_max = counts->fill_count,
                        .report_max = counts->edge_rtt_report_count,
                        .src_max = counts->src_peer_address_count};
    bbw_pbwire_reader reader = {.bytes = bytes, .end = scan->bytes.len};
    (void)walk_all(&walk, &reader);
    return;
  }
  for (size_t i = 0; i < counts->fill_count; i++) {
    fills[i] = scan->fills[i];
    fills[i].dest_suffix = moved_view(scan, fills[i].dest_suffix, bytes);
    fills[i].payload = moved_view(scan, fills[i].payload, bytes);
  }
  for (size_t i = 0; i < counts->dest_peer_address_count; i++) {
    dest[i] = moved_view(scan, scan->dest_peer_addresses[i], bytes);
  }
  for (size_t i = 0; i < counts->src_peer_address_count; i++) {
    src[i] = moved_view(scan, scan->src_peer_addresses[i], bytes);
  }
}

bbw_status bbw_envelope_decode(bbw_envelope *out, bbw_bytes bytes, const bbw_envelope_caps *caps, bbw_arena *arena,
                               bbw_error *err) {
  bbw_envelope_scan scan;
  bbw_status rv = bbw_envelope_scan_bytes(&scan, bytes, caps, err);
  if (rv != BBW_OK) { return rv; }
  size_t lists_bytes;
  void *lists = bbw_envelope_lists_bytes(&scan, &lists_bytes) ? bbw_arena_array(arena, lists_bytes, 1) : NULL;
  if (lists == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_envelope_place(&scan, bytes.ptr, lists, out);
  return BBW_OK;
}

/* ---- encoding ----------------------------------------------------------------------------------------------------- */

/* Writes when `at` is set, and counts always; so the size and the bytes come from the same lines. */
typedef struct encode_sink {
  uint8_t *at;
  size_t size; /* SIZE_MAX once it does not fit */
} encode_sink;

static void put_bytes(encode_sink *to, const uint8_t *bytes, size_t len) {
  to->size = len > SIZE_MAX - to->size ? SIZE_MAX : to->size + len;
  if (to->at != NULL && len != 0) {
    memcpy(to->at, bytes, len);
    to->at += len;
  }
}

static inline void put_varint(encode_sink *to, uint64_t value) {
  size_t len = to->at == NULL ? bbw_pbwire_varint_size(value) : bbw_pbwire_varint_write(value, to->at);
  to->size = len > SIZE_MAX - to->size ? SIZE_MAX : to->size + len;
  if (to->at != NULL) { to->at += len; }
}

static void put_u64(encode_sink *to, uint32_t number, uint64_t value) {
  if (value == 0) { return; }
  put_varint(to, number << 3 | BBW_WIRE_VARINT);
  put_varint(to, value);
}

static void put_head(encode_sink *to, uint32_t number, size_t len) {
  put_varint(to, number << 3 | BBW_WIRE_BYTES);
  put_varint(to, len);
}

static void put_view(encode_sink *to, uint32_t number, bbw_bytes view) {
  put_head(to, number, view.len);
  put_bytes(to, view.ptr, view.len);
}

static void put_view_unless_empty(encode_sink *to, uint32_t number, bbw_bytes view) {
  if (view.len != 0) { put_view(to, number, view); }
}

static void put_fill(encode_sink *to, const void *from) {
  const bbw_slot_fill *fill = from;
  put_view_unless_empty(to, FILL_DEST_SUFFIX, fill->dest_suffix);
  put_view_unless_empty(to, FILL_PAYLOAD, fill->payload);
  put_u64(to, FILL_TRIGGER_ONLY, fill->trigger_only ? 1 : 0);
  put_u64(to, FILL_TYPE_HASH, fill->type_hash);
}

static void put_correlation(encode_sink *to, const void *from) {
  const bbw_envelope *envelope = from;
  /* An enum is sign-extended: a negative kind takes ten bytes. */
  put_u64(to, CORRELATION_KIND, (uint64_t)(int64_t)envelope->correlation_kind);
  put_u64(to, CORRELATION_WIRE_REQ_ID, envelope->wire_req_id);
}

static void put_report(encode_sink *to, const void *from) {
  const bbw_edge_rtt_report *report = from;
  put_u64(to, RTT_NEXT_HOP, report->next_hop_site_id);
  put_u64(to, RTT_CHAIN, report->chain_id);
  put_u64(to, RTT_HOP_INDEX, report->hop_index);
  put_u64(to, RTT_SRTT, report->srtt_ns);
  put_u64(to, RTT_RTTVAR, report->rttvar_ns);
  put_u64(to, RTT_SAMPLES, report->sample_count);
}

typedef void content_writer(encode_sink *to, const void *from);

static void put_message(encode_sink *to, uint32_t number, content_writer *content, const void *from) {
  encode_sink count = {.at = NULL};
  content(&count, from);
  put_head(to, number, count.size);
  content(to, from);
}

static void put_envelope(encode_sink *to, const bbw_envelope *envelope) {
  for (size_t i = 0; i < envelope->dest_peer_address_count; i++) {
    put_view(to, ENV_DEST_PEER_ADDRESSES, envelope->dest_peer_addresses[i]);
  }
  for (size_t i = 0; i < envelope->fill_count; i++) { put_message(to, ENV_FILLS, put_fill, &envelope->fills[i]); }
  if (envelope->has_correlation) { put_message(to, ENV_CORRELATION, put_correlation, envelope); }
  put_u64(to, ENV_REMAINING_DEADLINE_NS, envelope->remaining_deadline_ns);
  for (size_t i = 0; i < envelope->edge_rtt_report_count; i++) {
    put_message(to, ENV_EDGE_RTT_REPORTS, put_report, &envelope->edge_rtt_reports[i]);
  }
  put_view_unless_empty(to, ENV_SRC_PEER_BYTES, envelope->src_peer_bytes);
  put_u64(to, ENV_SCHEMA_VERSION, envelope->schema_version);
  for (size_t i = 0; i < envelope->src_peer_address_count; i++) {
    put_view(to, ENV_SRC_PEER_ADDRESSES, envelope->src_peer_addresses[i]);
  }
}

size_t bbw_envelope_size(const bbw_envelope *envelope) {
  encode_sink count = {.at = NULL};
  put_envelope(&count, envelope);
  return count.size;
}

void bbw_envelope_encode(const bbw_envelope *envelope, uint8_t *out) {
  encode_sink to = {.at = out};
  put_envelope(&to, envelope);
}
