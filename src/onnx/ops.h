/*
 * ops: the functions behind the rows of ops.def, one file per family (ops_NAME.c).
 */
#ifndef BBW_ONNX_OPS_H
#define BBW_ONNX_OPS_H

#include "kernels/broadcast.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "onnx/op.h"

typedef bbw_status bbw_op_prepare_fn(bbw_prep *prep);
typedef bbw_status bbw_op_call_fn(bbw_call *call);
typedef bbw_status bbw_op_pack_fn(bbw_onnx_pack *pack);

/* ---- ops_unary.c: out[i] = f(x[i]) ---- */

/* Without a kernel in f32, f64 serves all float types; f64 and i64 are NULL where floats or whole numbers are not computed. */
typedef struct bbw_unary {
  bbw_unary_f32_fn *f32;
  void (*f64)(const double *x, double *out, size_t n);
  void (*i64)(const int64_t *x, int64_t *out, size_t n, bool is_unsigned);
} bbw_unary;
extern const bbw_unary bbw_unary_abs, bbw_unary_neg, bbw_unary_sqrt, bbw_unary_reciprocal, bbw_unary_exp, bbw_unary_log,
    bbw_unary_relu, bbw_unary_sigmoid, bbw_unary_tanh, bbw_unary_sin, bbw_unary_cos, bbw_unary_tan, bbw_unary_asin,
    bbw_unary_acos, bbw_unary_atan, bbw_unary_sinh, bbw_unary_cosh, bbw_unary_asinh, bbw_unary_acosh, bbw_unary_atanh,
    bbw_unary_erf, bbw_unary_gelu_erf, bbw_unary_ceil, bbw_unary_floor, bbw_unary_round, bbw_unary_sign,
    bbw_unary_softplus, bbw_unary_softsign, bbw_unary_hard_swish, bbw_unary_mish, bbw_unary_bitwise_not;
bbw_op_call_fn bbw_unary_infer, bbw_unary_run;

/* ---- ops_curve.c: the same with up to two numbers from attributes; Clip; questions ---- */

typedef struct bbw_curve {
  void (*f64)(const double *x, double *out, size_t n, const double *p);
  bbw_scaled2_f32_fn *f32; /* or NULL */
  const char *names[2];    /* of the attributes, or NULL */
  float otherwise[2];      /* their defaults */
  bool takes_integers;
  void (*slope)(const double *x, double *out, size_t n, const double *p); /* the derivative */
} bbw_curve;
extern const bbw_curve bbw_curve_celu, bbw_curve_elu, bbw_curve_hard_sigmoid, bbw_curve_leaky_relu, bbw_curve_selu,
    bbw_curve_shrink, bbw_curve_thresholded_relu;
bbw_op_prepare_fn bbw_curve_prepare, bbw_gelu_prepare, bbw_clip_prepare, bbw_is_inf_prepare, bbw_is_nan_prepare;
bbw_op_call_fn bbw_curve_infer, bbw_curve_run, bbw_clip_infer, bbw_clip_run, bbw_float_test_infer, bbw_float_test_run,
    bbw_not_infer, bbw_not_run;

/* ---- ops_binary.c: out = f(x, y) with broadcasting ---- */

typedef struct bbw_binary {
  bbw_binary_f32_fn *f32; /* or NULL: then f64 serves f32 too, exactly for comparisons */
  void (*f64)(const double *x, const double *y, double *out, size_t n);
  void (*i64)(const int64_t *x, const int64_t *y, int64_t *out, size_t n, bool is_unsigned);
  bool gives_bool;
  bool takes_bool;
  bool refuses_integers;
  bool refuses_signed;
  bool mixes_types; /* x and y may differ; floats when one of them is a float, the result is like x */
} bbw_binary;
extern const bbw_binary bbw_binary_add, bbw_binary_sub, bbw_binary_mul, bbw_binary_div, bbw_binary_equal,
    bbw_binary_greater, bbw_binary_greater_or_equal, bbw_binary_less, bbw_binary_less_or_equal, bbw_binary_and,
    bbw_binary_or, bbw_binary_xor, bbw_binary_bitwise_and, bbw_binary_bitwise_or, bbw_binary_bitwise_xor,
    bbw_binary_pow, bbw_binary_prelu, bbw_binary_max, bbw_binary_min;
