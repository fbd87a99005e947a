/* Snapshots: a restored node goes on as if it had never stopped; what is damaged or foreign changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "artifact.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/rng.h"
#include "bbw/step.h"
#include "format/envelope.h"
#include "format/route.h"
#include "moody_components.h"
#include "node/node.h"
#include "node/snapshot_schema.h"
#include "node_check.h"
#include "node_script.h"

#define CALLS        48
#define SCRIPT_BYTES 16384
#define SEEDS        300

typedef struct snapshot {
  uint8_t *bytes;
  size_t len;
} snapshot;

static snapshot take(const bbw_node *node) {
  snapshot out = {NULL, 0};
  bbw_error err;
  assert_int_equal(bbw_node_snapshot(node, &out.bytes, &out.len, &bbw_mem_libc, &err), BBW_OK);
  return out;
}
static void drop(snapshot s) { bbw_mem_libc.free(NULL, s.bytes, s.len); }
static bbw_bytes view(snapshot s) { return (bbw_bytes){s.bytes, s.len}; }

static void seal(uint8_t *bytes, size_t len) {
  bbw_siphash hash;
  bbw_siphash_init(&hash);
  bbw_siphash_write(&hash, (bbw_bytes){bytes + 24, len - 24});
  bbw_store_u64le(bytes + 8, len - 24);
  bbw_store_u64le(bytes + 16, bbw_siphash_finish(&hash));
}

static void decode(const snapshot *from, bbw_snap *out, bbw_arena *arena) {
  bbw_bytes message = {from->bytes + 24, from->len - 24};
  assert_int_equal(bbw_proto_decode(out, &bbw_snap_type, message, arena, NULL), BBW_OK);
}

static snapshot encode(const bbw_snap *snap, bbw_arena *arena) {
  bbw_bytes message;
  assert_int_equal(bbw_proto_encode(&message, snap, &bbw_snap_type, arena), BBW_OK);
  snapshot out = {bbw_mem_libc.alloc(NULL, message.len + 24), message.len + 24};
  memcpy(out.bytes, "bbws\1\0\0\0", 8);
  memcpy(out.bytes + 24, message.ptr, message.len);
  seal(out.bytes, out.len);
  return out;
}

/* The snapshot with another count of restores. */
static snapshot with_incarnation(snapshot s, uint64_t incarnation) {
  bbw_arena arena;
  bbw_snap snap;
  bbw_arena_init(&arena, &bbw_mem_libc);
  decode(&s, &snap, &arena);
  snap.incarnation = incarnation;
  snapshot out = encode(&snap, &arena);
  bbw_arena_free(&arena);
  return out;
}

static void assert_same(snapshot a, snapshot b) {
  assert_int_equal(a.len, b.len);
  assert_memory_equal(a.bytes, b.bytes, a.len);
}

/* ---- going on ---- */

typedef struct run_log {
  uint64_t hash; /* of everything that the polls answered */
  uint64_t marked;
} run_log;

static void add(run_log *log, const void *bytes, size_t len) {
  log->hash = bbw_fnv1a(log->hash, (bbw_bytes){bytes, len});
}

static void note_poll(void *ctx, bbw_status status, bbw_bytes steps, bool is_pending) {
  run_log *log = ctx;
  uint64_t words[2] = {(uint64_t)(int64_t)status, is_pending};
  add(log, words, sizeof(words));
  /* Envelopes that come out of a snapshot are marked; in all else the steps are the same. */
  bbw_step step;
  for (size_t at = 0; bbw_steps_next(steps, &at, &step);) {
    bool is_envelope = step.kind == BBW_STEP_SEND_ENVELOPE;
    log->marked += is_envelope && bbw_step_u64(&step, "is_redelivered") != 0;
    add(log, step.record.ptr, step.record.len - (is_envelope ? 8 : 0)); /* the mark is the last word */
  }
}

/* One call, and what can be seen of the node after it. */
static uint64_t play(bbw_node *node, node_script *script) {
  run_log log = {.hash = BBW_FNV1A_OFFSET};
  bbw_stats stats;
  uint64_t at_ns = 0;
  node_script_call(node, script, NULL, note_poll, &log);
  node_check_state(node);
  bool has_timer = bbw_node_next_timer(node, &at_ns);
  bbw_node_stats(node, &stats);
  add(&log, &has_timer, sizeof(has_timer));
  add(&log, &at_ns, sizeof(at_ns));
  add(&log, &stats, sizeof(stats));
  return log.hash;
}

typedef bbw_node *install_fn(uint64_t seed, const bbw_config *config, const bbw_mem *mem);

static bbw_node *install_random(uint64_t seed, const bbw_config *config, const bbw_mem *mem) {
  return node_script_install_random(seed, 1, config, mem);
}
static bbw_node *install_fixed(uint64_t seed, const bbw_config *config, const bbw_mem *mem) {
  return node_script_install((uint8_t)seed, 1, config, mem);
}

/* What is where at the places where the nodes were stopped; the test must not only see empty nodes. */
typedef struct seen {
  uint64_t frames, children, parked, done, timers, ingress, bus, named, app_events, outbound, failures, runs, locked,
      phases, requests, dedup, health, inbound, deadlines, resumed, polls;
} seen;

static void look(seen *s, const bbw_node *node) {
  const bbw_engine *e = &node->engine;
  s->frames += e->frame_count;
  for (const bbw_frame *f = e->frames_first; f != NULL; f = f->next) {
    s->children += f->parent != NULL;
    s->inbound += f->inbound != NULL;
  }
  s->parked += e->async.count;
  s->deadlines += e->async.heap.count;
  s->resumed += e->async.resumed.count;
  s->done += e->async.done.count;
  s->timers += e->timers.heap.count;
  s->ingress += e->ingress.count;
  s->bus += e->bus.count;
  s->named += e->named.entries.count;
  s->app_events += e->app_events.count;
  s->outbound += bbw_outbound_count(&e->outbound);
  s->failures += e->resolve_failures.count;
  s->runs += e->bootstrap.runs.count;
  s->locked += e->locked.count;
  s->phases += e->phases.count;
  s->requests += e->requests.heap.count;
  s->dedup += e->dedup.count;
  s->health += e->governor.health.count;
  s->polls++;
}

