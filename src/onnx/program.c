#include "onnx/program.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "onnx/load.h"
#include "onnx/tensor.h"

#define ELEMENTS_MAX ((size_t)1 << 28)

bbw_status bbw_op_node_error(bbw_error *err, bbw_status rv, const bbw_op_node *node, const char *attribute,
                             int32_t input, const char *detail) {
  bbw_error_set(err, rv);
  bbw_error_add_str(err, "node", node->name);
  bbw_error_add_str(err, "op_type", bbw_onnx_op_name(node->op));
  if (attribute != NULL) { bbw_error_add_str(err, "attribute", (bbw_str){attribute, strlen(attribute)}); }
  if (input >= 0) { bbw_error_add_u64(err, "input", (uint64_t)input); }
  if (detail != NULL) { bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)}); }
  return rv;
}

bbw_status bbw_arena_status(bbw_status rv, const bbw_arena *arena, bbw_error *err) {
  if (rv != BBW_E_NOMEM || !arena->is_over_limit) { return rv; }
  bbw_error_set(err, BBW_E_LIMIT);
  bbw_error_add_u64(err, "cap", arena->limit_bytes);
  return BBW_E_LIMIT;
}

void *bbw_program_alloc(bbw_program *program, size_t bytes, bbw_error *err, bbw_status *rv) {
  *rv = BBW_OK;
  size_t held;
  if (!bbw_size_add(program->constant_bytes, bytes, &held) || held > program->constant_bytes_max) {
    *rv = bbw_error_set(err, BBW_E_LIMIT);
    bbw_error_add_u64(err, "cap", program->constant_bytes_max);
    bbw_error_add_u64(err, "got", held);
    return NULL;
  }
  void *memory = bbw_mem_array(program->mem, bytes, 1);
  if (memory == NULL) {
    *rv = bbw_error_set(err, BBW_E_NOMEM);
    return NULL;
  }
  program->constant_bytes = held;
  return memory;
}

