/* Operators that run graphs: If, Loop, Scan. */
#include <string.h>

#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/params.h"
#include "onnx/runner.h"

#define PORTS_MAX BBW_GRAPH_PORTS_MAX

/* A copy of an array that outlives the next run of a body. */
typedef struct kept {
  bbw_array array;
  size_t bytes; /* of the memory */
} kept;

static bbw_status keep(bbw_call *call, kept *k, const bbw_array *from) {
  size_t bytes = bbw_array_bytes(from);
  if (k->bytes != bytes) {
    void *memory = NULL;
    if (bytes > 0 && (memory = bbw_graphs_alloc(call, bytes)) == NULL) { return BBW_E_NOMEM; }
    bbw_graphs_free(call, k->array.data, k->bytes);
    k->array.data = memory;
    k->bytes = bytes;
  }
  void *memory = k->array.data;
  k->array = *from;
  k->array.data = memory;
  if (bytes > 0) { memcpy(memory, from->data, bytes); }
  return BBW_OK;
}

/* Rows of equal shape that are put together along a new first axis. */
typedef struct stack {
  bbw_array row;
  size_t count; /* rows */
  size_t cap;   /* rows that fit */
  void *memory;
} stack;

static bbw_status stack_push(bbw_call *call, stack *s, const bbw_array *row) {
  size_t bytes = bbw_array_bytes(row);
  if (s->count > 0 && (row->dtype != s->row.dtype || !bbw_array_same_shape(row, &s->row))) {
    return bbw_call_refuse(call, -1, "a scanned output changes its shape");
  }
  if (s->count == 0) {
    s->row = *row;
    s->row.data = NULL;
  }
  if (s->count == s->cap && bytes > 0) {
    size_t cap = s->cap == 0 ? 4 : s->cap * 2;
    if (cap > SIZE_MAX / 4 / bytes) { return bbw_call_refuse(call, -1, "a scanned output is too large"); }
    void *memory = bbw_graphs_alloc(call, cap * bytes);
    if (memory == NULL) { return BBW_E_NOMEM; }
    if (s->count > 0) { memcpy(memory, s->memory, s->count * bytes); }
    bbw_graphs_free(call, s->memory, s->cap * bytes);
    s->memory = memory;
    s->cap = cap;
  }
  if (bytes > 0) { memcpy((uint8_t *)s->memory + s->count * bytes, row->data, bytes); }
  s->count++;
  return BBW_OK;
}

static void stack_free(bbw_call *call, stack *s) {
  bbw_graphs_free(call, s->memory, s->cap * bbw_array_bytes(&s->row));
}

/* Row `at` of the array along an axis, to or from memory that holds the other axes densely. */
static void copy_row(uint8_t *row, const bbw_array *array, uint32_t axis, size_t at, bool is_to_array) {
  size_t outer = bbw_dims_product(array->dims, 0, axis);
  size_t inner = bbw_dims_product(array->dims, axis + 1, array->rank) * bbw_dtype_bytes(array->dtype);
  for (size_t o = 0; o < outer && inner > 0; o++) {
    uint8_t *place = (uint8_t *)array->data + (o * array->dims[axis] + at) * inner;
    if (is_to_array) {
      memcpy(place, row + o * inner, inner);
    } else {
      memcpy(row + o * inner, place, inner);
    }
  }
}

/* A row of the stack; as the body declares it where there is none. */
static bbw_status row_of(bbw_call *call, const stack *s, const bbw_port *declared, bbw_array *row) {
  size_t dims[BBW_ARRAY_RANK_MAX];
  *row = s->row;
  if (s->count == 0) {
    if (declared->dtype == BBW_DTYPE_NONE) {
      return bbw_call_refuse(call, -1, "a scanned output without rows has no type: the body does not declare it");
    }
    for (uint32_t d = 0; d < declared->rank; d++) { dims[d] = declared->dims[d] > 0 ? (size_t)declared->dims[d] : 0; }
    if (!bbw_array_shape(row, declared->dtype, declared->rank, dims)) {
      return bbw_call_refuse(call, -1, "a scanned output is too large");
    }
  }
  if (row->rank + 1 > BBW_ARRAY_RANK_MAX) {
    return bbw_call_refuse(call, -1, "a scanned output has too many dimensions");
  }
  return BBW_OK;
}

