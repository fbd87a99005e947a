/* One result per pair of elements, with NumPy's broadcasting. */
#include <math.h>

#include "kernels/broadcast.h"
#include "onnx/convert.h"
#include "onnx/ops.h"

#define F64(name, expression)                                                       \
  static void name##_f64(const double *a, const double *b, double *out, size_t n) { \
    for (size_t i = 0; i < n; i++) {                                                \
      double x = a[i], y = b[i];                                                    \
      out[i] = (double)(expression);                                                \
    }                                                                               \
  }
/* Whole numbers wrap: sums and products are made of unsigned ones. */
#define I64(name, expression)                                                                            \
  static void name##_i64(const int64_t *a, const int64_t *b, int64_t *out, size_t n, bool is_unsigned) { \
    (void)is_unsigned;                                                                                   \
    for (size_t i = 0; i < n; i++) {                                                                     \
      uint64_t x = (uint64_t)a[i], y = (uint64_t)b[i];                                                   \
      out[i] = (int64_t)(expression);                                                                    \
    }                                                                                                    \
  }

/* Towards zero, as ONNX says.  By zero: 0, where hardware would trap. */
static uint64_t divide(uint64_t x, uint64_t y, bool is_unsigned) {
  if (y == 0) { return 0; }
  if (is_unsigned) { return x / y; }
  if ((int64_t)y == -1) { return 0u - x; }
  return (uint64_t)((int64_t)x / (int64_t)y);
}
static bool is_less(uint64_t x, uint64_t y, bool is_unsigned) { return is_unsigned ? x < y : (int64_t)x < (int64_t)y; }

F64(add, x + y)
I64(add, x + y)
F64(sub, x - y)
I64(sub, x - y)
F64(mul, x *y)
I64(mul, x *y)
F64(div, x / y)
I64(div, divide(x, y, is_unsigned))
F64(equal, x == y)
I64(equal, x == y)
F64(greater, x > y)
I64(greater, is_less(y, x, is_unsigned))
F64(greater_or_equal, x >= y)
I64(greater_or_equal, !is_less(x, y, is_unsigned))
F64(less, x < y)
I64(less, is_less(x, y, is_unsigned))
F64(less_or_equal, x <= y)
I64(less_or_equal, !is_less(y, x, is_unsigned))

const bbw_binary bbw_binary_add = {.f32 = bbw_add_f32_simd128, .f64 = add_f64, .i64 = add_i64};
const bbw_binary bbw_binary_sub = {.f32 = bbw_sub_f32_simd128, .f64 = sub_f64, .i64 = sub_i64};
const bbw_binary bbw_binary_mul = {.f32 = bbw_mul_f32_simd128, .f64 = mul_f64, .i64 = mul_i64};
const bbw_binary bbw_binary_div = {.f32 = bbw_div_f32_simd128, .f64 = div_f64, .i64 = div_i64};
const bbw_binary bbw_binary_equal = {.f64 = equal_f64, .i64 = equal_i64, .gives_bool = true, .takes_bool = true};
const bbw_binary bbw_binary_greater = {.f64 = greater_f64, .i64 = greater_i64, .gives_bool = true};
const bbw_binary bbw_binary_greater_or_equal = {
    .f64 = greater_or_equal_f64, .i64 = greater_or_equal_i64, .gives_bool = true};
const bbw_binary bbw_binary_less = {.f64 = less_f64, .i64 = less_i64, .gives_bool = true};
const bbw_binary bbw_binary_less_or_equal = {.f64 = less_or_equal_f64, .i64 = less_or_equal_i64, .gives_bool = true};

/* The broadcast of inputs 0 and 1 as the plan of the call, and its shape for output 0. */
static bbw_status plan_broadcast(bbw_call *call, bbw_dtype dtype) {
  const bbw_array *x = call->inputs[0], *y = call->inputs[1];
  uint64_t x_dims[BBW_ARRAY_RANK_MAX], y_dims[BBW_ARRAY_RANK_MAX];
  size_t dims[BBW_ARRAY_RANK_MAX];
  for (uint32_t d = 0; d < x->rank; d++) { x_dims[d] = x->dims[d]; }
  for (uint32_t d = 0; d < y->rank; d++) { y_dims[d] = y->dims[d]; }
  bbw_broadcast *plan = bbw_call_plan(call, sizeof *plan);
  if (plan == NULL) { return BBW_E_NOMEM; }
  if (!bbw_broadcast_plan(plan, x_dims, x->rank, y_dims, y->rank)) {
    return bbw_call_refuse(call, -1, "the shapes of the inputs do not fit together");
  }
  for (uint32_t d = 0; d < plan->rank; d++) { dims[d] = (size_t)plan->dims[d]; }
  return bbw_call_output(call, 0, dtype, plan->rank, dims);
}

