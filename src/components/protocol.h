/*
 * protocol: what the shipped protocols share: peers out of inputs, lists of addresses in messages, lists of peers as outputs.
 */
#ifndef BBW_COMPONENTS_PROTOCOL_H
#define BBW_COMPONENTS_PROTOCOL_H

#include "bbw/component.h"
#include "format/bincode.h"

/* Addresses that one message may carry for one peer. */
#define BBW_PROTOCOL_ADDRESSES_MAX 8u
#define BBW_PROTOCOL_ADDRESS_BYTES 256u

/* Addresses out of a message, in their binary form; room for as many as there may be. */
typedef struct bbw_protocol_addresses {
  size_t count;
  bbw_bytes items[BBW_PROTOCOL_ADDRESSES_MAX];
  uint8_t bytes[BBW_PROTOCOL_ADDRESSES_MAX][BBW_PROTOCOL_ADDRESS_BYTES];
} bbw_protocol_addresses;

/* A list of addresses in payload form.  False when it does not decode, or holds more or longer ones than there is room for. */
bool bbw_protocol_read_addresses(bbw_bincode_reader *reader, bbw_protocol_addresses *out);
/* Bytes of such a list, of at most BBW_PROTOCOL_ADDRESSES_MAX addresses, and its writer. */
size_t bbw_protocol_addresses_size(const bbw_bytes *items, size_t count);
uint8_t *bbw_protocol_put_addresses(uint8_t *at, const bbw_bytes *items, size_t count);

/* The one peer that an input names: a PeerId, the first of a list, or their bytes. */
bool bbw_protocol_peer_input(const bbw_value *value, bbw_peer_id *out);
/* How many peers Sample is asked for: input 0 as a number, else the attribute `n`. */
bool bbw_protocol_wanted(const bbw_ctx *ctx, size_t *n);
/* Sets output 0 to the list of these peers. */
bbw_status bbw_protocol_set_peers(bbw_ctx *ctx, const bbw_peer_id *const *peers, size_t count);
bool bbw_protocol_is_op(const bbw_ctx *ctx, const char *name);

#endif
