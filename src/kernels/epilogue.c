#include "kernels/epilogue.h"

#include "kernels/f32x4.h"

static float finish_one(const bbw_epilogue *e, float x, size_t i, size_t j) {
  if (e->row_bias != NULL) { x = x + e->row_bias[i]; }
  if (e->column_bias != NULL) { x = x + e->column_bias[j]; }
  if (e->residual != NULL) { x = x + e->residual[i * e->residual_stride + j]; }
  if (e->activation == BBW_ACTIVATION_RELU) { x = x < 0.0f ? 0.0f : x; }
  if (e->activation == BBW_ACTIVATION_CLIP) {
    x = x > e->high ? e->high : x;
    x = x < e->low ? e->low : x;
  }
  return x;
}

void bbw_epilogue_scalar(const bbw_epilogue *e, float *c, size_t stride, size_t row, size_t rows, size_t column,
                         size_t columns) {
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) { c[i * stride + j] = finish_one(e, c[i * stride + j], row + i, column + j); }
    if (e->activation == BBW_ACTIVATION_MAP) { e->map(c + i * stride, c + i * stride, columns); }
  }
}

/*
 * One loop for all: a missing row bias is -0, which no sum notices, and no activation is a clip at the infinities.  What needs a load of its own has a
 * loop of its own.
 */
void bbw_epilogue_simd128(const bbw_epilogue *e, float *c, size_t stride, size_t row, size_t rows, size_t column,
                          size_t columns) {
  if (bbw_epilogue_is_empty(e)) { return; }
  bool is_clip = e->activation == BBW_ACTIVATION_CLIP;
  bbw_f32x4 low = bbw_f32x4_splat(is_clip ? e->low : e->activation == BBW_ACTIVATION_RELU ? 0.0f : -INFINITY);
  bbw_f32x4 high = bbw_f32x4_splat(is_clip ? e->high : INFINITY);
  for (size_t i = 0; i < rows; i++) {
    float *out = c + i * stride;
    bbw_f32x4 row_bias = bbw_f32x4_splat(e->row_bias == NULL ? -0.0f : e->row_bias[row + i]);
    size_t j = 0;
    if (e->column_bias == NULL && e->residual == NULL) {
      for (; j + 4 <= columns; j += 4) {
        bbw_f32x4 x = bbw_f32x4_load(out + j) + row_bias;
        bbw_f32x4_store(out + j, bbw_f32x4_at_least(bbw_f32x4_at_most(x, high), low));
      }
    } else {
      const float *column_bias = e->column_bias == NULL ? NULL : e->column_bias + column;
      const float *residual = e->residual == NULL ? NULL : e->residual + (row + i) * e->residual_stride + column;
      for (; j + 4 <= columns; j += 4) {
        bbw_f32x4 x = bbw_f32x4_load(out + j) + row_bias;
        if (column_bias != NULL) { x = x + bbw_f32x4_load(column_bias + j); }
        if (residual != NULL) { x = x + bbw_f32x4_load(residual + j); }
        bbw_f32x4_store(out + j, bbw_f32x4_at_least(bbw_f32x4_at_most(x, high), low));
      }
    }
    for (; j < columns; j++) { out[j] = finish_one(e, out[j], row + i, column + j); }
    if (e->activation == BBW_ACTIVATION_MAP) { e->map(out, out, columns); }
  }
}
