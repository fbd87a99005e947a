#include "moody_components.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/onnx.h"
#include "stub_components.h"

#define TYPES_MAX 32

static bbw_status moody_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                  const bbw_mem *mem, bbw_error *err) {
  (void)type;
  (void)has_config;
  (void)config;
  (void)err;
  uint32_t *mood = mem->alloc(mem->ctx, sizeof(*mood));
  if (mood == NULL) { return BBW_E_NOMEM; }
  *mood = 0;
  *self = mood;
  return BBW_OK;
}

static void moody_destroy(void *self, const bbw_mem *mem) { mem->free(mem->ctx, self, sizeof(uint32_t)); }

static bbw_status give(bbw_ctx *ctx, size_t output, uint64_t number) {
  bbw_value *value;
  bbw_status rv = bbw_value_new_plain(&value, BBW_TYPE_U64, number, bbw_ctx_mem(ctx));
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, output, value); }
  return rv;
}

static bbw_status moody_dispatch(void *self, bbw_ctx *ctx) {
  uint32_t mood = (*(uint32_t *)self)++;
  uint64_t cmd_id;
  switch (mood % 10) {
  case 0: return BBW_OK;
  case 1: return give(ctx, 0, mood);
  case 2: (void)give(ctx, 0, 1); return give(ctx, 0, 2);
  case 3: {
    bbw_status rv = BBW_OK;
    for (size_t i = 0; rv == BBW_OK && i < bbw_ctx_output_count(ctx) + 2; i++) { rv = give(ctx, i, i); }
    return rv;
  }
  case 4: (void)give(ctx, 0, 1); return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "moody", BBW_STR("not today"));
  case 5: return BBW_E_SHAPE;
  case 6: {
    bbw_status rv = bbw_ctx_later(ctx, &cmd_id);
    return rv == BBW_OK ? BBW_LATER : rv;
  }
  case 7: (void)bbw_ctx_later(ctx, &cmd_id); return give(ctx, 0, mood);
  case 8: return BBW_LATER;
  default:
    (void)bbw_ctx_input_tensor(ctx, 0);
    (void)give(ctx, 1, 3);
    return (bbw_status)7;
  }
}

/* Of a type that works in slices: most calls make one and are not done. */
static bbw_status sliced_dispatch(void *self, bbw_ctx *ctx) {
  uint32_t *mood = self;
  uint64_t cmd_id;
  if (++*mood % 4 == 0) { return moody_dispatch(self, ctx); }
  bbw_status rv = bbw_ctx_later(ctx, &cmd_id);
  return rv == BBW_OK ? BBW_LATER : rv;
}

static void moody_cancel(void *self, uint64_t cmd_id) { *(uint32_t *)self += (uint32_t)cmd_id & 1; }

static bbw_status moody_save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  *out = mem->alloc(mem->ctx, sizeof(uint32_t));
  if (*out == NULL) { return BBW_E_NOMEM; }
  memcpy(*out, self, sizeof(uint32_t));
  *len = sizeof(uint32_t);
  return BBW_OK;
}

static bbw_status moody_restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  (void)mem;
  if (state.len != sizeof(uint32_t)) { return bbw_error_set(err, BBW_E_RESTORE_COMPONENT); }
  memcpy(self, state.ptr, sizeof(uint32_t));
  return BBW_OK;
}

const bbw_component_type *const *moody_component_types(size_t *count) {
  static bbw_component_type types[TYPES_MAX];
  static const bbw_component_type *list[TYPES_MAX];
  const bbw_component_type *const *stubs = stub_component_types(count);
  for (size_t i = 0; i < *count && i < TYPES_MAX; i++) {
    types[i] = *stubs[i];
    types[i].construct = moody_construct;
    types[i].destroy = moody_destroy;
    types[i].dispatch = moody_dispatch;
    types[i].save = moody_save;
    types[i].cancel = moody_cancel;
    if (i % 2 == 0) { types[i].bootstrap = moody_dispatch; }
    types[i].restore = moody_restore;
    if (i % 2 != 0) {
      types[i].dispatch = sliced_dispatch;
      types[i].resumes = true;
    }
    list[i] = &types[i];
  }
  return list;
}

bbw_bytes vector_model(bbw_arena *arena, const char *name) {
  char path[256];
  snprintf(path, sizeof(path), "tests/vectors/artifacts/%s.compiled.pb", name);
  FILE *file = fopen(path, "rb");
  if (file == NULL) { return (bbw_bytes){NULL, 0}; }
  size_t cap = 1u << 20;
  uint8_t *bytes = bbw_arena_array(arena, cap, 1);
  size_t len = bytes == NULL ? 0 : fread(bytes, 1, cap, file);
  fclose(file);
  return (bbw_bytes){bytes, len};
}

size_t model_targets(bbw_arena *arena, bbw_bytes model, bbw_str *names, size_t max) {
  bbw_onnx_model decoded;
  if (bbw_proto_decode(&decoded, &bbw_onnx_model_type, model, arena, NULL) != BBW_OK) { return 0; }
  size_t count = 0;
  for (; count < decoded.functions.count && count < max; count++) {
    names[count] = BBW_PROTO_AT(&decoded.functions, bbw_onnx_function, count)->name;
  }
  return count;
}
