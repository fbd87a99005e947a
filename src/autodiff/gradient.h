/*
 * gradient: the backward graph of a body, appended to it.
 *
 * From values and their gradients, walks the nodes backwards and appends nodes that compute the gradients of other values, by the rules of
 * gradients.def.  They are nodes like all others: planned, placed and run together with the forward ones.  Only what lies between the values that are wanted and
 * the roots gets any; everything else costs nothing.
 */
#ifndef BBW_AUTODIFF_GRADIENT_H
#define BBW_AUTODIFF_GRADIENT_H

#include "onnx/program.h"

/*
 *   roots, slopes  values and their gradients, which exist already: `root_count` of each
 *   wanted         values whose gradients are asked for, `count` of them; they must be inputs or captures of the body, or constants
 *   gradients      receives the values that hold them; BBW_VALUE_NONE: no root depends on it
 * BBW_E_ONNX_UNSUPPORTED (fields node, op_type, input, detail): an operator in between has no gradient; BBW_E_NOMEM, BBW_E_LIMIT.  After a
 * failure the body is not to be used.
 */
bbw_status bbw_gradient_build(bbw_program *program, bbw_body *body, const uint32_t *roots, const uint32_t *slopes,
                              size_t root_count, const uint32_t *wanted, size_t count, uint32_t *gradients,
                              bbw_error *err);
/* Marks, beside the values that are marked already, all that depend on them in a way that has a gradient. */
void bbw_gradient_mark(const bbw_body *body, uint8_t *is_needed);

/*
 * The gradient of If, Loop and Scan: nodes appended to the body, which is the body of `node`, number `index`.
 *   slopes     of each output of the node, or BBW_VALUE_NONE
 *   is_needed  of values of the body: which inputs want a gradient
 *   made       receives one per input of the node, or BBW_VALUE_NONE
 * The branch (the iterations, from the last to the first) runs once more on the way back; of Loop and Scan the carried values of each iteration are kept.
 */
bbw_status bbw_gradient_graphs(bbw_program *program, bbw_body *body, const bbw_op_node *node, uint32_t index,
                               const uint32_t *slopes, const uint8_t *is_needed, uint32_t *made, bbw_error *err);

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
  bbw_body **bodies; /* in the arena of the program */
  uint32_t body_count;
} bbw_new_node;
bbw_status bbw_body_append(bbw_program *program, bbw_body *body, const bbw_new_node *made, bbw_error *err);

/* A value that nothing in the body makes; *out is its number. */
bbw_status bbw_body_new_value(bbw_body *body, bbw_constant *constant, uint32_t producer, uint32_t *out, bbw_error *err);
/* A copy that shares constants, params and inner bodies, in the program. */
bbw_status bbw_body_clone(bbw_program *program, const bbw_body *body, bbw_body **out, bbw_error *err);
/* Other outputs; what the old ones alone needed goes with the next sweep. */
bbw_status bbw_body_set_outputs(bbw_program *program, bbw_body *body, const uint32_t *values, uint32_t count,
                                bbw_error *err);

#endif
