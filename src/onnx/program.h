/*
 * program: an ONNX model, checked, simplified and ready to be planned for input shapes.
 *
 * Made once from the bytes of a ModelProto, then only read, so that several sessions may share it (reference count, one thread).  Names are resolved to
 * numbers, nodes are in an order in which inputs are ready, constant parts are folded, patterns are fused (fuse.h) and weights are packed for their kernels.
 * The bytes of the model are not kept.
 */
#ifndef BBW_ONNX_PROGRAM_H
#define BBW_ONNX_PROGRAM_H

#include "base/vec.h"
#include "bbw/session.h"
#include "onnx/op.h"

/* Bodies of If, Loop and Scan inside each other, the main graph counted. */
#define BBW_ONNX_DEPTH_MAX 8u
#define BBW_ONNX_NODES_MAX 65536u
/* Folding makes at most this many bytes per node, beside what it replaces. */
#define BBW_ONNX_FOLD_BYTES_MAX ((size_t)1 << 16)

#define BBW_VALUE_NONE UINT32_MAX

/* Numbers that the model holds.  Freed when nothing reads them in this form any more. */
typedef struct bbw_constant {
  bbw_array array; /* data is NULL after it was freed; type and shape stay */
  const struct bbw_onnx_tensor
      *source;      /* while the model is loaded: where the numbers still are, if they were not needed yet; else NULL */
  uint32_t readers; /* nodes and outputs that need the data */
} bbw_constant;

typedef struct bbw_body_value {
  bbw_str name;
  bbw_constant *constant; /* or NULL */
  const bbw_array
      *shape;        /* type and shape where they are known without a constant: a parameter of training; else NULL */
  uint32_t producer; /* node, or BBW_VALUE_NONE: an input, a capture, a constant */
  uint32_t readers;  /* inputs of nodes and outputs of the body that name it */
} bbw_body_value;

typedef struct bbw_op_node {
  const bbw_onnx_op *op; /* NULL: removed */
  bbw_str name;          /* of the node, or of its first output */
  int64_t opset;
  uint32_t *inputs; /* values, BBW_VALUE_NONE where absent; for nodes with bodies the captured values follow */
  uint32_t input_count;
  uint32_t *outputs; /* values; BBW_VALUE_NONE where nobody reads it */
  uint32_t output_count;
  void *params;
  size_t params_bytes;
  void *packed;
  size_t packed_bytes;
  bool borrows_packed;            /* it is that of another node, whose copy this is */
  struct bbw_body *const *bodies; /* in the order of the attributes that the operator names */
  uint32_t body_count;
} bbw_op_node;

/* An input or output as the model declares it. */
typedef struct bbw_port {
  bbw_str name;
  uint32_t value;
  bbw_dtype dtype; /* BBW_DTYPE_NONE: not declared */
  bool has_shape;
  uint32_t rank;
  int64_t dims[BBW_ARRAY_RANK_MAX]; /* -1: any */
  bbw_str symbols[BBW_ARRAY_RANK_MAX];
} bbw_port;

/* A value of the surrounding body that this one reads: input `position` of the node that owns the body. */
typedef struct bbw_capture {
  uint32_t value; /* in this body */
  uint32_t position;
} bbw_capture;

typedef struct bbw_body {
  bbw_vec values;   /* bbw_body_value */
  bbw_vec nodes;    /* bbw_op_node, in order */
  bbw_vec captures; /* bbw_capture */
  bbw_port *inputs; /* without those that an initializer fixes */
  uint32_t input_count;
  bbw_port *outputs;
  uint32_t output_count;
  uint32_t initializer_count; /* values 0 to this are the initializers, in the order of the file */
} bbw_body;

typedef struct bbw_program {
  const bbw_mem *mem;
  uint32_t refs;
  bbw_arena arena;              /* names, nodes, params */
  bbw_vec bodies;               /* bbw_body *, the main one first */
  bbw_vec constants;            /* bbw_constant * */
  size_t constant_bytes;        /* held now: constants and packed weights */
  size_t constant_bytes_max;    /* the most that may be held */
  const bbw_external *external; /* while the program is made; or NULL */
  size_t elements_max;
  uint64_t parameter_count; /* elements of the initializers in the file */
} bbw_program;

typedef struct bbw_program_options {
  size_t memory_bytes_max;      /* 0: no cap.  Refused before it is allocated */
  size_t elements_max;          /* of one array; 0: 2^28 */
  const bbw_external *external; /* NULL: data of other files is refused */
  bool is_plain;                /* no folding, fusing, packing: for tests that compare */
  bool is_raw;                  /* as it was read: the caller simplifies the bodies, and drops what nobody reads */
} bbw_program_options;

