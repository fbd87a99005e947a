/*
 * recurrent: what RNN, GRU and LSTM share with their gradients: sizes, and one direction of a call, step by step.
 */
#ifndef BBW_ONNX_RECURRENT_H
#define BBW_ONNX_RECURRENT_H

#include "onnx/op.h"

enum { RELU, TANH, SIGMOID, AFFINE, LEAKY_RELU, THRESHOLDED_RELU, SCALED_TANH, HARD_SIGMOID, ELU, SOFTSIGN, SOFTPLUS };
typedef struct bbw_gate_function {
  uint32_t kind; /* of these */
  float alpha, beta;
} bbw_gate_function;
float bbw_activate(bbw_gate_function a, float x);

typedef struct bbw_recurrent_params {
  uint32_t direction; /* forward, reverse, bidirectional */
  int64_t hidden;
  int64_t layout;
  bool is_reset_after; /* GRU: linear_before_reset */
  bool couples_forget; /* LSTM: input_forget */
  bool has_clip;
  float clip;
  bbw_gate_function f[2][3]; /* per direction: f, g, h */
} bbw_recurrent_params;

/* Sizes of one call, and where its scratch memory is divided (in floats).  Gates: RNN 1, GRU 3 (z r h), LSTM 4 (i o f c). */
typedef struct bbw_recurrent_plan {
  size_t steps, batch, width, hidden, gates, directions;
  size_t inputs_at, state_at, h_at, c_at, reset_at, gemm_at;
} bbw_recurrent_plan;

/* What one direction works on. */
typedef struct bbw_recurrent_lane {
  const bbw_recurrent_plan *s;
  const bbw_recurrent_params *p;
  const bbw_gate_function *f;
  const float *r, *r_bias, *peephole; /* the last two may be NULL */
  float *inputs, *state, *h, *c, *reset, *gemm;
  const int32_t *lengths; /* or NULL: all steps */
  bool is_reverse;
} bbw_recurrent_lane;

/* BBW_E_ONNX_INVALID: a length is out of range. */
bbw_status bbw_recurrent_check(bbw_call *call);
/* Direction d of a call that has its scratch memory: the inputs' part of all gates, and the first state. */
void bbw_recurrent_open(bbw_call *call, size_t d, bbw_recurrent_lane *lane);
/* Iteration i of all sequences that are as long.  state holds the state's part of the gates afterwards. */
void bbw_recurrent_step(const bbw_recurrent_lane *l, size_t i);
/* Initial or final state of direction d: [directions, batch, hidden], or [batch, directions, hidden] with layout 1. */
float *bbw_recurrent_state_at(const bbw_recurrent_lane *l, float *states, size_t d, size_t b);

static inline size_t bbw_length_of(const bbw_recurrent_lane *l, size_t b) {
  return l->lengths != NULL ? (size_t)l->lengths[b] : l->s->steps;
}
/* The place of sequence b in iteration i; only for i < bbw_length_of. */
static inline size_t bbw_time_of(const bbw_recurrent_lane *l, size_t b, size_t i) {
  return l->is_reverse ? bbw_length_of(l, b) - 1 - i : i;
}
/* Row of step t of sequence b among the rows of X. */
static inline size_t bbw_row_of(const bbw_recurrent_lane *l, size_t b, size_t t) {
  return l->p->layout == 0 ? t * l->s->batch + b : b * l->s->steps + t;
}
/* And where Y has it. */
static inline size_t bbw_result_of(const bbw_recurrent_lane *l, size_t d, size_t b, size_t t) {
  const bbw_recurrent_plan *s = l->s;
  size_t place = l->p->layout == 0 ? (t * s->directions + d) * s->batch + b : (b * s->steps + t) * s->directions + d;
  return place * s->hidden;
}
static inline float bbw_clipped(const bbw_recurrent_params *p, float x) {
  if (!p->has_clip) { return x; }
  return x < -p->clip ? -p->clip : x > p->clip ? p->clip : x;
}
static inline float bbw_r_bias(const bbw_recurrent_lane *l, size_t i) {
  return l->r_bias != NULL ? l->r_bias[i] : 0.0f;
}

#endif
