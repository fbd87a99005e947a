#include "peers/address_book.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "bbw/address.h"

typedef struct book_entry {
  bbw_peer_entry head;
  bbw_vec addresses; /* bbw_bytes, each an allocation of its own (none when empty) */
  uint64_t ref_count;
  size_t index; /* in in_order */
} book_entry;

static bbw_bytes *address_at(const bbw_vec *addresses, size_t i) { return BBW_VEC_AT(addresses, bbw_bytes, i); }

static void address_free(const bbw_address_book *book, bbw_bytes address) {
  bbw_mem_array_free(book->mem, (void *)(uintptr_t)address.ptr, address.len, 1);
}

static void addresses_free(const bbw_address_book *book, bbw_vec *addresses) {
  for (size_t i = 0; i < addresses->count; i++) { address_free(book, *address_at(addresses, i)); }
  bbw_vec_free(addresses);
}

void bbw_address_book_init(bbw_address_book *book, const bbw_mem *mem) {
  *book = (bbw_address_book){.mem = mem, .cap = BBW_ADDRESS_BOOK_PEERS_MAX};
  bbw_peer_table_init(&book->entries, sizeof(book_entry), mem);
  bbw_vec_init(&book->in_order, sizeof(book_entry *), mem);
}

void bbw_address_book_free(bbw_address_book *book) {
  for (size_t i = 0; i < book->in_order.count; i++) {
    addresses_free(book, &(*BBW_VEC_AT(&book->in_order, book_entry *, i))->addresses);
  }
  bbw_vec_free(&book->in_order);
  bbw_peer_table_free(&book->entries);
}

static book_entry *find(const bbw_address_book *book, const bbw_peer_id *peer) {
  return bbw_peer_table_find(&book->entries, peer);
}

/* ---- address lists ------------------------------------------------------------------------------------------------ */

/* A copy in the shortest spelling, so that equal addresses are equal bytes. */
static bbw_status address_copy(const bbw_address_book *book, bbw_bytes address, bbw_bytes *out) {
  size_t len;
  bbw_status rv = bbw_address_canonical(address, NULL, 0, &len);
  if (rv != BBW_OK && rv != BBW_E_BUFFER) { return BBW_E_ARG; }
  *out = (bbw_bytes){NULL, 0};
  if (len == 0) { return BBW_OK; }
  uint8_t *bytes = bbw_mem_array(book->mem, len, 1);
  if (bytes == NULL) { return BBW_E_AB_ALLOCATION_FAILED; }
  (void)bbw_address_canonical(address, bytes, len, &len);
  *out = (bbw_bytes){bytes, len};
  return BBW_OK;
}

static bool list_has(const bbw_vec *list, size_t from, bbw_bytes address) {
  for (size_t i = from; i < list->count; i++) {
    if (bbw_bytes_equal(*address_at(list, i), address)) { return true; }
  }
  return false;
}

/*
 * Appends what is new of `more` to *list, at most BBW_ADDRESSES_PER_PEER_MAX in all, the oldest go.  The new list is complete before
 * the old one is touched, so a failure changes nothing.
 */
static bbw_status list_merge(const bbw_address_book *book, bbw_vec *list, const bbw_bytes *more, size_t count) {
  bbw_vec merged;
  bbw_vec_init(&merged, sizeof(bbw_bytes), book->mem);
  bbw_status rv = BBW_OK;
  if (!bbw_vec_append(&merged, list->items, list->count)) { return BBW_E_AB_ALLOCATION_FAILED; }
  size_t first = 0; /* merged[0 .. first) are evicted */
  for (size_t i = 0; i < count; i++) {
    bbw_bytes copy;
    rv = address_copy(book, more[i], &copy);
    if (rv != BBW_OK) { break; }
    if (list_has(&merged, first, copy)) {
      address_free(book, copy);
      continue;
    }
    bbw_bytes *place = bbw_vec_push(&merged);
    if (place == NULL) {
      address_free(book, copy);
      rv = BBW_E_AB_ALLOCATION_FAILED;
      break;
    }
    *place = copy;
    if (merged.count - first > BBW_ADDRESSES_PER_PEER_MAX) { first++; }
  }
  if (rv != BBW_OK) {
    for (size_t i = list->count; i < merged.count; i++) { address_free(book, *address_at(&merged, i)); }
    bbw_vec_free(&merged);
    return rv;
  }
  for (size_t i = 0; i < first; i++) { address_free(book, *address_at(&merged, i)); }
  merged.count -= first;
  if (first != 0) { memmove(merged.items, address_at(&merged, first), merged.count * sizeof(bbw_bytes)); }
  bbw_vec_free(list);
  *list = merged;
  return BBW_OK;
}

/* ---- peers -------------------------------------------------------------------------------------------------------- */

