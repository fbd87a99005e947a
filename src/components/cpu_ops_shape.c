/* The operators of cpu_ops that make, move and cut tensors. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "components/cpu_ops_private.h"
#include "format/tensor_proto.h"
#include "kernels/transpose.h"

bbw_status cpu_identity(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  cpu_push(call, bbw_value_retain(call->inputs[0]));
  return BBW_OK;
}

/* There is one element type, so a cast keeps the numbers. */
bbw_status cpu_cast(bbw_cpu_call *call, const cpu_row *row) {
  if (!cpu_attr_has_int(call, "to")) { return cpu_refuse(call, "attribute `to` is missing"); }
  return cpu_identity(call, row);
}

bbw_status cpu_constant(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_onnx_attribute *a = bbw_onnx_attribute_find(call->node, BBW_STR("value"));
  if (a == NULL || a->type != BBW_ONNX_ATTR_TENSOR || a->t == NULL) {
    return cpu_refuse(call, "attribute `value` is no tensor");
  }
  bbw_value *value;
  bbw_status rv = bbw_tensor_proto_to_value(&value, a->t, call->mem, NULL);
  if (rv == BBW_E_NOMEM) { return rv; }
  if (rv != BBW_OK) { return cpu_refuse(call, "attribute `value` is no f32 tensor"); }
  cpu_push(call, value);
  return BBW_OK;
}

/* The wanted shape under either name, or as an input. */
static bbw_status read_shape(bbw_cpu_call *call, size_t input, cpu_ints *out, bool *is_onnx) {
  *is_onnx = false;
  bbw_status rv = cpu_read_ints(call, "dims", CPU_NO_INPUT, out);
  if (rv != BBW_OK || out->is_given) { return rv; }
  *is_onnx = true;
  rv = cpu_read_ints(call, "shape", input, out);
  if (rv == BBW_OK && !out->is_given) { return cpu_refuse(call, "attribute `dims` is missing"); }
  return rv;
}

static bbw_status filled(bbw_cpu_call *call, float number) {
  cpu_ints shape;
  bool is_onnx;
  bbw_status rv = read_shape(call, 0, &shape, &is_onnx);
  if (rv != BBW_OK) { return rv; }
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  for (size_t d = 0; d < shape.count; d++) { dims[d] = shape.items[d] < 0 ? 0 : (uint64_t)shape.items[d]; }
  float *out;
  rv = cpu_output(call, dims, (uint32_t)shape.count, &out);
  if (rv != BBW_OK) { return rv; }
  size_t count = cpu_product(dims, 0, (uint32_t)shape.count);
  for (size_t i = 0; i < count; i++) { out[i] = number; }
  return BBW_OK;
}

bbw_status cpu_zeros(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  return filled(call, 0.0f);
}

bbw_status cpu_ones(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  return filled(call, 1.0f);
}

/* The elements of input 0 under another shape. */
static bbw_status as_shape(bbw_cpu_call *call, const uint64_t *dims, uint32_t rank) {
  const bbw_tensor *x = cpu_input(call, 0);
  float *out;
  bbw_status rv = cpu_output(call, dims, rank, &out);
  if (rv == BBW_OK && x->count > 0) { memcpy(out, x->data, x->count * sizeof(float)); }
  return rv;
}

/* A negative entry is inferred.  A 0 is a dimension of size 0 in the reference's dialect (`dims`) and a copied one in ONNX's. */
bbw_status cpu_reshape(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0);
  cpu_ints shape;
  bool is_onnx;
  bbw_status rv = read_shape(call, 1, &shape, &is_onnx);
  if (rv != BBW_OK) { return rv; }
  bool copies = is_onnx && cpu_attr_int(call, "allowzero", 0) == 0;
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  size_t others = 1, inferred = SIZE_MAX;
  for (size_t d = 0; d < shape.count; d++) {
    if (shape.items[d] < 0) {
      if (inferred != SIZE_MAX) { return cpu_refuse(call, "more than one dimension is to be inferred"); }
      inferred = d;
      continue;
    }
    dims[d] = (uint64_t)shape.items[d];
    if (dims[d] == 0 && copies) {
      if (d >= x->rank) { return cpu_refuse(call, "a copied dimension does not exist"); }
      dims[d] = x->dims[d];
    }
    if (dims[d] > BBW_CPU_ELEMENTS_MAX || !bbw_size_mul(others, (size_t)dims[d], &others)) {
      return cpu_refuse(call, "shape does not hold the elements");
    }
  }
  if (inferred != SIZE_MAX) {
    if (others == 0 || x->count % others != 0) { return cpu_refuse(call, "a dimension cannot be inferred"); }
    dims[inferred] = x->count / others;
    others = x->count;
  }
  if (others != x->count) { return cpu_refuse(call, "shape does not hold the elements"); }
  return as_shape(call, dims, (uint32_t)shape.count);
}

