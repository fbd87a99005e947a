/*
 * moody_components: component types under the names that the golden artifacts bind, which answer in every way that the contract allows and in some that it does not.
 *
 * Each call of an instance takes the next mood: nothing, one output, an output set twice, more outputs than declared, an output and then a failure, a bare status, later, later taken back,
 * "later" without a command.  Every second type works in slices: three calls of four say that it is not done, and it is asked again in each poll.
 */
#ifndef BBW_TEST_MOODY_COMPONENTS_H
#define BBW_TEST_MOODY_COMPONENTS_H

#include "base/arena.h"
#include "bbw/component.h"

const bbw_component_type *const *moody_component_types(size_t *count);

/* The compiled golden artifact of that name; empty bytes when the vectors are not there. */
bbw_bytes vector_model(bbw_arena *arena, const char *name);
/* Names of the first functions of a model, at most max; 0 when it does not decode. */
size_t model_targets(bbw_arena *arena, bbw_bytes model, bbw_str *names, size_t max);

#endif
