/* session: the public session (bbw/session.h) from a model that is decoded already. */
#ifndef BBW_ONNX_SESSION_H
#define BBW_ONNX_SESSION_H

#include "bbw/session.h"
#include "format/onnx.h"
#include "onnx/program.h"

/* `model` is not kept.  Statuses of bbw_session_new. */
bbw_status bbw_session_make(bbw_session **out, const bbw_onnx_model *model, const bbw_session_options *options,
                            const bbw_mem *mem, bbw_error *err);

/* A port as the public headers describe it. */
bbw_port_info bbw_port_info_of(const bbw_port *port);
/* The first `wanted` inputs of the body against their declaration.  Statuses of bbw_session_run. */
bbw_status bbw_body_check_inputs(const bbw_body *body, uint32_t wanted, const bbw_array *inputs, size_t count,
                                 bbw_error *err);

#endif
