/* The operators of cpu_ops that compute. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "components/cpu_ops_private.h"
#include "kernels/broadcast.h"
#include "kernels/gemm.h"
#include "kernels/softmax.h"

bbw_status cpu_unary(bbw_cpu_call *call, const cpu_row *row) {
  const bbw_tensor *x = cpu_input(call, 0);
  float *out;
  bbw_status rv = cpu_output(call, x->dims, x->rank, &out);
  if (rv == BBW_OK && x->count > 0) { row->unary(x->data, out, x->count); }
  return rv;
}

bbw_status cpu_leaky_relu(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0);
  float *out;
  bbw_status rv = cpu_output(call, x->dims, x->rank, &out);
  if (rv == BBW_OK) { bbw_leaky_relu_f32_simd128(cpu_attr_float(call, "alpha", 0.01f), x->data, out, x->count); }
  return rv;
}

bbw_status cpu_binary(bbw_cpu_call *call, const cpu_row *row) {
  const bbw_tensor *x = cpu_input(call, 0), *y = cpu_input(call, 1);
  bbw_broadcast plan;
  float *out;
  if (!bbw_broadcast_plan(&plan, x->dims, x->rank, y->dims, y->rank)) {
    return cpu_refuse(call, "shapes do not broadcast");
  }
  bbw_status rv = cpu_output(call, plan.dims, plan.rank, &out);
  if (rv == BBW_OK) { bbw_broadcast_run(&plan, row->binary, x->data, y->data, out); }
  return rv;
}

/* How far each axis of a result moves in a tensor that is repeated to its shape, in units of `unit` elements. */
static void repeat_steps(const uint64_t *dims, uint32_t rank, uint32_t out_rank, size_t unit, size_t *steps) {
  size_t product = unit;
  for (uint32_t back = 0; back < out_rank; back++) {
    uint64_t dim = back < rank ? dims[rank - 1 - back] : 1;
    steps[out_rank - 1 - back] = dim == 1 ? 0 : product;
    product *= (size_t)dim;
  }
}

/* Moves `count` offsets to the next element of a result; index has `rank` places. */
static void next_place(const uint64_t *dims, uint32_t rank, size_t *index, size_t (*steps)[BBW_TENSOR_RANK_MAX],
                       size_t *offsets, size_t count) {
  for (uint32_t d = rank; d-- > 0;) {
    for (size_t k = 0; k < count; k++) { offsets[k] += steps[k][d]; }
    if (++index[d] < dims[d]) { return; }
    for (size_t k = 0; k < count; k++) { offsets[k] -= steps[k][d] * (size_t)dims[d]; }
    index[d] = 0;
  }
}

bbw_status cpu_where(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *in[3] = {cpu_input(call, 0), cpu_input(call, 1), cpu_input(call, 2)};
  bbw_broadcast two, all;
  if (!bbw_broadcast_plan(&two, in[0]->dims, in[0]->rank, in[1]->dims, in[1]->rank) ||
      !bbw_broadcast_plan(&all, two.dims, two.rank, in[2]->dims, in[2]->rank)) {
    return cpu_refuse(call, "shapes do not broadcast");
  }
  float *out;
  bbw_status rv = cpu_output(call, all.dims, all.rank, &out);
  if (rv != BBW_OK) { return rv; }
  size_t steps[3][BBW_TENSOR_RANK_MAX], offsets[3] = {0}, index[BBW_TENSOR_RANK_MAX] = {0};
  for (size_t k = 0; k < 3; k++) { repeat_steps(in[k]->dims, in[k]->rank, all.rank, 1, steps[k]); }
  for (size_t i = 0; i < all.count; i++) {
    out[i] = in[0]->data[offsets[0]] != 0.0f ? in[1]->data[offsets[1]] : in[2]->data[offsets[2]];
    next_place(all.dims, all.rank, index, steps, offsets, 3);
  }
  return BBW_OK;
}

static bbw_status softmax(bbw_cpu_call *call, bbw_softmax_f32_fn *kernel) {
  const bbw_tensor *x = cpu_input(call, 0);
  uint32_t axis;
  if (!cpu_axis(cpu_attr_int(call, "axis", -1), x->rank, &axis)) { return cpu_refuse(call, "axis out of bounds"); }
  float *out;
  bbw_status rv = cpu_output(call, x->dims, x->rank, &out);
  if (rv != BBW_OK || x->count == 0) { return rv; }
  kernel(x->data, out, cpu_product(x->dims, 0, axis), (size_t)x->dims[axis], cpu_product(x->dims, axis + 1, x->rank));
  return BBW_OK;
}

