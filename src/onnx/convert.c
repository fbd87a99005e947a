#include "onnx/convert.h"

#include <math.h>
#include <string.h>

bool bbw_dtype_is_float(bbw_dtype dtype) {
  return dtype == BBW_DTYPE_F32 || dtype == BBW_DTYPE_F64 || dtype == BBW_DTYPE_F16 || dtype == BBW_DTYPE_BF16;
}
bool bbw_dtype_is_integer(bbw_dtype dtype) {
  return dtype != BBW_DTYPE_NONE && dtype != BBW_DTYPE_BOOL && !bbw_dtype_is_float(dtype);
}
bool bbw_dtype_is_unsigned(bbw_dtype dtype) {
  return dtype == BBW_DTYPE_U8 || dtype == BBW_DTYPE_U16 || dtype == BBW_DTYPE_U32 || dtype == BBW_DTYPE_U64 ||
         dtype == BBW_DTYPE_BOOL;
}

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
static float from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Half: 1 sign, 5 exponent, 10 fraction bits (IEEE 754 binary16). */
float bbw_f16_to_f32(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
  uint32_t exponent = (half >> 10) & 0x1fu;
  uint32_t fraction = half & 0x3ffu;
  if (exponent == 0x1fu) { return from_bits(sign | 0x7f800000u | fraction << 13); }
  if (exponent != 0) { return from_bits(sign | (exponent + 112u) << 23 | fraction << 13); }
  float small = (float)fraction * 5.9604644775390625e-8f; /* 2^-24: denormals are exact in f32 */
  return sign != 0 ? -small : small;
}

uint16_t bbw_f32_to_f16(float x) {
  uint32_t bits = bits_of(x);
  uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
  uint32_t size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return (uint16_t)(sign | 0x7e00u); }  /* NaN */
  if (size >= 0x477ff000u) { return (uint16_t)(sign | 0x7c00u); } /* 65520 and above round to infinity */
  if (size < 0x38800000u) { /* below 2^-14: in units of 2^-24, rounded by the addition */
    float shifted = from_bits(size) + 0.5f;
    return (uint16_t)(sign | (bits_of(shifted) - 0x3f000000u));
  }
  uint32_t odd = (size >> 13) & 1u;
  return (uint16_t)(sign | ((size - 0x38000000u + 0xfffu + odd) >> 13));
}

float bbw_bf16_to_f32(uint16_t bits) { return from_bits((uint32_t)bits << 16); }

