/* Pad and CenterCropPad: more or less around an array; Trilu: zeros in a corner. */
#include <string.h>

#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/walk.h"

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

typedef struct pad_params {
  uint32_t mode;
  int64_t pads[2 * BBW_ARRAY_RANK_MAX]; /* before opset 11 */
  int32_t pad_count;
  float value;
  int64_t axes[BBW_ARRAY_RANK_MAX]; /* CenterCropPad */
  int32_t axis_count;
} pad_params;

bbw_status bbw_pad_prepare(bbw_prep *prep) {
  static const char *const names[] = {"constant", "reflect", "edge", "wrap", NULL};
  pad_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_choice(prep, "mode", names, PAD_CONSTANT, &p->mode));
  if (prep->opset >= 11) {
    return prep->input_count >= 2 ? BBW_OK : bbw_prep_refuse(prep, NULL, "the pads are missing");
  }
  BBW_TRY(bbw_prep_ints(prep, "pads", p->pads, 2 * BBW_ARRAY_RANK_MAX, &p->pad_count));
  BBW_TRY(bbw_prep_float(prep, "value", 0.0f, &p->value));
  if (prep->input_count > 1) { return bbw_prep_refuse(prep, NULL, "the pads are an attribute before opset 11"); }
  return p->pad_count >= 0 ? BBW_OK : bbw_prep_refuse(prep, "pads", "attribute is missing");
}

/* Per axis of the result: how far its first element is before (positive) the first one of the input. */
typedef struct pad_plan {
  ptrdiff_t before[BBW_ARRAY_RANK_MAX];
  bbw_walk walk; /* what is copied when the rest is constant */
} pad_plan;

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* The part of the input that appears in the result. */
static void plan_inside(pad_plan *plan, const bbw_array *x, const size_t *dims) {
  bbw_walk *walk = &plan->walk;
  walk->operands = 2;
  walk->axes = x->rank;
  bbw_walk_dense(walk, 0, x->rank, x->dims);
  bbw_walk_dense(walk, 1, x->rank, dims);
  for (uint32_t d = 0; d < x->rank; d++) {
    int64_t before = plan->before[d], from = larger(-before, 0), to = larger(before, 0);
    int64_t n = (int64_t)x->dims[d] - from, room = (int64_t)dims[d] - to;
    n = n < room ? n : room;
    walk->size[d] = n > 0 ? (size_t)n : 0;
    if (n <= 0) { continue; }
    walk->start[0] += (ptrdiff_t)from * walk->step[0][d];
    walk->start[1] += (ptrdiff_t)to * walk->step[1][d];
  }
  bbw_walk_join(walk);
}

static bbw_status read_pads(bbw_call *call, int64_t *pads) {
  const pad_params *p = call->params;
  uint32_t rank = call->inputs[0]->rank, count, axis_count = rank;
  int64_t given[2 * BBW_ARRAY_RANK_MAX], axes[BBW_ARRAY_RANK_MAX];
  bool is_marked[BBW_ARRAY_RANK_MAX] = {false};
  if (call->opset >= 11) {
    BBW_TRY(bbw_call_ints(call, 1, given, 2 * BBW_ARRAY_RANK_MAX, &count));
  } else {
    count = (uint32_t)p->pad_count;
    memcpy(given, p->pads, sizeof given);
  }
  for (uint32_t d = 0; d < rank; d++) { axes[d] = d; }
  if (bbw_call_input(call, 3) != NULL) { BBW_TRY(bbw_call_ints(call, 3, axes, BBW_ARRAY_RANK_MAX, &axis_count)); }
  if (count != 2 * axis_count) { return bbw_call_refuse(call, 1, "there must be two pads per axis"); }
  memset(pads, 0, 2 * BBW_ARRAY_RANK_MAX * sizeof *pads);
  for (uint32_t i = 0; i < axis_count; i++) {
    uint32_t axis;
    BBW_TRY(bbw_call_axis(call, axes[i], rank, &axis));
    if (is_marked[axis]) { return bbw_call_refuse(call, 3, "an axis is named twice"); }
    is_marked[axis] = true;
    pads[2 * axis] = given[i];
    pads[2 * axis + 1] = given[axis_count + i];
  }
  return BBW_OK;
}