bbw_status bbw_program_constant(bbw_program *program, const bbw_array *shape, bbw_constant **out, bbw_error *err) {
  size_t bytes = bbw_array_bytes(shape);
  bbw_status rv = BBW_OK;
  bbw_constant *constant = bbw_arena_array(&program->arena, 1, sizeof *constant);
  bbw_constant **slot = constant != NULL ? bbw_vec_push(&program->constants) : NULL;
  if (slot == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  *slot = constant;
  constant->array = *shape;
  constant->array.data = NULL;
  if (bytes > 0) { constant->array.data = bbw_program_alloc(program, bytes, err, &rv); }
  bbw_array_settle(&constant->array);
  if (rv == BBW_OK) { *out = constant; }
  return rv;
}

/* Smaller ones are read at once: shapes and axes, which many look at. */
enum { LEFT_BYTES_MIN = 4096 };

bbw_status bbw_program_settle(bbw_program *program, bbw_constant *constant, bbw_error *err) {
  if (constant->source == NULL) { return BBW_OK; }
  bbw_status rv;
  const char *detail;
  constant->array.data = bbw_program_alloc(program, bbw_array_bytes(&constant->array), err, &rv);
  if (rv != BBW_OK) { return rv; }
  rv = bbw_tensor_read(&constant->array, constant->source, program->external, &detail);
  if (rv != BBW_OK) {
    bbw_error_set(err, rv);
    bbw_error_add_str(err, "value", constant->source->name);
    bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  }
  constant->source = NULL;
  return rv;
}

bbw_status bbw_program_constant_of(bbw_program *program, const bbw_array *shape, const bbw_onnx_tensor *source,
                                   bbw_constant **out, bbw_error *err) {
  bbw_array none = *shape;
  none.count = 0;
  none.dims[0] = 0;
  size_t bytes = bbw_array_bytes(shape);
  bbw_status rv = bbw_program_constant(program, bytes > 0 ? &none : shape, out, err);
  if (rv != BBW_OK || bytes == 0) { return rv; }
  (*out)->array = *shape;
  (*out)->array.data = NULL;
  (*out)->source = source;
  return bytes < LEFT_BYTES_MIN ? bbw_program_settle(program, *out, err) : BBW_OK;
}

/* What is read in the end leaves the file; in a raw program everything does. */
static bbw_status settle_all(bbw_program *program, bool is_raw, bbw_error *err) {
  for (size_t i = 0; i < program->constants.count; i++) {
    bbw_constant *constant = *BBW_VEC_AT(&program->constants, bbw_constant *, i);
    if (constant->readers == 0 && !is_raw) { constant->source = NULL; }
    BBW_TRY(bbw_program_settle(program, constant, err));
  }
  return BBW_OK;
}

static void free_data(bbw_program *program, bbw_constant *constant) {
  constant->source = NULL;
  if (constant->array.data == NULL || constant->array.count == 0) { return; }
  size_t bytes = bbw_array_bytes(&constant->array);
  program->mem->free(program->mem->ctx, constant->array.data, bytes);
  program->constant_bytes -= bytes;
  constant->array.data = NULL;
}

void bbw_program_constant_drop(bbw_program *program, bbw_constant *constant) {
  if (constant->readers > 0) { constant->readers--; }
  if (constant->readers == 0) { free_data(program, constant); }
}

void bbw_body_retain_value(bbw_body *body, uint32_t v) {
  bbw_body_value *value = bbw_body_value_at(body, v);
  value->readers++;
  if (value->constant != NULL) { value->constant->readers++; }
}

void bbw_body_release_value(bbw_program *program, bbw_body *body, uint32_t v) {
  bbw_body_value *value = bbw_body_value_at(body, v);
  value->readers--;
  if (value->constant != NULL) { bbw_program_constant_drop(program, value->constant); }
}

void bbw_program_drop_unread(bbw_program *program) {
  for (size_t i = 0; i < program->constants.count; i++) {
    bbw_constant *constant = *BBW_VEC_AT(&program->constants, bbw_constant *, i);
    if (constant->readers == 0) { free_data(program, constant); }
  }
}

static bbw_status simplify(bbw_program *program, bool is_plain, bbw_error *err) {
  bbw_program_drop_unread(program);
  for (size_t i = 0; i < program->bodies.count && !is_plain; i++) {
    bbw_body *body = *BBW_VEC_AT(&program->bodies, bbw_body *, i);
    BBW_TRY(bbw_program_fold(program, body, err));
    BBW_TRY(bbw_program_fuse(program, body, err));
    BBW_TRY(bbw_program_pack(program, body, err));
  }
  return BBW_OK;
}

bbw_status bbw_program_make(bbw_program **out, const bbw_onnx_model *model, const bbw_program_options *options,
                            const bbw_mem *mem, bbw_error *err) {
  bbw_program *program = bbw_mem_array(mem, 1, sizeof *program);
  if (program == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  size_t bytes_max = options != NULL && options->memory_bytes_max != 0 ? options->memory_bytes_max : SIZE_MAX;
  program->mem = mem;
  program->refs = 1;
  program->constant_bytes_max = bytes_max;
  program->external = options != NULL ? options->external : NULL;
  program->elements_max = options != NULL && options->elements_max != 0 ? options->elements_max : ELEMENTS_MAX;
  bbw_arena_init(&program->arena, mem);
  program->arena.limit_bytes = bytes_max;
  bbw_vec_init(&program->bodies, sizeof(bbw_body *), mem);
  bbw_vec_init(&program->constants, sizeof(bbw_constant *), mem);
  bbw_arena scratch;
  bbw_arena_init(&scratch, mem);
  bbw_status rv = bbw_program_load(program, model, &scratch, err);
  bbw_arena_free(&scratch);
  bool is_raw = options != NULL && options->is_raw;
  if (rv == BBW_OK && !is_raw) { rv = simplify(program, options != NULL && options->is_plain, err); }
  if (rv == BBW_OK) { rv = settle_all(program, is_raw, err); }
  program->external = NULL;
  rv = bbw_arena_status(rv, &program->arena, err);
  if (rv != BBW_OK) {
    bbw_program_release(program);
    return rv;
  }
  *out = program;
  return BBW_OK;
}

bbw_status bbw_program_new(bbw_program **out, bbw_bytes model, const bbw_program_options *options, const bbw_mem *mem,
                           bbw_error *err) {
  bbw_arena arena;
  bbw_onnx_model decoded;
  bbw_arena_init(&arena, mem);
  bbw_status rv = bbw_onnx_model_decode(&decoded, model, &arena, err);
  if (rv == BBW_OK) { rv = bbw_program_make(out, &decoded, options, mem, err); }
  bbw_arena_free(&arena);
  return rv;
}

bbw_program *bbw_program_retain(bbw_program *program) {
  program->refs++;
  return program;
}

static void free_body(bbw_program *program, bbw_body *body) {
  for (uint32_t i = 0; i < body->nodes.count; i++) {
    bbw_op_node *node = bbw_body_node_at(body, i);
    if (node->packed == NULL || node->borrows_packed) { continue; }
    program->mem->free(program->mem->ctx, node->packed, node->packed_bytes);
  }
  bbw_vec_free(&body->values);
  bbw_vec_free(&body->nodes);
  bbw_vec_free(&body->captures);
}

void bbw_program_release(bbw_program *program) {
  if (program == NULL || --program->refs > 0) { return; }
  for (size_t i = 0; i < program->bodies.count; i++) {
    free_body(program, *BBW_VEC_AT(&program->bodies, bbw_body *, i));
  }
  for (size_t i = 0; i < program->constants.count; i++) {
    free_data(program, *BBW_VEC_AT(&program->constants, bbw_constant *, i));
  }
  bbw_vec_free(&program->bodies);
  bbw_vec_free(&program->constants);
  bbw_arena_free(&program->arena);
  const bbw_mem *mem = program->mem;
  mem->free(mem->ctx, program, sizeof *program);
}
