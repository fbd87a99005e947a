/* Quantized operators: whole numbers of 8 bits stand for (q - zero point) * scale. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/conv_i8.h"
#include "kernels/gemm_i8.h"
#include "kernels/quantize.h"
#include "onnx/batch.h"
#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/window.h"

/* x / scale and the like, rounded to the nearest even number; NaN gives 0. */
static int64_t rounded(float x) {
  if (!(x == x)) { return 0; }
  if (x > 2147483520.0f) { return INT32_MAX; }
  if (x < -2147483648.0f) { return INT32_MIN; }
  return (int64_t)rintf(x);
}

static bool range_of(bbw_dtype dtype, int64_t *low, int64_t *high) {
  *low = *high = 0;
  switch (dtype) {
  case BBW_DTYPE_U8: *low = 0, *high = UINT8_MAX; return true;
  case BBW_DTYPE_I8: *low = INT8_MIN, *high = INT8_MAX; return true;
  case BBW_DTYPE_U16: *low = 0, *high = UINT16_MAX; return true;
  case BBW_DTYPE_I16: *low = INT16_MIN, *high = INT16_MAX; return true;
  default: *low = *high = 0; return false;
  }
}

static bool is_byte(const bbw_array *x) { return x->dtype == BBW_DTYPE_U8 || x->dtype == BBW_DTYPE_I8; }
static int64_t saturated(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

static float f32_at(const bbw_array *x, size_t i) {
  float value;
  bbw_load_f32(x, i, 1, &value);
  return value;
}
static int64_t i64_at(const bbw_array *x, size_t i) {
  int64_t value;
  bbw_load_i64(x, i, 1, &value);
  return value;
}

/* ---- QuantizeLinear, DequantizeLinear ---- */

typedef struct linear_params {
  int64_t axis;
} linear_params;

typedef struct linear_plan {
  size_t outer, channels, inner; /* one scale for each channel; channels is 1 for one scale in all */
} linear_plan;

bbw_status bbw_quantize_prepare(bbw_prep *prep) {
  linear_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  int64_t block;
  BBW_TRY(bbw_prep_int(prep, "block_size", 0, &block));
  if (block != 0) { return bbw_prep_unsupported(prep, "block_size", "blocks are not supported"); }
  return bbw_prep_int(prep, "axis", 1, &p->axis);
}

/* Scale and zero point (inputs 1 and 2) along the axis of x. */
static bbw_status plan_linear(bbw_call *call) {
  const linear_params *p = call->params;
  const bbw_array *x = call->inputs[0], *scale = call->inputs[1], *zero = bbw_call_input(call, 2);
  linear_plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  *s = (linear_plan){1, 1, x->count};
  if (!bbw_dtype_is_float(scale->dtype)) { return bbw_call_refuse_type(call, 1); }
  if (zero != NULL && zero->count != scale->count) {
    return bbw_call_refuse(call, 2, "must have as many elements as the scale");
  }
  if (scale->count == 1) { return BBW_OK; }
  uint32_t axis;
  BBW_TRY(bbw_call_axis(call, p->axis, x->rank, &axis));
  if (scale->rank != 1 || scale->count != x->dims[axis]) {
    return bbw_call_refuse(call, 1, "must be one number, or one for each place along the axis");
  }
  *s = (linear_plan){bbw_dims_product(x->dims, 0, axis), x->dims[axis], bbw_dims_product(x->dims, axis + 1, x->rank)};
  return BBW_OK;
}

bbw_status bbw_quantize_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *zero = bbw_call_input(call, 2);
  int64_t low, high;
  bbw_dtype dtype = zero != NULL ? zero->dtype : BBW_DTYPE_U8;
  if (!bbw_dtype_is_float(x->dtype) && x->dtype != BBW_DTYPE_I32) { return bbw_call_refuse_type(call, 0); }
  if (!range_of(dtype, &low, &high)) { return bbw_call_refuse_type(call, 2); }
  BBW_TRY(plan_linear(call));
  return bbw_call_output(call, 0, dtype, x->rank, x->dims);
}

/* The kernels' form, where scales are f32 and the whole numbers are bytes. */
static bool is_kernel_case(const linear_plan *s, const bbw_array *floats, const bbw_array *scale, const bbw_array *zero,
                           const bbw_array *whole, bbw_quantization *out) {
  *out = (bbw_quantization){.scale = scale->data,
                            .zero = zero != NULL ? zero->data : NULL,
                            .is_signed = whole->dtype == BBW_DTYPE_I8,
                            .outer = s->outer,
                            .channels = s->channels,
                            .inner = s->inner};
  return floats->dtype == BBW_DTYPE_F32 && scale->dtype == BBW_DTYPE_F32 && is_byte(whole);
}