/* The stack as output i of the operator: rows along an axis, from the first or from the last. */
static bbw_status stack_output(bbw_call *call, uint32_t i, const stack *s, const bbw_port *declared, int64_t axis,
                               bool is_back) {
  bbw_array row, shape = {0};
  size_t dims[BBW_ARRAY_RANK_MAX];
  uint32_t at;
  BBW_TRY(row_of(call, s, declared, &row));
  BBW_TRY(bbw_call_axis(call, axis, row.rank + 1, &at));
  for (uint32_t d = 0; d <= row.rank; d++) { dims[d] = d < at ? row.dims[d] : d == at ? s->count : row.dims[d - 1]; }
  if (!bbw_array_shape(&shape, row.dtype, row.rank + 1, dims)) {
    return bbw_call_refuse(call, -1, "a scanned output is too large");
  }
  BBW_TRY(bbw_graphs_output(call, i, &shape));
  bbw_array *out = bbw_call_result(call, i);
  if (out == NULL || out->count == 0) { return BBW_OK; }
  if (at == 0 && !is_back) {
    memcpy(out->data, s->memory, bbw_array_bytes(out));
    return BBW_OK;
  }
  size_t bytes = bbw_array_bytes(&row);
  for (size_t t = 0; t < s->count; t++) {
    copy_row((uint8_t *)s->memory + t * bytes, out, at, is_back ? s->count - 1 - t : t, true);
  }
  return BBW_OK;
}

static bbw_status copy_output(bbw_call *call, uint32_t i, const bbw_array *from) {
  BBW_TRY(bbw_graphs_output(call, i, from));
  bbw_array *out = bbw_call_result(call, i);
  if (out != NULL && out->count > 0) { memcpy(out->data, from->data, bbw_array_bytes(out)); }
  return BBW_OK;
}

static bbw_status read_flag(bbw_call *call, const bbw_array *array, bool *out) {
  if (array->dtype != BBW_DTYPE_BOOL || array->count != 1) {
    return bbw_call_refuse(call, -1, "a condition must be one truth value");
  }
  *out = *(const uint8_t *)array->data != 0;
  return BBW_OK;
}

/* ---- If ---- */

bbw_status bbw_if_run(bbw_call *call) {
  bool is_true = false;
  BBW_TRY(read_flag(call, call->inputs[0], &is_true));
  uint32_t which = is_true ? 0 : 1;
  if (bbw_graphs_count_of(call) != 2) { return bbw_call_refuse(call, -1, "a branch is missing"); }
  uint32_t count = bbw_graphs_body(call, which)->output_count;
  if (count > PORTS_MAX || count < call->output_count) {
    return bbw_call_refuse(call, -1, "a branch has another number of outputs");
  }
  bbw_array *outputs = bbw_graphs_alloc(call, (count + 1u) * sizeof *outputs);
  if (outputs == NULL) { return BBW_E_NOMEM; }
  bbw_status rv = bbw_graphs_run(call, which, NULL, 0, outputs, count);
  for (uint32_t i = 0; i < call->output_count && rv == BBW_OK; i++) { rv = copy_output(call, i, &outputs[i]); }
  bbw_graphs_free(call, outputs, (count + 1u) * sizeof *outputs);
  return rv;
}

/* ---- Loop ---- */

typedef struct loop {
  uint32_t carried, scanned;
  /* Twice, in turn: an output of the body may show the memory of any carried input. */
  kept states[2][PORTS_MAX];
  kept *state, *next;
  stack stacks[PORTS_MAX];
  bbw_array in[PORTS_MAX], out[PORTS_MAX]; /* of the body; here, because bodies nest and the stack is small */
} loop;

/* The iterations; whatever is allocated hangs on the struct. */
static bbw_status iterate(bbw_call *call, loop *l) {
  const bbw_body *body = bbw_graphs_body(call, 0);
  const bbw_array *limit = bbw_call_input(call, 0), *start = bbw_call_input(call, 1);
  int64_t count_max = INT64_MAX;
  bool goes_on = true;
  if (limit != NULL) {
    if (limit->dtype != BBW_DTYPE_I64 || limit->count != 1) {
      return bbw_call_refuse(call, 0, "the trip count must be one int64");
    }
    count_max = *(const int64_t *)limit->data;
  }
  if (start != NULL) { BBW_TRY(read_flag(call, start, &goes_on)); }
  for (uint32_t i = 0; i < l->carried; i++) {
    const bbw_array *initial = bbw_call_input(call, 2 + i);
    if (initial == NULL) { return bbw_call_refuse(call, (int32_t)(2 + i), "input is missing"); }
    BBW_TRY(keep(call, &l->state[i], initial));
  }
  bbw_array *inputs = l->in, *outputs = l->out;
  uint8_t flag = 1;
  for (int64_t iteration = 0; goes_on && iteration < count_max; iteration++) {
    BBW_TRY(bbw_graphs_count(call));
    inputs[0] = (bbw_array){.dtype = BBW_DTYPE_I64, .count = 1, .data = &iteration};
    inputs[1] = (bbw_array){.dtype = BBW_DTYPE_BOOL, .count = 1, .data = &flag};
    /* Bodies that declare one-element lists for these get them. */
    for (uint32_t i = 0; i < 2; i++) {
      if (body->inputs[i].has_shape && body->inputs[i].rank == 1) {
        inputs[i].rank = 1;
        inputs[i].dims[0] = 1;
      }
    }
    for (uint32_t i = 0; i < l->carried; i++) { inputs[2 + i] = l->state[i].array; }
    BBW_TRY(bbw_graphs_run(call, 0, inputs, 2 + l->carried, outputs, body->output_count));
    BBW_TRY(read_flag(call, &outputs[0], &goes_on));
    for (uint32_t i = 0; i < l->carried; i++) { BBW_TRY(keep(call, &l->next[i], &outputs[1 + i])); }
    for (uint32_t i = 0; i < l->scanned; i++) {
      BBW_TRY(stack_push(call, &l->stacks[i], &outputs[1 + l->carried + i]));
    }
    kept *last = l->state;
    l->state = l->next;
    l->next = last;
  }
  for (uint32_t i = 0; i < l->carried; i++) { BBW_TRY(copy_output(call, i, &l->state[i].array)); }
  for (uint32_t i = 0; i < l->scanned; i++) {
    BBW_TRY(stack_output(call, l->carried + i, &l->stacks[i], &body->outputs[1 + l->carried + i], 0, false));
  }
  return BBW_OK;
}

