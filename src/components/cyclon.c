#include "components/cyclon.h"

#include <string.h>

#include "base/mem.h"
#include "components/operators.h"
#include "components/protocol.h"

#define REQUEST BBW_STR("ShuffleRequest")
#define REPLY   BBW_STR("ShuffleReply")

/* A PeerId of two bytes with its length, an age, an empty list. */
#define ENTRY_BYTES_MIN 22u

/* A peer that nobody has heard of for so many swaps is not taken by hearsay: else the dead live on in what peers tell each other. */
#define AGE_MAX (4 * BBW_CYCLON_VIEW_MAX)

/* PLAIN: a member of the view.  The others go with the next swap: ASKED has a request of ours, ANSWERED has answered it. */
typedef enum member_state { PLAIN, ASKED, ANSWERED, STATE_COUNT } member_state;

/*
 * Why a member is the first to make room: it was in our last request, or is in the answer that is being given.  HAS_CALLED: it was asked, and has sent a request itself since, so
 * it stays.  IS_GUEST: it comes from the address book and has not said anything yet, so it is not listed.
 */
enum { IN_REQUEST = 1, IN_REPLY = 2, HAS_CALLED = 4, IS_GUEST = 8, MARKS = 15 };

typedef struct member {
  bbw_peer_id peer;
  uint32_t age; /* swaps since it was heard of */
  uint8_t state;
  uint8_t sent; /* marks */
} member;

/* At most BBW_CYCLON_VIEW_MAX plain members, and one that is asked. */
typedef struct view {
  size_t count;
  member members[BBW_CYCLON_VIEW_MAX + 1];
} view;

static member *find(view *v, const bbw_peer_id *peer) {
  for (size_t i = 0; i < v->count; i++) {
    if (bbw_peer_id_equal(&v->members[i].peer, peer)) { return &v->members[i]; }
  }
  return NULL;
}

static void drop(view *v, bbw_ctx *ctx, member *gone) {
  bbw_ctx_release_peer(ctx, &gone->peer);
  size_t i = (size_t)(gone - v->members);
  memmove(gone, gone + 1, (--v->count - i) * sizeof(*gone));
}

static size_t plain_count(const view *v) {
  size_t count = 0;
  for (size_t i = 0; i < v->count; i++) { count += v->members[i].state == PLAIN; }
  return count;
}

/* ---- messages ------------------------------------------------------------------------------------------------------- */

/* The view's members but for one peer, some of them, in random order. */
static size_t choose(view *v, bbw_ctx *ctx, const bbw_peer_id *but, uint8_t mark, member **out, size_t max) {
  member *all[BBW_CYCLON_VIEW_MAX + 1];
  size_t count = 0;
  for (size_t i = 0; i < v->count; i++) {
    v->members[i].sent &= (uint8_t)~mark;
    bool is_known = (v->members[i].sent & IS_GUEST) == 0; /* of a guest there is nothing to tell */
    if (is_known && !bbw_peer_id_equal(&v->members[i].peer, but)) { all[count++] = &v->members[i]; }
  }
  if (max > count) { max = count; }
  for (size_t i = 0; i < max; i++) {
    size_t j = i + (size_t)(bbw_ctx_random(ctx) % (count - i));
    out[i] = all[j];
    all[j] = all[i];
    out[i]->sent |= mark;
  }
  return max;
}

static uint8_t *put_member(uint8_t *at, const bbw_peer_id *peer, uint32_t age, const bbw_bytes *addresses,
                           size_t count) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  at = bbw_bincode_put_view(at, (bbw_bytes){bytes, bbw_peer_id_encode(peer, bytes)});
  return bbw_protocol_put_addresses(bbw_bincode_put_u32(at, age), addresses, count);
}