bbw_status cpu_softmax(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  return softmax(call, bbw_softmax_f32_simd128);
}

bbw_status cpu_log_softmax(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  return softmax(call, bbw_log_softmax_f32_simd128);
}

/* ---- matrix products ---- */

/* Temporary floats; a count of 0 gives a pointer that is not read. */
static bool borrow(const bbw_cpu_call *call, size_t count, float **out) {
  *out = bbw_mem_array(call->mem, count, sizeof(float));
  return *out != NULL || count == 0;
}
static void give_back(const bbw_cpu_call *call, float *floats, size_t count) {
  bbw_mem_array_free(call->mem, floats, count, sizeof(float));
}

/* Batches of matrices: the dimensions before the last two broadcast.  A vector stands for a row on the left, for a column on the right. */
bbw_status cpu_matmul(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *a = cpu_input(call, 0), *b = cpu_input(call, 1);
  if (a->rank == 0 || b->rank == 0) { return cpu_refuse(call, "inputs need at least one dimension"); }
  size_t m = a->rank > 1 ? (size_t)a->dims[a->rank - 2] : 1, k = (size_t)a->dims[a->rank - 1];
  size_t n = b->rank > 1 ? (size_t)b->dims[b->rank - 1] : 1;
  if ((size_t)b->dims[b->rank > 1 ? b->rank - 2 : 0] != k) { return cpu_refuse(call, "inner dimensions differ"); }
  uint32_t a_lead = a->rank > 1 ? a->rank - 2 : 0, b_lead = b->rank > 1 ? b->rank - 2 : 0;
  bbw_broadcast lead;
  if (!bbw_broadcast_plan(&lead, a->dims, a_lead, b->dims, b_lead)) {
    return cpu_refuse(call, "shapes do not broadcast");
  }
  uint64_t dims[BBW_TENSOR_RANK_MAX + 2];
  uint32_t rank = lead.rank;
  memcpy(dims, lead.dims, rank * sizeof dims[0]);
  if (a->rank > 1) { dims[rank++] = m; }
  if (b->rank > 1) { dims[rank++] = n; }
  float *out, *scratch;
  bbw_status rv = cpu_output(call, dims, rank, &out);
  if (rv != BBW_OK) { return rv; }
  if (m == 0 || n == 0) { return BBW_OK; } /* however many empty matrices there are */
  size_t scratch_count = bbw_gemm_f32_scratch(m, n, k);
  if (!borrow(call, scratch_count, &scratch)) { return BBW_E_NOMEM; }
  size_t steps[2][BBW_TENSOR_RANK_MAX], offsets[2] = {0}, index[BBW_TENSOR_RANK_MAX] = {0};
  repeat_steps(a->dims, a_lead, lead.rank, m * k, steps[0]);
  repeat_steps(b->dims, b_lead, lead.rank, k * n, steps[1]);
  for (size_t i = 0; i < lead.count; i++) {
    bbw_gemm_f32_simd128(a->data + offsets[0], b->data + offsets[1], out + i * m * n, m, n, k, &BBW_GEMM_PLAIN,
                         scratch);
    next_place(lead.dims, lead.rank, index, steps, offsets, 2);
  }
  give_back(call, scratch, scratch_count);
  return BBW_OK;
}

bbw_status cpu_dot(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *a = cpu_input(call, 0), *b = cpu_input(call, 1);
  if (a->rank == 0) { return cpu_refuse(call, "inputs need at least one dimension"); }
  if (a->rank != b->rank || memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]) != 0) {
    return cpu_refuse(call, "shapes differ");
  }
  float *out, *products;
  bbw_status rv = cpu_output(call, a->dims, a->rank - 1, &out);
  if (rv != BBW_OK) { return rv; }
  if (!borrow(call, a->count, &products)) { return BBW_E_NOMEM; }
  size_t length = (size_t)a->dims[a->rank - 1];
  if (a->count > 0) {
    bbw_mul_f32_simd128(a->data, b->data, products, a->count);
    bbw_reduce_sum_f32_simd128(products, out, a->count / length, length, 1);
  }
  give_back(call, products, a->count);
  return BBW_OK;
}

