#include "kernels/conv.h"

#include <string.h>

#include "kernels/conv_private.h"
#include "kernels/gemm_private.h"

/* ---- weights ---- */

static size_t group_in(const bbw_conv_plan *p) { return p->shape.channels / p->shape.groups; }
static size_t group_out(const bbw_conv_plan *p) { return p->shape.out_channels / p->shape.groups; }
static size_t taps_of(const bbw_conv_plan *p) { return bbw_conv_product(p->shape.kernel); }

/* Weight of output channel o and product number `at` (input channel of the group, tap), as the run counts them. */
static float weight_at(const bbw_conv_plan *p, const float *weights, size_t o, size_t at) {
  size_t taps = taps_of(p);
  if (!p->is_transposed) { return weights[o * group_in(p) * taps + at]; }
  size_t in = o / group_out(p) * group_in(p) + at / taps;
  return weights[(in * group_out(p) + o % group_out(p)) * taps + (taps - 1 - at % taps)];
}

/* Where the element of every product lies in the padded copy, beside that of the first. */
static void put_offsets(const bbw_conv_plan *p, float *out) {
  const size_t *kernel = p->shape.kernel, *dilation = p->shape.dilation, *size = p->padded_size;
  size_t at = 0;
  for (size_t c = 0; c < group_in(p); c++) {
    for (size_t z = 0; z < kernel[0]; z++) {
      for (size_t y = 0; y < kernel[1]; y++) {
        for (size_t x = 0; x < kernel[2]; x++, at++) {
          size_t row = (c * size[0] + z * dilation[0]) * size[1] + y * dilation[1];
          uint32_t offset = (uint32_t)(row * size[2] + x * dilation[2]);
          memcpy(out + at, &offset, sizeof offset);
        }
      }
    }
  }
}

static uint32_t offset_at(const float *offsets, size_t at) {
  uint32_t offset;
  memcpy(&offset, offsets + at, sizeof offset);
  return offset;
}

void bbw_conv_f32_pack(const bbw_conv_plan *p, const float *weights, float *packed) {
  size_t k = group_in(p) * taps_of(p), m = group_out(p);
  if (p->path == BBW_CONV_DEPTHWISE) {
    for (size_t o = 0; o < p->shape.out_channels; o++) {
      for (size_t at = 0; at < k; at++) { packed[o * k + at] = weight_at(p, weights, o, at); }
    }
    return;
  }
  size_t size = bbw_gemm_f32_pack_a_size(m, k);
  for (size_t g = 0; g < p->shape.groups; g++) {
    float *dst = packed + g * size;
    if (!p->is_transposed) {
      bbw_gemm_f32_pack_a(dst, weights + g * m * k, k, false, m, k);
      continue;
    }
    for (size_t i = 0; i < size; i++) { dst[i] = 0.0f; }
    for (size_t o = 0; o < m; o++) {
      for (size_t at = 0; at < k; at++) {
        dst[bbw_gemm_packed_index(m, TILE_M, k, o, at)] = weight_at(p, weights, g * m + o, at);
      }
    }
  }
}

/* ---- the definition ---- */

static float packed_weight(const bbw_conv_plan *p, const float *packed, size_t o, size_t at) {
  size_t k = group_in(p) * taps_of(p), m = group_out(p);
  if (p->path == BBW_CONV_DEPTHWISE) { return packed[o * k + at]; }
  return packed[o / m * bbw_gemm_f32_pack_a_size(m, k) + bbw_gemm_packed_index(m, TILE_M, k, o % m, at)];
}

/* Element of one axis that a place and a tap meet; false where there are zeros. */
static bool meet(const bbw_conv_plan *p, size_t d, size_t place, size_t tap, size_t *element) {
  ptrdiff_t at = (ptrdiff_t)(place * p->step[d] + tap * p->shape.dilation[d]) - p->lead[d];
  if (at < 0 || at % (ptrdiff_t)p->insert[d] != 0) { return false; }
  *element = (size_t)at / p->insert[d];
  return *element < p->shape.size[d];
}

static float input_at(const bbw_conv_plan *p, const float *x, size_t place, size_t tap) {
  size_t z, y, i;
  const size_t *out = p->out_size, *kernel = p->shape.kernel, *size = p->shape.size;
  if (!meet(p, 0, place / (out[1] * out[2]), tap / (kernel[1] * kernel[2]), &z) ||
      !meet(p, 1, place / out[2] % out[1], tap / kernel[2] % kernel[1], &y) ||
      !meet(p, 2, place % out[2], tap % kernel[2], &i)) {
    return 0.0f;
  }
  return x[(z * size[1] + y) * size[2] + i];
}

/* The epilogue of a plane of output that starts `offset` floats into the result. */
static bbw_epilogue shifted(const bbw_conv_plan *p, const bbw_epilogue *e, size_t channel, size_t offset) {
  bbw_epilogue s = *e;
  if (s.row_bias != NULL) { s.row_bias += channel; }
  if (s.residual != NULL) { s.residual += offset; }
  s.residual_stride = p->places;
  return s;
}