uint16_t bbw_f32_to_bf16(float x) {
  uint32_t bits = bits_of(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (uint16_t)((bits >> 16) | 0x40u); }
  return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/* One loop per element type: `from` names the element, `convert` makes the wide value of it. */
#define EACH(type, convert)                                    \
  {                                                            \
    const type *p = (const type *)array->data + start;         \
    for (size_t i = 0; i < n; i++) { out[i] = convert(p[i]); } \
    return;                                                    \
  }
#define AS_F32(x)      ((float)(x))
#define AS_F64(x)      ((double)(x))
#define AS_I64(x)      ((int64_t)(x))
#define F16_AS_F64(x)  ((double)bbw_f16_to_f32(x))
#define BF16_AS_F64(x) ((double)bbw_bf16_to_f32(x))

/* Towards zero, saturating; NaN gives 0. */
static int64_t whole(double x) {
  if (!(x == x)) { return 0; }
  if (x >= 9223372036854775808.0) { return INT64_MAX; }
  if (x <= -9223372036854775808.0) { return INT64_MIN; }
  return (int64_t)x;
}
#define WHOLE(x)      whole((double)(x))
#define F16_WHOLE(x)  whole(F16_AS_F64(x))
#define BF16_WHOLE(x) whole(BF16_AS_F64(x))

void bbw_load_f32(const bbw_array *array, size_t start, size_t n, float *out) {
  if (n == 0) { return; } /* an empty array has no data */
  switch (array->dtype) {
  case BBW_DTYPE_F32: memcpy(out, (const float *)array->data + start, n * sizeof *out); return;
  case BBW_DTYPE_F64: EACH(double, AS_F32)
  case BBW_DTYPE_F16: EACH(uint16_t, bbw_f16_to_f32)
  case BBW_DTYPE_BF16: EACH(uint16_t, bbw_bf16_to_f32)
  case BBW_DTYPE_I8: EACH(int8_t, AS_F32)
  case BBW_DTYPE_I16: EACH(int16_t, AS_F32)
  case BBW_DTYPE_I32: EACH(int32_t, AS_F32)
  case BBW_DTYPE_I64: EACH(int64_t, AS_F32)
  case BBW_DTYPE_U8:
  case BBW_DTYPE_BOOL: EACH(uint8_t, AS_F32)
  case BBW_DTYPE_U16: EACH(uint16_t, AS_F32)
  case BBW_DTYPE_U32: EACH(uint32_t, AS_F32)
  case BBW_DTYPE_U64: EACH(uint64_t, AS_F32)
  case BBW_DTYPE_NONE:
  case BBW_DTYPE_COUNT: break;
  }
}

void bbw_load_f64(const bbw_array *array, size_t start, size_t n, double *out) {
  if (n == 0) { return; } /* an empty array has no data */
  switch (array->dtype) {
  case BBW_DTYPE_F32: EACH(float, AS_F64)
  case BBW_DTYPE_F64: memcpy(out, (const double *)array->data + start, n * sizeof *out); return;
  case BBW_DTYPE_F16: EACH(uint16_t, F16_AS_F64)
  case BBW_DTYPE_BF16: EACH(uint16_t, BF16_AS_F64)
  case BBW_DTYPE_I8: EACH(int8_t, AS_F64)
  case BBW_DTYPE_I16: EACH(int16_t, AS_F64)
  case BBW_DTYPE_I32: EACH(int32_t, AS_F64)
  case BBW_DTYPE_I64: EACH(int64_t, AS_F64)
  case BBW_DTYPE_U8:
  case BBW_DTYPE_BOOL: EACH(uint8_t, AS_F64)
  case BBW_DTYPE_U16: EACH(uint16_t, AS_F64)
  case BBW_DTYPE_U32: EACH(uint32_t, AS_F64)
  case BBW_DTYPE_U64: EACH(uint64_t, AS_F64)
  case BBW_DTYPE_NONE:
  case BBW_DTYPE_COUNT: break;
  }
}

void bbw_load_i64(const bbw_array *array, size_t start, size_t n, int64_t *out) {
  if (n == 0) { return; } /* an empty array has no data */
  switch (array->dtype) {
  case BBW_DTYPE_F32: EACH(float, WHOLE)
  case BBW_DTYPE_F64: EACH(double, WHOLE)
  case BBW_DTYPE_F16: EACH(uint16_t, F16_WHOLE)
  case BBW_DTYPE_BF16: EACH(uint16_t, BF16_WHOLE)
  case BBW_DTYPE_I8: EACH(int8_t, AS_I64)
  case BBW_DTYPE_I16: EACH(int16_t, AS_I64)
  case BBW_DTYPE_I32: EACH(int32_t, AS_I64)
  case BBW_DTYPE_I64:
  case BBW_DTYPE_U64: memcpy(out, (const int64_t *)array->data + start, n * sizeof *out); return;
  case BBW_DTYPE_U8:
  case BBW_DTYPE_BOOL: EACH(uint8_t, AS_I64)
  case BBW_DTYPE_U16: EACH(uint16_t, AS_I64)
  case BBW_DTYPE_U32: EACH(uint32_t, AS_I64)
  case BBW_DTYPE_NONE:
  case BBW_DTYPE_COUNT: break;
  }
}
#undef EACH

#define EACH(type, convert)                                           \
  {                                                                   \
    type *p = (type *)array->data + start;                            \
    for (size_t i = 0; i < n; i++) { p[i] = (type)convert(from[i]); } \
    return;                                                           \
  }
#define PLAIN(x)   (x)
#define IS_TRUE(x) ((x) != 0)

/* Saturates a whole number in the range of a narrower type. */
static int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }
#define TO_I8(x)  clamp(whole(x), INT8_MIN, INT8_MAX)
#define TO_I16(x) clamp(whole(x), INT16_MIN, INT16_MAX)
#define TO_I32(x) clamp(whole(x), INT32_MIN, INT32_MAX)
#define TO_U8(x)  clamp(whole(x), 0, UINT8_MAX)
#define TO_U16(x) clamp(whole(x), 0, UINT16_MAX)
#define TO_U32(x) clamp(whole(x), 0, UINT32_MAX)
static uint64_t whole_u64(double x) {
  if (!(x > 0.0)) { return 0; }
  return x >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)x;
}

