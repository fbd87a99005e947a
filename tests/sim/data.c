/* data: what the simulator brings itself: a data source whose answers the host brings later, like a page that reads a file or a client that is slow, and the mean of two tensors. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum { SAMPLES = 6 };

typedef struct source {
  sim *sim;
} source;

static bbw_status construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                            const bbw_mem *mem, bbw_error *err) {
  (void)has_config;
  (void)config;
  (void)err;
  source *d = mem->alloc(mem->ctx, sizeof(*d));
  if (d == NULL) { return BBW_E_NOMEM; }
  *d = (source){.sim = type->type_ctx};
  *self = d;
  return BBW_OK;
}

static void destroy(void *self, const bbw_mem *mem) {
  if (self != NULL) { mem->free(mem->ctx, self, sizeof(source)); }
}

static bbw_status dispatch(void *self, bbw_ctx *ctx) {
  sim *s = ((source *)self)->sim;
  uint64_t cmd_id, number = 0;
  bbw_status rv = bbw_ctx_later(ctx, &cmd_id);
  if (rv != BBW_OK) { return rv; }
  if (!bbw_peer_id_as_u64(bbw_ctx_self_peer(ctx), &number) || number == 0) { return BBW_E_COMPONENT; }
  sim_node *n = &s->nodes[number - 1];
  if (s->is_twin_polled) { return BBW_LATER; } /* what the twin asks for is not asked for again */
  sim_host *host = &n->host;
  host->commands = sim_grow(host->commands, &host->command_cap, host->command_count + 1, sizeof(*host->commands));
  host->commands[host->command_count++] = cmd_id;
  uint64_t delay_ns = sim_rng_between(&s->app, s->work_min_ns, s->work_max_ns);
  if (sim_rng_chance(&s->app, 30000)) { delay_ns *= 10; } /* a straggler */
  sim_at(s, s->now_ns + delay_ns, SIM_COMPLETE, n, cmd_id, NULL);
  return BBW_LATER;
}

static bool supports(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return role == BBW_ROLE_DATA_SOURCE && SIM_IS(op_type, "NextBatch");
}

/* ---- the mean of two tensors: a backend of one operator, so that the module in WebAssembly does not hold them all ---- */

/*
 * Two that are next to each other become the one farther from zero: with means alone, Nodes whose envelopes cross again and again can swap roundings for ever (they did, seed 117626).
 */
#define NEIGHBOURS_ULP 4u

static float mean_of(float a, float b) {
  uint32_t x, y;
  memcpy(&x, &a, sizeof(x));
  memcpy(&y, &b, sizeof(y));
  if (x >> 31 == y >> 31 && (x > y ? x - y : y - x) <= NEIGHBOURS_ULP) { return x > y ? a : b; }
  return (a + b) * 0.5f;
}

static bbw_status mean(void *self, bbw_ctx *ctx) {
  (void)self;
  const bbw_tensor *a = bbw_ctx_input_tensor(ctx, 0), *b = bbw_ctx_input_tensor(ctx, 1);
  if (a == NULL) { return bbw_ctx_fail_input(ctx, 0, "CpuTensor"); }
  if (b == NULL) { return bbw_ctx_fail_input(ctx, 1, "CpuTensor"); }
  if (a->count != b->count) {
    return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "shape_mismatch", BBW_STR("tensors of two sizes have no mean"));
  }
  bbw_value *value;
  float *out;
  bbw_status rv = bbw_value_new_tensor(&value, &out, BBW_TYPE_CPU_TENSOR, a->dims, a->rank, bbw_ctx_mem(ctx));
  if (rv != BBW_OK) { return rv; }
  for (size_t i = 0; i < a->count; i++) { out[i] = mean_of(a->data[i], b->data[i]); }
  bbw_ctx_set_output(ctx, 0, value);
  return BBW_OK;
}

static bool supports_mean(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return role == BBW_ROLE_BACKEND && SIM_IS(op_type, "Mean");
}

/* ---- both ---- */

void sim_data_type(sim *s) {
  s->mean_type = (bbw_component_type){.type_name = "SimMean",
                                      .role_bits = BBW_ROLE_BIT(BBW_ROLE_BACKEND),
                                      .type_ctx = s,
                                      .construct = construct,
                                      .destroy = destroy,
                                      .dispatch = mean,
                                      .supports = supports_mean};
  s->types[1] = &s->mean_type;
  s->data_type = (bbw_component_type){.type_name = "SimData",
                                      .role_bits = BBW_ROLE_BIT(BBW_ROLE_DATA_SOURCE),
                                      .type_ctx = s,
                                      .construct = construct,
                                      .destroy = destroy,
                                      .dispatch = dispatch,
                                      .supports = supports};
  s->types[0] = &s->data_type;
}

/* Samples of a Node: numbers that f32 holds exactly, and a label for each. */
static sim_buf tensor_payload(uint64_t rows, uint64_t columns, uint64_t seed, bool is_label) {
  const uint64_t dims[2] = {rows, columns};
  bbw_value *value;
  float *data;
  sim_buf out = {NULL, 0, 0};
  if (bbw_value_new_tensor(&value, &data, BBW_TYPE_CPU_TENSOR, dims, columns == 0 ? 1 : 2, &bbw_mem_libc) != BBW_OK) {
    abort();
  }
  for (size_t i = 0; i < value->as.tensor.count; i++) {
    uint64_t draw = sim_mix(seed + i);
    data[i] = is_label ? (float)(draw % SIM_MODEL_CLASSES) : (float)((int64_t)(draw % 513) - 256) / 256.0f;
  }
  out.len = out.cap = bbw_value_payload_size(value);
  out.bytes = sim_alloc(out.len);
  bbw_value_payload_write(value, out.bytes);
  bbw_value_release(value, &bbw_mem_libc);
  return out;
}

void sim_data_complete(sim_node *n, uint64_t cmd_id) {
  sim *s = n->sim;
  sim_host *host = &n->host;
  size_t i = 0;
  if (n->state == SIM_FROZEN) { /* the page does not run: its promises wait */
    sim_at(s, s->now_ns + 200 * SIM_MS, SIM_COMPLETE, n, cmd_id, NULL);
    return;
  }
  while (i < host->command_count && host->commands[i] != cmd_id) { i++; }
  if (n->state != SIM_UP || i == host->command_count) { return; }
  sim_buf x = tensor_payload(SAMPLES, SIM_MODEL_INPUTS, s->options.seed ^ (uint64_t)n->index << 32, false);
  sim_buf y = tensor_payload(SAMPLES, 0, s->options.seed ^ (uint64_t)n->index << 40, true);
  const bbw_typed_bytes results[2] = {{bbw_type_hash(BBW_TYPE_CPU_TENSOR), {x.bytes, x.len}},
                                      {bbw_type_hash(BBW_TYPE_CPU_TENSOR), {y.bytes, y.len}}};
  bbw_status rv = sim_complete(n, cmd_id, results, 2);
  if (rv == BBW_E_INGRESS_FULL || rv == BBW_E_BUDGET_EXCEEDED) {
    sim_at(s, s->now_ns + 5 * SIM_MS, SIM_COMPLETE, n, cmd_id, NULL);
  } else {
    host->commands[i] = host->commands[--host->command_count];
    if (rv != BBW_OK && rv != BBW_E_UNKNOWN_COMMAND) { sim_fail(s, n, "complete: status %d", (int)rv); }
  }
  sim_buf_free(&x);
  sim_buf_free(&y);
}
