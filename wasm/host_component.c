#include "host_component.h"

#include <string.h>

#include "abi.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "engine/op.h"
#include "pack.h"

#if defined(__wasm__)
__attribute__((import_module("bbw"), import_name("host_dispatch"))) int32_t
bbw_host_dispatch(uint32_t host_id, const void *call, uint32_t call_len, void *reply);
#else
int32_t bbw_host_dispatch(uint32_t host_id, const void *call, uint32_t call_len,
                          void *reply); /* native tests bring their own */
#endif

typedef struct host_reply {
  uint32_t ptr;
  uint32_t len;
} host_reply;

typedef struct host_instance {
  uint32_t host_id;
  const bbw_mem *mem;
} host_instance;

static bbw_status host_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                 const bbw_mem *mem, bbw_error *err) {
  (void)has_config; /* the host's object was configured by the host */
  (void)config;
  (void)err;
  host_instance *instance = bbw_mem_array(mem, 1, sizeof(*instance));
  if (instance == NULL) { return BBW_E_NOMEM; }
  instance->host_id = ((const bbw_host_type *)(const void *)type)->host_id;
  instance->mem = mem;
  *self = instance;
  return BBW_OK;
}

static void host_destroy(void *self, const bbw_mem *mem) { bbw_mem_array_free(mem, self, 1, sizeof(host_instance)); }

static bool put_inputs(bbw_vec *out, bbw_ctx *ctx) {
  size_t count = bbw_ctx_input_count(ctx);
  bool ok = bbw_pack_put_u32(out, (uint32_t)count);
  for (size_t i = 0; ok && i < count; i++) {
    const bbw_value *value = bbw_ctx_input(ctx, i);
    size_t size = value == NULL ? 0 : bbw_value_payload_size(value);
    ok = size <= UINT32_MAX && bbw_pack_put_u32(out, value != NULL) &&
         bbw_pack_put_u64(out, value == NULL ? 0 : bbw_type_hash((bbw_type)value->type)) &&
         bbw_pack_put_u32(out, (uint32_t)size) && bbw_vec_reserve(out, size);
    if (ok && value != NULL) {
      bbw_value_payload_write(value,
                              (uint8_t *)out->items + out->count); /* straight into the call, without a second copy */
      out->count += size;
    }
  }
  return ok;
}

static bool put_attributes(bbw_vec *out, const bbw_ctx *ctx) {
  const bbw_proto_list *attributes = ctx->op == NULL ? NULL : &ctx->op->node->attribute;
  size_t count = attributes == NULL ? 0 : attributes->count;
  bool ok = bbw_pack_put_u32(out, (uint32_t)count);
  for (size_t i = 0; ok && i < count; i++) {
    const bbw_onnx_attribute *attribute = BBW_PROTO_AT(attributes, bbw_onnx_attribute, i);
    uint32_t float_bits;
    memcpy(&float_bits, &attribute->f, sizeof(float_bits));
    ok = bbw_pack_put_text(out, attribute->name) && bbw_pack_put_u32(out, (uint32_t)attribute->type) &&
         bbw_pack_put_u64(out, (uint64_t)attribute->i) && bbw_pack_put_u32(out, float_bits) &&
         bbw_pack_put_bytes(out, attribute->s) && bbw_pack_put_u32(out, (uint32_t)attribute->ints.count);
    for (size_t k = 0; ok && k < attribute->ints.count; k++) {
      ok = bbw_pack_put_u64(out, (uint64_t)*BBW_PROTO_AT(&attribute->ints, int64_t, k));
    }
  }
  return ok;
}

static bool put_call(bbw_vec *out, bbw_ctx *ctx, uint64_t cmd_id) {
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  const bbw_peer_id *src = bbw_ctx_src_peer(ctx);
  bbw_bytes src_bytes = {peer, src == NULL ? 0 : bbw_peer_id_encode(src, peer)};
  return bbw_pack_put_u32(out, bbw_ctx_role(ctx)) && bbw_pack_put_text(out, bbw_ctx_op_type(ctx)) &&
         bbw_pack_put_u64(out, bbw_ctx_now_ns(ctx)) && bbw_pack_put_u64(out, cmd_id) &&
         bbw_pack_put_bytes(out, src_bytes) && bbw_pack_put_u32(out, (uint32_t)bbw_ctx_output_count(ctx)) &&
         put_inputs(out, ctx) && put_attributes(out, ctx);
}

