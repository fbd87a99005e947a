/*
 * onnx_net: samples and labels over a trainer, as the Model component and `createModel` see a network.
 *
 * Any ONNX file that the trainer takes (bbw/trainer.h) and that has one input; how it is trained stands in its metadata (onnx_options.h).  Parameters are one flat array of f32, those of the
 * trainer, which is what peers exchange.  Samples are rows of f32, converted to the type that the file declares; where the file leaves more than the first dimension open, those of the samples are taken
 * (bbw_onnx_net_fit).  The same calls give the same bits.  A call that fails leaves parameters and optimizer as they were, but for a run that ends early (bbw_onnx_run_step).
 */
#ifndef BBW_COMPONENTS_ONNX_NET_H
#define BBW_COMPONENTS_ONNX_NET_H

#include "bbw/trainer.h"

/* Samples that forward keeps for backward; more are run in pieces of this many, and cannot be followed by backward. */
#define BBW_ONNX_NET_KEPT_MAX 1024u
/* Samples that evaluate runs at once. */
#define BBW_ONNX_NET_EVALUATED_MAX 256u

typedef struct bbw_onnx_net bbw_onnx_net;

/* What a sample should give: class numbers, or one number for each output. */
typedef struct bbw_labels {
  const float *data;
  bool is_index;
} bbw_labels;

/* The statuses of bbw_trainer_new, BBW_E_ONNX_UNSUPPORTED for several inputs, BBW_E_ONNX_INVALID for outputs that are no rows of f32, BBW_E_NOT_FINITE (an initializer), BBW_E_ARG (an option).  `model` is not kept. */
bbw_status bbw_onnx_net_new(bbw_onnx_net **out, bbw_bytes model, const bbw_mem *mem, bbw_error *err);
void bbw_onnx_net_del(bbw_onnx_net *net); /* NULL does nothing */

/* Takes the shape of samples from that of a tensor that holds them; does nothing where the file says it all.  BBW_E_SHAPE, and the statuses of a run. */
bbw_status bbw_onnx_net_fit(bbw_onnx_net *net, const uint64_t *dims, uint32_t rank, bbw_error *err);
/* Numbers per sample; 0 until it is known. */
size_t bbw_onnx_net_input_width(const bbw_onnx_net *net);
size_t bbw_onnx_net_output_width(const bbw_onnx_net *net);
/* Labels per sample: as class numbers (0: the loss takes none), or as one number per output. */
size_t bbw_onnx_net_label_width(const bbw_onnx_net *net, bool is_index);

size_t bbw_onnx_net_parameter_count(const bbw_onnx_net *net);
/* parameter_count floats; a view that changes with them. */
const float *bbw_onnx_net_parameters(const bbw_onnx_net *net);
bbw_trainer *bbw_onnx_net_trainer(const bbw_onnx_net *net);
/* The rate of learning that the file asks for. */
float bbw_onnx_net_rate(const bbw_onnx_net *net);

/* The optimizer begins anew: its state belonged to other parameters.  BBW_E_SHAPE (fields expected, got) or BBW_E_NOT_FINITE. */
bbw_status bbw_onnx_net_load_parameters(bbw_onnx_net *net, const float *parameters, size_t count, bbw_error *err);
/* Adds delta to the parameters.  BBW_E_SHAPE as above, BBW_E_NOT_FINITE when a sum is not. */
bbw_status bbw_onnx_net_apply_delta(bbw_onnx_net *net, const float *delta, size_t count, bbw_error *err);

/* y[samples, output_width] of x[samples, input_width]. */
bbw_status bbw_onnx_net_forward(bbw_onnx_net *net, const float *x, size_t samples, float *y, bbw_error *err);
/* The next BBW_ONNX_NET_KEPT_MAX samples of it, from *done on, which then says how many are there.  Nothing else may be done with the net until all are. */
bbw_status bbw_onnx_net_forward_piece(bbw_onnx_net *net, const float *x, size_t samples, float *y, size_t *done,
                                      bbw_error *err);
/* The samples that backward may follow, as they went into the last forward; NULL and 0 if there are none.  Keeping others; BBW_E_NOMEM. */
const float *bbw_onnx_net_kept(const bbw_onnx_net *net, size_t *samples);
bbw_status bbw_onnx_net_keep(bbw_onnx_net *net, const float *x, size_t samples);

