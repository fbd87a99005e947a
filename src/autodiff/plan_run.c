/* The forward and backward passes of plan.h. */
#include <assert.h>
#include <string.h>

#include "autodiff/plan.h"
#include "kernels/broadcast.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

/* One pass: what every step needs to find its numbers. */
typedef struct pass {
  const bbw_plan *plan;
  bbw_plan_workspace *ws;
  const float *parameters;
  float *parameter_gradients; /* NULL in a forward pass */
  size_t batch;
} pass;

static bool is_batched(const pass *p, uint32_t buffer) {
  bbw_plan_source source = bbw_plan_buffer_at(p->plan, buffer)->source;
  return source == BBW_PLAN_INPUT || source == BBW_PLAN_ACTIVATION;
}

static const float *values(const pass *p, uint32_t buffer) {
  const bbw_plan_buffer *b = bbw_plan_buffer_at(p->plan, buffer);
  if (b->source == BBW_PLAN_PARAMETER) { return p->parameters + b->offset; }
  if (b->source == BBW_PLAN_CONSTANT) { return BBW_VEC_AT(&p->plan->constants, float, b->offset); }
  return bbw_plan_values(p->plan, p->ws, buffer);
}

/* Elements of a buffer in this batch. */
static size_t count(const pass *p, uint32_t buffer) {
  size_t width = bbw_plan_buffer_at(p->plan, buffer)->width;
  return is_batched(p, buffer) ? width * p->batch : width;
}

static float *gradient(const pass *p, uint32_t buffer) {
  const bbw_plan_buffer *b = bbw_plan_buffer_at(p->plan, buffer);
  return b->source == BBW_PLAN_PARAMETER ? p->parameter_gradients + b->offset
                                         : bbw_plan_gradient(p->plan, p->ws, buffer);
}

static bool wants_gradient(const pass *p, uint32_t buffer) {
  return buffer != BBW_PLAN_NONE && bbw_plan_buffer_at(p->plan, buffer)->needs_gradient;
}

/* Where a contribution to a gradient goes: the gradient itself, or aside if it holds another contribution already.  finish_gradient adds that. */
static float *begin_gradient(const pass *p, uint32_t buffer) {
  return p->ws->is_written[buffer] ? p->ws->sum : gradient(p, buffer);
}
static void finish_gradient(const pass *p, uint32_t buffer) {
  float *to = gradient(p, buffer);
  if (p->ws->is_written[buffer]) { bbw_add_f32_simd128(to, p->ws->sum, to, count(p, buffer)); }
  p->ws->is_written[buffer] = 1;
}

/* ---- matrix product ---- */

static void gemm_forward(const pass *p, const bbw_plan_step *s) {
  bbw_gemm_options options = {.is_b_transposed = s->is_b_transposed, .alpha = s->alpha};
  if (s->c != BBW_PLAN_NONE) {
    const float *c = values(p, s->c);
    bool is_one = bbw_plan_buffer_at(p->plan, s->c)->width == 1;
    for (size_t j = 0; j < s->n; j++) { p->ws->bias[j] = s->beta * c[is_one ? 0 : j]; }
    options.bias = p->ws->bias;
  }
  float *out = bbw_plan_values(p->plan, p->ws, s->out);
  bbw_gemm_f32_simd128(values(p, s->a), values(p, s->b), out, s->rows * p->batch, s->n, s->k, &options, p->ws->scratch);
}

static void gemm_backward(const pass *p, const bbw_plan_step *s) {
  const float *g = gradient(p, s->out);
  size_t rows = s->rows * p->batch;
  if (wants_gradient(p, s->c)) {
    float *to = begin_gradient(p, s->c);
    size_t width = bbw_plan_buffer_at(p->plan, s->c)->width;
    if (width == s->n) {
      bbw_reduce_sum_f32_simd128(g, to, 1, rows, s->n);
    } else {
      *to = bbw_sum_f32_simd128(g, rows * s->n);
    }
    if (s->beta != 1.0f) { bbw_scale_f32_simd128(s->beta, to, to, width); }
    finish_gradient(p, s->c);
  }
  if (wants_gradient(p, s->b)) { /* a' . g as [k,n], or its transpose as [n,k] */
    bbw_gemm_options options = {.is_a_transposed = true, .alpha = s->alpha};
    float *to = begin_gradient(p, s->b);
    const float *a = values(p, s->a);
    if (s->is_b_transposed) {
      bbw_gemm_f32_simd128(g, a, to, s->n, s->k, rows, &options, p->ws->scratch);
    } else {
      bbw_gemm_f32_simd128(a, g, to, s->k, s->n, rows, &options, p->ws->scratch);
    }
    finish_gradient(p, s->b);
  }
  if (wants_gradient(p, s->a)) { /* g . b' */
    bbw_gemm_options options = {.is_b_transposed = !s->is_b_transposed, .alpha = s->alpha};
    bbw_gemm_f32_simd128(g, values(p, s->b), begin_gradient(p, s->a), rows, s->k, s->n, &options, p->ws->scratch);
    finish_gradient(p, s->a);
  }
}

