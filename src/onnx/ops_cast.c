/* Other element types; Dropout, which is a copy with a mask beside it. */
#include <string.h>

#include "onnx/convert.h"
#include "onnx/ops.h"
#include "onnx/params.h"

/* ---- Cast, CastLike ---- */

typedef struct cast_params {
  bbw_dtype to;
} cast_params;

bbw_status bbw_cast_prepare(bbw_prep *prep) {
  cast_params *p = bbw_prep_params(prep, sizeof *p);
  int64_t number;
  if (p == NULL) { return BBW_E_NOMEM; }
  if (!bbw_prep_has(prep, "to")) { return bbw_prep_refuse(prep, "to", "attribute is missing"); }
  BBW_TRY(bbw_prep_int(prep, "to", 0, &number));
  p->to = number > 0 && number < INT32_MAX ? bbw_dtype_from_onnx((int32_t)number) : BBW_DTYPE_NONE;
  return p->to != BBW_DTYPE_NONE ? BBW_OK : bbw_prep_unsupported(prep, "to", "element type is not supported");
}

static bbw_status infer_cast(bbw_call *call, bbw_dtype to) {
  const bbw_array *x = call->inputs[0];
  return bbw_call_output(call, 0, to, x->rank, x->dims);
}

bbw_status bbw_cast_infer(bbw_call *call) { return infer_cast(call, ((const cast_params *)call->params)->to); }
bbw_status bbw_cast_like_infer(bbw_call *call) { return infer_cast(call, call->inputs[1]->dtype); }

/* Through the narrowest wide type that holds both, so that the result is rounded once. */
bbw_status bbw_cast_run(bbw_call *call) {
  const bbw_array *x = call->inputs[0];
  bbw_array *out = call->outputs[0];
  bool from_float = bbw_dtype_is_float(x->dtype), to_float = bbw_dtype_is_float(out->dtype);
  bool is_f64 = x->dtype == BBW_DTYPE_F64 || out->dtype == BBW_DTYPE_F64;
  if (x->count == 0) { return BBW_OK; }
  if (x->dtype == out->dtype) {
    memcpy(out->data, x->data, bbw_array_bytes(x));
    return BBW_OK;
  }
  for (size_t at = 0; at < x->count; at += BBW_CONVERT_BLOCK) {
    size_t n = x->count - at < BBW_CONVERT_BLOCK ? x->count - at : BBW_CONVERT_BLOCK;
    if (from_float && to_float && !is_f64) {
      float block[BBW_CONVERT_BLOCK];
      bbw_load_f32(x, at, n, block);
      bbw_store_f32(out, at, n, block);
    } else if (from_float || (x->dtype == BBW_DTYPE_U64 && to_float)) {
      double block[BBW_CONVERT_BLOCK];
      bbw_load_f64(x, at, n, block);
      bbw_store_f64(out, at, n, block);
    } else {
      int64_t block[BBW_CONVERT_BLOCK];
      bbw_load_i64(x, at, n, block);
      bbw_store_i64(out, at, n, block);
    }
  }
  return BBW_OK;
}

/* ---- Dropout ---- */

/*
 * Training (opset 12 and up) drops what a Mersenne twister seeded with the attribute says, the way NumPy draws its uniform numbers; the expected
 * results of the ONNX tests are made so.  Without a seed there is no training: an operator has no source of randomness of its own.
 */
#define TWISTER_WORDS 624u
#define TWISTER_GAP   397u

typedef struct twister {
  uint32_t words[TWISTER_WORDS];
  uint32_t at;
} twister;

static void twister_seed(twister *t, uint32_t seed) {
  for (uint32_t i = 0; i < TWISTER_WORDS; i++) {
    t->words[i] = seed;
    seed = 1812433253u * (seed ^ (seed >> 30)) + i + 1;
  }
  t->at = TWISTER_WORDS;
}

