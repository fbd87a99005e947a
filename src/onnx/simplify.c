/* Folding of constants, removal of what nobody reads, packing of weights. */
#include <string.h>

#include "base/mem.h"
#include "onnx/program.h"

static bool is_used(const bbw_body *body, uint32_t v) {
  return v != BBW_VALUE_NONE && bbw_body_value_at(body, v)->readers > 0;
}

/* All inputs are constants whose data is there. */
static bool is_constant(const bbw_body *body, const bbw_op_node *node) {
  if (node->op->flags & (BBW_OP_NOT_FOLDED | BBW_OP_RUNS_GRAPHS)) { return false; }
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] == BBW_VALUE_NONE) { continue; }
    const bbw_constant *constant = bbw_body_value_at(body, node->inputs[i])->constant;
    if (constant == NULL || (!bbw_constant_is_there(constant) && constant->array.count > 0)) { return false; }
  }
  return true;
}

/* Runs a node over constants; its outputs become constants.  *is_done is false when it is left for the run. */
static bbw_status fold_node(bbw_program *program, bbw_body *body, bbw_op_node *node, bbw_arena *scratch, bool *is_done,
                            bbw_error *err) {
  *is_done = false;
  const bbw_array **inputs = bbw_arena_array(scratch, node->input_count, sizeof *inputs);
  bbw_array *made = bbw_arena_array(scratch, node->output_count, sizeof *made);
  bbw_array **outputs = bbw_arena_array(scratch, node->output_count, sizeof *outputs);
  bbw_constant **constants = bbw_arena_array(scratch, node->output_count, sizeof *constants);
  if (inputs == NULL || made == NULL || outputs == NULL || constants == NULL) {
    return bbw_error_set(err, BBW_E_NOMEM);
  }
  size_t bytes = BBW_ONNX_FOLD_BYTES_MAX;
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] == BBW_VALUE_NONE) { continue; }
    bbw_constant *constant = bbw_body_value_at(body, node->inputs[i])->constant;
    BBW_TRY(bbw_program_settle(program, constant, err));
    inputs[i] = &constant->array;
    bytes += bbw_array_bytes(inputs[i]);
  }
  for (uint32_t i = 0; i < node->output_count; i++) {
    outputs[i] = i == 0 || is_used(body, node->outputs[i]) ? &made[i] : NULL;
  }
  bbw_call call = {.op = node->op,
                   .params = node->params,
                   .inputs = inputs,
                   .input_count = node->input_count,
                   .outputs = outputs,
                   .output_count = node->output_count,
                   .opset = node->opset,
                   .arena = scratch,
                   .elements_max = program->elements_max,
                   .input = -1};
  bbw_status rv = node->op->infer(&call);
  if (rv == BBW_LATER) { return BBW_OK; }
  if (rv == BBW_E_NOMEM) { return bbw_error_set(err, rv); }
  if (rv != BBW_OK) { return BBW_OK; } /* wrong, but perhaps in a branch that is never taken: said when it runs */
  for (uint32_t i = 0; i < node->output_count; i++) {
    if (outputs[i] != NULL && bbw_array_bytes(outputs[i]) > bytes) {
      return BBW_OK;
    } /* grows: better made when it is needed */
  }
  if (call.scratch_bytes > 0) {
    call.scratch = bbw_arena_array(scratch, call.scratch_bytes, 1);
    if (call.scratch == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  }
  for (uint32_t i = 0; i < node->output_count; i++) {
    if (outputs[i] == NULL) { continue; }
    BBW_TRY(bbw_program_constant(program, outputs[i], &constants[i], err));
    outputs[i] = &constants[i]->array;
  }
  if (node->op->flags & BBW_OP_IS_VIEW) {
    if (outputs[0] != NULL && outputs[0]->count > 0) {
      memcpy(outputs[0]->data, inputs[0]->data, bbw_array_bytes(outputs[0]));
    }
  } else {
    rv = bbw_call_makes_nothing(&call) ? BBW_OK : node->op->run(&call);
    for (uint32_t i = 0; i < node->output_count && rv != BBW_OK; i++) {
      if (constants[i] != NULL) { bbw_program_constant_drop(program, constants[i]); }
    }
    if (rv != BBW_OK) { return BBW_OK; }
  }
  for (uint32_t i = 0; i < node->output_count; i++) {
    if (outputs[i] == NULL) { continue; }
    bbw_body_value *value = bbw_body_value_at(body, node->outputs[i]);
    constants[i]->readers = value->readers; /* 0 for a first output that nobody reads: freed below */
    if (value->readers == 0) { bbw_program_constant_drop(program, constants[i]); }
    value->constant = constants[i];
    value->producer = BBW_VALUE_NONE;
  }
  *is_done = true;
  return BBW_OK;
}