/*
 * BBW_E_ONNX_UNSUPPORTED  list field "nodes": all that is missing, as "node: Op (opset 13)" with a reason where there is one
 * BBW_E_ONNX_INVALID      fields "node", "op_type" or "value", and "detail"
 * BBW_E_PROTOBUF, BBW_E_DEPTH, BBW_E_UTF8 (bytes that are no model), BBW_E_LIMIT (fields cap, got), BBW_E_NOMEM.
 * `model` is not kept.
 */
bbw_status bbw_program_new(bbw_program **out, bbw_bytes model, const bbw_program_options *options, const bbw_mem *mem,
                           bbw_error *err);
/* The same from a decoded model, which is not kept either. */
bbw_status bbw_program_make(bbw_program **out, const bbw_onnx_model *model, const bbw_program_options *options,
                            const bbw_mem *mem, bbw_error *err);
bbw_program *bbw_program_retain(bbw_program *program);
void bbw_program_release(bbw_program *program); /* NULL does nothing */

static inline bbw_body *bbw_program_main(const bbw_program *program) {
  return *BBW_VEC_AT(&program->bodies, bbw_body *, 0);
}
static inline bbw_body_value *bbw_body_value_at(const bbw_body *body, uint32_t i) {
  return BBW_VEC_AT(&body->values, bbw_body_value, i);
}
static inline bbw_op_node *bbw_body_node_at(const bbw_body *body, uint32_t i) {
  return BBW_VEC_AT(&body->nodes, bbw_op_node, i);
}

/* ---- for the passes (simplify.c, fuse.c) ---- */

/* A new constant with room for `array`'s elements, counted.  BBW_E_LIMIT or BBW_E_NOMEM. */
bbw_status bbw_program_constant(bbw_program *program, const bbw_array *shape, bbw_constant **out, bbw_error *err);
/* One reader less; frees the data at zero. */
/* The same for numbers of the file: large ones are left there until bbw_program_settle, so that weights that are packed are not held twice. */
bbw_status bbw_program_constant_of(bbw_program *program, const bbw_array *shape, const struct bbw_onnx_tensor *source,
                                   bbw_constant **out, bbw_error *err);
/* Reads the numbers of a constant that were left in the file. */
bbw_status bbw_program_settle(bbw_program *program, bbw_constant *constant, bbw_error *err);
static inline bool bbw_constant_is_there(const bbw_constant *constant) {
  return constant->array.data != NULL || constant->source != NULL;
}
void bbw_program_constant_drop(bbw_program *program, bbw_constant *constant);
/* Memory that the program owns and counts, for packed weights.  NULL with err set. */
void *bbw_program_alloc(bbw_program *program, size_t bytes, bbw_error *err, bbw_status *rv);

/* Frees the constants that nobody reads: initializers that a model carries along. */
void bbw_program_drop_unread(bbw_program *program);
/* Folds what is constant, drops what nobody reads.  Statuses of bbw_program_new. */
bbw_status bbw_program_fold(bbw_program *program, bbw_body *body, bbw_error *err);
/* Removes nodes whose outputs nobody reads, and closes the gaps. */
void bbw_program_sweep(bbw_program *program, bbw_body *body);
/* Replaces patterns by the operators of domain "bbw" and folds neighbours into each other. */
bbw_status bbw_program_fuse(bbw_program *program, bbw_body *body, bbw_error *err);
/* Only those whose operator has a gradient: what training does before it makes the backward graph. */
bbw_status bbw_program_fuse_forward(bbw_program *program, bbw_body *body, bbw_error *err);
/* Lets operators pack their constant inputs. */
bbw_status bbw_program_pack(bbw_program *program, bbw_body *body, bbw_error *err);

/* What ran out: BBW_E_LIMIT with the cap when the arena was not allowed more, else rv as it is. */
bbw_status bbw_arena_status(bbw_status rv, const bbw_arena *arena, bbw_error *err);

/* Reads: value `v` is needed by one more, one less.  At zero the producer is dead and sweep removes it. */
void bbw_body_retain_value(bbw_body *body, uint32_t v);
void bbw_body_release_value(bbw_program *program, bbw_body *body, uint32_t v);

/* Fills err for a failed prepare, infer or run. */
bbw_status bbw_op_node_error(bbw_error *err, bbw_status rv, const bbw_op_node *node, const char *attribute,
                             int32_t input, const char *detail);

#endif