/* Chosen by an attribute: [0] left, [1] right; [0] modulo, [1] fmod. */
extern const bbw_binary bbw_binary_shift[2], bbw_binary_mod[2];
bbw_op_prepare_fn bbw_mod_prepare, bbw_shift_prepare;
bbw_op_call_fn bbw_binary_infer, bbw_binary_run, bbw_prelu_infer;
bool bbw_binary_takes(const bbw_binary *row, bbw_dtype dtype);
/* For other operators: out may be x or y if that has the shape of the result. */
void bbw_binary_apply(const bbw_binary *row, const bbw_broadcast *plan, const bbw_array *x, const bbw_array *y,
                      bbw_array *out);

/* ---- ops_variadic.c: Max, Min, Sum, Mean; Where ---- */

typedef struct bbw_variadic {
  const bbw_binary *row;
  bool is_mean;
  bool takes_integers;
} bbw_variadic;
extern const bbw_variadic bbw_variadic_max, bbw_variadic_min, bbw_variadic_sum, bbw_variadic_mean;
bbw_op_call_fn bbw_variadic_infer, bbw_variadic_run, bbw_where_infer, bbw_where_run;

/* ---- ops_cast.c: element types; Dropout ---- */
bbw_op_prepare_fn bbw_cast_prepare, bbw_dropout_prepare;
bbw_op_call_fn bbw_cast_infer, bbw_cast_like_infer, bbw_cast_run, bbw_dropout_infer, bbw_dropout_run;

/* ---- ops_reduce.c: one number out of many ---- */

typedef enum bbw_reduce_kind {
  BBW_REDUCE_SUM,
  BBW_REDUCE_MEAN,
  BBW_REDUCE_MAX,
  BBW_REDUCE_MIN,
  BBW_REDUCE_PROD,
  BBW_REDUCE_L1,
  BBW_REDUCE_L2,
  BBW_REDUCE_LOG_SUM,
  BBW_REDUCE_LOG_SUM_EXP,
  BBW_REDUCE_SUM_SQUARE,
} bbw_reduce_kind;
typedef struct bbw_reduce {
  bbw_reduce_kind kind;
  bbw_reduce_f32_fn *f32; /* or NULL */
  bool has_integers;      /* computes whole numbers as such; else in f64 */
} bbw_reduce;
extern const bbw_reduce bbw_reduce_sum, bbw_reduce_mean, bbw_reduce_max, bbw_reduce_min, bbw_reduce_prod, bbw_reduce_l1,
    bbw_reduce_l2, bbw_reduce_log_sum, bbw_reduce_log_sum_exp, bbw_reduce_sum_square;
bbw_op_prepare_fn bbw_reduce_prepare, bbw_mvn_prepare;
bbw_op_call_fn bbw_reduce_infer, bbw_reduce_run, bbw_mvn_infer, bbw_mvn_run;

/* ---- ops_axis.c: along one axis ---- */

typedef struct bbw_lane_op {
  void (*run)(double *lane, size_t length, int64_t p); /* in place */
  bbw_softmax_f32_fn *f32;                             /* or NULL */
  bool flattens;                                       /* before opset 13: all axes from the given one on */
} bbw_lane_op;
extern const bbw_lane_op bbw_lane_softmax, bbw_lane_log_softmax, bbw_lane_hardmax, bbw_lane_lp_normalization;
extern const char bbw_arg_smallest;
bbw_op_prepare_fn bbw_lane_prepare, bbw_arg_prepare, bbw_top_k_prepare, bbw_cum_sum_prepare;
bbw_op_call_fn bbw_lane_infer, bbw_lane_run, bbw_arg_infer, bbw_arg_run, bbw_top_k_infer, bbw_top_k_run,
    bbw_cum_sum_infer, bbw_cum_sum_run, bbw_lp_grad_infer, bbw_lp_grad_run;

