/*
 * Any bytes: a model is refused with a named status and place, or it runs within its memory and number of steps, gives the same bits twice, and gives all memory back.  The same for training it.
 *
 * Mutations are of two kinds: bytes, as libFuzzer makes them, and changes of a decoded model that keep it a protobuf message: another operator, attribute,
 * shape, type, or connection.
 */
#include "base/arena.h"
#include "bbw/session.h"
#include "bbw/trainer.h"
#include "fuzz.h"
#include "onnx/op.h"
#include "test_mem.h"

enum { PORTS_MAX = 16, BYTES_MAX = 8 << 20 };

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);

/* Inputs as the model declares them, with numbers that are small and, in bool, legal. */
static bool make_input(const bbw_port_info *port, bbw_array *out, bbw_arena *arena) {
  size_t dims[BBW_ARRAY_RANK_MAX];
  for (uint32_t d = 0; d < port->rank; d++) { dims[d] = port->dims[d] < 0 ? 2 + d % 2 : (size_t)port->dims[d]; }
  if (!bbw_array_shape(out, port->dtype == BBW_DTYPE_NONE ? BBW_DTYPE_F32 : port->dtype, port->rank, dims)) {
    return false;
  }
  size_t bytes = bbw_array_bytes(out);
  if (bytes > BYTES_MAX) { return false; }
  uint8_t *data = bbw_arena_array(arena, bytes + 1, 1);
  if (data == NULL) { return false; }
  size_t each = bbw_dtype_bytes(out->dtype);
  for (size_t i = 0; i < bytes; i++) {
    bool is_float = out->dtype == BBW_DTYPE_F32;
    data[i] = is_float ? (i % 4 == 3 ? 0x3f : (uint8_t)(i * 37)) : i % each == 0 ? (uint8_t)(i / each % 3) : 0;
    if (out->dtype == BBW_DTYPE_BOOL) { data[i] &= 1; }
  }
  out->data = data;
  return true;
}

static void check_status(bbw_status rv, const bbw_error *err) {
  REQUIRE(rv == BBW_OK || err->status == (int32_t)rv);
  REQUIRE(rv != BBW_LATER && bbw_status_name(rv).len > 0);
}

static void run(bbw_session *session, bbw_arena *arena) {
  bbw_array inputs[PORTS_MAX] = {{0}}, outputs[PORTS_MAX];
  bbw_error err;
  size_t input_count = bbw_session_input_count(session), output_count = bbw_session_output_count(session);
  if (input_count > PORTS_MAX || output_count > PORTS_MAX) { return; }
  for (size_t i = 0; i < input_count; i++) {
    bbw_port_info port = bbw_session_input(session, i);
    if (!make_input(&port, &inputs[i], arena)) { return; }
  }
  bbw_status rv = bbw_session_run(session, inputs, input_count, outputs, &err);
  check_status(rv, &err);
  if (rv != BBW_OK) { return; }
  uint64_t sums[PORTS_MAX];
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < output_count; i++) {
      uint64_t sum = 0;
      REQUIRE(outputs[i].count == 0 || outputs[i].data != NULL);
      for (size_t k = 0; k < bbw_array_bytes(&outputs[i]); k++) {
        sum = sum * 31 + ((const uint8_t *)outputs[i].data)[k];
      }
      REQUIRE(round == 0 || sums[i] == sum);
      sums[i] = sum;
    }
    if (round == 0) { REQUIRE(bbw_session_run(session, inputs, input_count, outputs, &err) == BBW_OK); }
  }
}