void bbw_conv_f32_scalar(const bbw_conv_plan *p, const float *x, const float *packed, const bbw_epilogue *epilogue,
                         float *out, float *scratch) {
  (void)scratch;
  size_t plane = bbw_conv_product(p->shape.size), taps = taps_of(p), k = group_in(p) * taps;
  for (size_t image = 0; image < p->shape.batch; image++) {
    for (size_t o = 0; o < p->shape.out_channels; o++) {
      const float *from = x + (image * p->shape.channels + o / group_out(p) * group_in(p)) * plane;
      size_t offset = (image * p->shape.out_channels + o) * p->places;
      for (size_t place = 0; place < p->places; place++) {
        float total = 0.0f;
        size_t start = 0;
        do {
          size_t end = start + bbw_min_size(k - start, BBW_GEMM_KC);
          float sum = 0.0f;
          for (size_t at = start; at < end; at++) {
            sum = sum + packed_weight(p, packed, o, at) * input_at(p, from + at / taps * plane, place, at % taps);
          }
          total = start == 0 ? sum : total + sum;
          start = end;
        } while (start < k);
        out[offset + place] = total;
      }
      bbw_epilogue e = shifted(p, epilogue, o, offset);
      bbw_epilogue_scalar(&e, out + offset, p->places, 0, 1, 0, p->places);
    }
  }
}

/* ---- paths ---- */

/* A row of the input; its own loop, since rows are short and many. */
static void copy_row(float *to, const float *from, size_t n) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) { bbw_f32x4_store(to + i, bbw_f32x4_load(from + i)); }
  for (; i < n; i++) { to[i] = from[i]; }
}

void bbw_conv_pad(const bbw_conv_plan *p, const float *x, size_t channels, float *dst) {
  const size_t *size = p->shape.size, *padded = p->padded_size;
  for (size_t c = 0; c < channels; c++) {
    for (size_t z = 0; z < size[0]; z++) {
      ptrdiff_t to_z = (ptrdiff_t)(z * p->insert[0]) + p->lead[0];
      if (to_z < 0 || (size_t)to_z >= padded[0]) { continue; }
      for (size_t y = 0; y < size[1]; y++) {
        ptrdiff_t to_y = (ptrdiff_t)(y * p->insert[1]) + p->lead[1];
        if (to_y < 0 || (size_t)to_y >= padded[1]) { continue; }
        const float *from = x + ((c * size[0] + z) * size[1] + y) * size[2];
        float *row = dst + ((c * padded[0] + (size_t)to_z) * padded[1] + (size_t)to_y) * padded[2];
        if (p->insert[2] == 1 && p->lead[2] >= 0 && (size_t)p->lead[2] + size[2] <= padded[2]) {
          copy_row(row + p->lead[2], from, size[2]);
          continue;
        }
        for (size_t i = 0; i < size[2]; i++) {
          ptrdiff_t to = (ptrdiff_t)(i * p->insert[2]) + p->lead[2];
          if (to >= 0 && (size_t)to < padded[2]) { row[to] = from[i]; }
        }
      }
    }
  }
}

/* The zeros of a padded copy lie in the same places every time, so they are written once per run. */
static void clear_copy(const bbw_conv_plan *p, size_t channels, float *dst) {
  memset(dst, 0, (channels * bbw_conv_product(p->padded_size) + BBW_CONV_SLACK) * sizeof(float));
}

typedef struct panel_source {
  const bbw_conv_plan *plan;
  const float *padded;
  const float *offsets;
} panel_source;

/* Where the first tap of an output place lies in a padded channel. */
static size_t place_start(const bbw_conv_plan *p, size_t place) {
  size_t x = place % p->out_size[2], y = place / p->out_size[2] % p->out_size[1];
  size_t z = place / p->out_size[2] / p->out_size[1];
  return ((z * p->step[0]) * p->padded_size[1] + y * p->step[1]) * p->padded_size[2] + x * p->step[2];
}

/*
 * A panel of patches.  Places that are neighbours in a row of output lie one step apart in the copy, so up to two rows of them are copied as
 * vectors, the second over the end of the first (the copy has slack, and so has the panel); else element by element.
 */
