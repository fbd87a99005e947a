#include "kernels/conv_private.h"
#include "kernels/gemm_private.h"

/* Elements for four neighbours in a row of output, `step` floats apart.  With steps of 1 and 2 the slack behind the plane is enough to read more than
 * `count` of them. */
static inline bbw_f32x4 load_step(const float *p, size_t step, size_t count) {
  if (step == 1) { return bbw_f32x4_load(p); }
  if (step == 2) { return bbw_f32x4_load_even(p); }
  float lanes[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  for (size_t i = 0; i < 4 && i < count; i++) { lanes[i] = p[i * step]; }
  return bbw_f32x4_load(lanes);
}

/*
 * Eight outputs at a time; a row of the kernel is unrolled where its width is known.  The rows stay a loop: with all taps unrolled there are more
 * loads under way than registers.  Numbers of the plan are copied out of it, since a store to out could change it, for all the compiler knows.
 */
static inline __attribute__((always_inline)) void plane_of(const bbw_conv_plan *p, const float *plane,
                                                           const float *taps, float *out, size_t kernel_width,
                                                           size_t step, size_t dilation) {
  const size_t pitch = p->padded_size[2], width = p->out_size[2], height = p->out_size[1];
  const size_t row_step = p->step[1] * pitch, tap_step = p->shape.dilation[1] * pitch;
  const float *taps_end = taps + p->shape.kernel[1] * kernel_width;
  size_t left = p->places; /* in the plane, from the row of out on */
  for (size_t y = 0; y < height; y++, plane += row_step, out += width, left -= width) {
    for (size_t x = 0; x < width; x += 8) {
      size_t count = bbw_min_size(width - x, 8);
      bbw_f32x4 s0 = bbw_f32x4_splat(0.0f), s1 = s0;
      const float *row = plane + x * step;
      /* Outputs past the end of a row are computed from what lies there. */
      size_t second = count > 4 ? 4 * step : 0, second_count = count > 4 ? count - 4 : count;
      for (const float *tap = taps; tap != taps_end; tap += kernel_width, row += tap_step) {
        for (size_t t = 0; t < kernel_width; t++) {
          bbw_f32x4 w = bbw_f32x4_load_splat(tap + t);
          s0 = bbw_f32x4_madd(s0, w, load_step(row + t * dilation, step, count));
          s1 = bbw_f32x4_madd(s1, w, load_step(row + t * dilation + second, step, second_count));
        }
      }
      /* They may be stored, too, where the next row of out will overwrite them. */
      if (left - x >= 8) {
        bbw_f32x4_store(out + x, s0);
        bbw_f32x4_store(out + x + 4, s1);
      } else {
        bbw_f32x4_store_part(out + x, s0, bbw_min_size(count, 4));
        if (count > 4) { bbw_f32x4_store_part(out + x + 4, s1, count - 4); }
      }
    }
  }
}

void bbw_conv_depthwise_plane(const bbw_conv_plan *p, const float *plane, const float *taps, float *out) {
  size_t width = p->shape.kernel[2], step = p->step[2], dilation = p->shape.dilation[2];
  if (width == 3 && step == 1 && dilation == 1) {
    plane_of(p, plane, taps, out, 3, 1, 1);
  } else if (width == 3 && step == 2 && dilation == 1) {
    plane_of(p, plane, taps, out, 3, 2, 1);
  } else if (width == 5 && step == 1 && dilation == 1) {
    plane_of(p, plane, taps, out, 5, 1, 1);
  } else if (width == 5 && step == 2 && dilation == 1) {
    plane_of(p, plane, taps, out, 5, 2, 1);
  } else {
    plane_of(p, plane, taps, out, width, step, dilation);
  }
}