/* ---- binary elementwise steps ---- */

/* out = kernel(x, y) where either may be repeated: the longer one is seen as rows of the shorter one. */
static void run_binary(bbw_binary_f32_fn *kernel, const float *x, size_t x_count, const float *y, size_t y_count,
                       float *out) {
  size_t longer = x_count > y_count ? x_count : y_count;
  if (longer == 0) { return; }
  const uint64_t x_dims[] = {x_count / (x_count < longer ? x_count : y_count), x_count < longer ? x_count : y_count};
  const uint64_t y_dims[] = {y_count / (x_count < y_count ? x_count : y_count), x_count < y_count ? x_count : y_count};
  bbw_broadcast plan;
  bool fits = bbw_broadcast_plan(&plan, x_dims, 2, y_dims, 2);
  assert(fits); /* the plan's maker has compared the widths */
  (void)fits;
  bbw_broadcast_run(&plan, kernel, x, y, out);
}

static void binary_forward(const pass *p, const bbw_plan_step *s, bbw_binary_f32_fn *kernel) {
  run_binary(kernel, values(p, s->a), count(p, s->a), values(p, s->b), count(p, s->b),
             bbw_plan_values(p->plan, p->ws, s->out));
}

/* Gives `buffer` the gradient `g` of all elements of the result: as it is, or summed over the repeats. */
static void give_gradient(const pass *p, uint32_t buffer, const float *g, size_t g_count) {
  size_t own = count(p, buffer);
  float *to = begin_gradient(p, buffer);
  if (own == g_count) {
    memcpy(to, g, g_count * sizeof(float));
  } else {
    bbw_reduce_sum_f32_simd128(g, to, 1, g_count / own, own);
  }
  finish_gradient(p, buffer);
}

static void binary_backward(const pass *p, const bbw_plan_step *s) {
  const float *g = gradient(p, s->out);
  size_t n = count(p, s->out);
  float *product = p->ws->product;
  if (wants_gradient(p, s->a)) {
    const float *from = g;
    if (s->kind == BBW_PLAN_MUL || s->kind == BBW_PLAN_DIV) {
      run_binary(s->kind == BBW_PLAN_MUL ? bbw_mul_f32_simd128 : bbw_div_f32_simd128, g, n, values(p, s->b),
                 count(p, s->b), product);
      from = product;
    }
    give_gradient(p, s->a, from, n);
  }
  if (wants_gradient(p, s->b)) {
    const float *from = product;
    switch (s->kind) {
    case BBW_PLAN_SUB: bbw_neg_f32_simd128(g, product, n); break;
    case BBW_PLAN_MUL: run_binary(bbw_mul_f32_simd128, g, n, values(p, s->a), count(p, s->a), product); break;
    case BBW_PLAN_DIV: /* -(g * (a / b)) / b, with a / b at hand */
      bbw_mul_f32_simd128(g, values(p, s->out), product, n);
      run_binary(bbw_div_f32_simd128, product, n, values(p, s->b), count(p, s->b), product);
      bbw_neg_f32_simd128(product, product, n);
      break;
    default: from = g; break;
    }
    give_gradient(p, s->b, from, n);
  }
}

/* ---- one input, one output ---- */

