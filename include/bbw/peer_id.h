/*
 * peer_id: who a node is.
 *
 * A PeerId is a multihash: code, size, digest of at most 64 bytes.  Its bytes are uvarint(code), uvarint(size), digest;
 * its text is base58btc of those bytes (12D3Koo..., Qm...).  Any code is accepted and the digest length is not tied to
 * it.  Source: wire specification, section 2.1.
 */
#ifndef BBW_PEER_ID_H
#define BBW_PEER_ID_H

#include "bbw/error.h"

#define BBW_PEER_ID_DIGEST_BYTES_MAX 64u
/* 10 bytes of code, 1 of size, the digest. */
#define BBW_PEER_ID_BYTES_MAX 75u
/* Base58 needs at most ceil(bytes * 138 / 100) + 1 characters. */
#define BBW_PEER_ID_TEXT_BYTES_MAX 105u

typedef struct bbw_peer_id {
  uint64_t code;
  uint8_t size;                                 /* digest bytes in use, 0..64 */
  uint8_t digest[BBW_PEER_ID_DIGEST_BYTES_MAX]; /* zero behind `size` */
} bbw_peer_id;

/* Decodes all of `bytes`.  Returns BBW_OK or BBW_E_PEER_ID with field "reason" (VarintInsufficient, VarintOverflow,
 * VarintNotMinimal, UnexpectedEof, InvalidSize) and the offset; *out is written only on BBW_OK. */
bbw_status bbw_peer_id_decode(bbw_peer_id *out, bbw_bytes bytes, bbw_error *err);

/* Writes the multihash bytes and returns how many (at most BBW_PEER_ID_BYTES_MAX). */
size_t bbw_peer_id_encode(const bbw_peer_id *peer, uint8_t out[BBW_PEER_ID_BYTES_MAX]);

/* Writes the base58btc text (no terminator) and returns its length. */
size_t bbw_peer_id_to_text(const bbw_peer_id *peer, char out[BBW_PEER_ID_TEXT_BYTES_MAX]);

/* Reads base58btc text.  BBW_OK or BBW_E_PEER_ID. */
bbw_status bbw_peer_id_from_text(bbw_peer_id *out, bbw_str text, bbw_error *err);

/* The identity multihash of a number: code 0, eight digest bytes, big-endian. */
bbw_peer_id bbw_peer_id_from_u64(uint64_t value);
/* The inverse; false for any other shape. */
bool bbw_peer_id_as_u64(const bbw_peer_id *peer, uint64_t *out);

bool bbw_peer_id_equal(const bbw_peer_id *a, const bbw_peer_id *b);
/* Negative, 0, positive: by code, then size, then the zero-padded digest. */
int bbw_peer_id_compare(const bbw_peer_id *a, const bbw_peer_id *b);
/* FNV-1a 64 of the digest: the number that names a peer in RTT tables and timeouts (wire specification §12). */
uint64_t bbw_peer_id_site(const bbw_peer_id *peer);

#endif
