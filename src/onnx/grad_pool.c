/* Gradients of MaxPool and AveragePool, f32.  Inputs: g, x; of the mean only the shape of x is read. */
#include <string.h>

#include "base/mem.h"
#include "kernels/pool.h"
#include "onnx/ops.h"
#include "onnx/window.h"

static bool is_max(const bbw_call *call) { return call->op->ctx != NULL; }

bbw_status bbw_pool_grad_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *x = call->inputs[1];
  bbw_pool_plan *s = bbw_call_plan(call, sizeof *s);
  bbw_window window;
  if (s == NULL) { return BBW_E_NOMEM; }
  if (g->dtype != BBW_DTYPE_F32 || x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_pool_window(call, call->params, x, &window, s));
  s->shape.is_index_column_major = false;
  if (g->count != s->shape.planes * s->places) {
    return bbw_call_refuse(call, 0, "the gradient does not fit its shape");
  }
  return bbw_call_output(call, 0, BBW_DTYPE_F32, x->rank, x->dims);
}

bbw_status bbw_pool_grad_run(bbw_call *call) {
  const bbw_pool_plan *s = call->plan;
  const float *g = call->inputs[0]->data;
  bbw_array *out = call->outputs[0];
  float *to = out->data;
  if (out->count == 0) { return BBW_OK; }
  if (!is_max(call)) {
    bbw_average_pool_gradient_f32(s, g, to);
    return BBW_OK;
  }
  bbw_max_pool_gradient_f32(s, call->inputs[1]->data, g, to);
  return BBW_OK;
}
