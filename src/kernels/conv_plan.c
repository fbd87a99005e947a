#include <stdint.h>

#include "base/mem.h"
#include "kernels/conv_private.h"
#include "kernels/gemm.h"

/* Above this a padded copy is refused: places in it are kept in 32 bits. */
#define PADDED_MAX ((size_t)1 << 30)

static bool add(size_t a, size_t b, size_t *out) {
  *out = a + b;
  return *out >= a && *out <= SIZE_MAX / 2;
}

static bool product(const size_t x[BBW_CONV_AXES], size_t times, size_t *out) {
  *out = times;
  for (size_t d = 0; d < BBW_CONV_AXES; d++) {
    if (!bbw_size_mul(*out, x[d], out)) { return false; }
  }
  return *out <= SIZE_MAX / 2;
}

/* Length of the kernel over the input: dilation * (kernel - 1) + 1. */
static bool kernel_span(const bbw_conv_shape *s, size_t d, size_t *span) {
  return s->kernel[d] >= 1 && s->stride[d] >= 1 && s->dilation[d] >= 1 &&
         bbw_size_mul(s->dilation[d], s->kernel[d] - 1, span) && add(*span, 1, span);
}

static bool plan_axis(bbw_conv_plan *plan, size_t d) {
  const bbw_conv_shape *s = &plan->shape;
  size_t span, padded;
  if (!kernel_span(s, d, &span) || !add(s->size[d], s->pad_begin[d], &padded) || !add(padded, s->pad_end[d], &padded)) {
    return false;
  }
  if (padded < span) { return false; }
  plan->out_size[d] = (padded - span) / s->stride[d] + 1;
  plan->insert[d] = 1;
  plan->step[d] = s->stride[d];
  plan->lead[d] = (ptrdiff_t)s->pad_begin[d];
  plan->padded_size[d] = padded;
  return true;
}

/* The input with stride - 1 zeros between its elements, and span - 1 - pad around it, goes through a convolution of stride 1. */
static bool plan_transposed_axis(bbw_conv_plan *plan, size_t d) {
  const bbw_conv_shape *s = &plan->shape;
  size_t span, spread, pads, whole;
  if (!kernel_span(s, d, &span) || !add(s->pad_begin[d], s->pad_end[d], &pads)) { return false; }
  if (s->size[d] == 0) { return false; }
  if (!bbw_size_mul(s->size[d] - 1, s->stride[d], &spread) || !add(spread, span, &whole) ||
      !add(whole, s->out_pad[d], &whole) || whole < pads) {
    return false;
  }
  plan->out_size[d] = whole - pads;
  plan->insert[d] = s->stride[d];
  plan->step[d] = 1;
  plan->lead[d] = (ptrdiff_t)(span - 1) - (ptrdiff_t)s->pad_begin[d];
  return add(plan->out_size[d], span - 1, &plan->padded_size[d]);
}

static bool is_plain_axis(const bbw_conv_plan *p, size_t d) {
  return p->insert[d] == 1 && p->lead[d] == 0 && p->padded_size[d] == p->shape.size[d];
}

static bbw_conv_path choose(const bbw_conv_plan *p) {
  const bbw_conv_shape *s = &p->shape;
  bool is_plain = true, is_pointwise = true;
  for (size_t d = 0; d < BBW_CONV_AXES; d++) {
    is_plain = is_plain && is_plain_axis(p, d);
    is_pointwise = is_pointwise && s->kernel[d] == 1 && p->step[d] == 1;
  }
  if (!s->is_volume && s->channels == s->groups && s->kernel[1] * s->kernel[2] <= BBW_GEMM_KC) {
    return BBW_CONV_DEPTHWISE;
  }
  if (is_plain && is_pointwise) { return BBW_CONV_POINTWISE; }
  return BBW_CONV_PANELS;
}

/* Sizes of packed weights and scratch for the chosen path. */
static bool plan_memory(bbw_conv_plan *p) {
  const bbw_conv_shape *s = &p->shape;
  size_t k, m = s->out_channels / s->groups, padded, weights;
  if (!product(s->kernel, s->channels / s->groups, &k)) { return false; }
  bbw_gemm g = {.m = m, .n = p->places, .k = k, .is_a_packed = true};
  if (p->path == BBW_CONV_DEPTHWISE) {
    if (!product(p->padded_size, 1, &padded) || padded > PADDED_MAX) { return false; }
    p->scratch_count = padded + BBW_CONV_SLACK;
    return bbw_size_mul(s->out_channels, k, &p->packed_count);
  }
  weights = bbw_gemm_f32_pack_a_size(m, k);
  if (weights == SIZE_MAX || !bbw_size_mul(weights, s->groups, &p->packed_count)) { return false; }
  p->scratch_count = bbw_gemm_f32_run_scratch(&g);
  if (p->path == BBW_CONV_PANELS) {
    if (!product(p->padded_size, s->channels / s->groups, &padded) || padded > PADDED_MAX) { return false; }
    g.b_panel = bbw_conv_patch_panel;
    /* The places of the taps, the padded copy, the product. */
    p->scratch_count = k + padded + BBW_CONV_SLACK + bbw_gemm_f32_run_scratch(&g) + BBW_CONV_SLACK;
  }
  return p->packed_count <= SIZE_MAX / sizeof(float);
}

static bool make(bbw_conv_plan *plan, const bbw_conv_shape *shape, bool is_transposed) {
  bbw_conv_plan p = {.shape = *shape, .is_transposed = is_transposed};
  bool is_flat = shape->size[0] == 1 && shape->kernel[0] == 1 && shape->stride[0] == 1 && shape->pad_begin[0] == 0 &&
                 shape->pad_end[0] == 0 && shape->out_pad[0] == 0;
  if (!is_flat) { p.shape.is_volume = true; }
  if (shape->groups == 0 || shape->channels % shape->groups != 0 || shape->out_channels % shape->groups != 0) {
    return false;
  }
  for (size_t d = 0; d < BBW_CONV_AXES; d++) {
    if (!(is_transposed ? plan_transposed_axis(&p, d) : plan_axis(&p, d))) { return false; }
  }
  size_t channels, count;
  if (!product(p.out_size, 1, &p.places)) { return false; }
  if (!bbw_size_mul(shape->batch, shape->out_channels, &channels) || !bbw_size_mul(channels, p.places, &count)) {
    return false;
  }
  if (!bbw_size_mul(shape->batch, shape->channels, &channels) || !product(shape->size, channels, &count)) {
    return false;
  }
  p.path = choose(&p);
  if (!plan_memory(&p)) { return false; }
  *plan = p;
  return true;
}

bool bbw_conv_plan_make(bbw_conv_plan *plan, const bbw_conv_shape *shape) { return make(plan, shape, false); }
bool bbw_conv_transpose_plan_make(bbw_conv_plan *plan, const bbw_conv_shape *shape) { return make(plan, shape, true); }
