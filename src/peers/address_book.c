#include "peers/address_book.h"

#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "bbw/address.h"

/* The addresses of a peer: one allocation, the views and behind them what they point to. */
typedef struct book_entry {
  bbw_peer_entry head;
  bbw_bytes *addresses;
  uint16_t address_count;
  uint16_t claimed;    /* bit i: address i is only the peer's word, or hearsay */
  uint32_t list_bytes; /* of that allocation */
  uint64_t ref_count;
  uint64_t number; /* peers are numbered as they become known */
} book_entry;

void bbw_address_book_init(bbw_address_book *book, const bbw_mem *mem) {
  *book = (bbw_address_book){.mem = mem, .cap = BBW_ADDRESS_BOOK_PEERS_MAX};
  bbw_peer_table_init(&book->entries, sizeof(book_entry), mem);
  bbw_vec_init(&book->in_order, sizeof(book_entry *), mem);
}

static book_entry *entry_at(const bbw_address_book *book, size_t i) {
  return *BBW_VEC_AT(&book->in_order, book_entry *, i);
}

static void list_free(const bbw_address_book *book, bbw_bytes *list, size_t bytes) {
  bbw_mem_array_free(book->mem, list, bytes, 1);
}

void bbw_address_book_free(bbw_address_book *book) {
  for (size_t i = 0; i < book->in_order.count; i++) {
    list_free(book, entry_at(book, i)->addresses, entry_at(book, i)->list_bytes);
  }
  bbw_vec_free(&book->in_order);
  bbw_peer_table_free(&book->entries);
}

static book_entry *find(const bbw_address_book *book, const bbw_peer_id *peer) {
  return bbw_peer_table_find(&book->entries, peer);
}

/* ---- address lists ------------------------------------------------------------------------------------------------ */

/* What a list will be: views of addresses, checked, none twice.  One place more than stay. */
typedef struct draft {
  bbw_bytes items[BBW_ADDRESSES_PER_PEER_MAX + 1];
  size_t count;
  uint32_t claimed; /* as in the entry */
} draft;

/* The place of an address; count if it is not there. */
static size_t draft_find(const draft *d, bbw_bytes address) {
  size_t i = 0;
  while (i < d->count && !bbw_bytes_equal(d->items[i], address)) { i++; }
  return i;
}

static void draft_remove(draft *d, size_t i) {
  uint32_t below = (UINT32_C(1) << i) - 1;
  d->claimed = (d->claimed & below) | (d->claimed >> 1 & ~below);
  d->count--;
  memmove(d->items + i, d->items + i + 1, (d->count - i) * sizeof(d->items[0]));
}

/* At the cap the oldest claim goes, be it this one; what was seen or what the host said goes only for its like. */
static void draft_add(draft *d, bbw_bytes address, bool is_claim) {
  d->claimed |= (uint32_t)is_claim << d->count;
  d->items[d->count++] = address;
  if (d->count <= BBW_ADDRESSES_PER_PEER_MAX) { return; }
  size_t oldest = 0;
  while (d->claimed != 0 && (d->claimed >> oldest & 1) == 0) { oldest++; }
  draft_remove(d, oldest);
}

/* Puts the list that a draft describes in the place of the entry's. */
static bbw_status list_set(const bbw_address_book *book, book_entry *entry, const draft *d) {
  size_t count = d->count, bytes = count * sizeof(bbw_bytes);
  for (size_t i = 0; i < count; i++) {
    if (!bbw_size_add(bytes, d->items[i].len, &bytes) || bytes > UINT32_MAX) { return BBW_E_AB_ALLOCATION_FAILED; }
  }
  bbw_bytes *list = bbw_mem_array(book->mem, bytes, 1);
  if (list == NULL && bytes != 0) { return BBW_E_AB_ALLOCATION_FAILED; }
  uint8_t *at = (uint8_t *)(list + count);
  for (size_t i = 0; i < count; i++) {
    bbw_bytes address = d->items[i];
    if (address.len != 0) { memcpy(at, address.ptr, address.len); }
    list[i] = (bbw_bytes){address.len == 0 ? NULL : at, address.len};
    at += address.len;
  }
  list_free(book, entry->addresses, entry->list_bytes);
  entry->addresses = list;
  entry->address_count = (uint16_t)count;
  entry->claimed = (uint16_t)d->claimed;
  entry->list_bytes = (uint32_t)bytes;
  return BBW_OK;
}

