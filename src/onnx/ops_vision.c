/* Boxes and sampling of images: NonMaxSuppression, GridSample, RoiAlign. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/sort.h"
#include "onnx/convert.h"
#include "onnx/lanes.h"
#include "onnx/ops.h"
#include "onnx/params.h"

/* ---- NonMaxSuppression: how many boxes stay depends on values, so infer selects and run writes ---- */

typedef struct nms_params {
  int64_t is_centered; /* boxes are [x center, y center, width, height], else two corners [y, x, y, x] */
} nms_params;

bbw_status bbw_nms_prepare(bbw_prep *prep) {
  nms_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "center_point_box", 0, &p->is_centered));
  return p->is_centered == 0 || p->is_centered == 1 ? BBW_OK
                                                    : bbw_prep_refuse(prep, "center_point_box", "must be 0 or 1");
}

/* The boxes that stay for one class of one image. */
typedef struct nms_kept {
  struct nms_kept *next;
  size_t batch, class, count;
  size_t *boxes;
} nms_kept;

typedef struct nms_plan {
  nms_kept *first;
} nms_plan;

typedef struct box {
  double top, left, bottom, right;
} box;

static box read_box(const float *from, bool is_centered) {
  double a = (double)from[0], b = (double)from[1], c = (double)from[2], d = (double)from[3];
  if (is_centered) { return (box){b - d / 2.0, a - c / 2.0, b + d / 2.0, a + c / 2.0}; }
  return (box){a < c ? a : c, b < d ? b : d, a < c ? c : a, b < d ? d : b};
}

static double overlap(box a, box b) {
  double top = a.top > b.top ? a.top : b.top, left = a.left > b.left ? a.left : b.left;
  double bottom = a.bottom < b.bottom ? a.bottom : b.bottom, right = a.right < b.right ? a.right : b.right;
  double common = bottom > top && right > left ? (bottom - top) * (right - left) : 0.0;
  double both = (a.bottom - a.top) * (a.right - a.left) + (b.bottom - b.top) * (b.right - b.left) - common;
  return common > 0.0 && both > 0.0 ? common / both : 0.0;
}

/* Leaves the chosen boxes at the start of keys, by falling score; returns how many. */
static size_t select_boxes(const float *boxes, const float *scores, size_t n, size_t most, double overlap_max,
                           double score_min, bool is_centered, bbw_sort_key *keys) {
  size_t candidates = 0, kept = 0;
  for (size_t i = 0; i < n; i++) {
    if (!((double)scores[i] > score_min)) { continue; }
    bbw_array one = {.dtype = BBW_DTYPE_F32, .count = 1, .data = (void *)(uintptr_t)(scores + i)};
    uint64_t key;
    bbw_order_keys(&one, 0, 1, 1, &key);
    keys[candidates++] = (bbw_sort_key){~key, i, i};
  }
  bbw_sort(keys, candidates);
  for (size_t i = 0; i < candidates && kept < most; i++) {
    box next = read_box(boxes + 4 * keys[i].index, is_centered);
    bool stays = true;
    for (size_t k = 0; k < kept && stays; k++) {
      stays = !(overlap(next, read_box(boxes + 4 * keys[k].index, is_centered)) > overlap_max);
    }
    if (stays) { keys[kept++] = keys[i]; }
  }
  return kept;
}

