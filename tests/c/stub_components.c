#include "stub_components.h"

#include <string.h>

#include "base/bytes.h"

static bbw_status stub_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                 const bbw_mem *mem, bbw_error *err) {
  (void)type;
  (void)config;
  if (has_config) {
    bbw_error_set(err, BBW_E_INST_CONFIG_TYPE);
    bbw_error_add_str(err, "detail", BBW_STR("takes no configuration"));
    return BBW_E_INST_CONFIG_TYPE;
  }
  *self = mem->alloc(mem->ctx, 16);
  return *self == NULL ? BBW_E_NOMEM : BBW_OK;
}

static void stub_destroy(void *self, const bbw_mem *mem) { mem->free(mem->ctx, self, 16); }

static bbw_status give_vector(bbw_ctx *ctx, size_t output, uint64_t count) {
  bbw_value *value;
  float *data;
  bbw_status rv = bbw_value_new_tensor(&value, &data, BBW_TYPE_F32_SLICE, &count, 1, bbw_ctx_mem(ctx));
  for (uint64_t i = 0; rv == BBW_OK && i < count; i++) { data[i] = (float)(i + 1); }
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, output, value); }
  return rv;
}

static bool op_is(const bbw_ctx *ctx, const char *name) {
  return bbw_str_equal(bbw_ctx_op_type(ctx), (bbw_str){name, strlen(name)});
}

static bbw_status stub_dispatch(void *self, bbw_ctx *ctx) {
  (void)self;
  if (op_is(ctx, "NextBatch")) {
    bbw_status rv = give_vector(ctx, 0, 3);
    return rv == BBW_OK ? give_vector(ctx, 1, 0) : rv;
  }
  if (op_is(ctx, "Forward")) {
    if (bbw_ctx_input_tensor(ctx, 0) == NULL) { return bbw_ctx_fail_input(ctx, 0, "tensor"); }
    bbw_ctx_set_output(ctx, 0, bbw_value_retain(bbw_ctx_input(ctx, 0)));
    return BBW_OK;
  }
  if (op_is(ctx, "Params")) { return give_vector(ctx, 0, 0); }
  if (op_is(ctx, "ComputeLoss")) {
    bbw_value *loss;
    bbw_status rv = bbw_value_new_f32(&loss, 0.0f, bbw_ctx_mem(ctx));
    if (rv == BBW_OK) { bbw_ctx_set_output(ctx, 0, loss); }
    return rv;
  }
  return BBW_OK;
}

#define STUB(name, bits)                                                                        \
  {                                                                                             \
    .type_name = name, .role_bits = bits, .construct = stub_construct, .destroy = stub_destroy, \
    .dispatch = stub_dispatch                                                                   \
  }
#define BIT(role) BBW_ROLE_BIT(BBW_ROLE_##role)

static const bbw_component_type stubs[] = {
    STUB("StubModel", BIT(MODEL)),
    STUB("MyModel", BIT(MODEL)),
    STUB("NoopModel", BIT(MODEL)),
    STUB("StubLoader", BIT(DATA_SOURCE)),
    STUB("MyData", BIT(DATA_SOURCE)),
    STUB("NoopDataLoader", BIT(DATA_SOURCE)),
    STUB("StubAggregator", BIT(AGGREGATOR)),
    STUB("FedAvg", BIT(AGGREGATOR)),
    STUB("TestIndex", BIT(INDEX)),
    STUB("TestCodec", BIT(CODEC)),
    STUB("ConstantView", BIT(PEER_SELECTOR)),
    STUB("GlobalRegistryServer", BIT(PEER_SELECTOR) | BIT(PROTOCOL)),
    STUB("GlobalRegistryClient", BIT(PROTOCOL)),
    STUB("bytesandbrains::backends::cpu::CpuBackend", BIT(BACKEND)),
};

const bbw_component_type *const *stub_component_types(size_t *count) {
  static const bbw_component_type *const list[] = {&stubs[0],  &stubs[1],  &stubs[2],  &stubs[3], &stubs[4],
                                                   &stubs[5],  &stubs[6],  &stubs[7],  &stubs[8], &stubs[9],
                                                   &stubs[10], &stubs[11], &stubs[12], &stubs[13]};
  *count = sizeof(list) / sizeof(list[0]);
  return list;
}
