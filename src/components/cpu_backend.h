/*
 * cpu_backend: the component "bytesandbrains::backends::cpu::CpuBackend", role Backend.
 *
 * Every operator of cpu_ops.h, and BackendSubgraph, which runs the graph in its attribute `body` with the caller's value names (cpu_graph.h).  No
 * configuration, no state.  Source: ops specification §5.8, §6.
 */
#ifndef BBW_COMPONENTS_CPU_BACKEND_H
#define BBW_COMPONENTS_CPU_BACKEND_H

#include "bbw/component.h"

extern const bbw_component_type bbw_cpu_backend_type;

#endif
