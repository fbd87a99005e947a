/* validate: what every root function must satisfy, expansion of defaults, and concrete types (authoring specification §2.7-2.9). */
#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"
#include "compiler/ir.h"

#define INTERVAL_DEFAULT_NS 1000000000

static bbw_ir_function *root_of(bbw_ir *ir) { return BBW_IR_AT(&ir->functions, bbw_ir_function, 0); }

static bool is_domain(bbw_str domain, bbw_str prefix) {
  return bbw_str_starts_with(domain, prefix) && (domain.len == prefix.len || domain.ptr[prefix.len] == '.');
}

static bbw_status check_domains(bbw_ir *ir, const bbw_ir_function *root) {
  for (size_t i = 0; i < root->nodes.count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&root->nodes, bbw_onnx_node, i);
    if (node->op_type.len == 0) { return bbw_ir_fail(ir, BBW_E_COMP_INTERNAL, node, "missing", BBW_STR("op_type")); }
    bool is_known = is_domain(node->domain, BBW_STR("ai.bytesandbrains")) ||
                    is_domain(node->domain, BBW_STR("ai.onnx"));
    if (!is_known) { return bbw_ir_fail(ir, BBW_E_COMP_UNKNOWN_OP, node, NULL, BBW_STR("")); }
    bool is_role = bbw_str_starts_with(node->domain, BBW_STR(BBW_BB "role."));
    bool is_concrete = bbw_ir_has_meta(node, BBW_BB "concrete_type") && bbw_ir_has_meta(node, BBW_BB "instance");
    bool is_generic = bbw_ir_has_meta(node, BBW_BB "required_trait") && bbw_ir_has_meta(node, BBW_BB "slot_id");
    if (is_role && !is_concrete && !is_generic) {
      return bbw_ir_fail(ir, BBW_E_COMP_SLOT_METADATA, node, "missing", BBW_STR("slot metadata"));
    }
  }
  return BBW_OK;
}

/* name -> index of its producer + 1; 0 stands for a graph input. */
static bbw_status index_producers(bbw_ir *ir, const bbw_ir_function *root, const bbw_map *infos, bbw_map *producers) {
  for (size_t i = 0; i < root->inputs.count; i++) {
    bbw_str name = *BBW_IR_AT(&root->inputs, bbw_str, i);
    if (!bbw_map_put_bytes(producers, bbw_str_bytes(name), 0)) { return BBW_E_NOMEM; }
    const bbw_onnx_value_info *info = bbw_ir_value_info(root, infos, name);
    if (info == NULL || info->type == NULL) {
      return bbw_ir_fail(ir, BBW_E_COMP_MISSING_TYPE, NULL, "input_name", name);
    }
  }
  for (size_t i = 0; i < root->nodes.count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&root->nodes, bbw_onnx_node, i);
    for (size_t k = 0; k < node->output.count; k++) {
      bbw_str name = bbw_ir_output(node, k);
      uint64_t other;
      if (name.len == 0) { continue; }
      if (bbw_map_get_bytes(producers, bbw_str_bytes(name), &other) && other != 0) {
        return bbw_ir_fail(ir, BBW_E_COMP_DUPLICATE_OUTPUT, node, "value_name", name);
      }
      if (!bbw_map_put_bytes(producers, bbw_str_bytes(name), i + 1)) { return BBW_E_NOMEM; }
    }
  }
  return BBW_OK;
}

static bbw_status check_inputs(bbw_ir *ir, const bbw_ir_function *root, const bbw_map *producers) {
  for (size_t i = 0; i < root->nodes.count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&root->nodes, bbw_onnx_node, i);
    for (size_t k = 0; k < node->input.count; k++) {
      bbw_str name = bbw_ir_input(node, k);
      uint64_t producer;
      if (name.len != 0 && !bbw_map_get_bytes(producers, bbw_str_bytes(name), &producer)) {
        return bbw_ir_fail(ir, BBW_E_COMP_DANGLING_INPUT, node, "input_name", name);
      }
    }
  }
  return BBW_OK;
}

