/*
 * op: what an ONNX operator is to the graph machine.
 *
 * ops.def lists every operator with its opset range; each is up to four functions.
 *   prepare  once per node, when a model is loaded: reads the attributes into a params struct (arena of the program).  Refuses what it does not support.
 *   infer    once per node and set of input shapes: from types, shapes and, where it needs them, values of the inputs (bbw_call_values) sets type and
 *            shape of every output that is used (bbw_call_output), checks everything that `run` relies on, and may leave a struct for it in
 *            call->plan and the bytes of scratch memory in call->scratch_bytes.  When a value that it needs is not known yet it answers BBW_LATER; it is
 *            then asked again when the value is there, and so are the nodes that follow from it.
 *   run      computes.  Cannot fail, except for operators with BBW_OP_RUNS_GRAPHS and for values (an index out of range): then BBW_E_ONNX_INVALID by bbw_call_refuse.
 *            The outputs have memory of their own, except with BBW_OP_IS_VIEW.  Allocates nothing.
 *   pack     once per node, after folding: may make a packed form of constant inputs, which run finds in call->packed.
 *
 * Inputs that are left out, and outputs that nobody reads, are NULL; except for the first output, which is always there.  The functions must be pure: same inputs, same outputs; randomness comes from
 * attributes (a seed).
 */
#ifndef BBW_ONNX_OP_H
#define BBW_ONNX_OP_H

#include "base/arena.h"
#include "bbw/array.h"
#include "format/onnx.h"

typedef struct bbw_onnx_op bbw_onnx_op;
typedef struct bbw_prep bbw_prep;
typedef struct bbw_call bbw_call;
typedef struct bbw_onnx_pack bbw_onnx_pack;

/* ---- the table ---- */

/* Output 0 is input 0 with another shape: no memory of its own, nothing to run. */
#define BBW_OP_IS_VIEW 1u
/* Output 0 may be written over an input that has as many bytes and is not needed any more: element i is made from elements i alone. */
#define BBW_OP_IN_PLACE 2u
/* Needs only types and shapes of its inputs: folded as soon as these are known. */
#define BBW_OP_OF_SHAPES 4u
/* Is never folded: random, or with effects. */
#define BBW_OP_NOT_FOLDED 8u
/* Runs subgraphs (If, Loop, Scan); always answers BBW_LATER to infer while a graph is planned, and sets its outputs itself. */
#define BBW_OP_RUNS_GRAPHS 16u
/* Of the inputs in the mask only type and shape are read: their elements may be gone by then.  Bit 15 stands for all from there on. */
#define BBW_OP_SHAPE_ONLY(mask) ((uint32_t)(mask) << 16)

struct bbw_onnx_op {
  const char *domain; /* "" is ai.onnx; "bbw" are operators that only the optimizer makes */
  const char *name;
  int32_t since, until; /* opset versions for which the rules that it follows hold, both included */
  uint32_t in_min, in_max, out_max;
  uint32_t flags;
  bbw_status (*prepare)(bbw_prep *prep);
  bbw_status (*infer)(bbw_call *call);
  bbw_status (*run)(bbw_call *call);
  bbw_status (*pack)(bbw_onnx_pack *pack); /* or NULL */
  const void
      *ctx; /* a row's own constant: kernels of an operator that shares its functions with others; NULL if none */
};

#define BBW_OP_ANY_COUNT 0xffffu /* in_max, out_max of variadic operators */

static inline bool bbw_onnx_op_reads_data(const bbw_onnx_op *op, uint32_t input) {
  return (op->flags >> (16 + (input < 15 ? input : 15)) & 1u) == 0;
}
/* The row for an operator of that opset, or NULL.  *is_known (may be NULL): some opset has it. */
const bbw_onnx_op *bbw_onnx_op_find(bbw_str domain, bbw_str name, int64_t opset, bool *is_known);
/* Row by position, NULL past the end: for documentation and tests. */
const bbw_onnx_op *bbw_onnx_op_at(size_t index);
bbw_str bbw_onnx_op_name(const bbw_onnx_op *op);

