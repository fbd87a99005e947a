/* Gradients that another array gives their shape to: the way back through broadcasting and reshaping. */
#include <string.h>

#include "base/mem.h"
#include "kernels/reduce.h"
#include "onnx/convert.h"
#include "kernels/elementwise.h"
#include "onnx/ops.h"
#include "onnx/params.h"
#include "onnx/walk.h"

/* Sums over groups of neighbouring axes, the last one first; each turns [outer, length, inner] into [outer, inner]. */
typedef struct sum_plan {
  uint32_t count;
  struct {
    size_t outer, length, inner;
  } sums[BBW_ARRAY_RANK_MAX];
  size_t half; /* floats of one half of the scratch memory; results of the sums but the last go there by turns */
} sum_plan;

/* The axes of g that are repeated over `like`, as groups. */
static bool plan_sums(sum_plan *plan, const bbw_array *g, const bbw_array *like) {
  size_t dims[BBW_ARRAY_RANK_MAX], lead = g->rank - like->rank;
  if (g->rank < like->rank) { return false; }
  memcpy(dims, g->dims, sizeof dims);
  for (uint32_t end = g->rank; end > 0;) {
    uint32_t d = end - 1;
    size_t wanted = d < lead ? 1 : like->dims[d - lead];
    if (wanted == dims[d]) {
      end = d;
      continue;
    }
    if (wanted != 1) { return false; }
    uint32_t from = d;
    while (from > 0 && (from - 1 < lead || like->dims[from - 1 - lead] == 1)) { from--; }
    plan->sums[plan->count].outer = bbw_dims_product(dims, 0, from);
    plan->sums[plan->count].length = bbw_dims_product(dims, from, end);
    plan->sums[plan->count].inner = bbw_dims_product(dims, end, g->rank);
    plan->count++;
    for (uint32_t i = from; i < end; i++) { dims[i] = 1; }
    end = from;
  }
  return true;
}

bbw_status bbw_sum_to_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *like = call->inputs[1];
  sum_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  if (g->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (!plan_sums(plan, g, like)) { return bbw_call_refuse(call, 1, "the gradient does not fit its shape"); }
  if (plan->count > 1) {
    plan->half = plan->sums[0].outer * plan->sums[0].inner;
    if (!bbw_size_mul(plan->half, 2 * sizeof(float), &call->scratch_bytes)) { return BBW_E_LIMIT; }
  }
  return bbw_call_output(call, 0, g->dtype, like->rank, like->dims);
}

bbw_status bbw_sum_to_run(bbw_call *call) {
  const sum_plan *plan = call->plan;
  const float *from = call->inputs[0]->data;
  bbw_array *out = call->outputs[0];
  if (plan->count == 0 && from != out->data) { memcpy(out->data, from, bbw_array_bytes(out)); }
  for (uint32_t i = 0; i < plan->count; i++) {
    float *to = i + 1 == plan->count ? out->data : (float *)call->scratch + (i % 2) * plan->half;
    bbw_reduce_sum_f32_simd128(from, to, plan->sums[i].outer, plan->sums[i].length, plan->sums[i].inner);
    from = to;
  }
  return BBW_OK;
}

bbw_status bbw_reshape_like_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *like = call->inputs[1];
  if (g->count != like->count) { return bbw_call_refuse(call, 1, "the gradient does not fit its shape"); }
  return bbw_call_output(call, 0, g->dtype, like->rank, like->dims);
}

/* ---- ExpandLike, MeanLike: g repeated over the axes where it has one element; MeanLike divides it by how often ---- */

const uint32_t bbw_grad_is_mean = 1;

bbw_status bbw_expand_like_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *like = call->inputs[1];
  bbw_walk *walk = bbw_call_plan(call, sizeof *walk);
  if (walk == NULL) { return BBW_E_NOMEM; }
  if (g->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  walk->operands = 2;
  walk->axes = like->rank;
  for (uint32_t d = 0; d < like->rank; d++) { walk->size[d] = like->dims[d]; }
  if (!bbw_walk_repeated(walk, 0, g)) { return bbw_call_refuse(call, 1, "the gradient does not fit its shape"); }
  bbw_walk_dense(walk, 1, like->rank, like->dims);
  bbw_walk_join(walk);
  return bbw_call_output(call, 0, g->dtype, like->rank, like->dims);
}

bbw_status bbw_expand_like_run(bbw_call *call) {
  bbw_array *out = call->outputs[0];
  bbw_walk_copy(call->plan, call->inputs[0]->data, out->data, sizeof(float));
  if (call->op->ctx != NULL && out->count > 0) {
    bbw_scale_f32_simd128((float)((double)call->inputs[0]->count / (double)out->count), out->data, out->data,
                          out->count);
  }
  return BBW_OK;
}

/* ---- KeptDims: a result of a reduction with its reduced axes as axes of one element.  Inputs: the result, what was reduced (its shape), the axes ---- */

bbw_status bbw_kept_dims_infer(bbw_call *call) {
  const bbw_reduce_params *p = call->params;
  const bbw_array *g = call->inputs[0], *x = call->inputs[1];
  int64_t axes[BBW_ARRAY_RANK_MAX];
  size_t dims[BBW_ARRAY_RANK_MAX];
  uint32_t count = p->axis_count > 0 ? (uint32_t)p->axis_count : 0, axis;
  memcpy(axes, p->axes, sizeof axes);
  if (bbw_call_input(call, 2) != NULL) { BBW_TRY(bbw_call_ints(call, 2, axes, BBW_ARRAY_RANK_MAX, &count)); }
  for (uint32_t d = 0; d < x->rank; d++) { dims[d] = count == 0 && !p->does_nothing_without_axes ? 1 : x->dims[d]; }
  for (uint32_t i = 0; i < count; i++) {
    BBW_TRY(bbw_call_axis(call, axes[i], x->rank, &axis));
    dims[axis] = 1;
  }
  return bbw_call_output(call, 0, g->dtype, x->rank, dims);
}

/* ---- ChannelSum: [batch, channels, ...] to [channels], as a bias of a convolution is spread ---- */

bbw_status bbw_channel_sum_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0];
  sum_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  if (g->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (g->rank < 2) { return bbw_call_refuse(call, 0, "must have batch and channels"); }
  plan->count = 2;
  plan->sums[0].outer = g->dims[0] * g->dims[1];
  plan->sums[0].length = bbw_dims_product(g->dims, 2, g->rank);
  plan->sums[0].inner = 1;
  plan->sums[1].outer = 1;
  plan->sums[1].length = g->dims[0];
  plan->sums[1].inner = g->dims[1];
  plan->half = plan->sums[0].outer;
  if (!bbw_size_mul(plan->half, 2 * sizeof(float), &call->scratch_bytes)) { return BBW_E_LIMIT; }
  return bbw_call_output(call, 0, g->dtype, 1, &g->dims[1]);
}

bbw_status bbw_zeros_like_run(bbw_call *call) {
  if (call->outputs[0]->count > 0) { memset(call->outputs[0]->data, 0, bbw_array_bytes(call->outputs[0])); }
  return BBW_OK;
}
