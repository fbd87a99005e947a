/*
 * Gradients of Conv and ConvTranspose, f32.
 *
 * By the input: the transposed convolution of g with the same weights; of the transpose, the convolution.  By the weights: sums over the places of g times the patches of the input; the
 * transpose is the convolution with g and x in each other's place.
 */
#include <string.h>

#include "base/mem.h"
#include "kernels/conv.h"
#include "onnx/ops.h"
#include "onnx/window.h"

typedef struct plan {
  bbw_conv_plan conv;
  size_t packed_floats;
} plan;

/* The convolution x [batch, channels, ...] with w [out, channels / groups, ...] as its attributes say; its result must be as large as g. */
static bbw_status forward_shape(bbw_call *call, const bbw_array *x, const bbw_array *w, const bbw_array *g,
                                bbw_conv_shape *shape, bbw_window *window) {
  const bbw_conv_params *p = call->params;
  if (x->dtype != BBW_DTYPE_F32 || w->dtype != BBW_DTYPE_F32 || g->dtype != BBW_DTYPE_F32) {
    return bbw_call_refuse_type(call, 0);
  }
  BBW_TRY(bbw_window_make(call, &p->window, x, w->dims + 2, window));
  *shape = (bbw_conv_shape){.batch = x->dims[0],
                            .channels = x->dims[1],
                            .out_channels = w->dims[0],
                            .groups = (size_t)p->groups,
                            .is_volume = w->rank == 5};
  bbw_window_shape(window, shape);
  size_t places = 1;
  for (uint32_t d = 0; d < BBW_WINDOW_AXES; d++) { places *= window->out_size[d]; }
  if (g->count != shape->batch * shape->out_channels * places) {
    return bbw_call_refuse(call, 0, "the gradient does not fit its shape");
  }
  return BBW_OK;
}

/* The convolution of g with w that a transposed one is the transpose of; its result must be as large as x. */
static bbw_status transposed_shape(bbw_call *call, const bbw_array *x, const bbw_array *w, const bbw_array *g,
                                   bbw_conv_shape *shape) {
  const bbw_conv_params *p = call->params;
  bbw_window window;
  if (x->dtype != BBW_DTYPE_F32 || w->dtype != BBW_DTYPE_F32 || g->dtype != BBW_DTYPE_F32) {
    return bbw_call_refuse_type(call, 0);
  }
  BBW_TRY(bbw_window_base(call, &p->window, x, w->dims + 2, &window));
  *shape = (bbw_conv_shape){.batch = x->dims[0],
                            .channels = w->dims[1] * (size_t)p->groups,
                            .out_channels = w->dims[0],
                            .groups = (size_t)p->groups,
                            .is_volume = w->rank == 5};
  BBW_TRY(bbw_conv_transpose_pads(call, p, &window, shape));
  bool fits = g->rank == x->rank && g->dims[1] == shape->channels;
  for (uint32_t i = 0; fits && i < window.axes; i++) {
    uint32_t d = BBW_WINDOW_AXES - window.axes + i;
    size_t span = shape->dilation[d] * (shape->kernel[d] - 1) + 1,
           reach = (x->dims[2 + i] - 1) * shape->stride[d] + span;
    shape->size[d] = g->dims[2 + i];
    shape->out_pad[d] = 0;
    /* Pads behind, so that the last step of the stride is the last element of x: the output padding is not reached. */
    size_t padded = shape->size[d] + shape->pad_begin[d];
    shape->pad_end[d] = reach > padded ? reach - padded : 0;
    fits = x->dims[2 + i] > 0 && (padded + shape->pad_end[d] - span) / shape->stride[d] + 1 == x->dims[2 + i];
  }
  return fits ? BBW_OK : bbw_call_refuse(call, 0, "output_padding as long as the stride has no gradient");
}

/* The scratch memory of a plan that was made, in floats; a gradient by the input packs the weights in front of it. */
static bbw_status take_scratch(bbw_call *call, bool is_made, plan *s, bool packs) {
  size_t floats = 0;
  if (is_made && packs) {
    s->packed_floats = s->conv.packed_count;
    if (!bbw_size_add(s->packed_floats, s->conv.scratch_count, &floats)) { is_made = false; }
  } else if (is_made) {
    floats = bbw_conv_gradient_scratch(&s->conv);
  }
  if (!is_made || floats > call->elements_max) {
    call->detail = "the padded input is too large";
    return BBW_E_LIMIT;
  }
  call->scratch_bytes = floats * sizeof(float);
  return BBW_OK;
}

