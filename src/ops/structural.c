/* structural: forwarding, copying, constants and bundles (operator specification §3.1-3.2). */
#include "base/bytes.h"
#include "engine/engine.h"
#include "ops/ops.h"

bbw_status bbw_op_pass_through(bbw_ctx *ctx) {
  bbw_value *value = bbw_ctx_first_input(ctx);
  if (value == NULL) { return bbw_op_fail_other(ctx, BBW_STR("PassThrough needs one input")); }
  return bbw_ctx_forward(ctx, value);
}

bbw_status bbw_op_tee(bbw_ctx *ctx) {
  bbw_value *value = bbw_ctx_first_input(ctx);
  if (value == NULL) { return bbw_op_fail_other(ctx, BBW_STR("Tee needs one input")); }
  int64_t fanout = 2;
  (void)bbw_ctx_attr_i64(ctx, "fanout", &fanout);
  uint64_t copies = fanout < 1 ? 1 : (uint64_t)fanout;
  /* Copies past the declared outputs would be dropped, so a huge fanout costs nothing. */
  for (size_t i = 0; i < bbw_ctx_output_count(ctx) && i < copies; i++) {
    bbw_ctx_set_output(ctx, i, bbw_value_retain(value));
  }
  return BBW_OK;
}

bbw_status bbw_op_constant(bbw_ctx *ctx) {
  const bbw_onnx_attribute *attribute = bbw_ctx_attribute(ctx, "value");
  if (attribute == NULL) { return bbw_op_fail_other(ctx, BBW_STR("Constant has no attribute `value`")); }
  if (attribute->t == NULL) { return bbw_op_fail_other(ctx, BBW_STR("attribute `value` of Constant has no tensor")); }
  bbw_arena arena;
  bbw_arena_init(&arena, bbw_ctx_mem(ctx));
  bbw_bytes encoded;
  bbw_value *value = NULL;
  bbw_status rv = bbw_proto_encode(&encoded, attribute->t, &bbw_onnx_tensor_type_table, &arena);
  if (rv == BBW_OK) { rv = bbw_value_new_bytes(&value, BBW_TYPE_BYTES, encoded, bbw_ctx_mem(ctx)); }
  bbw_arena_free(&arena);
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, 0, value); }
  return rv;
}

bbw_status bbw_op_bundle(bbw_ctx *ctx) {
  if (bbw_ctx_first_input(ctx) == NULL) {
    return bbw_ctx_fail(ctx, BBW_OP_MISSING_SLOT, "bundle_no_children", BBW_STR("Bundle has no input"));
  }
  size_t count = 0;
  for (size_t i = 0; i < ctx->input_count; i++) {
    if (ctx->inputs[i] != NULL) { ctx->inputs[count++] = ctx->inputs[i]; } /* absent inputs leave no gap */
  }
  bbw_value *value;
  bbw_status rv = bbw_value_new_list(&value, BBW_TYPE_COMPOSITE, ctx->inputs, count, bbw_ctx_mem(ctx));
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, 0, value); }
  return rv;
}

bbw_status bbw_op_unbundle(bbw_ctx *ctx) {
  const bbw_value *bundle = bbw_ctx_input_named(ctx, "bundle", 0);
  if (bundle == NULL) {
    return bbw_ctx_fail(ctx, BBW_OP_MISSING_SLOT, "missing_bundle", BBW_STR("Unbundle has no input"));
  }
  if (bundle->type != BBW_TYPE_COMPOSITE) {
    return bbw_ctx_fail(ctx, BBW_OP_TYPE_MISMATCH, "expected_composite", BBW_STR("the input is not a composite"));
  }
  int64_t count;
  if (!bbw_ctx_attr_i64(ctx, "ai.bytesandbrains.composite.child_count", &count)) {
    return bbw_ctx_fail(ctx, BBW_OP_MISSING_SLOT, "missing_child_count",
                        BBW_STR("Unbundle has no attribute child_count"));
  }
  if (count < 1) {
    return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "child_count_below_one", BBW_STR("child_count is below one"));
  }
  if ((uint64_t)count != bundle->as.list.count) {
    return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "unbundle_child_count_mismatch",
                        BBW_STR("the composite has another number of children"));
  }
  for (size_t i = 0; i < bundle->as.list.count && i < bbw_ctx_output_count(ctx); i++) {
    bbw_ctx_set_output(ctx, i, bbw_value_retain(bundle->as.list.items[i]));
  }
  return BBW_OK;
}
