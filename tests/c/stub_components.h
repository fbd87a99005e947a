/*
 * stub_components: component types under the names that the golden artifacts bind.
 *
 * The data source gives [1, 2, 3] and an empty label, the model echoes its input and has the loss 0; the rest answers nothing.
 */
#ifndef BBW_TEST_STUB_COMPONENTS_H
#define BBW_TEST_STUB_COMPONENTS_H

#include "bbw/component.h"

const bbw_component_type *const *stub_component_types(size_t *count);

#endif
