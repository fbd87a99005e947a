#include "engine/named.h"

#include <string.h>

#include "base/mem.h"

/* Names longer than this do not occur in a model that a person wrote; the key is built on the stack. */
#define NAME_BYTES_MAX 1023u

void bbw_named_init(bbw_named *named, const bbw_mem *mem) {
  *named = (bbw_named){.mem = mem, .count_max = BBW_NAMED_COUNT_MAX};
  bbw_vec_init(&named->entries, sizeof(bbw_named_entry *), mem);
  bbw_map_init(&named->by_key, 0x4a3e, mem);
}

/* Moves what is left to the front once half of the array is used up, so a queue costs amortized O(1). */
static void compact(bbw_vec *vec, size_t *head) {
  if (*head * 2 < vec->count || *head == 0) { return; }
  size_t left = vec->count - *head;
  memmove(vec->items, (uint8_t *)vec->items + *head * vec->item_bytes, left * vec->item_bytes);
  vec->count = left;
  *head = 0;
}

bbw_value *bbw_named_pop(bbw_named *named, bbw_named_entry *entry) {
  if (entry->values_head == entry->values.count) { return NULL; }
  bbw_value *value = *BBW_VEC_AT(&entry->values, bbw_value *, entry->values_head++);
  compact(&entry->values, &entry->values_head);
  named->held_bytes -= bbw_named_owed(value);
  return value;
}

static void entry_free(bbw_named *named, bbw_named_entry *entry) {
  for (bbw_value *value = bbw_named_pop(named, entry); value != NULL; value = bbw_named_pop(named, entry)) {
    bbw_value_release(value, named->mem);
  }
  bbw_vec_free(&entry->values);
  bbw_vec_free(&entry->waiters);
  bbw_mem_array_free(named->mem, entry->key, entry->key_len, 1);
  bbw_mem_array_free(named->mem, entry, 1, sizeof(*entry));
}

void bbw_named_free(bbw_named *named) {
  for (size_t i = 0; i < named->entries.count; i++) {
    entry_free(named, *BBW_VEC_AT(&named->entries, bbw_named_entry *, i));
  }
  bbw_vec_free(&named->entries);
  bbw_map_free(&named->by_key);
}

static bbw_bytes key_of(uint8_t *buf, bbw_named_kind kind, bbw_str name) {
  buf[0] = (uint8_t)kind;
  if (name.len != 0) { memcpy(buf + 1, name.ptr, name.len); }
  return (bbw_bytes){buf, name.len + 1};
}

bbw_named_entry *bbw_named_find(const bbw_named *named, bbw_named_kind kind, bbw_str name) {
  uint8_t buf[NAME_BYTES_MAX + 1];
  uint64_t index;
  if (name.len > NAME_BYTES_MAX || !bbw_map_get_bytes(&named->by_key, key_of(buf, kind, name), &index)) { return NULL; }
  return *BBW_VEC_AT(&named->entries, bbw_named_entry *, (size_t)index);
}

bbw_status bbw_named_get(bbw_named *named, bbw_named_kind kind, bbw_str name, bbw_named_entry **out) {
  bbw_named_entry *entry = bbw_named_find(named, kind, name);
  if (entry == NULL) {
    if (name.len > NAME_BYTES_MAX || named->counts[kind] >= named->count_max) { return BBW_E_LIMIT; }
    if (!bbw_vec_reserve(&named->entries, 1) || !bbw_map_reserve(&named->by_key, 1)) { return BBW_E_NOMEM; }
    entry = bbw_mem_array(named->mem, 1, sizeof(*entry));
    if (entry == NULL) { return BBW_E_NOMEM; }
    bbw_vec_init(&entry->values, sizeof(bbw_value *), named->mem);
    bbw_vec_init(&entry->waiters, sizeof(uint64_t), named->mem);
    entry->key_len = name.len + 1;
    entry->key = bbw_mem_array(named->mem, entry->key_len, 1);
    if (entry->key == NULL) {
      entry_free(named, entry);
      return BBW_E_NOMEM;
    }
    bbw_bytes key = key_of(entry->key, kind, name);
    bool ok = bbw_map_put_bytes(&named->by_key, key, named->entries.count) &&
              bbw_vec_append(&named->entries, &entry, 1);
    (void)ok; /* reserved above */
    named->counts[kind]++;
  }
  *out = entry;
  return BBW_OK;
}

size_t bbw_named_owed(const bbw_value *value) { return value->type == BBW_TYPE_BYTES ? value->as.bytes.len : 0; }

int64_t bbw_named_growth(const bbw_named_entry *entry, const bbw_value *value, size_t max) {
  int64_t growth = (int64_t)bbw_named_owed(value);
  if (entry->values.count - entry->values_head < max) { return growth; }
  return growth - (int64_t)bbw_named_owed(*BBW_VEC_AT(&entry->values, bbw_value *, entry->values_head));
}

bbw_status bbw_named_push(bbw_named *named, bbw_named_entry *entry, bbw_value *value, size_t max) {
  if (!bbw_vec_append(&entry->values, &value, 1)) { return BBW_E_NOMEM; }
  named->held_bytes += bbw_named_owed(value);
  if (entry->values.count - entry->values_head > max) {
    bbw_value_release(bbw_named_pop(named, entry), named->mem);
    entry->dropped++;
  }
  return BBW_OK;
}
