#include "kernels/pool.h"

#include "base/mem.h"
#include "kernels/f32x4.h"

/* ---- plan ---- */

static bool plan_axis(bbw_pool_plan *p, size_t d) {
  const bbw_pool_shape *s = &p->shape;
  size_t span, half = SIZE_MAX / 4;
  if (s->kernel[d] == 0 || s->stride[d] == 0 || s->dilation[d] == 0) { return false; }
  if (s->size[d] > half || s->pad_begin[d] > half || s->pad_end[d] > half) { return false; }
  if (!bbw_size_mul(s->dilation[d], s->kernel[d] - 1, &span) || span >= half || s->stride[d] > half) { return false; }
  size_t padded = s->size[d] + s->pad_begin[d] + s->pad_end[d];
  if (padded < span + 1) { return false; }
  size_t room = padded - (span + 1), out = room / s->stride[d] + 1;
  if (s->is_ceil && room % s->stride[d] != 0 && out * s->stride[d] < s->size[d] + s->pad_begin[d]) { out++; }
  p->out_size[d] = out;
  return true;
}

bool bbw_pool_plan_make(bbw_pool_plan *plan, const bbw_pool_shape *shape) {
  bbw_pool_plan p = {.shape = *shape, .places = 1};
  size_t count = shape->planes, in = shape->planes;
  for (size_t d = 0; d < BBW_POOL_AXES; d++) {
    if (!plan_axis(&p, d) || !bbw_size_mul(p.places, p.out_size[d], &p.places)) { return false; }
    if (!bbw_size_mul(count, p.out_size[d], &count) || !bbw_size_mul(in, shape->size[d], &in)) { return false; }
  }
  if (count > SIZE_MAX / sizeof(int64_t) || in > SIZE_MAX / sizeof(float)) { return false; }
  *plan = p;
  return true;
}

/* ---- windows ---- */

/* The taps of one axis that lie inside of the input, and where the first of them lies; counted is what the mean may count. */
typedef struct window {
  size_t start, taps, counted;
} window;

static window window_of(const bbw_pool_plan *p, size_t d, size_t place) {
  const bbw_pool_shape *s = &p->shape;
  size_t begin = place * s->stride[d]; /* counted from the first pad */
  size_t skip = begin < s->pad_begin[d] ? (s->pad_begin[d] - begin + s->dilation[d] - 1) / s->dilation[d] : 0;
  window w = {.start = 0, .taps = 0, .counted = 0};
  if (skip < s->kernel[d]) {
    w.start = begin + skip * s->dilation[d] - s->pad_begin[d];
    size_t fit = w.start < s->size[d] ? (s->size[d] - 1 - w.start) / s->dilation[d] + 1 : 0;
    w.taps = fit < s->kernel[d] - skip ? fit : s->kernel[d] - skip;
  }
  w.counted = w.taps;
  if (s->is_counting_pads) {
    size_t end = s->size[d] + s->pad_begin[d] + s->pad_end[d];
    size_t fit = begin < end ? (end - 1 - begin) / s->dilation[d] + 1 : 0;
    w.counted = fit < s->kernel[d] ? fit : s->kernel[d];
  }
  return w;
}

typedef enum pool_kind { POOL_MAX, POOL_MEAN } pool_kind;

/* One output; *best is the place of the largest in its plane, SIZE_MAX if there is none. */
static float pool_one(const bbw_pool_plan *p, pool_kind kind, const float *plane, window z, window y, window x,
                      size_t *best) {
  const size_t *size = p->shape.size, *dilation = p->shape.dilation;
  float largest = -INFINITY, sum = 0.0f;
  *best = SIZE_MAX;
  for (size_t i = 0; i < z.taps; i++) {
    for (size_t j = 0; j < y.taps; j++) {
      size_t row = ((z.start + i * dilation[0]) * size[1] + y.start + j * dilation[1]) * size[2] + x.start;
      for (size_t k = 0; k < x.taps; k++) {
        float value = plane[row + k * dilation[2]];
        sum = sum + value;
        if (*best == SIZE_MAX || value > largest || (value != value && largest == largest)) {
          largest = value;
          *best = row + k * dilation[2];
        }
      }
    }
  }
  return kind == POOL_MAX ? largest : sum / (float)(z.counted * y.counted * x.counted);
}

static int64_t index_of(const bbw_pool_plan *p, size_t plane, size_t place) {
  const size_t *size = p->shape.size;
  if (place == SIZE_MAX) { return -1; }
  if (p->shape.is_index_column_major) {
    size_t x = place % size[2], y = place / size[2] % size[1], z = place / size[2] / size[1];
    place = z + size[0] * (y + size[1] * x);
  }
  return (int64_t)(plane * size[0] * size[1] * size[2] + place);
}

/* ---- rows of outputs ---- */