bbw_status bbw_quantize_run(bbw_call *call) {
  const linear_plan *s = call->plan;
  const bbw_array *x = call->inputs[0], *scale = call->inputs[1], *zero = bbw_call_input(call, 2);
  bbw_array *out = call->outputs[0];
  int64_t low, high;
  bbw_quantization kernel;
  if (is_kernel_case(s, x, scale, zero, out, &kernel)) {
    bbw_quantize_f32_simd128(&kernel, x->data, out->data);
    return BBW_OK;
  }
  range_of(out->dtype, &low, &high);
  for (size_t run = 0; run < s->outer * s->channels; run++) {
    size_t channel = run % s->channels;
    float by = f32_at(scale, channel);
    int64_t add = zero != NULL ? i64_at(zero, channel) : 0;
    for (size_t at = 0; at < s->inner; at += BBW_CONVERT_BLOCK) {
      size_t n = s->inner - at < BBW_CONVERT_BLOCK ? s->inner - at : BBW_CONVERT_BLOCK;
      float block[BBW_CONVERT_BLOCK];
      int64_t whole[BBW_CONVERT_BLOCK];
      bbw_load_f32(x, run * s->inner + at, n, block);
      for (size_t i = 0; i < n; i++) { whole[i] = saturated(rounded(block[i] / by) + add, low, high); }
      bbw_store_i64(out, run * s->inner + at, n, whole);
    }
  }
  return BBW_OK;
}

bbw_status bbw_dequantize_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *zero = bbw_call_input(call, 2);
  int64_t low, high;
  if (!range_of(x->dtype, &low, &high) && x->dtype != BBW_DTYPE_I32) { return bbw_call_refuse_type(call, 0); }
  if (zero != NULL && zero->dtype != x->dtype) {
    return bbw_call_refuse(call, 2, "must have the element type of the input");
  }
  BBW_TRY(plan_linear(call));
  return bbw_call_output(call, 0, call->inputs[1]->dtype, x->rank, x->dims);
}

bbw_status bbw_dequantize_run(bbw_call *call) {
  const linear_plan *s = call->plan;
  const bbw_array *x = call->inputs[0], *scale = call->inputs[1], *zero = bbw_call_input(call, 2);
  bbw_quantization kernel;
  if (is_kernel_case(s, call->outputs[0], scale, zero, x, &kernel)) {
    bbw_dequantize_f32_simd128(&kernel, x->data, call->outputs[0]->data);
    return BBW_OK;
  }
  for (size_t run = 0; run < s->outer * s->channels; run++) {
    size_t channel = run % s->channels;
    float by = f32_at(scale, channel);
    int64_t less = zero != NULL ? i64_at(zero, channel) : 0;
    for (size_t at = 0; at < s->inner; at += BBW_CONVERT_BLOCK) {
      size_t n = s->inner - at < BBW_CONVERT_BLOCK ? s->inner - at : BBW_CONVERT_BLOCK;
      float block[BBW_CONVERT_BLOCK];
      int64_t whole[BBW_CONVERT_BLOCK];
      bbw_load_i64(x, run * s->inner + at, n, whole);
      for (size_t i = 0; i < n; i++) { block[i] = (float)(whole[i] - less) * by; }
      bbw_store_f32(call->outputs[0], run * s->inner + at, n, block);
    }
  }
  return BBW_OK;
}

/* ---- DynamicQuantizeLinear: scale and zero point from the range of the data, which 0 belongs to ---- */

bbw_status bbw_dynamic_quantize_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  if (x->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 0); }
  BBW_TRY(bbw_call_output(call, 0, BBW_DTYPE_U8, x->rank, x->dims));
  BBW_TRY(bbw_call_output(call, 1, BBW_DTYPE_F32, 0, NULL));
  return bbw_call_output(call, 2, BBW_DTYPE_U8, 0, NULL);
}