bbw_status cpu_flatten(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0);
  int64_t axis = cpu_attr_int(call, "axis", 1);
  if (axis < 0) { axis += (int64_t)x->rank; }
  if (axis < 0 || axis > (int64_t)x->rank) { return cpu_refuse(call, "axis out of bounds"); }
  const uint64_t dims[] = {cpu_product(x->dims, 0, (uint32_t)axis), cpu_product(x->dims, (uint32_t)axis, x->rank)};
  return as_shape(call, dims, 2);
}

bbw_status cpu_squeeze(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0);
  cpu_ints axes;
  bbw_status rv = cpu_read_ints(call, "axes", 1, &axes);
  if (rv != BBW_OK) { return rv; }
  bool is_dropped[BBW_TENSOR_RANK_MAX] = {false};
  for (uint32_t d = 0; d < x->rank; d++) { is_dropped[d] = axes.count == 0 && x->dims[d] == 1; }
  for (size_t i = 0; i < axes.count; i++) {
    uint32_t axis;
    if (!cpu_axis(axes.items[i], x->rank, &axis)) { return cpu_refuse(call, "axis out of bounds"); }
    if (x->dims[axis] != 1) { return cpu_refuse(call, "a dimension that is not 1 cannot be removed"); }
    is_dropped[axis] = true;
  }
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  uint32_t rank = 0;
  for (uint32_t d = 0; d < x->rank; d++) {
    if (!is_dropped[d]) { dims[rank++] = x->dims[d]; }
  }
  return as_shape(call, dims, rank);
}

/* Axes are places in the result. */
bbw_status cpu_unsqueeze(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0);
  cpu_ints axes;
  bbw_status rv = cpu_read_ints(call, "axes", 1, &axes);
  if (rv != BBW_OK) { return rv; }
  if (!axes.is_given) { return cpu_refuse(call, "attribute `axes` is missing"); }
  if (x->rank + axes.count > BBW_TENSOR_RANK_MAX) { return cpu_refuse(call, "result has too many dimensions"); }
  uint32_t rank = x->rank + (uint32_t)axes.count;
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  bool is_new[BBW_TENSOR_RANK_MAX] = {false};
  for (size_t i = 0; i < axes.count; i++) {
    uint32_t axis;
    if (!cpu_axis(axes.items[i], rank, &axis)) { return cpu_refuse(call, "axis out of bounds"); }
    if (is_new[axis]) { return cpu_refuse(call, "an axis is listed twice"); }
    is_new[axis] = true;
  }
  for (uint32_t d = 0, from = 0; d < rank; d++) { dims[d] = is_new[d] ? 1 : x->dims[from++]; }
  return as_shape(call, dims, rank);
}

bbw_status cpu_transpose(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0);
  cpu_ints given;
  bbw_status rv = cpu_read_ints(call, "perm", CPU_NO_INPUT, &given);
  if (rv != BBW_OK) { return rv; }
  uint32_t perm[BBW_TENSOR_RANK_MAX];
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  bool is_used[BBW_TENSOR_RANK_MAX] = {false};
  if (given.count != 0 && given.count != x->rank) {
    return cpu_refuse(call, "`perm` has another length than the shape");
  }
  for (uint32_t d = 0; d < x->rank; d++) {
    int64_t axis = given.count != 0 ? given.items[d] : (int64_t)x->rank - 1 - (int64_t)d;
    if (axis < 0 || axis >= (int64_t)x->rank || is_used[axis]) { return cpu_refuse(call, "`perm` is no permutation"); }
    is_used[axis] = true;
    perm[d] = (uint32_t)axis;
    dims[d] = x->dims[axis];
  }
  float *out;
  rv = cpu_output(call, dims, x->rank, &out);
  if (rv == BBW_OK) { bbw_transpose_f32(x->data, x->dims, perm, x->rank, out); }
  return rv;
}

