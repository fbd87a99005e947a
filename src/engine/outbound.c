#include "engine/outbound.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "engine/steps.h"
#include "format/pbwire.h"

#define TAG_DEST_ADDRESS 0x0au /* field 1, length-delimited */
#define FIELD_DEADLINE   4u

void bbw_outbound_init(bbw_outbound *outbound, uint64_t cap, uint64_t bytes_max, const bbw_mem *mem) {
  *outbound = (bbw_outbound){.mem = mem, .cap = cap, .bytes_max = bytes_max};
  bbw_peer_table_init(&outbound->flows, sizeof(bbw_flow), mem);
}

/* ---- one queue ---------------------------------------------------------------------------------------------------- */

static void queue_add(bbw_outbound_queue *queue, bbw_outbound_entry *entry) {
  entry->next = NULL;
  if (queue->first == NULL) {
    queue->first = entry;
  } else {
    queue->last->next = entry;
  }
  queue->last = entry;
  queue->count++;
}

static void queue_pop(bbw_outbound *outbound, bbw_outbound_queue *queue) {
  bbw_outbound_entry *entry = queue->first;
  queue->first = entry->next;
  queue->count--;
  bbw_tail_release(entry->tail, outbound->mem);
  outbound->mem->free(outbound->mem->ctx, entry, sizeof(*entry) + entry->dest_len);
}

static void queue_drop(bbw_outbound *outbound, bbw_outbound_queue *queue) {
  queue_pop(outbound, queue);
  outbound->dropped_new++;
}

/* ---- flows -------------------------------------------------------------------------------------------------------- */

/* What an entry is charged beside its bytes: the same on every machine, so that a run is the same natively and in wasm. */
#define ENTRY_CHARGE 128u
static_assert(sizeof(bbw_outbound_entry) <= ENTRY_CHARGE, "no entry is larger than its charge");

static size_t entry_bytes(const bbw_outbound_entry *entry) { return ENTRY_CHARGE + entry->dest_len + entry->tail->len; }

static void flow_add(bbw_outbound *outbound, bbw_flow *flow, bbw_outbound_entry *entry) {
  queue_add(&flow->queue, entry);
  flow->bytes += entry_bytes(entry);
  outbound->waiting_count++;
  outbound->waiting_bytes += entry_bytes(entry) - (entry->tail->waiting++ == 0 ? 0 : entry->tail->len);
}

/* Takes the oldest entry out of the sums; it is still the first of the queue. */
static void flow_forget(bbw_outbound *outbound, bbw_flow *flow) {
  const bbw_outbound_entry *entry = flow->queue.first;
  flow->bytes -= entry_bytes(entry);
  outbound->waiting_count--;
  outbound->waiting_bytes -= entry_bytes(entry) - (--entry->tail->waiting == 0 ? 0 : entry->tail->len);
}

/* More than its share: what a flow may hold is what all of them leave free. */
static bool is_over(const bbw_outbound *outbound, const bbw_flow *flow, size_t more) {
  uint64_t free_bytes = outbound->bytes_max > outbound->waiting_bytes ? outbound->bytes_max - outbound->waiting_bytes
                                                                      : 0;
  uint64_t free_count = outbound->cap > outbound->waiting_count ? outbound->cap - outbound->waiting_count : 0;
  return flow->bytes + more > free_bytes || flow->queue.count >= free_count;
}

static void join_ring(bbw_outbound *outbound, bbw_flow *flow) {
  if (flow->is_in_ring || flow->room == 0 || flow->queue.first == NULL) { return; }
  flow->is_in_ring = true;
  flow->next = NULL;
  if (outbound->ring_first == NULL) {
    outbound->ring_first = flow;
  } else {
    outbound->ring_last->next = flow;
  }
  outbound->ring_last = flow;
}

static void flow_drop_if_done(bbw_outbound *outbound, bbw_flow *flow) {
  bool is_done = flow->room == BBW_OUTBOUND_NO_LIMIT && flow->queue.first == NULL && !flow->is_in_ring;
  if (is_done) { bbw_peer_table_remove(&outbound->flows, flow); }
}

/* The first of the ring goes to its end if it still has something to send, else out of it. */
static void turn_ring(bbw_outbound *outbound) {
  bbw_flow *flow = outbound->ring_first;
  outbound->ring_first = flow->next;
  outbound->turn_bytes = 0;
  flow->is_in_ring = false;
  join_ring(outbound, flow);
  flow_drop_if_done(outbound, flow);
}

