/*
 * rtt: how long does an answer of a peer take, and which peers have gone quiet?
 *
 * Estimates per site (a peer, as bbw_peer_id_site), per edge of a chain, per chain and over all.  Bounded: the site that was heard of longest ago is
 * evicted, a site keeps BBW_RTT_EDGES_PER_SITE_MAX edges (the oldest goes), chains beyond BBW_RTT_CHAINS_MAX get no prior.  Changes of liveness come
 * out of a heap by due time, so a poll without one costs nothing.  Source: wire specification, §12.
 */
#ifndef BBW_PEERS_RTT_H
#define BBW_PEERS_RTT_H

#include "base/map.h"
#include "base/vec.h"
#include "bbw/envelope.h"
#include "peers/phi.h"

#define BBW_RTT_SITES_MAX          4096u
#define BBW_RTT_EDGES_PER_SITE_MAX 16u
#define BBW_RTT_CHAINS_MAX         1024u
/* The most that a peer may report for what comes behind it. */
#define BBW_RTT_ONWARD_NS_MAX UINT64_C(60000000000)
/* An estimate counts from so many samples on. */
#define BBW_RTT_SAMPLES_WARM 3u

typedef struct bbw_rtt_estimator {
  uint64_t srtt_ns;
  uint64_t rttvar_ns;
  uint64_t sample_count;
} bbw_rtt_estimator;

/* Weights of a new sample: 1/2^alpha in the mean, 1/2^beta in the deviation. */
typedef struct bbw_rtt_shifts {
  uint8_t alpha;
  uint8_t beta;
} bbw_rtt_shifts;
#define BBW_RTT_SHIFTS_NORMAL ((bbw_rtt_shifts){3, 2})
#define BBW_RTT_SHIFTS_GLOBAL ((bbw_rtt_shifts){6, 5})

void bbw_rtt_estimator_observe(bbw_rtt_estimator *estimator, bbw_rtt_shifts shifts, uint64_t sample_ns);
/* Mean plus four deviations. */
uint64_t bbw_rtt_estimator_budget_ns(const bbw_rtt_estimator *estimator);
bool bbw_rtt_estimator_is_warm(const bbw_rtt_estimator *estimator);

/* A place in a chain of nodes. */
typedef struct bbw_rtt_edge {
  uint64_t chain_id;
  uint32_t hop;
} bbw_rtt_edge;

/* The number of a chain, from its targets as the compiler writes them: "server,worker". */
uint64_t bbw_rtt_chain_id(bbw_str targets);

typedef struct bbw_rtt_edge_entry {
  bbw_rtt_edge edge;
  bbw_rtt_estimator estimator;
  uint64_t onward_ns; /* the peer's last word on how long the chain takes behind it */
} bbw_rtt_edge_entry;

typedef struct bbw_rtt_chain {
  uint64_t chain_id;
  bbw_rtt_estimator estimator;
  uint64_t next_site; /* that answered last */
  uint64_t onward_ns; /* the last report of such a peer */
} bbw_rtt_chain;

typedef struct bbw_rtt_site bbw_rtt_site;
struct bbw_rtt_site {
  uint64_t site;
  bbw_rtt_estimator estimator;
  bbw_vec edges; /* bbw_rtt_edge_entry, oldest first */
  bbw_phi phi;
  bbw_phi_state told; /* the state that the last change said */
  uint64_t due_ns;    /* when the state may next differ from it */
  size_t heap_at;
  bbw_rtt_site *before; /* heard of longer ago */
  bbw_rtt_site *after;
};

typedef struct bbw_rtt {
  const bbw_mem *mem;
  bbw_map by_site;     /* site -> address of the entry */
  bbw_vec heap;        /* bbw_rtt_site *, earliest due first */
  bbw_rtt_site *first; /* heard of longest ago */
  bbw_rtt_site *last;
  bbw_vec chains; /* bbw_rtt_chain */
  bbw_map by_chain;
  bbw_rtt_estimator global;
} bbw_rtt;

void bbw_rtt_init(bbw_rtt *rtt, const bbw_mem *mem);
void bbw_rtt_free(bbw_rtt *rtt);

/* An answer of `site` took elapsed_ns.  edge may be NULL.  BBW_OK, or BBW_E_NOMEM and nothing changed. */
bbw_status bbw_rtt_observe(bbw_rtt *rtt, uint64_t site, const bbw_rtt_edge *edge, uint64_t elapsed_ns, uint64_t now_ns);

/* The budget of the first warm estimator of: edge, site, chain, all; else fallback_ns.  Over an edge, what the peer has reported for the way behind it comes on top. */
uint64_t bbw_rtt_estimate_ns(const bbw_rtt *rtt, uint64_t site, const bbw_rtt_edge *edge, uint64_t fallback_ns);

/*
 * Reports that came with the answer to a request over this edge.  Only those of the same chain from a place further on, warm and of at most BBW_RTT_ONWARD_NS_MAX, count; the longest of them takes
 * the place of what the edge had.  So a peer can make us wait longer for itself, by so much, and nothing else.
 */
void bbw_rtt_take_reports(bbw_rtt *rtt, uint64_t site, const bbw_rtt_edge *edge, const bbw_edge_rtt_report *reports,
                          size_t count);
/* What a node at that place of a chain tells the peer `asker` in its answer: how long the chain takes behind it.  False when it does not know, or only knows it of the asker. */
bool bbw_rtt_report(const bbw_rtt *rtt, const bbw_rtt_edge *place, uint64_t asker, bbw_edge_rtt_report *out);

/* Takes out one change of liveness that is due, earliest first; false when there is none. */
bool bbw_rtt_next_change(bbw_rtt *rtt, uint64_t now_ns, uint64_t *site, bbw_phi_state *state, double *phi);
/* When the next change may be due; false if none can be. */
bool bbw_rtt_next_due(const bbw_rtt *rtt, uint64_t *at_ns);

/* What was saved.  Sites in the order in which they were heard of, with the intervals of phi oldest first; of phi itself only last_seen_ns is read, and heap_at, before and after are not.
 * BBW_OK, BBW_E_NOMEM, or BBW_E_LIMIT for a repeated site and for more than the tables hold; after a failure the tables are only good for freeing. */
bbw_status bbw_rtt_restore_site(bbw_rtt *rtt, const bbw_rtt_site *from, const uint64_t *intervals, size_t count);
bbw_status bbw_rtt_restore_chain(bbw_rtt *rtt, const bbw_rtt_chain *chain);

#endif
