/* The shipped protocols: their bytes, what they believe and what they do not, their limits (wire specification §21; components/cyclon.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bbw/address.h"
#include "component_call.h"
#include "components/cyclon.h"
#include "components/global_registry.h"
#include "format/bincode.h"

#define SECOND UINT64_C(1000000000)

typedef struct fixture {
  component_call call;
  const bbw_component_type *type;
  void *self;
} fixture;

static size_t p2p(uint64_t number, uint8_t *out) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  bbw_segment segment = {.kind = BBW_SEGMENT_P2P, .bytes = {bytes, bbw_peer_id_encode(&peer, bytes)}};
  size_t len = 0;
  assert_int_equal(bbw_address_append(out, 32, &len, &segment), BBW_OK);
  return len;
}

static void begin(fixture *f, const bbw_component_type *type, uint64_t self_number) {
  component_call_init(&f->call);
  f->call.engine.self_peer = bbw_peer_id_from_u64(self_number);
  f->call.engine.now_ns = SECOND;
  uint8_t address[32];
  bbw_bytes own = {address, p2p(self_number, address)};
  assert_int_equal(bbw_address_book_add_peer(&f->call.engine.address_book, &f->call.engine.self_peer, &own, 1), BBW_OK);
  f->type = type;
  assert_int_equal(type->construct(&f->self, type, false, (bbw_bytes){NULL, 0}, &f->call.mem.mem, NULL), BBW_OK);
}

static void end(fixture *f) {
  f->type->destroy(f->self, &f->call.mem.mem);
  component_call_free(&f->call);
  assert_int_equal(f->call.mem.live_bytes, 0);
}

/* A call by an envelope of that peer; the payload is copied. */
static bbw_status from_network(fixture *f, uint64_t from, const char *op_type, bbw_bytes payload) {
  bbw_value *value;
  call_begin(&f->call, BBW_ROLE_PROTOCOL, op_type, 0);
  call_from(&f->call, from);
  assert_int_equal(bbw_value_new_bytes(&value, BBW_TYPE_BYTES, payload, &f->call.mem.mem), BBW_OK);
  call_input(&f->call, 0, value);
  return call_run(&f->call, f->type, f->self);
}

static bbw_status local(fixture *f, bbw_role role, const char *op_type, bbw_value *input) {
  call_begin(&f->call, role, op_type, 1);
  f->call.ctx.inbound = NULL;
  if (input != NULL) { call_input(&f->call, 0, input); }
  return call_run(&f->call, f->type, f->self);
}

static bbw_value *peer_value(fixture *f, uint64_t number) {
  bbw_value *value;
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  assert_int_equal(bbw_value_new_bytes(&value, BBW_TYPE_PEER_ID, (bbw_bytes){bytes, bbw_peer_id_encode(&peer, bytes)},
                                       &f->call.mem.mem),
                   BBW_OK);
  return value;
}

/* Takes the oldest envelope out of the queue, as hex; "" when there is none. */
static const char *sent(fixture *f) {
  static char hex[4096];
  const bbw_outbound_entry *entry = bbw_outbound_front(&f->call.engine.outbound);
  size_t len = 0;
  hex[0] = '\0';
  if (entry == NULL) { return hex; }
  for (size_t i = 0; i < entry->dest_len; i++) { len += (size_t)sprintf(hex + len, "%02x", entry->dest[i]); }
  for (size_t i = 0; i < entry->tail->len; i++) { len += (size_t)sprintf(hex + len, "%02x", entry->tail->bytes[i]); }
  bbw_outbound_pop(&f->call.engine.outbound);
  return hex;
}

/* How many peers CurrentView lists. */
static size_t listed(fixture *f) {
  assert_int_equal(local(f, BBW_ROLE_PEER_SELECTOR, "CurrentView", NULL), BBW_OK);
  return f->call.outputs[0]->as.blobs.count;
}

static uint64_t refs(fixture *f, uint64_t number) {
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  return bbw_address_book_ref_count(&f->call.engine.address_book, &peer);
}

/* ---- the registry --------------------------------------------------------------------------------------------------- */

