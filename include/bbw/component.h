/*
 * component: the parts that do the work behind role operators.
 *
 * A component type is a table of functions; a node constructs one instance per binding slot at install.  When a role operator fires, the engine calls
 * `dispatch` with a context from which the operator's name, inputs and attributes are read and to which outputs are given.  The answer is
 *   BBW_OK     outputs were set (an operator that declares outputs and sets none gets a Trigger on output 0)
 *   BBW_LATER  bbw_ctx_later() was called; the host or the component completes that command afterwards
 *   an error   after bbw_ctx_fail(), or a bare status; the operator fails, the node goes on
 * The context is valid until dispatch returns.  A component must not call bbw_node_* functions.
 */
#ifndef BBW_COMPONENT_H
#define BBW_COMPONENT_H

#include "bbw/peer_id.h"
#include "bbw/value.h"

typedef enum bbw_role {
#define ROLE(name, js, domain) BBW_ROLE_##name,
#include "bbw/roles.def"
#undef ROLE
  BBW_ROLE_COUNT
} bbw_role;

#define BBW_ROLE_BIT(role) (1u << (role))

bbw_str bbw_role_name(bbw_role role);                 /* "Index", ... */
bool bbw_role_from_name(bbw_str name, bbw_role *out); /* with or without the suffix "Runtime" */

/* Kinds of operator errors (engine specification §19). */
typedef enum bbw_op_error_kind {
  BBW_OP_TYPE_MISMATCH,
  BBW_OP_MISSING_SLOT,
  BBW_OP_NOT_REGISTERED,
  BBW_OP_EXECUTION_FAILED,
  BBW_OP_REMOTE_FAILED,
  BBW_OP_TIMEOUT,
  BBW_OP_BAD_INPUT,
  BBW_OP_COOLDOWN,
  BBW_OP_OTHER,
} bbw_op_error_kind;

typedef struct bbw_ctx bbw_ctx;
struct bbw_onnx_node; /* format/onnx.h */

/* What is called. */
bbw_role bbw_ctx_role(const bbw_ctx *ctx);
bbw_str bbw_ctx_op_type(const bbw_ctx *ctx);
size_t bbw_ctx_input_count(const bbw_ctx *ctx);
/* Input by position; NULL when absent or past the end.  Borrowed until dispatch returns; retain to keep it. */
bbw_value *bbw_ctx_input(const bbw_ctx *ctx, size_t index);
/* Attributes of the node; the return value says whether one of that name exists (first one wins; type tags are not checked). */
bool bbw_ctx_attr_i64(const bbw_ctx *ctx, const char *name, int64_t *out);
bool bbw_ctx_attr_f32(const bbw_ctx *ctx, const char *name, float *out);
bool bbw_ctx_attr_bytes(const bbw_ctx *ctx, const char *name, bbw_bytes *out);
bool bbw_ctx_attr_ints(const bbw_ctx *ctx, const char *name, const int64_t **items, size_t *count);

/* Outputs.  set takes over one reference of `value`; setting past the declared outputs releases it at once; setting twice replaces. */
size_t bbw_ctx_output_count(const bbw_ctx *ctx);
void bbw_ctx_set_output(bbw_ctx *ctx, size_t index, bbw_value *value);

/* Surroundings. */
const bbw_mem *bbw_ctx_mem(const bbw_ctx *ctx);
uint64_t bbw_ctx_now_ns(const bbw_ctx *ctx); /* the node's clock */
const bbw_peer_id *bbw_ctx_self_peer(const bbw_ctx *ctx);
const bbw_peer_id *bbw_ctx_src_peer(const bbw_ctx *ctx); /* who sent the envelope behind this execution; NULL if none */
uint64_t bbw_ctx_random(bbw_ctx *ctx);                   /* from the node's generator */
uint64_t bbw_ctx_table_seed(const bbw_ctx *ctx);         /* a secret of the node, for tables whose keys peers choose */
bool bbw_ctx_is_remote(const bbw_ctx *ctx); /* the operator was called by an envelope of src_peer, not by a graph */
bool bbw_ctx_is_allowed(const bbw_ctx *ctx, const bbw_peer_id *peer); /* by the block and the allow list */
/* Known peers other than this node, in the order in which they became known. */
size_t bbw_ctx_peer_count(const bbw_ctx *ctx);
const bbw_peer_id *bbw_ctx_peer(const bbw_ctx *ctx, size_t index);
/* The addresses of this node, and of a peer; borrowed until the book changes.  False when there are none. */
bool bbw_ctx_local_addresses(const bbw_ctx *ctx, const bbw_bytes **items, size_t *count);
bool bbw_ctx_peer_addresses(const bbw_ctx *ctx, const bbw_peer_id *peer, const bbw_bytes **items, size_t *count);
/*
 * One reference on a peer in the address book, for as long as a component lists it; release gives it back.  A peer that is new is learned with these addresses (binary, checked).  A known one
 * keeps its own, unless it is the peer's own word.  BBW_OK, or an error of the address book.
 */
bbw_status bbw_ctx_hold_peer(bbw_ctx *ctx, const bbw_peer_id *peer, const bbw_bytes *addresses, size_t count,
                             bool is_own_word);
void bbw_ctx_release_peer(bbw_ctx *ctx, const bbw_peer_id *peer);
/*
 * Queues an envelope for another node's protocol: one fill for /component/<number>/op/<op_type>, addressed to /p2p/<peer>.  BBW_OK, BBW_E_NOMEM, or the answer of bbw_ctx_fail when
 * the lists of this node forbid it.
 */
bbw_status bbw_ctx_send_control(bbw_ctx *ctx, const bbw_peer_id *peer, uint32_t number, bbw_str op_type,
                                bbw_bytes payload, uint64_t deadline_ns);

