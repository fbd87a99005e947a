/* address_book: what a graph knows about peers (operator specification §3.11).  Inputs are found by name, then by position. */
#include "base/bytes.h"
#include "engine/engine.h"
#include "ops/ops.h"

static bbw_status take_peer(bbw_ctx *ctx, bbw_peer_id *out) {
  const bbw_value *value = bbw_ctx_input_named(ctx, "peer", 0);
  if (value == NULL) { return bbw_ctx_fail(ctx, BBW_OP_MISSING_SLOT, "missing_peer", BBW_STR("there is no peer")); }
  bool is_peer = value->type == BBW_TYPE_PEER_ID || value->type == BBW_TYPE_RAW_PEER;
  if (!is_peer || bbw_peer_id_decode(out, value->as.bytes, NULL) != BBW_OK) {
    return bbw_ctx_fail(ctx, BBW_OP_TYPE_MISMATCH, "expected_peer_id", BBW_STR("the peer is not a peer id"));
  }
  return BBW_OK;
}

/* Known peers get the new addresses; unknown ones an entry. */
static bbw_status insert(bbw_ctx *ctx, const bbw_peer_id *peer, const bbw_bytes *addresses, size_t count,
                         const char *reason) {
  bbw_address_book *book = &ctx->engine->address_book;
  const bbw_bytes *known;
  size_t known_count;
  bbw_status rv = BBW_OK;
  if (bbw_address_book_lookup(book, peer, &known, &known_count)) {
    for (size_t i = 0; rv == BBW_OK && i < count; i++) {
      rv = bbw_address_book_register_address(book, peer, addresses[i]);
    }
  } else {
    rv = bbw_address_book_add_peer(book, peer, addresses, count);
  }
  if (rv != BBW_OK) { return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, reason, bbw_status_text(rv)); }
  bbw_ctx_set_trigger(ctx, 0);
  return BBW_OK;
}

bbw_status bbw_op_address_book_insert(bbw_ctx *ctx) {
  bbw_peer_id peer;
  bbw_status rv = take_peer(ctx, &peer);
  if (rv != BBW_OK) { return rv; }
  const bbw_value *address = bbw_ctx_input_named(ctx, "addr", 1);
  if (address == NULL) {
    return bbw_ctx_fail(ctx, BBW_OP_MISSING_SLOT, "missing_addr", BBW_STR("there is no address"));
  }
  if (address->type != BBW_TYPE_ADDRESS) {
    return bbw_ctx_fail(ctx, BBW_OP_TYPE_MISMATCH, "expected_multiaddress", BBW_STR("the address is not an address"));
  }
  return insert(ctx, &peer, &address->as.bytes, 1, "address_book_insert_failed");
}

bbw_status bbw_op_address_book_insert_many(bbw_ctx *ctx) {
  bbw_peer_id peer;
  bbw_status rv = take_peer(ctx, &peer);
  if (rv != BBW_OK) { return rv; }
  const bbw_value *addresses = bbw_ctx_input_named(ctx, "addresses", 1);
  if (addresses == NULL) {
    return bbw_ctx_fail(ctx, BBW_OP_MISSING_SLOT, "missing_addresses", BBW_STR("there are no addresses"));
  }
  if (addresses->type != BBW_TYPE_ADDRESS_VEC) {
    return bbw_ctx_fail(ctx, BBW_OP_TYPE_MISMATCH, "expected_address_vec",
                        BBW_STR("the addresses are not a list of addresses"));
  }
  if (addresses->as.blobs.count == 0) {
    return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "address_book_insert_many_empty",
                        BBW_STR("the list of addresses is empty"));
  }
  return insert(ctx, &peer, addresses->as.blobs.items, addresses->as.blobs.count, "address_book_insert_many_failed");
}

bbw_status bbw_op_address_book_lookup(bbw_ctx *ctx) {
  bbw_peer_id peer;
  bbw_status rv = take_peer(ctx, &peer);
  if (rv != BBW_OK) { return rv; }
  const bbw_bytes *items;
  size_t count;
  if (!bbw_address_book_lookup(&ctx->engine->address_book, &peer, &items, &count)) {
    return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, "address_book_lookup_miss",
                        BBW_STR("the peer has no known address"));
  }
  bbw_value *value;
  rv = bbw_value_new_blobs(&value, BBW_TYPE_ADDRESS_VEC, items, count, bbw_ctx_mem(ctx));
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, 0, value); }
  return rv;
}