/* Lets memory run out in polls until output is left for the next one, if the script gives any. */
static void fail_a_poll(bbw_node *node, node_script *script, test_mem *mem) {
  for (size_t n = 0; n < 20; n++) {
    node_script_call(node, script, NULL, NULL, NULL);
    bbw_step_buffer_free(&node->engine.steps); /* so that the poll has to allocate its records */
    mem->fail_at = mem->alloc_count + n;
    (void)node_script_poll(node, NULL, NULL);
    mem->fail_at = TEST_MEM_NEVER;
    const bbw_engine *e = &node->engine;
    if (e->app_events.count + bbw_outbound_count(&e->outbound) + e->resolve_failures.count != 0) { return; }
  }
}

/*
 * Plays a script; after every call from `first` on, stops the node, restores it elsewhere and plays the rest there.  Before `first` memory may fail, which leaves output that waits
 * for the next poll.
 */
static void goes_on(install_fn *install, uint64_t seed, seen *seen_here) {
  uint8_t bytes[SCRIPT_BYTES];
  uint64_t answers[CALLS];
  const uint8_t *rest[CALLS];
  snapshot snapshots[CALLS];
  bbw_rng rng;
  bbw_config config;
  test_mem mem, other_mem;
  test_mem_init(&mem);
  bbw_rng_init(&rng, seed);
  for (size_t i = 0; i < SCRIPT_BYTES; i++) { bytes[i] = (uint8_t)bbw_rng_next(&rng); }
  node_script_config(&config, (uint8_t)(bbw_rng_next(&rng) & bbw_rng_next(&rng) & 0xbf));
  bbw_node *node = install(seed, &config, &mem.mem);
  if (node == NULL) {
    assert_int_equal(mem.live_bytes, 0);
    return;
  }
  node_script script = {bytes, bytes + SCRIPT_BYTES, false};
  size_t first = (size_t)bbw_rng_below(&rng, CALLS / 2);
  for (size_t i = 0; i < CALLS; i++) {
    if (i <= first) {
      node_script_call(node, &script, &mem, NULL, NULL);
    } else {
      answers[i] = play(node, &script);
    }
    if (i == first) { fail_a_poll(node, &script, &mem); }
    if (i < first) { continue; }
    rest[i] = script.at;
    snapshots[i] = take(node);
    look(seen_here, node);
  }
  for (size_t i = first; i < CALLS; i++) {
    test_mem_init(&other_mem);
    bbw_node *other = install(seed, &config, &other_mem.mem);
    bbw_error err;
    /* Somewhere in the middle of something else. */
    node_script noise = {bytes + i, bytes + i + 40, false};
    for (size_t n = 0; n < 6 && i % 2 == 0; n++) { node_script_call(other, &noise, NULL, NULL, NULL); }
    bbw_status rv = bbw_node_restore(other, view(snapshots[i]), &err);
    if (rv != BBW_OK) {
      fail_msg("seed %llu call %zu: %s", (unsigned long long)seed, i, bbw_error_field(&err, "detail").ptr);
    }
    assert_int_equal(bbw_node_incarnation(other), 1);
    snapshot again = take(other), expected = with_incarnation(snapshots[i], 1);
    assert_same(again, expected);
    drop(again);
    drop(expected);
    node_script here = {rest[i], bytes + SCRIPT_BYTES, false};
    for (size_t n = i + 1; n < CALLS; n++) {
      if (play(other, &here) != answers[n]) {
        fail_msg("seed %llu: restored after call %zu, call %zu differs", (unsigned long long)seed, i, n);
      }
    }
    bbw_node_del(other);
    assert_int_equal(other_mem.live_bytes, 0);
    drop(snapshots[i]);
  }
  bbw_node_del(node);
  assert_int_equal(mem.live_bytes, 0);
}

static void a_restored_node_goes_on_as_if_it_had_never_stopped(void **state) {
  (void)state;
  seen s = {0};
  for (uint64_t seed = 0; seed < SEEDS; seed++) { goes_on(install_random, seed, &s); }
  for (uint64_t seed = 0; seed < SEEDS; seed++) { goes_on(install_fixed, seed, &s); }
  const uint64_t counts[] = {s.frames, s.children, s.parked,     s.done,      s.timers, s.ingress,
                             s.bus,    s.named,    s.app_events, s.runs,      s.phases, s.requests,
                             s.dedup,  s.health,   s.inbound,    s.deadlines, s.resumed}; /* the others: below */
  print_message("%llu places:", (unsigned long long)s.polls);
  for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
    print_message(" %llu", (unsigned long long)counts[i]);
  }
  print_message("\n");
  for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) { assert_true(counts[i] > 0); }
}

/* ---- places that chance rarely finds ---- */

#define MODEL "slot model Model|StubModel\n"
static const char locking[] = MODEL "target M x -> y\nsyscall::After x -> a | delay_ns=5\n"
                                    "role.model::Forward a -> y\n"
                                    "bootstrap B\nsyscall::Pulse -> p\nsyscall::Sleep p -> q | duration_ns=900\n"
                                    "role.model::Forward q -> r\n";
static const char sending[] =
    "target M x -> d h y\nwire::Recv -> p s\nwire::Send p s -> d h\nsyscall::AppEmit p | name='e'";

static bbw_node *install_text(const char *text, uint64_t peer, const char *const *names, size_t count,
                              const bbw_mem *mem) {
  bbw_arena arena;
  bbw_str targets[4];
  bbw_node *node = NULL;
  for (size_t i = 0; i < count; i++) { targets[i] = (bbw_str){names[i], strlen(names[i])}; }
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_install_options options = {.peer_id = bbw_peer_id_from_u64(peer),
                                 .model = artifact(&arena, text),
                                 .targets = targets,
                                 .target_count = count,
                                 .is_unresolved_allowed = true};
  options.component_types = moody_component_types(&options.component_type_count);
  assert_int_equal(bbw_node_install(&node, &options, mem, NULL), BBW_OK);
  bbw_arena_free(&arena);
  return node;
}

static bbw_node *install_m(const char *text, const bbw_mem *mem) {
  static const char *const m = "M";
  return install_text(text, 1, &m, 1, mem);
}

static void event(bbw_node *node) {
  bbw_bytes bytes = {(const uint8_t *)"\0\0\0", 3};
  assert_int_equal(bbw_node_deliver_event(node, BBW_STR("M"), BBW_STR("x"), bytes, NULL), BBW_OK);
}

