/* liar: a peer that follows no rule.  It has an identity of its own, which the transport has checked, and says through it whatever it likes. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define NOTICE_TYPE_HASH 0x835411050e7217c5u /* a backpressure notice (wire specification §16.4) */
#define FLOOD            200u

static void say(sim *s, sim_node *liar, uint32_t to, const void *bytes, size_t len) {
  sim_send(s, liar, to, sim_message_new(s, liar->index, (bbw_bytes){bytes, len}));
}

static void say_envelope(sim *s, sim_node *liar, uint32_t to, const bbw_envelope *envelope) {
  size_t len = bbw_envelope_size(envelope);
  uint8_t *bytes = sim_alloc(len);
  bbw_envelope_encode(envelope, bytes);
  say(s, liar, to, bytes, len);
  free(bytes);
}

static const sim_message *heard(sim *s) {
  if (s->seen_count == 0) { return NULL; }
  uint64_t count = s->seen_count < SIM_SEEN_MAX ? s->seen_count : SIM_SEEN_MAX;
  return s->seen[sim_rng_below(&s->lies, count)];
}

static void malformed(sim *s, sim_node *liar, uint32_t to) {
  const sim_message *from = heard(s);
  if (from == NULL) { return; }
  uint8_t *bytes = sim_alloc(from->len + 8);
  size_t len = from->len;
  memcpy(bytes, from->bytes, len);
  uint64_t changes = sim_rng_between(&s->lies, 1, 4);
  for (uint64_t i = 0; i < changes && len > 0; i++) {
    switch (sim_rng_below(&s->lies, 4)) {
    case 0: len = (size_t)sim_rng_below(&s->lies, len + 1); break;
    case 1: bytes[len++] = (uint8_t)sim_rng_next(&s->lies); break;
    default: bytes[sim_rng_below(&s->lies, len)] ^= (uint8_t)(1u << sim_rng_below(&s->lies, 8)); break;
    }
  }
  say(s, liar, to, bytes, len);
  free(bytes);
}

static void replayed(sim *s, sim_node *liar, uint32_t to) {
  const sim_message *from = heard(s);
  if (from != NULL) { say(s, liar, to, from->bytes, from->len); }
}

/* One fill with the given suffix and payload. */
static bbw_envelope with_fill(bbw_slot_fill *fill, bbw_bytes suffix, bbw_bytes payload, uint64_t type_hash) {
  *fill = (bbw_slot_fill){.dest_suffix = suffix, .payload = payload, .type_hash = type_hash};
  return (bbw_envelope){
      .fills = fill, .fill_count = 1, .has_correlation = true, .schema_version = BBW_ENVELOPE_SCHEMA_VERSION};
}

static void oversized(sim *s, sim_node *liar, uint32_t to) {
  static const uint64_t sizes[] = {5000, 70000, 300000};
  size_t len = (size_t)sizes[sim_rng_below(&s->lies, 3)];
  uint8_t *payload = sim_alloc(len);
  uint8_t suffix[16];
  const char *target = s->nodes[to].target;
  size_t suffix_len = sim_route(target, strlen(target), "q", 1, suffix);
  bbw_slot_fill fill;
  bbw_envelope envelope = with_fill(&fill, (bbw_bytes){suffix, suffix_len}, (bbw_bytes){payload, len},
                                    bbw_type_hash(BBW_TYPE_BYTES));
  say_envelope(s, liar, to, &envelope);
  free(payload);
}

static void wrong_site(sim *s, sim_node *liar, uint32_t to) {
  uint8_t suffix[64], payload[16] = {1, 2, 3};
  size_t len = 0;
  uint64_t number = sim_rng_chance(&s->lies, 500000) ? sim_rng_below(&s->lies, 40) : sim_rng_next(&s->lies);
  bool is_component = sim_rng_chance(&s->lies, 400000);
  bbw_segment segment = {.kind = is_component ? BBW_SEGMENT_COMPONENT : BBW_SEGMENT_SITE,
                         .number = is_component ? number & 0xff : number};
  (void)bbw_address_append(suffix, sizeof(suffix), &len, &segment);
  if (is_component) {
    segment = (bbw_segment){.kind = BBW_SEGMENT_OP, .bytes = {(const uint8_t *)"Params", 6}};
    (void)bbw_address_append(suffix, sizeof(suffix), &len, &segment);
  }
  bbw_slot_fill fill;
  bbw_type type = (bbw_type)sim_rng_below(&s->lies, BBW_TYPE_COUNT);
  bbw_envelope envelope = with_fill(&fill, (bbw_bytes){suffix, len}, (bbw_bytes){payload, sizeof(payload)},
                                    bbw_type_hash(type));
  envelope.wire_req_id = sim_rng_below(&s->lies, 50);
  say_envelope(s, liar, to, &envelope);
}

