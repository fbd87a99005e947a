/*
 * grad_forward: derivatives of operators in one direction, in f64, written from their definitions and not from gradients.def.
 *
 * The second derivation of every gradient: with J the derivative of an operator, J u as it is computed here (forward) and J^T v as the trainer computes it
 * (backward) must satisfy <v, J u> = <J^T v, u> for any u and v.  Three ways:
 *   slope    one number to one number: the derivative as a formula
 *   affine   in each input alone: f(.., u, ..) - f(.., 0, ..), by running the operator itself.  This is the definition of a linear map, not its gradient
 *   dual     the operator once more, in the plainest loops, over numbers x + dx * e with e * e = 0
 */
#ifndef BBW_TEST_GRAD_FORWARD_H
#define BBW_TEST_GRAD_FORWARD_H

#include "op_case.h"

typedef struct dual {
  double v, d;
} dual;

typedef struct dual_array {
  bool is_there;
  uint32_t rank;
  const size_t *dims;
  size_t count;
  dual *at;                /* of floats */
  const bbw_array *wholes; /* of other types */
} dual_array;

typedef struct forward_call {
  const char *op;
  int opset;
  bbw_proto_list attributes;
  size_t input_count, output_count;
  dual_array in[OP_CASE_ARRAYS], out[4]; /* out: `d` is what is wanted */
  bbw_arena *arena;
} forward_call;

typedef enum forward_rule { FORWARD_NONE, FORWARD_AFFINE, FORWARD_DONE } forward_rule;

/* FORWARD_DONE: the derivatives are in out.  FORWARD_AFFINE: the caller runs the operator.  FORWARD_NONE: there is no rule. */
forward_rule forward_derive(forward_call *call);

#endif
