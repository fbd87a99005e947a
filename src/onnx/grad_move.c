/*
 * MoveGrad: the gradient of an operator that only moves elements: what it took from a place is added back there.
 *
 * Inputs: g, the input 0 of the forward node (its shape), then the other inputs of that node.  The forward operator says itself where elements come from: by its walk, where it is one, else by
 * running it over the positions of its input, where 0 stands for what is filled in.  Resize mixes elements, and gives back by its tables.
 */
#include <string.h>

#include "base/mem.h"
#include "kernels/elementwise.h"
#include "onnx/ops.h"
#include "onnx/params.h"
#include "onnx/walk.h"

typedef struct plan {
  bbw_call inner; /* of the forward operator */
  const bbw_array *inputs[5];
  bbw_array positions, moved; /* its input and output */
  bbw_array *outputs[1];
  bool is_walk, is_resize;
  bool is_permutation; /* every element goes to one place: the walk backwards is a copy */
  bbw_walk walk;       /* operand 0: g, operand 1: the result */
} plan;

static void turn(plan *s, const bbw_walk *forward) {
  s->walk = *forward;
  memcpy(s->walk.step[0], forward->step[1], sizeof forward->step[1]);
  memcpy(s->walk.step[1], forward->step[0], sizeof forward->step[0]);
  s->walk.start[0] = forward->start[1];
  s->walk.start[1] = forward->start[0];
  s->is_permutation = s->moved.count == s->positions.count;
  for (uint32_t d = 0; d < forward->axes; d++) {
    s->is_permutation = s->is_permutation && (forward->size[d] == 1 || forward->step[0][d] != 0);
  }
}

bbw_status bbw_move_grad_infer(bbw_call *call) {
  const bbw_forward *f = call->params;
  const bbw_array *g = call->inputs[0], *x = call->inputs[1];
  plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  if (g->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  s->is_walk = f->op->run == bbw_walk_run;
  s->positions = *x;
  s->is_resize = f->op->run == bbw_resize_run;
  if (!bbw_array_shape(&s->positions, s->is_resize ? BBW_DTYPE_F32 : BBW_DTYPE_I32, x->rank, x->dims) ||
      x->count >= INT32_MAX) {
    return BBW_E_LIMIT;
  }
  s->inputs[0] = &s->positions;
  for (uint32_t i = 2; i < call->input_count && i < 6; i++) { s->inputs[i - 1] = call->inputs[i]; }
  s->outputs[0] = &s->moved;
  s->inner = (bbw_call){.op = f->op,
                        .params = f->params,
                        .inputs = s->inputs,
                        .input_count = call->input_count - 1,
                        .outputs = s->outputs,
                        .output_count = 1,
                        .opset = f->opset};
  bbw_status rv = bbw_call_infer_inner(call, &s->inner);
  if (rv != BBW_OK) { return rv; }
  if (s->moved.count != g->count) { return bbw_call_refuse(call, 0, "the gradient does not fit its shape"); }
  if (s->is_walk) {
    turn(s, s->inner.plan);
  } else if (!s->is_resize) {
    size_t ints, bytes;
    if (!bbw_size_add(s->moved.count, x->count, &ints) || !bbw_size_mul(ints, sizeof(int32_t), &bytes) ||
        !bbw_size_add(bytes, s->inner.scratch_bytes + 32, &call->scratch_bytes)) {
      return BBW_E_LIMIT;
    }
  }
  return bbw_call_output(call, 0, BBW_DTYPE_F32, x->rank, x->dims);
}

static void add_walk(const bbw_walk *walk, const float *from, float *to) {
  bbw_walk_cursor cursor;
  if (!bbw_walk_start(walk, &cursor)) { return; }
  uint32_t run = walk->axes - 1;
  ptrdiff_t from_step = walk->step[0][run], to_step = walk->step[1][run];
  do {
    const float *x = from + cursor.at[0];
    float *y = to + cursor.at[1];
    if (from_step == 1 && to_step == 1) {
      bbw_add_f32_simd128(y, x, y, walk->size[run]);
      continue;
    }
    for (size_t i = 0; i < walk->size[run]; i++, x += from_step, y += to_step) { *y = *y + *x; }
  } while (bbw_walk_next(walk, &cursor));
}

static bbw_status add_positions(bbw_call *call, plan *s) {
  int32_t *positions = call->scratch, *moved = positions + s->positions.count;
  float *out = call->outputs[0]->data;
  const float *g = call->inputs[0]->data;
  size_t used = (s->positions.count + s->moved.count) * sizeof(int32_t);
  for (size_t i = 0; i < s->positions.count; i++) { positions[i] = (int32_t)i + 1; }
  s->positions.data = positions;
  s->moved.data = moved;
  bbw_array_settle(&s->positions);
  bbw_array_settle(&s->moved);
  s->inner.scratch = (char *)call->scratch + (used + 15) / 16 * 16;
  bbw_status rv = s->inner.op->run(&s->inner);
  if (rv != BBW_OK) {
    call->detail = s->inner.detail;
    return rv;
  }
  for (size_t i = 0; i < s->moved.count; i++) {
    if (moved[i] > 0) { out[moved[i] - 1] = out[moved[i] - 1] + g[i]; }
  }
  return BBW_OK;
}

bbw_status bbw_move_grad_run(bbw_call *call) {
  plan *s = call->plan;
  bbw_array *out = call->outputs[0];
  if (out->count == 0) { return BBW_OK; }
  if (s->is_walk && s->is_permutation) {
    bbw_walk_copy(&s->walk, call->inputs[0]->data, out->data, sizeof(float));
    return BBW_OK;
  }
  memset(out->data, 0, bbw_array_bytes(out));
  if (s->is_resize) {
    bbw_resize_add_back(&s->inner, call->inputs[0], out->data);
    return BBW_OK;
  }
  if (!s->is_walk) { return add_positions(call, s); }
  add_walk(&s->walk, call->inputs[0]->data, out->data);
  return BBW_OK;
}
