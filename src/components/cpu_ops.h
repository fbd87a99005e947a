/*
 * cpu_ops: the tensor operators of the CPU backend, one call at a time.
 *
 * Everything is f32, as in the reference: truth is 1.0 or 0.0, indices are f32.  Elementwise operators broadcast as NumPy does; attributes are taken in the
 * reference's dialect and in ONNX's, also where newer ONNX passes them as inputs.  Results are dense and row-major.  What would abort the reference is an
 * error here.  Source: ops specification §6.
 */
#ifndef BBW_COMPONENTS_CPU_OPS_H
#define BBW_COMPONENTS_CPU_OPS_H

#include "bbw/value.h"
#include "format/onnx.h"

/* Elements of one result. */
#define BBW_CPU_ELEMENTS_MAX ((size_t)1 << 28)

/* One operator with its inputs and results. */
typedef struct bbw_cpu_call {
  const bbw_onnx_node *node; /* op_type, attributes */
  bbw_value *const *inputs;  /* tensors or NULL; borrowed */
  size_t input_count;
  bbw_value **outputs; /* room for output_max; filled on BBW_OK, each with one reference */
  size_t output_max;   /* at least 1 */
  size_t output_count; /* set by the call; may be more than output_max, the rest was dropped */
  const bbw_mem *mem;
  const char *detail; /* set on BBW_E_ARG: what is wrong, a constant text */
} bbw_cpu_call;

bool bbw_cpu_op_is_known(bbw_str op_type);
/* How many leading inputs must be there; 0 for an unknown op_type. */
size_t bbw_cpu_op_inputs_min(bbw_str op_type);

/* BBW_OK, BBW_E_ARG, BBW_E_UNSUPPORTED (unknown op_type) or BBW_E_NOMEM.  On an error no output is set. */
bbw_status bbw_cpu_op_run(bbw_cpu_call *call);

#endif
