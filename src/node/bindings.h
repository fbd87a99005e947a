/*
 * bindings: which components do the targets of an artifact need?
 *
 * Reads the binding entries of the model's metadata and merges them over the targets by slot name (install specification §2.2, §4.5-4.6).
 */
#ifndef BBW_NODE_BINDINGS_H
#define BBW_NODE_BINDINGS_H

#include "base/vec.h"
#include "bbw/error.h"
#include "format/onnx.h"

typedef struct bbw_slot_binding {
  bbw_str target; /* the one that named the slot first */
  bbw_str slot;
  bbw_str type_name;
  bbw_str role;
  bool has_slot_id;
  uint32_t slot_id;
} bbw_slot_binding;

/* Appends the entries of `target` (its full name) to `bindings` (bbw_slot_binding).  BBW_E_INST_BINDING_TABLE (key, detail), BBW_E_NOMEM. */
bbw_status bbw_bindings_read(bbw_vec *bindings, const bbw_onnx_model *model, bbw_str target, bbw_error *err);
/* Merges in place: one entry per slot, in order of first sight, with the first slot id that is present.
 * BBW_E_INST_SLOT_CONFLICT (slot, conflicts "target type role"). */
bbw_status bbw_bindings_merge(bbw_vec *bindings, bbw_error *err);

#endif
