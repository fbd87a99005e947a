/*
 * lanes: an array seen along one axis, as [outer, length, inner]; and numbers that sort like elements.
 */
#ifndef BBW_ONNX_LANES_H
#define BBW_ONNX_LANES_H

#include "bbw/array.h"

typedef struct bbw_lanes {
  size_t outer, length, inner;
} bbw_lanes;

/* axis is below the rank. */
bbw_lanes bbw_lanes_of(const bbw_array *array, uint32_t axis);

/*
 * For elements start, start + step, ... numbers whose unsigned order is that of the elements, whatever their type: equal elements (zeros of both signs too) give
 * equal numbers, NaN is above everything and equal to itself.
 */
void bbw_order_keys(const bbw_array *array, size_t start, size_t step, size_t n, uint64_t *keys);

#endif
