/* Golden envelopes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "format/envelope.h"
#include "vectors.h"

static void read_caps(const json *from, bbw_envelope_caps *caps) {
  *caps = json_is(from, "edge") ? bbw_envelope_caps_edge : bbw_envelope_caps_default;
  if (from->kind != JSON_OBJECT) { return; }
  caps->max_total_bytes = json_u64(json_get(from, "max_total_bytes"));
  caps->max_slot_fills = json_u64(json_get(from, "max_slot_fills"));
  caps->max_per_fill_bytes = json_u64(json_get(from, "max_per_fill_bytes"));
  caps->max_dest_suffix_bytes = json_u64(json_get(from, "max_dest_suffix_bytes"));
  caps->max_src_peer_addresses = json_u64(json_get(from, "max_src_peer_addresses"));
  caps->max_src_peer_address_bytes = json_u64(json_get(from, "max_src_peer_address_bytes"));
}

/* Large contents are given as length and FNV-1a. */
static bool bytes_match(vectors_case *c, bbw_bytes got, const json *want) {
  if (want->kind == JSON_OBJECT) {
    VECTOR(got.len == json_u64(json_get(want, "len")));
    VECTOR(bbw_fnv1a(BBW_FNV1A_OFFSET, got) == json_u64(json_get(want, "fnv1a64")));
    return true;
  }
  VECTOR(bbw_bytes_equal(got, json_hex(want, &c->arena)));
  return true;
}

static bool list_matches(vectors_case *c, const bbw_bytes *got, size_t count, const json *want) {
  VECTOR(count == json_count(want));
  for (size_t i = 0; i < count; i++) { VECTOR(bytes_match(c, got[i], json_at(want, i))); }
  return true;
}

static bool fields_match(vectors_case *c, const bbw_envelope *got, const json *want) {
  VECTOR(
      list_matches(c, got->dest_peer_addresses, got->dest_peer_address_count, json_get(want, "dest_peer_addresses")));
  VECTOR(list_matches(c, got->src_peer_addresses, got->src_peer_address_count, json_get(want, "src_peer_addresses")));
  const json *fills = json_get(want, "fills");
  VECTOR(got->fill_count == json_count(fills));
  for (size_t i = 0; i < got->fill_count; i++) {
    const json *fill = json_at(fills, i);
    VECTOR(bytes_match(c, got->fills[i].dest_suffix, json_get(fill, "dest_suffix")));
    VECTOR(bytes_match(c, got->fills[i].payload, json_get(fill, "payload")));
    VECTOR(got->fills[i].trigger_only == json_is_true(json_get(fill, "trigger_only")));
    VECTOR(got->fills[i].type_hash == json_u64(json_get(fill, "type_hash")));
  }
  const json *correlation = json_get(want, "correlation");
  VECTOR(got->has_correlation == !json_is_null(correlation));
  if (got->has_correlation) {
    VECTOR(got->correlation_kind == json_i64(json_get(correlation, "kind")));
    VECTOR(got->wire_req_id == json_u64(json_get(correlation, "wire_req_id")));
  }
  VECTOR(got->remaining_deadline_ns == json_u64(json_get(want, "remaining_deadline_ns")));
  const json *reports = json_get(want, "edge_rtt_reports");
  VECTOR(got->edge_rtt_report_count == json_count(reports));
  for (size_t i = 0; i < got->edge_rtt_report_count; i++) {
    const json *report = json_at(reports, i);
    VECTOR(got->edge_rtt_reports[i].next_hop_site_id == json_u64(json_get(report, "next_hop_site_id")));
    VECTOR(got->edge_rtt_reports[i].chain_id == json_u64(json_get(report, "chain_id")));
    VECTOR(got->edge_rtt_reports[i].hop_index == json_u64(json_get(report, "hop_index")));
    VECTOR(got->edge_rtt_reports[i].srtt_ns == json_u64(json_get(report, "srtt_ns")));
    VECTOR(got->edge_rtt_reports[i].rttvar_ns == json_u64(json_get(report, "rttvar_ns")));
    VECTOR(got->edge_rtt_reports[i].sample_count == json_u64(json_get(report, "sample_count")));
  }
  VECTOR(bytes_match(c, got->src_peer_bytes, json_get(want, "src_peer_bytes")));
  VECTOR(got->schema_version == json_u64(json_get(want, "schema_version")));
  return true;
}

static bool check_accepted(vectors_case *c, bbw_bytes input, const bbw_envelope *envelope) {
  VECTOR(fields_match(c, envelope, vector_get(c, "decoded")));
  size_t size = bbw_envelope_size(envelope);
  bbw_bytes again = vector_exact(c, (bbw_bytes){bbw_arena_array(&c->arena, size, 1), size});
  bbw_envelope_encode(envelope, (uint8_t *)(uintptr_t)again.ptr);
  bool is_equal = json_is_true(vector_get(c, "reencoded_equal"));
  bbw_bytes want = is_equal ? input : json_hex(vector_get(c, "reencoded"), &c->arena);
  VECTOR(bbw_bytes_equal(again, want));
  return true;
}

/* Inputs too large to store are described. */
static bbw_bytes synthetic(vectors_case *c) {
  const json *whole = vector_get(c, "input"), *payload = vector_get(c, "fill_payload");
  const json *spec = whole != NULL ? whole : payload;
  size_t len = (size_t)json_u64(json_get(spec, "count"));
  uint8_t *bytes = bbw_arena_array(&c->arena, len, 1);
  memset(bytes, (int)json_u64(json_get(spec, "byte")), len);
  if (whole != NULL) { return (bbw_bytes){bytes, len}; }
  bbw_slot_fill fill = {.payload = {bytes, len}};
  bbw_envelope envelope = {.fills = &fill, .fill_count = 1};
  size_t size = bbw_envelope_size(&envelope);
  uint8_t *wire = bbw_arena_array(&c->arena, size, 1);
  bbw_envelope_encode(&envelope, wire);
  return (bbw_bytes){wire, size};
}

static bool check_envelope(vectors_case *c) {
  bool is_synthetic = vector_is(c, "invalid_synthetic");
  bbw_bytes input = is_synthetic ? synthetic(c) : vector_file(c, vector_get(c, "file"));
  bbw_envelope_caps caps;
  read_caps(vector_get(c, "caps"), &caps);
  bbw_arena arena;
  bbw_envelope envelope;
  bbw_arena_init(&arena, &c->mem.mem);
  bbw_status rv = bbw_envelope_decode(&envelope, input, &caps, &arena, &c->err);
  bool ok = rv == BBW_OK;
  bool holds = ok == json_is_true(vector_get(c, "ok"));
  c->why = "accepted or refused otherwise";
  if (holds && ok) { holds = check_accepted(c, input, &envelope); }
  if (holds && !ok) {
    holds = vector_error_matches(c, vector_get(c, "error"));
    c->why = "error";
  }
  bbw_arena_free(&arena);
  return holds;
}

static void envelopes(void **state) {
  (void)state;
  assert_int_equal(vectors_run("envelopes", check_envelope), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(envelopes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
