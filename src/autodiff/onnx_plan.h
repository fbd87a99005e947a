/*
 * onnx_plan: the plan of a standard ONNX graph.
 *
 * Reads ModelProto.graph as exporters write it: one input whose first dimension is the batch (symbolic, absent, or fixed: a fixed one is not
 * enforced), f32 initializers, which become the parameters in the order of the graph, and nodes in any order.  Supported: Gemm, MatMul, Add, Sub, Mul,
 * Div, Relu, LeakyRelu, Sigmoid, Tanh, Softmax, LogSoftmax, Flatten, Reshape, Identity, Dropout (inference), Constant.
 * Everything is checked here, so that running the plan cannot fail.  Nothing is allocated for sizes that a file only claims: parameters must be in the file, and
 * activations are bounded by BBW_PLAN_WIDTH_MAX.
 */
#ifndef BBW_AUTODIFF_ONNX_PLAN_H
#define BBW_AUTODIFF_ONNX_PLAN_H

#include "autodiff/plan.h"
#include "base/arena.h"
#include "format/onnx.h"

#define BBW_ONNX_RANK_MAX 8u

/*
 * Fills an initialized, empty plan from the model; temporaries come from the arena.
 * BBW_E_ONNX_UNSUPPORTED  list field "nodes": every operator that is not supported, as "node name: op_type"
 * BBW_E_ONNX_INVALID      fields "node" (or "value") and "detail": cycles, missing inputs, shapes that do not fit, absurd sizes
 * BBW_E_NOMEM.  After an error the plan is only to be freed.
 */
bbw_status bbw_onnx_plan_build(bbw_plan *plan, const bbw_onnx_model *model, bbw_arena *arena, bbw_error *err);

/* Copies the initializers' numbers into parameters[plan->parameter_count]; for a model that bbw_onnx_plan_build accepted. */
void bbw_onnx_plan_parameters(const bbw_onnx_model *model, float *parameters);

#endif
