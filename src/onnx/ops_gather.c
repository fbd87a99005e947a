/*
 * Elements by their indices: Gather, GatherElements, GatherND, ScatterElements, ScatterND, OneHot, ReverseSequence.
 *
 * Indices are values, so they are checked by run, all of them before anything is written.  Negative ones count from the end.
 */
#include <string.h>

#include "onnx/convert.h"
#include "onnx/lanes.h"
#include "onnx/ops.h"
#include "onnx/params.h"
#include "onnx/walk.h"

bbw_status bbw_gather_prepare(bbw_prep *prep) {
  static const char *const reductions[] = {"none", "add", "mul", "max", "min", NULL};
  bbw_gather_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "axis", 0, &p->axis));
  BBW_TRY(bbw_prep_int(prep, "batch_dims", 0, &p->batch_dims));
  return bbw_prep_choice(prep, "reduction", reductions, BBW_SCATTER_NONE, &p->reduction);
}

static bbw_status check_index_type(bbw_call *call, uint32_t i) {
  bbw_dtype dtype = call->inputs[i]->dtype;
  return dtype == BBW_DTYPE_I32 || dtype == BBW_DTYPE_I64 ? BBW_OK : bbw_call_refuse_type(call, i);
}

/* Index i of an array of indices, counted from the start; SIZE_MAX when it is out of range. */
static size_t index_at(const bbw_array *indices, size_t i, size_t size) {
  int64_t index = indices->dtype == BBW_DTYPE_I64 ? ((const int64_t *)indices->data)[i]
                                                  : (int64_t)((const int32_t *)indices->data)[i];
  if (index < 0) { index += (int64_t)size; }
  return index < 0 || (uint64_t)index >= size ? SIZE_MAX : (size_t)index;
}

/* Indices start, start + step, ... of input i are below size. */
static bbw_status check_indices(bbw_call *call, uint32_t i, size_t start, size_t step, size_t size) {
  const bbw_array *indices = call->inputs[i];
  for (size_t k = start; k < indices->count; k += step) {
    if (index_at(indices, k, size) >= size) { return bbw_call_refuse(call, (int32_t)i, "an index is out of range"); }
  }
  return BBW_OK;
}

static bbw_status keep_lanes(bbw_call *call, const bbw_array *x, uint32_t axis) {
  bbw_lanes *lanes = bbw_call_plan(call, sizeof *lanes);
  if (lanes == NULL) { return BBW_E_NOMEM; }
  *lanes = bbw_lanes_of(x, axis);
  return BBW_OK;
}

/* ---- Gather ---- */

bbw_status bbw_gather_infer(bbw_call *call) {
  const bbw_gather_params *p = call->params;
  const bbw_array *x = call->inputs[0], *indices = call->inputs[1];
  uint32_t axis, rank = 0;
  size_t dims[2 * BBW_ARRAY_RANK_MAX];
  BBW_TRY(check_index_type(call, 1));
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  for (uint32_t d = 0; d < axis; d++) { dims[rank++] = x->dims[d]; }
  for (uint32_t d = 0; d < indices->rank; d++) { dims[rank++] = indices->dims[d]; }
  for (uint32_t d = axis + 1; d < x->rank; d++) { dims[rank++] = x->dims[d]; }
  BBW_TRY(keep_lanes(call, x, axis));
  return bbw_call_output(call, 0, x->dtype, rank, dims);
}

bbw_status bbw_gather_run(bbw_call *call) {
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  const bbw_array *x = call->inputs[0], *indices = call->inputs[1];
  size_t bytes = lanes.inner * bbw_dtype_bytes(x->dtype);
  char *out = call->outputs[0]->data;
  BBW_TRY(check_indices(call, 1, 0, 1, lanes.length));
  if (call->outputs[0]->count == 0) { return BBW_OK; }
  for (size_t o = 0; o < lanes.outer; o++) {
    const char *row = (const char *)x->data + o * lanes.length * bytes;
    for (size_t i = 0; i < indices->count; i++, out += bytes) {
      memcpy(out, row + index_at(indices, i, lanes.length) * bytes, bytes);
    }
  }
  return BBW_OK;
}

