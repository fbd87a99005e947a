/* The CPU backend: every operator in the reference's and in ONNX's dialect, what it refuses, and whole graphs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "component_call.h"
#include "components/cpu_backend.h"
#include "components/cpu_ops.h"
#include "kernel_data.h"

#define N6  1, 2, 3, 4, 5, 6
#define INF INFINITY

/* An input or a result: dims as text, or NULL for none. */
typedef struct array {
  const char *dims;
  float data[16];
} array;

/* One attribute: kind 'i', 'f', 'I' (ints) or 0. */
typedef struct attr {
  char kind;
  const char *name;
  int64_t ints[4];
  size_t count;
  float number;
} attr;
#define INT(n, v) \
  { 'i', n, {v}, 1, 0 }
#define INTS(n, c, ...) \
  { 'I', n, {__VA_ARGS__}, c, 0 }
#define FLOAT(n, v) \
  { 'f', n, {0}, 0, v }

static const struct {
  const char *op_type;
  array in[3];
  attr attrs[4];
  array out[3]; /* no dims: refused */
} CASES[] = {
    {"Add", {{"2 3", {N6}}, {"2 3", {N6}}}, {{0}}, {{"2 3", {2, 4, 6, 8, 10, 12}}}},
    {"Add", {{"2 3", {N6}}, {"3", {10, 20, 30}}}, {{0}}, {{"2 3", {11, 22, 33, 14, 25, 36}}}},
    {"Sub", {{"2 1", {1, 2}}, {"1 3", {1, 2, 3}}}, {{0}}, {{"2 3", {0, -1, -2, 1, 0, -1}}}},
    {"Mul", {{"", {3}}, {"2", {1, -2}}}, {{0}}, {{"2", {3, -6}}}},
    {"Div", {{"2", {1, 0}}, {"1", {0}}}, {{0}}, {{"2", {INF, NAN}}}},
    {"Pow", {{"3", {2, -3, 4}}, {"3", {10, 3, 0.5f}}}, {{0}}, {{"3", {1024, -27, 2}}}},
    {"Add", {{"2", {1, 2}}, {"3", {1, 2, 3}}}, {{0}}, {{NULL, {0}}}},
    {"Add", {{"0 3", {0}}, {"3", {1, 2, 3}}}, {{0}}, {{"0 3", {0}}}},
    {"Add", {{"2", {1, 2}}}, {{0}}, {{NULL, {0}}}},
    {"Equal", {{"3", {1, 2, NAN}}, {"3", {1, 3, NAN}}}, {{0}}, {{"3", {1, 0, 0}}}},
    {"Greater", {{"3", {1, 2, NAN}}, {"", {1}}}, {{0}}, {{"3", {0, 1, 0}}}},
    {"Less", {{"3", {0, 2, NAN}}, {"1", {1}}}, {{0}}, {{"3", {1, 0, 0}}}},
    {"Neg", {{"2", {1, -2}}}, {{0}}, {{"2", {-1, 2}}}},
    {"Abs", {{"2", {1, -2}}}, {{0}}, {{"2", {1, 2}}}},
    {"Sqrt", {{"2", {9, 2}}}, {{0}}, {{"2", {3, 1.41421356f}}}},
    {"Exp", {{"3", {0, 1, -INF}}}, {{0}}, {{"3", {1, 2.71828183f, 0}}}},
    {"Log", {{"3", {1, 0, 10}}}, {{0}}, {{"3", {0, -INF, 2.30258509f}}}},
    {"Relu", {{"3", {-1, 2, NAN}}}, {{0}}, {{"3", {0, 2, NAN}}}},
    {"Sigmoid", {{"2", {0, 100}}}, {{0}}, {{"2", {0.5f, 1}}}},
    {"Tanh", {{"2", {0, -50}}}, {{0}}, {{"2", {0, -1}}}},
    {"Gelu", {{"2", {0, 3}}}, {{0}}, {{"2", {0, 2.99636268f}}}},
    {"Reciprocal", {{"2", {4, -0.5f}}}, {{0}}, {{"2", {0.25f, -2}}}},
    {"LeakyRelu", {{"2", {-1, 2}}}, {{0}}, {{"2", {-0.01f, 2}}}},
    {"LeakyRelu", {{"2", {-1, 2}}}, {FLOAT("alpha", 0.5f)}, {{"2", {-0.5f, 2}}}},
    {"Softmax", {{"2 2", {0, 0, 1000, 1000}}}, {{0}}, {{"2 2", {0.5f, 0.5f, 0.5f, 0.5f}}}},
    {"Softmax", {{"2 2", {0, 7, 0, 7}}}, {INT("axis", 0)}, {{"2 2", {0.5f, 0.5f, 0.5f, 0.5f}}}},
    {"Softmax", {{"2", {0, 7}}}, {INT("axis", 1)}, {{NULL, {0}}}},
    {"Softmax", {{"", {0}}}, {{0}}, {{NULL, {0}}}},
    {"LogSoftmax", {{"2", {3, 3}}}, {{0}}, {{"2", {-0.693147181f, -0.693147181f}}}},
    {"Where", {{"2", {1, 0}}, {"2 1", {5, 6}}, {"", {9}}}, {{0}}, {{"2 2", {5, 9, 6, 9}}}},
    {"MatMul", {{"2 3", {N6}}, {"3 2", {N6}}}, {{0}}, {{"2 2", {22, 28, 49, 64}}}},
    {"MatMul", {{"3", {1, 2, 3}}, {"3 2", {N6}}}, {{0}}, {{"2", {22, 28}}}},
    {"MatMul", {{"2 3", {N6}}, {"3", {1, 1, 1}}}, {{0}}, {{"2", {6, 15}}}},
    {"MatMul", {{"3", {1, 2, 3}}, {"3", {1, 2, 3}}}, {{0}}, {{"", {14}}}},
    {"MatMul", {{"2 1 2", {1, 2, 3, 4}}, {"2 1", {1, 10}}}, {{0}}, {{"2 1 1", {21, 43}}}},
    {"MatMul", {{"1 2", {1, 10}}, {"2 2 1", {1, 2, 3, 4}}}, {{0}}, {{"2 1 1", {21, 43}}}},
    {"MatMul", {{"2 3", {N6}}, {"2 3", {N6}}}, {{0}}, {{NULL, {0}}}},
    {"MatMul", {{"2 0", {0}}, {"0 2", {0}}}, {{0}}, {{"2 2", {0, 0, 0, 0}}}},
    {"Dot", {{"2 3", {N6}}, {"2 3", {N6}}}, {{0}}, {{"2", {14, 77}}}},
    {"Dot", {{"", {1}}, {"", {1}}}, {{0}}, {{NULL, {0}}}},
    {"Gemm", {{"2 3", {N6}}, {"3 2", {N6}}}, {{0}}, {{"2 2", {22, 28, 49, 64}}}},
    {"Gemm", {{"2 3", {N6}}, {"2 3", {N6}}, {"2", {1, 2}}}, {INT("transB", 1)}, {{"2 2", {15, 34, 33, 79}}}},
    {"Gemm",
     {{"3 2", {N6}}, {"2 3", {N6}}, {"2 1", {1, 2}}},
     {INT("transA", 1), INT("transB", 1)},
     {{"2 2", {23, 50, 30, 66}}}},
    {"Gemm",
     {{"2 3", {N6}}, {"3 2", {N6}}, {"", {1}}},
     {FLOAT("alpha", 0.5f), FLOAT("beta", 2)},
     {{"2 2", {13, 16, 26.5f, 34}}}},
    {"Gemm", {{"2 3", {N6}}, {"3 2", {N6}}, {"3", {1, 2, 3}}}, {{0}}, {{NULL, {0}}}},
    {"Gemm", {{"2 3", {N6}}, {"2 3", {N6}}}, {{0}}, {{NULL, {0}}}},
    {"Gemm", {{"6", {N6}}, {"3 2", {N6}}}, {{0}}, {{NULL, {0}}}},
    {"ReduceSum", {{"2 3", {N6}}}, {INT("keepdims", 0)}, {{"", {21}}}},
    {"ReduceSum", {{"2 3", {N6}}}, {{0}}, {{"1 1", {21}}}},
    {"ReduceSum", {{"2 3", {N6}}}, {INTS("axes", 1, 0), INT("keepdims", 0)}, {{"3", {5, 7, 9}}}},
    {"ReduceSum", {{"2 3", {N6}}, {"1", {-1}}}, {{0}}, {{"2 1", {6, 15}}}},
    {"ReduceMean", {{"2 3", {N6}}}, {INTS("axes", 1, 1), INT("keepdims", 0)}, {{"2", {2, 5}}}},
    {"ReduceMean", {{"1 2 3", {N6}}}, {INTS("axes", 2, 0, 2), INT("keepdims", 0)}, {{"2", {2, 5}}}},
    {"ReduceMax", {{"2 3", {1, 5, 3, 4, NAN, 6}}}, {INTS("axes", 1, 1), INT("keepdims", 0)}, {{"2", {5, NAN}}}},
    {"ReduceMin", {{"2 3", {N6}}}, {INT("keepdims", 0)}, {{"", {1}}}},
    {"ReduceMin", {{"", {4}}}, {{0}}, {{"", {4}}}},
    {"ReduceMax", {{"0 3", {0}}}, {{0}}, {{NULL, {0}}}},
    {"ReduceSum", {{"2 3", {N6}}}, {INTS("axes", 1, 2)}, {{NULL, {0}}}},
    {"ArgMax", {{"2 3", {1, 5, 3, 9, 2, 6}}}, {INT("axis", 1), INT("keepdims", 0)}, {{"2", {1, 0}}}},
    {"GlobalAveragePool", {{"1 2 3", {N6}}}, {{0}}, {{"1 2 1", {2, 5}}}},
    {"GlobalAveragePool", {{"1 1 2 3", {N6}}}, {{0}}, {{"1 1 1 1", {3.5f}}}},
    {"GlobalAveragePool", {{"2 3", {N6}}}, {{0}}, {{NULL, {0}}}},
    {"GlobalAveragePool", {{"1 2 0", {0}}}, {{0}}, {{NULL, {0}}}},
    {"Identity", {{"2", {1, 2}}}, {{0}}, {{"2", {1, 2}}}},
    {"Dropout", {{"2", {1, 2}}}, {{0}}, {{"2", {1, 2}}}},
    {"Cast", {{"2", {1.5f, 2}}}, {INT("to", 7)}, {{"2", {1.5f, 2}}}},
    {"Cast", {{"2", {1.5f, 2}}}, {{0}}, {{NULL, {0}}}},
    {"Zeros", {{0}}, {INTS("dims", 2, 2, 1)}, {{"2 1", {0, 0}}}},
    {"Ones", {{0}}, {INTS("dims", 1, 2)}, {{"2", {1, 1}}}},
    {"Ones", {{0}}, {INTS("dims", 2, -5, 3)}, {{"0 3", {0}}}},
    {"Ones", {{0}}, {{0}}, {{NULL, {0}}}},
    {"Zeros", {{0}}, {INTS("dims", 2, 1LL << 40, 1LL << 40)}, {{NULL, {0}}}},
    {"Zeros", {{0}}, {INTS("dims", 2, 1 << 20, 1 << 20)}, {{NULL, {0}}}},
    {"Constant", {{0}}, {{0}}, {{NULL, {0}}}},
    {"Reshape", {{"2 3", {N6}}}, {INTS("dims", 2, 3, -1)}, {{"3 2", {N6}}}},
    {"Reshape", {{"2 3", {N6}}}, {INTS("shape", 2, 0, -1)}, {{"2 3", {N6}}}},
    {"Reshape", {{"2 3", {N6}}, {"1", {-1}}}, {{0}}, {{"6", {N6}}}},
    {"Reshape", {{"2 3", {N6}}, {"1", {0.5f}}}, {{0}}, {{NULL, {0}}}},
    {"Reshape", {{"2 0", {0}}}, {INTS("dims", 2, 0, 7)}, {{"0 7", {0}}}},
    {"Reshape", {{"2 3", {N6}}}, {INTS("dims", 2, 0, -1)}, {{NULL, {0}}}},
    {"Reshape", {{"2 3", {N6}}}, {INTS("dims", 2, -1, -1)}, {{NULL, {0}}}},
    {"Reshape", {{"2 3", {N6}}}, {INTS("dims", 2, 4, 2)}, {{NULL, {0}}}},
    {"Reshape", {{"2 3", {N6}}}, {INTS("shape", 3, 1, 6, 0)}, {{NULL, {0}}}},
    {"Flatten", {{"1 2 3", {N6}}}, {INT("axis", 2)}, {{"2 3", {N6}}}},
    {"Flatten", {{"1 2 3", {N6}}}, {INT("axis", 0)}, {{"1 6", {N6}}}},
    {"Flatten", {{"1 2 3", {N6}}}, {INT("axis", 4)}, {{NULL, {0}}}},
    {"Squeeze", {{"1 2 1", {1, 2}}}, {{0}}, {{"2", {1, 2}}}},
    {"Squeeze", {{"1 2 1", {1, 2}}}, {INTS("axes", 1, -1)}, {{"1 2", {1, 2}}}},
    {"Squeeze", {{"1 2 1", {1, 2}}}, {INTS("axes", 1, 1)}, {{NULL, {0}}}},
    {"Squeeze", {{"1 2 1", {1, 2}}}, {INTS("axes", 1, 3)}, {{NULL, {0}}}},
    {"Unsqueeze", {{"2", {1, 2}}}, {INTS("axes", 2, 0, 2)}, {{"1 2 1", {1, 2}}}},
    {"Unsqueeze", {{"2", {1, 2}}, {"1", {-1}}}, {{0}}, {{"2 1", {1, 2}}}},
    {"Unsqueeze", {{"2", {1, 2}}}, {INTS("axes", 1, 2)}, {{NULL, {0}}}},
    {"Unsqueeze", {{"2", {1, 2}}}, {INTS("axes", 2, 0, 0)}, {{NULL, {0}}}},
    {"Unsqueeze", {{"2", {1, 2}}}, {{0}}, {{NULL, {0}}}},
    {"Transpose", {{"2 3", {N6}}}, {{0}}, {{"3 2", {1, 4, 2, 5, 3, 6}}}},
    {"Transpose", {{"1 2 3", {N6}}}, {INTS("perm", 3, 2, 0, 1)}, {{"3 1 2", {1, 4, 2, 5, 3, 6}}}},
    {"Transpose", {{"2 3", {N6}}}, {INTS("perm", 2, 0, 0)}, {{NULL, {0}}}},
    {"Transpose", {{"2 3", {N6}}}, {INTS("perm", 2, 0, 2)}, {{NULL, {0}}}},
    {"Transpose", {{"2 3", {N6}}}, {INTS("perm", 1, 0)}, {{NULL, {0}}}},
    {"Concat", {{"1 2", {1, 2}}, {"2 2", {3, 4, 5, 6}}}, {INT("axis", 0)}, {{"3 2", {N6}}}},
    {"Concat", {{"2 1", {1, 4}}, {"2 2", {2, 3, 5, 6}}}, {INT("axis", -1)}, {{"2 3", {N6}}}},
    {"Concat", {{"2 1", {1, 4}}, {"2", {2, 3}}}, {INT("axis", 0)}, {{NULL, {0}}}},
    {"Concat", {{"2 1", {1, 4}}, {"1 2", {2, 3}}}, {INT("axis", 0)}, {{NULL, {0}}}},
    {"Concat", {{"2 1", {1, 4}}}, {INT("axis", 2)}, {{NULL, {0}}}},
    {"Split", {{"2 3", {N6}}}, {INT("axis", 1), INTS("split", 2, 1, 2)}, {{"2 1", {1, 4}}, {"2 2", {2, 3, 5, 6}}}},
    {"Split", {{"3", {1, 2, 3}}}, {{0}}, {{"1", {1}}, {"1", {2}}, {"1", {3}}}},
    {"Split", {{"3", {1, 2, 3}}, {"2", {1, 2}}}, {{0}}, {{"1", {1}}, {"2", {2, 3}}}},
    {"Split", {{"3", {1, 2, 3}}}, {INTS("split", 2, 1, 1)}, {{NULL, {0}}}},
    {"Split", {{"3", {1, 2, 3}}}, {INT("axis", 1), INTS("split", 1, 3)}, {{NULL, {0}}}},
    {"Slice", {{"2 3", {N6}}}, {INTS("starts", 2, 0, 1), INTS("ends", 2, 9, 3)}, {{"2 2", {2, 3, 5, 6}}}},
    {"Slice",
     {{"2 3", {N6}}},
     {INTS("starts", 1, -2), INTS("ends", 1, 3), INTS("axes", 1, 1)},
     {{"2 2", {2, 3, 5, 6}}}},
    {"Slice",
     {{"6", {N6}}},
     {INTS("starts", 1, -1), INTS("ends", 1, -100), INTS("axes", 1, 0), INTS("steps", 1, -2)},
     {{"3", {6, 4, 2}}}},
    {"Slice",
     {{"6", {N6}}},
     {INTS("starts", 1, 1), INTS("ends", 1, 6), INTS("axes", 1, 0), INTS("steps", 1, 3)},
     {{"2", {2, 5}}}},
    {"Slice", {{"6", {N6}}}, {INTS("starts", 1, 4), INTS("ends", 1, 2)}, {{"0", {0}}}},
    {"Slice",
     {{"6", {N6}}},
     {INTS("starts", 1, 0), INTS("ends", 1, 2), INTS("axes", 1, 0), INTS("steps", 1, 0)},
     {{NULL, {0}}}},
    {"Slice", {{"6", {N6}}}, {INTS("starts", 2, 0, 0), INTS("ends", 2, 1, 1)}, {{NULL, {0}}}},
    {"Slice", {{"6", {N6}}}, {INTS("starts", 1, 0)}, {{NULL, {0}}}},
    {"Gather", {{"3 2", {N6}}, {"2", {2, 0}}}, {{0}}, {{"2 2", {5, 6, 1, 2}}}},
    {"Gather", {{"2 3", {N6}}, {"1 2", {-1, 1.9f}}}, {INT("axis", 1)}, {{"2 1 2", {3, 2, 6, 5}}}},
    {"Gather", {{"3 2", {N6}}, {"", {1}}}, {{0}}, {{"2", {3, 4}}}},
    {"Gather", {{"3 2", {N6}}, {"1", {3}}}, {{0}}, {{NULL, {0}}}},
    {"Gather", {{"3 2", {N6}}, {"1", {-4}}}, {{0}}, {{NULL, {0}}}},
    {"Gather", {{"3 2", {N6}}, {"1", {NAN}}}, {{0}}, {{NULL, {0}}}},
    {"Gather", {{"3 2", {N6}}, {"1", {1}}}, {INT("axis", 2)}, {{NULL, {0}}}},
    {"Conv", {{"3 2", {N6}}}, {{0}}, {{NULL, {0}}}},
};

