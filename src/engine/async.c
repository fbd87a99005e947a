#include "engine/async.h"

#include <string.h>

#include "base/mem.h"

void bbw_async_init(bbw_async *async, const bbw_mem *mem) {
  *async = (bbw_async){.mem = mem};
  bbw_vec_init(&async->entries, sizeof(bbw_parked), mem);
  bbw_vec_init(&async->idle, sizeof(uint32_t), mem);
  bbw_vec_init(&async->done, sizeof(uint64_t), mem);
  bbw_map_init(&async->by_cmd, 0xa5c1, mem);
}

static void parked_clear(bbw_async *async, bbw_parked *parked) {
  for (size_t i = 0; i < parked->result_count; i++) { bbw_value_release(parked->results[i], async->mem); }
  bbw_mem_array_free(async->mem, parked->results, parked->result_count, sizeof(bbw_value *));
  bbw_mem_array_free(async->mem, parked->detail, parked->detail_len, 1);
  *parked = (bbw_parked){.state = BBW_PARKED_FREE};
}

void bbw_async_free(bbw_async *async) {
  for (size_t i = 0; i < async->entries.count; i++) { parked_clear(async, BBW_VEC_AT(&async->entries, bbw_parked, i)); }
  bbw_vec_free(&async->entries);
  bbw_vec_free(&async->idle);
  bbw_vec_free(&async->done);
  bbw_map_free(&async->by_cmd);
}

uint64_t bbw_async_mint(bbw_async *async) { return async->next_cmd_id++; }

bbw_status bbw_async_open(bbw_async *async, uint64_t *cmd_id) {
  bbw_status rv = bbw_async_open_as(async, async->next_cmd_id);
  if (rv == BBW_OK) { *cmd_id = async->next_cmd_id++; }
  return rv;
}

bbw_status bbw_async_open_as(bbw_async *async, uint64_t cmd_id) {
  /* Room for the outcome of every open command, and for giving every entry back. */
  if (!bbw_vec_reserve(&async->done, (size_t)async->count + 1)) { return BBW_E_NOMEM; }
  if (!bbw_map_reserve(&async->by_cmd, 1)) { return BBW_E_NOMEM; }
  if (async->idle.count == 0) {
    if (!bbw_vec_reserve(&async->idle, async->entries.count + 1)) { return BBW_E_NOMEM; }
    uint32_t index = (uint32_t)async->entries.count;
    if (bbw_vec_push(&async->entries) == NULL) { return BBW_E_NOMEM; }
    bool ok = bbw_vec_append(&async->idle, &index, 1);
    (void)ok; /* reserved above */
  }
  uint32_t index = *BBW_VEC_AT(&async->idle, uint32_t, --async->idle.count);
  *BBW_VEC_AT(&async->entries, bbw_parked, index) = (bbw_parked){.cmd_id = cmd_id, .state = BBW_PARKED_WAITING};
  bool ok = bbw_map_put(&async->by_cmd, cmd_id, index);
  (void)ok; /* reserved above */
  async->count++;
  return BBW_OK;
}

bbw_parked *bbw_async_find(bbw_async *async, uint64_t cmd_id) {
  uint64_t index;
  return bbw_map_get(&async->by_cmd, cmd_id, &index) ? BBW_VEC_AT(&async->entries, bbw_parked, (size_t)index) : NULL;
}

void bbw_async_close(bbw_async *async, uint64_t cmd_id) {
  uint64_t index;
  if (!bbw_map_get(&async->by_cmd, cmd_id, &index)) { return; }
  bbw_map_remove(&async->by_cmd, cmd_id);
  parked_clear(async, BBW_VEC_AT(&async->entries, bbw_parked, (size_t)index));
  uint32_t idle = (uint32_t)index;
  bool ok = bbw_vec_append(&async->idle, &idle, 1);
  (void)ok; /* idle has room for every entry: open reserves it */
  async->count--;
}

void bbw_async_clear(bbw_async *async) {
  for (size_t i = 0; i < async->entries.count; i++) {
    bbw_parked *parked = BBW_VEC_AT(&async->entries, bbw_parked, i);
    if (parked->state != BBW_PARKED_FREE) { bbw_async_close(async, parked->cmd_id); }
  }
  async->done.count = 0;
}

static bbw_parked *async_waiting(bbw_async *async, uint64_t cmd_id) {
  bbw_parked *parked = bbw_async_find(async, cmd_id);
  if (parked != NULL && parked->state == BBW_PARKED_WAITING) { return parked; }
  async->unknown_completions++;
  return NULL;
}

static void async_done(bbw_async *async, bbw_parked *parked, bbw_parked_state state) {
  parked->state = state;
  bool ok = bbw_vec_append(&async->done, &parked->cmd_id, 1);
  (void)ok; /* reserved when the command was opened */
}

bbw_status bbw_async_complete(bbw_async *async, uint64_t cmd_id, bbw_value *const *results, size_t count) {
  bbw_parked *parked = async_waiting(async, cmd_id);
  if (parked == NULL) { return BBW_E_UNKNOWN_COMMAND; }
  if (count != 0) {
    bbw_value **copy = bbw_mem_array(async->mem, count, sizeof(*copy));
    if (copy == NULL) { return BBW_E_NOMEM; }
    memcpy(copy, results, count * sizeof(*copy));
    parked->results = copy;
    parked->result_count = count;
  }
  async_done(async, parked, BBW_PARKED_COMPLETED);
  return BBW_OK;
}

bbw_status bbw_async_fail(bbw_async *async, uint64_t cmd_id, bbw_str detail) {
  bbw_parked *parked = async_waiting(async, cmd_id);
  if (parked == NULL) { return BBW_E_UNKNOWN_COMMAND; }
  if (detail.len != 0) {
    parked->detail = bbw_mem_array(async->mem, detail.len, 1);
    if (parked->detail == NULL) { return BBW_E_NOMEM; }
    memcpy(parked->detail, detail.ptr, detail.len);
    parked->detail_len = detail.len;
  }
  async_done(async, parked, BBW_PARKED_FAILED);
  return BBW_OK;
}
