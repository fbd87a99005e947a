/*
 * gradient: the backward graph of a body, appended to it.
 *
 * From one value and its gradient, walks the nodes backwards and appends nodes that compute the gradients of other values, by the rules of
 * gradients.def.  They are nodes like all others: planned, placed and run together with the forward ones.  Only what lies between the values that are wanted and
 * the root gets any; everything else costs nothing.
 */
#ifndef BBW_AUTODIFF_GRADIENT_H
#define BBW_AUTODIFF_GRADIENT_H

#include "onnx/program.h"

/*
 *   root, slope  a value and its gradient, which exists already
 *   wanted       values whose gradients are asked for, `count` of them; they must be inputs of the body or constants
 *   gradients    receives the values that hold them; BBW_VALUE_NONE: the root does not depend on it
 * BBW_E_ONNX_UNSUPPORTED (fields node, op_type, input, detail): an operator in between has no gradient; BBW_E_NOMEM, BBW_E_LIMIT.  After a
 * failure the body is not to be used.
 */
bbw_status bbw_gradient_build(bbw_program *program, bbw_body *body, uint32_t root, uint32_t slope,
                              const uint32_t *wanted, size_t count, uint32_t *gradients, bbw_error *err);

/* Whether something may flow to input `input` of that operator: there is a rule that is not empty, or there is no row, which is found out later. */
bool bbw_gradient_may_flow(const bbw_onnx_op *op, uint32_t input);

/* Rows of gradients.def, NULL past the end: for tests and documentation. */
typedef struct bbw_gradient_row {
  const char *domain, *name;
  const char *rules[8]; /* NULL: no gradient */
} bbw_gradient_row;
const bbw_gradient_row *bbw_gradient_row_at(size_t index);

/* A node appended to a body; outputs are made.  Readers of the inputs are counted.  NULL with *rv set. */
typedef struct bbw_new_node {
  const bbw_onnx_op *op;
  bbw_str name;
  int64_t opset;
  void *params;
  size_t params_bytes;
  const uint32_t *inputs;
  uint32_t input_count;
  uint32_t output_count;
  uint32_t *outputs; /* receives the values; those that are BBW_VALUE_NONE on entry stay so */
} bbw_new_node;
bbw_status bbw_body_append(bbw_program *program, bbw_body *body, const bbw_new_node *made, bbw_error *err);

#endif