/* Inputs of the node without those that its bodies capture, which stand behind them. */
static uint32_t given_inputs(const bbw_call *call) {
  uint32_t count = call->input_count;
  for (uint32_t i = 0; i < bbw_graphs_count_of(call); i++) {
    count -= (uint32_t)bbw_graphs_body(call, i)->captures.count;
  }
  return count;
}

bbw_status bbw_loop_run(bbw_call *call) {
  if (bbw_graphs_count_of(call) != 1) { return bbw_call_refuse(call, -1, "the body is missing"); }
  const bbw_body *body = bbw_graphs_body(call, 0);
  if (body->input_count < 2 || body->input_count > PORTS_MAX || body->output_count > PORTS_MAX ||
      body->output_count < body->input_count - 1 || call->output_count > body->output_count - 1 ||
      given_inputs(call) < body->input_count) {
    return bbw_call_refuse(call, -1, "the body has another number of inputs or outputs");
  }
  loop *l = bbw_graphs_alloc(call, sizeof *l);
  if (l == NULL) { return BBW_E_NOMEM; }
  memset(l, 0, sizeof *l);
  l->carried = body->input_count - 2;
  l->scanned = body->output_count - 1 - l->carried;
  l->state = l->states[0];
  l->next = l->states[1];
  bbw_status rv = iterate(call, l);
  for (uint32_t i = 0; i < l->carried; i++) {
    bbw_graphs_free(call, l->state[i].array.data, l->state[i].bytes);
    bbw_graphs_free(call, l->next[i].array.data, l->next[i].bytes);
  }
  for (uint32_t i = 0; i < l->scanned; i++) { stack_free(call, &l->stacks[i]); }
  bbw_graphs_free(call, l, sizeof *l);
  return rv;
}

/* ---- Scan (opset 9 and later) ---- */

bbw_status bbw_scan_prepare(bbw_prep *prep) {
  bbw_scan_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "num_scan_inputs", 0, &p->scan_inputs));
  if (p->scan_inputs < 1 || p->scan_inputs > (int64_t)prep->input_count || p->scan_inputs > PORTS_MAX) {
    return bbw_prep_refuse(prep, "num_scan_inputs", "must be from 1 to the number of inputs");
  }
  BBW_TRY(bbw_prep_ints(prep, "scan_input_axes", p->input_axes, PORTS_MAX, &p->input_axis_count));
  BBW_TRY(bbw_prep_ints(prep, "scan_output_axes", p->output_axes, PORTS_MAX, &p->output_axis_count));
  BBW_TRY(bbw_prep_ints(prep, "scan_input_directions", p->input_directions, PORTS_MAX, &p->input_direction_count));
  return bbw_prep_ints(prep, "scan_output_directions", p->output_directions, PORTS_MAX, &p->output_direction_count);
}

typedef struct scan {
  uint32_t states, inputs, scanned;
  kept buffers[2][PORTS_MAX]; /* in turn, as in loop */
  kept *state, *next;
  bbw_array rows[PORTS_MAX];
  uint32_t axes[PORTS_MAX];
  stack stacks[PORTS_MAX];
  bbw_array in[PORTS_MAX], out[PORTS_MAX];
} scan;

