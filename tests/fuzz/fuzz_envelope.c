/* Any bytes: decoding answers, the short cut for ordinary envelopes answers what the ordinary walk does, and what is accepted survives a round trip unchanged. */
#include "base/bytes.h"
#include "format/envelope.h"
#include "fuzz.h"

static bool lists_equal(const bbw_bytes *a, size_t a_count, const bbw_bytes *b, size_t b_count) {
  if (a_count != b_count) { return false; }
  for (size_t i = 0; i < a_count; i++) {
    if (!bbw_bytes_equal(a[i], b[i])) { return false; }
  }
  return true;
}

static bool envelopes_equal(const bbw_envelope *a, const bbw_envelope *b) {
  bool ok = lists_equal(a->dest_peer_addresses, a->dest_peer_address_count, b->dest_peer_addresses,
                        b->dest_peer_address_count) &&
            lists_equal(a->src_peer_addresses, a->src_peer_address_count, b->src_peer_addresses,
                        b->src_peer_address_count) &&
            a->fill_count == b->fill_count && a->edge_rtt_report_count == b->edge_rtt_report_count &&
            a->has_correlation == b->has_correlation && a->correlation_kind == b->correlation_kind &&
            a->wire_req_id == b->wire_req_id && a->remaining_deadline_ns == b->remaining_deadline_ns &&
            a->schema_version == b->schema_version && bbw_bytes_equal(a->src_peer_bytes, b->src_peer_bytes);
  for (size_t i = 0; ok && i < a->fill_count; i++) {
    ok = bbw_bytes_equal(a->fills[i].dest_suffix, b->fills[i].dest_suffix) &&
         bbw_bytes_equal(a->fills[i].payload, b->fills[i].payload) &&
         a->fills[i].trigger_only == b->fills[i].trigger_only && a->fills[i].type_hash == b->fills[i].type_hash;
  }
  for (size_t i = 0; ok && i < a->edge_rtt_report_count; i++) {
    const bbw_edge_rtt_report *x = &a->edge_rtt_reports[i], *y = &b->edge_rtt_reports[i];
    ok = x->next_hop_site_id == y->next_hop_site_id && x->chain_id == y->chain_id && x->hop_index == y->hop_index &&
         x->srtt_ns == y->srtt_ns && x->rttvar_ns == y->rttvar_ns && x->sample_count == y->sample_count;
  }
  return ok;
}

/* Both walks over the same bytes. */
static void compare_walks(bbw_bytes bytes, bbw_arena *arena) {
  bbw_envelope_scan quick, slow;
  bbw_error err;
  bbw_status rv = bbw_envelope_scan_bytes(&quick, bytes, &bbw_envelope_caps_edge, &err);
  REQUIRE(bbw_envelope_scan_slowly(&slow, bytes, &bbw_envelope_caps_edge, &err) == rv);
  if (rv != BBW_OK) { return; }
  size_t quick_bytes, slow_bytes;
  REQUIRE(bbw_envelope_lists_bytes(&quick, &quick_bytes) && bbw_envelope_lists_bytes(&slow, &slow_bytes));
  REQUIRE(quick_bytes == slow_bytes);
  bbw_envelope first, second;
  void *lists = bbw_arena_array(arena, quick_bytes, 1), *other = bbw_arena_array(arena, slow_bytes, 1);
  REQUIRE(lists != NULL && other != NULL);
  bbw_envelope_place(&quick, bytes.ptr, lists, &first);
  bbw_envelope_place(&slow, bytes.ptr, other, &second);
  REQUIRE(envelopes_equal(&first, &second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  bbw_envelope first, second;
  bbw_error err;
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_status rv = bbw_envelope_decode(&first, (bbw_bytes){data, len}, &bbw_envelope_caps_edge, &arena, &err);
  compare_walks((bbw_bytes){data, len}, &arena);
  if (rv == BBW_OK) {
    size_t size = bbw_envelope_size(&first);
    uint8_t *wire = malloc(size + 1);
    REQUIRE(wire != NULL && size <= len + 16);
    bbw_envelope_encode(&first, wire);
    REQUIRE(bbw_envelope_decode(&second, (bbw_bytes){wire, size}, &bbw_envelope_caps_edge, &arena, &err) == BBW_OK);
    REQUIRE(envelopes_equal(&first, &second));
    free(wire);
  } else {
    REQUIRE(err.status == (int32_t)rv);
  }
  bbw_arena_free(&arena);
  return 0;
}