/* One step on the mean of the first output, or on it as logits. */
static void train(bbw_trainer *t, bool has_labels, bbw_arena *arena) {
  bbw_array inputs[PORTS_MAX] = {{0}}, labels = {0}, outputs[PORTS_MAX];
  static const int64_t classes[] = {0, 1, 0, 0, 1, 0};
  const size_t dims[] = {2};
  bbw_error err;
  double loss[2];
  size_t input_count = bbw_trainer_input_count(t), value_count;
  if (input_count > PORTS_MAX || bbw_trainer_output_count(t) > PORTS_MAX) { return; }
  for (size_t i = 0; i < input_count; i++) {
    bbw_port_info port = bbw_trainer_input(t, i);
    if (!make_input(&port, &inputs[i], arena)) { return; }
  }
  REQUIRE(bbw_array_shape(&labels, BBW_DTYPE_I64, 1, dims));
  labels.data = (void *)(uintptr_t)classes;
  const float *values = bbw_trainer_values(t, &value_count);
  float *gradients = bbw_arena_array(arena, 2 * value_count, sizeof *gradients), first = values[0];
  if (gradients == NULL) { return; }
  const bbw_array *given = has_labels ? &labels : NULL;
  bbw_status rv = bbw_trainer_gradient(t, inputs, input_count, given, &loss[0], gradients, &err);
  check_status(rv, &err);
  if (rv == BBW_OK) {
    rv = bbw_trainer_gradient(t, inputs, input_count, given, &loss[1], gradients + value_count, &err);
    REQUIRE(rv == BBW_OK && memcmp(&loss[0], &loss[1], sizeof loss[0]) == 0);
    REQUIRE(memcmp(gradients, gradients + value_count, value_count * sizeof *gradients) == 0);
  }
  REQUIRE(memcmp(&values[0], &first, sizeof first) == 0); /* nothing moved yet */
  bbw_status stepped = bbw_trainer_step(t, inputs, input_count, given, &loss[0], NULL, &err);
  check_status(stepped, &err);
  REQUIRE(stepped == rv);
  check_status(bbw_trainer_evaluate(t, inputs, input_count, given, &loss[0], outputs, &err), &err);
}