/* ---- ops_loss.c ---- */
extern const char bbw_loss_softmax;
bbw_op_prepare_fn bbw_loss_prepare;
bbw_op_call_fn bbw_loss_infer, bbw_loss_run, bbw_loss_grad_infer, bbw_loss_grad_run;

/* ---- ops_algebra.c ---- */
bbw_op_prepare_fn bbw_einsum_prepare;
bbw_op_call_fn bbw_einsum_infer, bbw_einsum_run, bbw_det_infer, bbw_det_run, bbw_det_grad_infer, bbw_det_grad_run;

/* ---- ops_select.c: shapes that depend on values ---- */
bbw_op_prepare_fn bbw_select_prepare;
bbw_op_call_fn bbw_non_zero_infer, bbw_non_zero_run, bbw_compress_infer, bbw_compress_run, bbw_unique_infer,
    bbw_unique_run;

/* ---- ops_shape.c: the same elements in another shape ---- */
bbw_op_prepare_fn bbw_reshape_prepare, bbw_shape_prepare, bbw_flatten_prepare, bbw_axes_prepare;
bbw_op_call_fn bbw_identity_infer, bbw_reshape_infer, bbw_shape_infer, bbw_shape_run, bbw_size_infer, bbw_size_run,
    bbw_flatten_infer, bbw_squeeze_infer, bbw_unsqueeze_infer;

/* ---- ops_move.c: the same elements in other places ---- */
bbw_op_prepare_fn bbw_transpose_prepare, bbw_concat_prepare, bbw_split_prepare, bbw_slice_prepare, bbw_block_prepare;
bbw_op_call_fn bbw_walk_run, bbw_transpose_infer, bbw_concat_infer, bbw_concat_run, bbw_split_infer, bbw_split_run,
    bbw_slice_infer, bbw_expand_infer, bbw_tile_infer, bbw_tile_run, bbw_depth_to_space_infer, bbw_space_to_depth_infer;
/* A list of sizes, at most BBW_ARRAY_RANK_MAX, from input i.  BBW_LATER, or BBW_E_ONNX_INVALID (a negative one too). */
bbw_status bbw_call_dims(bbw_call *call, uint32_t i, size_t *dims, uint32_t *rank);

/* ---- ops_gather.c: elements by their indices ---- */
bbw_op_prepare_fn bbw_gather_prepare, bbw_one_hot_prepare, bbw_reverse_sequence_prepare;
bbw_op_call_fn bbw_gather_infer, bbw_gather_run, bbw_gather_elements_infer, bbw_gather_elements_run,
    bbw_scatter_elements_infer, bbw_scatter_elements_run, bbw_gather_nd_infer, bbw_gather_nd_run, bbw_scatter_nd_infer,
    bbw_scatter_nd_run, bbw_one_hot_infer, bbw_one_hot_run, bbw_reverse_sequence_infer, bbw_reverse_sequence_run;

/* ---- ops_pad.c: more or less around an array ---- */
bbw_op_prepare_fn bbw_pad_prepare, bbw_center_prepare, bbw_trilu_prepare;
bbw_op_call_fn bbw_pad_infer, bbw_pad_run, bbw_center_infer, bbw_center_run, bbw_trilu_infer, bbw_trilu_run;

/* ---- ops_make.c: arrays from numbers ---- */
extern const double bbw_taper_hann[3], bbw_taper_hamming[3], bbw_taper_blackman[3];
bbw_op_prepare_fn bbw_constant_prepare, bbw_constant_of_shape_prepare, bbw_eye_like_prepare, bbw_taper_prepare;
bbw_op_call_fn bbw_constant_infer, bbw_constant_run, bbw_constant_of_shape_infer, bbw_constant_of_shape_run,
    bbw_range_infer, bbw_range_run, bbw_eye_like_infer, bbw_eye_like_run, bbw_taper_infer, bbw_taper_run;

