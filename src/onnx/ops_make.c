/* Arrays from numbers: Constant, ConstantOfShape, Range, EyeLike, windows. */
#include <math.h>
#include <string.h>

#include "kernels/math_f64.h"
#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/walk.h"

typedef struct make_params {
  bbw_array value;
  bool has_dtype;
  bbw_dtype dtype;
  int64_t k;
  bool is_periodic;
} make_params;

/* ---- Constant ---- */

static bbw_status constant_list(bbw_prep *prep, bbw_array *out, bbw_dtype dtype, const void *items, size_t count) {
  bbw_array_shape(out, dtype, 1, &count);
  out->data = bbw_arena_array(prep->arena, count, bbw_dtype_bytes(dtype));
  if (out->data == NULL) { return BBW_E_NOMEM; }
  if (count > 0) { memcpy(out->data, items, count * bbw_dtype_bytes(dtype)); }
  return BBW_OK;
}

bbw_status bbw_constant_prepare(bbw_prep *prep) {
  make_params *p = bbw_prep_params(prep, sizeof *p);
  bool is_given;
  const float *floats;
  const int64_t *ints;
  size_t count;
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_tensor(prep, "value", &p->value, &is_given));
  if (is_given) { return BBW_OK; }
  if (bbw_prep_has(prep, "value_float")) {
    float number;
    BBW_TRY(bbw_prep_float(prep, "value_float", 0.0f, &number));
    BBW_TRY(constant_list(prep, &p->value, BBW_DTYPE_F32, &number, 1));
    p->value.rank = 0;
    return BBW_OK;
  }
  if (bbw_prep_has(prep, "value_int")) {
    int64_t number;
    BBW_TRY(bbw_prep_int(prep, "value_int", 0, &number));
    BBW_TRY(constant_list(prep, &p->value, BBW_DTYPE_I64, &number, 1));
    p->value.rank = 0;
    return BBW_OK;
  }
  if (bbw_prep_has(prep, "value_floats")) {
    BBW_TRY(bbw_prep_float_list(prep, "value_floats", &floats, &count));
    return constant_list(prep, &p->value, BBW_DTYPE_F32, floats, count);
  }
  if (bbw_prep_has(prep, "value_ints")) {
    BBW_TRY(bbw_prep_int_list(prep, "value_ints", &ints, &count));
    return constant_list(prep, &p->value, BBW_DTYPE_I64, ints, count);
  }
  return bbw_prep_unsupported(prep, NULL, "strings and sparse tensors are not supported");
}

bbw_status bbw_constant_infer(bbw_call *call) {
  return bbw_call_output_like(call, 0, &((const make_params *)call->params)->value);
}

bbw_status bbw_constant_run(bbw_call *call) {
  const make_params *p = call->params;
  if (p->value.count > 0) { memcpy(call->outputs[0]->data, p->value.data, bbw_array_bytes(&p->value)); }
  return BBW_OK;
}

/* ---- ConstantOfShape ---- */

bbw_status bbw_constant_of_shape_prepare(bbw_prep *prep) {
  make_params *p = bbw_prep_params(prep, sizeof *p);
  bool is_given;
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_tensor(prep, "value", &p->value, &is_given));
  if (is_given) { return p->value.count == 1 ? BBW_OK : bbw_prep_refuse(prep, "value", "must be one element"); }
  static const float zero = 0.0f;
  return constant_list(prep, &p->value, BBW_DTYPE_F32, &zero, 1);
}

bbw_status bbw_constant_of_shape_infer(bbw_call *call) {
  size_t dims[BBW_ARRAY_RANK_MAX];
  uint32_t rank;
  BBW_TRY(bbw_call_dims(call, 0, dims, &rank));
  return bbw_call_output(call, 0, ((const make_params *)call->params)->value.dtype, rank, dims);
}

bbw_status bbw_constant_of_shape_run(bbw_call *call) {
  const bbw_array *value = &((const make_params *)call->params)->value;
  bbw_fill(call->outputs[0]->data, call->outputs[0]->count, value->data, bbw_dtype_bytes(value->dtype));
  return BBW_OK;
}

/* ---- Range ---- */

bbw_status bbw_range_infer(bbw_call *call) {
  bbw_dtype dtype = call->inputs[0]->dtype;
  double numbers[3], count;
  size_t n = 0;
  for (uint32_t i = 0; i < 3; i++) {
    if (call->inputs[i]->dtype != dtype) {
      return bbw_call_refuse(call, (int32_t)i, "inputs have different element types");
    }
    BBW_TRY(bbw_call_float(call, i, 0.0, &numbers[i]));
  }
  if (dtype == BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 0); }
  if (bbw_dtype_is_float(dtype)) {
    count = ceil((numbers[1] - numbers[0]) / numbers[2]);
    if (!(fabs(numbers[2]) > 0.0) || !(count == count)) {
      return bbw_call_refuse(call, 2, "the step is 0 or no number");
    }
    if (count > (double)call->elements_max) { return bbw_call_refuse(call, 1, "result is too large"); }
    n = count > 0.0 ? (size_t)count : 0;
  } else {
    int64_t start, limit, step;
    bbw_load_i64(call->inputs[0], 0, 1, &start);
    bbw_load_i64(call->inputs[1], 0, 1, &limit);
    bbw_load_i64(call->inputs[2], 0, 1, &step);
    if (step == 0) { return bbw_call_refuse(call, 2, "the step is 0 or no number"); }
    uint64_t span = step > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    uint64_t width = step > 0 ? (uint64_t)step : 0u - (uint64_t)step;
    bool is_empty = step > 0 ? limit <= start : start <= limit;
    uint64_t whole = is_empty ? 0 : (span - 1) / width + 1;
    if (whole > call->elements_max) { return bbw_call_refuse(call, 1, "result is too large"); }
    n = (size_t)whole;
  }
  return bbw_call_output(call, 0, dtype, 1, &n);
}

