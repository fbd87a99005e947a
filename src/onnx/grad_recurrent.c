/*
 * RecurrentGrad: back-propagation through time for RNN, GRU and LSTM, f32.
 *
 * Inputs: the gradients of the results (2, or 3 for LSTM; those that are absent are zero), then the inputs of the forward node.  Results: one per input of that node.
 * Nothing is kept by the forward operator: the sequence is run again here, and what each step needs (the arguments of its gates, its first state, and one more row for
 * LSTM and GRU) stays in scratch memory until the way back has passed it: [steps, batch, (gates + 2) * hidden] numbers, for GRU (2 * gates + 2) * hidden, for one direction at a time.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/math_f32.h"
#include "kernels/reduce.h"
#include "onnx/ops.h"
#include "onnx/params.h"
#include "onnx/recurrent.h"

typedef struct plan {
  bbw_call inner;   /* the forward operator, without results */
  uint32_t results; /* of it */
  size_t h_at, extra_at, product_at, dh_at, dc_at, back_at, gemm_at;
} plan;

/* One direction on its way back.  A row is one step of one sequence. */
typedef struct pass {
  bbw_recurrent_lane l;
  float *h; /* [rows of X, hidden]: the state before the step */
  float *
      extra; /* [rows of X, hidden]: LSTM: the cell before it; GRU: what the reset gate leaves of h, or what it is applied to */
  float *
      product; /* [rows of X, gates * hidden]: gradients by the state's part of the gates; those by the inputs' part take the place of the arguments, and are the same but
                     for a GRU that resets after the product */
  float *dh, *dc, *back;
  float *by_peephole; /* or NULL */
} pass;

static float slope(bbw_gate_function a, float x) {
  float y;
  switch (a.kind) {
  case RELU: return x > 0.0f ? 1.0f : 0.0f;
  case TANH: y = bbw_tanh_f32(x); return 1.0f - y * y;
  case SIGMOID: y = bbw_sigmoid_f32(x); return y * (1.0f - y);
  case AFFINE: return a.alpha;
  case LEAKY_RELU: return x < 0.0f ? a.alpha : 1.0f;
  case THRESHOLDED_RELU: return x > a.alpha ? 1.0f : 0.0f;
  case SCALED_TANH: y = bbw_tanh_f32(a.beta * x); return a.alpha * a.beta * (1.0f - y * y);
  case HARD_SIGMOID: y = a.alpha * x + a.beta; return y > 0.0f && y < 1.0f ? a.alpha : 0.0f;
  case ELU: return x < 0.0f ? a.alpha * bbw_exp_f32(x) : 1.0f;
  case SOFTSIGN: y = 1.0f + fabsf(x); return 1.0f / (y * y);
  default: return bbw_sigmoid_f32(x); /* Softplus */
  }
}

/* Value and slope of a gate whose argument is clipped first. */
static float gate(const pass *s, uint32_t f, float x) { return bbw_activate(s->l.f[f], bbw_clipped(s->l.p, x)); }
static float gate_slope(const pass *s, uint32_t f, float x) {
  return bbw_clipped(s->l.p, x) == x ? slope(s->l.f[f], x) : 0.0f;
}

bbw_status bbw_recurrent_grad_infer(bbw_call *call) {
  const bbw_forward *f = call->params;
  plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  s->results = f->op->out_max;
  s->inner = (bbw_call){.op = f->op,
                        .params = f->params,
                        .inputs = call->inputs + s->results,
                        .input_count = call->input_count - s->results,
                        .opset = f->opset};
  bbw_status rv = bbw_call_infer_inner(call, &s->inner);
  if (rv != BBW_OK) { return rv; }
  const bbw_recurrent_plan *r = s->inner.plan;
  size_t rows = r->steps * r->batch, wide = r->gates * r->hidden, states = r->directions * r->batch * r->hidden;
  for (uint32_t i = 0; i < s->results; i++) {
    if (call->inputs[i] == NULL) { continue; }
    if (call->inputs[i]->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, i); }
    if (call->inputs[i]->count != (i == 0 ? states * r->steps : states)) {
      return bbw_call_refuse(call, (int32_t)i, "the gradient does not fit its shape");
    }
  }
  for (uint32_t i = 0; i < s->inner.input_count; i++) {
    if (s->inner.inputs[i] != NULL) { BBW_TRY(bbw_call_output_like(call, i, s->inner.inputs[i])); }
  }
  uint64_t at = s->inner.scratch_bytes / sizeof(float);
  s->h_at = (size_t)at, at += (uint64_t)rows * r->hidden;
  s->extra_at = (size_t)at, at += (uint64_t)rows * r->hidden;
  s->product_at = (size_t)at, at += r->gates == 3 ? (uint64_t)rows * wide : 0;
  s->dh_at = (size_t)at, at += (uint64_t)r->batch * r->hidden;
  s->dc_at = (size_t)at, at += (uint64_t)r->batch * r->hidden;
  s->back_at = (size_t)at, at += (uint64_t)r->batch * r->hidden;
  s->gemm_at = (size_t)at;
  size_t n = r->hidden;
  const size_t sizes[][3] = {{rows, r->width, wide}, {wide, r->width, rows}, {wide, n, rows},      {2 * n, n, rows},
                             {n, n, rows},           {r->batch, n, wide},    {r->batch, n, 2 * n}, {r->batch, n, n}};
  size_t gemm = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    size_t needed = bbw_gemm_f32_scratch(sizes[i][0], sizes[i][1], sizes[i][2]);
    gemm = needed > gemm ? needed : gemm;
  }
  at += gemm;
  if (at > SIZE_MAX / sizeof(float)) {
    call->detail = "the gates of all steps are too large";
    return BBW_E_LIMIT;
  }
  call->scratch_bytes = (size_t)at * sizeof(float);
  return BBW_OK;
}

