/* load: from a decoded ModelProto to the bodies of a program: names, nodes, constants, order. */
#ifndef BBW_ONNX_LOAD_H
#define BBW_ONNX_LOAD_H

#include "onnx/program.h"

/* Adds the main body and all others to an empty program.  Statuses of bbw_program_new.  scratch: temporaries. */
bbw_status bbw_program_load(bbw_program *program, const bbw_onnx_model *model, bbw_arena *scratch, bbw_error *err);

#endif
