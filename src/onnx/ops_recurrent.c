/* RNN, GRU and LSTM (f32): one product for the inputs of all steps, one per step for the state. */
#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/math_f32.h"
#include "onnx/ops.h"
#include "onnx/recurrent.h"

static const char *const activation_names[] = {
    "Relu",       "Tanh",        "Sigmoid", "Affine",   "LeakyRelu", "ThresholdedRelu",
    "ScaledTanh", "HardSigmoid", "Elu",     "Softsign", "Softplus",  NULL};
/* What ONNX says where the attribute is absent. */
static const float default_alpha[] = {0, 0, 0, 1.0f, 0.01f, 1.0f, 1.0f, 0.2f, 1.0f, 0, 0};
static const float default_beta[] = {0, 0, 0, 0, 0, 0, 1.0f, 0.5f, 0, 0, 0};

float bbw_activate(bbw_gate_function a, float x) {
  switch (a.kind) {
  case RELU: return x < 0.0f ? 0.0f : x;
  case TANH: return bbw_tanh_f32(x);
  case SIGMOID: return bbw_sigmoid_f32(x);
  case AFFINE: return a.alpha * x + a.beta;
  case LEAKY_RELU: return x < 0.0f ? a.alpha * x : x;
  case THRESHOLDED_RELU: return x > a.alpha ? x : 0.0f;
  case SCALED_TANH: return a.alpha * bbw_tanh_f32(a.beta * x);
  case HARD_SIGMOID: {
    float y = a.alpha * x + a.beta;
    return y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y;
  }
  case ELU: return x < 0.0f ? a.alpha * (bbw_exp_f32(x) - 1.0f) : x;
  case SOFTSIGN: return x / (1.0f + fabsf(x));
  default: return bbw_log_f32(1.0f + bbw_exp_f32(x));
  }
}

/* Gates of one step: RNN 1, GRU 3 (z r h), LSTM 4 (i o f c). */
static uint32_t gates_of(const bbw_onnx_op *op) { return *(const uint32_t *)op->ctx; }
const uint32_t bbw_recurrent_rnn = 1, bbw_recurrent_gru = 3, bbw_recurrent_lstm = 4;

static bbw_status read_activations(bbw_prep *prep, bbw_recurrent_params *p, uint32_t per_direction,
                                   uint32_t directions) {
  static const uint32_t defaults[5][3] = {{0}, {TANH}, {0}, {SIGMOID, TANH}, {SIGMOID, TANH, TANH}};
  const bbw_onnx_attribute *names = bbw_onnx_attribute_find(prep->node, BBW_STR("activations"));
  const float *alpha, *beta;
  size_t alpha_count, beta_count, alpha_at = 0, beta_at = 0;
  BBW_TRY(bbw_prep_float_list(prep, "activation_alpha", &alpha, &alpha_count));
  BBW_TRY(bbw_prep_float_list(prep, "activation_beta", &beta, &beta_count));
  if (names != NULL && names->strings.count != 0 && names->strings.count != per_direction * directions) {
    return bbw_prep_refuse(prep, "activations", "must name the functions of every direction");
  }
  for (uint32_t d = 0; d < directions; d++) {
    for (uint32_t i = 0; i < per_direction; i++) {
      uint32_t kind = defaults[gates_of(prep->op)][i];
      if (names != NULL && names->strings.count != 0) {
        bbw_bytes name = *BBW_PROTO_AT(&names->strings, bbw_bytes, d * per_direction + i);
        for (kind = 0; activation_names[kind] != NULL; kind++) {
          if (strlen(activation_names[kind]) == name.len && memcmp(activation_names[kind], name.ptr, name.len) == 0) {
            break;
          }
        }
        if (activation_names[kind] == NULL) {
          return bbw_prep_unsupported(prep, "activations", "function is not known");
        }
      }
      bbw_gate_function *a = &p->f[d][i];
      *a = (bbw_gate_function){kind, default_alpha[kind], default_beta[kind]};
      /* Values are listed for those functions only that take them. */
      if (default_alpha[kind] != 0 && alpha_at < alpha_count) { a->alpha = alpha[alpha_at++]; }
      if (default_beta[kind] != 0 && beta_at < beta_count) { a->beta = beta[beta_at++]; }
    }
  }
  return BBW_OK;
}

bbw_status bbw_recurrent_prepare(bbw_prep *prep) {
  static const char *const directions[] = {"forward", "reverse", "bidirectional", NULL};
  bbw_recurrent_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_choice(prep, "direction", directions, 0, &p->direction));
  BBW_TRY(bbw_prep_int(prep, "hidden_size", 0, &p->hidden));
  BBW_TRY(bbw_prep_int(prep, "layout", 0, &p->layout));
  BBW_TRY(bbw_prep_bool(prep, "linear_before_reset", false, &p->is_reset_after));
  BBW_TRY(bbw_prep_bool(prep, "input_forget", false, &p->couples_forget));
  BBW_TRY(bbw_prep_float(prep, "clip", 0.0f, &p->clip));
  p->has_clip = bbw_prep_has(prep, "clip");
  uint32_t gates = gates_of(prep->op);
  return read_activations(prep, p, gates == 1 ? 1 : gates == 3 ? 2 : 3, p->direction == 2 ? 2 : 1);
}

