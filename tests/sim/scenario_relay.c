/* relay: envelopes that every Node sends back at once, for measuring: one delivery, one poll's share, one Send each, and nothing for an application to do.  Not drawn by seeds. */
#include <string.h>

#include "sim.h"

enum { BEGIN = 1, LOOK = 2, PER_NODE = 8 };

static const char program[] = "target R x peers ->\n"
                              "wire::Send x peers -> d h | to.x=R.q\n"
                              "wire::Recv -> q peer\n"
                              "wire::Send q peer -> d2 h2 | to.q=R.q\n";

static void setup(sim *s) {
  s->models[0] = sim_program(program);
  s->config.step_mask = 0; /* only what carries work */
  s->end_ns = SIM_NEVER;
  s->poll_every_ns = 16 * SIM_MS; /* as animation frames come */
  for (uint32_t i = 0; i < s->honest_count; i++) {
    s->nodes[i].target = "R";
    s->nodes[i].model = &s->models[0];
    for (uint32_t k = 0; k < PER_NODE; k++) { sim_app(s, &s->nodes[i], k * SIM_MS, BEGIN); }
  }
  sim_app(s, &s->nodes[0], SIM_SECOND / 10, LOOK);
}

static void installed(sim *s, sim_node *n, bool is_restored) {
  (void)s;
  (void)n;
  (void)is_restored;
}

static void app(sim *s, sim_node *n, uint64_t what) {
  if (what == LOOK) {
    s->is_done = s->delivered >= s->options.amount;
    sim_app(s, n, SIM_SECOND / 1000, LOOK);
    return;
  }
  uint32_t peer = (uint32_t)((n->index + 1 + sim_rng_below(&s->app, s->honest_count - 1)) % s->honest_count);
  uint8_t payload[64] = {0}, list[64];
  uint64_t exec_id;
  sim_know(n, peer);
  bbw_named_bytes inputs[2] = {{BBW_STR("x"), {payload, sizeof(payload)}},
                               {BBW_STR("peers"), {list, sim_peer_list(&peer, 1, list)}}};
  if (sim_invoke(n, inputs, 2, &exec_id) != BBW_OK) { sim_fail(s, n, "invoke is refused"); }
}

static void output(sim *s, sim_node *n, bbw_str topic, bbw_bytes value) {
  (void)s;
  (void)n;
  (void)topic;
  (void)value;
}

static void step(sim *s, sim_node *n, const bbw_step *st) {
  (void)s;
  (void)n;
  (void)st;
}

static void calm(sim *s) { (void)s; }

const sim_scenario sim_relay = {"relay", 0, 2, 100, setup, installed, app, output, step, calm, calm};
