#include "components/peer_selectors.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"
#include "components/protocol.h"

static bbw_status fail_empty(bbw_ctx *ctx) {
  return bbw_ctx_fail(ctx, BBW_OP_OTHER, "empty", BBW_STR("no peers to choose from"));
}

static bool supports(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return role == BBW_ROLE_PEER_SELECTOR &&
         (bbw_str_equal(op_type, BBW_STR("Sample")) || bbw_str_equal(op_type, BBW_STR("CurrentView")));
}

/* ---- KnownPeers ---- */

/* A number below limit; the generator's 64 bits make the bias immeasurable for lists of this size. */
static size_t random_below(bbw_ctx *ctx, size_t limit) { return (size_t)(bbw_ctx_random(ctx) % limit); }

static bbw_status known_peers_dispatch(void *self, bbw_ctx *ctx) {
  (void)self;
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  size_t count = bbw_ctx_peer_count(ctx), wanted = count;
  bool is_sample = bbw_protocol_is_op(ctx, "Sample");
  if (!is_sample && !bbw_protocol_is_op(ctx, "CurrentView")) {
    return bbw_ctx_fail(ctx, BBW_OP_OTHER, "unknown op_type", bbw_ctx_op_type(ctx));
  }
  if (is_sample) {
    if (!bbw_protocol_wanted(ctx, &wanted)) { return bbw_ctx_fail_input(ctx, 0, "u32"); }
    if (count == 0) { return fail_empty(ctx); }
  }
  size_t *indices = bbw_mem_array(mem, count, sizeof *indices);
  if (indices == NULL && count > 0) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < count; i++) { indices[i] = i; }
  if (wanted > count) { wanted = count; }
  for (size_t i = 0; is_sample && i < wanted; i++) { /* the front of a shuffled list */
    size_t j = i + random_below(ctx, count - i), moved = indices[i];
    indices[i] = indices[j];
    indices[j] = moved;
  }
  const bbw_peer_id **peers = bbw_mem_array(mem, wanted, sizeof *peers);
  bbw_status rv = peers == NULL && wanted != 0 ? BBW_E_NOMEM : BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < wanted; i++) { peers[i] = bbw_ctx_peer(ctx, indices[i]); }
  if (rv == BBW_OK) { rv = bbw_protocol_set_peers(ctx, peers, wanted); }
  bbw_mem_array_free(mem, peers, wanted, sizeof *peers);
  bbw_mem_array_free(mem, indices, count, sizeof *indices);
  return rv;
}

static bbw_status known_peers_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                        const bbw_mem *mem, bbw_error *err) {
  (void)type;
  (void)has_config;
  (void)config;
  (void)mem;
  (void)err;
  *self = NULL; /* everything it knows is the node's */
  return BBW_OK;
}

static void known_peers_destroy(void *self, const bbw_mem *mem) {
  (void)self;
  (void)mem;
}

const bbw_component_type bbw_known_peers_type = {
    .type_name = "KnownPeers",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_PEER_SELECTOR),
    .construct = known_peers_construct,
    .destroy = known_peers_destroy,
    .dispatch = known_peers_dispatch,
    .supports = supports,
};

/* ---- ConstantView ---- */

typedef struct view {
  bbw_value *peers; /* PEER_ID_VEC, each peer once */
  uint64_t seed;
} view;

size_t bbw_constant_view_sample(uint64_t seed, size_t count, size_t n, bool *is_chosen, size_t *out) {
  size_t wanted = n < count ? n : count, found = 0;
  uint64_t s = seed + 1;
  for (size_t tries = 0; found < wanted && tries / 64 <= count; tries++) {
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    size_t index = (size_t)(s % count);
    if (is_chosen[index]) { continue; }
    is_chosen[index] = true;
    out[found++] = index;
  }
  for (size_t i = 0; found < wanted; i++) {
    if (is_chosen[i]) { continue; }
    is_chosen[i] = true;
    out[found++] = i;
  }
  return found;
}

/* The list without repetitions, in the order of first appearance. */
static bbw_status without_repeats(bbw_value **out, const bbw_value *given, const bbw_mem *mem) {
  size_t count = given->as.blobs.count, kept = 0;
  bbw_bytes *items = bbw_mem_array(mem, count, sizeof *items);
  bbw_map seen;
  bbw_map_init(&seen, 0, mem);
  bool has_room = count == 0 || (items != NULL && bbw_map_reserve(&seen, count));
  for (size_t i = 0; has_room && i < count; i++) {
    uint64_t unused;
    bbw_bytes peer = given->as.blobs.items[i];
    if (bbw_map_get_bytes(&seen, peer, &unused)) { continue; }
    bool is_put = bbw_map_put_bytes(&seen, peer, 1);
    assert(is_put); /* room was reserved */
    (void)is_put;
    items[kept++] = peer;
  }
  bbw_status rv = has_room ? bbw_value_new_blobs(out, BBW_TYPE_PEER_ID_VEC, items, kept, mem) : BBW_E_NOMEM;
  bbw_map_free(&seen);
  bbw_mem_array_free(mem, items, count, sizeof *items);
  return rv;
}