static bbw_status bad_reply(bbw_ctx *ctx) {
  return bbw_ctx_fail(ctx, BBW_OP_OTHER, "host_reply", BBW_STR("the host's answer is malformed"));
}

static bbw_status read_outputs(bbw_ctx *ctx, bbw_pack *pack) {
  size_t count = bbw_pack_count(pack, 12);
  for (size_t i = 0; i < count; i++) {
    uint64_t type_hash = bbw_pack_u64(pack);
    bbw_bytes payload = bbw_pack_bytes(pack);
    if (!pack->is_ok) { break; }
    bbw_value *value;
    bbw_status rv = bbw_value_decode(&value, type_hash, payload, bbw_ctx_mem(ctx), NULL);
    if (rv == BBW_E_NOMEM) { return rv; }
    if (rv != BBW_OK) { return bbw_ctx_fail(ctx, BBW_OP_TYPE_MISMATCH, "host_output", bbw_status_text(rv)); }
    bbw_ctx_set_output(ctx, i, value);
  }
  return bbw_pack_is_done(pack) ? BBW_OK : bad_reply(ctx);
}

static bbw_op_error_kind kind_from_name(bbw_str name) {
  for (uint32_t kind = 0; kind < BBW_OP_OTHER; kind++) {
    if (bbw_str_equal(bbw_op_error_kind_name((bbw_op_error_kind)kind), name)) { return (bbw_op_error_kind)kind; }
  }
  return BBW_OP_OTHER;
}

static bbw_status read_failure(bbw_ctx *ctx, bbw_pack *pack) {
  bbw_str kind = bbw_pack_text(pack);
  bbw_str reason = bbw_pack_text(pack);
  bbw_str detail = bbw_pack_text(pack);
  if (!pack->is_ok) {
    return bbw_ctx_fail(ctx, BBW_OP_OTHER, "host_failed", BBW_STR("the component failed without a reason"));
  }
  /* Reasons are fixed labels; what the host gives goes into the detail. */
  (void)reason;
  return bbw_ctx_fail(ctx, kind_from_name(kind), "component_failed", detail);
}

static bbw_status host_dispatch(void *self, bbw_ctx *ctx) {
  const host_instance *instance = self;
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  /* The command is open before the host is asked, because the host may answer at any time afterwards; an answer given at once closes it again. */
  uint64_t cmd_id = 0;
  if (ctx->frame != NULL) {
    bbw_status rv = bbw_ctx_later(ctx, &cmd_id);
    if (rv != BBW_OK) { return rv; }
  }
  bbw_vec call;
  bbw_vec_init(&call, 1, mem);
  if (!put_call(&call, ctx, cmd_id)) {
    bbw_vec_free(&call);
    return BBW_E_NOMEM;
  }
  host_reply reply = {0, 0};
  int32_t answer = bbw_host_dispatch(instance->host_id, call.items, (uint32_t)call.count, &reply);
  bbw_vec_free(&call);
  if (answer == BBW_LATER) { return BBW_LATER; }
  uint8_t *bytes = (uint8_t *)(uintptr_t)reply.ptr;
  bbw_pack pack = bbw_pack_open(bytes, bytes == NULL ? 0 : reply.len);
  bbw_status rv = answer == BBW_OK ? (bytes == NULL ? BBW_OK : read_outputs(ctx, &pack)) : read_failure(ctx, &pack);
  if (bytes != NULL) { mem->free(mem->ctx, bytes, reply.len); }
  return rv;
}

/* ---- state ---- */

/* Where a role stands in calls that are about state. */
#define NO_ROLE UINT32_MAX

/* Asks the host for an action with one piece of bytes; BBW_E_COMPONENT when it refuses.  What it replied is to be freed. */
static bbw_status ask(const host_instance *instance, bbw_str action, uint64_t cmd_id, bbw_bytes input,
                      const bbw_mem *mem, bbw_bytes *out) {
  bbw_vec call;
  bbw_vec_init(&call, 1, mem);
  bbw_bytes none = {NULL, 0};
  bool ok = bbw_pack_put_u32(&call, NO_ROLE) && bbw_pack_put_text(&call, action) && bbw_pack_put_u64(&call, 0) &&
            bbw_pack_put_u64(&call, cmd_id) && bbw_pack_put_bytes(&call, none) && bbw_pack_put_u32(&call, 0) &&
            bbw_pack_put_u32(&call, 1) && bbw_pack_put_u32(&call, 1) && bbw_pack_put_u64(&call, 0) &&
            bbw_pack_put_bytes(&call, input) && bbw_pack_put_u32(&call, 0);
  host_reply reply = {0, 0};
  int32_t answer = ok ? bbw_host_dispatch(instance->host_id, call.items, (uint32_t)call.count, &reply) : BBW_E_NOMEM;
  bbw_vec_free(&call);
  *out = (bbw_bytes){(const uint8_t *)(uintptr_t)reply.ptr, reply.ptr == 0 ? 0 : reply.len};
  if (answer == BBW_OK) { return BBW_OK; }
  return answer == BBW_E_NOMEM ? BBW_E_NOMEM : BBW_E_COMPONENT;
}

