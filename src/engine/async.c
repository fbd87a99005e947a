#include "engine/async.h"

#include <string.h>

#include "base/mem.h"

void bbw_async_init(bbw_async *async, const bbw_mem *mem) {
  *async = (bbw_async){.mem = mem};
  bbw_vec_init(&async->entries, sizeof(bbw_parked), mem);
  bbw_vec_init(&async->idle, sizeof(uint32_t), mem);
  bbw_vec_init(&async->done, sizeof(uint64_t), mem);
  bbw_vec_init(&async->heap, sizeof(uint32_t), mem);
  bbw_vec_init(&async->resumed, sizeof(uint64_t), mem);
  bbw_map_init(&async->by_cmd, 0xa5c1, mem);
}

static void parked_clear(bbw_async *async, bbw_parked *parked) {
  for (size_t i = 0; i < parked->result_count; i++) { bbw_value_release(parked->results[i], async->mem); }
  bbw_mem_array_free(async->mem, parked->results, parked->result_count, sizeof(bbw_value *));
  bbw_mem_array_free(async->mem, parked->detail, parked->detail_len, 1);
  *parked = (bbw_parked){.state = BBW_PARKED_FREE, .heap_at = UINT32_MAX};
}

static bbw_parked *entry_at(const bbw_async *async, size_t i) { return BBW_VEC_AT(&async->entries, bbw_parked, i); }

/* ---- deadlines: a heap by (deadline, id) ----------------------------------------------------------------------------- */

static uint32_t *heap_at(const bbw_async *async, size_t i) { return BBW_VEC_AT(&async->heap, uint32_t, i); }

static bool is_earlier(const bbw_async *async, uint32_t a, uint32_t b) {
  const bbw_parked *x = entry_at(async, a), *y = entry_at(async, b);
  return x->deadline_ns != y->deadline_ns ? x->deadline_ns < y->deadline_ns : x->cmd_id < y->cmd_id;
}

static void heap_set(bbw_async *async, size_t i, uint32_t index) {
  *heap_at(async, i) = index;
  entry_at(async, index)->heap_at = (uint32_t)i;
}

/* Restores the order around place i. */
static void heap_settle(bbw_async *async, size_t i) {
  uint32_t moving = *heap_at(async, i);
  for (; i > 0 && is_earlier(async, moving, *heap_at(async, (i - 1) / 2)); i = (i - 1) / 2) {
    heap_set(async, i, *heap_at(async, (i - 1) / 2));
  }
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= async->heap.count) { break; }
    if (child + 1 < async->heap.count && is_earlier(async, *heap_at(async, child + 1), *heap_at(async, child))) {
      child++;
    }
    if (!is_earlier(async, *heap_at(async, child), moving)) { break; }
    heap_set(async, i, *heap_at(async, child));
    i = child;
  }
  heap_set(async, i, moving);
}

static void heap_remove(bbw_async *async, bbw_parked *parked) {
  size_t at = parked->heap_at;
  if (at == UINT32_MAX) { return; }
  parked->heap_at = UINT32_MAX;
  uint32_t last = *heap_at(async, --async->heap.count);
  if (at == async->heap.count) { return; }
  heap_set(async, at, last);
  heap_settle(async, at);
}

void bbw_async_set_deadline(bbw_async *async, bbw_parked *parked, uint64_t deadline_ns) {
  heap_remove(async, parked);
  parked->deadline_ns = deadline_ns;
  if (deadline_ns == BBW_NEVER_NS) { return; }
  uint32_t index = (uint32_t)(parked - entry_at(async, 0));
  bool ok = bbw_vec_append(&async->heap, &index, 1);
  (void)ok; /* reserved when the command was opened */
  parked->heap_at = (uint32_t)(async->heap.count - 1);
  heap_settle(async, async->heap.count - 1);
}

bbw_parked *bbw_async_next_deadline(const bbw_async *async) {
  return async->heap.count == 0 ? NULL : entry_at(async, *heap_at(async, 0));
}

/* ---- slices ---------------------------------------------------------------------------------------------------------- */

