/* The same elements in other places: walks from an input to the result. */
#include <string.h>

#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/params.h"
#include "onnx/walk.h"

/* A walk whose operands are input 0 and output 0, in call->plan; sizes and steps are zero. */
static bbw_walk *new_walk(bbw_call *call, uint32_t axes) {
  bbw_walk *walk = bbw_call_plan(call, sizeof *walk);
  if (walk == NULL) { return NULL; }
  walk->operands = 2;
  walk->axes = axes;
  return walk;
}

bbw_status bbw_walk_run(bbw_call *call) {
  bbw_walk_copy(call->plan, call->inputs[0]->data, call->outputs[0]->data, bbw_dtype_bytes(call->outputs[0]->dtype));
  return BBW_OK;
}

/* ---- Transpose ---- */

bbw_status bbw_transpose_prepare(bbw_prep *prep) {
  bbw_transpose_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  return bbw_prep_ints(prep, "perm", p->perm, BBW_ARRAY_RANK_MAX, &p->count);
}

bbw_status bbw_transpose_infer(bbw_call *call) {
  const bbw_transpose_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  size_t dims[BBW_ARRAY_RANK_MAX];
  bool is_used[BBW_ARRAY_RANK_MAX] = {false};
  ptrdiff_t step[BBW_ARRAY_RANK_MAX];
  if (p->count >= 0 && (uint32_t)p->count != x->rank) {
    return bbw_call_refuse(call, 0, "perm has another number of axes");
  }
  bbw_walk *walk = new_walk(call, x->rank);
  if (walk == NULL) { return BBW_E_NOMEM; }
  bbw_walk_dense(walk, 0, x->rank, x->dims);
  memcpy(step, walk->step[0], sizeof step);
  for (uint32_t d = 0; d < x->rank; d++) {
    uint32_t from = x->rank - 1 - d;
    if (p->count >= 0) { BBW_TRY(bbw_call_axis(call, p->perm[d], x->rank, &from)); }
    if (is_used[from]) { return bbw_call_refuse(call, -1, "perm names an axis twice"); }
    is_used[from] = true;
    walk->size[d] = dims[d] = x->dims[from];
    walk->step[0][d] = step[from];
  }
  bbw_walk_dense(walk, 1, x->rank, dims);
  bbw_walk_join(walk);
  return bbw_call_output(call, 0, x->dtype, x->rank, dims);
}

/* ---- Concat ---- */

typedef struct axis_params {
  int64_t axis;
  int64_t sizes[64]; /* Split: attribute */
  int32_t size_count;
  int64_t output_count;
  bool allows_rest; /* Split: the last part may be smaller */
} axis_params;

bbw_status bbw_concat_prepare(bbw_prep *prep) {
  axis_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  if (!bbw_prep_has(prep, "axis")) { return bbw_prep_refuse(prep, "axis", "attribute is missing"); }
  return bbw_prep_int(prep, "axis", 0, &p->axis);
}

bbw_status bbw_concat_infer(bbw_call *call) {
  const axis_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  uint32_t axis;
  size_t dims[BBW_ARRAY_RANK_MAX];
  if (x == NULL) { return bbw_call_refuse(call, 0, "input is missing"); }
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  memcpy(dims, x->dims, sizeof dims);
  for (uint32_t i = 1; i < call->input_count; i++) {
    const bbw_array *more = call->inputs[i];
    if (more == NULL) { return bbw_call_refuse(call, (int32_t)i, "input is missing"); }
    if (more->dtype != x->dtype) { return bbw_call_refuse(call, (int32_t)i, "inputs have different element types"); }
    bool fits = more->rank == x->rank;
    for (uint32_t d = 0; fits && d < x->rank; d++) { fits = d == axis || more->dims[d] == x->dims[d]; }
    if (!fits) { return bbw_call_refuse(call, (int32_t)i, "the shapes of the inputs do not fit together"); }
    if (more->dims[axis] > SIZE_MAX - dims[axis]) { return bbw_call_refuse(call, (int32_t)i, "result is too large"); }
    dims[axis] += more->dims[axis];
  }
  uint32_t *kept = bbw_call_plan(call, sizeof *kept);
  if (kept == NULL) { return BBW_E_NOMEM; }
  *kept = axis;
  return bbw_call_output(call, 0, x->dtype, x->rank, dims);
}

