/*
 * bincode: the payload encoding (bincode 1, fixed-width little-endian numbers, 64-bit lengths).
 *
 * A reader walks borrowed bytes; the first failure sets `reason` and leaves `at` on the piece that is wrong.  Trailing bytes are the
 * caller's business: payload decoders ignore them.  Writers fill room that the caller made with the size functions.
 * Source: install specification §7.
 */
#ifndef BBW_FORMAT_BINCODE_H
#define BBW_FORMAT_BINCODE_H

#include "base/bytes.h"
#include "bbw/address.h"
#include "bbw/peer_id.h"

typedef struct bbw_bincode_reader {
  bbw_bytes bytes;
  size_t at;
  const char *reason; /* NULL until something is wrong; a fixed sentence */
} bbw_bincode_reader;

bool bbw_bincode_u8(bbw_bincode_reader *reader, uint8_t *out);
bool bbw_bincode_u32(bbw_bincode_reader *reader, uint32_t *out);
bool bbw_bincode_u64(bbw_bincode_reader *reader, uint64_t *out);
/* A list length.  False when so many elements of at least `element_bytes` cannot be in what is left, so that the result is safe
 * to allocate by. */
bool bbw_bincode_count(bbw_bincode_reader *reader, size_t element_bytes, size_t *out);
/* Exactly `len` bytes. */
bool bbw_bincode_take(bbw_bincode_reader *reader, size_t len, bbw_bytes *out);
/* A length and that many bytes. */
bool bbw_bincode_view(bbw_bincode_reader *reader, bbw_bytes *out);
/* The same, checked as UTF-8. */
bool bbw_bincode_text(bbw_bincode_reader *reader, bbw_str *out);
bool bbw_bincode_peer(bbw_bincode_reader *reader, bbw_peer_id *out);
/* An address in its payload form.  *len receives the length of its binary form, which is written to `out` unless that is NULL; it
 * is never longer than the bytes read. */
bool bbw_bincode_address(bbw_bincode_reader *reader, uint8_t *out, size_t *len);

/* Writers return the place behind what they wrote. */
uint8_t *bbw_bincode_put_u32(uint8_t *at, uint32_t value);
uint8_t *bbw_bincode_put_u64(uint8_t *at, uint64_t value);
/* A length and the bytes. */
uint8_t *bbw_bincode_put_view(uint8_t *at, bbw_bytes bytes);
/* Payload form of an address given in valid binary form. */
size_t bbw_bincode_address_size(bbw_bytes binary);
uint8_t *bbw_bincode_put_address(uint8_t *at, bbw_bytes binary);

#endif
