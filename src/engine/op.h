/*
 * op: the interface between the engine and the stateless operators, and the context that all operators see.
 */
#ifndef BBW_ENGINE_OP_H
#define BBW_ENGINE_OP_H

#include "bbw/component.h"
#include "engine/frame.h"

#define BBW_OP_DETAIL_BYTES_MAX 512u

typedef struct bbw_component bbw_component;

typedef bbw_status bbw_op_run(bbw_ctx *ctx);

/* What came of a request.  The operator that waits for it runs once more, with this. */
typedef struct bbw_outcome {
  bbw_value *answer; /* NULL: there is none, for this reason: */
  bbw_op_error_kind kind;
  const char *reason;
  const bbw_peer_id *peer; /* who has answered, or could not be reached; NULL: nobody of those that were asked */
  uint64_t request_id;
  size_t charge; /* of the answer; 0 when the slot that holds the answer has taken it over */
} bbw_outcome;

/* A row of the operator table (src/ops/ops.def). */
typedef struct bbw_op_row {
  bbw_str domain;
  bbw_str op_type;
  bbw_readiness readiness;
  bool is_self_starting; /* runs once when the node is polled first (Interval) */
  bbw_op_run *run;
} bbw_op_row;

/*
 * The engine has one, which it uses again for every op.  The first part is set for each; the second is empty unless an op is resumed, waits or fails, which is_touched says: only then is there something to put
 * back.
 */
struct bbw_ctx {
  bbw_engine *engine;
  bbw_frame *frame; /* NULL for a call from the network to a protocol */
  const bbw_op *op; /* NULL likewise */
  uint32_t input_count;
  uint32_t output_count;
  bbw_value **inputs;  /* NULL entries are absent */
  bbw_value **outputs; /* NULL until set */
  const bbw_inbound *inbound;

  bool is_touched;
  bool is_later;
  bool is_resumed;       /* later already; cmd_id is its command */
  bool is_later_as;      /* under an id that the host was told before */
  bool is_out_of_memory; /* a helper without a status ran out of memory */
  bbw_role role;         /* of a call from the network */
  bbw_str op_type;       /* likewise */
  bbw_component *component;
  const bbw_outcome *outcome; /* NULL at first */
  uint64_t request_id;        /* it answers later, when this request has its outcome; 0: when the command has */
  uint64_t cmd_id;
  bbw_op_error_kind error_kind;
  const char *error_reason;
  size_t error_detail_len;
  char error_detail[BBW_OP_DETAIL_BYTES_MAX];
};

/* Place of the running op in its graph. */
static inline uint32_t bbw_ctx_op_index(const bbw_ctx *ctx) { return (uint32_t)(ctx->op - ctx->frame->graph->ops); }
/* The op_ref of the running op; 0 for a call from the network. */
uint64_t bbw_ctx_op_ref(const bbw_ctx *ctx);
const bbw_onnx_attribute *bbw_ctx_attribute(const bbw_ctx *ctx, const char *name);
bool bbw_ctx_metadata(const bbw_ctx *ctx, const char *key, bbw_str *value);
/* Value name of input k. */
bbw_str bbw_ctx_input_name(const bbw_ctx *ctx, size_t index);
/* First input whose value has that name; else the one at `fallback`, when it is not past the end. */
bbw_value *bbw_ctx_input_named(const bbw_ctx *ctx, const char *name, size_t fallback);
/* Sets output i to the shared Trigger. */
void bbw_ctx_set_trigger(bbw_ctx *ctx, size_t index);
/* The first present input, or NULL. */
static inline bbw_value *bbw_ctx_first_input(const bbw_ctx *ctx) {
  if (ctx->input_count == 0) { return NULL; }
  if (ctx->inputs[0] != NULL) { return ctx->inputs[0]; } /* nearly always */
  for (uint32_t i = 1; i < ctx->input_count; i++) {
    if (ctx->inputs[i] != NULL) { return ctx->inputs[i]; }
  }
  return NULL;
}
/* Output 0 = one more reference to a value; the last thing that an operator does which sets nothing else.  BBW_OK. */
static inline bbw_status bbw_ctx_forward(bbw_ctx *ctx, bbw_value *value) {
  if (ctx->output_count != 0) {
    value->refs++;
    ctx->outputs[0] = value;
  }
  return BBW_OK;
}

/* bbw_ctx_later() under an id that bbw_async_mint() gave. */
bbw_status bbw_ctx_later_as(bbw_ctx *ctx, uint64_t cmd_id);

bbw_str bbw_op_error_kind_name(bbw_op_error_kind kind);

#endif
