/* Any bytes, as a model and as a tensor message: decoding answers, and what it accepts is written as bytes that decode to the same bytes. */
#include "base/bytes.h"
#include "format/onnx.h"
#include "format/tensor_proto.h"
#include "fuzz.h"

/* Untrusted models get a cap, and a list element may cost a hundred times its bytes. */
typedef struct budget {
  size_t left;
} budget;

static void *budget_alloc(void *ctx, size_t size) {
  budget *b = ctx;
  if (size > b->left) { return NULL; }
  b->left -= size;
  return malloc(size);
}

static void budget_free(void *ctx, void *ptr, size_t size) {
  budget *b = ctx;
  b->left += size;
  free(ptr);
}

static void round_trip(const void *message, const bbw_proto_message *type, void *again, bbw_arena *arena) {
  bbw_bytes first, second;
  bbw_status rv = bbw_proto_encode(&first, message, type, arena);
  if (rv == BBW_E_NOMEM) { return; }
  REQUIRE(rv == BBW_OK);
  rv = bbw_proto_decode(again, type, first, arena, NULL);
  if (rv == BBW_E_NOMEM) { return; }
  REQUIRE(rv == BBW_OK);
  rv = bbw_proto_encode(&second, again, type, arena);
  REQUIRE(rv == BBW_E_NOMEM || (rv == BBW_OK && bbw_bytes_equal(first, second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  budget left = {64u << 20};
  bbw_mem mem = {&left, budget_alloc, budget_free};
  bbw_arena arena;
  bbw_error err;
  bbw_onnx_model model, model_again;
  bbw_onnx_tensor tensor, tensor_again;
  bbw_value *value;
  bbw_arena_init(&arena, &mem);
  bbw_status rv = bbw_proto_decode(&model, &bbw_onnx_model_type, (bbw_bytes){data, len}, &arena, &err);
  REQUIRE(rv == BBW_OK || err.status == (int32_t)rv);
  if (rv == BBW_OK) { round_trip(&model, &bbw_onnx_model_type, &model_again, &arena); }
  rv = bbw_proto_decode(&tensor, &bbw_onnx_tensor_type_table, (bbw_bytes){data, len}, &arena, &err);
  if (rv == BBW_OK) {
    round_trip(&tensor, &bbw_onnx_tensor_type_table, &tensor_again, &arena);
    rv = bbw_tensor_proto_to_value(&value, &tensor, &mem, &err);
    REQUIRE(rv == BBW_OK || err.status == (int32_t)rv);
    if (rv == BBW_OK) { bbw_value_release(value, &mem); }
  }
  bbw_arena_free(&arena);
  REQUIRE(left.left == 64u << 20);
  return 0;
}