bbw_status bbw_dynamic_quantize_run(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  bbw_array *out = bbw_call_result(call, 0), *scales = bbw_call_result(call, 1), *zeros = bbw_call_result(call, 2);
  float scale;
  uint8_t zero;
  bbw_dynamic_range_f32(x->data, x->count, &scale, &zero);
  bbw_quantization q = {.scale = &scale, .zero = &zero, .outer = 1, .channels = 1, .inner = x->count};
  if (out != NULL) { bbw_quantize_f32_simd128(&q, x->data, out->data); }
  if (scales != NULL) { *(float *)scales->data = scale; }
  if (zeros != NULL) { *(uint8_t *)zeros->data = zero; }
  return BBW_OK;
}

/* ---- products of 8-bit numbers ---- */

/* A scale: one for all, or one per place. */
static float scale_at(const bbw_array *scale, size_t i) { return f32_at(scale, scale->count == 1 ? 0 : i); }

/* Element types of the operands, and zero points of theirs. */
static bbw_status check_operands(bbw_call *call, uint32_t a, uint32_t a_zero, uint32_t b, uint32_t b_zero,
                                 size_t a_count, size_t b_count) {
  const bbw_array *az = bbw_call_input(call, a_zero), *bz = bbw_call_input(call, b_zero);
  if (!is_byte(call->inputs[a])) { return bbw_call_refuse_type(call, a); }
  if (!is_byte(call->inputs[b])) { return bbw_call_refuse_type(call, b); }
  if (az != NULL && (az->dtype != call->inputs[a]->dtype || (az->count != 1 && az->count != a_count))) {
    return bbw_call_refuse(call, (int32_t)a_zero, "the zero point does not fit its operand");
  }
  if (bz != NULL && (bz->dtype != call->inputs[b]->dtype || (bz->count != 1 && bz->count != b_count))) {
    return bbw_call_refuse(call, (int32_t)b_zero, "the zero point does not fit its operand");
  }
  return BBW_OK;
}

/* Scale and zero point of a result: one number each, the zero point gives the type. */
static bbw_status check_result(bbw_call *call, uint32_t scale, uint32_t zero) {
  if (call->inputs[scale]->count != 1 || !bbw_dtype_is_float(call->inputs[scale]->dtype)) {
    return bbw_call_refuse(call, (int32_t)scale, "must be one number");
  }
  if (call->inputs[zero]->count != 1 || !is_byte(call->inputs[zero])) {
    return bbw_call_refuse(call, (int32_t)zero, "must be one 8-bit number");
  }
  return BBW_OK;
}

static bbw_status check_scale(bbw_call *call, uint32_t scale, size_t count) {
  const bbw_array *s = call->inputs[scale];
  if (!bbw_dtype_is_float(s->dtype) || (s->count != 1 && s->count != count)) {
    return bbw_call_refuse(call, (int32_t)scale, "the scale does not fit its operand");
  }
  return BBW_OK;
}

/* Where the operands of the two forms of an operator stand: with scales (QLinear...) or without (...Integer). */
typedef struct places {
  uint32_t a, a_zero, b, b_zero;
  bool is_linear;
} places;
static const places integer_places = {0, 2, 1, 3, false}, linear_places = {0, 2, 3, 5, true};
static places places_of(const bbw_onnx_op *op) { return op->ctx != NULL ? linear_places : integer_places; }
const uint32_t bbw_quant_is_linear = 1;

/* Parts of the scratch memory: sums and scales of a QLinear... operator, weights that are not packed already, what the kernel needs. */
typedef struct scratch_plan {
  size_t sums, scales; /* numbers of 32 bits */
  size_t packed;       /* numbers of 16 bits */
} scratch_plan;

static bbw_status plan_scratch(bbw_call *call, const scratch_plan *s, size_t kernel) {
  size_t bytes = 0;
  const size_t parts[] = {s->sums, s->sums, s->scales, s->scales, s->packed, kernel};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    if (parts[i] > SIZE_MAX / 2 || !bbw_size_add(bytes, 2 * parts[i], &bytes)) { bytes = SIZE_MAX; }
  }
  if (bytes / sizeof(float) > call->elements_max) {
    call->detail = "the operands are too large";
    return BBW_E_LIMIT;
  }
  call->scratch_bytes = bytes;
  return BBW_OK;
}

static int16_t *packed_place(const bbw_call *call, const scratch_plan *s) {
  return (int16_t *)((float *)call->scratch + s->sums + s->scales);
}

static const uint8_t *zeros_of(const bbw_array *zero) { return zero != NULL ? zero->data : NULL; }
static bool has_zeros(const bbw_array *zero) { return zero != NULL && zero->count != 1; }

