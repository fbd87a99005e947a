/*
 * envelope: decoding of untrusted envelope bytes (the public header has the struct and the encoder).
 */
#ifndef BBW_FORMAT_ENVELOPE_H
#define BBW_FORMAT_ENVELOPE_H

#include "base/arena.h"
#include "bbw/envelope.h"

/*
 * Decodes under caps.  All text and bytes are views into `bytes`; arrays come from the arena and are allocated only after their
 * counts were checked against the caps or the input length.
 * Errors in the order of wire specification §5.2: BBW_E_ENV_OVERSIZE (cap_bytes, got_bytes), BBW_E_ENV_MALFORMED (reason, offset),
 * BBW_E_ENV_VERSION (got, supported), BBW_E_ENV_TOO_MANY_FILLS (cap, got), BBW_E_ENV_OVERSIZE_FILL (which, cap_bytes, got_bytes),
 * BBW_E_ENV_TOO_MANY_SRC_ADDRESSES (cap, got), BBW_E_ENV_OVERSIZE_SRC_ADDRESS (cap_bytes, got_bytes); BBW_E_NOMEM.
 */
bbw_status bbw_envelope_decode(bbw_envelope *out, bbw_bytes bytes, const bbw_envelope_caps *caps, bbw_arena *arena,
                               bbw_error *err);

#endif
