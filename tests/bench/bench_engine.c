/*
 * bench_engine: what does an operator cost, and what does a node weigh?
 *
 * Chains, fans, invokes of a graph of four operators, idle polls beside parked executions, installs, and the memory of nodes and executions; medians of several runs, without the steps of
 * the single operators.  The same program runs natively and in wasm; engine.bench.js measures the chain through the package.
 */
#include "bench_clock.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "bbw/node.h"
#include "format/onnx.h"

enum { RUNS = 21, NODES = 100, NAME_BYTES = 12 };

#define TEXT(literal) \
  { literal, sizeof(literal) - 1 }
#define SYSCALL TEXT("ai.bytesandbrains.syscall")

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
static counter count;
static const bbw_mem mem = {.ctx = &count, .alloc = counted_alloc, .free = counted_free};

static void must(bool ok) {
  if (!ok) { exit(1); }
}

/* ---- models: values are x and v0, v1, ...; y is the output ---------------------------------------------------------- */

typedef struct builder {
  bbw_arena arena;
  bbw_onnx_node *nodes;
  size_t node_count;
} builder;

static bbw_str value_name(builder *b, long number) {
  char *text = bbw_arena_array(&b->arena, NAME_BYTES, 1);
  must(text != NULL);
  int len = number < 0 ? snprintf(text, NAME_BYTES, "%c", number == -1 ? 'x' : 'y')
                       : snprintf(text, NAME_BYTES, "v%ld", number);
  return (bbw_str){text, (size_t)len};
}
enum { X = -1, Y = -2 };

static void builder_init(builder *b, size_t nodes) {
  bbw_arena_init(&b->arena, &bbw_mem_libc);
  b->nodes = bbw_arena_array(&b->arena, nodes, sizeof(*b->nodes));
  b->node_count = 0;
  must(b->nodes != NULL);
}

static bbw_onnx_node *add(builder *b, bbw_str op_type, const long *inputs, size_t input_count, long output) {
  bbw_str *names = bbw_arena_array(&b->arena, input_count + 1, sizeof(*names));
  must(names != NULL);
  for (size_t i = 0; i < input_count; i++) { names[i] = value_name(b, inputs[i]); }
  names[input_count] = value_name(b, output);
  bbw_onnx_node *node = &b->nodes[b->node_count++];
  *node = (bbw_onnx_node){
      .op_type = op_type, .domain = SYSCALL, .input = {names, input_count}, .output = {&names[input_count], 1}};
  return node;
}
static void pass(builder *b, long input, long output) { (void)add(b, (bbw_str)TEXT("PassThrough"), &input, 1, output); }

static bbw_bytes build(builder *b) {
  static const bbw_onnx_entry passport = {.key = TEXT("ai.bytesandbrains.compiled"), .value = TEXT("v1")};
  static const bbw_onnx_entry phase = {.key = TEXT("ai.bytesandbrains.module_phase"), .value = TEXT("body")};
  bbw_str x = value_name(b, X), y = value_name(b, Y);
  bbw_onnx_function function = {.name = TEXT("M#0000000000000000"),
                                .input = {&x, 1},
                                .output = {&y, 1},
                                .node = {b->nodes, b->node_count},
                                .metadata_props = {&phase, 1}};
  bbw_onnx_model model = {.functions = {&function, 1}, .metadata_props = {&passport, 1}};
  bbw_bytes bytes;
  must(bbw_proto_encode(&bytes, &model, &bbw_onnx_model_type, &b->arena) == BBW_OK);
  return bytes;
}

static bbw_bytes chain(builder *b, long length) {
  builder_init(b, (size_t)length);
  for (long i = 0; i < length; i++) { pass(b, i - 1, i == length - 1 ? Y : i); }
  return build(b);
}

/* x goes to `width` operators, and all of them to one. */
static bbw_bytes fan(builder *b, long width) {
  builder_init(b, (size_t)width + 1);
  long *inputs = malloc((size_t)width * sizeof(*inputs));
  must(inputs != NULL);
  for (long i = 0; i < width; i++) {
    pass(b, X, i);
    inputs[i] = i;
  }
  (void)add(b, (bbw_str)TEXT("GateDispatch"), inputs, (size_t)width, Y);
  free(inputs);
  return build(b);
}

