#include "compiler/readers.h"

#include "base/bytes.h"

typedef struct edge {
  size_t node;
  size_t next; /* place + 1; 0 = none */
} edge;

/* Marks the end of a walk; no place is that large. */
#define WALK_DONE SIZE_MAX

void bbw_ir_readers_init(bbw_ir_readers *readers, bbw_ir *ir) {
  bbw_map_init(&readers->last, 0x4ead, ir->mem);
  bbw_ir_list_init(&readers->edges, sizeof(edge));
}

void bbw_ir_readers_free(bbw_ir_readers *readers) { bbw_map_free(&readers->last); }

bbw_status bbw_ir_readers_build(bbw_ir_readers *readers, bbw_ir *ir, const bbw_ir_list *nodes) {
  for (size_t i = 0; i < nodes->count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(nodes, bbw_onnx_node, i);
    for (size_t k = 0; k < node->input.count; k++) {
      bbw_bytes name = bbw_str_bytes(bbw_ir_input(node, k));
      uint64_t before = 0;
      (void)bbw_map_get_bytes(&readers->last, name, &before);
      edge one = {.node = i, .next = (size_t)before};
      if (!bbw_ir_append(ir, &readers->edges, &one, 1)) { return BBW_E_NOMEM; }
      if (!bbw_map_put_bytes(&readers->last, name, readers->edges.count)) { return BBW_E_NOMEM; }
    }
  }
  return BBW_OK;
}

bool bbw_ir_readers_next(const bbw_ir_readers *readers, bbw_str name, size_t *at, size_t *node) {
  uint64_t first = 0;
  if (*at == 0 && bbw_map_get_bytes(&readers->last, bbw_str_bytes(name), &first)) { *at = (size_t)first; }
  if (*at == 0 || *at == WALK_DONE) { return false; }
  const edge *one = BBW_IR_AT(&readers->edges, edge, *at - 1);
  *node = one->node;
  *at = one->next == 0 ? WALK_DONE : one->next;
  return true;
}
