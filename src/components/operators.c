#include "components/operators.h"

#include <string.h>

#include "base/bytes.h"

static bool is_named(const bbw_operator *op, bbw_str op_type) {
  return bbw_str_equal(op_type, (bbw_str){op->op_type, strlen(op->op_type)});
}

bool bbw_operators_have(const bbw_operator *operators, size_t count, bbw_role role, bbw_str op_type) {
  for (size_t i = 0; i < count; i++) {
    if (operators[i].role == role && is_named(&operators[i], op_type)) { return true; }
  }
  return false;
}

bbw_status bbw_operators_run(const bbw_operator *operators, size_t count, void *self, bbw_ctx *ctx) {
  bbw_str op_type = bbw_ctx_op_type(ctx);
  bbw_role role = bbw_ctx_role(ctx);
  bool is_remote = role == BBW_ROLE_PROTOCOL && bbw_ctx_is_remote(ctx);
  for (size_t i = 0; i < count; i++) {
    bool is_open = operators[i].role == role && operators[i].is_remote == is_remote;
    if (is_open && is_named(&operators[i], op_type)) { return operators[i].run(self, ctx); }
  }
  return bbw_ctx_fail(ctx, BBW_OP_OTHER, "unknown op_type", op_type);
}