static bbw_bytes announcement(uint64_t number, uint8_t *out) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX], address[32];
  bbw_peer_id peer = bbw_peer_id_from_u64(number);
  uint8_t *at = bbw_bincode_put_view(out, (bbw_bytes){bytes, bbw_peer_id_encode(&peer, bytes)});
  at = bbw_bincode_put_u64(at, 1);
  at = bbw_bincode_put_address(at, (bbw_bytes){address, p2p(number, address)});
  return (bbw_bytes){out, (size_t)(at - out)};
}

static void announce_and_handshake_are_the_bytes_of_the_specification(void **state) {
  (void)state;
  fixture client, server;
  uint8_t bytes[256];
  begin(&client, &bbw_registry_client_type, 1);
  begin(&server, &bbw_registry_server_type, 2);
  assert_int_equal(local(&client, BBW_ROLE_PROTOCOL, "Announce", peer_value(&client, 2)), BBW_OK);
  /* §25 (d) and (e). */
  assert_string_equal(sent(&client), "0a0da5030a00080000000000000002"
                                     "124d0a11e301000000"
                                     "00e40108416e6e6f756e6365"
                                     "12380a00000000000000000800000000000000010100000000000000"
                                     "0100000000000000"
                                     "000000000a000000000000000008000000000000000"
                                     "1"
                                     "3801");
  assert_int_equal(from_network(&server, 1, "Announce", announcement(1, bytes)), BBW_OK);
  assert_string_equal(sent(&server), "0a0da5030a00080000000000000001"
                                     "124c0a12e30100000001e4010948616e647368616b65"
                                     "123600046bf41400000000ac23fc0600000001000000000000000100000000000000"
                                     "000000000a0000000000000000080000000000000002"
                                     "3801");
  /* The client takes the answer, and rests for the interval. */
  uint8_t *at = bbw_bincode_put_u64(bbw_bincode_put_u64(bytes, 90 * SECOND), 30 * SECOND), address[32];
  at = bbw_bincode_put_address(bbw_bincode_put_u64(at, 1), (bbw_bytes){address, p2p(2, address)});
  bbw_bytes handshake = {bytes, (size_t)(at - bytes)};
  assert_int_equal(from_network(&client, 3, "Handshake", handshake), BBW_E_COMPONENT); /* nobody asked 3 */
  assert_true(call_reason_is(&client.call, "not_announced"));
  assert_int_equal(from_network(&client, 2, "Handshake", handshake), BBW_OK);
  assert_int_equal(refs(&client, 2), 1);
  client.call.engine.now_ns += 29 * SECOND;
  assert_int_equal(local(&client, BBW_ROLE_PROTOCOL, "Announce", peer_value(&client, 2)), BBW_OK);
  assert_string_equal(sent(&client), "");
  assert_int_equal(local(&client, BBW_ROLE_PROTOCOL, "Announce", peer_value(&client, 5)), BBW_OK); /* another server */
  assert_string_not_equal(sent(&client), "");
  /* What a graph does, a peer cannot. */
  assert_int_equal(from_network(&client, 2, "Announce", handshake), BBW_E_COMPONENT);
  assert_int_equal(from_network(&server, 2, "CurrentView", handshake), BBW_E_COMPONENT);
  end(&client);
  end(&server);
}