/* ---- ops_control.c: operators that run graphs; they have no infer ---- */
bbw_op_prepare_fn bbw_scan_prepare;
bbw_op_call_fn bbw_if_run, bbw_loop_run, bbw_scan_run;

/* ---- ops_recurrent.c: RNN, GRU, LSTM; ctx: gates of one step ---- */
extern const uint32_t bbw_recurrent_rnn, bbw_recurrent_gru, bbw_recurrent_lstm;
bbw_op_prepare_fn bbw_recurrent_prepare;
bbw_op_call_fn bbw_recurrent_infer, bbw_recurrent_run;
bbw_op_call_fn bbw_recurrent_grad_infer, bbw_recurrent_grad_run; /* grad_recurrent.c */

/* ---- ops_matmul.c ---- */
bbw_op_prepare_fn bbw_matmul_prepare, bbw_gemm_prepare;
bbw_op_call_fn bbw_matmul_infer, bbw_matmul_run, bbw_gemm_infer, bbw_gemm_run;
bbw_op_pack_fn bbw_matmul_pack, bbw_gemm_pack;

/* ---- ops_conv.c; ctx: NULL, or &bbw_conv_is_transpose ---- */
extern const uint32_t bbw_conv_is_transpose;
bbw_op_prepare_fn bbw_conv_prepare;
bbw_op_call_fn bbw_conv_infer, bbw_conv_run;
bbw_op_pack_fn bbw_conv_pack;

/* ---- ops_quant.c; ctx: NULL for ...Integer, &bbw_quant_is_linear for QLinear... ---- */
extern const uint32_t bbw_quant_is_linear;
bbw_op_prepare_fn bbw_quantize_prepare, bbw_conv_integer_prepare;
bbw_op_call_fn bbw_quantize_infer, bbw_quantize_run, bbw_dequantize_infer, bbw_dequantize_run,
    bbw_dynamic_quantize_infer, bbw_dynamic_quantize_run, bbw_matmul_integer_infer, bbw_matmul_integer_run,
    bbw_conv_integer_infer, bbw_conv_integer_run;
bbw_op_pack_fn bbw_matmul_integer_pack, bbw_conv_integer_pack;

/* ---- ops_norm.c ---- */
bbw_op_prepare_fn bbw_batch_norm_prepare, bbw_group_norm_prepare, bbw_layer_norm_prepare, bbw_lrn_prepare;
bbw_op_call_fn bbw_batch_norm_infer, bbw_batch_norm_run, bbw_group_norm_infer, bbw_group_norm_run, bbw_layer_norm_infer,
    bbw_layer_norm_run, bbw_lrn_infer, bbw_lrn_run, bbw_lrn_grad_infer, bbw_lrn_grad_run;
bbw_op_pack_fn bbw_batch_norm_pack;

/* ---- ops_pool.c; ctx: NULL for the mean, &bbw_pool_is_max ---- */
extern const uint32_t bbw_pool_is_max;
bbw_op_prepare_fn bbw_pool_prepare;
bbw_op_call_fn bbw_pool_infer, bbw_pool_run, bbw_global_pool_infer, bbw_global_pool_run, bbw_max_unpool_infer,
    bbw_max_unpool_run, bbw_max_unpool_grad_infer, bbw_max_unpool_grad_run;

/* ---- ops_resize.c; ctx: NULL for Resize, &bbw_resize_is_upsample ---- */
extern const uint32_t bbw_resize_is_upsample;
bbw_op_prepare_fn bbw_resize_prepare;
bbw_op_call_fn bbw_resize_infer, bbw_resize_run;
/* Adds g, like the result of that call, to the elements of `out`, like its input, that it was made from. */
void bbw_resize_add_back(const bbw_call *forward, const bbw_array *g, float *out);

/* ---- ops_attention.c ---- */
bbw_op_call_fn bbw_attention_infer, bbw_attention_run;