static size_t count_of(const char *dims) {
  size_t count = 1;
  while (*dims != '\0') {
    char *end;
    count *= strtoull(dims, &end, 10);
    dims = *end == ' ' ? end + 1 : end;
  }
  return count;
}

/* A component of its own for every call, so that what one keeps is not counted against the next. */
static bbw_status run_backend(component_call *call) {
  void *self;
  bbw_status rv = bbw_cpu_backend_type.construct(&self, &bbw_cpu_backend_type, false, (bbw_bytes){0}, &call->mem.mem,
                                                 NULL);
  if (rv != BBW_OK) { return rv; }
  rv = call_run(call, &bbw_cpu_backend_type, self);
  bbw_cpu_backend_type.destroy(self, &call->mem.mem);
  return rv;
}

static void set_up(component_call *call, size_t i) {
  size_t outputs = 0;
  while (outputs < 3 && CASES[i].out[outputs].dims != NULL) { outputs++; }
  call_begin(call, BBW_ROLE_BACKEND, CASES[i].op_type, outputs == 0 ? 1 : outputs);
  for (size_t k = 0; k < 3; k++) {
    const array *in = &CASES[i].in[k];
    if (in->dims != NULL) { call_tensor(call, k, BBW_TYPE_CPU_TENSOR, in->dims, in->data, count_of(in->dims)); }
  }
  for (size_t k = 0; k < 4; k++) {
    const attr *a = &CASES[i].attrs[k];
    if (a->kind == 'i') { onnx_attribute_int(&call->names, call->node, a->name, a->ints[0]); }
    if (a->kind == 'f') { onnx_attribute_float(&call->names, call->node, a->name, a->number); }
    if (a->kind == 'I') { onnx_attribute_ints(&call->names, call->node, a->name, a->ints, a->count); }
  }
}

