/*
 * resolve: what does each node of a graph do?
 *
 * Decides for every op between stateless operator, component, function call and unresolved (install specification §4.13), fills in readiness, and lists what is missing.
 */
#ifndef BBW_NODE_RESOLVE_H
#define BBW_NODE_RESOLVE_H

#include "base/vec.h"
#include "engine/engine.h"
#include "node/bindings.h"

/* Resolves all graphs.  bindings[i] belongs to component i.  BBW_OK, BBW_E_NOMEM, or what a component says of an operator that it cannot run, in err. */
bbw_status bbw_resolve_graphs(bbw_engine *engine, const bbw_vec *bindings, bbw_error *err);
/* Counts the ops of the entry graphs and bootstraps, and of functions they call, that have nothing to run; BBW_OK or BBW_E_NOMEM.  Each becomes an item "nodes" of err when it is not NULL. */
bbw_status bbw_resolve_count_missing(bbw_engine *engine, const bbw_vec *bindings, uint64_t *count, bbw_error *err);

#endif