/* The gradient: rows of g are added where they came from.  Inputs: g, the data (its shape), the indices. */
bbw_status bbw_gather_grad_infer(bbw_call *call) {
  const bbw_gather_params *p = call->params;
  const bbw_array *g = call->inputs[0], *x = call->inputs[1];
  uint32_t axis;
  if (g->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  BBW_TRY(keep_lanes(call, x, axis));
  return bbw_call_output(call, 0, g->dtype, x->rank, x->dims);
}

bbw_status bbw_gather_grad_run(bbw_call *call) {
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  const bbw_array *g = call->inputs[0], *indices = call->inputs[2];
  bbw_array *out = call->outputs[0];
  const float *from = g->data;
  BBW_TRY(check_indices(call, 2, 0, 1, lanes.length));
  if (out->count == 0) { return BBW_OK; }
  memset(out->data, 0, bbw_array_bytes(out));
  for (size_t o = 0; o < lanes.outer; o++) {
    float *row = (float *)out->data + o * lanes.length * lanes.inner;
    for (size_t i = 0; i < indices->count; i++, from += lanes.inner) {
      float *to = row + index_at(indices, i, lanes.length) * lanes.inner;
      bbw_add_f32_simd128(to, from, to, lanes.inner);
    }
  }
  return BBW_OK;
}

/* ---- GatherElements, ScatterElements: indices have the rank of the data ---- */

typedef struct elements_plan {
  bbw_walk walk;   /* over the indices: the data, with no step along the axis, and the indices themselves */
  ptrdiff_t along; /* the step of the data along the axis */
  size_t size;     /* of the axis */
} elements_plan;

static bbw_status infer_elements(bbw_call *call) {
  uint32_t axis;
  const bbw_gather_params *p = call->params;
  const bbw_array *x = call->inputs[0], *indices = call->inputs[1];
  BBW_TRY(check_index_type(call, 1));
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  bool fits = indices->rank == x->rank;
  for (uint32_t d = 0; fits && d < x->rank; d++) { fits = d == axis || indices->dims[d] <= x->dims[d]; }
  if (!fits) { return bbw_call_refuse(call, 1, "the indices do not fit the input"); }
  elements_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  bbw_walk *walk = &plan->walk;
  walk->operands = 2;
  walk->axes = x->rank;
  memcpy(walk->size, indices->dims, sizeof walk->size);
  bbw_walk_dense(walk, 0, x->rank, x->dims);
  bbw_walk_dense(walk, 1, x->rank, indices->dims);
  plan->along = walk->step[0][axis];
  plan->size = x->dims[axis];
  walk->step[0][axis] = 0;
  bbw_walk_join(walk);
  return BBW_OK;
}

bbw_status bbw_gather_elements_infer(bbw_call *call) {
  BBW_TRY(infer_elements(call));
  return bbw_call_output(call, 0, call->inputs[0]->dtype, call->inputs[1]->rank, call->inputs[1]->dims);
}

bbw_status bbw_scatter_elements_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *indices = call->inputs[1], *updates = call->inputs[2];
  const bbw_gather_params *p = call->params;
  if (updates->dtype != x->dtype) { return bbw_call_refuse(call, 2, "inputs have different element types"); }
  if (p->reduction != BBW_SCATTER_NONE && x->dtype == BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(infer_elements(call));
  if (!bbw_array_same_shape(indices, updates)) {
    return bbw_call_refuse(call, 2, "the updates do not fit the indices");
  }
  return bbw_call_output_like(call, 0, x);
}

/* out[to] becomes itself, combined with updates[from]. */
static void update(bbw_array *out, size_t to, const bbw_array *updates, size_t from, uint32_t reduction) {
  size_t bytes = bbw_dtype_bytes(out->dtype);
  if (reduction == BBW_SCATTER_NONE) {
    memcpy((char *)out->data + to * bytes, (const char *)updates->data + from * bytes, bytes);
    return;
  }
  static const bbw_binary *const rows[] = {NULL, &bbw_binary_add, &bbw_binary_mul, &bbw_binary_max, &bbw_binary_min};
  if (bbw_dtype_is_float(out->dtype)) {
    double x, y;
    bbw_load_f64(out, to, 1, &x);
    bbw_load_f64(updates, from, 1, &y);
    rows[reduction]->f64(&x, &y, &x, 1);
    bbw_store_f64(out, to, 1, &x);
  } else {
    int64_t x, y;
    bbw_load_i64(out, to, 1, &x);
    bbw_load_i64(updates, from, 1, &y);
    rows[reduction]->i64(&x, &y, &x, 1, bbw_dtype_is_unsigned(out->dtype));
    bbw_store_i64(out, to, 1, &x);
  }
}

/* Visits every index with the place that it names in the data. */
static bbw_status run_elements(bbw_call *call, bool scatters) {
  const bbw_gather_params *p = call->params;
  const elements_plan *plan = call->plan;
  const bbw_walk *walk = &plan->walk;
  const bbw_array *x = call->inputs[0], *indices = call->inputs[1];
  bbw_array *out = call->outputs[0];
  bbw_walk_cursor cursor;
  size_t bytes = bbw_dtype_bytes(x->dtype);
  BBW_TRY(check_indices(call, 1, 0, 1, plan->size));
  if (scatters && x->count > 0) { memcpy(out->data, x->data, bbw_array_bytes(x)); }
  if (!bbw_walk_start(walk, &cursor)) { return BBW_OK; }
  uint32_t run = walk->axes - 1;
  do {
    for (size_t i = 0; i < walk->size[run]; i++) {
      size_t k = (size_t)(cursor.at[1] + (ptrdiff_t)i * walk->step[1][run]);
      ptrdiff_t at = cursor.at[0] + (ptrdiff_t)i * walk->step[0][run];
      size_t place = (size_t)(at + (ptrdiff_t)index_at(indices, k, plan->size) * plan->along);
      if (scatters) {
        update(out, place, call->inputs[2], k, p->reduction);
      } else {
        memcpy((char *)out->data + k * bytes, (const char *)x->data + place * bytes, bytes);
      }
    }
  } while (bbw_walk_next(walk, &cursor));
  return BBW_OK;
}

bbw_status bbw_gather_elements_run(bbw_call *call) { return run_elements(call, false); }
bbw_status bbw_scatter_elements_run(bbw_call *call) { return run_elements(call, true); }

/* ---- GatherND, ScatterND: the last axis of the indices is a place ---- */

typedef struct nd_plan {
  uint32_t batch_dims;
  uint32_t depth; /* numbers per place */
  size_t batches, places, slice;
  size_t steps[BBW_ARRAY_RANK_MAX]; /* of the axes that a place names, in elements */
  size_t batch_step;
} nd_plan;

static bbw_status infer_nd(bbw_call *call, uint32_t batch_dims, nd_plan **out) {
  const bbw_array *x = call->inputs[0], *indices = call->inputs[1];
  BBW_TRY(check_index_type(call, 1));
  if (x->rank == 0 || indices->rank == 0) { return bbw_call_refuse(call, 1, "inputs need one dimension at least"); }
  size_t depth = indices->dims[indices->rank - 1];
  if (batch_dims >= indices->rank || batch_dims > x->rank || depth > x->rank - batch_dims) {
    return bbw_call_refuse(call, 1, "the indices name more dimensions than there are");
  }
  for (uint32_t d = 0; d < batch_dims; d++) {
    if (x->dims[d] != indices->dims[d]) { return bbw_call_refuse(call, 1, "the indices do not fit the input"); }
  }
  nd_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  plan->batch_dims = batch_dims;
  plan->depth = (uint32_t)depth;
  plan->batches = bbw_dims_product(x->dims, 0, batch_dims);
  plan->places = bbw_dims_product(indices->dims, batch_dims, indices->rank - 1);
  plan->slice = bbw_dims_product(x->dims, batch_dims + plan->depth, x->rank);
  plan->batch_step = bbw_dims_product(x->dims, batch_dims, x->rank);
  for (uint32_t i = 0; i < plan->depth; i++) {
    plan->steps[i] = bbw_dims_product(x->dims, batch_dims + i + 1, x->rank);
  }
  *out = plan;
  return BBW_OK;
}

static bbw_status check_places(bbw_call *call, const nd_plan *plan) {
  for (uint32_t i = 0; i < plan->depth; i++) {
    BBW_TRY(check_indices(call, 1, i, plan->depth, call->inputs[0]->dims[plan->batch_dims + i]));
  }
  return BBW_OK;
}

/* The first element of the slice that place number `place` (over all batches) names. */
static size_t place_of(const bbw_call *call, const nd_plan *plan, size_t place) {
  size_t at = place / plan->places * plan->batch_step;
  for (uint32_t i = 0; i < plan->depth; i++) {
    size_t size = call->inputs[0]->dims[plan->batch_dims + i];
    at += index_at(call->inputs[1], place * plan->depth + i, size) * plan->steps[i];
  }
  return at;
}

bbw_status bbw_gather_nd_infer(bbw_call *call) {
  const bbw_gather_params *p = call->params;
  const bbw_array *x = call->inputs[0], *indices = call->inputs[1];
  nd_plan *plan;
  uint32_t rank = 0;
  size_t dims[2 * BBW_ARRAY_RANK_MAX];
  if (p->batch_dims < 0 || p->batch_dims > (int64_t)BBW_ARRAY_RANK_MAX) {
    return bbw_call_refuse(call, -1, "batch_dims is out of range");
  }
  BBW_TRY(infer_nd(call, (uint32_t)p->batch_dims, &plan));
  for (uint32_t d = 0; d + 1 < indices->rank; d++) { dims[rank++] = indices->dims[d]; }
  for (uint32_t d = plan->batch_dims + plan->depth; d < x->rank; d++) { dims[rank++] = x->dims[d]; }
  return bbw_call_output(call, 0, x->dtype, rank, dims);
}

bbw_status bbw_gather_nd_run(bbw_call *call) {
  const nd_plan *plan = call->plan;
  const bbw_array *x = call->inputs[0];
  size_t bytes = bbw_dtype_bytes(x->dtype);
  char *out = call->outputs[0]->data;
  BBW_TRY(check_places(call, plan));
  if (call->outputs[0]->count == 0) { return BBW_OK; }
  for (size_t i = 0; i < plan->batches * plan->places; i++, out += plan->slice * bytes) {
    memcpy(out, (const char *)x->data + place_of(call, plan, i) * bytes, plan->slice * bytes);
  }
  return BBW_OK;
}

bbw_status bbw_scatter_nd_infer(bbw_call *call) {
  const bbw_gather_params *p = call->params;
  const bbw_array *x = call->inputs[0], *indices = call->inputs[1], *updates = call->inputs[2];
  nd_plan *plan;
  if (updates->dtype != x->dtype) { return bbw_call_refuse(call, 2, "inputs have different element types"); }
  if (p->reduction != BBW_SCATTER_NONE && x->dtype == BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(infer_nd(call, 0, &plan));
  bool fits = updates->rank == indices->rank - 1 + (x->rank - plan->depth);
  for (uint32_t d = 0; fits && d < updates->rank; d++) {
    fits = updates->dims[d] ==
           (d + 1 < indices->rank ? indices->dims[d] : x->dims[d - (indices->rank - 1) + plan->depth]);
  }
  if (!fits) { return bbw_call_refuse(call, 2, "the updates do not fit the indices"); }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_scatter_nd_run(bbw_call *call) {
  const bbw_gather_params *p = call->params;
  const nd_plan *plan = call->plan;
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0];
  BBW_TRY(check_places(call, plan));
  if (x->count == 0) { return BBW_OK; }
  memcpy(out->data, x->data, bbw_array_bytes(x));
  for (size_t i = 0; i < plan->places; i++) {
    size_t at = place_of(call, plan, i);
    for (size_t k = 0; k < plan->slice; k++) {
      update(out, at + k, call->inputs[2], i * plan->slice + k, p->reduction);
    }
  }
  return BBW_OK;
}

/* ---- OneHot ---- */

bbw_status bbw_one_hot_prepare(bbw_prep *prep) {
  bbw_gather_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  return bbw_prep_int(prep, "axis", -1, &p->axis);
}

bbw_status bbw_one_hot_infer(bbw_call *call) {
  const bbw_gather_params *p = call->params;
  const bbw_array *indices = call->inputs[0], *values = call->inputs[2];
  uint32_t axis;
  int64_t depth;
  size_t dims[BBW_ARRAY_RANK_MAX + 1];
  if (indices->dtype == BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 0); }
  if (values->rank != 1 || values->count != 2) { return bbw_call_refuse(call, 2, "there must be two values"); }
  BBW_TRY(bbw_call_axis(call, p->axis, indices->rank + 1, &axis));
  BBW_TRY(bbw_call_int(call, 1, 0, &depth));
  if (depth < 1 || (uint64_t)depth > SIZE_MAX) { return bbw_call_refuse(call, 1, "the depth is out of range"); }
  for (uint32_t d = 0; d <= indices->rank; d++) {
    dims[d] = d < axis ? indices->dims[d] : d == axis ? (size_t)depth : indices->dims[d - 1];
  }
  bbw_lanes *lanes = bbw_call_plan(call, sizeof *lanes);
  if (lanes == NULL) { return BBW_E_NOMEM; }
  lanes->outer = bbw_dims_product(indices->dims, 0, axis);
  lanes->length = (size_t)depth;
  lanes->inner = bbw_dims_product(indices->dims, axis, indices->rank);
  return bbw_call_output(call, 0, values->dtype, indices->rank + 1, dims);
}

/* Indices out of range leave their lane as it is. */
bbw_status bbw_one_hot_run(bbw_call *call) {
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  const bbw_array *values = call->inputs[2];
  bbw_array *out = call->outputs[0];
  size_t bytes = bbw_dtype_bytes(out->dtype);
  bbw_fill(out->data, out->count, values->data, bytes);
  for (size_t i = 0; i < call->inputs[0]->count; i++) {
    int64_t index;
    bbw_load_i64(call->inputs[0], i, 1, &index);
    if (index < 0) { index += (int64_t)lanes.length; }
    if (index < 0 || (uint64_t)index >= lanes.length) { continue; }
    size_t at = (i / lanes.inner * lanes.length + (size_t)index) * lanes.inner + i % lanes.inner;
    memcpy((char *)out->data + at * bytes, (const char *)values->data + bytes, bytes);
  }
  return BBW_OK;
}

/* ---- ReverseSequence ---- */

bbw_status bbw_reverse_sequence_prepare(bbw_prep *prep) {
  bbw_gather_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "time_axis", 0, &p->axis));
  BBW_TRY(bbw_prep_int(prep, "batch_axis", 1, &p->batch_axis));
  bool fits = (p->axis == 0 || p->axis == 1) && p->batch_axis == 1 - p->axis;
  return fits ? BBW_OK : bbw_prep_refuse(prep, "time_axis", "the axes must be 0 and 1");
}

