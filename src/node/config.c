#include "bbw/node.h"

/* Live executions of a node; what comes beyond waits in the ingress queue. */
#define MAX_EXECUTIONS_DEFAULT 100000u

void bbw_config_init(bbw_config *config) {
  *config = (bbw_config){
      .cycle_op_budget = 1000,
      .max_pending_async = 10000,
      .max_outbound_queue = 10000,
      .bus_capacity = 1024,
      .max_executions = MAX_EXECUTIONS_DEFAULT,
      .per_hop_budget_ns = 100000000,
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
  config->max_app_event_bytes = 65536;
  config->max_invoke_inputs = 16;
  config->max_invoke_bytes = 262144;
  config->max_completion_result_bytes = 65536;
  config->envelope_caps = bbw_envelope_caps_edge;
}
