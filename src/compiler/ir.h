/*
 * ir: the form in which passes see a model.
 *
 * Functions with growable lists of nodes and value infos; texts are views into the input or arena memory.  Everything dies with the arena.
 */
#ifndef BBW_COMPILER_IR_H
#define BBW_COMPILER_IR_H

#include "base/arena.h"
#include "base/map.h"
#include "bbw/compiler.h"
#include "format/onnx.h"

/* Nodes that a model may grow to while calls are inlined. */
#define BBW_COMPILE_NODES_MAX 1000000u

#define BBW_BB "ai.bytesandbrains."

/* A growable array in arena memory. */
typedef struct bbw_ir_list {
  void *items;
  size_t count;
  size_t cap;
  size_t item_bytes;
} bbw_ir_list;

#define BBW_IR_AT(list, type, i) (&((type *)(list)->items)[i])

typedef struct bbw_ir_function {
  bbw_str name;
  bbw_str domain;
  bbw_str overload;
  bbw_ir_list inputs;     /* bbw_str */
  bbw_ir_list outputs;    /* bbw_str */
  bbw_ir_list attribute;  /* bbw_str */
  bbw_ir_list nodes;      /* bbw_onnx_node; their lists may be replaced, not changed in place */
  bbw_ir_list value_info; /* bbw_onnx_value_info */
  bbw_ir_list metadata;   /* bbw_onnx_entry */
} bbw_ir_function;

typedef struct bbw_ir {
  bbw_arena *arena;
  const bbw_mem *mem; /* for tables that a pass frees again */
  const bbw_compile_options *options;
  bbw_error *err;
  bbw_ir_list functions; /* bbw_ir_function; the root first */
  bbw_ir_list metadata;  /* bbw_onnx_entry of the model */
} bbw_ir;

bbw_status bbw_ir_load(bbw_ir *ir, const bbw_onnx_model *model);

/* Appends one zeroed element and returns it, or NULL. */
void *bbw_ir_push(bbw_ir *ir, bbw_ir_list *list);
void bbw_ir_list_init(bbw_ir_list *list, size_t item_bytes);
bool bbw_ir_append(bbw_ir *ir, bbw_ir_list *list, const void *items, size_t count);
static inline bbw_proto_list bbw_ir_proto(const bbw_ir_list *list) {
  return (bbw_proto_list){list->items, list->count};
}

/* The concatenation of up to three texts in arena memory; {NULL, 0} when memory runs out. */
bbw_str bbw_ir_text(bbw_ir *ir, bbw_str a, bbw_str b, bbw_str c);
bbw_str bbw_ir_number(bbw_ir *ir, uint64_t number);

bool bbw_ir_is(const bbw_onnx_node *node, bbw_str domain, bbw_str op_type);
bool bbw_ir_is_send(const bbw_onnx_node *node);
bool bbw_ir_is_recv(const bbw_onnx_node *node);
bbw_str bbw_ir_input(const bbw_onnx_node *node, size_t i);  /* empty past the end */
bbw_str bbw_ir_output(const bbw_onnx_node *node, size_t i); /* empty past the end */

/* Metadata of a node: value of a key (empty if absent), and adding one at the end or replacing its value. */
bbw_str bbw_ir_meta(const bbw_onnx_node *node, const char *key);
bool bbw_ir_has_meta(const bbw_onnx_node *node, const char *key);
bbw_status bbw_ir_set_meta(bbw_ir *ir, bbw_onnx_node *node, const char *key, bbw_str value);
/* An INT attribute, replaced or appended. */
bbw_status bbw_ir_set_int(bbw_ir *ir, bbw_onnx_node *node, bbw_str name, int64_t value);
bbw_status bbw_ir_set_bytes(bbw_ir *ir, bbw_onnx_node *node, bbw_str name, bbw_bytes value);

/* Replaces input or output i. */
bbw_status bbw_ir_rename(bbw_ir *ir, bbw_proto_list *names, size_t i, bbw_str name);
bbw_status bbw_ir_add_name(bbw_ir *ir, bbw_proto_list *names, bbw_str name);
/* Replaces `from` by `to` among the inputs of a node. */
bbw_status bbw_ir_replace_input(bbw_ir *ir, bbw_onnx_node *node, bbw_str from, bbw_str to);

/* A new node with one input and one output, appended to a list of nodes. */
bbw_onnx_node *bbw_ir_add_node(bbw_ir *ir, bbw_ir_list *nodes, bbw_str domain, bbw_str op_type, bbw_str name);

/* Fills an empty map: name -> index of the first value info of that name. */
bbw_status bbw_ir_index_value_infos(const bbw_ir_function *function, bbw_map *index);
/* By such an index; NULL if there is none. */
const bbw_onnx_value_info *bbw_ir_value_info(const bbw_ir_function *function, const bbw_map *index, bbw_str name);

/* Fails with fields that say where: module, op_type, node (its index as text) and the given one. */
bbw_status bbw_ir_fail(bbw_ir *ir, bbw_status status, const bbw_onnx_node *node, const char *field, bbw_str value);

/* The passes, in the order in which they run (authoring specification §2.2). */
bbw_status bbw_pass_refine(bbw_ir *ir);
bbw_status bbw_pass_inline(bbw_ir *ir);
bbw_status bbw_pass_derive_deadlines(bbw_ir *ir);
bbw_status bbw_pass_validate(bbw_ir *ir);
bbw_status bbw_pass_expand(bbw_ir *ir);
bbw_status bbw_pass_types(bbw_ir *ir);
bbw_status bbw_pass_peer_classes(bbw_ir *ir);
bbw_status bbw_pass_synthesize_recvs(bbw_ir *ir);

/* One target to be: the nodes of one peer class. */
typedef struct bbw_ir_partition {
  bbw_str peer_class;
  bbw_str name;      /* with hash, once bbw_pass_name has run */
  bbw_ir_list nodes; /* bbw_onnx_node */
} bbw_ir_partition;

/* Fills `partitions` (bbw_ir_partition), ascending by class. */
bbw_status bbw_pass_partition(bbw_ir *ir, bbw_ir_list *partitions);
bbw_status bbw_pass_gates(bbw_ir *ir, bbw_ir_partition *partition);
bbw_status bbw_pass_deadline_gates(bbw_ir *ir, bbw_ir_partition *partition);
bbw_status bbw_pass_name(bbw_ir *ir, bbw_ir_partition *partition);
bbw_status bbw_pass_route(bbw_ir *ir, bbw_ir_list *partitions);
bbw_status bbw_pass_stamp(bbw_ir *ir, const bbw_ir_partition *partition);

#endif