/* Mean loss of y as forward gave it.  BBW_E_EMPTY, BBW_E_INVALID_VALUE (a label; offset = its place), BBW_E_NOT_FINITE, BBW_E_NOMEM. */
bbw_status bbw_onnx_net_loss(bbw_onnx_net *net, const float *y, bbw_labels labels, size_t samples, double *loss,
                             bbw_error *err);
/* From the gradient of the last forward's y, the gradient of the parameters [parameter_count].  BBW_E_STATE when the parameters have changed since, or it was not of `samples` samples. */
bbw_status bbw_onnx_net_backward(bbw_onnx_net *net, const float *y_gradient, size_t samples, float *gradient,
                                 bbw_error *err);
/* Mean loss, and the share that is right: of rows whose largest output is at the label, with BCE of outputs on the right side; NaN for other losses.  Statuses as a run. */
bbw_status bbw_onnx_net_evaluate(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                                 double *mean_loss, double *accuracy, bbw_error *err);

/* The same in pieces: zeroed before the first one, and over when `done` is the number of samples.  The labels have been checked. */
typedef struct bbw_onnx_evaluation {
  size_t done;
  double loss; /* summed */
  size_t right, counted;
} bbw_onnx_evaluation;
bbw_status bbw_onnx_net_evaluate_piece(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                                       bbw_onnx_evaluation *e, bbw_error *err);
/* Mean loss and accuracy of one that is over; BBW_E_NOT_FINITE. */
bbw_status bbw_onnx_evaluation_end(const bbw_onnx_evaluation *e, double *mean_loss, double *accuracy, bbw_error *err);

/* ---- training ---- */

typedef struct bbw_train_options {
  size_t epochs;     /* passes over all samples, at least 1 */
  size_t batch_size; /* samples per step, at least 1; the last step of an epoch may have fewer */
  float rate;        /* finite, not negative */
  uint64_t seed;     /* of the order of samples, new in each epoch */
  bool keeps_order;  /* does not shuffle */
} bbw_train_options;

/* Where a run is: all that it needs besides its data, parameters and optimizer.  Zeroed: at the start. */
typedef struct bbw_train_position {
  uint64_t epoch, done; /* the next batch begins at sample `done` of its order */
  uint64_t steps;
  double loss;       /* of the samples of this epoch so far, summed; after the last step, of the last epoch */
  double batch_loss; /* mean of the last batch */
} bbw_train_position;

typedef struct bbw_onnx_run {
  bbw_onnx_net *net;
  const float *x; /* borrowed, as the labels */
  bbw_labels labels;
  size_t samples;
  bbw_train_options options;
  bbw_train_position at;
  uint32_t *order; /* of the samples in this epoch, in the net; NULL: not begun */
} bbw_onnx_run;

/*
 * Begins a run, or goes on where `at` says; a net has one run at a time.  Everything is checked before: BBW_E_ARG (field "detail"), BBW_E_EMPTY, BBW_E_INVALID_VALUE (a label; offset = its place), BBW_E_RESTORE_COMPONENT (a
 * position that these options cannot reach), BBW_E_LIMIT, BBW_E_NOMEM; the run is as before then.  Once it was begun, steps of shapes that were seen before allocate nothing.
 */
bbw_status bbw_onnx_run_begin(bbw_onnx_run *run, bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                              const bbw_train_options *options, bbw_error *err);
bool bbw_onnx_run_is_done(const bbw_onnx_run *run);
/*
 * One step of the optimizer.  BBW_E_NOT_FINITE (fields "detail", "epoch", "batch"): the loss or gradient of that batch is not, or a parameter after its step.  The parameters are then the last ones whose loss was finite, and the optimizer begins anew.
 * Other statuses are those of bbw_trainer_step: the steps before stay.
 */
bbw_status bbw_onnx_run_step(bbw_onnx_run *run, bbw_error *err);
/* The parameters before the last step of a run, which a run that goes on needs: parameter_count floats, NULL if there are none.  Setting them fails with BBW_E_NOMEM only, and not a second time. */
const float *bbw_onnx_net_good(const bbw_onnx_net *net);
bbw_status bbw_onnx_net_set_good(bbw_onnx_net *net, const float *parameters);

/* A run from start to end.  *mean_loss is that of the last epoch, each sample's loss taken before the step that it was part of. */
bbw_status bbw_onnx_net_train(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                              const bbw_train_options *options, double *mean_loss, bbw_error *err);

#endif
