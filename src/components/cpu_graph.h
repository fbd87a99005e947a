/*
 * cpu_graph: runs a whole ONNX graph on the CPU backend.
 *
 * Nodes run in the order of the graph, which has to be one in which inputs are ready.  Initializers are values from the start, unless the
 * caller gives a value of that name.  A value is freed after its last use.  Source: ops specification §6.3.
 */
#ifndef BBW_COMPONENTS_CPU_GRAPH_H
#define BBW_COMPONENTS_CPU_GRAPH_H

#include "components/cpu_ops.h"

#define BBW_CPU_GRAPH_DETAIL_MAX 256u

typedef struct bbw_cpu_graph_error {
  bbw_status status;
  size_t detail_len;
  char detail[BBW_CPU_GRAPH_DETAIL_MAX];
} bbw_cpu_graph_error;

/*
 * names[i] is the name of values[i] (a tensor; borrowed).  outputs has room for graph->output.count values, in that order; each is set to a reference, or to
 * NULL where the graph does not make it.  BBW_OK, BBW_E_NOMEM, or BBW_E_ARG / BBW_E_UNSUPPORTED with err filled; then no output is set.
 */
bbw_status bbw_cpu_graph_run(const bbw_onnx_graph *graph, const bbw_str *names, bbw_value *const *values, size_t count,
                             bbw_value **outputs, const bbw_mem *mem, bbw_cpu_graph_error *err);

#endif