static void remove_node(bbw_program *program, bbw_body *body, bbw_op_node *node) {
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] != BBW_VALUE_NONE) { bbw_body_release_value(program, body, node->inputs[i]); }
  }
  node->op = NULL;
}

bbw_status bbw_program_fold(bbw_program *program, bbw_body *body, bbw_error *err) {
  bbw_arena scratch;
  bbw_status rv = BBW_OK;
  for (uint32_t i = 0; i < body->nodes.count && rv == BBW_OK; i++) {
    bbw_op_node *node = bbw_body_node_at(body, i);
    bool is_done = false;
    if (node->op == NULL || !is_constant(body, node)) { continue; }
    bbw_arena_init(&scratch, program->mem);
    scratch.limit_bytes = program->constant_bytes_max;
    rv = bbw_arena_status(fold_node(program, body, node, &scratch, &is_done, err), &scratch, err);
    bbw_arena_free(&scratch);
    if (is_done) { remove_node(program, body, node); }
  }
  if (rv == BBW_OK) { bbw_program_sweep(program, body); }
  return rv;
}

void bbw_program_sweep(bbw_program *program, bbw_body *body) {
  for (uint32_t i = (uint32_t)body->nodes.count; i-- > 0;) { /* backwards: what only dead nodes read is dead too */
    bbw_op_node *node = bbw_body_node_at(body, i);
    bool is_alive = node->op != NULL && (node->op->flags & BBW_OP_NOT_FOLDED) != 0 && node->output_count == 0;
    for (uint32_t o = 0; node->op != NULL && o < node->output_count; o++) {
      is_alive = is_alive || is_used(body, node->outputs[o]);
    }
    if (node->op != NULL && !is_alive) { remove_node(program, body, node); }
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < body->nodes.count; i++) {
    bbw_op_node *node = bbw_body_node_at(body, i);
    if (node->op == NULL) { continue; }
    for (uint32_t o = 0; o < node->output_count; o++) {
      if (node->outputs[o] == BBW_VALUE_NONE) { continue; }
      if (o > 0 && !is_used(body, node->outputs[o])) {
        node->outputs[o] = BBW_VALUE_NONE;
      } else {
        bbw_body_value_at(body, node->outputs[o])->producer = kept;
      }
    }
    if (kept != i) { *bbw_body_node_at(body, kept) = *node; }
    kept++;
  }
  body->nodes.count = kept;
}

static bbw_status pack_node(bbw_program *program, bbw_body *body, bbw_op_node *node, bbw_arena *scratch,
                            bbw_error *err) {
  const bbw_array **constants = bbw_arena_array(scratch, node->input_count, sizeof *constants);
  if (constants == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] == BBW_VALUE_NONE) { continue; }
    bbw_constant *constant = bbw_body_value_at(body, node->inputs[i])->constant;
    if (constant != NULL && bbw_constant_is_there(constant)) { constants[i] = &constant->array; }
  }
  bbw_onnx_pack pack = {
      .op = node->op, .params = node->params, .constants = constants, .input_count = node->input_count};
  BBW_TRY(node->op->pack(&pack));
  if (pack.bytes == 0) { return BBW_OK; }
  bbw_status rv;
  void *packed = bbw_program_alloc(program, pack.bytes, err, &rv);
  if (packed == NULL) { return rv; }
  node->packed = packed;
  node->packed_bytes = pack.bytes;
  pack.packed = packed;
  /* Only now, so that what is given back next lies behind what stays. */
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (constants[i] == NULL) { continue; }
    BBW_TRY(bbw_program_settle(program, bbw_body_value_at(body, node->inputs[i])->constant, err));
  }
  BBW_TRY(node->op->pack(&pack));
  for (uint32_t i = 0; i < node->input_count && i < 32; i++) {
    if ((pack.replaced >> i & 1u) != 0) {
      bbw_program_constant_drop(program, bbw_body_value_at(body, node->inputs[i])->constant);
    }
  }
  return BBW_OK;
}

bbw_status bbw_program_pack(bbw_program *program, bbw_body *body, bbw_error *err) {
  bbw_status rv = BBW_OK;
  for (uint32_t i = 0; i < body->nodes.count && rv == BBW_OK; i++) {
    bbw_op_node *node = bbw_body_node_at(body, i);
    if (node->op->pack == NULL) { continue; }
    bbw_arena scratch;
    bbw_arena_init(&scratch, program->mem);
    rv = pack_node(program, body, node, &scratch, err);
    bbw_arena_free(&scratch);
  }
  return rv;
}
