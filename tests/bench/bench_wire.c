/*
 * bench_wire: what does an envelope cost, and what does a known peer weigh?
 *
 * Decoding and encoding one small envelope; deliver and poll of envelopes for one PassThrough behind a Recv, in batches and one by one, 16 bytes, 1 KiB and 1 MiB; a Send to many peers; the
 * book with many peers.  Medians of several runs, in processor time: nothing here waits.  What must not be left behind is checked: the program fails when an envelope keeps memory.
 * The same program runs natively and in wasm.
 */
#include "bench_clock.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "bbw/address.h"
#include "bbw/node.h"
#include "bbw/value.h"
#include "format/envelope.h"
#include "format/onnx.h"
#include "peers/address_book.h"

enum { RUNS = 15, SMALL = 16, KIB = 1024, MIB = 1048576, PEERS = 100000, FAN = 1000 };

#define TEXT(literal) \
  { literal, sizeof(literal) - 1 }

/* Counts what is allocated, and how much was at most since the mark. */
static size_t live_bytes, most_bytes, allocations;
static void *counted_alloc(void *ctx, size_t size) {
  (void)ctx;
  live_bytes += size;
  allocations++;
  if (live_bytes > most_bytes) { most_bytes = live_bytes; }
  return malloc(size);
}
static void counted_free(void *ctx, void *ptr, size_t size) {
  (void)ctx;
  if (ptr != NULL) { live_bytes -= size; }
  free(ptr);
}
static const bbw_mem mem = {.ctx = NULL, .alloc = counted_alloc, .free = counted_free};

static void must_at(bool ok, int line) {
  if (ok) { return; }
  fprintf(stderr, "bench_wire: line %d\n", line);
  exit(1);
}
#define must(ok) must_at(ok, __LINE__)

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}
static double median(double *took) {
  qsort(took, RUNS, sizeof took[0], compare);
  return took[RUNS / 2];
}

/* ---- models --------------------------------------------------------------------------------------------------------- */

static bbw_bytes build(const bbw_onnx_node *nodes, size_t count, bool has_input, bbw_arena *arena) {
  static const bbw_onnx_entry passport = {.key = TEXT("ai.bytesandbrains.compiled"), .value = TEXT("v1")};
  static const bbw_onnx_entry phase = {.key = TEXT("ai.bytesandbrains.module_phase"), .value = TEXT("body")};
  static const bbw_str inputs[2] = {TEXT("x"), TEXT("peers")};
  bbw_onnx_function function = {.name = TEXT("M#0000000000000000"),
                                .input = {inputs, has_input ? 2 : 0},
                                .node = {nodes, count},
                                .metadata_props = {&phase, 1}};
  bbw_onnx_model model = {.functions = {&function, 1}, .metadata_props = {&passport, 1}};
  bbw_bytes bytes;
  must(bbw_proto_encode(&bytes, &model, &bbw_onnx_model_type, arena) == BBW_OK);
  return bytes;
}

static bbw_node *make_node(bbw_bytes model, uint64_t step_mask) {
  static const bbw_str target = TEXT("M");
  bbw_config config;
  bbw_config_init(&config);
  config.cycle_op_budget = 1000000;
  config.step_mask = step_mask;
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64(1), .model = model, .targets = &target, .target_count = 1, .config = &config};
  bbw_node *node = NULL;
  must(bbw_node_install(&node, &options, &mem, NULL) == BBW_OK);
  return node;
}

static bbw_node *receiver(uint64_t step_mask) {
  static const bbw_str outputs[2] = {TEXT("got"), TEXT("sender")}, passed = TEXT("passed");
  const bbw_onnx_node nodes[2] = {
      {.op_type = TEXT("Recv"), .domain = TEXT("ai.bytesandbrains.wire"), .output = {outputs, 2}},
      {.op_type = TEXT("PassThrough"),
       .domain = TEXT("ai.bytesandbrains.syscall"),
       .input = {outputs, 1},
       .output = {&passed, 1}}};
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_node *node = make_node(build(nodes, 2, false, &arena), step_mask);
  bbw_arena_free(&arena);
  return node;
}

