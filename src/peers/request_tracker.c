#include "peers/request_tracker.h"

#include <string.h>

#include "base/mem.h"

void bbw_requests_init(bbw_requests *requests, const bbw_mem *mem) {
  *requests = (bbw_requests){.mem = mem, .next_token = 1};
  bbw_vec_init(&requests->heap, sizeof(bbw_request), mem);
  bbw_map_init(&requests->by_id, 0, mem);
}

static void free_others(const bbw_requests *requests, bbw_request *request) {
  bbw_mem_array_free(requests->mem, request->others, request->other_cap, sizeof(uint64_t));
  request->others = NULL;
  request->other_count = request->other_cap = 0;
}

void bbw_requests_free(bbw_requests *requests) {
  for (size_t i = 0; i < requests->heap.count; i++) {
    free_others(requests, BBW_VEC_AT(&requests->heap, bbw_request, i));
  }
  bbw_vec_free(&requests->heap);
  bbw_map_free(&requests->by_id);
}

uint64_t bbw_requests_mint_token(bbw_requests *requests) {
  uint64_t token = requests->next_token;
  if (requests->next_token < UINT64_MAX) { requests->next_token++; }
  return token;
}

/* ---- heap by (expiry, id) ----------------------------------------------------------------------------------------- */

static bbw_request *at(const bbw_requests *requests, size_t i) { return BBW_VEC_AT(&requests->heap, bbw_request, i); }

static bool is_earlier(const bbw_request *a, const bbw_request *b) {
  return a->expires_at_ns != b->expires_at_ns ? a->expires_at_ns < b->expires_at_ns : a->id < b->id;
}

/* Puts a request in place i and tells the map.  The id has its place in the map already, so this cannot fail. */
static void place(bbw_requests *requests, size_t i, bbw_request request) {
  *at(requests, i) = request;
  (void)bbw_map_put(&requests->by_id, request.id, i);
}

/* Restores the order around place i, whose request may be too early or too late for it. */
static void settle(bbw_requests *requests, size_t i) {
  bbw_request moving = *at(requests, i);
  while (i > 0 && is_earlier(&moving, at(requests, (i - 1) / 2))) {
    place(requests, i, *at(requests, (i - 1) / 2));
    i = (i - 1) / 2;
  }
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= requests->heap.count) { break; }
    bool has_right = child + 1 < requests->heap.count;
    if (has_right && is_earlier(at(requests, child + 1), at(requests, child))) { child++; }
    if (!is_earlier(at(requests, child), &moving)) { break; }
    place(requests, i, *at(requests, child));
    i = child;
  }
  place(requests, i, moving);
}

