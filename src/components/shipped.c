#include "components/shipped.h"

#include "components/cpu_backend.h"
#include "components/fedavg.h"
#include "components/onnx_model.h"
#include "components/peer_selectors.h"

static const bbw_component_type *const types[] = {
    &bbw_cpu_backend_type, &bbw_fedavg_type, &bbw_onnx_model_component, &bbw_known_peers_type, &bbw_constant_view_type,
};

const bbw_component_type *const *bbw_shipped_component_types(size_t *count) {
  *count = sizeof types / sizeof types[0];
  return types;
}