bbw_status cpu_concat(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *first = cpu_input(call, 0);
  uint32_t axis;
  if (!cpu_attr_has_int(call, "axis")) { return cpu_refuse(call, "attribute `axis` is missing"); }
  if (!cpu_axis(cpu_attr_int(call, "axis", 0), first->rank, &axis)) { return cpu_refuse(call, "axis out of bounds"); }
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  memcpy(dims, first->dims, first->rank * sizeof dims[0]);
  dims[axis] = 0;
  for (size_t i = 0; i < call->input_count; i++) {
    const bbw_tensor *x = cpu_input(call, i);
    if (x == NULL) { continue; }
    if (x->rank != first->rank) { return cpu_refuse(call, "ranks differ"); }
    for (uint32_t d = 0; d < x->rank; d++) {
      if (d != axis && x->dims[d] != first->dims[d]) { return cpu_refuse(call, "shapes differ beside the axis"); }
    }
    if (x->dims[axis] > BBW_CPU_ELEMENTS_MAX - dims[axis]) { return cpu_refuse(call, "result is too large"); }
    dims[axis] += x->dims[axis];
  }
  float *out;
  bbw_status rv = cpu_output(call, dims, first->rank, &out);
  if (rv != BBW_OK) { return rv; }
  size_t outer = cpu_product(dims, 0, axis), inner = cpu_product(dims, axis + 1, first->rank), at = 0;
  size_t line = (size_t)dims[axis] * inner;
  for (size_t i = 0; i < call->input_count; i++) {
    const bbw_tensor *x = cpu_input(call, i);
    if (x == NULL) { continue; }
    size_t part = (size_t)x->dims[axis] * inner;
    for (size_t o = 0; o < outer && part > 0; o++) {
      memcpy(out + o * line + at, x->data + o * part, part * sizeof(float));
    }
    at += part;
  }
  return BBW_OK;
}

/* Sizes as an attribute or an input; without them the axis is cut into as many equal parts as there are outputs. */
bbw_status cpu_split(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0);
  uint32_t axis;
  cpu_ints sizes;
  if (!cpu_axis(cpu_attr_int(call, "axis", 0), x->rank, &axis)) { return cpu_refuse(call, "axis out of bounds"); }
  bbw_status rv = cpu_read_ints(call, "split", 1, &sizes);
  if (rv != BBW_OK) { return rv; }
  size_t dim = (size_t)x->dims[axis], sum = 0;
  if (!sizes.is_given) {
    sizes.count = call->output_max;
    if (sizes.count > BBW_TENSOR_RANK_MAX || dim % sizes.count != 0) {
      return cpu_refuse(call, "attribute `split` is missing");
    }
    for (size_t i = 0; i < sizes.count; i++) { sizes.items[i] = (int64_t)(dim / sizes.count); }
  }
  for (size_t i = 0; i < sizes.count; i++) {
    if (sizes.items[i] < 0) { sizes.items[i] = 0; }
    if ((uint64_t)sizes.items[i] > dim - sum) { return cpu_refuse(call, "sizes do not add up to the dimension"); }
    sum += (size_t)sizes.items[i];
  }
  if (sum != dim) { return cpu_refuse(call, "sizes do not add up to the dimension"); }
  size_t outer = cpu_product(x->dims, 0, axis), inner = cpu_product(x->dims, axis + 1, x->rank), at = 0;
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  memcpy(dims, x->dims, x->rank * sizeof dims[0]);
  for (size_t i = 0; i < sizes.count && i < call->output_max; i++) {
    float *out;
    dims[axis] = (uint64_t)sizes.items[i];
    rv = cpu_output(call, dims, x->rank, &out);
    if (rv != BBW_OK) { return rv; }
    size_t part = (size_t)sizes.items[i] * inner;
    for (size_t o = 0; o < outer && part > 0; o++) {
      memcpy(out + o * part, x->data + o * dim * inner + at, part * sizeof(float));
    }
    at += part;
  }
  return BBW_OK;
}

/* One axis of a slice as ONNX defines it: from `start` in steps, before `end`; negative counts from the end; clamped. */
static bool slice_axis(int64_t start, int64_t end, int64_t step, uint64_t dim, int64_t *first, uint64_t *length) {
  int64_t size = (int64_t)dim;
  if (step == 0 || step == INT64_MIN) { return false; }
  if (start < 0) { start = start < -size ? -1 : start + size; }
  if (end < 0) { end = end < -size ? -1 : end + size; }
  int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  start = start < 0 && step > 0 ? 0 : start;
  start = start < low ? low : start > high ? high : start;
  end = end < low ? low : end > high ? high : end;
  int64_t distance = step > 0 ? end - start : start - end, stride = step > 0 ? step : -step;
  if (step < 0 && start < 0) { distance = 0; }
  *first = start;
  *length = distance > 0 ? (uint64_t)((distance - 1) / stride + 1) : 0;
  return true;
}

