/*
 * fused: what the optimizer folds into products and convolutions: a bias and an activation.
 *
 * The first field of the params of MatMul, Gemm and Conv; zeroed by prepare, set by fuse.c, and only for f32 results.
 */
#ifndef BBW_ONNX_FUSED_H
#define BBW_ONNX_FUSED_H

#include "kernels/epilogue.h"
#include "onnx/op.h"

typedef struct bbw_fused {
  bbw_activation activation;
  float low, high;
  bbw_unary_f32_fn *map;
  bool has_bias; /* MatMul: the last input is a vector to add to every row */
} bbw_fused;

static inline void bbw_fused_set(const bbw_fused *fused, bbw_epilogue *epilogue) {
  epilogue->activation = fused->activation;
  epilogue->low = fused->low;
  epilogue->high = fused->high;
  epilogue->map = fused->map;
}

#endif
