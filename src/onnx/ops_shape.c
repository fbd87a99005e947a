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

/* ---- Size ---- */

bbw_status bbw_size_infer(bbw_call *call) { return bbw_call_output(call, 0, BBW_DTYPE_I64, 0, NULL); }

bbw_status bbw_size_run(bbw_call *call) {
  *(int64_t *)call->outputs[0]->data = (int64_t)call->inputs[0]->count;
  return BBW_OK;
}

/* ---- Flatten, Squeeze, Unsqueeze ---- */

typedef struct axes_params {
  int64_t axes[BBW_ARRAY_RANK_MAX];
  int32_t count; /* -1: not given as attribute */
} axes_params;

bbw_status bbw_flatten_prepare(bbw_prep *prep) {
  axes_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  return bbw_prep_int(prep, "axis", 1, &p->axes[0]);
}

bbw_status bbw_flatten_infer(bbw_call *call) {
  const axes_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  int64_t given = p->axes[0] < 0 ? p->axes[0] + (int64_t)x->rank : p->axes[0];
  if (given < 0 || given > (int64_t)x->rank) { return bbw_call_refuse(call, -1, "axis is out of range"); }
  uint32_t axis = (uint32_t)given; /* may be the rank: all in front */
  size_t dims[2] = {bbw_dims_product(x->dims, 0, axis), bbw_dims_product(x->dims, axis, x->rank)};
  return bbw_call_output(call, 0, x->dtype, 2, dims);
}

bbw_status bbw_axes_prepare(bbw_prep *prep) {
  axes_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  return bbw_prep_ints(prep, "axes", p->axes, BBW_ARRAY_RANK_MAX, &p->count);
}

/* The axes, from the attribute or (opset 13 and up) from input 1, as marks below `rank`; *is_given is false when there are none. */
static bbw_status given_axes(bbw_call *call, uint32_t rank, bool *is_marked, bool *is_given) {
  const axes_params *p = call->params;
  int64_t axes[BBW_ARRAY_RANK_MAX];
  uint32_t count = p->count > 0 ? (uint32_t)p->count : 0;
  *is_given = p->count >= 0 || bbw_call_input(call, 1) != NULL;
  memcpy(axes, p->axes, sizeof axes);
  if (bbw_call_input(call, 1) != NULL) { BBW_TRY(bbw_call_ints(call, 1, axes, BBW_ARRAY_RANK_MAX, &count)); }
  for (uint32_t i = 0; i < count; i++) {
    uint32_t axis;
    BBW_TRY(bbw_call_axis(call, axes[i], rank, &axis));
    if (is_marked[axis]) { return bbw_call_refuse(call, -1, "an axis is named twice"); }
    is_marked[axis] = true;
  }
  return BBW_OK;
}

bbw_status bbw_squeeze_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  bool is_marked[BBW_ARRAY_RANK_MAX] = {false}, is_given;
  size_t dims[BBW_ARRAY_RANK_MAX];
  uint32_t rank = 0;
  BBW_TRY(given_axes(call, x->rank, is_marked, &is_given));
  for (uint32_t d = 0; d < x->rank; d++) {
    if (is_marked[d] && x->dims[d] != 1) { return bbw_call_refuse(call, 0, "a dimension to remove is not 1"); }
    if (!(is_given ? is_marked[d] : x->dims[d] == 1)) { dims[rank++] = x->dims[d]; }
  }
  return bbw_call_output(call, 0, x->dtype, rank, dims);
}

bbw_status bbw_unsqueeze_infer(bbw_call *call) {
  const axes_params *p = call->params;
  const bbw_array *x = call->inputs[0], *axes = bbw_call_input(call, 1);
  bool is_marked[BBW_ARRAY_RANK_MAX] = {false}, is_given;
  size_t dims[BBW_ARRAY_RANK_MAX];
  size_t added = axes != NULL ? axes->count : p->count > 0 ? (size_t)p->count : 0;
  if (axes == NULL && p->count < 0) { return bbw_call_refuse(call, 1, "the axes are missing"); }
  if (added > BBW_ARRAY_RANK_MAX - x->rank) { return bbw_call_refuse(call, -1, "result has too many dimensions"); }
  uint32_t rank = x->rank + (uint32_t)added;
  BBW_TRY(given_axes(call, rank, is_marked, &is_given));
  for (uint32_t d = 0, from = 0; d < rank; d++) { dims[d] = is_marked[d] ? 1 : x->dims[from++]; }
  return bbw_call_output(call, 0, x->dtype, rank, dims);
}