/* Restores the node elsewhere and plays the same calls on both.  How many envelopes came marked as redelivered there. */
static uint64_t both_go_on(bbw_node *node, const char *text) {
  uint64_t marked = 0;
  test_mem mem;
  test_mem_init(&mem);
  bbw_node *other = install_m(text, &mem.mem);
  snapshot s = take(node);
  assert_int_equal(bbw_node_restore(other, view(s), NULL), BBW_OK);
  drop(s);
  for (uint64_t i = 0; i < 6; i++) {
    run_log a = {.hash = BBW_FNV1A_OFFSET}, b = {.hash = BBW_FNV1A_OFFSET};
    bool a_rests = node_script_poll(node, note_poll, &a), b_rests = node_script_poll(other, note_poll, &b);
    assert_int_equal(a_rests, b_rests);
    assert_true(a.hash == b.hash);
    assert_int_equal(a.marked, 0);
    marked += b.marked;
    assert_int_equal(bbw_node_tick(node, 1000 * i), bbw_node_tick(other, 1000 * i));
  }
  bbw_node_del(other);
  assert_int_equal(mem.live_bytes, 0);
  return marked;
}

/* The id of the next request of a node that was installed with a seed and restored from the snapshot (empty: not restored). */
static uint64_t next_request(uint64_t seed, const snapshot *from, snapshot *taken) {
  bbw_config config;
  bbw_config_init(&config);
  config.rng_seed = seed;
  bbw_node *node = artifact_install("target M x -> d\nwire::Send x x -> d h", &config, &bbw_mem_libc, NULL);
  assert_non_null(node);
  if (from != NULL) { assert_int_equal(bbw_node_restore(node, (bbw_bytes){from->bytes, from->len}, NULL), BBW_OK); }
  uint64_t id = bbw_requests_mint_token(&node->engine.requests);
  if (taken != NULL) { *taken = take(node); }
  bbw_node_del(node);
  return id;
}

/* The life that has ended ran on after its last snapshot: answers to what it asked then must not meet requests of the new one. */
static void a_new_life_gives_its_requests_other_ids(void **state) {
  (void)state;
  snapshot saved, again;
  uint64_t first = next_request(7, NULL, &saved);
  assert_int_equal(next_request(7, &saved, NULL), first + 1); /* the same life goes on */
  uint64_t other = next_request(8, &saved, &again);
  assert_int_equal(other, next_request(8, NULL, NULL));
  assert_true(other - first > UINT32_MAX && first - other > UINT32_MAX);
  assert_int_equal(next_request(8, &again, NULL), other + 1); /* and so does that one */
  assert_int_equal(next_request(7, &again, NULL), first);
  drop(saved);
  drop(again);
}

static void ops_that_a_bootstrap_locks_stay_locked(void **state) {
  (void)state;
  test_mem mem;
  test_mem_init(&mem);
  bbw_node *node = install_m(locking, &mem.mem);
  event(node);
  (void)node_script_poll(node, NULL, NULL);
  assert_int_equal(bbw_node_run_bootstrap(node, NULL, 0, NULL), BBW_OK);
  (void)node_script_poll(node, NULL, NULL);
  assert_int_equal(bbw_node_tick(node, 5), BBW_OK);
  (void)node_script_poll(node, NULL, NULL);
  assert_int_equal(node->engine.locked.count, 1);
  (void)both_go_on(node, locking);
  bbw_node_del(node);
  assert_int_equal(mem.live_bytes, 0);
}

static void receive(bbw_node *node, uint64_t from) {
  uint8_t suffix[10] = {0xe2, 0x01}, wire[128], peer[BBW_PEER_ID_BYTES_MAX];
  bbw_store_u64be(suffix + 2, bbw_route_id(BBW_STR("M"), BBW_STR("p")));
  bbw_slot_fill fill = {{suffix, 10}, {NULL, 0}, true, bbw_type_hash(BBW_TYPE_TRIGGER)};
  bbw_envelope envelope = {.fills = &fill, .fill_count = 1, .schema_version = 1};
  bbw_peer_id id = bbw_peer_id_from_u64(from);
  bbw_envelope_encode(&envelope, wire);
  bbw_bytes bytes = {wire, bbw_envelope_size(&envelope)};
  assert_int_equal(bbw_node_deliver_inbound(node, (bbw_bytes){peer, bbw_peer_id_encode(&id, peer)}, bytes, NULL),
                   BBW_OK);
}

static void output_that_found_no_memory_is_kept(void **state) {
  (void)state;
  static const uint8_t address[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 9};
  uint64_t outbound = 0, failures = 0, events = 0;
  for (size_t n = 0; n < 1600; n += 13) {
    test_mem mem;
    test_mem_init(&mem);
    bbw_node *node = install_m(sending, &mem.mem);
    bbw_peer_id known = bbw_peer_id_from_u64(7);
    uint8_t peer[BBW_PEER_ID_BYTES_MAX];
    bbw_bytes list = {address, sizeof(address)};
    assert_int_equal(bbw_node_add_peer(node, (bbw_bytes){peer, bbw_peer_id_encode(&known, peer)}, &list, 1, NULL),
                     BBW_OK);
    bbw_config config = *bbw_node_get_config(node);
    config.step_mask = 0; /* so that the buffer has not grown already when it comes to the envelopes */
    assert_int_equal(bbw_node_set_config(node, &config, NULL), BBW_OK);
    for (uint64_t i = 0; i < 40; i++) {
      receive(node, 7);
      receive(node, 8);
    }
    mem.fail_at = mem.alloc_count + n;
    (void)node_script_poll(node, NULL, NULL);
    mem.fail_at = TEST_MEM_NEVER;
    size_t waiting = bbw_outbound_count(&node->engine.outbound);
    outbound += waiting;
    failures += node->engine.resolve_failures.count;
    events += node->engine.app_events.count;
    assert_int_equal(both_go_on(node, sending), waiting);
    bbw_node_del(node);
    assert_int_equal(mem.live_bytes, 0);
  }
  assert_true(outbound != 0 && failures != 0 && events != 0);
}

/* ---- refusals ---- */

/* A node in the middle of everything, and a snapshot of another moment of its life. */
typedef struct subject {
  test_mem mem;
  bbw_node *node;
  snapshot now;   /* what the node is */
  snapshot other; /* what it is asked to be */
} subject;

static void subject_make(subject *s, uint64_t seed, size_t calls) {
  uint8_t bytes[SCRIPT_BYTES];
  bbw_rng rng;
  bbw_rng_init(&rng, seed);
  for (size_t i = 0; i < SCRIPT_BYTES; i++) { bytes[i] = (uint8_t)bbw_rng_next(&rng); }
  test_mem_init(&s->mem);
  s->node = node_script_install_random(seed, 1, NULL, &s->mem.mem);
  assert_non_null(s->node);
  node_script script = {bytes, bytes + SCRIPT_BYTES, false};
  for (size_t i = 0; i < calls; i++) { node_script_call(s->node, &script, NULL, NULL, NULL); }
  s->other = take(s->node);
  for (size_t i = 0; i < calls / 2; i++) { node_script_call(s->node, &script, NULL, NULL, NULL); }
  s->now = take(s->node);
}