void bbw_conv_patch_panel(const void *context, float *dst, size_t j, size_t columns, size_t from, size_t depth) {
  const panel_source *s = context;
  size_t starts[PANEL], second = PANEL; /* lane where the second row begins */
  size_t step = s->plan->step[2];
  bool is_simple = true;
  for (size_t lane = 0; lane < PANEL; lane++) {
    if (lane >= columns) {
      starts[lane] = starts[lane - 1]; /* computed and thrown away */
      continue;
    }
    starts[lane] = place_start(s->plan, j + lane);
    if (lane > 0 && starts[lane] != starts[lane - 1] + step) {
      is_simple = is_simple && second == PANEL;
      second = lane;
    }
  }
  const float *offsets = s->offsets + from;
  if (is_simple && step == 1) {
    const float *first = s->padded + starts[0], *other = second < PANEL ? s->padded + starts[second] : NULL;
    for (size_t i = 0; i < depth; i++, dst += PANEL) {
      uint32_t offset = offset_at(offsets, i);
      bbw_f32x4_store(dst, bbw_f32x4_load(first + offset));
      bbw_f32x4_store(dst + 4, bbw_f32x4_load(first + offset + 4));
      if (other == NULL) { continue; }
      bbw_f32x4_store(dst + second, bbw_f32x4_load(other + offset));
      bbw_f32x4_store(dst + second + 4, bbw_f32x4_load(other + offset + 4));
    }
    return;
  }
  if (is_simple && step == 2 && second == PANEL) {
    for (size_t i = 0; i < depth; i++, dst += PANEL) {
      const float *at = s->padded + starts[0] + offset_at(offsets, i);
      bbw_f32x4_store(dst, bbw_f32x4_load_even(at));
      bbw_f32x4_store(dst + 4, bbw_f32x4_load_even(at + 8));
    }
    return;
  }
  for (size_t i = 0; i < depth; i++, dst += PANEL) {
    const float *at = s->padded + offset_at(offsets, i);
    for (size_t lane = 0; lane < PANEL; lane++) { dst[lane] = at[starts[lane]]; }
  }
}

/* POINTWISE and PANELS: one product per image and group. */
static void run_products(const bbw_conv_plan *p, const float *x, const float *packed, const bbw_epilogue *e, float *out,
                         float *scratch) {
  size_t m = group_out(p), k = group_in(p) * taps_of(p), plane = bbw_conv_product(p->shape.size);
  size_t weights = bbw_gemm_f32_pack_a_size(m, k);
  panel_source source = {.plan = p, .padded = scratch + k, .offsets = scratch};
  bool is_panels = p->path == BBW_CONV_PANELS;
  float *gemm_scratch = scratch;
  if (is_panels) {
    put_offsets(p, scratch);
    clear_copy(p, group_in(p), scratch + k);
    gemm_scratch += k + group_in(p) * bbw_conv_product(p->padded_size) + BBW_CONV_SLACK;
  }
  bbw_gemm g = {.m = m, .n = p->places, .k = k, .is_a_packed = true, .ldc = p->places, .alpha = 1.0f};
  for (size_t image = 0; image < p->shape.batch; image++) {
    for (size_t group = 0; group < p->shape.groups; group++) {
      const float *from = x + (image * p->shape.channels + group * group_in(p)) * plane;
      size_t offset = (image * p->shape.out_channels + group * m) * p->places;
      g.a = packed + group * weights;
      g.c = out + offset;
      g.epilogue = shifted(p, e, group * m, offset);
      if (is_panels) {
        bbw_conv_pad(p, from, group_in(p), scratch + k);
        g.b_panel = bbw_conv_patch_panel, g.b_context = &source;
      } else {
        g.b = from, g.ldb = plane;
      }
      bbw_gemm_f32_run_simd128(&g, gemm_scratch);
    }
  }
}

static void run_depthwise(const bbw_conv_plan *p, const float *x, const float *packed, const bbw_epilogue *e,
                          float *out, float *scratch) {
  size_t m = group_out(p), taps = taps_of(p), plane = bbw_conv_product(p->shape.size);
  clear_copy(p, 1, scratch);
  for (size_t image = 0; image < p->shape.batch; image++) {
    for (size_t channel = 0; channel < p->shape.channels; channel++) {
      bbw_conv_pad(p, x + (image * p->shape.channels + channel) * plane, 1, scratch);
      for (size_t o = channel * m; o < (channel + 1) * m; o++) {
        size_t offset = (image * p->shape.out_channels + o) * p->places;
        bbw_conv_depthwise_plane(p, scratch, packed + o * taps, out + offset);
        bbw_epilogue shift = shifted(p, e, o, offset);
        bbw_epilogue_simd128(&shift, out + offset, p->places, 0, 1, 0, p->places);
      }
    }
  }
}

void bbw_conv_f32_simd128(const bbw_conv_plan *p, const float *x, const float *packed, const bbw_epilogue *epilogue,
                          float *out, float *scratch) {
  if (p->shape.batch == 0 || p->shape.out_channels == 0 || p->places == 0) { return; }
  switch (p->path) {
  case BBW_CONV_DEPTHWISE: run_depthwise(p, x, packed, epilogue, out, scratch); break;
  case BBW_CONV_POINTWISE:
  case BBW_CONV_PANELS: run_products(p, x, packed, epilogue, out, scratch); break;
  }
}
