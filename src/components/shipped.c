#include "components/shipped.h"

#include "components/cpu_backend.h"
#include "components/cyclon.h"
#include "components/fedavg.h"
#include "components/global_registry.h"
#include "components/onnx_model.h"
#include "components/peer_selectors.h"
#include "components/sample_set.h"

/* BBW_ENGINE_ONLY: a build for those who bring their own compute.  BBW_INFERENCE_ONLY: nothing that trains.  BBW_NO_CPU_BACKEND: models, but no operators beside them (the simulator in WebAssembly). */
static const bbw_component_type *const types[] = {
#if !defined(BBW_ENGINE_ONLY) && !defined(BBW_NO_CPU_BACKEND)
    &bbw_cpu_backend_type,
#endif
    &bbw_fedavg_type,
#if !defined(BBW_ENGINE_ONLY) && !defined(BBW_INFERENCE_ONLY)
    &bbw_onnx_model_component, &bbw_sample_set_type,
#endif
    &bbw_known_peers_type,     &bbw_constant_view_type, &bbw_registry_server_type,
    &bbw_registry_client_type, &bbw_cyclon_type,
};

const bbw_component_type *const *bbw_shipped_component_types(size_t *count) {
  *count = sizeof types / sizeof types[0];
  return types;
}
