/*
 * training_graph: a model as two bodies of one program: one that makes loss and gradients, one that infers.
 *
 * Parameters are not constants but inputs of both bodies, behind those of the model, so nothing of them is folded, fused or packed.  What is frozen stays a constant and
 * costs no backward work.
 */
#ifndef BBW_AUTODIFF_TRAINING_GRAPH_H
#define BBW_AUTODIFF_TRAINING_GRAPH_H

#include "bbw/trainer.h"
#include "onnx/params.h"
#include "onnx/program.h"

typedef struct bbw_training_graph {
  bbw_program *program;
  bbw_body *step;  /* outputs: loss, the outputs of the model where they are kept, then one gradient per parameter */
  bbw_body *whole; /* the step without checkpoints, to compare its plan with; NULL when there are none */
  bbw_body *inference; /* outputs: those of the model, then the prediction */
  /* NULL unless asked for.  Inputs: of the model, the gradient of the output, parameters; outputs: one gradient per parameter that is no statistic. */
  bbw_body *backward;
  uint32_t output;                    /* which output the prediction is, or comes out of */
  bool is_inner;                      /* the prediction is the input of a last Softmax or Sigmoid */
  uint32_t input_count, output_count; /* of the model; the first inputs of both bodies */
  uint32_t
      label_count; /* 0 or 1: an input behind those of the model, of the step only; then comes what Dropout draws from, one u64 */
  uint32_t kept_count;               /* outputs of the model among those of the step */
  uint32_t parameter_count;          /* the last inputs of both bodies */
  bbw_trainer_parameter *parameters; /* names and shapes in the arena of the program */
  float *initial;                    /* value_count numbers; owned, freed by whoever takes them */
  size_t value_count;
  bbw_loss_params loss;
} bbw_training_graph;

/* Statuses of bbw_trainer_new.  The options are checked.  On failure nothing is left. */
bbw_status bbw_training_graph_make(bbw_training_graph *out, bbw_bytes model, const bbw_trainer_options *options,
                                   const bbw_mem *mem, bbw_error *err);
void bbw_training_graph_free(bbw_training_graph *graph);

#endif
