#include "peers/rtt.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* ---- one estimator ------------------------------------------------------------------------------------------------ */

void bbw_rtt_estimator_observe(bbw_rtt_estimator *estimator, bbw_rtt_shifts shifts, uint64_t sample_ns) {
  if (estimator->sample_count == 0) {
    estimator->srtt_ns = sample_ns;
    estimator->rttvar_ns = sample_ns >> 1;
  } else {
    uint64_t srtt = estimator->srtt_ns;
    uint64_t off = sample_ns > srtt ? sample_ns - srtt : srtt - sample_ns;
    estimator->rttvar_ns = estimator->rttvar_ns - (estimator->rttvar_ns >> shifts.beta) + (off >> shifts.beta);
    estimator->srtt_ns = srtt - (srtt >> shifts.alpha) + (sample_ns >> shifts.alpha);
  }
  if (estimator->sample_count < UINT64_MAX) { estimator->sample_count++; }
}

uint64_t bbw_rtt_estimator_budget_ns(const bbw_rtt_estimator *estimator) {
  if (estimator->rttvar_ns > (UINT64_MAX - estimator->srtt_ns) / 4) { return UINT64_MAX; }
  return estimator->srtt_ns + 4 * estimator->rttvar_ns;
}

bool bbw_rtt_estimator_is_warm(const bbw_rtt_estimator *estimator) {
  return estimator->sample_count >= BBW_RTT_SAMPLES_WARM;
}

/* ---- sites -------------------------------------------------------------------------------------------------------- */

uint64_t bbw_rtt_chain_id(bbw_str targets) {
  return bbw_fnv1a(BBW_FNV1A_OFFSET, (bbw_bytes){(const uint8_t *)targets.ptr, targets.len});
}

void bbw_rtt_init(bbw_rtt *rtt, const bbw_mem *mem) {
  *rtt = (bbw_rtt){.mem = mem};
  bbw_map_init(&rtt->by_site, 0, mem);
  bbw_vec_init(&rtt->heap, sizeof(bbw_rtt_site *), mem);
  bbw_vec_init(&rtt->chains, sizeof(bbw_rtt_chain), mem);
  bbw_map_init(&rtt->by_chain, 0, mem);
}

static void site_free(bbw_rtt *rtt, bbw_rtt_site *site) {
  bbw_vec_free(&site->edges);
  bbw_phi_free(&site->phi);
  bbw_mem_array_free(rtt->mem, site, 1, sizeof(*site));
}

void bbw_rtt_free(bbw_rtt *rtt) {
  bbw_rtt_site *site = rtt->first;
  while (site != NULL) {
    bbw_rtt_site *after = site->after;
    site_free(rtt, site);
    site = after;
  }
  rtt->first = NULL;
  rtt->last = NULL;
  bbw_map_free(&rtt->by_site);
  bbw_vec_free(&rtt->heap);
  bbw_vec_free(&rtt->chains);
  bbw_map_free(&rtt->by_chain);
}

static bbw_rtt_site *find(const bbw_rtt *rtt, uint64_t site) {
  uint64_t at;
  return bbw_map_get(&rtt->by_site, site, &at) ? (bbw_rtt_site *)(uintptr_t)at : NULL;
}

/* ---- heap by due time, then site ---------------------------------------------------------------------------------- */

static bbw_rtt_site *heap_get(const bbw_rtt *rtt, size_t i) { return *BBW_VEC_AT(&rtt->heap, bbw_rtt_site *, i); }

static void heap_set(bbw_rtt *rtt, size_t i, bbw_rtt_site *site) {
  *BBW_VEC_AT(&rtt->heap, bbw_rtt_site *, i) = site;
  site->heap_at = i;
}

static bool is_earlier(const bbw_rtt_site *a, const bbw_rtt_site *b) {
  return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->site < b->site;
}

static void heap_settle(bbw_rtt *rtt, bbw_rtt_site *moving) {
  size_t i = moving->heap_at;
  while (i > 0 && is_earlier(moving, heap_get(rtt, (i - 1) / 2))) {
    heap_set(rtt, i, heap_get(rtt, (i - 1) / 2));
    i = (i - 1) / 2;
  }
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= rtt->heap.count) { break; }
    bool has_right = child + 1 < rtt->heap.count;
    if (has_right && is_earlier(heap_get(rtt, child + 1), heap_get(rtt, child))) { child++; }
    if (!is_earlier(heap_get(rtt, child), moving)) { break; }
    heap_set(rtt, i, heap_get(rtt, child));
    i = child;
  }
  heap_set(rtt, i, moving);
}

