#include "node/bindings.h"

#include <string.h>

#include "base/bytes.h"
#include "base/map.h"

#define PREFIX "ai.bytesandbrains.binding."

/* Cuts text at the first `mark`; false when there is none. */
static bool cut(bbw_str text, char mark, bbw_str *head, bbw_str *tail) {
  const char *at = text.len == 0 ? NULL : memchr(text.ptr, mark, text.len);
  if (at == NULL) { return false; }
  size_t len = (size_t)(at - text.ptr);
  *head = (bbw_str){text.ptr, len};
  *tail = (bbw_str){at + 1, text.len - len - 1};
  return true;
}

static bbw_status malformed(bbw_error *err, bbw_str key, bbw_str detail) {
  bbw_error_set(err, BBW_E_INST_BINDING_TABLE);
  bbw_error_add_str(err, "key", key);
  bbw_error_add_str(err, "detail", detail);
  return BBW_E_INST_BINDING_TABLE;
}

static bbw_status read_value(bbw_slot_binding *binding, bbw_str key, bbw_str value, bbw_error *err) {
  bbw_str rest, number;
  int64_t slot_id;
  if (!cut(value, '|', &binding->role, &rest) || !cut(rest, '|', &binding->type_name, &number)) {
    return malformed(err, key, BBW_STR("value is not role|type|slot_id"));
  }
  if (!bbw_parse_i64(number, &slot_id)) { return malformed(err, key, BBW_STR("slot id is not a number")); }
  binding->has_slot_id = slot_id >= 0;
  binding->slot_id = (uint32_t)(uint64_t)slot_id;
  return BBW_OK;
}

bbw_status bbw_bindings_read(bbw_vec *bindings, const bbw_onnx_model *model, bbw_str target, bbw_error *err) {
  bbw_str prefix = BBW_STR(PREFIX);
  for (size_t i = 0; i < model->metadata_props.count; i++) {
    const bbw_onnx_entry *entry = BBW_PROTO_AT(&model->metadata_props, bbw_onnx_entry, i);
    if (!bbw_str_starts_with(entry->key, prefix)) { continue; }
    bbw_str key = {entry->key.ptr + prefix.len, entry->key.len - prefix.len};
    bbw_slot_binding binding = {.target = target};
    bbw_str of_target;
    /* A key without a dot names no target, so nobody can know whether it concerns this one. */
    if (!cut(key, '.', &of_target, &binding.slot)) {
      return malformed(err, entry->key, BBW_STR("key is not target.slot"));
    }
    if (!bbw_str_equal(of_target, target)) { continue; }
    bbw_status rv = read_value(&binding, entry->key, entry->value, err);
    if (rv != BBW_OK) { return rv; }
    if (!bbw_vec_append(bindings, &binding, 1)) { return BBW_E_NOMEM; }
  }
  return BBW_OK;
}

static void add_conflict(bbw_error *err, const bbw_slot_binding *binding) {
  char text[512];
  size_t len = 0;
  bbw_str parts[5] = {binding->target, BBW_STR(" "), binding->type_name, BBW_STR(" "), binding->role};
  for (size_t i = 0; i < 5; i++) {
    size_t n = parts[i].len < sizeof(text) - len ? parts[i].len : sizeof(text) - len;
    if (n != 0) { memcpy(text + len, parts[i].ptr, n); }
    len += n;
  }
  bbw_error_add_item(err, "conflicts", (bbw_str){text, len});
}

static bbw_status merge(bbw_vec *bindings, bbw_map *by_slot, bbw_error *err) {
  bbw_slot_binding *items = bindings->items;
  size_t kept = 0;
  for (size_t i = 0; i < bindings->count; i++) {
    uint64_t found;
    if (!bbw_map_get_bytes(by_slot, bbw_str_bytes(items[i].slot), &found)) {
      if (!bbw_map_put_bytes(by_slot, bbw_str_bytes(items[i].slot), kept)) { return BBW_E_NOMEM; }
      items[kept++] = items[i];
      continue;
    }
    size_t first = (size_t)found;
    bool is_same = bbw_str_equal(items[first].type_name, items[i].type_name) &&
                   bbw_str_equal(items[first].role, items[i].role);
    if (!is_same) {
      bbw_error_set(err, BBW_E_INST_SLOT_CONFLICT);
      bbw_error_add_str(err, "slot", items[i].slot);
      add_conflict(err, &items[first]);
      add_conflict(err, &items[i]);
      return BBW_E_INST_SLOT_CONFLICT;
    }
    /* A target that does not use the slot says "none"; the id of one that does is the one to keep. */
    if (!items[first].has_slot_id && items[i].has_slot_id) {
      items[first].has_slot_id = true;
      items[first].slot_id = items[i].slot_id;
    }
  }
  bindings->count = kept;
  return BBW_OK;
}

bbw_status bbw_bindings_merge(bbw_vec *bindings, bbw_error *err) {
  bbw_map by_slot; /* slot -> index among the kept ones */
  bbw_map_init(&by_slot, 0x3e26, bindings->mem);
  bbw_status rv = merge(bindings, &by_slot, err);
  bbw_map_free(&by_slot);
  return rv;
}
