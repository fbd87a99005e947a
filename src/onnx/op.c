#include "onnx/op.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "onnx/convert.h"
#include "onnx/tensor.h"

static bbw_str text(const char *s) { return (bbw_str){s, strlen(s)}; }

/* ---- prepare ---- */

void *bbw_prep_params(bbw_prep *prep, size_t size) {
  prep->params = bbw_arena_array(prep->arena, 1, size);
  prep->params_bytes = size;
  return prep->params;
}

bbw_status bbw_prep_refuse(bbw_prep *prep, const char *attribute, const char *detail) {
  prep->attribute = attribute;
  prep->detail = detail;
  return BBW_E_ONNX_INVALID;
}

bbw_status bbw_prep_unsupported(bbw_prep *prep, const char *attribute, const char *detail) {
  prep->attribute = attribute;
  prep->detail = detail;
  return BBW_E_ONNX_UNSUPPORTED;
}

bool bbw_prep_has(const bbw_prep *prep, const char *name) {
  return bbw_onnx_attribute_find(prep->node, text(name)) != NULL;
}

/* The attribute of that type; NULL when it is absent.  Files of the first ONNX versions leave the type out (0). */
static bbw_status find(bbw_prep *prep, const char *name, int32_t type, const bbw_onnx_attribute **out) {
  *out = bbw_onnx_attribute_find(prep->node, text(name));
  if (*out == NULL || (*out)->type == type || (*out)->type == 0) { return BBW_OK; }
  return bbw_prep_refuse(prep, name, "attribute has another type");
}

bbw_status bbw_prep_int(bbw_prep *prep, const char *name, int64_t otherwise, int64_t *out) {
  const bbw_onnx_attribute *a;
  BBW_TRY(find(prep, name, BBW_ONNX_ATTR_INT, &a));
  *out = a != NULL ? a->i : otherwise;
  return BBW_OK;
}

bbw_status bbw_prep_bool(bbw_prep *prep, const char *name, bool otherwise, bool *out) {
  int64_t number;
  BBW_TRY(bbw_prep_int(prep, name, otherwise ? 1 : 0, &number));
  *out = number != 0;
  return BBW_OK;
}

bbw_status bbw_prep_float(bbw_prep *prep, const char *name, float otherwise, float *out) {
  const bbw_onnx_attribute *a;
  BBW_TRY(find(prep, name, BBW_ONNX_ATTR_FLOAT, &a));
  *out = a != NULL ? a->f : otherwise;
  return BBW_OK;
}

bbw_status bbw_prep_str(bbw_prep *prep, const char *name, bbw_str otherwise, bbw_str *out) {
  const bbw_onnx_attribute *a;
  BBW_TRY(find(prep, name, BBW_ONNX_ATTR_STRING, &a));
  *out = a != NULL ? bbw_bytes_str(a->s) : otherwise;
  return BBW_OK;
}

bbw_status bbw_prep_ints(bbw_prep *prep, const char *name, int64_t *out, size_t max, int32_t *count) {
  const bbw_onnx_attribute *a;
  BBW_TRY(find(prep, name, BBW_ONNX_ATTR_INTS, &a));
  *count = -1;
  if (a == NULL) { return BBW_OK; }
  if (a->ints.count > max) { return bbw_prep_refuse(prep, name, "list is too long"); }
  for (size_t i = 0; i < a->ints.count; i++) { out[i] = *BBW_PROTO_AT(&a->ints, int64_t, i); }
  *count = (int32_t)a->ints.count;
  return BBW_OK;
}

bbw_status bbw_prep_int_list(bbw_prep *prep, const char *name, const int64_t **out, size_t *count) {
  const bbw_onnx_attribute *a;
  BBW_TRY(find(prep, name, BBW_ONNX_ATTR_INTS, &a));
  *out = NULL;
  *count = 0;
  if (a == NULL) { return BBW_OK; }
  int64_t *items = bbw_arena_array(prep->arena, a->ints.count, sizeof *items);
  if (items == NULL) { return BBW_E_NOMEM; }
  if (a->ints.count > 0) { memcpy(items, a->ints.items, a->ints.count * sizeof *items); }
  *out = items;
  *count = a->ints.count;
  return BBW_OK;
}

