/* compile: the passes in their order, and the artifact they make (authoring specification §2.2, §2.21). */
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "compiler/ir.h"

/* The version of the recorded form that these passes understand. */
#define IR_VERSION 1u

static bbw_status check_bindings(bbw_ir *ir) {
  for (size_t i = 0; i < ir->options->binding_count; i++) {
    for (size_t k = 0; k < i; k++) {
      if (!bbw_str_equal(ir->options->bindings[i].slot, ir->options->bindings[k].slot)) { continue; }
      return bbw_ir_fail(ir, BBW_E_COMP_AMBIGUOUS_BINDING, NULL, "slot", ir->options->bindings[i].slot);
    }
  }
  return BBW_OK;
}

static bbw_status run_passes(bbw_ir *ir, bbw_ir_list *partitions) {
  bbw_status rv = ir->functions.count == 0 ? bbw_error_set(ir->err, BBW_E_COMP_EMPTY_FUNCTION_TABLE)
                                           : check_bindings(ir);
  if (rv == BBW_OK) { rv = bbw_pass_refine(ir); }
  if (rv == BBW_OK) { rv = bbw_pass_inline(ir); }
  if (rv == BBW_OK) { rv = bbw_pass_derive_deadlines(ir); }
  if (rv == BBW_OK) { rv = bbw_pass_validate(ir); }
  if (rv == BBW_OK) { rv = bbw_pass_expand(ir); }
  if (rv == BBW_OK) { rv = bbw_pass_types(ir); }
  if (rv == BBW_OK) { rv = bbw_pass_peer_classes(ir); }
  if (rv == BBW_OK) { rv = bbw_pass_synthesize_recvs(ir); }
  if (rv == BBW_OK) { rv = bbw_pass_partition(ir, partitions); }
  for (size_t p = 0; rv == BBW_OK && p < partitions->count; p++) {
    bbw_ir_partition *partition = BBW_IR_AT(partitions, bbw_ir_partition, p);
    rv = bbw_pass_gates(ir, partition);
    if (rv == BBW_OK) { rv = bbw_pass_deadline_gates(ir, partition); }
    if (rv == BBW_OK) { rv = bbw_pass_name(ir, partition); }
  }
  if (rv == BBW_OK && partitions->count == 0) {
    rv = bbw_ir_fail(ir, BBW_E_COMP_INTERNAL, NULL, "missing", BBW_STR("nodes"));
  }
  /* Names are fixed now; a route is an attribute value, which no name depends on. */
  if (rv == BBW_OK) { rv = bbw_pass_route(ir, partitions); }
  for (size_t p = 0; rv == BBW_OK && p < partitions->count; p++) {
    rv = bbw_pass_stamp(ir, BBW_IR_AT(partitions, bbw_ir_partition, p));
  }
  return rv;
}

static bbw_onnx_function to_function(const bbw_ir_function *from, bbw_str name, const bbw_ir_list *nodes) {
  return (bbw_onnx_function){
      .name = name,
      .input = bbw_ir_proto(&from->inputs),
      .output = bbw_ir_proto(&from->outputs),
      .attribute = bbw_ir_proto(&from->attribute),
      .node = bbw_ir_proto(nodes),
      .domain = from->domain,
      .value_info = bbw_ir_proto(&from->value_info),
      .overload = from->overload,
      .metadata_props = bbw_ir_proto(&from->metadata),
  };
}

/* Targets in order of their class, then every shared function once. */
static bbw_status merge(bbw_ir *ir, const bbw_ir_list *partitions, bbw_bytes *out) {
  bbw_ir_list functions;
  bbw_ir_list_init(&functions, sizeof(bbw_onnx_function));
  const bbw_ir_function *root = BBW_IR_AT(&ir->functions, bbw_ir_function, 0);
  for (size_t p = 0; p < partitions->count; p++) {
    const bbw_ir_partition *partition = BBW_IR_AT(partitions, bbw_ir_partition, p);
    bbw_onnx_function function = to_function(root, partition->name, &partition->nodes);
    for (size_t k = 0; k < functions.count; k++) {
      bool is_taken = bbw_str_equal(BBW_IR_AT(&functions, bbw_onnx_function, k)->name, function.name);
      if (is_taken) { return bbw_ir_fail(ir, BBW_E_COMP_INTERNAL, NULL, "duplicate_function", function.name); }
    }
    if (!bbw_ir_append(ir, &functions, &function, 1)) { return BBW_E_NOMEM; }
  }
  for (size_t f = 1; f < ir->functions.count; f++) {
    const bbw_ir_function *shared = BBW_IR_AT(&ir->functions, bbw_ir_function, f);
    bbw_onnx_function function = to_function(shared, shared->name, &shared->nodes);
    if (!bbw_ir_append(ir, &functions, &function, 1)) { return BBW_E_NOMEM; }
  }
  bbw_onnx_model model = {.metadata_props = bbw_ir_proto(&ir->metadata), .functions = bbw_ir_proto(&functions)};
  return bbw_proto_encode(out, &model, &bbw_onnx_model_type, ir->arena);
}

/* The version that a recorder stamped, if it stamped one. */
static bbw_status check_version(bbw_ir *ir, const bbw_onnx_model *model) {
  bbw_str text;
  uint64_t version;
  if (!bbw_onnx_entry_find(&model->metadata_props, BBW_STR(BBW_BB "ir_version"), &text) ||
      !bbw_parse_u64(text, &version)) {
    return BBW_OK;
  }
  if (version == IR_VERSION) { return BBW_OK; }
  bbw_error_set(ir->err, BBW_E_COMP_IR_VERSION);
  bbw_error_add_u64(ir->err, "expected", IR_VERSION);
  bbw_error_add_u64(ir->err, "got", version);
  return BBW_E_COMP_IR_VERSION;
}

static bbw_status compile(bbw_ir *ir, bbw_bytes bytes, bbw_bytes *out) {
  bbw_onnx_model model;
  bbw_status rv = bbw_onnx_model_decode(&model, bytes, ir->arena, ir->err);
  if (rv == BBW_OK) { rv = check_version(ir, &model); }
  if (rv == BBW_OK) { rv = bbw_ir_load(ir, &model); }
  bbw_ir_list partitions;
  if (rv == BBW_OK) { rv = run_passes(ir, &partitions); }
  return rv == BBW_OK ? merge(ir, &partitions, out) : rv;
}

bbw_status bbw_compile(uint8_t **out, size_t *len, bbw_bytes model, const bbw_compile_options *options,
                       const bbw_mem *mem, bbw_error *err) {
  bbw_arena arena;
  bbw_arena_init(&arena, mem);
  bbw_error_set(err, BBW_OK);
  bbw_ir ir = {.arena = &arena, .mem = mem, .options = options, .err = err};
  bbw_bytes encoded = {NULL, 0};
  bbw_status rv = compile(&ir, model, &encoded);
  if (rv == BBW_OK) {
    uint8_t *copy = bbw_mem_array(mem, encoded.len, 1);
    if (copy == NULL) {
      rv = BBW_E_NOMEM;
    } else {
      memcpy(copy, encoded.ptr, encoded.len);
      *out = copy;
      *len = encoded.len;
    }
  }
  bbw_arena_free(&arena);
  return rv == BBW_E_NOMEM ? bbw_error_set(err, rv) : rv;
}
