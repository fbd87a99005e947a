#include "kernels/conv_i8.h"

#include <assert.h>

#include "base/mem.h"
#include "kernels/conv_private.h"
#include "kernels/gemm_i8.h"
#include "kernels/i16x8.h"

#define PANEL BBW_GEMM_I8_PANEL

static size_t group_in(const bbw_conv_plan *p) { return p->shape.channels / p->shape.groups; }
static size_t group_out(const bbw_conv_plan *p) { return p->shape.out_channels / p->shape.groups; }
static size_t products_of(const bbw_conv_plan *p) { return group_in(p) * bbw_conv_product(p->shape.kernel); }
static bool is_depthwise(const bbw_conv_plan *p) { return p->path == BBW_CONV_DEPTHWISE; }

size_t bbw_conv_i8_pack_size(const bbw_conv_plan *p) {
  size_t k = products_of(p), size = is_depthwise(p) ? k : bbw_gemm_i8_pack_a_size(group_out(p), k);
  size_t count = is_depthwise(p) ? p->shape.out_channels : p->shape.groups;
  return size == SIZE_MAX || !bbw_size_mul(size, count, &size) || size > SIZE_MAX / 4 ? SIZE_MAX : size;
}

static size_t padded_count(const bbw_conv_plan *p) {
  size_t count = is_depthwise(p) ? 1 : group_in(p);
  for (size_t d = 0; d < BBW_CONV_AXES; d++) {
    if (!bbw_size_mul(count, p->padded_size[d], &count)) { return SIZE_MAX; }
  }
  return count > SIZE_MAX / 8 - BBW_CONV_SLACK ? SIZE_MAX : count + BBW_CONV_SLACK;
}

size_t bbw_conv_i8_scratch(const bbw_conv_plan *p) {
  size_t padded = padded_count(p), panel = is_depthwise(p) ? 0 : bbw_gemm_i8_pack_b_size(PANEL, products_of(p));
  return padded == SIZE_MAX || panel > SIZE_MAX / 8 ? SIZE_MAX : padded + panel;
}

static int16_t number(uint8_t byte, bool is_signed) { return is_signed ? (int8_t)byte : byte; }

void bbw_conv_i8_pack(const bbw_conv_plan *p, const bbw_conv_i8_weights *w, int16_t *packed) {
  assert(!p->is_transposed);
  size_t k = products_of(p), m = group_out(p), size = bbw_gemm_i8_pack_a_size(m, k);
  if (is_depthwise(p)) {
    for (size_t i = 0; i < p->shape.out_channels * k; i++) {
      int16_t zero = w->zero == NULL ? 0 : number(w->zero[w->has_zeros ? i / k : 0], w->is_signed);
      packed[i] = (int16_t)(number(w->x[i], w->is_signed) - zero);
    }
    return;
  }
  for (size_t g = 0; g < p->shape.groups; g++) {
    bbw_gemm_i8_operand a = {.x = w->x + g * m * k, .stride = k, .is_signed = w->is_signed};
    a.zero = w->zero == NULL || !w->has_zeros ? w->zero : w->zero + g * m, a.has_zeros = w->has_zeros;
    bbw_gemm_i8_pack_a(packed + g * size, &a, m, k);
  }
}

/* The padded copy as 16-bit numbers without their zero point, so that pads are zeros. */
static void pad(const bbw_conv_plan *p, const uint8_t *x, bool is_signed, uint8_t zero, size_t channels, int16_t *dst) {
  const size_t *size = p->shape.size, *padded = p->padded_size;
  int16_t off = number(zero, is_signed);
  memset(dst, 0, (channels * bbw_conv_product(padded) + BBW_CONV_SLACK) * sizeof(int16_t));
  for (size_t row = 0; row < channels * size[0] * size[1]; row++) {
    size_t y = row % size[1] + (size_t)p->lead[1], z = row / size[1] % size[0] + (size_t)p->lead[0];
    size_t c = row / size[1] / size[0];
    int16_t *to = dst + ((c * padded[0] + z) * padded[1] + y) * padded[2] + (size_t)p->lead[2];
    for (size_t i = 0; i < size[2]; i++) { to[i] = (int16_t)(number(x[row * size[2] + i], is_signed) - off); }
  }
}

static size_t place_start(const bbw_conv_plan *p, size_t place) {
  size_t x = place % p->out_size[2], y = place / p->out_size[2] % p->out_size[1];
  size_t z = place / p->out_size[2] / p->out_size[1];
  return ((z * p->step[0]) * p->padded_size[1] + y * p->step[1]) * p->padded_size[2] + x * p->step[2];
}