/* c = (c +) a . b with rows of the given lengths in memory; a is [k,m] where it is turned. */
static void multiply(const float *a, size_t lda, bool is_turned, const float *b, float *c, size_t m, size_t n, size_t k,
                     bool adds, float *scratch) {
  const bbw_gemm g = {.m = m,
                      .n = n,
                      .k = k,
                      .a = a,
                      .lda = lda,
                      .is_a_transposed = is_turned,
                      .b = b,
                      .ldb = n,
                      .c = c,
                      .ldc = n,
                      .is_accumulating = adds,
                      .alpha = 1.0f};
  bbw_gemm_f32_run_simd128(&g, scratch);
}

/* The arguments of the gates, where the step left the inputs' part of them. */
static void complete(const pass *s, size_t b, size_t row) {
  const bbw_recurrent_lane *l = &s->l;
  size_t n = l->s->hidden, wide = l->s->gates * n;
  float *x = l->inputs + row * wide, *extra = s->extra + row * n;
  const float *u = l->state + b * wide, *peep = l->peephole, *c = l->c + b * n;
  bool is_gru = l->s->gates == 3;
  for (size_t j = 0; j < wide; j++) {
    float part = u[j] + bbw_r_bias(l, j);
    if (is_gru && j >= 2 * n) {
      float reset = gate(s, 0, x[j - n]);
      extra[j - 2 * n] = l->p->is_reset_after ? part : s->h[row * n + j - 2 * n] * reset;
      if (l->p->is_reset_after) { part = part * reset; }
    }
    x[j] = x[j] + part;
  }
  for (size_t j = 0; peep != NULL && j < n; j++) {
    x[j] = x[j] + peep[j] * extra[j];
    x[n + j] = x[n + j] + peep[n + j] * c[j];
    x[2 * n + j] = x[2 * n + j] + peep[2 * n + j] * extra[j];
  }
}

static void forward(const pass *s) {
  const bbw_recurrent_lane *l = &s->l;
  const bbw_recurrent_plan *r = l->s;
  size_t n = r->hidden, bytes = n * sizeof(float);
  for (size_t i = 0; i < r->steps; i++) {
    for (size_t b = 0; b < r->batch; b++) { /* steps behind the end of a sequence are zero */
      bool is_running = i < bbw_length_of(l, b);
      size_t row = bbw_row_of(l, b, is_running ? bbw_time_of(l, b, i) : i);
      if (!is_running) {
        memset(s->h + row * n, 0, bytes);
        memset(s->extra + row * n, 0, bytes);
        memset(s->product + row * r->gates * n, 0, r->gates * bytes);
        memset(l->inputs + row * r->gates * n, 0, r->gates * bytes);
        continue;
      }
      memcpy(s->h + row * n, l->h + b * n, bytes);
      memcpy(s->extra + row * n, l->c + b * n, bytes);
    }
    bbw_recurrent_step(l, i);
    for (size_t b = 0; b < r->batch; b++) {
      if (i < bbw_length_of(l, b)) { complete(s, b, bbw_row_of(l, b, bbw_time_of(l, b, i))); }
    }
  }
}

/* From the gradient by the state behind a step (dh, dc) those by the arguments x of its gates; dh and dc become what does not go through the product. */
static void back_rnn(const pass *s, float *x, float *dh) {
  for (size_t j = 0; j < s->l.s->hidden; j++) {
    x[j] = dh[j] * gate_slope(s, 0, x[j]);
    dh[j] = 0.0f;
  }
}