/* ---- envelopes ------------------------------------------------------------------------------------------------------ */

static size_t p2p(uint64_t peer, uint8_t *out, size_t cap) {
  uint8_t bytes[BBW_PEER_ID_BYTES_MAX];
  bbw_peer_id id = bbw_peer_id_from_u64(peer);
  bbw_segment segment = {.kind = BBW_SEGMENT_P2P, .bytes = {bytes, bbw_peer_id_encode(&id, bytes)}};
  size_t len = 0;
  must(bbw_address_append(out, cap, &len, &segment) == BBW_OK);
  return len;
}

/* From node 2 to node 1: one fill of Bytes with so many bytes for the first site. */
static bbw_bytes make_envelope(size_t content, uint8_t **own) {
  uint8_t suffix[16], to[32], from[32];
  size_t suffix_len = 0;
  bbw_segment site = {.kind = BBW_SEGMENT_SITE, .number = 0};
  must(bbw_address_append(suffix, sizeof suffix, &suffix_len, &site) == BBW_OK);
  bbw_bytes dest = {to, p2p(1, to, sizeof to)}, src = {from, p2p(2, from, sizeof from)};
  uint8_t *payload = calloc(1, content + 8);
  must(payload != NULL);
  for (size_t i = 0; i < 8; i++) { payload[i] = (uint8_t)(content >> (8 * i)); }
  bbw_slot_fill fill = {.dest_suffix = {suffix, suffix_len},
                        .payload = {payload, content + 8},
                        .type_hash = bbw_type_hash(BBW_TYPE_BYTES)};
  bbw_envelope envelope = {.dest_peer_addresses = &dest,
                           .dest_peer_address_count = 1,
                           .fills = &fill,
                           .fill_count = 1,
                           .has_correlation = true,
                           .correlation_kind = BBW_CORRELATION_REQUEST,
                           .wire_req_id = 7,
                           .remaining_deadline_ns = 100000000,
                           .schema_version = 1,
                           .src_peer_addresses = &src,
                           .src_peer_address_count = 1};
  size_t len = bbw_envelope_size(&envelope);
  *own = malloc(len);
  must(*own != NULL);
  bbw_envelope_encode(&envelope, *own);
  free(payload);
  return (bbw_bytes){*own, len};
}

static void bench_codec(void) {
  const int rounds = 20000;
  uint8_t *own;
  bbw_bytes bytes = make_envelope(SMALL, &own);
  uint8_t out[256];
  double decode[RUNS], encode[RUNS];
  size_t sum = 0;
  bbw_envelope_scan scan;
  uint64_t lists[64];
  bbw_envelope envelope;
  for (int run = 0; run < RUNS; run++) {
    double start = bench_cpu_seconds();
    for (int i = 0; i < rounds; i++) {
      must(bbw_envelope_scan_bytes(&scan, bytes, &bbw_envelope_caps_default, NULL) == BBW_OK);
      bbw_envelope_place(&scan, bytes.ptr, lists, &envelope);
      sum += envelope.fill_count;
    }
    decode[run] = (bench_cpu_seconds() - start) / rounds * 1e9;
    start = bench_cpu_seconds();
    for (int i = 0; i < rounds; i++) {
      size_t len = bbw_envelope_size(&envelope);
      bbw_envelope_encode(&envelope, out);
      sum += out[len - 1];
    }
    encode[run] = (bench_cpu_seconds() - start) / rounds * 1e9;
  }
  bench_keep((float)sum);
  free(own);
  bench_report("wire.decode.ns", median(decode), "ns");
  bench_report("wire.encode.ns", median(encode), "ns");
}

/* ---- deliver and poll ----------------------------------------------------------------------------------------------- */

static const bbw_peer_id *sender(void) {
  static bbw_peer_id id;
  id = bbw_peer_id_from_u64(2);
  return &id;
}

