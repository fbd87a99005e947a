#include "bbw/trainer.h"

#include <math.h>
#include <string.h>

#include "autodiff/trainer_private.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/elementwise.h"
#include "kernels/math_f64.h"
#include "kernels/optimizer.h"
#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/session.h"

/* As in a session: a loop that never ends is an error. */
#define STEPS_MAX ((uint64_t)1 << 24)

/* ---- options ---- */

static bbw_status refuse(bbw_error *err, const char *option, const char *detail) {
  bbw_error_set(err, BBW_E_ARG);
  bbw_error_add_str(err, "option", (bbw_str){option, strlen(option)});
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  return BBW_E_ARG;
}

static bbw_status check_options(const bbw_trainer_options *o, bbw_error *err) {
  const struct {
    const char *name;
    float value, least, below;
  } numbers[] = {{"label_smoothing", o->label_smoothing, 0.0f, 1.0f},
                 {"huber_delta", o->huber_delta, 0.0f, INFINITY},
                 {"momentum", o->momentum, 0.0f, 1.0f},
                 {"beta1", o->beta1, 0.0f, 1.0f},
                 {"beta2", o->beta2, 0.0f, 1.0f},
                 {"epsilon", o->epsilon, 0.0f, INFINITY},
                 {"weight_decay", o->weight_decay, 0.0f, INFINITY},
                 {"clip_norm", o->clip_norm, 0.0f, INFINITY},
                 {"clip_value", o->clip_value, 0.0f, INFINITY},
                 {"rate", o->rate, 0.0f, INFINITY},
                 {"schedule_factor", o->schedule_factor, 0.0f, INFINITY}};
  if ((uint32_t)o->loss >= BBW_TRAINER_LOSS_COUNT) { return refuse(err, "loss", "there is no such loss"); }
  if ((uint32_t)o->optimizer >= BBW_TRAINER_OPTIMIZER_COUNT) {
    return refuse(err, "optimizer", "there is no such optimizer");
  }
  if ((uint32_t)o->schedule >= BBW_TRAINER_SCHEDULE_COUNT) {
    return refuse(err, "schedule", "there is no such schedule");
  }
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    if (!(numbers[i].value >= numbers[i].least && numbers[i].value < numbers[i].below)) {
      return refuse(err, numbers[i].name, "the number is out of range");
    }
  }
  if (!(o->rate > 0.0f)) { return refuse(err, "rate", "must be positive"); }
  if (o->schedule != BBW_TRAINER_CONSTANT && o->schedule_steps == 0) {
    return refuse(err, "schedule_steps", "must be positive");
  }
  for (size_t i = 0; i < o->class_count; i++) {
    if (!(o->class_weights[i] >= 0.0f && o->class_weights[i] < INFINITY)) {
      return refuse(err, "class_weights", "a weight is negative or not finite");
    }
  }
  return BBW_OK;
}

/* ---- life ---- */