static void draft_of(draft *d, const book_entry *entry) {
  *d = (draft){.count = entry->address_count, .claimed = entry->claimed};
  if (d->count != 0) { memcpy(d->items, entry->addresses, d->count * sizeof(d->items[0])); }
}

/* The address in its shortest spelling, so that equal addresses are equal bytes; in `arena` if it had to be written anew. */
static bbw_status spelled(bbw_bytes address, bbw_arena *arena, bbw_bytes *out) {
  size_t len;
  bbw_status rv = bbw_address_canonical(address, NULL, 0, &len);
  if (rv != BBW_OK && rv != BBW_E_BUFFER) { return BBW_E_ARG; }
  *out = address;
  if (len == address.len) { return BBW_OK; } /* no shorter one: it is the shortest */
  uint8_t *bytes = bbw_arena_array(arena, len, 1);
  if (bytes == NULL) { return BBW_E_AB_ALLOCATION_FAILED; }
  (void)bbw_address_canonical(address, bytes, len, &len);
  *out = (bbw_bytes){bytes, len};
  return BBW_OK;
}

/*
 * Appends what is new of `more`, at most BBW_ADDRESSES_PER_PEER_MAX in all.  The new list is complete before the old one is touched, so a failure changes nothing; when nothing is new,
 * nothing is done.  What was only claimed before and is said by the host now is no claim any more.
 */
static bbw_status list_merge(const bbw_address_book *book, book_entry *entry, const bbw_bytes *more, size_t count,
                             bool is_claim) {
  bbw_arena arena;
  draft d;
  bbw_arena_init(&arena, book->mem);
  draft_of(&d, entry);
  bool has_news = false;
  bbw_status rv = BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < count; i++) {
    bbw_bytes address = more[i];
    size_t at = draft_find(&d, address);
    if (at == d.count) {
      rv = spelled(address, &arena, &address);
      at = draft_find(&d, address);
    }
    bool is_new = at == d.count, is_raised = !is_claim && (d.claimed >> at & 1) != 0;
    if (rv != BBW_OK || (!is_new && !is_raised)) { continue; }
    if (is_new) { draft_add(&d, address, is_claim); }
    if (is_raised) { d.claimed &= ~(UINT32_C(1) << at); }
    has_news = true;
  }
  if (rv == BBW_OK && has_news) { rv = list_set(book, entry, &d); }
  bbw_arena_free(&arena);
  return rv;
}

/* ---- peers -------------------------------------------------------------------------------------------------------- */

static bbw_status add_new(bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes *addresses, size_t count,
                          bool is_claim) {
  if (book->in_order.count >= book->cap) { return BBW_E_AB_FULL; }
  if (!bbw_vec_reserve(&book->in_order, 1)) { return BBW_E_AB_ALLOCATION_FAILED; }
  book_entry fresh = {.address_count = 0};
  bbw_status rv = list_merge(book, &fresh, addresses, count, is_claim);
  if (rv != BBW_OK) { return rv; }
  book_entry *entry = bbw_peer_table_add(&book->entries, peer);
  if (entry == NULL) {
    list_free(book, fresh.addresses, fresh.list_bytes);
    return BBW_E_AB_ALLOCATION_FAILED;
  }
  entry->addresses = fresh.addresses;
  entry->address_count = fresh.address_count;
  entry->claimed = fresh.claimed;
  entry->list_bytes = fresh.list_bytes;
  entry->ref_count = 1;
  entry->number = book->next_number++;
  *(book_entry **)bbw_vec_push(&book->in_order) = entry; /* room was reserved */
  return BBW_OK;
}

bbw_status bbw_address_book_add_peer(bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes *addresses,
                                     size_t count) {
  if (count == 0) { return BBW_E_AB_EMPTY; }
  book_entry *entry = find(book, peer);
  if (entry == NULL) { return add_new(book, peer, addresses, count, false); }
  bbw_status rv = list_merge(book, entry, addresses, count, false);
  if (rv == BBW_OK && entry->ref_count < UINT64_MAX) { entry->ref_count++; }
  return rv;
}

bbw_status bbw_address_book_claim(bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes *addresses,
                                  size_t count) {
  if (count == 0) { return BBW_E_AB_EMPTY; }
  book_entry *entry = find(book, peer);
  return entry == NULL ? add_new(book, peer, addresses, count, true) : list_merge(book, entry, addresses, count, true);
}

