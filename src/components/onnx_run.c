/* Training of onnx_net: one batch after another, from any place on. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "components/onnx_private.h"
#include "kernels/elementwise.h"
#include "onnx/op.h"

/* The order of an epoch follows from the seed and its number alone, so that a run may go on in any. */
static void make_order(const bbw_onnx_run *run) {
  size_t count = run->samples;
  for (size_t i = 0; i < count; i++) { run->order[i] = (uint32_t)i; }
  if (run->options.keeps_order) { return; }
  bbw_rng rng;
  bbw_rng_init(&rng, run->options.seed ^ (run->at.epoch * 0xa24baed4963ee407u));
  for (size_t i = count; i > 1; i--) {
    size_t j = (size_t)bbw_rng_below(&rng, i);
    uint32_t moved = run->order[i - 1];
    run->order[i - 1] = run->order[j];
    run->order[j] = moved;
  }
}

static bbw_status check(const bbw_onnx_run *run, bbw_error *err) {
  const bbw_train_options *o = &run->options;
  const bbw_train_position *at = &run->at;
  if (o->epochs == 0) { return bbw_onnx_refuse(err, BBW_E_ARG, "epochs is 0"); }
  if (o->batch_size == 0) { return bbw_onnx_refuse(err, BBW_E_ARG, "batch_size is 0"); }
  if (run->samples > UINT32_MAX) { return bbw_onnx_refuse(err, BBW_E_LIMIT, "too many samples"); }
  BBW_TRY(bbw_onnx_check_labels(run->net, run->labels, run->samples, err));
  /* The first batch of a run is the only one that has no good parameters before it. */
  uint64_t steps = at->epoch * ((run->samples - 1) / o->batch_size + 1) + at->done / o->batch_size;
  bool is_there = at->epoch < o->epochs && at->done < run->samples && at->done % o->batch_size == 0 &&
                  at->steps == steps && (steps == 0 || run->net->good.items != NULL);
  return is_there ? BBW_OK : bbw_onnx_refuse(err, BBW_E_RESTORE_COMPONENT, "the run cannot have come to this position");
}

static bbw_status take_memory(bbw_onnx_run *run, bbw_error *err) {
  bbw_onnx_net *net = run->net;
  size_t count = bbw_onnx_net_parameter_count(net), batch = run->options.batch_size;
  size_t width = bbw_onnx_net_label_width(net, run->labels.is_index);
  BBW_TRY(bbw_onnx_grow(net, &net->picked, batch, (net->x.count + width) * sizeof(float), err));
  BBW_TRY(bbw_onnx_grow(net, &net->order, run->samples, sizeof *run->order, err));
  BBW_TRY(bbw_onnx_grow(net, &net->spare, count, sizeof(float), err));
  BBW_TRY(bbw_onnx_grow(net, &net->good, count, sizeof(float), err));
  run->order = net->order.items;
  return BBW_OK;
}

bbw_status bbw_onnx_run_begin(bbw_onnx_run *run, bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                              const bbw_train_options *options, bbw_error *err) {
  bbw_onnx_run made = {.net = net, .x = x, .labels = labels, .samples = samples, .options = *options, .at = run->at};
  BBW_TRY(check(&made, err));
  if (made.options.batch_size > samples) { made.options.batch_size = samples; } /* so that sums with it fit */
  BBW_TRY(bbw_trainer_set_rate(net->trainer, options->rate, err));
  BBW_TRY(take_memory(&made, err));
  make_order(&made);
  *run = made;
  return BBW_OK;
}

const float *bbw_onnx_net_good(const bbw_onnx_net *net) { return net->good.items; }

bbw_status bbw_onnx_net_set_good(bbw_onnx_net *net, const float *parameters) {
  size_t count = bbw_onnx_net_parameter_count(net);
  BBW_TRY(bbw_onnx_grow(net, &net->good, count, sizeof(float), NULL));
  memcpy(net->good.items, parameters, count * sizeof(float));
  return BBW_OK;
}

bool bbw_onnx_run_is_done(const bbw_onnx_run *run) { return run->at.epoch >= run->options.epochs; }