static void check_training(bbw_bytes model, bbw_trainer_loss loss) {
  test_mem mem;
  bbw_error err;
  bbw_trainer *t = NULL;
  test_mem_init(&mem);
  mem.limit_bytes = 4u * BYTES_MAX;
  bbw_trainer_options options = {.loss = loss,
                                 .rate = 1e-3f,
                                 .momentum = 0.5f,
                                 .memory_bytes_max = BYTES_MAX,
                                 .checkpoints = loss != BBW_TRAINER_OUTPUT ? 2 : 0};
  bbw_status rv = bbw_trainer_new(&t, model, &options, &mem.mem, &err);
  REQUIRE((rv == BBW_OK) == (t != NULL));
  check_status(rv, &err);
  if (rv == BBW_OK) {
    bbw_arena arena;
    bbw_arena_init(&arena, &bbw_mem_libc);
    train(t, loss != BBW_TRAINER_OUTPUT, &arena);
    bbw_arena_free(&arena);
  }
  bbw_trainer_del(t);
  REQUIRE(mem.live_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  for (int plain = 0; plain < 2; plain++) {
    test_mem mem;
    bbw_error err;
    bbw_session *session = NULL;
    test_mem_init(&mem);
    mem.limit_bytes = 4u * BYTES_MAX;
    bbw_session_options options = {
        .memory_bytes_max = BYTES_MAX, .elements_max = BYTES_MAX / 4, .steps_max = 5000, .is_plain = plain == 1};
    bbw_status rv = bbw_session_new(&session, (bbw_bytes){data, len}, &options, &mem.mem, &err);
    REQUIRE((rv == BBW_OK) == (session != NULL));
    check_status(rv, &err);
    if (rv == BBW_OK) {
      bbw_arena arena;
      bbw_arena_init(&arena, &bbw_mem_libc);
      run(session, &arena);
      bbw_arena_free(&arena);
    }
    bbw_session_del(session);
    REQUIRE(mem.live_bytes == 0);
    if (rv != BBW_OK) { return 0; }
  }
  check_training((bbw_bytes){data, len}, BBW_TRAINER_OUTPUT);
  check_training((bbw_bytes){data, len}, BBW_TRAINER_SOFTMAX_CROSS_ENTROPY);
  return 0;
}

/* ---- mutations of a decoded model ---- */

static uint32_t state;
static uint32_t below(uint32_t limit) {
  state = state * 1664525u + 1013904223u;
  return limit == 0 ? 0 : (state >> 8) % limit;
}

static int64_t odd_number(void) {
  static const int64_t numbers[] = {0,
                                    1,
                                    -1,
                                    2,
                                    3,
                                    -2,
                                    4,
                                    7,
                                    8,
                                    16,
                                    64,
                                    255,
                                    256,
                                    65535,
                                    INT32_MAX,
                                    INT32_MIN,
                                    INT64_MAX,
                                    INT64_MIN,
                                    (int64_t)1 << 32,
                                    (int64_t)1 << 40};
  return numbers[below(sizeof numbers / sizeof numbers[0])];
}

/* Decoded lists are ours: they lie in the arena. */
#define ANY(list, type) ((type *)(uintptr_t)BBW_PROTO_AT(list, type, below((uint32_t)(list)->count)))

static void change_node(bbw_onnx_graph *graph) {
  bbw_onnx_node *node = ANY(&graph->node, bbw_onnx_node), *other = ANY(&graph->node, bbw_onnx_node);
  size_t rows = 0;
  switch (below(5)) {
  case 0: /* another operator */
    while (bbw_onnx_op_at(rows) != NULL) { rows++; }
    node->op_type = bbw_onnx_op_name(bbw_onnx_op_at(below((uint32_t)rows)));
    break;
  case 1: /* an input from elsewhere */
    if (node->input.count > 0 && other->output.count > 0) {
      *ANY(&node->input, bbw_str) = *ANY(&other->output, bbw_str);
    }
    break;
  case 2:
    if (node->input.count > 0 && other->input.count > 0) { *ANY(&node->input, bbw_str) = *ANY(&other->input, bbw_str); }
    break;
  case 3: /* a number of an attribute */
    if (node->attribute.count > 0) {
      bbw_onnx_attribute *a = ANY(&node->attribute, bbw_onnx_attribute);
      a->i = odd_number();
      a->f = (float)odd_number();
      if (a->ints.count > 0) { *ANY(&a->ints, int64_t) = odd_number(); }
    }
    break;
  default: /* attributes of another node */ node->attribute = other->attribute; break;
  }
}

static void change_tensor(bbw_onnx_tensor *tensor) {
  if (below(2) == 0 && tensor->dims.count > 0) {
    *ANY(&tensor->dims, int64_t) = odd_number();
  } else if (below(2) == 0 && tensor->int64_data.count > 0) {
    *ANY(&tensor->int64_data, int64_t) = odd_number();
  } else {
    tensor->data_type = (int32_t)below(18);
  }
}

static void change_port(bbw_onnx_value_info *info) {
  bbw_onnx_tensor_type *type = info->type != NULL ? (bbw_onnx_tensor_type *)(uintptr_t)info->type->tensor_type : NULL;
  if (type == NULL) { return; }
  if (below(2) == 0 || type->shape == NULL || type->shape->dim.count == 0) {
    type->elem_type = (int32_t)below(18);
  } else {
    bbw_onnx_dimension *dim = ANY(&type->shape->dim, bbw_onnx_dimension);
    dim->has_dim_value = true;
    dim->has_dim_param = false;
    dim->dim_value = odd_number();
  }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed) {
  bbw_arena arena;
  bbw_onnx_model model;
  bbw_bytes encoded;
  state = seed;
  if (below(4) == 0) { return LLVMFuzzerMutate(data, size, size_max); }
  bbw_arena_init(&arena, &bbw_mem_libc);
  arena.limit_bytes = BYTES_MAX;
  if (bbw_onnx_model_decode(&model, (bbw_bytes){data, size}, &arena, NULL) == BBW_OK && model.graph != NULL &&
      model.graph->node.count > 0) {
    bbw_onnx_graph *graph = (bbw_onnx_graph *)(uintptr_t)model.graph;
    for (uint32_t i = 0, n = 1 + below(3); i < n; i++) {
      uint32_t kind = below(6);
      if (kind == 0 && graph->initializer.count > 0) {
        change_tensor(ANY(&graph->initializer, bbw_onnx_tensor));
      } else if (kind == 1 && graph->input.count > 0) {
        change_port(ANY(&graph->input, bbw_onnx_value_info));
      } else if (kind == 2 && model.opset_import.count > 0) {
        ANY(&model.opset_import, bbw_onnx_opset)->version = 1 + (int64_t)below(22);
      } else {
        change_node(graph);
      }
    }
    if (bbw_proto_encode(&encoded, &model, &bbw_onnx_model_type, &arena) == BBW_OK && encoded.len <= size_max) {
      memcpy(data, encoded.ptr, encoded.len);
      bbw_arena_free(&arena);
      return encoded.len;
    }
  }
  bbw_arena_free(&arena);
  return LLVMFuzzerMutate(data, size, size_max);
}
