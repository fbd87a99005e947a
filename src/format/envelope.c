#include "format/envelope.h"

#include <string.h>

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

static bool read_u64(bbw_pbwire_reader *reader, uint32_t wire, uint64_t *out) {
  return wire == BBW_WIRE_VARINT ? bbw_pbwire_varint(reader, out) : fail_wire_type(reader);
}

static bool read_u32(bbw_pbwire_reader *reader, uint32_t wire, uint32_t *out) {
  uint64_t number;
  if (!read_u64(reader, wire, &number)) { return false; }
  *out = (uint32_t)number;
  return true;
}

static bool read_view(bbw_pbwire_reader *reader, uint32_t wire, bbw_bytes *out) {
  return wire == BBW_WIRE_BYTES ? bbw_pbwire_view(reader, out) : fail_wire_type(reader);
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
static bool read_message(bbw_pbwire_reader *reader, uint32_t wire, field_reader *field, void *into) {
  bbw_bytes content;
  if (!read_view(reader, wire, &content)) { return false; }
  bbw_pbwire_reader inner = *reader;
  inner.end = reader->at;
  inner.at = reader->at - content.len;
  while (inner.at < inner.end) {
    uint32_t number, inner_wire;
    if (bbw_pbwire_key(&inner, &number, &inner_wire) && field(&inner, number, inner_wire, into)) { continue; }
    reader->at = inner.at;
    reader->reason = inner.reason;
    return false;
  }
  return true;
}

/*
 * The bytes are walked twice.  The first walk checks the whole message, counts, and notes which caps are broken; only when all is
 * well are arrays allocated, of exactly the right size, and the second walk fills them.
 */
typedef struct decode_walk {
  const bbw_envelope_caps *caps;
  bbw_envelope envelope; /* counts in the first walk, everything in the second */
  /* The first fill and the first source address over a cap. */
  const char *oversize_which;
  uint64_t oversize_cap, oversize_got;
  uint64_t oversize_src_got;
  bool is_src_oversize;
  /* Where the second walk writes; NULL in the first. */
  bbw_bytes *dest_peer_addresses;
  bbw_slot_fill *fills;
  bbw_edge_rtt_report *reports;
  bbw_bytes *src_peer_addresses;
} decode_walk;

static void note_fill(decode_walk *walk, const bbw_slot_fill *fill) {
  if (walk->oversize_which != NULL) { return; }
  if (fill->payload.len > walk->caps->max_per_fill_bytes) {
    walk->oversize_which = "payload";
    walk->oversize_cap = walk->caps->max_per_fill_bytes;
    walk->oversize_got = fill->payload.len;
  } else if (fill->dest_suffix.len > walk->caps->max_dest_suffix_bytes) {
    walk->oversize_which = "dest_suffix";
    walk->oversize_cap = walk->caps->max_dest_suffix_bytes;
    walk->oversize_got = fill->dest_suffix.len;
  }
}

static bool walk_fill(decode_walk *walk, bbw_pbwire_reader *reader, uint32_t wire) {
  bbw_slot_fill fill = {.type_hash = 0};
  if (!read_message(reader, wire, fill_field, &fill)) { return false; }
  note_fill(walk, &fill);
  if (walk->fills != NULL) { walk->fills[walk->envelope.fill_count] = fill; }
  walk->envelope.fill_count++;
  return true;
}

static bool walk_report(decode_walk *walk, bbw_pbwire_reader *reader, uint32_t wire) {
  bbw_edge_rtt_report report = {.chain_id = 0};
  if (!read_message(reader, wire, report_field, &report)) { return false; }
  if (walk->reports != NULL) { walk->reports[walk->envelope.edge_rtt_report_count] = report; }
  walk->envelope.edge_rtt_report_count++;
  return true;
}

static bool walk_dest(decode_walk *walk, bbw_pbwire_reader *reader, uint32_t wire) {
  bbw_bytes address;
  if (!read_view(reader, wire, &address)) { return false; }
  if (walk->dest_peer_addresses != NULL) {
    walk->dest_peer_addresses[walk->envelope.dest_peer_address_count] = address;
  }
  walk->envelope.dest_peer_address_count++;
  return true;
}

static bool walk_src(decode_walk *walk, bbw_pbwire_reader *reader, uint32_t wire) {
  bbw_bytes address;
  if (!read_view(reader, wire, &address)) { return false; }
  if (!walk->is_src_oversize && address.len > walk->caps->max_src_peer_address_bytes) {
    walk->is_src_oversize = true;
    walk->oversize_src_got = address.len;
  }
  if (walk->src_peer_addresses != NULL) { walk->src_peer_addresses[walk->envelope.src_peer_address_count] = address; }
  walk->envelope.src_peer_address_count++;
  return true;
}

static bool walk_field(decode_walk *walk, bbw_pbwire_reader *reader, uint32_t number, uint32_t wire) {
  bbw_envelope *envelope = &walk->envelope;
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
    if (!bbw_pbwire_key(reader, &number, &wire) || !walk_field(walk, reader, number, wire)) { return false; }
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
  const bbw_envelope *envelope = &walk->envelope;
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

static bool make_room(decode_walk *to, const bbw_envelope *counts, bbw_arena *arena) {
  to->dest_peer_addresses = bbw_arena_array(arena, counts->dest_peer_address_count, sizeof(bbw_bytes));
  to->fills = bbw_arena_array(arena, counts->fill_count, sizeof(bbw_slot_fill));
  to->reports = bbw_arena_array(arena, counts->edge_rtt_report_count, sizeof(bbw_edge_rtt_report));
  to->src_peer_addresses = bbw_arena_array(arena, counts->src_peer_address_count, sizeof(bbw_bytes));
  bool has_lists = to->dest_peer_addresses != NULL && to->src_peer_addresses != NULL;
  return has_lists && to->fills != NULL && to->reports != NULL;
}

bbw_status bbw_envelope_decode(bbw_envelope *out, bbw_bytes bytes, const bbw_envelope_caps *caps, bbw_arena *arena,
                               bbw_error *err) {
  if (bytes.len > caps->max_total_bytes) {
    return refuse(err, BBW_E_ENV_OVERSIZE, "cap_bytes", caps->max_total_bytes, "got_bytes", bytes.len);
  }
  decode_walk count = {.caps = caps};
  bbw_pbwire_reader reader = {.bytes = bytes.ptr, .end = bytes.len};
  if (!walk_all(&count, &reader)) {
    bbw_status rv = bbw_error_set_at(err, BBW_E_ENV_MALFORMED, reader.at);
    bbw_error_add_str(err, "reason", (bbw_str){reader.reason, strlen(reader.reason)});
    return rv;
  }
  bbw_status rv = check_caps(&count, err);
  if (rv == BBW_OK) { rv = check_lists(&count.envelope, err); }
  if (rv != BBW_OK) { return rv; }
  decode_walk fill = {.caps = caps};
  if (!make_room(&fill, &count.envelope, arena)) { return bbw_error_set(err, BBW_E_NOMEM); }
  reader = (bbw_pbwire_reader){.bytes = bytes.ptr, .end = bytes.len};
  (void)walk_all(&fill, &reader);
  fill.envelope.dest_peer_addresses = fill.dest_peer_addresses;
  fill.envelope.fills = fill.fills;
  fill.envelope.edge_rtt_reports = fill.reports;
  fill.envelope.src_peer_addresses = fill.src_peer_addresses;
  *out = fill.envelope;
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

static void put_varint(encode_sink *to, uint64_t value) {
  uint8_t bytes[10];
  put_bytes(to, bytes, bbw_pbwire_varint_write(value, bytes));
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
