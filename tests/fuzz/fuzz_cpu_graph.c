/* Any bytes as a model: the CPU backend runs its graph or says why not, and gives all memory back. */
#include "components/cpu_graph.h"
#include "fuzz.h"
#include "test_mem.h"

enum { OUTPUTS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  test_mem mem;
  test_mem_init(&mem);
  mem.limit_bytes = 1u << 20; /* small, or products of large matrices take minutes */
  bbw_arena arena;
  bbw_arena_init(&arena, &mem.mem);
  bbw_onnx_model model;
  bbw_status rv = bbw_proto_decode(&model, &bbw_onnx_model_type, (bbw_bytes){data, len}, &arena, NULL);
  if (rv == BBW_OK && model.graph != NULL && model.graph->output.count <= OUTPUTS_MAX) {
    bbw_value *outputs[OUTPUTS_MAX] = {NULL};
    bbw_cpu_graph_error err = {.status = BBW_OK};
    rv = bbw_cpu_graph_run(model.graph, NULL, NULL, 0, outputs, &mem.mem, &err);
    REQUIRE(rv == BBW_OK || err.status == rv);
    REQUIRE(rv == BBW_OK || rv == BBW_E_NOMEM || err.detail_len > 0);
    for (size_t i = 0; i < OUTPUTS_MAX; i++) {
      REQUIRE(rv == BBW_OK || outputs[i] == NULL);
      bbw_value_release(outputs[i], &mem.mem);
    }
  }
  bbw_arena_free(&arena);
  REQUIRE(mem.live_bytes == 0);
  return 0;
}
