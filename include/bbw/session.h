/*
 * session: runs a standard ONNX model, outside of any node.
 *
 * Reads ModelProto.graph as PyTorch, TensorFlow or scikit-learn export it (opset 7 to 21; docs/OPERATORS.md lists the operators).  A session plans the graph once per
 * set of input shapes and keeps the last few plans; running the same shapes again allocates nothing, unless the graph has results whose shape depends on numbers.
 * The same calls give the same bits.  One thread.
 */
#ifndef BBW_SESSION_H
#define BBW_SESSION_H

#include "bbw/array.h"

typedef struct bbw_session bbw_session;

/* Where the numbers of initializers are that are in other files (external data of ONNX). */
typedef struct bbw_external {
  void *ctx;
  /* Copies `len` bytes of the file `location` from `offset` on to `out`; out NULL: only says whether they are there.  False: they are not. */
  bool (*read)(void *ctx, bbw_str location, uint64_t offset, size_t len, void *out);
} bbw_external;

typedef struct bbw_session_options {
  size_t memory_bytes_max; /* what model and results may take together; 0: no cap.  Refused before it is allocated */
  size_t elements_max;     /* of one array; 0: 2^28 */
  uint64_t
      steps_max; /* operators of one run, all iterations of loops counted; 0: 2^24.  A loop that never ends is an error */
  bool is_plain; /* runs the graph as it stands: nothing folded, fused or packed.  For comparisons */
  const bbw_external
      *external; /* NULL: external data is refused.  Used while the session is made, one initializer at a time */
} bbw_session_options;

/*
 * `model` is not kept.  options may be NULL.
 * BBW_E_ONNX_UNSUPPORTED  list field "nodes": everything that is missing, as "node: Op (opset 13)" and a reason where there is one; or "value", "detail" and, for data of a file that was not given, "location"
 * BBW_E_ONNX_INVALID      fields "node", "op_type", "attribute" or "value", and "detail"
 * BBW_E_PROTOBUF, BBW_E_DEPTH, BBW_E_UTF8 (bytes that are no model), BBW_E_LIMIT (fields cap, got), BBW_E_NOMEM.
 */
bbw_status bbw_session_new(bbw_session **out, bbw_bytes model, const bbw_session_options *options, const bbw_mem *mem,
                           bbw_error *err);
/* Another session of the same model: the weights are shared, the results are its own.  BBW_E_NOMEM. */
bbw_status bbw_session_share(bbw_session **out, bbw_session *session, bbw_error *err);
void bbw_session_del(bbw_session *session); /* NULL does nothing */

/* An input or output as the model declares it.  Views live as long as the session. */
typedef struct bbw_port_info {
  bbw_str name;
  bbw_dtype dtype; /* BBW_DTYPE_NONE: the model does not say */
  bool has_shape;
  uint32_t rank;
  int64_t dims[BBW_ARRAY_RANK_MAX];    /* -1: any size */
  bbw_str symbols[BBW_ARRAY_RANK_MAX]; /* of a dimension of any size; may be empty */
} bbw_port_info;

size_t bbw_session_input_count(const bbw_session *session);
size_t bbw_session_output_count(const bbw_session *session);
bbw_port_info bbw_session_input(const bbw_session *session, size_t index);
bbw_port_info bbw_session_output(const bbw_session *session, size_t index);

/*
 * Runs the graph.  inputs: one array per input, in the order of the model, borrowed until the next call.  outputs: room for all, each receives a view
 * that lives until the next call that takes the session.
 * BBW_E_ARG (count; field "detail"), BBW_E_ELEMENT_TYPE and BBW_E_SHAPE (fields "input", "expected", "got"): inputs that do not fit the declaration;
 * BBW_E_ONNX_INVALID, BBW_E_ELEMENT_TYPE, BBW_E_LIMIT with "node", "op_type", "detail": shapes or values that an operator refuses; BBW_E_NOMEM.
 * After an error the session can be used as before.
 */
bbw_status bbw_session_run(bbw_session *session, const bbw_array *inputs, size_t count, bbw_array *outputs,
                           bbw_error *err);

typedef struct bbw_session_stats {
  size_t constant_bytes; /* weights, in the form in which they are used; shared ones count in every session */
  size_t run_bytes;      /* results, scratch memory and plans that are held now */
  size_t run_bytes_peak;
  uint64_t parameter_count; /* elements of the initializers of the file */
  size_t node_count;        /* of the main graph, after simplification */
} bbw_session_stats;
bbw_session_stats bbw_session_stats_of(const bbw_session *session);

#endif