/* ---- ops_vision.c: boxes and sampling of images ---- */
bbw_op_prepare_fn bbw_nms_prepare, bbw_grid_sample_prepare, bbw_roi_align_prepare;
bbw_op_call_fn bbw_nms_infer, bbw_nms_run, bbw_grid_sample_infer, bbw_grid_sample_run, bbw_roi_align_infer,
    bbw_roi_align_run, bbw_roi_align_grad_infer, bbw_roi_align_grad_run, bbw_grid_sample_grad_infer,
    bbw_grid_sample_grad_run;

/* ---- ops_signal.c ---- */
bbw_op_prepare_fn bbw_dft_prepare, bbw_stft_prepare, bbw_mel_prepare;
bbw_op_call_fn bbw_dft_infer, bbw_dft_run, bbw_dft_grad_infer, bbw_dft_grad_run, bbw_stft_infer, bbw_stft_run,
    bbw_stft_grad_infer, bbw_stft_grad_run, bbw_mel_infer, bbw_mel_run;

/* ---- backward operators, which only autodiff/gradient.c makes; domain bbw ---- */

/* grad_shape.c: shapes given by another array */
extern const uint32_t bbw_grad_is_mean;
bbw_op_call_fn bbw_sum_to_infer, bbw_sum_to_run, bbw_reshape_like_infer, bbw_expand_like_infer, bbw_expand_like_run,
    bbw_kept_dims_infer, bbw_channel_sum_infer, bbw_zeros_like_run;
/* grad_move.c; ops_move.c, ops_gather.c beside the operators themselves */
bbw_op_call_fn bbw_move_grad_infer, bbw_move_grad_run, bbw_split_like_infer, bbw_split_like_run, bbw_gather_grad_infer,
    bbw_gather_grad_run;
/* grad_norm.c; ctx of the softmax: &bbw_grad_is_log for LogSoftmax */
extern const uint32_t bbw_grad_is_log;
bbw_op_call_fn bbw_softmax_grad_infer, bbw_softmax_grad_run, bbw_layer_norm_grad_infer, bbw_layer_norm_grad_run,
    bbw_batch_norm_grad_infer, bbw_batch_norm_grad_run, bbw_group_norm_grad_infer, bbw_group_norm_grad_run;
/* ops_curve.c */
bbw_op_call_fn bbw_curve_grad_infer, bbw_curve_grad_run;
/* grad_conv.c, grad_pool.c */
bbw_op_call_fn bbw_conv_grad_input_infer, bbw_conv_grad_input_run, bbw_conv_grad_weights_infer,
    bbw_conv_grad_weights_run, bbw_conv_transpose_grad_input_infer, bbw_conv_transpose_grad_weights_infer,
    bbw_pool_grad_infer, bbw_pool_grad_run;
/* grad_matmul.c; ctx: &bbw_grad_of_right for the gradient of the right operand */
extern const uint32_t bbw_grad_of_right;
bbw_op_call_fn bbw_matmul_grad_infer, bbw_matmul_grad_run;
/* train_dropout.c, train_loss.c */
bbw_op_call_fn bbw_dropout_train_infer, bbw_dropout_train_run;
bbw_op_call_fn bbw_train_loss_infer, bbw_train_loss_run;
extern const bbw_binary bbw_binary_relu_gradient, bbw_binary_sigmoid_gradient, bbw_binary_tanh_gradient,
    bbw_binary_gelu_erf_gradient;

/* ---- ops_training.c: one step of an optimizer ---- */

struct step_params;
typedef struct bbw_step {
  void (*step)(const struct step_params *p, double rate, double steps, double *x, double g, double *v, double *h);
  uint32_t states; /* arrays beside x and its gradient: 1 or 2 */
} bbw_step;
extern const bbw_step bbw_step_momentum, bbw_step_adagrad, bbw_step_adam;
bbw_op_prepare_fn bbw_step_prepare;
bbw_op_call_fn bbw_step_infer, bbw_step_run;

#endif