/* Reads configuration or saved state. */
static bbw_status read_view(view *out, bbw_bytes bytes, const bbw_mem *mem, bbw_error *err) {
  bbw_value *given, *peers;
  bbw_status rv = bbw_value_decode(&given, bbw_type_hash(BBW_TYPE_PEER_ID_VEC), bytes, mem, err);
  if (rv != BBW_OK) { return rv; }
  size_t used = bbw_value_payload_size(given);
  uint64_t seed = 0;
  if (bytes.len != used) {
    if (bytes.len != used + 8) {
      bbw_value_release(given, mem);
      return bbw_error_set_at(err, BBW_E_DECODE, used);
    }
    seed = bbw_load_u64le(bytes.ptr + used);
  }
  rv = without_repeats(&peers, given, mem);
  bbw_value_release(given, mem);
  if (rv != BBW_OK) { return bbw_error_set(err, rv); }
  *out = (view){.peers = peers, .seed = seed};
  return BBW_OK;
}

static bbw_status constant_view_construct(void **self, const bbw_component_type *type, bool has_config,
                                          bbw_bytes config, const bbw_mem *mem, bbw_error *err) {
  (void)type;
  view *v = bbw_mem_array(mem, 1, sizeof *v);
  if (v == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_status rv = has_config ? read_view(v, config, mem, err)
                             : bbw_value_new_blobs(&v->peers, BBW_TYPE_PEER_ID_VEC, NULL, 0, mem);
  if (rv != BBW_OK) {
    bbw_mem_array_free(mem, v, 1, sizeof *v);
    if (rv == BBW_E_NOMEM) { return bbw_error_set(err, rv); }
    bbw_error_set(err, BBW_E_INST_CONFIG_TYPE);
    bbw_error_add_str(err, "detail", BBW_STR("config type mismatch: expected a list of peer ids and a seed"));
    return BBW_E_INST_CONFIG_TYPE;
  }
  *self = v;
  return BBW_OK;
}

static void constant_view_destroy(void *self, const bbw_mem *mem) {
  view *v = self;
  if (v == NULL) { return; }
  bbw_value_release(v->peers, mem);
  bbw_mem_array_free(mem, v, 1, sizeof *v);
}

static bbw_status sample(const view *v, bbw_ctx *ctx) {
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  size_t wanted, count = v->peers->as.blobs.count;
  if (!bbw_protocol_wanted(ctx, &wanted)) { return bbw_ctx_fail_input(ctx, 0, "u32"); }
  if (count == 0) { return fail_empty(ctx); }
  bool *is_chosen = bbw_mem_array(mem, count, sizeof *is_chosen);
  size_t *indices = bbw_mem_array(mem, count, sizeof *indices);
  bbw_bytes *items = bbw_mem_array(mem, count, sizeof *items);
  bbw_status rv = BBW_E_NOMEM;
  bbw_value *value;
  if (is_chosen != NULL && indices != NULL && items != NULL) {
    size_t found = bbw_constant_view_sample(v->seed, count, wanted, is_chosen, indices);
    for (size_t i = 0; i < found; i++) { items[i] = v->peers->as.blobs.items[indices[i]]; }
    rv = bbw_value_new_blobs(&value, BBW_TYPE_PEER_ID_VEC, items, found, mem);
  }
  if (rv == BBW_OK) { bbw_ctx_set_output(ctx, 0, value); }
  bbw_mem_array_free(mem, items, count, sizeof *items);
  bbw_mem_array_free(mem, indices, count, sizeof *indices);
  bbw_mem_array_free(mem, is_chosen, count, sizeof *is_chosen);
  return rv;
}

static bbw_status constant_view_dispatch(void *self, bbw_ctx *ctx) {
  const view *v = self;
  if (bbw_protocol_is_op(ctx, "Sample")) { return sample(v, ctx); }
  if (!bbw_protocol_is_op(ctx, "CurrentView")) {
    return bbw_ctx_fail(ctx, BBW_OP_OTHER, "unknown op_type", bbw_ctx_op_type(ctx));
  }
  bbw_ctx_set_output(ctx, 0, bbw_value_retain(v->peers));
  return BBW_OK;
}

static bbw_status constant_view_save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  const view *v = self;
  size_t bytes = bbw_value_payload_size(v->peers);
  if (!bbw_size_add(bytes, 8, &bytes)) { return BBW_E_NOMEM; }
  uint8_t *state = mem->alloc(mem->ctx, bytes);
  if (state == NULL) { return BBW_E_NOMEM; }
  bbw_value_payload_write(v->peers, state);
  bbw_store_u64le(state + bytes - 8, v->seed);
  *out = state;
  *len = bytes;
  return BBW_OK;
}

static bbw_status constant_view_restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  view *v = self, next;
  bbw_status rv = read_view(&next, state, mem, err);
  if (rv != BBW_OK) { return rv == BBW_E_NOMEM ? rv : bbw_error_set(err, BBW_E_RESTORE_COMPONENT); }
  bbw_value_release(v->peers, mem);
  *v = next;
  return BBW_OK;
}

const bbw_component_type bbw_constant_view_type = {
    .type_name = "ConstantView",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_PEER_SELECTOR),
    .construct = constant_view_construct,
    .destroy = constant_view_destroy,
    .dispatch = constant_view_dispatch,
    .supports = supports,
    .save = constant_view_save,
    .restore = constant_view_restore,
};
