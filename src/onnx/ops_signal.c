/* DFT, STFT and MelWeightMatrix. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/math_f64.h"
#include "onnx/convert.h"
#include "onnx/lanes.h"
#include "onnx/ops.h"

#define PI 3.14159265358979323846

/* ---- the transform of n complex numbers (pairs of real and imaginary part), in place ---- */

static bool is_power_of_two(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

/* The next power of two for a circular convolution of chirps. */
static size_t padded(size_t n) {
  size_t m = 1;
  while (m < 2 * n) { m *= 2; }
  return m;
}

/* Doubles of scratch memory; false when they are too many to count. */
static bool transform_scratch(size_t n, size_t *bytes) {
  if (n > SIZE_MAX / 512) { return false; }
  *bytes = (is_power_of_two(n) ? n : 5 * padded(n) + 2 * n) * sizeof(double);
  return true;
}

/* (real, imaginary) of e^(i pi x): exact for multiples of 1/2. */
static void unit_circle(double turns, double *out) {
  out[0] = bbw_cos_f64(PI * turns);
  out[1] = bbw_sin_f64(PI * turns);
}

static void multiply(double *a, const double *b) {
  double real = a[0] * b[0] - a[1] * b[1], imaginary = a[0] * b[1] + a[1] * b[0];
  a[0] = real;
  a[1] = imaginary;
}

/* n is a power of two; factors has room for n doubles.  sign: -1 forwards, 1 backwards, not divided. */
static void transform_power_of_two(double *x, size_t n, double sign, double *factors) {
  for (size_t i = 1, j = 0; i < n; i++) { /* places in the order of reversed bits */
    size_t bit = n >> 1;
    for (; (j & bit) != 0; bit >>= 1) { j ^= bit; }
    j ^= bit;
    if (i >= j) { continue; }
    for (size_t part = 0; part < 2; part++) {
      double kept = x[2 * i + part];
      x[2 * i + part] = x[2 * j + part];
      x[2 * j + part] = kept;
    }
  }
  for (size_t i = 0; i < n / 2; i++) { unit_circle(sign * 2.0 * (double)i / (double)n, factors + 2 * i); }
  for (size_t half = 1; half < n; half *= 2) {
    for (size_t start = 0; start < n; start += 2 * half) {
      for (size_t i = 0; i < half; i++) {
        double *a = x + 2 * (start + i), *b = a + 2 * half, product[2] = {b[0], b[1]};
        multiply(product, factors + 2 * (i * (n / (2 * half))));
        b[0] = a[0] - product[0];
        b[1] = a[1] - product[1];
        a[0] += product[0];
        a[1] += product[1];
      }
    }
  }
}

/* Any n: as a convolution with e^(i pi k^2 / n), which powers of two can do (Bluestein). */
static void transform(double *x, size_t n, double sign, double *scratch) {
  if (n < 2) { return; }
  if (is_power_of_two(n)) {
    transform_power_of_two(x, n, sign, scratch);
    return;
  }
  size_t m = padded(n);
  double *a = scratch, *b = a + 2 * m, *factors = b + 2 * m, *chirp = factors + m;
  memset(a, 0, 4 * m * sizeof *a);
  for (size_t k = 0; k < n; k++) {
    uint64_t square = (uint64_t)k * k % (2 * (uint64_t)n);
    unit_circle(sign * (double)square / (double)n, chirp + 2 * k);
    memcpy(a + 2 * k, x + 2 * k, 2 * sizeof *a);
    multiply(a + 2 * k, chirp + 2 * k);
    double conjugate[2] = {chirp[2 * k], -chirp[2 * k + 1]};
    memcpy(b + 2 * k, conjugate, sizeof conjugate);
    memcpy(b + 2 * ((m - k) % m), conjugate, sizeof conjugate);
  }
  transform_power_of_two(a, m, -1.0, factors);
  transform_power_of_two(b, m, -1.0, factors);
  for (size_t k = 0; k < m; k++) { multiply(a + 2 * k, b + 2 * k); }
  transform_power_of_two(a, m, 1.0, factors);
  for (size_t k = 0; k < n; k++) {
    x[2 * k] = a[2 * k] / (double)m;
    x[2 * k + 1] = a[2 * k + 1] / (double)m;
    multiply(x + 2 * k, chirp + 2 * k);
  }
}

/* ---- DFT ---- */

typedef struct dft_params {
  int64_t axis;
  bool is_inverse, is_onesided;
  bbw_dtype dtype; /* MelWeightMatrix */
} dft_params;

bbw_status bbw_dft_prepare(bbw_prep *prep) {
  dft_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "axis", prep->opset >= 20 ? -2 : 1, &p->axis));
  BBW_TRY(bbw_prep_bool(prep, "inverse", false, &p->is_inverse));
  BBW_TRY(bbw_prep_bool(prep, "onesided", false, &p->is_onesided));
  if (p->is_inverse && p->is_onesided) { return bbw_prep_unsupported(prep, "onesided", "not together with inverse"); }
  return BBW_OK;
}