static void remove_at(bbw_requests *requests, size_t i, bbw_request *out) {
  free_others(requests, at(requests, i));
  *out = *at(requests, i);
  (void)bbw_map_remove(&requests->by_id, out->id);
  requests->heap.count--;
  if (i == requests->heap.count) { return; }
  place(requests, i, *at(requests, requests->heap.count));
  settle(requests, i);
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

bbw_status bbw_requests_register(bbw_requests *requests, uint64_t id, uint64_t now_ns, uint64_t target_site,
                                 uint64_t ttl_ns) {
  if (ttl_ns == 0) { return BBW_E_ARG; }
  bbw_request request = {.id = id, .started_at_ns = now_ns, .target_site = target_site};
  request.expires_at_ns = ttl_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + ttl_ns;
  uint64_t i;
  if (!bbw_map_get(&requests->by_id, id, &i)) {
    if (requests->heap.count >= BBW_REQUESTS_IN_FLIGHT_MAX) { return BBW_E_LIMIT; }
    if (!bbw_vec_reserve(&requests->heap, 1) || !bbw_map_reserve(&requests->by_id, 1)) { return BBW_E_NOMEM; }
    (void)bbw_vec_push(&requests->heap);
    i = requests->heap.count - 1;
  } else if (at(requests, (size_t)i)->waiter != 0) {
    return BBW_E_LIMIT; /* somebody waits for it: it keeps its id */
  } else {
    free_others(requests, at(requests, (size_t)i));
  }
  place(requests, (size_t)i, request);
  settle(requests, (size_t)i);
  return BBW_OK;
}

static bbw_request *find(const bbw_requests *requests, uint64_t id, uint64_t *i) {
  return bbw_map_get(&requests->by_id, id, i) ? at(requests, (size_t)*i) : NULL;
}

bbw_request *bbw_requests_find(const bbw_requests *requests, uint64_t id) {
  uint64_t i;
  return find(requests, id, &i);
}

const bbw_request *bbw_requests_next(const bbw_requests *requests) {
  return requests->heap.count == 0 ? NULL : at(requests, 0);
}

bbw_status bbw_requests_set_peers(bbw_requests *requests, uint64_t id, const uint64_t *sites, size_t count) {
  uint64_t i;
  bbw_request *request = find(requests, id, &i);
  if (request == NULL) { return BBW_OK; }
  uint64_t *others = count > 1 ? bbw_mem_array(requests->mem, count - 1, sizeof(*others)) : NULL;
  if (count > 1 && others == NULL) { return BBW_E_NOMEM; }
  free_others(requests, request);
  request->is_unsent = count == 0;
  if (count != 0) { request->target_site = sites[0]; }
  if (count < 2) { return BBW_OK; }
  memcpy(others, sites + 1, (count - 1) * sizeof(*others));
  request->others = others;
  request->other_count = request->other_cap = (uint32_t)(count - 1); /* as many as one Send may name */
  return BBW_OK;
}

void bbw_requests_set_edge(bbw_requests *requests, uint64_t id, uint64_t chain_id, uint32_t hop) {
  uint64_t i;
  bbw_request *request = find(requests, id, &i);
  if (request == NULL) { return; }
  request->has_edge = true;
  request->chain_id = chain_id;
  request->hop = hop;
}

/* Who may answer: 0 is target_site, k the other k - 1; UINT32_MAX: not this one. */
static uint32_t find_peer(const bbw_request *request, uint64_t site) {
  if (request->is_unsent) { return UINT32_MAX; }
  uint32_t k = 0;
  while (k <= request->other_count && (k == 0 ? request->target_site : request->others[k - 1]) != site) { k++; }
  return k <= request->other_count ? k : UINT32_MAX;
}

bool bbw_requests_observe_response(bbw_requests *requests, uint64_t id, uint64_t from_site, bbw_request *out) {
  uint64_t i;
  const bbw_request *request = find(requests, id, &i);
  if (request == NULL || find_peer(request, from_site) == UINT32_MAX) { return false; }
  remove_at(requests, (size_t)i, out);
  return true;
}

bool bbw_requests_remove(bbw_requests *requests, uint64_t id, bbw_request *out) {
  uint64_t i;
  if (find(requests, id, &i) == NULL) { return false; }
  remove_at(requests, (size_t)i, out);
  return true;
}

bool bbw_requests_fail_peer(bbw_requests *requests, uint64_t id, uint64_t site, bbw_request *out) {
  uint64_t i;
  bbw_request *request = find(requests, id, &i);
  uint32_t k = request == NULL ? UINT32_MAX : find_peer(request, site);
  if (k == UINT32_MAX) { return false; }
  if (request->other_count == 0) {
    remove_at(requests, (size_t)i, out);
    return true;
  }
  uint64_t last = request->others[--request->other_count]; /* takes the place of the one that is gone */
  if (k == 0) {
    request->target_site = last;
  } else {
    request->others[k - 1] = last;
  }
  return false;
}

bool bbw_requests_pop_stale(bbw_requests *requests, uint64_t now_ns, bbw_request *out) {
  if (requests->heap.count == 0 || at(requests, 0)->expires_at_ns > now_ns) { return false; }
  remove_at(requests, 0, out);
  return true;
}

bool bbw_requests_next_expiry(const bbw_requests *requests, uint64_t *at_ns) {
  if (requests->heap.count == 0) { return false; }
  *at_ns = at(requests, 0)->expires_at_ns;
  return true;
}

size_t bbw_requests_in_flight(const bbw_requests *requests) { return requests->heap.count; }
