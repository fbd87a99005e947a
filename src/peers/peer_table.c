#include "peers/peer_table.h"

#include "base/mem.h"

void bbw_peer_table_init(bbw_peer_table *table, size_t entry_bytes, const bbw_mem *mem) {
  *table = (bbw_peer_table){.mem = mem, .entry_bytes = entry_bytes};
  bbw_map_init(&table->by_peer, 0, mem);
}

void bbw_peer_table_free(bbw_peer_table *table) {
  bbw_peer_entry *entry = table->first;
  while (entry != NULL) {
    bbw_peer_entry *after = entry->after;
    bbw_mem_array_free(table->mem, entry, 1, table->entry_bytes);
    entry = after;
  }
  bbw_map_free(&table->by_peer);
  table->first = NULL;
  table->last = NULL;
  table->count = 0;
}

void *bbw_peer_table_find(const bbw_peer_table *table, const bbw_peer_id *peer) {
  uint8_t key[BBW_PEER_ID_BYTES_MAX];
  uint64_t at;
  if (!bbw_map_get_bytes(&table->by_peer, (bbw_bytes){key, bbw_peer_id_encode(peer, key)}, &at)) { return NULL; }
  return (void *)(uintptr_t)at;
}

static void link_last(bbw_peer_table *table, bbw_peer_entry *entry) {
  entry->before = table->last;
  entry->after = NULL;
  if (table->last == NULL) {
    table->first = entry;
  } else {
    table->last->after = entry;
  }
  table->last = entry;
}

static void unlink_entry(bbw_peer_table *table, bbw_peer_entry *entry) {
  if (entry->before == NULL) {
    table->first = entry->after;
  } else {
    entry->before->after = entry->after;
  }
  if (entry->after == NULL) {
    table->last = entry->before;
  } else {
    entry->after->before = entry->before;
  }
}

void *bbw_peer_table_add(bbw_peer_table *table, const bbw_peer_id *peer) {
  bbw_peer_entry *entry = bbw_mem_array(table->mem, 1, table->entry_bytes);
  if (entry == NULL) { return NULL; }
  entry->peer = *peer;
  entry->key_len = (uint8_t)bbw_peer_id_encode(peer, entry->key);
  if (!bbw_map_put_bytes(&table->by_peer, (bbw_bytes){entry->key, entry->key_len}, (uint64_t)(uintptr_t)entry)) {
    bbw_mem_array_free(table->mem, entry, 1, table->entry_bytes);
    return NULL;
  }
  link_last(table, entry);
  table->count++;
  return entry;
}

void *bbw_peer_table_touch(bbw_peer_table *table, const bbw_peer_id *peer, size_t max) {
  bbw_peer_entry *entry = bbw_peer_table_find(table, peer);
  if (entry != NULL) {
    unlink_entry(table, entry);
    link_last(table, entry);
    return entry;
  }
  entry = bbw_peer_table_add(table, peer);
  if (entry != NULL && table->count > max) { bbw_peer_table_remove(table, table->first); }
  return entry;
}

void bbw_peer_table_remove(bbw_peer_table *table, void *entry) {
  bbw_peer_entry *gone = entry;
  unlink_entry(table, gone);
  (void)bbw_map_remove_bytes(&table->by_peer, (bbw_bytes){gone->key, gone->key_len});
  bbw_mem_array_free(table->mem, gone, 1, table->entry_bytes);
  table->count--;
}
