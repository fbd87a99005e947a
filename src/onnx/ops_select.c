/* Operators whose number of results depends on values: they answer BBW_LATER until the values are known. */
#include <string.h>

#include "base/mem.h"
#include "base/sort.h"
#include "onnx/convert.h"
#include "onnx/lanes.h"
#include "onnx/ops.h"

/* ---- NonZero ---- */

static size_t count_true(const bbw_array *x, size_t n) {
  size_t count = 0;
  for (size_t at = 0; at < n; at += BBW_CONVERT_BLOCK) {
    size_t part = n - at < BBW_CONVERT_BLOCK ? n - at : BBW_CONVERT_BLOCK;
    double block[BBW_CONVERT_BLOCK];
    bbw_load_f64(x, at, part, block);
    for (size_t i = 0; i < part; i++) { count += block[i] != 0.0 ? 1 : 0; }
  }
  return count;
}

bbw_status bbw_non_zero_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  BBW_TRY(bbw_call_values(call, 0));
  size_t dims[2] = {x->rank, count_true(x, x->count)};
  return bbw_call_output(call, 0, BBW_DTYPE_I64, 2, dims);
}

bbw_status bbw_non_zero_run(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  size_t count = call->outputs[0]->dims[1], found = 0;
  int64_t *out = call->outputs[0]->data;
  for (size_t i = 0; i < x->count && found < count; i++) {
    double number;
    bbw_load_f64(x, i, 1, &number);
    if (number == 0.0) { continue; }
    size_t rest = i;
    for (uint32_t d = x->rank; d-- > 0;) {
      out[d * count + found] = (int64_t)(rest % x->dims[d]);
      rest /= x->dims[d];
    }
    found++;
  }
  return BBW_OK;
}

/* ---- Compress ---- */

typedef struct select_params {
  bool has_axis;
  int64_t axis;
  bool is_sorted;
} select_params;

bbw_status bbw_select_prepare(bbw_prep *prep) {
  select_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  p->has_axis = bbw_prep_has(prep, "axis");
  BBW_TRY(bbw_prep_int(prep, "axis", 0, &p->axis));
  return bbw_prep_bool(prep, "sorted", true, &p->is_sorted);
}

/* Along the axis, or all elements as one row. */
static bbw_status lanes_of_axis(bbw_call *call, bbw_lanes **out, uint32_t *axis) {
  const select_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  bbw_lanes *lanes = bbw_call_plan(call, sizeof *lanes);
  if (lanes == NULL) { return BBW_E_NOMEM; }
  *axis = 0;
  if (p->has_axis) { BBW_TRY(bbw_call_axis(call, p->axis, x->rank, axis)); }
  *lanes = p->has_axis ? bbw_lanes_of(x, *axis) : (bbw_lanes){1, x->count, 1};
  *out = lanes;
  return BBW_OK;
}

bbw_status bbw_compress_infer(bbw_call *call) {
  const select_params *p = call->params;
  const bbw_array *x = call->inputs[0], *condition = call->inputs[1];
  bbw_lanes *lanes;
  uint32_t axis;
  size_t dims[BBW_ARRAY_RANK_MAX];
  if (condition->dtype != BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 1); }
  if (condition->rank != 1) { return bbw_call_refuse(call, 1, "the condition must have one dimension"); }
  BBW_TRY(lanes_of_axis(call, &lanes, &axis));
  if (condition->count > lanes->length) { return bbw_call_refuse(call, 1, "the condition is longer than the axis"); }
  BBW_TRY(bbw_call_values(call, 1));
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = count_true(condition, condition->count);
  return bbw_call_output(call, 0, x->dtype, p->has_axis ? x->rank : 1, dims);
}

bbw_status bbw_compress_run(bbw_call *call) {
  const bbw_lanes lanes = *(const bbw_lanes *)call->plan;
  const bbw_array *x = call->inputs[0], *condition = call->inputs[1];
  size_t bytes = lanes.inner * bbw_dtype_bytes(x->dtype);
  char *out = call->outputs[0]->data;
  if (call->outputs[0]->count == 0) { return BBW_OK; }
  for (size_t o = 0; o < lanes.outer; o++) {
    for (size_t i = 0; i < condition->count; i++) {
      if (((const uint8_t *)condition->data)[i] == 0) { continue; }
      memcpy(out, (const char *)x->data + (o * lanes.length + i) * bytes, bytes);
      out += bytes;
    }
  }
  return BBW_OK;
}

/* ---- Unique ---- */

/*
 * Slices along the axis get a rank: equal slices have equal ranks, in the order of their elements.  The first element ranks them, then each further
 * element splits what was equal so far.  infer needs the number of different slices and leaves its work for run.
 */