bbw_status bbw_prep_float_list(bbw_prep *prep, const char *name, const float **out, size_t *count) {
  const bbw_onnx_attribute *a;
  BBW_TRY(find(prep, name, BBW_ONNX_ATTR_FLOATS, &a));
  *out = NULL;
  *count = 0;
  if (a == NULL) { return BBW_OK; }
  float *items = bbw_arena_array(prep->arena, a->floats.count, sizeof *items);
  if (items == NULL) { return BBW_E_NOMEM; }
  if (a->floats.count > 0) { memcpy(items, a->floats.items, a->floats.count * sizeof *items); }
  *out = items;
  *count = a->floats.count;
  return BBW_OK;
}

bbw_status bbw_prep_choice(bbw_prep *prep, const char *name, const char *const *names, uint32_t otherwise,
                           uint32_t *out) {
  bbw_str given;
  BBW_TRY(bbw_prep_str(prep, name, text(names[otherwise]), &given));
  for (uint32_t i = 0; names[i] != NULL; i++) {
    if (bbw_str_equal(given, text(names[i]))) {
      *out = i;
      return BBW_OK;
    }
  }
  return bbw_prep_refuse(prep, name, "attribute has an unknown value");
}

bbw_status bbw_prep_tensor(bbw_prep *prep, const char *name, bbw_array *out, bool *is_given) {
  const bbw_onnx_attribute *a;
  BBW_TRY(find(prep, name, BBW_ONNX_ATTR_TENSOR, &a));
  *is_given = a != NULL;
  if (a == NULL) { return BBW_OK; }
  if (a->t == NULL) { return bbw_prep_refuse(prep, name, "attribute has no tensor"); }
  size_t bytes;
  bbw_status rv = bbw_tensor_shape(out, &bytes, a->t, NULL, &prep->detail);
  if (rv == BBW_OK && bytes > 0) {
    out->data = bbw_arena_array(prep->arena, 1, bytes);
    if (out->data == NULL) { return BBW_E_NOMEM; }
  }
  if (rv == BBW_OK) { rv = bbw_tensor_read(out, a->t, NULL, &prep->detail); }
  if (rv != BBW_OK) { prep->attribute = name; }
  return rv;
}

/* ---- infer and run ---- */

bbw_status bbw_call_refuse(bbw_call *call, int32_t input, const char *detail) {
  call->input = input;
  call->detail = detail;
  return BBW_E_ONNX_INVALID;
}

bbw_status bbw_call_refuse_type(bbw_call *call, uint32_t input) {
  call->input = (int32_t)input;
  call->detail = "the operator does not compute this element type";
  return BBW_E_ELEMENT_TYPE;
}

bbw_status bbw_call_infer_inner(bbw_call *call, bbw_call *inner) {
  inner->arena = call->arena;
  inner->elements_max = call->elements_max;
  inner->input = -1;
  bbw_status rv = inner->op->infer(inner);
  call->detail = inner->detail;
  return rv;
}

bbw_status bbw_call_infer_forward(bbw_call *call, bbw_call *inner, bbw_status (*infer)(bbw_call *inner), uint32_t g) {
  bbw_array shape = {0}, *made[] = {&shape};
  inner->outputs = made;
  inner->output_count = 1;
  bbw_status rv = infer(inner);
  inner->outputs = NULL; /* they end here */
  inner->output_count = 0;
  call->detail = inner->detail;
  if (rv != BBW_OK) { return rv; }
  bool does_fit = bbw_array_same_shape(call->inputs[g], &shape);
  return does_fit ? BBW_OK : bbw_call_refuse(call, (int32_t)g, "the gradient does not fit its shape");
}