static void deliver(bbw_node *node, bbw_bytes envelope, size_t batch) {
  uint8_t peer[BBW_PEER_ID_BYTES_MAX];
  bbw_bytes from = {peer, bbw_peer_id_encode(sender(), peer)};
  for (size_t k = 0; k < batch; k++) { must(bbw_node_deliver_inbound(node, from, envelope, NULL) == BBW_OK); }
}

static size_t poll_all(bbw_node *node) {
  size_t bytes = 0;
  for (bool is_pending = false; !is_pending;) {
    bbw_bytes steps;
    must(bbw_node_poll(node, &steps, &is_pending, NULL) == BBW_OK);
    bytes += steps.len;
  }
  return bytes;
}

static void bench_deliver(const char *name, size_t content, size_t batch, size_t rounds, uint64_t step_mask) {
  uint8_t *own;
  bbw_bytes envelope = make_envelope(content, &own);
  bbw_node *node = receiver(step_mask);
  double took[RUNS];
  size_t left = 0;
  for (int run = -1; run < RUNS; run++) {
    double start = bench_cpu_seconds();
    for (size_t i = 0; i < rounds; i++) {
      deliver(node, envelope, batch);
      (void)poll_all(node);
    }
    if (run >= 0) { took[run] = (bench_cpu_seconds() - start) / (double)(rounds * batch); }
    if (run == 0) { left = live_bytes; }
  }
  must(live_bytes == left); /* nothing stays behind */
  bbw_node_del(node);
  free(own);
  bench_report(name, 1.0 / median(took), "1/s");
}

/* How often the bytes of a large payload are in memory between delivery and the end of the poll. */
static void bench_copies(void) {
  uint8_t *own;
  bbw_bytes envelope = make_envelope(MIB, &own);
  bbw_node *node = receiver(0);
  deliver(node, envelope, 1);
  (void)poll_all(node);
  size_t before = live_bytes, allocated = allocations;
  most_bytes = live_bytes;
  deliver(node, envelope, 1);
  (void)poll_all(node);
  bench_report("wire.mib_most.bytes", (double)(most_bytes - before), "bytes");
  (void)allocated;
  bbw_node_del(node);
  free(own);
  own = NULL;
  envelope = make_envelope(SMALL, &own);
  node = receiver(0);
  for (int i = 0; i < 8; i++) {
    deliver(node, envelope, 100);
    (void)poll_all(node);
  }
  before = live_bytes;
  allocated = allocations;
  deliver(node, envelope, 100);
  (void)poll_all(node);
  bench_report("wire.small.allocations", (double)(allocations - allocated) / 100, "1");
  bench_report("wire.left_per_envelope.bytes", (double)(live_bytes - before) / 100, "bytes");
  bbw_node_del(node);
  free(own);
}

/* ---- sending -------------------------------------------------------------------------------------------------------- */