bbw_status bbw_nms_infer(bbw_call *call) {
  const nms_params *p = call->params;
  const bbw_array *boxes = call->inputs[0], *scores = call->inputs[1];
  int64_t most;
  double overlap_max, score_min;
  if (boxes->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  if (scores->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 1); }
  if (boxes->rank != 3 || boxes->dims[2] != 4) { return bbw_call_refuse(call, 0, "boxes must be [batches, boxes, 4]"); }
  if (scores->rank != 3 || scores->dims[0] != boxes->dims[0] || scores->dims[2] != boxes->dims[1]) {
    return bbw_call_refuse(call, 1, "scores must be [batches, classes, boxes]");
  }
  for (uint32_t i = 0; i < 2; i++) { BBW_TRY(bbw_call_values(call, i)); }
  BBW_TRY(bbw_call_int(call, 2, 0, &most));
  BBW_TRY(bbw_call_float(call, 3, 0.0, &overlap_max));
  BBW_TRY(bbw_call_float(call, 4, -INFINITY, &score_min));
  size_t n = boxes->dims[1], classes = scores->dims[1], total = 0;
  nms_plan *plan = bbw_call_plan(call, sizeof *plan);
  bbw_sort_key *keys = bbw_arena_array(call->arena, n, sizeof *keys);
  if (plan == NULL || keys == NULL) { return BBW_E_NOMEM; }
  nms_kept **end = &plan->first;
  for (size_t i = 0; i < scores->dims[0] * classes && most > 0; i++) {
    const float *boxes_here = (const float *)boxes->data + i / classes * n * 4;
    size_t kept = select_boxes(boxes_here, (const float *)scores->data + i * n, n,
                               (uint64_t)most < n ? (size_t)most : n, overlap_max, score_min, p->is_centered != 0,
                               keys);
    if (kept == 0) { continue; }
    nms_kept *one = bbw_arena_array(call->arena, 1, sizeof *one);
    size_t *list = bbw_arena_array(call->arena, kept, sizeof *list);
    if (one == NULL || list == NULL) { return BBW_E_NOMEM; }
    for (size_t k = 0; k < kept; k++) { list[k] = keys[k].index; }
    *one = (nms_kept){.batch = i / classes, .class = i % classes, .count = kept, .boxes = list};
    *end = one;
    end = &one->next;
    total += kept;
  }
  size_t dims[2] = {total, 3};
  return bbw_call_output(call, 0, BBW_DTYPE_I64, 2, dims);
}

bbw_status bbw_nms_run(bbw_call *call) {
  const nms_plan *plan = call->plan;
  int64_t *out = call->outputs[0]->data;
  for (const nms_kept *one = plan->first; one != NULL; one = one->next) {
    for (size_t k = 0; k < one->count; k++) {
      *out++ = (int64_t)one->batch;
      *out++ = (int64_t)one->class;
      *out++ = (int64_t)one->boxes[k];
    }
  }
  return BBW_OK;
}

/* ---- GridSample ---- */

enum { SAMPLE_LINEAR, SAMPLE_NEAREST, SAMPLE_CUBIC };
enum { BORDER_ZEROS, BORDER_EDGE, BORDER_REFLECTED };

typedef struct grid_params {
  uint32_t mode, border;
  bool aligns_corners;
} grid_params;

bbw_status bbw_grid_sample_prepare(bbw_prep *prep) {
  static const char *const modes[] = {"bilinear", "nearest", "bicubic", "linear", "cubic", NULL};
  static const char *const borders[] = {"zeros", "border", "reflection", NULL};
  grid_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_choice(prep, "mode", modes, 0, &p->mode));
  if (p->mode >= 3) { p->mode = p->mode == 3 ? SAMPLE_LINEAR : SAMPLE_CUBIC; } /* the names since opset 20 */
  BBW_TRY(bbw_prep_choice(prep, "padding_mode", borders, BORDER_ZEROS, &p->border));
  return bbw_prep_bool(prep, "align_corners", false, &p->aligns_corners);
}

