/* fetch: memory that a call will read, asked for beforehand.  Hints only: nothing depends on them. */
#include "node/node.h"

#ifndef __wasm__

#define LINE_BYTES 64u
/* Of the ingress queue: what a usual poll takes. */
#define EVENTS_MAX 16u
/* Of an array of a graph: large graphs are not fetched whole. */
#define ARRAY_BYTES_MAX 2048u

static void fetch(const void *from, size_t bytes) {
  for (size_t at = 0; at < bytes; at += LINE_BYTES) { __builtin_prefetch((const uint8_t *)from + at); }
}

static void fetch_array(const void *from, size_t count, size_t size) {
  if (from != NULL) { fetch(from, count < ARRAY_BYTES_MAX / size ? count * size : ARRAY_BYTES_MAX); }
}

static void fetch_events(const bbw_ingress *ingress) {
  size_t count = ingress->count < EVENTS_MAX ? ingress->count : EVENTS_MAX;
  for (size_t i = 0; i < count; i++) {
    const bbw_ingress_event *event = &ingress->events[(ingress->head + i) % ingress->size];
    if (event->kind == BBW_INGRESS_ENVELOPE) { fetch(event->envelope, sizeof(*event->envelope) + 4 * LINE_BYTES); }
  }
}

static void fetch_graph(const bbw_graph *graph) {
  fetch_array(graph->ops, graph->op_count, sizeof(*graph->ops));
  fetch_array(graph->sites, graph->site_count, sizeof(*graph->sites));
  fetch_array(graph->site_indices, graph->site_index_count, sizeof(*graph->site_indices));
  fetch_array(graph->consumers, graph->consumer_count, sizeof(*graph->consumers));
}

static void fetch_work(const bbw_engine *engine) {
  fetch_events(&engine->ingress);
  fetch_array(engine->steps.bytes.items, engine->steps.bytes.cap, 1);
  if (engine->graphs.count != 0) { fetch_graph(bbw_engine_graph(engine, 0)); }
}

void bbw_node_fetch(const bbw_node *node, bbw_fetch what) {
  const bbw_engine *engine = &node->engine;
  switch (what) {
  case BBW_FETCH_DELIVERY: fetch(node, offsetof(bbw_node, engine) + offsetof(bbw_engine, graphs)); return;
  case BBW_FETCH_POLL: fetch(node, offsetof(bbw_node, modules)); return;
  case BBW_FETCH_WORK: fetch_work(engine); return;
  }
}

#else

void bbw_node_fetch(const bbw_node *node, bbw_fetch what) {
  (void)node;
  (void)what;
}

#endif