static bbw_status add_new(bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes *addresses, size_t count) {
  if (book->in_order.count >= book->cap) { return BBW_E_AB_FULL; }
  if (!bbw_vec_reserve(&book->in_order, 1)) { return BBW_E_AB_ALLOCATION_FAILED; }
  bbw_vec list;
  bbw_vec_init(&list, sizeof(bbw_bytes), book->mem);
  bbw_status rv = list_merge(book, &list, addresses, count);
  if (rv != BBW_OK) { return rv; }
  book_entry *entry = bbw_peer_table_add(&book->entries, peer);
  if (entry == NULL) {
    addresses_free(book, &list);
    return BBW_E_AB_ALLOCATION_FAILED;
  }
  entry->addresses = list;
  entry->ref_count = 1;
  entry->index = book->in_order.count;
  book_entry **place = bbw_vec_push(&book->in_order);
  *place = entry;
  return BBW_OK;
}

bbw_status bbw_address_book_add_peer(bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes *addresses,
                                     size_t count) {
  if (count == 0) { return BBW_E_AB_EMPTY; }
  book_entry *entry = find(book, peer);
  if (entry == NULL) { return add_new(book, peer, addresses, count); }
  bbw_status rv = list_merge(book, &entry->addresses, addresses, count);
  if (rv == BBW_OK && entry->ref_count < UINT64_MAX) { entry->ref_count++; }
  return rv;
}

bbw_status bbw_address_book_restore(bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes *addresses,
                                    size_t count, uint64_t ref_count) {
  if (ref_count == 0 || find(book, peer) != NULL) { return BBW_E_ARG; }
  bbw_status rv = add_new(book, peer, addresses, count);
  if (rv != BBW_OK) { return rv; }
  book_entry *entry = find(book, peer);
  entry->ref_count = ref_count;
  if (entry->addresses.count == count) { return BBW_OK; }
  entry->ref_count = 1;
  (void)bbw_address_book_drop_peer(book, peer);
  return BBW_E_ARG;
}

bbw_status bbw_address_book_drop_peer(bbw_address_book *book, const bbw_peer_id *peer) {
  book_entry *entry = find(book, peer);
  if (entry == NULL) { return BBW_E_AB_UNKNOWN_PEER; }
  entry->ref_count--;
  if (entry->ref_count != 0) { return BBW_OK; }
  book_entry **order = book->in_order.items;
  book->in_order.count--;
  for (size_t i = entry->index; i < book->in_order.count; i++) {
    order[i] = order[i + 1];
    order[i]->index = i;
  }
  addresses_free(book, &entry->addresses);
  bbw_peer_table_remove(&book->entries, entry);
  return BBW_OK;
}

bbw_status bbw_address_book_register_address(bbw_address_book *book, const bbw_peer_id *peer, bbw_bytes address) {
  book_entry *entry = find(book, peer);
  if (entry == NULL) { return BBW_E_AB_UNKNOWN_PEER; }
  return list_merge(book, &entry->addresses, &address, 1);
}

bbw_status bbw_address_book_forget_address(bbw_address_book *book, const bbw_peer_id *peer, bbw_bytes address) {
  book_entry *entry = find(book, peer);
  if (entry == NULL) { return BBW_E_AB_UNKNOWN_PEER; }
  bbw_bytes copy;
  bbw_status rv = address_copy(book, address, &copy);
  if (rv != BBW_OK) { return rv; }
  bbw_vec *list = &entry->addresses;
  for (size_t i = 0; i < list->count; i++) {
    if (!bbw_bytes_equal(*address_at(list, i), copy)) { continue; }
    address_free(book, *address_at(list, i));
    list->count--;
    if (i < list->count) {
      memmove(address_at(list, i), address_at(list, i + 1), (list->count - i) * sizeof(bbw_bytes));
    }
    break;
  }
  address_free(book, copy);
  return BBW_OK;
}

bool bbw_address_book_lookup(const bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes **items,
                             size_t *count) {
  const book_entry *entry = find(book, peer);
  if (entry == NULL || entry->addresses.count == 0) { return false; }
  *items = entry->addresses.items;
  *count = entry->addresses.count;
  return true;
}

uint64_t bbw_address_book_ref_count(const bbw_address_book *book, const bbw_peer_id *peer) {
  const book_entry *entry = find(book, peer);
  return entry == NULL ? 0 : entry->ref_count;
}

size_t bbw_address_book_count(const bbw_address_book *book) { return book->in_order.count; }

const bbw_peer_id *bbw_address_book_peer(const bbw_address_book *book, size_t index) {
  if (index >= book->in_order.count) { return NULL; }
  return &(*BBW_VEC_AT(&book->in_order, book_entry *, index))->head.peer;
}