/* Weights that can be packed, with their zero points: constants, and of sizes that fit (infer refuses others).  *zero is NULL when there is none. */
static const bbw_array *constant_weights(const bbw_onnx_pack *pack, const places *at, const bbw_array **zero,
                                         uint32_t channel_axis) {
  const bbw_array *w = pack->constants[at->b];
  *zero = at->b_zero < pack->input_count ? pack->constants[at->b_zero] : NULL;
  if (w == NULL || !is_byte(w) || w->count == 0 || w->rank <= channel_axis) { return NULL; }
  /* NULL is also a zero point that is computed, or left out with an empty name. */
  if (*zero == NULL) { return at->b_zero < pack->input_count ? NULL : w; }
  bool fits = (*zero)->dtype == w->dtype && ((*zero)->count == 1 || (*zero)->count == w->dims[channel_axis]);
  return fits ? w : NULL;
}

typedef struct matmul_plan {
  size_t m, n, k;
  bbw_batch batch;
  scratch_plan scratch;
} matmul_plan;

bbw_status bbw_matmul_integer_infer(bbw_call *call) {
  places at = places_of(call->op);
  const bbw_array *a = call->inputs[at.a], *b = call->inputs[at.b];
  matmul_plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  if (a->rank < 2 || b->rank < 2) {
    return bbw_call_refuse(call, (int32_t)(a->rank < 2 ? at.a : at.b), "must be a matrix");
  }
  s->m = a->dims[a->rank - 2];
  s->k = a->dims[a->rank - 1];
  s->n = b->dims[b->rank - 1];
  if (b->dims[b->rank - 2] != s->k) { return bbw_call_refuse(call, -1, "the inner dimensions are not equal"); }
  BBW_TRY(check_operands(call, at.a, at.a_zero, at.b, at.b_zero, s->m, s->n));
  BBW_TRY(bbw_batch_plan(call, a, b, &s->batch));
  size_t dims[BBW_ARRAY_RANK_MAX];
  memcpy(dims, s->batch.dims, s->batch.rank * sizeof *dims);
  dims[s->batch.rank] = s->m;
  dims[s->batch.rank + 1] = s->n;
  bbw_dtype dtype = BBW_DTYPE_I32;
  if (at.is_linear) {
    BBW_TRY(check_scale(call, 1, s->m));
    BBW_TRY(check_scale(call, 4, s->n));
    BBW_TRY(check_result(call, 6, 7));
    dtype = call->inputs[7]->dtype;
  }
  BBW_TRY(bbw_call_output(call, 0, dtype, s->batch.rank + 2, dims));
  bbw_gemm_i8 g = {.m = s->m, .n = s->n, .k = s->k};
  if (call->packed == NULL) { s->scratch.packed = bbw_gemm_i8_pack_b_size(s->n, s->k); }
  if (at.is_linear && !bbw_size_mul(s->m, s->n, &s->scratch.sums)) { s->scratch.sums = SIZE_MAX; }
  return plan_scratch(call, &s->scratch, bbw_gemm_i8_scratch(&g));
}

static bbw_gemm_i8_operand operand_of(const bbw_array *x, const bbw_array *zero, size_t at, size_t stride) {
  return (bbw_gemm_i8_operand){.x = (const uint8_t *)x->data + at,
                               .stride = stride,
                               .is_signed = x->dtype == BBW_DTYPE_I8,
                               .zero = zeros_of(zero),
                               .has_zeros = has_zeros(zero)};
}

/* Sums of rows of a matrix in the scale of the result. */
static void scale_sums(const bbw_call *call, const matmul_plan *s, const int32_t *sums, size_t out_at) {
  const bbw_array *a_scale = call->inputs[1], *b_scale = call->inputs[4], *out = call->outputs[0];
  bool is_one = b_scale->count == 1;
  for (size_t row = 0; row < s->m; row++) {
    for (size_t column = 0; column < s->n; column += is_one ? s->n : 1) {
      float scale = scale_at(a_scale, row) * scale_at(b_scale, column) / f32_at(call->inputs[6], 0);
      bbw_quantization q = {.scale = &scale,
                            .zero = call->inputs[7]->data,
                            .is_signed = out->dtype == BBW_DTYPE_I8,
                            .outer = 1,
                            .channels = 1,
                            .inner = is_one ? s->n : 1};
      size_t place = row * s->n + column;
      bbw_requantize_i32_simd128(&q, sums + place, NULL, (uint8_t *)out->data + out_at + place);
    }
  }
}