bbw_status bbw_call_output(bbw_call *call, uint32_t i, bbw_dtype dtype, uint32_t rank, const size_t *dims) {
  bbw_array shape = {0};
  if (!bbw_array_shape(&shape, dtype, rank, dims) || shape.count > call->elements_max) {
    call->input = -1;
    call->detail = rank > BBW_ARRAY_RANK_MAX ? "result has too many dimensions" : "result is too large";
    return BBW_E_LIMIT;
  }
  bbw_array *out = bbw_call_result(call, i);
  if (out != NULL) { *out = shape; }
  return BBW_OK;
}

bool bbw_call_makes_nothing(const bbw_call *call) {
  for (uint32_t i = 0; i < call->output_count; i++) {
    if (call->outputs[i] != NULL && call->outputs[i]->count > 0) { return false; }
  }
  return true;
}

bbw_status bbw_call_output_like(bbw_call *call, uint32_t i, const bbw_array *like) {
  return bbw_call_output(call, i, like->dtype, like->rank, like->dims);
}

void *bbw_call_plan(bbw_call *call, size_t size) {
  call->plan = bbw_arena_array(call->arena, 1, size);
  return call->plan;
}

bbw_status bbw_call_values(const bbw_call *call, uint32_t i) {
  const bbw_array *x = bbw_call_input(call, i);
  return x == NULL || x->data != NULL || x->count == 0 ? BBW_OK : BBW_LATER;
}

bbw_status bbw_call_ints(bbw_call *call, uint32_t i, int64_t *out, size_t max, uint32_t *count) {
  const bbw_array *x = bbw_call_input(call, i);
  if (x == NULL) { return bbw_call_refuse(call, (int32_t)i, "input is missing"); }
  if (!bbw_dtype_is_integer(x->dtype)) { return bbw_call_refuse_type(call, i); }
  if (x->rank > 1) { return bbw_call_refuse(call, (int32_t)i, "a list of numbers must have one dimension"); }
  if (x->count > max) { return bbw_call_refuse(call, (int32_t)i, "a list of numbers is too long"); }
  BBW_TRY(bbw_call_values(call, i));
  bbw_load_i64(x, 0, x->count, out);
  *count = (uint32_t)x->count;
  return BBW_OK;
}

bbw_status bbw_call_int(bbw_call *call, uint32_t i, int64_t otherwise, int64_t *out) {
  const bbw_array *x = bbw_call_input(call, i);
  *out = otherwise;
  if (x == NULL) { return BBW_OK; }
  if (x->count != 1) { return bbw_call_refuse(call, (int32_t)i, "input must have one element"); }
  BBW_TRY(bbw_call_values(call, i));
  bbw_load_i64(x, 0, 1, out);
  return BBW_OK;
}

bbw_status bbw_call_float(bbw_call *call, uint32_t i, double otherwise, double *out) {
  const bbw_array *x = bbw_call_input(call, i);
  *out = otherwise;
  if (x == NULL) { return BBW_OK; }
  if (x->count != 1) { return bbw_call_refuse(call, (int32_t)i, "input must have one element"); }
  BBW_TRY(bbw_call_values(call, i));
  bbw_load_f64(x, 0, 1, out);
  return BBW_OK;
}

bbw_status bbw_call_axis(bbw_call *call, int64_t given, uint32_t rank, uint32_t *out) {
  if (given < 0) { given += (int64_t)rank; }
  if (given < 0 || given >= (int64_t)rank) { return bbw_call_refuse(call, -1, "axis is out of range"); }
  *out = (uint32_t)given;
  return BBW_OK;
}

void bbw_array_settle(bbw_array *array) {
  static const uint64_t nothing[8]; /* never written: there is no element to write */
  if (array->count == 0 && array->dtype != BBW_DTYPE_NONE) { array->data = (void *)(uintptr_t)nothing; }
}

size_t bbw_dims_product(const size_t *dims, uint32_t from, uint32_t to) {
  size_t product = 1;
  for (uint32_t d = from; d < to; d++) { product *= dims[d]; }
  return product;
}
