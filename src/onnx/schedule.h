/*
 * schedule: one body of a program, planned for one set of input types and shapes.
 *
 * Every value gets its shape and its place, every node that has to run becomes a step.  Where a value's shape depends on numbers that are only known when the
 * graph runs (NonZero, the end of a Range, a body of If), the node and what follows from it are dynamic steps: they are inferred again in each run, in
 * memory of their own.  All other results lie in one block of memory, in which places are used again after the last reader of a value; such a graph allocates
 * nothing when it is run again.  A result may take the place of an input that it is made from element by element, views share the place of what they show.
 */
#ifndef BBW_ONNX_SCHEDULE_H
#define BBW_ONNX_SCHEDULE_H

#include "onnx/program.h"

typedef enum bbw_place {
  BBW_PLACE_NONE,     /* nobody reads it */
  BBW_PLACE_INPUT,    /* the caller's memory */
  BBW_PLACE_CONSTANT, /* of the program, or folded for these shapes */
  BBW_PLACE_MEMORY,   /* at `offset` of the block */
  BBW_PLACE_DYNAMIC,  /* made in each run */
} bbw_place;

typedef struct bbw_schedule_value {
  bbw_array array;
  bbw_place place;
  uint32_t root; /* the value whose place this is: itself, or what a view shows, or what was overwritten */
  uint32_t
      last; /* of a root: the last step that reads it or a value with its place; BBW_VALUE_NONE: an output, stays */
  size_t offset; /* of a root in MEMORY */
} bbw_schedule_value;

typedef struct bbw_schedule_step {
  uint32_t node;
  bool is_dynamic;
  bbw_call call; /* inputs and outputs point to the arrays of the values */
} bbw_schedule_step;

typedef struct bbw_schedule {
  bbw_arena arena;
  const bbw_body *body;
  bbw_array *shapes; /* the key: one per input of the body, then one per capture; data is NULL */
  uint32_t shape_count;
  bbw_schedule_value *values;
  uint32_t value_count;
  bbw_schedule_step *steps;
  uint32_t step_count;
  uint32_t *input_views; /* values that show an input of the caller */
  uint32_t input_view_count;
  size_t memory_bytes; /* of the block, the common scratch at its end counted */
  size_t live_bytes;   /* the most that values take of it at one time */
  size_t scratch_offset;
  const uint8_t *base; /* the block that the arrays point into now */
  uint64_t used_at;    /* for the cache */
} bbw_schedule;

/*
 * Plans the body for inputs of these types and shapes (the inputs of the body, then its captures; data is not read).  memory_bytes_max: what the
 * block may take; BBW_E_LIMIT (fields cap, got) above it.  Errors of operators: BBW_E_ONNX_INVALID, BBW_E_ELEMENT_TYPE, BBW_E_LIMIT with node,
 * op_type, input and detail.  BBW_E_NOMEM.
 */
bbw_status bbw_schedule_new(bbw_schedule **out, bbw_program *program, const bbw_body *body, const bbw_array *shapes,
                            uint32_t shape_count, size_t memory_bytes_max, bbw_error *err);
void bbw_schedule_del(bbw_schedule *schedule, const bbw_mem *mem);

/* Lets the arrays point into `base`, which holds memory_bytes. */
void bbw_schedule_bind(bbw_schedule *schedule, uint8_t *base);

#endif
