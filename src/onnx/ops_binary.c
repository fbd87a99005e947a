/* One result per pair of elements, with NumPy's broadcasting. */
#include <math.h>

#include "kernels/broadcast.h"
#include "kernels/math_f32.h"
#include "kernels/math_f64.h"
#include "onnx/convert.h"
#include "onnx/ops.h"

#define F32(name, expression)                                                    \
  static void name##_f32(const float *a, const float *b, float *out, size_t n) { \
    for (size_t i = 0; i < n; i++) {                                             \
      float x = a[i], y = b[i];                                                  \
      out[i] = (expression);                                                     \
    }                                                                            \
  }
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

/* ---- extremes: NaN when one of the two is ---- */

#define LARGER(x, y)  ((x) > (y) || (x) != (x) ? (x) : (y))
#define SMALLER(x, y) ((x) < (y) || (x) != (x) ? (x) : (y))
F64(max, LARGER(x, y))
I64(max, is_less(x, y, is_unsigned) ? y : x)
F64(min, SMALLER(x, y))
I64(min, is_less(x, y, is_unsigned) ? x : y)
const bbw_binary bbw_binary_max = {.f32 = bbw_max_f32_simd128, .f64 = max_f64, .i64 = max_i64};
const bbw_binary bbw_binary_min = {.f32 = bbw_min_f32_simd128, .f64 = min_f64, .i64 = min_i64};

/* ---- truth values and bits ---- */

I64(and, x &y)
I64(or, x | y)
I64(xor, x ^ y)
const bbw_binary bbw_binary_and = {.i64 = and_i64, .takes_bool = true, .refuses_integers = true};
const bbw_binary bbw_binary_or = {.i64 = or_i64, .takes_bool = true, .refuses_integers = true};
const bbw_binary bbw_binary_xor = {.i64 = xor_i64, .takes_bool = true, .refuses_integers = true};
const bbw_binary bbw_binary_bitwise_and = {.i64 = and_i64};
const bbw_binary bbw_binary_bitwise_or = {.i64 = or_i64};
const bbw_binary bbw_binary_bitwise_xor = {.i64 = xor_i64};

/* Storing drops the bits that a narrower type has no place for. */
I64(shift_left, y < 64 ? x << y : 0)
I64(shift_right, y < 64 ? x >> y : 0)
const bbw_binary bbw_binary_shift[2] = {{.i64 = shift_left_i64, .refuses_signed = true},
                                        {.i64 = shift_right_i64, .refuses_signed = true}};

/* ---- remainders: [0] with the sign of the divisor, whole numbers only; [1] with the sign of the dividend, as fmod of C ---- */

static uint64_t remainder_of(uint64_t x, uint64_t y, bool is_unsigned) {
  if (y == 0) { return 0; }
  if (is_unsigned) { return x % y; }
  return (int64_t)y == -1 ? 0 : (uint64_t)((int64_t)x % (int64_t)y);
}
static uint64_t modulo(uint64_t x, uint64_t y, bool is_unsigned) {
  uint64_t rest = remainder_of(x, y, is_unsigned);
  return !is_unsigned && rest != 0 && ((int64_t)rest < 0) != ((int64_t)y < 0) ? rest + y : rest;
}
I64(modulo, modulo(x, y, is_unsigned))
F64(fmod, fmod(x, y))
I64(fmod, remainder_of(x, y, is_unsigned))
const bbw_binary bbw_binary_mod[2] = {{.i64 = modulo_i64}, {.f64 = fmod_f64, .i64 = fmod_i64}};

/* ---- powers ---- */

/* is_unsigned is about the exponent.  A negative power of a whole number other than 1 and -1 is 0. */
static uint64_t whole_power(uint64_t x, uint64_t y, bool is_unsigned) {
  if (!is_unsigned && (int64_t)y < 0) { return x == 1 ? 1 : (int64_t)x == -1 ? ((y & 1u) != 0 ? x : 1) : 0; }
  uint64_t result = 1;
  for (; y != 0; y >>= 1) {
    if ((y & 1u) != 0) { result *= x; }
    x *= x;
  }
  return result;
}
F64(pow, bbw_pow_f64(x, y))
I64(pow, whole_power(x, y, is_unsigned))
const bbw_binary bbw_binary_pow = {.f32 = bbw_pow_f32_simd128, .f64 = pow_f64, .i64 = pow_i64, .mixes_types = true};

F32(prelu, x < 0.0f ? x * y : x)
F64(prelu, x < 0.0 ? x * y : x)
I64(prelu, !is_unsigned && (int64_t)x < 0 ? x * y : x)
const bbw_binary bbw_binary_prelu = {.f32 = prelu_f32, .f64 = prelu_f64, .i64 = prelu_i64};