/* The place of the first resumed command from an id on. */
static size_t resumed_at(const bbw_async *async, uint64_t from) {
  const uint64_t *ids = async->resumed.items;
  size_t low = 0, high = async->resumed.count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (ids[middle] < from) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

bool bbw_async_reserve_resumed(bbw_async *async) { return bbw_vec_reserve(&async->resumed, 1); }

void bbw_async_resume(bbw_async *async, bbw_parked *parked) {
  parked->is_resumed = true;
  size_t at = resumed_at(async, parked->cmd_id);
  bool ok = bbw_vec_append(&async->resumed, &parked->cmd_id, 1);
  (void)ok; /* reserved by the caller */
  uint64_t *ids = async->resumed.items;
  memmove(&ids[at + 1], &ids[at], (async->resumed.count - 1 - at) * sizeof(*ids));
  ids[at] = parked->cmd_id;
}

static void stop_resuming(bbw_async *async, bbw_parked *parked) {
  if (!parked->is_resumed) { return; }
  parked->is_resumed = false;
  uint64_t *ids = async->resumed.items;
  size_t at = resumed_at(async, parked->cmd_id);
  async->resumed.count--;
  memmove(&ids[at], &ids[at + 1], (async->resumed.count - at) * sizeof(*ids));
}

bbw_parked *bbw_async_next_resumed(bbw_async *async, uint64_t from) {
  size_t at = resumed_at(async, from);
  return at == async->resumed.count ? NULL : bbw_async_find(async, *BBW_VEC_AT(&async->resumed, uint64_t, at));
}

/* ---- commands -------------------------------------------------------------------------------------------------------- */

void bbw_async_free(bbw_async *async) {
  for (size_t i = 0; i < async->entries.count; i++) { parked_clear(async, BBW_VEC_AT(&async->entries, bbw_parked, i)); }
  bbw_vec_free(&async->entries);
  bbw_vec_free(&async->idle);
  bbw_vec_free(&async->done);
  bbw_vec_free(&async->heap);
  bbw_vec_free(&async->resumed);
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
  if (!bbw_vec_reserve(&async->heap, (size_t)async->count + 1 - async->heap.count)) { return BBW_E_NOMEM; }
  if (!bbw_map_reserve(&async->by_cmd, 1)) { return BBW_E_NOMEM; }
  if (async->idle.count == 0) {
    if (!bbw_vec_reserve(&async->idle, async->entries.count + 1)) { return BBW_E_NOMEM; }
    uint32_t index = (uint32_t)async->entries.count;
    if (bbw_vec_push(&async->entries) == NULL) { return BBW_E_NOMEM; }
    bool ok = bbw_vec_append(&async->idle, &index, 1);
    (void)ok; /* reserved above */
  }
  uint32_t index = *BBW_VEC_AT(&async->idle, uint32_t, --async->idle.count);
  *BBW_VEC_AT(&async->entries, bbw_parked, index) = (bbw_parked){
      .cmd_id = cmd_id, .state = BBW_PARKED_WAITING, .deadline_ns = BBW_NEVER_NS, .heap_at = UINT32_MAX};
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
  stop_resuming(async, entry_at(async, (size_t)index));
  heap_remove(async, entry_at(async, (size_t)index));
  parked_clear(async, BBW_VEC_AT(&async->entries, bbw_parked, (size_t)index));
  uint32_t idle = (uint32_t)index;
  bool ok = bbw_vec_append(&async->idle, &idle, 1);
  (void)ok; /* idle has room for every entry: open reserves it */
  async->count--;
}

void bbw_async_forget_outcome(bbw_async *async, uint64_t cmd_id) {
  uint64_t *done = async->done.items;
  size_t kept = 0;
  for (size_t i = 0; i < async->done.count; i++) {
    if (done[i] != cmd_id) { done[kept++] = done[i]; }
  }
  async->done.count = kept;
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
  if (parked != NULL) {
    async->duplicate_completions++;
  } else if (cmd_id < async->next_cmd_id) {
    async->late_completions++;
  } else {
    async->unknown_completions++;
  }
  return NULL;
}

bbw_str bbw_async_why(bbw_async *async, uint64_t cmd_id) {
  const bbw_parked *parked = bbw_async_find(async, cmd_id);
  if (parked == NULL) { return cmd_id < async->next_cmd_id ? BBW_STR("late") : BBW_STR("unknown"); }
  return parked->state == BBW_PARKED_WAITING ? BBW_STR("") : BBW_STR("duplicate");
}

void bbw_async_settle(bbw_async *async, bbw_parked *parked, bbw_parked_state state) {
  heap_remove(async, parked);
  stop_resuming(async, parked);
  parked->state = (uint32_t)state;
}

static void async_done(bbw_async *async, bbw_parked *parked, bbw_parked_state state) {
  bbw_async_settle(async, parked, state);
  bool ok = bbw_vec_append(&async->done, &parked->cmd_id, 1);
  (void)ok; /* reserved when the command was opened */
}

bbw_status bbw_async_complete(bbw_async *async, uint64_t cmd_id, bbw_value *const *results, size_t count) {
  bbw_parked *parked = async_waiting(async, cmd_id);
  if (parked == NULL) { return BBW_E_UNKNOWN_COMMAND; }
  if (count > UINT32_MAX) { return BBW_E_LIMIT; }
  if (count != 0) {
    bbw_value **copy = bbw_mem_array(async->mem, count, sizeof(*copy));
    if (copy == NULL) { return BBW_E_NOMEM; }
    memcpy(copy, results, count * sizeof(*copy));
    parked->results = copy;
    parked->result_count = (uint32_t)count; /* as many as an op has outputs at most */
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
