/* Any bytes: a network is refused with a named status, or it runs and trains within its memory and gives all of it back. */
#include "components/onnx_net.h"
#include "fuzz.h"
#include "test_mem.h"

enum { SAMPLES = 3, WIDTH_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  test_mem mem;
  test_mem_init(&mem);
  mem.limit_bytes = 8u << 20;
  bbw_onnx_net *net = NULL;
  bbw_error err;
  bbw_status rv = bbw_onnx_net_new(&net, (bbw_bytes){data, len}, &mem.mem, &err);
  REQUIRE((rv == BBW_OK) == (net != NULL));
  REQUIRE(rv == BBW_OK || err.status == (int32_t)rv);
  if (rv == BBW_OK && bbw_onnx_net_input_width(net) <= WIDTH_MAX && bbw_onnx_net_output_width(net) <= WIDTH_MAX) {
    static float x[SAMPLES * WIDTH_MAX], y[SAMPLES * WIDTH_MAX], labels[SAMPLES];
    for (size_t i = 0; i < SAMPLES * WIDTH_MAX; i++) { x[i] = (float)(i % 7) - 3.0f; }
    bbw_train_options options = {.epochs = 2, .batch_size = 2, .rate = 0.1f, .seed = 1};
    double loss;
    rv = bbw_onnx_net_forward(net, x, SAMPLES, y, &err);
    REQUIRE(rv == BBW_OK || err.status == (int32_t)rv);
    bool is_index = bbw_onnx_net_label_width(net, true) == 1;
    rv = bbw_onnx_net_train(net, x, (bbw_labels){is_index ? labels : y, is_index}, SAMPLES, &options, &loss, &err);
    REQUIRE(rv == BBW_OK || err.status == (int32_t)rv);
  }
  bbw_onnx_net_del(net);
  REQUIRE(mem.live_bytes == 0);
  return 0;
}
