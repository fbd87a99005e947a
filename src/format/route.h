/*
 * route: the number by which a receiving site is named in an address.
 *
 * A hash of partition and value name with the top bit set, so that it survives reinstallation and never meets an ordinal site number.  Compiler and install compute it alike.
 */
#ifndef BBW_FORMAT_ROUTE_H
#define BBW_FORMAT_ROUTE_H

#include "bbw/base.h"

/* FNV-1a 64 of partition, a zero byte, value; the top bit set. */
uint64_t bbw_route_id(bbw_str partition, bbw_str value);

#endif
