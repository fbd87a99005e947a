/* The base room: bytes, hashes, arena, vector, map, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/mem_cache.h"
#include "base/vec.h"
#include "bbw/error.h"
#include "test_mem.h"

static bbw_str text_of(const char *text) { return (bbw_str){text, strlen(text)}; }

static void decimal_numbers(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool want_unsigned, want_signed;
    uint64_t number;
  } rows[] = {
      {"0", true, true, 0},
      {"+7", true, true, 7},
      {"007", true, true, 7},
      {"18446744073709551615", true, false, UINT64_MAX},
      {"18446744073709551616", false, false, 0},
      {"99999999999999999999999", false, false, 0},
      {"9223372036854775807", true, true, INT64_MAX},
      {"9223372036854775808", true, false, UINT64_C(1) << 63},
      {"", false, false, 0},
      {"+", false, false, 0},
      {"-", false, false, 0},
      {"++1", false, false, 0},
      {" 1", false, false, 0},
      {"1 ", false, false, 0},
      {"1_0", false, false, 0},
      {"0x1", false, false, 0},
      {"\xd9\xa5", false, false, 0},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint64_t number = 0;
    int64_t with_sign = 0;
    if (bbw_parse_u64(text_of(rows[i].text), &number) != rows[i].want_unsigned) { fail_msg("u64 '%s'", rows[i].text); }
    if (bbw_parse_i64(text_of(rows[i].text), &with_sign) != rows[i].want_signed) { fail_msg("i64 '%s'", rows[i].text); }
    if (rows[i].want_unsigned) { assert_true(number == rows[i].number); }
    if (rows[i].want_signed) { assert_true((uint64_t)with_sign == rows[i].number); }
  }
  int64_t lowest;
  assert_true(bbw_parse_i64(text_of("-9223372036854775808"), &lowest) && lowest == INT64_MIN);
  assert_false(bbw_parse_i64(text_of("-9223372036854775809"), &lowest));
  char digits[20];
  assert_int_equal(bbw_format_u64(0, digits), 1);
  assert_int_equal(bbw_format_u64(UINT64_MAX, digits), 20);
  assert_memory_equal(digits, "18446744073709551615", 20);
}

static void utf8_is_strict(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len, bad; /* bad == len: valid */
  } rows[] = {
      {"", 0, 0},
      {"a\0b", 3, 3},
      {"\xc3\xa9", 2, 2},
      {"\xe2\x82\xac", 3, 3},
      {"\xf0\x9f\x98\x80", 4, 4},
      {"\xf4\x8f\xbf\xbf", 4, 4},
      {"\xed\x9f\xbf\xee\x80\x80", 6, 6},
      {"\x80", 1, 0},
      {"a\xff", 2, 1},
      {"\xc0\x80", 2, 0},
      {"\xc1\xbf", 2, 0},
      {"\xe0\x9f\xbf", 3, 0},
      {"\xed\xa0\x80", 3, 0},
      {"\xf0\x8f\xbf\xbf", 4, 0},
      {"\xf4\x90\x80\x80", 4, 0},
      {"\xf5\x80\x80\x80", 4, 0},
      {"ab\xe2\x82", 4, 2},
      {"\xe2\x28\xa1", 3, 0},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    size_t bad = rows[i].len;
    bool ok = bbw_utf8_is_valid((bbw_bytes){(const uint8_t *)rows[i].bytes, rows[i].len}, &bad);
    if (ok != (rows[i].bad == rows[i].len) || bad != rows[i].bad) { fail_msg("row %d", (int)i); }
  }
}

static void hashes(void **state) {
  (void)state;
  assert_true(bbw_fnv1a(BBW_FNV1A_OFFSET, (bbw_bytes){NULL, 0}) == 0xcbf29ce484222325);
  assert_true(bbw_fnv1a(BBW_FNV1A_OFFSET, bbw_str_bytes(BBW_STR("server,worker"))) == 0x7aab765b735c2fb4);
  /* SipHash-1-3 with key 0 over a string and its end mark 0xff: independent of how the bytes are cut into writes. */
  const char *text = "a text that is longer than two words";
  bbw_siphash whole, parts;
  bbw_siphash_init(&whole);
  bbw_siphash_write(&whole, bbw_str_bytes(text_of(text)));
  for (size_t cut = 0; cut <= strlen(text); cut++) {
    bbw_siphash_init(&parts);
    bbw_siphash_write(&parts, (bbw_bytes){(const uint8_t *)text, cut});
    bbw_siphash_write(&parts, (bbw_bytes){(const uint8_t *)text + cut, strlen(text) - cut});
    assert_true(bbw_siphash_finish(&parts) == bbw_siphash_finish(&whole));
  }
}

