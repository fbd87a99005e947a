#include "autodiff/plan.h"

#include <assert.h>

#include "base/mem.h"
#include "kernels/gemm.h"

void bbw_plan_init(bbw_plan *plan, const bbw_mem *mem) {
  *plan = (bbw_plan){.input = BBW_PLAN_NONE, .output = BBW_PLAN_NONE, .logits = BBW_PLAN_NONE};
  bbw_vec_init(&plan->buffers, sizeof(bbw_plan_buffer), mem);
  bbw_vec_init(&plan->steps, sizeof(bbw_plan_step), mem);
  bbw_vec_init(&plan->constants, sizeof(float), mem);
}

void bbw_plan_free(bbw_plan *plan) {
  bbw_vec_free(&plan->buffers);
  bbw_vec_free(&plan->steps);
  bbw_vec_free(&plan->constants);
}

bbw_status bbw_plan_add_buffer(bbw_plan *plan, bbw_plan_source source, size_t width, uint32_t *out) {
  bbw_plan_buffer buffer = {.source = source, .width = width, .needs_gradient = source == BBW_PLAN_PARAMETER};
  size_t *total = &plan->sample_floats;
  size_t constants = plan->constants.count;
  if (source == BBW_PLAN_PARAMETER) { total = &plan->parameter_count; }
  if (source == BBW_PLAN_CONSTANT) { total = &constants; } /* the caller appends the numbers afterwards */
  if (width > BBW_PLAN_WIDTH_MAX || *total > BBW_PLAN_WORKSPACE_MAX - width) { return BBW_E_LIMIT; }
  buffer.offset = *total;
  if (plan->buffers.count >= BBW_PLAN_NONE) { return BBW_E_LIMIT; }
  if (!bbw_vec_append(&plan->buffers, &buffer, 1)) { return BBW_E_NOMEM; }
  *total += width;
  *out = (uint32_t)(plan->buffers.count - 1);
  return BBW_OK;
}

bbw_status bbw_plan_add_step(bbw_plan *plan, bbw_plan_step *step, size_t width) {
  const uint32_t inputs[] = {step->a, step->b, step->c};
  bool needs_gradient = false;
  for (size_t i = 0; i < 3; i++) {
    if (inputs[i] != BBW_PLAN_NONE) { needs_gradient |= bbw_plan_buffer_at(plan, inputs[i])->needs_gradient; }
  }
  if (!bbw_vec_reserve(&plan->steps, 1)) { return BBW_E_NOMEM; }
  bbw_status rv = bbw_plan_add_buffer(plan, BBW_PLAN_ACTIVATION, width, &step->out);
  if (rv != BBW_OK) { return rv; }
  BBW_VEC_AT(&plan->buffers, bbw_plan_buffer, step->out)->needs_gradient = needs_gradient;
  bool is_added = bbw_vec_append(&plan->steps, step, 1);
  assert(is_added); /* there is room */
  (void)is_added;
  return BBW_OK;
}

/* Raises *most to count * factor; false when that does not fit. */
static bool raise(size_t *most, size_t count, size_t factor) {
  size_t product;
  if (!bbw_size_mul(count, factor, &product)) { return false; }
  if (product > *most) { *most = product; }
  return true;
}

typedef struct needs {
  size_t activations;
  size_t scratch; /* of the matrix product */
  size_t bias;    /* beta * c, laid out */
  size_t product; /* an elementwise product before it is summed */
  size_t sum;     /* a gradient that is added to one that is there already */
} needs;