bbw_status bbw_reverse_sequence_infer(bbw_call *call) {
  const bbw_gather_params *p = call->params;
  const bbw_array *x = call->inputs[0], *lengths = call->inputs[1];
  BBW_TRY(check_index_type(call, 1));
  if (x->rank < 2) { return bbw_call_refuse(call, 0, "input needs two dimensions at least"); }
  if (lengths->rank != 1 || lengths->count != x->dims[p->batch_axis]) {
    return bbw_call_refuse(call, 1, "there must be one length per sequence");
  }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_reverse_sequence_run(bbw_call *call) {
  const bbw_gather_params *p = call->params;
  const bbw_array *x = call->inputs[0], *lengths = call->inputs[1];
  size_t times = x->dims[p->axis], batches = x->dims[p->batch_axis];
  size_t bytes = bbw_dims_product(x->dims, 2, x->rank) * bbw_dtype_bytes(x->dtype);
  size_t time_step = p->axis == 0 ? batches : 1, batch_step = p->axis == 0 ? 1 : times;
  for (size_t b = 0; b < batches; b++) {
    int64_t length;
    bbw_load_i64(lengths, b, 1, &length);
    if (length < 0 || (uint64_t)length > times) { return bbw_call_refuse(call, 1, "a length is out of range"); }
  }
  if (bytes == 0) { return BBW_OK; }
  for (size_t b = 0; b < batches; b++) {
    int64_t length;
    bbw_load_i64(lengths, b, 1, &length);
    for (size_t t = 0; t < times; t++) {
      size_t from = t < (size_t)length ? (size_t)length - 1 - t : t;
      memcpy((char *)call->outputs[0]->data + (t * time_step + b * batch_step) * bytes,
             (const char *)x->data + (from * time_step + b * batch_step) * bytes, bytes);
    }
  }
  return BBW_OK;
}