bbw_status bbw_binary_infer(bbw_call *call) {
  const bbw_binary *row = call->op->ctx;
  bbw_dtype dtype = call->inputs[0]->dtype;
  if (call->inputs[1]->dtype != dtype) { return bbw_call_refuse(call, 1, "inputs have different element types"); }
  bool is_computed = bbw_dtype_is_float(dtype) ? row->f64 != NULL
                     : dtype == BBW_DTYPE_BOOL ? row->takes_bool
                                               : row->i64 != NULL;
  if (!is_computed) { return bbw_call_refuse_type(call, 0); }
  return plan_broadcast(call, row->gives_bool ? BBW_DTYPE_BOOL : dtype);
}

/* Elements of an input along one run: step 0 repeats one element. */
static void load_f64(const bbw_array *array, size_t at, size_t step, size_t n, double *out) {
  bbw_load_f64(array, at, step != 0 ? n : 1, out);
  for (size_t i = 1; step == 0 && i < n; i++) { out[i] = out[0]; }
}
static void load_i64(const bbw_array *array, size_t at, size_t step, size_t n, int64_t *out) {
  bbw_load_i64(array, at, step != 0 ? n : 1, out);
  for (size_t i = 1; step == 0 && i < n; i++) { out[i] = out[0]; }
}

static void run_block(const bbw_binary *row, const bbw_array *x, size_t x_at, size_t x_step, const bbw_array *y,
                      size_t y_at, size_t y_step, bbw_array *out, size_t at, size_t n) {
  if (bbw_dtype_is_float(x->dtype)) {
    double a[BBW_CONVERT_BLOCK], b[BBW_CONVERT_BLOCK];
    load_f64(x, x_at, x_step, n, a);
    load_f64(y, y_at, y_step, n, b);
    row->f64(a, b, a, n);
    bbw_store_f64(out, at, n, a);
  } else {
    int64_t a[BBW_CONVERT_BLOCK], b[BBW_CONVERT_BLOCK];
    load_i64(x, x_at, x_step, n, a);
    load_i64(y, y_at, y_step, n, b);
    row->i64(a, b, a, n, bbw_dtype_is_unsigned(x->dtype));
    bbw_store_i64(out, at, n, a);
  }
}

/* Along the joined axes of the plan, a block at a time. */
static void run_wide(const bbw_binary *row, const bbw_broadcast *plan, const bbw_array *x, const bbw_array *y,
                     bbw_array *out) {
  uint32_t inner = plan->axes > 0 ? plan->axes - 1 : 0;
  size_t length = plan->axes > 0 ? plan->size[inner] : 1;
  size_t index[BBW_TENSOR_RANK_MAX] = {0};
  size_t x_at = 0, y_at = 0;
  for (size_t done = 0; done < plan->count; done += length) {
    for (size_t i = 0; i < length; i += BBW_CONVERT_BLOCK) {
      size_t n = length - i < BBW_CONVERT_BLOCK ? length - i : BBW_CONVERT_BLOCK;
      size_t x_step = plan->axes > 0 ? plan->x_step[inner] : 0, y_step = plan->axes > 0 ? plan->y_step[inner] : 0;
      run_block(row, x, x_at + i * x_step, x_step, y, y_at + i * y_step, y_step, out, done + i, n);
    }
    for (uint32_t d = inner; d-- > 0;) {
      x_at += plan->x_step[d];
      y_at += plan->y_step[d];
      if (++index[d] < plan->size[d]) { break; }
      x_at -= plan->x_step[d] * plan->size[d];
      y_at -= plan->y_step[d] * plan->size[d];
      index[d] = 0;
    }
  }
}

bbw_status bbw_binary_run(bbw_call *call) {
  const bbw_binary *row = call->op->ctx;
  const bbw_array *x = call->inputs[0], *y = call->inputs[1];
  if (x->dtype == BBW_DTYPE_F32 && row->f32 != NULL) {
    bbw_broadcast_run(call->plan, row->f32, x->data, y->data, call->outputs[0]->data);
  } else {
    run_wide(row, call->plan, x, y, call->outputs[0]);
  }
  return BBW_OK;
}