/* The graph of four operators of the reference's figures; delay_ns > 0 parks its second branch. */
static bbw_bytes four(builder *b, int64_t delay_ns) {
  builder_init(b, 4);
  pass(b, X, 0);
  pass(b, 0, 1);
  long zero = 0, both[2] = {1, 2};
  bbw_onnx_node *second = add(b, delay_ns > 0 ? (bbw_str)TEXT("After") : (bbw_str)TEXT("PassThrough"), &zero, 1, 2);
  bbw_onnx_attribute *delay = bbw_arena_array(&b->arena, 1, sizeof(*delay));
  must(delay != NULL);
  *delay = (bbw_onnx_attribute){.name = TEXT("delay_ns"), .type = BBW_ONNX_ATTR_INT, .i = delay_ns};
  if (delay_ns > 0) { second->attribute = (bbw_proto_list){delay, 1}; }
  (void)add(b, (bbw_str)TEXT("GateDispatch"), both, 2, Y);
  return build(b);
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------- */

static bbw_node *make_node(bbw_bytes model) {
  static const bbw_str target = TEXT("M");
  bbw_config config;
  bbw_config_init(&config);
  config.cycle_op_budget = 1000000;
  config.max_pending_async = config.max_executions = 1000000;
  config.step_mask = 0; /* events for the application are always reported */
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64(1), .model = model, .targets = &target, .target_count = 1, .config = &config};
  bbw_node *node = NULL;
  must(bbw_node_install(&node, &options, &mem, NULL) == BBW_OK);
  return node;
}

static void invoke(bbw_node *node) {
  static const uint8_t data[16] = {1, 2, 3, 4};
  bbw_named_bytes input = {TEXT("x"), {data, sizeof(data)}};
  uint64_t exec_id;
  must(bbw_node_invoke(node, (bbw_str)TEXT("M"), &input, 1, &exec_id, NULL) == BBW_OK);
}

/* Polls until nothing is left to do; how many outputs came. */
static size_t poll_all(bbw_node *node) {
  size_t outputs = 0;
  for (bool is_pending = false; !is_pending;) {
    bbw_bytes steps;
    bbw_step step;
    must(bbw_node_poll(node, &steps, &is_pending, NULL) == BBW_OK);
    for (size_t at = 0; bbw_steps_next(steps, &at, &step);) { outputs += step.kind == BBW_STEP_APP_EVENT; }
  }
  return outputs;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* ---- scenarios ------------------------------------------------------------------------------------------------------ */

/* Seconds for one batch of invokes until the node rests: the median. */
static double time_invokes(bbw_node *node, size_t batch, size_t rounds) {
  double took[RUNS];
  for (int run = -1; run < RUNS; run++) { /* the first is not counted */
    double start = bench_cpu_seconds();
    for (size_t i = 0; i < rounds; i++) {
      for (size_t k = 0; k < batch; k++) { invoke(node); }
      must(poll_all(node) == batch);
    }
    if (run >= 0) { took[run] = (bench_cpu_seconds() - start) / (double)rounds; }
  }
  qsort(took, RUNS, sizeof took[0], compare);
  return took[RUNS / 2];
}

/* Nanoseconds for one execution, polled on its own. */
static double time_graph(bbw_bytes model, size_t ops) {
  bbw_node *node = make_node(model);
  double ns = time_invokes(node, 1, 40000 / ops + 1) * 1e9;
  bbw_node_del(node);
  return ns;
}

static void bench_graph(const char *name, bbw_bytes model, size_t ops) {
  bench_report(name, time_graph(model, ops) / (double)ops, "ns/op");
}

/* What the machine gave during this run: a chain of one multiplication of whole numbers and one exclusive or, 4 cycles on the x86-64 and arm64 cores of today.  Neighbours on a shared
 * machine change it by half, and every figure of this file with it. */
static double clock_ghz(void) {
  const uint64_t links = 20000000;
  volatile uint64_t seed = 1;
  double took[RUNS];
  for (int run = 0; run < RUNS; run++) {
    uint64_t x = seed;
    double start = bench_cpu_seconds();
    for (uint64_t i = 0; i < links; i++) { x = (x * 6364136223846793005u) ^ (x >> 7); }
    took[run] = bench_cpu_seconds() - start;
    seed = x;
  }
  qsort(took, RUNS, sizeof took[0], compare);
  return 4.0 * (double)links / took[RUNS / 2] / 1e9;
}

/* An operator more in a chain, without what an execution costs as such: two polls and an event for the application. */
static void bench_growth(void) {
  static const struct {
    const char *name;
    long size;
  } rows[] = {{"engine.chain10.added_op.ns", 10},
              {"engine.chain100.added_op.ns", 100},
              {"engine.chain1000.added_op.ns", 1000},
              {"engine.chain10000.added_op.ns", 10000}};
  builder b;
  double one = time_graph(chain(&b, 1), 1);
  bbw_arena_free(&b.arena);
  bench_report("engine.chain1.ns", one, "ns");
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    double all = time_graph(chain(&b, rows[i].size), (size_t)rows[i].size);
    bbw_arena_free(&b.arena);
    bench_report(rows[i].name, (all - one) / (double)(rows[i].size - 1), "ns/op");
  }
}

