/* stamp: the passport and the binding table of a target (authoring specification §2.20). */
#include "base/bytes.h"
#include "compiler/ir.h"

/* The slot id of the first node of a role, empty if there is none. */
static bbw_str slot_id_of(const bbw_ir_list *nodes, bbw_role role) {
  for (size_t i = 0; i < nodes->count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(nodes, bbw_onnx_node, i);
    bbw_role of_node;
    uint64_t slot_id;
    bbw_str text = bbw_ir_meta(node, BBW_BB "slot_id");
    bool is_role = bbw_role_from_name(bbw_ir_meta(node, BBW_BB "required_trait"), &of_node) && of_node == role;
    if (is_role && bbw_parse_u64(text, &slot_id)) { return text; }
  }
  return (bbw_str){NULL, 0};
}

static bbw_status put_metadata(bbw_ir *ir, bbw_str key, bbw_str value) {
  if (key.ptr == NULL || value.ptr == NULL) { return BBW_E_NOMEM; }
  bbw_onnx_entry *entry = bbw_ir_push(ir, &ir->metadata);
  if (entry == NULL) { return BBW_E_NOMEM; }
  *entry = (bbw_onnx_entry){.key = key, .value = value};
  return BBW_OK;
}

bbw_status bbw_pass_stamp(bbw_ir *ir, const bbw_ir_partition *partition) {
  bbw_status rv = put_metadata(ir, BBW_STR(BBW_BB "compiled"), BBW_STR("v1"));
  for (size_t i = 0; rv == BBW_OK && i < ir->options->binding_count; i++) {
    const bbw_binding *binding = &ir->options->bindings[i];
    if (binding->type_name.len != 0 && memchr(binding->type_name.ptr, '|', binding->type_name.len) != NULL) {
      return bbw_ir_fail(ir, BBW_E_COMP_INTERNAL, NULL, "type_name_with_bar", binding->type_name);
    }
    bbw_str slot_id = slot_id_of(&partition->nodes, binding->role);
    for (size_t f = 1; slot_id.len == 0 && f < ir->functions.count; f++) {
      slot_id = slot_id_of(&BBW_IR_AT(&ir->functions, bbw_ir_function, f)->nodes, binding->role);
    }
    if (slot_id.len == 0) { slot_id = BBW_STR("-1"); }
    bbw_str target = bbw_ir_text(ir, BBW_STR(BBW_BB "binding."), partition->name, BBW_STR("."));
    bbw_str role = bbw_ir_text(ir, bbw_role_name(binding->role), BBW_STR("|"), binding->type_name);
    rv = put_metadata(ir, bbw_ir_text(ir, target, binding->slot, BBW_STR("")),
                      bbw_ir_text(ir, role, BBW_STR("|"), slot_id));
  }
  return rv;
}
