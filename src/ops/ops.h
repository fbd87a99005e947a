/*
 * ops: the table of stateless operators.
 *
 * Each operator is a function over its context (engine/op.h) that reads inputs and attributes, touches the engine's state and sets outputs by position.
 * Semantics: operator specification §3, with the improvements that docs/COMPATIBILITY.md lists.
 */
#ifndef BBW_OPS_OPS_H
#define BBW_OPS_OPS_H

#include "engine/op.h"

/* The row of (domain, op_type), or NULL. */
const bbw_op_row *bbw_op_find(bbw_str domain, bbw_str op_type);
size_t bbw_op_count(void);
const bbw_op_row *bbw_op_at(size_t index); /* NULL past the end */

#define OP(domain, op_type, readiness, is_self_starting, run) bbw_op_run run;
#include "ops/ops.def"
#undef OP

/* Shared by the families: attribute `name` as text, empty when absent. */
bbw_str bbw_op_attr_text(const bbw_ctx *ctx, const char *name);
/* Fails with kind Other and no reason, as most operators do. */
bbw_status bbw_op_fail_other(bbw_ctx *ctx, bbw_str detail);
/* The optional bytes rule (operator specification §3.3): *out is the content of the first input, or empty; *value is that input or NULL. */
bbw_status bbw_op_optional_bytes(bbw_ctx *ctx, bbw_bytes *out, bbw_value **value);
/* Output 0 = a new value of a number type. */
bbw_status bbw_op_set_number(bbw_ctx *ctx, bbw_type type, uint64_t number);

#endif