static void heap_remove(bbw_rtt *rtt, const bbw_rtt_site *site) {
  size_t i = site->heap_at;
  bbw_rtt_site *last = heap_get(rtt, --rtt->heap.count);
  if (last == site) { return; }
  heap_set(rtt, i, last);
  heap_settle(rtt, last);
}

/* ---- order by last word ------------------------------------------------------------------------------------------- */

static void unlink_site(bbw_rtt *rtt, bbw_rtt_site *site) {
  if (site->before == NULL) {
    rtt->first = site->after;
  } else {
    site->before->after = site->after;
  }
  if (site->after == NULL) {
    rtt->last = site->before;
  } else {
    site->after->before = site->before;
  }
}

static void link_last(bbw_rtt *rtt, bbw_rtt_site *site) {
  site->before = rtt->last;
  site->after = NULL;
  if (rtt->last == NULL) {
    rtt->first = site;
  } else {
    rtt->last->after = site;
  }
  rtt->last = site;
}

static bbw_rtt_site *site_add(bbw_rtt *rtt, uint64_t number) {
  if (!bbw_vec_reserve(&rtt->heap, 1) || !bbw_map_reserve(&rtt->by_site, 1)) { return NULL; }
  bbw_rtt_site *site = bbw_mem_array(rtt->mem, 1, sizeof(*site));
  if (site == NULL) { return NULL; }
  site->site = number;
  site->due_ns = UINT64_MAX;
  bbw_vec_init(&site->edges, sizeof(bbw_rtt_edge_entry), rtt->mem);
  bbw_phi_init(&site->phi, rtt->mem);
  if (rtt->heap.count >= BBW_RTT_SITES_MAX) {
    bbw_rtt_site *oldest = rtt->first;
    heap_remove(rtt, oldest);
    unlink_site(rtt, oldest);
    (void)bbw_map_remove(&rtt->by_site, oldest->site);
    site_free(rtt, oldest);
  }
  (void)bbw_map_put(&rtt->by_site, number, (uint64_t)(uintptr_t)site);
  (void)bbw_vec_push(&rtt->heap);
  heap_set(rtt, rtt->heap.count - 1, site);
  heap_settle(rtt, site);
  link_last(rtt, site);
  return site;
}

/* ---- observations ------------------------------------------------------------------------------------------------- */

static bbw_rtt_edge_entry *edge_find(const bbw_rtt_site *site, const bbw_rtt_edge *edge) {
  for (size_t i = 0; i < site->edges.count; i++) {
    bbw_rtt_edge_entry *entry = BBW_VEC_AT(&site->edges, bbw_rtt_edge_entry, i);
    if (entry->edge.chain_id == edge->chain_id && entry->edge.hop == edge->hop) { return entry; }
  }
  return NULL;
}

static void observe_edge(bbw_rtt_site *site, const bbw_rtt_edge *edge, uint64_t elapsed_ns) {
  bbw_rtt_edge_entry *entry = edge_find(site, edge);
  if (entry == NULL && site->edges.count == BBW_RTT_EDGES_PER_SITE_MAX) {
    bbw_rtt_edge_entry *items = site->edges.items;
    memmove(items, items + 1, (site->edges.count - 1) * sizeof(*items));
    site->edges.count--;
  }
  if (entry == NULL) {
    entry = bbw_vec_push(&site->edges); /* room was made */
    entry->edge = *edge;
  }
  bbw_rtt_estimator_observe(&entry->estimator, BBW_RTT_SHIFTS_NORMAL, elapsed_ns);
}

static bbw_rtt_chain *chain_find(const bbw_rtt *rtt, uint64_t chain_id) {
  uint64_t i;
  return bbw_map_get(&rtt->by_chain, chain_id, &i) ? BBW_VEC_AT(&rtt->chains, bbw_rtt_chain, i) : NULL;
}

/* The chain, made when it is new and there is a place for it; room was made. */
static bbw_rtt_chain *chain_get(bbw_rtt *rtt, uint64_t chain_id) {
  bbw_rtt_chain *chain = chain_find(rtt, chain_id);
  if (chain != NULL || rtt->chains.count == BBW_RTT_CHAINS_MAX) { return chain; }
  (void)bbw_map_put(&rtt->by_chain, chain_id, rtt->chains.count);
  chain = bbw_vec_push(&rtt->chains);
  chain->chain_id = chain_id;
  return chain;
}