static void map_backward(const pass *p, const bbw_plan_step *s) {
  if (!wants_gradient(p, s->a)) { return; }
  const float *y = values(p, s->out);
  const float *g = gradient(p, s->out);
  float *to = begin_gradient(p, s->a);
  size_t n = count(p, s->out);
  size_t rows = s->rows * p->batch;
  switch (s->kind) {
  case BBW_PLAN_RELU: bbw_relu_gradient_f32_simd128(y, g, to, n); break;
  case BBW_PLAN_LEAKY_RELU: bbw_leaky_relu_gradient_f32_simd128(s->alpha, values(p, s->a), g, to, n); break;
  case BBW_PLAN_SIGMOID: bbw_sigmoid_gradient_f32_simd128(y, g, to, n); break;
  case BBW_PLAN_TANH: bbw_tanh_gradient_f32_simd128(y, g, to, n); break;
  case BBW_PLAN_SOFTMAX: bbw_softmax_gradient_f32_simd128(y, g, to, rows, s->n); break;
  case BBW_PLAN_LOG_SOFTMAX: bbw_log_softmax_gradient_f32_simd128(y, g, to, rows, s->n); break;
  default: return; /* has a function of its own */
  }
  finish_gradient(p, s->a);
}

void bbw_plan_forward(const bbw_plan *plan, bbw_plan_workspace *ws, const float *parameters, size_t batch) {
  assert(batch > 0);
  assert(batch <= ws->batch_max);
  const pass p = {.plan = plan, .ws = ws, .parameters = parameters, .batch = batch};
  for (size_t i = 0; i < plan->steps.count; i++) {
    const bbw_plan_step *s = BBW_VEC_AT(&plan->steps, bbw_plan_step, i);
    const float *a = values(&p, s->a);
    float *out = bbw_plan_values(plan, ws, s->out);
    size_t n = count(&p, s->out);
    size_t rows = s->rows * batch;
    switch (s->kind) {
    case BBW_PLAN_GEMM: gemm_forward(&p, s); break;
    case BBW_PLAN_ADD: binary_forward(&p, s, bbw_add_f32_simd128); break;
    case BBW_PLAN_SUB: binary_forward(&p, s, bbw_sub_f32_simd128); break;
    case BBW_PLAN_MUL: binary_forward(&p, s, bbw_mul_f32_simd128); break;
    case BBW_PLAN_DIV: binary_forward(&p, s, bbw_div_f32_simd128); break;
    case BBW_PLAN_RELU: bbw_relu_f32_simd128(a, out, n); break;
    case BBW_PLAN_LEAKY_RELU: bbw_leaky_relu_f32_simd128(s->alpha, a, out, n); break;
    case BBW_PLAN_SIGMOID: bbw_sigmoid_f32_simd128(a, out, n); break;
    case BBW_PLAN_TANH: bbw_tanh_f32_simd128(a, out, n); break;
    case BBW_PLAN_SOFTMAX: bbw_softmax_f32_simd128(a, out, rows, s->n, 1); break;
    case BBW_PLAN_LOG_SOFTMAX: bbw_log_softmax_f32_simd128(a, out, rows, s->n, 1); break;
    }
  }
}

void bbw_plan_backward(const bbw_plan *plan, bbw_plan_workspace *ws, const float *parameters, size_t batch,
                       uint32_t from, float *gradients) {
  assert(batch > 0);
  assert(batch <= ws->batch_max);
  assert(ws->gradient_memory != NULL);
  const pass p = {.plan = plan, .ws = ws, .parameters = parameters, .parameter_gradients = gradients, .batch = batch};
  memset(ws->is_written, 0, ws->buffer_count);
  ws->is_written[from] = 1;
  for (size_t i = plan->steps.count; i-- > 0;) {
    const bbw_plan_step *s = BBW_VEC_AT(&plan->steps, bbw_plan_step, i);
    if (!ws->is_written[s->out]) { continue; } /* does not lead to `from` */
    switch (s->kind) {
    case BBW_PLAN_GEMM: gemm_backward(&p, s); break;
    case BBW_PLAN_ADD:
    case BBW_PLAN_SUB:
    case BBW_PLAN_MUL:
    case BBW_PLAN_DIV: binary_backward(&p, s); break;
    default: map_backward(&p, s); break;
    }
  }
  for (uint32_t i = 0; i < plan->buffers.count; i++) { /* parameters that nothing led to */
    const bbw_plan_buffer *b = bbw_plan_buffer_at(plan, i);
    if (b->source == BBW_PLAN_PARAMETER && !ws->is_written[i] && b->width > 0) {
      memset(gradients + b->offset, 0, b->width * sizeof(float));
    }
  }
}