static void bench_invokes(void) {
  builder b;
  bbw_node *node = make_node(four(&b, 0));
  bench_report("engine.invoke4.per_s", 1000.0 / time_invokes(node, 1000, 20), "1/s");
  bench_report("engine.invoke4_single.per_s", 1.0 / time_invokes(node, 1, 5000), "1/s");
  bbw_node_del(node);
  bbw_arena_free(&b.arena);
}

static double time_idle_poll(bbw_node *node) {
  const int polls = 20000;
  double took[RUNS];
  for (int run = 0; run < RUNS; run++) {
    double start = bench_cpu_seconds();
    for (int i = 0; i < polls; i++) { must(poll_all(node) == 0); }
    took[run] = (bench_cpu_seconds() - start) / (double)polls;
  }
  qsort(took, RUNS, sizeof took[0], compare);
  return took[RUNS / 2] * 1e9;
}

static void bench_parked(void) {
  enum { PARKED = 20000, BATCH = 1000 };
  builder b;
  bbw_node *node = make_node(four(&b, INT64_C(1000000000000)));
  bench_report("engine.idle_poll.ns", time_idle_poll(node), "ns");
  invoke(node);
  (void)poll_all(node);
  size_t before = 0, at_first = 0;
  for (size_t n = 0; n < 2 * PARKED; n += BATCH) { /* tables grow by doubling: what counts is a whole doubling */
    for (size_t k = 0; k < BATCH; k++) { invoke(node); }
    (void)poll_all(node);
    if (n + BATCH == PARKED) {
      before = count.live_bytes;
      at_first = n + BATCH;
    }
  }
  bench_report("memory.execution.bytes", (double)(count.live_bytes - before) / (double)(2 * PARKED - at_first),
               "bytes");
  bench_report("engine.idle_poll_parked40000.ns", time_idle_poll(node), "ns");
  bbw_node_del(node);
  bbw_arena_free(&b.arena);
}

static void bench_install(const char *name, long ops) {
  builder b;
  bbw_bytes model = chain(&b, ops);
  double took[RUNS];
  for (int run = 0; run < RUNS; run++) {
    double start = bench_cpu_seconds();
    bbw_node *node = make_node(model);
    took[run] = bench_cpu_seconds() - start;
    bbw_node_del(node);
  }
  qsort(took, RUNS, sizeof took[0], compare);
  bench_report(name, took[RUNS / 2] * 1e3, "ms");
  bbw_arena_free(&b.arena);
}

static void bench_memory(void) {
  builder b;
  bbw_bytes small = chain(&b, 1);
  bbw_node *nodes[NODES];
  size_t before = count.live_bytes;
  for (int i = 0; i < NODES; i++) { nodes[i] = make_node(small); }
  bench_report("memory.idle_node_engine.bytes", (double)(count.live_bytes - before) / (double)NODES, "bytes");
  for (int i = 0; i < NODES; i++) { bbw_node_del(nodes[i]); }
  bbw_arena_free(&b.arena);
}

int main(void) {
  static const struct {
    const char *name;
    long size;
  } chains[] = {{"engine.chain10.ns", 10},
                {"engine.chain100.ns", 100},
                {"engine.chain1000.ns", 1000},
                {"engine.chain10000.ns", 10000}},
    fans[] = {{"engine.fan10.ns", 10}, {"engine.fan100.ns", 100}, {"engine.fan1000.ns", 1000}};
  builder b;
  for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
    bench_graph(chains[i].name, chain(&b, chains[i].size), (size_t)chains[i].size);
    bbw_arena_free(&b.arena);
  }
  for (size_t i = 0; i < sizeof(fans) / sizeof(fans[0]); i++) {
    bench_graph(fans[i].name, fan(&b, fans[i].size), (size_t)fans[i].size + 1);
    bbw_arena_free(&b.arena);
  }
  bench_growth();
  bench_invokes();
  bench_report("engine.machine.ghz", clock_ghz(), "GHz");
  bench_parked();
  bench_install("start.install_chain1000.ms", 1000);
  bench_install("start.install_chain10000.ms", 10000);
  bench_memory();
  return count.live_bytes == 0 ? 0 : 1;
}
