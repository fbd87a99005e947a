/*
 * trainer: trains a standard ONNX model, outside of any node.
 *
 * Reads the same files as a session (session.h).  The float initializers that the loss depends on are the parameters: one flat vector in the order of the file.  The forward graph, the
 * loss and the gradients are one graph, planned once per set of input shapes; a step with shapes that were seen before allocates nothing.  docs/OPERATORS.md lists the operators
 * that have a gradient.  The same calls from the same seed give the same bits.  One thread.
 *
 * In a step Dropout drops, and BatchNormalization takes the statistics of the batch and moves its own towards them; evaluation and export are those of the model as it stands.  A
 * BatchNormalization whose mean or variance is frozen keeps them.
 *
 * Not trained, whatever the freeze list says: initializers without dimensions (they are numbers of a formula), of other types, and those that no gradient reaches.
 */
#ifndef BBW_TRAINER_H
#define BBW_TRAINER_H

#include "bbw/session.h"

typedef struct bbw_trainer bbw_trainer;

typedef enum bbw_trainer_loss {
  BBW_TRAINER_SOFTMAX_CROSS_ENTROPY, /* labels: an index per row of the last axis (whole numbers), or a distribution (f32) */
  BBW_TRAINER_BCE_WITH_LOGITS,       /* labels: f32 from 0 to 1, one per element of the prediction */
  BBW_TRAINER_MSE,                   /* labels: f32, one per element */
  BBW_TRAINER_HUBER,                 /* the same; squared up to `huber_delta`, then straight */
  BBW_TRAINER_OUTPUT,                /* the mean of the prediction is what is minimized; no labels */
  BBW_TRAINER_LOSS_COUNT,
} bbw_trainer_loss;

typedef enum bbw_trainer_optimizer {
  BBW_TRAINER_SGD,
  BBW_TRAINER_ADAM,
  BBW_TRAINER_OPTIMIZER_COUNT
} bbw_trainer_optimizer;

typedef enum bbw_trainer_schedule {
  BBW_TRAINER_CONSTANT,
  BBW_TRAINER_STEP,   /* times schedule_factor after every schedule_steps steps */
  BBW_TRAINER_COSINE, /* down to schedule_factor times the rate after schedule_steps steps */
  BBW_TRAINER_SCHEDULE_COUNT,
} bbw_trainer_schedule;

typedef struct bbw_trainer_options {
  bbw_trainer_loss loss;
  bbw_str
      output; /* the prediction; empty: the first output.  Behind a last Softmax (Sigmoid) the losses on logits take its input */
  bool has_ignored;
  int64_t ignored;       /* rows with this index count for nothing */
  float label_smoothing; /* in [0, 1) */
  float huber_delta;     /* 0: 1 */
  const float *class_weights;
  size_t class_count; /* 0: no weights */

  bbw_trainer_optimizer optimizer;
  float rate;     /* of learning; positive */
  float momentum; /* SGD; in [0, 1) */
  bool is_nesterov;
  float beta1, beta2, epsilon; /* Adam; 0: 0.9, 0.999, 1e-8 */
  float weight_decay;
  bool is_decoupled; /* the decay is taken from the parameters and not added to the gradient: AdamW */
  float clip_norm;   /* of all gradients together; 0: off */
  float clip_value;  /* of each number, before the norm; 0: off */
  bbw_trainer_schedule schedule;
  uint64_t warmup_steps; /* the rate grows linearly over these; the schedule starts behind them */
  uint64_t schedule_steps;
  float schedule_factor;

  const bbw_str *freeze; /* names of initializers; one that ends in '*' stands for all that begin so */
  size_t freeze_count;
  uint64_t seed;           /* of Dropout, and of bbw_trainer_initialize */
  size_t memory_bytes_max; /* what model, results and state may take together; 0: no cap */
  bool keeps_outputs;      /* a step gives the outputs of the model too */
  /* Segments of the model whose results are dropped on the way forward and made again on the way back: less memory, at most one more forward pass of time, the same bits.  0: off; UINT32_MAX:
   * the square root of the number of nodes.  bbw_trainer_stats says what it saves. */
  uint32_t checkpoints;
  /* The moments of the optimizer are kept in 16 bits: half the memory.  They reach as far as in f32 (gradients from 1e-19 to 3e19), to 0.2 % and 0.4 %; rounded up or down by chance that the seed
   * decides, so that small changes add up. */
  bool has_f16_state;
  bool has_backward; /* bbw_trainer_backward may be called: one graph more */
  /* The first dimension of every input may have any size, also where the file fixes it (an export with a batch of one). */
  bool frees_batch;
} bbw_trainer_options;