static void subject_free(subject *s) {
  drop(s->now);
  drop(s->other);
  bbw_node_del(s->node);
  assert_int_equal(s->mem.live_bytes, 0);
}

/* Refused with that status, and nothing has changed. */
static void refuses(subject *s, bbw_bytes bytes, bbw_status status) {
  bbw_error err;
  bbw_status rv = bbw_node_restore(s->node, bytes, &err);
  assert_int_equal(rv, status);
  assert_int_equal(err.status, status);
  assert_int_equal(bbw_node_incarnation(s->node), 0);
  snapshot after = take(s->node);
  assert_same(after, s->now);
  drop(after);
}

static void damage_is_refused_wherever_it_is(void **state) {
  (void)state;
  subject s;
  subject_make(&s, 11, 40);
  bbw_snapshot_info info;
  bbw_error err;
  assert_int_equal(bbw_snapshot_read_info(&info, view(s.other), &err), BBW_OK);
  assert_int_equal(info.incarnation, 0);
  assert_int_equal(info.message_bytes, s.other.len - 24);
  for (size_t len = 0; len < s.other.len; len++) {
    uint8_t *cut = malloc(len + 1); /* exactly as long, so that a sanitizer sees a read behind it */
    memcpy(cut, s.other.bytes, len);
    uint8_t *exact = realloc(cut, len == 0 ? 1 : len);
    bbw_status rv = bbw_node_restore(s.node, (bbw_bytes){exact, len}, &err);
    assert_int_equal(rv, BBW_E_SNAP_DECODE);
    assert_int_equal(bbw_snapshot_read_info(&info, (bbw_bytes){exact, len}, &err), BBW_E_SNAP_DECODE);
    free(exact);
  }
  for (size_t bit = 0; bit < 8 * s.other.len; bit++) {
    s.other.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    bool is_version = bit / 8 >= 4 && bit / 8 < 8;
    bbw_status rv = bbw_node_restore(s.node, view(s.other), &err);
    assert_int_equal(rv, is_version ? BBW_E_RESTORE_SPEC_VERSION : BBW_E_SNAP_DECODE);
    s.other.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
  }
  snapshot longer = {malloc(s.other.len + 1), s.other.len + 1};
  memcpy(longer.bytes, s.other.bytes, s.other.len);
  longer.bytes[s.other.len] = 0;
  refuses(&s, view(longer), BBW_E_SNAP_DECODE);
  free(longer.bytes);
  s.other.bytes[4] = 2;
  refuses(&s, view(s.other), BBW_E_RESTORE_SPEC_VERSION);
  assert_int_equal(bbw_snapshot_read_info(&info, view(s.other), &err), BBW_E_RESTORE_SPEC_VERSION);
  assert_int_equal(bbw_error_number(&err, "got"), 2);
  assert_int_equal(bbw_error_number(&err, "expected"), 1);
  subject_free(&s);
}

static void is_refused_as(bbw_node *node, bbw_bytes bytes, const char *what, const char *got, const char *expected) {
  bbw_error err;
  snapshot before = take(node);
  assert_int_equal(bbw_node_restore(node, bytes, &err), BBW_E_RESTORE_MISMATCH);
  assert_string_equal(bbw_error_field(&err, "what").ptr, what);
  if (got != NULL) { assert_string_equal(bbw_error_field(&err, "got").ptr, got); }
  if (expected != NULL) { assert_string_equal(bbw_error_field(&err, "expected").ptr, expected); }
  snapshot after = take(node);
  assert_same(after, before);
  drop(before);
  drop(after);
  bbw_node_del(node);
}

static void another_node_is_refused(void **state) {
  (void)state;
  static const char *const targets[] = {"M", "N"};
  static const char two[] = MODEL "target M x -> y\nsyscall::Gate x -> y\ntarget N x -> y\nsyscall::Gate x -> y";
  bbw_node *node = install_text(two, 1, targets, 1, &bbw_mem_libc);
  snapshot s = take(node);
  char self[BBW_PEER_ID_TEXT_BYTES_MAX + 1] = "", other[BBW_PEER_ID_TEXT_BYTES_MAX + 1] = "";
  bbw_peer_id one = bbw_peer_id_from_u64(1), two_id = bbw_peer_id_from_u64(2);
  (void)bbw_peer_id_to_text(&one, self);
  (void)bbw_peer_id_to_text(&two_id, other);
  is_refused_as(install_text(two, 2, targets, 1, &bbw_mem_libc), view(s), "peer_id", self, other);
  is_refused_as(install_text(sending, 1, targets, 1, &bbw_mem_libc), view(s), "artifact", NULL, NULL);
  is_refused_as(install_text(two, 1, targets, 2, &bbw_mem_libc), view(s), "module", "", "N");
  is_refused_as(install_text(two, 1, targets + 1, 1, &bbw_mem_libc), view(s), "module", "M", "N");
  bbw_arena arena;
  bbw_snap snap;
  bbw_arena_init(&arena, &bbw_mem_libc);
  decode(&s, &snap, &arena);
  bbw_snap_component component = *BBW_PROTO_AT(&snap.components, bbw_snap_component, 0);
  component.slot = BBW_STR("elsewhere");
  snap.components = (bbw_proto_list){&component, 1};
  snapshot moved = encode(&snap, &arena);
  is_refused_as(install_text(two, 1, targets, 1, &bbw_mem_libc), view(moved), "component", "elsewhere", "model");
  component = (bbw_snap_component){.slot = BBW_STR("model"), .type_name = BBW_STR("OtherModel")};
  snapshot other_type = encode(&snap, &arena);
  is_refused_as(install_text(two, 1, targets, 1, &bbw_mem_libc), view(other_type), "component_type", "OtherModel",
                "StubModel");
  /* Its component says what it takes. */
  component = (bbw_snap_component){BBW_STR("model"), BBW_STR("StubModel"), true, {(const uint8_t *)"abc", 3}};
  snapshot bad_state = encode(&snap, &arena);
  bbw_error err;
  assert_int_equal(bbw_node_restore(node, view(bad_state), &err), BBW_E_RESTORE_COMPONENT);
  assert_string_equal(bbw_error_field(&err, "type_name").ptr, "StubModel");
  assert_string_equal(bbw_error_field(&err, "slot").ptr, "model");
  assert_true(bbw_error_field(&err, "detail").len != 0);
  bbw_arena_free(&arena);
  drop(moved);
  drop(other_type);
  drop(bad_state);
  drop(s);
  bbw_node_del(node);
}

