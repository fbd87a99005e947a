#include "components/global_registry.h"

#include <string.h>

#include "base/mem.h"
#include "components/operators.h"
#include "components/protocol.h"
#include "peers/peer_table.h"

/* Numbers that both sides know (wire specification §21). */
#define SERVER_NUMBER 0u
#define CLIENT_NUMBER 1u

#define ANNOUNCE  BBW_STR("Announce")
#define HANDSHAKE BBW_STR("Handshake")

static bbw_status fail(bbw_ctx *ctx, const char *reason, bbw_str detail) {
  return bbw_ctx_fail(ctx, BBW_OP_EXECUTION_FAILED, reason, detail);
}

static bbw_status no_addresses(bbw_ctx *ctx) {
  return fail(ctx, "no_local_addresses", BBW_STR("this node has no addresses to tell"));
}

/* The bytes of a call from the network. */
static bool payload_of(const bbw_ctx *ctx, bbw_bincode_reader *reader) {
  const bbw_value *value = bbw_ctx_input(ctx, 0);
  if (value == NULL || value->type != BBW_TYPE_BYTES || !bbw_ctx_is_remote(ctx)) { return false; }
  *reader = (bbw_bincode_reader){.bytes = value->as.bytes};
  return true;
}

static bbw_status bad_message(bbw_ctx *ctx) {
  return bbw_ctx_fail(ctx, BBW_OP_BAD_INPUT, "bad_message", BBW_STR("the message does not decode"));
}

/* ---- client --------------------------------------------------------------------------------------------------------- */

typedef struct client {
  uint64_t ttl_ns;
  uint64_t interval_ns;
  bool has_announced;
  bbw_peer_id server; /* that was told last */
  uint64_t announced_ns;
} client;

static bbw_status client_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                   const bbw_mem *mem, bbw_error *err) {
  (void)type;
  (void)has_config;
  (void)config;
  *self = bbw_mem_array(mem, 1, sizeof(client));
  return *self == NULL ? bbw_error_set(err, BBW_E_NOMEM) : BBW_OK;
}

static void client_destroy(void *self, const bbw_mem *mem) { bbw_mem_array_free(mem, self, 1, sizeof(client)); }

static bbw_status announce(void *state, bbw_ctx *ctx) {
  client *c = state;
  uint64_t now_ns = bbw_ctx_now_ns(ctx);
  bbw_peer_id server;
  if (!bbw_protocol_peer_input(bbw_ctx_input(ctx, 0), &server)) { return bbw_ctx_fail_input(ctx, 0, "PeerId"); }
  bool is_same = c->has_announced && bbw_peer_id_equal(&server, &c->server); /* another server is told at once */
  if (is_same && c->interval_ns != 0 && now_ns - c->announced_ns < c->interval_ns) { return BBW_OK; }
  const bbw_bytes *own;
  size_t count;
  if (!bbw_ctx_local_addresses(ctx, &own, &count)) { return no_addresses(ctx); }
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes self = {peer, bbw_peer_id_encode(bbw_ctx_self_peer(ctx), peer)};
  size_t len = 8 + self.len + bbw_protocol_addresses_size(own, count);
  const bbw_mem *mem = bbw_ctx_mem(ctx);
  uint8_t *payload = bbw_mem_array(mem, len, 1);
  if (payload == NULL) { return BBW_E_NOMEM; }
  (void)bbw_protocol_put_addresses(bbw_bincode_put_view(payload, self), own, count);
  bbw_status rv = bbw_ctx_send_control(ctx, &server, SERVER_NUMBER, ANNOUNCE, (bbw_bytes){payload, len}, c->ttl_ns);
  bbw_mem_array_free(mem, payload, len, 1);
  if (rv != BBW_OK) { return rv; }
  c->has_announced = true;
  c->server = server;
  c->announced_ns = now_ns;
  return BBW_OK;
}

static bbw_status handshake(void *self, bbw_ctx *ctx) {
  client *c = self;
  bbw_bincode_reader reader;
  bbw_protocol_addresses addresses;
  uint64_t ttl_ns, interval_ns;
  bool ok = payload_of(ctx, &reader) && bbw_bincode_u64(&reader, &ttl_ns) && bbw_bincode_u64(&reader, &interval_ns) &&
            bbw_protocol_read_addresses(&reader, &addresses);
  if (!ok) { return bad_message(ctx); }
  /* Only who was asked may say how often to come back; else any peer could silence the client. */
  if (!c->has_announced || !bbw_peer_id_equal(&c->server, bbw_ctx_src_peer(ctx))) {
    return fail(ctx, "not_announced", BBW_STR("a handshake that nobody asked for"));
  }
  c->ttl_ns = ttl_ns;
  c->interval_ns = interval_ns;
  const bbw_bytes *known;
  size_t known_count;
  bool is_known = bbw_ctx_peer_addresses(ctx, bbw_ctx_src_peer(ctx), &known, &known_count);
  if (is_known || addresses.count == 0) { return BBW_OK; }
  return bbw_ctx_hold_peer(ctx, bbw_ctx_src_peer(ctx), addresses.items, addresses.count, true);
}