static void sizes_do_not_wrap(void **state) {
  (void)state;
  size_t out = 7;
  assert_true(bbw_size_add(1, 2, &out) && out == 3);
  assert_false(bbw_size_add(SIZE_MAX, 1, &out));
  assert_true(bbw_size_mul(SIZE_MAX, 1, &out) && out == SIZE_MAX);
  assert_true(bbw_size_mul(0, SIZE_MAX, &out) && out == 0);
  assert_false(bbw_size_mul(SIZE_MAX / 2 + 1, 2, &out));
  assert_null(bbw_mem_array(&bbw_mem_libc, SIZE_MAX, 2));
  assert_null(bbw_mem_array(&bbw_mem_libc, 0, 8));
}

static void arena_gives_zeroed_aligned_memory(void **state) {
  (void)state;
  test_mem mem;
  bbw_arena arena;
  test_mem_init(&mem);
  bbw_arena_init(&arena, &mem.mem);
  for (size_t size = 0; size < 5000; size += 37) {
    uint8_t *bytes = bbw_arena_array(&arena, size, 1);
    assert_non_null(bytes);
    assert_int_equal((uintptr_t)bytes % 16, 0);
    for (size_t i = 0; i < size; i++) { assert_int_equal(bytes[i], 0); }
    memset(bytes, 0xff, size);
  }
  uint8_t *large = bbw_arena_array(&arena, 200000, 1);
  assert_non_null(large);
  assert_null(bbw_arena_array(&arena, SIZE_MAX, 2));
  assert_null(bbw_arena_array(&arena, SIZE_MAX - 20, 1));
  bool ok;
  bbw_bytes copy = bbw_arena_copy(&arena, bbw_str_bytes(BBW_STR("abc")), &ok);
  assert_true(ok && copy.len == 3 && memcmp(copy.ptr, "abc", 3) == 0);
  bbw_arena_free(&arena);
  assert_int_equal(mem.live_bytes, 0);
  assert_non_null(bbw_arena_array(&arena, 8, 1)); /* usable again */
  bbw_arena_free(&arena);
  assert_int_equal(mem.live_bytes, 0);
  bbw_arena_init(&arena, test_mem_fail_at(&mem, 0));
  assert_null(bbw_arena_array(&arena, 8, 1));
  bbw_arena_free(&arena);
}

static void vec_grows_and_keeps(void **state) {
  (void)state;
  test_mem mem;
  bbw_vec vec;
  test_mem_init(&mem);
  bbw_vec_init(&vec, sizeof(uint32_t), &mem.mem);
  for (uint32_t i = 0; i < 1000; i++) {
    uint32_t *item = bbw_vec_push(&vec);
    assert_int_equal(*item, 0);
    *item = i;
  }
  for (uint32_t i = 0; i < 1000; i++) { assert_int_equal(*BBW_VEC_AT(&vec, uint32_t, i), i); }
  assert_false(bbw_vec_reserve(&vec, SIZE_MAX));
  (void)test_mem_fail_at(&mem, 0);
  assert_false(bbw_vec_reserve(&vec, 5000));
  assert_int_equal(vec.count, 1000); /* a failure changes nothing */
  assert_int_equal(*BBW_VEC_AT(&vec, uint32_t, 999), 999);
  bbw_vec_free(&vec);
  assert_int_equal(mem.live_bytes, 0);
}

/* Against a plain array, with many removals so that runs are shifted back. */
static void map_agrees_with_an_array(void **state) {
  (void)state;
  enum { KEYS = 400 };
  uint64_t values[KEYS];
  bool is_there[KEYS] = {false};
  test_mem mem;
  bbw_map map;
  uint64_t random = 1;
  size_t count = 0;
  test_mem_init(&mem);
  bbw_map_init(&map, 99, &mem.mem);
  for (size_t step = 0; step < 20000; step++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    size_t key = (size_t)(random >> 33) % KEYS;
    uint64_t found = 0;
    assert_int_equal(bbw_map_get(&map, key * 64, &found), is_there[key]);
    if (is_there[key]) { assert_true(found == values[key]); }
    if ((random >> 20 & 1) != 0) {
      assert_true(bbw_map_put(&map, key * 64, step));
      count += is_there[key] ? 0 : 1;
      is_there[key] = true;
      values[key] = step;
    } else {
      assert_int_equal(bbw_map_remove(&map, key * 64), is_there[key]);
      count -= is_there[key] ? 1 : 0;
      is_there[key] = false;
    }
    assert_int_equal(map.count, count);
  }
  bbw_map_free(&map);
  assert_int_equal(mem.live_bytes, 0);
}

