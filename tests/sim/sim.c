#include "sim.h"

#include "base/fetch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const sim_scenario *const scenarios[] = {&sim_storm,  &sim_join,  &sim_fedavg,
                                                &sim_gossip, &sim_churn, &sim_relay};
enum { SCENARIO_COUNT = sizeof(scenarios) / sizeof(scenarios[0]) };

const sim_scenario *sim_scenario_named(const char *name) {
  for (size_t i = 0; i < SCENARIO_COUNT; i++) {
    if (strcmp(scenarios[i]->name, name) == 0) { return scenarios[i]; }
  }
  return NULL;
}

/* ---- what is said about a run ---- */

void sim_fail(sim *s, const sim_node *n, const char *format, ...) {
  if (s->is_failed) { return; }
  s->is_failed = true;
  char text[240];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof(text), format, list);
  va_end(list);
  if (n == NULL) {
    snprintf(s->reason, sizeof(s->reason), "at %.6f s: %s", (double)s->now_ns / 1e9, text);
  } else {
    snprintf(s->reason, sizeof(s->reason), "at %.6f s, node %u: %s", (double)s->now_ns / 1e9, (unsigned)n->index, text);
  }
  sim_trace(s, n, "FAILED %s", text);
}

void sim_trace(sim *s, const sim_node *n, const char *format, ...) {
  if (!s->options.is_traced) { return; }
  printf("%12.6f ", (double)s->now_ns / 1e9);
  if (n == NULL) {
    printf("        ");
  } else {
    printf("n%-6u ", (unsigned)n->index);
  }
  va_list list;
  va_start(list, format);
  vprintf(format, list);
  va_end(list);
  putchar('\n');
}

void sim_note(sim *s, uint64_t value) {
  s->hash = (s->hash ^ value) * 0x9e3779b97f4a7c15u;
  s->hash ^= s->hash >> 29;
}

void sim_note_bytes(sim *s, const uint8_t *bytes, size_t len) {
  size_t i = 0;
  for (; i + 8 <= len; i += 8) { sim_note(s, sim_load_u64(bytes + i)); }
  uint64_t rest = 0;
  for (; i < len; i++) { rest = rest << 8 | bytes[i]; }
  sim_note(s, rest ^ (uint64_t)len << 56);
}

void sim_at(sim *s, uint64_t at_ns, sim_event_kind kind, const sim_node *n, uint64_t a, void *p) {
  sim_queue_push(&s->queue, at_ns < s->now_ns ? s->now_ns : at_ns, kind, n == NULL ? 0 : (uint32_t)(n - s->nodes), a,
                 p); /* its index, without reading it */
}

void sim_app(sim *s, const sim_node *n, uint64_t delay_ns, uint64_t what) {
  sim_at(s, s->now_ns + delay_ns, SIM_APP, n, what, NULL);
}

/* ---- the loop ---- */

#define NODE_FETCH_BYTES    offsetof(sim_node, link_free_ns)
#define MESSAGE_FETCH_BYTES 320u /* of an envelope, as far as small ones go */

static void happen(sim *s, const sim_event *event) {
  sim_node *n = &s->nodes[sim_event_node(event)];
  switch ((sim_event_kind)sim_event_kind_of(event)) {
  case SIM_DELIVER: sim_arrive(s, n, event->p, event->a); return;
  case SIM_WAKE:
    if (event->a == n->life && event->at_ns == n->wake_ns && n->state == SIM_UP) {
      n->wake_ns = SIM_NEVER;
      sim_wake(n);
    }
    return;
  case SIM_COMPLETE: sim_data_complete(n, event->a); return;
  case SIM_SEND_FAILED: {
    uint64_t id = *(const uint64_t *)event->p;
    free(event->p);
    if (n->state == SIM_UP) { sim_send_failed(n, (uint32_t)event->a, id); }
    return;
  }
  case SIM_FAULT: sim_fault_happens(s, &s->faults[event->a]); return;
  case SIM_SNAPSHOT:
    if (n->state == SIM_UP) { sim_save(n); }
    if (n->state != SIM_GONE && !s->is_calm) { sim_at(s, s->now_ns + s->snapshot_every_ns, SIM_SNAPSHOT, n, 0, NULL); }
    return;
  case SIM_LIE:
    if (!s->is_calm) { sim_lie(s, n); }
    return;
  case SIM_APP: s->scenario->app(s, n, event->a); return;
  case SIM_CALM: sim_calm(s); return;
  case SIM_ROOM: sim_slow_happens(s, event->a); return;
  }
}

