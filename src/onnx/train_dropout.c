/*
 * bbw.DropoutTrain: Dropout while a model is trained.
 *
 * Inputs: x, the ratio (or none: that of the attribute), the number that the step draws from.  Which elements stay follows from that number, the salt of the node and their place alone, so the
 * gradient is the same operator over g, and nothing is kept in between.
 */
#include <string.h>

#include "base/rng.h"
#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/params.h"

bbw_status bbw_dropout_train_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *ratio = call->inputs[1], *draw = call->inputs[2];
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (ratio != NULL && (ratio->count != 1 || !bbw_dtype_is_float(ratio->dtype))) {
    return bbw_call_refuse(call, 1, "the ratio must be one number");
  }
  if (draw->dtype != BBW_DTYPE_U64 || draw->count != 1) { return bbw_call_refuse_type(call, 2); }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_dropout_train_run(bbw_call *call) {
  const bbw_dropout_params *p = call->params;
  const float *x = call->inputs[0]->data;
  float *out = call->outputs[0]->data;
  double ratio = (double)p->ratio;
  if (call->inputs[1] != NULL) { bbw_load_f64(call->inputs[1], 0, 1, &ratio); }
  if (!(ratio >= 0.0 && ratio < 1.0)) { return bbw_call_refuse(call, 1, "the ratio must be from 0 to below 1"); }
  float scale = (float)(1.0 / (1.0 - ratio));
  uint64_t limit = (uint64_t)(ratio * 4294967296.0); /* of 2^32 */
  bbw_rng rng;
  bbw_rng_init(&rng, *(const uint64_t *)call->inputs[2]->data ^ (p->salt * 0x9e3779b97f4a7c15u));
  for (size_t i = 0; i < call->outputs[0]->count; i++) {
    out[i] = (bbw_rng_next(&rng) >> 32) >= limit ? x[i] * scale : 0.0f;
  }
  return BBW_OK;
}
