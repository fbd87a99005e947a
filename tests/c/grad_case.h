/*
 * grad_case: the gradient of one operator against central differences.
 *
 * Inputs in the notation of op_case.h, and numbers from a seed: "rand[2 3]" from -2 to 2, "pos[2 3]" from 0.5 to 2, "unit[2 3]" from -0.9 to 0.9, "step[2 3]" distinct multiples of
 * 1/4 in random order, none of them 0.  The loss is the mean of each result times fixed numbers.  The gradient is that of the trainer, in f32; the differences are taken in f64, by
 * a session over the same node, and each gradient is compared with a second derivation (grad_forward.h) in a random direction.  Where an operator computes f32 only, it must be piecewise linear in each input: then differences of dyadic numbers are exact for any step.
 */
#ifndef BBW_TEST_GRAD_CASE_H
#define BBW_TEST_GRAD_CASE_H

#include "op_case.h"

typedef struct grad_case {
  const char *name; /* a sentence: what is differentiated */
  const char *op;
  int opset;
  const char *attributes; /* or NULL */
  const char *inputs[OP_CASE_ARRAYS];
  const char *wanted;  /* letters of the inputs whose gradients are checked: "ab" */
  uint32_t outputs;    /* that the loss reads, the first ones; 0: one */
  uint32_t named;      /* that the node has; 0: as many */
  float tolerance;     /* relative to the largest number of the gradient; 0: 2e-5 */
  bool is_f32;         /* differences in f32 (see above) */
  const char *refused; /* a part of the detail with which the trainer refuses the node; nothing is compared */
} grad_case;

/* Checks each case and marks what it has covered. */
void grad_cases_check(const grad_case *cases, size_t count);
/* And with random sizes too, for cases that hold whatever number stands for another: numbers from a seed of equal size stay so, and 1 stays 1. */
void grad_cases_check_sizes(const grad_case *cases, size_t count);
/* For what another test has compared; is_second: by another derivation, else with differences. */
void grad_case_cover(const char *op, uint32_t input, bool is_second);
/* Whether a case had that input of that operator among its wanted ones. */
bool grad_case_has_covered(const char *op, uint32_t input, bool is_second);

#endif
