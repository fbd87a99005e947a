/* net: how an envelope gets from one host to another, or does not. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define OFFERS_MAX 100u           /* how often a transport offers an envelope to a Node that is full */
#define KEPT_NS    (300 * SIM_MS) /* how long a relay keeps what is for a page that is loaded again */
#define INBOX_MAX  256u           /* what a transport keeps for a page that does not run */

sim_message *sim_message_new(sim *s, uint32_t from, bbw_bytes bytes) {
  sim_message *message = sim_need(sim_pool_alloc(&s->pool, sizeof(*message) + bytes.len));
  message->refs = 1;
  message->from = from;
  message->len = bytes.len;
  if (bytes.len != 0) { memcpy(message->bytes, bytes.ptr, bytes.len); }
  return message;
}

void sim_message_release(sim *s, sim_message *message) {
  if (message == NULL || --message->refs != 0) { return; }
  sim_pool_free(&s->pool, message, sizeof(*message) + message->len);
}

/* ---- a little protobuf: the request id of an envelope, as the transports read it (wire specification, field 3 of the envelope, field 2 in it) ---- */

static bool read_varint(bbw_bytes bytes, size_t *at, uint64_t *out) {
  *out = 0;
  for (unsigned shift = 0; *at < bytes.len && shift < 64; shift += 7) {
    uint8_t byte = bytes.ptr[(*at)++];
    *out |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) { return true; }
  }
  return false;
}

/* The last field of that number, as a number or as a view; false at the end or at bytes that are no message. */
static bool find_field(bbw_bytes bytes, uint64_t wanted, uint64_t *number, bbw_bytes *view) {
  bool is_found = false;
  for (size_t at = 0; at < bytes.len;) {
    uint64_t tag, value;
    if (!read_varint(bytes, &at, &tag)) { return is_found; }
    bbw_bytes part = {NULL, 0};
    if ((tag & 7) == 0) {
      if (!read_varint(bytes, &at, &value)) { return is_found; }
    } else if ((tag & 7) == 2) {
      if (!read_varint(bytes, &at, &value) || value > bytes.len - at) { return is_found; }
      part = (bbw_bytes){bytes.ptr + at, (size_t)value};
      at += (size_t)value;
    } else {
      return is_found;
    }
    if (tag >> 3 == wanted) {
      *number = value;
      *view = part;
      is_found = true;
    }
  }
  return is_found;
}

uint64_t sim_request_id(bbw_bytes envelope) {
  uint64_t number;
  bbw_bytes correlation, unused;
  if (!find_field(envelope, 3, &number, &correlation) || !find_field(correlation, 2, &number, &unused)) { return 0; }
  return number;
}

/* ---- the way ---- */

static uint64_t latency(sim *s) {
  const sim_link *link = &s->link;
  uint64_t spread = link->spread_ns * (s->is_storm ? 8 : 1), draw = 0;
  if (spread != 0) {
    switch (link->shape) {
    case 0: draw = sim_rng_below(&s->net, spread); break;
    case 1:
      for (int i = 0; i < 3; i++) { draw += sim_rng_below(&s->net, spread); }
      draw /= 3;
      break;
    default: {
      uint64_t coins = sim_rng_next(&s->net);
      unsigned heads = 0;
      while (heads < 8 && (coins >> heads & 1) != 0) { heads++; }
      draw = sim_rng_below(&s->net, spread / 4 + 1) << heads;
      break;
    }
    }
  }
  return link->base_ns + draw;
}

static bool side(const sim *s, uint32_t index) { return (sim_mix(s->partition ^ index) & 1) != 0; }

/* The sender's transport notices sometimes that an envelope did not arrive. */
static void lose(sim *s, sim_node *from, uint32_t to, const sim_message *message, const char *why) {
  uint64_t id = sim_request_id((bbw_bytes){message->bytes, message->len});
  s->lost++;
  bool is_told = !from->is_liar && sim_rng_chance(&s->net, s->link.told_ppm);
  sim_trace(s, from, "  lost on the way to n%u (%s)%s", (unsigned)to, why,
            is_told ? ", which its transport notices" : "");
  if (!is_told) { return; }
  uint64_t *kept = sim_alloc(sizeof(*kept));
  *kept = id;
  sim_at(s, s->now_ns + latency(s), SIM_SEND_FAILED, from, to, kept);
}