/* Every allocation fails once, for taking and for restoring; answers how many there were. */
static size_t fail_each_allocation(subject *s) {
  bbw_error err;
  bbw_status rv = BBW_E_NOMEM;
  for (size_t n = 0; rv != BBW_OK; n++) {
    snapshot out = {NULL, 0};
    rv = bbw_node_snapshot(s->node, &out.bytes, &out.len, test_mem_fail_at(&s->mem, n), &err);
    s->mem.fail_at = TEST_MEM_NEVER;
    assert_int_equal(rv, rv == BBW_OK ? BBW_OK : BBW_E_NOMEM);
    if (rv == BBW_OK) { s->mem.mem.free(s->mem.mem.ctx, out.bytes, out.len); }
  }
  for (size_t n = 0;; n++) {
    (void)test_mem_fail_at(&s->mem, n);
    rv = bbw_node_restore(s->node, view(s->other), &err);
    s->mem.fail_at = TEST_MEM_NEVER;
    if (rv == BBW_OK) { return n; }
    assert_int_equal(rv, BBW_E_NOMEM);
    snapshot after = take(s->node);
    assert_same(after, s->now);
    drop(after);
  }
}

static void memory_that_fails_changes_nothing(void **state) {
  (void)state;
  size_t allocations = 0;
  for (uint64_t seed = 20; seed < 40; seed++) {
    subject s;
    subject_make(&s, seed, 40);
    allocations += fail_each_allocation(&s);
    assert_int_equal(bbw_node_incarnation(s.node), 1);
    snapshot after = take(s.node), expected = with_incarnation(s.other, 1);
    assert_same(after, expected);
    drop(after);
    drop(expected);
    subject_free(&s);
  }
  print_message("%zu allocations\n", allocations);
  assert_true(allocations > 500);
}

/* With a right checksum the content itself must be checked: it is refused and nothing changes, or it makes a node that works. */
static void edited_content_is_refused_or_works(void **state) {
  (void)state;
  size_t refused = 0, accepted = 0;
  bbw_rng rng;
  bbw_rng_init(&rng, 99);
  for (uint64_t seed = 40; seed < 60; seed++) {
    subject s;
    subject_make(&s, seed, 40);
    for (size_t i = 0; i < 400; i++) {
      snapshot edited = {malloc(s.other.len), s.other.len};
      memcpy(edited.bytes, s.other.bytes, s.other.len);
      for (uint64_t k = bbw_rng_below(&rng, 3) + 1; k != 0; k--) {
        uint8_t *place = &edited.bytes[24 + bbw_rng_below(&rng, edited.len - 24)];
        *place = bbw_rng_below(&rng, 2) == 0 ? (uint8_t)bbw_rng_next(&rng) : (uint8_t)(*place + 1);
      }
      seal(edited.bytes, edited.len);
      s.mem.limit_bytes = 64u << 20;
      bbw_status rv = bbw_node_restore(s.node, view(edited), NULL);
      if (rv != BBW_OK) {
        refused++;
        snapshot after = take(s.node);
        assert_same(after, s.now);
        drop(after);
      } else {
        accepted++;
        uint8_t bytes[256];
        for (size_t k = 0; k < sizeof(bytes); k++) { bytes[k] = (uint8_t)bbw_rng_next(&rng); }
        node_script script = {bytes, bytes + sizeof(bytes), false};
        for (size_t n = 0; n < 12; n++) { node_script_call(s.node, &script, NULL, NULL, NULL); }
        snapshot back = with_incarnation(s.now, UINT64_MAX);
        assert_int_equal(bbw_node_restore(s.node, view(back), NULL), BBW_OK);
        drop(back);
        drop(s.now);
        s.now = take(s.node);
      }
      free(edited.bytes);
    }
    subject_free(&s);
  }
  print_message("%zu refused, %zu accepted\n", refused, accepted);
  assert_true(refused > 1000 && accepted > 100);
}

/* ---- one rule each ---- */

/* What the edits below are made to: an execution with a call, parked ops, an interval, queues, peers. */
static const char full[] = MODEL
    "target M x t -> y z\nsyscall::Interval -> i | period_ns=7\nmodule::F x -> y\nsyscall::After x -> a | delay_ns=50\n"
    "syscall::Limit.Acquire x -> g | name='l'\nsyscall::Hold.Stash x -> h | slot='s'\nsyscall::EventSource -> e | "
    "kind='OpFailure'\n"
    "syscall::Sleep e -> e2 | duration_ns=1\nsyscall::Gate a t -> z\nsyscall::AppEmit a -> q | "
    "name='topic'\nwire::Recv -> p s\n"
    "function F p -> r\nsyscall::Sleep p -> r | duration_ns=90\n"
    "bootstrap B\nsyscall::Pulse -> p\nsyscall::Sleep p -> q | duration_ns=900\nbootstrap C v\nsyscall::PassThrough v "
    "-> w\n";

#define ITEM(list, type, i) ((type *)(uintptr_t)(list).items + (i))
/* The slot that holds what the host gave. */
static bbw_snap_seed *slot_of(bbw_snap *s) {
  for (size_t f = 0; f < s->frames.count; f++) {
    const bbw_snap_frame *frame = ITEM(s->frames, bbw_snap_frame, f);
    for (size_t i = 0; i < frame->slots.count; i++) {
      if (ITEM(frame->slots, bbw_snap_seed, i)->charge != 0) { return ITEM(frame->slots, bbw_snap_seed, i); }
    }
  }
  abort();
}
static bbw_snap_value *value_of(const bbw_snap_seed *seed) { return (bbw_snap_value *)(uintptr_t)seed->value; }
static const bbw_bytes no_peer = {(const uint8_t *)"\1\2", 2};