#define F64_TO_F16(x)  bbw_f32_to_f16((float)(x))
#define F64_TO_BF16(x) bbw_f32_to_bf16((float)(x))

void bbw_store_f64(bbw_array *array, size_t start, size_t n, const double *from) {
  if (n == 0) { return; } /* an empty array has no data */
  switch (array->dtype) {
  case BBW_DTYPE_F32: EACH(float, PLAIN)
  case BBW_DTYPE_F64: memcpy((double *)array->data + start, from, n * sizeof *from); return;
  case BBW_DTYPE_F16: EACH(uint16_t, F64_TO_F16)
  case BBW_DTYPE_BF16: EACH(uint16_t, F64_TO_BF16)
  case BBW_DTYPE_I8: EACH(int8_t, TO_I8)
  case BBW_DTYPE_I16: EACH(int16_t, TO_I16)
  case BBW_DTYPE_I32: EACH(int32_t, TO_I32)
  case BBW_DTYPE_I64: EACH(int64_t, whole)
  case BBW_DTYPE_U8: EACH(uint8_t, TO_U8)
  case BBW_DTYPE_BOOL: EACH(uint8_t, IS_TRUE)
  case BBW_DTYPE_U16: EACH(uint16_t, TO_U16)
  case BBW_DTYPE_U32: EACH(uint32_t, TO_U32)
  case BBW_DTYPE_U64: EACH(uint64_t, whole_u64)
  case BBW_DTYPE_NONE:
  case BBW_DTYPE_COUNT: break;
  }
}

void bbw_store_f32(bbw_array *array, size_t start, size_t n, const float *from) {
  if (n == 0) { return; } /* an empty array has no data */
  switch (array->dtype) {
  case BBW_DTYPE_F32: memcpy((float *)array->data + start, from, n * sizeof *from); return;
  case BBW_DTYPE_F16: EACH(uint16_t, bbw_f32_to_f16)
  case BBW_DTYPE_BF16: EACH(uint16_t, bbw_f32_to_bf16)
  default: break;
  }
  double wide[BBW_CONVERT_BLOCK];
  for (size_t at = 0; at < n; at += BBW_CONVERT_BLOCK) {
    size_t part = n - at < BBW_CONVERT_BLOCK ? n - at : BBW_CONVERT_BLOCK;
    for (size_t i = 0; i < part; i++) { wide[i] = (double)from[at + i]; }
    bbw_store_f64(array, start + at, part, wide);
  }
}

void bbw_store_i64(bbw_array *array, size_t start, size_t n, const int64_t *from) {
  if (n == 0) { return; } /* an empty array has no data */
  switch (array->dtype) {
  case BBW_DTYPE_F32: EACH(float, PLAIN)
  case BBW_DTYPE_F64: EACH(double, PLAIN)
  case BBW_DTYPE_F16: EACH(uint16_t, F64_TO_F16)
  case BBW_DTYPE_BF16: EACH(uint16_t, F64_TO_BF16)
  case BBW_DTYPE_I8: EACH(int8_t, PLAIN)
  case BBW_DTYPE_I16: EACH(int16_t, PLAIN)
  case BBW_DTYPE_I32: EACH(int32_t, PLAIN)
  case BBW_DTYPE_I64:
  case BBW_DTYPE_U64: memcpy((int64_t *)array->data + start, from, n * sizeof *from); return;
  case BBW_DTYPE_U8: EACH(uint8_t, PLAIN)
  case BBW_DTYPE_BOOL: EACH(uint8_t, IS_TRUE)
  case BBW_DTYPE_U16: EACH(uint16_t, PLAIN)
  case BBW_DTYPE_U32: EACH(uint32_t, PLAIN)
  case BBW_DTYPE_NONE:
  case BBW_DTYPE_COUNT: break;
  }
}
