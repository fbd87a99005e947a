#include "engine/outbound.h"

#include <string.h>

#include "base/mem.h"
#include "engine/steps.h"

#define TAG_DEST_ADDRESS 0x0au /* field 1, length-delimited */

void bbw_outbound_init(bbw_outbound *outbound, uint64_t cap, const bbw_mem *mem) {
  *outbound = (bbw_outbound){.mem = mem, .cap = cap};
  bbw_vec_init(&outbound->entries, sizeof(bbw_outbound_entry), mem);
}

void bbw_outbound_free(bbw_outbound *outbound) {
  while (bbw_outbound_count(outbound) != 0) { bbw_outbound_pop(outbound); }
  bbw_vec_free(&outbound->entries);
}

bbw_status bbw_tail_new(bbw_tail **out, const bbw_envelope *envelope, const bbw_mem *mem) {
  bbw_envelope rest = *envelope;
  rest.dest_peer_address_count = 0;
  size_t len = bbw_envelope_size(&rest);
  if (len > BBW_STEP_FIELD_BYTES_MAX) { return BBW_E_LIMIT; }
  bbw_tail *tail = mem->alloc(mem->ctx, sizeof(bbw_tail) + len);
  if (tail == NULL) { return BBW_E_NOMEM; }
  tail->refs = 1;
  tail->len = len;
  bbw_envelope_encode(&rest, tail->bytes);
  *out = tail;
  return BBW_OK;
}

void bbw_tail_release(bbw_tail *tail, const bbw_mem *mem) {
  if (tail != NULL && --tail->refs == 0) { mem->free(mem->ctx, tail, sizeof(bbw_tail) + tail->len); }
}

static size_t length_size(size_t len) {
  size_t size = 1;
  for (; len > 0x7f; len >>= 7) { size++; }
  return size;
}

static uint8_t *length_write(uint8_t *at, size_t len) {
  for (; len > 0x7f; len >>= 7) { *at++ = (uint8_t)(len | 0x80); }
  *at++ = (uint8_t)len;
  return at;
}

bbw_status bbw_outbound_push(bbw_outbound *outbound, const bbw_peer_id *peer, const bbw_bytes *addresses, size_t count,
                             bbw_tail *tail) {
  size_t len = 0;
  for (size_t i = 0; i < count; i++) {
    size_t size;
    if (!bbw_size_add(addresses[i].len, 1 + length_size(addresses[i].len), &size) || !bbw_size_add(len, size, &len)) {
      return BBW_E_NOMEM;
    }
  }
  if (!bbw_vec_reserve(&outbound->entries, 1)) { return BBW_E_NOMEM; }
  uint8_t *dest = bbw_mem_array(outbound->mem, len, 1);
  if (dest == NULL && len != 0) { return BBW_E_NOMEM; }
  uint8_t *at = dest;
  for (size_t i = 0; i < count; i++) {
    *at++ = TAG_DEST_ADDRESS;
    at = length_write(at, addresses[i].len);
    if (addresses[i].len != 0) { memcpy(at, addresses[i].ptr, addresses[i].len); }
    at += addresses[i].len;
  }
  while (bbw_outbound_count(outbound) >= outbound->cap) {
    bbw_outbound_pop(outbound);
    outbound->dropped_new++;
  }
  tail->refs++;
  bbw_outbound_entry *entry = bbw_vec_push(&outbound->entries);
  *entry = (bbw_outbound_entry){.peer = *peer, .dest = dest, .dest_len = len, .tail = tail};
  return BBW_OK;
}

void bbw_outbound_mark_redelivered(bbw_outbound *outbound) {
  BBW_VEC_AT(&outbound->entries, bbw_outbound_entry, outbound->entries.count - 1)->is_redelivered = true;
}

size_t bbw_outbound_count(const bbw_outbound *outbound) { return outbound->entries.count - outbound->head; }

const bbw_outbound_entry *bbw_outbound_front(const bbw_outbound *outbound) {
  if (bbw_outbound_count(outbound) == 0) { return NULL; }
  return BBW_VEC_AT(&outbound->entries, bbw_outbound_entry, outbound->head);
}

void bbw_outbound_pop(bbw_outbound *outbound) {
  bbw_outbound_entry *entry = BBW_VEC_AT(&outbound->entries, bbw_outbound_entry, outbound->head++);
  bbw_mem_array_free(outbound->mem, entry->dest, entry->dest_len, 1);
  bbw_tail_release(entry->tail, outbound->mem);
  if (outbound->head == outbound->entries.count) {
    outbound->head = 0;
    outbound->entries.count = 0;
  }
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