bbw_status bbw_grid_sample_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *grid = call->inputs[1];
  if (!bbw_dtype_is_float(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  if (!bbw_dtype_is_float(grid->dtype)) { return bbw_call_refuse_type(call, 1); }
  if (x->rank != 4) { return bbw_call_refuse(call, 0, "input must have four dimensions"); }
  if (grid->rank != 4 || grid->dims[3] != 2 || grid->dims[0] != x->dims[0]) {
    return bbw_call_refuse(call, 1, "the grid must be [batches, height, width, 2]");
  }
  size_t dims[4] = {x->dims[0], x->dims[1], grid->dims[1], grid->dims[2]};
  if (bbw_dims_product(dims, 0, 4) > 0 && x->dims[2] * x->dims[3] == 0) {
    return bbw_call_refuse(call, 0, "there is no element to take");
  }
  return bbw_call_output(call, 0, x->dtype, 4, dims);
}

/* From -1..1 to places of elements.  Far away is as good as further away; NaN is far away. */
static double place_on(double x, size_t size, bool aligns_corners) {
  const double far = 1073741824.0;
  double n = (double)size;
  double place = aligns_corners ? (x + 1.0) / 2.0 * (n - 1.0) : ((x + 1.0) * n - 1.0) / 2.0;
  return place > far ? far : place > -far ? place : -far;
}

static double reflect(double x, double low, double high) {
  double range = high - low;
  if (!(range > 0.0)) { return low; }
  if (x >= low && x <= high) { return x; }
  double away = x < low ? low - x : x - high, turns = floor(away / range), rest = away - turns * range;
  bool is_even = turns - 2.0 * floor(turns / 2.0) == 0.0;
  return (x < low) == is_even ? low + rest : high - rest;
}

/* The element of a row or column, from 0, for a whole place; false when there is zero. */
static bool element_at(const grid_params *p, double place, size_t size, size_t *out) {
  double last = (double)size - 1.0;
  if (p->border == BORDER_REFLECTED) {
    place = p->aligns_corners ? reflect(place, 0.0, last) : reflect(place, -0.5, last + 0.5);
  }
  if (p->border == BORDER_ZEROS && (place < 0.0 || place > last)) { return false; }
  place = place < 0.0 ? 0.0 : place > last ? last : place;
  *out = (size_t)place;
  return true;
}

/* Whether a place outside is seen in a mirror an odd number of times. */
static bool is_mirrored(const grid_params *p, double place, double last) {
  double low = p->aligns_corners ? 0.0 : -0.5, range = last - 2.0 * low;
  double turns = range > 0.0 ? floor((place - low) / range) : 0.0;
  return turns - 2.0 * floor(turns / 2.0) != 0.0;
}

/* Elements and weights along one axis: at most four. */
typedef struct taps {
  size_t at[4];
  double weight[4], slope[4]; /* of the weight, by the number in the grid */
  uint32_t count;
} taps;

static double near_cubic(double x) { return (1.25 * x - 2.25) * x * x + 1.0; }         /* a = -0.75, |x| <= 1 */
static double far_cubic(double x) { return ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0; } /* |x| from 1 to 2 */
static double near_slope(double x) { return (3.75 * x - 4.5) * x; }
static double far_slope(double x) { return (-2.25 * x + 7.5) * x - 6.0; }

static taps taps_at(const grid_params *p, double x, size_t size) {
  double place = place_on(x, size, p->aligns_corners), weights[4] = {1.0, 0.0, 0.0, 0.0}, last = (double)size - 1.0;
  double slopes[4] = {0.0, 0.0, 0.0, 0.0}, turned = 0.5 * (p->aligns_corners ? last : (double)size), inside = place;
  uint32_t count = 1;
  taps result = {.count = 0};
  if (p->mode == SAMPLE_NEAREST) { /* halves to even */
    double down = floor(place), rest = place - down;
    bool is_odd = down - 2.0 * floor(down / 2.0) != 0.0;
    place = rest > 0.5 || (rest == 0.5 && is_odd) ? down + 1.0 : down;
  }
  if (p->border == BORDER_EDGE) { place = place < 0.0 ? 0.0 : place > last ? last : place; }
  if (p->border == BORDER_REFLECTED) {
    place = p->aligns_corners ? reflect(place, 0.0, last) : reflect(place, -0.5, last + 0.5);
  }
  if (place != inside) {
    turned = p->border == BORDER_REFLECTED && is_mirrored(p, inside, last) ? -turned
             : p->border == BORDER_REFLECTED                               ? turned
                                                                           : 0.0;
  }
  double first = p->mode == SAMPLE_NEAREST ? place : floor(place), t = place - first;
  if (p->mode == SAMPLE_LINEAR) {
    weights[0] = 1.0 - t;
    weights[1] = t;
    slopes[0] = -1.0;
    slopes[1] = 1.0;
    count = 2;
  } else if (p->mode == SAMPLE_CUBIC) {
    weights[0] = far_cubic(t + 1.0);
    weights[1] = near_cubic(t);
    weights[2] = near_cubic(1.0 - t);
    weights[3] = far_cubic(2.0 - t);
    slopes[0] = far_slope(t + 1.0);
    slopes[1] = near_slope(t);
    slopes[2] = -near_slope(1.0 - t);
    slopes[3] = -far_slope(2.0 - t);
    first = first - 1.0;
    count = 4;
  }
  for (uint32_t i = 0; i < count; i++) {
    if (!element_at(p, first + (double)i, size, &result.at[result.count])) { continue; }
    result.slope[result.count] = slopes[i] * turned;
    result.weight[result.count++] = weights[i];
  }
  return result;
}

bbw_status bbw_grid_sample_run(bbw_call *call) {
  const grid_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0];
  size_t channels = x->dims[1], height = x->dims[2], width = x->dims[3], places = out->dims[2] * out->dims[3];
  for (size_t i = 0; i < x->dims[0] * places && out->count > 0; i++) {
    double place[2];
    bbw_load_f64(call->inputs[1], 2 * i, 2, place);
    taps columns = taps_at(p, place[0], width), rows = taps_at(p, place[1], height);
    for (size_t c = 0; c < channels; c++) {
      size_t plane = (i / places * channels + c) * height * width;
      double sum = 0.0, number;
      for (uint32_t r = 0; r < rows.count; r++) {
        for (uint32_t k = 0; k < columns.count; k++) {
          bbw_load_f64(x, plane + rows.at[r] * width + columns.at[k], 1, &number);
          sum += rows.weight[r] * (columns.weight[k] * number);
        }
      }
      bbw_store_f64(out, (i / places * channels + c) * places + i % places, 1, &sum);
    }
  }
  return BBW_OK;
}