/* Kahn's algorithm over producers; what is left over lies on a cycle or behind one. */
static bbw_status check_cycles(bbw_ir *ir, const bbw_ir_function *root, const bbw_map *producers) {
  size_t count = root->nodes.count;
  uint32_t *missing = bbw_mem_array(ir->mem, count + 1, sizeof(*missing));
  size_t edges = 0;
  for (size_t i = 0; i < count; i++) { edges += BBW_IR_AT(&root->nodes, bbw_onnx_node, i)->input.count; }
  size_t *next = bbw_mem_array(ir->mem, edges + 1, sizeof(*next));
  size_t *consumer = bbw_mem_array(ir->mem, edges + 1, sizeof(*consumer));
  size_t *first = bbw_mem_array(ir->mem, count + 1, sizeof(*first));
  size_t *queue = bbw_mem_array(ir->mem, count + 1, sizeof(*queue));
  bool ok = missing != NULL && next != NULL && consumer != NULL && first != NULL && queue != NULL;
  size_t edge = 0;
  for (size_t i = 0; ok && i < count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&root->nodes, bbw_onnx_node, i);
    for (size_t k = 0; k < node->input.count; k++) {
      uint64_t producer = 0;
      bool is_found = bbw_map_get_bytes(producers, bbw_str_bytes(bbw_ir_input(node, k)), &producer);
      if (!is_found || producer == 0 || producer == i + 1) { continue; }
      edge++;
      consumer[edge] = i;
      next[edge] = first[producer - 1];
      first[producer - 1] = edge;
      missing[i]++;
    }
  }
  size_t queued = 0;
  for (size_t i = 0; ok && i < count; i++) {
    if (missing[i] == 0) { queue[queued++] = i; }
  }
  for (size_t done = 0; ok && done < queued; done++) {
    for (size_t e = first[queue[done]]; e != 0; e = next[e]) {
      if (--missing[consumer[e]] == 0) { queue[queued++] = consumer[e]; }
    }
  }
  bbw_status rv = ok ? BBW_OK : BBW_E_NOMEM;
  if (ok && queued != count) {
    for (size_t i = 0; i < count; i++) {
      if (missing[i] == 0) { continue; }
      rv = bbw_ir_fail(ir, BBW_E_COMP_CYCLE, BBW_IR_AT(&root->nodes, bbw_onnx_node, i), NULL, BBW_STR(""));
      break;
    }
    for (size_t i = 0; i < count; i++) {
      if (missing[i] != 0) {
        bbw_error_add_item(ir->err, "involves", bbw_ir_output(BBW_IR_AT(&root->nodes, bbw_onnx_node, i), 0));
      }
    }
  }
  bbw_mem_array_free(ir->mem, missing, count + 1, sizeof(*missing));
  bbw_mem_array_free(ir->mem, next, edges + 1, sizeof(*next));
  bbw_mem_array_free(ir->mem, consumer, edges + 1, sizeof(*consumer));
  bbw_mem_array_free(ir->mem, first, count + 1, sizeof(*first));
  bbw_mem_array_free(ir->mem, queue, count + 1, sizeof(*queue));
  return rv;
}

bbw_status bbw_pass_validate(bbw_ir *ir) {
  const bbw_ir_function *root = root_of(ir);
  bbw_status rv = check_domains(ir, root);
  if (rv != BBW_OK) { return rv; }
  bbw_map producers;
  bbw_map_init(&producers, 0x960d, ir->mem);
  bbw_map infos;
  bbw_map_init(&infos, 0x14f1, ir->mem);
  rv = bbw_ir_index_value_infos(root, &infos);
  if (rv == BBW_OK) { rv = index_producers(ir, root, &infos, &producers); }
  bbw_map_free(&infos);
  if (rv == BBW_OK) { rv = check_inputs(ir, root, &producers); }
  if (rv == BBW_OK) { rv = check_cycles(ir, root, &producers); }
  bbw_map_free(&producers);
  return rv;
}

