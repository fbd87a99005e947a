/*
 * onnx_net: a trainable network from a standard ONNX file.
 *
 * Its parameters are one flat array of f32, the initializers in the order of the file, which is what peers exchange.  Loss is the mean softmax cross entropy
 * over the samples of a batch, on the logits: where the graph ends in Softmax or LogSoftmax, on what goes into that.  Samples are rows of
 * bbw_onnx_net_input_width() floats.  The same calls give the same bits.  Memory for activations is made for the largest batch so far and kept, so
 * steps of one batch size allocate nothing.  A call that fails leaves the parameters as they were.
 */
#ifndef BBW_COMPONENTS_ONNX_NET_H
#define BBW_COMPONENTS_ONNX_NET_H

#include "bbw/error.h"

/* Samples that forward keeps for backward; more are run in pieces of this many, and cannot be followed by backward. */
#define BBW_ONNX_NET_KEPT_MAX 1024u

typedef struct bbw_onnx_net bbw_onnx_net;

/* What a sample should give: the number of its class, one float per sample, or a weight for each output, which are output_width floats. */
typedef struct bbw_labels {
  const float *data;
  bool is_index;
} bbw_labels;

/* BBW_E_ONNX_UNSUPPORTED, BBW_E_ONNX_INVALID (fields: autodiff/onnx_plan.h), BBW_E_PROTOBUF, BBW_E_DEPTH, BBW_E_UTF8 (bytes that are no
 * model), BBW_E_NOT_FINITE (field "detail": an initializer holds infinity or NaN), BBW_E_NOMEM.  `model` is not kept. */
bbw_status bbw_onnx_net_new(bbw_onnx_net **out, bbw_bytes model, const bbw_mem *mem, bbw_error *err);
void bbw_onnx_net_del(bbw_onnx_net *net); /* NULL does nothing */

size_t bbw_onnx_net_input_width(const bbw_onnx_net *net);
size_t bbw_onnx_net_output_width(const bbw_onnx_net *net);
size_t bbw_onnx_net_parameter_count(const bbw_onnx_net *net);
/* parameter_count floats; until the next call that changes them. */
const float *bbw_onnx_net_parameters(const bbw_onnx_net *net);

/* BBW_E_SHAPE (fields expected, got) or BBW_E_NOT_FINITE. */
bbw_status bbw_onnx_net_load_parameters(bbw_onnx_net *net, const float *parameters, size_t count, bbw_error *err);
/* Adds delta to the parameters.  BBW_E_SHAPE as above, BBW_E_NOT_FINITE when a sum is not. */
bbw_status bbw_onnx_net_apply_delta(bbw_onnx_net *net, const float *delta, size_t count, bbw_error *err);

/* y[samples, output_width] of x[samples, input_width].  BBW_E_NOMEM or BBW_E_LIMIT. */
bbw_status bbw_onnx_net_forward(bbw_onnx_net *net, const float *x, size_t samples, float *y, bbw_error *err);

/* The samples that backward may follow, as they went into the last forward; NULL and 0 if there are none. */
const float *bbw_onnx_net_kept(const bbw_onnx_net *net, size_t *samples);

/* Mean loss of y as forward gave it.  BBW_E_EMPTY, BBW_E_INVALID_VALUE (a label; offset = sample), BBW_E_NOT_FINITE, BBW_E_NOMEM, BBW_E_LIMIT. */
bbw_status bbw_onnx_net_loss(bbw_onnx_net *net, const float *y, bbw_labels labels, size_t samples, double *loss,
                             bbw_error *err);

/* From the gradient of the last forward's y, the gradient of the parameters [parameter_count].  BBW_E_STATE when the parameters or the workspace have
 * changed since, or it was not of `samples` samples; BBW_E_NOMEM, BBW_E_LIMIT. */
bbw_status bbw_onnx_net_backward(bbw_onnx_net *net, const float *y_gradient, size_t samples, float *gradient,
                                 bbw_error *err);

/* Mean loss of the samples and its gradient by the parameters [parameter_count].  Statuses as loss. */
bbw_status bbw_onnx_net_loss_gradient(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                                      double *loss, float *gradient, bbw_error *err);

typedef struct bbw_train_options {
  size_t epochs;     /* passes over all samples, at least 1 */
  size_t batch_size; /* samples per step, at least 1; the last step of an epoch may have fewer */
  float rate;        /* finite */
  uint64_t seed;     /* of the order of samples, new in each epoch */
} bbw_train_options;

/*
 * SGD on all samples; *mean_loss is that of the last epoch, each sample's loss taken before the step that it was part of.
 * BBW_E_ARG (field "detail"), BBW_E_EMPTY, BBW_E_INVALID_VALUE (a label; offset = sample), BBW_E_NOT_FINITE (a loss or the parameters in the end), BBW_E_NOMEM,
 * BBW_E_LIMIT.  After any of them the parameters are those from before the call.
 */
bbw_status bbw_onnx_net_train(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                              const bbw_train_options *options, double *mean_loss, bbw_error *err);

/* Mean loss, and the share of samples whose largest output is at the label (of a distribution, at its largest weight).  Statuses as train. */
bbw_status bbw_onnx_net_evaluate(bbw_onnx_net *net, const float *x, bbw_labels labels, size_t samples,
                                 double *mean_loss, double *accuracy, bbw_error *err);

#endif
