/* Any bytes as a recorded model: compiling answers and leaks nothing; what compiles once compiles to the same bytes again, and installs. */
#include "bbw/compiler.h"
#include "bbw/node.h"
#include "fuzz.h"
#include "moody_components.h"
#include "test_mem.h"

static const bbw_binding bindings[] = {
    {{"backend", 7}, BBW_ROLE_BACKEND, {"bytesandbrains::backends::cpu::CpuBackend", 41}},
    {{"model", 5}, BBW_ROLE_MODEL, {"StubModel", 9}},
    {{"data", 4}, BBW_ROLE_DATA_SOURCE, {"StubLoader", 10}},
    {{"agg", 3}, BBW_ROLE_AGGREGATOR, {"FedAvg", 6}},
    {{"index", 5}, BBW_ROLE_INDEX, {"TestIndex", 9}},
    {{"codec", 5}, BBW_ROLE_CODEC, {"TestCodec", 9}},
    {{"peers", 5}, BBW_ROLE_PEER_SELECTOR, {"ConstantView", 12}},
};

static bbw_bytes compile(bbw_bytes model, const bbw_compile_options *options, test_mem *mem) {
  uint8_t *out = NULL;
  size_t len = 0;
  bbw_error err;
  bbw_status rv = bbw_compile(&out, &len, model, options, &mem->mem, &err);
  REQUIRE((rv == BBW_OK) == (out != NULL) && err.status == (int32_t)rv);
  return (bbw_bytes){out, len};
}

static void install(bbw_bytes model, const bbw_mem *mem) {
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_str names[3];
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64(1), .model = model, .targets = names, .is_unresolved_allowed = true};
  options.target_count = model_targets(&arena, model, names, 1);
  options.component_types = moody_component_types(&options.component_type_count);
  REQUIRE(options.target_count == 1);
  bbw_node *node = NULL;
  bbw_error err;
  bbw_status rv = bbw_node_install(&node, &options, mem, &err);
  REQUIRE(rv == BBW_OK || rv == BBW_E_NOMEM);
  bbw_node_del(node);
  bbw_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  test_mem mem;
  test_mem_init(&mem);
  mem.limit_bytes = 64u << 20;
  bbw_compile_options options = {.bindings = bindings,
                                 .binding_count = sizeof(bindings) / sizeof(bindings[0]),
                                 .is_permissive_types = (len & 1) != 0,
                                 .routing = (len & 2) != 0 ? BBW_ROUTING_ORDINAL : BBW_ROUTING_STABLE};
  bbw_bytes model = {data, len};
  bbw_bytes first = compile(model, &options, &mem);
  if (first.ptr != NULL) {
    bbw_bytes second = compile(model, &options, &mem);
    REQUIRE(second.len == first.len && memcmp(first.ptr, second.ptr, first.len) == 0);
    mem.mem.free(mem.mem.ctx, (void *)(uintptr_t)second.ptr, second.len);
    install(first, &mem.mem);
    mem.mem.free(mem.mem.ctx, (void *)(uintptr_t)first.ptr, first.len);
  }
  REQUIRE(mem.live_bytes == 0 && mem.live_count == 0);
  return 0;
}
