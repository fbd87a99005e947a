/*
 * bbw: the whole public C API of bb-wasm.
 */
#ifndef BBW_BBW_H
#define BBW_BBW_H

#include "bbw/address.h"
#include "bbw/array.h"
#include "bbw/base.h"
#include "bbw/compiler.h"
#include "bbw/component.h"
#include "bbw/envelope.h"
#include "bbw/error.h"
#include "bbw/node.h"
#include "bbw/peer_id.h"
#include "bbw/session.h"
#include "bbw/step.h"
#include "bbw/value.h"

#endif