bbw_status bbw_pass_expand(bbw_ir *ir) {
  const bbw_ir_function *root = root_of(ir);
  for (size_t i = 0; i < root->nodes.count; i++) {
    bbw_onnx_node *node = BBW_IR_AT(&root->nodes, bbw_onnx_node, i);
    bool is_interval = bbw_ir_is(node, BBW_STR(BBW_BB "syscall"), BBW_STR("Interval"));
    bool is_constant = bbw_ir_is(node, BBW_STR(BBW_BB "syscall"), BBW_STR("Constant"));
    if ((!is_interval && !is_constant) || bbw_ir_has_meta(node, BBW_BB "expanded")) { continue; }
    const bbw_onnx_attribute *value = bbw_onnx_attribute_find(node, BBW_STR("value"));
    bool is_bad = is_constant && (value == NULL || value->type != BBW_ONNX_ATTR_TENSOR || value->t == NULL);
    if (is_bad) {
      return bbw_ir_fail(ir, BBW_E_COMP_EXPANSION, node, "reason", BBW_STR("attribute `value` is not a tensor"));
    }
    bbw_status rv = BBW_OK;
    bool has_period = bbw_onnx_attribute_find(node, BBW_STR("period_ns")) != NULL;
    if (is_interval && !has_period) { rv = bbw_ir_set_int(ir, node, BBW_STR("period_ns"), INTERVAL_DEFAULT_NS); }
    if (rv == BBW_OK) { rv = bbw_ir_set_meta(ir, node, BBW_BB "expanded", BBW_STR("true")); }
    if (rv != BBW_OK) { return rv; }
  }
  return BBW_OK;
}

static bool is_concrete(bbw_str denotation) {
  static const char *const suffixes[] = {"f32", "f64", "f16", "u8",  "i32", "bool", "bf16",
                                         "i8",  "i16", "i64", "u16", "u32", "u64"};
  static const bbw_str others[] = {
      {"bb.f32", 6},
      {"bb.f64", 6},
      {"bb.f16", 6},
      {"bb.u8", 5},
      {"bb.i32", 6},
      {"bb.peer_id", 10},
      {"bb.peer_id_vec", 14},
      {"bb.trigger", 10},
      {"bb.wire_req_id", 14},
      {BBW_BB "opaque", sizeof(BBW_BB "opaque") - 1},
      {BBW_BB "multiaddress", sizeof(BBW_BB "multiaddress") - 1},
      {BBW_BB "address_vec", sizeof(BBW_BB "address_vec") - 1},
      {BBW_BB "composite", sizeof(BBW_BB "composite") - 1},
  };
  bbw_str prefix = BBW_STR(BBW_BB "tensor.");
  if (bbw_str_starts_with(denotation, prefix)) {
    bbw_str suffix = {denotation.ptr + prefix.len, denotation.len - prefix.len};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
      if (bbw_str_equal(suffix, (bbw_str){suffixes[i], strlen(suffixes[i])})) { return true; }
    }
    return false;
  }
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
    if (bbw_str_equal(denotation, others[i])) { return true; }
  }
  return false;
}

static bbw_status check_types(bbw_ir *ir, const bbw_ir_function *root, const bbw_map *typed) {
  for (size_t i = 0; i < root->nodes.count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&root->nodes, bbw_onnx_node, i);
    for (size_t k = 0; k < node->input.count + node->output.count; k++) {
      bbw_str name = k < node->input.count ? bbw_ir_input(node, k) : bbw_ir_output(node, k - node->input.count);
      uint64_t seen;
      if (name.len == 0 || bbw_map_get_bytes(typed, bbw_str_bytes(name), &seen)) { continue; }
      return bbw_ir_fail(ir, BBW_E_COMP_UNRESOLVED_TYPE, node, "value", name);
    }
  }
  return BBW_OK;
}

bbw_status bbw_pass_types(bbw_ir *ir) {
  if (ir->options->is_permissive_types) { return BBW_OK; }
  const bbw_ir_function *root = root_of(ir);
  bbw_map typed;
  bbw_map_init(&typed, 0x7e9d, ir->mem);
  bbw_status rv = BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < root->value_info.count; i++) {
    const bbw_onnx_value_info *info = BBW_IR_AT(&root->value_info, bbw_onnx_value_info, i);
    bool is_known = info->type != NULL && is_concrete(info->type->denotation);
    if (is_known && !bbw_map_put_bytes(&typed, bbw_str_bytes(info->name), 1)) { rv = BBW_E_NOMEM; }
  }
  if (rv == BBW_OK) { rv = check_types(ir, root, &typed); }
  bbw_map_free(&typed);
  return rv;
}