static void the_registry_believes_only_what_a_peer_says_of_itself(void **state) {
  (void)state;
  fixture f;
  uint8_t bytes[256];
  begin(&f, &bbw_registry_server_type, 2);
  assert_int_equal(from_network(&f, 7, "Announce", announcement(1, bytes)), BBW_E_COMPONENT);
  assert_true(call_reason_is(&f.call, "identity_mismatch"));
  assert_int_equal(refs(&f, 1), 0);
  assert_string_equal(sent(&f), "");
  bbw_bytes good = announcement(1, bytes);
  for (size_t len = 0; len < good.len; len++) { /* cut anywhere */
    assert_int_equal(from_network(&f, 1, "Announce", (bbw_bytes){bytes, len}), BBW_E_COMPONENT);
  }
  assert_int_equal(listed(&f), 0);
  for (unsigned i = 0; i < 3; i++) { assert_int_equal(from_network(&f, 1, "Announce", good), BBW_OK); }
  assert_int_equal(listed(&f), 1);
  assert_int_equal(refs(&f, 1), 1); /* one reference, however often it comes */
  /* Time ends an entry; an announcement in between renews it. */
  f.call.engine.now_ns += 60 * SECOND;
  assert_int_equal(from_network(&f, 3, "Announce", announcement(3, bytes)), BBW_OK);
  f.call.engine.now_ns += 31 * SECOND;
  assert_int_equal(listed(&f), 1);
  assert_int_equal(refs(&f, 1), 0);
  assert_int_equal(refs(&f, 3), 1);
  end(&f);
}

/* A client that is restored knows whom it has told, and takes the handshake that is on its way. */
static void a_restored_client_goes_on(void **state) {
  (void)state;
  fixture f;
  uint8_t bytes[256], address[32], *saved, *again;
  size_t len, again_len;
  begin(&f, &bbw_registry_client_type, 1);
  const bbw_mem *mem = &f.call.mem.mem;
  assert_int_equal(f.type->save(f.self, mem, &saved, &len), BBW_OK);
  assert_int_equal(len, 16); /* the form of the reference, as long as nobody was told */
  assert_int_equal(f.type->restore(f.self, (bbw_bytes){saved, len}, mem, NULL), BBW_OK);
  mem->free(mem->ctx, saved, len);
  assert_int_equal(local(&f, BBW_ROLE_PROTOCOL, "Announce", peer_value(&f, 2)), BBW_OK);
  assert_string_not_equal(sent(&f), "");
  assert_int_equal(f.type->save(f.self, mem, &saved, &len), BBW_OK);
  void *other;
  assert_int_equal(f.type->construct(&other, f.type, false, (bbw_bytes){NULL, 0}, mem, NULL), BBW_OK);
  for (size_t cut = 0; cut < len; cut++) {
    bbw_status want = cut == 16 ? BBW_OK : BBW_E_RESTORE_COMPONENT;
    assert_int_equal(f.type->restore(other, (bbw_bytes){saved, cut}, mem, NULL), want);
  }
  assert_int_equal(f.type->restore(other, (bbw_bytes){saved, len}, mem, NULL), BBW_OK);
  assert_int_equal(f.type->save(other, mem, &again, &again_len), BBW_OK);
  assert_int_equal(again_len, len);
  assert_memory_equal(saved, again, len);
  mem->free(mem->ctx, again, again_len);
  mem->free(mem->ctx, saved, len);
  f.type->destroy(f.self, mem);
  f.self = other;
  uint8_t *at = bbw_bincode_put_u64(bbw_bincode_put_u64(bytes, 90 * SECOND), 30 * SECOND);
  at = bbw_bincode_put_address(bbw_bincode_put_u64(at, 1), (bbw_bytes){address, p2p(2, address)});
  assert_int_equal(from_network(&f, 2, "Handshake", (bbw_bytes){bytes, (size_t)(at - bytes)}), BBW_OK);
  assert_int_equal(local(&f, BBW_ROLE_PROTOCOL, "Announce", peer_value(&f, 2)), BBW_OK);
  assert_string_equal(sent(&f), ""); /* the interval has not passed */
  end(&f);
}

