/*
 * main: the command line of the simulator, the same program natively and as a WASI command.
 *
 *   sim --seed S [--trace]          one run; with --trace everything that happens, readable
 *   sim --from F --seeds N          N runs, one line each: seed, scenario, Nodes, events, hash of the trace, ok or FAILED and why
 *   --scenario NAME --nodes N       instead of what the seed chooses
 *   --twice                         each run is made twice in this process and has to give the same hash
 *   --quiet                         only lines of runs that fail, and one at the end
 * Exits 1 when a run fails, 2 for arguments that it does not understand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

typedef struct arguments {
  sim_options options;
  uint64_t from, count;
  bool is_twice, is_quiet;
} arguments;

static bool number_of(const char *text, uint64_t *out) {
  char *end = NULL;
  if (text == NULL || *text < '0' || *text > '9') { return false; }
  *out = strtoull(text, &end, 0);
  return *end == '\0';
}

static bool read_arguments(arguments *a, int argc, char **argv) {
  *a = (arguments){.count = 1};
  uint64_t nodes = 0;
  for (int i = 1; i < argc; i++) {
    const char *next = i + 1 < argc ? argv[i + 1] : NULL;
    bool has_value = true, ok = true;
    if (strcmp(argv[i], "--seed") == 0 || strcmp(argv[i], "--from") == 0) {
      ok = number_of(next, &a->from);
    } else if (strcmp(argv[i], "--seeds") == 0) {
      ok = number_of(next, &a->count);
    } else if (strcmp(argv[i], "--nodes") == 0) {
      ok = number_of(next, &nodes) && nodes >= 2 && nodes <= 1000000;
    } else if (strcmp(argv[i], "--amount") == 0) {
      ok = number_of(next, &a->options.amount);
    } else if (strcmp(argv[i], "--scenario") == 0) {
      ok = next != NULL && sim_scenario_named(next) != NULL;
      a->options.scenario = next;
    } else {
      has_value = false;
      if (strcmp(argv[i], "--trace") == 0) {
        a->options.is_traced = true;
      } else if (strcmp(argv[i], "--calm") == 0) {
        a->options.is_calm = true;
      } else if (strcmp(argv[i], "--twice") == 0) {
        a->is_twice = true;
      } else if (strcmp(argv[i], "--quiet") == 0) {
        a->is_quiet = true;
      } else {
        ok = false;
      }
    }
    if (!ok) {
      fprintf(stderr, "sim: %s%s%s is not understood\n", argv[i], next == NULL ? "" : " ", next == NULL ? "" : next);
      return false;
    }
    i += has_value;
  }
  a->options.nodes = (uint32_t)nodes;
  return true;
}

static bool run_one(const arguments *a, uint64_t seed, sim_result *r) {
  sim_options options = a->options;
  options.seed = seed;
  sim_run(&options, r);
  if (a->is_twice && r->is_ok) {
    uint64_t hash = r->hash;
    sim_run(&options, r);
    if (r->is_ok && r->hash != hash) {
      r->is_ok = false;
      snprintf(r->reason, sizeof(r->reason), "the same seed gives another trace the second time");
    }
  }
  if (!a->is_quiet || !r->is_ok) {
    printf("%llu %s nodes=%u events=%llu delivered=%llu faults=%llu lies=%llu hash=%016llx %s%s\n",
           (unsigned long long)seed, r->scenario, (unsigned)r->nodes, (unsigned long long)r->events,
           (unsigned long long)r->delivered, (unsigned long long)r->faults, (unsigned long long)r->lies,
           (unsigned long long)r->hash, r->is_ok ? "ok" : "FAILED ", r->reason);
    fflush(stdout);
  }
  return r->is_ok;
}

int main(int argc, char **argv) {
  arguments a;
  if (!read_arguments(&a, argc, argv)) { return 2; }
  static sim_result r;
  uint64_t failed = 0, events = 0, delivered = 0, digest = 0;
  for (uint64_t i = 0; i < a.count; i++) {
    failed += !run_one(&a, a.from + i, &r);
    events += r.events;
    delivered += r.delivered;
    digest = sim_mix(digest ^ r.hash);
  }
  if (a.count != 1 || a.is_quiet) {
    printf("seeds=%llu from=%llu failed=%llu events=%llu delivered=%llu digest=%016llx\n", (unsigned long long)a.count,
           (unsigned long long)a.from, (unsigned long long)failed, (unsigned long long)events,
           (unsigned long long)delivered, (unsigned long long)digest);
  }
  return failed != 0;
}
