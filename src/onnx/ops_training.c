/*
 * Momentum, Adagrad and Adam of ai.onnx.preview.training: one step for any number of arrays.
 *
 * Inputs: rate, count of steps so far, then arrays, their gradients, and one or two groups of states.  Outputs: new arrays, new states.
 */
#include <math.h>

#include "kernels/math_f64.h"
#include "onnx/convert.h"
#include "onnx/ops.h"

typedef struct step_params {
  double alpha, beta, epsilon, norm, norm_after, decay;
  uint32_t is_nesterov;
} step_params;

/* One element: x, gradient g and its states; rate is the one after adjustment. */
static void momentum_step(const step_params *p, double rate, double steps, double *x, double g, double *v, double *h) {
  double beta = steps > 0.0 ? p->beta : 1.0;
  (void)h;
  g = p->norm * *x + g;
  *v = p->alpha * *v + beta * g;
  *x = *x - rate * (p->is_nesterov ? g + p->alpha * *v : *v);
}

static void adagrad_step(const step_params *p, double rate, double steps, double *x, double g, double *v, double *h) {
  (void)h, (void)steps;
  g = p->norm * *x + g;
  *v = *v + g * g;
  *x = *x - rate * g / (sqrt(*v) + p->epsilon);
}

static void adam_step(const step_params *p, double rate, double steps, double *x, double g, double *v, double *h) {
  (void)steps;
  g = p->norm * *x + g;
  *v = p->alpha * *v + (1.0 - p->alpha) * g;
  *h = p->beta * *h + (1.0 - p->beta) * (g * g);
  *x = (1.0 - p->norm_after) * (*x - rate * *v / (sqrt(*h) + p->epsilon));
}

const bbw_step bbw_step_momentum = {momentum_step, 1};
const bbw_step bbw_step_adagrad = {adagrad_step, 1};
const bbw_step bbw_step_adam = {adam_step, 2};

static bbw_status read_number(bbw_prep *prep, const char *name, double otherwise, double *out) {
  float number;
  BBW_TRY(bbw_prep_float(prep, name, (float)otherwise, &number));
  *out = (double)number;
  return BBW_OK;
}

bbw_status bbw_step_prepare(bbw_prep *prep) {
  static const char *const modes[] = {"standard", "nesterov", NULL};
  step_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(read_number(prep, "alpha", 0.9, &p->alpha));
  BBW_TRY(read_number(prep, "beta", 0.999, &p->beta));
  BBW_TRY(read_number(prep, "epsilon", 1e-6, &p->epsilon));
  BBW_TRY(read_number(prep, "norm_coefficient", 0.0, &p->norm));
  BBW_TRY(read_number(prep, "norm_coefficient_post", 0.0, &p->norm_after));
  BBW_TRY(read_number(prep, "decay_factor", 0.0, &p->decay));
  return bbw_prep_choice(prep, "mode", modes, 0, &p->is_nesterov);
}

bbw_status bbw_step_infer(bbw_call *call) {
  const bbw_step *row = call->op->ctx;
  uint32_t groups = 2 + row->states, count = (call->input_count - 2) / groups;
  for (uint32_t i = 0; i < call->input_count; i++) {
    const bbw_array *x = call->inputs[i];
    if (x == NULL) { return bbw_call_refuse(call, (int32_t)i, "input is missing"); }
    bool fits = i == 1 ? bbw_dtype_is_integer(x->dtype) : x->dtype == BBW_DTYPE_F32 || x->dtype == BBW_DTYPE_F64;
    if (!fits) { return bbw_call_refuse_type(call, i); }
    if (i < 2 && x->count != 1) { return bbw_call_refuse(call, (int32_t)i, "input must have one element"); }
  }
  if (count == 0 || (call->input_count - 2) % groups != 0 || call->output_count > count * (1 + row->states)) {
    return bbw_call_refuse(call, -1, "the inputs are no whole groups");
  }
  for (uint32_t i = 0; i < count * groups; i++) {
    const bbw_array *x = call->inputs[2 + i], *first = call->inputs[2 + i % count];
    if (x->dtype != first->dtype || !bbw_array_same_shape(x, first)) {
      return bbw_call_refuse(call, (int32_t)(2 + i), "the shapes of the inputs do not fit together");
    }
  }
  for (uint32_t i = 0; i < call->output_count; i++) {
    BBW_TRY(bbw_call_output_like(call, i, call->inputs[2 + i % count]));
  }
  return BBW_OK;
}

static double power(double base, double steps) { return bbw_pow_f64(base, steps); }

bbw_status bbw_step_run(bbw_call *call) {
  const step_params *p = call->params;
  const bbw_step *row = call->op->ctx;
  uint32_t count = (call->input_count - 2) / (2 + row->states);
  double rate, steps;
  bbw_load_f64(call->inputs[0], 0, 1, &rate);
  bbw_load_f64(call->inputs[1], 0, 1, &steps);
  if (row == &bbw_step_adagrad) { rate = rate / (1.0 + steps * p->decay); }
  if (row == &bbw_step_adam && steps > 0.0) {
    rate = rate * sqrt(1.0 - power(p->beta, steps)) / (1.0 - power(p->alpha, steps));
  }
  for (uint32_t i = 0; i < count; i++) {
    const bbw_array *in[4] = {call->inputs[2 + i], call->inputs[2 + count + i], call->inputs[2 + 2 * count + i],
                              row->states == 2 ? call->inputs[2 + 3 * count + i] : NULL};
    bbw_array *out[3] = {bbw_call_result(call, i), bbw_call_result(call, count + i),
                         bbw_call_result(call, 2 * count + i)};
    for (size_t at = 0; at < in[0]->count; at++) {
      double n[4] = {0.0};
      for (uint32_t k = 0; k < 2 + row->states; k++) { bbw_load_f64(in[k], at, 1, &n[k]); }
      row->step(p, rate, steps, &n[0], n[1], &n[2], &n[3]);
      if (out[0] != NULL) { bbw_store_f64(out[0], at, 1, &n[0]); }
      for (uint32_t k = 0; k < row->states; k++) {
        if (out[1 + k] != NULL) { bbw_store_f64(out[1 + k], at, 1, &n[2 + k]); }
      }
    }
  }
  return BBW_OK;
}
