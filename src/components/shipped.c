#include "components/shipped.h"

const bbw_component_type *const *bbw_shipped_component_types(size_t *count) {
  *count = 0;
  return NULL;
}
