/*
 * runner: runs one body of a program, again and again.
 *
 * Keeps the schedules of the last few input shapes and one block of memory for all of them.  Bodies of control-flow operators have runners of their own, below that of the
 * body that contains them.  What a run gives stays valid until the next run, or until bbw_runner_rest.
 */
#ifndef BBW_ONNX_RUNNER_H
#define BBW_ONNX_RUNNER_H

#include "onnx/schedule.h"

/* Schedules kept per body; the one that was not used for longest makes room. */
#define BBW_RUNNER_SCHEDULES_MAX 4u

/* What all runners of a session may hold together, beside the constants of the program. */
typedef struct bbw_budget {
  size_t bytes_max;
  size_t bytes; /* now */
  size_t peak;
  uint64_t steps_max; /* of one run of the session, all iterations of all loops together: what a model cannot exceed */
  uint64_t steps;
} bbw_budget;

typedef struct bbw_runner bbw_runner;

/* The program and the budget are borrowed.  BBW_E_NOMEM. */
bbw_status bbw_runner_new(bbw_runner **out, bbw_program *program, bbw_body *body, bbw_budget *budget, bbw_error *err);
void bbw_runner_del(bbw_runner *runner); /* NULL does nothing */

/*
 * inputs: the inputs of the body with their data, then its captures; borrowed until the next run.  outputs[i] receives a view of output i.
 * Statuses of bbw_schedule_new, and BBW_E_ONNX_INVALID for values that an operator refuses.
 */
bbw_status bbw_runner_run(bbw_runner *runner, const bbw_array *inputs, uint32_t input_count, bbw_array *outputs,
                          bbw_error *err);
/* Gives back what the last run made; schedules and the block stay. */
void bbw_runner_rest(bbw_runner *runner);
/* Plans for these shapes without running; output shapes where they are known (dtype NONE else). */
bbw_status bbw_runner_plan(bbw_runner *runner, const bbw_array *shapes, uint32_t count, bbw_array *outputs,
                           bbw_error *err);

/* The schedule of the last run; NULL: there was none. */
const bbw_schedule *bbw_runner_schedule(const bbw_runner *runner);

/* ---- for operators that run graphs ---- */

/* Runs body number `which` of the node behind the call; inputs are the body's own, captures are added here. */
bbw_status bbw_graphs_run(bbw_call *call, uint32_t which, const bbw_array *inputs, uint32_t input_count,
                          bbw_array *outputs, uint32_t output_count);
uint32_t bbw_graphs_count_of(const bbw_call *call);                    /* bodies of the node */
const bbw_body *bbw_graphs_body(const bbw_call *call, uint32_t which); /* which < count */
/* Memory for output i of the call, of that type and shape; data is not set when the output is not used. */
bbw_status bbw_graphs_output(bbw_call *call, uint32_t i, const bbw_array *shape);
/* `bytes` of memory, counted by the budget; the caller gives it back with bbw_graphs_free and the same size.  NULL for 0 bytes, and when there is none (BBW_E_NOMEM or BBW_E_LIMIT,
 * recorded for the step: the operator returns BBW_E_NOMEM). */
void *bbw_graphs_alloc(bbw_call *call, size_t bytes);
/* Counts one iteration; BBW_E_LIMIT when the run has taken steps_max. */
bbw_status bbw_graphs_count(bbw_call *call);
void bbw_graphs_free(bbw_call *call, void *memory, size_t bytes);

#endif