/* Copies rows of `bytes` from a place to another, where rows are that far apart. */
static void copy_rows(const char *from, size_t from_step, char *to, size_t to_step, size_t rows, size_t bytes) {
  if (bytes == 0) { return; }
  for (size_t i = 0; i < rows; i++) { memcpy(to + i * to_step, from + i * from_step, bytes); }
}

bbw_status bbw_concat_run(bbw_call *call) {
  uint32_t axis = *(const uint32_t *)call->plan;
  bbw_array *out = call->outputs[0];
  size_t bytes = bbw_dtype_bytes(out->dtype), rows = bbw_dims_product(out->dims, 0, axis), at = 0;
  size_t width = bbw_dims_product(out->dims, axis, out->rank) * bytes;
  if (out->count == 0) { return BBW_OK; }
  for (uint32_t i = 0; i < call->input_count; i++) {
    const bbw_array *x = call->inputs[i];
    size_t part = bbw_dims_product(x->dims, axis, x->rank) * bytes;
    copy_rows(x->data, part, (char *)out->data + at, width, rows, part);
    at += part;
  }
  return BBW_OK;
}

/* The gradient of Concat: parts as long along the axis as the arrays behind the first input, where somebody reads them. */
bbw_status bbw_split_like_infer(bbw_call *call) {
  const axis_params *p = call->params;
  const bbw_array *g = call->inputs[0];
  uint32_t *axis = bbw_call_plan(call, sizeof *axis);
  if (axis == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_call_axis(call, p->axis, g->rank, axis));
  for (uint32_t i = 0; i < call->output_count && i + 1 < call->input_count; i++) {
    const bbw_array *like = call->inputs[i + 1];
    BBW_TRY(bbw_call_output(call, i, g->dtype, like->rank, like->dims));
  }
  return BBW_OK;
}

bbw_status bbw_split_like_run(bbw_call *call) {
  uint32_t axis = *(const uint32_t *)call->plan;
  const bbw_array *g = call->inputs[0];
  size_t bytes = bbw_dtype_bytes(g->dtype), rows = bbw_dims_product(g->dims, 0, axis), at = 0;
  size_t width = bbw_dims_product(g->dims, axis, g->rank) * bytes;
  if (g->count == 0) { return BBW_OK; }
  for (uint32_t i = 1; i < call->input_count; i++) {
    size_t part = bbw_dims_product(call->inputs[i]->dims, axis, g->rank) * bytes;
    const bbw_array *out = bbw_call_result(call, i - 1);
    if (out != NULL) { copy_rows((const char *)g->data + at, width, out->data, part, rows, part); }
    at += part;
  }
  return BBW_OK;
}

/* ---- Split ---- */

bbw_status bbw_split_prepare(bbw_prep *prep) {
  axis_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "axis", 0, &p->axis));
  BBW_TRY(bbw_prep_ints(prep, "split", p->sizes, sizeof p->sizes / sizeof p->sizes[0], &p->size_count));
  p->allows_rest = prep->opset >= 18;
  BBW_TRY(bbw_prep_int(prep, "num_outputs", (int64_t)prep->node->output.count, &p->output_count));
  if (p->output_count < 1 || p->output_count < (int64_t)prep->output_count) {
    return bbw_prep_refuse(prep, "num_outputs", "the node has more outputs");
  }
  return BBW_OK;
}

typedef struct split_plan {
  uint32_t axis;
  size_t *sizes; /* per output */
} split_plan;