static void observe_chain(bbw_rtt *rtt, uint64_t chain_id, uint64_t site, uint64_t elapsed_ns) {
  bbw_rtt_chain *chain = chain_get(rtt, chain_id);
  if (chain == NULL) { return; }
  bbw_rtt_estimator_observe(&chain->estimator, BBW_RTT_SHIFTS_NORMAL, elapsed_ns);
  chain->next_site = site;
}

/* When the state may next differ from the one that was told. */
static uint64_t due_of(const bbw_rtt_site *site) {
  if (site->told == BBW_PHI_STATE_DOWN) { return UINT64_MAX; }
  return bbw_phi_due_ns(&site->phi, site->told == BBW_PHI_LIVE ? BBW_PHI_SUSPECT : BBW_PHI_DOWN);
}

bbw_status bbw_rtt_observe(bbw_rtt *rtt, uint64_t number, const bbw_rtt_edge *edge, uint64_t elapsed_ns,
                           uint64_t now_ns) {
  if (edge != NULL && (!bbw_vec_reserve(&rtt->chains, 1) || !bbw_map_reserve(&rtt->by_chain, 1))) {
    return BBW_E_NOMEM;
  }
  bbw_rtt_site *site = find(rtt, number);
  if (site != NULL && edge != NULL && !bbw_vec_reserve(&site->edges, 1)) { return BBW_E_NOMEM; }
  if (site == NULL) {
    bbw_vec edges; /* made first, so that a failure leaves no half site */
    bbw_vec_init(&edges, sizeof(bbw_rtt_edge_entry), rtt->mem);
    if (edge != NULL && !bbw_vec_reserve(&edges, 1)) { return BBW_E_NOMEM; }
    site = site_add(rtt, number);
    if (site == NULL) {
      bbw_vec_free(&edges);
      return BBW_E_NOMEM;
    }
    site->edges = edges;
  }
  bbw_rtt_estimator_observe(&site->estimator, BBW_RTT_SHIFTS_NORMAL, elapsed_ns);
  bbw_phi_heartbeat(&site->phi, now_ns);
  if (edge != NULL) {
    observe_edge(site, edge, elapsed_ns);
    observe_chain(rtt, edge->chain_id, number, elapsed_ns);
  }
  bbw_rtt_estimator_observe(&rtt->global, BBW_RTT_SHIFTS_GLOBAL, elapsed_ns);
  /* A peer that was given up is alive again: to be told at once. */
  site->due_ns = site->told == BBW_PHI_LIVE ? due_of(site) : 0;
  heap_settle(rtt, site);
  unlink_site(rtt, site);
  link_last(rtt, site);
  return BBW_OK;
}

uint64_t bbw_rtt_estimate_ns(const bbw_rtt *rtt, uint64_t number, const bbw_rtt_edge *edge, uint64_t fallback_ns) {
  const bbw_rtt_site *site = find(rtt, number);
  const bbw_rtt_edge_entry *entry = site == NULL || edge == NULL ? NULL : edge_find(site, edge);
  const bbw_rtt_chain *chain = edge == NULL ? NULL : chain_find(rtt, edge->chain_id);
  const bbw_rtt_estimator *candidates[] = {
      entry == NULL ? NULL : &entry->estimator,
      site == NULL ? NULL : &site->estimator,
      chain == NULL ? NULL : &chain->estimator,
      &rtt->global,
  };
  for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
    if (candidates[i] == NULL || !bbw_rtt_estimator_is_warm(candidates[i])) { continue; }
    fallback_ns = bbw_rtt_estimator_budget_ns(candidates[i]);
    break;
  }
  uint64_t onward_ns = entry == NULL ? 0 : entry->onward_ns;
  return fallback_ns > UINT64_MAX - onward_ns ? UINT64_MAX : fallback_ns + onward_ns;
}