bbw_status cpu_slice(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0);
  cpu_ints starts, ends, axes, steps;
  bbw_status rv = cpu_read_ints(call, "starts", 1, &starts);
  if (rv == BBW_OK) { rv = cpu_read_ints(call, "ends", 2, &ends); }
  if (rv == BBW_OK) { rv = cpu_read_ints(call, "axes", 3, &axes); }
  if (rv == BBW_OK) { rv = cpu_read_ints(call, "steps", 4, &steps); }
  if (rv != BBW_OK) { return rv; }
  if (!starts.is_given || !ends.is_given) { return cpu_refuse(call, "attribute `starts` or `ends` is missing"); }
  bool fits = starts.count == ends.count && starts.count <= x->rank && (!axes.is_given || axes.count == starts.count) &&
              (!steps.is_given || steps.count == starts.count);
  if (!fits) { return cpu_refuse(call, "lists of different lengths, or longer than the rank"); }
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  int64_t jump[BBW_TENSOR_RANK_MAX], first = 0;
  size_t product = 1, index[BBW_TENSOR_RANK_MAX] = {0};
  bool is_cut[BBW_TENSOR_RANK_MAX] = {false};
  for (uint32_t d = x->rank; d-- > 0;) {
    dims[d] = x->dims[d];
    jump[d] = (int64_t)product;
    product *= (size_t)x->dims[d];
  }
  for (size_t i = 0; i < starts.count; i++) {
    uint32_t axis;
    int64_t from, step = steps.is_given ? steps.items[i] : 1;
    if (!cpu_axis(axes.is_given ? axes.items[i] : (int64_t)i, x->rank, &axis)) {
      return cpu_refuse(call, "axis out of bounds");
    }
    if (is_cut[axis]) { return cpu_refuse(call, "an axis is listed twice"); }
    is_cut[axis] = true;
    if (!slice_axis(starts.items[i], ends.items[i], step, x->dims[axis], &from, &dims[axis])) {
      return cpu_refuse(call, "a step is 0");
    }
    if (x->count == 0) { continue; } /* no place in it has an offset */
    if (dims[axis] > 0) { first += from * jump[axis]; }
    jump[axis] = dims[axis] > 1 ? jump[axis] * step : 0; /* a step of any size is harmless where it is not taken */
  }
  float *out;
  rv = cpu_output(call, dims, x->rank, &out);
  if (rv != BBW_OK) { return rv; }
  size_t count = cpu_product(dims, 0, x->rank);
  int64_t at = first;
  for (size_t i = 0; i < count; i++) {
    out[i] = x->data[at];
    for (uint32_t d = x->rank; d-- > 0;) {
      at += jump[d];
      if (++index[d] < dims[d]) { break; }
      at -= jump[d] * (int64_t)dims[d];
      index[d] = 0;
    }
  }
  return BBW_OK;
}

/* Indices of any shape take the place of the axis; they are cut to whole numbers, negative ones count from the end. */
bbw_status cpu_gather(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0), *indices = cpu_input(call, 1);
  uint32_t axis;
  if (!cpu_axis(cpu_attr_int(call, "axis", 0), x->rank, &axis)) { return cpu_refuse(call, "axis out of bounds"); }
  uint64_t dims[2 * BBW_TENSOR_RANK_MAX];
  uint32_t rank = 0;
  for (uint32_t d = 0; d < axis; d++) { dims[rank++] = x->dims[d]; }
  for (uint32_t d = 0; d < indices->rank; d++) { dims[rank++] = indices->dims[d]; }
  for (uint32_t d = axis + 1; d < x->rank; d++) { dims[rank++] = x->dims[d]; }
  float *out;
  bbw_status rv = cpu_output(call, dims, rank, &out);
  if (rv != BBW_OK) { return rv; }
  size_t outer = cpu_product(x->dims, 0, axis), inner = cpu_product(x->dims, axis + 1, x->rank),
         dim = (size_t)x->dims[axis];
  for (size_t i = 0; i < indices->count; i++) {
    float place = truncf(indices->data[i]);
    if (place < 0.0f) { place = place + (float)dim; }
    if (!(place >= 0.0f && place < (float)dim)) { return cpu_refuse(call, "an index is out of bounds"); }
    for (size_t o = 0; o < outer && inner > 0; o++) {
      memcpy(out + (o * indices->count + i) * inner, x->data + (o * dim + (size_t)place) * inner,
             inner * sizeof(float));
    }
  }
  return BBW_OK;
}
