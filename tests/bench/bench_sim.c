/* The simulator: envelopes per second, and what a Node costs, with 100, 1,000 and 10,000 of them. */
#include <stdlib.h>

#include "bench_clock.h"
#include "sim/sim.h"

enum { REPEATS = 3 };

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* The median time of a run in seconds; *r is the last one's result. */
static double time_of(const char *scenario, uint32_t nodes, uint64_t amount, int repeats, sim_result *r) {
  double seconds[REPEATS];
  for (int i = 0; i < repeats; i++) {
    sim_options options = {.seed = 1, .scenario = scenario, .nodes = nodes, .is_calm = true, .amount = amount};
    double start = bench_seconds();
    sim_run(&options, r);
    seconds[i] = bench_seconds() - start;
    if (!r->is_ok) {
      fprintf(stderr, "%s: %s\n", scenario, r->reason);
      exit(1);
    }
  }
  qsort(seconds, (size_t)repeats, sizeof(double), by_value);
  return seconds[repeats / 2];
}

int main(void) {
  static const struct {
    uint32_t nodes;
    uint64_t envelopes;
    int repeats;
    const char *per_s, *storm, *join_us, *node_kib;
  } rows[] = {
      {100, 1000000, REPEATS, "sim.envelopes.per_s", "sim.questions.per_s", "sim.join.us_per_node.100",
       "sim.node.kib.100"},
      {1000, 1000000, REPEATS, "sim.envelopes.per_s.1000_nodes", "sim.questions.per_s.1000_nodes",
       "sim.join.us_per_node.1000", "sim.node.kib.1000"},
      {10000, 2000000, 1, "sim.envelopes.per_s.10000_nodes", "sim.questions.per_s.10000_nodes",
       "sim.join.us_per_node.10000", "sim.node.kib.10000"},
  };
  static sim_result r;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    double seconds = time_of("join", rows[i].nodes, 0, rows[i].repeats, &r);
    bench_report(rows[i].join_us, seconds * 1e6 / rows[i].nodes, "us");
    bench_report(rows[i].node_kib, (double)r.peak_bytes / 1024.0 / rows[i].nodes, "KiB");
    seconds = time_of("storm", rows[i].nodes, 50000, rows[i].repeats, &r);
    bench_report(rows[i].storm, 50000.0 / seconds, "1/s");
    seconds = time_of("relay", rows[i].nodes, rows[i].envelopes, rows[i].repeats, &r);
    bench_report(rows[i].per_s, (double)r.delivered / seconds, "1/s");
  }
  return 0;
}