static void bench_fan_out(const char *name, size_t content, size_t rounds) {
  static const bbw_str inputs[2] = {TEXT("x"), TEXT("peers")}, outputs[2] = {TEXT("data"), TEXT("handle")};
  const bbw_onnx_node node_proto = {
      .op_type = TEXT("Send"), .domain = TEXT("ai.bytesandbrains.wire"), .input = {inputs, 2}, .output = {outputs, 2}};
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_node *node = make_node(build(&node_proto, 1, true, &arena), (uint64_t)1 << BBW_STEP_SEND_ENVELOPE);
  bbw_bytes *ids = bbw_arena_array(&arena, FAN, sizeof *ids);
  must(ids != NULL);
  for (size_t i = 0; i < FAN; i++) {
    uint8_t *id = bbw_arena_array(&arena, BBW_PEER_ID_BYTES_MAX, 1), address[32];
    must(id != NULL);
    bbw_peer_id peer = bbw_peer_id_from_u64(100 + i);
    ids[i] = (bbw_bytes){id, bbw_peer_id_encode(&peer, id)};
    bbw_bytes at = {address, p2p(100 + i, address, sizeof address)};
    must(bbw_node_add_peer(node, ids[i], &at, 1, NULL) == BBW_OK);
  }
  bbw_value *list;
  must(bbw_value_new_blobs(&list, BBW_TYPE_PEER_ID_VEC, ids, FAN, &mem) == BBW_OK);
  size_t list_len = bbw_value_payload_size(list);
  uint8_t *list_bytes = bbw_arena_array(&arena, list_len, 1), *data = bbw_arena_array(&arena, content, 1);
  must(list_bytes != NULL && data != NULL);
  bbw_value_payload_write(list, list_bytes);
  bbw_value_release(list, &mem);
  bbw_named_bytes named[2] = {{TEXT("x"), {data, content}}, {TEXT("peers"), {list_bytes, list_len}}};
  double took[RUNS];
  for (int run = -1; run < RUNS; run++) {
    double start = bench_cpu_seconds();
    for (size_t i = 0; i < rounds; i++) {
      uint64_t exec_id;
      must(bbw_node_invoke(node, (bbw_str)TEXT("M"), named, 2, &exec_id, NULL) == BBW_OK);
      must(poll_all(node) > FAN * content);
    }
    if (run >= 0) { took[run] = (bench_cpu_seconds() - start) / (double)(rounds * FAN); }
  }
  bbw_node_del(node);
  bbw_arena_free(&arena);
  bench_report(name, 1.0 / median(took), "1/s");
}

/* ---- peers ---------------------------------------------------------------------------------------------------------- */

static void bench_book(size_t peers, const char *lookup_name) {
  bbw_address_book book;
  size_t before = live_bytes;
  bbw_address_book_init(&book, &mem);
  book.cap = PEERS;
  for (size_t i = 0; i < peers; i++) {
    uint8_t address[32];
    bbw_peer_id peer = bbw_peer_id_from_u64(i);
    bbw_bytes at = {address, p2p(i, address, sizeof address)};
    must(bbw_address_book_add_peer(&book, &peer, &at, 1) == BBW_OK);
  }
  if (peers == PEERS) { bench_report("memory.peer.bytes", (double)(live_bytes - before) / (double)peers, "bytes"); }
  double took[RUNS];
  const size_t lookups = 100000;
  uint64_t at = 1;
  size_t found = 0;
  for (int run = 0; run < RUNS; run++) {
    double start = bench_cpu_seconds();
    for (size_t i = 0; i < lookups; i++) {
      at = at * 6364136223846793005u + 1442695040888963407u;
      bbw_peer_id peer = bbw_peer_id_from_u64((at >> 33) % peers);
      const bbw_bytes *items;
      size_t count;
      found += bbw_address_book_lookup(&book, &peer, &items, &count);
    }
    took[run] = (bench_cpu_seconds() - start) / (double)lookups * 1e9;
  }
  must(found == RUNS * lookups);
  bench_report(lookup_name, median(took), "ns");
  bbw_address_book_free(&book);
  must(live_bytes == before);
}

/* With a number: only that part, for a profiler. */
int main(int argc, char **argv) {
  int part = argc > 1 ? atoi(argv[1]) : 0;
  if (part == 0 || part == 1) { bench_codec(); }
  if (part == 0 || part == 2) { bench_deliver("wire.small.per_s", SMALL, 1000, 20, 0); }
  if (part == 0 || part == 3) {
    bench_deliver("wire.small_steps.per_s", SMALL, 1000, 20, UINT64_MAX);
    bench_deliver("wire.small_single.per_s", SMALL, 1, 10000, 0);
    bench_deliver("wire.kib.per_s", KIB, 1000, 5, 0);
    bench_deliver("wire.mib_single.per_s", MIB, 1, 20, 0);
    bench_copies();
  }
  if (part == 0 || part == 4) { bench_fan_out("wire.fanout.per_s", SMALL, 10); }
  if (part == 0 || part == 5) {
    bench_book(1000, "wire.lookup_1000.ns");
    bench_book(PEERS, "wire.lookup_100000.ns");
  }
  return live_bytes == 0 ? 0 : 1;
}