/* Says that it is somebody else, and where that one lives. */
static void wrong_identity(sim *s, sim_node *liar, uint32_t to) {
  uint32_t victim = (uint32_t)sim_rng_below(&s->lies, s->honest_count);
  uint8_t peer[BBW_PEER_ID_BYTES_MAX], address[96], suffix[16], payload[8] = {0};
  const char *target = s->nodes[to].target;
  size_t suffix_len = sim_route(target, strlen(target), sim_rng_chance(&s->lies, 500000) ? "q" : "a", 1, suffix);
  size_t peer_len = sim_peer_bytes(victim, peer), address_len = 0;
  bbw_segment p2p = {.kind = BBW_SEGMENT_P2P, .bytes = {peer, peer_len}};
  (void)bbw_address_append(address, sizeof(address), &address_len, &p2p);
  bbw_bytes claims[4];
  for (size_t i = 0; i < 4; i++) { claims[i] = (bbw_bytes){address, address_len}; }
  bbw_slot_fill fill;
  bbw_envelope envelope = with_fill(&fill, (bbw_bytes){suffix, suffix_len}, (bbw_bytes){payload, sizeof(payload)},
                                    bbw_type_hash(BBW_TYPE_BYTES));
  envelope.src_peer_bytes = (bbw_bytes){peer, peer_len};
  envelope.src_peer_addresses = claims;
  envelope.src_peer_address_count = (size_t)sim_rng_below(&s->lies, 5);
  envelope.correlation_kind = BBW_CORRELATION_RESPONSE;
  envelope.wire_req_id = sim_rng_between(&s->lies, 1, 50);
  say_envelope(s, liar, to, &envelope);
}

/* As many addresses of its own as it can think of. */
static void many_addresses(sim *s, sim_node *liar, uint32_t to) {
  uint8_t addresses[4][16];
  bbw_bytes claims[4];
  for (size_t i = 0; i < 4; i++) {
    size_t len = 0;
    bbw_segment site = {.kind = BBW_SEGMENT_SITE, .number = sim_rng_next(&s->lies)};
    (void)bbw_address_append(addresses[i], sizeof(addresses[i]), &len, &site);
    claims[i] = (bbw_bytes){addresses[i], len};
  }
  bbw_envelope envelope = {.has_correlation = true,
                           .schema_version = BBW_ENVELOPE_SCHEMA_VERSION,
                           .src_peer_addresses = claims,
                           .src_peer_address_count = 4};
  for (size_t i = 0; i < 6; i++) { say_envelope(s, liar, to, &envelope); }
}

static void notice(sim *s, sim_node *liar, uint32_t to) {
  uint8_t payload[20] = {0};
  sim_store_u64(payload, sim_rng_chance(&s->lies, 500000) ? UINT64_MAX : sim_rng_next(&s->lies));
  payload[8] = (uint8_t)sim_rng_below(&s->lies, 4);
  bbw_slot_fill fill;
  bbw_envelope envelope = with_fill(&fill, (bbw_bytes){NULL, 0}, (bbw_bytes){payload, sizeof(payload)},
                                    NOTICE_TYPE_HASH);
  const bbw_edge_rtt_report report = {sim_rng_next(&s->lies), sim_rng_next(&s->lies), 3, UINT64_MAX, UINT64_MAX, 7};
  envelope.edge_rtt_reports = &report;
  envelope.edge_rtt_report_count = 1;
  say_envelope(s, liar, to, &envelope);
}

static void flood(sim *s, sim_node *liar, uint32_t to) {
  const sim_message *from = heard(s);
  for (uint32_t i = 0; from != NULL && i < FLOOD; i++) { say(s, liar, to, from->bytes, from->len); }
}

static void nothing(sim *s, sim_node *liar, uint32_t to) { say(s, liar, to, "", 0); }

void sim_lie(sim *s, sim_node *liar) {
  static const struct {
    const char *name;
    void (*tell)(sim *s, sim_node *liar, uint32_t to);
  } lies[] = {
      {"malformed", malformed},
      {"replayed", replayed},
      {"malformed", malformed},
      {"replayed", replayed},
      {"oversized", oversized},
      {"wrong site", wrong_site},
      {"wrong identity", wrong_identity},
      {"many addresses", many_addresses},
      {"notice", notice},
      {"flood", flood},
      {"nothing", nothing},
  };
  uint64_t which = sim_rng_below(&s->lies, sizeof(lies) / sizeof(lies[0]));
  uint32_t to = (uint32_t)sim_rng_below(&s->lies, s->honest_count);
  sim_trace(s, liar, "lies to n%u: %s", (unsigned)to, lies[which].name);
  s->lies_told++;
  if (s->nodes[to].target != NULL) { lies[which].tell(s, liar, to); }
  sim_at(s, s->now_ns + sim_rng_between(&s->lies, 10 * SIM_MS, 500 * SIM_MS), SIM_LIE, liar, 0, NULL);
}
