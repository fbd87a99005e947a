/* Pooling: windows and whole planes. */
#include <string.h>

#include "base/mem.h"
#include "kernels/pool.h"
#include "kernels/reduce.h"
#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/window.h"

typedef bbw_pool_params params;

const uint32_t bbw_pool_is_max = 1;
static bool is_max(const bbw_call *call) { return call->op->ctx != NULL; }

bbw_status bbw_pool_prepare(bbw_prep *prep) {
  params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_window_prepare(prep, &p->window));
  if (p->window.kernel_count < 1) { return bbw_prep_refuse(prep, "kernel_shape", "is missing"); }
  BBW_TRY(bbw_prep_int(prep, "storage_order", 0, &p->storage_order));
  return bbw_prep_bool(prep, "count_include_pad", false, &p->counts_pads);
}

/* Types whose numbers f32 holds exactly: they are computed in f32. */
static bool is_small(bbw_dtype dtype) {
  return dtype == BBW_DTYPE_U8 || dtype == BBW_DTYPE_I8 || dtype == BBW_DTYPE_F16 || dtype == BBW_DTYPE_BF16;
}

bbw_status bbw_pool_window(bbw_call *call, const bbw_pool_params *p, const bbw_array *x, bbw_window *out,
                           bbw_pool_plan *s) {
  bbw_window w;
  BBW_TRY(bbw_window_make(call, &p->window, x, NULL, &w));
  bbw_pool_shape shape = {.planes = x->dims[0] * x->dims[1],
                          .is_ceil = p->window.is_ceil,
                          .is_counting_pads = p->counts_pads,
                          .is_index_column_major = p->storage_order == 1};
  for (uint32_t d = 0; d < BBW_WINDOW_AXES; d++) {
    shape.size[d] = w.size[d];
    shape.kernel[d] = w.kernel[d];
    shape.stride[d] = w.stride[d];
    shape.dilation[d] = w.dilation[d];
    shape.pad_begin[d] = w.pad_begin[d];
    shape.pad_end[d] = w.pad_end[d];
  }
  if (!bbw_pool_plan_make(s, &shape)) {
    return bbw_call_refuse(call, 0, "sizes, kernel and pads do not fit together, or are too large");
  }
  for (uint32_t d = 0; d < BBW_WINDOW_AXES; d++) { w.out_size[d] = s->out_size[d]; }
  *out = w;
  return BBW_OK;
}

bbw_status bbw_pool_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  bbw_pool_plan *s = bbw_call_plan(call, sizeof *s);
  bbw_window w;
  if (s == NULL) { return BBW_E_NOMEM; }
  if (x->dtype != BBW_DTYPE_F32 && !is_small(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_pool_window(call, call->params, x, &w, s));
  BBW_TRY(bbw_window_output(call, 0, x->dtype, x->dims[0], x->dims[1], &w));
  BBW_TRY(bbw_window_output(call, 1, BBW_DTYPE_I64, x->dims[0], x->dims[1], &w));
  size_t floats = 0;
  if (x->dtype != BBW_DTYPE_F32 || call->outputs[0] == NULL) {
    if (!bbw_size_mul(s->shape.planes, s->places, &floats) || !bbw_size_add(floats, x->count, &floats) ||
        floats > call->elements_max) {
      call->detail = "the input is too large for this element type";
      return BBW_E_LIMIT;
    }
  }
  call->scratch_bytes = floats * sizeof(float);
  return BBW_OK;
}

bbw_status bbw_pool_run(bbw_call *call) {
  const bbw_pool_plan *s = call->plan;
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0], *indices = bbw_call_result(call, 1);
  float *from = x->data, *to = out != NULL ? out->data : NULL, *wide = call->scratch;
  size_t count = s->shape.planes * s->places;
  if (count == 0) { return BBW_OK; }
  if (call->scratch_bytes > 0) {
    if (x->dtype != BBW_DTYPE_F32) {
      bbw_load_f32(x, 0, x->count, wide);
      from = wide;
    }
    to = wide + x->count;
  }
  if (is_max(call)) {
    bbw_max_pool_f32_simd128(s, from, to, indices != NULL ? indices->data : NULL);
  } else {
    bbw_average_pool_f32_simd128(s, from, to);
  }
  if (out != NULL && x->dtype != BBW_DTYPE_F32) { bbw_store_f32(out, 0, count, to); }
  return BBW_OK;
}

/* ---- whole planes ---- */

bbw_status bbw_global_pool_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  size_t dims[BBW_ARRAY_RANK_MAX];
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (x->rank < 2) { return bbw_call_refuse(call, 0, "must have batch and channels"); }
  for (uint32_t d = 0; d < x->rank; d++) { dims[d] = d < 2 ? x->dims[d] : 1; }
  if (x->count == 0 && x->dims[0] * x->dims[1] != 0) { return bbw_call_refuse(call, 0, "has no places to pool"); }
  return bbw_call_output(call, 0, BBW_DTYPE_F32, x->rank, dims);
}

bbw_status bbw_global_pool_run(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  size_t planes = call->outputs[0]->count;
  if (planes == 0) { return BBW_OK; }
  bbw_reduce_f32_fn *reduce = is_max(call) ? bbw_reduce_max_f32_simd128 : bbw_reduce_mean_f32_simd128;
  reduce(x->data, call->outputs[0]->data, planes, x->count / planes, 1);
  return BBW_OK;
}