static bbw_status check_shape(bbw_call *call, uint32_t input, uint32_t rank, size_t d0, size_t d1, size_t d2) {
  const bbw_array *x = bbw_call_input(call, input);
  const size_t dims[] = {d0, d1, d2};
  if (x == NULL) { return BBW_OK; }
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, input); }
  if (x->rank != rank || memcmp(x->dims, dims, rank * sizeof *dims) != 0) {
    return bbw_call_refuse(call, (int32_t)input, "input has another shape than the others call for");
  }
  return BBW_OK;
}

bbw_status bbw_recurrent_infer(bbw_call *call) {
  const bbw_recurrent_params *p = call->params;
  const bbw_array *x = call->inputs[0], *w = call->inputs[1], *r = call->inputs[2], *lengths = bbw_call_input(call, 4);
  bbw_recurrent_plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (x->rank != 3 || w->rank != 3 || r->rank != 3) {
    return bbw_call_refuse(call, -1, "X, W and R must have three dimensions");
  }
  s->steps = x->dims[p->layout == 0 ? 0 : 1];
  s->batch = x->dims[p->layout == 0 ? 1 : 0];
  s->width = x->dims[2];
  s->gates = gates_of(call->op);
  s->hidden = r->dims[2];
  s->directions = p->direction == 2 ? 2 : 1;
  if (p->hidden != 0 && (uint64_t)p->hidden != s->hidden) {
    return bbw_call_refuse(call, 2, "hidden_size and R do not fit");
  }
  size_t rows = s->gates * s->hidden;
  BBW_TRY(check_shape(call, 1, 3, s->directions, rows, s->width));
  BBW_TRY(check_shape(call, 2, 3, s->directions, rows, s->hidden));
  BBW_TRY(check_shape(call, 3, 2, s->directions, 2 * rows, 0));
  size_t first = p->layout == 0 ? s->directions : s->batch, second = p->layout == 0 ? s->batch : s->directions;
  BBW_TRY(check_shape(call, 5, 3, first, second, s->hidden));
  if (s->gates == 4) {
    BBW_TRY(check_shape(call, 6, 3, first, second, s->hidden));
    BBW_TRY(check_shape(call, 7, 2, s->directions, 3 * s->hidden, 0));
  }
  if (lengths != NULL && (lengths->dtype != BBW_DTYPE_I32 || lengths->rank != 1 || lengths->dims[0] != s->batch)) {
    return bbw_call_refuse(call, 4, "sequence_lens must be one int32 per sequence");
  }
  size_t y_dims[] = {s->steps, s->directions, s->batch, s->hidden},
         y_dims_1[] = {s->batch, s->steps, s->directions, s->hidden};
  size_t h_dims[] = {first, second, s->hidden};
  BBW_TRY(bbw_call_output(call, 0, BBW_DTYPE_F32, 4, p->layout == 0 ? y_dims : y_dims_1));
  BBW_TRY(bbw_call_output(call, 1, BBW_DTYPE_F32, 3, h_dims));
  BBW_TRY(bbw_call_output(call, 2, BBW_DTYPE_F32, 3, h_dims));
  /* Every product below is that of an array that could be shaped, or bounded by elements_max here. */
  if (rows > 0 && (s->steps * s->batch > call->elements_max / rows || s->batch > call->elements_max / rows)) {
    call->detail = "the gates of all steps are too large";
    return BBW_E_LIMIT;
  }
  uint64_t at = 0; /* five of them fit into a size_t of 32 bits no more */
  s->inputs_at = (size_t)at, at += s->steps * s->batch * rows;
  s->state_at = (size_t)at, at += s->batch * rows;
  s->h_at = (size_t)at, at += s->batch * s->hidden;
  s->c_at = (size_t)at, at += s->batch * s->hidden;
  s->reset_at = (size_t)at, at += s->batch * s->hidden;
  s->gemm_at = (size_t)at;
  size_t all = bbw_gemm_f32_scratch(s->steps * s->batch, rows, s->width);
  size_t one = bbw_gemm_f32_scratch(s->batch, rows, s->hidden);
  at += all > one ? all : one;
  if (at > SIZE_MAX / sizeof(float)) {
    call->detail = "the gates of all steps are too large";
    return BBW_E_LIMIT;
  }
  call->scratch_bytes = (size_t)at * sizeof(float);
  return BBW_OK;
}

