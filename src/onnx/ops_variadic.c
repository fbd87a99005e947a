/* Operators over any number of inputs, and Where: three inputs, repeated to one shape. */
#include <string.h>

#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/walk.h"

const bbw_variadic bbw_variadic_max = {&bbw_binary_max, .takes_integers = true};
const bbw_variadic bbw_variadic_min = {&bbw_binary_min, .takes_integers = true};
const bbw_variadic bbw_variadic_sum = {.row = &bbw_binary_add};
const bbw_variadic bbw_variadic_mean = {&bbw_binary_add, .is_mean = true};

/* The common shape of the inputs [first, input_count), by NumPy's rules. */
static bbw_status common_shape(bbw_call *call, uint32_t first, bbw_dtype dtype) {
  size_t dims[BBW_ARRAY_RANK_MAX];
  uint32_t rank = 0;
  for (uint32_t i = first; i < call->input_count; i++) {
    const bbw_array *x = call->inputs[i];
    if (x == NULL) { return bbw_call_refuse(call, (int32_t)i, "input is missing"); }
    if (x->rank > rank) {
      memmove(dims + (x->rank - rank), dims, rank * sizeof dims[0]);
      for (uint32_t d = 0; d < x->rank - rank; d++) { dims[d] = 1; }
      rank = x->rank;
    }
    for (uint32_t d = 0; d < x->rank; d++) {
      size_t *dim = &dims[rank - x->rank + d];
      if (*dim == 1) { *dim = x->dims[d]; }
      if (x->dims[d] != 1 && x->dims[d] != *dim) {
        return bbw_call_refuse(call, (int32_t)i, "the shapes of the inputs do not fit together");
      }
    }
  }
  return bbw_call_output(call, 0, dtype, rank, dims);
}

bbw_status bbw_variadic_infer(bbw_call *call) {
  const bbw_variadic *row = call->op->ctx;
  if (call->inputs[0] == NULL) { return bbw_call_refuse(call, 0, "input is missing"); }
  bbw_dtype dtype = call->inputs[0]->dtype;
  if (!bbw_dtype_is_float(dtype) && !(row->takes_integers && bbw_dtype_is_integer(dtype))) {
    return bbw_call_refuse_type(call, 0);
  }
  for (uint32_t i = 1; i < call->input_count; i++) {
    if (call->inputs[i] != NULL && call->inputs[i]->dtype != dtype) {
      return bbw_call_refuse(call, (int32_t)i, "inputs have different element types");
    }
  }
  return common_shape(call, 0, dtype);
}

/* The result starts as the first input, then takes in one input after the other. */
bbw_status bbw_variadic_run(bbw_call *call) {
  const bbw_variadic *row = call->op->ctx;
  bbw_array *out = call->outputs[0];
  bbw_walk walk = {.operands = 2, .axes = out->rank};
  memcpy(walk.size, out->dims, sizeof walk.size);
  bbw_walk_repeated(&walk, 0, call->inputs[0]);
  bbw_walk_dense(&walk, 1, out->rank, out->dims);
  bbw_walk_join(&walk);
  bbw_walk_copy(&walk, call->inputs[0]->data, out->data, bbw_dtype_bytes(out->dtype));
  uint64_t dims[BBW_ARRAY_RANK_MAX], other[BBW_ARRAY_RANK_MAX];
  for (uint32_t d = 0; d < out->rank; d++) { dims[d] = out->dims[d]; }
  for (uint32_t i = 1; i < call->input_count; i++) {
    const bbw_array *x = call->inputs[i];
    bbw_broadcast plan;
    for (uint32_t d = 0; d < x->rank; d++) { other[d] = x->dims[d]; }
    bbw_broadcast_plan(&plan, dims, out->rank, other, x->rank);
    bbw_binary_apply(row->row, &plan, out, x, out);
  }
  for (size_t at = 0; row->is_mean && at < out->count; at += BBW_CONVERT_BLOCK) {
    size_t n = out->count - at < BBW_CONVERT_BLOCK ? out->count - at : BBW_CONVERT_BLOCK;
    double block[BBW_CONVERT_BLOCK];
    bbw_load_f64(out, at, n, block);
    for (size_t k = 0; k < n; k++) { block[k] = block[k] / (double)call->input_count; }
    bbw_store_f64(out, at, n, block);
  }
  return BBW_OK;
}

/* ---- Where ---- */

bbw_status bbw_where_infer(bbw_call *call) {
  if (call->inputs[0]->dtype != BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 0); }
  if (call->inputs[1]->dtype != call->inputs[2]->dtype) {
    return bbw_call_refuse(call, 2, "inputs have different element types");
  }
  BBW_TRY(common_shape(call, 0, call->inputs[1]->dtype));
  bbw_array *out = bbw_call_result(call, 0);
  bbw_walk *walk = bbw_call_plan(call, sizeof *walk);
  if (walk == NULL) { return BBW_E_NOMEM; }
  if (out == NULL) { return BBW_OK; }
  walk->operands = 4;
  walk->axes = out->rank;
  memcpy(walk->size, out->dims, sizeof walk->size);
  for (uint32_t i = 0; i < 3; i++) { bbw_walk_repeated(walk, i, call->inputs[i]); }
  bbw_walk_dense(walk, 3, out->rank, out->dims);
  bbw_walk_join(walk);
  return BBW_OK;
}

#define CHOOSE(type)                                                    \
  {                                                                     \
    const type *a = (const type *)call->inputs[1]->data + cursor.at[1]; \
    const type *b = (const type *)call->inputs[2]->data + cursor.at[2]; \
    type *out = (type *)call->outputs[0]->data + cursor.at[3];          \
    for (size_t i = 0; i < n; i++) {                                    \
      out[i] = *is_first != 0 ? *a : *b;                                \
      is_first += walk->step[0][run];                                   \
      a += walk->step[1][run];                                          \
      b += walk->step[2][run];                                          \
    }                                                                   \
    break;                                                              \
  }

bbw_status bbw_where_run(bbw_call *call) {
  const bbw_walk *walk = call->plan;
  bbw_walk_cursor cursor;
  if (!bbw_walk_start(walk, &cursor)) { return BBW_OK; }
  uint32_t run = walk->axes - 1;
  size_t n = walk->size[run];
  do {
    const uint8_t *is_first = (const uint8_t *)call->inputs[0]->data + cursor.at[0];
    switch (bbw_dtype_bytes(call->outputs[0]->dtype)) {
    case 1: CHOOSE(uint8_t)
    case 2: CHOOSE(uint16_t)
    case 4: CHOOSE(uint32_t)
    case 8: CHOOSE(uint64_t)
    default: break;
    }
  } while (bbw_walk_next(walk, &cursor));
  return BBW_OK;
}