/* Inputs: g, w, x (its shape). */
bbw_status bbw_conv_grad_input_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *w = call->inputs[1], *x = call->inputs[2];
  plan *s = bbw_call_plan(call, sizeof *s);
  bbw_conv_shape forward;
  bbw_window window;
  if (s == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(forward_shape(call, x, w, g, &forward, &window));
  BBW_TRY(bbw_call_output(call, 0, BBW_DTYPE_F32, x->rank, x->dims));
  if (g->count == 0 || x->count == 0) { return BBW_OK; }
  bbw_conv_shape back = forward;
  back.channels = forward.out_channels;
  back.out_channels = forward.channels;
  for (uint32_t d = 0; d < BBW_WINDOW_AXES; d++) {
    size_t span = forward.dilation[d] * (forward.kernel[d] - 1) + 1;
    back.size[d] = window.out_size[d];
    /* What the last step of the stride did not reach. */
    back.out_pad[d] = forward.size[d] + forward.pad_begin[d] + forward.pad_end[d] - span -
                      (window.out_size[d] - 1) * forward.stride[d];
  }
  return take_scratch(call, bbw_conv_transpose_plan_make(&s->conv, &back), s, true);
}

bbw_status bbw_conv_grad_input_run(bbw_call *call) {
  const plan *s = call->plan;
  bbw_array *out = call->outputs[0];
  if (out->count == 0) { return BBW_OK; }
  if (call->inputs[0]->count == 0) {
    memset(out->data, 0, bbw_array_bytes(out));
    return BBW_OK;
  }
  const bbw_epilogue nothing = {0};
  bbw_conv_f32_pack(&s->conv, call->inputs[1]->data, call->scratch);
  bbw_conv_f32_simd128(&s->conv, call->inputs[0]->data, call->scratch, &nothing, out->data,
                       (float *)call->scratch + s->packed_floats);
  return BBW_OK;
}

/* Of ConvTranspose.  Inputs: g, w, x (its shape). */
bbw_status bbw_conv_transpose_grad_input_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *w = call->inputs[1], *x = call->inputs[2];
  plan *s = bbw_call_plan(call, sizeof *s);
  bbw_conv_shape shape;
  if (s == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_call_output(call, 0, BBW_DTYPE_F32, x->rank, x->dims));
  if (g->count == 0 || x->count == 0) { return BBW_OK; }
  BBW_TRY(transposed_shape(call, x, w, g, &shape));
  return take_scratch(call, bbw_conv_plan_make(&s->conv, &shape), s, true);
}

/* Of ConvTranspose.  Inputs: x in the place of the gradient, g in that of the input, w (its shape). */
bbw_status bbw_conv_transpose_grad_weights_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *g = call->inputs[1], *w = call->inputs[2];
  plan *s = bbw_call_plan(call, sizeof *s);
  bbw_conv_shape shape;
  if (s == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_call_output(call, 0, BBW_DTYPE_F32, w->rank, w->dims));
  if (g->count == 0 || x->count == 0) { return BBW_OK; }
  BBW_TRY(transposed_shape(call, x, w, g, &shape));
  return take_scratch(call, bbw_conv_plan_make(&s->conv, &shape), s, false);
}

/* Inputs: g, x, w (its shape). */
bbw_status bbw_conv_grad_weights_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *x = call->inputs[1], *w = call->inputs[2];
  plan *s = bbw_call_plan(call, sizeof *s);
  bbw_conv_shape shape;
  bbw_window window;
  if (s == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(forward_shape(call, x, w, g, &shape, &window));
  BBW_TRY(take_scratch(call, bbw_conv_plan_make(&s->conv, &shape), s, false));
  return bbw_call_output(call, 0, BBW_DTYPE_F32, w->rank, w->dims);
}

bbw_status bbw_conv_grad_weights_run(bbw_call *call) {
  const plan *s = call->plan;
  bbw_array *out = call->outputs[0];
  if (out->count == 0) { return BBW_OK; }
  if (call->inputs[0]->count == 0 || call->inputs[1]->count == 0) {
    memset(out->data, 0, bbw_array_bytes(out));
    return BBW_OK;
  }
  bbw_conv_weights_gradient_f32(&s->conv, call->inputs[1]->data, call->inputs[0]->data, out->data, call->scratch);
  return BBW_OK;
}
