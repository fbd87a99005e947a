/* Conv and ConvTranspose (f32). Weights that the model fixes are packed once. */
#include <string.h>

#include "base/mem.h"
#include "kernels/conv.h"
#include "onnx/fused.h"
#include "onnx/ops.h"
#include "onnx/window.h"

typedef bbw_conv_params params;

static bool is_transpose(const bbw_onnx_op *op) { return op->ctx != NULL; }
const uint32_t bbw_conv_is_transpose = 1;

bbw_status bbw_conv_prepare(bbw_prep *prep) {
  params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_window_prepare(prep, &p->window));
  BBW_TRY(bbw_prep_int(prep, "group", 1, &p->groups));
  if (p->groups < 1) { return bbw_prep_refuse(prep, "group", "must be positive"); }
  BBW_TRY(bbw_prep_ints(prep, "output_padding", p->out_pad, BBW_WINDOW_AXES, &p->out_pad_count));
  BBW_TRY(bbw_prep_ints(prep, "output_shape", p->out_shape, BBW_WINDOW_AXES, &p->out_shape_count));
  for (int32_t i = 0; i < p->out_pad_count; i++) {
    if (p->out_pad[i] < 0 || p->out_pad[i] > INT32_MAX) {
      return bbw_prep_refuse(prep, "output_padding", "a number is out of range");
    }
  }
  for (int32_t i = 0; i < p->out_shape_count; i++) {
    if (p->out_shape[i] < 0 || p->out_shape[i] > INT32_MAX) {
      return bbw_prep_refuse(prep, "output_shape", "a number is out of range");
    }
  }
  return BBW_OK;
}

/* What the weights alone say about the shape: [out, in / groups, kernel], or [in, out / groups, kernel] for the transpose. */
static void weights_shape(size_t groups, bool is_transposed, const bbw_array *w, bbw_conv_shape *shape) {
  *shape = (bbw_conv_shape){.groups = groups, .is_volume = w->rank == 5};
  shape->out_channels = is_transposed ? w->dims[1] * shape->groups : w->dims[0];
  shape->channels = is_transposed ? w->dims[0] : w->dims[1] * shape->groups;
}

void bbw_window_shape(const bbw_window *w, bbw_conv_shape *shape) {
  for (uint32_t d = 0; d < BBW_WINDOW_AXES; d++) {
    shape->size[d] = w->size[d];
    shape->kernel[d] = w->kernel[d];
    shape->stride[d] = w->stride[d];
    shape->dilation[d] = w->dilation[d];
    shape->pad_begin[d] = w->pad_begin[d];
    shape->pad_end[d] = w->pad_end[d];
  }
}

bbw_status bbw_conv_transpose_pads(bbw_call *call, const params *p, bbw_window *w, bbw_conv_shape *shape) {
  uint32_t axes = w->axes;
  if ((p->out_pad_count >= 0 && p->out_pad_count != (int32_t)axes) ||
      (p->out_shape_count >= 0 && p->out_shape_count != (int32_t)axes)) {
    return bbw_call_refuse(call, -1, "output_padding or output_shape do not fit the axes of the input");
  }
  bbw_window_shape(w, shape);
  for (uint32_t i = 0; i < axes; i++) {
    uint32_t d = BBW_WINDOW_AXES - axes + i;
    if (p->out_pad_count >= 0) { shape->out_pad[d] = (size_t)p->out_pad[i]; }
    bool is_same = p->window.auto_pad == BBW_PAD_SAME_UPPER || p->window.auto_pad == BBW_PAD_SAME_LOWER;
    if (p->out_shape_count < 0 && !is_same) { continue; }
    if (w->size[d] == 0 || w->size[d] > SIZE_MAX / 4 / w->stride[d]) {
      return bbw_call_refuse(call, 0, "an axis is empty or too long");
    }
    uint64_t span = (uint64_t)w->dilation[d] * (w->kernel[d] - 1) + 1;
    uint64_t whole = (uint64_t)w->stride[d] * (w->size[d] - 1) + shape->out_pad[d] + span;
    uint64_t wanted = p->out_shape_count >= 0 ? (uint64_t)p->out_shape[i] : (uint64_t)w->size[d] * w->stride[d];
    if (wanted > whole) { /* more than the kernel reaches: zeros behind */
      if (wanted - whole > INT32_MAX) { return bbw_call_refuse(call, -1, "output_shape is too large"); }
      shape->out_pad[d] += (size_t)(wanted - whole);
      shape->pad_begin[d] = shape->pad_end[d] = 0;
      continue;
    }
    size_t total = (size_t)(whole - wanted);
    shape->pad_begin[d] = p->window.auto_pad == BBW_PAD_SAME_UPPER ? total / 2 : total - total / 2;
    shape->pad_end[d] = total - shape->pad_begin[d];
  }
  return BBW_OK;
}

typedef struct plan {
  bbw_conv_plan conv;
  size_t packed_floats; /* of the scratch memory, where the weights are not packed already */
} plan;

