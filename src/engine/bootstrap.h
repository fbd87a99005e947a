/*
 * bootstrap: functions and components that set a node up before it does its work.
 *
 * A request runs one bootstrap function, or the bootstrap of one component, in an execution of its own.  While any request is open, events for the application's modules wait in the ingress queue, and ops of other executions whose component
 * a running bootstrap touches wait for it.  Requests start in order; one that touches a component of an earlier open request waits for that one.  A request ends when its execution does; a target counts as
 * done when none of its ops failed, so a run over all targets repeats what failed.  Source: engine specification §12.
 */
#ifndef BBW_ENGINE_BOOTSTRAP_H
#define BBW_ENGINE_BOOTSTRAP_H

#include "base/vec.h"
#include "engine/ingress.h"

typedef struct bbw_boot_target {
  bbw_str name;      /* of the function, or of the slot; lives in the model */
  bool is_component; /* the bootstrap of the component in a slot */
  bbw_graph *graph;
  bool *touches; /* one per component of the node */
  bool is_done;
} bbw_boot_target;

typedef enum bbw_boot_state { BBW_BOOT_QUEUED, BBW_BOOT_RUNNING, BBW_BOOT_ENDED } bbw_boot_state;

typedef struct bbw_boot_run {
  uint32_t target;
  bbw_boot_state state;
  bool is_chained; /* starts only after all earlier ones have ended */
  bool has_failed;
  bbw_seed *seeds;
  size_t seed_count;
} bbw_boot_run;

typedef struct bbw_bootstrap {
  bbw_vec targets; /* bbw_boot_target, in order of install */
  bbw_vec runs;    /* bbw_boot_run *, open ones in order of request */
  size_t component_count;
  uint64_t ended;           /* since the last report */
  bool is_waiting_reported; /* WaitingOnBootstrap is said once per wait */
} bbw_bootstrap;

void bbw_bootstrap_init(bbw_bootstrap *bootstrap, const bbw_mem *mem);
/* All frames must be gone. */
void bbw_bootstrap_free(bbw_engine *engine);
/* Forgets all runs; targets keep what they know.  All frames must be gone. */
void bbw_bootstrap_clear(bbw_engine *engine);
/* Registers the bootstrap graphs of the engine; called once, after dispatch is resolved. */
bbw_status bbw_bootstrap_register(bbw_engine *engine);

/* Target of that name among those of modules or of components, or BBW_NO_INDEX. */
uint32_t bbw_bootstrap_find(const bbw_bootstrap *bootstrap, bbw_str name, bool is_component);
bool bbw_bootstrap_is_open(const bbw_bootstrap *bootstrap, uint32_t target);
/* Makes room for `count` more runs, so that adding them cannot fail. */
bool bbw_bootstrap_reserve(bbw_bootstrap *bootstrap, size_t count);
/* A new run; the caller fills in its seeds and adds it.  NULL when memory runs out. */
bbw_boot_run *bbw_bootstrap_run_new(const bbw_mem *mem, uint32_t target);
void bbw_bootstrap_run_del(bbw_engine *engine, bbw_boot_run *run);
void bbw_bootstrap_add(bbw_bootstrap *bootstrap, bbw_boot_run *run);

/* Retires runs that have ended and starts those that can; true when something started. */
bool bbw_bootstrap_advance(bbw_engine *engine);
/* True while the op must wait for a running bootstrap. */
bool bbw_bootstrap_locks(const bbw_engine *engine, const bbw_frame *frame, const bbw_op *op);
/* An op of this execution failed. */
void bbw_bootstrap_note_failure(const bbw_frame *frame);
/* Any run that is not over. */
bool bbw_bootstrap_is_pending(const bbw_bootstrap *bootstrap);
bool bbw_bootstrap_is_running(const bbw_bootstrap *bootstrap);

#endif
