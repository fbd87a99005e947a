/*
 * onnx_model: the Model role over a network from an ONNX file (onnx_net.h).
 *
 * Type name "OnnxModel".  Its configuration is the ONNX file.  Tensors come in any tensor carrier (or as Bytes of one) and leave as CpuTensor, which every
 * peer can decode; parameters are one tensor of rank 1.
 *
 *   Forward(x) -> y                 x holds whole samples; if its rank is 2 or more, the first dimension counts them
 *   Backward(gradient of y) -> gradient of the parameters, for the last Forward
 *   ComputeLoss(y, labels) -> RawF32    labels: one class number per sample, or a weight per output and sample
 *   Params() -> parameters
 *   LoadParameters(p), ApplyDelta(d)
 *   Train(x, labels) -> RawF32 mean loss of the last epoch, FedAvgMeta number of samples
 *       attributes epochs (1), batch_size (32), learning_rate (0.1), seed (from the node's generator).  With a fixed seed the order of samples still
 *       differs from call to call: the number of calls so far is added to it.
 *   Evaluate(x, labels) -> RawF32 mean loss, RawF32 accuracy
 *
 * Saved state: calls of Train (u64), parameter count (u64), parameters; little-endian.
 */
#ifndef BBW_COMPONENTS_ONNX_MODEL_H
#define BBW_COMPONENTS_ONNX_MODEL_H

#include "bbw/component.h"

/* Passes that one call of Train may be asked for. */
#define BBW_ONNX_MODEL_EPOCHS_MAX 10000

extern const bbw_component_type bbw_onnx_model_component;

#endif
