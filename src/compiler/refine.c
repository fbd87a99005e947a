/* refine: role outputs get the element type of the bound component (authoring specification §2.3).  All shipped components work on f32. */
#include "base/bytes.h"
#include "base/map.h"
#include "compiler/ir.h"

#define F32 BBW_STR(BBW_BB "tensor.f32")

static bbw_status find_binding(bbw_ir *ir, const bbw_onnx_node *node, bbw_role role, bbw_str trait) {
  size_t matches = 0;
  for (size_t i = 0; i < ir->options->binding_count; i++) { matches += ir->options->bindings[i].role == role; }
  if (matches == 1) { return BBW_OK; }
  bbw_status status = matches == 0 ? BBW_E_COMP_UNBOUND_SLOT : BBW_E_COMP_AMBIGUOUS_BINDING;
  bbw_ir_fail(ir, status, node, "role", trait);
  bbw_error_add_str(ir->err, "slot_id", bbw_ir_meta(node, BBW_BB "slot_id"));
  for (size_t i = 0; i < ir->options->binding_count; i++) {
    if (ir->options->bindings[i].role == role) {
      bbw_error_add_item(ir->err, "slot_names", ir->options->bindings[i].slot);
    }
  }
  return status;
}

/* Checks the slot metadata of a node; *is_typed: its outputs are tensors of the bound component. */
static bbw_status check_role(bbw_ir *ir, const bbw_onnx_node *node, bool *is_typed) {
  bool has_trait = bbw_ir_has_meta(node, BBW_BB "required_trait");
  bool has_slot = bbw_ir_has_meta(node, BBW_BB "slot_id");
  *is_typed = false;
  if (!has_trait && !has_slot) { return BBW_OK; }
  if (!has_trait) { return bbw_ir_fail(ir, BBW_E_COMP_SLOT_METADATA, node, "missing", BBW_STR("required_trait")); }
  bbw_str trait = bbw_ir_meta(node, BBW_BB "required_trait");
  bbw_role role;
  if (!bbw_role_from_name(trait, &role)) { return bbw_ir_fail(ir, BBW_E_COMP_SLOT_METADATA, node, "role", trait); }
  bbw_status rv = find_binding(ir, node, role, trait);
  if (rv != BBW_OK) { return rv; }
  uint64_t slot_id;
  bbw_str text = bbw_ir_meta(node, BBW_BB "slot_id");
  if (!bbw_parse_u64(text, &slot_id) || slot_id > UINT32_MAX) {
    return bbw_ir_fail(ir, BBW_E_COMP_SLOT_ID, node, "value", text);
  }
  *is_typed = role != BBW_ROLE_PEER_SELECTOR && role != BBW_ROLE_PROTOCOL;
  return BBW_OK;
}

static bool is_forwarding(const bbw_onnx_node *node) {
  return bbw_ir_is_send(node) || bbw_ir_is(node, BBW_STR(BBW_BB "syscall"), BBW_STR("PassThrough"));
}

static bool is_trigger(const bbw_ir_function *function, const bbw_map *infos, bbw_str name) {
  const bbw_onnx_value_info *info = bbw_ir_value_info(function, infos, name);
  return info != NULL && info->type != NULL && bbw_str_equal(info->type->denotation, BBW_STR("bb.trigger"));
}

static bbw_status refine_function(bbw_ir *ir, bbw_ir_function *function, const bbw_map *infos, bbw_map *refined) {
  for (size_t i = 0; i < function->nodes.count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&function->nodes, bbw_onnx_node, i);
    bool is_typed;
    bbw_status rv = check_role(ir, node, &is_typed);
    if (rv != BBW_OK) { return rv; }
    for (size_t k = 0; is_typed && k < node->output.count; k++) {
      bbw_str name = bbw_ir_output(node, k);
      if (is_trigger(function, infos, name)) { continue; }
      if (!bbw_map_put_bytes(refined, bbw_str_bytes(name), 1)) { return BBW_E_NOMEM; }
    }
  }
  /* Forwarding ops hand the type on.  Nodes are recorded in order, so one sweep reaches everything behind a producer. */
  for (size_t i = 0; i < function->nodes.count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&function->nodes, bbw_onnx_node, i);
    uint64_t seen;
    bool is_reached = is_forwarding(node) && bbw_map_get_bytes(refined, bbw_str_bytes(bbw_ir_input(node, 0)), &seen);
    if (is_reached && !bbw_map_put_bytes(refined, bbw_str_bytes(bbw_ir_output(node, 0)), 1)) { return BBW_E_NOMEM; }
  }
  for (size_t i = 0; i < function->value_info.count; i++) {
    bbw_onnx_value_info *info = BBW_IR_AT(&function->value_info, bbw_onnx_value_info, i);
    uint64_t seen;
    if (info->type == NULL || !bbw_map_get_bytes(refined, bbw_str_bytes(info->name), &seen)) { continue; }
    bbw_onnx_type *type = bbw_arena_array(ir->arena, 1, sizeof(*type));
    if (type == NULL) { return BBW_E_NOMEM; }
    *type = *info->type;
    type->denotation = F32;
    info->type = type;
  }
  return BBW_OK;
}

bbw_status bbw_pass_refine(bbw_ir *ir) {
  for (size_t i = 0; i < ir->functions.count; i++) {
    bbw_map refined; /* names belong to their function */
    bbw_map_init(&refined, 0x4ef1, ir->mem);
    bbw_map infos;
    bbw_map_init(&infos, 0x14f0, ir->mem);
    bbw_ir_function *function = BBW_IR_AT(&ir->functions, bbw_ir_function, i);
    bbw_status rv = bbw_ir_index_value_infos(function, &infos);
    if (rv == BBW_OK) { rv = refine_function(ir, function, &infos, &refined); }
    bbw_map_free(&infos);
    bbw_map_free(&refined);
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}
