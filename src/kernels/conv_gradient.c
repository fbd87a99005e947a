/* The gradient of weights: g of each image times its patches, which are made while they are used. */
#include <string.h>

#include "base/mem.h"
#include "kernels/conv_private.h"
#include "kernels/gemm_private.h"

typedef struct patches {
  const float *padded;
  const uint32_t
      *offsets; /* per product (channel of the group, tap): its place in the padded copy, beside that of the first */
  const uint32_t *starts; /* per place of the output: that of the first */
} patches;

/* Columns are products, rows are places: the b of gemm. */
static void patch_rows(const void *context, float *dst, size_t j, size_t columns, size_t from, size_t depth) {
  const patches *s = context;
  const uint32_t *starts = s->starts + from;
  const float *lanes[PANEL];
  for (size_t lane = 0; lane < PANEL; lane++) {
    lanes[lane] = s->padded + s->offsets[j + (lane < columns ? lane : columns - 1)];
  }
  for (size_t i = 0; i < depth; i++, dst += PANEL) {
    size_t start = starts[i];
    for (size_t lane = 0; lane < PANEL; lane++) { dst[lane] = lanes[lane][start]; }
  }
}

static size_t group_in(const bbw_conv_plan *p) { return p->shape.channels / p->shape.groups; }
static size_t products_of(const bbw_conv_plan *p) { return group_in(p) * bbw_conv_product(p->shape.kernel); }

static bbw_gemm product(const bbw_conv_plan *p) {
  return (bbw_gemm){.m = p->shape.out_channels / p->shape.groups,
                    .n = products_of(p),
                    .k = p->places,
                    .lda = p->places,
                    .ldc = products_of(p),
                    .b_panel = patch_rows,
                    .alpha = 1.0f};
}

size_t bbw_conv_gradient_scratch(const bbw_conv_plan *p) {
  bbw_gemm g = product(p);
  size_t padded, sum;
  /* The padded copy is bounded by the plan of the forward run, except on paths that make none. */
  if (!bbw_size_mul(bbw_conv_product(p->padded_size), group_in(p), &padded) || padded > ((size_t)1 << 30) ||
      !bbw_size_add(padded + BBW_CONV_SLACK, g.n, &sum) || !bbw_size_add(sum, g.k, &sum) ||
      !bbw_size_add(sum, bbw_gemm_f32_run_scratch(&g), &sum)) {
    return SIZE_MAX;
  }
  return sum;
}

static void put_offsets(const bbw_conv_plan *p, uint32_t *out) {
  const size_t *kernel = p->shape.kernel, *dilation = p->shape.dilation, *size = p->padded_size;
  for (size_t c = 0; c < group_in(p); c++) {
    for (size_t z = 0; z < kernel[0]; z++) {
      for (size_t y = 0; y < kernel[1]; y++) {
        size_t row = (c * size[0] + z * dilation[0]) * size[1] + y * dilation[1];
        for (size_t x = 0; x < kernel[2]; x++) { *out++ = (uint32_t)(row * size[2] + x * dilation[2]); }
      }
    }
  }
}

static void put_starts(const bbw_conv_plan *p, uint32_t *out) {
  for (size_t z = 0; z < p->out_size[0]; z++) {
    for (size_t y = 0; y < p->out_size[1]; y++) {
      size_t row = (z * p->step[0] * p->padded_size[1] + y * p->step[1]) * p->padded_size[2];
      for (size_t x = 0; x < p->out_size[2]; x++) { *out++ = (uint32_t)(row + x * p->step[2]); }
    }
  }
}

void bbw_conv_weights_gradient_f32(const bbw_conv_plan *p, const float *x, const float *gradient, float *out,
                                   float *scratch) {
  bbw_gemm g = product(p);
  size_t plane = bbw_conv_product(p->shape.size), padded = group_in(p) * bbw_conv_product(p->padded_size);
  uint32_t *offsets = (uint32_t *)(void *)scratch, *starts = offsets + g.n;
  float *copy = scratch + g.n + g.k;
  patches source = {.padded = copy, .offsets = offsets, .starts = starts};
  put_offsets(p, offsets);
  put_starts(p, starts);
  memset(copy, 0, (padded + BBW_CONV_SLACK) * sizeof(float));
  g.b_context = &source;
  for (size_t image = 0; image < p->shape.batch; image++) {
    for (size_t group = 0; group < p->shape.groups; group++) {
      bbw_conv_pad(p, x + (image * p->shape.channels + group * group_in(p)) * plane, group_in(p), copy);
      g.a = gradient + (image * p->shape.out_channels + group * g.m) * p->places;
      g.c = out + group * g.m * g.n;
      g.is_accumulating = image > 0;
      bbw_gemm_f32_run_simd128(&g, copy + padded + BBW_CONV_SLACK);
    }
  }
}