static void no_config(bbw_snap *s) { s->config = NULL; }
static void zero_limit(bbw_snap *s) { ((bbw_config *)(uintptr_t)s->config)->max_executions = 0; }
static void own_peer(bbw_snap *s) { s->peer_id = no_peer; }
static void graph_out_of_range(bbw_snap *s) { ITEM(s->frames, bbw_snap_frame, 0)->graph = 99; }
static void far_exec_counter(bbw_snap *s) { s->next_exec_id = UINT64_MAX; }
static void far_cmd_counter(bbw_snap *s) { s->next_cmd_id = BBW_ID_MAX + 1; }
static void exec_from_future(bbw_snap *s) { ITEM(s->frames, bbw_snap_frame, 0)->exec_id = s->next_exec_id; }
static void orphan(bbw_snap *s) { ITEM(s->frames, bbw_snap_frame, 0)->parent = 1; }
static void no_caller(bbw_snap *s) {
  for (size_t i = 0; i < s->frames.count; i++) { ITEM(s->frames, bbw_snap_frame, i)->parent = 0; }
}
static void run_of_none(bbw_snap *s) { ITEM(s->frames, bbw_snap_frame, 0)->run = 9; }
static void site_out_of_range(bbw_snap *s) { slot_of(s)->site = 999; }
static void site_twice(bbw_snap *s) {
  bbw_snap_seed *slots = ITEM(ITEM(s->frames, bbw_snap_frame, 0)->slots, bbw_snap_seed, 0);
  slots[1].site = slots[0].site;
}
static void charge_too_much(bbw_snap *s) { slot_of(s)->charge = UINT64_MAX; }
static void charge_too_little(bbw_snap *s) { s->bytes_in_flight++; }
static void unknown_type(bbw_snap *s) { value_of(slot_of(s))->type_hash = 5; }
static void value_missing(bbw_snap *s) { slot_of(s)->value = NULL; }
static void short_value(bbw_snap *s) { value_of(slot_of(s))->payload.len--; }
static void nothing_fired(bbw_snap *s) { ITEM(s->frames, bbw_snap_frame, 0)->fired.count = 0; }
static void fired_backwards(bbw_snap *s) {
  bbw_proto_list *fired = &ITEM(s->frames, bbw_snap_frame, 0)->fired;
  *ITEM(*fired, uint64_t, fired->count - 1) = 0;
}
static void fired_too_far(bbw_snap *s) {
  bbw_proto_list *fired = &ITEM(s->frames, bbw_snap_frame, 0)->fired;
  *ITEM(*fired, uint64_t, fired->count - 1) = 1u << 20;
}
static void idle_frame(bbw_snap *s) {
  s->parked.count = 0;
  s->done.count = 0;
}
static void parked_twice(bbw_snap *s) { *ITEM(s->parked, bbw_snap_parked, 1) = *ITEM(s->parked, bbw_snap_parked, 0); }
static void parked_in_no_frame(bbw_snap *s) { ITEM(s->parked, bbw_snap_parked, 0)->frame = 999; }
static void parked_from_future(bbw_snap *s) { s->next_cmd_id = 1; }
static void same_op_parked_twice(bbw_snap *s) {
  bbw_snap_parked *a = ITEM(s->parked, bbw_snap_parked, 0), *b = ITEM(s->parked, bbw_snap_parked, 1);
  b->frame = a->frame;
  b->op = a->op;
}
static void outcome_unlisted(bbw_snap *s) { s->done.count = 0; }
static void outcome_of_nobody(bbw_snap *s) { *ITEM(s->done, uint64_t, 0) = 777; }
static void outcome_of_a_waiting(bbw_snap *s) {
  for (size_t i = 0; i < s->parked.count; i++) {
    bbw_snap_parked *parked = ITEM(s->parked, bbw_snap_parked, i);
    if (parked->state == BBW_PARKED_WAITING) { *ITEM(s->done, uint64_t, 0) = parked->cmd_id; }
  }
}
static void timers_unsorted(bbw_snap *s) { ITEM(s->timers, bbw_snap_timer, 0)->at_ns = UINT64_MAX; }
static void timer_from_future(bbw_snap *s) { s->next_timer_order = 0; }
static void timer_of_no_kind(bbw_snap *s) { ITEM(s->timers, bbw_snap_timer, 0)->kind = 2; }
static void interval_of_nothing(bbw_snap *s) {
  for (size_t i = 0; i < s->timers.count; i++) {
    bbw_snap_timer *timer = ITEM(s->timers, bbw_snap_timer, i);
    timer->kind = BBW_TIMER_INTERVAL;
    timer->subject = 3;
  }
}
static void started_nothing(bbw_snap *s) { *ITEM(s->started, uint64_t, 0) = UINT64_MAX; }
static void event_of_no_kind(bbw_snap *s) { ITEM(s->ingress, bbw_snap_event, 0)->kind = 4; }
static void event_for_no_graph(bbw_snap *s) { ITEM(s->ingress, bbw_snap_event, 0)->graph = 77; }
static void event_for_library(bbw_snap *s) { ITEM(s->ingress, bbw_snap_event, 0)->graph = 1; }
static void event_without_bytes(bbw_snap *s) { ITEM(s->ingress, bbw_snap_event, 0)->seeds.count = 0; }
static void event_not_bytes(bbw_snap *s) {
  *value_of(ITEM(ITEM(s->ingress, bbw_snap_event, 0)->seeds, bbw_snap_seed, 0)) = (bbw_snap_value){
      bbw_type_hash(BBW_TYPE_TRIGGER), {NULL, 0}};
}
static void broken_envelope(bbw_snap *s) { ITEM(s->ingress, bbw_snap_event, 1)->envelope = no_peer; }
static void envelope_of_nobody(bbw_snap *s) { ITEM(s->ingress, bbw_snap_event, 1)->peer = no_peer; }
static void bus_of_nobody(bbw_snap *s) { *ITEM(s->bus, uint64_t, 0) = 9; }
static void named_of_no_kind(bbw_snap *s) { ITEM(s->named, bbw_snap_named, 0)->kind = 9; }
static void named_twice(bbw_snap *s) { *ITEM(s->named, bbw_snap_named, 1) = *ITEM(s->named, bbw_snap_named, 0); }
static void held_twice(bbw_snap *s) {
  static bbw_snap_value values[2];
  for (size_t i = 0; i < s->named.count; i++) {
    bbw_snap_named *named = ITEM(s->named, bbw_snap_named, i);
    if (named->kind == BBW_NAMED_HOLD) { named->values = (bbw_proto_list){values, 2}; }
  }
}
static void topic_of_nobody(bbw_snap *s) {
  static const bbw_snap_app_event event = {{(const uint8_t *)"nobody", 6}, NULL};
  s->app_events = (bbw_proto_list){&event, 1};
}
static void outbound_to_nobody(bbw_snap *s) {
  static bbw_snap_outbound entry;
  entry.peer = no_peer;
  s->outbound = (bbw_proto_list){&entry, 1};
}
static void failure_of_nobody(bbw_snap *s) {
  static bbw_snap_resolve_failure failure;
  failure.peer = no_peer;
  s->resolve_failures = (bbw_proto_list){&failure, 1};
}
static void target_unknown(bbw_snap *s) { ITEM(s->boot_targets, bbw_snap_target, 0)->name = BBW_STR("Z"); }
static void target_missing(bbw_snap *s) { s->boot_targets.count--; }
static void run_without_frame(bbw_snap *s) { ITEM(s->boot_runs, bbw_snap_run, 0)->state = BBW_BOOT_RUNNING; }
static void run_of_no_target(bbw_snap *s) { ITEM(s->boot_runs, bbw_snap_run, 0)->target = 9; }
static void run_of_no_state(bbw_snap *s) { ITEM(s->boot_runs, bbw_snap_run, 0)->state = 3; }
static void locked_without_reason(bbw_snap *s) {
  static const bbw_snap_ready ready = {0, 0};
  s->locked = (bbw_proto_list){&ready, 1};
}
static void book_of_nobody(bbw_snap *s) { ITEM(s->peers, bbw_snap_peer, 0)->peer = no_peer; }
static void book_twice(bbw_snap *s) { *ITEM(s->peers, bbw_snap_peer, 1) = *ITEM(s->peers, bbw_snap_peer, 0); }
static void book_unreferenced(bbw_snap *s) { ITEM(s->peers, bbw_snap_peer, 0)->ref_count = 0; }
static void blocked_twice(bbw_snap *s) {
  static bbw_bytes two[2];
  two[0] = two[1] = s->peer_id;
  s->blocked = (bbw_proto_list){two, 2};
}
static void allowed_without_list(bbw_snap *s) { s->allowed = (bbw_proto_list){&s->peer_id, 1}; }
static void no_threshold(bbw_snap *s) { s->failure_threshold = 0; }
static void health_twice(bbw_snap *s) {
  static bbw_snap_health two[2];
  two[0].peer = two[1].peer = s->peer_id;
  s->health = (bbw_proto_list){two, 2};
}
static void backoff_twice(bbw_snap *s) {
  static bbw_snap_backoff two[2];
  two[0].peer = two[1].peer = s->peer_id;
  s->backoff = (bbw_proto_list){two, 2};
}
static void dedup_twice(bbw_snap *s) {
  static const uint64_t two[2] = {4, 4};
  s->dedup = (bbw_proto_list){two, 2};
}
static void request_backwards(bbw_snap *s) {
  static const bbw_snap_request request = {.id = 1, .started_at_ns = 50, .expires_at_ns = 40, .target_site = 3};
  s->requests = (bbw_proto_list){&request, 1};
}
static void request_twice(bbw_snap *s) {
  static const bbw_snap_request two[2] = {{.id = 1, .started_at_ns = 40, .expires_at_ns = 50},
                                          {.id = 1, .started_at_ns = 40, .expires_at_ns = 50}};
  s->requests = (bbw_proto_list){two, 2};
}

