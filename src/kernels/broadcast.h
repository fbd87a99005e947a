/*
 * broadcast: elementwise kernels over inputs of different shapes, by the rules of NumPy and ONNX.
 *
 * Shapes are aligned at their last dimension; dimensions must be equal or one of them 1.  A plan is made once from the shapes: neighbouring
 * axes that behave alike are joined, so equal shapes and bias rows run as long contiguous pieces.
 */
#ifndef BBW_KERNELS_BROADCAST_H
#define BBW_KERNELS_BROADCAST_H

#include "bbw/value.h"
#include "kernels/elementwise.h"

typedef struct bbw_broadcast {
  uint32_t rank; /* of the result */
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  size_t count; /* elements of the result */
  /* The joined axes, outermost first.  A step is the distance between neighbours in that input, 0 where it is repeated. */
  uint32_t axes;
  size_t size[BBW_TENSOR_RANK_MAX];
  size_t x_step[BBW_TENSOR_RANK_MAX];
  size_t y_step[BBW_TENSOR_RANK_MAX];
} bbw_broadcast;

/* False when the shapes do not fit, or the element count overflows.  Ranks are at most BBW_TENSOR_RANK_MAX. */
bool bbw_broadcast_plan(bbw_broadcast *plan, const uint64_t *x_dims, uint32_t x_rank, const uint64_t *y_dims,
                        uint32_t y_rank);

/* out[plan->count] = kernel of the repeated inputs.  out may be an input only if that input has the shape of the result. */
void bbw_broadcast_run(const bbw_broadcast *plan, bbw_binary_f32_fn *kernel, const float *x, const float *y,
                       float *out);

#endif