/* Sends this node itself (in a request) and the chosen members. */
static bbw_status send(bbw_ctx *ctx, const bbw_peer_id *to, bbw_str op_type, bool with_self, member *const *chosen,
                       size_t count) {
  const bbw_bytes *addresses[BBW_CYCLON_SHUFFLE_MAX + 1];
  size_t address_counts[BBW_CYCLON_SHUFFLE_MAX + 1], listed = 0, len = 8;
  const bbw_peer_id *peers[BBW_CYCLON_SHUFFLE_MAX + 1];
  uint32_t ages[BBW_CYCLON_SHUFFLE_MAX + 1];
  for (size_t i = 0; i < count + with_self; i++) {
    bool is_self = with_self && i == 0;
    const bbw_peer_id *peer = is_self ? bbw_ctx_self_peer(ctx) : &chosen[i - with_self]->peer;
    /* Without an address a peer is of no use to others. */
    if (!bbw_ctx_peer_addresses(ctx, peer, &addresses[listed], &address_counts[listed])) { continue; }
    peers[listed] = peer;
    ages[listed] = is_self ? 0 : chosen[i - with_self]->age;
    len += 8 + BBW_PEER_ID_BYTES_MAX + 4 + bbw_protocol_addresses_size(addresses[listed], address_counts[listed]);
    listed++;
  }
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  uint8_t *payload = bbw_mem_array(mem, len, 1);
  if (payload == NULL) { return BBW_E_NOMEM; }
  uint8_t *at = bbw_bincode_put_u64(payload, listed);
  for (size_t i = 0; i < listed; i++) { at = put_member(at, peers[i], ages[i], addresses[i], address_counts[i]); }
  bbw_bytes message = {payload, (size_t)(at - payload)};
  bbw_status rv = bbw_ctx_send_control(ctx, to, BBW_CYCLON_NUMBER, op_type, message, 0);
  bbw_mem_array_free(mem, payload, len, 1);
  return rv;
}

/* Room for one more: a free place, else that of a member with the mark.  False: there is none. */
static bool make_room(view *v, bbw_ctx *ctx, uint8_t mark) {
  if (plain_count(v) < BBW_CYCLON_VIEW_MAX) { return true; }
  for (size_t i = 0; i < v->count; i++) {
    if ((v->members[i].sent & mark) == 0 || v->members[i].state != PLAIN) { continue; }
    drop(v, ctx, &v->members[i]);
    return true;
  }
  return false;
}

static bbw_status take(view *v, bbw_ctx *ctx, uint8_t mark, const bbw_peer_id *peer, uint32_t age,
                       const bbw_protocol_addresses *addresses) {
  bool is_own_word = bbw_peer_id_equal(peer, bbw_ctx_src_peer(ctx));
  bool is_wanted = !bbw_peer_id_equal(peer, bbw_ctx_self_peer(ctx)) && addresses->count != 0 &&
                   bbw_ctx_is_allowed(ctx, peer) && (is_own_word || age < AGE_MAX);
  if (!is_wanted) { return BBW_OK; }
  /* Being told on makes older too.  Without that an entry stays young for ever where it is passed on faster than swaps come. */
  if (!is_own_word) { age++; }
  member *known = find(v, peer);
  if (known != NULL) {
    if (age < known->age) { known->age = age; }
    if (is_own_word && known->state != PLAIN) { known->sent = (uint8_t)((known->sent | HAS_CALLED) & ~IS_GUEST); }
    return BBW_OK;
  }
  if (!make_room(v, ctx, mark)) { return BBW_OK; }
  bbw_status rv = bbw_ctx_hold_peer(ctx, peer, addresses->items, addresses->count, is_own_word);
  if (rv != BBW_OK) { return rv; }
  v->members[v->count++] = (member){.peer = *peer, .age = age};
  return BBW_OK;
}

/* mark 0: only reads the message, so that all of it is known to be good before anything of it counts. */
static bbw_status merge(view *v, bbw_ctx *ctx, uint8_t mark) {
  const bbw_value *value = bbw_ctx_input(ctx, 0);
  size_t count;
  bbw_bincode_reader reader = {.bytes = value != NULL && value->type == BBW_TYPE_BYTES ? value->as.bytes
                                                                                       : (bbw_bytes){NULL, 0}};
  bool ok = bbw_bincode_count(&reader, ENTRY_BYTES_MIN, &count) && count <= BBW_CYCLON_SHUFFLE_MAX;
  bbw_status rv = BBW_OK;
  for (size_t i = 0; ok && rv == BBW_OK && i < count; i++) {
    bbw_peer_id peer;
    uint32_t age;
    bbw_protocol_addresses addresses;
    ok = bbw_bincode_peer(&reader, &peer) && bbw_bincode_u32(&reader, &age) &&
         bbw_protocol_read_addresses(&reader, &addresses);
    if (ok && mark != 0) { rv = take(v, ctx, mark, &peer, age, &addresses); }
  }
  if (ok) { return rv; }
  return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "bad_message", BBW_STR("the message does not decode"));
}

/* ---- operators ------------------------------------------------------------------------------------------------------ */