void bbw_rtt_take_reports(bbw_rtt *rtt, uint64_t number, const bbw_rtt_edge *edge, const bbw_edge_rtt_report *reports,
                          size_t count) {
  const bbw_rtt_site *site = find(rtt, number);
  bbw_rtt_edge_entry *entry = site == NULL ? NULL : edge_find(site, edge);
  bbw_rtt_chain *chain = chain_find(rtt, edge->chain_id);
  uint64_t longest_ns = 0;
  for (size_t i = 0; i < count; i++) {
    bbw_rtt_estimator told = {reports[i].srtt_ns, reports[i].rttvar_ns, reports[i].sample_count};
    uint64_t budget_ns = bbw_rtt_estimator_budget_ns(&told);
    bool counts = reports[i].chain_id == edge->chain_id && reports[i].hop_index > edge->hop &&
                  bbw_rtt_estimator_is_warm(&told) && budget_ns <= BBW_RTT_ONWARD_NS_MAX;
    if (counts && budget_ns > longest_ns) { longest_ns = budget_ns; }
  }
  if (longest_ns == 0 || entry == NULL) { return; }
  entry->onward_ns = longest_ns;
  if (chain != NULL) { chain->onward_ns = longest_ns; }
}

bool bbw_rtt_report(const bbw_rtt *rtt, const bbw_rtt_edge *place, uint64_t asker, bbw_edge_rtt_report *out) {
  const bbw_rtt_chain *chain = chain_find(rtt, place->chain_id);
  if (chain == NULL || chain->next_site == asker || !bbw_rtt_estimator_is_warm(&chain->estimator)) { return false; }
  if (chain->estimator.srtt_ns > BBW_RTT_ONWARD_NS_MAX) { return false; } /* it would not count */
  *out = (bbw_edge_rtt_report){.next_hop_site_id = chain->next_site,
                               .chain_id = place->chain_id,
                               .hop_index = place->hop,
                               .srtt_ns = chain->estimator.srtt_ns + chain->onward_ns,
                               .rttvar_ns = chain->estimator.rttvar_ns,
                               .sample_count = chain->estimator.sample_count};
  return true;
}

/* ---- liveness ----------------------------------------------------------------------------------------------------- */

bool bbw_rtt_next_change(bbw_rtt *rtt, uint64_t now_ns, uint64_t *number, bbw_phi_state *state, double *phi) {
  while (rtt->heap.count != 0 && heap_get(rtt, 0)->due_ns <= now_ns) {
    bbw_rtt_site *site = heap_get(rtt, 0);
    double value = bbw_phi_value(&site->phi, now_ns);
    bbw_phi_state now_state = bbw_phi_state_of(value);
    bool has_changed = now_state != site->told;
    site->told = now_state;
    site->due_ns = due_of(site);
    /* Due times round down; look again a little later. */
    if (site->due_ns <= now_ns) { site->due_ns = now_ns == UINT64_MAX ? UINT64_MAX : now_ns + 1; }
    heap_settle(rtt, site);
    if (has_changed) {
      *number = site->site;
      *state = now_state;
      *phi = value;
      return true;
    }
    if (now_ns == UINT64_MAX) { return false; }
  }
  return false;
}

bool bbw_rtt_next_due(const bbw_rtt *rtt, uint64_t *at_ns) {
  if (rtt->heap.count == 0 || heap_get(rtt, 0)->due_ns == UINT64_MAX) { return false; }
  *at_ns = heap_get(rtt, 0)->due_ns;
  return true;
}

/* ---- restoring ---------------------------------------------------------------------------------------------------- */

bbw_status bbw_rtt_restore_chain(bbw_rtt *rtt, const bbw_rtt_chain *chain) {
  if (!bbw_vec_reserve(&rtt->chains, 1) || !bbw_map_reserve(&rtt->by_chain, 1)) { return BBW_E_NOMEM; }
  bbw_rtt_chain *own = chain_get(rtt, chain->chain_id);
  if (own == NULL) { return BBW_E_LIMIT; }
  *own = *chain;
  return BBW_OK;
}

bbw_status bbw_rtt_restore_site(bbw_rtt *rtt, const bbw_rtt_site *from, const uint64_t *intervals, size_t count) {
  if (find(rtt, from->site) != NULL || rtt->heap.count >= BBW_RTT_SITES_MAX) { return BBW_E_LIMIT; }
  if (from->edges.count > BBW_RTT_EDGES_PER_SITE_MAX || count > BBW_PHI_INTERVALS_MAX) { return BBW_E_LIMIT; }
  bbw_rtt_site *site = site_add(rtt, from->site);
  if (site == NULL) { return BBW_E_NOMEM; }
  site->estimator = from->estimator;
  site->told = from->told;
  site->due_ns = from->due_ns;
  heap_settle(rtt, site);
  if (!bbw_vec_append(&site->edges, from->edges.items, from->edges.count)) { return BBW_E_NOMEM; }
  return bbw_phi_restore(&site->phi, intervals, count, from->phi.last_seen_ns);
}
