/*
 * memory: the allocator that the engine uses inside wasm, with a cap.
 *
 * The cap makes running out of memory an error value before the module's memory grows past what the host allows.  The one counter of this file is the instance's, not a node's.
 */
#ifndef BBW_WASM_MEMORY_H
#define BBW_WASM_MEMORY_H

#include "bbw/base.h"

extern const bbw_mem bbw_wasm_mem;

void bbw_wasm_memory_set_max(size_t bytes); /* 0 = none */
size_t bbw_wasm_memory_used(void);

#endif