/* A peer of the address book that is not in the view, or NULL.  More than the view can hold are never passed over, but for the forbidden. */
static member *guest(view *v, bbw_ctx *ctx) {
  size_t known = bbw_ctx_peer_count(ctx);
  uint64_t start = known == 0 ? 0 : bbw_ctx_random(ctx) % known;
  for (size_t i = 0; i < known && i <= BBW_CYCLON_VIEW_MAX; i++) {
    const bbw_peer_id *peer = bbw_ctx_peer(ctx, (size_t)((start + i) % known));
    if (peer == NULL || !bbw_ctx_is_allowed(ctx, peer) || find(v, peer) != NULL) { continue; }
    if (bbw_ctx_hold_peer(ctx, peer, NULL, 0, false) != BBW_OK) { return NULL; }
    v->members[v->count] = (member){.peer = *peer, .sent = IS_GUEST};
    return &v->members[v->count++];
  }
  return NULL;
}

/*
 * The member that was heard of longest ago.  Now and then the address book is asked for one that is none: peers that the host has met, who would otherwise gossip in circles that never
 * touch, be the view full or not.
 */
static member *partner(view *v, bbw_ctx *ctx) {
  member *met = v->count == 0 || bbw_ctx_random(ctx) % 4 == 0 ? guest(v, ctx) : NULL;
  if (met != NULL) { return met; }
  member *oldest = NULL;
  for (size_t i = 0; i < v->count; i++) {
    if (oldest == NULL || v->members[i].age > oldest->age) { oldest = &v->members[i]; }
  }
  return oldest;
}

static bbw_status shuffle(void *self, bbw_ctx *ctx) {
  view *v = self;
  for (size_t i = v->count; i-- > 0;) {
    member *m = &v->members[i];
    bool stays = (m->sent & HAS_CALLED) != 0 && plain_count(v) < BBW_CYCLON_VIEW_MAX;
    m->sent &= (uint8_t)~HAS_CALLED;
    if (stays) { m->state = PLAIN; }
    if (m->state != PLAIN || !bbw_ctx_is_allowed(ctx, &m->peer)) {
      drop(v, ctx, m);
    } else if (m->age < UINT32_MAX) {
      m->age++;
    }
  }
  member *asked = partner(v, ctx);
  if (asked == NULL) { return BBW_OK; } /* nobody is known yet */
  member *chosen[BBW_CYCLON_SHUFFLE_MAX];
  size_t count = choose(v, ctx, &asked->peer, IN_REQUEST, chosen, BBW_CYCLON_SHUFFLE_MAX - 1);
  bbw_status rv = send(ctx, &asked->peer, REQUEST, true, chosen, count);
  /* A guest that could not be asked goes with the next swap all the same: as a plain member it would be one more than fit. */
  if (rv == BBW_OK || (asked->sent & IS_GUEST) != 0) { asked->state = ASKED; }
  return rv;
}

static bbw_status take_request(void *self, bbw_ctx *ctx) {
  view *v = self;
  member *chosen[BBW_CYCLON_SHUFFLE_MAX];
  bbw_status rv = merge(v, ctx, 0);
  if (rv != BBW_OK) { return rv; }
  size_t count = choose(v, ctx, bbw_ctx_src_peer(ctx), IN_REPLY, chosen, BBW_CYCLON_SHUFFLE_MAX);
  rv = send(ctx, bbw_ctx_src_peer(ctx), REPLY, false, chosen, count);
  return rv == BBW_OK ? merge(v, ctx, IN_REPLY) : rv;
}

static bbw_status take_reply(void *self, bbw_ctx *ctx) {
  view *v = self;
  member *asked = find(v, bbw_ctx_src_peer(ctx));
  if (asked == NULL || asked->state != ASKED) {
    return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "not_asked", BBW_STR("an answer of a peer that was not asked"));
  }
  bbw_status rv = merge(v, ctx, 0);
  if (rv != BBW_OK) { return rv; }
  asked->state = ANSWERED;
  rv = merge(v, ctx, IN_REQUEST);
  asked = find(v, bbw_ctx_src_peer(ctx)); /* it may have moved, and is no member that makes room */
  if (plain_count(v) < BBW_CYCLON_VIEW_MAX) {
    asked->state = PLAIN;
    asked->age = 0;
  }
  asked->sent &= (uint8_t)~IS_GUEST;
  return rv;
}

