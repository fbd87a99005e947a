/* The same elements in another shape, and shapes as numbers. */
#include <string.h>

#include "onnx/ops.h"

bbw_status bbw_identity_infer(bbw_call *call) { return bbw_call_output_like(call, 0, call->inputs[0]); }

/* ---- Reshape ---- */

typedef struct reshape_params {
  bool allows_zero; /* a 0 is a dimension of size 0, not a copy */
} reshape_params;

bbw_status bbw_reshape_prepare(bbw_prep *prep) {
  reshape_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  return bbw_prep_bool(prep, "allowzero", false, &p->allows_zero);
}

bbw_status bbw_reshape_infer(bbw_call *call) {
  const reshape_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  int64_t wanted[BBW_ARRAY_RANK_MAX];
  size_t dims[BBW_ARRAY_RANK_MAX];
  uint32_t rank;
  int32_t open = -1; /* the dimension that is -1 */
  size_t product = 1;
  BBW_TRY(bbw_call_ints(call, 1, wanted, BBW_ARRAY_RANK_MAX, &rank));
  for (uint32_t d = 0; d < rank; d++) {
    dims[d] = (size_t)wanted[d];
    if (wanted[d] == -1) {
      if (open >= 0) { return bbw_call_refuse(call, 1, "more than one dimension is -1"); }
      open = (int32_t)d;
      continue;
    }
    if (wanted[d] < 0) { return bbw_call_refuse(call, 1, "a dimension is negative"); }
    if (wanted[d] == 0 && !p->allows_zero) {
      if (d >= x->rank) { return bbw_call_refuse(call, 1, "a 0 has no dimension to copy"); }
      dims[d] = x->dims[d];
    }
    if ((uint64_t)wanted[d] > SIZE_MAX || (dims[d] != 0 && product > SIZE_MAX / dims[d])) {
      return bbw_call_refuse(call, 1, "the shape is too large");
    }
    product *= dims[d];
  }
  if (open >= 0) {
    if (product == 0 || x->count % product != 0) {
      return bbw_call_refuse(call, 1, "the elements do not fill the shape");
    }
    dims[open] = x->count / product;
    product = x->count;
  }
  if (product != x->count) { return bbw_call_refuse(call, 1, "the elements do not fill the shape"); }
  return bbw_call_output(call, 0, x->dtype, rank, dims);
}

/* ---- Shape ---- */

typedef struct shape_params {
  int64_t start, end;
} shape_params;

bbw_status bbw_shape_prepare(bbw_prep *prep) {
  shape_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "start", 0, &p->start));
  return bbw_prep_int(prep, "end", INT64_MAX, &p->end);
}

/* From the end when negative, and into [0, rank]. */
static uint32_t clamp_axis(int64_t axis, uint32_t rank) {
  if (axis < 0) { axis += (int64_t)rank; }
  return axis < 0 ? 0 : axis > (int64_t)rank ? rank : (uint32_t)axis;
}

bbw_status bbw_shape_infer(bbw_call *call) {
  const shape_params *p = call->params;
  uint32_t rank = call->inputs[0]->rank;
  uint32_t start = clamp_axis(p->start, rank), end = clamp_axis(p->end, rank);
  size_t count = end > start ? end - start : 0;
  return bbw_call_output(call, 0, BBW_DTYPE_I64, 1, &count);
}

bbw_status bbw_shape_run(bbw_call *call) {
  const shape_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  uint32_t start = clamp_axis(p->start, x->rank);
  int64_t *out = call->outputs[0]->data;
  for (size_t i = 0; i < call->outputs[0]->count; i++) { out[i] = (int64_t)x->dims[start + i]; }
  return BBW_OK;
}
