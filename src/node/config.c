#include <string.h>

#include "engine/engine.h"
#include "node/node.h"

/* Live executions of a node; what comes beyond waits in the ingress queue. */
#define MAX_EXECUTIONS_DEFAULT 100000u

void bbw_config_init(bbw_config *config) {
  *config = (bbw_config){
      .cycle_op_budget = 1000,
      .max_pending_async = 10000,
      .max_outbound_queue = 10000,
      .max_outbound_bytes = 67108864,
      .bus_capacity = 1024,
      .max_executions = MAX_EXECUTIONS_DEFAULT,
      .per_hop_budget_ns = 100000000,
      .async_deadline_ns = 0,
      .backpressure_high_water_pct = 75,
      .backpressure_k_before_silent = 3,
      .backpressure_min_notice_interval_ns = 1000000000,
      .ingress_byte_budget = 268435456,
      .max_app_event_bytes = 1048576,
      .max_invoke_inputs = 100,
      .max_invoke_bytes = 10485760,
      .max_completion_result_bytes = 4194304,
      .envelope_caps = bbw_envelope_caps_default,
      .rng_seed = 0,
      .step_mask = UINT64_MAX,
  };
}

void bbw_config_init_edge(bbw_config *config) {
  bbw_config_init(config);
  config->ingress_byte_budget = 8388608;
  config->max_outbound_bytes = 4194304;
  config->max_app_event_bytes = 65536;
  config->max_invoke_inputs = 16;
  config->max_invoke_bytes = 262144;
  config->max_completion_result_bytes = 65536;
  config->envelope_caps = bbw_envelope_caps_edge;
}

bbw_status bbw_config_check(const bbw_config *config, bbw_error *err) {
  const char *field = NULL;
  if (config->bus_capacity == 0 || config->bus_capacity > UINT32_MAX / 4) { field = "bus_capacity"; }
  if (config->max_outbound_queue == 0) { field = "max_outbound_queue"; }
  if (config->max_executions == 0) { field = "max_executions"; }
  uint64_t pct = config->backpressure_high_water_pct;
  if (pct == 0 || pct > 100) { field = "backpressure_high_water_pct"; }
  if (config->backpressure_k_before_silent == 0) { field = "backpressure_k_before_silent"; }
  if (config->backpressure_min_notice_interval_ns == 0) { field = "backpressure_min_notice_interval_ns"; }
  if (field == NULL) { return BBW_OK; }
  bbw_error_set(err, BBW_E_ARG);
  bbw_error_add_str(err, "field", (bbw_str){field, strlen(field)});
  return BBW_E_ARG;
}

const bbw_config *bbw_node_get_config(const bbw_node *node) { return &node->engine.config; }

bbw_status bbw_node_set_config(bbw_node *node, const bbw_config *config, bbw_error *err) {
  bbw_engine *engine = &node->engine;
  bbw_error_set(err, BBW_OK);
  if (engine->is_running) { return bbw_error_set(err, BBW_E_BUSY); }
  bbw_status rv = bbw_config_check(config, err);
  if (rv != BBW_OK) { return rv; }
  rv = bbw_bus_set_cap(&engine->bus, (size_t)config->bus_capacity);
  if (rv != BBW_OK) { return bbw_error_set(err, rv); }
  uint64_t seed = engine->config.rng_seed;
  engine->config = *config;
  engine->config.rng_seed = seed;
  engine->config.step_mask |= BBW_STEP_MASK_ALWAYS;
  engine->steps.mask = engine->config.step_mask;
  engine->ingress.cap = (size_t)config->bus_capacity * 4;
  engine->outbound.cap = config->max_outbound_queue;
  engine->outbound.bytes_max = config->max_outbound_bytes;
  engine->backpressure.config = bbw_engine_backpressure_config(config); /* what peers were told stays known */
  return BBW_OK;
}