static bbw_status list_members(void *self, bbw_ctx *ctx) {
  view *v = self;
  const bbw_peer_id *peers[BBW_CYCLON_VIEW_MAX + 1];
  bool is_sample = bbw_protocol_is_op(ctx, "Sample");
  size_t count = 0;
  for (size_t i = 0; i < v->count; i++) {
    if ((v->members[i].sent & IS_GUEST) == 0) { peers[count++] = &v->members[i].peer; }
  }
  size_t wanted = count;
  if (is_sample) {
    if (!bbw_protocol_wanted(ctx, &wanted)) { return bbw_ctx_fail_input(ctx, 0, "u32"); }
    if (count == 0) { return bbw_ctx_fail(ctx, BBW_OP_OTHER, "empty", BBW_STR("no peers to choose from")); }
    if (wanted > count) { wanted = count; }
  }
  for (size_t i = 0; is_sample && i < wanted; i++) {
    size_t j = i + (size_t)(bbw_ctx_random(ctx) % (count - i));
    const bbw_peer_id *moved = peers[i];
    peers[i] = peers[j];
    peers[j] = moved;
  }
  return bbw_protocol_set_peers(ctx, peers, wanted);
}

static const bbw_operator operators[] = {{"Shuffle", BBW_ROLE_PEER_SELECTOR, false, shuffle},
                                         {"Sample", BBW_ROLE_PEER_SELECTOR, false, list_members},
                                         {"CurrentView", BBW_ROLE_PEER_SELECTOR, false, list_members},
                                         {"ShuffleRequest", BBW_ROLE_PROTOCOL, true, take_request},
                                         {"ShuffleReply", BBW_ROLE_PROTOCOL, true, take_reply}};
enum { OPERATOR_COUNT = sizeof operators / sizeof operators[0] };

static bbw_status cyclon_dispatch(void *self, bbw_ctx *ctx) {
  return bbw_operators_run(operators, OPERATOR_COUNT, self, ctx);
}

static bool cyclon_supports(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return bbw_operators_have(operators, OPERATOR_COUNT, role, op_type);
}

static bbw_status cyclon_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                   const bbw_mem *mem, bbw_error *err) {
  (void)type;
  (void)has_config;
  (void)config;
  *self = bbw_mem_array(mem, 1, sizeof(view));
  return *self == NULL ? bbw_error_set(err, BBW_E_NOMEM) : BBW_OK;
}

static void cyclon_destroy(void *self, const bbw_mem *mem) { bbw_mem_array_free(mem, self, 1, sizeof(view)); }

static bbw_status cyclon_save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  const view *v = self;
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  size_t bytes = 8;
  for (size_t i = 0; i < v->count; i++) { bytes += 16 + bbw_peer_id_encode(&v->members[i].peer, peer); }
  uint8_t *at = mem->alloc(mem->ctx, bytes);
  if (at == NULL) { return BBW_E_NOMEM; }
  *out = at;
  *len = bytes;
  at = bbw_bincode_put_u64(at, v->count);
  for (size_t i = 0; i < v->count; i++) {
    const member *m = &v->members[i];
    at = bbw_bincode_put_view(at, (bbw_bytes){peer, bbw_peer_id_encode(&m->peer, peer)});
    at = bbw_bincode_put_u32(bbw_bincode_put_u32(at, m->age), (uint32_t)m->state | (uint32_t)m->sent << 8);
  }
  return BBW_OK;
}

static bbw_status cyclon_restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  (void)mem;
  bbw_bincode_reader reader = {.bytes = state};
  view next = {.count = 0};
  size_t count;
  bool ok = bbw_bincode_count(&reader, 18, &count) && count <= BBW_CYCLON_VIEW_MAX + 1;
  for (size_t i = 0; ok && i < count; i++) {
    member m = {.age = 0};
    uint32_t flags;
    ok = bbw_bincode_peer(&reader, &m.peer) && bbw_bincode_u32(&reader, &m.age) && bbw_bincode_u32(&reader, &flags) &&
         (flags & 0xff) < STATE_COUNT && flags >> 8 <= MARKS && find(&next, &m.peer) == NULL;
    if (!ok) { break; }
    m.state = (uint8_t)(flags & 0xff);
    m.sent = (uint8_t)(flags >> 8);
    next.members[next.count++] = m;
  }
  ok = ok && reader.at == state.len && plain_count(&next) <= BBW_CYCLON_VIEW_MAX &&
       next.count - plain_count(&next) <= 1;
  if (!ok) { return bbw_error_set_at(err, BBW_E_RESTORE_COMPONENT, reader.at); }
  *(view *)self = next;
  return BBW_OK;
}

const bbw_component_type bbw_cyclon_type = {
    .type_name = "Cyclon",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_PEER_SELECTOR) | BBW_ROLE_BIT(BBW_ROLE_PROTOCOL),
    .well_known = BBW_CYCLON_NUMBER + 1,
    .construct = cyclon_construct,
    .destroy = cyclon_destroy,
    .dispatch = cyclon_dispatch,
    .supports = cyclon_supports,
    .save = cyclon_save,
    .restore = cyclon_restore,
};