bbw_status bbw_matmul_integer_run(bbw_call *call) {
  places at = places_of(call->op);
  const matmul_plan *s = call->plan;
  const bbw_array *a = call->inputs[at.a], *b = call->inputs[at.b];
  const bbw_array *a_zero = bbw_call_input(call, at.a_zero), *b_zero = bbw_call_input(call, at.b_zero);
  bbw_batch_place place = {0};
  size_t count = bbw_batch_count(&s->batch);
  int16_t *packed = packed_place(call, &s->scratch);
  if (call->outputs[0]->count == 0) { return BBW_OK; }
  for (size_t i = 0; i < count; i++) {
    bbw_gemm_i8_operand left = operand_of(a, a_zero, place.a * s->m * s->k, s->k);
    bbw_gemm_i8 g = {.m = s->m, .n = s->n, .k = s->k, .a = &left, .b_packed = call->packed, .ldc = s->n};
    if (call->packed == NULL) {
      bbw_gemm_i8_operand right = operand_of(b, b_zero, place.b * s->k * s->n, s->n);
      bbw_gemm_i8_pack_b(packed, &right, s->n, s->k);
      g.b_packed = packed;
    }
    g.c = at.is_linear ? call->scratch : (int32_t *)call->outputs[0]->data + i * s->m * s->n;
    bbw_gemm_i8_simd128(&g, packed + s->scratch.packed);
    if (at.is_linear) { scale_sums(call, s, g.c, i * s->m * s->n); }
    bbw_batch_next(&s->batch, &place);
  }
  return BBW_OK;
}

bbw_status bbw_matmul_integer_pack(bbw_onnx_pack *pack) {
  places at = places_of(pack->op);
  const bbw_array *zero, *b = constant_weights(pack, &at, &zero, 1);
  if (b == NULL || b->rank != 2) { return BBW_OK; }
  size_t k = b->dims[0], n = b->dims[1], count = bbw_gemm_i8_pack_b_size(n, k);
  if (pack->packed == NULL) {
    pack->bytes = count > SIZE_MAX / sizeof(int16_t) ? 0 : count * sizeof(int16_t);
    return BBW_OK;
  }
  bbw_gemm_i8_operand right = operand_of(b, zero, 0, n);
  bbw_gemm_i8_pack_b(pack->packed, &right, n, k);
  pack->replaced = 1u << at.b;
  return BBW_OK;
}

typedef struct conv_params {
  bbw_window_params window;
  int64_t groups;
} conv_params;

typedef struct conv_plan {
  bbw_conv_plan conv;
  scratch_plan scratch;
} conv_plan;

bbw_status bbw_conv_integer_prepare(bbw_prep *prep) {
  conv_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  BBW_TRY(bbw_window_prepare(prep, &p->window));
  BBW_TRY(bbw_prep_int(prep, "group", 1, &p->groups));
  return p->groups < 1 ? bbw_prep_refuse(prep, "group", "must be positive") : BBW_OK;
}

bbw_status bbw_conv_integer_infer(bbw_call *call) {
  places at = places_of(call->op);
  const conv_params *p = call->params;
  const bbw_array *x = call->inputs[at.a], *w = call->inputs[at.b],
                  *bias = at.is_linear ? bbw_call_input(call, 8) : NULL;
  conv_plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  bbw_window window;
  if (w->rank != x->rank || w->rank < 3) {
    return bbw_call_refuse(call, (int32_t)at.b, "must have as many dimensions as the input");
  }
  size_t groups = (size_t)p->groups;
  if (x->dims[1] % groups != 0 || x->dims[1] / groups != w->dims[1] || w->dims[0] % groups != 0) {
    return bbw_call_refuse(call, (int32_t)at.b, "the channels of input, weights and group do not fit together");
  }
  BBW_TRY(check_operands(call, at.a, at.a_zero, at.b, at.b_zero, 1, w->dims[0]));
  BBW_TRY(bbw_window_make(call, &p->window, x, w->dims + 2, &window));
  bbw_conv_shape shape = {.batch = x->dims[0],
                          .channels = x->dims[1],
                          .out_channels = w->dims[0],
                          .groups = groups,
                          .is_volume = w->rank == 5};
  bbw_window_shape(&window, &shape);
  if (!bbw_conv_plan_make(&s->conv, &shape)) {
    return bbw_call_refuse(call, 0, "sizes, kernel and pads do not fit together, or are too large");
  }
  for (uint32_t d = 0; d < BBW_WINDOW_AXES; d++) { window.out_size[d] = s->conv.out_size[d]; }
  bbw_dtype dtype = BBW_DTYPE_I32;
  if (at.is_linear) {
    BBW_TRY(check_scale(call, 1, 1));
    BBW_TRY(check_scale(call, 4, w->dims[0]));
    BBW_TRY(check_result(call, 6, 7));
    dtype = call->inputs[7]->dtype;
    if (bias != NULL && (bias->dtype != BBW_DTYPE_I32 || bias->count != w->dims[0])) {
      return bbw_call_refuse(call, 8, "must have one int32 per output channel");
    }
  }
  BBW_TRY(bbw_window_output(call, 0, dtype, x->dims[0], w->dims[0], &window));
  if (call->packed == NULL) { s->scratch.packed = bbw_conv_i8_pack_size(&s->conv); }
  if (at.is_linear) { /* the sums fit, because the output does */
    s->scratch.sums = x->dims[0] * w->dims[0] * s->conv.places;
    s->scratch.scales = w->dims[0];
  }
  return plan_scratch(call, &s->scratch, bbw_conv_i8_scratch(&s->conv));
}

