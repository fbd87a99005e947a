/* The per-peer tables where the golden sequences do not reach: bounds, eviction, recovery, memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bbw/address.h"
#include "peers/address_book.h"
#include "peers/backpressure.h"
#include "peers/dedup.h"
#include "peers/governor.h"
#include "peers/request_tracker.h"
#include "peers/rtt.h"
#include "test_mem.h"

#define SITE_BYTES 10u

static bbw_bytes site_address(uint64_t site, uint8_t *bytes) {
  bbw_segment segment = {.kind = BBW_SEGMENT_SITE, .number = site};
  size_t len = 0;
  assert_int_equal(bbw_address_append(bytes, SITE_BYTES, &len, &segment), BBW_OK);
  return (bbw_bytes){bytes, len};
}

/* ---- address book ------------------------------------------------------------------------------------------------- */

static void book_evicts_the_oldest_address(void **state) {
  (void)state;
  test_mem mem;
  bbw_address_book book;
  uint8_t bytes[40][SITE_BYTES];
  bbw_bytes addresses[40];
  const bbw_bytes *items;
  size_t count;
  test_mem_init(&mem);
  bbw_address_book_init(&book, &mem.mem);
  bbw_peer_id peer = bbw_peer_id_from_u64(1);
  for (uint64_t i = 0; i < 40; i++) { addresses[i] = site_address(i, bytes[i]); }
  assert_int_equal(bbw_address_book_add_peer(&book, &peer, addresses, 40), BBW_OK);
  assert_true(bbw_address_book_lookup(&book, &peer, &items, &count));
  assert_int_equal(count, BBW_ADDRESSES_PER_PEER_MAX);
  for (size_t i = 0; i < count; i++) { assert_true(bbw_bytes_equal(items[i], addresses[40 - count + i])); }
  assert_int_equal(bbw_address_book_register_address(&book, &peer, addresses[0]), BBW_OK);
  assert_true(bbw_address_book_lookup(&book, &peer, &items, &count));
  assert_int_equal(count, BBW_ADDRESSES_PER_PEER_MAX);
  assert_true(bbw_bytes_equal(items[count - 1], addresses[0]));
  assert_true(bbw_bytes_equal(items[0], addresses[41 - count]));
  bbw_address_book_free(&book);
  assert_int_equal(mem.live_bytes, 0);
}

static void book_lists_peers_in_order_of_first_sight(void **state) {
  (void)state;
  test_mem mem;
  bbw_address_book book;
  uint8_t bytes[SITE_BYTES];
  bbw_bytes address = site_address(1, bytes);
  test_mem_init(&mem);
  bbw_address_book_init(&book, &mem.mem);
  static const uint64_t peers[] = {5, 3, 9, 1};
  for (size_t i = 0; i < 4; i++) {
    bbw_peer_id peer = bbw_peer_id_from_u64(peers[i]);
    assert_int_equal(bbw_address_book_add_peer(&book, &peer, &address, 1), BBW_OK);
  }
  bbw_peer_id three = bbw_peer_id_from_u64(3);
  assert_int_equal(bbw_address_book_drop_peer(&book, &three), BBW_OK);
  static const uint64_t left[] = {5, 9, 1};
  for (size_t i = 0; i < 3; i++) {
    bbw_peer_id want = bbw_peer_id_from_u64(left[i]);
    assert_true(bbw_peer_id_equal(bbw_address_book_peer(&book, i), &want));
  }
  assert_null(bbw_address_book_peer(&book, 3));
  bbw_peer_id nine = bbw_peer_id_from_u64(9);
  assert_int_equal(bbw_address_book_drop_peer(&book, &nine), BBW_OK);
  assert_int_equal(bbw_address_book_drop_peer(&book, &nine), BBW_E_AB_UNKNOWN_PEER);
  assert_int_equal(bbw_address_book_count(&book), 2);
  bbw_address_book_free(&book);
  assert_int_equal(mem.live_bytes, 0);
}

static void book_is_whole_when_memory_runs_out(void **state) {
  (void)state;
  uint8_t bytes[3][SITE_BYTES];
  bbw_bytes addresses[3];
  bbw_peer_id one = bbw_peer_id_from_u64(1), two = bbw_peer_id_from_u64(2);
  for (uint64_t i = 0; i < 3; i++) { addresses[i] = site_address(i, bytes[i]); }
  bool is_done = false;
  for (size_t nth = 0; !is_done; nth++) {
    test_mem mem;
    bbw_address_book book;
    const bbw_bytes *items;
    size_t count;
    test_mem_init(&mem);
    bbw_address_book_init(&book, &mem.mem);
    assert_int_equal(bbw_address_book_add_peer(&book, &one, addresses, 1), BBW_OK);
    (void)test_mem_fail_at(&mem, nth);
    bbw_status known = bbw_address_book_add_peer(&book, &one, addresses + 1, 2);
    bbw_status fresh = bbw_address_book_add_peer(&book, &two, addresses, 3);
    assert_true(known == BBW_OK || known == BBW_E_AB_ALLOCATION_FAILED);
    assert_true(fresh == BBW_OK || fresh == BBW_E_AB_ALLOCATION_FAILED);
    assert_true(bbw_address_book_lookup(&book, &one, &items, &count));
    assert_int_equal(count, known == BBW_OK ? 3 : 1);
    assert_int_equal(bbw_address_book_ref_count(&book, &one), known == BBW_OK ? 2 : 1);
    assert_int_equal(bbw_address_book_lookup(&book, &two, &items, &count), fresh == BBW_OK);
    assert_int_equal(bbw_address_book_count(&book), fresh == BBW_OK ? 2 : 1);
    is_done = known == BBW_OK && fresh == BBW_OK;
    bbw_address_book_free(&book);
    assert_int_equal(mem.live_bytes, 0);
  }
}

