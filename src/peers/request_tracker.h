/*
 * request_tracker: which requests of ours are without an answer?
 *
 * Ids start at 1 and grow.  A heap by expiry finds what is overdue without a scan.  A response counts only when it comes from a peer that the request was sent to.  Of several that
 * were asked under one id the first to answer ends the request; it is lost when none is left that could.
 * Source: wire specification §10 (RequestTracker).
 */
#ifndef BBW_PEERS_REQUEST_TRACKER_H
#define BBW_PEERS_REQUEST_TRACKER_H

#include "base/map.h"
#include "base/vec.h"
#include "bbw/error.h"

#define BBW_REQUESTS_IN_FLIGHT_MAX 65536u
/* The longest that a request stays open because an envelope of a peer says that there is time: a peer could fill the table for ever.  What the graph itself says has no such limit. */
#define BBW_REQUEST_INHERITED_NS_MAX UINT64_C(3600000000000)

typedef struct bbw_request {
  uint64_t id;
  uint64_t started_at_ns;
  uint64_t expires_at_ns; /* 0 = never */
  uint64_t target_site;   /* bbw_peer_id_site of a peer that may answer */
  uint64_t *others;       /* the sites of the others; the table's own, NULL in what is taken out */
  uint32_t other_count;
  uint32_t other_cap;
  bool is_unsent;  /* it was sent to nobody, so no answer counts; target_site is the first that was named */
  uint64_t waiter; /* command of the operator that waits for its answer, + 1; 0: nobody waits */
  bool has_edge;   /* it went over an edge of a chain: */
  uint32_t hop;
  uint64_t chain_id;
} bbw_request;

typedef struct bbw_requests {
  const bbw_mem *mem;
  uint64_t next_token;
  bbw_vec heap;  /* bbw_request, the next to expire first */
  bbw_map by_id; /* id -> index in heap */
} bbw_requests;

void bbw_requests_init(bbw_requests *requests, const bbw_mem *mem);
void bbw_requests_free(bbw_requests *requests);
uint64_t bbw_requests_mint_token(bbw_requests *requests);
/* Replaces a request of the same id, unless somebody waits for that one.  ttl_ns of at least 1.  BBW_OK, BBW_E_LIMIT, BBW_E_NOMEM. */
bbw_status bbw_requests_register(bbw_requests *requests, uint64_t id, uint64_t now_ns, uint64_t target_site,
                                 uint64_t ttl_ns);
/* Whose answers count for an open request: those of the peers that it was sent to, none when there are none.  BBW_OK, BBW_E_NOMEM. */
bbw_status bbw_requests_set_peers(bbw_requests *requests, uint64_t id, const uint64_t *sites, size_t count);
/* Notes over which edge of a chain an open request went. */
void bbw_requests_set_edge(bbw_requests *requests, uint64_t id, uint64_t chain_id, uint32_t hop);
/* Takes the request out if it is open and that peer may answer it. */
bool bbw_requests_observe_response(bbw_requests *requests, uint64_t id, uint64_t from_site, bbw_request *out);
/* The open request of that id, or NULL.  Valid until the table changes. */
bbw_request *bbw_requests_find(const bbw_requests *requests, uint64_t id);
/* The one that expires first, or NULL. */
const bbw_request *bbw_requests_next(const bbw_requests *requests);
/* Takes a request out whoever it was sent to. */
bool bbw_requests_remove(bbw_requests *requests, uint64_t id, bbw_request *out);
/* The request did not reach that peer.  Takes it out when nobody is left who could answer. */
bool bbw_requests_fail_peer(bbw_requests *requests, uint64_t id, uint64_t site, bbw_request *out);
/* Takes out one request with expires_at_ns <= now_ns, earliest first, then by id; false when none is left. */
bool bbw_requests_pop_stale(bbw_requests *requests, uint64_t now_ns, bbw_request *out);
/* When the next request expires; false if none does. */
bool bbw_requests_next_expiry(const bbw_requests *requests, uint64_t *at_ns);
size_t bbw_requests_in_flight(const bbw_requests *requests);

#endif
