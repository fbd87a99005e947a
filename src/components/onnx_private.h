/* onnx_private: what the files of onnx_net share. */
#ifndef BBW_COMPONENTS_ONNX_PRIVATE_H
#define BBW_COMPONENTS_ONNX_PRIVATE_H

#include "bbw/value.h"
#include "components/onnx_net.h"

typedef struct bbw_onnx_buffer {
  void *items;
  size_t bytes;
} bbw_onnx_buffer;

struct bbw_onnx_net {
  const bbw_mem *mem;
  bbw_trainer *trainer;
  bbw_trainer_loss loss;
  bool has_ignored;
  int64_t ignored;
  float rate; /* where nobody says another */
  bbw_port_info input;
  size_t prediction; /* which output */
  bool is_inner;     /* it comes out of a last Softmax or Sigmoid */
  bbw_array *outputs;
  size_t output_count;
  bool is_fit;          /* what follows is known */
  bbw_array x, y;       /* one sample and its output, without data */
  bbw_onnx_buffer data; /* samples in the type of the input */
  bbw_onnx_buffer kept; /* of the last forward */
  size_t kept_samples;
  bbw_onnx_buffer picked, wanted; /* a batch: its samples, its labels */
  bbw_onnx_buffer order;          /* of the samples in the epoch of a run */
  bbw_onnx_buffer good, spare;    /* as long as the parameters: those before the last step of a run; and room */
};

bbw_status bbw_onnx_refuse(bbw_error *err, bbw_status status, const char *detail);
/* At least that many bytes; what was there is gone when it grows. */
bbw_status bbw_onnx_grow(bbw_onnx_net *net, bbw_onnx_buffer *buffer, size_t count, size_t size, bbw_error *err);
/* `samples` rows as the input of the trainer; x must not lie in net->data. */
bbw_status bbw_onnx_inputs(bbw_onnx_net *net, const float *x, size_t samples, bbw_array *out, bbw_error *err);
/* Labels as the trainer wants them; *out is NULL-like (dtype NONE) where the loss takes none. */
bbw_status bbw_onnx_wanted(bbw_onnx_net *net, bbw_labels labels, size_t samples, bbw_array *out, bbw_error *err);
bbw_status bbw_onnx_check_labels(const bbw_onnx_net *net, bbw_labels labels, size_t samples, bbw_error *err);

/* ---- the component ---- */

/* A Train, Forward or Evaluate that is under way.  What it needs beside its place stands in the operator that it belongs to.  Of the last two a snapshot holds nothing: they begin anew, to the same results. */
typedef struct bbw_onnx_job {
  bool is_open, is_training;
  uint64_t cmd_id;
  uint64_t seed, started_ns;
  bbw_onnx_run run;
  bbw_value *x, *labels; /* hold the data of the run; NULL before its first slice, and after a restore */
  bbw_value *y;          /* of Forward: what is made, and its numbers */
  float *numbers;
  bbw_onnx_evaluation evaluation;
} bbw_onnx_job;

struct bbw_onnx_component {
  const bbw_mem *mem;
  bbw_onnx_net *net;
  uint64_t trainings; /* that came to their end */
  bbw_onnx_job job;
};

void bbw_onnx_job_close(bbw_onnx_job *job, const bbw_mem *mem);

/* As bbw_component_type wants them. */
bbw_status bbw_onnx_model_save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len);
bbw_status bbw_onnx_model_restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err);

#endif
