/*
 * cpu_session: standard ONNX operators and graphs for the CPU backend.
 *
 * What travels between operators is f32 (CpuTensor), so that every node can read it; a graph may compute with any type.  Inputs are converted to the type
 * that the graph declares or the operator wants (whole numbers towards zero, truth from anything but zero), results to f32.  Every node of an artifact keeps its session:
 * its weights are packed once and its plans are kept.
 */
#ifndef BBW_COMPONENTS_CPU_SESSION_H
#define BBW_COMPONENTS_CPU_SESSION_H

#include "base/vec.h"
#include "bbw/value.h"
#include "format/onnx.h"

/* The opset by which operators and subgraphs are read, when an attribute `opset` does not say another. */
#define BBW_CPU_OPSET 21

typedef struct bbw_cpu_sessions {
  const bbw_mem *mem;
  bbw_vec entries; /* node and session */
} bbw_cpu_sessions;

void bbw_cpu_sessions_init(bbw_cpu_sessions *sessions, const bbw_mem *mem);
void bbw_cpu_sessions_free(bbw_cpu_sessions *sessions); /* safe on a zeroed one */

/* Is there such an operator in the table of ONNX operators? */
bool bbw_cpu_session_knows(bbw_str op_type);

/* Loads the node's graph or operator ahead of its first run.  BBW_OK or a status of bbw_session_new with err filled. */
bbw_status bbw_cpu_session_prepare(bbw_cpu_sessions *sessions, const bbw_onnx_node *node, bbw_error *err);

/*
 * Runs the node: an operator, or the graph in its attribute `body`.  inputs[i] is a tensor or NULL; names[i] is the caller's name of it, by which the inputs of a graph are found,
 * else by position.  outputs has room for `count` values, each is set to a reference or left NULL.
 * BBW_OK, BBW_E_NOMEM, or any status of bbw_session_run with err filled.
 */
bbw_status bbw_cpu_session_run(bbw_cpu_sessions *sessions, const bbw_onnx_node *node, bbw_value *const *inputs,
                               const bbw_str *names, size_t input_count, bbw_value **outputs, size_t output_count,
                               bbw_error *err);

#endif