typedef struct dft_plan {
  bbw_lanes lanes; /* length: of the input; inner does not count the parts of a number */
  size_t parts;    /* 1: the input is real, 2: complex */
  size_t n, kept;
  size_t step; /* STFT */
} dft_plan;

/* The last dimension of input 0 says whether numbers are real or complex. */
static bbw_status read_parts(bbw_call *call, size_t *parts) {
  const bbw_array *x = call->inputs[0];
  if (!bbw_dtype_is_float(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  *parts = x->rank > 0 ? x->dims[x->rank - 1] : 0;
  if (x->rank < 2 || *parts < 1 || *parts > 2) {
    return bbw_call_refuse(call, 0, "the last dimension must be 1 or 2: real and imaginary part");
  }
  return BBW_OK;
}

static bbw_status plan_transform(bbw_call *call, dft_plan *plan, bool is_onesided) {
  size_t values, table;
  plan->kept = is_onesided ? plan->n / 2 + 1 : plan->n;
  if (!transform_scratch(plan->n, &table) || !bbw_size_mul(plan->n, 2 * sizeof(double), &values) ||
      !bbw_size_add(values, table, &call->scratch_bytes)) {
    return bbw_call_refuse(call, -1, "the length is out of range");
  }
  return BBW_OK;
}

bbw_status bbw_dft_infer(bbw_call *call) {
  const dft_params *p = call->params;
  const bbw_array *x = call->inputs[0];
  uint32_t axis;
  int64_t length, given = p->axis;
  size_t dims[BBW_ARRAY_RANK_MAX];
  dft_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(read_parts(call, &plan->parts));
  if (call->opset >= 20) { BBW_TRY(bbw_call_int(call, 2, p->axis, &given)); }
  BBW_TRY(bbw_call_axis(call, given, x->rank, &axis));
  if (axis + 1 == x->rank) { return bbw_call_refuse(call, -1, "axis is out of range"); }
  BBW_TRY(bbw_call_int(call, 1, (int64_t)x->dims[axis], &length));
  if (length < 1 || (uint64_t)length > call->elements_max) {
    return bbw_call_refuse(call, 1, "the length is out of range");
  }
  plan->n = (size_t)length;
  plan->lanes = bbw_lanes_of(x, axis);
  plan->lanes.inner /= plan->parts;
  BBW_TRY(plan_transform(call, plan, p->is_onesided));
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = plan->kept;
  dims[x->rank - 1] = 2;
  return bbw_call_output(call, 0, x->dtype, x->rank, dims);
}

bbw_status bbw_dft_run(bbw_call *call) {
  const dft_params *p = call->params;
  const dft_plan *plan = call->plan;
  const bbw_array *x = call->inputs[0];
  bbw_lanes lanes = plan->lanes;
  double *lane = call->scratch, *scratch = lane + 2 * plan->n;
  size_t taken = lanes.length < plan->n ? lanes.length : plan->n;
  for (size_t i = 0; i < lanes.outer * lanes.inner; i++) {
    size_t o = i / lanes.inner, j = i % lanes.inner;
    memset(lane, 0, 2 * plan->n * sizeof *lane);
    for (size_t k = 0; k < taken; k++) {
      bbw_load_f64(x, ((o * lanes.length + k) * lanes.inner + j) * plan->parts, plan->parts, lane + 2 * k);
    }
    transform(lane, plan->n, p->is_inverse ? 1.0 : -1.0, scratch);
    for (size_t k = 0; k < 2 * plan->n && p->is_inverse; k++) { lane[k] = lane[k] / (double)plan->n; }
    for (size_t k = 0; k < plan->kept; k++) {
      bbw_store_f64(call->outputs[0], 2 * ((o * plan->kept + k) * lanes.inner + j), 2, lane + 2 * k);
    }
  }
  return BBW_OK;
}

/* The gradient: the transform with the other sign, which is its transpose.  Inputs: those of the forward node, then g as the fourth. */
bbw_status bbw_dft_grad_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *g = call->inputs[3];
  if (x->dtype != BBW_DTYPE_F32 || g->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_dft_infer(call));
  if (!bbw_array_same_shape(g, call->outputs[0])) {
    return bbw_call_refuse(call, 3, "the gradient does not fit its shape");
  }
  return bbw_call_output_like(call, 0, x);
}

bbw_status bbw_dft_grad_run(bbw_call *call) {
  const dft_params *p = call->params;
  const dft_plan *plan = call->plan;
  bbw_lanes lanes = plan->lanes;
  double *lane = call->scratch, *scratch = lane + 2 * plan->n;
  static const double nothing[2] = {0.0, 0.0};
  for (size_t i = 0; i < lanes.outer * lanes.inner; i++) {
    size_t o = i / lanes.inner, j = i % lanes.inner;
    memset(lane, 0, 2 * plan->n * sizeof *lane);
    for (size_t k = 0; k < plan->kept; k++) {
      bbw_load_f64(call->inputs[3], 2 * ((o * plan->kept + k) * lanes.inner + j), 2, lane + 2 * k);
    }
    transform(lane, plan->n, p->is_inverse ? -1.0 : 1.0, scratch);
    for (size_t k = 0; k < 2 * plan->n && p->is_inverse; k++) { lane[k] = lane[k] / (double)plan->n; }
    for (size_t k = 0; k < lanes.length; k++) { /* what was cut off had no part in it */
      bbw_store_f64(call->outputs[0], ((o * lanes.length + k) * lanes.inner + j) * plan->parts, plan->parts,
                    k < plan->n ? lane + 2 * k : nothing);
    }
  }
  return BBW_OK;
}

/* ---- STFT: transforms of windows, one every `step` samples ---- */

bbw_status bbw_stft_prepare(bbw_prep *prep) {
  dft_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  return bbw_prep_bool(prep, "onesided", true, &p->is_onesided);
}

bbw_status bbw_stft_infer(bbw_call *call) {
  const dft_params *p = call->params;
  const bbw_array *x = call->inputs[0], *window = bbw_call_input(call, 2);
  int64_t step, length;
  dft_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(read_parts(call, &plan->parts));
  if (x->rank != 3) { return bbw_call_refuse(call, 0, "the signal must be [batches, samples, 1 or 2]"); }
  if (window != NULL && (window->rank != 1 || window->dtype != x->dtype)) {
    return bbw_call_refuse(call, 2, "the window does not fit the signal");
  }
  if (window == NULL && bbw_call_input(call, 3) == NULL) {
    return bbw_call_refuse(call, -1, "window or frame length is needed");
  }
  BBW_TRY(bbw_call_int(call, 1, 0, &step));
  BBW_TRY(bbw_call_int(call, 3, window != NULL ? (int64_t)window->count : 0, &length));
  if (step < 1) { return bbw_call_refuse(call, 1, "the step is out of range"); }
  if (length < 1 || (uint64_t)length > x->dims[1]) { return bbw_call_refuse(call, 3, "the length is out of range"); }
  if (window != NULL && (uint64_t)length != window->count) {
    return bbw_call_refuse(call, 2, "window and frame length differ");
  }
  plan->n = (size_t)length;
  plan->lanes = bbw_lanes_of(x, 1);
  plan->step = (uint64_t)step > x->dims[1] ? x->dims[1] : (size_t)step;
  BBW_TRY(plan_transform(call, plan, p->is_onesided));
  size_t dims[4] = {x->dims[0], (x->dims[1] - plan->n) / plan->step + 1, plan->kept, 2};
  return bbw_call_output(call, 0, x->dtype, 4, dims);
}

bbw_status bbw_stft_run(bbw_call *call) {
  const dft_plan *plan = call->plan;
  const bbw_array *x = call->inputs[0], *window = bbw_call_input(call, 2);
  size_t frames = call->outputs[0]->dims[1];
  double *lane = call->scratch, *scratch = lane + 2 * plan->n;
  for (size_t i = 0; i < x->dims[0] * frames; i++) {
    size_t start = i / frames * x->dims[1] + i % frames * plan->step;
    memset(lane, 0, 2 * plan->n * sizeof *lane);
    for (size_t k = 0; k < plan->n; k++) {
      double weight = 1.0;
      if (window != NULL) { bbw_load_f64(window, k, 1, &weight); }
      bbw_load_f64(x, (start + k) * plan->parts, plan->parts, lane + 2 * k);
      lane[2 * k] *= weight;
      lane[2 * k + 1] *= weight;
    }
    transform(lane, plan->n, -1.0, scratch);
    bbw_store_f64(call->outputs[0], i * plan->kept * 2, plan->kept * 2, lane);
  }
  return BBW_OK;
}

/* The gradient by signal and window, outputs 0 and 2: the transform back, weighted and added where the frames lie.  Inputs: those of the forward node, then g as the fifth. */
bbw_status bbw_stft_grad_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *window = bbw_call_input(call, 2), *g = call->inputs[4];
  if (x->dtype != BBW_DTYPE_F32 || g->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  bbw_call inner = *call; /* the forward operator has no g behind */
  inner.input_count = 4;
  BBW_TRY(bbw_call_infer_forward(call, &inner, bbw_stft_infer, 4));
  call->plan = inner.plan;
  /* The sums for the window lie behind. */
  size_t sums = ((const dft_plan *)inner.plan)->n * sizeof(double); /* fits: twice as much did */
  if (!bbw_size_add(inner.scratch_bytes, sums, &call->scratch_bytes)) { return BBW_E_LIMIT; }
  BBW_TRY(bbw_call_output_like(call, 0, x));
  return window != NULL ? bbw_call_output_like(call, 2, window) : BBW_OK;
}

bbw_status bbw_stft_grad_run(bbw_call *call) {
  const dft_plan *plan = call->plan;
  const bbw_array *window = bbw_call_input(call, 2), *g = call->inputs[4];
  const float *x = call->inputs[0]->data, *weights = window != NULL ? window->data : NULL;
  bbw_array *by_x = bbw_call_result(call, 0), *by_window = bbw_call_result(call, 2);
  size_t frames = g->dims[1], parts = plan->parts, samples = call->inputs[0]->dims[1];
  double *sums = call->scratch, *lane = sums + plan->n, *scratch = lane + 2 * plan->n;
  memset(sums, 0, plan->n * sizeof *sums);
  if (by_x != NULL && by_x->count > 0) { memset(by_x->data, 0, bbw_array_bytes(by_x)); }
  for (size_t i = 0; i < g->dims[0] * frames; i++) {
    size_t start = (i / frames * samples + i % frames * plan->step) * parts;
    memset(lane, 0, 2 * plan->n * sizeof *lane);
    bbw_load_f64(g, i * plan->kept * 2, plan->kept * 2, lane);
    transform(lane, plan->n, 1.0, scratch);
    for (size_t k = 0; k < plan->n * parts; k++) {
      size_t at = k / parts;
      double slope = lane[2 * at + k % parts];
      if (by_x != NULL) {
        ((float *)by_x->data)[start + k] += (float)(weights != NULL ? slope * (double)weights[at] : slope);
      }
      sums[at] += slope * (double)x[start + k];
    }
  }
  if (by_window != NULL) { bbw_store_f64(by_window, 0, plan->n, sums); }
  return BBW_OK;
}

/* ---- MelWeightMatrix ---- */

bbw_status bbw_mel_prepare(bbw_prep *prep) {
  dft_params *p = bbw_prep_params(prep, sizeof *p);
  int64_t number;
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_prep_int(prep, "output_datatype", 1, &number));
  p->dtype = number > 0 && number < INT32_MAX ? bbw_dtype_from_onnx((int32_t)number) : BBW_DTYPE_NONE;
  return p->dtype != BBW_DTYPE_NONE ? BBW_OK
                                    : bbw_prep_unsupported(prep, "output_datatype", "element type is not supported");
}

