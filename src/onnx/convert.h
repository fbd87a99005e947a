/*
 * convert: elements of any type as float, double or int64_t, a run at a time.
 *
 * Kernels that are not worth a version per element type compute on blocks of one wide type: load a block, compute, store it.  Loading is exact, except f64 to
 * f32 and large integers to a float type (rounded to nearest even).  Storing to an integer type drops the fraction; what is out of range saturates, NaN becomes
 * 0.  Storing to f16, bf16 or f32 rounds to nearest even; to bool: anything but zero (NaN too) is 1.  Integers stored to narrower integers wrap.
 */
#ifndef BBW_ONNX_CONVERT_H
#define BBW_ONNX_CONVERT_H

#include "bbw/array.h"

/* Elements per block, a compromise between calls and stack. */
#define BBW_CONVERT_BLOCK 256u

bool bbw_dtype_is_float(bbw_dtype dtype);    /* F32, F64, F16, BF16 */
bool bbw_dtype_is_integer(bbw_dtype dtype);  /* signed and unsigned, not BOOL */
bool bbw_dtype_is_unsigned(bbw_dtype dtype); /* U8 to U64 and BOOL */

float bbw_f16_to_f32(uint16_t bits);
uint16_t bbw_f32_to_f16(float x);
float bbw_bf16_to_f32(uint16_t bits);
uint16_t bbw_f32_to_bf16(float x);

/* Elements [start, start + n) of the array, which has data. */
void bbw_load_f32(const bbw_array *array, size_t start, size_t n, float *out);
void bbw_load_f64(const bbw_array *array, size_t start, size_t n, double *out);
void bbw_load_i64(const bbw_array *array, size_t start, size_t n, int64_t *out); /* U64 keeps its bits */
void bbw_store_f32(bbw_array *array, size_t start, size_t n, const float *from);
void bbw_store_f64(bbw_array *array, size_t start, size_t n, const double *from);
void bbw_store_i64(bbw_array *array, size_t start, size_t n, const int64_t *from);

#endif