/* The samples of the batch, and their labels behind them. */
static void pick(const bbw_onnx_run *run, size_t count, float **x, float **labels) {
  const bbw_onnx_net *net = run->net;
  size_t in = net->x.count, width = bbw_onnx_net_label_width(net, run->labels.is_index);
  const uint32_t *order = run->order + run->at.done;
  *x = net->picked.items;
  *labels = *x + count * in;
  bool has_labels = net->loss != BBW_TRAINER_OUTPUT;
  for (size_t i = 0; i < count; i++) {
    memcpy(*x + i * in, run->x + order[i] * in, in * sizeof(float));
    if (has_labels) { memcpy(*labels + i * width, run->labels.data + order[i] * width, width * sizeof(float)); }
  }
}

static bbw_status take_step(bbw_onnx_run *run, size_t count, double *loss, bbw_error *err) {
  bbw_onnx_net *net = run->net;
  float *x, *labels;
  pick(run, count, &x, &labels);
  bbw_array in, wanted;
  BBW_TRY(bbw_onnx_inputs(net, x, count, &in, err));
  BBW_TRY(bbw_onnx_wanted(net, (bbw_labels){labels, run->labels.is_index}, count, &wanted, err));
  BBW_TRY(bbw_trainer_step(net->trainer, &in, 1, wanted.dtype != BBW_DTYPE_NONE ? &wanted : NULL, loss, NULL, err));
  /* A loss need not see a parameter that is infinite, so each step is looked at: what is kept as good must be finite. */
  if (bbw_is_finite_f32(bbw_onnx_net_parameters(net), bbw_onnx_net_parameter_count(net))) { return BBW_OK; }
  memcpy(net->good.items, net->spare.items, net->good.bytes);
  run->at.steps++;
  return bbw_onnx_refuse(err, BBW_E_NOT_FINITE, "the parameters are not finite");
}

bbw_status bbw_onnx_run_step(bbw_onnx_run *run, bbw_error *err) {
  bbw_train_position *at = &run->at;
  bbw_onnx_net *net = run->net;
  size_t parameters = bbw_onnx_net_parameter_count(net), left = run->samples - (size_t)at->done;
  size_t count = left < run->options.batch_size ? left : run->options.batch_size;
  memcpy(net->spare.items, bbw_onnx_net_parameters(net), parameters * sizeof(float));
  double loss;
  bbw_status rv = take_step(run, count, &loss, err);
  if (rv == BBW_E_NOT_FINITE && at->steps > 0) {
    (void)bbw_trainer_load(net->trainer, net->good.items, parameters, NULL); /* finite, as all that a step left */
    bbw_trainer_state_reset(net->trainer);
  }
  if (rv == BBW_E_NOT_FINITE) {
    bbw_error_add_u64(err, "epoch", at->epoch);
    bbw_error_add_u64(err, "batch", at->done / run->options.batch_size);
  }
  if (rv != BBW_OK) { return rv; }
  bbw_onnx_buffer before = net->spare;
  net->spare = net->good;
  net->good = before;
  net->kept_samples = 0;
  if (at->done == 0) { at->loss = 0.0; }
  at->loss += loss * (double)count;
  at->batch_loss = loss;
  at->steps++;
  at->done += count;
  if (at->done < run->samples) { return BBW_OK; }
  at->done = 0;
  at->epoch++;
  if (!bbw_onnx_run_is_done(run)) { make_order(run); }
  return BBW_OK;
}

bbw_status bbw_onnx_net_train(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                              const bbw_train_options *options, double *mean_loss, bbw_error *err) {
  bbw_onnx_run run = {0};
  BBW_TRY(bbw_onnx_run_begin(&run, net, x, labels, samples, options, err));
  bbw_status rv = BBW_OK;
  while (rv == BBW_OK && !bbw_onnx_run_is_done(&run)) { rv = bbw_onnx_run_step(&run, err); }
  if (rv == BBW_OK) { *mean_loss = run.at.loss / (double)samples; }
  return rv;
}
