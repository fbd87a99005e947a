#include "peers/request_tracker.h"

void bbw_requests_init(bbw_requests *requests, const bbw_mem *mem) {
  *requests = (bbw_requests){.mem = mem, .next_token = 1};
  bbw_vec_init(&requests->heap, sizeof(bbw_request), mem);
  bbw_map_init(&requests->by_id, 0, mem);
}

void bbw_requests_free(bbw_requests *requests) {
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
  }
  place(requests, (size_t)i, request);
  settle(requests, (size_t)i);
  return BBW_OK;
}

void bbw_requests_set_edge(bbw_requests *requests, uint64_t id, uint64_t chain_id, uint32_t hop) {
  uint64_t i;
  if (!bbw_map_get(&requests->by_id, id, &i)) { return; }
  bbw_request *request = at(requests, (size_t)i);
  request->has_edge = true;
  request->chain_id = chain_id;
  request->hop = hop;
}

bool bbw_requests_observe_response(bbw_requests *requests, uint64_t id, uint64_t from_site, bbw_request *out) {
  uint64_t i;
  if (!bbw_map_get(&requests->by_id, id, &i) || at(requests, (size_t)i)->target_site != from_site) { return false; }
  remove_at(requests, (size_t)i, out);
  return true;
}

bool bbw_requests_remove(bbw_requests *requests, uint64_t id, bbw_request *out) {
  uint64_t i;
  if (!bbw_map_get(&requests->by_id, id, &i)) { return false; }
  remove_at(requests, (size_t)i, out);
  return true;
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
