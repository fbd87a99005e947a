/* Cyclon between nodes: groups that learn of each other become one, and nobody is needed for the others to find each other (components/cyclon.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bbw/address.h"
#include "bbw/envelope.h"
#include "components/cyclon.h"
#include "components/protocol.h"
#include "world.h"

#define PERIOD (100 * WORLD_MS)

static const char gossip[] =
    "slot gossip PeerSelector|Cyclon\ntarget M -> view\nsyscall::Interval -> tick | period_ns=100000000\n"
    "role.peer_selector::Shuffle tick -> swapped\nrole.peer_selector::CurrentView swapped -> view";

/* The peers that the node has listed last, a bit each. */
static uint64_t listed(world *w, size_t number) {
  const world_node *n = world_at(w, number);
  uint64_t bits = 0;
  for (size_t at = 8; at + 18 <= n->last_len; at += 18) { bits |= UINT64_C(1) << n->last[at + 17]; }
  return bits;
}

static uint64_t bits_of(size_t first, size_t last) {
  uint64_t bits = 0;
  for (size_t number = first; number <= last; number++) { bits |= UINT64_C(1) << number; }
  return bits;
}

/* How many nodes list somebody of the other group: those up to `border`, or those above it. */
static size_t bridges(world *w, size_t border) {
  size_t count = 0;
  for (size_t number = 1; number <= w->count; number++) {
    uint64_t others = number <= border ? bits_of(border + 1, w->count) : bits_of(1, border);
    count += (listed(w, number) & others) != 0;
  }
  return count;
}

static void two_groups(world *w, size_t size, uint64_t seed) {
  world_begin(w, 2 * size, gossip, seed);
  w->step_ns = PERIOD / 2;
  for (size_t number = 1; number <= 2 * size; number++) {
    size_t first = number <= size ? 1 : size + 1;
    if (number != first) { world_know(w, number, first); }
  }
  world_run(w, 60 * PERIOD);
  assert_int_equal(bridges(w, size), 0);
}

static void end(world *w) {
  for (size_t number = 1; number <= w->count; number++) {
    assert_int_equal(bbw_node_clear(world_at(w, number)->node, NULL), BBW_OK);
  }
  world_end(w);
}

static void groups_of_which_one_node_meets_one_of_the_other_become_one(void **state) {
  (void)state;
  static const size_t sizes[] = {5, 25}; /* views with room, and full ones */
  for (size_t i = 0; i < 2; i++) {
    for (uint64_t seed = 1; seed <= (i == 0 ? 10 : 2); seed++) {
      world w;
      two_groups(&w, sizes[i], 100 * seed);
      world_know(&w, 2, 2 * sizes[i]);
      world_run(&w, 40 * PERIOD);
      size_t met = bridges(&w, sizes[i]);
      if (met < 2 * sizes[i] * 9 / 10) {
        fail_msg("groups of %zu, seed %u: only %zu nodes know somebody of the other", sizes[i], (unsigned)seed, met);
      }
      end(&w);
    }
  }
}

/* Node 1 gets a request of node 50 that tells of eight peers. */
static void say(world *w, size_t first) {
  uint8_t payload[512], *at = payload, bytes[1024], suffix[64], from[BBW_PEER_ID_BYTES_MAX];
  bbw_store_u64le(at, BBW_CYCLON_SHUFFLE_MAX);
  at += 8;
  for (size_t number = first; number < first + BBW_CYCLON_SHUFFLE_MAX; number++) {
    bbw_peer_id peer = bbw_peer_id_from_u64(number);
    size_t len = bbw_peer_id_encode(&peer, at + 8), address_len = 0;
    bbw_store_u64le(at, len);
    at += 8 + len;
    bbw_store_u32le(at, 0);
    uint8_t address[64];
    bbw_segment p2p = {.kind = BBW_SEGMENT_P2P, .bytes = {from, bbw_peer_id_encode(&peer, from)}};
    assert_int_equal(bbw_address_append(address, sizeof(address), &address_len, &p2p), BBW_OK);
    at = bbw_protocol_put_addresses(at + 4, &(bbw_bytes){address, address_len}, 1);
  }
  size_t suffix_len = 0;
  bbw_segment component = {.kind = BBW_SEGMENT_COMPONENT, .number = BBW_CYCLON_NUMBER};
  bbw_segment op = {.kind = BBW_SEGMENT_OP, .bytes = bbw_str_bytes(BBW_STR("ShuffleRequest"))};
  assert_int_equal(bbw_address_append(suffix, sizeof(suffix), &suffix_len, &component), BBW_OK);
  assert_int_equal(bbw_address_append(suffix, sizeof(suffix), &suffix_len, &op), BBW_OK);
  bbw_slot_fill fill = {.dest_suffix = {suffix, suffix_len}, .payload = {payload, (size_t)(at - payload)}};
  bbw_envelope envelope = {.fills = &fill, .fill_count = 1, .schema_version = BBW_ENVELOPE_SCHEMA_VERSION};
  assert_true(bbw_envelope_size(&envelope) <= sizeof(bytes));
  bbw_envelope_encode(&envelope, bytes);
  bbw_peer_id sender = bbw_peer_id_from_u64(50);
  bbw_bytes id = {from, bbw_peer_id_encode(&sender, from)};
  bbw_bytes message = {bytes, bbw_envelope_size(&envelope)};
  assert_int_equal(bbw_node_deliver_inbound(world_at(w, 1)->node, id, message, NULL), BBW_OK);
  world_run(w, 0);
}