bbw_status bbw_range_run(bbw_call *call) {
  bbw_array *out = call->outputs[0];
  if (bbw_dtype_is_float(out->dtype)) {
    double start, step;
    bbw_load_f64(call->inputs[0], 0, 1, &start);
    bbw_load_f64(call->inputs[2], 0, 1, &step);
    for (size_t i = 0; i < out->count; i++) {
      double number = start + (double)i * step;
      bbw_store_f64(out, i, 1, &number);
    }
    return BBW_OK;
  }
  int64_t start, step;
  bbw_load_i64(call->inputs[0], 0, 1, &start);
  bbw_load_i64(call->inputs[2], 0, 1, &step);
  for (size_t i = 0; i < out->count; i++) {
    int64_t number = (int64_t)((uint64_t)start + i * (uint64_t)step);
    bbw_store_i64(out, i, 1, &number);
  }
  return BBW_OK;
}

/* ---- EyeLike ---- */

static bbw_status read_dtype(bbw_prep *prep, const char *name, make_params *p, int64_t otherwise) {
  int64_t number;
  p->has_dtype = bbw_prep_has(prep, name) || otherwise != 0;
  BBW_TRY(bbw_prep_int(prep, name, otherwise, &number));
  if (!p->has_dtype) { return BBW_OK; }
  p->dtype = number > 0 && number < INT32_MAX ? bbw_dtype_from_onnx((int32_t)number) : BBW_DTYPE_NONE;
  return p->dtype != BBW_DTYPE_NONE ? BBW_OK : bbw_prep_unsupported(prep, name, "element type is not supported");
}

bbw_status bbw_eye_like_prepare(bbw_prep *prep) {
  make_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "k", 0, &p->k));
  return read_dtype(prep, "dtype", p, 0);
}

bbw_status bbw_eye_like_infer(bbw_call *call) {
  const make_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  if (x->rank != 2) { return bbw_call_refuse(call, 0, "input must have two dimensions"); }
  return bbw_call_output(call, 0, p->has_dtype ? p->dtype : x->dtype, 2, x->dims);
}

bbw_status bbw_eye_like_run(bbw_call *call) {
  const make_params *p = call->params;
  bbw_array *out = call->outputs[0];
  const int64_t one = 1;
  if (out->count == 0) { return BBW_OK; }
  memset(out->data, 0, bbw_array_bytes(out));
  if (p->k > (int64_t)out->dims[1] || p->k < -(int64_t)out->dims[0]) { return BBW_OK; }
  for (size_t i = 0; i < out->dims[0]; i++) {
    int64_t column = (int64_t)i + p->k;
    if (column >= 0 && column < (int64_t)out->dims[1]) {
      bbw_store_i64(out, i * out->dims[1] + (size_t)column, 1, &one);
    }
  }
  return BBW_OK;
}

/* ---- windows: a - b cos(2 pi i / n) + c cos(4 pi i / n) ---- */

const double bbw_taper_hann[3] = {0.5, 0.5, 0.0};
const double bbw_taper_hamming[3] = {25.0 / 46.0, 21.0 / 46.0, 0.0};
const double bbw_taper_blackman[3] = {0.42, 0.5, 0.08};

bbw_status bbw_taper_prepare(bbw_prep *prep) {
  make_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_bool(prep, "periodic", true, &p->is_periodic));
  return read_dtype(prep, "output_datatype", p, 1);
}

bbw_status bbw_taper_infer(bbw_call *call) {
  const make_params *p = call->params;
  int64_t size;
  if (!bbw_dtype_is_integer(call->inputs[0]->dtype)) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_int(call, 0, 0, &size));
  if (size < 0 || (uint64_t)size > call->elements_max) { return bbw_call_refuse(call, 0, "the size is out of range"); }
  size_t count = (size_t)size;
  return bbw_call_output(call, 0, p->dtype, 1, &count);
}

bbw_status bbw_taper_run(bbw_call *call) {
  const make_params *p = call->params;
  const double *w = call->op->ctx;
  bbw_array *out = call->outputs[0];
  size_t period = p->is_periodic ? out->count : out->count - 1;
  for (size_t i = 0; i < out->count; i++) {
    double angle = period > 0 ? 6.28318530717958647693 * (double)i / (double)period : 0.0;
    double number = w[0] - w[1] * bbw_cos_f64(angle) + w[2] * bbw_cos_f64(2.0 * angle);
    if (period == 0) { number = 1.0; } /* a symmetric window of one element */
    bbw_store_f64(out, i, 1, &number);
  }
  return BBW_OK;
}
