/* What the files of cpu_ops share: the rows of its table, and helpers for their functions. */
#ifndef BBW_COMPONENTS_CPU_OPS_PRIVATE_H
#define BBW_COMPONENTS_CPU_OPS_PRIVATE_H

#include "components/cpu_ops.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"

typedef struct cpu_row cpu_row;
typedef bbw_status cpu_run(bbw_cpu_call *call, const cpu_row *row);

struct cpu_row {
  const char *op_type;
  size_t inputs_min;
  cpu_run *run;
  bbw_unary_f32_fn *unary; /* the kernel that the function applies, if it is one for several operators */
  bbw_binary_f32_fn *binary;
  bbw_reduce_f32_fn *reduce;
};

/* cpu_ops_math.c */
cpu_run cpu_unary, cpu_binary, cpu_leaky_relu, cpu_softmax, cpu_log_softmax, cpu_where, cpu_matmul, cpu_dot, cpu_gemm,
    cpu_reduce, cpu_reduce_mean, cpu_argmax, cpu_global_average_pool;
/* cpu_ops_shape.c */
cpu_run cpu_identity, cpu_cast, cpu_constant, cpu_zeros, cpu_ones, cpu_reshape, cpu_flatten, cpu_squeeze, cpu_unsqueeze,
    cpu_transpose, cpu_concat, cpu_split, cpu_slice, cpu_gather;

/* The tensor of input i, which is there (i < inputs_min), or NULL. */
static inline const bbw_tensor *cpu_input(const bbw_cpu_call *call, size_t i) {
  return i < call->input_count && call->inputs[i] != NULL ? &call->inputs[i]->as.tensor : NULL;
}

/* Sets detail; returns BBW_E_ARG. */
bbw_status cpu_refuse(bbw_cpu_call *call, const char *detail);
/* A new tensor as the next output; *data receives its elements (zeroed). */
bbw_status cpu_output(bbw_cpu_call *call, const uint64_t *dims, uint32_t rank, float **data);
/* A value as the next output; its reference moves in. */
void cpu_push(bbw_cpu_call *call, bbw_value *value);

/* Attributes; absent or of another tag: `otherwise`. */
int64_t cpu_attr_int(const bbw_cpu_call *call, const char *name, int64_t otherwise);
float cpu_attr_float(const bbw_cpu_call *call, const char *name, float otherwise);
bool cpu_attr_has_int(const bbw_cpu_call *call, const char *name);

/* A short list of whole numbers: an INTS attribute, or else an input tensor. */
typedef struct cpu_ints {
  bool is_given;
  bool is_input;
  size_t count;
  int64_t items[BBW_TENSOR_RANK_MAX];
} cpu_ints;
#define CPU_NO_INPUT SIZE_MAX
/* BBW_E_ARG for more than BBW_TENSOR_RANK_MAX items, or input elements that are no whole numbers. */
bbw_status cpu_read_ints(bbw_cpu_call *call, const char *attribute, size_t input, cpu_ints *out);

/* Negative counts from the end; false when out of range. */
bool cpu_axis(int64_t given, uint32_t rank, uint32_t *out);
/* Product of dims[from..to), which is part of an existing tensor and so fits. */
size_t cpu_product(const uint64_t *dims, uint32_t from, uint32_t to);

#endif