/* The size of every part, from input, attribute or by equal parts. */
static bbw_status split_sizes(bbw_call *call, size_t whole, int64_t *sizes, uint32_t parts) {
  const axis_params *p = call->params;
  uint32_t count = p->size_count >= 0 ? (uint32_t)p->size_count : 0;
  bool is_given = p->size_count >= 0;
  if (bbw_call_input(call, 1) != NULL) {
    BBW_TRY(bbw_call_ints(call, 1, sizes, parts, &count));
    is_given = true;
  } else if (is_given && count == parts) {
    memcpy(sizes, p->sizes, parts * sizeof *sizes);
  }
  if (is_given && count != parts) { return bbw_call_refuse(call, -1, "there must be one size per output"); }
  if (!is_given) {
    size_t part = (whole + parts - 1) / parts;
    if (whole % parts != 0 && !p->allows_rest) { return bbw_call_refuse(call, 0, "the axis has no equal parts"); }
    for (uint32_t i = 0; i < parts; i++) {
      size_t start = (size_t)i * part;
      sizes[i] = start >= whole ? 0 : (int64_t)(whole - start < part ? whole - start : part);
    }
  }
  uint64_t rest = whole;
  for (uint32_t i = 0; i < parts; i++) {
    if (sizes[i] < 0 || (uint64_t)sizes[i] > rest) {
      return bbw_call_refuse(call, -1, "the sizes do not fit the axis");
    }
    rest -= (uint64_t)sizes[i];
  }
  return rest == 0 ? BBW_OK : bbw_call_refuse(call, -1, "the sizes do not fit the axis");
}

bbw_status bbw_split_infer(bbw_call *call) {
  const axis_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  split_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &plan->axis));
  if (p->output_count > 65536) { return bbw_call_refuse(call, -1, "there are too many parts"); }
  uint32_t parts = (uint32_t)p->output_count;
  int64_t *sizes = bbw_arena_array(call->arena, parts, sizeof *sizes);
  plan->sizes = bbw_arena_array(call->arena, parts, sizeof *plan->sizes);
  if (sizes == NULL || plan->sizes == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(split_sizes(call, x->dims[plan->axis], sizes, parts));
  for (uint32_t i = 0; i < parts; i++) {
    size_t dims[BBW_ARRAY_RANK_MAX];
    plan->sizes[i] = (size_t)sizes[i];
    memcpy(dims, x->dims, sizeof dims);
    dims[plan->axis] = plan->sizes[i];
    BBW_TRY(bbw_call_output(call, i, x->dtype, x->rank, dims));
  }
  return BBW_OK;
}

bbw_status bbw_split_run(bbw_call *call) {
  const split_plan *plan = call->plan;
  const bbw_array *x = call->inputs[0];
  size_t inner = bbw_dims_product(x->dims, plan->axis + 1, x->rank) * bbw_dtype_bytes(x->dtype), at = 0;
  size_t rows = bbw_dims_product(x->dims, 0, plan->axis);
  for (uint32_t i = 0; i < call->output_count; i++) {
    size_t part = plan->sizes[i] * inner;
    bbw_array *out = call->outputs[i];
    if (out != NULL && out->count > 0) {
      copy_rows((const char *)x->data + at, x->dims[plan->axis] * inner, out->data, part, rows, part);
    }
    at += part;
  }
  return BBW_OK;
}

/* ---- Slice ---- */

typedef struct slice_params {
  int64_t starts[BBW_ARRAY_RANK_MAX], ends[BBW_ARRAY_RANK_MAX], axes[BBW_ARRAY_RANK_MAX]; /* before opset 10 */
  int32_t start_count, end_count, axis_count;
} slice_params;

bbw_status bbw_slice_prepare(bbw_prep *prep) {
  slice_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_ints(prep, "starts", p->starts, BBW_ARRAY_RANK_MAX, &p->start_count));
  BBW_TRY(bbw_prep_ints(prep, "ends", p->ends, BBW_ARRAY_RANK_MAX, &p->end_count));
  BBW_TRY(bbw_prep_ints(prep, "axes", p->axes, BBW_ARRAY_RANK_MAX, &p->axis_count));
  if (prep->opset >= 10) {
    return prep->input_count >= 3 ? BBW_OK : bbw_prep_refuse(prep, NULL, "starts or ends are missing");
  }
  if (prep->input_count > 1) { return bbw_prep_refuse(prep, NULL, "starts and ends are attributes before opset 10"); }
  return p->start_count >= 0 && p->end_count >= 0 ? BBW_OK
                                                  : bbw_prep_refuse(prep, "starts", "starts or ends are missing");
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

