/* session: the public session (bbw/session.h) from a model that is decoded already. */
#ifndef BBW_ONNX_SESSION_H
#define BBW_ONNX_SESSION_H

#include "bbw/session.h"
#include "format/onnx.h"

/* `model` is not kept.  Statuses of bbw_session_new. */
bbw_status bbw_session_make(bbw_session **out, const bbw_onnx_model *model, const bbw_session_options *options,
                            const bbw_mem *mem, bbw_error *err);

#endif
