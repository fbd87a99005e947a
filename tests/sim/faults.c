/* faults: what happens to Nodes and to the network, and how it ends. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static void crash(sim *s, sim_node *n, uint64_t back_ns) {
  if (n->state != SIM_UP && n->state != SIM_FROZEN) { return; }
  n->back_ns = back_ns;
  sim_trace(s, n, "crashes");
  sim_uninstall(n);
  for (size_t i = 0; i < n->inbox_count; i++) { sim_message_release(s, n->inbox[i]); }
  n->inbox_count = 0;
  n->state = SIM_DOWN;
}

static void come_back(sim *s, sim_node *n) {
  if (n->state == SIM_DOWN && n->life != 0) { sim_install(n); }
  (void)s;
}

static void thaw(sim *s, sim_node *n) {
  if (n->state != SIM_FROZEN) { return; }
  sim_trace(s, n, "goes on, %zu envelopes wait", n->inbox_count);
  n->state = SIM_UP;
  n->wake_ns = SIM_NEVER;
  size_t count = n->inbox_count;
  n->inbox_count = 0;
  for (size_t i = 0; i < count; i++) { sim_arrive(s, n, n->inbox[i], 0); }
  sim_touch(n);
}

static void freeze(sim *s, sim_node *n) {
  if (n->state != SIM_UP) { return; }
  sim_trace(s, n, "freezes");
  sim_untwin(n);
  n->state = SIM_FROZEN;
  n->wake_ns = SIM_NEVER;
}

static void change_lists(sim *s, sim_node *n, const sim_fault *fault, bool is_begin) {
  if (n->state != SIM_UP) { return; }
  if (!sim_is_idle(n)) { /* what it has let in before the change is not against the lists */
    sim_at(s, s->now_ns + 3 * SIM_MS, SIM_FAULT, NULL, (uint64_t)(fault - s->faults), NULL);
    return;
  }
  s->happened++;
  uint64_t draw = sim_mix((uint64_t)fault->amount ^ s->options.seed);
  if ((draw & 1) != 0) {
    sim_block(n, (uint32_t)((draw >> 8) % s->node_count), is_begin);
  } else if (is_begin) {
    bool *allowed = sim_alloc(s->node_count);
    for (uint32_t i = 0; i < s->node_count; i++) { allowed[i] = (sim_mix(draw + i) & 3) != 0; }
    sim_allow(n, allowed);
    free(allowed);
  } else {
    sim_allow(n, NULL);
  }
}

static void leave(sim *s, sim_node *n) {
  if (n->index == 0 || n->state != SIM_UP) {
    return;
  } /* the first one is needed: it is the server, or the one that all know */
  crash(s, n, SIM_NEVER);
  sim_trace(s, n, "has left for ever");
  n->state = SIM_GONE;
}

void sim_fault_happens(sim *s, sim_fault *fault) {
  if (s->is_calm) { return; }
  sim_node *n = &s->nodes[fault->node];
  s->happened += fault->kind != SIM_LISTS; /* those may have to wait */
  bool is_begin = s->now_ns < fault->to_ns || fault->kind == SIM_CLOCK_JUMP || fault->kind == SIM_LEAVE;
  switch (fault->kind) {
  case SIM_CRASH: is_begin ? crash(s, n, fault->to_ns) : come_back(s, n); return;
  case SIM_FREEZE: is_begin ? freeze(s, n) : thaw(s, n); return;
  case SIM_LEAVE: leave(s, n); return;
  case SIM_PARTITION:
    s->partition = is_begin ? ((uint64_t)fault->amount ^ fault->from_ns) | 1 : 0;
    sim_trace(s, NULL, is_begin ? "the network falls into two" : "the network is whole");
    return;
  case SIM_CLOCK_JUMP:
    sim_trace(s, n, "clock jumps by %.3f s", (double)fault->amount / 1e9);
    sim_clock_jump(n, fault->amount);
    if (n->state == SIM_UP) { sim_touch(n); }
    return;
  case SIM_STORM:
    s->is_storm = is_begin;
    sim_trace(s, NULL, is_begin ? "a storm begins" : "the storm is over");
    return;
  case SIM_TWIN:
    if (n->state != SIM_UP) { return; }
    sim_trace(s, n, is_begin ? "gets a twin" : "loses its twin");
    is_begin ? sim_twin(n) : sim_untwin(n);
    return;
  case SIM_LISTS: change_lists(s, n, fault, is_begin); return;
  case SIM_FAULT_KIND_COUNT: return;
  }
}

static void give_room(sim_slow *slow, sim_node *n, uint64_t bytes) {
  if (n->node == NULL) { return; }
  slow->life = bytes == BBW_NO_CAP ? 0 : n->life;
  sim_room(n, slow->peer, bytes);
}

void sim_slow_happens(sim *s, uint64_t what) {
  sim_slow *slow = &s->slow[what >> 32];
  uint64_t bytes = (uint32_t)what == UINT32_MAX ? BBW_NO_CAP : (uint32_t)what;
  if (!s->is_calm) { give_room(slow, &s->nodes[slow->node], bytes); }
}

bool sim_is_slow(const sim_node *n) {
  for (size_t i = 0; i < n->sim->slow_count; i++) {
    const sim_slow *slow = &n->sim->slow[i];
    if (slow->node == n->index && slow->life == n->life) { return true; }
  }
  return false;
}

void sim_calm(sim *s) {
  sim_trace(s, NULL, "all faults are over");
  s->is_calm = true;
  s->partition = 0;
  s->is_storm = false;
  s->link.loss_ppm = 0;
  s->link.twice_ppm = 0;
  for (uint32_t i = 0; i < s->honest_count && !s->is_failed; i++) {
    sim_node *n = &s->nodes[i];
    come_back(s, n);
    thaw(s, n);
    if (n->state != SIM_UP) { continue; }
    sim_untwin(n);
    if (n->host.allowed != NULL) { sim_allow(n, NULL); }
    for (uint32_t k = 0; n->host.blocked != NULL && k < s->honest_count; k++) {
      if (n->host.blocked[k]) { sim_block(n, k, false); }
    }
  }
  for (size_t i = 0; i < s->slow_count && !s->is_failed; i++) {
    give_room(&s->slow[i], &s->nodes[s->slow[i].node], BBW_NO_CAP);
  }
  if (!s->is_failed) { s->scenario->calm(s); }
}
