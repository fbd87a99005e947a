/*
 * component_call: one role operator of one component, without a graph around it.
 *
 * component_call_init makes an engine of which only memory, clock, generator and address book are used.  Set inputs, attributes and
 * sender, run, read outputs; inputs are released by component_call_clear or the next run's set-up.
 */
#ifndef BBW_TEST_COMPONENT_CALL_H
#define BBW_TEST_COMPONENT_CALL_H

#include "engine/engine.h"
#include "onnx_build.h"
#include "test_mem.h"

enum { CALL_MAX = 8 };

typedef struct component_call {
  test_mem mem;
  bbw_engine engine;
  onnx_file names; /* owns the node and its attributes */
  bbw_onnx_node *node;
  bbw_op op;
  bbw_inbound inbound;
  bbw_ctx ctx;
  bbw_value *inputs[CALL_MAX];
  bbw_value *outputs[CALL_MAX];
} component_call;

void component_call_init(component_call *call);
void component_call_free(component_call *call); /* afterwards mem.live_bytes is 0 */

/* Starts a new call: no inputs, no attributes, no sender, `outputs` declared outputs. */
void call_begin(component_call *call, bbw_role role, const char *op_type, size_t outputs);
void call_from(component_call *call, uint64_t peer);
void call_input(component_call *call, size_t index, bbw_value *value); /* takes the reference; NULL is absent */
void call_tensor(component_call *call, size_t index, bbw_type type, const char *dims, const float *data, size_t count);
bbw_status call_run(component_call *call, const bbw_component_type *type, void *self);
/* Output as a tensor; fails the test if it is none. */
const bbw_tensor *call_output(const component_call *call, size_t index);
bbw_value *call_make_tensor(component_call *call, bbw_type type, const char *dims, const float *data, size_t count);
bool call_reason_is(const component_call *call, const char *reason);

#endif
