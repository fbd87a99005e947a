/*
 * onnx_model: the Model role over a network from an ONNX file (onnx_net.h).
 *
 * Type name "OnnxModel".  Its configuration is the ONNX file; how it is trained stands in its metadata (onnx_options.h).  Tensors come in any tensor carrier (or as Bytes of one) and leave as CpuTensor, which every
 * peer can decode; parameters are one tensor of rank 1.
 *
 *   Forward(x) -> y                 x holds whole samples; if its rank is 2 or more, the first dimension counts them
 *   Backward(gradient of y) -> gradient of the parameters, for the last Forward
 *   ComputeLoss(y, labels) -> RawF32    labels: one class number per row of y, or a number per output
 *   Params() -> parameters
 *   LoadParameters(p), ApplyDelta(d)    the first begins the optimizer anew
 *   Train(x, labels) -> RawF32 mean loss of the last epoch, FedAvgMeta number of samples
 *       attributes epochs (1), batch_size (32), learning_rate (that of the file, 0.1), shuffle (1), seed (from the node's generator).  With a fixed seed the order of samples still
 *       differs from call to call: the number of calls so far is added to it.
 *       batches_per_poll (64): what is longer, or runs under a time budget of the host, is done in slices, one per poll.  progress: a topic; after each slice comes an event of it, a CpuTensor of seven numbers: epoch, epochs,
 *       batch, batches, loss of the last batch, samples per second, seconds that are left (0 where the node's clock stands still).
 *       Other operators of the model wait until it is over.  Ended early (its execution ends, its deadline passes, memory runs out) it keeps the steps that it made.  A loss that is not finite fails it with epoch
 *       and batch; the parameters are then the last ones whose loss was finite.
 *   Evaluate(x, labels) -> RawF32 mean loss, RawF32 accuracy (NaN where a loss knows none)
 *       Forward runs 1,024 samples at once and Evaluate 256; after 64 of these, or when the host's time budget is up, they go on in the next poll, and other operators wait as for Train.
 *
 * Saved state: onnx_state.c.
 */
#ifndef BBW_COMPONENTS_ONNX_MODEL_H
#define BBW_COMPONENTS_ONNX_MODEL_H

#include "bbw/component.h"

/* Passes that one call of Train may be asked for. */
#define BBW_ONNX_MODEL_EPOCHS_MAX 10000

extern const bbw_component_type bbw_onnx_model_component;

#endif
