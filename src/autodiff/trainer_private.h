/* trainer_private: what the files of the trainer share. */
#ifndef BBW_AUTODIFF_TRAINER_PRIVATE_H
#define BBW_AUTODIFF_TRAINER_PRIVATE_H

#include "autodiff/training_graph.h"
#include "onnx/runner.h"

#define BBW_TRAINER_MOMENTS_MAX 2u

struct bbw_trainer {
  const bbw_mem *mem;
  bbw_trainer_options options; /* without what they point to */
  bbw_training_graph graph;
  bbw_budget budget;                       /* parameters and moments counted */
  bbw_runner *step, *inference, *backward; /* backward: NULL unless asked for */
  float *values;                           /* the vector */
  uint8_t *moments
      [BBW_TRAINER_MOMENTS_MAX]; /* f32 or 16 bits, as many as the vector has; NULL where the optimizer has fewer */
  size_t moment_bytes;           /* of each */
  uint32_t moment_count;
  uint64_t steps;
  uint64_t draw;      /* of this step: what Dropout draws from */
  bbw_array *slots;   /* inputs of a run */
  bbw_array *results; /* of the last run */
  size_t slot_count, result_count;
  uint8_t *scratch; /* of the loss by itself */
  size_t scratch_bytes;
  uint64_t model_hash; /* of the file */
  size_t model_bytes;
};

/* Tells files apart; not for secrets. */
uint64_t bbw_trainer_hash(bbw_bytes bytes);

#endif