static bool is_close(float got, float want) {
  if (isnan(want)) { return isnan(got); }
  return got == want || fabsf(got - want) <= 1e-6f * fabsf(want);
}

static void check_output(component_call *call, size_t i, size_t k) {
  const array *want = &CASES[i].out[k];
  const bbw_tensor *got = call_output(call, k);
  bbw_value *shape = call_make_tensor(call, BBW_TYPE_CPU_TENSOR, want->dims, want->data, count_of(want->dims));
  bool is_right = got->rank == shape->as.tensor.rank && got->count == shape->as.tensor.count;
  for (uint32_t d = 0; is_right && d < got->rank; d++) { is_right = got->dims[d] == shape->as.tensor.dims[d]; }
  for (size_t p = 0; is_right && p < got->count; p++) { is_right = is_close(got->data[p], want->data[p]); }
  bbw_value_release(shape, &call->mem.mem);
  if (!is_right) {
    print_error("case %zu, %s: output %zu of rank %u starts with %g\n", i, CASES[i].op_type, k, got->rank,
                got->count > 0 ? (double)got->data[0] : 0.0);
    fail();
  }
}

static void test_operators(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    set_up(&call, i);
    bool is_good = CASES[i].out[0].dims != NULL;
    bbw_status rv = run_backend(&call);
    if ((rv == BBW_OK) != is_good) { print_error("case %zu, %s: status %d\n", i, CASES[i].op_type, rv); }
    assert_int_equal(rv, is_good ? BBW_OK : BBW_E_COMPONENT);
    for (size_t k = 0; is_good && k < 3 && CASES[i].out[k].dims != NULL; k++) { check_output(&call, i, k); }
    for (size_t k = 0; !is_good && k < CALL_MAX; k++) { assert_null(call.outputs[k]); }
  }
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    bbw_status rv = BBW_E_NOMEM;
    for (size_t nth = 0; rv == BBW_E_NOMEM; nth++) {
      assert_true(nth < 50);
      test_mem_fail_at(&call.mem, TEST_MEM_NEVER);
      set_up(&call, i);
      size_t before = call.mem.live_bytes;
      test_mem_fail_at(&call.mem, nth);
      rv = run_backend(&call);
      if (rv != BBW_OK) { assert_int_equal(call.mem.live_bytes, before); }
    }
  }
  test_mem_fail_at(&call.mem, TEST_MEM_NEVER);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