static void book_knows_one_address_in_two_spellings(void **state) {
  (void)state;
  static const uint8_t odd[] = {0xe2, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02, 0, 0, 0, 0, 0, 0, 0, 17};
  bbw_address_book book;
  uint8_t bytes[SITE_BYTES];
  const bbw_bytes *items;
  size_t count;
  bbw_peer_id peer = bbw_peer_id_from_u64(1);
  bbw_bytes both[] = {{odd, sizeof(odd)}, site_address(17, bytes)};
  bbw_address_book_init(&book, &bbw_mem_libc);
  assert_int_equal(bbw_address_book_add_peer(&book, &peer, both, 2), BBW_OK);
  assert_true(bbw_address_book_lookup(&book, &peer, &items, &count));
  assert_int_equal(count, 1);
  assert_true(bbw_bytes_equal(items[0], both[1]));
  assert_int_equal(bbw_address_book_forget_address(&book, &peer, both[0]), BBW_OK);
  assert_false(bbw_address_book_lookup(&book, &peer, &items, &count));
  bbw_bytes bad = {odd, 3};
  assert_int_equal(bbw_address_book_register_address(&book, &peer, bad), BBW_E_ARG);
  assert_int_equal(bbw_address_book_add_peer(&book, &peer, &bad, 1), BBW_E_ARG);
  bbw_address_book_free(&book);
}

static void claims_never_drive_out_what_the_host_knows(void **state) {
  (void)state;
  enum { COUNT = 60 };
  test_mem mem;
  bbw_address_book book;
  uint8_t bytes[COUNT][SITE_BYTES];
  bbw_bytes addresses[COUNT];
  const bbw_bytes *items;
  size_t count;
  test_mem_init(&mem);
  bbw_address_book_init(&book, &mem.mem);
  bbw_peer_id peer = bbw_peer_id_from_u64(1), other = bbw_peer_id_from_u64(2);
  for (uint64_t i = 0; i < COUNT; i++) { addresses[i] = site_address(i, bytes[i]); }
  assert_int_equal(bbw_address_book_claim(&book, &peer, addresses, 0), BBW_E_AB_EMPTY);
  assert_int_equal(bbw_address_book_claim(&book, &peer, addresses, 1), BBW_OK);
  assert_int_equal(bbw_address_book_claim(&book, &peer, addresses + 1, 1), BBW_OK);
  assert_int_equal(bbw_address_book_ref_count(&book, &peer), 1); /* a claim counts once */
  assert_int_equal(bbw_address_book_observe(&book, &peer, addresses[2]), BBW_OK);
  assert_int_equal(bbw_address_book_observe(&book, &peer, addresses[1]), BBW_OK); /* claimed, and true */
  assert_int_equal(bbw_address_book_ref_count(&book, &peer), 1);
  assert_int_equal(bbw_address_book_claimed(&book, &peer), 1);
  assert_int_equal(bbw_address_book_claim(&book, &peer, addresses + 2, 1), BBW_OK); /* true already */
  assert_int_equal(bbw_address_book_claimed(&book, &peer), 1);
  for (size_t i = 3; i < COUNT; i++) {
    assert_int_equal(bbw_address_book_claim(&book, &peer, addresses + i, 1), BBW_OK);
  }
  assert_true(bbw_address_book_lookup(&book, &peer, &items, &count));
  assert_int_equal(count, BBW_ADDRESSES_PER_PEER_MAX);
  assert_true(bbw_bytes_equal(items[0], addresses[1]) && bbw_bytes_equal(items[1], addresses[2]));
  assert_true(bbw_bytes_equal(items[2], addresses[COUNT - count + 2])); /* the oldest claims went */
  assert_int_equal(bbw_address_book_claimed(&book, &peer), 0xfffc);
  /* Forgetting one moves the others with what is known of them. */
  assert_int_equal(bbw_address_book_forget_address(&book, &peer, addresses[1]), BBW_OK);
  assert_int_equal(bbw_address_book_claimed(&book, &peer), 0x7ffe);
  /* A list full of the host's words has no place for claims; the host's own next word takes that of its oldest. */
  assert_int_equal(bbw_address_book_add_peer(&book, &other, addresses, BBW_ADDRESSES_PER_PEER_MAX), BBW_OK);
  assert_int_equal(bbw_address_book_claim(&book, &other, addresses + 30, 8), BBW_OK);
  assert_true(bbw_address_book_lookup(&book, &other, &items, &count));
  for (size_t i = 0; i < count; i++) { assert_true(bbw_bytes_equal(items[i], addresses[i])); }
  assert_int_equal(bbw_address_book_observe(&book, &other, addresses[50]), BBW_OK);
  assert_true(bbw_address_book_lookup(&book, &other, &items, &count));
  assert_true(bbw_bytes_equal(items[0], addresses[1]) && bbw_bytes_equal(items[count - 1], addresses[50]));
  bbw_address_book_free(&book);
  assert_int_equal(mem.live_bytes, 0);
}