static void reply_free(bbw_bytes reply, const bbw_mem *mem) {
  if (reply.ptr != NULL) { mem->free(mem->ctx, (void *)(uintptr_t)reply.ptr, reply.len); }
}

static bbw_status host_save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  bbw_bytes reply;
  bbw_status rv = ask(self, BBW_STR("save"), 0, (bbw_bytes){NULL, 0}, mem, &reply);
  bbw_pack pack = bbw_pack_open(reply.ptr, reply.len);
  bool is_one = rv == BBW_OK && bbw_pack_count(&pack, 12) == 1;
  (void)bbw_pack_u64(&pack);
  bbw_bytes state = bbw_pack_bytes(&pack);
  if (rv == BBW_OK && (!is_one || !bbw_pack_is_done(&pack))) { rv = BBW_E_COMPONENT; }
  uint8_t *copy = rv == BBW_OK ? bbw_mem_array(mem, state.len, 1) : NULL;
  if (rv == BBW_OK && copy == NULL && state.len != 0) { rv = BBW_E_NOMEM; }
  if (copy != NULL) { memcpy(copy, state.ptr, state.len); }
  reply_free(reply, mem);
  if (rv != BBW_OK) { return rv; }
  *out = copy;
  *len = state.len;
  return BBW_OK;
}

/* The host keeps its old object until the whole node is restored. */
static bbw_status host_restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  bbw_bytes reply;
  bbw_status rv = ask(self, BBW_STR("restore"), 0, state, mem, &reply);
  if (rv == BBW_OK || rv == BBW_E_NOMEM) {
    reply_free(reply, mem);
    return bbw_error_set(err, rv);
  }
  bbw_pack pack = bbw_pack_open(reply.ptr, reply.len);
  bbw_str kind = bbw_pack_text(&pack), reason = bbw_pack_text(&pack), detail = bbw_pack_text(&pack);
  (void)kind;
  (void)reason;
  bbw_error_set(err, BBW_E_RESTORE_COMPONENT);
  if (pack.is_ok) { bbw_error_add_str(err, "detail", detail); }
  reply_free(reply, mem);
  return BBW_E_RESTORE_COMPONENT;
}

/* When memory runs out the host is not told; it finds out when it answers. */
static void host_cancel(void *self, uint64_t cmd_id) {
  const host_instance *instance = self;
  bbw_bytes reply;
  (void)ask(instance, BBW_STR("cancel"), cmd_id, (bbw_bytes){NULL, 0}, instance->mem, &reply);
  reply_free(reply, instance->mem);
}

bbw_status bbw_host_type_init(bbw_host_type *type, bbw_str name, uint32_t role_bits, uint32_t host_id,
                              const bbw_mem *mem) {
  char *copy = bbw_mem_array(mem, name.len + 1, 1);
  if (copy == NULL) { return BBW_E_NOMEM; }
  if (name.len != 0) { memcpy(copy, name.ptr, name.len); }
  *type = (bbw_host_type){
      .base = {.type_name = copy,
               .role_bits = role_bits & ~(BBW_HOST_SAVES | BBW_HOST_BOOTS),
               .construct = host_construct,
               .destroy = host_destroy,
               .dispatch = host_dispatch,
               .bootstrap = (role_bits & BBW_HOST_BOOTS) != 0 ? host_dispatch : NULL,
               .cancel = host_cancel,
               .save = (role_bits & BBW_HOST_SAVES) != 0 ? host_save : NULL,
               .restore = (role_bits & BBW_HOST_SAVES) != 0 ? host_restore : NULL},
      .host_id = host_id,
      .name = copy,
      .name_bytes = name.len + 1,
  };
  return BBW_OK;
}

void bbw_host_type_free(bbw_host_type *type, const bbw_mem *mem) {
  bbw_mem_array_free(mem, type->name, type->name_bytes, 1);
}