static void request_unsent_to_somebody(bbw_snap *s) {
  static const uint64_t site = 4;
  static const bbw_snap_request request = {
      .id = 1, .started_at_ns = 40, .expires_at_ns = 50, .others = {&site, 1}, .is_unsent = true};
  s->requests = (bbw_proto_list){&request, 1};
}
static void waits_for_no_request(bbw_snap *s) {
  for (size_t i = 0; i < s->parked.count; i++) { ITEM(s->parked, bbw_snap_parked, i)->request_id = 12345; }
}
static void two_wait_for_one_request(bbw_snap *s) {
  static const bbw_snap_request request = {.id = 12345, .started_at_ns = 40, .expires_at_ns = 50};
  s->requests = (bbw_proto_list){&request, 1};
  waits_for_no_request(s);
}

static void phase_of_nothing(bbw_snap *s) { s->phase_at = 1; }

#define EDIT(name, detail) \
  { #name, name, detail }
static const struct {
  const char *name;
  void (*edit)(bbw_snap *s);
  const char *detail;
} edits[] = {
    EDIT(no_config, "the configuration is not valid"),
    EDIT(zero_limit, "the configuration is not valid"),
    EDIT(own_peer, "the peer id is malformed"),
    EDIT(graph_out_of_range, "a graph is out of range"),
    EDIT(far_exec_counter, "an id counter cannot have come so far"),
    EDIT(far_cmd_counter, "an id counter cannot have come so far"),
    EDIT(exec_from_future, "an execution id is from the future"),
    EDIT(orphan, "a call has no caller"),
    EDIT(no_caller, "an execution of no module"),
    EDIT(run_of_none, "an execution of no bootstrap"),
    EDIT(site_out_of_range, "a site is out of range or filled twice"),
    EDIT(site_twice, "a site is out of range or filled twice"),
    EDIT(charge_too_much, "the charged bytes do not add up"),
    EDIT(charge_too_little, "the charged bytes do not add up"),
    EDIT(unknown_type, "a value does not decode as its type"),
    EDIT(value_missing, "a value is missing"),
    EDIT(short_value, "a value does not decode as its type"),
    EDIT(nothing_fired, "an op has all its inputs and has not fired"),
    EDIT(fired_backwards, "an op has fired without its inputs"),
    EDIT(fired_too_far, "an op has fired without its inputs"),
    EDIT(idle_frame, "an execution has nothing left to do"),
    EDIT(parked_twice, "command ids do not ascend"),
    EDIT(parked_in_no_frame, "a frame is out of range"),
    EDIT(parked_from_future, "command ids do not ascend"),
    EDIT(same_op_parked_twice, "an op waits that has not fired, or waits twice"),
    EDIT(outcome_unlisted, "a command has an outcome that is not listed"),
    EDIT(outcome_of_nobody, "an outcome of no command, or a second one"),
    EDIT(outcome_of_a_waiting, "an outcome of a command that waits"),
    EDIT(timers_unsorted, "a timer is not valid"),
    EDIT(timer_from_future, "a timer is not valid"),
    EDIT(timer_of_no_kind, "a timer is not valid"),
    EDIT(interval_of_nothing, "a timer is not valid"),
    EDIT(started_nothing, "an interval that is none"),
    EDIT(event_of_no_kind, "an event of no kind"),
    EDIT(event_for_no_graph, "an event for no module"),
    EDIT(event_for_library, "an event for no module"),
    EDIT(event_without_bytes, "an event for no module"),
    EDIT(event_not_bytes, "an application event is not bytes"),
    EDIT(broken_envelope, "an envelope does not decode"),
    EDIT(envelope_of_nobody, "a peer id is malformed"),
    EDIT(bus_of_nobody, "an event of the bus that nobody waits for"),
    EDIT(named_of_no_kind, "a named table is not valid"),
    EDIT(named_twice, "a name is there twice"),
    EDIT(held_twice, "a named table is not valid"),
    EDIT(topic_of_nobody, "an event whose topic nothing emits"),
    EDIT(outbound_to_nobody, "a peer id is malformed"),
    EDIT(failure_of_nobody, "a peer id is malformed"),
    EDIT(target_unknown, "other bootstrap targets are installed"),
    EDIT(target_missing, "other bootstrap targets are installed"),
    EDIT(run_without_frame, "a bootstrap runs without an execution"),
    EDIT(run_of_no_target, "a bootstrap is not valid"),
    EDIT(run_of_no_state, "a bootstrap is not valid"),
    EDIT(locked_without_reason, "an op waits that has not fired, or waits twice"),
    EDIT(book_of_nobody, "a peer id is malformed"),
    EDIT(book_twice, "an entry of the address book is not valid"),
    EDIT(book_unreferenced, "an entry of the address book is not valid"),
    EDIT(blocked_twice, "a list of peers names one twice"),
    EDIT(allowed_without_list, "a list of peers names one twice"),
    EDIT(no_threshold, "the failure threshold is 0"),
    EDIT(health_twice, "the health table is not valid"),
    EDIT(backoff_twice, "the backoff table is not valid"),
    EDIT(dedup_twice, "the window of received messages is not valid"),
    EDIT(request_backwards, "a request ends before it begins"),
    EDIT(phase_of_nothing, "a lifecycle phase that does not fire goes on"),
    EDIT(request_twice, "a request is listed twice"),
    EDIT(request_unsent_to_somebody, "a request that was sent to nobody has peers"),
    EDIT(waits_for_no_request, "an op waits for the answer to no request, or to that of another op"),
    EDIT(two_wait_for_one_request, "an op waits for the answer to no request, or to that of another op"),
};

/* In the middle of an execution, with something in every queue. */
static void make_full(subject *s) {
  test_mem_init(&s->mem);
  s->node = install_m(full, &s->mem.mem);
  bbw_peer_id peer_id = bbw_peer_id_from_u64(3), self = bbw_peer_id_from_u64(1);
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  static const uint8_t address[10] = {0xe2, 0x01, 0, 0, 0, 0, 0, 0, 0, 9};
  bbw_bytes list = {address, sizeof(address)};
  bbw_node *node = s->node;
  size_t len = bbw_peer_id_encode(&self, peer);
  assert_int_equal(bbw_node_add_peer(node, (bbw_bytes){peer, len}, &list, 1, NULL), BBW_OK);
  len = bbw_peer_id_encode(&peer_id, peer);
  assert_int_equal(bbw_node_add_peer(node, (bbw_bytes){peer, len}, &list, 1, NULL), BBW_OK);
  event(node);
  event(node);
  (void)node_script_poll(node, NULL, NULL);
  (void)node_script_poll(node, NULL, NULL);
  bbw_typed_bytes result = {bbw_type_hash(BBW_TYPE_TRIGGER), {NULL, 0}};
  assert_int_equal(
      bbw_node_complete(node, BBW_VEC_AT(&node->engine.async.entries, bbw_parked, 1)->cmd_id, &result, 1, NULL),
      BBW_OK);
  event(node);
  receive(node, 3);
  bbw_bus_publish(&node->engine.bus, BBW_STR("OpFailure"));
  bbw_named_bytes input = {BBW_STR("v"), {(const uint8_t *)"q", 1}};
  bbw_boot_request request = {BBW_STR("C"), &input, 1};
  assert_int_equal(bbw_node_run_bootstrap(node, &request, 1, NULL), BBW_OK);
  s->now = take(node);
  s->other = take(node);
}

static void each_rule_of_the_content_is_checked(void **state) {
  (void)state;
  subject s;
  make_full(&s);
  bbw_error err;
  for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
    bbw_arena arena;
    bbw_snap snap;
    bbw_arena_init(&arena, &bbw_mem_libc);
    decode(&s.other, &snap, &arena);
    edits[i].edit(&snap);
    snapshot edited = encode(&snap, &arena);
    bbw_status rv = bbw_node_restore(s.node, view(edited), &err);
    if (rv != BBW_E_SNAP_DECODE) { fail_msg("%s is accepted: %d", edits[i].name, rv); }
    if (rv == BBW_E_SNAP_DECODE) { assert_string_equal(bbw_error_field(&err, "detail").ptr, edits[i].detail); }
    refuses(&s, view(edited), BBW_E_SNAP_DECODE);
    drop(edited);
    bbw_arena_free(&arena);
  }
  subject_free(&s);
}

