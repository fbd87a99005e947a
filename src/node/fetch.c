/* fetch: memory that a call will read, asked for beforehand.  Hints only: nothing depends on them. */
#include "base/fetch.h"
#include "node/node.h"

#define LINE_BYTES 64u
/* Of the ingress queue: what a usual poll takes. */
#define EVENTS_MAX 16u
/* Of an envelope, beside what is decoded. */
#define ENVELOPE_BYTES 256u
/* Of an array of a graph: large graphs are not fetched whole. */
#define ARRAY_BYTES_MAX 2048u

static void fetch_array(const void *from, size_t count, size_t size) {
  if (from != NULL) { bbw_fetch(from, count < ARRAY_BYTES_MAX / size ? count * size : ARRAY_BYTES_MAX); }
}

/* What came in: where the ring says it is, and the ring itself. */
static void fetch_ring(const bbw_ingress *ingress, size_t from, size_t count) {
  for (size_t i = 0; ingress->size != 0 && i < count; i++) {
    bbw_fetch(&ingress->events[(ingress->head + from + i) % ingress->size], sizeof(*ingress->events));
  }
}

static size_t events_of(const bbw_ingress *ingress) {
  return ingress->count < EVENTS_MAX ? ingress->count : EVENTS_MAX;
}

static void fetch_events(const bbw_ingress *ingress) {
  for (size_t i = 0; i < events_of(ingress); i++) {
    const bbw_ingress_event *event = &ingress->events[(ingress->head + i) % ingress->size];
    if (event->kind == BBW_INGRESS_ENVELOPE) { bbw_fetch(event->envelope, sizeof(*event->envelope) + ENVELOPE_BYTES); }
  }
}

/* What is known of who sent them: one look-up does not wait for the other. */
static void fetch_senders(const bbw_engine *engine) {
  const bbw_ingress *ingress = &engine->ingress;
  for (size_t i = 0; i < events_of(ingress); i++) {
    const bbw_ingress_event *event = &ingress->events[(ingress->head + i) % ingress->size];
    const bbw_bytes *addresses;
    size_t count;
    bool is_known = event->kind == BBW_INGRESS_ENVELOPE &&
                    bbw_address_book_lookup(&engine->address_book, &event->envelope->inbound.src_peer, &addresses,
                                            &count);
    if (is_known) { bbw_fetch(addresses, sizeof(*addresses) + LINE_BYTES); }
  }
}

static void fetch_graph(const bbw_graph *graph) {
  fetch_array(graph->ops, graph->op_count, sizeof(*graph->ops));
  fetch_array(graph->needed, graph->op_count, sizeof(*graph->needed));
  fetch_array(graph->sites, graph->site_count, sizeof(*graph->sites));
  fetch_array(graph->site_indices, graph->site_index_count, sizeof(*graph->site_indices));
  fetch_array(graph->consumers, graph->consumer_count, sizeof(*graph->consumers));
  fetch_array(graph->idle_frames, 1, sizeof(*graph->idle_frames) + graph->site_count * sizeof(bbw_value *));
}

static void fetch_for_delivery(const bbw_node *node, uint32_t step) {
  if (step == 0) { bbw_fetch(node, offsetof(bbw_node, engine) + offsetof(bbw_engine, graphs)); }
  if (step == 1) { fetch_ring(&node->engine.ingress, node->engine.ingress.count, 1); }
}

static void fetch_for_poll(const bbw_node *node, uint32_t step) {
  const bbw_engine *engine = &node->engine;
  const bbw_graph *graph = step == 0 || engine->graphs.count == 0 ? NULL : bbw_engine_graph(engine, 0);
  switch (step) {
  case 0: bbw_fetch(node, offsetof(bbw_node, modules)); return;
  case 1:
    fetch_ring(&engine->ingress, 0, events_of(&engine->ingress));
    if (graph != NULL) { bbw_fetch(graph, sizeof(*graph)); }
    return;
  case 2:
    fetch_events(&engine->ingress);
    if (graph != NULL) { fetch_graph(graph); }
    return;
  default: fetch_senders(engine); return;
  }
}

void bbw_node_fetch(const bbw_node *node, bool is_poll, uint32_t step) {
#ifdef __wasm__
  (void)fetch_for_poll; /* look-ups for nothing */
  (void)fetch_for_delivery;
  (void)node;
  (void)is_poll;
  (void)step;
#else
  if (is_poll) {
    fetch_for_poll(node, step);
  } else {
    fetch_for_delivery(node, step);
  }
#endif
}