/* The ones that answer nobody are forgotten, whoever they are, and the others go on: also the first, whom all knew at the start. */
static void discovery_survives_the_loss_of_any_peer(void **state) {
  (void)state;
  for (size_t gone = 1; gone <= 8; gone++) {
    world w;
    world_begin(&w, 8, gossip, 7 * gone);
    w.step_ns = PERIOD / 2;
    for (size_t number = 2; number <= 8; number++) { world_know(&w, number, 1); }
    world_run(&w, 60 * PERIOD);
    world_at(&w, gone)->is_away = true;
    world_run(&w, 120 * PERIOD);
    uint64_t alive = bits_of(1, 8) & ~(UINT64_C(1) << gone);
    for (size_t number = 1; number <= 8; number++) {
      if (number == gone) { continue; }
      uint64_t others = listed(&w, number) & alive & ~(UINT64_C(1) << number);
      size_t count = 0;
      for (; others != 0; others &= others - 1) { count++; }
      if (count < 5) { fail_msg("without %zu, node %zu lists only %zu of the other 6", gone, number, count); }
    }
    end(&w);
  }
}

/* A registry lists who has announced itself.  Without it the others still know each other, and a newcomer needs any of them. */
static void discovery_survives_the_loss_of_the_server(void **state) {
  (void)state;
  static const char server[] =
      "slot registry PeerSelector|GlobalRegistryServer\ntarget M -> view\n"
      "syscall::Interval -> tick | period_ns=100000000\nrole.peer_selector::CurrentView tick -> view";
  static const char client[] =
      "slot client Protocol|GlobalRegistryClient\nslot gossip PeerSelector|Cyclon\n"
      "target M server -> view\nai.bytesandbrains.protocol.global_registry::Announce server -> announced\n"
      "syscall::Interval -> tick | period_ns=100000000\n"
      "role.peer_selector::Shuffle tick -> swapped\nrole.peer_selector::CurrentView swapped -> view";
  const char *texts[9] = {server};
  for (size_t i = 1; i < 9; i++) { texts[i] = client; }
  world w;
  world_begin_each(&w, 9, texts, 5);
  w.step_ns = PERIOD / 2;
  for (size_t number = 2; number <= 8; number++) {
    const size_t first[] = {1};
    bbw_bytes list = world_list(first, 1);
    world_know(&w, number, 1);
    if (number > 2) { world_know(&w, number, 2); }
    assert_int_equal(bbw_node_deliver_event(world_at(&w, number)->node, BBW_STR("M"), BBW_STR("server"), list, NULL),
                     BBW_OK);
  }
  world_run(&w, 60 * PERIOD);
  assert_int_equal(listed(&w, 1), bits_of(2, 8));
  world_at(&w, 1)->is_away = true;
  world_run(&w, 100 * PERIOD);
  world_know(&w, 9, 5);
  world_run(&w, 60 * PERIOD);
  for (size_t number = 2; number <= 9; number++) {
    uint64_t others = listed(&w, number) & bits_of(2, 9);
    size_t count = 0;
    for (; others != 0; others &= others - 1) { count++; }
    if (count < 6) { fail_msg("without the server node %zu lists only %zu of the other 7", number, count); }
  }
  end(&w);
}

/* Memory runs out at every place of a swap in turn, of nodes with full views that know more peers than fit; what could not be asked is no member, and a snapshot can be restored. */
static void lack_of_memory_makes_no_view_too_large(void **state) {
  (void)state;
  world w;
  world_begin(&w, 1, gossip, 3);
  w.step_ns = PERIOD;
  world_node *n = world_at(&w, 1);
  for (size_t number = 2; number <= 50; number++) { world_know(&w, 1, number); }
  for (size_t round = 0; round < 200; round++) {
    for (size_t first = 2; first <= 26; first += 8) { say(&w, first); } /* the view is full, and the book knows more */
    (void)test_mem_fail_at(&n->mem, round % 10);
    n->mem.fails_once = true;
    world_run(&w, PERIOD);
    n->mem.fail_at = TEST_MEM_NEVER;
    n->failed[0] = '\0';
    uint8_t *bytes;
    size_t len;
    assert_int_equal(bbw_node_snapshot(n->node, &bytes, &len, &n->mem.mem, NULL), BBW_OK);
    assert_int_equal(bbw_node_restore(n->node, (bbw_bytes){bytes, len}, NULL), BBW_OK);
    n->mem.mem.free(n->mem.mem.ctx, bytes, len);
  }
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(groups_of_which_one_node_meets_one_of_the_other_become_one),
      cmocka_unit_test(discovery_survives_the_loss_of_any_peer),
      cmocka_unit_test(discovery_survives_the_loss_of_the_server),
      cmocka_unit_test(lack_of_memory_makes_no_view_too_large),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