/* Every operator with no input, one, two, and inputs of odd shapes: an answer, and nothing else. */
static void test_any_inputs_get_an_answer(void **state) {
  (void)state;
  static const char *const shapes[] = {"", "0", "1", "3", "2 3", "3 2", "0 3", "2 0 4", "1 2 3", "2 1 3 1"};
  enum { SHAPES = sizeof shapes / sizeof shapes[0] };
  float data[16];
  kernel_fill(data, 16, 3, -3.0f, 3.0f);
  component_call call;
  component_call_init(&call);
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    for (size_t pick = 0; pick < SHAPES * SHAPES; pick++) {
      set_up(&call, i);
      for (size_t k = 0; k < 3; k++) {
        const char *dims = shapes[k == 0 ? pick / SHAPES : k == 1 ? pick % SHAPES : (pick * 7) % SHAPES];
        bbw_value_release(call.inputs[k], &call.mem.mem);
        call_tensor(&call, k, BBW_TYPE_CPU_TENSOR, dims, data, count_of(dims));
      }
      bbw_status rv = run_backend(&call);
      assert_true(rv == BBW_OK || rv == BBW_E_COMPONENT);
    }
  }
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void test_constant(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  call_begin(&call, BBW_ROLE_BACKEND, "Constant", 1);
  static const float data[] = {1.5f, -2.0f};
  onnx_attribute_tensor(&call.names, call.node, "value", onnx_floats(&call.names, "", "2 1", data, 2));
  assert_int_equal(run_backend(&call), BBW_OK);
  assert_int_equal(call_output(&call, 0)->rank, 2);
  assert_true(call_output(&call, 0)->data[1] == -2.0f);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

/* ---- graphs ---- */

/* Starts BackendSubgraph with inputs a [2,2], b [2], and a body of the file's nodes. */
static void begin_graph(component_call *call, onnx_file *body, size_t outputs) {
  static const float a[] = {1, 2, 3, 4}, b[] = {10, 20};
  call_begin(call, BBW_ROLE_BACKEND, "BackendSubgraph", outputs);
  call_tensor(call, 0, BBW_TYPE_CPU_TENSOR, "2 2", a, 4);
  call_tensor(call, 1, BBW_TYPE_F32_SLICE, "2", b, 2);
  bbw_onnx_attribute *attribute = bbw_arena_array(&call->names.arena, 1, sizeof *attribute);
  assert_non_null(attribute);
  *attribute = (bbw_onnx_attribute){.name = BBW_STR("body"), .type = BBW_ONNX_ATTR_GRAPH, .g = onnx_model(body).graph};
  call->node->attribute = (bbw_proto_list){attribute, 1};
}

static void test_subgraph(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  onnx_file body;
  onnx_file_init(&body);
  static const float two[] = {2.0f};
  onnx_floats(&body, "two", "", two, 1);
  onnx_floats(&body, "b", "", two, 1); /* the caller's value comes first */
  onnx_node(&body, "Mul", "", "a two", "doubled");
  onnx_node(&body, "Add", "", "doubled b", "sum");
  onnx_attribute_int(&body, onnx_node(&body, "Split", "", "sum", "top bottom"), "axis", 0);
  onnx_node(&body, "Sub", "", "bottom top", "difference");
  onnx_output(&body, "difference");
  onnx_output(&body, "nobody makes this");
  onnx_output(&body, "sum");
  onnx_output(&body, "a");
  begin_graph(&call, &body, 4);
  assert_int_equal(run_backend(&call), BBW_OK);
  assert_int_equal(call_output(&call, 0)->rank, 2);
  assert_true(call_output(&call, 0)->data[0] == 4.0f && call_output(&call, 0)->data[1] == 4.0f);
  assert_null(call.outputs[1]);
  assert_true(call_output(&call, 2)->data[3] == 28.0f);
  assert_ptr_equal(call.outputs[3], call.inputs[0]);
  bbw_status rv = BBW_E_NOMEM;
  for (size_t nth = 0; rv == BBW_E_NOMEM; nth++) {
    test_mem_fail_at(&call.mem, TEST_MEM_NEVER);
    begin_graph(&call, &body, 4);
    size_t before = call.mem.live_bytes;
    test_mem_fail_at(&call.mem, nth);
    rv = run_backend(&call);
    if (rv != BBW_OK) { assert_int_equal(call.mem.live_bytes, before); }
  }
  assert_int_equal(rv, BBW_OK);
  test_mem_fail_at(&call.mem, TEST_MEM_NEVER);
  onnx_file_free(&body);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static bool detail_is(const component_call *call, const char *want) {
  bool is_right = call->ctx.error_detail_len == strlen(want) && memcmp(call->ctx.error_detail, want, strlen(want)) == 0;
  if (!is_right) { print_error("%.*s\n", (int)call->ctx.error_detail_len, call->ctx.error_detail); }
  return is_right;
}

static void test_subgraphs_that_fail(void **state) {
  (void)state;
  static const struct {
    const char *op_type, *inputs, *detail;
  } cases[] = {
      {"Add", "a later", "execute_graph: input `later` is missing for Add"},
      {"Conv", "a b", "execute_graph: `Conv` is not supported "},
      {"MatMul", "b a three", "execute_graph: input `three` is missing for MatMul"},
      {"Transpose", "", "execute_graph: `Transpose` failed: requires more inputs"},
  };
  component_call call;
  component_call_init(&call);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    onnx_file body;
    onnx_file_init(&body);
    onnx_node(&body, cases[i].op_type, "", cases[i].inputs, "y");
    onnx_node(&body, "Neg", "", "y", "later");
    onnx_output(&body, "later");
    begin_graph(&call, &body, 1);
    assert_int_equal(run_backend(&call), BBW_E_COMPONENT);
    assert_true(detail_is(&call, cases[i].detail));
    onnx_file_free(&body);
  }
  call_begin(&call, BBW_ROLE_BACKEND, "BackendSubgraph", 1);
  assert_int_equal(run_backend(&call), BBW_E_COMPONENT);
  assert_true(call_reason_is(&call, "missing_subgraph_body"));
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

/* Operators that only the table of ONNX operators has: f32 goes in and comes out, indices and conditions are converted. */
static void test_operators_of_the_table(void **state) {
  (void)state;
  static const struct {
    const char *op_type;
    size_t inputs;
    array in[3], out;
  } cases[] = {
      {"Conv", 2, {{"1 1 4", {1, 2, 3, 4}}, {"1 1 2", {1, 10}}}, {"1 1 3", {21, 32, 43}}},
      {"GlobalMaxPool", 1, {{"1 2 2", {1, 5, 3, 2}}}, {"1 2 1", {5, 3}}},
      {"GatherElements", 2, {{"2 2", {1, 2, 3, 4}}, {"1 2", {1, 0}}}, {"1 2", {3, 2}}},
      {"Not", 1, {{"3", {0, 1, 2.5f}}}, {"3", {1, 0, 0}}},
      {"Tile", 2, {{"1 2", {1, 2}}, {"2", {2, 1}}}, {"2 2", {1, 2, 1, 2}}},
      {"LayerNormalization", 2, {{"1 2", {1, 3}}, {"2", {1, 1}}}, {"1 2", {-0.99999500f, 0.99999500f}}},
  };
  component_call call;
  component_call_init(&call);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    call_begin(&call, BBW_ROLE_BACKEND, cases[i].op_type, 1);
    call.node->input.count = cases[i].inputs;
    for (size_t k = 0; k < cases[i].inputs; k++) {
      call_tensor(&call, k, BBW_TYPE_CPU_TENSOR, cases[i].in[k].dims, cases[i].in[k].data,
                  count_of(cases[i].in[k].dims));
    }
    bbw_status rv = run_backend(&call);
    if (rv != BBW_OK) {
      print_error("%s: %.*s\n", cases[i].op_type, (int)call.ctx.error_detail_len, call.ctx.error_detail);
    }
    assert_int_equal(rv, BBW_OK);
    const bbw_tensor *got = call_output(&call, 0);
    assert_int_equal(got->count, count_of(cases[i].out.dims));
    for (size_t p = 0; p < got->count; p++) { assert_true(is_close(got->data[p], cases[i].out.data[p])); }
  }
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

static void clear_values(component_call *call) {
  for (size_t i = 0; i < CALL_MAX; i++) {
    bbw_value_release(call->inputs[i], &call->mem.mem);
    bbw_value_release(call->outputs[i], &call->mem.mem);
    call->inputs[i] = call->outputs[i] = NULL;
  }
}

/* A graph with declared inputs is a standard one: inputs by place, whole numbers inside, one session for all calls. */
static void test_standard_subgraph(void **state) {
  (void)state;
  component_call call;
  component_call_init(&call);
  onnx_file body;
  onnx_file_init(&body);
  onnx_input(&body, "x", "n 2");
  onnx_input(&body, "rows", "k");
  bbw_onnx_tensor_type int64 = *body.inputs[1].type->tensor_type;
  int64.elem_type = 7;
  bbw_onnx_type rows_type = {.tensor_type = &int64};
  body.inputs[1].type = &rows_type;
  onnx_node(&body, "Gather", "", "x rows", "picked");
  onnx_node(&body, "Relu", "", "picked", "y");
  onnx_output(&body, "y");
  void *self;
  assert_int_equal(
      bbw_cpu_backend_type.construct(&self, &bbw_cpu_backend_type, false, (bbw_bytes){0}, &call.mem.mem, NULL), BBW_OK);
  begin_graph(&call, &body, 1);
  call.node->input.count = 2;
  static const float x[] = {-1, 2, 3, -4}, rows[] = {1, 0, 1};
  for (size_t round = 0; round < 3; round++) {
    clear_values(&call);
    call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "2 2", x, 4);
    call_tensor(&call, 1, BBW_TYPE_CPU_TENSOR, "3", rows, 3);
    assert_int_equal(call_run(&call, &bbw_cpu_backend_type, self), BBW_OK);
    const bbw_tensor *got = call_output(&call, 0);
    assert_int_equal(got->count, 6);
    static const float want[] = {3, 0, 0, 2, 3, 0};
    for (size_t p = 0; p < 6; p++) { assert_true(got->data[p] == want[p]); }
    if (round == 1) {
      clear_values(&call); /* a wrong shape is refused and breaks nothing */
      call_tensor(&call, 0, BBW_TYPE_CPU_TENSOR, "4", x, 4);
      call_tensor(&call, 1, BBW_TYPE_CPU_TENSOR, "3", rows, 3);
      assert_int_equal(call_run(&call, &bbw_cpu_backend_type, self), BBW_E_COMPONENT);
    }
  }
  bbw_cpu_backend_type.destroy(self, &call.mem.mem);
  onnx_file_free(&body);
  component_call_free(&call);
  assert_int_equal(call.mem.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_operators),
      cmocka_unit_test(test_every_allocation_may_fail),
      cmocka_unit_test(test_any_inputs_get_an_answer),
      cmocka_unit_test(test_constant),
      cmocka_unit_test(test_subgraph),
      cmocka_unit_test(test_subgraphs_that_fail),
      cmocka_unit_test(test_operators_of_the_table),
      cmocka_unit_test(test_standard_subgraph),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