bbw_status bbw_pad_infer(bbw_call *call) {
  const pad_params *p = call->params;
  const bbw_array *x = call->inputs[0], *value = bbw_call_input(call, 2);
  int64_t pads[2 * BBW_ARRAY_RANK_MAX];
  size_t dims[BBW_ARRAY_RANK_MAX];
  const int64_t limit = (int64_t)1 << 40; /* far above every array, far below an overflow */
  if (value != NULL && value->dtype != x->dtype) {
    return bbw_call_refuse(call, 2, "inputs have different element types");
  }
  if (value != NULL && value->count != 1) { return bbw_call_refuse(call, 2, "the value must be one element"); }
  BBW_TRY(read_pads(call, pads));
  pad_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  for (uint32_t d = 0; d < x->rank; d++) {
    int64_t before = pads[2 * d], after = pads[2 * d + 1];
    if (before < -limit || before > limit || after < -limit || after > limit) {
      return bbw_call_refuse(call, 1, "a pad is out of range");
    }
    int64_t size = (int64_t)x->dims[d] + before + after;
    if (size < 0) { return bbw_call_refuse(call, 1, "the pads take away more than there is"); }
    if ((uint64_t)size > SIZE_MAX / 2) { return bbw_call_refuse(call, 1, "result is too large"); }
    if (p->mode != PAD_CONSTANT && x->dims[d] == 0 && size > 0) {
      return bbw_call_refuse(call, 0, "there is no element to repeat");
    }
    plan->before[d] = (ptrdiff_t)before;
    dims[d] = (size_t)size;
  }
  BBW_TRY(bbw_call_output(call, 0, x->dtype, x->rank, dims));
  plan_inside(plan, x, dims);
  return BBW_OK;
}

/* The index in the input, of `size` elements, for an index counted from its first element. */
static size_t source_of(uint32_t mode, ptrdiff_t i, size_t size) {
  ptrdiff_t n = (ptrdiff_t)size;
  if (i >= 0 && i < n) { return (size_t)i; }
  if (mode == PAD_EDGE || n == 1) { return i < 0 ? 0 : size - 1; }
  ptrdiff_t period = mode == PAD_WRAP ? n : 2 * (n - 1);
  ptrdiff_t rest = i % period;
  if (rest < 0) { rest += period; }
  return (size_t)(rest < n ? rest : period - rest);
}

/* Row by row; inside of a row the elements that the input has in that order are copied at once. */
static void pad_repeating(bbw_call *call, const pad_plan *plan, uint32_t mode) {
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0];
  uint32_t last = out->rank - 1;
  size_t bytes = bbw_dtype_bytes(out->dtype), length = out->dims[last], size = x->dims[last];
  size_t index[BBW_ARRAY_RANK_MAX] = {0};
  ptrdiff_t before = plan->before[last];
  for (size_t done = 0; done < out->count; done += length) {
    size_t row = 0;
    for (uint32_t d = 0; d < last; d++) {
      row = row * x->dims[d] + source_of(mode, (ptrdiff_t)index[d] - plan->before[d], x->dims[d]);
    }
    const char *from = (const char *)x->data + row * size * bytes;
    char *to = (char *)out->data + done * bytes;
    for (size_t i = 0; i < length;) {
      ptrdiff_t place = (ptrdiff_t)i - before;
      size_t n = place == 0 ? (size < length - i ? size : length - i) : 1;
      memcpy(to + i * bytes, from + source_of(mode, place, size) * bytes, n * bytes);
      i += n;
    }
    for (uint32_t d = last; d-- > 0;) {
      if (++index[d] < out->dims[d]) { break; }
      index[d] = 0;
    }
  }
}

bbw_status bbw_pad_run(bbw_call *call) {
  const pad_params *p = call->params;
  const pad_plan *plan = call->plan;
  const bbw_array *x = call->inputs[0], *value = bbw_call_input(call, 2);
  bbw_array *out = call->outputs[0];
  if (out->count == 0) { return BBW_OK; }
  if (p->mode != PAD_CONSTANT && out->rank > 0) {
    pad_repeating(call, plan, p->mode);
    return BBW_OK;
  }
  size_t bytes = bbw_dtype_bytes(out->dtype);
  if (value != NULL) {
    bbw_fill(out->data, out->count, value->data, bytes);
  } else {
    bbw_array one = {.dtype = out->dtype, .count = 1, .data = out->data};
    double number = (double)p->value;
    bbw_store_f64(&one, 0, 1, &number);
    bbw_fill((char *)out->data + bytes, out->count - 1, out->data, bytes);
  }
  bbw_walk_copy(&plan->walk, x->data, out->data, bytes);
  return BBW_OK;
}