typedef struct mel_plan {
  size_t bins, bands; /* of the spectrum; of the result */
  double per_hertz;   /* bins per hertz */
  double low, high;   /* mel */
} mel_plan;

static double to_mel(double hertz) { return 2595.0 * bbw_log_f64(1.0 + hertz / 700.0) / 2.30258509299404568402; }
static double to_hertz(double mel) { return 700.0 * (bbw_exp_f64(mel / 2595.0 * 2.30258509299404568402) - 1.0); }

bbw_status bbw_mel_infer(bbw_call *call) {
  const dft_params *p = call->params;
  int64_t bands, length, rate;
  double low, high;
  BBW_TRY(bbw_call_int(call, 0, 0, &bands));
  BBW_TRY(bbw_call_int(call, 1, 0, &length));
  BBW_TRY(bbw_call_int(call, 2, 0, &rate));
  BBW_TRY(bbw_call_float(call, 3, 0.0, &low));
  BBW_TRY(bbw_call_float(call, 4, 0.0, &high));
  if (bands < 1 || (uint64_t)bands > call->elements_max) { return bbw_call_refuse(call, 0, "is out of range"); }
  if (length < 1 || (uint64_t)length > call->elements_max) { return bbw_call_refuse(call, 1, "is out of range"); }
  if (rate < 1) { return bbw_call_refuse(call, 2, "is out of range"); }
  if (!(low >= 0.0 && low < high && high <= (double)rate)) {
    return bbw_call_refuse(call, 4, "the edges are no range of frequencies");
  }
  mel_plan *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  plan->bins = (size_t)(length / 2 + 1);
  plan->bands = (size_t)bands;
  plan->per_hertz = (double)(length + 1) / (double)rate;
  plan->low = to_mel(low);
  plan->high = to_mel(high);
  size_t dims[2] = {plan->bins, plan->bands};
  return bbw_call_output(call, 0, p->dtype, 2, dims);
}

/* The bin of edge i: 0 is where the first band starts. */
static double mel_edge(const mel_plan *plan, size_t i) {
  double step = (plan->high - plan->low) / (double)(plan->bands + 2);
  return floor(to_hertz(plan->low + step * (double)i) * plan->per_hertz);
}

bbw_status bbw_mel_run(bbw_call *call) {
  const mel_plan *plan = call->plan;
  for (size_t band = 0; band < plan->bands; band++) {
    double left = mel_edge(plan, band), middle = mel_edge(plan, band + 1), right = mel_edge(plan, band + 2);
    for (size_t bin = 0; bin < plan->bins; bin++) {
      double at = (double)bin, weight = 0.0;
      if (left == middle) {
        weight = at == middle ? 1.0 : 0.0;
      } else if (at >= left && at <= middle) {
        weight = (at - left) / (middle - left);
      }
      if (right > middle && at >= middle && at < right) { weight = (right - at) / (right - middle); }
      bbw_store_f64(call->outputs[0], bin * plan->bands + band, 1, &weight);
    }
  }
  return BBW_OK;
}
