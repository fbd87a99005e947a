/*
 * fedavg: the average of what peers contributed, weighted by their sample counts.
 *
 * One contribution per peer; a later one replaces it.  The sum runs in the order of PeerId, every multiplication and addition rounded:
 * r = x1*w1 + x2*w2, then r + x3*w3, ..., with w = f32(samples) / f32(total).  So the result does not depend on the order of arrival.
 * All tensors of a round have one shape, which the first contribution sets; another shape is refused when it arrives, so that one
 * bad client cannot spoil the round.  Source: ops specification §7.
 */
#ifndef BBW_COMPONENTS_FEDAVG_H
#define BBW_COMPONENTS_FEDAVG_H

#include "base/vec.h"
#include "bbw/component.h"

/* Peers in one round. */
#define BBW_FEDAVG_PEERS_MAX 65536u

typedef struct bbw_fedavg {
  const bbw_mem *mem;
  bbw_vec contributions; /* bbw_fedavg_contribution, ascending by peer */
  uint64_t total;        /* sum of the samples, at most 2^64 - 1 */
} bbw_fedavg;

void bbw_fedavg_init(bbw_fedavg *f, const bbw_mem *mem);
void bbw_fedavg_free(bbw_fedavg *f);

/* Takes a reference of its own on `tensor` (one of the tensor carriers).  *detail says why, on errors other than BBW_E_NOMEM: BBW_E_EMPTY
 * (samples is 0), BBW_E_SHAPE (not the shape of the round), BBW_E_LIMIT (sum of samples, number of peers).  A refused call changes nothing. */
bbw_status bbw_fedavg_contribute(bbw_fedavg *f, const bbw_peer_id *peer, bbw_value *tensor, uint64_t samples,
                                 const char **detail);

/* The average as a CPU_TENSOR and the sum of samples; the round is over then.  BBW_E_EMPTY when nobody contributed; after BBW_E_NOMEM the round is as it was. */
bbw_status bbw_fedavg_aggregate(bbw_fedavg *f, bbw_value **out, uint64_t *samples);

/* The component "FedAvg", role Aggregator.  Contribute(element, metadata) or Contribute(composite of both): the element is a tensor in any carrier, the metadata FedAvgMeta,
 * U64, RawU64 or eight little-endian bytes.  Aggregate() -> params, metadata.
 * Its state is the contributions of the round: u64 count, then for each u64 samples, u64 type hash, u32 and peer id, u64 and payload (little-endian). */
extern const bbw_component_type bbw_fedavg_type;

#endif
