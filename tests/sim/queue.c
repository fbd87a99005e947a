#include "queue.h"

#include <stdlib.h>
#include <string.h>

#include "base.h"

/* ---- the heap: four children for each place, so that it is half as deep as with two ---- */

#define LINE_BYTES 64u
#define ROOT       3u

/* In unused places of the last four, so that nobody has to count children. */
static const sim_event no_event = {.at_ns = UINT64_MAX, .rank = UINT64_MAX << 28};

/* Without a branch: nobody can guess which of two events is first. */
static inline bool is_before(const sim_event *a, const sim_event *b) {
  return (a->at_ns < b->at_ns) | ((a->at_ns == b->at_ns) & (a->rank < b->rank));
}

/* Places behind the last one, up to the end of its four and four more. */
static size_t heap_end(const sim_heap *heap) { return ((heap->count + ROOT + 3) & ~(size_t)3) + 4; }

static void heap_grow(sim_heap *heap) {
  size_t cap = heap->cap == 0 ? 64 : heap->cap * 2;
  bool is_too_large = cap > SIZE_MAX / sizeof(sim_event) - LINE_BYTES;
  void *block = sim_need(is_too_large ? NULL : malloc(cap * sizeof(sim_event) + LINE_BYTES));
  sim_event *items = (sim_event *)(((uintptr_t)block + LINE_BYTES - 1) & ~(uintptr_t)(LINE_BYTES - 1));
  if (heap->count != 0) { memcpy(items, heap->items, (heap->count + ROOT) * sizeof(*items)); }
  for (size_t i = heap->count + ROOT; i < cap; i++) { items[i] = no_event; }
  free(heap->block);
  heap->block = block;
  heap->items = items;
  heap->cap = cap;
}

static size_t parent_of(size_t at) { return at / 4 + 2; }

/* Moves the hole up to where the event belongs. */
static void heap_rise(sim_event *items, size_t at, const sim_event *event) {
  while (at > ROOT && is_before(event, &items[parent_of(at)])) {
    items[at] = items[parent_of(at)];
    at = parent_of(at);
  }
  items[at] = *event;
}

static void heap_push(sim_heap *heap, const sim_event *event) {
  if (heap_end(heap) + 4 > heap->cap) { heap_grow(heap); }
  heap_rise(heap->items, ROOT + heap->count++, event);
}

/* It is not empty. */
static void heap_pop(sim_heap *heap, sim_event *out) {
  sim_event *items = heap->items;
  *out = items[ROOT];
  size_t end = ROOT + --heap->count, at = ROOT;
  sim_event last = items[end];
  items[end] = no_event;
  if (at == end) { return; }
  /* The hole goes to the bottom, where the last event mostly belongs. */
  for (;;) {
    size_t first = 4 * (at - 2);
    if (first >= end) { break; }
    size_t left = first + is_before(&items[first + 1], &items[first]);
    size_t right = first + 2 + is_before(&items[first + 3], &items[first + 2]);
    size_t best = is_before(&items[right], &items[left]) ? right : left;
    items[at] = items[best];
    at = best;
  }
  heap_rise(items, at, &last);
}

static void heap_free(sim_heap *heap) { free(heap->block); }

/* ---- the calendar ---- */

static uint64_t day_of(const sim_event *event) { return event->at_ns >> SIM_DAY_SHIFT; }

static sim_event *ahead_at(sim_queue *queue, size_t i) { return &queue->ahead[(queue->ahead_first + i) % SIM_AHEAD]; }

/* An event that comes before the last of those whose order is known takes its place among them. */
static void push_ahead(sim_queue *queue, const sim_event *event) {
  if (queue->ahead_count == SIM_AHEAD) { heap_push(&queue->near, ahead_at(queue, --queue->ahead_count)); }
  size_t i = queue->ahead_count++;
  for (; i > 0 && is_before(event, ahead_at(queue, i - 1)); i--) { *ahead_at(queue, i) = *ahead_at(queue, i - 1); }
  *ahead_at(queue, i) = *event;
}

void sim_queue_push(sim_queue *queue, uint64_t at_ns, uint32_t kind, uint32_t node, uint64_t a, void *p) {
  sim_event event = {.at_ns = at_ns, .rank = queue->pushed++ << 28 | (uint64_t)node << 4 | kind, .a = a, .p = p};
  uint64_t number = day_of(&event);
  queue->count++;
  if (queue->ahead_count != 0 && is_before(&event, ahead_at(queue, queue->ahead_count - 1))) {
    push_ahead(queue, &event);
  } else if (number <= queue->today) {
    heap_push(&queue->near, &event);
  } else if (number - queue->today < SIM_DAYS) {
    sim_day *day = &queue->days[number % SIM_DAYS];
    day->items = sim_grow(day->items, &day->cap, day->count + 1, sizeof(*day->items));
    day->items[day->count++] = event;
    queue->waiting++;
  } else {
    heap_push(&queue->far, &event);
  }
}

/* Brings the next day that has events; there is one. */
static void turn_page(sim_queue *queue) {
  do {
    queue->today = queue->waiting != 0 ? queue->today + 1 : day_of(&queue->far.items[ROOT]);
    sim_day *day = &queue->days[queue->today % SIM_DAYS];
    for (size_t i = 0; i < day->count; i++) { heap_push(&queue->near, &day->items[i]); }
    queue->waiting -= day->count;
    day->count = 0;
    while (queue->far.count != 0 && day_of(&queue->far.items[ROOT]) <= queue->today) {
      sim_event event;
      heap_pop(&queue->far, &event);
      heap_push(&queue->near, &event);
    }
  } while (queue->near.count == 0);
}

bool sim_queue_pop(sim_queue *queue, sim_event *out) {
  if (queue->count == 0) { return false; }
  if (queue->ahead_count == 0 && queue->near.count == 0) { turn_page(queue); }
  while (queue->ahead_count < SIM_AHEAD && queue->near.count != 0) {
    heap_pop(&queue->near, ahead_at(queue, queue->ahead_count++));
  }
  *out = *ahead_at(queue, 0);
  queue->ahead_first++;
  queue->ahead_count--;
  queue->count--;
  return true;
}

const sim_event *sim_queue_ahead(const sim_queue *queue, size_t i) {
  return i < queue->ahead_count ? &queue->ahead[(queue->ahead_first + i) % SIM_AHEAD] : NULL;
}

void sim_queue_free(sim_queue *queue) {
  heap_free(&queue->near);
  heap_free(&queue->far);
  for (size_t i = 0; i < SIM_DAYS; i++) { free(queue->days[i].items); }
  *queue = (sim_queue){.count = 0};
}
