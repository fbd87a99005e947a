/*
 * sample_set: samples in memory as a data source.
 *
 * The component "SampleSet", role DataSource.  NextBatch() -> batch, labels gives the next rows of the epoch; after the last ones it gives a batch with no rows
 * (first dimension 0): the end is a value, not an error, and stays the answer until Reset, which begins the next epoch.  OnDataLoaded does nothing.
 *
 * Configuration: the payload of a COMPOSITE of two to four values:
 *   tensor  samples, first dimension = how many (rank at least 1)
 *   tensor  labels, first dimension = how many; without elements when there are none, and the second output then is a tensor of no elements
 *   U64     rows of a batch; 0 or absent: all
 *   U64     seed; absent: the epochs keep the order of the rows.  With it each has an order of its own, which follows from seed and epoch
 * State: u32 version, u64 rows, u64 seed, u64 epoch, u64 rows given in it (little-endian).  It fits a set of as many rows and the same seed.
 * Source: operator specification, section 5.5.
 */
#ifndef BBW_COMPONENTS_SAMPLE_SET_H
#define BBW_COMPONENTS_SAMPLE_SET_H

#include "bbw/component.h"

extern const bbw_component_type bbw_sample_set_type;

#endif
