/*
 * shipped: the component types that come with the engine.
 */
#ifndef BBW_COMPONENTS_SHIPPED_H
#define BBW_COMPONENTS_SHIPPED_H

#include "bbw/component.h"

/* All of them; the array lives for ever. */
const bbw_component_type *const *bbw_shipped_component_types(size_t *count);

#endif