static const bbw_operator client_operators[] = {{"Announce", BBW_ROLE_PROTOCOL, false, announce},
                                                {"Handshake", BBW_ROLE_PROTOCOL, true, handshake}};
enum { CLIENT_OPERATORS = sizeof client_operators / sizeof client_operators[0] };

static bbw_status client_dispatch(void *self, bbw_ctx *ctx) {
  return bbw_operators_run(client_operators, CLIENT_OPERATORS, self, ctx);
}

static bool client_supports(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return bbw_operators_have(client_operators, CLIENT_OPERATORS, role, op_type);
}

/* Behind the two numbers, if there was an announcement: when, and to whom.  Without that a restored client would announce itself anew and refuse the handshake that is on its way. */
static bbw_status client_save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  const client *c = self;
  uint8_t server[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes peer = {server, bbw_peer_id_encode(&c->server, server)};
  size_t bytes_len = c->has_announced ? 32 + peer.len : 16;
  uint8_t *bytes = mem->alloc(mem->ctx, bytes_len);
  if (bytes == NULL) { return BBW_E_NOMEM; }
  uint8_t *at = bbw_bincode_put_u64(bbw_bincode_put_u64(bytes, c->ttl_ns), c->interval_ns);
  if (c->has_announced) { (void)bbw_bincode_put_view(bbw_bincode_put_u64(at, c->announced_ns), peer); }
  *out = bytes;
  *len = bytes_len;
  return BBW_OK;
}

static bbw_status client_restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  (void)mem;
  bbw_bincode_reader reader = {.bytes = state};
  client next = {.has_announced = false}; /* of the reference's two numbers: the next Announce is sent at once */
  bool ok = bbw_bincode_u64(&reader, &next.ttl_ns) && bbw_bincode_u64(&reader, &next.interval_ns);
  if (ok && reader.at != state.len) {
    next.has_announced = true;
    ok = bbw_bincode_u64(&reader, &next.announced_ns) && bbw_bincode_peer(&reader, &next.server);
  }
  if (!ok || reader.at != state.len) { return bbw_error_set_at(err, BBW_E_RESTORE_COMPONENT, reader.at); }
  *(client *)self = next;
  return BBW_OK;
}

const bbw_component_type bbw_registry_client_type = {
    .type_name = "GlobalRegistryClient",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_PROTOCOL),
    .well_known = CLIENT_NUMBER + 1,
    .construct = client_construct,
    .destroy = client_destroy,
    .dispatch = client_dispatch,
    .supports = client_supports,
    .save = client_save,
    .restore = client_restore,
};

/* ---- server --------------------------------------------------------------------------------------------------------- */

typedef struct entry {
  bbw_peer_entry head;
  uint64_t expires_ns;
} entry;

typedef struct server {
  const bbw_mem *mem;
  uint64_t ttl_ns;
  uint64_t seed;
  uint64_t samples;       /* drawn in this life */
  bbw_peer_table entries; /* renewed longest ago, and so the first to expire, first */
} server;

