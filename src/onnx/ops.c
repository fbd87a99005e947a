#include "onnx/ops.h"

#include <string.h>

#include "base/bytes.h"

static const bbw_onnx_op ops[] = {
#define OP(domain, name, since, until, in_min, in_max, out_max, flags, prepare, infer, run, pack, ctx) \
  {domain, #name, since, until, in_min, in_max, out_max, flags, prepare, infer, run, pack, ctx},
#include "onnx/ops.def"
#undef OP
};
#define OP_COUNT (sizeof ops / sizeof ops[0])

const bbw_onnx_op *bbw_onnx_op_find(bbw_str domain, bbw_str name, int64_t opset, bool *is_known) {
  if (is_known != NULL) { *is_known = false; }
  for (size_t i = 0; i < OP_COUNT; i++) {
    const bbw_onnx_op *op = &ops[i];
    if (!bbw_str_equal(name, bbw_onnx_op_name(op)) ||
        !bbw_str_equal(domain, (bbw_str){op->domain, strlen(op->domain)})) {
      continue;
    }
    if (is_known != NULL) { *is_known = true; }
    if (opset >= op->since && opset <= op->until) { return op; }
  }
  return NULL;
}

const bbw_onnx_op *bbw_onnx_op_at(size_t index) { return index < OP_COUNT ? &ops[index] : NULL; }

bbw_str bbw_onnx_op_name(const bbw_onnx_op *op) { return (bbw_str){op->name, strlen(op->name)}; }