static bbw_status take(bbw_trainer *t, size_t bytes, uint8_t **out, bbw_error *err) {
  size_t sum;
  if (!bbw_size_add(t->budget.bytes, bytes, &sum) || sum > t->budget.bytes_max) {
    bbw_error_set(err, BBW_E_LIMIT);
    bbw_error_add_u64(err, "cap", t->budget.bytes_max);
    return BBW_E_LIMIT;
  }
  *out = bbw_mem_array(t->mem, bytes, 1);
  if (*out == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  t->budget.bytes = sum;
  return BBW_OK;
}

static bbw_status open(bbw_trainer *t, const bbw_trainer_options *o, bbw_error *err) {
  bbw_training_graph *g = &t->graph;
  size_t constants = g->program->constant_bytes;
  t->budget.steps_max = STEPS_MAX;
  t->budget.bytes_max = SIZE_MAX;
  if (o->memory_bytes_max != 0) {
    t->budget.bytes_max = o->memory_bytes_max > constants ? o->memory_bytes_max - constants : 0;
  }
  t->values = g->initial; /* adopted */
  g->initial = NULL;
  t->budget.bytes = g->value_count * sizeof(float);
  t->moment_count = o->optimizer == BBW_TRAINER_ADAM ? 2 : o->momentum > 0.0f ? 1 : 0;
  t->moment_bytes = g->value_count *
                    (o->has_f16_state ? sizeof(uint16_t) : sizeof(float)); /* no more than the vector */
  for (uint32_t i = 0; i < t->moment_count; i++) { BBW_TRY(take(t, t->moment_bytes, &t->moments[i], err)); }
  t->slot_count = (size_t)g->input_count + 2 + g->parameter_count;
  t->result_count = (size_t)g->output_count + 1 + g->parameter_count;
  t->slots = bbw_mem_array(t->mem, t->slot_count, sizeof *t->slots);
  t->results = bbw_mem_array(t->mem, t->result_count, sizeof *t->results);
  if (t->slots == NULL || t->results == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  if (g->backward != NULL) { BBW_TRY(bbw_runner_new(&t->backward, g->program, g->backward, &t->budget, err)); }
  BBW_TRY(bbw_runner_new(&t->step, g->program, g->step, &t->budget, err));
  return bbw_runner_new(&t->inference, g->program, g->inference, &t->budget, err);
}

bbw_status bbw_trainer_new(bbw_trainer **out, bbw_bytes model, const bbw_trainer_options *options, const bbw_mem *mem,
                           bbw_error *err) {
  BBW_TRY(check_options(options, err));
  bbw_trainer *t = bbw_mem_array(mem, 1, sizeof *t);
  if (t == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  t->mem = mem;
  t->options = *options;
  t->options.freeze = NULL; /* not kept */
  t->options.class_weights = NULL;
  t->options.output = (bbw_str){NULL, 0};
  if (t->options.beta1 == 0.0f) { t->options.beta1 = 0.9f; }
  if (t->options.beta2 == 0.0f) { t->options.beta2 = 0.999f; }
  if (t->options.epsilon == 0.0f) { t->options.epsilon = 1e-8f; }
  t->model_hash = bbw_trainer_hash(model);
  t->model_bytes = model.len;
  bbw_status rv = bbw_training_graph_make(&t->graph, model, options, mem, err);
  if (rv == BBW_OK) { rv = open(t, options, err); }
  if (rv != BBW_OK) {
    bbw_trainer_del(t);
    return rv;
  }
  *out = t;
  return BBW_OK;
}

void bbw_trainer_del(bbw_trainer *t) {
  if (t == NULL) { return; }
  size_t count = t->graph.value_count;
  bbw_runner_del(t->step);
  bbw_runner_del(t->inference);
  bbw_runner_del(t->backward);
  bbw_mem_array_free(t->mem, t->values, count, sizeof(float));
  for (uint32_t i = 0; i < t->moment_count; i++) { bbw_mem_array_free(t->mem, t->moments[i], t->moment_bytes, 1); }
  bbw_mem_array_free(t->mem, t->slots, t->slot_count, sizeof *t->slots);
  bbw_mem_array_free(t->mem, t->results, t->result_count, sizeof *t->results);
  bbw_mem_array_free(t->mem, t->scratch, t->scratch_bytes, 1);
  bbw_training_graph_free(&t->graph);
  t->mem->free(t->mem->ctx, t, sizeof *t);
}

size_t bbw_trainer_input_count(const bbw_trainer *t) { return t->graph.input_count; }
size_t bbw_trainer_output_count(const bbw_trainer *t) { return t->graph.output_count; }
bbw_port_info bbw_trainer_input(const bbw_trainer *t, size_t i) {
  return bbw_port_info_of(&t->graph.inference->inputs[i]);
}
bbw_port_info bbw_trainer_output(const bbw_trainer *t, size_t i) {
  return bbw_port_info_of(&t->graph.inference->outputs[i]);
}

/* ---- runs ---- */

/* The inputs of a body: those of the model, labels where it has them, parameters. */
static bbw_status fill_slots(bbw_trainer *t, const bbw_array *inputs, size_t count, bool is_step,
                             const bbw_array *labels, bbw_error *err) {
  const bbw_training_graph *g = &t->graph;
  BBW_TRY(bbw_body_check_inputs(g->inference, g->input_count, inputs, count, err));
  uint32_t at = g->input_count;
  if (at > 0) { memcpy(t->slots, inputs, at * sizeof *inputs); }
  if (labels != NULL) { t->slots[at++] = *labels; }
  if (is_step) {
    const size_t one = 1;
    bbw_rng rng;
    bbw_rng_init(&rng, t->options.seed ^ (t->steps + 1) * 0xd1342543de82ef95u);
    t->draw = bbw_rng_next(&rng);
    bbw_array_shape(&t->slots[at], BBW_DTYPE_U64, 1, &one);
    t->slots[at++].data = &t->draw;
  }
  for (uint32_t i = 0; i < g->parameter_count; i++) {
    const bbw_trainer_parameter *p = &g->parameters[i];
    bbw_array_shape(&t->slots[at], BBW_DTYPE_F32, p->rank, p->dims); /* of an array that was in the file */
    t->slots[at++].data = t->values + p->offset;
  }
  t->budget.steps = 0;
  return BBW_OK;
}

static bbw_status check_labels(const bbw_trainer *t, const bbw_array *labels, bbw_error *err) {
  if ((labels != NULL) == (t->graph.label_count > 0)) { return BBW_OK; }
  return refuse(err, "labels", labels == NULL ? "the loss needs labels" : "the loss takes no labels");
}

static bbw_status not_finite(const bbw_trainer *t, const char *detail, bbw_error *err) {
  bbw_error_set(err, BBW_E_NOT_FINITE);
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  bbw_error_add_u64(err, "step", t->steps);
  return BBW_E_NOT_FINITE;
}

/* Loss, kept outputs and gradients of a batch, in t->results; all numbers are finite. */
static bbw_status differentiate(bbw_trainer *t, const bbw_array *inputs, size_t count, const bbw_array *labels,
                                double *loss, bbw_error *err) {
  const bbw_training_graph *g = &t->graph;
  BBW_TRY(check_labels(t, labels, err));
  BBW_TRY(fill_slots(t, inputs, count, true, labels, err));
  BBW_TRY(bbw_runner_run(t->step, t->slots, g->step->input_count, t->results, err));
  *loss = *(const double *)t->results[0].data;
  if (!(fabs(*loss) < INFINITY)) { return not_finite(t, "the loss of the batch is not finite", err); }
  for (uint32_t i = 0; i < g->parameter_count; i++) {
    const bbw_array *gradient = &t->results[1 + g->kept_count + i];
    if (gradient->count != g->parameters[i].count || !bbw_is_finite_f32(gradient->data, gradient->count)) {
      return not_finite(t, "the gradient of the batch is not finite", err);
    }
  }
  return BBW_OK;
}

static double rate_at(const bbw_trainer_options *o, uint64_t step) {
  double rate = (double)o->rate, factor = (double)o->schedule_factor;
  if (step < o->warmup_steps) { return rate * (double)(step + 1) / (double)o->warmup_steps; }
  uint64_t at = step - o->warmup_steps;
  if (o->schedule == BBW_TRAINER_STEP) { return rate * bbw_pow_f64(factor, (double)(at / o->schedule_steps)); }
  if (o->schedule == BBW_TRAINER_COSINE) {
    double part = at < o->schedule_steps ? (double)at / (double)o->schedule_steps : 1.0;
    double low = rate * factor;
    return low + (rate - low) * 0.5 * (1.0 + bbw_cos_f64(3.14159265358979323846 * part));
  }
  return rate;
}

/* The numbers of one step; gradients are in t->results. */
static bbw_descent descent_of(const bbw_trainer *t) {
  const bbw_trainer_options *o = &t->options;
  const bbw_training_graph *g = &t->graph;
  double rate = rate_at(o, t->steps), count = (double)(t->steps + 1);
  bbw_descent d = {.rate = (float)rate,
                   .scale = 1.0f,
                   .clip_value = o->clip_value > 0.0f ? o->clip_value : INFINITY,
                   .decay = o->is_decoupled ? 0.0f : o->weight_decay,
                   .shrink = o->is_decoupled ? (float)(1.0 - rate * (double)o->weight_decay) : 1.0f,
                   .beta1 = o->momentum,
                   .is_nesterov = o->is_nesterov};
  if (o->optimizer == BBW_TRAINER_ADAM) {
    d.beta1 = o->beta1;
    d.beta2 = o->beta2;
    d.epsilon = o->epsilon;
    d.rate = (float)(rate / (1.0 - bbw_pow_f64((double)o->beta1, count)));
    d.unbias = (float)(1.0 / sqrt(1.0 - bbw_pow_f64((double)o->beta2, count)));
  }
  if (o->clip_norm > 0.0f) {
    double sum = 0.0;
    for (uint32_t i = 0; i < g->parameter_count; i++) {
      const bbw_array *gradient = &t->results[1 + g->kept_count + i];
      if (g->parameters[i].is_statistic) { continue; }
      sum += bbw_square_sum_f32(gradient->data, d.clip_value, gradient->count);
    }
    double norm = sqrt(sum);
    if (norm > (double)o->clip_norm) { d.scale = (float)((double)o->clip_norm / norm); }
  }
  return d;
}

/*
 * Moments in 16 bits with an exponent of 7, so that they reach as far as the f32 numbers whose squares are f32: 2^-63 to 2^65.  A mean has a sign and 8 bits of a fraction; of a mean square the root is
 * kept, which has no sign and 9.  A moment changes by less than that can tell in most steps, so it is rounded up or down by chance: on average nothing is lost.  The chance is drawn from the seed, the
 * step and the place.
 */
enum { HALF_BLOCK = 256, MEAN_BITS = 8, ROOT_BITS = 9 };

static uint16_t half_of(float x, uint32_t fraction_bits, uint32_t chance) {
  uint32_t bits, shift = 23 - fraction_bits, least = 64u << fraction_bits, most = (128u << fraction_bits) - 1;
  memcpy(&bits, &x, sizeof bits);
  uint32_t size = ((bits & 0x7fffffffu) + (chance & ((1u << shift) - 1))) >> shift;
  size = size <= least ? 0 : size - least < most ? size - least : most;
  return (uint16_t)(size | (fraction_bits == MEAN_BITS ? bits >> 31 << 15 : 0));
}

static float whole_of(uint16_t half, uint32_t fraction_bits) {
  uint32_t size = fraction_bits == MEAN_BITS ? half & 0x7fffu : half, bits;
  bits = size == 0 ? 0 : (size + (64u << fraction_bits)) << (23 - fraction_bits);
  if (size != half) { bits |= 0x80000000u; }
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static void descend_half(bbw_descent_f32_fn *descent, const bbw_descent *d, const float *gradient, float *x,
                         uint16_t *m, uint16_t *v, size_t count, bbw_rng *rng) {
  float mean[HALF_BLOCK], square[HALF_BLOCK];
  for (size_t at = 0; at < count; at += HALF_BLOCK) {
    size_t n = count - at < HALF_BLOCK ? count - at : HALF_BLOCK;
    for (size_t i = 0; i < n; i++) {
      float root = v != NULL ? whole_of(v[at + i], ROOT_BITS) : 0.0f;
      mean[i] = whole_of(m[at + i], MEAN_BITS);
      square[i] = root * root;
    }
    descent(d, gradient + at, x + at, mean, square, n);
    for (size_t i = 0; i < n; i++) {
      uint64_t chance = bbw_rng_next(rng);
      m[at + i] = half_of(mean[i], MEAN_BITS, (uint32_t)chance);
      if (v != NULL) { v[at + i] = half_of(sqrtf(square[i]), ROOT_BITS, (uint32_t)(chance >> 32)); }
    }
  }
}

static void descend(bbw_trainer *t) {
  const bbw_training_graph *g = &t->graph;
  bbw_descent_f32_fn *descent = t->moment_count == 2   ? bbw_adam_f32_simd128
                                : t->moment_count == 1 ? bbw_momentum_f32_simd128
                                                       : bbw_sgd_f32_simd128;
  bbw_descent d = descent_of(t);
  bbw_rng rng;
  bbw_rng_init(&rng, t->options.seed ^ (t->steps + 1) * 0x9e6c63d0876a9a47u);
  for (uint32_t i = 0; i < g->parameter_count; i++) {
    const bbw_array *gradient = &t->results[1 + g->kept_count + i];
    size_t at = g->parameters[i].offset;
    if (g->parameters[i].is_statistic) {
      memcpy(t->values + at, gradient->data, gradient->count * sizeof(float));
      continue;
    }
    if (t->options.has_f16_state && t->moment_count > 0) {
      uint16_t *half[2] = {(void *)t->moments[0], (void *)t->moments[1]};
      descend_half(descent, &d, gradient->data, t->values + at, half[0] + at, half[1] != NULL ? half[1] + at : NULL,
                   gradient->count, &rng);
      continue;
    }
    float *moments[2] = {(void *)t->moments[0], (void *)t->moments[1]};
    descent(&d, gradient->data, t->values + at, moments[0] != NULL ? moments[0] + at : NULL,
            moments[1] != NULL ? moments[1] + at : NULL, gradient->count);
  }
  t->steps++;
}

bbw_status bbw_trainer_step(bbw_trainer *t, const bbw_array *inputs, size_t count, const bbw_array *labels,
                            double *loss, bbw_array *outputs, bbw_error *err) {
  double made;
  BBW_TRY(differentiate(t, inputs, count, labels, &made, err));
  descend(t);
  *loss = made;
  if (outputs != NULL && t->graph.kept_count > 0) {
    memcpy(outputs, t->results + 1, t->graph.kept_count * sizeof *outputs);
  }
  return BBW_OK;
}

bbw_status bbw_trainer_gradient(bbw_trainer *t, const bbw_array *inputs, size_t count, const bbw_array *labels,
                                double *loss, float *gradient, bbw_error *err) {
  const bbw_training_graph *g = &t->graph;
  double made;
  BBW_TRY(differentiate(t, inputs, count, labels, &made, err));
  for (uint32_t i = 0; i < g->parameter_count; i++) {
    if (g->parameters[i].is_statistic) {
      memset(gradient + g->parameters[i].offset, 0, g->parameters[i].count * sizeof(float));
      continue;
    }
    memcpy(gradient + g->parameters[i].offset, t->results[1 + g->kept_count + i].data,
           g->parameters[i].count * sizeof(float));
  }
  *loss = made;
  return BBW_OK;
}

bbw_status bbw_trainer_backward(bbw_trainer *t, const bbw_array *inputs, size_t count, const bbw_array *slope,
                                float *gradient, bbw_error *err) {
  const bbw_training_graph *g = &t->graph;
  if (g->backward == NULL) { return bbw_error_set(err, BBW_E_STATE); }
  BBW_TRY(fill_slots(t, inputs, count, false, slope, err));
  BBW_TRY(bbw_runner_run(t->backward, t->slots, g->backward->input_count, t->results, err));
  uint32_t made = g->backward->output_count;
  for (uint32_t i = 0; i < made; i++) {
    if (!bbw_is_finite_f32(t->results[i].data, t->results[i].count)) {
      return not_finite(t, "the gradient of the batch is not finite", err);
    }
  }
  const bbw_array *from = t->results;
  for (uint32_t i = 0; i < g->parameter_count; i++) {
    const bbw_trainer_parameter *p = &g->parameters[i];
    if (p->is_statistic) {
      memset(gradient + p->offset, 0, p->count * sizeof(float));
    } else {
      memcpy(gradient + p->offset, (from++)->data, p->count * sizeof(float));
    }
  }
  return BBW_OK;
}

/* The operator of the loss by itself, over a prediction that was made. */
static bbw_status loss_of(bbw_trainer *t, const bbw_array *prediction, const bbw_array *labels, double *loss,
                          bbw_error *err) {
  const bbw_onnx_op *op = bbw_onnx_op_find(BBW_STR("bbw"), BBW_STR("Loss"), 1, NULL);
  bbw_array result = {0};
  const bbw_array *inputs[] = {prediction, labels};
  bbw_array *outputs[] = {&result, NULL};
  bbw_call call = {.op = op,
                   .params = &t->graph.loss,
                   .inputs = inputs,
                   .input_count = 2,
                   .outputs = outputs,
                   .output_count = 2,
                   .opset = 1,
                   .elements_max = t->graph.program->elements_max,
                   .input = -1};
  double made = 0.0;
  bbw_status rv = op->infer(&call);
  if (rv == BBW_OK && call.scratch_bytes > t->scratch_bytes) { /* one row: it is kept */
    uint8_t *larger = bbw_mem_array(t->mem, call.scratch_bytes, 1);
    if (larger == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
    bbw_mem_array_free(t->mem, t->scratch, t->scratch_bytes, 1);
    t->scratch = larger;
    t->scratch_bytes = call.scratch_bytes;
  }
  call.scratch = t->scratch;
  result.data = &made;
  if (rv == BBW_OK) { rv = op->run(&call); }
  if (rv != BBW_OK) {
    const bbw_op_node node = {.op = op, .name = BBW_STR("loss")};
    return bbw_op_node_error(err, rv, &node, NULL, call.input, call.detail);
  }
  *loss = made;
  return BBW_OK;
}

/* What Softmax or Sigmoid was given, up to a constant that the loss does not see. */
static void undo_activation(bbw_trainer_loss loss, float *x, size_t count) {
  bool is_sigmoid = loss == BBW_TRAINER_BCE_WITH_LOGITS;
  double most = is_sigmoid ? 1.0 - 0x1p-25 : INFINITY;
  for (size_t i = 0; i < count && (is_sigmoid || loss == BBW_TRAINER_SOFTMAX_CROSS_ENTROPY); i++) {
    double p = (double)x[i];
    p = p < 0x1p-140 ? 0x1p-140 : p > most ? most : p; /* what rounded to 0 or 1 */
    x[i] = (float)(bbw_log_f64(p) - (is_sigmoid ? bbw_log1p_f64(-p) : 0.0));
  }
}

bbw_status bbw_trainer_loss_of(bbw_trainer *t, const bbw_array *prediction, const bbw_array *labels, double *loss,
                               bbw_error *err) {
  BBW_TRY(check_labels(t, labels, err));
  bbw_array own = *prediction;
  bool copies = t->graph.is_inner && prediction->dtype == BBW_DTYPE_F32 && prediction->count > 0;
  if (copies) {
    own.data = bbw_mem_array(t->mem, own.count, sizeof(float));
    if (own.data == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
    memcpy(own.data, prediction->data, own.count * sizeof(float));
    undo_activation(t->options.loss, own.data, own.count);
  }
  double made = 0.0;
  bbw_status rv = loss_of(t, &own, labels, &made, err);
  if (copies) { bbw_mem_array_free(t->mem, own.data, own.count, sizeof(float)); }
  if (rv == BBW_OK && !(fabs(made) < INFINITY)) { rv = not_finite(t, "the loss of the prediction is not finite", err); }
  if (rv == BBW_OK) { *loss = made; }
  return rv;
}

size_t bbw_trainer_prediction(const bbw_trainer *t, bool *is_inner) {
  *is_inner = t->graph.is_inner;
  return t->graph.output;
}

bbw_status bbw_trainer_evaluate(bbw_trainer *t, const bbw_array *inputs, size_t count, const bbw_array *labels,
                                double *loss, bbw_array *outputs, bbw_error *err) {
  const bbw_training_graph *g = &t->graph;
  if (loss != NULL) { BBW_TRY(check_labels(t, labels, err)); }
  BBW_TRY(fill_slots(t, inputs, count, false, NULL, err));
  BBW_TRY(bbw_runner_run(t->inference, t->slots, g->inference->input_count, t->results, err));
  if (loss != NULL) { BBW_TRY(loss_of(t, &t->results[g->output_count], labels, loss, err)); }
  if (outputs != NULL) { memcpy(outputs, t->results, g->output_count * sizeof *outputs); }
  return BBW_OK;
}

/* ---- parameters ---- */

size_t bbw_trainer_parameter_count(const bbw_trainer *t) { return t->graph.parameter_count; }
bbw_trainer_parameter bbw_trainer_parameter_at(const bbw_trainer *t, size_t i) { return t->graph.parameters[i]; }

const float *bbw_trainer_values(const bbw_trainer *t, size_t *count) {
  *count = t->graph.value_count;
  return t->values;
}

static bbw_status check_vector(const bbw_trainer *t, const float *values, size_t count, bbw_error *err) {
  if (count != t->graph.value_count) {
    bbw_error_set(err, BBW_E_SHAPE);
    bbw_error_add_u64(err, "expected", t->graph.value_count);
    bbw_error_add_u64(err, "got", count);
    return BBW_E_SHAPE;
  }
  return bbw_is_finite_f32(values, count) ? BBW_OK : not_finite(t, "a number of the vector is not finite", err);
}

bbw_status bbw_trainer_load(bbw_trainer *t, const float *values, size_t count, bbw_error *err) {
  BBW_TRY(check_vector(t, values, count, err));
  memcpy(t->values, values, count * sizeof *values);
  return BBW_OK;
}

bbw_status bbw_trainer_add(bbw_trainer *t, const float *delta, size_t count, bbw_error *err) {
  BBW_TRY(check_vector(t, delta, count, err));
  bbw_add_f32_simd128(t->values, delta, t->values, count);
  return BBW_OK;
}

void bbw_trainer_initialize(bbw_trainer *t, bbw_trainer_initial kind, uint64_t seed) {
  bbw_rng rng;
  bbw_rng_init(&rng, seed);
  for (uint32_t i = 0; i < t->graph.parameter_count; i++) {
    const bbw_trainer_parameter *p = &t->graph.parameters[i];
    if (p->rank < 2 || p->is_statistic) { continue; }
    double fan = (double)p->fan_in + (kind == BBW_TRAINER_GLOROT ? (double)p->fan_out : 0.0);
    double bound = sqrt(6.0 / fan); /* a parameter has elements, so no dimension is 0 */
    for (size_t k = 0; k < p->count; k++) {
      double unit = (double)(bbw_rng_next(&rng) >> 11) / 4503599627370496.0 - 1.0; /* [-1, 1), from 53 bits */
      t->values[p->offset + k] = (float)(unit * bound);
    }
  }
  bbw_trainer_state_reset(t);
}

void bbw_trainer_state_reset(bbw_trainer *t) {
  for (uint32_t i = 0; i < t->moment_count; i++) { memset(t->moments[i], 0, t->moment_bytes); }
  t->steps = 0;
}

/* The block of a step without checkpoints, for the shapes of that schedule. */
static size_t whole_bytes(const bbw_trainer *t, const bbw_schedule *like) {
  bbw_schedule *made;
  if (t->graph.whole == NULL || like == NULL ||
      bbw_schedule_new(&made, t->graph.program, t->graph.whole, like->shapes, like->shape_count, SIZE_MAX, NULL) !=
          BBW_OK) {
    return 0;
  }
  size_t bytes = made->memory_bytes;
  bbw_schedule_del(made, t->mem);
  return bytes;
}

bbw_status bbw_trainer_set_rate(bbw_trainer *t, float rate, bbw_error *err) {
  if (!(rate >= 0.0f && rate < INFINITY)) { return refuse(err, "rate", "must be finite and not negative"); }
  t->options.rate = rate;
  return BBW_OK;
}

bbw_trainer_stats bbw_trainer_stats_of(const bbw_trainer *t) {
  const bbw_schedule *last = bbw_runner_schedule(t->step);
  size_t vector = t->graph.value_count * sizeof(float), state = t->moment_bytes * t->moment_count,
         held = vector + state;
  return (bbw_trainer_stats){.constant_bytes = t->graph.program->constant_bytes,
                             .parameter_bytes = vector,
                             .state_bytes = state,
                             .run_bytes = t->budget.bytes - held,
                             .run_bytes_peak = t->budget.peak > held ? t->budget.peak - held : 0,
                             .step_bytes = last != NULL ? last->memory_bytes : 0,
                             .live_bytes = last != NULL ? last->live_bytes : 0,
                             .whole_bytes = whole_bytes(t, last),
                             .node_count = t->graph.step->nodes.count,
                             .steps = t->steps,
                             .rate = rate_at(&t->options, t->steps)};
}