static uint32_t twister_next(twister *t) {
  if (t->at == TWISTER_WORDS) {
    for (uint32_t i = 0; i < TWISTER_WORDS; i++) {
      uint32_t y = (t->words[i] & 0x80000000u) | (t->words[(i + 1) % TWISTER_WORDS] & 0x7fffffffu);
      t->words[i] = t->words[(i + TWISTER_GAP) % TWISTER_WORDS] ^ (y >> 1) ^ ((y & 1u) != 0 ? 0x9908b0dfu : 0u);
    }
    t->at = 0;
  }
  uint32_t y = t->words[t->at++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

/* In [0, 1), with 53 bits. */
static double twister_uniform(twister *t) {
  uint32_t high = twister_next(t) >> 5, low = twister_next(t) >> 6;
  return ((double)high * 67108864.0 + (double)low) / 9007199254740992.0;
}

typedef bbw_dropout_params dropout_params;

bbw_status bbw_dropout_prepare(bbw_prep *prep) {
  dropout_params *p = bbw_prep_params(prep, sizeof *p);
  if (p == NULL) { return BBW_E_NOMEM; }
  p->has_seed = bbw_prep_has(prep, "seed");
  BBW_TRY(bbw_prep_float(prep, "ratio", 0.5f, &p->ratio));
  if (prep->opset < 12 && prep->input_count > 1) {
    return bbw_prep_refuse(prep, NULL, "the ratio is an attribute before opset 12");
  }
  return bbw_prep_int(prep, "seed", 0, &p->seed);
}

bbw_status bbw_dropout_infer(bbw_call *call) {
  const bbw_array *x = call->inputs[0], *ratio = bbw_call_input(call, 1), *mode = bbw_call_input(call, 2);
  if (!bbw_dtype_is_float(x->dtype)) { return bbw_call_refuse_type(call, 0); }
  if (ratio != NULL && !bbw_dtype_is_float(ratio->dtype)) { return bbw_call_refuse_type(call, 1); }
  if (ratio != NULL && ratio->count != 1) { return bbw_call_refuse(call, 1, "the ratio must be one number"); }
  if (mode != NULL && mode->dtype != BBW_DTYPE_BOOL) { return bbw_call_refuse_type(call, 2); }
  if (mode != NULL && mode->count != 1) { return bbw_call_refuse(call, 2, "the mode must be one truth value"); }
  if (mode != NULL) { call->scratch_bytes = sizeof(twister); }
  BBW_TRY(bbw_call_output_like(call, 0, x));
  return bbw_call_output(call, 1, call->opset >= 10 ? BBW_DTYPE_BOOL : x->dtype, x->rank, x->dims);
}

static void drop(twister *t, double ratio, const bbw_array *x, bbw_array *out, bbw_array *mask) {
  double scale = ratio < 1.0 ? 1.0 / (1.0 - ratio) : 0.0;
  for (size_t at = 0; at < x->count; at += BBW_CONVERT_BLOCK) {
    size_t n = x->count - at < BBW_CONVERT_BLOCK ? x->count - at : BBW_CONVERT_BLOCK;
    double block[BBW_CONVERT_BLOCK];
    bbw_load_f64(x, at, n, block);
    for (size_t i = 0; i < n; i++) {
      bool is_kept = twister_uniform(t) >= ratio;
      block[i] = is_kept ? block[i] * scale : 0.0;
      if (mask != NULL) { ((uint8_t *)mask->data)[at + i] = is_kept; }
    }
    if (out != NULL) { bbw_store_f64(out, at, n, block); }
  }
}

bbw_status bbw_dropout_run(bbw_call *call) {
  const dropout_params *p = call->params;
  const bbw_array *x = call->inputs[0], *mode = bbw_call_input(call, 2);
  bbw_array *out = bbw_call_result(call, 0), *mask = bbw_call_result(call, 1);
  double ratio = 0.5;
  if (bbw_call_input(call, 1) != NULL) { bbw_load_f64(call->inputs[1], 0, 1, &ratio); }
  if (mode != NULL && *(const uint8_t *)mode->data != 0 && ratio != 0.0) {
    if (!(ratio > 0.0 && ratio <= 1.0)) { return bbw_call_refuse(call, 1, "the ratio must be from 0 to 1"); }
    if (!p->has_seed) { return bbw_call_refuse(call, 2, "training needs the attribute seed"); }
    twister_seed(call->scratch, (uint32_t)p->seed);
    drop(call->scratch, ratio, x, out, mask);
    return BBW_OK;
  }
  if (x->count == 0) { return BBW_OK; }
  if (out != NULL && out->data != x->data) { memcpy(out->data, x->data, bbw_array_bytes(x)); }
  for (size_t i = 0; mask != NULL && i < mask->count; i++) {
    int64_t one = 1;
    bbw_store_i64(mask, i, 1, &one);
  }
  return BBW_OK;
}