static void back_lstm(const pass *s, float *x, const float *c_before, float *dh, float *dc) {
  size_t n = s->l.s->hidden;
  const float *peep = s->l.peephole;
  bool couples = s->l.p->couples_forget;
  for (size_t j = 0; j < n; j++) {
    float i = gate(s, 0, x[j]), o = gate(s, 0, x[n + j]), g = gate(s, 1, x[3 * n + j]), before = c_before[j];
    float f = couples ? 1.0f - i : gate(s, 0, x[2 * n + j]), c = f * before + i * g;
    float by_o = dh[j] * bbw_activate(s->l.f[2], c) * gate_slope(s, 0, x[n + j]);
    float by_c = dc[j] + dh[j] * o * slope(s->l.f[2], c);
    if (peep != NULL) { by_c = by_c + by_o * peep[n + j]; }
    float by_i = by_c * (couples ? g - before : g) * gate_slope(s, 0, x[j]);
    float by_f = couples ? 0.0f : by_c * before * gate_slope(s, 0, x[2 * n + j]);
    dc[j] = by_c * f;
    dh[j] = 0.0f;
    if (peep != NULL) { dc[j] = dc[j] + by_i * peep[j] + by_f * peep[2 * n + j]; }
    if (s->by_peephole != NULL) {
      s->by_peephole[j] = s->by_peephole[j] + by_i * before;
      s->by_peephole[n + j] = s->by_peephole[n + j] + by_o * c;
      s->by_peephole[2 * n + j] = s->by_peephole[2 * n + j] + by_f * before;
    }
    x[3 * n + j] = by_c * i * gate_slope(s, 1, x[3 * n + j]);
    x[j] = by_i;
    x[n + j] = by_o;
    x[2 * n + j] = by_f;
  }
}

/* Of the candidate and the update gate; the reset gate too where it stands behind the product. */
static void back_gru(const pass *s, float *x, float *u, const float *h, const float *extra, float *dh) {
  size_t n = s->l.s->hidden;
  for (size_t j = 0; j < n; j++) {
    float z = gate(s, 0, x[j]), by_g = dh[j] * (1.0f - z) * gate_slope(s, 1, x[2 * n + j]);
    float by_z = dh[j] * (h[j] - gate(s, 1, x[2 * n + j])) * gate_slope(s, 0, x[j]);
    dh[j] = dh[j] * z;
    u[j] = x[j] = by_z;
    u[2 * n + j] = x[2 * n + j] = by_g;
    if (!s->l.p->is_reset_after) { continue; }
    u[2 * n + j] = by_g * gate(s, 0, x[n + j]);
    u[n + j] = x[n + j] = by_g * extra[j] * gate_slope(s, 0, x[n + j]);
  }
}

/* And where it stands in front of it: `back` is the gradient by what it leaves of h. */
static void back_reset(const pass *s, float *x, float *u, const float *h, const float *back, float *dh) {
  size_t n = s->l.s->hidden;
  for (size_t j = 0; j < n; j++) {
    dh[j] = dh[j] + back[j] * gate(s, 0, x[n + j]);
    u[n + j] = x[n + j] = back[j] * h[j] * gate_slope(s, 0, x[n + j]);
  }
}

static void step_back(const pass *s, size_t i, size_t d, const float *g, float *scratch) {
  const bbw_recurrent_lane *l = &s->l;
  const bbw_recurrent_plan *r = l->s;
  size_t n = r->hidden, wide = r->gates * n;
  bool is_gru = r->gates == 3, is_before = is_gru && !l->p->is_reset_after;
  for (size_t b = 0; b < r->batch; b++) {
    float *state = l->state + b * wide, *dh = s->dh + b * n;
    if (i >= bbw_length_of(l, b)) {
      memset(state, 0, wide * sizeof *state);
      continue;
    }
    size_t t = bbw_time_of(l, b, i), row = bbw_row_of(l, b, t);
    float *x = l->inputs + row * wide;
    if (g != NULL) { bbw_add_f32_simd128(dh, g + bbw_result_of(l, d, b, t), dh, n); }
    if (r->gates == 1) {
      back_rnn(s, x, dh);
    } else if (is_gru) {
      back_gru(s, x, s->product + row * wide, s->h + row * n, s->extra + row * n, dh);
    } else {
      back_lstm(s, x, s->extra + row * n, dh, s->dc + b * n);
    }
    memcpy(state, (is_gru ? s->product : l->inputs) + row * wide, wide * sizeof *state);
  }
  if (is_before) {
    multiply(l->state + 2 * n, wide, false, l->r + 2 * n * n, s->back, r->batch, n, n, false, scratch);
    for (size_t b = 0; b < r->batch; b++) {
      if (i >= bbw_length_of(l, b)) { continue; }
      size_t row = bbw_row_of(l, b, bbw_time_of(l, b, i));
      back_reset(s, l->inputs + row * wide, s->product + row * wide, s->h + row * n, s->back + b * n, s->dh + b * n);
      memcpy(l->state + b * wide, s->product + row * wide, 2 * n * sizeof(float));
    }
  }
  multiply(l->state, wide, false, l->r, s->dh, r->batch, n, is_before ? 2 * n : wide, true, scratch);
}