/* Gradients: x is the result of the forward operator, y the gradient of that result. */
F64(relu_gradient, x > 0.0 ? y : 0.0)
F64(sigmoid_gradient, y *(x *(1.0 - x)))
F64(tanh_gradient, y *(1.0 - x * x))
const bbw_binary bbw_binary_relu_gradient = {.f32 = bbw_relu_gradient_f32_simd128, .f64 = relu_gradient_f64};
const bbw_binary bbw_binary_sigmoid_gradient = {.f32 = bbw_sigmoid_gradient_f32_simd128, .f64 = sigmoid_gradient_f64};
const bbw_binary bbw_binary_tanh_gradient = {.f32 = bbw_tanh_gradient_f32_simd128, .f64 = tanh_gradient_f64};

F64(gelu_erf_gradient,
    y *(0.5 * (1.0 + bbw_erf_f64(x * 0.70710678118654752440)) + x * 0.39894228040143267794 * bbw_exp_f64(-0.5 * x * x)))
const bbw_binary bbw_binary_gelu_erf_gradient = {.f32 = bbw_gelu_erf_gradient_f32_simd128,
                                                 .f64 = gelu_erf_gradient_f64};

/* ---- rows that an attribute chooses ---- */

typedef struct binary_params {
  const bbw_binary *row;
} binary_params;

static const bbw_binary *row_of(const bbw_call *call) {
  const binary_params *params = call->params;
  return params != NULL ? params->row : call->op->ctx;
}

static bbw_status choose(bbw_prep *prep, size_t which) {
  binary_params *params = bbw_prep_params(prep, sizeof *params);
  if (params == NULL) { return BBW_E_NOMEM; }
  params->row = (const bbw_binary *)prep->op->ctx + which;
  return BBW_OK;
}

bbw_status bbw_mod_prepare(bbw_prep *prep) {
  bool is_fmod;
  BBW_TRY(bbw_prep_bool(prep, "fmod", false, &is_fmod));
  return choose(prep, is_fmod ? 1 : 0);
}

bbw_status bbw_shift_prepare(bbw_prep *prep) {
  static const char *const names[] = {"LEFT", "RIGHT", NULL};
  uint32_t which;
  if (!bbw_prep_has(prep, "direction")) { return bbw_prep_refuse(prep, "direction", "attribute is missing"); }
  BBW_TRY(bbw_prep_choice(prep, "direction", names, 0, &which));
  return choose(prep, which);
}

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
  const bbw_binary *row = row_of(call);
  bbw_dtype dtype = call->inputs[0]->dtype;
  if (call->inputs[1]->dtype != dtype && !row->mixes_types) {
    return bbw_call_refuse(call, 1, "inputs have different element types");
  }
  for (uint32_t i = 0; i < 2; i++) {
    if (!bbw_binary_takes(row, call->inputs[i]->dtype)) { return bbw_call_refuse_type(call, i); }
  }
  return plan_broadcast(call, row->gives_bool ? BBW_DTYPE_BOOL : dtype);
}

bool bbw_binary_takes(const bbw_binary *row, bbw_dtype dtype) {
  if (bbw_dtype_is_float(dtype)) { return row->f64 != NULL; }
  if (dtype == BBW_DTYPE_BOOL) { return row->takes_bool; }
  return row->i64 != NULL && !row->refuses_integers && !(row->refuses_signed && !bbw_dtype_is_unsigned(dtype));
}

/* The slopes may be repeated, the input may not. */
bbw_status bbw_prelu_infer(bbw_call *call) {
  BBW_TRY(bbw_binary_infer(call));
  const bbw_broadcast *plan = call->plan;
  const bbw_array *x = call->inputs[0];
  bool fits = plan->rank == x->rank;
  for (uint32_t d = 0; fits && d < x->rank; d++) { fits = plan->dims[d] == x->dims[d]; }
  return fits ? BBW_OK : bbw_call_refuse(call, 1, "the slopes do not fit the input");
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
  if (bbw_dtype_is_float(x->dtype) || bbw_dtype_is_float(y->dtype)) {
    double a[BBW_CONVERT_BLOCK], b[BBW_CONVERT_BLOCK];
    load_f64(x, x_at, x_step, n, a);
    load_f64(y, y_at, y_step, n, b);
    row->f64(a, b, a, n);
    bbw_store_f64(out, at, n, a);
  } else {
    int64_t a[BBW_CONVERT_BLOCK], b[BBW_CONVERT_BLOCK];
    load_i64(x, x_at, x_step, n, a);
    load_i64(y, y_at, y_step, n, b);
    row->i64(a, b, a, n, bbw_dtype_is_unsigned(y->dtype));
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

void bbw_binary_apply(const bbw_binary *row, const bbw_broadcast *plan, const bbw_array *x, const bbw_array *y,
                      bbw_array *out) {
  if (x->dtype == BBW_DTYPE_F32 && y->dtype == BBW_DTYPE_F32 && row->f32 != NULL) {
    bbw_broadcast_run(plan, row->f32, x->data, y->data, out->data);
  } else {
    run_wide(row, plan, x, y, out);
  }
}

bbw_status bbw_binary_run(bbw_call *call) {
  bbw_binary_apply(row_of(call), call->plan, call->inputs[0], call->inputs[1], call->outputs[0]);
  return BBW_OK;
}