bbw_status bbw_address_book_observe(bbw_address_book *book, const bbw_peer_id *peer, bbw_bytes address) {
  bbw_status rv = bbw_address_book_register_address(book, peer, address);
  return rv == BBW_E_AB_UNKNOWN_PEER ? add_new(book, peer, &address, 1, false) : rv;
}

bbw_status bbw_address_book_hold(bbw_address_book *book, const bbw_peer_id *peer) {
  book_entry *entry = find(book, peer);
  if (entry == NULL) { return BBW_E_AB_UNKNOWN_PEER; }
  if (entry->ref_count < UINT64_MAX) { entry->ref_count++; }
  return BBW_OK;
}

bbw_status bbw_address_book_restore(bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes *addresses,
                                    size_t count, uint64_t ref_count, uint64_t claimed) {
  if (ref_count == 0 || find(book, peer) != NULL) { return BBW_E_ARG; }
  bbw_status rv = add_new(book, peer, addresses, count, false);
  if (rv != BBW_OK) { return rv; }
  book_entry *entry = find(book, peer);
  entry->ref_count = ref_count;
  entry->claimed = (uint16_t)claimed;
  if (entry->address_count == count && claimed >> entry->address_count == 0) { return BBW_OK; }
  entry->ref_count = 1;
  (void)bbw_address_book_drop_peer(book, peer);
  return BBW_E_ARG;
}

static size_t index_of(const bbw_address_book *book, const book_entry *entry) {
  size_t low = 0, high = book->in_order.count - 1;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (entry_at(book, middle)->number < entry->number) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

bool bbw_address_book_index(const bbw_address_book *book, const bbw_peer_id *peer, size_t *index) {
  const book_entry *entry = find(book, peer);
  if (entry != NULL) { *index = index_of(book, entry); }
  return entry != NULL;
}

bbw_status bbw_address_book_drop_peer(bbw_address_book *book, const bbw_peer_id *peer) {
  book_entry *entry = find(book, peer);
  if (entry == NULL) { return BBW_E_AB_UNKNOWN_PEER; }
  entry->ref_count--;
  if (entry->ref_count != 0) { return BBW_OK; }
  size_t i = index_of(book, entry), younger = book->in_order.count - i - 1;
  book_entry **order = book->in_order.items;
  if (younger != 0) { memmove(order + i, order + i + 1, younger * sizeof(book_entry *)); }
  book->in_order.count--;
  list_free(book, entry->addresses, entry->list_bytes);
  bbw_peer_table_remove(&book->entries, entry);
  return BBW_OK;
}

bbw_status bbw_address_book_register_address(bbw_address_book *book, const bbw_peer_id *peer, bbw_bytes address) {
  book_entry *entry = find(book, peer);
  return entry == NULL ? BBW_E_AB_UNKNOWN_PEER : list_merge(book, entry, &address, 1, false);
}

bbw_status bbw_address_book_forget_address(bbw_address_book *book, const bbw_peer_id *peer, bbw_bytes address) {
  book_entry *entry = find(book, peer);
  if (entry == NULL) { return BBW_E_AB_UNKNOWN_PEER; }
  bbw_arena arena;
  draft d;
  bbw_arena_init(&arena, book->mem);
  draft_of(&d, entry);
  bbw_status rv = spelled(address, &arena, &address);
  size_t at = draft_find(&d, address);
  if (rv == BBW_OK && at != d.count) {
    draft_remove(&d, at);
    rv = list_set(book, entry, &d);
  }
  bbw_arena_free(&arena);
  return rv;
}

bool bbw_address_book_lookup(const bbw_address_book *book, const bbw_peer_id *peer, const bbw_bytes **items,
                             size_t *count) {
  const book_entry *entry = find(book, peer);
  if (entry == NULL || entry->address_count == 0) { return false; }
  *items = entry->addresses;
  *count = entry->address_count;
  return true;
}

uint64_t bbw_address_book_ref_count(const bbw_address_book *book, const bbw_peer_id *peer) {
  const book_entry *entry = find(book, peer);
  return entry == NULL ? 0 : entry->ref_count;
}

uint32_t bbw_address_book_claimed(const bbw_address_book *book, const bbw_peer_id *peer) {
  const book_entry *entry = find(book, peer);
  return entry == NULL ? 0 : entry->claimed;
}

size_t bbw_address_book_count(const bbw_address_book *book) { return book->in_order.count; }

const bbw_peer_id *bbw_address_book_peer(const bbw_address_book *book, size_t index) {
  if (index >= book->in_order.count) { return NULL; }
  return &entry_at(book, index)->head.peer;
}
