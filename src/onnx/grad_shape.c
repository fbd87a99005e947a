/* Gradients that another array gives their shape to: the way back through broadcasting and reshaping. */
#include <string.h>

#include "base/mem.h"
#include "kernels/reduce.h"
#include "onnx/convert.h"
#include "onnx/ops.h"

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