static void load_states(const bbw_recurrent_lane *l, const bbw_array *from, float *to, size_t d) {
  size_t n = l->s->hidden;
  for (size_t b = 0; b < l->s->batch; b++) {
    if (from != NULL) {
      memcpy(to + b * n, bbw_recurrent_state_at(l, from->data, d, b), n * sizeof *to);
    } else {
      memset(to + b * n, 0, n * sizeof *to);
    }
  }
}

static void store_states(const bbw_recurrent_lane *l, const float *from, const bbw_array *to, size_t d) {
  size_t n = l->s->hidden;
  for (size_t b = 0; to != NULL && b < l->s->batch; b++) {
    memcpy(bbw_recurrent_state_at(l, to->data, d, b), from + b * n, n * sizeof *from);
  }
}

/* What all steps of a direction give together. */
static void finish(const bbw_call *call, const pass *s, size_t d, float *scratch) {
  const bbw_call *inner = &((const plan *)call->plan)->inner;
  const bbw_recurrent_plan *r = s->l.s;
  size_t n = r->hidden, wide = r->gates * n, rows = r->steps * r->batch;
  const float *by_x = s->l.inputs, *by_h = r->gates == 3 ? s->product : by_x;
  const bbw_array *x = bbw_call_result(call, 0), *w = bbw_call_result(call, 1), *h = bbw_call_result(call, 2),
                  *bias = bbw_call_result(call, 3);
  if (x != NULL && x->count > 0) {
    const float *weights = (const float *)inner->inputs[1]->data + d * wide * r->width;
    multiply(by_x, wide, false, weights, x->data, rows, r->width, wide, d > 0, scratch);
  }
  if (w != NULL && w->count > 0) {
    multiply(by_x, wide, true, inner->inputs[0]->data, (float *)w->data + d * wide * r->width, wide, r->width, rows,
             false, scratch);
  }
  if (h != NULL) {
    float *to = (float *)h->data + d * wide * n;
    bool is_before = r->gates == 3 && !s->l.p->is_reset_after;
    multiply(by_h, wide, true, s->h, to, is_before ? 2 * n : wide, n, rows, false, scratch);
    if (is_before) { multiply(by_h + 2 * n, wide, true, s->extra, to + 2 * n * n, n, n, rows, false, scratch); }
  }
  if (bias != NULL) {
    float *to = (float *)bias->data + d * 2 * wide;
    bbw_reduce_sum_f32_simd128(by_x, to, 1, rows, wide);
    bbw_reduce_sum_f32_simd128(by_h, to + wide, 1, rows, wide);
  }
  store_states(&s->l, s->dh, bbw_call_result(call, 5), d);
  store_states(&s->l, s->dc, bbw_call_result(call, 6), d);
}

bbw_status bbw_recurrent_grad_run(bbw_call *call) {
  plan *s = call->plan;
  const bbw_recurrent_plan *r = s->inner.plan;
  s->inner.scratch = call->scratch;
  bbw_status rv = bbw_recurrent_check(&s->inner);
  if (rv != BBW_OK) {
    call->detail = s->inner.detail;
    return rv;
  }
  for (uint32_t i = 0; i < call->output_count;
       i++) { /* where there is no step or no sequence, nothing else is written */
    bbw_array *out = bbw_call_result(call, i);
    if (out != NULL && out->count > 0) { memset(out->data, 0, bbw_array_bytes(out)); }
  }
  if (r->batch * r->hidden == 0) { return BBW_OK; }
  float *scratch = call->scratch;
  for (size_t d = 0; d < r->directions; d++) {
    pass p = {.h = scratch + s->h_at,
              .extra = scratch + s->extra_at,
              .dh = scratch + s->dh_at,
              .dc = scratch + s->dc_at,
              .back = scratch + s->back_at};
    bbw_recurrent_open(&s->inner, d, &p.l);
    p.product = r->gates == 3 ? scratch + s->product_at : p.l.inputs;
    const bbw_array *by_peephole = bbw_call_result(call, 7);
    if (by_peephole != NULL) { p.by_peephole = (float *)by_peephole->data + d * 3 * r->hidden; }
    forward(&p);
    load_states(&p.l, call->inputs[1], p.dh, d);
    load_states(&p.l, s->results > 2 ? call->inputs[2] : NULL, p.dc, d);
    const float *g = call->inputs[0] != NULL ? call->inputs[0]->data : NULL;
    for (size_t i = r->steps; i-- > 0;) { step_back(&p, i, d, g, scratch + s->gemm_at); }
    finish(call, &p, d, scratch + s->gemm_at);
  }
  return BBW_OK;
}
