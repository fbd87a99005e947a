/*
 * bench_engine: what does an operator cost, and what does a node weigh?
 *
 * A chain of 1,000 PassThrough from a delivered event to the application, without the steps of the single operators; the median of several runs.
 * Natively only: engine.bench.js measures the same chain in wasm, through the package.
 */
#include "bench_clock.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "bbw/node.h"
#include "format/onnx.h"

enum { OPS = 1000, ROUNDS = 50, RUNS = 31, NODES = 100 };

#define TEXT(literal) \
  { literal, sizeof(literal) - 1 }

/* Counts what is allocated. */
typedef struct counter {
  size_t live_bytes;
} counter;
static void *counted_alloc(void *ctx, size_t size) {
  ((counter *)ctx)->live_bytes += size;
  return calloc(1, size);
}
static void counted_free(void *ctx, void *ptr, size_t size) {
  if (ptr != NULL) { ((counter *)ctx)->live_bytes -= size; }
  free(ptr);
}

static bbw_bytes make_chain(bbw_arena *arena, size_t count) {
  static const bbw_onnx_entry passport = {.key = TEXT("ai.bytesandbrains.compiled"), .value = TEXT("v1")};
  static const bbw_onnx_entry phase = {.key = TEXT("ai.bytesandbrains.module_phase"), .value = TEXT("body")};
  bbw_str *names = bbw_arena_array(arena, count + 1, sizeof *names);
  bbw_onnx_node *nodes = bbw_arena_array(arena, count, sizeof *nodes);
  char *text = bbw_arena_array(arena, count + 1, 8);
  if (names == NULL || nodes == NULL || text == NULL) { exit(1); }
  for (size_t i = 0; i <= count; i++) {
    int len = snprintf(text + 8 * i, 8, "%c%zu", i == 0 ? 'x' : 'v', i);
    names[i] = (bbw_str){text + 8 * i, (size_t)len};
  }
  for (size_t i = 0; i < count; i++) {
    nodes[i] = (bbw_onnx_node){.op_type = TEXT("PassThrough"),
                               .domain = TEXT("ai.bytesandbrains.syscall"),
                               .input = {&names[i], 1},
                               .output = {&names[i + 1], 1}};
  }
  bbw_onnx_function function = {.name = TEXT("Chain#0000000000000000"),
                                .input = {&names[0], 1},
                                .output = {&names[count], 1},
                                .node = {nodes, count},
                                .metadata_props = {&phase, 1}};
  bbw_onnx_model model = {.functions = {&function, 1}, .metadata_props = {&passport, 1}};
  bbw_bytes bytes;
  if (bbw_proto_encode(&bytes, &model, &bbw_onnx_model_type, arena) != BBW_OK) { exit(1); }
  return bytes;
}

static bbw_node *make_node(bbw_bytes model, const bbw_mem *mem) {
  static const bbw_str target = TEXT("Chain");
  bbw_config config;
  bbw_config_init(&config);
  config.cycle_op_budget = 10 * OPS;
  config.step_mask = 0; /* events for the application are always reported */
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64(1), .model = model, .targets = &target, .target_count = 1, .config = &config};
  bbw_node *node = NULL;
  if (bbw_node_install(&node, &options, mem, NULL) != BBW_OK) { exit(1); }
  return node;
}

/* One event through the chain; leaves unless the last operator reported it. */
static void run_chain(bbw_node *node) {
  static const uint8_t data[] = {1, 2, 3, 4};
  bool is_pending = false, is_reported = false;
  if (bbw_node_deliver_event(node, (bbw_str)TEXT("Chain"), (bbw_str)TEXT("x0"), (bbw_bytes){data, 4}, NULL) != BBW_OK) {
    exit(1);
  }
  while (!is_pending) {
    bbw_bytes steps;
    bbw_step step;
    size_t at = 0;
    if (bbw_node_poll(node, &steps, &is_pending, NULL) != BBW_OK) { exit(1); }
    while (bbw_steps_next(steps, &at, &step)) {
      bbw_str topic = bbw_step_text(&step, "topic");
      is_reported = is_reported ||
                    (step.kind == BBW_STEP_APP_EVENT && topic.len == 5 && memcmp(topic.ptr, "v1000", 5) == 0);
    }
  }
  if (!is_reported) { exit(1); }
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(void) {
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  counter count = {0};
  const bbw_mem mem = {.ctx = &count, .alloc = counted_alloc, .free = counted_free};
  bbw_bytes chain = make_chain(&arena, OPS);
  bbw_node *node = make_node(chain, &mem);
  double took[RUNS];
  for (int i = 0; i < ROUNDS; i++) { run_chain(node); }
  for (int run = 0; run < RUNS; run++) {
    double start = bench_seconds();
    for (int i = 0; i < ROUNDS; i++) { run_chain(node); }
    took[run] = (bench_seconds() - start) / (double)(ROUNDS * OPS);
  }
  qsort(took, RUNS, sizeof took[0], compare);
  bench_report("engine.chain1000.ns", took[RUNS / 2] * 1e9, "ns/op");
  bbw_node_del(node);
  double install[RUNS];
  for (int run = 0; run < RUNS; run++) {
    double start = bench_seconds();
    node = make_node(chain, &mem);
    install[run] = bench_seconds() - start;
    bbw_node_del(node);
  }
  qsort(install, RUNS, sizeof install[0], compare);
  bench_report("start.install_chain1000.ms", install[RUNS / 2] * 1e3, "ms");
  bbw_bytes small = make_chain(&arena, 1);
  bbw_node *nodes[NODES];
  size_t before = count.live_bytes;
  for (int i = 0; i < NODES; i++) { nodes[i] = make_node(small, &mem); }
  bench_report("memory.idle_node.bytes", (double)(count.live_bytes - before) / (double)NODES, "bytes");
  for (int i = 0; i < NODES; i++) { bbw_node_del(nodes[i]); }
  bbw_arena_free(&arena);
  return count.live_bytes == 0 ? 0 : 1;
}