/* y + beta * c, c broadcast to the shape of y. */
static bbw_status add_bias(bbw_cpu_call *call, const uint64_t *dims, float *y, const bbw_tensor *c, float beta) {
  bbw_broadcast plan;
  if (!bbw_broadcast_plan(&plan, dims, 2, c->dims, c->rank) || plan.rank != 2 || plan.dims[0] != dims[0] ||
      plan.dims[1] != dims[1]) {
    return cpu_refuse(call, "input C does not broadcast to the result");
  }
  if (beta == 1.0f) {
    bbw_broadcast_run(&plan, bbw_add_f32_simd128, y, c->data, y);
    return BBW_OK;
  }
  float *scaled;
  if (!borrow(call, c->count, &scaled)) { return BBW_E_NOMEM; }
  bbw_scale_f32_simd128(beta, c->data, scaled, c->count);
  bbw_broadcast_run(&plan, bbw_add_f32_simd128, y, scaled, y);
  give_back(call, scaled, c->count);
  return BBW_OK;
}

bbw_status cpu_gemm(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *a = cpu_input(call, 0), *b = cpu_input(call, 1), *c = cpu_input(call, 2);
  if (a->rank != 2 || b->rank != 2) { return cpu_refuse(call, "inputs A and B have to be matrices"); }
  bbw_gemm_options options = BBW_GEMM_PLAIN;
  options.is_a_transposed = cpu_attr_int(call, "transA", 0) != 0;
  options.is_b_transposed = cpu_attr_int(call, "transB", 0) != 0;
  size_t m = (size_t)a->dims[options.is_a_transposed ? 1 : 0], k = (size_t)a->dims[options.is_a_transposed ? 0 : 1];
  size_t n = (size_t)b->dims[options.is_b_transposed ? 0 : 1];
  if ((size_t)b->dims[options.is_b_transposed ? 1 : 0] != k) { return cpu_refuse(call, "inner dimensions differ"); }
  const uint64_t dims[] = {m, n};
  float *out, *scratch;
  bbw_status rv = cpu_output(call, dims, 2, &out);
  if (rv != BBW_OK) { return rv; }
  size_t scratch_count = bbw_gemm_f32_scratch(m, n, k);
  if (!borrow(call, scratch_count, &scratch)) { return BBW_E_NOMEM; }
  bbw_gemm_f32_simd128(a->data, b->data, out, m, n, k, &options, scratch);
  give_back(call, scratch, scratch_count);
  /* The product is rounded, then scaled, then beta * c is added: not in the kernel, which scales each block of k. */
  float alpha = cpu_attr_float(call, "alpha", 1.0f);
  if (alpha != 1.0f) { bbw_scale_f32_simd128(alpha, out, out, m * n); }
  return c != NULL ? add_bias(call, dims, out, c, cpu_attr_float(call, "beta", 1.0f)) : BBW_OK;
}

/* ---- reductions ---- */

/* Which axes to reduce; the list as an attribute or an input, all when it is absent or empty. */
static bbw_status read_axes(bbw_cpu_call *call, const bbw_tensor *x, bool is_reduced[BBW_TENSOR_RANK_MAX]) {
  cpu_ints axes;
  bbw_status rv = cpu_read_ints(call, "axes", 1, &axes);
  if (rv != BBW_OK) { return rv; }
  for (uint32_t d = 0; d < x->rank; d++) { is_reduced[d] = axes.count == 0; }
  for (size_t i = 0; i < axes.count; i++) {
    uint32_t axis;
    if (!cpu_axis(axes.items[i], x->rank, &axis)) { return cpu_refuse(call, "axis out of bounds"); }
    is_reduced[axis] = true;
  }
  return BBW_OK;
}

/* Reduces runs of neighbouring axes from the last to the first, so that reducing everything is one run over the whole tensor. */
static void reduce_runs(const bbw_tensor *x, const bool *is_reduced, bbw_reduce_f32_fn *kernel, float *first,
                        float *second, float *out) {
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  for (uint32_t d = 0; d < x->rank; d++) { dims[d] = x->dims[d]; }
  const float *from = x->data;
  for (uint32_t end = x->rank; end > 0;) {
    uint32_t start = end - 1;
    if (!is_reduced[start]) {
      end = start;
      continue;
    }
    while (start > 0 && is_reduced[start - 1]) { start--; }
    bool is_last = true;
    for (uint32_t d = 0; d < start; d++) { is_last = is_last && !is_reduced[d]; }
    float *to = is_last ? out : from == first ? second : first;
    kernel(from, to, cpu_product(dims, 0, start), cpu_product(dims, start, end), cpu_product(dims, end, x->rank));
    for (uint32_t d = start; d < end; d++) { dims[d] = 1; }
    from = to;
    end = start;
  }
}

