/*
 * transpose: the same elements with the axes in another order.  Moves bits, so there is one version.
 */
#ifndef BBW_KERNELS_TRANSPOSE_H
#define BBW_KERNELS_TRANSPOSE_H

#include <stddef.h>
#include <stdint.h>

#include "bbw/value.h"

/*
 * out[i0, i1, ...] = x at the place where axis perm[d] has index i_d: axis d of out is axis perm[d] of x.  Both are dense and do not
 * overlap.  perm holds each of 0..rank-1 once (the caller has checked); rank is at most BBW_TENSOR_RANK_MAX.
 */
void bbw_transpose_f32(const float *x, const uint64_t *dims, const uint32_t *perm, uint32_t rank, float *out);

#endif
