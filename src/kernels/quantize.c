#include "kernels/quantize.h"

#include "kernels/math_f32.h"

/* Past these every byte is saturated, whatever its zero point; below 2^22 a sum with BBW_ROUNDER rounds halves to even. */
#define FAR 1024.0f

typedef struct byte_range {
  int32_t zero, low, high;
} byte_range;

static int32_t byte_of(const bbw_quantization *q, uint8_t byte) { return q->is_signed ? (int8_t)byte : byte; }

static byte_range range_of(const bbw_quantization *q, size_t channel) {
  int32_t zero = q->zero == NULL ? 0 : byte_of(q, q->zero[channel]);
  return (byte_range){zero, q->is_signed ? -128 : 0, q->is_signed ? 127 : 255};
}

static uint8_t round_one(float x, byte_range r) {
  x = x != x ? 0.0f : x;
  x = x > FAR ? FAR : x;
  x = x < -FAR ? -FAR : x;
  int32_t y = (int32_t)(bbw_f32_bits(x + BBW_ROUNDER) - BBW_ROUNDER_BITS) + r.zero;
  y = y > r.high ? r.high : y;
  y = y < r.low ? r.low : y;
  return (uint8_t)y;
}

static void round_four(bbw_f32x4 x, byte_range r, uint8_t *out) {
  bbw_f32x4 far = bbw_f32x4_splat(FAR);
  x = bbw_f32x4_select(x != x, bbw_f32x4_splat(0.0f), x);
  x = bbw_f32x4_select(x > far, far, x);
  x = bbw_f32x4_select(x < -far, -far, x);
  bbw_u32x4 bits = bbw_f32x4_bits(x + bbw_f32x4_splat(BBW_ROUNDER)) -
                   bbw_u32x4_splat(BBW_ROUNDER_BITS - (uint32_t)r.zero);
  for (int lane = 0; lane < 4; lane++) {
    int32_t y = (int32_t)bits[lane];
    y = y > r.high ? r.high : y;
    out[lane] = (uint8_t)(y < r.low ? r.low : y);
  }
}

static void quantize(const bbw_quantization *q, const float *x, uint8_t *out, bool is_simd) {
  for (size_t run = 0; run < q->outer * q->channels; run++, x += q->inner, out += q->inner) {
    size_t channel = run % q->channels, i = 0;
    byte_range range = range_of(q, channel);
    float scale = q->scale[channel];
    for (; is_simd && i + 4 <= q->inner; i += 4) {
      round_four(bbw_f32x4_load(x + i) / bbw_f32x4_splat(scale), range, out + i);
    }
    for (; i < q->inner; i++) { out[i] = round_one(x[i] / scale, range); }
  }
}

void bbw_quantize_f32_scalar(const bbw_quantization *q, const float *x, uint8_t *out) { quantize(q, x, out, false); }
void bbw_quantize_f32_simd128(const bbw_quantization *q, const float *x, uint8_t *out) { quantize(q, x, out, true); }

static float sum_of(int32_t x, int32_t bias) { return (float)(int32_t)((uint32_t)x + (uint32_t)bias); }

static void requantize(const bbw_quantization *q, const int32_t *x, const int32_t *bias, uint8_t *out, bool is_simd) {
  for (size_t run = 0; run < q->outer * q->channels; run++, x += q->inner, out += q->inner) {
    size_t channel = run % q->channels, i = 0;
    byte_range range = range_of(q, channel);
    float scale = q->scale[channel];
    int32_t add = bias == NULL ? 0 : bias[channel];
    for (; is_simd && i + 4 <= q->inner; i += 4) {
      bbw_f32x4 sums = {sum_of(x[i], add), sum_of(x[i + 1], add), sum_of(x[i + 2], add), sum_of(x[i + 3], add)};
      round_four(sums * bbw_f32x4_splat(scale), range, out + i);
    }
    for (; i < q->inner; i++) { out[i] = round_one(sum_of(x[i], add) * scale, range); }
  }
}

void bbw_requantize_i32_scalar(const bbw_quantization *q, const int32_t *x, const int32_t *bias, uint8_t *out) {
  requantize(q, x, bias, out, false);
}
void bbw_requantize_i32_simd128(const bbw_quantization *q, const int32_t *x, const int32_t *bias, uint8_t *out) {
  requantize(q, x, bias, out, true);
}

void bbw_dequantize_f32_scalar(const bbw_quantization *q, const uint8_t *x, float *out) {
  for (size_t run = 0; run < q->outer * q->channels; run++, x += q->inner, out += q->inner) {
    int32_t zero = range_of(q, run % q->channels).zero;
    float scale = q->scale[run % q->channels];
    for (size_t i = 0; i < q->inner; i++) { out[i] = (float)(byte_of(q, x[i]) - zero) * scale; }
  }
}

/* Plain loops of one type, which compilers make vectors of by themselves. */
void bbw_dequantize_f32_simd128(const bbw_quantization *q, const uint8_t *x, float *out) {
  for (size_t run = 0; run < q->outer * q->channels; run++, x += q->inner, out += q->inner) {
    int32_t zero = range_of(q, run % q->channels).zero;
    float scale = q->scale[run % q->channels];
    if (q->is_signed) {
      for (size_t i = 0; i < q->inner; i++) { out[i] = (float)((int32_t)(int8_t)x[i] - zero) * scale; }
    } else {
      for (size_t i = 0; i < q->inner; i++) { out[i] = (float)((int32_t)x[i] - zero) * scale; }
    }
  }
}

void bbw_dequantize_i32(const bbw_quantization *q, const int32_t *x, const int32_t *zero, float *out) {
  for (size_t run = 0; run < q->outer * q->channels; run++, x += q->inner, out += q->inner) {
    uint32_t off = zero == NULL ? 0 : (uint32_t)zero[run % q->channels];
    float scale = q->scale[run % q->channels];
    for (size_t i = 0; i < q->inner; i++) { out[i] = (float)(int32_t)((uint32_t)x[i] - off) * scale; }
  }
}

void bbw_dynamic_range_f32(const float *x, size_t n, float *scale, uint8_t *zero) {
  float low = 0.0f, high = 0.0f;
  bbw_f32x4 lows = bbw_f32x4_splat(0.0f), highs = lows;
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    bbw_f32x4 v = bbw_f32x4_load(x + i);
    lows = bbw_f32x4_select(v < lows, v, lows);
    highs = bbw_f32x4_select(v > highs, v, highs);
  }
  for (int lane = 0; lane < 4; lane++) {
    low = lows[lane] < low ? lows[lane] : low;
    high = highs[lane] > high ? highs[lane] : high;
  }
  for (; i < n; i++) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  float step = (high - low) / 255.0f;
  *scale = step == 0.0f ? 1.0f : step;
  *zero = round_one(-low / *scale, (byte_range){0, 0, 255});
}