/* out = h . r^T, for rows [from, from + count) of r */
static void product(const bbw_recurrent_lane *l, const float *h, float *out, size_t from, size_t count) {
  bbw_gemm_options options = {.is_b_transposed = true, .alpha = 1.0f};
  bbw_gemm_f32_simd128(h, l->r + from * l->s->hidden, out, l->s->batch, count, l->s->hidden, &options, l->gemm);
}

/* New state of sequence b from x, the inputs' part of its gates, and u, the state's part. */
static void step_rnn(const bbw_recurrent_lane *l, const float *x, const float *u, float *h) {
  for (size_t j = 0; j < l->s->hidden; j++) {
    h[j] = bbw_activate(l->f[0], bbw_clipped(l->p, x[j] + u[j] + bbw_r_bias(l, j)));
  }
}

static void step_lstm(const bbw_recurrent_lane *l, const float *x, const float *u, float *h, float *c) {
  size_t n = l->s->hidden;
  const float *peep = l->peephole;
  for (size_t j = 0; j < n; j++) {
    float i = x[j] + u[j] + bbw_r_bias(l, j), o = x[n + j] + u[n + j] + bbw_r_bias(l, n + j);
    float f = x[2 * n + j] + u[2 * n + j] + bbw_r_bias(l, 2 * n + j),
          g = x[3 * n + j] + u[3 * n + j] + bbw_r_bias(l, 3 * n + j);
    if (peep != NULL) {
      i = i + peep[j] * c[j];
      f = f + peep[2 * n + j] * c[j];
    }
    i = bbw_activate(l->f[0], bbw_clipped(l->p, i));
    f = l->p->couples_forget ? 1.0f - i : bbw_activate(l->f[0], bbw_clipped(l->p, f));
    c[j] = f * c[j] + i * bbw_activate(l->f[1], bbw_clipped(l->p, g));
    if (peep != NULL) { o = o + peep[n + j] * c[j]; }
    h[j] = bbw_activate(l->f[0], bbw_clipped(l->p, o)) * bbw_activate(l->f[2], c[j]);
  }
}

/* The reset gate of GRU; what it leaves of h goes into the product of the candidate. */
static void gates_gru(const bbw_recurrent_lane *l, const float *x, const float *u, const float *h, float *reset) {
  size_t n = l->s->hidden;
  for (size_t j = 0; j < n; j++) {
    reset[j] = h[j] * bbw_activate(l->f[0], bbw_clipped(l->p, x[n + j] + u[n + j] + bbw_r_bias(l, n + j)));
  }
}

static void step_gru(const bbw_recurrent_lane *l, const float *x, const float *u, float *h) {
  size_t n = l->s->hidden;
  for (size_t j = 0; j < n; j++) {
    float z = bbw_activate(l->f[0], bbw_clipped(l->p, x[j] + u[j] + bbw_r_bias(l, j)));
    float part = u[2 * n + j] + bbw_r_bias(l, 2 * n + j);
    if (l->p->is_reset_after) {
      part = part * bbw_activate(l->f[0], bbw_clipped(l->p, x[n + j] + u[n + j] + bbw_r_bias(l, n + j)));
    }
    float g = bbw_activate(l->f[1], bbw_clipped(l->p, x[2 * n + j] + part));
    h[j] = (1.0f - z) * g + z * h[j];
  }
}

/* Iteration i of all sequences that are as long. */
void bbw_recurrent_step(const bbw_recurrent_lane *l, size_t i) {
  const bbw_recurrent_plan *s = l->s;
  size_t n = s->hidden, rows = s->gates * n;
  bool is_candidate_apart = s->gates == 3 && !l->p->is_reset_after;
  product(l, l->h, l->state, 0, rows);
  for (size_t b = 0; b < s->batch; b++) {
    if (i >= bbw_length_of(l, b)) { continue; }
    const float *x = l->inputs + bbw_row_of(l, b, bbw_time_of(l, b, i)) * rows;
    float *u = l->state + b * rows, *h = l->h + b * n;
    if (is_candidate_apart) { /* a sequence at a time, because its candidate lies between the gates of the others */
      bbw_gemm_options options = {.is_b_transposed = true, .alpha = 1.0f};
      gates_gru(l, x, u, h, l->reset);
      bbw_gemm_f32_simd128(l->reset, l->r + 2 * n * n, u + 2 * n, 1, n, n, &options, l->gemm);
    }
    if (s->gates == 1) {
      step_rnn(l, x, u, h);
    } else if (s->gates == 3) {
      step_gru(l, x, u, h);
    } else {
      step_lstm(l, x, u, h, l->c + b * n);
    }
  }
}

static const float *data_of(const bbw_array *x) { return x != NULL ? x->data : NULL; }

