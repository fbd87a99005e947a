/*
 * params: attributes that the optimizer reads (fuse.c) beside the operator that they belong to.
 */
#ifndef BBW_ONNX_PARAMS_H
#define BBW_ONNX_PARAMS_H

#include "onnx/fused.h"

typedef struct bbw_transpose_params {
  int64_t perm[BBW_ARRAY_RANK_MAX];
  int32_t count; /* -1: the axes in reverse */
} bbw_transpose_params;

typedef struct bbw_gemm_params {
  bbw_fused fused; /* first: what the optimizer adds */
  float alpha, beta;
  bool is_a_transposed, is_b_transposed;
} bbw_gemm_params;

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

/* Of GroupNormalization and InstanceNormalization. */
typedef struct bbw_group_norm_params {
  float epsilon;
  int64_t groups; /* 0: one per channel */
} bbw_group_norm_params;

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

typedef struct bbw_dropout_params {
  bool has_seed;
  int64_t seed;
  float ratio;   /* before opset 12 */
  uint64_t salt; /* bbw.DropoutTrain: tells the nodes of a model apart */
} bbw_dropout_params;

/* Of Gather, Scatter and their relatives. */
typedef enum bbw_scatter_reduction {
  BBW_SCATTER_NONE,
  BBW_SCATTER_ADD,
  BBW_SCATTER_MUL,
  BBW_SCATTER_MAX,
  BBW_SCATTER_MIN
} bbw_scatter_reduction;
typedef struct bbw_gather_params {
  int64_t axis; /* first: bbw_lane_params */
  int64_t batch_dims;
  uint32_t reduction; /* bbw_scatter_reduction */
  int64_t batch_axis;
} bbw_gather_params;

/* Of Einsum: positions of letters in the alphabet; BBW_EINSUM_ELLIPSIS stands for the axes that the letters leave. */
#define BBW_EINSUM_OPERANDS_MAX 4u
#define BBW_EINSUM_ELLIPSIS     0xffu
typedef struct bbw_einsum_term {
  uint8_t letters[BBW_ARRAY_RANK_MAX + 1];
  uint32_t count;
  bool has_ellipsis;
} bbw_einsum_term;
typedef struct bbw_einsum_params {
  bbw_einsum_term terms[BBW_EINSUM_OPERANDS_MAX + 1]; /* the result is the last one */
  uint32_t operands;
} bbw_einsum_params;

typedef struct bbw_roi_params {
  uint32_t takes_largest, is_unshifted;
  int64_t height, width, samples;
  float scale;
} bbw_roi_params;

/* Of Scan.  Lists that are shorter than the inputs (outputs) they stand for: axis 0, forward. */
#define BBW_GRAPH_PORTS_MAX 64u /* carried values, scanned values and outputs of one body */
typedef struct bbw_scan_params {
  int64_t scan_inputs;
  int64_t input_axes[BBW_GRAPH_PORTS_MAX], output_axes[BBW_GRAPH_PORTS_MAX];
  int64_t input_directions[BBW_GRAPH_PORTS_MAX], output_directions[BBW_GRAPH_PORTS_MAX]; /* 1: from the end */
  int32_t input_axis_count, output_axis_count, input_direction_count, output_direction_count;
} bbw_scan_params;

/* A forward operator, for the one that computes its gradient by calling it. */
typedef struct bbw_forward {
  const bbw_onnx_op *op;
  const void *params;
  int64_t opset;
} bbw_forward;

/* bbw.Loss: what a step of training minimizes. */
typedef enum bbw_loss_kind {
  BBW_LOSS_SOFTMAX_CROSS_ENTROPY, /* rows of the last axis against an index (whole numbers) or a distribution (f32) */
  BBW_LOSS_BCE_WITH_LOGITS,       /* each element against a number from 0 to 1 */
  BBW_LOSS_MSE,
  BBW_LOSS_HUBER,
  BBW_LOSS_OUTPUT, /* the mean of the prediction itself; no labels */
  BBW_LOSS_GIVEN,  /* the sum of the elements times labels: these are the gradient */
} bbw_loss_kind;

typedef struct bbw_loss_params {
  bbw_loss_kind kind;
  bool has_ignored;
  int64_t ignored; /* rows with this index count for nothing */
  float smoothing; /* in [0, 1): the part of the weight that all classes share */
  float delta;     /* of Huber, positive */
  const float *class_weights;
  size_t class_count; /* 0: no weights */
} bbw_loss_params;

#endif
