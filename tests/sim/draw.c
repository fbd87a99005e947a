/* draw: what a seed says about a run: how many Nodes, which limits, which network, which faults and when. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum { LIARS_MAX = 3, FAULTS_MAX = 24 };

static uint64_t one_of(sim_rng *rng, const uint64_t *items, size_t count) { return items[sim_rng_below(rng, count)]; }
#define ONE_OF(rng, ...) \
  one_of((rng), (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void draw_link(sim *s) {
  sim_rng *rng = &s->draw;
  s->link = (sim_link){.base_ns = ONE_OF(rng, 0, SIM_MS / 10, 2 * SIM_MS, 20 * SIM_MS, 150 * SIM_MS),
                       .spread_ns = ONE_OF(rng, 0, SIM_MS, 10 * SIM_MS, 100 * SIM_MS),
                       .shape = (uint32_t)sim_rng_below(rng, 3),
                       .loss_ppm = ONE_OF(rng, 0, 0, 1000, 20000, 150000),
                       .twice_ppm = ONE_OF(rng, 0, 0, 10000, 200000),
                       .told_ppm = ONE_OF(rng, 0, 500000, 1000000),
                       .bytes_per_second = ONE_OF(rng, 0, 0, 0, 20000, 200000),
                       .backlog_ns = 5 * SIM_SECOND};
}

/* Small limits in every second run, so that they are met. */
static void draw_config(sim *s) {
  sim_rng *rng = &s->draw;
  bbw_config_init(&s->config);
  s->config.per_hop_budget_ns = ONE_OF(rng, 500 * SIM_MS, 2 * SIM_SECOND);
  if (sim_rng_chance(rng, 500000)) { return; }
  s->config.cycle_op_budget = ONE_OF(rng, 1, 7, 50, 1000);
  s->config.bus_capacity = ONE_OF(rng, 4, 16, 64, 1024);
  s->config.max_executions = ONE_OF(rng, 2, 8, 64, 100000);
  s->config.max_outbound_queue = ONE_OF(rng, 16, 10000);
  s->config.ingress_byte_budget = ONE_OF(rng, 4096, 65536, 268435456);
  s->config.backpressure_high_water_pct = ONE_OF(rng, 25, 75, 100);
  s->config.backpressure_min_notice_interval_ns = ONE_OF(rng, 50 * SIM_MS, SIM_SECOND);
  if (sim_rng_chance(rng, 300000)) { s->config.envelope_caps = bbw_envelope_caps_edge; }
}

static void draw_nodes(sim *s) {
  sim_rng *rng = &s->draw;
  const sim_scenario *scenario = s->scenario;
  uint64_t span = scenario->nodes_max - scenario->nodes_min;
  uint64_t count = scenario->nodes_min + sim_rng_below(rng, span + 1);
  if (sim_rng_chance(rng, 700000)) { count = scenario->nodes_min + (count - scenario->nodes_min) / 4; } /* mostly few */
  if (s->options.nodes != 0) { count = s->options.nodes; }
  uint64_t liars = sim_rng_chance(rng, 400000) ? sim_rng_between(rng, 1, LIARS_MAX) : 0;
  if (s->options.is_calm) { liars = 0; }
  s->honest_count = (uint32_t)count;
  s->node_count = (uint32_t)(count + liars);
  s->nodes = sim_pool_zeroed(&s->pool, s->node_count * sizeof(*s->nodes));
  bool is_drifting = sim_rng_chance(rng, 500000) && !s->options.is_calm;
  for (uint32_t i = 0; i < s->node_count; i++) {
    sim_node *n = &s->nodes[i];
    n->sim = s;
    n->index = i;
    n->is_liar = i >= s->honest_count;
    n->wake_ns = SIM_NEVER;
    n->clock_ns = sim_rng_below(rng, 1000 * SIM_SECOND);
    n->drift_ppm = is_drifting ? (int64_t)sim_rng_below(rng, 1001) - 500 : 0;
    if (n->is_liar) { sim_at(s, sim_rng_below(rng, SIM_SECOND), SIM_LIE, n, 0, NULL); }
  }
}