float *bbw_recurrent_state_at(const bbw_recurrent_lane *l, float *states, size_t d, size_t b) {
  size_t place = l->p->layout == 0 ? d * l->s->batch + b : b * l->s->directions + d;
  return states + place * l->s->hidden;
}

static void start(const bbw_recurrent_lane *l, const bbw_array *initial, float *state, size_t d) {
  for (size_t b = 0; b < l->s->batch; b++) {
    size_t bytes = l->s->hidden * sizeof *state;
    if (initial != NULL) {
      memcpy(state + b * l->s->hidden, bbw_recurrent_state_at(l, initial->data, d, b), bytes);
    } else {
      memset(state + b * l->s->hidden, 0, bytes);
    }
  }
}

static void finish(const bbw_recurrent_lane *l, bbw_array *final, const float *state, size_t d) {
  for (size_t b = 0; final != NULL && b < l->s->batch; b++) {
    memcpy(bbw_recurrent_state_at(l, final->data, d, b), state + b * l->s->hidden, l->s->hidden * sizeof *state);
  }
}

void bbw_recurrent_open(bbw_call *call, size_t d, bbw_recurrent_lane *l) {
  const bbw_recurrent_plan *s = call->plan;
  const bbw_recurrent_params *p = call->params;
  size_t n = s->hidden, rows = s->gates * n;
  float *scratch = call->scratch;
  const bbw_array *lengths = bbw_call_input(call, 4);
  const float *w = (const float *)call->inputs[1]->data + d * rows * s->width;
  const float *bias = data_of(bbw_call_input(call, 3)),
              *peephole = s->gates == 4 ? data_of(bbw_call_input(call, 7)) : NULL;
  *l = (bbw_recurrent_lane){.s = s,
                            .p = p,
                            .f = p->f[d],
                            .r = (const float *)call->inputs[2]->data + d * rows * n,
                            .inputs = scratch + s->inputs_at,
                            .state = scratch + s->state_at,
                            .h = scratch + s->h_at,
                            .c = scratch + s->c_at,
                            .reset = scratch + s->reset_at,
                            .gemm = scratch + s->gemm_at,
                            .lengths = lengths != NULL ? lengths->data : NULL,
                            .is_reverse = p->direction == 1 || d == 1};
  if (bias != NULL) {
    bias += d * 2 * rows;
    l->r_bias = bias + rows;
  }
  if (peephole != NULL) { l->peephole = peephole + d * 3 * n; }
  bbw_gemm_options options = {.is_b_transposed = true, .alpha = 1.0f, .bias = bias};
  bbw_gemm_f32_simd128(call->inputs[0]->data, w, l->inputs, s->steps * s->batch, rows, s->width, &options, l->gemm);
  start(l, bbw_call_input(call, 5), l->h, d);
  start(l, s->gates == 4 ? bbw_call_input(call, 6) : NULL, l->c, d);
}

static void run_direction(bbw_call *call, size_t d) {
  const bbw_recurrent_plan *s = call->plan;
  const bbw_array *y = bbw_call_result(call, 0);
  bbw_recurrent_lane l;
  bbw_recurrent_open(call, d, &l);
  for (size_t i = 0; i < s->steps; i++) {
    bbw_recurrent_step(&l, i);
    for (size_t b = 0; y != NULL && b < s->batch; b++) {
      bool is_running = i < bbw_length_of(&l, b);
      size_t t = is_running ? bbw_time_of(&l, b, i) : i; /* what lies behind the end of a sequence is zero */
      float *out = (float *)y->data + bbw_result_of(&l, d, b, t);
      if (is_running) {
        memcpy(out, l.h + b * s->hidden, s->hidden * sizeof *out);
      } else {
        memset(out, 0, s->hidden * sizeof *out);
      }
    }
  }
  finish(&l, bbw_call_result(call, 1), l.h, d);
  finish(&l, bbw_call_result(call, 2), l.c, d);
}

bbw_status bbw_recurrent_check(bbw_call *call) {
  const bbw_recurrent_plan *s = call->plan;
  const bbw_array *lengths = bbw_call_input(call, 4);
  for (size_t b = 0; lengths != NULL && b < s->batch; b++) {
    int32_t length = ((const int32_t *)lengths->data)[b];
    if (length < 0 || (size_t)length > s->steps) { return bbw_call_refuse(call, 4, "a sequence is longer than X"); }
  }
  return BBW_OK;
}

bbw_status bbw_recurrent_run(bbw_call *call) {
  const bbw_recurrent_plan *s = call->plan;
  BBW_TRY(bbw_recurrent_check(call));
  if (s->batch * s->hidden == 0) { return BBW_OK; } /* every result is empty */
  for (size_t d = 0; d < s->directions; d++) { run_direction(call, d); }
  return BBW_OK;
}