/* What one workspace has to hold; false when a size does not fit. */
static bool count_needs(needs *n, const bbw_plan *plan, size_t batch) {
  *n = (needs){0};
  if (!bbw_size_mul(plan->sample_floats, batch, &n->activations)) { return false; }
  for (size_t i = 0; i < plan->buffers.count; i++) {
    const bbw_plan_buffer *buffer = bbw_plan_buffer_at(plan, (uint32_t)i);
    bool is_batched = buffer->source == BBW_PLAN_INPUT || buffer->source == BBW_PLAN_ACTIVATION;
    if (!raise(&n->sum, buffer->width, is_batched ? batch : 1)) { return false; }
  }
  for (size_t i = 0; i < plan->steps.count; i++) {
    const bbw_plan_step *s = BBW_VEC_AT(&plan->steps, bbw_plan_step, i);
    if (s->kind == BBW_PLAN_GEMM) {
      size_t rows;
      if (!bbw_size_mul(s->rows, batch, &rows)) { return false; }
      raise(&n->scratch, bbw_gemm_f32_scratch(rows, s->n, s->k), 1);
      raise(&n->scratch, bbw_gemm_f32_scratch(rows, s->k, s->n), 1);
      raise(&n->scratch, bbw_gemm_f32_scratch(s->k, s->n, rows), 1);
      raise(&n->scratch, bbw_gemm_f32_scratch(s->n, s->k, rows), 1);
      if (s->c != BBW_PLAN_NONE) { raise(&n->bias, s->n, 1); }
    } else if (s->b != BBW_PLAN_NONE) {
      n->product = n->sum;
    }
  }
  return true;
}

/* Sum of three sizes, or false above the limit. */
static bool add_up(size_t a, size_t b, size_t c, size_t *out) {
  size_t most = BBW_PLAN_WORKSPACE_MAX;
  if (a > most || b > most - a || c > most - a - b) { return false; }
  *out = a + b + c;
  return true;
}

bbw_status bbw_plan_workspace_init(bbw_plan_workspace *ws, const bbw_plan *plan, size_t batch_max, const bbw_mem *mem) {
  assert(batch_max > 0);
  needs n;
  bbw_plan_workspace made = {.mem = mem, .batch_max = batch_max, .buffer_count = plan->buffers.count};
  if (!count_needs(&n, plan, batch_max)) { return BBW_E_LIMIT; }
  if (!add_up(n.activations, n.scratch, n.bias, &made.memory_count)) { return BBW_E_LIMIT; }
  made.memory = bbw_mem_array(mem, made.memory_count, sizeof(float));
  if (made.memory == NULL) { return BBW_E_NOMEM; }
  made.scratch = made.memory + n.activations;
  made.bias = made.scratch + n.scratch;
  *ws = made;
  return BBW_OK;
}

bbw_status bbw_plan_workspace_add_gradients(bbw_plan_workspace *ws, const bbw_plan *plan) {
  if (ws->gradient_memory != NULL) { return BBW_OK; }
  needs n;
  size_t count;
  if (!count_needs(&n, plan, ws->batch_max)) { return BBW_E_LIMIT; }
  if (!add_up(n.activations, n.product, n.sum, &count)) { return BBW_E_LIMIT; }
  uint8_t *is_written = bbw_mem_array(ws->mem, ws->buffer_count, 1);
  if (is_written == NULL) { return BBW_E_NOMEM; }
  ws->gradient_memory = bbw_mem_array(ws->mem, count, sizeof(float));
  if (ws->gradient_memory == NULL) {
    bbw_mem_array_free(ws->mem, is_written, ws->buffer_count, 1);
    return BBW_E_NOMEM;
  }
  ws->gradient_count = count;
  ws->is_written = is_written;
  ws->product = ws->gradient_memory + n.activations;
  ws->sum = ws->product + n.product;
  return BBW_OK;
}

void bbw_plan_workspace_free(bbw_plan_workspace *ws) {
  bbw_mem_array_free(ws->mem, ws->memory, ws->memory_count, sizeof(float));
  bbw_mem_array_free(ws->mem, ws->gradient_memory, ws->gradient_count, sizeof(float));
  bbw_mem_array_free(ws->mem, ws->is_written, ws->buffer_count, 1);
  *ws = (bbw_plan_workspace){0};
}

float *bbw_plan_values(const bbw_plan *plan, const bbw_plan_workspace *ws, uint32_t buffer) {
  return ws->memory + bbw_plan_buffer_at(plan, buffer)->offset * ws->batch_max;
}

float *bbw_plan_gradient(const bbw_plan *plan, const bbw_plan_workspace *ws, uint32_t buffer) {
  assert(ws->gradient_memory != NULL);
  return ws->gradient_memory + bbw_plan_buffer_at(plan, buffer)->offset * ws->batch_max;
}
