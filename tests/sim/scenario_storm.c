/* storm: everybody asks everybody, all at once or over time.  Every question has an outcome, and then everything is at rest. */
#include <string.h>

#include "sim.h"

/* AGAIN + k: asks k. */
enum { AGAIN = SIM_ASK + 1, FANOUT_MAX = 4 };

static void ask_later(sim *s, sim_node *n, uint64_t span_ns) {
  sim_app(s, n, sim_rng_below(&s->app, span_ns), SIM_ASK);
}

static void setup(sim *s) {
  s->is_waiting = (s->variant & 8) != 0;
  s->has_gates = !s->is_waiting && (s->variant & 1) != 0;
  const char *echo = s->has_gates ? sim_echo_program_dedup : sim_echo_program;
  s->models[0] = sim_program(s->is_waiting ? sim_await_program : echo);
  uint64_t questions = s->options.amount != 0 ? s->options.amount : sim_rng_between(&s->app, 50, 400);
  bool is_burst = (s->variant & 6) == 0 && s->options.amount == 0;
  for (uint32_t i = 0; i < s->honest_count; i++) {
    s->nodes[i].target = "E";
    s->nodes[i].model = &s->models[0];
  }
  for (uint64_t i = 0; i < questions; i++) {
    sim_node *n = &s->nodes[sim_rng_below(&s->app, s->honest_count)];
    ask_later(s, n, is_burst ? SIM_MS : s->calm_ns + SIM_SECOND);
  }
}

static void installed(sim *s, sim_node *n, bool is_restored) {
  /* An application that goes on where its snapshot was does again what it did: answers to its earlier life may still be on their way. */
  for (uint32_t i = 0; i < n->asked_count && is_restored; i++) { sim_app(s, n, 0, AGAIN + n->asked[i]); }
  n->asked_count = 0;
  if (is_restored) { return; }
  for (uint32_t i = 0; i < s->honest_count && s->honest_count <= 32; i++) {
    if (i != n->index && !s->is_failed) { sim_know(n, i); }
  }
}

static void app(sim *s, sim_node *n, uint64_t what) {
  if (n->state == SIM_FROZEN) {
    sim_app(s, n, 100 * SIM_MS, what);
    return;
  }
  if (n->state != SIM_UP || s->honest_count < 2) { return; }
  if (what >= AGAIN) {
    uint32_t peer = (uint32_t)(what - AGAIN);
    sim_ask(n, &peer, 1);
    return;
  }
  uint32_t peers[FANOUT_MAX];
  size_t count = sim_rng_chance(&s->app, 150000) ? (size_t)sim_rng_between(&s->app, 2, FANOUT_MAX) : 1;
  for (size_t i = 0; i < count; i++) {
    peers[i] = (uint32_t)((n->index + 1 + sim_rng_below(&s->app, s->honest_count - 1)) % s->honest_count);
    if (s->honest_count > 32) { sim_know(n, peers[i]); }
  }
  sim_ask(n, peers, count);
}

static void output(sim *s, sim_node *n, bbw_str topic, bbw_bytes value) {
  (void)s;
  sim_request_output(n, topic, value);
}

static void step(sim *s, sim_node *n, const bbw_step *st) {
  (void)s;
  sim_request_step(n, st);
}

static void calm(sim *s) { (void)s; }

static void end(sim *s) {
  if (s->queue.count != 0) { sim_fail(s, NULL, "it does not come to rest: %zu events are left", s->queue.count); }
  for (uint32_t i = 0; i < s->honest_count && !s->is_failed; i++) {
    if (s->nodes[i].state != SIM_UP) { continue; }
    sim_requests_check(&s->nodes[i]);
    sim_check_rest(&s->nodes[i]);
  }
}

const sim_scenario sim_storm = {"storm", 4, 2, 24, setup, installed, app, output, step, calm, end};
