/* gossip: no server.  Each Node sends its model to one peer now and then, and averages what it gets with its own.  After the faults all models become the same bits. */
#include <stdio.h>
#include <string.h>

#include "sim.h"

enum { CHECK = 1 };
#define CHECK_NS (2 * SIM_SECOND)

static const char program[] = "slot G model Model|OnnxModel\n"
                              "slot G peers PeerSelector|KnownPeers\n"
                              "slot G mean Backend|SimMean\n"
                              "target G -> model\n"
                              "syscall::Interval -> tick | period_ns=%llu\n"
                              "role.peer_selector::Sample tick -> peers | n=1\n"
                              "role.model::Params tick -> w\n"
                              "wire::Send w peers -> d h | to.w=G.theirs\n"
                              "wire::Recv -> theirs peer\n"
                              "role.model::Params theirs -> mine\n"
                              "onnx::Mean mine theirs -> both\n"
                              "role.model::LoadParameters both -> loaded\n"
                              "role.model::Params loaded -> model\n";

static void setup(sim *s) {
  char text[sizeof(program) + 24];
  uint64_t period_ns = 100 * SIM_MS + s->variant % (400 * SIM_MS);
  (void)snprintf(text, sizeof(text), program, (unsigned long long)period_ns);
  s->models[0] = sim_program(text);
  for (uint32_t i = 0; i < s->honest_count; i++) {
    s->nodes[i].target = "G";
    s->nodes[i].model = &s->models[0];
  }
}

static void installed(sim *s, sim_node *n, bool is_restored) {
  for (uint32_t i = 0; i < s->honest_count && !is_restored && !s->is_failed; i++) {
    if (i != n->index) { sim_know(n, i); }
  }
}

/* Nodes that are up and whose last model is not that of the first one up. */
static uint32_t count_different(const sim *s) {
  const sim_buf *first = NULL;
  uint32_t count = 0;
  for (uint32_t i = 0; i < s->honest_count; i++) {
    const sim_node *n = &s->nodes[i];
    if (n->state != SIM_UP) { continue; }
    const sim_buf *model = &n->host.model;
    if (first == NULL) { first = model; }
    bool is_same = model->len != 0 && model->len == first->len && memcmp(model->bytes, first->bytes, model->len) == 0;
    count += !is_same;
  }
  return count;
}

static uint32_t count_up(const sim *s) {
  uint32_t up = 0;
  for (uint32_t i = 0; i < s->honest_count; i++) { up += s->nodes[i].state == SIM_UP; }
  return up;
}

static void app(sim *s, sim_node *n, uint64_t what) {
  (void)what;
  s->is_done = count_up(s) < 2 || count_different(s) == 0;
  if (!s->is_done) { sim_app(s, n, CHECK_NS, CHECK); }
}

static void output(sim *s, sim_node *n, bbw_str topic, bbw_bytes value) {
  (void)s;
  if (!SIM_IS(topic, "model")) { return; }
  n->host.model.len = 0;
  sim_buf_put(&n->host.model, value.ptr, value.len);
}

static void step(sim *s, sim_node *n, const bbw_step *st) {
  (void)s;
  (void)n;
  (void)st;
}

static void calm(sim *s) { sim_app(s, &s->nodes[0], CHECK_NS, CHECK); }

static void end(sim *s) {
  if (!s->is_done) {
    sim_fail(s, NULL, "%u models of %u are not the same after %.0f s", count_different(s), count_up(s),
             (double)(s->now_ns - s->calm_ns) / 1e9);
  }
}

const sim_scenario sim_gossip = {"gossip", 2, 2, 10, setup, installed, app, output, step, calm, end};
