/*
 * onnx_names: which value does a name of an ONNX graph mean, and in which order can its nodes run?
 *
 * Every initializer, the graph's input and every node output get a number.  Names are views into the graph.
 */
#ifndef BBW_AUTODIFF_ONNX_NAMES_H
#define BBW_AUTODIFF_ONNX_NAMES_H

#include "base/arena.h"
#include "base/map.h"
#include "bbw/error.h"
#include "format/onnx.h"

typedef struct bbw_onnx_names {
  bbw_map numbers;
  size_t count;                     /* numbers 0 .. count-1 are in use */
  const bbw_onnx_value_info *input; /* the one graph input that is no initializer */
  uint32_t input_value;             /* its number */
} bbw_onnx_names;

/*
 * *order receives the indices of all nodes, each behind those that make its inputs, otherwise in the order of the file; from the arena.
 * BBW_E_ONNX_INVALID with "value" or "node" and "detail": two values of one name, not exactly one input, an input that nothing makes, a cycle.
 * BBW_E_NOMEM.  On success the caller frees *names.
 */
bbw_status bbw_onnx_names_init(bbw_onnx_names *names, const bbw_onnx_graph *graph, const uint32_t **order,
                               bbw_arena *arena, bbw_error *err);
void bbw_onnx_names_free(bbw_onnx_names *names);

bool bbw_onnx_names_find(const bbw_onnx_names *names, bbw_str name, uint32_t *out);

/* What to call a node in a message: its name, or its first output. */
bbw_str bbw_onnx_node_label(const bbw_onnx_node *node);
/* "label: op_type" (with the domain in front of a foreign op_type), cut to fit. */
bbw_str bbw_onnx_node_describe(const bbw_onnx_node *node, char *text, size_t size);

#endif
