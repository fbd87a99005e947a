/*
 * churn: peers that come, crash, freeze and leave, and who knows of whom.  Node 0 is a registry (GlobalRegistryServer); the others announce themselves to it and also gossip about each other
 * (Cyclon), knowing Node 1 at first.  After the faults the registry lists exactly who is up, once the entries of the others have ended with their time, and every view holds only
 * peers that are up, and has held one.
 */
#include <stdio.h>
#include <string.h>

#include "sim.h"

enum { ANNOUNCE = 1, CHECK = 2 };
#define ANNOUNCE_NS (5 * SIM_SECOND)
#define CHECK_NS    (10 * SIM_SECOND)

static const char program[] = "slot S registry PeerSelector|GlobalRegistryServer\n"
                              "slot C client Protocol|GlobalRegistryClient\n"
                              "slot C gossip PeerSelector|Cyclon\n"
                              "target S -> view\n"
                              "syscall::Interval -> tick | period_ns=1000000000\n"
                              "role.peer_selector::CurrentView tick -> view\n"
                              "target C server -> announced view\n"
                              "protocol.global_registry::Announce server -> announced\n"
                              "syscall::Interval -> tick | period_ns=%llu\n"
                              "role.peer_selector::Shuffle tick -> swapped\n"
                              "role.peer_selector::CurrentView swapped -> view\n";

static void setup(sim *s) {
  char text[sizeof(program) + 24];
  (void)snprintf(text, sizeof(text), program, (unsigned long long)(300 * SIM_MS + s->variant % SIM_SECOND));
  s->models[0] = sim_program(text);
  for (uint32_t i = 0; i < s->honest_count; i++) {
    s->nodes[i].target = i == 0 ? "S" : "C";
    s->nodes[i].model = &s->models[0];
  }
}

static void installed(sim *s, sim_node *n, bool is_restored) {
  if (n->index == 0) { return; }
  if (!is_restored) {
    sim_know(n, 0);
    if (n->index > 1) { sim_know(n, 1); }
  }
  sim_app(s, n, 0, ANNOUNCE | (uint64_t)n->life << 8);
}

/* Nobody can be cut off for ever: nobody has left or started again with nothing, and there was no time in which two halves forgot each other. */
static bool is_whole(const sim *s) {
  for (size_t i = 0; i < s->fault_count; i++) {
    sim_fault_kind kind = s->faults[i].kind;
    if (kind == SIM_LEAVE || kind == SIM_PARTITION || kind == SIM_LISTS || kind == SIM_CRASH) { return false; }
  }
  return s->node_count == s->honest_count;
}

/* Are the peers in the view of a Node the clients that are up, all of them or (is_part) some of them? */
static bool is_true(const sim *s, const sim_node *n, bool is_part) {
  const sim_buf *view = &n->host.model;
  uint32_t up = 0, listed = 0;
  for (uint32_t i = 1; i < s->honest_count; i++) { up += i != n->index && s->nodes[i].state == SIM_UP; }
  if (view->len < 8) { return false; }
  for (size_t at = 8; at + 8 <= view->len;) {
    size_t len = (size_t)sim_load_u64(view->bytes + at);
    uint32_t peer;
    if (!sim_peer_index((bbw_bytes){view->bytes + at + 8, len}, &peer)) { return false; }
    if (peer >= s->honest_count || s->nodes[peer].state != SIM_UP) { return false; }
    listed += peer != 0; /* the registry does not gossip, but whoever knows nobody else tries it again and again */
    at += 8 + len;
  }
  return is_part ? n->host.is_joined || up == 0 || !is_whole(s) : listed == up;
}

static void look(sim *s) {
  bool is_right = s->nodes[0].state != SIM_UP || is_true(s, &s->nodes[0], false);
  for (uint32_t i = 1; i < s->honest_count; i++) {
    if (s->nodes[i].state == SIM_UP && !sim_is_gullible(s)) { is_right = is_right && is_true(s, &s->nodes[i], true); }
  }
  s->is_done = is_right;
  if (!is_right) { sim_app(s, &s->nodes[0], CHECK_NS, CHECK); }
}

static void app(sim *s, sim_node *n, uint64_t what) {
  if (what == CHECK) {
    look(s);
    return;
  }
  if (what >> 8 != n->life || n->state == SIM_DOWN || n->state == SIM_GONE) { return; }
  sim_app(s, n, ANNOUNCE_NS, what);
  if (n->state != SIM_UP) { return; }
  uint8_t server[BBW_PEER_ID_BYTES_MAX];
  (void)sim_tell(n, "server", (bbw_bytes){server, sim_peer_bytes(0, server)});
}

static void output(sim *s, sim_node *n, bbw_str topic, bbw_bytes value) {
  if (!SIM_IS(topic, "view")) { return; }
  n->host.model.len = 0;
  sim_buf_put(&n->host.model, value.ptr, value.len);
  if (!s->is_calm) { return; }
  /* One peer of a small view may be out of it for the moment of a swap; it must have been there. */
  uint32_t peer;
  for (size_t at = 8; at + 8 <= value.len;) {
    size_t len = (size_t)sim_load_u64(value.ptr + at);
    bool is_client = sim_peer_index((bbw_bytes){value.ptr + at + 8, len}, &peer) && peer != 0 && peer < s->honest_count;
    n->host.is_joined = n->host.is_joined || (is_client && s->nodes[peer].state == SIM_UP);
    at += 8 + len;
  }
}

static void step(sim *s, sim_node *n, const bbw_step *st) {
  (void)s;
  (void)n;
  (void)st;
}

static void calm(sim *s) { sim_app(s, &s->nodes[0], CHECK_NS, CHECK); }

static void end(sim *s) {
  if (s->is_done) { return; }
  for (uint32_t i = 0; i < s->honest_count; i++) {
    const sim_node *n = &s->nodes[i];
    if (n->state == SIM_UP && (i == 0 || !sim_is_gullible(s)) && !is_true(s, n, i != 0)) {
      sim_trace(s, n, "joined %d, view of %zu bytes", n->host.is_joined, n->host.model.len);
      sim_fail(s, n, "%s after %.0f s",
               i == 0 ? "the registry does not list who is up" : "its view holds nobody, or who is gone",
               (double)(s->now_ns - s->calm_ns) / 1e9);
      return;
    }
  }
}

const sim_scenario sim_churn = {"churn", 2, 3, 16, setup, installed, app, output, step, calm, end};