/* No script of these tests makes a peer ask for time. */
static void waits_that_peers_asked_for_are_kept(void **state) {
  (void)state;
  subject s;
  make_full(&s);
  bbw_arena arena;
  bbw_snap snap;
  bbw_arena_init(&arena, &bbw_mem_libc);
  decode(&s.other, &snap, &arena);
  bbw_snap_backoff wait = {
      .peer = snap.peer_id, .attempts = 3, .last_attempt_ns = 5, .next_retry_ns = 90, .is_advisory = true};
  snap.backoff = (bbw_proto_list){&wait, 1};
  snapshot edited = encode(&snap, &arena), expected = with_incarnation(edited, 1);
  bbw_error err;
  assert_int_equal(bbw_node_restore(s.node, view(edited), &err), BBW_OK);
  snapshot again = take(s.node);
  assert_same(again, expected);
  drop(again);
  drop(expected);
  drop(edited);
  bbw_arena_free(&arena);
  subject_free(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_restored_node_goes_on_as_if_it_had_never_stopped),
      cmocka_unit_test(a_new_life_gives_its_requests_other_ids),
      cmocka_unit_test(ops_that_a_bootstrap_locks_stay_locked),
      cmocka_unit_test(output_that_found_no_memory_is_kept),
      cmocka_unit_test(damage_is_refused_wherever_it_is),
      cmocka_unit_test(another_node_is_refused),
      cmocka_unit_test(memory_that_fails_changes_nothing),
      cmocka_unit_test(edited_content_is_refused_or_works),
      cmocka_unit_test(each_rule_of_the_content_is_checked),
      cmocka_unit_test(waits_that_peers_asked_for_are_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