static void the_registry_is_bounded_and_survives_a_snapshot(void **state) {
  (void)state;
  fixture f;
  uint8_t bytes[256], *saved, *again;
  size_t len, again_len;
  begin(&f, &bbw_registry_server_type, 2);
  for (uint64_t i = 0; i < BBW_REGISTRY_PEERS_MAX + 5; i++) {
    assert_int_equal(from_network(&f, 100 + i, "Announce", announcement(100 + i, bytes)), BBW_OK);
    bbw_outbound_pop(&f.call.engine.outbound);
  }
  assert_int_equal(listed(&f), BBW_REGISTRY_PEERS_MAX);
  assert_int_equal(refs(&f, 104), 0); /* those who came first had to go */
  assert_int_equal(refs(&f, 105), 1);
  const bbw_mem *mem = &f.call.mem.mem;
  assert_int_equal(f.type->save(f.self, mem, &saved, &len), BBW_OK);
  void *other;
  assert_int_equal(f.type->construct(&other, f.type, false, (bbw_bytes){NULL, 0}, mem, NULL), BBW_OK);
  assert_int_equal(f.type->restore(other, (bbw_bytes){saved, len - 1}, mem, NULL), BBW_E_RESTORE_COMPONENT);
  assert_int_equal(f.type->restore(other, (bbw_bytes){saved, len}, mem, NULL), BBW_OK);
  assert_int_equal(f.type->save(other, mem, &again, &again_len), BBW_OK);
  assert_int_equal(again_len, len);
  assert_memory_equal(saved, again, len);
  mem->free(mem->ctx, saved, len);
  mem->free(mem->ctx, again, again_len);
  f.type->destroy(other, mem);
  end(&f);
}

/* Wire specification §21.3: five peers in their order, three drawn. */
static void samples_of_the_registry_are_those_of_the_reference(void **state) {
  (void)state;
  static const struct {
    uint64_t seed;
    uint64_t want[3][3];
  } rows[] = {{0, {{1, 2, 0}, {2, 4, 3}, {3, 0, 2}}}, {42, {{4, 0, 1}, {3, 4, 1}, {4, 3, 2}}}};
  for (size_t r = 0; r < 2; r++) {
    fixture f;
    uint8_t bytes[256], seed[8];
    begin(&f, &bbw_registry_server_type, 9);
    f.type->destroy(f.self, &f.call.mem.mem);
    bbw_store_u64le(seed, rows[r].seed);
    assert_int_equal(f.type->construct(&f.self, f.type, true, (bbw_bytes){seed, 8}, &f.call.mem.mem, NULL), BBW_OK);
    for (uint64_t i = 0; i < 5; i++) {
      assert_int_equal(from_network(&f, i, "Announce", announcement(i, bytes)), BBW_OK);
    }
    for (size_t call = 0; call < 3; call++) {
      bbw_value *three;
      assert_int_equal(bbw_value_new_plain(&three, BBW_TYPE_RAW_U32, 3, &f.call.mem.mem), BBW_OK);
      assert_int_equal(local(&f, BBW_ROLE_PEER_SELECTOR, "Sample", three), BBW_OK);
      assert_int_equal(f.call.outputs[0]->as.blobs.count, 3);
      for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f.call.outputs[0]->as.blobs.items[i].ptr[9], rows[r].want[call][i]);
      }
    }
    end(&f);
  }
}

/* ---- gossip --------------------------------------------------------------------------------------------------------- */

/* A message that lists these peers, each with its /p2p address. */
static bbw_bytes message(const uint64_t *peers, size_t count, uint8_t *out) {
  uint8_t *at = bbw_bincode_put_u64(out, count);
  for (size_t i = 0; i < count; i++) {
    uint8_t bytes[BBW_PEER_ID_BYTES_MAX], address[32];
    bbw_peer_id peer = bbw_peer_id_from_u64(peers[i]);
    at = bbw_bincode_put_view(at, (bbw_bytes){bytes, bbw_peer_id_encode(&peer, bytes)});
    at = bbw_bincode_put_u64(bbw_bincode_put_u32(at, (uint32_t)i), 1);
    at = bbw_bincode_put_address(at, (bbw_bytes){address, p2p(peers[i], address)});
  }
  return (bbw_bytes){out, (size_t)(at - out)};
}

