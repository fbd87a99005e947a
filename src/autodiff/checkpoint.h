/*
 * checkpoint: less memory for a step of training, for more work.
 *
 * Splits the forward nodes into segments.  What a segment makes for itself is dropped when it has run; where the backward nodes want it, copies of the segment's nodes make it once more
 * from what is kept: parameters, inputs, and values that cross from one segment to the next.  The last segment is kept whole.  The copies are the same operators over the same
 * values, so every number has the bits that it has without.
 */
#ifndef BBW_AUTODIFF_CHECKPOINT_H
#define BBW_AUTODIFF_CHECKPOINT_H

#include "onnx/program.h"

/* As many segments as the square root of the nodes. */
#define BBW_SEGMENTS_AUTO UINT32_MAX

/*
 * body: finished but for this; its first output is made by the last forward node.  Segments end where few values cross, near equal shares of the nodes; 0 and 1 change nothing.
 * BBW_E_NOMEM; the body is not to be used then.
 */
bbw_status bbw_checkpoint(bbw_program *program, bbw_body *body, uint32_t segments, bbw_error *err);

#endif
