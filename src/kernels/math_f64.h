/*
 * math_f64: the elementary functions in f64, with the same bits everywhere.
 *
 * The C library's versions differ between platforms.  These use nothing but rounded +, -, *, /, sqrt, floor and scaling by powers of two, one number at a
 * time.  Element types other than f64 go through them too, when they have no kernel of their own, and are then within 0.51 ULP.  Largest error that
 * test_kernels_math_f64 allows, in ULP of f64: exp, log, atan 2; sin, cos, expm1, log1p 3; the others 5, except erf 12 and pow: about |y log x| ULP for a power that is
 * no small whole number.  Zeros, infinities and NaN are answered as C99 says; arguments outside of the domain give NaN.
 */
#ifndef BBW_KERNELS_MATH_F64_H
#define BBW_KERNELS_MATH_F64_H

double bbw_exp_f64(double x);
double bbw_expm1_f64(double x);
double bbw_log_f64(double x);
double bbw_log1p_f64(double x);
/* Any size of argument: the quarter turns are taken off exactly. */
double bbw_sin_f64(double x);
double bbw_cos_f64(double x);
double bbw_tan_f64(double x);
double bbw_asin_f64(double x);
double bbw_acos_f64(double x);
double bbw_atan_f64(double x);
double bbw_sinh_f64(double x);
double bbw_cosh_f64(double x);
double bbw_tanh_f64(double x);
double bbw_asinh_f64(double x);
double bbw_acosh_f64(double x);
double bbw_atanh_f64(double x);
double bbw_erf_f64(double x);
double bbw_pow_f64(double x, double y);

#endif