/* ---- prepare ---- */

struct bbw_prep {
  const bbw_onnx_op *op;
  const bbw_onnx_node *node; /* attributes; not kept after prepare */
  int64_t opset;
  uint32_t input_count, output_count; /* as the node lists them, without trailing absent ones */
  bbw_arena *arena;                   /* of the program: what params points to */
  void *params;                       /* set by prepare; bbw_prep_params */
  size_t params_bytes;
  const char *detail;    /* on an error: what is wrong, a constant text */
  const char *attribute; /* and with which attribute, or NULL */
};

/* Zeroed memory for the params, also in prep->params; NULL when memory runs out: return BBW_E_NOMEM. */
void *bbw_prep_params(bbw_prep *prep, size_t size);
/* Sets detail; returns BBW_E_ONNX_INVALID (the model is wrong) or BBW_E_ONNX_UNSUPPORTED (we do not do that). */
bbw_status bbw_prep_refuse(bbw_prep *prep, const char *attribute, const char *detail);
bbw_status bbw_prep_unsupported(bbw_prep *prep, const char *attribute, const char *detail);
/* Attribute or its default.  BBW_E_ONNX_INVALID for an attribute of another type. */
bbw_status bbw_prep_int(bbw_prep *prep, const char *name, int64_t otherwise, int64_t *out);
bbw_status bbw_prep_bool(bbw_prep *prep, const char *name, bool otherwise, bool *out); /* 0 or another number */
bbw_status bbw_prep_float(bbw_prep *prep, const char *name, float otherwise, float *out);
bbw_status bbw_prep_str(bbw_prep *prep, const char *name, bbw_str otherwise, bbw_str *out); /* a view; do not keep */
/* Up to max numbers; *count is -1 when the attribute is absent.  More than max: refused. */
bbw_status bbw_prep_ints(bbw_prep *prep, const char *name, int64_t *out, size_t max, int32_t *count);
/* A list of any length in the arena; NULL and count 0 when absent. */
bbw_status bbw_prep_int_list(bbw_prep *prep, const char *name, const int64_t **out, size_t *count);
bbw_status bbw_prep_float_list(bbw_prep *prep, const char *name, const float **out, size_t *count);
/* One of the names, as its index; names ends with NULL. */
bbw_status bbw_prep_choice(bbw_prep *prep, const char *name, const char *const *names, uint32_t otherwise,
                           uint32_t *out);
/* A tensor in the arena; *is_given says whether the attribute is there. */
bbw_status bbw_prep_tensor(bbw_prep *prep, const char *name, bbw_array *out, bool *is_given);
bool bbw_prep_has(const bbw_prep *prep, const char *name);

/* ---- pack ---- */

struct bbw_onnx_pack {
  const bbw_onnx_op *op;
  const void *params;
  const bbw_array *const *constants; /* per input: the constant, in the second call with its data; or NULL */
  uint32_t input_count;
  uint32_t replaced; /* set by pack: bit i says that run does not read the data of input i any more */
  size_t bytes;      /* set by pack: size of the packed form; 0 for none */
  void *packed;      /* the second call: zeroed memory of that size, to fill */
};
/*
 * pack is called twice: with packed NULL to set `bytes` by type and shape alone, then (if that is not 0) with the memory, to fill it and to set `replaced`.
 */

/* ---- infer and run ---- */

struct bbw_call {
  const bbw_onnx_op *op;
  const void *params;
  const bbw_array *const *inputs; /* NULL where absent */
  uint32_t input_count;
  bbw_array *const *outputs; /* NULL where nobody reads it */
  uint32_t output_count;
  int64_t opset;
  bbw_arena *arena;     /* infer: memory that lives as long as the plan */
  void *plan;           /* from infer to run */
  size_t scratch_bytes; /* infer asks, run gets; 16-byte aligned */
  void *scratch;
  size_t elements_max; /* of one array */
  const void *packed;  /* what pack made, or NULL */
  void *graphs;        /* BBW_OP_RUNS_GRAPHS: what the functions of runner.h need; else NULL */
  const char *detail;  /* on an error: what is wrong, a constant text */
  int32_t input;       /* and with which input; -1: none in particular */
};

