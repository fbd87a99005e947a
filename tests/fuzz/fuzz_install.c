/* Any bytes as an artifact: install answers; what it accepts can be invoked and polled; nothing is left in the end. */
#include "bbw/node.h"
#include "fuzz.h"
#include "moody_components.h"
#include "node/node.h"
#include "test_mem.h"

#define POLLS_MAX 20

static uint64_t hash_of(const uint8_t *data, size_t len) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < len; i++) { hash = (hash ^ data[i]) * 0x100000001b3u; }
  return hash;
}

static void use(bbw_node *node) {
  static const uint8_t bytes[5] = {1, 2, 3, 4, 5};
  for (size_t m = 0; m < bbw_node_module_count(node); m++) {
    const bbw_graph *graph = node->modules[m];
    bbw_named_bytes inputs[8];
    size_t count = graph->function->input.count < 8 ? graph->function->input.count : 8;
    for (size_t i = 0; i < count; i++) {
      inputs[i] = (bbw_named_bytes){*BBW_PROTO_AT(&graph->function->input, bbw_str, i), {bytes, i % 6}};
    }
    uint64_t exec_id;
    (void)bbw_node_invoke(node, graph->name, inputs, count, &exec_id, NULL);
    if (count != 0) { (void)bbw_node_deliver_event(node, graph->name, inputs[0].name, inputs[0].bytes, NULL); }
  }
  for (unsigned i = 0; i < POLLS_MAX; i++) {
    bbw_bytes steps;
    bool is_pending;
    (void)bbw_node_tick(node, i * UINT64_C(1000000000));
    bbw_status rv = bbw_node_poll(node, &steps, &is_pending, NULL);
    REQUIRE(rv == BBW_OK || rv == BBW_E_NOMEM);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  uint64_t hash = hash_of(data, len);
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_bytes model = {data, len};
  bbw_str names[3] = {BBW_STR("M")};
  size_t count = model_targets(&arena, model, names, 3);
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64(1), .model = model, .targets = names, .target_count = count == 0 ? 1 : count};
  options.component_types = moody_component_types(&options.component_type_count);
  for (unsigned pass = 0; pass < 2; pass++) {
    test_mem mem;
    test_mem_init(&mem);
    mem.limit_bytes = 64u << 20;
    if ((hash & 7) == 0) { mem.fail_at = (size_t)(hash >> 8) % 300; }
    options.is_unresolved_allowed = pass == 1;
    bbw_node *node = NULL;
    bbw_error err;
    bbw_status rv = bbw_node_install(&node, &options, &mem.mem, &err);
    REQUIRE((rv == BBW_OK) == (node != NULL) && err.status == (int32_t)rv);
    if (node != NULL) { use(node); }
    bbw_node_del(node);
    REQUIRE(mem.live_bytes == 0 && mem.live_count == 0);
  }
  bbw_arena_free(&arena);
  return 0;
}