static bbw_conv_i8_weights weights_of(const bbw_array *w, const bbw_array *zero) {
  return (bbw_conv_i8_weights){w->data, w->dtype == BBW_DTYPE_I8, zeros_of(zero), has_zeros(zero)};
}

bbw_status bbw_conv_integer_run(bbw_call *call) {
  places at = places_of(call->op);
  const conv_plan *s = call->plan;
  const bbw_array *x = call->inputs[at.a], *w = call->inputs[at.b],
                  *bias = at.is_linear ? bbw_call_input(call, 8) : NULL;
  const bbw_array *x_zero = bbw_call_input(call, at.a_zero);
  bbw_array *out = call->outputs[0];
  if (out->count == 0) { return BBW_OK; }
  int16_t *scratch = packed_place(call, &s->scratch);
  const int16_t *packed = call->packed;
  if (packed == NULL) {
    bbw_conv_i8_weights weights = weights_of(w, bbw_call_input(call, at.b_zero));
    bbw_conv_i8_pack(&s->conv, &weights, scratch);
    packed = scratch;
  }
  int32_t *sums = at.is_linear ? call->scratch : out->data;
  bbw_conv_i8_simd128(&s->conv, x->data, x->dtype == BBW_DTYPE_I8, x_zero != NULL ? *(const uint8_t *)x_zero->data : 0,
                      packed, sums, scratch + s->scratch.packed);
  if (!at.is_linear) { return BBW_OK; }
  float *scale = (float *)call->scratch + s->scratch.sums;
  for (size_t o = 0; o < s->scratch.scales; o++) {
    scale[o] = f32_at(call->inputs[1], 0) * scale_at(call->inputs[4], o) / f32_at(call->inputs[6], 0);
  }
  /* One zero point for all channels, so each is a call of its own. */
  for (size_t run = 0; run < s->conv.shape.batch * s->scratch.scales; run++) {
    size_t o = run % s->scratch.scales, start = run * s->conv.places;
    bbw_quantization q = {.scale = scale + o,
                          .zero = call->inputs[7]->data,
                          .is_signed = out->dtype == BBW_DTYPE_I8,
                          .outer = 1,
                          .channels = 1,
                          .inner = s->conv.places};
    bbw_requantize_i32_simd128(&q, sums + start, bias != NULL ? (const int32_t *)bias->data + o : NULL,
                               (uint8_t *)out->data + start);
  }
  return BBW_OK;
}

bbw_status bbw_conv_integer_pack(bbw_onnx_pack *pack) {
  places at = places_of(pack->op);
  const conv_params *p = pack->params;
  const bbw_array *zero, *w = constant_weights(pack, &at, &zero, 0);
  bbw_conv_plan form;
  if (w == NULL || w->rank < 3 || w->rank > 5 || !bbw_conv_form(&form, w, (size_t)p->groups, false)) { return BBW_OK; }
  if (pack->packed == NULL) {
    size_t count = bbw_conv_i8_pack_size(&form);
    pack->bytes = count > SIZE_MAX / sizeof(int16_t) ? 0 : count * sizeof(int16_t);
    return BBW_OK;
  }
  bbw_conv_i8_weights weights = weights_of(w, zero);
  bbw_conv_i8_pack(&form, &weights, pack->packed);
  pack->replaced = 1u << at.b;
  return BBW_OK;
}