static void a_saved_peer_comes_back_with_what_is_known_of_its_addresses(void **state) {
  (void)state;
  bbw_address_book book;
  uint8_t bytes[3][SITE_BYTES];
  bbw_bytes addresses[3];
  bbw_peer_id peer = bbw_peer_id_from_u64(1);
  for (uint64_t i = 0; i < 3; i++) { addresses[i] = site_address(i, bytes[i]); }
  bbw_address_book_init(&book, &bbw_mem_libc);
  assert_int_equal(bbw_address_book_restore(&book, &peer, addresses, 3, 2, 8), BBW_E_ARG);
  assert_int_equal(bbw_address_book_restore(&book, &peer, addresses, 0, 2, 1), BBW_E_ARG);
  assert_int_equal(bbw_address_book_count(&book), 0);
  assert_int_equal(bbw_address_book_restore(&book, &peer, addresses, 3, 2, 5), BBW_OK);
  assert_int_equal(bbw_address_book_claimed(&book, &peer), 5);
  assert_int_equal(bbw_address_book_ref_count(&book, &peer), 2);
  bbw_address_book_free(&book);
}

/* A component's table may have held peers before it learnt the node's secret. */
static void a_table_keeps_its_peers_when_its_secret_changes(void **state) {
  (void)state;
  enum { COUNT = 500 };
  bbw_peer_table table;
  bbw_peer_table_init(&table, sizeof(bbw_peer_entry), &bbw_mem_libc);
  bbw_peer_table_reseed(&table, 1); /* empty */
  for (uint64_t i = 0; i < COUNT; i++) {
    bbw_peer_id peer = bbw_peer_id_from_u64(i);
    assert_non_null(bbw_peer_table_add(&table, &peer));
  }
  uint64_t before = table.first->hash;
  bbw_peer_table_reseed(&table, 2);
  assert_true(table.first->hash != before);
  for (uint64_t i = 0; i < COUNT; i++) {
    bbw_peer_id peer = bbw_peer_id_from_u64(i);
    bbw_peer_entry *entry = bbw_peer_table_find(&table, &peer);
    assert_non_null(entry);
    if (i % 3 == 0) { bbw_peer_table_remove(&table, entry); }
  }
  for (uint64_t i = 0; i <= COUNT; i++) {
    bbw_peer_id peer = bbw_peer_id_from_u64(i);
    assert_int_equal(bbw_peer_table_find(&table, &peer) != NULL, i < COUNT && i % 3 != 0);
  }
  bbw_peer_table_free(&table);
}

/* ---- backoff and governor ----------------------------------------------------------------------------------------- */

static void backoff_forgets_the_oldest_failure(void **state) {
  (void)state;
  test_mem mem;
  bbw_backoff backoff;
  test_mem_init(&mem);
  bbw_backoff_init(&backoff, &mem.mem);
  bbw_peer_id first = bbw_peer_id_from_u64(0), second = bbw_peer_id_from_u64(1);
  for (uint64_t i = 0; i < BBW_BACKOFF_PEERS_MAX; i++) {
    bbw_peer_id peer = bbw_peer_id_from_u64(i);
    assert_int_equal(bbw_backoff_record_failure(&backoff, &peer, i, 0), BBW_OK);
  }
  assert_int_equal(bbw_backoff_record_failure(&backoff, &first, 1000000, 0), BBW_OK); /* now `second` is the oldest */
  bbw_peer_id fresh = bbw_peer_id_from_u64(BBW_BACKOFF_PEERS_MAX);
  assert_int_equal(bbw_backoff_record_failure(&backoff, &fresh, 1000001, 0), BBW_OK);
  assert_non_null(bbw_backoff_find(&backoff, &first));
  assert_null(bbw_backoff_find(&backoff, &second));
  assert_non_null(bbw_backoff_find(&backoff, &fresh));
  assert_int_equal(backoff.entries.count, BBW_BACKOFF_PEERS_MAX);
  bbw_backoff_free(&backoff);
  assert_int_equal(mem.live_bytes, 0);
}

