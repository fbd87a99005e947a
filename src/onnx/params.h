/*
 * params: attributes that the optimizer reads (fuse.c) beside the operator that they belong to.
 */
#ifndef BBW_ONNX_PARAMS_H
#define BBW_ONNX_PARAMS_H

#include "onnx/op.h"

typedef struct bbw_transpose_params {
  int64_t perm[BBW_ARRAY_RANK_MAX];
  int32_t count; /* -1: the axes in reverse */
} bbw_transpose_params;

/* Softmax and its relatives: the first field of their params. */
typedef struct bbw_lane_params {
  int64_t axis;
} bbw_lane_params;

typedef struct bbw_reduce_params {
  int64_t axes[BBW_ARRAY_RANK_MAX];
  int32_t axis_count; /* -1: not given as attribute */
  bool keeps_dims;
  bool does_nothing_without_axes;
} bbw_reduce_params;

typedef struct bbw_clip_params {
  float min, max; /* opset 6 to 10 */
} bbw_clip_params;

typedef struct bbw_batch_norm_params {
  float epsilon, momentum;
  bool is_training;
} bbw_batch_norm_params;

typedef struct bbw_layer_norm_params {
  float epsilon;
  int64_t axis;
  bool is_fused; /* from its parts: rows of one element may be spread over gamma and beta */
} bbw_layer_norm_params;

/* The fused operator of attention.  Inputs: q, k, v, each [batch, rows, heads, size] (or [batch, heads, rows, size]), and optionally a mask that is added to
 * the scores [batch, heads, queries, keys]. */
typedef struct bbw_attention_params {
  float scale;
  bool rows_first_q, rows_first_k, rows_first_v; /* rows in front of heads */
  bool rows_first_out;
} bbw_attention_params;

#endif
