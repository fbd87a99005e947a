/*
 * varint: the unsigned LEB128 numbers of multihashes and addresses.
 *
 * At most ten bytes; the shortest form is required, with one exception that the reference has: of the tenth byte only the
 * lowest bit is used and the others are dropped.  Protobuf has rules of its own (pbwire).  Source: wire specification, §1.
 */
#ifndef BBW_FORMAT_VARINT_H
#define BBW_FORMAT_VARINT_H

#include "bbw/base.h"

#define BBW_VARINT_BYTES_MAX 10u

typedef enum bbw_varint_result {
  BBW_VARINT_OK,
  BBW_VARINT_INSUFFICIENT, /* the input ends inside the number */
  BBW_VARINT_OVERFLOW,     /* the tenth byte is not the last */
  BBW_VARINT_NOT_MINIMAL,  /* the last byte adds nothing */
} bbw_varint_result;

/* Reads at *at, which is moved behind the number only on BBW_VARINT_OK. */
bbw_varint_result bbw_varint_read(bbw_bytes bytes, size_t *at, uint64_t *out);

#endif
