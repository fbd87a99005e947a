/* join: Nodes come up one after the other within a minute, know the first one and a few others, and have joined when somebody has answered them. */
#include <string.h>

#include "sim.h"

enum { COME = 1, ASK = 2 };
#define RETRY_NS (2 * SIM_SECOND)

static void setup(sim *s) {
  s->models[0] = sim_program(sim_echo_program);
  if (s->options.is_calm) { s->calm_ns = 60 * SIM_SECOND; }
  for (uint32_t i = 0; i < s->honest_count; i++) {
    s->nodes[i].target = "E";
    s->nodes[i].model = &s->models[0];
    if (i == 0) { continue; }
    s->nodes[i].state = SIM_DOWN;
    sim_app(s, &s->nodes[i], sim_rng_below(&s->app, s->calm_ns), COME);
  }
}

static void installed(sim *s, sim_node *n, bool is_restored) {
  if (n->index == 0) { return; } /* it learns of the others from what they send */
  if (!is_restored) {
    sim_know(n, 0);
    for (uint32_t i = 0; i < 3 && n->index > 1; i++) { sim_know(n, (uint32_t)sim_rng_below(&s->app, n->index)); }
  }
  sim_app(s, n, 0, ASK);
}

static void ask(sim *s, sim_node *n) {
  if (n->host.is_joined || n->state == SIM_DOWN || n->state == SIM_GONE) { return; }
  sim_app(s, n, RETRY_NS, ASK);
  if (n->state != SIM_UP) { return; }
  uint32_t peer = sim_rng_chance(&s->app, 500000) ? 0 : (uint32_t)sim_rng_below(&s->app, n->index);
  if (peer != 0) { sim_know(n, peer); }
  sim_ask(n, &peer, 1);
}

static void app(sim *s, sim_node *n, uint64_t what) {
  if (what == COME && n->life == 0) { sim_install(n); }
  if (what == ASK) { ask(s, n); }
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
    sim_node *n = &s->nodes[i];
    if (n->state != SIM_UP) { continue; }
    if (i != 0 && !n->host.is_joined) { sim_fail(s, n, "has never joined"); }
    sim_requests_check(n);
    sim_check_rest(n);
  }
}

const sim_scenario sim_join = {"join", 2, 3, 60, setup, installed, app, output, step, calm, end};