/* ---- CenterCropPad ---- */

bbw_status bbw_center_prepare(bbw_prep *prep) {
  pad_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  return bbw_prep_ints(prep, "axes", p->axes, BBW_ARRAY_RANK_MAX, &p->axis_count);
}

bbw_status bbw_center_infer(bbw_call *call) {
  const pad_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  size_t wanted[BBW_ARRAY_RANK_MAX], dims[BBW_ARRAY_RANK_MAX];
  uint32_t count;
  BBW_TRY(bbw_call_dims(call, 1, wanted, &count));
  if (count != (p->axis_count >= 0 ? (uint32_t)p->axis_count : x->rank)) {
    return bbw_call_refuse(call, 1, "there must be one size per axis");
  }
  pad_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  memcpy(dims, x->dims, sizeof dims);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t axis;
    BBW_TRY(bbw_call_axis(call, p->axis_count >= 0 ? p->axes[i] : (int64_t)i, x->rank, &axis));
    if (wanted[i] > SIZE_MAX / 4) { return bbw_call_refuse(call, 1, "the shape is too large"); }
    dims[axis] = wanted[i];
    bool grows = wanted[i] > x->dims[axis];
    size_t half = (grows ? wanted[i] - x->dims[axis] : x->dims[axis] - wanted[i]) / 2; /* an odd one goes after */
    plan->before[axis] = grows ? (ptrdiff_t)half : -(ptrdiff_t)half;
  }
  BBW_TRY(bbw_call_output(call, 0, x->dtype, x->rank, dims));
  plan_inside(plan, x, dims);
  return BBW_OK;
}

bbw_status bbw_center_run(bbw_call *call) {
  const pad_plan *plan = call->plan;
  bbw_array *out = call->outputs[0];
  if (out->count == 0) { return BBW_OK; }
  memset(out->data, 0, bbw_array_bytes(out));
  bbw_walk_copy(&plan->walk, call->inputs[0]->data, out->data, bbw_dtype_bytes(out->dtype));
  return BBW_OK;
}

/* ---- Trilu ---- */

typedef struct trilu_params {
  bool is_upper;
} trilu_params;

bbw_status bbw_trilu_prepare(bbw_prep *prep) {
  trilu_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  return bbw_prep_bool(prep, "upper", true, &p->is_upper);
}

bbw_status bbw_trilu_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *k = bbw_call_input(call, 1);
  if (x->rank < 2) { return bbw_call_refuse(call, 0, "input needs two dimensions at least"); }
  if (k != NULL && k->dtype != BBW_DTYPE_I64) { return bbw_call_refuse_type(call, 1); }
  if (k != NULL && k->count != 1) { return bbw_call_refuse(call, 1, "k must be one number"); }
  return bbw_call_output_like(call, 0, x);
}

/* Of row i the columns from i + k on belong to the upper part, those up to i + k to the lower one. */
bbw_status bbw_trilu_run(bbw_call *call) {
  const trilu_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  int64_t k = 0;
  if (bbw_call_input(call, 1) != NULL) { bbw_load_i64(call->inputs[1], 0, 1, &k); }
  if (x->count == 0) { return BBW_OK; }
  size_t rows = x->dims[x->rank - 2], columns = x->dims[x->rank - 1], bytes = bbw_dtype_bytes(x->dtype);
  int64_t far = (int64_t)(rows + columns); /* further is the same */
  k = k < -far ? -far : k > far ? far : k;
  for (size_t row = 0; row < x->count / columns; row++) {
    int64_t edge = (int64_t)(row % rows) + k + (p->is_upper ? 0 : 1);
    size_t cut = edge < 0 ? 0 : edge > (int64_t)columns ? columns : (size_t)edge;
    size_t first = p->is_upper ? cut : 0, end = p->is_upper ? columns : cut;
    const char *from = (const char *)x->data + row * columns * bytes;
    char *to = (char *)call->outputs[0]->data + row * columns * bytes;
    memset(to, 0, first * bytes);
    memcpy(to + first * bytes, from + first * bytes, (end - first) * bytes);
    memset(to + end * bytes, 0, (columns - end) * bytes);
  }
  return BBW_OK;
}