static void map_with_byte_keys(void **state) {
  (void)state;
  enum { KEYS = 300 };
  static char keys[KEYS][16];
  bbw_map map;
  uint64_t value;
  bbw_map_init(&map, 0, &bbw_mem_libc);
  assert_false(bbw_map_get_bytes(&map, bbw_str_bytes(BBW_STR("")), &value));
  for (size_t i = 0; i < KEYS; i++) {
    (void)snprintf(keys[i], sizeof(keys[i]), "%zu", i);
    assert_true(bbw_map_put_bytes(&map, bbw_str_bytes(text_of(keys[i])), i));
  }
  assert_true(bbw_map_put_bytes(&map, (bbw_bytes){NULL, 0}, 7)); /* the empty key is a key */
  for (size_t i = 0; i < KEYS; i += 2) { assert_true(bbw_map_remove_bytes(&map, bbw_str_bytes(text_of(keys[i])))); }
  for (size_t i = 0; i < KEYS; i++) {
    assert_int_equal(bbw_map_get_bytes(&map, bbw_str_bytes(text_of(keys[i])), &value), i % 2);
    if (i % 2 == 1) { assert_int_equal(value, i); }
  }
  assert_true(bbw_map_get_bytes(&map, (bbw_bytes){NULL, 0}, &value) && value == 7);
  bbw_map_free(&map);
}

/* Filled to every count, so also to the one where an insertion would grow: replacing must not ask for memory. */
static void map_replaces_without_memory(void **state) {
  (void)state;
  for (uint64_t count = 1; count < 100; count++) {
    test_mem mem;
    bbw_map map;
    uint64_t value;
    test_mem_init(&mem);
    bbw_map_init(&map, 0, &mem.mem);
    for (uint64_t i = 0; i < count; i++) { assert_true(bbw_map_put(&map, i, i)); }
    (void)test_mem_fail_at(&mem, 0);
    for (uint64_t i = 0; i < count; i++) { assert_true(bbw_map_put(&map, i, i + 1)); }
    assert_true(bbw_map_get(&map, count - 1, &value) && value == count);
    assert_int_equal(mem.alloc_count, 0);
    bbw_map_free(&map);
  }
}

static void map_keeps_what_it_has_without_memory(void **state) {
  (void)state;
  test_mem mem;
  bbw_map map;
  uint64_t value;
  test_mem_init(&mem);
  bbw_map_init(&map, 0, &mem.mem);
  for (uint64_t i = 0; i < 12; i++) { assert_true(bbw_map_put(&map, i, i)); }
  (void)test_mem_fail_at(&mem, 0);
  assert_false(bbw_map_put(&map, 12, 12));
  for (uint64_t i = 0; i < 12; i++) { assert_true(bbw_map_get(&map, i, &value) && value == i); }
  assert_false(bbw_map_reserve(&map, SIZE_MAX));
  bbw_map_free(&map);
  assert_int_equal(mem.live_bytes, 0);
}

static void errors_carry_fields(void **state) {
  (void)state;
  bbw_error err;
  assert_int_equal(bbw_error_set_at(&err, BBW_E_TRUNCATED, 9), BBW_E_TRUNCATED);
  bbw_error_add_u64(&err, "got", UINT64_MAX);
  bbw_error_add_str(&err, "name", BBW_STR("a\0b"));
  bbw_error_add_item(&err, "list", BBW_STR("x"));
  bbw_error_add_item(&err, "list", BBW_STR(""));
  bbw_error_add_item(&err, "list", BBW_STR("z"));
  assert_true(bbw_error_number(&err, "got") == UINT64_MAX);
  assert_true(bbw_str_equal(bbw_error_field(&err, "name"), BBW_STR("a?b"))); /* no zero byte ends it early */
  assert_true(bbw_str_equal(bbw_error_item(&err, "list", 2), BBW_STR("z")));
  assert_int_equal(bbw_error_item(&err, "list", 1).len, 0);
  assert_null(bbw_error_item(&err, "list", 3).ptr);
  assert_null(bbw_error_field(&err, "nothing").ptr);
  static char big[BBW_ERROR_FIELDS_BYTES_MAX + 10];
  memset(big, 'x', sizeof(big));
  uint32_t used = err.fields_bytes;
  bbw_error_add_str(&err, "big", (bbw_str){big, sizeof(big)});
  assert_int_equal(err.is_truncated, 1);
  assert_int_equal(err.fields_bytes, used);
  bbw_error_add_str(&err, "fits", (bbw_str){big, BBW_ERROR_FIELDS_BYTES_MAX - used - 7});
  assert_int_equal(err.fields_bytes, BBW_ERROR_FIELDS_BYTES_MAX);
  assert_int_equal(bbw_error_field(&err, "fits").len, BBW_ERROR_FIELDS_BYTES_MAX - used - 7);
  assert_int_equal(bbw_error_set(&err, BBW_E_NOMEM), BBW_E_NOMEM);
  assert_null(bbw_error_field(&err, "got").ptr); /* earlier fields are gone */
  assert_int_equal(bbw_error_set(NULL, BBW_E_NOMEM), BBW_E_NOMEM);
  bbw_error_add_u64(NULL, "x", 1);
}