static void a_request_is_answered_and_makes_peers_known(void **state) {
  (void)state;
  fixture f;
  uint8_t bytes[1024];
  static const uint64_t first[] = {2, 3, 4}, self_too[] = {5, 1};
  begin(&f, &bbw_cyclon_type, 1);
  assert_int_equal(local(&f, BBW_ROLE_PEER_SELECTOR, "Shuffle", NULL), BBW_OK); /* nobody is known: nothing happens */
  assert_string_equal(sent(&f), "");
  assert_int_equal(from_network(&f, 2, "ShuffleRequest", message(first, 3, bytes)), BBW_OK);
  assert_string_not_equal(sent(&f), "");
  assert_int_equal(listed(&f), 3);
  assert_int_equal(from_network(&f, 5, "ShuffleRequest", message(self_too, 2, bytes)), BBW_OK);
  assert_int_equal(listed(&f), 4); /* not itself */
  for (uint64_t i = 2; i < 6; i++) { assert_int_equal(refs(&f, i), 1); }
  assert_int_equal(refs(&f, 1), 1);
  end(&f);
}

static void only_the_peer_that_was_asked_may_answer_and_only_once(void **state) {
  (void)state;
  fixture f;
  uint8_t bytes[1024];
  static const uint64_t first[] = {2}, news[] = {7, 8}, more[] = {9};
  begin(&f, &bbw_cyclon_type, 1);
  assert_int_equal(from_network(&f, 2, "ShuffleRequest", message(first, 1, bytes)), BBW_OK);
  (void)sent(&f);
  assert_int_equal(from_network(&f, 2, "ShuffleReply", message(news, 2, bytes)), BBW_E_COMPONENT); /* not asked yet */
  assert_int_equal(local(&f, BBW_ROLE_PEER_SELECTOR, "Shuffle", NULL), BBW_OK);
  assert_string_not_equal(sent(&f), "");
  assert_int_equal(from_network(&f, 3, "ShuffleReply", message(news, 2, bytes)), BBW_E_COMPONENT);
  assert_true(call_reason_is(&f.call, "not_asked"));
  assert_int_equal(listed(&f), 1);
  assert_int_equal(from_network(&f, 2, "ShuffleReply", message(news, 2, bytes)), BBW_OK);
  assert_int_equal(listed(&f), 3);
  assert_int_equal(from_network(&f, 2, "ShuffleReply", message(more, 1, bytes)), BBW_E_COMPONENT); /* a replay */
  assert_int_equal(listed(&f), 3);
  assert_int_equal(local(&f, BBW_ROLE_PEER_SELECTOR, "Shuffle", NULL), BBW_OK);
  assert_int_equal(listed(&f), 3); /* who has answered stays; now another is asked, */
  assert_int_equal(refs(&f, 2), 1);
  (void)sent(&f);
  assert_int_equal(local(&f, BBW_ROLE_PEER_SELECTOR, "Shuffle", NULL), BBW_OK);
  assert_int_equal(listed(&f), 2); /* and is gone, for it did not answer */
  assert_int_equal(refs(&f, 2), 1);
  end(&f);
}

static void a_view_is_bounded_and_messages_are_all_or_nothing(void **state) {
  (void)state;
  fixture f;
  uint8_t bytes[4096];
  begin(&f, &bbw_cyclon_type, 1);
  for (uint64_t i = 0; i < 200; i++) {
    uint64_t peers[8];
    for (uint64_t k = 0; k < 8; k++) { peers[k] = 100 + 8 * i + k; }
    assert_int_equal(from_network(&f, peers[0], "ShuffleRequest", message(peers, 8, bytes)), BBW_OK);
    (void)sent(&f);
    assert_true(listed(&f) <= BBW_CYCLON_VIEW_MAX);
    assert_true(bbw_address_book_count(&f.call.engine.address_book) <= BBW_CYCLON_VIEW_MAX + 1); /* and itself */
  }
  size_t before = listed(&f);
  uint64_t nine[9] = {1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009};
  assert_int_equal(from_network(&f, 1001, "ShuffleRequest", message(nine, 9, bytes)), BBW_E_COMPONENT);
  bbw_bytes good = message(nine, 8, bytes);
  for (size_t len = 0; len < good.len; len++) {
    assert_int_equal(from_network(&f, 1001, "ShuffleRequest", (bbw_bytes){bytes, len}), BBW_E_COMPONENT);
  }
  assert_string_equal(sent(&f), "");
  assert_int_equal(listed(&f), before);
  for (size_t i = 0; i < 9; i++) { assert_int_equal(refs(&f, nine[i]), 0); }
  end(&f);
}