static void flow_push(bbw_outbound *outbound, bbw_flow *flow, bbw_outbound_entry *entry) {
  while (flow->queue.first != NULL && is_over(outbound, flow, entry_bytes(entry))) {
    flow_forget(outbound, flow);
    queue_drop(outbound, &flow->queue);
  }
  bool is_refused = is_over(outbound, flow, entry_bytes(entry)); /* others hold what is there */
  flow_add(outbound, flow, entry);
  if (is_refused) {
    flow_forget(outbound, flow);
    queue_drop(outbound, &flow->queue);
  }
  join_ring(outbound, flow);
}

bbw_status bbw_outbound_set_room(bbw_outbound *outbound, const bbw_peer_id *peer, uint64_t room) {
  bbw_flow *flow = bbw_peer_table_find(&outbound->flows, peer);
  if (flow == NULL) {
    if (room == BBW_OUTBOUND_NO_LIMIT) { return BBW_OK; }
    if (outbound->flows.count >= BBW_OUTBOUND_FLOWS_MAX) { return BBW_E_LIMIT; }
    flow = bbw_peer_table_add(&outbound->flows, peer);
    if (flow == NULL) { return BBW_E_NOMEM; }
  }
  flow->room = room;
  join_ring(outbound, flow);
  flow_drop_if_done(outbound, flow);
  return BBW_OK;
}

/* The first of the ring that may send. */
static bbw_flow *next_flow(const bbw_outbound *outbound) {
  bbw_flow *flow = outbound->ring_first;
  while (flow != NULL && (flow->room == 0 || flow->queue.first == NULL)) { flow = flow->next; }
  return flow;
}

/* ---- all together ------------------------------------------------------------------------------------------------- */

void bbw_outbound_rest(bbw_outbound *outbound) {
  while (outbound->ring_first != NULL) { turn_ring(outbound); }
}

void bbw_outbound_clear(bbw_outbound *outbound) {
  while (outbound->now.first != NULL) { queue_pop(outbound, &outbound->now); }
  for (bbw_peer_entry *entry = outbound->flows.first; entry != NULL; entry = entry->after) {
    bbw_flow *flow = (bbw_flow *)entry;
    while (flow->queue.first != NULL) {
      flow_forget(outbound, flow);
      queue_pop(outbound, &flow->queue);
    }
  }
  bbw_outbound_rest(outbound);
}

void bbw_outbound_free(bbw_outbound *outbound) {
  bbw_outbound_clear(outbound);
  bbw_peer_table_free(&outbound->flows);
}

bbw_status bbw_tail_new(bbw_tail **out, const bbw_envelope *envelope, const bbw_mem *mem) {
  bbw_envelope rest = *envelope;
  rest.dest_peer_address_count = 0;
  size_t len = bbw_envelope_size(&rest);
  if (len > BBW_STEP_FIELD_BYTES_MAX) { return BBW_E_LIMIT; }
  bbw_tail *tail = mem->alloc(mem->ctx, sizeof(bbw_tail) + len);
  if (tail == NULL) { return BBW_E_NOMEM; }
  *tail = (bbw_tail){.refs = 1, .len = len};
  bbw_envelope_encode(&rest, tail->bytes);
  *out = tail;
  return BBW_OK;
}

void bbw_tail_release(bbw_tail *tail, const bbw_mem *mem) {
  if (tail != NULL && --tail->refs == 0) { mem->free(mem->ctx, tail, sizeof(bbw_tail) + tail->len); }
}