static bbw_status server_construct(void **self, const bbw_component_type *type, bool has_config, bbw_bytes config,
                                   const bbw_mem *mem, bbw_error *err) {
  (void)type;
  uint64_t seed = 0;
  bbw_bincode_reader reader = {.bytes = config};
  if (has_config && config.len != 0 && (!bbw_bincode_u64(&reader, &seed) || reader.at != config.len)) {
    bbw_error_set(err, BBW_E_INST_CONFIG_TYPE);
    bbw_error_add_str(err, "detail", BBW_STR("config type mismatch: expected a seed of eight bytes"));
    return BBW_E_INST_CONFIG_TYPE;
  }
  server *s = bbw_mem_array(mem, 1, sizeof *s);
  if (s == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  *s = (server){.mem = mem, .ttl_ns = BBW_REGISTRY_TTL_NS, .seed = seed};
  bbw_peer_table_init(&s->entries, sizeof(entry), mem);
  *self = s;
  return BBW_OK;
}

static void server_destroy(void *self, const bbw_mem *mem) {
  server *s = self;
  if (s == NULL) { return; }
  bbw_peer_table_free(&s->entries);
  bbw_mem_array_free(mem, s, 1, sizeof *s);
}

static void drop_first(server *s, bbw_ctx *ctx) {
  bbw_ctx_release_peer(ctx, &s->entries.first->peer);
  bbw_peer_table_remove(&s->entries, s->entries.first);
}

static void evict(server *s, bbw_ctx *ctx) {
  while (s->entries.first != NULL && ((entry *)s->entries.first)->expires_ns <= bbw_ctx_now_ns(ctx)) {
    drop_first(s, ctx);
  }
}

static bbw_status reply(const server *s, bbw_ctx *ctx, const bbw_peer_id *peer) {
  const bbw_bytes *own;
  size_t count;
  if (!bbw_ctx_local_addresses(ctx, &own, &count)) { return no_addresses(ctx); }
  size_t len = 16 + bbw_protocol_addresses_size(own, count);
  uint8_t *payload = bbw_mem_array(s->mem, len, 1);
  if (payload == NULL) { return BBW_E_NOMEM; }
  uint8_t *at = bbw_bincode_put_u64(bbw_bincode_put_u64(payload, s->ttl_ns), s->ttl_ns / 3);
  (void)bbw_protocol_put_addresses(at, own, count);
  bbw_status rv = bbw_ctx_send_control(ctx, peer, CLIENT_NUMBER, HANDSHAKE, (bbw_bytes){payload, len}, 0);
  bbw_mem_array_free(s->mem, payload, len, 1);
  return rv;
}

static bbw_status take_announcement(void *self, bbw_ctx *ctx) {
  server *s = self;
  bbw_bincode_reader reader;
  bbw_peer_id peer;
  bbw_protocol_addresses addresses;
  bool ok = payload_of(ctx, &reader) && bbw_bincode_peer(&reader, &peer) &&
            bbw_protocol_read_addresses(&reader, &addresses);
  if (!ok || addresses.count == 0) { return bad_message(ctx); }
  if (!bbw_peer_id_equal(&peer, bbw_ctx_src_peer(ctx))) {
    return fail(ctx, "identity_mismatch", BBW_STR("the announced peer is not the sender"));
  }
  evict(s, ctx);
  uint64_t now_ns = bbw_ctx_now_ns(ctx);
  bool is_new = bbw_peer_table_find(&s->entries, &peer) == NULL;
  if (is_new && s->entries.count == BBW_REGISTRY_PEERS_MAX) { drop_first(s, ctx); }
  bbw_status rv = bbw_ctx_hold_peer(ctx, &peer, addresses.items, addresses.count, true);
  if (rv != BBW_OK) { return rv; }
  if (!is_new) { bbw_ctx_release_peer(ctx, &peer); } /* one reference per entry */
  entry *e = bbw_peer_table_touch(&s->entries, &peer, BBW_REGISTRY_PEERS_MAX);
  if (e == NULL) {
    bbw_ctx_release_peer(ctx, &peer);
    return BBW_E_NOMEM;
  }
  e->expires_ns = now_ns > UINT64_MAX - s->ttl_ns ? UINT64_MAX : now_ns + s->ttl_ns;
  return reply(s, ctx, &peer);
}

/* The first n of a shuffled list (wire specification §21.3). */
static void shuffle(server *s, const bbw_peer_id **peers, size_t count, size_t n) {
  uint64_t state = s->seed * 0x9e3779b97f4a7c15u + ++s->samples;
  for (size_t i = 0; i < n; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    size_t j = i + (size_t)(state % (count - i));
    const bbw_peer_id *moved = peers[i];
    peers[i] = peers[j];
    peers[j] = moved;
  }
}

static bbw_status list_peers(void *self, bbw_ctx *ctx) {
  server *s = self;
  evict(s, ctx);
  size_t count = s->entries.count, wanted = count, at = 0;
  bool is_sample = bbw_protocol_is_op(ctx, "Sample");
  if (is_sample && !bbw_protocol_wanted(ctx, &wanted)) { return bbw_ctx_fail_input(ctx, 0, "u32"); }
  const bbw_peer_id **peers = bbw_mem_array(s->mem, count, sizeof *peers);
  if (peers == NULL && count != 0) { return BBW_E_NOMEM; }
  for (const bbw_peer_entry *e = s->entries.first; e != NULL; e = e->after) { peers[at++] = &e->peer; }
  if (wanted > count) { wanted = count; }
  if (is_sample && wanted != 0) { shuffle(s, peers, count, wanted); }
  bbw_status rv = bbw_protocol_set_peers(ctx, peers, wanted);
  bbw_mem_array_free(s->mem, peers, count, sizeof *peers);
  return rv;
}

static const bbw_operator server_operators[] = {{"Announce", BBW_ROLE_PROTOCOL, true, take_announcement},
                                                {"Sample", BBW_ROLE_PEER_SELECTOR, false, list_peers},
                                                {"CurrentView", BBW_ROLE_PEER_SELECTOR, false, list_peers}};
enum { SERVER_OPERATORS = sizeof server_operators / sizeof server_operators[0] };

static bbw_status server_dispatch(void *self, bbw_ctx *ctx) {
  bbw_peer_table_reseed(&((server *)self)->entries,
                        bbw_ctx_table_seed(ctx)); /* only the first time, and after a restore */
  return bbw_operators_run(server_operators, SERVER_OPERATORS, self, ctx);
}

static bool server_supports(const void *self, bbw_role role, bbw_str op_type) {
  (void)self;
  return bbw_operators_have(server_operators, SERVER_OPERATORS, role, op_type);
}

static bbw_status server_save(const void *self, const bbw_mem *mem, uint8_t **out, size_t *len) {
  const server *s = self;
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  size_t bytes = 24;
  for (const bbw_peer_entry *e = s->entries.first; e != NULL; e = e->after) {
    bytes += 16 + bbw_peer_id_encode(&e->peer, peer);
  }
  uint8_t *at = mem->alloc(mem->ctx, bytes);
  if (at == NULL) { return BBW_E_NOMEM; }
  *out = at;
  *len = bytes;
  at = bbw_bincode_put_u64(at, s->seed);
  at = bbw_bincode_put_u64(at, s->samples);
  at = bbw_bincode_put_u64(at, s->entries.count);
  for (const bbw_peer_entry *e = s->entries.first; e != NULL; e = e->after) {
    at = bbw_bincode_put_view(at, (bbw_bytes){peer, bbw_peer_id_encode(&e->peer, peer)});
    at = bbw_bincode_put_u64(at, ((const entry *)e)->expires_ns);
  }
  return BBW_OK;
}

/* Their references in the address book are in the snapshot of the book. */
static bbw_status server_restore(void *self, bbw_bytes state, const bbw_mem *mem, bbw_error *err) {
  server *s = self;
  bbw_bincode_reader reader = {.bytes = state};
  server next = {.mem = mem, .ttl_ns = s->ttl_ns};
  size_t count = 0;
  bbw_peer_table_init(&next.entries, sizeof(entry), mem);
  next.entries.seed = s->entries.seed;
  bool ok = bbw_bincode_u64(&reader, &next.seed) && bbw_bincode_u64(&reader, &next.samples) &&
            bbw_bincode_count(&reader, 18, &count) && count <= BBW_REGISTRY_PEERS_MAX;
  bbw_status rv = BBW_OK;
  uint64_t last_ns = 0;
  for (size_t i = 0; ok && i < count; i++) {
    bbw_peer_id peer;
    uint64_t expires_ns;
    ok = bbw_bincode_peer(&reader, &peer) && bbw_bincode_u64(&reader, &expires_ns) && expires_ns >= last_ns &&
         bbw_peer_table_find(&next.entries, &peer) == NULL;
    if (!ok) { break; }
    last_ns = expires_ns;
    entry *e = bbw_peer_table_add(&next.entries, &peer);
    if (e == NULL) {
      rv = BBW_E_NOMEM;
      break;
    }
    e->expires_ns = expires_ns;
  }
  if (rv == BBW_OK && (!ok || reader.at != state.len)) { rv = BBW_E_RESTORE_COMPONENT; }
  if (rv != BBW_OK) {
    bbw_peer_table_free(&next.entries);
    return bbw_error_set_at(err, rv, reader.at);
  }
  bbw_peer_table_free(&s->entries);
  *s = next;
  return BBW_OK;
}

const bbw_component_type bbw_registry_server_type = {
    .type_name = "GlobalRegistryServer",
    .role_bits = BBW_ROLE_BIT(BBW_ROLE_PEER_SELECTOR) | BBW_ROLE_BIT(BBW_ROLE_PROTOCOL),
    .well_known = SERVER_NUMBER + 1,
    .construct = server_construct,
    .destroy = server_destroy,
    .dispatch = server_dispatch,
    .supports = server_supports,
    .save = server_save,
    .restore = server_restore,
};
