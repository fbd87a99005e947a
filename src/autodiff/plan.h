/*
 * plan: a network as a list of steps over numbered buffers, to be run forward and backward.
 *
 * Made once from a graph whose shapes are known except for the batch size.  A buffer is a parameter, a constant, the input, or the result of a
 * step; views such as Flatten share the buffer.  Steps are in an order in which every input is ready.  The plan holds no parameters and no
 * activations: parameters are one flat array that the caller passes, activations and gradients live in a bbw_plan_workspace, allocated once for the largest
 * batch.  Running allocates nothing, and the same inputs give the same bits, however the samples are grouped into batches (forward) and whatever the
 * build (see the kernels' headers).
 */
#ifndef BBW_AUTODIFF_PLAN_H
#define BBW_AUTODIFF_PLAN_H

#include "base/vec.h"
#include "bbw/error.h"

/* Elements of one sample in one buffer, and floats of one workspace. */
#define BBW_PLAN_WIDTH_MAX     ((size_t)1 << 26)
#define BBW_PLAN_WORKSPACE_MAX ((size_t)1 << 27)

#define BBW_PLAN_NONE UINT32_MAX

typedef enum bbw_plan_source {
  BBW_PLAN_INPUT,
  BBW_PLAN_ACTIVATION,
  BBW_PLAN_PARAMETER,
  BBW_PLAN_CONSTANT,
} bbw_plan_source;

typedef struct bbw_plan_buffer {
  bbw_plan_source source;
  bool needs_gradient;
  size_t width;  /* elements: of one sample for INPUT and ACTIVATION, in all for PARAMETER and CONSTANT */
  size_t offset; /* floats before it: per sample in the workspace, or in the parameters or constants */
} bbw_plan_buffer;

typedef enum bbw_plan_kind {
  BBW_PLAN_GEMM, /* out = alpha * a . b + beta * c; a holds rows per sample of length k; b is [k,n] or [n,k]; c has n elements, one, or is absent */
  BBW_PLAN_ADD,
  BBW_PLAN_SUB,
  BBW_PLAN_MUL,
  BBW_PLAN_DIV, /* binary: equal widths, or one of a and b is static and repeated */
  BBW_PLAN_RELU,
  BBW_PLAN_LEAKY_RELU, /* alpha */
  BBW_PLAN_SIGMOID,
  BBW_PLAN_TANH,
  BBW_PLAN_SOFTMAX, /* over runs of n elements, rows per sample */
  BBW_PLAN_LOG_SOFTMAX,
} bbw_plan_kind;

typedef struct bbw_plan_step {
  bbw_plan_kind kind;
  uint32_t a, b, c; /* input buffers, BBW_PLAN_NONE where there is none */
  uint32_t out;
  bool is_b_transposed;
  float alpha;
  float beta;
  size_t rows; /* per sample */
  size_t k;
  size_t n;
} bbw_plan_step;

typedef struct bbw_plan {
  bbw_vec buffers;   /* bbw_plan_buffer */
  bbw_vec steps;     /* bbw_plan_step */
  bbw_vec constants; /* float */
  uint32_t input;    /* buffers */
  uint32_t output;
  uint32_t logits; /* what a final softmax or log-softmax was made from; else the output */
  size_t parameter_count;
  size_t sample_floats; /* sum of the widths of INPUT and ACTIVATION buffers */
} bbw_plan;

void bbw_plan_init(bbw_plan *plan, const bbw_mem *mem);
void bbw_plan_free(bbw_plan *plan); /* safe on a zeroed plan */

/* Adds a buffer and gives its number.  BBW_E_NOMEM, or BBW_E_LIMIT when it or the sum is too wide. */
bbw_status bbw_plan_add_buffer(bbw_plan *plan, bbw_plan_source source, size_t width, uint32_t *out);
/* Adds a step and the buffer of its result (`width` elements per sample); step->out is filled in. */
bbw_status bbw_plan_add_step(bbw_plan *plan, bbw_plan_step *step, size_t width);

static inline const bbw_plan_buffer *bbw_plan_buffer_at(const bbw_plan *plan, uint32_t index) {
  return BBW_VEC_AT(&plan->buffers, bbw_plan_buffer, index);
}

/* Memory for batches up to batch_max samples; gradients are added when they are first wanted. */
typedef struct bbw_plan_workspace {
  const bbw_mem *mem;
  size_t batch_max;
  float *memory; /* activations, then the two below */
  size_t memory_count;
  float *scratch;
  float *bias;
  float *gradient_memory; /* NULL, or gradients of the activations, then the two below */
  size_t gradient_count;
  float *product;
  float *sum;
  uint8_t *is_written; /* one per buffer: its gradient holds something */
  size_t buffer_count;
} bbw_plan_workspace;

/* BBW_OK, BBW_E_NOMEM, or BBW_E_LIMIT when it would take more than BBW_PLAN_WORKSPACE_MAX floats.  batch_max is at least 1.  On an error
 * *ws is as it was. */
bbw_status bbw_plan_workspace_init(bbw_plan_workspace *ws, const bbw_plan *plan, size_t batch_max, const bbw_mem *mem);
/* Adds the memory for gradients, if it is not there; values stay.  Statuses as above. */
bbw_status bbw_plan_workspace_add_gradients(bbw_plan_workspace *ws, const bbw_plan *plan);
void bbw_plan_workspace_free(bbw_plan_workspace *ws); /* safe on a zeroed one */

/* Where `batch` samples of an INPUT or ACTIVATION buffer are, and their gradient. */
float *bbw_plan_values(const bbw_plan *plan, const bbw_plan_workspace *ws, uint32_t buffer);
float *bbw_plan_gradient(const bbw_plan *plan, const bbw_plan_workspace *ws, uint32_t buffer);

/* Runs all steps on the `batch` samples that lie in the input buffer; batch is 1 to ws->batch_max. */
void bbw_plan_forward(const bbw_plan *plan, bbw_plan_workspace *ws, const float *parameters, size_t batch);

/* After a forward of the same batch: from the gradient that lies in the gradient of buffer `from`, writes that of all parameters. */
void bbw_plan_backward(const bbw_plan *plan, bbw_plan_workspace *ws, const float *parameters, size_t batch,
                       uint32_t from, float *gradients);

#endif