typedef struct unique_plan {
  bbw_lanes lanes;  /* length: slices */
  size_t count;     /* of different ones */
  uint64_t *group;  /* per slice: its place in the result */
  int64_t *first;   /* per group: the first slice */
  int64_t *members; /* per group: how many slices */
} unique_plan;

static void rank_slices(const unique_plan *plan, const bbw_array *x, bbw_sort_key *keys) {
  size_t n = plan->lanes.length, inner = plan->lanes.inner;
  for (size_t e = 0; e < plan->lanes.outer * inner; e++) {
    size_t start = e / inner * n * inner + e % inner;
    uint64_t rank = 0;
    for (size_t s = 0; s < n; s++) {
      uint64_t key;
      bbw_order_keys(x, start + s * inner, 1, 1, &key);
      keys[s] = (bbw_sort_key){plan->group[s], key, s};
    }
    bbw_sort(keys, n);
    for (size_t i = 0; i < n; i++) {
      if (i > 0 && (keys[i].first != keys[i - 1].first || keys[i].second != keys[i - 1].second)) { rank++; }
      plan->group[keys[i].index] = rank;
    }
  }
}

/* From ranks to groups in the order of their first slices. */
static void order_by_appearance(unique_plan *plan, uint64_t *renamed) {
  uint64_t count = 0;
  for (size_t s = 0; s < plan->lanes.length; s++) { renamed[s] = UINT64_MAX; }
  for (size_t s = 0; s < plan->lanes.length; s++) {
    uint64_t *name = &renamed[plan->group[s]];
    if (*name == UINT64_MAX) { *name = count++; }
    plan->group[s] = *name;
  }
}

bbw_status bbw_unique_infer(bbw_call *call) {
  const select_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  bbw_lanes *lanes;
  uint32_t axis;
  BBW_TRY(bbw_call_values(call, 0));
  BBW_TRY(lanes_of_axis(call, &lanes, &axis));
  size_t n = lanes->length;
  unique_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  plan->lanes = *lanes;
  plan->group = bbw_arena_array(call->arena, n, sizeof *plan->group);
  plan->first = bbw_arena_array(call->arena, n, sizeof *plan->first);
  plan->members = bbw_arena_array(call->arena, n, sizeof *plan->members);
  bbw_sort_key *keys = bbw_arena_array(call->arena, n, sizeof *keys);
  uint64_t *renamed = bbw_arena_array(call->arena, n, sizeof *renamed);
  if (plan->group == NULL || plan->first == NULL || plan->members == NULL || keys == NULL || renamed == NULL) {
    return BBW_E_NOMEM;
  }
  rank_slices(plan, x, keys);
  if (!p->is_sorted) { order_by_appearance(plan, renamed); }
  for (size_t s = n; s-- > 0;) {
    plan->first[plan->group[s]] = (int64_t)s;
    plan->members[plan->group[s]]++;
    if (plan->group[s] >= plan->count) { plan->count = (size_t)plan->group[s] + 1; }
  }
  size_t dims[BBW_ARRAY_RANK_MAX];
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = plan->count;
  BBW_TRY(bbw_call_output(call, 0, x->dtype, p->has_axis ? x->rank : 1, dims));
  BBW_TRY(bbw_call_output(call, 1, BBW_DTYPE_I64, 1, &plan->count));
  BBW_TRY(bbw_call_output(call, 2, BBW_DTYPE_I64, 1, &n));
  return bbw_call_output(call, 3, BBW_DTYPE_I64, 1, &plan->count);
}

bbw_status bbw_unique_run(bbw_call *call) {
  const unique_plan *plan = call->plan;
  const bbw_array *x = call->inputs[0];
  bbw_array *out = bbw_call_result(call, 0), *first = bbw_call_result(call, 1), *group = bbw_call_result(call, 2),
            *members = bbw_call_result(call, 3);
  size_t bytes = plan->lanes.inner * bbw_dtype_bytes(x->dtype);
  for (size_t o = 0; o < plan->lanes.outer && bytes > 0 && out != NULL; o++) {
    for (size_t g = 0; g < plan->count; g++) {
      memcpy((char *)out->data + (o * plan->count + g) * bytes,
             (const char *)x->data + (o * plan->lanes.length + (size_t)plan->first[g]) * bytes, bytes);
    }
  }
  if (first != NULL && first->count > 0) { memcpy(first->data, plan->first, bbw_array_bytes(first)); }
  if (group != NULL && group->count > 0) { memcpy(group->data, plan->group, bbw_array_bytes(group)); }
  if (members != NULL && members->count > 0) { memcpy(members->data, plan->members, bbw_array_bytes(members)); }
  return BBW_OK;
}