static void on_the_way(sim *s, uint64_t leaves_ns, uint32_t to, sim_message *message) {
  message->refs++;
  sim_at(s, leaves_ns + latency(s), SIM_DELIVER, &s->nodes[to], 0, message);
}

static void overhear(sim *s, sim_message *message) {
  sim_message **place = &s->seen[s->seen_count++ % SIM_SEEN_MAX];
  sim_message_release(s, *place);
  message->refs++;
  *place = message;
}

void sim_send(sim *s, sim_node *from, uint32_t to, sim_message *message) {
  if (s->node_count > s->honest_count && !from->is_liar) { overhear(s, message); }
  const sim_link *link = &s->link;
  uint64_t leaves_ns = s->now_ns;
  if (link->bytes_per_second != 0) {
    if (from->link_free_ns < s->now_ns) { from->link_free_ns = s->now_ns; }
    from->link_free_ns += message->len * SIM_SECOND / link->bytes_per_second;
    leaves_ns = from->link_free_ns;
  }
  uint64_t loss = s->is_storm ? link->loss_ppm + 300000 : link->loss_ppm;
  if (to >= s->node_count) {
    lose(s, from, to, message, "nobody has this number");
  } else if (s->partition != 0 && side(s, from->index) != side(s, to)) {
    lose(s, from, to, message, "partition");
  } else if (leaves_ns - s->now_ns > link->backlog_ns) {
    from->link_free_ns -= message->len * SIM_SECOND / link->bytes_per_second;
    lose(s, from, to, message, "too much waits at the sender");
  } else if (loss != 0 && sim_rng_chance(&s->net, loss)) {
    lose(s, from, to, message, "loss");
  } else {
    on_the_way(s, leaves_ns, to, message);
    if (link->twice_ppm != 0 && sim_rng_chance(&s->net, link->twice_ppm)) {
      sim_trace(s, from, "  arrives twice at n%u", (unsigned)to);
      on_the_way(s, leaves_ns, to, message);
    }
  }
  sim_message_release(s, message);
}

void sim_arrive(sim *s, sim_node *n, sim_message *message, uint64_t offers) {
  bool is_kept = n->state == SIM_DOWN && s->is_keeping && n->back_ns > s->now_ns && n->back_ns - s->now_ns <= KEPT_NS;
  if (is_kept && !n->is_liar) { /* it comes a little after the Node is back */
    sim_at(s, n->back_ns + SIM_MS + sim_rng_below(&s->net, 20 * SIM_MS), SIM_DELIVER, n, offers, message);
    return;
  }
  if (n->is_liar || n->state == SIM_DOWN || n->state == SIM_GONE) {
    s->lost++;
    sim_message_release(s, message);
    return;
  }
  if (n->state == SIM_FROZEN) {
    if (n->inbox_count == INBOX_MAX) {
      s->lost++;
      sim_message_release(s, message);
      return;
    }
    n->inbox = sim_grow(n->inbox, &n->inbox_cap, n->inbox_count + 1, sizeof(*n->inbox));
    n->inbox[n->inbox_count++] = message;
    return;
  }
  bbw_status rv = sim_receive(n, message->from, (bbw_bytes){message->bytes, message->len});
  /* A transport keeps what a busy Node does not take, and offers it again. */
  if ((rv == BBW_E_INGRESS_FULL || rv == BBW_E_BUDGET_EXCEEDED) && offers < OFFERS_MAX) {
    sim_touch(n);
    sim_at(s, s->now_ns + 5 * SIM_MS, SIM_DELIVER, n, offers + 1, message);
    return;
  }
  s->lost += rv != BBW_OK;
  sim_message_release(s, message);
}