/* Our own wait loses at most a half, a pause that was asked for gains at most a quarter, and chance 0 is the reference. */
static void backoff_is_spread_by_chance(void **state) {
  (void)state;
  static const uint64_t chances[] = {0, 1, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
  static const uint64_t pauses[] = {0, 1, 1000, 1000000000, BBW_BACKOFF_CAP_NS, UINT64_MAX};
  enum { CHANCES = sizeof(chances) / sizeof(chances[0]), PAUSES = sizeof(pauses) / sizeof(pauses[0]) };
  bbw_peer_id peer = bbw_peer_id_from_u64(1);
  for (size_t c = 0; c < CHANCES; c++) {
    bbw_backoff backoff;
    bbw_backoff_init(&backoff, &bbw_mem_libc);
    for (uint64_t attempt = 1; attempt <= 80; attempt++) {
      uint64_t full_ns = attempt < 14 ? BBW_BACKOFF_BASE_NS << (attempt - 1) : BBW_BACKOFF_CAP_NS;
      assert_int_equal(bbw_backoff_record_failure(&backoff, &peer, 5, chances[c]), BBW_OK);
      uint64_t wait_ns = bbw_backoff_find(&backoff, &peer)->next_retry_ns - 5;
      assert_true(wait_ns <= full_ns && wait_ns >= full_ns / 2);
      if (chances[c] == 0) { assert_true(wait_ns == full_ns); }
      if (chances[c] == UINT64_MAX) { assert_true(wait_ns - full_ns / 2 <= 1 + full_ns / UINT32_MAX); }
    }
    for (size_t p = 0; p < PAUSES; p++) {
      uint64_t least_ns = pauses[p] < BBW_BACKOFF_CAP_NS ? pauses[p] : BBW_BACKOFF_CAP_NS;
      assert_int_equal(bbw_backoff_record_remote_advisory(&backoff, &peer, 5, pauses[p], chances[c]), BBW_OK);
      uint64_t wait_ns = bbw_backoff_find(&backoff, &peer)->next_retry_ns - 5;
      assert_true(wait_ns >= least_ns && wait_ns <= least_ns + least_ns / 4);
      if (chances[c] == 0) { assert_true(wait_ns == least_ns); }
    }
    bbw_backoff_free(&backoff);
  }
}

static void backoff_without_memory_changes_nothing(void **state) {
  (void)state;
  bbw_peer_id peer = bbw_peer_id_from_u64(1);
  for (size_t nth = 0; nth < 2; nth++) {
    test_mem mem;
    bbw_backoff backoff;
    test_mem_init(&mem);
    bbw_backoff_init(&backoff, test_mem_fail_at(&mem, nth));
    assert_int_equal(bbw_backoff_record_failure(&backoff, &peer, 1, 0), BBW_E_NOMEM);
    assert_true(bbw_backoff_should_retry(&backoff, &peer, 1));
    bbw_backoff_free(&backoff);
    assert_int_equal(mem.live_bytes, 0);
  }
}

static void a_new_allowlist_is_hashed_with_the_secret_of_the_old(void **state) {
  (void)state;
  test_mem mem;
  bbw_governor governor;
  test_mem_init(&mem);
  bbw_governor_init(&governor, &mem.mem);
  governor.allowed.seed = 77;
  bbw_peer_id peer = bbw_peer_id_from_u64(1);
  assert_int_equal(bbw_governor_set_allowlist(&governor, &peer, 1), BBW_OK);
  assert_int_equal(governor.allowed.seed, 77);
  assert_int_equal(bbw_governor_check_inbound(&governor, &peer), BBW_VERDICT_ALLOW);
  bbw_governor_free(&governor);
  assert_int_equal(mem.live_bytes, 0);
}

static void governor_keeps_its_allowlist_when_memory_runs_out(void **state) {
  (void)state;
  bbw_peer_id peers[] = {bbw_peer_id_from_u64(1), bbw_peer_id_from_u64(2), bbw_peer_id_from_u64(3)};
  bbw_status rv = BBW_E_NOMEM;
  for (size_t nth = 0; rv != BBW_OK; nth++) {
    test_mem mem;
    bbw_governor governor;
    test_mem_init(&mem);
    bbw_governor_init(&governor, &mem.mem);
    assert_int_equal(bbw_governor_set_allowlist(&governor, peers, 1), BBW_OK);
    (void)test_mem_fail_at(&mem, nth);
    rv = bbw_governor_set_allowlist(&governor, peers + 1, 2);
    bbw_verdict want = rv == BBW_OK ? BBW_VERDICT_NOT_ALLOWLISTED : BBW_VERDICT_ALLOW;
    assert_int_equal(bbw_governor_check_inbound(&governor, &peers[0]), want);
    bbw_governor_free(&governor);
    assert_int_equal(mem.live_bytes, 0);
  }
}

static void governor_lists_are_bounded(void **state) {
  (void)state;
  bbw_governor governor;
  bbw_governor_init(&governor, &bbw_mem_libc);
  for (uint64_t i = 0; i < BBW_GOVERNOR_PEERS_MAX; i++) {
    bbw_peer_id peer = bbw_peer_id_from_u64(i);
    assert_int_equal(bbw_governor_block(&governor, &peer), BBW_OK);
  }
  bbw_peer_id first = bbw_peer_id_from_u64(0), more = bbw_peer_id_from_u64(BBW_GOVERNOR_PEERS_MAX);
  assert_int_equal(bbw_governor_block(&governor, &more), BBW_E_LIMIT);
  assert_int_equal(bbw_governor_block(&governor, &first), BBW_OK); /* blocked already */
  bbw_governor_unblock(&governor, &first);
  assert_int_equal(bbw_governor_block(&governor, &more), BBW_OK);
  assert_int_equal(bbw_governor_check_inbound(&governor, &more), BBW_VERDICT_BLOCKLISTED);
  bbw_governor_free(&governor);
}

/* ---- dedup -------------------------------------------------------------------------------------------------------- */

static void dedup_keeps_its_window_when_memory_runs_out(void **state) {
  (void)state;
  test_mem mem;
  bbw_dedup dedup;
  bool is_repeat;
  test_mem_init(&mem);
  bbw_dedup_init(&dedup, &mem.mem);
  dedup.cap = 200;
  for (uint64_t i = 0; i < 1000; i++) {
    /* Every other record first meets an empty memory. */
    if (i % 2 == 0) {
      (void)test_mem_fail_at(&mem, 0);
      size_t before = dedup.count;
      bbw_status rv = bbw_dedup_record(&dedup, i, &is_repeat);
      if (rv == BBW_E_NOMEM) {
        assert_int_equal(dedup.count, before);
        assert_false(bbw_dedup_contains(&dedup, i));
      }
      (void)test_mem_fail_at(&mem, TEST_MEM_NEVER);
      if (rv == BBW_OK) { continue; }
    }
    assert_int_equal(bbw_dedup_record(&dedup, i, &is_repeat), BBW_OK);
    assert_false(is_repeat);
  }
  for (uint64_t i = 0; i < 1000; i++) { assert_int_equal(bbw_dedup_contains(&dedup, i), i >= 800); }
  bbw_dedup_free(&dedup);
  assert_int_equal(mem.live_bytes, 0);
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static void requests_expire_in_order(void **state) {
  (void)state;
  enum { COUNT = 500 };
  test_mem mem;
  bbw_requests requests;
  bbw_request request;
  uint64_t random = 1, at_ns, before = 0;
  bool is_open[COUNT + 1] = {false};
  test_mem_init(&mem);
  bbw_requests_init(&requests, &mem.mem);
  for (uint64_t id = 1; id <= COUNT; id++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    assert_int_equal(bbw_requests_mint_token(&requests), id);
    assert_int_equal(bbw_requests_register(&requests, id, 10, id, 1 + (random >> 40)), BBW_OK);
    is_open[id] = true;
  }
  for (uint64_t id = 3; id <= COUNT; id += 3) {
    assert_false(bbw_requests_observe_response(&requests, id, id + 1, &request)); /* from somebody else */
    assert_true(bbw_requests_observe_response(&requests, id, id, &request));
    assert_int_equal(request.id, id);
    assert_false(bbw_requests_remove(&requests, id, &request));
    is_open[id] = false;
  }
  size_t left = bbw_requests_in_flight(&requests);
  for (; left > 0; left--) {
    assert_true(bbw_requests_next_expiry(&requests, &at_ns));
    assert_true(at_ns >= before);
    assert_false(bbw_requests_pop_stale(&requests, at_ns - 1, &request));
    assert_true(bbw_requests_pop_stale(&requests, at_ns, &request));
    assert_int_equal(request.expires_at_ns, at_ns);
    assert_true(is_open[request.id]);
    is_open[request.id] = false;
    before = at_ns;
  }
  assert_false(bbw_requests_next_expiry(&requests, &at_ns));
  assert_false(bbw_requests_pop_stale(&requests, UINT64_MAX, &request));
  bbw_requests_free(&requests);
  assert_int_equal(mem.live_bytes, 0);
}

static void requests_of_one_expiry_go_by_id(void **state) {
  (void)state;
  static const uint64_t ids[] = {7, 2, 9, 4, 1, 8, 3, 6, 5, 0};
  bbw_requests requests;
  bbw_request request;
  bbw_requests_init(&requests, &bbw_mem_libc);
  for (size_t i = 0; i < 10; i++) { assert_int_equal(bbw_requests_register(&requests, ids[i], 0, 1, 50), BBW_OK); }
  for (uint64_t id = 0; id < 10; id++) {
    assert_true(bbw_requests_pop_stale(&requests, 50, &request));
    assert_int_equal(request.id, id);
  }
  bbw_requests_free(&requests);
}

static void requests_are_replaced_bounded_and_never_wrap(void **state) {
  (void)state;
  bbw_requests requests;
  bbw_request request;
  uint64_t at_ns;
  bbw_requests_init(&requests, &bbw_mem_libc);
  assert_int_equal(bbw_requests_register(&requests, 1, 0, 7, 0), BBW_E_ARG);
  assert_int_equal(bbw_requests_register(&requests, 1, 100, 7, UINT64_MAX), BBW_OK);
  assert_true(bbw_requests_next_expiry(&requests, &at_ns) && at_ns == UINT64_MAX);
  assert_int_equal(bbw_requests_register(&requests, 1, 200, 8, 5), BBW_OK);
  assert_int_equal(bbw_requests_in_flight(&requests), 1);
  assert_true(bbw_requests_pop_stale(&requests, 205, &request));
  assert_int_equal(request.target_site, 8);
  for (uint64_t id = 0; id < BBW_REQUESTS_IN_FLIGHT_MAX; id++) {
    assert_int_equal(bbw_requests_register(&requests, id, 0, 1, 1), BBW_OK);
  }
  assert_int_equal(bbw_requests_register(&requests, UINT64_MAX, 0, 1, 1), BBW_E_LIMIT);
  assert_int_equal(bbw_requests_register(&requests, 5, 0, 1, 9), BBW_OK); /* a known id is no new one */
  requests.next_token = UINT64_MAX;
  assert_true(bbw_requests_mint_token(&requests) == UINT64_MAX);
  assert_true(bbw_requests_mint_token(&requests) == UINT64_MAX);
  bbw_requests_free(&requests);
}

static void requests_without_memory_change_nothing(void **state) {
  (void)state;
  test_mem mem;
  bbw_requests requests;
  bbw_request request;
  test_mem_init(&mem);
  bbw_requests_init(&requests, &mem.mem);
  uint64_t registered = 0;
  for (uint64_t id = 0; id < 200; id++) {
    (void)test_mem_fail_at(&mem, id % 3 == 0 ? TEST_MEM_NEVER : 0);
    bbw_status rv = bbw_requests_register(&requests, id, 0, 1, 1 + id);
    assert_true(rv == BBW_OK || rv == BBW_E_NOMEM);
    registered += rv == BBW_OK;
    assert_int_equal(bbw_requests_in_flight(&requests), registered);
  }
  while (bbw_requests_pop_stale(&requests, 1000, &request)) { registered--; }
  assert_int_equal(registered, 0);
  bbw_requests_free(&requests);
  assert_int_equal(mem.live_bytes, 0);
}

/* ---- backpressure ------------------------------------------------------------------------------------------------- */

#define SECOND UINT64_C(1000000000)

static void silence_ends(void **state) {
  (void)state;
  test_mem mem;
  bbw_backpressure tracker;
  uint64_t window_ns = 0;
  test_mem_init(&mem);
  bbw_backpressure_init(&tracker, bbw_backpressure_config_default, &mem.mem);
  bbw_peer_id peer = bbw_peer_id_from_u64(1);
  uint64_t now = 0; /* a clock may start at 0: the window counts all the same */
  assert_int_equal(bbw_backpressure_observe(&tracker, &peer, 0, now, &window_ns), BBW_OVERLOAD_NOTICE);
  assert_true(window_ns == SECOND);
  assert_int_equal(bbw_backpressure_observe(&tracker, &peer, 0, now, &window_ns), BBW_OVERLOAD_SUPPRESS);
  now += SECOND;
  assert_int_equal(bbw_backpressure_observe(&tracker, &peer, 2 * SECOND, now, &window_ns), BBW_OVERLOAD_NOTICE);
  assert_true(window_ns == 2 * SECOND);
  assert_false(bbw_backpressure_is_silent(&tracker, &peer, now));
  now += 2 * SECOND;
  assert_int_equal(bbw_backpressure_observe(&tracker, &peer, 0, now, &window_ns), BBW_OVERLOAD_NOTICE);
  assert_true(bbw_backpressure_is_silent(&tracker, &peer, now)); /* from the third notice on */
  for (int i = 0; i < 5; i++) {                                  /* as long as it keeps coming, it stays silent */
    now += SECOND - 1;
    assert_int_equal(bbw_backpressure_observe(&tracker, &peer, 0, now, &window_ns), BBW_OVERLOAD_SILENT_DROP);
  }
  assert_true(bbw_backpressure_is_silent(&tracker, &peer, now + SECOND - 1));
  assert_false(bbw_backpressure_is_silent(&tracker, &peer, now + SECOND));
  assert_null(bbw_backpressure_find(&tracker, &peer));
  assert_int_equal(bbw_backpressure_observe(&tracker, &peer, 0, now + SECOND, &window_ns), BBW_OVERLOAD_NOTICE);
  bbw_backpressure_free(&tracker);
  assert_int_equal(mem.live_bytes, 0);
}

static void high_water_does_not_wrap(void **state) {
  (void)state;
  bbw_backpressure tracker;
  bbw_backpressure_init(&tracker, bbw_backpressure_config_default, &bbw_mem_libc);
  for (uint64_t cap = 0; cap <= 300; cap++) {
    for (uint64_t count = 0; count <= cap; count++) {
      assert_int_equal(bbw_backpressure_is_over(&tracker, count, cap), cap != 0 && count * 100 >= cap * 75);
    }
  }
  assert_true(bbw_backpressure_is_over(&tracker, UINT64_MAX, UINT64_MAX));
  assert_false(bbw_backpressure_is_over(&tracker, UINT64_MAX / 2, UINT64_MAX));
  bbw_backpressure_free(&tracker);
}

/* ---- round trips -------------------------------------------------------------------------------------------------- */

static void rtt_is_whole_when_memory_runs_out(void **state) {
  (void)state;
  bbw_rtt_edge edge = {.chain_id = 5, .hop = 1};
  bbw_status rv = BBW_E_NOMEM;
  for (size_t nth = 0; rv != BBW_OK; nth++) {
    test_mem mem;
    bbw_rtt rtt;
    test_mem_init(&mem);
    bbw_rtt_init(&rtt, test_mem_fail_at(&mem, nth));
    rv = bbw_rtt_observe(&rtt, 1, &edge, 1000, 10);
    assert_true(rv == BBW_OK || rv == BBW_E_NOMEM);
    assert_int_equal(rtt.global.sample_count, rv == BBW_OK ? 1 : 0);
    assert_int_equal(rtt.heap.count, rv == BBW_OK ? 1 : 0);
    bbw_rtt_free(&rtt);
    assert_int_equal(mem.live_bytes, 0);
  }
}

static void rtt_forgets_the_quietest_site(void **state) {
  (void)state;
  test_mem mem;
  bbw_rtt rtt;
  test_mem_init(&mem);
  bbw_rtt_init(&rtt, &mem.mem);
  for (uint64_t site = 0; site < BBW_RTT_SITES_MAX; site++) {
    for (uint64_t i = 0; i < 3; i++) {
      bbw_rtt_edge edge = {.chain_id = site, .hop = (uint32_t)i};
      assert_int_equal(bbw_rtt_observe(&rtt, site, &edge, 1000 + site, 1 + i), BBW_OK);
    }
  }
  assert_int_equal(rtt.chains.count, BBW_RTT_CHAINS_MAX);            /* further chains have no prior */
  assert_int_equal(bbw_rtt_observe(&rtt, 0, NULL, 1000, 5), BBW_OK); /* now site 1 is the quietest */
  rtt.global = (bbw_rtt_estimator){.sample_count = 0};               /* so that only sites answer */
  assert_int_not_equal(bbw_rtt_estimate_ns(&rtt, 1, NULL, 7), 7);
  assert_int_equal(bbw_rtt_observe(&rtt, 99999, NULL, 1000, 6), BBW_OK);
  assert_int_equal(bbw_rtt_estimate_ns(&rtt, 1, NULL, 7), 7);
  assert_int_not_equal(bbw_rtt_estimate_ns(&rtt, 0, NULL, 7), 7);
  assert_int_equal(rtt.heap.count, BBW_RTT_SITES_MAX);
  bbw_rtt_free(&rtt);
  assert_int_equal(mem.live_bytes, 0);
}

/* What a peer reports makes us wait longer for it, by a minute at most; nothing else can be said with it. */
static void reports_are_believed_within_bounds(void **state) {
  (void)state;
  enum { SITE = 4, CHAIN = 9 };
  static const struct {
    const char *name;
    bbw_edge_rtt_report report;
    uint64_t onward_ns;
  } rows[] = {
      {"a good one", {5, CHAIN, 1, 1000, 100, 3}, 1400},
      {"of another chain", {5, CHAIN + 1, 1, 1000, 100, 3}, 0},
      {"of the same place", {5, CHAIN, 0, 1000, 100, 3}, 0},
      {"of too few answers", {5, CHAIN, 1, 1000, 100, 2}, 0},
      {"a minute", {5, CHAIN, 1, BBW_RTT_ONWARD_NS_MAX, 0, UINT64_MAX}, BBW_RTT_ONWARD_NS_MAX},
      {"more than a minute", {5, CHAIN, 1, BBW_RTT_ONWARD_NS_MAX + 1, 0, 3}, 0},
      {"sums that do not fit", {5, CHAIN, UINT32_MAX, UINT64_MAX, UINT64_MAX, 3}, 0},
      {"a wild deviation", {5, CHAIN, 1, 1, UINT64_MAX / 4, 3}, 0},
      {"nothing", {0, CHAIN, 1, 0, 0, 3}, 0},
  };
  bbw_rtt_edge edge = {.chain_id = CHAIN, .hop = 0}, elsewhere = {.chain_id = CHAIN, .hop = 6};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    bbw_rtt rtt;
    bbw_rtt_init(&rtt, &bbw_mem_libc);
    bbw_rtt_take_reports(&rtt, SITE, &edge, &rows[i].report, 1); /* of one that was never heard of */
    assert_int_equal(bbw_rtt_estimate_ns(&rtt, SITE, &edge, 70), 70);
    assert_int_equal(bbw_rtt_observe(&rtt, SITE, &edge, 1000, 1), BBW_OK);
    bbw_rtt_take_reports(&rtt, SITE, &edge, &rows[i].report, 1);
    if (bbw_rtt_estimate_ns(&rtt, SITE, &edge, 70) != 70 + rows[i].onward_ns) { fail_msg("%s", rows[i].name); }
    assert_true(bbw_rtt_estimate_ns(&rtt, SITE, &edge, UINT64_MAX - 1) >= UINT64_MAX - 1); /* no sum wraps */
    assert_int_equal(bbw_rtt_estimate_ns(&rtt, SITE, NULL, 70), 70);
    assert_int_equal(bbw_rtt_estimate_ns(&rtt, SITE, &elsewhere, 70), 70);
    assert_int_equal(bbw_rtt_estimate_ns(&rtt, SITE + 1, &edge, 70), 70);
    bbw_rtt_free(&rtt);
  }
}

static void the_longest_report_counts_and_the_next_answer_replaces_it(void **state) {
  (void)state;
  enum { SITE = 4, CHAIN = 9 };
  bbw_edge_rtt_report reports[] = {{5, CHAIN, 1, 100, 0, 3}, {6, CHAIN, 2, 300, 0, 3}, {7, CHAIN, 1, 200, 0, 3}}, told;
  bbw_rtt_edge edge = {.chain_id = CHAIN, .hop = 0}, place = {.chain_id = CHAIN, .hop = 4};
  bbw_rtt rtt;
  bbw_rtt_init(&rtt, &bbw_mem_libc);
  for (uint64_t i = 0; i < 3; i++) {
    assert_false(bbw_rtt_report(&rtt, &place, 99, &told)); /* too few answers to tell anybody */
    assert_int_equal(bbw_rtt_observe(&rtt, SITE, &edge, 1000, i), BBW_OK);
  }
  bbw_rtt_take_reports(&rtt, SITE, &edge, reports, 3);
  uint64_t own_ns = bbw_rtt_estimator_budget_ns(&rtt.first->estimator);
  assert_int_equal(bbw_rtt_estimate_ns(&rtt, SITE, &edge, 70), own_ns + 300);
  /* It is passed on with our own edge, but not to whom it is about. */
  assert_true(bbw_rtt_report(&rtt, &place, 99, &told));
  assert_int_equal(told.next_hop_site_id, SITE);
  assert_int_equal(told.hop_index, 4);
  assert_int_equal(told.srtt_ns + 4 * told.rttvar_ns, own_ns + 300);
  assert_int_equal(told.sample_count, 3);
  assert_false(bbw_rtt_report(&rtt, &place, SITE, &told));
  bbw_rtt_take_reports(&rtt, SITE, &edge, reports, 0); /* an answer without one says nothing new */
  assert_int_equal(bbw_rtt_estimate_ns(&rtt, SITE, &edge, 70), own_ns + 300);
  bbw_rtt_take_reports(&rtt, SITE, &edge, reports, 1);
  assert_int_equal(bbw_rtt_estimate_ns(&rtt, SITE, &edge, 70), own_ns + 100);
  bbw_rtt_free(&rtt);
}

/* Many peers, each with its own rhythm; asking at every due time must tell each change once, in time, and none twice. */
static void liveness_is_told_once(void **state) {
  (void)state;
  enum { SITES = 50 };
  bbw_rtt rtt;
  uint64_t site, due;
  bbw_phi_state now_state;
  double phi;
  unsigned suspect[SITES] = {0}, down[SITES] = {0};
  bbw_rtt_init(&rtt, &bbw_mem_libc);
  for (uint64_t beat = 1; beat <= 5; beat++) {
    for (uint64_t i = 0; i < SITES; i++) {
      assert_int_equal(bbw_rtt_observe(&rtt, i, NULL, 10, beat * (1000 + 37 * i)), BBW_OK);
    }
  }
  size_t steps = 0;
  while (bbw_rtt_next_due(&rtt, &due)) {
    while (bbw_rtt_next_change(&rtt, due, &site, &now_state, &phi)) {
      assert_int_not_equal(now_state, BBW_PHI_LIVE);
      assert_true(now_state == BBW_PHI_STATE_DOWN ? phi > BBW_PHI_DOWN : phi > BBW_PHI_SUSPECT);
      *(now_state == BBW_PHI_STATE_DOWN ? &down[site] : &suspect[site]) += 1;
    }
    assert_true(++steps < 100 * SITES);
  }
  for (size_t i = 0; i < SITES; i++) { assert_true(suspect[i] == 1 && down[i] == 1); }
  assert_int_equal(bbw_rtt_observe(&rtt, 7, NULL, 10, 10000000), BBW_OK);
  assert_true(bbw_rtt_next_change(&rtt, 10000000, &site, &now_state, &phi));
  assert_true(site == 7 && now_state == BBW_PHI_LIVE);
  assert_false(bbw_rtt_next_change(&rtt, 10000000, &site, &now_state, &phi));
  bbw_rtt_free(&rtt);
}

static void phi_remembers_a_thousand_intervals(void **state) {
  (void)state;
  test_mem mem;
  bbw_phi phi;
  test_mem_init(&mem);
  bbw_phi_init(&phi, &mem.mem);
  uint64_t now = 1;
  for (int i = 0; i < 500; i++) { bbw_phi_heartbeat(&phi, now += 1000000); }
  for (int i = 0; i < 1000; i++) { bbw_phi_heartbeat(&phi, now += 10); }
  assert_int_equal(phi.count, BBW_PHI_INTERVALS_MAX);
  assert_int_equal(phi.sum_ns, 10 * 1000); /* the long ones are gone */
  bbw_phi_heartbeat(&phi, now - 5);        /* a clock that goes back */
  assert_int_equal(phi.sum_ns, 10 * 999);
  bbw_phi_heartbeat(&phi, UINT64_MAX);
  assert_true(bbw_phi_value(&phi, 0) == 0.0);
  bbw_phi_free(&phi);
  assert_int_equal(mem.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(book_evicts_the_oldest_address),
      cmocka_unit_test(book_lists_peers_in_order_of_first_sight),
      cmocka_unit_test(claims_never_drive_out_what_the_host_knows),
      cmocka_unit_test(a_saved_peer_comes_back_with_what_is_known_of_its_addresses),
      cmocka_unit_test(a_table_keeps_its_peers_when_its_secret_changes),
      cmocka_unit_test(backoff_is_spread_by_chance),
      cmocka_unit_test(reports_are_believed_within_bounds),
      cmocka_unit_test(the_longest_report_counts_and_the_next_answer_replaces_it),
      cmocka_unit_test(book_is_whole_when_memory_runs_out),
      cmocka_unit_test(book_knows_one_address_in_two_spellings),
      cmocka_unit_test(backoff_forgets_the_oldest_failure),
      cmocka_unit_test(backoff_without_memory_changes_nothing),
      cmocka_unit_test(a_new_allowlist_is_hashed_with_the_secret_of_the_old),
      cmocka_unit_test(governor_keeps_its_allowlist_when_memory_runs_out),
      cmocka_unit_test(governor_lists_are_bounded),
      cmocka_unit_test(dedup_keeps_its_window_when_memory_runs_out),
      cmocka_unit_test(requests_expire_in_order),
      cmocka_unit_test(requests_of_one_expiry_go_by_id),
      cmocka_unit_test(requests_are_replaced_bounded_and_never_wrap),
      cmocka_unit_test(requests_without_memory_change_nothing),
      cmocka_unit_test(silence_ends),
      cmocka_unit_test(high_water_does_not_wrap),
      cmocka_unit_test(rtt_is_whole_when_memory_runs_out),
      cmocka_unit_test(rtt_forgets_the_quietest_site),
      cmocka_unit_test(liveness_is_told_once),
      cmocka_unit_test(phi_remembers_a_thousand_intervals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