/* Along an axis of `dim`: the first element taken, and how many. */
static size_t slice_axis(int64_t start, int64_t end, int64_t step, int64_t dim, size_t *first) {
  int64_t low = step > 0 ? 0 : -1, high = step > 0 ? dim : dim - 1;
  start = clamp(start < 0 ? start + dim : start, low < 0 ? 0 : low, high);
  end = clamp(end < 0 ? end + dim : end, low, high);
  int64_t span = step > 0 ? end - start : start - end;
  uint64_t width = step > 0 ? (uint64_t)step : 0u - (uint64_t)step;
  *first = (size_t)(start < 0 ? 0 : start);
  return span <= 0 || dim == 0 ? 0 : (size_t)(((uint64_t)span - 1) / width + 1);
}

bbw_status bbw_slice_infer(bbw_call *call) {
  const slice_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  int64_t starts[BBW_ARRAY_RANK_MAX], ends[BBW_ARRAY_RANK_MAX], axes[BBW_ARRAY_RANK_MAX], steps[BBW_ARRAY_RANK_MAX];
  uint32_t count, end_count, axis_count, step_count;
  bool is_marked[BBW_ARRAY_RANK_MAX] = {false};
  size_t dims[BBW_ARRAY_RANK_MAX];
  if (call->opset >= 10) {
    BBW_TRY(bbw_call_ints(call, 1, starts, BBW_ARRAY_RANK_MAX, &count));
    BBW_TRY(bbw_call_ints(call, 2, ends, BBW_ARRAY_RANK_MAX, &end_count));
  } else {
    count = (uint32_t)p->start_count;
    end_count = (uint32_t)p->end_count;
    memcpy(starts, p->starts, sizeof starts);
    memcpy(ends, p->ends, sizeof ends);
  }
  for (uint32_t i = 0; i < BBW_ARRAY_RANK_MAX; i++) {
    axes[i] = p->axis_count >= 0 ? p->axes[i] : (int64_t)i;
    steps[i] = 1;
  }
  axis_count = p->axis_count >= 0 ? (uint32_t)p->axis_count : count;
  step_count = count;
  if (bbw_call_input(call, 3) != NULL) { BBW_TRY(bbw_call_ints(call, 3, axes, BBW_ARRAY_RANK_MAX, &axis_count)); }
  if (bbw_call_input(call, 4) != NULL) { BBW_TRY(bbw_call_ints(call, 4, steps, BBW_ARRAY_RANK_MAX, &step_count)); }
  if (end_count != count || axis_count != count || step_count != count) {
    return bbw_call_refuse(call, -1, "starts, ends, axes and steps have different lengths");
  }
  bbw_walk *walk = new_walk(call, x->rank);
  if (walk == NULL) { return BBW_E_NOMEM; }
  memcpy(dims, x->dims, sizeof dims);
  bbw_walk_dense(walk, 0, x->rank, x->dims);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t axis;
    size_t first;
    BBW_TRY(bbw_call_axis(call, axes[i], x->rank, &axis));
    if (is_marked[axis]) { return bbw_call_refuse(call, 3, "an axis is named twice"); }
    if (steps[i] == 0) { return bbw_call_refuse(call, 4, "a step is 0"); }
    is_marked[axis] = true;
    dims[axis] = slice_axis(starts[i], ends[i], steps[i], (int64_t)x->dims[axis], &first);
    if (dims[axis] > 0) { walk->start[0] += (ptrdiff_t)first * walk->step[0][axis]; }
    if (dims[axis] > 1) { walk->step[0][axis] *= (ptrdiff_t)steps[i]; } /* the step is within the axis then */
  }
  memcpy(walk->size, dims, sizeof dims);
  bbw_walk_dense(walk, 1, x->rank, dims);
  bbw_walk_join(walk);
  return bbw_call_output(call, 0, x->dtype, x->rank, dims);
}

/* ---- Expand ---- */