static bbw_status reduce(bbw_cpu_call *call, bbw_reduce_f32_fn *kernel, bool is_mean) {
  const bbw_tensor *x = cpu_input(call, 0);
  bool is_reduced[BBW_TENSOR_RANK_MAX] = {false};
  if (x->count == 0) { return cpu_refuse(call, "empty input"); }
  bbw_status rv = read_axes(call, x, is_reduced);
  if (rv != BBW_OK) { return rv; }
  bool keeps = cpu_attr_int(call, "keepdims", 1) != 0;
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  uint32_t rank = 0;
  size_t length = 1;
  for (uint32_t d = 0; d < x->rank; d++) {
    if (is_reduced[d]) { length *= (size_t)x->dims[d]; }
    if (!is_reduced[d] || keeps) { dims[rank++] = is_reduced[d] ? 1 : x->dims[d]; }
  }
  float *out, *first, *second;
  rv = cpu_output(call, dims, rank, &out);
  if (rv != BBW_OK) { return rv; }
  if (!borrow(call, x->count, &first)) { return BBW_E_NOMEM; }
  if (!borrow(call, x->count, &second)) {
    give_back(call, first, x->count);
    return BBW_E_NOMEM;
  }
  if (x->rank == 0) {
    kernel(x->data, out, 1, 1, 1);
  } else {
    reduce_runs(x, is_reduced, kernel, first, second, out);
  }
  for (size_t i = 0; is_mean && i < x->count / length; i++) { out[i] = out[i] / (float)length; }
  give_back(call, second, x->count);
  give_back(call, first, x->count);
  return BBW_OK;
}

bbw_status cpu_reduce(bbw_cpu_call *call, const cpu_row *row) { return reduce(call, row->reduce, false); }

bbw_status cpu_reduce_mean(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  return reduce(call, bbw_reduce_sum_f32_simd128, true);
}

bbw_status cpu_argmax(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0);
  uint32_t axis;
  if (x->count == 0) { return cpu_refuse(call, "empty input"); }
  if (!cpu_axis(cpu_attr_int(call, "axis", 0), x->rank, &axis)) { return cpu_refuse(call, "axis out of bounds"); }
  bool keeps = cpu_attr_int(call, "keepdims", 1) != 0;
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  uint32_t rank = 0;
  for (uint32_t d = 0; d < x->rank; d++) {
    if (d != axis || keeps) { dims[rank++] = d == axis ? 1 : x->dims[d]; }
  }
  float *out;
  bbw_status rv = cpu_output(call, dims, rank, &out);
  if (rv != BBW_OK) { return rv; }
  bbw_argmax_f32(x->data, out, cpu_product(x->dims, 0, axis), (size_t)x->dims[axis],
                 cpu_product(x->dims, axis + 1, x->rank));
  return BBW_OK;
}

/* The mean over axis 2, as often as there are spatial axes. */
bbw_status cpu_global_average_pool(bbw_cpu_call *call, const cpu_row *row) {
  (void)row;
  const bbw_tensor *x = cpu_input(call, 0);
  if (x->rank < 3) { return cpu_refuse(call, "input needs at least three dimensions"); }
  size_t outer = cpu_product(x->dims, 0, 2), rest = cpu_product(x->dims, 2, x->rank);
  if (rest == 0) { return cpu_refuse(call, "zero spatial size"); }
  uint64_t dims[BBW_TENSOR_RANK_MAX];
  for (uint32_t d = 0; d < x->rank; d++) { dims[d] = d < 2 ? x->dims[d] : 1; }
  float *out, *first, *second;
  bbw_status rv = cpu_output(call, dims, x->rank, &out);
  if (rv != BBW_OK) { return rv; }
  if (!borrow(call, x->count, &first)) { return BBW_E_NOMEM; }
  if (!borrow(call, x->count, &second)) {
    give_back(call, first, x->count);
    return BBW_E_NOMEM;
  }
  const float *from = x->data;
  for (uint32_t d = 2; outer > 0 && d < x->rank; d++) {
    rest /= (size_t)x->dims[d];
    float *to = d + 1 == x->rank ? out : from == first ? second : first;
    bbw_reduce_mean_f32_simd128(from, to, outer, (size_t)x->dims[d], rest);
    from = to;
  }
  give_back(call, second, x->count);
  give_back(call, first, x->count);
  return BBW_OK;
}
