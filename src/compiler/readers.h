/*
 * readers: which nodes read a value?
 *
 * An index over a list of nodes, made when a pass begins.  Names that the pass changes afterwards are not followed: a node that it gives may no longer read the value.
 */
#ifndef BBW_COMPILER_READERS_H
#define BBW_COMPILER_READERS_H

#include "base/map.h"
#include "compiler/ir.h"

typedef struct bbw_ir_readers {
  bbw_map last;      /* name -> place in edges + 1 */
  bbw_ir_list edges; /* each points to an earlier one of the same name */
} bbw_ir_readers;

/* Empty; free is safe afterwards whatever build answers. */
void bbw_ir_readers_init(bbw_ir_readers *readers, bbw_ir *ir);
void bbw_ir_readers_free(bbw_ir_readers *readers);
bbw_status bbw_ir_readers_build(bbw_ir_readers *readers, bbw_ir *ir, const bbw_ir_list *nodes);

/* Walks the readers of a name: *at starts with 0; false at the end.  A node that reads it twice may come twice. */
bool bbw_ir_readers_next(const bbw_ir_readers *readers, bbw_str name, size_t *at, size_t *node);

#endif