bbw_status bbw_call_dims(bbw_call *call, uint32_t i, size_t *dims, uint32_t *rank) {
  int64_t given[BBW_ARRAY_RANK_MAX];
  BBW_TRY(bbw_call_ints(call, i, given, BBW_ARRAY_RANK_MAX, rank));
  for (uint32_t d = 0; d < *rank; d++) {
    if (given[d] < 0) { return bbw_call_refuse(call, (int32_t)i, "a dimension is negative"); }
    if ((uint64_t)given[d] > SIZE_MAX) { return bbw_call_refuse(call, (int32_t)i, "the shape is too large"); }
    dims[d] = (size_t)given[d];
  }
  return BBW_OK;
}

bbw_status bbw_expand_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  size_t dims[BBW_ARRAY_RANK_MAX], wanted[BBW_ARRAY_RANK_MAX];
  uint32_t wanted_rank;
  BBW_TRY(bbw_call_dims(call, 1, wanted, &wanted_rank));
  uint32_t rank = wanted_rank > x->rank ? wanted_rank : x->rank;
  for (uint32_t d = 0; d < rank; d++) {
    size_t have = d >= rank - x->rank ? x->dims[d - (rank - x->rank)] : 1;
    size_t want = d >= rank - wanted_rank ? wanted[d - (rank - wanted_rank)] : 1;
    if (have != want && have != 1 && want != 1) { return bbw_call_refuse(call, 1, "the shape does not fit the input"); }
    dims[d] = have == 1 ? want : have;
  }
  BBW_TRY(bbw_call_output(call, 0, x->dtype, rank, dims));
  bbw_walk *walk = new_walk(call, rank);
  if (walk == NULL) { return BBW_E_NOMEM; }
  memcpy(walk->size, dims, sizeof dims);
  bbw_walk_repeated(walk, 0, x);
  bbw_walk_dense(walk, 1, rank, dims);
  bbw_walk_join(walk);
  return BBW_OK;
}

/* ---- Tile ---- */

/* `copies` goes over the repetitions, `walk` over one of them.  Axes of size 1 are repeated inside. */
typedef struct tile_plan {
  bbw_walk copies, walk;
} tile_plan;

bbw_status bbw_tile_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  size_t repeats[BBW_ARRAY_RANK_MAX], dims[BBW_ARRAY_RANK_MAX];
  uint32_t count;
  BBW_TRY(bbw_call_dims(call, 1, repeats, &count));
  if (count != x->rank) { return bbw_call_refuse(call, 1, "there must be one number per axis"); }
  for (uint32_t d = 0; d < x->rank; d++) {
    if (repeats[d] != 0 && x->dims[d] > SIZE_MAX / repeats[d]) {
      return bbw_call_refuse(call, 1, "result is too large");
    }
    dims[d] = x->dims[d] * repeats[d];
  }
  BBW_TRY(bbw_call_output(call, 0, x->dtype, x->rank, dims));
  tile_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  plan->copies = (bbw_walk){.operands = 1, .axes = x->rank};
  plan->walk = (bbw_walk){.operands = 2, .axes = x->rank};
  bbw_walk_dense(&plan->walk, 0, x->rank, x->dims);
  bbw_walk_dense(&plan->walk, 1, x->rank, dims);
  for (uint32_t d = 0; d < x->rank; d++) {
    bool is_inside = x->dims[d] == 1;
    plan->copies.size[d] = is_inside ? 1 : repeats[d];
    plan->copies.step[0][d] = plan->walk.step[1][d] * (ptrdiff_t)x->dims[d];
    plan->walk.size[d] = is_inside ? repeats[d] : x->dims[d];
    if (is_inside) { plan->walk.step[0][d] = 0; }
  }
  bbw_walk_join(&plan->copies);
  bbw_walk_join(&plan->walk);
  return BBW_OK;
}

