/*
 * ops: the functions behind the rows of ops.def, one file per family (ops_NAME.c).
 */
#ifndef BBW_ONNX_OPS_H
#define BBW_ONNX_OPS_H

#include "kernels/elementwise.h"
#include "onnx/op.h"

typedef bbw_status bbw_op_prepare_fn(bbw_prep *prep);
typedef bbw_status bbw_op_call_fn(bbw_call *call);
typedef bbw_status bbw_op_pack_fn(bbw_onnx_pack *pack);

/* ---- ops_unary.c: out[i] = f(x[i]) ---- */

/* The f32 kernel serves f16 and bf16 too; NULL where a type is not computed. */
typedef struct bbw_unary {
  bbw_unary_f32_fn *f32;
  void (*f64)(const double *x, double *out, size_t n);
  void (*i64)(const int64_t *x, int64_t *out, size_t n);
} bbw_unary;
extern const bbw_unary bbw_unary_abs, bbw_unary_neg, bbw_unary_sqrt, bbw_unary_reciprocal, bbw_unary_exp, bbw_unary_log,
    bbw_unary_relu, bbw_unary_sigmoid, bbw_unary_tanh;
bbw_op_call_fn bbw_unary_infer, bbw_unary_run;

/* ---- ops_binary.c: out = f(x, y) with broadcasting ---- */

typedef struct bbw_binary {
  bbw_binary_f32_fn *f32; /* or NULL: then f64 serves f32 too, exactly for comparisons */
  void (*f64)(const double *x, const double *y, double *out, size_t n);
  void (*i64)(const int64_t *x, const int64_t *y, int64_t *out, size_t n, bool is_unsigned);
  bool gives_bool;
  bool takes_bool;
} bbw_binary;
extern const bbw_binary bbw_binary_add, bbw_binary_sub, bbw_binary_mul, bbw_binary_div, bbw_binary_equal,
    bbw_binary_greater, bbw_binary_greater_or_equal, bbw_binary_less, bbw_binary_less_or_equal;
bbw_op_call_fn bbw_binary_infer, bbw_binary_run;

/* ---- ops_shape.c: the same elements in another shape ---- */
bbw_op_prepare_fn bbw_reshape_prepare, bbw_shape_prepare;
bbw_op_call_fn bbw_identity_infer, bbw_reshape_infer, bbw_shape_infer, bbw_shape_run;

/* ---- ops_control.c: operators that run graphs; they have no infer ---- */
bbw_op_prepare_fn bbw_scan_prepare;
bbw_op_call_fn bbw_if_run, bbw_loop_run, bbw_scan_run;

/* ---- ops_recurrent.c: RNN, GRU, LSTM; ctx: gates of one step ---- */
extern const uint32_t bbw_recurrent_rnn, bbw_recurrent_gru, bbw_recurrent_lstm;
bbw_op_prepare_fn bbw_recurrent_prepare;
bbw_op_call_fn bbw_recurrent_infer, bbw_recurrent_run;

/* ---- ops_matmul.c ---- */
bbw_op_prepare_fn bbw_matmul_prepare, bbw_gemm_prepare;
bbw_op_call_fn bbw_matmul_infer, bbw_matmul_run, bbw_gemm_infer, bbw_gemm_run;
bbw_op_pack_fn bbw_matmul_pack, bbw_gemm_pack;

#endif