/* Sets detail; returns BBW_E_ONNX_INVALID. input: position of the culprit, or -1. */
bbw_status bbw_call_refuse(bbw_call *call, int32_t input, const char *detail);
/* The same for an element type that the operator does not compute: BBW_E_ELEMENT_TYPE. */
bbw_status bbw_call_refuse_type(bbw_call *call, uint32_t input);
/*
 * infer, of an operator that `call` runs as a part of itself.  The caller has set what is the inner operator's own: op, params, opset, inputs, outputs and their counts; bounds and arena are those of `call`,
 * which also takes over why the inner one refused.
 */
bbw_status bbw_call_infer_inner(bbw_call *call, bbw_call *inner);
/*
 * infer, of a gradient whose plan is that of its forward operator.  infer: that operator's.  The caller has made `inner` a copy of `call` with the inputs of the forward node; afterwards it has that node's plan and
 * scratch_bytes.  BBW_E_ONNX_INVALID when its result does not have the shape of the gradient, input g of `call`, which also takes over why the forward operator refused.
 */
bbw_status bbw_call_infer_forward(bbw_call *call, bbw_call *inner, bbw_status (*infer)(bbw_call *inner), uint32_t g);

static inline const bbw_array *bbw_call_input(const bbw_call *call, uint32_t i) {
  return i < call->input_count ? call->inputs[i] : NULL;
}
static inline bbw_array *bbw_call_result(const bbw_call *call, uint32_t i) {
  return i < call->output_count ? call->outputs[i] : NULL;
}

/* infer: type and shape of output i, if it is used.  BBW_E_LIMIT when it is too large. */
bbw_status bbw_call_output(bbw_call *call, uint32_t i, bbw_dtype dtype, uint32_t rank, const size_t *dims);
/* After infer: whether no output has an element.  Then there is nothing to run, and run need not expect it. */
bool bbw_call_makes_nothing(const bbw_call *call);
/* infer: output i is like that array. */
bbw_status bbw_call_output_like(bbw_call *call, uint32_t i, const bbw_array *like);
/* infer: zeroed plan struct in call->plan; NULL when memory runs out: return BBW_E_NOMEM. */
void *bbw_call_plan(bbw_call *call, size_t size);
/* infer: BBW_OK when the values of input i are known, else BBW_LATER. */
bbw_status bbw_call_values(const bbw_call *call, uint32_t i);
/* infer: a list of whole numbers from input i (any integer type; rank 0 or 1), at most max.  BBW_LATER, or BBW_E_ONNX_INVALID. */
bbw_status bbw_call_ints(bbw_call *call, uint32_t i, int64_t *out, size_t max, uint32_t *count);
/* infer: one number of an input with one element; absent input: otherwise. */
bbw_status bbw_call_int(bbw_call *call, uint32_t i, int64_t otherwise, int64_t *out);
bbw_status bbw_call_float(bbw_call *call, uint32_t i, double otherwise, double *out);
/* The axis counted from the end when negative; BBW_E_ONNX_INVALID when out of range.  rank 0 has no axis. */
bbw_status bbw_call_axis(bbw_call *call, int64_t given, uint32_t rank, uint32_t *out);

/* Gives an array without elements a place, so that run may add offsets of 0 to it: kernels see no NULL. */
void bbw_array_settle(bbw_array *array);

/* Product of dims[from..to); fits, because arrays are checked when they are shaped. */
size_t bbw_dims_product(const size_t *dims, uint32_t from, uint32_t to);

#define BBW_TRY(expression)                  \
  do {                                       \
    bbw_status try_rv = (expression);        \
    if (try_rv != BBW_OK) { return try_rv; } \
  } while (0)

#endif