/* What events will read is asked for while those before them happen: first where to look, then what is there.  Two events take longer than memory does to answer. */
static void fetch_ahead(const sim *s) {
  const sim_event *event = sim_queue_ahead(&s->queue, 2 * BBW_FETCH_STEPS);
  if (event != NULL) {
    bbw_fetch(&s->nodes[sim_event_node(event)], NODE_FETCH_BYTES);
    if (sim_event_kind_of(event) == SIM_DELIVER) { bbw_fetch(event->p, MESSAGE_FETCH_BYTES); }
  }
  for (uint32_t step = 0; step < BBW_FETCH_STEPS; step++) {
    event = sim_queue_ahead(&s->queue, 2 * (BBW_FETCH_STEPS - 1 - step));
    if (event == NULL) { continue; }
    const sim_node *n = &s->nodes[sim_event_node(event)];
    if (n->node != NULL) { bbw_node_fetch(n->node, sim_event_kind_of(event) == SIM_WAKE, step); }
  }
}

static void event_drop(sim *s, const sim_event *event) {
  uint32_t kind = sim_event_kind_of(event);
  if (kind == SIM_DELIVER) { sim_message_release(s, event->p); }
  if (kind == SIM_SEND_FAILED) { free(event->p); }
}

static void choose_scenario(sim *s) {
  if (s->options.scenario != NULL) {
    s->scenario = sim_scenario_named(s->options.scenario);
    return;
  }
  uint64_t weights = 0;
  for (size_t i = 0; i < SCENARIO_COUNT; i++) { weights += scenarios[i]->weight; }
  uint64_t at = sim_rng_below(&s->draw, weights);
  size_t i = 0;
  for (; at >= scenarios[i]->weight; i++) { at -= scenarios[i]->weight; }
  s->scenario = scenarios[i];
}

static void end_nodes(sim *s) {
  for (uint32_t i = 0; i < s->node_count; i++) {
    sim_node *n = &s->nodes[i];
    if (n->node != NULL) { sim_uninstall(n); }
    for (size_t k = 0; k < n->inbox_count; k++) { sim_message_release(s, n->inbox[k]); }
    free(n->inbox);
    sim_buf_free(&n->snapshot);
    sim_host_free(&n->host);
    sim_host_free(&n->saved);
  }
}

void sim_run(const sim_options *options, sim_result *out) {
  sim *s = sim_alloc(sizeof(*s));
  s->options = *options;
  s->draw = sim_rng_new(options->seed, 1);
  s->net = sim_rng_new(options->seed, 2);
  s->app = sim_rng_new(options->seed, 3);
  s->lies = sim_rng_new(options->seed, 4);
  choose_scenario(s);
  sim_draw(s);
  sim_data_type(s);
  s->scenario->setup(s);
  sim_draw_faults(s);
  sim_draw_slow(s);
  for (uint32_t i = 0; i < s->honest_count; i++) {
    sim_node *n = &s->nodes[i];
    if (n->state != SIM_UP) { continue; } /* the scenario starts it later */
    sim_install(n);
  }
  sim_at(s, s->calm_ns, SIM_CALM, NULL, 0, NULL);
  sim_event event;
  while (!s->is_failed && !s->is_done && sim_queue_pop(&s->queue, &event)) {
    if (event.at_ns > s->end_ns) {
      event_drop(s, &event);
      break;
    }
    fetch_ahead(s);
    s->now_ns = event.at_ns;
    s->events++;
    sim_note(s, event.at_ns ^ (uint64_t)sim_event_kind_of(&event) << 60);
    sim_note(s, sim_event_node(&event));
    happen(s, &event);
  }
  for (uint32_t i = 0; i < s->honest_count && !s->is_failed && !s->options.is_calm && !sim_is_gullible(s); i++) {
    if (s->nodes[i].node != NULL) { sim_check_book(&s->nodes[i]); }
  }
  if (!s->is_failed) { s->scenario->end(s); }
  end_nodes(s);
  sim_note(s, s->events);
  *out = (sim_result){.scenario = s->scenario->name,
                      .nodes = s->honest_count,
                      .is_ok = !s->is_failed,
                      .hash = s->hash,
                      .events = s->events,
                      .delivered = s->delivered,
                      .polls = s->polls,
                      .virtual_ns = s->now_ns,
                      .faults = s->happened,
                      .lies = s->lies_told,
                      .peak_bytes = s->peak_bytes};
  memcpy(out->reason, s->reason, sizeof(s->reason));
  while (sim_queue_pop(&s->queue, &event)) { event_drop(s, &event); }
  for (size_t i = 0; i < SIM_SEEN_MAX; i++) { sim_message_release(s, s->seen[i]); }
  for (size_t i = 0; i < 2; i++) { sim_buf_free(&s->models[i]); }
  sim_queue_free(&s->queue);
  free(s->faults);
  free(s->askers);
  sim_pool_end(&s->pool);
  free(s);
}