static size_t tap_offset(const bbw_conv_plan *p, size_t at) {
  const size_t *kernel = p->shape.kernel, *dilation = p->shape.dilation, *size = p->padded_size;
  size_t x = at % kernel[2], y = at / kernel[2] % kernel[1], z = at / kernel[2] / kernel[1] % kernel[0];
  size_t c = at / kernel[2] / kernel[1] / kernel[0];
  return ((c * size[0] + z * dilation[0]) * size[1] + y * dilation[1]) * size[2] + x * dilation[2];
}

typedef struct panel_source {
  const bbw_conv_plan *plan;
  const int16_t *padded;
} panel_source;

/* Patches of up to eight places, two products at a time. */
static void patch_panel(const void *context, int16_t *dst, size_t j, size_t columns) {
  const panel_source *s = context;
  size_t k = products_of(s->plan), starts[PANEL];
  bool is_row = s->plan->step[2] == 1;
  for (size_t lane = 0; lane < PANEL; lane++) {
    starts[lane] = lane < columns ? place_start(s->plan, j + lane) : starts[lane - 1];
    is_row = is_row && (lane == 0 || lane >= columns || starts[lane] == starts[lane - 1] + 1);
  }
  for (size_t at = 0; at < k; at += 2, dst += 2 * PANEL) {
    const int16_t *first = s->padded + tap_offset(s->plan, at);
    const int16_t *second = at + 1 < k ? s->padded + tap_offset(s->plan, at + 1) : first; /* its weight is zero */
    if (is_row) {
      bbw_i16x8 low, high;
      bbw_i16x8_interleave(bbw_i16x8_load(first + starts[0]), bbw_i16x8_load(second + starts[0]), &low, &high);
      bbw_i16x8_store(dst, low);
      bbw_i16x8_store(dst + 8, high);
      continue;
    }
    for (size_t lane = 0; lane < PANEL; lane++) {
      dst[2 * lane] = first[starts[lane]];
      dst[2 * lane + 1] = second[starts[lane]];
    }
  }
}

/* One plane: tap after tap over rows of output, which compilers make vectors of. */
static void depthwise_plane(const bbw_conv_plan *p, const int16_t *plane, const int16_t *taps, int32_t *out) {
  const size_t *kernel = p->shape.kernel, *dilation = p->shape.dilation;
  size_t width = p->out_size[2], step = p->step[2];
  for (size_t y = 0; y < p->out_size[1]; y++, out += width) {
    for (size_t x = 0; x < width; x++) { out[x] = 0; }
    for (size_t t = 0; t < kernel[1] * kernel[2]; t++) {
      size_t row = y * p->step[1] + t / kernel[2] * dilation[1];
      const int16_t *from = plane + row * p->padded_size[2] + t % kernel[2] * dilation[2];
      int32_t w = taps[t];
      for (size_t x = 0; x < width; x++) { out[x] = (int32_t)((uint32_t)out[x] + (uint32_t)(w * from[x * step])); }
    }
  }
}

static void run(const bbw_conv_plan *p, const uint8_t *x, bool is_signed, uint8_t zero, const int16_t *packed,
                int32_t *out, int16_t *scratch, bbw_gemm_i8_fn *gemm) {
  assert(!p->is_transposed);
  if (p->shape.batch == 0 || p->shape.out_channels == 0 || p->places == 0) { return; }
  size_t k = products_of(p), m = group_out(p), plane = bbw_conv_product(p->shape.size);
  size_t weights = is_depthwise(p) ? m * k : bbw_gemm_i8_pack_a_size(m, k);
  panel_source source = {.plan = p, .padded = scratch};
  for (size_t run_index = 0; run_index < p->shape.batch * p->shape.groups; run_index++) {
    size_t g = run_index % p->shape.groups;
    int32_t *to = out + run_index * m * p->places;
    pad(p, x + run_index * group_in(p) * plane, is_signed, zero, group_in(p), scratch);
    if (is_depthwise(p)) {
      for (size_t o = 0; o < m; o++) { depthwise_plane(p, scratch, packed + g * weights + o * k, to + o * p->places); }
      continue;
    }
    bbw_gemm_i8 product = {.m = m, .n = p->places, .k = k, .a_packed = packed + g * weights, .c = to, .ldc = p->places};
    product.b_panel = patch_panel, product.b_context = &source;
    gemm(&product, scratch + padded_count(p));
  }
}

void bbw_conv_i8_scalar(const bbw_conv_plan *plan, const uint8_t *x, bool is_signed, uint8_t zero,
                        const int16_t *packed, int32_t *out, int16_t *scratch) {
  run(plan, x, is_signed, zero, packed, out, scratch, bbw_gemm_i8_scalar);
}

void bbw_conv_i8_simd128(const bbw_conv_plan *plan, const uint8_t *x, bool is_signed, uint8_t zero,
                         const int16_t *packed, int32_t *out, int16_t *scratch) {
  run(plan, x, is_signed, zero, packed, out, scratch, bbw_gemm_i8_simd128);
}