static inline bbw_f32x4 load_step(const float *p, size_t step) {
  if (step == 1) { return bbw_f32x4_load(p); }
  if (step == 2) { return bbw_f32x4_load_even(p); }
  return (bbw_f32x4){p[0], p[step], p[2 * step], p[3 * step]};
}

/* Four neighbouring outputs whose taps along the width are all inside, the first of them at x.start. */
static void pool_four(const bbw_pool_plan *p, pool_kind kind, const float *plane, window z, window y, window x,
                      float *out) {
  const size_t *size = p->shape.size, *dilation = p->shape.dilation;
  size_t step = p->shape.stride[2];
  bbw_f32x4 largest = bbw_f32x4_splat(-INFINITY), sum = bbw_f32x4_splat(0.0f);
  for (size_t i = 0; i < z.taps; i++) {
    for (size_t j = 0; j < y.taps; j++) {
      const float *at = plane + ((z.start + i * dilation[0]) * size[1] + y.start + j * dilation[1]) * size[2] + x.start;
      for (size_t k = 0; k < x.taps; k++, at += dilation[2]) {
        bbw_f32x4 value = load_step(at, step);
        if (kind == POOL_MAX) {
          largest = bbw_f32x4_select((value > largest) | (value != value), value, largest);
        } else {
          sum = sum + value;
        }
      }
    }
  }
  if (kind == POOL_MEAN) { sum = sum / bbw_f32x4_splat((float)(z.counted * y.counted * x.counted)); }
  bbw_f32x4_store(out, kind == POOL_MAX ? largest : sum);
}

/* Whether four outputs from this one on have all taps inside; a vector of every second element reads one more, which may be the first of the next line. */
static bool is_inside(const bbw_pool_plan *p, size_t place, bool is_last_line) {
  const bbw_pool_shape *s = &p->shape;
  if (place + 4 > p->out_size[2] || place * s->stride[2] < s->pad_begin[2]) { return false; }
  size_t last = (place + 3) * s->stride[2] - s->pad_begin[2] + (s->kernel[2] - 1) * s->dilation[2];
  return last + (s->stride[2] == 2 && is_last_line ? 1 : 0) < s->size[2];
}

static void pool(const bbw_pool_plan *p, pool_kind kind, const float *x, float *out, int64_t *indices, bool is_simd) {
  const size_t *size = p->shape.size, *out_size = p->out_size, *kernel = p->shape.kernel;
  for (size_t n = 0; n < p->shape.planes; n++) {
    const float *plane = x + n * (size[0] * size[1] * size[2]);
    for (size_t row = 0; row < out_size[0] * out_size[1]; row++) {
      window z = window_of(p, 0, row / out_size[1]), y = window_of(p, 1, row % out_size[1]);
      size_t at = (n * out_size[0] * out_size[1] + row) * out_size[2];
      bool is_last_line = n + 1 == p->shape.planes && z.start + (z.taps - 1) * p->shape.dilation[0] + 1 == size[0] &&
                          y.start + (y.taps - 1) * p->shape.dilation[1] + 1 == size[1];
      for (size_t place = 0; place < out_size[2];) {
        /* The last four again rather than up to three one by one. */
        size_t four = place + 4 > out_size[2] && out_size[2] >= 4 ? out_size[2] - 4 : place;
        if (is_simd && indices == NULL && is_inside(p, four, is_last_line)) {
          window all = {four * p->shape.stride[2] - p->shape.pad_begin[2], kernel[2], kernel[2]};
          pool_four(p, kind, plane, z, y, all, out + at + four);
          place = four + 4;
          continue;
        }
        window w = window_of(p, 2, place);
        size_t best;
        out[at + place] = pool_one(p, kind, plane, z, y, w, &best);
        if (indices != NULL) { indices[at + place] = index_of(p, n, best); }
        place++;
      }
    }
  }
}

void bbw_max_pool_f32_scalar(const bbw_pool_plan *plan, const float *x, float *out, int64_t *indices) {
  pool(plan, POOL_MAX, x, out, indices, false);
}
void bbw_max_pool_f32_simd128(const bbw_pool_plan *plan, const float *x, float *out, int64_t *indices) {
  pool(plan, POOL_MAX, x, out, indices, true);
}
void bbw_average_pool_f32_scalar(const bbw_pool_plan *plan, const float *x, float *out) {
  pool(plan, POOL_MEAN, x, out, NULL, false);
}
void bbw_average_pool_f32_simd128(const bbw_pool_plan *plan, const float *x, float *out) {
  pool(plan, POOL_MEAN, x, out, NULL, true);
}