/* The instance bound at a slot name, if its type is `type_name`; NULL otherwise, or when it is the caller itself. */
void *bbw_ctx_dependency(const bbw_ctx *ctx, bbw_str slot, bbw_str type_name);

/* Announces an answer that comes later: opens a command and writes its id.  Dispatch must then return BBW_LATER.  On an error (the cap on parked
 * operators, memory) dispatch returns that error. */
bbw_status bbw_ctx_later(bbw_ctx *ctx, uint64_t *cmd_id);

/*
 * For components that work in slices (resumes, below): is this an operator that answered BBW_LATER before, and under which command; is a command still waited for; and is the host's time for this poll over.
 * A slice is what one call of dispatch does; without a time budget of the host the component bounds it itself.
 */
bool bbw_ctx_resumed(const bbw_ctx *ctx, uint64_t *cmd_id);
bool bbw_ctx_waits(const bbw_ctx *ctx, uint64_t cmd_id);
bool bbw_ctx_is_time_up(const bbw_ctx *ctx);
bool bbw_ctx_has_time_budget(const bbw_ctx *ctx);

/*
 * An event for the application; its topic is the text of an attribute of the operator, "name" or "progress".  Takes over one reference of `value` on BBW_OK; NULL: no bytes.  BBW_E_NOMEM, or the answer of
 * bbw_ctx_fail for a topic that is reserved.
 */
bbw_status bbw_ctx_emit(bbw_ctx *ctx, const char *attribute, bbw_value *value);

/* Records why the operator fails; detail is cut to 512 bytes at a character boundary.  Returns BBW_E_COMPONENT, to be returned from dispatch. */
bbw_status bbw_ctx_fail(bbw_ctx *ctx, bbw_op_error_kind kind, const char *reason, bbw_str detail);
/* The error of operator specification §4.4: TypeMismatch, reason input_type_mismatch, detail "input N expected `T`". */
bbw_status bbw_ctx_fail_input(bbw_ctx *ctx, size_t index, const char *expected);

/*
 * Input as a tensor, or NULL when absent or of no tensor type.  Accepts the three tensor carriers, and Bytes that hold an f32 TensorProto or the wire form of a
 * CpuTensor (host data arrives as Bytes).  A decoded value belongs to the context and lives until dispatch returns.
 */
const bbw_tensor *bbw_ctx_input_tensor(bbw_ctx *ctx, size_t index);

typedef struct bbw_dependency {
  bbw_role role;
  bbw_str slot;
} bbw_dependency;

/*
 * A component type.  The struct and what it points to must outlive every node that uses it.
 *   construct  makes an instance.  config is what the host gave for the slot; has_config says whether it gave anything.  Answers BBW_OK, BBW_E_NOMEM,
 *              BBW_E_INST_MISSING_CONFIG, BBW_E_INST_CONFIG_TYPE or BBW_E_INST_CONSTRUCTION (field "detail").
 *   destroy    frees it.
 *   dispatch   runs one role operator; see above.
 *   bootstrap  sets the instance up; runs when the host asks for it by slot or for all bootstraps, and answers like dispatch, later too.  The context has no inputs, outputs and
 *              attributes, and its role is BBW_ROLE_COUNT.  NULL: there is nothing to set up.
 *   cancel     nobody waits for this command any more: its deadline has passed, or the execution was ended; its completion would be refused.  It may free what works on it;
 *              it must not complete commands.  NULL: the component does not mind.
 *   resumes    what answered BBW_LATER is dispatched again in every poll, with the same inputs and under the same command, until it answers something else.  The node's limit for answers of the outside does not
 *              count for it, an own deadline does; bbw_node_next_timer says that it is due.
 *   supports   says whether an operator of a role has an implementation, so that install can list what is missing; NULL: everything.
 *   prepare    sees every operator that is bound to the instance, once, at install; the node lives as long as the instance.  What it cannot run is an error of install, with its
 *              own fields (an ONNX graph: BBW_E_ONNX_UNSUPPORTED with all that is missing).  NULL: there is nothing to prepare.
 *   save       appends the instance's state: allocates with mem, *out receives pointer and length (the caller frees with that length).
 *   restore    replaces the state; on an error the instance is as before.  BBW_E_RESTORE_COMPONENT for bytes that do not fit.
 * save and restore may be NULL for components without state.
 */
/*
 * Protocols are reached from outside by the place of their slot.  Nodes that do not know each other's slots use a number that both know beforehand: well_known is that number plus one, and counts
 * where the component at that place does not serve the operator.  0: there is none.
 */
typedef struct bbw_component_type {
  const char *type_name;
  uint32_t role_bits; /* BBW_ROLE_BIT(...) of every role it plays */
  bool is_framework;  /* package Framework, else Application */
  const bbw_dependency *dependencies;
  size_t dependency_count;
  uint32_t well_known;
  bool resumes;
  void *type_ctx; /* for the functions below; not touched by the engine */
  bbw_status (*construct)(void **self, const struct bbw_component_type *type, bool has_config, bbw_bytes config,
                          const bbw_mem *mem, bbw_error *err);
  void (*destroy)(void *self, const bbw_mem *mem);
  bbw_status (*dispatch)(void *self, bbw_ctx *ctx);
  bool (*supports)(const void *self, bbw_role role, bbw_str op_type);
  bbw_status (*save)(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len);
  bbw_status (*restore)(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err);
  void (*cancel)(void *self, uint64_t cmd_id);
  bbw_status (*bootstrap)(void *self, bbw_ctx *ctx);
  bbw_status (*prepare)(void *self, const struct bbw_onnx_node *node, bbw_error *err);
} bbw_component_type;

#endif