static bbw_status scan_rows(bbw_call *call, scan *s, const bbw_scan_params *p) {
  const bbw_body *body = bbw_graphs_body(call, 0);
  size_t length = 0;
  for (uint32_t i = 0; i < s->states; i++) {
    if (call->inputs[i] == NULL) { return bbw_call_refuse(call, (int32_t)i, "input is missing"); }
    BBW_TRY(keep(call, &s->state[i], call->inputs[i]));
  }
  for (uint32_t i = 0; i < s->inputs; i++) {
    const bbw_array *x = bbw_call_input(call, s->states + i);
    if (x == NULL || x->rank == 0) {
      return bbw_call_refuse(call, (int32_t)(s->states + i), "a scanned input has no axis");
    }
    BBW_TRY(bbw_call_axis(call, (int32_t)i < p->input_axis_count ? p->input_axes[i] : 0, x->rank, &s->axes[i]));
    if (i > 0 && x->dims[s->axes[i]] != length) {
      return bbw_call_refuse(call, (int32_t)(s->states + i), "scanned inputs have different lengths");
    }
    length = x->dims[s->axes[i]];
    size_t dims[BBW_ARRAY_RANK_MAX];
    uint32_t rank = 0;
    for (uint32_t d = 0; d < x->rank; d++) {
      if (d != s->axes[i]) { dims[rank++] = x->dims[d]; }
    }
    bbw_array_shape(&s->rows[i], x->dtype, rank, dims);
    size_t bytes = bbw_array_bytes(&s->rows[i]);
    if (bytes > 0 && (s->rows[i].data = bbw_graphs_alloc(call, bytes)) == NULL) { return BBW_E_NOMEM; }
  }
  bbw_array *inputs = s->in, *outputs = s->out;
  for (size_t t = 0; t < length; t++) {
    BBW_TRY(bbw_graphs_count(call));
    for (uint32_t i = 0; i < s->states; i++) { inputs[i] = s->state[i].array; }
    for (uint32_t i = 0; i < s->inputs; i++) {
      bool is_back = (int32_t)i < p->input_direction_count && p->input_directions[i] == 1;
      copy_row(s->rows[i].data, call->inputs[s->states + i], s->axes[i], is_back ? length - 1 - t : t, false);
      inputs[s->states + i] = s->rows[i];
    }
    BBW_TRY(bbw_graphs_run(call, 0, inputs, s->states + s->inputs, outputs, body->output_count));
    for (uint32_t i = 0; i < s->states; i++) { BBW_TRY(keep(call, &s->next[i], &outputs[i])); }
    for (uint32_t i = 0; i < s->scanned; i++) { BBW_TRY(stack_push(call, &s->stacks[i], &outputs[s->states + i])); }
    kept *last = s->state;
    s->state = s->next;
    s->next = last;
  }
  for (uint32_t i = 0; i < s->states; i++) { BBW_TRY(copy_output(call, i, &s->state[i].array)); }
  for (uint32_t i = 0; i < s->scanned; i++) {
    bool is_back = (int32_t)i < p->output_direction_count && p->output_directions[i] == 1;
    int64_t axis = (int32_t)i < p->output_axis_count ? p->output_axes[i] : 0;
    BBW_TRY(stack_output(call, s->states + i, &s->stacks[i], &body->outputs[s->states + i], axis, is_back));
  }
  return BBW_OK;
}

bbw_status bbw_scan_run(bbw_call *call) {
  const bbw_scan_params *p = call->params;
  if (bbw_graphs_count_of(call) != 1) { return bbw_call_refuse(call, -1, "the body is missing"); }
  const bbw_body *body = bbw_graphs_body(call, 0);
  uint32_t scanned_inputs = (uint32_t)p->scan_inputs;
  if (body->input_count < scanned_inputs || body->input_count > PORTS_MAX || body->output_count > PORTS_MAX ||
      given_inputs(call) < body->input_count || body->output_count < body->input_count - scanned_inputs ||
      call->output_count > body->output_count) {
    return bbw_call_refuse(call, -1, "the body has another number of inputs or outputs");
  }
  scan *s = bbw_graphs_alloc(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  memset(s, 0, sizeof *s);
  s->inputs = scanned_inputs;
  s->states = body->input_count - scanned_inputs;
  s->scanned = body->output_count - s->states;
  s->state = s->buffers[0];
  s->next = s->buffers[1];
  bbw_status rv = scan_rows(call, s, p);
  for (uint32_t i = 0; i < s->states; i++) {
    bbw_graphs_free(call, s->state[i].array.data, s->state[i].bytes);
    bbw_graphs_free(call, s->next[i].array.data, s->next[i].bytes);
  }
  for (uint32_t i = 0; i < s->inputs; i++) { bbw_graphs_free(call, s->rows[i].data, bbw_array_bytes(&s->rows[i])); }
  for (uint32_t i = 0; i < s->scanned; i++) { stack_free(call, &s->stacks[i]); }
  bbw_graphs_free(call, s, sizeof *s);
  return rv;
}