/*
 * `model` is not kept.  options is read and not kept.
 * BBW_E_ARG (fields "option", "detail"), BBW_E_EMPTY (nothing is left to train), BBW_E_ONNX_UNSUPPORTED (fields "node", "op_type", "input", "detail": an operator between a
 * parameter and the loss has no gradient), and the statuses of bbw_session_new.
 */
bbw_status bbw_trainer_new(bbw_trainer **out, bbw_bytes model, const bbw_trainer_options *options, const bbw_mem *mem,
                           bbw_error *err);
void bbw_trainer_del(bbw_trainer *trainer); /* NULL does nothing */

size_t bbw_trainer_input_count(const bbw_trainer *trainer);
size_t bbw_trainer_output_count(const bbw_trainer *trainer);
bbw_port_info bbw_trainer_input(const bbw_trainer *trainer, size_t index);
bbw_port_info bbw_trainer_output(const bbw_trainer *trainer, size_t index);

/*
 * One step of the optimizer on one batch.  inputs as in bbw_session_run.  labels: NULL for BBW_TRAINER_OUTPUT.  *loss: the mean over the batch, before the step.
 * outputs: NULL, or room for all outputs of the model, if the trainer keeps them; views until the next call.
 * BBW_E_NOT_FINITE (fields "detail", "step"): loss or gradient is infinite or NaN; nothing was changed.  Else the statuses of bbw_session_run; labels that do not fit are BBW_E_ONNX_INVALID
 * with "op_type" Loss and "input" 1.  After an error parameters and state are as before.
 */
bbw_status bbw_trainer_step(bbw_trainer *trainer, const bbw_array *inputs, size_t count, const bbw_array *labels,
                            double *loss, bbw_array *outputs, bbw_error *err);
/* Loss and gradient without a step: *gradient receives one number per parameter, in the order of the vector. */
bbw_status bbw_trainer_gradient(bbw_trainer *trainer, const bbw_array *inputs, size_t count, const bbw_array *labels,
                                double *loss, float *gradient, bbw_error *err);
/*
 * The gradient of the parameters from that of the prediction (`slope`, f32, as many numbers), of the model as it infers: nothing is dropped, statistics stay (their gradient is 0).  The prediction is the
 * output itself here, behind a last Softmax too.  inputs: as bbw_trainer_step takes them; slope has the shape of the prediction.  gradient: room for as many numbers as bbw_trainer_values counts, written on
 * BBW_OK only.  BBW_E_STATE unless the trainer was made with has_backward, BBW_E_NOT_FINITE, and the errors of bbw_trainer_step for inputs and slope.
 */
bbw_status bbw_trainer_backward(bbw_trainer *trainer, const bbw_array *inputs, size_t count, const bbw_array *slope,
                                float *gradient, bbw_error *err);
/*
 * The loss of a prediction that the model gave (f32, as bbw_trainer_evaluate gives that output; borrowed): of the output itself, from which the input of a last Softmax or Sigmoid is computed back.
 * labels: as bbw_trainer_step takes them.  *loss is written on BBW_OK only.  BBW_E_NOT_FINITE, and the errors of bbw_trainer_step for labels.
 */
bbw_status bbw_trainer_loss_of(bbw_trainer *trainer, const bbw_array *prediction, const bbw_array *labels, double *loss,
                               bbw_error *err);
/* Which output the prediction is, counted from 0; *is_inner: the loss takes what goes into the last Softmax or Sigmoid before it. */
size_t bbw_trainer_prediction(const bbw_trainer *trainer, bool *is_inner);
/* Runs the model as it infers.  labels and loss: both NULL, or the loss is computed too.  outputs: room for all; views until the next call. */
bbw_status bbw_trainer_evaluate(bbw_trainer *trainer, const bbw_array *inputs, size_t count, const bbw_array *labels,
                                double *loss, bbw_array *outputs, bbw_error *err);