static void statuses_have_names(void **state) {
  (void)state;
  assert_true(bbw_str_equal(bbw_status_name(BBW_E_TRUNCATED), BBW_STR("E_TRUNCATED")));
  assert_true(bbw_str_equal(bbw_status_text(BBW_E_NOMEM), BBW_STR("out of memory")));
  assert_true(bbw_str_equal(bbw_status_name((bbw_status)-9999), BBW_STR("?")));
}

static void mem_cache_reuses_blocks_of_one_size(void **state) {
  (void)state;
  test_mem mem;
  bbw_mem_cache cache;
  test_mem_init(&mem);
  bbw_mem_cache_init(&cache, &mem.mem);
  cache.is_keeping = true;
  const bbw_mem *m = &cache.mem;
  void *a = m->alloc(m->ctx, 100);
  m->free(m->ctx, a, 100);
  assert_int_equal(cache.kept_bytes, 100);
  void *other = m->alloc(m->ctx, 101); /* shares the place of 100 bytes, and does not get its block */
  assert_ptr_not_equal(other, a);
  assert_ptr_equal(m->alloc(m->ctx, 100), a);
  m->free(m->ctx, a, 100);
  m->free(m->ctx, other, 101); /* the place is taken: it goes back at once */
  assert_int_equal(cache.kept_bytes, 100);
  void *large = m->alloc(m->ctx, BBW_MEM_CACHE_BLOCK_MAX + 1);
  m->free(m->ctx, large, BBW_MEM_CACHE_BLOCK_MAX + 1);
  m->free(m->ctx, NULL, 100);
  assert_int_equal(cache.kept_bytes, 100);
  /* What lies idle is given back before a request is refused. */
  mem.limit_bytes = mem.live_bytes + 50;
  void *more = m->alloc(m->ctx, 120);
  assert_non_null(more);
  assert_int_equal(cache.kept_bytes, 0);
  m->free(m->ctx, more, 120);
  mem.limit_bytes = SIZE_MAX;
  /* No more than the bound is kept. */
  enum { BLOCKS = BBW_MEM_CACHE_BYTES_MAX / 512 + 10 };
  static void *blocks[BLOCKS];
  for (size_t i = 0; i < BLOCKS; i++) { blocks[i] = m->alloc(m->ctx, 512); }
  for (size_t i = 0; i < BLOCKS; i++) { m->free(m->ctx, blocks[i], 512); }
  assert_true(cache.kept_bytes <= BBW_MEM_CACHE_BYTES_MAX && cache.kept_bytes > BBW_MEM_CACHE_BYTES_MAX - 512);
  bbw_mem_cache_free(&cache);
  assert_int_equal(mem.live_bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(decimal_numbers),
      cmocka_unit_test(utf8_is_strict),
      cmocka_unit_test(hashes),
      cmocka_unit_test(sizes_do_not_wrap),
      cmocka_unit_test(arena_gives_zeroed_aligned_memory),
      cmocka_unit_test(vec_grows_and_keeps),
      cmocka_unit_test(map_agrees_with_an_array),
      cmocka_unit_test(map_with_byte_keys),
      cmocka_unit_test(map_replaces_without_memory),
      cmocka_unit_test(map_keeps_what_it_has_without_memory),
      cmocka_unit_test(errors_carry_fields),
      cmocka_unit_test(statuses_have_names),
      cmocka_unit_test(mem_cache_reuses_blocks_of_one_size),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
