#include "components/cpu_ops.h"

#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "components/cpu_ops_private.h"

#define UNARY(text, name) \
  { .op_type = text, .inputs_min = 1, .run = cpu_unary, .unary = bbw_##name##_f32_simd128 }
#define BINARY(text, name) \
  { .op_type = text, .inputs_min = 2, .run = cpu_binary, .binary = bbw_##name##_f32_simd128 }
#define REDUCE(text, name) \
  { .op_type = text, .inputs_min = 1, .run = cpu_reduce, .reduce = bbw_reduce_##name##_f32_simd128 }
#define OTHER(text, inputs, function) \
  { .op_type = text, .inputs_min = inputs, .run = function }

static const cpu_row rows[] = {
    BINARY("Add", add),
    BINARY("Sub", sub),
    BINARY("Mul", mul),
    BINARY("Div", div),
    BINARY("Pow", pow),
    BINARY("Equal", equal),
    BINARY("Greater", greater),
    BINARY("Less", less),
    UNARY("Neg", neg),
    UNARY("Abs", abs),
    UNARY("Sqrt", sqrt),
    UNARY("Exp", exp),
    UNARY("Log", log),
    UNARY("Relu", relu),
    UNARY("Sigmoid", sigmoid),
    UNARY("Tanh", tanh),
    UNARY("Gelu", gelu),
    UNARY("Reciprocal", reciprocal),
    REDUCE("ReduceSum", sum),
    REDUCE("ReduceMax", max),
    REDUCE("ReduceMin", min),
    OTHER("ReduceMean", 1, cpu_reduce_mean),
    OTHER("LeakyRelu", 1, cpu_leaky_relu),
    OTHER("Softmax", 1, cpu_softmax),
    OTHER("LogSoftmax", 1, cpu_log_softmax),
    OTHER("Where", 3, cpu_where),
    OTHER("MatMul", 2, cpu_matmul),
    OTHER("Dot", 2, cpu_dot),
    OTHER("Gemm", 2, cpu_gemm),
    OTHER("ArgMax", 1, cpu_argmax),
    OTHER("GlobalAveragePool", 1, cpu_global_average_pool),
    OTHER("Identity", 1, cpu_identity),
    OTHER("Dropout", 1, cpu_identity),
    OTHER("Cast", 1, cpu_cast),
    OTHER("Constant", 0, cpu_constant),
    OTHER("Zeros", 0, cpu_zeros),
    OTHER("Ones", 0, cpu_ones),
    OTHER("Reshape", 1, cpu_reshape),
    OTHER("Flatten", 1, cpu_flatten),
    OTHER("Squeeze", 1, cpu_squeeze),
    OTHER("Unsqueeze", 1, cpu_unsqueeze),
    OTHER("Transpose", 1, cpu_transpose),
    OTHER("Concat", 1, cpu_concat),
    OTHER("Split", 1, cpu_split),
    OTHER("Slice", 1, cpu_slice),
    OTHER("Gather", 2, cpu_gather),
};

static const cpu_row *find(bbw_str op_type) {
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    if (bbw_str_equal(op_type, (bbw_str){rows[i].op_type, strlen(rows[i].op_type)})) { return &rows[i]; }
  }
  return NULL;
}

bool bbw_cpu_op_is_known(bbw_str op_type) { return find(op_type) != NULL; }

size_t bbw_cpu_op_inputs_min(bbw_str op_type) {
  const cpu_row *row = find(op_type);
  return row != NULL ? row->inputs_min : 0;
}

bbw_status bbw_cpu_op_run(bbw_cpu_call *call) {
  const cpu_row *row = find(call->node->op_type);
  if (row == NULL) { return BBW_E_UNSUPPORTED; }
  call->output_count = 0;
  for (size_t i = 0; i < row->inputs_min; i++) {
    if (cpu_input(call, i) == NULL) { return cpu_refuse(call, "requires more inputs"); }
  }
  bbw_status rv = row->run(call, row);
  if (rv == BBW_OK) { return BBW_OK; }
  for (size_t i = 0; i < call->output_count && i < call->output_max; i++) {
    bbw_value_release(call->outputs[i], call->mem);
    call->outputs[i] = NULL;
  }
  call->output_count = 0;
  return rv;
}

bbw_status cpu_refuse(bbw_cpu_call *call, const char *detail) {
  call->detail = detail;
  return BBW_E_ARG;
}

void cpu_push(bbw_cpu_call *call, bbw_value *value) {
  if (call->output_count < call->output_max) {
    call->outputs[call->output_count] = value;
  } else {
    bbw_value_release(value, call->mem);
  }
  call->output_count++;
}

bbw_status cpu_output(bbw_cpu_call *call, const uint64_t *dims, uint32_t rank, float **data) {
  size_t count = 1;
  for (uint32_t d = 0; d < rank; d++) {
    if (dims[d] > BBW_CPU_ELEMENTS_MAX || !bbw_size_mul(count, (size_t)dims[d], &count)) { count = SIZE_MAX; }
    if (count > BBW_CPU_ELEMENTS_MAX) { return cpu_refuse(call, "result is too large"); }
  }
  if (rank > BBW_TENSOR_RANK_MAX) { return cpu_refuse(call, "result has too many dimensions"); }
  bbw_value *value;
  bbw_status rv = bbw_value_new_tensor(&value, data, BBW_TYPE_CPU_TENSOR, dims, rank, call->mem);
  if (rv == BBW_E_SHAPE) { return cpu_refuse(call, "result is too large"); }
  if (rv == BBW_OK) { cpu_push(call, value); }
  return rv;
}

static const bbw_onnx_attribute *attribute(const bbw_cpu_call *call, const char *name, int32_t tag) {
  const bbw_onnx_attribute *a = bbw_onnx_attribute_find(call->node, (bbw_str){name, strlen(name)});
  return a != NULL && a->type == tag ? a : NULL;
}

int64_t cpu_attr_int(const bbw_cpu_call *call, const char *name, int64_t otherwise) {
  const bbw_onnx_attribute *a = attribute(call, name, BBW_ONNX_ATTR_INT);
  return a != NULL ? a->i : otherwise;
}

bool cpu_attr_has_int(const bbw_cpu_call *call, const char *name) {
  return attribute(call, name, BBW_ONNX_ATTR_INT) != NULL;
}

float cpu_attr_float(const bbw_cpu_call *call, const char *name, float otherwise) {
  const bbw_onnx_attribute *a = attribute(call, name, BBW_ONNX_ATTR_FLOAT);
  return a != NULL ? a->f : otherwise;
}

bbw_status cpu_read_ints(bbw_cpu_call *call, const char *name, size_t input, cpu_ints *out) {
  *out = (cpu_ints){0};
  const bbw_onnx_attribute *a = attribute(call, name, BBW_ONNX_ATTR_INTS);
  const bbw_tensor *t = a == NULL && input != CPU_NO_INPUT ? cpu_input(call, input) : NULL;
  if (a == NULL && t == NULL) { return BBW_OK; }
  out->is_given = true;
  out->is_input = t != NULL;
  out->count = a != NULL ? a->ints.count : t->count;
  if (out->count > BBW_TENSOR_RANK_MAX) { return cpu_refuse(call, "a list of axes or sizes is too long"); }
  for (size_t i = 0; i < out->count; i++) {
    if (a != NULL) {
      out->items[i] = *BBW_PROTO_AT(&a->ints, int64_t, i);
      continue;
    }
    float x = t->data[i];
    if (!(fabsf(x) <= 9.0e18f) || truncf(x) != x) {
      return cpu_refuse(call, "a list of axes or sizes holds no whole number");
    }
    out->items[i] = (int64_t)x;
  }
  return BBW_OK;
}

bool cpu_axis(int64_t given, uint32_t rank, uint32_t *out) {
  if (given < 0) { given += (int64_t)rank; }
  if (given < 0 || given >= (int64_t)rank) { return false; }
  *out = (uint32_t)given;
  return true;
}

size_t cpu_product(const uint64_t *dims, uint32_t from, uint32_t to) {
  size_t product = 1;
  for (uint32_t d = from; d < to; d++) { product *= (size_t)dims[d]; }
  return product;
}
