/*
 * batch: which matrices of two operands meet, where both are batches of matrices.
 *
 * The axes in front of the last two are spread over each other as in NumPy; an operand of fewer dimensions is one matrix for all.  Source: ONNX operator MatMul.
 */
#ifndef BBW_ONNX_BATCH_H
#define BBW_ONNX_BATCH_H

#include "onnx/op.h"

typedef struct bbw_batch {
  uint32_t rank; /* axes in front of the matrices */
  size_t dims[BBW_ARRAY_RANK_MAX];
  size_t a_steps[BBW_ARRAY_RANK_MAX],
      b_steps[BBW_ARRAY_RANK_MAX]; /* matrices from one index to the next; 0 where it is repeated */
} bbw_batch;

/* A place in a batch: zeroed, it is the first. */
typedef struct bbw_batch_place {
  size_t index[BBW_ARRAY_RANK_MAX];
  size_t a, b; /* matrices in front of it */
} bbw_batch_place;

/* infer: BBW_OK, or BBW_E_ONNX_INVALID when the axes do not fit together. */
bbw_status bbw_batch_plan(bbw_call *call, const bbw_array *a, const bbw_array *b, bbw_batch *out);
/* Pairs of matrices; fits, when the result of that shape could be shaped. */
size_t bbw_batch_count(const bbw_batch *batch);
/* The next pair, in row-major order; after the last one the first again. */
void bbw_batch_next(const bbw_batch *batch, bbw_batch_place *place);

#endif