static void forbidden_peers_do_not_come_in_by_hearsay(void **state) {
  (void)state;
  fixture f;
  uint8_t bytes[1024], other[32];
  static const uint64_t peers[] = {2, 3, 4};
  begin(&f, &bbw_cyclon_type, 1);
  bbw_peer_id blocked = bbw_peer_id_from_u64(3), known = bbw_peer_id_from_u64(4);
  assert_int_equal(bbw_governor_block(&f.call.engine.governor, &blocked), BBW_OK);
  bbw_bytes address = {other, p2p(77, other)};
  assert_int_equal(bbw_address_book_add_peer(&f.call.engine.address_book, &known, &address, 1), BBW_OK);
  assert_int_equal(from_network(&f, 2, "ShuffleRequest", message(peers, 3, bytes)), BBW_OK);
  assert_int_equal(listed(&f), 2);
  assert_int_equal(refs(&f, 3), 0);
  /* What others say does not change the addresses of a known peer. */
  const bbw_bytes *items;
  size_t count;
  assert_true(bbw_address_book_lookup(&f.call.engine.address_book, &known, &items, &count));
  assert_int_equal(count, 1);
  assert_true(bbw_bytes_equal(items[0], address));
  /* Whoever is forbidden gets no answer either. */
  (void)sent(&f);
  assert_int_equal(from_network(&f, 3, "ShuffleRequest", message(peers, 1, bytes)), BBW_E_COMPONENT);
  assert_true(call_reason_is(&f.call, "peer_blocked"));
  assert_string_equal(sent(&f), "");
  end(&f);
}

static void a_view_survives_a_snapshot(void **state) {
  (void)state;
  fixture f;
  uint8_t bytes[1024], *saved, *again;
  size_t len, again_len;
  static const uint64_t peers[] = {2, 3, 4, 5};
  begin(&f, &bbw_cyclon_type, 1);
  assert_int_equal(from_network(&f, 2, "ShuffleRequest", message(peers, 4, bytes)), BBW_OK);
  assert_int_equal(local(&f, BBW_ROLE_PEER_SELECTOR, "Shuffle", NULL), BBW_OK);
  const bbw_mem *mem = &f.call.mem.mem;
  assert_int_equal(f.type->save(f.self, mem, &saved, &len), BBW_OK);
  void *other;
  assert_int_equal(f.type->construct(&other, f.type, false, (bbw_bytes){NULL, 0}, mem, NULL), BBW_OK);
  for (size_t cut = 0; cut < len; cut++) {
    assert_int_equal(f.type->restore(other, (bbw_bytes){saved, cut}, mem, NULL), BBW_E_RESTORE_COMPONENT);
  }
  assert_int_equal(f.type->restore(other, (bbw_bytes){saved, len}, mem, NULL), BBW_OK);
  assert_int_equal(f.type->save(other, mem, &again, &again_len), BBW_OK);
  assert_int_equal(again_len, len);
  assert_memory_equal(saved, again, len);
  mem->free(mem->ctx, saved, len);
  mem->free(mem->ctx, again, again_len);
  f.type->destroy(other, mem);
  end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(announce_and_handshake_are_the_bytes_of_the_specification),
      cmocka_unit_test(the_registry_believes_only_what_a_peer_says_of_itself),
      cmocka_unit_test(a_restored_client_goes_on),
      cmocka_unit_test(the_registry_is_bounded_and_survives_a_snapshot),
      cmocka_unit_test(samples_of_the_registry_are_those_of_the_reference),
      cmocka_unit_test(a_request_is_answered_and_makes_peers_known),
      cmocka_unit_test(only_the_peer_that_was_asked_may_answer_and_only_once),
      cmocka_unit_test(a_view_is_bounded_and_messages_are_all_or_nothing),
      cmocka_unit_test(forbidden_peers_do_not_come_in_by_hearsay),
      cmocka_unit_test(a_view_survives_a_snapshot),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