bbw_status bbw_conv_infer(bbw_call *call) {
  const params *p = call->params;
  const bbw_array *x = call->inputs[0], *w = call->inputs[1], *bias = bbw_call_input(call, 2);
  bool is_transposed = is_transpose(call->op);
  plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (w->dtype != BBW_DTYPE_F32 || (bias != NULL && bias->dtype != BBW_DTYPE_F32)) {
    return bbw_call_refuse(call, -1, "inputs have different element types");
  }
  if (w->rank != x->rank || w->rank < 3) {
    return bbw_call_refuse(call, 1, "must have as many dimensions as the input");
  }
  bbw_conv_shape shape;
  bbw_window window;
  weights_shape((size_t)p->groups, is_transposed, w, &shape);
  if (x->dims[1] != shape.channels || shape.channels % shape.groups != 0 || shape.out_channels % shape.groups != 0) {
    return bbw_call_refuse(call, 1, "the channels of input, weights and group do not fit together");
  }
  if (bias != NULL && (bias->rank != 1 || bias->dims[0] != shape.out_channels)) {
    return bbw_call_refuse(call, 2, "must have one number per output channel");
  }
  if (is_transposed) {
    BBW_TRY(bbw_window_base(call, &p->window, x, w->dims + 2, &window));
    BBW_TRY(bbw_conv_transpose_pads(call, p, &window, &shape));
  } else {
    BBW_TRY(bbw_window_make(call, &p->window, x, w->dims + 2, &window));
    bbw_window_shape(&window, &shape);
  }
  shape.batch = x->dims[0];
  if (!(is_transposed ? bbw_conv_transpose_plan_make : bbw_conv_plan_make)(&s->conv, &shape)) {
    return bbw_call_refuse(call, 0, "sizes, kernel and pads do not fit together, or are too large");
  }
  for (uint32_t d = 0; d < BBW_WINDOW_AXES; d++) { window.out_size[d] = s->conv.out_size[d]; }
  BBW_TRY(bbw_window_output(call, 0, BBW_DTYPE_F32, shape.batch, shape.out_channels, &window));
  if (call->packed == NULL) { s->packed_floats = s->conv.packed_count; }
  size_t floats;
  if (!bbw_size_add(s->packed_floats, s->conv.scratch_count, &floats) || floats > call->elements_max) {
    call->detail = "the padded input is too large";
    return BBW_E_LIMIT;
  }
  call->scratch_bytes = floats * sizeof(float);
  return BBW_OK;
}

bbw_status bbw_conv_run(bbw_call *call) {
  const params *p = call->params;
  const plan *s = call->plan;
  const bbw_array *bias = bbw_call_input(call, 2);
  if (call->outputs[0]->count == 0) { return BBW_OK; }
  float *scratch = (float *)call->scratch + s->packed_floats;
  const float *packed = call->packed;
  if (packed == NULL) {
    bbw_conv_f32_pack(&s->conv, call->inputs[1]->data, call->scratch);
    packed = call->scratch;
  }
  bbw_epilogue epilogue = {.row_bias = bias != NULL ? bias->data : NULL};
  bbw_fused_set(&p->fused, &epilogue);
  bbw_conv_f32_simd128(&s->conv, call->inputs[0]->data, packed, &epilogue, call->outputs[0]->data, scratch);
  return BBW_OK;
}

bool bbw_conv_form(bbw_conv_plan *form, const bbw_array *w, size_t groups, bool is_transposed) {
  bbw_conv_shape shape;
  weights_shape(groups, is_transposed, w, &shape);
  shape.batch = 1;
  for (uint32_t d = 0; d < BBW_WINDOW_AXES; d++) {
    shape.size[d] = shape.kernel[d] = shape.stride[d] = shape.dilation[d] = 1;
  }
  /* The smallest input that the kernel fits: the packed form is the same for all. */
  for (uint32_t i = 2; i < w->rank; i++) {
    shape.size[BBW_WINDOW_AXES - w->rank + i] = shape.kernel[BBW_WINDOW_AXES - w->rank + i] = w->dims[i];
  }
  return (is_transposed ? bbw_conv_transpose_plan_make : bbw_conv_plan_make)(form, &shape);
}

bbw_status bbw_conv_pack(bbw_onnx_pack *pack) {
  const params *p = pack->params;
  const bbw_array *w = pack->constants[1];
  if (w == NULL || w->dtype != BBW_DTYPE_F32 || w->rank < 3 || w->rank > 5 || w->count == 0) { return BBW_OK; }
  bbw_conv_plan form;
  if (!bbw_conv_form(&form, w, (size_t)p->groups, is_transpose(pack->op))) {
    return BBW_OK;
  } /* infer says what is wrong */
  if (pack->packed == NULL) {
    pack->bytes = form.packed_count * sizeof(float);
    return BBW_OK;
  }
  bbw_conv_f32_pack(&form, w->data, pack->packed);
  pack->replaced = 1u << 1;
  return BBW_OK;
}