/*
 * ---- MaxUnpool: the values back to the places that the indices name, zeros elsewhere ----
 * Indices count places of the array that the attributes imply; output_shape may be larger, and then the rest is zeros at the ends of the axes.
 */
typedef struct unpool_plan {
  size_t implied[BBW_ARRAY_RANK_MAX];
  size_t count;
} unpool_plan;

bbw_status bbw_max_unpool_infer(bbw_call *call) {
  const params *p = call->params;
  const bbw_array *x = call->inputs[0], *indices = call->inputs[1];
  unpool_plan *s = bbw_call_plan(call, sizeof *s);
  bbw_window w;
  if (s == NULL) { return BBW_E_NOMEM; }
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (indices->dtype != BBW_DTYPE_I64 || !bbw_array_same_shape(indices, x)) {
    return bbw_call_refuse(call, 1, "must be one int64 for each value");
  }
  BBW_TRY(bbw_window_base(call, &p->window, x, NULL, &w));
  s->implied[0] = x->dims[0];
  s->implied[1] = x->dims[1];
  for (uint32_t i = 0; i < w.axes; i++) {
    uint32_t d = BBW_WINDOW_AXES - w.axes + i;
    uint64_t pads = (uint64_t)w.pad_begin[d] + w.pad_end[d];
    uint64_t size = ((uint64_t)w.size[d] - (w.size[d] > 0 ? 1 : 0)) * w.stride[d] + w.kernel[d];
    if (w.size[d] > INT32_MAX || size < pads || size - pads > SIZE_MAX / 2) {
      return bbw_call_refuse(call, 0, "the pads are larger than the result");
    }
    s->implied[2 + i] = (size_t)(size - pads);
  }
  BBW_TRY(bbw_call_output(call, 0, BBW_DTYPE_F32, x->rank, s->implied)); /* checks the product */
  s->count = bbw_dims_product(s->implied, 0, x->rank);
  if (bbw_call_input(call, 2) == NULL) { return BBW_OK; }
  int64_t wanted[BBW_ARRAY_RANK_MAX];
  size_t dims[BBW_ARRAY_RANK_MAX];
  uint32_t rank;
  BBW_TRY(bbw_call_ints(call, 2, wanted, BBW_ARRAY_RANK_MAX, &rank));
  if (rank != x->rank) { return bbw_call_refuse(call, 2, "must have one number per dimension"); }
  for (uint32_t d = 0; d < rank; d++) {
    if (wanted[d] < 0 || (uint64_t)wanted[d] > SIZE_MAX / 2 || (uint64_t)wanted[d] < s->implied[d]) {
      return bbw_call_refuse(call, 2, "a dimension is smaller than the indices need, or too large");
    }
    dims[d] = (size_t)wanted[d];
  }
  return bbw_call_output(call, 0, BBW_DTYPE_F32, rank, dims);
}

/* Where the index of a value, which counts the elements of the implied result, is in a result of these sizes. */
static size_t unpooled_place(const unpool_plan *s, const bbw_array *result, size_t index) {
  size_t place = 0, step = 1;
  for (uint32_t d = result->rank; d-- > 0;) {
    place += index % s->implied[d] * step;
    index /= s->implied[d];
    step *= result->dims[d];
  }
  return place;
}

static bbw_status check_unpooled(bbw_call *call, uint32_t input) {
  const unpool_plan *s = call->plan;
  const bbw_array *indices = call->inputs[input];
  for (size_t i = 0; i < indices->count; i++) {
    int64_t index = ((const int64_t *)indices->data)[i];
    if (index < 0 || (uint64_t)index >= s->count) {
      return bbw_call_refuse(call, (int32_t)input, "an index is outside of the result");
    }
  }
  return BBW_OK;
}

bbw_status bbw_max_unpool_run(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  const int64_t *indices = call->inputs[1]->data;
  bbw_array *out = call->outputs[0];
  BBW_TRY(check_unpooled(call, 1));
  if (out->count > 0) { memset(out->data, 0, out->count * sizeof(float)); }
  for (size_t i = 0; i < x->count; i++) {
    ((float *)out->data)[unpooled_place(call->plan, out, (size_t)indices[i])] = ((const float *)x->data)[i];
  }
  return BBW_OK;
}

/* Its gradient.  Inputs: g, then those of the forward node. */
bbw_status bbw_max_unpool_grad_infer(bbw_call *call) {
  bbw_call inner = *call;
  bbw_array result = {0}, *const outputs[] = {&result};
  inner.inputs++;
  inner.input_count--;
  inner.outputs = outputs;
  bbw_status rv = bbw_max_unpool_infer(&inner);
  call->plan = inner.plan;
  call->detail = inner.detail;
  if (rv != BBW_OK) { return rv; }
  if (call->inputs[0]->dtype != BBW_DTYPE_F32 || !bbw_array_same_shape(call->inputs[0], &result)) {
    return bbw_call_refuse(call, 0, "the gradient does not fit its shape");
  }
  return bbw_call_output_like(call, 0, call->inputs[1]);
}

bbw_status bbw_max_unpool_grad_run(bbw_call *call) {
  const bbw_array *g = call->inputs[0];
  const int64_t *indices = call->inputs[2]->data;
  bbw_array *out = call->outputs[0];
  BBW_TRY(check_unpooled(call, 2));
  for (size_t i = 0; i < out->count; i++) {
    ((float *)out->data)[i] = ((const float *)g->data)[unpooled_place(call->plan, g, (size_t)indices[i])];
  }
  return BBW_OK;
}