void bbw_average_pool_gradient_f32(const bbw_pool_plan *p, const float *g, float *out) {
  const size_t *size = p->shape.size, *dilation = p->shape.dilation, *places = p->out_size;
  size_t plane = size[0] * size[1] * size[2];
  for (size_t i = 0; i < p->shape.planes * plane; i++) { out[i] = 0.0f; }
  for (size_t n = 0; n < p->shape.planes; n++, out += plane) {
    for (size_t z = 0; z < places[0]; z++) {
      window depth = window_of(p, 0, z);
      for (size_t y = 0; y < places[1]; y++) {
        window height = window_of(p, 1, y);
        for (size_t x = 0; x < places[2]; x++, g++) {
          window width = window_of(p, 2, x);
          float part = *g / (float)(depth.counted * height.counted * width.counted);
          for (size_t a = 0; a < depth.taps; a++) {
            for (size_t b = 0; b < height.taps; b++) {
              size_t row = ((depth.start + a * dilation[0]) * size[1] + height.start + b * dilation[1]) * size[2];
              for (size_t c = 0; c < width.taps; c++) {
                float *to = out + row + width.start + c * dilation[2];
                *to = *to + part;
              }
            }
          }
        }
      }
    }
  }
}

/* Whether every window lies in the input and is dense: then places need no arithmetic of their own. */
static bool lies_inside(const bbw_pool_plan *p) {
  for (size_t d = 0; d < BBW_POOL_AXES; d++) {
    const bbw_pool_shape *s = &p->shape;
    if (s->dilation[d] != 1 || s->pad_begin[d] != 0) { return false; }
    if (p->out_size[d] > 0 && (p->out_size[d] - 1) * s->stride[d] + s->kernel[d] > s->size[d]) { return false; }
  }
  return true;
}

/* Place of the first largest element of a window of `taps` at `from`; NaN counts as largest. */
static size_t largest_place(const float *x, const size_t *size, const size_t *dilation, size_t from,
                            const size_t *taps) {
  size_t best = from;
  for (size_t a = 0; a < taps[0]; a++) {
    for (size_t b = 0; b < taps[1]; b++) {
      size_t row = from + (a * dilation[0] * size[1] + b * dilation[1]) * size[2];
      for (size_t c = 0; c < taps[2]; c++) {
        size_t at = row + c * dilation[2];
        if (x[at] > x[best] || (x[at] != x[at] && x[best] == x[best])) { best = at; }
      }
    }
  }
  return best;
}

/* Windows of 2 by 2 in two rows of x, side by side. */
static void pairs_gradient(const float *top, const float *bottom, const float *g, float *to, float *below, size_t n,
                           size_t step) {
  for (size_t i = 0; i < n; i++, top += step, bottom += step, to += step, below += step) {
    float a = top[0], b = top[1], c = bottom[0], d = bottom[1];
    bool in_b = b > a || (b != b && a == a);
    float upper = in_b ? b : a;
    bool in_d = d > c || (d != d && c == c);
    float lower = in_d ? d : c;
    bool is_lower = lower > upper || (lower != lower && upper == upper);
    float *row = is_lower ? below : to;
    size_t column = is_lower ? in_d : in_b;
    row[column] = row[column] + g[i];
  }
}

void bbw_max_pool_gradient_f32(const bbw_pool_plan *p, const float *x, const float *g, float *out) {
  const size_t *size = p->shape.size, *stride = p->shape.stride, *places = p->out_size, *kernel = p->shape.kernel;
  size_t plane = size[0] * size[1] * size[2];
  bool inside = lies_inside(p), is_pairs = inside && kernel[0] == 1 && kernel[1] == 2 && kernel[2] == 2;
  for (size_t i = 0; i < p->shape.planes * plane; i++) { out[i] = 0.0f; }
  for (size_t n = 0; n < p->shape.planes; n++, out += plane, x += plane) {
    for (size_t z = 0; z < places[0]; z++) {
      window depth = window_of(p, 0, z);
      for (size_t y = 0; y < places[1]; y++) {
        window height = window_of(p, 1, y);
        size_t row = (z * stride[0] * size[1] + y * stride[1]) * size[2];
        if (is_pairs) {
          pairs_gradient(x + row, x + row + size[2], g, out + row, out + row + size[2], places[2], stride[2]);
          g += places[2];
          continue;
        }
        for (size_t i = 0; i < places[2]; i++, g++) {
          size_t at = row + i * stride[2], taps[BBW_POOL_AXES] = {kernel[0], kernel[1], kernel[2]};
          if (!inside) {
            window width = window_of(p, 2, i);
            at = (depth.start * size[1] + height.start) * size[2] + width.start;
            taps[0] = depth.taps, taps[1] = height.taps, taps[2] = width.taps;
            if (depth.taps == 0 || height.taps == 0 || width.taps == 0) { continue; }
          }
          size_t best = largest_place(x, size, p->shape.dilation, at, taps);
          out[best] = out[best] + *g;
        }
      }
    }
  }
}
