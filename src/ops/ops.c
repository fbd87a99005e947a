#include "ops/ops.h"

#include "base/bytes.h"

#define DOMAIN_SYSCALL      "ai.bytesandbrains.syscall"
#define DOMAIN_COMPOSITE    "ai.bytesandbrains.composite"
#define DOMAIN_ADDRESS_BOOK "ai.bytesandbrains.address_book"
#define DOMAIN_WIRE         "ai.bytesandbrains.wire"

static const bbw_op_row op_rows[] = {
#define OP(domain, op_type, readiness, is_self_starting, run) \
  {{DOMAIN_##domain, sizeof(DOMAIN_##domain) - 1},            \
   {op_type, sizeof(op_type) - 1},                            \
   BBW_READY_##readiness,                                     \
   is_self_starting,                                          \
   run},
#include "ops/ops.def"
#undef OP
};

size_t bbw_op_count(void) { return sizeof(op_rows) / sizeof(op_rows[0]); }

const bbw_op_row *bbw_op_at(size_t index) { return index < bbw_op_count() ? &op_rows[index] : NULL; }

const bbw_op_row *bbw_op_find(bbw_str domain, bbw_str op_type) {
  for (size_t i = 0; i < bbw_op_count(); i++) {
    if (bbw_str_equal(op_rows[i].op_type, op_type) && bbw_str_equal(op_rows[i].domain, domain)) { return &op_rows[i]; }
  }
  return NULL;
}

bbw_str bbw_op_attr_text(const bbw_ctx *ctx, const char *name) {
  bbw_bytes bytes = {NULL, 0};
  (void)bbw_ctx_attr_bytes(ctx, name, &bytes);
  return bbw_bytes_str(bytes);
}

bbw_status bbw_op_fail_other(bbw_ctx *ctx, bbw_str detail) { return bbw_ctx_fail(ctx, BBW_OP_OTHER, "", detail); }

bbw_status bbw_op_optional_bytes(bbw_ctx *ctx, bbw_bytes *out, bbw_value **value) {
  *out = (bbw_bytes){NULL, 0};
  *value = bbw_ctx_first_input(ctx);
  if (*value == NULL) { return BBW_OK; }
  if ((*value)->type != BBW_TYPE_BYTES) {
    return bbw_ctx_fail(ctx, BBW_OP_TYPE_MISMATCH, "expected_bytes", BBW_STR("the input is not bytes"));
  }
  *out = (*value)->as.bytes;
  return BBW_OK;
}

bbw_status bbw_op_set_number(bbw_ctx *ctx, bbw_type type, uint64_t number) {
  bbw_value *value;
  bbw_status rv = bbw_value_new_plain(&value, type, number, bbw_ctx_mem(ctx));
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, 0, value); }
  return rv;
}