void sim_draw(sim *s) {
  sim_rng *rng = &s->draw;
  draw_link(s);
  draw_config(s);
  s->poll_every_ns = ONE_OF(rng, 0, 0, SIM_MS, 16 * SIM_MS);
  s->snapshot_every_ns = ONE_OF(rng, 300 * SIM_MS, SIM_SECOND, 3 * SIM_SECOND);
  s->work_min_ns = ONE_OF(rng, 0, 10 * SIM_MS);
  s->work_max_ns = s->work_min_ns + ONE_OF(rng, 0, 100 * SIM_MS, 3 * SIM_SECOND);
  s->calm_ns = sim_rng_between(rng, 4, 20) * SIM_SECOND;
  s->variant = sim_rng_next(rng);
  s->is_keeping = (s->variant >> 32 & 1) != 0;
  if (s->options.is_calm) {
    s->link = (sim_link){.base_ns = SIM_MS, .spread_ns = 2 * SIM_MS, .backlog_ns = SIM_NEVER};
    bbw_config_init(&s->config);
    s->poll_every_ns = SIM_MS;
    s->work_min_ns = s->work_max_ns = 0;
  }
  s->config.step_mask = sim_rng_chance(rng, 200000) ? UINT64_MAX : ~(UINT64_C(1) << BBW_STEP_OP_COMPLETED);
  draw_nodes(s);
  s->end_ns = s->calm_ns + 600 * SIM_SECOND;
}

static void add_fault(sim *s, sim_fault_kind kind) {
  sim_rng *rng = &s->draw;
  sim_fault *fault = &s->faults[s->fault_count];
  *fault = (sim_fault){
      .kind = kind, .node = (uint32_t)sim_rng_below(rng, s->honest_count), .from_ns = sim_rng_below(rng, s->calm_ns)};
  fault->to_ns = fault->from_ns + sim_rng_below(rng, s->calm_ns - fault->from_ns);
  bool is_short = (kind == SIM_CRASH || kind == SIM_FREEZE) &&
                  sim_rng_chance(rng, 500000); /* a page that is loaded again */
  if (is_short && s->calm_ns - fault->from_ns > SIM_SECOND) {
    fault->to_ns = fault->from_ns + sim_rng_between(rng, SIM_MS, 300 * SIM_MS);
  }
  int64_t most = kind == SIM_CLOCK_JUMP ? (int64_t)(5 * SIM_SECOND) : (int64_t)s->node_count;
  fault->amount = (int64_t)sim_rng_below(rng, (uint64_t)most * 2) - most;
  sim_at(s, fault->from_ns, SIM_FAULT, NULL, s->fault_count, NULL);
  if (kind != SIM_CLOCK_JUMP && kind != SIM_LEAVE) { sim_at(s, fault->to_ns, SIM_FAULT, NULL, s->fault_count, NULL); }
  /* Who crashes has just asked: what is on its way then is what can be mistaken later. */
  for (int i = 0; i < 6 && kind == SIM_CRASH && s->scenario == &sim_storm; i++) {
    uint64_t before_ns = sim_rng_below(rng, 60 * SIM_MS);
    if (before_ns < fault->from_ns) {
      sim_at(s, fault->from_ns - before_ns, SIM_APP, &s->nodes[fault->node], SIM_ASK, NULL);
    }
  }
  s->fault_count++;
}

void sim_draw_slow(sim *s) {
  sim_rng rng = sim_rng_new(s->options.seed, 5);
  if (s->options.is_calm || !sim_rng_chance(&rng, 300000)) { return; }
  s->slow_count = 1 + (size_t)sim_rng_below(&rng, SIM_SLOW_MAX);
  s->config.max_outbound_bytes = ONE_OF(&rng, 0, 4000, 100000, 67108864);
  for (size_t i = 0; i < s->slow_count; i++) {
    s->slow[i] = (sim_slow){.node = (uint32_t)sim_rng_below(&rng, s->honest_count),
                            .peer = (uint32_t)sim_rng_below(&rng, s->node_count)};
    uint64_t at_ns = sim_rng_below(&rng, s->calm_ns), step_ns = sim_rng_between(&rng, 20 * SIM_MS, SIM_SECOND);
    for (uint64_t k = 0; k < 12 && at_ns < s->calm_ns; k++, at_ns += step_ns) {
      uint64_t bytes = k == 11 ? UINT32_MAX : ONE_OF(&rng, 0, 0, 1, 500, 5000);
      sim_at(s, at_ns, SIM_ROOM, NULL, (uint64_t)i << 32 | bytes, NULL);
    }
  }
}

void sim_draw_faults(sim *s) {
  s->faults = sim_alloc(FAULTS_MAX * sizeof(*s->faults));
  if (s->options.is_calm) { return; }
  sim_rng *rng = &s->draw;
  uint64_t count = sim_rng_below(rng, FAULTS_MAX / 2 + 1);
  bool crashes = false;
  for (uint64_t i = 0; i < count; i++) {
    sim_fault_kind kind = (sim_fault_kind)sim_rng_below(rng, SIM_FAULT_KIND_COUNT);
    add_fault(s, kind);
    crashes = crashes || kind == SIM_CRASH;
  }
  for (uint32_t i = 0; crashes && i < s->honest_count; i++) {
    sim_at(s, sim_rng_below(rng, s->snapshot_every_ns), SIM_SNAPSHOT, &s->nodes[i], 0, NULL);
  }
}
