#include "onnx/window.h"

/* Strides, dilations, pads and kernels above this make no sense and could overflow. */
#define PART_MAX ((int64_t)1 << 24)

bbw_status bbw_window_prepare(bbw_prep *prep, bbw_window_params *p) {
  static const char *const pads[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", NULL};
  BBW_TRY(bbw_prep_ints(prep, "kernel_shape", p->kernel, BBW_WINDOW_AXES, &p->kernel_count));
  BBW_TRY(bbw_prep_ints(prep, "strides", p->stride, BBW_WINDOW_AXES, &p->stride_count));
  BBW_TRY(bbw_prep_ints(prep, "dilations", p->dilation, BBW_WINDOW_AXES, &p->dilation_count));
  BBW_TRY(bbw_prep_ints(prep, "pads", p->pads, 2 * BBW_WINDOW_AXES, &p->pad_count));
  BBW_TRY(bbw_prep_choice(prep, "auto_pad", pads, BBW_PAD_NOTSET, &p->auto_pad));
  BBW_TRY(bbw_prep_bool(prep, "ceil_mode", false, &p->is_ceil));
  const struct {
    const char *name;
    const int64_t *items;
    int32_t count;
    int64_t min;
  } lists[] = {{"kernel_shape", p->kernel, p->kernel_count, 1},
               {"strides", p->stride, p->stride_count, 1},
               {"dilations", p->dilation, p->dilation_count, 1},
               {"pads", p->pads, p->pad_count, 0}};
  for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
    for (int32_t i = 0; i < lists[l].count; i++) {
      if (lists[l].items[i] < lists[l].min || lists[l].items[i] > PART_MAX) {
        return bbw_prep_refuse(prep, lists[l].name, "a number is out of range");
      }
    }
  }
  return BBW_OK;
}

bbw_status bbw_window_base(bbw_call *call, const bbw_window_params *p, const bbw_array *x, const size_t *kernel,
                           bbw_window *w) {
  if (x->rank < 3 || x->rank > 2 + BBW_WINDOW_AXES) {
    return bbw_call_refuse(call, 0, "must have batch, channels and one to three axes");
  }
  uint32_t axes = x->rank - 2;
  if ((kernel == NULL && p->kernel_count != (int32_t)axes) ||
      (p->kernel_count >= 0 && p->kernel_count != (int32_t)axes) ||
      (p->stride_count >= 0 && p->stride_count != (int32_t)axes) ||
      (p->dilation_count >= 0 && p->dilation_count != (int32_t)axes) ||
      (p->pad_count >= 0 && p->pad_count != 2 * (int32_t)axes)) {
    return bbw_call_refuse(call, -1, "kernel_shape, strides, dilations or pads do not fit the axes of the input");
  }
  *w = (bbw_window){.axes = axes};
  for (uint32_t d = 0; d < BBW_WINDOW_AXES; d++) {
    w->size[d] = w->kernel[d] = w->stride[d] = w->dilation[d] = w->out_size[d] = 1;
  }
  for (uint32_t i = 0; i < axes; i++) {
    uint32_t d = BBW_WINDOW_AXES - axes + i;
    w->size[d] = x->dims[2 + i];
    w->kernel[d] = kernel != NULL ? kernel[i] : (size_t)p->kernel[i];
    if (p->kernel_count >= 0 && (size_t)p->kernel[i] != w->kernel[d]) {
      return bbw_call_refuse(call, 1, "kernel_shape and the weights do not fit");
    }
    if (w->kernel[d] == 0 || w->kernel[d] > (size_t)PART_MAX) {
      return bbw_call_refuse(call, 1, "the kernel is empty or too large");
    }
    if (p->stride_count >= 0) { w->stride[d] = (size_t)p->stride[i]; }
    if (p->dilation_count >= 0) { w->dilation[d] = (size_t)p->dilation[i]; }
    if (p->pad_count >= 0 && p->auto_pad == BBW_PAD_NOTSET) {
      w->pad_begin[d] = (size_t)p->pads[i];
      w->pad_end[d] = (size_t)p->pads[axes + i];
    }
  }
  return BBW_OK;
}

bbw_status bbw_window_make(bbw_call *call, const bbw_window_params *p, const bbw_array *x, const size_t *kernel,
                           bbw_window *w) {
  BBW_TRY(bbw_window_base(call, p, x, kernel, w));
  for (uint32_t d = BBW_WINDOW_AXES - w->axes; d < BBW_WINDOW_AXES; d++) {
    uint64_t span = (uint64_t)w->dilation[d] * (w->kernel[d] - 1) + 1, size = w->size[d];
    if (size > SIZE_MAX / 4 || span > SIZE_MAX / 4) { return bbw_call_refuse(call, 0, "an axis is too long"); }
    if (p->auto_pad == BBW_PAD_SAME_UPPER || p->auto_pad == BBW_PAD_SAME_LOWER) {
      uint64_t out = (size + w->stride[d] - 1) / w->stride[d];
      uint64_t need = out == 0 ? 0 : (out - 1) * w->stride[d] + span, pad = need > size ? need - size : 0;
      w->pad_begin[d] = (size_t)(p->auto_pad == BBW_PAD_SAME_UPPER ? pad / 2 : pad - pad / 2);
      w->pad_end[d] = (size_t)pad - w->pad_begin[d];
    }
    uint64_t padded = size + w->pad_begin[d] + w->pad_end[d];
    if (padded < span) { return bbw_call_refuse(call, 0, "the kernel is longer than the padded input"); }
    uint64_t out = (padded - span + (p->is_ceil ? w->stride[d] - 1 : 0)) / w->stride[d] + 1;
    /* With ceil_mode a last window that lies in the padding behind the input altogether is left out. */
    if (p->is_ceil && (out - 1) * w->stride[d] >= size + w->pad_begin[d]) { out--; }
    w->out_size[d] = (size_t)out;
  }
  return BBW_OK;
}

bbw_status bbw_window_output(bbw_call *call, uint32_t i, bbw_dtype dtype, size_t batch, size_t channels,
                             const bbw_window *w) {
  size_t dims[2 + BBW_WINDOW_AXES] = {batch, channels};
  for (uint32_t a = 0; a < w->axes; a++) { dims[2 + a] = w->out_size[BBW_WINDOW_AXES - w->axes + a]; }
  return bbw_call_output(call, i, dtype, 2 + w->axes, dims);
}
