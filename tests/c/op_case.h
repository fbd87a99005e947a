/*
 * op_case: one operator as a model of one node, written and read as text.
 *
 * Arrays: "f32[2 3] 1 2 3 4 5 6"; types f16 bf16 f32 f64 i8 i16 i32 i64 u8 u16 u32 u64 bool; "f32[]" has no dimensions; too few elements: the last one is
 * repeated; "" is an absent input or an output that nobody reads.  Attributes: "axis=1 alpha=f:0.5 mode=s:edge axes=[0,1] names=[s:a,s:b] value=t:i64[1],7", separated by spaces (inside
 * of a tensor by commas).
 */
#ifndef BBW_TEST_OP_CASE_H
#define BBW_TEST_OP_CASE_H

#include "base/arena.h"
#include "bbw/session.h"
#include "format/onnx.h"

enum { OP_CASE_ARRAYS = 9 };

typedef struct op_case {
  const char *name; /* a sentence: what holds */
  const char *op;
  int opset;
  const char *attributes; /* or NULL */
  const char *inputs[OP_CASE_ARRAYS];
  const char *want[OP_CASE_ARRAYS]; /* or */
  const char *refused;              /* the detail of the error, a part of it is enough */
} op_case;

/*
 * Runs the case with its arrays as inputs of the model, as initializers, with all but the first as initializers, and each of these plainly; and with every
 * allocation failing once.  Says what is wrong and fails the test, unless all of them give what is wanted.  Floats may be off by 1e-6 of their size, and by 1e-9.
 */
void op_case_check(const op_case *c);
void op_cases_check(const op_case *cases, size_t count);

/* The parts of the notation, for other tests; memory from the arena, which must not run out. */
bbw_array op_text_array(const char *text, bbw_arena *arena);
void op_text_tensor(bbw_onnx_tensor *out, const char *name, const bbw_array *array, bbw_arena *arena);
bbw_proto_list op_text_attributes(const char *text, bbw_arena *arena); /* bbw_onnx_attribute; NULL: none */

#endif