/* The gradients by x and by the grid.  Inputs: g, x, grid. */
bbw_status bbw_grid_sample_grad_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *x = call->inputs[1], *grid = call->inputs[2];
  if (g->dtype != BBW_DTYPE_F32 || x->dtype != BBW_DTYPE_F32 || grid->dtype != BBW_DTYPE_F32) {
    return bbw_call_refuse_type(call, 0);
  }
  BBW_TRY(bbw_call_output_like(call, 0, x)); /* the forward node has checked the shapes */
  return bbw_call_output_like(call, 1, grid);
}

bbw_status bbw_grid_sample_grad_run(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *x = call->inputs[1], *grid = call->inputs[2];
  bbw_array *by_x = bbw_call_result(call, 0), *by_grid = bbw_call_result(call, 1);
  size_t channels = x->dims[1], height = x->dims[2], width = x->dims[3], places = grid->dims[1] * grid->dims[2];
  if (by_x != NULL && by_x->count > 0) { memset(by_x->data, 0, bbw_array_bytes(by_x)); }
  for (size_t i = 0; i < x->dims[0] * places; i++) {
    const float *place = (const float *)grid->data + 2 * i;
    double slope[2] = {0.0, 0.0};
    taps columns = {.count = 0}, rows = {.count = 0};
    if (height * width > 0) { /* else there are no channels either, and the slopes are 0 */
      columns = taps_at(call->params, (double)place[0], width);
      rows = taps_at(call->params, (double)place[1], height);
    }
    for (size_t c = 0; c < channels * rows.count * columns.count; c++) {
      size_t plane = c / (rows.count * columns.count), r = c / columns.count % rows.count, k = c % columns.count;
      size_t at = ((i / places * channels + plane) * height + rows.at[r]) * width + columns.at[k];
      double by = (double)((const float *)g->data)[(i / places * channels + plane) * places + i % places];
      double number = by * (double)((const float *)x->data)[at];
      slope[0] += rows.weight[r] * columns.slope[k] * number;
      slope[1] += rows.slope[r] * columns.weight[k] * number;
      if (by_x != NULL) {
        float *to = (float *)by_x->data + at;
        *to = *to + (float)(rows.weight[r] * columns.weight[k] * by);
      }
    }
    if (by_grid != NULL) { bbw_store_f64(by_grid, 2 * i, 2, slope); }
  }
  return BBW_OK;
}

/* ---- RoiAlign ---- */

/* Samples per axis in one cell; a region that asks for more is no region of an image. */
#define ROI_SAMPLES_MAX 1024.0