bbw_status bbw_tile_run(bbw_call *call) {
  const tile_plan *plan = call->plan;
  bbw_walk walk = plan->walk;
  bbw_walk_cursor cursor;
  uint32_t run = plan->copies.axes - 1;
  if (call->outputs[0]->count == 0 || !bbw_walk_start(&plan->copies, &cursor)) { return BBW_OK; }
  do {
    for (size_t i = 0; i < plan->copies.size[run]; i++) {
      walk.start[1] = cursor.at[0] + (ptrdiff_t)i * plan->copies.step[0][run];
      bbw_walk_copy(&walk, call->inputs[0]->data, call->outputs[0]->data, bbw_dtype_bytes(call->outputs[0]->dtype));
    }
  } while (bbw_walk_next(&plan->copies, &cursor));
  return BBW_OK;
}

/* ---- DepthToSpace, SpaceToDepth: six axes ---- */

typedef struct block_params {
  int64_t size;
  uint32_t is_crd; /* DepthToSpace: the channels of a place lie together */
} block_params;

bbw_status bbw_block_prepare(bbw_prep *prep) {
  static const char *const names[] = {"DCR", "CRD", NULL};
  block_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "blocksize", 0, &p->size));
  if (p->size < 1 || p->size > 65535) { return bbw_prep_refuse(prep, "blocksize", "must be at least 1"); }
  return bbw_prep_choice(prep, "mode", names, 0, &p->is_crd);
}

/* deep and wide: the walk's operands that are the array with many channels, and the one with large planes. */
static bbw_status infer_blocks(bbw_call *call, const size_t *wide_dims, uint32_t deep, uint32_t wide,
                               const size_t *dims) {
  const block_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  size_t b = (size_t)p->size, n = wide_dims[0], c = wide_dims[1], h = wide_dims[2] / b, w = wide_dims[3] / b;
  BBW_TRY(bbw_call_output(call, 0, x->dtype, 4, dims));
  bbw_walk *walk = new_walk(call, 6);
  if (walk == NULL) { return BBW_E_NOMEM; }
  /* the wide array as [n, c, h, b, w, b] */
  const size_t sizes[6] = {n, c, h, b, w, b};
  memcpy(walk->size, sizes, sizeof sizes);
  bbw_walk_dense(walk, wide, 6, sizes);
  /* the deep one as [n, b, b, c, h, w] or [n, c, b, b, h, w] */
  ptrdiff_t plane = (ptrdiff_t)(h * w), channel = p->is_crd ? plane * (ptrdiff_t)(b * b) : plane;
  ptrdiff_t column = p->is_crd ? plane : plane * (ptrdiff_t)c;
  const ptrdiff_t steps[6] = {plane * (ptrdiff_t)(b * b * c), channel, (ptrdiff_t)w, column * (ptrdiff_t)b, 1, column};
  memcpy(walk->step[deep], steps, sizeof steps);
  bbw_walk_join(walk);
  return BBW_OK;
}

bbw_status bbw_depth_to_space_infer(bbw_call *call) {
  const block_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  size_t b = (size_t)p->size;
  if (x->rank != 4) { return bbw_call_refuse(call, 0, "input must have four dimensions"); }
  if (x->dims[1] % (b * b) != 0) { return bbw_call_refuse(call, 0, "the channels are no whole number of blocks"); }
  if (x->dims[2] > SIZE_MAX / b || x->dims[3] > SIZE_MAX / b) {
    return bbw_call_refuse(call, 0, "result is too large");
  }
  size_t dims[4] = {x->dims[0], x->dims[1] / (b * b), x->dims[2] * b, x->dims[3] * b};
  return infer_blocks(call, dims, 0, 1, dims);
}

bbw_status bbw_space_to_depth_infer(bbw_call *call) {
  const block_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  size_t b = (size_t)p->size;
  if (x->rank != 4) { return bbw_call_refuse(call, 0, "input must have four dimensions"); }
  if (x->dims[2] % b != 0 || x->dims[3] % b != 0) {
    return bbw_call_refuse(call, 0, "the planes are no whole number of blocks");
  }
  if (x->dims[1] > SIZE_MAX / (b * b)) { return bbw_call_refuse(call, 0, "result is too large"); }
  size_t dims[4] = {x->dims[0], x->dims[1] * b * b, x->dims[2] / b, x->dims[3] / b};
  return infer_blocks(call, x->dims, 1, 0, dims);
}