bbw_status bbw_outbound_push(bbw_outbound *outbound, const bbw_peer_id *peer, const bbw_bytes *addresses, size_t count,
                             bbw_tail *tail) {
  size_t len = 0;
  for (size_t i = 0; i < count; i++) {
    size_t size;
    if (!bbw_size_add(addresses[i].len, 1 + bbw_pbwire_varint_size(addresses[i].len), &size) ||
        !bbw_size_add(len, size, &len)) {
      return BBW_E_NOMEM;
    }
  }
  bbw_outbound_entry *entry = len > SIZE_MAX - sizeof(*entry)
                                  ? NULL
                                  : outbound->mem->alloc(outbound->mem->ctx, sizeof(*entry) + len);
  if (entry == NULL) { return BBW_E_NOMEM; }
  *entry = (bbw_outbound_entry){.peer = *peer, .tail = tail, .queued_ns = outbound->now_ns, .dest_len = len};
  uint8_t *at = entry->dest;
  for (size_t i = 0; i < count; i++) {
    *at++ = TAG_DEST_ADDRESS;
    at += bbw_pbwire_varint_write(addresses[i].len, at);
    if (addresses[i].len != 0) { memcpy(at, addresses[i].ptr, addresses[i].len); }
    at += addresses[i].len;
  }
  tail->refs++;
  bbw_flow *flow = bbw_peer_table_find(&outbound->flows, peer);
  if (flow != NULL) {
    flow_push(outbound, flow, entry);
    return BBW_OK;
  }
  while (outbound->now.count >= outbound->cap) { queue_drop(outbound, &outbound->now); }
  queue_add(&outbound->now, entry);
  return BBW_OK;
}

void bbw_outbound_mark_redelivered(bbw_outbound *outbound, uint64_t queued_ns) {
  outbound->now.last->is_redelivered = true;
  outbound->now.last->queued_ns = queued_ns;
}

size_t bbw_outbound_count(const bbw_outbound *outbound) { return outbound->now.count + outbound->waiting_count; }

const bbw_outbound_entry *bbw_outbound_front(const bbw_outbound *outbound) {
  if (outbound->now.first != NULL) { return outbound->now.first; }
  const bbw_flow *flow = next_flow(outbound);
  return flow == NULL ? NULL : flow->queue.first;
}

void bbw_outbound_pop(bbw_outbound *outbound) {
  if (outbound->now.first != NULL) {
    queue_pop(outbound, &outbound->now);
    return;
  }
  bbw_flow *flow = next_flow(outbound);
  while (outbound->ring_first != flow) { turn_ring(outbound); }
  size_t len = flow->queue.first->dest_len + flow->queue.first->tail->len;
  outbound->turn_bytes += len;
  if (flow->room != BBW_OUTBOUND_NO_LIMIT) { flow->room -= len < flow->room ? len : flow->room; }
  flow_forget(outbound, flow);
  queue_pop(outbound, &flow->queue);
  bool is_turn_over = outbound->turn_bytes >= BBW_OUTBOUND_TURN_BYTES || flow->room == 0 || flow->queue.first == NULL;
  if (is_turn_over) { turn_ring(outbound); }
}

bool bbw_outbound_address(const bbw_outbound_entry *entry, size_t *at, bbw_bytes *out) {
  if (*at >= entry->dest_len) { return false; }
  size_t i = *at + 1; /* behind the tag */
  size_t len = 0;
  for (unsigned shift = 0;; shift += 7) {
    uint8_t byte = entry->dest[i++];
    len |= (size_t)(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) { break; }
  }
  *out = (bbw_bytes){entry->dest + i, len};
  *at = i + len;
  return true;
}

/* What is left of the deadline in a tail, in as many bytes as before: a number may be spelled with zeros in front. */
static void shorten_deadline(uint8_t *bytes, size_t len, uint64_t waited_ns) {
  bbw_pbwire_reader reader = {.bytes = bytes, .end = len};
  uint32_t field, wire;
  while (reader.at < len && bbw_pbwire_key(&reader, &field, &wire)) {
    size_t at = reader.at;
    uint64_t left_ns;
    if (field != FIELD_DEADLINE || wire != BBW_WIRE_VARINT) {
      if (!bbw_pbwire_skip(&reader, field, wire, 0)) { return; }
      continue;
    }
    if (!bbw_pbwire_varint(&reader, &left_ns) || left_ns == 0) { return; }
    left_ns = left_ns > waited_ns ? left_ns - waited_ns : 1;
    for (; at + 1 < reader.at; left_ns >>= 7) { bytes[at++] = (uint8_t)(left_ns | 0x80); }
    bytes[at] = (uint8_t)left_ns;
    return;
  }
}

void bbw_outbound_write(const bbw_outbound *outbound, const bbw_outbound_entry *entry, uint8_t *out) {
  if (entry->dest_len != 0) { memcpy(out, entry->dest, entry->dest_len); }
  memcpy(out + entry->dest_len, entry->tail->bytes, entry->tail->len);
  if (outbound->now_ns <= entry->queued_ns) { return; }
  shorten_deadline(out + entry->dest_len, entry->tail->len, outbound->now_ns - entry->queued_ns);
}