/* A parameter: its place in the vector.  Views live as long as the trainer. */
typedef struct bbw_trainer_parameter {
  bbw_str name;
  size_t offset, count;
  uint32_t rank;
  const size_t *dims;
  size_t fan_in, fan_out; /* what one output is made from, and what one input goes to; 0 below two dimensions */
  bool
      is_statistic; /* mean or variance of a BatchNormalization: a step moves it towards that of the batch, it has no gradient */
} bbw_trainer_parameter;
size_t bbw_trainer_parameter_count(const bbw_trainer *trainer); /* of names */
bbw_trainer_parameter bbw_trainer_parameter_at(const bbw_trainer *trainer, size_t index);

/* The vector, `*count` numbers.  A view: it changes with every step. */
const float *bbw_trainer_values(const bbw_trainer *trainer, size_t *count);
/* Replaces, or adds to, the whole vector.  BBW_E_SHAPE (fields "expected", "got") when the count is another one, BBW_E_NOT_FINITE. */
bbw_status bbw_trainer_load(bbw_trainer *trainer, const float *values, size_t count, bbw_error *err);
bbw_status bbw_trainer_add(bbw_trainer *trainer, const float *delta, size_t count, bbw_error *err);

/*
 * Draws all weights anew, uniformly within +-sqrt(6 / (fan in + fan out)) (Glorot) or +-sqrt(6 / fan in) (He), and forgets the state of the optimizer.  Parameters with fewer than two
 * dimensions, and statistics, stay.  The same seed gives the same numbers.
 */
typedef enum bbw_trainer_initial { BBW_TRAINER_GLOROT, BBW_TRAINER_HE } bbw_trainer_initial;
void bbw_trainer_initialize(bbw_trainer *trainer, bbw_trainer_initial kind, uint64_t seed);

/* Another rate of learning, which the schedule goes on from.  BBW_E_ARG unless it is finite and not negative. */
bbw_status bbw_trainer_set_rate(bbw_trainer *trainer, float rate, bbw_error *err);
/* Begins the optimizer anew: no moments, no steps. */
void bbw_trainer_state_reset(bbw_trainer *trainer);

/* The state of the optimizer as bytes of bbw_trainer_state_bytes, with version and checksum; without the parameters. */
size_t bbw_trainer_state_bytes(const bbw_trainer *trainer);
void bbw_trainer_state_save(const bbw_trainer *trainer, uint8_t *out);
/* BBW_E_DECODE (bytes of another kind, cut or changed), BBW_E_INVALID_VALUE (field "detail": of another version, optimizer or model, or with moments that are no numbers). */
bbw_status bbw_trainer_state_load(bbw_trainer *trainer, bbw_bytes state, bbw_error *err);

/* Writes the parameters into `file`, a copy of the model that the trainer was made from; its size stays.  BBW_E_ARG when it is another file. */
bbw_status bbw_trainer_export(const bbw_trainer *trainer, uint8_t *file, size_t len, bbw_error *err);

typedef struct bbw_trainer_stats {
  size_t constant_bytes;  /* weights that are not trained */
  size_t parameter_bytes; /* the vector */
  size_t state_bytes;     /* of the optimizer */
  size_t run_bytes;       /* activations, gradients, scratch memory and plans that are held now */
  size_t run_bytes_peak;
  /* The block of memory that the last step ran in: activations, gradients, scratch memory; 0 before the first one. */
  size_t step_bytes;
  size_t live_bytes; /* the most that activations and gradients took of it at one time */
  /* What the block would be without checkpoints (planned anew at each call); 0 where there are none. */
  size_t whole_bytes;
  size_t node_count; /* of the graph of a step */
  uint64_t steps;    /* done */
  double rate;       /* of the next step */
} bbw_trainer_stats;
bbw_trainer_stats bbw_trainer_stats_of(const bbw_trainer *trainer);

#endif