bbw_status bbw_roi_align_prepare(bbw_prep *prep) {
  static const char *const modes[] = {"avg", "max", NULL};
  static const char *const transforms[] = {"half_pixel", "output_half_pixel", NULL};
  bbw_roi_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_choice(prep, "mode", modes, 0, &p->takes_largest));
  BBW_TRY(
      bbw_prep_choice(prep, "coordinate_transformation_mode", transforms, prep->opset >= 16 ? 0 : 1, &p->is_unshifted));
  BBW_TRY(bbw_prep_int(prep, "output_height", 1, &p->height));
  BBW_TRY(bbw_prep_int(prep, "output_width", 1, &p->width));
  BBW_TRY(bbw_prep_int(prep, "sampling_ratio", 0, &p->samples));
  if (p->height < 1 || p->width < 1 || p->height > 65535 || p->width > 65535) {
    return bbw_prep_refuse(prep, "output_height", "the size is out of range");
  }
  if (p->samples < 0 || (double)p->samples > ROI_SAMPLES_MAX) {
    return bbw_prep_refuse(prep, "sampling_ratio", "is out of range");
  }
  return bbw_prep_float(prep, "spatial_scale", 1.0f, &p->scale);
}

bbw_status bbw_roi_align_infer(bbw_call *call) {
  const bbw_roi_params *p = call->params;
  const bbw_array *x = call->inputs[0], *rois = call->inputs[1], *batches = call->inputs[2];
  if (!bbw_dtype_is_float(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  if (rois->dtype != x->dtype) { return bbw_call_refuse(call, 1, "inputs have different element types"); }
  if (!bbw_dtype_is_integer(batches->dtype)) { return bbw_call_refuse_type(call, 2); }
  if (x->rank != 4) { return bbw_call_refuse(call, 0, "input must have four dimensions"); }
  if (rois->rank != 2 || rois->dims[1] != 4) { return bbw_call_refuse(call, 1, "regions must be [regions, 4]"); }
  if (batches->rank != 1 || batches->dims[0] != rois->dims[0]) {
    return bbw_call_refuse(call, 2, "there must be one batch per region");
  }
  size_t dims[4] = {rois->dims[0], x->dims[1], (size_t)p->height, (size_t)p->width};
  if (x->dims[2] * x->dims[3] == 0) { return bbw_call_refuse(call, 0, "there is no element to take"); }
  return bbw_call_output(call, 0, x->dtype, 4, dims);
}

/* Where a region lies, per axis (y, x): start, size of a cell, samples in it. */
typedef struct roi_axis {
  double start, cell, samples;
} roi_axis;

static void read_roi(const bbw_roi_params *p, const bbw_array *rois, size_t i, roi_axis *axes) {
  double corners[4], shift = p->is_unshifted ? 0.0 : 0.5;
  bbw_load_f64(rois, 4 * i, 4, corners); /* x1 y1 x2 y2 */
  for (uint32_t d = 0; d < 2; d++) {
    double cells = (double)(d == 0 ? p->height : p->width);
    double start = corners[1 - d] * (double)p->scale - shift, end = corners[3 - d] * (double)p->scale - shift;
    double size = end - start;
    if (p->is_unshifted && !(size > 1.0)) { size = 1.0; }
    axes[d].start = start;
    axes[d].cell = size / cells;
    axes[d].samples = p->samples > 0 ? (double)p->samples : ceil(size / cells);
  }
}

/* Neighbours of a place and their weights; none when it is outside. */
static taps roi_taps(double place, size_t size) {
  taps t = {.count = 0};
  if (!(place >= -1.0 && place <= (double)size)) { return t; }
  place = place < 0.0 ? 0.0 : place;
  size_t low = (size_t)place;
  if (low >= size - 1) {
    low = size - 1;
    place = (double)low;
  }
  t.count = 2;
  t.at[0] = low;
  t.at[1] = low + 1 < size ? low + 1 : low;
  t.weight[1] = place - (double)low;
  t.weight[0] = 1.0 - t.weight[1];
  return t;
}

/* The number of a cell; and where `to` (as large as x) is given, its gradient `slope` is added to those of the elements that it is the mean of. */
static double roi_cell(const bbw_roi_params *p, const bbw_array *x, size_t plane, const roi_axis *axes, size_t row,
                       size_t column, float *to, double slope) {
  size_t height = x->dims[2], width = x->dims[3];
  double sum = 0.0, largest = -INFINITY, count = axes[0].samples * axes[1].samples;
  for (double i = 0.0; i < axes[0].samples; i += 1.0) {
    taps rows = roi_taps(axes[0].start + axes[0].cell * ((double)row + (i + 0.5) / axes[0].samples), height);
    for (double k = 0.0; k < axes[1].samples; k += 1.0) {
      taps columns = roi_taps(axes[1].start + axes[1].cell * ((double)column + (k + 0.5) / axes[1].samples), width);
      double value = 0.0;
      for (uint32_t a = 0; a < rows.count; a++) {
        for (uint32_t b = 0; b < columns.count; b++) {
          double number, weight = rows.weight[a] * columns.weight[b];
          size_t at = plane + rows.at[a] * width + columns.at[b];
          bbw_load_f64(x, at, 1, &number);
          number = weight * number;
          value += number;
          if (to != NULL) { to[at] += (float)(slope * weight / count); }
          largest = number > largest ? number : largest; /* ONNX takes the largest of the weighted neighbours */
        }
      }
      if (rows.count == 0 || columns.count == 0) { largest = largest > 0.0 ? largest : 0.0; }
      sum += value;
    }
  }
  if (p->takes_largest) { return count > 0.0 ? largest : 0.0; }
  return count > 0.0 ? sum / count : 0.0;
}

/* Forward into `out`, or from g into `to`. */
static bbw_status run_rois(bbw_call *call, const bbw_array *const *inputs, bbw_array *out, const bbw_array *g,
                           float *to) {
  const bbw_roi_params *p = call->params;
  const bbw_array *x = inputs[0], *rois = inputs[1], *batches = inputs[2];
  size_t channels = x->dims[1], cells = (size_t)(p->height * p->width), width = (size_t)p->width;
  roi_axis axes[2];
  int64_t batch;
  for (size_t i = 0; i < batches->count; i++) {
    bbw_load_i64(batches, i, 1, &batch);
    if (batch < 0 || (uint64_t)batch >= x->dims[0]) { return bbw_call_refuse(call, 2, "there is no such batch"); }
    read_roi(p, rois, i, axes);
    if (!(axes[0].samples <= ROI_SAMPLES_MAX) || !(axes[1].samples <= ROI_SAMPLES_MAX)) {
      return bbw_call_refuse(call, 1, "a region is too large");
    }
  }
  for (size_t i = 0; i < batches->count; i++) {
    bbw_load_i64(batches, i, 1, &batch);
    read_roi(p, rois, i, axes);
    for (size_t c = 0; c < channels; c++) {
      size_t plane = ((size_t)batch * channels + c) * x->dims[2] * x->dims[3];
      for (size_t k = 0; k < cells; k++) {
        size_t at = (i * channels + c) * cells + k;
        double number = g != NULL ? (double)((const float *)g->data)[at] : 0.0;
        number = roi_cell(p, x, plane, axes, k / width, k % width, to, number);
        if (out != NULL) { bbw_store_f64(out, at, 1, &number); }
      }
    }
  }
  return BBW_OK;
}

bbw_status bbw_roi_align_run(bbw_call *call) { return run_rois(call, call->inputs, call->outputs[0], NULL, NULL); }

/* The gradient by the image, in mode avg.  Inputs: g, then those of the forward node. */
bbw_status bbw_roi_align_grad_infer(bbw_call *call) {
  const bbw_array *g = call->inputs[0], *x = call->inputs[1];
  if (g->dtype != BBW_DTYPE_F32 || x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  bbw_call inner = *call;
  inner.inputs++;
  inner.input_count--;
  BBW_TRY(bbw_call_infer_forward(call, &inner, bbw_roi_align_infer, 0));
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_roi_align_grad_run(bbw_call *call) {
  bbw_array *out = call->outputs[0];
  memset(out->data, 0, bbw_array_bytes(out));
  return run_rois(call, call->inputs + 1, NULL, call->inputs[0], out->data);
}
