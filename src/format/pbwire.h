/*
 * pbwire: the smallest pieces of protobuf bytes: varints, field keys, lengths, and what to skip.
 *
 * A reader walks borrowed bytes and never passes `end`.  The first failure sets `reason` and leaves `at` on the piece that is
 * wrong; a reader that failed must not be used further.  Two decoders share it: the table codec (proto) and the envelope.
 * Source: install specification §1.1, wire specification §5.3.
 */
#ifndef BBW_FORMAT_PBWIRE_H
#define BBW_FORMAT_PBWIRE_H

#include "bbw/error.h"

/* Messages and unknown groups that may lie inside each other. */
#define BBW_PBWIRE_DEPTH_MAX 100u

enum {
  BBW_WIRE_VARINT = 0,
  BBW_WIRE_FIXED64 = 1,
  BBW_WIRE_BYTES = 2,
  BBW_WIRE_GROUP = 3,
  BBW_WIRE_GROUP_END = 4,
  BBW_WIRE_FIXED32 = 5
};

typedef struct bbw_pbwire_reader {
  const uint8_t *bytes;
  size_t at;
  size_t end;
  const char *reason; /* NULL until something is wrong; a fixed word */
} bbw_pbwire_reader;

/* The words that `reason` can be. */
#define BBW_PBWIRE_TRUNCATED "truncated"
#define BBW_PBWIRE_VARINT    "varint"
#define BBW_PBWIRE_KEY       "key"
#define BBW_PBWIRE_WIRE_TYPE "wire type"
#define BBW_PBWIRE_GROUP     "group"
#define BBW_PBWIRE_DEPTH     "depth"

/* At most ten bytes, the tenth at most 1; longer spellings of a number are accepted. */
bool bbw_pbwire_varint(bbw_pbwire_reader *reader, uint64_t *out);
/* A field key of at most 32 bits, number not 0, wire type not 6 or 7. */
bool bbw_pbwire_key(bbw_pbwire_reader *reader, uint32_t *number, uint32_t *wire);
/* Four or eight little-endian bytes. */
bool bbw_pbwire_fixed32(bbw_pbwire_reader *reader, uint32_t *out);
bool bbw_pbwire_fixed64(bbw_pbwire_reader *reader, uint64_t *out);
/* A length and that many bytes. */
bool bbw_pbwire_view(bbw_pbwire_reader *reader, bbw_bytes *out);
/* The value behind a key that nothing knows.  `depth` is how many messages enclose the field, 0 at the top. */
bool bbw_pbwire_skip(bbw_pbwire_reader *reader, uint32_t number, uint32_t wire, size_t depth);

/* Bytes of a varint, 1 to 10. */
size_t bbw_pbwire_varint_size(uint64_t value);
/* Writes the shortest form and returns its size. */
size_t bbw_pbwire_varint_write(uint64_t value, uint8_t *out);

#endif
